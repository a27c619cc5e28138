//! `status`: checks of the GitOps repository itself. They have to be successful on its newest commit that is no deploy of ours: what
//! people pushed last has to be healthy before more is deployed.
//!
//! Easy to miss: which commits are ours is what the caller's store says, never what a commit says of itself.

use super::checks::{list_of_checks, unpassed};
use super::{Case, Gate, Gates, Unmet};
use crate::catalog::CatalogError;
use crate::catalog::fields::{Entry, Value, is_none, text_of};
use crate::deployment::Granted;
use crate::github::CommitChecks;
use crate::names::CommitSha;
use crate::refusal::Refusal;

/// The checks that have to be successful there. Empty: none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GitOpsStatus(pub Vec<String>);

/// The newest commit of the GitOps branch that is no deploy of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewestThere {
    pub sha: CommitSha,
    /// Its page.
    pub url: String,
    pub checks: CommitChecks,
}

impl Gate for GitOpsStatus {
    type Sees<'a> = Case<'a>;

    fn read(entry: &Entry) -> Result<Self, CatalogError> {
        match &entry.node.value {
            _ if is_none(entry) => Ok(Self::default()),
            Value::List(_) => list_of_checks(entry, "leave it out, or write `none`").map(Self),
            _ => {
                let name = text_of(entry)?;
                super::checks::must_be_name(entry, entry.line, name)?;
                Ok(Self(vec![name.to_owned()]))
            }
        }
    }

    fn check(&self, case: &Case<'_>) -> Result<Granted, Unmet> {
        let (target, Self(names)) = (Box::new(case.asked.target.clone()), self);
        if names.is_empty() {
            return Ok(Granted::default());
        }
        let Some(newest) = case.newest_there else {
            return Err(Refusal::NoNewestThere { target }.into());
        };
        let (unpassed, more) = (unpassed(names, &newest.checks), newest.checks.more);
        if unpassed.is_empty() && !more {
            return Ok(Granted::default());
        }
        let (head, url) = (newest.sha.clone(), newest.url.clone());
        Err(Refusal::StatusNotPassed { target, head, url, unpassed, more }.into())
    }

    fn in_short(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| format!("{} must pass in the GitOps repository", self.0.join(" and ")))
    }

    fn in_preview(&self, case: &Case<'_>) -> Option<String> {
        let newest = case.newest_there.filter(|_| !self.0.is_empty())?;
        let passed = self.0.len().saturating_sub(unpassed(&self.0, &newest.checks).len());
        Some(format!("status of Git: {passed} of {}", self.0.len()))
    }
}

impl Gates {
    /// Whether the checks of the GitOps repository's newest commits have to be known.
    pub fn want_status(&self) -> bool {
        !self.status.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::gates::tests::Example;
    use crate::deployment::samples::sha;
    use crate::github::{CheckKind, CheckRun, RunState};

    #[test]
    fn each_of_the_names_has_to_pass_on_the_newest_commit_of_others() {
        let gate = GitOpsStatus(vec!["promoter/healthy".to_owned(), "lint".to_owned()]);
        let run = |name: &str, state| CheckRun { name: name.to_owned(), kind: CheckKind::Status, at: None, state };
        let check = |runs: Vec<CheckRun>, more: bool, expected: &str| {
            let checks = CommitChecks { all: None, runs, more };
            let url = "https://github.com/acme/gitops/commit/bbbbbbb".to_owned();
            let newest_there = Some(NewestThere { sha: sha('b'), url, checks });
            let said = Example { newest_there, ..Example::new() }.check(&gate);
            assert!(said.contains(expected), "{said}");
        };
        let healthy = || run("promoter/healthy", RunState::Passed);
        check(vec![healthy(), run("lint", RunState::Passed)], false, "passes");
        check(vec![healthy(), run("lint", RunState::Passed)], true, "there are more than I can read");
        check(vec![healthy()], false, "but `lint` isn't there.");
        let running = vec![run("promoter/healthy", RunState::Running), run("lint", RunState::Failed)];
        check(running, false, "but `promoter/healthy` is still running and `lint` failed.");
        let said = Example::new().check(&gate);
        assert!(said.contains("all of the newest commits there are deploys of mine"), "{said}");
        assert_eq!(Example::new().check(&GitOpsStatus::default()), "passes");
    }
}
