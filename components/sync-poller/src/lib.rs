//! The door of sync-poller: a wake-up starts a watch. Wasm only; no decisions. Spin drops the instance when this returns, so
//! everything is awaited.
#![cfg_attr(
    not(target_family = "wasm"),
    allow(dead_code, reason = "the door, which uses it all, exists in the wasm only")
)]

mod announce;
mod follow;
mod mend;
mod voice;
pub(crate) mod watch;

#[cfg(target_family = "wasm")]
#[expect(unsafe_code, reason = "the SDK's macro for Redis exports a function by name; nothing of ours is unsafe")]
mod door {
    use bytes::Bytes;
    use deploy_core::log::Line;
    use deploy_core::settings::SyncPollerSettings;
    use deploy_spin::Spin;
    use spin_sdk::redis_subscriber;

    /// The message says nothing: what there is to do stands in the store.
    #[redis_subscriber]
    async fn wake(_message: Bytes) -> anyhow::Result<()> {
        match SyncPollerSettings::read(&*deploy_spin::variables(SyncPollerSettings::NAMES).await) {
            Ok(settings) => crate::watch::watch(&Spin::new(settings.redis_url.clone()), &settings).await,
            Err(error) => {
                deploy_spin::log(
                    &Line::error("setting").with("variable", error.variable).with("problem", error.problem),
                );
            }
        }
        Ok(())
    }
}
