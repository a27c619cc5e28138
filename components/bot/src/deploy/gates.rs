//! The gates: everything that may stand in the way of exactly this version. The checks are pure and in
//! [`domain::catalog`]. Here they get what they look at, and Slack is asked who is in a user group.

use super::authorise;
use super::prepare::Site;
use super::stop::Stop;
use crate::context::Context;
use crate::world::World;
use clients::github::{Snapshot, SourceState};
use domain::catalog::{Asked, Case, Members};
use domain::command::What;
use domain::deployment::{Granted, RequestFact, TargetPlan};
use domain::github::ReviewsState;
use domain::lock::TargetLock;
use domain::names::ArgoApplication;
use domain::refusal::Refusal;
use store::{Lock, LockOfAll, RolledBackVersions, StoreError};

static NO_REVIEWS: ReviewsState = ReviewsState { head_author: None, latest: Vec::new() };

/// Everything that may stand in the way of exactly this. Asked again before each commit, whichever way the request came.
/// Says what was granted.
pub(crate) async fn gates<W: World>(
    cx: &Context<'_, W>,
    request: &RequestFact,
    site: &Site<'_>,
    snapshot: &Snapshot,
    plan: &TargetPlan,
) -> Result<Granted, Stop> {
    let gates = &site.environment.gates;
    let members = Members::default();
    let case = case(cx, request, site, (snapshot, plan), &members);
    let mut granted = open(cx, request, site).await?;
    granted.add(authorise::look(cx, &members, || gates.check(&case)).await?);
    if !request.origin.knows_rolled_back() {
        let bad = store::load_key(cx.world, RolledBackVersions(plan.application())).await?.unwrap_or_default();
        if let Some(bad) = bad.versions.into_iter().find(|bad| bad.tag == plan.tag.as_str()) {
            let (target, tag, head) = (Box::new(site.target.clone()), plan.tag.clone(), plan.source.head.clone());
            return Err(Refusal::WasRolledBack { target, tag, head, by: bad.by, at: bad.at }.into());
        }
    }
    granted.add(authorise::look(cx, &members, || gates.agree(&case)).await?);
    Ok(granted)
}

/// What the gates look at.
pub(crate) fn case<'a, W: World>(
    cx: &Context<'_, W>,
    request: &'a RequestFact,
    site: &Site<'a>,
    (snapshot, plan): (&'a Snapshot, &'a TargetPlan),
    members: &'a Members,
) -> Case<'a> {
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
        asked: asked(cx, request, site, members),
        source: &plan.source,
        tag: &plan.tag,
        stands_still,
        checks,
        reviews,
        riders: &plan.riders,
        approvals: request.origin.approvals(),
        requested: request.at,
    }
}

fn asked<'a, W: World>(
    cx: &Context<'_, W>,
    request: &'a RequestFact,
    site: &Site<'a>,
    members: &'a Members,
) -> Asked<'a> {
    Asked {
        target: site.target,
        owners: &site.environment.owners,
        user: &request.user,
        channel: &request.channel,
        override_reason: request.words.override_reason.as_deref(),
        now: cx.world.now(),
        members,
    }
}

/// Locks and freezes: what can close at any moment.
pub(super) async fn open<W: World>(
    cx: &Context<'_, W>,
    request: &RequestFact,
    site: &Site<'_>,
) -> Result<Granted, Stop> {
    let rollback = matches!(request.words.what, What::Rollback(_));
    if let Some((lock, everything)) = lock(cx, &site.environment.argocd).await?
        && !(rollback && lock.rollback)
    {
        let (target, since, until) = (site.target.clone(), lock.at, lock.until);
        return Err(Refusal::Locked { target, by: lock.by, reason: lock.reason, since, until, everything }.into());
    }
    let members = Members::default();
    let asked = asked(cx, request, site, &members);
    authorise::look(cx, &members, || site.environment.gates.open(&asked)).await
}

/// The lock that is in force, and whether it is the one of everything.
async fn lock<W: World>(
    cx: &Context<'_, W>,
    argocd: &ArgoApplication,
) -> Result<Option<(TargetLock, bool)>, StoreError> {
    let now = cx.world.now();
    let all = store::load_key(cx.world, LockOfAll).await?.filter(|lock| lock.holds(now));
    if let Some(lock) = all {
        return Ok(Some((lock, true)));
    }
    let own = store::load_key(cx.world, Lock(argocd)).await?.filter(|lock| lock.holds(now));
    Ok(own.map(|lock| (lock, false)))
}
