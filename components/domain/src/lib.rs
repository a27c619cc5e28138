//! Everything in deploy-bot that can be decided without asking anyone. It cannot do IO: what it needs of the world are the traits
//! of [`http`], [`store`], [`clock`] and [`log`], together [`log::World`].
//!
//! # Words
//!
//! | word | meaning |
//! |---|---|
//! | [`catalog::Catalog`], `App`, `Environment`, [`names::Target`] | what may be deployed, where, by whom; a target is one Argo CD application |
//! | [`catalog::Gates`], owners | what else has to be so before a deployment; who may release locks and override a freeze |
//! | [`command::Command`] | what a person typed, understood |
//! | [`deployment::Source`] | what they want deployed: a repository, a pull request or branch, the commit at its head |
//! | [`image::Tag`], `ImageRef`, `Digest` | the image that belongs to it |
//! | [`manifest::Edit`] | one tag changed in one file, proven to be the only change |
//! | deployment | one request from the command to the last word; its id is the same for the same click |
//! | [`deployment::Fact`] | one key of a deployment, written whole, by one role only |
//! | [`deployment::State`] | the fold of the facts: computed, never stored |
//! | [`push::PushNote`] | what people pushed to a file of a target: announced once in its channel, never synced |
//! | [`argocd::Application`] | Argo CD's answer in our words |
//! | [`refusal::Refusal`] | we said no, and the person can do something about it; nothing was changed |
//! | [`fault::Fault`] | another system failed: which, doing what, and whether anything changed |
//! | [`store::Lease`] | proof, with a local deadline, that we were given a name for a while |
//! | wake-up, `news`, `in-flight` | hints in Redis: they save waiting, and losing them loses no work |
//! | watch, carrier, guardian | who follows Argo CD; who brings a request to its commit; the same one afterwards, waking the watch |
//!
//! # States
//!
//! ```text
//!            commit             committed             push             watch.asked
//!  Accepted ────────▶ Committing ────────▶ Committed ──────▶ Relayed ─────────────▶ Syncing
//!     └────────┬──────────┘                    └────────────────┼──────────────────────┘
//!              │ end                                            │ outcome
//!              ▼                                                ▼
//!   Refused · Failed · Cancelled                Live · Failed · Superseded · TimedOut
//!     (6 min after the request, outcome: Failed · Unknown)
//! ```
//!
//! Only one final state is ever replaced: an `end`, by `committed`, because then the commit is in Git. [`deployment`] has the races.
//!
//! # Reading order
//!
//! [`deployment`] (the heart), [`command`], [`catalog`], [`image`], [`manifest`], [`refusal`], [`fault`], [`push`], [`message`], then [`store`], [`late`],
//! [`http`], [`signature`], [`settings`], then one module for each outside system: [`github`], [`registry`], [`argocd`], [`slack`].
//! The stories that use them: slack-command's `accept` and `carry`, github-relay's `handle`, sync-poller's `watch` and `follow`.
//!
//! # Invariants
//!
//! - Nothing here opens a connection, reads the time or asks for a variable: values and seams come in as arguments.
//! - `github`, `registry`, `argocd` and `slack` never name each other; each builds its requests and reads its answers.
//! - `command` and `manifest` know no HTTP and no store. Every sentence that people read is in `message`.
//! - A fact has one writer, so nothing needs compare-and-swap; a lease makes duplicates rare and is never the only safety.
//! - Identifiers and secrets are types of their own, parsed at the door; a [`names::Secret`] does not print itself.
//! - Text from outside never panics: no `unwrap`, no indexing, no plain arithmetic outside tests.

pub mod application;
pub mod catalog;
pub mod command;
pub mod deployment;
pub mod fault;
pub mod image;
pub mod limits;
pub mod lock;
pub mod message;
pub mod names;
pub mod nonempty;
pub mod push;
pub mod refusal;
pub mod text;
pub mod time;
pub mod values;
