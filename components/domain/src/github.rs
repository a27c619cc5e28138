//! What GitHub says of a commit and of a pull request, in our words.

use crate::names::{CommitSha, GitHubLogin, PullRequestNumber};
use crate::time::Timestamp;
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

/// The checks of a commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitChecks {
    /// What all of them come to; `None`: there are none, or our token may not see them.
    pub all: Option<ChecksState>,
    /// Each of them, where the catalog names checks.
    pub runs: Vec<CheckRun>,
    /// There are others, which we did not read or may not see.
    pub more: bool,
}

/// A check that ran once. Of one that ran again, GitHub has both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckRun {
    pub name: String,
    pub kind: CheckKind,
    /// When it began; `None`: it has not begun.
    pub at: Option<Timestamp>,
    pub state: RunState,
}

/// Which of GitHub's two kinds of checks it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// A check run: a job of GitHub Actions, or of another app.
    Run,
    /// A commit status, of an older kind of CI.
    Status,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    Passed,
    /// It has not ended.
    Running,
    /// It was skipped, or ended neutral: it says nothing about the commit.
    Skipped,
    /// In any other way.
    Failed,
}

impl CommitChecks {
    /// What the check of that name comes to. Of several runs of one kind the newest counts. Where there are both kinds, both
    /// have to pass, as GitHub has it with required checks.
    pub fn of(&self, name: &str) -> Option<RunState> {
        let newest = |kind: CheckKind| {
            let runs = self.runs.iter().filter(|run| run.kind == kind && run.name == name);
            // One that waits to begin was asked for last. Of two that began at once, the worse one.
            runs.max_by_key(|run| (run.at.is_none(), run.at, run.state != RunState::Passed)).map(|run| run.state)
        };
        let mut states = [newest(CheckKind::Run), newest(CheckKind::Status)].into_iter().flatten();
        let first = states.next()?;
        Some(states.next().filter(|_| first == RunState::Passed).unwrap_or(first))
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_runs_the_newest_counts_and_both_kinds_have_to_pass() {
        use CheckKind::{Run, Status};
        use RunState::{Failed, Passed, Running, Skipped};
        let check = |runs: &[(&str, CheckKind, Option<u64>, RunState)], expected: Option<RunState>| {
            let run = |(name, kind, at, state): &(&str, CheckKind, Option<u64>, RunState)| CheckRun {
                name: (*name).to_owned(),
                kind: *kind,
                at: at.map(Timestamp),
                state: *state,
            };
            let mut runs: Vec<CheckRun> = runs.iter().map(run).collect();
            for _ in 0..2 {
                let checks = CommitChecks { runs: runs.clone(), ..CommitChecks::default() };
                assert_eq!(checks.of("build"), expected, "{runs:?}");
                runs.reverse();
            }
        };
        check(&[], None);
        check(&[("test", Run, Some(1), Passed), ("Build", Run, Some(1), Passed)], None);
        check(&[("build", Run, Some(1), Passed), ("test", Run, Some(2), Failed)], Some(Passed));
        check(&[("build", Run, Some(1), Failed), ("build", Run, Some(2), Passed)], Some(Passed));
        check(&[("build", Run, Some(1), Passed), ("build", Run, Some(2), Failed)], Some(Failed));
        check(&[("build", Run, Some(1), Passed), ("build", Run, Some(1), Failed)], Some(Failed));
        check(&[("build", Run, Some(1), Passed), ("build", Run, Some(2), Running)], Some(Running));
        check(&[("build", Run, Some(9), Passed), ("build", Run, None, Running)], Some(Running));
        check(&[("build", Run, Some(1), Skipped)], Some(Skipped));
        check(&[("build", Status, Some(1), Passed)], Some(Passed));
        check(&[("build", Status, Some(1), Failed), ("build", Status, Some(2), Passed)], Some(Passed));
        // A newer status of the same name passes no run that failed, nor the other way round.
        check(&[("build", Run, Some(1), Failed), ("build", Status, Some(2), Passed)], Some(Failed));
        check(&[("build", Status, Some(1), Running), ("build", Run, Some(2), Passed)], Some(Running));
        check(&[("build", Status, Some(1), Passed), ("build", Run, Some(2), Passed)], Some(Passed));
    }
}
