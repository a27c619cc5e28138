//! Another system failed: which, what the bot was doing, and whether anything changed, because that is the
//! first question that anyone asks a deploy bot.
//!
//! A fault holds no text from outside, except what Argo CD or GitHub say to people: never a token, a URL or a
//! body. Its sentence is in `message`.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A system that the bot depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum System {
    #[serde(rename = "github")]
    GitHub,
    Registry,
    ArgoCd,
    Slack,
    /// The key-value store.
    Store,
    Redis,
    /// Our own settings (a Spin variable).
    Settings,
    /// The service that the gate `ask` names.
    GateService,
}

/// Whether Git, or the cluster, is different now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Changed {
    Nothing,
    /// Certainly: the values file has our commit.
    Yes,
    /// Perhaps: the bot finds out before it says more.
    Unknown,
}

/// What went wrong, in a form that a person can act on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// `allowed_outbound_hosts` does not allow the address (or one of its entries does not parse).
    Denied,
    /// No connection.
    NotConnected,
    /// No answer in time.
    TimedOut,
    /// The connection broke in the middle.
    Broken,
    /// The response is longer than what is read.
    TooLarge,
    /// An unexpected HTTP status.
    Status { status: u16 },
    /// A status that says "not now", with the time to wait.
    Unavailable { status: u16, seconds: u64 },
    /// 401: our token is not accepted.
    Unauthorized,
    /// 403: our token lacks a right; what the system said about it, if anything.
    Forbidden {
        /// The system's own sentence (trimmed to 200 characters).
        said: String,
    },
    /// 429, or a 403 that means it.
    RateLimited {
        /// When the bot may try again, in seconds.
        seconds: Option<u64>,
    },
    /// The answer is not what the system's documentation says (not JSON, a field missing).
    Nonsense {
        /// Which part: our own words.
        part: String,
    },
    /// The system said what is wrong, in its own words (trimmed to 200 characters).
    Said { said: String },
    /// The system said, in its own words (trimmed to 200 characters), that it failed itself.
    Failed { said: String },
    /// A setting is missing or malformed.
    Setting {
        /// The Spin variable's name.
        variable: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What the bot was doing, as the end of "I couldn't …": "read the values file".
    pub doing: String,
    pub system: System,
    pub changed: Changed,
    pub cause: Cause,
}

impl Fault {
    /// A fault of a call that changes nothing.
    pub fn new(system: System, doing: &str, cause: Cause) -> Self {
        Self { doing: doing.to_owned(), system, changed: Changed::Nothing, cause }
    }

    pub fn changed(mut self, changed: Changed) -> Self {
        self.changed = changed;
        self
    }

    /// Whether the same question may have an answer a moment later. An answer that nobody understands passes,
    /// too: a proxy in between gives such answers for a moment.
    pub fn passing(&self) -> Passing {
        let pause = |seconds: &u64| Passing::Pause(Some(Duration::from_secs(*seconds)));
        match &self.cause {
            Cause::RateLimited { seconds: Some(seconds) } | Cause::Unavailable { seconds, .. } => pause(seconds),
            // GitHub asks for a minute then:
            // https://docs.github.com/en/graphql/overview/rate-limits-and-query-limits-for-the-graphql-api
            Cause::RateLimited { seconds: None } if self.system == System::GitHub => Passing::Pause(None),
            Cause::RateLimited { seconds: None }
            | Cause::NotConnected
            | Cause::TimedOut
            | Cause::Broken
            | Cause::TooLarge
            | Cause::Nonsense { .. }
            | Cause::Failed { .. } => Passing::Soon,
            Cause::Status { status } if *status >= 500 || *status == 408 => Passing::Soon,
            // GitHub says why. A 403 without a word is by somebody in between.
            Cause::Forbidden { said } if said.is_empty() && self.system == System::GitHub => Passing::Soon,
            Cause::Status { .. }
            | Cause::Forbidden { .. }
            | Cause::Denied
            | Cause::Unauthorized
            | Cause::Said { .. }
            | Cause::Setting { .. } => Passing::Never,
        }
    }
}

/// Whether a fault passes by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passing {
    /// The same question has the same answer until a person changes something.
    Never,
    /// Perhaps a moment later.
    Soon,
    /// After a pause that the system asked for: this long, if it said how long.
    Pause(Option<Duration>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_changed_until_somebody_says_so() {
        let fault = Fault::new(System::GitHub, "read", Cause::Broken);
        assert_eq!(fault.changed, Changed::Nothing);
        assert_eq!(fault.changed(Changed::Unknown).changed, Changed::Unknown);
    }

    #[test]
    fn a_fault_passes_unless_a_person_has_to_mend_it() {
        let check = |system: System, cause: Cause, expected: Passing| {
            assert_eq!(Fault::new(system, "read", cause.clone()).passing(), expected, "{system:?} {cause:?}");
        };
        let words = || "words".to_owned();
        let seconds = |seconds| Passing::Pause(Some(Duration::from_secs(seconds)));
        for system in [System::GitHub, System::Registry, System::Slack] {
            for cause in [Cause::NotConnected, Cause::TimedOut, Cause::Broken, Cause::TooLarge] {
                check(system, cause, Passing::Soon);
            }
            for status in [408, 500, 502, 503, 504] {
                check(system, Cause::Status { status }, Passing::Soon);
            }
            for status in [307, 400, 404, 422] {
                check(system, Cause::Status { status }, Passing::Never);
            }
            check(system, Cause::Nonsense { part: words() }, Passing::Soon);
            check(system, Cause::Failed { said: words() }, Passing::Soon);
            check(system, Cause::RateLimited { seconds: Some(7) }, seconds(7));
            check(system, Cause::Unavailable { status: 503, seconds: 9 }, seconds(9));
            check(system, Cause::Forbidden { said: words() }, Passing::Never);
            for cause in [Cause::Denied, Cause::Unauthorized, Cause::Said { said: words() }] {
                check(system, cause, Passing::Never);
            }
            check(system, Cause::Setting { variable: words() }, Passing::Never);
        }
        check(System::GitHub, Cause::RateLimited { seconds: None }, Passing::Pause(None));
        check(System::Registry, Cause::RateLimited { seconds: None }, Passing::Soon);
        check(System::GitHub, Cause::Forbidden { said: String::new() }, Passing::Soon);
        check(System::Registry, Cause::Forbidden { said: String::new() }, Passing::Never);
    }
}
