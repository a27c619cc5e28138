//! Which of an application's sources follow the GitOps branch.
//!
//! Easy to miss: Argo CD takes URLs that its own webhook does not match, a slash at the end, say. It fetches those all the same.

use crate::application::AppSource;
use crate::deployment::GitOpsBranch;
use crate::names::RepoName;

/// Whether the source follows the GitOps branch. A source at a tag or on another branch of the same repository does not.
pub fn follows(source: &AppSource, gitops: &GitOpsBranch) -> bool {
    let target = source.target.as_str();
    let follows = match target {
        // The default branch, whichever that is.
        "" | "HEAD" => gitops.is_default,
        _ => target.strip_prefix("refs/heads/").unwrap_or(target) == gitops.branch.as_str(),
    };
    follows && is_repository(&source.url, &gitops.repo)
}

/// Whether a source's URL is this repository: `[http[s]://|ssh://][user@]host[:port](:|/)owner/name[.git]` in any case, which
/// is the rule with which Argo CD matches a push, or the same with a slash at the end or a password. Any host, because ours may
/// have several names.
pub(crate) fn is_repository(url: &str, repo: &RepoName) -> bool {
    let (scheme, rest) = url.split_once("://").map_or((None, url), |(scheme, rest)| (Some(scheme), rest));
    let known = |scheme: &str| ["https", "http", "ssh"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    if !scheme.is_none_or(known) {
        return false;
    }
    let is_user = |user: &str| {
        (1..=32).contains(&user.len())
            && user.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b'$'))
    };
    // A token may stand for either of the two, and is long.
    let is_secret = |text: &str| text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'/' | b'?' | b'#' | b':'));
    let is_login = |login: &str| {
        is_user(login)
            || scheme.is_some_and(|_| match login.split_once(':') {
                Some((user, password)) => is_secret(user) && is_secret(password),
                None => !login.is_empty() && is_secret(login),
            })
    };
    let rest = match rest.split_once('@') {
        Some((login, rest)) if is_login(login) => rest,
        Some(_) => return false,
        None => rest,
    };
    let is_path = |path: &str| {
        let path = path.strip_suffix('/').unwrap_or(path);
        let (name, end) = path.split_at_checked(path.len().saturating_sub(4)).unwrap_or((path, ""));
        repo.is(if end.eq_ignore_ascii_case(".git") { name } else { path })
    };
    let Some((host, after)) = rest.split_once([':', '/']) else { return false };
    let host_ok = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'));
    let has_port = rest.get(host.len()..).is_some_and(|rest| rest.starts_with(':'));
    let after_port = after
        .split_once([':', '/'])
        .filter(|(port, _)| has_port && !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
    host_ok && (is_path(after) || after_port.is_some_and(|(_, path)| is_path(path)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::BranchName;
    use proptest::prelude::*;

    #[test]
    fn our_repository_is_known_by_any_of_its_urls() {
        let repo = RepoName::parse("acme/GitOps").unwrap();
        for url in [
            "https://github.com/acme/gitops",
            "https://github.com/acme/gitops.git",
            "https://GitHub.com/Acme/GitOps.GIT",
            "http://github.acme.example/acme/gitops",
            "https://git@github.com/acme/gitops",
            "https://github.com:443/acme/gitops",
            "ssh://git@github.com/acme/gitops.git",
            "ssh://git@ssh.github.com:443/acme/gitops.git",
            "git@github.com:acme/gitops.git",
            "github.com/acme/gitops",
            "github.com:acme/gitops",
            "git@github.com:22:acme/gitops",
            // Argo CD fetches these, though its webhook does not match them.
            "https://github.com/acme/gitops/",
            "https://github.com/acme/gitops.git/",
            "https://user:password@github.com/acme/gitops",
            "https://x-access-token:ghs_16C7e42F292c6912E7710c838347Ae178B4a@github.com/acme/gitops.git",
            "https://github_pat_11ABCDEFG0123456789_abcdefghijklmnopqrstuvwxyz@github.com/acme/gitops",
            "https://:password@github.com/acme/gitops",
        ] {
            assert!(is_repository(url, &repo), "{url}");
        }
        for url in [
            "",
            "acme/gitops",
            "https://acme/gitops",
            "https://github.com/acme/gitops2",
            "https://github.com/acme/gitops.git.git",
            "https://github.com/acme/gitops//",
            "https://github.com/acme/gitops/tree/main",
            "https://github.com/mirror/acme/gitops",
            "https://github.com/notacme/gitops",
            "https://github.com/443/acme/gitops",
            "user:password@github.com/acme/gitops",
            "https://user:pass:word@github.com/acme/gitops",
            "https://a@b@github.com/acme/gitops",
            "https://@github.com/acme/gitops",
            "https://evil.example/x@github.com/acme/gitops",
            "https://evil.example?@github.com/acme/gitops",
            "oci://github.com/acme/gitops",
            "file:///acme/gitops",
            "https:///acme/gitops",
            "https://evil.example?github.com/acme/gitops",
            "https://github.com/acme/gitops?x=y",
        ] {
            assert!(!is_repository(url, &repo), "{url}");
        }
        assert!(is_repository("git@github.com:123/gitops.git", &RepoName::parse("123/gitops").unwrap()));
        assert!(is_repository("https://github.com/acme/x.git", &RepoName::parse("acme/x").unwrap()));
    }

    #[test]
    fn head_is_ours_only_where_the_branch_is_the_default() {
        let gitops = |is_default| GitOpsBranch {
            repo: RepoName::parse("acme/gitops").unwrap(),
            branch: BranchName::parse("main").unwrap(),
            is_default,
            url: "https://github.com/acme/gitops".to_owned(),
        };
        let check = |target: &str, expected: (bool, bool)| {
            let url = "https://github.com/acme/gitops".to_owned();
            let source = AppSource { url, target: target.to_owned(), path: String::new() };
            assert_eq!((follows(&source, &gitops(true)), follows(&source, &gitops(false))), expected, "{target}");
        };
        for head in ["", "HEAD"] {
            check(head, (true, false));
        }
        for ours in ["main", "refs/heads/main"] {
            check(ours, (true, true));
        }
        for other in
            ["v1.2", "staging", "refs/tags/main", "refs/heads/HEAD", "6b6ed4bd9a4f2ea2d3a7fce1f4e9b8d5c0a1b2c3"]
        {
            check(other, (false, false));
        }
    }

    proptest! {
        #[test]
        fn no_url_panics(url in "\\PC*", near in "((https|ssh)://)?([a-z$]*(:[a-z]*)?@)?[a-z.ü]*[:/]?[0-9]*[:/]acme/gitops(.git|.gé)?/?") {
            let repo = RepoName::parse("acme/gitops").unwrap();
            is_repository(&url, &repo);
            is_repository(&near, &repo);
        }
    }
}
