//! What to do next: [`next`] from the facts alone, [`step`] from one look at Argo CD in the light of what we asked for.
//!
//! Easy to miss: a success without our id, without our commit, or without a later comparison proves nothing.

use super::auto::{auto, wait_for_auto_sync};
use super::before::judge;
use super::proof::{Doubt, Proof, proof};
use super::remarks::{Remarks, running_hook};
use super::verdict::{Step, View, failed, health, note_difference, note_hooks, progress, sync_failed};
use super::{ApplicationWatch, CommittedFact, Facts, Failure, LastWord, Rendering, State, Waiting};
use crate::application::{Application, Health, KEPT_ERROR, LOST, OperationState, Phase, SyncBy};
use crate::image::VerifyRunning;
use crate::limits::{self, Limits};
use crate::names::{ArgoApplication, DeploymentId};
use crate::time::Timestamp;

/// What the watch does next with a deployment, before it looks at Argo CD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing: slack-command ends it and tells it, or it was told.
    LeaveAlone,
    /// Nothing before that moment, unless its facts change.
    WaitUntil(Timestamp),
    /// Say this last word.
    Say(Said),
    /// Tell the last word that is there.
    Tell,
    /// Look at Argo CD and sync; `refresh`: tell it about the commit first.
    Sync {
        /// No webhook was relayed, so Argo CD may not know the commit.
        refresh: bool,
    },
}

/// Decides from the facts alone.
pub fn next(facts: &Facts, now: Timestamp, limits: &Limits) -> Next {
    if facts.outcome.is_some() {
        return if facts.end_is_told() { Next::LeaveAlone } else { Next::Tell };
    }
    let Some(request) = &facts.request else { return Next::LeaveAlone };
    let Some((committed, _)) = facts.committed.as_ref().zip(facts.commit.as_ref()) else {
        if facts.end.is_some() && facts.committed.is_none() {
            return Next::LeaveAlone;
        }
        let limit = request.at.after(limits.no_commit);
        // `committed` without its `commit` cannot be followed, but it must never be told as "nothing was changed".
        let begun =
            facts.committed.is_some() || facts.commit.as_ref().is_some_and(|commit| !commit.attempts.is_empty());
        return match (now < limit, begun) {
            (true, _) => Next::WaitUntil(limit),
            (false, true) => Next::Say(Said::of(LastWord::Unknown)),
            (false, false) => Next::Say(Said::of(LastWord::Failed { failure: Failure::NothingDone })),
        };
    };
    if let Some(said) = all_said(facts).or_else(|| too_late(facts, now, limits)) {
        return Next::Say(said);
    }
    let asked = facts.applications().iter().any(|(_, watch)| watch.asked.is_some());
    let patience = committed.at.after(limits.webhook_patience);
    if asked || facts.push.is_some() {
        Next::Sync { refresh: false }
    } else if committed.reused || now >= patience {
        Next::Sync { refresh: true }
    } else {
        Next::WaitUntil(facts.deadline(limits).map_or(patience, |deadline| patience.min(deadline)))
    }
}

/// A last word, and at which of several applications.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub word: LastWord,
    pub application: Option<ArgoApplication>,
}

impl Said {
    fn of(word: LastWord) -> Self {
        Self { word, application: None }
    }

    /// Of several applications, one is named.
    fn at(facts: &Facts, application: &ArgoApplication, word: LastWord) -> Self {
        let several = facts.applications().len() > 1;
        Self { word, application: several.then(|| application.clone()) }
    }
}

/// The last word on the deployment, if the last words at its applications make one: one that is not live is enough; live is
/// what is live everywhere.
pub fn all_said(facts: &Facts) -> Option<Said> {
    let mut applications = facts.applications();
    let is_live = |watch: &ApplicationWatch| matches!(watch.over, None | Some(LastWord::Live { .. }));
    if let Some(place) = applications.iter().position(|(_, watch)| !is_live(watch)) {
        let (application, watch) = applications.swap_remove(place);
        return watch.over.map(|word| Said::at(facts, application, word));
    }
    let words: Option<Vec<LastWord>> = applications.into_iter().map(|(_, watch)| watch.over).collect();
    words?.into_iter().reduce(both_live).map(Said::of)
}

/// Live here and there: as well proven as where it is proven least.
fn both_live(here: LastWord, there: LastWord) -> LastWord {
    match (here, there) {
        (LastWord::Live { proof, synced_by, mut urls }, LastWord::Live { proof: other, synced_by: by, urls: more }) => {
            urls.extend(more);
            LastWord::Live { proof: proof.max(other), synced_by: synced_by.or(by), urls }
        }
        (LastWord::Live { .. }, word) | (word, _) => word,
    }
}

/// The deadline of an application has passed.
fn too_late(facts: &Facts, now: Timestamp, limits: &Limits) -> Option<Said> {
    let applications = facts.applications();
    let is_late = |watch: &ApplicationWatch| facts.deadline_of(watch, limits).is_some_and(|deadline| now >= deadline);
    let (application, watch) = applications.iter().find(|(_, watch)| watch.over.is_none() && is_late(watch))?;
    // Before the sync is through, health is about the version before.
    let synced = watch.progress.as_ref().filter(|progress| progress.synced);
    let health = synced.map(|progress| progress.health.clone());
    let word = LastWord::TimedOut { waiting: watch.waiting.clone(), health };
    Some(Said::at(facts, application, word))
}

/// Reads Argo CD's answer in the light of what we asked for. Notes in `watch` what this look showed.
pub fn step(view: View<'_>, watch: &mut ApplicationWatch) -> Step {
    let Some(committed) = &view.facts.committed else { return Step::Wait(None) };
    let app = view.app;
    let by = committed.commit.target().sync;
    watch.automated = app.automated && by == SyncBy::Bot;
    watch.remarks = Remarks::of(app, &watch.before, &committed.commit.plan);
    note_difference(app, committed, watch);
    watch.is_own = false;
    if app.deleting {
        return failed(Failure::Deleting);
    }
    if by == SyncBy::Auto {
        return auto(view, committed, watch);
    }
    match bots(view, committed, watch) {
        // Argo CD would refuse it. What it does by itself counts only on exactly our commit.
        Step::Ask | Step::LookAgainAt(_) if app.automated && watch.taken.is_none() => wait_for_auto_sync(app),
        step => step,
    }
}

/// The sync is ours to ask for.
fn bots(view: View<'_>, committed: &CommittedFact, watch: &mut ApplicationWatch) -> Step {
    let (id, app) = (view.id, view.app);
    // Argo CD's times are compared with Argo CD's times only: its clock is not ours.
    let (asked, last_before) = (watch.asked.is_some(), watch.last_before);
    let began_after = |started: Option<Timestamp>| asked && started > last_before;
    let on_ours = |revisions: &[String]| revisions.iter().any(|revision| revision == committed.sha.as_str());
    let is_ours = |deploy_id: &Option<DeploymentId>, revisions: &[String]| {
        deploy_id.as_ref() == Some(id) || (app.automated && deploy_id.is_none() && on_ours(revisions))
    };

    // Noted while the operation runs, too: somebody may replace it.
    note_hooks(watch, app.last.as_ref().filter(|last| is_ours(&last.deploy_id, &last.revisions)), view.now);

    if let Some(operation) = &app.operation {
        if is_ours(&operation.deploy_id, &operation.revisions) {
            watch.note_taken(view.now);
            return Step::Follow(progress(app, false));
        }
        // A foreign operation. If it began after ours, ours is over: in the history, or superseded.
        if began_after(app.last.as_ref().and_then(|last| last.started)) {
            if on_ours(&operation.revisions) && in_history(committed, app, watch.last_before) {
                // The same commit once more: as good as ours if it succeeds.
                return Step::Follow(progress(app, false));
            }
            if let Some(by) = &operation.deploy_id {
                return Step::Superseded { by: by.clone() };
            }
        }
        // What a person's operation brings is known when it has ended: it may bring our version, too.
        let hook = app.last.as_ref().and_then(running_hook);
        return Step::Wait(Some(Waiting::OtherOperation {
            by: operation.by.clone(),
            of: operation.deploy_id.clone(),
            hook,
        }));
    }

    let Some(last) = app.last.as_ref() else { return not_seen(watch, view) };
    if !is_ours(&last.deploy_id, &last.revisions) {
        if last.phase == Phase::Running || last.phase == Phase::Terminating {
            let (by, of) = (last.by.clone(), last.deploy_id.clone());
            return Step::Wait(Some(Waiting::OtherOperation { by, of, hook: running_hook(last) }));
        }
        if began_after(last.started) {
            return after_foreign(view, committed, watch, last);
        }
        return not_seen(watch, view);
    }
    watch.note_taken(view.now);
    match last.phase {
        Phase::Failed | Phase::Error if is_cached(last) => after_cached((view, committed), watch, last),
        Phase::Failed | Phase::Error if watch.repeats > 0 || may_repeat(last, watch) => {
            // The second repeat waits longer. Right after a repeat, the end may be that of the operation before.
            let again = view.limits.repeat.saturating_mul(if watch.repeats == 0 { 1 } else { 6 });
            match watch.asked {
                Some(at) if view.now.since(at) < again => Step::LookAgainAt(at.after(again)),
                _ if may_repeat(last, watch) => Step::Ask,
                _ => sync_failed((app, last), watch, &committed.commit.target().ours()),
            }
        }
        Phase::Failed | Phase::Error => sync_failed((app, last), watch, &committed.commit.target().ours()),
        Phase::Succeeded => {
            // A success on another commit (several sources, or a lying answer) is not ours to call live.
            if !last.revisions.is_empty() && !on_ours(&last.revisions) {
                return Step::Over(LastWord::Superseded { by_deployment: None, by_person: last.by.clone() });
            }
            watch.is_own = last.deploy_id.as_ref() == Some(id);
            health(view, committed, watch, last.finished.or(last.started))
        }
        Phase::Running | Phase::Terminating | Phase::Other => Step::Follow(progress(app, false)),
    }
}

/// How often our sync is requested again after a fault of Argo CD's own.
const REPEATS: u32 = 2;

/// Whether Argo CD itself failed, not the app: then the same sync may do better. Never once a hook has run, because it
/// would run again. A retry of Argo CD's own forgets which hooks ran before it.
fn may_repeat(last: &OperationState, watch: &ApplicationWatch) -> bool {
    let mut failed = last.resources.iter().filter(|resource| resource.has_failed()).peekable();
    let is_lost = failed.peek().is_some() && failed.all(|one| LOST.iter().any(|text| one.message.contains(text)));
    watch.repeats < REPEATS && !watch.hooks_ran && last.retry_count == 0 && (last.phase == Phase::Error || is_lost)
}

/// Argo CD did not render our commit, but said what came of that before: for an hour, after three failures, whatever has become
/// of the cause (`reposerver/repository/repository.go`, v3.2).
fn is_cached(last: &OperationState) -> bool {
    last.message.contains(KEPT_ERROR)
}

/// Once, Argo CD renders the branch's head anew. Where that is our commit and it rendered well, the sync is asked for again.
fn after_cached(
    (view, committed): (View<'_>, &CommittedFact),
    watch: &mut ApplicationWatch,
    last: &OperationState,
) -> Step {
    let app = view.app;
    let is_ours = app.compared.iter().any(|revision| revision == committed.sha.as_str());
    let is_rendered = is_ours && !app.comparison_failed();
    let (now, limits) = (view.now, view.limits);
    // Right after a repeat, the end may be that of the operation before.
    if let Some(at) = watch.asked.filter(|at| watch.repeats > 0 && now.since(*at) < limits.repeat) {
        return Step::LookAgainAt(at.after(limits.repeat));
    }
    match watch.rendering {
        None => {
            watch.rendering = Some(Rendering::Asked(now));
            Step::Render
        }
        Some(_) if is_rendered && watch.repeats < REPEATS && !watch.hooks_ran => Step::Ask,
        // Without an answer it may take its time, or was never begun: so once more.
        Some(Rendering::Asked(at) | Rendering::AskedAgain(at))
            if !is_rendered && now.since(at) < limits.argocd_error =>
        {
            Step::LookAgainAt(at.after(limits.argocd_error))
        }
        Some(Rendering::Asked(_)) if !is_rendered => {
            watch.rendering = Some(Rendering::AskedAgain(now));
            Step::Render
        }
        Some(_) => sync_failed((app, last), watch, &committed.commit.target().ours()),
    }
}

/// Our operation was never seen: ask for the sync. If we asked just now without an answer, look again first.
fn not_seen(watch: &ApplicationWatch, view: View<'_>) -> Step {
    let again = view.limits.look_again;
    match watch.asked {
        Some(at) if view.now.since(at) < again => Step::LookAgainAt(at.after(again)),
        _ => Step::Ask,
    }
}

/// A foreign operation came after ours and has ended. What it applied is what counts.
fn after_foreign(
    view: View<'_>,
    committed: &CommittedFact,
    watch: &mut ApplicationWatch,
    last: &OperationState,
) -> Step {
    if let Some(other) = &last.deploy_id {
        return Step::Superseded { by: other.clone() };
    }
    let superseded = || Step::Over(LastWord::Superseded { by_deployment: None, by_person: last.by.clone() });
    let plan = committed.commit.target();
    let on_ours = last.revisions.iter().any(|revision| revision == committed.sha.as_str());
    let ours_before = in_history(committed, view.app, watch.last_before);
    let succeeded = last.phase == Phase::Succeeded;
    let applied = match plan.verify_running {
        VerifyRunning::On => proof(&last.applied_images(), &[], &plan.ours()),
        VerifyRunning::Off => Ok(Proof::NotAsked),
    };
    match applied {
        // It was applied, however the operation ended.
        Err(Doubt::OtherTag | Doubt::OldPods) => superseded(),
        Ok(Proof::Applied) if succeeded => health(view, committed, watch, last.finished.or(last.started)),
        // It says nothing of our image: not Argo CD before 3.1, nor a sync of other resources alone. One that failed took
        // nothing away. One that succeeded may be why the app is degraded.
        _ if (ours_before
            && (!succeeded || judge(view.app, &watch.before, &plan.ours()).health != Health::Degraded))
            || (succeeded && on_ours) =>
        {
            match health(view, committed, watch, last.finished.or(last.started)) {
                Step::Over(LastWord::Failed { failure: Failure::OtherImage { .. } }) => superseded(),
                step => step,
            }
        }
        _ if succeeded => superseded(),
        // It failed, and ours was never through. A sync of ours that ran hooks is not repeated.
        _ if watch.taken.is_some() && (watch.hooks_ran || watch.repeats >= REPEATS) => superseded(),
        _ => not_seen(watch, view),
    }
}

/// Whether the application's history proves that our commit was synced. A commit that was there before may be in it from then.
fn in_history(committed: &CommittedFact, app: &Application, last_before: Option<Timestamp>) -> bool {
    app.history.iter().any(|(at, revisions)| {
        (!committed.reused || *at > last_before) && revisions.iter().any(|revision| revision == committed.sha.as_str())
    })
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

/// Whether the deployment that `current` names has taken the turn from ours. It has not if it ended without a commit,
/// or long before ours was asked for. Then `current` names it only because a carrier slept: its own while it wrote
/// `current`, or another one, whose lease ran out and let it in.
pub fn turn(other: &Facts, ours: &Facts) -> Turn {
    let is_final = other.state().is_final();
    match (&other.committed, &other.request, &ours.request) {
        (Some(committed), _, Some(request)) if is_final && committed.at.after(limits::CLOCKS) <= request.at => {
            Turn::Ours
        }
        // In `Unknown` a commit of its own may have landed, or still may.
        (None, Some(_), _) if is_final && other.state() != State::Unknown => Turn::Ours,
        (None, Some(_), _) if !is_final => Turn::Undecided,
        _ => Turn::Theirs,
    }
}

/// Whether another deployment was committed after ours. Then the turn never comes back to ours. A third deployment, which
/// takes the turn after the other and comes to nothing, changes nothing about that.
pub fn is_newer(other: &Facts, ours: &Facts) -> bool {
    let committed = |facts: &Facts| facts.committed.as_ref().map(|committed| committed.at);
    committed(other) > committed(ours)
}

/// Whether the sync of an older deployment may be terminated, because `ours` waits for it in an application: past
/// the older one's deadline there, or because somebody wants so who may deploy both.
pub fn may_terminate(
    (older, ours): (&Facts, &Facts),
    application: &ArgoApplication,
    is_wished: bool,
    now: Timestamp,
    limits: &Limits,
) -> bool {
    let Some((theirs, target)) = older.committed.as_ref().zip(ours.committed.as_ref()) else { return false };
    let deadline = older.deadline_of(&older.at(application), limits);
    let is_late = deadline.is_some_and(|deadline| now >= deadline);
    let is_older = theirs.at < target.at;
    let is_here = theirs.commit.target().runs_in(application) && target.commit.target().runs_in(application);
    is_older && is_here && (is_wished || is_late)
}

/// What to do about a sync whose asker slept meanwhile, and had lost its lease when it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Overtaken {
    /// Nothing: it came over nothing newer, or that is mended.
    No,
    /// Look again when the operation that runs has ended.
    Wait,
    /// Ask for the sync of this one again.
    By(DeploymentId),
}

/// Whether the operation of a deployment that came late at an application undid a newer one. `others`: those that the keys of
/// its target and of the application name. Only one that was
/// asked for already is asked for again; any other is its own watch's, or was told that it is not synced.
pub fn overtaken(
    (late, facts): (&DeploymentId, &Facts),
    others: &[(DeploymentId, Facts)],
    rewritten: Option<Timestamp>,
    (application, app): (&ArgoApplication, &Application),
) -> Overtaken {
    let committed = |facts: &Facts| facts.committed.as_ref().map(|committed| committed.at);
    let asked = |facts: &Facts| facts.at(application).has_begun();
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
