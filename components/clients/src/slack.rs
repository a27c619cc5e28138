//! Slack: what it sends us (a slash command, a pressed button) and the few calls that we make.
//!
//! Slack answers HTTP 200 for failures too, with `"ok": false` in the body: `read_ok` is the one place that looks. Text of people
//! goes through [`escape`] or [`code_escape`], else a branch named `<!channel>` calls everybody.

use crate::http::{Http, HttpError, Request, Response, header};
use domain::fault::{Cause, Changed, Fault, System};
use domain::message::Message;
use domain::names::{MessageTs, ResponseUrl, Secret, SlackChannel, SlackGroup, SlackTeam, SlackUser, UrlOrigin};
use serde::Deserialize;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::time::Duration;

/// A request from Slack that is not what Slack documents. It names the field, never what was in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// The field is absent.
    #[error("the field {0} is missing")]
    Missing(&'static str),
    /// The field is there twice: two readers could see two different requests.
    #[error("the field {0} is there twice")]
    Twice(&'static str),
    /// The field is not UTF-8.
    #[error("the field {0} is not UTF-8")]
    NotUtf8(&'static str),
    /// The field does not hold what its name says.
    #[error("the field {0} is malformed")]
    Malformed(&'static str),
}

/// What arrives at the address of the slash command.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(
    clippy::large_enum_variant,
    reason = "one per request, and nearly always the large one; only 64-bit targets mind"
)]
pub enum Incoming {
    /// Slack checks our certificate, perhaps without a signature: answer 200 and do nothing.
    SslCheck,
    /// A person typed the command.
    Command(SlashCommand),
}

/// A typed slash command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlashCommand {
    /// The workspace.
    pub team: SlackTeam,
    /// The workspace's part of `<domain>.slack.com`; empty if Slack did not send it.
    pub team_domain: String,
    /// Where it was typed.
    pub channel: SlackChannel,
    /// Who typed it.
    pub user: SlackUser,
    /// Their name, for texts only; empty if Slack did not send it.
    pub user_name: String,
    /// The command itself, such as `/deploy`.
    pub command: String,
    /// What was typed after it.
    pub text: String,
    /// Where we may answer without a token, once [`ResponseUrl::parse`] has looked at it.
    pub response_url: Secret,
    /// Different for every click: what the deployment's id is made of.
    pub trigger_id: String,
}

impl SlashCommand {
    /// Reads the form. The caller has checked the signature, or does nothing unless it is [`Incoming::Command`].
    pub fn parse(body: &[u8]) -> Result<Incoming, FormError> {
        let form = Form::read(body);
        if form.optional("ssl_check")?.as_deref() == Some("1") {
            return Ok(Incoming::SslCheck);
        }
        Ok(Incoming::Command(Self {
            team: form.named("team_id", SlackTeam::parse)?,
            team_domain: form.optional("team_domain")?.unwrap_or_default(),
            channel: form.named("channel_id", SlackChannel::parse)?,
            user: form.named("user_id", SlackUser::parse)?,
            user_name: form.optional("user_name")?.unwrap_or_default(),
            command: form.required("command")?,
            text: form.optional("text")?.unwrap_or_default(),
            response_url: Secret::new(form.required("response_url")?),
            trigger_id: form.required("trigger_id")?,
        }))
    }
}

/// A pressed button.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interaction {
    /// The workspace in which the message is; none if the app is installed for a whole organisation.
    pub team: Option<SlackTeam>,
    /// That workspace's part of `<domain>.slack.com`; empty if Slack did not send it.
    pub team_domain: String,
    /// Who pressed it.
    pub user: SlackUser,
    /// Their name, for texts only; empty if Slack did not send it.
    pub user_name: String,
    /// Their own workspace: another one in a channel that two workspaces share.
    pub user_team: SlackTeam,
    /// Where.
    pub channel: SlackChannel,
    /// Which button.
    pub action_id: String,
    /// What we put into it; empty if nothing. It proves nothing about `user`.
    pub value: String,
    /// Where we may answer without a token, once [`ResponseUrl::parse`] has looked at it.
    pub response_url: Secret,
    /// Different for every click.
    pub trigger_id: String,
}

impl Interaction {
    /// Reads the form with its one field `payload`. Kinds other than a pressed button are [`FormError::Malformed`].
    pub fn parse(body: &[u8]) -> Result<Self, FormError> {
        let payload: Payload = serde_json::from_str(&Form::read(body).required("payload")?)
            .map_err(|_| FormError::Malformed("payload"))?;
        if payload.kind != "block_actions" {
            return Err(FormError::Malformed("payload.type"));
        }
        fn id<T, E>(id: Option<WithId>, name: &'static str, parse: fn(&str) -> Result<T, E>) -> Result<T, FormError> {
            parse(&id.ok_or(FormError::Missing(name))?.id).map_err(|_| FormError::Malformed(name))
        }
        let action = payload.actions.into_iter().next().ok_or(FormError::Missing("payload.actions"))?;
        let about_user = payload.user.as_ref();
        let user_team = about_user.and_then(|user| user.team_id.clone()).ok_or(FormError::Missing("payload.user"))?;
        Ok(Self {
            team_domain: payload.team.as_ref().and_then(|team| team.domain.clone()).unwrap_or_default(),
            user_name: about_user.and_then(|user| user.username.clone().or(user.name.clone())).unwrap_or_default(),
            user_team: SlackTeam::parse(&user_team).map_err(|_| FormError::Malformed("payload.user"))?,
            team: payload.team.map(|team| id(Some(team), "payload.team", SlackTeam::parse)).transpose()?,
            user: id(payload.user, "payload.user", SlackUser::parse)?,
            channel: id(payload.channel, "payload.channel", SlackChannel::parse)?,
            action_id: action.action_id,
            value: action.value.unwrap_or_default(),
            response_url: Secret::new(payload.response_url.ok_or(FormError::Missing("payload.response_url"))?),
            trigger_id: payload.trigger_id.ok_or(FormError::Missing("payload.trigger_id"))?,
        })
    }
}

#[derive(Deserialize)]
struct Payload {
    #[serde(rename = "type")]
    kind: String,
    team: Option<WithId>,
    user: Option<WithId>,
    channel: Option<WithId>,
    #[serde(default)]
    actions: Vec<Action>,
    response_url: Option<String>,
    trigger_id: Option<String>,
}

#[derive(Deserialize)]
struct WithId {
    id: String,
    domain: Option<String>,
    /// Slack's own example of a pressed button has this one; real ones may have both.
    username: Option<String>,
    name: Option<String>,
    team_id: Option<String>,
}

#[derive(Deserialize)]
struct Action {
    action_id: String,
    value: Option<String>,
}

/// A form, decoded once. Not `form_urlencoded`: it replaces what is not UTF-8, and so would two different branches become one.
struct Form(Vec<(Vec<u8>, Vec<u8>)>);

impl Form {
    fn read(body: &[u8]) -> Self {
        let decode = |bytes: &[u8]| {
            let spaces: Vec<u8> = bytes.iter().map(|b| if *b == b'+' { b' ' } else { *b }).collect();
            Cow::from(percent_encoding::percent_decode(&spaces)).into_owned()
        };
        let pair = |pair: &[u8]| {
            let mut halves = pair.splitn(2, |b| *b == b'=').map(decode);
            (halves.next().unwrap_or_default(), halves.next().unwrap_or_default())
        };
        Self(body.split(|b| *b == b'&').map(pair).collect())
    }

    fn optional(&self, name: &'static str) -> Result<Option<String>, FormError> {
        let mut values = self.0.iter().filter(|(known, _)| known == name.as_bytes()).map(|(_, value)| value);
        let value = values.next();
        if values.next().is_some() {
            return Err(FormError::Twice(name));
        }
        value.map(|value| String::from_utf8(value.clone()).map_err(|_| FormError::NotUtf8(name))).transpose()
    }

    fn required(&self, name: &'static str) -> Result<String, FormError> {
        self.optional(name)?.filter(|value| !value.is_empty()).ok_or(FormError::Missing(name))
    }

    fn named<T, E>(&self, name: &'static str, parse: fn(&str) -> Result<T, E>) -> Result<T, FormError> {
        parse(&self.required(name)?).map_err(|_| FormError::Malformed(name))
    }
}

/// Slack's Web API, and who we are there.
#[derive(Clone, Debug)]
pub struct Slack {
    /// `https://slack.com`, or a stand-in.
    pub url: UrlOrigin,
    /// The bot's token.
    pub token: Secret,
}

/// Who sees an answer to a `response_url`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Only the person who typed or pressed.
    Asker,
    /// Everybody in the channel.
    Channel,
}

/// What becomes of the message that an answer to a `response_url` follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Original {
    /// It stays; the answer is a new message.
    Keep,
    /// The answer takes its place.
    Replace,
}

/// Why Slack did not do it. One variant per different reaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlackError {
    /// No usable answer. Whether it took effect stands in the fault's `changed`.
    Unreachable(Fault),
    /// Try again after this long.
    RateLimited(Duration),
    /// This message, channel, user group or `response_url` cannot be used; another may. Slack's own name for the reason.
    Gone(String),
    /// Trying again does not help: the token, a right, or what we sent.
    Refused(Fault),
}

impl SlackError {
    /// Whether the call may have taken effect, or still may.
    pub fn is_unsure(&self) -> bool {
        matches!(self, Self::Unreachable(fault) if fault.changed != Changed::Nothing)
    }
}

/// An edit that was given up has landed by then, or never will. Until then it may undo a newer one.
pub const LATE_EDIT: Duration = Duration::from_secs(10);

/// Posts a message, in a thread if one is named. If it is [`SlackError::Unreachable`], the message may be there nevertheless.
pub async fn post(
    http: &impl Http,
    slack: &Slack,
    channel: &SlackChannel,
    message: &Message,
    thread: Option<&MessageTs>,
) -> Result<MessageTs, SlackError> {
    let response = http.send(post_request(slack, channel, message, thread)).await;
    read_post(response.map_err(|error| unreachable(POST, Changed::Unknown, error))?)
}

const POST: &str = "post the message";

/// `chat.postMessage`.
pub fn post_request(slack: &Slack, channel: &SlackChannel, message: &Message, thread: Option<&MessageTs>) -> Request {
    let mut body = json!({
        "channel": channel,
        "text": message.text,
        "blocks": message.blocks,
        "unfurl_links": false,
        "unfurl_media": false,
    });
    if let (Some(body), Some(thread)) = (body.as_object_mut(), thread) {
        body.insert("thread_ts".to_owned(), json!(thread));
    }
    call(slack, "chat.postMessage", &body)
}

/// Understands the answer to [`post_request`].
pub fn read_post(response: Response) -> Result<MessageTs, SlackError> {
    let answer = read_ok(response, POST, Changed::Unknown)?;
    let ts = answer.ts.as_deref().and_then(|ts| MessageTs::parse(ts).ok());
    ts.ok_or_else(|| nonsense(POST, Changed::Yes, "the message's ts"))
}

/// Changes a message of ours in place.
pub async fn update(
    http: &impl Http,
    slack: &Slack,
    channel: &SlackChannel,
    ts: &MessageTs,
    message: &Message,
) -> Result<(), SlackError> {
    let response = http.send(update_request(slack, channel, ts, message)).await;
    read_update(response.map_err(|error| unreachable(UPDATE, Changed::Unknown, error))?)
}

const UPDATE: &str = "update the message";

/// `chat.update`.
pub fn update_request(slack: &Slack, channel: &SlackChannel, ts: &MessageTs, message: &Message) -> Request {
    let body = json!({ "channel": channel, "ts": ts, "text": message.text, "blocks": message.blocks });
    call(slack, "chat.update", &body)
}

/// Understands the answer to [`update_request`].
pub fn read_update(response: Response) -> Result<(), SlackError> {
    read_ok(response, UPDATE, Changed::Unknown).map(|_| ())
}

/// Answers a click without a token.
pub async fn respond(
    http: &impl Http,
    to: &ResponseUrl,
    message: &Message,
    audience: Audience,
    original: Original,
) -> Result<(), SlackError> {
    let response = http.send(respond_request(to, message, audience, original)).await;
    read_respond(response.map_err(|error| unreachable(RESPOND, Changed::Unknown, error))?)
}

const RESPOND: &str = "answer the command";

/// A POST to the `response_url`.
pub fn respond_request(to: &ResponseUrl, message: &Message, audience: Audience, original: Original) -> Request {
    let body = json!({
        "response_type": match audience { Audience::Asker => "ephemeral", Audience::Channel => "in_channel" },
        "replace_original": original == Original::Replace,
        "text": message.text,
        "blocks": message.blocks,
    });
    json_post(to.expose(), &body)
}

/// Understands the answer to [`respond_request`]: the plain text `ok`, or JSON as everywhere.
pub fn read_respond(response: Response) -> Result<(), SlackError> {
    if response.status.is_success() && response.body.trim_ascii() == b"ok" {
        return Ok(());
    }
    let gone = response.status == 404 || response.status == 410;
    match read_ok(response, RESPOND, Changed::Unknown) {
        Err(SlackError::Refused(_)) if gone => Err(SlackError::Gone("response_url_not_found".to_owned())),
        answer => answer.map(|_| ()),
    }
}

/// The members of a user group.
pub async fn group_members(http: &impl Http, slack: &Slack, group: &SlackGroup) -> Result<Vec<SlackUser>, SlackError> {
    let response = http.send(group_members_request(slack, group)).await;
    read_group_members(response.map_err(|error| unreachable(GROUP, Changed::Nothing, error))?)
}

const GROUP: &str = "read the members of the user group";

/// `usergroups.users.list`.
pub fn group_members_request(slack: &Slack, group: &SlackGroup) -> Request {
    Request::get(format!("{}/api/usergroups.users.list?usergroup={group}", slack.url)).bearer(&slack.token)
}

/// Understands the answer to [`group_members_request`].
pub fn read_group_members(response: Response) -> Result<Vec<SlackUser>, SlackError> {
    let answer = read_ok(response, GROUP, Changed::Nothing)?;
    let users = answer.users.ok_or_else(|| nonsense(GROUP, Changed::Nothing, "the list of users"))?;
    Ok(users.iter().filter_map(|user| SlackUser::parse(user).ok()).collect())
}

/// Whether our token works, and for which workspace.
pub async fn auth_test(http: &impl Http, slack: &Slack) -> Result<SlackTeam, SlackError> {
    let response = http.send(auth_test_request(slack)).await;
    read_auth_test(response.map_err(|error| unreachable(AUTH, Changed::Nothing, error))?)
}

const AUTH: &str = "check the bot token";

/// `auth.test`.
pub fn auth_test_request(slack: &Slack) -> Request {
    call(slack, "auth.test", &json!({}))
}

/// Understands the answer to [`auth_test_request`].
pub fn read_auth_test(response: Response) -> Result<SlackTeam, SlackError> {
    let answer = read_ok(response, AUTH, Changed::Nothing)?;
    let team = answer.team_id.as_deref().and_then(|team| SlackTeam::parse(team).ok());
    team.ok_or_else(|| nonsense(AUTH, Changed::Nothing, "the workspace's id"))
}

/// The body of the immediate answer to a command: seen by the asker only. `text` is mrkdwn, so people's words in it are escaped.
pub fn answer(text: &str) -> Vec<u8> {
    json!({ "response_type": "ephemeral", "text": text }).to_string().into_bytes()
}

fn call(slack: &Slack, method: &str, body: &Value) -> Request {
    json_post(&format!("{}/api/{method}", slack.url), body).bearer(&slack.token)
}

fn json_post(url: &str, body: &Value) -> Request {
    Request::post_json(url, body).header(header::CONTENT_TYPE, "application/json; charset=utf-8")
}

/// The parts of Slack's answers that we read.
#[derive(Deserialize)]
struct Answer {
    ok: bool,
    error: Option<String>,
    needed: Option<String>,
    ts: Option<String>,
    users: Option<Vec<String>>,
    team_id: Option<String>,
}

/// Did Slack do it? An HTTP status of 200 does not say so. `unsettled`: what to say of an effect that the answer leaves open.
fn read_ok(response: Response, doing: &str, unsettled: Changed) -> Result<Answer, SlackError> {
    let wait = response.retry_after().unwrap_or(RETRY_AFTER);
    let fault = |cause| Fault::new(System::Slack, doing, cause);
    let status = Cause::Status { status: response.status.as_u16() };
    if response.status == 429 {
        return Err(SlackError::RateLimited(wait));
    }
    if response.status.is_server_error() {
        return Err(SlackError::Unreachable(fault(status).changed(unsettled)));
    }
    let said = match serde_json::from_slice::<Answer>(&response.body) {
        Ok(answer) if answer.ok && response.status.is_success() => return Ok(answer),
        Ok(answer) => answer.error.as_deref().and_then(reason).map(|error| (error, answer.needed)),
        // A `response_url` gives its reason as plain text.
        Err(_) => {
            std::str::from_utf8(&response.body).ok().and_then(|body| reason(body.trim())).map(|error| (error, None))
        }
    };
    let Some((error, needed)) = said else {
        return Err(if response.status.is_success() {
            nonsense(doing, unsettled, "JSON with `ok`")
        } else {
            SlackError::Refused(fault(status))
        });
    };
    Err(match error.as_str() {
        "ratelimited" | "rate_limited" => SlackError::RateLimited(wait),
        "message_not_found"
        | "cant_update_message"
        | "edit_window_closed"
        | "channel_not_found"
        | "not_in_channel"
        | "is_archived"
        | "is_inactive"
        | "used_url"
        | "expired_url"
        | "messages_tab_disabled"
        | "no_such_subteam"
        | "method_not_supported_for_channel_type" => SlackError::Gone(error),
        restricted if restricted.starts_with("restricted_action") => SlackError::Gone(error),
        // "Some aspect of the operation may have succeeded": https://docs.slack.dev/reference/methods/chat.postMessage
        "fatal_error" | "internal_error" | "service_unavailable" | "request_timeout" | "update_failed" => {
            SlackError::Unreachable(fault(Cause::Said { said: error }).changed(unsettled))
        }
        "not_authed" | "invalid_auth" | "account_inactive" | "token_revoked" | "token_expired" => {
            SlackError::Refused(fault(Cause::Unauthorized))
        }
        "missing_scope" | "no_permission" | "access_denied" | "ekm_access_denied" => {
            let scope = needed.as_deref().and_then(scopes).map(|scope| format!(": {scope}")).unwrap_or_default();
            SlackError::Refused(fault(Cause::Forbidden { said: format!("{error}{scope}") }))
        }
        _ => SlackError::Refused(fault(Cause::Said { said: error })),
    })
}

/// How long we wait after a 429 that does not say.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Slack's name for what is wrong. Anything that does not look like one is not passed on.
fn reason(text: &str) -> Option<String> {
    let ok = (1..=80).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    ok.then(|| text.to_owned())
}

fn scopes(text: &str) -> Option<&str> {
    let ok = text.len() <= 80 && text.bytes().all(|b| b.is_ascii_lowercase() || matches!(b, b':' | b'.' | b',' | b'_'));
    ok.then_some(text)
}

fn unreachable(doing: &str, unsettled: Changed, error: HttpError) -> SlackError {
    let changed = if error.nothing_happened() { Changed::Nothing } else { unsettled };
    SlackError::Unreachable(Fault::new(System::Slack, doing, error.into()).changed(changed))
}

fn nonsense(doing: &str, changed: Changed, part: &str) -> SlackError {
    SlackError::Unreachable(
        Fault::new(System::Slack, doing, Cause::Nonsense { part: part.to_owned() }).changed(changed),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Chunks, HeaderMap, HeaderValue, StatusCode};
    use domain::names::InvalidName;
    use futures::FutureExt;
    use proptest::prelude::*;
    use std::cell::RefCell;

    /// Slack's own example of a command (the body of its published signature vector).
    const COMMAND: &str = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";

    fn real_slack() -> UrlOrigin {
        UrlOrigin::parse("https://slack.com").unwrap()
    }

    fn slack() -> Slack {
        Slack { url: real_slack(), token: Secret::new("xoxb-1") }
    }

    fn channel() -> SlackChannel {
        SlackChannel::parse("C1").unwrap()
    }

    fn ts() -> MessageTs {
        MessageTs::parse("1503435956.000247").unwrap()
    }

    fn message() -> Message {
        Message { text: "hello".to_owned(), blocks: json!([{ "type": "divider" }]) }
    }

    fn response_url() -> ResponseUrl {
        ResponseUrl::parse("https://hooks.slack.com/commands/T1/2/secret", &real_slack()).unwrap()
    }

    fn response(status: u16, body: &str) -> Response {
        Response {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: body.as_bytes().to_vec(),
        }
    }

    /// Gives one answer, and keeps what was sent.
    struct Script {
        answer: Result<Response, HttpError>,
        sent: RefCell<Vec<Request>>,
    }

    impl Script {
        fn new(answer: Result<Response, HttpError>) -> Self {
            Self { answer, sent: RefCell::default() }
        }
    }

    struct NoBody;

    impl Chunks for NoBody {
        async fn chunk(&mut self) -> Result<Option<Vec<u8>>, HttpError> {
            Ok(None)
        }
    }

    impl Http for Script {
        type Body = NoBody;

        async fn send(&self, request: Request) -> Result<Response, HttpError> {
            self.sent.borrow_mut().push(request);
            self.answer.clone()
        }

        async fn open(&self, _: Request) -> Result<(Response, NoBody), HttpError> {
            Err(HttpError::Denied)
        }
    }

    fn parse(body: &str) -> Result<Incoming, FormError> {
        SlashCommand::parse(body.as_bytes())
    }

    fn command(body: &str) -> SlashCommand {
        match parse(body) {
            Ok(Incoming::Command(command)) => command,
            other => panic!("not a command: {other:?}"),
        }
    }

    #[test]
    fn slacks_example_of_a_command_is_read() {
        insta::assert_debug_snapshot!(command(COMMAND), @r#"
        SlashCommand {
            team: SlackTeam(
                "T1DC2JH3J",
            ),
            team_domain: "testteamnow",
            channel: SlackChannel(
                "G8PSS9T3V",
            ),
            user: SlackUser(
                "U2CERLKJA",
            ),
            user_name: "roadrunner",
            command: "/webhook-collect",
            text: "",
            response_url: Secret(..),
            trigger_id: "398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c",
        }
        "#);
    }

    #[test]
    fn the_response_url_is_checked_where_the_settings_are_known() {
        let url = |body: &str| command(body).response_url;
        assert!(ResponseUrl::parse(url(COMMAND).expose(), &real_slack()).is_ok());
        let elsewhere = url(&COMMAND.replace("hooks.slack.com", "evil.example"));
        assert_eq!(ResponseUrl::parse(elsewhere.expose(), &real_slack()), Err(InvalidName("response_url")));
    }

    #[test]
    fn the_text_is_what_was_typed() {
        let text = |raw: &str| command(&COMMAND.replace("&text=", &format!("&text={raw}"))).text;
        assert_eq!(text("checkout+feature%2Fx"), "checkout feature/x");
        assert_eq!(text("a%2Bb%20c%3Dd%26e=f"), "a+b c=d&e=f");
        assert_eq!(text("%C3%BCmlaut+%EF%BF%BD"), "ümlaut \u{fffd}");
        assert_eq!(text("50%"), "50%");
        assert_eq!(text("%zz"), "%zz");
        assert_eq!(command(&COMMAND.replace("&text=", "&")).text, "");
    }

    #[test]
    fn a_form_that_is_not_slacks_is_refused_by_field() {
        let check = |body: String, expected| assert_eq!(parse(&body), Err(expected), "{body}");
        for (name, field) in [
            ("team_id", "team_id=T1DC2JH3J"),
            ("channel_id", "channel_id=G8PSS9T3V"),
            ("user_id", "user_id=U2CERLKJA"),
            ("command", "command=%2Fwebhook-collect"),
            (
                "response_url",
                "response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN",
            ),
            ("trigger_id", "trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"),
        ] {
            check(COMMAND.replace(field, ""), FormError::Missing(name));
            check(COMMAND.replace(field, &format!("{name}=")), FormError::Missing(name));
            check(COMMAND.replace(field, &format!("{name}=%ff")), FormError::NotUtf8(name));
            check(format!("{COMMAND}&{name}=X"), FormError::Twice(name));
        }
        check(COMMAND.replace("team_id=T", "team_id=t"), FormError::Malformed("team_id"));
        check(COMMAND.replace("user_id=U", "user_id=%3C%21channel%3E"), FormError::Malformed("user_id"));
        check(format!("{COMMAND}&te%78t=x"), FormError::Twice("text"));
        check(COMMAND.replace("&text=", "&text=a%E2%82"), FormError::NotUtf8("text"));
        check(String::new(), FormError::Missing("team_id"));

        let raw = [COMMAND.as_bytes(), b"&user_name_2=\xff"].concat();
        assert!(SlashCommand::parse(&raw).is_ok(), "a field that we do not read may be anything");
        let raw = [COMMAND.replace("&text=", "&x=").as_bytes(), b"&text=\xff"].concat();
        assert_eq!(SlashCommand::parse(&raw), Err(FormError::NotUtf8("text")));
    }

    #[test]
    fn slacks_check_of_the_certificate_is_no_command() {
        assert_eq!(parse("ssl_check=1&token=xyzz0WbapA4vBCDEFasx0q6G"), Ok(Incoming::SslCheck));
        assert_eq!(parse("ssl_check=0"), Err(FormError::Missing("team_id")));
    }

    #[test]
    fn a_response_url_leads_to_slack_or_to_its_stand_in() {
        let check = |slack_url: &str, url: &str, expected: bool| {
            let found = ResponseUrl::parse(url, &UrlOrigin::parse(slack_url).unwrap());
            assert_eq!(found.is_ok(), expected, "{url} with {slack_url}");
        };
        let (real, stand_in) = ("https://slack.com", "http://127.0.0.1:4000");
        check(real, "https://hooks.slack.com/commands/T1/2/x", true);
        check(real, "https://hooks.slack.com/actions/T1/2/x?y=z", true);
        for url in [
            "",
            "https://hooks.slack.com",
            "http://hooks.slack.com/x",
            "https://hooks.slack.com:444/x",
            "https://hooks.slack.com.evil.example/x",
            "https://hooks.slack.com@evil.example/x",
            "https://evil.example/https://hooks.slack.com/",
            "https://slack.com/x",
            "https://hooks.slack.com/a b",
            "https://hooks.slack.com/a\\b",
            "https://hooks.slack.com/a\nb",
            "https://hooks.slack.com/ü",
            "http://127.0.0.1:4000/x",
            &format!("https://hooks.slack.com/{}", "a".repeat(2048)),
        ] {
            check(real, url, false);
        }
        check(stand_in, "http://127.0.0.1:4000/x", true);
        check(stand_in, "https://hooks.slack.com/x", true);
        check(stand_in, "http://127.0.0.1:40001/x", false);
        check(stand_in, "http://127.0.0.1/x", false);

        assert_eq!(format!("{:?}", response_url()), "ResponseUrl(..)");
        let stored = serde_json::to_string(&response_url()).unwrap();
        assert_eq!(stored, r#""https://hooks.slack.com/commands/T1/2/secret""#);
        assert_eq!(serde_json::from_str::<ResponseUrl>(&stored).unwrap(), response_url());
    }

    fn interaction(payload: &Value) -> Result<Interaction, FormError> {
        let form =
            form_urlencoded::Serializer::new(String::new()).append_pair("payload", &payload.to_string()).finish();
        Interaction::parse(form.as_bytes())
    }

    #[test]
    fn a_pressed_button_is_read() {
        let payload = json!({
            "type": "block_actions",
            "user": { "id": "U1", "username": "alice", "team_id": "T1" },
            "api_app_id": "A1",
            "container": { "type": "message", "message_ts": "1503435956.000247", "channel_id": "C1", "is_ephemeral": false },
            "trigger_id": "1.2.3",
            "team": { "id": "T1", "domain": "acme" },
            "channel": { "id": "C1", "name": "deploys" },
            "message": { "ts": "1503435956.000247", "text": "…" },
            "response_url": "https://hooks.slack.com/actions/T1/2/x",
            "actions": [{ "action_id": "cancel", "block_id": "b", "value": "0123", "type": "button", "action_ts": "1.2" }],
        });
        let read = interaction(&payload).unwrap();
        assert_eq!(
            (read.action_id.as_str(), read.value.as_str(), read.trigger_id.as_str()),
            ("cancel", "0123", "1.2.3")
        );
        assert_eq!((read.user.as_str(), read.channel.as_str()), ("U1", "C1"));
        assert_eq!(read.team.as_ref().map(SlackTeam::as_str), Some("T1"));
        assert_eq!(
            (read.team_domain.as_str(), read.user_name.as_str(), read.user_team.as_str()),
            ("acme", "alice", "T1")
        );

        let named = |user: Value| {
            let mut payload = payload.clone();
            payload["user"] = user;
            interaction(&payload).unwrap().user_name
        };
        assert_eq!(named(json!({ "id": "U1", "name": "alice", "team_id": "T1" })), "alice");
        assert_eq!(named(json!({ "id": "U1", "team_id": "T1" })), "");

        // Installed for a whole organisation.
        let mut nowhere = payload.clone();
        nowhere["team"] = json!(null);
        let read = interaction(&nowhere).unwrap();
        assert_eq!((read.team, read.team_domain.as_str(), read.user_team.as_str()), (None, "", "T1"));

        let check = |name: &str, value: Value, expected| {
            let mut payload = payload.clone();
            payload[name] = value;
            assert_eq!(interaction(&payload), Err(expected), "{name}");
        };
        check("type", json!("view_submission"), FormError::Malformed("payload.type"));
        check("team", json!({ "id": "<!here>" }), FormError::Malformed("payload.team"));
        check("user", json!(null), FormError::Missing("payload.user"));
        check("user", json!({ "id": "U1" }), FormError::Missing("payload.user"));
        check("user", json!({ "id": "U1", "team_id": "<!here>" }), FormError::Malformed("payload.user"));
        check("user", json!({ "id": "<!here>", "team_id": "T1" }), FormError::Malformed("payload.user"));
        check("user", json!("U1"), FormError::Malformed("payload"));
        check("actions", json!([]), FormError::Missing("payload.actions"));
        check("response_url", json!(null), FormError::Missing("payload.response_url"));
        assert_eq!(Interaction::parse(b"payload=%7B"), Err(FormError::Malformed("payload")));
        assert_eq!(Interaction::parse(b""), Err(FormError::Missing("payload")));
    }

    fn shown(request: &Request) -> String {
        let headers: Vec<_> =
            request.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        format!(
            "{} {}\n{}\n\n{}",
            request.method,
            request.url,
            headers.join("\n"),
            String::from_utf8_lossy(&request.body)
        )
    }

    #[test]
    fn what_we_send_to_slack() {
        let token = post_request(&slack(), &channel(), &message(), None).headers[header::AUTHORIZATION].clone();
        assert!(token.is_sensitive());
        insta::assert_snapshot!(shown(&post_request(&slack(), &channel(), &message(), None)), @r#"
        POST https://slack.com/api/chat.postMessage
        content-type: application/json; charset=utf-8
        authorization: Bearer xoxb-1

        {"blocks":[{"type":"divider"}],"channel":"C1","text":"hello","unfurl_links":false,"unfurl_media":false}
        "#);
        insta::assert_snapshot!(shown(&post_request(&slack(), &channel(), &message(), Some(&ts()))), @r#"
        POST https://slack.com/api/chat.postMessage
        content-type: application/json; charset=utf-8
        authorization: Bearer xoxb-1

        {"blocks":[{"type":"divider"}],"channel":"C1","text":"hello","thread_ts":"1503435956.000247","unfurl_links":false,"unfurl_media":false}
        "#);
        insta::assert_snapshot!(shown(&update_request(&slack(), &channel(), &ts(), &message())), @r#"
        POST https://slack.com/api/chat.update
        content-type: application/json; charset=utf-8
        authorization: Bearer xoxb-1

        {"blocks":[{"type":"divider"}],"channel":"C1","text":"hello","ts":"1503435956.000247"}
        "#);
        insta::assert_snapshot!(shown(&respond_request(&response_url(), &message(), Audience::Asker, Original::Keep)), @r#"
        POST https://hooks.slack.com/commands/T1/2/secret
        content-type: application/json; charset=utf-8

        {"blocks":[{"type":"divider"}],"replace_original":false,"response_type":"ephemeral","text":"hello"}
        "#);
        insta::assert_snapshot!(shown(&respond_request(&response_url(), &message(), Audience::Channel, Original::Replace)), @r#"
        POST https://hooks.slack.com/commands/T1/2/secret
        content-type: application/json; charset=utf-8

        {"blocks":[{"type":"divider"}],"replace_original":true,"response_type":"in_channel","text":"hello"}
        "#);
        insta::assert_snapshot!(shown(&group_members_request(&slack(), &SlackGroup::parse("S1").unwrap())), @r"
        GET https://slack.com/api/usergroups.users.list?usergroup=S1
        authorization: Bearer xoxb-1
        ");
        insta::assert_snapshot!(String::from_utf8(answer("*no*")).unwrap(), @r#"{"response_type":"ephemeral","text":"*no*"}"#);
        assert_eq!(update_request(&slack(), &channel(), &ts(), &message()).timeout, Duration::from_secs(5));
    }

    fn refused(cause: Cause) -> SlackError {
        SlackError::Refused(Fault::new(System::Slack, UPDATE, cause))
    }

    fn unreachable_by(cause: Cause, changed: Changed) -> SlackError {
        SlackError::Unreachable(Fault::new(System::Slack, UPDATE, cause).changed(changed))
    }

    #[test]
    fn a_status_of_200_is_not_success() {
        let check =
            |status, body: &str, expected| assert_eq!(read_update(response(status, body)), Err(expected), "{body}");
        for gone in [
            "message_not_found",
            "cant_update_message",
            "edit_window_closed",
            "channel_not_found",
            "not_in_channel",
            "is_archived",
            "is_inactive",
            "restricted_action",
            "restricted_action_read_only_channel",
            "used_url",
            "expired_url",
        ] {
            check(200, &json!({ "ok": false, "error": gone }).to_string(), SlackError::Gone(gone.to_owned()));
        }
        for auth in ["not_authed", "invalid_auth", "account_inactive", "token_revoked", "token_expired"] {
            check(200, &json!({ "ok": false, "error": auth }).to_string(), refused(Cause::Unauthorized));
        }
        for said in ["msg_too_long", "invalid_blocks", "no_text", "an_error_of_next_year"] {
            let cause = Cause::Said { said: said.to_owned() };
            check(200, &json!({ "ok": false, "error": said }).to_string(), refused(cause));
        }
        check(
            200,
            r#"{"ok":false,"error":"missing_scope","needed":"chat:write","provided":"commands"}"#,
            refused(Cause::Forbidden { said: "missing_scope: chat:write".to_owned() }),
        );
        check(
            200,
            r#"{"ok":false,"error":"fatal_error"}"#,
            unreachable_by(Cause::Said { said: "fatal_error".to_owned() }, Changed::Unknown),
        );
        let nonsense = || unreachable_by(Cause::Nonsense { part: "JSON with `ok`".to_owned() }, Changed::Unknown);
        for body in
            ["", "<html>", "[]", r#"{"ok":"yes"}"#, r#"{"ok":false}"#, r#"{"ok":false,"error":"Bad <!channel>"}"#]
        {
            check(200, body, nonsense());
        }
        check(503, "", unreachable_by(Cause::Status { status: 503 }, Changed::Unknown));
        check(500, r#"{"ok":true}"#, unreachable_by(Cause::Status { status: 500 }, Changed::Unknown));
        check(404, "<html>", refused(Cause::Status { status: 404 }));
        check(302, r#"{"ok":true}"#, refused(Cause::Status { status: 302 }));
        assert_eq!(read_update(response(200, r#"{"ok":true,"channel":"C1","ts":"1.2","text":"x"}"#)), Ok(()));
    }

    #[test]
    fn a_rate_limit_says_when_to_come_back() {
        let mut limited = response(429, r#"{"ok":false,"error":"ratelimited"}"#);
        assert_eq!(read_update(limited.clone()), Err(SlackError::RateLimited(Duration::from_secs(5))));
        limited.headers.insert(header::RETRY_AFTER, HeaderValue::from_static("30"));
        assert_eq!(read_update(limited), Err(SlackError::RateLimited(Duration::from_secs(30))));
        let in_the_body = response(200, r#"{"ok":false,"error":"ratelimited"}"#);
        assert_eq!(read_update(in_the_body), Err(SlackError::RateLimited(Duration::from_secs(5))));
    }

    #[test]
    fn a_used_response_url_is_gone() {
        assert_eq!(read_respond(response(200, "ok")), Ok(()));
        assert_eq!(read_respond(response(200, r#"{"ok":true}"#)), Ok(()));
        let check = |status, body: &str, gone: &str| {
            assert_eq!(read_respond(response(status, body)), Err(SlackError::Gone(gone.to_owned())), "{status} {body}");
        };
        check(404, "used_url", "used_url");
        check(404, r#"{"ok":false,"error":"expired_url"}"#, "expired_url");
        check(404, "<html>", "response_url_not_found");
        check(404, "", "response_url_not_found");
        check(410, "no_service", "response_url_not_found");
        let said = Cause::Said { said: "invalid_payload".to_owned() };
        let expected = SlackError::Refused(Fault::new(System::Slack, RESPOND, said));
        assert_eq!(read_respond(response(400, "invalid_payload")), Err(expected));
    }

    #[test]
    fn no_answer_says_whether_the_message_may_be_there() {
        for (error, cause, changed) in [
            (HttpError::Denied, Cause::Denied, Changed::Nothing),
            (HttpError::NotConnected, Cause::NotConnected, Changed::Nothing),
            (HttpError::TimedOut, Cause::TimedOut, Changed::Unknown),
            (HttpError::Broken, Cause::Broken, Changed::Unknown),
        ] {
            let http = Script::new(Err(error));
            let result = update(&http, &slack(), &channel(), &ts(), &message()).now_or_never().unwrap();
            assert_eq!(result, Err(unreachable_by(cause, changed)));
            assert_eq!(http.sent.borrow().len(), 1, "no retries here");
        }
    }

    #[test]
    fn calls_give_what_slack_says() {
        let http = Script::new(Ok(response(
            200,
            r#"{"ok":true,"channel":"C1","ts":"1503435956.000247","users":["U1","x","U2"],"team_id":"T1","message":{"ts":1}}"#,
        )));
        assert_eq!(post(&http, &slack(), &channel(), &message(), None).now_or_never().unwrap(), Ok(ts()));
        let responded =
            respond(&http, &response_url(), &message(), Audience::Asker, Original::Keep).now_or_never().unwrap();
        assert_eq!(responded, Ok(()));
        let group = SlackGroup::parse("S1").unwrap();
        let members = group_members(&http, &slack(), &group).now_or_never().unwrap().unwrap();
        assert_eq!(members.iter().map(SlackUser::as_str).collect::<Vec<_>>(), ["U1", "U2"]);
        assert_eq!(auth_test(&http, &slack()).now_or_never().unwrap(), Ok(SlackTeam::parse("T1").unwrap()));
        assert_eq!(http.sent.borrow().len(), 4);

        let empty = || response(200, r#"{"ok":true}"#);
        for error in [
            read_post(empty()).unwrap_err(),
            read_group_members(empty()).unwrap_err(),
            read_auth_test(empty()).unwrap_err(),
        ] {
            assert!(
                matches!(&error, SlackError::Unreachable(Fault { cause: Cause::Nonsense { .. }, .. })),
                "{error:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_form_panics(body: Vec<u8>, text in "\\PC*") {
            let _ = SlashCommand::parse(&body);
            let _ = Interaction::parse(&body);
            let _ = ResponseUrl::parse(&text, &real_slack());
            let _ = Interaction::parse(format!("payload={text}").as_bytes());
        }

        #[test]
        fn a_text_survives_its_way_through_the_form(text in "\\PC*") {
            let encoded: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
            prop_assert_eq!(command(&COMMAND.replace("&text=", &format!("&text={encoded}"))).text, text);
        }

        #[test]
        fn no_answer_panics(status in 100_u16..600, body: Vec<u8>) {
            let response = Response { status: StatusCode::from_u16(status).unwrap(), headers: HeaderMap::new(), body };
            let _ = read_respond(response.clone());
            let _ = read_post(response);
        }
    }
}
