//! `checks`: whether the checks of the very commit that is deployed have to be successful.

use super::{Case, Gate, Unmet};
use crate::catalog::CatalogError;
use crate::catalog::fields::{Entry, read_word};
use crate::deployment::Granted;
use crate::github::ChecksState;
use crate::refusal::Refusal;

/// Whether the checks of the commit that is deployed have to be successful.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checks {
    /// No.
    #[default]
    Ignore,
    /// Yes.
    Required,
}

impl Gate for Checks {
    type Sees<'a> = Case<'a>;

    fn read(entry: &Entry) -> Result<Self, CatalogError> {
        read_word(entry, [("ignore", Self::Ignore), ("required", Self::Required)])
    }

    fn check(&self, case: &Case<'_>) -> Result<Granted, Unmet> {
        if *self == Self::Ignore || case.checks == Some(ChecksState::Passed) {
            return Ok(Granted::default());
        }
        // What ran before our first deploy has no commit that we know.
        let Some(head) = case.plan.source.head.clone() else { return Ok(Granted::default()) };
        let target = case.asked.target.clone();
        Err(Refusal::ChecksNotPassed { target, head, state: case.checks }.into())
    }

    fn in_short(&self) -> Option<String> {
        (*self == Self::Required).then(|| "checks must pass".to_owned())
    }

    /// Also where nobody requires them.
    fn in_preview(&self, case: &Case<'_>) -> Option<String> {
        let state = case.checks.map(|checks| match checks {
            ChecksState::Passed => "checks passed",
            ChecksState::Running => "checks are running",
            ChecksState::Failed => "checks failed",
        });
        Some(state.unwrap_or("no checks").to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::gates::tests::Example;

    #[test]
    fn only_success_passes() {
        let check = |checks: Option<ChecksState>, preview: &str, passes: bool| {
            let example = Example { checks, ..Example::new() };
            let said = example.check(&Checks::Required);
            assert_eq!(said == "passes", passes, "{said}");
            assert!(passes || said.contains("needs the checks of commit `aaaaaaa` to pass"), "{said}");
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
}
