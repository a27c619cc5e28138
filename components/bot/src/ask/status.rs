//! `status`, `history` and `apps`: what is known of the targets.

use super::{Asking, Response};
use crate::context::Stop;
use crate::deploy::{catalog, versions};
use crate::world::World;
use domain::catalog::Environment;
use domain::command::TargetWords;
use domain::message::{self, TargetStatus};
use domain::names::Target;
use futures::future::join_all;
use store::{Current, Live, Lock, LockOfAll, Locks, LocksOfAll};

/// How many targets one `status` shows.
const MOST: usize = 20;

pub(super) async fn of_all<W: World>(ask: &Asking<'_, W>) -> Result<Response, Stop> {
    let (_, catalog) = catalog::read_catalog(&ask.cx).await?;
    let mut targets = Vec::new();
    for app in catalog.apps.values() {
        for (name, environment) in &app.environments {
            targets.push((Target { app: app.name.clone(), environment: name.clone() }, environment));
        }
    }
    let more = targets.len().saturating_sub(MOST);
    let all = join_all(targets.into_iter().take(MOST).map(|(target, environment)| status(ask, target, environment)));
    say(ask, &all.await.into_iter().collect::<Result<Vec<_>, _>>()?, more).await
}

pub(super) async fn of_one<W: World>(ask: &Asking<'_, W>, words: &TargetWords) -> Result<Response, Stop> {
    let (target, environment) = catalog::find_target(&ask.cx, words).await?;
    say(ask, &[status(ask, target, &environment).await?], 0).await
}

async fn say<W: World>(ask: &Asking<'_, W>, all: &[TargetStatus], more: usize) -> Result<Response, Stop> {
    let world = ask.cx.world;
    let lock = store::load_key(world, LockOfAll).await?.filter(|lock| lock.holds(world.now()));
    Ok(Response::Asker(message::status_of(all, lock.as_ref(), more)))
}

async fn status<W: World>(
    ask: &Asking<'_, W>,
    target: Target,
    environment: &Environment,
) -> Result<TargetStatus, Stop> {
    let (world, argocd, now) = (ask.cx.world, &environment.argocd, ask.cx.world.now());
    let live = match store::load_key(world, Live(argocd)).await? {
        Some(live) => Some(store::load(world, &live.id).await?),
        None => None,
    };
    let under_way = match store::load_key(world, Current(argocd)).await? {
        Some(current) => {
            let facts = store::load(world, &current.id).await?;
            Some(facts).filter(|facts| facts.keeps_busy(now, &ask.cx.settings.limits))
        }
        None => None,
    };
    let lock = store::load_key(world, Lock(argocd)).await?.filter(|lock| lock.holds(now));
    Ok(TargetStatus { target, live, under_way, lock, frozen: environment.gates.frozen_until(now) })
}

pub(super) async fn history<W: World>(ask: &Asking<'_, W>, words: &TargetWords) -> Result<Response, Stop> {
    let (target, environment) = catalog::find_target(&ask.cx, words).await?;
    let (world, argocd) = (ask.cx.world, &environment.argocd);
    let past = versions::remembered(&ask.cx, argocd).await?;
    let own = store::load_key(world, Locks(argocd)).await?.unwrap_or_default();
    let all = store::load_key(world, LocksOfAll).await?.unwrap_or_default();
    Ok(Response::Asker(message::history(&target, &past, &own.changes, &all.changes)))
}

pub(super) async fn apps<W: World>(ask: &Asking<'_, W>) -> Result<Response, Stop> {
    Ok(Response::Asker(message::apps(&catalog::read_catalog(&ask.cx).await?.1)))
}
