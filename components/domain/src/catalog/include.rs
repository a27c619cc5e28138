//! `include`: further files of the catalog. The catalog itself says which, and what the apps of each may touch.
//!
//! Who may push an included file decides about the apps in it, and about nothing else: what a bound does not permit is
//! forbidden, and an app out of bounds is out of service.
//!
//! Easy to miss: `{name}` is the name of the file, so a name that has more than letters, digits and `-` could become a
//! pattern. Such a file is not read.

use super::fields::{Entry, Fields, error, item_text, list_of, map_of};
use super::gates::glob;
use super::{CatalogError, Environment};
use crate::image::ImageName;
use crate::names::{ArgoApplication, BlobSha, FilePath, RepoName};
use crate::selection::Applications;
use crate::text::quoted;
use crate::values::blob_sha;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// The most entries of `include`.
const MOST_PLACES: usize = 20;
/// The most files that are read.
const MOST_FILES: usize = 100;
/// The longest included file that is read, in bytes.
const LONGEST: u64 = 64 * 1024;
/// The most bytes of all of them.
const LONGEST_TOGETHER: u64 = 1024 * 1024;
/// The most patterns of one bound.
const MOST_PATTERNS: usize = 20;

/// So many patterns of a bound are shown.
const SHOWN: usize = 5;

/// Where included files are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncludePlace {
    File(FilePath),
    /// Every `*.yaml` directly in a folder.
    Folder(FilePath),
}

impl IncludePlace {
    /// What GitHub is asked for.
    pub fn path(&self) -> &FilePath {
        match self {
            Self::File(path) | Self::Folder(path) => path,
        }
    }

    /// Whether a file of that path is included.
    pub fn has(&self, path: &FilePath) -> bool {
        match self {
            Self::File(file) => file == path,
            Self::Folder(folder) => path.as_str().rsplit_once('/').is_some_and(|(above, name)| {
                above == folder.as_str() && name.strip_suffix(".yaml").is_some_and(|name| !name.is_empty())
            }),
        }
    }
}

impl fmt::Display for IncludePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.fmt(f),
            Self::Folder(folder) => write!(f, "{folder}/*.yaml"),
        }
    }
}

/// The keys of an entry: what the apps of a file may be named and touch.
const BOUNDS: [&str; 5] = ["apps", "values", "applications", "repositories", "images"];

/// An entry of `include`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Include {
    pub place: IncludePlace,
    /// The patterns of each of [`BOUNDS`].
    bounds: [Vec<String>; BOUNDS.len()],
}

impl fmt::Display for Include {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)?;
        for (key, patterns) in BOUNDS.iter().zip(&self.bounds) {
            write!(f, "; {key} {}", if patterns.is_empty() { "none".to_owned() } else { patterns.join(" ") })?;
        }
        Ok(())
    }
}

/// Reads `include`. `catalog`: the path of the catalog itself.
pub(super) fn read(entry: &Entry, catalog: &FilePath) -> Result<Vec<Include>, CatalogError> {
    let entries = map_of(entry)?;
    if entries.len() > MOST_PLACES {
        return Err(error(entry.line, format!("`include` names more than {MOST_PLACES} files and folders")));
    }
    let read = |entry: &Entry| {
        let text = entry.key.as_str();
        let path = |text: &str| FilePath::parse(text).ok().filter(|path| !path.as_str().contains(['*', '{', '}']));
        let place = match text.strip_suffix("/*.yaml") {
            Some(folder) => path(folder).map(IncludePlace::Folder),
            None => {
                path(text).filter(|path| path.as_str().ends_with(".yaml") && path != catalog).map(IncludePlace::File)
            }
        };
        let like = "name another file such as `teams/shop.yaml`, or all of a folder as `teams/*.yaml`";
        let place =
            place.ok_or_else(|| error(entry.line, format!("`include` cannot have {}: {like}", quoted(text))))?;
        let fields = Fields::of(&quoted(text), entry.line, &entry.node, &BOUNDS)?;
        let mut bounds = <[Vec<String>; BOUNDS.len()]>::default();
        for (key, patterns) in BOUNDS.iter().zip(&mut bounds) {
            *patterns = read_patterns(fields.required(key)?)?;
        }
        Ok(Include { place, bounds })
    };
    entries.iter().map(read).collect()
}

fn read_patterns(entry: &Entry) -> Result<Vec<String>, CatalogError> {
    let nodes = list_of(entry)?;
    if nodes.len() > MOST_PATTERNS {
        return Err(error(entry.line, format!("`{}` has more than {MOST_PATTERNS} patterns", entry.key)));
    }
    let read = |node| {
        let text = item_text(&entry.key, node)?;
        let rest = text.replace("{name}", "x");
        let is_pattern = !rest.is_empty()
            && rest.len() <= 255
            && rest.chars().all(|c| c.is_ascii_graphic() && !"{}[]?\\".contains(c))
            && !rest.contains("***");
        let like = "no pattern such as `{name}-*`, `teams/{name}/**` or `*`";
        is_pattern
            .then(|| text.to_owned())
            .ok_or_else(|| error(node.line, format!("`{}`: {} is {like}", entry.key, quoted(text))))
    };
    nodes.into_iter().map(read).collect()
}

/// The bounds of one file.
pub(super) struct Bounds<'i> {
    include: &'i Include,
    name: String,
}

impl Include {
    /// Of a file that is read.
    pub(super) fn bounds(&self, path: &FilePath) -> Bounds<'_> {
        Bounds { include: self, name: name(path).unwrap_or_default().to_owned() }
    }
}

/// The entry that has this file: the one that names the file, else that of its folder.
pub(super) fn of<'i>(include: &'i [Include], path: &FilePath) -> Option<&'i Include> {
    let is_file = |one: &&Include| matches!(one.place, IncludePlace::File(_));
    let mut all = include.iter().filter(|one| one.place.has(path));
    all.clone().find(is_file).or_else(|| all.next())
}

/// What `{name}` is for a file.
fn name(path: &FilePath) -> Option<&str> {
    let name = path.as_str().rsplit('/').next()?.strip_suffix(".yaml")?;
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (!name.is_empty() && name.chars().all(is_plain)).then_some(name)
}

impl Bounds<'_> {
    /// The patterns of one of [`BOUNDS`], for this file.
    fn of(&self, key: &str) -> Vec<String> {
        let all = BOUNDS.iter().zip(&self.include.bounds).find(|(known, _)| **known == key);
        all.map(|(_, patterns)| patterns.iter().map(|one| one.replace("{name}", &self.name)).collect())
            .unwrap_or_default()
    }

    /// `texts`: the same thing, as it may be written.
    fn permits(&self, key: &str, line: usize, texts: &[&str]) -> Result<(), CatalogError> {
        let patterns = self.of(key);
        let is_in = |pattern: &String| pattern == "*" || texts.iter().any(|text| glob(pattern, text));
        if patterns.iter().any(is_in) {
            return Ok(());
        }
        let only = match patterns.is_empty() {
            true => "nothing".to_owned(),
            false => patterns.iter().take(SHOWN).map(|pattern| quoted(pattern)).collect::<Vec<_>>().join(", "),
        };
        let what = quoted(texts.first().copied().unwrap_or_default());
        Err(error(line, format!("{what} is out of bounds: for this file `include` has `{key}` {only}")))
    }

    /// Whether the file may name every values file below a folder, at any depth.
    pub(super) fn have_all_of(&self, folder: &str) -> bool {
        let names = [format!("{folder}/?"), format!("{folder}/?/?/?/?/?/?/?/?")];
        self.of("values").iter().any(|pattern| pattern == "*" || names.iter().all(|name| glob(pattern, name)))
    }

    /// Whether the file may have an app of that name.
    pub(super) fn permit_name(&self, name: &str, line: usize) -> Result<(), CatalogError> {
        self.permits("apps", line, &[name])
    }

    /// GitHub takes a name in any case.
    pub(super) fn permit_repo(&self, repo: &RepoName, line: usize) -> Result<(), CatalogError> {
        let lower = repo.as_str().to_ascii_lowercase();
        match self.of("repositories").iter().any(|pattern| glob(&pattern.to_ascii_lowercase(), &lower)) {
            true => Ok(()),
            false => self.permits("repositories", line, &[repo.as_str()]),
        }
    }

    /// Whether it touches only what it may. What it reads besides (`watch`) may be anywhere.
    pub(super) fn permit_environment(&self, environment: &Environment, line: usize) -> Result<(), CatalogError> {
        environment.mirrors.iter().try_for_each(|image| self.permit_image(image, line))?;
        environment.files.iter().try_for_each(|file| self.permits("values", line, &[file.as_str()]))?;
        match &environment.applications {
            Applications::Named(all) => all.iter().try_for_each(|one| self.permit_application(one, line)),
            // Labels may be those of any application.
            Applications::Selected(_) if self.of("applications").iter().any(|one| one == "*" || one == "**") => Ok(()),
            Applications::Selected(_) => {
                let problem = "`selector` is out of bounds: for this file `include` does not have `applications` `*`";
                Err(error(line, problem))
            }
        }
    }

    pub(super) fn permit_image(&self, image: &ImageName, line: usize) -> Result<(), CatalogError> {
        let whole = format!("{}/{}", image.host(), image.repository());
        self.permits("images", line, &[image.as_str(), &whole])
    }

    /// Of another namespace only with that namespace.
    fn permit_application(&self, application: &ArgoApplication, line: usize) -> Result<(), CatalogError> {
        let ArgoApplication { name, namespace, .. } = application;
        let whole = namespace.as_ref().map_or(name.to_string(), |namespace| format!("{namespace}/{name}"));
        self.permits("applications", line, &[&whole])
    }
}

// ---- the files ----

/// The catalog as Git has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sources {
    pub blob: BlobSha,
    pub text: String,
    /// Those that are named first, then those of folders, each in the order of their paths.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub included: Vec<IncludedFile>,
}

/// An included file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncludedFile {
    pub path: FilePath,
    /// `None`: it is named, and not there.
    pub found: Option<FoundFile>,
    /// Its exact bytes, where it can be read.
    pub text: Option<String>,
}

/// A file as the branch has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundFile {
    /// Git's.
    pub mode: u32,
    pub blob: BlobSha,
    pub size: u64,
}

/// Orders what was found at the places. `found`: at each place its own file, or the files in the folder. Returns one more than
/// are read at most: that one is said to be too many.
pub fn included(
    catalog: &FilePath,
    places: &[IncludePlace],
    found: &[Vec<(FilePath, FoundFile)>],
) -> Vec<IncludedFile> {
    let mut named: Vec<IncludedFile> = Vec::new();
    let mut others: Vec<IncludedFile> = Vec::new();
    for (place, found) in places.iter().zip(found) {
        if let IncludePlace::File(path) = place {
            let found = found.first().map(|(_, found)| found.clone());
            named.push(IncludedFile { path: path.clone(), found, text: None });
            continue;
        }
        let is_ours = |path: &FilePath| place.has(path) && path != catalog;
        let is_named =
            |path: &FilePath| places.iter().any(|place| matches!(place, IncludePlace::File(file) if file == path));
        for (path, found) in found.iter().filter(|(path, _)| is_ours(path) && !is_named(path)) {
            others.push(IncludedFile { path: path.clone(), found: Some(found.clone()), text: None });
        }
    }
    // A file that is named is never the one that is too many.
    named.sort_by(|one, other| one.path.cmp(&other.path));
    others.sort_by(|one, other| one.path.cmp(&other.path));
    named.append(&mut others);
    named.truncate(MOST_FILES.saturating_add(1));
    named
}

/// Why each file is not read, before its text is known.
pub(super) fn unread(files: &[IncludedFile]) -> Vec<Option<&'static str>> {
    let size = |file: &IncludedFile| file.found.as_ref().map_or(0, |found| found.size);
    let mut whys: Vec<Option<&'static str>> = files
        .iter()
        .map(|file| match &file.found {
            None => Some("it is not there"),
            Some(_) if name(&file.path).is_none() => Some("its name may only have `a-z`, `0-9` and `-` before `.yaml`"),
            Some(found) if !matches!(found.mode, 0o100_644 | 0o100_755) => Some("it is no plain file"),
            Some(found) if found.size > LONGEST => Some("it is longer than 64 KiB"),
            Some(_) => None,
        })
        .collect();
    if let Some(last) = whys.get_mut(MOST_FILES) {
        *last = Some("`include` has more than 100 files: neither this one nor what follows is read");
    }
    // The longest go first: nobody can keep out a file that is no longer than its share.
    let mut by_size: Vec<(u64, usize)> =
        (0..).zip(files).zip(&whys).filter(|(_, why)| why.is_none()).map(|((at, file), _)| (size(file), at)).collect();
    by_size.sort_unstable();
    let mut together: u64 = by_size.iter().map(|(size, _)| size).sum();
    while together > LONGEST_TOGETHER
        && let Some((size, at)) = by_size.pop()
    {
        together = together.saturating_sub(size);
        if let Some(why) = whys.get_mut(at) {
            *why = Some("the files of `include` have more than 1 MiB together, and this one is among the longest");
        }
    }
    whys
}

/// One id for a version of the catalog: that of its own file, or what follows from all files.
pub fn identity(blob: &BlobSha, included: &[IncludedFile]) -> BlobSha {
    if included.is_empty() {
        return blob.clone();
    }
    let line = |IncludedFile { path, found, .. }: &IncludedFile| match found {
        Some(FoundFile { mode, blob, .. }) => format!("{mode:o} {blob} {path}\n"),
        None => format!("- {path}\n"),
    };
    let lines: String = included.iter().map(line).collect();
    blob_sha(format!("{blob}\n{lines}").as_bytes())
}

impl Sources {
    /// A catalog that is one file, so far as is known.
    pub fn alone(text: String) -> Self {
        Self { blob: blob_sha(text.as_bytes()), text, included: Vec::new() }
    }

    /// See [`identity`].
    pub fn identity(&self) -> BlobSha {
        identity(&self.blob, &self.included)
    }

    /// Whether each text is the one that its id is of.
    pub fn are_whole(&self) -> bool {
        let is_whole = |file: &IncludedFile| match (&file.text, &file.found) {
            (Some(text), Some(found)) => blob_sha(text.as_bytes()) == found.blob,
            (text, _) => text.is_none(),
        };
        blob_sha(self.text.as_bytes()) == self.blob && self.included.iter().all(is_whole)
    }

    /// Takes texts that are known by their ids.
    pub fn take_texts(&mut self, texts: impl Iterator<Item = (BlobSha, String)>) {
        let texts: Vec<(BlobSha, String)> = texts.collect();
        for file in &mut self.included {
            let is_its = |(blob, _): &&(BlobSha, String)| file.found.as_ref().is_some_and(|found| found.blob == *blob);
            if let Some((_, text)) = texts.iter().find(is_its) {
                file.text = Some(text.clone());
            }
        }
    }

    /// What is still to be read: each once.
    pub fn missing(&self) -> Vec<BlobSha> {
        let whys = unread(&self.included);
        let missing = self.included.iter().zip(whys).filter(|(file, why)| why.is_none() && file.text.is_none());
        let blobs: BTreeSet<String> =
            missing.filter_map(|(file, _)| file.found.as_ref().map(|found| found.blob.to_string())).collect();
        blobs.iter().filter_map(|blob| BlobSha::parse(blob).ok()).collect()
    }
}

#[cfg(test)]
mod tests;
