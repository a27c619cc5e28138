//! slack-command's voice: posts the one message of a deployment and edits it until there is a commit. Save, then speak.
//!
//! Every call is announced in the fact `message` before it is made (`speaking`), so that the watch, which takes over after the
//! commit, never edits while one of our calls may still be on its way.

use deploy_core::deployment::{Facts, MessageFact, Place, Voice, words_hash};
use deploy_core::log::{Line, World};
use deploy_core::message;
use deploy_core::names::DeploymentId;
use deploy_core::settings::SlackCommandSettings;
use deploy_core::slack::{self, Audience, Original, SlackError};
use deploy_core::store::{self, Urgency};
use std::cell::RefCell;

/// The voice of one deployment.
pub(crate) struct Speaker<'a, W> {
    world: &'a W,
    settings: &'a SlackCommandSettings,
    id: &'a DeploymentId,
    voice: RefCell<Voice>,
}

impl<'a, W: World> Speaker<'a, W> {
    pub(crate) fn new(world: &'a W, settings: &'a SlackCommandSettings, id: &'a DeploymentId, facts: &Facts) -> Self {
        let mut voice = facts.message.as_ref().map(|message| message.0.clone()).unwrap_or_default();
        // Ours alone, and we hold the lease: whoever spoke before us is gone.
        voice.speaking = None;
        Self { world, settings, id, voice: RefCell::new(voice) }
    }

    pub(crate) fn end_is_told(&self) -> bool {
        self.voice.borrow().told_end
    }

    async fn save(&self, change: impl FnOnce(&mut Voice)) -> Result<(), store::StoreError> {
        let voice = {
            let mut voice = self.voice.borrow_mut();
            change(&mut voice);
            voice.clone()
        };
        store::save_fact(self.world, self.id, &MessageFact(voice)).await
    }

    /// Tells what the facts say now. The same words are not told twice. `last`: these are the final words.
    pub(crate) async fn tell(&self, facts: &Facts, note: Option<message::Note>, last: bool) {
        let Some(request) = &facts.request else { return };
        let words = message::before_commit(facts, note.as_ref());
        let hash = words_hash(&format!("{}{}", words.text, words.blocks));
        let before = self.voice.borrow().clone();
        if before.told_end || (before.told == Some(hash) && !last) {
            return;
        }
        if self.save(|voice| voice.speaking = Some(self.world.now())).await.is_err() {
            return;
        }
        let told = self.speak(request, &before, &words, last).await;
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
                    Told::Never => voice.told_end = last,
                }
            })
            .await;
        if saved.is_err() {
            self.world.log(Line::error("not_saved").of(self.id).with("fact", "message"));
        }
    }

    async fn speak(
        &self,
        request: &deploy_core::deployment::RequestFact,
        before: &Voice,
        words: &slack::Message,
        last: bool,
    ) -> Told {
        let (http, slack) = (self.world, &self.settings.slack);
        if before.lost.is_none() {
            let result = match &before.place {
                Some(place) => {
                    let urgency = if last { Urgency::Final } else { Urgency::First };
                    if !store::may_edit(self.world, self.world.now(), urgency).await && !last {
                        return Told::No;
                    }
                    slack::update(http, slack, &place.channel, &place.ts, words).await.map(|()| place.clone())
                }
                None => slack::post(http, slack, &request.channel, words, None)
                    .await
                    .map(|ts| Place { channel: request.channel.clone(), ts }),
            };
            match result {
                Ok(place) => return Told::At(place),
                Err(SlackError::RateLimited(wait)) if !last => {
                    self.world.log(Line::new("slack_rate_limited").of(self.id).with("seconds", wait.as_secs()));
                    return Told::No;
                }
                Err(SlackError::RateLimited(wait)) => {
                    self.world.sleep(wait.min(std::time::Duration::from_secs(60))).await;
                    return Told::No;
                }
                Err(SlackError::Unreachable(fault)) => {
                    self.world.log(Line::error("slack").of(self.id).with_json("fault", &fault));
                    return Told::No;
                }
                Err(SlackError::Gone(why)) => {
                    self.world.log(Line::new("message_gone").of(self.id).with("slack", why.as_str()));
                    self.voice.borrow_mut().lost = Some(why);
                }
                Err(SlackError::Refused(fault)) => {
                    self.world.log(Line::error("slack").of(self.id).with_json("fault", &fault));
                    self.voice.borrow_mut().lost = Some("refused".to_owned());
                }
            }
        }
        // No message of ours there: the response_url reaches the asker in any channel, five times; the last is kept for the end.
        if before.response_url_uses >= if last { 5 } else { 3 } {
            return if last { Told::Never } else { Told::No };
        }
        match slack::respond(http, &request.response_url, words, Audience::Asker, Original::Keep).await {
            Ok(()) => Told::ByResponseUrl,
            Err(SlackError::Gone(_)) if last => {
                self.world.log(Line::error("nobody_told").of(self.id));
                Told::Never
            }
            Err(_) => Told::No,
        }
    }
}

/// What came of it.
enum Told {
    /// In this message.
    At(Place),
    /// Through the `response_url`.
    ByResponseUrl,
    /// Not this time.
    No,
    /// Not at all, and it never will be; the log says so.
    Never,
}
