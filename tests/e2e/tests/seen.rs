//! What the poller sees of the applications in the catalog: shown in `/deploy apps`, and asked before a commit.

use anyhow::{Result, ensure};
use e2e::{PATIENCE, Room, room};
use fakes::argocd::{App, Source};
use fakes::{Fault, Response};
use sandbox::world::{BOB, GITOPS};

use std::time::{Duration, Instant};

use crate::conversation::asks;

/// The poller looks as soon as somebody has used the bot.
pub(crate) async fn is_seen(room: &Room) -> Result<()> {
    asks(room, BOB, "apps", "acme/checkout").await?;
    let begun = Instant::now();
    for app in ["checkout", "payments"] {
        while room.key(&format!("deploy-bot/seen/default/application/-/{app}")).await?.is_none() {
            ensure!(begun.elapsed() < PATIENCE, "nobody has looked at {app}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(())
}

#[test]
fn auto_sync_without_the_key_is_refused_before_the_commit() {
    room(async |room| -> Result<()> {
        room.argocd.lock().app("checkout").automated = true;
        is_seen(room).await?;
        let apps = asks(room, BOB, "apps", "auto-sync is on, and the catalog has no `sync: auto`").await?;
        ensure!(!apps.contains("I may not"), "{apps}");
        let commits = room.commits();
        room.alice("checkout 42").await;
        let message = room.says("not deployed: auto-sync is on in Argo CD for checkout").await?;
        ensure!(message.contains("Add `sync: auto` to it in `deploy-bot.yaml`"), "{message}");
        let preview = asks(room, BOB, "preview checkout 42", "auto-sync is on in Argo CD").await?;
        ensure!(room.commits() == commits, "{preview}");
        // Somebody switches it off. What was seen is not a day old, but it is looked at again.
        room.argocd.lock().app("checkout").automated = false;
        room.goes_live("checkout 42").await?;
        Ok(())
    });
}

/// What was seen before says that auto-sync is on, and somebody has switched it off since.
#[test]
fn a_fresh_look_that_fails_refuses_nothing() {
    for (failures, why) in [(1, "it is looked at again"), (1000, "the watch finds out")] {
        room(async |room| -> Result<()> {
            room.argocd.lock().app("checkout").automated = true;
            is_seen(room).await?;
            {
                let mut argocd = room.argocd.lock();
                argocd.app("checkout").automated = false;
                argocd.look(sandbox::now(), "checkout", None);
            }
            room.argocd.fault("argocd.list", Fault::Instead(Response::text(502, "Bad Gateway")), failures);
            let live = room.goes_live("checkout 42").await;
            ensure!(live.is_ok(), "{why}: {live:?}");
            Ok(())
        });
    }
}

#[test]
fn an_application_that_follows_another_branch_is_refused_before_the_commit() {
    room(async |room| -> Result<()> {
        room.github.lock().repo(GITOPS).branch("staging");
        let staging = Source::new("https://github.com/acme/gitops", "staging").at("checkout");
        room.argocd.lock().add(sandbox::now(), App::new("checkout", staging));
        room.argocd.lock().remove("payments");
        is_seen(room).await?;
        asks(room, BOB, "apps", "it doesn't follow the branch that I commit to").await?;
        asks(room, BOB, "apps", "Argo CD has no such application").await?;
        let commits = room.commits();
        room.alice("checkout 42").await;
        room.says("not deployed: the Argo CD application of checkout doesn't follow the branch").await?;
        ensure!(room.commits() == commits);
        Ok(())
    });
}
