//! People and the bot: every command, every button, every gate, with what is refused. What people read is what the Slack stand-in shows.
//!
//! What you would get wrong: a button says nothing about who presses it, and is pressed twice; an edit notifies nobody.

use anyhow::{Context, Result, ensure};
use e2e::{PATIENCE, Room, quick, room};
use fakes::github::Checks;
use fakes::slack::Message;
use fakes::{Fault, Response};
use sandbox::Sandbox;
use sandbox::world::{ALICE, BOB, CAROL, DEPLOYS, GITOPS, MALLORY};
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

/// No waiting for Slack's pace, and syncs in no time.
pub(crate) fn hurry(room: &Room) {
    room.slack.lock().limits = None;
    for app in ["checkout", "payments"] {
        room.script(app, quick());
    }
}

/// The newest message in #deploys that says this.
pub(crate) async fn says(room: &Room, words: &str) -> Result<Message> {
    room.says(words).await?;
    let slack = room.slack.lock();
    let found = slack.messages(DEPLOYS).iter().rev().find(|message| slack.render(message).contains(words));
    found.cloned().with_context(|| format!("the message that said {words:?} is another by now"))
}

/// What only this person reads, once it says this.
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

/// Someone types; what only they read then, through the `response_url` or at once.
pub(crate) async fn asks(room: &Room, user: &str, text: &str, words: &str) -> Result<String> {
    let answer = room.command(user, DEPLOYS, text).await;
    ensure!(answer.status == Some(200), "{answer:?}");
    let whisper = whispers(room, user, words).await?;
    Ok(read(room, &whisper))
}

/// Deploys this, and returns its tag when it is live.
pub(crate) async fn deploys(room: &Room, text: &str) -> Result<()> {
    room.goes_live(text).await?;
    // Its own edits are over, and its guardian has seen the end.
    let idle = |room: &Sandbox| (room.argocd.lock().open_streams() == 0).then_some(());
    room.until("end of the watch", PATIENCE, idle).await
}

#[test]
fn what_is_asked_is_answered_to_the_asker_alone() {
    room(async |room| -> Result<()> {
        hurry(room);
        ensure!(asks(room, ALICE, "status checkout", "checkout").await?.contains("was not deployed by me yet"));
        ensure!(asks(room, ALICE, "history checkout", "I remember no deploy").await?.contains("checkout"));
        deploys(room, "checkout 42").await?;
        let tag = room.tag("checkout", "feature/totals");
        let status = asks(room, BOB, "status", "payments").await?;
        ensure!(status.contains(&format!("*checkout* runs `{tag}`, deployed by @alice")), "{status}");
        let history = asks(room, BOB, "history checkout", "newest first").await?;
        ensure!(history.contains(&format!("1. `{tag}`")) && history.contains("live, @alice"), "{history}");
        let apps = asks(room, BOB, "apps", "acme/checkout").await?;
        ensure!(apps.contains("*payments* of acme/payments"), "{apps}");
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
        deploys(room, "checkout main").await.err();
        let before = room.commits();
        asks(room, ALICE, "preview checkout 42", "nothing is changed yet").await?;
        let preview = whispers(room, ALICE, "nothing is changed yet").await?;
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
fn a_deploy_without_a_commit_is_cancelled_by_those_who_may_and_nothing_was_changed() {
    room(async |room| -> Result<()> {
        hurry(room);
        catalog(room, "", "");
        asks(room, ALICE, "cancel checkout", "No deploy of checkout is under way").await?;
        // Only Alice and Carol may deploy checkout, so Bob may not cancel it either.
        let host = room.registry.origin().trim_start_matches("http://").to_owned();
        let text = format!(
            "apps:\n  checkout:\n    repo: acme/checkout\n    image: {host}/acme/checkout\n    allow: {{ users: [U0ALICE, U0CAROL] }}\n"
        );
        room.github.lock().person_pushes(GITOPS, "main", "carol", &[("deploy-bot.yaml", &text)], "Close checkout");
        let before = room.commits();
        for how in ["button", "command"] {
            room.registry.fault("registry.head", Fault::Slow(Duration::from_secs(2)), 1);
            room.alice("checkout 42").await;
            let waiting = says(room, "accepted.").await?;
            let asked = |room: &Sandbox| (room.registry.lock().calls("registry.head") > 0).then_some(());
            room.until("question to the registry", PATIENCE, asked).await?;
            room.press(MALLORY, &waiting, "cancel").await;
            whispers(room, MALLORY, "I serve another Slack workspace").await?;
            room.press(BOB, &waiting, "cancel").await;
            whispers(room, BOB, "You may not deploy checkout").await?;
            if how == "button" {
                room.press(CAROL, &waiting, "cancel").await;
                room.says("cancelled by @carol. Nothing was changed").await?;
            } else {
                asks(room, ALICE, "cancel checkout", "I cancel it if its commit is not made yet").await?;
                room.says("cancelled by @alice. Nothing was changed").await?;
            }
            room.all_told().await?;
        }
        ensure!(room.commits() == before, "nothing was committed");
        deploys(room, "checkout 42").await?;
        asks(room, ALICE, "cancel checkout", "That deploy has ended already").await?;
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
        ensure!(refused.contains("incident 7") && refused.contains("Nothing was changed"), "{refused}");
        ensure!(asks(room, ALICE, "status checkout", "locked by @bob").await?.contains("incident 7"));
        let second = asks(room, ALICE, "lock checkout me too", "is already locked by @bob").await?;
        ensure!(second.contains("@bob"), "{second}");

        // Alice is neither who locked it nor an owner; a stranger in the channel is nobody at all.
        room.press(ALICE, &lock, "unlock").await;
        whispers(room, ALICE, "Only an owner may").await?;
        room.press(MALLORY, &lock, "unlock").await;
        whispers(room, MALLORY, "I serve another Slack workspace").await?;
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
        room.alice("checkout main").await;
        let asked = says(room, "was rolled back from checkout").await?;
        ensure!(asked.buttons() == ["deploy_anyway"], "{:?}", asked.buttons());
        room.press(ALICE, &asked, "deploy_anyway").await;
        let again = |room: &Sandbox| (room.argocd.lock().live_tag("checkout") == Some(&bad)).then_some(());
        room.until("the version that was rolled back, live again", PATIENCE, again).await?;
        room.all_told().await?;

        // By its tag, and what there is not.
        room.bob("rollback checkout v0").await;
        let unknown = room.says("I remember no version `v0`").await?;
        ensure!(unknown.contains(&good), "{unknown}");
        room.bob("rollback payments").await;
        room.says("I remember no earlier healthy version of payments").await?;
        room.bob(&format!("rollback checkout {good}")).await;
        let back = |room: &Sandbox| (room.argocd.lock().live_tag("checkout") == Some(&good)).then_some(());
        room.until("the good version by its tag", PATIENCE, back).await?;
        room.all_told().await
    });
}

#[test]
fn two_others_approve_exactly_this_commit_and_it_goes_live_in_the_same_message() {
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
fn branches_checks_and_foreign_changes_stand_in_the_way_of_those_they_are_for() {
    room(async |room| -> Result<()> {
        hurry(room);
        let before = room.commits();
        catalog(room, "", "    branches: [main, 'release/*']\n");
        room.alice("checkout 42").await;
        let refused = room.says("checkout takes only").await?;
        ensure!(refused.contains("`main`, `release/*`") && refused.contains("feature/totals"), "{refused}");

        catalog(room, "", "    checks: required\n");
        room.alice("checkout 42").await;
        room.says("but it has none").await?;
        let head = room.github.lock().head("acme/checkout", "feature/totals").unwrap_or_default();
        room.github.lock().checks("acme/checkout", &head, Some(Checks::Pending));
        room.alice("checkout 42").await;
        room.says("still running").await?;
        room.github.lock().checks("acme/checkout", &head, Some(Checks::Failure));
        room.alice("checkout 42").await;
        let failed = says(room, "but they failed").await?;
        ensure!(room.commits() == before + 2, "only the catalog was changed");
        // The same button once they pass.
        room.github.lock().checks("acme/checkout", &head, Some(Checks::Success));
        room.press(BOB, &failed, "retry").await;
        let live = room.says("is live").await?;
        ensure!(live.contains("asked by @bob"), "{live}");

        catalog(room, "", "    foreign_changes: refuse\n");
        let text = String::from_utf8(room.file("checkout/values.yaml"))?.replace("replicaCount: 2", "replicaCount: 3");
        room.github.lock().person_pushes(GITOPS, "main", "carol", &[("checkout/values.yaml", &text)], "More");
        room.builds("checkout", "feature/totals", "alice");
        let head = room.github.lock().head("acme/checkout", "feature/totals").unwrap_or_default();
        room.github.lock().checks("acme/checkout", &head, Some(Checks::Success));
        let commits = room.commits();
        room.alice("checkout 42").await;
        let refused = room.says("would go live with it").await?;
        ensure!(refused.contains("1 unsynced commit by carol"), "{refused}");
        ensure!(room.commits() == commits);
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
        ensure!(refused.contains("an owner can add `override` and the reason"), "{refused}");
        room.alice("checkout 42 override I am in a hurry").await;
        room.says("only an owner may override the freeze of checkout").await?;
        ensure!(room.commits() == before);
        room.command(CAROL, DEPLOYS, "checkout 42 override incident 12").await;
        let live = room.says("is live").await?;
        ensure!(live.contains("*Freeze overridden* by @carol: incident 12"), "{live}");
        let text = room.github.lock().commits(GITOPS, "main").first().map(|commit| commit.message.clone());
        ensure!(text.is_some_and(|text| text.contains("Freeze-Overridden: incident 12")));
        ensure!(room.log().contains("freeze_overridden"), "an operator can find it");
        ensure!(asks(room, BOB, "history checkout", "freeze overridden").await?.contains("incident 12"));
        Ok(())
    });
}

#[test]
fn a_failure_calls_the_asker_and_its_buttons_go_on_from_there() {
    room(async |room| -> Result<()> {
        hurry(room);
        let refused =
            Response::json(403, &json!({ "code": 7, "message": "permission denied", "error": "permission denied" }));
        room.argocd.fault("argocd.sync", Fault::Instead(refused), 1);
        room.alice("checkout 42").await;
        let failed = says(room, "Argo CD does not allow it").await?;
        let called = |room: &Sandbox| {
            let slack = room.slack.lock();
            slack.mentions(ALICE).iter().any(|message| message.thread_ts.as_deref() == Some(&failed.ts)).then_some(())
        };
        room.until("call to the asker in the thread", PATIENCE, called).await?;
        room.all_told().await?;
        let failed = says(room, "Argo CD does not allow it").await?;
        ensure!(failed.buttons() == ["retry", "roll_back"], "{:?}", failed.buttons());
        room.press(BOB, &failed, "retry").await;
        room.says("is live").await?;
        room.all_told().await
    });
}

#[test]
fn what_is_new_in_a_version_is_told_with_its_message() {
    room(async |room| -> Result<()> {
        hurry(room);
        deploys(room, "checkout main").await.err();
        room.builds("checkout", "main", "alice");
        deploys(room, "checkout main").await?;
        room.builds("checkout", "main", "alice");
        room.builds("checkout", "main", "bob");
        let tag = room.tag("checkout", "main");
        room.alice("checkout main").await;
        let told = room.says(&format!("is live: `{tag}`")).await?;
        ensure!(told.contains("2 commits") && told.contains("bob") && told.contains("compare"), "{told}");
        Ok(())
    });
}
