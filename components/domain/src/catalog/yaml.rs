//! The catalog's YAML as a tree in which everything knows its line.
//!
//! A typed reader would lose the lines of what it accepts, and take the last of two equal keys silently. Text
//! stays as it is written (`1.20`, `no`): nothing in a catalog is a number. An alias shares its anchor's
//! node, so it costs nothing to read; `size` counts it in full, so that a walk over the tree is bounded too.

use super::CatalogError;
use crate::text::quoted;
use crate::yaml::{Events, ScalarStyle, What, Wrong};
use std::collections::BTreeMap;
use std::rc::Rc;

/// The most values that a catalog may have once its aliases are written out; long text counts as several.
/// Without aliases, no catalog has more: it would be too long.
pub(super) const MOST_VALUES: usize = 50_000;

/// How many bytes of a text count as one more value.
const LONG_TEXT: usize = 16;

/// The deepest nesting, aliases written out. A tree as deep as the text allows would overflow the stack when it is
/// dropped.
const DEEPEST: usize = 50;

pub(super) struct Node {
    pub(super) line: usize,
    pub(super) value: Value,
    size: usize,
    /// How many lists and maps are within each other here.
    depth: usize,
}

pub(super) enum Value {
    /// No value, `~` or `null`.
    Empty,
    Text(String),
    List(Vec<Rc<Node>>),
    Map(Vec<Entry>),
}

/// One key of a map, with its value.
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) line: usize,
    pub(super) node: Rc<Node>,
}

pub(super) fn error(line: usize, problem: impl Into<String>) -> CatalogError {
    CatalogError { line: Some(line), problem: problem.into() }
}

/// The only document of the text; nothing if there is none.
/// `most`: [`MOST_VALUES`], or less.
pub(super) fn parse(text: &str, most: usize) -> Result<Option<Rc<Node>>, CatalogError> {
    let mut tree = Tree { root: None, open: Vec::new(), anchors: BTreeMap::new(), most };
    let not_yaml = |Wrong { line, problem }: Wrong| error(line, format!("this is not YAML: {problem}"));
    let mut events = Events::new(text).map_err(not_yaml)?;
    while let Some(event) = events.next().map_err(not_yaml)? {
        let line = event.line;
        match event.what {
            What::DocumentStart { .. } if tree.root.is_some() => {
                return Err(error(line, "a second document starts here: a catalog is one document"));
            }
            What::Scalar { value: text, style, anchor, .. } => {
                let empty = style == ScalarStyle::Plain && matches!(text.as_str(), "" | "~" | "null");
                let size = 1_usize.saturating_add(text.len() / LONG_TEXT);
                let value = if empty { Value::Empty } else { Value::Text(text) };
                tree.put(Rc::new(Node { line, value, size, depth: 0 }), anchor, line)?;
            }
            What::Alias { anchor } => match tree.anchors.get(&anchor).cloned() {
                Some(node) => tree.put(node, None, line)?,
                None => return Err(error(line, "this alias contains itself")),
            },
            What::SequenceStart { anchor, .. } => tree.begin(line, anchor, Inside::List(Vec::new()))?,
            What::MappingStart { anchor, .. } => {
                tree.begin(line, anchor, Inside::Map { entries: Vec::new(), seen: BTreeMap::new(), key: None })?;
            }
            What::SequenceEnd | What::MappingEnd => tree.close()?,
            _ => {}
        }
    }
    Ok(tree.root)
}

struct Tree {
    root: Option<Rc<Node>>,
    /// From the outermost to the innermost.
    open: Vec<Open>,
    anchors: BTreeMap<String, Rc<Node>>,
    most: usize,
}

/// A list or map whose end was not seen yet.
struct Open {
    line: usize,
    anchor: Option<String>,
    size: usize,
    depth: usize,
    inside: Inside,
}

enum Inside {
    List(Vec<Rc<Node>>),
    Map { entries: Vec<Entry>, seen: BTreeMap<String, usize>, key: Option<(String, usize)> },
}

impl Tree {
    fn begin(&mut self, line: usize, anchor: Option<String>, inside: Inside) -> Result<(), CatalogError> {
        if self.open.len() >= DEEPEST {
            return Err(error(line, "this is nested too deeply"));
        }
        self.open.push(Open { line, anchor, size: 1, depth: 0, inside });
        Ok(())
    }

    /// Adds a complete value to the innermost open list or map.
    fn put(&mut self, node: Rc<Node>, anchor: Option<String>, line: usize) -> Result<(), CatalogError> {
        if let Some(anchor) = anchor {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        // Each alias can bring the depth of the one before it.
        if self.open.len().saturating_add(node.depth) > DEEPEST {
            return Err(error(line, "this is nested too deeply"));
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        open.depth = open.depth.max(node.depth);
        open.size = open.size.saturating_add(node.size);
        if open.size > self.most {
            return Err(error(line, "with its aliases written out, the catalog is too large"));
        }
        match &mut open.inside {
            Inside::List(items) => items.push(node),
            Inside::Map { entries, seen, key } => match (key.take(), &node.value) {
                (Some((key, line)), _) => entries.push(Entry { key, line, node }),
                (None, Value::Text(text)) => {
                    if let Some(first) = seen.insert(text.clone(), line) {
                        return Err(error(line, format!("{} is given twice, first in line {first}", quoted(text))));
                    }
                    *key = Some((text.clone(), line));
                }
                (None, _) => return Err(error(line, "a key must be a word")),
            },
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), CatalogError> {
        let Some(Open { line, anchor, size, depth, inside }) = self.open.pop() else { return Ok(()) };
        let value = match inside {
            Inside::List(items) => Value::List(items),
            Inside::Map { entries, .. } => Value::Map(entries),
        };
        self.put(Rc::new(Node { line, value, size, depth: depth.saturating_add(1) }), anchor, line)
    }
}
