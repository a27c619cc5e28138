//! After a rollback: its target is locked, and the version that it took away is remembered as rolled back. The version that it brought
//! back is not, nor is one that somebody knowingly deploys again.

use super::stop::Stop;
use super::{LEASE_RETRY, Run, WRITE};
use crate::log::Line;
use crate::world::World;
use domain::deployment::Facts;
use domain::lock::{RolledBack, RolledBackVersion, TargetLock};
use std::time::Duration;
use store::{Lease, Lock, RolledBackVersions, Terms};

/// The lease of a lock.
const LOCK: Terms = Terms { life: Duration::from_secs(10), renew: None };
/// How many versions of a target are remembered as rolled back.
const MANY: usize = 20;

pub(super) async fn after_rollback<W: World>(run: &Run<'_, W>, facts: &Facts) -> Result<(), Stop> {
    let Some((commit, request)) = facts.commit.as_ref().zip(facts.request.as_ref()) else { return Ok(()) };
    let (world, plan, user) = (run.cx.world, commit.target(), &request.user);
    if !plan.rollback && !request.origin.knows_rolled_back() {
        return Ok(());
    }
    let argocd = plan.application();
    let if_taken = async || -> Result<(), Stop> {
        world.sleep(LEASE_RETRY).await;
        Ok(())
    };
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
        lease.ensure(WRITE).await?;
        let now_known = RolledBack { versions };
        if now_known != known {
            store::save_key(world, RolledBackVersions(argocd), &now_known).await?;
        }
        let locked = store::load_key(world, Lock(argocd)).await?.is_some_and(|lock| lock.holds(now));
        if plan.rollback && !locked {
            let reason = match replaced {
                Some(before) => format!("rolled back from {before} to {}", plan.tag),
                // It is in the file already: a rollback that came no further is tried again.
                None => format!("rolled back to {}", plan.tag),
            };
            let lock = TargetLock { by: user.clone(), reason, at: now, until: None, rollback: true };
            store::change_lock(world, lease, Some(argocd), lock.change(), Some(&lock)).await?;
            world.log(Line::new("locked").of(run.cx.id).with("target", plan.target.to_string()));
        }
        Ok(())
    };
    Lease::hold(world, &store::lock_lease(Some(argocd)), LOCK, if_taken, work).await
}
