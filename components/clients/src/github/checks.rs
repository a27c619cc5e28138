//! The checks of a commit: what they come to, and each of them where the catalog names some.
//!
//! GitHub has two kinds, check runs and commit statuses, and lists both together, a hundred at a time. What is not listed, or
//! what the token may not see, is told, because a check that passed may have a newer run among it.

use super::answer::{flag, text};
use domain::github::{CheckKind, CheckRun, ChecksState, CommitChecks, RunState};
use domain::time::Timestamp;
use serde_json::Value;

/// From GitHub's public schema (`StatusCheckRollup`).
pub(super) fn rollup(named: bool) -> &'static str {
    match named {
        false => "statusCheckRollup { state }",
        true => {
            "statusCheckRollup { state contexts(first: 100) { pageInfo { hasNextPage } nodes { \
             ... on CheckRun { name status conclusion startedAt } \
             ... on StatusContext { context state createdAt } } } }"
        }
    }
}

/// `commit`: what has the rollup. A state that GitHub may add one day is no success.
pub(super) fn read_checks(commit: &Value) -> CommitChecks {
    let all = text(commit, "/statusCheckRollup/state").map(|state| match state {
        "SUCCESS" => ChecksState::Passed,
        "PENDING" | "EXPECTED" => ChecksState::Running,
        _ => ChecksState::Failed,
    });
    let Some(contexts) = commit.pointer("/statusCheckRollup/contexts") else {
        return CommitChecks { all, ..CommitChecks::default() };
    };
    let nodes = contexts.get("nodes").and_then(Value::as_array);
    let runs: Vec<CheckRun> = nodes.into_iter().flatten().filter_map(read_run).collect();
    let is_whole = nodes.is_some_and(|nodes| nodes.len() == runs.len());
    // Without the word that nothing follows, something may.
    let ends = contexts.pointer("/pageInfo/hasNextPage").is_some() && !flag(contexts, "/pageInfo/hasNextPage");
    CommitChecks { all, runs, more: !is_whole || !ends }
}

fn read_run(node: &Value) -> Option<CheckRun> {
    let at = |pointer| text(node, pointer).and_then(Timestamp::from_rfc3339);
    if let Some(name) = text(node, "/name") {
        let state = match (text(node, "/status")?, text(node, "/conclusion")) {
            ("COMPLETED", Some("SUCCESS")) => RunState::Passed,
            ("COMPLETED", Some("SKIPPED" | "NEUTRAL")) => RunState::Skipped,
            ("COMPLETED", _) => RunState::Failed,
            _ => RunState::Running,
        };
        return Some(CheckRun { name: name.to_owned(), kind: CheckKind::Run, at: at("/startedAt"), state });
    }
    let state = match text(node, "/state")? {
        "SUCCESS" => RunState::Passed,
        "PENDING" | "EXPECTED" => RunState::Running,
        _ => RunState::Failed,
    };
    let name = text(node, "/context")?.to_owned();
    Some(CheckRun { name, kind: CheckKind::Status, at: at("/createdAt"), state })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_kinds_of_checks_are_read_with_how_they_ended() {
        let of = |node: Value| {
            let contexts = json!({ "pageInfo": { "hasNextPage": false }, "nodes": [node] });
            let checks = read_checks(&json!({ "statusCheckRollup": { "state": "PENDING", "contexts": contexts } }));
            assert_eq!((checks.all, checks.more), (Some(ChecksState::Running), checks.runs.is_empty()));
            checks.runs.first().map(|run| (run.kind, run.at.map(Timestamp::to_rfc3339), run.state))
        };
        let at = "2026-08-21T08:42:43Z";
        let run = |status: &str, conclusion: Value, started: Value| {
            of(json!({ "name": "build", "status": status, "conclusion": conclusion, "startedAt": started }))
        };
        let check = |conclusion: &str, state: RunState| {
            let found = run("COMPLETED", json!(conclusion), json!(at));
            assert_eq!(found, Some((CheckKind::Run, Some(at.to_owned()), state)), "{conclusion}");
        };
        check("SUCCESS", RunState::Passed);
        check("NEUTRAL", RunState::Skipped);
        check("SKIPPED", RunState::Skipped);
        for failed in ["FAILURE", "CANCELLED", "TIMED_OUT", "ACTION_REQUIRED", "STALE", "STARTUP_FAILURE", "NEW"] {
            check(failed, RunState::Failed);
        }
        for status in ["QUEUED", "IN_PROGRESS", "WAITING", "PENDING", "REQUESTED", "NEW"] {
            let found = run(status, Value::Null, Value::Null);
            assert_eq!(found, Some((CheckKind::Run, None, RunState::Running)), "{status}");
        }
        let status = |state: &str| of(json!({ "context": "ci/build", "state": state, "createdAt": at }));
        for (state, expected) in [
            ("SUCCESS", RunState::Passed),
            ("PENDING", RunState::Running),
            ("EXPECTED", RunState::Running),
            ("FAILURE", RunState::Failed),
            ("ERROR", RunState::Failed),
        ] {
            assert_eq!(status(state), Some((CheckKind::Status, Some(at.to_owned()), expected)), "{state}");
        }
        // What the token may not see is null.
        assert_eq!(of(Value::Null), None);
        assert_eq!(of(json!({})), None);
    }

    #[test]
    fn what_is_not_read_to_the_end_is_told() {
        let more = |contexts: Value| {
            read_checks(&json!({ "statusCheckRollup": { "state": "SUCCESS", "contexts": contexts } })).more
        };
        assert!(!more(json!({ "pageInfo": { "hasNextPage": false }, "nodes": [] })));
        assert!(more(json!({ "pageInfo": { "hasNextPage": true }, "nodes": [] })));
        assert!(more(json!({ "nodes": [] })));
        assert!(more(json!({ "pageInfo": { "hasNextPage": false }, "nodes": null })));
        assert!(more(Value::Null));
        assert_eq!(read_checks(&json!({ "statusCheckRollup": null })), CommitChecks::default());
    }
}
