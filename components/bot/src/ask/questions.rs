//! `status`, `history`, `why` and `apps`: what is known of the targets. `preview`: what a deploy would do.

use super::{Asking, Response};
use crate::context::Stop;
use crate::deploy::{catalog, gates, prepare, seen, versions};
use crate::request::name_version;
use crate::settings::GitOps;
use crate::world::World;
use domain::catalog::{App, Catalog, Environment, Members};
use domain::command::{DeployWords, Since, TargetWords};
use domain::deployment::{Became, End, Facts, GitOpsBranch, Origin, Past, RequestFact, TargetPlan};
use domain::message::{self, Found, Holds, Message, Offer, Preview, TargetStatus};
use domain::names::{DeploymentId, EnvironmentName, FilePath, SlackUser, Target};
use domain::refusal::Refusal;
use domain::time::Timestamp;
use futures::future::join_all;
use store::{Current, History, Live, Lock, LockOfAll, Locks, LocksOfAll, SeenApplication};

/// How many targets one `status` shows.
const MOST: usize = 20;

/// The catalog, as far as the asker may ask about it. What the asker may not ask about looks as if it were not there.
pub(super) async fn readable<W: World>(ask: &Asking<'_, W>) -> Result<Catalog, Stop> {
    let (_, catalog) = catalog::read_catalog(&ask.cx).await?;
    gates::readable(&ask.cx, ask.asker.place(), catalog).await
}

fn targets(catalog: &Catalog) -> Vec<(Target, &Environment)> {
    let of = |app: &'_ App, name: &EnvironmentName| Target { app: app.name.clone(), environment: name.clone() };
    let apps = catalog.apps.values();
    apps.flat_map(|app| app.environments.iter().map(move |(name, one)| (of(app, name), one))).collect()
}

pub(super) async fn of_all<W: World>(ask: &Asking<'_, W>) -> Result<Response, Stop> {
    let catalog = readable(ask).await?;
    of_these(ask, targets(&catalog)).await
}

/// One target; or all of an environment of that name, if there is no such app.
pub(super) async fn of_some<W: World>(ask: &Asking<'_, W>, words: &TargetWords) -> Result<Response, Stop> {
    let catalog = readable(ask).await?;
    let mut all = targets(&catalog);
    all.retain(|(target, _)| words.environment.is_none() && target.environment.as_str() == words.app);
    let found = match catalog.find(&words.app, words.environment.as_deref()) {
        Err(Refusal::UnknownApp { .. }) if !all.is_empty() => all,
        found => found.map(|(target, _, environment)| vec![(target, environment)])?,
    };
    of_these(ask, found).await
}

/// What the asker deployed, where it is live or under way.
pub(super) async fn of_mine<W: World>(ask: &Asking<'_, W>) -> Result<Response, Stop> {
    let (catalog, world) = (readable(ask).await?, ask.cx.world);
    let is_mine = |by: Option<&SlackUser>| by == Some(&ask.asker.user);
    let look = async |(target, environment): (Target, _)| {
        // First what costs little: who asked for what is live, or has not ended.
        let live = store::load_key(world, Live(&target)).await?.map(|live| live.id);
        let is_of_interest = |past: &Past| {
            let is_over = past.version().is_none_or(|version| version.state.is_final());
            let is_over = is_over && past.became != Became::Unsaid;
            is_mine(past.by.as_ref()) && (!is_over || Some(&past.id) == live.as_ref())
        };
        if !store::past(world, &target, ask.cx.id).await?.iter().any(is_of_interest) {
            return Ok(None);
        }
        let status = status(ask, target, environment).await?;
        let of_mine = |facts: &Option<Facts>| {
            is_mine(facts.as_ref().and_then(|facts| facts.request.as_ref()).map(|request| &request.user))
        };
        Ok::<_, Stop>((of_mine(&status.live) || of_mine(&status.under_way)).then_some(status))
    };
    let all = join_all(targets(&catalog).into_iter().map(look)).await;
    let mut mine = Vec::new();
    for status in all {
        mine.extend(status?);
    }
    let more = mine.len().saturating_sub(MOST);
    mine.truncate(MOST);
    if mine.is_empty() { Ok(Response::words(&message::nothing_of_yours())) } else { say(ask, &mine, more).await }
}

async fn of_these<W: World>(ask: &Asking<'_, W>, targets: Vec<(Target, &Environment)>) -> Result<Response, Stop> {
    let more = targets.len().saturating_sub(MOST);
    let all = join_all(targets.into_iter().take(MOST).map(|(target, environment)| status(ask, target, environment)));
    say(ask, &all.await.into_iter().collect::<Result<Vec<_>, _>>()?, more).await
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

pub(super) async fn history<W: World>(
    ask: &Asking<'_, W>,
    words: &TargetWords,
    since: Option<Since>,
) -> Result<Response, Stop> {
    let catalog = readable(ask).await?;
    let since = since.map(|since| since.begins(ask.cx.world.now()));
    // An app of that name comes first.
    if let Some(commit) = words.commit().filter(|name| !catalog.apps.keys().any(|app| app.as_str() == *name)) {
        return of_commit(ask, &catalog, commit, since).await;
    }
    let (target, ..) = catalog.find(&words.app, words.environment.as_deref())?;
    let world = ask.cx.world;
    let past = store::past(world, &target, ask.cx.id).await?;
    let own = store::load_key(world, Locks(&target)).await?.unwrap_or_default();
    let all = store::load_key(world, LocksOfAll).await?.unwrap_or_default();
    Ok(Response::Asker(message::history(&target, &past, (&own.changes, &all.changes), since)))
}

/// What holds a target up, and who can help.
pub(super) async fn why<W: World>(ask: &Asking<'_, W>, words: &TargetWords) -> Result<Response, Stop> {
    let catalog = readable(ask).await?;
    // An app of that name comes first.
    if let Some(id) = words.commit().filter(|name| !catalog.apps.keys().any(|app| app.as_str() == *name)) {
        return of_commit(ask, &catalog, id, None).await;
    }
    let (target, _, environment) = catalog.find(&words.app, words.environment.as_deref())?;
    let (world, now, limits) = (ask.cx.world, ask.cx.world.now(), &ask.cx.settings.limits);
    let status = status(ask, target.clone(), environment).await?;
    let mut other = None;
    for application in &catalog::known_applications(&ask.cx, environment).await? {
        let Some(current) = store::load_key(world, Current(application)).await? else { continue };
        if current.target == target {
            continue;
        }
        let facts = store::load(world, &current.id).await?;
        if facts.keeps_busy(now, limits) {
            let may_know = targets(&catalog).iter().any(|(target, _)| *target == current.target);
            other = Some(may_know.then_some((current.target, facts)));
        }
    }
    let ring = store::load_key(world, History(&target)).await?.unwrap_or_default();
    let unsettled = join_all(ring.unsettled().map(|id| store::load(world, id))).await;
    // What cannot be read is not shown.
    let mut waiting: Vec<Facts> = unsettled.into_iter().filter_map(Result::ok).collect();
    waiting.retain(|facts| facts.may_be_approved(now) || facts.waits(now));
    let lock_of_all = store::load_key(world, LockOfAll).await?.filter(|lock| lock.holds(now));
    let (owners, gates) = (environment.owners.clone(), &environment.gates);
    let approvers = gates.approvals.as_ref().map(|approvals| approvals.by.clone()).unwrap_or_default();
    Ok(Response::Asker(message::why(&Holds { status, lock_of_all, other, waiting, owners, approvers })))
}

/// The deployments that made a commit whose name begins so, among those that the asker may ask about.
async fn of_commit<W: World>(
    ask: &Asking<'_, W>,
    catalog: &Catalog,
    begin: &str,
    since: Option<Timestamp>,
) -> Result<Response, Stop> {
    let (world, id) = (ask.cx.world, ask.cx.id);
    let is_meant = |past: &Past| past.is_named(begin) && since.is_none_or(|since| past.at >= since);
    let look = async |(target, _): (Target, _)| (store::past(world, &target, id).await, target);
    let mut found = Vec::new();
    for (past, target) in join_all(targets(catalog).into_iter().map(look)).await {
        let past = match past {
            Ok(past) => past,
            // Of another version of ours: not for us to show.
            Err(error) if error.is_unreadable() => continue,
            Err(error) => return Err(error.into()),
        };
        found.extend(past.into_iter().filter(is_meant).map(|past| (target.clone(), past)));
    }
    found.sort_by_key(|(_, past)| std::cmp::Reverse(past.at));
    let all = found.into_iter().map(async |(target, past)| {
        let facts = store::load(world, &past.id).await.unwrap_or_default();
        Found { target, past, facts }
    });
    Ok(Response::Asker(message::found(begin, &join_all(all).await)))
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

/// Reads and decides like a deploy, and writes nothing. `show` makes a message of it.
pub(super) async fn preview<W: World>(
    ask: &Asking<'_, W>,
    words: DeployWords,
    show: impl Fn(&Preview<'_>) -> Message,
) -> Result<Message, Stop> {
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
    let there = gates::elsewhere(&site, snapshot).await?;
    let case = gates::case(&site, snapshot, (plan, prepared.deployed.as_ref()), &there, &members);
    let gates = site.environment.gates.in_preview(&case);
    let files: Vec<(&FilePath, &str, &str)> =
        prepared.edits.iter().map(|file| (&file.path, file.before.as_str(), file.edit.text.as_str())).collect();
    Ok(show(&Preview {
        plan,
        files: &files,
        changes: changes.as_ref(),
        gates: &gates,
        problem: problem.as_ref(),
        offer: offer(cx.id, &request, plan),
    }))
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
