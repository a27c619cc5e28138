//! `lock` and `unlock`: of one target, or of everything.

use super::{Asking, Response};
use crate::context::Stop;
use crate::deploy::{catalog, gates};
use crate::request::Asker;
use crate::world::{Line, World, under_lease};
use domain::catalog::{Environment, People};
use domain::command::Scope;
use domain::lock::{self, LockChange, TargetLock};
use domain::message;
use domain::names::{SlackChannel, SlackUser, Target};
use domain::refusal::Refusal;
use domain::time::Timestamp;
use std::time::Duration;
use store::{Current, Lease, Live, Lock, LockOfAll, StoreError};

/// What can be locked.
struct Lockable {
    name: String,
    /// `None`: everything.
    target: Option<(Target, Environment)>,
    owners: People,
}

impl Lockable {
    fn target(&self) -> Option<&Target> {
        self.target.as_ref().map(|(target, _)| target)
    }

    async fn lock(&self, world: &impl World) -> Result<Option<TargetLock>, StoreError> {
        let Some(target) = self.target() else { return store::load_key(world, LockOfAll).await };
        let lock = store::load_key(world, Lock(target)).await?;
        Ok(lock.map(|lock| lock.ending(!self.owners.is_empty())))
    }
}

async fn find<W: World>(ask: &Asking<'_, W>, scope: &Scope) -> Result<Lockable, Stop> {
    match scope {
        Scope::Everything => {
            let owners = catalog::read_catalog(&ask.cx).await?.1.owners;
            Ok(Lockable { name: "everything".to_owned(), target: None, owners })
        }
        Scope::Target(words) => {
            let (target, environment) = catalog::find_target(&ask.cx, words, ask.asker.place()).await?;
            let (name, owners) = (target.to_string(), environment.owners.clone());
            Ok(Lockable { name, target: Some((target, environment)), owners })
        }
    }
}

pub(super) async fn lock<W: World>(
    ask: &Asking<'_, W>,
    scope: &Scope,
    reason: String,
    period: Option<Duration>,
) -> Result<Response, Stop> {
    let (world, user) = (ask.cx.world, &ask.asker.user);
    let lockable = find(ask, scope).await?;
    may_lock(ask, &lockable).await?;
    let set = async |lease: &Lease<'_, W>| {
        let now = world.now();
        if let Some(other) = lock_of_another(lockable.lock(world).await?, user, now) {
            return Ok(Response::words(&message::locked_already(&lockable.name, &other)));
        }
        let until = period.map(|period| now.after(period));
        let lock = TargetLock { by: user.clone(), reason, at: now, until, rollback: false, itself: false };
        let lock = lock.ending(!lockable.owners.is_empty());
        store::change_lock(world, lease, lockable.target(), lock.change(), Some(&lock)).await?;
        let line = Line::new("locked").of(ask.cx.id).with("user", user.as_str());
        world.log(line.with("target", lockable.name.as_str()).with("reason", lock.reason.as_str()));
        Ok(Response::Channel(message::locked(scope, &lockable.name, &lock, lock.until != until), None))
    };
    under_lease(world, &store::lock_lease(lockable.target()), set).await
}

/// The lock that prevents a new one. A person's own lock is replaced.
fn lock_of_another(held: Option<TargetLock>, user: &SlackUser, now: Timestamp) -> Option<TargetLock> {
    held.filter(|lock| lock.holds(now) && (lock.by != *user || lock.itself))
}

/// An owner may lock; a person who may deploy to a target may also lock that target.
async fn may_lock<W: World>(ask: &Asking<'_, W>, lockable: &Lockable) -> Result<(), Stop> {
    let Asker { user, channel, .. } = ask.asker;
    match &lockable.target {
        None => must_own(ask, &lockable.owners, "lock everything".to_owned()).await,
        Some(_) if gates::is_among(&ask.cx, user, &lockable.owners).await? => Ok(()),
        Some((target, environment)) => gates::may_deploy(&ask.cx, user, channel, target, environment).await,
    }
}

async fn must_own<W: World>(ask: &Asking<'_, W>, owners: &People, doing: String) -> Result<(), Stop> {
    if gates::is_among(&ask.cx, &ask.asker.user, owners).await? {
        return Ok(());
    }
    Err(Refusal::NotOwner { doing, owned: !owners.is_empty(), pass: People::default() }.into())
}

/// Which lock a person wants to take away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meant {
    /// The command was typed.
    Any,
    /// The lock that the message showed, by when it was set.
    SetAt(Timestamp),
    /// The lock that the rollback above the button set.
    OfRollback,
}

pub(super) async fn unlock<W: World>(ask: &Asking<'_, W>, scope: &Scope, meant: Meant) -> Result<Response, Stop> {
    let (world, user) = (ask.cx.world, &ask.asker.user);
    let lockable = find(ask, scope).await?;
    let seen = match unlocking(lockable.lock(world).await?, meant, user, world.now()) {
        Unlocking::NotLocked => return Ok(Response::words(&message::not_locked(&lockable.name))),
        Unlocking::NotMeant(newer) => return Ok(Response::words(&message::locked_already(&lockable.name, &newer))),
        Unlocking::Own(lock) => lock,
        Unlocking::OfTheBot(lock) => {
            may_lock(ask, &lockable).await?;
            lock
        }
        Unlocking::OfAnother(lock) => {
            must_own(ask, &lockable.owners, format!("take away the lock of <@{}>", lock.by)).await?;
            lock
        }
    };
    let remove = async |lease: &Lease<'_, W>| -> Result<bool, Stop> {
        // A newer lock stays: nobody has looked at it, and its owner meant it to stay.
        if lockable.lock(world).await?.as_ref() != Some(&seen) {
            return Ok(false);
        }
        let what = lock::LockAction::TakenAway { of: seen.by.clone() };
        let change = LockChange { at: world.now(), by: user.clone(), reason: seen.reason.clone(), what, itself: false };
        store::change_lock(world, lease, lockable.target(), change, None).await?;
        Ok(true)
    };
    if !under_lease(world, &store::lock_lease(lockable.target()), remove).await? {
        return Ok(Response::words(&message::not_locked(&lockable.name)));
    }
    let line = Line::new("unlocked").of(ask.cx.id).with("user", user.as_str());
    world.log(line.with("target", lockable.name.as_str()).with("lock_by", seen.by.as_str()));
    let elsewhere = channel_of(ask, lockable.target.as_ref()).await.filter(|channel| *channel != ask.asker.channel);
    Ok(Response::Channel(message::unlocked(&lockable.name, user, &seen), elsewhere))
}

/// Whether a lock can be taken away.
#[derive(Debug, PartialEq, Eq)]
enum Unlocking {
    NotLocked,
    /// The lock is not the one that the person saw.
    NotMeant(TargetLock),
    Own(TargetLock),
    /// Whoever may deploy there may.
    OfTheBot(TargetLock),
    /// Only an owner may.
    OfAnother(TargetLock),
}

fn unlocking(held: Option<TargetLock>, meant: Meant, user: &SlackUser, now: Timestamp) -> Unlocking {
    let Some(lock) = held.filter(|lock| lock.holds(now)) else { return Unlocking::NotLocked };
    let is_meant = match meant {
        Meant::Any => true,
        Meant::SetAt(at) => lock.at == at,
        Meant::OfRollback => lock.rollback,
    };
    match lock.by == *user {
        _ if !is_meant => Unlocking::NotMeant(lock),
        _ if lock.itself => Unlocking::OfTheBot(lock),
        true => Unlocking::Own(lock),
        false => Unlocking::OfAnother(lock),
    }
}

/// The channel of a target: where the live version was deployed from, or else the last try.
async fn channel_of<W: World>(ask: &Asking<'_, W>, of: Option<&(Target, Environment)>) -> Option<SlackChannel> {
    let (world, (target, environment)) = (ask.cx.world, of?);
    let id = match store::load_key(world, Live(target)).await.ok()? {
        Some(live) => live.id,
        None => {
            let applications = catalog::known_applications(&ask.cx, environment).await.ok()?;
            let current = store::load_key(world, Current(applications.first()?)).await.ok()??;
            Some(current.id).filter(|_| current.target == *target)?
        }
    };
    let facts = store::load(world, &id).await.ok()?;
    facts.place().map(|place| place.channel.clone()).or(facts.request.map(|request| request.channel))
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::deployment::samples::{at, user};

    /// Set by `U1` ten seconds after the start.
    fn held(until: Option<Timestamp>) -> TargetLock {
        TargetLock { by: user("U1"), reason: "load test".to_owned(), at: at(10), until, rollback: false, itself: false }
    }

    #[test]
    fn only_a_lock_in_force_of_somebody_else_stands_in_the_way() {
        let check = |lock: Option<TargetLock>, by: &str, is_in_the_way: bool| {
            let expected = lock.clone().filter(|_| is_in_the_way);
            assert_eq!(lock_of_another(lock, &user(by), at(20)), expected, "{by}");
        };
        check(None, "U2", false);
        check(Some(held(None)), "U2", true);
        check(Some(held(None)), "U1", false);
        check(Some(held(Some(at(21)))), "U2", true);
        check(Some(held(Some(at(20)))), "U2", false);
    }

    #[test]
    fn a_lock_is_taken_away_if_it_is_the_one_that_was_seen() {
        let check = |lock: TargetLock, meant: Meant, by: &str, expected: fn(TargetLock) -> Unlocking| {
            let expected = expected(lock.clone());
            assert_eq!(unlocking(Some(lock), meant, &user(by), at(20)), expected, "{meant:?} by {by}");
        };
        let of_rollback = || TargetLock { rollback: true, ..held(None) };
        let not_locked = |_| Unlocking::NotLocked;
        assert_eq!(unlocking(None, Meant::Any, &user("U1"), at(20)), Unlocking::NotLocked);
        check(held(Some(at(20))), Meant::Any, "U1", not_locked);
        check(held(Some(at(20))), Meant::SetAt(at(10)), "U2", not_locked);
        check(held(None), Meant::Any, "U1", Unlocking::Own);
        check(held(None), Meant::Any, "U2", Unlocking::OfAnother);
        check(held(None), Meant::SetAt(at(10)), "U2", Unlocking::OfAnother);
        check(held(None), Meant::SetAt(at(9)), "U1", Unlocking::NotMeant);
        check(held(None), Meant::OfRollback, "U1", Unlocking::NotMeant);
        check(of_rollback(), Meant::OfRollback, "U1", Unlocking::Own);
        check(of_rollback(), Meant::OfRollback, "U2", Unlocking::OfAnother);
        let itself = || TargetLock { rollback: true, itself: true, ..held(None) };
        check(itself(), Meant::OfRollback, "U1", Unlocking::OfTheBot);
        check(itself(), Meant::Any, "U2", Unlocking::OfTheBot);
    }
}
