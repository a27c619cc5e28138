//! The few calls that we make to Slack.

use crate::http::{Http, Request, Response, failed, header, without_nulls};
use domain::fault::{Cause, Changed, Fault, System};
use domain::message::Message;
use domain::names::{MessageTs, ResponseUrl, Secret, SlackChannel, SlackGroup, SlackTeam, SlackUser, UrlOrigin};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

mod views;

pub use views::*;

/// Slack's Web API, and who we are there.
#[derive(Clone, Debug)]
pub struct Slack {
    /// `https://slack.com`, or a stand-in.
    pub url: UrlOrigin,
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

/// Why Slack did not do it. One variant per different reaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlackError {
    /// No usable answer. The fault's `changed` says whether the call took effect.
    Unreachable(Fault),
    /// Try again after this long.
    RateLimited(Duration),
    /// This message, channel, user group, person or `response_url` cannot be used; another may. Slack's own name
    /// for the reason.
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

/// After this time an edit that we gave up on has landed, or never will. Before, it may undo a newer edit.
pub const LATE_EDIT: Duration = Duration::from_secs(10);

/// Posts a message, in a thread if one is named. After [`SlackError::Unreachable`] the message may be
/// there nevertheless.
pub async fn post(
    http: &impl Http,
    slack: &Slack,
    channel: &SlackChannel,
    message: &Message,
    thread: Option<&MessageTs>,
) -> Result<MessageTs, SlackError> {
    read_post(send(http, post_request(slack, channel, message, thread), POST, Changed::Unknown).await?)
}

const POST: &str = "post the message";

/// `chat.postMessage`.
pub fn post_request(slack: &Slack, channel: &SlackChannel, message: &Message, thread: Option<&MessageTs>) -> Request {
    let body = json!({
        "channel": channel,
        "text": message.text,
        "blocks": message.blocks,
        "unfurl_links": false,
        "unfurl_media": false,
        "thread_ts": thread,
    });
    call(slack, "chat.postMessage", &without_nulls(body))
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
    read_update(send(http, update_request(slack, channel, ts, message), UPDATE, Changed::Unknown).await?)
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

/// Posts a message that one person alone sees. Slack shows it in a thread only if the thread has replies already.
pub async fn post_alone(
    http: &impl Http,
    slack: &Slack,
    (channel, user): (&SlackChannel, &SlackUser),
    message: &Message,
    thread: Option<&MessageTs>,
) -> Result<(), SlackError> {
    let request = post_alone_request(slack, (channel, user), message, thread);
    read_post_alone(send(http, request, POST_ALONE, Changed::Unknown).await?)
}

const POST_ALONE: &str = "answer the mention";

/// `chat.postEphemeral`.
pub fn post_alone_request(
    slack: &Slack,
    (channel, user): (&SlackChannel, &SlackUser),
    message: &Message,
    thread: Option<&MessageTs>,
) -> Request {
    let body = json!({
        "channel": channel,
        "user": user,
        "text": message.text,
        "blocks": message.blocks,
        "thread_ts": thread,
    });
    call(slack, "chat.postEphemeral", &without_nulls(body))
}

/// Understands the answer to [`post_alone_request`].
pub fn read_post_alone(response: Response) -> Result<(), SlackError> {
    read_ok(response, POST_ALONE, Changed::Unknown).map(|_| ())
}

/// The address of a message.
pub async fn permalink(
    http: &impl Http,
    slack: &Slack,
    channel: &SlackChannel,
    ts: &MessageTs,
) -> Result<String, SlackError> {
    read_permalink(send(http, permalink_request(slack, channel, ts), LINK, Changed::Nothing).await?)
}

const LINK: &str = "find the address of the message";

/// `chat.getPermalink`, which needs no scope.
pub fn permalink_request(slack: &Slack, channel: &SlackChannel, ts: &MessageTs) -> Request {
    Request::get(format!("{}/api/chat.getPermalink?channel={channel}&message_ts={ts}", slack.url)).bearer(&slack.token)
}

/// Understands the answer to [`permalink_request`].
pub fn read_permalink(response: Response) -> Result<String, SlackError> {
    let answer = read_ok(response, LINK, Changed::Nothing)?;
    answer.permalink.ok_or_else(|| nonsense(LINK, Changed::Nothing, "the address"))
}

/// Answers a click without a token, in a message of its own.
pub async fn respond(
    http: &impl Http,
    to: &ResponseUrl,
    message: &Message,
    audience: Audience,
    thread: Option<&MessageTs>,
) -> Result<(), SlackError> {
    read_respond(send(http, respond_request(to, message, audience, thread), RESPOND, Changed::Unknown).await?)
}

const RESPOND: &str = "answer the command";

/// A POST to the `response_url`.
pub fn respond_request(to: &ResponseUrl, message: &Message, audience: Audience, thread: Option<&MessageTs>) -> Request {
    let body = json!({
        "response_type": match audience { Audience::Asker => "ephemeral", Audience::Channel => "in_channel" },
        "replace_original": false,
        "text": message.text,
        "blocks": message.blocks,
        "thread_ts": thread,
    });
    json_post(to.expose(), &without_nulls(body))
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
    read_group_members(send(http, group_members_request(slack, group), GROUP, Changed::Nothing).await?)
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

/// What Slack says of a person's account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// An active account, and no guest's.
    pub is_full: bool,
    /// The workspaces that the person belongs to: in a large organisation there may be several.
    pub teams: Vec<SlackTeam>,
}

/// A person.
pub async fn person(http: &impl Http, slack: &Slack, user: &SlackUser) -> Result<Person, SlackError> {
    read_person(send(http, person_request(slack, user), PERSON, Changed::Nothing).await?)
}

const PERSON: &str = "find out who is a guest";

/// `users.info`.
pub fn person_request(slack: &Slack, user: &SlackUser) -> Request {
    Request::get(format!("{}/api/users.info?user={user}", slack.url)).bearer(&slack.token)
}

/// Understands the answer to [`person_request`]. What Slack does not say counts against the person.
///
/// `is_stranger` is not enough: it is false for people of another organisation who share a channel with us.
/// <https://docs.slack.dev/reference/objects/user-object>
pub fn read_person(response: Response) -> Result<Person, SlackError> {
    let answer = read_ok(response, PERSON, Changed::Nothing)?;
    let user = answer.user.and_then(|user| serde_json::from_value::<User>(user).ok());
    let user = user.ok_or_else(|| nonsense(PERSON, Changed::Nothing, "the user"))?;
    let guest = [user.is_restricted, user.is_ultra_restricted];
    let is_full = guest == [Some(false); 2] && user.deleted != Some(true) && user.is_stranger != Some(true);
    let of_organisation = user.enterprise_user.map(|user| user.teams).unwrap_or_default();
    let teams = user.team_id.iter().chain(&of_organisation).filter_map(|team| SlackTeam::parse(team).ok()).collect();
    Ok(Person { is_full, teams })
}

/// The workspace that our token belongs to. `None`: the app is installed for a whole organisation.
pub async fn own_team(http: &impl Http, slack: &Slack) -> Result<Option<SlackTeam>, SlackError> {
    read_own_team(send(http, own_team_request(slack), TEAM, Changed::Nothing).await?)
}

const TEAM: &str = "find out which workspace I work for";

/// `auth.test`, which needs no scope.
pub fn own_team_request(slack: &Slack) -> Request {
    Request::get(format!("{}/api/auth.test", slack.url)).bearer(&slack.token)
}

/// Understands the answer to [`own_team_request`].
pub fn read_own_team(response: Response) -> Result<Option<SlackTeam>, SlackError> {
    let answer = read_ok(response, TEAM, Changed::Nothing)?;
    let team = answer.team_id.as_deref().and_then(|team| SlackTeam::parse(team).ok());
    // The id of an organisation begins with an E.
    if answer.is_enterprise_install == Some(true) || team.as_ref().is_some_and(|team| team.as_str().starts_with('E')) {
        return Ok(None);
    }
    team.map(Some).ok_or_else(|| nonsense(TEAM, Changed::Nothing, "the workspace's id"))
}

/// The body of the immediate answer to a command: seen by the asker only. `text` is for where blocks cannot be
/// shown.
pub fn answer(text: &str, blocks: &Value) -> Vec<u8> {
    json!({ "response_type": "ephemeral", "text": text, "blocks": blocks }).to_string().into_bytes()
}

fn call(slack: &Slack, method: &str, body: &Value) -> Request {
    json_post(&format!("{}/api/{method}", slack.url), body).bearer(&slack.token)
}

fn json_post(url: &str, body: &Value) -> Request {
    Request::post_json(url, body).header(header::CONTENT_TYPE, "application/json; charset=utf-8")
}

/// `unsettled`: what the fault says of an effect that a call without an answer leaves open.
async fn send(http: &impl Http, request: Request, doing: &str, unsettled: Changed) -> Result<Response, SlackError> {
    http.send(request).await.map_err(|error| {
        let changed = if error.nothing_happened() { Changed::Nothing } else { unsettled };
        SlackError::Unreachable(Fault::new(System::Slack, doing, error.into()).changed(changed))
    })
}

/// The parts of Slack's answers that we read.
#[derive(Deserialize)]
struct Answer {
    ok: bool,
    error: Option<String>,
    needed: Option<String>,
    ts: Option<String>,
    permalink: Option<String>,
    users: Option<Vec<String>>,
    /// Of a person an object; our own name where we ask who we are.
    user: Option<Value>,
    team_id: Option<String>,
    is_enterprise_install: Option<bool>,
    view: Option<ViewId>,
}

/// A user object. A deactivated account has few of the fields.
#[derive(Deserialize)]
struct User {
    team_id: Option<String>,
    deleted: Option<bool>,
    /// A guest.
    is_restricted: Option<bool>,
    /// A guest of one channel.
    is_ultra_restricted: Option<bool>,
    /// Of another organisation, and in no channel of ours.
    is_stranger: Option<bool>,
    enterprise_user: Option<OfOrganisation>,
}

#[derive(Deserialize)]
struct OfOrganisation {
    #[serde(default)]
    teams: Vec<String>,
}

/// Did Slack do it? An HTTP status of 200 does not say so. `unsettled`: what the fault says of an effect that
/// the answer leaves open.
fn read_ok(response: Response, doing: &str, unsettled: Changed) -> Result<Answer, SlackError> {
    let wait = response.retry_after().unwrap_or(RETRY_AFTER);
    let fault = |cause| Fault::new(System::Slack, doing, cause);
    let status = failed(response.status.as_u16(), &response);
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
        | "user_not_in_channel"
        | "thread_not_found"
        | "cannot_reply_to_message"
        | "is_archived"
        | "is_inactive"
        | "used_url"
        | "expired_url"
        | "messages_tab_disabled"
        | "no_such_subteam"
        | "expired_trigger_id"
        | "exchanged_trigger_id"
        | "invalid_trigger_id"
        | "hash_conflict"
        | "not_found"
        | "user_not_found"
        | "user_not_visible"
        | "method_not_supported_for_channel_type" => SlackError::Gone(error),
        restricted if restricted.starts_with("restricted_action") => SlackError::Gone(error),
        // "Some aspect of the operation may have succeeded":
        // https://docs.slack.dev/reference/methods/chat.postMessage
        "fatal_error" | "internal_error" | "service_unavailable" | "request_timeout" | "update_failed" => {
            SlackError::Unreachable(fault(Cause::Failed { said: error }).changed(unsettled))
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

/// How long we wait after a 429 without a time.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Slack's name for what is wrong. Text that does not look like a name is not passed on.
fn reason(text: &str) -> Option<String> {
    let ok = (1..=80).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    ok.then(|| text.to_owned())
}

fn scopes(text: &str) -> Option<&str> {
    let ok = text.len() <= 80 && text.bytes().all(|b| b.is_ascii_lowercase() || matches!(b, b':' | b'.' | b',' | b'_'));
    ok.then_some(text)
}

fn nonsense(doing: &str, changed: Changed, part: &str) -> SlackError {
    SlackError::Unreachable(
        Fault::new(System::Slack, doing, Cause::Nonsense { part: part.to_owned() }).changed(changed),
    )
}

#[cfg(test)]
mod tests;
