//! What must not grow unnoticed: round trips, operations of the store and of Redis, instructions. No times: those are for `cargo bench`.
//!
//! Instructions are wasmtime's fuel, so only the built-in host counts them; they are the same on every machine, give or take the order of
//! a hash table.

use anyhow::{Context, Result, bail, ensure};
use e2e::access::{Accesses, carried_elsewhere};
use e2e::{PATIENCE, Room, quick, room, room_with, tempo};
use fakes::Outgoing;
use fakes::github::webhook_headers;
use sandbox::world::{self, ALICE, DEPLOYS};
use sandbox::{Options, Runner, Sandbox, now};
use serde_json::json;
use std::collections::BTreeMap;

/// So many requests of a kind, one after the other; what one of them costs in instructions, its share of making the instance included.
/// Only the built-in host counts.
async fn instructions(room: &Room, component: &str, requests: &[Outgoing], status: u16) -> Result<u64> {
    let cost = || room.cost(component).context("the built-in host");
    // On a busy machine one may come so late that the instance has ended: then again.
    for _ in 0..5 {
        let before = cost()?;
        for request in requests {
            let answer = room.bot.send(request).await;
            ensure!(answer.status == Some(status), "{answer:?}");
        }
        // An instance tells when it ends, a second after its last request.
        let ended = |room: &Sandbox| room.cost(component).filter(|cost| cost.ended == cost.made);
        let after = room.until("end of all instances", PATIENCE, ended).await?;
        if (before.ended, after.made) == (before.made, before.made + 1) {
            return Ok((after.instructions - before.instructions) / requests.len() as u64);
        }
    }
    bail!("no instance served them all")
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
        let check = |what: &str, counted: u64, most: u64| {
            println!("{what}: {counted} of {most}");
            (counted > most).then(|| format!("{what}: {counted}, at most {most}"))
        };
        let forged = vec![push("another secret of the same kind"); 50];
        let genuine = vec![push(world::WEBHOOK_SECRET); 50];
        let command = |_| room.slack.lock().command(now(), ALICE, DEPLOYS, "no-such-app main");
        let commands: Vec<Outgoing> = (0..16).map(command).collect();
        carried_elsewhere(room, &commands).await?;
        let wrong = [
            check("a forged push", instructions(room, "github-relay", &forged, 401).await?, 830_000),
            check("a person's push", instructions(room, "github-relay", &genuine, 200).await?, 930_000),
            check("a command, to its answer", instructions(room, "slack-command", &commands, 200).await?, 465_000),
        ];
        let wrong: Vec<String> = wrong.into_iter().flatten().collect();
        ensure!(wrong.is_empty(), "{wrong:#?}");
        let_go(room).await
    });
}

/// Whoever carries commands elsewhere has died; they are carried out here.
async fn let_go(room: &Room) -> Result<()> {
    for lease in room.redis::<Vec<String>>(&["KEYS", "deploy-bot/lease/carry/*"]).await? {
        room.redis::<i64>(&["DEL", &lease]).await?;
    }
    room.all_told_when_probed().await
}

#[test]
fn a_command_is_accepted_with_one_write_one_redis_command_and_no_read() {
    room(async |room| -> Result<()> {
        let make = |_| room.slack.lock().command(now(), ALICE, DEPLOYS, "checkout main");
        let commands: Vec<Outgoing> = (0..2).map(make).collect();
        carried_elsewhere(room, &commands).await?;
        // The first of an instance opens its connections; the second may find another instance, on a busy machine. The carrier, who comes
        // after the answer, finds its lease taken, and then there is nothing left to count.
        for command in &commands {
            let mut accesses = Accesses::since_now(room).await?;
            let answer = room.send(command).await;
            ensure!(answer.body.contains("Accepted"), "{answer:?}");
            let begun = std::time::Instant::now();
            let mut redis = accesses.redis().await?;
            while !redis.contains_key("set") {
                ensure!(begun.elapsed() < PATIENCE, "no carrier: {redis:?}");
                redis = accesses.redis().await?;
            }
            let mut store = accesses.store().await?;
            store.remove("connect");
            redis.remove("connect");
            ensure!(store == BTreeMap::from([("set".to_owned(), 1)]), "the store: {store:?}");
            let expected = [("set".to_owned(), 1), ("zadd".to_owned(), 1)];
            ensure!(redis == BTreeMap::from(expected), "Redis: {redis:?}");
        }
        let_go(room).await
    });
}

#[test]
fn a_deploy_takes_no_more_round_trips_and_operations_than_before() {
    // At the tempo of production, so that what is done now and then is not done meanwhile.
    room_with(Options::default(), async |room| -> Result<()> {
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
        ensure!(of(&["argocd.webhook", "argocd.sync"]) == ["argocd.webhook", "argocd.sync"], "{calls:?}");
        ensure!(of(&["argocd.get", "argocd.refresh"]).len() <= 1, "{calls:?}");
        ensure!(of(&["slack.post"]).len() == 1 && of(&["slack"]).len() <= 6, "{calls:?}");
        let count = |commands: &BTreeMap<String, u64>, name: &str| commands.get(name).copied().unwrap_or_default();
        println!("the store: {store:?}");
        ensure!(count(&store, "get") <= 110 && count(&store, "set") <= 22, "the store: {store:?}");
        // Without what only takes time: leases are renewed (`eval`, with what it calls), news looked for (`spop`), and the test itself looks
        // whether all are told (`zrange`).
        let others: u64 = ["exists", "publish", "sadd", "zadd", "zrem"].map(|name| count(&redis, name)).iter().sum();
        ensure!(others <= 25, "Redis: {redis:?}");
        Ok(())
    });
}
