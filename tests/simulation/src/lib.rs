//! The whole system in one thread, on virtual time: the stories of all three components, several replicas of
//! each, against the stand-ins. A seed decides what people do, what goes wrong and in which order everything
//! happens, so its number plays the same run again.
//!
//! [`day`] plays one seed: some deploys, some trouble, then good weather until nothing is under way. Then
//! `invariants` checks what the bot promises. [`Report`] says which promise was broken, and
//! [`Report::journal`] says what led to that.
//!
//! Reading order: `kernel` (time, processes, order), `world` (the seams), `town` (what is around the stories), `weather`, `day`, `invariants`.

mod day;
mod invariants;
mod kernel;
mod redis;
mod scene;
mod town;
mod weather;
mod world;

pub use day::{Report, crowd, cut_off, day, forgetful, morning, one_by_one, talkative, years};
pub use scene::{Scene, View, scene, views};
