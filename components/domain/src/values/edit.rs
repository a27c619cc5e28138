//! The edit of a file, and the proof that nothing else changed.

use super::EditRefusal;
use super::path::TagPath;
use super::walk::{Scalar, check_size, scalars};
use crate::names::BlobSha;
use saphyr_parser::{Event, Parser};
use sha1::{Digest, Sha1};
use std::ops::Range;

/// One tag changed in one file, proven to be the only change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    pub text: String,
    /// The old value at each path.
    pub before: Vec<String>,
    /// Whether the text differs from the old one.
    pub changed: bool,
}

/// The file's text, if it is UTF-8 and not too large.
pub fn text_of(bytes: &[u8]) -> Result<&str, EditRefusal> {
    check_size(bytes.len())?;
    std::str::from_utf8(bytes).map_err(|error| {
        let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
        EditRefusal::NotUtf8 { line: good.iter().filter(|b| **b == b'\n').count().saturating_add(1) }
    })
}

/// Git's id of a file with this content.
pub fn blob_sha(content: &[u8]) -> BlobSha {
    let hash = Sha1::new().chain_update(format!("blob {}\0", content.len())).chain_update(content).finalize();
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    #[expect(clippy::expect_used, reason = "a SHA-1 is 40 hexadecimal digits whatever the content")]
    BlobSha::parse(&hex).expect("a SHA-1 in hexadecimal is a blob id")
}

/// The value at each path. Refuses whatever [`set_tag`] would refuse to edit.
pub fn read_tags(text: &str, at: &[TagPath]) -> Result<Vec<String>, EditRefusal> {
    Ok(scalars(text, at)?.into_iter().map(|scalar| scalar.value).collect())
}

/// Writes the tag at each path. A value that is the tag already, and a string to every reader of YAML, stays
/// as it is.
pub fn set_tag(text: &str, at: &[TagPath], tag: &str) -> Result<Edit, EditRefusal> {
    if tag.is_empty() || !tag.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-')) {
        return Err(EditRefusal::UnsafeTag);
    }
    let mut scalars = scalars(text, at)?;
    let before = scalars.iter().map(|scalar| scalar.value.clone()).collect();
    scalars.retain(|scalar| !scalar.holds(tag));
    scalars.sort_by_key(|scalar| scalar.event);
    scalars.dedup_by_key(|scalar| scalar.event);

    let splices: Vec<_> = scalars.iter().map(|scalar| (scalar.bytes.clone(), scalar.form.write(tag))).collect();
    let unproven = || EditRefusal::Unproven { path: at.first().map(TagPath::to_string).unwrap_or_default() };
    let edited = splice(text, &splices).ok_or_else(unproven)?;
    let proven = differs_only_in(text, &edited, &splices) && means_the_same_but_for(text, &edited, &scalars, tag);
    if !proven {
        return Err(unproven());
    }
    Ok(Edit { text: edited, before, changed: !scalars.is_empty() })
}

/// Replaces each range; they are in order.
fn splice(text: &str, splices: &[(Range<usize>, String)]) -> Option<String> {
    let mut edited = String::new();
    let mut copied = 0;
    for (range, new) in splices {
        edited.push_str(text.get(copied..range.start)?);
        edited.push_str(new);
        copied = range.end;
    }
    edited.push_str(text.get(copied..)?);
    Some(edited)
}

/// First half of the proof: outside the ranges every byte is the old one.
pub(super) fn differs_only_in(old: &str, new: &str, splices: &[(Range<usize>, String)]) -> bool {
    let mut rest = Some(new);
    let mut seen = 0;
    for (range, written) in splices {
        let kept = old.get(seen..range.start);
        rest = rest.zip(kept).and_then(|(rest, kept)| rest.strip_prefix(kept)?.strip_prefix(written.as_str()));
        seen = range.end;
    }
    rest.is_some() && rest == old.get(seen..)
}

/// Second half of the proof: event by event the same YAML, but for the values, which are the tag in
/// quotes now.
///
/// Where a path leads depends on the events alone, so it still leads to the same scalar.
pub(super) fn means_the_same_but_for(old: &str, new: &str, scalars: &[Scalar], tag: &str) -> bool {
    let (mut old, mut new) = (Parser::new_from_str(old), Parser::new_from_str(new));
    let mut scalars = scalars.iter().peekable();
    for position in 0_usize.. {
        let (wanted, got) = match (old.next_event(), new.next_event()) {
            (Some(Ok((wanted, _))), Some(Ok((got, _)))) => (wanted, got),
            (ends_old, ends_new) => return ends_old.is_none() && ends_new.is_none() && scalars.peek().is_none(),
        };
        let wanted = match (scalars.next_if(|scalar| scalar.event == position), wanted) {
            (Some(scalar), Event::Scalar(_, _, anchor, kind)) => {
                Event::Scalar(tag.into(), scalar.form.style(), anchor, kind)
            }
            (Some(_), _) => return false,
            (None, same) => same,
        };
        if wanted != got {
            return false;
        }
    }
    false
}
