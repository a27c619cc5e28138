//! The end-to-end tests, one binary. Read `one_deploy` first.

mod one_deploy;

mod announced;
mod argocd;
mod arrows;
mod buttons;
mod cluster;
mod conversation;
mod crashes;
mod docs;
mod door;
mod fault_table;
mod faults;
mod healthz;
mod kept;
mod load;
mod meanwhile;
mod outages;
mod people;
mod promise;
mod pushes;
mod readme;
mod redis;
mod refusals;
mod registry;
mod relayed;
mod replicas;
mod reviews;
mod seen;
mod settings;
mod slack;
mod streams;
mod structure;
mod together;
mod verdicts;
mod webhooks;
