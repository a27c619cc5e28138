//! Settle: what became of a mutation without an answer. "Nothing was changed" is not said before that is known.

use super::stop::Stop;
use super::{Job, Run, already_written};
use crate::log::Line;
use crate::world::World;
use clients::github::{self, HistoryQuestion};
use domain::fault::{Cause, Fault, System};
use domain::message::Note;
use domain::names::{CommitSha, FilePath};
use domain::time::Timestamp;
use std::collections::BTreeSet;

/// Mutations whose outcome we do not know. While one of them may have landed, or may still, a deployment never ends with "nothing was
/// changed", whatever else goes wrong.
#[derive(Default)]
pub(crate) struct Unsettled {
    /// It has to be looked up before anything else is done.
    pub(crate) look: bool,
    /// The bases on which one of them may still land.
    pub(crate) bases: BTreeSet<CommitSha>,
}

/// Settles what is unsettled: the commit of an earlier attempt, if it landed. Returns only when that is known, and not for ever. What is
/// left in `bases` then is not there yet, but may still land.
pub(super) async fn settled<W: World>(run: &Run<'_, W>, job: &mut Job<'_>) -> Result<Option<CommitSha>, Stop> {
    while run.unsettled.borrow().look {
        match look_for_commit(run, job).await {
            Ok((Some(sha), _)) => return Ok(Some(sha)),
            Ok((None, head)) => {
                // A mutation whose base is not the head any more can never land. One whose base still is may: then the same
                // again, because only one of them can win.
                let mut unsettled = run.unsettled.borrow_mut();
                unsettled.bases.retain(|base| *base == head);
                unsettled.look = false;
            }
            Err(fault) => {
                run.cx.world.log(Line::error("unsettled").of(run.cx.id).with_json("fault", &fault));
                doubtful(run, job).await?;
            }
        }
    }
    Ok(None)
}

/// Says that it is not known, and waits a little; not for ever.
pub(super) async fn doubtful<W: World>(run: &Run<'_, W>, job: &mut Job<'_>) -> Result<(), Stop> {
    job.tell(Note::Settling);
    if run.cx.world.now() >= job.request.at.after(run.cx.settings.limits.no_end) {
        return Err(Stop::Leave("it is not known whether the commit landed"));
    }
    run.cx.world.sleep(run.cx.settings.limits.settle).await;
    Ok(())
}

/// The commit of an attempt on the branch, if it is there, and the branch's head.
async fn look_for_commit<W: World>(run: &Run<'_, W>, job: &Job<'_>) -> Result<(Option<CommitSha>, CommitSha), Fault> {
    let Some(commit) = &job.facts.commit else {
        let part = "no attempt was made".to_owned();
        return Err(Fault::new(System::Store, "find out whether my commit landed", Cause::Nonsense { part }));
    };
    let since = Timestamp(job.request.at.0.saturating_sub(300_000));
    let paths: BTreeSet<FilePath> = commit
        .attempts
        .iter()
        .flat_map(|attempt| attempt.files.keys())
        .chain(commit.target().files.iter())
        .cloned()
        .collect();
    let paths: Vec<FilePath> = paths.into_iter().collect();
    let github = &run.cx.settings.github;
    let touching = paths.first().filter(|_| !commit.may_change_nothing());
    let (repo, branch) = (&commit.plan.gitops.repo, &commit.plan.gitops.branch);
    let question = HistoryQuestion { repo, branch, paths: &paths, touching, since };
    let history = github::history(run.cx.world, github, &question).await?;
    let found = history
        .commits
        .iter()
        .find(|past| commit.is_ours(run.cx.id, &already_written::candidate(&run.cx, past, &history.viewer)));
    match found {
        Some(past) => Ok((Some(past.sha.clone()), history.head)),
        None if history.complete => Ok((None, history.head)),
        None => Err(Fault::new(System::GitHub, "find out whether my commit landed", Cause::TooLarge)),
    }
}
