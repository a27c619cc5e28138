//! `foreign_changes`: whether commits of other people, which Argo CD has not synced yet, may go live with the
//! deployment. An owner may let them through. With a rollback to a version that was live a second person may, who has seen them.

use super::approvals::since_approved;
use super::{Case, Gate, Unmet};
use crate::catalog::CatalogError;
use crate::catalog::fields::{Entry, read_word};
use crate::deployment::{Granted, Rider, Riders, Shown};
use crate::names::SlackUser;
use crate::refusal::{About, Refusal, Rides, Uncounted};
use std::time::Duration;

/// How long people can confirm what goes live with a rollback.
const CONFIRM: Duration = Duration::from_secs(3600);

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
        if asked.override_reason.is_none() && asked.was_live && Shown::from(case.plan).counted {
            return confirmed(case);
        }
        asked.unless_overridden(format!("let other people's changes go live on {target}"), refusal)
    }

    fn in_short(&self) -> Option<String> {
        (*self == Self::Refuse).then(|| "no other changes with it".to_owned())
    }
}

/// All of them can be shown, and a rollback is needed now: whoever may deploy, and did not ask for it, confirms exactly these. So
/// does an owner, who may let them through anyway.
fn confirmed(case: &Case<'_>) -> Result<Granted, Unmet> {
    let (asked, plan) = (&case.asked, case.plan);
    let changed = case.origin.approved().and_then(|shown| since_approved(shown, plan));
    let mut approved_by: Vec<SlackUser> = Vec::new();
    for approval in case.origin.approvals().iter().filter(|_| changed.is_none()) {
        let by = &approval.user;
        let is_new = !approved_by.contains(by) && asked.now.since(approval.at) < CONFIRM;
        if is_new && (asked.owners.include(by, asked.members)? || is_second(case, by)?) {
            approved_by.push(by.clone());
        }
    }
    if !approved_by.is_empty() {
        return Ok(Granted { approved_by, ..Granted::default() });
    }
    let (count, by) = match &plan.riders {
        Riders::Since { commits, .. } => (u32::try_from(commits.len()).unwrap_or(u32::MAX), authors(commits)),
        Riders::FirstDeploy => (0, Vec::new()),
    };
    let paths = plan.elsewhere.iter().take(5).map(|(path, _)| path.clone()).collect();
    Err(Refusal::NeedsApproval {
        target: Box::new(asked.target.clone()),
        head: plan.source.head.clone(),
        tag: plan.tag.clone(),
        count: 1,
        users: Box::default(),
        groups: Box::default(),
        reviewed: Box::default(),
        until: case.requested.after(CONFIRM),
        about: Box::new(About { changed, rides: Some(Rides { count, by, paths }) }),
    }
    .into())
}

/// Somebody else than the asker, who may deploy from the channel in which the message stands.
fn is_second(case: &Case<'_>, by: &SlackUser) -> Result<bool, Unmet> {
    let channel = case.origin.place().map_or(case.asked.channel, |place| &place.channel);
    Ok(by != case.asked.user && case.allow.why_not(by, channel, case.asked.members)?.is_none())
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
    use crate::catalog::Allow;
    use crate::catalog::gates::tests::Example;
    use crate::deployment::samples::{at, id, sha, user};
    use crate::deployment::{Approval, Origin, TargetPlan};
    use crate::people::People;

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

        example.was_live = true;
        let said = example.check(&ForeignChanges::Refuse);
        assert!(said.contains("has to confirm that with *Approve*"), "{said}");
        example.override_reason = Some("hotfix");
        let not_owner = "not deployed: only an owner may let other people's changes go live on checkout@production.";
        assert!(example.check(&ForeignChanges::Refuse).starts_with(not_owner));
        example.owners = People { users: vec![user("U1")], ..People::default() };
        assert_eq!(example.check(&ForeignChanges::Refuse), "passes overridden (hotfix)");
    }

    #[test]
    fn with_a_rollback_a_second_person_lets_exactly_these_through() {
        let rider = |digit| Rider { sha: sha(digit), who: "bob".to_owned(), headline: "Raise limits".to_owned() };
        let mut example = Example::new();
        example.was_live = true;
        example.plan.riders = Riders::Since { commits: vec![rider('b')], more: false };
        let shown = Shown::from(&example.plan);
        let confirmed = |by: &str, second: u64| Origin::Approved {
            of: id('2'),
            head: None,
            shown: shown.clone(),
            given: vec![Approval { user: user(by), at: at(second), targets: Vec::new() }],
            place: None,
            was: Box::default(),
        };
        let check = |example: &Example, origin: Origin, expected: &str| {
            let example = Example { origin, ..example.clone() };
            let said = example.check(&ForeignChanges::Refuse);
            assert!(said.contains(expected), "{said}");
        };
        // It is an hour after the request.
        check(&example, confirmed("U2", 10), "passes by U2");
        check(&example, confirmed("U2", 0), "has to confirm");
        check(&example, confirmed("U1", 10), "has to confirm");
        check(&example, Origin::Typed, "has to confirm");
        let guest = Example { guests: vec!["U2"], ..example.clone() };
        check(&guest, confirmed("U2", 10), "has to confirm");
        let owned = Example { owners: People { users: vec![user("U1")], ..People::default() }, ..example.clone() };
        check(&owned, confirmed("U1", 10), "passes by U1");
        let nobody = Example { allow: Allow::default(), ..example.clone() };
        check(&nobody, confirmed("U2", 10), "has to confirm");
        let more = Riders::Since { commits: vec![rider('c'), rider('b')], more: false };
        let newer = Example { plan: TargetPlan { riders: more, ..example.plan.clone() }, ..example.clone() };
        check(&newer, confirmed("U2", 10), "2 config changes");
        // What cannot be shown, nobody confirms.
        let uncounted = Riders::Since { commits: vec![rider('b')], more: true };
        let uncounted = Example { plan: TargetPlan { riders: uncounted, ..example.plan.clone() }, ..example.clone() };
        check(&uncounted, confirmed("U2", 10), "at least 1 config change");
        check(&Example { was_live: false, ..example }, confirmed("U2", 10), "this would also ship");
    }
}
