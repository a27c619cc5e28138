//! What to do next: [`next`] from the facts alone, [`step`] from one look at Argo CD in the light of what we asked for.
//!
//! Easy to miss: a success without our id, without our commit, or without a later comparison proves nothing.

use super::{CommittedFact, Facts, Failure, LastWord, Progress, State, TargetPlan, Waiting, WatchFact};
use crate::application::{Application, Health, Phase, SyncStatus};
use crate::limits::Limits;
use crate::names::DeploymentId;
use crate::time::Timestamp;
use std::time::Duration;

/// What the watch does next with a deployment, before it looks at Argo CD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing: slack-command ends the deployment and posts the end, or the end is posted.
    LeaveAlone,
    /// Nothing before that moment, unless its facts change.
    WaitUntil(Timestamp),
    /// Say this last word.
    Say(LastWord),
    /// Tell the last word that is there.
    Tell,
    /// Look at Argo CD and sync; `refresh`: tell it about the commit first.
    Sync {
        /// No webhook was relayed, so Argo CD may not know the commit.
        refresh: bool,
    },
}

/// Argo CD compares once right after a sync. Its times are whole seconds: that comparison may carry the same
/// second as the sync's end, which proves nothing. Its next own comparison may be minutes away, so after this
/// time we ask for one.
pub const REFRESH_AFTER: Duration = Duration::from_secs(2);

/// Decides from the facts alone.
pub fn next(facts: &Facts, now: Timestamp, limits: &Limits) -> Next {
    let watch = facts.watch.as_ref();
    if facts.outcome.is_some() {
        return if facts.end_is_told() { Next::LeaveAlone } else { Next::Tell };
    }
    let Some(request) = &facts.request else { return Next::LeaveAlone };
    let Some((committed, commit)) = facts.committed.as_ref().zip(facts.commit.as_ref()) else {
        if facts.end.is_some() && facts.committed.is_none() {
            return Next::LeaveAlone;
        }
        let limit = request.at.after(limits.no_commit);
        // `committed` without its `commit` cannot be followed, but it must never be told as "nothing was changed".
        let begun =
            facts.committed.is_some() || facts.commit.as_ref().is_some_and(|commit| !commit.attempts.is_empty());
        return match (now < limit, begun) {
            (true, _) => Next::WaitUntil(limit),
            (false, true) => Next::Say(LastWord::Unknown),
            (false, false) => Next::Say(LastWord::Failed { failure: Failure::NothingDone }),
        };
    };
    let deadline = committed.at.after(commit.target().deadline);
    if now >= deadline {
        let waiting = watch.and_then(|watch| watch.waiting.clone());
        // Before the sync is through, health is about the version before.
        let synced = watch.and_then(|watch| watch.progress.as_ref()).filter(|progress| progress.synced);
        let health = synced.map(|progress| progress.health.clone());
        return Next::Say(LastWord::TimedOut { waiting, health });
    }
    let asked = watch.is_some_and(|watch| watch.asked.is_some());
    let patience = committed.at.after(limits.webhook_patience);
    if asked || facts.push.is_some() {
        Next::Sync { refresh: false }
    } else if committed.reused || now >= patience {
        Next::Sync { refresh: true }
    } else {
        Next::WaitUntil(patience.min(deadline))
    }
}

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
    /// Ours has ended, but Argo CD has not compared since: ask it to, see [`REFRESH_AFTER`].
    Refresh(Progress),
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
    pub now: Timestamp,
    pub limits: &'a Limits,
}

/// Reads Argo CD's answer in the light of what we asked for. Updates what it remembers of `Degraded` in `watch`.
pub fn step(view: View<'_>, watch: &mut WatchFact) -> Step {
    let Some(committed) = &view.facts.committed else { return Step::Wait(None) };
    let (id, app) = (view.id, view.app);
    watch.automated = app.automated;
    if app.deleting {
        return failed(Failure::Deleting);
    }
    // Argo CD's times are compared with Argo CD's times only: its clock is not ours.
    let asked = watch.asked.is_some();
    let began_after = |started: Option<Timestamp>| asked && started > watch.last_before;
    let on_ours = |revisions: &[String]| revisions.iter().any(|revision| revision == committed.sha.as_str());
    let is_ours = |deploy_id: &Option<DeploymentId>, revisions: &[String]| {
        deploy_id.as_ref() == Some(id) || (app.automated && deploy_id.is_none() && on_ours(revisions))
    };

    if let Some(operation) = &app.operation {
        if is_ours(&operation.deploy_id, &operation.revisions) {
            watch.taken = true;
            return Step::Follow(progress(app, false));
        }
        // A foreign operation. If it began after ours, ours is over: in the history, or superseded.
        if began_after(app.last.as_ref().and_then(|last| last.started)) {
            if on_ours(&operation.revisions) {
                // Somebody synced our commit: after our sync, or in its place because our request was lost.
                // If it succeeds, it is as good as ours.
                return if in_history(committed, app, watch.last_before) {
                    Step::Follow(progress(app, false))
                } else {
                    Step::Wait(Some(Waiting::OtherOperation { by: operation.by.clone() }))
                };
            }
            return superseded_or_live(committed, app, watch.last_before, (&operation.deploy_id, &operation.by));
        }
        return Step::Wait(Some(Waiting::OtherOperation { by: operation.by.clone() }));
    }

    let Some(last) = app.last.as_ref() else { return not_seen(watch, view) };
    if !is_ours(&last.deploy_id, &last.revisions) {
        if last.phase == Phase::Running || last.phase == Phase::Terminating {
            return Step::Wait(Some(Waiting::OtherOperation { by: last.by.clone() }));
        }
        if began_after(last.started) {
            let proven = in_history(committed, app, watch.last_before);
            match on_ours(&last.revisions) {
                true if proven && last.phase == Phase::Succeeded => {
                    return health(view, committed, watch, last.finished.or(last.started));
                }
                // Their sync failed, and ours was never seen: ask.
                true if !proven && !watch.taken => return not_seen(watch, view),
                _ => {}
            }
            return superseded_or_live(committed, app, watch.last_before, (&last.deploy_id, &last.by));
        }
        return not_seen(watch, view);
    }
    watch.taken = true;
    match last.phase {
        Phase::Failed | Phase::Error => {
            failed(Failure::Sync { message: last.message.clone(), resources: failing(app) })
        }
        Phase::Succeeded => {
            // A success on another commit (several sources, or a lying answer) is not ours to call live.
            if !last.revisions.is_empty() && !on_ours(&last.revisions) {
                return Step::Over(LastWord::Superseded { by_deployment: None, by_person: last.by.clone() });
            }
            health(view, committed, watch, last.finished.or(last.started))
        }
        Phase::Running | Phase::Terminating | Phase::Other => Step::Follow(progress(app, false)),
    }
}

/// Our operation was never seen: ask for the sync. If we asked just now without an answer, look again first.
fn not_seen(watch: &WatchFact, view: View<'_>) -> Step {
    let again = view.limits.look_again;
    match watch.asked {
        Some(at) if view.now.since(at) < again => Step::LookAgainAt(at.after(again)),
        _ => Step::Ask,
    }
}

/// A foreign operation came after ours. If the history proves that ours succeeded and our image runs, it is live all the same.
fn superseded_or_live(
    committed: &CommittedFact,
    app: &Application,
    last_before: Option<Timestamp>,
    (by_deployment, by): (&Option<DeploymentId>, &Option<String>),
) -> Step {
    if in_history(committed, app, last_before)
        && app.health == Health::Healthy
        && crate::image::is_image_of(&app.images, &committed.commit.target().image_ref())
    {
        return Step::Over(LastWord::Live { paused: false, urls: app.urls.clone() });
    }
    match by_deployment {
        Some(other) => Step::Superseded { by: other.clone() },
        None => Step::Over(LastWord::Superseded { by_deployment: None, by_person: by.clone() }),
    }
}

/// Whether the application's history proves that our commit was synced. A reused
/// commit may be there from an earlier sync: for it, only entries after `last_before` count.
fn in_history(committed: &CommittedFact, app: &Application, last_before: Option<Timestamp>) -> bool {
    app.history.iter().any(|(at, revisions)| {
        (!committed.reused || *at > last_before) && revisions.iter().any(|revision| revision == committed.sha.as_str())
    })
}

/// Our operation succeeded. Health counts only from a reconciliation strictly later than its end (both have whole seconds).
fn health(view: View<'_>, committed: &CommittedFact, watch: &mut WatchFact, finished: Option<Timestamp>) -> Step {
    let View { app, now, limits, .. } = view;
    let plan = committed.commit.target();
    let reconciled = app.reconciled.zip(finished).is_some_and(|(reconciled, finished)| reconciled > finished);
    let other_image = app.health == Health::Healthy && !crate::image::is_image_of(&app.images, &plan.image_ref());
    // Its picture of the cluster may be older than what it has just applied.
    let behind = other_image && app.sync_status == SyncStatus::OutOfSync;
    if app.health != Health::Degraded && !behind {
        watch.degraded_since = None;
        watch.degraded_seen = 0;
    }
    if !reconciled {
        // What health says now may still be about the version before.
        let unproven = Progress { health: String::new(), ..progress(app, true) };
        // By our own clock, not by when Argo CD says that it ended.
        let ended = *watch.ended_seen.get_or_insert(now);
        let since = watch.refreshed.map_or(ended, |refreshed| refreshed.max(ended));
        return if now.since(since) >= REFRESH_AFTER {
            watch.refreshed = Some(now);
            Step::Refresh(unproven)
        } else {
            Step::Follow(unproven)
        };
    }
    match app.health {
        // Whatever is paused may not run the new version yet, so its images prove nothing.
        Health::Suspended => Step::Over(LastWord::Live { paused: true, urls: app.urls.clone() }),
        Health::Healthy if !other_image => Step::Over(LastWord::Live { paused: false, urls: app.urls.clone() }),
        Health::Healthy if !behind => failed(not_our_image(plan, app)),
        Health::Healthy | Health::Degraded => {
            // It may recover; meanwhile people read how it is.
            watch.waiting = None;
            watch.progress = Some(progress(app, true));
            let since = *watch.degraded_since.get_or_insert(now);
            watch.degraded_seen = watch.degraded_seen.saturating_add(1);
            let grace = if watch.degraded_before {
                plan.degraded_grace.max(limits.degraded_before)
            } else {
                plan.degraded_grace
            };
            if now.since(since) >= grace && watch.degraded_seen >= 2 {
                let failure = if other_image {
                    not_our_image(plan, app)
                } else {
                    Failure::Degraded { message: app.health_message.clone(), resources: failing(app) }
                };
                return failed(failure);
            }
            Step::LookAgainAt(since.after(grace))
        }
        Health::Progressing | Health::Missing | Health::Unknown => Step::Follow(progress(app, true)),
    }
}

fn failed(failure: Failure) -> Step {
    Step::Over(LastWord::Failed { failure })
}

fn not_our_image(plan: &TargetPlan, app: &Application) -> Failure {
    let runs = app.images.iter().take(5).cloned().collect();
    Failure::OtherImage { wanted: plan.image_ref().to_string(), runs }
}

fn progress(app: &Application, synced: bool) -> Progress {
    let last = app.last.as_ref();
    let applied = last.map(|last| {
        let done = last.resources.iter().filter(|resource| resource.is_done()).count();
        (u32::try_from(done).unwrap_or(u32::MAX), u32::try_from(last.resources.len()).unwrap_or(u32::MAX))
    });
    Progress {
        synced,
        health: format!("{:?}", app.health),
        message: last.map(|last| last.message.clone()).unwrap_or_default(),
        resources: applied.filter(|(_, all)| *all > 0),
        retry: last.map(|last| last.retry_count).unwrap_or_default(),
    }
}

/// Failing resources by name with Argo CD's own message: at most five.
fn failing(app: &Application) -> Vec<String> {
    app.failing.iter().take(5).cloned().collect()
}

/// Whose turn it is when `current` names another deployment than ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Ours all the same.
    Ours,
    /// Theirs.
    Theirs,
    /// Theirs if it commits: that is not decided yet.
    Undecided,
}

/// Whether the deployment that `current` names took the turn from ours. It did not if it ended without a
/// commit, or long before ours was asked for: then a process that slept wrote its name late, or another late
/// write let it in.
pub fn turn(other: &Facts, ours: &Facts) -> Turn {
    let is_final = other.state().is_final();
    match (&other.committed, &other.request, &ours.request) {
        (Some(committed), _, Some(request)) if is_final && committed.at.after(CLOCKS) <= request.at => Turn::Ours,
        // In `Unknown` a commit of its own may have landed, or still may.
        (None, Some(_), _) if is_final && other.state() != State::Unknown => Turn::Ours,
        (None, Some(_), _) if !is_final => Turn::Undecided,
        _ => Turn::Theirs,
    }
}

/// By how much clocks of different machines may differ here.
const CLOCKS: Duration = Duration::from_secs(10);

/// What to do about a sync that a watch requested while it had lost its lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Overtaken {
    /// Nothing: it undid no newer sync, or that is repaired.
    No,
    /// Look again when the operation that runs has ended.
    Wait,
    /// It undid the sync of this newer deployment: ask for that again.
    By(DeploymentId),
}

/// Whether a late sync undid a newer one. `others`: the deployments that the target's keys name. Only a newer
/// deployment whose sync was requested is synced again; any other is its own watch's, or its message says
/// that it is not synced.
pub fn overtaken(
    (late, facts): (&DeploymentId, &Facts),
    others: &[(DeploymentId, Facts)],
    rewritten: Option<Timestamp>,
    app: &Application,
) -> Overtaken {
    let committed = |facts: &Facts| facts.committed.as_ref().map(|committed| committed.at);
    let asked = |facts: &Facts| facts.watch.as_ref().is_some_and(|watch| watch.asked.is_some() || watch.taken);
    let newer = others.iter().filter(|(_, other)| committed(other) > committed(facts) && asked(other));
    let Some((newer, newer_facts)) = newer.max_by_key(|(_, other)| committed(other)) else { return Overtaken::No };
    if rewritten > newer_facts.written_at() {
        return Overtaken::No;
    }
    let last = app.last.as_ref();
    let runs = last.is_some_and(|last| matches!(last.phase, Phase::Running | Phase::Terminating));
    let whose = match &app.operation {
        Some(operation) => operation.deploy_id.as_ref(),
        None => last.and_then(|last| last.deploy_id.as_ref()),
    };
    match whose {
        Some(whose) if whose == newer => Overtaken::No,
        _ if runs || app.operation.is_some() => Overtaken::Wait,
        Some(whose) if whose == late => Overtaken::By(newer.clone()),
        _ => Overtaken::No,
    }
}
