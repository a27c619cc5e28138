//! On a real Argo CD: the bot beside the least that anybody could do, and many applications at once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use domain::time::Timestamp;
use e2e::cluster::deployment;
use e2e::crowd::{app, build, everybody_types};
use sandbox::real::RealArgoCd;
use sandbox::world::{ALICE, DEPLOYS, GITOPS, tag};
use sandbox::{Options, Runner, Sandbox};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::load::{median, part};
use crate::report::{Row, Wanted};

/// How long a Pod takes until it is ready.
const PODS_TAKE: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_secs(600);
/// How often each of the two deploys.
const ROUNDS: usize = 10;

async fn sandbox() -> Result<Sandbox> {
    let argocd = Some(RealArgoCd::start(PODS_TAKE).await?);
    Sandbox::start(Options { runner: Runner::from_environment(), argocd, ..Options::default() }).await
}

/// 9. How much later a deploy is live than by a script that commits, asks for the sync, and waits.
pub(crate) async fn beside_a_script() -> Result<Vec<Row>> {
    let room = sandbox().await?;
    let values = room.github.lock().file_at(GITOPS, "main", "checkout/values.yaml").context("values")?;
    let values = String::from_utf8(values)?;
    room.github.lock().person_pushes(GITOPS, "main", "carol", &[("script/values.yaml", &values)], "Begin");
    for name in ["checkout", "script"] {
        room.deploys_chart(name, &[deployment(name)]).await?;
    }
    // The first deploy reads the catalog.
    bot(&room).await?;
    let (mut bots, mut scripts) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        if round % 2 == 0 {
            bots.push(bot(&room).await?);
            scripts.push(script(&room, &values).await?);
        } else {
            scripts.push(script(&room, &values).await?);
            bots.push(bot(&room).await?);
        }
    }
    room.stop().await;
    let (bots, scripts) = (median(bots)?, median(scripts)?);
    Ok(vec![
        Row::new("from the command to \"is live\", median of ten", bots, "ms").against(scripts, "ms by a script"),
        Row::new("later than a script", bots - scripts, "ms").wanted(Wanted::AtMost(200.0)),
    ])
}

/// Milliseconds from the command until people read that it is live.
async fn bot(room: &Sandbox) -> Result<f64> {
    let tag = build(room, "checkout");
    let begun = Instant::now();
    room.command(ALICE, DEPLOYS, "checkout main").await;
    loop {
        if is_live(room, &tag) {
            return Ok(begun.elapsed().as_secs_f64() * 1000.0);
        }
        ensure!(begun.elapsed() < PATIENCE, "checkout {tag} is not live");
        sleep(Duration::from_millis(2)).await;
    }
}

/// Milliseconds from the commit until kube-apiserver shows that exactly this commit is synced, compared and healthy. It is asked
/// again and again, which tells sooner than Argo CD's stream.
async fn script(room: &Sandbox, values: &str) -> Result<f64> {
    let real = room.real.as_ref().context("a real Argo CD")?;
    let tag = build(room, "checkout");
    let old = values.lines().find(|line| line.trim_start().starts_with("tag:")).context("a tag")?;
    let values = values.replace(old, &format!("  tag: \"{tag}\""));
    let name = room.application_of("script");
    let begun = Instant::now();
    room.github.lock().person_pushes(GITOPS, "main", "carol", &[("script/values.yaml", &values)], "Deploy");
    let sha = room.github.lock().head(GITOPS, "main").context("a head")?;
    real.api("POST", &format!("/api/v1/applications/{name}/sync"), Some(json!({ "revision": sha }))).await?;
    loop {
        let seen = real.application(&name).await?;
        if is_well(&seen, &sha) {
            return Ok(begun.elapsed().as_secs_f64() * 1000.0);
        }
        ensure!(begun.elapsed() < PATIENCE, "{name} is not live: {:#}", seen["status"]);
        sleep(Duration::from_millis(10)).await;
    }
}

fn is_well(application: &Value, sha: &str) -> bool {
    let status = &application["status"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let finished = text(&status["operationState"]["finishedAt"]);
    application["operation"].is_null()
        && status["operationState"]["phase"] == "Succeeded"
        && status["operationState"]["syncResult"]["revision"] == sha
        && status["health"]["status"] == "Healthy"
        && status["sync"]["status"] == "Synced"
        && text(&status["reconciledAt"]) >= finished
}

fn is_live(room: &Sandbox, tag: &str) -> bool {
    let slack = room.slack.lock();
    slack.messages(DEPLOYS).iter().rev().any(|message| slack.render(message).contains(&format!("is live: `{tag}`")))
}

/// 10. Many applications that are deployed at the same moment.
pub(crate) async fn at_once() -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for count in [20, 100] {
        let room = sandbox().await?;
        grow(&room, count).await?;
        let commits = |room: &Sandbox| room.github.lock().commits(GITOPS, "main").len();
        let (before, tags) = (commits(&room), (0..count).map(|n| tag(&room.github.lock(), &app(n), "main")));
        let tags: Vec<String> = tags.collect();
        let begun = room.journal.mark("all at once");
        let started = sandbox::now();
        everybody_types(&room, count).await;
        let all = |room: &Sandbox| tags.iter().all(|tag| is_live(room, tag)).then_some(());
        room.until("end of all", PATIENCE, all).await?;
        let (synced, healthy) = when_done(&room, count).await?;
        let since = |at: Timestamp| at.0.saturating_sub(started) as f64 / 1000.0;
        let entries = room.journal.entries().split_off(begun);
        let mut ends: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        for entry in &entries {
            ends.entry(entry.call.as_str()).or_default().push(entry.at.saturating_sub(started));
        }
        let last =
            |call: &str| ends.get(call).and_then(|all| all.iter().max()).copied().unwrap_or_default() as f64 / 1000.0;
        let mut live: Vec<u64> = {
            let slack = room.slack.lock();
            let said = |edit: &&fakes::slack::Edit| slack.render_edit(edit).contains("is live");
            let messages = slack.messages(DEPLOYS).iter();
            messages.filter_map(|message| Some(message.edits.iter().find(said)?.at.saturating_sub(started))).collect()
        };
        live.sort_unstable();
        let of = |what: &str| format!("{what}, {count} at once");
        let commits = (commits(&room) - before) as f64;
        rows.extend([
            Row::new(of("commits"), commits, "").wanted(Wanted::Exactly(count as f64)),
            Row::new(of("live"), live.len() as f64, "").wanted(Wanted::Exactly(count as f64)),
            Row::new(of("half are live after"), part(&live, 0.5)? as f64 / 1000.0, "s"),
            Row::new(of("all are live after"), part(&live, 1.0)? as f64 / 1000.0, "s"),
            Row::new(of("the last commit after"), last("github.commit"), "s"),
            Row::new(of("the last sync is asked for after"), last("argocd.sync"), "s"),
            // By Argo CD's own words, in whole seconds.
            Row::new(of("Argo CD's last sync has ended after"), since(synced), "s"),
            Row::new(of("the last application is healthy after"), since(healthy), "s"),
            Row::new(of("requests for a sync"), ends.get("argocd.sync").map_or(0.0, |all| all.len() as f64), ""),
            Row::new(of("calls to Argo CD for each"), argocd_calls(&ends) / count as f64, ""),
        ]);
        room.stop().await;
    }
    Ok(rows)
}

/// When Argo CD's last sync ended, and when its last application was healthy.
async fn when_done(room: &Sandbox, count: usize) -> Result<(Timestamp, Timestamp)> {
    let real = room.real.as_ref().context("a real Argo CD")?;
    let (mut synced, mut healthy) = (Timestamp::default(), Timestamp::default());
    for n in 0..count {
        let status = real.application(&room.application_of(&app(n))).await?["status"].take();
        let time = |value: &Value| value.as_str().and_then(Timestamp::from_rfc3339).context("a time");
        synced = synced.max(time(&status["operationState"]["finishedAt"])?);
        healthy = healthy.max(time(&status["health"]["lastTransitionTime"])?);
    }
    Ok((synced, healthy))
}

fn argocd_calls(ends: &BTreeMap<&str, Vec<u64>>) -> f64 {
    ends.iter().filter(|(call, _)| call.starts_with("argocd.")).map(|(_, all)| all.len() as f64).sum()
}

/// So many apps, each a chart with one Deployment that runs well.
async fn grow(room: &Sandbox, count: usize) -> Result<()> {
    let real = room.real.as_ref().context("a real Argo CD")?;
    e2e::crowd::grow(room, count, |_| e2e::quick());
    let catalog = String::from_utf8(room.github.lock().file_at(GITOPS, "main", "deploy-bot.yaml").context("catalog")?)?;
    let mut files = vec![];
    let mut entries = String::new();
    for line in catalog.lines() {
        entries.push_str(&format!("{line}\n"));
        if let Some(name) = line.trim_start().strip_prefix("repo: acme/") {
            entries.push_str(&format!("    argocd: {{ application: {} }}\n", room.application_of(name)));
        }
    }
    files.push(("deploy-bot.yaml".to_owned(), entries));
    let host = room.registry.origin().trim_start_matches("http://").to_owned();
    for n in 0..count {
        let name = app(n);
        let chart = format!("apiVersion: v2\nname: {name}\nversion: 0.1.0\n");
        let values = room.github.lock().file_at(GITOPS, "main", &format!("{name}/values.yaml")).context("values")?;
        let values = format!("replicaCount: 1\n{}  repository: {host}/acme/{name}\n", String::from_utf8(values)?);
        files.push((format!("{name}/Chart.yaml"), chart));
        files.push((format!("{name}/values.yaml"), values));
        files.push((format!("{name}/templates/0.yaml"), deployment(&name)));
    }
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    room.github.lock().repo(GITOPS).commit("Charts", &files);
    let url = format!("{}/{GITOPS}.git", room.git_origin);
    // A few at a time: two cores are soon busy.
    for some in (0..count).collect::<Vec<_>>().chunks(5) {
        let mut making = JoinSet::new();
        for n in some {
            let (real, url, folder, name) = (real.clone(), url.clone(), app(*n), room.application_of(&app(*n)));
            making.spawn(async move { real.deploy(&name, "default", &url, &folder).await });
        }
        while let Some(made) = making.join_next().await {
            made??;
        }
    }
    Ok(())
}
