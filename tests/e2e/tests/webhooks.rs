//! GitHub's webhook for our own commit: early, late, lost, or more than once.

use anyhow::Result;
use e2e::restart::{Before, Messages};
use e2e::{PATIENCE, Room, limits, quick, room, room_with};
use fakes::Fault;
use fakes::argocd::Script;
use sandbox::bot::Exchange;
use sandbox::hold::Moment;
use sandbox::{Options, Sandbox, world};
use std::time::Duration;

/// Every answer to GitHub so far.
fn answers(room: &Sandbox) -> Vec<Exchange> {
    room.bot.exchanges().into_iter().filter(|exchange| exchange.path == "/github/webhook").collect()
}

async fn answer(room: &Room, nth: usize) -> Result<Exchange> {
    room.until(&format!("answer number {nth} to GitHub"), PATIENCE, |room| answers(room).get(nth).cloned()).await
}

/// GitHub sends the webhook as soon as the branch moves; the answer to the mutation may take longer. The push is recognised all the
/// same, by the attempt that was saved before, and relayed byte for byte as soon as the answer is there.
#[test]
fn a_webhook_that_overtakes_the_mutation_is_recognised() {
    room(async |room| -> Result<()> {
        room.script("checkout", quick());
        room.github.fault("github.commit", Fault::Slow(Duration::from_secs(1)), 1);
        room.goes_live("checkout 42").await?;

        let entries = room.journal.entries();
        let mutation = entries.iter().find(|entry| entry.call == "github.commit").expect("a mutation");
        let answered = mutation.at + mutation.took.unwrap_or_default();
        let pushes = answers(room);
        assert_eq!(pushes.len(), 1, "{pushes:?}");
        assert!(pushes[0].at < answered, "it came first");
        assert_eq!(pushes[0].status, Some(200));
        assert!(pushes[0].body.contains("the bot's own commit"), "{}", pushes[0].body);

        // One commit, and Argo CD got exactly what GitHub had sent.
        assert_eq!(room.github.lock().calls("github.commit"), 1);
        let sent = room.github.lock().deliveries().last().cloned().expect("a delivery");
        let argocd = room.argocd.lock();
        let got = argocd.webhooks();
        assert_eq!(got.len(), 1);
        assert_eq!(got[0].body, sent.body);
        assert!(got[0].at >= answered, "nothing is relayed before the commit is proven");
        for name in ["x-github-event", "x-github-delivery", "x-hub-signature", "x-hub-signature-256", "content-type"] {
            let was = sent.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
            assert_eq!(got[0].headers.get(name).and_then(|value| value.to_str().ok()), was, "{name}");
        }
        Ok(())
    });
}

/// GitHub waits ten seconds for an answer, so the relay does not wait for ever: it says "later", and the
/// deployment goes on without the webhook.
#[test]
fn a_webhook_that_is_far_too_early_does_not_stop_the_deployment() {
    let mut limits = limits();
    limits["overtaking"] = 200.into();
    room_with(Options { limits: Some(limits), ..Options::default() }, async |room| -> Result<()> {
        room.script("checkout", quick());
        room.github.fault("github.commit", Fault::Slow(Duration::from_secs(1)), 1);
        room.goes_live("checkout 42").await?;
        let push = answer(room, 0).await?;
        assert_eq!(push.status, Some(202), "{}", push.body);
        assert!(room.argocd.lock().webhooks().is_empty());
        Ok(())
    });
}

/// A webhook is a hint. Without it the watch waits a while, then makes Argo CD look at Git itself, and syncs.
#[test]
fn a_webhook_that_never_comes_does_not_stop_the_deployment() {
    room(async |room| -> Result<()> {
        for app in ["checkout", "payments"] {
            room.script(app, quick());
        }
        room.github.lock().webhook(world::GITOPS).lost = 1;
        let since = room.journal.mark("lost");
        let message = room.goes_live("checkout 42").await?;
        assert!(answers(room).is_empty());
        let calls: Vec<String> = room
            .calls(since)
            .into_iter()
            .filter(|call| ["argocd.refresh", "argocd.sync"].contains(&call.as_str()))
            .collect();
        assert_eq!(calls[..2], ["argocd.refresh", "argocd.sync"], "first it is told that there is something new");

        // Somebody presses "Redeliver" in GitHub after the end: the push is relayed, because Argo CD never
        // had it. Nothing else happens.
        let lost = room.github.lock().deliveries()[0].guid.clone();
        room.github.lock().redeliver(&lost);
        let late = answer(room, 0).await?;
        assert_eq!((late.status, late.body.contains("relayed")), (Some(200), true), "{}", late.body);
        nothing_more_happens(room, &message, 1).await
    });
}

/// The webhook comes during the sync, when the bot has stopped waiting for it. The push is relayed, because
/// Argo CD never had it, and the sync is not asked for again.
#[test]
fn a_webhook_during_the_sync_is_relayed_and_changes_nothing_else() {
    room(async |room| -> Result<()> {
        room.script("checkout", Script { ends: 3000, ..quick() });
        room.script("payments", quick());
        room.github.lock().webhook(world::GITOPS).lost = 1;
        room.alice("checkout 42").await;
        room.says("rolling out").await?;
        let late = room.github.lock().deliveries()[0].guid.clone();
        room.github.lock().redeliver(&late);
        let late = answer(room, 0).await?;
        assert!(room.message().contains("rolling out"), "{}", room.message());
        assert_eq!((late.status, late.body.contains("the bot's own commit")), (Some(200), true), "{}", late.body);
        let message = room.says("is live").await?;
        nothing_more_happens(room, &message, 1).await
    });
}

/// The push of the second commit arrives before that of the first, and a person's in between: each of the bot's is recognised, relayed
/// and synced by itself.
#[test]
fn webhooks_in_the_wrong_order_are_each_recognised() {
    room(async |room| -> Result<()> {
        for app in ["checkout", "payments"] {
            room.script(app, quick());
        }
        room.github.lock().webhook(world::GITOPS).lost = 1;
        let landed = |room: &Sandbox| (room.github.lock().calls("github.commit") == 1).then_some(());
        room.alice("checkout 42").await;
        room.until("first commit", PATIENCE, landed).await?;
        room.github.lock().person_pushes(world::GITOPS, "main", "carol", &[("NOTES.md", "Hello")], "Add notes");
        room.bob("payments 7").await;
        answer(room, 1).await?;
        let first = room.github.lock().deliveries()[0].guid.clone();
        room.github.lock().redeliver(&first);
        answer(room, 2).await?;
        for app in [("checkout", "feature/totals"), ("payments", "feature/refunds")] {
            room.says(&format!("is live: `{}`", room.tag(app.0, app.1))).await?;
        }
        let commits = room.github.lock().commits(world::GITOPS, "main");
        let argocd = room.argocd.lock();
        let body = |body: &[u8]| serde_json::from_slice::<serde_json::Value>(body).unwrap_or_default();
        let relayed: Vec<_> = argocd.webhooks().iter().map(|push| body(&push.body)["after"].clone()).collect();
        assert_eq!(relayed, [commits[0].sha.as_str(), &commits[2].sha], "the second one first, and not Carol's");
        let mut synced: Vec<_> = argocd.syncs().iter().map(|sync| (sync.app.as_str(), sync.revision())).collect();
        synced.sort();
        assert_eq!(synced, [("checkout", Some(commits[2].sha.as_str())), ("payments", Some(&commits[0].sha))]);
        Ok(())
    });
}

/// The same delivery again, while the sync goes and long after it: Argo CD hears of it once.
#[test]
fn the_same_webhook_three_times_syncs_once() {
    room(async |room| -> Result<()> {
        for app in ["checkout", "payments"] {
            room.script(app, quick());
        }
        room.alice("checkout 42").await;
        assert!(answer(room, 0).await?.body.contains("the bot's own commit"));
        let guid = room.github.lock().deliveries()[0].guid.clone();
        room.github.lock().redeliver(&guid);
        let again = answer(room, 1).await?;
        assert_eq!((again.status, again.body.contains("it was relayed before")), (Some(200), true), "{}", again.body);
        let message = room.says("is live").await?;

        room.github.lock().redeliver(&guid);
        let late = answer(room, 2).await?;
        assert_eq!((late.status, late.body.contains("it was relayed before")), (Some(200), true), "{}", late.body);
        nothing_more_happens(room, &message, 1).await
    });
}

/// Three at the same moment: Argo CD may hear of the same commit more than once, which does no harm there, but it is synced once.
#[test]
fn the_same_webhook_three_times_at_once_syncs_once() {
    room(async |room| -> Result<()> {
        for app in ["checkout", "payments"] {
            room.script(app, quick());
        }
        room.github.lock().webhook(world::GITOPS).duplicates = 2;
        let message = room.goes_live("checkout 42").await?;
        for nth in 0..3 {
            let push = answer(room, nth).await?;
            assert_eq!((push.status, push.body.contains("relayed")), (Some(200), true), "{}", push.body);
        }
        room.github.lock().webhook(world::GITOPS).duplicates = 0;
        let relayed = room.argocd.lock().webhooks().len();
        nothing_more_happens(room, &message, relayed).await
    });
}

// ---- the bot is down, or starts ----

/// The bot is killed right after the commit took effect. GitHub's webhook finds nobody and is lost: GitHub
/// never sends it again by itself.
#[test]
fn a_webhook_lost_while_the_bot_is_down_does_not_stop_the_deploy() {
    room(async |room| -> Result<()> {
        for app in ["checkout", "payments"] {
            room.script(app, quick());
        }
        let before = dies_after_the_commit(room, Duration::ZERO).await?;
        let lost = |room: &Sandbox| answers(room).first().filter(|push| push.status.is_none()).map(drop);
        room.until("webhook that is lost", PATIENCE, lost).await?;
        room.start_bot().await?;
        room.goes_on(&before, Messages::One).await?;
        assert!(room.argocd.lock().webhooks().is_empty(), "nothing was relayed");

        // Hours later, after another restart, somebody presses "Redeliver": Argo CD never had the push, so it
        // is relayed, and nothing else happens.
        let message = room.message();
        room.restart_bot().await?;
        let guid = room.github.lock().deliveries()[0].guid.clone();
        room.github.lock().redeliver(&guid);
        let late = answer(room, 1).await?;
        assert_eq!((late.status, late.body.contains("relayed")), (Some(200), true), "{}", late.body);
        nothing_more_happens(room, &message, 1).await
    });
}

/// The webhook arrives many times: while the bot is down, while it starts, and before the first probe.
#[test]
fn a_webhook_sent_many_times_while_the_bot_starts_is_taken_once() {
    room(async |room| -> Result<()> {
        room.script("checkout", quick());
        let before = dies_after_the_commit(room, Duration::from_secs(3600)).await?;
        let guid = room.github.lock().deliveries()[0].guid.clone();
        for n in 0..40 {
            room.github.lock().redeliver_after(&guid, Duration::from_millis(50 * n));
        }
        room.until("webhook that is lost", PATIENCE, |room| answers(room).first().map(drop)).await?;
        room.start_bot().await?;
        room.goes_on(&before, Messages::One).await?;
        room.until("answer to each of them", PATIENCE, |room| (answers(room).len() == 40).then_some(())).await?;
        let all = answers(room);
        assert!(
            all.iter().any(|push| push.status.is_none()) && all.iter().any(|push| push.status.is_some()),
            "{all:#?}"
        );
        for push in all.iter().filter_map(|push| Some((push.status?, &push.body))) {
            // Until the bot knows that its commit landed, the answer is "later"; afterwards the push is
            // relayed, once.
            assert!(matches!(push.0, 200 | 202), "{push:?}");
        }
        let relayed = room.argocd.lock().webhooks().len();
        assert!(relayed <= 8, "those that waited for the proof at the same time, at most: {relayed}");
        room.went_live_once(&before, Messages::One).await?;
        Ok(())
    });
}

/// Checkout's commit is on the branch, and the bot died before it knew that. The webhook goes out this long
/// afterwards.
async fn dies_after_the_commit(room: &mut Room, delay: Duration) -> Result<Before> {
    let before = room.before_a_deploy("checkout", "feature/totals");
    room.github.lock().webhook(world::GITOPS).delay = delay;
    let asked = room.github.hold(Moment::Before, "github.query", 1);
    let landed = room.github.hold(Moment::After, "github.commit", 1);
    room.alice("checkout 42").await;
    asked.reached().await?;
    let [id] = &room.in_flight().await?[..] else { anyhow::bail!("one in flight") };
    room.saved(id, "message", |message| message["place"].is_object()).await?;
    // From now on the commit has no answer, so GitHub's webhook cannot be recognised before everything is
    // dead.
    asked.release();
    landed.reached().await?;
    room.kill_bot().await;
    room.the_leases_of_the_dead_run_out().await?;
    Ok(before)
}

/// The pushes of two deploys arrive in the wrong order.
#[test]
fn webhooks_in_the_wrong_order_sync_each_commit_once() {
    let mut limits = limits();
    limits["webhook_patience"] = 20_000.into();
    room_with(Options { limits: Some(limits), ..Options::default() }, async |room| -> Result<()> {
        for app in ["checkout", "payments"] {
            room.script(app, quick());
        }
        room.github.lock().webhook(world::GITOPS).lost = 2;
        room.alice("checkout 42").await;
        let first = |room: &Sandbox| (room.github.lock().deliveries().len() == 1).then_some(());
        room.until("first push", PATIENCE, first).await?;
        room.bob("payments 7").await;
        let second = |room: &Sandbox| (room.github.lock().deliveries().len() == 2).then_some(());
        room.until("second push", PATIENCE, second).await?;
        for nth in [1, 0] {
            let guid = room.github.lock().deliveries()[nth].guid.clone();
            room.github.lock().redeliver(&guid);
            let push = answer(room, 1 - nth).await?;
            assert_eq!((push.status, push.body.contains("relayed")), (Some(200), true), "{}", push.body);
        }
        let live = |room: &Sandbox| {
            let slack = room.slack.lock();
            let all = slack.messages(world::DEPLOYS).iter().map(|message| slack.render(message));
            (all.filter(|text| text.contains("is live")).count() == 2).then_some(())
        };
        room.until("word that both are live", PATIENCE, live).await?;
        assert_eq!((room.syncs("checkout"), room.syncs("payments")), (1, 1));
        Ok(())
    });
}

/// The dangerous case: the push of an old deploy comes, with the same delivery id, when a newer deploy of the
/// same app is live. Argo CD may hear of that push; the older commit is not synced again.
#[test]
fn the_webhook_of_an_older_deploy_hours_later_does_not_bring_it_back() {
    room(async |room| -> Result<()> {
        for app in ["checkout", "payments"] {
            room.script(app, quick());
        }
        room.github.lock().webhook(world::GITOPS).lost = 1;
        room.goes_live("checkout 42").await?;
        room.builds("checkout", "main", "bob");
        room.goes_live("checkout main").await?;
        let live = room.tag("checkout", "main");
        let syncs = room.syncs("checkout");
        let (older, newer) = {
            let github = room.github.lock();
            (github.deliveries()[0].guid.clone(), github.deliveries()[1].guid.clone())
        };
        room.restart_bot().await?;
        for guid in [&older, &newer, &older] {
            let nth = answers(room).len();
            room.github.lock().redeliver(guid);
            let push = answer(room, nth).await?;
            assert_eq!((push.status, push.body.contains("relayed")), (Some(200), true), "{}", push.body);
        }
        // Another deploy, by the same watch: anything left to do would be done by then.
        room.goes_live("payments 7").await?;
        assert_eq!(room.syncs("checkout"), syncs);
        assert_eq!(room.argocd.lock().live_tag("checkout"), Some(live.as_str()));
        Ok(())
    });
}

/// Another deploy goes live, by the same watch: anything left to do for the first one would be done by then.
/// Argo CD got the first one's push `relayed` times.
async fn nothing_more_happens(room: &Room, message: &str, relayed: usize) -> Result<()> {
    let said = room.said().len();
    room.goes_live("payments 7").await?;
    // The id is left out of what all messages say.
    let said_then: Vec<&str> = message.lines().filter(|line| !line.starts_with("id ")).collect();
    assert_eq!(room.messages()[0], said_then.join("\n"));
    assert!(
        room.said()[..said].iter().all(|(_, n, _)| *n == 0)
            && room.said().iter().filter(|(_, n, _)| *n == 0).count() == said
    );
    let argocd = room.argocd.lock();
    assert_eq!(argocd.webhooks().len(), relayed + 1, "the last one is the other app's");
    let syncs: Vec<&str> = argocd.syncs().iter().map(|sync| sync.app.as_str()).collect();
    assert_eq!(syncs, ["checkout", "payments"]);
    Ok(())
}
