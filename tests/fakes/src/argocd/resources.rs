//! The resources of an application: their health, what became of them in a sync, and their tree.

use super::app::App;
use super::script::Health;
use serde_json::{Value, json};

impl App {
    /// The worst of all resources, as Argo CD orders them.
    pub(super) fn worst(&self) -> Health {
        let all = self.standing.iter().map(|(_, health, _)| *health);
        all.chain([self.now.health]).max().unwrap_or_default()
    }

    /// `status.resources`.
    pub(super) fn resources(&self) -> Value {
        let now = &self.now;
        let sync = if now.sync == "Synced" { "Synced" } else { "OutOfSync" };
        let mut health = json!({"status": now.health.name()});
        let name = &self.name;
        let message = match now.health {
            Health::Degraded if self.flaps => "the HPA was unable to compute the replica count".to_owned(),
            Health::Degraded => format!("Deployment \"{name}\" exceeded its progress deadline"),
            Health::Progressing => {
                "Waiting for rollout to finish: 1 old replicas are pending termination...".to_owned()
            }
            Health::Suspended => "Deployment is paused".to_owned(),
            _ => String::new(),
        };
        if !message.is_empty() {
            health["message"] = json!(message);
        }
        let mut resources = vec![
            json!({"version": "v1", "kind": "Service", "namespace": name, "name": name, "status": "Synced",
                "health": {"status": "Healthy"}}),
            json!({"group": "apps", "version": "v1", "kind": "Deployment", "namespace": name, "name": name,
                "status": sync, "health": health}),
        ];
        if self.flaps && now.health == Health::Degraded {
            resources[1]["health"] = json!({"status": "Healthy"});
            resources.push(json!({"group": "autoscaling", "version": "v2", "kind": "HorizontalPodAutoscaler",
                "namespace": name, "name": name, "status": "Synced", "health": health}));
        }
        resources.extend(self.standing.iter().map(|(kind, health, message)| {
            let health = if message.is_empty() {
                json!({"status": health.name()})
            } else {
                json!({"status": health.name(), "message": message})
            };
            json!({"version": "v1", "kind": kind, "namespace": name, "name": name, "status": "Synced", "health": health})
        }));
        if self.leftover {
            resources.push(json!({"version": "v1", "kind": "ConfigMap", "namespace": name, "name": "old-config",
                "status": "OutOfSync", "requiresPruning": true}));
        }
        json!(resources)
    }

    /// The nodes of the resource tree: the Deployment, and a Pod that runs the images.
    pub(super) fn tree(&self) -> Value {
        if let Some(nodes) = self.chart_nodes() {
            return json!({ "nodes": nodes });
        }
        let (name, images) = (&self.name, &self.now.images);
        let owned = |kind: &str| json!([{"group": "apps", "kind": kind, "namespace": name, "name": name}]);
        let mut nodes = vec![
            json!({"group": "apps", "version": "v1", "kind": "Deployment", "namespace": name, "name": name}),
            json!({"group": "apps", "version": "v1", "kind": "ReplicaSet", "namespace": name, "name": name,
                "parentRefs": owned("Deployment")}),
        ];
        if !images.is_empty() {
            nodes.push(json!({"version": "v1", "kind": "Pod", "namespace": name, "name": format!("{name}-1"),
                "parentRefs": owned("ReplicaSet"), "images": images,
                "info": [{"name": "Status Reason", "value": self.pods_are.0}],
                "health": {"status": "Healthy", "message": self.pods_are.1}}));
        }
        json!({ "nodes": nodes })
    }

    /// `syncResult.resources` after an attempt; `failure` is the Deployment's.
    pub(super) fn results(&self, prune: bool, failure: Option<&str>, ended: bool) -> Value {
        let name = &self.name;
        let (status, phase, message) = match failure {
            None => ("Synced", "Running", format!("deployment.apps/{name} configured")),
            Some(message) => ("SyncFailed", "Failed", message.to_owned()),
        };
        let rendered = self.now.state.as_ref().and_then(|state| state.rendered.as_ref());
        let truth = rendered.map(|tag| vec![format!("{}:{tag}", self.image)]);
        let images = self.applies.clone().or(truth).unwrap_or_default();
        let mut results = vec![
            json!({"group": "", "version": "v1", "kind": "Service", "namespace": name, "name": name,
                "status": "Synced", "message": format!("service/{name} unchanged"), "hookPhase": "Running", "syncPhase": "Sync"}),
            json!({"group": "apps", "version": "v1", "kind": "Deployment", "namespace": name, "name": name,
                "status": status, "message": message, "hookPhase": phase, "syncPhase": "Sync"}),
        ];
        // Argo CD leaves out an empty list.
        if !images.is_empty() {
            results[1]["images"] = json!(images);
        }
        if let Some(hook) = &self.hook {
            let (phase, message) = match (ended, failure) {
                (false, _) => ("Running", "job.batch/migrate created"),
                (true, None) => ("Succeeded", "Reached expected number of succeeded pods"),
                (true, Some(_)) => ("Failed", "Job has reached the specified backoff limit"),
            };
            results
                .push(json!({"group": "batch", "version": "v1", "kind": "Job", "namespace": name, "name": "migrate",
                "message": message, "hookType": hook, "hookPhase": phase, "syncPhase": hook}));
        }
        if self.leftover {
            let (status, message) =
                if prune { ("Pruned", "pruned") } else { ("PruneSkipped", "ignored (requires pruning)") };
            results.push(
                json!({"group": "", "version": "v1", "kind": "ConfigMap", "namespace": name, "name": "old-config",
                "status": status, "message": message, "hookPhase": "Succeeded", "syncPhase": "Sync"}),
            );
        }
        json!(results)
    }
}
