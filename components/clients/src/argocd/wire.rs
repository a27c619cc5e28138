//! An application in our words, and how it is read out of Argo CD's.
//!
//! The structs of the second half say which fields we read; [`FIELDS`] asks a stream for exactly those, and a test holds the two
//! together. Go writes `null` for an empty list, so every list may be `null`.

use domain::application::{AppSource, Application, Health, Operation, OperationState, Phase, Resource, SyncStatus};
use domain::names::DeploymentId;
use domain::time::Timestamp;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};

// ---- As Argo CD writes it ----

/// The fields that a snapshot is made of, below `application`. A field brings all that is below it.
pub(super) const FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.deletionTimestamp",
    "operation.info",
    "operation.initiatedBy",
    "operation.sync.revision",
    "operation.sync.revisions",
    "spec.source.repoURL",
    "spec.source.targetRevision",
    "spec.sources.repoURL",
    "spec.sources.targetRevision",
    "spec.sourceHydrator.syncSource",
    "spec.syncPolicy.automated",
    "status.conditions",
    "status.health",
    "status.history.deployedAt",
    "status.history.revision",
    "status.history.revisions",
    "status.operationState.finishedAt",
    "status.operationState.message",
    "status.operationState.operation.info",
    "status.operationState.operation.initiatedBy",
    "status.operationState.operation.sync.revision",
    "status.operationState.operation.sync.revisions",
    "status.operationState.phase",
    "status.operationState.retryCount",
    "status.operationState.startedAt",
    "status.operationState.syncResult.resources.hookPhase",
    "status.operationState.syncResult.resources.kind",
    "status.operationState.syncResult.resources.message",
    "status.operationState.syncResult.resources.name",
    "status.operationState.syncResult.resources.status",
    "status.operationState.syncResult.revision",
    "status.operationState.syncResult.revisions",
    "status.reconciledAt",
    "status.resources.health",
    "status.resources.hook",
    "status.resources.kind",
    "status.resources.name",
    "status.summary.externalURLs",
    "status.summary.images",
    "status.sync.revision",
    "status.sync.revisions",
    "status.sync.status",
];

/// The name under which our id stands in an operation's `info`.
pub(super) const DEPLOY_ID: &str = "deploy-id";

/// An `WireApplication`. `metadata` is what tells one from an empty object.
#[derive(Deserialize)]
pub(super) struct WireApplication {
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
    operation: Option<WireOperation>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(rename = "name")]
    _name: String,
    deletion_timestamp: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    source: Option<Source>,
    #[serde(deserialize_with = "or_default")]
    sources: Vec<Source>,
    source_hydrator: Option<IgnoredAny>,
    sync_policy: Option<SyncPolicy>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Source {
    #[serde(rename = "repoURL")]
    repo_url: String,
    #[serde(rename = "targetRevision")]
    target_revision: String,
}

#[derive(Deserialize)]
struct SyncPolicy {
    automated: Option<Automated>,
}

#[derive(Deserialize)]
struct Automated {
    enabled: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireOperation {
    #[serde(deserialize_with = "or_default")]
    info: Vec<Option<Info>>,
    initiated_by: Initiator,
    sync: Option<WireSyncOperation>,
}

/// One entry of an operation's `info`.
#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Info {
    pub(super) name: String,
    pub(super) value: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Initiator {
    username: String,
    automated: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireSyncOperation {
    revision: String,
    #[serde(deserialize_with = "or_default")]
    revisions: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    sync: WireSync,
    health: WireHealth,
    reconciled_at: Option<String>,
    #[serde(deserialize_with = "or_default")]
    conditions: Vec<Condition>,
    summary: Summary,
    #[serde(deserialize_with = "or_default")]
    resources: Vec<WireResource>,
    #[serde(deserialize_with = "or_default")]
    history: Vec<HistoryEntry>,
    operation_state: Option<WireState>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireSync {
    status: String,
    revision: String,
    #[serde(deserialize_with = "or_default")]
    revisions: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireHealth {
    status: String,
    message: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    message: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Summary {
    #[serde(rename = "externalURLs", deserialize_with = "or_default")]
    external_urls: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    images: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireResource {
    kind: String,
    name: String,
    health: Option<WireHealth>,
    hook: bool,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct HistoryEntry {
    deployed_at: Option<String>,
    revision: String,
    #[serde(deserialize_with = "or_default")]
    revisions: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireState {
    operation: WireOperation,
    phase: String,
    message: String,
    started_at: Option<String>,
    finished_at: Option<String>,
    retry_count: i64,
    sync_result: Option<SyncResult>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SyncResult {
    revision: String,
    #[serde(deserialize_with = "or_default")]
    revisions: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    resources: Vec<Option<ResourceResult>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ResourceResult {
    kind: String,
    name: String,
    status: String,
    message: String,
    hook_phase: String,
}

/// `null` is the empty list.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl WireApplication {
    /// In our words. Long texts are cut.
    pub(super) fn snapshot(self) -> Application {
        let Self { metadata, spec, status, operation } = self;
        let last = status.operation_state.map(WireState::read);
        let counted = || status.resources.iter().filter(|resource| !resource.hook);
        let health = |resource: &WireResource| resource.health.as_ref().map(|health| Health::parse(&health.status));
        let not_applied = last.iter().flat_map(|last| &last.resources).filter(|resource| resource.has_failed());
        let degraded = counted().filter(|resource| health(resource) == Some(Health::Degraded));
        let failing = not_applied
            .map(|resource| line(&resource.kind, &resource.name, &resource.message))
            .chain(degraded.map(|resource| {
                let message = resource.health.as_ref().map(|health| health.message.as_str()).unwrap_or_default();
                line(&resource.kind, &resource.name, message)
            }))
            .collect();
        // With a hydrator, Argo CD syncs another branch than the one that we write to: none of its sources is ours.
        let hydrated = spec.source_hydrator.is_some();
        let multi_source = !hydrated && !spec.sources.is_empty();
        let sources = match spec.source {
            _ if hydrated => Vec::new(),
            _ if multi_source => spec.sources,
            source => source.into_iter().collect(),
        };
        Application {
            operation: operation.map(|operation| Operation {
                deploy_id: operation.deploy_id(),
                by: operation.initiated_by.name(),
                revisions: operation.sync.unwrap_or_default().revisions(),
            }),
            sync_status: SyncStatus::parse(&status.sync.status),
            compared: one_per_source(status.sync.revision, status.sync.revisions),
            health: Health::parse(&status.health.status),
            health_message: clip(&status.health.message, SENTENCE),
            reconciled: time(status.reconciled_at),
            conditions: status
                .conditions
                .iter()
                .map(|condition| clip(&format!("{}: {}", condition.kind, condition.message), PARAGRAPH))
                .collect(),
            resources_total: counted().count(),
            resources_healthy: counted().filter(|r| health(r).is_none_or(|health| health == Health::Healthy)).count(),
            failing,
            images: status.summary.images,
            urls: status.summary.external_urls,
            sources: sources
                .into_iter()
                .map(|source| AppSource { url: source.repo_url, target: source.target_revision })
                .collect(),
            multi_source,
            automated: spec
                .sync_policy
                .and_then(|policy| policy.automated)
                .is_some_and(|auto| auto.enabled.unwrap_or(true)),
            deleting: metadata.deletion_timestamp.is_some(),
            history: status
                .history
                .into_iter()
                .map(|entry| (time(entry.deployed_at), one_per_source(entry.revision, entry.revisions)))
                .collect(),
            last,
        }
    }
}

impl WireState {
    fn read(self) -> OperationState {
        let result = self.sync_result.unwrap_or_default();
        let done = one_per_source(result.revision, result.revisions);
        let resource = |resource: ResourceResult| Resource {
            kind: resource.kind,
            name: resource.name,
            status: resource.status,
            message: clip(&resource.message, SENTENCE),
            hook_phase: resource.hook_phase,
        };
        OperationState {
            deploy_id: self.operation.deploy_id(),
            phase: Phase::parse(&self.phase),
            message: clip(&self.message, PARAGRAPH),
            started: time(self.started_at),
            finished: time(self.finished_at),
            retry_count: u32::try_from(self.retry_count).unwrap_or_default(),
            by: self.operation.initiated_by.name(),
            // Empty until Argo CD has begun to compare: then what was asked for.
            revisions: if done.is_empty() { self.operation.sync.unwrap_or_default().revisions() } else { done },
            resources: result.resources.into_iter().flatten().map(resource).collect(),
        }
    }
}

impl WireOperation {
    fn deploy_id(&self) -> Option<DeploymentId> {
        let ours = self.info.iter().flatten().find(|info| info.name == DEPLOY_ID)?;
        DeploymentId::parse(&ours.value).ok()
    }
}

impl Initiator {
    fn name(&self) -> Option<String> {
        match (self.username.is_empty(), self.automated) {
            (false, _) => Some(clip(&self.username, SENTENCE)),
            (true, true) => Some("auto-sync".to_owned()),
            (true, false) => None,
        }
    }
}

impl WireSyncOperation {
    fn revisions(self) -> Vec<String> {
        one_per_source(self.revision, self.revisions)
    }
}

/// `revision` is for one source, `revisions` for several.
fn one_per_source(revision: String, revisions: Vec<String>) -> Vec<String> {
    if revisions.is_empty() && !revision.is_empty() { vec![revision] } else { revisions }
}

fn time(text: Option<String>) -> Option<Timestamp> {
    Timestamp::from_rfc3339(&text?)
}

fn line(kind: &str, name: &str, message: &str) -> String {
    let message = clip(message, SENTENCE);
    if message.is_empty() { format!("{kind}/{name}") } else { format!("{kind}/{name}: {message}") }
}

/// What we keep of a sentence, in characters.
pub(super) const SENTENCE: usize = 200;
/// What we keep of a message that may list several things.
const PARAGRAPH: usize = 500;

/// On one line, and at most that long.
pub(super) fn clip(text: &str, limit: usize) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let text = words.join(" ");
    match text.char_indices().nth(limit) {
        Some(_) => text.chars().take(limit.saturating_sub(1)).chain(['…']).collect(),
        None => text,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::{Value, json};

    pub(crate) const ID: &str = "0123456789abcdef0123456789abcdef";
    pub(crate) const SHA: &str = "6b6ed4bd9a4f2ea2d3a7fce1f4e9b8d5c0a1b2c3";

    /// An application as Argo CD 3.5 writes it, after a deploy of ours that went through and left one resource unhealthy.
    pub(crate) fn sample() -> Value {
        let source = json!({ "repoURL": "https://github.com/acme/gitops.git", "path": "checkout", "targetRevision": "main",
            "helm": { "valueFiles": ["values.yaml"], "values": "image:\n  tag: x\n" } });
        let operation = json!({
            "sync": { "revision": SHA, "syncOptions": ["CreateNamespace=true"], "source": source },
            "initiatedBy": { "username": "deploybot" },
            "info": [{ "name": "slack-user", "value": "U1" }, { "name": "deploy-id", "value": ID }],
            "retry": { "limit": 2, "backoff": { "duration": "5s", "factor": 2, "maxDuration": "1m" } },
        });
        json!({
            "metadata": { "name": "checkout", "namespace": "argocd", "uid": "6d3bc2b4", "resourceVersion": "4711", "generation": 12,
                "creationTimestamp": "2026-01-02T03:04:05Z", "labels": { "team": "shop" },
                "managedFields": [{ "manager": "argocd-server", "operation": "Update", "fieldsV1": { "f:spec": {} } }] },
            "spec": {
                "source": source,
                "destination": { "server": "https://kubernetes.default.svc", "namespace": "checkout" },
                "project": "default",
                "syncPolicy": { "syncOptions": ["CreateNamespace=true"] },
            },
            "status": {
                "resources": [
                    { "version": "v1", "kind": "ConfigMap", "namespace": "checkout", "name": "settings", "status": "Synced" },
                    { "version": "v1", "kind": "Service", "namespace": "checkout", "name": "checkout", "status": "Synced",
                      "health": { "status": "Healthy" } },
                    { "group": "apps", "version": "v1", "kind": "Deployment", "namespace": "checkout", "name": "checkout",
                      "status": "Synced", "syncWave": 1,
                      "health": { "status": "Degraded", "message": "Deployment \"checkout\" exceeded its progress deadline" } },
                    { "group": "batch", "version": "v1", "kind": "Job", "namespace": "checkout", "name": "migrate", "status": "Synced",
                      "hook": true, "health": { "status": "Healthy" } },
                ],
                "sync": { "status": "Synced", "comparedTo": { "source": source, "destination": {} }, "revision": SHA },
                "health": { "status": "Degraded", "lastTransitionTime": "2026-08-21T08:52:43Z" },
                "history": [
                    { "revision": "11aa22bb33cc44dd55ee66ff778899aabbccddee", "deployedAt": "2026-08-20T10:00:00Z", "id": 7,
                      "source": source, "deployStartedAt": "2026-08-20T09:59:58Z", "initiatedBy": { "username": "alice" } },
                    { "revision": SHA, "deployedAt": "2026-08-21T08:42:43Z", "id": 8, "source": source,
                      "deployStartedAt": "2026-08-21T08:42:40Z", "initiatedBy": { "username": "deploybot" } },
                ],
                "conditions": [{ "type": "SharedResourceWarning", "message": "Service/checkout is part of\napplications a and b",
                    "lastTransitionTime": "2026-08-01T00:00:00Z" }],
                "reconciledAt": "2026-08-21T08:42:44Z",
                "operationState": {
                    "operation": operation,
                    "phase": "Succeeded",
                    "message": "successfully synced (all tasks run)",
                    "syncResult": {
                        "resources": [
                            { "group": "", "version": "v1", "kind": "Service", "namespace": "checkout", "name": "checkout",
                              "status": "Synced", "message": "service/checkout unchanged", "hookPhase": "Running", "syncPhase": "Sync" },
                            { "group": "batch", "version": "v1", "kind": "Job", "namespace": "checkout", "name": "migrate",
                              "message": "job.batch/migrate created", "hookType": "PreSync", "hookPhase": "Succeeded",
                              "syncPhase": "PreSync", "images": ["ghcr.io/acme/checkout:x"] },
                        ],
                        "revision": SHA,
                        "source": source,
                    },
                    "startedAt": "2026-08-21T08:42:40Z",
                    "finishedAt": "2026-08-21T08:42:43Z",
                    "retryCount": 1,
                },
                "sourceType": "Helm",
                "summary": { "externalURLs": ["https://checkout.acme.example/"], "images": ["ghcr.io/acme/checkout:main-6b6ed4b"] },
                "controllerNamespace": "argocd",
            },
        })
    }

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
                    resource("Job", "migrate", "", "job.batch/migrate created", "Succeeded"),
                ],
            }),
            sync_status: SyncStatus::Synced,
            compared: texts(&[SHA]),
            health: Health::Degraded,
            health_message: String::new(),
            reconciled: at("08:42:44"),
            conditions: texts(&["SharedResourceWarning: Service/checkout is part of applications a and b"]),
            images: texts(&["ghcr.io/acme/checkout:main-6b6ed4b"]),
            urls: texts(&["https://checkout.acme.example/"]),
            sources: vec![AppSource {
                url: "https://github.com/acme/gitops.git".to_owned(),
                target: "main".to_owned(),
            }],
            multi_source: false,
            automated: false,
            deleting: false,
            history: vec![
                (Timestamp::from_rfc3339("2026-08-20T10:00:00Z"), texts(&["11aa22bb33cc44dd55ee66ff778899aabbccddee"])),
                (at("08:42:43"), texts(&[SHA])),
            ],
            resources_total: 3,
            resources_healthy: 2,
            failing: texts(&[r#"Deployment/checkout: Deployment "checkout" exceeded its progress deadline"#]),
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
    fn what_failed_is_named_first() {
        let mut failed = with("/status/operationState/phase", json!("Failed"));
        failed["status"]["operationState"]["syncResult"]["resources"][0]["status"] = json!("SyncFailed");
        failed["status"]["operationState"]["syncResult"]["resources"][0]["message"] =
            json!("service is invalid:\n  spec.ports");
        failed["status"]["operationState"]["syncResult"]["resources"][1]["hookPhase"] = json!("Error");
        failed["status"]["operationState"]["syncResult"]["resources"][1]["message"] = json!("");
        let snapshot = read(failed);
        insta::assert_snapshot!(snapshot.failing.join("\n"), @r#"
        Service/checkout: service is invalid: spec.ports
        Job/migrate
        Deployment/checkout: Deployment "checkout" exceeded its progress deadline
        "#);
        assert_eq!(snapshot.last.unwrap().phase, Phase::Failed);
    }

    #[test]
    fn a_resource_is_done_when_applied_or_when_its_hook_has_ended() {
        let check = |status: &str, hook_phase: &str, done| {
            let resource =
                Resource { status: status.to_owned(), hook_phase: hook_phase.to_owned(), ..Resource::default() };
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
        assert_eq!(read(with("/status/health/status", json!("Missing"))).health.to_string(), "Missing");
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
        full["metadata"]["deletionTimestamp"] = json!("2026-08-21T08:42:43Z");
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
        for field in FIELDS.iter().filter(|field| !field.contains("sourceHydrator")) {
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
            for wrong in
                [json!(null), json!(-1), json!(1e300), json!("x"), json!([[]]), json!({ "x": {} }), json!(true)]
            {
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
        assert_eq!(clip("abcdef", 5), "abcd…");
        assert_eq!(clip("üüüüü", 5), "üüüüü");
        assert_eq!(read(with("/status/health/message", json!("x".repeat(10_000)))).health_message.chars().count(), 200);
    }
}
