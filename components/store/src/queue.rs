//! The queue of those who wait to write to the branch.

use crate::key::PREFIX;
use crate::kv::StoreError;
use crate::redis::{Redis, Reply};
use domain::names::DeploymentId;
use domain::time::Timestamp;

/// Joins the queue of those who wait to write to the branch; returns the place, 0 for the first.
pub async fn queue_place(
    world: &impl Redis,
    branch: &str,
    id: &DeploymentId,
    accepted: Timestamp,
) -> Result<u64, StoreError> {
    let key = format!("{PREFIX}queue/{branch}");
    world.run("ZADD", &[&key, &accepted.0.to_string(), id.as_str()]).await?;
    world.run("PEXPIRE", &[&key, "600000"]).await?;
    match world.run("ZRANK", &[&key, id.as_str()]).await?.first() {
        Some(Reply::Int(rank)) => Ok(u64::try_from(*rank).unwrap_or_default()),
        _ => Ok(0),
    }
}

/// Leaves it.
pub async fn leave_queue(world: &impl Redis, branch: &str, id: &DeploymentId) -> Result<(), StoreError> {
    world.run("ZREM", &[&format!("{PREFIX}queue/{branch}"), id.as_str()]).await.map(drop)
}
