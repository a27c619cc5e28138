//! Leases in Redis.

use crate::clock::Clock;
use crate::key::PREFIX;
use crate::kv::StoreError;
use crate::redis::{Redis, Reply};
use domain::time::millis;
use futures::future::{Either, select};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::pin::pin;
use std::time::Duration;

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

impl From<LeaseLost> for StoreError {
    fn from(_: LeaseLost) -> Self {
        Self::LeaseLost
    }
}

/// Renews if the token is still ours.
pub(crate) const RENEW: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) else return 0 end";
/// Releases if the token is still ours.
pub(crate) const RELEASE: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) else return 0 end";

fn lease_key(name: &str) -> String {
    format!("{PREFIX}lease/{name}")
}

/// A token that nobody else has: 128 bits from the seeds of the standard library's hasher, which are random.
pub(crate) fn token() -> String {
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

/// Calls under a lease that change something elsewhere, each by what it is about; when it was answered, if it was.
pub struct Calls<K>(RefCell<BTreeMap<K, Option<Duration>>>);

impl<K> Default for Calls<K> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<K: Ord + Clone> Calls<K> {
    /// Makes one.
    pub async fn make<T>(&self, clock: &impl Clock, about: K, call: impl Future<Output = T>) -> T {
        self.0.borrow_mut().insert(about.clone(), None);
        let answer = call.await;
        self.0.borrow_mut().insert(about, Some(clock.elapsed()));
        answer
    }

    /// Those that may have taken effect when the lease was not ours any more: still on their way, or not answered before its last renewal.
    pub fn late<W: Redis + Clock>(&self, lease: &Lease<'_, W>) -> Vec<K> {
        let calls = self.0.borrow();
        let late = calls.iter().filter(|(_, answered)| answered.is_none_or(|at| !lease.was_held_at(at)));
        late.map(|(about, _)| about.clone()).collect()
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
