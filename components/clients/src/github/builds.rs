//! The commits that CI may have built where it builds only what has changed: of a repository with several apps.
//!
//! An image of an older commit is as good as one of the newest if both commits have the same files where the app is built
//! from. GitHub's ids of these files and folders say so; no date and no order of commits has to be believed.

use super::answer::{commit_sha, text, words};
use super::checks::{read_checks, rollup};
use domain::github::CommitChecks;
use domain::names::CommitSha;
use serde_json::Value;

/// How many older commits are looked for in the registry. More than the last change and its merge are there only where
/// somebody changed something back.
const MOST: usize = 3;

/// An older commit that CI may have built instead of the newest one: both have the same files in all of
/// [`Question::built_from`](super::Question::built_from).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Build {
    pub sha: CommitSha,
    /// The first line of its message.
    pub title: String,
    /// As for a pull request.
    pub checks: CommitChecks,
}

/// Of the newest commit: the file or folder at each path, and the last commit that changed the path. Of that commit also the
/// merge that brought it, because CI builds the merge commit of a pull request. From GitHub's public schema (`Commit`).
pub(super) fn builds_query(paths: usize, named_checks: bool) -> String {
    let files: String = (0..paths).map(|n| format!(" built{n}: file(path: $built{n}) {{ mode oid }}")).collect();
    let commit = format!("oid messageHeadline {}{files}", rollup(named_checks));
    let merge = format!("associatedPullRequests(first: 5) {{ nodes {{ mergeCommit {{ {commit} }} }} }}");
    let last = |n| format!("\n        last{n}: history(first: 1, path: $built{n}) {{ nodes {{ {commit} {merge} }} }}");
    files.clone() + &(0..paths).map(last).collect::<String>()
}

/// The merge before the commit that it brought: on the branch of the pull request, CI may have built something else.
pub(super) fn read_builds(head: &Value, paths: usize) -> Vec<Build> {
    // A path that is not there proves nothing: the catalog may have an old name of the folder.
    let files = |commit: &Value| -> Option<Vec<(u64, String)>> {
        let of = |n| {
            let mode = commit.pointer(&format!("/built{n}/mode"))?.as_u64()?;
            Some((mode, text(commit, &format!("/built{n}/oid"))?.to_owned()))
        };
        (0..paths).map(of).collect()
    };
    let Some(newest) = files(head) else { return Vec::new() };
    let mut builds: Vec<Build> = Vec::new();
    for last in (0..paths).filter_map(|n| head.pointer(&format!("/last{n}/nodes/0"))) {
        let of = last.pointer("/associatedPullRequests/nodes").and_then(Value::as_array).into_iter().flatten();
        for commit in of.filter_map(|pull_request| pull_request.get("mergeCommit")).chain([last]) {
            let Ok(sha) = commit_sha(commit, "/oid") else { continue };
            let is_known = Some(sha.as_str()) == text(head, "/oid") || builds.iter().any(|known| known.sha == sha);
            if !is_known && builds.len() < MOST && files(commit).as_ref() == Some(&newest) {
                let title = words(text(commit, "/messageHeadline").unwrap_or_default());
                builds.push(Build { sha, title, checks: read_checks(commit) });
            }
        }
    }
    builds
}
