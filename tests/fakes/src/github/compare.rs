//! `GET /repos/{owner}/{repo}/compare/{base}...{head}`: what the head has that the base has not.
//!
//! Easy to miss: the commits come oldest first; the first page (and only it) also has the changed files with their
//! text, which may be long; and without `page` and `per_page` it is the newest 250 commits.

use serde_json::{Value, json};

use super::git::Commit;
use super::serve::message;
use super::{Access, GitHub, Repository, git, webhook};
use crate::{Request, Response};

/// Without paging.
const MOST_COMMITS: usize = 250;
const MOST_FILES: usize = 300;
const LARGEST_PAGE: usize = 100;

impl GitHub {
    pub(super) fn compare(&self, request: &Request, key: &str, basehead: &str) -> Response {
        let found = self.repositories.get(key).filter(|repository| repository.access != Access::None);
        let (Some(repository), Some((base_name, head_name))) = (found, basehead.split_once("...")) else {
            return message(404, "Not Found");
        };
        let revision = |name: &str| repository.revision(name).filter(|_| !name.is_empty());
        let (Some(base), Some(head)) = (revision(base_name), revision(head_name)) else {
            return message(404, "Not Found");
        };
        let objects = &repository.objects;
        let (of_base, of_head) = (objects.ancestors(&base), objects.ancestors(&head));
        let shared = of_base.intersection(&of_head).filter_map(|sha| objects.commits.get(sha));
        let Some(merge_base) = shared.max_by_key(|commit| commit.order) else {
            return message(404, &format!("No common ancestor between {base_name} and {head_name}."));
        };
        let mut ahead = objects.log(&head);
        ahead.retain(|commit| !of_base.contains(&commit.sha));
        ahead.reverse();
        let (total, behind) = (ahead.len(), of_base.difference(&of_head).count());
        let status = match (total, behind) {
            (0, 0) => "identical",
            (_, 0) => "ahead",
            (0, _) => "behind",
            _ => "diverged",
        };

        let query = request.query();
        let number = |name: &str| query.get(name).map(|text| text.parse::<usize>().unwrap_or_default());
        let (from, most, is_first) = match (number("page"), number("per_page")) {
            (None, None) => (total.saturating_sub(MOST_COMMITS), MOST_COMMITS, true),
            (page, size) => {
                let size = size.filter(|size| *size > 0).unwrap_or(30).min(LARGEST_PAGE);
                let page = page.unwrap_or(1).max(1);
                ((page - 1).saturating_mul(size), size, page == 1)
            }
        };
        let commits: Vec<Value> =
            ahead.iter().skip(from).take(most).map(|commit| self.commit_json(repository, commit)).collect();
        let files = if is_first { changes(merge_base, &objects.commits[&head]) } else { Vec::new() };
        let url = repository.url(&self.web);
        let api = format!("https://api.github.com/repos/{}", repository.full_name);
        let page = format!("{url}/compare/{base_name}...{head_name}");
        let short = |sha: &str| format!("{}:{}", repository.owner(), &sha[..7]);
        let body = json!({
            "url": format!("{api}/compare/{base_name}...{head_name}"),
            "html_url": page, "permalink_url": format!("{url}/compare/{}...{}", short(&base), short(&head)),
            "diff_url": format!("{page}.diff"), "patch_url": format!("{page}.patch"),
            "base_commit": self.commit_json(repository, &objects.commits[&base]),
            "merge_base_commit": self.commit_json(repository, merge_base),
            "status": status, "ahead_by": total, "behind_by": behind, "total_commits": total,
            "commits": commits, "files": files,
        });
        Response::json(200, &body)
    }

    /// A commit as the REST API shows it.
    fn commit_json(&self, repository: &Repository, commit: &Commit) -> Value {
        let (sha, url) = (&commit.sha, repository.url(&self.web));
        let api = format!("https://api.github.com/repos/{}", repository.full_name);
        let person = |person: &git::Person| json!({ "name": person.name, "email": person.email, "date": git::rfc3339(commit.at) });
        let account = |person: &git::Person| person.login().map(|login| webhook::account(&login, &self.web));
        let parent = |sha: &String| json!({ "sha": sha, "url": format!("{api}/commits/{sha}"), "html_url": format!("{url}/commit/{sha}") });
        json!({
            "sha": sha, "node_id": format!("C_{sha}"),
            "url": format!("{api}/commits/{sha}"), "html_url": format!("{url}/commit/{sha}"),
            "comments_url": format!("{api}/commits/{sha}/comments"),
            "commit": {
                "author": person(&commit.author), "committer": person(&commit.committer), "message": commit.message,
                "tree": { "sha": commit.tree, "url": format!("{api}/git/trees/{}", commit.tree) },
                "url": format!("{api}/git/commits/{sha}"), "comment_count": 0,
                "verification": { "verified": commit.signed_by_github, "reason": if commit.signed_by_github { "valid" } else { "unsigned" },
                    "signature": null, "payload": null, "verified_at": null },
            },
            // Null when no account has the email.
            "author": account(&commit.author), "committer": account(&commit.committer),
            "parents": commit.parents.iter().map(parent).collect::<Vec<_>>(),
        })
    }
}

/// The changed files with all their lines.
fn changes(old: &Commit, new: &Commit) -> Vec<Value> {
    let names = old.files.keys().chain(new.files.keys().filter(|name| !old.files.contains_key(*name)));
    let changed = names.filter(|name| old.files.get(*name) != new.files.get(*name));
    let change = |name: &String| {
        let lines = |commit: &Commit, mark: &str| -> Vec<String> {
            let text = commit.files.get(name).map(|file| String::from_utf8_lossy(&file.bytes).into_owned());
            text.unwrap_or_default().lines().map(|line| format!("{mark}{line}")).collect()
        };
        let (deletions, additions) = (lines(old, "-"), lines(new, "+"));
        let oid = new.files.get(name).or(old.files.get(name)).map(git::File::oid).unwrap_or_default();
        let status = match (old.files.contains_key(name), new.files.contains_key(name)) {
            (false, _) => "added",
            (_, false) => "removed",
            _ => "modified",
        };
        let patch = [&deletions[..], &additions].concat().join("\n");
        json!({
            "sha": oid, "filename": name, "status": status, "additions": additions.len(),
            "deletions": deletions.len(), "changes": additions.len() + deletions.len(),
            "patch": patch,
        })
    };
    changed.take(MOST_FILES).map(change).collect()
}
