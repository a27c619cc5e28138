//! A gate service: it verifies who asks, remembers the question, and answers as it was told.

use crate::{Answer, Millis, Request, Response, StandIn};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use std::fmt::Write;

/// How far the asker's clock may be off, in seconds.
const TOLERANCE: u64 = 300;

/// The stand-in. Everything public may be changed while it runs.
pub struct Gate {
    key: String,
    /// What it answers, with status 200.
    pub says: Value,
    /// What it was asked, by whom it believes: path and body.
    pub asked: Vec<(String, Value)>,
}

impl Gate {
    pub fn new(key: &str) -> Self {
        Self { key: key.to_owned(), says: json!({ "allow": true }), asked: Vec::new() }
    }

    /// As documented: over the time and the exact bytes of the body.
    fn believes(&self, now: Millis, request: &Request) -> bool {
        let timestamp = request.header("x-deploy-bot-timestamp");
        let is_fresh = timestamp.parse::<u64>().is_ok_and(|at| at.abs_diff(now / 1000) <= TOLERANCE);
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.as_bytes()).expect("HMAC takes a key of any length");
        mac.update(format!("v0:{timestamp}:").as_bytes());
        mac.update(&request.body);
        let hex = mac.finalize().into_bytes().iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        is_fresh && request.header("x-deploy-bot-signature") == format!("v0={hex}")
    }
}

impl StandIn for Gate {
    fn name_of(&self, request: &Request) -> String {
        if request.method == http::Method::POST { "gate.ask".to_owned() } else { "gate.unexpected".to_owned() }
    }

    fn answer(&mut self, now: Millis, request: &Request) -> Answer {
        let body = serde_json::from_slice(&request.body);
        Answer::Whole(match body {
            Ok(body) if self.believes(now, request) && request.header("content-type") == "application/json" => {
                self.asked.push((request.target.clone(), body));
                Response::json(200, &self.says)
            }
            _ => Response::text(401, "who are you?"),
        })
    }
}
