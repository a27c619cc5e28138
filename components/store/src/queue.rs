//! The deployments that wait to write to the branch, in the order in which they were accepted.

use crate::key::PREFIX;
use crate::kv::StoreError;
use crate::redis::{Redis, Reply};
use domain::names::DeploymentId;
use domain::time::Timestamp;

/// Joins the queue. Returns the place, 0 for the first.
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

/// Leaves the queue.
pub async fn leave_queue(world: &impl Redis, branch: &str, id: &DeploymentId) -> Result<(), StoreError> {
    world.run("ZREM", &[&format!("{PREFIX}queue/{branch}"), id.as_str()]).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;
    use domain::deployment::samples::{at, id};

    #[test]
    fn the_queue_at_the_branch_is_in_order_of_accept() {
        let memory = Memory::default();
        let join = |digit, seconds| {
            memory.run(queue_place(&memory, "branch/acme/gitops/main", &id(digit), at(seconds))).unwrap()
        };
        assert_eq!(join('2', 20), 0);
        assert_eq!(join('3', 30), 1);
        assert_eq!(join('1', 10), 0);
        assert_eq!(join('3', 30), 2);
        let other = memory.run(queue_place(&memory, "branch/acme/other/main", &id('9'), at(40)));
        assert_eq!(other, Ok(0));
        memory.run(leave_queue(&memory, "branch/acme/gitops/main", &id('1'))).unwrap();
        assert_eq!(join('3', 30), 1);
        // Those who died in it are forgotten when nobody has joined for ten minutes.
        memory.pass(599);
        assert_eq!(join('3', 30), 1);
        memory.pass(600);
        assert_eq!(join('3', 30), 0);
    }
}
