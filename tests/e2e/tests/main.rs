//! The end-to-end tests, one binary. Read `one_deploy` first.

mod one_deploy;
mod together;
mod webhooks;
