//! What Argo CD makes of the cluster: the health of each object in its words, and the tree of what belongs to what.

use serde_json::{Value, json};

use super::chart::{Id, Manifest};
use super::clock::rfc3339;
use super::cluster::{Cluster, Object, hash};
use super::pod::Pod;
use super::script::Health;
use super::workload::{BOUND, SCALED};
use crate::Millis;

impl Health {
    /// The health of an application is the worst of its resources.
    pub(super) fn worse(self, other: Self) -> Self {
        const ORDER: [Health; 6] = [
            Health::Healthy,
            Health::Suspended,
            Health::Progressing,
            Health::Missing,
            Health::Degraded,
            Health::Unknown,
        ];
        let rank = |health| ORDER.iter().position(|one| *one == health);
        if rank(other) > rank(self) { other } else { self }
    }
}

/// Whether Argo CD knows how such an object is.
pub(super) fn has_health(id: &Id) -> bool {
    const KINDS: [(&str, &str); 13] = [
        ("apps", "Deployment"),
        ("apps", "StatefulSet"),
        ("apps", "DaemonSet"),
        ("apps", "ReplicaSet"),
        ("batch", "Job"),
        ("batch", "CronJob"),
        ("", "Pod"),
        ("", "Service"),
        ("", "PersistentVolumeClaim"),
        ("networking.k8s.io", "Ingress"),
        ("argoproj.io", "Rollout"),
        ("autoscaling", "HorizontalPodAutoscaler"),
        ("policy", "PodDisruptionBudget"),
    ];
    KINDS.contains(&(id.group.as_str(), id.kind.as_str()))
}

impl Cluster {
    /// The health of an object and what is said about it; `None` if Argo CD knows nothing about such objects.
    pub(super) fn health(&self, now: Millis, id: &Id) -> Option<(Health, String)> {
        let Some(object) = self.objects.get(id) else { return Some((Health::Missing, String::new())) };
        if object.deleted.is_some() {
            return Some((Health::Progressing, "Pending deletion".to_owned()));
        }
        if !has_health(id) {
            return None;
        }
        let spec = object.spec();
        let plain = |health| Some((health, String::new()));
        match id.kind.as_str() {
            "Deployment" => Some(self.deployment_health(now, object)),
            "StatefulSet" => Some(self.stateful_set_health(now, object)),
            "DaemonSet" => Some(self.daemon_set_health(now, object)),
            "Rollout" => Some(object.rollout.health()),
            "Job" => Some(match object.job.done {
                None => (Health::Progressing, String::new()),
                Some((well, message)) => (if well { Health::Healthy } else { Health::Degraded }, message.to_owned()),
            }),
            "Pod" => self.pods.iter().find(|pod| pod.root == *id).map(|pod| {
                let seen = pod.seen(now);
                (seen.health, seen.message)
            }),
            "CronJob" if spec["suspend"] == true => Some((Health::Healthy, "CronJob is Suspended".to_owned())),
            "CronJob" => Some((Health::Healthy, "CronJob has not been scheduled yet".to_owned())),
            "Service" if spec["type"] == "LoadBalancer" => plain(Health::Progressing),
            // Nobody here gives an Ingress its address.
            "Ingress" => plain(Health::Progressing),
            "PersistentVolumeClaim" if now < object.created + BOUND => plain(Health::Progressing),
            "HorizontalPodAutoscaler" if now < object.created + SCALED => {
                Some((Health::Progressing, "Waiting to Autoscale".to_owned()))
            }
            "HorizontalPodAutoscaler" => {
                let message = "the HPA controller was able to get the target's current scale";
                Some((Health::Healthy, message.to_owned()))
            }
            "PodDisruptionBudget" => Some((Health::Healthy, "PodDisruptionBudget has InsufficientPods".to_owned())),
            _ => plain(Health::Healthy),
        }
    }

    fn deployment_health(&self, now: Millis, object: &Object) -> (Health, String) {
        let waiting = |what: String| (Health::Progressing, format!("Waiting for rollout to finish: {what}..."));
        if object.spec()["paused"] == true {
            return (Health::Suspended, "Deployment is paused".to_owned());
        }
        let (id, wanted) = (&object.manifest.id, object.replicas());
        if object.progress.exceeded {
            return (Health::Degraded, format!("Deployment {:?} exceeded its progress deadline", id.name));
        }
        let (all, new) = (self.count(now, id, None), self.count(now, id, Some(&object.progress.hash)));
        if new.replicas < wanted {
            return waiting(format!("{} out of {wanted} new replicas have been updated", new.replicas));
        }
        if all.replicas > new.replicas {
            return waiting(format!("{} old replicas are pending termination", all.replicas - new.replicas));
        }
        if all.available < new.replicas {
            return waiting(format!("{} of {} updated replicas are available", all.available, new.replicas));
        }
        (Health::Healthy, String::new())
    }

    fn stateful_set_health(&self, now: Millis, object: &Object) -> (Health, String) {
        let (id, wanted, spec) = (&object.manifest.id, object.replicas(), object.spec());
        let newest = hash(&spec["template"]);
        let own = || self.pods.iter().filter(|pod| pod.root == *id);
        let ready = own().filter(|pod| is_ready(pod, now)).count();
        let updated = own().filter(|pod| pod.hash == newest && pod.deleted.is_none()).count();
        let strategy = &spec["updateStrategy"];
        if ready < wanted {
            return (Health::Progressing, format!("Waiting for {} pods to be ready...", wanted - ready));
        }
        if strategy["type"] == "OnDelete" {
            return (Health::Healthy, format!("statefulset has {ready} ready pods"));
        }
        let wanted = wanted - wanted.min(strategy["rollingUpdate"]["partition"].as_u64().unwrap_or(0) as usize);
        if updated < wanted {
            let how = format!("{updated} out of {wanted} new pods have been updated...");
            return (Health::Progressing, format!("Waiting for partitioned roll out to finish: {how}"));
        }
        (Health::Healthy, format!("partitioned roll out complete: {updated} new pods have been updated..."))
    }

    fn daemon_set_health(&self, now: Millis, object: &Object) -> (Health, String) {
        let id = &object.manifest.id;
        let newest = hash(&object.spec()["template"]);
        let updated = self.pods.iter().filter(|pod| pod.root == *id && pod.hash == newest);
        let ready = updated.clone().filter(|pod| is_ready(pod, now)).count();
        let updated = updated.count();
        if object.spec()["updateStrategy"]["type"] == "OnDelete" {
            return (Health::Healthy, format!("daemon set {updated} out of 1 new pods have been updated"));
        }
        let waiting = |what: &str| {
            (Health::Progressing, format!("Waiting for daemon set {:?} rollout to finish: {what}...", id.name))
        };
        match (updated, ready) {
            (0, _) => waiting("0 out of 1 new pods have been updated"),
            (_, 0) => waiting("0 of 1 updated pods are available"),
            _ => (Health::Healthy, String::new()),
        }
    }

    /// The nodes of the resource tree: what is in Git or in the cluster, and what Kubernetes made of that. Children of kinds that the
    /// project does not permit are left out.
    pub(super) fn nodes(&self, now: Millis, targets: &[Manifest], hidden: &[String]) -> Vec<Value> {
        let namespace = &self.namespace;
        let node = |id: &Id, version: &str, health: Option<(Health, String)>| {
            let mut node = json!({"version": version, "kind": id.kind, "namespace": namespace, "name": id.name});
            if !id.group.is_empty() {
                node["group"] = json!(id.group);
            }
            if let Some(health) = health {
                node["health"] = health_json(&health);
            }
            node
        };
        let revision = |set: u64| json!([{"name": "Revision", "value": format!("Rev:{set}")}]);
        let mut nodes = Vec::new();
        let missing = targets.iter().filter(|target| !target.is_hook() && !self.objects.contains_key(&target.id));
        for target in missing {
            nodes.push((target.id.clone(), node(&target.id, &target.version, Some((Health::Missing, String::new())))));
        }
        for (id, object) in &self.objects {
            let mut own = node(id, &object.manifest.version, self.health(now, id));
            own["createdAt"] = json!(rfc3339(object.created));
            if let Some(pod) = self.pods.iter().find(|pod| id.kind == "Pod" && pod.root == *id) {
                describe(pod, now, &mut own);
            }
            if id.kind == "Deployment" {
                own["info"] = revision(object.sets.iter().map(|set| set.revision).max().unwrap_or(1));
            }
            nodes.push((id.clone(), own));
            if hidden.iter().any(|kind| kind == "ReplicaSet") {
                continue;
            }
            for set in &object.sets {
                let set_id = Id::new("apps", "ReplicaSet", &format!("{}-{}", id.name, set.hash));
                let available = self.count(now, id, Some(&set.hash)).available;
                let health = if available < set.replicas {
                    let what = format!("{available} out of {} new replicas are available...", set.replicas);
                    (Health::Progressing, format!("Waiting for rollout to finish: {what}"))
                } else {
                    (Health::Healthy, String::new())
                };
                let mut of_set = node(&set_id, "v1", Some(health));
                of_set["info"] = revision(set.revision);
                of_set["parentRefs"] = json!([parent(id, namespace)]);
                nodes.push((set_id, of_set));
            }
        }
        let shown = |pod: &&Pod| pod.owner.is_some() && !hidden.iter().any(|kind| kind == "Pod");
        for pod in self.pods.iter().filter(shown) {
            let id = Id::new("", "Pod", &pod.name);
            let mut of_pod = node(&id, "v1", None);
            describe(pod, now, &mut of_pod);
            of_pod["createdAt"] = json!(rfc3339(pod.created));
            if let Some(owner) = &pod.owner {
                of_pod["parentRefs"] = json!([parent(owner, namespace)]);
            }
            nodes.push((id, of_pod));
        }
        nodes.sort_by(|(one, _), (other, _)| one.cmp(other));
        nodes.into_iter().map(|(_, node)| node).collect()
    }
}

fn is_ready(pod: &Pod, now: Millis) -> bool {
    pod.seen(now).ready
}

fn parent(id: &Id, namespace: &str) -> Value {
    json!({"group": id.group, "kind": id.kind, "namespace": namespace, "name": id.name})
}

/// What Argo CD says of a Pod.
fn describe(pod: &Pod, now: Millis, node: &mut Value) {
    let seen = pod.seen(now);
    let mut info = vec![json!({"name": "Status Reason", "value": seen.reason})];
    // Go leaves out the value of an empty name.
    info.push(if seen.bound { json!({"name": "Node", "value": "paper"}) } else { json!({"name": "Node"}) });
    info.push(json!({"name": "Containers", "value": format!("{}/{}", seen.ready_containers, seen.containers)}));
    if seen.restarts > 0 {
        info.push(json!({"name": "Restart Count", "value": seen.restarts.to_string()}));
    }
    if seen.ended.is_none() {
        info.extend(["cpu", "memory"].map(|name| json!({"name": name, "value": "0"})));
    }
    node["info"] = json!(info);
    node["images"] = json!(pod.images());
    node["health"] = health_json(&(seen.health, seen.message));
    node["uid"] = json!(pod.uid);
}

pub(super) fn health_json((health, message): &(Health, String)) -> Value {
    let mut json = json!({"status": health.name()});
    if !message.is_empty() {
        json["message"] = json!(message);
    }
    json
}
