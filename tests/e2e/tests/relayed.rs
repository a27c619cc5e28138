//! `relay: all`: a person's push reaches Argo CD if it touches nothing that a managed application reads, and no other does.

use anyhow::{Result, ensure};
use e2e::{PATIENCE, Room, limits, room, room_with};
use fakes::github::{GitHub, NewCommit, webhook_headers};
use fakes::{Fault, Response};
use sandbox::world::{BOB, GITOPS};
use sandbox::{Options, Sandbox};
use serde_json::json;
use std::time::{Duration, Instant};

use crate::conversation::{asks, carol_replaces, hurry, says};
use crate::pushes::{answer_to, answers, large_commits, last_delivery, one_commit, reason, signed};
use crate::seen::is_seen;

const RELAYED: &str = "200 relayed: a person's push that no managed application reads";
const READ: &str = "200 ignored: a person's push to what a managed application reads";
const NO_LIST: &str = "200 ignored: a person's push, and which applications are managed is not known";
const AUTO_SYNC: &str = "200 ignored: a person's push, and a managed application has auto-sync";

/// The operator says `relay: all`.
fn all(test: impl AsyncFnOnce(&mut Room) -> Result<()>) {
    let variables = [("relay".to_owned(), "all".to_owned())].into();
    room_with(Options { limits: Some(limits()), variables, ..Options::default() }, test);
}

/// Carol pushes one file.
fn carol(file: &'static str) -> impl FnOnce(&mut GitHub) {
    move |github| {
        let text = format!("Words about {file} after {} commits", github.commits(GITOPS, "main").len());
        github.person_pushes(GITOPS, "main", "carol", &[(file, &text)], "Change a file");
    }
}

/// Argo CD heard of so many pushes.
fn heard(room: &Sandbox) -> usize {
    room.argocd.lock().webhooks().len()
}

#[test]
fn off_no_push_of_a_person_is_relayed() {
    room(async |room| -> Result<()> {
        is_seen(room).await?;
        for file in ["README.md", "shop/NOTES.md", "checkout/NOTES.md"] {
            ensure!(answer_to(room, carol(file)).await? == "200 ignored: a person's push");
        }
        ensure!(heard(room) == 0);
        Ok(())
    });
}

#[test]
fn a_push_elsewhere_is_relayed_byte_for_byte_and_syncs_nothing() {
    all(async |room| -> Result<()> {
        is_seen(room).await?;
        let keys = room.keys().await?;
        ensure!(answer_to(room, carol("shop/values.yaml")).await? == RELAYED);
        let several = |github: &mut GitHub| {
            let commits = [NewCommit::new("One", &[("README.md", "1")]), NewCommit::new("Two", &[("shop/a", "2")])];
            github.push(GITOPS, "main", "carol", &commits);
        };
        ensure!(answer_to(room, several).await? == RELAYED);
        // Somebody presses "Redeliver": it is relayed again, which does no harm.
        let sent = last_delivery(room);
        ensure!(answer_to(room, |github| github.redeliver(&sent.guid)).await? == RELAYED);
        {
            let argocd = room.argocd.lock();
            let [_, got, again] = argocd.webhooks() else { anyhow::bail!("{} webhooks", argocd.webhooks().len()) };
            ensure!(got.body == sent.body && again.body == sent.body, "the same bytes");
            for (name, value) in &sent.headers {
                let is_ours = name.starts_with("x-hub") || ["x-github-event", "x-github-delivery"].contains(&&**name);
                let there = got.headers.get(name.as_str()).and_then(|value| value.to_str().ok());
                ensure!(!is_ours || there == Some(value), "{name}: {there:?}");
            }
            ensure!(argocd.syncs().is_empty());
        }
        ensure!(room.keys().await?.len() == keys.len(), "nothing of it is stored");
        ensure!(room.log().matches("push_relayed").count() == 3);
        // The bot's own are relayed as ever.
        room.goes_live("checkout 42").await?;
        let own =
            |room: &Sandbox| answers(room).last().map(reason).filter(|told| told.contains("the bot's own commit"));
        room.until("the bot's own push", PATIENCE, own).await?;
        ensure!(heard(room) == 4 && room.syncs("checkout") == 1);
        Ok(())
    });
}

#[test]
fn a_persons_push_is_signed_with_argo_cds_own_secret() {
    const OTHER: &str = "the secret that Argo CD keeps to itself";
    all(async |room| -> Result<()> {
        room.argocd.lock().webhook_secret = OTHER.to_owned();
        room.variables.insert("argocd_webhook_secret".to_owned(), OTHER.to_owned());
        room.restart_bot().await?;
        is_seen(room).await?;
        ensure!(answer_to(room, carol("README.md")).await? == RELAYED);
        let sent = last_delivery(room);
        let argocd = room.argocd.lock();
        let [got] = argocd.webhooks() else { anyhow::bail!("{} webhooks", argocd.webhooks().len()) };
        ensure!(got.body == sent.body, "the same bytes");
        for (name, value) in webhook_headers(OTHER, "push", &sent.guid, &sent.body) {
            let there = got.headers.get(name.as_str()).and_then(|value| value.to_str().ok());
            ensure!(!name.starts_with("x-hub-signature") || there == Some(&*value), "{name}: {there:?}");
        }
        Ok(())
    });
}

#[test]
fn argo_cd_that_does_not_take_a_persons_push_is_told_to_github() {
    all(async |room| -> Result<()> {
        is_seen(room).await?;
        room.argocd.fault("argocd.webhook", Fault::Instead(Response::text(503, "Queue is full")), 1);
        ensure!(answer_to(room, carol("README.md")).await? == "503 failed: Argo CD did not take it");
        ensure!(room.log().contains("relay_failed"));
        let guid = last_delivery(room).guid;
        ensure!(answer_to(room, |github| github.redeliver(&guid)).await? == RELAYED);
        Ok(())
    });
}

#[test]
fn what_a_managed_application_reads_or_nobody_knows_is_not_relayed() {
    const COPIED: &str = "Deploy checkout main-0123456\n\nDeploy-Id: 00112233445566778899aabbccddeeff";
    all(async |room| -> Result<()> {
        is_seen(room).await?;
        ensure!(answer_to(room, carol("checkout/NOTES.md")).await? == READ);
        ensure!(answer_to(room, carol("payments/templates/a.txt")).await? == READ);
        // One commit of several is enough.
        let several = |github: &mut GitHub| {
            let commits = [NewCommit::new("One", &[("checkout/a", "1")]), NewCommit::new("Two", &[("README.md", "2")])];
            github.push(GITOPS, "main", "carol", &commits);
        };
        ensure!(answer_to(room, several).await? == READ);
        let copied = |github: &mut GitHub| {
            github.person_pushes(GITOPS, "main", "carol", &[("README.md", "x")], COPIED);
        };
        ensure!(answer_to(room, copied).await? == "200 ignored: no commit of the bot was expected here");
        let branch = |github: &mut GitHub| {
            github.person_pushes(GITOPS, "next", "carol", &[("README.md", "x")], "Notes");
        };
        ensure!(answer_to(room, branch).await? == "200 ignored: another branch");

        // What it does not say of itself.
        let good = one_commit(room, "Notes");
        ensure!(signed(room, "push", &good).await == RELAYED, "what follows differs from this one");
        let mut created = good.clone();
        created["created"] = json!(true);
        ensure!(signed(room, "push", &created).await == "200 ignored: the branch was created");
        for (pointer, value) in [
            ("/commits/0/modified", json!([])),
            ("/commits/0/added", json!(null)),
            ("/commits/0/removed", json!("README.md")),
            ("/commits/0/id", json!("8".repeat(40))),
            ("/commits", json!([])),
            ("/before", json!("0".repeat(40))),
        ] {
            let mut push = good.clone();
            *push.pointer_mut(pointer).expect("it is there") = value;
            let answer = signed(room, "push", &push).await;
            ensure!(answer.contains("does not list all its commits and files"), "{pointer}: {answer}");
        }

        let large = |github: &mut GitHub| {
            github.push(GITOPS, "main", "carol", &large_commits());
        };
        ensure!(answer_to(room, large).await? == "200 ignored: larger than any push of the bot");
        let forced = |github: &mut GitHub| {
            let onto = github.commits(GITOPS, "main")[1].sha.clone();
            github.force_push(GITOPS, "main", "carol", &onto, &[NewCommit::new("Forced", &[("README.md", "f")])]);
        };
        ensure!(answer_to(room, forced).await? == "200 ignored: the branch was rewritten");
        ensure!(heard(room) == 1, "only the good one");
        Ok(())
    });
}

/// An application that a push adds is not known before the catalog is read.
#[test]
fn after_a_push_to_the_catalog_nothing_is_relayed_until_it_is_read() {
    all(async |room| -> Result<()> {
        is_seen(room).await?;
        ensure!(answer_to(room, carol("README.md")).await? == RELAYED);
        let catalog = String::from_utf8_lossy(&room.file("deploy-bot.yaml")).into_owned();
        let pushed = move |github: &mut GitHub| {
            let catalog = format!("{catalog}# And more.\n");
            github.person_pushes(GITOPS, "main", "carol", &[("deploy-bot.yaml", &catalog)], "Add an app");
        };
        ensure!(answer_to(room, pushed).await? == "200 ignored: a person's push to the catalog");
        ensure!(answer_to(room, carol("README.md")).await? == NO_LIST);
        // Clocks may differ by ten seconds.
        let begun = Instant::now();
        while answer_to(room, carol("README.md")).await? != RELAYED {
            ensure!(begun.elapsed() < Duration::from_secs(30), "it is not read");
            tokio::time::sleep(Duration::from_secs(3)).await;
            asks(room, BOB, "apps", "acme/checkout").await?;
        }
        ensure!(begun.elapsed() > Duration::from_secs(9), "{:?}", begun.elapsed());
        ensure!(heard(room) == 2);
        Ok(())
    });
}

#[test]
fn a_push_to_an_included_file_is_one_to_the_catalog() {
    all(async |room| -> Result<()> {
        let catalog = String::from_utf8_lossy(&room.file("deploy-bot.yaml")).into_owned();
        let bounds = "{ apps: [], values: [], applications: [], repositories: [], images: [] }";
        let catalog = format!("{catalog}include: {{ teams/*.yaml: {bounds} }}\n");
        let files = [("deploy-bot.yaml", catalog.as_str()), ("teams/a.yaml", "apps: {}\n")];
        room.github.lock().repo(GITOPS).commit("A file for each team", &files);
        is_seen(room).await?;
        ensure!(answer_to(room, carol("README.md")).await? == RELAYED);
        ensure!(answer_to(room, carol("teams/a.md")).await? == RELAYED);
        ensure!(answer_to(room, carol("teams/deep/a.yaml")).await? == RELAYED);
        ensure!(answer_to(room, carol("teams/a.yaml")).await? == "200 ignored: a person's push to the catalog");
        ensure!(answer_to(room, carol("README.md")).await? == NO_LIST);
        Ok(())
    });
}

/// A commit of the bot's own lists no file, and says nothing of the catalog all the same.
#[test]
fn after_an_empty_commit_of_the_bot_a_push_is_relayed() {
    all(async |room| -> Result<()> {
        hurry(room);
        is_seen(room).await?;
        room.goes_live("checkout 42").await?;
        let (old, new) = (room.tag("checkout", "feature/totals"), room.builds("checkout", "feature/totals", "alice"));
        carol_replaces(room, &old, &new);
        room.alice("checkout 42").await;
        let refused = says(room, "carol put ").await?;
        room.press(sandbox::world::ALICE, &refused, "take_over").await;
        room.says(&format!("is live: `{new}`")).await?;
        ensure!(answer_to(room, carol("README.md")).await? == RELAYED);
        Ok(())
    });
}

#[test]
fn before_the_applications_are_known_nothing_is_relayed() {
    all(async |room| -> Result<()> {
        ensure!(answer_to(room, carol("README.md")).await? == NO_LIST);
        // The catalog is read, but Argo CD shows nothing.
        room.argocd.fault("argocd.list", Fault::Instead(Response::text(502, "Bad Gateway")), 10_000);
        asks(room, BOB, "apps", "acme/checkout").await?;
        let not_seen = "200 ignored: a person's push, and a managed application was not looked at for a day";
        ensure!(answer_to(room, carol("README.md")).await? == not_seen);
        ensure!(heard(room) == 0);
        // The push that is not relayed wakes the poller, which looks. Nobody uses the bot.
        room.argocd.mend();
        let begun = Instant::now();
        while answer_to(room, carol("README.md")).await? != RELAYED {
            ensure!(begun.elapsed() < PATIENCE, "nobody looks");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        ensure!(heard(room) == 1);
        Ok(())
    });
}

#[test]
fn with_an_application_of_auto_sync_nothing_is_relayed() {
    // As Argo CD shows it, and as the catalog says.
    all(async |room| -> Result<()> {
        room.argocd.lock().app("payments").automated = true;
        is_seen(room).await?;
        ensure!(answer_to(room, carol("README.md")).await? == AUTO_SYNC);
        ensure!(heard(room) == 0);
        Ok(())
    });
    all(async |room| -> Result<()> {
        let catalog = String::from_utf8_lossy(&room.file("deploy-bot.yaml")).into_owned();
        let auto = catalog.replacen("    allow: anyone\n", "    allow: anyone\n    sync: auto\n", 1);
        ensure!(auto != catalog, "{catalog}");
        room.github.lock().repo(GITOPS).commit("One is synced by Argo CD", &[("deploy-bot.yaml", &auto)]);
        is_seen(room).await?;
        ensure!(answer_to(room, carol("README.md")).await? == AUTO_SYNC);
        ensure!(heard(room) == 0);
        Ok(())
    });
}
