//! The seams: Spin's key-value store, Redis, one command at a time, and time. Nothing else asks the operating
//! system for the time: every caller is given a [`Clock`].

use crate::seal::Seals;
use domain::time::Timestamp;
use std::rc::Rc;
use std::time::Duration;

/// Why the store or Redis did not do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The store failed, or did not answer in time. Whether a write took effect is unknown.
    #[error("{0}")]
    Failed(&'static str),
    /// The value is there, but this build cannot read it. The value is left alone; a retry does not help.
    #[error("{0}")]
    Unreadable(&'static str),
    /// The lease that guards the key is not ours any more: nothing was written.
    #[error("the lease was lost")]
    LeaseLost,
}

impl StoreError {
    /// The value is there, but this build cannot read it.
    pub fn is_unreadable(self) -> bool {
        matches!(self, Self::Unreadable(_))
    }

    /// The reason, for the log.
    pub fn why(self) -> &'static str {
        match self {
            Self::Failed(why) | Self::Unreadable(why) => why,
            Self::LeaseLost => "the lease was lost",
        }
    }
}

/// How long the store may take to read a key. Spin itself has no limit, and the store may be on Redis.
pub const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the store may take to write a key. Much longer, because a write that we gave up on may still take
/// effect, and overwrite a later write. Leases are renewed during the wait, and a lost lease ends the wait.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Spin's key-value store. The implementation keeps to [`READ_TIMEOUT`] and [`WRITE_TIMEOUT`].
pub trait KeyValue {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError>;
    /// Writes a key whole.
    async fn set(&self, key: &str, value: &[u8]) -> Result<(), StoreError>;
    async fn delete(&self, key: &str) -> Result<(), StoreError>;
    /// Every key of the store. Slow: only to rebuild what Redis lost.
    async fn keys(&self) -> Result<Vec<String>, StoreError>;
    /// With what values are sealed, and by what they are checked.
    fn seals(&self) -> Rc<Seals>;
    /// Says that the value of this key is not ours: an operator should know.
    fn forged(&self, key: &str);
}

/// One value of a Redis answer: the kinds that we need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Nil,
    /// A status such as `OK`.
    Status(String),
    Int(i64),
    /// A bulk string.
    Text(String),
}

impl Reply {
    pub(crate) fn text(self) -> Option<String> {
        match self {
            Self::Text(text) | Self::Status(text) => Some(text),
            Self::Nil | Self::Int(_) => None,
        }
    }
}

/// Redis: one command, its arguments, a flat list of values. The implementation has a time limit
/// of [`REDIS_TIMEOUT`].
pub trait Redis {
    /// Runs a command. Arguments are sent as binary strings.
    async fn run(&self, command: &str, arguments: &[&str]) -> Result<Vec<Reply>, StoreError>;

    /// Runs a command that answers with a number.
    async fn number(&self, command: &str, arguments: &[&str]) -> Result<Option<i64>, StoreError> {
        Ok(match self.run(command, arguments).await?.first() {
            Some(Reply::Int(number)) => Some(*number),
            _ => None,
        })
    }

    /// Runs a command that answers with a text.
    async fn text(&self, command: &str, arguments: &[&str]) -> Result<Option<String>, StoreError> {
        Ok(self.run(command, arguments).await?.into_iter().next().and_then(Reply::text))
    }
}

/// How long a Redis command may take before it counts as failed. Spin itself has no limit.
pub const REDIS_TIMEOUT: Duration = Duration::from_secs(1);

/// Tells the time, and waits. A test moves the hands of its own clock.
pub trait Clock {
    fn now(&self) -> Timestamp;

    /// Time since some fixed moment, on a clock that does not jump: for leases and limits.
    fn elapsed(&self) -> Duration;

    /// Waits without blocking anything else.
    async fn sleep(&self, duration: Duration);
}
