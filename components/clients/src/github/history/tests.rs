use super::*;
use crate::github::samples::{body, branch, error, gh, hostile, ok, path, repo, sha, show};
use crate::http::script::{Script, response};
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
    let script = Script::new([Ok(ok(&walked(&[node()])))]);
    let since = Timestamp::from_seconds(1_787_301_763);
    let question = HistoryQuestion { repo: &repo, branch: &branch, paths: &paths, touching: paths.first(), since };
    let (outcome, request) = script.once(history(&script, &gh, &question));
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
    let (repo, branch, since) = (repo("acme/gitops"), branch("main"), Timestamp(0));
    let question = HistoryQuestion { repo: &repo, branch: &branch, paths: &paths(), touching: None, since };
    let variables = body(&history_request(&gh().url, &question))["variables"].clone();
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
    assert_eq!(read_history(&paths(), &response(502, "")), Err(fault));
}

#[test]
fn the_last_commit_to_each_file_is_found() {
    let (repo, at, paths, gh) = (repo("acme/gitops"), sha("d"), paths(), gh());
    let script = Script::new([Ok(ok(&touched([node(), node()])))]);
    let (outcome, request) = script.once(last_touch(&script, &gh, &repo, &at, &paths));
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
