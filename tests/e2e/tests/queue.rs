//! The queue: a deploy that finds its target busy waits, publicly, and goes when those before it are live. A rollback never waits.

use crate::conversation::{hurry, says};
use anyhow::{Result, ensure};
use e2e::{PATIENCE, Room, quick, room};
use fakes::argocd::{End, Script};
use sandbox::Sandbox;
use sandbox::hold::Moment::Before;
use sandbox::world::{BOB, CAROL, DEPLOYS};

/// Waits until a version is live in Argo CD, and everything is told.
async fn is_live(room: &Room, tag: &str) -> Result<()> {
    let look = |room: &Sandbox| (room.argocd.lock().live_tag("checkout") == Some(tag)).then_some(());
    room.until(&format!("{tag} live"), PATIENCE, look).await?;
    room.all_told().await
}

#[test]
fn deploys_of_one_app_go_live_in_the_order_in_which_they_were_asked_for() {
    room(async |room| -> Result<()> {
        hurry(room);
        let (first, second) = (room.tag("checkout", "feature/totals"), room.builds("checkout", "main", "bob"));
        let third = room.builds("checkout", "topic", "carol");
        let held = room.argocd.hold(Before, "argocd.sync", 1);
        room.alice("checkout 42").await;
        held.reached().await?;
        room.command(BOB, DEPLOYS, "checkout main").await;
        let waits = says(room, "waiting for the deploy by @alice (see it). Then it goes on by itself").await?;
        ensure!(waits.buttons() == ["cancel"], "{:?}", waits.buttons());
        // Slack's time of a request has whole seconds.
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
        room.command(CAROL, DEPLOYS, "checkout topic").await;
        room.says("waiting for the deploy by @alice (see it), and 1 more deploy after it").await?;
        held.release();
        is_live(room, &third).await?;
        let live: Vec<String> = room.messages();
        for tag in [first, second, third] {
            ensure!(live.iter().any(|text| text.contains(&format!("is live: `{tag}`"))), "{tag}: {live:#?}");
        }
        ensure!(live.len() == 3 && room.argocd.lock().syncs().len() == 3, "{live:#?}");
        Ok(())
    });
}

#[test]
fn who_waits_can_leave_the_queue() {
    room(async |room| -> Result<()> {
        hurry(room);
        let first = room.tag("checkout", "feature/totals");
        room.builds("checkout", "main", "bob");
        let before = room.commits();
        let held = room.argocd.hold(Before, "argocd.sync", 1);
        room.alice("checkout 42").await;
        held.reached().await?;
        room.command(BOB, DEPLOYS, "checkout main").await;
        let waits = says(room, "waiting for the deploy by @alice").await?;
        room.press(CAROL, &waits, "cancel").await;
        room.says("cancelled by @carol").await?;
        held.release();
        is_live(room, &first).await?;
        ensure!(room.commits() == before + 1, "{}", room.commits());
        Ok(())
    });
}

#[test]
fn who_waits_stops_if_the_one_before_does_not_go_live() {
    room(async |room| -> Result<()> {
        hurry(room);
        room.builds("checkout", "main", "bob");
        let before = room.commits();
        let end = End::Failed("one or more objects failed to apply".to_owned(), "no".to_owned());
        room.script("checkout", Script { end, ends: 3000, ..quick() });
        room.alice("checkout 42").await;
        room.says("rolling out").await?;
        room.command(BOB, DEPLOYS, "checkout main").await;
        room.says("waiting for the deploy by @alice").await?;
        let stopped = says(room, "that it waited for didn't go live. Look at that one first").await?;
        ensure!(stopped.buttons() == ["retry"] && room.commits() == before + 1, "{:?}", stopped.buttons());
        room.all_told().await?;
        // Who has looked goes on.
        room.script("checkout", quick());
        room.press(BOB, &stopped, "retry").await;
        is_live(room, &room.tag("checkout", "main")).await
    });
}

#[test]
fn a_rollback_passes_the_queue() {
    room(async |room| -> Result<()> {
        hurry(room);
        let good = room.builds("checkout", "main", "alice");
        room.goes_live("checkout main").await?;
        room.all_told().await?;
        room.builds("checkout", "main", "alice");
        let held = room.argocd.hold(Before, "argocd.sync", 1);
        room.alice("checkout 42").await;
        held.reached().await?;
        room.command(BOB, DEPLOYS, "checkout main").await;
        room.says("waiting for the deploy by @alice").await?;
        room.command(CAROL, DEPLOYS, &format!("rollback checkout {good}")).await;
        held.release();
        // It locks the app, so who waited is not deployed over it.
        room.says("checkout is locked by @carol").await?;
        is_live(room, &good).await
    });
}

/// A request for several apps has its turn at all of them or at none, so that two such requests never wait for each other.
#[test]
fn several_apps_wait_for_each_of_them_and_nobody_waits_for_ever() {
    room(async |room| -> Result<()> {
        hurry(room);
        room.builds("checkout", "main", "bob");
        let payments = room.builds("payments", "main", "bob");
        let checkout = room.tag("checkout", "main");
        let before = room.commits();
        let held = room.argocd.hold(Before, "argocd.sync", 1);
        room.alice("checkout 42").await;
        held.reached().await?;
        room.command(BOB, DEPLOYS, "payments,checkout main").await;
        let waits = says(room, "waiting for the deploy by @alice").await?;
        ensure!(waits.buttons() == ["cancel"], "{:?}", waits.buttons());
        // Slack's time of a request has whole seconds.
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
        room.command(CAROL, DEPLOYS, "checkout,payments main").await;
        room.says("waiting for the deploy by @alice (see it), and 1 more deploy after it").await?;
        ensure!(room.commits() == before + 1, "nobody goes alone: {}", room.commits());
        held.release();
        let look = |room: &Sandbox| {
            let argocd = room.argocd.lock();
            let is_live = |app: &str, tag: &str| argocd.live_tag(app) == Some(tag);
            (is_live("checkout", &checkout) && is_live("payments", &payments)).then_some(())
        };
        room.until("both live", PATIENCE, look).await?;
        room.all_told().await?;
        ensure!(room.commits() >= before + 2, "{}", room.commits());
        Ok(())
    });
}

/// Attack: may write the store | puts a deployment that is none in front of everybody | nobody waits for it
#[test]
fn nobody_waits_for_what_is_no_deployment() {
    room(async |room| -> Result<()> {
        hurry(room);
        for id in ["0123456789abcdef0123456789abcdef", "x"] {
            room.redis::<i64>(&["ZADD", "deploy-bot/queue/target/checkout/default", "1", id]).await?;
        }
        room.goes_live("checkout 42").await?;
        room.redis::<i64>(&["DEL", "deploy-bot/queue/target/checkout/default"]).await?;
        room.all_told().await
    });
}
