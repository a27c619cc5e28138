//! Everything in deploy-bot that can be decided without asking anyone.
//!
//! # Words
//!
//! | word | meaning |
//! |---|---|
//! | [`catalog::Catalog`], `App`, `Environment` | what may be deployed where |
//! | [`names::Target`] | an app in an environment |
//! | [`catalog::Gates`] | what else has to be so before a deployment: checks, approvals, freezes and more |
//! | [`command::Command`] | what a person typed, understood |
//! | [`deployment::Origin`] | where a request came from: a command, or a button |
//! | [`deployment::Source`] | what is to be deployed: a pull request or branch, and the commit at its head |
//! | [`image::Tag`], `ImageRef`, `Digest` | the image that belongs to it |
//! | [`values::Edit`] | one tag changed in one file, proven to be the only change |
//! | [`deployment::Plan`] | what will be done, immutable |
//! | [`deployment::Granted`] | what was approved or overridden, and by whom |
//! | deployment | one request, from the command to its end: the fold of its facts |
//! | [`deployment::Fact`] | one key of a deployment, written whole, by one role only |
//! | [`deployment::State`] | how far a deployment is: computed, never stored |
//! | [`application::Application`] | Argo CD's answer in our words |
//! | [`refusal::Refusal`] | the bot refused, and the person can fix the cause; nothing was changed |
//! | [`fault::Fault`] | another system failed: which, doing what, and whether anything changed |
//! | [`patience::Tried`] | what became of a read so far, and whether it is asked again |
//! | [`push::PushNote`] | what people pushed to a file of a target: announced once, never synced |
//!
//! # Reading order
//!
//! [`deployment`] first: it is the heart, and has the diagram of the states and the races. Then [`command`],
//! [`catalog`], [`image`], [`values`], [`refusal`], [`fault`], [`application`], and [`message`] last.
//!
//! # Invariants
//!
//! - Nothing here opens a connection, reads the time or asks for a variable: each value comes in as an
//!   argument. The crate depends on nothing that could.
//! - Nearly every sentence that people read is in [`message`]. Elsewhere are: help ([`verb`]), problems of a
//!   command or of the catalog, a gate's short words, and what a fault was doing.
//! - Identifiers and secrets are types of their own, parsed when they come in. A [`names::Secret`] does not
//!   print itself.
//! - Text from outside never makes anything panic: no `unwrap`, no indexing, no plain arithmetic outside
//!   tests.

pub mod application;
pub mod catalog;
pub mod command;
pub mod deployment;
pub mod fault;
pub mod form;
pub mod github;
pub mod image;
pub mod limits;
pub mod lock;
pub mod message;
pub mod names;
pub mod nonempty;
pub mod patience;
pub mod people;
pub mod push;
pub mod refusal;
pub mod relay;
pub mod seen;
pub mod selection;
pub mod sources;
pub mod text;
pub mod time;
pub mod values;
pub mod verb;
mod yaml;
