//! Within Slack's three seconds: prove that the request is Slack's, understand it, save it, answer. No call to another system but
//! our own store and Redis, and neither before the signature is checked.

use crate::converse;
use crate::deploy;
use crate::log::Line;
use crate::reply::Declined;
use crate::settings::{SettingError, SlackCommandSettings, Variables};
use crate::world::World;
use clients::http::{Answer, Chunks, Inbound, Method, StatusCode, read_body};
use clients::signature::{deployment_id, slack_signed};
use clients::slack;
use clients::slack::{Incoming, Interaction, SlashCommand};
use domain::command::{Command, DeployWords, TargetWords, Version, What};
use domain::deployment::{CommitFact, End, EndFact, Facts, LastWord, Origin, RequestFact};
use domain::fault::{Cause, Fault, System};
use domain::message;
use domain::message::{Button, PushedOffer};
use domain::names::ResponseUrl;
use domain::names::{DeploymentId, SlackChannel, SlackTeam, SlackUser};
use domain::refusal::Refusal;
use domain::time::Timestamp;
use futures::future::{Either, join, select};
use std::cell::Cell;
use std::pin::pin;
use std::time::Duration;
use store::StoreError;

/// The headers that are looked at.
pub const HEADERS: &[&str] = &["content-type", "x-slack-request-timestamp", "x-slack-signature"];

/// The longest body that we read from Slack. Its own are a few KiB.
const BODY_LIMIT: usize = 64 << 10;

/// The store and Redis together get this long before the answer.
pub(crate) const SAVE_LIMIT: Duration = Duration::from_secs(1);

/// How often a button can be pressed again that was pressed in vain.
const PRESSES: u32 = 8;

/// A request that is Slack's.
pub struct Verified {
    form: Form,
    /// The same on every replica: of a command that of its click, of a button that of the button.
    id: DeploymentId,
    /// Of a button, what follows when it was pressed in vain.
    again: Vec<DeploymentId>,
    /// Slack's own time.
    at: Timestamp,
}

enum Form {
    Typed(Box<SlashCommand>),
    Pressed(Box<Interaction>),
}

/// Who wants something, where, and how they are answered.
#[derive(Clone)]
pub struct Asker {
    pub(crate) user: SlackUser,
    user_name: String,
    pub(crate) channel: SlackChannel,
    team: SlackTeam,
    team_domain: String,
    pub(crate) response_url: ResponseUrl,
}

/// What to answer, and what to do after the answer.
pub struct Accepted {
    /// The answer to Slack.
    pub answer: Answer,
    /// What is left to do.
    pub then: Then,
}

/// What an answer leaves to do.
pub enum Then {
    Nothing,
    /// Carry it out: that was promised. Whoever pressed a button that was pressed before is told so.
    CarryOut(DeploymentId, Option<Box<Wish>>),
    /// See that nobody carries it out: it was not accepted, but part of it may be saved. Whoever pressed a button is told so.
    TakeBack(DeploymentId, Option<Box<Wish>>),
    /// Find out, or change something small, and answer through the `response_url`.
    Converse(Box<Wish>),
}

/// What is answered after the answer.
pub struct Wish {
    pub(crate) what: Wanted,
    pub(crate) who: Asker,
    /// Of the click; of a button, the id of the deployment that it may start.
    pub(crate) id: DeploymentId,
    pub(crate) at: Timestamp,
}

pub enum Wanted {
    /// A command that deploys nothing.
    Command(Command),
    /// A button that deploys nothing by itself.
    Button(Button),
    /// A button whose deployment was begun by an earlier press.
    PressedBefore,
    /// Nothing but these words.
    Words(String),
}

impl Accepted {
    fn say(text: &str) -> Self {
        Self { answer: words(text), then: Then::Nothing }
    }

    /// An empty answer now, and another one through the `response_url`.
    fn later(what: Wanted, who: Asker, id: DeploymentId, at: Timestamp) -> Self {
        Self { answer: Answer::empty(StatusCode::OK), then: Then::Converse(Box::new(Wish { what, who, id, at })) }
    }
}

/// An HTTP 200 with a sentence that only the asker sees. Anything but 200 would show people `dispatch_failed`.
fn words(text: &str) -> Answer {
    Answer { status: StatusCode::OK, content_type: "application/json", body: slack::answer(text) }
}

/// No such route.
pub fn not_found() -> Answer {
    Answer::reason(StatusCode::NOT_FOUND, "refused", "no such route")
}

/// Proves that the request is Slack's and understands its form. Needs no store and no Redis.
pub async fn verify(
    head: &Inbound,
    body: &mut impl Chunks,
    variables: &Variables,
    now: Timestamp,
) -> Result<Verified, Declined> {
    let refuse = Declined::reason;
    let empty = || Declined { answer: Answer::empty(StatusCode::OK), line: None };
    // Slack asks so whether the address answers, without a signature.
    if head.method == Method::GET && head.query.split('&').any(|pair| pair == "ssl_check=1") {
        return Err(empty());
    }
    if head.method != Method::POST {
        return Err(refuse(StatusCode::METHOD_NOT_ALLOWED, "POST only"));
    }
    if !head.content_type_is("application/x-www-form-urlencoded") {
        return Err(refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "application/x-www-form-urlencoded only"));
    }
    let body = match read_body(body, BODY_LIMIT).await {
        Ok(Some(body)) => body,
        Ok(None) => return Err(refuse(StatusCode::PAYLOAD_TOO_LARGE, "more than 64 KiB")),
        Err(_) => return Err(refuse(StatusCode::BAD_REQUEST, "the body broke off")),
    };
    let typed = SlashCommand::parse(&body);
    if matches!(typed, Ok(Incoming::SslCheck)) {
        return Err(empty());
    }
    let keys = SlackCommandSettings::keys(variables).map_err(|error| {
        let answer = Answer::reason(StatusCode::SERVICE_UNAVAILABLE, "unready", "a secret is not set");
        Declined::setting(&error, answer)
    })?;
    let timestamp = head.header("x-slack-request-timestamp").unwrap_or_default();
    let signature = head.header("x-slack-signature").unwrap_or_default();
    // Slack's own time, so that the same click writes the same bytes on every replica.
    let at = slack_signed(&keys, timestamp, &body, signature, now)
        .map_err(|error| refuse(StatusCode::UNAUTHORIZED, &error.to_string()))?;
    if head.path == "/slack/interaction" {
        return match Interaction::parse(&body) {
            Ok(pressed) => {
                // Each click has a trigger of its own; the same button is the same wish.
                let button = format!("{}/{}", pressed.action_id, pressed.value);
                let id = deployment_id(&keys.current, pressed.team.as_ref(), &button);
                let again = (1..=PRESSES)
                    .map(|n| deployment_id(&keys.current, pressed.team.as_ref(), &format!("{button}/{n}")))
                    .collect();
                Ok(Verified { form: Form::Pressed(Box::new(pressed)), id, again, at })
            }
            Err(error) => Err(refuse(StatusCode::BAD_REQUEST, &error.to_string())),
        };
    }
    match typed {
        Ok(Incoming::SslCheck) => Err(empty()),
        Ok(Incoming::Command(command)) => {
            let id = deployment_id(&keys.current, Some(&command.team), &command.trigger_id);
            Ok(Verified { form: Form::Typed(Box::new(command)), id, again: Vec::new(), at })
        }
        Err(error) => Err(refuse(StatusCode::BAD_REQUEST, &error.to_string())),
    }
}

/// Understands it. What is to be deployed is saved before the answer, which promises it; whoever calls carries it out. Everything else is
/// done after the answer.
pub async fn accept(world: &impl World, settings: &SlackCommandSettings, verified: Verified) -> Accepted {
    let Verified { form, mut id, again, at } = verified;
    let (team, response_url) = match &form {
        Form::Typed(command) => (&command.team, &command.response_url),
        // In an organisation, the person's own workspace is the only one that is named.
        Form::Pressed(pressed) => (pressed.team.as_ref().unwrap_or(&pressed.user_team), &pressed.response_url),
    };
    let other_workspace = settings.team.as_ref().is_some_and(|ours| ours != team);
    let Ok(response_url) = ResponseUrl::parse(response_url.expose(), &settings.slack.url) else {
        let answer = Answer::reason(StatusCode::BAD_REQUEST, "refused", "response_url is not Slack's");
        return Accepted { answer, then: Then::Nothing };
    };
    match form {
        Form::Typed(command) => {
            let SlashCommand { team, team_domain, channel, user, user_name, text, .. } = *command;
            if other_workspace {
                world.log(Line::new("other_workspace").of(&id).with("user", user.as_str()));
                return Accepted::say(&message::refusal(&Refusal::OtherWorkspace));
            }
            let who = Asker { user, user_name, channel, team, team_domain, response_url };
            match Command::parse(&text) {
                Ok(Command::Help(verb)) => Accepted::say(&message::help(verb)),
                Ok(Command::Deploy(words) | Command::Rollback(words)) => {
                    let request = who.request(at, words, Origin::Typed);
                    let Saved { of, begun } = save(world, &id, SAVE_LIMIT, async || Ok(Some(request))).await;
                    match of {
                        Ok(Some(request)) => {
                            let answer = self::words(&message::accepted(&request.words));
                            Accepted { answer, then: Then::CarryOut(id, None) }
                        }
                        _ => {
                            let then = if begun { Then::TakeBack(id, None) } else { Then::Nothing };
                            Accepted { answer: self::words(&message::not_accepted()), then }
                        }
                    }
                }
                Ok(command) => Accepted::later(Wanted::Command(command), who, id, at),
                Err(refusal) => Accepted::say(&message::refusal(&refusal)),
            }
        }
        Form::Pressed(pressed) => {
            // In a channel that two workspaces share, people of the other one see our buttons.
            let foreign = other_workspace || pressed.team.as_ref().is_some_and(|team| *team != pressed.user_team);
            let unknown = pressed.team.is_none() && settings.team.is_none();
            let Interaction { user_team: team, team_domain, user, user_name, channel, action_id, value, .. } = *pressed;
            let who = Asker { user, user_name, channel, team, team_domain, response_url };
            if unknown {
                // Nothing tells whether this is a stranger in a channel that is shared.
                let cause = Cause::Setting { variable: "slack_team_id".to_owned() };
                let fault = Fault::new(System::Settings, "tell whether you are of my workspace", cause);
                world.log(Line::error("not_accepted").of(&id).with_json("fault", &fault));
                return Accepted::later(Wanted::Words(message::fault(&fault)), who, id, at);
            }
            if foreign {
                world.log(Line::new("other_workspace").of(&id).with("user", who.user.as_str()));
                let words = message::refusal(&Refusal::OtherWorkspace);
                return Accepted::later(Wanted::Words(words), who, id, at);
            }
            match Button::parse(&action_id, &value) {
                None => Accepted::later(Wanted::Words(message::unknown_button()), who, id, at),
                Some(button @ (Button::Cancel(_) | Button::Approve(_) | Button::Reject(_) | Button::Unlock { .. })) => {
                    Accepted::later(Wanted::Button(button), who, id, at)
                }
                Some(button) => {
                    let begun_at = world.elapsed();
                    id = match not_in_vain(world, &id, again, at).await {
                        Ok(id) => id,
                        Err(error) => {
                            world.log(Line::error("not_accepted").of(&id).with("cause", error.why()));
                            return Accepted::later(Wanted::Words(message::not_accepted()), who, id, at);
                        }
                    };
                    let limit = SAVE_LIMIT.saturating_sub(world.elapsed().saturating_sub(begun_at));
                    let Saved { of, begun } = save(world, &id, limit, async || {
                        // Pressed before, by whomever: it is that deployment.
                        let before = store::load_fact::<RequestFact>(world, &id).await?;
                        if before.is_some() { Ok(before) } else { who.button_request(world, at, &button).await }
                    })
                    .await;
                    match of {
                        Ok(Some(request)) => {
                            // Each click has a `response_url` of its own; the same click may come twice.
                            let before = request.response_url != who.response_url;
                            let wish = Wish { what: Wanted::PressedBefore, who, id: id.clone(), at };
                            let then = Then::CarryOut(id, before.then(|| Box::new(wish)));
                            Accepted { answer: Answer::empty(StatusCode::OK), then }
                        }
                        Ok(None) => Accepted::later(Wanted::Words(message::forgotten()), who, id, at),
                        Err(_) => {
                            let what = Wanted::Words(message::not_accepted());
                            let wish = Box::new(Wish { what, who, id: id.clone(), at });
                            let then = if begun { Then::TakeBack(id, Some(wish)) } else { Then::Converse(wish) };
                            Accepted { answer: Answer::empty(StatusCode::OK), then }
                        }
                    }
                }
            }
        }
    }
}

/// Does what an answer leaves to do. The caller has sent the answer.
pub async fn after(world: &impl World, settings: &SlackCommandSettings, then: Then) {
    let told = async |wish: Option<Box<Wish>>| {
        if let Some(wish) = wish {
            converse::converse(world, settings, *wish).await;
        }
    };
    match then {
        Then::Nothing => {}
        Then::CarryOut(id, wish) => drop(join(deploy::carry_out(world, settings, &id), told(wish)).await),
        Then::TakeBack(id, wish) => {
            told(wish).await;
            deploy::take_back(world, &id).await;
        }
        Then::Converse(wish) => told(Some(wish)).await,
    }
}

/// The deployment that a pressed button means: the same for all who press it, until that one has come to nothing. Then it may be
/// pressed again, perhaps by somebody who may, or at a better moment.
async fn not_in_vain(
    world: &impl World,
    first: &DeploymentId,
    again: Vec<DeploymentId>,
    now: Timestamp,
) -> Result<DeploymentId, StoreError> {
    let begun = world.elapsed();
    let mut id = first.clone();
    for next in again {
        let left = SAVE_LIMIT.saturating_sub(world.elapsed().saturating_sub(begun));
        let facts = match select(pin!(store::load(world, &id)), pin!(world.sleep(left))).await {
            Either::Left((facts, _)) => facts?,
            Either::Right(_) => return Err(StoreError::Failed("reading took longer than a second")),
        };
        let in_vain = match (&facts.outcome, &facts.end) {
            _ if facts.committed.is_some() || !facts.end_is_told() => false,
            (Some(outcome), _) => matches!(outcome.word, LastWord::Failed { .. }),
            (None, Some(EndFact { end: End::Refused { refusal }, .. })) => match refusal.read() {
                // It still waits for people, or goes on as another one.
                Some(Refusal::NeedsApproval { until, .. }) => {
                    let rejected = facts.approvals.as_ref().is_some_and(|approvals| approvals.rejected.is_some());
                    rejected || (now >= until && !facts.is_approved())
                }
                _ => true,
            },
            _ => true,
        };
        let ended = facts.outcome.as_ref().map(|outcome| outcome.at).or(facts.end.as_ref().map(|end| end.at));
        // A click from before that end, which comes twice, is the same click. Slack's time has whole seconds.
        if !in_vain || ended.is_none_or(|ended| ended.seconds() > now.seconds()) {
            break;
        }
        id = next;
    }
    Ok(id)
}

/// What came of saving a request.
pub(crate) struct Saved {
    /// The request, if there is one.
    pub(crate) of: Result<Option<RequestFact>, StoreError>,
    /// Part of it may be saved.
    begun: bool,
}

/// Saves a request, within the second that we have before the answer.
pub(crate) async fn save(
    world: &impl World,
    id: &DeploymentId,
    limit: Duration,
    make: impl AsyncFnOnce() -> Result<Option<RequestFact>, StoreError>,
) -> Saved {
    let begun = Cell::new(false);
    let save = async {
        let Some(request) = make().await? else { return Ok(None) };
        // In flight first: whoever dies in between leaves an id without a request, which the next to resume takes out again. The other
        // way round it would be a request that nobody finds, neither to carry it out nor to delete it.
        store::add_in_flight(world, id, request.at).await?;
        begun.set(true);
        store::save_fact(world, id, &request).await?;
        Ok(Some(request))
    };
    let of = match select(pin!(save), pin!(world.sleep(limit))).await {
        Either::Left((result, _)) => result,
        Either::Right(_) => Err(StoreError::Failed("saving took longer than a second")),
    };
    match &of {
        Ok(Some(request)) => {
            let line = Line::new("accepted").of(id).with("user", request.user.as_str());
            world.log(line.with("channel", request.channel.as_str()).with("words", request.words.to_string()));
        }
        Ok(None) => {}
        Err(error) => world.log(Line::error("not_accepted").of(id).with("cause", error.why())),
    }
    Saved { of, begun: begun.get() }
}

impl Asker {
    pub(crate) fn request(&self, at: Timestamp, words: DeployWords, origin: Origin) -> RequestFact {
        RequestFact {
            at,
            user: self.user.clone(),
            user_name: self.user_name.clone(),
            channel: self.channel.clone(),
            team: self.team.clone(),
            team_domain: self.team_domain.clone(),
            words,
            response_url: self.response_url.clone(),
            origin,
        }
    }

    /// What a button asks for; nothing if the deployment below which it stands is forgotten by now.
    async fn button_request(
        &self,
        world: &impl World,
        at: Timestamp,
        button: &Button,
    ) -> Result<Option<RequestFact>, StoreError> {
        let asked = match button {
            Button::Retry(of) => retry(of, store::load(world, of).await?),
            Button::RollBack(of) => store::load_fact::<CommitFact>(world, of).await?.map(|commit| {
                let words = DeployWords::roll_back(&commit.target().target);
                (words, Origin::RollBack { of: of.clone(), takes_away: commit.target().tag.clone() })
            }),
            Button::DeployAnyway(of) | Button::TakeOver(of) => despite(of, store::load(world, of).await?),
            Button::Deploy(offer) => {
                let origin = Origin::Shown { of: offer.of.clone(), head: offer.head.clone() };
                Some((offer.words.clone(), origin))
            }
            Button::DeployPushed(offer) => {
                let PushedOffer { target: TargetWords { app, environment }, wrote } = (**offer).clone();
                let words = DeployWords { app, environment, what: What::Written, override_reason: None };
                Some((words, Origin::Pushed { wrote }))
            }
            Button::Cancel(_) | Button::Approve(_) | Button::Reject(_) | Button::Unlock { .. } => None,
        };
        Ok(asked.map(|(words, origin)| self.request(at, words, origin)))
    }
}

/// The same again.
fn retry(of: &DeploymentId, facts: Facts) -> Option<(DeployWords, Origin)> {
    let RequestFact { mut words, origin, .. } = facts.request?;
    // The last healthy version is another one once this one has reached the branch.
    if let (What::Rollback(version), Some(commit)) = (&mut words.what, facts.commit) {
        *version = Version::Tag(commit.target().tag.to_string());
    }
    Some((words, Origin::Retry { of: of.clone(), head: origin.head().cloned(), was: origin.inner() }))
}

/// The same again, now that the asker was told what speaks against it.
fn despite(of: &DeploymentId, facts: Facts) -> Option<(DeployWords, Origin)> {
    let RequestFact { mut words, origin, .. } = facts.request?;
    let End::Refused { refusal } = facts.end?.end else { return None };
    let (of, was) = (of.clone(), origin.inner());
    match refusal.read()? {
        Refusal::WasRolledBack { head, .. } => Some((words, Origin::Anyway { of, head, was })),
        Refusal::AlreadyWritten { tag, commit, head, .. } => {
            if let What::Rollback(version) = &mut words.what {
                // The n-th of then may be another by now.
                *version = Version::Tag(tag.to_string());
            }
            Some((words, Origin::TakeOver { of, wrote: commit, head, was }))
        }
        _ => None,
    }
}

/// A setting is wrong: the person is told, too.
pub fn not_set(error: &SettingError) -> Declined {
    Declined::setting(error, words(&message::fault(&error.fault("start"))))
}

fn asks_ready(head: &Inbound) -> bool {
    head.query.split('&').any(|pair| pair == "ready" || pair.starts_with("ready="))
}

/// `/healthz` when a setting is wrong: alive, but not ready, and says which variable.
pub fn unready(head: &Inbound, error: &SettingError) -> Declined {
    let status = if asks_ready(head) { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let body = serde_json::json!({ "ready": false, "variable": error.variable, "problem": error.problem });
    Declined::setting(error, Answer::json(status, &body))
}

/// `/healthz`: counts, no names. `?ready` is 503 when the store or Redis is down.
pub async fn health(world: &impl World, head: &Inbound) -> Result<Answer, Declined> {
    if head.method != Method::GET && head.method != Method::HEAD {
        return Err(Declined::reason(StatusCode::METHOD_NOT_ALLOWED, "GET only"));
    }
    let redis = store::in_flight(world).await;
    let store_up = if asks_ready(head) { store::load_key(world, store::Rewritten).await.err() } else { None };
    let ready = redis.is_ok() && store_up.is_none();
    let status = if asks_ready(head) && !ready { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let problem = redis.as_ref().err().map(|error| error.why()).or(store_up.as_ref().map(|error| error.why()));
    let in_flight = redis.map(|in_flight| in_flight.count()).ok();
    Ok(Answer::json(status, &serde_json::json!({ "ready": ready, "in_flight": in_flight, "problem": problem })))
}
