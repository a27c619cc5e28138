//! The text of a deploy commit, and what is read out of one.

use super::text::{LONG, clip};
use crate::deployment::{CommitFact, Reference, RequestFact};
use crate::names::DeploymentId;

const TRAILER: &str = "Deploy-Id: ";

/// Headline and body of a deploy commit. Line breaks are stripped from everything but our own structure, so
/// that the last line is ours.
pub fn commit_text(request: &RequestFact, commit: &CommitFact, id: &DeploymentId) -> (String, String) {
    let line = |text: &str| clip(text, LONG);
    let who = match line(&request.user_name).as_str() {
        "" => request.user.to_string(),
        name => format!("{name} ({})", request.user),
    };
    let headline = match commit.target().rollback {
        true => format!("Roll back {} to {}", commit.target().target, commit.target().tag),
        false => format!("Deploy {} {}", commit.target().target, commit.target().tag),
    };
    let headline = clip(&headline, 72);
    // Without the title: "Fixes #12" in it would close issue 12 of the GitOps repository, and "@alice" would
    // notify her.
    let source = match &commit.target().source.reference {
        Reference::PullRequest(number) => {
            format!("{}{number} ({})", commit.target().source.repo, commit.target().source.branch)
        }
        Reference::Branch(branch) => format!("{} {branch}", commit.target().source.repo),
    };
    let approved: String = commit.granted.approved_by.iter().map(|by| format!("Approved-By: {by}\n")).collect();
    let overridden = commit.granted.overridden.as_ref().map(|reason| format!("Gate-Overridden: {}\n", line(reason)));
    let overridden = overridden.unwrap_or_default();
    let taken =
        commit.target().taken.as_ref().map(|taken| format!("Written-In: {}\n", taken.wrote)).unwrap_or_default();
    let body = format!(
        "{}\n\nSource-Commit: {}\nRequested-By: {}\n{approved}{overridden}{taken}{TRAILER}{id}",
        line(&source),
        commit.target().source.head,
        line(&who),
    );
    (headline, body)
}

/// The deployment that a commit's message names in its last line. It finds a deployment and proves nothing.
pub fn deploy_id(message: &str) -> Option<DeploymentId> {
    let last = message.trim_end().lines().next_back()?;
    DeploymentId::parse(last.strip_prefix(TRAILER)?.trim()).ok()
}
