//! *Wait for it*: what refused a deploy passes by itself, and then it goes on as another one, for the same commit, with rights
//! asked again and no override.

use crate::conversation::{asks, catalog, hurry, whispers};
use anyhow::{Context, Result, ensure};
use e2e::{PATIENCE, Room, limits, room, room_with};
use fakes::github::Checks;
use fakes::slack::Message;
use sandbox::world::{ALICE, BOB, CAROL, DEPLOYS};
use sandbox::{Options, Sandbox};
use serde_json::json;

const REPO: &str = "acme/checkout";

/// Somebody pushes to a branch, and CI has built nothing yet; the commit.
pub(crate) fn pushes(room: &Room, branch: &str, text: &str) -> String {
    room.github.lock().person_pushes(REPO, branch, "bob", &[("work.txt", text)], &format!("Write {text}"))
}

pub(crate) fn built(room: &Room, branch: &str, commit: &str) -> String {
    let tag = format!("{branch}-{}", &commit[..7]);
    room.registry.lock().push(REPO, &tag);
    tag
}

/// A message that says this, sooner or later: the probe looks at what waits.
async fn tells(room: &Room, words: &str) -> Result<Message> {
    let look = |room: &Sandbox| {
        let slack = room.slack.lock();
        let mut all = slack.messages(DEPLOYS).iter().chain(slack.all_ephemerals());
        all.find(|message| slack.render(message).contains(words)).cloned()
    };
    room.probe(&format!("message that says {words:?}"), look).await
}

/// What is told, as people read it.
async fn reads(room: &Room, words: &str) -> Result<String> {
    let message = tells(room, words).await?;
    Ok(room.slack.lock().render(&message))
}

/// The probe looks some times, and finds nothing to do.
async fn probes(room: &Room) {
    for _ in 0..6 {
        room.get("/healthz").await;
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
}

/// Alice types a deploy that is refused, and presses *Wait for it*; the message of the wait.
async fn waits(room: &Room, typed: &str, words: &str) -> Result<Message> {
    room.nobody_spoke().await?;
    let answer = room.command(ALICE, DEPLOYS, typed).await;
    ensure!(answer.is_accepted(), "{answer:?}");
    let refused = whispers(room, ALICE, words).await?;
    ensure!(refused.buttons().contains(&"wait"), "{:?}", refused.buttons());
    let before = room.messages().len();
    room.press(ALICE, &refused, "wait").await;
    let look = |room: &Sandbox| {
        let slack = room.slack.lock();
        let all = slack.messages(DEPLOYS);
        let last = all.iter().skip(before).find(|message| slack.render(message).contains("waiting: "))?;
        slack.render(last).contains("I deploy it when that has passed").then(|| last.clone())
    };
    room.until("wait", PATIENCE, look).await
}

#[test]
fn what_is_not_built_is_deployed_when_it_is() {
    room(async |room| -> Result<()> {
        hurry(room);
        let commit = pushes(room, "main", "1");
        let before = room.commits();
        let message = waits(room, "checkout main", "there is no image").await?;
        ensure!(message.buttons() == ["cancel"], "{:?}", message.buttons());
        let why = asks(room, BOB, "why checkout", "waits until").await?;
        ensure!(why.contains("there is no image") && why.contains("alice"), "{why}");
        ensure!(room.commits() == before, "it holds nothing");
        let tag = built(room, "main", &commit);
        let live = reads(room, &format!("is live: `{tag}`")).await?;
        ensure!(live.contains("checkout"), "{live}");
        room.all_told().await?;
        // The same message, and nothing beside it.
        ensure!(room.messages().len() == 1 && room.commits() == before + 1, "{:#?}", room.messages());
        Ok(())
    });
}

#[test]
fn checks_and_locks_are_waited_for() {
    room(async |room| -> Result<()> {
        hurry(room);
        catalog(room, "", "    checks: required\n");
        let commit = pushes(room, "main", "1");
        let tag = built(room, "main", &commit);
        room.github.lock().checks(REPO, &commit, Some(Checks::Pending));
        waits(room, "checkout main", "they are still running").await?;
        room.github.lock().checks(REPO, &commit, Some(Checks::Success));
        tells(room, &format!("is live: `{tag}`")).await?;
        room.all_told().await?;

        let commit = pushes(room, "main", "2");
        let tag = built(room, "main", &commit);
        room.github.lock().checks(REPO, &commit, Some(Checks::Success));
        room.command(BOB, DEPLOYS, "lock checkout load test").await;
        room.says("locked *checkout*").await?;
        waits(room, "checkout main", "checkout is locked by @bob").await?;
        room.command(BOB, DEPLOYS, "unlock checkout").await;
        tells(room, &format!("is live: `{tag}`")).await?;
        room.all_told().await
    });
}

/// It was one commit that was refused, and nobody asked for another one.
#[test]
fn a_newer_commit_ends_the_wait_with_words() {
    room(async |room| -> Result<()> {
        hurry(room);
        let (before, old) = (room.commits(), pushes(room, "main", "1"));
        waits(room, "checkout main", "there is no image").await?;
        let new = pushes(room, "main", "2");
        built(room, "main", &old);
        built(room, "main", &new);
        let over = reads(room, &new[..7]).await?;
        ensure!(over.contains("not deployed") && over.contains(&old[..7]), "{over}");
        room.all_told().await?;
        ensure!(room.commits() == before, "{}", room.commits());
        Ok(())
    });
}

#[test]
fn who_may_cancel_ends_a_wait_and_five_are_enough() {
    room(async |room| -> Result<()> {
        hurry(room);
        catalog(room, "sets: { one: [checkout] }\n", "");
        let mut messages = Vec::new();
        for n in 0..5 {
            pushes(room, &format!("topic-{n}"), "1");
            // By another name it is the same target.
            let name = if n < 3 { "checkout" } else { "one" };
            messages.push(waits(room, &format!("{name} topic-{n}"), &format!("no image `topic-{n}-")).await?);
            room.all_told().await?;
        }
        pushes(room, "topic-5", "1");
        room.nobody_spoke().await?;
        room.command(ALICE, DEPLOYS, "checkout topic-5").await;
        let words = format!("there is no image `topic-5-{}`", &room.tag("checkout", "topic-5")[8..]);
        let refused = whispers(room, ALICE, &words).await?;
        room.press(ALICE, &refused, "wait").await;
        whispers(room, ALICE, "you wait for 5 deploys of checkout already").await?;
        room.all_told().await?;
        let before = room.commits();
        for (n, message) in messages.iter().enumerate() {
            room.press(CAROL, message, "cancel").await;
            let look = |room: &Sandbox| {
                let slack = room.slack.lock();
                let ended = slack.messages(DEPLOYS).iter().map(|message| slack.render(message));
                (ended.filter(|text| text.contains("@carol ended the wait")).count() > n).then_some(())
            };
            room.until("end of a wait", PATIENCE, look).await?;
            let commit = room.github.lock().head(REPO, &format!("topic-{n}")).context("a head")?;
            built(room, &format!("topic-{n}"), &commit);
        }
        probes(room).await;
        room.all_told().await?;
        ensure!(room.commits() == before, "{}", room.commits());
        Ok(())
    });
}

#[test]
fn a_wait_is_given_up_after_its_time() {
    let mut short = limits();
    short["wait"] = json!(1_500);
    room_with(Options { limits: Some(short), ..Options::default() }, async |room| -> Result<()> {
        hurry(room);
        let commit = pushes(room, "main", "1");
        let before = room.commits();
        waits(room, "checkout main", "there is no image").await?;
        let over = tells(room, "not deployed: I waited long enough").await?;
        ensure!(over.buttons() == ["retry"], "{:?}", over.buttons());
        built(room, "main", &commit);
        room.all_told().await?;
        ensure!(room.commits() == before, "{}", room.commits());
        Ok(())
    });
}

/// Attack: may deploy one app | waits while the catalog takes the right away | rights are asked again when it goes on
#[test]
fn who_may_not_deploy_any_more_does_not_go_on() {
    room(async |room| -> Result<()> {
        hurry(room);
        let commit = pushes(room, "main", "1");
        waits(room, "checkout main", "there is no image").await?;
        let text =
            String::from_utf8(room.file("deploy-bot.yaml"))?.replace("allow: anyone", "allow: { users: [U0BOB] }");
        ensure!(text.contains("U0BOB"), "{text}");
        let files = [("deploy-bot.yaml", text.as_str())];
        room.github.lock().person_pushes(sandbox::world::GITOPS, "main", "carol", &files, "Only Bob");
        let before = room.commits();
        built(room, "main", &commit);
        tells(room, "you aren't allowed to deploy checkout").await?;
        room.all_told().await?;
        ensure!(room.commits() == before, "{}", room.commits());
        Ok(())
    });
}

/// Attack: may write the store | makes a refused deploy wait, so that it goes on | the fact is not ours
#[test]
fn a_wait_that_somebody_wrote_into_the_store_deploys_nothing() {
    room(async |room| -> Result<()> {
        hurry(room);
        let commit = pushes(room, "main", "1");
        room.alice("checkout main").await;
        whispers(room, ALICE, "there is no image").await?;
        room.all_told().await?;
        let ended = room.keys().await?.into_iter().find(|key| key.ends_with("/end")).context("an end")?;
        let id = ended.split('/').nth(2).context("an id")?.to_owned();
        let until = sandbox::now() + 3_600_000;
        let wait = json!({ "version": 1, "until": until, "head": commit });
        room.forges(&format!("deploy-bot/deployment/{id}/wait"), &wait).await?;
        room.forges("deploy-bot/waits", &json!({ "version": 1, "ids": [id] })).await?;
        let before = room.commits();
        built(room, "main", &commit);
        probes(room).await;
        ensure!(room.commits() == before, "{}", room.commits());
        let mut store = redis::Client::open(room.store.url())?.get_multiplexed_async_connection().await?;
        for key in [&format!("deploy-bot/deployment/{id}/wait"), "deploy-bot/waits"] {
            redis::cmd("DEL").arg(key).query_async::<()>(&mut store).await?;
        }
        Ok(())
    });
}
