//! From the commit to the final state, as long as a watch lasts: Argo CD is followed, and the message is edited at the same time.
//!
//! What a look means is decided in [`deployment::step`]; here it is done: save first, then ask.

use super::SLEPT;
use super::ask::{ASK, Flow, ask, fail, not_our_turn, unauthorized};
use super::follower::Follower;
use super::journal::WatchSpeaker;
use super::looks::{Look, Looks, STREAM};
use crate::log::Line;
use crate::speak::Said;
use crate::world::World;
use clients::argocd;
use clients::argocd::ArgoError;
use domain::application::Application;
use domain::deployment;
use domain::deployment::{CommitFact, Failure, Step, View, Waiting};
use domain::fault::Cause;
use domain::names::CommitSha;
use futures::channel::mpsc;
use futures::future::{Either, join, select};
use futures::stream::StreamExt;
use std::pin::pin;
use std::time::Duration;
use store::StoreError;

/// Says that there may be something new to tell.
type Changes = mpsc::UnboundedReceiver<()>;

/// Follows Argo CD to the final state, or until the watch closes.
pub(super) async fn sync<W: World>(
    follower: &Follower<'_, W>,
    speaker: &WatchSpeaker<'_, '_, W>,
    refresh: bool,
) -> Result<(), StoreError> {
    let (changed, changes) = mpsc::unbounded();
    let observed = async {
        let observed = observe(follower, refresh, &changed).await;
        drop(changed);
        observed
    };
    let (observed, ()) = join(pin!(observed), pin!(tell_changes(follower, speaker, changes))).await;
    observed
}

/// Words that have to wait do not stand in the way of newer words.
async fn tell_changes<W: World>(follower: &Follower<'_, W>, speaker: &WatchSpeaker<'_, '_, W>, mut changes: Changes) {
    while changes.next().await.is_some() {
        let mut wait = Duration::ZERO;
        while still_changes(follower.world, &mut changes, wait).await {
            match follower.tell(speaker, false).await {
                Said::Done => break,
                Said::NotYet(again) => wait = again,
            }
        }
    }
}

/// Waits for so long, and takes in what changes meanwhile. False at once when nothing changes any more: the final state is told by its own
/// step, and words that come before it are then neither worth a call nor a reason to wait.
async fn still_changes(world: &impl World, changes: &mut Changes, wait: Duration) -> bool {
    let mut timer = pin!(world.sleep(wait));
    loop {
        match select(changes.next(), timer.as_mut()).await {
            Either::Left((Some(()), _)) => {}
            Either::Left((None, _)) => return false,
            Either::Right(_) => return true,
        }
    }
}

async fn observe<W: World>(
    follower: &Follower<'_, W>,
    refresh: bool,
    changed: &mpsc::UnboundedSender<()>,
) -> Result<(), StoreError> {
    let (commit, sha, deadline) = {
        let facts = follower.facts.borrow();
        let Some((committed, commit)) = facts.committed.as_ref().zip(facts.commit.as_ref()) else { return Ok(()) };
        (commit.clone(), committed.sha.clone(), committed.at.after(commit.target().deadline))
    };
    let signal = || drop(changed.unbounded_send(()));
    signal();
    if refresh {
        tell_argocd(follower, &commit).await;
    }
    let mut looks = Looks::new(follower, &commit, deadline);
    loop {
        match looks.next().await {
            Look::Over => return Ok(()),
            Look::Nudge => follower.reload_for_message().await?,
            Look::Failed(error) => {
                if let Flow::Over = no_look(follower, error).await? {
                    return Ok(());
                }
            }
            Look::App { mut app, mut asked } => loop {
                let flow = handle(follower, (&commit, &sha), &app, asked).await?;
                signal();
                match flow {
                    Flow::Over => return Ok(()),
                    Flow::Wait => looks.ask_at = None,
                    Flow::LookAgain(moment) => looks.ask_at = Some(moment),
                    Flow::Now(newer) => {
                        looks.begin_anew();
                        (app, asked) = (newer, true);
                        continue;
                    }
                }
                break;
            },
        }
        signal();
    }
}

/// No webhook was relayed, so Argo CD may not know the commit. The sync itself does not need that: what is wrong shows at the next look.
async fn tell_argocd<W: World>(follower: &Follower<'_, W>, commit: &CommitFact) {
    let refreshed =
        argocd::refresh(follower.world, &follower.watch.settings.argocd, commit.target().application(), ASK).await;
    if let Err(ArgoError::Fault(fault)) = refreshed {
        follower.world.log(Line::error("not_refreshed").of(follower.id).with_json("fault", &fault));
    }
}

/// A look that failed: some reasons are final, the others are waited out until the deadline.
async fn no_look<W: World>(follower: &Follower<'_, W>, error: ArgoError) -> Result<Flow, StoreError> {
    let failure = match error {
        ArgoError::NoRight(said) => Failure::NoRight { said },
        ArgoError::NoApplication => Failure::NoApplication,
        ArgoError::Unauthorized => unauthorized(STREAM),
        ArgoError::Fault(fault) => {
            // A stream that ends is normal: the next look tells whether Argo CD is well.
            if !matches!(fault.cause, Cause::Broken | Cause::TimedOut) || fault.doing != STREAM {
                follower.world.log(Line::error("argocd").of(follower.id).with_json("fault", &fault));
                follower.save(|watch| watch.waiting = Some(Waiting::ArgoCd { fault })).await?;
            }
            return Ok(Flow::Wait);
        }
    };
    fail(follower, failure).await
}

/// One look, in the light of what we asked for. `asked`: it is Argo CD's answer and not from a stream, which may be behind.
async fn handle<W: World>(
    follower: &Follower<'_, W>,
    (commit, sha): (&CommitFact, &CommitSha),
    app: &Application,
    asked: bool,
) -> Result<Flow, StoreError> {
    let (now, limits) = (follower.world.now(), &follower.watch.settings.limits);
    let mut fact = follower.facts.borrow().watch.clone().unwrap_or_default();
    let step = deployment::step(View { id: follower.id, facts: &follower.facts.borrow(), app, now, limits }, &mut fact);
    match &step {
        Step::Wait(waiting) => fact.waiting = waiting.clone(),
        Step::Follow(progress) | Step::Refresh(progress) => {
            fact.waiting = None;
            fact.progress = Some(progress.clone());
        }
        _ => {}
    }
    let before = fact.asked;
    follower.save(|watch| watch.seen(fact)).await?;
    match step {
        // Not a second time because of what may be old news.
        Step::Ask if before.is_some() && !asked => Ok(Flow::LookAgain(now)),
        Step::Ask => ask(follower, commit, sha, app).await,
        // Events tell when it changes; should one be lost, look by ourselves.
        Step::Wait(_) => Ok(Flow::LookAgain(follower.after(limits.reload))),
        Step::LookAgainAt(moment) => Ok(Flow::LookAgain(moment)),
        // After the sync's end a comparison may be due that nobody announces.
        Step::Follow(progress) if progress.synced => Ok(Flow::LookAgain(now.after(deployment::REFRESH_AFTER))),
        Step::Follow(_) => Ok(Flow::Wait),
        Step::Refresh(_) => compare(follower, commit).await,
        Step::Superseded { by } => {
            if let Some(flow) = not_our_turn(follower, commit).await? {
                return Ok(flow);
            }
            if app.operation.is_some() || !asked {
                return Ok(Flow::LookAgain(follower.soon()));
            }
            let line = Line::error("late_sync").of(&by).with("newer", follower.id.as_str());
            follower.world.log(line.with("cause", SLEPT));
            ask(follower, commit, sha, app).await
        }
        Step::Over(word) => {
            follower.save_outcome(word).await?;
            Ok(Flow::Over)
        }
    }
}

/// Has Argo CD compare what runs with the commit.
async fn compare<W: World>(follower: &Follower<'_, W>, commit: &CommitFact) -> Result<Flow, StoreError> {
    match argocd::refresh(follower.world, &follower.watch.settings.argocd, commit.target().application(), ASK).await {
        Ok(newer) => Ok(Flow::Now(Box::new(newer))),
        Err(error) => match no_look(follower, error).await? {
            Flow::Over => Ok(Flow::Over),
            _ => Ok(Flow::LookAgain(follower.soon())),
        },
    }
}
