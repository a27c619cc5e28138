//! Rings: the last deployments of a target. What falls out of a ring is deleted with all its facts, so the
//! store stays bounded.

use crate::facts::forget;
use crate::key::{EarlyEnds, Key, PREFIX, REMEMBERED, Ring, load_key, save_key};
use crate::kv::read;
use crate::lease::LeaseLost;
use crate::seams::{KeyValue, StoreError};
use domain::names::DeploymentId;
use std::collections::BTreeSet;

/// Adds an id to a ring, under the lease that guards the ring; `still_ours` checks the lease right before the
/// write. What falls out is deleted with all its facts. An id in `keep` is still named elsewhere (`current`,
/// `live`, `in-flight`) and stays.
pub async fn remember<K: Key<Value = Ring> + Copy>(
    store: &impl KeyValue,
    key: K,
    id: &DeploymentId,
    keep: &[DeploymentId],
    still_ours: impl AsyncFnOnce() -> Result<(), LeaseLost>,
) -> Result<(), StoreError> {
    let mut ring = load_key(store, key).await?.unwrap_or_default();
    if ring.ids.contains(id) {
        return Ok(());
    }
    ring.ids.push(id.clone());
    let mut excess = ring.ids.len().saturating_sub(REMEMBERED);
    let mut forgotten = Vec::new();
    ring.ids.retain(|old| {
        let forget = excess > 0 && old != id && !keep.contains(old);
        if forget {
            excess = excess.saturating_sub(1);
            forgotten.push(old.clone());
        }
        !forget
    });
    // Facts are deleted first: a crash in between leaves an id without facts, which the next call deletes
    // again, and never facts without an id.
    for old in &forgotten {
        forget(store, old).await?;
    }
    // Without the lease, this write could remove an id that another holder has added since, the only name of
    // its keys.
    still_ours().await?;
    save_key(store, key, &ring).await
}

/// The deployments that no ring names, because a late write of a ring removed them. Scans.
pub async fn strays(store: &impl KeyValue) -> Result<BTreeSet<DeploymentId>, StoreError> {
    let (mut strays, mut named) = (BTreeSet::new(), BTreeSet::new());
    for key in store.keys().await? {
        let Some(name) = key.strip_prefix(PREFIX) else { continue };
        if let Some(id) = name.strip_prefix("deployment/").and_then(|rest| rest.strip_suffix("/request")) {
            strays.extend(DeploymentId::parse(id).ok());
        } else if key == EarlyEnds.name() || (name.starts_with("target/") && name.ends_with("/history")) {
            let ring = read::<Ring>(store, &key, EarlyEnds::WRITER, EarlyEnds::if_forged).await?;
            named.extend(ring.unwrap_or_default().ids);
        }
    }
    strays.retain(|id| !named.contains(id));
    Ok(strays)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::save_fact;
    use crate::key::History;
    use crate::memory::{Memory, numbered};
    use domain::deployment::WatchFact;
    use domain::deployment::samples::{cancelled, id, request, target_plan};

    #[test]
    fn fifty_are_remembered_and_the_facts_of_what_falls_out_are_deleted() {
        let memory = Memory::default();
        let target = target_plan().target;
        let history = History(&target);
        let facts = |memory: &Memory| -> BTreeSet<usize> {
            (0..200).filter(|n| memory.has(&format!("deploy-bot/deployment/{}/request", numbered(*n)))).collect()
        };
        let deploy = |n: usize, keep: &[DeploymentId]| {
            memory.run(async {
                save_fact(&memory, &numbered(n), &request()).await.unwrap();
                save_fact(&memory, &numbered(n), &WatchFact::default()).await.unwrap();
                remember(&memory, history, &numbered(n), keep, async || Ok(())).await.unwrap();
            });
        };
        for n in 0..REMEMBERED {
            deploy(n, &[]);
        }
        assert_eq!(facts(&memory), (0..50).collect());
        // Again: nothing changes.
        deploy(0, &[]);
        deploy(49, &[]);
        assert_eq!(facts(&memory), (0..50).collect());
        deploy(50, &[]);
        assert_eq!(facts(&memory), (1..51).collect());
        assert!(!memory.has(&format!("deploy-bot/deployment/{}/watch", numbered(0))));
        // What `current`, `live` or `in-flight` name stays, and stays in the ring; the next oldest
        // goes instead.
        let keep = [numbered(1), numbered(3)];
        deploy(51, &keep);
        deploy(52, &keep);
        let expected: BTreeSet<usize> = (5..53).chain([1, 3]).collect();
        assert_eq!(facts(&memory), expected);
        let ring = memory.run(load_key(&memory, history)).unwrap().unwrap();
        assert_eq!(ring.ids.len(), 50);
        assert_eq!(ring.ids[..3], [numbered(1), numbered(3), numbered(5)]);
        // Named no longer, they go as the others do.
        deploy(53, &[]);
        assert_eq!(facts(&memory), (5..54).chain([3]).collect());
        assert_eq!(memory.scans.get(), 0);
    }

    #[test]
    fn a_ring_of_which_everything_is_named_grows_rather_than_lose_anything() {
        let memory = Memory::default();
        let all: Vec<DeploymentId> = (0..60).map(numbered).collect();
        for id in &all {
            memory.run(remember(&memory, EarlyEnds, id, &all, async || Ok(()))).unwrap();
        }
        assert_eq!(memory.run(load_key(&memory, EarlyEnds)).unwrap().unwrap().ids, all);
        memory.run(remember(&memory, EarlyEnds, &numbered(60), &[], async || Ok(()))).unwrap();
        assert_eq!(memory.run(load_key(&memory, EarlyEnds)).unwrap().unwrap().ids.len(), REMEMBERED);
    }

    #[test]
    fn a_ring_of_another_version_is_left_alone() {
        let memory = Memory::default();
        memory.put("deploy-bot/early-ends", r#"{"version":2,"ids":[]}"#);
        assert!(memory.run(remember(&memory, EarlyEnds, &id('1'), &[], async || Ok(()))).is_err());
        assert_eq!(memory.text("deploy-bot/early-ends"), r#"{"version":2,"ids":[]}"#);
    }

    #[test]
    fn whoever_fell_out_of_a_ring_by_a_late_write_is_found() {
        let memory = Memory::default();
        for n in 1..=4 {
            memory.run(save_fact(&memory, &numbered(n), &request())).unwrap();
        }
        memory.run(save_fact(&memory, &numbered(5), &cancelled())).unwrap();
        let app = target_plan().target;
        let remember = |n: usize| memory.run(remember(&memory, History(&app), &numbered(n), &[], async || Ok(())));
        remember(1).unwrap();
        let before = memory.text(&History(&app).name());
        remember(2).unwrap();
        memory.put(&History(&app).name(), &before);
        memory.run(super::remember(&memory, EarlyEnds, &numbered(3), &[], async || Ok(()))).unwrap();
        assert_eq!(memory.run(strays(&memory)), Ok(BTreeSet::from([numbered(2), numbered(4)])));
    }
}
