//! Locks of a target, or of everything, and versions that were rolled back.

use crate::names::SlackUser;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// `lock`: nobody may deploy, to this target or to any. slack-command writes it, under the lease `lock`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetLock {
    pub by: SlackUser,
    pub reason: String,
    pub at: Timestamp,
    /// None: until somebody unlocks it.
    pub until: Option<Timestamp>,
    /// A rollback locked it. Another rollback may go on nevertheless.
    pub rollback: bool,
}

impl TargetLock {
    /// The line in the log about setting this lock.
    pub fn change(&self) -> LockChange {
        let what = LockAction::Set { until: self.until };
        LockChange { at: self.at, by: self.by.clone(), reason: self.reason.clone(), what }
    }

    /// Whether it is in force.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// `locks`: who locked and unlocked a target, or everything. slack-command writes it, under the lease `lock`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockLog {
    pub changes: Vec<LockChange>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockChange {
    pub at: Timestamp,
    pub by: SlackUser,
    pub reason: String,
    pub what: LockAction,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockAction {
    Set {
        /// None: until somebody unlocks it.
        until: Option<Timestamp>,
    },
    TakenAway {
        of: SlackUser,
    },
}

impl LockLog {
    /// Adds a change. The same change within a minute replaces the first: a retry is not a second change.
    pub fn add(&mut self, change: LockChange) {
        let of = |change: &LockChange| (change.by.clone(), change.reason.clone(), change.what.clone());
        let again = |last: &LockChange| of(last) == of(&change) && change.at.since(last.at) < Duration::from_secs(60);
        self.changes.pop_if(|last| again(last));
        self.changes.push(change);
        self.changes.drain(..self.changes.len().saturating_sub(LOCKS_REMEMBERED));
    }
}

/// How many changes of its lock a target remembers.
const LOCKS_REMEMBERED: usize = 20;

/// `rolled-back`: versions of a target that were rolled back. slack-command writes it, under the
/// lease `lock`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolledBack {
    pub versions: Vec<RolledBackVersion>,
}

/// A version that was rolled back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolledBackVersion {
    pub tag: String,
    pub by: SlackUser,
    pub at: Timestamp,
}
