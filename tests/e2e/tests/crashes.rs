//! The process is killed as by SIGKILL at each step of a deploy, and started again. A probe of `/healthz`, or
//! the next command, makes the deploy go on from the facts: one commit, one sync, one final state, and the
//! message says how it ended.
//!
//! Easy to miss: a call that is held before its effect dies with the process. A call that is held after its
//! effect has happened.

use Moment::{After, Before as Ahead};
use anyhow::{Context, Result, ensure};
use e2e::restart::{Before, Messages};
use e2e::{PATIENCE, Room, limits, quick, room, room_with};
use fakes::argocd::{Health, Script};
use sandbox::hold::{Held, Moment};
use sandbox::world::{DEPLOYS, GITOPS};
use sandbox::{Options, Sandbox, now};
use std::time::Duration;

/// Where the process dies: at which call to another system, the number of that call (the catalog is the first
/// query), before or after its effect.
type Step = (Moment, &'static str, u32);

/// Holds that call.
fn hold(room: &Room, (moment, call, nth): Step) -> Held {
    match call.split('.').next() {
        Some("github") => room.github.hold(moment, call, nth),
        Some("registry") => room.registry.hold(moment, call, nth),
        Some("slack") => room.slack.hold(moment, call, nth),
        _ => room.argocd.hold(moment, call, nth),
    }
}

/// The catalog is always read, so that the steps are the same for every deploy of a room.
fn each_time() -> Options {
    let mut limits = limits();
    limits["catalog_age"] = 0.into();
    Options { limits: Some(limits), ..Options::default() }
}

/// Alice deploys checkout, and everything dies when that call is held. Then everything is started again, and
/// nothing is resumed yet.
async fn dies(room: &mut Room, held: Held) -> Result<()> {
    let answer = room.alice("checkout 42").await;
    ensure!(answer.is_accepted(), "{answer:?}");
    held.reached().await?;
    room.posted().await?;
    starts_again(room, held).await
}

async fn starts_again(room: &mut Room, held: Held) -> Result<()> {
    held.reached().await?;
    room.kill_bot().await;
    drop(held);
    room.the_leases_of_the_dead_run_out().await?;
    room.start_bot().await
}

/// The process dies at each of these steps, one after the other, and only `/healthz` wakes the work.
fn healthz_makes_it_go_on(steps: &[Step]) {
    room_with(each_time(), async |room| -> Result<()> {
        room.script("checkout", quick());
        for step in steps {
            let before = room.before_a_deploy("checkout", "feature/totals");
            let held = hold(room, *step);
            dies(room, held).await?;
            room.goes_on(&before, Messages::One).await.with_context(|| format!("killed at {step:?}"))?;
        }
        Ok(())
    });
}

#[test]
fn killed_while_it_reads_and_decides_healthz_makes_it_go_live() {
    healthz_makes_it_go_on(&[
        (Ahead, "github.query", 1),
        (After, "github.query", 1),
        (Ahead, "github.query", 2),
        (After, "github.query", 2),
        (Ahead, "registry.head", 1),
        (After, "registry.head", 1),
    ]);
}

#[test]
fn killed_around_the_commit_healthz_makes_it_go_live_with_one_commit() {
    healthz_makes_it_go_on(&[
        (Ahead, "github.commit", 1),
        (After, "github.commit", 1),
        (Ahead, "argocd.webhook", 1),
        (After, "argocd.webhook", 1),
    ]);
}

#[test]
fn killed_around_the_sync_healthz_makes_it_go_live_with_one_sync() {
    healthz_makes_it_go_on(&[
        (Ahead, "argocd.stream", 1),
        (After, "argocd.stream", 1),
        (Ahead, "argocd.sync", 1),
        (After, "argocd.sync", 1),
        (Ahead, "slack.update", 1),
        (After, "slack.update", 1),
    ]);
}

/// Nothing else goes on meanwhile: GitHub takes no commit before the bot is dead.
#[test]
fn killed_during_its_first_post_it_goes_live_in_an_updated_message() {
    room_with(each_time(), async |room| -> Result<()> {
        room.script("checkout", quick());
        for (moment, messages) in [(Ahead, Messages::One), (After, Messages::OneMoreAtMost)] {
            let before = room.before_a_deploy("checkout", "feature/totals");
            let commit = room.github.hold(Ahead, "github.commit", 1);
            let held = room.slack.hold(moment, "slack.post", 1);
            let answer = room.alice("checkout 42").await;
            ensure!(answer.is_accepted(), "{answer:?}");
            starts_again(room, held).await?;
            drop(commit);
            room.goes_on(&before, messages).await.with_context(|| format!("killed {moment:?} the post"))?;
        }
        Ok(())
    });
}

#[test]
fn killed_while_it_waits_for_health_or_posts_the_end_it_says_live() {
    room_with(each_time(), async |room| -> Result<()> {
        room.script("checkout", Script { health: vec![(0, Health::Progressing), (2000, Health::Healthy)], ..quick() });
        let before = room.before_a_deploy("checkout", "feature/totals");
        let held = room.slack.hold_saying(After, "slack.update", "progressing");
        dies(room, held).await?;
        room.goes_on(&before, Messages::One).await.context("killed while it waited for health")?;

        room.script("checkout", quick());
        for moment in [Ahead, After] {
            let before = room.before_a_deploy("checkout", "feature/totals");
            let held = room.slack.hold_saying(moment, "slack.update", "is live");
            dies(room, held).await?;
            room.goes_on(&before, Messages::One).await.with_context(|| format!("killed {moment:?} its last word"))?;
        }
        Ok(())
    });
}

/// The end is posted, and saved as posted. While Redis is slow to forget the id, the bot dies.
#[test]
fn killed_after_it_has_posted_the_end_nothing_is_posted_twice() {
    room_with(each_time(), async |room| -> Result<()> {
        room.script("checkout", quick());
        let before = room.before_a_deploy("checkout", "feature/totals");
        let held = room.slack.hold_saying(After, "slack.update", "is live");
        room.alice("checkout 42").await;
        held.reached().await?;
        let id = only_id(room).await?;
        room.redis::<String>(&["CLIENT", "PAUSE", "60000", "WRITE"]).await?;
        held.release();
        room.saved(&id, "watch", |watch| watch["voice"]["told_end"] == true).await?;
        room.kill_bot().await;
        room.redis::<String>(&["CLIENT", "UNPAUSE"]).await?;
        ensure!(room.in_flight().await? == [id.clone()], "it was still in flight");
        let edits = room.said().len();
        room.the_leases_of_the_dead_run_out().await?;
        room.start_bot().await?;
        room.goes_on(&before, Messages::One).await?;
        ensure!(room.said().len() == edits, "nothing is told twice: {:#?}", room.told());

        // The same of a refusal, which slack-command posts.
        let held = room.slack.hold_saying(After, "slack.response_url", "no pull request");
        room.alice("checkout 999").await;
        held.reached().await?;
        let id = only_id(room).await?;
        room.redis::<String>(&["CLIENT", "PAUSE", "60000", "WRITE"]).await?;
        held.release();
        room.saved(&id, "message", |message| message["told_end"] == true).await?;
        room.kill_bot().await;
        room.redis::<String>(&["CLIENT", "UNPAUSE"]).await?;
        let edits = room.said().len();
        room.the_leases_of_the_dead_run_out().await?;
        room.start_bot().await?;
        ensure!(room.get("/healthz").await.status == Some(200));
        room.all_told().await?;
        ensure!(room.said().len() == edits, "nothing is told twice: {:#?}", room.told());
        Ok(())
    });
}

#[test]
fn killed_while_it_posts_a_refusal_the_refusal_is_posted_all_the_same() {
    room_with(each_time(), async |room| -> Result<()> {
        for (n, moment) in [Ahead, After].into_iter().enumerate() {
            let commits = room.commits();
            let held = room.slack.hold_saying(moment, "slack.response_url", "no pull request");
            room.alice("checkout 999").await;
            held.reached().await?;
            let id = only_id(room).await?;
            starts_again(room, held).await?;
            let told = |room: &Sandbox| {
                let slack = room.slack.lock();
                let told = slack.all_ephemerals().iter().map(|message| slack.render(message));
                told.filter(|text| text.contains("no pull request")).nth(n)
            };
            let text = room.probe("refusal", told).await?;
            ensure!(text.contains("not deployed: "), "{text}");
            room.all_told().await?;
            ensure!(room.messages().is_empty() && room.commits() == commits, "{:#?}", room.messages());
            let end = room.fact(&id, "end").await?.context("there is no `end`")?;
            ensure!(end["end"].get("refused").is_some(), "{end}");
            ensure!(room.fact(&id, "commit").await?.is_none() && room.fact(&id, "watch").await?.is_none());
        }
        Ok(())
    });
}

/// Redis or the store has not taken the request yet, and nobody was answered. Slack tells the asker that the
/// command failed, so nothing may be deployed, and nothing may be left over.
#[test]
fn killed_while_it_saves_the_request_nothing_happens_and_nothing_stays() {
    room(async |room| -> Result<()> {
        room.script("payments", quick());
        // As in production: Redis has not just been started, so nobody looks through the whole store.
        let whole = |room: &Sandbox| room.bot.exchanges().iter().any(|exchange| exchange.body.contains("in_flight"));
        room.probe("count", |room| whole(room).then_some(())).await?;
        let begun = std::time::Instant::now();
        while room.redis::<Vec<String>>(&["ZRANGE", "deploy-bot/in-flight", "0", "-1"]).await? != ["whole"] {
            ensure!(begun.elapsed() < PATIENCE, "the set is not whole");
        }
        for hangs in [room.redis.url(), room.store.url()] {
            let (messages, commits) = (room.messages().len(), room.commits());
            let keys = room.keys().await?.len() + room.in_flight().await?.len();
            let mut hanging = redis::Client::open(hangs)?.get_multiplexed_async_connection().await?;
            redis::cmd("CLIENT").arg(&["PAUSE", "60000", "WRITE"]).query_async::<()>(&mut hanging).await?;
            let click = room.slack.lock().command(now(), sandbox::world::ALICE, DEPLOYS, "checkout 42");
            let bot = room.bot.clone();
            let sent = tokio::spawn(async move { bot.send(&click).await });
            let waits = redis::cmd("INFO").arg("clients").to_owned();
            let begun = std::time::Instant::now();
            while !waits.query_async::<String>(&mut hanging).await?.contains("blocked_clients:1")
                && begun.elapsed() < Duration::from_millis(900)
            {}
            room.kill_bot().await;
            redis::cmd("CLIENT").arg("UNPAUSE").query_async::<()>(&mut hanging).await?;
            let answer = sent.await?;
            ensure!(answer.status.is_none(), "nobody was answered: {answer:?}");
            let left = room.keys().await?.len() + room.in_flight().await?.len();
            ensure!(left <= keys + 2, "one of the two has it, at most; the store has two keys of it");
            room.start_bot().await?;

            // Probes, and other people's deploys, go on as if nothing had been.
            room.builds("payments", "feature/refunds", "bob");
            room.goes_live("payments 7").await?;
            room.all_told_when_probed().await?;
            let all = room.messages();
            ensure!(all.len() == messages + 1 && room.commits() == commits + 1, "{all:#?}");
        }
        Ok(())
    });
}

/// GitHub is so slow that nothing can have happened yet. Here the leases run out by themselves.
#[test]
fn killed_right_after_the_answer_it_goes_on_when_its_leases_run_out() {
    room(async |room| -> Result<()> {
        room.script("checkout", quick());
        let before = room.before_a_deploy("checkout", "feature/totals");
        let held = room.github.hold(Ahead, "github.query", 1);
        room.alice("checkout 42").await;
        held.reached().await?;
        room.posted().await?;
        room.kill_bot().await;
        drop(held);
        let leases: Vec<String> = room.redis(&["KEYS", "deploy-bot/lease/carry/*"]).await?;
        ensure!(leases.len() == 1, "the dead still holds its lease: {leases:?}");
        room.start_bot().await?;
        room.goes_on(&before, Messages::One).await?;
        Ok(())
    });
}

// ---- the next command is all that wakes it ----

/// Once the commit is recorded, the deploy only needs a watch, and every watch follows everything in flight.
/// The deploy of another app wakes a watch. Nobody probes `/healthz`.
#[test]
fn killed_after_the_commit_the_next_command_of_anybody_makes_it_go_live() {
    room_with(each_time(), async |room| -> Result<()> {
        room.script("checkout", quick());
        room.script("payments", quick());
        let last = room.slack.hold_saying(Ahead, "slack.update", "never said");
        let steps = [
            (Ahead, "argocd.webhook", 1),
            (Ahead, "argocd.stream", 1),
            (Ahead, "argocd.sync", 1),
            (After, "argocd.sync", 1),
            (Ahead, "slack.update", 1),
        ];
        for step in steps {
            let before = room.before_a_deploy("checkout", "feature/totals");
            let held = hold(room, step);
            dies(room, held).await?;
            next_command(room, &before).await.with_context(|| format!("killed at {step:?}"))?;
        }
        for moment in [Ahead, After] {
            let before = room.before_a_deploy("checkout", "feature/totals");
            let held = room.slack.hold_saying(moment, "slack.update", "is live");
            dies(room, held).await?;
            next_command(room, &before).await.with_context(|| format!("killed {moment:?} its last word"))?;
        }
        ensure!(!last.is_reached());
        ensure!(room.bot.exchanges().iter().all(|exchange| exchange.path != "/healthz"));
        Ok(())
    });
}

/// Bob deploys payments; both are live in the end.
async fn next_command(room: &Room, before: &Before) -> Result<()> {
    room.builds("payments", "main", "bob");
    let messages = room.messages().len();
    let answer = room.bob("payments main").await;
    ensure!(answer.is_accepted(), "{answer:?}");
    let live = |room: &Sandbox| {
        let slack = room.slack.lock();
        let all = slack.messages(DEPLOYS);
        let new = all.iter().map(|message| slack.render(message)).filter(|text| text.contains("is live"));
        let theirs = all.len() > messages && slack.render(&all[messages]).contains("is live");
        (theirs && new.count() > 0).then_some(())
    };
    room.until("word that both are live", PATIENCE * 2, |room| live(room).and_then(|()| before.is_live(room))).await?;
    room.all_told().await?;
    ensure!(room.messages().iter().all(|text| text.contains("is live")), "{:#?}", room.messages());
    Ok(())
}

/// An impatient proxy, or Slack itself, sends the same click again after the restart: it is the same deployment, and goes on.
#[test]
fn killed_before_the_commit_the_same_click_again_makes_it_go_live_once() {
    room_with(each_time(), async |room| -> Result<()> {
        room.script("checkout", quick());
        for step in [(Ahead, "github.query", 1), (Ahead, "github.commit", 1), (After, "github.commit", 1)] {
            let before = room.before_a_deploy("checkout", "feature/totals");
            let held = hold(room, step);
            let click = room.slack.lock().command(now(), sandbox::world::ALICE, DEPLOYS, "checkout 42");
            room.send(&click).await;
            held.reached().await?;
            room.posted().await?;
            starts_again(room, held).await?;
            let again = room.slack.lock().repeat(now(), &click);
            ensure!(room.send(&again).await.is_accepted());
            room.until("word that it is live", PATIENCE, |room| before.is_live(room)).await?;
            room.all_told().await?;
            room.went_live_once(&before, Messages::One).await.with_context(|| format!("killed at {step:?}"))?;
        }
        Ok(())
    });
}

/// Nobody probes `/healthz`, so no process resumes the deploy. The watch that another command wakes ends it
/// by time: with "nothing was changed" if no commit was tried, otherwise with "I'm not sure the commit went
/// through".
#[test]
fn killed_before_the_commit_and_never_probed_it_ends_by_time() {
    let mut options = each_time();
    if let Some(limits) = &mut options.limits {
        limits["no_commit"] = 5_000.into();
    }
    room_with(options, async |room| -> Result<()> {
        room.script("payments", quick());
        let cases: [(Step, &str, bool); 3] = [
            ((Ahead, "registry.head", 1), "Nothing was changed", true),
            ((Ahead, "github.commit", 1), "I'm not sure the commit went through", false),
            ((After, "github.commit", 1), "I'm not sure the commit went through", false),
        ];
        for (n, (step, words, nothing)) in cases.into_iter().enumerate() {
            room.builds("checkout", "feature/totals", "alice");
            let known = room.reads().len();
            let held = hold(room, step);
            dies(room, held).await?;
            room.builds("payments", "main", "bob");
            room.bob("payments main").await;
            let told = |_: &Sandbox| {
                let ended = room.reads().into_iter().skip(known).find(|text| text.contains(words))?;
                let live = room.messages().iter().filter(|text| text.contains("is live")).count();
                (live == n + 1).then_some(ended)
            };
            let text = room.until(&format!("end by time after {step:?}"), PATIENCE, told).await;
            let text = text.with_context(|| format!("{:#?}", room.messages()))?;
            ensure!(text.contains("Nothing was changed") == nothing, "{text}");
            room.all_told_when_probed().await?;
            ensure!(room.syncs("checkout") == 0);
        }
        Ok(())
    });
}

/// The only id in flight.
async fn only_id(room: &Room) -> Result<String> {
    let ids = room.in_flight().await?;
    let [id] = ids.as_slice() else { anyhow::bail!("one in flight: {ids:?}") };
    Ok(id.clone())
}

/// A commit that landed before the process died is found by its attempt, and not made again.
#[test]
fn killed_before_the_answer_to_the_commit_it_does_not_commit_again() {
    room_with(each_time(), async |room| -> Result<()> {
        room.script("checkout", quick());
        let before = room.before_a_deploy("checkout", "feature/totals");
        let held = room.github.hold(After, "github.commit", 1);
        dies(room, held).await?;
        let id = room.goes_on(&before, Messages::One).await?;
        ensure!(room.github.lock().calls("github.commit") == 1, "it was asked for once");
        let commit = room.fact(&id, "commit").await?.context("there is no `commit`")?;
        let attempts = commit["attempts"].as_array().map(Vec::len);
        ensure!(attempts == Some(1), "{commit}");
        let head = room.github.lock().commits(GITOPS, "main")[0].clone();
        ensure!(head.parents == [commit["attempts"][0]["base"].as_str().unwrap_or_default()], "{commit}");
        ensure!(
            !room.told().iter().any(|text| text.contains("Nothing was changed") || text.contains("not deployed")),
            "{:#?}",
            room.told()
        );
        Ok(())
    });
}
