//! Whole deploys: what the bot adds to the round trips that it needs, what watching costs, what a large file
//! costs, and whether costs grow with the number of earlier deploys.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use e2e::access::Accesses;
use e2e::crowd::{app, build, everybody_types, grow};
use e2e::quick;
use fakes::argocd::{Health, Script};
use fakes::slack::Limits;
use sandbox::journal::{Entry, Outcome};
use sandbox::serve::BEAT;
use sandbox::world::{ALICE, DEPLOYS, GITOPS};
use sandbox::{Options, Runner, Sandbox, now};
use tokio::time::sleep;

use crate::load::{median, part};
use crate::report::{Row, Wanted};

/// How long every outside call takes.
const DELAY: u64 = 100;

/// How long anything may take here.
const PATIENCE: Duration = Duration::from_secs(420);

async fn sandbox(options: Options) -> Result<Sandbox> {
    Sandbox::start(Options { runner: Runner::from_environment(), ..options }).await
}

/// Alice deploys an app's `main`, and it goes live. Returns the journal of that deploy.
async fn deploy(bot: &Sandbox, app: &str) -> Result<Vec<Entry>> {
    let tag = build(bot, app);
    let begin = bot.journal.mark("deploy");
    bot.command(ALICE, DEPLOYS, &format!("{app} main")).await;
    bot.until(&format!("end of {app} {tag}"), PATIENCE, |bot| is_live(bot, &tag).then_some(())).await?;
    // Until the last edit is answered.
    let answered = |bot: &Sandbox| bot.journal.entries()[begin..].iter().all(is_over).then_some(());
    bot.until("answer to the last edit", PATIENCE, answered).await?;
    Ok(bot.journal.entries().split_off(begin))
}

fn is_live(bot: &Sandbox, tag: &str) -> bool {
    let slack = bot.slack.lock();
    let mut messages = slack.messages(DEPLOYS).iter().rev();
    messages.any(|message| {
        let text = slack.render(message);
        text.contains("is live") && text.contains(tag)
    })
}

fn is_over(entry: &Entry) -> bool {
    entry.call != "slack.update" || entry.outcome != Outcome::Open
}

fn end(entry: &Entry) -> u64 {
    entry.at + entry.took.unwrap_or_default()
}

fn find<'e>(entries: &'e [Entry], call: &str, target: &str) -> Result<&'e Entry> {
    let found = entries.iter().find(|entry| entry.call == call && entry.target.contains(target));
    found.with_context(|| format!("{call} {target}"))
}

/// How many calls came one after the other in that time. Calls that arrive before another call is answered
/// run beside it and count once.
fn round_trips(entries: &[Entry], from: u64, to: u64, of: &[&str]) -> u64 {
    let within = |entry: &&Entry| entry.at >= from && entry.at <= to && of.contains(&entry.call.as_str());
    let (mut trips, mut until) = (0, 0);
    for entry in entries.iter().filter(within) {
        if entry.at >= until {
            trips += 1;
        }
        until = until.max(end(entry));
    }
    trips
}

/// 3. How long a deploy takes besides its round trips.
pub(crate) async fn overhead() -> Result<Vec<Row>> {
    let bot = sandbox(Options { latency: Duration::from_millis(DELAY), ..Options::default() }).await?;
    // The first deploy reads the catalog.
    deploy(&bot, "checkout").await?;
    let mut figures: [Vec<f64>; 8] = Default::default();
    for _ in 0..5 {
        let entries = deploy(&bot, "checkout").await?;
        let answered = find(&entries, "bot.answered", "/slack/command")?.at;
        let commit = find(&entries, "github.commit", "")?;
        let hooked = find(&entries, "bot.asked", "/github/webhook")?.at;
        let sync = find(&entries, "argocd.sync", "")?;
        let last = entries.iter().rfind(|entry| entry.call == "slack.update").context("an edit")?;
        let healthy = {
            let argocd = bot.argocd.lock();
            let tag = argocd.live_tag("checkout").context("something runs")?;
            let seen = argocd.ran_well_at("checkout", tag).context("it runs well")?;
            // The stand-in's streams are written to once a beat.
            seen + argocd.cache_lag + BEAT.as_millis() as u64
        };
        const TO_COMMIT: [&str; 6] =
            ["github.query", "github.commit", "github.rest", "registry.head", "registry.get", "registry.token"];
        let registry = ["registry.head", "registry.token"];
        let registry =
            entries.iter().filter(|entry| entry.at < commit.at && registry.contains(&entry.call.as_str())).count();
        for (figure, value) in figures.iter_mut().zip([
            end(commit) - answered,
            round_trips(&entries, answered, commit.at, &TO_COMMIT),
            registry as u64,
            end(sync) - hooked,
            round_trips(&entries, hooked, sync.at, &["argocd.webhook", "argocd.sync", "argocd.get", "argocd.refresh"]),
            end(last).saturating_sub(healthy),
            // The edit may be on its way before that beat is over.
            round_trips(
                &entries,
                healthy - BEAT.as_millis() as u64,
                last.at,
                &["argocd.get", "argocd.refresh", "slack.update"],
            ),
            find(&entries, "bot.answered", "/slack/command")?.at - find(&entries, "bot.asked", "/slack/command")?.at,
        ]) {
            figure.push(value as f64);
        }
    }
    bot.stop().await;
    let [commit, trips, registry, sync, sync_trips, last, last_trips, answer] = figures.map(median);
    let (trips, sync_trips, last_trips, delay) = (trips?, sync_trips?, last_trips?, DELAY as f64);
    let (sync, registry) = (sync?, registry?);
    // Spin sets no TCP_NODELAY: a POST on a connection that was used before takes so much longer where the body does not go out
    // with the head, and the bot can only make that likely.
    let (post, what) = match Runner::from_environment() {
        Runner::BuiltIn => (0.0, "ms of round trips"),
        Runner::Spin(_) => (42.0, "ms of round trips, 42 ms a POST"),
    };
    Ok(vec![
        Row::new("the answer to Slack", answer?, "ms"),
        Row::new("round trips from the answer to the commit", trips, "").wanted(Wanted::AtMost(3.0)),
        Row::new("calls to the registry, the login beside the query", registry, ""),
        Row::new("from the answer to the commit", commit?, "ms")
            .against(trips * delay + 2.0 * post, what)
            .wanted(Wanted::RatioAtMost(1.15)),
        Row::new("round trips from the webhook to the accepted sync", sync_trips, "").wanted(Wanted::AtMost(2.0)),
        Row::new("from the webhook to the accepted sync", sync, "ms").against(sync_trips * delay + 2.0 * post, what),
        Row::new("of that, waiting", sync - sync_trips * delay - 2.0 * post, "ms").wanted(Wanted::AtMost(300.0)),
        Row::new("round trips from \"healthy\" to the last edit", last_trips, "").wanted(Wanted::AtMost(1.0)),
        Row::new("from \"healthy\" to the last edit", last?, "ms")
            .against(last_trips * delay + post, what)
            .wanted(Wanted::RatioAtMost(1.15)),
    ])
}

/// 4. What watching costs while nothing changes, and how soon a change is seen and posted.
pub(crate) async fn watching() -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut each = Vec::new();
    for count in [1, 10, 100] {
        let watched = watch(count).await?;
        let per = |total: f64| total / count as f64;
        let of = |what: &str| format!("{what}, {count} in flight");
        rows.extend([
            // A sync that takes its time: its Pods send no events, and an event of the application may be lost. So both are looked
            // at every 5 s.
            Row::new(of("calls a minute for each"), per(watched.calls), "").wanted(Wanted::AtMost(24.0)),
            Row::new(of("streams opened again a minute for each"), per(watched.streams), ""),
            Row::new(of("store operations a minute for each"), per(watched.store), ""),
            Row::new(of("Redis commands a minute in all"), watched.redis, ""),
            Row::new(of("95 % decided within"), part(&watched.decided, 0.95)? as f64, "ms")
                .wanted(Wanted::AtMost(500.0)),
        ]);
        let told = Row::new(of("95 % told within"), part(&watched.told, 0.95)? as f64, "ms");
        rows.push(if count <= 10 { told.wanted(Wanted::AtMost(1000.0)) } else { told });
        if count == 100 {
            rows.push(Row::new(of("most edits in a minute"), watched.edits, "").wanted(Wanted::AtMost(60.0)));
            let first = Row::new(of("progress told while an end waits for 2.5 s"), watched.overtaken, "");
            rows.push(first.wanted(Wanted::AtMost(0.0)));
        }
        each.push(per(watched.store));
    }
    let (few, many) = (each.first().context("measured")?, each.last().context("measured")?);
    rows.push(
        Row::new("store operations for each, 100 in flight", *many, "")
            .against(*few, "for one in flight")
            .wanted(Wanted::RatioAtMost(1.05)),
    );
    Ok(rows)
}

struct Watched {
    /// In a minute in which nothing changed, by all deploys together.
    calls: f64,
    streams: f64,
    store: f64,
    redis: f64,
    /// Milliseconds from "healthy" to the last word in the store, and to the edit that shows it; sorted.
    decided: Vec<u64>,
    told: Vec<u64>,
    /// The most edits in any minute.
    edits: f64,
    /// Words of progress that were posted although the end of another deploy had waited for a while.
    overtaken: f64,
}

/// How long we look while nothing changes: more than two rounds of a watch.
const QUIET: Duration = Duration::from_secs(60);

async fn watch(count: usize) -> Result<Watched> {
    let bot = sandbox(Options::default()).await?;
    bot.slack.lock().limits = Some(Limits::default());
    // When we have looked, the deploys end one after the other, over ten seconds.
    let step = 10_000 / count as u64;
    // GitHub takes 80 commits a minute, so the last of a hundred begins more than a minute after the first.
    let looked = if count > 10 { 240_000 } else { 90_000 };
    let ends = |n: usize| looked + n as u64 * step;
    grow(&bot, count, |n| Script { ends: ends(n), health: vec![(0, Health::Healthy)], ..Script::default() });
    everybody_types(&bot, count).await;
    let syncing = |bot: &Sandbox| (bot.argocd.lock().syncs().len() == count).then_some(());
    bot.until("sync of all", PATIENCE, syncing).await?;
    // Until the first words are posted: Slack's limit holds for these, too.
    sleep(Duration::from_secs(if count > 10 { 15 } else { 5 })).await;

    let (begin, mut accesses) = (bot.journal.mark("quiet"), Accesses::since_now(&bot).await?);
    sleep(QUIET).await;
    let (redis, store) = (accesses.redis().await?, accesses.store().await?);
    let quiet = bot.journal.entries().split_off(begin);
    let to_others = quiet.iter().filter(|entry| ["github", "registry", "argocd", "slack"].contains(&entry.system));
    // Words that are late because of Slack's limit are no cost of watching.
    let (streams, calls): (Vec<&Entry>, Vec<&Entry>) = to_others
        .filter(|entry| !["slack.update", "slack.post"].contains(&entry.call.as_str()))
        .partition(|entry| entry.call == "argocd.stream");
    // Between two rounds of a watch there are no streams for a moment.
    let watched = |bot: &Sandbox| (bot.argocd.lock().open_streams() == count).then_some(());
    bot.until("stream for each", PATIENCE, watched).await?;

    let tags: Vec<String> = (0..count).map(|n| sandbox::world::tag(&bot.github.lock(), &app(n), "main")).collect();
    let over = |bot: &Sandbox| tags.iter().all(|tag| is_live(bot, tag)).then_some(());
    bot.until("end of all", PATIENCE, over).await?;
    let (mut decided, mut told) = (Vec::new(), Vec::new());
    let mut store_connection = bot.store.connect().await?;
    let keys: Vec<String> = redis::cmd("KEYS").arg("*/outcome").query_async(&mut store_connection).await?;
    let mut outcomes = BTreeMap::new();
    for key in keys {
        let read =
            async |key: String, connection: &mut redis::aio::MultiplexedConnection| -> Result<serde_json::Value> {
                let text: String = redis::cmd("GET").arg(key).query_async(connection).await?;
                Ok(serde_json::from_str(&text)?)
            };
        let commit = read(key.replace("/outcome", "/commit"), &mut store_connection).await?;
        let outcome = read(key, &mut store_connection).await?;
        let tag = commit["plan"]["targets"][0]["tag"].as_str().context("a tag")?.to_owned();
        outcomes.insert(tag, outcome["at"].as_u64().context("a time")?);
    }
    let mut waited = Vec::new();
    let (edits, progress) = {
        let slack = bot.slack.lock();
        for (n, tag) in tags.iter().enumerate() {
            let argocd = bot.argocd.lock();
            let healthy = argocd.ran_well_at(&app(n), tag).context("it runs well")? + argocd.cache_lag;
            decided.push(outcomes.get(tag).context("an outcome")?.saturating_sub(healthy));
            let mine = slack.messages(DEPLOYS).iter().find(|message| slack.render(message).contains(tag.as_str()));
            let said = mine.and_then(|mine| mine.edits.iter().find(|edit| slack.render_edit(edit).contains("is live")));
            let said = said.context("it was told")?.at;
            told.push(said.saturating_sub(healthy));
            waited.push(healthy + 2_500..said);
        }
        let times = |edits: &[fakes::slack::Edit]| edits.iter().map(|edit| edit.at).collect::<Vec<u64>>();
        let edits = slack.messages(DEPLOYS).iter().map(|message| message.edits.as_slice());
        let progress = edits.clone().flat_map(|edits| times(&edits[1..edits.len().max(2) - 1]));
        (edits.flat_map(|edits| times(&edits[1..])).collect::<Vec<u64>>(), progress.collect::<Vec<u64>>())
    };
    let overtaken = progress.iter().filter(|at| waited.iter().any(|waited| waited.contains(at))).count();
    bot.stop().await;
    decided.sort_unstable();
    told.sort_unstable();
    let within = |from: &u64| edits.iter().filter(|at| (*from..*from + 60_000).contains(at)).count();
    let minutes = QUIET.as_secs_f64() / 60.0;
    let sum = |commands: &BTreeMap<String, u64>| commands.values().sum::<u64>() as f64 / minutes;
    Ok(Watched {
        calls: calls.len() as f64 / minutes,
        streams: streams.len() as f64 / minutes,
        store: sum(&store),
        redis: sum(&redis),
        decided,
        told,
        edits: edits.iter().map(within).max().unwrap_or_default() as f64,
        overtaken: overtaken as f64,
    })
}

/// 11. Twenty apps by one command, beside twenty commands, and beside one app.
pub(crate) async fn several() -> Result<Vec<Row>> {
    const ALL: usize = 20;
    let bot = sandbox(Options { latency: Duration::from_millis(DELAY), ..Options::default() }).await?;
    bot.slack.lock().limits = None;
    grow(&bot, ALL, |_| quick());
    // The first deploy reads the catalog.
    deploy(&bot, &app(0)).await?;
    let all: Vec<String> = (0..ALL).map(app).collect();
    let one = timed(&bot, &all[..1], async |bot| {
        bot.command(ALICE, DEPLOYS, &format!("{} main", app(0))).await;
    });
    let (one, _) = one.await?;
    let together = timed(&bot, &all, async |bot| {
        bot.command(ALICE, DEPLOYS, &format!("{} main", all.join(","))).await;
    });
    let (together, commits) = together.await?;
    let each = timed(&bot, &all, async |bot| {
        everybody_types(bot, ALL).await;
    });
    let (each, by_each) = each.await?;
    bot.stop().await;
    Ok(vec![
        Row::new("one app, from the command to live", one, "ms"),
        Row::new("twenty apps by one command", together, "ms")
            .against(one, "ms, one app")
            .wanted(Wanted::RatioAtMost(2.0)),
        Row::new("its commits", commits, "").wanted(Wanted::Exactly(1.0)),
        Row::new("twenty apps by twenty commands", each, "ms").against(together, "ms, one command"),
        Row::new("their commits", by_each, ""),
    ])
}

/// How long it takes, after a new build of each app, until all of them are live, in milliseconds; and how many commits that makes.
async fn timed(bot: &Sandbox, apps: &[String], commands: impl AsyncFnOnce(&Sandbox)) -> Result<(f64, f64)> {
    let tags: Vec<String> = apps.iter().map(|app| build(bot, app)).collect();
    let before = bot.github.lock().commits(GITOPS, "main").len();
    let begun = now();
    commands(bot).await;
    let over = |bot: &Sandbox| tags.iter().all(|tag| is_live(bot, tag)).then_some(());
    bot.until("end of all", PATIENCE, over).await?;
    let took = now().saturating_sub(begun) as f64;
    let commits = bot.github.lock().commits(GITOPS, "main").len() - before;
    Ok((took, commits as f64))
}

/// A values file of about this size, as people write them.
fn values(image: &str, tag: &str, size: usize) -> String {
    let mut text = format!("image:\n  repository: {image}\n  tag: \"{tag}\" # by /deploy\n");
    let mut n = 0;
    while text.len() < size {
        text += &format!(
            "service{n}:\n  replicas: {n} # as measured\n  args: [\"--port\", '80{n}', --quick]\n  env:\n    - {{ name: A_{n}, value: \"b c\" }}\n"
        );
        n += 1;
    }
    text
}

/// 5. The edit: a deploy into a larger and larger file.
pub(crate) async fn edits() -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut times = Vec::new();
    let mut memory: Option<(f64, f64)> = None;
    for size in [1 << 10, 32 << 10, 128 << 10, 512 << 10, 1_000 << 10] {
        let bot = sandbox(Options::default()).await?;
        let now_there = sandbox::world::tag(&bot.github.lock(), "checkout", "main");
        let image = format!("{}/acme/checkout", bot.registry.origin().trim_start_matches("http://"));
        let file = values(&image, &now_there, size);
        bot.github.lock().repo(GITOPS).commit("Large", &[("checkout/values.yaml", &file)]);
        let mut took = Vec::new();
        for _ in 0..3 {
            let entries = deploy(&bot, "checkout").await?;
            let commit = find(&entries, "github.commit", "")?;
            let read = entries
                .iter()
                .rfind(|entry| entry.at < commit.at && ["github.query", "github.rest"].contains(&entry.call.as_str()));
            let read = end(read.context("it was read")?);
            let looked = entries.iter().filter(|entry| entry.system == "registry" && entry.at >= read);
            let looked: u64 = looked.filter_map(|entry| entry.took).sum();
            took.push((commit.at - read).saturating_sub(looked) as f64);
        }
        let took = median(took)?.max(1.0);
        times.push(took);
        let megabytes = file.len() as f64 / 1e6;
        rows.push(Row::new(format!("from read to written, {} KiB", file.len() >> 10), took, "ms"));
        if size >= 1_000 << 10 {
            rows.push(Row::new("that is", megabytes / (took / 1000.0), "MB/s"));
        }
        if let Some(cost) = bot.cost("slack-command") {
            let most = cost.memory as f64;
            let (small, _) = *memory.get_or_insert((most, most));
            memory = Some((small, most));
            if size >= 1_000 << 10 {
                let row = Row::new("memory beyond that for a small file", (most - small) / 1e6, "MB");
                rows.push(row.against(megabytes, "MB of file").wanted(Wanted::RatioAtMost(20.0)));
            }
        }
        bot.stop().await;
    }
    let (eighth, whole) = (times.get(2).context("measured")?, times.last().context("measured")?);
    rows.push(
        Row::new("time for 1,000 KiB", *whole, "ms")
            .against(eighth * 1_000.0 / 128.0, "ms of 128 KiB, in proportion")
            .wanted(Wanted::RatioAtMost(1.5)),
    );
    Ok(rows)
}

/// 6. What anything costs after 10 deploys, and after 10,000.
pub(crate) async fn history() -> Result<Vec<Row>> {
    let (few, full, many) = (after(10).await?, after(60).await?, after(10_000).await?);
    let row = |what: &str, of: fn(&Costs) -> f64, unit| {
        Row::new(format!("{what}, after 10,000 deploys"), of(&many), unit).against(of(&few), "after 10")
    };
    // These commands read the history of a target as one value, however much is in it.
    let looks_back = |what: &str, of: fn(&Costs) -> f64, most| {
        let row = Row::new(format!("store operations of {what}, after 10,000 deploys"), of(&many), "");
        row.against(of(&full), "after 60").wanted(Wanted::AtMost(most))
    };
    Ok(vec![
        // From the 51st on each takes an old one out of the store: twelve operations more, and never more than that.
        row("store operations of a deploy", |costs| costs.deploy, "").wanted(Wanted::RatioAtMost(1.15)),
        // The history is one value, of some 20 KB when it is full: a deploy reads and writes it.
        row("bytes to and from the store", |costs| costs.bytes, "").wanted(Wanted::RatioAtMost(2.0)),
        row("from the answer to the commit", |costs| costs.to_commit, "ms"),
        row("store operations of \"status\"", |costs| costs.status, "").wanted(Wanted::RatioAtMost(1.0)),
        looks_back("\"history\"", |costs| costs.history, 20.0),
        // The watch looks at times of its own: what a rollback itself needs is counted in `tests/past.rs`.
        looks_back("a rollback", |costs| costs.rollback, 175.0),
        row("store operations of /healthz", |costs| costs.probe, "").wanted(Wanted::AtMost(few.probe)),
        row("/healthz", |costs| costs.probe_time, "ms"),
    ])
}

/// What was counted: operations of the store, unless a field says otherwise.
struct Costs {
    deploy: f64,
    /// To and from the store, by that deploy.
    bytes: f64,
    /// Milliseconds from the answer to the commit.
    to_commit: f64,
    status: f64,
    history: f64,
    rollback: f64,
    probe: f64,
    /// Milliseconds.
    probe_time: f64,
}

/// The operations of the store for a command that is answered to Alice alone.
async fn asks(bot: &Sandbox, text: &str) -> Result<f64> {
    let mut accesses = Accesses::since_now(bot).await?;
    let before = bot.slack.lock().ephemerals(ALICE).len();
    bot.command(ALICE, DEPLOYS, text).await;
    let answered = |bot: &Sandbox| (bot.slack.lock().ephemerals(ALICE).len() > before).then_some(());
    bot.until(text, PATIENCE, answered).await?;
    Ok(accesses.store().await?.values().sum::<u64>() as f64)
}

/// A deploy, questions, a rollback and a probe, after this many deploys: the store has the last 50 of every
/// target, and has forgotten the others.
async fn after(past: usize) -> Result<Costs> {
    // The first deployment is copied.
    let bot = sandbox(Options::default()).await?;
    deploy(&bot, "checkout").await?;
    let mut connection = bot.store.connect().await?;
    let keys: Vec<String> = redis::cmd("KEYS").arg("deploy-bot/deployment/*").query_async(&mut connection).await?;
    let mut facts: Vec<(String, serde_json::Value)> = Vec::new();
    for key in keys {
        let name = key.rsplit('/').next().unwrap_or_default().to_owned();
        let fact: Vec<u8> = redis::cmd("GET").arg(&key).query_async(&mut connection).await?;
        facts.push((name, serde_json::from_slice(&fact)?));
    }
    let ids: Vec<String> = (0..past).map(|n| format!("{n:032x}")).collect();
    for (n, ring) in ids.chunks(50).enumerate() {
        let mut pipe = redis::pipe();
        for id in ring {
            for (name, fact) in &facts {
                let (key, mut fact) = (format!("deploy-bot/deployment/{id}/{name}"), fact.clone());
                e2e::seal(&key, &mut fact);
                pipe.cmd("SET").arg(key).arg(fact.to_string()).ignore();
            }
        }
        let target = if n == 0 { "checkout".to_owned() } else { format!("app-{n}") };
        let mut ring = serde_json::json!({ "version": 1, "ids": [], "committed": ring });
        let key = format!("deploy-bot/target/{target}/default/history");
        e2e::seal(&key, &mut ring);
        pipe.cmd("SET").arg(key).arg(ring.to_string()).ignore();
        pipe.query_async::<()>(&mut connection).await?;
    }
    deploy(&bot, "checkout").await?;
    // The first probe finds that Redis does not know what is in flight, and looks through the store for it, once.
    bot.bot.request(http::Request::get("/healthz").body(Vec::new())?).await;
    let whole = ["ZSCORE", "deploy-bot/in-flight", "whole"];
    let mut leases = bot.redis.connect().await?;
    while redis::cmd(whole[0]).arg(&whole[1..]).query_async::<Option<String>>(&mut leases).await?.is_none() {
        sleep(Duration::from_millis(100)).await;
    }
    let bytes = async |connection: &mut redis::aio::MultiplexedConnection| -> Result<f64> {
        let info: String = redis::cmd("INFO").arg("stats").query_async(connection).await?;
        let of = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
        Ok(of("total_net_input_bytes:").unwrap_or_default() + of("total_net_output_bytes:").unwrap_or_default())
    };
    // From here on only the bot uses the store.
    let mut accesses = Accesses::since_now(&bot).await?;
    let moved = bytes(&mut connection).await?;
    let entries = deploy(&bot, "checkout").await?;
    let commit = find(&entries, "github.commit", "")?;
    let to_commit = commit.at.saturating_sub(find(&entries, "bot.answered", "/slack/command")?.at);
    let moved = bytes(&mut connection).await? - moved;
    let operations = accesses.store().await?.values().sum::<u64>();
    let (status, history) = (asks(&bot, "status checkout").await?, asks(&bot, "history checkout").await?);
    let lives = |bot: &Sandbox| {
        let slack = bot.slack.lock();
        slack.messages(DEPLOYS).iter().filter(|message| slack.render(message).contains("is live")).count()
    };
    let (before, mut accesses) = (lives(&bot), Accesses::since_now(&bot).await?);
    bot.command(ALICE, DEPLOYS, "rollback checkout").await;
    bot.until("end of the rollback", PATIENCE, |bot| (lives(bot) > before).then_some(())).await?;
    let rollback = accesses.store().await?.values().sum::<u64>();
    sleep(Duration::from_secs(6)).await;
    let mut accesses = Accesses::since_now(&bot).await?;
    let begun = now();
    bot.bot.request(http::Request::get("/healthz").body(Vec::new())?).await;
    let probe = now() - begun;
    sleep(Duration::from_secs(1)).await;
    let probed = accesses.store().await?.values().sum::<u64>();
    bot.stop().await;
    Ok(Costs {
        deploy: operations as f64,
        bytes: moved,
        to_commit: to_commit as f64,
        status,
        history,
        rollback: rollback as f64,
        probe: probed as f64,
        probe_time: probe as f64,
    })
}
