//! Another system failed: which, while we did what, and whether anything changed, which is the first question that anyone asks a deploy bot.
//!
//! A fault holds no text from outside but what Argo CD or GitHub say to people; never a token, a URL or a body. Its sentence is in `message`.

use serde::{Deserialize, Serialize};

/// A system that is not us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum System {
    /// GitHub's API.
    #[serde(rename = "github")]
    GitHub,
    /// The container registry.
    Registry,
    /// Argo CD's API.
    ArgoCd,
    /// Slack's API.
    Slack,
    /// The key-value store.
    Store,
    /// Redis.
    Redis,
    /// Our own settings (a Spin variable).
    Settings,
}

/// Whether the other system, or the cluster, is different now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Changed {
    /// Certainly not.
    Nothing,
    /// Certainly: the values file has our commit.
    Yes,
    /// It may have; we find out before we say more.
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
    /// An answer longer than we read.
    TooLarge,
    /// An HTTP status that we did not expect.
    Status {
        /// The status.
        status: u16,
    },
    /// 401: our token is not accepted.
    Unauthorized,
    /// 403: our token lacks a right; what the system said about it, if anything.
    Forbidden {
        /// The system's own sentence (trimmed to 200 characters).
        said: String,
    },
    /// 429, or a 403 that means it.
    RateLimited {
        /// When we may try again, in seconds.
        seconds: Option<u64>,
    },
    /// The answer is not what the system's documentation says (not JSON, a field missing).
    Nonsense {
        /// Which part: our own words.
        part: String,
    },
    /// The system said what is wrong, in its own words (trimmed to 200 characters).
    Said {
        /// Those words.
        said: String,
    },
    /// A setting is missing or malformed.
    Setting {
        /// The Spin variable's name.
        variable: String,
    },
}

/// Another system failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What we were doing, as the end of "I could not …": "read the values file".
    pub doing: String,
    /// Which system.
    pub system: System,
    /// Did anything change?
    pub changed: Changed,
    /// What went wrong.
    pub cause: Cause,
}

impl Fault {
    /// A fault of a call that changes nothing.
    pub fn new(system: System, doing: &str, cause: Cause) -> Self {
        Self { doing: doing.to_owned(), system, changed: Changed::Nothing, cause }
    }

    /// The same with another answer to "did anything change?".
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
