//! The wanted tag is in the file already. The bot syncs only its own commits: so whose commit wrote the tag?

use super::stop::Stop;
use super::versions;
use crate::context::Context;
use crate::log::Line;
use crate::world::World;
use clients::github::{self, PastCommit, Snapshot};
use domain::deployment::{Candidate, Plan, RequestFact, Taken, TargetPlan};
use domain::fault::{Cause, Fault, System};
use domain::message;
use domain::names::{CommitSha, DeploymentId, FilePath, GitHubLogin};
use domain::refusal::Refusal;
use domain::time::Timestamp;

/// The wanted tag is in the file already. Ours to sync only if the last commit to the file is a recorded one of ours, or one of ours has
/// taken it over, which whoever knows whose it is may ask for.
pub(super) async fn already_written<W: World>(
    cx: &Context<'_, W>,
    request: &RequestFact,
    plan: &Plan,
    snapshot: &Snapshot,
) -> Result<Written, Stop> {
    let target = plan.targets.first();
    let files: Vec<FilePath> = target.files.iter().cloned().collect();
    let (github, repo) = (&cx.settings.github, &plan.gitops.repo);
    let touches = github::last_touch(cx.world, github, repo, &snapshot.head, &files).await?;
    let mut newest = None;
    for file in &files {
        let Some(past) = touches.get(file) else {
            let part = "the last commit of a values file".to_owned();
            return Err(Fault::new(System::GitHub, "see who wrote the tag", Cause::Nonsense { part }).into());
        };
        let Some((id, at)) = written_by_us(cx, target, past, snapshot).await? else {
            return written_by_others(cx, request, plan, past, snapshot).await;
        };
        // Of several files that were written one after the other, the last of those commits has them all.
        if newest.as_ref().is_none_or(|(known, _, _)| at > *known) {
            newest = Some((at, past.sha.clone(), id != *cx.id));
        }
    }
    match newest {
        Some((_, sha, reused)) => Ok(Written::ByUs { sha, reused, taken: None }),
        None => Err(Stop::Leave("there is no values file")),
    }
}

/// Whose deployment of ours made that commit, and when that was known.
async fn written_by_us<W: World>(
    cx: &Context<'_, W>,
    plan: &TargetPlan,
    past: &PastCommit,
    snapshot: &Snapshot,
) -> Result<Option<(DeploymentId, Option<Timestamp>)>, Stop> {
    let Some(id) = message::deploy_id(&past.message) else { return Ok(None) };
    let other = store::load(cx.world, &id).await?;
    let recorded = other.committed.as_ref().is_some_and(|committed| committed.sha == past.sha);
    let same_target = other.commit.as_ref().filter(|other| other.target().application() == plan.application());
    let ours =
        same_target.is_some_and(|theirs| recorded || theirs.is_ours(&id, &candidate(cx, past, &snapshot.viewer)));
    Ok(ours.then(|| (id, other.committed.map(|committed| committed.at))))
}

/// The tag is there by somebody else's commit: ours only once it was taken over, or is to be.
async fn written_by_others<W: World>(
    cx: &Context<'_, W>,
    request: &RequestFact,
    plan: &Plan,
    past: &PastCommit,
    snapshot: &Snapshot,
) -> Result<Written, Stop> {
    if let Some((sha, before)) = taken_over(cx, plan, &past.sha, &snapshot.head).await? {
        return Ok(Written::ByUs { sha, reused: true, taken: Some(Box::new(before)) });
    }
    if request.origin.takes_over(&past.sha) {
        let newest = match snapshot.since_live.first() {
            Some(touch) => touch.sha.clone(),
            None => versions::since(cx, plan.targets.first().application()).await?.unwrap_or_else(|| past.sha.clone()),
        };
        return Ok(Written::ToTakeOver(Taken { wrote: past.sha.clone(), by: past.author.clone(), newest }));
    }
    let target = plan.targets.first();
    let (tag, head) = (target.tag.clone(), (!target.rollback).then(|| target.source.head.clone()));
    Err(Refusal::AlreadyWritten { tag, by: past.author.clone(), commit: past.sha.clone(), head }.into())
}

/// A commit of ours that has taken over what that one wrote, if it still is on the branch.
async fn taken_over<W: World>(
    cx: &Context<'_, W>,
    plan: &Plan,
    wrote: &CommitSha,
    head: &CommitSha,
) -> Result<Option<(CommitSha, TargetPlan)>, Stop> {
    let target = plan.targets.first();
    let has_taken = |before: &TargetPlan| {
        before.tag == target.tag && before.taken.as_ref().is_some_and(|taken| taken.wrote == *wrote)
    };
    let past = versions::past(cx, target.application()).await?.into_iter();
    let mut pairs =
        past.filter_map(|(_, facts)| facts.committed.map(|known| (known.sha, known.commit.target().clone())));
    let Some((sha, before)) = pairs.find(|(_, before)| has_taken(before)) else { return Ok(None) };
    match github::compare(cx.world, &cx.settings.github, &plan.gitops.repo, &sha, head).await {
        Ok(compared) => Ok((compared.behind == 0).then_some((sha, before))),
        Err(fault) => {
            // Not known to be there: then it takes another one.
            cx.world.log(Line::new("not_compared").of(cx.id).with_json("fault", &fault));
            Ok(None)
        }
    }
}

/// A commit as the question "is it ours?" wants it.
pub(super) fn candidate<'p, W: World>(
    cx: &Context<'_, W>,
    past: &'p PastCommit,
    viewer: &GitHubLogin,
) -> Candidate<'p> {
    Candidate {
        parents: &past.parents,
        changed_files: past.changed_files,
        blobs: &past.blobs,
        deploy_id: message::deploy_id(&past.message),
        signed_by_github: past.signed_by_github,
        always_signed: cx.settings.github.is_public(),
        by_us: past.author.as_ref().map(|author| author == viewer),
    }
}

/// Who wrote the tag that is in the file already.
pub(crate) enum Written {
    /// A commit of ours wrote the tag, or took it over.
    ByUs {
        sha: CommitSha,
        /// It is another deployment's commit.
        reused: bool,
        /// The plan by which it took over what somebody else had written.
        taken: Option<Box<TargetPlan>>,
    },
    /// Somebody else's commit, and the request asks to take it over.
    ToTakeOver(Taken),
}
