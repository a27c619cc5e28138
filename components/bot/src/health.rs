//! `/healthz`: alive, and with `?ready` whether the settings, the store and Redis are there. Counts,
//! no names.

use crate::reply::Declined;
use crate::settings::SettingError;
use crate::world::World;
use clients::http::{Answer, Inbound, Method, StatusCode};

fn asks_ready(head: &Inbound) -> bool {
    head.query.split('&').any(|pair| pair == "ready" || pair.starts_with("ready="))
}

/// A setting is wrong: alive, but not ready, and the answer names the variable.
pub fn unready(head: &Inbound, error: &SettingError) -> Declined {
    let status = if asks_ready(head) { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let body = serde_json::json!({ "ready": false, "variable": error.variable, "problem": error.problem });
    Declined::setting(error, Answer::json(status, &body))
}

/// The answer to a probe. `?ready` is 503 when the store or Redis is down.
pub async fn probe(world: &impl World, head: &Inbound) -> Result<Answer, Declined> {
    if head.method != Method::GET && head.method != Method::HEAD {
        return Err(Declined::reason(StatusCode::METHOD_NOT_ALLOWED, "GET only"));
    }
    let redis = store::in_flight(world).await;
    let store_error = if asks_ready(head) { store::load_key(world, store::Rewritten).await.err() } else { None };
    let ready = redis.is_ok() && store_error.is_none();
    let status = if asks_ready(head) && !ready { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let problem = redis.as_ref().err().map(|error| error.why()).or(store_error.as_ref().map(|error| error.why()));
    let in_flight = redis.map(|in_flight| in_flight.count()).ok();
    Ok(Answer::json(status, &serde_json::json!({ "ready": ready, "in_flight": in_flight, "problem": problem })))
}
