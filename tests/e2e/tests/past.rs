//! What was deployed before: how much the store is asked for it, and how a deployment is found.

use crate::conversation::{asks, catalog, deploys, hurry};
use anyhow::{Context, Result, ensure};
use e2e::{PATIENCE, Room, room, room_with};
use fakes::Fault;
use sandbox::world::{ALICE, BOB, DEPLOYS, GITOPS};
use sandbox::{Options, Sandbox};
use serde_json::json;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const RING: &str = "deploy-bot/target/checkout/default/history";

/// Fills the history of checkout: 50 copies of its first deployment, each with a commit of its own.
async fn fills(room: &Room) -> Result<()> {
    let first = room.deployments().await?.pop().context("a deployment")?;
    let names = ["request", "commit", "committed", "message", "push", "watch", "outcome"];
    let ids: Vec<String> = (1..=50).map(|n| format!("{n:032x}")).collect();
    for (n, id) in ids.iter().enumerate() {
        for name in names {
            let key = |id: &str| format!("deploy-bot/deployment/{id}/{name}");
            let Some(mut fact) = room.key(&key(&first)).await? else { continue };
            if name == "committed" {
                fact["sha"] = format!("{:040x}", 0xabc_0000 + n).into();
                fact["at"] = (fact["at"].as_u64().context("a moment")? - 1000 * (n as u64 + 1)).into();
            }
            room.plants(&key(id), fact).await?;
        }
    }
    room.plants(RING, json!({ "version": 1, "ids": [first], "committed": ids })).await
}

#[test]
fn history_and_a_rollback_ask_the_store_for_little() {
    // At the pace of production.
    room_with(Options::default(), async |room| -> Result<()> {
        hurry(room);
        room.builds("checkout", "main", "alice");
        deploys(room, "checkout main").await?;
        fills(room).await?;
        room.builds("checkout", "main", "alice");
        // The ring takes in what the copies became.
        deploys(room, "checkout main").await?;
        room.all_told().await?;
        let ring = room.key(RING).await?.context("a ring")?;
        let past = ring["past"].as_array().context("what is past")?;
        ensure!(past.len() == 51, "{} are past", past.len());
        let longest = past.iter().map(|one| one.to_string().len()).max().unwrap_or_default();
        println!("an entry has at most {longest} bytes, the ring {}", ring.to_string().len());
        ensure!(longest < 400, "an entry has {longest} bytes: {past:#?}");

        // Of the newest nobody has noted yet how it ended.
        let newest =
            ring["ids"].as_array().and_then(|ids| ids.last()).and_then(|id| id.as_str()).context("the newest")?;
        let asked = async || asks(room, BOB, "history checkout", "newest first").await.map(drop);
        let read = keys(room, asked).await?;
        let facts = read.iter().filter(|key| key.starts_with("deployment/"));
        let of_others: Vec<&String> = facts.filter(|key| !key.contains(newest)).collect();
        let history = read.iter().filter(|key| is_counted(key)).count();
        ensure!(of_others.is_empty() && history <= 7, "history asks the store for {read:?}");
        let mut most = 0;
        for n in 1..=2 {
            room.builds("checkout", "main", "alice");
            let plain = keys(room, async || deploys(room, "checkout main").await).await?;
            room.all_told().await?;
            let back = keys(room, async || deploys(room, "rollback checkout").await).await?;
            room.all_told().await?;
            unlocks(room, n).await?;
            let counted = |keys: &[String]| keys.iter().filter(|key| is_counted(key)).count();
            most = most.max(counted(&back).saturating_sub(counted(&plain)));
        }
        println!("history {history}, a rollback {most} more than a deploy, and the plan");
        // Beside these a rollback reads the plan of the one version that it goes back to.
        ensure!(most < 10, "a rollback asks the store {most} times more than a deploy");
        Ok(())
    });
}

/// Facts of a deployment and what is seen of applications do not count: how often the watch reads those is a matter of time.
fn is_counted(key: &str) -> bool {
    !["deployment/", "application/", "seen/", "selected/", "managed"].iter().any(|start| key.starts_with(start))
}

/// What is read from the store and written into it meanwhile, without the prefix of all keys.
async fn keys(room: &Room, work: impl AsyncFnOnce() -> Result<()>) -> Result<Vec<String>> {
    let mut monitor = TcpStream::connect(room.store.url().trim_start_matches("redis://")).await?;
    monitor.write_all(b"MONITOR\r\n").await?;
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let heard = tokio::spawn(async move {
        let mut heard = Vec::new();
        tokio::select! {
            _ = monitor.read_to_end(&mut heard) => {}
            _ = ended => {}
        }
        String::from_utf8_lossy(&heard).into_owned()
    });
    work().await?;
    drop(end);
    let heard = heard.await?;
    let key = |line: &str| Some(line.split("\"deploy-bot/").nth(1)?.split('"').next()?.to_owned());
    let keys: Vec<String> = heard.lines().filter_map(key).collect();
    ensure!(!keys.is_empty(), "nothing was heard: {heard}");
    Ok(keys)
}

/// Alice unlocks checkout, for the n-th time.
async fn unlocks(room: &Room, n: usize) -> Result<()> {
    room.command(ALICE, DEPLOYS, "unlock checkout").await;
    let unlocked = |room: &Sandbox| {
        let slack = room.slack.lock();
        let all = slack.messages(DEPLOYS);
        (all.iter().filter(|message| slack.render(message).contains("unlocked *checkout*")).count() == n).then_some(())
    };
    room.until("end of the lock", PATIENCE, unlocked).await
}

/// The name of the commit that this person's deploy made last.
fn commit(room: &Room) -> Result<String> {
    let log = room.log();
    let line = log.lines().rfind(|line| line.contains("\"event\":\"committed\"")).context("a commit")?;
    Ok(line.split("\"sha\":\"").nth(1).and_then(|rest| rest.split('"').next()).context("its name")?.to_owned())
}

#[test]
fn the_deploy_that_made_a_commit_is_found_by_those_who_may_read_it() {
    room(async |room| -> Result<()> {
        hurry(room);
        catalog(room, "readers: { users: [U0ALICE] }\n", "");
        deploys(room, "checkout 42").await?;
        room.all_told().await?;
        let (sha, tag) = (commit(room)?, room.tag("checkout", "feature/totals"));
        let host = room.registry.origin().trim_start_matches("http://").to_owned();
        let entry = |app: &str, who: &str| {
            format!("  {app}:\n    repo: acme/{app}\n    image: {host}/acme/{app}\n    allow: {{ users: [{who}] }}\n")
        };
        let text =
            format!("readers: {{ users: [{ALICE}] }}\napps:\n{}{}", entry("checkout", ALICE), entry("payments", BOB));
        room.github.lock().person_pushes(GITOPS, "main", "carol", &[("deploy-bot.yaml", &text)], "Close it");

        // The newest, of which the history does not know yet how it ended.
        let short = &sha[..7];
        for typed in [short.to_owned(), sha.to_uppercase(), format!("https://github.com/{GITOPS}/commit/{sha}")] {
            let found = asks(room, ALICE, &format!("history {typed}"), "is one deploy").await?;
            for word in [&tag, "*checkout*", "@alice", "live", short, "see its message", "Show totals"] {
                ensure!(found.contains(word), "{word} is not in {found}");
            }
        }
        let hidden = asks(room, BOB, &format!("history {short}"), "I know of no app").await?;
        ensure!(!hidden.contains("checkout") && !hidden.contains(&tag), "{hidden}");
        // One of before, by its id, too.
        let id = room.deployments().await?.pop().context("a deployment")?;
        room.builds("checkout", "main", "alice");
        deploys(room, "checkout main").await?;
        room.all_told().await?;
        ensure!(asks(room, ALICE, &format!("history {}", &id[..8]), "is one deploy").await?.contains(&tag));
        ensure!(room.key(RING).await?.is_some_and(|ring| ring["past"][0]["id"] == id.as_str()));
        asks(room, ALICE, "history abcdef0", "`/deploy apps` lists the apps").await?;
        // Slips of an app's name are still noticed.
        asks(room, ALICE, "history chekout", "Did you mean").await?;
        Ok(())
    });
}

#[test]
fn people_ask_for_an_environment_for_theirs_and_since_a_day() {
    room(async |room| -> Result<()> {
        hurry(room);
        asks(room, BOB, "status @me", "nothing is live or under way").await?;
        deploys(room, "checkout 42").await?;
        room.all_told().await?;
        let mine = asks(room, ALICE, "status @me", "*checkout* runs").await?;
        ensure!(!mine.contains("payments"), "{mine}");
        let all = asks(room, BOB, "status default", "*checkout* runs").await?;
        ensure!(all.contains("*payments*"), "{all}");
        asks(room, BOB, "status nowhere", "here is no app").await?;
        let tag = room.tag("checkout", "feature/totals");
        ensure!(asks(room, BOB, "history checkout --since 1d", "newest first").await?.contains(&tag));
        asks(room, BOB, "history checkout --since 2099-01-01", "I know of nothing at").await?;
        asks(room, BOB, "history checkout --since whenever", "is no day like").await?;
        Ok(())
    });
}

#[test]
fn why_says_what_holds_an_app_up_and_who_can_help() {
    room(async |room| -> Result<()> {
        hurry(room);
        let approvals = "    approvals: { count: 1, users: [U0BOB] }\n";
        catalog(room, "owners: { users: [U0CAROL] }\n", "");
        asks(room, BOB, "why checkout", "Nothing holds *checkout* up").await?;
        room.command(BOB, DEPLOYS, "lock checkout load test for 2h").await;
        room.says("locked *checkout*").await?;
        let locked = asks(room, ALICE, "why checkout", "locked by @bob").await?;
        ensure!(locked.contains("load test") && locked.contains("Owners") && locked.contains("@carol"), "{locked}");
        room.command(BOB, DEPLOYS, "unlock checkout").await;
        room.says("unlocked *checkout*").await?;

        room.registry.fault("registry.head", Fault::Slow(Duration::from_secs(3)), 1);
        room.alice("checkout 42").await;
        let asked = |room: &Sandbox| (room.registry.lock().calls("registry.head") > 0).then_some(());
        room.until("question to the registry", PATIENCE, asked).await?;
        let busy = asks(room, BOB, "why checkout", "a deploy is under way").await?;
        ensure!(busy.contains("checkout #42 by @alice") && busy.contains("not committed yet"), "{busy}");
        room.says("is live").await?;
        room.all_told().await?;

        catalog(room, "", approvals);
        room.builds("checkout", "main", "alice");
        room.alice("checkout main").await;
        room.says("needs 1 approval").await?;
        let waits = asks(room, BOB, "why checkout", "waits for approval").await?;
        ensure!(waits.contains("checkout main by @alice") && waits.contains("Who can approve: @bob"), "{waits}");
        Ok(())
    });
}
