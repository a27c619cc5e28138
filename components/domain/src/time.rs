//! Moments and durations. Nothing here asks the operating system for the time: the time is an argument.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A moment, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    pub const fn seconds(self) -> u64 {
        self.0 / 1000
    }

    /// This moment and `duration` more.
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }

    /// How long ago `earlier` was; zero if it lies in the future.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// The moment of an RFC 3339 time in UTC, as Argo CD and GitHub write it (`2026-08-21T08:42:43Z`,
    /// fractions allowed).
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
        let mut date = date.splitn(3, '-').map(|part| part.parse::<u64>().ok());
        let (year, month, day) = (date.next()??, date.next()??, date.next()??);
        let (clock, fraction) = time.split_once('.').unwrap_or((time, ""));
        let mut clock = clock.splitn(3, ':').map(|part| part.parse::<u64>().ok());
        let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
        let valid = (1970..10_000).contains(&year)
            && (1..=12).contains(&month)
            && (1..=31).contains(&day)
            && hour < 24
            && minute < 60
            && second <= 60;
        if !valid || !fraction.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        // Days from civil date (Howard Hinnant's algorithm), with March as the first month.
        let (y, m) =
            if month > 2 { (year, month.checked_sub(3)?) } else { (year.checked_sub(1)?, month.checked_add(9)?) };
        let day_of_year = m.checked_mul(153)?.checked_add(2)?.checked_div(5)?.checked_add(day)?.checked_sub(1)?;
        let leap_days = (y / 4).checked_sub(y / 100)?.checked_add(y / 400)?;
        let days = y.checked_mul(365)?.checked_add(leap_days)?.checked_add(day_of_year)?.checked_sub(719_468)?;
        let seconds = days
            .checked_mul(24)?
            .checked_add(hour)?
            .checked_mul(60)?
            .checked_add(minute)?
            .checked_mul(60)?
            .checked_add(second)?;
        let millis = format!("{fraction:0<3}").get(..3)?.parse::<u64>().ok()?;
        Some(Self(seconds.checked_mul(1000)?.checked_add(millis)?))
    }

    /// The same in RFC 3339 with whole seconds.
    pub fn to_rfc3339(self) -> String {
        // Civil from days, the inverse of the above.
        let days = (self.seconds() / 86_400).saturating_add(719_468);
        let era = days / 146_097;
        let day_of_era = days % 146_097;
        let year_of_era = day_of_era
            .saturating_sub(day_of_era / 1460)
            .saturating_add(day_of_era / 36_524)
            .saturating_sub(day_of_era / 146_096)
            / 365;
        let day_of_year = day_of_era.saturating_sub(
            year_of_era.saturating_mul(365).saturating_add(year_of_era / 4).saturating_sub(year_of_era / 100),
        );
        let m = day_of_year.saturating_mul(5).saturating_add(2) / 153;
        let day = day_of_year.saturating_sub(m.saturating_mul(153).saturating_add(2) / 5).saturating_add(1);
        let month = if m < 10 { m.saturating_add(3) } else { m.saturating_sub(9) };
        let year = era.saturating_mul(400).saturating_add(year_of_era).saturating_add(u64::from(month <= 2));
        let second_of_day = self.seconds() % 86_400;
        let (hour, minute, second) = (second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

/// A duration in whole milliseconds, at most `u64::MAX`.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_both_ways() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T23:59:59Z", 951_868_799),
            ("2026-08-21T08:42:43Z", 1_787_301_763),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
        ] {
            assert_eq!(Timestamp::from_rfc3339(text), Some(Timestamp::from_seconds(seconds)), "{text}");
            assert_eq!(Timestamp::from_seconds(seconds).to_rfc3339(), text);
        }
        assert_eq!(Timestamp::from_rfc3339("1970-01-01T00:00:01.25Z"), Some(Timestamp(1250)));
        for bad in [
            "",
            "2026-08-21",
            "2026-13-01T00:00:00Z",
            "2026-08-21T08:42:43+02:00",
            "2026-08-21T08:42:43.xZ",
            "yesterday",
        ] {
            assert_eq!(Timestamp::from_rfc3339(bad), None, "{bad}");
        }
    }
}
