//! What we read after a commit: which commits touched a file, and whether one of them is ours.
//!
//! A message proves nothing: anybody can write it. GitHub's signature alone proves nothing: a commit made on
//! its pages has one too. Parents, blobs, author and signature together are a proof.

use super::answer::{Part, ReadError, commit_sha, flag, login, nodes, nonsense, qualified, read_data, read_head, text};
use super::api::{GitHub, graphql, send};
use crate::http::{Http, Request, Response};
use domain::fault::Fault;
use domain::names::{BlobSha, BranchName, CommitSha, FilePath, GitHubLogin, RepoName, UrlOrigin};
use domain::time::Timestamp;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const SETTLE: &str = "find out whether my commit landed";
const LAST_TOUCH: &str = "find out who changed the values file last";
const MAX_COMMITS: usize = 50;

/// The newest commits of a branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// Our own account.
    pub viewer: GitHubLogin,
    /// The branch's head at the same moment.
    pub head: CommitSha,
    /// Newest first.
    pub commits: Vec<PastCommit>,
    /// Whether these are all of them; GitHub was asked for fifty.
    pub complete: bool,
}

/// A commit with what it takes to recognise it as ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastCommit {
    pub sha: CommitSha,
    /// Its parents, the first two.
    pub parents: Vec<CommitSha>,
    /// GitHub made the signature, and it holds.
    pub signed_by_github: bool,
    /// The author's account, where GitHub knows one.
    pub author: Option<GitHubLogin>,
    /// How many files it changed, unless that takes GitHub too long to count.
    pub changed_files: Option<u32>,
    /// The content, after it, of those of the asked files that exist there.
    pub blobs: BTreeMap<FilePath, BlobSha>,
    pub message: String,
}

/// What is asked of a branch.
#[derive(Clone, Copy, Debug)]
pub struct HistoryQuestion<'a> {
    pub repo: &'a RepoName,
    pub branch: &'a BranchName,
    /// The files whose content after each commit is wanted.
    pub paths: &'a [FilePath],
    /// Only the commits that touched this file. `None`: all of them, because a commit that changes nothing is
    /// in no file's history.
    pub touching: Option<&'a FilePath>,
    pub since: Timestamp,
}

/// Builds the query for the branch's commits since then.
pub fn history_request(api: &UrlOrigin, question: &HistoryQuestion<'_>) -> Request {
    let HistoryQuestion { repo, branch, paths, touching, since } = *question;
    let query = format!(
        "query($owner: String!, $name: String!, $ref: String!, $path: String, $since: GitTimestamp!{}) {{
  viewer {{ login }}
  gitops: repository(owner: $owner, name: $name) {{
    ref(qualifiedName: $ref) {{ target {{ oid ... on Commit {{
      history(first: {MAX_COMMITS}, path: $path, since: $since) {{ {} }}
    }} }} }}
  }}
}}",
        path_variables(paths),
        past_nodes(paths)
    );
    let mut variables = with_paths(repo, paths);
    variables.insert("ref".to_owned(), json!(qualified(branch)));
    if let Some(path) = touching {
        // Without this variable the query filters nothing.
        variables.insert("path".to_owned(), json!(path));
    }
    variables.insert("since".to_owned(), json!(since.to_rfc3339()));
    graphql(api, &query, &Value::Object(variables))
}

pub fn read_history(paths: &[FilePath], response: &Response) -> Result<History, Fault> {
    let data = read_data(response, SETTLE)?;
    let (_, head) = read_head(&data, "gitops", SETTLE).map_err(|error| match error {
        ReadError::Fault(fault) => fault,
        ReadError::NoRepository => nonsense(SETTLE, "the repository"),
        ReadError::NoBranch => nonsense(SETTLE, "the branch"),
    })?;
    let read = || {
        let commits = read_past(head, "history", paths)?;
        let viewer = login(&data, "/viewer/login").ok_or("our own login")?;
        Ok(History { viewer, head: commit_sha(head, "/oid")?, complete: commits.len() < MAX_COMMITS, commits })
    };
    read().map_err(|part| nonsense(SETTLE, part))
}

/// Reads which commits there are since then, and what all of the files were after each.
pub async fn history(http: &impl Http, gh: &GitHub, question: &HistoryQuestion<'_>) -> Result<History, Fault> {
    read_history(question.paths, &send(http, gh, history_request(&gh.url, question), SETTLE).await?)
}

/// Builds the query for the newest commit to each of the files, seen from a commit.
pub fn last_touch_request(api: &UrlOrigin, repo: &RepoName, at: &CommitSha, paths: &[FilePath]) -> Request {
    let nodes = past_nodes(paths);
    let histories: String = (0..paths.len())
        .map(|n| format!("\n    history{n}: history(first: 1, path: $path{n}) {{ {nodes} }}"))
        .collect();
    let query = format!(
        "query($owner: String!, $name: String!, $at: GitObjectID!{}) {{
  gitops: repository(owner: $owner, name: $name) {{ object(oid: $at) {{ ... on Commit {{ oid{histories}
  }} }} }}
}}",
        path_variables(paths)
    );
    let mut variables = with_paths(repo, paths);
    variables.insert("at".to_owned(), json!(at));
    graphql(api, &query, &Value::Object(variables))
}

pub fn read_last_touch(paths: &[FilePath], response: &Response) -> Result<BTreeMap<FilePath, PastCommit>, Fault> {
    let data = read_data(response, LAST_TOUCH)?;
    let read = || {
        let commit = data.pointer("/gitops/object").filter(|commit| commit.is_object()).ok_or("the commit")?;
        let mut touches = BTreeMap::new();
        for (n, path) in paths.iter().enumerate() {
            let newest = read_past(commit, &format!("history{n}"), paths)?.into_iter().next();
            touches.extend(newest.map(|newest| (path.clone(), newest)));
        }
        Ok(touches)
    };
    read().map_err(|part| nonsense(LAST_TOUCH, part))
}

/// Reads the newest commit to each of the files, seen from a commit. A file that no commit touched is
/// left out.
pub async fn last_touch(
    http: &impl Http,
    gh: &GitHub,
    repo: &RepoName,
    at: &CommitSha,
    paths: &[FilePath],
) -> Result<BTreeMap<FilePath, PastCommit>, Fault> {
    read_last_touch(paths, &send(http, gh, last_touch_request(&gh.url, repo, at, paths), LAST_TOUCH).await?)
}

fn path_variables(paths: &[FilePath]) -> String {
    (0..paths.len()).map(|n| format!(", $path{n}: String!")).collect()
}

fn past_nodes(paths: &[FilePath]) -> String {
    let files: String = (0..paths.len())
        .map(|n| format!(" file{n}: file(path: $path{n}) {{ object {{ ... on Blob {{ oid }} }} }}"))
        .collect();
    format!(
        "nodes {{ oid message parents(first: 2) {{ nodes {{ oid }} }} signature {{ isValid wasSignedByGitHub }} \
         author {{ user {{ login }} }} changedFilesIfAvailable{files} }}"
    )
}

fn with_paths(repo: &RepoName, paths: &[FilePath]) -> Map<String, Value> {
    let names = [("owner".to_owned(), json!(repo.owner())), ("name".to_owned(), json!(repo.name()))];
    let paths = paths.iter().enumerate().map(|(n, path)| (format!("path{n}"), json!(path)));
    names.into_iter().chain(paths).collect()
}

fn read_past(commit: &Value, alias: &str, paths: &[FilePath]) -> Part<Vec<PastCommit>> {
    nodes(commit, &format!("/{alias}/nodes"))?.iter().map(|node| read_past_commit(node, paths)).collect()
}

fn read_past_commit(node: &Value, paths: &[FilePath]) -> Part<PastCommit> {
    let mut blobs = BTreeMap::new();
    for (n, path) in paths.iter().enumerate() {
        let blob = text(node, &format!("/file{n}/object/oid")).and_then(|oid| BlobSha::parse(oid).ok());
        blobs.extend(blob.map(|blob| (path.clone(), blob)));
    }
    Ok(PastCommit {
        sha: commit_sha(node, "/oid")?,
        parents: nodes(node, "/parents/nodes")?.iter().map(|parent| commit_sha(parent, "/oid")).collect::<Part<_>>()?,
        signed_by_github: flag(node, "/signature/isValid") && flag(node, "/signature/wasSignedByGitHub"),
        author: login(node, "/author/user/login"),
        changed_files: node.get("changedFilesIfAvailable").and_then(Value::as_u64).and_then(|n| n.try_into().ok()),
        blobs,
        message: text(node, "/message").unwrap_or_default().to_owned(),
    })
}

#[cfg(test)]
mod tests;
