//! The documentation agrees with the code: no dead link, and one line for each variable, catalog key, log
//! event and refusal, and for nothing else.
//!
//! Sources are found by their text, not by their path: a file may move, and these tests stay the same.

use anyhow::{Context, Result, anyhow, ensure};
use domain::catalog::Catalog;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::fs;
use std::path::{Component, Path, PathBuf};

// ---- the walk ----

#[test]
fn the_walk_of_a_deploy_names_files_that_exist() -> Result<()> {
    let root = sandbox::wasm::root();
    let text = fs::read_to_string(root.join("docs/architecture.md"))?;
    let spans: Vec<&str> = text.split('`').skip(1).step_by(2).filter(|span| span.contains("/src/")).collect();
    assert!(spans.len() > 20, "{spans:?}");
    // As the page says: paths are below `components/` unless they begin with `tests/`.
    let from = |span: &str| if span.starts_with("tests/") { root.clone() } else { root.join("components") };
    let gone = spans.into_iter().filter(|span| !from(span).join(span).exists());
    assert_eq!(gone.collect::<Vec<_>>(), [""; 0]);
    Ok(())
}

// ---- links ----

#[test]
fn no_page_has_a_dead_link() -> Result<()> {
    let root = sandbox::wasm::root();
    let mut dead = Vec::new();
    let mut found = 0;
    for page in pages(&root)? {
        let text = fs::read_to_string(root.join(&page))?;
        for (line, link) in links(&text) {
            let (path, anchor) = link.split_once('#').map_or((&*link, None), |(path, anchor)| (path, Some(anchor)));
            let folder = page.parent().unwrap_or(Path::new(""));
            let target = if path.is_empty() { page.clone() } else { normal(&folder.join(path)) };
            found += 1;
            let wrong = match anchor {
                _ if !root.join(&target).exists() => Some("no such file"),
                Some(anchor) if !anchors(&fs::read_to_string(root.join(&target))?).contains(anchor) => {
                    Some("no such heading")
                }
                _ => None,
            };
            if let Some(wrong) = wrong {
                dead.push(format!("{}:{line}: {link}: {wrong}", page.display()));
            }
        }
    }
    assert!(found > 50, "only {found} links were found");
    assert_eq!(dead, [""; 0]);
    Ok(())
}

/// The pages that people read, from the root.
fn pages(root: &Path) -> Result<Vec<PathBuf>> {
    let mut pages = vec![PathBuf::from("README.md"), PathBuf::from("tests/README.md")];
    for folder in ["docs", ".github"] {
        for entry in fs::read_dir(root.join(folder))? {
            let name = entry?.file_name();
            if Path::new(&name).extension().is_some_and(|extension| extension == "md") {
                pages.push(Path::new(folder).join(name));
            }
        }
    }
    pages.sort();
    Ok(pages)
}

/// Relative links with their lines. Code is no link.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    for (number, line) in prose(text) {
        let line = without_code(line);
        let inline = line.match_indices("](").map(|(at, _)| line[at + 2..].split(')').next().unwrap_or_default());
        let definition = line.strip_prefix('[').and_then(|rest| rest.split_once("]: ")).map(|(_, target)| target);
        let targets = inline.chain(definition).map(str::trim);
        let relative = targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:"));
        links.extend(relative.map(|target| (number, target.to_owned())));
    }
    links
}

/// The lines outside of fenced code, counted from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let is_fence = line.trim_start().starts_with("```");
        fenced ^= is_fence;
        !fenced && !is_fence
    })
}

fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("")
}

/// What `a/../b` means.
fn normal(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut whole, part| {
        match part {
            Component::ParentDir => drop(whole.pop()),
            Component::CurDir => {}
            part => whole.push(part),
        }
        whole
    })
}

/// The anchors that GitHub gives to headings: in lower case, without punctuation, blanks as `-`, a number if
/// a heading comes twice.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for (_, line) in prose(text) {
        let heading = line.trim_start_matches('#');
        if heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let kept = heading.trim().to_lowercase();
        let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        let name: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let again = (1..).map(|n| format!("{name}-{n}"));
        anchors.extend(std::iter::once(name.clone()).chain(again).find(|name| !anchors.contains(name)));
    }
    anchors
}

// ---- the README ----

#[test]
fn the_readme_is_one_screen() -> Result<()> {
    let text = fs::read_to_string(sandbox::wasm::root().join("README.md"))?;
    let (lines, words) = (text.lines().count(), text.split_whitespace().count());
    assert!(lines <= 120, "{lines} lines");
    assert!(words <= 900, "{words} words");
    Ok(())
}

// ---- variables ----

#[test]
fn each_variable_has_its_line() -> Result<()> {
    let root = sandbox::wasm::root();
    let manifest: toml::Table = fs::read_to_string(root.join("spin.toml"))?.parse()?;
    let variables = manifest["variables"].as_table().context("no variables")?;
    let mut expected = BTreeMap::new();
    for (name, variable) in variables {
        let default = variable["default"].as_str().context("every variable has a default")?;
        let is_secret = variable.get("secret").and_then(toml::Value::as_bool) == Some(true);
        let letters = [("slack-command", "C"), ("github-relay", "R"), ("sync-poller", "P")];
        let uses =
            letters.iter().filter(|(component, _)| manifest["component"][component]["variables"].get(name).is_some());
        let mut used_by = uses.map(|(_, letter)| *letter).collect::<Vec<_>>().join(" ");
        if manifest["application"]["trigger"]["redis"]["address"].as_str() == Some(&*format!("{{{{ {name} }}}}")) {
            used_by.push_str(", trigger");
        }
        let default = if default.is_empty() { "empty".to_owned() } else { format!("`{default}`") };
        expected.insert(name.clone(), (if is_secret { "yes" } else { "" }.to_owned(), default, used_by));
    }
    let mut there = BTreeMap::new();
    for row in rows(&page("operate")?, "Variables")? {
        let [name, secret, default, _, used_by] = row.as_slice() else { anyhow::bail!("not five cells: {row:?}") };
        // A variable that is required, or whose line says what "empty" means, is empty by default.
        let is_empty = default == "required" || default == "empty" || default.starts_with("empty: ");
        let default = if is_empty { "empty" } else { default };
        let line = (secret.clone(), default.to_owned(), used_by.clone());
        let before = there.insert(code_spans(name).first().context("no name")?.clone(), line);
        ensure!(before.is_none(), "{name} is there twice");
    }
    assert_same("docs/operate.md", &there, &expected);
    Ok(())
}

// ---- the catalog ----

#[test]
fn each_key_of_the_catalog_has_its_line() -> Result<()> {
    let text = page("catalog")?;
    let mut there = BTreeMap::new();
    for heading in ["An app", "An environment"] {
        there.extend(names(&rows(&text, heading)?, 0));
    }
    // The error for an unknown key lists the known keys.
    let read =
        Catalog::parse("apps: { x: { repo: a/b, image: x, no such key: } }").map_err(|wrong| anyhow!("{wrong:?}"))?;
    let wrong = &read.out_of_service.first().context("out of service")?.error.problem;
    let all = wrong.split_once("it can have").context(wrong.clone())?.1;
    assert_same("docs/catalog.md", &there, &code_spans(all).into_iter().map(|key| (key, ())).collect());
    Ok(())
}

#[test]
fn a_default_of_the_catalog_that_is_written_out_changes_nothing() -> Result<()> {
    const SHORTEST: &str = "apps:\n  x:\n    repo: acme/x\n    image: acme/x\n    allow: anyone\n";
    let text = page("catalog")?;
    let mut tried = 0;
    for row in
        ["An app", "An environment"].iter().map(|heading| rows(&text, heading)).collect::<Result<Vec<_>>>()?.concat()
    {
        let (Some(key), Some(default)) = (row.first(), row.get(1)) else { anyhow::bail!("no default: {row:?}") };
        let Some(default) = default.strip_prefix('`').and_then(|rest| rest.strip_suffix('`')) else { continue };
        let default = default.replace("<app>", "x");
        let is_template = ["{branch}", "{tag}"].iter().any(|begin| default.starts_with(begin));
        let default = if is_template { format!("'{default}'") } else { default };
        let key = code_spans(key).first().context("no key")?.clone();
        let written = Catalog::parse(&format!("{SHORTEST}    {key}: {default}\n"));
        assert_eq!(written, Catalog::parse(SHORTEST), "{key}: {default}");
        tried += 1;
    }
    assert!(tried >= 8, "only {tried} defaults were found");
    Ok(())
}

#[test]
fn the_examples_are_catalogs() -> Result<()> {
    let catalog = page("catalog")?;
    let examples = fenced(section(&catalog, "Examples")?, "yaml");
    assert_eq!(examples.len(), 5);
    let install = page("install")?;
    let shortest = fenced(&install, "yaml").into_iter().filter(|text| text.starts_with("apps:"));
    for example in examples.iter().cloned().chain(shortest) {
        let read = Catalog::parse(&example);
        assert!(read.as_ref().is_ok_and(|read| read.out_of_service.is_empty()), "{read:?} in\n{example}");
    }
    Ok(())
}

// ---- log events ----

#[test]
fn each_log_event_has_its_line() -> Result<()> {
    let mut events: BTreeMap<String, bool> = BTreeMap::new();
    for (path, source) in sources()? {
        for (event, is_error) in logged(&source).with_context(|| path.display().to_string())? {
            let always = events.entry(event).or_insert(is_error);
            *always &= is_error;
        }
    }
    assert!(events.len() > 40, "only {} events were found", events.len());
    let mut there = BTreeMap::new();
    for row in rows(&page("troubleshooting")?, "Log events")? {
        let cell = row.first().context("no event")?;
        for event in code_spans(cell) {
            let before = there.insert(event.clone(), cell.ends_with('*'));
            ensure!(before.is_none(), "{event} is there twice");
        }
    }
    assert_same("docs/troubleshooting.md (true: with level error, which a star marks)", &there, &events);
    Ok(())
}

/// The events that a source writes, and whether each is an error.
fn logged(source: &str) -> Result<Vec<(String, bool)>> {
    let mut events = Vec::new();
    for (call, is_error) in [("Line::new(", false), ("Line::error(", true)] {
        for (at, _) in source.match_indices(call) {
            let (before, after) = source.split_at(at);
            let argument = after[call.len()..].trim_start();
            let names = match argument.strip_prefix('"') {
                Some(literal) => vec![literal.split('"').next().unwrap_or_default().to_owned()],
                None => named_elsewhere(source, before, argument)?,
            };
            events.extend(names.into_iter().map(|name| (name, is_error)));
        }
    }
    Ok(events)
}

/// The names that a variable can have: the literals that it is made of, or those that its function is called with.
fn named_elsewhere(source: &str, before: &str, argument: &str) -> Result<Vec<String>> {
    let end = argument.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(argument.len());
    let variable = &argument[..end];
    let function = before.rfind("fn ").map_or("", |at| &before[at + 3..]);
    let names = match before.rfind(&format!("let {variable} = ")) {
        Some(at) => literals(before[at..].split(';').next().unwrap_or_default()),
        None => {
            let call = format!("{}(\"", function.split('(').next().unwrap_or_default());
            let calls = source.split(&call).skip(1);
            calls.map(|rest| rest.split('"').next().unwrap_or_default().to_owned()).collect()
        }
    };
    ensure!(!names.is_empty(), "the event of `Line::…({variable}…)` cannot be read");
    Ok(names)
}

fn literals(text: &str) -> Vec<String> {
    text.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

// ---- refusals ----

#[test]
fn each_refusal_and_each_cause_of_a_fault_has_its_line() -> Result<()> {
    let text = page("troubleshooting")?;
    let sources = sources()?;
    for (name, heading, column) in
        [("Refusal", "Refusals", 0), ("EditRefusal", "Values files", 0), ("Cause", "Faults", 1)]
    {
        let there = names(&rows(&text, heading)?, column);
        assert_same(&format!("docs/troubleshooting.md, {heading}"), &there, &variants(&sources, name)?);
    }
    Ok(())
}

/// The variants of an enum, as serde writes them.
fn variants(sources: &[(PathBuf, String)], name: &str) -> Result<BTreeMap<String, ()>> {
    let head = format!("\npub enum {name} {{\n");
    let mut found = sources.iter().filter_map(|(_, source)| source.split_once(&head));
    let (_, body) = found.next().with_context(|| format!("no `pub enum {name}` anywhere"))?;
    ensure!(found.next().is_none(), "`pub enum {name}` is in two files");
    let body = body.split("\n}\n").next().unwrap_or_default();
    let indented = body.lines().filter_map(|line| line.strip_prefix("    "));
    let variants = indented.filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()));
    let variants: BTreeMap<String, ()> = variants.map(|line| (snake(line), ())).collect();
    ensure!(variants.len() > 5, "only {} variants in `{name}`", variants.len());
    Ok(variants)
}

fn snake(line: &str) -> String {
    let end = line.find(|c: char| !c.is_alphanumeric()).unwrap_or(line.len());
    let mut name = String::new();
    for (at, c) in line[..end].char_indices() {
        if c.is_ascii_uppercase() && at > 0 {
            name.push('_');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}

// ---- the code ----

/// All files of the guests, without what is only for tests.
fn sources() -> Result<Vec<(PathBuf, String)>> {
    let root = sandbox::wasm::root().join("components");
    let (mut sources, mut folders) = (Vec::new(), vec![root]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let is_for_tests = path.file_stem().is_some_and(|name| name == "tests");
            if path.is_dir() && !is_for_tests {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !is_for_tests {
                let text = fs::read_to_string(&path)?;
                sources.push((path, production(&text).to_owned()));
            }
        }
    }
    Ok(sources)
}

/// A file up to its tests.
fn production(text: &str) -> &str {
    let begins_tests = |at: usize| {
        let item = text[at..].lines().skip(1).find(|line| !line.trim_start().starts_with('#'));
        item.is_some_and(|line| line.contains("mod ") && line.ends_with('{'))
    };
    let tests = text.match_indices("#[cfg(test)]").find(|(at, _)| begins_tests(*at));
    tests.map_or(text, |(at, _)| &text[..at])
}

// ---- the pages ----

fn page(name: &str) -> Result<String> {
    let path = sandbox::wasm::root().join("docs").join(name).with_extension("md");
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// The text below a heading, up to the next heading of the same level.
fn section<'a>(text: &'a str, heading: &str) -> Result<&'a str> {
    let begin = format!("\n## {heading}\n");
    let (_, rest) = text.split_once(&begin).with_context(|| format!("no heading {heading:?}"))?;
    Ok(rest.split("\n## ").next().unwrap_or_default())
}

/// The rows of all tables below a heading, without their heads.
fn rows(text: &str, heading: &str) -> Result<Vec<Vec<String>>> {
    let mut rows = Vec::new();
    let mut in_table = false;
    for line in section(text, heading)?.lines() {
        in_table = line.starts_with('|') && (in_table || line.starts_with("|---"));
        if in_table && !line.starts_with("|---") {
            let cells = line.trim_matches('|').split('|');
            rows.push(cells.map(|cell| cell.trim().to_owned()).collect());
        }
    }
    ensure!(!rows.is_empty(), "no table below {heading:?}");
    Ok(rows)
}

fn code_spans(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The names in one column.
fn names(rows: &[Vec<String>], column: usize) -> BTreeMap<String, ()> {
    let cells = rows.iter().filter_map(|row| row.get(column));
    cells.flat_map(|cell| code_spans(cell)).map(|name| (name, ())).collect()
}

/// A page has a line for each name that it should have, and for no other.
fn assert_same<T: PartialEq + Debug>(page: &str, there: &BTreeMap<String, T>, expected: &BTreeMap<String, T>) {
    let mut wrong = Vec::new();
    for (name, line) in expected {
        match there.get(name) {
            None => wrong.push(format!("{name} is missing")),
            Some(other) if other != line => wrong.push(format!("{name} is {other:?} and should be {line:?}")),
            Some(_) => {}
        }
    }
    wrong.extend(there.keys().filter(|name| !expected.contains_key(*name)).map(|name| format!("{name} is too many")));
    assert_eq!(wrong, [""; 0], "{page}");
}

/// The blocks of one language.
fn fenced(text: &str, language: &str) -> Vec<String> {
    let blocks = text.split("\n```").collect::<Vec<_>>();
    let wanted = blocks.into_iter().filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n'));
    wanted.map(|block| format!("{block}\n")).collect()
}
