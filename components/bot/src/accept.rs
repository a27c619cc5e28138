//! Within Slack's three seconds: prove that the request is Slack's, understand it, save it, answer.
//!
//! **Invariant:** no other system is called but our own store and Redis, and neither before the signature
//! is checked.

use crate::context::Context;
use crate::patience::Patience;
use crate::reply::Declined;
use crate::request::{Asker, Content, FollowUp, FormChange, Presses, Saved, has_button, pressed_id, save};
use crate::settings::{SettingError, SlackCommandSettings, Variables};
use crate::world::{Line, World, within};
use crate::{ask, deploy, form};
use clients::http::{Answer, Chunks, Inbound, Method, StatusCode, read_request};
use clients::signature::{Keys, SignatureError, SlackClaim, button_id, deployment_id, mention_id};
use clients::slack::{
    self, Event, FormError, FormEvent, InForm, Interaction, LONGEST_CHECK, Mention, SlashCommand, is_ssl_check,
};
use domain::command::{Command, DeployWords};
use domain::deployment::{CancelFact, Origin, RequestFact, Thread, click};
use domain::fault::{Cause, Fault, System};
use domain::form::FormFact;
use domain::limits;
use domain::message::{self, Button, Wording};
use domain::names::{CommandName, DeploymentId, ResponseUrl, SlackTeam, SlackUser};
use domain::refusal::Refusal;
use domain::time::Timestamp;
use futures::future::join;
use serde_json::json;
use std::cell::OnceCell;
use std::time::Duration;
use store::StoreError;

/// The headers that are looked at.
pub const HEADERS: &[&str] = &["content-length", "content-type", "x-slack-request-timestamp", "x-slack-signature"];

/// The longest body that is read from Slack. Slack's own are a few KiB.
const BODY_LIMIT: usize = 64 << 10;

/// An older message is none of today: Slack sends an event again for hours if it gets no answer.
const OLDEST_MENTION: Duration = Duration::from_secs(300);

/// How often a person can press a button again after its deployment came to nothing.
const PRESSES: u32 = 8;

/// A request that is Slack's.
pub struct Verified {
    form: Form,
    /// The same on every replica. Of a command it is made of the click, of a button it is made of the button
    /// alone, of a mention it is made of the message.
    id: DeploymentId,
    /// Slack's own time.
    at: Timestamp,
}

enum Form {
    Typed(Box<SlashCommand>),
    Pressed { pressed: Box<Interaction>, presses: Presses },
    Mentioned(Box<Mention>),
    Chosen(Box<FormEvent>),
}

/// The answer to Slack, and what to do after it.
pub struct Accepted {
    pub answer: Answer,
    pub then: Then,
}

/// What is left to do after the answer.
pub enum Then {
    Nothing,
    /// Carry the deployment out: the answer promised it. A person who pressed a button again reads that.
    CarryOut(DeploymentId, Option<Box<FollowUp>>),
    /// Keep every process from carrying the deployment out: the request was not accepted, but part of it may
    /// be saved. A person who pressed a button reads that.
    TakeBack(DeploymentId, Option<Box<FollowUp>>),
    /// Find out, or change something small, and answer through the `response_url`.
    FollowUp(Box<FollowUp>),
    /// Say in a form that it is too old.
    FormIsOver {
        view: String,
    },
}

impl Accepted {
    fn say(text: &str, command: &CommandName) -> Self {
        Self { answer: words(text, command), then: Then::Nothing }
    }

    /// An empty answer now, and a response later.
    fn silent(then: Then) -> Self {
        Self { answer: Answer::empty(StatusCode::OK), then }
    }
}

/// An HTTP 200 with a sentence that only the asker sees. Anything but 200 would show
/// people `dispatch_failed`.
fn words(text: &str, command: &CommandName) -> Answer {
    let wording = Wording { command: command.clone(), ..Wording::default() };
    let said = message::plain(text).worded(&wording);
    Answer {
        status: StatusCode::OK,
        content_type: "application/json",
        body: slack::answer(&message::worded(text, &wording), &said.blocks),
    }
}

pub fn not_found() -> Answer {
    Answer::reason(StatusCode::NOT_FOUND, "refused", "no such route")
}

/// A setting is wrong: the person reads that, and the log says which.
pub fn not_set(error: &SettingError) -> Declined {
    Declined::setting(error, words(&message::fault(&error.fault("start")), &CommandName::default()))
}

/// Proves that the request is Slack's and understands its form. Needs no store and no Redis.
///
/// **Invariant:** nothing of a body is understood before its signature is checked, and without a signature that can
/// be one no body is read. The exception is Slack's check of our certificate, which does nothing.
pub async fn verify(
    head: &Inbound,
    body: &mut impl Chunks,
    variables: &Variables,
    now: Timestamp,
) -> Result<Verified, Declined> {
    let refuse = Declined::reason;
    let empty = || Declined { answer: Answer::empty(StatusCode::OK), line: None };
    let unauthorized = |error: SignatureError| refuse(StatusCode::UNAUTHORIZED, &error.to_string());
    // Slack asks so whether the address answers, without a signature.
    if head.method == Method::GET && head.query.split('&').any(|pair| pair == "ssl_check=1") {
        return Err(empty());
    }
    if head.method != Method::POST {
        return Err(refuse(StatusCode::METHOD_NOT_ALLOWED, "POST only"));
    }
    let is_event = head.path == "/slack/events";
    let (wanted, only) = match is_event {
        true => ("application/json", "application/json only"),
        false => ("application/x-www-form-urlencoded", "application/x-www-form-urlencoded only"),
    };
    if !head.content_type_is(wanted) {
        return Err(refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, only));
    }
    let timestamp = head.header("x-slack-request-timestamp").unwrap_or_default();
    let signature = head.header("x-slack-signature").unwrap_or_default();
    let claim = match SlackClaim::read(timestamp, signature, now) {
        Ok(claim) => claim,
        Err(error) => {
            if is_event {
                return Err(unauthorized(error));
            }
            let read = read_request(head, body, LONGEST_CHECK).await.map_err(Declined::broken)?;
            let is_check = read.is_some_and(|body| is_ssl_check(&body));
            return Err(if is_check { empty() } else { unauthorized(error) });
        }
    };
    let keys = SlackCommandSettings::keys(variables).map_err(|error| {
        let answer = Answer::reason(StatusCode::SERVICE_UNAVAILABLE, "unready", "a secret is not set");
        Declined::setting(&error, answer)
    })?;
    let body = read_request(head, body, BODY_LIMIT).await.map_err(Declined::broken)?;
    let body = body.ok_or_else(|| refuse(StatusCode::PAYLOAD_TOO_LARGE, "more than 64 KiB"))?;
    // Slack's own time, so that the same click writes the same bytes on every replica.
    let at = claim.verify(&keys, &body).map_err(unauthorized)?;
    let malformed = |error: FormError| refuse(StatusCode::BAD_REQUEST, &error.to_string());
    match head.path.as_str() {
        "/slack/interaction" => match FormEvent::parse(&body).map_err(malformed)? {
            Some(event) => Ok(verified_form(event, at)),
            None => Ok(verified_press(Interaction::parse(&body).map_err(malformed)?, at)),
        },
        "/slack/events" => verified_event(Event::parse(&body).map_err(malformed)?, now),
        _ => verified_command(SlashCommand::parse(&body).map_err(malformed)?, &keys, at),
    }
}

fn verified_command(command: Option<SlashCommand>, keys: &Keys, at: Timestamp) -> Result<Verified, Declined> {
    let checked = Declined { answer: Answer::empty(StatusCode::OK), line: None };
    let command = command.ok_or(checked)?;
    let id = deployment_id(&keys.current, Some(&command.team), &command.trigger_id);
    Ok(Verified { form: Form::Typed(Box::new(command)), id, at })
}

fn verified_form(event: FormEvent, at: Timestamp) -> Verified {
    let id = DeploymentId::parse(&event.metadata);
    let id = id.unwrap_or_else(|_| button_id(event.teams.first(), &event.view_id));
    Verified { form: Form::Chosen(Box::new(event)), id, at }
}

/// The time is that of the message: the same event that arrives again writes the same bytes.
fn verified_event(event: Event, now: Timestamp) -> Result<Verified, Declined> {
    let ignored = |why: &'static str| {
        let line = Line::new("event_ignored").with("why", why);
        Err(Declined { answer: Answer::empty(StatusCode::OK), line: Some(line) })
    };
    match event {
        Event::Challenge(challenge) => {
            let body = challenge.into_bytes();
            Err(Declined { answer: Answer { status: StatusCode::OK, content_type: "text/plain", body }, line: None })
        }
        Event::Ignored(why) => ignored(why),
        Event::Mention(mention) if now.since(mention.at) > OLDEST_MENTION => ignored("it is too old"),
        Event::Mention(mention) => {
            let id = mention_id(&mention.team, &mention.channel, &mention.ts);
            let at = mention.at;
            Ok(Verified { form: Form::Mentioned(mention), id, at })
        }
    }
}

/// Each click has a trigger of its own, so the ids are made of the button, and of who presses it: the same
/// person asks for the same deployment with it.
fn verified_press(pressed: Interaction, at: Timestamp) -> Verified {
    let button = format!("{}/{}", pressed.action_id, pressed.value);
    let id = |of: &str| button_id(pressed.team.as_ref(), of);
    let mine = |n: u32| id(&format!("{button}/{}/{n}", pressed.user));
    let presses = Presses { button: id(&button), first: mine(0), again: (1..=PRESSES).map(mine).collect() };
    let id = presses.button.clone();
    Verified { form: Form::Pressed { pressed: Box::new(pressed), presses }, id, at }
}

/// Understands the request. A deployment is saved before the answer, which promises it; the caller then
/// carries it out with [`after`]. Everything else is done after the answer.
pub async fn accept<W: World>(world: &W, settings: &SlackCommandSettings, verified: Verified) -> Accepted {
    let Verified { form, id, at } = verified;
    let cx = Context::new(world, settings, &id, Patience::default());
    match form {
        Form::Typed(command) => typed(&cx, *command, at).await,
        Form::Pressed { pressed, presses } => self::pressed(&cx, *pressed, &presses, at).await,
        Form::Mentioned(mention) => mentioned(&cx, *mention, at).await,
        Form::Chosen(event) => in_form(&cx, *event, at).await,
    }
}

/// The `response_url` is on no host of Slack's.
fn foreign_response_url() -> Accepted {
    let answer = Answer::reason(StatusCode::BAD_REQUEST, "refused", "response_url is not Slack's");
    Accepted { answer, then: Then::Nothing }
}

async fn typed<W: World>(cx: &Context<'_, W>, command: SlashCommand, at: Timestamp) -> Accepted {
    let SlashCommand { team, team_domain, channel, user, user_name, command, text, response_url, trigger_id } = command;
    let Ok(response_url) = ResponseUrl::parse(response_url.expose(), &cx.settings.slack.url) else {
        return foreign_response_url();
    };
    if cx.settings.team.as_ref().is_some_and(|ours| *ours != team) {
        cx.world.log(Line::new("other_workspace").of(cx.id).with("user", user.as_str()));
        return Accepted::say(&message::refusal(&Refusal::OtherWorkspace), &command);
    }
    let named = Some(command.clone());
    let (click, url) = (click(&response_url), Some(response_url.clone()));
    let asker =
        Asker { user, user_name, channel, thread: None, team, team_domain, command: named, response_url: url, click };
    match Command::parse(&text) {
        Ok(Command::Help(None)) if text.trim().is_empty() && !is_quieted(cx, &asker.user).await => {
            follow_up(cx, Content::OpenForm { trigger: trigger_id, response_url }, asker, at)
        }
        Ok(Command::Help(verb)) => Accepted::say(&message::help(verb), &command),
        // Who wants to stop something is heard.
        Ok(Command::Cancel(words)) => follow_up(cx, Content::Command(Command::Cancel(words)), asker, at),
        Ok(_) if is_quieted(cx, &asker.user).await => Accepted::say(&message::refused_too_often(), &command),
        Ok(Command::Deploy(words) | Command::Rollback(words) | Command::Promote(words)) => {
            typed_deploy(cx, &asker, words, at).await
        }
        Ok(asked) => follow_up(cx, Content::Command(asked), asker, at),
        Err(refusal) => Accepted::say(&message::refusal(&refusal), &command),
    }
}

/// Whether the person was refused too often. Asked before anything is stored.
async fn is_quieted<W: World>(cx: &Context<'_, W>, user: &SlackUser) -> bool {
    let is = within(cx.world, limits::BUDGET, store::is_quieted(cx.world, user)).await.unwrap_or(false);
    if is {
        cx.world.log(Line::new("refused_too_often").of(cx.id).with("user", user.as_str()));
    }
    is
}

async fn typed_deploy<W: World>(cx: &Context<'_, W>, asker: &Asker, words: DeployWords, at: Timestamp) -> Accepted {
    let request = asker.request(at, words, Origin::Typed);
    let (url, limit) = (asker.response_url.as_ref(), limits::SAVE_LIMIT);
    let then = match save(cx.world, cx.id, limit, url, async || Ok(Some(request))).await {
        // The message in the channel says so, or the refusal, which the asker alone reads.
        Saved::Request(_) => return Accepted::silent(Then::CarryOut(cx.id.clone(), None)),
        Saved::Failed { begun: true } => Then::TakeBack(cx.id.clone(), None),
        Saved::Forgotten | Saved::Failed { begun: false } => Then::Nothing,
    };
    let command = asker.command.clone().unwrap_or_default();
    Accepted { answer: self::words(&message::not_accepted(), &command), then }
}

async fn pressed<W: World>(cx: &Context<'_, W>, pressed: Interaction, presses: &Presses, at: Timestamp) -> Accepted {
    let workspace = workspace(cx.settings.team.as_ref(), pressed.team.as_ref(), &pressed.user_team);
    let Interaction {
        user_team, team_domain, user, user_name, channel, thread, action_id, value, response_url, ..
    } = pressed;
    let Ok(response_url) = ResponseUrl::parse(response_url.expose(), &cx.settings.slack.url) else {
        return foreign_response_url();
    };
    let thread = thread.map(|ts| Thread { ts, begun: true });
    let (click, url) = (click(&response_url), Some(response_url));
    let asker = Asker {
        user,
        user_name,
        channel,
        thread,
        team: user_team,
        team_domain,
        command: None,
        response_url: url,
        click,
    };
    let content = match workspace {
        Workspace::Unknown => {
            let cause = Cause::Setting { variable: "slack_team_id".to_owned() };
            let fault = Fault::new(System::Settings, "tell whether you are of my workspace", cause);
            cx.world.log(Line::error("not_accepted").of(cx.id).with_json("fault", &fault));
            Content::Words(message::fault(&fault))
        }
        Workspace::Other => {
            cx.world.log(Line::new("other_workspace").of(cx.id).with("user", asker.user.as_str()));
            Content::Words(message::refusal(&Refusal::OtherWorkspace))
        }
        Workspace::Ours => match Button::parse(&action_id, &value) {
            // Who wants to stop something is heard.
            Some(button @ (Button::Cancel(_) | Button::Reject(_))) => Content::Button(button),
            None => Content::Words(message::unknown_button()),
            _ if is_quieted(cx, &asker.user).await => Content::Words(message::refused_too_often()),
            Some(button @ (Button::Approve(_) | Button::Terminate { .. } | Button::Unlock { .. })) => {
                Content::Button(button)
            }
            Some(button) => return pressed_deploy(cx, asker, (&button, presses), at).await,
        },
    };
    follow_up(cx, content, asker, at)
}

/// A sentence to us in a channel. Slack reads nothing out of the answer, so all words follow it.
async fn mentioned<W: World>(cx: &Context<'_, W>, mention: Mention, at: Timestamp) -> Accepted {
    let Mention { team, channel, user, thread, text, .. } = mention;
    if cx.settings.team.as_ref().is_some_and(|ours| *ours != team) {
        cx.world.log(Line::new("other_workspace").of(cx.id).with("user", user.as_str()));
        return Accepted::silent(Then::Nothing);
    }
    let asker = Asker {
        user,
        user_name: String::new(),
        channel,
        thread: Some(thread),
        team,
        team_domain: String::new(),
        command: None,
        response_url: None,
        click: cx.id.to_string(),
    };
    let content = match Command::parse(&text) {
        Ok(Command::Help(verb)) => Content::Words(message::help(verb)),
        // Who wants to stop something is heard.
        Ok(Command::Cancel(words)) => Content::Command(Command::Cancel(words)),
        Ok(_) if is_quieted(cx, &asker.user).await => Content::Words(message::refused_too_often()),
        Ok(Command::Deploy(words) | Command::Rollback(words) | Command::Promote(words)) => {
            return mentioned_deploy(cx, asker, words, at).await;
        }
        Ok(asked) => Content::Command(asked),
        Err(refusal) => Content::Words(message::refusal(&refusal)),
    };
    // Slack may send the mention again. Only a deployment is the same one then.
    let is_first = within(cx.world, limits::BUDGET, store::is_first(cx.world, cx.id)).await.unwrap_or(true);
    if is_first { follow_up(cx, content, asker, at) } else { Accepted::silent(Then::Nothing) }
}

async fn mentioned_deploy<W: World>(cx: &Context<'_, W>, asker: Asker, words: DeployWords, at: Timestamp) -> Accepted {
    let request = asker.request(at, words, Origin::Typed);
    let begun = match save(cx.world, cx.id, limits::SAVE_LIMIT, None, async || Ok(Some(request))).await {
        Saved::Request(_) => return Accepted::silent(Then::CarryOut(cx.id.clone(), None)),
        Saved::Failed { begun } => begun,
        Saved::Forgotten => false,
    };
    let content = Content::Words(message::not_accepted());
    let told = Box::new(FollowUp { content, asker, id: cx.id.clone(), at });
    Accepted::silent(if begun { Then::TakeBack(cx.id.clone(), Some(told)) } else { Then::FollowUp(told) })
}

/// Saves what a button asks for, unless an earlier press has saved it, or somebody else's press has the button.
async fn pressed_deploy<W: World>(
    cx: &Context<'_, W>,
    asker: Asker,
    (button, presses): (&Button, &Presses),
    at: Timestamp,
) -> Accepted {
    let (world, settings) = (cx.world, cx.settings);
    let begun_at = world.elapsed();
    let too_long = Err(StoreError::Failed("reading took too long"));
    let id = match within(world, limits::SAVE_LIMIT, pressed_id(world, presses, at)).await.unwrap_or(too_long) {
        Ok(id) => id,
        Err(error) => {
            world.log(Line::error("not_accepted").of(cx.id).with("cause", error.why()));
            return follow_up(cx, Content::Words(message::not_accepted()), asker, at);
        }
    };
    let cx = Context::new(world, settings, &id, Patience::default());
    let limit = limits::SAVE_LIMIT.saturating_sub(world.elapsed().saturating_sub(begun_at));
    let url = asker.response_url.as_ref();
    let taken = OnceCell::new();
    let saved = save(world, &id, limit, url, async || {
        if let Some(before) = store::load_fact::<RequestFact>(world, &id).await? {
            return Ok(Some(before));
        }
        let Some(request) = asker.button_request(world, at, (button, presses)).await? else { return Ok(None) };
        let Some((other, _)) = has_button(world, &id, &request).await? else { return Ok(Some(request)) };
        let _ = taken.set(other);
        Ok(None)
    });
    match saved.await {
        Saved::Forgotten if taken.get().is_some() => {
            let id = taken.into_inner().unwrap_or(id);
            let told = FollowUp { content: Content::PressedBefore, asker, id, at };
            Accepted::silent(Then::FollowUp(Box::new(told)))
        }
        Saved::Request(request) => {
            // Each click has a `response_url` of its own, so another one means another click.
            let is_other_click = request.click != asker.click;
            let told = FollowUp { content: Content::PressedBefore, asker, id: id.clone(), at };
            Accepted::silent(Then::CarryOut(id, is_other_click.then(|| Box::new(told))))
        }
        Saved::Forgotten => follow_up(&cx, Content::Words(message::forgotten()), asker, at),
        Saved::Failed { begun } => {
            let content = Content::Words(message::not_accepted());
            let told = Box::new(FollowUp { content, asker, id: id.clone(), at });
            Accepted::silent(if begun { Then::TakeBack(id, Some(told)) } else { Then::FollowUp(told) })
        }
    }
}

/// What somebody does in a form.
async fn in_form<W: World>(cx: &Context<'_, W>, event: FormEvent, at: Timestamp) -> Accepted {
    let says = |value| Accepted { answer: Answer::json(StatusCode::OK, &value), then: Then::Nothing };
    let known = form::of(cx, &event).await;
    match (&event.what, known) {
        (InForm::Search { block, typed }, known) => says(form::search(cx, (&event.user, known), block, typed).await),
        // The button says why.
        (InForm::Changed, Some(_)) if is_quieted(cx, &event.user).await => Accepted::silent(Then::Nothing),
        (InForm::Changed, Some(form)) => {
            let (asker, chosen) = (Asker::of_form(&event.user, &form), form.chosen(&event.chosen));
            let change = FormChange { view: event.view_id, form, chosen };
            follow_up(cx, Content::FormChanged(Box::new(change)), asker, at)
        }
        (InForm::Changed, None) => Accepted::silent(Then::FormIsOver { view: event.view_id }),
        (InForm::Submitted, None) => says(message::form_refusal(message::FORM_IS_OVER)),
        (InForm::Submitted, Some(_)) if is_quieted(cx, &event.user).await => {
            says(message::form_refusal(&message::refused_too_often()))
        }
        (InForm::Submitted, Some(form)) => submitted(cx, &event, &form, at).await,
    }
}

/// Saves what a form asks for, as if somebody had typed it. The same form sent twice is the same deployment.
async fn submitted<W: World>(cx: &Context<'_, W>, event: &FormEvent, form: &FormFact, at: Timestamp) -> Accepted {
    let (world, id) = (cx.world, &form.id);
    let wording = Wording { command: form.command.clone(), ..Wording::default() };
    let refused = |text: &str| Answer::json(StatusCode::OK, &message::form_refusal(&message::worded(text, &wording)));
    let Some(words) = form.words(&form.chosen(&event.chosen)) else {
        return Accepted { answer: refused(message::FORM_IS_NOT_FULL), then: Then::Nothing };
    };
    let asker = Asker::of_form(&event.user, form);
    let saved = save(world, id, limits::SAVE_LIMIT, Some(&form.response_url), async || {
        if let Some(before) = store::load_fact::<RequestFact>(world, id).await? {
            return Ok(Some(before));
        }
        // An earlier press could not be saved, and was taken back.
        let is_taken_back = store::load_fact::<CancelFact>(world, id).await?.is_some();
        Ok((!is_taken_back).then(|| asker.request(at, words, Origin::Form)))
    });
    let then = match saved.await {
        Saved::Request(_) => {
            let answer = Answer::json(StatusCode::OK, &json!({ "response_action": "clear" }));
            return Accepted { answer, then: Then::CarryOut(id.clone(), None) };
        }
        Saved::Failed { begun: true } => Then::TakeBack(id.clone(), None),
        Saved::Forgotten | Saved::Failed { begun: false } => Then::Nothing,
    };
    Accepted { answer: refused(message::FORM_NOT_TAKEN), then }
}

fn follow_up<W>(cx: &Context<'_, W>, content: Content, asker: Asker, at: Timestamp) -> Accepted {
    Accepted::silent(Then::FollowUp(Box::new(FollowUp { content, asker, id: cx.id.clone(), at })))
}

/// Whose workspace the person is of who pressed a button.
#[derive(Debug, PartialEq, Eq)]
enum Workspace {
    Ours,
    Other,
    /// Nothing tells whether the person is a stranger in a shared channel.
    Unknown,
}

/// In a channel that two workspaces share, people of the other workspace see our buttons. `message`: the
/// workspace of the message, which Slack leaves out where the app is installed for a whole organisation.
fn workspace(ours: Option<&SlackTeam>, message: Option<&SlackTeam>, person: &SlackTeam) -> Workspace {
    match (ours, message) {
        (None, None) => Workspace::Unknown,
        (Some(ours), _) if ours != message.unwrap_or(person) => Workspace::Other,
        (_, Some(message)) if message != person => Workspace::Other,
        _ => Workspace::Ours,
    }
}

/// Does what is left to do. The caller has sent the answer.
pub async fn after(world: &impl World, settings: &SlackCommandSettings, then: Then) {
    let tell = async |told: Option<Box<FollowUp>>| {
        if let Some(told) = told {
            ask::answer(world, settings, *told).await;
        }
    };
    match then {
        Then::Nothing => {}
        Then::CarryOut(id, told) => drop(join(deploy::carry_out(world, settings, &id), tell(told)).await),
        Then::TakeBack(id, told) => {
            tell(told).await;
            deploy::take_back(world, &id).await;
        }
        Then::FollowUp(told) => tell(Some(told)).await,
        Then::FormIsOver { view } => form::is_over(world, settings, &view).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_people_of_our_workspace_press_buttons() {
        let team = |id: &str| SlackTeam::parse(id).unwrap();
        let check = |ours: &str, message: &str, person: &str, expected: Workspace| {
            let known = |id: &str| (!id.is_empty()).then(|| team(id));
            let found = workspace(known(ours).as_ref(), known(message).as_ref(), &team(person));
            assert_eq!(found, expected, "ours {ours:?}, of the message {message:?}, of the person {person:?}");
        };
        check("T1", "T1", "T1", Workspace::Ours);
        check("T1", "T1", "T2", Workspace::Other);
        check("T1", "T2", "T2", Workspace::Other);
        // Which workspace is ours is found out after the answer.
        check("", "T2", "T2", Workspace::Ours);
        check("", "T2", "T1", Workspace::Other);
        // Installed for a whole organisation.
        check("T1", "", "T1", Workspace::Ours);
        check("T1", "", "T2", Workspace::Other);
        check("", "", "T1", Workspace::Unknown);
    }
}
