//! The watch's voice: edits the one message of a deployment from the commit on. Save, then speak.
//!
//! The message is slack-command's until then. If it is not there (still being posted for too long, deleted, the channel archived), the
//! watch posts a new one, which from then on is *the* message, because the watch's own fact outranks the other.

use super::follow::{CALL, Follower, LOST};
use crate::log::Line;
use crate::world::World;
use clients::slack;
use clients::slack::{Audience, Original, SlackError};
use domain::deployment;
use domain::deployment::{Facts, MessageFact, Place, RequestFact, words_hash};
use domain::message;
use domain::message::Message;
use std::cell::Cell;
use std::time::Duration;
use store::{Speech, StoreError, Urgency};

/// Final words that could not be told for this long are given up, with an error in the log.
const GIVE_UP: Duration = Duration::from_secs(24 * 3600);

/// When what failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// How many posts without an answer are borne.
const MOST_UNSURE_POSTS: u8 = 2;

pub(crate) struct Voice<'f, 'w, W> {
    follower: &'f Follower<'w, W>,
    /// When the last edit was made, so that one message is not edited too often.
    edited: Cell<Option<Duration>>,
}

/// What came of telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// The words are told, or there is nobody to tell.
    Done,
    /// Not this time: to be tried again after so long. Whoever waits for that can be woken by news that are worth more.
    NotYet(Duration),
}

/// What came of one attempt.
enum Told {
    /// In this message.
    At(Place),
    ByResponseUrl,
    NotYet(Duration),
    /// These words never; final ones with an error in the log.
    Never,
}

impl<'f, 'w, W: World> Voice<'f, 'w, W> {
    pub(crate) fn new(follower: &'f Follower<'w, W>) -> Self {
        Self { follower, edited: Cell::new(None) }
    }

    fn facts(&self) -> Facts {
        self.follower.facts.borrow().clone()
    }

    /// Tells what the facts say now. `last`: these are the final words.
    pub(crate) async fn tell(&self, last: bool) -> Result<Said, StoreError> {
        let world = self.follower.world;
        let facts = self.facts();
        let watch = facts.watch.clone().unwrap_or_default();
        if watch.voice.told_end || (!last && facts.outcome.is_some()) {
            return Ok(Said::Done);
        }
        let words = message::after_commit(self.follower.id, &facts);
        let hash = words_hash(&format!("{}{}", words.text, words.blocks));
        if watch.voice.told == Some(hash) && !last {
            return Ok(Said::Done);
        }
        if !last && let Some(edited) = self.edited.get() {
            let gap = Duration::from_millis(self.follower.watch.settings.tempo.edit_gap);
            let left = gap.saturating_sub(world.elapsed().saturating_sub(edited));
            if !left.is_zero() {
                return Ok(Said::NotYet(left));
            }
        }
        // If we die before it is saved that they were told, the same words are told once more, which does no harm.
        let begun = world.now();
        let mut told = self.speak(&facts, &words, last).await?;
        if last && let Told::At(place) = &told {
            let theirs = facts.message.as_ref().and_then(|message| message.0.unsure_edit);
            let unsure = self.facts().watch.and_then(|watch| watch.voice.unsure_edit).max(theirs);
            if let Some(late) = unsure.map(|unsure| unsure.after(slack::LATE_EDIT)).filter(|late| begun < *late) {
                // What was given up may land after the final words: when it can no more, they are told once more, in the same place.
                let place = place.clone();
                self.follower.save(|fact| fact.voice.place = Some(place)).await?;
                world.sleep(deployment::until(late, world.now())).await;
                told = self.speak(&self.facts(), &words, last).await?;
            }
        }
        if let (true, Told::At(place)) = (last, &told)
            && !self.call(&facts, place).await?
        {
            return Ok(Said::NotYet(Duration::ZERO));
        }
        if matches!(told, Told::At(_)) {
            self.edited.set(Some(world.elapsed()));
        }
        let give_up = facts.outcome.as_ref().is_some_and(|outcome| world.now().since(outcome.at) >= GIVE_UP);
        let (told_hash, told_end) = match &told {
            Told::At(_) | Told::ByResponseUrl => (Some(hash), last),
            Told::NotYet(_) => (watch.voice.told, last && give_up),
            Told::Never => (Some(hash), last),
        };
        if told_end && matches!(told, Told::NotYet(_) | Told::Never) {
            world.log(Line::error("nobody_told").of(self.follower.id));
        }
        let said = match told {
            Told::NotYet(again) if !told_end => Said::NotYet(again),
            _ => Said::Done,
        };
        self.follower
            .save(|fact| {
                fact.voice.told = told_hash;
                fact.voice.told_end = told_end;
                if let Told::At(place) = told {
                    fact.voice.place = Some(place);
                }
            })
            .await?;
        Ok(said)
    }

    /// Calls the asker to a failure, once: an edit notifies nobody. Not done: the watch closes, and the next one goes on.
    async fn call(&self, facts: &Facts, place: &Place) -> Result<bool, StoreError> {
        let world = self.follower.world;
        let Some(words) = message::call_asker(facts) else { return Ok(true) };
        if self.facts().watch.is_some_and(|watch| watch.voice.called) {
            return Ok(true);
        }
        let (speech, minute) = (Speech::Post(&place.channel), self.follower.watch.settings.tempo.minute);
        while store::may_speak(world, minute, speech, Urgency::First).await.is_err() {
            if self.follower.watch.closing.get() {
                return Ok(false);
            }
            world.sleep(AGAIN).await;
        }
        // Saved first, so at most once: whoever dies in between has edited the message all the same.
        self.follower.save(|fact| fact.voice.called = true).await?;
        self.still_ours().await?;
        if let Err(error) =
            slack::post(world, &self.follower.watch.settings.slack, &place.channel, &words, Some(&place.ts)).await
        {
            self.failed(error, speech).await?;
        }
        Ok(true)
    }

    async fn speak(&self, facts: &Facts, words: &Message, last: bool) -> Result<Told, StoreError> {
        let (world, id) = (self.follower.world, self.follower.id);
        let slack = &self.follower.watch.settings.slack;
        let Some(request) = &facts.request else { return Ok(Told::Never) };
        let watch = facts.watch.clone().unwrap_or_default();
        let theirs = facts.message.as_ref().map(|message| message.0.clone()).unwrap_or_default();
        let posting = Duration::from_millis(self.follower.watch.settings.tempo.posting);
        if watch.voice.place.is_none() && theirs.speaking.is_some_and(|since| world.now().since(since) < posting) {
            // A call of slack-command's is on its way: read again whether it has arrived.
            let wait = if self.arrived(&facts.message).await? { Duration::ZERO } else { Duration::from_millis(100) };
            return Ok(Told::NotYet(wait));
        }
        let may_post = watch.voice.may_write(last) && (theirs.may_write(last) || watch.voice.place.is_some());
        let no_answer = |voice: &deployment::Voice| voice.lost.as_deref() == Some(deployment::Voice::NO_ANSWER);
        if last && facts.place().is_none() && (no_answer(&watch.voice) || no_answer(&theirs)) {
            if self.arrived(&facts.message).await? {
                return Ok(Told::NotYet(Duration::ZERO));
            }
            // One more post may be one more message that nobody edits: the asker alone is told, as long as Slack takes that.
            match self.whisper(request, words, last).await? {
                Told::Never => {}
                told => return Ok(told),
            }
        }
        if may_post {
            let urgency = match (last, watch.voice.told) {
                (true, _) => Urgency::Final,
                (false, None) => Urgency::First,
                (false, Some(_)) => Urgency::Progress,
            };
            let minute = self.follower.watch.settings.tempo.minute;
            let post = Speech::Post(&request.channel);
            let speech = if facts.place().is_some() { Speech::Edit } else { post };
            if let Err(again) = store::may_speak(world, minute, speech, urgency).await {
                return Ok(Told::NotYet(again));
            }
            if watch.voice.place.is_none() && self.arrived(&facts.message).await? {
                return Ok(Told::NotYet(Duration::ZERO));
            }
            if let Some(place) = facts.place() {
                self.still_ours().await?;
                let edit = slack::update(world, slack, &place.channel, &place.ts, words);
                match self.follower.watch.words.make(world, id.clone(), edit).await {
                    // Ours from now on: a late write of the other voice must not lose the message.
                    Ok(()) => return Ok(Told::At(place.clone())),
                    Err(SlackError::Gone(why)) => {
                        world.log(Line::new("message_gone").of(id).with("slack", why.as_str()));
                        if watch.voice.replaced && !last {
                            // So as not to fill a channel in which nothing can be edited.
                            return Ok(Told::Never);
                        }
                        self.follower.save(|fact| fact.voice.replaced = true).await?;
                    }
                    Err(error) => {
                        if error.is_unsure() {
                            self.follower.save(|fact| fact.voice.unsure_edit = Some(world.now())).await?;
                        }
                        return self.failed(error, Speech::Edit).await;
                    }
                }
            }
            self.still_ours().await?;
            match slack::post(world, slack, &request.channel, words, None).await {
                Ok(ts) => return Ok(Told::At(Place { channel: request.channel.clone(), ts })),
                Err(SlackError::Gone(why)) => {
                    world.log(Line::new("message_gone").of(id).with("slack", why.as_str()));
                    self.follower.save(|fact| fact.voice.lost = Some(why)).await?;
                }
                Err(error) => {
                    if error.is_unsure() {
                        // It may be there all the same. One more try, then no more messages that nobody would edit.
                        self.follower
                            .save(|fact| {
                                fact.voice.unsure_posts = fact.voice.unsure_posts.saturating_add(1);
                                if fact.voice.unsure_posts >= MOST_UNSURE_POSTS {
                                    fact.voice.lost = Some(deployment::Voice::NO_ANSWER.to_owned());
                                }
                            })
                            .await?;
                    }
                    return self.failed(error, post).await;
                }
            }
        }
        self.whisper(request, words, last).await
    }

    /// Whether slack-command has written of the message since `known` was read. It tells nobody, and whoever waited for a turn would
    /// speak at the same time as slack-command, or where no message is any more.
    async fn arrived(&self, known: &Option<MessageFact>) -> Result<bool, StoreError> {
        let message = store::load_fact(self.follower.world, self.follower.id).await?;
        let arrived = message != *known;
        self.follower.facts.borrow_mut().message = message;
        Ok(arrived)
    }

    /// To be asked right before a call: whoever slept may have been replaced, and would put old words over newer ones.
    async fn still_ours(&self) -> Result<(), StoreError> {
        self.follower.watch.lease.ensure(CALL).await.map_err(|_| LOST)
    }

    /// To the asker alone, where there is no message.
    async fn whisper(&self, request: &RequestFact, words: &Message, last: bool) -> Result<Told, StoreError> {
        let (world, id) = (self.follower.world, self.follower.id);
        let facts = self.facts();
        let theirs = facts.message.map(|message| message.0.response_url_uses).unwrap_or_default();
        let used = theirs.saturating_add(facts.watch.map(|watch| watch.voice.response_url_uses).unwrap_or_default());
        if !last && used >= 3 {
            // Slack takes five; two are kept for the final words, because one may be lost on the way. Those are tried until Slack itself
            // says that they were used up: not every try that is counted has reached it.
            return Ok(Told::Never);
        }
        // Counted first: an answer that is lost is a use all the same.
        self.follower
            .save(|fact| fact.voice.response_url_uses = fact.voice.response_url_uses.saturating_add(1))
            .await?;
        match slack::respond(world, &request.response_url, words, Audience::Asker, Original::Keep).await {
            Ok(()) => Ok(Told::ByResponseUrl),
            Err(SlackError::Gone(_)) => Ok(Told::Never),
            Err(SlackError::Refused(fault)) => {
                world.log(Line::error("slack").of(id).with_json("fault", &fault));
                Ok(Told::Never)
            }
            Err(error) => self.failed(error, Speech::Post(&request.channel)).await,
        }
    }

    /// A failure that passes is waited out; one that does not is said to the operator, and the `response_url` needs no token.
    async fn failed(&self, error: SlackError, speech: Speech<'_>) -> Result<Told, StoreError> {
        let (world, id) = (self.follower.world, self.follower.id);
        match error {
            SlackError::RateLimited(wait) => {
                world.log(Line::new("slack_rate_limited").of(id).with("seconds", wait.as_secs()));
                store::quiet_slack(world, speech, wait).await;
                // Slack may say "after 0 seconds".
                Ok(Told::NotYet(wait.max(AGAIN)))
            }
            SlackError::Unreachable(fault) => {
                world.log(Line::error("slack").of(id).with_json("fault", &fault));
                Ok(Told::NotYet(AGAIN))
            }
            SlackError::Refused(fault) => {
                world.log(Line::error("slack").of(id).with_json("fault", &fault));
                self.follower.save(|fact| fact.voice.lost = Some("refused".to_owned())).await?;
                Ok(Told::NotYet(AGAIN))
            }
            SlackError::Gone(_) => Ok(Told::Never),
        }
    }
}
