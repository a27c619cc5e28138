//! From when on: `monday`, `2026-11-20`, `3d`. Days begin at midnight in UTC, because nobody knows the asker's clock.

use super::reason::{parse_period, show_period};
use crate::time::Timestamp;
use std::fmt;
use std::time::Duration;

/// From when on something is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// The beginning of a day.
    Day(Timestamp),
    /// The beginning of the last day of that name: 0 is Monday.
    Weekday(u8),
    /// So long ago.
    Ago(Duration),
}

const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
const LONGEST: Duration = Duration::from_secs(1000 * 24 * 3600);
/// In milliseconds.
const DAY: u64 = 24 * 3_600_000;
/// The epoch was a Thursday.
const EPOCH: u64 = 3;

impl Since {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.to_lowercase();
        let is_named = |name: &str| name == text || name.get(..3) == Some(&text);
        if let Some(day) = DAYS.iter().position(|name| is_named(name)) {
            return u8::try_from(day).ok().map(Self::Weekday);
        }
        if text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-') {
            return Timestamp::from_rfc3339(&format!("{text}T00:00:00Z")).map(Self::Day);
        }
        parse_period(&text).filter(|ago| !ago.is_zero() && *ago <= LONGEST).map(Self::Ago)
    }

    pub fn begins(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Day(at) => at,
            Self::Weekday(day) => {
                let today = now.0 / DAY;
                let back = (today % 7).saturating_add(EPOCH).saturating_add(7).saturating_sub(u64::from(day)) % 7;
                Timestamp(today.saturating_sub(back).saturating_mul(DAY))
            }
            Self::Ago(ago) => Timestamp(now.0.saturating_sub(crate::time::millis(ago))),
        }
    }
}

/// As it can be typed.
impl fmt::Display for Since {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Day(at) => f.write_str(at.to_rfc3339().get(..10).unwrap_or_default()),
            Self::Weekday(day) => f.write_str(DAYS.get(usize::from(*day)).unwrap_or(&DAYS[0])),
            Self::Ago(ago) => f.write_str(&show_period(*ago)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_begin_at_midnight_and_the_last_monday_may_be_today() {
        // A Friday.
        let now = Timestamp::from_rfc3339("2026-08-21T08:42:43Z").unwrap();
        let check = |text: &str, expected: &str| {
            let since = Since::parse(text).unwrap();
            assert_eq!(since.begins(now).to_rfc3339(), expected, "{text}");
            assert_eq!(Since::parse(&since.to_string()), Some(since), "{text}");
        };
        check("friday", "2026-08-21T00:00:00Z");
        check("Thu", "2026-08-20T00:00:00Z");
        check("monday", "2026-08-17T00:00:00Z");
        check("saturday", "2026-08-15T00:00:00Z");
        check("2026-03-01", "2026-03-01T00:00:00Z");
        check("3d", "2026-08-18T08:42:43Z");
        check("1d12h", "2026-08-19T20:42:43Z");
        for bad in ["", "m", "yesterday", "2026-13-01", "2026-1-1", "0d", "2000d", "3"] {
            assert_eq!(Since::parse(bad), None, "{bad}");
        }
    }
}
