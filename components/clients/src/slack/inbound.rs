//! What Slack sends us: a slash command, a pressed button.

use domain::names::{CommandName, MessageTs, Secret, SlackChannel, SlackTeam, SlackUser};
use serde::Deserialize;
use std::borrow::Cow;

mod form;

pub use form::{FormEvent, InForm};

/// A request from Slack that is not what Slack documents. The error names the field, never its value.
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

/// A person typed the command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlashCommand {
    pub team: SlackTeam,
    /// The workspace's part of `<domain>.slack.com`; empty if Slack did not send it.
    pub team_domain: String,
    pub channel: SlackChannel,
    pub user: SlackUser,
    /// Their name, for texts only; empty if Slack did not send it.
    pub user_name: String,
    /// The command itself, as the installation calls it.
    pub command: CommandName,
    /// What was typed after it.
    pub text: String,
    /// Where we may answer without a token, once [`ResponseUrl::parse`](domain::names::ResponseUrl::parse)
    /// has looked at it.
    pub response_url: Secret,
    /// Different for every click: what the deployment's id is made of.
    pub trigger_id: String,
}

impl SlashCommand {
    /// Reads the form, whose signature was checked. `None`: Slack only checks our certificate.
    pub fn parse(body: &[u8]) -> Result<Option<Self>, FormError> {
        let form = Form::read(body);
        if form.optional("ssl_check")?.as_deref() == Some("1") {
            return Ok(None);
        }
        Ok(Some(Self {
            team: form.named("team_id", SlackTeam::parse)?,
            team_domain: form.optional("team_domain")?.unwrap_or_default(),
            channel: form.named("channel_id", SlackChannel::parse)?,
            user: form.named("user_id", SlackUser::parse)?,
            user_name: form.optional("user_name")?.unwrap_or_default(),
            command: CommandName::sent(&form.required("command")?),
            text: form.optional("text")?.unwrap_or_default(),
            response_url: Secret::new(form.required("response_url")?),
            trigger_id: form.required("trigger_id")?,
        }))
    }
}

/// The longest body that is read without a signature, in bytes: Slack's check of our certificate has 50 or so.
pub const LONGEST_CHECK: usize = 1 << 10;

/// Whether a form only checks our certificate: `ssl_check=1`, and nothing but the old `token` beside it. Slack may
/// send it without a signature, see <https://docs.slack.dev/interactivity/implementing-slash-commands>.
pub fn is_ssl_check(body: &[u8]) -> bool {
    let pairs = || body.split(|b| *b == b'&');
    let checks = pairs().filter(|pair| *pair == b"ssl_check=1").count();
    checks == 1 && pairs().all(|pair| pair == b"ssl_check=1" || pair.starts_with(b"token="))
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interaction {
    /// The workspace in which the message is; none if the app is installed for a whole organisation.
    pub team: Option<SlackTeam>,
    /// That workspace's part of `<domain>.slack.com`; empty if Slack did not send it.
    pub team_domain: String,
    pub user: SlackUser,
    /// Their name, for texts only; empty if Slack did not send it.
    pub user_name: String,
    /// The person's own workspace, which may be another one in a shared channel.
    pub user_team: SlackTeam,
    pub channel: SlackChannel,
    /// The first message of the thread in which the button is, if it is in one.
    pub thread: Option<MessageTs>,
    pub action_id: String,
    /// What we put into it; empty if nothing. It proves nothing about `user`.
    pub value: String,
    /// Where we may answer without a token, once [`ResponseUrl::parse`](domain::names::ResponseUrl::parse)
    /// has looked at it.
    pub response_url: Secret,
    /// Different for every click.
    pub trigger_id: String,
}

impl Interaction {
    /// Reads the form with its one field `payload`. Kinds other than a pressed button
    /// are [`FormError::Malformed`].
    pub fn parse(body: &[u8]) -> Result<Self, FormError> {
        let payload: Payload = serde_json::from_str(&Form::read(body).required("payload")?)
            .map_err(|_| FormError::Malformed("payload"))?;
        if payload.kind != "block_actions" {
            return Err(FormError::Malformed("payload.type"));
        }
        fn id<T, E>(id: Option<WithId>, name: &'static str, parse: fn(&str) -> Result<T, E>) -> Result<T, FormError> {
            parse(&id.ok_or(FormError::Missing(name))?.id).map_err(|_| FormError::Malformed(name))
        }
        let Container { message_ts, thread_ts } = payload.container.unwrap_or_default();
        // Of a message that has replies, Slack may name itself.
        let thread = thread_ts.filter(|thread| Some(thread) != message_ts.as_ref());
        let thread = thread.map(|ts| MessageTs::parse(&ts).map_err(|_| FormError::Malformed("payload.container")));
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
            thread: thread.transpose()?,
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
    container: Option<Container>,
    #[serde(default)]
    actions: Vec<Action>,
    response_url: Option<String>,
    trigger_id: Option<String>,
}

#[derive(Deserialize)]
struct WithId {
    id: String,
    domain: Option<String>,
    /// Slack's example of a pressed button has this field; real ones may have both.
    username: Option<String>,
    name: Option<String>,
    team_id: Option<String>,
}

/// What the button is in.
#[derive(Default, Deserialize)]
struct Container {
    message_ts: Option<String>,
    thread_ts: Option<String>,
}

#[derive(Deserialize)]
struct Action {
    action_id: String,
    value: Option<String>,
}

/// A form, decoded once. Not `form_urlencoded`, which replaces what is not UTF-8: two different branches
/// would become one.
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

#[cfg(test)]
mod tests;
