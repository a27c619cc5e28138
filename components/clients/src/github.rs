//! GitHub: everything is read at one moment by one query, one commit is written, and afterwards we can find out whether it landed.
//! Besides, two versions are compared for people to read, and GitHub is told of the deploy.
//!
//! GitHub reports errors with HTTP 200, so no data is believed before `errors` was looked at. A part that does not exist is null
//! with a `NOT_FOUND` that names its path, and that is an ordinary answer; every other error is a fault.
//! **Invariant:** text from outside travels in variables; a query's text is made of our own words and counters only.

mod compare;
mod deployments;
mod history;
mod push;
mod snapshot;

pub use compare::{Change, Comparison, ComparisonPage, Paging, compare, compare_request, read_compare};
pub use deployments::{
    DeploymentStatus, NewDeployment, create_deployment, create_deployment_request, deployment_status,
    deployment_status_request, find_deployment, find_deployment_request, read_create_deployment,
    read_deployment_status, read_find_deployment,
};
pub use history::{
    History, PastCommit, Which, history, history_request, last_touch, last_touch_request, read_history, read_last_touch,
};
pub use push::{Push, PushedCommit, Repository};
pub use snapshot::{
    FileState, PrState, Question, ReadError, Snapshot, SourceState, Touch, catalog, catalog_request, raw_blob,
    raw_blob_request, read_catalog, read_raw_blob, read_snapshot, snapshot, snapshot_request,
};

use crate::http::{HeaderName, Http, HttpError, Request, Response, StatusCode, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use domain::fault::{Cause, Changed, Fault, System};
use domain::names::{BranchName, CommitSha, FilePath, GitHubLogin, RepoName, Secret, UrlOrigin};
use serde_json::{Value, json};
use std::time::Duration;

const COMMIT: &str = "commit the new image tag";
const COMMIT_TIMEOUT: Duration = Duration::from_secs(8);

/// Where GitHub is, and who we are there.
#[derive(Clone, Debug)]
pub struct GitHub {
    /// `https://api.github.com`, or an Enterprise Server's own origin.
    pub url: UrlOrigin,
    /// A token of a GitHub App's installation, or a personal one.
    pub token: Secret,
}

impl GitHub {
    fn graphql(&self, query: &str, variables: &Value) -> Request {
        let path = if self.has_api_host() { "/graphql" } else { "/api/graphql" };
        let body = json!({ "query": query, "variables": variables });
        self.common(Request::post_json(format!("{}{path}", self.url), &body))
            .header(header::ACCEPT, "application/vnd.github+json")
    }

    fn rest(&self, path: &str, accept: &str) -> Request {
        self.versioned(Request::get(self.rest_url(path))).header(header::ACCEPT, accept)
    }

    fn rest_post(&self, path: &str, body: &Value) -> Request {
        self.versioned(Request::post_json(self.rest_url(path), body))
            .header(header::ACCEPT, "application/vnd.github+json")
    }

    fn rest_url(&self, path: &str) -> String {
        let root = if self.has_api_host() { "" } else { "/api/v3" };
        format!("{}{root}{path}", self.url)
    }

    fn versioned(&self, request: Request) -> Request {
        self.common(request).header(HeaderName::from_static("x-github-api-version"), "2022-11-28")
    }

    /// GitHub refuses requests without a user agent.
    fn common(&self, request: Request) -> Request {
        request.bearer(&self.token).header(header::USER_AGENT, "deploy-bot")
    }

    /// Whether it is github.com, which limits content writes.
    pub fn is_public(&self) -> bool {
        self.url.host() == "api.github.com"
    }

    /// github.com has a host for its API; an Enterprise Server has paths.
    fn has_api_host(&self) -> bool {
        self.url.host().starts_with("api.")
    }
}

// ---- Writing one commit ----

/// One commit on top of a known head.
#[derive(Clone, Copy, Debug)]
pub struct NewCommit<'a> {
    /// Where.
    pub repo: &'a RepoName,
    /// On which branch.
    pub branch: &'a BranchName,
    /// The head that the branch must still have.
    pub base: &'a CommitSha,
    /// The message's first line.
    pub headline: &'a str,
    /// The rest of the message.
    pub body: &'a str,
    /// The files with their whole new content. None: the commit changes nothing.
    pub files: &'a [(FilePath, Vec<u8>)],
}

/// What became of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitOutcome {
    /// It is on the branch.
    Done(CommitSha),
    /// The head had moved; nothing changed.
    Stale,
    /// Certainly nothing changed.
    NotDone(Fault),
    /// It may be on the branch: see [`history`].
    Unknown(Fault),
}

/// The errors of GitHub that say "refused", so nothing was changed. Any other may have come from the middle of the work.
const REFUSALS: [&str; 8] = [
    "STALE_DATA",
    "NOT_FOUND",
    "FORBIDDEN",
    "INSUFFICIENT_SCOPES",
    "RATE_LIMITED",
    "RATE_LIMIT",
    "UNPROCESSABLE",
    "BRANCH_PROTECTION_RULE_VIOLATION",
];

/// Builds the mutation. `expectedHeadOid` makes it a compare-and-set.
pub fn commit_request(gh: &GitHub, new: &NewCommit<'_>) -> Request {
    let additions: Vec<Value> = new
        .files
        .iter()
        .map(|(path, content)| json!({ "path": path.as_str(), "contents": BASE64.encode(content) }))
        .collect();
    // Without either of its lists GitHub makes a commit with no file changes:
    // https://docs.github.com/en/graphql/reference/commits#filechanges. What it makes of a file that stays as it is, it does not say.
    let changes = if additions.is_empty() { json!({}) } else { json!({ "additions": additions }) };
    let input = json!({
        "branch": { "repositoryNameWithOwner": new.repo.as_str(), "branchName": new.branch.as_str() },
        "expectedHeadOid": new.base.as_str(),
        "message": { "headline": new.headline, "body": new.body },
        "fileChanges": changes,
    });
    let query =
        "mutation($input: CreateCommitOnBranchInput!) { createCommitOnBranch(input: $input) { commit { oid } } }";
    gh.graphql(query, &json!({ "input": input })).timeout(COMMIT_TIMEOUT)
}

/// Understands its answer: what is not certain is unknown.
pub fn read_commit(response: &Response) -> CommitOutcome {
    let not_done = |cause| CommitOutcome::NotDone(Fault::new(System::GitHub, COMMIT, cause));
    let unknown = |cause| CommitOutcome::Unknown(Fault::new(System::GitHub, COMMIT, cause).changed(Changed::Unknown));
    match response.status.as_u16() {
        200 => {}
        401 | 403 | 422 | 429 => return not_done(status_cause(response)),
        _ => return unknown(status_cause(response)),
    }
    let Ok(answer) = serde_json::from_slice::<Value>(&response.body) else {
        return unknown(Cause::Nonsense { part: "JSON".to_owned() });
    };
    if let Ok(sha) = commit_sha(&answer, "/data/createCommitOnBranch/commit/oid") {
        return CommitOutcome::Done(sha);
    }
    let errors = errors(&answer);
    let no_data = match answer.get("data") {
        None | Some(Value::Null) => true,
        Some(data) => data.get("createCommitOnBranch").is_some_and(Value::is_null),
    };
    let Some(error) = errors.first() else {
        return unknown(Cause::Nonsense { part: "the commit's id".to_owned() });
    };
    match error_cause(error, response) {
        cause if !no_data || !errors.iter().all(|error| REFUSALS.contains(&kind(error))) => unknown(cause),
        _ if errors.iter().any(says_that_the_head_moved) => CommitOutcome::Stale,
        cause => not_done(cause),
    }
}

/// Commits; once, whatever comes back.
pub async fn commit(http: &impl Http, gh: &GitHub, new: &NewCommit<'_>) -> CommitOutcome {
    match http.send(commit_request(gh, new)).await {
        Ok(response) => read_commit(&response),
        Err(error) if error.nothing_happened() => CommitOutcome::NotDone(no_answer(error, COMMIT)),
        Err(error) => CommitOutcome::Unknown(no_answer(error, COMMIT).changed(Changed::Unknown)),
    }
}

// ---- The parts of answers ----

/// A part of an answer, or which part is not what GitHub documents.
type Part<T> = Result<T, &'static str>;

async fn send(http: &impl Http, request: Request, doing: &str) -> Result<Response, Fault> {
    http.send(request).await.map_err(|error| no_answer(error, doing))
}

fn no_answer(error: HttpError, doing: &str) -> Fault {
    Fault::new(System::GitHub, doing, error.into())
}

fn nonsense(doing: &str, part: &str) -> Fault {
    Fault::new(System::GitHub, doing, Cause::Nonsense { part: part.to_owned() })
}

/// The data of an answer that has no other errors than absent parts.
fn read_data(response: &Response, doing: &str) -> Result<Value, Fault> {
    let fault = |cause| Fault::new(System::GitHub, doing, cause);
    if response.status != StatusCode::OK {
        return Err(fault(status_cause(response)));
    }
    let mut answer: Value = serde_json::from_slice(&response.body).map_err(|_| nonsense(doing, "JSON"))?;
    if let Some(error) = errors(&answer).iter().find(|error| !is_absence(error)) {
        return Err(fault(error_cause(error, response)));
    }
    let data = answer.get_mut("data").filter(|data| data.is_object()).map(Value::take);
    data.ok_or_else(|| nonsense(doing, "data"))
}

/// The repository and the commit at its branch's head.
fn read_head<'a>(data: &'a Value, alias: &str, doing: &str) -> Result<(&'a Value, &'a Value), ReadError> {
    let fault = |part| ReadError::Fault(nonsense(doing, part));
    let repository = nullable(data, alias, "the repository").map_err(fault)?.ok_or(ReadError::NoRepository)?;
    let branch = nullable(repository, "ref", "the branch").map_err(fault)?.ok_or(ReadError::NoBranch)?;
    Ok((repository, branch.get("target").ok_or("the head").map_err(fault)?))
}

/// A key that may be null (`None`) but has to be there.
fn nullable<'a>(value: &'a Value, key: &str, part: &'static str) -> Part<Option<&'a Value>> {
    value.get(key).map(|found| Some(found).filter(|found| !found.is_null())).ok_or(part)
}

fn nodes<'a>(value: &'a Value, pointer: &str) -> Part<&'a Vec<Value>> {
    value.pointer(pointer).and_then(Value::as_array).ok_or("a list of commits")
}

fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer)?.as_str()
}

fn flag(value: &Value, pointer: &str) -> bool {
    value.pointer(pointer).and_then(Value::as_bool).unwrap_or_default()
}

fn commit_sha(value: &Value, pointer: &str) -> Part<CommitSha> {
    text(value, pointer).and_then(|oid| CommitSha::parse(oid).ok()).ok_or("a commit's id")
}

fn login(value: &Value, pointer: &str) -> Option<GitHubLogin> {
    text(value, pointer).and_then(|login| GitHubLogin::parse(login).ok())
}

fn qualified(branch: &BranchName) -> String {
    format!("refs/heads/{branch}")
}

/// People's text on one line of at most 200 characters.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect()
}

// ---- Errors ----

fn errors(answer: &Value) -> &[Value] {
    match answer.get("errors") {
        None | Some(Value::Null) => &[],
        Some(Value::Array(errors)) => errors,
        Some(other) => std::slice::from_ref(other),
    }
}

fn kind(error: &Value) -> &str {
    text(error, "/type").unwrap_or_default()
}

/// Whether the error only says that a part of the question is not there, which that part's null says as well.
fn is_absence(error: &Value) -> bool {
    let Some(path) = error.get("path").and_then(Value::as_array) else { return false };
    match kind(error) {
        "NOT_FOUND" => !path.is_empty(),
        // Fine-grained personal tokens can never see checks; they are a courtesy, so we do without.
        "FORBIDDEN" => path.iter().any(|step| step == "statusCheckRollup"),
        _ => false,
    }
}

/// GitHub compares the head twice: when it begins, and when it moves the branch, in Git's words.
fn says_that_the_head_moved(error: &Value) -> bool {
    let said = text(error, "/message").unwrap_or_default();
    kind(error) == "STALE_DATA" || (said.contains(" is at ") && said.contains(" but expected "))
}

fn error_cause(error: &Value, response: &Response) -> Cause {
    let said = words(text(error, "/message").unwrap_or_default());
    match kind(error) {
        "RATE_LIMITED" | "RATE_LIMIT" => Cause::RateLimited { seconds: seconds(response) },
        "FORBIDDEN" | "INSUFFICIENT_SCOPES" => Cause::Forbidden { said },
        _ if said.is_empty() => Cause::Nonsense { part: "an error without words".to_owned() },
        _ => Cause::Said { said },
    }
}

fn status_cause(response: &Response) -> Cause {
    let body = serde_json::from_slice::<Value>(&response.body).unwrap_or_default();
    let said = words(text(&body, "/message").unwrap_or_default());
    // The limits answer 403 as often as 429: https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
    let limited = || {
        seconds(response).is_some()
            || response.header("x-ratelimit-remaining") == Some("0")
            || said.to_ascii_lowercase().contains("rate limit")
    };
    match response.status.as_u16() {
        401 => Cause::Unauthorized,
        429 => Cause::RateLimited { seconds: seconds(response) },
        403 if limited() => Cause::RateLimited { seconds: seconds(response) },
        403 => Cause::Forbidden { said },
        409 | 422 if !said.is_empty() => Cause::Said { said },
        status => Cause::Status { status },
    }
}

fn seconds(response: &Response) -> Option<u64> {
    response.retry_after().map(|wait| wait.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Chunks, HeaderMap, HeaderValue};
    use futures::FutureExt;
    use std::cell::RefCell;

    /// Gives one answer, and keeps what was asked.
    pub(super) struct Script {
        answer: RefCell<Option<Result<Response, HttpError>>>,
        asked: RefCell<Option<Request>>,
    }

    impl Script {
        pub(super) fn new(answer: Result<Response, HttpError>) -> Self {
            Self { answer: RefCell::new(Some(answer)), asked: RefCell::new(None) }
        }

        /// The outcome of one call, and its request.
        pub(super) fn run<T>(&self, call: impl Future<Output = T>) -> (T, Request) {
            let outcome = call.now_or_never().unwrap();
            (outcome, self.asked.take().expect("nothing was asked"))
        }
    }

    pub(super) struct NoBody;

    impl Chunks for NoBody {
        async fn chunk(&mut self) -> Result<Option<Vec<u8>>, HttpError> {
            Ok(None)
        }
    }

    impl Http for Script {
        type Body = NoBody;

        async fn send(&self, request: Request) -> Result<Response, HttpError> {
            self.asked.replace(Some(request));
            self.answer.take().expect("one call is one request")
        }

        async fn open(&self, _: Request) -> Result<(Response, NoBody), HttpError> {
            panic!("no streams here")
        }
    }

    pub(super) fn gh() -> GitHub {
        GitHub { url: UrlOrigin::parse("https://api.github.com").unwrap(), token: Secret::new("ghs_secret") }
    }

    pub(super) fn answer(status: u16, body: impl AsRef<[u8]>) -> Response {
        let status = StatusCode::from_u16(status).unwrap();
        Response { status, headers: HeaderMap::new(), body: body.as_ref().to_vec() }
    }

    pub(super) fn ok(body: &Value) -> Response {
        answer(200, body.to_string())
    }

    pub(super) fn sha(digit: &str) -> CommitSha {
        CommitSha::parse(&digit.repeat(40)).unwrap()
    }

    pub(super) fn repo(name: &str) -> RepoName {
        RepoName::parse(name).unwrap()
    }

    pub(super) fn branch(name: &str) -> BranchName {
        BranchName::parse(name).unwrap()
    }

    pub(super) fn path(text: &str) -> FilePath {
        FilePath::parse(text).unwrap()
    }

    pub(super) fn error(kind: &str, path: &[&str], message: &str) -> Value {
        json!({ "type": kind, "path": path, "locations": [{ "line": 1, "column": 2 }], "message": message })
    }

    pub(super) fn body(request: &Request) -> Value {
        serde_json::from_slice(&request.body).unwrap()
    }

    /// The request as people read it: method, address, headers, then the query and its variables.
    pub(super) fn show(request: &Request) -> String {
        let mut headers: Vec<_> =
            request.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        headers.sort();
        let (line, headers) = (format!("{} {}", request.method, request.url), headers.join("\n"));
        if request.body.is_empty() {
            return format!("{line}\n{headers}");
        }
        let body = body(request);
        let (query, variables) = (body["query"].as_str().unwrap(), &body["variables"]);
        format!("{line}\n{headers}\n\n{query}\n\n{}", serde_json::to_string_pretty(variables).unwrap())
    }

    /// Every answer that differs from a good one by one value that is gone or of another kind, and every one cut short.
    pub(super) fn hostile(good: &Value, mut read: impl FnMut(Response)) {
        fn places(value: &Value, here: String, all: &mut Vec<String>) {
            match value {
                Value::Object(map) => map.iter().for_each(|(key, value)| places(value, format!("{here}/{key}"), all)),
                Value::Array(list) => {
                    list.iter().enumerate().for_each(|(n, value)| places(value, format!("{here}/{n}"), all))
                }
                _ => {}
            }
            all.push(here);
        }
        let mut all = Vec::new();
        places(good, String::new(), &mut all);
        let strange = ["null", "true", "-1", "1e300", "\"\"", "\"\\u0000<!channel>\"", "[]", "[null]", "{}", "[[{}]]"];
        for place in &all {
            for value in strange {
                let mut bad = good.clone();
                *bad.pointer_mut(place).unwrap() = serde_json::from_str(value).unwrap();
                read(ok(&bad));
            }
            let mut bad = good.clone();
            if let Some((parent, key)) = place.rsplit_once('/')
                && let Some(parent) = bad.pointer_mut(parent).and_then(Value::as_object_mut)
            {
                parent.remove(key);
                read(ok(&bad));
            }
        }
        let text = good.to_string();
        for length in 0..text.len() {
            read(answer(200, &text.as_bytes()[..length]));
        }
        let deep = [vec![b'['; 200_000], br#"{"data":"#.repeat(50_000), vec![0xFF; 10]];
        deep.into_iter().for_each(|bytes| read(answer(200, bytes)));
        let huge = "x".repeat(1 << 16);
        read(ok(&json!({ "data": null, "errors": vec![error(&huge, &[&huge], &huge); 3] })));
    }

    fn commit_of(answer: Result<Response, HttpError>) -> (CommitOutcome, Request) {
        let (repo, branch, base) = (repo("acme/gitops"), branch("main"), sha("a"));
        let files = [(path("checkout/values.yaml"), b"image:\n  tag: \"x\"\n".to_vec())];
        let body = "Asked by alice\n\nDeploy-Id: 1";
        let new =
            NewCommit { repo: &repo, branch: &branch, base: &base, headline: "Deploy checkout", body, files: &files };
        let (script, gh) = (Script::new(answer), gh());
        script.run(commit(&script, &gh, &new))
    }

    fn committed() -> Value {
        json!({ "data": { "createCommitOnBranch": { "commit": { "oid": sha("c") } } } })
    }

    fn refused(kind: &str, message: &str) -> Value {
        json!({ "data": { "createCommitOnBranch": null }, "errors": [error(kind, &["createCommitOnBranch"], message)] })
    }

    #[test]
    fn a_commit_is_one_mutation() {
        let (outcome, request) = commit_of(Ok(ok(&committed())));
        assert_eq!(outcome, CommitOutcome::Done(sha("c")));
        assert_eq!(request.timeout, Duration::from_secs(8));
        assert!(request.headers[header::AUTHORIZATION].is_sensitive());
        insta::assert_snapshot!(show(&request), @r#"
        POST https://api.github.com/graphql
        accept: application/vnd.github+json
        authorization: Bearer ghs_secret
        content-type: application/json
        user-agent: deploy-bot

        mutation($input: CreateCommitOnBranchInput!) { createCommitOnBranch(input: $input) { commit { oid } } }

        {
          "input": {
            "branch": {
              "branchName": "main",
              "repositoryNameWithOwner": "acme/gitops"
            },
            "expectedHeadOid": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "fileChanges": {
              "additions": [
                {
                  "contents": "aW1hZ2U6CiAgdGFnOiAieCIK",
                  "path": "checkout/values.yaml"
                }
              ]
            },
            "message": {
              "body": "Asked by alice\n\nDeploy-Id: 1",
              "headline": "Deploy checkout"
            }
          }
        }
        "#);
    }

    #[test]
    fn a_commit_that_changes_nothing_names_no_files() {
        let (repo, branch, base) = (repo("acme/gitops"), branch("main"), sha("a"));
        let new = NewCommit { repo: &repo, branch: &branch, base: &base, headline: "Deploy", body: "", files: &[] };
        assert_eq!(body(&commit_request(&gh(), &new))["variables"]["input"]["fileChanges"], json!({}));
    }

    #[test]
    fn a_commit_is_not_done_only_where_that_is_certain() {
        let check = |given: Result<Response, HttpError>, expected: Cause| {
            let (outcome, _) = commit_of(given);
            assert_eq!(outcome, CommitOutcome::NotDone(Fault::new(System::GitHub, COMMIT, expected)));
        };
        let said = |said: &str| Cause::Said { said: said.to_owned() };
        let forbidden = |said: &str| Cause::Forbidden { said: said.to_owned() };
        check(Err(HttpError::Denied), Cause::Denied);
        check(Err(HttpError::NotConnected), Cause::NotConnected);
        check(Ok(answer(401, r#"{"message":"Bad credentials"}"#)), Cause::Unauthorized);
        check(
            Ok(answer(403, r#"{"message":"Resource not accessible\n by integration"}"#)),
            forbidden("Resource not accessible by integration"),
        );
        check(Ok(answer(403, "<html>")), forbidden(""));
        check(
            Ok(answer(403, r#"{"message":"You have exceeded a secondary rate limit."}"#)),
            Cause::RateLimited { seconds: None },
        );
        check(Ok(answer(422, r#"{"message":"Validation Failed"}"#)), said("Validation Failed"));
        check(Ok(answer(422, "")), Cause::Status { status: 422 });
        check(Ok(answer(429, "")), Cause::RateLimited { seconds: None });
        check(Ok(ok(&refused("FORBIDDEN", "no"))), forbidden("no"));
        check(Ok(ok(&refused("INSUFFICIENT_SCOPES", "no"))), forbidden("no"));
        check(Ok(ok(&refused("BRANCH_PROTECTION_RULE_VIOLATION", "Use a pull request"))), said("Use a pull request"));
        check(Ok(ok(&refused("UNPROCESSABLE", ""))), Cause::Nonsense { part: "an error without words".to_owned() });
        check(Ok(ok(&json!({ "data": null, "errors": [error("NOT_FOUND", &[], "no")] }))), said("no"));
        check(
            Ok(ok(&json!({ "errors": [{ "type": "RATE_LIMITED", "message": "m" }] }))),
            Cause::RateLimited { seconds: None },
        );
    }

    #[test]
    fn the_head_that_moved_is_told_apart() {
        let moved = "Expected branch to point to \"a\" but it did not.  Pull and try again.";
        assert_eq!(commit_of(Ok(ok(&refused("STALE_DATA", moved)))).0, CommitOutcome::Stale);
        let lost_race = "Ref refs/heads/main is at b but expected a";
        assert_eq!(commit_of(Ok(ok(&refused("UNPROCESSABLE", lost_race)))).0, CommitOutcome::Stale);
        assert!(matches!(commit_of(Ok(ok(&refused("SOMETHING_NEW", lost_race)))).0, CommitOutcome::Unknown(_)));
    }

    #[test]
    fn whatever_else_comes_back_from_a_commit_leaves_it_unknown() {
        let check = |given: Result<Response, HttpError>| {
            let (outcome, _) = commit_of(given);
            let unknown = matches!(&outcome, CommitOutcome::Unknown(Fault { changed: Changed::Unknown, .. }));
            assert!(unknown, "{outcome:?}");
        };
        [HttpError::TimedOut, HttpError::Broken, HttpError::TooLarge].into_iter().for_each(|error| check(Err(error)));
        for status in [201, 204, 301, 400, 404, 408, 409, 500, 502, 503, 504] {
            check(Ok(answer(status, committed().to_string())));
        }
        let text = committed().to_string();
        (0..text.len()).for_each(|length| check(Ok(answer(200, &text.as_bytes()[..length]))));
        for nonsense in [
            json!(null),
            json!({}),
            json!([]),
            json!({ "data": null }),
            json!({ "data": { "createCommitOnBranch": null } }),
            json!({ "data": { "createCommitOnBranch": null }, "errors": [] }),
            json!({ "data": { "createCommitOnBranch": null }, "errors": "FORBIDDEN" }),
            json!({ "data": { "createCommitOnBranch": null }, "errors": [null] }),
            json!({ "data": { "createCommitOnBranch": { "commit": null } } }),
            json!({ "data": { "createCommitOnBranch": { "commit": { "oid": "c" } } } }),
            // A refusal beside data, in nonsense, and beside an error that is none.
            json!({ "data": { "createCommitOnBranch": { "commit": null } }, "errors": [error("FORBIDDEN", &[], "no")] }),
            json!({ "data": {}, "errors": [error("STALE_DATA", &[], "no")] }),
            json!({ "data": "x", "errors": [error("FORBIDDEN", &[], "no")] }),
            json!({ "data": null, "errors": [error("STALE_DATA", &[], "no"), { "message": "Something went wrong" }] }),
            json!({ "data": null, "errors": [{ "message": "Something went wrong while executing your query." }] }),
            refused("INTERNAL", "no"),
            refused("SERVICE_UNAVAILABLE", "no"),
        ] {
            check(Ok(ok(&nonsense)));
        }
    }

    #[test]
    fn hostile_answers_to_a_commit_are_survived_and_never_a_false_success() {
        hostile(&committed(), |response| {
            if let CommitOutcome::Done(found) = read_commit(&response) {
                assert_eq!(found, sha("c"));
            }
        });
        hostile(&refused("STALE_DATA", "no"), |response| {
            assert!(!matches!(read_commit(&response), CommitOutcome::Done(_)))
        });
    }

    #[test]
    fn github_com_and_enterprise_server_have_different_addresses() {
        for (url, graphql, rest) in [
            ("https://api.github.com", "https://api.github.com/graphql", "https://api.github.com/x"),
            ("https://api.acme.ghe.com", "https://api.acme.ghe.com/graphql", "https://api.acme.ghe.com/x"),
            ("https://github.acme.dev", "https://github.acme.dev/api/graphql", "https://github.acme.dev/api/v3/x"),
            ("http://127.0.0.1:4000", "http://127.0.0.1:4000/api/graphql", "http://127.0.0.1:4000/api/v3/x"),
        ] {
            let gh = GitHub { url: UrlOrigin::parse(url).unwrap(), ..gh() };
            assert_eq!((gh.graphql("", &json!({})).url.as_str(), gh.rest("/x", "").url.as_str()), (graphql, rest));
        }
        assert!(!format!("{:?}", gh()).contains("secret"));
    }

    #[test]
    fn errors_are_understood() {
        let check = |response: Response, expected: Cause| {
            let fault = read_data(&response, "read").unwrap_err();
            assert_eq!(fault, Fault::new(System::GitHub, "read", expected));
        };
        let with = |mut response: Response, name: &'static str, value: &'static str| {
            response.headers.insert(name, HeaderValue::from_static(value));
            response
        };
        let said = |said: &str| Cause::Said { said: said.to_owned() };
        let nonsense = |part: &str| Cause::Nonsense { part: part.to_owned() };
        check(answer(401, ""), Cause::Unauthorized);
        check(answer(403, r#"{"message":"no"}"#), Cause::Forbidden { said: "no".to_owned() });
        check(with(answer(403, ""), "retry-after", "60"), Cause::RateLimited { seconds: Some(60) });
        check(with(answer(403, ""), "x-ratelimit-remaining", "0"), Cause::RateLimited { seconds: None });
        check(with(answer(403, ""), "x-ratelimit-remaining", "7"), Cause::Forbidden { said: String::new() });
        check(with(answer(429, ""), "retry-after", "60"), Cause::RateLimited { seconds: Some(60) });
        check(answer(502, "<html>"), Cause::Status { status: 502 });
        check(answer(200, "<html>"), nonsense("JSON"));
        check(ok(&json!({})), nonsense("data"));
        check(ok(&json!({ "data": [] })), nonsense("data"));
        let failed = |error: Value| ok(&json!({ "data": { "app": null }, "errors": [error] }));
        check(failed(error("FORBIDDEN", &["app"], "SAML")), Cause::Forbidden { said: "SAML".to_owned() });
        check(failed(error("INSUFFICIENT_SCOPES", &["app"], "scopes")), Cause::Forbidden { said: "scopes".to_owned() });
        check(
            with(failed(error("RATE_LIMITED", &[], "m")), "retry-after", "9"),
            Cause::RateLimited { seconds: Some(9) },
        );
        check(failed(error("NOT_FOUND", &[], "nowhere")), said("nowhere"));
        check(
            failed(json!({ "path": ["query"], "message": "Field 'x' doesn't exist" })),
            said("Field 'x' doesn't exist"),
        );
        check(failed(json!({ "message": "y".repeat(999) })), said(&"y".repeat(200)));
        check(failed(json!(7)), nonsense("an error without words"));
        check(ok(&json!({ "data": {}, "errors": { "type": "NOT_FOUND" } })), nonsense("an error without words"));
        let absent = json!([error("NOT_FOUND", &["app"], "m"), error("FORBIDDEN", &["app", "statusCheckRollup"], "m")]);
        assert_eq!(
            read_data(&ok(&json!({ "data": { "app": null }, "errors": absent })), "read"),
            Ok(json!({ "app": null }))
        );
    }
}
