//! Every key that is not a deployment's fact: its name, what it holds, who writes it.

use crate::kv::{read, write};
use crate::seams::{KeyValue, StoreError};
use domain::lock::{LockLog, RolledBack, TargetLock};
use domain::names::{ArgoApplication, BlobSha, CommitSha, DeploymentId};
use domain::push::{Managed, PushNote};
use domain::seen::Seen;
use domain::time::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Prefix of all our keys, in both stores: Spin's Redis backend has no namespace.
pub const PREFIX: &str = "deploy-bot/";

/// The start of a push's name, in the store and in flight. Its newest commit follows.
pub(crate) const PUSH: &str = "push/";

/// `live`: what runs. sync-poller writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveVersion {
    pub id: DeploymentId,
    pub sha: CommitSha,
}

/// `current`: whose turn it is. slack-command writes this key under the target's lease, and never clears it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CurrentDeployment {
    /// Whose turn a rollback has taken before its own commit. If the rollback comes to nothing, the turn goes back.
    pub over: Option<DeploymentId>,
    pub id: DeploymentId,
}

/// The branch was forced or deleted. github-relay writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BranchRewritten {
    /// When we heard of it.
    pub at: Timestamp,
    /// Its head before, as the push said.
    pub before: String,
    /// Its head after it.
    pub after: String,
}

/// The catalog as last read. slack-command writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachedCatalog {
    pub at: Timestamp,
    pub blob: BlobSha,
    pub text: String,
}

/// Ids, oldest first, of which only the newest are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ring {
    /// Oldest first.
    pub ids: Vec<DeploymentId>,
}

/// How many deployments a ring keeps.
pub const REMEMBERED: usize = 50;

/// A key of its own type.
pub trait Key {
    type Value: Serialize + DeserializeOwned;
    fn name(&self) -> String;
}

/// Keys of a target: their type, what they hold, their name.
macro_rules! target_keys {
    ($($(#[$doc:meta])* $type:ident: $value:ty = $name:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $type<'a>(pub &'a ArgoApplication);

        impl Key for $type<'_> {
            type Value = $value;
            fn name(&self) -> String {
                format!("{PREFIX}target/{}/{}", target_name(self.0), $name)
            }
        }
    )*};
}

target_keys! {
    /// See [`CurrentDeployment`].
    Current: CurrentDeployment = "current";
    /// See [`LiveVersion`].
    Live: LiveVersion = "live";
    /// See [`TargetLock`].
    Lock: TargetLock = "lock";
    /// The last deployments of a target.
    History: Ring = "history";
    /// See [`RolledBack`].
    RolledBackVersions: RolledBack = "rolled-back";
    /// See [`LockLog`].
    Locks: LockLog = "locks";
}

/// The lease under which the lock of a target changes; without a target, the lock of everything.
pub fn lock_lease(application: Option<&ArgoApplication>) -> String {
    application.map_or("lock".to_owned(), |application| format!("lock/{}", target_name(application)))
}

/// A target by its Argo CD application, which may belong to one target only.
pub fn target_name(application: &ArgoApplication) -> String {
    let namespace = application.namespace.as_ref().map_or("-", |namespace| namespace.as_str());
    format!("{namespace}/{}", application.name)
}

/// Keys of the installation: their type, what they hold, their name.
macro_rules! single_keys {
    ($($(#[$doc:meta])* $type:ident: $value:ty = $name:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $type;

        impl Key for $type {
            type Value = $value;
            fn name(&self) -> String {
                format!("{PREFIX}{}", $name)
            }
        }
    )*};
}

single_keys! {
    /// See [`BranchRewritten`].
    Rewritten: BranchRewritten = "branch/rewritten";
    /// The lock of everything, see [`TargetLock`].
    LockOfAll: TargetLock = "lock";
    /// Changes of the lock of everything, see [`LockLog`].
    LocksOfAll: LockLog = "locks";
    /// See [`CachedCatalog`].
    CatalogCache: CachedCatalog = "catalog";
    /// See [`Managed`].
    ManagedFiles: Managed = "managed";
    /// Deployments that ended before they had a target's lease.
    EarlyEnds: Ring = "early-ends";
}

/// `registry/<host>`: how a registry asked for a login. slack-command writes it. Without it, a question takes
/// two round trips more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryChallenge {
    /// Its `WWW-Authenticate`.
    pub challenge: String,
}

/// See [`RegistryChallenge`]. By the registry's host, of which the catalog names few.
#[derive(Clone, Copy, Debug)]
pub struct LastChallenge<'a>(pub &'a str);

impl Key for LastChallenge<'_> {
    type Value = RegistryChallenge;
    fn name(&self) -> String {
        format!("{PREFIX}registry/{}", self.0)
    }
}

/// See [`Seen`].
#[derive(Clone, Copy, Debug)]
pub struct SeenApplication<'a>(pub &'a ArgoApplication);

impl Key for SeenApplication<'_> {
    type Value = Seen;
    fn name(&self) -> String {
        format!("{PREFIX}seen/{}/{}", self.0.project, target_name(self.0))
    }
}

/// See [`PushNote`]; by the newest commit of the push.
#[derive(Clone, Copy, Debug)]
pub struct Pushed<'a>(pub &'a CommitSha);

impl Key for Pushed<'_> {
    type Value = PushNote;
    fn name(&self) -> String {
        format!("{PREFIX}{PUSH}{}", self.0)
    }
}

pub async fn load_key<K: Key>(store: &impl KeyValue, key: K) -> Result<Option<K::Value>, StoreError> {
    read(store, &key.name()).await
}

/// Writes a key. Only its own role may.
pub async fn save_key<K: Key>(store: &impl KeyValue, key: K, value: &K::Value) -> Result<(), StoreError> {
    write(store, &key.name(), value).await
}

/// Deletes a key. Only its own role may.
pub async fn delete_key<K: Key>(store: &impl KeyValue, key: K) -> Result<(), StoreError> {
    store.delete(&key.name()).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;
    use domain::deployment::samples::{application, at, blob, id, sha, user};
    use domain::names::KubeName;

    #[test]
    fn keys_of_targets_are_told_apart_by_the_application() {
        let here = application();
        let there = ArgoApplication { namespace: Some(KubeName::parse("teams").unwrap()), ..application() };
        assert_eq!(Current(&here).name(), "deploy-bot/target/-/checkout/current");
        assert_eq!(Live(&there).name(), "deploy-bot/target/teams/checkout/live");
        assert_eq!(Lock(&here).name(), "deploy-bot/target/-/checkout/lock");
        assert_eq!(History(&here).name(), "deploy-bot/target/-/checkout/history");
        assert_eq!(Rewritten.name(), "deploy-bot/branch/rewritten");
        assert_eq!(CatalogCache.name(), "deploy-bot/catalog");
        assert_eq!(EarlyEnds.name(), "deploy-bot/early-ends");
        let memory = Memory::default();
        memory.run(async {
            let lock = TargetLock {
                by: user("U1"),
                reason: "Load test".to_owned(),
                at: at(0),
                until: Some(at(60)),
                rollback: false,
            };
            save_key(&memory, Lock(&here), &lock).await.unwrap();
            assert_eq!(load_key(&memory, Lock(&here)).await, Ok(Some(lock)));
            assert_eq!(load_key(&memory, Lock(&there)).await, Ok(None));
            let live = LiveVersion { id: id('1'), sha: sha('d') };
            save_key(&memory, Live(&here), &live).await.unwrap();
            assert_eq!(load_key(&memory, Live(&here)).await, Ok(Some(live)));
            let cached = CachedCatalog { at: at(1), blob: blob('c'), text: "apps:\n".to_owned() };
            save_key(&memory, CatalogCache, &cached).await.unwrap();
            assert_eq!(load_key(&memory, CatalogCache).await, Ok(Some(cached)));
        });
    }
}
