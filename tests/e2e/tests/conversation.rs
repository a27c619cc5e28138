//! People and the bot: every command, every button, every gate, and what each refuses. The texts are those
//! that the Slack stand-in shows.
//!
//! Easy to miss: a button does not prove who presses it, and may be pressed twice. An edit notifies nobody.

use anyhow::{Context, Result, ensure};
use domain::time::Timestamp;
use e2e::{PATIENCE, Room, changed_lines, limits, quick, room, room_with};
use fakes::argocd::{Health, Script};
use fakes::github::{Check, Checks};
use fakes::slack::{Bot, Kind, Message};
use fakes::{Fault, Response};
use sandbox::hold::Moment;
use sandbox::world::{ALICE, BOB, CAROL, DEPLOYS, GITOPS, MALLORY};
use sandbox::{Options, Sandbox, now};
use serde_json::json;
use std::time::Duration;

const PRODUCTION: &str = "S0PROD";

/// Gates for checkout: `more` are the lines of its entry, `top` those above the apps.
pub(crate) fn catalog(room: &Room, top: &str, more: &str) {
    let host = room.registry.origin().trim_start_matches("http://").to_owned();
    let entry =
        |app: &str| format!("  {app}:\n    repo: acme/{app}\n    image: {host}/acme/{app}\n    allow: anyone\n");
    let text = format!("{top}apps:\n{}{more}{}", entry("checkout"), entry("payments"));
    room.github.lock().person_pushes(GITOPS, "main", "carol", &[("deploy-bot.yaml", &text)], "Change the catalog");
}

/// No waiting for Slack's pace, and quick syncs.
pub(crate) fn hurry(room: &Room) {
    room.slack.lock().limits = None;
    for app in ["checkout", "payments"] {
        room.script(app, quick());
    }
}

/// The newest message in #deploys that says this, or what one person reads alone.
pub(crate) async fn says(room: &Room, words: &str) -> Result<Message> {
    room.says(words).await?;
    let slack = room.slack.lock();
    let all = slack.messages(DEPLOYS).iter().chain(slack.all_ephemerals());
    let mut all: Vec<_> = all.filter(|message| slack.render(message).contains(words)).collect();
    all.sort_by_key(|message| message.now().at);
    let found = all.pop();
    found.cloned().with_context(|| format!("the message that said {words:?} is another by now"))
}

/// Waits for a message in #deploys, or to one person alone, that says all of this.
async fn says_all(room: &Room, words: &[&str]) -> Result<()> {
    let look = |room: &Sandbox| {
        let slack = room.slack.lock();
        let mut all = slack.messages(DEPLOYS).iter().chain(slack.all_ephemerals()).map(|message| slack.render(message));
        all.any(|text| words.iter().all(|words| text.contains(words))).then_some(())
    };
    room.until(&format!("message that says {words:?}"), PATIENCE, look).await
}

/// The message to this person alone, once it says this.
pub(crate) async fn whispers(room: &Room, user: &str, words: &str) -> Result<Message> {
    let look = |room: &Sandbox| {
        let slack = room.slack.lock();
        slack.ephemerals(user).into_iter().rev().find(|message| slack.render(message).contains(words)).cloned()
    };
    room.until(&format!("whisper to {user} that says {words:?}"), PATIENCE, look).await
}

fn read(room: &Room, message: &Message) -> String {
    room.slack.lock().render(message)
}

/// Somebody types; returns what only that person reads then, by the `response_url` or at once.
pub(crate) async fn asks(room: &Room, user: &str, text: &str, words: &str) -> Result<String> {
    let answer = room.command(user, DEPLOYS, text).await;
    ensure!(answer.status == Some(200), "{answer:?}");
    let whisper = whispers(room, user, words).await?;
    Ok(read(room, &whisper))
}

/// Deploys this, and returns its tag when it is live.
pub(crate) async fn deploys(room: &Room, text: &str) -> Result<()> {
    room.goes_live(text).await?;
    // The deploy's edits are over, and its guardian has seen the end.
    let idle = |room: &Sandbox| (room.argocd.lock().open_streams() == 0).then_some(());
    room.until("end of the watch", PATIENCE, idle).await
}

#[test]
fn a_question_is_answered_to_the_asker_alone() {
    room(async |room| -> Result<()> {
        hurry(room);
        ensure!(asks(room, ALICE, "status checkout", "checkout").await?.contains("has not been deployed by me yet"));
        ensure!(asks(room, ALICE, "history checkout", "I know of no deploy").await?.contains("checkout"));
        deploys(room, "checkout 42").await?;
        let tag = room.tag("checkout", "feature/totals");
        let status = asks(room, BOB, "status", "payments").await?;
        ensure!(status.contains(&format!("*checkout* runs `{tag}`, deployed by @alice")), "{status}");
        let history = asks(room, BOB, "history checkout", "newest first").await?;
        ensure!(history.contains(&format!("1. `{tag}`")) && history.contains("live, @alice"), "{history}");
        let apps = asks(room, BOB, "apps", "acme/checkout").await?;
        ensure!(apps.contains("*payments* (acme/payments)"), "{apps}");
        let help = room.command(BOB, DEPLOYS, "help rollback").await;
        ensure!(help.body.contains("rollback"), "{help:?}");
        let wrong = asks(room, BOB, "status chekout", "Did you mean").await?;
        ensure!(wrong.contains("`checkout`"), "{wrong}");
        ensure!(room.messages().len() == 1, "nobody else reads any of it: {:#?}", room.messages());
        Ok(())
    });
}

#[test]
fn a_preview_shows_the_exact_change_and_its_button_deploys_just_that() {
    room(async |room| -> Result<()> {
        hurry(room);
        let before = room.commits();
        asks(room, ALICE, "preview checkout 42", "only a preview, nothing is changed").await?;
        let preview = whispers(room, ALICE, "only a preview, nothing is changed").await?;
        let text = read(room, &preview);
        let tag = room.tag("checkout", "feature/totals");
        ensure!(text.contains(&format!("+   tag: \"{tag}\"")) && text.contains("Show totals"), "{text}");
        ensure!(room.commits() == before, "a preview commits nothing");

        // The branch moves: the button is void, and what it showed is not deployed.
        let newer = room.builds("checkout", "feature/totals", "alice");
        room.press(ALICE, &preview, "deploy").await;
        room.says("the branch has moved").await?;
        ensure!(room.commits() == before, "a void button commits nothing");

        asks(room, ALICE, "preview checkout 42", &newer).await?;
        let preview = whispers(room, ALICE, &newer).await?;
        room.press(ALICE, &preview, "deploy").await;
        room.press(ALICE, &preview, "deploy").await;
        room.says(&format!("is live: `{newer}`")).await?;
        ensure!(room.commits() == before + 1, "pressed twice, deployed once");
        Ok(())
    });
}

#[test]
fn a_deploy_before_its_commit_is_cancelled_only_by_those_who_may() {
    room(async |room| -> Result<()> {
        hurry(room);
        catalog(room, "", "");
        asks(room, ALICE, "cancel checkout", "no deploy of checkout is under way").await?;
        // Only Alice and Carol may deploy checkout, so Bob may not cancel it either.
        let host = room.registry.origin().trim_start_matches("http://").to_owned();
        let text = format!(
            "apps:\n  checkout:\n    repo: acme/checkout\n    image: {host}/acme/checkout\n    allow: {{ users: [U0ALICE, U0CAROL] }}\n  payments:\n    repo: acme/payments\n    image: {host}/acme/payments\n    allow: anyone\n    argocd: {{ application: checkout }}\n    verify_running: off\n"
        );
        room.github.lock().person_pushes(GITOPS, "main", "carol", &[("deploy-bot.yaml", &text)], "Close checkout");
        let before = room.commits();
        // Everybody sees that it waits for its turn at the application.
        for how in ["button", "command"] {
            room.builds("payments", "feature/refunds", "bob");
            let held = room.argocd.hold(Moment::Before, "argocd.sync", 1);
            room.bob("payments 7").await;
            held.reached().await?;
            room.alice("checkout 42").await;
            let waiting = says(room, "waiting for the deploy of payments").await?;
            room.press(MALLORY, &waiting, "cancel").await;
            whispers(room, MALLORY, "I work for another Slack workspace").await?;
            room.press(BOB, &waiting, "cancel").await;
            whispers(room, BOB, "You aren't allowed to deploy checkout").await?;
            if how == "button" {
                room.press(CAROL, &waiting, "cancel").await;
                room.says("cancelled by @carol. Nothing was changed").await?;
            } else {
                asks(room, ALICE, "cancel checkout", "I'll cancel it if it isn't committed yet").await?;
                room.says("cancelled by @alice. Nothing was changed").await?;
            }
            held.release();
            room.all_told().await?;
        }
        // What the asker alone reads has the button, too.
        room.registry.fault("registry.head", Fault::Slow(Duration::from_secs(6)), 1);
        room.alice("checkout 42").await;
        let waiting = whispers(room, ALICE, "checking whether").await?;
        room.press(ALICE, &waiting, "cancel").await;
        whispers(room, ALICE, "cancelled by @alice. Nothing was changed").await?;
        room.all_told().await?;
        ensure!(room.commits() == before + 2, "payments alone was committed, twice");
        deploys(room, "checkout 42").await?;
        asks(room, ALICE, "cancel checkout", "that deploy is over").await?;
        Ok(())
    });
}

#[test]
fn a_lock_is_announced_holds_everybody_and_goes_with_its_button() {
    room(async |room| -> Result<()> {
        hurry(room);
        catalog(room, "owners: { users: [U0CAROL] }\n", "");
        room.command(BOB, DEPLOYS, "lock checkout don't touch, incident 7 for 2h").await;
        let lock = says(room, "locked *checkout*").await?;
        let text = read(room, &lock);
        ensure!(text.contains("@bob") && text.contains("don't touch, incident 7") && text.contains("until"), "{text}");
        room.alice("checkout 42").await;
        let refused = room.says("checkout is locked by @bob").await?;
        ensure!(refused.contains("incident 7") && refused.contains("not deployed"), "{refused}");
        ensure!(asks(room, ALICE, "status checkout", "locked by @bob").await?.contains("incident 7"));
        let second = asks(room, ALICE, "lock checkout me too", "is already locked by @bob").await?;
        ensure!(second.contains("@bob"), "{second}");

        // Alice did not lock the target and is no owner; a stranger in the channel may do nothing at all.
        room.press(ALICE, &lock, "unlock").await;
        whispers(room, ALICE, "Only an owner may").await?;
        room.press(MALLORY, &lock, "unlock").await;
        whispers(room, MALLORY, "I work for another Slack workspace").await?;
        room.press(CAROL, &lock, "unlock").await;
        room.says("@carol unlocked *checkout*. It was locked by @bob").await?;
        deploys(room, "checkout 42").await?;

        // Everything at once, which only owners of the whole catalog may.
        asks(room, BOB, "lock all release", "Only an owner may lock everything").await?;
        room.command(CAROL, DEPLOYS, "lock all release night").await;
        room.says("locked *everything*").await?;
        room.bob("payments 7").await;
        room.says("everything is locked by @carol").await?;
        room.command(CAROL, DEPLOYS, "unlock all").await;
        room.says("unlocked *everything*").await?;
        asks(room, CAROL, "unlock all", "everything is not locked").await?;
        for (event, user) in [("declined", ALICE), ("declined", BOB), ("other_workspace", MALLORY)] {
            let logged = |line: &str| line.contains(event) && line.contains(user);
            ensure!(room.log().lines().any(logged), "the log says nothing of {event} {user}:\n{}", room.log());
        }
        Ok(())
    });
}

/// A channel where people talk about operations, and that no app is deployed from.
const OPS: &str = "C0OPS";

#[test]
fn the_history_shows_who_locked_and_unlocked_and_why_among_the_deploys() {
    room(async |room| -> Result<()> {
        hurry(room);
        catalog(room, "owners: { users: [U0CAROL] }\n", "");
        room.command(BOB, DEPLOYS, "lock checkout load test for 2h").await;
        let first = says(room, "locked *checkout*").await?;
        room.press(CAROL, &first, "unlock").await;
        room.says("@carol unlocked *checkout*").await?;
        deploys(room, "checkout 42").await?;
        room.command(CAROL, DEPLOYS, "lock all release night").await;
        room.says("locked *everything*").await?;
        room.command(CAROL, DEPLOYS, "unlock all").await;
        room.says("unlocked *everything*").await?;
        let history = asks(room, ALICE, "history checkout", "newest first").await?;
        let lines = [
            "everything unlocked by @carol",
            "everything locked by @carol",
            "1. `",
            ":unlock: unlocked by @carol",
            ":lock: locked by @bob",
        ];
        let places: Vec<_> = lines.iter().map(|line| history.find(line)).collect();
        ensure!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?}\n{history}");
        for line in ["release night", "until", "load test", "it was @bob's: load test"] {
            ensure!(history.contains(line), "{line:?} is not in {history}");
        }
        // The other target's history has only the locks of everything.
        let other = asks(room, ALICE, "history payments", "I know of no deploy of").await?;
        ensure!(other.contains("release night") && !other.contains("load test"), "{other}");
        Ok(())
    });
}

#[test]
fn an_unlock_from_elsewhere_is_announced_where_the_target_is_deployed() {
    room(async |room| -> Result<()> {
        hurry(room);
        room.slack.lock().add_channel(OPS, "ops", Kind::Public, Bot::Member);
        deploys(room, "checkout 42").await?;
        let unlocked = |room: &Sandbox, channel: &str| {
            let slack = room.slack.lock();
            let of = |message: &&Message| slack.render(message).contains("@bob unlocked *checkout*");
            slack.messages(channel).iter().filter(of).count()
        };
        let lock = async |reason: &str| -> Result<Message> {
            room.command(BOB, OPS, &format!("lock checkout {reason}")).await;
            let locked = |room: &Sandbox| {
                let slack = room.slack.lock();
                let of = |message: &&Message| slack.render(message).contains(reason);
                slack.messages(OPS).iter().find(of).cloned()
            };
            room.until(&format!("lock for the {reason}"), PATIENCE, locked).await
        };
        lock("load test").await?;
        room.command(BOB, OPS, "unlock checkout").await;
        let both = |room: &Sandbox| (unlocked(room, OPS) == 1 && unlocked(room, DEPLOYS) == 1).then_some(());
        room.until("word of it in both channels", PATIENCE, both).await?;

        // By a button in another channel; and in the target's own channel, once.
        let lock = lock("second test").await?;
        room.press(BOB, &lock, "unlock").await;
        let both = |room: &Sandbox| (unlocked(room, OPS) == 2 && unlocked(room, DEPLOYS) == 2).then_some(());
        room.until("word of it in both channels again", PATIENCE, both).await?;
        room.press(BOB, &lock, "unlock").await;
        whispers(room, BOB, "checkout is not locked").await?;
        room.command(BOB, DEPLOYS, "lock checkout and again").await;
        room.says("and again").await?;
        room.command(BOB, DEPLOYS, "unlock checkout").await;
        let one = |room: &Sandbox| (unlocked(room, DEPLOYS) == 3).then_some(());
        room.until("word of it here", PATIENCE, one).await?;
        ensure!(unlocked(room, OPS) == 2 && unlocked(room, DEPLOYS) == 3, "once each");
        Ok(())
    });
}

/// Changes a value in the bot's store: as if time had passed since it was written, which no test can wait for.
pub(crate) async fn ages(room: &Room, key: &str, change: impl FnOnce(&mut serde_json::Value)) -> Result<()> {
    let mut value = room.key(key).await?.with_context(|| format!("there is no {key}"))?;
    change(&mut value);
    room.plants(key, value).await
}

#[test]
fn a_lock_with_an_end_says_when_and_then_lets_deploys_through() {
    room(async |room| -> Result<()> {
        hurry(room);
        room.command(BOB, DEPLOYS, "lock checkout load test for 1m").await;
        room.says("locked *checkout*").await?;
        room.alice("checkout 42").await;
        let refused = says(room, "checkout is locked by @bob").await?;
        room.all_told().await?;
        let lock = "deploy-bot/target/checkout/default/lock";
        let until = room.key(lock).await?.context("no lock")?["until"].as_u64().context("no end")?;
        ensure!(until > now(), "a minute");
        // `says` leaves Slack's own markup for a time as it is.
        let shown = refused.text().to_owned();
        ensure!(shown.contains(&format!("until <!date^{}^", until / 1000)), "{shown}");
        ages(room, lock, |lock| lock["until"] = json!(now() - 1)).await?;
        room.press(ALICE, &refused, "retry").await;
        room.says("is live").await?;
        room.all_told().await?;
        asks(room, BOB, "unlock checkout", "checkout is not locked").await?;
        Ok(())
    });
}

#[test]
fn a_lock_that_comes_while_a_deploy_is_decided_still_holds_it() {
    room(async |room| -> Result<()> {
        hurry(room);
        room.slack.lock().groups.insert(PRODUCTION.to_owned(), vec![CAROL.to_owned()]);
        let before = room.commits();
        // While GitHub reads: the first look found no lock.
        let held = room.github.hold_saying(Moment::Before, "github.query", "$path0");
        room.alice("checkout 42").await;
        held.reached().await?;
        room.command(BOB, DEPLOYS, "lock checkout incident 7").await;
        room.says("locked *checkout*").await?;
        held.release();
        room.says("checkout is locked by @bob").await?;
        room.all_told().await?;
        room.command(BOB, DEPLOYS, "unlock checkout").await;
        room.says("unlocked *checkout*").await?;

        // After the last gate was asked: before the commit it is looked at once more.
        catalog(room, "", "    approvals: { count: 1, groups: [S0PROD] }\n");
        room.alice("checkout 42").await;
        let wanted = says(room, "needs 1 approval").await?;
        room.all_told().await?;
        let held = room.slack.hold(Moment::Before, "slack.group", 2);
        room.press(CAROL, &wanted, "approve").await;
        held.reached().await?;
        room.command(BOB, DEPLOYS, "lock checkout incident 8").await;
        room.says("incident 8").await?;
        held.release();
        let refused = |room: &Sandbox| {
            let refused = |text: &String| text.contains("checkout is locked by @bob") && text.contains("incident 8");
            let slack = room.slack.lock();
            let texts: Vec<_> = slack.messages(DEPLOYS).iter().map(|message| slack.render(message)).collect();
            texts.iter().any(refused).then_some(())
        };
        room.until("refusal by the second lock", PATIENCE, refused).await?;
        room.all_told().await?;
        ensure!(room.commits() == before + 1, "only the catalog was changed");
        Ok(())
    });
}

#[test]
fn an_approval_counts_only_for_as_long_as_the_catalog_says() {
    room(async |room| -> Result<()> {
        hurry(room);
        catalog(room, "", "    approvals: { count: 2, users: [U0BOB, U0CAROL], expires: 1m }\n");
        let before = room.commits();
        // Typed more than a minute ago, by Slack's own time.
        let typed = room.slack.lock().command(now() - 70_000, ALICE, DEPLOYS, "checkout 42");
        room.send(&typed).await;
        let late = says(room, "needs 2 approvals").await?;
        room.all_told().await?;
        room.press(BOB, &late, "approve").await;
        whispers(room, BOB, "It's too late to approve or reject that deploy").await?;

        room.alice("checkout 42").await;
        let look = |room: &Sandbox| {
            let slack = room.slack.lock();
            let told = slack.messages(DEPLOYS).last().filter(|message| message.ts != late.ts)?;
            slack.render(told).contains("needs 2 approvals").then(|| told.clone())
        };
        let wanted = room.until("another question", PATIENCE, look).await?;
        room.all_told().await?;
        room.press(BOB, &wanted, "approve").await;
        room.says("Approved by @bob").await?;
        // Carol takes her time.
        let mut ids = room.deployments().await?;
        let mut old = None;
        while let Some(id) = ids.pop() {
            old = room.fact(&id, "approvals").await?.map(|_| id).or(old);
        }
        let approvals = format!("deploy-bot/deployment/{}/approvals", old.context("nobody has approved")?);
        ages(room, &approvals, |fact| fact["given"][0]["at"] = json!(now() - 61_000)).await?;
        room.press(CAROL, &wanted, "approve").await;
        let again = |room: &Sandbox| {
            let slack = room.slack.lock();
            let told = slack.messages(DEPLOYS).last()?;
            let text = slack.render_edit(told.now());
            (text.contains("needs 2 approvals") && !text.contains("Approved by")).then(|| told.clone())
        };
        let asked = room.until("question to approve it once more", PATIENCE, again).await?;
        room.all_told().await?;
        ensure!(room.commits() == before, "one of the two had expired");
        for user in [BOB, CAROL] {
            room.press(user, &asked, "approve").await;
        }
        room.says("is live").await?;
        ensure!(room.commits() == before + 1);
        Ok(())
    });
}

#[test]
fn a_rollback_to_what_is_live_is_refused_and_locks_nothing() {
    room(async |room| -> Result<()> {
        hurry(room);
        let only = room.tag("checkout", "feature/totals");
        deploys(room, "checkout 42").await?;
        let before = room.commits();
        for typed in ["rollback checkout 1".to_owned(), format!("rollback checkout {only}")] {
            room.bob(&typed).await;
            let told = room.messages().len();
            let refused = |room: &Sandbox| {
                let slack = room.slack.lock();
                let last = slack.ephemerals(BOB).last().map(|message| slack.render_edit(message.now()))?;
                last.contains(&format!("already runs `{only}`")).then_some(last)
            };
            let text = room.until(&format!("refusal of {typed} (of {told})"), PATIENCE, refused).await?;
            ensure!(text.contains("not deployed: ") && text.contains("nothing to go back to"), "{text}");
            room.all_told().await?;
        }
        room.bob("rollback checkout").await;
        room.says("I know of no earlier healthy version of checkout").await?;
        room.all_told().await?;
        ensure!(room.commits() == before, "nothing was committed");
        asks(room, BOB, "unlock checkout", "checkout is not locked").await?;
        Ok(())
    });
}

#[test]
fn a_rollback_brings_the_last_healthy_version_back_and_locks_the_target() {
    room(async |room| -> Result<()> {
        hurry(room);
        let good = room.tag("checkout", "feature/totals");
        deploys(room, "checkout 42").await?;
        room.nobody_spoke().await?;
        let bad = room.builds("checkout", "main", "alice");
        deploys(room, "checkout main").await?;
        ensure!(asks(room, ALICE, "history checkout", &bad).await?.contains(&format!("2. `{good}`")));

        // Pressed by two people: one rollback.
        let live = says(room, &format!("is live: `{bad}`")).await?;
        let before = room.commits();
        asks(room, BOB, "status checkout", "*checkout* runs").await?;
        room.press(BOB, &live, "roll_back").await;
        room.press(ALICE, &live, "roll_back").await;
        let back = room.says(&format!("is live: `{good}`. checkout is locked")).await?;
        ensure!(back.contains("rollback to") && back.contains("asked by @bob"), "{back}");
        ensure!(room.commits() == before + 1 && room.argocd.lock().live_tag("checkout") == Some(&good));
        let message = room.github.lock().commits(GITOPS, "main").first().map(|commit| commit.message.clone());
        ensure!(message.as_ref().is_some_and(|text| text.starts_with("Roll back checkout to")), "{message:?}");

        // Nobody deploys the broken version again by accident, even when the lock is gone.
        room.alice("checkout main").await;
        room.says(&format!("rolled back from {bad} to {good}")).await?;
        room.command(BOB, DEPLOYS, "unlock checkout").await;
        room.says("unlocked *checkout*").await?;
        let history = asks(room, ALICE, "history checkout", ":unlock:").await?;
        let reason = format!("rolled back from {bad} to {good}");
        let lines = [format!("it was their own: {reason}"), ":lock: locked by @bob".to_owned(), "1. `".to_owned()];
        let places: Vec<_> = lines.iter().map(|line| history.find(line)).collect();
        ensure!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?}\n{history}");
        room.alice("checkout main").await;
        let asked = says(room, "was rolled back from checkout").await?;
        ensure!(asked.buttons() == ["deploy_anyway"], "{:?}", asked.buttons());
        room.press(ALICE, &asked, "deploy_anyway").await;
        let again = |room: &Sandbox| (room.argocd.lock().live_tag("checkout") == Some(&bad)).then_some(());
        room.until("the version that was rolled back, live again", PATIENCE, again).await?;
        room.all_told().await?;

        // By its tag, and what there is not.
        room.bob("rollback checkout v0").await;
        let unknown = room.says("I don't know a version `v0`").await?;
        ensure!(unknown.contains(&good), "{unknown}");
        room.bob("rollback payments").await;
        room.says("I know of no earlier healthy version of payments").await?;
        room.bob(&format!("rollback checkout {good}")).await;
        let back = |room: &Sandbox| (room.argocd.lock().live_tag("checkout") == Some(&good)).then_some(());
        room.until("the good version by its tag", PATIENCE, back).await?;
        room.all_told().await
    });
}

#[test]
fn two_others_approve_this_commit_and_it_goes_live_in_the_same_message() {
    room(async |room| -> Result<()> {
        hurry(room);
        room.slack
            .lock()
            .groups
            .insert(PRODUCTION.to_owned(), vec![BOB.to_owned(), CAROL.to_owned(), ALICE.to_owned()]);
        catalog(room, "", "    approvals: { count: 2, groups: [S0PROD] }\n");
        let before = room.commits();
        room.alice("checkout 42").await;
        let wanted = says(room, "needs 2 approvals").await?;
        let called = |room: &Sandbox| (!room.slack.lock().mentions(BOB).is_empty()).then_some(());
        room.until("call to those who approve", PATIENCE, called).await?;
        room.press(ALICE, &wanted, "approve").await;
        whispers(room, ALICE, "somebody else has to approve it").await?;
        room.press(BOB, &wanted, "approve").await;
        room.says("Approved by @bob").await?;
        room.press(BOB, &wanted, "approve").await;
        ensure!(room.commits() == before, "one person counts once");
        room.press(CAROL, &wanted, "approve").await;
        let live = room.says("is live").await?;
        ensure!(live.contains("approved by @bob and @carol") && live.contains("asked by @alice"), "{live}");
        ensure!(room.messages().len() == 1, "in the same message: {:#?}", room.messages());
        ensure!(room.commits() == before + 1);
        let text = room.github.lock().commits(GITOPS, "main").first().map(|commit| commit.message.clone());
        let text = text.unwrap_or_default();
        ensure!(text.contains(&format!("Approved-By: {BOB}")) && text.contains(ALICE), "{text}");

        // The head moves: what was approved is void.
        room.builds("checkout", "feature/totals", "alice");
        room.alice("checkout 42").await;
        let wanted = says(room, "needs 2 approvals").await?;
        room.press(BOB, &wanted, "approve").await;
        room.says("Approved by @bob").await?;
        room.builds("checkout", "feature/totals", "alice");
        room.press(CAROL, &wanted, "approve").await;
        room.says("the branch has moved").await?;
        ensure!(room.commits() == before + 1, "void");

        // Somebody says no.
        room.alice("checkout 42").await;
        let wanted = says(room, "needs 2 approvals").await?;
        room.press(CAROL, &wanted, "reject").await;
        room.says("rejected by @carol").await?;
        ensure!(room.click(BOB, DEPLOYS, &wanted.ts, "approve").await.is_none(), "there is nothing to press any more");
        room.all_told().await?;
        ensure!(room.commits() == before + 1, "rejected");
        Ok(())
    });
}

#[test]
fn the_gates_branches_checks_and_foreign_changes_refuse() {
    room(async |room| -> Result<()> {
        hurry(room);
        let before = room.commits();
        catalog(room, "", "    branches: [main, 'release/*']\n");
        room.alice("checkout 42").await;
        let refused = room.says(" can go to checkout").await?;
        ensure!(refused.contains("`main`, `release/*`") && refused.contains("feature/totals"), "{refused}");

        catalog(room, "", "    checks: required\n");
        room.alice("checkout 42").await;
        room.says("but there are none").await?;
        let head = room.github.lock().head("acme/checkout", "feature/totals").unwrap_or_default();
        room.github.lock().checks("acme/checkout", &head, Some(Checks::Pending));
        room.alice("checkout 42").await;
        room.says("still running").await?;
        room.github.lock().checks("acme/checkout", &head, Some(Checks::Failure));
        room.alice("checkout 42").await;
        let failed = whispers(room, ALICE, "but they failed").await?;
        ensure!(room.commits() == before + 2, "only the catalog was changed");
        // The same button once they pass.
        room.github.lock().checks("acme/checkout", &head, Some(Checks::Success));
        room.press(ALICE, &failed, "retry").await;
        let live = room.says("is live").await?;
        ensure!(live.contains("asked by @alice"), "{live}");

        catalog(room, "", "    foreign_changes: refuse\n");
        let text = String::from_utf8(room.file("checkout/values.yaml"))?.replace("replicaCount: 2", "replicaCount: 3");
        room.github.lock().person_pushes(GITOPS, "main", "carol", &[("checkout/values.yaml", &text)], "More");
        room.builds("checkout", "feature/totals", "alice");
        let head = room.github.lock().head("acme/checkout", "feature/totals").unwrap_or_default();
        room.github.lock().checks("acme/checkout", &head, Some(Checks::Success));
        let commits = room.commits();
        room.alice("checkout 42").await;
        let refused = room.says("this would also ship").await?;
        ensure!(refused.contains("1 config change by carol that isn't live yet"), "{refused}");
        ensure!(room.commits() == commits);

        // A revert would be one more foreign change: only an owner may let the changes through.
        catalog(room, "owners: { users: [U0BOB] }\n", "    foreign_changes: refuse\n");
        let commits = room.commits();
        room.alice("checkout 42 override they are fine").await;
        room.says("only an owner may let other people's changes go live").await?;
        ensure!(room.commits() == commits);
        room.bob("checkout 42 override they are fine").await;
        let live = room.says(&format!("is live: `{}`", room.tag("checkout", "feature/totals"))).await?;
        ensure!(live.contains("by @bob: they are fine") && room.commits() == commits + 1, "{live}");
        Ok(())
    });
}

#[test]
fn a_freeze_holds_everybody_but_an_owner_who_says_why() {
    room(async |room| -> Result<()> {
        hurry(room);
        // Always: two windows that touch.
        let windows = "    freeze:\n      - { from: 'Mon 00:00', until: 'Thu 00:00', zone: Europe/Berlin }\n      - { from: 'Thu 00:00', until: 'Mon 00:00', zone: Europe/Berlin }\n";
        catalog(room, "owners: { users: [U0CAROL] }\n", windows);
        let before = room.commits();
        room.alice("checkout 42").await;
        let refused = room.says("checkout is frozen until").await?;
        ensure!(refused.contains("an owner can go ahead by adding `override` and the reason"), "{refused}");
        room.alice("checkout 42 override I am in a hurry").await;
        room.says("only an owner may override the freeze of checkout").await?;
        ensure!(room.commits() == before);
        asks(room, CAROL, "preview checkout 42 override incident 12", "only a preview, nothing is changed").await?;
        ensure!(!room.log().contains("\"overridden\""), "nothing was overridden yet: {}", room.log());
        room.command(CAROL, DEPLOYS, "checkout 42 override incident 12").await;
        let live = room.says("is live").await?;
        ensure!(live.contains("*Override* by @carol: incident 12"), "{live}");
        let text = room.github.lock().commits(GITOPS, "main").first().map(|commit| commit.message.clone());
        ensure!(text.is_some_and(|text| text.contains("Gate-Overridden: incident 12")));
        ensure!(room.log().matches("\"overridden\"").count() == 1, "an operator finds it, once");
        ensure!(asks(room, BOB, "history checkout", "override: ").await?.contains("incident 12"));
        Ok(())
    });
}

#[test]
fn each_check_that_the_catalog_names_has_to_pass_on_the_very_commit() {
    room(async |room| -> Result<()> {
        hurry(room);
        catalog(room, "", "    checks: [build, 'test (linux)']\n");
        let before = room.commits();
        let head = room.github.lock().head("acme/checkout", "feature/totals").unwrap_or_default();
        let check = |check: Check| room.github.lock().check("acme/checkout", &head, check);
        let at = |second: u64| now() - 60_000 + second * 1000;
        let refused = async |words: &str| {
            room.alice("checkout 42").await;
            room.says(words).await
        };
        refused("but `build` isn't there and `test (linux)` isn't there").await?;
        check(Check::ended("build", "FAILURE", at(1)));
        check(Check::ended("test (linux)", "SKIPPED", at(1)));
        refused("but `build` failed and `test (linux)` was skipped").await?;
        let said = json!(says(room, "`build` failed").await?.now().blocks).to_string();
        ensure!(said.contains(&format!("/acme/checkout/commit/{head}/checks|checks>")), "{said}");
        // Each runs again. What waits has not passed, and a failure beside them does not matter.
        check(Check::ended("lint", "FAILURE", at(1)));
        check(Check::ended("build", "SUCCESS", at(2)));
        check(Check::Run { name: "test (linux)".to_owned(), conclusion: None, started: None });
        refused("but `test (linux)` is still running").await?;
        asks(room, ALICE, "preview checkout 42", "checks: 1 of 2").await?;
        // A status of the same name does not stand in for a run that has not passed.
        check(Check::Status { context: "test (linux)".to_owned(), state: Checks::Success, created: at(9) });
        room.bob("checkout 42").await;
        says_all(room, &["asked by @bob", "but `test (linux)` is still running"]).await?;
        ensure!(room.commits() == before, "nothing is deployed");
        // CI of the older kind, on the next commit.
        room.builds("checkout", "feature/totals", "alice");
        let next = room.github.lock().head("acme/checkout", "feature/totals").unwrap_or_default();
        for name in ["build", "test (linux)"] {
            let status = Check::Status { context: name.to_owned(), state: Checks::Success, created: at(3) };
            room.github.lock().check("acme/checkout", &next, status);
        }
        // With more checks than are read, one of them may be a newer run.
        for n in 0..98 {
            room.github.lock().check("acme/checkout", &next, Check::ended(&format!("job {n}"), "FAILURE", at(3)));
        }
        asks(room, ALICE, "preview checkout 42", "checks: 2 of 2").await?;
        room.github.lock().check("acme/checkout", &next, Check::ended("one more", "SUCCESS", at(3)));
        refused("but there are more than I can read").await?;
        // The next commit has few checks, and one that failed beside them.
        room.builds("checkout", "feature/totals", "alice");
        let last = room.github.lock().head("acme/checkout", "feature/totals").unwrap_or_default();
        for (name, conclusion) in [("build", "SUCCESS"), ("test (linux)", "SUCCESS"), ("lint", "FAILURE")] {
            room.github.lock().check("acme/checkout", &last, Check::ended(name, conclusion, at(4)));
        }
        room.alice("checkout 42").await;
        room.says(&format!("is live: `{}`", room.tag("checkout", "feature/totals"))).await?;
        Ok(())
    });
}

#[test]
fn the_command_is_what_the_installation_calls_it_in_every_message() {
    room(async |room| -> Result<()> {
        hurry(room);
        room.slack.lock().command = "/ship-eu".to_owned();
        let help = asks(room, ALICE, "help", "/ship-eu status").await?;
        ensure!(!help.contains("/deploy"), "{help}");
        let odd = asks(room, ALICE, "statsu", "/ship-eu").await?;
        ensure!(!odd.contains("/deploy"), "{odd}");
        // What people wrote stays as it is.
        room.command(BOB, DEPLOYS, "lock checkout use `/deploy help` of the other bot").await;
        room.says("until somebody types `/ship-eu unlock checkout`").await?;
        room.alice("checkout 42").await;
        let locked = says(room, "They or an owner can unlock it").await?;
        let shown = read(room, &locked);
        ensure!(shown.contains("use '/deploy help' of the other bot"), "{shown}");
        ensure!(shown.contains("`/ship-eu unlock checkout`") && shown.matches("/deploy").count() == 1, "{shown}");
        // A button is pressed without a command: the deployment's own counts.
        let read_before = room.whispers().len();
        room.press(ALICE, &locked, "retry").await;
        let again = |room: &Sandbox| {
            let slack = room.slack.lock();
            let mut news = slack.all_ephemerals().iter().skip(read_before).map(|message| slack.render(message));
            news.any(|text| text.contains("`/ship-eu unlock checkout`")).then_some(())
        };
        room.until("the refusal, again", PATIENCE, again).await?;
        room.command(BOB, DEPLOYS, "unlock checkout").await;
        room.says("unlocked *checkout*").await?;
        room.builds("checkout", "main", "alice");
        deploys(room, "checkout main").await?;
        deploys(room, "checkout 42").await?;
        room.command(BOB, DEPLOYS, "rollback checkout").await;
        let back = room.says("is locked now, so the bad version can't come back").await?;
        ensure!(back.contains("`/ship-eu unlock checkout`"), "{back}");
        // Slack's own word is checked, too.
        room.slack.lock().command = "/<!channel>".to_owned();
        asks(room, ALICE, "help", "/deploy status").await?;
        Ok(())
    });
}

#[test]
fn sentences_name_whom_the_catalog_says_people_turn_to() {
    room(async |room| -> Result<()> {
        hurry(room);
        let more = "    allow: { users: [U0BOB] }\n    contact: 'the *cart* team <!channel>'\n";
        let text = |room: &Room| String::from_utf8(room.file("deploy-bot.yaml"));
        catalog(room, "contact: '#platform'\n", "");
        let both =
            text(room)?.replacen("    allow: anyone\n", more, 1).replace("allow: anyone", "allow: { users: [U0BOB] }");
        room.github.lock().person_pushes(GITOPS, "main", "carol", &[("deploy-bot.yaml", &both)], "Bob only");
        room.alice("checkout 42").await;
        let refused = room.says("you aren't allowed to deploy checkout").await?;
        ensure!(refused.contains("Ask the ∗cart∗ team <!channel> to add you in `deploy-bot.yaml`."), "{refused}");
        ensure!(room.slack.lock().mentions(MALLORY).is_empty(), "nobody is called");
        asks(room, ALICE, "lock checkout a test", "Ask the ∗cart∗ team").await?;
        // The catalog's own contact, where the app has none.
        room.alice("payments 99").await;
        let refused = room.says("you aren't allowed to deploy payments").await?;
        ensure!(refused.contains("Ask #platform to add you in `deploy-bot.yaml`."), "{refused}");
        Ok(())
    });
}

/// Both are checked by the clock of the machine, so the dates and days are those around today.
#[test]
fn a_freeze_by_dates_and_the_times_of_only_refuse_and_are_shown() {
    room(async |room| -> Result<()> {
        hurry(room);
        let day = |ahead: u64| {
            let at = Timestamp(now() + ahead * 86_400_000).to_rfc3339();
            at.split('T').next().unwrap_or_default().to_owned()
        };
        // With quotes and without.
        let freeze = format!(
            "    freeze: [{{ from: {}, to: \"{}\", zone: UTC, why: \"*Inventory* <!channel>\" }}]\n",
            day(0),
            day(1)
        );
        catalog(room, "owners: { users: [U0CAROL] }\n", &freeze);
        let before = room.commits();
        room.alice("checkout 42").await;
        let refused = room.says("checkout is frozen until").await?;
        ensure!(refused.contains(&format!("{} 00:00", day(2))), "to the end of the last day: {refused}");
        ensure!(refused.contains(": ∗Inventory∗ <!channel>. Try again then."), "{refused}");
        ensure!(room.slack.lock().mentions(MALLORY).is_empty(), "nobody is called");
        let status = asks(room, BOB, "status checkout", "frozen until").await?;
        ensure!(status.contains("∗Inventory∗"), "{status}");
        asks(room, ALICE, "preview checkout 42", "This can't be deployed now: checkout is frozen until").await?;
        asks(room, BOB, "apps", &format!("frozen {} to {} UTC", day(0), day(1))).await?;

        // The freeze is over, and the day is not today, so the next time is in three days.
        let days = ["thu", "fri", "sat", "sun", "mon", "tue", "wed"];
        let today = now() / 86_400_000;
        let opens = days[usize::try_from((today + 3) % 7)?];
        let only = format!("    only: [{{ days: {opens}, from: 09:30, to: 10:00, zone: UTC }}]\n");
        catalog(room, "owners: { users: [U0CAROL] }\n", &only);
        room.alice("checkout 42").await;
        let refused = room.says("checkout is deployed at certain times only").await?;
        let shown = format!("{}{} 09:30 UTC", &opens[..1].to_uppercase(), &opens[1..]);
        ensure!(refused.contains(&format!("The next time begins {shown} ({} 09:30", day(3))), "{refused}");
        asks(room, BOB, "status checkout", &format!("the next time begins {shown}")).await?;
        asks(room, BOB, "apps", &format!("only {} to 10:00 UTC", shown.trim_end_matches(" UTC"))).await?;
        asks(room, ALICE, "preview checkout 42", "This can't be deployed now: checkout is deployed at certain").await?;
        ensure!(room.commits() == before + 1, "only the catalog was changed");
        room.command(CAROL, DEPLOYS, "checkout 42 override incident 13").await;
        let live = room.says("is live").await?;
        ensure!(live.contains("*Override* by @carol: incident 13"), "{live}");
        Ok(())
    });
}

#[test]
fn a_failure_calls_the_asker_and_its_buttons_go_on_from_there() {
    room(async |room| -> Result<()> {
        hurry(room);
        let refused =
            Response::json(400, &json!({ "code": 9, "message": "under maintenance", "error": "under maintenance" }));
        room.argocd.fault("argocd.sync", Fault::Instead(refused), 1);
        room.alice("checkout 42").await;
        let failed = says(room, "Argo CD refused the sync").await?;
        let called = |room: &Sandbox| {
            let slack = room.slack.lock();
            slack.mentions(ALICE).iter().any(|message| message.thread_ts.as_deref() == Some(&failed.ts)).then_some(())
        };
        room.until("call to the asker in the thread", PATIENCE, called).await?;
        room.all_told().await?;
        let failed = says(room, "Argo CD refused the sync").await?;
        ensure!(failed.buttons() == ["retry", "roll_back"], "{:?}", failed.buttons());
        room.press(BOB, &failed, "retry").await;
        room.says("is live").await?;
        room.all_told().await
    });
}

#[test]
fn what_is_new_in_a_version_is_in_its_message() {
    room(async |room| -> Result<()> {
        hurry(room);
        room.builds("checkout", "main", "alice");
        deploys(room, "checkout main").await?;
        room.builds("checkout", "main", "alice");
        room.builds("checkout", "main", "bob");
        let tag = room.tag("checkout", "main");
        room.alice("checkout main").await;
        let told = room.says(&format!("is live: `{tag}`")).await?;
        ensure!(told.contains("2 new commits") && told.contains("bob") && told.contains("compare"), "{told}");
        Ok(())
    });
}

#[test]
fn several_values_files_get_the_tag_in_one_commit() {
    room(async |room| -> Result<()> {
        hurry(room);
        let worker = "# The queue's worker.\nimage: { tag: 'old' }\n";
        room.github.lock().person_pushes(GITOPS, "main", "carol", &[("checkout/worker.yaml", worker)], "Add a worker");
        catalog(room, "", "    values: [checkout/values.yaml, checkout/worker.yaml]\n");
        let (before, old) = (room.commits(), room.file("checkout/values.yaml"));
        asks(room, ALICE, "preview checkout 42", "In `checkout/worker.yaml`").await?;
        deploys(room, "checkout 42").await?;
        let tag = room.tag("checkout", "feature/totals");
        ensure!(room.commits() == before + 1, "one commit");
        let values = changed_lines(&old, &room.file("checkout/values.yaml"));
        ensure!(values.len() == 1 && values[0].1.contains(&tag), "{values:?}");
        ensure!(room.file("checkout/worker.yaml") == worker.replace("old", &tag).into_bytes());

        // A file that has the tag already is no part of the commit; the commit is ours and is found all the
        // same.
        let newer = room.builds("checkout", "feature/totals", "alice");
        let text = worker.replace("old", &newer);
        room.github.lock().person_pushes(GITOPS, "main", "carol", &[("checkout/worker.yaml", &text)], "By hand");
        room.github.fault("github.commit", Fault::DropAfter, 1);
        room.alice("checkout 42").await;
        let live = room.says(&format!("is live: `{newer}`")).await?;
        ensure!(live.contains("Also goes live: 1 commit by carol"), "{live}");
        ensure!(room.commits() == before + 3, "one more by Carol, one by the bot");
        Ok(())
    });
}

// ---- what a person has written into the file ----

const VALUES: &str = "checkout/values.yaml";

/// Carol pushes checkout's values file with something else in it.
pub(crate) fn carol_replaces(room: &Room, old: &str, new: &str) -> String {
    let text = String::from_utf8_lossy(&room.file(VALUES)).into_owned();
    assert!(text.contains(old), "{old:?} is not in {text}");
    room.github.lock().person_pushes(GITOPS, "main", "carol", &[(VALUES, &text.replace(old, new))], "Change the values")
}

/// The revision that Argo CD was asked for last.
fn synced(room: &Room) -> Option<String> {
    room.argocd.lock().syncs().last().and_then(|sync| sync.revision().map(str::to_owned))
}

#[test]
fn a_tag_written_by_hand_is_deployed_on_request_by_an_empty_commit() {
    room(async |room| -> Result<()> {
        hurry(room);
        deploys(room, "checkout 42").await?;
        let (old, new) = (room.tag("checkout", "feature/totals"), room.builds("checkout", "feature/totals", "alice"));
        let hers = carol_replaces(room, &old, &new);
        let (before, syncs) = (room.commits(), room.argocd.lock().syncs().len());
        // Typed as often as you like: refused, and never synced by itself.
        for _ in 0..2 {
            room.alice("checkout 42").await;
            room.says("carol put ").await?;
            room.all_told().await?;
        }
        let refused = says(room, "carol put ").await?;
        ensure!(refused.buttons() == ["take_over", "retry"], "{:?}", refused.buttons());
        ensure!(room.commits() == before && room.argocd.lock().syncs().len() == syncs, "nothing happened so far");

        // Pressed twice: one commit, on top of hers, changes nothing, and exactly that commit is synced.
        room.press(ALICE, &refused, "take_over").await;
        room.press(ALICE, &refused, "take_over").await;
        let live = room.says(&format!("is live: `{new}`")).await?;
        ensure!(live.contains(&format!("`{old}` → `{new}`")) && live.contains("asked by @alice"), "{live}");
        ensure!(
            live.contains("put into Git by carol in") && live.contains("Also goes live: 1 commit by carol"),
            "{live}"
        );
        let commits = room.github.lock().commits(GITOPS, "main");
        let ours = commits.first().context("a commit")?.clone();
        ensure!(commits.len() == before + 1 && ours.parents == [hers.clone()], "{ours:?}");
        ensure!(ours.added.is_empty() && ours.modified.is_empty() && ours.removed.is_empty(), "{ours:?}");
        ensure!(ours.message.contains(&format!("Written-In: {hers}")) && ours.signed_by_github, "{}", ours.message);
        ensure!(synced(room).as_ref() == Some(&ours.sha) && room.argocd.lock().syncs().len() == syncs + 1);
        room.all_told().await?;

        // From then on the tag is the bot's: typed again, the command deploys that commit.
        deploys(room, "checkout 42").await?;
        ensure!(room.commits() == before + 1 && synced(room).as_ref() == Some(&ours.sha), "nothing new");

        // Carol changes another line of the file: only that change rides along.
        let hers = carol_replaces(room, "replicaCount: 2", "replicaCount: 5");
        let hers = hers.get(..7).unwrap_or_default();
        room.alice("checkout 42").await;
        let refused = says(room, &format!("into Git by hand (`{hers}`)")).await?;
        room.all_told().await?;
        room.press(ALICE, &refused, "take_over").await;
        let again = |room: &Sandbox| (room.github.lock().commits(GITOPS, "main").len() == before + 3).then_some(());
        room.until("another commit of the bot", PATIENCE, again).await?;
        room.all_told().await?;
        let live = read(room, &says(room, &format!("put into Git by carol in `{hers}`")).await?);
        ensure!(live.contains(&format!("is live: `{new}`")), "{live}");
        ensure!(live.contains(&format!("Also goes live: 1 commit by carol: `{hers}`")), "{live}");

        // And the next deploy names nothing of it.
        room.builds("checkout", "feature/totals", "alice");
        room.alice("checkout 42").await;
        let live = room.says(&format!("is live: `{}`", room.tag("checkout", "feature/totals"))).await?;
        ensure!(!live.contains("Also goes live") && !live.contains("put into Git by"), "{live}");
        Ok(())
    });
}

#[test]
fn deploy_it_deploys_just_the_tag_in_the_file_and_passes_every_gate() {
    room(async |room| -> Result<()> {
        hurry(room);
        deploys(room, "checkout 42").await?;
        let written = async |room: &Room| -> Result<Message> {
            let old = room.tag("checkout", "feature/totals");
            let new = room.builds("checkout", "feature/totals", "alice");
            let there = old;
            carol_replaces(room, &there, &new);
            room.alice("checkout 42").await;
            let refused = says(room, &format!("carol put `{new}` into Git by hand")).await?;
            room.all_told().await?;
            Ok(refused)
        };

        // The branch moves.
        let refused = written(room).await?;
        let before = room.commits();
        let newer = room.builds("checkout", "feature/totals", "alice");
        room.press(ALICE, &refused, "take_over").await;
        room.says("the branch has moved").await?;
        deploys(room, "checkout 42").await?;
        ensure!(room.argocd.lock().live_tag("checkout") == Some(newer.as_str()));

        // The file moves: somebody else changes it, and the refusal names that person.
        let refused = written(room).await?;
        let text = String::from_utf8(room.file(VALUES))?.replace("replicaCount: 2", "replicaCount: 3");
        room.github.lock().person_pushes(GITOPS, "main", "bob", &[(VALUES, &text)], "More of it");
        let now = room.commits();
        room.press(ALICE, &refused, "take_over").await;
        let refused = says(room, "bob put ").await?;
        room.all_told().await?;

        // A lock, and the gate on other people's changes.
        room.command(BOB, DEPLOYS, "lock checkout incident 7").await;
        room.says("locked *checkout*").await?;
        room.press(ALICE, &refused, "take_over").await;
        let locked = says(room, "is locked by @bob").await?;
        room.command(BOB, DEPLOYS, "unlock checkout").await;
        room.says("unlocked *checkout*").await?;
        catalog(room, "", "    foreign_changes: refuse\n");
        room.press(ALICE, &locked, "retry").await;
        let refused = room.says("this would also ship").await?;
        ensure!(refused.contains("2 config changes by") && refused.contains("carol"), "{refused}");
        ensure!(room.commits() == now + 1, "only the catalog was changed");
        ensure!(room.argocd.lock().live_tag("checkout") == Some(newer.as_str()) && now > before);

        // Without that gate the same button goes on, and a mutation without an answer is found among all commits.
        catalog(room, "", "");
        let refused = says(room, "this would also ship").await?;
        room.all_told().await?;
        let mutations = room.github.lock().calls("github.commit");
        room.github.fault("github.commit", Fault::DropAfter, 1);
        room.press(ALICE, &refused, "retry").await;
        let tag = room.tag("checkout", "feature/totals");
        room.says(&format!("is live: `{tag}`")).await?;
        ensure!(room.github.lock().calls("github.commit") == mutations + 1, "it was found, not made again");
        ensure!(room.commits() == now + 3);
        room.all_told().await
    });
}

// ---- what the pull request shows ----

/// Options with `github_deployments` on.
fn told(more: &[(&str, serde_json::Value)]) -> Options {
    let mut limits = limits();
    for (name, value) in more {
        limits[*name] = value.clone();
    }
    let variables = [("github_deployments".to_owned(), "on".to_owned())].into();
    Options { limits: Some(limits), variables, ..Options::default() }
}

/// The states of an app's deploy, the first has number 0, once the last of them is this.
async fn shows(room: &Room, app: &str, nth: usize, state: &str) -> Result<Vec<String>> {
    let repo = format!("acme/{app}");
    let look = |room: &Sandbox| {
        let statuses = room.github.lock().deployments(&repo).get(nth)?.statuses.clone();
        let states: Vec<String> = statuses.into_iter().map(|status| status.state).collect();
        (states.last()? == state).then_some(states)
    };
    room.until(&format!("{state} of deploy {nth} of {app}"), PATIENCE, look).await
}

#[test]
fn a_pull_request_shows_where_it_is_live_and_one_that_failed_that_it_did() {
    room_with(told(&[]), async |room| -> Result<()> {
        hurry(room);
        let page = "https://checkout.acme.example/";
        room.argocd.lock().app("checkout").urls = vec![page.to_owned(), "https://other.example".to_owned()];
        let head = room.github.lock().head("acme/checkout", "feature/totals").unwrap_or_default();
        room.goes_live("checkout 42").await?;
        ensure!(shows(room, "checkout", 0, "success").await? == ["in_progress", "success"]);
        let shown = room.shown("checkout");
        ensure!(shown.len() == 1 && shown[0].sha == head && shown[0].reference == head, "{shown:?}");
        let tag = room.tag("checkout", "feature/totals");
        ensure!(shown[0].environment == "checkout" && shown[0].description.contains(&tag), "{shown:?}");
        let message = room.slack.lock().messages(DEPLOYS)[0].ts.replace('.', "");
        for status in &shown[0].statuses {
            ensure!(status.log_url.ends_with(&format!("slack.com/archives/{DEPLOYS}/p{message}")), "{status:?}");
        }
        let [begun, ended] = &shown[0].statuses[..] else { anyhow::bail!("{shown:?}") };
        ensure!(begun.environment_url.is_empty() && ended.environment_url == page, "{shown:?}");

        // The next deploy fails: GitHub still shows the first.
        room.nothing_left().await?;
        room.builds("checkout", "feature/totals", "alice");
        let refused = json!({ "code": 9, "message": "under maintenance", "error": "under maintenance" });
        room.argocd.fault("argocd.sync", Fault::Instead(Response::json(400, &refused)), 1);
        room.alice("checkout 42").await;
        room.says("Argo CD refused the sync").await?;
        ensure!(shows(room, "checkout", 1, "failure").await? == ["in_progress", "failure"]);
        let shown = room.shown("checkout");
        ensure!(shown.len() == 2 && shown[0].statuses.len() == 2, "{shown:?}");
        let last = shown[1].statuses.last().context("no status")?;
        ensure!(last.environment_url.is_empty() && !last.description.contains("maintenance"), "{last:?}");
        Ok(())
    });
}

#[test]
fn a_superseded_deploy_shows_as_inactive_in_its_environment() {
    room_with(told(&[]), async |room| -> Result<()> {
        hurry(room);
        let host = room.registry.origin().trim_start_matches("http://").to_owned();
        let text = format!(
            "apps:\n  checkout:\n    repo: acme/checkout\n    image: {host}/acme/checkout\n    allow: anyone\n    environments:\n      staging: {{ values: checkout/values.yaml, argocd: {{ application: checkout }} }}\n"
        );
        room.github.lock().person_pushes(GITOPS, "main", "carol", &[("deploy-bot.yaml", &text)], "Add staging");
        let old = room.github.lock().head(GITOPS, "main").unwrap_or_default();
        let slow = Script { health: vec![(0, Health::Progressing), (60_000, Health::Healthy)], ..quick() };
        room.script("checkout", slow);
        room.alice("checkout@staging 42").await;
        room.says("Health: progressing").await?;
        room.argocd.lock().person_syncs(now(), "checkout", Some(&old)).map_err(anyhow::Error::msg)?;
        room.says("stopped: ").await?;
        ensure!(shows(room, "checkout", 0, "inactive").await? == ["in_progress", "inactive"]);
        ensure!(room.shown("checkout")[0].environment == "staging", "{:?}", room.shown("checkout"));
        Ok(())
    });
}

#[test]
fn a_token_that_may_not_tell_github_costs_one_call_and_a_log_line() {
    room_with(told(&[]), async |room| -> Result<()> {
        hurry(room);
        room.github.lock().repo("acme/checkout").no_deployments();
        let begin = room.journal.mark("without the right");
        deploys(room, "checkout 42").await?;
        room.nothing_left().await?;
        let calls = room.calls(begin);
        let calls: Vec<_> = calls.iter().filter(|call| call.contains("deployment")).collect();
        ensure!(calls == ["github.deployment"], "{calls:?}");
        let log = room.log();
        let lines: Vec<_> = log.lines().filter(|line| line.contains("github_not_told")).collect();
        ensure!(lines.len() == 1 && lines[0].contains("Resource not accessible"), "{lines:?}");
        Ok(())
    });
}

#[test]
fn when_github_limits_calls_only_commits_are_made_for_a_minute() {
    let minute = 3_000;
    room_with(told(&[("minute", json!(minute))]), async |room| -> Result<()> {
        hurry(room);
        let too_much = json!({ "message": "You have exceeded a secondary rate limit. Please wait a few minutes." });
        room.github.fault("github.deployment", Fault::Instead(Response::json(403, &too_much)), 1);
        room.alice("checkout 42").await;
        let refused = |room: &Sandbox| room.log().contains("github_not_told").then_some(());
        room.until("line about it in the log", PATIENCE, refused).await?;
        room.bob("payments 7").await;
        for app in ["checkout #42", "payments #7"] {
            room.says(&format!("{app}*  is live")).await?;
        }
        // Afterwards GitHub knows both; the first one's only status is how it ended.
        ensure!(shows(room, "checkout", 0, "success").await? == ["success"]);
        shows(room, "payments", 0, "success").await?;
        let calls = room.journal.entries().into_iter().filter(|entry| entry.call.starts_with("github.deployment"));
        let at: Vec<_> = calls.map(|call| call.at).collect();
        ensure!(at[1..].iter().all(|next| *next >= at[0] + minute), "not quiet for a minute: {at:?}");
        ensure!(room.log().matches("github_not_told").count() == 1, "said once");
        Ok(())
    });
}

#[test]
fn switched_off_github_is_told_of_commits_and_nothing_else() {
    room(async |room| -> Result<()> {
        hurry(room);
        let begin = room.journal.mark("off");
        deploys(room, "checkout 42").await?;
        room.nothing_left().await?;
        let calls = room.calls(begin);
        ensure!(
            !calls.iter().any(|call| call.contains("deployment")) && room.shown("checkout").is_empty(),
            "{calls:?}"
        );
        Ok(())
    });
}

#[test]
fn killed_while_it_tells_github_it_shows_one_deploy_and_its_end() {
    room_with(told(&[]), async |room| -> Result<()> {
        let steps = [
            (Moment::Before, "github.deployment"),
            (Moment::After, "github.deployment"),
            (Moment::After, "github.deployment_status"),
            (Moment::Before, "argocd.sync"),
        ];
        for (nth, (moment, call)) in steps.into_iter().enumerate() {
            hurry(room);
            let before = room.before_a_deploy("checkout", "feature/totals");
            let held = match call {
                "argocd.sync" => room.argocd.hold(moment, call, 1),
                _ => room.github.hold(moment, call, 1),
            };
            room.alice("checkout 42").await;
            held.reached().await?;
            room.kill_bot().await;
            drop(held);
            room.the_leases_of_the_dead_run_out().await?;
            room.start_bot().await?;
            let told = async {
                room.probe("word that it is live", |room| before.is_live(room)).await?;
                shows(room, "checkout", nth, "success").await?;
                room.nothing_left().await
            };
            told.await.with_context(|| format!("killed {moment:?} {call}"))?;
            ensure!(room.shown("checkout").len() == nth + 1, "one each: {:#?}", room.shown("checkout"));
        }
        Ok(())
    });
}
