//! Where a tag is in a values file: the text of a path, and its segments.

use crate::names::{InvalidName, stored_as_text};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The longest path that is read, in bytes and in segments.
const LONGEST_PATH: (usize, usize) = (512, 32);

/// Where a tag is in a values file: `image.tag`, `images[0].tag`, `"example.com/app".tag`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TagPath(pub(super) Vec<Segment>);

/// One step down.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Segment {
    Key(String),
    Index(usize),
}

impl TagPath {
    /// Checks the text. A key with dots, brackets or blanks is in double quotes; there are no escapes.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let invalid = InvalidName("path of a value (such as image.tag, images[0].tag or \"a.b\".tag)");
        let mut segments = Vec::new();
        let mut rest = text;
        while !rest.is_empty() && segments.len() < LONGEST_PATH.1 {
            let step = match rest.strip_prefix('[') {
                Some(inside) => index(inside),
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

/// A key, plain or in quotes, and what follows it.
fn key(text: &str) -> Option<(Segment, &str)> {
    let (key, rest) = match text.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"')?,
        None => text.split_at_checked(text.find(['.', '[']).unwrap_or(text.len()))?,
    };
    let good = !key.is_empty() && !key.contains(char::is_control) && (text.starts_with('"') || is_bare(key));
    good.then(|| (Segment::Key(key.to_owned()), rest))
}

fn is_bare(key: &str) -> bool {
    !key.contains(|c: char| matches!(c, '.' | '[' | ']' | '"' | '\'') || c.is_whitespace())
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
            }
        }
        Ok(())
    }
}

stored_as_text!(TagPath);
