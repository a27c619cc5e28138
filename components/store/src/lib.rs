//! What deploy-bot remembers: facts in a key-value store; leases, wake-ups and hints in Redis.
//!
//! The key-value store is the truth: it has no compare-and-swap, so one role writes a key and nobody else.
//! Redis makes duplicates rare and waiting short, and may forget everything at any moment; nothing here
//! relies on it for safety.

#![expect(async_fn_in_trait, reason = "guests have one thread: no future here needs to be Send")]

mod choices;
mod facts;
mod flight;
mod key;
mod kv;
mod lease;
mod locks;
#[cfg(test)]
mod memory;
mod pace;
mod ring;
mod seal;
mod seams;
mod told;

pub use choices::*;
pub use facts::*;
pub use flight::*;
pub use key::*;
pub use lease::*;
pub use locks::*;
pub use pace::*;
pub use ring::*;
pub use seal::Seals;
pub use seams::*;
pub use told::*;
