//! `checks`: whether the checks of the very commit that is deployed have to be successful, all or those with a name.
//!
//! A check that was skipped is a success for `required`, because GitHub counts it so, and none where the catalog names it.

use super::{Case, Gate, Gates, Unmet};
use crate::catalog::CatalogError;
use crate::catalog::fields::{Entry, Value, error, item_text, list_of, read_word};
use crate::deployment::Granted;
use crate::github::{ChecksState, CommitChecks, RunState};
use crate::refusal::{Refusal, Unpassed};
use crate::text::quoted;

/// The most checks that one target names.
const MOST_CHECKS: usize = 20;
/// The longest name of a check, in characters.
const LONGEST_NAME: usize = 100;

/// Whether the checks of the commit that is deployed have to be successful.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Checks {
    /// No.
    #[default]
    Ignore,
    /// All together.
    Required,
    /// Each of these; never empty.
    Named(Vec<String>),
}

impl Gate for Checks {
    type Sees<'a> = Case<'a>;

    fn read(entry: &Entry) -> Result<Self, CatalogError> {
        let Value::List(_) = &entry.node.value else {
            let required = read_word(entry, [("ignore", false), ("required", true)])?;
            return Ok(if required { Self::Required } else { Self::Ignore });
        };
        list_of_checks(entry, "write `ignore`, or `required` for all of them").map(Self::Named)
    }

    fn check(&self, case: &Case<'_>) -> Result<Granted, Unmet> {
        // What ran before our first deploy has no commit that we know.
        let Some(head) = case.plan.source.head.clone() else { return Ok(Granted::default()) };
        let (target, state) = (case.asked.target.clone(), case.checks.all);
        match self {
            Self::Ignore => Ok(Granted::default()),
            Self::Required if state == Some(ChecksState::Passed) => Ok(Granted::default()),
            Self::Required => {
                let url = case.checks_url.as_deref().map(Box::from);
                Err(Refusal::ChecksNotPassed { target, head, state, url }.into())
            }
            Self::Named(names) => {
                let (unpassed, more) = (unpassed(names, case.checks), case.checks.more);
                if unpassed.is_empty() && !more {
                    return Ok(Granted::default());
                }
                let (target, url) = (Box::new(target), case.checks_url.clone());
                Err(Refusal::NamedChecks { target, head, url, unpassed, more }.into())
            }
        }
    }

    fn in_short(&self) -> Option<String> {
        match self {
            Self::Ignore => None,
            Self::Required => Some("checks must pass".to_owned()),
            Self::Named(names) => Some(format!("{} must pass", names.join(" and "))),
        }
    }

    /// Also where nobody requires them.
    fn in_preview(&self, case: &Case<'_>) -> Option<String> {
        if let Self::Named(names) = self {
            let passed = names.len().saturating_sub(unpassed(names, case.checks).len());
            return Some(format!("checks: {passed} of {}", names.len()));
        }
        let state = case.checks.all.map(|checks| match checks {
            ChecksState::Passed => "checks passed",
            ChecksState::Running => "checks are running",
            ChecksState::Failed => "checks failed",
        });
        Some(state.unwrap_or("no checks").to_owned())
    }
}

/// Names of checks, each once. `if_empty`: what to write instead of an empty list.
pub(super) fn list_of_checks(entry: &Entry, if_empty: &str) -> Result<Vec<String>, CatalogError> {
    let key = &entry.key;
    let mut names: Vec<String> = Vec::new();
    for node in list_of(entry)? {
        let name = item_text(key, node)?;
        must_be_name(entry, node.line, name)?;
        if names.iter().any(|known| known == name) {
            return Err(error(node.line, format!("`{key}` names {} twice", quoted(name))));
        }
        names.push(name.to_owned());
    }
    match names.len() {
        0 => Err(error(entry.line, format!("`{key}` is empty: {if_empty}"))),
        count if count > MOST_CHECKS => Err(error(entry.line, format!("`{key}` names more than {MOST_CHECKS} checks"))),
        _ => Ok(names),
    }
}

pub(super) fn must_be_name(entry: &Entry, line: usize, name: &str) -> Result<(), CatalogError> {
    let fits = (1..=LONGEST_NAME).contains(&name.chars().count()) && !name.contains(char::is_control);
    if !fits || name.trim() != name {
        return Err(error(line, format!("an entry of `{}` is no name of 1 to {LONGEST_NAME} characters", entry.key)));
    }
    Ok(())
}

/// Those that have not passed.
pub(super) fn unpassed(names: &[String], checks: &CommitChecks) -> Vec<Unpassed> {
    let states = names.iter().map(|name| Unpassed { name: name.clone(), state: checks.of(name) });
    states.filter(|check| check.state != Some(RunState::Passed)).collect()
}

impl Gates {
    /// Whether each check has to be known.
    pub fn want_named_checks(&self) -> bool {
        matches!(self.checks, Checks::Named(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::gates::tests::Example;
    use crate::github::{CheckKind, CheckRun};
    use crate::time::Timestamp;

    #[test]
    fn only_success_passes() {
        let check = |checks: Option<ChecksState>, preview: &str, passes: bool| {
            let checks = CommitChecks { all: checks, ..CommitChecks::default() };
            let example = Example { checks, ..Example::new() };
            let said = example.check(&Checks::Required);
            assert_eq!(said == "passes", passes, "{said}");
            assert!(passes || said.contains("/checks|checks> of commit `aaaaaaa` to pass"), "{said}");
            assert_eq!(example.check(&Checks::Ignore), "passes");
            for gate in [Checks::Required, Checks::Ignore] {
                assert_eq!(example.in_preview(&gate).as_deref(), Some(preview));
            }
        };
        check(Some(ChecksState::Passed), "checks passed", true);
        check(Some(ChecksState::Running), "checks are running", false);
        check(Some(ChecksState::Failed), "checks failed", false);
        check(None, "no checks", false);
    }

    #[test]
    fn each_check_with_a_name_has_to_pass_whatever_all_come_to() {
        use RunState::{Failed, Passed, Running, Skipped};
        let named = Checks::Named(["build", "test"].map(str::to_owned).to_vec());
        let check = |all: Option<ChecksState>, runs: &[(&str, RunState)], more: bool| {
            let run = |(name, state): &(&str, RunState)| {
                let (name, at) = ((*name).to_owned(), Some(Timestamp(1)));
                CheckRun { name, kind: CheckKind::Run, at, state: *state }
            };
            let checks = CommitChecks { all, runs: runs.iter().map(run).collect(), more };
            let example = Example { checks, ..Example::new() };
            format!("{}: {}\n", example.in_preview(&named).unwrap_or_default(), example.check(&named))
        };
        let passed = [("build", Passed), ("test", Passed), ("lint", Failed)];
        let said = [
            check(Some(ChecksState::Failed), &passed, false),
            check(Some(ChecksState::Passed), &passed[..1], false),
            check(Some(ChecksState::Running), &[("build", Running), ("test", Failed)], false),
            check(Some(ChecksState::Running), &[("build", Running), ("test", Passed)], false),
            check(Some(ChecksState::Passed), &[("build", Skipped), ("test", Passed)], false),
            check(None, &[], false),
            check(Some(ChecksState::Passed), &passed, true),
            check(Some(ChecksState::Passed), &[], true),
        ];
        insta::assert_snapshot!(said.concat(), @"
        checks: 2 of 2: passes
        checks: 1 of 2: not deployed: checkout@production needs certain <https://github.com/acme/checkout/commit/aaaaaaa/checks|checks> of commit `aaaaaaa` to pass, but `test` isn't there. Wait until CI has begun it. If it doesn't come, check its name in `deploy-bot.yaml`, and that my GitHub token may read checks.
        checks: 0 of 2: not deployed: checkout@production needs certain <https://github.com/acme/checkout/commit/aaaaaaa/checks|checks> of commit `aaaaaaa` to pass, but `build` is still running and `test` failed. Run them again, or fix them and deploy the new commit.
        checks: 1 of 2: not deployed: checkout@production needs certain <https://github.com/acme/checkout/commit/aaaaaaa/checks|checks> of commit `aaaaaaa` to pass, but `build` is still running. Wait, then try again.
        checks: 1 of 2: not deployed: checkout@production needs certain <https://github.com/acme/checkout/commit/aaaaaaa/checks|checks> of commit `aaaaaaa` to pass, but `build` was skipped. Run them again, or fix them and deploy the new commit.
        checks: 0 of 2: not deployed: checkout@production needs certain <https://github.com/acme/checkout/commit/aaaaaaa/checks|checks> of commit `aaaaaaa` to pass, but `build` isn't there and `test` isn't there. Wait until CI has begun it. If it doesn't come, check its name in `deploy-bot.yaml`, and that my GitHub token may read checks.
        checks: 2 of 2: not deployed: checkout@production needs certain <https://github.com/acme/checkout/commit/aaaaaaa/checks|checks> of commit `aaaaaaa` to pass, but there are more than I can read. I read at most 100 checks of a commit, and only those that my GitHub token may see. `checks: required` needs no more than what they come to.
        checks: 0 of 2: not deployed: checkout@production needs certain <https://github.com/acme/checkout/commit/aaaaaaa/checks|checks> of commit `aaaaaaa` to pass, but `build` isn't there, `test` isn't there and there are more than I can read. I read at most 100 checks of a commit, and only those that my GitHub token may see. `checks: required` needs no more than what they come to.
        ");
        let mut example = Example::new();
        example.plan.source.head = None;
        assert_eq!(example.check(&named), "passes", "what ran before our first deploy");
    }
}
