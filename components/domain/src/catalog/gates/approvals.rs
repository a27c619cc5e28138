//! `approvals`: how many people have to agree, and who may. The asker does not count. They agree in Slack; where the
//! catalog says who is who on GitHub, an approving review of the commit counts as well, but at least one of them agrees in
//! Slack, where the image, the riders and what is replaced are shown.

use super::reviews::approving;
use super::{Case, Gate, Unmet};
use crate::catalog::CatalogError;
use crate::catalog::fields::{
    Entry, Fields, Value, error, is_none, key_name, map_of, name, read_duration, read_small_number, read_word,
};
use crate::catalog::people::read_people;
use crate::deployment::{Granted, Shown, TargetPlan, approvals_missing};
use crate::names::{GitHubLogin, SlackUser};
use crate::people::People;
use crate::refusal::{About, Refusal, SinceApproved};
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
    /// Who these people are on GitHub, where their reviews count. Empty: no review counts.
    pub reviewers: Vec<(SlackUser, GitHubLogin)>,
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
        let keys = ["count", "users", "groups", "expires", "github_reviews", "people"];
        let fields = Fields::of("`approvals`", entry.line, &entry.node, &keys)?;
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
        let reviewers = read_reviewers(&fields)?;
        Ok(Some(Approvals { count, by, expires: expires.unwrap_or(Duration::from_secs(3600)), reviewers }))
    }

    fn check(&self, case: &Case<'_>) -> Result<Granted, Unmet> {
        let plan = case.plan;
        let changed = case.origin.approved().and_then(|shown| since_approved(shown, plan));
        let Some(approvals) = self else {
            // People saw it beside the target that they approved.
            return match changed.filter(|_| !case.asked.was_live) {
                Some(changed) => {
                    let target = Box::new(case.asked.target.clone());
                    Err(Refusal::NotAsApproved { target, changed: Box::new(changed) }.into())
                }
                None => Ok(Granted::default()),
            };
        };
        // Nobody could say what people approve.
        if plan.digest.is_none() {
            return Err(
                Refusal::NoDigest { target: Box::new(case.asked.target.clone()), image: plan.image_ref() }.into()
            );
        }
        let mut approved_by = if changed.is_some() { Vec::new() } else { approvals.given(case)? };
        let reviewed = approvals.reviewed(case)?;
        if approvals_missing(approvals.count, &approved_by, &reviewed) == 0 {
            approved_by.extend(reviewed.into_iter().filter(|one| !approved_by.contains(one)).collect::<Vec<_>>());
            return Ok(Granted { approved_by, ..Granted::default() });
        }
        Err(Refusal::NeedsApproval {
            target: Box::new(case.asked.target.clone()),
            head: plan.source.head.clone(),
            tag: plan.tag.clone(),
            count: approvals.count,
            users: approvals.by.users.clone().into(),
            groups: approvals.by.groups.clone().into(),
            reviewed: reviewed.into(),
            until: case.requested.after(approvals.expires),
            about: Box::new(About { changed, rides: None }),
        }
        .into())
    }

    fn in_short(&self) -> Option<String> {
        self.as_ref().map(|approvals| {
            let on_github = if approvals.reviewers.is_empty() { "" } else { ", reviews on GitHub count" };
            match approvals.count {
                1 => format!("1 approval{on_github}"),
                count => format!("{count} approvals{on_github}"),
            }
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

    /// Who of them has approved the commit on GitHub. The commit's author may be one of them: where GitHub does not know the
    /// author, no review counts.
    fn reviewed(&self, case: &Case<'_>) -> Result<Vec<SlackUser>, Unmet> {
        let mut by = Vec::new();
        for (user, login) in self.reviewers.iter().filter(|_| !case.stands_still && case.reviews.head_author.is_some())
        {
            let has_approved = approving(case.reviews, &case.plan.source)
                .any(|review| review.by.as_str().eq_ignore_ascii_case(login.as_str()));
            if has_approved && user != case.asked.user && self.by.include(user, case.asked.members)? {
                by.push(user.clone());
            }
        }
        Ok(by)
    }
}

/// `github_reviews: true` and `people: {U0123ABCDE: alice}`.
fn read_reviewers(fields: &Fields<'_>) -> Result<Vec<(SlackUser, GitHubLogin)>, CatalogError> {
    let counts = fields.get("github_reviews").map(|entry| read_word(entry, [("true", true), ("false", false)]));
    let Some(people) = fields.get("people") else {
        return match (counts.transpose()?, fields.get("github_reviews")) {
            (Some(true), Some(entry)) => {
                let problem =
                    "`github_reviews` needs `people`: who is who on GitHub, as in `people: { U0123ABCDE: alice }`";
                Err(error(entry.line, problem))
            }
            _ => Ok(Vec::new()),
        };
    };
    let mut reviewers: Vec<(SlackUser, GitHubLogin)> = Vec::new();
    for entry in map_of(people)? {
        let (user, login) = (key_name(entry, SlackUser::parse)?, name(entry, GitHubLogin::parse)?);
        if reviewers.iter().any(|(_, known)| known.as_str().eq_ignore_ascii_case(login.as_str())) {
            return Err(error(entry.line, format!("`people` names {login} twice: one review would count for two")));
        }
        reviewers.push((user, login));
    }
    match counts.transpose()? {
        Some(true) => Ok(reviewers),
        Some(false) => Ok(Vec::new()),
        None => Err(error(people.line, "`people` is of use with `github_reviews: true` only")),
    }
}

/// What is not as people saw it when they approved. What goes live with it may have become less.
pub(super) fn since_approved(shown: &Shown, plan: &TargetPlan) -> Option<SinceApproved> {
    if shown.digest != plan.digest {
        return Some(SinceApproved::Image { was: shown.digest.clone(), is: plan.digest.clone() });
    }
    let now = Shown::from(plan);
    if shown.counted && !now.counted {
        return Some(SinceApproved::Uncounted);
    }
    // What was pushed since then is the newest, so that is read even where not all is.
    let new = now.riders.iter().filter(|rider| !shown.riders.contains(rider)).count();
    if new > 0 {
        return Some(SinceApproved::Riders { count: u32::try_from(new).unwrap_or(u32::MAX) });
    }
    let new = now.elsewhere.into_iter().filter(|one| !shown.elsewhere.contains(one)).map(|(path, _)| path);
    let paths: Vec<String> = new.take(5).collect();
    if !paths.is_empty() {
        return Some(SinceApproved::Elsewhere { paths });
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
    use crate::deployment::{Approval, Origin, Rider, Riders};
    use crate::github::Opinion::{Approved, WantsChanges};
    use crate::github::{Opinion, Review, ReviewsState};
    use crate::image::Digest;
    use crate::names::SlackGroup;

    /// Approved by these, at these seconds, as it was planned.
    fn approved(given: &[(&str, u64)], plan: &TargetPlan) -> Origin {
        let given = given
            .iter()
            .map(|(by, second)| Approval { user: user(by), at: at(*second), targets: Vec::new() })
            .collect();
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
            reviewers: Vec::new(),
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
        // Where not all is counted, what is new still is.
        check(|plan| plan.riders = rides("bc", true), |plan| plan.riders = rides("b", true), "passes by U2");
        check(|plan| plan.riders = rides("bc", true), |plan| plan.riders = rides("abc", true), "one more commit");
        check(
            |plan| (plan.riders, plan.there) = (Riders::FirstDeploy, vec![sha('b')]),
            |plan| (plan.riders, plan.there) = (Riders::FirstDeploy, vec![sha('a'), sha('b')]),
            "one more commit",
        );
        check(
            |plan| plan.elsewhere = vec![("charts".to_owned(), "1".to_owned())],
            |plan| plan.elsewhere = vec![("charts".to_owned(), "2".to_owned())],
            "since then `charts` changed in Git",
        );
        check(|plan| plan.elsewhere = vec![("charts".to_owned(), "1".to_owned())], |_| {}, "passes by U2");
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
        let (expires, reviewers) = (Duration::from_secs(1800), Vec::new());
        let gate = |count| Some(Approvals { count, by: by.clone(), expires, reviewers: reviewers.clone() });
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

    /// Pull request 42 is by bob. U1 asks; U2, U3 and U4 may approve.
    #[test]
    fn a_review_on_github_counts_beside_one_in_slack() {
        let login = |name: &str| GitHubLogin::parse(name).unwrap();
        let by = People { users: ["U1", "U2", "U3", "U4"].map(user).to_vec(), ..People::default() };
        let known = [("U1", "ann"), ("U2", "Dave"), ("U3", "erin"), ("U4", "bob"), ("U5", "fay")];
        let reviewers: Vec<_> = known.map(|(who, name)| (user(who), login(name))).to_vec();
        let gate = |count| Approvals {
            count,
            by: by.clone(),
            expires: Duration::from_secs(1800),
            reviewers: reviewers.clone(),
        };
        let check = |count: u8, slack: &[&str], reviews: &[(&str, Opinion, char)], expected: &str| {
            let given: Vec<(&str, u64)> = slack.iter().map(|user| (*user, 3000)).collect();
            let latest =
                reviews.iter().map(|(by, opinion, of)| Review { by: login(by), opinion: *opinion, of: Some(sha(*of)) });
            let reviews = ReviewsState { head_author: Some(login("carol")), latest: latest.collect(), merged: None };
            let example = Example { origin: approved(&given, &Example::new().plan), reviews, ..Example::new() };
            let said = example.check(&Some(gate(count)));
            assert!(said.starts_with(expected), "{slack:?}: {said}");
        };
        let needs = "not deployed yet: `faster-cart-aaaaaaa` needs 2 approvals";
        check(2, &["U3"], &[("dave", Approved, 'a')], "passes by U3 by U2");
        check(2, &["U3"], &[("dave", Approved, 'b')], needs);
        check(2, &["U3"], &[("dave", WantsChanges, 'a')], needs);
        // The asker, the author, who may not approve, who is nobody here, and the same person twice.
        for name in ["ann", "bob", "fay", "gus", "erin"] {
            check(2, &["U3"], &[(name, Approved, 'a')], needs);
        }
        // One of them agrees in Slack, always.
        check(1, &[], &[("dave", Approved, 'a')], "not deployed yet: `faster-cart-aaaaaaa` needs 1 approval");
        check(2, &[], &[("dave", Approved, 'a'), ("erin", Approved, 'a')], needs);
        let missing = |count, given: &[&str], reviewed: &[&str]| {
            let users = |names: &[&str]| names.iter().map(|name| user(name)).collect::<Vec<_>>();
            approvals_missing(count, &users(given), &users(reviewed))
        };
        assert_eq!((missing(2, &[], &["U2"]), missing(2, &[], &["U2", "U3"]), missing(2, &["U2"], &["U2"])), (1, 1, 1));
        assert_eq!((missing(2, &["U3"], &["U2"]), missing(3, &["U3"], &["U2", "U3"])), (0, 1));
        let mut rollback = Example { origin: approved(&[("U3", 3000)], &Example::new().plan), ..Example::new() };
        rollback.reviews.latest = vec![Review { by: login("dave"), opinion: Approved, of: Some(sha('a')) }];
        assert!(rollback.check(&Some(gate(2))).starts_with(needs), "nobody knows who wrote the commit");
        rollback.reviews.head_author = Some(login("carol"));
        rollback.stands_still = true;
        assert!(rollback.check(&Some(gate(2))).starts_with(needs), "its pull request was not looked at");
    }
}
