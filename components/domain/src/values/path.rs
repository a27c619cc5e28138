//! Where a tag is in a values file: the text of a path, and its segments.

use crate::names::{InvalidName, stored_as_text};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// The longest path that is read, in bytes and in segments.
const LONGEST_PATH: (usize, usize) = (512, 32);

/// Where a tag is in a values file: `image.tag`, `images[0].tag`, `images[name=checkout].newTag`,
/// `"example.com/app".tag`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TagPath(pub(super) Vec<Segment>);

/// One step down.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Segment {
    Key(String),
    /// The item of a list by its number.
    Index(usize),
    /// The item of a list that has this key with this value.
    Item {
        key: String,
        value: String,
    },
}

impl TagPath {
    /// Checks the text. A key with dots, brackets or blanks is in double quotes; there are no escapes. Dots need none
    /// within brackets: `images[name=ghcr.io/acme/checkout].newTag`.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let invalid =
            InvalidName("path of a value (such as image.tag, images[name=app].tag, images[0].tag or \"a.b\".tag)");
        let mut segments = Vec::new();
        let mut rest = text;
        while !rest.is_empty() && segments.len() < LONGEST_PATH.1 {
            let step = match rest.strip_prefix('[') {
                Some(inside) => index(inside).or_else(|| item(inside)),
                None if segments.is_empty() => key(rest),
                None => rest.strip_prefix('.').and_then(key),
            };
            let Some((segment, after)) = step else { return Err(invalid) };
            segments.push(segment);
            rest = after;
        }
        let good = !segments.is_empty() && rest.is_empty() && text.len() <= LONGEST_PATH.0;
        if good { Ok(Self(segments)) } else { Err(invalid) }
    }

    /// The last key, unless the path ends with an item of a list.
    pub(super) fn last_key(&self) -> Option<&str> {
        match self.0.last() {
            Some(Segment::Key(key)) => Some(key),
            _ => None,
        }
    }

    /// The path of what stands beside the value under another key.
    pub(super) fn beside(&self, key: &str) -> String {
        let above = self.0.iter().take(self.0.len().saturating_sub(1)).cloned();
        Self(above.chain([Segment::Key(key.to_owned())]).collect()).to_string()
    }

    /// The first segments as text.
    pub(super) fn first(&self, count: usize) -> String {
        Self(self.0.iter().take(count).cloned().collect()).to_string()
    }
}

/// `n]`, without leading zeros, so that a path has one spelling; and what follows it.
fn index(text: &str) -> Option<(Segment, &str)> {
    let (digits, rest) = text.split_once(']')?;
    let canonical = digits == "0" || !digits.starts_with('0');
    let good = canonical && digits.len() <= 6 && digits.bytes().all(|b| b.is_ascii_digit());
    good.then(|| digits.parse().ok())?.map(|index| (Segment::Index(index), rest))
}

/// `key=value]`, and what follows it.
fn item(text: &str) -> Option<(Segment, &str)> {
    let (key, rest) = word(text, &['='], is_bare_within)?;
    let (value, rest) = word(rest.strip_prefix('=')?, &[']'], is_bare_within)?;
    let segment = Segment::Item { key: key.to_owned(), value: value.to_owned() };
    Some((segment, rest.strip_prefix(']')?))
}

/// A key, plain or in quotes, and what follows it.
fn key(text: &str) -> Option<(Segment, &str)> {
    let (key, rest) = word(text, &['.', '['], is_bare)?;
    Some((Segment::Key(key.to_owned()), rest))
}

/// A word in quotes, or a plain one up to one of these characters; and what follows it.
fn word<'t>(text: &'t str, ends: &[char], is_bare: fn(&str) -> bool) -> Option<(&'t str, &'t str)> {
    let (word, rest) = match text.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"')?,
        None => text.split_at_checked(text.find(ends).unwrap_or(text.len()))?,
    };
    let good = !word.is_empty() && !word.contains(char::is_control) && (text.starts_with('"') || is_bare(word));
    good.then_some((word, rest))
}

fn is_bare(key: &str) -> bool {
    !key.contains('.') && !needs_quotes(key)
}

fn is_bare_within(word: &str) -> bool {
    !word.contains('=') && !needs_quotes(word)
}

fn needs_quotes(word: &str) -> bool {
    word.contains(|c: char| matches!(c, '[' | ']' | '"' | '\'') || c.is_whitespace())
}

impl Default for TagPath {
    fn default() -> Self {
        Self(["image", "tag"].map(|key| Segment::Key(key.to_owned())).into())
    }
}

impl fmt::Display for TagPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, segment) in self.0.iter().enumerate() {
            let dot = if position == 0 { "" } else { "." };
            match segment {
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Key(key) if is_bare(key) => write!(f, "{dot}{key}")?,
                Segment::Key(key) => write!(f, "{dot}\"{key}\"")?,
                Segment::Item { key, value } => write!(f, "[{}={}]", within(key), within(value))?,
            }
        }
        Ok(())
    }
}

fn within(word: &str) -> Cow<'_, str> {
    if is_bare_within(word) { Cow::Borrowed(word) } else { Cow::Owned(format!("\"{word}\"")) }
}

stored_as_text!(TagPath);
