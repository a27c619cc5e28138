//! Everything in deploy-bot that can be decided without asking anyone.

#![expect(async_fn_in_trait, reason = "guests have one thread: no future here needs to be Send")]

pub mod argocd;
pub mod catalog;
pub mod clock;
pub mod command;
pub mod deployment;
pub mod fault;
pub mod github;
pub mod http;
pub mod image;
pub mod log;
pub mod manifest;
pub mod message;
pub mod names;
pub mod refusal;
pub mod registry;
pub mod settings;
pub mod signature;
pub mod slack;
pub mod store;
