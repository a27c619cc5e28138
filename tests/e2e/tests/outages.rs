//! A part of Argo CD, or of its Kubernetes, goes away while deploys are under way, one at each step. On the stand-in only those outages are
//! played that can be seen from outside. With `ARGOCD=real` a tenth of them is chosen by `SEED`, all with `ALL=1`, and one with
//! `OUTAGE="redis 8"`.
//!
//! What must be true: one commit for each deploy, no hook runs twice by itself, no last word is wrong, and the bot says "is live" within five
//! seconds of the moment when the Application itself is done and healthy, and all parts answer again.

use anyhow::{Result, bail, ensure};
use e2e::Room;
use e2e::cluster::{cluster_alone, deployment, hook, is_real, workload};
use fakes::slack::Message;
use sandbox::{Options, now, world};
use serde_json::Value;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// How much later than the Application the bot may be.
const LATER: Duration = Duration::from_secs(5);
/// The same after Kubernetes was away, which is within two seconds on an idle machine, and was six and fourteen beside other work:
/// Argo CD's server sends no events until it sees Kubernetes again, and a refresh has no answer.
const LATER_THAN_KUBERNETES: Duration = Duration::from_secs(20);

const PARTS: [&str; 5] = ["server", "application-controller", "repo-server", "redis", "kube-apiserver"];
const SECONDS: [u64; 3] = [1, 8, 30];

/// The environments of checkout, by the step at which the outage meets them.
const STEPS: [&str; 4] = ["post", "pods", "pre", "new"];

fn made_of(step: &str) -> Vec<String> {
    match step {
        "post" => vec![deployment(step), hook("PostSync", "smoke", "takes: 5s")],
        "pods" => vec![takes(step, "5s")],
        "pre" => vec![deployment(step), hook("PreSync", "migrate", "takes: 5s")],
        _ => vec![deployment(step)],
    }
}

/// A Deployment whose Pod takes so long.
fn takes(name: &str, time: &str) -> String {
    workload("Deployment", name, "  replicas: 1\n", "", &format!("      annotations: {{ paper/takes: {time} }}\n"))
}

/// Four environments, each with a folder and an application of its own.
async fn four_environments(room: &Room) -> Result<()> {
    let host = room.registry.origin().trim_start_matches("http://").to_owned();
    let environment = |step: &&str| {
        let application = room.application_of(step);
        format!("      {step}: {{ values: {step}/values.yaml, argocd: {{ application: {application} }} }}\n")
    };
    let environments: String = STEPS.iter().map(environment).collect();
    let catalog = format!(
        "apps:\n  checkout:\n    repo: acme/checkout\n    image: {host}/acme/checkout\n    allow: anyone\n    environments:\n{environments}"
    );
    let values = String::from_utf8_lossy(&room.file("checkout/values.yaml")).into_owned();
    let paths: Vec<String> = STEPS.iter().map(|step| format!("{step}/values.yaml")).collect();
    let mut files: Vec<(&str, &str)> = paths.iter().map(|path| (path.as_str(), values.as_str())).collect();
    files.push(("deploy-bot.yaml", &catalog));
    room.github.lock().person_pushes(world::GITOPS, "main", "carol", &files, "Four environments");
    let all = STEPS.map(|step| async move {
        room.makes_application(step);
        room.runs(step, &made_of(step)).await
    });
    for one in all {
        one.await?;
    }
    Ok(())
}

/// Healthy alone may still be about the version before: then no Pod has the new image.
fn is_done(application: &Value, commit: &str, tag: &str) -> bool {
    let status = &application["status"];
    application["operation"].is_null()
        && status["operationState"]["phase"] == "Succeeded"
        && status["operationState"]["syncResult"]["revision"] == commit
        && status["health"]["status"] == "Healthy"
        && status["summary"]["images"].to_string().contains(&format!(":{tag}\""))
}

/// The commit that the bot made for an environment.
fn commit_of(room: &Room, step: &str) -> Option<String> {
    let commits = room.github.lock().commits(world::GITOPS, "main");
    let path = format!("{step}/values.yaml");
    let mut ours = commits.into_iter().filter(|commit| commit.signed_by_github && commit.changed().contains(&path));
    ours.next().map(|commit| commit.sha)
}

/// Deploys to every environment so that `outage` meets each at its step, and waits until all are live.
async fn deploys_through(room: &Room, later: Duration, outage: impl AsyncFnOnce() -> Result<()>) -> Result<()> {
    let (migrated, smoked) = (room.hook_runs("pre", "migrate").await?, room.hook_runs("post", "smoke").await?);
    for step in &STEPS[..3] {
        room.alice(&format!("checkout@{step} 42")).await;
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    tokio::time::sleep(Duration::from_millis(800)).await;
    let back = Cell::new(0);
    let (outage, done) = tokio::join!(
        async {
            let new = room.alice("checkout@new 42");
            let (outage, _) = tokio::join!(outage(), new);
            back.set(now());
            outage
        },
        all_live(room, later, &back)
    );
    outage?;
    let retried = done?;
    let more = |step: &str| 1 + usize::from(retried.contains(step));
    ensure!(room.hook_runs("pre", "migrate").await? == migrated + more("pre"), "the PreSync hook ran twice");
    ensure!(room.hook_runs("post", "smoke").await? == smoked + more("post"), "the PostSync hook ran twice");
    let is_of_it = |text: &str| retried.iter().any(|step| text.contains(&format!("*checkout@{step} ")));
    let is_wrong = |text: &String| (text.contains(":x:") && !is_of_it(text)) || text.contains("timed out");
    let wrong = room.told().into_iter().find(is_wrong);
    ensure!(wrong.is_none(), "a wrong last word: {wrong:?}");
    Ok(())
}

/// Argo CD gives a sync up that it cannot render in the middle of it. Once a hook has run, only a person may begin anew, because the hook
/// runs again: Alice does. Says whether there was that to do.
async fn retries(room: &Room, step: &str) -> Result<bool> {
    let failed = {
        let slack = room.slack.lock();
        let gave_up = |message: &&Message| {
            let text = slack.render(message);
            text.contains(&format!("*checkout@{step} ")) && text.contains("the rollout failed: ComparisonError")
        };
        slack.messages(world::DEPLOYS).iter().find(gave_up).cloned()
    };
    let Some(failed) = failed else { return Ok(false) };
    let application = room.application(step).await?;
    ensure!(application["status"]["operationState"]["phase"] == "Error", "Argo CD did not give it up: {application:#}");
    println!("{step}: Argo CD gave the sync up, and Alice presses Retry");
    room.press(world::ALICE, &failed, "retry").await;
    Ok(true)
}

/// Each is live soon after its Application is done and healthy, and nothing is away any more. Returns which had to be retried.
async fn all_live(room: &Room, later: Duration, back: &Cell<u64>) -> Result<BTreeSet<&'static str>> {
    let begun = Instant::now();
    let mut done: BTreeMap<&str, u64> = BTreeMap::new();
    let mut retried = BTreeSet::new();
    let tag = room.tag("checkout", "feature/totals");
    loop {
        for step in ["post", "pre"] {
            if back.get() > 0 && !retried.contains(step) && retries(room, step).await? {
                retried.insert(step);
            }
        }
        for step in STEPS {
            if done.contains_key(step) {
                continue;
            }
            let Some(commit) = commit_of(room, step) else { continue };
            // While Kubernetes is away, nobody can see it.
            if room.application(step).await.is_ok_and(|application| is_done(&application, &commit, &tag)) {
                done.insert(step, now());
            }
        }
        let said = room.said();
        let live = |step: &str| {
            let of_it = said.iter().filter(|(_, _, text)| text.contains(&format!("*checkout@{step} ")));
            of_it.filter(|(_, _, text)| text.contains("is live")).map(|(at, ..)| *at).min()
        };
        let times: Vec<Option<(u64, u64)>> = STEPS.iter().map(|step| Some((live(step)?, *done.get(step)?))).collect();
        if let Some(times) = times.iter().copied().collect::<Option<Vec<_>>>() {
            for (step, (live, done)) in STEPS.iter().zip(times) {
                let late = Duration::from_millis(live.saturating_sub(done.max(back.get())));
                println!("{step}: live {} ms after that could be seen", late.as_millis());
                ensure!(late <= later, "{step} was told {late:?} late");
            }
            return Ok(retried);
        }
        if begun.elapsed() > Duration::from_secs(120) {
            bail!("not all are live; done: {done:?}\n{:#?}", room.messages());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A part of the real Argo CD is killed, and is ready again so long after.
async fn is_away(room: &Room, part: &str, time: Duration) -> Result<()> {
    let Some(real) = room.real.clone() else { bail!("no real Argo CD") };
    real.kill(part).await?;
    tokio::time::sleep(time).await;
    real.restart(part).await
}

/// The part that answers us is away.
async fn server_is_away(room: &Room, time: Duration) -> Result<()> {
    if room.real.is_some() {
        return is_away(room, "server", time).await;
    }
    room.argocd.down().await;
    tokio::time::sleep(time).await;
    Ok(room.argocd.up().await?)
}

/// Whether this outage is played.
fn is_chosen(n: usize, part: &str, seconds: u64) -> bool {
    if let Ok(only) = std::env::var("OUTAGE") {
        return only == format!("{part} {seconds}");
    }
    let seed: usize = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_default();
    std::env::var("ALL").is_ok_and(|all| all == "1") || (n + seed) % 10 == 1
}

#[test]
fn a_part_goes_away_and_comes_back() {
    if !is_real() {
        return on_the_stand_in();
    }
    let outages = PARTS.iter().flat_map(|part| SECONDS.map(|seconds| (*part, seconds)));
    for (n, (part, seconds)) in outages.enumerate() {
        if !is_chosen(n, part, seconds) {
            continue;
        }
        println!("{part} away for {seconds} s");
        let later = if part == "kube-apiserver" { LATER_THAN_KUBERNETES } else { LATER };
        cluster_alone(Options::default(), async |room| {
            four_environments(room).await?;
            deploys_through(room, later, async || is_away(room, part, Duration::from_secs(seconds)).await).await
        });
    }
}

/// As at every update of Argo CD: the part that we talk to is away for three seconds, while a rollout is followed.
#[test]
fn argo_cds_server_restarts_and_three_seconds_later_all_is_live() {
    cluster_alone(Options::default(), async |room| {
        room.runs("checkout", &[takes("checkout", "3s")]).await?;
        room.alice("checkout 42").await;
        room.says("Health: progressing").await?;
        server_is_away(room, Duration::from_secs(3)).await?;
        let back = Instant::now();
        room.says("is live").await?;
        println!("live {} ms after its return", back.elapsed().as_millis());
        ensure!(back.elapsed() <= Duration::from_secs(3), "live {:?} after its return", back.elapsed());
        Ok(())
    });
}

/// What can be seen from outside: the API server is away, or answers what it answers without Kubernetes.
fn on_the_stand_in() {
    for seconds in [1, 8] {
        cluster_alone(Options::default(), async |room| {
            four_environments(room).await?;
            deploys_through(room, LATER, async || server_is_away(room, Duration::from_secs(seconds)).await).await
        });
    }
    cluster_alone(Options::default(), async |room| {
        four_environments(room).await?;
        deploys_through(room, LATER, async || {
            room.argocd.lock().kubernetes_away = true;
            tokio::time::sleep(Duration::from_secs(8)).await;
            room.argocd.lock().kubernetes_away = false;
            Ok(())
        })
        .await
    });
}

/// Somebody applies an empty policy, and mends it.
#[test]
fn rights_that_are_gone_for_six_seconds_end_nothing() {
    cluster_alone(Options::default(), async |room| {
        four_environments(room).await?;
        deploys_through(room, LATER, async || {
            room.takes_rights_away().await?;
            tokio::time::sleep(Duration::from_secs(6)).await;
            room.gives_rights_back().await
        })
        .await
    });
}
