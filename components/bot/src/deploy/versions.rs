//! Versions that were deployed to a target before: what `history` numbers, and what a rollback goes back to.

use super::prepare::Site;
use super::stop::Stop;
use crate::context::Context;
use crate::log::Line;
use crate::world::World;
use clients::github;
use domain::command::Version;
use domain::deployment::{ChangesFact, CommitFact, CommittedFact, Facts, State, TargetPlan};
use domain::lock::RolledBack;
use domain::names::{ArgoApplication, CommitSha, DeploymentId, FilePath, Target};
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
    let rolled_back = match version {
        Version::LastHealthy => store::load_key(cx.world, RolledBackVersions(&site.environment.argocd)).await?,
        Version::Back(_) | Version::Tag(_) => None,
    };
    find_version(site.target, past, version, &rolled_back.unwrap_or_default())
}

/// The deployment that a version means, among those of the target that reached the branch, newest first.
fn find_version(
    target: &Target,
    past: &[(DeploymentId, Facts)],
    version: &Version,
    rolled_back: &RolledBack,
) -> Result<TargetPlan, Stop> {
    let plans = || past.iter().filter_map(|(_, facts)| facts.commit.as_ref().map(CommitFact::target));
    let unknown = |typed: String| {
        let mut known: Vec<String> = Vec::new();
        for plan in plans() {
            if !known.iter().any(|tag| tag == plan.tag.as_str()) && known.len() < 5 {
                known.push(plan.tag.to_string());
            }
        }
        Stop::from(Refusal::UnknownVersion { target: target.clone(), typed, known })
    };
    match version {
        Version::LastHealthy => {
            // The newest that was committed is what runs, or should.
            let newest = newest_plan(past).map(|plan| &plan.tag);
            let is_bad = |plan: &TargetPlan| rolled_back.versions.iter().any(|bad| bad.tag == plan.tag.as_str());
            past.iter()
                .filter(|(_, facts)| facts.state() == State::Live)
                .filter_map(|(_, facts)| facts.commit.as_ref().map(CommitFact::target))
                .find(|plan| Some(&plan.tag) != newest && !is_bad(plan))
                .cloned()
                .ok_or(Refusal::NoEarlierVersion { target: target.clone() }.into())
        }
        Version::Back(n) => {
            let index = usize::try_from(n.saturating_sub(1)).unwrap_or(usize::MAX);
            let commit = past.get(index).and_then(|(_, facts)| facts.commit.as_ref());
            commit.map(|commit| commit.target().clone()).ok_or_else(|| unknown(n.to_string()))
        }
        Version::Tag(tag) => plans().find(|plan| plan.tag.as_str() == tag).cloned().ok_or_else(|| unknown(tag.clone())),
    }
}

/// What the newest deployment of a target has put on the branch.
pub(super) fn newest_plan(past: &[(DeploymentId, Facts)]) -> Option<&TargetPlan> {
    past.first()?.1.commit.as_ref().map(CommitFact::target)
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
            commits: compared.commits,
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

#[cfg(test)]
mod tests {
    use super::*;
    use Expected::{Found, Refused};
    use domain::deployment::samples::{at, commit_to, id, live, relayed, target_plan, user};
    use domain::deployment::{Failure, LastWord, OutcomeFact};
    use domain::image::Tag;
    use domain::lock::RolledBackVersion;

    fn deployed(tag: &str, word: Option<LastWord>) -> (DeploymentId, Facts) {
        let commit = commit_to(TargetPlan { tag: Tag::parse(tag).unwrap(), ..target_plan() });
        let outcome = word.map(|word| OutcomeFact { at: at(60), word });
        (id('1'), Facts { commit: Some(commit), outcome, ..relayed() })
    }

    fn failed() -> Option<LastWord> {
        Some(LastWord::Failed { failure: Failure::NoApplication })
    }

    /// Which version is found, or why none.
    enum Expected<'a> {
        Found(&'a str),
        Refused(Refusal),
    }

    fn check(past: &[(DeploymentId, Facts)], version: Version, rolled_back: &[&str], expected: Expected<'_>) {
        let bad = |tag: &&str| RolledBackVersion { tag: (*tag).to_owned(), by: user("U1"), at: at(0) };
        let rolled_back = RolledBack { versions: rolled_back.iter().map(bad).collect() };
        let found = find_version(&target_plan().target, past, &version, &rolled_back);
        match (found, expected) {
            (Ok(plan), Found(tag)) => assert_eq!(plan.tag.as_str(), tag, "{version:?}"),
            (Err(stop), Refused(refusal)) => assert_eq!(stop.refusal(), Some(refusal), "{version:?}"),
            (Ok(plan), Refused(refusal)) => panic!("{version:?}: {} and not {refusal:?}", plan.tag),
            (Err(stop), Found(tag)) => panic!("{version:?}: {:?} and not {tag}", stop.refusal()),
        }
    }

    #[test]
    fn the_last_healthy_version_is_another_one_than_the_newest() {
        let (v5, v4, v3, v2, v1) = (
            deployed("v5", failed()),
            deployed("v4", Some(live())),
            deployed("v3", Some(live())),
            deployed("v2", None),
            deployed("v1", Some(live())),
        );
        let none = || Refused(Refusal::NoEarlierVersion { target: target_plan().target });
        let last = || Version::LastHealthy;
        check(&[], last(), &[], none());
        check(std::slice::from_ref(&v4), last(), &[], none());
        check(&[v4.clone(), v3.clone()], last(), &[], Found("v3"));
        // What failed is taken away, what was never live is passed over.
        check(&[v5.clone(), v4.clone(), v3.clone()], last(), &[], Found("v4"));
        check(&[v3.clone(), v2.clone(), v1.clone()], last(), &[], Found("v1"));
        check(&[v5.clone(), v2.clone()], last(), &[], none());
        // The same version again is no earlier one.
        check(&[v4.clone(), v4.clone(), v3.clone()], last(), &[], Found("v3"));
        check(&[v5, v4.clone(), v3.clone(), v1], last(), &["v4", "v3"], Found("v1"));
        check(&[v4, v3], last(), &["v3"], none());
    }

    #[test]
    fn a_version_by_number_or_tag_is_one_that_reached_the_branch() {
        let past = [deployed("v3", failed()), deployed("v2", Some(live())), deployed("v3", Some(live()))];
        let unknown = |typed: &str, known: &[&str]| {
            let known = known.iter().map(|tag| (*tag).to_owned()).collect();
            Refused(Refusal::UnknownVersion { target: target_plan().target, typed: typed.to_owned(), known })
        };
        check(&past, Version::Back(1), &[], Found("v3"));
        check(&past, Version::Back(2), &[], Found("v2"));
        check(&past, Version::Back(4), &[], unknown("4", &["v3", "v2"]));
        check(&past, Version::Tag("v2".to_owned()), &["v2"], Found("v2"));
        check(&past, Version::Tag("v1".to_owned()), &[], unknown("v1", &["v3", "v2"]));
        check(&[], Version::Back(1), &[], unknown("1", &[]));
    }
}
