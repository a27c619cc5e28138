//! Seam 2: what we remember. Facts in a key-value store; leases, wake-ups and hints in Redis.
//!
//! The key-value store is the truth: it has no compare-and-swap, so one role writes a key and nobody else. Redis makes
//! duplicates rare and waiting short, and may forget everything at any moment; nothing here relies on it for safety.

use crate::clock::{Clock, Timestamp, millis};
use crate::deployment::{CommittedFact, Fact, Facts, RequestFact, words_hash};
use crate::names::{ArgoApplication, CommitSha, DeploymentId, SlackChannel, SlackUser};
use crate::push::{self, Managed, PushNote};
use futures::future::{Either, select};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::pin::pin;
use std::time::Duration;

/// The store or Redis did not do it (in time). Whether a write took effect is unknown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub &'static str);

impl StoreError {
    /// The value is there, but this build cannot read it: it is left alone, and trying again does not help.
    pub fn is_unreadable(&self) -> bool {
        [NOT_JSON, OTHER_VERSION, OTHER_FIELDS].contains(self)
    }
}

const NOT_JSON: StoreError = StoreError("a stored value is not JSON");
const OTHER_VERSION: StoreError = StoreError("a stored value has a version that this build does not know");
const OTHER_FIELDS: StoreError = StoreError("a stored value does not have the fields of its version");

/// How long the store may take to read a key. Spin itself has no limit, and the store may be on Redis.
pub const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// How long it may take to write one. Much longer: a write that was given up may take effect all the same, after whatever was written
/// next. Leases are renewed meanwhile, and a lease that is lost ends the wait.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Spin's key-value store. The implementation keeps to [`READ_TIMEOUT`] and [`WRITE_TIMEOUT`].
pub trait KeyValue {
    /// Reads a key.
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError>;
    /// Writes a key whole.
    async fn set(&self, key: &str, value: &[u8]) -> Result<(), StoreError>;
    /// Deletes a key; it may be absent.
    async fn delete(&self, key: &str) -> Result<(), StoreError>;
    /// Every key of the store. Slow: only to rebuild what Redis lost.
    async fn keys(&self) -> Result<Vec<String>, StoreError>;
}

/// One value of a Redis answer, as far as we need them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Nil.
    Nil,
    /// A status such as `OK`.
    Status(String),
    /// A number.
    Int(i64),
    /// A bulk string.
    Text(String),
}

/// Redis: one command, its arguments, a flat list of values. The implementation has a time limit of [`REDIS_TIMEOUT`].
pub trait Redis {
    /// Runs a command. Arguments are sent as binary strings.
    async fn run(&self, command: &str, arguments: &[&str]) -> Result<Vec<Reply>, StoreError>;
}

/// How long a Redis command may take before it counts as failed. Spin itself has no limit.
pub const REDIS_TIMEOUT: Duration = Duration::from_secs(1);

/// Prefix of all our keys, in both stores: Spin's Redis backend has no namespace.
pub const PREFIX: &str = "deploy-bot/";

/// The channel of the wake-ups; `spin.toml` names it too.
pub const WAKE: &str = "deploy-bot/wake";

const IN_FLIGHT: &str = "deploy-bot/in-flight";
/// The member of `in-flight` that says that the set is whole: without it, Redis has lost the set.
const SENTINEL: &str = "whole";
const NEWS: &str = "deploy-bot/news";
/// What a push is called, in the store and in flight; its commit follows.
const PUSH: &str = "push/";
/// When the pace is kept again, and that Slack wants quiet.
const DUE: &str = "due";
const QUIET: &str = "quiet";

// ---- facts ----

/// The format of values that this build writes, and the only one that it reads.
const VERSION: u64 = 1;

fn fact_key(id: &DeploymentId, name: &str) -> String {
    format!("{PREFIX}deployment/{id}/{name}")
}

/// Writes `{"version": 1, …value}`.
fn encode(value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    let mut value = serde_json::to_value(value).map_err(|_| StoreError("a value that is not JSON"))?;
    let object = value.as_object_mut().ok_or(StoreError("a value that is not a JSON object"))?;
    object.insert("version".to_owned(), VERSION.into());
    serde_json::to_vec(&value).map_err(|_| StoreError("a value that is not JSON"))
}

/// Reads it; another version is an error, so that the key is left alone.
fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    let value: serde_json::Value = serde_json::from_slice(bytes).map_err(|_| NOT_JSON)?;
    if value.get("version").and_then(serde_json::Value::as_u64) != Some(VERSION) {
        return Err(OTHER_VERSION);
    }
    serde_json::from_value(value).map_err(|_| OTHER_FIELDS)
}

async fn read<T: DeserializeOwned>(store: &impl KeyValue, key: &str) -> Result<Option<T>, StoreError> {
    store.get(key).await?.map(|bytes| decode(&bytes)).transpose()
}

async fn write(store: &impl KeyValue, key: &str, value: &impl Serialize) -> Result<(), StoreError> {
    store.set(key, &encode(value)?).await
}

/// Reads one fact.
pub async fn load_fact<F: Fact>(store: &impl KeyValue, id: &DeploymentId) -> Result<Option<F>, StoreError> {
    read(store, &fact_key(id, F::NAME)).await
}

/// Writes one fact. Only its own role may.
pub async fn save_fact<F: Fact>(store: &impl KeyValue, id: &DeploymentId, fact: &F) -> Result<(), StoreError> {
    write(store, &fact_key(id, F::NAME), fact).await
}

/// Reads all facts of a deployment, at the same time.
pub async fn load(store: &impl KeyValue, id: &DeploymentId) -> Result<Facts, StoreError> {
    let first = futures::future::try_join4(
        load_fact(store, id),
        load_fact(store, id),
        load_fact(store, id),
        load_fact(store, id),
    );
    let second = futures::future::try_join5(
        load_fact(store, id),
        load_fact(store, id),
        load_fact(store, id),
        load_fact(store, id),
        load_fact(store, id),
    );
    let third = futures::future::try_join(load_fact(store, id), load_fact(store, id));
    let ((request, commit, committed, end), (message, cancel, push, watch, outcome), (approvals, changes)) =
        futures::future::try_join3(first, second, third).await?;
    let frozen = committed.as_ref().and_then(|committed: &CommittedFact| committed.commit.as_deref().cloned());
    let commit = frozen.or(commit);
    Ok(Facts { request, commit, committed, end, message, cancel, push, watch, outcome, approvals, changes })
}

/// The names of all facts. `github` is not among [`Facts`]: nothing is decided by it, so only whoever writes it reads it.
const FACTS: [&str; 12] = [
    "request",
    "commit",
    "committed",
    "end",
    "message",
    "cancel",
    "push",
    "watch",
    "outcome",
    "approvals",
    "changes",
    "github",
];

/// Whether these are what is left of a request that was not accepted. For a while the request may still land, and then only the wish to
/// cancel keeps it from being carried out.
pub fn is_left_over(facts: &Facts, now: Timestamp) -> bool {
    facts.request.is_none() && facts.cancel.as_ref().is_none_or(|cancel| now.since(cancel.at) > WRITE_TIMEOUT)
}

/// Deletes all facts of a deployment that nobody names any more.
pub async fn forget(store: &impl KeyValue, id: &DeploymentId) -> Result<(), StoreError> {
    store.delete(&fact_key(id, RequestFact::NAME)).await?;
    forget_left_over(store, id).await
}

/// Deletes all but a request, which was not there: the same button may be pressed again meanwhile.
pub async fn forget_left_over(store: &impl KeyValue, id: &DeploymentId) -> Result<(), StoreError> {
    for name in FACTS.iter().filter(|name| **name != RequestFact::NAME) {
        store.delete(&fact_key(id, name)).await?;
    }
    Ok(())
}

// ---- keys of a target and of the branch ----

/// `live`: what runs. sync-poller writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveVersion {
    /// The deployment.
    pub id: DeploymentId,
    /// Its commit.
    pub sha: CommitSha,
}

/// `current`: whose turn it is. slack-command writes it, under the target's lease; it is never cleared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CurrentDeployment {
    /// The deployment.
    pub id: DeploymentId,
}

/// `lock`: nobody may deploy, to this target or to any. slack-command writes it, under the lease [`lock_lease`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetLock {
    /// Who locked it.
    pub by: SlackUser,
    /// Why.
    pub reason: String,
    /// Since when.
    #[serde(default)]
    pub at: Timestamp,
    /// Until when, if not for good.
    #[serde(default)]
    pub until: Option<Timestamp>,
    /// A rollback locked it: another rollback may go on nevertheless.
    #[serde(default)]
    pub rollback: bool,
}

impl TargetLock {
    /// That it was set, for the record.
    pub fn change(&self) -> LockChange {
        let what = Locked::Set { until: self.until };
        LockChange { at: self.at, by: self.by.clone(), reason: self.reason.clone(), what }
    }

    /// Whether it is in force.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// `locks`: who locked and unlocked a target, or everything. slack-command writes it, under the lease [`lock_lease`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockLog {
    /// Newest last, few.
    pub changes: Vec<LockChange>,
}

/// A lock was set or taken away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockChange {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: SlackUser,
    /// Why it was locked.
    pub reason: String,
    /// Which of the two.
    pub what: Locked,
}

/// Which change of a lock it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Locked {
    /// It was set.
    Set {
        /// Until when, if not for good.
        until: Option<Timestamp>,
    },
    /// It was taken away.
    TakenAway {
        /// Whose it was.
        of: SlackUser,
    },
}

impl LockLog {
    /// Adds a change. The same once more, as whoever had to do it again says it at once, is one.
    fn add(&mut self, change: LockChange) {
        let of = |change: &LockChange| (change.by.clone(), change.reason.clone(), change.what.clone());
        let again = |last: &LockChange| of(last) == of(&change) && change.at.since(last.at) < Duration::from_secs(60);
        self.changes.pop_if(|last| again(last));
        self.changes.push(change);
        self.changes.drain(..self.changes.len().saturating_sub(LOCKS_REMEMBERED));
    }
}

/// How many changes of its lock a target remembers.
const LOCKS_REMEMBERED: usize = 20;

/// `rolled-back`: versions of a target that were rolled back. slack-command writes it, under the lease [`lock_lease`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolledBack {
    /// Newest last, few.
    pub versions: Vec<RolledBackVersion>,
}

/// A version that was rolled back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolledBackVersion {
    /// Its tag.
    pub tag: String,
    /// By whom.
    pub by: SlackUser,
    /// When.
    pub at: Timestamp,
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
    /// When.
    pub at: Timestamp,
    /// Its blob.
    pub blob: crate::names::BlobSha,
    /// Its text.
    pub text: String,
}

/// Ids, oldest first, of which only the newest are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ring {
    /// Oldest first.
    pub ids: Vec<DeploymentId>,
}

/// How many deployments a target, and the ring of early ends, remember.
pub const REMEMBERED: usize = 50;

/// A key of its own type.
pub trait Key {
    /// What it holds.
    type Value: Serialize + DeserializeOwned;
    /// Its full name.
    fn name(&self) -> String;
}

macro_rules! target_key {
    ($(#[$doc:meta])* $type:ident, $value:ty, $name:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $type<'a>(pub &'a ArgoApplication);

        impl Key for $type<'_> {
            type Value = $value;
            fn name(&self) -> String {
                format!("{PREFIX}target/{}/{}", target_name(self.0), $name)
            }
        }
    };
}

target_key! {
    /// See [`CurrentDeployment`].
    Current, CurrentDeployment, "current"
}
target_key! {
    /// See [`LiveVersion`].
    Live, LiveVersion, "live"
}
target_key! {
    /// See [`TargetLock`].
    Lock, TargetLock, "lock"
}
target_key! {
    /// The last deployments of a target.
    History, Ring, "history"
}
target_key! {
    /// See [`RolledBack`].
    RolledBackVersions, RolledBack, "rolled-back"
}
target_key! {
    /// See [`LockLog`].
    Locks, LockLog, "locks"
}

/// The lease under which the locks of a target (or, without one, the lock of everything) are changed.
pub fn lock_lease(application: Option<&ArgoApplication>) -> String {
    application.map_or("lock".to_owned(), |application| format!("lock/{}", target_name(application)))
}

/// A target by its Argo CD application, which may belong to one target only.
pub fn target_name(application: &ArgoApplication) -> String {
    let namespace = application.namespace.as_ref().map_or("-", |namespace| namespace.as_str());
    format!("{namespace}/{}", application.name)
}

macro_rules! single_key {
    ($(#[$doc:meta])* $type:ident, $value:ty, $name:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $type;

        impl Key for $type {
            type Value = $value;
            fn name(&self) -> String {
                format!("{PREFIX}{}", $name)
            }
        }
    };
}

single_key! {
    /// See [`BranchRewritten`].
    Rewritten, BranchRewritten, "branch/rewritten"
}
single_key! {
    /// The lock of everything, see [`TargetLock`].
    LockOfAll, TargetLock, "lock"
}
single_key! {
    /// Changes of the lock of everything, see [`LockLog`].
    LocksOfAll, LockLog, "locks"
}
single_key! {
    /// See [`CachedCatalog`].
    CatalogCache, CachedCatalog, "catalog"
}
single_key! {
    /// See [`Managed`].
    ManagedFiles, Managed, "managed"
}
single_key! {
    /// Deployments that ended before they had a target's lease.
    EarlyEnds, Ring, "early-ends"
}

/// `registry/<host>`: how a registry asked for a login. slack-command writes it; what is written late costs two round trips.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryChallenge {
    /// Its `WWW-Authenticate`.
    pub challenge: String,
}

/// See [`RegistryChallenge`]. By the registry's host, of which the catalog names few.
#[derive(Clone, Copy, Debug)]
pub struct RegistryLogin<'a>(pub &'a str);

impl Key for RegistryLogin<'_> {
    type Value = RegistryChallenge;
    fn name(&self) -> String {
        format!("{PREFIX}registry/{}", self.0)
    }
}

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
    let lost = |_| StoreError("the lease was lost");
    lease.ensure(WRITES).await.map_err(lost)?;
    write(store, &log, &changes).await?;
    lease.ensure(WRITES).await.map_err(lost)?;
    match lock {
        Some(lock) => write(store, &key, lock).await,
        None => store.delete(&key).await,
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

/// Reads a key.
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
    still_ours().await.map_err(|_| StoreError("the lease was lost"))?;
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

// ---- leases ----

/// Proof, with a local deadline, that we were given a name for a while. It makes duplicates rare; it is never the only safety.
pub struct Lease<'w, W> {
    world: &'w W,
    key: String,
    token: String,
    life: Duration,
    /// On the clock that does not jump; counted from before the command was sent.
    deadline: Cell<Duration>,
}

/// The lease is not ours any more, or not for long enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the lease was lost")]
pub struct LeaseLost;

/// Renews if the token is still ours.
const RENEW: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) else return 0 end";
/// Releases if the token is still ours.
const RELEASE: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) else return 0 end";

fn lease_key(name: &str) -> String {
    format!("{PREFIX}lease/{name}")
}

/// A token that nobody else has: 128 bits from the seeds of the standard library's hasher, which are random.
fn token() -> String {
    let half = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", half(), half())
}

impl<'w, W: Redis + Clock> Lease<'w, W> {
    /// Takes it if it is free.
    pub async fn take(world: &'w W, name: &str, life: Duration) -> Result<Option<Self>, StoreError> {
        let (key, token) = (lease_key(name), token());
        let before = world.elapsed();
        let reply = world.run("SET", &[&key, &token, "NX", "PX", &millis(life).to_string()]).await?;
        let taken = matches!(reply.first(), Some(Reply::Status(status)) if status == "OK");
        Ok(taken.then(|| Self { world, key, token, life, deadline: Cell::new(before.saturating_add(life)) }))
    }

    /// Whether it is ours for at least `limit` more, by our own clock.
    pub fn check(&self, limit: Duration) -> Result<(), LeaseLost> {
        if self.world.elapsed().saturating_add(limit) <= self.deadline.get() { Ok(()) } else { Err(LeaseLost) }
    }

    /// Whether it was ours for certain at that moment, by the clock that does not jump: a renewal that began later was granted.
    pub fn was_held_at(&self, moment: Duration) -> bool {
        moment.saturating_add(self.life) <= self.deadline.get()
    }

    /// Renews it now.
    pub async fn renew(&self) -> Result<(), LeaseLost> {
        let before = self.world.elapsed();
        let life = millis(self.life).to_string();
        match self.world.run("EVAL", &[RENEW, "1", &self.key, &self.token, &life]).await {
            Ok(reply) if reply.first() == Some(&Reply::Int(1)) => {
                self.deadline.set(before.saturating_add(self.life));
                Ok(())
            }
            _ => Err(LeaseLost),
        }
    }

    /// [`Lease::check`], after a renewal where the time left is too short.
    pub async fn ensure(&self, limit: Duration) -> Result<(), LeaseLost> {
        if self.check(limit).is_err() {
            self.renew().await?;
        }
        self.check(limit)
    }

    /// Does the work and renews the lease every `period` beside it. A failed renewal ends the work at once.
    pub async fn during<T>(&self, period: Duration, work: impl Future<Output = T>) -> Result<T, LeaseLost> {
        let renewals = async {
            loop {
                self.world.sleep(period).await;
                if self.renew().await.is_err() {
                    return;
                }
            }
        };
        match select(pin!(work), pin!(renewals)).await {
            Either::Left((done, _)) => Ok(done),
            Either::Right(((), _)) => Err(LeaseLost),
        }
    }

    /// Gives it back; if that fails it runs out by itself. Says whether it was ours for certain until then.
    pub async fn release(self) -> bool {
        let reply = self.world.run("EVAL", &[RELEASE, "1", &self.key, &self.token]).await;
        reply.is_ok_and(|reply| reply.first() == Some(&Reply::Int(1)))
    }
}

/// Whether somebody holds the lease.
pub async fn is_held(world: &impl Redis, name: &str) -> Result<bool, StoreError> {
    Ok(world.run("EXISTS", &[&lease_key(name)]).await?.first() == Some(&Reply::Int(1)))
}

/// Takes a name for a while without ever giving it back: "at most once per `life`".
pub async fn once_per(world: &impl Redis, name: &str, life: Duration) -> Result<bool, StoreError> {
    let reply = world.run("SET", &[&lease_key(name), "1", "NX", "PX", &millis(life).to_string()]).await?;
    Ok(matches!(reply.first(), Some(Reply::Status(status)) if status == "OK"))
}

// ---- hints and wake-ups ----

/// What has to be told to the end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flight {
    /// A deployment.
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
    /// How many there are.
    pub fn count(&self) -> usize {
        self.ids.len().saturating_add(self.pushes.len())
    }

    /// All of them.
    pub fn all(self) -> impl Iterator<Item = Flight> {
        self.ids.into_iter().map(Flight::Deployment).chain(self.pushes.into_iter().map(Flight::Push))
    }
}

/// Reads what is in flight.
pub async fn in_flight(world: &impl Redis) -> Result<InFlight, StoreError> {
    let mut all = InFlight::default();
    for reply in world.run("ZRANGE", &[IN_FLIGHT, "0", "-1"]).await? {
        match reply {
            Reply::Text(text) | Reply::Status(text) if text == SENTINEL => all.whole = true,
            Reply::Text(text) | Reply::Status(text) => match Flight::parse(&text) {
                Some(Flight::Deployment(id)) => all.ids.push(id),
                Some(Flight::Push(sha)) => all.pushes.push(sha),
                None => {}
            },
            _ => {}
        }
    }
    Ok(all)
}

/// Adds an id: until its last word is told.
pub async fn add_in_flight(world: &impl Redis, id: &DeploymentId, accepted: Timestamp) -> Result<(), StoreError> {
    world.run("ZADD", &[IN_FLIGHT, &accepted.0.to_string(), id.as_str()]).await.map(drop)
}

/// Takes an id out: its last word was told.
pub async fn leave_flight(world: &impl Redis, id: &DeploymentId) -> Result<(), StoreError> {
    world.run("ZREM", &[IN_FLIGHT, id.as_str()]).await.map(drop)
}

/// Adds a push: until it is told, or was not noted after all.
pub async fn add_push(world: &impl Redis, sha: &CommitSha, pushed: Timestamp) -> Result<(), StoreError> {
    world.run("ZADD", &[IN_FLIGHT, &pushed.0.to_string(), &format!("{PUSH}{sha}")]).await.map(drop)
}

/// Takes a push out.
pub async fn remove_push(world: &impl Redis, sha: &CommitSha) -> Result<(), StoreError> {
    world.run("ZREM", &[IN_FLIGHT, &format!("{PUSH}{sha}")]).await.map(drop)
}

/// Marks the set as whole.
pub async fn mark_whole(world: &impl Redis) -> Result<(), StoreError> {
    world.run("ZADD", &[IN_FLIGHT, "0", SENTINEL]).await.map(drop)
}

/// Rebuilds `in-flight` from the facts, after Redis lost it: the one place that scans, keys collected first.
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
            // Left alone: it is of another version, and not ours to end.
            Err(error) if error.is_unreadable() => continue,
            // The set would be marked as whole without it.
            Err(error) => return Err(error),
        };
        match &facts.cancel {
            _ if is_left_over(&facts, world.now()) => forget_left_over(world, &id).await?,
            // Whoever resumes removes it when it is old enough.
            Some(cancel) if facts.request.is_none() => all.extend([cancel.at.0.to_string(), id.to_string()]),
            _ => {}
        }
        // One that ended by time before it had a target may stand in no ring yet: whoever resumes puts it there.
        let left = !facts.end_is_told() || (facts.outcome.is_some() && facts.commit.is_none());
        if let Some(request) = facts.request.as_ref().filter(|_| left) {
            all.extend([request.at.0.to_string(), id.to_string()]);
        }
    }
    // In one command: Redis may forget again at any moment, and must not keep the word that the set is whole without the set.
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    world.run("ZADD", &all).await.map(drop)
}

/// Says that facts of this deployment changed, and wakes a watch. Returns how many processes heard it.
pub async fn announce(world: &impl Redis, id: &DeploymentId) -> Result<i64, StoreError> {
    world.run("SADD", &[NEWS, id.as_str()]).await?;
    wake(world).await
}

/// Says that there is a push to be told, and wakes a watch.
pub async fn announce_push(world: &impl Redis, sha: &CommitSha) -> Result<i64, StoreError> {
    world.run("SADD", &[NEWS, &format!("{PUSH}{sha}")]).await?;
    wake(world).await
}

/// Wakes a watch. Carries no work: it may be lost or arrive twice.
pub async fn wake(world: &impl Redis) -> Result<i64, StoreError> {
    match world.run("PUBLISH", &[WAKE, "wake"]).await?.first() {
        Some(Reply::Int(heard)) => Ok(*heard),
        _ => Ok(0),
    }
}

/// Takes the news: at most 1,000 at a time.
pub async fn take_news(world: &impl Redis) -> Result<Vec<Flight>, StoreError> {
    let replies = world.run("SPOP", &[NEWS, "1000"]).await?;
    Ok(replies
        .into_iter()
        .filter_map(|reply| match reply {
            Reply::Text(text) | Reply::Status(text) => Flight::parse(&text),
            _ => None,
        })
        .collect())
}

/// What came of telling a push in a channel, so that it is told there once. A hint with the life of the news: without it, it is told again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushTold {
    /// Nothing yet.
    No,
    /// So many times without an answer: each may have been a message.
    Perhaps(u8),
    /// It was told there, or it is given up.
    Yes,
    /// It cannot be told there.
    Never,
}

/// What is told of a push: its commit, where, and of which targets.
#[derive(Clone, Debug)]
pub struct Telling<'a> {
    /// Its newest commit.
    pub sha: &'a CommitSha,
    /// Where.
    pub channel: &'a SlackChannel,
    /// Their names.
    pub targets: &'a [String],
}

impl Telling<'_> {
    fn key(&self) -> String {
        format!("{PREFIX}told/{}/{}/{:x}", self.sha, self.channel, words_hash(&self.targets.join(" ")))
    }
}

/// Reads it.
pub async fn push_told(world: &impl Redis, telling: &Telling<'_>) -> Result<PushTold, StoreError> {
    Ok(match world.run("GET", &[&telling.key()]).await?.into_iter().next() {
        Some(Reply::Text(text) | Reply::Status(text)) => match (text.as_str(), text.parse()) {
            ("never", _) => PushTold::Never,
            (_, Ok(times)) => PushTold::Perhaps(times),
            _ => PushTold::Yes,
        },
        _ => PushTold::No,
    })
}

fn missing_key(sha: &CommitSha) -> String {
    format!("{PREFIX}told/{sha}/missing")
}

/// Remembers that the note of a push was deleted, because everybody is told.
pub async fn note_is_gone(world: &impl Redis, sha: &CommitSha) -> Result<(), StoreError> {
    world.run("SET", &[&missing_key(sha), "0", "PX", &millis(push::NEWS).to_string()]).await.map(drop)
}

/// For how long the note of a push in flight has been missing: it may be on its way.
pub async fn note_missing(world: &(impl Redis + Clock), sha: &CommitSha) -> Result<Duration, StoreError> {
    let (now, key) = (world.now(), missing_key(sha));
    world.run("SET", &[&key, &now.0.to_string(), "NX", "PX", &millis(push::NEWS).to_string()]).await?;
    let since = match world.run("GET", &[&key]).await?.into_iter().next() {
        Some(Reply::Text(text) | Reply::Status(text)) => text.parse().ok().map(Timestamp),
        _ => None,
    };
    Ok(since.map_or(Duration::ZERO, |since| now.since(since)))
}

/// Remembers it.
pub async fn mark_push_told(world: &impl Redis, telling: &Telling<'_>, told: PushTold) -> Result<(), StoreError> {
    let told = match told {
        PushTold::No => return world.run("DEL", &[&telling.key()]).await.map(drop),
        PushTold::Perhaps(times) => times.to_string(),
        PushTold::Yes => "yes".to_owned(),
        PushTold::Never => "never".to_owned(),
    };
    world.run("SET", &[&telling.key(), &told, "PX", &millis(push::NEWS).to_string()]).await.map(drop)
}

/// How urgent words are, when Slack does not take all at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// The last word: never dropped, but it may have to wait.
    Final,
    /// The first words, and the first after the commit.
    First,
    /// Everything in between.
    Progress,
}

/// What Slack limits, each by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech<'a> {
    /// Edits in the workspace: about 50 a minute.
    Edit,
    /// Messages in one channel: one a second.
    Post(&'a SlackChannel),
}

impl Speech<'_> {
    fn key(self, what: &str) -> String {
        match self {
            Self::Edit => format!("{PREFIX}edits/{what}"),
            Self::Post(channel) => format!("{PREFIX}posts/{channel}/{what}"),
        }
    }

    /// How many a minute, evenly, and how many of them at once. What is not urgent leaves room for what is.
    const fn pace(self, urgency: Urgency) -> (u64, u64) {
        match (self, urgency) {
            (Self::Edit, Urgency::Final) => (50, 9),
            (Self::Edit, Urgency::First) => (50, 6),
            (Self::Edit, Urgency::Progress) => (50, 4),
            (Self::Post(_), Urgency::Final) => (60, 3),
            (Self::Post(_), Urgency::First | Urgency::Progress) => (60, 2),
        }
    }
}

/// Each that is let through moves the moment at which the pace is kept again; who comes too early for that is told for how many
/// milliseconds it is not let through.
const PACE: &str = "local quiet = redis.call('PTTL', KEYS[2]) if quiet > 0 then return quiet end \
    local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000) \
    local due = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now) local early = due - now - ARGV[1] * (ARGV[2] - 1) \
    if early > 0 then return early end \
    redis.call('SET', KEYS[1], string.format('%.0f', due + ARGV[1]), 'PX', 120000) return 0";

/// Takes our turn to speak, or says after which time to ask again: all of the installation share one pace, and are quiet when Slack said so.
/// `minute`: how long Slack's minute is. Redis down: it is our turn, Slack's own 429 is the limit then.
pub async fn may_speak(world: &impl Redis, minute: u64, speech: Speech<'_>, urgency: Urgency) -> Result<(), Duration> {
    let keys = [DUE, QUIET].map(|what| speech.key(what));
    match take_turn(world, minute, keys, speech.pace(urgency)).await {
        Ok(wait) if !wait.is_zero() => Err(wait),
        _ => Ok(()),
    }
}

/// How long it is not our turn; zero: it was, and is taken.
async fn take_turn(
    world: &impl Redis,
    minute: u64,
    [due, quiet]: [String; 2],
    (a_minute, at_once): (u64, u64),
) -> Result<Duration, StoreError> {
    let step = minute.checked_div(a_minute).unwrap_or_default().to_string();
    let reply = world.run("EVAL", &[PACE, "2", &due, &quiet, &step, &at_once.to_string()]).await?;
    Ok(match reply.first() {
        Some(Reply::Int(early)) => Duration::from_millis(u64::try_from(*early).unwrap_or_default()),
        _ => Duration::ZERO,
    })
}

/// Slack said 429: nobody of the installation speaks so for so long.
pub async fn quiet_slack(world: &impl Redis, speech: Speech<'_>, wait: Duration) {
    let _ = world.run("SET", &[&speech.key(QUIET), "1", "PX", &millis(wait).max(1).to_string()]).await;
}

/// Whether GitHub may be told how a deploy goes. It takes 80 things that we make a minute, and 500 an hour; our commits are among them,
/// up to one a second. So all of the installation tell it no more than twelve at once and four a minute, and nothing for a while after it
/// said that this was too much. Redis down: no, because then nobody knows.
pub async fn may_tell_github(world: &impl Redis, minute: u64, urgency: Urgency) -> bool {
    let at_once = if urgency == Urgency::Final { 12 } else { 8 };
    take_turn(world, minute, [DUE, QUIET].map(github_key), (4, at_once)).await == Ok(Duration::ZERO)
}

/// GitHub said that we make too much: for so long it is not told how deploys go, so that there is room for commits.
pub async fn quiet_github(world: &impl Redis, wait: Duration) {
    let _ = world.run("SET", &[&github_key(QUIET), "1", "PX", &millis(wait).max(1).to_string()]).await;
}

fn github_key(what: &str) -> String {
    format!("{PREFIX}github/{what}")
}

// ---- the queue at the branch ----

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

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "test code")]
mod tests;
