//! What the end-to-end tests share: a room in which a deploy happens, and the checks at the end of each test.
//!
//! Everything here speaks HTTP and Redis only, so the same tests run on the built-in host and, with
//! `SPIN=<path>`, through a real `spin up`. Nothing waits by sleeping: [`Room::until`] looks again and again,
//! and an error names what it waited for.

pub mod access;
pub mod changes;
pub mod cluster;
pub mod crowd;
pub mod promise;
pub mod readme;
pub mod restart;
pub mod table;

use anyhow::{Result, bail};
use domain::deployment::Writer;
use domain::message::NOT_DEPLOYED;
use domain::names::Secret;
use fakes::Millis;
use fakes::argocd::{Health, Script};
use fakes::github::Deployment;
use fakes::slack::{Message, Slack};
use sandbox::bot::Exchange;
use sandbox::{Options, Runner, Sandbox, world};
use serde_json::{Value, json};
use std::ops::{Deref, DerefMut};
use std::time::Duration;
use store::Seals;

/// How long anything may take in a test. Generous, because two cores may be shared; nobody waits that long when all is well.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Shorter periods of the bot's own, so that tests need not wait; limits of other systems stay as they are.
pub fn limits() -> Value {
    json!({
        "webhook_patience": 1_500, "sync_taken": 30_000, "target_wait": 3_000, "target_retry": 100, "guardian": 400, "resume": 300, "watch": 4_000,
        "reload": 1_000, "poll": 200, "first_event": 1_500, "look_again": 400, "settle": 200, "edit_gap": 100,
        "degraded_before": 3_000, "other_image": 3_000, "argocd_error": 3_000, "repeat": 500, "pods": 500, "minute": 6_000, "refusals": 100,
        "read_again": 2_000, "group_age": 1, "waits": 500,
    })
}

/// A quick sync, for tests that are not about the sync. Argo CD's next look carries a later second than the
/// sync's end.
pub fn quick() -> Script {
    Script {
        begins: 10,
        compares: 10,
        ends: 10,
        reconciles: 1000,
        health: vec![(0, Health::Healthy)],
        ..Script::default()
    }
}

/// A sandbox, and how people talk in it.
pub struct Room {
    sandbox: Sandbox,
    /// How long anything may take here.
    pub patience: Duration,
}

impl Deref for Room {
    type Target = Sandbox;
    fn deref(&self) -> &Sandbox {
        &self.sandbox
    }
}

impl DerefMut for Room {
    fn deref_mut(&mut self) -> &mut Sandbox {
        &mut self.sandbox
    }
}

/// Runs a test in the ordinary room: the company of `sandbox::world`, the bot with shorter limits. At the end nothing may be left.
pub fn room(test: impl AsyncFnOnce(&mut Room) -> Result<()>) {
    room_with(Options { limits: Some(limits()), ..Options::default() }, test);
}

/// The same with other options.
pub fn room_with(options: Options, test: impl AsyncFnOnce(&mut Room) -> Result<()>) {
    run(options, test, true);
}

/// The same for tests in which the bot cannot be whole at the end (a store that is gone, say).
pub fn broken_room(options: Options, test: impl AsyncFnOnce(&mut Room) -> Result<()>) {
    run(options, test, false);
}

fn run(options: Options, test: impl AsyncFnOnce(&mut Room) -> Result<()>, tidy: bool) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut room = Room::open(options).await.expect("the sandbox starts");
        let mut result = test(&mut room).await;
        if result.is_ok() && tidy {
            result = room.nothing_left().await;
        }
        let (journal, log) = (room.journal.to_string(), room.log());
        room.forget_applications().await;
        room.close().await;
        if let Err(error) = result {
            panic!("{error:#}\n--- what happened\n{journal}\n--- the bot's log\n{log}");
        }
    });
}

impl Room {
    /// A room with the bot in it, on the runner that the environment names.
    pub async fn open(options: Options) -> Result<Self> {
        let sandbox = Sandbox::start(Options { runner: Runner::from_environment(), ..options }).await?;
        Ok(Self { sandbox, patience: PATIENCE })
    }

    /// Ends everything in it.
    pub async fn close(self) {
        self.sandbox.stop().await;
    }

    /// Alice types `/deploy <text>` in #deploys.
    pub async fn alice(&self, text: &str) -> Exchange {
        self.command(world::ALICE, world::DEPLOYS, text).await
    }

    /// Bob does.
    pub async fn bob(&self, text: &str) -> Exchange {
        self.command(world::BOB, world::DEPLOYS, text).await
    }

    /// All messages of deployments in #deploys as people read them now, oldest first; without the replies below them, which a channel does
    /// not show, and without [`Room::announcements`].
    pub fn messages(&self) -> Vec<String> {
        let slack = self.slack.lock();
        of_deployments(&slack).map(|message| without_id(&slack.render_edit(message.now()))).collect()
    }

    /// What the bot said in #deploys about people's pushes, oldest first.
    pub fn announcements(&self) -> Vec<Message> {
        let slack = self.slack.lock();
        slack.messages(world::DEPLOYS).iter().filter(|message| is_announcement(message)).cloned().collect()
    }

    /// Everything that people could read in #deploys so far: every state of every message, deleted ones too.
    pub fn told(&self) -> Vec<String> {
        let slack = self.slack.lock();
        let edits = of_deployments(&slack).flat_map(|message| &message.edits);
        edits.map(|edit| slack.render_edit(edit)).collect()
    }

    /// What people read as they read it now, oldest first: the messages of deployments in #deploys, and what one person reads
    /// alone.
    pub fn reads(&self) -> Vec<String> {
        let slack = self.slack.lock();
        let mut all: Vec<&Message> = of_deployments(&slack).chain(slack.all_ephemerals()).collect();
        all.sort_by_key(|message| message.edits.first().map(|edit| edit.at));
        all.into_iter().map(|message| without_id(&slack.render_edit(message.now()))).collect()
    }

    /// What people read alone, oldest first.
    pub fn whispers(&self) -> Vec<String> {
        let slack = self.slack.lock();
        slack.all_ephemerals().iter().map(|message| without_id(&slack.render_edit(message.now()))).collect()
    }

    /// The only message of the bot, as people read it now: in #deploys, or what one person reads alone.
    pub fn message(&self) -> String {
        let messages = self.messages();
        let whispers = if messages.is_empty() { self.whispers() } else { Vec::new() };
        let all = [messages, whispers].concat();
        assert_eq!(all.len(), 1, "one message per deployment: {all:#?}");
        all.into_iter().next().unwrap_or_default()
    }

    /// Waits until a message in #deploys says this, or until one person alone reads it. Returns the message as people read it.
    pub async fn says(&self, words: &str) -> Result<String> {
        let what = format!("message that says {words:?}");
        let look = |room: &Sandbox| {
            let slack = room.slack.lock();
            let all = slack.messages(world::DEPLOYS).iter().chain(slack.all_ephemerals());
            all.map(|message| slack.render_edit(message.now())).find(|text| text.contains(words))
        };
        match self.sandbox.until(&what, self.patience, look).await {
            Ok(text) => Ok(without_id(&text)),
            Err(error) => bail!("{error:#}\nmessages: {:#?}", self.messages()),
        }
    }

    /// Alice types a deploy in #deploys. Returns its message, as people read it, when the message says that
    /// the app is live.
    pub async fn goes_live(&self, text: &str) -> Result<String> {
        let mine = self.messages().len();
        let answer = self.alice(text).await;
        if !answer.is_accepted() {
            bail!("not accepted: {answer:?}");
        }
        let look = |room: &Sandbox| {
            let slack = room.slack.lock();
            let message = of_deployments(&slack).nth(mine)?;
            Some(slack.render(message)).filter(|text| text.contains("is live"))
        };
        match self.sandbox.until(&format!("end of `/deploy {text}`"), self.patience, look).await {
            Ok(text) => Ok(text),
            Err(error) => bail!("{error:#}\nmessages: {:#?}", self.messages()),
        }
    }

    /// What the messages in #deploys have said so far: when, which message, and the words as people read them.
    pub fn said(&self) -> Vec<(Millis, usize, String)> {
        let slack = self.slack.lock();
        let messages = of_deployments(&slack).enumerate();
        messages
            .flat_map(|(n, message)| message.edits.iter().map(move |edit| (edit.at, n, edit)))
            .map(|(at, n, edit)| (at, n, slack.render_edit(edit)))
            .collect()
    }

    /// Every sync of the app goes by this script from now on.
    pub fn script(&self, app: &str, script: Script) {
        self.argocd.lock().app(app).script = script;
    }

    /// A person pushes a commit to a branch of the app's repository, and CI pushes its image; the image's tag.
    pub fn builds(&self, app: &str, branch: &str, user: &str) -> String {
        let repo = format!("acme/{app}");
        let text = format!("by {user}, after {}", self.tag(app, branch));
        self.github.lock().person_pushes(&repo, branch, user, &[("work.txt", &text)], "Work");
        let tag = self.tag(app, branch);
        self.registry.lock().push(&repo, &tag);
        tag
    }

    /// A file on the GitOps branch now.
    pub fn file(&self, path: &str) -> Vec<u8> {
        self.github.lock().file_at(world::GITOPS, "main", path).unwrap_or_default()
    }

    /// What pull requests of an app show of its deploys, oldest first.
    pub fn shown(&self, app: &str) -> Vec<Deployment> {
        self.github.lock().deployments(&format!("acme/{app}")).to_vec()
    }

    /// How many commits the GitOps branch has.
    pub fn commits(&self) -> usize {
        self.github.lock().commits(world::GITOPS, "main").len()
    }

    /// The tag that CI gave the newest commit of a branch.
    pub fn tag(&self, app: &str, branch: &str) -> String {
        world::tag(&self.github.lock(), app, branch)
    }

    /// The names of the calls to the stand-ins since a place in the journal.
    pub fn calls(&self, since: usize) -> Vec<String> {
        self.journal.calls_since(since)
    }

    /// All keys of the key-value store.
    pub async fn keys(&self) -> Result<Vec<String>> {
        let mut connection = redis::Client::open(self.store.url())?.get_multiplexed_async_connection().await?;
        Ok(redis::cmd("KEYS").arg("*").query_async(&mut connection).await?)
    }

    /// A fact, as JSON.
    pub async fn key(&self, key: &str) -> Result<Option<Value>> {
        let mut connection = redis::Client::open(self.store.url())?.get_multiplexed_async_connection().await?;
        let text: Option<String> = redis::cmd("GET").arg(key).query_async(&mut connection).await?;
        Ok(text.map(|text| serde_json::from_str(&text)).transpose()?)
    }

    /// Writes a value as somebody who may write the store and has no secret of the bot.
    pub async fn forges(&self, key: &str, value: &Value) -> Result<()> {
        let mut connection = redis::Client::open(self.store.url())?.get_multiplexed_async_connection().await?;
        Ok(redis::cmd("SET").arg(key).arg(value.to_string()).query_async(&mut connection).await?)
    }

    /// Writes a value as the bot would, for what no test can wait for.
    pub async fn plants(&self, key: &str, mut value: Value) -> Result<()> {
        seal(key, &mut value);
        self.forges(key, &value).await
    }

    /// Runs a command on the Redis of leases and wake-ups.
    pub async fn redis<T: redis::FromRedisValue>(&self, command: &[&str]) -> Result<T> {
        let mut connection = redis::Client::open(self.redis.url())?.get_multiplexed_async_connection().await?;
        let mut cmd = redis::cmd(command.first().copied().unwrap_or_default());
        for argument in command.iter().skip(1) {
            cmd.arg(*argument);
        }
        Ok(cmd.query_async(&mut connection).await?)
    }

    /// Resets the bot's pace of messages, for tests that are not about that pace.
    pub async fn nobody_spoke(&self) -> Result<()> {
        for pace in ["deploy-bot/edits*", "deploy-bot/posts*"] {
            for key in self.redis::<Vec<String>>(&["KEYS", pace]).await? {
                self.redis::<i64>(&["DEL", &key]).await?;
            }
        }
        Ok(())
    }

    /// Nothing is left over: no id in flight, no lease, no stream, no key without an owner, no request that a system did not know. And
    /// the promise was kept, see [`promise`].
    pub async fn nothing_left(&self) -> Result<()> {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let mut left = Vec::new();
            let in_flight: Vec<String> = self.redis(&["ZRANGE", "deploy-bot/in-flight", "0", "-1"]).await?;
            left.extend(in_flight.into_iter().filter(|id| id != "whole").map(|id| format!("in flight: {id}")));
            let leases: Vec<String> = self.redis(&["KEYS", "deploy-bot/lease/*"]).await?;
            // `resume` is no lease of anybody: it says "not again so soon" and runs out.
            left.extend(leases.into_iter().filter(|key| !key.ends_with("/resume")));
            let streams = self.argocd.lock().open_streams();
            if streams > 0 {
                left.push(format!("{streams} open streams"));
            }
            if left.is_empty() {
                break;
            }
            if std::time::Instant::now() > deadline {
                bail!("left over: {left:#?}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let entries = self.journal.entries();
        if let Some(entry) = entries.iter().find(|entry| entry.call.ends_with(".unexpected")) {
            bail!("a request that {} does not know: {}", entry.system, entry.target);
        }
        self.owned().await?;
        self.promise().await
    }

    /// Every key is a single one of ours, or belongs to a deployment that a history or the ring of early ends remembers.
    async fn owned(&self) -> Result<()> {
        let keys = self.keys().await?;
        let mut remembered = Vec::new();
        for key in &keys {
            if key.ends_with("/history") || key == "deploy-bot/early-ends" || key == "deploy-bot/of-several" {
                let ring = self.key(key).await?.unwrap_or_default();
                let ids = [&ring["ids"], &ring["committed"]].into_iter().filter_map(Value::as_array).flatten();
                remembered.extend(ids.filter_map(|id| id.as_str().map(str::to_owned)));
            }
        }
        for key in &keys {
            let owned = match key.strip_prefix("deploy-bot/deployment/").and_then(|rest| rest.split_once('/')) {
                Some((id, _)) => remembered.iter().any(|known| known == id),
                None => {
                    key.starts_with("deploy-bot/target/")
                        || key.starts_with("deploy-bot/application/")
                        || key.starts_with("deploy-bot/registry/")
                        || key.starts_with("deploy-bot/group/")
                        || key.starts_with("deploy-bot/person/")
                        || key.starts_with("deploy-bot/form/")
                        || key.starts_with("deploy-bot/seen/")
                        || key.starts_with("deploy-bot/selected/")
                        || [
                            "deploy-bot/catalog",
                            "deploy-bot/managed",
                            "deploy-bot/early-ends",
                            "deploy-bot/of-several",
                            "deploy-bot/branch/rewritten",
                            "deploy-bot/catalog-pushed",
                            "deploy-bot/catalog-told",
                            "deploy-bot/lock",
                            "deploy-bot/locks",
                            "deploy-bot/workspace",
                            "deploy-bot/waits",
                        ]
                        .contains(&key.as_str())
                }
            };
            if !owned {
                bail!("a key without an owner: {key}");
            }
        }
        Ok(())
    }
}

/// Without the id in small print, which is another one each time.
pub fn without_id(text: &str) -> String {
    let is_id = |line: &&str| line.strip_prefix("id ").is_some_and(|id| id.len() == 8);
    text.lines().filter(|line| !is_id(line)).collect::<Vec<_>>().join("\n")
}

fn is_announcement(message: &Message) -> bool {
    message.text().contains(NOT_DEPLOYED)
}

fn of_deployments(slack: &Slack) -> impl Iterator<Item = &Message> {
    slack.messages(world::DEPLOYS).iter().filter(|message| !is_announcement(message))
}

/// The lines that differ between two texts of the same number of lines, as `(old, new)`.
pub fn changed_lines(old: &[u8], new: &[u8]) -> Vec<(String, String)> {
    let lines = |bytes: &[u8]| String::from_utf8_lossy(bytes).split('\n').map(str::to_owned).collect::<Vec<_>>();
    let (old, new) = (lines(old), lines(new));
    assert_eq!(old.len(), new.len(), "no line is added or removed");
    old.into_iter().zip(new).filter(|(old, new)| old != new).collect()
}

/// Seals a stored value as the role does that writes it.
pub fn seal(key: &str, value: &mut Value) {
    let writer = match key.rsplit('/').next() {
        _ if key.starts_with("deploy-bot/push/") => Writer::GithubRelay,
        Some("push" | "rewritten" | "catalog-pushed") => Writer::GithubRelay,
        _ if key.starts_with("deploy-bot/seen/") || key.starts_with("deploy-bot/selected/") => Writer::SyncPoller,
        Some("watch" | "outcome" | "live") => Writer::SyncPoller,
        _ if ["group/", "person/", "form/"].iter().any(|of| key.starts_with(&format!("deploy-bot/{of}"))) => {
            Writer::SlackCommandAlone
        }
        Some(
            "request" | "commit" | "end" | "approvals" | "wait" | "waits" | "lock" | "catalog" | "catalog-told"
            | "workspace",
        ) => Writer::SlackCommandAlone,
        _ => Writer::SlackCommand,
    };
    let shared = Secret::new(sandbox::world::SLACK_BOT_TOKEN);
    let seals = Seals::shared(&shared, None).with_own(&Secret::new(sandbox::world::SLACK_SIGNING_SECRET), None);
    assert!(seals.seal(key, writer, value), "{key}");
}
