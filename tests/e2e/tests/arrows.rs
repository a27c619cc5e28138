//! Which file imports which: from the doors down to the domain, never up and never in a circle.
//!
//! A room is a file of a component and the files below it (`deploy.rs` and `deploy/**`). Files of one room
//! may use each other. Every `use`, every path and every `super` counts, test code apart.

use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Each crate, and the crates that it may use. A crate uses nothing above it.
const CRATES: [(&str, &[&str]); 8] = [
    ("domain", &[]),
    ("clients", &["domain"]),
    ("store", &["domain"]),
    ("bot", &["clients", "store", "domain"]),
    ("spin", &["bot", "clients", "store", "domain"]),
    ("slack-command", &["spin", "bot", "clients", "domain"]),
    ("github-relay", &["spin", "bot", "clients", "domain"]),
    ("sync-poller", &["spin", "bot"]),
];

/// Clients never name each other.
const OUTSIDE: [&str; 4] = ["argocd", "github", "registry", "slack"];

/// An import: from a file to a crate, or to a room of its own crate.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Arrow {
    file: String,
    to: Vec<String>,
}

#[test]
fn no_import_goes_up_and_none_in_a_circle() -> Result<()> {
    let root = sandbox::wasm::root().join("components");
    let names: Vec<String> = CRATES.iter().map(|(name, _)| name.replace('-', "_")).collect();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (krate, below) in CRATES {
        let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for arrow in arrows_of(&root.join(krate).join("src"))? {
            seen += 1;
            let (from, to) = (room(&arrow.file), &arrow.to[0]);
            let is_crate = arrow.to.len() == 1;
            if is_crate && names.contains(to) && !below.contains(&to.as_str()) && *to != krate.replace('-', "_") {
                wrong.push(format!("{krate}/{} -> {to}: goes up", arrow.file));
            }
            if !is_crate && arrow.to[1] != from && !from.is_empty() {
                let to = &arrow.to[1];
                arrows.entry(from.clone()).or_default().insert(to.clone());
                if krate == "clients" && OUTSIDE.contains(&from.as_str()) && OUTSIDE.contains(&to.as_str()) {
                    wrong.push(format!("{krate}/{} -> {to}: two outside systems", arrow.file));
                }
            }
        }
        wrong.extend(circle(&arrows).map(|rooms| format!("{krate}: a circle: {}", rooms.join(" -> "))));
    }
    assert!(seen > 300, "only {seen} imports were found");
    assert_eq!(wrong, [""; 0]);
    Ok(())
}

/// The domain's dependencies cannot do IO, so the domain cannot either.
#[test]
fn the_domain_depends_on_nothing_that_waits_or_talks() -> Result<()> {
    let manifest: toml::Table =
        fs::read_to_string(sandbox::wasm::root().join("components/domain/Cargo.toml"))?.parse()?;
    let dependencies = manifest["dependencies"].as_table().context("a table")?;
    let known = ["jiff", "libyaml-safer", "serde", "serde_json", "sha1", "thiserror"];
    assert_eq!(dependencies.keys().collect::<Vec<_>>(), known);
    assert!(arrows_of(&sandbox::wasm::root().join("components/domain/src"))?.len() > 50);
    let mut waits = Vec::new();
    each_file(&sandbox::wasm::root().join("components/domain/src"), "", &mut |file, code| {
        waits.extend(
            code.lines().filter(|line| line.contains("async ") || line.contains(".await")).map(|_| file.to_owned()),
        );
    })?;
    assert_eq!(waits, [""; 0]);
    Ok(())
}

#[test]
fn a_wrong_arrow_is_found() {
    let check = |code: &str, expected: &[&str]| {
        let found = paths("deploy/turn.rs", code).into_iter().map(|path| path.join("::")).collect::<Vec<_>>();
        assert_eq!(found, expected, "{code}");
    };
    check("use bot::deploy::Site;", &["bot"]);
    check("use crate::speak::{self, Journal};", &["crate::speak"]);
    check("use crate::{ask::Question, log::Line};", &["crate::ask", "crate::log"]);
    check("use super::prepare::Site;", &["crate::deploy"]);
    check("use super::super::watch;", &["crate::watch"]);
    check("let x = crate::late::mend(store::load(y));", &["store", "crate::late"]);
    check("// crate::late is not used\nlet x = \"crate::late\";", &[]);
    let arrows = |all: &[(&str, &str)]| {
        let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (from, to) in all {
            arrows.entry((*from).to_owned()).or_default().insert((*to).to_owned());
        }
        circle(&arrows)
    };
    assert_eq!(arrows(&[("a", "b"), ("b", "c"), ("a", "c")]), None);
    assert_eq!(arrows(&[("a", "b"), ("b", "c"), ("c", "a")]).map(|rooms| rooms.len()), Some(4));
}

/// `deploy/turn.rs` is in the room `deploy`; `lib.rs` in none.
fn room(file: &str) -> String {
    let first = file.split('/').next().unwrap_or_default();
    first.strip_suffix(".rs").unwrap_or(first).replace("lib", "")
}

fn arrows_of(source: &Path) -> Result<BTreeSet<Arrow>> {
    let mut arrows = BTreeSet::new();
    each_file(source, "", &mut |file, code| {
        arrows.extend(paths(file, code).into_iter().map(|to| Arrow { file: file.to_owned(), to }));
    })?;
    Ok(arrows)
}

/// Each file's code, up to its tests.
fn each_file(folder: &Path, below: &str, look: &mut impl FnMut(&str, &str)) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{below}{name}");
        if entry.file_type()?.is_dir() {
            if name != "tests" {
                each_file(&entry.path(), &format!("{path}/"), look)?;
            }
        } else if !["tests.rs", "samples.rs"].contains(&name.as_str()) {
            let text = fs::read_to_string(entry.path())?;
            look(&path, text.split("#[cfg(test)]\n").next().unwrap_or_default());
        }
    }
    Ok(())
}

/// Every path in the code: to another crate of ours, or to a room of its own (`crate::<room>`).
fn paths(file: &str, code: &str) -> Vec<Vec<String>> {
    let code: String = code.lines().map(|line| without_text(line) + "\n").collect();
    let mut found = BTreeSet::new();
    let names: Vec<String> = CRATES.iter().map(|(name, _)| name.replace('-', "_")).collect();
    let word = |c: char| c.is_alphanumeric() || c == '_';
    for (at, _) in code.match_indices("::") {
        let head = code[..at].rsplit(|c| !word(c)).next().unwrap_or_default();
        let before = code[..at - head.len()].trim_end();
        if before.ends_with("::") || head.is_empty() {
            continue;
        }
        let rest = &code[at + 2..];
        match head {
            "crate" => found.extend(rooms(rest).into_iter().map(|room| vec!["crate".to_owned(), room])),
            "super" => {
                let ups = 1 + rest.split("::").take_while(|part| *part == "super").count();
                // `super` of `deploy/turn.rs` is `deploy`; of `deploy.rs` it is the crate.
                let depth = file.matches('/').count();
                let rest = rest.trim_start_matches("super::");
                match depth.checked_sub(ups) {
                    Some(_) => found.extend([vec!["crate".to_owned(), room(file)]]),
                    None => found.extend(rooms(rest).into_iter().map(|room| vec!["crate".to_owned(), room])),
                }
            }
            head if names.iter().any(|name| name == head) => found.extend([vec![head.to_owned()]]),
            _ => {}
        }
    }
    let mut found: Vec<Vec<String>> = found.into_iter().collect();
    found.sort_by_key(|path| (path.len(), path.clone()));
    found
}

/// The first words after `crate::`: one, or those of a list.
fn rooms(rest: &str) -> Vec<String> {
    let word = |text: &str| text.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let Some(list) = rest.strip_prefix('{') else { return vec![word(rest)] };
    let (mut depth, mut items) = (0, vec![String::new()]);
    for c in list.chars() {
        match c {
            '}' if depth == 0 => break,
            ',' if depth == 0 => items.push(String::new()),
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        items.last_mut().expect("never empty").push(c);
    }
    items.iter().map(|item| word(item.trim_start_matches(','))).filter(|item| !item.is_empty()).collect()
}

/// A line without its comment and without what is in quotes.
fn without_text(line: &str) -> String {
    let mut kept = String::new();
    let mut quoted = false;
    let mut last = ' ';
    for c in line.chars() {
        match c {
            '"' if last != '\\' => quoted = !quoted,
            '/' if last == '/' && !quoted => {
                kept.pop();
                return kept;
            }
            _ if quoted => {}
            _ => kept.push(c),
        }
        last = c;
    }
    kept
}

/// A circle, if there is one.
fn circle(arrows: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    fn walk(at: &str, arrows: &BTreeMap<String, BTreeSet<String>>, path: &mut Vec<String>) -> bool {
        let again = path.iter().any(|room| room == at);
        path.push(at.to_owned());
        if again || arrows.get(at).into_iter().flatten().any(|to| walk(to, arrows, path)) {
            return true;
        }
        path.pop();
        false
    }
    arrows.keys().find_map(|from| {
        let mut path = Vec::new();
        walk(from, arrows, &mut path).then_some(path)
    })
}
