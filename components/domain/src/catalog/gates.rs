//! The gates of an environment: what has to be so before somebody may deploy there, besides `allow`.
//!
//! Nothing here asks anyone: who approved, what the checks say and what time it is are told by the caller.
//!
//! # What a freeze does when the clocks change
//!
//! The wall clock in the freeze's time zone decides, and nothing else: a moment is frozen if the time that the clock shows then is
//! within the window, from `from` on and before `until`. So an hour that the clock skips in spring is in no freeze: a freeze that
//! would begin in it begins, and one that would end in it ends, when the clock jumps; one that lies within it does not happen that
//! day. An hour that the clock shows twice in autumn is frozen both times: a freeze until 02:30 ends at the first 02:30, and is in
//! force again from the second 02:00 to the second 02:30.

use crate::names::{BranchName, SlackGroup, SlackUser};
use crate::text::{nearest, quoted};
use crate::time::Timestamp;
use jiff::tz::TimeZone;
use std::fmt;
use std::time::Duration;

/// People who are named, by themselves or by a user group. Nobody, if it is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct People {
    /// People.
    pub users: Vec<SlackUser>,
    /// User groups. Slack knows who is in them.
    pub groups: Vec<SlackGroup>,
}

impl People {
    /// Whether this is nobody.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty() && self.groups.is_empty()
    }

    /// Whether somebody is named by themselves. If not, they may still be in one of the groups, see [`People::includes`].
    pub fn names(&self, user: &SlackUser) -> bool {
        self.users.contains(user)
    }

    /// Whether somebody is named, by themselves or by one of the groups that they are in.
    pub fn includes(&self, user: &SlackUser, groups_of_user: &[SlackGroup]) -> bool {
        self.names(user) || groups_of_user.iter().any(|group| self.groups.contains(group))
    }
}

/// What has to be so before a deployment. The default has nothing that stops anybody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gates {
    /// The branches that may be deployed, also as the branch of a pull request. Empty: any.
    pub branches: Vec<BranchGlob>,
    /// Whether the commit's checks have to be successful.
    pub checks: Checks,
    /// What happens if other people's changes, committed but not yet synced, would ride along.
    pub foreign_changes: ForeignChanges,
    /// Who has to agree.
    pub approvals: Option<Approvals>,
    /// When nothing may be deployed.
    pub freeze: Vec<Freeze>,
}

/// Whether the checks of the commit that is deployed have to be successful.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checks {
    /// No.
    #[default]
    Ignore,
    /// Yes.
    Required,
}

/// What happens if other people's changes would ride along.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForeignChanges {
    /// It is said.
    #[default]
    Warn,
    /// The deployment is refused.
    Refuse,
}

/// Who has to agree to a deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approvals {
    /// How many people, 1 to 10.
    pub count: u8,
    /// Who may; never empty.
    pub by: People,
    /// How long a request for approval stands.
    pub expires: Duration,
}

impl Gates {
    /// Whether a branch may be deployed.
    pub fn takes_branch(&self, branch: &BranchName) -> bool {
        self.branches.is_empty() || self.branches.iter().any(|glob| glob.matches(branch))
    }

    /// If a freeze is in force now: when nothing is frozen any more, following windows that overlap or touch. At most
    /// [`Freeze::FURTHEST`] ahead, where it may be frozen still.
    pub fn frozen_until(&self, now: Timestamp) -> Option<Timestamp> {
        let furthest = now.after(Freeze::FURTHEST);
        let mut free = now;
        // Each turn gets further, to one of the few moments of eight days at which one of the windows ends.
        while free < furthest {
            match self.freeze.iter().filter_map(|freeze| freeze.until(free)).max() {
                Some(until) => free = until.min(furthest),
                None => break,
            }
        }
        (free > now).then_some(free)
    }
}

/// A pattern for branches: `*` stands for any characters but `/`, `**` for any characters, `?` for one character but `/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BranchGlob(String);

/// A part of a pattern.
enum Piece {
    Exactly(char),
    OneOfSegment,
    AnyOfSegment,
    Any,
}

impl BranchGlob {
    /// Checks the pattern: a branch could match it.
    pub fn parse(text: &str) -> Option<Self> {
        let example = text.replace(['*', '?'], "x");
        (BranchName::parse(&example).is_ok() && !text.contains("***")).then(|| Self(text.to_owned()))
    }

    fn pieces(&self) -> impl Iterator<Item = Piece> {
        let mut rest = self.0.chars().peekable();
        std::iter::from_fn(move || match rest.next()? {
            '*' if rest.next_if_eq(&'*').is_some() => Some(Piece::Any),
            '*' => Some(Piece::AnyOfSegment),
            '?' => Some(Piece::OneOfSegment),
            other => Some(Piece::Exactly(other)),
        })
    }

    /// Whether the whole name of the branch matches. The work is at most the product of the two lengths.
    pub fn matches(&self, branch: &BranchName) -> bool {
        let name = branch.as_str();
        // Whether what was taken of the pattern matches the first n characters of the name, for each n from 0.
        let mut matched = vec![false; name.chars().count().saturating_add(1)];
        if let Some(nothing) = matched.first_mut() {
            *nothing = true;
        }
        for piece in self.pieces() {
            let mut cells = matched.iter_mut();
            let Some(nothing) = cells.next() else { return false };
            let mut before = *nothing; // without this piece, up to the character before
            let mut so_far = *nothing; // with this piece, up to the character before
            if matches!(piece, Piece::Exactly(_) | Piece::OneOfSegment) {
                (*nothing, so_far) = (false, false);
            }
            for (cell, c) in cells.zip(name.chars()) {
                so_far = match piece {
                    Piece::Exactly(wanted) => before && c == wanted,
                    Piece::OneOfSegment => before && c != '/',
                    Piece::AnyOfSegment => *cell || (so_far && c != '/'),
                    Piece::Any => *cell || so_far,
                };
                before = *cell;
                *cell = so_far;
            }
        }
        matched.last().copied().unwrap_or_default()
    }
}

impl fmt::Display for BranchGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A window in which nothing is deployed: every week, or every day. It may wrap: Friday to Monday, 22:00 to 06:00.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freeze {
    from: WallTime,
    /// Not the same as `from`, and with a day of the week if `from` has one.
    until: WallTime,
    zone: TimeZone,
}

/// Why a freeze cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidFreeze {
    /// Which of its keys is wrong.
    pub key: &'static str,
    /// What is wrong.
    pub problem: String,
}

/// What a clock on a wall shows, with the day if it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct WallTime {
    /// From 0, Monday.
    day: Option<u8>,
    hour: u8,
    minute: u8,
}

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
/// In milliseconds.
const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;
const WEEK: i64 = 7 * DAY;
/// From the beginning of a week to the epoch, a Thursday.
const EPOCH_IN_WEEK: i64 = 3 * DAY;

impl WallTime {
    /// `16:00` or `Fri 16:00`.
    fn parse(text: &str) -> Option<Self> {
        let (day, time) = match text.split_once(' ') {
            Some((day, time)) => (Some(DAYS.iter().position(|name| *name == day)?), time),
            None => (None, text),
        };
        let (hour, minute) = time.split_once(':')?;
        let two_digits = |text: &str| {
            (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse::<u8>().ok()).flatten()
        };
        let day = day.map(u8::try_from).transpose().ok()?;
        let (hour, minute) = (two_digits(hour)?, two_digits(minute)?);
        (hour < 24 && minute < 60).then_some(Self { day, hour, minute })
    }

    /// Milliseconds since the beginning of the week, or of the day.
    fn position(self) -> i64 {
        let hours = i64::from(self.day.unwrap_or_default()).saturating_mul(24).saturating_add(i64::from(self.hour));
        hours.saturating_mul(60).saturating_add(i64::from(self.minute)).saturating_mul(MINUTE)
    }
}

impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(day) = self.day.and_then(|day| DAYS.get(usize::from(day))) {
            write!(f, "{day} ")?;
        }
        write!(f, "{:02}:{:02}", self.hour, self.minute)
    }
}

impl Freeze {
    /// How far ahead its end is looked for. Clocks that change can make two windows touch that are a week each.
    pub const FURTHEST: Duration = Duration::from_secs(8 * 24 * 60 * 60);

    /// Understands a window: `16:00` or `Fri 16:00`, both alike, and the IANA name of a time zone.
    pub fn parse(from: &str, until: &str, zone: &str) -> Result<Self, InvalidFreeze> {
        let time = |key: &'static str, text: &str| {
            let problem = || format!("{} is not a time such as `16:00` or `Fri 16:00`", quoted(text));
            WallTime::parse(text).ok_or_else(|| InvalidFreeze { key, problem: problem() })
        };
        let (starts, ends) = (time("from", from)?, time("until", until)?);
        if starts == ends {
            return Err(InvalidFreeze { key: "until", problem: format!("{} is the same as `from`", quoted(until)) });
        }
        if starts.day.is_some() != ends.day.is_some() {
            let problem = "give it a weekday if `from` has one, and none if it has none".to_owned();
            return Err(InvalidFreeze { key: "until", problem });
        }
        Ok(Self { from: starts, until: ends, zone: time_zone(zone)? })
    }

    /// If it is in force now: when it ends, at most [`Freeze::FURTHEST`] ahead.
    pub fn until(&self, now: Timestamp) -> Option<Timestamp> {
        let furthest = i64::try_from(now.after(Self::FURTHEST).0).ok()?;
        let begun = i64::try_from(now.0).ok()?;
        let mut at = begun;
        while at < furthest {
            // Between two changes, the clock on the wall goes as every other.
            let moment = jiff::Timestamp::from_millisecond(at).ok()?;
            let Some(left) = self.left(moment) else { break };
            let ends = at.saturating_add(left);
            let change = self.zone.following(moment).next().map(|change| change.timestamp().as_millisecond());
            match change {
                Some(change) if change <= ends => at = change,
                _ => {
                    at = ends;
                    break;
                }
            }
        }
        (at > begun).then(|| u64::try_from(at.min(furthest)).ok().map(Timestamp)).flatten()
    }

    /// How many milliseconds are left of the window by the clock on the wall, if that shows a time within it.
    fn left(&self, moment: jiff::Timestamp) -> Option<i64> {
        let period = if self.from.day.is_some() { WEEK } else { DAY };
        let ahead = i64::from(self.zone.to_offset(moment).seconds()).saturating_mul(1000);
        let wall = moment.as_millisecond().saturating_add(ahead).saturating_add(EPOCH_IN_WEEK);
        let (from, until) = (self.from.position(), self.until.position());
        let gone = wall.saturating_sub(from).checked_rem_euclid(period)?;
        let length = until.saturating_sub(from).checked_rem_euclid(period)?;
        (gone < length).then(|| length.saturating_sub(gone))
    }
}

impl fmt::Display for Freeze {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {} {}", self.from, self.until, self.zone.iana_name().unwrap_or_default())
    }
}

fn time_zone(name: &str) -> Result<TimeZone, InvalidFreeze> {
    let found = TimeZone::get(name).ok().filter(|zone| !zone.is_unknown());
    found.ok_or_else(|| {
        let database = jiff::tz::db();
        let names: Vec<_> = database.available().collect();
        let city = names.iter().map(|known| known.as_str()).find(|known| {
            known.rsplit('/').next().is_some_and(|city| known.contains('/') && city.eq_ignore_ascii_case(name))
        });
        let near = city.map(str::to_owned).or_else(|| nearest(name, names.iter().map(|known| known.as_str())));
        let hint = match near {
            Some(known) => format!("did you mean `{known}`?"),
            None => "it is named like `Europe/Berlin`".to_owned(),
        };
        InvalidFreeze { key: "zone", problem: format!("{} is not a known time zone: {hint}", quoted(name)) }
    })
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "test code")]
mod tests;
