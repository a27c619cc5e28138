//! After the commit: wake the watch until the deployment has its last word.

use super::stop::Stop;
use super::{Run, WRITE, pull_request, versions};
use crate::world::World;
use domain::deployment::{Facts, LastWord, OutcomeFact};
use domain::time::Timestamp;
use futures::channel::oneshot;
use futures::future::join;
use std::time::Duration;

/// Until this moment somebody has to see that a committed deployment is watched: the watch ends it by time before.
pub(crate) fn guarded_until(facts: &Facts) -> Option<Timestamp> {
    let (committed, commit) = facts.committed.as_ref().zip(facts.commit.as_ref())?;
    Some(committed.at.after(commit.target().deadline).after(Duration::from_secs(120)))
}

/// For the message: what is new in the version. The deploy does not wait for it.
pub(super) async fn compare<W: World>(run: &Run<'_, W>, facts: &Facts) {
    let Some(commit) = facts.commit.as_ref().filter(|_| facts.changes.is_none()) else { return };
    let Some(changes) = versions::changes(&run.cx, commit.target()).await else { return };
    if run.lease.ensure(WRITE).await.is_ok() && store::save_fact(run.cx.world, run.cx.id, &changes).await.is_ok() {
        let _ = store::announce(run.cx.world, run.cx.id).await;
    }
}

/// Wakes the watch again until the last word, or until the watch would have said it. Beside that, GitHub is told.
pub(super) async fn guard<W: World>(run: &Run<'_, W>, facts: &Facts) -> Result<(), Stop> {
    let Some((commit, until)) = facts.commit.as_ref().zip(guarded_until(facts)) else { return Ok(()) };
    let (ended, last_word) = oneshot::channel();
    let (guarded, ()) = join(keep_watched(run, until, ended), pull_request::show(run, commit, until, last_word)).await;
    guarded
}

/// The last word is handed to `ended` as soon as it is seen.
async fn keep_watched<W: World>(
    run: &Run<'_, W>,
    until: Timestamp,
    ended: oneshot::Sender<LastWord>,
) -> Result<(), Stop> {
    let mut ended = Some(ended);
    while run.cx.world.now() < until {
        run.cx.world.sleep(run.cx.settings.limits.guardian).await;
        let outcome = store::load_fact::<OutcomeFact>(run.cx.world, run.cx.id).await;
        if let Ok(Some(outcome)) = outcome {
            if let Some(ended) = ended.take() {
                let _ = ended.send(outcome.word);
            }
            if let Ok(facts) = store::load(run.cx.world, run.cx.id).await
                && let Some(request) = &facts.request
            {
                if facts.end_is_told() {
                    // The same click may have come again after the end, and is in flight since.
                    return Ok(store::leave_flight(run.cx.world, run.cx.id).await?);
                }
                // A late write may have taken back that it was told, when nobody looks after it any more: it is told once more.
                let _ = store::add_in_flight(run.cx.world, run.cx.id, request.at).await;
            }
        }
        if store::is_held(run.cx.world, "watch").await == Ok(false) {
            let _ = store::wake(run.cx.world).await;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::deployment::samples::{at, relayed};

    #[test]
    fn a_deployment_is_guarded_from_its_commit_to_two_minutes_after_its_deadline() {
        // Committed after 3 s, with a deadline of 600 s.
        assert_eq!(guarded_until(&relayed()), Some(at(3 + 600 + 120)));
        assert_eq!(guarded_until(&Facts { committed: None, ..relayed() }), None);
        assert_eq!(guarded_until(&Facts { commit: None, ..relayed() }), None);
    }
}
