//! `manifest-generate-paths`: which changes of the repository make Argo CD render an application's manifests anew. Without
//! the annotation it is any change.
//!
//! The rules are Argo CD's own: entries are separated by `;`, `/…` counts from the root of the repository, anything else
//! from the source's path. An entry names a file, a folder with all that is below it, or a pattern.

use crate::application::AppSource;
use crate::names::{FilePath, RepoName};

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
