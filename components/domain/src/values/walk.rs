//! Finds the value that a path leads to, and every other place where the same value is read.

use super::EditRefusal;
use super::path::{Segment, TagPath};
use super::tree::{Kind, Tree};

/// Where a path leads.
#[derive(Debug)]
pub(super) struct Place<'p> {
    pub(super) path: &'p TagPath,
    /// The value, which is a scalar.
    pub(super) node: usize,
    /// The line of its key, or of the value in a list.
    pub(super) line: usize,
    /// The mapping that has the path's last key.
    pub(super) mapping: Option<usize>,
    /// The root of its document.
    pub(super) root: usize,
    /// The aliases on the way.
    aliases: Vec<usize>,
    /// The values by which items of lists were chosen on the way, or were not.
    looked_at: Vec<usize>,
}

/// The place of each path. No other place has any of the values, and with other values there, each path still leads to its place.
pub(super) fn places<'p>(tree: &Tree<'_>, at: &'p [TagPath]) -> Result<Vec<Place<'p>>, EditRefusal> {
    let places: Vec<Place<'p>> = at
        .iter()
        .map(|path| Walk { tree, path, deepest: (0, None), looked_at: Vec::new() }.find())
        .collect::<Result<_, _>>()?;
    for place in &places {
        if let Some(chosen) = places.iter().find(|other| other.looked_at.contains(&place.node)) {
            let (path, by) = (place.path.to_string(), chosen.path.to_string());
            return Err(EditRefusal::ChoosesItem { path, by, line: place.line });
        }
        let mut named: Vec<&[usize]> = Vec::new();
        for same in places.iter().filter(|other| other.node == place.node) {
            if !named.contains(&same.aliases.as_slice()) {
                named.push(&same.aliases);
            }
        }
        let (shown, other) = tree.shown(place.node, &named.concat());
        if shown == named.len() {
            continue;
        }
        let path = place.path.to_string();
        return Err(match place.aliases.first() {
            Some(alias) => EditRefusal::Alias { path, line: tree.line(*alias) },
            None => EditRefusal::UsedElsewhere { path, line: other.unwrap_or(place.line) },
        });
    }
    Ok(places)
}

struct Walk<'w, 't, 'p> {
    tree: &'w Tree<'t>,
    path: &'p TagPath,
    /// How many segments exist, and the line of the last one.
    deepest: (usize, Option<usize>),
    looked_at: Vec<usize>,
}

impl<'p> Walk<'_, '_, 'p> {
    fn find(mut self) -> Result<Place<'p>, EditRefusal> {
        let mut found = None;
        for root in &self.tree.roots {
            let Some(place) = self.in_document(*root)? else { continue };
            if found.is_some() {
                let line = self.deepest.1.unwrap_or(place.line);
                return Err(EditRefusal::SeveralDocuments { path: self.path.to_string(), line });
            }
            found = Some(place);
        }
        let (count, line) = self.deepest;
        let missing = || EditRefusal::PathMissing { path: self.path.to_string(), exists: self.path.first(count), line };
        found.ok_or_else(missing)
    }

    fn in_document(&mut self, root: usize) -> Result<Option<Place<'p>>, EditRefusal> {
        let tree = self.tree;
        let (mut node, mut line, mut mapping) = (root, tree.line(root), None);
        let mut aliases = Vec::new();
        for depth in 0_usize.. {
            if depth > 0 && depth >= self.deepest.0 {
                self.deepest = (depth, Some(line));
            }
            if let Some(Kind::Alias(to)) = tree.kind(node) {
                aliases.push(node);
                node = *to;
            }
            let kind = tree.kind(node);
            let Some(segment) = self.path.0.get(depth) else {
                return match kind {
                    Some(Kind::Scalar { .. }) => {
                        let looked_at = std::mem::take(&mut self.looked_at);
                        Ok(Some(Place { path: self.path, node, line, mapping, root, aliases, looked_at }))
                    }
                    _ => Err(EditRefusal::NotAScalar { path: self.path.to_string(), line }),
                };
            };
            let below = depth.saturating_add(1);
            mapping = matches!(kind, Some(Kind::Mapping)).then_some(node);
            let step = match (kind, segment) {
                (Some(Kind::Mapping), Segment::Key(key)) => self.value(node, key, below)?,
                (Some(Kind::Sequence), Segment::Index(index)) => {
                    tree.children(node).nth(*index).map(|item| (item, tree.line(item)))
                }
                (Some(Kind::Sequence), Segment::Item { key, value }) => self.item(node, key, value, below)?,
                _ => None,
            };
            let Some(next) = step else { return Ok(None) };
            (node, line) = next;
        }
        Ok(None)
    }

    /// The value of a key, with the line of the key.
    fn value(&self, mapping: usize, key: &str, below: usize) -> Result<Option<(usize, usize)>, EditRefusal> {
        let (mut found, mut merge) = (None, None);
        for (name, value) in self.tree.entries(mapping) {
            let line = self.tree.line(name);
            if self.tree.is_merge(name) {
                merge = Some(line);
            }
            match self.tree.kind(name) {
                // The alias may be our key by another name.
                Some(Kind::Alias(_)) => return Err(EditRefusal::Alias { path: self.path.to_string(), line }),
                _ if self.tree.key(name) != Some(key) => {}
                _ if found.is_some() => {
                    let key = self.path.first(below);
                    return Err(EditRefusal::DuplicateKey { path: self.path.to_string(), key, line });
                }
                _ => found = Some((value, line)),
            }
        }
        if let Some(line) = self.tree.merged_over(mapping, key) {
            return Err(EditRefusal::MergedOver { path: self.path.to_string(), key: self.path.first(below), line });
        }
        match merge {
            Some(line) if found.is_none() => Err(EditRefusal::OnlyMerged { path: self.path.to_string(), line }),
            _ => Ok(found),
        }
    }

    /// The only item of a list that has this key with this value.
    fn item(
        &mut self,
        list: usize,
        key: &str,
        value: &str,
        below: usize,
    ) -> Result<Option<(usize, usize)>, EditRefusal> {
        let tree = self.tree;
        let mut found = Vec::new();
        for item in tree.children(list) {
            let mapping = tree.resolved(item);
            if !matches!(tree.kind(mapping), Some(Kind::Mapping)) {
                continue;
            }
            if let Some(line) = tree.merged_over(mapping, key) {
                let item = self.path.first(below);
                return Err(EditRefusal::MergedOver { path: self.path.to_string(), key: item, line });
            }
            let mut is_it = false;
            for (_, its) in tree.entries(mapping).filter(|(name, _)| tree.key(*name) == Some(key)) {
                self.looked_at.push(tree.resolved(its));
                is_it |= tree.text_of(its).is_some_and(|(text, _)| text == value);
            }
            if is_it {
                found.push((item, tree.line(item)));
            }
        }
        let mut found = found.into_iter();
        match (found.next(), found.next()) {
            (Some(_), Some((_, line))) => {
                let item = self.path.first(below);
                Err(EditRefusal::SeveralItems { path: self.path.to_string(), item, line })
            }
            (found, _) => Ok(found),
        }
    }
}
