//! The door of github-relay: one route, and nothing that is decided here. It exists in the wasm only.
#![cfg(target_family = "wasm")]

use bot::relay::{self, HEADERS};
use bot::reply::Declined;
use bot::settings::{GithubRelaySettings, Settings};
use clients::http::{Answer, Chunks, Inbound};
use spin::Door;
use spin_sdk::wasip3::exports::http::handler::Guest;
use spin_sdk::wasip3::http::types::{ErrorCode, Request, Response};

thread_local! {
    static DOOR: Door<GithubRelaySettings> = const { Door::closed() };
}

struct GithubRelay;

// Not the SDK's `#[http_service]`: that macro converts every header of every request.
spin_sdk::wasip3::http::service::export!(GithubRelay);

impl Guest for GithubRelay {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let (head, mut body) = spin::inbound(request, HEADERS);
        Ok(spin::answer(webhook(&head, &mut body).await.unwrap_or_else(spin::declined)))
    }
}

async fn webhook(head: &Inbound, body: &mut impl Chunks) -> Result<Answer, Declined> {
    let variables = spin::variables(GithubRelaySettings::NAMES).await;
    let verified = relay::verify(head, body, &variables).await?;
    let (settings, world) = Door::open(&DOOR, &variables).map_err(|error| relay::not_set(&error))?;
    Ok(relay::push(&*world, &settings, verified).await)
}
