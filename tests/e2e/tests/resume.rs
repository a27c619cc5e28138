//! The bot dies in the middle, or Redis forgets everything: whoever probes `/healthz` makes it go on from the facts.

use anyhow::{Result, bail};
use e2e::{PATIENCE, Room, room};
use fakes::Fault;
use sandbox::Sandbox;
use sandbox::bot::Exchange;
use sandbox::world::GITOPS;
use serde_json::Value;
use std::time::{Duration, Instant};

async fn get(room: &Room, path: &str) -> Exchange {
    let request = http::Request::get(path).body(Vec::new()).unwrap_or_default();
    room.bot.request(request).await
}

fn json(exchange: &Exchange) -> Value {
    serde_json::from_str(&exchange.body).unwrap_or_default()
}

/// Probes `/healthz` every 300 ms, as whoever runs the bot does, until there is something to see.
async fn probe<T>(room: &Room, what: &str, mut look: impl FnMut(&Sandbox) -> Option<T>) -> Result<T> {
    let begun = Instant::now();
    loop {
        let health = get(room, "/healthz").await;
        assert_eq!(health.status, Some(200), "{}", health.body);
        match room.until(what, Duration::from_millis(300), &mut look).await {
            Err(error) if begun.elapsed() > PATIENCE * 2 => bail!("{error:#}\n{:#?}", room.messages()),
            Err(_) => {}
            Ok(seen) => return Ok(seen),
        }
    }
}

/// Probes until it is live; exactly one commit was made, and one message tells it.
async fn resumes(room: &Room, before: usize) -> Result<()> {
    let live = |room: &Sandbox| {
        let slack = room.slack.lock();
        let messages = slack.messages(sandbox::world::DEPLOYS);
        messages.iter().any(|message| slack.render(message).contains("is live")).then_some(())
    };
    probe(room, "word that it is live", live).await?;
    assert_eq!(room.commits(), before + 1, "one commit");
    assert_eq!(room.messages().len(), 1, "one message: {:#?}", room.messages());
    assert_eq!(room.argocd.lock().live_tag("checkout"), Some(room.tag("checkout", "feature/totals").as_str()));
    let synced = room.argocd.lock().syncs().iter().filter(|sync| sync.status == 200).count();
    assert_eq!(synced, 1, "one sync");
    Ok(())
}

/// The leases of the dead run out. In life that takes 15 s.
async fn leases_run_out(room: &Room) -> Result<()> {
    for lease in room.redis::<Vec<String>>(&["KEYS", "deploy-bot/lease/*"]).await? {
        room.redis::<i64>(&["DEL", &lease]).await?;
    }
    Ok(())
}

#[test]
fn healthz_answers_at_once_and_counts() {
    room(async |room| {
        let idle = get(room, "/healthz").await;
        assert_eq!(idle.status, Some(200));
        assert_eq!(json(&idle)["in_flight"], 0, "{}", idle.body);
        assert_eq!(json(&get(room, "/healthz?ready").await)["ready"], true);

        // With every other system slow, it is not.
        room.latency(Duration::from_secs(1));
        room.alice("checkout 42").await;
        let busy = get(room, "/healthz").await;
        assert_eq!(busy.status, Some(200));
        assert_eq!(json(&busy)["in_flight"], 1, "{}", busy.body);
        assert!(busy.took < Duration::from_millis(900), "{:?}", busy.took);
        room.latency(Duration::ZERO);
        room.says("is live").await?;
        Ok(())
    });
}

#[test]
fn it_is_not_ready_without_redis_or_without_its_store() {
    room(async |room| {
        room.redis::<String>(&["CLIENT", "PAUSE", "1500", "ALL"]).await?;
        let (alive, ready) = tokio::join!(get(room, "/healthz"), get(room, "/healthz?ready"));
        assert_eq!((alive.status, ready.status), (Some(200), Some(503)));
        assert!(ready.body.contains("Redis"), "{}", ready.body);
        while room.redis::<String>(&["PING"]).await.is_err() {}
        assert_eq!(get(room, "/healthz?ready").await.status, Some(200));

        room.store.down();
        let (alive, ready) = tokio::join!(get(room, "/healthz"), get(room, "/healthz?ready"));
        assert_eq!((alive.status, ready.status), (Some(200), Some(503)));
        room.store.up().await?;
        room.restart_bot().await?;
        assert_eq!(get(room, "/healthz?ready").await.status, Some(200));
        Ok(())
    });
}

/// Here the leases run out by themselves.
#[test]
fn it_dies_right_after_the_answer() {
    room(async |room| {
        let before = room.commits();
        // GitHub is so slow that nothing can have happened yet.
        room.github.latency(Duration::from_secs(5));
        let answer = room.alice("checkout 42").await;
        room.stop_bot().await;
        assert!(answer.body.contains("Accepted"), "{}", answer.body);
        assert_eq!(room.commits(), before);
        room.github.latency(Duration::ZERO);
        room.start_bot().await?;
        resumes(room, before).await
    });
}

/// The commit is on the branch, but its answer never came: the next life finds it by its attempt.
#[test]
fn it_dies_between_the_commit_and_its_answer() {
    room(async |room| {
        let before = room.commits();
        room.github.fault("github.commit", Fault::HangAfter(Duration::from_secs(20)), 1);
        room.alice("checkout 42").await;
        room.until("commit", PATIENCE, |room| {
            (room.github.lock().commits(GITOPS, "main").len() > before).then_some(())
        })
        .await?;
        room.stop_bot().await;
        leases_run_out(room).await?;
        room.start_bot().await?;
        resumes(room, before).await
    });
}

#[test]
fn it_dies_during_the_sync() {
    room(async |room| {
        let before = room.commits();
        room.argocd.lock().app("checkout").script.ends = 2000;
        room.alice("checkout 42").await;
        room.says("syncing").await?;
        room.stop_bot().await;
        leases_run_out(room).await?;
        room.start_bot().await?;
        resumes(room, before).await
    });
}

/// Redis ends and takes the bot with it; when both are back, Redis knows nothing.
#[test]
fn redis_dies_during_the_sync() {
    room(async |room| {
        let before = room.commits();
        room.argocd.lock().app("checkout").script.ends = 2000;
        room.alice("checkout 42").await;
        room.says("syncing").await?;
        room.redis.down();
        room.stop_bot().await;
        room.redis.up().await?;
        room.start_bot().await?;
        resumes(room, before).await
    });
}

#[test]
fn redis_forgets_everything_and_the_bot_lives_on() {
    room(async |room| {
        let before = room.commits();
        room.argocd.lock().app("checkout").script.ends = 4000;
        room.alice("checkout 42").await;
        room.says("syncing").await?;
        room.redis::<String>(&["FLUSHALL"]).await?;
        // What was in flight is found in the store again, and counted.
        let counted = |room: &Sandbox| {
            let exchanges = room.bot.exchanges();
            let last = exchanges.iter().rfind(|exchange| exchange.path == "/healthz")?;
            (json(last)["in_flight"] == 1).then_some(())
        };
        probe(room, "deployment in flight", counted).await?;
        resumes(room, before).await
    });
}

/// Neither the store nor Redis answers for a while: whoever holds a lease stops, and the next one goes on.
#[test]
fn the_store_or_redis_hangs_during_the_sync() {
    for hangs in [|room: &Room| room.store.url(), |room: &Room| room.redis.url()] {
        room(async |room| {
            let before = room.commits();
            room.argocd.lock().app("checkout").script.ends = 2000;
            room.alice("checkout 42").await;
            room.says("syncing").await?;
            let mut connection = redis::Client::open(hangs(room))?.get_multiplexed_async_connection().await?;
            let pause = redis::cmd("CLIENT").arg(&["PAUSE", "4000", "ALL"]).to_owned();
            pause.query_async::<()>(&mut connection).await?;
            resumes(room, before).await
        });
    }
}
