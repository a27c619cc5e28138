//! What an application has in the cluster: its objects, and the Pods that Kubernetes makes of them.
//!
//! Everything is a function of what was applied and of the time: nothing here is a script. The controllers are in `workload.rs`.

use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::chart::{Id, Manifest};
use super::pod::Pod;
use super::rollout::Rollout;
use super::workload::Progress;
use crate::Millis;

/// One object that was applied.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) manifest: Manifest,
    pub(super) created: Millis,
    pub(super) deleted: Option<Millis>,
    /// The versions of a Deployment or a Rollout, the oldest first.
    pub(super) sets: Vec<Set>,
    pub(super) progress: Progress,
    pub(super) job: Job,
    pub(super) rollout: Rollout,
}

/// A ReplicaSet.
#[derive(Clone, Debug)]
pub(super) struct Set {
    pub(super) hash: String,
    pub(super) template: Value,
    pub(super) replicas: usize,
    pub(super) revision: u64,
}

/// How far a Job is.
#[derive(Clone, Debug, Default)]
pub(super) struct Job {
    /// When each of its Pods ended, and whether well.
    pub(super) ended: BTreeMap<String, (Millis, bool)>,
    /// Whether it succeeded, and the message of its condition.
    pub(super) done: Option<(bool, &'static str)>,
    pub(super) done_at: Millis,
}

/// The namespace of an application.
#[derive(Clone, Debug, Default)]
pub(super) struct Cluster {
    pub(super) namespace: String,
    pub(super) objects: BTreeMap<Id, Object>,
    pub(super) pods: Vec<Pod>,
    /// How long a Pod takes by default.
    pub(super) takes: Millis,
    /// An admission webhook that renames images: what begins so begins otherwise in Pods.
    pub(super) renames: Option<(String, String)>,
    /// How often each hook ran.
    pub(super) hook_runs: BTreeMap<String, u64>,
    pub(super) names: u64,
    /// Up to when everything that was due has happened.
    pub(super) now: Millis,
}

impl Object {
    pub(super) fn spec(&self) -> &Value {
        &self.manifest.body["spec"]
    }

    pub(super) fn replicas(&self) -> usize {
        self.spec()["replicas"].as_u64().unwrap_or(1) as usize
    }
}

impl Cluster {
    /// Applies a manifest. How kubectl says it: `created`, `configured`, `unchanged`, or why not.
    pub(super) fn apply(&mut self, now: Millis, manifest: &Manifest) -> Result<&'static str, String> {
        refused(manifest, self.objects.get(&manifest.id).map(|object| &object.manifest))?;
        if let Some(object) = self.objects.get_mut(&manifest.id) {
            if object.manifest.body == manifest.body {
                return Ok("unchanged");
            }
            object.manifest = manifest.clone();
            self.run(now);
            return Ok("configured");
        }
        if manifest.is_hook() {
            *self.hook_runs.entry(manifest.id.name.clone()).or_default() += 1;
        }
        let object = Object {
            manifest: manifest.clone(),
            created: now,
            deleted: None,
            sets: Vec::new(),
            progress: Progress { since: now, ..Progress::default() },
            job: Job::default(),
            rollout: Rollout::default(),
        };
        self.objects.insert(manifest.id.clone(), object);
        self.run(now);
        Ok("created")
    }

    /// Deletes an object; its Pods take their time, and the object stays until they are gone.
    pub(super) fn delete(&mut self, now: Millis, id: &Id) {
        if let Some(object) = self.objects.get_mut(id) {
            object.deleted.get_or_insert(now);
        }
        for pod in self.pods.iter_mut().filter(|pod| pod.root == *id) {
            pod.deleted.get_or_insert(now);
        }
        self.run(now);
    }

    /// Lets everything happen that is due now.
    pub(super) fn run(&mut self, now: Millis) {
        self.now = now;
        // Each turn a controller sees what another one did; they are done after a few.
        for _ in 0..20 {
            self.pods.retain(|pod| pod.gone().is_none_or(|at| at > now));
            let pods = &self.pods;
            self.objects.retain(|id, object| object.deleted.is_none() || pods.iter().any(|pod| pod.root == *id));
            let mut changed = false;
            for id in self.objects.keys().cloned().collect::<Vec<_>>() {
                let Some(mut object) = self.objects.remove(&id) else { continue };
                if object.deleted.is_none() {
                    changed |= self.control(now, &mut object);
                }
                self.objects.insert(id, object);
            }
            if !changed {
                return;
            }
        }
    }

    /// When the next thing happens by itself.
    pub(super) fn next(&self, now: Millis) -> Option<Millis> {
        let pods = self.pods.iter().filter_map(|pod| pod.seen(now).next);
        let objects = self.objects.values().filter_map(|object| self.due(now, object));
        pods.chain(objects).filter(|at| *at > now).min()
    }

    /// Lets the time between two moments pass.
    pub(super) fn pass(&mut self, from: Millis, until: Millis) {
        let mut at = from;
        self.run(at);
        while let Some(next) = self.next(at).filter(|next| *next <= until) {
            at = next;
            self.run(at);
        }
    }

    /// Another Pod of a template.
    pub(super) fn create_pod(
        &mut self,
        now: Millis,
        name: &str,
        owner: Option<Id>,
        root: &Id,
        hash: &str,
        template: &Value,
    ) {
        self.names += 1;
        let mut template = template.clone();
        if let Some((from, to)) = &self.renames {
            rename(&mut template, from, to);
        }
        let name = name.strip_suffix('*').map_or(name.to_owned(), |start| format!("{start}{}", self.suffix()));
        let uid = format!("00000000-0000-4000-8000-{:012x}", self.names);
        self.pods.push(Pod {
            name,
            namespace: self.namespace.clone(),
            uid,
            owner,
            root: root.clone(),
            hash: hash.to_owned(),
            template,
            created: now,
            deleted: None,
            usual: self.takes,
        });
    }

    /// Five letters, as Kubernetes makes names unique.
    fn suffix(&self) -> String {
        const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        let digest = Sha256::digest(self.names.to_be_bytes());
        digest.iter().take(5).map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()])).collect()
    }

    /// Every image that a Pod has.
    pub(super) fn images(&self) -> Vec<String> {
        let mut images: Vec<String> = self.pods.iter().flat_map(Pod::images).collect();
        images.sort();
        images.dedup();
        images
    }
}

/// The hash of a template: another template is another version.
pub(super) fn hash(template: &Value) -> String {
    let digest = Sha256::digest(template.to_string());
    digest.iter().take(5).map(|byte| format!("{byte:02x}")).collect()
}

fn rename(template: &mut Value, from: &str, to: &str) {
    for kind in ["initContainers", "containers"] {
        for container in template["spec"][kind].as_array_mut().into_iter().flatten() {
            if let Some(rest) = container["image"].as_str().and_then(|image| image.strip_prefix(from)) {
                container["image"] = Value::String(format!("{to}{rest}"));
            }
        }
    }
}

/// Why Kubernetes does not take a manifest.
fn refused(manifest: &Manifest, before: Option<&Manifest>) -> Result<(), String> {
    let Id { group, kind, name } = &manifest.id;
    let spec = &manifest.body["spec"];
    let called = if group.is_empty() { kind.clone() } else { format!("{kind}.{group}") };
    let invalid = |why: &str| Err(format!("{called} {name:?} is invalid: {why}"));
    if matches!(kind.as_str(), "Deployment" | "StatefulSet" | "DaemonSet") {
        if spec["selector"].is_null() {
            return invalid(
                "[spec.selector: Required value, spec.template.metadata.labels: Invalid value: null: `selector` does not match template `labels`]",
            );
        }
        let labels = &spec["template"]["metadata"]["labels"];
        let selected = spec["selector"]["matchLabels"].as_object();
        if selected.into_iter().flatten().any(|(label, value)| labels[label] != *value) {
            return invalid(&format!(
                "spec.template.metadata.labels: Invalid value: {labels}: `selector` does not match template `labels`"
            ));
        }
    }
    let Some(before) = before.map(|before| &before.body["spec"]) else { return Ok(()) };
    let changed = |field: &str| before[field] != spec[field];
    match kind.as_str() {
        "Job" if changed("template") => {
            invalid(&format!("spec.template: Invalid value: {}: field is immutable", spec["template"]))
        }
        "Deployment" | "DaemonSet" if changed("selector") => {
            invalid(&format!("spec.selector: Invalid value: {}: field is immutable", spec["selector"]))
        }
        "StatefulSet"
            if ["selector", "serviceName", "podManagementPolicy", "volumeClaimTemplates"].into_iter().any(changed) =>
        {
            invalid(
                "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
            )
        }
        _ => Ok(()),
    }
}
