//! Changes one image tag in a YAML file and nothing else.
//!
//! The parser only says *where* the value is; the new text is the old one with that scalar's bytes replaced. Then both texts
//! are parsed side by side, and an edit that changed anything but the value is refused. Two traps: the parser counts
//! characters, not bytes, and its span of a scalar may hold an anchor or tag before it and blanks and a comment behind it.
//!
//! **Invariant:** the new value is always quoted. A plain `12e-1234567` is a number to Helm.

use crate::names::{BlobSha, InvalidName};
use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput};
use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};
use std::fmt;
use std::ops::Range;

/// The largest file that is edited, in bytes.
pub const LARGEST: usize = 1024 * 1024;

/// The most collections within each other. The parser keeps every open one, at a hundred times the size of its text.
const DEEPEST: usize = 200;

/// The longest path that is read, in bytes and in segments.
const LONGEST_PATH: (usize, usize) = (512, 32);

/// Where a tag stands in a values file: `image.tag`, `images[0].tag`, `"example.com/app".tag`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TagPath(Vec<Segment>);

/// One step down.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Segment {
    Key(String),
    Index(usize),
}

impl TagPath {
    /// Checks the text. A key with dots, brackets or blanks stands in double quotes; there are no escapes.
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
    fn first(&self, count: usize) -> String {
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

impl TryFrom<String> for TagPath {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        Self::parse(&text)
    }
}

impl From<TagPath> for String {
    fn from(path: TagPath) -> String {
        path.to_string()
    }
}

/// Why a values file cannot be edited safely. Lines count from 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EditRefusal {
    /// No document of the file has the path.
    PathMissing {
        /// The path.
        path: String,
        /// As much of it as exists; empty: nothing.
        exists: String,
        /// The line of the last key that exists.
        line: Option<usize>,
    },
    /// A mapping or list stands at the path (`{{ … }}` is a mapping to YAML).
    NotAScalar {
        /// The path.
        path: String,
        /// Its line.
        line: usize,
    },
    /// There is no value and no place where one could be written for certain.
    NoValue {
        /// The path.
        path: String,
        /// Its line.
        line: usize,
    },
    /// The value has an explicit type that is not `!!str`.
    NotAString {
        /// The path.
        path: String,
        /// Its line.
        line: usize,
        /// The type, such as `!!int`.
        tag: String,
    },
    /// The value, or something on the way to it, is an alias (`*name`): the text stands elsewhere.
    Alias {
        /// The path.
        path: String,
        /// The line of the alias.
        line: usize,
    },
    /// The value, or something on the way to it, is an anchor (`&name`) that is used elsewhere: an edit would change both.
    UsedElsewhere {
        /// The path.
        path: String,
        /// The line of the alias that uses it.
        line: usize,
    },
    /// The key is not written in its mapping, which merges another one (`<<`): the text stands elsewhere.
    OnlyMerged {
        /// The path.
        path: String,
        /// The line of the `<<`.
        line: usize,
    },
    /// A key on the path stands twice in its mapping; programs differ in which one they take.
    DuplicateKey {
        /// The path.
        path: String,
        /// The path as far as the key that is there twice.
        key: String,
        /// The line of the second.
        line: usize,
    },
    /// More than one document of the file has the path.
    SeveralDocuments {
        /// The path.
        path: String,
        /// The line in the second document that has it.
        line: usize,
    },
    /// A block scalar (`|`, `>`), or a value that does not stand on one line.
    MultiLine {
        /// The path.
        path: String,
        /// Its line.
        line: usize,
    },
    /// Not YAML: a tab as indentation, an open quote, a template.
    Syntax {
        /// Where.
        line: usize,
        /// What the parser says.
        problem: String,
    },
    /// Not UTF-8.
    NotUtf8 {
        /// The line of the first bad byte.
        line: usize,
    },
    /// Only a part of the file was to be had.
    Truncated,
    /// Larger than [`LARGEST`].
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The new tag has characters that would need escapes. Our bug: a tag was checked before.
    UnsafeTag,
    /// The edited text, parsed again, is not what was wanted. Our bug.
    Unproven {
        /// The path, or the first of several.
        path: String,
    },
}

/// One tag changed in one file, proven to be the only change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The whole new file.
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
    Ok(places(text, at)?.into_iter().map(|place| place.value).collect())
}

/// Writes the tag at each path. A value that is the tag already, and a string to every reader of YAML, stays as it is.
pub fn set_tag(text: &str, at: &[TagPath], tag: &str) -> Result<Edit, EditRefusal> {
    if tag.is_empty() || !tag.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-')) {
        return Err(EditRefusal::UnsafeTag);
    }
    let mut places = places(text, at)?;
    let before = places.iter().map(|place| place.value.clone()).collect();
    places.retain(|place| !place.holds(tag));
    places.sort_by_key(|place| place.event);
    places.dedup_by_key(|place| place.event);

    let splices: Vec<_> = places.iter().map(|place| (place.bytes.clone(), place.form.write(tag))).collect();
    let unproven = || EditRefusal::Unproven { path: at.first().map(TagPath::to_string).unwrap_or_default() };
    let edited = splice(text, &splices).ok_or_else(unproven)?;
    let proven = differs_only_in(text, &edited, &splices) && means_the_same_but_for(text, &edited, &places, tag);
    if !proven {
        return Err(unproven());
    }
    Ok(Edit { text: edited, before, changed: !places.is_empty() })
}

fn check_size(bytes: usize) -> Result<(), EditRefusal> {
    if bytes > LARGEST { Err(EditRefusal::TooLarge { bytes, limit: LARGEST }) } else { Ok(()) }
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
fn differs_only_in(old: &str, new: &str, splices: &[(Range<usize>, String)]) -> bool {
    let mut rest = Some(new);
    let mut seen = 0;
    for (range, written) in splices {
        let kept = old.get(seen..range.start);
        rest = rest.zip(kept).and_then(|(rest, kept)| rest.strip_prefix(kept)?.strip_prefix(written.as_str()));
        seen = range.end;
    }
    rest.is_some() && rest == old.get(seen..)
}

/// Second half of the proof: event by event the same YAML, but for the values, which are the tag in quotes now.
///
/// Where a path leads depends on the events alone, so it still leads to the same scalar.
fn means_the_same_but_for(old: &str, new: &str, places: &[Place], tag: &str) -> bool {
    let (mut old, mut new) = (Parser::new_from_str(old), Parser::new_from_str(new));
    let mut places = places.iter().peekable();
    for position in 0_usize.. {
        let (wanted, got) = match (old.next_event(), new.next_event()) {
            (Some(Ok((wanted, _))), Some(Ok((got, _)))) => (wanted, got),
            (ends_old, ends_new) => return ends_old.is_none() && ends_new.is_none() && places.peek().is_none(),
        };
        let wanted = match (places.next_if(|place| place.event == position), wanted) {
            (Some(place), Event::Scalar(_, _, anchor, kind)) => {
                Event::Scalar(tag.into(), place.form.style(), anchor, kind)
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

/// A value that can be replaced.
#[derive(Debug)]
struct Place {
    /// The number of its event in the stream.
    event: usize,
    value: String,
    /// What is replaced: the quotes belong to it, an anchor or tag before it does not.
    bytes: Range<usize>,
    form: Form,
    /// Tagged `!!str`: a string even if it looks like a number.
    string: bool,
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Plain,
    Single,
    Double,
    /// Not at all, as in `tag:`.
    Empty,
}

impl Form {
    fn write(self, tag: &str) -> String {
        match self {
            Self::Single => format!("'{tag}'"),
            Self::Plain | Self::Double => format!("\"{tag}\""),
            Self::Empty => format!(" \"{tag}\""),
        }
    }

    /// The style of what [`Form::write`] writes.
    fn style(self) -> ScalarStyle {
        if self == Self::Single { ScalarStyle::SingleQuoted } else { ScalarStyle::DoubleQuoted }
    }
}

impl Place {
    /// Whether every reader of YAML finds the tag here, as a string.
    fn holds(&self, tag: &str) -> bool {
        let is_string = match self.form {
            Form::Single | Form::Double => true,
            Form::Plain => self.string || is_plain_string(tag),
            Form::Empty => false,
        };
        is_string && self.value == tag
    }
}

/// Whether a plain scalar is a string in YAML 1.1 and 1.2. Takes some strings for others (`1.2.3`): those get quotes.
fn is_plain_string(text: &str) -> bool {
    const WORDS: [&str; 12] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n", ".inf", "-.inf", ".nan"];
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let in_other_base = ["0x", "0X", "0o", "0O", "0b", "0B"].iter().any(|prefix| unsigned.starts_with(prefix));
    let number_or_date = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'-' | b'e' | b'E'));
    !in_other_base && !number_or_date && !WORDS.iter().any(|word| word.eq_ignore_ascii_case(text))
}

fn places(text: &str, at: &[TagPath]) -> Result<Vec<Place>, EditRefusal> {
    check_size(text.len())?;
    // The parser copies the prefix of a `%TAG` into every tag that uses it (gigabytes of copies from a small file), and it
    // counts bytes, not characters, in directives that it does not know.
    let directive = |line: &str| {
        let line = line.trim_start_matches('\u{FEFF}');
        line.starts_with('%') && !line.starts_with("%YAML ")
    };
    if let Some(before) = text.split(['\n', '\r']).position(directive) {
        let problem = "a directive other than %YAML".to_owned();
        return Err(EditRefusal::Syntax { line: before.saturating_add(1), problem });
    }
    at.iter().map(|path| Walk::new(text, path).place()).collect()
}

/// One pass over the events, following one path. Holds no more than the path is deep.
struct Walk<'a> {
    text: &'a str,
    path: &'a TagPath,
    parser: Parser<'a, StrInput<'a>>,
    /// Events read so far.
    events: usize,
    /// Collections that are open.
    open: usize,
    /// The anchors on the path, and the line of the first alias that names one of them.
    anchors: Vec<usize>,
    used_elsewhere: Option<usize>,
    /// How many segments exist, and the line of the last one.
    deepest: (usize, Option<usize>),
}

type Spanned<'a> = (Event<'a>, Span);

impl<'a> Walk<'a> {
    fn new(text: &'a str, path: &'a TagPath) -> Self {
        let parser = Parser::new_from_str(text);
        Self { text, path, parser, events: 0, open: 0, anchors: Vec::new(), used_elsewhere: None, deepest: (0, None) }
    }

    fn place(mut self) -> Result<Place, EditRefusal> {
        let mut found = None;
        loop {
            match self.next()?.0 {
                Event::StreamEnd => break,
                Event::DocumentStart(_) => {
                    let (anchors, used_elsewhere) = (self.anchors.clone(), self.used_elsewhere);
                    let root = self.next()?;
                    let line = root.1.start.line();
                    match self.node(root, 0, line)? {
                        None => (self.anchors, self.used_elsewhere) = (anchors, used_elsewhere),
                        Some(_) if found.is_some() => {
                            let line = self.deepest.1.unwrap_or(line);
                            return Err(EditRefusal::SeveralDocuments { path: self.path.to_string(), line });
                        }
                        place => found = place,
                    }
                }
                _ => {}
            }
        }
        let path = self.path.to_string();
        match (found, self.used_elsewhere) {
            (Some(_), Some(line)) => Err(EditRefusal::UsedElsewhere { path, line }),
            (Some(place), None) => Ok(place),
            (None, _) => {
                let (count, line) = self.deepest;
                Err(EditRefusal::PathMissing { path, exists: self.path.first(count), line })
            }
        }
    }

    fn next(&mut self) -> Result<Spanned<'a>, EditRefusal> {
        // The parser repeats an error forever: the first one must end the walk.
        let (event, span) = match self.parser.next_event() {
            Some(Ok(event)) => event,
            Some(Err(error)) => {
                return Err(EditRefusal::Syntax { line: error.marker().line(), problem: error.info().to_owned() });
            }
            None => return Err(self.unproven()),
        };
        self.events = self.events.saturating_add(1);
        let line = span.start.line();
        match event {
            Event::Alias(id) if self.anchors.contains(&id) => drop(self.used_elsewhere.get_or_insert(line)),
            Event::MappingStart(..) | Event::SequenceStart(..) => self.open = self.open.saturating_add(1),
            Event::MappingEnd | Event::SequenceEnd => self.open = self.open.saturating_sub(1),
            _ => {}
        }
        if self.open > DEEPEST {
            return Err(EditRefusal::Syntax { line, problem: "nested too deeply".to_owned() });
        }
        Ok((event, span))
    }

    /// Reads a node to its end. `line` is that of its key, which is where people look.
    fn node(&mut self, (event, span): Spanned<'a>, depth: usize, line: usize) -> Result<Option<Place>, EditRefusal> {
        if depth > 0 && depth >= self.deepest.0 {
            self.deepest = (depth, Some(line));
        }
        let anchor = match event {
            Event::Scalar(_, _, anchor, _) | Event::MappingStart(anchor, _) | Event::SequenceStart(anchor, _) => anchor,
            _ => 0,
        };
        if anchor > 0 {
            self.anchors.push(anchor);
        }
        let path = || self.path.to_string();
        match (event, self.path.0.get(depth)) {
            (Event::Alias(_), _) => Err(EditRefusal::Alias { path: path(), line }),
            (event @ Event::Scalar(..), None) => self.scalar(event, span, line).map(Some),
            (_, None) => Err(EditRefusal::NotAScalar { path: path(), line }),
            (Event::MappingStart(..), Some(Segment::Key(key))) => self.mapping(key, depth),
            (Event::SequenceStart(..), Some(Segment::Index(index))) => self.sequence(*index, depth),
            (other, Some(_)) => self.skip(&other).map(|()| None),
        }
    }

    fn mapping(&mut self, key: &str, depth: usize) -> Result<Option<Place>, EditRefusal> {
        let below = depth.saturating_add(1);
        let (mut place, mut seen, mut merge) = (None, false, None);
        loop {
            let (event, span) = self.next()?;
            let line = span.start.line();
            let ours = match &event {
                Event::MappingEnd => break,
                Event::Scalar(text, style, ..) => {
                    if text == "<<" && *style == ScalarStyle::Plain {
                        merge = Some(line);
                    }
                    text == key
                }
                // It may stand for our key.
                Event::Alias(_) => return Err(EditRefusal::Alias { path: self.path.to_string(), line }),
                _ => false,
            };
            self.skip(&event)?;
            let value = self.next()?;
            match (ours, seen) {
                (false, _) => self.skip(&value.0)?,
                (true, false) => {
                    seen = true;
                    place = self.node(value, below, line)?;
                }
                (true, true) => {
                    let key = self.path.first(below);
                    return Err(EditRefusal::DuplicateKey { path: self.path.to_string(), key, line });
                }
            }
        }
        match merge {
            Some(line) if !seen => Err(EditRefusal::OnlyMerged { path: self.path.to_string(), line }),
            _ => Ok(place),
        }
    }

    fn sequence(&mut self, index: usize, depth: usize) -> Result<Option<Place>, EditRefusal> {
        let mut place = None;
        for position in 0_usize.. {
            let item = self.next()?;
            let line = item.1.start.line();
            match item.0 {
                Event::SequenceEnd => break,
                _ if position == index => place = self.node(item, depth.saturating_add(1), line)?,
                other => self.skip(&other)?,
            }
        }
        Ok(place)
    }

    /// Reads the rest of a node whose first event was the last one read.
    fn skip(&mut self, first: &Event<'_>) -> Result<(), EditRefusal> {
        if matches!(first, Event::MappingStart(..) | Event::SequenceStart(..)) {
            let outside = self.open.saturating_sub(1);
            while self.open > outside {
                self.next()?;
            }
        }
        Ok(())
    }

    /// Finds the bytes of the scalar that was read last.
    fn scalar(&self, event: Event<'a>, span: Span, line: usize) -> Result<Place, EditRefusal> {
        let Event::Scalar(value, style, anchor, kind) = event else { return Err(self.unproven()) };
        let path = || self.path.to_string();
        if let Some(kind) = kind.as_deref().filter(|kind| !is_string_tag(kind)) {
            return Err(EditRefusal::NotAString { path: path(), line, tag: shown(kind) });
        }
        if matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
            return Err(EditRefusal::MultiLine { path: path(), line });
        }
        let (start, end) = (byte_at(self.text, span.start.index()), byte_at(self.text, span.end.index()));
        let whole = self.text.get(start..end).ok_or_else(|| self.unproven())?;
        if whole.contains(['\n', '\r']) {
            return Err(EditRefusal::MultiLine { path: path(), line });
        }
        let written = without_properties(whole);
        // To YAML 1.1, which Helm reads, such a name ends earlier, and what is left of it belongs to the value.
        let properties = whole.strip_suffix(written).unwrap_or_default();
        let odd = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
        if properties.split([' ', '\t']).filter_map(|one| one.strip_prefix('&')).any(|name| name.contains(odd)) {
            let problem = "an anchor whose name has other characters than a-z, 0-9, - and _".to_owned();
            return Err(EditRefusal::Syntax { line, problem });
        }
        let begin = end.saturating_sub(written.len());
        let (form, begin, length) = match style {
            ScalarStyle::SingleQuoted => (Form::Single, begin, quoted(written, '\'')),
            ScalarStyle::DoubleQuoted => (Form::Double, begin, quoted(written, '"')),
            _ if !value.is_empty() => (Form::Plain, begin, Some(written.len())),
            // The span is that of the anchor and tag. Without them it is that of the colon, or of whatever comes next.
            _ if anchor > 0 || kind.is_some() => (Form::Empty, end, Some(0)),
            _ if self.text.get(start..).is_some_and(is_bare_colon) => (Form::Empty, start.saturating_add(1), Some(0)),
            _ => return Err(EditRefusal::NoValue { path: path(), line }),
        };
        let length = length.ok_or_else(|| self.unproven())?;
        let bytes = begin..begin.saturating_add(length);
        Ok(Place {
            event: self.events.saturating_sub(1),
            value: value.into_owned(),
            bytes,
            form,
            string: kind.is_some(),
        })
    }

    fn unproven(&self) -> EditRefusal {
        EditRefusal::Unproven { path: self.path.to_string() }
    }
}

const CORE: &str = "tag:yaml.org,2002:";

/// `!!str`, in any spelling, or `!`, which says "not a number" too.
fn is_string_tag(tag: &saphyr_parser::Tag) -> bool {
    let (handle, suffix) = (tag.handle.as_str(), tag.suffix.as_str());
    (handle, suffix) == (CORE, "str")
        || (handle, suffix) == ("", "!")
        || handle.is_empty() && suffix.strip_prefix(CORE) == Some("str")
}

fn shown(tag: &saphyr_parser::Tag) -> String {
    let text = if tag.handle == CORE { format!("!!{}", tag.suffix) } else { tag.to_string() };
    text.chars().take(80).collect()
}

/// Whether a value may be written right after this colon.
fn is_bare_colon(text: &str) -> bool {
    let after = text.strip_prefix(':');
    after.is_some_and(|after| after.is_empty() || after.starts_with([' ', '\t', '\r', '\n', ',', '}', ']']))
}

/// The byte offset of a character; the end of the text if there are fewer.
fn byte_at(text: &str, characters: usize) -> usize {
    text.char_indices().nth(characters).map_or(text.len(), |(byte, _)| byte)
}

/// What follows the anchor and the tag, which end at a blank: nothing else in Unicode is one to YAML.
fn without_properties(text: &str) -> &str {
    const BLANKS: [char; 2] = [' ', '\t'];
    let mut rest = text;
    while rest.starts_with(['&', '!']) {
        rest = rest.trim_start_matches(|c| !BLANKS.contains(&c)).trim_start_matches(BLANKS);
    }
    rest
}

/// The length of a quoted scalar at the start of the text.
fn quoted(text: &str, quote: char) -> Option<usize> {
    let mut chars = text.char_indices().peekable();
    chars.next_if(|(_, c)| *c == quote)?;
    while let Some((at, c)) = chars.next() {
        let doubled = quote == '\'' && chars.peek().is_some_and(|(_, next)| *next == quote);
        match c {
            '\\' if quote == '"' => drop(chars.next()),
            _ if c == quote && doubled => drop(chars.next()),
            _ if c == quote => return Some(at.saturating_add(1)),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fmt::Write;

    const TAG: &str = "main-abc1234";

    fn path(text: &str) -> TagPath {
        TagPath::parse(text).unwrap()
    }

    fn refusal(text: &str, at: &str) -> EditRefusal {
        let refusal = set_tag(text, &[path(at)], TAG).unwrap_err();
        assert_eq!(read_tags(text, &[path(at)]).unwrap_err(), refusal, "what is refused is not read either");
        refusal
    }

    /// One line per file: which it is, and why it is refused.
    fn refusals(files: &[(&str, &str)]) -> String {
        files.iter().fold(String::new(), |mut all, (at, text)| {
            let why = serde_json::to_string(&refusal(text, at)).unwrap();
            writeln!(all, "{text:?}\n    {why}").unwrap();
            all
        })
    }

    /// Before and after, with what cannot be seen made visible.
    fn fences(at: &[&str], text: &str) -> String {
        let at: Vec<_> = at.iter().map(|at| path(at)).collect();
        let edit = set_tag(text, &at, TAG).unwrap();
        assert_eq!(read_tags(&edit.text, &at).unwrap(), vec![TAG; at.len()]);
        assert_eq!(read_tags(text, &at).unwrap(), edit.before);
        let again = set_tag(&edit.text, &at, TAG).unwrap();
        assert_eq!(
            (again.text.as_str(), again.changed),
            (edit.text.as_str(), false),
            "a second edit has nothing to do"
        );
        let show = |text: &str| {
            let seen = text.replace('\r', "␍").replace('\u{FEFF}', "<BOM>").replace('\u{85}', "\\u{85}");
            if seen.ends_with('\n') { seen } else { format!("{seen}<no newline>\n") }
        };
        format!("--- before: {:?}\n{}--- after\n{}---", edit.before, show(text), show(&edit.text))
    }

    #[test]
    fn paths_have_one_spelling() {
        for (text, canonical) in [
            ("image.tag", "image.tag"),
            ("tag", "tag"),
            ("images[0].tag", "images[0].tag"),
            ("[1][20]", "[1][20]"),
            ("\"image\".\"tag\"", "image.tag"),
            ("\"a.b\".tag", "\"a.b\".tag"),
            ("a.\"b c[0]\"[3]", "a.\"b c[0]\"[3]"),
            ("größe.tag-x_1", "größe.tag-x_1"),
        ] {
            assert_eq!(path(text).to_string(), canonical);
            assert_eq!(path(canonical), path(text));
        }
        let long = "a.".repeat(40) + "a";
        for text in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "a.[0]",
            "a[",
            "a[]",
            "a[x]",
            "a[-1]",
            "a[01]",
            "a[0]b",
            "a[9999999]",
            "a]",
            "\"",
            "\"\"",
            "\"a",
            "\"a\"b",
            "a\"b",
            "a b",
            "a\nb",
            "\"a\nb\"",
            "'a'",
            &long,
            &"a".repeat(600),
        ] {
            assert!(TagPath::parse(text).is_err(), "{text:?} should be refused");
        }
        assert_eq!(TagPath::default().to_string(), "image.tag");
        assert_eq!(serde_json::to_string(&path("a[0].\"b.c\"")).unwrap(), r#""a[0].\"b.c\"""#);
        assert_eq!(serde_json::from_str::<TagPath>(r#""image.tag""#).unwrap(), TagPath::default());
        assert!(serde_json::from_str::<TagPath>(r#""a..b""#).is_err());
    }

    #[test]
    fn ordinary_files() {
        insta::assert_snapshot!(fences(&["image.tag"], "# who: team\nreplicas: 2\n\nimage:\n  # set by the bot\n  tag: old-1234567   # do not edit\n  repository: ghcr.io/acme/checkout\nzz: 'last'\n"), @r#"
        --- before: ["old-1234567"]
        # who: team
        replicas: 2

        image:
          # set by the bot
          tag: old-1234567   # do not edit
          repository: ghcr.io/acme/checkout
        zz: 'last'
        --- after
        # who: team
        replicas: 2

        image:
          # set by the bot
          tag: "main-abc1234"   # do not edit
          repository: ghcr.io/acme/checkout
        zz: 'last'
        ---
        "#);
        insta::assert_snapshot!(fences(&["image.tag"], "image: {repository: x, tag: 'old', pullPolicy: Always}"), @r#"
        --- before: ["old"]
        image: {repository: x, tag: 'old', pullPolicy: Always}<no newline>
        --- after
        image: {repository: x, tag: 'main-abc1234', pullPolicy: Always}<no newline>
        ---
        "#);
        insta::assert_snapshot!(fences(&["image.tag"], "\u{FEFF}# größe\r\nimage:\r\n  tag: \"v1 \\\" # x\" # ünï\r\n  name: ä\r\n"), @r#"
        --- before: ["v1 \" # x"]
        <BOM># größe␍
        image:␍
          tag: "v1 \" # x" # ünï␍
          name: ä␍
        --- after
        <BOM># größe␍
        image:␍
          tag: "main-abc1234" # ünï␍
          name: ä␍
        ---
        "#);
        insta::assert_snapshot!(fences(&["image.tag"], "{\n  \"größe\": [1, {\"tag\": 2}],\n  \"image\": {\"tag\":\"old\"}\n}"), @r#"
        --- before: ["old"]
        {
          "größe": [1, {"tag": 2}],
          "image": {"tag":"old"}
        }<no newline>
        --- after
        {
          "größe": [1, {"tag": 2}],
          "image": {"tag":"main-abc1234"}
        }<no newline>
        ---
        "#);
        insta::assert_snapshot!(fences(&["image.tag"], "image:\n  tag: 'it''s'  \n"), @r#"
        --- before: ["it's"]
        image:
          tag: 'it''s'  
        --- after
        image:
          tag: 'main-abc1234'  
        ---
        "#);
    }

    #[test]
    fn lists_and_quoted_keys() {
        insta::assert_snapshot!(fences(&["images[1].tag"], "images:\n- name: a\n  tag: one\n- name: b\n  tag: two\n"), @r#"
        --- before: ["two"]
        images:
        - name: a
          tag: one
        - name: b
          tag: two
        --- after
        images:
        - name: a
          tag: one
        - name: b
          tag: "main-abc1234"
        ---
        "#);
        insta::assert_snapshot!(fences(&["\"a.b\".tag"], "a:\n  b:\n    tag: no\n\"a.b\":\n  'tag': 1.20\n"), @r#"
        --- before: ["1.20"]
        a:
          b:
            tag: no
        "a.b":
          'tag': 1.20
        --- after
        a:
          b:
            tag: no
        "a.b":
          'tag': "main-abc1234"
        ---
        "#);
        insta::assert_snapshot!(fences(&["web.tag", "tags[0]"], "tags: [old, other]\nweb:\n  tag: old\n"), @r#"
        --- before: ["old", "old"]
        tags: [old, other]
        web:
          tag: old
        --- after
        tags: ["main-abc1234", other]
        web:
          tag: "main-abc1234"
        ---
        "#);
    }

    #[test]
    fn anchors_types_and_empty_values() {
        insta::assert_snapshot!(fences(&["image.tag"], "image: &image\n  tag: &t !!str 12 # pinned\n"), @r#"
        --- before: ["12"]
        image: &image
          tag: &t !!str 12 # pinned
        --- after
        image: &image
          tag: &t !!str "main-abc1234" # pinned
        ---
        "#);
        insta::assert_snapshot!(fences(&["a", "b"], "a: !!str \"x\"\nb: ! &b 'y' # c\n"), @r#"
        --- before: ["x", "y"]
        a: !!str "x"
        b: ! &b 'y' # c
        --- after
        a: !!str "main-abc1234"
        b: ! &b 'main-abc1234' # c
        ---
        "#);
        insta::assert_snapshot!(fences(&["a"], "a: &xy !!str \u{85}z\n"), @r#"
        --- before: ["\u{85}z"]
        a: &xy !!str \u{85}z
        --- after
        a: &xy !!str "main-abc1234"
        ---
        "#);
        insta::assert_snapshot!(fences(&["a", "b.c"], "a:\nb: {c:, d: e}\n"), @r#"
        --- before: ["", ""]
        a:
        b: {c:, d: e}
        --- after
        a: "main-abc1234"
        b: {c: "main-abc1234", d: e}
        ---
        "#);
        insta::assert_snapshot!(fences(&["a", "b", "c"], "a: # none\nb: !!str\nc: ~\n"), @r#"
        --- before: ["", "", "~"]
        a: # none
        b: !!str
        c: ~
        --- after
        a: "main-abc1234" # none
        b: !!str "main-abc1234"
        c: "main-abc1234"
        ---
        "#);
        insta::assert_snapshot!(fences(&["image.tag"], "base: &base\n  tag: x\nimage:\n  <<: *base\n  tag: own\n"), @r#"
        --- before: ["own"]
        base: &base
          tag: x
        image:
          <<: *base
          tag: own
        --- after
        base: &base
          tag: x
        image:
          <<: *base
          tag: "main-abc1234"
        ---
        "#);
        insta::assert_snapshot!(fences(&["image.tag"], "---\nkind: A\n---\nkind: B\n---\nimage:\n  tag: old\n...\n"), @r#"
        --- before: ["old"]
        ---
        kind: A
        ---
        kind: B
        ---
        image:
          tag: old
        ...
        --- after
        ---
        kind: A
        ---
        kind: B
        ---
        image:
          tag: "main-abc1234"
        ...
        ---
        "#);
    }

    #[test]
    fn what_is_refused() {
        insta::assert_snapshot!(refusals(&[
            ("image.tag", ""),
            ("image.tag", "# nothing\n"),
            ("image.tag", "replicas: 1\n"),
            ("image.tag", "a: 1\nimage:\n  name: x\n"),
            ("image.tag", "image: x\n"),
            ("image.tag", "image:\n- tag: x\n"),
            ("images[2].tag", "images:\n- tag: x\n- tag: y\n"),
            ("image.tag", "a: 1\n---\nb: 1\n"),
            ("image.tag", "image:\n  tag:\n    name: x\n"),
            ("image.tag", "image:\n  tag: [x]\n"),
            ("image.tag", "image:\n  tag: {{ .Values.tag }}\n"),
            ("image.tag", "image:\n  tag: !!int 12\n"),
            ("image.tag", "image:\n  tag: !vault x\n"),
            ("image.tag", "image: {tag}\n"),
            ("a[0]", "a:\n-\n- b\n"),
            ("tag", "{\"tag\":#\n}\n"),
        ]), @r##"
        ""
            {"path_missing":{"path":"image.tag","exists":"","line":null}}
        "# nothing\n"
            {"path_missing":{"path":"image.tag","exists":"","line":null}}
        "replicas: 1\n"
            {"path_missing":{"path":"image.tag","exists":"","line":null}}
        "a: 1\nimage:\n  name: x\n"
            {"path_missing":{"path":"image.tag","exists":"image","line":2}}
        "image: x\n"
            {"path_missing":{"path":"image.tag","exists":"image","line":1}}
        "image:\n- tag: x\n"
            {"path_missing":{"path":"image.tag","exists":"image","line":1}}
        "images:\n- tag: x\n- tag: y\n"
            {"path_missing":{"path":"images[2].tag","exists":"images","line":1}}
        "a: 1\n---\nb: 1\n"
            {"path_missing":{"path":"image.tag","exists":"","line":null}}
        "image:\n  tag:\n    name: x\n"
            {"not_a_scalar":{"path":"image.tag","line":2}}
        "image:\n  tag: [x]\n"
            {"not_a_scalar":{"path":"image.tag","line":2}}
        "image:\n  tag: {{ .Values.tag }}\n"
            {"not_a_scalar":{"path":"image.tag","line":2}}
        "image:\n  tag: !!int 12\n"
            {"not_a_string":{"path":"image.tag","line":2,"tag":"!!int"}}
        "image:\n  tag: !vault x\n"
            {"not_a_string":{"path":"image.tag","line":2,"tag":"!vault"}}
        "image: {tag}\n"
            {"no_value":{"path":"image.tag","line":1}}
        "a:\n-\n- b\n"
            {"no_value":{"path":"a[0]","line":2}}
        "{\"tag\":#\n}\n"
            {"no_value":{"path":"tag","line":1}}
        "##);
        insta::assert_snapshot!(refusals(&[
            ("image.tag", "a: &a x\nimage:\n  tag: *a\n"),
            ("image.tag", "a: &a {tag: x}\nimage: *a\n"),
            ("image.tag", "a: &a tag\nimage:\n  tag: x\n  *a : y\n"),
            ("image.tag", "image:\n  tag: &a x\nb:\n  c: *a\n"),
            ("image.tag", "image: &a\n  tag: x\nb:\n  <<: *a\n"),
            ("image.tag", "image: &a\n  self: *a\n  tag: x\n"),
            ("image.tag", "a: &a {tag: x}\nimage:\n  <<: *a\n"),
            ("image.tag", "a: &a {image: {tag: x}}\n<<: *a\n"),
            ("image.tag", "image:\n  tag: x\n  tag: y\n"),
            ("image.tag", "image:\n  tag: x\nb: 1\n\"image\": {tag: y}\n"),
            ("image.tag", "image:\n  tag: x\n---\nimage:\n  tag: y\n"),
        ]), @r#"
        "a: &a x\nimage:\n  tag: *a\n"
            {"alias":{"path":"image.tag","line":3}}
        "a: &a {tag: x}\nimage: *a\n"
            {"alias":{"path":"image.tag","line":2}}
        "a: &a tag\nimage:\n  tag: x\n  *a : y\n"
            {"alias":{"path":"image.tag","line":4}}
        "image:\n  tag: &a x\nb:\n  c: *a\n"
            {"used_elsewhere":{"path":"image.tag","line":4}}
        "image: &a\n  tag: x\nb:\n  <<: *a\n"
            {"used_elsewhere":{"path":"image.tag","line":4}}
        "image: &a\n  self: *a\n  tag: x\n"
            {"used_elsewhere":{"path":"image.tag","line":2}}
        "a: &a {tag: x}\nimage:\n  <<: *a\n"
            {"only_merged":{"path":"image.tag","line":3}}
        "a: &a {image: {tag: x}}\n<<: *a\n"
            {"only_merged":{"path":"image.tag","line":2}}
        "image:\n  tag: x\n  tag: y\n"
            {"duplicate_key":{"path":"image.tag","key":"image.tag","line":3}}
        "image:\n  tag: x\nb: 1\n\"image\": {tag: y}\n"
            {"duplicate_key":{"path":"image.tag","key":"image","line":4}}
        "image:\n  tag: x\n---\nimage:\n  tag: y\n"
            {"several_documents":{"path":"image.tag","line":5}}
        "#);
        insta::assert_snapshot!(refusals(&[
            ("image.tag", "image:\n  tag: |\n    x\n"),
            ("image.tag", "image:\n  tag: >-\n    x\n"),
            ("image.tag", "image:\n  tag: x\n    y\n"),
            ("image.tag", "image:\n  tag: \"x\n    y\"\n"),
            ("image.tag", "image:\n  tag: !!str # c\n    \"x\"\n"),
            ("image.tag", "image:\n\ttag: x\n"),
            ("image.tag", "a: 1\nimage:\n  tag: \"x\n"),
            ("image.tag", "image:\n  tag: x\n{{- if .Values.a }}\nb: 1\n{{- end }}\n"),
            ("image.tag", "image:\n  tag: *x\n"),
            ("image.tag", "image:\n  tag: x\0y\n"),
            ("image.tag", "image:\n  tag: !!str &v:1 x\n"),
            ("image.tag", "%TAG !e! tag:example.com,2000:\n---\nimage:\n  tag: x\n"),
        ]), @r#"
        "image:\n  tag: |\n    x\n"
            {"multi_line":{"path":"image.tag","line":2}}
        "image:\n  tag: >-\n    x\n"
            {"multi_line":{"path":"image.tag","line":2}}
        "image:\n  tag: x\n    y\n"
            {"multi_line":{"path":"image.tag","line":2}}
        "image:\n  tag: \"x\n    y\"\n"
            {"multi_line":{"path":"image.tag","line":2}}
        "image:\n  tag: !!str # c\n    \"x\"\n"
            {"multi_line":{"path":"image.tag","line":2}}
        "image:\n\ttag: x\n"
            {"syntax":{"line":2,"problem":"tabs disallowed within this context (block indentation)"}}
        "a: 1\nimage:\n  tag: \"x\n"
            {"syntax":{"line":3,"problem":"while scanning a quoted scalar, found unexpected end of stream"}}
        "image:\n  tag: x\n{{- if .Values.a }}\nb: 1\n{{- end }}\n"
            {"syntax":{"line":3,"problem":"\"-\" is only valid inside a block"}}
        "image:\n  tag: *x\n"
            {"syntax":{"line":2,"problem":"while parsing node, found unknown anchor"}}
        "image:\n  tag: x\0y\n"
            {"syntax":{"line":2,"problem":"found unprintable character"}}
        "image:\n  tag: !!str &v:1 x\n"
            {"syntax":{"line":2,"problem":"an anchor whose name has other characters than a-z, 0-9, - and _"}}
        "%TAG !e! tag:example.com,2000:\n---\nimage:\n  tag: x\n"
            {"syntax":{"line":1,"problem":"a directive other than %YAML"}}
        "#);
    }

    #[test]
    fn what_is_no_text_is_refused() {
        assert_eq!(text_of("ä: ö\n".as_bytes()), Ok("ä: ö\n"));
        assert_eq!(text_of(b"a: 1\nb: \xff\n"), Err(EditRefusal::NotUtf8 { line: 2 }));
        assert_eq!(text_of(b"\xff\xfea\0"), Err(EditRefusal::NotUtf8 { line: 1 }));
        let large = "#".repeat(LARGEST + 1);
        let too_large = EditRefusal::TooLarge { bytes: LARGEST + 1, limit: LARGEST };
        assert_eq!(text_of(large.as_bytes()), Err(too_large.clone()));
        assert_eq!(set_tag(&large, &[TagPath::default()], TAG), Err(too_large));
    }

    #[test]
    fn deep_nesting_is_refused() {
        let nested = |depth: usize| format!("tag: x\nb:\n  {}c\n", "- ".repeat(depth));
        assert!(set_tag(&nested(DEEPEST - 1), &[path("tag")], TAG).is_ok());
        let problem = "nested too deeply".to_owned();
        assert_eq!(refusal(&nested(DEEPEST), "tag"), EditRefusal::Syntax { line: 3, problem });
    }

    #[test]
    fn only_a_tag_is_written() {
        for tag in ["", "a b", "a\"", "a\n", "ä", "a:b", "a/b", "{{"] {
            assert_eq!(set_tag("tag: x\n", &[path("tag")], tag), Err(EditRefusal::UnsafeTag), "{tag:?}");
        }
    }

    #[test]
    fn the_same_tag_is_quoted_if_it_may_be_read_as_something_else() {
        let changed = |value: &str, tag: &str| {
            let edit = set_tag(&format!("tag: {value}\n"), &[path("tag")], tag).unwrap();
            assert!(edit.changed != (edit.text == format!("tag: {value}\n")));
            assert_eq!(edit.before, [tag]);
            edit.changed
        };
        for tag in ["main-abc1234", "v1.2.3", "1.2.3-abc", "_x", "nope", "0xyz-", "deadbeef", "12f-1234567"] {
            let number_like = tag.starts_with("0x");
            assert_eq!(changed(tag, tag), number_like, "{tag}");
        }
        for tag in [
            "12e-1234567",
            "72044e0",
            "1.10",
            "0123456",
            "58467965",
            "on",
            "Off",
            "NO",
            "y",
            "null",
            "True",
            "0x1f",
            "-0x1f",
            "0o17",
            "0b1",
            "1_0",
            "1e3",
            ".5",
            ".inf",
            "-.INF",
            ".NaN",
            "2024-01-02",
            "-1",
            "1.",
        ] {
            assert!(changed(tag, tag), "{tag}");
            assert!(!changed(&format!("\"{tag}\""), tag), "{tag}");
            assert!(!changed(&format!("'{tag}'"), tag), "{tag}");
            assert!(!changed(&format!("!!str {tag}"), tag), "{tag}");
        }
    }

    #[test]
    fn one_changed_value_of_several_is_a_change() {
        let edit = set_tag("a: 'main-abc1234'\nb: x\n", &[path("b"), path("a"), path("b")], TAG).unwrap();
        assert_eq!(edit.text, "a: 'main-abc1234'\nb: \"main-abc1234\"\n");
        assert_eq!((edit.before, edit.changed), (vec!["x".to_owned(), TAG.to_owned(), "x".to_owned()], true));
    }

    #[test]
    fn the_proof_sees_every_other_change() {
        let old = "a: &x 1 # c\nb: [u, 'v']\ntag: old\n";
        let places = places(old, &[path("tag")]).unwrap();
        let good = old.replace("old", "\"new\"");
        assert!(means_the_same_but_for(old, &good, &places, "new"));
        for (from, to) in [
            ("\"new\"", "new"),
            ("\"new\"", "'new'"),
            ("\"new\"", "\"other\""),
            ("\"new\"", "!!str \"new\""),
            ("\"new\"", "&y \"new\""),
            ("\"new\"", "\"new\"\nmore: 1"),
            ("&x 1", "1"),
            ("a: &x 1", "a: &x '1'"),
            ("a: &x 1 # c\n", ""),
            ("[u, 'v']", "['v', u]"),
            ("tag: \"new\"\n", ""),
            ("tag:", "\ttag: ["),
        ] {
            assert!(good.contains(from));
            assert!(!means_the_same_but_for(old, &good.replace(from, to), &places, "new"), "{from:?} -> {to:?}");
        }
        let splices = [(old.find("old").unwrap()..old.len() - 1, "\"new\"".to_owned())];
        assert!(differs_only_in(old, &good, &splices));
        for other in
            [good.replace('c', "d"), good.replace("new", "neu"), format!("{good} "), format!(" {good}"), old.to_owned()]
        {
            assert!(!differs_only_in(old, &other, &splices), "{other:?}");
        }
    }

    #[test]
    fn a_blob_has_gits_id() {
        assert_eq!(blob_sha(b"hello\n").as_str(), "ce013625030ba8dba906f756967f9e9ca394464a");
        assert_eq!(blob_sha(b"").as_str(), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
    }

    #[test]
    fn refusals_can_be_stored() {
        let why = refusal("image:\n  tag: x\n  tag: y\n", "image.tag");
        let json = serde_json::to_string(&why).unwrap();
        insta::assert_snapshot!(json, @r#"{"duplicate_key":{"path":"image.tag","key":"image.tag","line":3}}"#);
        assert_eq!(serde_json::from_str::<EditRefusal>(&json).unwrap(), why);
    }

    /// A values file as text before the value, the value, and text after it.
    #[derive(Clone, Debug)]
    struct Generated {
        before: String,
        value: String,
        after: String,
    }

    prop_compose! {
        fn scalar()(text in "[a-z][a-z0-9.-]{0,12}", quote in prop_oneof![Just(""), Just("'"), Just("\"")]) -> String {
            format!("{quote}{text}{quote}")
        }
    }

    fn filler(indent: &'static str, key: &'static str) -> impl Strategy<Value = String> {
        let line = prop_oneof![
            Just(String::new()),
            "# [ -~äß漢]{0,20}".prop_map(move |comment| format!("{indent}{comment}")),
            (0..1000_u32, scalar(), prop_oneof![Just(""), Just("  # note: ünï"), Just("  ")])
                .prop_map(move |(n, value, end)| format!("{indent}{key}{n}: {value}{end}")),
            (0..1000_u32, scalar())
                .prop_map(move |(n, value)| format!("{indent}{key}{n}: {{tag: {value}, \"b\": [1, ü]}}")),
            (0..1000_u32, scalar()).prop_map(move |(n, value)| format!(
                "{indent}{key}{n}:\n{indent}  - tag: {value}\n{indent}  - |\n{indent}    tag: 1"
            )),
        ];
        prop::collection::vec(line, 0..6).prop_map(|lines| lines.iter().map(|line| format!("{line}\n")).collect())
    }

    prop_compose! {
        fn generated()(
            bom in prop_oneof![3 => Just(""), 1 => Just("\u{FEFF}")],
            top in filler("", "x"),
            image in prop_oneof![Just("image:"), Just("'image':"), Just("\"image\": # the image")],
            above in filler("  ", "y"),
            key in prop_oneof![Just("  tag: "), Just("  \"tag\":   "), Just("  tag: &t "), Just("  tag: !!str ")],
            value in scalar(),
            end in prop_oneof![Just("\n"), Just("   \n"), Just(" # ünï 'x' \"y\"\n")],
            below in filler("  ", "z"),
            bottom in filler("", "w"),
            crlf: bool,
            newline: bool,
        ) -> Generated {
            let mut after = format!("{end}{below}{bottom}");
            if !newline {
                after.truncate(after.trim_end_matches('\n').len());
            }
            let file = Generated { before: format!("{bom}{top}{image}\n{above}{key}"), value, after };
            let end = |text: String| if crlf { text.replace('\n', "\r\n") } else { text };
            Generated { before: end(file.before), value: file.value, after: end(file.after) }
        }
    }

    /// Text that is nearly YAML: what a parser of YAML may stumble over.
    fn soup() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            prop::sample::select(vec![
                "image",
                "tag",
                ":",
                ": ",
                "\n",
                "\n  ",
                "\n    ",
                "\r\n",
                "\r",
                "\t",
                " ",
                "- ",
                "-",
                "? ",
                "{",
                "}",
                "[",
                "]",
                ",",
                "'",
                "\"",
                "&a ",
                "*a",
                "*a ",
                "!!str ",
                "!",
                "!<",
                "%",
                "%TAG",
                "%YAML 1.2\n",
                "---\n",
                "---",
                "...\n",
                "|",
                ">",
                "|2-\n",
                "#",
                " # c",
                "<<: ",
                "\\",
                "\\u12",
                "\u{FEFF}",
                "\0",
                "ä",
                "漢",
                "~",
                "image:\n  tag: x\n",
                "1",
                "@",
                "`",
                "%C3%A4",
            ])
            .prop_map(str::to_owned),
            any::<char>().prop_map(String::from),
        ];
        prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn nothing_but_the_value_changes(file in generated(), tag in "[A-Za-z0-9_.-]{1,20}") {
            let Generated { before, value, after } = &file;
            let at = [TagPath::default()];
            let edit = set_tag(&format!("{before}{value}{after}"), &at, &tag).unwrap();
            let quote = if value.starts_with('\'') { '\'' } else { '"' };
            if edit.changed {
                prop_assert_eq!(&edit.text, &format!("{before}{quote}{tag}{quote}{after}"));
            } else {
                prop_assert_eq!(&edit.text, &format!("{before}{value}{after}"));
            }
            prop_assert_eq!(&edit.before, &[value.trim_matches(['\'', '"'])]);
            prop_assert_eq!(read_tags(&edit.text, &at).unwrap(), [tag.clone()]);
            prop_assert!(!set_tag(&edit.text, &at, &tag).unwrap().changed);
        }

        #[test]
        fn no_text_is_edited_wrongly(text in soup(), at in prop::sample::select(vec!["image.tag", "tag", "image[0]", "[0]", "image"])) {
            match set_tag(&text, &[path(at)], TAG) {
                Ok(edit) => prop_assert_eq!(read_tags(&edit.text, &[path(at)]).unwrap(), [TAG]),
                Err(why) => prop_assert!(!matches!(why, EditRefusal::Unproven { .. }), "{:?}", why),
            }
        }

        #[test]
        fn no_bytes_are_too_strange(bytes: Vec<u8>, at: String) {
            let at = TagPath::parse(&at).unwrap_or_default();
            prop_assert_eq!(TagPath::parse(&at.to_string()), Ok(at.clone()));
            if let Ok(text) = text_of(&bytes) {
                drop(set_tag(text, &[at], TAG));
            }
        }

        #[test]
        fn a_path_is_what_it_prints(text in "[a-c.\\[\\]0-2\" ]{0,12}") {
            if let Ok(at) = TagPath::parse(&text) {
                prop_assert_eq!(TagPath::parse(&at.to_string()), Ok(at));
            }
        }
    }
}
