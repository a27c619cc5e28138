//! What an application reads of the repository.
//!
//! `manifest-generate-paths` says which changes make Argo CD render an application's manifests anew. Without the annotation it
//! is any change. The rules are Argo CD's own: entries are separated by `;`, `/…` counts from the root of the repository, anything else
//! from the source's path. An entry names a file, a folder with all that is below it, or a pattern.

use crate::application::AppSource;
use crate::names::{FilePath, RepoName};
use serde::{Deserialize, Serialize};

/// The files and folders whose changes go live with a deploy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reach {
    /// Each with everything below it, none below another.
    pub paths: Vec<String>,
    /// The rest of the repository counts, too, but other targets' folders.
    pub everything: bool,
}

impl Reach {
    /// Adds a file or a folder.
    pub fn add(&mut self, path: &str) {
        if !self.covers(path) {
            self.paths.retain(|known| !is_below(known, path));
            self.paths.push(path.to_owned());
        }
    }

    /// Adds what the sources of an application in this repository read, as far as its set-up says.
    pub fn add_sources(&mut self, sources: &[AppSource], annotation: Option<&str>, repo: &RepoName) {
        for path in read_by(sources, annotation, repo) {
            match path.as_str() {
                "" => self.everything = true,
                path => self.add(path),
            }
        }
    }

    /// What the sources read that was not looked at.
    pub fn misses(&self, sources: &[AppSource], annotation: Option<&str>, repo: &RepoName) -> Option<String> {
        read_by(sources, annotation, repo).into_iter().find(|path| !self.everything && !self.covers(path))
    }

    fn covers(&self, path: &str) -> bool {
        self.paths.iter().any(|known| is_below(path, known))
    }
}

/// Whether a path is that one, or below it.
pub fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The folder of a file. For a file at the root, the file itself, because everything is below the root.
pub fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(folder, _)| folder)
}

/// The files and folders that sources in this repository read; the root is the empty text. A source without a path renders
/// nothing: other sources take values from it.
fn read_by(sources: &[AppSource], annotation: Option<&str>, repo: &RepoName) -> Vec<String> {
    let entries: Vec<&str> =
        annotation.unwrap_or_default().split(';').map(str::trim).filter(|entry| !entry.is_empty()).collect();
    let mut paths = Vec::new();
    for source in sources.iter().filter(|source| is_of(source, repo) && !source.path.is_empty()) {
        paths.push(segments("", &source.path).join("/"));
        for entry in &entries {
            let base = if entry.starts_with('/') { "" } else { source.path.as_str() };
            // Of a pattern, the folder in which it looks.
            let fixed = segments(base, entry).into_iter().take_while(|part| !part.contains(['*', '?', '[', '\\']));
            paths.push(fixed.collect::<Vec<_>>().join("/"));
        }
    }
    paths
}

/// The annotation, if it leaves out all of these files of the repository.
pub(crate) fn left_out<'f>(
    annotation: Option<&str>,
    sources: &[AppSource],
    repo: &RepoName,
    mut files: impl Iterator<Item = &'f FilePath>,
) -> Option<String> {
    let annotation = annotation?;
    let entries = || annotation.split(';').map(str::trim).filter(|entry| !entry.is_empty());
    let sources = || sources.iter().filter(|source| is_of(source, repo));
    let covers = |file: &FilePath| entries().any(|entry| sources().any(|source| is_in(entry, source, file)));
    (entries().next().is_some() && !files.any(covers)).then(|| annotation.to_owned())
}

/// `https://…/owner/name.git`, `git@…:owner/name`. A chart is of another repository.
fn is_of(source: &AppSource, repo: &RepoName) -> bool {
    let url = source.url.trim_end_matches('/').to_ascii_lowercase();
    let url = url.strip_suffix(".git").unwrap_or(&url);
    let rest = url.strip_suffix(&repo.to_string().to_ascii_lowercase());
    rest.is_some_and(|rest| rest.ends_with(['/', ':']))
}

fn is_in(entry: &str, source: &AppSource, file: &FilePath) -> bool {
    let base = if entry.starts_with('/') { "" } else { source.path.as_str() };
    let (wanted, parts) = (segments(base, entry), segments("", file.as_str()));
    let is_below = wanted.len() <= parts.len() && parts.iter().zip(&wanted).all(|(part, wanted)| part == wanted);
    let is_like = wanted.len() == parts.len() && parts.iter().zip(&wanted).all(|(part, wanted)| matches(wanted, part));
    is_below || is_like
}

/// Joined and cleaned: `.` is nothing, `..` takes one away.
fn segments<'a>(base: &'a str, path: &'a str) -> Vec<&'a str> {
    let mut clean = Vec::new();
    for segment in base.split('/').chain(path.split('/')) {
        match segment {
            "" | "." => {}
            ".." => drop(clean.pop()),
            segment => clean.push(segment),
        }
    }
    clean
}

/// `*` is anything, `?` one character, `[a-z]` and `[^a-z]` one of these or none of them, and a backslash takes the next
/// character as it is: as Go's `filepath.Match` does, for one segment.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut pattern, mut name) = (&pattern[..], &name[..]);
    // What to go back to: the pattern after the last `*`, and how much of the name is left for it.
    let mut star: Option<(&[char], &[char])> = None;
    loop {
        if let Some(('*', rest)) = pattern.split_first().map(|(first, rest)| (*first, rest)) {
            (pattern, star) = (rest, Some((rest, name)));
            continue;
        }
        let next = name.split_first().and_then(|(first, rest)| Some((one(pattern, *first)?, rest)));
        match (next, star) {
            (Some(left), _) => (pattern, name) = left,
            _ if pattern.is_empty() && name.is_empty() => return true,
            (None, Some((after, held))) => {
                let Some((_, fewer)) = held.split_first() else { return false };
                (pattern, name, star) = (after, fewer, Some((after, fewer)));
            }
            (None, None) => return false,
        }
    }
}

/// The pattern behind what this character matches.
fn one(pattern: &[char], character: char) -> Option<&[char]> {
    let (first, rest) = pattern.split_first()?;
    match first {
        '?' => Some(rest),
        '[' => class(rest, character),
        '\\' => rest.split_first().filter(|(next, _)| **next == character).map(|(_, rest)| rest),
        _ => (*first == character).then_some(rest),
    }
}

fn class(pattern: &[char], character: char) -> Option<&[char]> {
    let (negated, pattern) = match pattern.split_first() {
        Some(('^', rest)) => (true, rest),
        _ => (false, pattern),
    };
    let end = pattern.iter().position(|one| *one == ']').filter(|end| *end > 0)?;
    let (inside, rest) = (pattern.get(..end)?, pattern.get(end.saturating_add(1)..)?);
    let mut found = false;
    let mut left = inside;
    loop {
        left = match left {
            [low, '-', high, rest @ ..] => {
                found |= (low..=high).contains(&&character);
                rest
            }
            [one, rest @ ..] => {
                found |= *one == character;
                rest
            }
            [] => break,
        };
    }
    (found != negated).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn leaves_out(annotation: Option<&str>, paths: &[&str], file: &str) -> bool {
        // `<path>`, or `<path> of <url>`.
        let source = |text: &&str| {
            let (path, url) = text.split_once(" of ").unwrap_or((*text, "https://github.com/Acme/GitOps.git"));
            AppSource { path: path.to_owned(), url: url.to_owned(), ..AppSource::default() }
        };
        let repo = RepoName::parse("acme/gitops").unwrap();
        let sources: Vec<AppSource> = paths.iter().map(source).collect();
        left_out(annotation, &sources, &repo, [FilePath::parse(file).unwrap()].iter()).is_some()
    }

    #[test]
    fn which_files_an_annotation_leaves_out() {
        let check = |annotation: &str, file: &str, expected: bool| {
            assert_eq!(leaves_out(Some(annotation), &["checkout"], file), expected, "{annotation} {file}");
        };
        assert!(!leaves_out(None, &["checkout"], "values/checkout.yaml"), "without the annotation all counts");
        check("", "values/checkout.yaml", false);
        check(";;", "values/checkout.yaml", false);
        check(".", "checkout/values.yaml", false);
        check(".", "checkout/a/b.yaml", false);
        check(".", "checkout2/values.yaml", true);
        check(".", "values/checkout.yaml", true);
        check("values.yaml", "checkout/values.yaml", false);
        check("values", "checkout/values.yaml", true);
        check("../values", "values/checkout.yaml", false);
        check("../values", "checkout/values.yaml", true);
        check("/values", "values/checkout.yaml", false);
        check("/values/", "values/a/checkout.yaml", false);
        check("/values/checkout.yaml", "values/checkout.yaml", false);
        check("/", "values/checkout.yaml", false);
        check(".;/values", "values/checkout.yaml", false);
        check(". ; /values", "values/checkout.yaml", false);
        check("/values/*.yaml", "values/checkout.yaml", false);
        check("/values/*.yaml", "values/a/checkout.yaml", true);
        check("/*/checkout.yaml", "values/checkout.yaml", false);
        check("/values/c*o?t.y[a-b]ml", "values/checkout.yaml", false);
        check("/values/c*o?t.y[^a-b]ml", "values/checkout.yaml", true);
        check("/values/[", "values/checkout.yaml", true);
        check("/**", "values/checkout.yaml", true);
        // Of several sources one is enough.
        assert!(!leaves_out(Some("."), &["charts/app", "values"], "values/checkout.yaml"));
        assert!(!leaves_out(Some("."), &[""], "values/checkout.yaml"));
        assert!(leaves_out(Some("."), &["charts/app"], "values/checkout.yaml"));
        // What a chart of elsewhere has in its root does not matter.
        assert!(leaves_out(Some("."), &["charts/app", " of https://charts.acme.example"], "values/checkout.yaml"));
        assert!(leaves_out(Some("."), &[" of git@github.com:acme/othergitops"], "values/checkout.yaml"));
        assert!(!leaves_out(Some("."), &[" of git@github.com:acme/gitops"], "values/checkout.yaml"));
    }

    #[test]
    fn what_an_application_reads() {
        let check = |annotation: Option<&str>, paths: &[&str], expected: &str| {
            let source = |path: &&str| AppSource {
                path: (*path).to_owned(),
                url: "https://github.com/acme/gitops".to_owned(),
                ..AppSource::default()
            };
            let sources: Vec<AppSource> = paths.iter().map(source).collect();
            let mut reach = Reach::default();
            reach.add("checkout");
            reach.add_sources(&sources, annotation, &RepoName::parse("acme/gitops").unwrap());
            let rest = if reach.everything { " and everything" } else { "" };
            assert_eq!(format!("{}{rest}", reach.paths.join(" ")), expected, "{annotation:?} {paths:?}");
        };
        check(None, &["checkout"], "checkout");
        check(None, &["checkout/overlay"], "checkout");
        check(None, &["./charts/app/"], "checkout charts/app");
        check(None, &[""], "checkout");
        check(None, &["."], "checkout and everything");
        check(Some(".;/charts"), &["checkout"], "checkout charts");
        check(Some("/charts/*/values.yaml;../base"), &["checkout"], "checkout charts base");
        check(Some("/*.yaml"), &["checkout"], "checkout and everything");
        check(Some("../.."), &["checkout/eu"], "checkout and everything");
        let other = AppSource {
            url: "https://github.com/acme/charts".to_owned(),
            path: "x".to_owned(),
            ..AppSource::default()
        };
        let repo = RepoName::parse("acme/gitops").unwrap();
        let mut reach = Reach::default();
        reach.add("charts/app/templates");
        reach.add("charts");
        assert_eq!(reach.paths, ["charts"]);
        assert_eq!(reach.misses(std::slice::from_ref(&other), None, &repo), None);
        let ours = AppSource { url: "https://github.com/acme/gitops".to_owned(), ..other };
        assert_eq!(reach.misses(std::slice::from_ref(&ours), None, &repo), Some("x".to_owned()));
        reach.everything = true;
        assert_eq!(reach.misses(&[ours], None, &repo), None);
        assert!(is_below("a/b", "a") && is_below("a", "a") && !is_below("ab", "a"));
    }

    #[test]
    fn a_pattern_is_matched_as_go_does() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("*.yaml", "values.yaml", true),
            ("?", "", false),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
            ("a\\", "a", false),
            ("[]a]", "a", false),
            ("[a-]", "-", true),
            ("x", "xy", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    proptest! {
        #[test]
        fn no_annotation_panics(annotation: String, path: String, pattern in "[*?a\\[\\]^\\\\-]{0,12}", name in "[ab-]{0,8}") {
            leaves_out(Some(&annotation), &[&format!("{path} of https://github.com/acme/gitops")], "checkout/values.yaml");
            matches(&pattern, &name);
        }
    }
}
