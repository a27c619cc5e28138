//! What is remembered, on a store and a Redis in memory, with a clock whose hands the test moves.

use super::*;
use crate::facts::FACTS;
use crate::lease::{RELEASE, RENEW, token};
use crate::pace::PACE;
use domain::deployment::DeploymentState;
use domain::deployment::samples::{
    T0, application, at, blob, cancelled, commit, commit_to, committed, id, live, place, push, relayed, request, sha,
    target_plan, user,
};
use domain::deployment::{
    Approval, ApprovalsFact, Attempt, CancelFact, Change, ChangesFact, CommitFact, CommittedFact, End, EndFact,
    Failure, GitHubFact, LastWord, MessageFact, OutcomeFact, Progress, PushFact, RequestFact, Rider, Riders, Voice,
    Waiting, WatchFact,
};
use domain::deployment::{Fact, Facts, Granted, TargetPlan};
use domain::fault::{Cause, Changed, Fault, System};
use domain::image::Tag;
use domain::lock::{LockChange, Locked, TargetLock};
use domain::names::KubeName;
use domain::names::{ArgoApplication, DeploymentId, SlackChannel};
use domain::nonempty::NonEmpty;
use domain::push;
use domain::time::{Timestamp, millis};
use std::cell::Cell;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

// ---- The world in memory ----

/// Spin's store, as much of Redis as we use, and a clock. It keeps the semantics of Redis that leases stand on: `NX`, a life in
/// milliseconds, and a script that does all of its work at one moment.
#[derive(Default)]
struct Memory {
    store: RefCell<BTreeMap<String, Vec<u8>>>,
    scans: Cell<u32>,
    redis: RefCell<BTreeMap<String, Entry>>,
    redis_is_down: Cell<bool>,
    published: Cell<i64>,
    time: Cell<Duration>,
    timers: RefCell<BTreeSet<Duration>>,
}

struct Entry {
    value: Stored,
    dies: Option<Duration>,
}

enum Stored {
    Text(String),
    Sorted(BTreeSet<(u64, String)>),
    Set(BTreeSet<String>),
}

impl KeyValue for Memory {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
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
    /// Runs work to its end. When nothing can go on, the clock jumps to the next moment that somebody sleeps for.
    fn run<T>(&self, work: impl Future<Output = T>) -> T {
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
    fn pass(&self, seconds: u64) {
        self.time.set(self.time.get() + secs(seconds));
    }

    /// Redis restarts without its data.
    fn forget(&self) {
        self.redis.borrow_mut().clear();
    }

    fn put(&self, key: &str, text: &str) {
        self.store.borrow_mut().insert(key.to_owned(), text.as_bytes().to_vec());
    }

    fn text(&self, key: &str) -> String {
        String::from_utf8(self.store.borrow()[key].clone()).unwrap()
    }

    fn has(&self, key: &str) -> bool {
        self.store.borrow().contains_key(key)
    }
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn numbered(number: usize) -> DeploymentId {
    DeploymentId::parse(&format!("{number:032x}")).unwrap()
}

// ---- Values ----

const CANCEL: &str = "deploy-bot/deployment/11111111111111111111111111111111/cancel";

fn cancel() -> CancelFact {
    CancelFact { by: Some(user("U1")), at: at(1) }
}

#[test]
fn a_value_has_the_version_of_this_build_and_may_have_fields_of_a_later_one() {
    let memory = Memory::default();
    memory.run(save_fact(&memory, &id('1'), &cancel())).unwrap();
    insta::assert_snapshot!(memory.text(CANCEL), @r#"{"at":1787301764000,"by":"U1","version":1}"#);
    memory.put(CANCEL, &memory.text(CANCEL).replacen('{', r#"{"moon": {"phase": 3}, "#, 1));
    assert_eq!(memory.run(load_fact(&memory, &id('1'))), Ok(Some(cancel())));
}

#[test]
fn a_value_that_this_build_does_not_know_is_an_error_and_left_alone() {
    let good = |memory: &Memory| {
        memory.run(save_fact(memory, &id('1'), &cancel())).unwrap();
        memory.text(CANCEL)
    };
    type Spoil = fn(&str) -> String;
    let spoil: [(&str, Spoil); 6] = [
        ("a later version", |good| good.replace(r#""version":1"#, r#""version":2"#)),
        ("no version", |good| good.replace(r#","version":1"#, "")),
        ("a version of another kind", |good| good.replace(r#""version":1"#, r#""version":"1""#)),
        ("a field is missing", |good| good.replace(r#""at":1787301764000,"#, "")),
        ("a name that is none", |good| good.replace("U1", "<!channel>")),
        ("not JSON", |good| good.replace('{', "")),
    ];
    let errors = spoil.map(|(why, spoil)| {
        let memory = Memory::default();
        let bad = spoil(&good(&memory));
        memory.put(CANCEL, &bad);
        let error = memory.run(load_fact::<CancelFact>(&memory, &id('1'))).unwrap_err();
        // All facts together are not half read either.
        assert_eq!(memory.run(load(&memory, &id('1'))), Err(error.clone()), "{why}");
        assert_eq!(memory.text(CANCEL), bad, "{why}");
        format!("{why}: {error}")
    });
    insta::assert_snapshot!(errors.join("\n"), @"
    a later version: a stored value has a version that this build does not know
    no version: a stored value has a version that this build does not know
    a version of another kind: a stored value has a version that this build does not know
    a field is missing: a stored value does not have the fields of its version
    a name that is none: a stored value does not have the fields of its version
    not JSON: a stored value is not JSON
    ");
}

/// Saves and loads again.
fn same<F: Fact + PartialEq + Debug>(fact: &F) {
    let memory = Memory::default();
    memory.run(save_fact(&memory, &id('1'), fact)).unwrap();
    let key = format!("deploy-bot/deployment/{}/{}", id('1'), F::NAME);
    assert!(FACTS.contains(&F::NAME), "it would never be deleted");
    assert!(memory.text(&key).contains(r#""version":1"#));
    assert_eq!(memory.run(load_fact::<F>(&memory, &id('1'))).unwrap().as_ref(), Some(fact), "{}", memory.text(&key));
    assert_eq!(memory.run(load_fact::<F>(&memory, &id('2'))).unwrap(), None);
}

fn approval() -> Approval {
    Approval { user: user("U7"), at: at(4) }
}

fn changes() -> ChangesFact {
    ChangesFact {
        since: "main-1234567".to_owned(),
        ahead: 2,
        behind: 1,
        commits: vec![Change {
            sha: sha('a'),
            headline: "Tune".to_owned(),
            login: Some(domain::names::GitHubLogin::parse("eve").unwrap()),
        }],
        url: Some("https://github.com/acme/checkout/compare/1234567...aaaaaaa".to_owned()),
    }
}

#[test]
fn every_fact_is_read_as_it_was_written() {
    same(&request());
    let mut words = request();
    words.words.environment = Some("production".to_owned());
    words.words.what = domain::command::What::Branch(target_plan().source.branch);
    same(&words);
    let rider = Rider { sha: sha('e'), who: "eve".to_owned(), headline: "Tune".to_owned() };
    let namespace = Some(KubeName::parse("teams").unwrap());
    let attempts = vec![
        commit().attempts[0].clone(),
        Attempt {
            base: sha('e'),
            at: at(9),
            files: BTreeMap::from([(domain::deployment::samples::path("checkout/values.yaml"), blob('e'))]),
            unchanged: false,
        },
    ];
    same(&commit());
    same(&commit_to(TargetPlan { riders: Riders::FirstDeploy, ..target_plan() }));
    let plan = TargetPlan {
        riders: Riders::Since { commits: vec![rider], more: true },
        digest: Some(domain::image::Digest::parse(&format!("sha256:{}", "a".repeat(64))).unwrap()),
        applications: NonEmpty::one(ArgoApplication { namespace, ..application() }),
        deadline: Duration::from_millis(1500),
        ..target_plan()
    };
    let granted = Granted { approved_by: vec![user("U7")], overridden: Some("on fire".to_owned()) };
    same(&CommitFact { attempts, granted, ..commit_to(plan) });
    same(&committed());
    same(&CancelFact { by: Some(user("U1")), at: at(1) });
    same(&CancelFact { by: None, at: at(1) });
    same(&push());
    for refusal in domain::refusal::samples::every_refusal() {
        let stored = EndFact { at: at(5), end: End::Refused { refusal: (&refusal).into() } };
        same(&stored);
        let End::Refused { refusal: stored } = stored.end else { panic!() };
        assert_eq!(stored.read(), Some(refusal));
    }
    same(&ApprovalsFact::default());
    same(&ApprovalsFact { given: vec![approval(), approval()], rejected: Some(approval()) });
    same(&changes());
    same(&GitHubFact::default());
    same(&GitHubFact { asked: true, id: Some(u64::MAX), told: Some(DeploymentState::InProgress), failed: 1 });
    same(&cancelled());
    same(&EndFact { at: at(5), end: End::Cancelled { by: None } });
    let text = || "words".to_owned();
    for cause in [
        Cause::Denied,
        Cause::Status { status: 502 },
        Cause::Forbidden { said: text() },
        Cause::RateLimited { seconds: None },
        Cause::Nonsense { part: text() },
        Cause::Said { said: text() },
        Cause::Setting { variable: text() },
    ] {
        let fault = Fault::new(System::GitHub, "read", cause).changed(Changed::Unknown);
        same(&EndFact { at: at(5), end: End::Failed { fault } });
    }
    let voice = Voice {
        speaking: Some(at(1)),
        place: Some(place("1503435956.000247")),
        lost: Some("channel_not_found".to_owned()),
        told: Some(u64::MAX),
        told_end: true,
        called: true,
        replaced: true,
        unsure_posts: 2,
        unsure_edit: Some(at(2)),
        response_url_uses: 5,
    };
    same(&MessageFact::default());
    same(&MessageFact(voice.clone()));
    same(&WatchFact::default());
    let fault = Fault::new(System::ArgoCd, "read", Cause::Unauthorized).changed(Changed::Yes);
    let failures = [
        Failure::Sync { message: text(), resources: vec![text()] },
        Failure::Degraded { message: text(), resources: Vec::new() },
        Failure::OtherImage { wanted: text(), runs: vec![text()] },
        Failure::NoRight { said: text() },
        Failure::NoApplication,
        Failure::Deleting,
        Failure::NoSource,
        Failure::Refused { said: text() },
        Failure::BranchRewritten,
        Failure::NothingDone,
        Failure::Fault { fault: fault.clone() },
    ];
    let words = failures.map(|failure| LastWord::Failed { failure }).into_iter().chain([
        live(),
        LastWord::Superseded { by_deployment: Some(id('2')), by_person: Some(text()) },
        LastWord::TimedOut { waiting: Some(Waiting::SyncWindow), health: Some(text()) },
        LastWord::TimedOut { waiting: Some(Waiting::OtherOperation { by: None }), health: None },
        LastWord::Unknown,
    ]);
    for word in words {
        same(&WatchFact {
            asked: Some(at(5)),
            last_before: Some(at(1)),
            taken: true,
            waiting: Some(Waiting::ArgoCd { fault: fault.clone() }),
            progress: Some(Progress {
                synced: true,
                health: text(),
                message: text(),
                resources: Some((1, 2)),
                retry: 1,
            }),
            degraded_before: true,
            degraded_since: Some(at(6)),
            degraded_seen: 2,
            ended_seen: Some(at(6)),
            refreshed: Some(at(7)),
            automated: true,
            voice: voice.clone(),
        });
        same(&OutcomeFact { at: at(8), word });
    }
}

#[test]
fn all_facts_are_loaded_together_and_each_by_its_own_name() {
    let memory = Memory::default();
    let all = Facts {
        end: Some(cancelled()),
        message: Some(MessageFact::default()),
        cancel: Some(CancelFact { by: None, at: at(1) }),
        watch: Some(WatchFact::default()),
        outcome: Some(OutcomeFact { at: at(8), word: live() }),
        approvals: Some(ApprovalsFact::default()),
        changes: Some(changes()),
        ..relayed()
    };
    memory.run(async {
        let id = id('1');
        save_fact::<RequestFact>(&memory, &id, all.request.as_ref().unwrap()).await.unwrap();
        save_fact::<CommitFact>(&memory, &id, all.commit.as_ref().unwrap()).await.unwrap();
        save_fact::<CommittedFact>(&memory, &id, all.committed.as_ref().unwrap()).await.unwrap();
        save_fact::<EndFact>(&memory, &id, all.end.as_ref().unwrap()).await.unwrap();
        save_fact::<MessageFact>(&memory, &id, all.message.as_ref().unwrap()).await.unwrap();
        save_fact::<CancelFact>(&memory, &id, all.cancel.as_ref().unwrap()).await.unwrap();
        save_fact::<PushFact>(&memory, &id, all.push.as_ref().unwrap()).await.unwrap();
        save_fact::<WatchFact>(&memory, &id, all.watch.as_ref().unwrap()).await.unwrap();
        save_fact::<OutcomeFact>(&memory, &id, all.outcome.as_ref().unwrap()).await.unwrap();
        save_fact::<ApprovalsFact>(&memory, &id, all.approvals.as_ref().unwrap()).await.unwrap();
        save_fact::<ChangesFact>(&memory, &id, all.changes.as_ref().unwrap()).await.unwrap();
        save_fact(&memory, &id, &GitHubFact::default()).await.unwrap();
    });
    assert_eq!(memory.store.borrow().len(), FACTS.len());
    assert_eq!(memory.run(load(&memory, &id('1'))), Ok(all));
    assert_eq!(memory.run(load(&memory, &id('2'))), Ok(Facts::default()));
}

#[test]
fn after_the_commit_a_late_write_of_what_is_committed_changes_nothing() {
    let memory = Memory::default();
    let older = TargetPlan { tag: Tag::parse("faster-cart-bbbbbbb").unwrap(), ..target_plan() };
    let older = CommitFact { attempts: Vec::new(), ..commit_to(older) };
    let committed = CommittedFact { commit: Box::new(commit()), ..committed() };
    memory.run(save_fact(&memory, &id('1'), &committed)).unwrap();
    memory.run(save_fact(&memory, &id('1'), &older)).unwrap();
    assert_eq!(memory.run(load(&memory, &id('1'))).unwrap().commit, Some(commit()));
}

#[test]
fn the_same_click_writes_the_same_bytes() {
    let memory = Memory::default();
    memory.run(save_fact(&memory, &id('1'), &request())).unwrap();
    let first = memory.store.borrow().clone();
    memory.run(save_fact(&memory, &id('1'), &request())).unwrap();
    assert_eq!(*memory.store.borrow(), first);
}

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
    // A lock for good may be written without its end.
    memory.put(&Lock(&here).name(), r#"{"version":1,"by":"U1","reason":"x"}"#);
    assert_eq!(memory.run(load_key(&memory, Lock(&here))).unwrap().unwrap().until, None);
}

// ---- The ring ----

#[test]
fn fifty_are_remembered_and_the_facts_of_what_falls_out_are_deleted() {
    let memory = Memory::default();
    let application = application();
    let history = History(&application);
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
    // What `current`, `live` or `in-flight` name stays, and stays in the ring; the next oldest goes instead.
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
    let app = application();
    let remember = |n: usize| memory.run(remember(&memory, History(&app), &numbered(n), &[], async || Ok(())));
    remember(1).unwrap();
    let before = memory.text(&History(&app).name());
    remember(2).unwrap();
    memory.put(&History(&app).name(), &before);
    memory.run(super::remember(&memory, EarlyEnds, &numbered(3), &[], async || Ok(()))).unwrap();
    assert_eq!(memory.run(strays(&memory)), Ok(BTreeSet::from([numbered(2), numbered(4)])));
}

// ---- Leases ----

fn take<'w>(memory: &'w Memory, name: &str) -> Option<Lease<'w, Memory>> {
    memory.run(Lease::take(memory, name, secs(10))).unwrap()
}

#[test]
fn a_lease_is_held_by_one_until_it_is_given_back_or_runs_out() {
    let memory = Memory::default();
    let lease = take(&memory, "watch").unwrap();
    assert!(take(&memory, "watch").is_none());
    assert!(take(&memory, "carry/1").is_some());
    assert_eq!(memory.run(is_held(&memory, "watch")), Ok(true));
    memory.run(lease.release());
    assert_eq!(memory.run(is_held(&memory, "watch")), Ok(false));
    let lease = take(&memory, "watch").unwrap();
    memory.pass(9);
    assert!(take(&memory, "watch").is_none());
    memory.pass(1);
    assert!(take(&memory, "watch").is_some());
    memory.pass(1);
    assert_eq!(lease.check(Duration::ZERO), Err(LeaseLost));
}

#[test]
fn a_check_wants_more_time_left_than_the_call_may_take() {
    let memory = Memory::default();
    let lease = take(&memory, "watch").unwrap();
    assert_eq!(lease.check(secs(10)), Ok(()));
    assert_eq!(lease.check(secs(11)), Err(LeaseLost));
    memory.pass(4);
    assert_eq!(lease.check(secs(6)), Ok(()));
    assert_eq!(lease.check(secs(7)), Err(LeaseLost));
    memory.run(lease.renew()).unwrap();
    assert_eq!(lease.check(secs(10)), Ok(()));
}

#[test]
fn the_local_deadline_counts_from_before_the_command_was_sent() {
    /// Redis that answers three seconds late: the lease began then, but nobody knows when it was noted.
    struct Slow(Memory);
    impl Redis for Slow {
        async fn run(&self, command: &str, arguments: &[&str]) -> Result<Vec<Reply>, StoreError> {
            self.0.pass(3);
            Redis::run(&self.0, command, arguments).await
        }
    }
    impl Clock for Slow {
        fn now(&self) -> Timestamp {
            self.0.now()
        }
        fn elapsed(&self) -> Duration {
            self.0.elapsed()
        }
        async fn sleep(&self, duration: Duration) {
            self.0.sleep(duration).await;
        }
    }
    let slow = Slow(Memory::default());
    let lease = slow.0.run(Lease::take(&slow, "watch", secs(10))).unwrap().unwrap();
    assert_eq!(lease.check(secs(7)), Ok(()));
    assert_eq!(lease.check(secs(8)), Err(LeaseLost));
    slow.0.run(lease.renew()).unwrap();
    assert_eq!(lease.check(secs(7)), Ok(()));
    assert_eq!(lease.check(secs(8)), Err(LeaseLost));
}

#[test]
fn a_holder_that_was_frozen_has_lost_it() {
    let memory = Memory::default();
    let frozen = take(&memory, "watch").unwrap();
    memory.pass(11);
    assert_eq!(frozen.check(Duration::ZERO), Err(LeaseLost));
    assert_eq!(
        memory.run(frozen.renew()),
        Err(LeaseLost),
        "nobody has it, but that it was ours throughout is not known"
    );
    let other = take(&memory, "watch").unwrap();
    assert_eq!(memory.run(frozen.renew()), Err(LeaseLost));
    assert_eq!(memory.run(frozen.ensure(secs(1))), Err(LeaseLost));
    // Late, it neither prolongs nor ends what is another's.
    memory.pass(9);
    assert_eq!(memory.run(frozen.renew()), Err(LeaseLost));
    memory.run(frozen.release());
    assert_eq!(memory.run(is_held(&memory, "watch")), Ok(true));
    assert_eq!(other.check(secs(1)), Ok(()));
    memory.pass(1);
    assert_eq!(memory.run(is_held(&memory, "watch")), Ok(false));
}

#[test]
fn a_call_may_have_come_late_unless_the_lease_was_renewed_after_its_answer_or_given_back() {
    let memory = Memory::default();
    let lease = take(&memory, "watch").unwrap();
    let calls = Calls::default();
    let answered = async |about: &'static str| calls.make(&memory, about, async {}).await;
    memory.pass(1);
    memory.run(answered("early"));
    memory.pass(1);
    assert_eq!(memory.run(lease.renew()), Ok(()));
    memory.pass(1);
    memory.run(answered("after the renewal"));
    {
        let mut dropped = pin!(calls.make(&memory, "on its way", std::future::pending::<()>()));
        assert!(dropped.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    assert_eq!(calls.late(&lease), ["after the renewal", "on its way"]);
    memory.pass(1);
    assert_eq!(memory.run(lease.renew()), Ok(()));
    assert_eq!(calls.late(&lease), ["on its way"]);
    assert!(memory.run(lease.release()), "ours until then");
    let frozen = take(&memory, "watch").unwrap();
    memory.pass(11);
    assert!(!memory.run(frozen.release()), "no more");
}

#[test]
fn ensure_renews_only_when_it_must() {
    let memory = Memory::default();
    let lease = take(&memory, "watch").unwrap();
    memory.pass(4);
    assert_eq!(memory.run(lease.ensure(secs(5))), Ok(()));
    assert_eq!(lease.check(secs(7)), Err(LeaseLost), "not renewed");
    assert_eq!(memory.run(lease.ensure(secs(7))), Ok(()));
    assert_eq!(lease.check(secs(10)), Ok(()), "renewed");
    assert_eq!(memory.run(lease.ensure(secs(11))), Err(LeaseLost), "longer than it ever lives");
}

#[test]
fn without_redis_nothing_is_taken_and_nothing_renewed() {
    let memory = Memory::default();
    let lease = take(&memory, "watch").unwrap();
    memory.redis_is_down.set(true);
    assert!(memory.run(Lease::take(&memory, "carry/1", secs(10))).is_err());
    assert!(memory.run(is_held(&memory, "watch")).is_err());
    assert_eq!(memory.run(lease.renew()), Err(LeaseLost));
    // What was taken is still ours for as long as nobody else can have it.
    assert_eq!(memory.run(lease.ensure(secs(5))), Ok(()));
    memory.run(lease.release());
    memory.redis_is_down.set(false);
    assert_eq!(memory.run(is_held(&memory, "watch")), Ok(true));
}

#[test]
fn a_lease_is_renewed_beside_the_work() {
    let memory = Memory::default();
    let lease = take(&memory, "watch").unwrap();
    let work = async {
        memory.sleep(secs(60)).await;
        memory.elapsed()
    };
    assert_eq!(memory.run(lease.during(secs(3), work)), Ok(secs(60)));
    assert_eq!(lease.check(secs(7)), Ok(()));
    // Work that needs no time at all needs no renewal.
    memory.redis_is_down.set(true);
    assert_eq!(memory.run(lease.during(secs(3), async { 1 })), Ok(1));
}

#[test]
fn a_renewal_that_fails_ends_the_work_at_once() {
    let memory = Memory::default();
    let lease = take(&memory, "watch").unwrap();
    let steps = Cell::new(0);
    let work = async {
        loop {
            memory.sleep(secs(1)).await;
            steps.set(steps.get() + 1);
            if steps.get() == 7 {
                memory.forget();
            }
        }
    };
    let ended: Result<(), LeaseLost> = memory.run(lease.during(secs(3), work));
    assert_eq!(ended, Err(LeaseLost));
    assert_eq!(memory.elapsed(), secs(9));
}

#[test]
fn once_per_period() {
    let memory = Memory::default();
    let once = || memory.run(once_per(&memory, "resume", secs(5))).unwrap();
    assert!(once());
    assert!(!once());
    memory.pass(4);
    assert!(!once());
    memory.pass(1);
    assert!(once());
}

#[test]
fn tokens_differ() {
    let tokens: BTreeSet<String> = (0..100).map(|_| token()).collect();
    assert_eq!(tokens.len(), 100);
    assert!(tokens.iter().all(|token| token.len() == 32));
}

// ---- Work under a lease ----

/// Ten seconds, renewed every three.
const TERMS: Terms = Terms { life: Duration::from_secs(10), renew: Some(Duration::from_secs(3)) };

fn is_free(memory: &Memory, name: &str) -> bool {
    !memory.run(is_held(memory, name)).unwrap()
}

#[test]
fn work_has_the_lease_until_it_ends() {
    let memory = Memory::default();
    let work = async |lease: &Lease<'_, Memory>| {
        assert_eq!(is_held(&memory, "watch").await, Ok(true));
        memory.sleep(secs(60)).await;
        lease.check(secs(7))
    };
    let held = memory.run(Lease::try_hold(&memory, "watch", TERMS, work)).unwrap().unwrap();
    assert_eq!(held.done, Ok(Ok(())), "renewed beside the work");
    assert!(is_free(&memory, "watch"));
    let waited = async || -> Result<(), StoreError> { panic!("the lease was free") };
    let done = memory.run(Lease::hold(&memory, "watch", TERMS, waited, async |_| Ok(7)));
    assert_eq!(done, Ok(7));
    assert!(is_free(&memory, "watch"));
}

#[test]
fn an_early_end_gives_the_lease_back() {
    let memory = Memory::default();
    let fails = async || Err(StoreError::Failed("the store is away"));
    let work = async |_: &Lease<'_, Memory>| -> Result<(), StoreError> {
        fails().await?;
        panic!("not reached")
    };
    let held = memory.run(Lease::try_hold(&memory, "watch", TERMS, &work)).unwrap().unwrap();
    assert_eq!(held.done, Ok(Err(StoreError::Failed("the store is away"))));
    assert!(is_free(&memory, "watch"));
    let done = memory.run(Lease::hold(&memory, "watch", TERMS, async || Ok(()), &work));
    assert_eq!(done, Err(StoreError::Failed("the store is away")));
    assert!(is_free(&memory, "watch"));
}

#[test]
fn a_taken_lease_is_waited_for_or_not() {
    let memory = Memory::default();
    let other = take(&memory, "watch").unwrap();
    let not_done = async |_: &Lease<'_, Memory>| panic!("another holds it");
    assert!(memory.run(Lease::try_hold(&memory, "watch", TERMS, not_done)).unwrap().is_none());
    let looks = Cell::new(0);
    let wait = async || {
        looks.set(looks.get() + 1);
        memory.sleep(secs(4)).await;
        if looks.get() < 2 { Ok(()) } else { Err(StoreError::Failed("waited long enough")) }
    };
    let not_done = async |_: &Lease<'_, Memory>| -> Result<(), StoreError> { panic!("another holds it") };
    let done = memory.run(Lease::hold(&memory, "watch", TERMS, wait, not_done));
    assert_eq!(done, Err(StoreError::Failed("waited long enough")));
    // Eight seconds have passed: the other lease runs out at the tenth.
    let wait = async || {
        memory.sleep(secs(4)).await;
        Ok::<(), StoreError>(())
    };
    let when = memory.run(Lease::hold(&memory, "watch", TERMS, wait, async |_| Ok(memory.elapsed())));
    assert_eq!(when, Ok(secs(12)));
    memory.run(other.release());
}

#[test]
fn a_lost_lease_ends_the_work_and_runs_out() {
    let memory = Memory::default();
    let work = async |lease: &Lease<'_, Memory>| -> Result<(), StoreError> {
        memory.sleep(secs(4)).await;
        assert_eq!(lease.check(secs(9)), Ok(()), "renewed a second ago");
        memory.redis_is_down.set(true);
        memory.sleep(secs(60)).await;
        panic!("not reached")
    };
    let held = memory.run(Lease::try_hold(&memory, "watch", TERMS, &work)).unwrap().unwrap();
    assert_eq!((held.done, memory.elapsed()), (Err(LeaseLost), secs(6)));
    memory.redis_is_down.set(false);
    assert!(!is_free(&memory, "watch"), "not given back");
    memory.pass(7);
    assert!(is_free(&memory, "watch"));
    let done = memory.run(Lease::hold(&memory, "watch", TERMS, async || Ok(()), &work));
    assert_eq!(done, Err(StoreError::LeaseLost));
}

#[test]
fn without_renewals_nothing_ends_the_work() {
    let memory = Memory::default();
    let terms = Terms { renew: None, ..TERMS };
    let work = async |lease: &Lease<'_, Memory>| {
        memory.sleep(secs(60)).await;
        assert_eq!(lease.check(Duration::ZERO), Err(LeaseLost));
        Ok::<_, StoreError>("done")
    };
    assert_eq!(memory.run(Lease::hold(&memory, "watch", terms, async || Ok(()), work)), Ok("done"));
}

#[test]
fn calls_are_late_only_if_the_lease_was_lost() {
    let memory = Memory::default();
    for (ending, expected) in
        [("given back", &[][..]), ("let run out", &["after", "open"]), ("lost", &["after", "open"])]
    {
        let calls = Calls::default();
        let work = async |lease: &Lease<'_, Memory>| {
            calls.make(&memory, "before", async {}).await;
            memory.sleep(secs(4)).await;
            calls.make(&memory, "after", async {}).await;
            let mut open = pin!(calls.make(&memory, "open", std::future::pending::<()>()));
            assert!(open.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            match ending {
                "let run out" => lease.let_run_out(),
                "lost" => {
                    memory.forget();
                    memory.sleep(secs(60)).await;
                }
                _ => {}
            }
        };
        let held = memory.run(Lease::try_hold(&memory, ending, TERMS, work)).unwrap().unwrap();
        assert_eq!(held.done.is_err(), ending == "lost");
        assert_eq!(held.late(&calls), expected, "{ending}");
        assert_eq!(is_free(&memory, ending), ending != "let run out");
    }
}

#[test]
fn a_lease_that_ran_out_before_it_was_given_back_was_lost() {
    let memory = Memory::default();
    let calls = Calls::default();
    let work = async |_: &Lease<'_, Memory>| {
        memory.pass(11);
        calls.make(&memory, "after a freeze", async {}).await;
    };
    let held = memory.run(Lease::try_hold(&memory, "watch", TERMS, work)).unwrap().unwrap();
    assert_eq!((held.late(&calls), held.done), (vec!["after a freeze"], Ok(())));
}

// ---- In flight ----

fn flight(memory: &Memory) -> (bool, Vec<DeploymentId>) {
    let all = memory.run(in_flight(memory)).unwrap();
    (all.whole, all.ids)
}

#[test]
fn the_sentinel_tells_empty_from_lost() {
    let memory = Memory::default();
    assert_eq!(flight(&memory), (false, vec![]));
    memory.run(mark_whole(&memory)).unwrap();
    assert_eq!(flight(&memory), (true, vec![]));
    memory.run(add_in_flight(&memory, &id('2'), at(20))).unwrap();
    memory.run(add_in_flight(&memory, &id('1'), at(10))).unwrap();
    memory.run(add_in_flight(&memory, &id('2'), at(20))).unwrap();
    assert_eq!(flight(&memory), (true, vec![id('1'), id('2')]));
    memory.run(leave_flight(&memory, &id('1'))).unwrap();
    memory.run(leave_flight(&memory, &id('1'))).unwrap();
    assert_eq!(flight(&memory), (true, vec![id('2')]));
    memory.forget();
    assert_eq!(flight(&memory), (false, vec![]));
}

#[test]
fn what_redis_lost_is_rebuilt_from_the_facts_by_one_scan() {
    let memory = Memory::default();
    let told = Voice { told_end: true, ..Voice::default() };
    memory.run(async {
        // Accepted later than the next one; told to its end; ended but not told; without a request; of another version.
        save_fact(&memory, &id('1'), &RequestFact { at: at(20), ..request() }).await.unwrap();
        save_fact(&memory, &id('2'), &RequestFact { at: at(10), ..request() }).await.unwrap();
        save_fact(&memory, &id('2'), &cancelled()).await.unwrap();
        save_fact(&memory, &id('3'), &request()).await.unwrap();
        save_fact(&memory, &id('3'), &cancelled()).await.unwrap();
        save_fact(&memory, &id('3'), &MessageFact(told.clone())).await.unwrap();
        save_fact(&memory, &id('4'), &committed()).await.unwrap();
        save_fact(&memory, &id('5'), &request()).await.unwrap();
        // What slack-command told was not the end after all.
        save_fact(&memory, &id('6'), &RequestFact { at: at(30), ..request() }).await.unwrap();
        save_fact(&memory, &id('6'), &MessageFact(told)).await.unwrap();
        save_fact(&memory, &id('6'), &committed()).await.unwrap();
    });
    memory.put(&format!("deploy-bot/deployment/{}/watch", id('5')), r#"{"version":2}"#);
    memory.put("deploy-bot/deployment/nonsense/request", "{}");
    memory.put("somebody-else/deployment/77777777777777777777777777777777/request", "{}");
    memory.run(rebuild_in_flight(&memory)).unwrap();
    assert_eq!(flight(&memory), (true, vec![id('2'), id('1'), id('6')]));
    assert_eq!(memory.scans.get(), 1);
}

#[test]
fn a_rebuild_that_redis_does_not_take_is_not_called_whole() {
    let memory = Memory::default();
    memory.run(save_fact(&memory, &id('1'), &request())).unwrap();
    memory.redis_is_down.set(true);
    assert!(memory.run(rebuild_in_flight(&memory)).is_err());
    memory.redis_is_down.set(false);
    assert_eq!(flight(&memory), (false, vec![]));
}

// ---- News and wake-ups ----

#[test]
fn news_are_taken_once_and_wake_somebody() {
    let memory = Memory::default();
    assert_eq!(memory.run(take_news(&memory)), Ok(vec![]));
    assert_eq!(memory.run(announce(&memory, &id('1'))), Ok(2));
    assert_eq!(memory.run(announce(&memory, &id('1'))), Ok(2));
    assert_eq!(memory.run(announce(&memory, &id('2'))), Ok(2));
    assert_eq!(memory.published.get(), 3);
    let news = [id('1'), id('2')].map(Flight::Deployment).to_vec();
    assert_eq!(memory.run(take_news(&memory)), Ok(news));
    assert_eq!(memory.run(take_news(&memory)), Ok(vec![]));
}

// ---- Pushes of people ----

#[test]
fn a_push_is_in_flight_beside_deployments_and_found_again_after_redis_forgot() {
    let memory = Memory::default();
    memory.run(add_in_flight(&memory, &id('1'), at(20))).unwrap();
    memory.run(add_push(&memory, &sha('e'), at(10))).unwrap();
    let both = InFlight { whole: false, ids: vec![id('1')], pushes: vec![sha('e')] };
    assert_eq!(memory.run(in_flight(&memory)), Ok(both.clone()));
    assert_eq!(both.count(), 2);
    let all: Vec<Flight> = both.all().collect();
    assert_eq!(all, [Flight::Deployment(id('1')), Flight::Push(sha('e'))]);
    assert_eq!(memory.run(announce_push(&memory, &sha('e'))), Ok(2));
    assert_eq!(memory.run(take_news(&memory)), Ok(vec![Flight::Push(sha('e'))]));
    memory.run(remove_push(&memory, &sha('e'))).unwrap();
    assert_eq!(memory.run(in_flight(&memory)).unwrap().pushes, []);

    memory.put(&format!("deploy-bot/push/{}", sha('f')), "{}");
    memory.put("deploy-bot/push/nonsense", "{}");
    memory.run(rebuild_in_flight(&memory)).unwrap();
    assert_eq!(memory.run(in_flight(&memory)).unwrap().pushes, [sha('f')]);
}

#[test]
fn how_long_a_note_has_been_missing_is_known() {
    let memory = Memory::default();
    assert_eq!(memory.run(note_missing(&memory, &sha('e'))), Ok(Duration::ZERO));
    memory.time.set(Duration::from_secs(40));
    assert_eq!(memory.run(note_missing(&memory, &sha('e'))), Ok(Duration::from_secs(40)));
    assert_eq!(memory.run(note_missing(&memory, &sha('f'))), Ok(Duration::ZERO));
    memory.run(note_is_gone(&memory, &sha('f'))).unwrap();
    assert!(memory.run(note_missing(&memory, &sha('f'))).unwrap() > push::NEWS, "it was there, and is deleted");
}

#[test]
fn what_was_told_of_a_push_is_known_for_a_day() {
    let memory = Memory::default();
    let channel = SlackChannel::parse("C0G9QF9GW").unwrap();
    let (one, both) = (["shop".to_owned()], ["shop".to_owned(), "till".to_owned()]);
    let told = |telling: &Telling<'_>| memory.run(push_told(&memory, telling)).unwrap();
    let push = sha('e');
    let telling = Telling { sha: &push, channel: &channel, targets: &one };
    for now in [PushTold::Perhaps(1), PushTold::No, PushTold::Perhaps(200), PushTold::Never, PushTold::Yes] {
        memory.run(mark_push_told(&memory, &telling, now)).unwrap();
        assert_eq!(told(&telling), now);
    }
    assert_eq!(told(&Telling { targets: &both, ..telling.clone() }), PushTold::No, "of others nothing is told");
    memory.time.set(push::NEWS);
    assert_eq!(told(&telling), PushTold::No);
}

// ---- The pace of Slack ----

#[test]
fn edits_keep_slacks_pace_and_leave_room_for_final_words() {
    let memory = Memory::default();
    let edit = |urgency| memory.run(may_speak(&memory, 60_000, Speech::Edit, urgency));
    let edits = |urgency| (0..100).take_while(|_| edit(urgency).is_ok()).count();
    assert_eq!(edits(Urgency::Progress), 4);
    assert_eq!(edits(Urgency::First), 2);
    assert_eq!(edits(Urgency::Final), 3);
    // Nine are out, at 1.2 s each: whoever is not let through knows for how long, and is let through then.
    assert_eq!(edit(Urgency::Final), Err(Duration::from_millis(1_200)));
    assert_eq!(edit(Urgency::Progress), Err(Duration::from_millis(7_200)));
    // From then on one every 1.2 s; while final words wait, nothing else gets through.
    memory.pass(6);
    assert_eq!(edits(Urgency::Progress), 0);
    assert_eq!(edits(Urgency::Final), 5);
    memory.pass(60);
    assert_eq!(edits(Urgency::Progress), 4);
    memory.redis_is_down.set(true);
    assert!(edit(Urgency::Progress).is_ok(), "Slack's own limit is what is left");
}

#[test]
fn a_channel_that_is_full_does_not_hold_up_edits_or_other_channels() {
    let memory = Memory::default();
    let [one, other] = ["C1", "C2"].map(|channel| SlackChannel::parse(channel).unwrap());
    let wait = |speech, urgency| memory.run(may_speak(&memory, 60_000, speech, urgency)).err();
    let may = |speech, urgency| wait(speech, urgency).is_none();
    assert_eq!((0..9).take_while(|_| may(Speech::Post(&one), Urgency::First)).count(), 2);
    assert!(may(Speech::Post(&one), Urgency::Final));
    memory.pass(60);
    memory.run(quiet_slack(&memory, Speech::Post(&one), secs(30)));
    assert_eq!(wait(Speech::Post(&one), Urgency::Final), Some(secs(30)));
    assert!(may(Speech::Post(&other), Urgency::First));
    assert!(may(Speech::Edit, Urgency::Progress));
    memory.pass(91);
    assert!(may(Speech::Post(&one), Urgency::First));
}

#[test]
fn what_github_is_told_leaves_room_for_commits() {
    let memory = Memory::default();
    let may = |urgency| memory.run(may_tell_github(&memory, 60_000, urgency));
    assert_eq!((0..20).take_while(|_| may(Urgency::Progress)).count(), 8);
    assert_eq!((0..20).take_while(|_| may(Urgency::Final)).count(), 4);
    // Whoever tries again and again gets four a minute, so with a commit a second all of it stays below 80.
    let mut told = 0;
    for _ in 0..120 {
        memory.pass(1);
        told += u32::from(may(Urgency::Final));
    }
    assert_eq!(told, 8);
    memory.pass(600);
    memory.run(quiet_github(&memory, secs(60)));
    assert!(!may(Urgency::Final));
    memory.pass(61);
    assert!(may(Urgency::Progress));
}

// ---- The queue ----

#[test]
fn the_queue_at_the_branch_is_in_order_of_accept() {
    let memory = Memory::default();
    let join =
        |digit, seconds| memory.run(queue_place(&memory, "branch/acme/gitops/main", &id(digit), at(seconds))).unwrap();
    assert_eq!(join('2', 20), 0);
    assert_eq!(join('3', 30), 1);
    assert_eq!(join('1', 10), 0);
    assert_eq!(join('3', 30), 2);
    let other = memory.run(queue_place(&memory, "branch/acme/other/main", &id('9'), at(40)));
    assert_eq!(other, Ok(0));
    memory.run(leave_queue(&memory, "branch/acme/gitops/main", &id('1'))).unwrap();
    assert_eq!(join('3', 30), 1);
    // Those who died in it are forgotten when nobody has joined for ten minutes.
    memory.pass(599);
    assert_eq!(join('3', 30), 1);
    memory.pass(600);
    assert_eq!(join('3', 30), 0);
}

#[test]
fn the_newest_changes_of_a_lock_are_kept_and_one_that_is_done_twice_once() {
    let memory = Memory::default();
    let app = application();
    let lock = |seconds, reason: &str| TargetLock {
        by: user("U1"),
        reason: reason.to_owned(),
        at: at(seconds),
        until: None,
        rollback: false,
    };
    let change = |lock: &TargetLock, to: Option<&TargetLock>, of: Option<&ArgoApplication>| {
        let lease = memory.run(Lease::take(&memory, &lock_lease(of), Duration::from_secs(15))).unwrap().unwrap();
        let change = match to {
            Some(lock) => lock.change(),
            None => LockChange { what: Locked::TakenAway { of: user("U1") }, ..lock.change() },
        };
        memory.run(change_lock(&memory, &lease, of, change, to)).unwrap();
        memory.run(lease.release());
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
    assert_eq!(log.changes[0].what, Locked::Set { until: None });
    let everything = lock(1, "all");
    change(&everything, Some(&everything), None);
    assert_eq!(memory.run(load_key(&memory, LockOfAll)).unwrap(), Some(everything.clone()));
    assert_eq!(memory.run(load_key(&memory, LocksOfAll)).unwrap().unwrap().changes, [everything.change()]);
}
