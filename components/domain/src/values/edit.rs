//! The edit of a file, and the proof that nothing else changed.

use super::EditRefusal;
use super::ours::{DigestForm, Held, OurImage, held, held_digest};
use super::path::TagPath;
use super::tree::{Form, Scalar, Tree, check_size};
use super::walk::{Place, places};
use crate::image::Digest;
use crate::names::BlobSha;
use crate::yaml::{Events, What};
use sha1::{Digest as _, Sha1};
use std::ops::Range;

/// One tag changed in one file, proven to be the only change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    pub text: String,
    /// What was there.
    pub before: Written,
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

/// Where to write.
#[derive(Clone, Copy, Debug)]
pub struct At<'a> {
    pub tags: &'a [TagPath],
    /// Where the digest is written besides. A path that is in both lists leads to a whole image: `repo:tag@digest`.
    pub digests: &'a [TagPath],
}

impl<'a> At<'a> {
    /// No digest is written.
    pub fn tags(tags: &'a [TagPath]) -> Self {
        Self { tags, digests: &[] }
    }
}

/// What to write.
#[derive(Clone, Copy, Debug)]
pub struct Version<'a> {
    pub tag: &'a str,
    /// Needed where [`At::digests`] has places.
    pub digest: Option<&'a Digest>,
}

/// What is written in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The tag at each path: of a whole image, what follows its repository.
    pub tags: Vec<String>,
    /// At each path of a digest that has one.
    pub digests: Vec<Digest>,
}

impl Written {
    fn of(found: Vec<Found>) -> Self {
        let mut written = Self::default();
        for Found { tag, old, .. } in found {
            written.tags.extend(tag);
            written.digests.extend(old);
        }
        written
    }

    /// Whether this version is there, as far as a digest is.
    pub fn is(&self, Version { tag, digest }: Version<'_>) -> bool {
        self.tags.iter().all(|other| other == tag) && self.digests.iter().all(|other| Some(other) == digest)
    }
}

/// Refuses whatever [`set_tag`] would refuse to edit.
pub fn read_written(text: &str, at: At<'_>, ours: OurImage<'_>) -> Result<Written, EditRefusal> {
    Ok(Written::of(found(text, at, ours)?))
}

/// Writes the tag at each path, and the digest. A value that is there already, and is a string to every reader of YAML,
/// stays as it is.
pub fn set_tag(text: &str, at: At<'_>, ours: OurImage<'_>, version: Version<'_>) -> Result<Edit, EditRefusal> {
    let tag = version.tag;
    if tag.is_empty() || !tag.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-')) {
        return Err(EditRefusal::UnsafeTag);
    }
    let found = found(text, at, ours)?;
    let unproven = || EditRefusal::Unproven { path: at.tags.first().map(TagPath::to_string).unwrap_or_default() };
    let mut changes = Vec::new();
    for found in &found {
        let value = found.value(version).ok_or_else(unproven)?;
        changes.extend(Change::of(&found.scalar, found.repository.is_some(), value));
    }
    changes.sort_by_key(|change| change.event);
    changes.dedup();

    let edited = splice(text, &changes).ok_or_else(unproven)?;
    let proven = differs_only_in(text, &edited, &changes) && means_the_same_but_for(text, &edited, &changes);
    if !proven {
        return Err(unproven());
    }
    Ok(Edit { text: edited, before: Written::of(found), changed: !changes.is_empty() })
}

/// What is at a path.
struct Found {
    scalar: Scalar,
    repository: Option<String>,
    /// Of a place of a tag.
    tag: Option<String>,
    /// The digest is written there, and how.
    digest: Option<DigestForm>,
    /// The digest that is there.
    old: Option<Digest>,
}

impl Found {
    /// What the place gets. `None`: the digest is not known.
    fn value(&self, Version { tag, digest }: Version<'_>) -> Option<String> {
        let digest = match self.digest {
            None => None,
            Some(DigestForm::Whole) => Some(digest?.as_str()),
            Some(DigestForm::Digits) => Some(digest?.as_str().trim_start_matches("sha256:")),
        };
        Some(match (&self.repository, digest) {
            (Some(repository), Some(digest)) => format!("{repository}:{tag}@{digest}"),
            (Some(repository), None) => format!("{repository}:{tag}"),
            (None, Some(digest)) => digest.to_owned(),
            (None, None) => tag.to_owned(),
        })
    }
}

fn found(text: &str, at: At<'_>, ours: OurImage<'_>) -> Result<Vec<Found>, EditRefusal> {
    let tree = Tree::parse(text)?;
    let mut all = at.tags.to_vec();
    all.extend(at.digests.iter().filter(|path| !at.tags.contains(path)).cloned());
    let found = |place: Place<'_>| {
        let scalar = tree.scalar(place.node, &place.path.to_string(), place.line)?;
        if !at.tags.contains(place.path) {
            let digest = Some(held_digest(&tree, &place, &scalar, ours)?);
            let old = digest_in(&scalar.value);
            return Ok(Found { scalar, repository: None, tag: None, digest, old });
        }
        let Held { repository, tag } = held(&tree, &place, &scalar, (ours, at.digests))?;
        let digest = at.digests.contains(place.path).then_some(DigestForm::Whole);
        if digest.is_some() && repository.is_none() {
            return Err(EditRefusal::NotADigest { path: place.path.to_string(), line: place.line });
        }
        let old = scalar.value.split_once('@').filter(|_| digest.is_some()).and_then(|(_, old)| digest_in(old));
        // `repo@digest` has no tag.
        let tag = match tag.split_once('@') {
            Some((tag, _)) if digest.is_some() => tag,
            None if digest.is_some() && old.is_some() => "",
            _ => tag,
        };
        let (repository, tag) = (repository.map(str::to_owned), Some(tag.to_owned()));
        Ok(Found { scalar, repository, tag, digest, old })
    };
    places(&tree, &all)?.into_iter().map(found).collect()
}

/// `sha256:` and the digits, or the digits alone.
fn digest_in(text: &str) -> Option<Digest> {
    Digest::parse(text).or_else(|_| Digest::parse(&format!("sha256:{text}"))).ok()
}

/// A scalar that gets another value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// The number of its event in the stream.
    pub(super) event: usize,
    pub(super) bytes: Range<usize>,
    pub(super) form: Form,
    pub(super) value: String,
}

impl Change {
    /// `None`: every reader of YAML finds the value there already, as a string.
    fn of(scalar: &Scalar, is_whole: bool, value: String) -> Option<Self> {
        let is_string = match scalar.form {
            Form::Single | Form::Double => true,
            Form::Plain => scalar.is_tagged || is_plain_string(&value),
            Form::Empty => false,
        };
        // A whole image that had a colon may stay without quotes.
        let stays_plain = scalar.form == Form::Plain && is_string && is_whole && scalar.value.contains(':');
        let form = if scalar.form == Form::Plain && !stays_plain { Form::Double } else { scalar.form };
        let is_there = is_string && scalar.value == value;
        (!is_there).then(|| Self { event: scalar.event, bytes: scalar.bytes.clone(), form, value })
    }

    fn written(&self) -> String {
        self.form.write(&self.value)
    }
}

/// Whether a plain scalar is a string in YAML 1.1 and 1.2. Takes some strings for others (`1.2.3`): those
/// get quotes.
fn is_plain_string(text: &str) -> bool {
    const WORDS: [&str; 12] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n", ".inf", "-.inf", ".nan"];
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let in_other_base = ["0x", "0X", "0o", "0O", "0b", "0B"].iter().any(|prefix| unsigned.starts_with(prefix));
    // With colons, a number to the base of 60.
    let number_or_date =
        text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'-' | b'e' | b'E' | b':'));
    !in_other_base && !number_or_date && !WORDS.iter().any(|word| word.eq_ignore_ascii_case(text))
}

/// Replaces each range; they are in order.
fn splice(text: &str, changes: &[Change]) -> Option<String> {
    let mut edited = String::new();
    let mut copied = 0;
    for change in changes {
        edited.push_str(text.get(copied..change.bytes.start)?);
        edited.push_str(&change.written());
        copied = change.bytes.end;
    }
    edited.push_str(text.get(copied..)?);
    Some(edited)
}

/// First half of the proof: outside the ranges every byte is the old one.
pub(super) fn differs_only_in(old: &str, new: &str, changes: &[Change]) -> bool {
    let mut rest = Some(new);
    let mut seen = 0;
    for change in changes {
        let kept = old.get(seen..change.bytes.start);
        rest = rest.zip(kept).and_then(|(rest, kept)| rest.strip_prefix(kept)?.strip_prefix(&change.written()));
        seen = change.bytes.end;
    }
    rest.is_some() && rest == old.get(seen..)
}

/// Second half of the proof: event by event the same YAML, but for the values that were to change.
///
/// Where a path leads depends on the events alone, so it still leads to the same scalar.
pub(super) fn means_the_same_but_for(old: &str, new: &str, changes: &[Change]) -> bool {
    let (Ok(mut old), Ok(mut new)) = (Events::new(old), Events::new(new)) else { return false };
    let mut changes = changes.iter().peekable();
    for position in 0_usize.. {
        let (wanted, got) = match (old.next(), new.next()) {
            (Ok(Some(wanted)), Ok(Some(got))) => (wanted.what, got.what),
            (Ok(None), Ok(None)) => return changes.peek().is_none(),
            _ => return false,
        };
        let same = match (changes.next_if(|change| change.event == position), &wanted, &got) {
            (None, wanted, got) => wanted == got,
            (
                Some(change),
                What::Scalar { anchor, tag, .. },
                What::Scalar { anchor: anchor_got, tag: tag_got, value, style, .. },
            ) => (anchor, tag, &change.value, change.form.style()) == (anchor_got, tag_got, value, *style),
            _ => false,
        };
        if !same {
            return false;
        }
    }
    false
}
