//! The targets as ordinary tests: the corpus, a short run of inputs made of it, what every target must have, and what hostile input
//! of the largest size costs.

mod cost;
mod inputs;
mod mutate;
mod structure;
