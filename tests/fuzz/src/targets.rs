//! One function per target, by the system that the bytes come from.

pub(crate) mod argocd;
pub(crate) mod catalog;
pub(crate) mod doors;
pub(crate) mod github;
pub(crate) mod manifest;
pub(crate) mod readers;
pub(crate) mod registry;
pub(crate) mod settings;
pub(crate) mod signatures;
pub(crate) mod slack;
pub(crate) mod store;
pub(crate) mod words;
