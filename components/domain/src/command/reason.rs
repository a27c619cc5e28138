//! The reason of a lock or an override, and how long a lock holds.
//!
//! Easy to miss: a lock that was to last two hours must not last for ever. Words that look like a time, or like an
//! option, and are none that is understood are refused; in quotes they are a reason.

use super::words::{Words, Wrong, bare, split, strip_quotes, suggest, wrong};
use crate::text::quoted;
use std::time::Duration;

/// The longest reason of a lock or an override, in characters.
pub const LONGEST_REASON: usize = 200;

/// How long a lock may last.
const SHORTEST_LOCK: Duration = Duration::from_secs(60);
const LONGEST_LOCK: Duration = Duration::from_secs(30 * 24 * 3600);

/// The words of a reason, empty if there are none, and how long it holds if that may be said before or after it.
/// `before`: what was typed so far, for the suggestion.
pub(super) fn reason(words: Words<'_>, before: Option<&str>) -> Result<(String, Option<Duration>), Wrong> {
    let mut words = words.0.to_vec();
    let mut period = None;
    if let Some(before) = before {
        let mut typed = Vec::new();
        if let Some((length, found)) = first_period(&words) {
            let rest = words.split_off(length);
            (period, typed, words) = (Some(found), words, rest);
        }
        if let Some((at, found)) = last_period(&words) {
            if period.is_some() {
                return wrong("there are two times in it".to_owned());
            }
            (period, typed) = (Some(found), words.split_off(at));
        }
        if period.is_some_and(|period| !(SHORTEST_LOCK..=LONGEST_LOCK).contains(&period)) {
            let (can, not) = (quoted("for 2h"), quoted(&typed.join(" ")));
            return wrong(format!("a lock can last from a minute to 30 days, like {can}, but not {not}"));
        }
        let in_quotes = {
            let mut inner = words.clone();
            strip_quotes(&mut inner);
            inner != words
        };
        if !in_quotes {
            no_option(&words, before, period.is_some())?;
        }
    }
    strip_quotes(&mut words);
    if words.iter().all(|word| bare(word).is_empty()) {
        return Ok((String::new(), period));
    }
    let text = words.join(" ");
    match text.chars().count() {
        ..=LONGEST_REASON => Ok((text, period)),
        length => wrong(format!("the reason has {length} characters, and {LONGEST_REASON} is the most")),
    }
}

/// The word as phones leave it: `--for` may have become `—for`.
pub(super) fn undashed(word: &str) -> &str {
    word.trim_start_matches(super::words::is_dash)
}

/// `for` and what is joined to it: `for`, `--for`, `for:2h`, `for=2h`.
fn after_for(word: &str) -> Option<&str> {
    let rest = undashed(word);
    let (begin, rest) = rest.split_at_checked(3).filter(|(begin, _)| begin.eq_ignore_ascii_case("for"))?;
    match rest.strip_prefix([':', '=']) {
        Some(joined) => Some(joined),
        None => Some(rest).filter(|rest| rest.is_empty() && !begin.is_empty()),
    }
}

/// A time in front of a reason, and how many words it takes: `for 2h`, `for 1 day 30 min`.
fn first_period(words: &[&str]) -> Option<(usize, Duration)> {
    let (first, rest) = words.split_first()?;
    let joined = after_for(first)?;
    // The longest that is one. A unit has at most two words, and there are few units.
    (0..=rest.len().min(10)).rev().find_map(|more| {
        let text = format!("{joined}{}", rest.get(..more)?.concat());
        Some((more.saturating_add(1), parse_period(&text)?))
    })
}

/// The time at the end, and where it begins.
fn last_period(words: &[&str]) -> Option<(usize, Duration)> {
    let at = words.iter().rposition(|word| after_for(word).is_some())?;
    let (first, rest) = words.get(at..)?.split_first()?;
    Some((at, parse_period(&format!("{}{}", after_for(first)?, rest.concat()))?))
}

const NUMBERS: &[&str] =
    &["a", "an", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "twelve", "half"];
const MOMENTS: &[&str] = &[
    "tomorrow",
    "tonight",
    "noon",
    "midnight",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "eod",
];

/// Nothing in a reason looks like a time or an option. `timed`: a time was understood.
fn no_option(words: &[&str], before: &str, timed: bool) -> Result<(), Wrong> {
    let Some((problem, right)) = (0..words.len()).find_map(|at| strange_time(words, at).or(strange(words, at, timed)))
    else {
        return Ok(());
    };
    let right = right.filter(|_| !timed).and_then(|(rest, period)| {
        let end = show_period(period);
        suggest([before, ""], &rest.into_iter().chain(["for", end.as_str()]).collect::<Vec<_>>())
    });
    Err(Wrong { problem: format!("{problem} (in quotes it would be part of the reason)"), right })
}

/// What is wrong, and what would be right: the words of the reason, and the time.
type Strange<'a> = (String, Option<(Vec<&'a str>, Duration)>);

/// `for` and something that begins like a time, but does not end the reason or is none.
fn strange_time<'a>(words: &[&'a str], at: usize) -> Option<Strange<'a>> {
    let from = words.get(at..)?;
    let (first, later) = from.split_first()?;
    let (joined, next) = (after_for(first)?, later.first().copied().unwrap_or_default());
    let is_spelled = NUMBERS.contains(&next.to_ascii_lowercase().as_str());
    let is_spelled = is_spelled && later.iter().skip(1).take(2).any(|unit| is_unit(unit));
    if joined.is_empty() && !is_digit(next) && !is_spelled {
        return None;
    }
    if let Some((length, period)) = first_period(from) {
        let rest = words.iter().take(at).chain(from.iter().skip(length)).copied().collect();
        return Some(("the time comes last".to_owned(), Some((rest, period))));
    }
    let shown = quoted(&from.iter().take(3).copied().collect::<Vec<_>>().join(" "));
    Some((format!("{shown} is no time like {}", quoted("for 2h")), None))
}

/// A time without `for`, an end, or an option.
fn strange<'a>(words: &[&'a str], at: usize, timed: bool) -> Option<Strange<'a>> {
    let word = words.get(at)?;
    let next = words.get(at.saturating_add(1)).copied().unwrap_or_default();
    let lower = undashed(word).to_ascii_lowercase();
    let moment = next.trim_end_matches(|c: char| c.is_ascii_punctuation()).to_ascii_lowercase();
    let is_until = ["until", "till", "til"].contains(&lower.as_str());
    if is_until && (is_digit(next) || MOMENTS.contains(&moment.as_str())) {
        let shown = quoted(&format!("{word} {next}"));
        return Some((format!("I know no end like {shown}, only a time like {}", quoted("for 2h")), None));
    }
    let dashes = word.len().saturating_sub(undashed(word).len());
    if dashes > 1 && lower.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Some((format!("{} is no option of mine", quoted(word)), None));
    }
    let is_outside = at == 0 || next.is_empty();
    let period = parse_period(word).filter(|_| is_outside && !timed && words.len() > 1)?;
    let rest = words.iter().enumerate().filter(|(n, _)| *n != at).map(|(_, word)| *word).collect();
    Some((format!("a time is typed like {}, not {}", quoted("for 2h"), quoted(word)), Some((rest, period))))
}

fn is_digit(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit())
}

fn is_unit(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    UNITS.iter().any(|(names, _)| names.contains(&word.as_str())) || word.starts_with("month")
}

/// How a reason is typed so that it is read again as the same, in quotes where it needs them; and its period
/// after it.
pub(super) fn as_typed(text: &str, period: Option<Duration>, timed: bool) -> String {
    let end = period.map(|period| format!(" for {}", show_period(period))).unwrap_or_default();
    let plain = format!("{text}{end}");
    let is_read = |typed: &String| {
        let begins_with_at = timed && typed.starts_with('@');
        !begins_with_at
            && reason(Words(&split(typed)), timed.then_some("")).is_ok_and(|read| read == (text.to_owned(), period))
    };
    let quoted = ["\"", "'", "`"].map(|quote| format!("{quote}{text}{quote}{end}"));
    [plain.clone()].into_iter().chain(quoted).find(is_read).unwrap_or(plain)
}

const UNITS: &[(&[&str], u64)] = &[
    (&["w", "week", "weeks"], 7 * 24 * 3600),
    (&["d", "day", "days"], 24 * 3600),
    (&["h", "hr", "hrs", "hour", "hours"], 3600),
    (&["m", "min", "mins", "minute", "minutes"], 60),
    (&["s", "sec", "secs", "second", "seconds"], 1),
];

/// `2h`, `90m`, `1h30m`, `2hours`: each unit once, the larger first.
pub(super) fn parse_period(text: &str) -> Option<Duration> {
    let text = text.to_ascii_lowercase();
    let (mut rest, mut units, mut seconds) = (text.as_str(), UNITS, 0_u64);
    while !rest.is_empty() {
        let (digits, after) = rest.split_at_checked(rest.find(|c: char| !c.is_ascii_digit())?)?;
        let end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(end)?;
        let at = units.iter().position(|(names, _)| names.contains(&unit))?;
        let (_, from) = units.split_at_checked(at)?;
        let ((_, size), smaller) = from.split_first()?;
        // More digits than anybody means are out of range below.
        let count = if digits.is_empty() { return None } else { digits.parse().unwrap_or(u64::MAX) };
        seconds = seconds.saturating_add(count.saturating_mul(*size));
        (rest, units) = (after, smaller);
    }
    (!text.is_empty()).then(|| Duration::from_secs(seconds))
}

pub(super) fn show_period(period: Duration) -> String {
    let mut left = period.as_secs();
    let mut text = String::new();
    for (unit, size) in [("d", 24 * 3600), ("h", 3600), ("m", 60), ("s", 1)] {
        let count = left.checked_div(size).unwrap_or_default();
        left = left.checked_rem(size).unwrap_or_default();
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
        }
    }
    text
}
