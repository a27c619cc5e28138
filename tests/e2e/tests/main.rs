//! The end-to-end tests, one binary. Read `one_deploy` first.

mod door;
mod one_deploy;
mod pushes;
mod settings;
mod structure;
