//! The world of the tests: a store and a Redis in memory, and a clock whose hands the test moves.
#![expect(clippy::arithmetic_side_effects, reason = "test code")]

use crate::flight::WAKE;
use crate::lease::{RELEASE, RENEW};
use crate::pace::PACE;
use crate::seal::Seals;
use crate::seams::{Clock, KeyValue, Redis, Reply, StoreError};
use domain::deployment::samples::T0;
use domain::names::{DeploymentId, Secret};
use domain::time::{Timestamp, millis};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Spin's store, as much of Redis as we use, and a clock. It keeps the semantics of Redis that leases rely
/// on: `NX`, a life in milliseconds, and a script that does all of its work at one moment.
pub(crate) struct Memory {
    pub(crate) store: RefCell<BTreeMap<String, Vec<u8>>>,
    pub(crate) scans: Cell<u32>,
    pub(crate) gets: Cell<u32>,
    pub(crate) redis: RefCell<BTreeMap<String, Entry>>,
    pub(crate) redis_is_down: Cell<bool>,
    pub(crate) published: Cell<i64>,
    pub(crate) time: Cell<Duration>,
    pub(crate) timers: RefCell<BTreeSet<Duration>>,
    /// Those of slack-command, unless a test sets others.
    pub(crate) seals: RefCell<Rc<Seals>>,
    /// The keys whose values were not ours.
    pub(crate) forged: RefCell<Vec<String>>,
}

pub(crate) fn seals(shared: &str, own: &str) -> Seals {
    Seals::shared(&Secret::new(shared), None).with_own(&Secret::new(own), None)
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            store: RefCell::default(),
            scans: Cell::default(),
            gets: Cell::default(),
            redis: RefCell::default(),
            redis_is_down: Cell::default(),
            published: Cell::default(),
            time: Cell::default(),
            timers: RefCell::default(),
            seals: RefCell::new(Rc::new(seals("shared", "own"))),
            forged: RefCell::default(),
        }
    }
}

pub(crate) struct Entry {
    value: Stored,
    dies: Option<Duration>,
}

pub(crate) enum Stored {
    Text(String),
    Sorted(BTreeSet<(u64, String)>),
    Set(BTreeSet<String>),
}

impl KeyValue for Memory {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.gets.set(self.gets.get() + 1);
        Ok(self.store.borrow().get(key).cloned())
    }

    async fn set(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        self.store.borrow_mut().insert(key.to_owned(), value.to_vec());
        Ok(())
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.store.borrow_mut().remove(key);
        Ok(())
    }

    async fn keys(&self) -> Result<Vec<String>, StoreError> {
        self.scans.set(self.scans.get() + 1);
        Ok(self.store.borrow().keys().cloned().collect())
    }

    fn seals(&self) -> Rc<Seals> {
        self.seals.borrow().clone()
    }

    fn forged(&self, key: &str) {
        self.forged.borrow_mut().push(key.to_owned());
    }
}

impl Clock for Memory {
    fn now(&self) -> Timestamp {
        T0.after(self.time.get())
    }

    fn elapsed(&self) -> Duration {
        self.time.get()
    }

    async fn sleep(&self, duration: Duration) {
        let until = self.time.get() + duration;
        self.timers.borrow_mut().insert(until);
        std::future::poll_fn(|_| if self.time.get() >= until { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}

impl Redis for Memory {
    #[expect(clippy::too_many_lines, reason = "a table")]
    async fn run(&self, command: &str, arguments: &[&str]) -> Result<Vec<Reply>, StoreError> {
        if self.redis_is_down.get() {
            return Err(StoreError::Failed("Redis did not answer in time"));
        }
        let now = self.time.get();
        let mut redis = self.redis.borrow_mut();
        redis.retain(|_, entry| entry.dies.is_none_or(|dies| now < dies));
        let text = |redis: &BTreeMap<String, Entry>, key: &str| match redis.get(key) {
            Some(Entry { value: Stored::Text(text), .. }) => Some(text.clone()),
            _ => None,
        };
        let life = |text: &str| Some(now + Duration::from_millis(text.parse().unwrap()));
        let number = |number: usize| Reply::Int(i64::try_from(number).unwrap());
        Ok(vec![match (command, arguments) {
            ("SET", [key, value, "NX", "PX", ms]) => {
                if redis.contains_key(*key) {
                    return Ok(vec![Reply::Nil]);
                }
                let value = Stored::Text((*value).to_owned());
                redis.insert((*key).to_owned(), Entry { value, dies: life(ms) });
                Reply::Status("OK".to_owned())
            }
            ("SET", [key, value, "PX", ms]) => {
                let value = Stored::Text((*value).to_owned());
                redis.insert((*key).to_owned(), Entry { value, dies: life(ms) });
                Reply::Status("OK".to_owned())
            }
            ("GET", [key]) => text(&redis, key).map_or(Reply::Nil, Reply::Text),
            ("EVAL", [RENEW, "1", key, token, ms]) => {
                let ours = text(&redis, key).as_deref() == Some(token);
                if ours {
                    redis.get_mut(*key).unwrap().dies = life(ms);
                }
                number(usize::from(ours))
            }
            ("EVAL", [RELEASE, "1", key, token]) => {
                let ours = text(&redis, key).as_deref() == Some(token);
                if ours {
                    redis.remove(*key);
                }
                number(usize::from(ours))
            }
            ("EVAL", [PACE, "2", key, quiet, step, at_once]) => {
                let (step, at_once): (u64, u64) = (step.parse().unwrap(), at_once.parse().unwrap());
                let now = millis(now);
                let due = text(&redis, key).map_or(0, |due| due.parse().unwrap()).max(now);
                let quiet = redis.get(*quiet).and_then(|entry| entry.dies).map_or(0, millis).saturating_sub(now);
                let early = (due - now).saturating_sub(step * (at_once - 1));
                let wait = if quiet > 0 { quiet } else { early };
                if wait == 0 {
                    let value = Stored::Text((due + step).to_string());
                    redis.insert((*key).to_owned(), Entry { value, dies: life("120000") });
                }
                Reply::Int(i64::try_from(wait).unwrap())
            }
            ("EXISTS", [key]) => number(usize::from(redis.contains_key(*key))),
            ("PEXPIRE", [key, ms]) => match redis.get_mut(*key) {
                Some(entry) => {
                    entry.dies = life(ms);
                    Reply::Int(1)
                }
                None => Reply::Int(0),
            },
            ("PUBLISH", [WAKE, _]) => {
                self.published.set(self.published.get() + 1);
                Reply::Int(2)
            }
            ("SADD", [key, member]) => {
                let empty = || Entry { value: Stored::Set(BTreeSet::new()), dies: None };
                let Stored::Set(set) = &mut redis.entry((*key).to_owned()).or_insert_with(empty).value else {
                    panic!()
                };
                number(usize::from(set.insert((*member).to_owned())))
            }
            ("DEL", [key]) => number(usize::from(redis.remove(*key).is_some())),
            ("SPOP", [key, count]) => {
                let Some(Entry { value: Stored::Set(set), .. }) = redis.get_mut(*key) else { return Ok(Vec::new()) };
                let popped: Vec<String> = set.iter().take(count.parse().unwrap()).cloned().collect();
                set.retain(|member| !popped.contains(member));
                return Ok(popped.into_iter().map(Reply::Text).collect());
            }
            ("ZADD", [key, pairs @ ..]) => {
                let empty = || Entry { value: Stored::Sorted(BTreeSet::new()), dies: None };
                let Stored::Sorted(set) = &mut redis.entry((*key).to_owned()).or_insert_with(empty).value else {
                    panic!()
                };
                let before = set.len();
                for pair in pairs.chunks(2) {
                    let [score, member] = pair else { panic!("{pair:?}") };
                    set.retain(|(_, old)| old != member);
                    set.insert((score.parse().unwrap(), (*member).to_owned()));
                }
                number(set.len() - before)
            }
            ("ZREM" | "ZRANGE" | "ZRANK", [key, rest @ ..]) => {
                let Some(Entry { value: Stored::Sorted(set), .. }) = redis.get_mut(*key) else {
                    return Ok(if command == "ZREM" { vec![Reply::Int(0)] } else { Vec::new() });
                };
                match (command, rest) {
                    ("ZRANGE", ["0", "-1"]) => {
                        return Ok(set.iter().map(|(_, member)| Reply::Text(member.clone())).collect());
                    }
                    ("ZRANK", [member]) => set.iter().position(|(_, other)| other == member).map_or(Reply::Nil, number),
                    ("ZREM", [member]) => {
                        let before = set.len();
                        set.retain(|(_, other)| other != member);
                        number(before - set.len())
                    }
                    other => panic!("{other:?}"),
                }
            }
            other => panic!("{other:?}"),
        }])
    }
}

impl Memory {
    /// Runs work to its end. When nothing can go on, the clock jumps to the next moment that somebody
    /// sleeps for.
    pub(crate) fn run<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            if let Poll::Ready(done) = work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return done;
            }
            let now = self.time.get();
            let next = self.timers.borrow().iter().copied().find(|timer| *timer > now);
            self.time.set(next.expect("the work waits for nothing"));
        }
    }

    /// Time goes by.
    pub(crate) fn pass(&self, seconds: u64) {
        self.time.set(self.time.get() + secs(seconds));
    }

    /// Redis restarts without its data.
    pub(crate) fn forget(&self) {
        self.redis.borrow_mut().clear();
    }

    pub(crate) fn put(&self, key: &str, text: &str) {
        self.store.borrow_mut().insert(key.to_owned(), text.as_bytes().to_vec());
    }

    pub(crate) fn text(&self, key: &str) -> String {
        String::from_utf8(self.store.borrow()[key].clone()).unwrap()
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.store.borrow().contains_key(key)
    }
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn numbered(number: usize) -> DeploymentId {
    DeploymentId::parse(&format!("{number:032x}")).unwrap()
}
