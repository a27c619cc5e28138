//! The page `tests/README.md`: what is tried and how it ends, made of the fault table and of the names of the
//! tests. A test fails when the page is not what is made here; `UPDATE_README=1` writes the page.

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
    attacks(&mut page, &files)?;
    page.push_str(ABOUT_2_14);
    let count: usize = files.iter().map(|file| file.scenarios.len()).sum();
    write!(page, "\n## All end-to-end scenarios\n\n{count} of them; each name is a test in `e2e/tests/`.\n")?;
    for File { name, about, scenarios, .. } in &files {
        write!(page, "\n### `{name}`\n\n{about}\n\n")?;
        for scenario in scenarios {
            writeln!(page, "- {scenario}")?;
        }
    }
    Ok(page)
}

const INTRODUCTION: &str = "\
# What is tried, and how it ends

This page is for people who have to trust the bot on a bad day. The page is made from the tests themselves
(`e2e/src/readme.rs`), and a test fails when the page differs from them;
`UPDATE_README=1 cargo test -p e2e --test e2e readme` writes the page anew.

The suite has four layers. Each layer tries what the layer before cannot.

1. **Pure**, beside the code in `components/`: tables, vendors' published examples, every message that people
   read, and properties such as \"any order of the facts folds to the same state\".
2. **Fuzz**, in `fuzz/`: everything that parses outside bytes, against a corpus and thousands of inputs made
   of the corpus. [`fuzz/README.md`](fuzz/README.md) says how to let libFuzzer go on from there, how the parser of
   values files is compared with Helm's and Kustomize's, and with which public charts the edit was tried.
3. **Simulation**, in `simulation/`: the bot's own code, one to three replicas of each component, on stand-ins
   and a clock that only the simulation moves. A seed decides who goes next, what is lost or comes twice,
   which process dies, which freezes and wakes again, and what people do meanwhile. `cargo test -p simulation`
   plays 300 days. A day that goes wrong prints its seed, and `SIMULATION_SEED=<n> cargo test -p simulation`
   plays the same day again and prints everything that happens in it. `SIMULATION_DAYS=300..10000` plays other
   days. The simulation also plays a hundred deploys at once, and years of deploys.
4. **End to end**, in `e2e/`: the real `.wasm`, two real Redis processes, stand-ins of Slack, GitHub, the
   registry and Argo CD on loopback (`fakes/`). `cargo test -p e2e` runs these tests on the built-in host,
   `SPIN=<path to a spin binary> cargo test -p e2e` on a real Spin. A test that fails prints every call and
   the bot's log.

Tests of the cluster (`cluster`, `outages`) say what an app is made of and what is the matter with an image or a Pod, and never what Argo CD
makes of that. They run on Argo CD's stand-in and, with `ARGOCD=real cargo test -p e2e --test e2e -- cluster:: outages::`, on a real
Argo CD 3.2 with a real Kubernetes API server, whose Pods run on paper. [`argocd/build`](argocd/build) makes that program from Go modules: a
quarter of an hour the first time. Of the outages a tenth is played, by `SEED`; `ALL=1` plays all. `cargo run -- --argocd real` is the
sandbox against the same Argo CD. With `ARGOCD_VERSION=2` it is Argo CD 2.14: [below](#argo-cd-32-and-214).

The stand-ins are never kinder than the real systems. Every scenario ends with the same check of what the bot
promises ([`e2e/src/promise.rs`](e2e/src/promise.rs)), and so does every day of the simulation
([`simulation/src/invariants.rs`](simulation/src/invariants.rs)):

- every accepted request has exactly one final state, and its asker can read its final words;
- each request has at most one commit; a refused or cancelled request has none;
- Argo CD was asked for nothing but the bot's own commits, and never for an older one after a newer one;
- \"is live\" was only said of what Argo CD saw running well, \"nothing was changed\" never of a request with
  a commit;
- nothing is left over: no lease, nothing in flight, no key without an owner, no note of a push that was not
  announced.

The simulation also checks every single write and call. No component writes another one's key or calls a
system that is not its own. Two watches, or two deployments of one target, are never at work at the same time.
The exceptions: Redis forgot or failed, a process froze, or a call took seconds. After Redis forgot
everything, two watches change something for no longer than a renewal period and the call under way.

In `simulation/tests/freezes.rs` a process freezes at the operations of a plain morning, one after the other:
after its last look at its leases, and before the operation leaves. A late sync of an older commit is
repaired, and only old words may remain in a message. The outcome is the same as without the freeze.
";

const ABOUT_2_14: &str = "
## Argo CD 3.2 and 2.14

`argocd/build <folder> v2` makes an Argo CD 2.14.21 beside the 3.2.11, and `ARGOCD=real ARGOCD_VERSION=2` runs the tests of the
cluster on 2.14: by hand, not in CI. Kubernetes, helm and kustomize are those of 3.2; the definitions and ConfigMaps are those of
2.14. A test that expects something else there says so in one line (`is_2_14`).

| | Argo CD 3.2.11 | Argo CD 2.14.21 | what follows |
|---|---|---|---|
| what a sync applied | `images` of each resource | not said (since 3.1) | Pods alone prove which version runs |
| no Pod to see (no replica, only CronJobs, a project without Pods) | live | live, \"so I can't prove that this version runs\" | the same ending |
| a workload with a fixed image | \"what was applied doesn't use\" our image | \"doesn't run\" our image | the same ending, in other words |
| Pods that nobody replaces (`OnDelete`) | \"the Pods still run\" the old image | \"doesn't run\" ours | nothing says whose fault it is |
| two services in one application, and the other one's workload is unhealthy | live, and the message names it | not live while it is so: \"Health: degraded\" | every workload counts for both; `one_that_fails_does_not_fail_the_other` fails there |
| health when a sync has ended | compared | for a moment that of before the sync | the tests wait for the comparison |
| `POST …/resource/actions/v2` | there | 404 | none: the bot does not use it |
";

const ABOUT_THE_TABLE: &str = "
## Each call, and everything that can go wrong with it

A person types `/deploy`, and one call of the bot to another system goes wrong once. No such fault ends a
deploy. Nobody helps: no second command, no restart. \"Done\" means that the other system did what the bot
asked for, but the answer was lost.

";

const ABOUT_THE_ENDINGS: &str = "
**live**: the deploy went on by itself, with exactly one commit, or with none where an earlier commit of the bot
has the tag already. **refused**: the refusal that was due was posted all the same. **–**: cannot happen there.

What each ending means, by step:

| step | what goes wrong | stored | commits | messages | the last words say | before that | how it goes on |
|---|---|---|---|---|---|---|---|
";

const ABOUT_WHAT_LASTS: &str = "
## Faults that last

A call answers with status 503 until the deployment has ended. A read is asked again for 20 s (2 s in the
tests). Then the system works again, and the person types the same command once more. The deploy goes live,
with one commit in all. **failed**: the deploy ended with words that say why, and nothing was changed.

| what | stored | commits | messages | the last words say | before that | and then |
|---|---|---|---|---|---|---|
";

const ABOUT_THE_ATTACKS: &str = "
## Who tries what, and what comes of it

Each row is a test that plays the attack through the real `.wasm`: the line `/// Attack:` above the test. What is not
protected is in [Security](../docs/security.md#what-is-not-protected).

| who | tries | what happens | test |
|---|---|---|---|
";

/// The attackers, those with the fewest rights first.
pub const ATTACKERS: [&str; 11] = [
    "an outsider",
    "a guest",
    "a member",
    "may deploy one app",
    "may push to the app repository",
    "may push to the GitOps repository",
    "may push to the registry",
    "may change the Argo CD application",
    "runs the gate service",
    "may write the store",
    "holds one component's secrets",
];

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
    page.push_str("\n*What went wrong* reads like this:\n\n| | |\n|---|---|\n");
    for trouble in TROUBLES {
        let said = trouble.cause("GitHub");
        let more = if said.ends_with(' ') { "*its own words*" } else { "" };
        writeln!(page, "| {} | {said}{more} |", trouble.name())?;
    }
    Ok(())
}

/// Faults that last.
fn lasting(page: &mut String) -> Result<()> {
    page.push_str(ABOUT_WHAT_LASTS);
    for Lasting { name, ending, .. } in &LASTING {
        let Ending { stored, commits, messages, says, meanwhile, how, .. } = ending;
        let (says, before) = (quoted(&says.replace('*', " … ")), quoted(meanwhile));
        writeln!(page, "| {name} | {} | {commits} | {messages} | {says} | {before} | {how} |", word(*stored))?;
    }
    Ok(())
}

/// Who tries what.
fn attacks(page: &mut String, files: &[File]) -> Result<()> {
    page.push_str(ABOUT_THE_ATTACKS);
    let all: Vec<&Attack> = files.iter().flat_map(|file| &file.attacks).collect();
    if let Some(odd) = all.iter().find(|attack| !ATTACKERS.contains(&attack.by.as_str())) {
        anyhow::bail!("`{}` of `{}` is no attacker of the table", odd.by, odd.test);
    }
    for by in ATTACKERS {
        anyhow::ensure!(all.iter().any(|attack| attack.by == by), "nobody plays who {by}");
        for Attack { tries, ends, test, .. } in all.iter().filter(|attack| attack.by == by) {
            writeln!(page, "| {by} | {tries} | {ends} | `{test}` |")?;
        }
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
    attacks: Vec<Attack>,
}

/// A test that plays an attack.
#[derive(Debug, PartialEq, Eq)]
struct Attack {
    by: String,
    tries: String,
    ends: String,
    test: String,
}

/// All files with tests, by name.
fn files(folder: &Path) -> Result<Vec<File>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if path.is_dir() {
            let below = self::files(&path)?;
            files.extend(below.into_iter().map(|file| File { name: format!("{name}/{}", file.name), ..file }));
        }
        let Some(stem) = name.strip_suffix(".rs") else { continue };
        let text = fs::read_to_string(&path).with_context(|| name.clone())?;
        let scenarios = scenarios(&text);
        if !scenarios.is_empty() {
            let attacks = attacks_of(stem, &text)?;
            files.push(File { name: stem.to_owned(), about: about(&text), scenarios, attacks });
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

/// The attacks that a file's tests play: `/// Attack: who | tries | what happens`.
fn attacks_of(file: &str, text: &str) -> Result<Vec<Attack>> {
    let mut attacks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(told) = line.strip_prefix("/// Attack: ") else { continue };
        let parts: Vec<&str> = told.split(" | ").collect();
        let [by, tries, ends] = parts.as_slice() else { anyhow::bail!("{file}: {told:?} has not three parts") };
        let test = lines.find_map(|line| line.strip_prefix("fn ")?.split('(').next()).context("a test")?;
        attacks.push(Attack {
            by: (*by).to_owned(),
            tries: (*tries).to_owned(),
            ends: (*ends).to_owned(),
            test: format!("{file}::{test}"),
        });
    }
    Ok(attacks)
}

/// Names that people write differently from functions.
const NAMES: [(&str, &str); 12] = [
    ("bots", "bot's"),
    ("persons", "person's"),
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
    fn an_attack_is_told_above_its_test() {
        let text = "/// Attack: a member | presses | nothing\n#[test]\nfn a_press_is_vain() {}\n";
        let attack = Attack {
            by: "a member".to_owned(),
            tries: "presses".to_owned(),
            ends: "nothing".to_owned(),
            test: "buttons::a_press_is_vain".to_owned(),
        };
        assert_eq!(attacks_of("buttons", text).unwrap(), [attack]);
        assert!(attacks_of("buttons", "/// Attack: a member | presses\nfn x() {}\n").is_err());
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
