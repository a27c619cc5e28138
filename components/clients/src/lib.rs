//! One module for each outside system: bytes to domain values and back. Each call is three functions:
//! `x_request` builds the request, `read_x` understands the answer, `x` does both over [`http::Http`].
//!
//! # Invariants
//!
//! - Nothing here opens a connection or reads the time: the seam [`http::Http`] comes in as an argument.
//! - `github`, `registry`, `argocd` and `slack` never name each other.

#![expect(async_fn_in_trait, reason = "guests have one thread: no future here needs to be Send")]

pub mod argocd;
pub mod gate;
pub mod github;
pub mod http;
pub mod registry;
pub mod signature;
pub mod slack;
