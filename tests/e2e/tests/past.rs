//! What was deployed before: how much the store is asked for it, and how a deployment is found.

use crate::conversation::{asks, deploys, hurry};
use anyhow::{Context, Result, ensure};
use e2e::access::Accesses;
use e2e::{PATIENCE, Room, room};
use sandbox::Sandbox;
use sandbox::world::{ALICE, BOB, DEPLOYS};
use serde_json::json;

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

/// How often the store is asked meanwhile.
async fn operations(room: &Room, work: impl AsyncFnOnce() -> Result<()>) -> Result<u64> {
    let mut accesses = Accesses::since_now(room).await?;
    work().await?;
    Ok(accesses.store().await?.values().sum())
}

#[test]
fn history_and_a_rollback_ask_the_store_for_little() {
    room(async |room| -> Result<()> {
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

        let history = operations(room, async || asks(room, BOB, "history checkout", "newest first").await.map(drop));
        let history = history.await?;
        let mut plain = Vec::new();
        let mut back = Vec::new();
        for n in 1..=3 {
            room.builds("checkout", "main", "alice");
            plain.push(operations(room, async || deploys(room, "checkout main").await).await?);
            room.all_told().await?;
            back.push(operations(room, async || deploys(room, "rollback checkout").await).await?);
            room.all_told().await?;
            unlocks(room, n).await?;
        }
        println!("history {history}, plain {plain:?}, back {back:?}");
        ensure!(history <= 12, "history asks the store {history} times");
        let (plain, back) = (plain.into_iter().min().unwrap_or_default(), back.into_iter().min().unwrap_or_default());
        ensure!(back <= plain + 10, "a rollback asks the store {back} times, a deploy {plain} times");
        Ok(())
    });
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
