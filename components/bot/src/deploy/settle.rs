//! Whose commit is it? After a mutation without an answer: did our commit land? "Nothing was changed" is not
//! said before that is known. If the wanted tag is in the file already: the bot syncs only its own commits,
//! so whose commit wrote the tag?

use super::prepare::{self, Site};
use super::{Job, Run, versions};
use crate::context::{Context, Stop};
use crate::world::{Line, World};
use clients::github::{self, HistoryQuestion, PastCommit, Snapshot};
use domain::deployment::{Candidate, CommittedFact, Taken, TargetPlan, until};
use domain::fault::{Cause, Fault, Passing, System};
use domain::message::{self, Note};
use domain::names::{CommitSha, DeploymentId, FilePath, GitHubLogin};
use domain::refusal::Refusal;
use domain::time::Timestamp;
use std::collections::BTreeSet;
use std::time::Duration;
use store::Current;

/// Mutations whose outcome we do not know. While one of them may have landed, or may still, a deployment
/// never ends with "nothing was changed", whatever else goes wrong.
#[derive(Default)]
pub(crate) struct Unsettled {
    /// Whether one of them landed has to be looked up before anything else is done.
    pub(crate) look: bool,
    /// The bases on which one of them may still land.
    pub(crate) bases: BTreeSet<CommitSha>,
}

/// Finds the commit of an earlier attempt, if it landed. `None`: none landed so far; those left in `bases`
/// still may. Gives up at `no_end`.
pub(super) async fn find_landed_commit<W: World>(
    run: &Run<'_, W>,
    job: &mut Job<'_>,
) -> Result<Option<CommitSha>, Stop> {
    while run.unsettled.borrow().look {
        match look_for_commit(run, job).await {
            Ok((Some(sha), _)) => return Ok(Some(sha)),
            Ok((None, head)) => {
                // A mutation whose base is not the head any more can never land. A mutation whose base is
                // still the head may: then the same mutation is sent again, because only one of them can win.
                let mut unsettled = run.unsettled.borrow_mut();
                unsettled.bases.retain(|base| *base == head);
                unsettled.look = false;
            }
            Err(fault) => {
                run.cx.world.log(Line::error("unsettled").of(run.cx.id).with_json("fault", &fault));
                let pause = match fault.passing() {
                    Passing::Pause(Some(pause)) => pause,
                    Passing::Pause(None) | Passing::Soon | Passing::Never => Duration::ZERO,
                };
                wait_for_outcome(run, job, pause).await?;
            }
        }
    }
    Ok(None)
}

/// Tells the person that the outcome is not known yet, and waits, longer if GitHub wants a pause. Gives up at
/// `no_end`.
pub(super) async fn wait_for_outcome<W: World>(
    run: &Run<'_, W>,
    job: &mut Job<'_>,
    pause: Duration,
) -> Result<(), Stop> {
    let limits = &run.cx.settings.limits;
    job.tell(Note::Settling);
    let left = until(job.request.at.after(limits.no_end), run.cx.world.now());
    if left.is_zero() {
        return Err(Stop::Leave("it is not known whether the commit landed"));
    }
    run.cx.world.sleep(pause.min(left).max(limits.settle)).await;
    Ok(())
}

/// The commit of an attempt on the branch, if it is there, and the branch's head.
async fn look_for_commit<W: World>(run: &Run<'_, W>, job: &Job<'_>) -> Result<(Option<CommitSha>, CommitSha), Fault> {
    let Some(commit) = &job.facts.commit else {
        let part = "no attempt was made".to_owned();
        return Err(Fault::new(System::Store, "find out whether my commit landed", Cause::Nonsense { part }));
    };
    let since = Timestamp(job.request.at.0.saturating_sub(300_000));
    let attempted = commit.attempts.iter().flat_map(|attempt| attempt.files.keys());
    let paths: BTreeSet<FilePath> = attempted.chain(commit.target().files.iter()).cloned().collect();
    let paths: Vec<FilePath> = paths.into_iter().collect();
    let github = &run.cx.settings.github;
    let touching = paths.first().filter(|_| !commit.may_change_nothing());
    let (repo, branch) = (&commit.plan.gitops.repo, &commit.plan.gitops.branch);
    let question = HistoryQuestion { repo, branch, paths: &paths, touching, since };
    let history = github::history(run.cx.world, github, &question).await?;
    let found =
        history.commits.iter().find(|past| commit.is_ours(run.cx.id, &candidate(&run.cx, past, &history.viewer)));
    match found {
        Some(past) => Ok((Some(past.sha.clone()), history.head)),
        None if history.complete => Ok((None, history.head)),
        None => Err(Fault::new(System::GitHub, "find out whether my commit landed", Cause::TooLarge)),
    }
}

/// The wanted tag is in the file already. We sync it if the last commit to the file is ours, or if a commit
/// of ours took it over. A person who was told whose commit it is may ask for a takeover.
pub(super) async fn already_written<W: World>(
    site: &Site<'_, W>,
    target: &TargetPlan,
    snapshot: &Snapshot,
) -> Result<Written, Stop> {
    match who_wrote(site, target, snapshot).await? {
        Written::ByUs { sha, reused: true, taken, .. } => {
            let newest = newest_there(site.cx, target, &sha, &snapshot.head).await?;
            let beyond = newest.is_some();
            let sha = newest.unwrap_or(sha);
            if is_never_rendered(site, &sha, &snapshot.head).await?
                || has_changed_since(site, &sha, beyond || taken.is_some(), snapshot).await?
            {
                return Ok(Written::Outdated { taken });
            }
            Ok(Written::ByUs { sha, reused: true, beyond, taken })
        }
        other => Ok(other),
    }
}

/// Whether Argo CD keeps an error of that commit, as the deployment has shown that is tried again. Of the branch's head Argo CD
/// can be made to forget it.
async fn is_never_rendered<W: World>(site: &Site<'_, W>, sha: &CommitSha, head: &CommitSha) -> Result<bool, Stop> {
    let Some(of) = site.request.origin.retried().filter(|_| sha != head) else { return Ok(false) };
    let facts = store::load(site.cx.world, of).await?;
    let is_it = facts.committed.as_ref().is_some_and(|committed| committed.sha == *sha);
    Ok(is_it && facts.outcome.is_some_and(|outcome| outcome.word.is_kept_error()))
}

/// Whether somebody has changed the app's folder since that commit of ours: mended its chart, say. `is_elsewhere`: the
/// commit may be newer than the live one, and yet GitHub does not list it for the folder.
async fn has_changed_since<W: World>(
    site: &Site<'_, W>,
    sha: &CommitSha,
    is_elsewhere: bool,
    snapshot: &Snapshot,
) -> Result<bool, Stop> {
    let (cx, touches) = (site.cx, &snapshot.since_live);
    let ours = prepare::ours(cx, touches).await?;
    let later = touches.iter().map(|touch| &touch.sha).take_while(|touch| *touch != sha);
    let theirs: Vec<&CommitSha> = later.filter(|touch| !ours.contains(*touch)).collect();
    if theirs.is_empty() {
        return Ok(false);
    }
    if !is_elsewhere || touches.iter().any(|touch| touch.sha == *sha) {
        return Ok(true);
    }
    let (github, repo) = (&cx.settings.github, &cx.settings.gitops.repo);
    let since = cx.read(async || github::compare(cx.world, github, repo, sha, &snapshot.head).await).await?;
    Ok(theirs.iter().any(|touch| since.commits.iter().any(|commit| commit.sha == **touch)))
}

/// Never an older commit after a newer one: it would take away what a deploy of another target has brought to the same
/// application since. The newer one has our tag, too.
async fn newest_there<W: World>(
    cx: &Context<'_, W>,
    target: &TargetPlan,
    sha: &CommitSha,
    head: &CommitSha,
) -> Result<Option<CommitSha>, Stop> {
    let (github, repo) = (&cx.settings.github, &cx.settings.gitops.repo);
    let compare = async |base: &CommitSha, of: &CommitSha| {
        cx.read(async || github::compare(cx.world, github, repo, base, of).await).await
    };
    let mut newest = None;
    for application in target.applications.iter() {
        let last = store::load_key(cx.world, Current(application)).await?.and_then(|current| current.last);
        let Some(last) = last else { continue };
        let Some(last) = store::load_fact::<CommittedFact>(cx.world, &last).await? else { continue };
        let known = newest.as_ref().unwrap_or(sha);
        let is_newer = last.sha != *known
            && compare(known, &last.sha).await?.behind == 0
            && compare(&last.sha, head).await?.behind == 0;
        if is_newer {
            newest = Some(last.sha);
        }
    }
    Ok(newest)
}

async fn who_wrote<W: World>(site: &Site<'_, W>, target: &TargetPlan, snapshot: &Snapshot) -> Result<Written, Stop> {
    let cx = site.cx;
    let files: Vec<FilePath> = target.files.iter().cloned().collect();
    let (github, repo) = (&cx.settings.github, &cx.settings.gitops.repo);
    let read = async || github::last_touch(cx.world, github, repo, &snapshot.head, &files).await;
    let touches = cx.read(read).await?;
    let mut newest = None;
    for file in &files {
        let Some(past) = touches.get(file) else {
            let part = "the last commit of a values file".to_owned();
            return Err(Fault::new(System::GitHub, "see who wrote the tag", Cause::Nonsense { part }).into());
        };
        let Some((id, at)) = written_by_us(cx, target, past, snapshot).await? else {
            return written_by_others(site, target, past, snapshot).await;
        };
        // Of several files that were written one after the other, the last of those commits has them all.
        if newest.as_ref().is_none_or(|(known, _, _)| at > *known) {
            newest = Some((at, past.sha.clone(), id != *cx.id));
        }
    }
    match newest {
        Some((_, sha, reused)) => Ok(Written::ByUs { sha, reused, beyond: false, taken: None }),
        None => Err(Stop::Leave("there is no values file")),
    }
}

/// Whose deployment of ours made that commit, and when that was known. A deploy of another target left our tag in the
/// file as it was: it counts if our tag is the one that was deployed last.
async fn written_by_us<W: World>(
    cx: &Context<'_, W>,
    plan: &TargetPlan,
    past: &PastCommit,
    snapshot: &Snapshot,
) -> Result<Option<(DeploymentId, Option<Timestamp>)>, Stop> {
    let ids = message::deploy_ids(&past.message);
    // Of several targets in one commit, each has a deployment of its own.
    let (mut id, mut other) = match ids.first() {
        Some(id) => (id, store::load(cx.world, id).await?),
        None => return Ok(None),
    };
    for part in ids.iter().skip(1) {
        let facts = store::load(cx.world, part).await?;
        if facts.commit.as_ref().is_some_and(|theirs| theirs.target().target == plan.target) {
            (id, other) = (part, facts);
        }
    }
    let recorded = other.committed.as_ref().is_some_and(|committed| committed.sha == past.sha);
    let ours = match &other.commit {
        Some(theirs) if theirs.target().target == plan.target => {
            recorded || theirs.is_ours(id, &candidate(cx, past, &snapshot.viewer))
        }
        Some(_) if recorded => {
            versions::past(cx, &plan.target).await?.first().is_some_and(|(_, newest)| newest.tag == plan.tag)
        }
        _ => false,
    };
    Ok(ours.then(|| (id.clone(), other.committed.map(|committed| committed.at))))
}

/// Somebody else's commit put the tag there. We sync the tag if a commit of ours took it over, or if the
/// request asks for that.
async fn written_by_others<W: World>(
    site: &Site<'_, W>,
    target: &TargetPlan,
    past: &PastCommit,
    snapshot: &Snapshot,
) -> Result<Written, Stop> {
    let Site { cx, request, .. } = site;
    if let Some((sha, before)) = taken_over(cx, target, &past.sha, &snapshot.head).await? {
        return Ok(Written::ByUs { sha, reused: true, beyond: false, taken: Some(Box::new(before)) });
    }
    if request.origin.takes_over(&past.sha) {
        let newest = match snapshot.since_live.first() {
            Some(touch) => touch.sha.clone(),
            None => versions::since(cx, &target.target).await?.unwrap_or_else(|| past.sha.clone()),
        };
        return Ok(Written::ToTakeOver(Taken { wrote: past.sha.clone(), by: past.author.clone(), newest }));
    }
    let (tag, head) = (target.tag.clone(), target.source.head.clone().filter(|_| !target.rollback));
    Err(Refusal::AlreadyWritten { tag, by: past.author.clone(), commit: past.sha.clone(), head }.into())
}

/// The commit of ours that has taken over what the commit `wrote` put there, if ours is still on the branch.
async fn taken_over<W: World>(
    cx: &Context<'_, W>,
    target: &TargetPlan,
    wrote: &CommitSha,
    head: &CommitSha,
) -> Result<Option<(CommitSha, TargetPlan)>, Stop> {
    let past = versions::past(cx, &target.target).await?;
    let known = past.iter().find(|(_, before)| before.tag == target.tag && before.took_over.as_ref() == Some(wrote));
    let Some(known) = known else { return Ok(None) };
    let Some(before) = versions::plan_of(cx, known).await? else { return Ok(None) };
    let sha = known.1.sha.clone();
    let (github, repo) = (&cx.settings.github, &cx.settings.gitops.repo);
    match cx.read(async || github::compare(cx.world, github, repo, &sha, head).await).await {
        Ok(compared) => Ok((compared.behind == 0).then_some((sha, before))),
        Err(fault) => {
            // Our commit is not known to be there: another takeover is needed.
            cx.world.log(Line::new("not_compared").of(cx.id).with_json("fault", &fault));
            Ok(None)
        }
    }
}

/// A commit as the question "is it ours?" wants it.
fn candidate<'p, W: World>(cx: &Context<'_, W>, past: &'p PastCommit, viewer: &GitHubLogin) -> Candidate<'p> {
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
        /// The commit is another deployment's.
        reused: bool,
        /// It is a newer one of another target in the same application.
        beyond: bool,
        /// The plan by which our commit took over what somebody else had written.
        taken: Option<Box<TargetPlan>>,
    },
    /// The same, but the app's folder has changed since, or Argo CD keeps an error of that commit. A commit of ours that
    /// changes nothing mends that.
    Outdated {
        /// The plan by which our commit took over what somebody else had written.
        taken: Option<Box<TargetPlan>>,
    },
    /// Somebody else's commit, and the request asks to take it over.
    ToTakeOver(Taken),
}
