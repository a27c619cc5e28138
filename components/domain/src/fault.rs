//! Another system failed: which, what the bot was doing, and whether anything changed, because that is the
//! first question that anyone asks a deploy bot.
//!
//! A fault holds no text from outside, except what Argo CD or GitHub say to people: never a token, a URL or a
//! body. Its sentence is in `message`.

use serde::{Deserialize, Serialize};

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
}
