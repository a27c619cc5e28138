//! The whole system in one thread, on virtual time: the stories of all three components, several replicas of each, against the stand-ins.
//! A seed decides what people do, what goes wrong and in which order everything happens, so any run can be had again from its number.
//!
//! [`day`] plays one seed: some deploys, some trouble, then good weather until all is settled; then it asks whether what the bot promises
//! is true (`invariants`). [`Report`] tells what was broken, and with [`Report::journal`] how it came about.
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
pub use scene::{Scene, scene};
