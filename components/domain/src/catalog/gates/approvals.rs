//! `approvals`: how many people have to agree in Slack, and who may. The asker does not count.

use super::{Case, Gate, Unmet};
use crate::catalog::CatalogError;
use crate::catalog::fields::{Entry, Fields, Value, error, is_none, read_duration, read_small_number};
use crate::catalog::people::{People, read_people};
use crate::deployment::Granted;
use crate::names::SlackUser;
use crate::refusal::Refusal;
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
        let approved_by = approvals.given(case)?;
        if approved_by.len() >= usize::from(approvals.count) {
            return Ok(Granted { approved_by, ..Granted::default() });
        }
        Err(Refusal::NeedsApproval {
            target: Box::new(case.asked.target.clone()),
            head: case.source.head.clone(),
            tag: case.tag.clone(),
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
    /// Whose approvals count: each person once. They were given to this very commit: the button names the
    /// commit, or it is of a rollback, whose version does not change.
    fn given(&self, case: &Case<'_>) -> Result<Vec<SlackUser>, Unmet> {
        let mut by = Vec::new();
        for approval in case.approvals {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::gates::tests::Example;
    use crate::deployment::Approval;
    use crate::deployment::samples::{at, user};
    use crate::names::SlackGroup;

    #[test]
    fn enough_of_those_who_are_named_have_to_agree_in_time() {
        let by = People { users: vec![user("U1"), user("U2")], groups: vec![SlackGroup::parse("S1").unwrap()] };
        let gate = |count| Some(Approvals { count, by: by.clone(), expires: Duration::from_secs(1800) });
        let check = |count: u8, given: &[(&str, u64)], expected: &str| {
            let approvals = given.iter().map(|(by, second)| Approval { user: user(by), at: at(*second) }).collect();
            let said = Example { approvals, groups: vec![("U3", "S1")], ..Example::new() }.check(&gate(count));
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
