//! What goes wrong, how often. Each seed has its own climate: a few kinds of trouble, each at its own rate, the others not at all, because
//! rare combinations come up sooner so than with a little of everything.

use std::collections::BTreeSet;
use std::fmt;

use clients::http::HttpError;
use fakes::Response;
use serde_json::json;

use crate::kernel::Kernel;
use crate::town::System;

/// Probabilities, but for the last ones.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Weather {
    /// A call to each system goes wrong.
    pub(crate) slack_fails: f64,
    pub(crate) github_fails: f64,
    pub(crate) registry_fails: f64,
    pub(crate) argocd_fails: f64,
    pub(crate) store_fails: f64,
    pub(crate) redis_fails: f64,
    /// Anything takes seconds.
    pub(crate) slow: f64,
    /// A stream is cut within seconds.
    pub(crate) streams_cut: f64,
    pub(crate) wakes_lost: f64,
    pub(crate) webhooks_lost: f64,
    pub(crate) webhooks_twice: f64,
    pub(crate) webhooks_late: f64,
    /// By how many milliseconds clocks may differ from the true time.
    pub(crate) skew: i64,
    pub(crate) redis_down: bool,
    pub(crate) down: BTreeSet<System>,
    /// The next commit is made, its answer is lost, and GitHub is down from then on.
    pub(crate) commit_cuts_off: bool,
}

/// How one call goes wrong.
#[derive(Clone, Debug)]
pub(crate) enum Trouble {
    /// No effect; no answer in time where there is no error.
    Before(Option<HttpError>),
    /// No effect; this answer.
    Instead(Response),
    /// It takes effect; no answer in time where there is no error.
    After(Option<HttpError>),
    /// It takes effect; this answer.
    AnswerAfter(Response),
}

impl Weather {
    /// A climate drawn by lot.
    pub(crate) fn drawn(rng: &mut fastrand::Rng) -> Self {
        let mut rate = |most: f64| if rng.f64() < 0.3 { rng.f64() * most } else { 0.0 };
        let mut weather = Self {
            slack_fails: rate(0.5),
            github_fails: rate(0.3),
            registry_fails: rate(0.3),
            argocd_fails: rate(0.4),
            store_fails: rate(0.02),
            redis_fails: rate(0.03),
            slow: rate(0.05),
            streams_cut: rate(1.0),
            wakes_lost: rate(0.7),
            webhooks_lost: rate(1.0),
            webhooks_twice: rate(1.0),
            webhooks_late: rate(1.0),
            ..Self::default()
        };
        weather.skew = if rng.f64() < 0.3 { rng.i64(1..1500) } else { 0 };
        weather
    }

    /// Nothing goes wrong any more; clocks stay as they are.
    pub(crate) fn calm(&mut self) {
        *self = Self { skew: self.skew, redis_down: self.redis_down, ..Self::default() };
    }

    /// What goes wrong with a call, if anything.
    pub(crate) fn trouble(&self, kernel: &Kernel, system: System, call: &str) -> Option<Trouble> {
        let rate = match system {
            System::Slack => self.slack_fails,
            System::GitHub => self.github_fails,
            System::Registry => self.registry_fails,
            System::ArgoCd => self.argocd_fails,
        };
        if !kernel.chance(rate) {
            return None;
        }
        // What each system says in an answer of status 200.
        let inside = match call {
            call if call.starts_with("slack.") => json!({ "ok": false, "error": "internal_error" }),
            call if call.starts_with("github.") => {
                json!({ "data": null, "errors": [{ "message": "Something went wrong" }] })
            }
            _ => json!({}),
        };
        let limited = Response::json(429, &json!({ "message": "slow down" })).with("retry-after", "2");
        Some(match kernel.draw(|rng| rng.u8(..14)) {
            0 => Trouble::Before(Some(HttpError::NotConnected)),
            1 => Trouble::Before(Some(HttpError::Broken)),
            2 => Trouble::Before(None),
            3 => Trouble::Instead(Response::text(500, "oops")),
            4 => Trouble::Instead(Response::text(502, "Bad Gateway")),
            5 => Trouble::Instead(Response::text(503, "no backend")),
            6 => Trouble::Instead(limited),
            7 => Trouble::Instead(Response::json(200, &inside)),
            8 => Trouble::After(Some(HttpError::Broken)),
            9 => Trouble::After(Some(HttpError::TooLarge)),
            10 => Trouble::After(None),
            11 => Trouble::AnswerAfter(Response::text(502, "Bad Gateway")),
            12 => Trouble::AnswerAfter(Response::text(200, "<html>Good morning</html>")),
            _ => Trouble::AnswerAfter(Response::json(200, &inside)),
        })
    }
}

impl fmt::Display for Weather {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rates = [
            ("slack", self.slack_fails),
            ("github", self.github_fails),
            ("registry", self.registry_fails),
            ("argocd", self.argocd_fails),
            ("store", self.store_fails),
            ("redis", self.redis_fails),
            ("slow", self.slow),
            ("streams cut", self.streams_cut),
            ("wake-ups lost", self.wakes_lost),
            ("webhooks lost", self.webhooks_lost),
            ("webhooks twice", self.webhooks_twice),
            ("webhooks late", self.webhooks_late),
        ];
        for (name, rate) in rates.iter().filter(|(_, rate)| *rate > 0.0) {
            write!(f, "{name} {rate:.2}, ")?;
        }
        write!(f, "clocks ±{} ms", self.skew)
    }
}
