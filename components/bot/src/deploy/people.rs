//! What only Slack knows of people: who is a guest, who is in a user group, and which workspace is ours. Slack is asked
//! after the answer to it, and what it says is remembered, so that somebody who may not deploy does not use up the
//! questions of those who may.
//!
//! Easy to miss: a guest, and a person of another organisation in a shared channel, have ids like everybody. Without
//! an answer of Slack's only a person counts as a full member who was one within a day.

use crate::context::{Context, Stop};
use crate::world::{Line, World, within};
use clients::slack::{self, SlackError};
use domain::catalog::Belongs;
use domain::deployment::End;
use domain::fault::{Cause, Changed, Fault, System};
use domain::limits;
use domain::names::{SlackGroup, SlackTeam, SlackUser};
use domain::refusal::Refusal;
use domain::time::Timestamp;
use std::time::Duration;
use store::{Group, KnownGroup, KnownPerson, KnownWorkspace, OwnWorkspace, Person, StoreError};

/// Whether a person belongs there.
pub(super) async fn belongs<W: World>(cx: &Context<'_, W>, user: &SlackUser, to: &Belongs) -> Result<bool, Stop> {
    match to {
        Belongs::ToWorkspace => is_member(cx, user).await,
        Belongs::ToGroup(group) => is_in(cx, user, group).await,
    }
}

async fn is_member<W: World>(cx: &Context<'_, W>, user: &SlackUser) -> Result<bool, Stop> {
    let (now, age) = (cx.world.now(), cx.settings.limits.person_age);
    let known = store::load_key(cx.world, Person(user)).await.ok().flatten();
    if let Some(known) = known.as_ref().filter(|known| is_fresh(known.at, now, age)) {
        return Ok(known.is_member);
    }
    let asked = async {
        let ours = workspace(cx, cx.settings.limits.workspace_age).await?;
        Ok::<_, Stop>(cx.read(async || is_member_of(cx, user, &ours).await).await?)
    };
    // Who was a member today still deploys while Slack is down.
    let is_recent = |known: &KnownPerson| known.is_member && is_fresh(known.at, now, limits::MEMBER_WITHOUT_SLACK);
    let is_member = match known.filter(is_recent) {
        None => asked.await?,
        Some(_) => match within(cx.world, limits::SLACK_ABOUT_A_MEMBER, asked).await {
            Some(Ok(is_member)) => is_member,
            None | Some(Err(Stop::End(End::Failed { .. }))) => {
                cx.world.log(Line::error("person_by_memory").of(cx.id).with("user", user.as_str()));
                return Ok(true);
            }
            Some(Err(other)) => return Err(other),
        },
    };
    let saved = store::save_key(cx.world, Person(user), &KnownPerson { at: now, is_member }).await;
    remembered(cx, Line::error("person_not_remembered"), saved);
    Ok(is_member)
}

async fn is_member_of<W: World>(cx: &Context<'_, W>, user: &SlackUser, ours: &SlackTeam) -> Result<bool, Fault> {
    match slack::person(cx.world, &cx.settings.slack, user).await {
        Ok(person) => Ok(person.is_full && person.teams.contains(ours)),
        Err(error) => {
            let why = gone(error, "find out who is a guest")?;
            let line = Line::new("no_such_person").of(cx.id);
            cx.world.log(line.with("user", user.as_str()).with("slack", why.as_str()));
            Ok(false)
        }
    }
}

/// Slack is asked about a group once a minute, however many people want to know.
async fn is_in<W: World>(cx: &Context<'_, W>, user: &SlackUser, group: &SlackGroup) -> Result<bool, Stop> {
    let (now, age) = (cx.world.now(), cx.settings.limits.group_age);
    let known = store::load_key(cx.world, Group(group)).await.ok().flatten();
    if let Some(known) = known.filter(|known| is_fresh(known.at, now, age)) {
        return Ok(known.members.contains(user));
    }
    let members = cx.read(async || members_of(cx, group).await).await?;
    let known = KnownGroup { at: now, members };
    remembered(cx, Line::error("group_not_remembered"), store::save_key(cx.world, Group(group), &known).await);
    Ok(known.members.contains(user))
}

async fn members_of<W: World>(cx: &Context<'_, W>, group: &SlackGroup) -> Result<Vec<SlackUser>, Fault> {
    match slack::group_members(cx.world, &cx.settings.slack, group).await {
        Ok(members) => Ok(members),
        // A group that is gone has no members.
        Err(error) => {
            let why = gone(error, "read the members of a Slack user group")?;
            let line = Line::error("no_such_group").of(cx.id);
            cx.world.log(line.with("group", group.as_str()).with("slack", why.as_str()));
            Ok(Vec::new())
        }
    }
}

/// Refuses what another workspace asks for. Nobody is refused by what was remembered long ago: the token may be another
/// workspace's by now.
pub(crate) async fn must_be_ours<W: World>(cx: &Context<'_, W>, team: &SlackTeam) -> Result<(), Stop> {
    for age in [cx.settings.limits.workspace_age, limits::WORKSPACE_AGAIN] {
        if workspace(cx, age).await? == *team {
            return Ok(());
        }
    }
    Err(Refusal::OtherWorkspace.into())
}

/// The workspace that we work for: the one of the settings, else that of Slack's token, which is remembered for so long.
async fn workspace<W: World>(cx: &Context<'_, W>, age: Duration) -> Result<SlackTeam, Stop> {
    if let Some(team) = &cx.settings.team {
        return Ok(team.clone());
    }
    let now = cx.world.now();
    let known = store::load_key(cx.world, OwnWorkspace).await.ok().flatten();
    if let Some(known) = known.filter(|known| is_fresh(known.at, now, age)) {
        return Ok(known.team);
    }
    let team = cx.read(async || own_team(cx).await).await?;
    let known = KnownWorkspace { at: now, team };
    remembered(cx, Line::error("workspace_not_remembered"), store::save_key(cx.world, OwnWorkspace, &known).await);
    Ok(known.team)
}

async fn own_team<W: World>(cx: &Context<'_, W>) -> Result<SlackTeam, Fault> {
    let doing = "find out which workspace I work for";
    match slack::own_team(cx.world, &cx.settings.slack).await {
        Ok(Some(team)) => Ok(team),
        // The app is installed for a whole organisation, so the token says nothing.
        Ok(None) => {
            let cause = Cause::Setting { variable: "slack_team_id".to_owned() };
            Err(Fault::new(System::Settings, doing, cause))
        }
        Err(error) => {
            let said = gone(error, doing)?;
            Err(Fault::new(System::Slack, doing, Cause::Said { said }))
        }
    }
}

fn is_fresh(at: Timestamp, now: Timestamp, age: Duration) -> bool {
    at <= now && now.since(at) < age
}

/// Slack's name for why there is no such thing. Everything else is a fault.
fn gone(error: SlackError, doing: &str) -> Result<String, Fault> {
    match error {
        SlackError::Gone(why) => Ok(why),
        SlackError::RateLimited(wait) => {
            Err(Fault::new(System::Slack, doing, Cause::RateLimited { seconds: Some(wait.as_secs()) }))
        }
        SlackError::Unreachable(fault) | SlackError::Refused(fault) => Err(fault.changed(Changed::Nothing)),
    }
}

/// Without the note, Slack is asked again.
fn remembered<W: World>(cx: &Context<'_, W>, line: Line, saved: Result<(), StoreError>) {
    if let Err(error) = saved {
        cx.world.log(line.of(cx.id).with("cause", error.why()));
    }
}
