//! The reviews of a pull request, and of a branch that is the merge of one.

use super::answer::{Part, commit_sha, login, text};
use domain::github::{Opinion, Review, ReviewsState};
use domain::names::{BranchName, PullRequestNumber};
use serde_json::Value;

/// Of each person the latest review that approves, asks for changes or was dismissed; a mere comment is none.
/// More than a hundred such people are not read, and do not count. From GitHub's public schema
/// (`PullRequest`, `PullRequestReview`): <https://docs.github.com/public/fpt/schema.docs.graphql>
pub(super) const REVIEWS: &str = "
      latestOpinionatedReviews(first: 100, writersOnly: true) { nodes { state author { __typename login } commit { oid } } }";
pub(super) const HEAD_AUTHOR: &str = "
      headRef { target { oid ... on Commit { author { user { login } } } } }";
/// The pull request that a commit is the merge of. Its branch may be gone by now, its commits are not.
pub(super) const MERGED: &str = " tree { oid }
      associatedPullRequests(first: 5) { nodes { number headRefOid author { login } baseRefName
      baseRepository { nameWithOwner } mergeCommit { oid }
      commits(last: 1) { nodes { commit { oid tree { oid } author { user { login } } } } }";

/// The reviews of the pull request that this commit is the merge of. Somebody who may push can merge something else by hand, and
/// GitHub takes that for the merge. So the merge must have exactly the files of the pull request's newest commit. The pull
/// request must be of this repository, not of a fork, and for this branch.
pub(super) fn read_merged(head: &Value, (own_name, branch): (&str, &BranchName)) -> Option<ReviewsState> {
    let merge = commit_sha(head, "/oid").ok()?;
    // On a branch that is not the default one, open pull requests with the commit are among them.
    let all = head.pointer("/associatedPullRequests/nodes")?.as_array()?;
    let pr = all.iter().find(|pr| {
        let repo = text(pr, "/baseRepository/nameWithOwner");
        text(pr, "/mergeCommit/oid") == Some(merge.as_str())
            && repo.is_some_and(|repo| repo.eq_ignore_ascii_case(own_name))
            && text(pr, "/baseRefName") == Some(branch.as_str())
    })?;
    let own = pr.pointer("/commits/nodes/0/commit").filter(|own| own.get("oid") == pr.get("headRefOid"))?;
    let tree = text(head, "/tree/oid")?;
    if text(own, "/tree/oid") != Some(tree) {
        return None;
    }
    let (reviewed, author) = (commit_sha(own, "/oid").ok()?, login(pr, "/author/login"));
    let mut latest = read_opinions(pr).ok()?;
    latest.retain(|review| Some(&review.by) != author.as_ref());
    for review in latest.iter_mut().filter(|review| review.of.as_ref() == Some(&reviewed)) {
        review.of = Some(merge.clone());
    }
    let number = PullRequestNumber(u32::try_from(pr.get("number")?.as_u64()?).ok()?);
    Some(ReviewsState { head_author: login(own, "/author/user/login"), latest, merged: Some(number) })
}

/// A review without an author is of an account that is gone. An app is no person: its review is left out.
fn read_opinions(pr: &Value) -> Part<Vec<Review>> {
    let nodes = pr.pointer("/latestOpinionatedReviews/nodes").and_then(Value::as_array).ok_or("a list of reviews")?;
    let latest = nodes.iter().filter(|node| text(node, "/author/__typename") == Some("User"));
    let latest = latest.filter_map(|node| {
        let opinion = match text(node, "/state")? {
            "APPROVED" => Opinion::Approved,
            "CHANGES_REQUESTED" => Opinion::WantsChanges,
            _ => Opinion::Dismissed,
        };
        Some(Review { by: login(node, "/author/login")?, opinion, of: commit_sha(node, "/commit/oid").ok() })
    });
    Ok(latest.collect())
}

pub(super) fn read_reviews(pr: &Value) -> Part<ReviewsState> {
    let latest = read_opinions(pr)?;
    // The branch of a closed pull request may be gone. Who wrote its newest commit is not known then, and
    // nothing counts.
    let Some(head) = pr.pointer("/headRef/target").filter(|head| head.get("oid") == pr.get("headRefOid")) else {
        return Ok(ReviewsState::default());
    };
    Ok(ReviewsState { head_author: login(head, "/author/user/login"), latest, merged: None })
}
