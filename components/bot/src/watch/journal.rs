//! The watch's journal: its part of the fact `watch`. From the commit on the watch alone edits the message, which is slack-command's until
//! then. If that message is not there (posted too long ago without an answer, deleted, its channel archived), the watch posts a new one. The
//! new one is then *the* message, because the watch's fact outranks the other.

use super::follower::Follower;
use crate::speak::{CALL, Journal, Said, Speaker, Standing};
use crate::world::World;
use domain::deployment::{Facts, Voice};
use domain::message;
use store::StoreError;

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
        self.watch.lease.ensure(CALL).await?;
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
    pub(crate) async fn tell(&self, speaker: &WatchSpeaker<'_, '_, W>, last: bool) -> Said {
        let facts = self.facts.borrow().clone();
        if !last && facts.outcome.is_some() {
            return Said::Done;
        }
        speaker.tell(&facts, &message::after_commit(self.id, &facts), last).await
    }
}
