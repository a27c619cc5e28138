//! What people pushed to a file of an app, announced once in the channel where that app is deployed. Nothing
//! is ever synced because of a push.
//!
//! Save first, then post. A watch that dies in between leaves "perhaps posted", and the next one waits before
//! it posts again. What cannot be posted now is tried as long as this watch lasts; after that `/healthz`
//! wakes another. After a day a push is not announced.

use super::Watch;
use super::follower::{Ended, Nudges};
use crate::world::{Line, World, within};
use clients::slack::{self, SlackError};
use domain::deployment::RequestFact;
use domain::fault::Cause;
use domain::limits;
use domain::message::{self, Wording};
use domain::names::{CommitSha, SlackChannel};
use domain::push::{NEWS, PushNote, Touched};
use futures::stream::StreamExt;
use std::collections::VecDeque;
use std::time::Duration;
use store::{Live, PushTold, Pushed, Speech, StoreError, Telling, Urgency};

/// How often a watch tries. Then it may end: the next request to `/healthz` wakes another.
const TRIES: u8 = 5;

/// Tells it, if that can be done.
pub(crate) async fn tell_push<W: World>(watch: &Watch<'_, W>, sha: &CommitSha, mut nudges: Nudges) -> Ended {
    let teller = Teller { watch, sha };
    for _ in 0..TRIES {
        match teller.run().await {
            Ok(true) => return Ended::NothingLeft,
            Ok(false) => {}
            Err(error) => {
                watch.world.log(teller.line("not_announced").with("cause", error.why()));
                if error.is_unreadable() {
                    return Ended::NothingLeft;
                }
            }
        }
        within(watch.world, watch.settings.limits.look_again, nudges.next()).await;
        if watch.closing.get() {
            break;
        }
    }
    Ended::NothingLeft
}

/// After so many posts without an answer, each of which may be a message: how long after the push there may be another one.
fn patience(minute: Duration, unsure: u8) -> Duration {
    match unsure {
        0 => Duration::ZERO,
        unsure => minute.saturating_mul(4_u32.saturating_pow(u32::from(unsure).saturating_sub(1))),
    }
}

struct Teller<'a, W> {
    watch: &'a Watch<'a, W>,
    sha: &'a CommitSha,
}

impl<W: World> Teller<'_, W> {
    /// Whether nothing is left to do for now.
    async fn run(&self) -> Result<bool, StoreError> {
        match store::load_key(self.watch.world, Pushed(self.sha)).await {
            // A build that can read the note finds it when the store is looked through; here the note would
            // only keep the watch busy.
            Err(error) if error.is_unreadable() => {
                self.watch.world.log(self.line("not_announced").with("cause", error.why()));
            }
            Err(error) => return Err(error),
            Ok(Some(note)) => {
                if !self.tell_all(&note).await? {
                    return Ok(false);
                }
                self.still_ours().await?;
                store::delete_key(self.watch.world, Pushed(self.sha)).await?;
                store::note_is_gone(self.watch.world, self.sha).await?;
            }
            Ok(None) if store::note_missing(self.watch.world, self.sha).await? < limits::MISSING_NOTE => {
                return Ok(true);
            }
            Ok(None) => {}
        }
        self.still_ours().await?;
        store::remove_push(self.watch.world, self.sha).await?;
        Ok(true)
    }

    /// Whether each channel has its announcement, or gets none any more.
    async fn tell_all(&self, note: &PushNote) -> Result<bool, StoreError> {
        if self.watch.world.now().since(note.at) >= NEWS {
            self.watch.world.log(self.line("nobody_told").with("targets", names(&note.touched).join(" ")));
            return Ok(true);
        }
        // Each with the channels in which it may be announced, best first.
        let mut untold: Vec<(&Touched, VecDeque<SlackChannel>)> = Vec::new();
        for touched in &note.touched {
            untold.push((touched, self.channels(touched).await?));
        }
        let mut later = false;
        while let Some(channel) = untold.iter().find_map(|(_, channels)| channels.front().cloned()) {
            // There may be many channels, and a deploy must not wait for them.
            if self.watch.closing.get() {
                return Ok(false);
            }
            let here: Vec<_>;
            (here, untold) = untold.into_iter().partition(|(_, channels)| channels.front() == Some(&channel));
            let touched: Vec<&Touched> = here.iter().map(|(touched, _)| *touched).collect();
            match self.tell(note, &channel, &touched).await? {
                PushTold::Yes => {}
                PushTold::No | PushTold::Perhaps(_) => later = true,
                PushTold::Never => untold.extend(here.into_iter().map(|(touched, mut channels)| {
                    channels.pop_front();
                    (touched, channels)
                })),
            }
        }
        if later {
            return Ok(false);
        }
        let unheard = names(untold.into_iter().map(|(touched, _)| touched));
        if !unheard.is_empty() {
            self.watch.world.log(self.line("nobody_told").with("targets", unheard.join(" ")));
        }
        Ok(true)
    }

    /// Where the target is deployed from, and where it may be.
    async fn channels(&self, touched: &Touched) -> Result<VecDeque<SlackChannel>, StoreError> {
        let mut channels = VecDeque::new();
        if let Some(live) = readable(store::load_key(self.watch.world, Live(&touched.managed.target)).await)? {
            let request = readable(store::load_fact::<RequestFact>(self.watch.world, &live.id).await)?;
            channels.extend(request.map(|request| request.channel));
        }
        channels.extend(touched.managed.channel.clone().filter(|channel| !channels.contains(channel)));
        Ok(channels)
    }

    /// What came of it in one channel.
    async fn tell(
        &self,
        note: &PushNote,
        channel: &SlackChannel,
        touched: &[&Touched],
    ) -> Result<PushTold, StoreError> {
        let (world, settings) = (self.watch.world, self.watch.settings);
        let telling = Telling { sha: self.sha, channel, targets: &names(touched.iter().copied()) };
        let before = store::push_told(world, &telling).await?;
        let unsure = match before {
            PushTold::No => 0,
            PushTold::Perhaps(times) => times,
            PushTold::Yes | PushTold::Never => return Ok(before),
        };
        let speech = Speech::Post(channel);
        if world.now().since(note.at) < patience(settings.limits.minute, unsure) {
            return Ok(before);
        }
        if store::may_speak(world, settings.limits.minute, speech, Urgency::First).await.is_err() {
            return Ok(before);
        }
        let perhaps = PushTold::Perhaps(unsure.saturating_add(1));
        store::mark_push_told(world, &telling, perhaps).await?;
        self.still_ours().await?;
        let told = match slack::post(
            world,
            &settings.slack,
            channel,
            &message::pushed(note, touched).worded(&Wording::default()),
            None,
        )
        .await
        {
            Ok(_) => {
                let line = Line::new("push_announced").with("commit", self.sha.as_str());
                world.log(line.with("channel", channel.as_str()));
                PushTold::Yes
            }
            Err(SlackError::Gone(why)) => {
                world.log(self.line("not_announced").with("slack", why));
                PushTold::Never
            }
            Err(SlackError::Refused(fault)) => {
                world.log(self.line("slack").with_json("fault", &fault));
                match fault.cause {
                    // A token that was replaced: whoever runs us mends that.
                    Cause::Unauthorized | Cause::Forbidden { .. } | Cause::Status { .. } => before,
                    _ => PushTold::Never,
                }
            }
            Err(SlackError::RateLimited(wait)) => {
                store::quiet_slack(world, speech, wait).await;
                before
            }
            Err(error) => {
                if let SlackError::Unreachable(fault) = &error {
                    world.log(self.line("slack").with_json("fault", fault));
                }
                if error.is_unsure() { perhaps } else { before }
            }
        };
        store::mark_push_told(world, &telling, told).await?;
        Ok(told)
    }

    /// To be asked right before whatever others see.
    async fn still_ours(&self) -> Result<(), StoreError> {
        self.watch.lease.ensure(limits::SLACK_CALL).await.map_err(StoreError::from)
    }

    fn line(&self, event: &str) -> Line {
        Line::error(event).with("commit", self.sha.as_str())
    }
}

/// What this build cannot read counts as absent.
fn readable<T>(read: Result<Option<T>, StoreError>) -> Result<Option<T>, StoreError> {
    read.or_else(|error| if error.is_unreadable() { Ok(None) } else { Err(error) })
}

fn names<'t>(touched: impl IntoIterator<Item = &'t Touched>) -> Vec<String> {
    touched.into_iter().map(|touched| touched.managed.target.to_string()).collect()
}
