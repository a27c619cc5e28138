//! What must not grow unnoticed besides time: the instructions of a request, and the operations of a deploy.
//!
//! Instructions are wasmtime's fuel, so only the built-in host counts them. They are the same on every
//! machine, give or take the order of a hash table.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use e2e::access::{Accesses, carried_elsewhere};
use e2e::{PATIENCE, Room, limits, quick};
use fakes::Outgoing;
use fakes::github::webhook_headers;
use sandbox::world::{self, ALICE, DEPLOYS};
use sandbox::{Options, Runner, Sandbox, now};
use serde_json::json;

use crate::report::{Row, Wanted};

/// The instructions that a component needs for each of these requests, its share of the start of the instance
/// included.
async fn instructions_each(room: &Room, component: &str, requests: &[Outgoing], status: u16) -> Result<f64> {
    let cost = || room.cost(component).context("the built-in host");
    // On a busy machine a request may come so late that the instance has ended. Then all requests are sent
    // again.
    for _ in 0..5 {
        let before = cost()?;
        for request in requests {
            let answer = room.bot.send(request).await;
            ensure!(answer.status == Some(status), "{answer:?}");
        }
        // An instance reports its instructions when it ends, a second after its last request.
        let ended = |room: &Sandbox| room.cost(component).filter(|cost| cost.ended == cost.made);
        let after = room.until("end of all instances", PATIENCE, ended).await?;
        if (before.ended, after.made) == (before.made, before.made + 1) {
            return Ok((after.instructions - before.instructions) as f64 / requests.len() as f64);
        }
    }
    bail!("no instance served all requests")
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

/// The instructions of a request at each of the two doors that face the internet.
pub(crate) async fn instructions() -> Result<Vec<Row>> {
    if Runner::from_environment() != Runner::BuiltIn {
        return Ok(Vec::new());
    }
    let options = Options { limits: Some(limits()), count_instructions: true, ..Options::default() };
    let room = Room::open(options).await?;
    let forged = vec![push("another secret of the same kind"); 50];
    let genuine = vec![push(world::WEBHOOK_SECRET); 50];
    let command = |_| room.slack.lock().command(now(), ALICE, DEPLOYS, "no-such-app main");
    let commands: Vec<Outgoing> = (0..16).map(command).collect();
    carried_elsewhere(&room, &commands).await?;
    let mut rows = Vec::new();
    for (what, component, requests, status, most) in [
        ("a forged push", "github-relay", &forged, 401, 830_000.0),
        ("a person's push", "github-relay", &genuine, 200, 930_000.0),
        ("a command, to its answer", "slack-command", &commands, 200, 465_000.0),
    ] {
        let counted = instructions_each(&room, component, requests, status).await?;
        rows.push(Row::new(format!("instructions of {what}"), counted, "").wanted(Wanted::AtMost(most)));
    }
    room.close().await;
    Ok(rows)
}

/// The operations of the store and of Redis for one deploy, at the pace of production, without what the bot
/// only does now and then.
pub(crate) async fn operations() -> Result<Vec<Row>> {
    let room = Room::open(Options::default()).await?;
    room.script("checkout", quick());
    // After the first deploy the catalog is known, and where the registry wants a login.
    room.builds("checkout", "main", "alice");
    room.goes_live("checkout main").await?;
    room.nothing_left().await?;
    room.builds("checkout", "main", "alice");
    let mut accesses = Accesses::since_now(&room).await?;
    room.goes_live("checkout main").await?;
    room.all_told().await?;
    let (store, redis) = (accesses.store().await?, accesses.redis().await?);
    room.close().await;
    let count = |commands: &BTreeMap<String, u64>, names: &[&str]| {
        names.iter().filter_map(|name| commands.get(*name)).sum::<u64>() as f64
    };
    // Without what depends on time alone: leases are renewed (`eval`, with the commands that it calls), news
    // is looked for (`spop`), and the bench itself looks whether everything is posted (`zrange`).
    let redis = count(&redis, &["exists", "publish", "sadd", "zadd", "zrem"]);
    let row = |what: &str, figure, most| Row::new(what, figure, "").wanted(Wanted::AtMost(most));
    Ok(vec![
        row("store reads of a deploy", count(&store, &["get"]), 110.0),
        row("store writes of a deploy", count(&store, &["set"]), 22.0),
        row("Redis commands of a deploy, without renewals", redis, 25.0),
    ])
}
