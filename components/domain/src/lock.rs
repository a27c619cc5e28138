//! Locks of a target, or of everything, and versions that were rolled back.

use crate::image::{Digest, Tag};
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
    /// The bot locked it by itself, after the deploy of that person: whoever may deploy there may unlock it after a look.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub itself: bool,
}

/// How long a lock lasts at most where there are no owners: nobody but its author could take it away.
pub const LONGEST_UNOWNED: Duration = Duration::from_secs(24 * 3600);

impl TargetLock {
    /// As it is in force: without owners it ends by itself.
    #[must_use]
    pub fn ending(mut self, owned: bool) -> Self {
        if !owned {
            let last = self.at.after(LONGEST_UNOWNED);
            self.until = Some(self.until.map_or(last, |until| until.min(last)));
        }
        self
    }

    /// The line in the log about setting this lock.
    pub fn change(&self) -> LockChange {
        let what = LockAction::Set { until: self.until };
        LockChange { at: self.at, by: self.by.clone(), reason: self.reason.clone(), what, itself: self.itself }
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
    /// The bot did it by itself, after the deploy of that person.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub itself: bool,
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

impl RolledBackVersion {
    /// Whether it is this version, also under another tag.
    pub fn is(&self, tag: &Tag, digest: Option<&Digest>) -> bool {
        let is_image = digest.is_some() && self.digest.as_ref() == digest;
        is_image || (self.tag == tag.as_str() && !(self.moves && self.digest.is_some() && digest.is_some()))
    }
}

/// A version that was rolled back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolledBackVersion {
    pub tag: String,
    /// Its image, where that is known.
    pub digest: Option<Digest>,
    /// The tag is a channel: only its image says which version it was.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub moves: bool,
    pub by: SlackUser,
    pub at: Timestamp,
    /// The bot did it by itself, after the deploy of that person.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub itself: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deployment::samples::{at, user};

    #[test]
    fn of_a_channel_only_the_image_was_rolled_back() {
        let (latest, other) = (Tag::parse("latest").unwrap(), Tag::parse("main-1234567").unwrap());
        let digest = |digit: &str| Digest::parse(&format!("sha256:{}", digit.repeat(64))).unwrap();
        let (was, now) = (digest("1"), digest("2"));
        let bad = |moves: bool, digest: Option<Digest>| RolledBackVersion {
            tag: "latest".to_owned(),
            digest,
            moves,
            by: user("U1"),
            at: at(1),
            itself: false,
        };
        let channel = bad(true, Some(was.clone()));
        assert!(channel.is(&latest, Some(&was)) && channel.is(&other, Some(&was)) && channel.is(&latest, None));
        assert!(!channel.is(&latest, Some(&now)) && bad(false, Some(was)).is(&latest, Some(&now)));
        assert!(bad(true, None).is(&latest, Some(&now)));
    }

    #[test]
    fn a_lock_without_owners_ends_within_a_day() {
        let day = LONGEST_UNOWNED.as_secs();
        let check = |until: Option<u64>, owned: bool, expected: Option<u64>| {
            let (by, reason) = (user("U1"), "load test".to_owned());
            let lock = TargetLock { by, reason, at: at(10), until: until.map(at), rollback: false, itself: false };
            assert_eq!(lock.ending(owned).until, expected.map(at), "{until:?}");
        };
        check(None, true, None);
        check(Some(2 * day), true, Some(2 * day));
        check(None, false, Some(10 + day));
        check(Some(2 * day), false, Some(10 + day));
        check(Some(70), false, Some(70));
    }
}
