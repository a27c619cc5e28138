//! The answer is a click away: each message leads to the pages it is about, and says its id.

use crate::conversation::{asks, catalog, hurry, says, whispers};
use anyhow::{Context, Result, ensure};
use e2e::{Room, limits, room, room_with};
use fakes::github::Checks;
use fakes::slack::Message;
use sandbox::Options;
use sandbox::world::{ALICE, DEPLOYS, GITOPS};
use serde_json::json;
use std::collections::BTreeMap;

/// The addresses in a message.
fn links(message: &Message) -> Vec<String> {
    let text = json!(message.now().blocks).to_string();
    let parts = text.split("<http").skip(1).filter_map(|part| part.split(['|', '>']).next());
    parts.map(|rest| format!("http{rest}")).collect()
}

fn leads_to(message: &Message, page: &str) -> Result<()> {
    let links = links(message);
    ensure!(links.iter().any(|link| link.ends_with(page)), "no link to {page} in {links:#?}");
    Ok(())
}

/// The id in small print.
fn short_id(room: &Room, message: &Message) -> Result<String> {
    let text = room.slack.lock().render(message);
    let id = text.lines().find_map(|line| line.trim().strip_prefix("id ")).context("no id")?;
    ensure!(id.len() == 8, "{id}");
    Ok(id.to_owned())
}

#[test]
fn a_live_message_leads_to_argo_cd_the_pull_request_and_the_commit() {
    let variables = BTreeMap::from([
        ("argocd_public_url".to_owned(), "https://argocd.acme.example".to_owned()),
        ("argocd_root_path".to_owned(), String::new()),
    ]);
    room_with(Options { limits: Some(limits()), variables, ..Options::default() }, async |room| -> Result<()> {
        hurry(room);
        room.alice("checkout 42").await;
        let live = says(room, "*checkout #42*  is live").await?;
        room.all_told().await?;
        let commit = room.github.lock().head(GITOPS, "main").context("a head")?;
        leads_to(&live, "https://argocd.acme.example/applications/checkout")?;
        leads_to(&live, "/acme/checkout/pull/42")?;
        leads_to(&live, &format!("/acme/gitops/commit/{commit}"))?;
        room.alice("checkout main").await;
        let later = says(room, "*checkout main*  is live").await?;
        room.all_told().await?;
        ensure!(links(&later).iter().any(|link| link.contains("/acme/checkout/compare/")), "{:#?}", links(&later));

        // The id finds the deploy: in Git, in the log, by `history` and by `why`.
        let id = short_id(room, &live)?;
        let trailer = format!("Deploy-Id: {id}");
        ensure!(room.github.lock().commits(GITOPS, "main").iter().any(|commit| commit.message.contains(&trailer)));
        ensure!(room.log().contains(&id), "{}", room.log());
        for command in ["history", "why"] {
            asks(room, ALICE, &format!("{command} {id}"), "is one deploy").await?;
        }

        // Of several apps, each has its own page.
        for app in ["checkout", "payments"] {
            room.builds(app, "main", "alice");
        }
        room.alice("checkout,payments main").await;
        let both = says(room, "all are live").await?;
        for app in ["checkout", "payments"] {
            leads_to(&both, &format!("https://argocd.acme.example/applications/{app}"))?;
        }
        room.all_told().await
    });
}

#[test]
fn a_refusal_by_checks_and_for_want_of_an_image_leads_to_the_checks() {
    room(async |room| -> Result<()> {
        hurry(room);
        catalog(room, "", "    checks: required\n");
        let head = room.github.lock().head("acme/checkout", "main").context("a head")?;
        let page = format!("/acme/checkout/commit/{head}/checks");
        room.github.lock().checks("acme/checkout", &head, Some(Checks::Failure));
        room.alice("checkout main").await;
        leads_to(&whispers(room, ALICE, "needs the checks").await?, &page)?;
        room.all_told().await?;
        catalog(room, "", "");
        room.github.lock().person_pushes("acme/checkout", "main", "alice", &[("work.txt", "more")], "Not built yet");
        let head = room.github.lock().head("acme/checkout", "main").context("a head")?;
        room.alice("checkout main").await;
        let page = format!("/acme/checkout/commit/{head}/checks");
        leads_to(&whispers(room, ALICE, "there is no image").await?, &page)?;
        room.all_told().await
    });
}

#[test]
fn what_the_catalog_refuses_leads_to_its_line() {
    room(async |room| -> Result<()> {
        hurry(room);
        let host = room.registry.origin().trim_start_matches("http://").to_owned();
        let closed = format!(
            "# ours\napps:\n  checkout:\n    repo: acme/checkout\n    image: {host}/acme/checkout\n    allow: {{ users: [U0BOB] }}\n"
        );
        room.github.lock().person_pushes(GITOPS, "main", "carol", &[("deploy-bot.yaml", &closed)], "Close checkout");
        room.alice("checkout 42").await;
        let refused = whispers(room, ALICE, "aren't allowed").await?;
        leads_to(&refused, "/acme/gitops/blob/main/deploy-bot.yaml#L3")?;
        room.all_told().await?;
        let broken = closed.replace("    allow:", "    alow:");
        room.github.lock().person_pushes(GITOPS, "main", "carol", &[("deploy-bot.yaml", &broken)], "Break checkout");
        room.alice("checkout 42").await;
        let refused = whispers(room, ALICE, "has a mistake on line 6").await?;
        leads_to(&refused, "/acme/gitops/blob/main/deploy-bot.yaml#L6")?;
        room.all_told().await
    });
}

#[test]
fn who_waits_reads_since_when_and_until_when() {
    room(async |room| -> Result<()> {
        hurry(room);
        catalog(room, "", "    approvals: { count: 1, users: [U0BOB] }\n");
        room.command(ALICE, DEPLOYS, "checkout 42").await;
        let waits = room.says("needs 1 approval").await?;
        ensure!(waits.contains("Waiting since ") && waits.contains(" at the latest."), "{waits}");
        room.all_told().await
    });
}
