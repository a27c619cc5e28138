//! Source: what is to be deployed, and its image, or why it cannot be.

use super::prepare::{self, Site};
use super::versions;
use crate::context::Stop;
use crate::world::World;
use clients::github::{PrState, Snapshot, SourceState};
use domain::catalog::App;
use domain::command::What;
use domain::deployment::{Facts, Reference, RequestFact, Source, State};
use domain::image::{ImageRef, Tag};
use domain::names::{DeploymentId, Target};
use domain::refusal::Refusal;

/// What is to run: the source and its image.
pub(super) async fn wanted<W: World>(site: &Site<'_, W>, snapshot: &Snapshot) -> Result<(Source, ImageRef), Stop> {
    let (cx, request) = (site.cx, site.request);
    if let What::Rollback(version) = &request.words.what {
        let past = versions::past(cx, &site.environment.argocd).await?;
        still_newest(request, site.target, &past)?;
        let earlier = versions::earlier(site, &past, version).await?;
        not_live(&earlier.tag, site.target, &past)?;
        let image = earlier.image_ref();
        return Ok((earlier.source, image));
    }
    if request.words.what == What::Written {
        let texts = prepare::texts(site, snapshot).await?;
        let known = versions::written(site, texts.iter().map(|(path, text)| (*path, text.as_str()))).await?;
        still_head(request, &known.source)?;
        let image = known.image_ref();
        return Ok((known.source, image));
    }
    let source = source(snapshot, request, site.app)?;
    still_head(request, &source)?;
    let tag = site.app.tag_rule.make(&source.branch, &source.head).map_err(|made| Refusal::NoValidTag { made })?;
    Ok((source, ImageRef { name: site.app.image.clone(), tag }))
}

/// The button below a version takes that version away, and is void once another one was deployed.
fn still_newest(request: &RequestFact, target: &Target, past: &[(DeploymentId, Facts)]) -> Result<(), Stop> {
    let newest = versions::newest_plan(past).map(|plan| &plan.tag);
    match request.origin.takes_away().zip(newest) {
        Some((was, is)) if was != is => {
            Err(Refusal::VersionMoved { target: Box::new(target.clone()), was: was.clone(), is: is.clone() }.into())
        }
        _ => Ok(()),
    }
}

/// The newest version is what runs, once it is live: there is nothing to go back to.
fn not_live(tag: &Tag, target: &Target, past: &[(DeploymentId, Facts)]) -> Result<(), Stop> {
    let is_live = past.first().is_some_and(|(_, facts)| facts.state() == State::Live);
    if is_live && versions::newest_plan(past).is_some_and(|newest| newest.tag == *tag) {
        return Err(Refusal::AlreadyLive { target: Box::new(target.clone()), tag: tag.clone() }.into());
    }
    Ok(())
}

/// A button is void once the branch has moved from the commit that it showed.
fn still_head(request: &RequestFact, source: &Source) -> Result<(), Stop> {
    match request.origin.head() {
        Some(was) if *was != source.head => {
            Err(Refusal::HeadMoved { was: was.clone(), is: source.head.clone() }.into())
        }
        _ => Ok(()),
    }
}

/// What is to be deployed, or why it cannot be.
fn source(snapshot: &Snapshot, request: &RequestFact, app: &App) -> Result<Source, Stop> {
    let repo = app.repo.clone();
    match &snapshot.source {
        SourceState::NoRepository => Err(Refusal::NoSuchRepository { repo }.into()),
        SourceState::NoPullRequest | SourceState::NoBranch => match &request.words.what {
            What::PullRequest(number) | What::PullRequestOf { number, .. } => {
                Err(Refusal::NoSuchPullRequest { number: *number, repo }.into())
            }
            What::Branch(branch) => Err(Refusal::NoSuchBranch { branch: branch.clone(), repo }.into()),
            What::Rollback(_) | What::Written => Err(Stop::Leave("a version of before has no branch of its own")),
        },
        SourceState::PullRequest { number, open, from_fork, branch, base, head, title, author, url, .. } => {
            match open {
                PrState::Open if *from_fork => return Err(Refusal::FromFork { number: *number }.into()),
                PrState::Open => {}
                PrState::Closed | PrState::Merged => {
                    let merged = *open == PrState::Merged;
                    return Err(
                        Refusal::PullRequestNotOpen { number: *number, merged, base: Some(base.clone()) }.into()
                    );
                }
            }
            Ok(Source {
                repo,
                reference: Reference::PullRequest(*number),
                branch: branch.clone(),
                head: head.clone(),
                title: title.clone(),
                author: author.clone(),
                url: Some(url.clone()),
            })
        }
        SourceState::Branch { branch, head, title, .. } => Ok(Source {
            repo,
            reference: Reference::Branch(branch.clone()),
            branch: branch.clone(),
            head: head.clone(),
            title: title.clone(),
            author: None,
            url: None,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::prepare::tests::snapshot;
    use super::*;
    use domain::catalog::Catalog;
    use domain::deployment::samples::{at, commit_to, id, live, relayed, request, sha, target_plan};
    use domain::deployment::{Origin, OutcomeFact, TargetPlan};
    use domain::names::{BranchName, CommitSha, GitHubLogin, PullRequestNumber};

    fn pull_request(open: PrState, from_fork: bool) -> SourceState {
        let branch = |text| BranchName::parse(text).unwrap();
        SourceState::PullRequest {
            number: PullRequestNumber(42),
            open,
            draft: false,
            from_fork,
            branch: branch("faster-cart"),
            base: branch("main"),
            head: sha('a'),
            title: "Make the cart faster".to_owned(),
            author: Some(GitHubLogin::parse("bob").unwrap()),
            url: "https://github.com/acme/checkout/pull/42".to_owned(),
            checks: None,
            reviews: domain::github::ReviewsState::default(),
        }
    }

    #[test]
    fn the_source_is_an_open_pull_request_of_the_repository_or_a_branch() {
        let catalog = "apps: {checkout: {repo: acme/checkout, image: ghcr.io/acme/checkout, allow: anyone}}";
        let app = Catalog::parse(catalog).unwrap().apps.into_values().next().unwrap();
        let check = |what: What, state: SourceState, expected: Result<Source, Option<Refusal>>| {
            let mut request = request();
            request.words.what = what;
            let found = source(&snapshot(state.clone(), Vec::new()), &request, &app);
            assert_eq!(found.map_err(|stop| stop.refusal()), expected, "{state:?}");
        };
        let (number, repo) = (PullRequestNumber(42), target_plan().source.repo);
        let branch = BranchName::parse("main").unwrap();
        let (by_number, by_branch) = (|| What::PullRequest(number), || What::Branch(branch.clone()));

        check(by_number(), pull_request(PrState::Open, false), Ok(target_plan().source));
        check(by_number(), pull_request(PrState::Open, true), Err(Some(Refusal::FromFork { number })));
        for (state, merged) in [(PrState::Merged, true), (PrState::Closed, false)] {
            let base = Some(branch.clone());
            let refusal = Refusal::PullRequestNotOpen { number, merged, base };
            check(by_number(), pull_request(state, false), Err(Some(refusal.clone())));
            check(by_number(), pull_request(state, true), Err(Some(refusal)));
        }
        let no_pull_request = Refusal::NoSuchPullRequest { number, repo: repo.clone() };
        check(by_number(), SourceState::NoPullRequest, Err(Some(no_pull_request)));

        let (head, title) = (sha('a'), "Make the cart faster".to_owned());
        let state = SourceState::Branch { branch: branch.clone(), head, title, checks: None };
        let reference = Reference::Branch(branch.clone());
        let of_branch = Source { reference, branch: branch.clone(), author: None, url: None, ..target_plan().source };
        check(by_branch(), state, Ok(of_branch));
        let no_branch = Refusal::NoSuchBranch { branch: branch.clone(), repo: repo.clone() };
        check(by_branch(), SourceState::NoBranch, Err(Some(no_branch)));
        check(by_branch(), SourceState::NoRepository, Err(Some(Refusal::NoSuchRepository { repo })));
    }

    fn tag(text: &str) -> Tag {
        Tag::parse(text).unwrap()
    }

    fn newest(text: &str, is_live: bool) -> Vec<(DeploymentId, Facts)> {
        let commit = commit_to(TargetPlan { tag: tag(text), ..target_plan() });
        let outcome = is_live.then(|| OutcomeFact { at: at(60), word: live() });
        vec![(id('1'), Facts { commit: Some(commit), outcome, ..relayed() })]
    }

    #[test]
    fn roll_back_is_void_once_another_version_was_deployed() {
        let target = target_plan().target;
        let check = |origin: Origin, past: &[(DeploymentId, Facts)], expected: Result<(), Option<Refusal>>| {
            assert_eq!(
                still_newest(&RequestFact { origin, ..request() }, &target, past).map_err(|stop| stop.refusal()),
                expected
            );
        };
        let below_v2 = || Origin::RollBack { of: id('1'), takes_away: tag("v2") };
        let moved = Refusal::VersionMoved { target: Box::new(target.clone()), was: tag("v2"), is: tag("v3") };
        check(below_v2(), &newest("v2", true), Ok(()));
        check(below_v2(), &newest("v3", true), Err(Some(moved.clone())));
        check(below_v2(), &newest("v3", false), Err(Some(moved)));
        check(below_v2(), &[], Ok(()));
        check(Origin::Typed, &newest("v3", true), Ok(()));
    }

    #[test]
    fn the_live_version_is_no_version_to_go_back_to() {
        let target = target_plan().target;
        let check = |version: &str, past: &[(DeploymentId, Facts)], expected: Result<(), Option<Refusal>>| {
            assert_eq!(not_live(&tag(version), &target, past).map_err(|stop| stop.refusal()), expected);
        };
        let already = Refusal::AlreadyLive { target: Box::new(target.clone()), tag: tag("v2") };
        check("v2", &newest("v2", true), Err(Some(already)));
        check("v2", &newest("v2", false), Ok(()));
        check("v1", &newest("v2", true), Ok(()));
        check("v1", &[], Ok(()));
    }

    #[test]
    fn a_button_is_void_once_the_branch_has_moved() {
        let source = target_plan().source;
        let check = |head: Option<CommitSha>, expected: Result<(), Option<Refusal>>| {
            let request = RequestFact { origin: Origin::Shown { of: id('1'), head }, ..request() };
            assert_eq!(still_head(&request, &source).map_err(|stop| stop.refusal()), expected);
        };
        check(Some(sha('a')), Ok(()));
        check(Some(sha('c')), Err(Some(Refusal::HeadMoved { was: sha('c'), is: sha('a') })));
        check(None, Ok(()));
    }
}
