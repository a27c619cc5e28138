//! Who may deploy, and what else may stand in the way of exactly this version. The checks are pure and in
//! [`domain::catalog`]. Here they get what they look at, and Slack is asked about people.

use super::prepare::{Site, checks_url};
use super::{catalog, gate_service, itself, people, prepare, versions};
use crate::context::{Context, Stop};
use crate::world::World;
use clients::github::{Snapshot, SourceState};
use domain::catalog::{Allow, Asked, Case, Catalog, Environment, LiveThere, Members, NewestThere, People, Unmet};
use domain::command::{Version, What};
use domain::deployment::{End, Granted, LastWord, OutcomeFact, Reference, RequestFact, TargetPlan};
use domain::github::{CommitChecks, ReviewsState};
use domain::image::Digest;
use domain::lock::TargetLock;
use domain::names::{BlobSha, EnvironmentName, SlackChannel, SlackUser, Target};
use domain::refusal::{NoChannel, NotByItself, Refusal};
use std::collections::BTreeMap;
use store::{Lock, LockOfAll, RolledBackVersions, StoreError};

/// Finds what was asked for in the catalog and whether this person may deploy it from this channel.
pub(crate) async fn authorise<'c, W: World>(
    cx: &'c Context<'c, W>,
    request: &'c RequestFact,
    (blob, catalog): &'c (BlobSha, Catalog),
) -> Result<Site<'c, W>, Stop> {
    let words = &request.words;
    let by = (&request.user, &request.channel);
    let (target, app, environment) = catalog::find(cx, catalog, &catalog.meant_by(words)?, by).await?;
    if let What::PullRequestOf { repo, number } = &words.what
        && !app.repo.is(repo.as_str())
    {
        let (repo, own) = (repo.clone(), app.repo.clone());
        return Err(Refusal::OtherRepository { number: *number, repo, app: target.app, own }.into());
    }
    let by_itself = request.origin.by_itself().is_some();
    if by_itself && !environment.auto_rollback {
        return Err(Refusal::NotByItself { target: Box::new(target), why: NotByItself::Off }.into());
    }
    if !by_itself {
        may_deploy(cx, &request.user, &request.channel, &target, environment).await?;
    }
    let from = match &words.what {
        What::Promote { from } => Some(promoted_from(cx, (catalog, &target, environment), from.as_deref(), by).await?),
        _ => None,
    };
    let applications = catalog::applications(cx, &target, environment).await?;
    let beside = catalog.beside(&target, &applications);
    let others = catalog.folders_of_others(&target).into_iter().map(str::to_owned).collect();
    let include = catalog.places();
    Ok(Site { cx, request, target, from, app, environment, applications, catalog: blob, include, beside, others })
}

/// Where the version is live that is to be promoted.
async fn promoted_from<W: World>(
    cx: &Context<'_, W>,
    (catalog, target, environment): (&Catalog, &Target, &Environment),
    typed: Option<&str>,
    by: (&SlackUser, &SlackChannel),
) -> Result<Target, Stop> {
    let from = match typed.or(environment.promotes_from.as_ref().map(EnvironmentName::as_str)) {
        Some(from) => catalog.find(target.app.as_str(), Some(from)),
        None => Err(Refusal::NoPromotion { app: target.app.clone(), to: Some(target.environment.clone()) }),
    };
    match from {
        // The words of a button need not be typed.
        Ok((from, ..)) if from == *target => {
            Err(Refusal::NoPromotion { app: from.app, to: Some(from.environment) }.into())
        }
        Ok((from, ..)) => Ok(from),
        Err(refusal) if matches!(may_read(cx, by, catalog).await, Ok(true)) => Err(refusal.into()),
        Err(refusal) => Err(refusal.without_names().into()),
    }
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
    let asked = Asked { target, owners, user, channel, override_reason: None, now, was_live: false, members: &members };
    check_with_groups(cx, &members, || environment.gates.admit(&asked)).await?;
    Ok(())
}

/// Whether this person is among those, by name or by a group.
pub(crate) async fn is_among<W: World>(cx: &Context<'_, W>, user: &SlackUser, people: &People) -> Result<bool, Stop> {
    let members = Members::default();
    check_with_groups(cx, &members, || people.include(user, &members)).await
}

/// Whether this person may ask about all targets, from this channel.
pub(crate) async fn may_read<W: World>(
    cx: &Context<'_, W>,
    (user, channel): (&SlackUser, &SlackChannel),
    catalog: &Catalog,
) -> Result<bool, Stop> {
    let members = Members::default();
    check_with_groups(cx, &members, || catalog.may_read(user, channel, &members)).await
}

/// What of the catalog this person may ask about.
pub(crate) async fn readable<W: World>(
    cx: &Context<'_, W>,
    by: (&SlackUser, &SlackChannel),
    mut catalog: Catalog,
) -> Result<Catalog, Stop> {
    if may_read(cx, by, &catalog).await? {
        return Ok(catalog);
    }
    catalog.out_of_service.clear();
    let members = Members::default();
    for app in catalog.apps.values_mut() {
        let mut readable = BTreeMap::new();
        for (name, environment) in std::mem::take(&mut app.environments) {
            if check_with_groups(cx, &members, || environment.may_read(by.0, by.1, &members)).await? {
                readable.insert(name, environment);
            }
        }
        app.environments = readable;
    }
    catalog.apps.retain(|_, app| !app.environments.is_empty());
    if catalog.apps.is_empty() { Err(Refusal::NotReader.into()) } else { Ok(catalog) }
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
            Err(Unmet::Asks(user, to)) => {
                let does = people::belongs(cx, &user, &to).await?;
                members.add(user, to, does);
            }
        }
    }
}

static NO_CHECKS: CommitChecks = CommitChecks { all: None, runs: Vec::new(), more: false };
static NO_REVIEWS: ReviewsState = ReviewsState { head_author: None, latest: Vec::new(), merged: None };

/// Everything that may forbid exactly this deployment. Checked again before each commit, whichever way the
/// request came. Returns what was granted.
pub(crate) async fn gates<W: World>(
    site: &Site<'_, W>,
    snapshot: &Snapshot,
    plan: &TargetPlan,
    deployed: Option<&Digest>,
) -> Result<Granted, Stop> {
    let Site { cx, environment, .. } = site;
    let gates = &environment.gates;
    let members = Members::default();
    itself::may_bring_back(site, plan)?;
    let was_live = brings_back(site, plan).await;
    let there = elsewhere(site, snapshot).await?;
    let answer;
    let mut case = case(site, snapshot, (plan, deployed), &there, &members);
    case.asked.was_live = was_live;
    let mut granted = check_lock_and_freeze(site, Some((plan, was_live))).await?;
    let checked = check_with_groups(cx, &members, || gates.check_commit(&case)).await;
    granted.add(checked.map_err(|stop| to_approve(stop, plan))?);
    check_rolled_back(site, plan).await?;
    if !was_live {
        answer = gate_service::answer(site, plan).await;
        case.answer = answer.as_ref();
    }
    granted.add(check_with_groups(cx, &members, || gates.check_ask(&case)).await?);
    let approved = check_with_groups(cx, &members, || gates.check_approvals(&case)).await;
    granted.add(approved.map_err(|stop| to_approve(stop, plan))?);
    Ok(granted)
}

/// People read what they are asked to approve, and it is compared with what is committed.
fn to_approve(stop: Stop, plan: &TargetPlan) -> Stop {
    match stop {
        Stop::End(End::Refused { refusal, .. })
            if refusal.read().is_some_and(|why| !why.asks_approval().is_empty()) =>
        {
            Stop::End(End::Refused { refusal, plans: vec![plan.clone()] })
        }
        other => other,
    }
}

/// Refuses a version that was rolled back, unless the asker knows that it was.
async fn check_rolled_back<W: World>(site: &Site<'_, W>, plan: &TargetPlan) -> Result<(), Stop> {
    let Site { cx, request, .. } = site;
    if !request.origin.knows_rolled_back() {
        let bad = store::load_key(cx.world, RolledBackVersions(&site.target)).await?.unwrap_or_default();
        let bad = bad.versions.into_iter().find(|bad| bad.is(&plan.tag, plan.digest.as_ref()));
        if let Some(bad) = bad {
            let (target, tag) = (Box::new(site.target.clone()), plan.tag.clone());
            match (&plan.source.head, &plan.source.reference) {
                (Some(head), _) => {
                    let head = head.clone();
                    return Err(Refusal::WasRolledBack {
                        target,
                        tag,
                        head,
                        by: (!bad.itself).then_some(bad.by),
                        at: bad.at,
                    }
                    .into());
                }
                (None, Reference::Channel(_)) if !plan.rollback => {
                    return Err(Refusal::ChannelNotHere { target, channel: tag, why: NoChannel::RolledBack }.into());
                }
                (None, _) => {}
            }
        }
    }
    Ok(())
}

/// Whether this is a rollback to a version that was live, by somebody who may bring it back. Where approvals are needed,
/// `allow: anyone` does not make somebody one of those.
pub(super) async fn brings_back<W: World>(site: &Site<'_, W>, plan: &TargetPlan) -> bool {
    let Site { cx, request, environment, .. } = site;
    if !(plan.rollback && plan.was_live) {
        return false;
    }
    // The catalog permits it, and nobody's rights are asked.
    if request.origin.by_itself().is_some() {
        return true;
    }
    let Some(approvals) = &environment.gates.approvals else { return true };
    let mut known = vec![&environment.owners, &approvals.by];
    if let Allow::Listed { people, .. } = &environment.gates.allow {
        known.push(people);
    }
    for people in known {
        // Somebody of whom Slack says nothing is nobody of those.
        if is_among(cx, &request.user, people).await.unwrap_or(false) {
            return true;
        }
    }
    takes_away_own(site, plan).await.unwrap_or(false)
}

/// Whether the asker deployed what runs, and rolls back to the version before it. The asker of a rollback has no such right:
/// the rollback may have passed over approvals itself.
async fn takes_away_own<W: World>(site: &Site<'_, W>, plan: &TargetPlan) -> Result<bool, Stop> {
    let Site { cx, request, .. } = site;
    let past = versions::past(cx, &site.target).await?;
    let Some((newest, _)) = past.first() else { return Ok(false) };
    let asked = store::load_fact::<RequestFact>(cx.world, newest).await?;
    let is_own =
        asked.is_some_and(|asked| asked.user == request.user && !matches!(asked.words.what, What::Rollback(_)));
    let is_its = request.origin.rolls_back().is_none_or(|of| of == newest);
    if !is_own || !is_its {
        return Ok(false);
    }
    let before = versions::earlier(site, &past, &Version::LastHealthy).await?;
    Ok((&before.tag, &before.digest) == (&plan.tag, &plan.digest))
}

/// Whether a rollback ends a deploy of its target that has not committed: nothing but that deploy may be in the rollback's
/// way. The other deploy goes on while that is found out.
pub(super) async fn is_urgent<W: World>(site: &Site<'_, W>) -> bool {
    let What::Rollback(version) = &site.request.words.what else { return false };
    if site.request.origin.by_itself().is_some() {
        return false;
    }
    let Ok(past) = versions::past(site.cx, &site.target).await else { return false };
    let Ok(mut plan) = versions::earlier(site, &past, version).await else { return false };
    plan.rollback = true;
    let is_newest = past.first().is_some_and(|(_, newest)| newest.is(&plan.tag, plan.digest.as_ref()));
    let is_possible = !is_newest && brings_back(site, &plan).await;
    is_possible && check_lock_and_freeze(site, Some((&plan, true))).await.is_ok() && would_pass(site).await.is_ok()
}

/// What would go live with it, and its image.
async fn would_pass<W: World>(site: &Site<'_, W>) -> Result<Granted, Stop> {
    let looked = prepare::read(site).await?;
    let prepared = prepare::prepare(site, None, &looked).await?;
    gates(site, &looked.snapshot, prepared.plan.targets.first(), prepared.deployed.as_ref()).await
}

/// What the gates look at outside of the app's own repository and registry.
pub(crate) struct Elsewhere {
    live_there: Option<LiveThere>,
    newest_there: Option<NewestThere>,
}

pub(crate) async fn elsewhere<W: World>(site: &Site<'_, W>, snapshot: &Snapshot) -> Result<Elsewhere, StoreError> {
    let (live_there, newest_there) = (live_there(site).await?, prepare::newest_there(site, snapshot).await?);
    Ok(Elsewhere { live_there, newest_there })
}

/// What is live where `requires` says. What cannot be read any more is not live.
async fn live_there<W: World>(site: &Site<'_, W>) -> Result<Option<LiveThere>, StoreError> {
    let Some(requires) = &site.environment.gates.requires else { return Ok(None) };
    let there = Target { environment: requires.live_on.clone(), ..site.target.clone() };
    let Some((id, plan)) = versions::live_with_id(site.cx, &there).await? else { return Ok(None) };
    let outcome: Option<OutcomeFact> = store::load_fact(site.cx.world, &id).await?;
    let since = outcome.filter(|outcome| matches!(outcome.word, LastWord::Live { .. })).map(|outcome| outcome.at);
    Ok(since.map(|since| LiveThere { tag: plan.tag, digest: plan.digest, since }))
}

/// What the gates look at.
pub(crate) fn case<'a, W: World>(
    site: &'a Site<'a, W>,
    snapshot: &'a Snapshot,
    (plan, deployed): (&'a TargetPlan, Option<&'a Digest>),
    there: &'a Elsewhere,
    members: &'a Members,
) -> Case<'a> {
    let request = site.request;
    let stands_still = request.words.what.stands_still();
    // Those of a version that was deployed before were asked for by its commit.
    let checks = match (&snapshot.checked, &snapshot.source) {
        (Some(checked), _) => checked,
        (
            None,
            SourceState::PullRequest { head, checks, builds, .. }
            | SourceState::Branch { head, checks, builds, .. }
            | SourceState::Commit { head, checks, builds, .. },
        ) => {
            // Those of the commit whose image it is.
            let of = plan.source.head.as_ref();
            let older = builds.iter().find(|build| Some(&build.sha) == of && build.sha != *head);
            older.map_or(checks, |build| &build.checks)
        }
        _ => &NO_CHECKS,
    };
    let reviews = match &snapshot.source {
        // The author of the newest commit is not the author of an older one, whose reviews would count.
        SourceState::PullRequest { head, .. } | SourceState::Branch { head, .. } | SourceState::Commit { head, .. }
            if snapshot.checked.is_some() && plan.source.head.as_ref() != Some(head) =>
        {
            &NO_REVIEWS
        }
        SourceState::PullRequest { reviews, .. }
        | SourceState::Branch { reviews, .. }
        | SourceState::Commit { reviews, .. } => reviews,
        _ => &NO_REVIEWS,
    };
    Case {
        asked: asked(site, members),
        plan,
        deployed,
        stands_still,
        checks,
        checks_url: plan
            .source
            .head
            .as_ref()
            .and_then(|head| checks_url(&plan.source.repo, head, snapshot, &site.cx.settings.gitops.repo)),
        reviews,
        live_there: there.live_there.as_ref(),
        newest_there: there.newest_there.as_ref(),
        answer: None,
        origin: &request.origin,
        allow: &site.environment.gates.allow,
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
        was_live: false,
        members,
    }
}

/// Locks and freezes: what can close at any moment. `planned`: the plan, and whether it brings back a version that was live.
/// Before there is a plan, nothing of this holds a rollback up.
pub(super) async fn check_lock_and_freeze<W: World>(
    site: &Site<'_, W>,
    planned: Option<(&TargetPlan, bool)>,
) -> Result<Granted, Stop> {
    let (cx, request) = (site.cx, site.request);
    let rollback = matches!(request.words.what, What::Rollback(_));
    if rollback && planned.is_none() {
        return Ok(Granted::default());
    }
    let was_live = planned.is_some_and(|(_, was_live)| was_live);
    let mut granted = Granted::default();
    let by_itself = request.origin.by_itself().is_some();
    if by_itself && lock(site).await?.is_some() {
        return Err(itself::refused(site, NotByItself::Locked));
    }
    if let Some((lock, everything)) = lock(site).await?
        && !(rollback && lock.rollback)
    {
        let passes = was_live && (lock.by == request.user || request.origin.knows_lock(lock.at));
        let (target, since, until) = (Box::new(site.target.clone()), lock.at, lock.until);
        if !passes {
            let back_to = planned.filter(|_| was_live);
            let back_to = back_to.and_then(|(plan, _)| Some(Box::new((plan.tag.clone(), plan.source.head.clone()?))));
            let (by, itself, reason) = (lock.by, lock.itself, lock.reason);
            return Err(Refusal::Locked { target, by, itself, reason, since, until, everything, back_to }.into());
        }
        granted.lock_of = Some((lock.by, lock.reason));
    }
    let members = Members::default();
    let asked = Asked { was_live, ..asked(site, &members) };
    granted.add(check_with_groups(cx, &members, || site.environment.gates.check_freeze(&asked)).await?);
    Ok(granted)
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
