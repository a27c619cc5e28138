//! One deployment in a watch: from its facts to the sync of exactly its commit, and until people are told its final state.
//!
//! What to do is decided in [`deployment::next`] from the facts alone. Here it is done: save first, then speak. Argo CD is followed, in
//! [`super::observe`], and the message edited at the same time.

use super::follower::{Ended, Follower, Nudges, WatchSpeaker};
use super::observe::ApplicationFollower;
use super::{Watch, seen};
use crate::world::{Line, World};
use domain::deployment::{self, CommittedFact, LookFact, Next};
use domain::limits;
use domain::names::DeploymentId;
use futures::channel::mpsc;
use futures::future::{Either, join, join_all, select};
use futures::stream::StreamExt;
use std::pin::pin;
use std::time::Duration;
use store::StoreError;

/// Says that there may be something new to tell.
type Changes = mpsc::UnboundedReceiver<()>;

/// Follows one deployment until its end is told, or the watch closes.
pub(crate) async fn follow<W: World>(watch: &Watch<'_, W>, id: &DeploymentId, nudges: Nudges) -> Ended {
    let follower = Follower::new(watch, id, nudges);
    loop {
        match follower.run().await {
            Ok(ended) => return ended,
            Err(error) => {
                watch.world.log(Line::error("not_followed").of(id).with("cause", error.why()));
                if error.is_unreadable() {
                    return Ended::NothingLeft;
                }
            }
        }
        watch.world.sleep(limits::FOLLOW_AGAIN).await;
        if watch.closing.get() {
            return Ended::GoesOn;
        }
    }
}

impl<W: World> Follower<'_, W> {
    async fn run(&self) -> Result<Ended, StoreError> {
        let (speaker, limits) = (self.speaker(), &self.watch.settings.limits);
        loop {
            self.reload().await?;
            let is_whole = self.facts.borrow().committed.is_some() && self.facts.borrow().has_parts();
            if is_whole {
                return self.follow_parts(&speaker).await;
            }
            let is_unseen = self.look_if_asked().await?;
            let next = deployment::next(&self.facts.borrow(), self.world.now(), limits);
            match next {
                Next::LeaveAlone => {
                    if self.facts.borrow().end_is_told() {
                        // The same click came again after the end.
                        self.leave_flight().await?;
                    }
                    return Ok(Ended::NothingLeft);
                }
                Next::WaitUntil(moment) => {
                    let committed = self.facts.borrow().committed.is_some();
                    let again = if committed { self.tell(&speaker, false).await } else { None };
                    // All facts are read before words are told again, so not too soon.
                    let again = again.map(|again| self.after(again.max(limits.edit_gap)));
                    let again = again.or(is_unseen.then(|| self.soon()));
                    self.wait(again.map_or(moment, |again| moment.min(again))).await;
                }
                Next::Say(said) => self.save_outcome(said).await?,
                Next::Tell => loop {
                    let Some(again) = self.tell(&speaker, true).await else {
                        self.leave_flight().await?;
                        return Ok(Ended::NothingLeft);
                    };
                    // Many may wait for their turn: without news they tell what they know, and do not read it again.
                    if self.wait(self.after(again)).await || self.watch.closing.get() {
                        break;
                    }
                },
                Next::Sync { refresh } => self.sync(&speaker, refresh).await?,
            }
            if self.watch.closing.get() {
                return Ok(Ended::GoesOn);
            }
        }
    }

    /// Before its commit a deployment may want a fresh look at its application.
    /// Says whether Argo CD has to be asked again.
    async fn look_if_asked(&self) -> Result<bool, StoreError> {
        if self.facts.borrow().watch_speaks() || self.facts.borrow().end.is_some() {
            return Ok(false);
        }
        let look: Option<LookFact> = store::load_fact(self.world, self.id).await?;
        let Some(look) = look.filter(|look| self.looked.get() != Some(look.at)) else { return Ok(false) };
        let is_seen = seen::look_at(self.watch, &look.application).await?;
        if is_seen {
            self.looked.set(Some(look.at));
        }
        Ok(!is_seen)
    }

    /// The end is posted. A deployment that never had a target is in no ring yet. Rings are
    /// slack-command's, which puts that deployment into one and removes it from what is in flight. So does what is to be taken back
    /// without being asked: slack-command finds it there.
    async fn leave_flight(&self) -> Result<(), StoreError> {
        let had_target = self.facts.borrow().commit.is_some();
        if had_target && !self.facts.borrow().goes_back() {
            store::leave_flight(self.world, self.id).await
        } else {
            Ok(())
        }
    }

    /// Follows Argo CD to the final state, or until the watch closes.
    async fn sync(&self, speaker: &WatchSpeaker<'_, '_, W>, refresh: bool) -> Result<(), StoreError> {
        let (changed, changes) = mpsc::unbounded();
        join(self.observe(refresh, changed), self.tell_changes(speaker, changes)).await.0
    }

    /// Follows all applications at the same time. Nothing changes any more when this has ended.
    async fn observe(&self, refresh: bool, changed: mpsc::UnboundedSender<()>) -> Result<(), StoreError> {
        let committed = self.facts.borrow().committed.clone();
        let Some(CommittedFact { sha, commit, .. }) = committed else { return Ok(()) };
        let mut observers = Vec::new();
        self.over.set(false);
        self.ears.borrow_mut().clear();
        for (place, application) in commit.target().applications.iter().enumerate() {
            let (ear, news) = mpsc::unbounded();
            self.ears.borrow_mut().push(ear);
            let at = ApplicationFollower::new(self, (&commit, &sha), (place, application), news);
            let changed = changed.clone();
            observers.push(async move {
                let done = at.observe(refresh, changed).await;
                if done.is_err() {
                    // The others come to an end by themselves: none is cut off in a call.
                    self.stop();
                }
                done
            });
        }
        drop(changed);
        let done = match select(pin!(join_all(observers)), pin!(self.pass_nudges_on())).await {
            Either::Left((done, _)) => done,
            Either::Right(((), observing)) => observing.await,
        };
        done.into_iter().collect()
    }

    /// Words that have to wait do not hold up newer words.
    async fn tell_changes(&self, speaker: &WatchSpeaker<'_, '_, W>, mut changes: Changes) {
        while changes.next().await.is_some() {
            let mut wait = Duration::ZERO;
            while still_changes(self.world, &mut changes, wait).await {
                match self.tell(speaker, false).await {
                    Some(again) => wait = again,
                    None => break,
                }
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
