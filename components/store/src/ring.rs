//! Rings: the last deployments of a target. What falls out of a ring is deleted with all its facts, so the store stays bounded.

use crate::facts::forget;
use crate::key::{EarlyEnds, Key, PREFIX, REMEMBERED, Ring, load_key, save_key};
use crate::kv::{KeyValue, StoreError, read};
use crate::lease::LeaseLost;
use domain::names::DeploymentId;
use std::collections::BTreeSet;

/// Adds an id to a ring, under the lease that guards it, which is looked at before the ring is written. What falls out is deleted with all its facts, unless `keep` says that it
/// is still named somewhere (`current`, `live`, `in-flight`); then it stays in the ring.
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
    // Deleted first: a crash in between leaves an id without facts, which the next time deletes again, and never facts without an id.
    for old in &forgotten {
        forget(store, old).await?;
    }
    // What another has added since would be lost, and with it the only name of its keys.
    still_ours().await?;
    save_key(store, key, &ring).await
}

/// The deployments that no ring names, after one may have been written late over what others had added. Scans.
pub async fn strays(store: &impl KeyValue) -> Result<BTreeSet<DeploymentId>, StoreError> {
    let (mut strays, mut named) = (BTreeSet::new(), BTreeSet::new());
    for key in store.keys().await? {
        let Some(name) = key.strip_prefix(PREFIX) else { continue };
        if let Some(id) = name.strip_prefix("deployment/").and_then(|rest| rest.strip_suffix("/request")) {
            strays.extend(DeploymentId::parse(id).ok());
        } else if key == EarlyEnds.name() || (name.starts_with("target/") && name.ends_with("/history")) {
            named.extend(read::<Ring>(store, &key).await?.unwrap_or_default().ids);
        }
    }
    strays.retain(|id| !named.contains(id));
    Ok(strays)
}
