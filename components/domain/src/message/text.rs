//! Words and how they are put together: what is escaped, cut, listed, linked, and how a moment and a duration
//! read.

use super::mrkdwn::{code_escape, escape};
use crate::time::Timestamp;
use std::fmt;
use std::time::Duration;

/// How long a piece of outside text may be.
pub(super) const SHORT: usize = 80;
pub(super) const LONG: usize = 300;
/// In backticks: an image tag is never cut.
pub(super) const CODE: usize = 128;

pub(super) fn code(text: impl fmt::Display) -> String {
    match code_escape(&text.to_string(), CODE).trim() {
        "" => "(nothing)".to_owned(),
        text => format!("`{text}`"),
    }
}

/// All of them, with commas.
pub(super) fn codes(names: &[String]) -> String {
    names.iter().map(code).collect::<Vec<_>>().join(", ")
}

/// Outside text: escaped and cut. A backtick in it could swallow what we write after it.
pub(super) fn words(text: &str, limit: usize) -> String {
    escape(&clip(text, limit)).replace('`', "'")
}

/// What somebody else said, as the end of a sentence: `: … ` without its full stop, or nothing.
pub(super) fn said(text: &str) -> String {
    match words(text, LONG).trim_end_matches(['.', ' ']) {
        "" => String::new(),
        said => format!(": {said}"),
    }
}

/// At most that many characters, on one line, with `…` where something was cut.
pub(super) fn clip(text: &str, limit: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= limit {
        return line;
    }
    line.chars().take(limit.saturating_sub(1)).chain(['…']).collect()
}

/// Names as people list them, at most ten: `a`, `a and b`, `a, b or c`, `a, b and 3 more`.
pub(super) fn some(names: &[String], and: &str) -> String {
    let more = names.len().saturating_sub(10);
    let mut names: Vec<String> = names.iter().take(10).cloned().collect();
    if more > 0 {
        names.push(format!("{more} more"));
    }
    match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, names)) => format!("{} {and} {last}", names.join(", ")),
        None => String::new(),
    }
}

pub(super) fn commits(count: u32) -> String {
    if count == 1 { "1 commit".to_owned() } else { format!("{count} commits") }
}

pub(super) fn new_commits(count: u32) -> String {
    if count == 1 { "1 new commit".to_owned() } else { format!("{count} new commits") }
}

/// How long Slack finds a text: it never counts more than these units.
pub(super) fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

/// The last resort against Slack's limits: pieces are cut where they come in, so this does not happen to
/// ordinary text. A mention or link is never cut in two.
pub(super) fn cut(text: &str, most: usize) -> String {
    if length(text) <= most {
        return text.to_owned();
    }
    let mut left = most.saturating_sub(1);
    let mut kept: String = text
        .chars()
        .take_while(|c| {
            let fits = c.len_utf16() <= left;
            left = left.saturating_sub(c.len_utf16());
            fits
        })
        .collect();
    if let Some(open) = kept.rfind('<')
        && !kept.get(open..).unwrap_or_default().contains('>')
    {
        kept.truncate(open);
    }
    kept.push('…');
    kept
}

/// A link, or the label alone where the address is none that a browser opens. The label is ours or escaped.
pub(super) fn link(url: &str, label: &str) -> String {
    // A link's address ends at `>` or `|`; a backtick in it could swallow what follows.
    let clean: String = url.chars().filter(|c| !c.is_whitespace() && !matches!(c, '<' | '>' | '|' | '`')).collect();
    let opens = clean.starts_with("https://") || clean.starts_with("http://");
    if opens && clean.len() <= LONGEST_URL { format!("<{}|{label}>", escape(&clean)) } else { label.to_owned() }
}

/// A longer address would push the rest of the message out of Slack's limits.
const LONGEST_URL: usize = 500;

/// A moment as the reader's own clock shows it; Slack does that.
pub(super) fn moment(at: Timestamp) -> String {
    let utc = at.to_rfc3339();
    let utc = utc.get(..16).unwrap_or_default().replace('T', " ");
    format!("<!date^{}^{{date_short_pretty}} {{time}}|{utc} UTC>", at.seconds())
}

/// `8 s`, `2 min 5 s`, `3 h 10 min`.
pub(super) fn lasted(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes, rest) {
        (0, 0, rest) => format!("{rest} s"),
        (0, minutes, 0) => format!("{minutes} min"),
        (0, minutes, rest) => format!("{minutes} min {rest} s"),
        (hours, 0, _) => format!("{hours} h"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}
