//! `reviews`: how many people have to approve the pull request on GitHub.
//!
//! What counts is the latest opinion of each person with write access, if it approves the very commit that is
//! deployed. The author of the pull request and the author of that commit do not count. Slack does not say
//! who the asker is on GitHub: an asker who wrote neither may be one of the reviewers. Who must be somebody
//! else than the asker belongs into `approvals`.
//!
//! A branch without a pull request has no reviews, so it is refused, unless its newest commit is the merge of one and has exactly
//! its files. A version that was deployed before (a
//! rollback) was reviewed before, and its commit does not change: it needs no new review.

use super::{Case, Gate, Unmet};
use crate::catalog::CatalogError;
use crate::catalog::fields::{Entry, is_none, read_small_number};
use crate::deployment::{Granted, Reference, Source};
use crate::github::{Opinion, Review, ReviewsState};
use crate::names::{GitHubLogin, PullRequestNumber};
use crate::refusal::Refusal;

/// How many people have to approve the pull request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reviews {
    /// 1 to 10.
    pub count: u8,
}

impl Gate for Option<Reviews> {
    type Sees<'a> = Case<'a>;

    fn read(entry: &Entry) -> Result<Self, CatalogError> {
        if is_none(entry) { Ok(None) } else { Ok(Some(Reviews { count: read_small_number(entry)? })) }
    }

    fn check(&self, case: &Case<'_>) -> Result<Granted, Unmet> {
        let Some(reviews) = self.filter(|_| !case.stands_still) else { return Ok(Granted::default()) };
        let (source, target) = (&case.plan.source, Box::new(case.asked.target.clone()));
        // What ran before our first deploy has no commit that we know.
        let Some(head) = &source.head else { return Ok(Granted::default()) };
        let Some(number) = of(case) else {
            return Err(Refusal::NeedsPullRequest { target, branch: source.branch.clone() }.into());
        };
        let given = approving(case.reviews, source).count();
        if given >= usize::from(reviews.count) {
            return Ok(Granted::default());
        }
        let by = |wanted: &dyn Fn(&Review) -> bool| -> Vec<GitHubLogin> {
            let theirs = case.reviews.latest.iter().filter(|review| wanted(review));
            theirs.map(|review| review.by.clone()).take(5).collect()
        };
        Err(Refusal::NotReviewed {
            target,
            number,
            url: source.url.clone(),
            head: head.clone(),
            count: reviews.count,
            given: u8::try_from(given).unwrap_or(u8::MAX),
            outdated: by(&|review| {
                review.opinion == Opinion::Approved
                    && review.of.as_ref() != Some(head)
                    && !is_author(case.reviews, source, review)
            }),
            against: by(&|review| review.opinion == Opinion::WantsChanges),
        }
        .into())
    }

    fn in_short(&self) -> Option<String> {
        self.map(|reviews| match reviews.count {
            1 => "1 review".to_owned(),
            count => format!("{count} reviews"),
        })
    }

    fn in_preview(&self, case: &Case<'_>) -> Option<String> {
        let reviews = self.filter(|_| !case.stands_still && of(case).is_some())?;
        Some(format!("reviews: {} of {}", approving(case.reviews, &case.plan.source).count(), reviews.count))
    }
}

/// The pull request that is reviewed: that which is deployed, or was merged as the branch's newest commit.
fn of(case: &Case<'_>) -> Option<PullRequestNumber> {
    match case.plan.source.reference {
        Reference::PullRequest(number) => Some(number),
        Reference::Branch(_) | Reference::Tag(_) | Reference::Commit(_) => case.reviews.merged,
        Reference::Channel(_) => None,
    }
}

/// The reviews that count.
pub(super) fn approving<'a>(state: &'a ReviewsState, source: &'a Source) -> impl Iterator<Item = &'a Review> {
    state.latest.iter().filter(|review| {
        let is_of_head = review.of.is_some() && review.of == source.head;
        review.opinion == Opinion::Approved && is_of_head && !is_author(state, source, review)
    })
}

fn is_author(state: &ReviewsState, source: &Source, review: &Review) -> bool {
    [&source.author, &state.head_author].into_iter().flatten().any(|author| *author == review.by)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::gates::tests::Example;
    use crate::deployment::samples::sha;
    use Opinion::{Approved, Dismissed, WantsChanges};

    fn login(name: &str) -> GitHubLogin {
        GitHubLogin::parse(name).unwrap()
    }

    const ONE: Option<Reviews> = Some(Reviews { count: 1 });

    /// Pull request 42 by bob, whose newest commit `aaaaaaa` is by carol, with these reviews.
    fn reviewed(reviews: &[(&str, Opinion, char)]) -> Example {
        let review =
            |(by, opinion, of): &(&str, Opinion, char)| Review { by: login(by), opinion: *opinion, of: Some(sha(*of)) };
        let latest = reviews.iter().map(review).collect();
        let reviews = ReviewsState { head_author: Some(login("carol")), latest, merged: None };
        Example { reviews, ..Example::new() }
    }

    #[test]
    fn an_approval_counts_if_it_is_of_the_newest_commit_and_by_no_author() {
        let check = |reviews: &[(&str, Opinion, char)], count: u8, given: usize| {
            let (example, gate) = (reviewed(reviews), Some(Reviews { count }));
            assert_eq!(example.in_preview(&gate), Some(format!("reviews: {given} of {count}")), "{reviews:?}");
            let said = example.check(&gate);
            assert_eq!(said == "passes", given >= usize::from(count), "{reviews:?}: {said}");
            assert_eq!(example.check(&None::<Reviews>), "passes");
            assert_eq!(example.in_preview(&None::<Reviews>), None);
        };
        check(&[], 1, 0);
        check(&[("dave", Approved, 'a')], 1, 1);
        check(&[("dave", Approved, 'b')], 1, 0);
        check(&[("bob", Approved, 'a')], 1, 0);
        check(&[("carol", Approved, 'a')], 1, 0);
        check(&[("dave", WantsChanges, 'a')], 1, 0);
        check(&[("dave", Dismissed, 'a')], 1, 0);
        check(&[("dave", Approved, 'a'), ("erin", WantsChanges, 'a')], 1, 1);
        check(&[("dave", Approved, 'a'), ("erin", Approved, 'b'), ("bob", Approved, 'a')], 2, 1);
        check(&[("dave", Approved, 'a'), ("erin", Approved, 'a')], 2, 2);
    }

    #[test]
    fn a_review_of_no_commit_does_not_count() {
        let mut example = reviewed(&[("dave", Approved, 'a')]);
        example.reviews.latest[0].of = None;
        assert!(example.check(&ONE).starts_with("not deployed"));
    }

    #[test]
    fn what_is_missing_is_said_with_a_link_to_the_pull_request() {
        let said = reviewed(&[]).check(&ONE);
        insta::assert_snapshot!(said, @"not deployed: checkout@production needs 1 approving review of commit `aaaaaaa`, and <https://github.com/acme/checkout/pull/42|pull request #42> has none. Ask somebody who can write to the repository, but isn't an author, to approve it there. Then try again.");
        let more = reviewed(&[("dave", Approved, 'a'), ("erin", Approved, 'b'), ("frank", WantsChanges, 'a')]);
        insta::assert_snapshot!(more.check(&Some(Reviews { count: 2 })), @"not deployed: checkout@production needs 2 approving reviews of commit `aaaaaaa`, and <https://github.com/acme/checkout/pull/42|pull request #42> has 1. erin approved another commit. frank asked for changes. Ask somebody who can write to the repository, but isn't an author, to approve it there. Then try again.");
    }

    #[test]
    fn a_branch_is_refused_and_an_earlier_version_passes() {
        let mut example = reviewed(&[]);
        example.plan.source.reference = Reference::Branch(example.plan.source.branch.clone().unwrap());
        insta::assert_snapshot!(example.check(&ONE), @"not deployed: checkout@production takes only reviewed pull requests, and `faster-cart` is a branch. Open a pull request, have it reviewed, and deploy it by its number, like `/deploy checkout@production 42`.");
        assert_eq!(example.in_preview(&ONE), None);
        // As the merge of a pull request, it is as good as that.
        example.reviews.merged = Some(PullRequestNumber(50));
        assert!(example.check(&ONE).contains("#50"), "{}", example.check(&ONE));
        example.reviews.latest = reviewed(&[("dave", Approved, 'a')]).reviews.latest;
        assert_eq!(
            (example.check(&ONE).as_str(), example.in_preview(&ONE).as_deref()),
            ("passes", Some("reviews: 1 of 1"))
        );
        example.stands_still = true;
        assert_eq!(example.check(&ONE), "passes");
        let mut example = reviewed(&[]);
        example.stands_still = true;
        assert_eq!(example.check(&ONE), "passes");
        assert_eq!(example.in_preview(&ONE), None);
    }
}
