//! Locks of a target, and of everything.

use crate::clock::Clock;
use crate::key::{Key, Lock, LockOfAll, Locks, LocksOfAll};
use crate::kv::{KeyValue, StoreError, read, write};
use crate::lease::Lease;
use crate::redis::Redis;
use domain::lock::{LockChange, LockLog, TargetLock};
use domain::names::ArgoApplication;
use std::time::Duration;

/// Changes the lock of a target (or, without one, that of everything) to `lock`, under its lease. What is remembered of it is written
/// first: whoever dies in between does both again, or leaves a line too many and never one too few.
pub async fn change_lock(
    store: &impl KeyValue,
    lease: &Lease<'_, impl Redis + Clock>,
    application: Option<&ArgoApplication>,
    change: LockChange,
    lock: Option<&TargetLock>,
) -> Result<(), StoreError> {
    const WRITES: Duration = Duration::from_secs(2);
    let (log, key) = match application {
        Some(application) => (Locks(application).name(), Lock(application).name()),
        None => (LocksOfAll.name(), LockOfAll.name()),
    };
    let mut changes: LockLog = read(store, &log).await?.unwrap_or_default();
    changes.add(change);
    lease.ensure(WRITES).await?;
    write(store, &log, &changes).await?;
    lease.ensure(WRITES).await?;
    match lock {
        Some(lock) => write(store, &key, lock).await,
        None => store.delete(&key).await,
    }
}
