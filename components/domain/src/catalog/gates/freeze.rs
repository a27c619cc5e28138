//! `freeze`: windows of time, and days of the calendar, in which nothing is deployed. An owner may override it, and so may those
//! whom each freeze in force names in `pass`.
//!
//! # What a freeze does when the clocks change
//!
//! The wall clock in the freeze's time zone decides, and nothing else: a moment is frozen if the time that
//! the clock shows then is within the window, from `from` on and before `until`. So an hour that the clock
//! skips in spring is in no freeze: a freeze that would begin in it begins, and one that would end in it
//! ends, when the clock jumps; one that lies within it does not happen that day. An hour that the clock shows
//! twice in autumn is frozen both times: a freeze until 02:30 ends at the first 02:30, and is in force again
//! from the second 02:00 to the second 02:30.
//!
//! The windows of [`super::only`] go by the same clock.

use super::{Asked, Gate, Gates, Unmet};
use crate::catalog::CatalogError;
use crate::catalog::fields::{Entry, Fields, Node, Value, error, is_none, list_of, text_of};
use crate::catalog::people::read_pass;
use crate::deployment::Granted;
use crate::people::People;
use crate::refusal::Refusal;
use crate::text::{nearest, quoted};
use crate::time::Timestamp;
use jiff::tz::TimeZone;
use std::fmt;
use std::time::Duration;

/// The most windows of one `freeze`, or of one `only`.
const MOST_WINDOWS: usize = 20;
/// The longest freeze by dates, in days. A longer one is a slip of the pen; what is closed for good has no `allow`.
const MOST_DAYS: u64 = 366;
/// The longest `why`, in characters.
const LONGEST_WHY: usize = 200;

impl Gate for Vec<Freeze> {
    type Sees<'a> = Asked<'a>;

    fn read(entry: &Entry) -> Result<Self, CatalogError> {
        read_windows(entry, "`from`, `until` and `zone`", &["from", "until", "to", "zone", "why", "pass"], |fields| {
            let from = fields.required("from")?;
            let (why, pass) = (fields.get("why").map(read_why).transpose()?, read_pass(fields)?);
            let until = match (fields.get("until"), fields.get("to")) {
                (Some(_), Some(to)) => return Err(error(to.line, "`until` and `to` cannot stand side by side")),
                (None, Some(to)) => Until::Day(text_of(to)?),
                _ => Until::Time(text_of(fields.required("until")?)?),
            };
            let freeze = Freeze::parse(text_of(from)?, until, text_of(fields.required("zone")?)?);
            freeze.map(|freeze| Freeze { why, pass, ..freeze }).map_err(|wrong| wrong.of(fields))
        })
    }

    fn check(&self, asked: &Asked<'_>) -> Result<Granted, Unmet> {
        let Some(Frozen { until, why }) = frozen(self, asked.now) else { return Ok(Granted::default()) };
        let in_force = || self.iter().filter(|freeze| freeze.until(asked.now).is_some());
        let asked = &Asked { owners: in_force().find_map(|one| one.owners.as_ref()).unwrap_or(asked.owners), ..*asked };
        let (target, overridable) = (Box::new(asked.target.clone()), !asked.owners.is_empty());
        let doing = format!("override the freeze of {target}");
        // Who may pass one freeze may not pass another one that is in force as well.
        let lists: Vec<&People> = in_force().map(|freeze| &freeze.pass).collect();
        let pass = People::of_all(lists.iter().copied());
        asked.unless_passed(&lists, doing, Refusal::Frozen { target, until, why, overridable, pass })
    }

    fn in_short(&self) -> Option<String> {
        in_short("frozen", self)
    }
}

/// A list of maps with these keys, or the word `none`. `like`: the keys that each has to have.
pub(super) fn read_windows<T>(
    entry: &Entry,
    like: &str,
    keys: &[&str],
    read: impl Fn(&Fields<'_>) -> Result<T, CatalogError>,
) -> Result<Vec<T>, CatalogError> {
    let key = &entry.key;
    if is_none(entry) {
        return Ok(Vec::new());
    }
    if let Value::Text(_) = entry.node.value {
        let problem = format!("`{key}` is the word `none`, or a list of windows with {like}");
        return Err(error(entry.line, problem));
    }
    let nodes = list_of(entry)?;
    if nodes.is_empty() {
        return Err(error(entry.line, format!("`{key}` is empty: leave it out, or write `none`")));
    }
    if nodes.len() > MOST_WINDOWS {
        return Err(error(entry.line, format!("`{key}` has more than {MOST_WINDOWS} windows")));
    }
    let window = |node: &Node| read(&Fields::of(&format!("an entry of `{key}`"), node.line, node, keys)?);
    nodes.into_iter().map(window).collect()
}

/// Windows in a line, the first three of them.
pub(super) fn in_short<T: fmt::Display>(what: &str, windows: &[T]) -> Option<String> {
    const MOST: usize = 3;
    let shown: Vec<String> = windows.iter().take(MOST).map(ToString::to_string).collect();
    let more = match windows.len().saturating_sub(MOST) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!windows.is_empty()).then(|| format!("{what} {}{more}", shown.join(" and ")))
}

fn read_why(entry: &Entry) -> Result<String, CatalogError> {
    let why = text_of(entry)?.trim();
    let fits = !why.is_empty() && why.chars().count() <= LONGEST_WHY && !why.contains(char::is_control);
    let problem = || format!("`why` must be one line of 1 to {LONGEST_WHY} characters");
    fits.then(|| why.to_owned()).ok_or_else(|| error(entry.line, problem()))
}

/// A freeze that is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frozen {
    /// When nothing is frozen any more, see [`frozen`].
    pub until: Timestamp,
    /// Of the freezes in force that say why, the one that ends last.
    pub why: Option<String>,
}

impl Freeze {
    /// A freeze of everything, which these people alone own; `None`: those who own the target.
    pub(in crate::catalog) fn of_all(self, owners: Option<People>) -> Self {
        Self { owners, ..self }
    }
}

impl Gates {
    /// If a freeze is in force now.
    pub fn frozen(&self, now: Timestamp) -> Option<Frozen> {
        frozen(&self.freeze, now)
    }
}

/// If a freeze is in force now: when nothing is frozen any more, following windows that overlap or touch. At
/// most [`Freeze::FURTHEST`] ahead of now, or of the last freeze by dates, where it may be frozen still.
fn frozen(windows: &[Freeze], now: Timestamp) -> Option<Frozen> {
    let ends = |at: Timestamp| windows.iter().filter_map(move |freeze| Some((freeze.until(at)?, freeze)));
    let mut furthest = now.after(Freeze::FURTHEST);
    let mut free = now;
    // Each turn gets further, to one of the few moments of eight days at which one of the windows ends, or to the end of
    // one of the freezes by dates.
    while free < furthest {
        let dated = ends(free).filter(|(_, freeze)| matches!(freeze.span, Span::Days { .. })).map(|(until, _)| until);
        furthest = dated.max().map_or(furthest, |until| furthest.max(until.after(Freeze::FURTHEST)));
        match ends(free).map(|(until, _)| until).max() {
            Some(until) => free = until.min(furthest),
            None => break,
        }
    }
    let why = ends(now).filter(|(_, freeze)| freeze.why.is_some()).max_by_key(|(until, _)| *until);
    (free > now).then(|| Frozen { until: free, why: why.and_then(|(_, freeze)| freeze.why.clone()) })
}

/// A window in which nothing is deployed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freeze {
    span: Span,
    zone: TimeZone,
    /// What people are told.
    pub why: Option<String>,
    /// Who may override it besides the owners.
    pub pass: People,
    /// Who alone own it: of a freeze of everything the owners of everything, at an app that an included file describes. Such a file
    /// may name owners of its own apps. `None`: those of the target.
    owners: Option<People>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Span {
    /// Every week, or every day. It may wrap: Friday to Monday, 22:00 to 06:00.
    Times {
        from: WallTime,
        /// Not the same as `from`, and with a day of the week if `from` has one.
        until: WallTime,
    },
    /// Once, from the first moment of the first day to the last moment of the last one.
    Days { from: Day, to: Day },
}

/// A day of the calendar, by how many days it is after 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Day(u64);

/// What ends a freeze, as it is written.
#[derive(Clone, Copy, Debug)]
pub enum Until<'a> {
    /// `until`, a time.
    Time(&'a str),
    /// `to`, a day of the calendar.
    Day(&'a str),
}

/// Why a window cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidWindow {
    /// Which of its keys is wrong.
    pub key: &'static str,
    /// What is wrong.
    pub problem: String,
}

impl InvalidWindow {
    /// With the line of the key.
    pub(super) fn of(self, fields: &Fields<'_>) -> CatalogError {
        let line = fields.get(self.key).map_or(fields.line, |entry| entry.line);
        error(line, format!("`{}`: {}", self.key, self.problem))
    }
}

/// What a clock on a wall shows, with the day if it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct WallTime {
    /// From 0, Monday.
    day: Option<u8>,
    hour: u8,
    minute: u8,
}

pub(super) const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
/// In milliseconds.
const MINUTE: i64 = 60_000;
pub(super) const DAY: i64 = 24 * 60 * MINUTE;
const WEEK: i64 = 7 * DAY;
/// From the beginning of a week to the epoch, a Thursday.
pub(super) const EPOCH_IN_WEEK: i64 = 3 * DAY;

impl WallTime {
    /// `16:00` or `Fri 16:00`.
    fn parse(text: &str) -> Option<Self> {
        let (day, time) = match text.split_once(' ') {
            Some((day, time)) => (Some(DAYS.iter().position(|name| *name == day)?), time),
            None => (None, text),
        };
        let day = day.map(u8::try_from).transpose().ok()?;
        let (hour, minute) = hour_and_minute(time)?;
        (hour < 24).then_some(Self { day, hour, minute })
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

/// `09:05`, up to `24:00`.
fn hour_and_minute(time: &str) -> Option<(u8, u8)> {
    let (hour, minute) = time.split_once(':')?;
    let two_digits = |text: &str| {
        (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse::<u8>().ok()).flatten()
    };
    let (hour, minute) = (two_digits(hour)?, two_digits(minute)?);
    ((hour < 24 && minute < 60) || (hour, minute) == (24, 0)).then_some((hour, minute))
}

/// The same in milliseconds since midnight.
pub(super) fn time_of_day(time: &str) -> Option<i64> {
    let (hour, minute) = hour_and_minute(time)?;
    Some(i64::from(hour).saturating_mul(60).saturating_add(i64::from(minute)).saturating_mul(MINUTE))
}

impl Freeze {
    /// How far ahead its end is looked for. Clocks that change can make two windows touch that are a
    /// week each.
    pub const FURTHEST: Duration = Duration::from_secs(8 * 24 * 60 * 60);

    /// Understands a window: `16:00` or `Fri 16:00`, both alike, or two days such as `2026-12-20`; and the IANA name of
    /// a time zone.
    pub fn parse(from: &str, until: Until<'_>, zone: &str) -> Result<Self, InvalidWindow> {
        let span = match until {
            Until::Time(until) => Self::times(from, until)?,
            Until::Day(to) => Self::days(from, to)?,
        };
        Ok(Self { span, zone: time_zone(zone)?, why: None, pass: People::default(), owners: None })
    }

    fn times(from: &str, until: &str) -> Result<Span, InvalidWindow> {
        if Day::parse(from).is_some() {
            let problem = format!("{} is a day, so write `to`, the last day that is frozen, instead", quoted(from));
            return Err(InvalidWindow { key: "until", problem });
        }
        let time = |key: &'static str, text: &str| {
            let problem = || format!("{} is not a time such as `16:00` or `Fri 16:00`", quoted(text));
            WallTime::parse(text).ok_or_else(|| InvalidWindow { key, problem: problem() })
        };
        let (starts, ends) = (time("from", from)?, time("until", until)?);
        if starts == ends {
            return Err(InvalidWindow { key: "until", problem: format!("{} is the same as `from`", quoted(until)) });
        }
        if starts.day.is_some() != ends.day.is_some() {
            let problem = "give it a weekday if `from` has one, and none if it has none".to_owned();
            return Err(InvalidWindow { key: "until", problem });
        }
        Ok(Span::Times { from: starts, until: ends })
    }

    fn days(from: &str, to: &str) -> Result<Span, InvalidWindow> {
        let day = |key: &'static str, text: &str| {
            let problem = || format!("{} is not a day such as `2026-12-20`", quoted(text));
            Day::parse(text).ok_or_else(|| InvalidWindow { key, problem: problem() })
        };
        let (from, to) = (day("from", from)?, day("to", to)?);
        let problem = if to < from {
            Some(format!("`{to}` is before `from`"))
        } else if to.0.saturating_sub(from.0) >= MOST_DAYS {
            Some(format!("`{to}` is more than {MOST_DAYS} days after `from`"))
        } else {
            None
        };
        problem.map_or(Ok(Span::Days { from, to }), |problem| Err(InvalidWindow { key: "to", problem }))
    }

    /// If it is in force now: when it ends. A window of times: at most [`Freeze::FURTHEST`] ahead.
    pub fn until(&self, now: Timestamp) -> Option<Timestamp> {
        let furthest = match self.span {
            Span::Times { .. } => Self::FURTHEST,
            Span::Days { .. } => Duration::from_secs(2 * 366 * 24 * 60 * 60),
        };
        lasts(&self.zone, now, furthest, |wall| self.left(wall))
    }

    /// How many milliseconds are left of the window by the clock on the wall, if that shows a time within it.
    fn left(&self, wall: i64) -> Option<i64> {
        match self.span {
            Span::Times { from, until } => {
                let period = if from.day.is_some() { WEEK } else { DAY };
                let (from, until) = (from.position(), until.position());
                let wall = wall.saturating_add(EPOCH_IN_WEEK);
                let gone = wall.saturating_sub(from).checked_rem_euclid(period)?;
                let length = until.saturating_sub(from).checked_rem_euclid(period)?;
                (gone < length).then(|| length.saturating_sub(gone))
            }
            Span::Days { from, to } => {
                let (begins, ends) = (from.begins(), to.begins().saturating_add(DAY));
                (begins <= wall && wall < ends).then(|| ends.saturating_sub(wall))
            }
        }
    }
}

/// What the clock on the wall shows, in milliseconds as if it were in UTC.
pub(super) fn wall_clock(zone: &TimeZone, moment: jiff::Timestamp) -> i64 {
    let ahead = i64::from(zone.to_offset(moment).seconds()).saturating_mul(1000);
    moment.as_millisecond().saturating_add(ahead)
}

/// The next moment after this one, by milliseconds, at which the clock on the wall is turned.
pub(super) fn next_change(zone: &TimeZone, moment: jiff::Timestamp) -> Option<i64> {
    zone.following(moment).next().map(|change| change.timestamp().as_millisecond())
}

/// Until when the clock on the wall shows a time within a window, if it does now. `left`: how much is left of the window
/// at what the clock shows.
pub(super) fn lasts(
    zone: &TimeZone,
    now: Timestamp,
    furthest: Duration,
    left: impl Fn(i64) -> Option<i64>,
) -> Option<Timestamp> {
    let furthest = i64::try_from(now.after(furthest).0).ok()?;
    let begun = i64::try_from(now.0).ok()?;
    let mut at = begun;
    while at < furthest {
        // Between two changes, the clock on the wall goes as every other.
        let moment = jiff::Timestamp::from_millisecond(at).ok()?;
        let Some(left) = left(wall_clock(zone, moment)) else { break };
        let ends = at.saturating_add(left);
        match next_change(zone, moment) {
            Some(change) if change <= ends => at = change,
            _ => {
                at = ends;
                break;
            }
        }
    }
    (at > begun).then(|| u64::try_from(at.min(furthest)).ok().map(Timestamp)).flatten()
}

impl Day {
    /// `2026-12-20`.
    fn parse(text: &str) -> Option<Self> {
        let day = Self(Timestamp::from_rfc3339(&format!("{text}T00:00:00Z"))?.seconds() / (24 * 60 * 60));
        // There is no 30th of February, and no other way to write a day.
        (day.to_string() == text).then_some(day)
    }

    /// In milliseconds since the epoch, by the clock on the wall.
    fn begins(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX).saturating_mul(DAY)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = Timestamp::from_seconds(self.0.saturating_mul(24 * 60 * 60)).to_rfc3339();
        f.write_str(text.split('T').next().unwrap_or_default())
    }
}

impl fmt::Display for Freeze {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.span {
            Span::Times { from, until } => write!(f, "{from} to {until}")?,
            Span::Days { from, to } => write!(f, "{from} to {to}")?,
        }
        write!(f, " {}", self.zone.iana_name().unwrap_or_default())
    }
}

pub(super) fn time_zone(name: &str) -> Result<TimeZone, InvalidWindow> {
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
        InvalidWindow { key: "zone", problem: format!("{} is not a known time zone: {hint}", quoted(name)) }
    })
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "test code")]
mod tests;

#[cfg(test)]
pub(super) use tests::ZONES;
