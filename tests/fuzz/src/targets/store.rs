//! What is stored: any bytes are read or refused, what is read is written back with the same meaning, and any facts have a state
//! and a message that Slack takes.

use crate::parts::Parts;
use crate::promise::{is_plain_to_slack, is_short};
use crate::world::{NOW, World};
use domain::application::Application;
use domain::deployment::{
    CancelFact, CommitFact, CommittedFact, EndFact, Fact, Facts, LastWord, MessageFact, Next, OutcomeFact, PushFact,
    RequestFact, Said, State, Step, View, WatchFact, Writer, next, step,
};
use domain::limits::Limits;
use domain::message;
use domain::message::Message;
use domain::message::{Button, Note};
use domain::names::{AppName, ArgoApplication, CommitSha, DeploymentId, EnvironmentName, KubeName, Secret, Target};
use serde_json::Value;
use std::fmt::Debug;
use std::rc::Rc;
use store::{
    CatalogCache, Current, EarlyEnds, History, Key, Live, Lock, ManagedFiles, Pushed, Reply, Rewritten, Seals,
    in_flight, load, load_fact, load_key, rebuild_in_flight, remember, save_fact, save_key, take_news,
};

fn id() -> DeploymentId {
    DeploymentId::parse("0123456789abcdef0123456789abcdef").expect("an id")
}

/// Whether the bytes are of this build's version: others are left alone.
fn has_our_version(bytes: &[u8]) -> bool {
    serde_json::from_slice::<Value>(bytes).is_ok_and(|value| value["version"] == 1)
}

/// With these bytes under a key, sealed if that can be: so whatever is in them is read.
fn sealed(key: &str, writer: Writer, bytes: &[u8]) -> World {
    let (secret, own) = (Secret::new("shared"), Secret::new("own"));
    let seals = Rc::new(Seals::shared(&secret, None).with_own(&own, None));
    let mut bytes = bytes.to_vec();
    if let Ok(mut value) = serde_json::from_slice::<Value>(&bytes)
        && value.is_object()
        && seals.seal(key, writer, &mut value)
    {
        bytes = value.to_string().into_bytes();
    }
    let mut world = World::default();
    world.seals = seals;
    world.store.borrow_mut().insert(key.to_owned(), bytes);
    world
}

fn fact<F: Fact + PartialEq + Debug>(bytes: &[u8]) {
    let key = format!("deploy-bot/deployment/{}/{}", id(), F::NAME);
    let world = sealed(&key, F::WRITER, bytes);
    match world.run(load_fact::<F>(&world, &id())) {
        Ok(fact) => {
            assert!(has_our_version(bytes));
            let fact = fact.expect("the key is there");
            world.run(save_fact(&world, &id(), &fact)).expect("it was stored before");
            assert_eq!(world.run(load_fact::<F>(&world, &id())), Ok(Some(fact)), "{}", F::NAME);
        }
        Err(error) => assert!(error.is_unreadable(), "{error}"),
    }
    // Reading changes nothing.
    assert!(world.written.borrow().len() <= 1);
}

fn key<K: Key<Value: PartialEq + Debug> + Copy>(key: K, bytes: &[u8]) {
    let world = sealed(&key.name(), K::WRITER, bytes);
    match world.run(load_key(&world, key)) {
        Ok(value) => {
            assert!(has_our_version(bytes));
            let value = value.expect("the key is there");
            world.run(save_key(&world, key, &value)).expect("it was stored before");
            assert_eq!(world.run(load_key(&world, key)), Ok(Some(value)), "{}", key.name());
        }
        Err(error) => assert!(error.is_unreadable(), "{error}"),
    }
}

/// Any bytes, under any key.
pub fn stored_value(data: &[u8]) {
    fact::<RequestFact>(data);
    fact::<CommitFact>(data);
    fact::<CommittedFact>(data);
    fact::<EndFact>(data);
    fact::<MessageFact>(data);
    fact::<CancelFact>(data);
    fact::<PushFact>(data);
    fact::<WatchFact>(data);
    fact::<OutcomeFact>(data);
    let name = |text| KubeName::parse(text).expect("a name");
    let application = ArgoApplication { name: name("checkout"), project: name("default"), namespace: None };
    key(Current(&application), data);
    let target = Target {
        app: AppName::parse("checkout").expect("a name"),
        environment: EnvironmentName::parse("default").expect("a name"),
    };
    key(Live(&target), data);
    key(Lock(&target), data);
    key(Rewritten, data);
    key(CatalogCache, data);
    key(EarlyEnds, data);
    key(History(&target), data);
    key(ManagedFiles, data);
    key(Pushed(&CommitSha::parse(&"e".repeat(40)).expect("a commit")), data);

    // A ring that is full of anything keeps the newest, or is left alone.
    let world = sealed(&EarlyEnds.name(), EarlyEnds::WRITER, data);
    let before = world.store.borrow().get(&EarlyEnds.name()).cloned();
    match world.run(remember(&world, EarlyEnds, &id(), &[], async || Ok(()))) {
        Ok(()) => {
            let ring = world.store.borrow().get(&EarlyEnds.name()).cloned().unwrap_or_default();
            assert!(String::from_utf8_lossy(&ring).contains(id().as_str()));
        }
        Err(error) => {
            assert!(error.is_unreadable() && world.store.borrow().get(&EarlyEnds.name()).cloned() == before)
        }
    }
}

/// An object of facts, each under its name, without versions.
pub fn stored_facts(data: &[u8]) {
    let Ok(Value::Object(all)) = serde_json::from_slice::<Value>(data) else { return };
    let world = World::default();
    for (name, mut fact) in all {
        if let Some(fact) = fact.as_object_mut() {
            fact.insert("version".to_owned(), 1.into());
        }
        let key = format!("deploy-bot/deployment/{}/{name}", id());
        world.store.borrow_mut().insert(key, fact.to_string().into_bytes());
    }
    let facts = match world.run(load(&world, &id())) {
        Ok(facts) => facts,
        Err(error) => return assert!(error.is_unreadable(), "{error}"),
    };
    world.run(rebuild_in_flight(&world)).expect("every fact can be read");

    let state = facts.state();
    assert!(facts.committed.is_none() || !matches!(state, State::Accepted | State::Committing | State::Refused));
    assert!(!facts.end_is_told() || state.is_final());
    assert!(!(state.is_final() && facts.keeps_busy(NOW, &Limits::default())));
    let mut notes = vec![None, Some(Note::Settling)];
    notes.extend([0, 1, u64::MAX].map(|ahead| Some(Note::Queue { ahead })));
    for note in notes {
        is_a_message(&message::before_commit(&id(), &facts, note.as_ref()));
    }
    is_a_message(&message::after_commit(&id(), &facts));
    if let Some(link) = facts.link() {
        assert!(link.starts_with("https://") && link.contains(".slack.com/archives/"), "{link}");
    }
    what_is_next(&facts);
    if let (Some(request), Some(commit)) = (&facts.request, &facts.commit) {
        let (headline, body) = message::commit_text(request, commit, &id());
        is_short(&headline, 72);
        // The trailer is ours whatever else is in the text, and there is no other.
        assert_eq!(message::deploy_id(&format!("{headline}\n\n{body}")), Some(id()));
        assert_eq!(body.lines().filter(|line| line.starts_with("Deploy-Id: ")).count(), 1, "{body}");
        let more = commit.granted.approved_by.len()
            + usize::from(commit.granted.overridden.is_some())
            + usize::from(commit.target().taken.is_some());
        assert!(body.lines().count() == 5 + more && body.len() < 3000 + 100 * more, "{body}");
    }
}

/// What Slack takes, and nothing that it would read as a mention.
fn is_a_message(message: &Message) {
    is_short(&message.text, 1000);
    is_plain_to_slack(&message.text);
    let blocks = message.blocks.as_array().expect("blocks are a list");
    assert!((1..=50).contains(&blocks.len()));
    for block in blocks {
        if block["type"] == "actions" {
            let buttons = block["elements"].as_array().expect("buttons are a list");
            assert!((1..=25).contains(&buttons.len()));
            for button in buttons {
                let (action, value) = (button["action_id"].as_str(), button["value"].as_str());
                assert!(Button::parse(action.expect("an action"), value.expect("a value")).is_some(), "{button}");
            }
            continue;
        }
        let text = match block["type"].as_str() {
            Some("section") => block["text"]["text"].as_str(),
            Some("context") => block["elements"][0]["text"].as_str(),
            _ => None,
        };
        let text = text.expect("a section, or a context of one element");
        assert!((1..=3000).contains(&text.chars().count()), "{} characters", text.chars().count());
        is_plain_to_slack(text);
    }
}

/// Whatever is stored, the watch knows what to do, and a last word is the last.
fn what_is_next(facts: &Facts) {
    let limits = Limits::default();
    let said = facts.outcome.is_some();
    let decided = next(facts, NOW, &limits);
    assert!(!said || matches!(decided, Next::LeaveAlone | Next::Tell), "{decided:?} after the last word");
    if let Next::Say(Said { word: LastWord::Failed { .. }, .. }) = &decided {
        let is_over = facts.applications().iter().any(|(_, watch)| watch.over.is_some());
        assert!(facts.committed.is_none() || is_over, "nothing was changed, it would say");
    }
    let mut watch = facts.watch.clone().unwrap_or_default().at(0);
    let app = Application::default();
    let step = step(View { id: &id(), facts, app: &app, pods: None, now: NOW, limits: &limits }, &mut watch);
    // An application that shows nothing proves nothing.
    assert!(!matches!(step, Step::Over(LastWord::Live { .. })), "{step:?}");
}

/// Members of a set in Redis, a line each: what is no id is left out.
pub fn redis_members(data: &[u8]) {
    let mut parts = Parts(data);
    let mut replies = Vec::new();
    while !parts.0.is_empty() {
        let text = parts.text().into_owned();
        replies.push(match text.parse() {
            Ok(number) => Reply::Int(number),
            Err(_) if text.is_empty() => Reply::Nil,
            Err(_) => Reply::Text(text),
        });
    }
    let mut world = World::default();
    world.replies = replies.clone();
    let ids = |replies: &[Reply]| {
        replies.iter().filter(|reply| matches!(reply, Reply::Text(text) if DeploymentId::parse(text).is_ok())).count()
    };
    let flight = world.run(in_flight(&world)).expect("Redis answered");
    let is_push = |text: &str| text.strip_prefix("push/").is_some_and(|sha| CommitSha::parse(sha).is_ok());
    let pushes = replies.iter().filter(|reply| matches!(reply, Reply::Text(text) if is_push(text))).count();
    assert_eq!((flight.ids.len(), flight.pushes.len()), (ids(&replies), pushes));
    assert_eq!(flight.whole, replies.contains(&Reply::Text("whole".to_owned())));
    assert_eq!(world.run(take_news(&world)).map(|news| news.len()), Ok(ids(&replies) + pushes));
}
