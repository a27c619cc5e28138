//! What Slack sends: the form of a command, the payload of a click, the address for answers, and answers to our calls.

use crate::parts::Parts;
use crate::promise::{HUSH, is_short, keeps_secrets};
use crate::world::response;
use clients::slack::{
    Event, FormError, FormEvent, InForm, Interaction, Slack, SlackError, SlashCommand, group_members_request,
    read_group_members, read_own_team, read_permalink, read_person, read_post, read_post_alone, read_respond,
    read_update, read_view,
};
use domain::command::{Command, Scope};
use domain::fault::{Cause, Fault};
use domain::form::Choices;
use domain::message::{Button, code_escape, escape, options};
use domain::names::ResponseUrl;
use domain::names::{Secret, SlackGroup, SlackUser, UrlOrigin};
use serde_json::{Value, json};
use std::fmt::Debug;

/// What another reader of forms sees in a field: once, and as text.
fn field(body: &[u8], name: &str) -> Vec<String> {
    let pairs = form_urlencoded::parse(body).filter(|(key, _)| key == name);
    pairs.map(|(_, value)| value.into_owned()).collect()
}

fn is_about_the_form(error: FormError) {
    is_short(&error.to_string(), 80);
}

/// The body at the address of the command.
pub fn slack_form(data: &[u8]) {
    let command = match SlashCommand::parse(data) {
        Ok(Some(command)) => command,
        Ok(None) => return assert_eq!(field(data, "ssl_check"), ["1"]),
        Err(error) => return is_about_the_form(error),
    };
    let SlashCommand { team, team_domain, channel, user, user_name, command: slash, text, response_url, trigger_id } =
        &command;
    let fields = [
        ("team_id", team.as_str()),
        ("team_domain", team_domain),
        ("channel_id", channel.as_str()),
        ("user_id", user.as_str()),
        ("user_name", user_name),
        ("command", slash.as_str()),
        ("text", text),
        ("response_url", response_url.expose()),
        ("trigger_id", trigger_id),
    ];
    let mut again = form_urlencoded::Serializer::new(String::new());
    for (name, value) in fields {
        let seen = field(data, name);
        // What cannot be a command's name is `/deploy`.
        let is_replaced = name == "command" && slash.is_default() && seen.len() == 1;
        let is_same = seen == [value] || (seen.is_empty() && value.is_empty());
        assert!(is_same || is_replaced, "{name}: {value:?} or {seen:?}");
        again.append_pair(name, value);
    }
    assert_eq!(SlashCommand::parse(again.finish().as_bytes()), Ok(Some(command.clone())));
    let printed = format!("{command:?}");
    // A short one may be part of something else that is printed.
    assert!(
        response_url.expose().len() < 20
            || !printed.contains(response_url.expose())
            || fields.iter().any(|(name, value)| *name != "response_url" && value.contains(response_url.expose()))
    );
}

/// The body at the address of the buttons: a form with its one field `payload`. The input is that field, or a whole form.
pub fn slack_interaction(data: &[u8]) {
    let encode =
        |payload: &str| form_urlencoded::Serializer::new(String::new()).append_pair("payload", payload).finish();
    let body = if data.starts_with(b"{") { encode(&String::from_utf8_lossy(data)).into_bytes() } else { data.to_vec() };
    if let Ok(Some(event)) = FormEvent::parse(&body) {
        return in_form(&event);
    }
    let click = match Interaction::parse(&body) {
        Ok(click) => click,
        Err(error) => return is_about_the_form(error),
    };
    let again = json!({
        "type": "block_actions",
        "team": click.team.as_ref().map(|team| json!({ "id": team, "domain": click.team_domain })),
        "user": { "id": click.user, "name": click.user_name, "team_id": click.user_team },
        "channel": { "id": click.channel },
        "container": { "thread_ts": click.thread },
        "actions": [{ "action_id": click.action_id, "value": click.value }],
        "response_url": click.response_url.expose(),
        "trigger_id": click.trigger_id,
    });
    assert_eq!(Interaction::parse(encode(&again.to_string()).as_bytes()), Ok(click.clone()));
    if let Some(scope) = Scope::parse(&click.value) {
        assert_eq!(Scope::parse(&scope.to_string()), Some(scope));
    }
    // The meaning of a button and its value name the same, whoever pressed it.
    match Button::parse(&click.action_id, &click.value) {
        Some(
            Button::Cancel(id)
            | Button::Retry(id)
            | Button::Wait(id)
            | Button::RollBack(id)
            | Button::Promote { of: id, .. }
            | Button::Approve(id)
            | Button::Reject(id)
            | Button::DeployAnyway(id)
            | Button::TakeOver(id),
        ) => assert_eq!(id.as_str(), click.value),
        Some(Button::Terminate { waits, of, .. }) => assert_eq!(format!("{waits} {of}"), click.value),
        Some(Button::Unlock { scope, .. }) => assert!(click.value.starts_with(&scope.to_string())),
        Some(Button::Deploy(offer)) => assert!(click.value.contains(offer.of.as_str())),
        Some(Button::DeployPushed(offer)) => {
            assert!(offer.wrote.iter().all(|sha| click.value.contains(sha.as_str())));
        }
        None => {}
    }
    // Null: JSON that breaks the rules where nobody looks.
    let seen: Value = serde_json::from_str(&field(&body, "payload").concat()).unwrap_or_default();
    assert!(seen.is_null() || seen["type"] == "block_actions", "{seen}");
}

/// The body at the address of the events.
pub fn slack_event(data: &[u8]) {
    let event = match Event::parse(data) {
        Ok(event) => event,
        Err(error) => return is_about_the_form(error),
    };
    // Null: JSON that breaks the rules where nobody looks.
    let seen: Value = serde_json::from_slice(data).unwrap_or_default();
    match event {
        Event::Challenge(word) => {
            assert!(word.len() <= 255 && word.bytes().all(|b| b.is_ascii_graphic()), "{word:?}");
            assert!(seen.is_null() || seen["challenge"] == word.as_str(), "{seen}");
        }
        Event::Ignored(why) => is_short(why, 80),
        Event::Mention(mention) if !seen.is_null() => {
            let event = &seen["event"];
            for absent in ["bot_id", "bot_profile", "edited", "subtype"] {
                assert!(event[absent].is_null(), "{seen}");
            }
            for team in [&seen["team_id"], &event["team"], &event["user_team"], &event["source_team"]] {
                assert!(team.is_null() || *team == mention.team.as_str(), "{seen}");
            }
            assert_eq!(event["user"], mention.user.as_str());
            assert_eq!((&event["ts"], &event["channel"]), (&json!(mention.ts), &json!(mention.channel)));
            let text = event["text"].as_str().unwrap_or_default().trim_start();
            let ours = seen["authorizations"].as_array().map(Vec::as_slice).unwrap_or_default();
            let names = |one: &Value| text.starts_with(&format!("<@{}", one["user_id"].as_str().unwrap_or_default()));
            assert!(ours.iter().any(names), "{seen}");
            assert!(mention.text.len() <= text.len().saturating_mul(2), "{mention:?}");
        }
        Event::Mention(_) => {}
    }
}

/// What is read of a form is what another sender would say with it, and comes to words that are read as typed ones.
fn in_form(event: &FormEvent) {
    let (kind, block, typed) = match &event.what {
        InForm::Search { block, typed } => ("block_suggestion", block.as_str(), typed.as_str()),
        InForm::Changed => ("block_actions", "", ""),
        InForm::Submitted => ("view_submission", "", ""),
    };
    let mut values = serde_json::Map::new();
    for (block, value) in &event.chosen {
        values.insert(block.clone(), json!({ "x": { "selected_option": { "value": value } } }));
    }
    let (first, last) = (event.teams.first(), event.teams.get(1));
    let (team, own) = if last.is_some() { (first, last) } else { (None, first) };
    let again = json!({
        "type": kind, "block_id": block, "value": typed, "team": team.map(|team| json!({ "id": team })),
        "user": { "id": event.user, "team_id": own },
        "view": { "id": event.view_id, "private_metadata": event.metadata, "state": { "values": values } },
    });
    let body = form_urlencoded::Serializer::new(String::new()).append_pair("payload", &again.to_string()).finish();
    assert_eq!(FormEvent::parse(body.as_bytes()), Ok(Some(event.clone())));
    let choices = Choices::default().find(&[], typed);
    let options = options(&choices);
    for choice in options.as_array().into_iter().flatten() {
        let text = choice["text"]["text"].as_str().unwrap_or_default();
        assert!((1..=75).contains(&text.encode_utf16().count()), "{choice}");
        let value = choice["value"].as_str().unwrap_or_default();
        assert!(
            value.chars().count() <= 150 && Command::parse(&escape(&format!("deploy app {value}"))).is_ok(),
            "{choice}"
        );
    }
}

/// `slack_url` in the first line; then an address for answers.
pub fn response_url(data: &[u8]) {
    let mut parts = Parts(data);
    let slack =
        UrlOrigin::parse(&parts.text()).unwrap_or_else(|_| UrlOrigin::parse("https://slack.com").expect("an origin"));
    let text = parts.rest_text();
    let Ok(url) = ResponseUrl::parse(&text, &slack) else { return };
    // What is no address is never called.
    let Ok(address) = text.parse::<http::Uri>() else { return };
    let hosts = [Some("hooks.slack.com"), Some(slack.host()).filter(|host| *host != "slack.com")];
    assert!(hosts.contains(&address.host()), "{text:?} calls {:?}", address.host());
    assert!(address.authority().is_some_and(|authority| !authority.as_str().contains('@')), "{text:?}");
    assert!(address.scheme_str() == Some("https") || address.host() == Some(slack.host()), "{text:?}");
    // A browser and we must not call different hosts.
    assert_eq!(
        url::Url::parse(&text).ok().and_then(|url| url.host_str().map(str::to_ascii_lowercase)).as_deref(),
        address.host().map(str::to_ascii_lowercase).as_deref()
    );
    assert!(text.len() <= 2048);
    assert_eq!(format!("{url:?}"), "ResponseUrl(..)");
    let stored = serde_json::to_string(&url).expect("it is stored");
    assert_eq!(serde_json::from_str::<ResponseUrl>(&stored).ok(), Some(url));
}

fn is_told_briefly(data: &[u8], error: &impl Debug, fault: Option<&Fault>) {
    keeps_secrets(data, error);
    assert!(format!("{error:?}").len() < 600, "{error:?}");
    match fault.map(|fault| &fault.cause) {
        Some(Cause::Said { said } | Cause::Failed { said } | Cause::Forbidden { said }) => is_short(said, 200),
        Some(Cause::Nonsense { part }) => is_short(part, 40),
        _ => {}
    }
}

fn did_it<T: Debug>(data: &[u8], outcome: Result<T, SlackError>, status: u16, said: &Value) -> Option<T> {
    match outcome {
        Ok(done) => {
            assert!((200..300).contains(&status), "HTTP {status} is a success");
            // `null`: the plain text `ok`, or JSON that breaks the rules where nobody looks.
            assert!(said.is_null() || said.get("ok") == Some(&Value::Bool(true)), "{said} is a success");
            Some(done)
        }
        Err(error) => {
            let fault = match &error {
                SlackError::Unreachable(fault) | SlackError::Refused(fault) => Some(fault),
                SlackError::Gone(_) | SlackError::RateLimited(_) => None,
            };
            assert!(status != 429 || matches!(error, SlackError::RateLimited(_)), "{error:?}");
            is_told_briefly(data, &error, fault);
            None
        }
    }
}

/// The HTTP status and `Retry-After`, a line each; then the body of an answer of Slack's.
pub fn slack_answer(data: &[u8]) {
    let mut parts = Parts(data);
    let (status, wait) = (parts.number(200), parts.text().into_owned());
    let status = u16::try_from(status).ok().filter(|status| (100..1000).contains(status)).unwrap_or(200);
    let body = parts.rest();
    let answer = || {
        let mut answer = response(status, body);
        if let Ok(wait) = wait.parse() {
            answer.headers.insert("retry-after", wait);
        }
        answer
    };
    let said: Value = serde_json::from_slice(body).unwrap_or_default();
    if let Some(ts) = did_it(data, read_post(answer()), status, &said) {
        assert!(said.is_null() || said["ts"] == ts.as_str(), "{said}");
    }
    did_it(data, read_update(answer()), status, &said);
    did_it(data, read_view(answer(), "open the form"), status, &said);
    did_it(data, read_respond(answer()), status, &said);
    did_it(data, read_post_alone(answer()), status, &said);
    if let Some(link) = did_it(data, read_permalink(answer()), status, &said) {
        assert!(said.is_null() || said["permalink"] == link.as_str(), "{said}");
    }
    if let Some(users) = did_it(data, read_group_members(answer()), status, &said) {
        let all = said["users"].as_array().map(Vec::as_slice).unwrap_or_default();
        assert!(users.len() <= all.len() && users.iter().map(SlackUser::as_str).all(|user| all.contains(&json!(user))));
    }
    let is_read = !said.is_null();
    if let Some(person) = did_it(data, read_person(answer()), status, &said).filter(|_| is_read) {
        let user = &said["user"];
        let is_no_guest = user["is_restricted"] == json!(false) && user["is_ultra_restricted"] == json!(false);
        assert!(!person.is_full || (is_no_guest && user["deleted"] != json!(true)), "{user} is a full member");
        let teams = user["enterprise_user"]["teams"].as_array().map(Vec::as_slice).unwrap_or_default();
        let has = |team: &str| user["team_id"] == json!(team) || teams.contains(&json!(team));
        assert!(person.teams.iter().all(|team| has(team.as_str())), "{person:?}");
    }
    if let Some(Some(team)) = did_it(data, read_own_team(answer()), status, &said).filter(|_| is_read) {
        assert!(said["team_id"] == team.as_str() && said["is_enterprise_install"] != json!(true), "{said}");
    }
    let slack = Slack { url: UrlOrigin::parse("https://slack.com").expect("an origin"), token: Secret::new(HUSH) };
    keeps_secrets(b"", &(&slack, group_members_request(&slack, &SlackGroup::parse("S1").expect("a group"))));
}

/// The mark in people's words that could be taken for ours is gone when the message is.
fn without_mark(text: &str) -> String {
    text.replace('\u{e000}', "")
}

/// Outside text on its way into a message.
pub fn slack_text(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let escaped = escape(&text);
    assert!(!escaped.contains(['<', '>']));
    assert_eq!(
        without_mark(&escaped.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")),
        without_mark(&text),
        "people read what was there"
    );
    for limit in [1, 20, 128] {
        let code = code_escape(&text, limit);
        assert!(!code.contains(['<', '>', '`']) && !code.chars().any(char::is_control), "{code:?}");
        let shown = without_mark(&code).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
        assert!(shown.chars().count() <= limit, "{shown:?}");
    }
}
