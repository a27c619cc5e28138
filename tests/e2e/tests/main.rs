//! The end-to-end tests, one binary. Read `one_deploy` first.

mod one_deploy;

mod argocd;
mod door;
mod faults;
mod meanwhile;
mod people;
mod pushes;
mod refusals;
mod registry;
mod resume;
mod settings;
mod slack;
mod streams;
mod structure;
mod together;
mod webhooks;
