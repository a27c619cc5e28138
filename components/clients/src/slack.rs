//! Slack: what it sends us (a slash command, a pressed button) and the few calls that we make.
//!
//! Easy to miss: Slack answers HTTP 200 for failures too, with `"ok": false` in the body.
//! `read_ok` is the one place that looks.

mod api;
mod inbound;

pub use api::*;
pub use inbound::{FormError, FormEvent, InForm, Interaction, LONGEST_CHECK, SlashCommand, is_ssl_check};
