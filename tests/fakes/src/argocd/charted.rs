//! An application whose source is a chart: its operations apply real manifests to a cluster on paper, and what the controller finds there
//! is what Kubernetes made of them.
//!
//! Easy to miss: `reconciledAt` is moved by the end of an operation, a refresh and a webhook, and by nothing that happens in the cluster;
//! between two waves the controller sleeps, and shows nothing of what it did; a Pod's change is no change of the application.

use serde_json::{Value, json};

use super::app::{App, State, Window};
use super::chart::{Id, Manifest};
use super::cluster::Cluster;
use super::health::{has_health, health_json};
use super::operation::{BLOCKED, Event};
use super::script::{End, Health};
use super::source::Layout;
use super::tasks::{self, Pass, Way};
use super::{ArgoCd, Key};
use crate::Millis;

/// Between two looks of an operation at what it waits for.
const SOON: Millis = 50;

impl App {
    /// `status.resources` of a chart: each object's health is what it is now, the rest is of the last look.
    pub(super) fn chart_resources(&self) -> Option<Value> {
        let cluster = self.now.cluster.as_ref()?;
        let with_health = |(id, resource): &(Id, Value)| {
            let mut resource = resource.clone();
            // The health of what is no longer there is not known.
            let gone = resource["requiresPruning"] == true && !cluster.objects.contains_key(id);
            if let Some(health) = cluster.health(cluster.now, id).filter(|_| !gone) {
                resource["health"] = health_json(&health);
            }
            resource
        };
        Some(self.now.listed.iter().map(with_health).collect())
    }

    /// What there is to list.
    fn list(&self, cluster: &Cluster) -> Vec<(Id, Value)> {
        let resource = |id: &Id, manifest: &Manifest| {
            let mut json =
                json!({"version": manifest.version, "kind": id.kind, "namespace": cluster.namespace, "name": id.name});
            if !id.group.is_empty() {
                json["group"] = json!(id.group);
            }
            if manifest.wave != 0 {
                json["syncWave"] = json!(manifest.wave);
            }
            json
        };
        let mut resources = Vec::new();
        for target in self.now.targets.iter().filter(|target| !target.is_hook()) {
            let mut json = resource(&target.id, target);
            let drifts = self.drifting && has_health(&target.id);
            json["status"] = json!(if self.is_synced(target) && !drifts { "Synced" } else { "OutOfSync" });
            resources.push((target.id.clone(), json));
        }
        for (id, object) in &cluster.objects {
            let mut json = resource(id, &object.manifest);
            if object.manifest.is_hook() {
                json["hook"] = json!(true);
            } else if self.now.targets.iter().any(|target| target.id == *id) {
                continue;
            } else {
                // Without anything from Git all looks as if it were too much.
                let error = self.now.comparison_error.is_some();
                json["status"] = json!(if error { "Unknown" } else { "OutOfSync" });
            }
            json["requiresPruning"] = json!(true);
            resources.push((id.clone(), json));
        }
        resources.sort_by(|(one, _), (other, _)| one.cmp(other));
        resources
    }

    /// What of the sources is in an operation and its result: of several, those that were asked for at a revision have it as their target,
    /// and nothing tells a single one's fields from those of none. If nothing could be compared, no revisions are there.
    pub(super) fn sources_asked(&self, targets: &[Option<String>], json: &mut Value, compared: Option<bool>) {
        if self.layout == Layout::Single {
            return;
        }
        for (index, target) in targets.iter().enumerate().filter_map(|(index, target)| Some((index, target.as_ref()?)))
        {
            json["sources"][index]["targetRevision"] = json!(target);
        }
        let Some(compared) = compared else { return };
        (json["revision"], json["source"]) = (json!(""), json!({"repoURL": ""}));
        if let Some(fields) = json.as_object_mut().filter(|_| !compared) {
            fields.remove("revisions");
        }
    }

    /// The nodes of a chart's resource tree.
    pub(super) fn chart_nodes(&self) -> Option<Vec<Value>> {
        let cluster = self.now.cluster.as_ref()?;
        Some(cluster.nodes(cluster.now, &self.now.targets, &self.hidden))
    }

    /// Where the ingresses say that the application is.
    pub(super) fn ingress_urls(&self) -> Vec<String> {
        let objects = self.now.cluster.iter().flat_map(|cluster| cluster.objects.values());
        let ingresses = objects.filter(|object| object.manifest.id.kind == "Ingress");
        let hosts = ingresses.flat_map(|object| {
            let scheme = if object.spec()["tls"].is_array() { "https" } else { "http" };
            let rules = object.spec()["rules"].as_array().into_iter().flatten();
            rules.filter_map(move |rule| Some(format!("{scheme}://{}/", rule["host"].as_str()?)))
        });
        hosts.collect()
    }

    /// What a look at the cluster writes into the Application, if it is news: no single health, and nothing of a Pod but its images.
    fn shown(&self) -> (Health, &'static str, Vec<String>, Vec<(Id, Value)>) {
        let now = &self.now;
        (now.health, now.sync, now.images.clone(), now.listed.clone())
    }

    fn is_synced(&self, target: &Manifest) -> bool {
        let object = self.now.cluster.as_ref().and_then(|cluster| cluster.objects.get(&target.id));
        object.is_some_and(|object| object.manifest.body == self.respecting(target).body)
    }

    /// The manifest with what the application ignores as it is in the cluster.
    fn respecting(&self, target: &Manifest) -> Manifest {
        let mut target = target.clone();
        let object = self.now.cluster.as_ref().and_then(|cluster| cluster.objects.get(&target.id));
        for (_, pointer) in self.ignores.iter().filter(|(kind, _)| *kind == target.id.kind) {
            let live = object.and_then(|object| object.manifest.body.pointer(pointer));
            if let (Some(live), Some(wanted)) = (live, target.body.pointer_mut(pointer)) {
                *wanted = live.clone();
            }
        }
        target
    }

    /// What the controller makes of the cluster: sync status, health, images.
    fn assess(&mut self, at: Millis) {
        let Some(cluster) = &self.now.cluster else { return };
        let targets: Vec<&Manifest> = self.now.targets.iter().filter(|target| !target.is_hook()).collect();
        let leftover = cluster
            .objects
            .iter()
            .any(|(id, object)| !object.manifest.is_hook() && !targets.iter().any(|target| target.id == *id));
        let same = !leftover && !self.drifting && targets.iter().all(|target| self.is_synced(target));
        let mut health = Health::Healthy;
        let own = cluster.objects.iter().filter(|(_, object)| !object.manifest.is_hook()).map(|(id, _)| id);
        for id in targets.iter().map(|target| &target.id).chain(own).filter(|id| has_health(id)) {
            health = health.worse(cluster.health(at, id).map_or(Health::Healthy, |(health, _)| health));
        }
        // What has no image runs nothing: an Ingress without an address says nothing of a version.
        let workloads =
            cluster.objects.iter().filter(|(_, one)| !one.manifest.is_hook() && !one.manifest.images().is_empty());
        let workloads: Vec<(Vec<String>, bool)> = workloads
            .filter_map(|(id, one)| Some((one.manifest.images(), cluster.health(at, id)?.0 == Health::Healthy)))
            .collect();
        let is_anothers = |image: &String| self.beside.iter().any(|name| tag_in(name, image).is_some());
        let well = workloads.iter().filter(|(images, _)| !images.iter().all(is_anothers)).all(|(_, well)| *well);
        let theirs: Vec<String> = self
            .beside
            .iter()
            .filter_map(|name| {
                let runs =
                    || workloads.iter().filter(|(images, _)| images.iter().any(|one| tag_in(name, one).is_some()));
                let tag = runs().flat_map(|(images, _)| images).find_map(|image| tag_in(name, image))?;
                runs().all(|(_, well)| *well).then(|| tag.to_owned())
            })
            .collect();
        let pods = if self.hidden.iter().any(|kind| kind == "Pod" || kind == "ReplicaSet") {
            Vec::new()
        } else {
            cluster.images()
        };
        let live = tag_of(self, cluster);
        let listed = self.list(cluster);
        let invalid =
            self.conditions.iter().any(|(kind, _)| matches!(kind.as_str(), "InvalidSpecError" | "UnknownError"));
        let images = self.images.clone().unwrap_or(pods);
        let now = &mut self.now;
        now.images = images;
        now.live = live;
        now.listed = listed;
        if invalid {
            (health, now.sync) = (Health::Unknown, "Unknown");
        } else if now.comparison_error.is_none() {
            now.sync = if same { "Synced" } else { "OutOfSync" };
        }
        if health != now.health {
            (now.health, now.health_since) = (health, at);
        }
        let over = now.state.as_ref().is_none_or(|state| state.finished.is_some_and(|end| end <= at));
        if now.operation.is_none() && over {
            let own = now.live.clone().filter(|_| well);
            now.well.extend(own.into_iter().chain(theirs).map(|tag| (tag, at)));
        }
    }

    fn way(&self, state: &State) -> Way {
        let operation = &state.operation;
        let only = operation.resources.as_array().into_iter().flatten().map(|resource| {
            let text = |name: &str| resource[name].as_str().unwrap_or_default();
            Id::new(text("group"), text("kind"), text("name"))
        });
        let only: Vec<Id> = only.collect();
        let refused = if state.retries < self.script.failures {
            Some("Internal error occurred: failed calling webhook \"validate.acme.io\"".to_owned())
        } else if let End::Failed(_, reason) = &self.script.end {
            Some(reason.clone())
        } else {
            None
        };
        Way {
            forbidden: self.hidden.clone(),
            project: self.project.clone(),
            prune: operation.prune,
            dry_run: operation.dry_run,
            skip_hooks: !only.is_empty() || operation.strategy["apply"].is_object(),
            only,
            refused,
        }
    }
}

/// The tag of the application's own image in what was applied.
fn tag_of(app: &App, cluster: &Cluster) -> Option<String> {
    let own = cluster.objects.values().filter(|object| !object.manifest.is_hook());
    let images: Vec<String> = own.flat_map(|object| object.manifest.images()).collect();
    images.iter().find_map(|image| tag_in(&app.image, image)).map(str::to_owned)
}

/// The tag, if the image has this name.
fn tag_in<'i>(name: &str, image: &'i str) -> Option<&'i str> {
    image.strip_prefix(name)?.strip_prefix(':')
}

impl ArgoCd {
    /// What is in the cluster when an application is added that runs already.
    pub(super) fn settle(&mut self, now: Millis, app: &mut App) -> bool {
        const LONG_AGO: Millis = 3_600_000;
        let Ok(revisions) = app.resolve(&*self.git) else { return false };
        let Some(Ok(targets)) = app.generate(&*self.git, &revisions, now, false) else { return false };
        let mut cluster = self.empty_cluster(app);
        let then = now.saturating_sub(LONG_AGO);
        for target in targets.iter().filter(|target| !target.is_hook()) {
            let _ = cluster.apply(then, target);
        }
        cluster.pass(then, now);
        cluster.now = now;
        app.now.live = tag_of(app, &cluster);
        app.now.cluster = Some(cluster);
        true
    }

    fn empty_cluster(&self, app: &App) -> Cluster {
        Cluster {
            namespace: app.name.clone(),
            takes: self.pods_take,
            renames: app.renames.clone(),
            ..Cluster::default()
        }
    }

    /// An operation knows what to do.
    pub(super) fn begin_chart(&mut self, at: Millis, key: &Key, targets: &[Manifest]) {
        let Some(app) = self.apps.get(key) else { return };
        let empty = self.empty_cluster(app);
        let Some(app) = self.apps.get_mut(key) else { return };
        if let End::Error(message) = app.script.end.clone() {
            return self.attempt_failed(at, key, "Error", message);
        }
        let Some(way) = app.now.state.as_ref().map(|state| app.way(state)) else { return };
        let targets: Vec<Manifest> = targets.iter().map(|target| app.respecting(target)).collect();
        let cluster = app.now.cluster.get_or_insert_with(|| empty.clone());
        (cluster.takes, cluster.renames) = (empty.takes, empty.renames);
        let tasks = tasks::plan(&targets, cluster, &way);
        if let Some(state) = &mut app.now.state {
            (state.tasks, state.sleeps) = (Some(tasks), false);
        }
        self.pass(at, key);
    }

    /// The operation looks at its tasks, and goes on with them if it can.
    pub(super) fn pass(&mut self, at: Millis, key: &Key) {
        let Some(app) = self.apps.get_mut(key) else { return };
        let Some(way) = app.now.state.as_ref().map(|state| app.way(state)) else { return };
        let is_open = app.window == Window::Open;
        let now = &mut app.now;
        let (Some(state), Some(cluster)) = (&mut now.state, &mut now.cluster) else { return };
        let runs = state.phase == "Running" && state.finished.is_none() && !state.sleeps;
        let Some(tasks) = state.tasks.as_mut().filter(|_| runs) else { return };
        if !is_open {
            return self.blocked(at, key);
        }
        cluster.run(at);
        let live: Vec<Value> = cluster.objects.values().map(|object| object.manifest.body.clone()).collect();
        let pass = tasks::pass(at, tasks, cluster, &way);
        tasks::take_over(tasks, &state.earlier.take());
        if !cluster.objects.values().map(|object| &object.manifest.body).eq(live.iter()) {
            now.applied = at;
        }
        state.sleeps = pass.waits;
        let live = tag_of(app, app.now.cluster.as_ref().unwrap_or(&Cluster::default()));
        app.now.live = live;
        self.follow(at, key);
        if pass.waits {
            self.later(at + self.wave_delay, key, Event::Show(pass));
        } else {
            self.show(at, key, pass);
        }
    }

    /// A window that closed holds an operation that has begun.
    fn blocked(&mut self, at: Millis, key: &Key) {
        let Some(state) = self.apps.get_mut(key).and_then(|app| app.now.state.as_mut()) else { return };
        let news = state.message != BLOCKED;
        BLOCKED.clone_into(&mut state.message);
        self.later(at + 500, key, Event::Pass);
        if news {
            self.touch(key);
        }
    }

    /// What a pass came to is written into the application.
    pub(super) fn show(&mut self, at: Millis, key: &Key, pass: Pass) {
        let Some(app) = self.apps.get_mut(key) else { return };
        let Some(state) = app.now.state.as_mut().filter(|state| state.phase == "Running") else { return };
        state.sleeps = false;
        let mut news = false;
        if let (Some(tasks), Some(result)) = (&state.tasks, &mut state.result) {
            let results = tasks::results(tasks, &app.name);
            news = result["resources"] != results;
            result["resources"] = results;
        }
        match pass.phase {
            "Succeeded" => return self.finish(at, key, "Succeeded", pass.message),
            "Failed" => return self.attempt_failed(at, key, "Failed", pass.message),
            _ => {}
        }
        if !pass.message.is_empty() && state.message != pass.message {
            (state.message, news) = (pass.message, true);
        }
        if news {
            self.touch(key);
        }
        if pass.again || pass.waits || news {
            self.later(at + SOON, key, Event::Pass);
        }
    }

    /// The operation is being terminated.
    pub(super) fn stop_hooks(&mut self, at: Millis, key: &Key) {
        let Some(app) = self.apps.get_mut(key) else { return };
        let (Some(state), Some(cluster)) = (&mut app.now.state, &mut app.now.cluster) else { return };
        let Some(tasks) = &mut state.tasks else { return };
        tasks::terminate(at, tasks, cluster);
        if let Some(result) = &mut state.result {
            result["resources"] = tasks::results(tasks, &app.name);
        }
        self.follow(at, key);
    }

    pub(super) fn cluster_moves(&mut self, at: Millis, key: &Key) {
        let Some(app) = self.apps.get_mut(key) else { return };
        if app.now.due != Some(at) {
            return;
        }
        app.now.due = None;
        if let Some(cluster) = &mut app.now.cluster {
            cluster.run(at);
        }
        self.follow(at, key);
    }

    /// Something may have changed in the cluster: who has to look, and when there is more to see.
    pub(super) fn follow(&mut self, at: Millis, key: &Key) {
        let Some(app) = self.apps.get_mut(key) else { return };
        let Some(cluster) = &app.now.cluster else { return };
        let (next, seen) = (cluster.next(at), cluster.nodes(at, &[], &[]));
        let runs = app.now.operation.is_some();
        let (waits, changed) = (app.now.due != next, app.now.seen != seen);
        (app.now.due, app.now.seen) = (next, seen);
        if let (Some(next), true) = (next, waits) {
            self.later(next, key, Event::Cluster);
        }
        if changed {
            self.later(at + self.looks_in, key, Event::Look);
            if runs {
                self.later(at + SOON, key, Event::Pass);
            }
        }
    }

    /// The controller sees a change in the cluster: `CompareWithRecent`, which leaves `reconciledAt` alone.
    pub(super) fn look_at_cluster(&mut self, at: Millis, key: &Key) {
        let Some(app) = self.apps.get_mut(key) else { return };
        let knows = app.now.applied + app.cluster_lag;
        if app.cluster_lag > 0 && at < knows {
            return self.later(knows, key, Event::Look);
        }
        let before = app.shown();
        app.assess(at);
        if before != app.shown() {
            self.touch(key);
        }
    }

    /// The controller compares the cluster with the newest commit; whether this is an application of a chart.
    pub(super) fn reconcile_chart(&mut self, at: Millis, key: &Key) -> bool {
        let Some(app) = self.apps.get(key) else { return false };
        let empty = self.empty_cluster(app);
        let Some(app) = self.apps.get_mut(key) else { return false };
        let hard = std::mem::take(&mut app.now.hard);
        let generated = match app.resolve(&*self.git) {
            Ok(revisions) => {
                app.generate(&*self.git, &revisions, at, hard).map(|found| found.map(|targets| (revisions, targets)))
            }
            Err(message) => app.now.cluster.is_some().then_some(Err(message)),
        };
        let Some(found) = generated else {
            // What was a chart is none any more.
            app.now.cluster = None;
            return false;
        };
        app.now.refresh = false;
        let first = app.now.cluster.is_none();
        app.now.cluster.get_or_insert(Cluster { now: at, ..empty });
        let invalid =
            app.conditions.iter().any(|(kind, _)| matches!(kind.as_str(), "InvalidSpecError" | "UnknownError"));
        if !invalid {
            app.now.reconciled = Some(at);
            match found {
                Err(message) => {
                    app.now.comparison_error = Some(message);
                    app.now.sync = "Unknown";
                    app.now.revisions = app.sources.iter().map(|source| source.revision().to_owned()).collect();
                    app.now.targets = Vec::new();
                }
                Ok((revisions, targets)) => {
                    app.now.comparison_error = None;
                    (app.now.revisions, app.now.targets) = (revisions, targets);
                }
            }
        }
        let knows = app.now.applied + app.cluster_lag;
        let lags = app.cluster_lag > 0 && at < knows;
        if !lags {
            app.assess(at);
        }
        if lags {
            self.later(knows, key, Event::Look);
        }
        if first {
            self.follow(at, key);
        }
        self.sync_by_itself(at, key);
        true
    }
}
