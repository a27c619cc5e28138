//! The door of sync-poller: a wake-up starts a watch. It exists in the wasm only. Spin drops the instance
//! when the handler returns, so everything is awaited.
#![cfg(target_family = "wasm")]
#![expect(unsafe_code, reason = "the SDK's macro for Redis exports a function by name; nothing of ours is unsafe")]

use bot::settings::{Settings, SyncPollerSettings};
use bytes::Bytes;
use spin::Door;
use spin_sdk::redis_subscriber;

thread_local! {
    static DOOR: Door<SyncPollerSettings> = const { Door::closed() };
}

/// The message says nothing: what there is to do is in the store.
#[redis_subscriber]
async fn wake(_message: Bytes) -> anyhow::Result<()> {
    let variables = spin::variables(SyncPollerSettings::NAMES).await;
    match Door::open(&DOOR, &variables) {
        Ok((settings, world)) => bot::watch::watch(&*world, &settings).await,
        Err(error) => spin::log(&error.line()),
    }
    Ok(())
}
