//! Resume: deployments whose carrier died, and requests that were not accepted as a whole. Rings that
//! lost ids. A catalog that changed.

use super::guard::guarded_until;
use super::turn::kept;
use super::{CARRY, carry_out, changed, itself, waits};
use crate::settings::SlackCommandSettings;
use crate::world::{Line, World, under_leases};
use domain::deployment::{CancelFact, RequestFact};
use domain::limits::{self, Limits};
use domain::names::DeploymentId;
use futures::future::{join_all, join3};
use store::{EarlyEnds, History, Key, Lease, OfSeveral, Ring, StoreError};

/// How often we try to take back a request, and how long between two tries.
const TAKE_BACK_TRIES: u32 = 100;

/// Carries on with deployments that no process carries or, after their commit, guards. Called after
/// `/healthz` was answered; does something at most once per period in the whole installation.
pub async fn resume(world: &impl World, settings: &SlackCommandSettings) {
    match resumable(world, &settings.limits).await {
        Ok(None) => {}
        Ok(Some(Resumable { mut carried, ended })) => {
            for id in ended {
                match go_back(world, settings, &id).await {
                    Ok(back) => carried.extend(back),
                    Err(error) => world.log(Line::error("not_resumed").of(&id).with("cause", error.why())),
                }
            }
            let carry = |ids: Vec<DeploymentId>| async move {
                join_all(ids.iter().map(|id| carry_out(world, settings, id))).await;
            };
            let waited = async { carry(Box::pin(waits::look(world, settings)).await).await };
            join3(carry(carried), waited, changed::tell(world, settings)).await;
        }
        Err(error) => world.log(Line::error("not_resumed").with("cause", error.why())),
    }
}

/// What a probe finds to do.
struct Resumable {
    /// Nobody carries these out, or guards them.
    carried: Vec<DeploymentId>,
    /// These have ended, and are to be taken back without being asked.
    ended: Vec<DeploymentId>,
}

/// Begins what takes the deployment back. It stays in flight until that is begun.
async fn go_back(
    world: &impl World,
    settings: &SlackCommandSettings,
    id: &DeploymentId,
) -> Result<Option<DeploymentId>, StoreError> {
    let back = itself::go_back(world, settings, id).await?;
    store::leave_flight(world, id).await?;
    Ok(back)
}

/// `None`: it is not time yet.
async fn resumable(world: &impl World, limits: &Limits) -> Result<Option<Resumable>, StoreError> {
    if !store::once_per(world, "resume", limits.resume).await? {
        return Ok(None);
    }
    let mut in_flight = store::in_flight(world).await?;
    let lost = !in_flight.whole;
    if lost {
        store::rebuild_in_flight(world).await?;
        in_flight = store::in_flight(world).await?;
    }
    let (mut resume, mut ended, mut forgotten) = (Vec::new(), Vec::new(), Vec::new());
    let mut waited = false;
    for id in &in_flight.ids {
        // A deployment that cannot be read is left alone, and does not keep the others from being resumed.
        let Ok(mut facts) = store::load(world, id).await else { continue };
        if facts.request.is_none() {
            // The request may be on its way just now. One wait is enough for all: they were in flight before.
            if !waited {
                waited = true;
                world.sleep(limits::SAVING).await;
            }
            let Ok(again) = store::load(world, id).await else { continue };
            facts = again;
        }
        let Some(request) = facts.request.as_ref().filter(|_| !facts.end_is_told()) else {
            // Nothing is left to do, or nobody is left to tell.
            if facts.request.is_none() {
                if forget_left_over(world, id).await? {
                    forgotten.push(id);
                }
                continue;
            } else if facts.goes_back() {
                ended.push(id.clone());
                continue;
            } else if facts.commit.is_none() {
                // It may be in no ring: the watch has ended the deployment before it had a target.
                remember_early(world, id).await?;
            }
            store::leave_flight(world, id).await?;
            continue;
        };
        let begun = facts.commit.is_some() || facts.end.is_some() || facts.watch_speaks();
        if lost && !begun && world.now().since(request.at) >= limits::ABANDONED {
            // Its carrier is gone, and perhaps the asker has read that the request is not accepted: it is not
            // begun now.
            store::save_fact(world, id, &CancelFact { by: None, at: world.now() }).await?;
        }
        // After the commit a guardian is enough: it wakes the watch, which may be gone too, and reports
        // to GitHub.
        let ours = !facts.watch_speaks() || guarded_until(&facts, limits).is_some_and(|until| world.now() < until);
        // A part is carried out, and guarded, with the whole.
        let whole = request.origin.part_of().unwrap_or(id);
        if ours && !resume.contains(whole) && !store::is_held(world, &carry_lease(whole)).await? {
            resume.push(whole.clone());
        }
    }
    if in_flight.count() > 0 && !store::is_held(world, "watch").await? {
        store::wake(world).await?;
    }
    if !forgotten.is_empty() {
        world.sleep(limits::SAVING).await;
    }
    for id in forgotten {
        // The same button was pressed again, just when what was left of the first press was removed.
        if let Some(request) = store::load_fact::<RequestFact>(world, id).await? {
            store::add_in_flight(world, id, request.at).await?;
        }
    }
    Ok(Some(Resumable { carried: resume, ended }))
}

/// Removes what is left of a request that was not accepted, unless another process is taking it back. Returns
/// whether it was removed.
async fn forget_left_over(world: &impl World, id: &DeploymentId) -> Result<bool, StoreError> {
    let name = carry_lease(id);
    let forgotten = Lease::try_hold(world, &name, CARRY, async |_| {
        let facts = store::load(world, id).await?;
        if store::is_left_over(&facts, world.now()) {
            store::forget_left_over(world, id).await?;
            store::leave_flight(world, id).await?;
            return Ok(true);
        }
        Ok(false)
    });
    match forgotten.await? {
        Some(held) => held.done?,
        None => Ok(false),
    }
}

pub(crate) fn carry_lease(id: &DeploymentId) -> String {
    format!("carry/{id}")
}

/// Takes back a request that was not accepted but may be partly saved, so that no process carries it out.
/// Saves the wish to cancel, under the lease `carry/<id>`. The next resume ends the deployment or removes
/// what is left. If another replica accepted the same click, it is ended as cancelled.
pub async fn take_back(world: &impl World, id: &DeploymentId) {
    for _ in 0..TAKE_BACK_TRIES {
        let taken_back = async {
            let name = carry_lease(id);
            let cancel = CancelFact { by: None, at: world.now() };
            let saved = Lease::try_hold(world, &name, CARRY, async |_| store::save_fact(world, id, &cancel).await);
            let Some(saved) = saved.await? else { return Ok(false) };
            saved.done??;
            // Once more: a resume may have found nothing of the request yet, and removed its id.
            store::add_in_flight(world, id, cancel.at).await.map(|()| true)
        };
        match taken_back.await {
            Ok(true) => return,
            Ok(false) => {}
            Err(error) => world.log(Line::error("not_taken_back").of(id).with("cause", error.why())),
        }
        world.sleep(limits::TAKE_BACK_AGAIN).await;
    }
}

/// Remembers a deployment that ends before it has a target, so that the store stays bounded.
pub(super) async fn remember_early(world: &impl World, id: &DeploymentId) -> Result<(), StoreError> {
    let keep = store::in_flight(world).await?.ids;
    remember_in(world, &["early-ends".to_owned()], EarlyEnds, id, &keep).await
}

/// Remembers a deployment of several targets.
pub(super) async fn remember_several(world: &impl World, id: &DeploymentId) -> Result<(), StoreError> {
    let keep = store::in_flight(world).await?.ids;
    remember_in(world, &["of-several".to_owned()], OfSeveral, id, &keep).await
}

/// Remembers a deployment in a ring, under the leases that guard it.
async fn remember_in<K: Key<Value = Ring> + Copy>(
    world: &impl World,
    leases: &[String],
    ring: K,
    id: &DeploymentId,
    keep: &[DeploymentId],
) -> Result<(), StoreError> {
    under_leases(world, leases, async |lease| {
        store::remember(world, ring, id, keep, async || lease.ensure(limits::WRITE).await).await
    })
    .await
}

/// A late write of a ring may have removed ids that others had added: those deployments are put back.
pub(super) async fn adopt_strays(world: &impl World) -> Result<(), StoreError> {
    let in_flight = store::in_flight(world).await?.ids;
    for id in store::strays(world).await? {
        match store::load(world, &id).await?.commit {
            Some(commit) if !commit.parts(&id).is_empty() => remember_several(world, &id).await?,
            Some(commit) => {
                let plan = commit.target();
                let keep = kept(world, &plan.applications, &plan.target).await?;
                let leases = store::application_leases(&plan.applications);
                remember_in(world, &leases, History(&plan.target), &id, &keep).await?;
            }
            // Its carrier has yet to put it into a ring.
            None if in_flight.contains(&id) => continue,
            None => remember_early(world, &id).await?,
        }
        world.log(Line::error("adopted").of(&id).with("cause", "a lease was lost during a write"));
    }
    Ok(())
}
