//! Finds the bytes of the value that a path leads to.

use super::path::{Segment, TagPath};
use super::{EditRefusal, LARGEST};
use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput};
use std::ops::Range;

/// The most collections within each other. The parser keeps every open one, at a hundred times the size of
/// its text.
pub(super) const DEEPEST: usize = 200;
/// A value that can be replaced.
#[derive(Debug)]
pub(super) struct Scalar {
    /// The number of its event in the stream.
    pub(super) event: usize,
    pub(super) value: String,
    /// What is replaced: the quotes belong to it, an anchor or tag before it does not.
    pub(super) bytes: Range<usize>,
    pub(super) form: Form,
    /// Tagged `!!str`: a string even if it looks like a number.
    pub(super) string: bool,
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Plain,
    Single,
    Double,
    /// Not at all, as in `tag:`.
    Empty,
}

impl Form {
    pub(super) fn write(self, tag: &str) -> String {
        match self {
            Self::Single => format!("'{tag}'"),
            Self::Plain | Self::Double => format!("\"{tag}\""),
            Self::Empty => format!(" \"{tag}\""),
        }
    }

    /// The style of what [`Form::write`] writes.
    pub(super) fn style(self) -> ScalarStyle {
        if self == Self::Single { ScalarStyle::SingleQuoted } else { ScalarStyle::DoubleQuoted }
    }
}

impl Scalar {
    /// Whether every reader of YAML finds the tag here, as a string.
    pub(super) fn holds(&self, tag: &str) -> bool {
        let is_string = match self.form {
            Form::Single | Form::Double => true,
            Form::Plain => self.string || is_plain_string(tag),
            Form::Empty => false,
        };
        is_string && self.value == tag
    }
}

/// Whether a plain scalar is a string in YAML 1.1 and 1.2. Takes some strings for others (`1.2.3`): those
/// get quotes.
fn is_plain_string(text: &str) -> bool {
    const WORDS: [&str; 12] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n", ".inf", "-.inf", ".nan"];
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let in_other_base = ["0x", "0X", "0o", "0O", "0b", "0B"].iter().any(|prefix| unsigned.starts_with(prefix));
    let number_or_date = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'-' | b'e' | b'E'));
    !in_other_base && !number_or_date && !WORDS.iter().any(|word| word.eq_ignore_ascii_case(text))
}
pub(super) fn check_size(bytes: usize) -> Result<(), EditRefusal> {
    if bytes > LARGEST { Err(EditRefusal::TooLarge { bytes, limit: LARGEST }) } else { Ok(()) }
}

pub(super) fn scalars(text: &str, at: &[TagPath]) -> Result<Vec<Scalar>, EditRefusal> {
    check_size(text.len())?;
    // The parser copies the prefix of a `%TAG` into every tag that uses it (gigabytes of copies from a small
    // file), and it counts bytes, not characters, in directives that it does not know.
    let directive = |line: &str| {
        let line = line.trim_start_matches('\u{FEFF}');
        line.starts_with('%') && !line.starts_with("%YAML ")
    };
    if let Some(before) = text.split(['\n', '\r']).position(directive) {
        let problem = "a directive other than %YAML".to_owned();
        return Err(EditRefusal::Syntax { line: before.saturating_add(1), problem });
    }
    at.iter().map(|path| Walk::new(text, path).find()).collect()
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

    fn find(mut self) -> Result<Scalar, EditRefusal> {
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
                        scalar => found = scalar,
                    }
                }
                _ => {}
            }
        }
        let path = self.path.to_string();
        match (found, self.used_elsewhere) {
            (Some(_), Some(line)) => Err(EditRefusal::UsedElsewhere { path, line }),
            (Some(scalar), None) => Ok(scalar),
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
    fn node(&mut self, (event, span): Spanned<'a>, depth: usize, line: usize) -> Result<Option<Scalar>, EditRefusal> {
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

    fn mapping(&mut self, key: &str, depth: usize) -> Result<Option<Scalar>, EditRefusal> {
        let below = depth.saturating_add(1);
        let (mut scalar, mut seen, mut merge) = (None, false, None);
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
                // The alias may be our key by another name.
                Event::Alias(_) => return Err(EditRefusal::Alias { path: self.path.to_string(), line }),
                _ => false,
            };
            self.skip(&event)?;
            let value = self.next()?;
            match (ours, seen) {
                (false, _) => self.skip(&value.0)?,
                (true, false) => {
                    seen = true;
                    scalar = self.node(value, below, line)?;
                }
                (true, true) => {
                    let key = self.path.first(below);
                    return Err(EditRefusal::DuplicateKey { path: self.path.to_string(), key, line });
                }
            }
        }
        match merge {
            Some(line) if !seen => Err(EditRefusal::OnlyMerged { path: self.path.to_string(), line }),
            _ => Ok(scalar),
        }
    }

    fn sequence(&mut self, index: usize, depth: usize) -> Result<Option<Scalar>, EditRefusal> {
        let mut scalar = None;
        for position in 0_usize.. {
            let item = self.next()?;
            let line = item.1.start.line();
            match item.0 {
                Event::SequenceEnd => break,
                _ if position == index => scalar = self.node(item, depth.saturating_add(1), line)?,
                other => self.skip(&other)?,
            }
        }
        Ok(scalar)
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
    fn scalar(&self, event: Event<'a>, span: Span, line: usize) -> Result<Scalar, EditRefusal> {
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
        // To YAML 1.1, which Helm reads, such a name ends earlier, and what is left of it belongs to
        // the value.
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
            // The span is that of the anchor and tag. Without them it is that of the colon, or of whatever
            // comes next.
            _ if anchor > 0 || kind.is_some() => (Form::Empty, end, Some(0)),
            _ if self.text.get(start..).is_some_and(is_bare_colon) => (Form::Empty, start.saturating_add(1), Some(0)),
            _ => return Err(EditRefusal::NoValue { path: path(), line }),
        };
        let length = length.ok_or_else(|| self.unproven())?;
        let bytes = begin..begin.saturating_add(length);
        Ok(Scalar {
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
