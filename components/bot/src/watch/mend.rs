//! What a watch does that has lost its lease while it asked for a sync: the sync may have come after a newer one.
//!
//! It holds no lease and writes to no key. A request to sync a commit in the name of its own deployment is the same from every process, so
//! it does no harm when two of them mend the same.

use super::SLEPT;
use crate::log::Line;
use crate::settings::SyncPollerSettings;
use crate::world::World;
use clients::argocd;
use clients::argocd::SyncOutcome;
use domain::deployment;
use domain::deployment::{CommitFact, Facts, Overtaken};
use domain::names::DeploymentId;
use std::time::Duration;
use store::{Current, Live, Rewritten, StoreError};

/// How often it is looked whether a late sync has to be mended, and how long after the look before: a sync may take its time.
const LOOKS: u32 = 60;
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Asks for the newer commit again if this deployment's sync came after it.
pub(crate) async fn mend_sync<W: World>(world: &W, settings: &SyncPollerSettings, id: &DeploymentId) {
    let mut late = id.clone();
    for _ in 0..LOOKS {
        match look(world, settings, &late).await {
            Ok(Overtaken::No) => return,
            Ok(Overtaken::Wait) => {}
            Ok(Overtaken::By(newer)) => {
                world.log(Line::error("late_sync").of(&late).with("newer", newer.as_str()).with("cause", SLEPT));
                if ask(world, settings, &newer).await {
                    // From now on this one may have come late: we hold no lease.
                    late = newer;
                }
            }
            Err(error) => world.log(Line::error("late_sync_unknown").of(&late).with("cause", error.why())),
        }
        world.sleep(LOOK_AGAIN).await;
    }
    world.log(Line::error("late_sync_not_mended").of(&late));
}

async fn look<W: World>(world: &W, settings: &SyncPollerSettings, id: &DeploymentId) -> Result<Overtaken, StoreError> {
    let facts = store::load(world, id).await?;
    let Some(commit) = &facts.commit else { return Ok(Overtaken::No) };
    let others = others(world, commit, id).await?;
    let rewritten = store::load_key(world, Rewritten).await?.map(|rewritten| rewritten.at);
    // Argo CD last: what it shows is newer than what we know.
    match argocd::get(world, &settings.argocd, commit.target().application()).await {
        Ok(app) => Ok(deployment::overtaken((id, &facts), &others, rewritten, &app)),
        Err(argocd::ArgoError::NoApplication) => Ok(Overtaken::No),
        Err(_) => Err(StoreError::Failed("Argo CD did not say")),
    }
}

/// The deployments that the target's keys name, but for this one.
async fn others<W: World>(
    world: &W,
    commit: &CommitFact,
    id: &DeploymentId,
) -> Result<Vec<(DeploymentId, Facts)>, StoreError> {
    let current = store::load_key(world, Current(commit.target().application())).await?.map(|current| current.id);
    let live = store::load_key(world, Live(commit.target().application())).await?.map(|live| live.id);
    let mut others = Vec::new();
    for other in current.into_iter().chain(live).filter(|other| other != id) {
        let facts = store::load(world, &other).await?;
        others.push((other, facts));
    }
    Ok(others)
}

/// The same ask that a watch would make for it. Says whether it may have been taken.
async fn ask<W: World>(world: &W, settings: &SyncPollerSettings, id: &DeploymentId) -> bool {
    let Ok(facts) = store::load(world, id).await else { return false };
    let Some((committed, commit)) = facts.committed.as_ref().zip(facts.commit.as_ref()) else { return false };
    let Ok(app) = argocd::get(world, &settings.argocd, commit.target().application()).await else { return false };
    let sources = argocd::which_sources(&app, &commit.plan.gitops.repo, &commit.plan.gitops.branch, &committed.sha);
    let Some(revision) = sources else { return false };
    matches!(
        argocd::sync(world, &settings.argocd, commit.target().application(), &revision, id).await,
        SyncOutcome::Taken(_) | SyncOutcome::Unknown(_)
    )
}
