//! `notify`: an edit notifies nobody, so the asker is called to a deploy that took more than a minute; each as they like.

use crate::conversation::{asks, hurry};
use anyhow::{Result, ensure};
use e2e::{PATIENCE, Room, room};
use fakes::argocd::{End, Script};
use sandbox::world::{ALICE, BOB, DEPLOYS};
use sandbox::{Sandbox, now};
use serde_json::json;

/// Typed more than a minute ago, by Slack's own time; live now.
async fn takes_a_minute(room: &Room, user: &str, typed: &str, ends: &str) -> Result<()> {
    let outgoing = room.slack.lock().command(now() - 70_000, user, DEPLOYS, typed);
    ensure!(room.send(&outgoing).await.is_accepted());
    room.says(ends).await?;
    room.all_told().await
}

/// The calls to this person below the messages. The message itself names its asker, too.
fn called(room: &Sandbox, user: &str) -> Vec<String> {
    let slack = room.slack.lock();
    let texts = slack.mentions(user).into_iter().map(|message| slack.render_edit(message.now()));
    texts.filter(|text| text.ends_with(": see above.")).collect()
}

/// The call follows the last word in the message.
async fn is_called(room: &Room, user: &str, times: usize) -> Result<()> {
    let look = |room: &Sandbox| (called(room, user).len() >= times).then_some(());
    room.until(&format!("call {times} of {user}"), PATIENCE, look).await?;
    ensure!(called(room, user).len() == times, "{:#?}", called(room, user));
    Ok(())
}

/// What stands in the conversation of the bot with this person.
fn direct(room: &Sandbox, user: &str) -> Vec<String> {
    let slack = room.slack.lock();
    slack.messages(&user.replacen('U', "D", 1)).iter().map(|message| slack.render_edit(message.now())).collect()
}

#[test]
fn each_person_is_told_as_they_like() {
    room(async |room| -> Result<()> {
        hurry(room);
        takes_a_minute(room, ALICE, "checkout 42", "*checkout #42*  is live").await?;
        is_called(room, ALICE, 1).await?;
        ensure!(called(room, ALICE) == ["@alice checkout #42 is live: see above."], "{:#?}", called(room, ALICE));

        asks(room, ALICE, "notify dm", "send you a direct message").await?;
        takes_a_minute(room, ALICE, "checkout main", "*checkout main*  is live").await?;
        let dm = |room: &Sandbox| direct(room, ALICE).pop();
        let told = room.until("direct message", PATIENCE, dm).await?;
        ensure!(told.contains("*checkout main* is live. See it."), "{told}");
        ensure!(called(room, ALICE).len() == 1, "{:#?}", called(room, ALICE));

        // Bob has not said how.
        takes_a_minute(room, BOB, "payments 7", "*payments #7*  is live").await?;
        is_called(room, BOB, 1).await?;
        ensure!(direct(room, BOB).is_empty(), "{:#?}", direct(room, BOB));

        asks(room, ALICE, "notify off", "I don't call you").await?;
        takes_a_minute(room, ALICE, "rollback checkout", "*checkout rollback").await?;
        room.says("is locked now").await?;
        room.all_told().await?;
        ensure!(called(room, ALICE).len() == 1 && direct(room, ALICE).len() == 1, "{:#?}", called(room, ALICE));
        // A failure is told all the same.
        room.script("payments", Script { end: End::Failed("no".to_owned(), "no".to_owned()), ..e2e::quick() });
        takes_a_minute(room, ALICE, "payments main", "the rollout failed").await?;
        is_called(room, ALICE, 2).await
    });
}

/// Attack: may write the store | says for somebody else that nobody need tell them | what no secret sealed is no choice
#[test]
fn a_forged_choice_silences_nobody() {
    room(async |room| -> Result<()> {
        hurry(room);
        let forged = json!({ "version": 1, "by": "off", "mac": "0".repeat(64) });
        room.forges(&format!("deploy-bot/person/{ALICE}/notify"), &forged).await?;
        takes_a_minute(room, ALICE, "checkout 42", "*checkout #42*  is live").await?;
        is_called(room, ALICE, 1).await
    });
}
