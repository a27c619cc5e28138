//! What people do to an application and to what it has in the cluster, in Argo CD's web interface or with kubectl.

use super::app::{Operation, Status};
use super::chart::Id;
use super::operation::Event;
use super::rollout::Rollout;
use super::source::resolve;
use super::{ArgoCd, Initiator};
use crate::Millis;

impl ArgoCd {
    // ---- The application ----

    /// A person syncs, to the target revision or to another one.
    pub fn person_syncs(&mut self, now: Millis, name: &str, revision: Option<&str>) -> Result<(), String> {
        self.catch_up(now);
        let key = self.key(name);
        let app = self.apps.get(&key).ok_or("no such application")?;
        let mut revisions = app.resolve(&*self.git)?;
        if let (Some(revision), Some(slot)) = (revision, revisions.get_mut(app.tag_at.source)) {
            *slot = resolve(&*self.git, &app.sources[app.tag_at.source], revision)?;
        }
        self.set_operation(now, &key, Operation::plain(revisions, Initiator::User("admin".to_owned())))
    }

    /// A person terminates the operation under way; says whether there was one.
    pub fn person_terminates(&mut self, now: Millis, name: &str) -> bool {
        self.catch_up(now);
        let key = self.key(name);
        self.terminate(now, &key)
    }

    /// Somebody deletes an application. It has a finalizer: it stays, marked, until what it deployed is gone.
    pub fn person_deletes(&mut self, now: Millis, name: &str) {
        self.catch_up(now);
        self.app(name).deleting = true;
        self.touch(&self.key(name));
    }

    /// A person goes back to the version before in Argo CD itself.
    pub fn person_rolls_back(&mut self, now: Millis, name: &str) -> Result<(), String> {
        self.catch_up(now);
        let history = self.apps.get(&self.key(name)).map(|app| app.now.history.clone()).unwrap_or_default();
        let before = history.iter().rev().nth(1).ok_or("there is no version before")?;
        let revision = before["revision"].as_str().map(str::to_owned);
        self.person_syncs(now, name, revision.as_deref())
    }

    /// Somebody replaces the Application object, and nothing of what it deployed.
    pub fn person_replaces(&mut self, now: Millis, name: &str) {
        self.catch_up(now);
        let key = self.key(name);
        self.tell(&key, "DELETED");
        self.forget(&key);
        let Some(app) = self.apps.get_mut(&key) else { return };
        let old = std::mem::take(&mut app.now);
        app.now = Status { created: now, health_since: now, live: old.live, cluster: old.cluster, ..Status::default() };
        self.follow(now, &key);
        self.reconcile(now, &key, None);
    }

    /// Somebody writes `operation: {sync: {}}` into the Application itself, as an ApplicationSet's RollingSync does (and kubectl, if it
    /// replaces). Nothing is checked, and no revision is said. While an operation runs, the controller goes on with the running
    /// operation, and takes the new one away at its end.
    pub fn operation_written(&mut self, now: Millis, name: &str) {
        self.catch_up(now);
        let key = self.key(name);
        let Some(app) = self.apps.get_mut(&key) else { return };
        let idle = app.now.operation.replace(Operation::plain(Vec::new(), Initiator::Nobody)).is_none();
        let begins = now + app.script.begins;
        if idle {
            self.later(begins, &key, Event::Begin);
        }
        self.touch(&key);
    }

    // ---- The cluster ----

    /// How often a hook of a chart was run.
    pub fn hook_runs(&self, name: &str, hook: &str) -> u64 {
        let cluster = self.apps.get(&self.key(name)).and_then(|app| app.now.cluster.as_ref());
        cluster.and_then(|cluster| cluster.hook_runs.get(hook)).copied().unwrap_or(0)
    }

    /// Somebody deletes a Pod.
    pub fn person_deletes_pod(&mut self, now: Millis, name: &str, pod: &str) {
        self.catch_up(now);
        let key = self.key(name);
        if let Some(cluster) = self.apps.get_mut(&key).and_then(|app| app.now.cluster.as_mut()) {
            cluster.run(now);
            cluster
                .pods
                .iter_mut()
                .filter(|one| one.name == pod)
                .for_each(|one| one.deleted = one.deleted.or(Some(now)));
            cluster.run(now);
        }
        self.follow(now, &key);
    }

    /// Somebody ends the pause at which a Rollout is.
    pub fn person_resumes(&mut self, now: Millis, name: &str, rollout: &str) {
        self.with_rollout(now, name, rollout, Rollout::resume);
    }

    /// Somebody gives up the new version of a Rollout.
    pub fn person_aborts(&mut self, now: Millis, name: &str, rollout: &str) {
        self.with_rollout(now, name, rollout, Rollout::abort);
    }

    fn with_rollout(&mut self, now: Millis, name: &str, rollout: &str, what: impl Fn(&mut Rollout)) {
        self.catch_up(now);
        let key = self.key(name);
        if let Some(cluster) = self.apps.get_mut(&key).and_then(|app| app.now.cluster.as_mut()) {
            if let Some(object) = cluster.objects.get_mut(&Id::new("argoproj.io", "Rollout", rollout)) {
                what(&mut object.rollout);
            }
            cluster.run(now);
        }
        self.follow(now, &key);
    }
}
