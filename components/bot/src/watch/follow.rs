//! One deployment in a watch: from its facts to the sync of exactly its commit, and until people are told its final state.
//!
//! What to do is decided in [`deployment::next`] from the facts alone. Save first, then speak.

use super::Watch;
use super::follower::{Ended, Follower, Nudges};
use super::sync::sync;
use crate::log::Line;
use crate::speak::Said;
use crate::world::World;
use domain::deployment;
use domain::deployment::Next;
use domain::names::DeploymentId;
use domain::time::Timestamp;
use std::time::Duration;
use store::StoreError;

/// When a deployment is followed again whose facts could not be read or written.
const AGAIN: Duration = Duration::from_secs(1);

/// Follows one deployment until its end is told, or the watch closes.
pub(crate) async fn follow<W: World>(watch: &Watch<'_, W>, id: &DeploymentId, nudges: Nudges) -> Ended {
    let follower = Follower::new(watch, id, nudges);
    loop {
        match run(&follower).await {
            Ok(ended) => return ended,
            Err(error) => {
                watch.world.log(Line::error("not_followed").of(id).with("cause", error.why()));
                if error.is_unreadable() {
                    return Ended::Settled;
                }
            }
        }
        watch.world.sleep(AGAIN).await;
        if watch.closing.get() {
            return Ended::GoesOn;
        }
    }
}

async fn run<W: World>(follower: &Follower<'_, W>) -> Result<Ended, StoreError> {
    let speaker = follower.speaker();
    loop {
        follower.reload().await?;
        let next = deployment::next(&follower.facts.borrow(), follower.world.now(), &follower.watch.settings.limits);
        match next {
            Next::LeaveAlone => {
                if follower.facts.borrow().end_is_told() {
                    // The same click came again after the end.
                    leave_flight(follower).await?;
                }
                return Ok(Ended::Settled);
            }
            Next::WaitUntil(moment) => {
                let committed = follower.facts.borrow().committed.is_some();
                let said = if committed { follower.tell(&speaker, false).await } else { Said::Done };
                follower.wait(tell_again(follower, said).map_or(moment, |again| moment.min(again))).await;
            }
            Next::Say(word) => follower.save_outcome(word).await?,
            Next::Tell => loop {
                match follower.tell(&speaker, true).await {
                    Said::Done => {
                        leave_flight(follower).await?;
                        return Ok(Ended::Settled);
                    }
                    // Many may wait for their turn: without news they tell what they know, and do not read it again.
                    Said::NotYet(again) => {
                        let nudged = follower.wait(follower.world.now().after(again)).await;
                        if nudged || follower.watch.closing.get() {
                            break;
                        }
                    }
                }
            },
            Next::Sync { refresh } => sync(follower, &speaker, refresh).await?,
        }
        if follower.watch.closing.get() {
            return Ok(Ended::GoesOn);
        }
    }
}

/// When words that could not be told are told again. All facts are read before it, so not too soon.
fn tell_again<W: World>(follower: &Follower<'_, W>, said: Said) -> Option<Timestamp> {
    let gap = follower.watch.settings.limits.edit_gap;
    match said {
        Said::Done => None,
        Said::NotYet(again) => Some(follower.world.now().after(again.max(gap))),
    }
}

/// The end is told. A deployment that never had a target stands in no ring yet. Rings are slack-command's, which takes that one out.
async fn leave_flight<W: World>(follower: &Follower<'_, W>) -> Result<(), StoreError> {
    let had_target = follower.facts.borrow().commit.is_some();
    if had_target { store::leave_flight(follower.world, follower.id).await } else { Ok(()) }
}
