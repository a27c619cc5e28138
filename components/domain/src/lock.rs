//! Locks of a target, or of everything, and versions that were rolled back.

use crate::names::SlackUser;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// `lock`: nobody may deploy, to this target or to any. slack-command writes it, under the lease [`lock_lease`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetLock {
    /// Who locked it.
    pub by: SlackUser,
    /// Why.
    pub reason: String,
    /// Since when.
    pub at: Timestamp,
    /// Until when, if not for good.
    pub until: Option<Timestamp>,
    /// A rollback locked it: another rollback may go on nevertheless.
    pub rollback: bool,
}

impl TargetLock {
    /// That it was set, for the record.
    pub fn change(&self) -> LockChange {
        let what = Locked::Set { until: self.until };
        LockChange { at: self.at, by: self.by.clone(), reason: self.reason.clone(), what }
    }

    /// Whether it is in force.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// `locks`: who locked and unlocked a target, or everything. slack-command writes it, under the lease [`lock_lease`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockLog {
    /// Newest last, few.
    pub changes: Vec<LockChange>,
}

/// A lock was set or taken away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockChange {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: SlackUser,
    /// Why it was locked.
    pub reason: String,
    /// Which of the two.
    pub what: Locked,
}

/// Which change of a lock it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Locked {
    /// It was set.
    Set {
        /// Until when, if not for good.
        until: Option<Timestamp>,
    },
    /// It was taken away.
    TakenAway {
        /// Whose it was.
        of: SlackUser,
    },
}

impl LockLog {
    /// Adds a change. The same once more, as whoever had to do it again says it at once, is one.
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

/// `rolled-back`: versions of a target that were rolled back. slack-command writes it, under the lease [`lock_lease`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolledBack {
    /// Newest last, few.
    pub versions: Vec<RolledBackVersion>,
}

/// A version that was rolled back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolledBackVersion {
    /// Its tag.
    pub tag: String,
    /// By whom.
    pub by: SlackUser,
    /// When.
    pub at: Timestamp,
}
