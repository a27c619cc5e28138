//! Who may: the people whom the catalog names, and the members of the Slack user groups that it names.

use super::stop::Stop;
use crate::context::Context;
use crate::log::Line;
use crate::world::World;
use clients::slack::{self, SlackError};
use domain::catalog::{App, Asked, Catalog, Environment, Members, People, Unmet};
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
    let (members, owners, now) = (Members::default(), &environment.owners, cx.world.now());
    let asked = Asked { target, owners, user, channel, override_reason: None, now, members: &members };
    look(cx, &members, || environment.gates.admit(&asked)).await?;
    Ok(())
}

/// Whether this person is among those, by name or by a group.
pub(crate) async fn is_among<W: World>(cx: &Context<'_, W>, user: &SlackUser, people: &People) -> Result<bool, Stop> {
    let members = Members::default();
    look(cx, &members, || people.include(user, &members)).await
}

/// Checks again and again, until Slack was asked for all that the check has to know. Slack is asked only about people
/// whom the catalog does not name, and no longer than until one group has them.
pub(super) async fn look<T, W: World>(
    cx: &Context<'_, W>,
    members: &Members,
    check: impl Fn() -> Result<T, Unmet>,
) -> Result<T, Stop> {
    loop {
        match check() {
            Ok(passed) => return Ok(passed),
            Err(Unmet::Refused(refusal)) => return Err((*refusal).into()),
            Err(Unmet::Asks(user, group)) => {
                let is_in = is_member(cx, &user, &group).await?;
                members.add(user, group, is_in);
            }
        }
    }
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
