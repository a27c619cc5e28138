//! The two doors that face the internet: pushes that are not the bot's, the answer to Slack, memory, sizes,
//! starts.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use e2e::access::{Accesses, carried_elsewhere};
use fakes::Outgoing;
use fakes::github::webhook_headers;
use sandbox::application::{self, Application};
use sandbox::world::{self, ALICE, DEPLOYS};
use sandbox::{Options, Runner, Sandbox, now, wasm};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::load::{Load, MANY, SOME, median, part, wire};
use crate::report::{Row, Wanted};

const MIB: f64 = 1024.0 * 1024.0;

/// The component that does next to nothing, see `tests/limit`.
const LIMIT: &str = "limit";

/// The bot, and beside it the limit.
pub(crate) struct Doors {
    bot: Sandbox,
    limit: Application,
}

/// A push by somebody else to the GitOps branch, with everything that GitHub sends about a repository: 8 KB.
fn push(size: usize) -> Value {
    let api = |rest: &str| format!("https://api.github.com/repos/{}/{rest}", world::GITOPS);
    let mut repository = json!({
        "id": 35_129_377, "node_id": "MDEwOlJlcG9zaXRvcnkzNTEyOTM3Nw==", "name": "gitops", "full_name": world::GITOPS,
        "private": true, "description": "What runs in acme's clusters", "fork": false, "created_at": 1_430_869_212,
        "updated_at": "2026-05-05T23:40:12Z", "pushed_at": now() / 1000, "size": 4_812, "stargazers_count": 3,
        "default_branch": "main", "master_branch": "main", "topics": ["gitops", "argocd"], "visibility": "private",
        "owner": { "name": "acme", "login": "acme", "id": 6_752_317, "type": "Organization", "site_admin": false },
    });
    for part in [
        "forks",
        "keys{/key_id}",
        "collaborators{/collaborator}",
        "teams",
        "hooks",
        "issues/events{/number}",
        "events",
        "assignees{/user}",
        "branches{/branch}",
        "tags",
        "git/blobs{/sha}",
        "git/tags{/sha}",
        "git/refs{/sha}",
        "git/trees{/sha}",
        "statuses/{sha}",
        "languages",
        "stargazers",
        "contributors",
        "subscribers",
        "subscription",
        "commits{/sha}",
        "git/commits{/sha}",
        "comments{/number}",
        "issues/comments{/number}",
        "contents/{+path}",
        "compare/{base}...{head}",
        "merges",
        "{archive_format}{/ref}",
        "downloads",
        "issues{/number}",
        "pulls{/number}",
        "milestones{/number}",
        "notifications{?since,all,participating}",
        "labels{/name}",
        "releases{/id}",
        "deployments",
    ] {
        let name = part.split(['/', '{']).next().unwrap_or_default();
        repository[format!("{name}_url_{}", part.len())] = api(part).into();
    }
    let sha = |digit: char| digit.to_string().repeat(40);
    let person = json!({ "name": "Alice", "email": "alice@acme.example", "username": "alice" });
    let mut commit = json!({
        "id": sha('b'), "tree_id": sha('c'), "distinct": true, "message": "Explain how to read the dashboards",
        "timestamp": "2026-05-05T19:40:15-04:00", "url": api("commit"), "author": person, "committer": person,
        "added": [], "removed": [], "modified": ["docs/dashboards.md"],
    });
    let mut push = json!({
        "ref": "refs/heads/main", "before": sha('a'), "after": sha('b'), "created": false, "deleted": false,
        "forced": false, "base_ref": null, "compare": api("compare"), "commits": [commit], "head_commit": commit,
        "repository": repository, "pusher": { "name": "alice", "email": "alice@acme.example" },
        "sender": { "login": "alice", "id": 6_752_318, "type": "User", "site_admin": false },
    });
    // The rest is what people write about their commit, which GitHub sends twice.
    let missing = size.saturating_sub(push.to_string().len()) / 2;
    let message = format!("Explain how to read the dashboards\n\n{}", "More words on it. ".repeat(missing / 18));
    commit["message"] = message.into();
    push["commits"] = json!([commit]);
    push["head_commit"] = commit;
    push
}

fn signed(body: &[u8], secret: &str) -> Bytes {
    wire("/github/webhook", &webhook_headers(secret, "push", "72d3162e-cc78-11e3-81ab-4c9367dc0958", body), body)
}

impl Doors {
    pub(crate) async fn open() -> Result<Self> {
        let runner = Runner::from_environment();
        let bot = Sandbox::start(Options { runner: runner.clone(), ..Options::default() }).await?;
        tokio::task::spawn_blocking(|| wasm::build_also(LIMIT)).await??;
        let answer = json!({ "ignored": "a person's push" }).to_string();
        let options = application::Options {
            manifest: &wasm::root().join("tests/limit/spin.toml"),
            variables: &BTreeMap::from([("answer".to_owned(), answer)]),
            redis: &bot.redis,
            subscribers: 0,
            store: &bot.store,
            listen: None,
            log: std::sync::Arc::new(|_: &str, _: &str| {}),
            count_instructions: false,
        };
        let limit = Application::start(&runner, options).await?;
        Ok(Self { bot, limit })
    }

    fn bot(&self) -> Result<std::net::SocketAddr> {
        self.bot.bot.address().context("the bot listens")
    }

    /// Requests a second through the bot and through the limit, in turns, because other work goes on on the
    /// machine. For each, the best fifth of the rounds counts.
    async fn in_turns(&self, load: &Load, connections: usize) -> Result<(f64, f64)> {
        let limit = load.status(200);
        let (mut ours, mut best) = (Vec::new(), Vec::new());
        for _ in 0..15 {
            best.push(limit.throughput(self.limit.address(), connections, Duration::from_millis(600)).await?);
            ours.push(load.throughput(self.bot()?, connections, Duration::from_millis(600)).await?);
        }
        ours.sort_by(f64::total_cmp);
        best.sort_by(f64::total_cmp);
        Ok((part(&ours, 0.8)?, part(&best, 0.8)?))
    }

    /// 1. Pushes that are not the bot's.
    pub(crate) async fn pushes(&self) -> Result<Vec<Row>> {
        let body = push(8 << 10).to_string().into_bytes();
        let empty = Load::new(vec![wire("/empty", &[], &body)], 200);
        let empty = empty.throughput(self.limit.address(), MANY, Duration::from_secs(2)).await?;
        let genuine = Load::new(vec![signed(&body, world::WEBHOOK_SECRET)], 200);
        let forged = Load::new(vec![signed(&body, "another secret of the same kind")], 401);
        let mut rows = vec![Row::new("a component that answers nothing", empty, "/s")];
        for connections in [SOME, MANY] {
            for (what, load, wanted) in [("a person's push", &genuine, 0.9), ("a forged push", &forged, 0.95)] {
                let (ours, limit) = self.in_turns(load, connections).await?;
                let what = format!("{what} of {} bytes, {connections} connections", body.len());
                let row = Row::new(what, ours, "/s").against(limit, "reads, one variable, answers");
                rows.push(row.wanted(Wanted::RatioAtLeast(wanted)));
            }
        }
        Ok(rows)
    }

    /// Commands that are accepted and saved, while another process seems to work on them: nothing follows the
    /// answer.
    async fn commands(&self, count: usize) -> Result<Load> {
        let make = |_| self.bot.slack.lock().command(now(), ALICE, DEPLOYS, "checkout main");
        let commands: Vec<Outgoing> = (0..count).map(make).collect();
        carried_elsewhere(&self.bot, &commands).await?;
        let requests = commands.iter().map(|command| wire(&command.path, &command.headers, &command.body)).collect();
        Ok(Load::new(requests, 200))
    }

    /// 2. The answer to Slack.
    pub(crate) async fn answers(&self) -> Result<Vec<Row>> {
        let load = self.commands(4_096).await?;
        let took = load.latencies(self.bot()?, 50, Duration::from_secs(10)).await?;
        let millis = |p| part(&took, p).map(|took| took.as_secs_f64() * 1000.0);
        let (ours, limit) = self.in_turns(&load, MANY).await?;

        // One at a time, so that the count is of this command: what comes before the answer, and after the
        // answer the look for a carrier.
        sleep(Duration::from_millis(1500)).await;
        let one = self.commands(2).await?;
        one.once(self.bot()?, 0).await?;
        sleep(Duration::from_millis(200)).await;
        let mut accesses = Accesses::since_now(&self.bot).await?;
        one.once(self.bot()?, 1).await?;
        sleep(Duration::from_millis(200)).await;
        let (redis, store) = (accesses.redis().await?, accesses.store().await?);
        let count =
            |commands: &BTreeMap<String, u64>, name: &str| commands.get(name).copied().unwrap_or_default() as f64;
        Ok(vec![
            Row::new("half of the answers at 50 a second within", millis(0.5)?, "ms"),
            Row::new("99 % of them within", millis(0.99)?, "ms").wanted(Wanted::AtMost(50.0)),
            Row::new("commands accepted and saved", ours, "/s").against(limit, "reads, one variable, answers"),
            Row::new("writes to the store for each", count(&store, "set"), "").wanted(Wanted::Exactly(1.0)),
            Row::new("reads from it before the answer", count(&store, "get"), "").wanted(Wanted::Exactly(0.0)),
            Row::new("Redis commands before the answer", count(&redis, "zadd"), "").wanted(Wanted::Exactly(1.0)),
            Row::new("Redis commands in all, with the carrier's lease", redis.values().sum::<u64>() as f64, "")
                .wanted(Wanted::Exactly(2.0)),
        ])
    }

    /// 7. Memory.
    pub(crate) async fn memory(&self) -> Result<Vec<Row>> {
        let small = push(8 << 10).to_string().into_bytes();
        let load = Load::new(vec![signed(&small, world::WEBHOOK_SECRET)], 200);
        let most = |bot: &Sandbox| match bot.cost("github-relay") {
            Some(cost) => Some(cost.memory),
            None => bot.memory(),
        };
        load.many(self.bot()?, 300).await?;
        let before = most(&self.bot).context("memory can be seen")?;
        let large = push(25 << 20).to_string().into_bytes();
        let large = Load::new(vec![signed(&large, world::WEBHOOK_SECRET)], 200);
        let mut after = before;
        let address = self.bot()?;
        let asking = tokio::spawn(async move { large.once(address, 0).await });
        while !asking.is_finished() {
            after = after.max(most(&self.bot).unwrap_or_default());
            sleep(Duration::from_millis(2)).await;
        }
        let took = asking.await??;
        after = after.max(most(&self.bot).unwrap_or_default());

        load.many(self.bot()?, 2_000).await?;
        let warm = self.bot.memory().context("memory can be seen")?;
        load.many(self.bot()?, 10_000).await?;
        let steady = self.bot.memory().context("memory can be seen")?;
        // Spin does not tell what an instance has; its process also holds what is on its way.
        let (whose, wanted) = match self.bot.cost("github-relay") {
            Some(_) => ("an instance's memory", Wanted::AtMost(16.0)),
            None => ("the process's memory", Wanted::Nothing),
        };
        Ok(vec![
            Row::new(format!("{whose}, small pushes"), before as f64 / MIB, "MiB"),
            Row::new("more for one of 25 MB", after.saturating_sub(before) as f64 / MIB, "MiB").wanted(wanted),
            Row::new("which is answered after", took.as_secs_f64() * 1000.0, "ms"),
            Row::new("the process after 10,000 more requests", steady as f64 / MIB, "MiB")
                .against(warm as f64 / MIB, "MiB before")
                .wanted(Wanted::RatioAtMost(1.05)),
        ])
    }

    /// 8. Sizes and starts; the instructions are in `costs`.
    pub(crate) async fn starts(mut self) -> Result<Vec<Row>> {
        let size = |name: &str| -> Result<f64> {
            let file = wasm::root().join(format!("target/wasm32-wasip2/release/{name}.wasm"));
            Ok(std::fs::metadata(file)?.len() as f64 / 1024.0)
        };
        let limit = size(LIMIT)?;
        let mut rows = Vec::new();
        for (name, most) in [("slack_command", 2_240_000.0), ("github_relay", 580_000.0), ("sync_poller", 1_060_000.0)]
        {
            let row = Row::new(format!("{name}.wasm"), size(name)?, "KiB").against(limit, "KiB limit.wasm");
            rows.push(row.wanted(Wanted::AtMost(most / 1024.0)));
        }

        // An instance that was idle for a second is gone, so each of these requests needs a new instance.
        let body = push(1 << 10).to_string().into_bytes();
        let relay = Load::new(vec![signed(&body, "another secret of the same kind")], 401);
        let slack = Load::new(vec![wire("/slack/command", &[], b"")], 415);
        let empty = Load::new(vec![wire("/empty", &[], b"")], 200);
        let mut took: [Vec<f64>; 3] = Default::default();
        for _ in 0..12 {
            sleep(Duration::from_millis(1_300)).await;
            let [none, relays, slacks] = &mut took;
            none.push(empty.once(self.limit.address(), 0).await?.as_secs_f64() * 1000.0);
            relays.push(relay.once(self.bot()?, 0).await?.as_secs_f64() * 1000.0);
            slacks.push(slack.once(self.bot()?, 0).await?.as_secs_f64() * 1000.0);
        }
        let [none, relays, slacks] = took.map(median);
        let none = none?;
        const EMPTY: &str = "ms empty component";
        rows.push(Row::new("first answer of a new github-relay", relays?, "ms").against(none, EMPTY));
        rows.push(Row::new("first answer of a new slack-command", slacks?, "ms").against(none, EMPTY));

        self.bot.stop_bot().await;
        let begun = Instant::now();
        self.bot.start_bot().await?;
        relay.once(self.bot()?, 0).await?;
        let what = if self.bot.cost("github-relay").is_some() { ", compiled before" } else { "" };
        rows.push(Row::new(format!("from start to first answer{what}"), begun.elapsed().as_secs_f64() * 1000.0, "ms"));
        Ok(rows)
    }
}
