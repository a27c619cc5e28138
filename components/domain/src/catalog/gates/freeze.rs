//! `freeze`: windows of time in which nothing is deployed. An owner may override it.
//!
//! # What a freeze does when the clocks change
//!
//! The wall clock in the freeze's time zone decides, and nothing else: a moment is frozen if the time that
//! the clock shows then is within the window, from `from` on and before `until`. So an hour that the clock
//! skips in spring is in no freeze: a freeze that would begin in it begins, and one that would end in it
//! ends, when the clock jumps; one that lies within it does not happen that day. An hour that the clock shows
//! twice in autumn is frozen both times: a freeze until 02:30 ends at the first 02:30, and is in force again
//! from the second 02:00 to the second 02:30.

use super::{Asked, Gate, Gates, Unmet};
use crate::catalog::CatalogError;
use crate::catalog::fields::{Entry, Fields, Node, Value, error, is_none, list_of, text_of};
use crate::deployment::Granted;
use crate::refusal::Refusal;
use crate::text::{nearest, quoted};
use crate::time::Timestamp;
use jiff::tz::TimeZone;
use std::fmt;
use std::time::Duration;

/// The most windows of one `freeze`.
const MOST_WINDOWS: usize = 20;

impl Gate for Vec<Freeze> {
    type Sees<'a> = Asked<'a>;

    fn read(entry: &Entry) -> Result<Self, CatalogError> {
        if is_none(entry) {
            return Ok(Vec::new());
        }
        if let Value::Text(_) = entry.node.value {
            let problem = "`freeze` is the word `none`, or a list of windows with `from`, `until` and `zone`";
            return Err(error(entry.line, problem));
        }
        let nodes = list_of(entry)?;
        if nodes.is_empty() {
            return Err(error(entry.line, "`freeze` is empty: leave it out, or write `none`"));
        }
        if nodes.len() > MOST_WINDOWS {
            return Err(error(entry.line, format!("`freeze` has more than {MOST_WINDOWS} windows")));
        }
        let window = |node: &Node| {
            let fields = Fields::of("an entry of `freeze`", node.line, node, &["from", "until", "zone"])?;
            let (from, until, zone) = (fields.required("from")?, fields.required("until")?, fields.required("zone")?);
            Freeze::parse(text_of(from)?, text_of(until)?, text_of(zone)?).map_err(|wrong| {
                let line = fields.get(wrong.key).map_or(node.line, |entry| entry.line);
                error(line, format!("`{}`: {}", wrong.key, wrong.problem))
            })
        };
        nodes.into_iter().map(window).collect()
    }

    fn check(&self, asked: &Asked<'_>) -> Result<Granted, Unmet> {
        let Some(until) = frozen_until(self, asked.now) else { return Ok(Granted::default()) };
        let (target, overridable) = (asked.target.clone(), !asked.owners.is_empty());
        let doing = format!("override the freeze of {target}");
        asked.unless_overridden(doing, Refusal::Frozen { target, until, overridable })
    }

    fn in_short(&self) -> Option<String> {
        (!self.is_empty()).then(|| "has freezes".to_owned())
    }
}

impl Gates {
    /// If a freeze is in force now: when it ends, see [`frozen_until`].
    pub fn frozen_until(&self, now: Timestamp) -> Option<Timestamp> {
        frozen_until(&self.freeze, now)
    }
}

/// If a freeze is in force now: when nothing is frozen any more, following windows that overlap or touch. At
/// most [`Freeze::FURTHEST`] ahead, where it may be frozen still.
fn frozen_until(windows: &[Freeze], now: Timestamp) -> Option<Timestamp> {
    let furthest = now.after(Freeze::FURTHEST);
    let mut free = now;
    // Each turn gets further, to one of the few moments of eight days at which one of the windows ends.
    while free < furthest {
        match windows.iter().filter_map(|freeze| freeze.until(free)).max() {
            Some(until) => free = until.min(furthest),
            None => break,
        }
    }
    (free > now).then_some(free)
}

/// A window in which nothing is deployed: every week, or every day. It may wrap: Friday to Monday, 22:00
/// to 06:00.
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
    /// How far ahead its end is looked for. Clocks that change can make two windows touch that are a
    /// week each.
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
