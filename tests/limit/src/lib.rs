//! The limit that our components are measured against: what the host, reading a body, one variable and an answer cost by themselves.
//! At `/empty` not even that. Written as the SDK's documentation shows, and not as our own doors are. Wasm only.
#![cfg(target_family = "wasm")]

use bytes::Bytes;
use http_body_util::BodyExt;
use spin_sdk::http::{FullBody, IntoResponse, Request, Response};
use spin_sdk::http_service;

/// Answers the variable `answer`.
#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    let (head, mut body) = request.into_parts();
    let mut answer = String::new();
    if head.uri.path() != "/empty" {
        while let Some(Ok(frame)) = body.frame().await {
            drop(frame);
        }
        answer = spin_sdk::variables::get("answer").await.unwrap_or_default();
    }
    Response::new(FullBody::new(Bytes::from(answer)))
}
