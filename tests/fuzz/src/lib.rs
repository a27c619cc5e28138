#![doc = include_str!("../README.md")]

pub mod corpus;
mod parts;
mod promise;
mod targets;
mod world;

pub use targets::argocd::{argocd_answer, argocd_events};
pub use targets::catalog::{catalog, catalog_included, catalog_lookup};
pub use targets::doors::{headers, push, slack_request};
pub use targets::github::{github_commit, github_history, github_snapshot};
pub use targets::manifest::{manifest, tag_path};
pub use targets::registry::registry;
pub use targets::settings::{json_setting, settings};
pub use targets::signatures::{github_signature, slack_signature};
pub use targets::slack::{response_url, slack_answer, slack_event, slack_form, slack_interaction, slack_text};
pub use targets::store::{redis_members, stored_facts, stored_value};
pub use targets::words::{command, image, names, timestamp};

/// A function that takes any bytes and panics if a promise is broken.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The name of the function, and of the file in `corpus/`.
    pub name: &'static str,
    /// The function.
    pub run: fn(&[u8]),
    /// The text of the file in `corpus/`.
    pub corpus: &'static str,
}

impl Target {
    /// The inputs that the target is always run with.
    ///
    /// # Panics
    ///
    /// If the file in `corpus/` is not a corpus.
    pub fn entries(&self) -> Vec<corpus::Entry> {
        corpus::read(self.corpus).unwrap_or_else(|error| panic!("corpus/{}.txt: {error}", self.name))
    }
}

macro_rules! targets {
    ($($name:ident),* $(,)?) => {
        /// All of them.
        pub const TARGETS: &[Target] = &[$(Target {
            name: stringify!($name),
            run: $name,
            corpus: include_str!(concat!("../corpus/", stringify!($name), ".txt")),
        }),*];
    };
}

targets! {
    argocd_answer, argocd_events, catalog, catalog_included, catalog_lookup, command, github_commit, github_history, github_signature,
    github_snapshot, headers, image, json_setting, manifest, names, push, redis_members, registry, response_url, settings,
    slack_answer, slack_event, slack_form, slack_interaction, slack_request, slack_signature, slack_text, stored_facts, stored_value,
    tag_path, timestamp,
}
