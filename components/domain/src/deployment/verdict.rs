//! What a sync of ours that ended well means: live, not yet, or failed. By health first, then by the images.
//!
//! Easy to miss: what Argo CD says of health right after a sync may be about the version before.

use super::before::{Judged, judge, remembered};
use super::proof::{Doubt, Ours, Proof, proof};
use super::remarks::running_hook;
use super::{ApplicationWatch, CommittedFact, Facts, Failure, LastWord, Progress, TargetPlan, Waiting};
use crate::application::{Application, Health, OperationState, Phase, Pod, Resource, SyncStatus, Unwell};
use crate::image::VerifyRunning;
use crate::limits::{self, Limits};
use crate::names::DeploymentId;
use crate::time::Timestamp;
use std::time::Duration;

/// What to do about one look at the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask for the sync.
    Ask,
    /// Wait for something to change.
    Wait(Option<Waiting>),
    /// Look again at that moment, even if nothing changes.
    LookAgainAt(Timestamp),
    /// Ours is under way.
    Follow(Progress),
    /// Ours has ended, but Argo CD has not compared since: ask it to, see [`limits::REFRESH_AFTER`].
    Refresh(Progress),
    /// Ours failed by an error that Argo CD has kept from before: have it render anew, without its cache.
    Render,
    /// Ours has ended and all is healthy: look at the Pods, then decide again.
    LookAtPods,
    /// The last operation is another deployment's: of a newer one, or of an older one that came late.
    /// `current` decides which.
    Superseded {
        /// Which.
        by: DeploymentId,
    },
    /// It is over.
    Over(LastWord),
}

/// One look at an application.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub id: &'a DeploymentId,
    pub facts: &'a Facts,
    pub app: &'a Application,
    /// Its Pods, where they were looked at.
    pub pods: Option<&'a [Pod]>,
    pub now: Timestamp,
    pub limits: &'a Limits,
}

/// Our operation succeeded. Health counts only from a comparison that [`is_compared_since`] its end.
pub(super) fn health(
    view: View<'_>,
    committed: &CommittedFact,
    watch: &mut ApplicationWatch,
    finished: Option<Timestamp>,
) -> Step {
    let View { app, now, .. } = view;
    if !is_compared_since(finished, app, watch) {
        if app.health != Health::Degraded {
            forget_doubt(watch);
        }
        // What health says now may still be about the version before.
        let unproven = Progress { health: String::new(), ..progress(app, true) };
        // Argo CD could not be seen until now: its comparison may have passed, and nothing more comes by itself.
        let was_away = watch.ended_seen.is_none() && matches!(watch.waiting, Some(Waiting::ArgoCd { .. }));
        // By our own clock, not by when Argo CD says that it ended.
        let ended = *watch.ended_seen.get_or_insert(now);
        return refresh_or_follow(watch, (ended, now), was_away, unproven);
    }
    let ended = *watch.ended_seen.get_or_insert(now);
    if !app.comparison_failed() {
        watch.refreshes = 0;
    }
    let judged = judge(app, &watch.before, &committed.commit.target().ours());
    match judged.health {
        Health::Degraded => {
            let (message, resources) = (app.health_message.clone(), failing(app, &judged.left));
            let failure = Failure::Degraded { message, resources };
            // A rollout past its deadline stays so. What was so before our sync may be about the version before.
            let at_once = judged.left.iter().any(Unwell::has_given_up) && !watch.degraded_before;
            let grace = if at_once { Duration::ZERO } else { grace(view, committed, watch) };
            fail_after((view, committed), watch, grace, failure)
        }
        Health::Healthy => image(view, committed, watch),
        // A pause that our version has no part in was there before.
        Health::Suspended if !pauses_ours(app, &judged.left, committed.commit.target()) => {
            image(view, committed, watch)
        }
        Health::Suspended | Health::Progressing | Health::Missing | Health::Unknown => {
            forget_doubt(watch);
            let progress = progress_of(app, &judged);
            // What a comparison that failed shows may be old, and Argo CD repeats it minutes later.
            if app.comparison_failed() {
                refresh_or_follow(watch, (ended, now), false, progress)
            } else {
                Step::Follow(progress)
            }
        }
    }
}

/// Whether Argo CD has compared since the operation's end. It notes when a comparison begins, in whole seconds
/// (`controller/appcontroller.go`, v3.2), so one of the same second may have begun before. Then the cluster itself is the proof: it
/// was seen to differ from exactly these commits, and does not any more, so what the operation applied was looked at.
fn is_compared_since(finished: Option<Timestamp>, app: &Application, watch: &ApplicationWatch) -> bool {
    let Some((reconciled, finished)) = app.reconciled.zip(finished) else { return false };
    let differed = !watch.differed.is_empty() && watch.differed == app.compared;
    let applied = app.last.as_ref().is_some_and(|last| last.revisions == app.compared);
    let is_proven = differed && applied && app.sync_status == SyncStatus::Synced && !app.comparison_failed();
    reconciled > finished || (reconciled == finished && is_proven)
}

/// Notes that the cluster is not as our commit says, for [`is_compared_since`].
pub(super) fn note_difference(app: &Application, committed: &CommittedFact, watch: &mut ApplicationWatch) {
    let on_ours = app.compared.iter().any(|revision| revision == committed.sha.as_str());
    if on_ours && app.sync_status == SyncStatus::OutOfSync && !app.comparison_failed() {
        watch.differed.clone_from(&app.compared);
    }
}

/// Asks for a comparison when it is time, see [`refresh_after`].
fn refresh_or_follow(
    watch: &mut ApplicationWatch,
    (ended, now): (Timestamp, Timestamp),
    at_once: bool,
    progress: Progress,
) -> Step {
    let since = watch.refreshed.map_or(ended, |refreshed| refreshed.max(ended));
    if at_once || now.since(since) >= refresh_after(watch.refreshes) {
        (watch.refreshed, watch.refreshes) = (Some(now), watch.refreshes.saturating_add(1));
        Step::Refresh(progress)
    } else {
        Step::Follow(progress)
    }
}

/// Argo CD may not compare at all: after `InvalidSpecError` or `UnknownError`, say, until somebody mends that. Then it is
/// asked less and less often.
fn refresh_after(refreshes: u32) -> Duration {
    limits::REFRESH_AFTER.saturating_mul(2_u32.saturating_pow(refreshes.saturating_sub(2).min(5)))
}

/// Whether one of the paused resources is of our version: our sync applied our image with it, or it is a Rollout that
/// takes its Pods from elsewhere. Argo CD before 3.1 says no images: then every pause counts, and so it does if the
/// catalog says that images prove nothing.
fn pauses_ours(app: &Application, left: &[Unwell], plan: &TargetPlan) -> bool {
    let image = plan.ours();
    let resources = || app.last.iter().flat_map(|last| &last.resources);
    let is_ours = |images: &Vec<String>| proof(images, &[], &image) == Ok(Proof::Applied);
    let ours: Vec<String> = resources()
        .filter(|resource| resource.images.as_ref().is_some_and(is_ours))
        .map(|resource| format!("{}/{}", resource.kind, resource.name))
        .collect();
    let without_images = resources().all(|resource| resource.images.is_none());
    let paused: Vec<&Unwell> = left.iter().filter(|one| one.health == Health::Suspended).collect();
    // Argo CD may name the pause, and show its resources a moment later or never: then nothing says whose pause it is.
    let all_count = paused.is_empty() || without_images || plan.verify_running == VerifyRunning::Off;
    all_count || paused.iter().any(|one| one.kind == "Rollout" || ours.contains(&format!("{}/{}", one.kind, one.name)))
}

/// All is healthy. Whether our version is live, is for the images to say.
fn image(view: View<'_>, committed: &CommittedFact, watch: &mut ApplicationWatch) -> Step {
    let (app, plan) = (view.app, committed.commit.target());
    if plan.verify_running == VerifyRunning::Off {
        return live(app, Proof::NotAsked);
    }
    let Some(pods) = view.pods else { return Step::LookAtPods };
    let applied = app.last.as_ref().map(OperationState::applied_images).unwrap_or_default();
    let pods: Vec<String> = pods.iter().filter(|pod| pod.runs).flat_map(|pod| pod.images.iter().cloned()).collect();
    match proof(&applied, &pods, &plan.ours()) {
        Ok(proof) => live(app, proof),
        Err(why) => {
            let found = if why == Doubt::OldPods || applied.is_empty() { pods } else { applied };
            let found = found.into_iter().take(5).collect();
            let failure = Failure::OtherImage { wanted: plan.image_ref().to_string(), found, why };
            fail_after((view, committed), watch, view.limits.other_image, failure)
        }
    }
}

fn live(app: &Application, proof: Proof) -> Step {
    let theirs = app.last.as_ref().filter(|last| last.deploy_id.is_none() && last.phase == Phase::Succeeded);
    let synced_by = theirs.filter(|_| !app.automated).and_then(|last| last.by.clone());
    Step::Over(LastWord::Live { proof, synced_by, urls: app.urls.clone() })
}

/// How long `Degraded` is borne.
fn grace(view: View<'_>, committed: &CommittedFact, watch: &ApplicationWatch) -> Duration {
    let grace = committed.commit.target().degraded_grace;
    if watch.degraded_before { grace.max(view.limits.degraded_before) } else { grace }
}

/// What looks like a failure may pass. It is final when it was seen at least twice and has lasted for the grace.
pub(super) fn fail_after(
    (view, committed): (View<'_>, &CommittedFact),
    watch: &mut ApplicationWatch,
    grace: Duration,
    failure: Failure,
) -> Step {
    let is_image = matches!(failure, Failure::OtherImage { .. });
    if watch.doubts_image != is_image {
        forget_doubt(watch);
        watch.doubts_image = is_image;
    }
    // Meanwhile people read how it is.
    watch.waiting = None;
    watch.progress = Some(progress_of(view.app, &judge(view.app, &watch.before, &committed.commit.target().ours())));
    let since = *watch.degraded_since.get_or_insert(view.now);
    watch.degraded_seen = watch.degraded_seen.saturating_add(1);
    if view.now.since(since) >= grace && watch.degraded_seen >= 2 {
        return failed(failure);
    }
    Step::LookAgainAt(since.after(grace))
}

pub(super) fn forget_doubt(watch: &mut ApplicationWatch) {
    watch.degraded_since = None;
    watch.degraded_seen = 0;
}

pub(super) fn failed(failure: Failure) -> Step {
    Step::Over(LastWord::Failed { failure })
}

pub(super) fn progress(app: &Application, synced: bool) -> Progress {
    let last = app.last.as_ref();
    let done = last.map(|last| last.resources.iter().filter(|resource| resource.is_done()).count());
    Progress {
        synced,
        health: format!("{:?}", app.health),
        message: last.map(|last| last.message.clone()).unwrap_or_default(),
        resources: u32::try_from(done.unwrap_or_default()).unwrap_or(u32::MAX),
        retry: last.map(|last| last.retry_count).unwrap_or_default(),
        holds: String::new(),
    }
}

/// After our sync, with the health of what is not excused. What holds a workload up is for its Pods to say.
fn progress_of(app: &Application, judged: &Judged) -> Progress {
    let worst =
        judged.left.iter().max_by_key(|one| one.health).filter(|_| !judged.left.iter().any(Unwell::is_workload));
    let holds = worst.map(|one| {
        let message = if one.message.is_empty() { String::new() } else { format!(" ({})", one.message) };
        format!("{}/{} is {}{message}", one.kind, one.name, format!("{:?}", one.health).to_lowercase())
    });
    Progress { health: format!("{:?}", judged.health), holds: holds.unwrap_or_default(), ..progress(app, true) }
}

/// What was not applied, then what is degraded among these, by name with Argo CD's own message: at most five.
pub(super) fn sync_failed((app, last): (&Application, &OperationState), watch: &ApplicationWatch, ours: &Ours) -> Step {
    let resources = failing(app, &judge(app, &watch.before, ours).left);
    failed(Failure::Sync { message: last.message.clone(), resources })
}

pub(super) fn failing(app: &Application, left: &[Unwell]) -> Vec<String> {
    let not_applied = app.last.iter().flat_map(|last| &last.resources).filter(|resource| resource.has_failed());
    let not_applied = not_applied.map(|resource| (&resource.kind, &resource.name, &resource.message));
    let degraded = left.iter().filter(|one| one.health == Health::Degraded);
    let degraded = degraded.map(|one| (&one.kind, &one.name, &one.message));
    let line = |(kind, name, message): (&String, &String, &String)| {
        if message.is_empty() { format!("{kind}/{name}") } else { format!("{kind}/{name}: {message}") }
    };
    not_applied.chain(degraded).take(5).map(line).collect()
}

/// Notes what hooks the operation of ours has. Argo CD does not say since when a hook runs: it counts from when we saw it
/// first.
pub(super) fn note_hooks(watch: &mut ApplicationWatch, ours: Option<&OperationState>, now: Timestamp) {
    watch.hooks_ran = watch.hooks_ran || ours.is_some_and(|ours| ours.resources.iter().any(Resource::may_have_run));
    let known = watch.hook.take();
    watch.hook = ours.and_then(running_hook).map(|name| match known {
        Some((known, since)) if known == name => (name, since),
        _ => (name, now),
    });
    let minutes = |since: Timestamp| now.since(since).as_secs() / 60;
    watch.remarks.hook = watch.hook.as_ref().map(|(name, since)| (name.clone(), minutes(*since)));
}

/// What a watch remembers of the last look before its sync.
pub fn before_sync(app: &Application, plan: &TargetPlan, watch: &mut ApplicationWatch) {
    watch.before = remembered(app);
    watch.degraded_before = judge(app, &watch.before, &plan.ours()).health == Health::Degraded;
    watch.last_before = app.last.as_ref().and_then(|last| last.started);
}
