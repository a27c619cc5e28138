//! The end-to-end tests, one binary. Read `one_deploy` first.

mod one_deploy;

mod door;
mod pushes;
mod settings;
mod structure;
mod together;
mod webhooks;
