//! A holder that slept inside a call: what it sent may arrive late, over what others have done since. Neither Slack nor Argo CD can be fenced
//! against that, so whoever wakes and finds its lease lost mends it: [`store::Calls`] say what may have come late, [`tell_again`] puts final words
//! back, and [`deployment::overtaken`](domain::deployment::overtaken) says which sync has to be asked for again.

use crate::log::Line;
use crate::world::World;
use clients::slack;
use clients::slack::{Slack, SlackError};
use domain::deployment::Facts;
use domain::message::Message;
use domain::names::DeploymentId;
use std::time::Duration;
use store::{Speech, Urgency};

/// How long it is tried to tell final words again, and how long after the time before: a watch that does so keeps the next one waiting.
const PATIENCE: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_secs(3);

/// Tells the final words of a deployment once more where its message is, if it has any: older words of ours may stand there. Rendered from
/// final facts they are the same whoever says them and however late, so this needs no lease and writes nothing. Without final words nothing
/// is to be done: whoever says them will do so later than ours came.
pub(crate) async fn tell_again<W: World>(
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
pub(crate) const SLEPT: &str = "a lease was lost during a call, which may have come late";
