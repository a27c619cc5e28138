//! Whether a place is our image's, and what is written there.
//!
//! A place says its image in one of three ways. The value itself is a whole image (`repo:tag`). Or something beside
//! it names the image, as Helm's `repository` does. Or nothing does: then the chart knows, and we do not.
//!
//! # What counts as the name of an image
//!
//! - `repository` and `image`. Where `registry` stands beside them, or Helm's `global.imageRegistry` in the file,
//!   that comes before a name. Either may win, so each has to make our image.
//! - `name` with a `/`, which no name of a container has, or beside a `registry`. With `repository` it may be the last
//!   part (`repository: quay.io/acme`, `name: checkout`).
//! - Beside kustomize's `newTag`: `newName`, or else `name`, and no registry.
//!
//! The keys may begin as that of the tag does: `imageTag` has `imageRepository` beside it. What a mapping merges (`<<`)
//! stands beside the tag, too.
//!
//! **Invariant:** a digest beside the tag is never left there. It would win over the tag in what runs.

use super::EditRefusal;
use super::path::{Segment, TagPath};
use super::tree::{Form, Kind, MOST_MERGED, Scalar, Tree, syntax};
use super::walk::Place;
use crate::image::{Digest, ImageName};
use crate::names::is_hex;
use crate::yaml::ScalarStyle;

/// The image that is deployed, and the other names under which it may be written.
#[derive(Clone, Copy, Debug)]
pub struct OurImage<'a> {
    pub name: &'a ImageName,
    pub mirrors: &'a [ImageName],
}

impl OurImage<'_> {
    fn is(&self, text: &str) -> bool {
        let is_it = |name: ImageName| name.is(self.name) || self.mirrors.iter().any(|mirror| name.is(mirror));
        ImageName::parse(text).is_ok_and(is_it)
    }
}

/// What a place has.
pub(super) struct Held<'s> {
    /// Of a whole image.
    pub(super) repository: Option<&'s str>,
    /// What the new tag replaces.
    pub(super) tag: &'s str,
}

/// How a digest is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DigestForm {
    Whole,
    /// Without `sha256:`, as charts do that have a key `sha`.
    Digits,
}

/// How the digest is written at a place, if the place is our image's.
pub(super) fn held_digest(
    tree: &Tree<'_>,
    place: &Place<'_>,
    scalar: &Scalar,
    ours: OurImage<'_>,
) -> Result<DigestForm, EditRefusal> {
    let (key, value) = (place.path.last_key().unwrap_or_default(), scalar.value.as_str());
    let is_none = value.is_empty() || scalar.form == Form::Plain && NONE.contains(&value);
    if !is_none && Digest::parse(value).is_err() && !is_hex(value, 64) {
        return Err(EditRefusal::NotADigest { path: place.path.to_string(), line: place.line });
    }
    Beside::read(tree, place, key)?.is_ours(ours)?;
    let is_digits = is_hex(value, 64) || is_none && word(key, key) == Some(Word::Sha);
    Ok(if is_digits { DigestForm::Digits } else { DigestForm::Whole })
}

/// What is at a place, if the place is our image's. `digests`: where the digest is written besides.
pub(super) fn held<'s>(
    tree: &Tree<'_>,
    place: &Place<'_>,
    scalar: &'s Scalar,
    (ours, digests): (OurImage<'_>, &[TagPath]),
) -> Result<Held<'s>, EditRefusal> {
    let key = place.path.last_key().unwrap_or_default();
    let beside = Beside::read(tree, place, key)?;
    let path = || place.path.to_string();
    if Digest::parse(&scalar.value).is_ok() {
        return Err(EditRefusal::Digest { path: path(), at: path(), line: place.line });
    }
    let is_written = |one: &One<'_>| digests.iter().any(|at| at.to_string() == place.path.beside(one.key));
    if let Some(one) = beside.all.iter().find(|one| one.is_digest() && !is_written(one)) {
        return Err(EditRefusal::Digest { path: path(), at: place.path.beside(one.key), line: one.line });
    }
    let value = scalar.value.as_str();
    let (repository, rest) = split(value);
    // `nginx` may be a tag; at `image` the name of our image is no tag.
    let is_name = key.to_ascii_lowercase().ends_with("image") && ours.is(repository);
    let is_whole = repository.contains('/') || rest.starts_with(':') || is_of_container(place.path) || is_name;
    if !is_whole {
        beside.is_ours(ours)?;
        return Ok(Held { repository: None, tag: value });
    }
    if !ours.is(repository) {
        return Err(other(path(), path(), place.line, value, ours));
    }
    Ok(Held { repository: Some(repository), tag: rest.strip_prefix([':', '@']).unwrap_or_default() })
}

fn other(path: String, at: String, line: usize, found: &str, ours: OurImage<'_>) -> EditRefusal {
    let (found, expected) = (found.chars().take(300).collect(), Box::new(ours.name.clone()));
    EditRefusal::OtherImage { path, at, line, found, expected }
}

/// The repository of a whole image, and what follows it: `:tag`, `@digest`, both or nothing.
fn split(image: &str) -> (&str, &str) {
    let named = image.split_once('@').map_or(image, |(named, _)| named);
    let last = named.rfind('/').map_or(0, |slash| slash.saturating_add(1));
    let colon = named.get(last..).and_then(|part| part.find(':')).map(|colon| last.saturating_add(colon));
    image.split_at_checked(colon.unwrap_or(named.len())).unwrap_or((image, ""))
}

/// Whether it is the image of a container, which Kubernetes reads: whole, whatever it looks like.
fn is_of_container(path: &TagPath) -> bool {
    match path.0.as_slice() {
        [.., Segment::Key(list), Segment::Index(_) | Segment::Item { .. }, Segment::Key(key)] => {
            key == "image" && ["containers", "initContainers"].contains(&list.as_str())
        }
        _ => false,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Registry,
    Repository,
    Image,
    Name,
    NewName,
    Digest,
    Sha,
}

/// What a key means beside a key such as `tag` or `imageTag`.
fn word(key: &str, tag_key: &str) -> Option<Word> {
    let (key, tag_key) = (key.to_ascii_lowercase(), tag_key.to_ascii_lowercase());
    let without = |word: &str| tag_key.strip_suffix(word).filter(|_| tag_key != "newtag");
    let prefix = ["tag", "digest", "sha"].into_iter().find_map(without).unwrap_or_default();
    if key == "image" && prefix.trim_end_matches(['_', '-']) == "image" {
        return Some(Word::Image);
    }
    Some(match key.strip_prefix(prefix)? {
        "registry" => Word::Registry,
        "repository" => Word::Repository,
        "image" => Word::Image,
        "name" => Word::Name,
        "newname" => Word::NewName,
        "digest" => Word::Digest,
        // kube-prometheus-stack and Grafana call it so, without `sha256:`.
        "sha" => Word::Sha,
        _ => return None,
    })
}

/// One key beside the tag that says something of the image.
struct One<'t> {
    word: Word,
    key: &'t str,
    value: &'t str,
    line: usize,
}

impl One<'_> {
    fn is_digest(&self) -> bool {
        match self.word {
            Word::Digest => true,
            // The id of a commit has 40 digits.
            Word::Sha => self.value.starts_with("sha256:") || is_hex(self.value, 64),
            _ => false,
        }
    }
}

/// Everything beside the tag that says something of the image.
struct Beside<'t, 'p> {
    all: Vec<One<'t>>,
    path: &'p TagPath,
    is_kustomize: bool,
    /// Helm's, for all images of the file.
    global: Option<&'t str>,
}

impl<'t, 'p> Beside<'t, 'p> {
    fn read(tree: &'t Tree<'_>, place: &Place<'p>, tag_key: &str) -> Result<Self, EditRefusal> {
        let (mut all, mut known): (Vec<One<'t>>, Vec<Word>) = (Vec::new(), Vec::new());
        let mut is_kustomize = tag_key == "newTag";
        // The mapping's own keys first: they win over what it merges.
        let mut mappings: Vec<usize> = place.mapping.into_iter().collect();
        let mut read = 0_usize;
        while let Some(mapping) = mappings.pop() {
            let (mut merged, mut here) = (Vec::new(), Vec::new());
            for (name, value) in tree.entries(mapping) {
                if tree.is_merge(name) {
                    merged.extend(tree.merged(value));
                }
                let Some(key) = tree.text_of(name).map(|(key, _)| key).filter(|key| *key != tag_key) else { continue };
                is_kustomize |= ["newTag", "newName"].contains(&key);
                let Some(word) = word(key, tag_key) else { continue };
                let line = tree.line(name);
                // Also by another spelling: programs differ in which one they take.
                if here.contains(&word) {
                    let (path, key) = (place.path.to_string(), place.path.beside(key));
                    return Err(EditRefusal::DuplicateKey { path, key, line });
                }
                if let Some(line) = tree.merged_over(mapping, key) {
                    let (path, key) = (place.path.to_string(), place.path.beside(key));
                    return Err(EditRefusal::MergedOver { path, key, line });
                }
                here.push(word);
                if let Some(value) = text(tree, value).filter(|_| !known.contains(&word)) {
                    all.push(One { word, key, value, line });
                }
            }
            known.extend(here);
            merged.reverse();
            mappings.extend(merged);
            read = read.saturating_add(1);
            if read > MOST_MERGED && !mappings.is_empty() {
                return Err(syntax(place.line, "too many mappings are merged there"));
            }
        }
        let global = global_registry(tree, place.root);
        Ok(Self { all, path: place.path, is_kustomize, global })
    }

    fn find(&self, word: Word) -> Option<&One<'t>> {
        self.all.iter().find(|one| one.word == word)
    }

    /// Refuses what names another image than ours.
    fn is_ours(&self, ours: OurImage<'_>) -> Result<(), EditRefusal> {
        let (image, name) = (self.find(Word::Image), self.find(Word::Name));
        if self.is_kustomize {
            return match self.find(Word::NewName).or(name) {
                Some(one) if !ours.is(one.value) => Err(self.other(one, one.value, ours)),
                _ => Ok(()),
            };
        }
        let (registry, repository) = (self.find(Word::Registry), self.find(Word::Repository));
        if let Some((repository, last)) = repository.zip(image.or(name)) {
            let whole = format!("{}/{}", repository.value.trim_end_matches('/'), last.value);
            if self.images(&whole).iter().all(|image| ours.is(image)) {
                return Ok(());
            }
        }
        let is_image =
            |name: &&One<'_>| name.value.contains('/') || registry.is_some() && repository.is_none() && image.is_none();
        for one in [repository, image, name.filter(is_image)].into_iter().flatten() {
            if let Some(found) = self.images(one.value).into_iter().find(|image| !ours.is(image)) {
                return Err(self.other(one, &found, ours));
            }
        }
        Ok(())
    }

    fn other(&self, one: &One<'_>, found: &str, ours: OurImage<'_>) -> EditRefusal {
        other(self.path.to_string(), self.path.beside(one.key), one.line, found, ours)
    }

    /// The images that a name may mean: one for each registry that may come before the name.
    fn images(&self, name: &str) -> Vec<String> {
        let beside = self.find(Word::Registry).map(|one| one.value);
        let has_host =
            name.split_once('/').is_some_and(|(first, _)| first == "localhost" || first.contains(['.', ':']));
        let global = self.global.filter(|_| beside.is_some() || !has_host);
        let with = |registry: &str| format!("{}/{}", registry.trim_end_matches('/'), name.trim_start_matches('/'));
        let images: Vec<String> = beside.into_iter().chain(global).map(with).collect();
        if images.is_empty() { vec![name.to_owned()] } else { images }
    }
}

/// Plain words that say "none".
const NONE: [&str; 5] = ["~", "null", "Null", "NULL", "false"];

/// A value, unless it says "none".
fn text<'t>(tree: &'t Tree<'_>, value: usize) -> Option<&'t str> {
    let (text, style) = tree.text_of(value)?;
    let is_none = style == ScalarStyle::Plain && NONE.contains(&text);
    (!text.is_empty() && !is_none).then_some(text)
}

fn global_registry<'t>(tree: &'t Tree<'_>, root: usize) -> Option<&'t str> {
    let get = |mapping: usize, key: &str| {
        let mapping = tree.resolved(mapping);
        let is_mapping = matches!(tree.kind(mapping), Some(Kind::Mapping));
        is_mapping
            .then(|| tree.entries(mapping).find(|(name, _)| tree.key(*name) == Some(key)))?
            .map(|(_, value)| value)
    };
    let global = get(root, "global")?;
    let of_images = || get(global, "image").and_then(|image| get(image, "registry"));
    text(tree, get(global, "imageRegistry").or_else(of_images)?)
}
