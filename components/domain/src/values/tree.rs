//! A YAML file as a list of its nodes, in the order of the text. What is peculiar to the parser ends here, but for
//! the proof of the edit.
//!
//! Easy to miss: an alias is a node of its own, and what it stands for is elsewhere in the list. A file may be full
//! of nodes of one byte, so there is a limit: a node takes some fifty times as much.

use super::{EditRefusal, LARGEST};
use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

/// The most collections within each other. The parser keeps every open one, at a hundred times the size of
/// its text.
pub(super) const DEEPEST: usize = 200;
/// The most nodes of a file.
pub(super) const MOST_NODES: usize = 250_000;

pub(super) struct Tree<'a> {
    text: &'a str,
    nodes: Vec<Node<'a>>,
    /// The root of each document.
    pub(super) roots: Vec<usize>,
}

struct Node<'a> {
    kind: Kind<'a>,
    /// The number of its first event in the stream.
    event: usize,
    /// The first node after it and what is in it.
    end: usize,
    line: usize,
    /// In characters.
    span: Range<usize>,
    is_anchor: bool,
}

pub(super) enum Kind<'a> {
    Scalar {
        value: Cow<'a, str>,
        style: ScalarStyle,
        /// The explicit type.
        tag: Option<Box<saphyr_parser::Tag>>,
    },
    /// The node that it stands for.
    Alias(usize),
    Mapping,
    Sequence,
}

pub(super) fn check_size(bytes: usize) -> Result<(), EditRefusal> {
    if bytes > LARGEST { Err(EditRefusal::TooLarge { bytes, limit: LARGEST }) } else { Ok(()) }
}

impl<'a> Tree<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, EditRefusal> {
        check_size(text.len())?;
        no_directives(text)?;
        let (mut tree, mut parser) = (Self { text, nodes: Vec::new(), roots: Vec::new() }, Parser::new_from_str(text));
        // By the parser's own number, which no two anchors of a file share.
        let mut anchors: BTreeMap<usize, usize> = BTreeMap::new();
        let mut open = Vec::new();
        for event in 0_usize.. {
            // The parser repeats an error forever: the first one must end the reading.
            let (got, span) = match parser.next_event() {
                None | Some(Ok((Event::StreamEnd, _))) => break,
                Some(Ok(next)) => next,
                Some(Err(error)) => return Err(syntax(error.marker().line(), error.info())),
            };
            let here = tree.nodes.len();
            let (kind, anchor) = match got {
                Event::Scalar(value, style, anchor, tag) => {
                    let tag = tag.map(|tag| Box::new(tag.into_owned()));
                    (Kind::Scalar { value, style, tag }, anchor)
                }
                Event::Alias(id) => (Kind::Alias(anchors.get(&id).copied().unwrap_or(here)), 0),
                Event::MappingStart(anchor, _) => (Kind::Mapping, anchor),
                Event::SequenceStart(anchor, _) => (Kind::Sequence, anchor),
                Event::MappingEnd | Event::SequenceEnd => {
                    if let Some(node) = open.pop().and_then(|node: usize| tree.nodes.get_mut(node)) {
                        node.end = here;
                    }
                    continue;
                }
                _ => continue,
            };
            if here >= MOST_NODES {
                return Err(EditRefusal::TooLarge { bytes: text.len(), limit: LARGEST });
            }
            if open.is_empty() {
                tree.roots.push(here);
            }
            if matches!(kind, Kind::Mapping | Kind::Sequence) {
                open.push(here);
                if open.len() > DEEPEST {
                    return Err(syntax(span.start.line(), "nested too deeply"));
                }
            }
            if anchor > 0 {
                anchors.insert(anchor, here);
            }
            tree.push(kind, event, &span, anchor > 0);
        }
        Ok(tree)
    }

    fn push(&mut self, kind: Kind<'a>, event: usize, span: &Span, is_anchor: bool) {
        let (end, line) = (self.nodes.len().saturating_add(1), span.start.line());
        self.nodes.push(Node { kind, event, end, line, span: span.start.index()..span.end.index(), is_anchor });
    }

    fn node(&self, node: usize) -> Option<&Node<'a>> {
        self.nodes.get(node)
    }

    pub(super) fn kind(&self, node: usize) -> Option<&Kind<'a>> {
        self.node(node).map(|node| &node.kind)
    }

    /// The line on which it begins.
    pub(super) fn line(&self, node: usize) -> usize {
        self.node(node).map_or(1, |node| node.line)
    }

    fn end(&self, node: usize) -> usize {
        self.node(node).map_or(usize::MAX, |node| node.end)
    }

    /// What a node stands for: itself, if it is no alias. Nothing may stand for an alias.
    pub(super) fn resolved(&self, node: usize) -> usize {
        match self.kind(node) {
            Some(Kind::Alias(to)) => *to,
            _ => node,
        }
    }

    /// The text of a scalar, also by an alias.
    pub(super) fn text_of(&self, node: usize) -> Option<(&str, ScalarStyle)> {
        match self.kind(self.resolved(node))? {
            Kind::Scalar { value, style, .. } => Some((value, *style)),
            _ => None,
        }
    }

    /// What is directly in a list; in a mapping, keys and values by turns.
    pub(super) fn children(&self, node: usize) -> impl Iterator<Item = usize> + '_ {
        let (mut next, end) = (node.saturating_add(1), self.end(node));
        std::iter::from_fn(move || {
            let child = next;
            next = self.end(child);
            (child < end).then_some(child)
        })
    }

    /// The keys and values of a mapping.
    pub(super) fn entries(&self, mapping: usize) -> impl Iterator<Item = (usize, usize)> + '_ {
        let mut children = self.children(mapping);
        std::iter::from_fn(move || children.next().zip(children.next()))
    }

    /// The text of a key, if it is written there.
    pub(super) fn key(&self, key: usize) -> Option<&str> {
        match self.kind(key)? {
            Kind::Scalar { value, .. } => Some(value),
            _ => None,
        }
    }

    /// Whether a key merges another mapping (`<<`).
    pub(super) fn is_merge(&self, key: usize) -> bool {
        matches!(self.kind(key), Some(Kind::Scalar { value, style: ScalarStyle::Plain, .. }) if value == "<<")
    }

    /// At how many places a reader of the file finds a scalar, by aliases too. And the line of the first alias that
    /// shows the scalar and is not among `known`.
    pub(super) fn shown(&self, scalar: usize, known: &[usize]) -> (usize, Option<usize>) {
        // Of each anchored node that was read to its end.
        let mut shown_in: BTreeMap<usize, usize> = BTreeMap::new();
        // Of each collection that is open: where it ends, and what it shows so far. The first is the file.
        let mut open = vec![(usize::MAX, 0_usize, 0_usize)];
        let mut other = None;
        for (here, node) in self.nodes.iter().enumerate() {
            close(&mut open, &mut shown_in, here);
            let count = match &node.kind {
                // In its own anchor: it shows itself without end.
                Kind::Alias(to) => shown_in.get(to).copied().unwrap_or(usize::MAX),
                Kind::Scalar { .. } => usize::from(here == scalar),
                Kind::Mapping | Kind::Sequence => {
                    open.push((node.end, here, 0));
                    continue;
                }
            };
            if matches!(node.kind, Kind::Alias(_)) && count > 0 && !known.contains(&here) {
                other.get_or_insert(node.line);
            }
            if node.is_anchor {
                shown_in.insert(here, count);
            }
            if let Some((_, _, all)) = open.last_mut() {
                *all = all.saturating_add(count);
            }
        }
        close(&mut open, &mut shown_in, usize::MAX.saturating_sub(1));
        (open.first().map_or(0, |(_, _, all)| *all), other)
    }

    /// The bytes of a scalar. `line` is that of its key, which is where people look.
    pub(super) fn scalar(&self, node: usize, path: &str, line: usize) -> Result<Scalar, EditRefusal> {
        let unproven = || EditRefusal::Unproven { path: path.to_owned() };
        let found = self.node(node).ok_or_else(unproven)?;
        let path = || path.to_owned();
        let Kind::Scalar { value, style, tag } = &found.kind else {
            return Err(EditRefusal::NotAScalar { path: path(), line });
        };
        if let Some(tag) = tag.as_deref().filter(|tag| !is_string_tag(tag)) {
            return Err(EditRefusal::NotAString { path: path(), line, tag: shown(tag) });
        }
        if matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
            return Err(EditRefusal::MultiLine { path: path(), line });
        }
        let (start, end) = (byte_at(self.text, found.span.start), byte_at(self.text, found.span.end));
        let whole = self.text.get(start..end).ok_or_else(unproven)?;
        if whole.contains(['\n', '\r']) {
            return Err(EditRefusal::MultiLine { path: path(), line });
        }
        let written = without_properties(whole);
        // To YAML 1.1, which Helm reads, such a name ends earlier, and what is left of it belongs to
        // the value.
        let properties = whole.strip_suffix(written).unwrap_or_default();
        let odd = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
        if properties.split([' ', '\t']).filter_map(|one| one.strip_prefix('&')).any(|name| name.contains(odd)) {
            return Err(syntax(line, "an anchor whose name has other characters than a-z, 0-9, - and _"));
        }
        let begin = end.saturating_sub(written.len());
        let (form, begin, length) = match style {
            ScalarStyle::SingleQuoted => (Form::Single, begin, quoted(written, '\'')),
            ScalarStyle::DoubleQuoted => (Form::Double, begin, quoted(written, '"')),
            _ if !value.is_empty() => (Form::Plain, begin, Some(written.len())),
            // The span is that of the anchor and tag. Without them it is that of the colon, or of whatever
            // comes next.
            _ if found.is_anchor || tag.is_some() => (Form::Empty, end, Some(0)),
            _ if self.text.get(start..).is_some_and(is_bare_colon) => (Form::Empty, start.saturating_add(1), Some(0)),
            _ => return Err(EditRefusal::NoValue { path: path(), line }),
        };
        let bytes = begin..begin.saturating_add(length.ok_or_else(unproven)?);
        Ok(Scalar { event: found.event, value: value.to_string(), bytes, form, is_tagged: tag.is_some() })
    }
}

/// Adds what the collections show that end before a node to what they are in.
fn close(open: &mut Vec<(usize, usize, usize)>, shown_in: &mut BTreeMap<usize, usize>, before: usize) {
    while let Some((_, node, count)) = open.pop_if(|(end, ..)| *end <= before) {
        shown_in.insert(node, count);
        if let Some((_, _, all)) = open.last_mut() {
            *all = all.saturating_add(count);
        }
    }
}

pub(super) fn syntax(line: usize, problem: &str) -> EditRefusal {
    EditRefusal::Syntax { line, problem: problem.to_owned() }
}

/// The parser copies the prefix of a `%TAG` into every tag that uses it (gigabytes of copies from a small file), and it
/// counts bytes, not characters, in directives that it does not know.
fn no_directives(text: &str) -> Result<(), EditRefusal> {
    let directive = |line: &str| {
        let line = line.trim_start_matches('\u{FEFF}');
        line.starts_with('%') && !line.starts_with("%YAML ")
    };
    match text.split(['\n', '\r']).position(directive) {
        Some(before) => Err(syntax(before.saturating_add(1), "a directive other than %YAML")),
        None => Ok(()),
    }
}

/// A value that can be replaced.
#[derive(Clone, Debug)]
pub(super) struct Scalar {
    /// The number of its event in the stream.
    pub(super) event: usize,
    pub(super) value: String,
    /// What is replaced: the quotes belong to it, an anchor or tag before it does not.
    pub(super) bytes: Range<usize>,
    pub(super) form: Form,
    /// Tagged `!!str`: a string even if it looks like a number.
    pub(super) is_tagged: bool,
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
    pub(super) fn write(self, value: &str) -> String {
        match self {
            Self::Single => format!("'{value}'"),
            Self::Double => format!("\"{value}\""),
            Self::Plain => value.to_owned(),
            Self::Empty => format!(" \"{value}\""),
        }
    }

    /// The style of what [`Form::write`] writes.
    pub(super) fn style(self) -> ScalarStyle {
        match self {
            Self::Plain => ScalarStyle::Plain,
            Self::Single => ScalarStyle::SingleQuoted,
            Self::Double | Self::Empty => ScalarStyle::DoubleQuoted,
        }
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
