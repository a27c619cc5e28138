//! After the answer to Slack: questions, and small changes that deploy nothing (locks, votes, the wish
//! to cancel).
//!
//! The response goes through the `response_url` of the click; to a mention, which has none, with our token. Nothing was
//! promised before it, so a person who reads no response asks again.

mod diff;
mod form;
mod locks;
mod questions;
mod votes;

use crate::aside::Aside;
use crate::context::{Context, Stop};
use crate::deploy::{carry_out, people};
use crate::patience::Patience;
use crate::request::{Asker, Content, FollowUp};
use crate::settings::SlackCommandSettings;
use crate::world::{Line, World, within};
use clients::slack::{self, Audience, SlackError};
use domain::command::{Command, NotifyBy, Which};
use domain::deployment::{End, RequestFact};
use domain::fault::{Cause, Changed, Fault, System};
use domain::limits;
use domain::message::{self, Button, Message, Wording};
use domain::names::{CommandName, DeploymentId, SlackChannel};
use domain::refusal::Refusal;
use domain::time::Timestamp;
use futures::future::join;
use locks::Meant;
use std::time::Duration;
use store::{Notify, NotifyChoice, Speech, Urgency};
use votes::Vote;

/// How often a response is sent until Slack takes it.
const RESPONSE_TRIES: u32 = 3;
/// How often we try to save what others have approved, a second apart.
const SAVE_TRIES: u32 = 60;
/// How many seconds an announcement in another channel waits for its turn.
const POST_TRIES: u32 = 60;

/// One question or small change, and who asks.
struct Asking<'a, W> {
    cx: Context<'a, W>,
    asker: &'a Asker,
    at: Timestamp,
    /// The deployment whose button was pressed, if it is one's.
    of: Option<DeploymentId>,
}

/// What to answer, and to whom.
enum Response {
    /// To the asker alone.
    Asker(Message),
    /// To everybody in the channel, and in another one.
    Channel(Message, Option<SlackChannel>),
    /// People see it elsewhere.
    Nothing,
}

impl Response {
    fn words(text: &str) -> Self {
        Self::Asker(message::plain(text))
    }
}

/// A deployment that is carried out after the response.
struct ToCarryOut {
    id: DeploymentId,
    /// The request, if it could not be saved in time.
    unsaved: Option<RequestFact>,
}

type Answered = Result<(Response, Option<ToCarryOut>), Stop>;

/// Finds out or changes what was asked for, and responds.
pub(crate) async fn answer<W: World>(world: &W, settings: &SlackCommandSettings, follow_up: FollowUp) {
    // The answer to Slack is still on its way out of this instance, and goes first.
    world.sleep(limits::HEAD_START).await;
    let FollowUp { content, asker, id, at } = follow_up;
    let patience = Patience::until(world.now().after(limits::READS_OF_AN_ANSWER));
    let of = match &content {
        Content::Button(Button::Cancel(of) | Button::Approve(of) | Button::Reject(of)) => Some(of.clone()),
        Content::Button(Button::Terminate { waits, .. }) => Some(waits.clone()),
        Content::PressedBefore => Some(id.clone()),
        Content::Command(_)
        | Content::Button(_)
        | Content::Words(_)
        | Content::OpenForm { .. }
        | Content::FormChanged(_) => None,
    };
    let ask = Asking { cx: Context::new(world, settings, &id, patience), asker: &asker, at, of };
    // A write that failed, or took too long, may have taken effect.
    let changed = match &content {
        Content::Command(Command::Lock { .. } | Command::Unlock(_) | Command::Cancel(_)) | Content::Button(_) => {
            Changed::Unknown
        }
        _ => Changed::Nothing,
    };
    let (response, next) = match within(world, limits::ANSWER_LIMIT, find_out(&ask, content)).await {
        Some(Ok(answered)) => answered,
        Some(Err(stop)) => (stopped(&ask, stop, changed).await, None),
        None => (not_answered(&ask, "answer that", "it took too long", changed), None),
    };
    send(&ask, response).await;
    let Some(ToCarryOut { id, unsaved }) = next else { return };
    if let Some(request) = unsaved
        && !save_late(world, &id, request).await
    {
        return;
    }
    carry_out(world, settings, &id).await;
}

async fn find_out<W: World>(ask: &Asking<'_, W>, content: Content) -> Answered {
    if matches!(content, Content::Command(_) | Content::Button(_)) {
        people::must_be_ours(&ask.cx, &ask.asker.team).await?;
    }
    match content {
        Content::Words(text) => Ok((Response::words(&text), None)),
        Content::Command(command) => self::command(ask, command).await,
        Content::Button(button) => self::button(ask, button).await,
        Content::OpenForm { trigger, response_url } => Ok((form::open(ask, &trigger, response_url).await, None)),
        Content::FormChanged(change) => Ok((form::changed(ask, &change).await, None)),
        Content::PressedBefore => {
            let facts = store::load(ask.cx.world, ask.cx.id).await?;
            Ok((Response::words(&message::pressed_before(&facts, &ask.asker.user)), None))
        }
    }
}

async fn command<W: World>(ask: &Asking<'_, W>, command: Command) -> Answered {
    let response = match command {
        Command::Status(Which::All) => questions::of_all(ask).await?,
        Command::Status(Which::Mine) => questions::of_mine(ask).await?,
        Command::Status(Which::Of(words)) => questions::of_some(ask, &words).await?,
        Command::History { of, since } => questions::history(ask, &of, since).await?,
        Command::Notify(by) => notify(ask, by).await?,
        Command::Why(words) => questions::why(ask, &words).await?,
        Command::Diff { app, between } => Response::Asker(diff::diff(ask, &app, &between).await?),
        Command::Apps => questions::apps(ask).await?,
        Command::Preview(words) => Response::Asker(questions::preview(ask, words, message::preview).await?),
        Command::Lock { scope, reason, period } => locks::lock(ask, &scope, reason, period).await?,
        Command::Unlock(scope) => locks::unlock(ask, &scope, Meant::Any).await?,
        Command::Cancel(words) => return votes::current(ask, &words).await,
        // Answered at once, or saved and carried out.
        Command::Help(_) | Command::Deploy(_) | Command::Rollback(_) | Command::Promote(_) => Response::Nothing,
    };
    Ok((response, None))
}

/// How the asker wants to be told from now on.
async fn notify<W: World>(ask: &Asking<'_, W>, by: NotifyBy) -> Result<Response, Stop> {
    store::save_key(ask.cx.world, Notify(&ask.asker.user), &NotifyChoice { by }).await?;
    Ok(Response::words(&message::notified(by)))
}

async fn button<W: World>(ask: &Asking<'_, W>, button: Button) -> Answered {
    match button {
        Button::Cancel(id) => votes::cancel(ask, &id).await,
        Button::Approve(id) => votes::vote(ask, &id, Vote::Approve).await,
        Button::Reject(id) => votes::vote(ask, &id, Vote::Reject).await,
        Button::Terminate { waits, of, .. } => votes::terminate(ask, &waits, &of).await,
        Button::Unlock { scope, set } => {
            let meant = set.map_or(Meant::OfRollback, Meant::SetAt);
            Ok((locks::unlock(ask, &scope, meant).await?, None))
        }
        // Saved and carried out.
        Button::Retry(_)
        | Button::Wait(_)
        | Button::RollBack(_)
        | Button::Promote { .. }
        | Button::DeployAnyway(_)
        | Button::TakeOver(_)
        | Button::Deploy(_)
        | Button::DeployPushed(_) => Ok((Response::Nothing, None)),
    }
}

/// The answer when the work stopped.
async fn stopped<W: World>(ask: &Asking<'_, W>, stop: Stop, changed: Changed) -> Response {
    let Context { world, id, settings, .. } = ask.cx;
    match stop {
        Stop::End(End::Refused { refusal, .. }) => {
            let count = store::count_refusal(world, settings.limits.refusals, &ask.asker.user, 1);
            let _ = within(world, limits::BUDGET, count).await;
            let line = Line::new("declined").of(id).with("user", ask.asker.user.as_str());
            world.log(line.with_json("refusal", &refusal));
            let Some(refusal) = refusal.read() else { return Response::Nothing };
            ask.cx.refuses(&refusal);
            Response::words(&message::declined(&refusal))
        }
        Stop::End(End::Failed { fault }) => {
            world.log(Line::error("not_answered").of(id).with_json("fault", &fault));
            Response::words(&message::fault(&fault))
        }
        Stop::End(End::Cancelled { .. }) | Stop::Moved => Response::words(&message::declined(&Refusal::CatalogChanged)),
        Stop::Leave(why) => not_answered(ask, "do that", why, changed),
    }
}

fn not_answered<W: World>(ask: &Asking<'_, W>, doing: &'static str, why: &str, changed: Changed) -> Response {
    ask.cx.world.log(Line::error("not_answered").of(ask.cx.id).with("cause", why));
    Response::words(&message::fault(&Fault::new(System::Store, doing, Cause::TimedOut).changed(changed)))
}

/// Saves what could not be saved in time. A save that was given up may have been written all the same.
async fn save_late(world: &impl World, id: &DeploymentId, request: RequestFact) -> bool {
    for _ in 0..SAVE_TRIES {
        let saved = async {
            store::add_in_flight(world, id, request.at).await?;
            if store::load_fact::<RequestFact>(world, id).await?.is_none() {
                store::save_fact(world, id, &request).await?;
            }
            // Again: a resume may have found no request yet, and removed the id.
            store::add_in_flight(world, id, request.at).await
        };
        match saved.await {
            Ok(()) => return true,
            Err(error) => world.log(Line::error("not_accepted").of(id).with("cause", error.why())),
        }
        world.sleep(Duration::from_secs(1)).await;
    }
    false
}

async fn send<W: World>(ask: &Asking<'_, W>, response: Response) {
    let (words, audience, elsewhere) = match response {
        Response::Asker(words) => (words, Audience::Asker, None),
        Response::Channel(words, elsewhere) => (words, Audience::Channel, elsewhere),
        Response::Nothing => return,
    };
    let words = words.clone().worded(&wording(ask, &words).await);
    join(respond(ask, &words, audience), announce(ask, elsewhere.as_ref(), &words)).await;
}

/// The names that the installation has. A pressed button does not say how its command is called: then it is called as for the
/// deployment.
async fn wording<W: World>(ask: &Asking<'_, W>, words: &Message) -> Wording {
    let of = ask.of.as_ref().filter(|_| words.names_command());
    let command = match (&ask.asker.command, of) {
        (Some(command), _) => command.clone(),
        (None, Some(of)) => {
            let load = within(ask.cx.world, limits::BUDGET, store::load_fact::<RequestFact>(ask.cx.world, of));
            let request = load.await.and_then(Result::ok).flatten();
            request.map(|request| request.command).unwrap_or_default()
        }
        (None, None) => CommandName::default(),
    };
    let catalog = Some(ask.cx.catalog_page());
    Wording { command, contact: ask.cx.contact.borrow().clone(), catalog }
}

/// Posts the words in another channel too. Nobody there waits for the post, so the post waits for its turn,
/// and is not sent twice when Slack does not answer.
async fn announce<W: World>(ask: &Asking<'_, W>, channel: Option<&SlackChannel>, words: &Message) {
    let Some(channel) = channel else { return };
    let Context { world, settings, id, .. } = ask.cx;
    let speech = Speech::Post(channel);
    for _ in 0..POST_TRIES {
        if store::may_speak(world, settings.limits.minute, speech, Urgency::First).await.is_ok() {
            match slack::post(world, &settings.slack, channel, words, None).await {
                Err(SlackError::RateLimited(wait)) => store::quiet_slack(world, speech, wait).await,
                Ok(_) => return,
                Err(SlackError::Unreachable(fault) | SlackError::Refused(fault)) => {
                    return world.log(Line::error("slack").of(id).with_json("fault", &fault));
                }
                Err(SlackError::Gone(why)) => {
                    return world.log(Line::error("not_announced").of(id).with("slack", why.as_str()));
                }
            }
        }
        world.sleep(Duration::from_secs(1)).await;
    }
    world.log(Line::error("not_announced").of(id).with("channel", channel.as_str()));
}

async fn respond<W: World>(ask: &Asking<'_, W>, words: &Message, audience: Audience) {
    let Context { world, id, settings, .. } = ask.cx;
    let Asker { user, channel, thread, response_url: url, .. } = ask.asker;
    let aside = Aside { user, channel, thread: thread.as_ref(), url: url.as_ref() };
    for _ in 0..RESPONSE_TRIES {
        let responded = match audience {
            Audience::Asker => aside.say(world, &settings.slack, words).await,
            Audience::Channel => aside.say_aloud(world, &settings.slack, words).await,
        };
        match responded {
            Ok(()) => return,
            Err(SlackError::Unreachable(fault)) => {
                world.log(Line::error("slack").of(id).with_json("fault", &fault));
                world.sleep(Duration::from_secs(1)).await;
            }
            Err(SlackError::RateLimited(wait)) => world.sleep(wait.min(Duration::from_secs(30))).await,
            Err(SlackError::Refused(fault)) => {
                return world.log(Line::error("slack").of(id).with_json("fault", &fault));
            }
            Err(SlackError::Gone(why)) => {
                return world.log(Line::error("nobody_told").of(id).with("slack", why.as_str()));
            }
        }
    }
    world.log(Line::error("nobody_told").of(id));
}
