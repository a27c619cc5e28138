//! Leases in Redis. Work under a lease is a closure: [`Lease::hold`] waits for the name, [`Lease::try_hold`]
//! does not. Both give the name back on every path, an early `?` included.
//!
//! Easy to miss: a lease makes duplicates rare, and is never the only safety. A holder may freeze
//! inside a call for longer than the lease lives.

use crate::key::PREFIX;
use crate::seams::{Clock, Redis, StoreError};
use domain::time::millis;
use futures::future::{Either, select};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::pin::pin;
use std::time::Duration;

/// Proof, with a local deadline, that we were given a name for a while.
pub struct Lease<'w, W> {
    world: &'w W,
    /// All of them are ours, or none counts.
    keys: Vec<String>,
    token: String,
    life: Duration,
    /// On the clock that does not jump; counted from before the command was sent.
    deadline: Cell<Duration>,
    /// The lease is not given back at the end of the work.
    runs_out: Cell<bool>,
}

/// For how long a lease is taken, and how it is renewed.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Without a renewal the lease runs out after this time.
    pub life: Duration,
    /// The lease is renewed this often beside the work, and a renewal that fails ends the work at once.
    /// `None`: only [`Lease::ensure`] renews, and nothing ends the work from outside.
    pub renew: Option<Duration>,
}

/// How work under a lease ended.
#[derive(Debug)]
pub struct Held<T> {
    /// What the work returned, unless a renewal failed and ended the work.
    pub done: Result<T, LeaseLost>,
    /// The last moment at which the lease was ours for certain. `None`: the lease was ours until it was
    /// given back.
    ours_until: Option<Duration>,
}

impl<T> Held<T> {
    /// The calls that may have taken effect after we lost the lease: without an answer, or answered
    /// after `ours_until`.
    pub fn late<K: Ord + Clone>(&self, calls: &Calls<K>) -> Vec<K> {
        let Some(until) = self.ours_until else { return Vec::new() };
        let calls = calls.answered.borrow();
        let late = calls.iter().filter(|(_, answered)| answered.is_none_or(|at| at > until));
        late.map(|(about, _)| about.clone()).collect()
    }
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
    /// Does the work under the lease `name`, and gives the lease back. While another holder has the lease,
    /// `if_taken` waits and looks around between two tries; its error gives up.
    pub async fn hold<T, E: From<StoreError> + From<LeaseLost>>(
        world: &'w W,
        name: &str,
        terms: Terms,
        if_taken: impl AsyncFnMut() -> Result<(), E>,
        work: impl AsyncFnOnce(&Self) -> Result<T, E>,
    ) -> Result<T, E> {
        Self::hold_all(world, &[name.to_owned()], terms, if_taken, work).await
    }

    /// [`Lease::hold`] for several names at once. Nobody keeps one of them while waiting for another, so two that want the
    /// same names cannot block each other.
    pub async fn hold_all<T, E: From<StoreError> + From<LeaseLost>>(
        world: &'w W,
        names: &[String],
        terms: Terms,
        mut if_taken: impl AsyncFnMut() -> Result<(), E>,
        work: impl AsyncFnOnce(&Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let lease = loop {
            match Self::take(world, names, terms.life).await? {
                Some(lease) => break lease,
                None => if_taken().await?,
            }
        };
        lease.run(terms.renew, work).await.done?
    }

    /// Does the work under the lease `name` if the lease is free, and gives the lease back. `None`: another
    /// holder has the lease.
    pub async fn try_hold<T>(
        world: &'w W,
        name: &str,
        terms: Terms,
        work: impl AsyncFnOnce(&Self) -> T,
    ) -> Result<Option<Held<T>>, StoreError> {
        match Self::take(world, &[name.to_owned()], terms.life).await? {
            Some(lease) => Ok(Some(lease.run(terms.renew, work).await)),
            None => Ok(None),
        }
    }

    async fn run<T>(self, renew: Option<Duration>, work: impl AsyncFnOnce(&Self) -> T) -> Held<T> {
        let done = match renew {
            Some(period) => self.during(period, work(&self)).await,
            None => Ok(work(&self).await),
        };
        let until = self.ours_until();
        // Calls of work that was cut off may still be on their way: no other process gets the name before the
        // lease runs out.
        let runs_out = done.is_err() || self.runs_out.get();
        let ours_to_the_end = !runs_out && self.release().await;
        Held { done, ours_until: (!ours_to_the_end).then_some(until) }
    }

    /// Calls of the work may still be on their way when it ends: the lease is then not given back, but
    /// runs out.
    pub fn let_run_out(&self) {
        self.runs_out.set(true);
    }

    /// Takes the lease if all of its names are free.
    async fn take(world: &'w W, names: &[String], life: Duration) -> Result<Option<Self>, StoreError> {
        let deadline = Cell::new(world.elapsed().saturating_add(life));
        let mut lease = Self { world, keys: Vec::new(), token: token(), life, deadline, runs_out: Cell::new(false) };
        for name in names {
            let key = lease_key(name);
            match take_name(world, &key, &lease.token, life).await {
                Ok(true) => lease.keys.push(key),
                taken => {
                    lease.release().await;
                    return taken.map(|_| None);
                }
            }
        }
        Ok(Some(lease))
    }

    /// Whether the lease is ours for at least `limit` more, by our own clock.
    pub fn check(&self, limit: Duration) -> Result<(), LeaseLost> {
        if self.world.elapsed().saturating_add(limit) <= self.deadline.get() { Ok(()) } else { Err(LeaseLost) }
    }

    /// The last moment at which the lease was ours for certain, on the clock that does not jump: when the
    /// last renewal that was granted began.
    fn ours_until(&self) -> Duration {
        self.deadline.get().saturating_sub(self.life)
    }

    async fn renew(&self) -> Result<(), LeaseLost> {
        let before = self.world.elapsed();
        let life = millis(self.life).to_string();
        for key in &self.keys {
            if self.world.number("EVAL", &[RENEW, "1", key, &self.token, &life]).await != Ok(Some(1)) {
                return Err(LeaseLost);
            }
        }
        self.deadline.set(before.saturating_add(self.life));
        Ok(())
    }

    /// [`Lease::check`], after a renewal where the time left is too short.
    pub async fn ensure(&self, limit: Duration) -> Result<(), LeaseLost> {
        if self.check(limit).is_err() {
            self.renew().await?;
        }
        self.check(limit)
    }

    /// Does the work and renews the lease every `period` beside it. A failed renewal ends the work at once.
    async fn during<T>(&self, period: Duration, work: impl Future<Output = T>) -> Result<T, LeaseLost> {
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

    /// Gives the lease back; if that fails, the lease runs out by itself. Returns whether the lease was
    /// certainly ours until now.
    async fn release(self) -> bool {
        let mut ours = true;
        for key in &self.keys {
            ours &= self.world.number("EVAL", &[RELEASE, "1", key, &self.token]).await == Ok(Some(1));
        }
        ours
    }
}

/// Calls that change something elsewhere, made under a lease. Each has its subject as key, and the time of
/// its answer as value, if there was one.
pub struct Calls<K> {
    answered: RefCell<BTreeMap<K, Option<Duration>>>,
    open: RefCell<BTreeSet<K>>,
}

/// A call is under way until this is dropped, whether it was answered or cut off.
struct UnderWay<'c, K: Ord>(&'c RefCell<BTreeSet<K>>, K);

impl<K: Ord> Drop for UnderWay<'_, K> {
    fn drop(&mut self) {
        self.0.borrow_mut().remove(&self.1);
    }
}

impl<K> Default for Calls<K> {
    fn default() -> Self {
        Self { answered: RefCell::default(), open: RefCell::default() }
    }
}

impl<K: Ord + Clone> Calls<K> {
    /// Whether one of these calls is under way.
    pub fn wait(&self, of: impl Fn(&K) -> bool) -> bool {
        self.open.borrow().iter().any(of)
    }

    pub async fn make<T>(&self, clock: &impl Clock, about: K, call: impl Future<Output = T>) -> T {
        self.answered.borrow_mut().insert(about.clone(), None);
        self.open.borrow_mut().insert(about.clone());
        let under_way = UnderWay(&self.open, about.clone());
        let answer = call.await;
        drop(under_way);
        self.answered.borrow_mut().insert(about, Some(clock.elapsed()));
        answer
    }
}

/// Whether somebody holds the lease.
pub async fn is_held(world: &impl Redis, name: &str) -> Result<bool, StoreError> {
    Ok(world.number("EXISTS", &[&lease_key(name)]).await? == Some(1))
}

/// Takes a name without ever giving it back: "at most once per `life`".
pub async fn once_per(world: &impl Redis, name: &str, life: Duration) -> Result<bool, StoreError> {
    take_name(world, &lease_key(name), "1", life).await
}

async fn take_name(world: &impl Redis, key: &str, token: &str, life: Duration) -> Result<bool, StoreError> {
    let reply = world.text("SET", &[key, token, "NX", "PX", &millis(life).to_string()]).await?;
    Ok(reply.as_deref() == Some("OK"))
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "test code")]
mod tests;
