//! What happened, in one order: every request to a stand-in when it arrives, every request to the bot and its answer,
//! and the marks of a test.
//!
//! Easy to miss: an entry is at the place where its request *arrived*; its outcome is filled in later.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use fakes::Millis;

use crate::{lock, now};

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has not ended.
    Open,
    /// It was answered with this status.
    Status(u16),
    /// A fault was played; its name.
    Fault(&'static str),
    /// The client went away before it was answered.
    HungUp,
    /// Nothing was asked: a mark.
    Mark,
}

/// One line of the journal.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its place, from 0.
    pub seq: usize,
    /// When.
    pub at: Millis,
    /// `github`, `registry`, `slack`, `argocd`; `bot` for requests to the bot; `mark`.
    pub system: &'static str,
    /// The name that the stand-in gives the call; `bot.asked`, `bot.answered`; a mark's text.
    pub call: String,
    /// Method, path and query.
    pub target: String,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took; for a stream, until it was open.
    pub took: Option<Millis>,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seq, at, call, target, outcome, .. } = self;
        write!(f, "{seq:4} {at} {call:24} {outcome:?}")?;
        if let Some(took) = self.took {
            write!(f, " in {took} ms")?;
        }
        write!(f, " {target}")
    }
}

/// The journal of one sandbox; clones are the same journal.
#[derive(Clone, Debug, Default)]
pub struct Journal(Arc<Mutex<Vec<Entry>>>);

impl Journal {
    /// Everything so far.
    pub fn entries(&self) -> Vec<Entry> {
        self.all().clone()
    }

    /// The names of the calls to stand-ins from `seq` on, in the order of arrival.
    pub fn calls_since(&self, seq: usize) -> Vec<String> {
        let all = self.all();
        let calls = all.iter().skip(seq).filter(|entry| !matches!(entry.system, "bot" | "mark"));
        calls.map(|entry| entry.call.clone()).collect()
    }

    /// Adds a mark; returns its place.
    pub fn mark(&self, text: &str) -> usize {
        self.add("mark", text, "", Outcome::Mark)
    }

    pub(crate) fn add(&self, system: &'static str, call: &str, target: &str, outcome: Outcome) -> usize {
        let mut all = self.all();
        let seq = all.len();
        let (call, target) = (call.to_owned(), target.to_owned());
        all.push(Entry { seq, at: now(), system, call, target, outcome, took: None });
        seq
    }

    /// Begins a request; it counts as hung up if the ticket is dropped without an outcome.
    pub(crate) fn begin(&self, system: &'static str, call: &str, target: &str) -> Ticket {
        Ticket { seq: self.add(system, call, target, Outcome::Open), journal: self.clone() }
    }

    fn all(&self) -> MutexGuard<'_, Vec<Entry>> {
        lock(&self.0)
    }
}

impl fmt::Display for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.all().iter().try_for_each(|entry| writeln!(f, "{entry}"))
    }
}

/// A request under way.
pub(crate) struct Ticket {
    seq: usize,
    journal: Journal,
}

impl Ticket {
    pub(crate) fn end(&self, outcome: Outcome) {
        let mut all = self.journal.all();
        if let Some(entry) = all.get_mut(self.seq).filter(|entry| entry.outcome == Outcome::Open) {
            entry.outcome = outcome;
            entry.took = Some(now().saturating_sub(entry.at));
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.end(Outcome::HungUp);
    }
}
