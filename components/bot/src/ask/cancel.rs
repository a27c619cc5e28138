//! The wish to cancel. Only the process that carries the deployment out turns the wish into an end.

use super::{Answered, Asking, Response, ToCarryOut};
use crate::deploy::{carry_lease, catalog, gates};
use crate::world::{Line, World};
use domain::command::TargetWords;
use domain::deployment::{CancelFact, Facts};
use domain::message;
use domain::names::{DeploymentId, SlackUser};
use store::Current;

/// Cancels the deployment that has the turn at a target.
pub(super) async fn current<W: World>(ask: &Asking<'_, W>, words: &TargetWords) -> Answered {
    let (target, environment) = catalog::find_target(&ask.cx, words).await?;
    match store::load_key(ask.cx.world, Current(&environment.argocd)).await? {
        Some(current) => cancel(ask, &current.id).await,
        None => Ok((Response::words(&message::nothing_to_cancel(&target.to_string())), None)),
    }
}

pub(super) async fn cancel<W: World>(ask: &Asking<'_, W>, id: &DeploymentId) -> Answered {
    let (world, user) = (ask.cx.world, &ask.asker.user);
    let facts = store::load(world, id).await?;
    match cancellation(&facts, user) {
        Cancellation::Forgotten => return Ok((Response::words(&message::forgotten()), None)),
        Cancellation::TooLate => return Ok((Response::words(&message::too_late_to_cancel(&facts)), None)),
        Cancellation::ByAsker => {}
        Cancellation::ByOther(words) => {
            let (target, environment) = catalog::find_target(&ask.cx, &words).await?;
            gates::may_deploy(&ask.cx, user, &ask.asker.channel, &target, &environment).await?;
        }
    }
    if facts.cancel.is_none() {
        store::save_fact(world, id, &CancelFact { by: Some(user.clone()), at: world.now() }).await?;
        world.log(Line::new("cancel_wished").of(id).with("user", user.as_str()));
    }
    // Nobody carries the deployment out, so we do: to its end.
    let is_carried = store::is_held(world, &carry_lease(id)).await?;
    let next = (!is_carried).then(|| ToCarryOut { id: id.clone(), unsaved: None });
    Ok((Response::words(&message::cancelling()), next))
}

/// Whether a deployment can be cancelled, and by whom.
#[derive(Debug, PartialEq, Eq)]
enum Cancellation {
    Forgotten,
    TooLate,
    /// The person who asked for the deployment.
    ByAsker,
    /// Somebody else, who must be allowed to deploy there.
    ByOther(TargetWords),
}

fn cancellation(facts: &Facts, by: &SlackUser) -> Cancellation {
    match &facts.request {
        None => Cancellation::Forgotten,
        Some(_) if facts.state().is_final() || facts.committed.is_some() => Cancellation::TooLate,
        Some(request) if request.user == *by => Cancellation::ByAsker,
        Some(request) => Cancellation::ByOther(request.words.target()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::deployment::samples::{cancelled, commit, relayed, request, user};

    #[test]
    fn a_deployment_can_be_cancelled_until_its_commit() {
        let check = |facts: &Facts, by: &str, expected: Cancellation| {
            assert_eq!(cancellation(facts, &user(by)), expected, "{facts:?} by {by}");
        };
        let accepted = Facts { request: Some(request()), ..Facts::default() };
        let committing = Facts { commit: Some(commit()), ..accepted.clone() };
        let ended = Facts { end: Some(cancelled()), ..accepted.clone() };
        let other = || Cancellation::ByOther(TargetWords { app: "checkout".to_owned(), environment: None });
        check(&Facts::default(), "U2CERLKJA", Cancellation::Forgotten);
        check(&accepted, "U2CERLKJA", Cancellation::ByAsker);
        check(&accepted, "U7", other());
        check(&committing, "U2CERLKJA", Cancellation::ByAsker);
        check(&committing, "U7", other());
        check(&ended, "U2CERLKJA", Cancellation::TooLate);
        check(&relayed(), "U2CERLKJA", Cancellation::TooLate);
    }
}
