//! One application: what it is meant to be, what is live, and the operation that is under way.
//!
//! Easy to miss: an operation is over when `operation` is gone, not when `finishedAt` is set (a back-off
//! sets it too); sync status, images and health are those of the last reconcile, which comes after the operation.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

use super::chart::{Id, Manifest, float};
use super::clock::rfc3339;
use super::cluster::Cluster;
use super::script::{Health, Script};
use super::source::{Layout, Source, TagAt, resolve};
use super::tasks::Task;
use super::webhook::leaves_out_the_tag;
use super::{Git, Initiator};
use crate::Millis;

/// What the project's sync windows say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Window {
    /// Sync is allowed.
    Open,
    /// It is not; an operation that has begun waits.
    Closed,
    /// Somebody mistyped the schedule.
    Invalid,
}

/// An application. The public fields are its specification and what goes wrong with it; change them at any time.
#[derive(Clone, Debug)]
pub struct App {
    /// Its name.
    pub name: String,
    /// The namespace of the Application object.
    pub namespace: String,
    /// Its project.
    pub project: String,
    /// `source` or `sources`.
    pub layout: Layout,
    /// Where its manifests come from.
    pub sources: Vec<Source>,
    /// Where the tag of its image is.
    pub tag_at: TagAt,
    /// The image without the tag.
    pub image: String,
    /// Images of other services in the same chart, without their tags. What runs only those says nothing of how the app's own image runs.
    pub beside: Vec<String>,
    /// Whether `syncPolicy.automated` is set.
    pub automated: bool,
    /// `syncPolicy.retry`, or null.
    pub retry: Value,
    /// Whether that is used whatever a sync asks for.
    pub keeps_its_retry: bool,
    /// How long after something was applied the controller's own cache of the cluster does not have it yet: a comparison in that time shows
    /// the images and the health from before.
    pub cluster_lag: Millis,
    /// How many milliseconds Argo CD's clock is ahead of everybody else's.
    pub clock_ahead: i64,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// How its operations go.
    pub script: Script,
    /// Its sync window.
    pub window: Window,
    /// Whether somebody is deleting it.
    pub deleting: bool,
    /// A resource that is no longer in Git: it stays OutOfSync until a sync prunes it.
    pub leftover: bool,
    /// Whether something keeps changing the live state: always OutOfSync.
    pub drifting: bool,
    /// What its Pods run instead of what was applied.
    pub images: Option<Vec<String>>,
    /// What its operations apply instead of the image in Git.
    pub applies: Option<Vec<String>>,
    /// Why its Pods do not get on, in the words of Kubernetes, and what Kubernetes says about that.
    pub pods_are: (String, String),
    /// Degraded is an autoscaler without metrics, not a rollout past its deadline.
    pub flaps: bool,
    /// Resources beside the Deployment that are as they are, whatever is deployed: kind, health, what Argo CD says.
    pub standing: Vec<(String, Health, String)>,
    /// A Job `migrate` that is a hook of this type: it runs from the script's first step to the end of the attempt.
    pub hook: Option<String>,
    /// `status.summary.externalURLs`: where people see the app, from its ingresses and their annotations.
    pub urls: Vec<String>,
    /// What an admission webhook makes of images: what begins with the one begins with the other in Pods. For charts.
    pub renames: Option<(String, String)>,
    /// Kinds that its project does not permit: they are left out of its tree, and so are the images of such Pods, and what is in Git of
    /// them fails the sync. For charts.
    pub hidden: Vec<String>,
    /// `ignoreDifferences` with `RespectIgnoreDifferences`: the kind, and the JSON pointer to what stays as it is. For charts.
    pub ignores: Vec<(String, String)>,
    /// Why its manifests cannot be generated now: a chart repository that is away. For charts.
    pub generation_fails: Option<String>,
    /// Conditions (type, message); `InvalidSpecError` and `ComparisonError` end every sync with `Error`.
    pub conditions: Vec<(String, String)>,
    pub(super) now: Status,
}

/// What Argo CD knows of an application.
#[derive(Clone, Debug, Default)]
pub(super) struct Status {
    pub(super) version: u64,
    pub(super) created: Millis,
    pub(super) refresh: bool,
    pub(super) operation: Option<Operation>,
    pub(super) state: Option<State>,
    /// The tag that the cluster runs, and what it was before the operation under way.
    pub(super) live: Option<String>,
    /// The tags that were seen running well since, by a comparison after their sync, and when last.
    pub(super) well: BTreeMap<String, Millis>,
    /// The tag that it ran before, and until when the controller's cache says so.
    pub(super) before: Option<(Option<String>, Millis)>,
    /// The health of the new version, as long as no comparison has shown it.
    pub(super) rollout: Option<Health>,
    /// The tag that was rendered last.
    pub(super) manifests: Option<String>,
    pub(super) sync: &'static str,
    pub(super) revisions: Vec<String>,
    pub(super) health: Health,
    pub(super) health_since: Millis,
    pub(super) images: Vec<String>,
    pub(super) comparison_error: Option<String>,
    pub(super) reconciled: Option<Millis>,
    pub(super) history: Vec<Value>,
    pub(super) deployed: u64,
    /// What automated sync tried last, so that it does not try again.
    pub(super) tried: Vec<String>,
    /// What a chart's objects and Pods are; `None`: no chart, all goes by the script.
    pub(super) cluster: Option<Cluster>,
    /// What the last comparison found in Git.
    pub(super) targets: Vec<Manifest>,
    /// When something was applied last.
    pub(super) applied: Millis,
    /// When the cluster is looked at again, and what it was like last.
    pub(super) due: Option<Millis>,
    pub(super) seen: Vec<Value>,
    /// Whether the refresh that was asked for is a hard one.
    pub(super) hard: bool,
    /// How often generating manifests of a revision failed in a row, and since when.
    pub(super) failures: BTreeMap<String, (u32, Millis)>,
    pub(super) last_failure: BTreeMap<String, String>,
    /// The resources as the last look listed them, without their health.
    pub(super) listed: Vec<(Id, Value)>,
    /// Revisions in which no file changed that generates manifests: they have those of another one.
    pub(super) same_as: BTreeMap<String, String>,
    /// What the API server's cache has, and from when on: what is there now, and what is on its way.
    pub(super) cached: VecDeque<(Millis, Value)>,
}

/// A sync that was asked for.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) revisions: Vec<String>,
    /// What was asked for of each source.
    pub(super) asked: Vec<Option<String>>,
    pub(super) prune: bool,
    pub(super) dry_run: bool,
    pub(super) sync_options: Value,
    pub(super) strategy: Value,
    pub(super) resources: Value,
    pub(super) infos: Value,
    pub(super) retry: Value,
    pub(super) by: Initiator,
}

/// `status.operationState`.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) phase: &'static str,
    pub(super) message: String,
    pub(super) started: Millis,
    pub(super) finished: Option<Millis>,
    pub(super) retries: u64,
    pub(super) result: Option<Value>,
    /// The results of the attempt before: see [`super::tasks::take_over`].
    pub(super) earlier: Value,
    /// The tag in the manifests that the comparison made.
    pub(super) rendered: Option<String>,
    /// Whether the cluster was touched, and whether that changed anything.
    pub(super) applied: bool,
    pub(super) changed: bool,
    /// The revisions that it was compared with, if it did not name them itself.
    pub(super) resolved: Vec<String>,
    /// What there is to do, of a chart.
    pub(super) tasks: Option<Vec<Task>>,
    /// It sleeps between two waves, and nothing that it did is to be seen yet.
    pub(super) sleeps: bool,
    pub(super) operation: Operation,
}

impl App {
    /// Whether its labels are as a selector says, of which this knows `a=b`, `a!=b` and `a in (b, c)`.
    pub(super) fn has_labels(&self, selector: &str) -> bool {
        let (mut open, mut parts) = (false, vec![String::new()]);
        for c in selector.chars() {
            open = c == '(' || (open && c != ')');
            match c {
                ',' if !open => parts.push(String::new()),
                c => parts.last_mut().expect("one at least").push(c),
            }
        }
        let label = |name: &str| self.labels.get(name.trim()).map(String::as_str);
        parts.iter().filter(|part| !part.trim().is_empty()).all(|part| {
            if let Some((name, values)) = part.split_once(" in ") {
                let mut values = values.trim().trim_matches(['(', ')']).split(',').map(str::trim);
                values.any(|value| label(name) == Some(value))
            } else if let Some((name, value)) = part.split_once("!=") {
                label(name) != Some(value.trim())
            } else {
                part.split_once('=')
                    .is_some_and(|(name, value)| label(name) == Some(value.trim_start_matches('=').trim()))
            }
        })
    }

    /// An application in project `default` with `values.yaml` in its source's folder and the tag at `image.tag`.
    pub fn new(name: &str, source: Source) -> Self {
        let file = format!("{}/values.yaml", source.path.as_deref().unwrap_or_default());
        Self {
            name: name.to_owned(),
            namespace: "argocd".to_owned(),
            project: "default".to_owned(),
            layout: Layout::Single,
            sources: vec![source],
            tag_at: TagAt { source: 0, file: file.trim_start_matches('/').to_owned(), key: "image.tag".to_owned() },
            image: format!("ghcr.io/acme/{name}"),
            beside: Vec::new(),
            automated: false,
            retry: Value::Null,
            keeps_its_retry: false,
            cluster_lag: 0,
            clock_ahead: 0,
            annotations: BTreeMap::new(),
            labels: BTreeMap::new(),
            script: Script::default(),
            window: Window::Open,
            deleting: false,
            leftover: false,
            drifting: false,
            images: None,
            applies: None,
            pods_are: ("Running".to_owned(), String::new()),
            flaps: false,
            standing: Vec::new(),
            hook: None,
            urls: Vec::new(),
            renames: None,
            hidden: Vec::new(),
            ignores: Vec::new(),
            generation_fails: None,
            conditions: Vec::new(),
            now: Status::default(),
        }
    }

    /// An application with several sources; `tag_at` says which of them holds the tag.
    pub fn multi(name: &str, sources: Vec<Source>, tag_at: TagAt) -> Self {
        let source = Source::new("", "");
        Self { layout: Layout::Multi, sources, tag_at, ..Self::new(name, source) }
    }

    /// The revision of every source at its target, as Argo CD finds it now.
    pub(super) fn resolve(&self, git: &dyn Git) -> Result<Vec<String>, String> {
        self.sources.iter().map(|source| resolve(git, source, source.revision())).collect()
    }

    /// The tag that the manifests of these revisions have.
    pub(super) fn render(&self, git: &dyn Git, revisions: &[String]) -> Result<String, String> {
        let TagAt { source: index, file, key } = &self.tag_at;
        let failed = |why: String| {
            let (nth, all) = (index + 1, self.sources.len());
            format!(
                "Failed to load target state: failed to generate manifest for source {nth} of {all}: \
                 rpc error: code = Unknown desc = {why}"
            )
        };
        let (Some(source), Some(revision)) = (self.sources.get(*index), revisions.get(*index)) else {
            return Err(failed("source is missing".to_owned()));
        };
        let bytes = git
            .file(&source.repo_url, revision, file)
            .ok_or_else(|| failed(format!("open {file}: no such file or directory at {revision}")))?;
        tag(&bytes, key).map_err(failed)
    }

    /// The same, but kept from before where `manifest-generate-paths` says that nothing has changed.
    pub(super) fn manifests(&mut self, git: &dyn Git, revisions: &[String]) -> Result<String, String> {
        if let Some(kept) = self.now.manifests.clone().filter(|_| leaves_out_the_tag(self)) {
            return Ok(kept);
        }
        let tag = self.render(git, revisions)?;
        self.now.manifests = Some(tag.clone());
        Ok(tag)
    }

    pub(super) fn error_conditions(&self) -> Vec<String> {
        let bad = |kind: &str| matches!(kind, "ComparisonError" | "InvalidSpecError");
        self.conditions
            .iter()
            .filter(|(kind, _)| bad(kind))
            .map(|(kind, message)| format!("{kind}: {message}"))
            .collect()
    }

    /// `{"revision": ..}` or `{"revisions": [..]}`, with the sources beside it.
    pub(super) fn revisions_json(&self, revisions: &[String]) -> Value {
        let sources: Vec<Value> = self.sources.iter().map(Source::json).collect();
        match self.layout {
            Layout::Single => json!({
                "revision": revisions.first().cloned().unwrap_or_default(),
                "source": sources.first().cloned().unwrap_or_default(),
            }),
            Layout::Multi => json!({"revisions": revisions, "sources": sources}),
        }
    }

    /// A time as this Argo CD writes it.
    pub(super) fn time(&self, at: Millis) -> String {
        rfc3339(at.saturating_add_signed(self.clock_ahead))
    }

    /// The full Application object.
    pub(super) fn json(&self) -> Value {
        let now = &self.now;
        let mut annotations: BTreeMap<&str, &str> =
            self.annotations.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        if now.refresh {
            annotations.insert("argocd.argoproj.io/refresh", "normal");
        }
        let mut metadata = json!({
            "name": self.name, "namespace": self.namespace, "resourceVersion": now.version.to_string(),
            "uid": format!("00000000-0000-4000-8000-{:012x}", self.name.len()), "generation": now.version,
            "creationTimestamp": self.time(now.created),
        });
        if !self.labels.is_empty() {
            metadata["labels"] = json!(self.labels);
        }
        if !annotations.is_empty() {
            metadata["annotations"] = json!(annotations);
        }
        if self.deleting {
            metadata["deletionTimestamp"] = json!(self.time(now.created));
        }
        let destination = json!({"server": "https://kubernetes.default.svc", "namespace": self.name});
        let mut spec = json!({"project": self.project, "destination": destination});
        let sources: Vec<Value> = self.sources.iter().map(Source::json).collect();
        let mut compared = json!({"destination": destination});
        for target in [&mut spec, &mut compared] {
            match self.layout {
                Layout::Single => target["source"] = sources.first().cloned().unwrap_or_default(),
                Layout::Multi => target["sources"] = json!(sources),
            }
        }
        if self.automated {
            spec["syncPolicy"]["automated"] = json!({});
        }
        if !self.retry.is_null() {
            spec["syncPolicy"]["retry"] = self.retry.clone();
        }
        let mut sync = json!({"status": now.sync, "comparedTo": compared});
        match self.layout {
            Layout::Single if now.revisions.is_empty() => {}
            Layout::Single => sync["revision"] = json!(now.revisions.first()),
            Layout::Multi => sync["revisions"] = json!(now.revisions),
        }
        let mut status = json!({
            "sync": sync,
            "health": {"status": self.worst().name(), "lastTransitionTime": self.time(now.health_since)},
            "resources": self.chart_resources().unwrap_or_else(|| self.resources()),
            "summary": {"images": now.images},
            "sourceType": "Helm",
            "controllerNamespace": "argocd",
        });
        let urls: Vec<String> = self.urls.iter().cloned().chain(self.ingress_urls()).collect();
        if !urls.is_empty() {
            status["summary"]["externalURLs"] = json!(urls);
        }
        if let Some(at) = now.reconciled {
            status["reconciledAt"] = json!(self.time(at));
        }
        if !now.history.is_empty() {
            status["history"] = json!(now.history);
        }
        let error = now.comparison_error.iter().map(|message| ("ComparisonError", message.as_str()));
        let set = self.conditions.iter().map(|(kind, message)| (kind.as_str(), message.as_str()));
        let conditions: Vec<Value> = error
            .chain(set)
            .map(|(kind, message)| {
                let since = self.time(now.reconciled.unwrap_or(now.created));
                json!({"type": kind, "message": message, "lastTransitionTime": since})
            })
            .collect();
        if !conditions.is_empty() {
            status["conditions"] = json!(conditions);
        }
        if let Some(state) = &now.state {
            status["operationState"] = self.state_json(state);
        }
        let mut application = json!({"metadata": metadata, "spec": spec, "status": status});
        if let Some(operation) = &now.operation {
            application["operation"] = self.operation_json(operation);
        }
        application
    }

    fn operation_json(&self, operation: &Operation) -> Value {
        // Nobody but the API server fills in what is not said.
        let mut sync = match operation.revisions.as_slice() {
            [] => json!({}),
            revisions => self.revisions_json(revisions),
        };
        if self.now.cluster.is_some() {
            self.sources_asked(&operation.asked, &mut sync, None);
        }
        let fields = [
            ("syncOptions", &operation.sync_options),
            ("syncStrategy", &operation.strategy),
            ("resources", &operation.resources),
        ];
        for (name, value) in fields {
            if !value.is_null() {
                sync[name] = value.clone();
            }
        }
        // Go leaves out what is false.
        for (name, value) in [("prune", operation.prune), ("dryRun", operation.dry_run)] {
            if value {
                sync[name] = json!(true);
            }
        }
        let mut json = json!({"sync": sync, "initiatedBy": operation.by.json()});
        if !operation.infos.is_null() {
            json["info"] = operation.infos.clone();
        }
        json["retry"] = if operation.retry.is_null() { json!({}) } else { operation.retry.clone() };
        json
    }

    fn state_json(&self, state: &State) -> Value {
        let mut json = json!({
            "operation": self.operation_json(&state.operation),
            "phase": state.phase,
            "startedAt": self.time(state.started),
        });
        if !state.message.is_empty() {
            json["message"] = json!(state.message);
        }
        if let Some(at) = state.finished {
            json["finishedAt"] = json!(self.time(at));
        }
        if state.retries > 0 {
            json["retryCount"] = json!(state.retries);
        }
        if let Some(result) = &state.result {
            json["syncResult"] = result.clone();
        }
        json
    }
}

/// The scalar at the place, as Helm prints it: an unquoted `72044e0` is a number and loses its tail.
fn tag(bytes: &[u8], key: &str) -> Result<String, String> {
    let values: serde_yaml::Value =
        serde_yaml::from_slice(bytes).map_err(|error| format!("error unmarshaling values: {error}"))?;
    let mut at = &values;
    for segment in key.replace('[', ".").replace(']', "").split('.') {
        let next = match segment.parse::<usize>() {
            Ok(index) => at.get(index),
            Err(_) => at.get(segment),
        };
        at = next.ok_or_else(|| format!("nil pointer evaluating interface {{}}.{segment}"))?;
    }
    match at {
        serde_yaml::Value::String(text) => Ok(text.clone()),
        serde_yaml::Value::Number(number) => Ok(float(number.as_f64().unwrap_or_default())),
        serde_yaml::Value::Bool(value) => Ok(value.to_string()),
        _ => Err(format!("{key} is not a scalar")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_a_tag_as_helm_does() {
        let check = |yaml: &str, key: &str, expected: Option<&str>| {
            assert_eq!(tag(yaml.as_bytes(), key).ok().as_deref(), expected, "{yaml}");
        };
        check("image: {tag: main-0123456} # c", "image.tag", Some("main-0123456"));
        check("services:\n- image:\n    tag: \"12e-1234567\"\n", "services[0].image.tag", Some("12e-1234567"));
        check("image: {tag: 72044e0}", "image.tag", Some("72044"));
        check("image: {tag: 1.20}", "image.tag", Some("1.2"));
        check("image: {tag: 1234567}", "image.tag", Some("1.234567e+06"));
        check("image: {}", "image.tag", None);
        check("image: [", "image.tag", None);
        check("image: {tag: [a]}", "image.tag", None);
    }
}
