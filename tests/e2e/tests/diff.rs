//! `diff`: what is live in one environment and not in the other one, for those who may ask.

use crate::conversation::asks;
use crate::promote::two_environments;
use anyhow::{Result, ensure};
use e2e::{Room, room};
use fakes::{Fault, Response};
use sandbox::world::{ALICE, BOB, GITOPS};
use serde_json::json;

async fn live(room: &Room, text: &str) -> Result<()> {
    room.goes_live(text).await?;
    room.all_told().await
}

#[test]
fn the_commits_that_are_live_in_one_alone_are_listed() {
    room(async |room| -> Result<()> {
        two_environments(room, "")?;
        let none = asks(room, BOB, "diff checkout staging production", "I know of no live version").await?;
        ensure!(none.contains("*checkout@staging*") && none.contains("*checkout@production*"), "{none}");
        let old = room.builds("checkout", "main", "alice");
        live(room, "checkout@production main").await?;
        let half = asks(room, BOB, "diff checkout staging production", "*checkout@production* runs").await?;
        ensure!(half.contains(&old) && half.contains("*checkout@staging*: I know of no live version"), "{half}");
        live(room, "checkout@staging main").await?;
        asks(room, BOB, "diff checkout staging production", "Both run the same version").await?;

        room.builds("checkout", "main", "alice");
        let new = room.builds("checkout", "main", "bob");
        live(room, "checkout@staging main").await?;
        let posted = room.messages().len();
        let ahead = asks(room, BOB, "diff checkout staging production", "is 2 commits ahead of production").await?;
        for word in [&new, &old, "compare", "Work"] {
            ensure!(ahead.contains(word), "{word} is not in {ahead}");
        }
        asks(room, BOB, "diff checkout@production staging", "production is 2 commits behind staging").await?;
        live(room, "checkout@production 42").await?;
        let both = asks(room, BOB, "diff checkout production staging", "that staging lacks").await?;
        ensure!(both.contains("Show totals") && room.messages().len() == posted + 1, "{both}");

        room.github.fault("github.compare", Fault::Instead(Response::json(404, &json!({ "message": "Not Found" }))), 1);
        asks(room, BOB, "diff checkout staging production", "I couldn't compare their commits").await?;
        asks(room, BOB, "diff checkout staging", "two environments of `checkout` are needed").await?;
        asks(room, BOB, "diff checkout staging nowhere", "has no environment `nowhere`").await?;
        Ok(())
    });
}

/// Attack: may deploy one app | asks what differs between two environments | reads the same as of an app that is not there
#[test]
fn who_may_not_ask_reads_no_difference() {
    room(async |room| -> Result<()> {
        two_environments(room, "")?;
        room.builds("checkout", "main", "alice");
        live(room, "checkout@staging main").await?;
        let text = String::from_utf8(room.file("deploy-bot.yaml"))?;
        let host = room.registry.origin().trim_start_matches("http://").to_owned();
        let closed = text.replace("allow: anyone", &format!("allow: {{ users: [{ALICE}] }}"));
        let own = format!(
            "  payments:\n    repo: acme/payments\n    image: {host}/acme/payments\n    allow: {{ users: [{BOB}] }}\n"
        );
        let closed = format!("readers: {{ users: [{ALICE}] }}\n{closed}{own}");
        room.github.lock().person_pushes(GITOPS, "main", "carol", &[("deploy-bot.yaml", &closed)], "Close it");
        let hidden = asks(room, BOB, "diff checkout staging production", "here is no app `checkout`").await?;
        ensure!(!hidden.contains("main-"), "{hidden}");
        asks(room, ALICE, "diff checkout staging production", "*checkout@staging* runs").await?;
        Ok(())
    });
}
