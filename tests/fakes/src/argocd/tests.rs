mod charts;

use std::sync::{Arc, Mutex};

use super::*;

const NOW: Millis = 1_700_000_000_000;
const TOKEN: &str = "header.payload.signature";
const REPO: &str = "https://github.com/acme/gitops.git";
const VALUES: &str = "apps/checkout/values.yaml";

/// A repository with one branch, in which every commit changes the values.
#[derive(Clone, Default)]
struct Repository(Arc<Mutex<Vec<(String, String)>>>);

impl Repository {
    fn commit(&self, tag: &str) -> String {
        let mut commits = self.0.lock().unwrap();
        let sha = format!("{:040x}", commits.len() + 0xa0);
        commits.push((sha.clone(), format!("image:\n  tag: \"{tag}\"\n")));
        sha
    }
}

impl Git for Repository {
    fn head(&self, repo_url: &str, revision: &str) -> Option<String> {
        let known = repo_url == REPO && matches!(revision, "main" | "HEAD");
        self.0.lock().unwrap().last().filter(|_| known).map(|(sha, _)| sha.clone())
    }

    fn file(&self, repo_url: &str, sha: &str, path: &str) -> Option<Vec<u8>> {
        let commits = self.0.lock().unwrap();
        let known = repo_url == REPO && path == VALUES;
        commits.iter().find(|(known_sha, _)| known && known_sha == sha).map(|(_, text)| text.clone().into_bytes())
    }

    fn files(&self, _: &str, _: &str, _: &str) -> Vec<String> {
        vec![VALUES.to_owned()]
    }
}

fn checkout() -> App {
    App::new("checkout", Source::new(REPO, "main").at("apps/checkout"))
}

fn installation() -> (ArgoCd, Repository) {
    let repository = Repository::default();
    repository.commit("main-0000001");
    let mut argocd = ArgoCd::new(Box::new(repository.clone()), TOKEN);
    argocd.add(NOW, checkout());
    (argocd, repository)
}

fn request(method: http::Method, target: &str, headers: &[(&str, &str)], body: &str) -> Request {
    let mut map = http::HeaderMap::new();
    for (name, value) in headers {
        let name: http::HeaderName = name.parse().unwrap();
        map.insert(name, value.parse().unwrap());
    }
    Request { method, target: target.to_owned(), headers: map, body: body.as_bytes().to_vec() }
}

fn get(target: &str) -> Request {
    request(http::Method::GET, target, &[("authorization", &format!("Bearer {TOKEN}"))], "")
}

fn sync_request(body: &Value) -> Request {
    let headers = [("authorization", &*format!("Bearer {TOKEN}")), ("content-type", "application/json")];
    request(http::Method::POST, "/api/v1/applications/checkout/sync", &headers, &body.to_string())
}

fn whole(argocd: &mut ArgoCd, now: Millis, request: &Request) -> (u16, Value) {
    let Answer::Whole(response) = argocd.answer(now, request) else { panic!("not a whole answer") };
    let text = String::from_utf8(response.body).unwrap();
    (response.status, serde_json::from_str(&text).unwrap_or(json!(text)))
}

fn sync(argocd: &mut ArgoCd, now: Millis, body: &Value) -> (u16, Value) {
    whole(argocd, now, &sync_request(body))
}

/// `<status> <code> <message>`, or `200`.
fn outcome((status, body): (u16, Value)) -> String {
    if status == 200 {
        return "200".to_owned();
    }
    format!("{status} {} {}", body["code"], body["message"].as_str().unwrap_or_default())
}

/// What happens to the application between two moments, a line for every change that can be seen.
fn story(argocd: &mut ArgoCd, from: Millis, until: Millis) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut last = String::new();
    for now in (from..=until).step_by(50) {
        argocd.tick(now);
        let app = argocd.application("checkout");
        let (status, state) = (&app["status"], &app["status"]["operationState"]);
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let seconds = |value: &Value| value.as_str().map_or("-".to_owned(), |time| time[14..19].to_owned());
        let seen = format!(
            "{} {} {} | finished {} | retries {} | {} {} reconciled {} | {}",
            if app.get("operation").is_some() { "op" } else { "--" },
            text(&state["phase"]),
            text(&state["message"]),
            seconds(&state["finishedAt"]),
            state["retryCount"].as_u64().unwrap_or(0),
            text(&status["sync"]["status"]),
            text(&status["health"]["status"]),
            seconds(&status["reconciledAt"]),
            text(&status["summary"]["images"][0]),
        );
        if seen != last {
            lines.push(format!("{:>6} {seen}", now - NOW));
            last = seen;
        }
    }
    lines.join("\n")
}

fn take(argocd: &mut ArgoCd, now: Millis, id: StreamId) -> Vec<String> {
    let bytes = argocd.stream(now, id).unwrap_or_else(|| b"closed".to_vec());
    String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
}

fn open(argocd: &mut ArgoCd, now: Millis, query: &str, accept: &str) -> StreamId {
    let mut request = get(&format!("/api/v1/stream/applications?{query}"));
    request.headers.insert("accept", accept.parse().unwrap());
    let Answer::Stream(head, id) = argocd.answer(now, &request) else { panic!("not a stream") };
    assert_eq!(head.status, 200);
    id
}

#[test]
fn a_plain_sync_succeeds_before_anything_is_healthy() {
    let (mut argocd, repository) = installation();
    let sha = repository.commit("main-0000002");
    let infos = json!([{"name": "deploy-id", "value": "id-1"}]);
    let retry = json!({"limit": 2, "refresh": false, "backoff": {"duration": "5s", "factor": 2, "maxDuration": "1m"}});
    let body = json!({"revision": sha, "project": "default", "infos": infos, "prune": false, "retryStrategy": retry});
    let (status, app) = sync(&mut argocd, NOW, &body);
    assert_eq!(status, 200);
    assert_eq!(app["operation"]["sync"]["revision"], json!(sha));
    assert_eq!(app["operation"]["info"], infos);
    assert_eq!(app["operation"]["retry"], retry);
    assert_eq!(app["operation"]["initiatedBy"], json!({"username": "deploy-bot"}));
    assert_eq!(app["status"]["operationState"], Value::Null);
    insta::assert_snapshot!(story(&mut argocd, NOW, NOW + 10_000), @"
       0 op - - | finished - | retries 0 | Synced Healthy reconciled 13:20 | ghcr.io/acme/checkout:main-0000001
     100 op Running - | finished - | retries 0 | Synced Healthy reconciled 13:20 | ghcr.io/acme/checkout:main-0000001
     500 -- Succeeded successfully synced (all tasks run) | finished 13:20 | retries 0 | Synced Healthy reconciled 13:20 | ghcr.io/acme/checkout:main-0000001
    1700 -- Succeeded successfully synced (all tasks run) | finished 13:20 | retries 0 | Synced Progressing reconciled 13:21 | ghcr.io/acme/checkout:main-0000002
    3700 -- Succeeded successfully synced (all tasks run) | finished 13:20 | retries 0 | Synced Healthy reconciled 13:23 | ghcr.io/acme/checkout:main-0000002
    ");
    let app = argocd.application("checkout");
    let result = &app["status"]["operationState"]["syncResult"];
    assert_eq!((&result["revision"], &result["resources"][1]["status"]), (&json!(sha), &json!("Synced")));
    assert_eq!(app["status"]["operationState"]["operation"]["info"], infos);
    assert_eq!(
        (&app["status"]["history"][0]["revision"], &app["status"]["history"][0]["id"]),
        (&json!(sha), &json!(0))
    );
    assert_eq!(argocd.live_tag("checkout"), Some("main-0000002"));

    let asked = &argocd.syncs()[0];
    assert_eq!((asked.at, asked.app.as_str(), asked.status), (NOW, "checkout", 200));
    assert_eq!((asked.revision(), asked.info("deploy-id"), asked.prune()), (Some(&*sha), Some("id-1"), false));
    assert_eq!(*asked.retry_strategy(), retry);
}

#[test]
fn a_sync_with_waves_says_what_it_waits_for() {
    let (mut argocd, repository) = installation();
    let sha = repository.commit("main-0000002");
    argocd.app("checkout").script = Script::with_waves("checkout");
    sync(&mut argocd, NOW, &json!({"revision": sha}));
    insta::assert_snapshot!(story(&mut argocd, NOW, NOW + 10_000), @"
       0 op - - | finished - | retries 0 | Synced Healthy reconciled 13:20 | ghcr.io/acme/checkout:main-0000001
     100 op Running - | finished - | retries 0 | Synced Healthy reconciled 13:20 | ghcr.io/acme/checkout:main-0000001
    1200 op Running waiting for completion of hook batch/Job/migrate | finished - | retries 0 | Synced Healthy reconciled 13:20 | ghcr.io/acme/checkout:main-0000001
    1400 op Running waiting for completion of hook batch/Job/migrate | finished - | retries 0 | Synced Progressing reconciled 13:21 | ghcr.io/acme/checkout:main-0000002
    2200 op Running waiting for healthy state of apps/Deployment/checkout | finished - | retries 0 | Synced Progressing reconciled 13:21 | ghcr.io/acme/checkout:main-0000002
    3200 -- Succeeded successfully synced (all tasks run) | finished 13:23 | retries 0 | Synced Progressing reconciled 13:21 | ghcr.io/acme/checkout:main-0000002
    4400 -- Succeeded successfully synced (all tasks run) | finished 13:23 | retries 0 | Synced Healthy reconciled 13:24 | ghcr.io/acme/checkout:main-0000002
    ");
}

#[test]
fn a_failing_sync_is_tried_again_and_looks_finished_meanwhile() {
    let (mut argocd, repository) = installation();
    let sha = repository.commit("main-0000002");
    argocd.app("checkout").script.failures = 1;
    let retry = json!({"limit": 2, "backoff": {"duration": "1s", "factor": 2, "maxDuration": "1m"}});
    sync(&mut argocd, NOW, &json!({"revision": sha, "retryStrategy": retry}));
    insta::assert_snapshot!(story(&mut argocd, NOW, NOW + 10_000), @r#"
       0 op - - | finished - | retries 0 | Synced Healthy reconciled 13:20 | ghcr.io/acme/checkout:main-0000001
     100 op Running - | finished - | retries 0 | Synced Healthy reconciled 13:20 | ghcr.io/acme/checkout:main-0000001
     500 op Running one or more objects failed to apply, reason: Internal error occurred: failed calling webhook "validate.acme.io". Retrying attempt #1 at 10:13PM. | finished 13:20 | retries 1 | Synced Healthy reconciled 13:20 | ghcr.io/acme/checkout:main-0000001
    2500 op Running Retrying operation. Attempt #1 | finished - | retries 1 | Synced Healthy reconciled 13:20 | ghcr.io/acme/checkout:main-0000001
    2600 op Running - | finished - | retries 1 | Synced Healthy reconciled 13:20 | ghcr.io/acme/checkout:main-0000001
    2900 -- Succeeded successfully synced (all tasks run) | finished 13:22 | retries 1 | Synced Healthy reconciled 13:20 | ghcr.io/acme/checkout:main-0000001
    4100 -- Succeeded successfully synced (all tasks run) | finished 13:22 | retries 1 | Synced Progressing reconciled 13:24 | ghcr.io/acme/checkout:main-0000002
    6100 -- Succeeded successfully synced (all tasks run) | finished 13:22 | retries 1 | Synced Healthy reconciled 13:26 | ghcr.io/acme/checkout:main-0000002
    "#);
}

#[test]
fn a_sync_that_fails_for_good_names_the_resource() {
    let (mut argocd, repository) = installation();
    let sha = repository.commit("main-0000002");
    argocd.app("checkout").script = Script::failing("Deployment.apps \"checkout\" is invalid");
    sync(&mut argocd, NOW, &json!({"revision": sha}));
    insta::assert_snapshot!(story(&mut argocd, NOW, NOW + 3000), @r#"
       0 op - - | finished - | retries 0 | Synced Healthy reconciled 13:20 | ghcr.io/acme/checkout:main-0000001
     100 op Running - | finished - | retries 0 | Synced Healthy reconciled 13:20 | ghcr.io/acme/checkout:main-0000001
     500 -- Failed one or more objects failed to apply, reason: Deployment.apps "checkout" is invalid | finished 13:20 | retries 0 | Synced Healthy reconciled 13:20 | ghcr.io/acme/checkout:main-0000001
    1700 -- Failed one or more objects failed to apply, reason: Deployment.apps "checkout" is invalid | finished 13:20 | retries 0 | OutOfSync Healthy reconciled 13:21 | ghcr.io/acme/checkout:main-0000001
    "#);
    let app = argocd.application("checkout");
    let failed = &app["status"]["operationState"]["syncResult"]["resources"][1];
    assert_eq!(
        (&failed["status"], &failed["message"]),
        (&json!("SyncFailed"), &json!("Deployment.apps \"checkout\" is invalid"))
    );
    assert_eq!(argocd.live_tag("checkout"), Some("main-0000001"));
}

#[test]
fn health_follows_its_script() {
    for (script, expected) in [
        (
            vec![(0, Health::Progressing), (500, Health::Degraded), (2000, Health::Healthy)],
            "Progressing Degraded Healthy",
        ),
        (vec![(0, Health::Progressing), (500, Health::Degraded)], "Progressing Degraded"),
        (vec![(0, Health::Suspended)], "Suspended"),
        (vec![(0, Health::Progressing)], "Progressing"),
    ] {
        let (mut argocd, repository) = installation();
        let sha = repository.commit("main-0000002");
        argocd.app("checkout").script = Script::then(&script);
        sync(&mut argocd, NOW, &json!({"revision": sha}));
        let mut seen = vec!["Healthy".to_owned()];
        for now in (NOW..NOW + 10_000).step_by(50) {
            argocd.tick(now);
            let health = argocd.application("checkout")["status"]["health"]["status"].as_str().unwrap().to_owned();
            if seen.last() != Some(&health) {
                seen.push(health);
            }
        }
        assert_eq!(seen[1..].join(" "), expected);
    }
}

#[test]
fn syncing_the_same_again_changes_nothing_of_the_health() {
    let (mut argocd, _) = installation();
    sync(&mut argocd, NOW, &json!({}));
    argocd.tick(NOW + 10_000);
    let app = argocd.application("checkout");
    assert_eq!(app["status"]["operationState"]["phase"], "Succeeded");
    assert_eq!(app["status"]["health"]["lastTransitionTime"], "2023-11-14T22:13:20Z");
}

#[test]
fn refuses_a_sync_in_argo_cds_words() {
    let check = |prepare: &dyn Fn(&mut ArgoCd), body: Value, expected: &str| {
        let (mut argocd, repository) = installation();
        repository.commit("main-0000002");
        prepare(&mut argocd);
        assert_eq!(outcome(sync(&mut argocd, NOW, &body)), expected);
    };
    let nothing: &dyn Fn(&mut ArgoCd) = &|_| {};
    let sha = format!("{:040x}", 0xa1);
    check(nothing, json!({"revision": sha}), "200");
    check(nothing, json!({"revision": "main"}), "200");
    check(nothing, json!({"unheard": "of"}), "200");
    check(
        nothing,
        json!({"revision": "abc123"}),
        "400 9 error resolving repo revision: rpc error: code = Unknown desc = unable to resolve 'abc123' to a commit SHA",
    );
    assert!(
        outcome({
            let (mut argocd, _) = installation();
            sync(&mut argocd, NOW, &json!({"prune": "yes"}))
        })
        .starts_with("400 3 json: cannot unmarshal")
    );
    check(nothing, json!({"project": "other"}), "404 5 applications.argoproj.io \"checkout\" not found");
    check(nothing, json!({"appNamespace": "team-a", "project": "default"}), "403 7 permission denied");
    check(&|argocd| argocd.remove("checkout"), json!({}), "403 7 permission denied");
    check(
        &|argocd| argocd.remove("checkout"),
        json!({"project": "default"}),
        "404 5 applications.argoproj.io \"checkout\" not found",
    );
    check(&|argocd| argocd.rights.clear(), json!({"project": "default"}), "403 7 permission denied");
    check(
        &|argocd| argocd.rights.retain(|(right, _)| *right == Right::Get),
        json!({}),
        "403 7 permission denied: applications, sync, default/checkout, sub: deploy-bot, iat: 2023-11-14T22:13:20Z",
    );
    check(
        &|argocd| argocd.app("checkout").window = Window::Closed,
        json!({}),
        "403 7 cannot sync: blocked by sync window",
    );
    check(
        &|argocd| argocd.app("checkout").window = Window::Invalid,
        json!({}),
        "403 7 cannot sync: invalid sync window: cannot parse schedule '0 22 * *': expected exactly 5 fields, found 4: [0 22 * *]",
    );
    check(&|argocd| argocd.app("checkout").deleting = true, json!({}), "400 9 application is deleting");
    let automated: &dyn Fn(&mut ArgoCd) = &|argocd| argocd.app("checkout").automated = true;
    check(automated, json!({"revision": sha}), &format!("400 9 Cannot sync to {sha}: auto-sync currently set to main"));
    check(automated, json!({"revision": "main"}), "200");
    check(
        &|argocd| argocd.require_override = true,
        json!({"revision": sha}),
        "403 7 permission denied: applications, override, default/checkout, sub: deploy-bot, iat: 2023-11-14T22:13:20Z",
    );
    check(
        &|argocd| argocd.person_syncs(NOW, "checkout", None).unwrap(),
        json!({"revision": sha}),
        "400 9 another operation is already in progress",
    );
    check(
        &|argocd| argocd.revoke_token(),
        json!({}),
        "401 16 invalid session: account deploy-bot does not have token with id 3f2a",
    );
}

#[test]
fn checks_the_content_type_before_the_token() {
    let (mut argocd, _) = installation();
    let with = |content_type: &str, token: &str| {
        let headers = [("content-type", content_type), ("authorization", token)];
        request(http::Method::POST, "/api/v1/applications/checkout/sync", &headers, "{}")
    };
    let charset = with("application/json; charset=utf-8", "");
    assert_eq!(whole(&mut argocd, NOW, &charset), (415, json!("Invalid content type\n")));
    assert_eq!(outcome(whole(&mut argocd, NOW, &with("application/json", ""))), "401 16 no session information");
    assert_eq!(
        outcome(whole(&mut argocd, NOW, &with("application/json", "Bearer x"))),
        "401 16 no session information"
    );
    let foreign = outcome(whole(&mut argocd, NOW, &with("Application/JSON", "Bearer a.b.c")));
    assert_eq!(foreign, "401 16 invalid session: token signature is invalid: signature is invalid");
    let delete = request(http::Method::DELETE, "/api/v1/applications/checkout/operation", &[], "");
    assert_eq!(whole(&mut argocd, NOW, &delete).0, 415);
    assert_eq!(whole(&mut argocd, NOW, &get("/api/v1/nonsense")).0, 404);
}

#[test]
fn several_sources_need_positions() {
    let (mut argocd, repository) = installation();
    let sha = repository.commit("main-0000002");
    let newer = repository.commit("main-0000003");
    argocd.remove("checkout");
    let sources =
        vec![Source::chart("https://charts.acme.io", "service", "1.4.2"), Source::new(REPO, "main").named("values")];
    let tag_at = TagAt { source: 1, file: VALUES.to_owned(), key: "image.tag".to_owned() };
    argocd.add_undeployed(NOW, App::multi("checkout", sources, tag_at));
    let app = argocd.application("checkout");
    assert_eq!(app["status"]["sync"]["revisions"], json!(["1.4.2", newer]));
    assert_eq!(
        (&app["status"]["sync"]["status"], &app["status"]["health"]["status"]),
        (&json!("OutOfSync"), &json!("Missing"))
    );

    let bad = json!({"revisions": [sha], "sourcePositions": [3]});
    assert_eq!(outcome(sync(&mut argocd, NOW, &bad)), "500 2 source position is out of range");
    let bad = json!({"revisions": [], "sourcePositions": [2]});
    assert_eq!(outcome(sync(&mut argocd, NOW, &bad)), "500 13 runtime error: index out of range [0] with length 0");
    let good = json!({"revisions": [sha], "sourcePositions": [2]});
    let (_, app) = sync(&mut argocd, NOW, &good);
    assert_eq!(app["operation"]["sync"]["revisions"], json!(["1.4.2", sha]));
    argocd.tick(NOW + 20_000);
    assert_eq!(argocd.live_tag("checkout"), Some("main-0000002"));
    let app = argocd.application("checkout");
    assert_eq!(app["status"]["operationState"]["syncResult"]["revisions"], json!(["1.4.2", sha]));
    // The branch is ahead of what was synced.
    assert_eq!(app["status"]["sync"]["status"], "OutOfSync");

    // A plain revision means nothing here: this syncs the newest.
    let (_, app) = sync(&mut argocd, NOW + 20_000, &json!({"revision": sha}));
    assert_eq!(app["operation"]["sync"]["revisions"], json!(["1.4.2", newer]));
    argocd.app("checkout").automated = true;
    argocd.tick(NOW + 40_000);
    assert_eq!(
        outcome(sync(&mut argocd, NOW + 40_000, &good)),
        format!("400 9 Cannot sync source {REPO} to {sha}: auto-sync currently set to main")
    );
}

#[test]
fn a_webhook_refreshes_a_little_later_and_only_what_it_concerns() {
    let (mut argocd, repository) = installation();
    argocd.add(NOW, App::new("billing", Source::new("https://github.com/acme/other", "main").at("apps/billing")));
    repository.commit("main-0000002");
    let body = r#"{"ref":"refs/heads/main","repository":{"html_url":"https://github.com/acme/gitops","default_branch":"main"},"commits":[]}"#;
    let push =
        request(http::Method::POST, "/api/webhook", &[("x-github-event", "push"), ("x-github-delivery", "d1")], body);
    assert_eq!(argocd.name_of(&push), "argocd.webhook");
    assert_eq!(whole(&mut argocd, NOW + 5000, &push), (200, json!("")));
    let seen = |argocd: &ArgoCd, name: &str| {
        let app = argocd.application(name);
        (app["status"]["sync"]["status"].clone(), app["status"]["reconciledAt"].clone())
    };
    let (before, after) = (json!("2023-11-14T22:13:20Z"), json!("2023-11-14T22:13:25Z"));
    assert_eq!(seen(&argocd, "checkout"), (json!("Synced"), before.clone()));
    argocd.tick(NOW + 5250);
    assert_eq!(seen(&argocd, "checkout"), (json!("OutOfSync"), after));
    assert_eq!(seen(&argocd, "billing").1, before);
    let received = &argocd.webhooks()[0];
    assert_eq!((received.body.as_slice(), received.status), (body.as_bytes(), 200));
    assert_eq!(received.headers["x-github-delivery"], "d1");
}

#[test]
fn a_lost_webhook_changes_nothing_and_a_refresh_blocks() {
    let (mut argocd, repository) = installation();
    repository.commit("main-0000002");
    argocd.webhook_takes = None;
    let body = r#"{"ref":"refs/heads/main","repository":{"html_url":"https://github.com/acme/gitops","default_branch":"main"}}"#;
    let push = request(http::Method::POST, "/api/webhook", &[("x-github-event", "push")], body);
    assert_eq!(whole(&mut argocd, NOW, &push).0, 200);
    argocd.tick(NOW + 60_000);
    assert_eq!(argocd.application("checkout")["status"]["sync"]["status"], "Synced");

    let refresh = get("/api/v1/applications/checkout?project=default&refresh=normal");
    assert_eq!(argocd.name_of(&refresh), "argocd.refresh");
    let Answer::Later(id) = argocd.answer(NOW + 60_000, &refresh) else { panic!("a refresh blocks") };
    assert_eq!(argocd.waiting(NOW + 60_299, id), None);
    assert_eq!(argocd.application("checkout")["metadata"]["annotations"]["argocd.argoproj.io/refresh"], "normal");
    let response = argocd.waiting(NOW + 60_300, id).unwrap();
    let app: Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(
        (&app["status"]["sync"]["status"], &app["metadata"]["annotations"]),
        (&json!("OutOfSync"), &Value::Null)
    );

    argocd.refresh_takes = None;
    let Answer::Later(id) = argocd.answer(NOW + 61_000, &refresh) else { panic!("a refresh blocks") };
    assert_eq!(argocd.waiting(NOW + 600_000, id), None);
    assert_eq!(whole(&mut argocd, NOW, &get("/api/v1/applications/nobody?refresh=normal")).0, 403);
}

#[test]
fn a_stream_starts_with_the_present_and_shows_only_changes() {
    let (mut argocd, repository) = installation();
    let sha = repository.commit("main-0000002");
    let fields = "result.type,result.application.metadata.name,result.application.status.operationState.phase,\
        result.application.status.health.status";
    let id = open(&mut argocd, NOW, &format!("name=checkout&fields={fields}"), "*/*");
    let everything = open(&mut argocd, NOW, "name=checkout", "*/*");
    let foreign = open(&mut argocd, NOW, "name=billing", "*/*");
    assert_eq!(argocd.open_streams(), 3);
    assert_eq!(
        take(&mut argocd, NOW, id),
        [
            r#"{"result":{"application":{"metadata":{"name":"checkout"},"status":{"health":{"status":"Healthy"}}},"type":"ADDED"}}"#
        ]
    );
    sync(&mut argocd, NOW, &json!({"revision": sha}));
    let lines: Vec<String> = take(&mut argocd, NOW + 10_000, id)
        .iter()
        .map(|line| {
            let event: Value = serde_json::from_str(line).unwrap();
            let status = &event["result"]["application"]["status"];
            format!("{} {} {}", event["result"]["type"], status["operationState"]["phase"], status["health"]["status"])
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    "MODIFIED" null "Healthy"
    "MODIFIED" "Running" "Healthy"
    "MODIFIED" "Succeeded" "Healthy"
    "MODIFIED" "Succeeded" "Progressing"
    "MODIFIED" "Succeeded" "Healthy"
    "#);
    assert!(take(&mut argocd, NOW + 10_000, id).is_empty());
    assert!(take(&mut argocd, NOW + 10_000, foreign).is_empty());
    argocd.stream_closed(foreign);
    assert_eq!(argocd.open_streams(), 2);
    // The new image is never shown together with the health of the old one.
    let events: Vec<Value> =
        take(&mut argocd, NOW + 10_000, everything).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let status = |event: &Value| event["result"]["application"]["status"].clone();
    let new = json!(["ghcr.io/acme/checkout:main-0000002"]);
    let first = events.iter().map(status).find(|status| status["summary"]["images"] == new).unwrap();
    assert_eq!(first["health"]["status"], "Progressing");
    argocd.remove("checkout");
    assert!(take(&mut argocd, NOW + 10_000, id)[0].contains("DELETED"));
}

/// The answer to a sync is newer than what a stream begins with right after it.
#[test]
fn a_stream_shows_a_cache_that_lags_behind() {
    let (mut argocd, repository) = installation();
    let sha = repository.commit("main-0000002");
    argocd.cache_lag = 50;
    let fields = "name=checkout&fields=result.type,result.application.operation.sync.revision";
    let before = open(&mut argocd, NOW + 1000, fields, "*/*");
    sync(&mut argocd, NOW + 1000, &json!({"revision": sha}));
    let after = open(&mut argocd, NOW + 1000, fields, "*/*");
    let nothing = r#"{"result":{"application":{},"type":"ADDED"}}"#;
    let operation = format!(
        r#"{{"result":{{"application":{{"operation":{{"sync":{{"revision":"{sha}"}}}}}},"type":"MODIFIED"}}}}"#
    );
    for id in [before, after] {
        assert_eq!(take(&mut argocd, NOW + 1040, id), [nothing]);
        assert_eq!(take(&mut argocd, NOW + 1050, id), [operation.as_str()]);
    }
    let now = open(&mut argocd, NOW + 1060, fields, "*/*");
    assert_eq!(take(&mut argocd, NOW + 1060, now), [operation.replace("MODIFIED", "ADDED")]);
}

#[test]
fn an_application_may_keep_its_own_retry_and_take_a_newer_commit() {
    let (mut argocd, repository) = installation();
    let sha = repository.commit("main-0000002");
    let app = argocd.app("checkout");
    app.retry = json!({"limit": 1, "refresh": true, "backoff": {"duration": "1s"}});
    (app.keeps_its_retry, app.script.failures) = (true, 1);
    sync(&mut argocd, NOW, &json!({"revision": sha, "retryStrategy": {"limit": 0}}));
    argocd.tick(NOW + 1000);
    repository.commit("main-0000003");
    argocd.tick(NOW + 10_000);
    assert_eq!(argocd.live_tag("checkout"), Some("main-0000003"));
}

#[test]
fn a_stream_can_be_kept_alive_cut_silent_or_broken() {
    let (mut argocd, _) = installation();
    let events = open(&mut argocd, NOW, "name=checkout&fields=result.type", "text/event-stream");
    let plain = open(&mut argocd, NOW, "name=checkout&fields=result.type", "application/json");
    assert_eq!(argocd.stream(NOW, events), Some(b"data: {\"result\":{\"type\":\"ADDED\"}} \n\n\n".to_vec()));
    assert_eq!(argocd.stream(NOW + 30_000, events), Some(b":\n:\n".to_vec()));
    assert_eq!(take(&mut argocd, NOW + 30_000, plain), [r#"{"result":{"type":"ADDED"}}"#]);
    assert_eq!(argocd.stream(NOW + 30_000, plain), Some(Vec::new()));
    argocd.fail_streams("error reading from server: EOF");
    assert_eq!(
        take(&mut argocd, NOW + 30_000, plain),
        [
            r#"{"error":{"grpc_code":14,"http_code":503,"http_status":"Service Unavailable","message":"error reading from server: EOF"}}"#
        ]
    );
    assert_eq!(argocd.stream(NOW + 30_000, plain), None);

    argocd.cut_streams_after = Some(1000);
    let cut = open(&mut argocd, NOW + 40_000, "name=checkout&fields=result.type", "*/*");
    assert_eq!(take(&mut argocd, NOW + 41_000, cut).len(), 1);
    assert_eq!(argocd.stream(NOW + 41_000, cut), None);

    argocd.cut_streams_after = None;
    argocd.streams = Streams::Silent;
    let silent = open(&mut argocd, NOW + 50_000, "name=checkout", "*/*");
    argocd.look(NOW + 50_000, "checkout", Some(Health::Degraded));
    assert_eq!(argocd.stream(NOW + 50_000, silent), Some(Vec::new()));
    argocd.streams = Streams::Frozen;
    argocd.keep_alive = 100;
    let frozen = open(&mut argocd, NOW + 50_000, "name=checkout&fields=result.type", "text/event-stream");
    argocd.look(NOW + 50_000, "checkout", Some(Health::Healthy));
    let added = b"data: {\"result\":{\"type\":\"ADDED\"}} \n\n\n:\n:\n".to_vec();
    assert_eq!(argocd.stream(NOW + 50_200, frozen), Some(added));
    argocd.streams = Streams::Normal;
    argocd.rights.clear();
    let unseen = open(&mut argocd, NOW + 50_000, "name=checkout", "*/*");
    assert_eq!(argocd.stream(NOW + 50_000, unseen), Some(Vec::new()));
    argocd.revoke_token();
    let (status, body) = whole(&mut argocd, NOW, &get("/api/v1/stream/applications?name=checkout"));
    assert_eq!((status, &body["error"]["grpc_code"]), (401, &json!(16)));
}

#[test]
fn somebody_else_syncs_and_terminates() {
    let (mut argocd, repository) = installation();
    let delete = || {
        let headers = [("authorization", &*format!("Bearer {TOKEN}")), ("content-type", "application/json")];
        request(http::Method::DELETE, "/api/v1/applications/checkout/operation?project=default", &headers, "")
    };
    let nothing = outcome(whole(&mut argocd, NOW, &delete()));
    assert_eq!(nothing, "400 3 Unable to terminate operation. No operation is in progress");
    let sha = repository.commit("main-0000002");
    argocd.app("checkout").script.ends = 5000;
    argocd.person_syncs(NOW, "checkout", Some(&sha)).unwrap();
    assert!(argocd.person_syncs(NOW, "checkout", None).is_err());
    let app = argocd.application("checkout");
    assert_eq!(app["operation"]["initiatedBy"], json!({"username": "admin"}));
    assert_eq!(app["operation"]["info"], Value::Null);
    argocd.tick(NOW + 1000);
    assert_eq!(whole(&mut argocd, NOW + 1000, &delete()), (200, json!({})));
    insta::assert_snapshot!(story(&mut argocd, NOW + 1000, NOW + 10_000), @"
    1000 op Terminating - | finished - | retries 0 | Synced Healthy reconciled 13:20 | ghcr.io/acme/checkout:main-0000001
    1300 -- Failed Operation terminated | finished 13:21 | retries 0 | Synced Healthy reconciled 13:20 | ghcr.io/acme/checkout:main-0000001
    2500 -- Failed Operation terminated | finished 13:21 | retries 0 | OutOfSync Healthy reconciled 13:22 | ghcr.io/acme/checkout:main-0000001
    ");
    assert_eq!(argocd.live_tag("checkout"), Some("main-0000001"));
}

#[test]
fn automated_sync_starts_by_itself_once_per_revision() {
    let (mut argocd, repository) = installation();
    argocd.app("checkout").automated = true;
    argocd.app("checkout").drifting = true;
    let sha = repository.commit("main-0000002");
    argocd.look(NOW, "checkout", None);
    let app = argocd.application("checkout");
    assert_eq!(app["operation"]["initiatedBy"], json!({"automated": true}));
    assert_eq!(app["operation"]["sync"]["revision"], json!(sha));
    argocd.tick(NOW + 60_000);
    let app = argocd.application("checkout");
    assert_eq!((&app["status"]["sync"]["status"], app.get("operation")), (&json!("OutOfSync"), None));
    assert_eq!(app["status"]["history"].as_array().unwrap().len(), 1);
}

#[test]
fn a_window_that_closes_holds_the_operation() {
    let (mut argocd, repository) = installation();
    let sha = repository.commit("main-0000002");
    sync(&mut argocd, NOW, &json!({"revision": sha}));
    argocd.app("checkout").window = Window::Closed;
    argocd.tick(NOW + 10_000);
    let state = argocd.application("checkout")["status"]["operationState"].clone();
    assert_eq!(
        (&state["phase"], &state["message"]),
        (&json!("Running"), &json!("Sync operation blocked by sync window"))
    );
    let windows = whole(&mut argocd, NOW + 10_000, &get("/api/v1/applications/checkout/syncwindows?project=default")).1;
    assert_eq!((&windows["canSync"], &windows["activeWindows"][0]["kind"]), (&json!(false), &json!("deny")));
    argocd.app("checkout").window = Window::Open;
    argocd.tick(NOW + 20_000);
    assert_eq!(argocd.live_tag("checkout"), Some("main-0000002"));
}

#[test]
fn conditions_and_missing_commits_end_a_sync_with_an_error() {
    let (mut argocd, repository) = installation();
    let nowhere = "f".repeat(40);
    sync(&mut argocd, NOW, &json!({"revision": nowhere}));
    argocd.tick(NOW + 5000);
    let state = argocd.application("checkout")["status"]["operationState"].clone();
    assert_eq!(state["phase"], "Error");
    let message = state["message"].as_str().unwrap();
    assert!(message.starts_with("ComparisonError: Failed to load target state"), "{message}");

    let sha = repository.commit("main-0000002");
    argocd.app("checkout").conditions.push(("InvalidSpecError".to_owned(), "no such cluster".to_owned()));
    sync(&mut argocd, NOW + 10_000, &json!({"revision": sha}));
    argocd.tick(NOW + 20_000);
    let app = argocd.application("checkout");
    assert_eq!(app["status"]["operationState"]["message"], "InvalidSpecError: no such cluster");
    assert_eq!(app["status"]["conditions"][0]["type"], "InvalidSpecError");
}

#[test]
fn pruning_and_the_wrong_image() {
    let (mut argocd, repository) = installation();
    argocd.app("checkout").leftover = true;
    argocd.app("checkout").images = Some(vec!["ghcr.io/acme/other:v1".to_owned()]);
    let sha = repository.commit("main-0000002");
    sync(&mut argocd, NOW, &json!({"revision": sha, "prune": false}));
    argocd.tick(NOW + 10_000);
    let app = argocd.application("checkout");
    assert_eq!(app["status"]["sync"]["status"], "OutOfSync");
    assert_eq!(app["status"]["operationState"]["syncResult"]["resources"][2]["status"], "PruneSkipped");
    assert_eq!(app["status"]["summary"]["images"], json!(["ghcr.io/acme/other:v1"]));
    sync(&mut argocd, NOW + 10_000, &json!({"revision": sha, "prune": true}));
    argocd.tick(NOW + 20_000);
    let app = argocd.application("checkout");
    assert_eq!(app["operation"], Value::Null);
    assert_eq!(app["status"]["sync"]["status"], "Synced");
}

#[test]
fn a_dry_run_and_a_partial_sync_leave_no_history() {
    let (mut argocd, repository) = installation();
    let sha = repository.commit("main-0000002");
    sync(&mut argocd, NOW, &json!({"revision": sha, "dryRun": true}));
    argocd.tick(NOW + 5000);
    assert_eq!(argocd.live_tag("checkout"), Some("main-0000001"));
    let resources = json!([{"group": "apps", "kind": "Deployment", "name": "checkout"}]);
    sync(&mut argocd, NOW + 5000, &json!({"revision": sha, "resources": resources}));
    argocd.tick(NOW + 10_000);
    assert_eq!(argocd.live_tag("checkout"), Some("main-0000002"));
    assert_eq!(argocd.application("checkout")["status"]["history"], Value::Null);
}

#[test]
fn tells_its_version_and_who_is_logged_in_below_any_root() {
    let (mut argocd, _) = installation();
    argocd.root_path = "/argocd".to_owned();
    let anonymous = |path: &str| request(http::Method::GET, path, &[], "");
    let version = whole(&mut argocd, NOW, &anonymous("/argocd/api/version"));
    assert_eq!(version, (200, json!({"Version": "v3.5.1+37ee009"})));
    let me = whole(&mut argocd, NOW, &get("/argocd/api/v1/session/userinfo"));
    assert_eq!(me, (200, json!({"loggedIn": true, "username": "deploy-bot", "iss": "argocd"})));
    assert_eq!(whole(&mut argocd, NOW, &anonymous("/argocd/api/v1/session/userinfo")), (200, json!({})));
    assert_eq!(whole(&mut argocd, NOW, &anonymous("/api/version")).0, 404);
    assert_eq!(argocd.name_of(&anonymous("/api/version")), "argocd.unexpected");
}
