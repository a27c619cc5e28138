//! The end-to-end tests, one binary. Read `one_deploy` first.

mod one_deploy;

mod argocd;
mod crashes;
mod door;
mod faults;
mod healthz;
mod load;
mod people;
mod pushes;
mod redis;
mod refusals;
mod registry;
mod replicas;
mod settings;
mod structure;
mod together;
mod webhooks;
