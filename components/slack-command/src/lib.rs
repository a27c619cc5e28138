//! The door of slack-command: routes, and nothing that is decided here. It exists in the wasm only.
#![cfg(target_family = "wasm")]

use bot::accept::{self, Accepted, HEADERS};
use bot::health;
use bot::reply::Declined;
use bot::settings::{Settings, SlackCommandSettings};
use clients::http::{Answer, Chunks, Inbound};
use spin::Door;
use spin_sdk::wasip3::exports::http::handler::Guest;
use spin_sdk::wasip3::http::types::{ErrorCode, Request, Response};

thread_local! {
    static DOOR: Door<SlackCommandSettings> = const { Door::closed() };
}

struct SlackCommand;

// Not the SDK's `#[http_service]`: that macro converts every header of every request.
spin_sdk::wasip3::http::service::export!(SlackCommand);

impl Guest for SlackCommand {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let (head, mut body) = spin::inbound(request, HEADERS);
        let answer = match head.path.as_str() {
            "/slack/command" | "/slack/interaction" | "/slack/events" => slack(&head, &mut body).await,
            "/healthz" => health(&head).await,
            _ => Ok(accept::not_found()),
        };
        Ok(spin::answer(answer.unwrap_or_else(spin::declined)))
    }
}

async fn slack(head: &Inbound, body: &mut impl Chunks) -> Result<Answer, Declined> {
    let variables = spin::variables(SlackCommandSettings::NAMES).await;
    let verified = accept::verify(head, body, &variables, spin::now()).await?;
    let (settings, world) = Door::open(&DOOR, &variables).map_err(|error| accept::not_set(&error))?;
    let Accepted { answer, then } = accept::accept(&*world, &settings, verified).await;
    spin::spawn(async move { accept::after(&*world, &settings, then).await });
    Ok(answer)
}

async fn health(head: &Inbound) -> Result<Answer, Declined> {
    let variables = spin::variables(SlackCommandSettings::NAMES).await;
    let open = SlackCommandSettings::keys(&variables).and_then(|_| Door::open(&DOOR, &variables));
    let (settings, world) = open.map_err(|error| health::unready(head, &error))?;
    let answer = health::probe(&*world, head).await?;
    // A probe is answered at once. What it resumes goes on after the answer.
    spin::spawn(async move { bot::deploy::resume(&*world, &settings).await });
    Ok(answer)
}
