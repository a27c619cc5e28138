//! The parts of GitHub's answers, and its errors.

use crate::http::{Response, StatusCode, failed};
use domain::fault::{Cause, Fault, System};
use domain::names::{BranchName, CommitSha, GitHubLogin};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Why there is no answer about the GitOps repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The repository does not exist, or our token may not see it.
    NoRepository,
    /// The repository has no such branch.
    NoBranch,
    Fault(Fault),
}

impl From<Fault> for ReadError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// A part of an answer, or which part is not what GitHub documents.
pub(super) type Part<T> = Result<T, &'static str>;

pub(super) fn nonsense(doing: &str, part: &str) -> Fault {
    Fault::new(System::GitHub, doing, Cause::Nonsense { part: part.to_owned() })
}

/// The body of an answer with the only status that means success.
pub(super) fn read_json<T: DeserializeOwned>(
    response: &Response,
    success: StatusCode,
    doing: &str,
    part: &str,
) -> Result<T, Fault> {
    if response.status != success {
        return Err(Fault::new(System::GitHub, doing, status_cause(response)));
    }
    serde_json::from_slice(&response.body).map_err(|_| nonsense(doing, part))
}

/// The data of an answer that has no other errors than absent parts.
pub(super) fn read_data(response: &Response, doing: &str) -> Result<Value, Fault> {
    let mut answer: Value = read_json(response, StatusCode::OK, doing, "JSON")?;
    if let Some(error) = errors(&answer).iter().find(|error| !is_absence(error)) {
        return Err(Fault::new(System::GitHub, doing, error_cause(error, response)));
    }
    let data = answer.get_mut("data").filter(|data| data.is_object()).map(Value::take);
    data.ok_or_else(|| nonsense(doing, "data"))
}

/// The repository and the commit at its branch's head.
pub(super) fn read_head<'a>(data: &'a Value, alias: &str, doing: &str) -> Result<(&'a Value, &'a Value), ReadError> {
    let fault = |part| ReadError::Fault(nonsense(doing, part));
    let repository = nullable(data, alias, "the repository").map_err(fault)?.ok_or(ReadError::NoRepository)?;
    let branch = nullable(repository, "ref", "the branch").map_err(fault)?.ok_or(ReadError::NoBranch)?;
    Ok((repository, branch.get("target").ok_or("the head").map_err(fault)?))
}

/// A key that may be null (`None`) but has to be there.
pub(super) fn nullable<'a>(value: &'a Value, key: &str, part: &'static str) -> Part<Option<&'a Value>> {
    value.get(key).map(|found| Some(found).filter(|found| !found.is_null())).ok_or(part)
}

pub(super) fn nodes<'a>(value: &'a Value, pointer: &str) -> Part<&'a Vec<Value>> {
    value.pointer(pointer).and_then(Value::as_array).ok_or("a list of commits")
}

pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer)?.as_str()
}

pub(super) fn flag(value: &Value, pointer: &str) -> bool {
    value.pointer(pointer).and_then(Value::as_bool).unwrap_or_default()
}

pub(super) fn commit_sha(value: &Value, pointer: &str) -> Part<CommitSha> {
    text(value, pointer).and_then(|oid| CommitSha::parse(oid).ok()).ok_or("a commit's id")
}

pub(super) fn login(value: &Value, pointer: &str) -> Option<GitHubLogin> {
    text(value, pointer).and_then(|login| GitHubLogin::parse(login).ok())
}

pub(super) fn qualified(branch: &BranchName) -> String {
    format!("refs/heads/{branch}")
}

/// People's text on one line of at most 200 characters.
pub(super) fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect()
}

// ---- Errors ----

pub(super) fn errors(answer: &Value) -> &[Value] {
    match answer.get("errors") {
        None | Some(Value::Null) => &[],
        Some(Value::Array(errors)) => errors,
        Some(other) => std::slice::from_ref(other),
    }
}

pub(super) fn kind(error: &Value) -> &str {
    text(error, "/type").unwrap_or_default()
}

/// Whether the error only says that a part of the question is not there, which that part's null says as well.
fn is_absence(error: &Value) -> bool {
    let Some(path) = error.get("path").and_then(Value::as_array) else { return false };
    match kind(error) {
        "NOT_FOUND" => !path.is_empty(),
        // Fine-grained personal tokens can never see checks; they are a courtesy, so we do without.
        "FORBIDDEN" => path.iter().any(|step| step == "statusCheckRollup"),
        // What cannot be compared is not in the branch.
        "UNPROCESSABLE" => path.iter().any(|step| step == "ofTag" || step == "ofCommit"),
        _ => false,
    }
}

/// GitHub compares the head twice: when it begins, and when it moves the branch, in Git's words.
pub(super) fn says_that_the_head_moved(error: &Value) -> bool {
    let said = text(error, "/message").unwrap_or_default();
    kind(error) == "STALE_DATA" || (said.contains(" is at ") && said.contains(" but expected "))
}

pub(super) fn error_cause(error: &Value, response: &Response) -> Cause {
    let said = words(text(error, "/message").unwrap_or_default());
    match kind(error) {
        "RATE_LIMITED" | "RATE_LIMIT" => Cause::RateLimited { seconds: seconds(response) },
        _ if says_that_we_ask_too_much(&said) => Cause::RateLimited { seconds: seconds(response) },
        _ if !said.is_empty() && is_of_github_itself(error) => Cause::Failed { said },
        "FORBIDDEN" | "INSUFFICIENT_SCOPES" => Cause::Forbidden { said },
        _ if said.is_empty() => Cause::Nonsense { part: "an error without words".to_owned() },
        _ => Cause::Said { said },
    }
}

/// GitHub names its secondary limits in words alone, whatever the status and the error's type. "was submitted
/// too quickly" is the limit of what writes.
fn says_that_we_ask_too_much(said: &str) -> bool {
    let said = said.to_ascii_lowercase();
    ["secondary rate limit", "api rate limit", "was submitted too quickly"].iter().any(|words| said.contains(words))
}

/// Whether GitHub failed, rather than refused: an error that is about no part of the question.
fn is_of_github_itself(error: &Value) -> bool {
    let said = text(error, "/message").unwrap_or_default();
    match kind(error) {
        "" => {
            let is_about_a_part = error.get("path").is_some() || error.get("extensions").is_some();
            !is_about_a_part || said.starts_with("Something went wrong while executing your query")
        }
        kind => matches!(kind, "INTERNAL" | "SERVICE_UNAVAILABLE"),
    }
}

pub(super) fn status_cause(response: &Response) -> Cause {
    let body = serde_json::from_slice::<Value>(&response.body).unwrap_or_default();
    let said = words(text(&body, "/message").unwrap_or_default());
    // The limits answer 403 as often as 429:
    // https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
    let limited = || {
        seconds(response).is_some()
            || response.header("x-ratelimit-remaining") == Some("0")
            || says_that_we_ask_too_much(&said)
    };
    match response.status.as_u16() {
        401 => Cause::Unauthorized,
        429 => Cause::RateLimited { seconds: seconds(response) },
        403 if limited() => Cause::RateLimited { seconds: seconds(response) },
        403 => Cause::Forbidden { said },
        422 if says_that_we_ask_too_much(&said) => Cause::RateLimited { seconds: seconds(response) },
        409 | 422 if !said.is_empty() => Cause::Said { said },
        status => failed(status, response),
    }
}

fn seconds(response: &Response) -> Option<u64> {
    response.retry_after().map(|wait| wait.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::github::samples::{error, ok};
    use crate::http::HeaderValue;
    use crate::http::script::response;
    use serde_json::json;

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
        check(response(401, ""), Cause::Unauthorized);
        check(response(403, r#"{"message":"no"}"#), Cause::Forbidden { said: "no".to_owned() });
        check(with(response(403, ""), "retry-after", "60"), Cause::RateLimited { seconds: Some(60) });
        check(with(response(403, ""), "x-ratelimit-remaining", "0"), Cause::RateLimited { seconds: None });
        check(with(response(403, ""), "x-ratelimit-remaining", "7"), Cause::Forbidden { said: String::new() });
        check(with(response(429, ""), "retry-after", "60"), Cause::RateLimited { seconds: Some(60) });
        let too_quickly = r#"{"message":"Validation Failed: was submitted too quickly"}"#;
        check(response(403, too_quickly), Cause::RateLimited { seconds: None });
        check(response(422, too_quickly), Cause::RateLimited { seconds: None });
        check(with(response(503, ""), "retry-after", "60"), Cause::Unavailable { status: 503, seconds: 60 });
        check(with(response(404, ""), "retry-after", "60"), Cause::Status { status: 404 });
        check(response(502, "<html>"), Cause::Status { status: 502 });
        check(response(200, "<html>"), nonsense("JSON"));
        check(ok(&json!({})), nonsense("data"));
        check(ok(&json!({ "data": [] })), nonsense("data"));
        let failed = |error: Value| ok(&json!({ "data": { "app": null }, "errors": [error] }));
        check(failed(error("FORBIDDEN", &["app"], "SAML")), Cause::Forbidden { said: "SAML".to_owned() });
        check(failed(error("INSUFFICIENT_SCOPES", &["app"], "scopes")), Cause::Forbidden { said: "scopes".to_owned() });
        check(
            with(failed(error("RATE_LIMITED", &[], "m")), "retry-after", "9"),
            Cause::RateLimited { seconds: Some(9) },
        );
        let limited = || Cause::RateLimited { seconds: None };
        check(failed(error("UNPROCESSABLE", &["app"], "Content was submitted too quickly")), limited());
        check(failed(error("FORBIDDEN", &[], "You have exceeded a secondary rate limit.")), limited());
        let its_own = |said: &str| Cause::Failed { said: said.to_owned() };
        let wrong = "Something went wrong while executing your query. Please include `C0FF` when reporting.";
        check(failed(json!({ "message": wrong })), its_own(wrong));
        check(failed(json!({ "message": wrong, "path": ["app"] })), its_own(wrong));
        check(failed(error("SERVICE_UNAVAILABLE", &["app"], "later")), its_own("later"));
        check(failed(error("NOT_FOUND", &[], "nowhere")), said("nowhere"));
        check(
            failed(json!({ "path": ["query"], "message": "Field 'x' doesn't exist" })),
            said("Field 'x' doesn't exist"),
        );
        check(failed(error("OTHER", &[], &"y".repeat(999))), said(&"y".repeat(200)));
        check(failed(json!(7)), nonsense("an error without words"));
        check(ok(&json!({ "data": {}, "errors": { "type": "NOT_FOUND" } })), nonsense("an error without words"));
        let absent = json!([error("NOT_FOUND", &["app"], "m"), error("FORBIDDEN", &["app", "statusCheckRollup"], "m")]);
        assert_eq!(
            read_data(&ok(&json!({ "data": { "app": null }, "errors": absent })), "read"),
            Ok(json!({ "app": null }))
        );
    }
}
