//! Who may: the people whom the catalog names, and the members of the Slack user groups that it names.

use super::stop::Stop;
use crate::context::Context;
use crate::log::Line;
use crate::world::World;
use clients::slack::{self, SlackError};
use domain::catalog::{App, Catalog, Decision, Environment, People};
use domain::command::What;
use domain::deployment::RequestFact;
use domain::fault::{Cause, Changed, Fault, System};
use domain::names::{SlackChannel, SlackGroup, SlackUser, Target};
use domain::refusal::Refusal;

/// Finds what was asked for in the catalog and whether this person may deploy it from this channel.
pub(crate) async fn authorise<'c, W: World>(
    cx: &Context<'_, W>,
    request: &RequestFact,
    catalog: &'c Catalog,
) -> Result<(Target, &'c App, &'c Environment), Stop> {
    let words = &request.words;
    let (target, app, environment) = catalog.find(&words.app, words.environment.as_deref())?;
    if let What::PullRequestOf { repo, number } = &words.what
        && !app.repo.is(repo.as_str())
    {
        let (repo, own) = (repo.clone(), app.repo.clone());
        return Err(Refusal::OtherRepository { number: *number, repo, app: target.app, own }.into());
    }
    may_deploy(cx, &request.user, &request.channel, &target, environment).await?;
    Ok((target, app, environment))
}

/// Whether this person may deploy there, from this channel.
pub(crate) async fn may_deploy<W: World>(
    cx: &Context<'_, W>,
    user: &SlackUser,
    channel: &SlackChannel,
    target: &Target,
    environment: &Environment,
) -> Result<(), Stop> {
    let decide = |groups: &[SlackGroup]| environment.allow.decide(user, groups, channel);
    let mut decision = decide(&[]);
    // Slack is asked only about those whom the catalog does not name, and no longer than until one group has them.
    for group in environment.allow.groups() {
        if decision == Decision::NotListed && is_member(cx, user, group).await? {
            decision = decide(std::slice::from_ref(group));
        }
    }
    let refuse = |nobody, wrong_channel| Refusal::NotAllowed { target: target.clone(), nobody, wrong_channel };
    match decision {
        Decision::Allowed => Ok(()),
        Decision::Nobody => Err(refuse(true, false).into()),
        Decision::NotListed => Err(refuse(false, false).into()),
        Decision::WrongChannel => Err(refuse(false, true).into()),
    }
}

/// Whether this person is among those, by name or by a group.
pub(crate) async fn is_among<W: World>(cx: &Context<'_, W>, user: &SlackUser, people: &People) -> Result<bool, Stop> {
    if people.names(user) {
        return Ok(true);
    }
    for group in &people.groups {
        if is_member(cx, user, group).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn is_member<W: World>(cx: &Context<'_, W>, user: &SlackUser, group: &SlackGroup) -> Result<bool, Stop> {
    let doing = "read the members of a Slack user group";
    match slack::group_members(cx.world, &cx.settings.slack, group).await {
        Ok(members) => Ok(members.contains(user)),
        Err(SlackError::RateLimited(wait)) => {
            Err(Fault::new(System::Slack, doing, Cause::RateLimited { seconds: Some(wait.as_secs()) }).into())
        }
        Err(SlackError::Unreachable(fault) | SlackError::Refused(fault)) => Err(fault.changed(Changed::Nothing).into()),
        // A group that is gone has no members.
        Err(SlackError::Gone(why)) => {
            let line = Line::error("no_such_group").of(cx.id);
            cx.world.log(line.with("group", group.as_str()).with("slack", why.as_str()));
            Ok(false)
        }
    }
}
