//! Buttons of older messages, and buttons that were pressed before.
//!
//! Easy to miss: people press buttons that they still see. A button means what it meant when it was shown,
//! not what it would mean now.

use crate::conversation::{asks, catalog, deploys, hurry, says, whispers};
use anyhow::{Context, Result, ensure};
use e2e::{PATIENCE, Room, limits, quick, room, room_with};
use fakes::argocd::Script;
use fakes::slack::Message;
use fakes::{Fault, Response};
use sandbox::hold::Moment;
use sandbox::world::{ALICE, BOB, CAROL, DEPLOYS, GITOPS, MALLORY};
use sandbox::{Options, Sandbox, now};
use serde_json::json;

/// Argo CD does not sync the next time.
pub(crate) fn refuse_sync(room: &Room) {
    let refused =
        Response::json(400, &json!({ "code": 9, "message": "under maintenance", "error": "under maintenance" }));
    room.argocd.fault("argocd.sync", Fault::Instead(refused), 1);
}

/// The messages to this person alone that say this, oldest first.
fn whispered(room: &Sandbox, user: &str, words: &str) -> Vec<String> {
    let slack = room.slack.lock();
    let texts = slack.ephemerals(user).into_iter().map(|message| slack.render(message));
    texts.filter(|text| text.contains(words)).collect()
}

/// Deploys this many versions of checkout, one after the other.
async fn versions(room: &Room, count: usize) -> Result<Vec<String>> {
    let mut tags = Vec::new();
    for _ in 0..count {
        tags.push(room.builds("checkout", "main", "alice"));
        deploys(room, "checkout main").await?;
        room.all_told().await?;
    }
    Ok(tags)
}

async fn runs(room: &Room, tag: &str) -> Result<()> {
    let it_runs = |room: &Sandbox| (room.argocd.lock().live_tag("checkout") == Some(tag)).then_some(());
    room.until(&format!("{tag}, live"), PATIENCE, it_runs).await?;
    room.all_told().await
}

#[test]
fn a_rollback_that_failed_is_tried_again_with_the_same_version() {
    room(async |room| -> Result<()> {
        hurry(room);
        let tags = versions(room, 3).await?;
        refuse_sync(room);
        room.bob("rollback checkout").await;
        let failed = says(room, "Argo CD refused the sync").await?;
        room.all_told().await?;
        room.press(BOB, &failed, "retry").await;
        runs(room, &tags[1]).await
    });
}

#[test]
fn a_retry_does_not_deploy_another_commit_than_the_button_before_it() {
    room(async |room| -> Result<()> {
        hurry(room);
        asks(room, ALICE, "preview checkout 42", "nothing is changed").await?;
        let preview = whispers(room, ALICE, "nothing is changed").await?;
        refuse_sync(room);
        room.press(ALICE, &preview, "deploy").await;
        let failed = says(room, "Argo CD refused the sync").await?;
        room.all_told().await?;
        let before = room.commits();
        room.builds("checkout", "feature/totals", "alice");
        room.press(BOB, &failed, "retry").await;
        room.says("the branch has moved").await?;
        ensure!(room.commits() == before, "nobody asked for the new commit");
        Ok(())
    });
}

#[test]
fn roll_back_below_an_older_version_does_not_take_the_newer_one_away() {
    room(async |room| -> Result<()> {
        hurry(room);
        let tags = versions(room, 3).await?;
        let old = says(room, &format!("is live: `{}`", tags[1])).await?;
        let before = room.commits();
        room.press(BOB, &old, "roll_back").await;
        room.says("has been deployed since").await?;
        room.all_told().await?;
        ensure!(room.commits() == before && room.argocd.lock().live_tag("checkout") == Some(&tags[2]));
        Ok(())
    });
}

#[test]
fn a_rollback_to_a_rolled_back_version_asks_first() {
    room(async |room| -> Result<()> {
        hurry(room);
        let tags = versions(room, 2).await?;
        room.bob("rollback checkout").await;
        runs(room, &tags[0]).await?;
        let before = room.commits();
        room.bob(&format!("rollback checkout {}", tags[1])).await;
        let asked = says(room, "was rolled back from checkout").await?;
        room.all_told().await?;
        ensure!(room.commits() == before, "it is asked first");
        room.press(BOB, &asked, "deploy_anyway").await;
        runs(room, &tags[1]).await
    });
}

#[test]
fn an_approved_rollback_deploys_the_version_that_the_message_showed() {
    room(async |room| -> Result<()> {
        hurry(room);
        let tags = versions(room, 3).await?;
        let gated = format!("    approvals: {{ count: 1, users: [{CAROL}] }}\n");
        catalog(room, "", &gated);
        room.bob("rollback checkout").await;
        let wanted = says(room, "needs 1 approval").await?;
        room.all_told().await?;
        room.bob("rollback checkout").await;
        room.all_told().await?;
        let first = says(room, "needs 1 approval").await?;
        room.press(CAROL, &first, "approve").await;
        runs(room, &tags[1]).await?;
        room.press(CAROL, &wanted, "approve").await;
        let gone_on = |room: &Sandbox| {
            let slack = room.slack.lock();
            slack.messages(DEPLOYS).iter().all(|message| !slack.render(message).contains("needs 1")).then_some(())
        };
        room.until("the other one, gone on", PATIENCE, gone_on).await?;
        room.all_told().await?;
        runs(room, &tags[1]).await
    });
}

#[test]
fn a_rejection_after_the_approval_changes_nothing() {
    room(async |room| -> Result<()> {
        hurry(room);
        catalog(room, "", &format!("    approvals: {{ count: 1, users: [{BOB}, {CAROL}] }}\n"));
        room.alice("checkout 42").await;
        let wanted = says(room, "needs 1 approval").await?;
        room.all_told().await?;
        let no = room.slack.lock().click(now(), BOB, DEPLOYS, &wanted.ts, "reject").context("no such button")?;
        room.press(CAROL, &wanted, "approve").await;
        room.says("is live").await?;
        room.all_told().await?;
        // Bob still saw the buttons when he pressed.
        room.send(&no).await;
        whispers(room, BOB, "already approved").await?;
        room.all_told().await?;
        let history = asks(room, BOB, "history checkout", "newest first").await?;
        ensure!(!history.contains("2. "), "{history}");
        Ok(())
    });
}

#[test]
fn a_button_still_works_after_somebody_who_may_not_pressed_it() {
    room(async |room| -> Result<()> {
        hurry(room);
        let host = room.registry.origin().trim_start_matches("http://").to_owned();
        let text = format!(
            "apps:\n  checkout:\n    repo: acme/checkout\n    image: {host}/acme/checkout\n    allow: {{ users: [{ALICE}, {CAROL}] }}\n"
        );
        room.github.lock().person_pushes(GITOPS, "main", "carol", &[("deploy-bot.yaml", &text)], "Close checkout");
        refuse_sync(room);
        room.alice("checkout 42").await;
        let failed = says(room, "Argo CD refused the sync").await?;
        room.all_told().await?;
        room.press(BOB, &failed, "retry").await;
        room.says("aren't allowed to deploy checkout").await?;
        room.all_told().await?;
        room.press(CAROL, &failed, "retry").await;
        room.press(CAROL, &failed, "retry").await;
        let live = room.says("is live").await?;
        ensure!(live.contains("asked by @carol"), "{live}");
        room.all_told().await?;
        ensure!(room.messages().len() == 2, "{:#?}", room.messages());
        Ok(())
    });
}

#[test]
fn an_approved_deploy_goes_live_in_the_message_that_asked() {
    room(async |room| -> Result<()> {
        hurry(room);
        catalog(room, "", &format!("    approvals: {{ count: 1, users: [{CAROL}] }}\n"));
        // The message was updated, but the bot does not know that: it updates the message once more.
        room.slack.fault("slack.update", Fault::DropAfter, 1);
        room.alice("checkout 42").await;
        let wanted = says(room, "needs 1 approval").await?;
        room.press(CAROL, &wanted, "approve").await;
        room.says("is live").await?;
        room.all_told().await?;
        let told = says(room, "checkout").await?;
        let told = room.slack.lock().render(&told);
        ensure!(told.contains("is live"), "{told}");
        Ok(())
    });
}

#[test]
fn a_second_press_of_a_button_says_so_and_does_nothing() {
    room(async |room| -> Result<()> {
        hurry(room);
        asks(room, ALICE, "preview checkout 42", "nothing is changed").await?;
        let preview = whispers(room, ALICE, "nothing is changed").await?;
        let before = room.commits();
        refuse_sync(room);
        room.press(ALICE, &preview, "deploy").await;
        let failed = says(room, "Argo CD refused the sync").await?;
        room.all_told().await?;
        let again = async |room: &Room, user: &str, on: &Message, button: &str, by: &str| -> Result<()> {
            let already = |room: &Sandbox| whispered(room, user, "already pressed that");
            let known = already(room).len();
            let pressed = room.press(user, on, button).await;
            ensure!(pressed.status == Some(200), "{pressed:?}");
            let told = |room: &Sandbox| already(room).get(known).cloned();
            let text = room.until(&format!("word to {user} that {button} was pressed before"), PATIENCE, told).await?;
            ensure!(text.contains(by), "{text}");
            ensure!(already(room).len() == known + 1, "told once");
            Ok(())
        };
        again(room, ALICE, &preview, "deploy", "You already pressed").await?;
        whispers(room, ALICE, "see how it went").await?;

        // While it goes on, and when it has ended.
        room.script("checkout", Script { ends: 1500, ..quick() });
        let held = room.registry.hold(Moment::Before, "registry.head", 1);
        room.press(BOB, &failed, "retry").await;
        held.reached().await?;
        again(room, CAROL, &failed, "retry", "@bob already pressed").await?;
        let waiting = whispers(room, BOB, "checking whether").await?;
        let cancel = room.slack.lock().click(now(), BOB, DEPLOYS, &waiting.ts, "cancel").context("no such button")?;
        held.release();
        room.says("rolling out").await?;
        room.send(&cancel).await;
        whispers(room, BOB, "Too late to cancel").await?;
        room.says("is live").await?;
        room.all_told().await?;
        again(room, CAROL, &failed, "retry", "@bob already pressed").await?;
        ensure!(room.commits() == before + 1, "one commit");
        ensure!(room.messages().len() == 2, "{:#?}", room.messages());
        Ok(())
    });
}

#[test]
fn a_vote_on_a_decided_deploy_says_so_and_changes_nothing() {
    room(async |room| -> Result<()> {
        hurry(room);
        catalog(room, "", &format!("    approvals: {{ count: 2, users: [{BOB}, {CAROL}] }}\n"));
        room.alice("checkout 42").await;
        let wanted = says(room, "needs 2 approvals").await?;
        room.all_told().await?;
        room.press(BOB, &wanted, "approve").await;
        room.says("Approved by @bob").await?;
        room.press(BOB, &wanted, "approve").await;
        whispers(room, BOB, "You've already approved it").await?;
        let mut clicks = Vec::new();
        for (user, button) in [(BOB, "approve"), (CAROL, "reject"), (CAROL, "approve")] {
            clicks.push(room.slack.lock().click(now(), user, DEPLOYS, &wanted.ts, button).context("no such button")?);
        }
        room.press(CAROL, &wanted, "reject").await;
        room.says("rejected by @carol").await?;
        for (click, user) in clicks.iter().zip([BOB, CAROL, CAROL]) {
            let known = whispered(room, user, "@carol has already rejected that deploy").len();
            room.send(click).await;
            let told =
                |room: &Sandbox| whispered(room, user, "@carol has already rejected that deploy").get(known).cloned();
            room.until(&format!("word to {user} that it was rejected"), PATIENCE, told).await?;
        }

        // And of one that has gone on.
        room.alice("checkout 42").await;
        let look = |room: &Sandbox| {
            let slack = room.slack.lock();
            slack.messages(DEPLOYS).iter().find(|message| !message.buttons().is_empty()).cloned()
        };
        let wanted = room.until("another question", PATIENCE, look).await?;
        room.all_told().await?;
        let late = room.slack.lock().click(now(), BOB, DEPLOYS, &wanted.ts, "approve").context("no such button")?;
        room.press(BOB, &wanted, "approve").await;
        room.press(CAROL, &wanted, "approve").await;
        room.says("is live").await?;
        room.all_told().await?;
        let before = room.commits();
        room.send(&late).await;
        whispers(room, BOB, "That deploy is already approved").await?;
        room.all_told().await?;
        ensure!(room.commits() == before);
        Ok(())
    });
}

#[test]
fn an_approval_that_is_not_saved_in_time_says_so_and_goes_on_later() {
    room(async |room| -> Result<()> {
        hurry(room);
        catalog(room, "", &format!("    approvals: {{ count: 1, users: [{BOB}, {CAROL}] }}\n"));
        let before = room.commits();
        room.alice("checkout 42").await;
        let wanted = says(room, "needs 1 approval").await?;
        room.all_told().await?;
        // Redis takes no id any more.
        room.redis::<()>(&["SET", "deploy-bot/in-flight", "no set"]).await?;
        room.press(CAROL, &wanted, "approve").await;
        let words = "Approved, but I couldn't start it yet";
        let told = whispers(room, CAROL, words).await?;
        let told = room.slack.lock().render(&told);
        ensure!(!told.contains("Nothing was changed") && told.contains("press *Approve* again"), "{told}");

        // Then the store takes nothing in time, whoever presses: the write may land late, and is the same
        // deployment then. A restarted bot no longer tries to save the first press: its write would hold up every read.
        room.restart_bot().await?;
        room.redis::<()>(&["DEL", "deploy-bot/in-flight"]).await?;
        let mut store = room.store.connect().await?;
        let pause = redis::cmd("CLIENT").arg(&["PAUSE", "60000", "WRITE"]).to_owned();
        pause.query_async::<()>(&mut store).await?;
        room.press(BOB, &wanted, "approve").await;
        whispers(room, BOB, words).await?;
        ensure!(room.commits() == before);
        redis::cmd("CLIENT").arg("UNPAUSE").query_async::<()>(&mut store).await?;
        room.says("is live").await?;
        room.all_told().await?;
        ensure!(room.commits() == before + 1, "one commit");
        Ok(())
    });
}

#[test]
fn a_press_without_a_workspace_counts_by_the_persons_workspace() {
    room(async |room| -> Result<()> {
        hurry(room);
        room.slack.lock().for_organisation = true;
        refuse_sync(room);
        room.alice("checkout 42").await;
        let failed = says(room, "Argo CD refused the sync").await?;
        room.all_told().await?;
        room.press(MALLORY, &failed, "retry").await;
        whispers(room, MALLORY, "I work for another Slack workspace").await?;
        room.press(BOB, &failed, "retry").await;
        room.says("is live").await?;
        room.all_told().await?;
        ensure!(room.messages().len() == 2, "{:#?}", room.messages());
        Ok(())
    });
}

#[test]
fn a_press_without_a_workspace_is_refused_if_the_bot_knows_none() {
    let variables = [("slack_team_id".to_owned(), String::new())].into();
    room_with(Options { limits: Some(limits()), variables, ..Options::default() }, async |room| -> Result<()> {
        asks(room, ALICE, "preview checkout 42", "nothing is changed").await?;
        room.slack.lock().for_organisation = true;
        let preview = whispers(room, ALICE, "nothing is changed").await?;
        let before = room.commits();
        room.press(ALICE, &preview, "deploy").await;
        let told = whispers(room, ALICE, "`slack_team_id`").await?;
        ensure!(room.slack.lock().render(&told).contains("Nothing was changed"), "{told:?}");
        ensure!(room.commits() == before && room.messages().is_empty());
        Ok(())
    });
}
