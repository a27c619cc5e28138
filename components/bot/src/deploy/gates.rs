//! Who may deploy, and what else may stand in the way of exactly this version. The checks are pure and in
//! [`domain::catalog`]. Here they get what they look at, and Slack is asked who is in a user group that the
//! catalog names.

use super::catalog;
use super::prepare::Site;
use crate::context::{Context, Stop};
use crate::world::{Line, World};
use clients::github::{Snapshot, SourceState};
use clients::slack::{self, SlackError};
use domain::catalog::{Asked, Case, Catalog, Environment, Members, People, Unmet};
use domain::command::What;
use domain::deployment::{End, Granted, RequestFact, TargetPlan};
use domain::fault::{Cause, Changed, Fault, System};
use domain::github::ReviewsState;
use domain::image::Digest;
use domain::lock::TargetLock;
use domain::names::{BlobSha, SlackChannel, SlackGroup, SlackUser, Target};
use domain::refusal::Refusal;
use store::{Group, KnownGroup, Lock, LockOfAll, RolledBackVersions, StoreError};

/// Finds what was asked for in the catalog and whether this person may deploy it from this channel.
pub(crate) async fn authorise<'c, W: World>(
    cx: &'c Context<'c, W>,
    request: &'c RequestFact,
    (blob, catalog): &'c (BlobSha, Catalog),
) -> Result<Site<'c, W>, Stop> {
    let words = &request.words;
    let (target, app, environment) = catalog.find(&words.app, words.environment.as_deref())?;
    if let What::PullRequestOf { repo, number } = &words.what
        && !app.repo.is(repo.as_str())
    {
        let (repo, own) = (repo.clone(), app.repo.clone());
        return Err(Refusal::OtherRepository { number: *number, repo, app: target.app, own }.into());
    }
    may_deploy(cx, &request.user, &request.channel, &target, environment).await?;
    let applications = catalog::applications(cx, &target, environment).await?;
    let beside = catalog.beside(&target, &applications);
    let others = catalog.folders_of_others(&target).into_iter().map(str::to_owned).collect();
    Ok(Site { cx, request, target, app, environment, applications, catalog: blob, beside, others })
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
    check_with_groups(cx, &members, || environment.gates.admit(&asked)).await?;
    Ok(())
}

/// Whether this person is among those, by name or by a group.
pub(crate) async fn is_among<W: World>(cx: &Context<'_, W>, user: &SlackUser, people: &People) -> Result<bool, Stop> {
    let members = Members::default();
    check_with_groups(cx, &members, || people.include(user, &members)).await
}

/// Checks again and again, until Slack was asked for all that the check has to know. Slack is asked only
/// about people whom the catalog does not name, and no longer than until one group has them.
async fn check_with_groups<T, W: World>(
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

/// Slack is asked about a group once a minute, however many people want to know: somebody who is in no group must not use up
/// the questions of the members.
async fn is_member<W: World>(cx: &Context<'_, W>, user: &SlackUser, group: &SlackGroup) -> Result<bool, Stop> {
    let now = cx.world.now();
    let known = store::load_key(cx.world, Group(group)).await.ok().flatten();
    let is_fresh = |known: &KnownGroup| known.at <= now && now.since(known.at) < cx.settings.limits.group_age;
    if let Some(known) = known.filter(is_fresh) {
        return Ok(known.members.contains(user));
    }
    let members = cx.read(async || members_of(cx, group).await).await?;
    let known = KnownGroup { at: now, members };
    // Without the note, Slack is asked again.
    if let Err(error) = store::save_key(cx.world, Group(group), &known).await {
        cx.world.log(Line::error("group_not_remembered").of(cx.id).with("cause", error.why()));
    }
    Ok(known.members.contains(user))
}

async fn members_of<W: World>(cx: &Context<'_, W>, group: &SlackGroup) -> Result<Vec<SlackUser>, Fault> {
    let doing = "read the members of a Slack user group";
    match slack::group_members(cx.world, &cx.settings.slack, group).await {
        Ok(members) => Ok(members),
        Err(SlackError::RateLimited(wait)) => {
            Err(Fault::new(System::Slack, doing, Cause::RateLimited { seconds: Some(wait.as_secs()) }))
        }
        Err(SlackError::Unreachable(fault) | SlackError::Refused(fault)) => Err(fault.changed(Changed::Nothing)),
        // A group that is gone has no members.
        Err(SlackError::Gone(why)) => {
            let line = Line::error("no_such_group").of(cx.id);
            cx.world.log(line.with("group", group.as_str()).with("slack", why.as_str()));
            Ok(Vec::new())
        }
    }
}

static NO_REVIEWS: ReviewsState = ReviewsState { head_author: None, latest: Vec::new() };

/// Everything that may forbid exactly this deployment. Checked again before each commit, whichever way the
/// request came. Returns what was granted.
pub(crate) async fn gates<W: World>(
    site: &Site<'_, W>,
    snapshot: &Snapshot,
    plan: &TargetPlan,
    deployed: Option<&Digest>,
) -> Result<Granted, Stop> {
    let Site { cx, request, environment, .. } = site;
    let gates = &environment.gates;
    let members = Members::default();
    let case = case(site, snapshot, plan, deployed, &members);
    let mut granted = check_lock_and_freeze(site).await?;
    granted.add(check_with_groups(cx, &members, || gates.check_commit(&case)).await?);
    if !request.origin.knows_rolled_back() {
        let bad = store::load_key(cx.world, RolledBackVersions(&site.target)).await?.unwrap_or_default();
        let bad = bad.versions.into_iter().find(|bad| bad.tag == plan.tag.as_str());
        if let Some((bad, head)) = bad.zip(plan.source.head.clone()) {
            let (target, tag) = (Box::new(site.target.clone()), plan.tag.clone());
            return Err(Refusal::WasRolledBack { target, tag, head, by: bad.by, at: bad.at }.into());
        }
    }
    match check_with_groups(cx, &members, || gates.check_approvals(&case)).await {
        Ok(approved) => granted.add(approved),
        // People read what they are asked to approve, and it is compared with what is committed.
        Err(Stop::End(End::Refused { refusal, .. })) => {
            return Err(Stop::End(End::Refused { refusal, plan: Some(Box::new(plan.clone())) }));
        }
        Err(other) => return Err(other),
    }
    Ok(granted)
}

/// What the gates look at.
pub(crate) fn case<'a, W: World>(
    site: &'a Site<'a, W>,
    snapshot: &'a Snapshot,
    plan: &'a TargetPlan,
    deployed: Option<&'a Digest>,
    members: &'a Members,
) -> Case<'a> {
    let request = site.request;
    let stands_still = request.words.what.stands_still();
    let checks = match &snapshot.source {
        _ if stands_still => snapshot.checked,
        SourceState::PullRequest { checks, .. } | SourceState::Branch { checks, .. } => *checks,
        _ => None,
    };
    let reviews = match &snapshot.source {
        SourceState::PullRequest { reviews, .. } => reviews,
        _ => &NO_REVIEWS,
    };
    Case {
        asked: asked(site, members),
        plan,
        deployed,
        stands_still,
        checks,
        reviews,
        origin: &request.origin,
        requested: request.at,
    }
}

fn asked<'a, W: World>(site: &'a Site<'a, W>, members: &'a Members) -> Asked<'a> {
    let Site { cx, request, .. } = site;
    Asked {
        target: &site.target,
        owners: &site.environment.owners,
        user: &request.user,
        channel: &request.channel,
        override_reason: request.words.override_reason.as_deref(),
        now: cx.world.now(),
        members,
    }
}

/// Locks and freezes: what can close at any moment.
pub(super) async fn check_lock_and_freeze<W: World>(site: &Site<'_, W>) -> Result<Granted, Stop> {
    let cx = site.cx;
    let rollback = matches!(site.request.words.what, What::Rollback(_));
    if let Some((lock, everything)) = lock(site).await?
        && !(rollback && lock.rollback)
    {
        let (target, since, until) = (site.target.clone(), lock.at, lock.until);
        return Err(Refusal::Locked { target, by: lock.by, reason: lock.reason, since, until, everything }.into());
    }
    let members = Members::default();
    let asked = asked(site, &members);
    check_with_groups(cx, &members, || site.environment.gates.check_freeze(&asked)).await
}

/// The lock that is in force, and whether that is the lock of everything.
async fn lock<W: World>(site: &Site<'_, W>) -> Result<Option<(TargetLock, bool)>, StoreError> {
    let (cx, now) = (site.cx, site.cx.world.now());
    let all = store::load_key(cx.world, LockOfAll).await?.filter(|lock| lock.holds(now));
    if let Some(lock) = all {
        return Ok(Some((lock, true)));
    }
    let own = store::load_key(cx.world, Lock(&site.target)).await?;
    let own = own.map(|lock| lock.ending(!site.environment.owners.is_empty())).filter(|lock| lock.holds(now));
    Ok(own.map(|lock| (lock, false)))
}
