//! What is in flight, the news, the wake-ups, and the queue at the branch. They are hints that save waiting:
//! no work is lost with them.

use crate::facts::{delete_fact, forget_left_over, is_left_over, load};
use crate::key::{PREFIX, PUSH};
use crate::seams::{Clock, KeyValue, Redis, Reply, StoreError};
use domain::deployment::ResponseUrlFact;
use domain::names::{CommitSha, DeploymentId, Target};
use domain::time::Timestamp;
use std::collections::BTreeSet;

/// The channel of the wake-ups; `spin.toml` names it too.
pub const WAKE: &str = "deploy-bot/wake";

const IN_FLIGHT: &str = "deploy-bot/in-flight";
/// The member of `in-flight` that says that the set is whole: without it, Redis has lost the set.
const SENTINEL: &str = "whole";
const NEWS: &str = "deploy-bot/news";

/// What people still have to read the end of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flight {
    Deployment(DeploymentId),
    /// What people pushed, by its newest commit.
    Push(CommitSha),
}

impl Flight {
    fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix(PUSH) {
            Some(sha) => CommitSha::parse(sha).ok().map(Self::Push),
            None => DeploymentId::parse(text).ok().map(Self::Deployment),
        }
    }
}

/// Everything in flight.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InFlight {
    /// The sentinel is there: the set is whole.
    pub whole: bool,
    /// All deployments, oldest first.
    pub ids: Vec<DeploymentId>,
    /// All pushes, oldest first.
    pub pushes: Vec<CommitSha>,
}

impl InFlight {
    pub fn count(&self) -> usize {
        self.ids.len().saturating_add(self.pushes.len())
    }

    pub fn all(self) -> impl Iterator<Item = Flight> {
        self.ids.into_iter().map(Flight::Deployment).chain(self.pushes.into_iter().map(Flight::Push))
    }
}

pub async fn in_flight(world: &impl Redis) -> Result<InFlight, StoreError> {
    let mut all = InFlight::default();
    let members = world.run("ZRANGE", &[IN_FLIGHT, "0", "-1"]).await?;
    for member in members.into_iter().filter_map(Reply::text) {
        match Flight::parse(&member) {
            Some(Flight::Deployment(id)) => all.ids.push(id),
            Some(Flight::Push(sha)) => all.pushes.push(sha),
            None if member == SENTINEL => all.whole = true,
            None => {}
        }
    }
    Ok(all)
}

/// Adds a deployment, until its last message is posted.
pub async fn add_in_flight(world: &impl Redis, id: &DeploymentId, accepted: Timestamp) -> Result<(), StoreError> {
    world.run("ZADD", &[IN_FLIGHT, &accepted.0.to_string(), id.as_str()]).await.map(drop)
}

/// Removes a deployment: its last message is posted. First nobody may be able to speak for it any more.
pub async fn leave_flight(world: &(impl Redis + KeyValue), id: &DeploymentId) -> Result<(), StoreError> {
    delete_fact::<ResponseUrlFact>(world, id).await?;
    world.run("ZREM", &[IN_FLIGHT, id.as_str()]).await.map(drop)
}

/// Adds a push, until it is announced, or was not saved after all.
pub async fn add_push(world: &impl Redis, sha: &CommitSha, pushed: Timestamp) -> Result<(), StoreError> {
    world.run("ZADD", &[IN_FLIGHT, &pushed.0.to_string(), &format!("{PUSH}{sha}")]).await.map(drop)
}

/// Removes a push.
pub async fn remove_push(world: &impl Redis, sha: &CommitSha) -> Result<(), StoreError> {
    world.run("ZREM", &[IN_FLIGHT, &format!("{PUSH}{sha}")]).await.map(drop)
}

/// Marks the set as whole.
pub async fn mark_whole(world: &impl Redis) -> Result<(), StoreError> {
    world.run("ZADD", &[IN_FLIGHT, "0", SENTINEL]).await.map(drop)
}

/// Rebuilds `in-flight` from the facts, after Redis lost it. This is the one place that scans; all keys are
/// collected first.
pub async fn rebuild_in_flight(world: &(impl Redis + KeyValue + Clock)) -> Result<(), StoreError> {
    let start = format!("{PREFIX}deployment/");
    let keys = KeyValue::keys(world).await?;
    let ids: BTreeSet<DeploymentId> =
        keys.iter().filter_map(|key| DeploymentId::parse(key.strip_prefix(&start)?.split_once('/')?.0).ok()).collect();
    let mut all: Vec<String> = [IN_FLIGHT, "0", SENTINEL].map(str::to_owned).into();
    for push in keys.iter().filter_map(|key| key.strip_prefix(PREFIX)).filter(|name| name.starts_with(PUSH)) {
        all.extend([world.now().0.to_string(), push.to_owned()]);
    }
    for id in ids {
        let facts = match load(world, &id).await {
            Ok(facts) => facts,
            // Another version wrote it: not ours to end.
            Err(error) if error.is_unreadable() => continue,
            // Going on would mark the set as whole without this deployment.
            Err(error) => return Err(error),
        };
        match &facts.cancel {
            _ if is_left_over(&facts, world.now()) => forget_left_over(world, &id).await?,
            // The next resume removes it when it is old enough.
            Some(cancel) if facts.request.is_none() => all.extend([cancel.at.0.to_string(), id.to_string()]),
            _ => {}
        }
        // A deployment that timed out before it had a target may be in no ring yet: the next resume adds
        // it to one.
        let left = !facts.end_is_told() || (facts.outcome.is_some() && facts.commit.is_none());
        if let Some(request) = facts.request.as_ref().filter(|_| left) {
            all.extend([request.at.0.to_string(), id.to_string()]);
        }
    }
    // One command, because Redis may forget again at any moment: it must not keep the sentinel without
    // the set.
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    world.run("ZADD", &all).await.map(drop)
}

/// Says that facts of this deployment changed, and wakes a watch. Returns how many processes heard it.
pub async fn announce(world: &impl Redis, id: &DeploymentId) -> Result<i64, StoreError> {
    world.run("SADD", &[NEWS, id.as_str()]).await?;
    wake(world).await
}

/// Says that there is a push to announce, and wakes a watch.
pub async fn announce_push(world: &impl Redis, sha: &CommitSha) -> Result<i64, StoreError> {
    world.run("SADD", &[NEWS, &format!("{PUSH}{sha}")]).await?;
    wake(world).await
}

/// Wakes a watch. A wake-up carries no work: it may be lost or arrive twice.
pub async fn wake(world: &impl Redis) -> Result<i64, StoreError> {
    Ok(world.number("PUBLISH", &[WAKE, "wake"]).await?.unwrap_or_default())
}

/// Takes the news: at most 1,000 at a time.
pub async fn take_news(world: &impl Redis) -> Result<Vec<Flight>, StoreError> {
    let members = world.run("SPOP", &[NEWS, "1000"]).await?;
    Ok(members.into_iter().filter_map(Reply::text).filter_map(|member| Flight::parse(&member)).collect())
}

// ---- The deployments that wait to write to the branch, or for their target, in the order in which they were accepted ----

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
    let rank = world.number("ZRANK", &[&key, id.as_str()]).await?;
    Ok(rank.and_then(|rank| u64::try_from(rank).ok()).unwrap_or_default())
}

/// Joins the queue of a target. Only those who wait are in it.
pub async fn join_queue(
    world: &impl Redis,
    target: &Target,
    id: &DeploymentId,
    accepted: Timestamp,
) -> Result<(), StoreError> {
    let key = format!("{PREFIX}queue/{}", target_queue(target));
    world.run("ZADD", &[&key, &accepted.0.to_string(), id.as_str()]).await?;
    world.run("PEXPIRE", &[&key, "600000"]).await.map(drop)
}

/// Who waits for a target, the first first.
pub async fn queue_of(world: &impl Redis, target: &Target) -> Result<Vec<DeploymentId>, StoreError> {
    let key = format!("{PREFIX}queue/{}", target_queue(target));
    let members = world.run("ZRANGE", &[&key, "0", "-1"]).await?;
    Ok(members.into_iter().filter_map(Reply::text).filter_map(|member| DeploymentId::parse(&member).ok()).collect())
}

/// The name of a target's queue.
pub fn target_queue(target: &Target) -> String {
    format!("target/{}/{}", target.app, target.environment)
}

/// Leaves the queue.
pub async fn leave_queue(world: &impl Redis, branch: &str, id: &DeploymentId) -> Result<(), StoreError> {
    world.run("ZREM", &[&format!("{PREFIX}queue/{branch}"), id.as_str()]).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::save_fact;
    use crate::memory::Memory;
    use domain::deployment::samples::{at, cancelled, committed, id, request, sha};
    use domain::deployment::{MessageFact, RequestFact, Voice};

    fn flight(memory: &Memory) -> (bool, Vec<DeploymentId>) {
        let all = memory.run(in_flight(memory)).unwrap();
        (all.whole, all.ids)
    }

    #[test]
    fn the_sentinel_tells_empty_from_lost() {
        let memory = Memory::default();
        assert_eq!(flight(&memory), (false, vec![]));
        memory.run(mark_whole(&memory)).unwrap();
        assert_eq!(flight(&memory), (true, vec![]));
        memory.run(add_in_flight(&memory, &id('2'), at(20))).unwrap();
        memory.run(add_in_flight(&memory, &id('1'), at(10))).unwrap();
        memory.run(add_in_flight(&memory, &id('2'), at(20))).unwrap();
        assert_eq!(flight(&memory), (true, vec![id('1'), id('2')]));
        memory.run(leave_flight(&memory, &id('1'))).unwrap();
        memory.run(leave_flight(&memory, &id('1'))).unwrap();
        assert_eq!(flight(&memory), (true, vec![id('2')]));
        memory.forget();
        assert_eq!(flight(&memory), (false, vec![]));
    }

    #[test]
    fn what_redis_lost_is_rebuilt_from_the_facts_by_one_scan() {
        let memory = Memory::default();
        let told = Voice { told_end: true, ..Voice::default() };
        memory.run(async {
            // Accepted later than the next one; its end posted; ended, but not posted; known by its commit alone; of
            // another version.
            save_fact(&memory, &id('1'), &RequestFact { at: at(20), ..request() }).await.unwrap();
            save_fact(&memory, &id('2'), &RequestFact { at: at(10), ..request() }).await.unwrap();
            save_fact(&memory, &id('2'), &cancelled()).await.unwrap();
            save_fact(&memory, &id('3'), &request()).await.unwrap();
            save_fact(&memory, &id('3'), &cancelled()).await.unwrap();
            save_fact(&memory, &id('3'), &MessageFact(told.clone())).await.unwrap();
            save_fact(&memory, &id('4'), &committed()).await.unwrap();
            save_fact(&memory, &id('5'), &request()).await.unwrap();
            // The end that slack-command posted was not the end after all.
            save_fact(&memory, &id('6'), &RequestFact { at: at(30), ..request() }).await.unwrap();
            save_fact(&memory, &id('6'), &MessageFact(told)).await.unwrap();
            save_fact(&memory, &id('6'), &committed()).await.unwrap();
        });
        memory.put(&format!("deploy-bot/deployment/{}/watch", id('5')), r#"{"version":2}"#);
        memory.put("deploy-bot/deployment/nonsense/request", "{}");
        memory.put("somebody-else/deployment/77777777777777777777777777777777/request", "{}");
        memory.run(rebuild_in_flight(&memory)).unwrap();
        assert_eq!(flight(&memory), (true, vec![id('4'), id('2'), id('1'), id('6')]));
        assert_eq!(memory.scans.get(), 1);
    }

    #[test]
    fn a_rebuild_that_redis_does_not_take_is_not_called_whole() {
        let memory = Memory::default();
        memory.run(save_fact(&memory, &id('1'), &request())).unwrap();
        memory.redis_is_down.set(true);
        assert!(memory.run(rebuild_in_flight(&memory)).is_err());
        memory.redis_is_down.set(false);
        assert_eq!(flight(&memory), (false, vec![]));
    }

    #[test]
    fn news_are_taken_once_and_wake_somebody() {
        let memory = Memory::default();
        assert_eq!(memory.run(take_news(&memory)), Ok(vec![]));
        assert_eq!(memory.run(announce(&memory, &id('1'))), Ok(2));
        assert_eq!(memory.run(announce(&memory, &id('1'))), Ok(2));
        assert_eq!(memory.run(announce(&memory, &id('2'))), Ok(2));
        assert_eq!(memory.published.get(), 3);
        let news = [id('1'), id('2')].map(Flight::Deployment).to_vec();
        assert_eq!(memory.run(take_news(&memory)), Ok(news));
        assert_eq!(memory.run(take_news(&memory)), Ok(vec![]));
    }

    #[test]
    fn a_push_is_in_flight_beside_deployments_and_found_again_after_redis_forgot() {
        let memory = Memory::default();
        memory.run(add_in_flight(&memory, &id('1'), at(20))).unwrap();
        memory.run(add_push(&memory, &sha('e'), at(10))).unwrap();
        let both = InFlight { whole: false, ids: vec![id('1')], pushes: vec![sha('e')] };
        assert_eq!(memory.run(in_flight(&memory)), Ok(both.clone()));
        assert_eq!(both.count(), 2);
        let all: Vec<Flight> = both.all().collect();
        assert_eq!(all, [Flight::Deployment(id('1')), Flight::Push(sha('e'))]);
        assert_eq!(memory.run(announce_push(&memory, &sha('e'))), Ok(2));
        assert_eq!(memory.run(take_news(&memory)), Ok(vec![Flight::Push(sha('e'))]));
        memory.run(remove_push(&memory, &sha('e'))).unwrap();
        assert_eq!(memory.run(in_flight(&memory)).unwrap().pushes, []);

        memory.put(&format!("deploy-bot/push/{}", sha('f')), "{}");
        memory.put("deploy-bot/push/nonsense", "{}");
        memory.run(rebuild_in_flight(&memory)).unwrap();
        assert_eq!(memory.run(in_flight(&memory)).unwrap().pushes, [sha('f')]);
    }

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
        // A process that died in the queue is forgotten when nobody has joined for ten minutes.
        memory.pass(599);
        assert_eq!(join('3', 30), 1);
        memory.pass(600);
        assert_eq!(join('3', 30), 0);
    }
}
