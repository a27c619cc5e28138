//! Asks Argo CD for the sync of exactly our commit, and understands its answer.

use super::SLEPT;
use super::follower::Follower;
use crate::log::Line;
use crate::world::World;
use clients::argocd;
use clients::argocd::{ArgoError, SyncOutcome};
use domain::application::{Application, Health};
use domain::deployment;
use domain::deployment::{CommitFact, Failure, LastWord, Riders, Turn, Waiting};
use domain::fault::{Cause, Changed, Fault, System};
use domain::names::{CommitSha, DeploymentId};
use domain::time::Timestamp;
use std::time::Duration;
use store::{Current, Rewritten, StoreError};

/// What a request to Argo CD that changes something may take: the lease must hold this long before it is sent.
pub(super) const ASK: Duration = Duration::from_secs(5);

/// How long the sync waits for the message that says whose commits ride along.
const RIDERS: Duration = Duration::from_secs(3);

/// What follows from a look.
pub(super) enum Flow {
    /// The final state is saved.
    Over,
    /// Wait for the next look.
    Wait,
    /// The same, but not beyond that moment.
    LookAgain(Timestamp),
    /// This one is newer: look at it now.
    Now(Box<Application>),
}

/// What there is to do if it is not our turn: never an older commit after a newer one.
pub(super) async fn not_our_turn<W: World>(
    follower: &Follower<'_, W>,
    commit: &CommitFact,
) -> Result<Option<Flow>, StoreError> {
    let current =
        store::load_key(follower.world, Current(commit.target().application())).await?.map(|current| current.id);
    if current.as_ref() == Some(follower.id) {
        return Ok(None);
    }
    let turn = match &current {
        Some(other) => deployment::turn(&store::load(follower.world, other).await?, &follower.facts.borrow()),
        None => Turn::Theirs,
    };
    match turn {
        Turn::Ours => {
            let other = current.as_ref().map(DeploymentId::as_str);
            follower.world.log(Line::error("late_turn").of(follower.id).with("of", other).with("cause", SLEPT));
            Ok(None)
        }
        Turn::Undecided => Ok(Some(Flow::LookAgain(follower.soon()))),
        Turn::Theirs => {
            follower.save_outcome(LastWord::Superseded { by_deployment: current, by_person: None }).await?;
            Ok(Some(Flow::Over))
        }
    }
}

/// Asks for the sync of exactly our commit, if it is still our turn and the commit is still on the branch.
pub(super) async fn ask<W: World>(
    follower: &Follower<'_, W>,
    commit: &CommitFact,
    sha: &CommitSha,
    snapshot: &Application,
) -> Result<Flow, StoreError> {
    let_riders_be_told(follower, commit).await;
    let written_at = follower.facts.borrow().written_at().unwrap_or_default();
    if let Some(flow) = not_our_turn(follower, commit).await? {
        return Ok(flow);
    }
    if store::load_key(follower.world, Rewritten).await?.is_some_and(|rewritten| rewritten.at > written_at) {
        return fail(follower, Failure::BranchRewritten).await;
    }
    let Some(revision) = argocd::which_sources(snapshot, &commit.plan.gitops.repo, &commit.plan.gitops.branch, sha)
    else {
        return fail(follower, Failure::NoSource).await;
    };
    let before = follower.facts.borrow().watch.as_ref().and_then(|watch| watch.asked);
    let now = follower.world.now();
    follower
        .save(|watch| {
            if watch.asked.is_none() {
                watch.degraded_before = snapshot.health == Health::Degraded;
                watch.last_before = snapshot.last.as_ref().and_then(|last| last.started);
            }
            watch.asked = Some(now);
        })
        .await?;
    follower.watch.lease.ensure(ASK).await?;
    let (argocd, app) = (&follower.watch.settings.argocd, commit.target().application());
    let sync = argocd::sync(follower.world, argocd, app, &revision, follower.id);
    let outcome = follower.watch.syncs.make(follower.world, follower.id.clone(), sync).await;
    read_outcome(follower, outcome, before).await
}

/// Whose commits ride along is in the message before the sync, unless Slack takes too long.
async fn let_riders_be_told<W: World>(follower: &Follower<'_, W>, commit: &CommitFact) {
    let any = matches!(&commit.target().riders, Riders::Since { commits, .. } if !commits.is_empty());
    let until = follower.world.elapsed().saturating_add(RIDERS);
    let told = || follower.facts.borrow().watch.as_ref().is_some_and(|watch| watch.voice.told.is_some());
    while any && !told() && !follower.watch.closing.get() && follower.world.elapsed() < until {
        follower.world.sleep(Duration::from_millis(20)).await;
    }
}

/// `before`: when we had asked earlier; goes back into the fact where Argo CD certainly did not take this one.
async fn read_outcome<W: World>(
    follower: &Follower<'_, W>,
    outcome: SyncOutcome,
    before: Option<Timestamp>,
) -> Result<Flow, StoreError> {
    let failure = match outcome {
        SyncOutcome::Taken(snapshot) => {
            follower.world.log(Line::new("sync_taken").of(follower.id));
            let now = follower.world.now();
            follower
                .save(|watch| {
                    // Counted from the answer: the next events may still be older than it.
                    watch.asked = Some(now);
                    watch.taken = true;
                    watch.waiting = None;
                })
                .await?;
            return Ok(Flow::Now(snapshot));
        }
        SyncOutcome::InProgress => {
            return not_taken(follower, before, Some(Waiting::OtherOperation { by: None })).await;
        }
        SyncOutcome::Window(_) => return not_taken(follower, before, Some(Waiting::SyncWindow)).await,
        SyncOutcome::AutoSync(said) => {
            follower.world.log(Line::error("auto_sync_is_on").of(follower.id).with("argocd", said.as_str()));
            follower.save(|watch| watch.automated = true).await?;
            return not_taken(follower, before, None).await;
        }
        SyncOutcome::NotTaken(ArgoError::Fault(fault)) => {
            follower.world.log(Line::error("argocd").of(follower.id).with_json("fault", &fault));
            return not_taken(follower, before, Some(Waiting::ArgoCd { fault })).await;
        }
        SyncOutcome::Unknown(fault) => {
            follower.world.log(Line::error("sync_unknown").of(follower.id).with_json("fault", &fault));
            let now = follower.world.now();
            follower
                .save(|watch| {
                    // Counted from here: what lies in the stream is from while we waited for the answer.
                    watch.asked = Some(now);
                    watch.waiting = Some(Waiting::ArgoCd { fault });
                })
                .await?;
            return Ok(Flow::LookAgain(now.after(follower.watch.settings.limits.look_again)));
        }
        SyncOutcome::NotTaken(ArgoError::NoRight(said)) => Failure::NoRight { said },
        SyncOutcome::NotTaken(ArgoError::NoApplication) => Failure::NoApplication,
        SyncOutcome::Deleting => Failure::Deleting,
        SyncOutcome::Refused(said) => Failure::Refused { said },
        SyncOutcome::NotTaken(ArgoError::Unauthorized) => unauthorized("ask Argo CD for the sync"),
    };
    // Certainly not taken: the words say what changed by whether we had asked.
    follower.save(|watch| watch.asked = before).await?;
    fail(follower, failure).await
}

/// The deployment failed, for good.
pub(super) async fn fail<W: World>(follower: &Follower<'_, W>, failure: Failure) -> Result<Flow, StoreError> {
    follower.save_outcome(LastWord::Failed { failure }).await?;
    Ok(Flow::Over)
}

pub(super) fn unauthorized(doing: &str) -> Failure {
    Failure::Fault { fault: Fault::new(System::ArgoCd, doing, Cause::Unauthorized).changed(Changed::Yes) }
}

async fn not_taken<W: World>(
    follower: &Follower<'_, W>,
    before: Option<Timestamp>,
    waiting: Option<Waiting>,
) -> Result<Flow, StoreError> {
    follower
        .save(|watch| {
            watch.asked = before;
            watch.waiting = waiting;
        })
        .await?;
    Ok(Flow::LookAgain(follower.soon()))
}
