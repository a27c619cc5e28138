//! Two and three replicas of each component on one store and one Redis. People's requests and GitHub's webhooks reach them in turn; every
//! replica hears every wake-up.
//!
//! Easy to miss: a dead replica keeps its leases until they run out. The tests do not take them away, because
//! other replicas live.

use anyhow::{Context, Result, ensure};
use e2e::restart::Messages;
use e2e::{PATIENCE, Room, limits, quick, room_with};
use fakes::argocd::Script;
use fakes::slack::{Bot, Kind};
use sandbox::hold::Moment;
use sandbox::{Options, Sandbox, now, world};
use std::collections::BTreeSet;

fn replicas(replicas: usize, test: impl AsyncFnOnce(&mut Room) -> Result<()>) {
    room_with(Options { limits: Some(limits()), replicas, ..Options::default() }, test);
}

/// Two apps at a time, several times; each request goes to another replica.
#[test]
fn two_and_three_replicas_share_the_work_and_each_deploy_goes_live_once() {
    for count in [2, 3] {
        replicas(count, async |room| {
            for app in ["checkout", "payments"] {
                room.script(app, Script { ends: 1500, ..quick() });
            }
            room.slack.lock().add_channel("C0TEAM", "team", Kind::Public, Bot::Member);
            for _ in 0..count {
                let checkout = room.before_a_deploy("checkout", "feature/totals");
                room.builds("payments", "feature/refunds", "bob");
                let commits = room.commits();
                let (one, two) =
                    tokio::join!(room.alice("checkout 42"), room.command(world::BOB, "C0TEAM", "payments 7"));
                ensure!(one.is_accepted() && two.is_accepted(), "{one:?} {two:?}");
                let live = |room: &Sandbox| {
                    let slack = room.slack.lock();
                    let all = slack.messages("C0TEAM");
                    all.last().is_some_and(|message| slack.render(message).contains("is live")).then_some(())
                };
                room.until("word that both are live", PATIENCE, |room| {
                    live(room).and_then(|()| checkout.is_live(room))
                })
                .await?;
                room.all_told().await?;
                ensure!(room.commits() == commits + 2, "a commit each");
            }
            for (app, branch) in [("checkout", "feature/totals"), ("payments", "feature/refunds")] {
                ensure!(room.syncs(app) == count, "{app} was synced {} times", room.syncs(app));
                ensure!(room.argocd.lock().live_tag(app) == Some(&room.tag(app, branch)), "{app}");
            }
            ensure!(room.messages().len() == count && room.slack.lock().messages("C0TEAM").len() == count);
            let twice = room.argocd.lock().watched_twice();
            ensure!(twice < 1000, "two watches for {twice} ms");
            let asked = |path: &str| {
                let exchanges = room.bot.exchanges();
                let asked = exchanges.iter().filter(|exchange| exchange.path == path).map(|exchange| exchange.replica);
                asked.collect::<BTreeSet<_>>()
            };
            // Else this would be a test of one replica.
            ensure!(asked("/slack/command").len() == count, "{:?}", asked("/slack/command"));
            ensure!(asked("/github/webhook").len() > 1, "{:?}", asked("/github/webhook"));
            Ok(())
        });
    }
}

#[test]
fn the_same_click_at_every_replica_at_once_is_one_deployment() {
    replicas(3, async |room| {
        room.script("checkout", quick());
        let before = room.before_a_deploy("checkout", "feature/totals");
        let click = room.slack.lock().command(now(), world::ALICE, world::DEPLOYS, "checkout 42");
        let answers = tokio::join!(room.send(&click), room.send(&click), room.send(&click));
        let asked: BTreeSet<usize> = [answers.0, answers.1, answers.2]
            .into_iter()
            .filter(|answer| answer.is_accepted())
            .map(|answer| answer.replica)
            .collect();
        ensure!(asked.len() == 3, "each took it: {asked:?}");
        room.until("word that it is live", PATIENCE, |room| before.is_live(room)).await?;
        room.all_told().await?;
        room.went_live_once(&before, Messages::One).await?;
        let requests = room.keys().await?.into_iter().filter(|key| key.ends_with("/request")).count();
        ensure!(requests == 1, "{requests} deployments");
        ensure!(room.github.lock().calls("github.commit") == 1);
        Ok(())
    });
}

/// The webhook comes to all replicas at once, and again after the end.
#[test]
fn the_same_webhook_at_every_replica_at_once_syncs_once() {
    replicas(3, async |room| {
        room.script("checkout", quick());
        let before = room.before_a_deploy("checkout", "feature/totals");
        room.github.lock().webhook(world::GITOPS).duplicates = 2;
        room.alice("checkout 42").await;
        room.until("word that it is live", PATIENCE, |room| before.is_live(room)).await?;
        room.all_told().await?;
        room.went_live_once(&before, Messages::One).await?;
        let guid = room.github.lock().deliveries()[0].guid.clone();
        for _ in 0..3 {
            room.github.lock().redeliver(&guid);
        }
        let all = |room: &Sandbox| {
            let exchanges = room.bot.exchanges();
            (exchanges.iter().filter(|exchange| exchange.path == "/github/webhook").count() == 6).then_some(())
        };
        room.until("six answers to GitHub", PATIENCE, all).await?;
        room.went_live_once(&before, Messages::One).await?;
        Ok(())
    });
}

/// The carrier dies between the commit and its answer. The other replica, probed, goes on when the dead
/// carrier's lease has run out.
#[test]
fn a_replica_killed_during_the_commit_is_replaced_by_another() {
    replicas(2, async |room| {
        room.script("checkout", quick());
        let before = room.before_a_deploy("checkout", "feature/totals");
        let held = room.github.hold(Moment::After, "github.commit", 1);
        let carries = room.alice("checkout 42").await.replica;
        held.reached().await?;
        room.posted().await?;
        room.kill_replica(carries).await;
        drop(held);
        room.goes_on(&before, Messages::One).await?;
        ensure!(room.github.lock().calls("github.commit") == 1, "it was found, not made again");
        room.start_bot().await
    });
}

/// The watch dies during the sync, on the guardian's replica or on another. The other replica, probed, goes
/// on when the dead watch's lease has run out.
#[test]
fn a_replica_killed_during_the_watch_is_replaced_by_another() {
    replicas(2, async |room| {
        room.script("checkout", Script { ends: 2000, ..quick() });
        let before = room.before_a_deploy("checkout", "feature/totals");
        room.alice("checkout 42").await;
        let watcher = room
            .until("sync", PATIENCE, |room| {
                let log = room.log();
                let line = log.lines().find(|line| line.contains("\"sync_taken\""))?;
                line.strip_prefix("replica ")?.split(':').next()?.parse::<usize>().ok()
            })
            .await?;
        room.kill_replica(watcher).await;
        room.goes_on(&before, Messages::One).await.with_context(|| format!("replica {watcher} watched"))?;
        room.start_bot().await
    });
}

/// A lease that Redis lost lets another replica watch, too, until the first one's next renewal. Only Argo
/// CD's stream shows that there are two.
#[test]
fn two_watches_for_one_renewal_period_sync_once_and_say_the_same() {
    replicas(2, async |room| {
        room.script("checkout", Script { ends: 5000, ..quick() });
        let before = room.before_a_deploy("checkout", "feature/totals");
        room.alice("checkout 42").await;
        room.says("rolling out").await?;
        ensure!(room.redis::<i64>(&["DEL", "deploy-bot/lease/watch"]).await? == 1, "somebody watched");
        room.redis::<i64>(&["PUBLISH", "deploy-bot/wake", "wake"]).await?;
        room.until("second watch", PATIENCE, |room| (room.argocd.lock().open_streams() == 2).then_some(())).await?;
        room.until("end of one of them", PATIENCE, |room| (room.argocd.lock().open_streams() < 2).then_some(()))
            .await?;
        room.until("word that it is live", PATIENCE, |room| before.is_live(room)).await?;
        room.all_told().await?;
        room.went_live_once(&before, Messages::One).await?;
        let twice = room.argocd.lock().watched_twice();
        ensure!(twice < 6000, "two watches for {twice} ms, and a renewal is due every 3 s");
        Ok(())
    });
}
