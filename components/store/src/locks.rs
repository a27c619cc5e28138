//! Locks of a target, and of everything.

use crate::key::{Lock, LockOfAll, Locks, LocksOfAll, delete_key, load_key, save_key};
use crate::lease::Lease;
use crate::seams::{Clock, KeyValue, Redis, StoreError};
use domain::lock::{LockChange, LockLog, TargetLock};
use domain::names::Target;
use std::time::Duration;

/// Changes the lock of a target (without a target, the lock of everything) to `lock`, under its lease. The
/// log is written first: after a crash in between, the log has a line too many rather than one too few.
pub async fn change_lock(
    store: &impl KeyValue,
    lease: &Lease<'_, impl Redis + Clock>,
    target: Option<&Target>,
    change: LockChange,
    lock: Option<&TargetLock>,
) -> Result<(), StoreError> {
    const WRITES: Duration = Duration::from_secs(2);
    let changes = match target {
        Some(target) => load_key(store, Locks(target)).await?,
        None => load_key(store, LocksOfAll).await?,
    };
    let mut changes: LockLog = changes.unwrap_or_default();
    changes.add(change);
    lease.ensure(WRITES).await?;
    match target {
        Some(target) => save_key(store, Locks(target), &changes).await?,
        None => save_key(store, LocksOfAll, &changes).await?,
    }
    lease.ensure(WRITES).await?;
    match (target, lock) {
        (Some(target), Some(lock)) => save_key(store, Lock(target), lock).await,
        (Some(target), None) => delete_key(store, Lock(target)).await,
        (None, Some(lock)) => save_key(store, LockOfAll, lock).await,
        (None, None) => delete_key(store, LockOfAll).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::lock_lease;
    use crate::lease::Terms;
    use crate::memory::Memory;
    use domain::deployment::samples::{at, target_plan, user};
    use domain::lock::LockAction;

    #[test]
    fn the_newest_changes_of_a_lock_are_kept_and_one_that_is_done_twice_once() {
        let memory = Memory::default();
        let app = target_plan().target;
        let lock = |seconds, reason: &str| TargetLock {
            by: user("U1"),
            reason: reason.to_owned(),
            at: at(seconds),
            until: None,
            rollback: false,
            itself: false,
        };
        let change = |lock: &TargetLock, to: Option<&TargetLock>, of: Option<&Target>| {
            let change = match to {
                Some(lock) => lock.change(),
                None => LockChange { what: LockAction::TakenAway { of: user("U1") }, ..lock.change() },
            };
            let terms = Terms { life: Duration::from_secs(15), renew: None };
            let name = lock_lease(of);
            let work = async |lease: &Lease<'_, Memory>| change_lock(&memory, lease, of, change, to).await;
            memory.run(Lease::try_hold(&memory, &name, terms, work)).unwrap().unwrap().done.unwrap().unwrap();
        };
        for n in 0..15 {
            let lock = lock(n, &n.to_string());
            for again in 0..2 {
                let lock = TargetLock { at: at(n + again), ..lock.clone() };
                change(&lock, Some(&lock), Some(&app));
            }
            assert!(memory.run(load_key(&memory, Lock(&app))).unwrap().is_some());
            change(&lock, None, Some(&app));
            assert_eq!(memory.run(load_key(&memory, Lock(&app))).unwrap(), None);
        }
        let log = memory.run(load_key(&memory, Locks(&app))).unwrap().unwrap();
        let reasons: Vec<_> = log.changes.iter().map(|change| change.reason.as_str()).collect();
        assert_eq!((reasons.len(), reasons[0], reasons[1], reasons[19]), (20, "5", "5", "14"));
        assert_eq!(log.changes[0].what, LockAction::Set { until: None });
        let everything = lock(1, "all");
        change(&everything, Some(&everything), None);
        assert_eq!(memory.run(load_key(&memory, LockOfAll)).unwrap(), Some(everything.clone()));
        assert_eq!(memory.run(load_key(&memory, LocksOfAll)).unwrap().unwrap().changes, [everything.change()]);
    }
}
