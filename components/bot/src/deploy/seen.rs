//! What the poller saw of the Argo CD application, asked before a commit: a commit that Argo CD can never sync is not made.
//!
//! Easy to miss: what was seen may be old. It refuses only after a fresh look, which the poller takes when it is asked for. If
//! there is no such look in time, the deploy goes on, and the watch finds out.

use super::may_go_on;
use super::prepare::Site;
use super::turn::Turn;
use crate::context::Stop;
use crate::world::World;
use domain::deployment::{GitOpsBranch, LookFact, RequestFact};
use domain::limits;
use domain::names::ArgoApplication;
use domain::refusal::Refusal;
use domain::seen::Seen;
use std::time::Duration;
use store::SeenApplication;

/// What was seen of an application. Without it, or if this build cannot read it, nothing is refused.
pub(super) async fn seen<W: World>(site: &Site<'_, W>, application: &ArgoApplication) -> Result<Option<Seen>, Stop> {
    match store::load_key(site.cx.world, SeenApplication(application)).await {
        Ok(seen) => Ok(seen),
        Err(error) if error.is_unreadable() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The refusal that follows from what was seen last.
pub(crate) async fn known_refusal<W: World>(
    site: &Site<'_, W>,
    gitops: &GitOpsBranch,
) -> Result<Option<Refusal>, Stop> {
    for application in site.applications.iter() {
        let refusal = seen(site, application).await?.and_then(|seen| refusal(site, &seen, gitops));
        if refusal.is_some() {
            return Ok(refusal);
        }
    }
    Ok(None)
}

fn refusal<W: World>(site: &Site<'_, W>, seen: &Seen, gitops: &GitOpsBranch) -> Option<Refusal> {
    seen.found.refusal(&site.target, site.environment.sync, gitops)
}

/// Refuses what can never be synced.
pub(super) async fn check<W: World>(
    turn: &Turn<'_, W>,
    request: &RequestFact,
    gitops: &GitOpsBranch,
) -> Result<(), Stop> {
    for application in turn.site.applications.iter() {
        check_one(turn, request, gitops, application).await?;
    }
    Ok(())
}

async fn check_one<W: World>(
    turn: &Turn<'_, W>,
    request: &RequestFact,
    gitops: &GitOpsBranch,
    application: &ArgoApplication,
) -> Result<(), Stop> {
    let (site, lease, cx) = (turn.site, turn.lease, &turn.run.cx);
    let refused = |seen: &Option<Seen>| seen.as_ref().and_then(|seen| Some((refusal(site, seen, gitops)?, seen.at)));
    let Some((mut refusal, at)) = refused(&seen(site, application).await?) else { return Ok(()) };
    let world = cx.world;
    // Slack names whole seconds.
    if at < request.at.after(Duration::from_secs(1)) {
        // Somebody may have mended it since.
        let look = LookFact { at: world.now(), application: application.clone() };
        lease.ensure(limits::WRITE).await?;
        store::save_fact(world, cx.id, &look).await?;
        let _ = store::announce(world, cx.id).await;
        let until = world.elapsed().saturating_add(limits::FRESH_LOOK);
        loop {
            world.sleep(limits::LEASE_RETRY).await;
            may_go_on(turn.run, request).await?;
            let known = seen(site, application).await?;
            let is_fresh = known.as_ref().is_some_and(|seen| seen.at >= look.at);
            match refused(&known) {
                Some((still, _)) => refusal = still,
                None => return Ok(()),
            }
            if is_fresh {
                break;
            }
            if world.elapsed() >= until {
                // Argo CD does not show how it is now, and what was seen before may be mended: the watch finds out.
                return Ok(());
            }
        }
    }
    Err(refusal.into())
}
