//! One commit on the GitOps branch, and what became of it.

use super::answer::{commit_sha, error_cause, errors, kind, says_that_the_head_moved, status_cause};
use super::api::{GitHub, graphql, no_answer};
use crate::http::{Http, Request, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use domain::fault::{Cause, Changed, Fault, System};
use domain::names::{BranchName, CommitSha, FilePath, RepoName, UrlOrigin};
use serde_json::{Value, json};
use std::time::Duration;

const COMMIT: &str = "commit the new image tag";
const COMMIT_TIMEOUT: Duration = Duration::from_secs(8);

/// One commit on top of a known head.
#[derive(Clone, Copy, Debug)]
pub struct NewCommit<'a> {
    pub repo: &'a RepoName,
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
    /// The commit is on the branch.
    Done(CommitSha),
    /// The head had moved; nothing changed.
    Stale,
    /// Certainly nothing changed.
    NotDone(Fault),
    /// The commit may be on the branch: see [`history`](super::history()).
    Unknown(Fault),
}

/// The errors of GitHub that say "refused", so nothing was changed. Any other may have come from the middle
/// of the work.
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
pub fn commit_request(api: &UrlOrigin, new: &NewCommit<'_>) -> Request {
    let additions: Vec<Value> = new
        .files
        .iter()
        .map(|(path, content)| json!({ "path": path.as_str(), "contents": BASE64.encode(content) }))
        .collect();
    // If both lists of files are absent, GitHub makes a commit with no file changes:
    // https://docs.github.com/en/graphql/reference/commits#filechanges. GitHub does not say what it makes
    // of a file that stays as it is.
    let changes = if additions.is_empty() { json!({}) } else { json!({ "additions": additions }) };
    let input = json!({
        "branch": { "repositoryNameWithOwner": new.repo.as_str(), "branchName": new.branch.as_str() },
        "expectedHeadOid": new.base.as_str(),
        "message": { "headline": new.headline, "body": new.body },
        "fileChanges": changes,
    });
    let query =
        "mutation($input: CreateCommitOnBranchInput!) { createCommitOnBranch(input: $input) { commit { oid } } }";
    graphql(api, query, &json!({ "input": input })).timeout(COMMIT_TIMEOUT)
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
    match gh.ask(http, commit_request(&gh.url, new)).await {
        Ok(response) => read_commit(&response),
        Err(error) if error.nothing_happened() => CommitOutcome::NotDone(no_answer(error, COMMIT)),
        Err(error) => CommitOutcome::Unknown(no_answer(error, COMMIT).changed(Changed::Unknown)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::github::samples::{body, branch, error, gh, hostile, ok, path, repo, sha, show};
    use crate::http::script::{Script, response};
    use crate::http::{HttpError, header};

    fn commit_of(answer: Result<Response, HttpError>) -> (CommitOutcome, Request) {
        let (repo, branch, base) = (repo("acme/gitops"), branch("main"), sha("a"));
        let files = [(path("checkout/values.yaml"), b"image:\n  tag: \"x\"\n".to_vec())];
        let body = "Asked by alice\n\nDeploy-Id: 1";
        let new =
            NewCommit { repo: &repo, branch: &branch, base: &base, headline: "Deploy checkout", body, files: &files };
        let (script, gh) = (Script::new([answer]), gh());
        script.once(commit(&script, &gh, &new))
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
        assert_eq!(body(&commit_request(&gh().url, &new))["variables"]["input"]["fileChanges"], json!({}));
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
        check(Ok(response(401, r#"{"message":"Bad credentials"}"#)), Cause::Unauthorized);
        check(
            Ok(response(403, r#"{"message":"Resource not accessible\n by integration"}"#)),
            forbidden("Resource not accessible by integration"),
        );
        check(Ok(response(403, "<html>")), forbidden(""));
        check(
            Ok(response(403, r#"{"message":"You have exceeded a secondary rate limit."}"#)),
            Cause::RateLimited { seconds: None },
        );
        check(Ok(response(422, r#"{"message":"Validation Failed"}"#)), said("Validation Failed"));
        check(Ok(response(422, "")), Cause::Status { status: 422 });
        check(Ok(response(429, "")), Cause::RateLimited { seconds: None });
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
            check(Ok(response(status, committed().to_string())));
        }
        let text = committed().to_string();
        (0..text.len()).for_each(|length| check(Ok(response(200, &text.as_bytes()[..length]))));
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
}
