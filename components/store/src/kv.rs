//! Seam: Spin's key-value store, what a store that fails says, and how a value is written.

use serde::{Serialize, de::DeserializeOwned};
use std::time::Duration;

/// Why the store or Redis did not do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It failed, or did not answer in time. Whether a write took effect is unknown.
    #[error("{0}")]
    Failed(&'static str),
    /// The value is there, but this build cannot read it: it is left alone, and trying again does not help.
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

/// How long it may take to write one. Much longer: a write that was given up may take effect all the same, after whatever was written
/// next. Leases are renewed meanwhile, and a lease that is lost ends the wait.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Spin's key-value store. The implementation keeps to [`READ_TIMEOUT`] and [`WRITE_TIMEOUT`].
pub trait KeyValue {
    /// Reads a key.
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError>;
    /// Writes a key whole.
    async fn set(&self, key: &str, value: &[u8]) -> Result<(), StoreError>;
    /// Deletes a key; it may be absent.
    async fn delete(&self, key: &str) -> Result<(), StoreError>;
    /// Every key of the store. Slow: only to rebuild what Redis lost.
    async fn keys(&self) -> Result<Vec<String>, StoreError>;
}

/// The format of values that this build writes, and the only one that it reads.
const VERSION: u64 = 1;

/// Writes `{"version": 1, …value}`.
fn encode(value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    let mut value = serde_json::to_value(value).map_err(|_| StoreError::Failed("a value that is not JSON"))?;
    let object = value.as_object_mut().ok_or(StoreError::Failed("a value that is not a JSON object"))?;
    object.insert("version".to_owned(), VERSION.into());
    serde_json::to_vec(&value).map_err(|_| StoreError::Failed("a value that is not JSON"))
}

/// Reads it; another version is an error, so that the key is left alone.
fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    let value: serde_json::Value =
        serde_json::from_slice(bytes).map_err(|_| StoreError::Unreadable("a stored value is not JSON"))?;
    if value.get("version").and_then(serde_json::Value::as_u64) != Some(VERSION) {
        return Err(StoreError::Unreadable("a stored value has a version that this build does not know"));
    }
    serde_json::from_value(value)
        .map_err(|_| StoreError::Unreadable("a stored value does not have the fields of its version"))
}

pub(crate) async fn read<T: DeserializeOwned>(store: &impl KeyValue, key: &str) -> Result<Option<T>, StoreError> {
    store.get(key).await?.map(|bytes| decode(&bytes)).transpose()
}

pub(crate) async fn write(store: &impl KeyValue, key: &str, value: &impl Serialize) -> Result<(), StoreError> {
    store.set(key, &encode(value)?).await
}
