//! What GitHub says of a commit and of a pull request, in our words.

use crate::names::{CommitSha, GitHubLogin, PullRequestNumber};
use serde::{Deserialize, Serialize};

/// What all checks of a commit come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChecksState {
    /// All of them.
    Passed,
    /// Some have not ended.
    Running,
    /// At least one of them.
    Failed,
}

/// The reviews of a pull request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReviewsState {
    /// Who wrote the newest commit of the pull request, as far as GitHub knows an account for it.
    pub head_author: Option<GitHubLogin>,
    /// The latest opinion of each person with write access.
    pub latest: Vec<Review>,
    /// They are of this pull request, and it was merged to the branch that is looked at: the merge is the branch's newest
    /// commit, and has exactly the files of the pull request's newest commit.
    pub merged: Option<PullRequestNumber>,
}

/// What one person says of a pull request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Review {
    pub by: GitHubLogin,
    pub opinion: Opinion,
    /// The newest commit of the pull request at that time.
    pub of: Option<CommitSha>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opinion {
    Approved,
    WantsChanges,
    /// Somebody dismissed the review.
    Dismissed,
}
