//! Moments and durations. Nothing here asks the operating system for the time: the time is an argument.

use jiff::civil::DateTime;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// In UTC, where each day has the same length.
const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

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
        // The parser also takes a blank for the `T`, and a date alone.
        let written = text.strip_suffix('Z').filter(|text| text.as_bytes().get(10) == Some(&b'T'))?;
        let moment: DateTime = written.parse().ok()?;
        u64::try_from(moment.duration_since(EPOCH).as_millis()).ok().map(Self)
    }

    /// The same in RFC 3339 with whole seconds, at most to the end of the year 9999.
    pub fn to_rfc3339(self) -> String {
        let moment = EPOCH.checked_add(Duration::from_secs(self.seconds())).unwrap_or(DateTime::MAX);
        format!("{moment:.0}Z")
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
        let last = Timestamp(253_402_300_799_999);
        assert_eq!(last.to_rfc3339(), "9999-12-31T23:59:59Z");
        assert_eq!(Timestamp(u64::MAX).to_rfc3339(), last.to_rfc3339());
        for bad in [
            "",
            "2026-08-21",
            "2026-08-21Z",
            "2026-08-21 08:42:43Z",
            "1969-12-31T23:59:59Z",
            "2026-13-01T00:00:00Z",
            "2026-08-21T08:42:43+02:00",
            "2026-08-21T08:42:43.xZ",
            "yesterday",
        ] {
            assert_eq!(Timestamp::from_rfc3339(bad), None, "{bad}");
        }
    }
}
