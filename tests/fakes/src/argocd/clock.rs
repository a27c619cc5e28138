//! Times as Kubernetes and Go write them. Kubernetes keeps whole seconds only.

use crate::Millis;

/// `2023-11-14T22:13:20Z`.
pub(super) fn rfc3339(at: Millis) -> String {
    let (days, seconds) = (at / 1000 / 86_400, at / 1000 % 86_400);
    // Howard Hinnant's civil_from_days: years begin in March, eras have 400 years.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// `3:04PM`.
pub(super) fn kitchen(at: Millis) -> String {
    let minutes = at / 60_000 % 1440;
    let hour = (minutes / 60 + 11) % 12 + 1;
    format!("{hour}:{:02}{}", minutes % 60, if minutes < 720 { "AM" } else { "PM" })
}

/// `90`, `5s`, `2m`, `1h30m`, `250ms`: what a back-off may be; `None` if Argo CD cannot read it.
pub(super) fn duration(text: &str) -> Option<Millis> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(seconds * 1000);
    }
    let mut total = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|end| *end > 0)?;
        let (number, tail) = rest.split_at(digits);
        let end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let factor = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        total += number.parse::<u64>().ok()? * factor;
        rest = tail;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_times_like_kubernetes() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(1_700_000_000_999), "2023-11-14T22:13:20Z");
        assert_eq!(rfc3339(1_709_164_800_000), "2024-02-29T00:00:00Z");
        assert_eq!(rfc3339(1_735_689_599_000), "2024-12-31T23:59:59Z");
        assert_eq!(kitchen(1_700_000_000_000), "10:13PM");
        assert_eq!(kitchen(0), "12:00AM");
        assert_eq!(kitchen(12 * 3_600_000), "12:00PM");
    }

    #[test]
    fn reads_durations_like_go() {
        for (text, expected) in [
            ("5", Some(5000)),
            ("5s", Some(5000)),
            ("1h30m", Some(5_400_000)),
            ("250ms", Some(250)),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(duration(text), expected, "{text}");
        }
    }
}
