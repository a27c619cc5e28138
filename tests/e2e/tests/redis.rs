//! Redis forgets, hangs or is gone; wake-ups are lost or come by the thousand; leases are taken from living
//! holders. The store has the truth: a probe of `/healthz` makes the deployment go on, once.
//!
//! Easy to miss: when Redis goes, Spin ends the bot, too. Redis comes back empty.

use Moment::{After, Before as Ahead};
use anyhow::{Context, Result, ensure};
use e2e::access::Accesses;
use e2e::restart::Messages;
use e2e::{PATIENCE, Room, limits, quick, room, room_with};
use fakes::argocd::{Health, Script};
use sandbox::hold::{Held, Moment};
use sandbox::{Options, Sandbox, now, world};

type Hold = fn(&Room) -> Held;

/// Healthy two seconds after the sync.
fn slowly_healthy() -> Script {
    Script { health: vec![(0, Health::Progressing), (2000, Health::Healthy)], ..quick() }
}

async fn accepted(room: &Room, text: &str) -> Result<()> {
    let answer = room.alice(text).await;
    ensure!(answer.is_accepted(), "{answer:?}");
    Ok(())
}

// ---- it forgets ----

/// Everything in Redis is lost at once, while the bot goes on and a call is under way.
#[test]
fn redis_forgets_everything_at_any_step_and_the_deploy_goes_live_once() {
    let steps: [(&str, Hold); 10] = [
        ("while it reads", |room| room.github.hold(Ahead, "github.query", 1)),
        ("before the commit", |room| room.github.hold(Ahead, "github.commit", 1)),
        ("after the commit", |room| room.github.hold(After, "github.commit", 1)),
        ("while it posts", |room| room.slack.hold(Ahead, "slack.post", 1)),
        ("while it relays", |room| room.argocd.hold(Ahead, "argocd.webhook", 1)),
        ("while it opens the stream", |room| room.argocd.hold(After, "argocd.stream", 1)),
        ("before the sync", |room| room.argocd.hold(Ahead, "argocd.sync", 1)),
        ("after the sync", |room| room.argocd.hold(After, "argocd.sync", 1)),
        ("while it waits for health", |room| room.slack.hold_saying(Ahead, "slack.update", "progressing")),
        ("while it tells the end", |room| room.slack.hold_saying(After, "slack.update", "is live")),
    ];
    for steps in steps.chunks(5) {
        room(async |room| -> Result<()> {
            for (what, hold) in steps {
                let waits = what.contains("health");
                room.script("checkout", if waits { slowly_healthy() } else { quick() });
                let before = room.before_a_deploy("checkout", "feature/totals");
                let held = hold(room);
                accepted(room, "checkout 42").await?;
                held.reached().await?;
                if !what.contains("posts") {
                    room.posted().await?;
                }
                room.redis::<String>(&["FLUSHALL"]).await?;
                held.release();
                // Two carriers go on before there is a message, and each may post one.
                let reads = what.contains("reads");
                let messages = if reads { Messages::OneMoreAtMost } else { Messages::One };
                room.goes_on(&before, messages).await.with_context(|| format!("flushed {what}"))?;
            }
            Ok(())
        });
    }
}

/// The deployments in flight are found in the store again, and counted.
#[test]
fn after_redis_forgot_everything_healthz_counts_what_is_in_flight() {
    room(async |room| -> Result<()> {
        room.script("checkout", Script { ends: 3000, ..quick() });
        let before = room.before_a_deploy("checkout", "feature/totals");
        accepted(room, "checkout 42").await?;
        room.says("rolling out").await?;
        room.redis::<String>(&["FLUSHALL"]).await?;
        let counted = |room: &Sandbox| {
            let exchanges = room.bot.exchanges();
            let last = exchanges.iter().rfind(|exchange| exchange.path == "/healthz")?;
            last.body.contains("\"in_flight\":1").then_some(())
        };
        room.probe("deployment in flight", counted).await?;
        room.goes_on(&before, Messages::One).await?;
        Ok(())
    });
}

/// Redis ends and takes the bot with it; when both are back, Redis knows nothing.
#[test]
fn redis_is_started_again_empty_and_the_deploy_goes_live_once() {
    let steps: [(&str, Hold); 4] = [
        ("before the commit", |room| room.github.hold(Ahead, "github.commit", 1)),
        ("after the commit", |room| room.github.hold(After, "github.commit", 1)),
        ("after the sync", |room| room.argocd.hold(After, "argocd.sync", 1)),
        ("while it waits for health", |room| room.slack.hold_saying(After, "slack.update", "progressing")),
    ];
    room(async |room| -> Result<()> {
        for (what, hold) in steps {
            room.script("checkout", slowly_healthy());
            let before = room.before_a_deploy("checkout", "feature/totals");
            let held = hold(room);
            accepted(room, "checkout 42").await?;
            held.reached().await?;
            room.posted().await?;
            room.redis.down();
            room.bot_ends().await?;
            drop(held);
            room.redis.up().await?;
            room.start_bot().await?;
            room.goes_on(&before, Messages::One).await.with_context(|| format!("it ended {what}"))?;
        }
        Ok(())
    });
}

/// For 30 s there is no Redis and so no bot. A deployment that was begun goes on. A deployment that was
/// accepted and not begun is too old to begin now, and its asker reads that.
#[test]
fn redis_is_gone_for_half_a_minute_and_accepted_requests_get_an_end() {
    room(async |room| -> Result<()> {
        room.script("checkout", quick());
        room.script("payments", quick());
        let before = room.before_a_deploy("checkout", "feature/totals");
        let committed = room.github.hold(After, "github.commit", 1);
        accepted(room, "checkout 42").await?;
        committed.reached().await?;
        let begins = room.github.hold(Ahead, "github.query", 1);
        let answer = room.bob("payments 7").await;
        ensure!(answer.is_accepted(), "{answer:?}");
        begins.reached().await?;
        room.redis.down();
        let gone = now();
        room.bot_ends().await?;
        drop((committed, begins));
        let refused = room.alice("checkout 42").await;
        ensure!(refused.status.is_none(), "nobody is there: {refused:?}");
        room.until("half a minute", PATIENCE * 3, |_| (now() >= gone + 30_000).then_some(())).await?;
        room.redis.up().await?;
        room.start_bot().await?;
        room.probe("word that it is live", |room| before.is_live(room)).await?;
        room.all_told().await?;
        let messages = room.messages();
        ensure!(messages.len() == 1 && messages[0].contains("is live"), "{messages:#?}");
        let told = room.whispers();
        ensure!(told.last().is_some_and(|told| told.contains("Nothing was changed. Please try again.")), "{told:#?}");
        ensure!(room.syncs("checkout") == 1 && room.syncs("payments") == 0);
        Ok(())
    });
}

/// Neither the store nor Redis answers for a while: the holder of a lease stops, and the next holder goes on.
#[test]
fn the_store_or_redis_hangs_during_the_sync_and_the_deploy_goes_live_once() {
    for hangs in [|room: &Room| room.store.url(), |room: &Room| room.redis.url()] {
        room(async |room| -> Result<()> {
            room.script("checkout", Script { ends: 2000, ..quick() });
            let before = room.before_a_deploy("checkout", "feature/totals");
            accepted(room, "checkout 42").await?;
            room.says("rolling out").await?;
            let mut connection = redis::Client::open(hangs(room))?.get_multiplexed_async_connection().await?;
            let pause = redis::cmd("CLIENT").arg(&["PAUSE", "4000", "ALL"]).to_owned();
            pause.query_async::<()>(&mut connection).await?;
            room.probe("word that it is live", |room| before.is_live(room)).await?;
            room.all_told().await?;
            room.went_live_once(&before, Messages::One).await?;
            Ok(())
        });
    }
}

// ---- wake-ups ----

/// Nobody may publish for a while, so the wake-up after the commit reaches nobody. The guardian looks now and
/// then whether somebody watches, and wakes again.
#[test]
fn a_lost_wake_up_is_made_up_for_by_the_guardian() {
    room(async |room| -> Result<()> {
        room.script("checkout", quick());
        let before = room.before_a_deploy("checkout", "feature/totals");
        room.github.lock().webhook(world::GITOPS).lost = 1;
        wake_ups_are_lost(room, true).await?;
        accepted(room, "checkout 42").await?;
        room.until("commit", PATIENCE, |room| room.log().contains("\"committed\"").then_some(())).await?;
        ensure!(room.redis::<i64>(&["EXISTS", "deploy-bot/lease/watch"]).await? == 0, "nobody watches");
        wake_ups_are_lost(room, false).await?;
        room.until("word that it is live", PATIENCE, |room| before.is_live(room)).await?;
        room.all_told().await?;
        room.went_live_once(&before, Messages::One).await?;
        Ok(())
    });
}

/// If the guardian is dead, too, `/healthz` wakes the watch.
#[test]
fn a_lost_wake_up_is_made_up_for_by_healthz_when_the_guardian_is_dead() {
    room(async |room| -> Result<()> {
        room.script("checkout", quick());
        let before = room.before_a_deploy("checkout", "feature/totals");
        wake_ups_are_lost(room, true).await?;
        accepted(room, "checkout 42").await?;
        room.until("commit", PATIENCE, |room| room.log().contains("\"committed\"").then_some(())).await?;
        room.kill_bot().await;
        wake_ups_are_lost(room, false).await?;
        room.the_leases_of_the_dead_run_out().await?;
        room.start_bot().await?;
        room.goes_on(&before, Messages::One).await?;
        Ok(())
    });
}

async fn wake_ups_are_lost(room: &Room, lost: bool) -> Result<()> {
    let rule = if lost { "-publish" } else { "+publish" };
    room.redis::<String>(&["ACL", "SETUSER", "default", rule]).await?;
    Ok(())
}

/// A thousand wake-ups in the middle of a sync are one watch after the other, and never two; nothing is done twice, and when all is over
/// nobody wakes anybody any more.
#[test]
fn a_thousand_wake_ups_at_once_are_one_watch_at_a_time() {
    room_with(Options { limits: Some(limits()), replicas: 2, ..Options::default() }, async |room| -> Result<()> {
        room.script("checkout", Script { ends: 3000, ..quick() });
        let before = room.before_a_deploy("checkout", "feature/totals");
        accepted(room, "checkout 42").await?;
        room.says("rolling out").await?;
        let mut connection = room.redis.connect().await?;
        let mut wake_ups = redis::pipe();
        for _ in 0..1000 {
            wake_ups.cmd("PUBLISH").arg("deploy-bot/wake").arg("wake").ignore();
        }
        wake_ups.query_async::<()>(&mut connection).await?;
        room.until("word that it is live", PATIENCE, |room| before.is_live(room)).await?;
        room.all_told().await?;
        room.went_live_once(&before, Messages::One).await?;
        // Two would have watched the application for all the time of the sync.
        let twice = room.argocd.lock().watched_twice();
        ensure!(twice < 1500, "two watches for {twice} ms");

        // A poller that took such a wake-up looked once, and woke nobody.
        room.nothing_left().await?;
        let mut accesses = Accesses::since_now(room).await?;
        room.redis::<i64>(&["PUBLISH", "deploy-bot/wake", "wake"]).await?;
        let mut seen = accesses.redis().await?;
        let begun = std::time::Instant::now();
        while seen.get("zrange").copied().unwrap_or_default() < 2 && begun.elapsed() < PATIENCE {
            seen = accesses.redis().await?;
        }
        ensure!(seen.get("publish") == Some(&1), "only ours: {seen:?}");
        Ok(())
    });
}

// ---- leases ----

/// Redis gives the lease to somebody else, or forgets it, while its holder works. With one replica nobody
/// else takes over, so the holder stops when it notices, and goes on when the thief has gone.
#[test]
fn a_lease_that_was_lost_while_its_holder_works_changes_nothing() {
    let points: [(&str, Hold); 4] = [
        ("carry/*", |room| room.registry.hold(Ahead, "registry.head", 1)),
        ("application/*", |room| room.registry.hold(After, "registry.head", 1)),
        ("branch/*", |room| room.github.hold(Ahead, "github.commit", 1)),
        ("carry/*", |room| room.github.hold(After, "github.commit", 1)),
    ];
    for stolen in [true, false] {
        room(async |room| -> Result<()> {
            for (lease, hold) in points {
                room.script("checkout", quick());
                let before = room.before_a_deploy("checkout", "feature/totals");
                let held = hold(room);
                accepted(room, "checkout 42").await?;
                held.reached().await?;
                let names = lose(room, lease, stolen).await?;
                held.release();
                // While nobody has the lease, a second carrier may begin, and post, too.
                let messages = if stolen { Messages::One } else { Messages::OneMoreAtMost };
                room.goes_on(&before, messages).await.with_context(|| format!("{names:?} lost, {stolen}"))?;
                // So that the room is empty at the end.
                thieves_go(room).await?;
            }
            Ok(())
        });
    }
}

/// The holder is still inside its call when somebody else gets the lease. The call is given up before it
/// takes effect, and the next holder does the work.
#[test]
fn a_holder_asleep_while_its_lease_is_lost_stops_before_it_does_harm() {
    for lease in ["carry/*", "application/*", "branch/*"] {
        room(async |room| -> Result<()> {
            room.script("checkout", quick());
            let before = room.before_a_deploy("checkout", "feature/totals");
            let held = room.github.hold(Ahead, "github.commit", 1);
            accepted(room, "checkout 42").await?;
            held.reached().await?;
            lose(room, lease, true).await?;
            held.given_up().await?;
            thieves_go(room).await?;
            room.goes_on(&before, Messages::One).await?;
            Ok(())
        });
    }
}

/// The lease of a carrier is gone and the same click comes again, so two carriers work on the same
/// deployment. GitHub lets one of them commit; the other carrier finds that commit.
#[test]
fn two_carriers_of_one_deployment_make_one_commit() {
    for first_wins in [true, false] {
        room(async |room| -> Result<()> {
            room.script("checkout", quick());
            let before = room.before_a_deploy("checkout", "feature/totals");
            let late = room.github.hold(if first_wins { After } else { Ahead }, "github.commit", 1);
            let click = room.slack.lock().command(now(), world::ALICE, world::DEPLOYS, "checkout 42");
            room.send(&click).await;
            late.reached().await?;
            lose(room, "*", false).await?;
            let other = if first_wins { None } else { Some(room.github.hold(After, "github.commit", 1)) };
            let again = room.slack.lock().repeat(now(), &click);
            room.send(&again).await;
            match other {
                // The other carrier's commit is on the branch when the late carrier's commit arrives there.
                Some(other) => {
                    other.reached().await?;
                    late.release();
                    room.until("refused commit", PATIENCE, |room| {
                        let commits = room.journal.entries();
                        let commits = commits.iter().filter(|entry| entry.call == "github.commit");
                        (commits.filter(|entry| entry.took.is_some()).count() == 1).then_some(())
                    })
                    .await?;
                    other.release();
                }
                // The other carrier finds the commit, and the late carrier learns of it later.
                None => {
                    room.until("word that it is live", PATIENCE, |room| before.is_live(room)).await?;
                    late.release();
                }
            }
            room.goes_on(&before, Messages::OneMoreAtMost).await?;
            Ok(())
        });
    }
}

/// At its next renewal the watch notices that another has its lease, and stops. It comes back when none of
/// its calls can be under way.
#[test]
fn a_watch_whose_lease_was_stolen_stops_and_the_next_one_goes_on() {
    room(async |room| -> Result<()> {
        room.script("checkout", quick());
        let before = room.before_a_deploy("checkout", "feature/totals");
        let held = room.argocd.hold(Ahead, "argocd.sync", 1);
        accepted(room, "checkout 42").await?;
        held.reached().await?;
        lose(room, "watch", true).await?;
        held.given_up().await?;
        thieves_go(room).await?;
        room.goes_on(&before, Messages::One).await?;
        Ok(())
    });
}

/// Takes these leases away: a thief has them now, or nobody. Returns their names.
async fn lose(room: &Room, leases: &str, stolen: bool) -> Result<Vec<String>> {
    let names: Vec<String> = room.redis(&["KEYS", &format!("deploy-bot/lease/{leases}")]).await?;
    ensure!(!names.is_empty(), "nobody holds {leases}");
    for name in &names {
        match stolen {
            true => room.redis::<String>(&["SET", name, "thief", "PX", "60000"]).await.map(drop)?,
            false => room.redis::<i64>(&["DEL", name]).await.map(drop)?,
        }
    }
    Ok(names)
}

/// The thieves give back what they took.
async fn thieves_go(room: &Room) -> Result<()> {
    for name in room.redis::<Vec<String>>(&["KEYS", "deploy-bot/lease/*"]).await? {
        if room.redis::<Option<String>>(&["GET", &name]).await?.as_deref() == Some("thief") {
            room.redis::<i64>(&["DEL", &name]).await?;
        }
    }
    Ok(())
}

/// The users of Redis that the page about security has lines for.
fn users() -> Vec<String> {
    let page = include_str!("../../../docs/security.md");
    let lines = page.lines().filter_map(|line| line.strip_prefix("user "));
    lines.filter(|line| !line.starts_with("default ")).map(str::to_owned).collect()
}

/// Each component has a user of its own, with the lines of the page. Redis notes what it denies.
async fn with_users(room: &mut Room) -> Result<Vec<(String, String)>> {
    let mut urls = Vec::new();
    for line in users() {
        let words: Vec<&str> = line.split(' ').collect();
        room.redis::<String>(&[&["ACL", "SETUSER"], &words[..]].concat()).await?;
        let password = words.iter().find_map(|word| word.strip_prefix('>')).context("a password")?;
        let url = room.redis.url().replacen("://", &format!("://{}:{password}@", words[0]), 1);
        room.set_of(words[0], "redis_url", &url)?;
        urls.push((words[0].to_owned(), url));
    }
    let poller = urls.iter().find(|(name, _)| name == "sync-poller").context("the poller")?;
    // Its trigger listens as the poller does.
    room.variables.insert("redis_url".to_owned(), poller.1.clone());
    room.restart_bot().await?;
    Ok(urls)
}

/// Attack: holds one component's secrets | has github-relay's user of Redis and takes a lease, reads what is in flight, or empties Redis | Redis denies it, and the components need nothing else
#[test]
fn each_component_can_do_in_redis_what_it_needs_and_nothing_else() {
    let options = Options { limits: Some(limits()), ..Options::default() };
    room_with(options, async |room| -> Result<()> {
        room.script("checkout", quick());
        let urls = with_users(room).await?;
        // A deploy, one that waits for its turn, and a person's push.
        room.goes_live("checkout 42").await?;
        room.github.lock().person_pushes(
            world::GITOPS,
            "main",
            "carol",
            &[("checkout/values.yaml", "image: {tag: x}\n")],
            "By hand",
        );
        room.says("carol pushed").await?;
        room.alice("lock checkout for 2h maintenance").await;
        room.says("locked *checkout*").await?;
        room.command(world::BOB, world::DEPLOYS, "checkout main").await;
        room.says("is locked by").await?;
        // It is written anew.
        room.redis::<i64>(&["DEL", "deploy-bot/in-flight"]).await?;
        ensure!(room.get("/healthz").await.status == Some(200));
        room.all_told().await?;
        let denied: redis::Value = room.redis(&["ACL", "LOG"]).await?;
        ensure!(denied == redis::Value::Array(Vec::new()), "{denied:?}");

        let relay = urls.iter().find(|(name, _)| name == "github-relay").context("the relay")?;
        let mut connection = redis::Client::open(relay.1.as_str())?.get_multiplexed_async_connection().await?;
        for command in [
            &["SET", "deploy-bot/lease/watch", "thief"][..],
            &["DEL", "deploy-bot/in-flight"],
            &["ZRANGE", "deploy-bot/in-flight", "0", "-1"],
            &["GET", "deploy-bot/told/x"],
            &["FLUSHALL"],
            &["CONFIG", "GET", "*"],
            &["ACL", "LIST"],
            &["KEYS", "*"],
            &["EVAL", "return redis.call('GET', KEYS[1])", "1", "deploy-bot/news"],
            &["ZADD", "elsewhere", "1", "x"],
            &["PUBLISH", "elsewhere", "x"],
        ] {
            let mut asked = redis::cmd(command[0]);
            asked.arg(&command[1..]);
            let said = asked.query_async::<redis::Value>(&mut connection).await;
            let denied = said.as_ref().is_err_and(|error| error.code() == Some("NOPERM"));
            ensure!(denied, "{command:?}: {said:?}");
        }
        Ok(())
    });
}
