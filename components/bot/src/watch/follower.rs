//! What is known of one deployment while it is watched, how the watch's facts are written, and how the watch speaks.

use super::Watch;
use crate::speak::{Journal, Kind, Speaker, Standing};
use crate::world::{Line, World, within};
use domain::deployment::{self, CommittedFact, Facts, LastWord, OutcomeFact, Said, Voice, WatchFact};
use domain::limits;
use domain::message;
use domain::names::DeploymentId;
use domain::time::Timestamp;
use futures::channel::mpsc;
use futures::future::try_join4;
use futures::stream::StreamExt;
use std::cell::{Cell, RefCell};
use std::time::Duration;
use store::{Live, LiveVersion, StoreError};

/// How following something in flight ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Nothing is left to do for a watch.
    NothingLeft,
    /// The next watch goes on.
    GoesOn,
}

/// Says that something may have changed: the facts, or that the watch closes.
pub(crate) type Nudges = mpsc::UnboundedReceiver<()>;

/// One deployment in a watch.
pub(crate) struct Follower<'a, W> {
    pub(crate) watch: &'a Watch<'a, W>,
    pub(crate) world: &'a W,
    pub(crate) id: &'a DeploymentId,
    pub(crate) facts: RefCell<Facts>,
    nudges: futures::lock::Mutex<Nudges>,
    saving: futures::lock::Mutex<()>,
    /// The last save of our fact failed.
    unsaved: Cell<bool>,
    /// The wish for a look at the application that was fulfilled last.
    pub(crate) looked: Cell<Option<Timestamp>>,
    /// Those that follow its applications hear of news here.
    pub(crate) ears: RefCell<Vec<mpsc::UnboundedSender<()>>>,
    /// The last word was said, or is due.
    pub(crate) over: Cell<bool>,
}

impl<'a, W: World> Follower<'a, W> {
    pub(crate) fn new(watch: &'a Watch<'a, W>, id: &'a DeploymentId, nudges: Nudges) -> Self {
        Self {
            watch,
            world: watch.world,
            id,
            facts: RefCell::default(),
            nudges: futures::lock::Mutex::new(nudges),
            saving: futures::lock::Mutex::default(),
            unsaved: Cell::new(false),
            looked: Cell::default(),
            ears: RefCell::default(),
            over: Cell::default(),
        }
    }

    /// Loads all facts; our own is what we saved last.
    pub(crate) async fn reload(&self) -> Result<(), StoreError> {
        let facts = store::load(self.world, self.id).await?;
        *self.facts.borrow_mut() = facts;
        Ok(())
    }

    /// Loads what others write for the message from the commit on.
    pub(crate) async fn reload_for_message(&self) -> Result<(), StoreError> {
        let (world, id) = (self.world, self.id);
        let loads = try_join4(
            store::load_fact(world, id),
            store::load_fact(world, id),
            store::load_fact(world, id),
            store::load_fact(world, id),
        );
        let (message, push, changes, stop) = loads.await?;
        let mut known = self.facts.borrow_mut();
        (known.message, known.push, known.changes, known.stop) = (message, push, changes, stop);
        Ok(())
    }

    /// A moment that is so far away.
    pub(crate) fn after(&self, duration: Duration) -> Timestamp {
        self.world.now().after(duration)
    }

    /// When Argo CD is asked again that has just failed or is not ready.
    pub(crate) fn soon(&self) -> Timestamp {
        self.after(self.watch.settings.limits.poll)
    }

    /// Waits for a moment or a nudge; whether it was a nudge.
    pub(crate) async fn wait(&self, moment: Timestamp) -> bool {
        let mut nudges = self.nudges.lock().await;
        within(self.world, deployment::until(moment, self.world.now()), nudges.next()).await.is_some()
    }

    /// Passes nudges on to those that follow the applications.
    pub(crate) async fn pass_nudges_on(&self) {
        let mut nudges = self.nudges.lock().await;
        while nudges.next().await.is_some() {
            self.nudge_all();
        }
    }

    /// Nobody follows the applications any further.
    pub(crate) fn stop(&self) {
        self.over.set(true);
        self.nudge_all();
    }

    fn nudge_all(&self) {
        for ear in self.ears.borrow().iter() {
            let _ = ear.unbounded_send(());
        }
    }

    /// Changes our fact and saves it, if it changed or was not saved yet.
    pub(crate) async fn save(&self, change: impl FnOnce(&mut WatchFact)) -> Result<(), StoreError> {
        // One after the other: following Argo CD and speaking would take back each other's part.
        let _turn = self.saving.lock().await;
        self.watch.lease.ensure(limits::WRITE).await?;
        let before = self.facts.borrow().watch.clone();
        let mut fact = before.clone().unwrap_or_default();
        change(&mut fact);
        if before.as_ref() == Some(&fact) && !self.unsaved.get() {
            return Ok(());
        }
        self.unsaved.set(true);
        self.facts.borrow_mut().watch = Some(fact.clone());
        store::save_fact(self.world, self.id, &fact).await?;
        self.unsaved.set(false);
        Ok(())
    }

    /// Saves the final state. People are told after it.
    pub(crate) async fn save_outcome(&self, Said { word, application }: Said) -> Result<(), StoreError> {
        // Two applications may end at the same moment.
        let _turn = self.saving.lock().await;
        // Of several targets each has its own deployment live.
        let is_live = matches!(word, LastWord::Live { .. }) && !self.facts.borrow().has_parts();
        let committed = self.facts.borrow().committed.clone().filter(|_| is_live);
        if let Some(CommittedFact { sha, commit, .. }) = committed {
            self.watch.lease.ensure(limits::WRITE).await?;
            let live = LiveVersion { id: self.id.clone(), sha };
            store::save_key(self.world, Live(&commit.target().target), &live).await?;
        }
        let outcome = OutcomeFact { at: self.world.now(), word, application };
        self.watch.lease.ensure(limits::WRITE).await?;
        // Once: another watch may have saved it, if the lease failed us.
        if store::load_fact::<OutcomeFact>(self.world, self.id).await?.is_none() {
            self.world.log(Line::new("last_word").of(self.id).with_json("word", &outcome.word));
            store::save_fact(self.world, self.id, &outcome).await?;
        }
        Ok(())
    }
}

/// The watch's journal: its part of the fact `watch`. From the commit on the watch alone edits the message, which is slack-command's until
/// then. If that message is not there (posted too long ago without an answer, deleted, its channel archived), the watch posts a new one. The
/// new one is then *the* message, because the watch's fact outranks the other.
impl<W: World> Journal for &Follower<'_, W> {
    const NOTES_CALLS: bool = false;

    fn ours(&self) -> Voice {
        self.facts.borrow().watch.as_ref().map(|watch| watch.voice.clone()).unwrap_or_default()
    }

    fn theirs(&self) -> Voice {
        self.facts.borrow().message.as_ref().map(|message| message.0.clone()).unwrap_or_default()
    }

    async fn save(&self, change: impl FnOnce(&mut Voice)) -> Result<(), StoreError> {
        Follower::save(self, |fact| change(&mut fact.voice)).await
    }

    /// Until we have a message of our own, slack-command may have written of one meanwhile. Nobody tells us, and we would speak at the same
    /// time as slack-command, or where no message is any more.
    async fn standing(&self, _: &Facts, _: bool) -> Result<Standing, StoreError> {
        if self.ours().place.is_none() {
            let message = store::load_fact(self.world, self.id).await?;
            if message != self.facts.borrow().message {
                self.facts.borrow_mut().message = message;
                return Ok(Standing::News);
            }
        }
        self.watch.lease.ensure(limits::SLACK_CALL).await?;
        Ok(Standing::Ours)
    }
}

/// Speaks from the commit on.
pub(crate) type WatchSpeaker<'f, 'w, W> = Speaker<'f, W, &'f Follower<'w, W>>;

impl<'w, W: World> Follower<'w, W> {
    pub(crate) fn speaker(&self) -> WatchSpeaker<'_, 'w, W> {
        Speaker::new(self.world, &self.watch.settings.slack, &self.watch.settings.limits, self.id, self)
    }

    /// Tells what the facts say now.
    pub(crate) async fn tell(&self, speaker: &WatchSpeaker<'_, '_, W>, last: bool) -> Option<Duration> {
        let facts = self.facts.borrow().clone();
        if !last && facts.outcome.is_some() {
            return None;
        }
        if let Some(whole) = facts.request.as_ref().and_then(|request| request.origin.part_of()) {
            return self.tell_whole(whole, last).await;
        }
        let kind = if last { Kind::Last } else { Kind::Progress };
        speaker.tell(&facts, &message::after_commit(self.id, &facts), kind).await
    }
}
