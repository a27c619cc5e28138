//! The form, after the answer to Slack: it is opened at once, because a click can be exchanged for a form for three seconds
//! only; then filled, and updated with what a deploy would do.
//!
//! Easy to miss: two updates may be on their way at the same time. The first one after a choice goes without a hash, because
//! what was chosen last counts; what a deploy would do comes later, and counts only if nothing was chosen meanwhile.

use super::{Asking, Response, questions, stopped, wording};
use crate::context::Stop;
use crate::deploy::people;
use crate::request::FormChange;
use crate::world::{Line, World};
use clients::slack::{self, SlackError, ViewId};
use domain::fault::Changed;
use domain::form::{Chosen, FormApp, FormFact};
use domain::message::{self, Message};
use domain::names::ResponseUrl;
use serde_json::Value;
use store::Form;

/// Opens the form for the person who typed the command alone. If that fails, the person reads the help.
pub(super) async fn open<W: World>(ask: &Asking<'_, W>, trigger: &str, response_url: ResponseUrl) -> Response {
    let (world, slack) = (ask.cx.world, &ask.cx.settings.slack);
    let view = match slack::open_view(world, slack, trigger, &message::form_loading()).await {
        Ok(view) => view,
        Err(error) => {
            log(ask, Line::new("form_not_opened"), &error);
            return Response::words(&message::help(None));
        }
    };
    let shown = match fill(ask, response_url).await {
        Ok(form) => message::form(&form, &Chosen::default(), None),
        Err(stop) => message::form_ended(&said(ask, stop).await),
    };
    update(ask, (&view.id, Some(&view.hash)), &shown).await;
    Response::Nothing
}

/// Saves who opened the form, and what that person may ask about.
async fn fill<W: World>(ask: &Asking<'_, W>, response_url: ResponseUrl) -> Result<FormFact, Stop> {
    let (cx, asker) = (&ask.cx, ask.asker);
    people::must_be_ours(cx, &asker.team).await?;
    let catalog = questions::readable(ask).await?;
    let apps = catalog.apps.values().map(|app| FormApp {
        name: app.name.clone(),
        repo: app.repo.clone(),
        environments: app.environments.keys().cloned().collect(),
    });
    let form = FormFact {
        id: cx.id.clone(),
        at: ask.at,
        user_name: asker.user_name.clone(),
        channel: asker.channel.clone(),
        team: asker.team.clone(),
        team_domain: asker.team_domain.clone(),
        command: asker.command.clone().unwrap_or_default(),
        response_url,
        apps: apps.collect(),
    };
    store::save_key(cx.world, Form(&asker.user), &form).await?;
    Ok(form)
}

/// Asks for what has to be chosen next, and shows what a deploy would do once all is chosen.
pub(super) async fn changed<W: World>(ask: &Asking<'_, W>, change: &FormChange) -> Response {
    let FormChange { view, form, chosen } = change;
    let words = form.words(chosen);
    let looks = words.is_some().then(message::form_looks);
    let Some(ViewId { id, hash }) = update(ask, (view, None), &message::form(form, chosen, looks.as_ref())).await
    else {
        return Response::Nothing;
    };
    let Some(words) = words else { return Response::Nothing };
    let known = async {
        people::must_be_ours(&ask.cx, &ask.asker.team).await?;
        questions::preview(ask, words, message::preview_in_form).await
    };
    let known = match known.await {
        Ok(known) => known.clone().worded(&wording(ask, &known).await),
        Err(stop) => said(ask, stop).await,
    };
    update(ask, (&id, Some(&hash)), &message::form(form, chosen, Some(&known))).await;
    Response::Nothing
}

/// What the person reads in the form if the work stopped.
async fn said<W: World>(ask: &Asking<'_, W>, stop: Stop) -> Message {
    match stopped(ask, stop, Changed::Nothing).await {
        Response::Asker(said) | Response::Channel(said, _) => {
            let wording = wording(ask, &said).await;
            said.worded(&wording)
        }
        Response::Nothing => message::plain(""),
    }
}

/// `None`: the form is closed, or something else was chosen meanwhile.
async fn update<W: World>(ask: &Asking<'_, W>, view: (&str, Option<&str>), shown: &Value) -> Option<ViewId> {
    match slack::update_view(ask.cx.world, &ask.cx.settings.slack, view, shown).await {
        Ok(view) => Some(view),
        Err(SlackError::Gone(_)) => None,
        Err(error) => {
            log(ask, Line::new("form_not_updated"), &error);
            None
        }
    }
}

fn log<W: World>(ask: &Asking<'_, W>, line: Line, error: &SlackError) {
    let line = line.of(ask.cx.id).with("user", ask.asker.user.as_str());
    ask.cx.world.log(match error {
        SlackError::Unreachable(fault) | SlackError::Refused(fault) => line.with_json("fault", fault),
        SlackError::Gone(why) => line.with("slack", why.as_str()),
        SlackError::RateLimited(_) => line.with("slack", "ratelimited"),
    });
}
