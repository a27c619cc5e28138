//! A holder that slept inside a call: what it sent may arrive late, over what others have done since. Neither Slack nor Argo CD can be fenced
//! against that, so whoever wakes and finds its lease lost mends it: [`Calls`] say what may have come late, [`tell_again`] puts final words
//! back, and [`deployment::overtaken`](crate::deployment::overtaken) says which sync has to be asked for again.

use crate::clock::Clock;
use crate::deployment::Facts;
use crate::log::{Line, World};
use crate::names::DeploymentId;
use crate::slack::{self, Message, Slack, SlackError};
use crate::store::{self, Lease, Redis, Speech, Urgency};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long it is tried to tell final words again, and how long after the time before: a watch that does so keeps the next one waiting.
const PATIENCE: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_secs(3);

/// Calls under a lease that change something elsewhere, each by what it is about; when it was answered, if it was.
pub struct Calls<K>(RefCell<BTreeMap<K, Option<Duration>>>);

impl<K> Default for Calls<K> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<K: Ord + Clone> Calls<K> {
    /// Makes one.
    pub async fn make<T>(&self, clock: &impl Clock, about: K, call: impl Future<Output = T>) -> T {
        self.0.borrow_mut().insert(about.clone(), None);
        let answer = call.await;
        self.0.borrow_mut().insert(about, Some(clock.elapsed()));
        answer
    }

    /// Those that may have taken effect when the lease was not ours any more: still on their way, or not answered before its last renewal.
    pub fn late<W: Redis + Clock>(&self, lease: &Lease<'_, W>) -> Vec<K> {
        let calls = self.0.borrow();
        let late = calls.iter().filter(|(_, answered)| answered.is_none_or(|at| !lease.was_held_at(at)));
        late.map(|(about, _)| about.clone()).collect()
    }
}

/// Tells the final words of a deployment once more where its message is, if it has any: older words of ours may stand there. Rendered from
/// final facts they are the same whoever says them and however late, so this needs no lease and writes nothing. Without final words nothing
/// is to be done: whoever says them will do so later than ours came.
pub async fn tell_again<W: World>(
    world: &W,
    slack: &Slack,
    minute: u64,
    id: &DeploymentId,
    last_words: impl Fn(&Facts) -> Option<Message>,
) {
    let until = world.elapsed().saturating_add(PATIENCE);
    while world.elapsed() < until {
        match store::load(world, id).await {
            Ok(facts) => {
                let Some((words, place)) = last_words(&facts).zip(facts.place()) else { return };
                if store::may_speak(world, minute, Speech::Edit, Urgency::Final).await.is_ok() {
                    match slack::update(world, slack, &place.channel, &place.ts, &words).await {
                        Ok(()) => return world.log(Line::error("told_again").of(id).with("cause", SLEPT)),
                        // There is nothing that our words could stand over, or nobody can change it.
                        Err(SlackError::Gone(_) | SlackError::Refused(_)) => return,
                        Err(SlackError::RateLimited(wait)) => store::quiet_slack(world, Speech::Edit, wait).await,
                        Err(SlackError::Unreachable(_)) => {}
                    }
                }
            }
            Err(error) if error.is_unreadable() => return,
            Err(_) => {}
        }
        world.sleep(AGAIN).await;
    }
    world.log(Line::error("not_told_again").of(id).with("cause", SLEPT));
}

/// Why something is done again.
pub const SLEPT: &str = "a lease was lost during a call, which may have come late";
