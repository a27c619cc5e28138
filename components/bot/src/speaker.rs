//! slack-command's voice: posts the one message of a deployment and edits it until there is a commit. Save, then speak.
//!
//! Every call is announced in the fact `message` before it is made (`speaking`), so that the watch, which takes over after the
//! commit, never edits while one of our calls may still be on its way.

use super::deploy::WRITE;
use crate::log::Line;
use crate::settings::SlackCommandSettings;
use crate::world::World;
use clients::slack;
use clients::slack::{Audience, Original, SlackError};
use domain::deployment::{Facts, MessageFact, Place, Voice, until, words_hash};
use domain::message;
use domain::names::DeploymentId;
use std::cell::{Cell, RefCell};
use std::time::Duration;
use store::Calls;
use store::{Lease, Speech, Urgency};

/// The voice of one deployment.
pub(crate) struct Speaker<'a, W> {
    world: &'a W,
    settings: &'a SlackCommandSettings,
    id: &'a DeploymentId,
    lease: &'a Lease<'a, W>,
    calls: &'a Calls<()>,
    voice: RefCell<Voice>,
    /// What we know of the voice is not in the store yet.
    unsaved: Cell<bool>,
}

impl<'a, W: World> Speaker<'a, W> {
    pub(crate) fn new(
        world: &'a W,
        settings: &'a SlackCommandSettings,
        id: &'a DeploymentId,
        lease: &'a Lease<'a, W>,
        calls: &'a Calls<()>,
        facts: &Facts,
    ) -> Self {
        let mut voice = facts.message.as_ref().map(|message| message.0.clone()).unwrap_or_default();
        // Ours alone, and we hold the lease: whoever spoke before us is gone.
        voice.speaking = None;
        // Approved, say: it goes on in the message that it was asked for in.
        let before = facts.request.as_ref().and_then(|request| request.origin.place().cloned());
        voice.place = voice.place.or(before);
        Self { world, settings, id, lease, calls, voice: RefCell::new(voice), unsaved: Cell::new(false) }
    }

    /// Told, and saved that it was.
    pub(crate) fn end_is_told(&self) -> bool {
        self.voice.borrow().told_end && !self.unsaved.get()
    }

    async fn save(&self, change: impl FnOnce(&mut Voice)) -> Result<(), store::StoreError> {
        let voice = {
            let mut voice = self.voice.borrow_mut();
            change(&mut voice);
            voice.clone()
        };
        self.unsaved.set(true);
        // Whoever slept for long may have been replaced, and what the other has told since is not to be taken back.
        self.lease.ensure(WRITE).await.map_err(|_| LOST)?;
        store::save_fact(self.world, self.id, &MessageFact(voice)).await?;
        self.unsaved.set(false);
        Ok(())
    }

    /// Tells what the facts say now. The same words are not told twice. `last`: these are the final words. Says whether they have to wait
    /// because others speak: then they can be told later.
    pub(crate) async fn tell(&self, facts: &Facts, note: Option<message::Note>, last: bool) -> bool {
        let Some(request) = &facts.request else { return false };
        let words = message::before_commit(self.id, facts, note.as_ref());
        let hash = words_hash(&format!("{}{}", words.text, words.blocks));
        let before = self.voice.borrow().clone();
        if before.told_end && self.unsaved.get() {
            // Only that it was told is not saved yet.
            let _ = self.save(|_| {}).await;
            return false;
        }
        if before.told_end || (before.told == Some(hash) && !last) {
            return false;
        }
        if last && self.went_on(facts).await {
            let _ = self.save(|voice| voice.told_end = true).await;
            return false;
        }
        let speech = if before.place.is_some() { Speech::Edit } else { Speech::Post(&request.channel) };
        let urgency = if last { Urgency::Final } else { Urgency::First };
        let minute = self.settings.tempo.minute;
        if before.may_write(last) && store::may_speak(self.world, minute, speech, urgency).await.is_err() {
            return true;
        }
        if self.save(|voice| voice.speaking = Some(self.world.now())).await.is_err() {
            return false;
        }
        let mut told = match last && self.went_on(facts).await {
            true => Told::Elsewhere,
            false => self.speak(request, &before, &words, last).await,
        };
        let unsure = self.voice.borrow().unsure_edit;
        if let (true, Told::At(place), Some(unsure)) = (last, &told, unsure) {
            // What was given up may land after the final words: when it can no more, they are told once more.
            self.world.sleep(until(unsure.after(slack::LATE_EDIT), self.world.now())).await;
            if !self.went_on(facts).await {
                let now = Voice { place: Some(place.clone()), ..before };
                told = self.speak(request, &now, &words, last).await;
            }
        }
        if let (true, Told::At(place)) = (last, &told) {
            self.call(facts, place).await;
        }
        let ended = facts.end.as_ref().map_or(request.at, |end| end.at);
        if last && matches!(told, Told::No) && self.world.now().since(ended) >= GIVE_UP {
            told = Told::Never;
        }
        if last && matches!(told, Told::Never) {
            self.world.log(Line::error("nobody_told").of(self.id));
        }
        let saved = self
            .save(|voice| {
                voice.speaking = None;
                match told {
                    Told::At(place) => {
                        voice.place = Some(place);
                        voice.told = Some(hash);
                        voice.told_end = last;
                    }
                    Told::ByResponseUrl => {
                        voice.response_url_uses = voice.response_url_uses.saturating_add(1);
                        voice.told = Some(hash);
                        voice.told_end = last;
                    }
                    // Later words, or the next one to resume, try again.
                    Told::No => {}
                    Told::Elsewhere | Told::Never => voice.told_end = last,
                }
            })
            .await;
        if saved.is_err() {
            self.world.log(Line::error("not_saved").of(self.id).with("fact", "message"));
        }
        false
    }

    /// Whether it was approved meanwhile: then these words would come over those of the deployment as which it goes on.
    async fn went_on(&self, facts: &Facts) -> bool {
        if !facts.waits_for_approval() {
            return false;
        }
        let approvals = store::load_fact(self.world, self.id).await.ok().flatten();
        Facts { approvals, ..facts.clone() }.is_approved()
    }

    /// Calls people to the end, once, if anybody has to come: an edit notifies nobody.
    async fn call(&self, facts: &Facts, place: &Place) {
        let words = message::call_asker(facts).or_else(|| message::call_approvers(facts));
        let Some(words) = words.filter(|_| !self.voice.borrow().called) else { return };
        let (speech, minute) = (Speech::Post(&place.channel), self.settings.tempo.minute);
        for _ in 0..CALL_TRIES {
            if store::may_speak(self.world, minute, speech, Urgency::First).await.is_ok() {
                break;
            }
            self.world.sleep(Duration::from_secs(1)).await;
        }
        // Saved first, so at most once: whoever dies in between has written the message all the same.
        if self.save(|voice| voice.called = true).await.is_err() || self.lease.ensure(CALL).await.is_err() {
            return;
        }
        if let Err(error) = slack::post(self.world, &self.settings.slack, &place.channel, &words, Some(&place.ts)).await
        {
            self.failed(error, speech, false).await;
        }
    }

    fn gone(&self, why: &str) {
        self.world.log(Line::new("message_gone").of(self.id).with("slack", why));
    }

    /// A call that failed: not told this time, or (`None`) another way is left.
    async fn failed(&self, error: SlackError, speech: Speech<'_>, last: bool) -> Option<Told> {
        match error {
            SlackError::RateLimited(wait) => {
                self.world.log(Line::new("slack_rate_limited").of(self.id).with("seconds", wait.as_secs()));
                store::quiet_slack(self.world, speech, wait).await;
                if last {
                    self.world.sleep(wait.min(Duration::from_secs(60))).await;
                }
                Some(Told::No)
            }
            SlackError::Unreachable(fault) => {
                self.world.log(Line::error("slack").of(self.id).with_json("fault", &fault));
                Some(Told::No)
            }
            SlackError::Refused(fault) => {
                self.world.log(Line::error("slack").of(self.id).with_json("fault", &fault));
                self.voice.borrow_mut().lost = Some("refused".to_owned());
                None
            }
            SlackError::Gone(why) => {
                self.gone(&why);
                None
            }
        }
    }

    async fn speak(
        &self,
        request: &domain::deployment::RequestFact,
        before: &Voice,
        words: &message::Message,
        last: bool,
    ) -> Told {
        let (http, slack) = (self.world, &self.settings.slack);
        if let Some(place) = before.place.as_ref().filter(|_| before.may_write(last)) {
            if self.lease.ensure(CALL).await.is_err() {
                return Told::No;
            }
            let edit = slack::update(http, slack, &place.channel, &place.ts, words);
            match self.calls.make(self.world, (), edit).await {
                Ok(()) => return Told::At(place.clone()),
                // Somebody deleted it, say: one new message takes its place.
                Err(SlackError::Gone(why)) => {
                    self.gone(&why);
                    if before.replaced && !last {
                        // So as not to fill a channel in which nothing can be edited.
                        return Told::No;
                    }
                    self.voice.borrow_mut().replaced = true;
                }
                Err(error) => {
                    if error.is_unsure() {
                        self.voice.borrow_mut().unsure_edit = Some(self.world.now());
                    }
                    if let Some(told) = self.failed(error, Speech::Edit, last).await {
                        return told;
                    }
                }
            }
        }
        let no_answer = self.voice.borrow().lost.as_deref() == Some(Voice::NO_ANSWER);
        if last && no_answer && before.place.is_none() && before.response_url_uses < 5 {
            // One more post may be one more message that nobody edits: the asker alone is told, as long as Slack takes that.
            match slack::respond(http, &request.response_url, words, Audience::Asker, Original::Keep).await {
                Ok(()) => return Told::ByResponseUrl,
                Err(SlackError::Gone(_)) => {}
                Err(_) => return Told::No,
            }
        }
        let may_post = self.voice.borrow().may_write(last);
        if may_post {
            if self.lease.ensure(CALL).await.is_err() {
                return Told::No;
            }
            let post = slack::post(http, slack, &request.channel, words, None);
            match self.calls.make(self.world, (), post).await {
                Ok(ts) => return Told::At(Place { channel: request.channel.clone(), ts }),
                Err(SlackError::Gone(why)) => {
                    self.gone(&why);
                    self.voice.borrow_mut().lost = Some(why);
                }
                Err(error) => {
                    if error.is_unsure() {
                        // It may be there all the same. One more try, then no more messages that nobody would edit.
                        let mut voice = self.voice.borrow_mut();
                        voice.unsure_posts = voice.unsure_posts.saturating_add(1);
                        if voice.unsure_posts >= MOST_UNSURE_POSTS {
                            voice.lost = Some(Voice::NO_ANSWER.to_owned());
                        }
                    }
                    if let Some(told) = self.failed(error, Speech::Post(&request.channel), last).await {
                        return told;
                    }
                }
            }
        }
        // No message of ours there: the response_url reaches the asker in any channel, five times; two are kept for the end.
        if before.response_url_uses >= if last { 5 } else { 3 } {
            return if last { Told::Never } else { Told::No };
        }
        match slack::respond(http, &request.response_url, words, Audience::Asker, Original::Keep).await {
            Ok(()) => Told::ByResponseUrl,
            Err(SlackError::Gone(_)) if last => Told::Never,
            Err(_) => Told::No,
        }
    }
}

/// What a call to Slack may take: the lease must hold this long before it is made, or old words may come over newer ones.
const CALL: Duration = Duration::from_secs(5);
/// How many seconds a call to people waits for its turn; then it is made all the same, and Slack says if it is too much.
const CALL_TRIES: u32 = 60;
const LOST: store::StoreError = store::StoreError::LeaseLost;

/// How many posts without an answer are borne.
const MOST_UNSURE_POSTS: u8 = 2;

/// Final words that could not be told for this long are given up, with an error in the log.
const GIVE_UP: Duration = Duration::from_secs(24 * 3600);

/// What came of it.
enum Told {
    /// In this message.
    At(Place),
    /// Through the `response_url`.
    ByResponseUrl,
    /// Not this time.
    No,
    /// It goes on as another deployment, and the message with it.
    Elsewhere,
    /// Not at all, and it never will be; the log says so.
    Never,
}
