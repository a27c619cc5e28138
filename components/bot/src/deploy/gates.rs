//! The gates: everything that may stand in the way of exactly this version.

use super::authorise;
use super::prepare::Site;
use super::stop::Stop;
use crate::context::Context;
use crate::world::World;
use clients::github::{Snapshot, SourceState};
use domain::catalog::{Approvals, Checks, ForeignChanges};
use domain::command::What;
use domain::deployment::{Granted, RequestFact, Riders, TargetPlan};
use domain::lock::TargetLock;
use domain::names::{ArgoApplication, SlackUser};
use domain::refusal::Refusal;
use store::{Lock, LockOfAll, RolledBackVersions, StoreError};

/// Everything that may stand in the way of exactly this. Asked again before each commit, whichever way the request came. Says what
/// was granted.
pub(crate) async fn gates<W: World>(
    cx: &Context<'_, W>,
    request: &RequestFact,
    site: &Site<'_>,
    snapshot: &Snapshot,
    plan: &TargetPlan,
) -> Result<Granted, Stop> {
    let mut granted = Granted::default();
    open(cx, request, site, &mut granted.overridden).await?;
    let target = site.target;
    let gates = &site.environment.gates;
    if !gates.takes_branch(&plan.source.branch) {
        let allowed = gates.branches.iter().take(5).map(ToString::to_string).collect();
        let branch = plan.source.branch.clone();
        return Err(Refusal::BranchNotAllowed { target: target.clone(), branch, allowed }.into());
    }
    if gates.checks == Checks::Required {
        let state = match (&snapshot.source, request.words.what.stands_still()) {
            (_, true) => snapshot.checked.clone(),
            (SourceState::PullRequest { checks, .. } | SourceState::Branch { checks, .. }, false) => checks.clone(),
            _ => None,
        };
        if state.as_deref() != Some("SUCCESS") {
            let head = plan.source.head.clone();
            return Err(Refusal::ChecksNotPassed { target: target.clone(), head, state }.into());
        }
    }
    if let (ForeignChanges::Refuse, Riders::Since { commits, .. }) = (gates.foreign_changes, &plan.riders)
        && !commits.is_empty()
        && !may_override(cx, request, site, "let other people's changes go live", &mut granted.overridden).await?
    {
        let mut by: Vec<String> = Vec::new();
        for rider in commits {
            if !by.contains(&rider.who) && by.len() < 5 {
                by.push(rider.who.clone());
            }
        }
        let count = u32::try_from(commits.len()).unwrap_or(u32::MAX);
        let overridable = !site.environment.owners.is_empty();
        return Err(Refusal::ForeignChanges { target: target.clone(), count, by, overridable }.into());
    }
    if !request.origin.knows_rolled_back() {
        let bad = store::load_key(cx.world, RolledBackVersions(plan.application())).await?.unwrap_or_default();
        if let Some(bad) = bad.versions.into_iter().find(|bad| bad.tag == plan.tag.as_str()) {
            let (target, tag, head) = (Box::new(target.clone()), plan.tag.clone(), plan.source.head.clone());
            return Err(Refusal::WasRolledBack { target, tag, head, by: bad.by, at: bad.at }.into());
        }
    }
    if let Some(approvals) = &gates.approvals {
        granted.approved_by = approved(cx, request, site, approvals, plan).await?;
    }
    Ok(granted)
}

/// Locks and freezes: what can close at any moment.
pub(super) async fn open<W: World>(
    cx: &Context<'_, W>,
    request: &RequestFact,
    site: &Site<'_>,
    overridden: &mut Option<String>,
) -> Result<(), Stop> {
    let now = cx.world.now();
    let rollback = matches!(request.words.what, What::Rollback(_));
    if let Some((lock, everything)) = lock(cx, &site.environment.argocd).await?
        && !(rollback && lock.rollback)
    {
        let (target, since, until) = (site.target.clone(), lock.at, lock.until);
        return Err(Refusal::Locked { target, by: lock.by, reason: lock.reason, since, until, everything }.into());
    }
    if let Some(until) = site.environment.gates.frozen_until(now)
        && !may_override(cx, request, site, "override the freeze", overridden).await?
    {
        let overridable = !site.environment.owners.is_empty();
        return Err(Refusal::Frozen { target: site.target.clone(), until, overridable }.into());
    }
    Ok(())
}

/// Whether an owner says that it goes through nevertheless, and why: for the record, and loudly.
async fn may_override<W: World>(
    cx: &Context<'_, W>,
    request: &RequestFact,
    site: &Site<'_>,
    doing: &str,
    overridden: &mut Option<String>,
) -> Result<bool, Stop> {
    let Some(reason) = &request.words.override_reason else { return Ok(false) };
    let owners = &site.environment.owners;
    if !authorise::is_among(cx, &request.user, owners).await? {
        let doing = format!("{doing} of {}", site.target);
        return Err(Refusal::NotOwner { doing, owned: !owners.is_empty() }.into());
    }
    *overridden = Some(reason.clone());
    Ok(true)
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

/// Who approved exactly this, if they are enough.
async fn approved<W: World>(
    cx: &Context<'_, W>,
    request: &RequestFact,
    site: &Site<'_>,
    approvals: &Approvals,
    plan: &TargetPlan,
) -> Result<Vec<SlackUser>, Stop> {
    let now = cx.world.now();
    // Given to a commit: where the button named none, it was a rollback, whose version stands still.
    let given = request.origin.approvals();
    let mut by = Vec::new();
    for approval in given {
        let counts =
            approval.user != request.user && !by.contains(&approval.user) && now.since(approval.at) < approvals.expires;
        if counts && authorise::is_among(cx, &approval.user, &approvals.by).await? {
            by.push(approval.user.clone());
        }
    }
    if by.len() >= usize::from(approvals.count) {
        return Ok(by);
    }
    Err(Refusal::NeedsApproval {
        target: Box::new(site.target.clone()),
        head: plan.source.head.clone(),
        tag: plan.tag.clone(),
        count: approvals.count,
        users: approvals.by.users.clone(),
        groups: approvals.by.groups.clone(),
        until: request.at.after(approvals.expires),
    }
    .into())
}
