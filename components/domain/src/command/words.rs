//! What was typed, cut into words; and the answer where the words are wrong.
//!
//! Words end at blanks, also at invisible ones. Around a name every quote is left out, whether it has a
//! partner or not: no name begins or ends with one. A reason is kept as it was typed, with single blanks, and
//! only quotes around the whole of it are left out: in `don't` and in `the "old" cart` they are text.

use crate::refusal::Right;
use crate::text::quoted;

/// A longer suggestion is not made.
pub(super) const LONGEST_SUGGESTION: usize = 150;

/// What is wrong with the words after a verb. What would be right is without the verb.
pub(super) struct Wrong {
    pub(super) problem: String,
    pub(super) right: Option<Right>,
}

pub(super) fn wrong<T>(problem: String) -> Result<T, Wrong> {
    Err(Wrong { problem, right: None })
}

/// The words that are left, as typed.
#[derive(Clone, Copy)]
pub(super) struct Words<'a>(pub(super) &'a [&'a str]);

impl<'a> Words<'a> {
    /// Takes the next name, without the quotes around it.
    pub(super) fn take(&mut self) -> Option<&'a str> {
        while let [first, rest @ ..] = self.0 {
            self.0 = rest;
            let name = bare(first);
            if !name.is_empty() {
                return Some(name);
            }
        }
        None
    }

    pub(super) fn peek(mut self) -> Option<&'a str> {
        self.take()
    }

    pub(super) fn count(self) -> usize {
        self.0.iter().filter(|word| !bare(word).is_empty()).count()
    }

    /// Nothing may be left after `last`.
    pub(super) fn end(mut self, last: &str) -> Result<(), Wrong> {
        match self.take() {
            Some(extra) => wrong(format!("{} after {} is one word too many", quoted(extra), quoted(last))),
            None => Ok(()),
        }
    }

    /// The same where the words before it are all that the verb takes.
    pub(super) fn end_of(self, all: &str, last: &str) -> Result<(), Wrong> {
        self.end(last).map_err(|wrong| Wrong { right: suggest([all, ""], &[]), ..wrong })
    }
}

/// A suggestion of these words, if it is short enough to be read.
pub(super) fn suggest(first: [&str; 2], rest: &[&str]) -> Option<Right> {
    let words: Vec<&str> = first.iter().chain(rest).copied().filter(|word| !word.is_empty()).collect();
    let text = words.join(" ");
    text.chars().nth(LONGEST_SUGGESTION).is_none().then_some(Right::DidYouMean(text))
}

/// These words with more after them, as an example, if they are short.
pub(super) fn like(words: &str, more: &str) -> Option<Right> {
    let text = format!("{words} {more}");
    text.chars().nth(LONGEST_SUGGESTION).is_none().then_some(Right::Like(text))
}

/// Slack sends these three characters, and no others, as entities.
pub(super) fn unescape(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

pub(super) fn split(text: &str) -> Vec<&str> {
    text.split(is_blank).filter(|word| !word.is_empty()).collect()
}

/// Between words: also what comes along invisibly when people paste. The joiners of emoji and of scripts
/// are none.
fn is_blank(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'
                ..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{feff}'
        )
}

/// Dashes that phones and word processors make of `-` and `--`.
pub(super) fn is_dash(c: char) -> bool {
    matches!(c, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}')
}

/// The word with plain dashes, if it has others.
pub(super) fn plain_dashes(word: &str) -> Option<String> {
    let plain = word.replace(is_dash, "-");
    (plain != word).then_some(plain)
}

const DOUBLE: &[char] = &['"', '“', '”', '„', '‟', '«', '»'];
const SINGLE: &[char] = &['\'', '‘', '’', '‚', '‛', '‹', '›'];
const BACKTICK: &[char] = &['`'];

/// The characters that end what this one begins. Phones turn straight quotes into typographic ones, and not
/// always in pairs.
fn quote_family(c: char) -> Option<&'static [char]> {
    [DOUBLE, SINGLE, BACKTICK].into_iter().find(|family| family.contains(&c))
}

/// The word without the quotes around it.
pub(super) fn bare(word: &str) -> &str {
    word.trim_matches(|c| quote_family(c).is_some())
}

/// Leaves out quotes around all of the words: the one in front is closed at the end of the last word,
/// not earlier.
pub(super) fn strip_quotes(words: &mut Vec<&str>) {
    while let Some(family) = words.first().and_then(|word| word.chars().next()).and_then(quote_family) {
        let mut inner = words.clone();
        if let Some(first) = inner.first_mut() {
            *first = first.strip_prefix(family).unwrap_or(first);
        }
        let mut open = 1_usize;
        let closed = inner.iter().position(|word| {
            let begins = word.starts_with(family) && word.chars().nth(1).is_some();
            open = open.saturating_add(usize::from(begins)).saturating_sub(usize::from(word.ends_with(family)));
            open == 0
        });
        if closed.is_none_or(|at| at.saturating_add(1) != inner.len()) {
            return;
        }
        if let Some(last) = inner.last_mut() {
            *last = last.strip_suffix(family).unwrap_or(last);
        }
        inner.retain(|word| !word.is_empty());
        *words = inner;
    }
}
