//! The form, before the answer to Slack: whose it is, and what its menus offer.
//!
//! Easy to miss: what a form says of itself proves nothing but its id. Who opened it, where, and what that person may ask
//! about is in the store, below the person whom Slack names.
//!
//! **Invariant:** no other system is asked here but GitHub, for a search, and Slack waits for that answer.

use crate::context::Context;
use crate::settings::SlackCommandSettings;
use crate::world::{Line, World, within};
use clients::github::{self, ReadError};
use clients::slack::{self, FormEvent, InForm};
use domain::deployment::State;
use domain::form::{APP, Choices, FormFact, of_what_block};
use domain::limits;
use domain::message;
use domain::names::{DeploymentId, RepoName, SlackTeam, SlackUser, Target};
use serde_json::{Value, json};
use store::Form;

/// The form that this is about, if the person opened it, and not too long ago.
pub(crate) async fn of<W: World>(cx: &Context<'_, W>, event: &FormEvent) -> Option<FormFact> {
    let load = store::load_key(cx.world, Form(&event.user));
    let known = within(cx.world, limits::SAVE_LIMIT, load).await.and_then(Result::ok).flatten();
    let id = DeploymentId::parse(&event.metadata).ok();
    let is_theirs = |form: &FormFact| {
        // A search names the organisation where there is one: then the person alone counts.
        let is_search = matches!(event.what, InForm::Search { .. });
        let is_of = |team: &SlackTeam| *team == form.team || (is_search && team.as_str().starts_with('E'));
        event.teams.iter().any(is_of) && id.as_ref().is_some_and(|id| form.is_open(id, cx.world.now()))
    };
    let found = known.filter(is_theirs);
    if found.is_none() {
        cx.world.log(Line::new("unknown_form").of(cx.id).with("user", event.user.as_str()));
    }
    found
}

/// What a menu offers for what was typed.
pub(crate) async fn search<W: World>(
    cx: &Context<'_, W>,
    (user, form): (&SlackUser, Option<FormFact>),
    block: &str,
    typed: &str,
) -> Value {
    let found = match &form {
        None => Vec::new(),
        Some(form) if block == APP => form.find_apps(typed),
        Some(form) => match of_what_block(block).and_then(|(app, environment)| form.target(app, environment)) {
            None => Vec::new(),
            Some((app, target)) => {
                let versions = async { versions(cx, &target).await };
                let both = futures::future::join(choices(cx, user, &app.repo), versions);
                // Without an answer in time, what was typed is left.
                let (choices, versions) = within(cx.world, limits::SEARCH, both).await.unwrap_or_default();
                choices.find(&versions, typed)
            }
        },
    };
    json!({ "options": message::options(&found) })
}

/// What the repository has: as listed a moment ago, or as GitHub says now.
async fn choices<W: World>(cx: &Context<'_, W>, user: &SlackUser, repo: &RepoName) -> Choices {
    let Context { world, settings, id, .. } = *cx;
    if let Some(known) = store::known_choices(world, repo).await {
        return known;
    }
    if !store::may_search(world, settings.limits.minute, user).await {
        return Choices::default();
    }
    match github::choices(world, &settings.github, repo).await {
        Ok(choices) => {
            let _ = store::remember_choices(world, repo, &choices).await;
            choices
        }
        Err(error) => {
            let line = Line::new("not_searched").of(id).with("repo", repo.as_str());
            world.log(match &error {
                ReadError::Fault(fault) => line.with_json("fault", fault),
                ReadError::NoRepository | ReadError::NoBranch => line,
            });
            Choices::default()
        }
    }
}

/// The tags of the versions that were live before the newest one, newest first.
async fn versions<W: World>(cx: &Context<'_, W>, target: &Target) -> Vec<String> {
    let past = store::past(cx.world, target, cx.id).await.unwrap_or_default();
    let mut tags: Vec<String> = Vec::new();
    for version in past.iter().filter_map(|past| past.version()).skip(1) {
        let tag = version.tag.to_string();
        if version.state == State::Live && !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    tags
}

/// Says in a form of which nothing is known any more that it is over.
pub(crate) async fn is_over(world: &impl World, settings: &SlackCommandSettings, view: &str) {
    let said = message::form_ended(&message::plain(message::FORM_IS_OVER));
    let _ = slack::update_view(world, &settings.slack, (view, None), &said).await;
}
