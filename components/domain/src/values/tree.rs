//! A YAML file as a list of its nodes, in the order of the text.
//!
//! Easy to miss: an alias is a node of its own, and what it stands for is elsewhere in the list. A file may be full
//! of nodes of one byte, so there is a limit: a node takes some fifty times as much.

use super::{EditRefusal, LARGEST};
use crate::yaml::{Events, ScalarStyle, What, Wrong, is_break};
use std::collections::BTreeMap;
use std::ops::Range;

/// The most collections within each other. The parser looks at every open one again with each word.
pub(super) const DEEPEST: usize = 200;
/// The most mappings that are merged into one.
pub(super) const MOST_MERGED: usize = 16;
/// The most nodes of a file.
pub(super) const MOST_NODES: usize = 250_000;

pub(super) struct Tree<'a> {
    text: &'a str,
    nodes: Vec<Node>,
    /// The root of each document.
    pub(super) roots: Vec<usize>,
}

struct Node {
    kind: Kind,
    /// The number of its first event in the stream.
    event: usize,
    /// The first node after it and what is in it.
    end: usize,
    line: usize,
    bytes: Range<usize>,
    is_anchor: bool,
    in_brackets: bool,
}

pub(super) enum Kind {
    Scalar {
        value: String,
        style: ScalarStyle,
        /// The explicit type, written out.
        tag: Option<String>,
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
        let (mut tree, mut events) = (Self { text, nodes: Vec::new(), roots: Vec::new() }, Events::new(text)?);
        let mut anchors: BTreeMap<String, usize> = BTreeMap::new();
        let mut open = Vec::new();
        for event in 0_usize.. {
            let Some(next) = events.next()? else { break };
            let here = tree.nodes.len();
            let (kind, anchor) = match next.what {
                What::Scalar { value, style, anchor, tag, .. } => (Kind::Scalar { value, style, tag }, anchor),
                What::Alias { anchor } => (Kind::Alias(anchors.get(&anchor).copied().unwrap_or(here)), None),
                What::MappingStart { anchor, .. } => (Kind::Mapping, anchor),
                What::SequenceStart { anchor, .. } => (Kind::Sequence, anchor),
                What::MappingEnd | What::SequenceEnd => {
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
                    return Err(syntax(next.line, "nested too deeply"));
                }
            }
            let is_anchor = anchor.is_some();
            if let Some(anchor) = anchor {
                anchors.insert(anchor, here);
            }
            let end = here.saturating_add(1);
            tree.nodes.push(Node {
                kind,
                event,
                end,
                line: next.line,
                bytes: next.bytes,
                is_anchor,
                in_brackets: next.in_brackets,
            });
        }
        Ok(tree)
    }

    fn node(&self, node: usize) -> Option<&Node> {
        self.nodes.get(node)
    }

    pub(super) fn kind(&self, node: usize) -> Option<&Kind> {
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

    /// The line of a `<<` that comes after a key of the mapping, and merges a mapping which has that key, too. Helm's reader goes
    /// from key to key, and takes what came last; Kustomize's takes the mapping's own.
    pub(super) fn merged_over(&self, mapping: usize, key: &str) -> Option<usize> {
        let own = self.entries(mapping).position(|(name, _)| self.key(name) == Some(key))?;
        let after = self.entries(mapping).skip(own).filter(|(name, _)| self.is_merge(*name));
        let mut merges = after.map(|(name, value)| (self.line(name), self.merged(value)));
        merges.find_map(|(line, merged)| self.has_merged(merged, key).then_some(line))
    }

    /// Whether one of these mappings has a key, by what they merge, too.
    fn has_merged(&self, mut mappings: Vec<usize>, key: &str) -> bool {
        let mut read = 0_usize;
        while let Some(mapping) = mappings.pop() {
            read = read.saturating_add(1);
            for (name, value) in self.entries(mapping) {
                // More than we follow: better refused.
                if self.text_of(name).is_some_and(|(name, _)| name == key) || read > MOST_MERGED {
                    return true;
                }
                if self.is_merge(name) {
                    mappings.extend(self.merged(value));
                }
            }
        }
        false
    }

    /// The mappings that the value of a `<<` merges, the strongest first.
    pub(super) fn merged(&self, value: usize) -> Vec<usize> {
        let value = self.resolved(value);
        let all = match self.kind(value) {
            Some(Kind::Sequence) => self.children(value).map(|item| self.resolved(item)).collect(),
            _ => vec![value],
        };
        all.into_iter()
            .filter(|one| matches!(self.kind(*one), Some(Kind::Mapping)))
            .take(MOST_MERGED.saturating_add(1))
            .collect()
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
        let Range { start, end } = found.bytes;
        let after = self.text.get(end..).unwrap_or_default();
        if *style == ScalarStyle::Plain && !value.is_empty() && !found.in_brackets && has_odd_tab(after) {
            return Err(syntax(line, "a tab in a blank line after the value"));
        }
        let whole = self.text.get(start..end).ok_or_else(unproven)?;
        if whole.contains(is_break) {
            return Err(EditRefusal::MultiLine { path: path(), line });
        }
        let written = without_properties(whole);
        // The name of an anchor ends there, and the value begins without a blank between them.
        let properties = whole.strip_suffix(written).unwrap_or_default();
        let odd = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
        if properties.split([' ', '\t']).filter_map(|one| one.strip_prefix('&')).any(|name| name.contains(odd)) {
            return Err(syntax(line, "an anchor whose name has other characters than a-z, 0-9, - and _"));
        }
        let begin = end.saturating_sub(written.len());
        let (form, begin, end) = match style {
            ScalarStyle::SingleQuoted => (Form::Single, begin, end),
            ScalarStyle::DoubleQuoted => (Form::Double, begin, end),
            _ if !value.is_empty() => (Form::Plain, begin, end),
            _ if found.is_anchor || tag.is_some() => (Form::Empty, end, end),
            // It is where the next word begins, or right after the colon.
            _ => match self.text.get(..start).map(|before| before.trim_end_matches([' ', '\t'])) {
                Some(before) if before.ends_with(':') => (Form::Empty, before.len(), before.len()),
                _ => return Err(EditRefusal::NoValue { path: path(), line }),
            },
        };
        Ok(Scalar { event: found.event, value: value.clone(), bytes: begin..end, form, is_tagged: tag.is_some() })
    }
}

/// Whether one of the blank lines after a plain value has a tab. After a value in quotes, the tab would be an error.
fn has_odd_tab(after: &str) -> bool {
    let blank = after.len().saturating_sub(after.trim_start_matches(|c| matches!(c, ' ' | '\t') || is_break(c)).len());
    after.get(..blank).and_then(|blank| blank.split_once(is_break)).is_some_and(|(_, lines)| lines.contains('\t'))
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

impl From<Wrong> for EditRefusal {
    fn from(Wrong { line, problem }: Wrong) -> Self {
        Self::Syntax { line, problem }
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
fn is_string_tag(tag: &str) -> bool {
    tag == "!" || tag.strip_prefix(CORE) == Some("str")
}

fn shown(tag: &str) -> String {
    let text = tag.strip_prefix(CORE).map_or_else(|| tag.to_owned(), |kind| format!("!!{kind}"));
    text.chars().take(80).collect()
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
