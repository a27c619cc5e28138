//! GitHub's answers: data beside an error is not believed, text is the file's own, and words of other people
//! stay short.

use crate::parts::Parts;
use crate::promise::{HUSH, is_short, keeps_secrets};
use crate::world::response;
use clients::github::{
    CatalogPlaces, CommitOutcome, FileState, GitHub, HistoryQuestion, Question, ReadError, Sought, SourceState,
    catalog_request, history_request, read_catalog, read_choices, read_commit, read_compare, read_create_deployment,
    read_deployment_status, read_find_deployment, read_history, read_included, read_last_touch, read_raw_blob,
    read_snapshot, read_texts, snapshot_request,
};
use clients::http::Response;
use domain::catalog::IncludePlace;
use domain::deployment::Reference;
use domain::fault::{Cause, Changed, Fault};
use domain::names::{
    BranchName, CommitDigits, CommitSha, DeploymentId, FilePath, GitTag, PullRequestNumber, RepoName, Secret, UrlOrigin,
};
use domain::time::Timestamp;
use domain::values::blob_sha;
use serde_json::Value;

/// The HTTP status with headers behind it (`403 retry-after=60`) in the first line.
fn answer(parts: &mut Parts<'_>) -> (Response, Value) {
    let first = parts.text().into_owned();
    let mut words = first.split(' ');
    let status = words.next().and_then(|status| status.parse().ok()).filter(|status| (100..1000).contains(status));
    let mut answer = response(status.unwrap_or(200), b"");
    for (name, value) in words.filter_map(|word| word.split_once('=')) {
        if let (Ok(name), Ok(value)) = (name.parse::<http::HeaderName>(), value.parse()) {
            answer.headers.insert(name, value);
        }
    }
    answer.body = parts.0.to_vec();
    let body = serde_json::from_slice(&answer.body).unwrap_or_default();
    (answer, body)
}

fn github() -> GitHub {
    GitHub { url: UrlOrigin::parse("https://api.github.com").expect("an origin"), token: Secret::new(HUSH) }
}

fn is_told_briefly(data: &[u8], fault: &Fault) {
    keeps_secrets(data, fault);
    match &fault.cause {
        Cause::Said { said } | Cause::Failed { said } | Cause::Forbidden { said } => is_short(said, 200),
        Cause::Nonsense { part } => is_short(part, 60),
        _ => {}
    }
}

/// Whether an answer has an error that is more than "this part is not there".
fn has_other_errors(body: &Value) -> bool {
    match &body["errors"] {
        Value::Array(errors) => errors.iter().any(|error| error["type"] != "NOT_FOUND" && error["type"] != "FORBIDDEN"),
        Value::Null => false,
        _ => true,
    }
}

fn is_file(file: &FileState) {
    if let FileState::File { blob, text: Some(text), .. } = file {
        assert_eq!(blob_sha(text.as_bytes()), *blob, "text that is not the file's");
    }
}

fn read_error(data: &[u8], error: &ReadError) {
    if let ReadError::Fault(fault) = error {
        assert_eq!(fault.changed, Changed::Nothing);
        is_told_briefly(data, fault);
    }
}

/// The status, then what was asked for (`#42` or a branch) and the live commit, a line each; then the answer to the one question.
pub fn github_snapshot(data: &[u8]) {
    let mut parts = Parts(data);
    let mut rest = Parts(data);
    rest.line();
    let (wanted, live) = (rest.text().into_owned(), rest.text().into_owned());
    let (mut answer, _) = answer(&mut parts);
    answer.body = rest.rest().to_vec();
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();

    let number = wanted.strip_prefix('#').and_then(|number| number.parse().ok()).map(PullRequestNumber);
    let branch = |name: &str| BranchName::parse(name).unwrap_or_else(|_| BranchName::parse("main").expect("a branch"));
    let digits = CommitDigits::parse(&wanted).ok();
    let sought = match number {
        Some(number) => Sought { pull_request: Some(number), ..Sought::default() },
        None => Sought {
            branch: Some(branch(&wanted)),
            tag: GitTag::parse(&wanted).ok().filter(|_| live.len() == 40),
            commit: digits,
            ..Sought::default()
        },
    };
    let repo = |name| RepoName::parse(name).expect("a repository");
    let path = |name| FilePath::parse(name).expect("a path");
    let live = CommitSha::parse(&live).ok();
    // An answer of one part less is none.
    let mut places = vec![IncludePlace::Folder(path("teams")), IncludePlace::File(path("ops/base.yaml"))];
    if body.pointer("/data/gitops/ref/target/include0").is_none() {
        places.clear();
    }
    let question = Question {
        gitops_repo: &repo("acme/gitops"),
        gitops_branch: &branch("main"),
        values: &path("apps/checkout/values.yaml"),
        also: &[],
        catalog: &path("deploy-bot.yaml"),
        include: &places,
        live: live.as_ref(),
        paths: &["apps/checkout".to_owned(), "charts".to_owned()],
        folders: &[String::new(), "apps".to_owned()],
        app_repo: &repo("acme/checkout"),
        sought: &sought,
        built_from: &[path("services/cart"), path("libs")],
        named_checks: live.is_some(),
        status: live.is_some(),
        reviews: live.is_some(),
        checks_of: live.as_ref(),
    };
    // What people typed travels in variables: the words of the query do not depend on it.
    let query = |question: &Question<'_>| {
        let request = snapshot_request(&github().url, question);
        keeps_secrets(data, &request);
        serde_json::from_slice::<Value>(&request.body).expect("we write JSON")["query"].clone()
    };
    let plain = Sought {
        pull_request: sought.pull_request.map(|_| PullRequestNumber(1)),
        branch: sought.branch.as_ref().map(|_| branch("main")),
        tag: sought.tag.as_ref().map(|_| GitTag::parse("v1").expect("a tag")),
        commit: sought.commit.as_ref().map(|_| CommitDigits::parse("9f3c2ab").expect("digits")),
        of: None,
    };
    assert_eq!(query(&question), query(&Question { sought: &plain, ..question }));

    for places in [&places[..], &[]] {
        match read_catalog(places, &answer) {
            Ok(read) => {
                is_file(&read.file);
                assert_eq!(read.included.len(), places.len());
                let found = places
                    .iter()
                    .zip(&read.included)
                    .flat_map(|(place, found)| found.iter().map(move |one| (place, one)));
                found.for_each(|(place, (path, _))| assert!(place.has(path), "{path} is not at {place}"));
            }
            Err(error) => read_error(data, &error),
        }
    }
    if let Err(fault) = read_included(&places, &answer) {
        read_error(data, &ReadError::Fault(fault));
    }
    let blobs = [blob_sha(b"apps: {}\n"), blob_sha(b"")];
    match read_texts(&blobs, &answer) {
        Ok(texts) => {
            for (blob, text) in blobs.iter().zip(&texts) {
                assert!(text.as_ref().is_none_or(|text| blob_sha(text.as_bytes()) == *blob));
            }
        }
        Err(fault) => read_error(data, &ReadError::Fault(fault)),
    }
    let snapshot = match read_snapshot(&question, &answer) {
        Ok(snapshot) => snapshot,
        Err(error) => return read_error(data, &error),
    };
    assert_eq!(answer.status, 200);
    assert!(!has_other_errors(&body), "data beside an error was believed");
    is_file(&snapshot.values);
    is_file(&snapshot.catalog);
    assert!(!snapshot.since_live.iter().any(|touch| Some(&touch.sha) == live.as_ref()));
    // Only a full list may go on.
    assert!(snapshot.complete || !snapshot.since_live.is_empty());
    for touch in &snapshot.since_live {
        is_short(&touch.headline, 200);
        is_short(&touch.name, 200);
    }
    for build in snapshot.source.builds() {
        let (SourceState::PullRequest { head, .. }
        | SourceState::Branch { head, .. }
        | SourceState::Commit { head, .. }) = &snapshot.source
        else {
            panic!("a build of nothing")
        };
        assert!(build.sha != *head, "the newest commit is no older one");
    }
    match &snapshot.source {
        SourceState::PullRequest { number: read, from_fork, title, .. } => {
            is_short(title, 200);
            let pr = &body["data"]["app"]["pullRequest"];
            if number.is_none() {
                assert!(!*from_fork, "a commit of a fork was taken for our own");
                return;
            }
            assert_eq!(Some(*read), number);
            let own = body["data"]["app"]["nameWithOwner"].as_str().zip(pr["headRepository"]["nameWithOwner"].as_str());
            let same = own.is_some_and(|(own, head)| own.eq_ignore_ascii_case(head));
            assert!(*from_fork || (same && pr["isCrossRepository"] == false), "a fork was taken for our own");
        }
        SourceState::Branch { title, .. } => {
            assert!(number.is_none());
            is_short(title, 200);
        }
        SourceState::Commit { reference, branch, title, .. } => {
            assert!(number.is_none());
            assert!(branch.is_some() || matches!(reference, Reference::Tag(_)), "a commit of no branch");
            is_short(title, 200);
        }
        SourceState::Several(kinds) => assert!(kinds.len() > 1),
        SourceState::NoRepository
        | SourceState::NoPullRequest
        | SourceState::NoBranch
        | SourceState::Nothing
        | SourceState::NotInBranch { .. } => {}
    }
}

/// The status in the first line; then the answer to "which commits touched these two files?".
pub fn github_history(data: &[u8]) {
    let mut parts = Parts(data);
    let (answer, body) = answer(&mut parts);
    let paths = ["checkout/values.yaml", "checkout/canary.yaml"].map(|path| FilePath::parse(path).expect("a path"));
    let repo = RepoName::parse("acme/gitops").expect("a repository");
    let branch = BranchName::parse("main").expect("a branch");
    let since = Timestamp(0);
    let question = HistoryQuestion { repo: &repo, branch: &branch, paths: &paths, touching: None, since };
    let of = CatalogPlaces { repo: &repo, branch: &branch, path: &paths[0], places: &[] };
    keeps_secrets(data, &history_request(&github().url, &question));
    keeps_secrets(data, &catalog_request(&github().url, &of));
    match read_choices(&answer) {
        Ok(choices) => {
            assert!(answer.status == 200 && !has_other_errors(&body));
            choices.pull_requests.iter().for_each(|(_, title)| is_short(title, 200));
        }
        Err(ReadError::Fault(fault)) => is_told_briefly(data, &fault),
        Err(ReadError::NoRepository | ReadError::NoBranch) => {}
    }
    match read_history(&paths, &answer) {
        Ok(history) => {
            assert!(answer.status == 200 && !has_other_errors(&body));
            let nodes = body.pointer("/data/gitops/ref/target/history/nodes").and_then(Value::as_array);
            let nodes = nodes.expect("commits come from a list");
            assert_eq!((history.commits.len(), history.complete), (nodes.len(), nodes.len() < 50));
            for (commit, node) in history.commits.iter().zip(nodes) {
                assert_eq!(node["oid"], commit.sha.as_str());
                let signature = &node["signature"];
                let signed = signature["isValid"] == true && signature["wasSignedByGitHub"] == true;
                assert_eq!(commit.signed_by_github, signed);
                assert_eq!(commit.parents.len(), node["parents"]["nodes"].as_array().map_or(0, Vec::len));
                for (n, path) in paths.iter().enumerate() {
                    let blob = commit.blobs.get(path);
                    assert!(blob.is_none_or(|blob| node[format!("file{n}")]["object"]["oid"] == blob.as_str()));
                }
            }
        }
        Err(fault) => is_told_briefly(data, &fault),
    }
    match read_last_touch(&paths, &answer) {
        Ok(touches) => {
            assert!(answer.status == 200 && !has_other_errors(&body));
            assert!(touches.keys().all(|path| paths.contains(path)));
        }
        Err(fault) => is_told_briefly(data, &fault),
    }
    // The few answers of the REST API.
    match read_compare(&answer) {
        Ok(_) => assert_eq!(answer.status, 200),
        Err(fault) => is_told_briefly(data, &fault),
    }
    let id = DeploymentId::parse(&"0".repeat(32)).expect("an id");
    match read_find_deployment(&answer, &id) {
        Ok(found) => assert!(answer.status == 200 && (found.is_none() || body.is_array())),
        Err(fault) => is_told_briefly(data, &fault),
    }
    for made in [read_create_deployment(&answer).map(drop), read_deployment_status(&answer)] {
        match made {
            Ok(()) => assert_eq!(answer.status, 201),
            Err(fault) => is_told_briefly(data, &fault),
        }
    }
    let blob = blob_sha(&answer.body);
    assert_eq!(read_raw_blob(&blob, answer.clone()).is_ok(), answer.status == 200);
    assert!(read_raw_blob(&blob_sha(b"another file"), answer).is_err());
}

/// The status in the first line; then the answer to the mutation.
pub fn github_commit(data: &[u8]) {
    let mut parts = Parts(data);
    let (answer, body) = answer(&mut parts);
    let outcome = read_commit(&answer);
    let oid = body.pointer("/data/createCommitOnBranch/commit/oid").and_then(Value::as_str);
    let sha = oid.and_then(|oid| CommitSha::parse(oid).ok());
    let status = answer.status.as_u16();
    match &outcome {
        CommitOutcome::Done(done) => assert_eq!((status, Some(done)), (200, sha.as_ref())),
        CommitOutcome::Unknown(fault) => {
            assert_eq!(fault.changed, Changed::Unknown);
            is_told_briefly(data, fault);
        }
        CommitOutcome::NotDone(fault) => {
            assert_eq!(fault.changed, Changed::Nothing);
            is_told_briefly(data, fault);
            assert!([200, 401, 403, 422, 429].contains(&status), "{status} may come after the fact");
        }
        CommitOutcome::Stale => assert_eq!(status, 200),
    }
    // "Nothing was changed" is said only where GitHub refused in a way that we know, and gave no data.
    if status == 200 && matches!(outcome, CommitOutcome::NotDone(_) | CommitOutcome::Stale) {
        assert!(body["data"].is_null() || body["data"]["createCommitOnBranch"].is_null(), "{body}");
        let errors = match &body["errors"] {
            Value::Array(errors) => errors.clone(),
            one => vec![one.clone()],
        };
        assert!(!errors.is_empty() && errors.iter().all(|error| error["type"].is_string()), "{body}");
    }
}
