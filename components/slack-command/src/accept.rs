//! Within Slack's three seconds: prove that the request is Slack's, understand it, save it, answer. No call to another system but
//! our own store and Redis, and neither before the signature is checked.

use deploy_core::clock::Timestamp;
use deploy_core::command::Command;
use deploy_core::deployment::RequestFact;
use deploy_core::http::{Answer, Chunks, Inbound, Method, StatusCode, read_body};
use deploy_core::log::{Line, World};
use deploy_core::message;
use deploy_core::names::DeploymentId;
use deploy_core::refusal::Refusal;
use deploy_core::settings::{SettingError, SlackCommandSettings, Variables};
use deploy_core::signature::{deployment_id, slack_signed};
use deploy_core::slack::{self, Incoming, Interaction, SlashCommand};
use deploy_core::store;
use futures::future::{Either, select};
use std::cell::Cell;
use std::pin::pin;
use std::time::Duration;

/// The longest body that we read from Slack. Its own are a few KiB.
const BODY_LIMIT: usize = 64 << 10;

/// The store and Redis together get this long before the answer.
const SAVE_LIMIT: Duration = Duration::from_secs(1);

/// A request that is Slack's.
pub(crate) enum Verified {
    /// A slash command, with the id that its click has on every replica, and Slack's own time.
    Command(Box<SlashCommand>, DeploymentId, Timestamp),
    /// A click on a message. No message of ours has a button yet.
    Interaction,
}

/// What to answer, and what to do after the answer.
pub(crate) struct Accepted {
    pub(crate) answer: Answer,
    pub(crate) then: Then,
}

/// What an answer leaves to do.
pub(crate) enum Then {
    Nothing,
    /// Carry it out: that was promised.
    CarryOut(DeploymentId),
    /// See that nobody carries it out: it was not accepted, but part of it may be saved.
    TakeBack(DeploymentId),
}

impl Accepted {
    fn say(text: &str) -> Self {
        Self { answer: words(text), then: Then::Nothing }
    }
}

/// An HTTP 200 with a sentence that only the asker sees. Anything but 200 would show people `dispatch_failed`.
fn words(text: &str) -> Answer {
    Answer { status: StatusCode::OK, content_type: "application/json", body: slack::answer(text) }
}

pub(crate) fn not_found() -> Answer {
    Answer::reason(StatusCode::NOT_FOUND, "refused", "no such route")
}

/// Proves that the request is Slack's and understands its form. Needs no store and no Redis. The error is the answer, and a log line
/// where an operator has to know.
pub(crate) async fn verify(
    head: &Inbound,
    body: &mut impl Chunks,
    variables: &Variables,
    now: Timestamp,
) -> Result<Verified, (Answer, Option<Line>)> {
    let refuse = |status, reason: &str| (Answer::reason(status, "refused", reason), None);
    // Slack asks so whether the address answers, without a signature.
    if head.method == Method::GET && head.query.split('&').any(|pair| pair == "ssl_check=1") {
        return Err((Answer::empty(StatusCode::OK), None));
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
    if matches!(SlashCommand::parse(&body), Ok(Incoming::SslCheck)) {
        return Err((Answer::empty(StatusCode::OK), None));
    }
    let keys = SlackCommandSettings::keys(variables).map_err(|error| {
        (Answer::reason(StatusCode::SERVICE_UNAVAILABLE, "unready", "a secret is not set"), Some(setting_line(&error)))
    })?;
    let timestamp = head.header("x-slack-request-timestamp").unwrap_or_default();
    let signature = head.header("x-slack-signature").unwrap_or_default();
    // Slack's own time, so that the same click writes the same bytes on every replica.
    let at = slack_signed(&keys, timestamp, &body, signature, now)
        .map_err(|error| (Answer::reason(StatusCode::UNAUTHORIZED, "refused", &error.to_string()), None))?;
    if head.path == "/slack/interaction" {
        return match Interaction::parse(&body) {
            Ok(_) => Ok(Verified::Interaction),
            Err(error) => Err(refuse(StatusCode::BAD_REQUEST, &error.to_string())),
        };
    }
    match SlashCommand::parse(&body) {
        Ok(Incoming::SslCheck) => Err((Answer::empty(StatusCode::OK), None)),
        Ok(Incoming::Command(command)) => {
            let id = deployment_id(&keys.current, &command.team, &command.trigger_id);
            Ok(Verified::Command(Box::new(command), id, at))
        }
        Err(error) => Err(refuse(StatusCode::BAD_REQUEST, &error.to_string())),
    }
}

/// Saves the request and answers. What the answer promises is carried out by whoever calls.
pub(crate) async fn accept(world: &impl World, settings: &SlackCommandSettings, verified: Verified) -> Accepted {
    let (command, id, at) = match verified {
        Verified::Command(command, id, at) => (command, id, at),
        Verified::Interaction => return Accepted { answer: Answer::empty(StatusCode::OK), then: Then::Nothing },
    };
    if settings.team.as_ref().is_some_and(|team| *team != command.team) {
        return Accepted::say(&message::refusal(&Refusal::OtherWorkspace));
    }
    let words = match Command::parse(&command.text) {
        Ok(Command::Help) => return Accepted::say(&message::help()),
        Ok(Command::Deploy(words)) => words,
        Err(refusal) => return Accepted::say(&message::refusal(&refusal)),
    };
    let response_url = match slack::ResponseUrl::parse(command.response_url.expose(), &settings.slack.url) {
        Ok(url) => url,
        Err(_) => {
            return Accepted {
                answer: Answer::reason(StatusCode::BAD_REQUEST, "refused", "response_url is not Slack's"),
                then: Then::Nothing,
            };
        }
    };
    let request = RequestFact {
        at,
        user: command.user,
        user_name: command.user_name,
        channel: command.channel,
        team: command.team,
        team_domain: command.team_domain,
        words,
        response_url,
    };
    let begun = Cell::new(false);
    let save = async {
        // In flight first: whoever dies in between leaves an id without a request, which the next to resume takes out again. The other
        // way round it would be a request that nobody finds, neither to carry it out nor to delete it.
        store::add_in_flight(world, &id, request.at).await?;
        begun.set(true);
        store::save_fact(world, &id, &request).await
    };
    let saved = match select(pin!(save), pin!(world.sleep(SAVE_LIMIT))).await {
        Either::Left((result, _)) => result,
        Either::Right(_) => Err(store::StoreError("saving took longer than a second")),
    };
    match saved {
        Ok(()) => {
            world.log(
                Line::new("accepted")
                    .of(&id)
                    .with("user", request.user.as_str())
                    .with("channel", request.channel.as_str()),
            );
            Accepted { answer: self::words(&message::accepted(&request.words)), then: Then::CarryOut(id) }
        }
        Err(error) => {
            world.log(Line::error("not_accepted").of(&id).with("cause", error.0));
            let then = if begun.get() { Then::TakeBack(id) } else { Then::Nothing };
            Accepted { answer: self::words(&message::not_accepted()), then }
        }
    }
}

/// The log line about a setting: the variable's name, never its value.
pub(crate) fn setting_line(error: &SettingError) -> Line {
    Line::error("setting").with("variable", error.variable).with("problem", error.problem)
}

/// What the person reads about it.
pub(crate) fn setting_answer(error: &SettingError) -> Answer {
    words(&message::fault(&error.fault("start")))
}

fn asks_ready(head: &Inbound) -> bool {
    head.query.split('&').any(|pair| pair == "ready" || pair.starts_with("ready="))
}

/// `/healthz` when a setting is wrong: alive, but not ready, and says which variable.
pub(crate) fn unready(head: &Inbound, error: &SettingError) -> Answer {
    let status = if asks_ready(head) { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    Answer::json(status, &serde_json::json!({ "ready": false, "variable": error.variable, "problem": error.problem }))
}

/// `/healthz`: counts, no names. `?ready` is 503 when the store or Redis is down.
pub(crate) async fn health(world: &impl World, head: &Inbound) -> Answer {
    if head.method != Method::GET && head.method != Method::HEAD {
        return Answer::reason(StatusCode::METHOD_NOT_ALLOWED, "refused", "GET only");
    }
    let redis = store::in_flight(world).await;
    let store_up = if asks_ready(head) { store::load_key(world, store::Rewritten).await.err() } else { None };
    let ready = redis.is_ok() && store_up.is_none();
    let status = if asks_ready(head) && !ready { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let problem = redis.as_ref().err().map(|error| error.0).or(store_up.as_ref().map(|error| error.0));
    let in_flight = redis.map(|in_flight| in_flight.ids.len()).ok();
    Answer::json(status, &serde_json::json!({ "ready": ready, "in_flight": in_flight, "problem": problem }))
}
