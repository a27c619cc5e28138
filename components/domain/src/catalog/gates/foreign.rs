//! `foreign_changes`: whether commits of other people, which Argo CD has not synced yet, may go live with the
//! deployment. An owner may let them through.

use super::{Case, Gate, Unmet};
use crate::catalog::CatalogError;
use crate::catalog::fields::{Entry, read_word};
use crate::deployment::{Granted, Rider, Riders};
use crate::refusal::{Refusal, Uncounted};

/// What happens if other people's changes would ride along.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForeignChanges {
    /// The message names them.
    #[default]
    Warn,
    /// The deployment is refused.
    Refuse,
}

impl Gate for ForeignChanges {
    type Sees<'a> = Case<'a>;

    fn read(entry: &Entry) -> Result<Self, CatalogError> {
        read_word(entry, [("warn", Self::Warn), ("refuse", Self::Refuse)])
    }

    fn check(&self, case: &Case<'_>) -> Result<Granted, Unmet> {
        let asked = &case.asked;
        let (target, overridable) = (asked.target.clone(), !asked.owners.is_empty());
        let uncounted = |why| Refusal::UncountedChanges { target: target.clone(), why, overridable };
        let refusal = match (self, &case.plan.riders) {
            (Self::Warn, _) => return Ok(Granted::default()),
            // What cannot be counted to its end is refused.
            (Self::Refuse, Riders::FirstDeploy) => uncounted(Uncounted::NothingKnown),
            (Self::Refuse, Riders::Since { commits, more: true }) if commits.is_empty() => {
                uncounted(Uncounted::TooMany)
            }
            (Self::Refuse, Riders::Since { commits, .. }) if commits.is_empty() && case.plan.elsewhere.is_empty() => {
                return Ok(Granted::default());
            }
            (Self::Refuse, Riders::Since { commits, .. }) if commits.is_empty() => Refusal::ForeignFiles {
                target: target.clone(),
                paths: case.plan.elsewhere.iter().take(5).map(|(path, _)| path.clone()).collect(),
                overridable,
            },
            (Self::Refuse, Riders::Since { commits, more }) => {
                let count = u32::try_from(commits.len()).unwrap_or(u32::MAX);
                let (target, by) = (target.clone(), authors(commits));
                Refusal::ForeignChanges { target, count, more: *more, by, overridable }
            }
        };
        asked.unless_overridden(format!("let other people's changes go live on {target}"), refusal)
    }

    fn in_short(&self) -> Option<String> {
        (*self == Self::Refuse).then(|| "no other changes with it".to_owned())
    }
}

/// Whose they are, up to five.
fn authors(riders: &[Rider]) -> Vec<String> {
    let mut by: Vec<String> = Vec::new();
    for rider in riders {
        if !by.contains(&rider.who) && by.len() < 5 {
            by.push(rider.who.clone());
        }
    }
    by
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::gates::tests::Example;
    use crate::catalog::people::People;
    use crate::deployment::samples::{sha, user};

    #[test]
    fn changes_of_others_are_refused_unless_an_owner_lets_them_through() {
        let rider = |who: &str| Rider { sha: sha('b'), who: who.to_owned(), headline: "Raise limits".to_owned() };
        let commits = ["bob", "bob", "eve"].map(rider).to_vec();
        let mut example = Example::new();
        let uncounted = "not deployed: I can't tell whether other people's changes would go live with it";
        let said = example.check(&ForeignChanges::Refuse);
        assert!(said.starts_with(&format!("{uncounted} (I know of no version of")), "{said}");
        example.plan.riders = Riders::Since { commits: Vec::new(), more: true };
        let said = example.check(&ForeignChanges::Refuse);
        assert!(said.starts_with(&format!("{uncounted} (the live version is older")), "{said}");
        assert_eq!(example.check(&ForeignChanges::Warn), "passes");
        example.override_reason = Some("hotfix");
        example.owners = People { users: vec![user("U1")], ..People::default() };
        assert_eq!(example.check(&ForeignChanges::Refuse), "passes overridden (hotfix)");
        (example.override_reason, example.owners) = (None, People::default());
        example.plan.riders = Riders::Since { commits: Vec::new(), more: false };
        assert_eq!(example.check(&ForeignChanges::Refuse), "passes", "all of them are ours");
        // Everything counts, and something is not as it was.
        example.plan.elsewhere = ["charts", "base"].map(|path| (path.to_owned(), "1".to_owned())).to_vec();
        assert_eq!(example.check(&ForeignChanges::Warn), "passes");
        let said = example.check(&ForeignChanges::Refuse);
        assert!(said.starts_with("not deployed: `charts` and `base` in Git aren't as they were"), "{said}");
        example.plan.elsewhere.clear();
        example.plan.riders = Riders::Since { commits, more: false };
        assert_eq!(example.check(&ForeignChanges::Warn), "passes");
        let said = example.check(&ForeignChanges::Refuse);
        assert!(said.starts_with("not deployed: this would also ship 3 config changes by bob and eve"), "{said}");
        assert!(said.contains("checkout@production has no `owners`"), "{said}");

        example.override_reason = Some("hotfix");
        let not_owner = "not deployed: only an owner may let other people's changes go live on checkout@production.";
        assert!(example.check(&ForeignChanges::Refuse).starts_with(not_owner));
        example.owners = People { users: vec![user("U1")], ..People::default() };
        assert_eq!(example.check(&ForeignChanges::Refuse), "passes overridden (hotfix)");
    }
}
