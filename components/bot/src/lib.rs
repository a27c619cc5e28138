//! The stories: from a typed command to its commit, from GitHub's webhook to Argo CD's, from the commit to
//! the end.

pub mod accept;
mod aside;
mod ask;
mod context;
pub mod deploy;
mod form;
pub mod health;
mod patience;
pub mod relay;
pub mod reply;
pub mod request;
pub mod settings;
mod speak;
pub mod watch;
pub mod world;
