//! The bot as real wasm, two real Redis processes, and the systems around it as stand-ins on loopback: what
//! `cargo run` plays with and what the end-to-end tests assert on. Both speak HTTP and Redis only, so the bot may run
//! in the built-in host or in a real Spin.
//!
//! Reading order: this file, `world` (what there is to deploy), `serve`, `bot`, `journal`, then `redis`, `wasm`, `spin`.

pub mod application;
pub mod bot;
pub mod chart;
mod git;
pub mod hold;
pub mod journal;
mod manifest;
pub mod real;
pub mod redis;
pub mod serve;
pub mod spin;
pub mod wasm;
pub mod world;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use fakes::argocd::ArgoCd;
use fakes::gate::Gate;
use fakes::github::GitHub;
use fakes::registry::Registry;
use fakes::slack::{Message, Slack};
use fakes::{Millis, Outgoing, StandIn};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use crate::application::Application;
use crate::bot::{Bot, Exchange};
use crate::git::GitServer;
use crate::journal::Journal;
use crate::real::RealArgoCd;
use crate::redis::{Install, Redis};
use crate::serve::Server;

pub use crate::application::Runner;

/// Milliseconds since the Unix epoch.
pub fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis() as Millis
}

/// A test that failed while it held a lock should not hide why.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the stand-ins begin with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Seed {
    /// The company of [`world`].
    #[default]
    Company,
    /// Nothing but the bot's accounts.
    Nothing,
}

/// How to start a sandbox.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What runs the bot.
    pub runner: Runner,
    /// Shorter periods, by name and in milliseconds; `None`: as in production. They are a variable that only tests have, so a copy of
    /// `spin.toml` with that variable is run.
    pub limits: Option<Value>,
    /// Other Spin variables, instead of the sandbox's own.
    pub variables: BTreeMap<String, String>,
    /// What there is to begin with.
    pub seed: Seed,
    /// The Argo CD that the bot talks to, instead of the stand-in. Argo CD's stand-in is then only a proxy before it, which plays the
    /// faults and remembers what was asked.
    pub argocd: Option<Arc<RealArgoCd>>,
    /// How long every request to a stand-in waits before it takes effect.
    pub latency: Duration,
    /// Whether missing programs may be installed.
    pub install: Install,
    /// How many replicas of the bot there are, on one store and one Redis; 0 counts as one.
    pub replicas: usize,
    /// Whether the built-in host counts instructions, see [`host::Cost`].
    pub count_instructions: bool,
}

type Lines = Arc<Mutex<Vec<String>>>;

/// The whole thing, running. Dropping it ends every process and closes every connection.
pub struct Sandbox {
    // The order matters when it is dropped: the bot first.
    running: Vec<Option<Application>>,
    /// The bot's address, and every exchange with it.
    pub bot: Bot,
    /// Slack.
    pub slack: Server<Slack>,
    /// GitHub.
    pub github: Server<GitHub>,
    /// The container registry.
    pub registry: Server<Registry>,
    /// The service that the gate `ask` asks.
    pub gate: Server<Gate>,
    /// Argo CD's stand-in, or the proxy before the real one.
    pub argocd: Server<ArgoCd>,
    /// The real Argo CD, if there is one.
    pub real: Option<Arc<RealArgoCd>>,
    /// What the names of the Argo CD applications end in, after the app's.
    pub suffix: String,
    /// The origin of the repositories, as Argo CD has it.
    pub git_origin: String,
    /// Everything that happened.
    pub journal: Journal,
    /// The Redis of leases and wake-ups.
    pub redis: Redis,
    /// The Redis behind the key-value store.
    pub store: Redis,
    /// The Spin variables; a change takes effect at the next start of the bot.
    pub variables: BTreeMap<String, String>,
    _git: Option<GitServer>,
    manifest: manifest::Manifest,
    runner: Runner,
    count_instructions: bool,
    lines: Lines,
    clock: AbortHandle,
}

impl Sandbox {
    /// Builds the components and starts everything.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let install = options.install;
        let (redis, store) = tokio::try_join!(Redis::start(install), Redis::start(install))?;
        tokio::task::spawn_blocking(move || wasm::build(install)).await??;

        let (on_slack, slack_url) = listen().await?;
        let (on_github, github_url) = listen().await?;
        let (on_registry, registry_url) = listen().await?;
        let (on_argocd, argocd_url) = listen().await?;
        let (on_gate, gate_url) = listen().await?;
        let registry_host = registry_url.trim_start_matches("http://");
        let real = options.argocd;
        let suffix = if real.is_some() { unique_suffix() } else { String::new() };
        let webhook_secret = real.as_ref().map_or(world::WEBHOOK_SECRET, |real| &real.webhook_secret).to_owned();
        let argocd_token = real.as_ref().map_or(world::ARGOCD_TOKEN, |real| &real.token).to_owned();

        let mut slack = Slack::new(world::SLACK_SIGNING_SECRET, world::SLACK_BOT_TOKEN, &slack_url);
        let mut github = GitHub::new(world::GITHUB_TOKEN, world::BOT_LOGIN);
        let mut registry = Registry::new(&registry_url);
        if options.seed == Seed::Company {
            world::slack(&mut slack);
            let run = world::Run { host: registry_host, webhook_secret: &webhook_secret, suffix: &suffix };
            world::code(&mut github, &mut registry, &run);
        }
        let git = if real.is_some() {
            let (on_git, origin) = listen().await?;
            github.web = origin;
            Some(on_git)
        } else {
            None
        };
        let git_origin = github.web.clone();
        let github = Arc::new(Mutex::new(github));
        let git = git.map(|on_git| GitServer::start(on_git, github.clone())).transpose()?;
        let mut argocd = ArgoCd::new(Box::new(world::GitOf(github.clone())), world::ARGOCD_TOKEN);
        argocd.webhook_secret = world::WEBHOOK_SECRET.to_owned();
        if options.seed == Seed::Company && real.is_none() {
            world::applications(&mut argocd, registry_host);
        }

        let credentials = json!({ registry_host: {
            "username": world::REGISTRY_USER, "password": world::REGISTRY_PASSWORD,
        }});
        let own = [
            ("slack_signing_secret", world::SLACK_SIGNING_SECRET.to_owned()),
            ("slack_bot_token", world::SLACK_BOT_TOKEN.to_owned()),
            ("slack_team_id", world::TEAM.to_owned()),
            ("slack_url", slack_url),
            ("github_token", world::GITHUB_TOKEN.to_owned()),
            ("github_url", github_url),
            // Its calls would be in the way of tests that count calls.
            ("github_deployments", "off".to_owned()),
            ("github_webhook_secret", webhook_secret),
            ("gitops_repo", world::GITOPS.to_owned()),
            ("registry_url", registry_url),
            ("registry_credentials", credentials.to_string()),
            ("gate_url", gate_url),
            ("gate_key", world::GATE_KEY.to_owned()),
            ("argocd_url", argocd_url),
            ("argocd_token", argocd_token),
            ("redis_url", redis.url()),
            ("redis_origin", redis.url()),
        ];
        let mut variables: BTreeMap<String, String> =
            own.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        variables.extend(options.variables);
        let manifest = match &options.limits {
            Some(limits) => {
                variables.insert("limits".to_owned(), limits.to_string());
                manifest::with_limits(&wasm::root())?
            }
            None => manifest::own(&wasm::root()),
        };

        let journal = Journal::default();
        let replicas = options.replicas.max(1);
        let bot = Bot::new(replicas, journal.clone());
        let (slack, registry, argocd) = (shared(slack), shared(registry), shared(argocd));
        let stand_ins: Vec<Arc<Mutex<dyn StandIn>>> =
            vec![slack.clone(), github.clone(), registry.clone(), argocd.clone()];
        let clock = tokio::spawn(bot::run(stand_ins, bot.clone())).abort_handle();
        let mut sandbox = Self {
            running: (0..replicas).map(|_| None).collect(),
            bot,
            slack: Server::start(on_slack, "slack", slack, journal.clone(), None)?,
            github: Server::start(on_github, "github", github, journal.clone(), None)?,
            registry: Server::start(on_registry, "registry", registry, journal.clone(), None)?,
            gate: Server::start(on_gate, "gate", shared(Gate::new(world::GATE_KEY)), journal.clone(), None)?,
            argocd: Server::start(
                on_argocd,
                "argocd",
                argocd,
                journal.clone(),
                real.as_ref().map(|real| real.address),
            )?,
            real,
            suffix,
            git_origin,
            _git: git,
            journal,
            redis,
            store,
            variables,
            manifest,
            runner: options.runner,
            count_instructions: options.count_instructions,
            lines: Lines::default(),
            clock,
        };
        sandbox.latency(options.latency);
        sandbox.start_bot().await?;
        Ok(sandbox)
    }

    /// How long every request to a stand-in waits from now on.
    pub fn latency(&self, latency: Duration) {
        self.slack.latency(latency);
        self.github.latency(latency);
        self.registry.latency(latency);
        self.argocd.latency(latency);
    }

    /// Starts every replica of the bot that does not run, each on its old port if it had one.
    pub async fn start_bot(&mut self) -> anyhow::Result<()> {
        for replica in 0..self.running.len() {
            if self.running[replica].is_none() {
                self.start_replica(replica).await?;
            }
        }
        Ok(())
    }

    async fn start_replica(&mut self, replica: usize) -> anyhow::Result<()> {
        let lines = self.lines.clone();
        let who = if self.running.len() > 1 { format!("replica {replica}: ") } else { String::new() };
        let log: host::Log = Arc::new(move |component: &str, line: &str| {
            lock(&lines).push(format!("{who}{component}: {line}"));
        });
        let options = application::Options {
            manifest: self.manifest.path(),
            variables: &self.variables,
            redis: &self.redis,
            subscribers: self.running.iter().flatten().count() + 1,
            store: &self.store,
            listen: self.bot.address_of(replica),
            log,
            count_instructions: self.count_instructions,
        };
        let running = Application::start(&self.runner, options).await.with_context(|| self.log())?;
        let address = running.address();
        self.bot.is_up(replica, address);
        self.running[replica] = Some(running);
        Ok(())
    }

    /// From the next start on, a component has a value of its own for a variable. Needs [`Options::limits`].
    pub fn set_of(&self, component: &str, variable: &str, value: &str) -> anyhow::Result<()> {
        self.manifest.set(component, variable, value)
    }

    /// Ends the bot as SIGTERM does: its requests and its background work die.
    pub async fn stop_bot(&mut self) {
        for replica in 0..self.running.len() {
            self.bot.is_down(replica);
            if let Some(running) = self.running[replica].take() {
                running.stop().await;
            }
        }
    }

    /// Kills the bot as SIGKILL does: at whatever point it is, all of it at once, without a goodbye.
    pub async fn kill_bot(&mut self) {
        for replica in 0..self.running.len() {
            self.kill_replica(replica).await;
        }
    }

    /// Kills one replica so.
    pub async fn kill_replica(&mut self, replica: usize) {
        self.bot.is_down(replica);
        if let Some(running) = self.running[replica].take() {
            running.kill().await;
        }
    }

    /// Waits until the bot has ended by itself, as it does when it loses Redis.
    pub async fn bot_ends(&mut self) -> anyhow::Result<()> {
        for replica in 0..self.running.len() {
            let Some(running) = self.running[replica].as_mut() else { continue };
            timeout(Duration::from_secs(20), running.ended()).await.context("the bot did not end by itself")?;
            self.kill_replica(replica).await;
        }
        Ok(())
    }

    /// Whether no replica of the bot runs.
    pub fn is_dead(&self) -> bool {
        self.running.iter().all(Option::is_none)
    }

    /// How much memory the bot has, in bytes; in the built-in host that of this whole process. `None` where the system does not tell.
    pub fn memory(&self) -> Option<u64> {
        self.running.iter().flatten().map(Application::memory).max().flatten()
    }

    /// What a component of the first replica has cost so far. Only the built-in host can tell.
    pub fn cost(&self, component: &str) -> Option<host::Cost> {
        self.running.first()?.as_ref()?.cost(component)
    }

    /// Ends the bot and starts it again on the same port.
    pub async fn restart_bot(&mut self) -> anyhow::Result<()> {
        self.stop_bot().await;
        self.start_bot().await
    }

    /// A person types `/deploy <text>` and sees the answer.
    pub async fn command(&self, user: &str, channel: &str, text: &str) -> Exchange {
        let outgoing = self.slack.lock().command(now(), user, channel, text);
        self.send(&outgoing).await
    }

    /// A person writes this, which mentions the bot, in a thread or in the channel.
    pub async fn mention(&self, user: &str, channel: &str, thread: Option<&str>, text: &str) -> Exchange {
        let outgoing = self.slack.lock().mention(now(), user, channel, thread, text);
        self.send(&outgoing.expect("the bot is told of mentions")).await
    }

    /// A person clicks a button of a message or of what only they see; `None` if they see no such button.
    pub async fn click(&self, user: &str, channel: &str, ts: &str, action_id: &str) -> Option<Exchange> {
        let outgoing = self.slack.lock().click(now(), user, channel, ts, action_id)?;
        Some(self.send(&outgoing).await)
    }

    /// A person presses a button of a message, of a reply or of what only they see, and sees the answer. It has to be there.
    pub async fn press(&self, user: &str, on: &Message, action_id: &str) -> Exchange {
        match self.click(user, &on.channel, &on.ts, action_id).await {
            Some(exchange) => exchange,
            None => panic!("{user} sees no button {action_id} in:\n{}", self.slack.lock().render(on)),
        }
    }

    /// Sends what the Slack stand-in made, and shows the person the bot's answer.
    pub async fn send(&self, outgoing: &Outgoing) -> Exchange {
        let exchange = self.bot.send(outgoing).await;
        // Without an answer Slack says that the dispatch failed.
        let status = exchange.status.unwrap_or(0);
        self.slack.lock().answered(now(), outgoing, status, exchange.body.as_bytes());
        exchange
    }

    /// Looks every few milliseconds until there is something to see; the error says what there was not, and what happened.
    pub async fn until<T>(
        &self,
        what: &str,
        limit: Duration,
        mut look: impl FnMut(&Self) -> Option<T>,
    ) -> anyhow::Result<T> {
        let begun = Instant::now();
        loop {
            if let Some(seen) = look(self) {
                return Ok(seen);
            }
            if begun.elapsed() > limit {
                bail!("no {what} within {limit:?}\n{}\n{}", self.journal, self.log());
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// What the bot wrote to its log, one line each, with the component's name.
    pub fn log(&self) -> String {
        lock(&self.lines).join("\n")
    }

    /// Ends everything and waits for it.
    pub async fn stop(mut self) {
        self.stop_bot().await;
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.clock.abort();
    }
}

/// Several sandboxes, of several processes, may share a real Argo CD.
fn unique_suffix() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

fn shared<T>(value: T) -> Arc<Mutex<T>> {
    Arc::new(Mutex::new(value))
}

/// A listener on loopback, and its origin.
async fn listen() -> anyhow::Result<(TcpListener, String)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let origin = format!("http://{}", listener.local_addr()?);
    Ok((listener, origin))
}
