use super::*;
use crate::argocd::samples::{ID, SHA, sample};
use domain::application::{Phase, SyncStatus};
use serde_json::{Value, json};

const PATHS: &str = "argocd.argoproj.io/manifest-generate-paths";

fn read(application: Value) -> Application {
    serde_json::from_value::<WireApplication>(application).unwrap().snapshot()
}

/// The sample with one value changed.
fn with(pointer: &str, value: Value) -> Value {
    let mut sample = sample();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    sample.pointer_mut(parent).unwrap()[key] = value;
    sample
}

fn shared() -> Condition {
    let message = "Service/checkout is part of applications a and b".to_owned();
    Condition { kind: "SharedResourceWarning".to_owned(), message }
}

fn late() -> Unwell {
    let message = r#"Deployment "checkout" exceeded its progress deadline"#.to_owned();
    Unwell { kind: "Deployment".to_owned(), name: "checkout".to_owned(), health: Health::Degraded, message }
}

#[test]
fn an_application_in_our_words() {
    let at = |time| Timestamp::from_rfc3339(&format!("2026-08-21T{time}Z"));
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let resource = |kind: &str, name: &str, status: &str, message: &str, hook_phase: &str| Resource {
        kind: kind.to_owned(),
        name: name.to_owned(),
        status: status.to_owned(),
        message: message.to_owned(),
        hook_phase: hook_phase.to_owned(),
        ..Resource::default()
    };
    let expected = Application {
        operation: None,
        last: Some(OperationState {
            deploy_id: DeploymentId::parse(ID).ok(),
            phase: Phase::Succeeded,
            message: "successfully synced (all tasks run)".to_owned(),
            started: at("08:42:40"),
            finished: at("08:42:43"),
            retry_count: 1,
            revisions: texts(&[SHA]),
            by: Some("deploybot".to_owned()),
            resources: vec![
                resource("Service", "checkout", "Synced", "service/checkout unchanged", "Running"),
                Resource {
                    hook_type: "PreSync".to_owned(),
                    images: Some(texts(&["ghcr.io/acme/checkout:x"])),
                    ..resource("Job", "migrate", "", "job.batch/migrate created", "Succeeded")
                },
            ],
        }),
        sync_status: SyncStatus::Synced,
        compared: texts(&[SHA]),
        health: Health::Degraded,
        health_message: String::new(),
        reconciled: at("08:42:44"),
        conditions: vec![shared()],
        generate_paths: None,
        to_prune: Vec::new(),
        images: texts(&["ghcr.io/acme/checkout:main-6b6ed4b"]),
        urls: texts(&["https://checkout.acme.example/"]),
        sources: vec![AppSource {
            url: "https://github.com/acme/gitops.git".to_owned(),
            target: "main".to_owned(),
            path: "checkout".to_owned(),
        }],
        multi_source: false,
        automated: false,
        hydrated: false,
        deleting: false,
        history: vec![
            (Timestamp::from_rfc3339("2026-08-20T10:00:00Z"), texts(&["11aa22bb33cc44dd55ee66ff778899aabbccddee"])),
            (at("08:42:43"), texts(&[SHA])),
        ],
        retry: None,
        unwell: vec![late()],
    };
    assert_eq!(read(sample()), expected);
}

#[test]
fn an_operation_that_is_only_asked_for() {
    let mut asked = with("/operation", sample()["status"]["operationState"]["operation"].clone());
    asked["status"]["operationState"] = Value::Null;
    let snapshot = read(asked);
    let operation = snapshot.operation.unwrap();
    assert_eq!(operation.deploy_id, Some(DeploymentId::parse(ID).unwrap()));
    assert_eq!((operation.revisions, operation.by), (vec![SHA.to_owned()], Some("deploybot".to_owned())));
    assert_eq!(snapshot.last, None);

    let bare = read(with("/operation", json!({}))).operation;
    assert_eq!(bare, Some(Operation::default()), "an operation without details is an operation");
    assert_eq!(read(with("/operation", Value::Null)).operation, None);
}

/// Argo CD answers a dry run as if everything had been applied.
#[test]
fn a_dry_run_has_applied_nothing() {
    let read = |dry_run: bool, phase: &str| {
        let mut sample = with("/status/operationState/operation/sync/dryRun", json!(dry_run));
        sample["status"]["operationState"]["phase"] = json!(phase);
        read(sample).last.unwrap()
    };
    let dry = read(true, "Succeeded");
    assert_eq!((dry.phase, dry.applied_images().len(), dry.revisions.len()), (Phase::Failed, 0, 0));
    assert!(dry.finished.is_some() && dry.by.is_some());
    assert_eq!(read(true, "Running").phase, Phase::Running);
    let wet = read(false, "Succeeded");
    assert_eq!((wet.phase, wet.revisions.len()), (Phase::Succeeded, 1));
}

#[test]
fn whose_operation_it_is() {
    let check = |operation: Value, id: Option<&str>, by: Option<&str>| {
        let operation = read(with("/operation", operation)).operation.unwrap();
        assert_eq!(operation.deploy_id.as_ref().map(DeploymentId::as_str), id);
        assert_eq!(operation.by.as_deref(), by);
    };
    check(json!({ "initiatedBy": { "username": "alice" } }), None, Some("alice"));
    check(json!({ "initiatedBy": { "automated": true }, "sync": { "revision": SHA } }), None, Some("auto-sync"));
    check(json!({ "info": [null, { "name": "deploy-id", "value": "<!channel>" }] }), None, None);
    check(json!({ "info": [{ "name": "deploy-id", "value": ID }] }), Some(ID), None);
}

#[test]
fn revisions_are_per_source() {
    let two = json!([{ "repoURL": "https://charts.example" }, { "repoURL": "git@github.com:acme/gitops.git", "ref": "values" }]);
    let mut several = with("/spec/sources", two);
    several["status"]["operationState"]["syncResult"]["revisions"] = json!(["1.2.3", SHA]);
    several["status"]["operationState"]["syncResult"]["revision"] = json!("");
    several["status"]["sync"]["revisions"] = json!(["1.2.3", SHA]);
    let snapshot = read(several);
    assert!(snapshot.multi_source);
    let urls: Vec<&str> = snapshot.sources.iter().map(|source| source.url.as_str()).collect();
    assert_eq!(urls, ["https://charts.example", "git@github.com:acme/gitops.git"]);
    assert_eq!(snapshot.compared, ["1.2.3", SHA]);
    assert_eq!(snapshot.last.unwrap().revisions, ["1.2.3", SHA]);

    let not_begun = read(with("/status/operationState/syncResult", Value::Null));
    assert_eq!(not_begun.last.unwrap().revisions, [SHA], "what was asked for, until something was synced");

    let hydrated = read(with("/spec/sourceHydrator", json!({ "syncSource": { "targetBranch": "env/prod" } })));
    assert_eq!((hydrated.sources.len(), hydrated.multi_source), (0, false));
}

#[test]
fn resources_that_are_not_healthy_are_kept_and_hooks_are_not() {
    let resources = json!([
        { "kind": "Service", "name": "a", "health": { "status": "Healthy" }, "requiresPruning": true },
        { "kind": "ConfigMap", "name": "b" },
        { "kind": "Ingress", "name": "c", "health": { "status": "Progressing", "message": "no\n  address" } },
        { "kind": "Job", "name": "d", "hook": true, "health": { "status": "Degraded" } },
        { "kind": "Rollout", "name": "e", "health": { "status": "Suspended" } },
    ]);
    let read = read(with("/status/resources", resources));
    assert_eq!(read.to_prune, ["Service/a"]);
    let read = read.unwell;
    let found: Vec<_> = read.iter().map(|one| (one.name.as_str(), one.health, one.message.as_str())).collect();
    assert_eq!(found, [("c", Health::Progressing, "no address"), ("e", Health::Suspended, "")]);
}

#[test]
fn a_resource_is_done_when_applied_or_when_its_hook_has_ended() {
    let check = |status: &str, hook_phase: &str, done| {
        let resource = Resource { status: status.to_owned(), hook_phase: hook_phase.to_owned(), ..Resource::default() };
        assert_eq!(resource.is_done(), done, "{status:?} {hook_phase:?}");
    };
    check("", "", false);
    check("", "Running", false);
    check("", "Succeeded", true);
    check("", "Failed", true);
    check("Synced", "Running", true);
    check("PruneSkipped", "", true);
}

#[test]
fn flags_of_an_application() {
    let automated = |value| read(with("/spec/syncPolicy/automated", value)).automated;
    assert!(automated(json!({})));
    assert!(automated(json!({ "prune": true, "enabled": null })));
    assert!(!automated(json!({ "enabled": false })));
    assert!(!automated(Value::Null));
    assert!(!read(with("/spec/syncPolicy", Value::Null)).automated);
    assert!(read(with("/metadata/deletionTimestamp", json!("2026-08-21T08:42:43Z"))).deleting);
    assert_eq!(read(with("/status/health/status", json!("Marvellous"))).health, Health::Unknown);
    assert_eq!(read(with("/status/health/status", json!("Missing"))).health, Health::Missing);
    assert_eq!(read(with("/status/sync/status", json!("OutOfSync"))).sync_status, SyncStatus::OutOfSync);
    assert_eq!(read(with("/status/operationState/phase", json!("Paused"))).last.unwrap().phase, Phase::Other);
    assert_eq!(read(with("/status/operationState/retryCount", json!(-1))).last.unwrap().retry_count, 0);
}

#[test]
fn a_young_application_has_little_to_say() {
    let young = read(json!({ "metadata": { "name": "checkout" }, "spec": { "source": null }, "status": {} }));
    assert_eq!(young, Application::default());
    for nothing in [json!({}), json!([]), json!({ "metadata": {} }), json!({ "error": "x" })] {
        assert!(serde_json::from_value::<WireApplication>(nothing.clone()).is_err(), "{nothing}");
    }
}

/// What Argo CD does for `fields=` (`processItem` in argoproj/pkg).
fn project(path: &str, value: &mut Value) {
    match value {
        Value::Object(members) => members.retain(|key, value| {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            if FIELDS.contains(&path.as_str()) {
                return true;
            }
            project(&path, value);
            FIELDS.iter().any(|field| field.starts_with(&path))
        }),
        Value::Array(items) => items.iter_mut().for_each(|item| project(path, item)),
        _ => {}
    }
}

#[test]
fn the_fields_that_we_ask_for_are_those_that_we_read() {
    let mut full = with("/operation", sample()["status"]["operationState"]["operation"].clone());
    full["spec"]["sources"] = json!([{ "repoURL": "https://a", "targetRevision": "v1" }]);
    full["spec"]["syncPolicy"]["automated"] = json!({ "enabled": true });
    full["spec"]["syncPolicy"]["retry"] = json!({ "limit": 3 });
    full["metadata"]["annotations"] = json!({ PATHS: ".;/shared", "kubectl.kubernetes.io/last-applied": "secret" });
    full["spec"]["sources"][0]["path"] = json!("checkout");
    full["metadata"]["deletionTimestamp"] = json!("2026-08-21T08:42:43Z");
    full["status"]["resources"][0]["requiresPruning"] = json!(true);
    full["status"]["sync"]["revisions"] = json!(["a"]);
    full["status"]["history"][0]["revisions"] = json!(["a"]);
    full["status"]["operationState"]["syncResult"]["revisions"] = json!(["a"]);
    full["status"]["operationState"]["operation"]["sync"]["revisions"] = json!(["a"]);
    full["operation"]["sync"]["revisions"] = json!(["a"]);
    let projected = |mut full: Value| {
        project("", &mut full);
        full
    };
    assert_eq!(read(projected(full.clone())), read(full.clone()));
    assert_eq!(read(projected(sample())), read(sample()));
    let hydrated =
        with("/spec/sourceHydrator", json!({ "drySource": {}, "syncSource": { "targetBranch": "env/prod" } }));
    assert_eq!(read(projected(hydrated.clone())), read(hydrated));
    assert_eq!(projected(full.clone()).pointer("/spec/source/helm"), None, "values files stay where they are");
    assert_eq!(projected(full.clone())["metadata"]["annotations"], json!({ PATHS: ".;/shared" }));
    assert_eq!(read(full.clone()).generate_paths.as_deref(), Some(".;/shared"));
    for field in FIELDS.iter().filter(|field| !field.contains("sourceHydrator") && !field.contains(PATHS)) {
        let mut without = full.clone();
        remove(&mut without, &field.split('.').collect::<Vec<_>>());
        assert_ne!(without, full, "the sample lacks {field}");
    }
}

fn remove(value: &mut Value, path: &[&str]) {
    match (value, path) {
        (Value::Array(items), path) => items.iter_mut().for_each(|item| remove(item, path)),
        (Value::Object(members), [last]) => {
            members.remove(*last);
        }
        (Value::Object(members), [first, rest @ ..]) => {
            if let Some(value) = members.get_mut(*first) {
                remove(value, rest);
            }
        }
        _ => {}
    }
}

fn paths(at: &str, value: &Value, all: &mut Vec<String>) {
    let members: Vec<(String, &Value)> = match value {
        Value::Object(members) => members.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect(),
        _ => Vec::new(),
    };
    for (key, value) in members {
        let path = format!("{at}/{key}");
        paths(&path, value, all);
        all.push(path);
    }
}

#[test]
fn a_value_of_the_wrong_type_is_an_error_at_most() {
    let mut all = Vec::new();
    paths("", &sample(), &mut all);
    assert!(all.len() > 100);
    for path in &all {
        for wrong in [json!(null), json!(-1), json!(1e300), json!("x"), json!([[]]), json!({ "x": {} }), json!(true)] {
            let mut sample = sample();
            *sample.pointer_mut(path).unwrap() = wrong;
            let _ = serde_json::from_value::<WireApplication>(sample).map(WireApplication::snapshot);
        }
    }
    for list in
        ["/status/conditions", "/status/history", "/status/resources", "/status/summary/images", "/spec/sources"]
    {
        read(with(list, Value::Null));
    }
}

#[test]
fn long_texts_are_cut() {
    assert_eq!(clip(" a\n\n b\tc ", 5), "a b c");
    assert_eq!(clip("abcdef", 5), "a…def");
    // However many addresses there are in one word.
    assert_eq!(clip(&"u:p@x://".repeat(50_000), 5).chars().count(), 5);
    assert_eq!(clip("üüüüü", 5), "üüüüü");
    let git =
        "fetch https://bob:hunter2@git.example/x?a=b and 'ssh://git@git.example/x' failed: a://b:c@d:p@e/://f:g@h";
    assert_eq!(clip(git, 200), "fetch https://…@git.example/x?a=b and 'ssh://…@git.example/x' failed: a://…@e/://…@h");
    assert_eq!(read(with("/status/health/message", json!("x".repeat(10_000)))).health_message.chars().count(), 200);
}

#[test]
fn no_words_about_a_secret_are_read() {
    let why = "data[pw]: Invalid value: \"hunter2\"";
    let app = json!({
        "metadata": { "name": "checkout" },
        "status": {
            "health": { "status": "Degraded", "message": format!("Secret \"db\": {why}") },
            "conditions": [
                { "type": "SyncError", "message": format!("Failed last sync attempt: {why} (retried 5 times)") },
                { "type": "OrphanedResourceWarning", "message": "1 orphaned resource" },
            ],
            "resources": [
                { "kind": "Secret", "name": "db", "health": { "status": "Degraded", "message": why } },
                { "kind": "Ingress", "name": "web", "health": { "status": "Degraded", "message": "no address" } },
            ],
            "operationState": {
                "phase": "Failed",
                "message": format!("{} failed to apply, reason: {why}", "one or more objects ".repeat(40)),
                "syncResult": { "resources": [
                    { "kind": "Secret", "name": "db", "status": "SyncFailed", "message": why },
                    { "kind": "Job", "name": "migrate", "status": "SyncFailed", "message": format!("denied: {why}") },
                ] },
            },
        },
    });
    let read = serde_json::from_value::<WireApplication>(app).unwrap().snapshot();
    assert!(!format!("{read:?}").contains("hunter2"), "{read:#?}");
    assert_eq!((read.unwell[0].name.as_str(), read.unwell[0].message.as_str()), ("db", ""));
    assert_eq!(
        (read.unwell[1].message.as_str(), read.conditions[1].message.as_str()),
        ("no address", "1 orphaned resource")
    );
    let last = read.last.unwrap();
    assert_eq!((last.resources[0].kind.as_str(), last.resources[0].message.as_str()), ("Secret", ""));
    assert!(last.resources[0].has_failed() && last.message.contains("about a Secret"), "{last:?}");
}
