//! Slack: one workspace with its people, channels and the installed bot.
//!
//! People act through [`Slack::command`], [`Slack::click`], [`Slack::delete_message`], ...; the bot acts through
//! [`StandIn::answer`]. Easy to miss: Slack answers nearly every mistake with HTTP 200 and `"ok": false`;
//! a `response_url` works five times within 30 minutes; an update without `blocks` keeps the old ones.

use std::collections::{BTreeMap, BTreeSet};

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{Answer, Millis, Outgoing, Request, Response, StandIn};

mod blocks;
mod notify;
mod render;
mod views;

pub use views::View;

/// The bot as a person of the workspace: what a mention names.
pub const BOT_USER: &str = "U0BOT";
const BOT_ID: &str = "B0BOT";
const APP_ID: &str = "A0DEPLOY";

/// A person of the workspace, or of another one that shares a channel with it.
#[derive(Clone, Debug)]
pub struct User {
    /// The name people see.
    pub name: String,
    /// The id of the person's own workspace.
    pub team: String,
    /// What `users.info` says about the account.
    pub account: Account,
}

/// What kind of account a person has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// An ordinary member.
    Full,
    /// A guest of several channels (`is_restricted`).
    Guest,
    /// A guest of one channel (`is_ultra_restricted`, too).
    SingleChannelGuest,
    /// Deactivated.
    Deleted,
}

/// Who can see a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Everybody.
    Public,
    /// Its members; for the bot it does not exist unless it is one.
    Private,
    /// Two people; their bots are not among them.
    Direct,
}

/// Is the bot in the channel?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bot {
    /// It is.
    Member,
    /// It is not.
    Outside,
}

/// A channel and what was said in it.
#[derive(Clone, Debug)]
pub struct Channel {
    /// The name without `#`.
    pub name: String,
    /// Who can see it.
    pub kind: Kind,
    /// Whether the bot was invited.
    pub bot: Bot,
    /// Nobody can write to an archived channel.
    pub archived: bool,
    messages: Vec<Message>,
    last_ts: u64,
}

impl Channel {
    /// A living message or reply.
    fn find(&self, ts: &str) -> Option<&Message> {
        let mut all = self.messages.iter().flat_map(|message| std::iter::once(message).chain(&message.thread));
        all.find(|message| message.is(ts))
    }

    fn find_mut(&mut self, ts: &str) -> Option<&mut Message> {
        for message in &mut self.messages {
            if message.is(ts) {
                return Some(message);
            }
            if let Some(reply) = message.thread.iter_mut().find(|reply| reply.is(ts)) {
                return Some(reply);
            }
        }
        None
    }

    /// What an app is told about its name, which is nothing for a private one.
    fn told_name(&self) -> &str {
        match self.kind {
            Kind::Direct => "directmessage",
            Kind::Private => "privategroup",
            Kind::Public => &self.name,
        }
    }
}

/// Who wrote a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Author {
    /// The bot.
    Bot,
    /// The person with this id.
    Person(String),
}

/// One state of a message.
#[derive(Clone, Debug, PartialEq)]
pub struct Edit {
    /// When it became so.
    pub at: Millis,
    /// The text: what a person sees if there are no blocks.
    pub text: String,
    /// The blocks.
    pub blocks: Vec<Value>,
}

/// A message with its whole history.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its name within the channel.
    pub ts: String,
    /// The channel's id.
    pub channel: String,
    /// The message it is a reply to.
    pub thread_ts: Option<String>,
    /// Who wrote it.
    pub author: Author,
    /// The only person who sees it, if it is ephemeral.
    pub only_for: Option<String>,
    /// The `response_url` that it came through, if it is ephemeral.
    pub response_url: Option<String>,
    /// When a person deleted it.
    pub deleted: Option<Millis>,
    /// First how it was posted, then every update.
    pub edits: Vec<Edit>,
    /// The replies to it, in order. They are not among the channel's messages.
    pub thread: Vec<Message>,
}

impl Message {
    /// The `action_id` of every button that it has now.
    pub fn buttons(&self) -> Vec<&str> {
        buttons(&self.now().blocks).filter_map(|(_, button)| button["action_id"].as_str()).collect()
    }

    fn is(&self, ts: &str) -> bool {
        self.ts == ts && self.deleted.is_none()
    }

    /// How it is now.
    pub fn now(&self) -> &Edit {
        self.edits.last().expect("a message is posted with its first edit")
    }

    /// The text now.
    pub fn text(&self) -> &str {
        &self.now().text
    }
}

/// How fast the bot may speak.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `chat.postMessage` at once in one channel; then one per second.
    pub post_burst: u64,
    /// `chat.update` at once in the workspace; then [`Self::updates_per_minute`].
    pub update_burst: u64,
    /// The steady rate of `chat.update`.
    pub updates_per_minute: u64,
    /// How long a minute is: a test need not wait for a real one. What it says to wait for is whole seconds
    /// all the same.
    pub minute: Millis,
}

impl Default for Limits {
    fn default() -> Self {
        Self { post_burst: 3, update_burst: 10, updates_per_minute: 50, minute: 60_000 }
    }
}

/// How a request of Slack's may be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgery {
    /// Signed properly, but this many seconds ago.
    StaleBy(u64),
    /// Signed with another secret.
    WrongSecret,
    /// The body was changed after signing.
    OtherBody,
    /// No signature at all.
    Unsigned,
}

#[derive(Clone, Debug)]
enum Shown {
    InChannel(String, String),
    Ephemeral(usize),
}

#[derive(Clone, Debug)]
struct ResponseUrl {
    user: String,
    channel: String,
    born: Millis,
    uses: u32,
    shown: Option<Shown>,
}

/// The workspace.
#[derive(Clone, Debug)]
pub struct Slack {
    /// What the bot must send as bearer token.
    pub bot_token: String,
    /// What Slack signs with.
    pub signing_secret: String,
    /// Where this stand-in is reached (`http://127.0.0.1:4100`): the start of every `response_url`.
    pub origin: String,
    /// The id of the workspace.
    pub team: String,
    /// The scopes that the bot was given when it was installed.
    pub scopes: BTreeSet<String>,
    /// What the installation calls the command.
    pub command: String,
    /// `None`: no rate limits.
    pub limits: Option<Limits>,
    /// How long after posting a message may be edited; `None`: always.
    pub edit_window: Option<Millis>,
    /// A free plan has no user groups.
    pub free_plan: bool,
    /// The app is installed for a whole organisation: Slack names no workspace when a button is pressed, only
    /// that of the person who pressed it.
    pub for_organisation: bool,
    /// The people by id, to change an account.
    pub users: BTreeMap<String, User>,
    /// The members of each user group by its id.
    pub groups: BTreeMap<String, Vec<String>>,
    channels: BTreeMap<String, Channel>,
    ephemerals: Vec<Message>,
    response_urls: BTreeMap<String, ResponseUrl>,
    triggers: BTreeMap<String, views::Trigger>,
    views: Vec<View>,
    revoked: bool,
    counter: u64,
    /// When each limited thing would be at its steady rate again.
    full_at: BTreeMap<String, Millis>,
    limited: u32,
}

impl Slack {
    /// An empty workspace whose bot has every scope that its manifest asks for.
    pub fn new(signing_secret: &str, bot_token: &str, origin: &str) -> Self {
        let scopes =
            ["commands", "app_mentions:read", "chat:write", "chat:write.public", "users:read", "usergroups:read"];
        Self {
            bot_token: bot_token.to_owned(),
            signing_secret: signing_secret.to_owned(),
            origin: origin.trim_end_matches('/').to_owned(),
            team: "T0ACME".to_owned(),
            scopes: scopes.into_iter().map(str::to_owned).collect(),
            command: "/deploy".to_owned(),
            limits: None,
            edit_window: None,
            free_plan: false,
            for_organisation: false,
            users: BTreeMap::new(),
            groups: BTreeMap::new(),
            channels: BTreeMap::new(),
            ephemerals: Vec::new(),
            response_urls: BTreeMap::new(),
            triggers: BTreeMap::new(),
            views: Vec::new(),
            revoked: false,
            counter: 0,
            full_at: BTreeMap::new(),
            limited: 0,
        }
    }

    // ---- the workspace ----

    /// Adds a full member.
    pub fn add_user(&mut self, id: &str, name: &str) {
        let user = User { name: name.to_owned(), team: self.team.clone(), account: Account::Full };
        self.users.insert(id.to_owned(), user);
    }

    /// Adds a person of another workspace that shares a channel with this one.
    pub fn add_stranger(&mut self, id: &str, name: &str, team: &str) {
        let user = User { name: name.to_owned(), team: team.to_owned(), account: Account::Full };
        self.users.insert(id.to_owned(), user);
    }

    /// Adds a channel.
    pub fn add_channel(&mut self, id: &str, name: &str, kind: Kind, bot: Bot) {
        let channel = Channel { name: name.to_owned(), kind, bot, archived: false, messages: Vec::new(), last_ts: 0 };
        self.channels.insert(id.to_owned(), channel);
    }

    /// A channel, to invite the bot or archive it.
    pub fn channel(&mut self, id: &str) -> &mut Channel {
        self.channels.get_mut(id).unwrap_or_else(|| panic!("no channel {id} in this workspace"))
    }

    /// From now on the bot's token is refused.
    pub fn revoke_token(&mut self) {
        self.revoked = true;
    }

    // ---- what people do ----

    /// A person types the command. A stranger's command has the id of their own workspace; it only gets to us if the app
    /// was installed there too.
    pub fn command(&mut self, now: Millis, user: &str, channel: &str, text: &str) -> Outgoing {
        let person = self.person(user).clone();
        let channel_name = self.channel(channel).told_name().to_owned();
        let response_url = self.response_url(now, "commands", user, channel, None);
        let trigger_id = self.trigger_id(now, user);
        let body = form_urlencoded::Serializer::new(String::new())
            .append_pair("token", "deprecated-verification-token")
            .append_pair("team_id", &person.team)
            .append_pair("team_domain", &person.team.to_lowercase())
            .append_pair("channel_id", channel)
            .append_pair("channel_name", &channel_name)
            .append_pair("user_id", user)
            .append_pair("user_name", &person.name)
            .append_pair("command", &self.command)
            .append_pair("text", text.trim())
            .append_pair("api_app_id", APP_ID)
            .append_pair("is_enterprise_install", "false")
            .append_pair("response_url", &response_url)
            .append_pair("trigger_id", &trigger_id)
            .finish();
        self.outgoing(now, "/slack/command", body)
    }

    /// A person writes a message that mentions the bot, in a thread or in the channel. `text` as Slack keeps it: names and links
    /// between `<` and `>`, and `&`, `<` and `>` as entities. Slack sends the event only with the scope for it.
    pub fn mention(
        &mut self,
        now: Millis,
        user: &str,
        channel: &str,
        thread: Option<&str>,
        text: &str,
    ) -> Option<Outgoing> {
        let person = self.person(user).clone();
        let author = Author::Person(user.to_owned());
        let ts = self.post(now, channel, author, thread.map(str::to_owned), text.to_owned(), Vec::new());
        let mut event = json!({
            "type": "app_mention", "user": user, "text": text, "ts": ts, "channel": channel,
            "event_ts": ts, "team": person.team, "client_msg_id": self.fresh(now),
            "blocks": [{"type": "rich_text", "block_id": "b0", "elements": []}],
        });
        if let Some(thread) = thread {
            event["thread_ts"] = json!(thread);
            event["parent_user_id"] = json!(user);
        }
        if person.team != self.team {
            event["user_team"] = json!(person.team);
            event["source_team"] = json!(person.team);
        }
        self.scopes.contains("app_mentions:read").then(|| self.event(now, &event))
    }

    /// Any event, as Slack wraps and signs it.
    pub fn event(&mut self, now: Millis, event: &Value) -> Outgoing {
        let payload = json!({
            "token": "deprecated-verification-token", "team_id": self.team, "context_team_id": self.team,
            "context_enterprise_id": null, "api_app_id": APP_ID, "event": event, "type": "event_callback",
            "event_id": format!("Ev{}", &self.fresh(now)[..10].to_uppercase()), "event_time": now / 1000,
            "authorizations": [{
                "enterprise_id": null, "team_id": self.team, "user_id": BOT_USER, "is_bot": true,
                "is_enterprise_install": self.for_organisation,
            }],
            "is_ext_shared_channel": false, "event_context": "4-eyJldCI6ImFwcF9tZW50aW9uIn0",
        });
        self.events_request(now, &payload)
    }

    /// Any body to the address for events, signed.
    pub fn events_request(&self, now: Millis, payload: &Value) -> Outgoing {
        let outgoing = self.outgoing(now, "/slack/events", payload.to_string());
        let headers = as_json(outgoing.headers);
        Outgoing { headers, ..outgoing }
    }

    /// The event once more, as Slack sends it when it got no answer in time: signed anew, the same bytes.
    pub fn retry(&self, now: Millis, outgoing: &Outgoing, times: u32) -> Outgoing {
        let mut headers = as_json(signed(&self.signing_secret, now / 1000, &outgoing.body));
        headers.push(("x-slack-retry-num".to_owned(), times.to_string()));
        headers.push(("x-slack-retry-reason".to_owned(), "http_timeout".to_owned()));
        Outgoing { at: now, headers, ..outgoing.clone() }
    }

    /// The same request once more, byte for byte, as an impatient proxy sends it.
    pub fn repeat(&self, now: Millis, outgoing: &Outgoing) -> Outgoing {
        Outgoing { at: now, ..outgoing.clone() }
    }

    /// A person clicks the button with this `action_id` (and confirms it, if it asks), in a message or reply of the channel or
    /// in an ephemeral message that only they see; `None` if they see no such button.
    pub fn click(&mut self, now: Millis, user: &str, channel: &str, ts: &str, action_id: &str) -> Option<Outgoing> {
        let person = self.person(user).clone();
        let mine = |message: &Message| {
            message.is(ts) && message.channel == channel && message.only_for.as_deref() == Some(user)
        };
        let (message, source) = match self.channels.get(channel).and_then(|channel| channel.find(ts)) {
            Some(message) => (message, Shown::InChannel(channel.to_owned(), ts.to_owned())),
            None => {
                let index = self.ephemerals.iter().position(mine)?;
                (&self.ephemerals[index], Shown::Ephemeral(index))
            }
        };
        let (shown, thread_ts) = (message.now().clone(), message.thread_ts.clone());
        let has_replies = !message.thread.is_empty();
        let is_ephemeral = matches!(source, Shown::Ephemeral(_));
        let (block_id, button) = find_button(&shown.blocks, action_id)?;
        let channel_name = self.channel(channel).told_name().to_owned();
        let response_url = self.response_url(now, "actions", user, channel, Some(source));
        let mut action = json!({
            "type": "button", "action_id": action_id, "block_id": block_id, "text": button["text"],
            "action_ts": format!("{}.{:06}", now / 1000, now % 1000 * 1000),
        });
        for name in ["value", "style", "url", "confirm"] {
            if let Some(value) = button.get(name) {
                action[name] = value.clone();
            }
        }
        let mut container =
            json!({"type": "message", "message_ts": ts, "channel_id": channel, "is_ephemeral": is_ephemeral});
        if let Some(thread) = &thread_ts {
            container["thread_ts"] = json!(thread);
        }
        let mut payload = json!({
            "type": "block_actions",
            "user": {"id": user, "username": person.name, "name": person.name, "team_id": person.team},
            "api_app_id": APP_ID,
            "token": "deprecated-verification-token",
            "container": container,
            "trigger_id": self.trigger_id(now, user),
            // The workspace where the app is installed, not that of the person: only `user.team_id` shows a
            // stranger.
            "team": {"id": self.team, "domain": self.team.to_lowercase()},
            "enterprise": null,
            "is_enterprise_install": false,
            "channel": {"id": channel, "name": channel_name},
            "state": {"values": {}},
            "response_url": response_url,
            "actions": [action],
        });
        if self.for_organisation {
            payload["team"] = serde_json::Value::Null;
            payload["enterprise"] = json!({"id": "E0ACME", "name": "Acme"});
            payload["is_enterprise_install"] = json!(true);
        }
        // Slack does not keep ephemeral messages, so it cannot send one back.
        if !is_ephemeral {
            payload["message"] = self.message_json(ts, &shown);
            if let Some(thread) = &thread_ts {
                payload["message"]["thread_ts"] = json!(thread);
            } else if has_replies {
                // A message with replies names itself.
                payload["message"]["thread_ts"] = json!(ts);
                payload["container"]["thread_ts"] = json!(ts);
            }
        }
        let body =
            form_urlencoded::Serializer::new(String::new()).append_pair("payload", &payload.to_string()).finish();
        Some(self.outgoing(now, "/slack/interaction", body))
    }

    /// Slack's own check that the certificate of `path` is good. It is not signed.
    pub fn ssl_check(&self, now: Millis, path: &str) -> Outgoing {
        let body = "ssl_check=1&token=deprecated-verification-token".as_bytes().to_vec();
        Outgoing { at: now, path: path.to_owned(), headers: vec![form_header()], body }
    }

    /// The request as somebody would send it who is not Slack.
    pub fn forge(&self, outgoing: &Outgoing, forgery: Forgery) -> Outgoing {
        let body = outgoing.body.clone();
        let seconds = outgoing.at / 1000;
        let is_event = outgoing.path == "/slack/events";
        let headers = |headers| if is_event { as_json(headers) } else { headers };
        match forgery {
            Forgery::StaleBy(age) => {
                let headers = headers(signed(&self.signing_secret, seconds - age, &body));
                Outgoing { headers, ..outgoing.clone() }
            }
            Forgery::WrongSecret => {
                Outgoing { headers: headers(signed("not the secret", seconds, &body)), ..outgoing.clone() }
            }
            Forgery::OtherBody => Outgoing { body: [&body[..], b"&x=1"].concat(), ..outgoing.clone() },
            Forgery::Unsigned => Outgoing { headers: headers(vec![form_header()]), ..outgoing.clone() },
        }
    }

    /// A person writes a message; its ts.
    pub fn say(&mut self, now: Millis, user: &str, channel: &str, text: &str) -> String {
        self.post(now, channel, Author::Person(user.to_owned()), None, text.to_owned(), Vec::new())
    }

    /// A person (or an administrator, or a retention rule) deletes a message.
    pub fn delete_message(&mut self, now: Millis, channel: &str, ts: &str) {
        if let Some(message) = self.channel(channel).find_mut(ts) {
            message.deleted = Some(now);
        }
    }

    /// The bot's HTTP answer to a command or a click, `now` being when it was complete: what the person sees of it.
    pub fn answered(&mut self, now: Millis, outgoing: &Outgoing, status: u16, body: &[u8]) {
        let fields: BTreeMap<String, String> = form_urlencoded::parse(&outgoing.body).into_owned().collect();
        let late = now.saturating_sub(outgoing.at) > 3000;
        let Some(url) = fields.get("response_url") else {
            return self.click_answered(now, &fields, late || status != 200, body);
        };
        let Some(to) = self.response_urls.get(&self.path_of(url)).cloned() else { return };
        let command = fields.get("command").cloned().unwrap_or_default();
        let failed = |error: &str| format!("{command} failed with the error \"{error}\"");
        if late || status != 200 {
            let error = if late { "operation_timeout" } else { "dispatch_failed" };
            self.whisper(now, url, &to, failed(error), Vec::new());
            return;
        }
        let text = String::from_utf8_lossy(body).into_owned();
        match serde_json::from_str::<Value>(&text) {
            Ok(answer) if answer.is_object() => {
                if answer["response_type"] == "in_channel" {
                    let typed = format!("{command} {}", fields.get("text").map_or("", String::as_str));
                    self.say(now, &to.user, &to.channel, typed.trim_end());
                }
                // An answer without text is only an acknowledgement.
                if answer.get("text").is_some() || answer.get("blocks").is_some() {
                    match self.respond(now, &self.path_of(url), &answer) {
                        Ok(()) => {}
                        Err(_) => self.whisper(now, url, &to, failed("invalid_command_response"), Vec::new()),
                    }
                }
            }
            _ if text.is_empty() => {}
            _ => self.whisper(now, url, &to, text, Vec::new()),
        }
    }

    fn click_answered(&mut self, now: Millis, fields: &BTreeMap<String, String>, failed: bool, body: &[u8]) {
        let payload: Value = fields.get("payload").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        self.view_answered(&payload, failed, body);
        let url = payload["response_url"].as_str().unwrap_or_default();
        if let (true, Some(to)) = (failed, self.response_urls.get(&self.path_of(url)).cloned()) {
            self.whisper(now, url, &to, "the button did not work: try again".to_owned(), Vec::new());
        }
    }

    // ---- what a test looks at ----

    /// All messages of a channel, the deleted ones too, in order. Replies are in [`Message::thread`].
    pub fn messages(&self, channel: &str) -> &[Message] {
        self.channels.get(channel).map(|channel| channel.messages.as_slice()).unwrap_or_default()
    }

    /// What only this person sees, in order.
    pub fn ephemerals(&self, user: &str) -> Vec<&Message> {
        let mine = |message: &&Message| message.only_for.as_deref() == Some(user) && message.deleted.is_none();
        self.ephemerals.iter().filter(mine).collect()
    }

    /// What one person alone sees, whoever that is, in order.
    pub fn all_ephemerals(&self) -> &[Message] {
        &self.ephemerals
    }

    /// The messages and replies that notified this person when they were posted, in each channel in order: those that mention
    /// them, a group that they are in, or everybody. Updates and ephemeral messages notify nobody.
    pub fn mentions(&self, user: &str) -> Vec<&Message> {
        let groups: Vec<&str> = self
            .groups
            .iter()
            .filter(|(_, members)| members.iter().any(|member| member == user))
            .map(|(id, _)| id.as_str())
            .collect();
        let all = self.channels.values().flat_map(|channel| &channel.messages);
        let all = all.flat_map(|message| std::iter::once(message).chain(&message.thread));
        all.filter(|message| message.edits.first().is_some_and(|edit| notify::notifies(edit, user, &groups))).collect()
    }

    /// How often the answer to the bot was `ratelimited`.
    pub fn limited(&self) -> u32 {
        self.limited
    }

    /// A message as a person reads it, in plain text; the replies below it, indented.
    pub fn render(&self, message: &Message) -> String {
        let mut text = self.render_edit(message.now());
        for reply in message.thread.iter().filter(|reply| reply.deleted.is_none()) {
            for line in self.render_edit(reply.now()).lines() {
                text += &format!("\n    {line}");
            }
        }
        text
    }

    /// One state of a message as a person read it.
    pub fn render_edit(&self, edit: &Edit) -> String {
        render::render(&edit.text, &edit.blocks, &|id| {
            let user = self.users.get(id).map(|user| user.name.clone());
            user.or_else(|| self.channels.get(id).map(|channel| channel.name.clone()))
        })
    }

    // ---- inside ----

    fn person(&self, user: &str) -> &User {
        self.users.get(user).unwrap_or_else(|| panic!("no person {user} in this workspace"))
    }

    fn outgoing(&self, now: Millis, path: &str, body: String) -> Outgoing {
        let headers = signed(&self.signing_secret, now / 1000, body.as_bytes());
        Outgoing { at: now, path: path.to_owned(), headers, body: body.into_bytes() }
    }

    /// Never twice the same, also not after a restart: a bot with a lasting store would take it for the same click.
    fn fresh(&mut self, now: Millis) -> String {
        self.counter += 1;
        hex(&Sha256::digest(format!("{}/{now}/{}", self.team, self.counter)))
    }

    fn trigger_id(&mut self, now: Millis, user: &str) -> String {
        let random = self.fresh(now);
        let trigger_id = format!("{}.{}.{}", 398_738_663_015 + self.counter, 47_445_629_121_u64, &random[..32]);
        self.new_trigger(now, user, &trigger_id);
        trigger_id
    }

    fn response_url(&mut self, now: Millis, kind: &str, user: &str, channel: &str, shown: Option<Shown>) -> String {
        let random = self.fresh(now);
        let path = format!("/{kind}/{}/{}/{}", self.team, 397_700_885_554 + self.counter, &random[..24]);
        let to = ResponseUrl { user: user.to_owned(), channel: channel.to_owned(), born: now, uses: 0, shown };
        self.response_urls.insert(path.clone(), to);
        format!("{}{path}", self.origin)
    }

    fn path_of(&self, url: &str) -> String {
        url.strip_prefix(&self.origin).unwrap_or_default().to_owned()
    }

    fn post(
        &mut self,
        now: Millis,
        channel_id: &str,
        author: Author,
        thread_ts: Option<String>,
        text: String,
        blocks: Vec<Value>,
    ) -> String {
        let channel = self.channel(channel_id);
        channel.last_ts = (now / 1000 * 1_000_000).max(channel.last_ts) + 100;
        let ts = format!("{}.{:06}", channel.last_ts / 1_000_000, channel.last_ts % 1_000_000);
        let parent =
            thread_ts.as_ref().and_then(|parent| channel.messages.iter_mut().find(|known| known.ts == *parent));
        let list = parent.map(|parent| &mut parent.thread);
        let message = Message {
            ts: ts.clone(),
            channel: channel_id.to_owned(),
            thread_ts,
            author,
            only_for: None,
            response_url: None,
            deleted: None,
            edits: vec![Edit { at: now, text, blocks }],
            thread: Vec::new(),
        };
        match list {
            Some(thread) => thread.push(message),
            None => channel.messages.push(message),
        }
        ts
    }

    fn whisper(&mut self, now: Millis, url: &str, to: &ResponseUrl, text: String, blocks: Vec<Value>) {
        // Never the ts of a message of a channel, which ends in two zeros.
        let nth = self.ephemerals.len() % 10_000 * 100 + 50;
        self.ephemerals.push(Message {
            ts: format!("{}.{nth:06}", now / 1000),
            channel: to.channel.clone(),
            thread_ts: None,
            author: Author::Bot,
            only_for: Some(to.user.clone()),
            response_url: Some(url.to_owned()),
            deleted: None,
            edits: vec![Edit { at: now, text, blocks }],
            thread: Vec::new(),
        });
    }

    fn message_json(&self, ts: &str, edit: &Edit) -> Value {
        json!({
            "type": "message", "user": BOT_USER, "bot_id": BOT_ID, "app_id": APP_ID, "team": self.team, "ts": ts,
            "text": edit.text, "blocks": edit.blocks,
        })
    }

    /// One call of a rate-limited thing: how many seconds to wait, if it is too soon.
    fn too_soon(&mut self, now: Millis, what: String, every: Millis, burst: u64) -> Option<u64> {
        let full = self.full_at.get(&what).copied().unwrap_or_default().max(now);
        let early = (full - now).saturating_sub(every * burst.saturating_sub(1));
        if early > 0 {
            self.limited += 1;
            return Some(early.div_ceil(1000));
        }
        self.full_at.insert(what, full + every);
        None
    }

    // ---- the Web API ----

    fn api(&mut self, now: Millis, method: &str, request: &Request) -> Result<Value, Refused> {
        let read = matches!(method, "users.info" | "usergroups.users.list" | "auth.test" | "chat.getPermalink");
        let writes = ["chat.postMessage", "chat.postEphemeral", "chat.update", "views.open", "views.update"];
        if !read && !writes.contains(&method) {
            return Err(refused("unknown_method"));
        }
        let Args { values, token, warning } = Args::read(request, read)?;
        match token {
            None => return Err(refused("not_authed")),
            Some(_) if self.revoked => return Err(refused("token_revoked")),
            Some(token) if token != self.bot_token => return Err(refused("invalid_auth")),
            Some(_) => {}
        }
        let scope = match method {
            "users.info" => "users:read",
            "usergroups.users.list" => "usergroups:read",
            "auth.test" | "chat.getPermalink" | "views.open" | "views.update" => "",
            _ => "chat:write",
        };
        if !scope.is_empty() && !self.scopes.contains(scope) {
            let provided: Vec<&str> = self.scopes.iter().map(String::as_str).collect();
            let mut refused = refused("missing_scope");
            refused.body["needed"] = json!(scope);
            refused.body["provided"] = json!(provided.join(","));
            return Err(refused);
        }
        let mut answer = match method {
            "chat.postMessage" => self.post_message(now, &values)?,
            "chat.postEphemeral" => self.post_ephemeral(now, &values)?,
            "chat.getPermalink" => self.permalink(&values)?,
            "chat.update" => self.update(now, &values)?,
            "views.open" => self.views_open(now, &values)?,
            "views.update" => self.views_update(now, &values)?,
            "users.info" => self.user_info(&values)?,
            "usergroups.users.list" => self.group_members(&values)?,
            _ => self.auth_test(),
        };
        answer["ok"] = json!(true);
        if let Some(warning) = warning {
            answer["warning"] = json!(warning);
            answer["response_metadata"] = json!({"warnings": [warning]});
        }
        Ok(answer)
    }

    fn post_message(&mut self, now: Millis, values: &Value) -> Result<Value, Refused> {
        let id = values["channel"].as_str().unwrap_or_default().to_owned();
        // A person's id stands for the bot's own conversation with them, which begins with the first message.
        let id = match self.users.contains_key(&id) {
            true => self.conversation_with(&id),
            false => id,
        };
        let public = self.scopes.contains("chat:write.public");
        // A name such as "#deploys" is no id.
        let channel = self.channels.get(&id).ok_or(refused("channel_not_found"))?;
        match (channel.kind, channel.bot) {
            (Kind::Private | Kind::Direct, Bot::Outside) => return Err(refused("channel_not_found")),
            _ if channel.archived => return Err(refused("is_archived")),
            (Kind::Public, Bot::Outside) if !public => return Err(refused("not_in_channel")),
            _ => {}
        }
        if let Some(limits) = self.limits
            && let Some(seconds) = self.too_soon(now, format!("post {id}"), limits.minute / 60, limits.post_burst)
        {
            return Err(rate_limited(seconds));
        }
        let (text, blocks) = content(values)?;
        let text: String = text.unwrap_or_default().chars().take(40_000).collect();
        let thread_ts = values["thread_ts"].as_str().map(str::to_owned);
        if let Some(thread) = &thread_ts {
            // A reply cannot be replied to.
            if !self.messages(&id).iter().any(|message| message.is(thread)) {
                return Err(refused("thread_not_found"));
            }
        }
        let ts = self.post(now, &id, Author::Bot, thread_ts.clone(), text.clone(), blocks.clone().unwrap_or_default());
        let edit = Edit { at: now, text, blocks: blocks.unwrap_or_default() };
        let mut message = self.message_json(&ts, &edit);
        if let Some(thread) = thread_ts {
            message["thread_ts"] = json!(thread);
        }
        Ok(json!({"channel": id, "ts": ts, "message": message}))
    }

    fn conversation_with(&mut self, user: &str) -> String {
        let id = user.replacen('U', "D", 1);
        if !self.channels.contains_key(&id) {
            self.add_channel(&id, "directmessage", Kind::Direct, Bot::Member);
        }
        id
    }

    /// The bot and the person have to be in the channel.
    fn post_ephemeral(&mut self, now: Millis, values: &Value) -> Result<Value, Refused> {
        let id = values["channel"].as_str().unwrap_or_default().to_owned();
        let user = values["user"].as_str().ok_or_else(|| missing_field("user"))?.to_owned();
        let channel = self.channels.get(&id).ok_or(refused("channel_not_found"))?;
        match (channel.kind, channel.bot) {
            (Kind::Private | Kind::Direct, Bot::Outside) => return Err(refused("channel_not_found")),
            _ if channel.archived => return Err(refused("is_archived")),
            (_, Bot::Outside) => return Err(refused("not_in_channel")),
            _ if !self.users.contains_key(&user) => return Err(refused("user_not_in_channel")),
            _ => {}
        }
        let (text, blocks) = content(values)?;
        let thread_ts = values["thread_ts"].as_str().map(str::to_owned);
        let parent = thread_ts.as_ref().map(|thread| self.messages(&id).iter().find(|message| message.is(thread)));
        let is_seen = parent.is_none_or(|parent| parent.is_some_and(|parent| !parent.thread.is_empty()));
        let ts = format!("{}.{:06}", now / 1000, self.ephemerals.len() % 10_000 * 100 + 50);
        // Slack says `ok`, and nobody sees it, where the thread has no replies.
        if is_seen {
            self.ephemerals.push(Message {
                ts: ts.clone(),
                channel: id,
                thread_ts,
                author: Author::Bot,
                only_for: Some(user),
                response_url: None,
                deleted: None,
                edits: vec![Edit { at: now, text: text.unwrap_or_default(), blocks: blocks.unwrap_or_default() }],
                thread: Vec::new(),
            });
        }
        Ok(json!({"message_ts": ts}))
    }

    fn permalink(&self, values: &Value) -> Result<Value, Refused> {
        let text = |name: &str| values[name].as_str().unwrap_or_default().to_owned();
        let (id, ts) = (text("channel"), text("message_ts"));
        let channel = self.channels.get(&id).ok_or(refused("channel_not_found"))?;
        channel.find(&ts).ok_or(refused("message_not_found"))?;
        let permalink = format!("https://acme.slack.com/archives/{id}/p{}", ts.replace('.', ""));
        Ok(json!({"channel": id, "permalink": permalink}))
    }

    fn update(&mut self, now: Millis, values: &Value) -> Result<Value, Refused> {
        if let Some(limits) = self.limits {
            let every = limits.minute / limits.updates_per_minute.max(1);
            if let Some(seconds) = self.too_soon(now, "update".to_owned(), every, limits.update_burst) {
                return Err(rate_limited(seconds));
            }
        }
        let id = values["channel"].as_str().unwrap_or_default().to_owned();
        let ts = values["ts"].as_str().unwrap_or_default().to_owned();
        let edit_window = self.edit_window;
        let channel = self.channels.get_mut(&id).ok_or(refused("channel_not_found"))?;
        if channel.bot == Bot::Outside && channel.kind != Kind::Public {
            return Err(refused("channel_not_found"));
        }
        if channel.archived {
            return Err(refused("is_inactive"));
        }
        let message = channel.find_mut(&ts).ok_or(refused("message_not_found"))?;
        if message.author != Author::Bot {
            return Err(refused("cant_update_message"));
        }
        let posted = message.edits.first().map_or(0, |edit| edit.at);
        if edit_window.is_some_and(|window| now.saturating_sub(posted) > window) {
            return Err(refused("edit_window_closed"));
        }
        let (text, blocks) = content(values)?;
        if text.as_ref().is_some_and(|text| text.chars().count() > 4000) {
            return Err(refused("msg_too_long"));
        }
        let kept = message.now().blocks.clone();
        let edit = Edit { at: now, text: text.unwrap_or_default(), blocks: blocks.unwrap_or(kept) };
        message.edits.push(edit.clone());
        Ok(json!({"channel": id, "ts": ts, "text": edit.text, "message": self.message_json(&ts, &edit)}))
    }

    fn user_info(&self, values: &Value) -> Result<Value, Refused> {
        let id = values["user"].as_str().ok_or_else(|| missing_field("user"))?;
        let user = self.users.get(id).ok_or(refused("user_not_found"))?;
        let account = user.account;
        let mut answer = json!({
            "id": id, "team_id": user.team, "name": user.name, "real_name": user.name, "deleted": account == Account::Deleted,
            "is_bot": false, "is_app_user": false, "profile": {"display_name": user.name, "real_name": user.name},
        });
        // Slack says little about a deactivated account.
        if account != Account::Deleted {
            answer["is_restricted"] = json!(matches!(account, Account::Guest | Account::SingleChannelGuest));
            answer["is_ultra_restricted"] = json!(account == Account::SingleChannelGuest);
            // Not of people who share a channel with the bot, whatever their workspace.
            answer["is_stranger"] = json!(false);
        }
        Ok(json!({"user": answer}))
    }

    /// A token of a whole organisation belongs to no workspace.
    fn auth_test(&self) -> Value {
        let mut answer = json!({"url": self.origin, "team": "Acme", "user": "deploybot", "team_id": self.team,
            "user_id": BOT_USER, "bot_id": BOT_ID, "is_enterprise_install": self.for_organisation});
        if self.for_organisation {
            answer["team_id"] = json!("E0ACME");
            answer["enterprise_id"] = json!("E0ACME");
        }
        answer
    }

    fn group_members(&self, values: &Value) -> Result<Value, Refused> {
        if self.free_plan {
            return Err(refused("plan_upgrade_required"));
        }
        let id = values["usergroup"].as_str().ok_or_else(|| missing_field("usergroup"))?;
        let users = self.groups.get(id).ok_or(refused("no_such_subteam"))?;
        Ok(json!({"users": users}))
    }

    // ---- response_url ----

    fn use_response_url(&mut self, now: Millis, request: &Request) -> Response {
        let path = request.path().to_owned();
        let refused = |status: u16, error: &str| Response::json(status, &json!({"ok": false, "error": error}));
        let Some(to) = self.response_urls.get(&path) else { return refused(404, "expired_url") };
        if now.saturating_sub(to.born) > 30 * 60 * 1000 {
            return refused(404, "expired_url");
        }
        if to.uses >= 5 {
            return refused(404, "used_url");
        }
        if !request.header("content-type").starts_with("application/json") {
            return refused(400, "invalid_payload");
        }
        let Ok(answer) = serde_json::from_slice::<Value>(&request.body) else {
            return refused(400, "invalid_payload");
        };
        if let Err(error) = self.respond(now, &path, &answer) {
            return Response::json(400, &error.body);
        }
        if let Some(to) = self.response_urls.get_mut(&path) {
            to.uses += 1;
        }
        Response::text(200, "ok")
    }

    /// Shows an answer to a command or a click, whichever way it came.
    fn respond(&mut self, now: Millis, path: &str, answer: &Value) -> Result<(), Refused> {
        let Some(to) = self.response_urls.get(path).cloned() else { return Ok(()) };
        let replaces = answer["replace_original"] == true;
        if answer["delete_original"] == true {
            if let Some(message) = to.shown.as_ref().and_then(|shown| self.shown(shown)) {
                message.deleted = Some(now);
            }
            return Ok(());
        }
        let (text, blocks) = content(answer)?;
        let (text, blocks) = (text.unwrap_or_default(), blocks.unwrap_or_default());
        if let (true, Some(message)) = (replaces, to.shown.as_ref().and_then(|shown| self.shown(shown))) {
            message.edits.push(Edit { at: now, text, blocks });
            return Ok(());
        }
        let shown = if answer["response_type"] == "in_channel" {
            let ts = self.post(now, &to.channel, Author::Bot, None, text, blocks);
            Shown::InChannel(to.channel.clone(), ts)
        } else {
            let url = format!("{}{path}", self.origin);
            self.whisper(now, &url, &to, text, blocks);
            Shown::Ephemeral(self.ephemerals.len() - 1)
        };
        if let Some(to) = self.response_urls.get_mut(path) {
            to.shown = Some(shown);
        }
        Ok(())
    }

    fn shown(&mut self, shown: &Shown) -> Option<&mut Message> {
        match shown {
            Shown::Ephemeral(index) => self.ephemerals.get_mut(*index).filter(|message| message.deleted.is_none()),
            Shown::InChannel(channel, ts) => self.channels.get_mut(channel)?.find_mut(ts),
        }
    }
}

impl StandIn for Slack {
    fn name_of(&self, request: &Request) -> String {
        let name = match request.path() {
            "/api/chat.postMessage" => "post",
            "/api/chat.postEphemeral" => "whisper",
            "/api/chat.getPermalink" => "permalink",
            "/api/chat.update" => "update",
            "/api/views.open" => "open_view",
            "/api/views.update" => "update_view",
            "/api/users.info" => "user",
            "/api/usergroups.users.list" => "group",
            "/api/auth.test" => "auth",
            path if path.starts_with("/commands/") || path.starts_with("/actions/") => "response_url",
            _ => "unexpected",
        };
        format!("slack.{name}")
    }

    fn answer(&mut self, now: Millis, request: &Request) -> Answer {
        let path = request.path();
        let response = if path.starts_with("/commands/") || path.starts_with("/actions/") {
            self.use_response_url(now, request)
        } else if let Some(method) = path.strip_prefix("/api/") {
            match self.api(now, method, request) {
                Ok(body) => Response::json(200, &body),
                Err(Refused { body, retry_after: None }) => Response::json(200, &body),
                Err(Refused { body, retry_after: Some(seconds) }) => {
                    Response::json(429, &body).with("retry-after", &seconds.to_string())
                }
            }
        } else {
            Response::text(404, "not found")
        };
        Answer::Whole(response)
    }
}

struct Refused {
    body: Value,
    retry_after: Option<u64>,
}

fn refused(error: &str) -> Refused {
    Refused { body: json!({"ok": false, "error": error}), retry_after: None }
}

fn rate_limited(seconds: u64) -> Refused {
    Refused { retry_after: Some(seconds), ..refused("ratelimited") }
}

fn missing_field(name: &str) -> Refused {
    let mut refused = refused("invalid_arguments");
    let message = format!("[ERROR] missing required field: {name}");
    refused.body["response_metadata"] = json!({"messages": [message]});
    refused
}

/// The text and the blocks of a message, if it has either and Slack takes them.
fn content(values: &Value) -> Result<(Option<String>, Option<Vec<Value>>), Refused> {
    let blocks = match values.get("blocks") {
        None | Some(Value::Null) => None,
        Some(Value::Array(blocks)) => Some(blocks.clone()),
        // In a form the blocks are JSON within a string.
        Some(Value::String(text)) => Some(serde_json::from_str(text).map_err(|_| refused("invalid_blocks_format"))?),
        Some(_) => return Err(refused("invalid_blocks_format")),
    };
    let problems = blocks::check(blocks.as_deref().unwrap_or_default());
    if !problems.is_empty() {
        let mut refused = refused("invalid_blocks");
        refused.body["errors"] = json!(problems);
        refused.body["response_metadata"] = json!({"messages": problems});
        return Err(refused);
    }
    let text = values["text"].as_str().map(str::to_owned);
    if text.as_deref().unwrap_or_default().is_empty() && blocks.as_ref().is_none_or(Vec::is_empty) {
        return Err(refused("no_text"));
    }
    Ok((text, blocks))
}

/// The arguments of a Web API call.
struct Args {
    values: Value,
    token: Option<String>,
    warning: Option<&'static str>,
}

impl Args {
    fn read(request: &Request, read_method: bool) -> Result<Self, Refused> {
        let mut token = request.header("authorization").strip_prefix("Bearer ").map(str::to_owned);
        let content_type = request.header("content-type").to_ascii_lowercase();
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        let mut warning = None;
        let mut form: BTreeMap<String, String> = request.query();
        match media_type {
            "" if request.method == http::Method::GET && read_method => {}
            "" if request.body.is_empty() && read_method => {}
            "" => return Err(refused("missing_post_type")),
            "application/json" => {
                if !content_type.contains("charset=") {
                    warning = Some("missing_charset");
                }
                // Only methods that write read JSON; the others ignore it.
                if !read_method {
                    let values: Value = serde_json::from_slice(&request.body).map_err(|_| refused("invalid_json"))?;
                    let values = values.is_object().then_some(values).ok_or(refused("json_not_object"))?;
                    return Ok(Self { values, token, warning });
                }
            }
            "application/x-www-form-urlencoded" => form.extend(form_urlencoded::parse(&request.body).into_owned()),
            _ => return Err(refused("invalid_post_type")),
        }
        token = token.or_else(|| form.get("token").cloned());
        Ok(Self { values: json!(form), token, warning })
    }
}

/// Every button, with the id of its block.
fn buttons(blocks: &[Value]) -> impl Iterator<Item = (Value, &Value)> {
    blocks.iter().enumerate().flat_map(|(index, block)| {
        // Slack makes up the id of a block that has none.
        let id = block.get("block_id").cloned().unwrap_or_else(|| json!(format!("b{index}")));
        let elements = block["elements"].as_array().into_iter().flatten().chain(block.get("accessory"));
        elements.filter(|element| element["type"] == "button").map(move |button| (id.clone(), button))
    })
}

fn find_button(blocks: &[Value], action_id: &str) -> Option<(Value, Value)> {
    let (id, button) = buttons(blocks).find(|(_, button)| button["action_id"] == action_id)?;
    Some((id, button.clone()))
}

fn form_header() -> (String, String) {
    ("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned())
}

/// The headers of a request whose body is JSON.
fn as_json(headers: Vec<(String, String)>) -> Vec<(String, String)> {
    let others = headers.into_iter().filter(|(name, _)| name != "content-type");
    std::iter::once(("content-type".to_owned(), "application/json".to_owned())).chain(others).collect()
}

fn signed(secret: &str, seconds: u64, body: &[u8]) -> Vec<(String, String)> {
    let timestamp = seconds.to_string();
    let signature = signature(secret, &timestamp, body);
    vec![
        form_header(),
        ("user-agent".to_owned(), "Slackbot 1.0 (+https://api.slack.com/robots)".to_owned()),
        ("x-slack-request-timestamp".to_owned(), timestamp),
        ("x-slack-signature".to_owned(), signature),
    ]
}

/// What Slack sends as `X-Slack-Signature`.
pub fn signature(secret: &str, timestamp: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(format!("v0:{timestamp}:").as_bytes());
    mac.update(body);
    format!("v0={}", hex(&mac.finalize().into_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
