//! The application controller: what moves by itself.
//!
//! Everything that will happen is on one agenda, so that what a client sees does not depend on how often the
//! stand-in is ticked.

use serde_json::{Value, json};

use super::app::{Operation, State, Window};
use super::clock::{duration, kitchen};
use super::script::{End, Health};
use super::tasks::Pass;
use super::{ArgoCd, Initiator, Key};
use crate::Millis;

/// What an operation says while a sync window holds it.
pub(super) const BLOCKED: &str = "Sync operation blocked by sync window";

/// Something that will happen to an application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Begin,
    Compare,
    Step(usize),
    End,
    Retry,
    Terminated,
    /// Look at Git and at the cluster again; the health may be news.
    Reconcile(Option<Health>),
    /// Something changes in the cluster of a chart.
    Cluster,
    /// The controller sees what changed in the cluster, and does not look at Git for that.
    Look,
    /// The operation of a chart goes on, or shows what it did.
    Pass,
    Show(Pass),
}

#[derive(Clone, Debug)]
pub(super) struct Due {
    at: Millis,
    order: u64,
    app: Key,
    event: Event,
}

impl ArgoCd {
    pub(super) fn later(&mut self, at: Millis, app: &Key, event: Event) {
        self.counter += 1;
        self.agenda.push(Due { at, order: self.counter, app: app.clone(), event });
    }

    /// What was going to happen to an application happens no more.
    pub(super) fn forget(&mut self, key: &Key) {
        self.agenda.retain(|due| due.app != *key);
    }

    pub(super) fn catch_up(&mut self, now: Millis) {
        loop {
            let due = self.agenda.iter().enumerate().filter(|(_, due)| due.at <= now);
            let Some((index, _)) = due.min_by_key(|(_, due)| (due.at, due.order)) else { break };
            let due = self.agenda.swap_remove(index);
            self.clock = due.at;
            self.happen(due.at, &due.app, due.event);
        }
        self.clock = self.clock.max(now);
    }

    fn happen(&mut self, at: Millis, key: &Key, event: Event) {
        match event {
            Event::Begin => self.begin(at, key),
            Event::Compare => self.compare(at, key),
            Event::Step(index) => self.step(at, key, index),
            Event::End => self.end(at, key),
            Event::Retry => self.retry(at, key),
            Event::Terminated => {
                self.stop_hooks(at, key);
                self.finish(at, key, "Failed", "Operation terminated".to_owned());
            }
            Event::Reconcile(health) => self.reconcile(at, key, health),
            Event::Cluster => self.cluster_moves(at, key),
            Event::Look => self.look_at_cluster(at, key),
            Event::Pass => self.pass(at, key),
            Event::Show(pass) => self.show(at, key, pass),
        }
    }

    /// Stores the operation; the controller sees it a little later.
    pub(super) fn set_operation(&mut self, now: Millis, key: &Key, operation: Operation) -> Result<(), String> {
        let Some(app) = self.apps.get_mut(key) else { return Err("not found".to_owned()) };
        if app.now.operation.is_some() {
            return Err("another operation is already in progress".to_owned());
        }
        app.now.operation = Some(operation);
        app.now.state = None;
        let begins = now + app.script.begins;
        self.later(begins, key, Event::Begin);
        self.touch(key);
        Ok(())
    }

    /// Asks the operation to stop; says whether there is one.
    pub(super) fn terminate(&mut self, now: Millis, key: &Key) -> bool {
        let Some(app) = self.apps.get_mut(key) else { return false };
        let (Some(_), Some(state)) = (&app.now.operation, &mut app.now.state) else { return false };
        state.phase = "Terminating";
        let goes_on = |event: &Event| matches!(event, Event::Reconcile(_) | Event::Cluster | Event::Look);
        self.agenda.retain(|due| due.app != *key || goes_on(&due.event));
        self.later(now + 300, key, Event::Terminated);
        self.touch(key);
        true
    }

    fn begin(&mut self, at: Millis, key: &Key) {
        let Some(app) = self.apps.get_mut(key) else { return };
        let Some(operation) = app.now.operation.clone() else { return };
        // What the API server did not clear is still there.
        let old = app.now.state.take();
        let (message, result) = old.map_or_else(Default::default, |old| (old.message, old.result));
        app.now.state = Some(State {
            phase: "Running",
            message,
            started: at,
            finished: None,
            retries: 0,
            result,
            earlier: Value::Null,
            rendered: None,
            applied: false,
            changed: false,
            resolved: Vec::new(),
            tasks: None,
            sleeps: false,
            operation,
        });
        let compares = at + app.script.compares;
        self.later(compares, key, Event::Compare);
        self.touch(key);
    }

    fn compare(&mut self, at: Millis, key: &Key) {
        let Some(app) = self.apps.get_mut(key) else { return };
        let revisions = match &app.now.state {
            Some(state) if state.operation.revisions.is_empty() => app.resolve(&*self.git).unwrap_or_default(),
            Some(state) => state.operation.revisions.clone(),
            None => return,
        };
        // A closed window holds the operation before anything is generated.
        let generated = if app.window == Window::Open { app.generate(&*self.git, &revisions, at, false) } else { None };
        let chart = generated.is_some();
        let (rendered, targets, error) = match generated {
            Some(Ok(targets)) => (None, targets, None),
            Some(Err(message)) => (None, Vec::new(), Some(message)),
            None => match app.manifests(&*self.git, &revisions) {
                Ok(tag) => (Some(tag), Vec::new(), None),
                Err(message) => (None, Vec::new(), Some(message)),
            },
        };
        let error = error.map(|message| format!("ComparisonError: {message}"));
        let mut errors = app.error_conditions();
        errors.extend(error);
        let closed = app.window != Window::Open;
        let (steps, ends) = (app.script.steps.clone(), app.script.ends);
        let Some(state) = &mut app.now.state else { return };
        if closed {
            let news = state.message != BLOCKED;
            state.message = BLOCKED.to_owned();
            self.later(at + 500, key, Event::Compare);
            if news {
                self.touch(key);
            }
            return;
        }
        state.resolved = revisions.clone();
        let asked = state.operation.asked.clone();
        let mut result = app.revisions_json(&revisions);
        if chart {
            app.sources_asked(&asked, &mut result, Some(errors.is_empty()));
        }
        if let Some(state) = &mut app.now.state {
            result["resources"] = if state.earlier.is_null() { json!([]) } else { state.earlier.clone() };
            state.message = String::new();
            state.result = Some(result);
            state.rendered = rendered;
        }
        if !errors.is_empty() {
            return self.attempt_failed(at, key, "Error", errors.join(";"));
        }
        if chart {
            return self.begin_chart(at, key, &targets);
        }
        let mut time = at;
        for (index, (after, _)) in steps.iter().enumerate() {
            time += after;
            self.later(time, key, Event::Step(index));
        }
        self.later(time + ends, key, Event::End);
        self.touch(key);
    }

    fn step(&mut self, at: Millis, key: &Key, index: usize) {
        if index == 0 && self.apply(at, key) {
            if let Some(app) = self.apps.get_mut(key) {
                app.now.rollout = Some(Health::Progressing);
            }
            self.later(at + 200, key, Event::Reconcile(Some(Health::Progressing)));
        }
        let Some(app) = self.apps.get_mut(key) else { return };
        let message = app.script.steps.get(index).map(|(_, message)| message.clone()).unwrap_or_default();
        let results = app.results(false, None, false);
        if let Some(state) = &mut app.now.state {
            state.message = message;
            set_results(state, results);
        }
        self.touch(key);
    }

    /// The cluster gets what the operation's revision says; whether that is something new.
    fn apply(&mut self, at: Millis, key: &Key) -> bool {
        let Some(app) = self.apps.get_mut(key) else { return false };
        let Some(state) = &app.now.state else { return false };
        if state.operation.dry_run || state.applied {
            return false;
        }
        let Some(tag) = state.rendered.clone() else { return false };
        let changed = app.now.live.as_ref() != Some(&tag);
        if changed {
            app.now.before = Some((app.now.live.take(), at + app.cluster_lag));
            // Never the new images with the health of the old ones.
            app.now.rollout = app.script.health.first().filter(|(after, _)| *after == 0).map(|(_, health)| *health);
        }
        app.now.live = Some(tag);
        if let Some(state) = &mut app.now.state {
            (state.applied, state.changed) = (true, changed);
        }
        if changed {
            // What the rollout before was going to do, it does no more.
            self.agenda.retain(|due| due.app != *key || !matches!(due.event, Event::Reconcile(Some(_))));
        }
        changed
    }

    fn end(&mut self, at: Millis, key: &Key) {
        let Some(app) = self.apps.get(key) else { return };
        let Some(state) = &app.now.state else { return };
        let end = if state.retries < app.script.failures {
            let reason = "Internal error occurred: failed calling webhook \"validate.acme.io\"";
            End::Failed(format!("one or more objects failed to apply, reason: {reason}"), reason.to_owned())
        } else {
            app.script.end.clone()
        };
        let prune = state.operation.prune;
        match end {
            End::Succeeded => {
                self.apply(at, key);
                let Some(app) = self.apps.get_mut(key) else { return };
                let results = app.results(prune, None, true);
                if let Some(state) = &mut app.now.state {
                    set_results(state, results);
                    app.leftover &= !prune || state.operation.dry_run;
                }
                self.finish(at, key, "Succeeded", "successfully synced (all tasks run)".to_owned());
            }
            End::Failed(message, reason) => {
                let Some(app) = self.apps.get_mut(key) else { return };
                let results = app.results(prune, Some(&reason), true);
                if let Some(state) = &mut app.now.state {
                    set_results(state, results);
                }
                self.attempt_failed(at, key, "Failed", message);
            }
            End::Error(message) => self.attempt_failed(at, key, "Error", message),
        }
    }

    pub(super) fn attempt_failed(&mut self, at: Millis, key: &Key, phase: &'static str, message: String) {
        let Some(state) = self.apps.get_mut(key).and_then(|app| app.now.state.as_mut()) else { return };
        let retry = state.operation.retry.clone();
        let limit = retry["limit"].as_i64().unwrap_or(0);
        if limit >= 0 && state.retries >= limit.unsigned_abs() {
            return self.finish(at, key, phase, message);
        }
        let (Some(announced), Some(waits)) =
            (back_off(&retry["backoff"], state.retries), back_off(&retry["backoff"], state.retries + 1))
        else {
            return self.finish(at, key, "Error", format!("{message} (failed to retry: invalid duration)"));
        };
        // Running with a finish time: this is what a back-off looks like from outside. Argo CD announces the
        // next attempt one step of the back-off too early.
        state.finished = Some(at);
        state.retries += 1;
        let when = kitchen(at + announced);
        state.message = format!("{message}. Retrying attempt #{} at {when}.", state.retries);
        self.later(at + waits, key, Event::Retry);
        self.touch(key);
    }

    fn retry(&mut self, at: Millis, key: &Key) {
        let Some(app) = self.apps.get_mut(key) else { return };
        let latest = app.resolve(&*self.git);
        let compares = at + app.script.compares;
        let Some(state) = &mut app.now.state else { return };
        let mut with = "";
        if let (true, Ok(latest)) = (state.operation.retry["refresh"] == true, latest) {
            state.operation.revisions = latest;
            with = " with latest revisions";
        }
        state.message = format!("Retrying operation{with}. Attempt #{}", state.retries);
        state.finished = None;
        match (state.tasks.take(), &state.result) {
            (Some(_), Some(result)) => state.earlier = result["resources"].clone(),
            _ => state.result = None,
        }
        self.later(compares, key, Event::Compare);
        self.touch(key);
    }

    pub(super) fn finish(&mut self, at: Millis, key: &Key, phase: &'static str, mut message: String) {
        let Some(app) = self.apps.get_mut(key) else { return };
        let Some(state) = &mut app.now.state else { return };
        if phase != "Succeeded" && state.retries > 0 {
            message = format!("{message} (retried {} times).", state.retries);
        }
        (state.phase, state.message, state.finished) = (phase, message, Some(at));
        let state = state.clone();
        app.now.operation = None;
        let partial = state.operation.resources.as_array().is_some_and(|resources| !resources.is_empty());
        if phase == "Succeeded" && !state.operation.dry_run && !partial {
            let mut entry = app.revisions_json(&state.resolved);
            entry["id"] = json!(app.now.deployed);
            entry["deployStartedAt"] = json!(app.time(state.started));
            entry["deployedAt"] = json!(app.time(at));
            entry["initiatedBy"] = state.operation.by.json();
            app.now.deployed += 1;
            app.now.history.push(entry);
            let old = app.now.history.len().saturating_sub(10);
            app.now.history.drain(..old);
        }
        if state.operation.dry_run {
            // Nothing is new.
        } else if app.now.cluster.is_some() {
            self.later(at + self.looks_in, key, Event::Reconcile(None));
        } else {
            let mut time = at + app.script.reconciles;
            let mut story = if state.changed { app.script.health.clone() } else { Vec::new() };
            // The first reconcile sees the cluster and its health at one moment, never one without the other.
            let first = story.first().is_some_and(|(after, _)| *after == 0).then(|| story.remove(0).1);
            // Neither does a comparison that somebody asks for before.
            app.now.rollout = first.or(app.now.rollout);
            self.later(time, key, Event::Reconcile(first));
            for (after, health) in story {
                time += after;
                self.later(time, key, Event::Reconcile(Some(health)));
            }
        }
        self.touch(key);
    }

    /// The controller compares the cluster with the newest commit.
    pub(super) fn reconcile(&mut self, at: Millis, key: &Key, health: Option<Health>) {
        if self.reconcile_chart(at, key) {
            return;
        }
        let Some(app) = self.apps.get_mut(key) else { return };
        if app.conditions.iter().any(|(kind, _)| matches!(kind.as_str(), "InvalidSpecError" | "UnknownError")) {
            // Nothing is compared then, and `reconciledAt` stays.
            let now = &mut app.now;
            (now.refresh, now.sync) = (false, "Unknown");
            now.rollout = health.or(now.rollout);
            if now.health != Health::Unknown {
                now.rollout.get_or_insert(now.health);
                (now.health, now.health_since) = (Health::Unknown, at);
            }
            return self.touch(key);
        }
        let found = app.resolve(&*self.git).and_then(|revisions| {
            let tag = app.manifests(&*self.git, &revisions)?;
            Ok((revisions, tag))
        });
        let now = &mut app.now;
        now.refresh = false;
        now.reconciled = Some(at);
        now.before.take_if(|(_, until)| *until <= at);
        let live = now.before.as_ref().map_or(&now.live, |(before, _)| before).clone();
        let health = match (&now.before, health) {
            (Some((_, until)), Some(_)) => {
                let until = *until;
                self.later(until, key, Event::Reconcile(health));
                return self.reconcile(at, key, None);
            }
            (Some(_), None) => now.health,
            (None, Some(health)) => {
                now.rollout = None;
                health
            }
            (None, None) => now.rollout.unwrap_or(now.health),
        };
        if health != now.health {
            (now.health, now.health_since) = (health, at);
        }
        let over = now.state.as_ref().is_none_or(|state| state.finished.is_some_and(|end| end <= at));
        let sees_it = now.operation.is_none() && over && now.before.is_none();
        if sees_it && matches!(health, Health::Healthy | Health::Suspended) {
            now.well.extend(now.live.clone().map(|tag| (tag, at)));
        }
        let truth = live.iter().map(|tag| format!("{}:{tag}", app.image)).collect();
        now.images = app.images.clone().unwrap_or(truth);
        match found {
            Err(message) => {
                now.comparison_error = Some(message);
                now.sync = "Unknown";
            }
            Ok((revisions, tag)) => {
                now.comparison_error = None;
                let same = live.as_ref() == Some(&tag) && !app.leftover && !app.drifting;
                now.sync = if same { "Synced" } else { "OutOfSync" };
                now.revisions = revisions;
            }
        }
        self.sync_by_itself(at, key);
    }

    /// The end of every comparison: automated sync, if there is something to do for it.
    pub(super) fn sync_by_itself(&mut self, at: Millis, key: &Key) {
        let Some(app) = self.apps.get_mut(key) else { return };
        let now = &mut app.now;
        let automatic =
            app.automated && now.sync == "OutOfSync" && now.operation.is_none() && now.tried != now.revisions;
        if automatic {
            now.tried = now.revisions.clone();
        }
        let revisions = now.revisions.clone();
        let retry = if app.retry.is_null() { json!({"limit": 5}) } else { app.retry.clone() };
        self.touch(key);
        if automatic {
            let operation = Operation { retry, ..Operation::plain(revisions, Initiator::Automated) };
            // It cannot fail: there was no operation a line ago.
            let _ = self.set_operation(at, key, operation);
        }
    }
}

impl Operation {
    pub(super) fn plain(revisions: Vec<String>, by: Initiator) -> Self {
        Self {
            revisions,
            asked: Vec::new(),
            prune: false,
            dry_run: false,
            sync_options: Value::Null,
            strategy: Value::Null,
            resources: Value::Null,
            infos: Value::Null,
            retry: Value::Null,
            by,
        }
    }
}

fn set_results(state: &mut State, results: Value) {
    if let Some(result) = &mut state.result {
        result["resources"] = results;
    }
}

/// How long to wait before this retry; `None` if the strategy cannot be read.
fn back_off(strategy: &Value, retries: u64) -> Option<Millis> {
    let read = |name: &str, default: Millis| match strategy[name].as_str() {
        None | Some("") => Some(default),
        Some(text) => duration(text),
    };
    let (first, most) = (read("duration", 5000)?, read("maxDuration", 180_000)?);
    let factor = strategy["factor"].as_u64().unwrap_or(2);
    let power = factor.saturating_pow(u32::try_from(retries).unwrap_or(u32::MAX));
    Some(first.saturating_mul(power).min(most))
}
