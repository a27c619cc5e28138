//! The one message of a deployment: posted once, then edited in place. slack-command speaks until the commit,
//! the watch from then on, and both by the code here. What a role knows of its side is a [`Voice`], which the
//! role's [`Journal`] keeps.
//!
//! Easy to miss: save first, then speak. Each turn of the loop in [`Speaker::tell`] decides anew from what
//! is saved, see [`decide`]. A call may take effect after it was given up, and a process may die between any
//! two lines.

mod decide;

use crate::aside::Aside;
use crate::world::{Line, World};
use clients::slack::{self, Slack, SlackError};
use decide::{Case, Next, Tried, Way};
use domain::command::NotifyBy;
use domain::deployment::{Facts, MessageFact, Place, RequestFact, ResponseUrlFact, State, Told, Voice};
use domain::limits::{self, Limits};
use domain::message::{self, Message};
use domain::names::{DeploymentId, SlackChannel};
use domain::text::words_hash;
use std::cell::{Cell, RefCell};
use std::time::Duration;
use store::{Lease, Notify, Speech, StoreError, Urgency};

/// What a role keeps of its side of the message, and what it knows of the other side.
pub(crate) trait Journal {
    /// Whether each call is noted before it is made, for the other role to wait for its end.
    const NOTES_CALLS: bool;

    /// Our own voice.
    fn ours(&self) -> Voice;

    /// The other role's voice, as far as this role has to heed it.
    fn theirs(&self) -> Voice;

    /// Changes our voice and saves it, if it changed or was not saved yet.
    async fn save(&self, change: impl FnOnce(&mut Voice)) -> Result<(), StoreError>;

    /// Whether we may still speak, asked right before each call: a process that slept may have been replaced.
    async fn standing(&self, facts: &Facts, last: bool) -> Result<Standing, StoreError>;
}

/// Whether a role may make a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The role may.
    Ours,
    /// The other role has changed its side meanwhile: decide again.
    News,
    /// The message goes on as another deployment's.
    Elsewhere,
    /// The other role writes the message, because there was none when that role took over.
    Theirs,
}

/// What kind of words these are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Newer words may follow. They are for the asker alone as long as nobody else is concerned.
    Progress,
    /// The same, and other people are concerned.
    PublicProgress,
    /// The final words.
    Last,
}

/// The words to send, and what they are about.
struct Telling<'t> {
    facts: &'t Facts,
    request: &'t RequestFact,
    words: &'t Message,
    hash: u64,
    /// These are the final words.
    last: bool,
    /// The words are for the asker alone, unless a message is in the channel already.
    private: bool,
    /// What calls people to the final words: an edit notifies nobody.
    call: Option<Message>,
    /// It is the asker who is called.
    calls_asker: bool,
}

/// Speaks for one deployment.
pub(crate) struct Speaker<'a, W, J> {
    world: &'a W,
    slack: &'a Slack,
    limits: &'a Limits,
    id: &'a DeploymentId,
    journal: J,
    /// When the message was last written, so that one message is not edited too often.
    written: Cell<Option<Duration>>,
}

impl<'a, W: World, J: Journal> Speaker<'a, W, J> {
    pub(crate) fn new(world: &'a W, slack: &'a Slack, limits: &'a Limits, id: &'a DeploymentId, journal: J) -> Self {
        Self { world, slack, limits, id, journal, written: Cell::new(None) }
    }

    /// Sends these words, if they are not in the message yet. Returns after how long the words have to be tried
    /// again: until then the caller may find newer words. `None`: the words are sent, or there is nobody to send
    /// them to.
    pub(crate) async fn tell(&self, facts: &Facts, words: &Message, kind: Kind) -> Option<Duration> {
        let request = facts.request.as_ref()?;
        let hash = words_hash(&format!("{}{}", words.text, words.blocks));
        let last = kind == Kind::Last;
        let private = kind != Kind::PublicProgress && !facts.concerns_others();
        let asker = message::call_asker(facts);
        let calls_asker = asker.is_some();
        let call = asker.or_else(|| message::call_approvers(facts)).filter(|_| last);
        let telling = Telling { facts, request, words, hash, last, private, call, calls_asker };
        self.tell_now(&telling).await.unwrap_or_else(|error| {
            self.world.log(Line::error("not_told").of(self.id).with("cause", error.why()));
            Some(limits::SPEAK_AGAIN)
        })
    }

    async fn tell_now(&self, telling: &Telling<'_>) -> Result<Option<Duration>, StoreError> {
        let mut tried = Tried::default();
        loop {
            match self.case(telling).next(&tried) {
                Next::Done => {
                    // It may not be saved yet that the words were sent.
                    self.journal.save(|_| {}).await?;
                    return Ok(None);
                }
                Next::Wait(again) => return Ok(Some(again)),
                Next::LetArrive => {
                    if self.journal.standing(telling.facts, telling.last).await? != Standing::News {
                        return Ok(Some(limits::ARRIVES));
                    }
                }
                Next::Speak(way) => self.speak(telling, &way, &mut tried).await?,
                Next::Call(place) => self.call(telling, &place, &mut tried).await?,
                Next::End => self.leave().await?,
                Next::GiveUp => {
                    if telling.last {
                        self.world.log(Line::error("nobody_told").of(self.id));
                    }
                    let told = Told { words: telling.hash, at: self.world.now() };
                    self.journal
                        .save(|voice| {
                            voice.told = Some(told);
                            voice.told_end = telling.last;
                        })
                        .await?;
                }
            }
        }
    }

    fn case<'t>(&self, telling: &Telling<'t>) -> Case<'t> {
        let Telling { facts, request, .. } = telling;
        let gap = self.limits.edit_gap;
        let since = self.written.get().map(|written| self.world.elapsed().saturating_sub(written));
        let ended = facts.outcome.as_ref().map(|outcome| outcome.at).or(facts.end.as_ref().map(|end| end.at));
        Case {
            ours: self.journal.ours(),
            theirs: self.journal.theirs(),
            before: request.origin.place(),
            home: facts.plan().and_then(|plan| plan.home.as_ref()),
            typed: &request.channel,
            thread: request.thread.as_ref().map(|thread| &thread.ts),
            words: telling.hash,
            last: telling.last,
            private: telling.private,
            calls: telling.call.is_some(),
            gap_left: since.map_or(Duration::ZERO, |since| gap.saturating_sub(since)),
            posting: self.limits.posting,
            asked: request.at,
            ended: ended.unwrap_or(request.at),
            now: self.world.now(),
        }
    }

    /// Makes one call with the words, and saves what came of it.
    async fn speak(&self, telling: &Telling<'_>, way: &Way, tried: &mut Tried) -> Result<(), StoreError> {
        if !self.takes_turn(telling, way, tried).await {
            return Ok(());
        }
        let begun = self.world.now();
        self.journal
            .save(|voice| {
                voice.speaking = J::NOTES_CALLS.then_some(begun);
                if *way == Way::Whisper {
                    // Counted first: a response that is lost is a use all the same.
                    voice.response_url_uses = voice.response_url_uses.saturating_add(1);
                }
            })
            .await?;
        match self.journal.standing(telling.facts, telling.last).await? {
            Standing::Ours => {}
            Standing::News => return Ok(()),
            Standing::Elsewhere => return self.leave().await,
            Standing::Theirs => {
                tried.failed = Some(limits::SPEAK_AGAIN);
                return Ok(());
            }
        }
        let answer = match way {
            Way::Edit(place) => {
                let edit = slack::update(self.world, self.slack, &place.channel, &place.ts, telling.words);
                edit.await.map(|()| Some(place.clone()))
            }
            Way::Post(channel, thread) => {
                let post = slack::post(self.world, self.slack, channel, telling.words, thread.as_ref());
                post.await.map(|ts| Some(Place { channel: channel.clone(), ts, thread: thread.clone() }))
            }
            Way::Whisper => {
                let url = store::load_fact::<ResponseUrlFact>(self.world, self.id).await?.map(|fact| fact.url);
                let aside = Aside::of(telling.request, url.as_ref());
                aside.say(self.world, self.slack, telling.words).await.map(|()| None)
            }
        };
        if matches!(answer, Ok(Some(_))) {
            self.written.set(Some(self.world.elapsed()));
        }
        if let Err(error) = &answer {
            self.note(error, way.speech(telling.request)).await;
        }
        let learnt = self.case(telling).learn(tried, way, &answer, begun);
        self.journal.save(|voice| *voice = learnt).await?;
        let asked_at = (&telling.request.channel, telling.request.thread.as_ref().map(|thread| &thread.ts));
        if let (Way::Post(..), Ok(Some(place))) = (way, &answer)
            && (&place.channel, place.thread.as_ref()) != asked_at
        {
            self.lead_there(telling, place).await?;
        }
        tried.learn(way, answer);
        Ok(())
    }

    /// Tells the asker that the message stands in another channel; in a thread, those who read it. A courtesy: nothing is
    /// tried again.
    async fn lead_there(&self, telling: &Telling<'_>, place: &Place) -> Result<(), StoreError> {
        let (world, request) = (self.world, telling.request);
        let led = if let Some(thread) = &request.thread {
            let _ = store::may_speak(world, self.limits.minute, Speech::Post(&request.channel), Urgency::First).await;
            let link = match request.link(place) {
                Some(link) => Some(link),
                // A mention does not say what the workspace calls itself.
                None => slack::permalink(world, self.slack, &place.channel, &place.ts).await.ok(),
            };
            let words = message::stands_elsewhere(request, place, link.as_deref());
            slack::post(world, self.slack, &request.channel, &words, Some(&thread.ts)).await.map(drop)
        } else {
            let Some(ResponseUrlFact { url }) = store::load_fact(world, self.id).await? else { return Ok(()) };
            self.journal.save(|voice| voice.response_url_uses = voice.response_url_uses.saturating_add(1)).await?;
            let words = message::stands_elsewhere(request, place, request.link(place).as_deref());
            Aside::of(request, Some(&url)).say(world, self.slack, &words).await
        };
        if let Err(error) = led {
            self.note(&error, Way::Whisper.speech(request)).await;
        }
        Ok(())
    }

    /// All of the installation share Slack's limits. One turn is enough for an edit and for the post that
    /// takes its place.
    async fn takes_turn(&self, telling: &Telling<'_>, way: &Way, tried: &mut Tried) -> bool {
        if *way == Way::Whisper || tried.has_turn {
            return true;
        }
        let urgency = match (telling.last, self.journal.ours().told) {
            (true, _) => Urgency::Final,
            (false, None) => Urgency::First,
            (false, Some(_)) => Urgency::Progress,
        };
        match store::may_speak(self.world, self.limits.minute, way.speech(telling.request), urgency).await {
            Ok(()) => tried.has_turn = true,
            Err(again) => tried.failed = Some(again),
        }
        tried.has_turn
    }

    /// Calls people to the end, once, in a thread below the message.
    async fn call(&self, telling: &Telling<'_>, place: &Place, tried: &mut Tried) -> Result<(), StoreError> {
        let speech = Speech::Post(&place.channel);
        if let Err(again) = store::may_speak(self.world, self.limits.minute, speech, Urgency::First).await {
            tried.failed = Some(again);
            return Ok(());
        }
        // Saved first, so at most once: if we die now, the message is written all the same.
        self.leave().await?;
        if self.journal.standing(telling.facts, telling.last).await? == Standing::Ours
            && let Some(words) = &telling.call
            && !(telling.calls_asker && self.told_otherwise(telling).await)
            && let Err(error) = slack::post(self.world, self.slack, &place.channel, words, Some(place.replies())).await
        {
            self.note(&error, speech).await;
        }
        Ok(())
    }

    /// Whether the asker wants to hear of it otherwise than in the thread, and did. A choice that cannot be read is none.
    async fn told_otherwise(&self, telling: &Telling<'_>) -> bool {
        let (world, user) = (self.world, &telling.request.user);
        let choice = store::load_key(world, Notify(user)).await.ok().flatten();
        match choice.map(|choice| choice.by).unwrap_or_default() {
            NotifyBy::Thread => false,
            NotifyBy::Off => telling.facts.state() == State::Live,
            NotifyBy::Dm => {
                // The person's id stands for the conversation with them.
                let Ok(channel) = SlackChannel::parse(user.as_str()) else { return false };
                let Some(words) = message::tell_asker(telling.facts) else { return false };
                let speech = Speech::Post(&channel);
                let _ = store::may_speak(world, self.limits.minute, speech, Urgency::First).await;
                match slack::post(world, self.slack, &channel, &words, None).await {
                    Ok(_) => true,
                    Err(error) => {
                        self.note(&error, speech).await;
                        // Perhaps it arrived: the person is not told twice.
                        error.is_unsure()
                    }
                }
            }
        }
    }

    /// Nothing is left for us to send.
    async fn leave(&self) -> Result<(), StoreError> {
        self.journal
            .save(|voice| {
                voice.speaking = None;
                voice.told_end = true;
            })
            .await
    }

    /// What a failed call means for the others and for the operator.
    async fn note(&self, error: &SlackError, speech: Speech<'_>) {
        let line = match error {
            SlackError::RateLimited(wait) => {
                store::quiet_slack(self.world, speech, *wait).await;
                Line::new("slack_rate_limited").with("seconds", wait.as_secs())
            }
            SlackError::Unreachable(fault) | SlackError::Refused(fault) => {
                Line::error("slack").with_json("fault", fault)
            }
            SlackError::Gone(why) => Line::new("message_gone").with("slack", why.as_str()),
        };
        self.world.log(line.of(self.id));
    }
}

/// When the watch takes over. From then on slack-command begins no message: the watch, which reads of none, writes
/// one itself.
#[derive(Default)]
pub(crate) struct Handover {
    is_over: Cell<bool>,
    noting: futures::lock::Mutex<()>,
}

impl Handover {
    /// Hands over. A message that was begun before is noted in the store when this returns.
    pub(crate) async fn hand_over(&self) {
        self.is_over.set(true);
        drop(self.noting.lock().await);
    }
}

/// slack-command's journal: the fact `message`, the voice before the commit, written under the
/// lease `carry/<id>`.
pub(crate) struct MessageJournal<'a, W> {
    world: &'a W,
    id: &'a DeploymentId,
    lease: &'a Lease<'a, W>,
    handover: &'a Handover,
    voice: RefCell<Voice>,
    saved: RefCell<Voice>,
}

impl<'a, W: World> MessageJournal<'a, W> {
    pub(crate) fn new(
        (world, id): (&'a W, &'a DeploymentId),
        lease: &'a Lease<'a, W>,
        handover: &'a Handover,
        facts: &Facts,
    ) -> Self {
        let mut voice = facts.message.as_ref().map(|message| message.0.clone()).unwrap_or_default();
        // We hold the lease: the process that spoke before us is gone.
        voice.speaking = None;
        Self { world, id, lease, handover, saved: RefCell::new(voice.clone()), voice: RefCell::new(voice) }
    }
}

impl<W: World> Journal for MessageJournal<'_, W> {
    const NOTES_CALLS: bool = true;

    fn ours(&self) -> Voice {
        self.voice.borrow().clone()
    }

    /// The watch speaks only when slack-command does no more.
    fn theirs(&self) -> Voice {
        Voice::default()
    }

    async fn save(&self, change: impl FnOnce(&mut Voice)) -> Result<(), StoreError> {
        let _noting = self.handover.noting.lock().await;
        change(&mut self.voice.borrow_mut());
        let mut voice = self.ours();
        if self.handover.is_over.get() && voice.place.is_none() && self.saved.borrow().speaking.is_none() {
            voice.speaking = None;
            self.voice.borrow_mut().speaking = None;
        }
        if voice == *self.saved.borrow() {
            return Ok(());
        }
        // After a long sleep another process may hold the lease, and that process's notes must not
        // be overwritten.
        self.lease.ensure(limits::WRITE).await?;
        let fact = MessageFact(voice);
        store::save_fact(self.world, self.id, &fact).await?;
        *self.saved.borrow_mut() = fact.0;
        Ok(())
    }

    /// An approved deployment goes on as another deployment, and the message is then that deployment's.
    async fn standing(&self, facts: &Facts, last: bool) -> Result<Standing, StoreError> {
        if last && facts.waits_for_approval() {
            let approvals = store::load_fact(self.world, self.id).await?;
            if (Facts { approvals, ..facts.clone() }).is_approved() {
                return Ok(Standing::Elsewhere);
            }
        }
        self.lease.ensure(limits::SLACK_CALL).await?;
        let begun = self.voice.borrow().speaking.is_some();
        Ok(if begun || !self.handover.is_over.get() { Standing::Ours } else { Standing::Theirs })
    }
}
