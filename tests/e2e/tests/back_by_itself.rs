//! `auto_rollback`: a deploy that ends degraded is taken back without being asked. Once, to the version live before, and never
//! where it could do harm. Then the app is locked, until somebody has looked.

use crate::conversation::{catalog, deploys, hurry, says, whispers};
use anyhow::{Context, Result, ensure};
use domain::deployment::Writer;
use domain::names::Secret;
use e2e::{PATIENCE, Room, broken_room, limits, quick, room, room_with};
use fakes::argocd::{Health, Script};
use sandbox::hold::Moment::Before as Ahead;
use sandbox::world::{ALICE, BOB, CAROL, DEPLOYS, GITOPS, SLACK_BOT_TOKEN};
use sandbox::{Options, Sandbox, now};
use serde_json::{Value, json};
use std::time::Duration;
use store::Seals;

const ON: &str = "    auto_rollback: true\n";
const FAILS: &str = "is rolled out, but not healthy";

/// Its rollout is past its deadline after the next sync.
fn breaks() -> Script {
    Script { health: vec![(0, Health::Degraded)], ..quick() }
}

/// A version of checkout is live; its tag.
async fn one_version(room: &Room, more: &str) -> Result<String> {
    hurry(room);
    catalog(room, "", more);
    let first = room.builds("checkout", "main", "alice");
    deploys(room, "checkout main").await?;
    room.all_told().await?;
    Ok(first)
}

/// Alice deploys a version that does not become healthy. The next one does.
async fn fails(room: &Room) -> Result<String> {
    room.builds("checkout", "main", "alice");
    room.script("checkout", breaks());
    let answer = room.alice("checkout main").await;
    ensure!(answer.is_accepted(), "{answer:?}");
    let said = room.says(FAILS).await?;
    room.script("checkout", quick());
    Ok(said)
}

/// The probe looks some times, and finds nothing to do.
async fn probes(room: &Room) -> Result<()> {
    for _ in 0..6 {
        room.get("/healthz").await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    room.all_told().await
}

/// The guardian looks so seldom that only the probe finds the end.
fn by_the_probe() -> Options {
    let mut limits = limits();
    limits["guardian"] = 5_000.into();
    Options { limits: Some(limits), ..Options::default() }
}

/// What is back is live, sooner or later: the probe looks.
async fn is_back(room: &Room, tag: &str) -> Result<()> {
    let words = format!("rollback to `{tag}`*  is live");
    let look = |_: &Sandbox| room.messages().iter().any(|text| text.contains(&words)).then_some(());
    room.probe("rollback by itself", look).await
}

#[test]
fn a_deploy_that_ends_degraded_goes_back_by_itself_and_is_locked() {
    room(async |room| -> Result<()> {
        let first = one_version(room, ON).await?;
        let before = room.commits();
        let failed = fails(room).await?;
        ensure!(failed.contains("I roll it back by myself (`auto_rollback`)"), "{failed}");
        let back = room.says(&format!("rollback to `{first}`*  is live")).await?;
        ensure!(back.contains("rolled back by itself (`auto_rollback`) after the deploy by @alice"), "{back}");
        ensure!(back.contains("checkout is locked now") && !back.contains("asked by"), "{back}");
        room.all_told().await?;
        ensure!(room.commits() == before + 2, "the deploy, and one commit that takes it back");
        ensure!(room.argocd.lock().live_tag("checkout") == Some(first.as_str()));
        let commit = room.github.lock().commits(GITOPS, "main").first().context("a commit")?.clone();
        ensure!(commit.message.contains("Requested-By: deploy-bot by itself (auto_rollback)"), "{}", commit.message);
        let called = room.slack.lock().mentions(ALICE).len();
        ensure!(called > 1, "Alice is called to both");
        // People look before the next deploy goes on: whoever may deploy there unlocks it.
        room.bob("checkout 42").await;
        let locked = whispers(room, BOB, "checkout is locked by me, after the deploy by @alice").await?;
        let locked = room.slack.lock().render(&locked);
        ensure!(
            locked.contains("rolled back by itself from") && locked.contains("`/deploy unlock checkout`"),
            "{locked}"
        );
        room.bob("unlock checkout").await;
        room.says("unlocked *checkout*").await?;
        room.goes_live("checkout 42").await?;
        room.all_told().await
    });
}

#[test]
fn nothing_goes_back_by_itself_unless_the_catalog_says_so() {
    room(async |room| -> Result<()> {
        one_version(room, "").await?;
        let failed = fails(room).await?;
        ensure!(failed.contains("fix it, or roll back.") && !failed.contains("auto_rollback"), "{failed}");
        let before = room.commits();
        probes(room).await?;
        ensure!(room.commits() == before);
        Ok(())
    });
}

/// The process dies with the failure told, and nothing but the end in the store.
#[test]
fn killed_after_the_failure_the_probe_takes_it_back_once() {
    room_with(by_the_probe(), async |room| -> Result<()> {
        let first = one_version(room, ON).await?;
        let before = room.commits();
        fails(room).await?;
        room.kill_bot().await;
        room.the_leases_of_the_dead_run_out().await?;
        room.start_bot().await?;
        is_back(room, &first).await?;
        room.all_told_when_probed().await?;
        probes(room).await?;
        ensure!(room.commits() == before + 2, "{:#?}", room.messages());
        Ok(())
    });
}

/// Killed while it takes it back, at each of these calls: one commit, one message.
#[test]
fn killed_while_it_takes_it_back_it_goes_on() {
    for (call, moment) in
        [("github.query", Ahead), ("github.commit", Ahead), ("github.commit", sandbox::hold::Moment::After)]
    {
        room_with(by_the_probe(), async |room| -> Result<()> {
            let first = one_version(room, ON).await?;
            let before = room.commits();
            fails(room).await?;
            let held = room.github.hold(moment, call, 1);
            let probe = room.get("/healthz").await;
            ensure!(probe.status == Some(200), "{probe:?}");
            held.reached().await?;
            room.kill_bot().await;
            drop(held);
            room.the_leases_of_the_dead_run_out().await?;
            room.start_bot().await?;
            is_back(room, &first).await.context(call)?;
            room.all_told_when_probed().await?;
            ensure!(room.commits() == before + 2, "{call}: {:#?}", room.messages());
            Ok(())
        });
    }
}

/// Attack: may push to the GitOps repository | has a change taken back and forth with a deploy that fails | it does not go back by itself
#[test]
fn what_others_changed_with_it_does_not_go_back_by_itself() {
    room(async |room| -> Result<()> {
        one_version(room, ON).await?;
        let text = String::from_utf8(room.file("checkout/values.yaml"))?.replace("replicaCount: 2", "replicaCount: 9");
        room.github.lock().person_pushes(GITOPS, "main", "mallory", &[("checkout/values.yaml", &text)], "More");
        let failed = fails(room).await?;
        ensure!(failed.contains("because other people's changes went live with it"), "{failed}");
        let before = room.commits();
        probes(room).await?;
        ensure!(room.commits() == before);
        Ok(())
    });
}

/// Attack: may push to the GitOps repository | pushes after a deploy failed, so that the rollback by itself takes the change along | it does not go back by itself
#[test]
fn a_change_after_the_failure_is_not_brought_along() {
    room_with(by_the_probe(), async |room| -> Result<()> {
        one_version(room, ON).await?;
        fails(room).await?;
        let text = String::from_utf8(room.file("checkout/values.yaml"))?.replace("replicaCount: 2", "replicaCount: 9");
        room.github.lock().person_pushes(GITOPS, "main", "mallory", &[("checkout/values.yaml", &text)], "More");
        let before = room.commits();
        room.get("/healthz").await;
        let refused = room.says("I didn't roll checkout back by myself").await?;
        ensure!(refused.contains("other people's changes would go live with it"), "{refused}");
        probes(room).await?;
        ensure!(room.commits() == before);
        Ok(())
    });
}

#[test]
fn a_rollback_that_fails_does_not_go_back_by_itself() {
    room(async |room| -> Result<()> {
        // What was degraded before has as long as this to become healthy.
        let first = one_version(room, &format!("{ON}    degraded_grace: 1s\n")).await?;
        room.builds("checkout", "main", "alice");
        room.script("checkout", breaks());
        let before = room.commits();
        room.alice("checkout main").await;
        let back = room.says(&format!("rollback to `{first}`*  {FAILS}")).await?;
        ensure!(!back.contains("by myself"), "{back}");
        probes(room).await?;
        ensure!(room.commits() == before + 2, "once");
        Ok(())
    });
}

#[test]
fn a_newer_deploy_is_not_taken_back() {
    room_with(by_the_probe(), async |room| -> Result<()> {
        one_version(room, ON).await?;
        fails(room).await?;
        room.command(BOB, DEPLOYS, "checkout 42").await;
        let tag = room.tag("checkout", "feature/totals");
        room.says(&format!("is live: `{tag}`")).await?;
        let before = room.commits();
        room.all_told_when_probed().await?;
        probes(room).await?;
        ensure!(room.commits() == before && room.argocd.lock().live_tag("checkout") == Some(tag.as_str()));
        Ok(())
    });
}

/// Attack: may deploy one app | begins a deploy just when another one goes back by itself | theirs goes on, and the rollback gives way
#[test]
fn a_deploy_that_begins_meanwhile_goes_first() {
    room_with(by_the_probe(), async |room| -> Result<()> {
        one_version(room, ON).await?;
        fails(room).await?;
        // Bob's deploy has the turn, and waits for the registry, when the probe looks.
        room.registry.fault("registry.head", fakes::Fault::Slow(Duration::from_secs(3)), 1);
        let asked = room.registry.lock().calls("registry.head");
        room.command(BOB, DEPLOYS, "checkout 42").await;
        let asks = |room: &Sandbox| (room.registry.lock().calls("registry.head") > asked).then_some(());
        room.until("question to the registry", PATIENCE, asks).await?;
        let before = room.commits();
        probes(room).await.ok();
        let tag = room.tag("checkout", "feature/totals");
        room.says(&format!("is live: `{tag}`")).await?;
        room.all_told_when_probed().await?;
        ensure!(room.commits() == before + 1, "Bob's alone");
        Ok(())
    });
}

#[test]
fn a_lock_that_somebody_has_set_meanwhile_holds() {
    room_with(by_the_probe(), async |room| -> Result<()> {
        one_version(room, ON).await?;
        fails(room).await?;
        room.command(ALICE, DEPLOYS, "lock checkout I look at it").await;
        room.says("locked *checkout*").await?;
        let before = room.commits();
        room.get("/healthz").await;
        room.says("because it was locked meanwhile").await?;
        probes(room).await?;
        ensure!(room.commits() == before);
        Ok(())
    });
}

/// The catalog counts as it is now.
#[test]
fn it_is_switched_off_at_once() {
    room_with(by_the_probe(), async |room| -> Result<()> {
        one_version(room, ON).await?;
        fails(room).await?;
        catalog(room, "", "");
        let before = room.commits();
        room.get("/healthz").await;
        room.says("`auto_rollback` is off by now").await?;
        probes(room).await?;
        ensure!(room.commits() == before);
        Ok(())
    });
}

/// No person's rights are asked, and so none are borrowed: what is needed is in the catalog.
#[test]
fn approvals_and_whether_the_asker_may_still_deploy_hold_nothing_up() {
    room_with(by_the_probe(), async |room| -> Result<()> {
        let first = one_version(room, ON).await?;
        fails(room).await?;
        let text = format!("{ON}    approvals: {{ count: 1, users: [{CAROL}] }}\n");
        catalog(room, "", &text);
        let text =
            String::from_utf8(room.file("deploy-bot.yaml"))?.replacen("anyone", &format!("{{ users: [{BOB}] }}"), 1);
        room.github.lock().person_pushes(GITOPS, "main", "carol", &[("deploy-bot.yaml", &text)], "Bob alone");
        is_back(room, &first).await?;
        room.all_told_when_probed().await
    });
}

/// Alice's retry of a rollback that gave way is hers, with her rights.
#[test]
fn who_presses_a_button_below_it_asks_for_it() {
    room_with(by_the_probe(), async |room| -> Result<()> {
        let first = one_version(room, ON).await?;
        fails(room).await?;
        let held = room.github.hold(Ahead, "github.query", 1);
        room.get("/healthz").await;
        held.reached().await?;
        room.github.fault("github.query", fakes::Fault::Instead(fakes::Response::text(401, "Bad credentials")), 1);
        drop(held);
        let refused = says(room, "doesn't accept").await?;
        ensure!(refused.buttons().contains(&"retry"), "{:?}", refused.buttons());
        room.press(ALICE, &refused, "retry").await;
        let back = room.says(&format!("rollback to `{first}`*  is live")).await?;
        ensure!(back.contains("asked by @alice"), "{back}");
        room.all_told_when_probed().await
    });
}

/// Each target counts alone.
#[test]
fn of_two_apps_only_the_one_that_failed_goes_back() {
    room(async |room| -> Result<()> {
        hurry(room);
        catalog(room, "", ON);
        let first = ["checkout", "payments"].map(|app| room.builds(app, "main", "alice"));
        room.alice("checkout,payments main").await;
        says(room, "all are live").await?;
        room.all_told().await?;
        let second = ["checkout", "payments"].map(|app| room.builds(app, "main", "alice"));
        room.script("checkout", breaks());
        room.alice("checkout,payments main").await;
        room.says(FAILS).await?;
        room.script("checkout", quick());
        room.says(&format!("rollback to `{}`*  is live", first[0])).await?;
        room.all_told().await?;
        let argocd = room.argocd.lock();
        ensure!(argocd.live_tag("checkout") == Some(first[0].as_str()));
        ensure!(argocd.live_tag("payments") == Some(second[1].as_str()));
        Ok(())
    });
}

/// Writes an end of the last deployment, and that its operation was our own.
async fn writes_an_end(room: &Room, seals: Option<&Seals>) -> Result<String> {
    let current = room.keys().await?.into_iter().find(|key| key.ends_with("/checkout/current")).context("a turn")?;
    let id = room.key(&current).await?.context("a turn")?["id"].as_str().context("an id")?.to_owned();
    let key = |fact: &str| format!("deploy-bot/deployment/{id}/{fact}");
    let failure = json!({ "degraded": { "message": "", "resources": [] } });
    let mut outcome = room.key(&key("outcome")).await?.context("an end")?;
    outcome["at"] = now().into();
    outcome["word"] = json!({ "failed": { "failure": failure } });
    let mut watch = room.key(&key("watch")).await?.context("a watch")?;
    watch["applications"][0]["is_own"] = true.into();
    for (name, value) in [("outcome", &mut outcome), ("watch", &mut watch)] {
        if let Some(seals) = seals {
            ensure!(seals.seal(&key(name), Writer::SyncPoller, value), "it has the key");
        }
        room.forges(&key(name), value).await?;
    }
    room.redis::<i64>(&["ZADD", "deploy-bot/in-flight", &now().to_string(), &id]).await?;
    Ok(id)
}

/// Two versions are live, one after the other. What says which one is live says the first, as the poller could write.
async fn two_live(room: &Room, more: &str) -> Result<String> {
    const LIVE: &str = "deploy-bot/target/checkout/default/live";
    let first = one_version(room, more).await?;
    let live = room.key(LIVE).await?.context("what is live")?;
    room.builds("checkout", "main", "alice");
    deploys(room, "checkout main").await?;
    room.all_told().await?;
    room.forges(LIVE, &live).await?;
    Ok(first)
}

fn broken() -> Options {
    Options { limits: Some(limits()), ..Options::default() }
}

/// Attack: may write the store | writes that a live deploy ended degraded, so that it goes back by itself | it counts for nothing
#[test]
fn an_end_that_is_written_into_the_store_takes_nothing_back() {
    broken_room(broken(), async |room| -> Result<()> {
        two_live(room, ON).await?;
        let before = room.commits();
        writes_an_end(room, None).await?;
        for _ in 0..6 {
            room.get("/healthz").await;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        ensure!(room.commits() == before, "{:#?}", room.messages());
        Ok(())
    });
}

/// Attack: holds one component's secrets | has sync-poller's `store_key` and writes that a live deploy ended degraded | where `auto_rollback` is on it goes back to the version before, once, and is locked; elsewhere nothing happens
#[test]
fn with_the_pollers_key_an_end_takes_back_what_the_catalog_permits() {
    let seals = || Seals::shared(&Secret::new(SLACK_BOT_TOKEN), None);
    broken_room(broken(), async |room| -> Result<()> {
        two_live(room, "").await?;
        let before = room.commits();
        let id = writes_an_end(room, Some(&seals())).await?;
        // The plan that everybody reads says so; the one that slack-command alone has sealed does not.
        let key = format!("deploy-bot/deployment/{id}/committed");
        let mut committed: Value = room.key(&key).await?.context("a commit")?;
        committed["commit"]["plan"]["targets"][0]["auto_rollback"] = true.into();
        ensure!(seals().seal(&key, Writer::SlackCommand, &mut committed), "it has the key");
        room.forges(&key, &committed).await?;
        for _ in 0..6 {
            room.get("/healthz").await;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        ensure!(room.commits() == before, "{:#?}", room.messages());
        Ok(())
    });
    broken_room(broken(), async |room| -> Result<()> {
        let first = two_live(room, ON).await?;
        let before = room.commits();
        writes_an_end(room, Some(&seals())).await?;
        is_back(room, &first).await?;
        writes_an_end(room, Some(&seals())).await?;
        for _ in 0..6 {
            room.get("/healthz").await;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        ensure!(room.commits() == before + 1, "{:#?}", room.messages());
        Ok(())
    });
}
