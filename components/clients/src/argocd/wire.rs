//! An application in our words, and how it is read out of Argo CD's.
//!
//! The structs of the second half say which fields we read; [`FIELDS`] asks a stream for exactly those, and a
//! test holds the two together. Go writes `null` for an empty list, so every list is an `Option`.

use domain::application::{
    AppSource, Application, Condition, Health, Operation, OperationState, Phase, Resource, SyncStatus, Unwell, hushed,
    words_about,
};
use domain::message::middle;
use domain::names::DeploymentId;
use domain::time::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use std::borrow::Cow;

// ---- As Argo CD writes it ----

/// The fields that a snapshot is made of, below `application`. A field brings all that is below it.
pub(super) const FIELDS: &[&str] = &[
    "metadata.name",
    // Not all of them: `kubectl` keeps whole manifests there.
    "metadata.annotations.argocd.argoproj.io/manifest-generate-paths",
    "metadata.deletionTimestamp",
    "operation.info",
    "operation.initiatedBy",
    "operation.sync.revision",
    "operation.sync.revisions",
    "spec.source.path",
    "spec.source.repoURL",
    "spec.source.targetRevision",
    "spec.sources.path",
    "spec.sources.repoURL",
    "spec.sources.targetRevision",
    "spec.sourceHydrator.syncSource",
    "spec.syncPolicy.automated",
    "spec.syncPolicy.retry",
    "status.conditions",
    "status.health",
    "status.history.deployedAt",
    "status.history.revision",
    "status.history.revisions",
    "status.operationState.finishedAt",
    "status.operationState.message",
    "status.operationState.operation.info",
    "status.operationState.operation.initiatedBy",
    "status.operationState.operation.sync.dryRun",
    "status.operationState.operation.sync.revision",
    "status.operationState.operation.sync.revisions",
    "status.operationState.phase",
    "status.operationState.retryCount",
    "status.operationState.startedAt",
    "status.operationState.syncResult.resources.hookPhase",
    "status.operationState.syncResult.resources.hookType",
    "status.operationState.syncResult.resources.images",
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
    "status.resources.requiresPruning",
    "status.summary.externalURLs",
    "status.summary.images",
    "status.sync.revision",
    "status.sync.revisions",
    "status.sync.status",
];

/// The name of our id in an operation's `info`.
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
    annotations: Option<Annotations>,
}

#[derive(Default, Deserialize)]
struct Annotations {
    #[serde(rename = "argocd.argoproj.io/manifest-generate-paths")]
    generate_paths: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    source: Option<Source>,
    sources: Option<Vec<Source>>,
    source_hydrator: Option<IgnoredAny>,
    sync_policy: Option<SyncPolicy>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Source {
    path: String,
    #[serde(rename = "repoURL")]
    repo_url: String,
    #[serde(rename = "targetRevision")]
    target_revision: String,
}

#[derive(Deserialize)]
struct SyncPolicy {
    automated: Option<Automated>,
    retry: Option<Value>,
}

#[derive(Deserialize)]
struct Automated {
    enabled: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireOperation {
    info: Option<Vec<Option<Info>>>,
    initiated_by: Initiator,
    sync: Option<WireSyncOperation>,
}

/// One entry of an operation's `info`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Info {
    name: String,
    value: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Initiator {
    username: String,
    automated: bool,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireSyncOperation {
    dry_run: bool,
    revision: String,
    revisions: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    sync: WireSync,
    health: WireHealth,
    reconciled_at: Option<String>,
    conditions: Option<Vec<WireCondition>>,
    summary: Summary,
    resources: Option<Vec<WireResource>>,
    history: Option<Vec<HistoryEntry>>,
    operation_state: Option<WireState>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireSync {
    status: SyncStatus,
    revision: String,
    revisions: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireHealth {
    status: Health,
    message: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireCondition {
    #[serde(rename = "type")]
    kind: String,
    message: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Summary {
    #[serde(rename = "externalURLs")]
    external_urls: Option<Vec<String>>,
    images: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireResource {
    kind: String,
    name: String,
    health: Option<WireHealth>,
    hook: bool,
    requires_pruning: bool,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct HistoryEntry {
    deployed_at: Option<String>,
    revision: String,
    revisions: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireState {
    operation: WireOperation,
    phase: Phase,
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
    revisions: Option<Vec<String>>,
    resources: Option<Vec<Option<Resource>>>,
}

impl WireApplication {
    /// In our words. Long texts are cut.
    pub(super) fn snapshot(self) -> Application {
        let Self { metadata, spec, status, operation } = self;
        let secrets =
            words_of_secrets(status.operation_state.as_ref(), status.resources.as_deref().unwrap_or_default());
        let last = status.operation_state.map(|last| last.read(&secrets));
        let pruned = status.resources.iter().flatten().filter(|resource| resource.requires_pruning && !resource.hook);
        let to_prune = pruned.map(|resource| format!("{}/{}", resource.kind, resource.name)).collect();
        let unwell = status.resources.into_iter().flatten().filter_map(|one| one.unwell(&secrets)).collect();
        let hydrated = spec.source_hydrator.is_some();
        let several = spec.sources.unwrap_or_default();
        let multi_source = !hydrated && !several.is_empty();
        let sources = match spec.source {
            _ if hydrated => Vec::new(),
            _ if multi_source => several,
            source => source.into_iter().collect(),
        };
        let (automated, retry) = spec.sync_policy.map(|policy| (policy.automated, policy.retry)).unwrap_or_default();
        let sources = sources.into_iter().map(|source| AppSource {
            url: source.repo_url,
            target: source.target_revision,
            path: source.path,
        });
        Application {
            operation: operation.map(|operation| Operation {
                deploy_id: operation.deploy_id(),
                by: operation.initiated_by.name(),
                revisions: operation.revisions(),
            }),
            sync_status: status.sync.status,
            compared: one_per_source(status.sync.revision, status.sync.revisions),
            health: status.health.status,
            health_message: said(&status.health.message, SENTENCE, &secrets),
            reconciled: time(status.reconciled_at),
            conditions: status.conditions.into_iter().flatten().map(|condition| condition.read(&secrets)).collect(),
            generate_paths: metadata.annotations.and_then(|annotations| annotations.generate_paths).map(cut_paths),
            to_prune,
            images: status.summary.images.unwrap_or_default(),
            urls: status.summary.external_urls.unwrap_or_default(),
            sources: sources.collect(),
            multi_source,
            hydrated,
            automated: automated.is_some_and(|auto| auto.enabled.unwrap_or(true)),
            retry,
            unwell,
            deleting: metadata.deletion_timestamp.is_some(),
            history: status.history.into_iter().flatten().map(HistoryEntry::read).collect(),
            last,
        }
    }
}

impl HistoryEntry {
    fn read(self) -> (Option<Timestamp>, Vec<String>) {
        (time(self.deployed_at), one_per_source(self.revision, self.revisions))
    }
}

impl WireCondition {
    fn read(self, secrets: &[String]) -> Condition {
        Condition { kind: clip(&self.kind, SENTENCE), message: said(&self.message, PARAGRAPH, secrets) }
    }
}

impl WireResource {
    fn unwell(self, secrets: &[String]) -> Option<Unwell> {
        let health = self.health.filter(|health| health.status != Health::Healthy && !self.hook)?;
        let message = clip(&words_about(&self.kind, &health.message, secrets), SENTENCE);
        Some(Unwell { kind: self.kind, name: self.name, health: health.status, message })
    }
}

/// What Argo CD says about Secrets that it could not apply, or that are not well.
fn words_of_secrets(last: Option<&WireState>, resources: &[WireResource]) -> Vec<String> {
    let applied = last.and_then(|last| last.sync_result.as_ref()?.resources.as_ref()).into_iter().flatten().flatten();
    let applied = applied.filter(|one| one.kind == "Secret" && one.has_failed()).map(|one| one.message.clone());
    let health = resources.iter().filter(|one| one.kind == "Secret").filter_map(|one| one.health.as_ref());
    let all = applied.chain(health.map(|health| health.message.clone()));
    all.filter(|words| !words.trim().is_empty()).collect()
}

impl WireState {
    fn read(self, secrets: &[String]) -> OperationState {
        if self.phase == Phase::Succeeded && self.operation.sync.as_ref().is_some_and(|sync| sync.dry_run) {
            return self.read_dry_run();
        }
        let result = self.sync_result.unwrap_or_default();
        let done = one_per_source(result.revision, result.revisions);
        let resource = |resource: Resource| {
            let message = clip(&words_about(&resource.kind, &resource.message, secrets), SENTENCE);
            Resource { message, ..resource }
        };
        OperationState {
            deploy_id: self.operation.deploy_id(),
            phase: self.phase,
            message: said(&self.message, PARAGRAPH, secrets),
            started: time(self.started_at),
            finished: time(self.finished_at),
            retry_count: u32::try_from(self.retry_count).unwrap_or_default(),
            by: self.operation.initiated_by.name(),
            // Empty until Argo CD has begun to compare: then what was asked for.
            revisions: if done.is_empty() { self.operation.revisions() } else { done },
            resources: result.resources.into_iter().flatten().flatten().map(resource).collect(),
        }
    }
}

impl WireState {
    /// A dry run that went well says that everything was applied, with its images. Nothing was: it is as good as a sync that
    /// failed before it began.
    fn read_dry_run(self) -> OperationState {
        OperationState {
            deploy_id: self.operation.deploy_id(),
            phase: Phase::Failed,
            message: "a dry run".to_owned(),
            started: time(self.started_at),
            finished: time(self.finished_at),
            by: self.operation.initiated_by.name(),
            ..OperationState::default()
        }
    }
}

impl WireOperation {
    fn deploy_id(&self) -> Option<DeploymentId> {
        let ours = self.info.iter().flatten().flatten().find(|info| info.name == DEPLOY_ID)?;
        DeploymentId::parse(&ours.value).ok()
    }

    fn revisions(self) -> Vec<String> {
        let sync = self.sync.unwrap_or_default();
        one_per_source(sync.revision, sync.revisions)
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

/// `revision` is for one source, `revisions` for several.
fn one_per_source(revision: String, revisions: Option<Vec<String>>) -> Vec<String> {
    let revisions = revisions.unwrap_or_default();
    if revisions.is_empty() && !revision.is_empty() { vec![revision] } else { revisions }
}

fn time(text: Option<String>) -> Option<Timestamp> {
    Timestamp::from_rfc3339(&text?)
}

/// What we keep of a sentence, in characters.
pub(super) const SENTENCE: usize = 200;
/// What we keep of a list of paths, in characters.
const MOST_PATHS: usize = 2000;
/// What we keep of a message that may list several things.
const PARAGRAPH: usize = 500;

/// As it is, if it is of a sensible length.
fn cut_paths(paths: String) -> String {
    paths.chars().take(MOST_PATHS).collect()
}

/// On one line, and at most that long, see [`middle`]. The password of an address is not kept: repositories have passwords
/// in their URLs.
pub(super) fn clip(text: &str, limit: usize) -> String {
    let words: Vec<Cow<'_, str>> = text.split_whitespace().map(without_password).collect();
    middle(&words.join(" "), limit)
}

/// Argo CD's words, without what it says about Secrets.
pub(super) fn said(text: &str, limit: usize, secrets: &[String]) -> String {
    clip(&hushed(text, secrets), limit)
}

/// `https://user:password@host/…` as `https://…@host/…`.
fn without_password(word: &str) -> Cow<'_, str> {
    let (mut kept, mut rest) = (String::new(), word);
    while let Some((before, address)) = rest.split_once("://") {
        let (host, path) = address.split_at(address.find(['/', '?', '#']).unwrap_or(address.len()));
        let (user, host) = host.rsplit_once('@').map_or(("", host), |(_, host)| ("…@", host));
        kept.extend([before, "://", user, host]);
        rest = path;
    }
    if kept.is_empty() { Cow::Borrowed(word) } else { Cow::Owned(kept + rest) }
}

#[cfg(test)]
mod tests;
