//! The stories: from a typed command to its commit, from GitHub's webhook to Argo CD's, from the commit to the end.

pub mod accept;
pub mod carry;
pub mod converse;
mod late;
pub mod log;
pub mod relay;
pub mod reply;
pub mod settings;
mod speaker;
pub mod watch;
pub mod world;
