//! Whose turn it is: at the target, by its lease and `current`; at the branch, by its lease and the queue.
//! What a target remembers: its history and, after a rollback, a lock and the version that was replaced.

use super::prepare::Site;
use super::{CARRY, Job, Run, commit, gates, may_go_on};
use crate::context::Stop;
use crate::world::{Line, World, under_lease};
use domain::command::What;
use domain::deployment::{Facts, RequestFact};
use domain::limits;
use domain::lock::{RolledBack, RolledBackVersion, TargetLock};
use domain::message::Note;
use domain::names::{ArgoApplication, DeploymentId, Target};
use domain::refusal::Refusal;
use std::cell::Cell;
use std::time::Duration;
use store::{Current, CurrentDeployment, History, Lease, Live, Lock, RolledBackVersions, StoreError, Terms};

/// The branch's lease: around mutations only, and renewed before each.
const BRANCH: Terms = Terms { life: Duration::from_secs(10), renew: None };
/// How many versions of a target are remembered as rolled back.
const MANY: usize = 20;

/// The turn at the target.
pub(super) struct Turn<'t, W> {
    pub(super) run: &'t Run<'t, W>,
    pub(super) site: &'t Site<'t, W>,
    pub(super) lease: &'t Lease<'t, W>,
}

/// Takes the turn at the target, and commits.
pub(super) async fn with_target<W: World>(run: &Run<'_, W>, job: &mut Job<'_>, site: &Site<'_, W>) -> Result<(), Stop> {
    let (world, limits) = (run.cx.world, &run.cx.settings.limits);
    let (begun, request) = (world.elapsed(), job.request);
    let if_taken = async || {
        let waited = world.elapsed().saturating_sub(begun);
        if waited >= limits.target_wait {
            let other = other_turn(run, &site.environment.argocd).await?.map(|(id, _)| id);
            // No other deployment has the turn. Perhaps our own carrier died with the lease, which runs out
            // by itself.
            if other.is_some() || waited >= limits.target_wait.saturating_add(CARRY.life) {
                return Err(busy(run, &site.target, other).await.into());
            }
        }
        world.sleep(limits.target_retry).await;
        may_go_on(run, request).await
    };
    let lease = target_lease(&site.environment.argocd);
    Lease::hold(world, &lease, CARRY, if_taken, async |lease| take_turn(&Turn { run, site, lease }, job).await).await
}

/// Everything that needs the target's lease.
async fn take_turn<W: World>(turn: &Turn<'_, W>, job: &mut Job<'_>) -> Result<(), Stop> {
    let Turn { run, site, lease } = turn;
    remember(turn).await?;
    let argocd = &site.environment.argocd;
    gates::check_lock_and_freeze(site).await?;
    let over = match other_turn(run, argocd).await? {
        // What a rollback brings back is needed now. The other deployment is followed until our commit is there.
        Some((other, facts)) if is_rollback(job.request) && facts.committed.is_some() => Some(other),
        Some((other, _)) => return Err(busy(run, &site.target, Some(other)).await.into()),
        None => None,
    };
    // Our turn from here on: a deployment that waits for the target's lease reads in `current` whose turn
    // it is.
    let current = store::load_key(run.cx.world, Current(argocd)).await?;
    if current.is_none_or(|current| current.id != *run.cx.id) {
        lease.ensure(limits::WRITE).await?;
        store::save_key(run.cx.world, Current(argocd), &CurrentDeployment { id: run.cx.id.clone(), over }).await?;
    }
    let done = commit::commit(turn, job).await;
    let _ = store::leave_queue(run.cx.world, &branch(run), run.cx.id).await;
    done
}

fn is_rollback(request: &RequestFact) -> bool {
    matches!(request.words.what, What::Rollback(_))
}

/// The other deployment whose turn it is.
async fn other_turn<W: World>(
    run: &Run<'_, W>,
    argocd: &ArgoApplication,
) -> Result<Option<(DeploymentId, Facts)>, Stop> {
    let (world, limits) = (run.cx.world, &run.cx.settings.limits);
    let current = store::load_key(world, Current(argocd)).await?;
    let Some(CurrentDeployment { id, over }) = current.filter(|current| current.id != *run.cx.id) else {
        return Ok(None);
    };
    let facts = store::load(world, &id).await?;
    if facts.keeps_busy(world.now(), limits) {
        return Ok(Some((id, facts)));
    }
    // A rollback that came to nothing gives the turn back.
    let Some(over) = over.filter(|over| facts.committed.is_none() && over != run.cx.id) else { return Ok(None) };
    let facts = store::load(world, &over).await?;
    Ok(facts.keeps_busy(world.now(), limits).then_some((over, facts)))
}

/// The refusal, with the other asker and a link. Waits a moment if the other message is being posted.
async fn busy<W: World>(run: &Run<'_, W>, target: &Target, other: Option<DeploymentId>) -> Refusal {
    let world = run.cx.world;
    let mut facts = Facts::default();
    if let Some(other) = &other {
        let until = world.elapsed().saturating_add(limits::REFUSAL_LINK);
        loop {
            facts = store::load(world, other).await.unwrap_or_default();
            let is_posting = facts.message.as_ref().is_some_and(|message| message.0.speaking.is_some());
            if facts.place().is_some() || !is_posting || world.elapsed() >= until {
                break;
            }
            world.sleep(limits::LEASE_RETRY).await;
        }
    }
    let by = facts.request.as_ref().map(|request| request.user.clone());
    Refusal::Busy { target: target.clone(), by, link: facts.link(), id: other }
}

/// Puts the deployment into its target's history.
async fn remember<W: World>(turn: &Turn<'_, W>) -> Result<(), Stop> {
    let Turn { run, site, lease } = turn;
    let (world, argocd) = (run.cx.world, &site.environment.argocd);
    let keep = kept(world, argocd).await?;
    let remember =
        store::remember(world, History(argocd), run.cx.id, &keep, async || lease.ensure(limits::WRITE).await);
    run.rings.make(world, (), remember).await?;
    run.remembered.set(true);
    Ok(())
}

/// Which deployments a target's history keeps: those in flight, the one whose turn it is, and the live one.
pub(super) async fn kept(world: &impl World, argocd: &ArgoApplication) -> Result<Vec<DeploymentId>, StoreError> {
    let mut keep = store::in_flight(world).await?.ids;
    keep.extend(store::load_key(world, Current(argocd)).await?.map(|current| current.id));
    keep.extend(store::load_key(world, Live(argocd)).await?.map(|live| live.id));
    Ok(keep)
}

pub(super) async fn still_current<W: World>(run: &Run<'_, W>, argocd: &ArgoApplication) -> Result<(), Stop> {
    match store::load_key(run.cx.world, Current(argocd)).await? {
        Some(current) if current.id == *run.cx.id => Ok(()),
        _ => Err(Stop::Leave("another deployment has taken the turn")),
    }
}

pub(super) fn target_lease(argocd: &ArgoApplication) -> String {
    format!("target/{}", store::target_name(argocd))
}

fn branch<W: World>(run: &Run<'_, W>) -> String {
    format!("branch/{}/{}", run.cx.settings.gitops.repo, run.cx.settings.gitops.branch)
}

/// Takes the turn at the branch, and works. `work` learns whether the turn was waited for: then others may
/// have written.
pub(super) async fn with_branch<W: World, T>(
    run: &Run<'_, W>,
    job: &mut Job<'_>,
    work: impl AsyncFnOnce(&mut Job<'_>, &Lease<'_, W>, bool) -> Result<T, Stop>,
) -> Result<T, Stop> {
    let (world, name, request) = (run.cx.world, branch(run), job.request);
    let (waited, told) = (Cell::new(false), Cell::new(None));
    let (facts, progress) = (job.facts.clone(), job.progress.clone());
    let if_taken = async || {
        waited.set(true);
        let ahead = store::queue_place(world, &name, run.cx.id, request.at).await?;
        if ahead > 0 && told.replace(Some(ahead)) != Some(ahead) {
            let _ = progress.unbounded_send((Some(facts.clone()), Note::Queue { ahead }));
        }
        may_go_on(run, request).await?;
        // A deployment far behind need not look often, and those in front get there first.
        let rounds = u32::try_from(ahead.min(20)).unwrap_or_default().saturating_add(1);
        world.sleep(limits::LEASE_RETRY.saturating_mul(rounds)).await;
        Ok(())
    };
    Lease::hold(world, &name, BRANCH, if_taken, async |lease| work(job, lease, waited.get()).await).await
}

/// After a rollback the target is locked, and the version that was replaced is remembered as rolled back. The
/// version that a rollback brings back is not, nor is a version that somebody knowingly deploys again.
pub(super) async fn after_rollback<W: World>(run: &Run<'_, W>, facts: &Facts) -> Result<(), Stop> {
    let Some((commit, request)) = facts.commit.as_ref().zip(facts.request.as_ref()) else { return Ok(()) };
    let (world, plan, user) = (run.cx.world, commit.target(), &request.user);
    if !plan.rollback && !request.origin.knows_rolled_back() {
        return Ok(());
    }
    let argocd = plan.application();
    let work = async |lease: &Lease<'_, W>| {
        let now = world.now();
        let replaced = plan.before.as_ref().filter(|before| *before != plan.tag.as_str());
        let known = store::load_key(world, RolledBackVersions(argocd)).await?.unwrap_or_default();
        let mut versions = known.versions.clone();
        versions.retain(|version| version.tag != plan.tag.as_str());
        if let Some(before) = replaced.filter(|_| plan.rollback) {
            versions.retain(|version| version.tag != *before);
            versions.push(RolledBackVersion { tag: before.clone(), by: user.clone(), at: now });
            versions.drain(..versions.len().saturating_sub(MANY));
        }
        lease.ensure(limits::WRITE).await?;
        let now_known = RolledBack { versions };
        if now_known != known {
            store::save_key(world, RolledBackVersions(argocd), &now_known).await?;
        }
        let locked = store::load_key(world, Lock(argocd)).await?.is_some_and(|lock| lock.holds(now));
        if plan.rollback && !locked {
            let reason = match replaced {
                Some(before) => format!("rolled back from {before} to {}", plan.tag),
                // The tag is in the file already: a rollback that got no further is tried again.
                None => format!("rolled back to {}", plan.tag),
            };
            let lock = TargetLock { by: user.clone(), reason, at: now, until: None, rollback: true };
            store::change_lock(world, lease, Some(argocd), lock.change(), Some(&lock)).await?;
            world.log(Line::new("locked").of(run.cx.id).with("target", plan.target.to_string()));
        }
        Ok(())
    };
    under_lease(world, &store::lock_lease(Some(argocd)), work).await
}
