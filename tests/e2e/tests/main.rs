//! The end-to-end tests, one binary. Read `one_deploy` first.

mod one_deploy;

mod argocd;
mod door;
mod fault_table;
mod faults;
mod promise;
mod pushes;
mod readme;
mod refusals;
mod registry;
mod resume;
mod settings;
mod structure;
mod together;
mod webhooks;
