//! What a version has that another has not: how many commits, and the newest of them.
//!
//! GitHub lists the commits oldest first, and puts every changed file with its text on the first page. So we
//! ask for a short first page, which is all there is to most deploys, and for a page at the end only when
//! there are more commits.

use super::answer::{Part, commit_sha, login, nonsense, read_json, text, words};
use super::api::{GitHub, rest, send};
use crate::http::{Http, Request, Response, StatusCode};
use domain::deployment::Change;
use domain::fault::Fault;
use domain::names::{CommitSha, RepoName, UrlOrigin};
use serde::Deserialize;
use serde_json::Value;

const COMPARE: &str = "compare the versions";
/// At most this many changes are listed for people. The rest is behind the link.
const MOST: usize = 10;
const LARGEST_PAGE: usize = 100;
/// The changed files come too, up to three hundred with their text, for which GitHub has a limit of about 1
/// MB of its own.
const MAX_ANSWER: usize = 4 << 20;

/// What the head has that the base has not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// How many commits only the head has.
    pub ahead: u32,
    /// How many commits only the base has.
    pub behind: u32,
    /// The commits that only the head has, newest first, at most ten. In one page of GitHub's answer: those
    /// of that page.
    pub commits: Vec<Change>,
    /// The page that shows all of it.
    pub url: Option<String>,
}

/// Which part of the list to ask for; the first page has number 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paging {
    page: usize,
    size: usize,
}

impl Paging {
    /// The page to begin with: all that there is to most deploys.
    pub const FIRST: Self = Self { page: 1, size: MOST };

    /// The page at the end of so many commits that, after the first, has the newest ten, with as few more as
    /// can be. `None`: the first page has them all.
    pub fn last_of(total: usize) -> Option<Self> {
        let pages = |size: usize| total.div_ceil(size);
        let rest = |size: usize| total.saturating_sub(pages(size).saturating_sub(1).saturating_mul(size));
        match total {
            0..=MOST => None,
            // The first page has those that this one lacks.
            _ if total < 2 * MOST => Some(Self { page: 2, size: MOST }),
            _ => {
                let sizes = (MOST..=LARGEST_PAGE).filter(|size| rest(*size) >= MOST);
                let size = sizes.min_by_key(|size| rest(*size)).unwrap_or(LARGEST_PAGE);
                Some(Self { page: pages(size), size })
            }
        }
    }
}

/// Builds the request for one page.
pub fn compare_request(
    api: &UrlOrigin,
    repo: &RepoName,
    base: &CommitSha,
    head: &CommitSha,
    paging: Paging,
) -> Request {
    let Paging { page, size } = paging;
    let path = format!("/repos/{repo}/compare/{base}...{head}?per_page={size}&page={page}");
    rest(api, &path, "application/vnd.github+json").max_answer(MAX_ANSWER)
}

/// Understands its answer. A base that GitHub does not know is a fault with the status 404.
pub fn read_compare(response: &Response) -> Result<Comparison, Fault> {
    // Read without a detour: the text of the changed files is skipped, not kept.
    #[derive(Deserialize)]
    struct Page {
        ahead_by: u32,
        behind_by: u32,
        html_url: Option<String>,
        /// Oldest first.
        commits: Vec<Value>,
    }
    let page: Page = read_json(response, StatusCode::OK, COMPARE, "the commits")?;
    let commits = page.commits.iter().rev().map(read_change).collect::<Part<_>>();
    Ok(Comparison {
        ahead: page.ahead_by,
        behind: page.behind_by,
        commits: commits.map_err(|_| nonsense(COMPARE, "the commits"))?,
        url: page.html_url,
    })
}

/// GitHub's own account for the author is sometimes an empty object where there is none.
fn read_change(commit: &Value) -> Part<Change> {
    let message = text(commit, "/commit/message").ok_or("a commit's message")?;
    Ok(Change {
        sha: commit_sha(commit, "/sha")?,
        headline: words(message.lines().next().unwrap_or_default()),
        login: login(commit, "/author/login"),
    })
}

/// Compares a version with an earlier one, of which the image's tag may tell only the first digits.
pub async fn compare(
    http: &impl Http,
    gh: &GitHub,
    repo: &RepoName,
    base: &CommitSha,
    head: &CommitSha,
) -> Result<Comparison, Fault> {
    let ask = async |paging| {
        let request = compare_request(&gh.url, repo, base, head, paging);
        read_compare(&send(http, gh, request, COMPARE).await?)
    };
    let mut found = ask(Paging::FIRST).await?;
    let total = found.ahead as usize;
    if let Some(paging) = Paging::last_of(total) {
        let last = ask(paging).await?.commits;
        // Between two pages of a long list is a gap.
        let oldest = if total < 2 * MOST { found.commits } else { Vec::new() };
        found.commits = last.into_iter().chain(oldest).take(MOST).collect();
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::github::samples::{gh, hostile, ok, repo, sha, show};
    use crate::http::HttpError;
    use crate::http::script::{Pieces, Script, response};
    use domain::fault::{Cause, System};
    use domain::names::GitHubLogin;
    use futures::FutureExt;
    use serde_json::json;
    use std::cell::RefCell;

    fn commit(nth: usize) -> Value {
        let sha = format!("{nth:040x}");
        json!({
            "sha": sha, "html_url": format!("https://github.com/acme/checkout/commit/{sha}"),
            "commit": { "message": format!("Change  {nth}\n\nWhy"), "author": { "name": "Alice", "email": "a@x" } },
            "author": { "login": "alice", "id": 1 },
        })
    }

    fn page(total: usize, behind: usize, commits: &[Value]) -> Value {
        let status = if behind > 0 { "diverged" } else { "ahead" };
        json!({
            "html_url": "https://github.com/acme/checkout/compare/0123456...f", "status": status,
            "ahead_by": total, "behind_by": behind, "total_commits": total, "commits": commits,
            "base_commit": commit(0), "files": [{ "filename": "a", "patch": "@@ -1 +1 @@" }],
        })
    }

    fn base() -> CommitSha {
        CommitSha::parse(&"0123456789".repeat(4)).unwrap()
    }

    /// Has so many commits and hands out their pages.
    struct Pages {
        total: usize,
        asked: RefCell<Vec<(Paging, usize)>>,
    }

    impl Http for Pages {
        type Body = Pieces;

        async fn send(&self, request: Request) -> Result<Response, HttpError> {
            let number = |name: &str| -> usize {
                let (_, rest) = request.url.split_once(name).unwrap();
                rest.split('&').next().unwrap().parse().unwrap()
            };
            let (size, page_number) = (number("per_page="), number("&page="));
            let all: Vec<Value> = (1..=self.total).map(commit).collect();
            let wanted = all.chunks(size).nth(page_number.saturating_sub(1)).unwrap_or_default();
            self.asked.borrow_mut().push((Paging { page: page_number, size }, wanted.len()));
            Ok(ok(&page(self.total, 0, wanted)))
        }

        async fn open(&self, _: Request) -> Result<(Response, Pieces), HttpError> {
            panic!("no streams here")
        }
    }

    fn numbers(comparison: &Comparison) -> Vec<usize> {
        let number = |change: &Change| usize::from_str_radix(change.sha.as_str(), 16).unwrap();
        comparison.commits.iter().map(number).collect()
    }

    #[test]
    fn what_is_asked_of_github() {
        let (script, gh) = (Script::new([Ok(ok(&page(0, 0, &[])))]), gh());
        let (_, request) = script.once(compare(&script, &gh, &repo("acme/checkout"), &base(), &sha("f")));
        assert_eq!(request.max_answer, 4 << 20);
        insta::assert_snapshot!(show(&request), @r"
        GET https://api.github.com/repos/acme/checkout/compare/0123456789012345678901234567890123456789...ffffffffffffffffffffffffffffffffffffffff?per_page=10&page=1
        accept: application/vnd.github+json
        authorization: Bearer ghs_secret
        user-agent: deploy-bot
        x-github-api-version: 2022-11-28
        ");
    }

    #[test]
    fn the_newest_ten_come_first_however_many_there_are() {
        for total in (0..=320).chain([999, 1000, 1001, 12_345]) {
            let pages = Pages { total, asked: RefCell::default() };
            let found = compare(&pages, &gh(), &repo("acme/checkout"), &base(), &sha("f")).now_or_never().unwrap();
            let found = found.unwrap();
            let newest: Vec<usize> = (1..=total).rev().take(10).collect();
            assert_eq!((numbers(&found), found.ahead as usize), (newest, total));
            let asked = pages.asked.borrow();
            assert_eq!((asked.len(), asked[0].0), (if total > 10 { 2 } else { 1 }, Paging::FIRST), "{total}");
            // Few bytes: never a page that is much longer than what we show.
            assert!(asked.iter().all(|(_, got)| *got <= 20), "{total} commits: {asked:?}");
        }
    }

    #[test]
    fn a_comparison_is_read() {
        let mut strangers = commit(2);
        strangers["author"] = Value::Null;
        let mut nobodys = commit(3);
        nobodys["author"] = json!({});
        let read = read_compare(&ok(&page(3, 1, &[commit(1), strangers, nobodys]))).unwrap();
        assert_eq!((read.ahead, read.behind), (3, 1));
        assert_eq!(read.url.as_deref(), Some("https://github.com/acme/checkout/compare/0123456...f"));
        let logins: Vec<_> = read.commits.iter().map(|change| change.login.as_ref().map(GitHubLogin::as_str)).collect();
        assert_eq!(logins, [None, None, Some("alice")]);
        insta::assert_debug_snapshot!(read.commits[2], @r#"
        Change {
            sha: CommitSha(
                "0000000000000000000000000000000000000001",
            ),
            headline: "Change 1",
            login: Some(
                GitHubLogin(
                    "alice",
                ),
            ),
        }
        "#);
    }

    #[test]
    fn a_comparison_that_github_cannot_make_is_a_fault() {
        let fault = |cause| Err(Fault::new(System::GitHub, COMPARE, cause));
        let unknown = json!({ "message": "Not Found", "status": "404" }).to_string();
        assert_eq!(read_compare(&response(404, unknown)), fault(Cause::Status { status: 404 }));
        assert_eq!(read_compare(&response(502, "<html>")), fault(Cause::Status { status: 502 }));
        let nonsense = || fault(Cause::Nonsense { part: "the commits".to_owned() });
        for bad in ["", "[]", "{}", r#"{"ahead_by":-1,"behind_by":0,"commits":[]}"#] {
            assert_eq!(read_compare(&response(200, bad)), nonsense(), "{bad}");
        }
    }

    #[test]
    fn hostile_answers_are_survived() {
        hostile(&page(2, 0, &[commit(1), commit(2)]), |response| {
            if let Ok(read) = read_compare(&response) {
                assert!(read.commits.iter().all(|change| change.headline.chars().count() <= 200));
            }
        });
    }
}
