//! What we read afterwards: which commits touched a file, and what it takes to recognise one of them as ours.
//!
//! The message of a commit proves nothing, anybody can write it; GitHub's signature alone neither, a commit made on its pages has one too.
//! Parents, blobs, author and signature together do.

use super::{
    GitHub, Part, ReadError, commit_sha, flag, login, nodes, nonsense, qualified, read_data, read_head, send, text,
};
use crate::http::{Http, Request, Response};
use domain::fault::Fault;
use domain::names::{BlobSha, BranchName, CommitSha, FilePath, GitHubLogin, RepoName};
use domain::time::Timestamp;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const SETTLE: &str = "find out whether my commit landed";
const LAST_TOUCH: &str = "find out who changed the values file last";
const MAX_COMMITS: usize = 50;

/// The newest commits of a branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// Who we are.
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
    /// Its id.
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
    /// The whole message.
    pub message: String,
}

/// Which commits are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those that touched the first of the files.
    Touching,
    /// All: one that changes nothing is in no file's history.
    Any,
}

/// Builds the query for the branch's commits since then.
pub fn history_request(
    gh: &GitHub,
    repo: &RepoName,
    branch: &BranchName,
    paths: &[FilePath],
    which: Which,
    since: Timestamp,
) -> Request {
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
    if which == Which::Touching {
        // Left out it filters nothing, as if the query did not have it.
        variables.insert("path".to_owned(), json!(paths.first()));
    }
    variables.insert("since".to_owned(), json!(since.to_rfc3339()));
    gh.graphql(&query, &Value::Object(variables))
}

/// Understands its answer.
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
pub async fn history(
    http: &impl Http,
    gh: &GitHub,
    repo: &RepoName,
    branch: &BranchName,
    paths: &[FilePath],
    which: Which,
    since: Timestamp,
) -> Result<History, Fault> {
    read_history(paths, &send(http, history_request(gh, repo, branch, paths, which, since), SETTLE).await?)
}

/// Builds the query for the newest commit to each of the files, seen from a commit.
pub fn last_touch_request(gh: &GitHub, repo: &RepoName, at: &CommitSha, paths: &[FilePath]) -> Request {
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
    gh.graphql(&query, &Value::Object(variables))
}

/// Understands its answer.
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

/// Reads the newest commit to each of the files, seen from a commit. A file that no commit touched is left out.
pub async fn last_touch(
    http: &impl Http,
    gh: &GitHub,
    repo: &RepoName,
    at: &CommitSha,
    paths: &[FilePath],
) -> Result<BTreeMap<FilePath, PastCommit>, Fault> {
    read_last_touch(paths, &send(http, last_touch_request(gh, repo, at, paths), LAST_TOUCH).await?)
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
mod tests {
    use super::*;
    use crate::github::tests::{Script, answer, branch, error, gh, hostile, ok, path, repo, sha, show};
    use domain::fault::{Cause, System};

    fn blob(digit: &str) -> BlobSha {
        BlobSha::parse(&digit.repeat(40)).unwrap()
    }

    fn paths() -> [FilePath; 2] {
        [path("checkout/values.yaml"), path("checkout/canary.yaml")]
    }

    fn node() -> Value {
        json!({
            "oid": sha("c"),
            "message": "Deploy checkout\n\nDeploy-Id: 1",
            "parents": { "nodes": [{ "oid": sha("b") }] },
            "signature": { "isValid": true, "wasSignedByGitHub": true },
            "author": { "user": { "login": "deploy-bot[bot]" } },
            "changedFilesIfAvailable": 2,
            "file0": { "object": { "oid": blob("1") } },
            "file1": { "object": { "oid": blob("2") } },
        })
    }

    fn past() -> PastCommit {
        let [first, second] = paths();
        PastCommit {
            sha: sha("c"),
            parents: vec![sha("b")],
            signed_by_github: true,
            author: Some(GitHubLogin::parse("deploy-bot[bot]").unwrap()),
            changed_files: Some(2),
            blobs: BTreeMap::from([(first, blob("1")), (second, blob("2"))]),
            message: "Deploy checkout\n\nDeploy-Id: 1".to_owned(),
        }
    }

    fn walked(nodes: &[Value]) -> Value {
        json!({ "data": { "viewer": { "login": "deploy-bot[bot]" }, "gitops": { "ref": { "target": { "oid": sha("d"), "history": { "nodes": nodes } } } } } })
    }

    fn touched(nodes: [Value; 2]) -> Value {
        let [first, second] = nodes.map(|node| json!({ "nodes": [node] }));
        json!({ "data": { "gitops": { "object": { "oid": sha("d"), "history0": first, "history1": second } } } })
    }

    fn nonsense<T>(doing: &str, part: &str) -> Result<T, Fault> {
        Err(Fault::new(System::GitHub, doing, Cause::Nonsense { part: part.to_owned() }))
    }

    #[test]
    fn the_history_is_walked_by_one_query() {
        let (repo, branch, paths, gh) = (repo("acme/gitops"), branch("main"), paths(), gh());
        let script = Script::new(Ok(ok(&walked(&[node()]))));
        let since = Timestamp::from_seconds(1_787_301_763);
        let (outcome, request) = script.run(history(&script, &gh, &repo, &branch, &paths, Which::Touching, since));
        assert_eq!(
            outcome,
            Ok(History {
                viewer: GitHubLogin::parse("deploy-bot[bot]").unwrap(),
                head: sha("d"),
                commits: vec![past()],
                complete: true
            })
        );
        insta::assert_snapshot!(show(&request).split_once("\n\n").unwrap().1, @r#"
        query($owner: String!, $name: String!, $ref: String!, $path: String, $since: GitTimestamp!, $path0: String!, $path1: String!) {
          viewer { login }
          gitops: repository(owner: $owner, name: $name) {
            ref(qualifiedName: $ref) { target { oid ... on Commit {
              history(first: 50, path: $path, since: $since) { nodes { oid message parents(first: 2) { nodes { oid } } signature { isValid wasSignedByGitHub } author { user { login } } changedFilesIfAvailable file0: file(path: $path0) { object { ... on Blob { oid } } } file1: file(path: $path1) { object { ... on Blob { oid } } } } }
            } } }
          }
        }

        {
          "name": "gitops",
          "owner": "acme",
          "path": "checkout/values.yaml",
          "path0": "checkout/values.yaml",
          "path1": "checkout/canary.yaml",
          "ref": "refs/heads/main",
          "since": "2026-08-21T08:42:43Z"
        }
        "#);
    }

    #[test]
    fn a_commit_that_changes_nothing_is_looked_for_among_all() {
        let (repo, branch, gh) = (repo("acme/gitops"), branch("main"), gh());
        let request = history_request(&gh, &repo, &branch, &paths(), Which::Any, Timestamp(0));
        let variables = crate::github::tests::body(&request)["variables"].clone();
        assert_eq!(variables.get("path"), None, "a variable that is not there filters nothing");
        assert_eq!(variables["path0"], json!("checkout/values.yaml"));
    }

    #[test]
    fn fifty_commits_may_not_be_all() {
        for (count, complete) in [(0, true), (49, true), (50, false)] {
            let history = read_history(&paths(), &ok(&walked(&vec![node(); count]))).unwrap();
            assert_eq!((history.commits.len(), history.complete), (count, complete));
        }
    }

    #[test]
    fn the_signs_of_a_commit_are_read_one_by_one() {
        let check = |pointer: &str, value: Value, change: fn(&mut PastCommit)| {
            let (mut node, mut expected) = (node(), past());
            *node.pointer_mut(pointer).unwrap() = value;
            change(&mut expected);
            assert_eq!(read_history(&paths(), &ok(&walked(&[node]))).unwrap().commits, [expected], "{pointer}");
        };
        check("/signature", Value::Null, |past| past.signed_by_github = false);
        check("/signature/isValid", json!(false), |past| past.signed_by_github = false);
        check("/signature/wasSignedByGitHub", json!(false), |past| past.signed_by_github = false);
        check("/author", Value::Null, |past| past.author = None);
        check("/author/user", Value::Null, |past| past.author = None);
        check("/changedFilesIfAvailable", Value::Null, |past| past.changed_files = None);
        check("/changedFilesIfAvailable", json!(-1), |past| past.changed_files = None);
        check("/parents/nodes", json!([]), |past| past.parents.clear());
        check("/parents/nodes", json!([{ "oid": sha("b") }, { "oid": sha("e") }]), |past| past.parents.push(sha("e")));
        check("/file1", Value::Null, |past| past.blobs.retain(|_, blob| blob.as_str().starts_with('1')));
        check("/file0/object", json!({}), |past| past.blobs.retain(|_, blob| blob.as_str().starts_with('2')));
    }

    #[test]
    fn a_history_without_its_parts_is_a_fault() {
        let read = |answer: Value| read_history(&paths(), &ok(&answer));
        let gone = |data: Value| json!({ "data": data, "errors": [error("NOT_FOUND", &["gitops"], "m")] });
        assert_eq!(read(gone(json!({ "gitops": null }))), nonsense(SETTLE, "the repository"));
        assert_eq!(read(gone(json!({ "gitops": { "ref": null } }))), nonsense(SETTLE, "the branch"));
        assert_eq!(read(walked(&[json!(null)])), nonsense(SETTLE, "a commit's id"));
        assert_eq!(read(walked(&[json!({ "oid": sha("c"), "parents": null })])), nonsense(SETTLE, "a list of commits"));
        let fault = Fault::new(System::GitHub, SETTLE, Cause::Status { status: 502 });
        assert_eq!(read_history(&paths(), &answer(502, "")), Err(fault));
    }

    #[test]
    fn the_last_commit_to_each_file_is_found() {
        let (repo, at, paths, gh) = (repo("acme/gitops"), sha("d"), paths(), gh());
        let script = Script::new(Ok(ok(&touched([node(), node()]))));
        let (outcome, request) = script.run(last_touch(&script, &gh, &repo, &at, &paths));
        assert_eq!(outcome, Ok(BTreeMap::from(paths.map(|path| (path, past())))));
        insta::assert_snapshot!(show(&request).split_once("\n\n").unwrap().1, @r#"
        query($owner: String!, $name: String!, $at: GitObjectID!, $path0: String!, $path1: String!) {
          gitops: repository(owner: $owner, name: $name) { object(oid: $at) { ... on Commit { oid
            history0: history(first: 1, path: $path0) { nodes { oid message parents(first: 2) { nodes { oid } } signature { isValid wasSignedByGitHub } author { user { login } } changedFilesIfAvailable file0: file(path: $path0) { object { ... on Blob { oid } } } file1: file(path: $path1) { object { ... on Blob { oid } } } } }
            history1: history(first: 1, path: $path1) { nodes { oid message parents(first: 2) { nodes { oid } } signature { isValid wasSignedByGitHub } author { user { login } } changedFilesIfAvailable file0: file(path: $path0) { object { ... on Blob { oid } } } file1: file(path: $path1) { object { ... on Blob { oid } } } } }
          } } }
        }

        {
          "at": "dddddddddddddddddddddddddddddddddddddddd",
          "name": "gitops",
          "owner": "acme",
          "path0": "checkout/values.yaml",
          "path1": "checkout/canary.yaml"
        }
        "#);
    }

    #[test]
    fn a_file_that_nobody_touched_is_left_out() {
        let [first, second] = paths();
        let mut answer = touched([node(), node()]);
        answer["data"]["gitops"]["object"]["history1"]["nodes"] = json!([]);
        let touches = read_last_touch(&[first.clone(), second], &ok(&answer)).unwrap();
        assert_eq!(touches, BTreeMap::from([(first, past())]));
        for nothing in
            [json!({ "gitops": null }), json!({ "gitops": { "object": null } }), json!({ "gitops": { "object": 1 } })]
        {
            let answer = json!({ "data": nothing, "errors": [error("NOT_FOUND", &["gitops"], "m")] });
            assert_eq!(read_last_touch(&paths(), &ok(&answer)), nonsense(LAST_TOUCH, "the commit"));
        }
    }

    #[test]
    fn hostile_answers_are_survived() {
        hostile(&walked(&[node()]), |response| {
            if let Ok(history) = read_history(&paths(), &response) {
                assert_eq!(history.head, sha("d"));
            }
        });
        hostile(&touched([node(), node()]), |response| {
            if let Ok(touches) = read_last_touch(&paths(), &response) {
                assert!(touches.len() <= 2);
            }
        });
    }
}
