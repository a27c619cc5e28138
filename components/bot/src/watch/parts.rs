//! A deployment of several targets in a watch. Each target is followed with a deployment of its own, which says nothing itself:
//! what is said of all stands in one message.

use super::follower::{Ended, Follower, WatchSpeaker};
use crate::speak::Kind;
use crate::world::World;
use domain::deployment::{Facts, LastWord, Said};
use domain::limits;
use domain::message;
use domain::names::DeploymentId;
use futures::channel::mpsc;
use futures::future::{Either, select, try_join_all};
use futures::stream::StreamExt;
use std::pin::pin;
use std::time::Duration;
use store::StoreError;

impl<W: World> Follower<'_, W> {
    /// Tells what the parts say, until all of them have said their last word.
    pub(super) async fn follow_parts(&self, speaker: &WatchSpeaker<'_, '_, W>) -> Result<Ended, StoreError> {
        let (ear, mut news) = mpsc::unbounded();
        self.watch.wholes.borrow_mut().insert(self.id.clone(), ear);
        loop {
            if self.facts.borrow().end_is_told() {
                store::leave_flight(self.world, self.id).await?;
                return Ok(Ended::NothingLeft);
            }
            let parts = self.parts().await?;
            let said = said(&parts);
            if let Some(said) = said.filter(|_| self.facts.borrow().outcome.is_none()) {
                self.save_outcome(said).await?;
                self.reload().await?;
            }
            let (facts, last) = (self.facts.borrow().clone(), self.facts.borrow().outcome.is_some());
            let words = message::of_parts(self.id, &facts, &parts);
            let kind = if last { Kind::Last } else { Kind::Progress };
            let again = speaker.tell(&facts, &words, kind).await;
            if self.watch.closing.get() {
                return Ok(Ended::GoesOn);
            }
            if last && again.is_none() {
                self.reload().await?;
                continue;
            }
            // The facts of all are read for each message, so not too often.
            let wait = again.unwrap_or(PARTS_AGAIN).max(self.watch.settings.limits.edit_gap);
            self.wait_for_parts(&mut news, wait, again.is_none()).await;
            self.reload().await?;
        }
    }

    /// Waits for news, or for so long.
    async fn wait_for_parts(&self, news: &mut mpsc::UnboundedReceiver<()>, wait: Duration, wakes: bool) {
        let moment = self.after(wait);
        let nudged = self.wait(moment);
        if !wakes {
            nudged.await;
            return;
        }
        match select(pin!(nudged), news.next()).await {
            Either::Left(_) => {}
            // What comes right after it is told with it.
            Either::Right(_) => self.world.sleep(self.watch.settings.limits.edit_gap).await,
        }
        while news.try_recv().is_ok() {}
    }

    async fn parts(&self) -> Result<Vec<Facts>, StoreError> {
        let ids = self.facts.borrow().commit.as_ref().map(|commit| commit.parts(self.id)).unwrap_or_default();
        try_join_all(ids.iter().map(|id| store::load(self.world, id))).await
    }

    /// A part tells the whole that there is something new, and where its own message stands.
    pub(super) async fn tell_whole(&self, whole: &DeploymentId, last: bool) -> Option<Duration> {
        if last {
            let place = store::load(self.world, whole).await.ok().and_then(|facts| facts.place().cloned());
            let told = self.save(|fact| {
                fact.voice.told_end = true;
                fact.voice.place = place.or(fact.voice.place.take());
            });
            if told.await.is_err() {
                return Some(limits::SPEAK_AGAIN);
            }
        }
        if let Some(ear) = self.watch.wholes.borrow().get(whole) {
            let _ = ear.unbounded_send(());
        }
        None
    }
}

/// How often the parts are looked at without news of them.
const PARTS_AGAIN: Duration = Duration::from_secs(10);

/// The last word on all, once each part has its own: that of the first one that is not live.
fn said(parts: &[Facts]) -> Option<Said> {
    let words: Option<Vec<LastWord>> =
        parts.iter().map(|part| part.outcome.as_ref().map(|end| end.word.clone())).collect();
    let words = words?;
    let is_live = |word: &&LastWord| matches!(word, LastWord::Live { .. });
    let word = words.iter().find(|word| !is_live(word)).or(words.first())?.clone();
    Some(Said { word, application: None })
}
