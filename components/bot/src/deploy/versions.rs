//! Versions that were deployed to a target before: what `history` numbers, and what a rollback goes back to.

use super::prepare::Site;
use super::stop::Stop;
use crate::context::Context;
use crate::log::Line;
use crate::world::World;
use clients::github;
use domain::command::Version;
use domain::deployment::{Change, ChangesFact, CommitFact, CommittedFact, Facts, State, TargetPlan};
use domain::names::{ArgoApplication, CommitSha, DeploymentId, FilePath};
use domain::refusal::Refusal;
use domain::values;
use store::{History, Live, RolledBackVersions, StoreError};

/// The commit after which others below the app's path are new.
pub(super) async fn since<W: World>(
    cx: &Context<'_, W>,
    argocd: &ArgoApplication,
) -> Result<Option<CommitSha>, StoreError> {
    let Some(live) = store::load_key(cx.world, Live(argocd)).await? else { return Ok(None) };
    let committed: Option<CommittedFact> = store::load_fact(cx.world, &live.id).await?;
    let taken = committed.and_then(|committed| committed.commit.target().taken.clone());
    Ok(Some(taken.map_or(live.sha, |taken| taken.newest)))
}

/// The version that is in these files, if it was deployed to the target before.
pub(super) async fn written<'t, W: World>(
    cx: &Context<'_, W>,
    site: &Site<'_>,
    texts: impl Iterator<Item = (&'t FilePath, &'t str)>,
) -> Result<TargetPlan, Stop> {
    let mut tags: Vec<String> = Vec::new();
    for (path, text) in texts {
        let read = values::read_tags(text, &site.environment.tag_at);
        for tag in read.map_err(|why| Refusal::Edit { path: path.clone(), why })? {
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
    }
    let known = match tags.as_slice() {
        [tag] => {
            let past = past(cx, &site.environment.argocd).await?.into_iter();
            past.filter_map(|(_, facts)| facts.commit)
                .map(|commit| commit.target().clone())
                .find(|plan| plan.tag.as_str() == tag)
        }
        _ => None,
    };
    let target = Box::new(site.target.clone());
    tags.truncate(5);
    Ok(known.ok_or(Refusal::UnknownWritten { target, tags })?)
}

/// The version to go back to, from what we remember of the target.
pub(super) async fn earlier<W: World>(
    cx: &Context<'_, W>,
    site: &Site<'_>,
    past: &[(DeploymentId, Facts)],
    version: &Version,
) -> Result<TargetPlan, Stop> {
    let argocd = &site.environment.argocd;
    let target = site.target.clone();
    let tags = past.iter().filter_map(|(_, facts)| facts.commit.as_ref().map(|commit| commit.target().tag.to_string()));
    let unknown = |typed: String| {
        let mut known: Vec<String> = Vec::new();
        for tag in tags.clone() {
            if !known.contains(&tag) && known.len() < 5 {
                known.push(tag);
            }
        }
        Refusal::UnknownVersion { target: target.clone(), typed, known }
    };
    let found = match version {
        Version::LastHealthy => {
            let bad = store::load_key(cx.world, RolledBackVersions(argocd)).await?.unwrap_or_default();
            // The newest that was committed is what runs, or should.
            let now =
                past.first().and_then(|(_, facts)| facts.commit.as_ref()).map(|commit| commit.target().tag.clone());
            past.iter()
                .filter(|(_, facts)| facts.state() == State::Live)
                .filter_map(|(_, facts)| facts.commit.as_ref().map(CommitFact::target))
                .find(|plan| {
                    Some(&plan.tag) != now.as_ref() && !bad.versions.iter().any(|bad| bad.tag == plan.tag.as_str())
                })
                .cloned()
                .ok_or(Refusal::NoEarlierVersion { target: target.clone() })?
        }
        Version::Back(n) => {
            let index = usize::try_from(n.saturating_sub(1)).unwrap_or(usize::MAX);
            let entry = past.get(index).and_then(|(_, facts)| facts.commit.as_ref());
            entry.map(|commit| commit.target().clone()).ok_or_else(|| unknown(n.to_string()))?
        }
        Version::Tag(tag) => past
            .iter()
            .filter_map(|(_, facts)| facts.commit.as_ref().map(CommitFact::target))
            .find(|plan| plan.tag.as_str() == tag)
            .cloned()
            .ok_or_else(|| unknown(tag.clone()))?,
    };
    Ok(found)
}

/// What is new in a version, as far as GitHub can compare it with the one before. Worth telling, and nothing else depends on it.
pub(crate) async fn changes<W: World>(cx: &Context<'_, W>, plan: &TargetPlan) -> Option<ChangesFact> {
    let before = plan.previous.as_ref().filter(|before| before.head != plan.source.head)?;
    let (repo, head) = (&plan.source.repo, &plan.source.head);
    match github::compare(cx.world, &cx.settings.github, repo, &before.head, head).await {
        Ok(compared) => Some(ChangesFact {
            since: before.tag.to_string(),
            ahead: compared.ahead,
            behind: compared.behind,
            commits: compared
                .commits
                .into_iter()
                .map(|change| Change { sha: change.sha, headline: change.headline, login: change.login })
                .collect(),
            url: compared.url,
        }),
        Err(fault) => {
            cx.world.log(Line::new("not_compared").of(cx.id).with_json("fault", &fault));
            None
        }
    }
}

/// The deployments of a target that reached the branch, newest first: what `history` numbers.
pub(super) async fn past<W: World>(
    cx: &Context<'_, W>,
    argocd: &ArgoApplication,
) -> Result<Vec<(DeploymentId, Facts)>, Stop> {
    let mut past = remembered(cx, argocd).await?;
    past.retain(|(_, facts)| facts.committed.is_some() && facts.commit.is_some());
    Ok(past)
}

/// All deployments that we remember of a target, newest first.
pub(crate) async fn remembered<W: World>(
    cx: &Context<'_, W>,
    argocd: &ArgoApplication,
) -> Result<Vec<(DeploymentId, Facts)>, Stop> {
    let ring = store::load_key(cx.world, History(argocd)).await?.unwrap_or_default();
    let all = futures::future::join_all(ring.ids.iter().map(|id| store::load(cx.world, id))).await;
    let mut remembered = Vec::new();
    for (id, facts) in ring.ids.into_iter().zip(all) {
        match facts {
            Ok(facts) => remembered.push((id, facts)),
            // Of another version of ours: not for us to show.
            Err(error) if error.is_unreadable() => {}
            Err(error) => return Err(error.into()),
        }
    }
    let when = |facts: &Facts| match (&facts.committed, &facts.request) {
        (Some(committed), _) => Some(committed.at),
        (None, request) => request.as_ref().map(|request| request.at),
    };
    remembered.sort_by_key(|(_, facts)| std::cmp::Reverse(when(facts)));
    Ok(remembered)
}
