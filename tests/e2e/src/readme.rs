//! The page `tests/README.md`: what is tried and how it ends, made of the fault table and of the names of the tests. A test holds the
//! page to what is made here; `UPDATE_README=1` writes it.

use crate::table::{Ending, LASTING, Lasting, ROWS, Row, TROUBLES};
use anyhow::{Context, Result};
use domain::deployment::State;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// Where the page is.
pub fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")
}

/// The page as it should be.
pub fn page() -> Result<String> {
    let files = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"))?;
    let mut page = INTRODUCTION.to_owned();
    overview(&mut page)?;
    details(&mut page)?;
    lasting(&mut page)?;
    let count: usize = files.iter().map(|file| file.scenarios.len()).sum();
    write!(page, "\n## All end-to-end scenarios\n\n{count} of them; each name is a test in `e2e/tests/`.\n")?;
    for File { name, about, scenarios } in &files {
        write!(page, "\n### `{name}`\n\n{about}\n\n")?;
        for scenario in scenarios {
            writeln!(page, "- {scenario}")?;
        }
    }
    Ok(page)
}

const INTRODUCTION: &str = "\
# What is tried, and how it ends

This page is for whoever has to trust the bot on a bad day. It is made from the tests themselves (`e2e/src/readme.rs`), and a test fails
when the two differ; `UPDATE_README=1 cargo test -p e2e --test e2e readme` writes it anew.

The suite has four layers; each tries what the one before cannot.

1. **Pure**, beside the code in `components/`: tables, vendors' published examples, every message that people read, and properties such as
   \"any order of the facts folds to the same state\".
2. **Fuzz**, in `fuzz/`: everything that parses outside bytes, against a corpus and thousands of inputs made of it; [`fuzz/README.md`](fuzz/README.md) says
   how to let libFuzzer go on from there.
3. **Simulation**, in `simulation/`: the bot's own code, one to three replicas of each component, on stand-ins and a clock that only the simulation moves. A seed decides
   who goes next, what is lost or comes twice, who dies, who freezes and wakes again, and what people do meanwhile. `cargo test -p simulation` plays 300 days; one that goes
   wrong prints its seed, and `SIMULATION_SEED=<n> cargo test -p simulation` is the same day again, with everything that happened in it.
   `SIMULATION_DAYS=300..10000` plays others. A hundred deploys at once, and years of them, are played there, too.
4. **End to end**, in `e2e/`: the real `.wasm`, two real Redis processes, stand-ins of Slack, GitHub, the registry and Argo CD on loopback (`fakes/`). `cargo test -p e2e`
   runs them on the built-in host, `SPIN=<path to a spin binary> cargo test -p e2e` on a real Spin. A test that fails prints every call and the bot's log.

The stand-ins are never kinder than the real systems, and whatever a scenario is about, at its end
[`e2e/src/promise.rs`](e2e/src/promise.rs) looks whether the promise was kept, as [`simulation/src/invariants.rs`](simulation/src/invariants.rs) does after each day:

- every accepted request has exactly one final state, and its asker can read its final words;
- at most one commit for each request, and none for one that was refused or cancelled;
- Argo CD was asked for nothing but the bot's own commits, and never for an older one after a newer one;
- \"is live\" was only said of what Argo CD saw running well, \"nothing was changed\" never of a request with a commit;
- nothing is left over: no lease, nobody in flight, no key without an owner; no note of a push that was not told.

The simulation also looks at every single write and call: no component writes another one's key or calls a system that is not its own, and two
watches, or two deployments of one target, are never at work at the same time unless Redis forgot or failed, a process froze, or a call took seconds.
After Redis forgot everything, two watches change something for no longer than a renewal period and the call under way. And a process freezes
inside the operations of a plain morning, one by one, between its last look at its leases and the moment the operation leaves
(`simulation/tests/freezes.rs`): what it did late is mended, words as well as a sync of an older commit, and the outcome is as if it had not slept.
";

const ABOUT_THE_TABLE: &str = "
## Each call, and everything that can go wrong with it

A person types `/deploy`, and one call of the bot to another system goes wrong once. Nobody helps: no second command, no restart. \"Done\"
says that the other system did what it was asked, but the answer was lost.

";

const ABOUT_THE_ENDINGS: &str = "
**live**: it went on by itself, with exactly one commit. **failed**: it ended with words that say why, and nothing was changed. **refused**:
the refusal that was due was told all the same. **–**: cannot happen there.

What each of them means, by step:

| step | what goes wrong | stored | commits | messages | the last words say | before that | how it goes on |
|---|---|---|---|---|---|---|---|
";

const ABOUT_WHAT_LASTS: &str = "
## What does not pass

A call answers with status 503 until the deployment has ended. Then the system is well again, and the person types the same command once
more: it goes live, with one commit in all.

| what | stored | commits | messages | the last words say | before that | and then |
|---|---|---|---|---|---|---|
";

/// Steps and troubles on one page.
fn overview(page: &mut String) -> Result<()> {
    page.push_str(ABOUT_THE_TABLE);
    let names: Vec<&str> = TROUBLES.iter().map(|trouble| trouble.name()).collect();
    writeln!(page, "| | {} |\n|---{}|", names.join(" | "), "|---".repeat(names.len()))?;
    for row in &ROWS {
        let cells = TROUBLES.map(|trouble| row.ending(trouble).map_or("–", |ending| word(ending.stored)));
        writeln!(page, "| {} | {} |", row.name, cells.join(" | "))?;
    }
    Ok(())
}

fn word(state: State) -> &'static str {
    match state {
        State::Live => "live",
        State::Failed => "failed",
        State::Refused => "refused",
        State::Cancelled => "cancelled",
        State::Superseded => "superseded",
        State::TimedOut => "timed out",
        State::Unknown => "unknown",
        State::Accepted | State::Committing | State::Committed | State::Relayed | State::Syncing => "not ended",
    }
}

/// What each ending means, by step.
fn details(page: &mut String) -> Result<()> {
    page.push_str(ABOUT_THE_ENDINGS);
    for row in &ROWS {
        for (troubles, ending) in row.cells {
            let Ending { stored, commits, messages, how, .. } = ending;
            let names: Vec<&str> = troubles.iter().map(|trouble| trouble.name()).collect();
            let what = if names.len() == TROUBLES.len() { "anything".to_owned() } else { names.join("; ") };
            let (says, before) = (quoted(ending.says), quoted(ending.meanwhile));
            writeln!(
                page,
                "| {} | {what} | {} | {commits} | {messages} | {says} | {before} | {how} |",
                row.name,
                word(*stored)
            )?;
        }
    }
    let why: Vec<&Row> = ROWS.iter().filter(|row| !row.not.is_empty()).collect();
    page.push('\n');
    for row in why {
        writeln!(page, "- **–** at \"{}\": {}.", row.name, row.not)?;
    }
    page.push_str("\n*What went wrong* is said like this:\n\n| | |\n|---|---|\n");
    for trouble in TROUBLES {
        let said = trouble.cause("GitHub");
        let more = if said.ends_with(' ') { "*its own words*" } else { "" };
        writeln!(page, "| {} | {said}{more} |", trouble.name())?;
    }
    Ok(())
}

/// What does not pass.
fn lasting(page: &mut String) -> Result<()> {
    page.push_str(ABOUT_WHAT_LASTS);
    for Lasting { name, ending, .. } in &LASTING {
        let Ending { stored, commits, messages, says, meanwhile, how, .. } = ending;
        let (says, before) = (quoted(&says.replace('*', " … ")), quoted(meanwhile));
        writeln!(page, "| {name} | {} | {commits} | {messages} | {says} | {before} | {how} |", word(*stored))?;
    }
    Ok(())
}

fn quoted(words: &str) -> String {
    match words.replace("{cause}*", "*what went wrong*.").replace("{cause}", "*what went wrong*") {
        none if none.is_empty() => String::new(),
        words => format!("\"{words}\""),
    }
}

// ---- the names of the tests ----

struct File {
    name: String,
    about: String,
    scenarios: Vec<String>,
}

/// All files with tests, by name.
fn files(folder: &Path) -> Result<Vec<File>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let Some(stem) = name.strip_suffix(".rs") else { continue };
        let text = fs::read_to_string(&path).with_context(|| name.clone())?;
        let scenarios = scenarios(&text);
        if !scenarios.is_empty() {
            files.push(File { name: stem.to_owned(), about: about(&text), scenarios });
        }
    }
    files.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(files)
}

/// The first paragraph of a file's own words.
fn about(text: &str) -> String {
    let lines = text.lines().map_while(|line| line.strip_prefix("//!"));
    lines.map(str::trim).take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The names of a file's tests as sentences.
fn scenarios(text: &str) -> Vec<String> {
    let mut is_test = false;
    let mut names = Vec::new();
    for line in text.lines() {
        let name = line.trim().trim_start_matches("async ").strip_prefix("fn ").and_then(|rest| rest.split('(').next());
        match name {
            Some(name) if is_test => {
                names.push(sentence(name));
                is_test = false;
            }
            _ => is_test |= line.trim() == "#[test]",
        }
    }
    names
}

/// Names that people write differently from functions.
const NAMES: [(&str, &str); 10] = [
    ("elses", "else's"),
    ("registrys", "registry's"),
    ("argo cds", "Argo CD's"),
    ("argo cd", "Argo CD"),
    ("githubs", "GitHub's"),
    ("github", "GitHub"),
    ("slacks", "Slack's"),
    ("slack", "Slack"),
    ("redis", "Redis"),
    ("healthz", "`/healthz`"),
];

/// `argo_cd_is_down` is "Argo CD is down".
fn sentence(name: &str) -> String {
    let mut words = format!(" {} ", name.replace('_', " "));
    for (plain, proper) in NAMES {
        words = words.replace(&format!(" {plain} "), &format!(" {proper} "));
    }
    let words = words.trim();
    let first = words.chars().next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}", words.chars().skip(1).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tests_are_sentences() {
        let text = "//! One.\n//! Two.\n//!\n//! Three.\n\n#[test]\nfn argo_cds_events_reach_slack() {}\n\nfn no_test() {}\n#[test]\n// Why.\nfn healthz_is_well() {\n";
        assert_eq!(about(text), "One. Two.");
        assert_eq!(scenarios(text), ["Argo CD's events reach Slack", "`/healthz` is well"]);
    }

    #[test]
    fn every_cell_of_the_table_has_one_ending() {
        for row in &ROWS {
            for trouble in TROUBLES {
                let endings = row.cells.iter().filter(|(troubles, _)| troubles.contains(&trouble)).count();
                let is_explained = endings == 1 || (endings == 0 && !row.not.is_empty());
                assert!(is_explained, "{}: {}", row.name, trouble.name());
            }
        }
    }
}
