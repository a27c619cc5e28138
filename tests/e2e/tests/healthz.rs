//! `/healthz` says at once that the bot is alive, with counts. The bot is ready only when the store and Redis
//! are. What a probe resumes is in `crashes`, `redis` and `replicas`.

use e2e::room;
use sandbox::bot::Exchange;
use serde_json::Value;
use std::time::Duration;

fn json(exchange: &Exchange) -> Value {
    serde_json::from_str(&exchange.body).unwrap_or_default()
}

#[test]
fn healthz_answers_at_once_and_counts() {
    room(async |room| {
        let idle = room.get("/healthz").await;
        assert_eq!(idle.status, Some(200));
        assert_eq!(json(&idle)["in_flight"], 0, "{}", idle.body);
        assert_eq!(json(&room.get("/healthz?ready").await)["ready"], true);

        // With every other system slow, it is not.
        room.latency(Duration::from_secs(1));
        room.alice("checkout 42").await;
        let busy = room.get("/healthz").await;
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
        let (alive, ready) = tokio::join!(room.get("/healthz"), room.get("/healthz?ready"));
        assert_eq!((alive.status, ready.status), (Some(200), Some(503)));
        assert!(ready.body.contains("Redis"), "{}", ready.body);
        while room.redis::<String>(&["PING"]).await.is_err() {}
        assert_eq!(room.get("/healthz?ready").await.status, Some(200));

        room.store.down();
        let (alive, ready) = tokio::join!(room.get("/healthz"), room.get("/healthz?ready"));
        assert_eq!((alive.status, ready.status), (Some(200), Some(503)));
        room.store.up().await?;
        room.restart_bot().await?;
        assert_eq!(room.get("/healthz?ready").await.status, Some(200));
        Ok(())
    });
}
