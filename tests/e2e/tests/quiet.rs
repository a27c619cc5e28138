//! What the channel reads and what the asker alone reads: a refusal and a question are nobody else's business, a deploy is
//! one message.

use crate::conversation::{catalog, hurry, whispers};
use anyhow::{Result, ensure};
use e2e::{PATIENCE, Room, room};
use fakes::Fault;
use fakes::slack::{Bot, Kind};
use sandbox::world::{ALICE, BOB, DEPLOYS};
use sandbox::{Sandbox, now};
use std::time::Duration;

const HOME: &str = "C0PRODUCTION";

/// How often the bot called this method of Slack.
fn calls(room: &Room, name: &str) -> usize {
    room.calls(0).iter().filter(|call| *call == name).count()
}

/// A refusal before there is a plan concerns nobody but the asker: typos, rights, gates, what is not built.
#[test]
fn a_refusal_is_read_by_the_asker_alone() {
    room(async |room| -> Result<()> {
        hurry(room);
        catalog(room, "", "    checks: required\n    branches: [main, 'feature/*']\n    freeze: none\n");
        let refusals = [
            ("chekout 42", "Did you mean `checkout`?"),
            ("checkout 999", "no pull request #999"),
            ("checkout nowhere", "no branch"),
            ("checkout 42", "needs the checks"),
            ("rollback checkout", "no earlier healthy version"),
        ];
        for (typed, words) in refusals {
            let answer = room.alice(typed).await;
            ensure!(answer.is_accepted(), "{typed}: {answer:?}");
            whispers(room, ALICE, words).await?;
            room.all_told().await?;
        }
        room.command(BOB, DEPLOYS, "lock payments incident 7").await;
        room.says("locked *payments*").await?;
        room.alice("payments 7").await;
        whispers(room, ALICE, "payments is locked by @bob").await?;
        room.all_told().await?;
        ensure!(calls(room, "slack.post") == 0, "{:?}", room.calls(0));
        ensure!(room.slack.lock().ephemerals(ALICE).len() == refusals.len() + 1, "{:#?}", room.whispers());
        Ok(())
    });
}

/// The message in the channel says that the command was accepted: no other words stand beside it.
#[test]
fn a_deploy_is_one_message_and_nothing_beside_it() {
    room(async |room| -> Result<()> {
        hurry(room);
        let answer = room.alice("checkout 42").await;
        ensure!(answer.is_accepted(), "{answer:?}");
        room.says("is live").await?;
        room.all_told().await?;
        ensure!(room.messages().len() == 1 && room.whispers().is_empty(), "{:#?}", room.reads());
        ensure!(calls(room, "slack.post") == 1 && calls(room, "slack.response_url") == 0, "{:?}", room.calls(0));
        Ok(())
    });
}

#[test]
fn who_waits_for_seconds_reads_why() {
    room(async |room| -> Result<()> {
        hurry(room);
        room.registry.fault("registry.head", Fault::Slow(Duration::from_secs(6)), 1);
        let typed = now();
        room.alice("checkout 42").await;
        whispers(room, ALICE, "checking whether it can be deployed").await?;
        // Slack's time of the command has whole seconds.
        let waited = now() - typed;
        ensure!((2_900..5_500).contains(&waited), "after {waited} ms");
        ensure!(room.messages().is_empty(), "{:#?}", room.messages());
        room.says("is live").await?;
        room.all_told().await?;
        ensure!(room.messages().len() == 1 && room.whispers().len() == 1, "{:#?}", room.reads());
        Ok(())
    });
}

#[test]
fn the_message_stands_in_the_home_channel_and_the_asker_is_led_there() {
    room(async |room| -> Result<()> {
        hurry(room);
        room.slack.lock().add_channel(HOME, "production", Kind::Public, Bot::Member);
        catalog(room, "", &format!("    home: {HOME}\n"));
        room.alice("checkout 42").await;
        let led = whispers(room, ALICE, "is in").await?;
        let at_home = |room: &Sandbox| {
            let slack = room.slack.lock();
            let message = slack.messages(HOME).first()?;
            Some((message.ts.clone(), slack.render(message))).filter(|(_, text)| text.contains("is live"))
        };
        let (ts, text) = room.until("message at home", PATIENCE, at_home).await?;
        room.all_told().await?;
        let link = format!("/archives/{HOME}/p{}", ts.replace('.', ""));
        ensure!(format!("{:?}", led.now().blocks).contains(&link), "{:?}", led.now().blocks);
        ensure!(text.contains("asked by @alice") && room.messages().is_empty(), "{text}\n{:#?}", room.messages());
        ensure!(calls(room, "slack.post") == 1 && calls(room, "slack.response_url") == 1, "{:?}", room.calls(0));
        Ok(())
    });
}

/// Nobody invited the bot: a deploy is not unseen for that.
#[test]
fn without_an_invitation_to_the_home_channel_the_message_stands_where_it_was_asked_for() {
    room(async |room| -> Result<()> {
        hurry(room);
        room.slack.lock().add_channel(HOME, "production", Kind::Private, Bot::Outside);
        catalog(room, "", &format!("    home: {HOME}\n"));
        room.alice("checkout 42").await;
        room.says("is live").await?;
        room.all_told().await?;
        ensure!(room.messages().len() == 1 && room.whispers().is_empty(), "{:#?}", room.reads());
        ensure!(room.slack.lock().messages(HOME).is_empty());
        Ok(())
    });
}
