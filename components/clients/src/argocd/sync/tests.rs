use super::*;
use crate::argocd::samples::{app, argocd, commit, error_body, id, in_namespace, sample};
use crate::http::HttpError;
use crate::http::script::{Script, response, shown};
use domain::application::AppSource;
use domain::names::{BranchName, RepoName};
use proptest::prelude::*;
use serde_json::json;

fn single() -> Revision {
    Revision { commit: commit(), positions: None, retry: None }
}

fn gitops() -> GitOpsBranch {
    GitOpsBranch {
        repo: RepoName::parse("acme/gitops").unwrap(),
        branch: BranchName::parse("main").unwrap(),
        is_default: true,
        url: "https://github.com/acme/gitops".to_owned(),
    }
}

fn pinned(positions: Vec<u32>) -> Revision {
    Revision { commit: commit(), positions: Some(positions), retry: None }
}

#[test]
fn a_sync_is_asked_for_with_commit_and_id() {
    insta::assert_snapshot!(shown(&sync_request(&argocd(), &app(), &single(), &id())), @r#"
    POST https://argocd.acme.example/argo/api/v1/applications/checkout/sync
    content-type: application/json
    authorization: Bearer a.jwt.token

    {"infos":[{"name":"deploy-id","value":"0123456789abcdef0123456789abcdef"}],"project":"default","prune":false,"revision":"6b6ed4bd9a4f2ea2d3a7fce1f4e9b8d5c0a1b2c3"}
    "#);
    insta::assert_snapshot!(shown(&sync_request(&argocd(), &in_namespace(), &pinned(vec![1, 3]), &id())), @r#"
    POST https://argocd.acme.example/argo/api/v1/applications/checkout/sync
    content-type: application/json
    authorization: Bearer a.jwt.token

    {"appNamespace":"shop-apps","infos":[{"name":"deploy-id","value":"0123456789abcdef0123456789abcdef"}],"project":"shop","prune":false,"revisions":["6b6ed4bd9a4f2ea2d3a7fce1f4e9b8d5c0a1b2c3","6b6ed4bd9a4f2ea2d3a7fce1f4e9b8d5c0a1b2c3"],"sourcePositions":[1,3]}
    "#);
}

/// A retry runs the hooks again, so how often is for the application's owner to say.
#[test]
fn the_applications_own_retry_is_sent_without_a_newer_commit() {
    let gitops = gitops();
    let source =
        AppSource { url: "https://github.com/acme/gitops".to_owned(), target: "main".to_owned(), path: String::new() };
    let sent = |retry| {
        let app = Application { sources: vec![source.clone()], retry, ..Application::default() };
        which_sources(&app, &gitops, &commit()).unwrap().retry
    };
    assert_eq!(sent(None), None);
    let own = json!({ "limit": 5, "refresh": true, "backoff": { "duration": "3s" } });
    assert_eq!(sent(Some(own)), Some(json!({ "limit": 5, "refresh": false, "backoff": { "duration": "3s" } })));
}

fn sync_fault(cause: Cause, changed: Changed) -> Fault {
    Fault::new(System::ArgoCd, SYNC, cause).changed(changed)
}

fn not_done(cause: Cause, changed: Changed) -> SyncOutcome {
    SyncOutcome::NotTaken(ArgoError::Fault(sync_fault(cause, changed)))
}

#[test]
fn what_became_of_a_sync() {
    let check =
        |status, body: &str, expected| assert_eq!(read_sync(response(status, body)), expected, "{status} {body}");
    let said = |said: &str| said.to_owned();
    check(400, &error_body(9, "another operation is already in progress"), SyncOutcome::InProgress);
    let wrapped = "error setting app operation: rpc error: code = FailedPrecondition desc = another operation is already in progress";
    check(400, &error_body(9, wrapped), SyncOutcome::InProgress);
    check(400, &error_body(9, "application is deleting"), SyncOutcome::Deleting);
    for auto in [
        "Cannot sync to 6b6ed4b: auto-sync currently set to main",
        "Cannot sync source https://github.com/acme/gitops to 6b6ed4b: auto-sync currently set to main",
    ] {
        check(400, &error_body(9, auto), SyncOutcome::AutoSync(said(auto)));
    }
    let project = "app is not allowed in project \"x\", or the project does not exist";
    check(400, &error_body(3, project), SyncOutcome::NotTaken(ArgoError::Refused(said(project))));
    let away = "error resolving repo revision: rpc error: code = Unavailable desc = connection refused";
    check(400, &error_body(9, away), SyncOutcome::NotTaken(ArgoError::Refused(said(away))));
    let other = "sync operation is not allowed";
    check(400, &error_body(9, other), SyncOutcome::Refused(said(other)));
    check(400, "<html>", not_done(Cause::Status { status: 400 }, Changed::Nothing));
    check(401, &error_body(16, "invalid session: token is expired"), SyncOutcome::NotTaken(ArgoError::Unauthorized));
    let window = "cannot sync: blocked by sync window";
    check(403, &error_body(7, window), SyncOutcome::Window(said(window)));
    let invalid = "cannot sync: invalid sync window: cannot parse schedule";
    check(403, &error_body(7, invalid), SyncOutcome::Refused(said(invalid)));
    let right = "permission denied: applications, sync, default/checkout, sub: deploybot, iat: 2026-08-21T08:42:43Z";
    check(403, &error_body(7, right), SyncOutcome::NotTaken(ArgoError::NoRight(said(right))));
    let forbidden = Cause::Forbidden { said: String::new() };
    check(403, "<html>", not_done(forbidden, Changed::Nothing));
    check(
        404,
        &error_body(5, "applications.argoproj.io \"checkout\" not found"),
        SyncOutcome::NotTaken(ArgoError::NoApplication),
    );
    for status in [307, 404, 405, 413, 415] {
        check(status, "", not_done(Cause::Status { status }, Changed::Nothing));
    }
    let limited = Cause::RateLimited { seconds: None };
    check(429, "", not_done(limited, Changed::Nothing));
    for status in [202, 204, 408, 409, 500, 502, 503, 504] {
        check(status, "", SyncOutcome::Unknown(sync_fault(Cause::Status { status }, Changed::Unknown)));
    }
    let nonsense = Cause::Nonsense { part: said("the application") };
    check(200, "{}", SyncOutcome::Unknown(sync_fault(nonsense, Changed::Unknown)));

    let mut taken = sample();
    taken["operation"] = taken["status"]["operationState"]["operation"].take();
    taken["status"]["operationState"] = json!(null);
    match read_sync(response(200, taken.to_string())) {
        SyncOutcome::Taken(snapshot) => assert_eq!(snapshot.operation.unwrap().deploy_id, Some(id())),
        other => panic!("not taken: {other:?}"),
    }
}

#[test]
fn a_sync_without_an_answer_may_have_been_taken() {
    for (error, expected) in [
        (HttpError::Denied, not_done(Cause::Denied, Changed::Nothing)),
        (HttpError::NotConnected, not_done(Cause::NotConnected, Changed::Nothing)),
        (HttpError::TimedOut, SyncOutcome::Unknown(sync_fault(Cause::TimedOut, Changed::Unknown))),
        (HttpError::Broken, SyncOutcome::Unknown(sync_fault(Cause::Broken, Changed::Unknown))),
        (HttpError::TooLarge, SyncOutcome::Unknown(sync_fault(Cause::TooLarge, Changed::Unknown))),
    ] {
        let http = Script::new([Err(error)]);
        assert_eq!(http.once(sync(&http, &argocd(), &app(), &single(), &id())).0, expected);
    }
}

#[test]
fn a_commit_is_pinned_in_the_sources_that_are_ours() {
    let gitops = gitops();
    // `<url> at <target>`, `main` unless said.
    let check = |sources: &[&str], multi_source, expected| {
        let source = |text: &&str| {
            let (url, target) = text.rsplit_once(" at ").unwrap_or((*text, "main"));
            AppSource { url: url.to_owned(), target: target.to_owned(), path: String::new() }
        };
        let sources = sources.iter().map(source).collect();
        let snapshot = Application { sources, multi_source, ..Application::default() };
        assert_eq!(which_sources(&snapshot, &gitops, &commit()), expected, "{snapshot:?}");
    };
    let (ours, ours_too, chart) =
        ("https://github.com/acme/gitops", "git@github.com:acme/gitops.git", "https://charts.example");
    let pinned = |positions| Some(pinned(positions));
    check(&[ours], false, Some(single()));
    check(&[ours], true, pinned(vec![1]));
    check(&[chart, ours, chart, ours_too], true, pinned(vec![2, 4]));
    let (by_default, by_head, in_full) =
        (format!("{ours} at "), format!("{ours} at HEAD"), format!("{ours} at refs/heads/main"));
    let elsewhere = ["v1.2", "staging", "refs/tags/main", "6b6ed4bd9a4f2ea2d3a7fce1f4e9b8d5c0a1b2c3"];
    check(&[&by_default, &by_head, &in_full], true, pinned(vec![1, 2, 3]));
    for target in elsewhere {
        let kept = format!("{ours} at {target}");
        check(&[&kept, ours], true, pinned(vec![2]));
        check(&[&kept, chart], true, None);
        check(&[&kept], false, None);
    }
    check(&[chart], false, None);
    check(&[chart, chart], true, None);
    check(&[], false, None);
}

proptest! {
    #[test]
    fn no_answer_panics(status in 100_u16..600, body: Vec<u8>) {
        let _ = read_sync(response(status, body));
    }
}
