//! What to do next: [`next`] from the facts alone, [`step`] from one look at Argo CD in the light of what we asked for.
//!
//! What you would get wrong: a success without our id, without our commit, or without a later comparison proves nothing.

use super::{CommitFact, CommittedFact, Facts, Failure, LastWord, Progress, Tempo, Waiting, WatchFact};
use crate::argocd::{AppSnapshot, Health, Phase};
use crate::clock::Timestamp;
use crate::names::DeploymentId;
use std::time::Duration;

/// What the watch does next with a deployment, before it looks at Argo CD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing: slack-command ends it and tells it, or it was told.
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

/// Argo CD compares once right after a sync. With times of whole seconds that may carry the same second as the sync's end, which
/// proves nothing, and its next comparison of its own may be minutes away.
pub const REFRESH_AFTER: Duration = Duration::from_secs(2);

/// Decides from the facts alone.
pub fn next(facts: &Facts, now: Timestamp, tempo: &Tempo) -> Next {
    let watch = facts.watch.as_ref();
    if facts.outcome.is_some() {
        return if facts.end_is_told() { Next::LeaveAlone } else { Next::Tell };
    }
    let Some(request) = &facts.request else { return Next::LeaveAlone };
    let Some((committed, commit)) = facts.committed.as_ref().zip(facts.commit.as_ref()) else {
        if facts.end.is_some() && facts.committed.is_none() {
            return Next::LeaveAlone;
        }
        let limit = request.at.after(tempo.no_commit_limit());
        // `committed` without its `commit` cannot be followed, but it must never be told as "nothing was changed".
        let begun =
            facts.committed.is_some() || facts.commit.as_ref().is_some_and(|commit| !commit.attempts.is_empty());
        return match (now < limit, begun) {
            (true, _) => Next::WaitUntil(limit),
            (false, true) => Next::Say(LastWord::Unknown),
            (false, false) => Next::Say(LastWord::Failed { failure: Failure::NothingDone }),
        };
    };
    let deadline = committed.at.after(commit.deadline);
    if now >= deadline {
        let waiting = watch.and_then(|watch| watch.waiting.clone());
        // Before the sync is through, health is about the version before.
        let synced = watch.and_then(|watch| watch.progress.as_ref()).filter(|progress| progress.synced);
        let health = synced.map(|progress| progress.health.clone());
        return Next::Say(LastWord::TimedOut { waiting, health });
    }
    let asked = watch.is_some_and(|watch| watch.asked.is_some());
    let patience = committed.at.after(Duration::from_millis(tempo.webhook_patience));
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
    /// It is over.
    Over(LastWord),
}

/// Reads Argo CD's answer in the light of what we asked for. Updates what it remembers of `Degraded` in `watch`.
pub fn step(
    id: &DeploymentId,
    facts: &Facts,
    watch: &mut WatchFact,
    app: &AppSnapshot,
    now: Timestamp,
    tempo: &Tempo,
) -> Step {
    let Some((committed, commit)) = facts.committed.as_ref().zip(facts.commit.as_ref()) else {
        return Step::Wait(None);
    };
    watch.automated = app.automated;
    if app.deleting {
        return Step::Over(LastWord::Failed { failure: Failure::Deleting });
    }
    // Argo CD's times are compared with Argo CD's times only: its clock is not ours.
    let asked = watch.asked.is_some();
    let began_after = |started: Option<Timestamp>| asked && started > watch.last_before;
    let on_ours = |revisions: &[String]| revisions.iter().any(|revision| revision == committed.sha.as_str());
    let is_ours = |deploy_id: &Option<DeploymentId>, revisions: &[String]| {
        deploy_id.as_ref() == Some(id) || (app.automated && deploy_id.is_none() && on_ours(revisions))
    };

    if let Some(operation) = &app.operation {
        let ours = is_ours(&operation.deploy_id, &operation.revisions);
        if ours {
            watch.taken = true;
            return Step::Follow(progress(app, false));
        }
        // A foreign operation. If it began after ours, ours is over: in the history, or superseded.
        if began_after(app.last.as_ref().and_then(|last| last.started)) {
            if in_history(committed, app, watch.last_before) && on_ours(&operation.revisions) {
                return Step::Follow(progress(app, false)); // The same commit once more.
            }
            return superseded_or_live(commit, committed, app, watch.last_before, operation.by.clone());
        }
        return Step::Wait(Some(Waiting::OtherOperation { by: operation.by.clone() }));
    }

    let Some(last) = app.last.as_ref() else { return not_seen(watch, now, tempo) };
    if !is_ours(&last.deploy_id, &last.revisions) {
        if last.phase == Phase::Running || last.phase == Phase::Terminating {
            return Step::Wait(Some(Waiting::OtherOperation { by: last.by.clone() }));
        }
        if began_after(last.started) {
            let proven = in_history(committed, app, watch.last_before);
            if proven && last.phase == Phase::Succeeded && on_ours(&last.revisions) {
                return health(commit, watch, app, last.finished.or(last.started), now, tempo);
            }
            return superseded_or_live(commit, committed, app, watch.last_before, last.by.clone());
        }
        return not_seen(watch, now, tempo);
    }
    watch.taken = true;
    match last.phase {
        Phase::Failed | Phase::Error => Step::Over(LastWord::Failed {
            failure: Failure::Sync { message: last.message.clone(), resources: failing(app) },
        }),
        Phase::Succeeded => {
            // A success on another commit (several sources, or a lying answer) is not ours to call live.
            if !last.revisions.is_empty() && !on_ours(&last.revisions) {
                return Step::Over(LastWord::Superseded { by_deployment: None, by_person: last.by.clone() });
            }
            health(commit, watch, app, last.finished.or(last.started), now, tempo)
        }
        Phase::Running | Phase::Terminating | Phase::Other => Step::Follow(progress(app, false)),
    }
}

/// No trace of our operation: ask, but after an ask without an answer look again first.
fn not_seen(watch: &mut WatchFact, now: Timestamp, tempo: &Tempo) -> Step {
    match watch.asked {
        Some(at) if now.since(at) < Duration::from_millis(tempo.look_again) => {
            Step::LookAgainAt(at.after(Duration::from_millis(tempo.look_again)))
        }
        _ => Step::Ask,
    }
}

/// A foreign operation came after ours. If the history proves that ours succeeded and our image runs, it is live all the same.
fn superseded_or_live(
    commit: &CommitFact,
    committed: &CommittedFact,
    app: &AppSnapshot,
    last_before: Option<Timestamp>,
    by: Option<String>,
) -> Step {
    if in_history(committed, app, last_before)
        && app.health == Health::Healthy
        && crate::image::is_image_of(&app.images, &commit.image_ref())
    {
        return Step::Over(LastWord::Live { paused: false, urls: app.urls.clone() });
    }
    Step::Over(LastWord::Superseded { by_deployment: None, by_person: by })
}

/// Whether the application's history proves that our commit was synced. A commit that was there before may be in it from then.
fn in_history(committed: &CommittedFact, app: &AppSnapshot, last_before: Option<Timestamp>) -> bool {
    app.history.iter().any(|(at, revisions)| {
        (!committed.reused || *at > last_before) && revisions.iter().any(|revision| revision == committed.sha.as_str())
    })
}

/// Our operation succeeded. Health counts only from a reconciliation strictly later than its end (both have whole seconds).
fn health(
    commit: &CommitFact,
    watch: &mut WatchFact,
    app: &AppSnapshot,
    finished: Option<Timestamp>,
    now: Timestamp,
    tempo: &Tempo,
) -> Step {
    let reconciled = app.reconciled.zip(finished).is_some_and(|(reconciled, finished)| reconciled > finished);
    if app.health != Health::Degraded {
        watch.degraded_since = None;
        watch.degraded_seen = 0;
    }
    if !reconciled {
        // What health says now may still be about the version before.
        let unproven = Progress { health: String::new(), ..progress(app, true) };
        let since = watch.refreshed.max(finished).unwrap_or(now);
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
        Health::Healthy => {
            let wanted = commit.image_ref();
            if crate::image::is_image_of(&app.images, &wanted) {
                Step::Over(LastWord::Live { paused: false, urls: app.urls.clone() })
            } else {
                let runs = app.images.iter().take(5).cloned().collect();
                Step::Over(LastWord::Failed { failure: Failure::OtherImage { wanted: wanted.to_string(), runs } })
            }
        }
        Health::Degraded => {
            // It may recover; meanwhile people read how it is.
            watch.waiting = None;
            watch.progress = Some(progress(app, true));
            let since = *watch.degraded_since.get_or_insert(now);
            watch.degraded_seen = watch.degraded_seen.saturating_add(1);
            let grace = if watch.degraded_before {
                commit.degraded_grace.max(Duration::from_millis(tempo.degraded_before))
            } else {
                commit.degraded_grace
            };
            if now.since(since) >= grace && watch.degraded_seen >= 2 {
                let failure = Failure::Degraded { message: app.health_message.clone(), resources: failing(app) };
                return Step::Over(LastWord::Failed { failure });
            }
            Step::LookAgainAt(since.after(grace))
        }
        Health::Progressing | Health::Missing | Health::Unknown => Step::Follow(progress(app, true)),
    }
}

fn progress(app: &AppSnapshot, synced: bool) -> Progress {
    let last = app.last.as_ref();
    let applied = last.map(|last| {
        let done = last.resources.iter().filter(|resource| resource.is_done()).count();
        (u32::try_from(done).unwrap_or(u32::MAX), u32::try_from(last.resources.len()).unwrap_or(u32::MAX))
    });
    Progress {
        synced,
        health: app.health.to_string(),
        message: last.map(|last| last.message.clone()).unwrap_or_default(),
        resources: applied.filter(|(_, all)| *all > 0),
        retry: last.map(|last| last.retry_count).unwrap_or_default(),
    }
}

/// Failing resources by name with Argo CD's own message: at most five.
fn failing(app: &AppSnapshot) -> Vec<String> {
    app.failing.iter().take(5).cloned().collect()
}
