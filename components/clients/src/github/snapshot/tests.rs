use super::*;
use crate::github::samples::{blob, body, branch, error, gh, hostile, ok, path, repo, sha, show};
use crate::http::HttpError;
use crate::http::script::Script;
use domain::fault::{Cause, Fault, System};
use domain::github::{ChecksState, Opinion, Review, RunState};
use domain::values::OddFile;

/// A question that owns what it asks about.
struct Asked {
    repos: [RepoName; 2],
    branch: BranchName,
    files: [FilePath; 2],
    live: Option<CommitSha>,
    paths: Vec<String>,
    folders: Vec<String>,
    reference: Reference,
    sought: Sought,
}

fn asked(reference: Reference) -> Asked {
    Asked {
        repos: [repo("acme/gitops"), repo("acme/checkout")],
        branch: branch("main"),
        files: [path("apps/checkout/values.yaml"), path("deploy-bot.yaml")],
        live: Some(sha("1")),
        paths: vec!["apps/checkout".to_owned()],
        folders: Vec::new(),
        sought: (&reference).into(),
        reference,
    }
}

fn pull_request() -> Asked {
    asked(Reference::PullRequest(PullRequestNumber(42)))
}

fn feature_branch() -> Asked {
    asked(Reference::Branch(branch("feature/x")))
}

impl Asked {
    fn question(&self) -> Question<'_> {
        Question {
            gitops_repo: &self.repos[0],
            gitops_branch: &self.branch,
            values: &self.files[0],
            also: &[],
            include: &[],
            catalog: &self.files[1],
            live: self.live.as_ref(),
            paths: &self.paths,
            folders: &self.folders,
            app_repo: &self.repos[1],
            sought: &self.sought,
            built_from: &[],
            named_checks: false,
            status: false,
            reviews: false,
            checks_of: None,
        }
    }

    fn read(&self, answer: &Value) -> Result<Snapshot, ReadError> {
        read_snapshot(&self.question(), &ok(answer))
    }
}

fn good() -> Value {
    json!({ "data": {
        "viewer": { "login": "deploy-bot[bot]" },
        "gitops": { "url": "https://github.com/acme/gitops", "defaultBranchRef": { "name": "main" }, "ref": { "target": {
            "oid": sha("a"),
            "values": blob("image:\n  tag: \"main-1\"\n"),
            "catalog": blob("apps: {}\n"),
            "history0": { "nodes": [
                { "oid": sha("3"), "message": "Raise  limits", "author": { "name": "Alice", "user": { "login": "alice" } } },
                { "oid": sha("2"), "message": "Fix", "author": { "name": "Bob", "user": null } },
                { "oid": sha("1"), "message": "Deploy", "author": { "name": "deploy-bot[bot]", "user": null } },
                { "oid": sha("0"), "message": "Old", "author": null },
            ] },
        } } },
        "app": { "nameWithOwner": "acme/checkout", "pullRequest": {
            "number": 42, "state": "OPEN", "isDraft": false, "isCrossRepository": false, "headRefName": "feature/x",
            "headRefOid": sha("f"), "headRepository": { "nameWithOwner": "acme/checkout" }, "baseRefName": "main",
            "title": "Faster checkout", "url": "https://github.com/acme/checkout/pull/42", "author": { "login": "alice" },
            "commits": { "nodes": [{ "commit": { "oid": sha("f"), "statusCheckRollup": { "state": "SUCCESS" } } }] },
        } },
    } })
}

fn with_branch() -> Value {
    let mut answer = good();
    let target = json!({ "oid": sha("f"), "messageHeadline": "Faster", "statusCheckRollup": null });
    answer["data"]["app"] = json!({ "nameWithOwner": "acme/checkout", "ref": { "target": target } });
    answer
}

/// A good answer with one part replaced, and an error that names the part.
fn with(pointer: &str, value: Value) -> Value {
    let mut answer = good();
    *answer.pointer_mut(pointer).unwrap() = value;
    let path: Vec<&str> = pointer.split('/').skip(2).collect();
    answer["errors"] = json!([error("NOT_FOUND", &path, "Could not resolve to it.")]);
    answer
}

fn part(outcome: Result<Snapshot, ReadError>) -> String {
    match outcome {
        Err(ReadError::Fault(Fault { cause: Cause::Nonsense { part }, .. })) => part,
        other => panic!("{other:?}"),
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn one_query_asks_for_everything() {
    let (asked, gh) = (pull_request(), gh());
    let script = Script::new([Ok(ok(&good()))]);
    let (outcome, request) = script.once(snapshot(&script, &gh, &asked.question()));
    assert!(outcome.is_ok());
    insta::assert_snapshot!(show(&request), @r#"
    POST https://api.github.com/graphql
    accept: application/vnd.github+json
    authorization: Bearer ghs_secret
    content-type: application/json
    user-agent: deploy-bot

    query($gitopsOwner: String!, $gitopsName: String!, $gitopsRef: String!, $values: String!, $catalog: String!, $appOwner: String!, $appName: String!, $number: Int!, $path0: String!, $live: GitObjectID!) {
      viewer { login }
      gitops: repository(owner: $gitopsOwner, name: $gitopsName) {
        url
        defaultBranchRef { name }
        ref(qualifiedName: $gitopsRef) { target { oid ... on Commit {
          values: file(path: $values) { mode object { ... on Blob { oid text isBinary isTruncated byteSize } } }
          catalog: file(path: $catalog) { mode object { ... on Blob { oid text isBinary isTruncated byteSize } } }
          history0: history(first: 100, path: $path0) { nodes { oid message author { name user { login } } } }
          path0: file(path: $path0) { oid }
        } } }
        live: object(oid: $live) { ... on Commit {
          path0: file(path: $path0) { oid }
          last0: history(first: 1, path: $path0) { nodes { oid } }
        } }
      }
      app: repository(owner: $appOwner, name: $appName) {
        nameWithOwner
        pullRequest(number: $number) {
          number state isDraft isCrossRepository headRefName headRefOid headRepository { nameWithOwner } baseRefName title url
          author { login } commits(last: 1) { nodes { commit { oid statusCheckRollup { state } } } }
        }
      }
    }

    {
      "appName": "checkout",
      "appOwner": "acme",
      "catalog": "deploy-bot.yaml",
      "gitopsName": "gitops",
      "gitopsOwner": "acme",
      "gitopsRef": "refs/heads/main",
      "live": "1111111111111111111111111111111111111111",
      "number": 42,
      "path0": "apps/checkout",
      "values": "apps/checkout/values.yaml"
    }
    "#);
    let request = snapshot_request(&gh.url, &feature_branch().question());
    insta::assert_snapshot!(show(&request).split_once("  app: ").unwrap().1, @r#"
    repository(owner: $appOwner, name: $appName) {
        nameWithOwner
        ref(qualifiedName: $appRef) {
          target { oid ... on Commit { messageHeadline statusCheckRollup { state } } }
        }
      }
    }

    {
      "appName": "checkout",
      "appOwner": "acme",
      "appRef": "refs/heads/feature/x",
      "catalog": "deploy-bot.yaml",
      "gitopsName": "gitops",
      "gitopsOwner": "acme",
      "gitopsRef": "refs/heads/main",
      "live": "1111111111111111111111111111111111111111",
      "path0": "apps/checkout",
      "values": "apps/checkout/values.yaml"
    }
    "#);
}

#[test]
fn the_checks_of_an_earlier_version_are_asked_for_besides() {
    let (asked, gh, old) = (feature_branch(), gh(), sha("e"));
    let question = Question { checks_of: Some(&old), ..asked.question() };
    let request = snapshot_request(&gh.url, &question);
    let query = body(&request)["query"].as_str().unwrap().to_owned();
    assert!(query.lines().next().unwrap().contains("$appRef: String!, $checked: GitObjectID!, "));
    insta::assert_snapshot!(query.split_once("  app: ").unwrap().1, @r"
    repository(owner: $appOwner, name: $appName) {
        nameWithOwner
        ref(qualifiedName: $appRef) {
          target { oid ... on Commit { messageHeadline statusCheckRollup { state } } }
        }
        checked: object(oid: $checked) { ... on Commit { statusCheckRollup { state } } }
      }
    }
    ");
    assert_eq!(body(&request)["variables"]["checked"], json!(old));

    let check = |part: Value, errors: Value, expected: Option<ChecksState>| {
        let mut answer = with_branch();
        answer["data"]["app"]["checked"] = part;
        answer["errors"] = errors;
        let snapshot = read_snapshot(&question, &ok(&answer)).unwrap();
        assert_eq!(snapshot.checked.unwrap_or_default().all, expected);
    };
    check(json!({ "statusCheckRollup": { "state": "FAILURE" } }), json!([]), Some(ChecksState::Failed));
    check(json!({ "statusCheckRollup": null }), json!([]), None);
    check(json!(null), json!([error("NOT_FOUND", &["app", "checked"], "m")]), None);
    let hidden = error("FORBIDDEN", &["app", "checked", "statusCheckRollup"], "Resource not accessible");
    check(json!({ "statusCheckRollup": null }), json!([hidden]), None);
}

#[test]
fn each_check_is_asked_for_only_where_the_catalog_names_checks() {
    let (paths, old) = ([path("services/cart")], sha("e"));
    for asked in [feature_branch(), pull_request()] {
        let plain = Question { built_from: &paths, checks_of: Some(&old), ..asked.question() };
        let query = |question: &Question<'_>| {
            body(&snapshot_request(&gh().url, question))["query"].as_str().unwrap().to_owned()
        };
        assert!(!query(&plain).contains("contexts"));
        let named = query(&Question { named_checks: true, ..plain });
        // The newest commit, the last one of the path, the merge of that, and the one that is asked for besides.
        assert_eq!(named.matches("contexts(first: 100)").count(), 4, "{named}");
        assert_eq!(named.matches('{').count(), named.matches('}').count(), "{named}");
    }
    let (asked, mut answer) = (feature_branch(), with_branch());
    let run =
        json!({ "name": "build", "status": "COMPLETED", "conclusion": "SUCCESS", "startedAt": "2026-08-21T08:42:43Z" });
    let contexts = json!({ "pageInfo": { "hasNextPage": false }, "nodes": [run] });
    let rollup = json!({ "state": "FAILURE", "contexts": contexts });
    answer["data"]["app"]["ref"]["target"]["statusCheckRollup"] = rollup.clone();
    answer["data"]["app"]["checked"] = json!({ "statusCheckRollup": rollup });
    let question = Question { named_checks: true, checks_of: Some(&old), ..asked.question() };
    let snapshot = read_snapshot(&question, &ok(&answer)).unwrap();
    let SourceState::Branch { checks, .. } = &snapshot.source else { panic!("{snapshot:?}") };
    for checks in [checks, snapshot.checked.as_ref().unwrap()] {
        assert_eq!((checks.all, checks.of("build")), (Some(ChecksState::Failed), Some(RunState::Passed)));
    }
}

#[test]
fn outside_text_is_never_part_of_the_query() {
    let (plain, mut odd) = (feature_branch(), asked(Reference::Branch(branch("\"){viewer{login}}#"))));
    odd.files = [path("\"}/$x.yaml"), path("{}")];
    odd.branch = branch("$main\"");
    let query = |asked: &Asked| body(&snapshot_request(&gh().url, &asked.question()))["query"].clone();
    assert_eq!(query(&plain), query(&odd));
}

#[test]
fn variables_hold_what_github_can_take() {
    let check = |asked: &Asked, name: &str, expected: Value| {
        assert_eq!(body(&snapshot_request(&gh().url, &asked.question()))["variables"][name], expected);
    };
    let mut asked = pull_request();
    asked.sought.pull_request = Some(PullRequestNumber(u32::MAX));
    check(&asked, "number", json!(i32::MAX));
    check(&asked, "path0", json!("apps/checkout"));
    check(&asked, "live", json!(sha("1")));
    asked.folders = vec![String::new(), "apps".to_owned()];
    check(&asked, "folder0", Value::Null);
    check(&asked, "folder1", json!("apps"));
    asked.live = None;
    check(&asked, "live", Value::Null);
    check(&asked, "folder1", Value::Null);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn a_pull_request_is_read() {
    insta::assert_debug_snapshot!(pull_request().read(&good()).unwrap(), @r#"
    Snapshot {
        viewer: GitHubLogin(
            "deploy-bot[bot]",
        ),
        url: "https://github.com/acme/gitops",
        is_default: true,
        head: CommitSha(
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ),
        values: File {
            blob: BlobSha(
                "9017843efe61cd6d08cb6114147bf67baa4cd078",
            ),
            text: Some(
                "image:\n  tag: \"main-1\"\n",
            ),
            size: 23,
            odd: None,
        },
        also: [],
        catalog: File {
            blob: BlobSha(
                "ecba7b7fbb18a8b76ff7efa8f4230c7537c4a25f",
            ),
            text: Some(
                "apps: {}\n",
            ),
            size: 9,
            odd: None,
        },
        included: [],
        since_live: [
            Touch {
                sha: CommitSha(
                    "3333333333333333333333333333333333333333",
                ),
                headline: "Raise limits",
                deploy_ids: [],
                login: Some(
                    GitHubLogin(
                        "alice",
                    ),
                ),
                name: "Alice",
                lasts: true,
            },
            Touch {
                sha: CommitSha(
                    "2222222222222222222222222222222222222222",
                ),
                headline: "Fix",
                deploy_ids: [],
                login: None,
                name: "Bob",
                lasts: true,
            },
        ],
        complete: true,
        changed: [],
        newest: [],
        source: PullRequest {
            number: PullRequestNumber(
                42,
            ),
            open: Open,
            draft: false,
            from_fork: false,
            branch: BranchName(
                "feature/x",
            ),
            base: BranchName(
                "main",
            ),
            head: CommitSha(
                "ffffffffffffffffffffffffffffffffffffffff",
            ),
            title: "Faster checkout",
            author: Some(
                GitHubLogin(
                    "alice",
                ),
            ),
            url: "https://github.com/acme/checkout/pull/42",
            checks: CommitChecks {
                all: Some(
                    Passed,
                ),
                runs: [],
                more: false,
            },
            builds: [],
            reviews: ReviewsState {
                head_author: None,
                latest: [],
                merged: None,
            },
        },
        checked: None,
    }
    "#);
}

#[test]
fn a_branch_is_read() {
    let snapshot = feature_branch().read(&with_branch()).unwrap();
    let (branch, title, reviews) = (branch("feature/x"), "Faster".to_owned(), ReviewsState::default());
    assert_eq!(
        snapshot.source,
        SourceState::Branch {
            branch,
            head: sha("f"),
            title,
            checks: CommitChecks::default(),
            builds: Vec::new(),
            reviews
        }
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn an_older_commit_with_the_same_files_may_have_been_built() {
    let (gh, paths) = (gh(), [path("services/cart"), path("libs")]);
    for asked in [feature_branch(), pull_request()] {
        let question = Question { built_from: &paths, ..asked.question() };
        let request = snapshot_request(&gh.url, &question);
        let text = body(&request)["query"].as_str().unwrap().to_owned();
        assert!(text.lines().next().unwrap().contains("$built0: String!, $built1: String!, "), "{text}");
        assert_eq!(text.matches('{').count(), text.matches('}').count(), "{text}");
        assert_eq!(body(&request)["variables"]["built1"], json!("libs"));
        if asked.reference == feature_branch().reference {
            insta::assert_snapshot!(text.split_once("  app: ").unwrap().1, @"
            repository(owner: $appOwner, name: $appName) {
                nameWithOwner
                ref(qualifiedName: $appRef) {
                  target { oid ... on Commit { messageHeadline statusCheckRollup { state } built0: file(path: $built0) { mode oid } built1: file(path: $built1) { mode oid }
                    last0: history(first: 1, path: $built0) { nodes { oid messageHeadline statusCheckRollup { state } built0: file(path: $built0) { mode oid } built1: file(path: $built1) { mode oid } associatedPullRequests(first: 5) { nodes { mergeCommit { oid messageHeadline statusCheckRollup { state } built0: file(path: $built0) { mode oid } built1: file(path: $built1) { mode oid } } } } } }
                    last1: history(first: 1, path: $built1) { nodes { oid messageHeadline statusCheckRollup { state } built0: file(path: $built0) { mode oid } built1: file(path: $built1) { mode oid } associatedPullRequests(first: 5) { nodes { mergeCommit { oid messageHeadline statusCheckRollup { state } built0: file(path: $built0) { mode oid } built1: file(path: $built1) { mode oid } } } } } } } }
                }
              }
            }
            ");
        }
        let commit = |id: &str, files: [&str; 2], merge: Value| {
            let file = |oid: &str| match oid {
                "" => json!(null),
                "+x" => json!({ "mode": 33261, "oid": "l" }),
                _ => json!({ "mode": 33188, "oid": oid }),
            };
            json!({ "oid": sha(id), "messageHeadline": "Work", "statusCheckRollup": { "state": "SUCCESS" },
                "built0": file(files[0]), "built1": file(files[1]),
                "associatedPullRequests": { "nodes": [{ "mergeCommit": merge }] } })
        };
        let builds_of = |here: &str, last: [Value; 2]| {
            let (mut answer, head) = match asked.reference {
                Reference::Branch(_) => (with_branch(), "/data/app/ref/target"),
                _ => (good(), "/data/app/pullRequest/commits/nodes/0/commit"),
            };
            let target = answer.pointer_mut(head).unwrap();
            let own = target["oid"].clone();
            let found = commit("0", ["a", here], Value::Null);
            for key in ["built0", "built1"] {
                target[key] = found[key].clone();
            }
            for (n, commit) in last.into_iter().enumerate() {
                target[format!("last{n}")] = json!({ "nodes": [commit] });
            }
            let snapshot = read_snapshot(&question, &ok(&answer)).unwrap();
            let builds = snapshot.source.builds();
            assert!(
                builds.iter().all(|build| build.checks.all == Some(ChecksState::Passed) && json!(build.sha) != own)
            );
            builds.iter().map(|build| build.sha.clone()).collect::<Vec<_>>()
        };
        let builds = |last: [Value; 2]| builds_of("l", last);
        let merge = |files| commit("c", files, Value::Null);
        let last = |id, files, merge| commit(id, files, merge);
        // The merge is built on the branch where it is, the commit on its own; another file is another image.
        let both = last("b", ["a", "l"], merge(["a", "l"]));
        assert_eq!(builds([both.clone(), both.clone()]), [sha("c"), sha("b")]);
        assert_eq!(builds([both.clone(), last("d", ["a", "b"], Value::Null)]), [sha("c"), sha("b")]);
        assert_eq!(builds([last("b", ["x", "l"], merge(["a", "x"])), Value::Null]), []);
        assert_eq!(builds([last("b", ["a", "l"], merge(["x", "l"])), Value::Null]), [sha("b")]);
        assert_eq!(builds([last("b", ["a", "+x"], Value::Null), last("c", ["a", ""], Value::Null)]), []);
        assert_eq!(builds([json!({}), json!("nonsense")]), []);
        // What is not there at the newest commit proves nothing.
        assert_eq!(builds_of("", [last("b", ["a", ""], Value::Null), Value::Null]), []);
    }
    // Not that of another commit.
    let (asked, mut answer) = (pull_request(), good());
    answer["data"]["app"]["pullRequest"]["headRefOid"] = json!(sha("9"));
    let question = Question { built_from: &paths, ..asked.question() };
    assert_eq!(read_snapshot(&question, &ok(&answer)).unwrap().source.builds(), []);
}

#[test]
fn what_is_absent_is_an_answer() {
    let read = |answer: Value| pull_request().read(&answer);
    assert_eq!(read(with("/data/gitops", Value::Null)), Err(ReadError::NoRepository));
    assert_eq!(read(with("/data/gitops/ref", Value::Null)), Err(ReadError::NoBranch));
    assert_eq!(read(with("/data/app", Value::Null)).unwrap().source, SourceState::NoRepository);
    assert_eq!(read(with("/data/app/pullRequest", Value::Null)).unwrap().source, SourceState::NoPullRequest);
    let no_ref = with("/data/app", json!({ "nameWithOwner": "acme/checkout", "ref": null }));
    assert_eq!(feature_branch().read(&no_ref).unwrap().source, SourceState::NoBranch);
    let values = "/data/gitops/ref/target/values";
    for nothing in [json!(null), json!({ "mode": 16384, "object": {} }), json!({ "mode": 33188, "object": null })] {
        assert_eq!(read(with(values, nothing)).unwrap().values, FileState::Missing);
    }
    assert_eq!(read(with("/data/gitops/ref/target/catalog", Value::Null)).unwrap().catalog, FileState::Missing);
}

#[test]
fn what_is_no_plain_file_is_said() {
    let read = |mode: u32| {
        let mut answer = good();
        answer["data"]["gitops"]["ref"]["target"]["values"]["mode"] = json!(mode);
        match pull_request().read(&answer).unwrap().values {
            FileState::File { odd, .. } => odd,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(read(0o100_644), None);
    assert_eq!(read(0o100_755), Some(OddFile::Executable));
    assert_eq!(read(0o120_000), Some(OddFile::Symlink));
    assert_eq!(read(0o100_664), Some(OddFile::Mode(0o100_664)));
    let submodule = with("/data/gitops/ref/target/values", json!({ "mode": 57344, "object": null }));
    assert_eq!(pull_request().read(&submodule).unwrap().values, FileState::Submodule);
    for bad in [json!("100644"), json!(-1), json!(1_u64 << 40), json!(33188.5)] {
        let mut answer = good();
        answer["data"]["gitops"]["ref"]["target"]["values"]["mode"] = bad;
        assert_eq!(part(pull_request().read(&answer)), "a file's mode");
    }
}

#[test]
fn a_missing_key_is_not_a_missing_thing() {
    for (pointer, key, expected) in [
        ("/data", "viewer", "our own login"),
        ("/data", "gitops", "the repository"),
        ("/data/gitops", "ref", "the branch"),
        ("/data/gitops", "url", "the repository's page"),
        ("/data/gitops/ref", "target", "the head"),
        ("/data/gitops/ref/target", "oid", "a commit's id"),
        ("/data/gitops/ref/target", "values", "a file"),
        ("/data/gitops/ref/target/values", "mode", "a file's mode"),
        ("/data/gitops/ref/target/values/object", "byteSize", "a file's size"),
        ("/data/gitops/ref/target", "history0", "a list of commits"),
        ("/data", "app", "the app's repository"),
        ("/data/app", "pullRequest", "the pull request"),
        ("/data/app/pullRequest", "state", "the pull request's state"),
        ("/data/app/pullRequest", "headRefName", "the pull request's branch"),
        ("/data/app/pullRequest", "baseRefName", "the pull request's base"),
        ("/data/app/pullRequest", "url", "the pull request's page"),
    ] {
        let mut answer = good();
        answer.pointer_mut(pointer).unwrap().as_object_mut().unwrap().remove(key).unwrap();
        assert_eq!(part(pull_request().read(&answer)), expected, "{pointer}/{key}");
    }
}

#[test]
fn any_other_error_is_a_fault_even_beside_whole_data() {
    for kind in ["FORBIDDEN", "RATE_LIMITED", "SOMETHING_NEW"] {
        let mut answer = good();
        answer["errors"] = json!([error("NOT_FOUND", &["app"], "m"), error(kind, &["app"], "m")]);
        assert!(matches!(pull_request().read(&answer), Err(ReadError::Fault(_))), "{kind}");
    }
    for error in [HttpError::Denied, HttpError::TimedOut] {
        let (script, asked, gh) = (Script::new([Err(error)]), pull_request(), gh());
        let (outcome, _) = script.once(snapshot(&script, &gh, &asked.question()));
        assert_eq!(outcome, Err(Fault::new(System::GitHub, READ, error.into()).into()));
    }
}

#[test]
fn only_exact_bytes_are_text() {
    let text = "image:\n  tag: \"main-1\"\n";
    let check = |change: fn(&mut Value), expected: Option<&str>| {
        let mut answer = good();
        change(&mut answer["data"]["gitops"]["ref"]["target"]["values"]["object"]);
        match pull_request().read(&answer).unwrap().values {
            FileState::File { text, blob, size, odd } => {
                assert_eq!((text.as_deref(), size, odd), (expected, 23, None));
                assert_eq!(blob.as_str(), "9017843efe61cd6d08cb6114147bf67baa4cd078");
            }
            other => panic!("{other:?}"),
        }
    };
    check(|_| {}, Some(text));
    check(|object| object["text"] = json!("\u{FEFF}image:\n  tag: \"main-1\"\n"), None);
    check(|object| object["text"] = json!("image:\n  tag: \"main-2\"\n"), None);
    check(|object| object["text"] = Value::Null, None);
    check(|object| object["isBinary"] = json!(true), None);
    check(|object| object["isBinary"] = json!(null), Some(text));
    check(|object| object["isTruncated"] = json!(true), None);
}

#[test]
fn commits_since_the_live_one_ride_along() {
    let check = |live: Option<&str>, expected: &[&str], complete| {
        let mut asked = pull_request();
        asked.live = live.map(sha);
        let snapshot = asked.read(&good()).unwrap();
        let since: Vec<CommitSha> = snapshot.since_live.into_iter().map(|touch| touch.sha).collect();
        let expected: Vec<CommitSha> = expected.iter().map(|digit| sha(digit)).collect();
        assert_eq!((since, snapshot.complete), (expected, complete), "{live:?}");
    };
    check(Some("3"), &[], true);
    check(Some("1"), &["3", "2"], true);
    // A list that is not full ends with the first commit of all.
    check(Some("9"), &["3", "2", "1", "0"], true);
    check(None, &["3", "2", "1", "0"], true);

    let mut answer = good();
    let nodes = &mut answer["data"]["gitops"]["ref"]["target"]["history0"]["nodes"];
    *nodes = Value::Array(vec![nodes[0].clone(); COMMITS_READ]);
    let mut asked = pull_request();
    asked.live = Some(sha("9"));
    assert!(!asked.read(&answer).unwrap().complete, "there may be more");
}

#[test]
fn each_path_has_a_history_and_each_folder_its_entries() {
    let mut asked = pull_request();
    asked.paths.push("charts".to_owned());
    asked.folders = vec![String::new(), "apps".to_owned()];
    let query = body(&snapshot_request(&gh().url, &asked.question()))["query"].as_str().unwrap().to_owned();
    let part = query.split_once("catalog: file").unwrap().1.split_once("  app: ").unwrap().0;
    insta::assert_snapshot!(part, @"
    (path: $catalog) { mode object { ... on Blob { oid text isBinary isTruncated byteSize } } }
          history0: history(first: 100, path: $path0) { nodes { oid message author { name user { login } } } }
          path0: file(path: $path0) { oid }
          history1: history(first: 100, path: $path1) { nodes { oid message author { name user { login } } } }
          path1: file(path: $path1) { oid }
          folder0: tree { entries { name oid } }
          folder1: file(path: $folder1) { object { ... on Tree { entries { name oid } } } }
        } } }
        live: object(oid: $live) { ... on Commit {
          path0: file(path: $path0) { oid }
          last0: history(first: 1, path: $path0) { nodes { oid } }
          path1: file(path: $path1) { oid }
          last1: history(first: 1, path: $path1) { nodes { oid } }
          folder0: tree { entries { name oid } }
          folder1: file(path: $folder1) { object { ... on Tree { entries { name oid } } } }
        } }
      }
    ");
    assert!(!query.contains("{live}") && query.contains("$live: GitObjectID!"), "{query}");

    let touch = |digit: &str| json!({ "oid": sha(digit), "message": "", "author": null });
    let mut answer = good();
    let entries = |all: &[(&str, &str)]| -> Value {
        let entry = |(name, oid): &(&str, &str)| json!({ "name": name, "oid": sha(oid) });
        json!({ "entries": all.iter().map(entry).collect::<Vec<_>>() })
    };
    let head = &mut answer["data"]["gitops"]["ref"]["target"];
    head["path0"] = json!({ "oid": sha("a") });
    head["path1"] = json!({ "oid": sha("b") });
    head["history1"] = json!({ "nodes": [touch("3"), touch("7"), touch("6"), touch("5")] });
    head["folder0"] = entries(&[("a", "1"), ("b", "1"), ("new", "1")]);
    head["folder1"] = json!({ "object": entries(&[("x", "2")]) });
    let folder = json!({ "object": entries(&[("x", "1"), ("gone", "1")]) });
    answer["data"]["gitops"]["live"] = json!({
        // Of the first path, what was changed was changed back.
        "path0": { "oid": sha("a") }, "last0": { "nodes": [{ "oid": sha("1") }] },
        "path1": { "oid": sha("c") }, "last1": { "nodes": [{ "oid": sha("6") }] },
        "folder0": entries(&[("a", "1"), ("b", "2")]), "folder1": folder,
    });
    let snapshot = asked.read(&answer).unwrap();
    let touches: Vec<_> = snapshot.since_live.iter().map(|touch| (touch.sha.clone(), touch.lasts)).collect();
    assert_eq!(touches, [(sha("3"), true), (sha("2"), false), (sha("7"), true)]);
    let (one, two, gone) = (sha("1").to_string(), sha("2").to_string(), String::new());
    let changed = [("b", one.clone()), ("new", one), ("apps/gone", gone), ("apps/x", two)];
    assert_eq!((snapshot.complete, snapshot.changed), (true, changed.map(|(path, id)| (path.to_owned(), id)).to_vec()));
    // The live commit is gone.
    answer["data"]["gitops"]["live"] = Value::Null;
    let snapshot = asked.read(&answer).unwrap();
    assert_eq!((snapshot.since_live.len(), snapshot.changed.len()), (5, 0));
    assert!(snapshot.since_live.iter().all(|touch| touch.lasts));
}

#[test]
fn a_fork_is_recognised_by_each_of_its_signs() {
    let check = |key: &str, value: Value, expected: bool| {
        let mut answer = good();
        answer["data"]["app"]["pullRequest"][key] = value;
        match pull_request().read(&answer).unwrap().source {
            SourceState::PullRequest { from_fork, .. } => assert_eq!(from_fork, expected, "{key}"),
            other => panic!("{other:?}"),
        }
    };
    check("headRepository", json!({ "nameWithOwner": "Acme/Checkout" }), false);
    check("isCrossRepository", json!(true), true);
    check("isCrossRepository", json!(null), true);
    check("headRepository", json!(null), true);
    check("headRepository", json!({ "nameWithOwner": "mallory/checkout" }), true);
}

#[test]
fn a_pull_request_has_three_states_and_may_lack_author_and_checks() {
    for (state, expected) in [("OPEN", PrState::Open), ("CLOSED", PrState::Closed), ("MERGED", PrState::Merged)] {
        let mut answer = good();
        let pr = &mut answer["data"]["app"]["pullRequest"];
        (pr["state"], pr["isDraft"], pr["author"]) = (json!(state), json!(true), Value::Null);
        pr["commits"]["nodes"][0]["commit"]["statusCheckRollup"] = Value::Null;
        let checks = ["app", "pullRequest", "commits", "nodes", "commit", "statusCheckRollup"];
        answer["errors"] = json!([error("FORBIDDEN", &checks, "Resource not accessible by personal access token")]);
        match pull_request().read(&answer).unwrap().source {
            SourceState::PullRequest { open, draft: true, author: None, checks, .. } => {
                assert_eq!(checks, CommitChecks::default());
                assert_eq!(open, expected)
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn checks_of_another_commit_than_the_head_are_none() {
    let mut answer = good();
    let checks = |answer: &Value| match pull_request().read(answer).unwrap().source {
        SourceState::PullRequest { checks, .. } => checks.all,
        other => panic!("{other:?}"),
    };
    for (state, expected) in [
        ("SUCCESS", ChecksState::Passed),
        ("PENDING", ChecksState::Running),
        ("EXPECTED", ChecksState::Running),
        ("FAILURE", ChecksState::Failed),
        ("ERROR", ChecksState::Failed),
        ("SOMETHING_NEW", ChecksState::Failed),
    ] {
        answer["data"]["app"]["pullRequest"]["commits"]["nodes"][0]["commit"]["statusCheckRollup"]["state"] =
            json!(state);
        assert_eq!(checks(&answer), Some(expected), "{state}");
    }
    answer["data"]["app"]["pullRequest"]["commits"]["nodes"][0]["commit"]["oid"] = json!(sha("e"));
    assert_eq!(checks(&answer), None);
}

#[test]
fn a_branch_has_the_reviews_of_the_pull_request_that_it_is_the_merge_of() {
    let (asked, gh) = (feature_branch(), gh());
    let question = Question { reviews: true, ..asked.question() };
    let query = body(&snapshot_request(&gh.url, &question))["query"].as_str().unwrap().to_owned();
    insta::assert_snapshot!(query.split_once("  app: ").unwrap().1, @"
    repository(owner: $appOwner, name: $appName) {
        nameWithOwner
        ref(qualifiedName: $appRef) {
          target { oid ... on Commit { messageHeadline statusCheckRollup { state } tree { oid }
          associatedPullRequests(first: 5) { nodes { number headRefOid author { login } baseRefName
          baseRepository { nameWithOwner } mergeCommit { oid }
          commits(last: 1) { nodes { commit { oid tree { oid } author { user { login } } } } }
          latestOpinionatedReviews(first: 100, writersOnly: true) { nodes { state author { __typename login } commit { oid } } } } } } }
        }
      }
    }
    ");
    let read = |change: fn(&mut Value)| {
        let mut answer = with_branch();
        let approved = |by: &str, of: &str| json!({ "state": "APPROVED", "author": { "__typename": "User", "login": by }, "commit": { "oid": sha(of) } });
        let target = &mut answer["data"]["app"]["ref"]["target"];
        target["tree"] = json!({ "oid": sha("5") });
        target["associatedPullRequests"] = json!({ "nodes": [{ "number": 7, "mergeCommit": null }, {
            "number": 50, "baseRefName": "feature/x", "baseRepository": { "nameWithOwner": "Acme/Checkout" },
            "headRefOid": sha("b"), "author": { "login": "bob" }, "mergeCommit": { "oid": target["oid"] },
            "commits": { "nodes": [{ "commit": {
                "oid": sha("b"), "tree": { "oid": sha("5") }, "author": { "user": { "login": "carol" } },
            } }] },
            "latestOpinionatedReviews": { "nodes": [approved("dave", "b"), approved("erin", "c"), approved("bob", "b")] },
        }] });
        change(target);
        match read_snapshot(&question, &ok(&answer)).unwrap().source {
            SourceState::Branch { reviews, .. } => reviews,
            other => panic!("{other:?}"),
        }
    };
    let found = read(|_| {});
    let of = |by: &str| found.latest.iter().find(|review| review.by.as_str() == by).map(|review| review.of.clone());
    assert_eq!((of("dave"), of("erin"), of("bob")), (Some(Some(sha("f"))), Some(Some(sha("c"))), None));
    assert_eq!(found.merged, Some(PullRequestNumber(50)));
    assert_eq!(found.head_author.map(|login| login.to_string()).as_deref(), Some("carol"));
    for change in [
        // Other files than those that were reviewed.
        (|target| target["tree"]["oid"] = json!(sha("6"))) as fn(&mut Value),
        |target| target["tree"] = Value::Null,
        |target| target["associatedPullRequests"]["nodes"][1]["commits"]["nodes"][0]["commit"]["tree"] = Value::Null,
        // A commit of the pull request, or one after its merge.
        |target| target["associatedPullRequests"]["nodes"][1]["mergeCommit"]["oid"] = json!(sha("7")),
        |target| target["associatedPullRequests"]["nodes"][1]["mergeCommit"] = Value::Null,
        |target| target["associatedPullRequests"]["nodes"] = json!([]),
        // For a fork, or for another branch.
        |target| {
            target["associatedPullRequests"]["nodes"][1]["baseRepository"]["nameWithOwner"] = json!("mallory/checkout");
        },
        |target| target["associatedPullRequests"]["nodes"][1]["baseRepository"] = Value::Null,
        |target| target["associatedPullRequests"]["nodes"][1]["baseRefName"] = json!("main"),
        |target| target["associatedPullRequests"]["nodes"][1]["headRefOid"] = json!(sha("7")),
    ] {
        assert_eq!(read(change), ReviewsState::default());
    }
}

#[test]
fn reviews_are_asked_for_if_they_are_wanted() {
    let (asked, gh) = (pull_request(), gh());
    let question = Question { reviews: true, ..asked.question() };
    let query = body(&snapshot_request(&gh.url, &question))["query"].as_str().unwrap().to_owned();
    insta::assert_snapshot!(query.split_once("    pullRequest").unwrap().1, @"
    (number: $number) {
          number state isDraft isCrossRepository headRefName headRefOid headRepository { nameWithOwner } baseRefName title url
          author { login } commits(last: 1) { nodes { commit { oid statusCheckRollup { state } } } }
          headRef { target { oid ... on Commit { author { user { login } } } } }
          latestOpinionatedReviews(first: 100, writersOnly: true) { nodes { state author { __typename login } commit { oid } } }
        }
      }
    }
    ");
    let review = |state: &str, kind: &str, login: &str, oid: Value| json!({ "state": state, "author": { "__typename": kind, "login": login }, "commit": oid });
    let mut answer = good();
    let pr = &mut answer["data"]["app"]["pullRequest"];
    pr["headRef"] = json!({ "target": { "oid": sha("f"), "author": { "user": { "login": "carol" } } } });
    pr["latestOpinionatedReviews"] = json!({ "nodes": [
        review("APPROVED", "User", "dave", json!({ "oid": sha("f") })),
        review("CHANGES_REQUESTED", "User", "erin", json!({ "oid": sha("e") })),
        review("DISMISSED", "User", "frank", Value::Null),
        review("APPROVED", "Bot", "github-actions", json!({ "oid": sha("f") })),
        { "state": "APPROVED", "author": null, "commit": { "oid": sha("f") } },
    ] });
    let read = |answer: &Value| match read_snapshot(&question, &ok(answer)).unwrap().source {
        SourceState::PullRequest { reviews, .. } => reviews,
        other => panic!("{other:?}"),
    };
    let login = |text| GitHubLogin::parse(text).unwrap();
    let said = |by, opinion, of| Review { by: login(by), opinion, of };
    let latest = vec![
        said("dave", Opinion::Approved, Some(sha("f"))),
        said("erin", Opinion::WantsChanges, Some(sha("e"))),
        said("frank", Opinion::Dismissed, None),
    ];
    assert_eq!(read(&answer), ReviewsState { head_author: Some(login("carol")), latest, merged: None });

    let mut without = answer.clone();
    without["data"]["app"]["pullRequest"]["latestOpinionatedReviews"] = Value::Null;
    assert_eq!(part(read_snapshot(&question, &ok(&without))), "a list of reviews");
    // The newest commit is not known, or is another one.
    for head in [Value::Null, json!({ "target": { "oid": sha("e"), "author": { "user": { "login": "carol" } } } })] {
        answer["data"]["app"]["pullRequest"]["headRef"] = head;
        assert_eq!(read(&answer), ReviewsState::default());
    }
}

#[test]
fn hostile_answers_are_survived() {
    let read = |asked: Asked, good: Value| {
        let mut whole = 0;
        hostile(&good, |response| whole += u32::from(read_snapshot(&asked.question(), &response).is_ok()));
        assert!(whole > 0, "what may be absent is tolerated");
    };
    read(pull_request(), good());
    read(feature_branch(), with_branch());
}
#[test]
fn whether_the_branch_is_the_default_one() {
    let check = |name: Value, expected| {
        let mut answer = good();
        answer["data"]["gitops"]["defaultBranchRef"] = name;
        assert_eq!(pull_request().read(&answer).unwrap().is_default, expected);
    };
    check(json!({ "name": "main" }), true);
    check(json!({ "name": "develop" }), false);
    check(Value::Null, false);
}

/// A word that may be a branch, a tag and a commit.
fn word(text: &str) -> Asked {
    let mut asked = feature_branch();
    asked.sought = Sought {
        branch: Some(branch(text)),
        tag: GitTag::parse(text).ok(),
        commit: CommitDigits::parse(text).ok(),
        ..Sought::default()
    };
    asked
}

#[test]
fn a_word_is_looked_for_as_all_that_it_may_mean() {
    let request = snapshot_request(&gh().url, &word("9f3c2ab").question());
    let query = body(&request)["query"].as_str().unwrap().to_owned();
    assert!(query.contains("$appRef: String!, $appTag: String!, $commit: String!, "), "{query}");
    insta::assert_snapshot!(query.split_once("  app: ").unwrap().1, @"
    repository(owner: $appOwner, name: $appName) {
        nameWithOwner
        ref(qualifiedName: $appRef) {
          target { oid ... on Commit { messageHeadline statusCheckRollup { state } } }
        }
        tag: ref(qualifiedName: $appTag) {
          target { __typename oid ... on Commit { messageHeadline statusCheckRollup { state } } ... on Tag { target { __typename oid ... on Commit { messageHeadline statusCheckRollup { state } } } } }
        }
        commit: object(expression: $commit) { __typename oid ... on Commit { messageHeadline statusCheckRollup { state } } ... on Commit { open: associatedPullRequests(first: 20) { nodes { number state isDraft isCrossRepository headRefName headRefOid headRepository { nameWithOwner } baseRefName title url
          author { login } commits(last: 1) { nodes { commit { oid statusCheckRollup { state } } } }
        } } } }
        base: defaultBranchRef { name ofTag: compare(headRef: $appTag) { aheadBy headTarget { oid } } ofCommit: compare(headRef: $commit) { aheadBy headTarget { oid } } }
      }
    }
    ");
    let variables = body(&request)["variables"].clone();
    let named = ["appRef", "appTag", "commit"].map(|name| variables[name].as_str().unwrap().to_owned());
    assert_eq!(named, ["refs/heads/9f3c2ab", "refs/tags/9f3c2ab", "9f3c2ab"]);
}

/// What GitHub shows of a word: the parts of the app's repository.
fn found(parts: Value) -> SourceState {
    let mut answer = with_branch();
    answer["data"]["app"] = json!({ "nameWithOwner": "acme/checkout", "ref": null, "tag": null, "commit": null, "base": {
        "name": "main", "ofTag": null, "ofCommit": null } });
    let app = answer["data"]["app"].as_object_mut().unwrap();
    for (name, part) in parts.as_object().unwrap() {
        app.insert(name.clone(), part.clone());
    }
    word(&"9".repeat(7)).read(&answer).unwrap().source
}

fn shown_commit(digit: &str) -> Value {
    json!({ "__typename": "Commit", "oid": sha(digit), "messageHeadline": "Work", "statusCheckRollup": null,
        "open": { "nodes": [] } })
}

fn base(alias: &str, ahead: u32, head: &str) -> Value {
    let mut base = json!({ "name": "main", "ofTag": null, "ofCommit": null });
    base[alias] = json!({ "aheadBy": ahead, "headTarget": { "oid": sha(head) } });
    base
}

#[test]
fn a_commit_counts_only_in_the_branch_or_as_the_head_of_an_open_pull_request() {
    let not_in_branch = || SourceState::NotInBranch { head: sha("9"), branch: branch("main") };
    assert_eq!(found(json!({})), SourceState::Nothing);
    assert_eq!(found(json!({ "commit": shown_commit("9") })), not_in_branch());
    // What was compared brings something, or is another commit.
    assert_eq!(found(json!({ "commit": shown_commit("9"), "base": base("ofCommit", 1, "9") })), not_in_branch());
    assert_eq!(found(json!({ "commit": shown_commit("9"), "base": base("ofCommit", 0, "8") })), not_in_branch());
    // The digits mean something else to Git.
    assert_eq!(found(json!({ "commit": shown_commit("8"), "base": base("ofCommit", 0, "8") })), SourceState::Nothing);
    let in_branch = found(json!({ "commit": shown_commit("9"), "base": base("ofCommit", 0, "9") }));
    let SourceState::Commit { reference, branch: of, head, .. } = in_branch else { panic!("{in_branch:?}") };
    assert_eq!((reference, of, head), (Reference::Commit(sha("9")), Some(branch("main")), sha("9")));

    let pull_request = |change: &[(&str, Value)]| {
        let mut pr = good()["data"]["app"]["pullRequest"].clone();
        pr["headRefOid"] = json!(sha("9"));
        for (key, value) in change {
            pr[*key] = value.clone();
        }
        let mut commit = shown_commit("9");
        commit["open"] = json!({ "nodes": [pr] });
        found(json!({ "commit": commit }))
    };
    assert!(matches!(pull_request(&[]), SourceState::PullRequest { head, .. } if head == sha("9")));
    for change in [
        ("isCrossRepository", json!(true)),
        ("headRepository", json!({ "nameWithOwner": "mallory/checkout" })),
        ("headRepository", Value::Null),
        ("state", json!("CLOSED")),
        ("headRefOid", json!(sha("8"))),
    ] {
        assert_eq!(pull_request(std::slice::from_ref(&change)), not_in_branch(), "{change:?}");
    }
}

#[test]
fn a_tag_is_that_of_its_commit_light_or_annotated() {
    let tag = |target: Value, base: Value| found(json!({ "tag": { "target": target }, "base": base, "commit": null }));
    let annotated = json!({ "__typename": "Tag", "oid": sha("7"), "target": shown_commit("5") });
    // A word of digits that is a tag is a commit, too.
    assert_eq!(tag(shown_commit("5"), base("ofTag", 0, "5")), SourceState::Several(vec![Kind::Tag, Kind::Commit]));
    let mut asked = word("9999999");
    asked.sought.commit = None;
    let read = |target: Value, base: Value| {
        let mut answer = with_branch();
        answer["data"]["app"] =
            json!({ "nameWithOwner": "acme/checkout", "ref": null, "tag": { "target": target }, "base": base });
        match asked.read(&answer).unwrap().source {
            SourceState::Commit { reference: Reference::Tag(_), branch, head, .. } => Some((head, branch)),
            SourceState::Nothing => None,
            other => panic!("{other:?}"),
        }
    };
    let main = || Some(branch("main"));
    assert_eq!(read(shown_commit("5"), base("ofTag", 0, "5")), Some((sha("5"), main())));
    assert_eq!(read(annotated.clone(), base("ofTag", 0, "5")), Some((sha("5"), main())));
    assert_eq!(read(annotated.clone(), base("ofTag", 0, "7")), Some((sha("5"), main())));
    assert_eq!(read(annotated, base("ofTag", 3, "5")), Some((sha("5"), None)));
    assert_eq!(read(json!({ "__typename": "Blob", "oid": sha("5") }), base("ofTag", 0, "5")), None);
}

#[test]
fn the_newest_commits_are_read_from_parent_to_parent_with_their_checks() {
    let asked = pull_request();
    let question = Question { status: true, ..asked.question() };
    let query = snapshot_query(&question);
    assert!(query.contains("newest: history(first: 30) { nodes { oid message parents(first: 1)"), "{query}");
    assert!(query.contains("StatusContext { context state createdAt }"), "{query}");
    let commit = |name: &str, parent: &str, state: &str| {
        let context = json!({ "context": "healthy", "state": state, "createdAt": "2026-08-21T08:42:43Z" });
        let contexts = json!({ "pageInfo": { "hasNextPage": false }, "nodes": [context] });
        json!({
            "oid": sha(name), "message": "Raise limits", "parents": { "nodes": [{ "oid": sha(parent) }] },
            "statusCheckRollup": { "state": state, "contexts": contexts },
        })
    };
    let mut answer = good();
    // As listed by dates that the commits claim: one of another branch first.
    let listed = [commit("c", "0", "SUCCESS"), commit("a", "b", "FAILURE"), commit("b", "9", "PENDING")];
    answer["data"]["gitops"]["ref"]["target"]["newest"] = json!({ "nodes": listed });
    let newest = read_snapshot(&question, &ok(&answer)).unwrap().newest;
    let shown: Vec<_> = newest.iter().map(|one| (one.sha.clone(), one.checks.of("healthy").unwrap())).collect();
    assert_eq!(shown, [(sha("a"), RunState::Failed), (sha("b"), RunState::Running)]);
    // A commit cannot be its own parent, but an answer may say anything.
    answer["data"]["gitops"]["ref"]["target"]["newest"] = json!({ "nodes": [commit("a", "a", "SUCCESS")] });
    assert_eq!(read_snapshot(&question, &ok(&answer)).unwrap().newest.len(), 1);
    answer["data"]["gitops"]["ref"]["target"]["newest"] = Value::Null;
    assert!(read_snapshot(&question, &ok(&answer)).is_err());
}
