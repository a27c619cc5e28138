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
    let who = match request.origin.by_itself() {
        Some((of, _)) => format!("deploy-bot by itself (auto_rollback), after {} of {who}", of.short()),
        None => who,
    };
    let plan = commit.target();
    let headline = match plan.rollback {
        true => format!("Roll back {} to {}", plan.target, plan.tag),
        false => format!("Deploy {} {}", plan.target, plan.tag),
    };
    // Without the title: "Fixes #12" in it would close issue 12 of the GitOps repository, and "@alice" would
    // notify her.
    let source = match &plan.source.reference {
        Reference::Channel(tag) => format!("{}, what {tag} is now", plan.source.repo),
        _ if plan.source.head.is_none() => format!("{}, the version before the first deploy", plan.source.repo),
        Reference::PullRequest(number) => match &plan.source.branch {
            Some(branch) => format!("{}{number} ({branch})", plan.source.repo),
            None => format!("{}{number}", plan.source.repo),
        },
        Reference::Tag(tag) => format!("{} tag {tag}", plan.source.repo),
        other => format!("{} {other}", plan.source.repo),
    };
    let approved: String = commit.granted.approved_by.iter().map(|by| format!("Approved-By: {by}\n")).collect();
    let overridden = commit.granted.overridden.as_ref().map(|reason| format!("Gate-Overridden: {}\n", line(reason)));
    let overridden = overridden.unwrap_or_default();
    let passed = &commit.granted.passed_over;
    let lock = commit.granted.lock_of.as_ref().map(|(by, _)| format!("the lock of {by}"));
    let passed: Vec<String> = passed.iter().cloned().chain(lock).collect();
    let passed = if passed.is_empty() { String::new() } else { format!("Passed-Over: {}\n", passed.join(", ")) };
    let taken = plan.taken.as_ref().map(|taken| format!("Written-In: {}\n", taken.wrote)).unwrap_or_default();
    let from = plan.promoted_from.as_ref().map(|from| format!("Promoted-From: {from}\n")).unwrap_or_default();
    let commit_line = plan.source.head.as_ref().map(|head| format!("Source-Commit: {head}\n")).unwrap_or_default();
    let digest = plan.digest.as_ref().map(|digest| format!("Image-Digest: {digest}\n")).unwrap_or_default();
    let body = format!(
        "{}\n\n{commit_line}{digest}{from}Requested-By: {}\n{approved}{overridden}{passed}{taken}{TRAILER}{id}",
        line(&source),
        line(&who),
    );
    (clip(&headline, 72), body)
}

/// The same of a commit with several targets: a line for each, and the deployment that each is a part of its own. The last line
/// names the deployment of all.
pub fn commit_text_of_several(
    request: &RequestFact,
    parts: &[(DeploymentId, CommitFact)],
    id: &DeploymentId,
) -> (String, String) {
    let texts: Vec<_> = parts.iter().map(|(part, commit)| commit_text(request, commit, part)).collect();
    let is_rollback = parts.iter().all(|(_, commit)| commit.target().rollback);
    let apps: Vec<&str> = parts.iter().map(|(_, commit)| commit.target().target.app.as_str()).collect();
    let headline = format!("{} {}", if is_rollback { "Roll back" } else { "Deploy" }, apps.join(", "));
    let mut body = String::new();
    for (headline, text) in &texts {
        let (said, _) = text.rsplit_once(TRAILER).unwrap_or((text, ""));
        body.push_str(&format!("{headline}\n{}\n\n", said.trim_end().replace("\n\n", "\n")));
    }
    for part in parts.iter().map(|(part, _)| part).chain(std::iter::once(id)) {
        body.push_str(&format!("{TRAILER}{part}\n"));
    }
    (clip(&headline, 72), body.trim_end().to_owned())
}

/// The deployments that a commit's message names in its last lines, the last one first.
pub fn deploy_ids(message: &str) -> Vec<DeploymentId> {
    let lines = message.trim_end().lines().rev();
    let named = lines.map_while(|line| DeploymentId::parse(line.strip_prefix(TRAILER)?.trim()).ok());
    named.take(crate::catalog::MOST_TARGETS.saturating_add(1)).collect()
}

/// The deployment that a commit's message names in its last line. It finds a deployment and proves nothing.
pub fn deploy_id(message: &str) -> Option<DeploymentId> {
    let last = message.trim_end().lines().next_back()?;
    DeploymentId::parse(last.strip_prefix(TRAILER)?.trim()).ok()
}
