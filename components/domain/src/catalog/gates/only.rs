//! `only`: windows of time outside of which nothing is deployed. An owner may override it, and so may those whom one of the
//! windows names in `pass`: any of the windows opens the gate, too.
//!
//! A gate of its own beside `freeze`: an environment takes over or undoes each of the two alone. Where both are, a moment
//! has to be in a window of `only` and in no freeze.
//!
//! The wall clock in the window's time zone decides, as for a [freeze](super::freeze): a window that would begin in an hour
//! that the clock skips begins when the clock jumps, and an hour that the clock shows twice is within the window both times.

use super::freeze::{self, DAY, DAYS, EPOCH_IN_WEEK, InvalidWindow, read_windows, time_of_day, time_zone, wall_clock};
use super::{Asked, Case, Gate, Gates, Unmet};
use crate::catalog::CatalogError;
use crate::catalog::fields::{Entry, Value, item_text, list_of, text_of};
use crate::catalog::people::read_pass;
use crate::deployment::Granted;
use crate::people::People;
use crate::refusal::{Opening, Refusal};
use crate::text::quoted;
use crate::time::Timestamp;
use jiff::tz::TimeZone;
use std::fmt;
use std::time::Duration;

impl Gate for Vec<Only> {
    type Sees<'a> = Asked<'a>;

    fn read(entry: &Entry) -> Result<Self, CatalogError> {
        read_windows(entry, "`days`, `from`, `to` and `zone`", &["days", "from", "to", "zone", "pass"], |fields| {
            let days = fields.get("days").map(read_days).transpose()?;
            let (from, to, zone) = (fields.required("from")?, fields.required("to")?, fields.required("zone")?);
            let days = days.unwrap_or_else(|| vec!["mon-sun"]);
            let only = Only::parse(&days, text_of(from)?, text_of(to)?, text_of(zone)?);
            let pass = read_pass(fields)?;
            only.map(|only| Only { pass, ..only }).map_err(|wrong| wrong.of(fields))
        })
    }

    fn check(&self, asked: &Asked<'_>) -> Result<Granted, Unmet> {
        let Some(Closed { opens }) = closed(self, asked.now) else { return Ok(Granted::default()) };
        let (target, overridable) = (Box::new(asked.target.clone()), !asked.owners.is_empty());
        let doing = format!("deploy {target} outside of its times");
        let pass = People::of_any(self.iter().map(|only| &only.pass));
        let refusal = Refusal::Closed { target, opens, overridable, pass: pass.clone() };
        asked.unless_passed(&[&pass], doing, refusal)
    }

    fn in_short(&self) -> Option<String> {
        freeze::in_short("only", self)
    }

    /// How long it stays open.
    fn in_preview(&self, case: &Case<'_>) -> Option<String> {
        let now = case.asked.now;
        let (until, window) =
            self.iter().filter_map(|only| Some((only.until(now)?, only))).max_by_key(|(at, _)| *at)?;
        let shown = window.shown(until)?;
        Some(format!("open until {shown}"))
    }
}

/// Entries of a list, or of a text with commas.
fn read_days(entry: &Entry) -> Result<Vec<&str>, CatalogError> {
    if let Value::Text(text) = &entry.node.value {
        return Ok(text.split(',').map(str::trim).collect());
    }
    list_of(entry)?.into_iter().map(|node| item_text("days", node)).collect()
}

/// No window is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// When the next one opens; `None`: in no time that can be told.
    pub opens: Option<Opening>,
}

impl Gates {
    /// If it is outside of all windows of `only` now.
    pub fn closed(&self, now: Timestamp) -> Option<Closed> {
        closed(&self.only, now)
    }
}

fn closed(windows: &[Only], now: Timestamp) -> Option<Closed> {
    if windows.is_empty() || windows.iter().any(|only| only.until(now).is_some()) {
        return None;
    }
    let next = windows.iter().filter_map(|only| Some((only.opens(now)?, only))).min_by_key(|(at, _)| *at);
    let opens = next.and_then(|(at, only)| Some(Opening { at, shown: only.shown(at)? }));
    Some(Closed { opens })
}

/// A window in which deploys are allowed, on some days of each week.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Only {
    /// From Monday. At least one.
    days: [bool; 7],
    /// When it opens on each of these days, in milliseconds since midnight.
    from: i64,
    /// How long it is open, at most a day. It may go on after midnight.
    length: i64,
    zone: TimeZone,
    /// Who may deploy outside of all windows besides the owners.
    pub pass: People,
}

impl Only {
    /// How far ahead the next opening is looked for. The clock may skip that of one week.
    const FURTHEST: Duration = Duration::from_secs(15 * 24 * 60 * 60);

    /// Understands a window: days such as `mon-thu` and `sat`, two times such as `09:00` (`24:00` is the end of the day),
    /// and the IANA name of a time zone.
    pub fn parse(days: &[&str], from: &str, to: &str, zone: &str) -> Result<Self, InvalidWindow> {
        let time = |key: &'static str, text: &str| {
            let problem = || format!("{} is not a time such as `09:00`", quoted(text));
            time_of_day(text).ok_or_else(|| InvalidWindow { key, problem: problem() })
        };
        let (opens, closes) = (time("from", from)?, time("to", to)?);
        if opens == DAY {
            return Err(InvalidWindow { key: "from", problem: "write `00:00` of the next day".to_owned() });
        }
        if opens == closes {
            return Err(InvalidWindow { key: "to", problem: format!("{} is the same as `from`", quoted(to)) });
        }
        let length = closes.saturating_sub(opens);
        let length = if length < 0 { length.saturating_add(DAY) } else { length };
        Ok(Self { days: week(days)?, from: opens, length, zone: time_zone(zone)?, pass: People::default() })
    }

    /// If it is open now: until when, at most [`freeze::Freeze::FURTHEST`] ahead.
    fn until(&self, now: Timestamp) -> Option<Timestamp> {
        freeze::lasts(&self.zone, now, freeze::Freeze::FURTHEST, |wall| self.left(wall))
    }

    /// If it is not open now: when it opens.
    fn opens(&self, now: Timestamp) -> Option<Timestamp> {
        let furthest = i64::try_from(now.after(Self::FURTHEST).0).ok()?;
        let mut at = i64::try_from(now.0).ok()?;
        while at < furthest {
            let moment = jiff::Timestamp::from_millisecond(at).ok()?;
            let wall = wall_clock(&self.zone, moment);
            if self.left(wall).is_some() {
                break;
            }
            // Between two changes, the clock on the wall goes as every other.
            let opens = at.saturating_add(self.ahead(wall)?);
            at = freeze::next_change(&self.zone, moment).filter(|change| *change <= opens).unwrap_or(opens);
        }
        (at < furthest).then(|| u64::try_from(at).ok().map(Timestamp)).flatten()
    }

    /// How many milliseconds are left of the window by the clock on the wall, if that shows a time within it.
    fn left(&self, wall: i64) -> Option<i64> {
        // That of yesterday may go on.
        let begun = [0, -1].into_iter().filter_map(|day| self.begins(wall, day));
        let gone = begun.map(|begins| wall.saturating_sub(begins)).filter(|gone| (0..self.length).contains(gone));
        gone.map(|gone| self.length.saturating_sub(gone)).max()
    }

    /// How many milliseconds it takes by the clock on the wall until the next one begins.
    fn ahead(&self, wall: i64) -> Option<i64> {
        let ahead = (0..=7).filter_map(|day| self.begins(wall, day)).map(|begins| begins.saturating_sub(wall));
        ahead.filter(|ahead| *ahead > 0).min()
    }

    /// What the clock shows when the window of a day begins, so many days from today; none on a day that has none.
    fn begins(&self, wall: i64, day: i64) -> Option<i64> {
        let today = wall.checked_div_euclid(DAY)?.saturating_add(day);
        let of_week = today.saturating_add(EPOCH_IN_WEEK / DAY).checked_rem_euclid(7)?;
        let has = self.days.get(usize::try_from(of_week).ok()?)?;
        has.then(|| today.saturating_mul(DAY).saturating_add(self.from))
    }

    /// What the clock in its time zone shows at a moment.
    fn shown(&self, at: Timestamp) -> Option<String> {
        let moment = jiff::Timestamp::from_millisecond(i64::try_from(at.0).ok()?).ok()?;
        let wall = wall_clock(&self.zone, moment);
        let of_week = wall.saturating_add(EPOCH_IN_WEEK).checked_div_euclid(DAY)?.checked_rem_euclid(7)?;
        let day = DAYS.get(usize::try_from(of_week).ok()?)?;
        Some(format!("{day} {} {}", clock(wall.checked_rem_euclid(DAY)?), self.zone.iana_name().unwrap_or_default()))
    }
}

/// `09:05`, of milliseconds since midnight.
fn clock(time: i64) -> String {
    format!("{:02}:{:02}", time / (DAY / 24), time / (DAY / 24 / 60) % 60)
}

/// The days of a week: `mon-thu`, `sat`.
fn week(names: &[&str]) -> Result<[bool; 7], InvalidWindow> {
    let place = |name: &str| DAYS.iter().position(|day| day.eq_ignore_ascii_case(name));
    let mut days = [false; 7];
    for name in names {
        let (first, last) = name.split_once('-').unwrap_or((name, name));
        let Some((first, last)) = place(first).zip(place(last)) else {
            let problem = format!("{} is not a day or a range of days such as `fri` or `mon-thu`", quoted(name));
            return Err(InvalidWindow { key: "days", problem });
        };
        let is_in =
            |day: usize| if first <= last { (first..=last).contains(&day) } else { day >= first || day <= last };
        days.iter_mut().enumerate().filter(|(day, _)| is_in(*day)).for_each(|(_, has)| *has = true);
    }
    match names {
        [] => Err(InvalidWindow { key: "days", problem: "it is empty: leave it out for every day".to_owned() }),
        _ => Ok(days),
    }
}

impl fmt::Display for Only {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ranges: Vec<(usize, usize)> = Vec::new();
        for day in (0..7).filter(|day| self.days.get(*day) == Some(&true)) {
            match ranges.last_mut() {
                Some((_, last)) if last.saturating_add(1) == day => *last = day,
                _ => ranges.push((day, day)),
            }
        }
        let name = |day: usize| DAYS.get(day).copied().unwrap_or_default();
        let range = |(first, last): &(usize, usize)| match first == last {
            true => name(*first).to_owned(),
            false => format!("{}-{}", name(*first), name(*last)),
        };
        let days: Vec<String> = ranges.iter().map(range).collect();
        let to = self.from.saturating_add(self.length);
        let to = if to > DAY { to.saturating_sub(DAY) } else { to };
        let zone = self.zone.iana_name().unwrap_or_default();
        write!(f, "{} {} to {} {zone}", days.join(","), clock(self.from), clock(to))
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "test code")]
mod tests;
