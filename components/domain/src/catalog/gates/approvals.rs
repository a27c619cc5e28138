//! `approvals`: how many people have to agree in Slack, and who may. The asker does not count.

use super::{Case, Gate, Unmet};
use crate::catalog::CatalogError;
use crate::catalog::fields::{Entry, Fields, Value, error, is_none, read_duration, read_small_number};
use crate::catalog::people::{People, read_people};
use crate::deployment::{Granted, Riders, Shown, TargetPlan};
use crate::names::SlackUser;
use crate::refusal::{Refusal, SinceApproved};
use std::collections::BTreeSet;
use std::time::Duration;

/// Who has to agree to a deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approvals {
    /// How many people, 1 to 10.
    pub count: u8,
    /// Who may; never empty.
    pub by: People,
    /// How long people can approve a request.
    pub expires: Duration,
}

impl Gate for Option<Approvals> {
    type Sees<'a> = Case<'a>;

    fn read(entry: &Entry) -> Result<Self, CatalogError> {
        if is_none(entry) {
            return Ok(None);
        }
        if let Value::Text(_) = entry.node.value {
            let problem = "`approvals` is the word `none`, or a map of `count`, `users`, `groups` and `expires`";
            return Err(error(entry.line, problem));
        }
        let fields = Fields::of("`approvals`", entry.line, &entry.node, &["count", "users", "groups", "expires"])?;
        let count = fields.get("count").map_or(Ok(1), read_small_number)?;
        let by = read_people(&fields)?;
        if by.is_empty() {
            return Err(error(entry.line, "`approvals` needs `users` or `groups` who may approve"));
        }
        let named = by.users.iter().collect::<BTreeSet<_>>().len();
        if by.groups.is_empty() && named < usize::from(count) {
            let problem = format!("`approvals` asks for {count} people and names only {named}");
            return Err(error(entry.line, problem));
        }
        let expires = fields.get("expires").map(|entry| read_duration(entry, ("1m", "24h"))).transpose()?;
        Ok(Some(Approvals { count, by, expires: expires.unwrap_or(Duration::from_secs(3600)) }))
    }

    fn check(&self, case: &Case<'_>) -> Result<Granted, Unmet> {
        let Some(approvals) = self else { return Ok(Granted::default()) };
        let plan = case.plan;
        // Nobody could say what people approve.
        if plan.digest.is_none() {
            return Err(
                Refusal::NoDigest { target: Box::new(case.asked.target.clone()), image: plan.image_ref() }.into()
            );
        }
        let changed = case.origin.approved().and_then(|shown| since_approved(shown, plan));
        let approved_by = if changed.is_some() { Vec::new() } else { approvals.given(case)? };
        if approved_by.len() >= usize::from(approvals.count) {
            return Ok(Granted { approved_by, ..Granted::default() });
        }
        Err(Refusal::NeedsApproval {
            target: Box::new(case.asked.target.clone()),
            head: plan.source.head.clone(),
            tag: plan.tag.clone(),
            changed: changed.map(Box::new),
            count: approvals.count,
            users: approvals.by.users.clone(),
            groups: approvals.by.groups.clone(),
            until: case.requested.after(approvals.expires),
        }
        .into())
    }

    fn in_short(&self) -> Option<String> {
        self.as_ref().map(|approvals| match approvals.count {
            1 => "1 approval".to_owned(),
            count => format!("{count} approvals"),
        })
    }
}

impl Approvals {
    /// Whose approvals count: each person once. They were given to what is planned now: the button names the
    /// commit, and the rest was compared.
    fn given(&self, case: &Case<'_>) -> Result<Vec<SlackUser>, Unmet> {
        let mut by = Vec::new();
        for approval in case.origin.approvals() {
            let counts = approval.user != *case.asked.user
                && !by.contains(&approval.user)
                && case.asked.now.since(approval.at) < self.expires;
            if counts && self.by.include(&approval.user, case.asked.members)? {
                by.push(approval.user.clone());
            }
        }
        Ok(by)
    }
}

/// What is not as people saw it when they approved. What goes live with it may have become less.
fn since_approved(shown: &Shown, plan: &TargetPlan) -> Option<SinceApproved> {
    if shown.digest != plan.digest {
        return Some(SinceApproved::Image { was: shown.digest.clone(), is: plan.digest.clone() });
    }
    let new = match (&plan.riders, &shown.riders) {
        (_, None) => 0,
        (Riders::FirstDeploy | Riders::Since { more: true, .. }, Some(_)) => return Some(SinceApproved::Uncounted),
        (Riders::Since { commits, more: false }, Some(known)) => {
            commits.iter().filter(|rider| !known.contains(&rider.sha)).count()
        }
    };
    if new > 0 {
        return Some(SinceApproved::Riders { count: u32::try_from(new).unwrap_or(u32::MAX) });
    }
    // What is there already replaces nothing.
    let is_there = plan.before.as_deref() == Some(plan.tag.as_str());
    (shown.before != plan.before && !is_there)
        .then(|| SinceApproved::Replaced { was: shown.before.clone(), is: plan.before.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::gates::tests::Example;
    use crate::deployment::samples::{at, id, sha, user};
    use crate::deployment::{Approval, Origin, Rider};
    use crate::image::Digest;
    use crate::names::SlackGroup;

    /// Approved by these, at these seconds, as it was planned.
    fn approved(given: &[(&str, u64)], plan: &TargetPlan) -> Origin {
        let given = given.iter().map(|(by, second)| Approval { user: user(by), at: at(*second) }).collect();
        Origin::Approved { of: id('2'), head: None, shown: plan.into(), given, place: None, was: Box::default() }
    }

    fn rides(digits: &str, more: bool) -> Riders {
        let rider = |digit| Rider { sha: sha(digit), who: "bob".to_owned(), headline: "Raise limits".to_owned() };
        Riders::Since { commits: digits.chars().map(rider).collect(), more }
    }

    #[test]
    fn what_is_not_as_it_was_approved_is_asked_again() {
        let gate = Some(Approvals {
            count: 1,
            by: People { users: vec![user("U2")], ..People::default() },
            expires: Duration::from_secs(1800),
        });
        let digest = |digit: char| Some(Digest::parse(&format!("sha256:{}", digit.to_string().repeat(64))).unwrap());
        let check = |shown: fn(&mut TargetPlan), now: fn(&mut TargetPlan), expected: &str| {
            let mut example = Example::new();
            example.plan.riders = rides("bc", false);
            let mut plan = example.plan.clone();
            shown(&mut plan);
            now(&mut example.plan);
            example.origin = approved(&[("U2", 3000)], &plan);
            let said = example.check(&gate);
            assert!(said.contains(expected), "{said}");
        };
        check(|_| {}, |_| {}, "passes by U2");
        check(|_| {}, |plan| plan.riders = rides("c", false), "passes by U2");
        check(|_| {}, |plan| plan.riders = rides("abc", false), "since then one more commit would go live with it");
        check(|_| {}, |plan| plan.riders = rides("abcd", false), "since then 2 more commits");
        check(|_| {}, |plan| plan.riders = rides("bc", true), "can't tell any more what would go live");
        check(|plan| plan.riders = rides("b", true), |plan| plan.riders = rides("abc", true), "passes by U2");
        check(
            |plan| plan.before = Some("v1".to_owned()),
            |plan| plan.before = Some("v2".to_owned()),
            "it would replace `v2`, and no more `v1`",
        );
        let mut example = Example::new();
        let mut other = example.plan.clone();
        other.digest = digest('b');
        example.origin = approved(&[("U2", 3000)], &other);
        let said = example.check(&gate);
        assert!(said.contains("it was `sha256:bbbbbbbbbbbb` and is `sha256:aaaaaaaaaaaa` now"), "{said}");
        example.plan.digest = None;
        assert!(example.check(&gate).contains("the registry names no digest"));
    }

    #[test]
    fn enough_of_those_who_are_named_have_to_agree_in_time() {
        let by = People { users: vec![user("U1"), user("U2")], groups: vec![SlackGroup::parse("S1").unwrap()] };
        let gate = |count| Some(Approvals { count, by: by.clone(), expires: Duration::from_secs(1800) });
        let check = |count: u8, given: &[(&str, u64)], expected: &str| {
            let origin = approved(given, &Example::new().plan);
            let said = Example { origin, groups: vec![("U3", "S1")], ..Example::new() }.check(&gate(count));
            let start = said.split(" by <!subteam").next().unwrap();
            let slack = said.find(" (U").and_then(|at| said.get(at..)).unwrap_or_default();
            assert!(format!("{start}{slack}").starts_with(expected), "{said}");
        };
        let needs = "not deployed yet: `faster-cart-aaaaaaa` needs 1 approval";
        check(1, &[("U2", 3000)], "passes by U2");
        check(1, &[], needs);
        check(1, &[("U1", 3000)], needs);
        // Half an hour before, to the second.
        check(1, &[("U2", 1801)], "passes by U2");
        check(1, &[("U2", 1800)], needs);
        check(1, &[("U4", 3000)], &format!("{needs} (U4 in S1?)"));
        check(2, &[("U2", 3000), ("U3", 3000)], "passes by U2 by U3 (U3 in S1?) (U3 a guest?)");
        check(2, &[("U2", 3000), ("U2", 3100)], "not deployed yet: `faster-cart-aaaaaaa` needs 2 approvals");
        assert_eq!(Example::new().check(&None::<Approvals>), "passes");
    }
}
