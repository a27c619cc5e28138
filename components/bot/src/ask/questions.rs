//! `status`, `history` and `apps`: what is known of the targets. `preview`: what a deploy would do.

use super::{Asking, Response};
use crate::context::Stop;
use crate::deploy::{catalog, gates, prepare, seen, versions};
use crate::request::name_version;
use crate::settings::GitOps;
use crate::world::World;
use domain::catalog::{Catalog, Environment, Members};
use domain::command::{DeployWords, TargetWords};
use domain::deployment::{End, GitOpsBranch, Origin, RequestFact, TargetPlan};
use domain::message::{self, Offer, Preview, TargetStatus};
use domain::names::{DeploymentId, FilePath, Target};
use futures::future::join_all;
use store::{Live, Lock, LockOfAll, Locks, LocksOfAll, SeenApplication};

/// How many targets one `status` shows.
const MOST: usize = 20;

/// The catalog, as far as the asker may ask about it. What the asker may not ask about looks as if it were not there.
async fn readable<W: World>(ask: &Asking<'_, W>) -> Result<Catalog, Stop> {
    let (_, catalog) = catalog::read_catalog(&ask.cx).await?;
    gates::readable(&ask.cx, ask.asker.place(), catalog).await
}

async fn find<W: World>(ask: &Asking<'_, W>, words: &TargetWords) -> Result<(Target, Environment), Stop> {
    let catalog = readable(ask).await?;
    let (target, _, environment) = catalog.find(&words.app, words.environment.as_deref())?;
    Ok((target, environment.clone()))
}

pub(super) async fn of_all<W: World>(ask: &Asking<'_, W>) -> Result<Response, Stop> {
    let catalog = readable(ask).await?;
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
    let (target, environment) = find(ask, words).await?;
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
    let (world, now) = (ask.cx.world, ask.cx.world.now());
    let live = match store::load_key(world, Live(&target)).await? {
        Some(live) => Some(store::load(world, &live.id).await?),
        None => None,
    };
    let applications = catalog::known_applications(&ask.cx, environment).await?;
    let under_way = versions::under_way(&ask.cx, &target, &applications).await?.map(|(_, facts)| facts);
    let lock = store::load_key(world, Lock(&target)).await?.map(|lock| lock.ending(!environment.owners.is_empty()));
    let lock = lock.filter(|lock| lock.holds(now));
    Ok(TargetStatus {
        target,
        live,
        under_way,
        lock,
        frozen: environment.gates.frozen(now),
        closed: environment.gates.closed(now),
    })
}

pub(super) async fn history<W: World>(ask: &Asking<'_, W>, words: &TargetWords) -> Result<Response, Stop> {
    let (target, _) = find(ask, words).await?;
    let world = ask.cx.world;
    let past = versions::remembered(&ask.cx, &target).await?;
    let own = store::load_key(world, Locks(&target)).await?.unwrap_or_default();
    let all = store::load_key(world, LocksOfAll).await?.unwrap_or_default();
    Ok(Response::Asker(message::history(&target, &past, &own.changes, &all.changes)))
}

pub(super) async fn apps<W: World>(ask: &Asking<'_, W>) -> Result<Response, Stop> {
    let catalog = readable(ask).await?;
    let GitOps { repo, branch } = ask.cx.settings.gitops.clone();
    // What the default branch is was not asked here: `HEAD` gets the benefit of the doubt.
    let gitops = GitOpsBranch { repo, branch, is_default: true, url: String::new() };
    let environments = catalog.apps.values().flat_map(|app| app.environments.iter().map(move |one| (&app.name, one)));
    let looks = environments.map(async |(app, (name, environment))| {
        let target = Target { app: app.clone(), environment: name.clone() };
        let mut all = Vec::new();
        for argocd in catalog::known_applications(&ask.cx, environment).await.unwrap_or_default() {
            // What cannot be read is not shown.
            let seen = store::load_key(ask.cx.world, SeenApplication(&argocd)).await.ok().flatten();
            all.extend(seen.map(|seen| (target.clone(), argocd, seen)));
        }
        all
    });
    let seen: Vec<_> = join_all(looks).await.into_iter().flatten().collect();
    Ok(Response::Asker(message::apps(&catalog, &seen, &gitops)))
}

/// Reads and decides like a deploy, and writes nothing.
pub(super) async fn preview<W: World>(ask: &Asking<'_, W>, words: DeployWords) -> Result<Response, Stop> {
    let cx = &ask.cx;
    let request = ask.asker.request(ask.at, words, Origin::Typed);
    let catalog = catalog::read_catalog(cx).await?;
    let site = gates::authorise(cx, &request, &catalog).await?;
    let looked = prepare::read(&site).await?;
    let snapshot = &looked.snapshot;
    catalog::same_catalog(&site, snapshot).await?;
    let prepared = prepare::prepare(&site, None, &looked).await?;
    let plan = prepared.plan.targets.first();
    let problem = match gates::gates(&site, snapshot, plan, prepared.deployed.as_ref()).await {
        Ok(_) => seen::known_refusal(&site, &prepared.plan.gitops).await?,
        Err(Stop::End(End::Refused { refusal, .. })) => refusal.read(),
        Err(other) => return Err(other),
    };
    let changes = versions::changes(cx, plan).await;
    let members = Members::default();
    let gates =
        site.environment.gates.in_preview(&gates::case(&site, snapshot, plan, prepared.deployed.as_ref(), &members));
    let files: Vec<(&FilePath, &str, &str)> =
        prepared.edits.iter().map(|file| (&file.path, file.before.as_str(), file.edit.text.as_str())).collect();
    Ok(Response::Asker(message::preview(&Preview {
        plan,
        files: &files,
        changes: changes.as_ref(),
        gates: &gates,
        problem: problem.as_ref(),
        offer: offer(cx.id, &request, plan),
    })))
}

/// What the button below the preview deploys: exactly what was shown. "The third version before" of today may
/// be another one tomorrow, so a rollback names its tag, and needs no commit.
fn offer(of: &DeploymentId, request: &RequestFact, plan: &TargetPlan) -> Offer {
    let mut words = request.words.clone();
    let is_rollback = name_version(&mut words, &plan.tag);
    let head = plan.source.head.clone().filter(|_| !is_rollback);
    Offer {
        of: of.clone(),
        by: request.user.clone(),
        words,
        head,
        digest: plan.digest.clone(),
        command: request.command.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::command::{Version, What};
    use domain::deployment::samples::{id, request, sha, target_plan};

    #[test]
    fn the_button_below_a_preview_deploys_what_was_shown() {
        let plan = target_plan();
        let typed = request().words;
        let by = request().user;
        let offer = |words| offer(&id('1'), &RequestFact { words, ..request() }, &plan);
        let shown = Offer {
            of: id('1'),
            by: by.clone(),
            words: typed.clone(),
            head: Some(sha('a')),
            digest: None,
            command: Default::default(),
        };
        assert_eq!(offer(typed.clone()), shown);

        let back = |version| DeployWords { what: What::Rollback(version), ..typed.clone() };
        let tag = Version::Tag("faster-cart-aaaaaaa".to_owned());
        for version in [Version::LastHealthy, Version::Back(3), tag.clone()] {
            let shown = Offer {
                of: id('1'),
                by: by.clone(),
                words: back(tag.clone()),
                head: None,
                digest: None,
                command: Default::default(),
            };
            assert_eq!(offer(back(version)), shown);
        }
    }
}
