//! Slack: what it sends us (a slash command, a pressed button, a mention) and the few calls that we make.
//!
//! Easy to miss: Slack answers HTTP 200 for failures too, with `"ok": false` in the body.
//! `read_ok` is the one place that looks.

mod api;
mod event;
mod inbound;

pub use api::*;
pub use event::{Event, Mention};
pub use inbound::{FormError, FormEvent, InForm, Interaction, LONGEST_CHECK, SlashCommand, is_ssl_check};
