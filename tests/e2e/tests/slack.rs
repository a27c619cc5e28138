//! Slack does not take the bot's messages: Slack is down, or slow, or the message, the channel or the bot is
//! not there any more. The deploy goes on all the same, and the asker reads the end somewhere. If nobody can
//! be told, the log has an error.

use anyhow::{Context, Result};
use e2e::{PATIENCE, Room, quick, room};
use fakes::argocd::Script;
use fakes::slack::{Bot, Kind};
use fakes::{Fault, Response};
use sandbox::hold::Moment;
use sandbox::journal::Outcome;
use sandbox::world::{self, ALICE, DEPLOYS};
use sandbox::{Sandbox, now};
use serde_json::{Value, json};
use std::time::Duration;

fn status(status: u16) -> Fault {
    Fault::Instead(Response::json(status, &json!({ "message": "the words of the system" })))
}

/// Slack's way to say no.
fn refuses(error: &str) -> Fault {
    Fault::Instead(Response::json(200, &json!({ "ok": false, "error": error })))
}

fn limited(seconds: u64) -> Fault {
    let answer = Response::json(429, &json!({ "ok": false, "error": "ratelimited" }));
    Fault::Instead(answer.with("retry-after", &seconds.to_string()))
}

/// What only Alice saw, newest last.
fn whispers(room: &Sandbox) -> Vec<String> {
    let slack = room.slack.lock();
    slack.ephemerals(ALICE).into_iter().map(|message| slack.render(message)).collect()
}

/// Waits until only Alice reads this.
async fn whispered(room: &Room, words: &str) -> Result<()> {
    let look = |room: &Sandbox| whispers(room).iter().any(|text| text.contains(words)).then_some(());
    room.until(&format!("whisper that says {words:?}"), PATIENCE, look).await
}

/// The commits of the bot after a deploy of checkout: one, and the cluster runs it.
fn one_commit(room: &Room, before: usize) {
    assert_eq!(room.commits(), before + 1, "one commit only");
    assert_eq!(room.argocd.lock().live_tag("checkout"), Some(room.tag("checkout", "feature/totals").as_str()));
    assert_eq!(room.argocd.lock().syncs().len(), 1, "one sync only");
}

/// How many faults were played so far.
fn played(room: &Room) -> usize {
    let entries = room.journal.entries();
    entries.iter().filter(|entry| matches!(entry.outcome, Outcome::Fault(_))).count()
}

/// A person deletes the bot's message number `n`, once it is there.
async fn deletes(room: &Room, n: usize) -> Result<()> {
    let there = |room: &Sandbox| room.slack.lock().messages(DEPLOYS).get(n).map(|message| message.ts.clone());
    let ts = room.until(&format!("message {n}"), PATIENCE, there).await?;
    room.slack.lock().delete_message(now(), DEPLOYS, &ts);
    Ok(())
}

/// Which of the bot's messages are deleted.
fn deleted(room: &Sandbox) -> Vec<bool> {
    room.slack.lock().messages(DEPLOYS).iter().map(|message| message.deleted.is_some()).collect()
}

/// Waits until message number `n` says this.
async fn says_in(room: &Room, n: usize, words: &str) -> Result<()> {
    let look = |_: &Sandbox| room.messages().get(n).is_some_and(|text| text.contains(words)).then_some(());
    room.until(&format!("message {n} that says {words:?}"), PATIENCE, look)
        .await
        .with_context(|| format!("{:#?}", room.messages()))
}

/// Waits until the log says, as an error, that nobody could be told.
async fn nobody_told(room: &Room, times: usize) -> Result<()> {
    let is_that = |line: &&str| {
        let line: Value =
            line.split_once(' ').and_then(|(_, json)| serde_json::from_str(json).ok()).unwrap_or_default();
        line["event"] == "nobody_told" && line["level"] == "error" && line["deployment"].is_string()
    };
    let look = |room: &Sandbox| (room.log().lines().filter(is_that).count() == times).then_some(());
    room.until("error that nobody was told", PATIENCE, look).await
}

/// The catalog names Alice, so Slack need not say that she is no guest.
fn alice_by_id(room: &Room) {
    let catalog = String::from_utf8_lossy(&room.file("deploy-bot.yaml")).replace("anyone", "{ users: [U0ALICE] }");
    let files = [("deploy-bot.yaml", catalog.as_str())];
    room.github.lock().person_pushes(world::GITOPS, "main", "carol", &files, "Name Alice");
}

#[test]
fn slack_is_down_and_the_message_comes_when_it_is_back() {
    room(async |room| {
        alice_by_id(room);
        let before = room.commits();
        room.slack.down().await;
        room.alice("checkout 42").await;
        // The work does not wait for the message.
        room.until("sync", PATIENCE, |room| (!room.argocd.lock().syncs().is_empty()).then_some(())).await?;
        assert_eq!(room.messages().len(), 0);
        room.slack.up().await?;
        room.says("is live").await?;
        assert_eq!(room.messages().len(), 1);
        one_commit(room, before);
        Ok(())
    });
}

#[test]
fn slack_fails_a_few_times_and_one_message_tells_it_all() {
    room(async |room| {
        let before = room.commits();
        room.slack.fault("slack.post", status(500), 1);
        room.slack.fault("slack.update", limited(1), 1);
        room.slack.fault("slack.update", status(503), 1);
        room.slack.fault("slack.update", Fault::DropAfter, 1);
        room.alice("checkout 42").await;
        room.says("is live").await?;
        assert_eq!(played(room), 4, "{}", room.journal);
        assert_eq!(room.messages().len(), 1);
        one_commit(room, before);
        Ok(())
    });
}

/// The bot cannot write to the channel, so the asker alone reads the progress, to the end.
#[test]
fn where_the_bot_cannot_post_the_asker_is_told() {
    let not_invited = |room: &Room| {
        let mut slack = room.slack.lock();
        slack.scopes.remove("chat:write.public");
        slack.channel(DEPLOYS).bot = Bot::Outside;
    };
    let private = |room: &Room| {
        let mut slack = room.slack.lock();
        slack.channel(DEPLOYS).kind = Kind::Private;
        slack.channel(DEPLOYS).bot = Bot::Outside;
    };
    let archived = |room: &Room| room.slack.lock().channel(DEPLOYS).archived = true;
    let revoked = |room: &Room| room.slack.lock().revoke_token();
    type Arrange = fn(&Room);
    let cases: [(&str, Arrange); 4] = [
        ("not_in_channel", not_invited),
        ("channel_not_found", private),
        ("is_archived", archived),
        ("token_revoked", revoked),
    ];
    for (name, arrange) in cases {
        room(async |room| {
            alice_by_id(room);
            let before = room.commits();
            arrange(room);
            room.alice("checkout 42").await;
            whispered(room, "is live").await.context(name)?;
            assert_eq!(room.messages().len(), 0, "{name}");
            one_commit(room, before);
            // A refusal reaches Alice, too.
            room.alice("checkout 999").await;
            whispered(room, "no pull request").await.context(name)
        });
    }
}

#[test]
fn a_message_that_somebody_deleted_is_written_anew() {
    room(async |room| {
        room.argocd.lock().app("checkout").script.ends = 2000;
        room.alice("checkout 42").await;
        room.says("rolling out").await?;
        deletes(room, 0).await?;
        room.says("is live").await?;
        assert_eq!(deleted(room), [true, false]);
        Ok(())
    });
}

/// While the bot still looks for the image, and while it finds a reason to say no.
#[test]
fn a_message_that_somebody_deletes_before_the_commit_is_written_anew() {
    room(async |room| {
        let before = room.commits();
        room.script("checkout", quick());
        let held = room.github.hold(Moment::After, "github.commit", 1);
        room.alice("checkout 42").await;
        deletes(room, 0).await?;
        held.release();
        says_in(room, 1, "is live").await?;
        one_commit(room, before);
        assert_eq!(deleted(room), [true, false]);
        Ok(())
    });
}

#[test]
fn a_message_that_somebody_deletes_after_the_end_stays_deleted() {
    room(async |room| {
        room.script("checkout", quick());
        room.script("payments", quick());
        room.goes_live("checkout 42").await?;
        room.nothing_left().await?;
        deletes(room, 0).await?;
        room.goes_live("payments 7").await?;
        assert_eq!(deleted(room), [true, false]);
        Ok(())
    });
}

/// In the middle of the sync the message can be edited no more, and no other can be written: the asker alone reads the end.
#[test]
fn when_the_channel_is_lost_during_the_sync_the_asker_is_told() {
    type Happens = fn(&Room);
    let archived = |room: &Room| room.slack.lock().channel(DEPLOYS).archived = true;
    let thrown_out = |room: &Room| {
        let mut slack = room.slack.lock();
        (slack.channel(DEPLOYS).kind, slack.channel(DEPLOYS).bot) = (Kind::Private, Bot::Outside);
    };
    let not_in_channel = |room: &Room| {
        room.slack.fault("slack.update", refuses("not_in_channel"), 1000);
        room.slack.fault("slack.post", refuses("not_in_channel"), 1000);
    };
    let revoked = |room: &Room| room.slack.lock().revoke_token();
    let cases: [(&str, Happens); 4] = [
        ("is_archived", archived),
        ("channel_not_found", thrown_out),
        ("not_in_channel", not_in_channel),
        ("token_revoked", revoked),
    ];
    room(async |room| {
        room.slack.lock().limits = None;
        for (n, (why, happens)) in cases.into_iter().enumerate() {
            room.script("checkout", Script { ends: 1200, ..quick() });
            let (what, branch) = if n % 2 == 0 { ("42", "feature/totals") } else { ("main", "main") };
            room.alice(&format!("checkout {what}")).await;
            says_in(room, n, "rolling out").await?;
            happens(room);
            whispered(room, &format!("is live: `{}`", room.tag("checkout", branch))).await.context(why)?;
            assert_eq!(room.messages().len(), n + 1, "{why}: no other message");
            assert_eq!(room.argocd.lock().syncs().len(), n + 1, "{why}");
            room.nothing_left().await?;
            // The next deploy begins in a channel that works.
            room.slack.mend();
            let mut slack = room.slack.lock();
            let channel = slack.channel(DEPLOYS);
            (channel.archived, channel.kind, channel.bot) = (false, Kind::Public, Bot::Member);
        }
        Ok(())
    });
}

/// Messages may not be edited in this workspace. There are at most three, so that the channel is not filled:
/// the first, one with the progress, and the end.
#[test]
fn where_no_message_can_be_edited_the_end_is_a_message_of_its_own() {
    room(async |room| {
        let before = room.commits();
        room.slack.lock().limits = None;
        room.slack.lock().edit_window = Some(0);
        room.script("checkout", Script { reconciles: 1000, ..Script::with_waves("checkout") });
        room.alice("checkout 42").await;
        room.says("is live").await?;
        let messages = room.messages();
        assert!(messages.len() <= 3, "{messages:#?}");
        assert!(messages.last().is_some_and(|last| last.contains("is live")), "{messages:#?}");
        one_commit(room, before);

        Ok(())
    });
}

/// Slack limits every call from the first on. Nothing waits for that, and Slack is not asked again before it
/// allows it.
#[test]
fn slacks_limits_are_obeyed_and_the_deploy_does_not_wait() {
    const SECONDS: u64 = 3;
    room(async |room| {
        alice_by_id(room);
        let before = room.commits();
        room.script("checkout", quick());
        room.slack.fault("slack.*", limited(SECONDS), 1000);
        room.alice("checkout 42").await;
        let tag = room.tag("checkout", "feature/totals");
        let runs = |room: &Sandbox| (room.argocd.lock().live_tag("checkout") == Some(tag.as_str())).then_some(());
        room.until("new version in the cluster", PATIENCE, runs).await?;
        let ended = |room: &Sandbox| room.log().contains("last_word").then_some(());
        room.until("end, untold", PATIENCE, ended).await?;
        assert_eq!(room.messages().len(), 0);
        let asked = |room: &Sandbox| {
            let entries = room.journal.entries();
            let times: Vec<_> = entries.iter().filter(|entry| entry.system == "slack").map(|entry| entry.at).collect();
            (times.len() >= 2).then_some(times)
        };
        let times = room.until("second question to Slack", PATIENCE, asked).await?;
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= SECONDS * 1000), "{times:?}");
        room.slack.mend();
        says_in(room, 0, &format!("is live: `{tag}`")).await?;
        assert_eq!(room.messages().len(), 1);
        one_commit(room, before);

        // A refusal waits as well.
        room.slack.fault("slack.*", limited(1), 2);
        room.alice("checkout 999").await;
        whispered(room, "no pull request").await
    });
}

/// The message may be there all the same. So each role that speaks tries once more, and then no more: the
/// channel is not filled with messages that nobody edits. Their words stay true.
#[test]
fn a_first_message_without_an_answer_is_posted_again_and_gets_the_end() {
    room(async |room| {
        let before = room.commits();
        room.script("checkout", quick());
        room.slack.fault("slack.post", Fault::DropAfter, 1);
        room.alice("checkout 42").await;
        room.says("is live").await?;
        let messages = room.messages();
        assert_eq!(messages.len(), 2, "{messages:#?}");
        assert!(messages[0].contains("starting."), "{messages:#?}");
        one_commit(room, before);

        room.slack.fault("slack.post", Fault::DropAfter, 1000);
        room.slack.lock().limits = None;
        room.alice("checkout main").await;
        whispered(room, "is live").await?;
        let messages = room.messages();
        assert!(messages.len() <= 2 + 4, "two of each speaker: {messages:#?}");
        assert!(
            messages[2..].iter().all(|text| !text.contains("not deployed") && !text.contains(":x:")),
            "{messages:#?}"
        );
        Ok(())
    });
}

/// The post of the first message hangs, and nobody knows whether the message is there. The commit and the
/// sync do not wait, and the end is posted.
#[test]
fn a_first_message_that_hangs_holds_nothing_up() {
    room(async |room| {
        let before = room.commits();
        room.script("checkout", quick());
        room.slack.fault("slack.post", Fault::HangBefore(Duration::from_secs(20)), 1);
        room.alice("checkout 42").await;
        let ended = |room: &Sandbox| room.log().contains("last_word").then_some(());
        room.until("end, untold", PATIENCE, ended).await?;
        assert_eq!(room.messages().len(), 0);
        one_commit(room, before);
        room.says("is live").await?;
        assert_eq!(room.messages().len(), 1);
        Ok(())
    });
}

/// The bot has no channel and no `response_url`, because the latter is used up or its half hour is over:
/// nobody can be told, and the log says so.
#[test]
fn where_nobody_can_be_told_the_deploy_goes_on_and_the_log_says_so() {
    for error in ["expired_url", "used_url"] {
        room(async |room| {
            let before = room.commits();
            room.script("checkout", quick());
            room.slack.lock().channel(DEPLOYS).archived = true;
            let gone = Response::json(404, &json!({ "ok": false, "error": error }));
            room.slack.fault("slack.response_url", Fault::Instead(gone), 1000);
            room.alice("checkout 42").await;
            nobody_told(room, 1).await.context(error)?;
            one_commit(room, before);
            room.nothing_left().await?;
            room.alice("checkout 999").await;
            nobody_told(room, 2).await.context(error)?;
            assert_eq!(room.messages().len(), 0);
            Ok(())
        });
    }
}

/// The five uses of a `response_url` last for a long sync with many steps: the last one is kept for the end.
#[test]
fn where_only_the_asker_can_be_told_the_end_always_arrives() {
    room(async |room| {
        let before = room.commits();
        room.slack.lock().channel(DEPLOYS).archived = true;
        let steps = (0..8).map(|n| (300, format!("waiting for completion of hook batch/Job/step-{n}"))).collect();
        room.script("checkout", Script { steps, ..quick() });
        room.alice("checkout 42").await;
        whispered(room, "is live").await?;
        let whispers = whispers(room);
        // The answer to the command is the first of them, and costs no use.
        assert!(whispers.len() <= 1 + 5, "{whispers:#?}");
        assert!(whispers.last().is_some_and(|last| last.contains("is live")), "{whispers:#?}");
        one_commit(room, before);
        Ok(())
    });
}

#[test]
fn a_rate_limit_of_zero_seconds_is_still_waited_for() {
    room(async |room| -> Result<()> {
        room.script("checkout", quick());
        room.slack.fault("slack.update", limited(0), 1_000);
        let before = played(room);
        room.alice("checkout 42").await;
        room.until("limit", PATIENCE, |room| (room.argocd.lock().syncs().len() == 1).then_some(())).await?;
        tokio::time::sleep(Duration::from_secs(3)).await;
        let met = played(room) - before;
        assert!((1..=8).contains(&met), "Slack said {met} times that it was too much");
        room.slack.mend();
        room.says("is live").await?;
        room.all_told().await
    });
}
