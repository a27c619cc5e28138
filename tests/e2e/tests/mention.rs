//! `@deploy-bot checkout 42`: a mention is a command. Slack sends the same event again, and events that are none of ours: of
//! bots, of edits, of people elsewhere.
//!
//! Easy to miss: a mention has no `response_url`, and in a thread without replies Slack shows nobody what is for one person
//! alone.

use crate::conversation::{catalog, hurry, whispers};
use anyhow::{Context, Result, ensure};
use e2e::access::Accesses;
use e2e::{PATIENCE, Room, room};
use fakes::argocd::{End, Script};
use fakes::slack::{Bot, Forgery, Kind, Message};
use fakes::{Fault, Outgoing, Response};
use sandbox::world::{ALICE, BOB, DEPLOYS, MALLORY};
use sandbox::{Sandbox, now};
use serde_json::{Value, json};

const HOME: &str = "C0PRODUCTION";

fn calls(room: &Room, name: &str) -> usize {
    room.calls(0).iter().filter(|call| *call == name).count()
}

/// Somebody writes this to the bot in #deploys; Slack has its answer in a second.
async fn mentions(room: &Room, user: &str, thread: Option<&str>, text: &str) -> Result<()> {
    let answer = room.mention(user, DEPLOYS, thread, &format!("<@U0BOT> {text}")).await;
    ensure!(answer.is_accepted(), "{answer:?}");
    ensure!(answer.took.as_millis() < 1_000, "{answer:?}");
    Ok(())
}

/// The first message of the channel and the replies below it, as people read them.
fn thread(room: &Sandbox, parent: &str) -> Vec<String> {
    let slack = room.slack.lock();
    let parent = slack.messages(DEPLOYS).iter().find(|message| message.ts == parent);
    let replies = parent.into_iter().flat_map(|parent| &parent.thread);
    replies.map(|reply| slack.render_edit(reply.now())).collect()
}

/// Waits until a reply says this.
async fn replies(room: &Room, parent: &str, words: &str) -> Result<String> {
    let look = |room: &Sandbox| thread(room, parent).into_iter().find(|text| text.contains(words));
    room.until(&format!("reply that says {words:?}"), PATIENCE, look).await
}

fn newest(room: &Room) -> Result<Message> {
    room.slack.lock().messages(DEPLOYS).last().cloned().context("nobody wrote anything")
}

/// The message of the deployment in the thread.
fn reply(room: &Room, parent: &str, words: &str) -> Result<Message> {
    let slack = room.slack.lock();
    let parent = slack.messages(DEPLOYS).iter().find(|message| message.ts == parent).context("no thread")?;
    parent.thread.iter().find(|reply| slack.render(reply).contains(words)).cloned().context("no reply")
}

#[test]
fn a_mention_deploys_and_the_message_stands_below_it() {
    room(async |room| -> Result<()> {
        hurry(room);
        mentions(room, ALICE, None, "checkout 42").await?;
        let parent = newest(room)?;
        let text = replies(room, &parent.ts, "is live").await?;
        ensure!(text.contains("*checkout #42*") && text.contains("asked by @alice"), "{text}");
        room.all_told().await?;
        ensure!(room.slack.lock().messages(DEPLOYS).len() == 1, "{:#?}", room.messages());
        ensure!(thread(room, &parent.ts).len() == 1 && room.whispers().is_empty(), "{:#?}", room.reads());
        ensure!(calls(room, "slack.post") == 1 && room.commits() == 2, "{:?}", room.calls(0));
        Ok(())
    });
}

#[test]
fn in_a_thread_all_that_is_said_stays_in_the_thread() {
    room(async |room| -> Result<()> {
        hurry(room);
        let parent = room.slack.lock().say(now(), BOB, DEPLOYS, "Checkout is slow since noon");
        mentions(room, ALICE, Some(&parent), "chekout 42").await?;
        let refused = whispers(room, ALICE, "Did you mean").await?;
        ensure!(refused.thread_ts.as_deref() == Some(parent.as_str()), "{refused:?}");
        room.script(
            "checkout",
            Script { end: End::Failed("no such port".to_owned(), "denied".to_owned()), ..e2e::quick() },
        );
        mentions(room, ALICE, Some(&parent), "checkout 42").await?;
        replies(room, &parent, "the rollout failed").await?;
        // Calls the asker, below the same message: Slack takes no reply to a reply.
        replies(room, &parent, "@alice checkout #42 failed").await?;
        hurry(room);
        let failed = reply(room, &parent, "the rollout failed")?;
        room.press(ALICE, &failed, "retry").await;
        replies(room, &parent, "is live").await?;
        room.all_told().await?;
        ensure!(room.slack.lock().messages(DEPLOYS).len() == 1, "{:#?}", room.messages());
        Ok(())
    });
}

/// Slack sends an event up to three times more, and each is signed anew.
#[test]
fn a_mention_that_arrives_again_is_one_deployment_and_one_answer() {
    room(async |room| -> Result<()> {
        hurry(room);
        let again = async |room: &Room, text: &str| -> Result<()> {
            let outgoing = room.slack.lock().mention(now(), ALICE, DEPLOYS, None, text).context("no event")?;
            for times in 0..4 {
                let sent = match times {
                    0 => outgoing.clone(),
                    times => room.slack.lock().retry(now(), &outgoing, times),
                };
                let answer = room.send(&sent).await;
                ensure!(answer.is_accepted(), "{answer:?}");
            }
            Ok(())
        };
        again(room, "<@U0BOT> checkout 42").await?;
        let parent = newest(room)?;
        replies(room, &parent.ts, "is live").await?;
        again(room, "<@U0BOT> checkout 42").await?;
        let second = newest(room)?;
        replies(room, &second.ts, "is live").await?;
        room.all_told().await?;
        ensure!(thread(room, &parent.ts).len() == 1 && thread(room, &second.ts).len() == 1, "{:#?}", room.reads());
        ensure!(room.deployments().await?.len() == 2, "another message is another deployment");
        again(room, "<@U0BOT> status checkout").await?;
        again(room, "<@U0BOT> checkout main is broken").await?;
        whispers(room, ALICE, "one word too many").await?;
        whispers(room, ALICE, "*checkout*").await?;
        ensure!(room.whispers().len() == 2, "{:#?}", room.whispers());
        Ok(())
    });
}

#[test]
fn what_a_mention_asks_or_gets_wrong_is_answered_to_the_asker_alone() {
    room(async |room| -> Result<()> {
        hurry(room);
        for (typed, words) in [
            ("", "deploy a pull request"),
            ("help lock", "stop all deploys"),
            ("status", "*checkout*"),
            ("checkout 999", "no pull request #999"),
            ("checkout main is broken", "one word too many"),
            ("chekout main", "Did you mean `checkout`?"),
            ("thanks!", "`/deploy help`"),
        ] {
            mentions(room, ALICE, None, typed).await?;
            whispers(room, ALICE, words).await.with_context(|| typed.to_owned())?;
        }
        let answered = |room: &Sandbox| (room.slack.lock().ephemerals(ALICE).len() == 7).then_some(());
        room.until("seven answers", PATIENCE, answered).await?;
        room.all_told().await?;
        ensure!(calls(room, "slack.post") == 0 && calls(room, "slack.response_url") == 0, "{:?}", room.calls(0));
        ensure!(calls(room, "slack.whisper") == 7 && room.commits() == 1, "{:?}", room.calls(0));
        // What everybody should know, everybody in the thread reads.
        mentions(room, ALICE, None, "lock checkout load &amp; stress test, ask <@U0BOB> for 2h").await?;
        let locked = replies(room, &newest(room)?.ts, "locked *checkout*").await?;
        ensure!(locked.contains("load & stress test, ask @U0BOB"), "{locked}");
        Ok(())
    });
}

#[test]
fn links_and_names_in_a_mention_are_what_was_typed() {
    room(async |room| -> Result<()> {
        hurry(room);
        mentions(room, ALICE, None, "checkout <https://github.com/acme/checkout/pull/42>").await?;
        replies(room, &newest(room)?.ts, "is live").await?;
        mentions(room, ALICE, None, "checkout <https://github.com/acme/payments/pull/42|42>").await?;
        whispers(room, ALICE, "acme/payments").await?;
        Ok(())
    });
}

#[test]
fn with_a_home_the_message_stands_there_and_the_thread_gets_a_link() {
    room(async |room| -> Result<()> {
        hurry(room);
        room.slack.lock().add_channel(HOME, "production", Kind::Public, Bot::Member);
        catalog(room, "", &format!("    home: {HOME}\n"));
        mentions(room, ALICE, None, "checkout 42").await?;
        let parent = newest(room)?;
        replies(room, &parent.ts, "is in").await?;
        let at_home = |room: &Sandbox| {
            let slack = room.slack.lock();
            let message = slack.messages(HOME).first()?;
            Some((message.ts.clone(), slack.render(message))).filter(|(_, text)| text.contains("is live"))
        };
        let (ts, _) = room.until("message at home", PATIENCE, at_home).await?;
        room.all_told().await?;
        let led = reply(room, &parent.ts, "is in")?;
        let link = format!("/archives/{HOME}/p{}", ts.replace('.', ""));
        ensure!(format!("{:?}", led.now().blocks).contains(&link), "{:?}", led.now().blocks);
        ensure!(thread(room, &parent.ts).len() == 1 && room.whispers().is_empty(), "{:#?}", room.reads());
        Ok(())
    });
}

/// Somebody deletes the message, or Slack takes no reply to it.
#[test]
fn without_the_thread_the_message_stands_in_the_channel() {
    room(async |room| -> Result<()> {
        hurry(room);
        let gone = Fault::Instead(Response::json(200, &json!({"ok": false, "error": "thread_not_found"})));
        room.slack.fault("slack.post", gone, 1);
        mentions(room, ALICE, None, "checkout 42").await?;
        room.says("is live").await?;
        room.all_told().await
    });
}

#[test]
fn the_question_for_the_address_is_answered_after_its_signature() {
    room(async |room| -> Result<()> {
        let word = "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P";
        let payload = json!({"token": "Jhj5dZrVaK7ZwHHjRyZWjbDl", "challenge": word, "type": "url_verification"});
        let asked = room.slack.lock().events_request(now(), &payload);
        let answer = room.bot.send(&asked).await;
        ensure!((answer.status, answer.body.as_str()) == (Some(200), word), "{answer:?}");
        let forged = room.slack.lock().forge(&asked, Forgery::WrongSecret);
        let answer = room.bot.send(&forged).await;
        ensure!(answer.status == Some(401) && !answer.body.contains(word), "{answer:?}");
        Ok(())
    });
}

/// The event is answered, and nothing is stored, said or asked for it.
async fn ignored(room: &Room, event: &Outgoing) -> Result<()> {
    let (mark, mut accesses) = (room.journal.mark("ignored"), Accesses::since_now(room).await?);
    let answer = room.send(event).await;
    ensure!(answer.is_accepted(), "{answer:?}");
    accesses.none().await?;
    ensure!(room.calls(mark).is_empty(), "{:?}", room.calls(mark));
    Ok(())
}

/// An event with another value at this place, signed by Slack.
fn changed(room: &Room, pointer: &str, value: Value) -> Result<Outgoing> {
    let mut slack = room.slack.lock();
    let genuine = slack.mention(now(), ALICE, DEPLOYS, None, "<@U0BOT> checkout 42").context("no event")?;
    let mut payload: Value = serde_json::from_slice(&genuine.body)?;
    let (place, name) = pointer.rsplit_once('/').context("a pointer")?;
    payload.pointer_mut(place).context("no such place")?[name] = value;
    Ok(slack.events_request(now(), &payload))
}

/// Attack: an outsider | sends a mention that Slack did not sign, or signed long ago | refused before it is read
#[test]
fn a_forged_mention_is_refused_and_costs_nothing() {
    room(async |room| -> Result<()> {
        let genuine = room.slack.lock().mention(now(), ALICE, DEPLOYS, None, "<@U0BOT> checkout 42");
        let genuine = genuine.context("no event")?;
        let mut accesses = Accesses::since_now(room).await?;
        for forgery in [Forgery::StaleBy(301), Forgery::WrongSecret, Forgery::OtherBody, Forgery::Unsigned] {
            let forged = room.slack.lock().forge(&genuine, forgery);
            let answer = room.bot.send(&forged).await;
            ensure!(answer.status == Some(401), "{forgery:?}: {answer:?}");
        }
        // A command is no event: the one address does not understand what was signed for the other one.
        let command = room.slack.lock().command(now(), ALICE, DEPLOYS, "checkout 42");
        let answer = room.bot.send(&Outgoing { path: "/slack/events".to_owned(), ..command }).await;
        ensure!(answer.status == Some(415), "{answer:?}");
        accesses.none().await?;
        ensure!(room.commits() == 1 && room.messages().len() == 1, "{:#?}", room.messages());
        Ok(())
    });
}

/// Attack: a member | mentions the bot with a deploy | only what a person has just written counts
#[test]
fn what_a_bot_wrote_or_somebody_edited_deploys_nothing() {
    room(async |room| -> Result<()> {
        for (pointer, value) in [
            ("/event/bot_id", json!("B0OTHER")),
            ("/event/bot_profile", json!({"id": "B0OTHER"})),
            ("/event/user", Value::Null),
            ("/event/edited", json!({"user": ALICE, "ts": "1515449530.000000"})),
            ("/event/subtype", json!("bot_message")),
            ("/event/type", json!("message")),
            ("/type", json!("app_rate_limited")),
            // Long ago: Slack may have kept it for hours.
            ("/event/ts", json!("1515449522.000016")),
        ] {
            let event = changed(room, pointer, value)?;
            ignored(room, &event).await.with_context(|| pointer.to_owned())?;
        }
        ensure!(room.commits() == 1 && room.whispers().is_empty(), "{:#?}", room.reads());
        Ok(())
    });
}

/// Attack: an outsider | mentions the bot | ignored, and nothing is stored
#[test]
fn a_mention_by_another_workspace_is_ignored() {
    room(async |room| -> Result<()> {
        let event = room.slack.lock().mention(now(), MALLORY, DEPLOYS, None, "<@U0BOT> checkout 42");
        ignored(room, &event.context("no event")?).await?;
        for place in ["/event/team", "/event/user_team", "/event/source_team"] {
            ignored(room, &changed(room, place, json!("T0OTHER"))?).await.with_context(|| place.to_owned())?;
        }
        ensure!(room.commits() == 1 && room.whispers().is_empty(), "{:#?}", room.reads());
        Ok(())
    });
}

/// Attack: a member | hides a deploy behind other words or another name | only a whole sentence to the bot is a command
#[test]
fn a_deploy_behind_other_words_deploys_nothing() {
    room(async |room| -> Result<()> {
        hurry(room);
        for text in [
            "please <@U0BOT> checkout 42",
            "<@U0BOB> <@U0BOT> checkout 42",
            "<@U0BOB> checkout 42 <@U0BOT>",
            "&lt;@U0BOT&gt; checkout 42",
        ] {
            let event = room.slack.lock().mention(now(), ALICE, DEPLOYS, None, text);
            ignored(room, &event.context("no event")?).await.with_context(|| text.to_owned())?;
        }
        for text in ["checkout 42 is what broke it", "look: checkout 42", "checkout 42\nchekout 7", "don't checkout 42"]
        {
            mentions(room, ALICE, None, text).await?;
        }
        let answered = |room: &Sandbox| (room.slack.lock().ephemerals(ALICE).len() == 4).then_some(());
        room.until("four answers", PATIENCE, answered).await?;
        room.all_told().await?;
        ensure!(room.commits() == 1 && room.deployments().await?.is_empty(), "{:#?}", room.reads());
        Ok(())
    });
}

/// Attack: a member | mentions the bot instead of the typed command | the same gates, and only the asker reads the refusal
#[test]
fn a_mention_has_no_more_rights_than_typed_words() {
    room(async |room| -> Result<()> {
        hurry(room);
        let host = room.registry.origin().trim_start_matches("http://").to_owned();
        let text = format!(
            "apps:\n  checkout:\n    repo: acme/checkout\n    image: {host}/acme/checkout\n    allow: {{ users: [U0BOB] }}\n"
        );
        room.github.lock().person_pushes(
            "acme/gitops",
            "main",
            "carol",
            &[("deploy-bot.yaml", &text)],
            "Close checkout",
        );
        let before = room.commits();
        for typed in ["checkout 42", "rollback checkout", "lock checkout mine now"] {
            mentions(room, ALICE, None, typed).await?;
        }
        let answered = |room: &Sandbox| (room.slack.lock().ephemerals(ALICE).len() == 3).then_some(());
        room.until("three refusals", PATIENCE, answered).await?;
        let refused = |text: &String| text.contains("aren't allowed") || text.contains("to add you");
        ensure!(room.whispers().iter().all(refused), "{:#?}", room.whispers());
        room.all_told().await?;
        ensure!(calls(room, "slack.post") == 0 && room.commits() == before, "{:?}", room.calls(0));
        mentions(room, BOB, None, "checkout 42").await?;
        replies(room, &newest(room)?.ts, "is live").await?;
        room.all_told().await
    });
}
