//! What a pull request shows of its deploys, in GitHub's states and a few words.
//!
//! A repository may be public although the channel is not. So there are no names of people, and nothing that
//! Argo CD says about the cluster. The link to the message leads to the rest.

use crate::deployment::{CommitFact, DeploymentState, LastWord};
use crate::names::CommandName;

pub fn of_deploy(commit: &CommitFact, command: &CommandName) -> String {
    let what = if commit.target().rollback { "rollback to " } else { "" };
    format!("{what}{}, by {command} in Slack", commit.target().tag)
}

/// How the deploy goes, after the commit. Without a last word the deploy is on its way.
pub fn on_pull_request(word: Option<&LastWord>) -> (DeploymentState, &'static str) {
    match word {
        None => (DeploymentState::InProgress, "On its way"),
        Some(LastWord::Live { .. }) => (DeploymentState::Success, "Live and healthy"),
        Some(LastWord::Failed { .. }) => (DeploymentState::Failure, "Failed"),
        Some(LastWord::Superseded { .. }) => (DeploymentState::Inactive, "Replaced by another deploy or sync"),
        Some(LastWord::TimedOut { .. }) => (DeploymentState::Error, "Not live in time, but may become so"),
        Some(LastWord::Unknown | LastWord::Lost { .. }) => (DeploymentState::Error, "Not known how it ended"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deployment::samples::{commit, commit_to, live, target_plan};
    use crate::deployment::{Failure, TargetPlan};

    #[test]
    fn what_a_pull_request_shows() {
        let words = [
            None,
            Some(live()),
            Some(LastWord::Failed { failure: Failure::NoApplication }),
            Some(LastWord::Superseded { by_deployment: None, by_person: Some("eve".to_owned()) }),
            Some(LastWord::TimedOut { waiting: None, health: Some("Progressing".to_owned()) }),
            Some(LastWord::Unknown),
        ];
        let shown = words.iter().map(|word| format!("{:?}", on_pull_request(word.as_ref())));
        insta::assert_snapshot!(shown.collect::<Vec<_>>().join("\n"), @r#"
        (InProgress, "On its way")
        (Success, "Live and healthy")
        (Failure, "Failed")
        (Inactive, "Replaced by another deploy or sync")
        (Error, "Not live in time, but may become so")
        (Error, "Not known how it ended")
        "#);
        assert_eq!(
            of_deploy(&commit(), &CommandName::default()),
            format!("{}, by /deploy in Slack", commit().target().tag)
        );
        let back = commit_to(TargetPlan { rollback: true, ..target_plan() });
        assert_eq!(
            of_deploy(&back, &CommandName::sent("/ship")),
            format!("rollback to {}, by /ship in Slack", back.target().tag)
        );
    }
}
