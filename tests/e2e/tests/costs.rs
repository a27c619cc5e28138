//! What must not grow unnoticed: round trips, operations of the store and of Redis, instructions. No times: those are for `cargo bench`.
//!
//! Instructions are wasmtime's fuel, so only the built-in host counts them; they are the same on every machine, give or take the order of
//! a hash table.

use anyhow::{Context, Result, ensure};
use e2e::access::{Accesses, carried_elsewhere};
use e2e::{PATIENCE, Room, quick, room, room_with, tempo};
use fakes::Outgoing;
use fakes::github::webhook_headers;
use sandbox::world::{self, ALICE, DEPLOYS};
use sandbox::{Options, Runner, now};
use serde_json::json;
use std::collections::BTreeMap;

/// So many requests of a kind, one after the other; what one of them costs in instructions, its share of making the instance included.
async fn instructions(room: &Room, component: &str, requests: &[Outgoing], status: u16) -> Result<Option<u64>> {
    let gone = |room: &Room, since: u64| room.cost(component).map(|cost| cost.ended).filter(|ended| *ended > since);
    let Some(before) = room.cost(component) else { return Ok(None) };
    for request in requests {
        let answer = room.bot.send(request).await;
        ensure!(answer.status == Some(status), "{answer:?}");
    }
    // An instance tells when it ends, a second after its last request.
    let begun = std::time::Instant::now();
    while gone(room, before.ended).is_none() {
        ensure!(begun.elapsed() < PATIENCE, "the instance does not end");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let after = room.cost(component).context("the built-in host")?;
    ensure!(after.ended == before.ended + 1, "one instance served them all");
    Ok(Some((after.instructions - before.instructions) / requests.len() as u64))
}

/// A person's push of 8 KB.
fn push(secret: &str) -> Outgoing {
    let message = "More words. ".repeat(280);
    let commit = json!({ "id": "b".repeat(40), "message": message, "added": [], "modified": ["docs/a.md"] });
    let body = json!({
        "ref": "refs/heads/main", "before": "a".repeat(40), "after": "b".repeat(40), "created": false, "deleted": false,
        "forced": false, "commits": [commit], "head_commit": commit,
        "repository": { "full_name": world::GITOPS, "pushed_at": now() / 1000, "description": "words ".repeat(200) },
    });
    let body = body.to_string().into_bytes();
    Outgoing {
        at: 0,
        path: "/github/webhook".to_owned(),
        headers: webhook_headers(secret, "push", "72d3162e-cc78-11e3-81ab-4c9367dc0958", &body),
        body,
    }
}

#[test]
fn a_request_costs_no_more_instructions_than_before() {
    let options = Options { tempo: Some(tempo()), count_instructions: true, ..Options::default() };
    if Runner::from_environment() != Runner::BuiltIn {
        return;
    }
    room_with(options, async |room| -> Result<()> {
        let check = |what: &str, counted: Option<u64>, most: u64| {
            println!("{what}: {counted:?} of {most}");
            counted.filter(|counted| *counted > most).map(|counted| format!("{what}: {counted}, at most {most}"))
        };
        let forged = vec![push("another secret of the same kind"); 50];
        let genuine = vec![push(world::WEBHOOK_SECRET); 50];
        let wrong = [
            check("a forged push", instructions(room, "github-relay", &forged, 401).await?, 930_000),
            check("a person's push", instructions(room, "github-relay", &genuine, 200).await?, 1_070_000),
        ];
        let wrong: Vec<String> = wrong.into_iter().flatten().collect();
        ensure!(wrong.is_empty(), "{wrong:#?}");
        Ok(())
    });
}

#[test]
fn a_command_is_accepted_with_one_write_one_redis_command_and_no_read() {
    room(async |room| -> Result<()> {
        let make = |_| room.slack.lock().command(now(), ALICE, DEPLOYS, "checkout main");
        let commands: Vec<Outgoing> = (0..2).map(make).collect();
        carried_elsewhere(room, &commands).await?;
        // The first of an instance opens its connections.
        room.send(&commands[0]).await;
        let carriers = |redis: &BTreeMap<String, u64>| redis.get("set").copied() == Some(1);
        let mut accesses = Accesses::since_now(room).await?;
        let answer = room.send(&commands[1]).await;
        ensure!(answer.body.contains("Accepted"), "{answer:?}");
        // The carrier, who comes after the answer, finds its lease taken.
        let begun = std::time::Instant::now();
        let mut redis = accesses.redis().await?;
        while !carriers(&redis) && begun.elapsed() < PATIENCE {
            redis = accesses.redis().await?;
        }
        let store = accesses.store().await?;
        ensure!(store == BTreeMap::from([("set".to_owned(), 1)]), "the store: {store:?}");
        let expected = [("set".to_owned(), 1), ("zadd".to_owned(), 1)];
        ensure!(redis == BTreeMap::from(expected), "Redis: {redis:?}");
        // Whoever carries them would tell them; here nobody does.
        for id in room.redis::<Vec<String>>(&["KEYS", "deploy-bot/lease/carry/*"]).await? {
            room.redis::<i64>(&["DEL", &id]).await?;
        }
        room.bot.request(http::Request::get("/healthz").body(Vec::new())?).await;
        room.all_told().await
    });
}

#[test]
fn a_deploy_takes_no_more_round_trips_and_operations_than_before() {
    room(async |room| -> Result<()> {
        room.script("checkout", quick());
        room.builds("checkout", "main", "alice");
        room.goes_live("checkout main").await?;
        room.nothing_left().await?;
        // What is known from the first: the catalog, and where the registry wants a login.
        room.builds("checkout", "main", "alice");
        let (begin, mut accesses) = (room.journal.mark("deploy"), Accesses::since_now(room).await?);
        room.alice("checkout main").await;
        room.until("end", PATIENCE, |room| (room.argocd.lock().syncs().len() == 2).then_some(())).await?;
        room.all_told().await?;
        let (store, redis) = (accesses.store().await?, accesses.redis().await?);
        let calls = room.calls(begin);
        let of = |systems: &[&str]| -> Vec<String> {
            let ours = |call: &&String| systems.iter().any(|system| call.starts_with(system));
            calls.iter().filter(ours).cloned().collect()
        };
        // The login is beside the query. The comparison is after the commit, for the message.
        let mut before_commit = of(&["github", "registry"]);
        before_commit.get_mut(..2).context("two calls at least")?.sort();
        let expected = ["github.query", "registry.token", "registry.head", "github.commit", "github.compare"];
        ensure!(before_commit == expected, "{calls:?}");
        let streams = |call: &String| call == "argocd.stream";
        let argocd: Vec<String> = of(&["argocd"]).into_iter().filter(|call| !streams(call)).collect();
        ensure!(argocd == ["argocd.webhook", "argocd.sync"], "{calls:?}");
        ensure!(of(&["slack.post"]).len() == 1 && of(&["slack"]).len() <= 5, "{calls:?}");
        let count = |commands: &BTreeMap<String, u64>, name: &str| commands.get(name).copied().unwrap_or_default();
        ensure!(count(&store, "get") <= 115 && count(&store, "set") <= 22, "the store: {store:?}");
        // Looking whether all are told is a `zrange` too, and `spop` is the news, four times a second.
        let others = redis.iter().filter(|(name, _)| !["zrange", "spop", "connect"].contains(&name.as_str()));
        let others: u64 = others.map(|(_, count)| count).sum();
        ensure!(others <= 90, "Redis: {redis:?}");
        Ok(())
    });
}
