//! Seam: Redis, one command at a time.

use crate::kv::StoreError;
use std::time::Duration;

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

/// Redis: one command, its arguments, a flat list of values. The implementation has a time limit of
/// [`REDIS_TIMEOUT`].
pub trait Redis {
    /// Runs a command. Arguments are sent as binary strings.
    async fn run(&self, command: &str, arguments: &[&str]) -> Result<Vec<Reply>, StoreError>;
}

/// How long a Redis command may take before it counts as failed. Spin itself has no limit.
pub const REDIS_TIMEOUT: Duration = Duration::from_secs(1);
