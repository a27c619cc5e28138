//! Counts the commands that reach the two Redis processes, to prove that a request cost the bot nothing.
//!
//! Easy to miss: counting is a command, too. The counter keeps one connection to each Redis and leaves its
//! own commands out.

use anyhow::{Context, Result};
use clients::signature::{SigningKey, deployment_id};
use domain::names::{Secret, SlackTeam};
use fakes::Outgoing;
use redis::aio::MultiplexedConnection;
use sandbox::{Sandbox, world};
use std::collections::BTreeMap;

/// Counts since it was begun.
pub struct Accesses {
    leases: Counter,
    store: Counter,
}

impl Accesses {
    /// Counts from now on. Nothing else may be going on.
    pub async fn since_now(room: &Sandbox) -> Result<Self> {
        Ok(Self {
            leases: Counter::new(room.redis.connect().await?).await?,
            store: Counter::new(room.store.connect().await?).await?,
        })
    }

    /// The commands that the Redis of leases and wake-ups got, with how often; `connect` is a new connection.
    pub async fn redis(&mut self) -> Result<BTreeMap<String, u64>> {
        self.leases.since().await
    }

    /// The same of the Redis behind the key-value store.
    pub async fn store(&mut self) -> Result<BTreeMap<String, u64>> {
        self.store.since().await
    }

    /// Nothing reached either since it was begun.
    pub async fn none(&mut self) -> Result<()> {
        let (redis, store) = (self.redis().await?, self.store().await?);
        anyhow::ensure!(redis.is_empty() && store.is_empty(), "Redis got {redis:?}, the store {store:?}");
        Ok(())
    }
}

/// Takes the leases of the carriers of these commands, so that after the answers only the look at the lease
/// follows.
pub async fn carried_elsewhere(room: &Sandbox, commands: &[Outgoing]) -> Result<()> {
    let key = SigningKey::new(&Secret::new(world::SLACK_SIGNING_SECRET)).context("a key")?;
    let team = SlackTeam::parse(world::TEAM).ok().context("a team")?;
    let mut leases = redis::pipe();
    for command in commands {
        let fields: BTreeMap<String, String> = form_urlencoded::parse(&command.body).into_owned().collect();
        let id = deployment_id(&key, Some(&team), fields.get("trigger_id").context("a trigger")?);
        leases.cmd("SET").arg(format!("deploy-bot/lease/carry/{id}")).arg("elsewhere").arg("EX").arg(600).ignore();
    }
    Ok(leases.query_async(&mut room.redis.connect().await?).await?)
}

struct Counter {
    connection: MultiplexedConnection,
    before: BTreeMap<String, u64>,
}

impl Counter {
    async fn new(connection: MultiplexedConnection) -> Result<Self> {
        let mut counter = Self { connection, before: BTreeMap::new() };
        counter.before = counter.read().await?;
        Ok(counter)
    }

    async fn since(&mut self) -> Result<BTreeMap<String, u64>> {
        let now = self.read().await?;
        let more = |(name, count): (String, u64)| {
            let before = self.before.get(&name).copied().unwrap_or_default();
            (count > before).then(|| (name, count - before))
        };
        Ok(now.into_iter().filter_map(more).collect())
    }

    async fn read(&mut self) -> Result<BTreeMap<String, u64>> {
        let info: String = redis::cmd("INFO").arg("all").query_async(&mut self.connection).await?;
        let count = |line: &str| {
            if let Some(connections) = line.strip_prefix("total_connections_received:") {
                return Some(("connect".to_owned(), connections.parse().ok()?));
            }
            let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            let counts = name != "info" && !OPENING.iter().any(|opening| name.starts_with(opening));
            counts.then_some(())?;
            Some((name.to_owned(), rest.split(',').next()?.parse().ok()?))
        };
        Ok(info.lines().filter_map(count).collect())
    }
}

/// What clients say while they connect; that is counted as `connect`.
const OPENING: [&str; 5] = ["client", "hello", "auth", "select", "ping"];
