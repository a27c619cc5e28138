//! Which version is to run: the source and its image, or why there is none. A version that was deployed to
//! the target before is one that `history` numbers, and that a rollback goes back to.

use super::prepare::{self, Looked, Site};
use crate::context::{Context, Stop};
use crate::world::{Line, World};
use clients::github::{self, Comparison, PrState, Snapshot, SourceState};
use domain::catalog::App;
use domain::command::{Version, What};
use domain::deployment::{
    Change, ChangesFact, CommitFact, CommittedFact, Facts, Past, PastVersion, Reference, RequestFact, Source, State,
    TargetPlan,
};
use domain::image::{Digest, ImageName, Tag};
use domain::lock::RolledBack;
use domain::names::{ArgoApplication, BranchName, CommitDigits, CommitSha, DeploymentId, FilePath, GitTag, Target};
use domain::nonempty::NonEmpty;
use domain::refusal::{Kind, Moved, MovedTag, NoChannel, Refusal};
use domain::time::Timestamp;
use domain::values::{self, At, OurImage, Written};
use std::collections::BTreeSet;
use std::time::Duration;
use store::{Current, DeployedImages, History, Images, Live, RolledBackVersions, StoreError};

/// The deployments of a target that reached the branch, newest first: what `history` numbers.
pub(super) type Versions = [(DeploymentId, PastVersion)];

/// What is to run.
pub(super) struct Wanted {
    pub(super) source: Source,
    pub(super) image: ImageName,
    /// What may have been built of it. The first of them that there is counts.
    pub(super) builds: NonEmpty<Built>,
    /// The images that were deployed before.
    pub(super) deployed: DeployedImages,
    /// See [`TargetPlan::was_live`].
    pub(super) was_live: bool,
}

/// A commit, and the tags that its image may have, see [`TagRule::make`](domain::image::TagRule::make).
pub(super) struct Built {
    pub(super) head: Option<CommitSha>,
    pub(super) tags: NonEmpty<Tag>,
    /// Its own, where the source is a branch whose newest commit is another one.
    pub(super) title: Option<String>,
}

impl From<TargetPlan> for Wanted {
    fn from(plan: TargetPlan) -> Self {
        let mut deployed = DeployedImages::default();
        if let Some(digest) = &plan.digest {
            deployed.deployed(&plan.tag, digest);
        }
        let builds =
            NonEmpty::one(Built { head: plan.source.head.clone(), tags: NonEmpty::one(plan.tag), title: None });
        Self { source: plan.source, image: plan.image, builds, deployed, was_live: plan.was_live }
    }
}

/// What is to run: the source and its image. `earlier`: the version to go back to, or to deploy again, where one was asked
/// for.
pub(super) async fn wanted<W: World>(
    site: &Site<'_, W>,
    looked: &Looked,
    (past, earlier): (&Versions, Option<&TargetPlan>),
) -> Result<Wanted, Stop> {
    let (cx, request, snapshot) = (site.cx, site.request, &looked.snapshot);
    if let Some((earlier, _)) = earlier.zip(site.from.as_ref()) {
        let deployed = store::load_key(cx.world, Images(&site.target)).await?.unwrap_or_default();
        return Ok(Wanted { image: site.app.image.clone(), deployed, ..earlier.clone().into() });
    }
    if let Some(earlier) = earlier {
        if !request.words.what.stands_still() {
            // With all gates, and as what it was deployed.
            may_be_here(site, &earlier.source)?;
            let wanted: Wanted = earlier.clone().into();
            return Ok(Wanted { image: site.app.image.clone(), was_live: false, ..wanted });
        }
        still_newest(request, &site.target, past)?;
        not_live(earlier, &site.target, past)?;
        return Ok(earlier.clone().into());
    }
    if request.words.what == What::Written {
        let texts = prepare::texts(site, snapshot).await?;
        let known = written(site, past, texts.iter().map(|(path, text)| (*path, text.as_str()))).await?;
        still_head(request, &known.source)?;
        return Ok(known.into());
    }
    let source = source(looked, request, site.app)?;
    may_be_here(site, &source)?;
    let image = site.app.image.clone();
    if let Reference::Channel(channel) = &source.reference {
        // It moves: another image than the last time is what is wanted.
        let deployed = DeployedImages::default();
        let builds = NonEmpty::one(Built { head: None, tags: NonEmpty::one(channel.clone()), title: None });
        return Ok(Wanted { source, image, builds, deployed, was_live: false });
    }
    let builds = builds(site, snapshot, &source)?;
    let deployed = store::load_key(cx.world, Images(&site.target)).await?.unwrap_or_default();
    Ok(Wanted { source, image, builds, deployed, was_live: false })
}

/// What may have been built of the source.
fn builds<W>(site: &Site<'_, W>, snapshot: &Snapshot, source: &Source) -> Result<NonEmpty<Built>, Stop> {
    let (request, app) = (site.request, site.app);
    let Some(head) = &source.head else { return Err(Stop::Leave("a branch without a commit")) };
    let built = |head: &CommitSha, title: Option<&String>| -> Result<Built, Stop> {
        let tags = match (&source.reference, &source.branch) {
            (Reference::Tag(tag), _) => app.tag_of_tags.make_of_tag(tag, head),
            (_, Some(branch)) => app.tag_rule.make(branch, head),
            (_, None) => return Err(Stop::Leave("a commit without a branch")),
        };
        let tags = tags.map_err(|made| Refusal::NoValidTag { made })?;
        Ok(Built { head: Some(head.clone()), tags, title: title.cloned() })
    };
    let is_branch = !matches!(source.reference, Reference::PullRequest(_));
    let mut all = vec![built(head, None)?];
    // The image of a Git tag has its name, and an older commit is none of it.
    let older = if matches!(source.reference, Reference::Tag(_)) { &[] } else { snapshot.source.builds() };
    for build in older {
        all.push(built(&build.sha, Some(&build.title).filter(|_| is_branch))?);
    }
    // A button stands for one of these, or it is void.
    if let Some(shown) = request.origin.head() {
        all.retain(|built| built.head.as_ref() == Some(shown));
    }
    NonEmpty::try_from(all).map_err(|_| match still_head(request, source) {
        Err(moved) => moved,
        Ok(()) => Stop::Leave("a commit that is neither the newest nor another one"),
    })
}

/// Whether the catalog lists the Git tag.
pub(super) fn must_be_listed(app: &App, tag: &GitTag) -> Result<(), Stop> {
    if app.takes_tag(tag) {
        return Ok(());
    }
    let listed = app.tags.iter().take(5).map(ToString::to_string).collect();
    Err(Refusal::TagNotListed { app: app.name.clone(), tag: tag.clone(), listed }.into())
}

/// Whether the catalog lists the channel.
pub(super) fn must_be_channel(app: &App, channel: &Tag) -> Result<(), Stop> {
    if app.channels.contains(channel) {
        return Ok(());
    }
    Err(Refusal::ChannelNotListed { app: app.name.clone(), channel: channel.clone(), listed: app.channels.clone() }
        .into())
}

/// A channel is an image and no commit: not where a gate judges a commit, and only by digest.
fn may_be_here<W>(site: &Site<'_, W>, source: &Source) -> Result<(), Stop> {
    let Reference::Channel(channel) = &source.reference else { return Ok(()) };
    let why = if site.environment.gates.judge_commits() {
        NoChannel::Gates
    } else if site.environment.digest_at.is_empty() {
        NoChannel::NoDigestAt
    } else {
        return Ok(());
    };
    Err(Refusal::ChannelNotHere { target: Box::new(site.target.clone()), channel: channel.clone(), why }.into())
}

/// The version with this tag that was deployed last.
pub(super) async fn by_tag<W: World>(site: &Site<'_, W>, past: &Versions, tag: &Tag) -> Result<TargetPlan, Stop> {
    earlier(site, past, &Version::Tag(tag.to_string())).await
}

/// The version that a word may mean.
pub(super) async fn named<W: World>(
    site: &Site<'_, W>,
    past: &Versions,
    word: &BranchName,
) -> Result<Option<TargetPlan>, StoreError> {
    match past.iter().find(|(_, version)| version.tag.as_str() == word.as_str()) {
        Some(known) => plan_of(site.cx, known).await,
        None => Ok(None),
    }
}

/// What the word may mean besides what GitHub shows of that name. The version that was deployed of a tag or of a channel is
/// the same thing, until the tag is of another commit.
fn meanings(looked: &Looked, app: &App, word: &BranchName) -> Vec<Kind> {
    let is_word = |tag: &Tag| tag.as_str() == word.as_str();
    let mut kinds = match &looked.snapshot.source {
        SourceState::Branch { .. } => vec![Kind::Branch],
        SourceState::Commit { reference: Reference::Tag(_), .. } => vec![Kind::Tag],
        SourceState::Commit { .. } | SourceState::PullRequest { .. } | SourceState::NotInBranch { .. } => {
            vec![Kind::Commit]
        }
        SourceState::Several(kinds) => kinds.clone(),
        _ => Vec::new(),
    };
    if app.channels.iter().any(is_word) {
        kinds.push(Kind::Channel);
    }
    if let Some(version) = &looked.named {
        let is_same = match (&version.source.reference, &looked.snapshot.source) {
            (Reference::Tag(was), SourceState::Commit { reference: Reference::Tag(is), head, .. }) => {
                was == is && version.source.head.as_ref() == Some(head)
            }
            (Reference::Channel(channel), _) => is_word(channel),
            _ => false,
        };
        if !is_same {
            kinds.push(Kind::Version);
        }
    }
    kinds
}

/// The button below a version takes that version away, and is void once another one was deployed.
fn still_newest(request: &RequestFact, target: &Target, past: &Versions) -> Result<(), Stop> {
    match request.origin.takes_away().zip(past.first().map(|(_, newest)| &newest.tag)) {
        Some((was, is)) if was != is => {
            Err(Refusal::VersionMoved { target: Box::new(target.clone()), was: was.clone(), is: is.clone() }.into())
        }
        _ => Ok(()),
    }
}

/// The newest version is what runs, once it is live: there is nothing to go back to.
fn not_live(plan: &TargetPlan, target: &Target, past: &Versions) -> Result<(), Stop> {
    match past.first() {
        Some((_, newest)) if newest.is(&plan.tag, plan.digest.as_ref()) && newest.state == State::Live => {
            Err(Refusal::AlreadyLive { target: Box::new(target.clone()), tag: plan.tag.clone() }.into())
        }
        _ => Ok(()),
    }
}

/// A button is void once the branch has moved from the commit that it showed.
pub(super) fn still_head(request: &RequestFact, source: &Source) -> Result<(), Stop> {
    match request.origin.head().zip(source.head.as_ref()) {
        Some((was, is)) if was != is => Err(Refusal::HeadMoved { was: was.clone(), is: is.clone() }.into()),
        _ => Ok(()),
    }
}

/// What is to be deployed, or why it cannot be.
fn source(looked: &Looked, request: &RequestFact, app: &App) -> Result<Source, Stop> {
    let what = &request.words.what;
    let plain = |reference: Reference, branch: Option<BranchName>, head: Option<CommitSha>, title: &str| {
        let (repo, title) = (app.repo.clone(), title.to_owned());
        Source { tip: None, repo, reference, branch, head, title, author: None, url: None }
    };
    if let What::Named(word) = what {
        let kinds = meanings(looked, app, word);
        if kinds.len() > 1 {
            return Err(Refusal::SeveralNamed { word: word.to_string(), kinds }.into());
        }
        if kinds == [Kind::Channel]
            && let Some(channel) = app.channels.iter().find(|channel| channel.as_str() == word.as_str())
        {
            return Ok(plain(Reference::Channel(channel.clone()), None, None, ""));
        }
    }
    if let What::Channel(channel) = what {
        return Ok(plain(Reference::Channel(channel.clone()), None, None, ""));
    }
    match &looked.snapshot.source {
        SourceState::NoRepository => Err(Refusal::NoSuchRepository { repo: app.repo.clone() }.into()),
        state @ (SourceState::NoPullRequest | SourceState::NoBranch | SourceState::Nothing) => {
            Err(nothing(what, app, *state == SourceState::NoBranch))
        }
        SourceState::Several(kinds) => {
            Err(Refusal::SeveralNamed { word: what_word(what), kinds: kinds.clone() }.into())
        }
        SourceState::NotInBranch { head, branch } => {
            let typed = matches!(what, What::Commit { of: Some(_), .. });
            Err(Refusal::NotInBranch { head: head.clone(), branch: branch.clone(), typed }.into())
        }
        SourceState::PullRequest { number, open, from_fork, branch, base, head, title, author, url, .. } => {
            if *open != PrState::Open {
                let (merged, base) = (*open == PrState::Merged, Some(base.clone()));
                return Err(Refusal::PullRequestNotOpen { number: *number, merged, base }.into());
            }
            if *from_fork {
                return Err(Refusal::FromFork { number: *number }.into());
            }
            let known = plain(Reference::PullRequest(*number), Some(branch.clone()), Some(head.clone()), title);
            Ok(Source { author: author.clone(), url: Some(url.clone()), ..known })
        }
        SourceState::Branch { branch, head, title, .. } => {
            Ok(plain(Reference::Branch(branch.clone()), Some(branch.clone()), Some(head.clone()), title))
        }
        SourceState::Commit { reference, branch, head, title, .. } => {
            Ok(plain(reference.clone(), branch.clone(), Some(head.clone()), title))
        }
    }
}

/// The commit that is meant now.
pub(super) async fn meant<W: World>(site: &Site<'_, W>) -> Result<Option<CommitSha>, Stop> {
    let looked = prepare::read(site).await?;
    match looked.known() {
        Some(known) => Ok(known.source.head.clone()),
        None => Ok(source(&looked, site.request, site.app)?.head),
    }
}

/// There is nothing of that name.
fn nothing(what: &What, app: &App, no_branch: bool) -> Stop {
    let repo = app.repo.clone();
    let kinds = match what {
        What::PullRequest(number) | What::PullRequestOf { number, .. } => {
            return Refusal::NoSuchPullRequest { number: *number, repo }.into();
        }
        What::Branch(branch) => return Refusal::NoSuchBranch { branch: branch.clone(), repo }.into(),
        What::Tag { of: Some(branch), .. } | What::Commit { of: Some(branch), .. } if no_branch => {
            return Refusal::NoSuchBranch { branch: branch.clone(), repo }.into();
        }
        What::Tag { .. } => vec![Kind::Tag],
        What::Commit { .. } => vec![Kind::Commit],
        What::Named(word) => {
            let is_hex = CommitDigits::parse(word.as_str()).is_ok();
            if app.tags.is_empty() && !is_hex {
                return Refusal::NoSuchBranch { branch: word.clone(), repo }.into();
            }
            let more = [(!app.tags.is_empty()).then_some(Kind::Tag), is_hex.then_some(Kind::Commit)];
            [Kind::Branch].into_iter().chain(more.into_iter().flatten()).collect()
        }
        What::Channel(_) | What::Version(_) | What::Rollback(_) | What::Promote { .. } | What::Written => {
            return Stop::Leave("a version of before has no branch of its own");
        }
    };
    Refusal::NothingNamed { word: what_word(what), kinds, repo }.into()
}

/// What was typed.
fn what_word(what: &What) -> String {
    match what {
        What::Named(word) | What::Branch(word) => word.to_string(),
        What::Tag { tag, .. } => tag.to_string(),
        What::Commit { digits, .. } => digits.to_string(),
        _ => String::new(),
    }
}

/// The commit after which others below the app's path are new. If none of ours was ever live, that is our newest one
/// which reached the branch for the target.
pub(super) async fn since<W: World>(cx: &Context<'_, W>, target: &Target) -> Result<Option<CommitSha>, StoreError> {
    let taken = |committed: &CommittedFact| Some(committed.commit.target().taken.as_ref()?.newest.clone());
    if let Some(live) = store::load_key(cx.world, Live(target)).await? {
        let committed: Option<CommittedFact> = store::load_fact(cx.world, &live.id).await?;
        return Ok(Some(committed.as_ref().and_then(taken).unwrap_or(live.sha)));
    }
    let past = store::past(cx.world, target, cx.id).await?;
    let Some((id, newest)) = past.iter().find_map(|past| Some((&past.id, past.version()?))) else { return Ok(None) };
    let committed: Option<CommittedFact> = store::load_fact(cx.world, id).await?;
    Ok(Some(committed.as_ref().and_then(taken).unwrap_or(newest.sha.clone())))
}

/// The version that is in these files, if it was deployed to the target before.
pub(super) async fn written<'t, W: World>(
    site: &Site<'_, W>,
    past: &Versions,
    texts: impl Iterator<Item = (&'t FilePath, &'t str)>,
) -> Result<TargetPlan, Stop> {
    let mut all = Written::default();
    let ours = OurImage { name: &site.app.image, mirrors: &site.environment.mirrors };
    let at = At { tags: &site.environment.tag_at, digests: &site.environment.digest_at };
    for (path, text) in texts {
        let read = values::read_written(text, at, ours);
        let Written { tags, digests } = read.map_err(|why| Refusal::Edit { path: path.clone(), why })?;
        all.tags.extend(tags);
        all.digests.extend(digests);
    }
    let is_written =
        |version: &PastVersion| all.is(values::Version { tag: version.tag.as_str(), digest: version.digest.as_ref() });
    let known = match past.iter().find(|(_, version)| is_written(version)) {
        Some(known) => plan_of(site.cx, known).await?,
        None => None,
    };
    let target = Box::new(site.target.clone());
    Ok(known.ok_or_else(|| Refusal::UnknownWritten { target, tags: shown(&all) })?)
}

/// The versions that are written, each once, with the digest if that is one.
fn shown(written: &Written) -> Vec<String> {
    let tags: BTreeSet<&String> = written.tags.iter().collect();
    let digests: BTreeSet<&str> = written.digests.iter().map(Digest::short).collect();
    let digest = if digests.len() == 1 { digests.first().map(|digest| format!("@{digest}")) } else { None };
    tags.into_iter().take(5).map(|tag| format!("{tag}{}", digest.as_deref().unwrap_or_default())).collect()
}

/// Whether slack-command itself has decided to deploy that image of that commit. sync-poller's key is enough to make up a
/// history, and a version that was live passes over gates.
async fn is_decided<W: World>(cx: &Context<'_, W>, id: &DeploymentId, plan: &TargetPlan) -> Result<bool, StoreError> {
    let decided: Option<CommitFact> = store::load_fact(cx.world, id).await?;
    let same = |decided: &TargetPlan| {
        let of =
            |plan: &TargetPlan| (plan.target.clone(), plan.tag.clone(), plan.digest.clone(), plan.source.head.clone());
        of(decided) == of(plan)
    };
    Ok(decided.is_some_and(|decided| same(decided.target())))
}

/// The plan by which that version was committed. `None`: its facts are gone, or are of another commit.
pub(super) async fn plan_of<W: World>(
    cx: &Context<'_, W>,
    (id, version): &(DeploymentId, PastVersion),
) -> Result<Option<TargetPlan>, StoreError> {
    let committed: Option<CommittedFact> = store::load_fact(cx.world, id).await?;
    let committed = committed.filter(|committed| committed.sha == version.sha);
    Ok(committed.map(|committed| TargetPlan { was_live: false, ..committed.commit.target().clone() }))
}

/// The plan by which the version was committed that is live there.
pub(crate) async fn live<W: World>(cx: &Context<'_, W>, target: &Target) -> Result<Option<TargetPlan>, StoreError> {
    Ok(live_with_id(cx, target).await?.map(|(_, plan)| plan))
}

/// The same, and the deployment that brought it there.
pub(crate) async fn live_with_id<W: World>(
    cx: &Context<'_, W>,
    target: &Target,
) -> Result<Option<(DeploymentId, TargetPlan)>, StoreError> {
    let Some(live) = store::load_key(cx.world, Live(target)).await? else { return Ok(None) };
    let committed: Option<CommittedFact> = store::load_fact(cx.world, &live.id).await?;
    let plan =
        committed.filter(|committed| committed.sha == live.sha).map(|committed| committed.commit.target().clone());
    Ok(plan.filter(|plan| plan.target == *target).map(|plan| (live.id, plan)))
}

/// The version that is live where a promote comes from: the plan by which it was committed there.
pub(super) async fn promoted<W: World>(site: &Site<'_, W>) -> Result<TargetPlan, Stop> {
    let (cx, origin) = (site.cx, &site.request.origin);
    let Some(from) = &site.from else { return Err(Stop::Leave("a promote from nowhere")) };
    let nothing = |tag| Stop::from(Refusal::NothingToPromote { from: Box::new(from.clone()), tag });
    let live_id = store::load_key(cx.world, Live(from)).await?.ok_or_else(|| nothing(None))?.id;
    let plan = live(cx, from).await?.map(|plan| TargetPlan { was_live: false, ..plan });
    // The branch of another repository than now says nothing.
    let plan = plan.filter(|plan| plan.source.repo.is(site.app.repo.as_str()));
    let plan = plan.ok_or_else(|| nothing(None))?;
    let Some(head) = plan.source.head.clone() else { return Err(nothing(None)) };
    let Some(digest) = plan.digest.clone() else { return Err(nothing(Some(plan.tag))) };
    if let Some(was) = origin.head().filter(|was| **was != head) {
        return Err(Refusal::OtherLive { from: Box::new(from.clone()), was: was.clone(), is: plan.tag }.into());
    }
    let past = past(cx, from).await?;
    match past.first() {
        Some((id, newest)) if *id != live_id && !origin.knows_promoted(&digest) => {
            let (from, newest, tag) = (Box::new(from.clone()), newest.tag.clone(), plan.tag);
            Err(Refusal::NewerThere { from, newest, tag, head, digest }.into())
        }
        _ => Ok(plan),
    }
}

/// What the registry has under the tag of the target's image is not what is to be promoted.
pub(super) fn promoted_moved<W>(
    (site, from): (&Site<'_, W>, &Target),
    plan: &TargetPlan,
    (was, is): (&Digest, Option<Digest>),
) -> Stop {
    let (target, tag) = (Box::new(site.target.clone()), plan.tag.clone());
    match is {
        None => Refusal::NothingToPromote { from: Box::new(from.clone()), tag: Some(tag) }.into(),
        Some(is) => {
            let images = Box::new(Moved { was: was.clone(), is });
            Refusal::ImageMoved { target, tag, head: None, images, todo: MovedTag::Promoted }.into()
        }
    }
}

/// The version to go back to, from what we remember of the target.
pub(super) async fn earlier<W: World>(
    site: &Site<'_, W>,
    past: &Versions,
    version: &Version,
) -> Result<TargetPlan, Stop> {
    let (cx, target) = (site.cx, &site.target);
    let bad = store::load_key(cx.world, RolledBackVersions(target)).await?.unwrap_or_default();
    let found = match find_version(target, past, version, &bad)? {
        Earlier::Version(known) => {
            let mut plan = plan_of(cx, known).await?;
            if let Some(plan) = &mut plan {
                let ours = plan.image == site.app.image || site.environment.mirrors.contains(&plan.image);
                let could = ours && was_live(past, &known.1, &bad, cx.world.now());
                plan.was_live = could && is_decided(cx, &known.0, plan).await?;
                if ours {
                    // It may have had another of our names then.
                    plan.image = site.app.image.clone();
                }
            }
            plan
        }
        Earlier::Replaced(oldest, tag) => plan_of(cx, oldest).await?.map(|oldest| replaced(&oldest, tag)),
    };
    found.ok_or(Refusal::NoEarlierVersion { target: target.clone() }.into())
}

/// A version to go back to.
#[derive(Debug)]
enum Earlier<'p> {
    /// That version.
    Version(&'p (DeploymentId, PastVersion)),
    /// What our oldest one replaced: this tag.
    Replaced(&'p (DeploymentId, PastVersion), Tag),
}

/// The deployment that a version means, among those of the target that reached the branch, newest first.
fn find_version<'p>(
    target: &Target,
    past: &'p Versions,
    version: &Version,
    rolled_back: &RolledBack,
) -> Result<Earlier<'p>, Stop> {
    let unknown = |typed: String| {
        let mut known: Vec<String> = Vec::new();
        for (_, version) in past {
            if !known.iter().any(|tag| tag == version.tag.as_str()) && known.len() < 5 {
                known.push(version.tag.to_string());
            }
        }
        Stop::from(Refusal::UnknownVersion { target: target.clone(), typed, known })
    };
    match version {
        Version::LastHealthy => {
            // The newest that was committed is what runs, or should.
            let newest = past.first();
            let is_bad =
                |tag: &Tag, digest: Option<&Digest>| rolled_back.versions.iter().any(|bad| bad.is(tag, digest));
            let is_newest = |version: &PastVersion| {
                newest.is_some_and(|(_, newest)| newest.is(&version.tag, version.digest.as_ref()))
            };
            let live = past.iter().filter(|(_, version)| version.state == State::Live);
            let found = live
                .clone()
                .find(|(_, version)| !is_newest(version) && !is_bad(&version.tag, version.digest.as_ref()))
                .map(Earlier::Version);
            // None of ours was ever live: then what ran before our first deploy.
            let before = || {
                let oldest = past.last().filter(|_| live.count() == 0)?;
                let tag = Tag::parse(oldest.1.before.as_deref()?).ok().filter(|tag| *tag != oldest.1.tag)?;
                // The digest is that of the version that replaced it.
                (!is_bad(&tag, None)).then_some(Earlier::Replaced(oldest, tag))
            };
            found.or_else(before).ok_or(Refusal::NoEarlierVersion { target: target.clone() }.into())
        }
        Version::Back(n) => {
            let index = usize::try_from(n.saturating_sub(1)).unwrap_or(usize::MAX);
            past.get(index).map(Earlier::Version).ok_or_else(|| unknown(n.to_string()))
        }
        Version::Tag(tag) => {
            let found = past.iter().find(|(_, version)| version.tag.as_str() == tag);
            found.map(Earlier::Version).ok_or_else(|| unknown(tag.clone()))
        }
    }
}

/// How many live versions, the newest first, a rollback brings back whatever the gates say.
const MOST_LIVE: usize = 10;
/// How old such a version may be.
const OLDEST_LIVE: Duration = Duration::from_secs(90 * 24 * 3600);

/// Whether that version was live here, not long ago, by a commit that was ours alone, and was never rolled back from.
fn was_live(past: &Versions, version: &PastVersion, bad: &RolledBack, now: Timestamp) -> bool {
    let (tag, digest) = (&version.tag, version.digest.as_ref());
    let live = past.iter().map(|(_, other)| other).filter(|other| other.state == State::Live).take(MOST_LIVE);
    // A tag without a digest says nothing of one with a digest.
    let is_same = |other: &PastVersion| other.digest.is_some() == digest.is_some() && other.is(tag, digest);
    let ran = |other: &PastVersion| is_same(other) && other.took_over.is_none() && now.since(other.at) <= OLDEST_LIVE;
    version.took_over.is_none() && !bad.versions.iter().any(|bad| bad.is(tag, digest)) && live.clone().any(ran)
}

/// The plan of what ran before our oldest one.
fn replaced(oldest: &TargetPlan, tag: Tag) -> TargetPlan {
    let reference = oldest.source.branch.clone().map_or_else(|| oldest.source.reference.clone(), Reference::Branch);
    let (head, title, author, url) = (None, String::new(), None, None);
    let source = Source { reference, head, title, author, url, ..oldest.source.clone() };
    TargetPlan { tag, source, digest: None, ..oldest.clone() }
}

/// What is new in a version, as far as GitHub can compare it with the one before. People read it, and nothing
/// else depends on it.
pub(crate) async fn changes<W: World>(cx: &Context<'_, W>, plan: &TargetPlan) -> Option<ChangesFact> {
    let before = plan.previous.as_ref().filter(|before| before.head != plan.source.head)?;
    let (repo, head) = (&plan.source.repo, plan.source.head.as_ref()?);
    let since = before.head.as_ref()?;
    let compare = async || github::compare(cx.world, &cx.settings.github, repo, since, head).await;
    match cx.read(compare).await {
        Ok(Comparison { ahead, behind, commits, url, .. }) => {
            let commits = commits.into_iter();
            let commits =
                commits.map(|new| Change { sha: new.sha, headline: new.headline, login: new.login }).collect();
            Some(ChangesFact { since: before.tag.to_string(), ahead, behind, commits, url })
        }
        Err(fault) => {
            cx.world.log(Line::new("not_compared").of(cx.id).with_json("fault", &fault));
            None
        }
    }
}

/// The deployments of a target that reached the branch, newest first.
pub(super) async fn past<W: World>(
    cx: &Context<'_, W>,
    target: &Target,
) -> Result<Vec<(DeploymentId, PastVersion)>, StoreError> {
    let past = store::past(cx.world, target, cx.id).await?.into_iter();
    Ok(past.filter_map(|Past { id, at, became, .. }| Some((id, PastVersion { at, ..became.version()? }))).collect())
}

/// The deployment of a target that is under way: it has the turn at the target's application, or waits there while another
/// target has it.
pub(crate) async fn under_way<W: World>(
    cx: &Context<'_, W>,
    target: &Target,
    applications: &[ArgoApplication],
) -> Result<Option<(DeploymentId, Facts)>, Stop> {
    let (now, limits) = (cx.world.now(), &cx.settings.limits);
    let mut may_wait = false;
    for application in applications.iter() {
        let Some(current) = store::load_key(cx.world, Current(application)).await? else { continue };
        let facts = store::load(cx.world, &current.id).await?;
        if facts.keeps_busy(now, limits) {
            if current.target == *target {
                return Ok(Some((current.id, facts)));
            }
            may_wait = true;
        }
    }
    if !may_wait {
        return Ok(None);
    }
    let ring = store::load_key(cx.world, History(target)).await?.unwrap_or_default();
    // What is committed has the turn. Of the others, the newest.
    let newest: Vec<_> = ring.unsettled().collect();
    for id in newest.into_iter().rev() {
        match store::load(cx.world, id).await {
            Ok(facts) if facts.committed.is_none() && facts.keeps_busy(now, limits) => {
                return Ok(Some((id.clone(), facts)));
            }
            Ok(_) => {}
            // Of another version of ours: not for us to show.
            Err(error) if error.is_unreadable() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::super::prepare::tests::snapshot;
    use super::*;
    use Expected::{Found, Refused};
    use domain::catalog::Catalog;
    use domain::deployment::samples::{at, commit_to, id, live, relayed, request, sha, target_plan, user};
    use domain::deployment::{Failure, LastWord, Origin, OutcomeFact};
    use domain::lock::RolledBackVersion;
    use domain::names::{GitHubLogin, PullRequestNumber};

    fn deployed(tag: &str, word: Option<LastWord>) -> (DeploymentId, PastVersion) {
        let plan = TargetPlan { tag: Tag::parse(tag).unwrap(), digest: None, before: None, ..target_plan() };
        let outcome = word.map(|word| OutcomeFact { at: at(60), word, application: None });
        let facts = Facts { commit: Some(commit_to(plan)), outcome, ..relayed() };
        (id('1'), domain::message::past(&id('1'), &facts).unwrap().became.version().unwrap())
    }

    fn failed() -> Option<LastWord> {
        Some(LastWord::Failed { failure: Failure::NoApplication })
    }

    #[test]
    fn an_image_is_one_version_whatever_its_tag_is() {
        let digest = |digit: char| Digest::parse(&format!("sha256:{}", digit.to_string().repeat(64))).ok();
        let of = |tag: &str, digit: char| {
            let (id, version) = deployed(tag, Some(live()));
            (id, PastVersion { digest: digest(digit), ..version })
        };
        // The newest has another tag of the image before it, and the tag of another image long ago.
        let past = [of("main-1234567890ab", '2'), of("main-1234567", '2'), of("main-1234567890ab", '1'), of("v0", '0')];
        let back = |bad: &[RolledBackVersion]| {
            let bad = RolledBack { versions: bad.to_vec() };
            match find_version(&target_plan().target, &past, &Version::LastHealthy, &bad) {
                Ok(Earlier::Version((_, version))) => Some(version.digest.clone()),
                _ => None,
            }
        };
        assert_eq!(back(&[]), Some(digest('1')));
        let bad = RolledBackVersion {
            tag: "main-7654321".to_owned(),
            digest: digest('1'),
            moves: false,
            by: user("U1"),
            at: at(0),
            itself: false,
        };
        assert_eq!(back(&[bad]), Some(digest('0')));
        let plan = |(_, version): &(DeploymentId, PastVersion)| TargetPlan {
            tag: version.tag.clone(),
            digest: version.digest.clone(),
            ..target_plan()
        };
        assert!(not_live(&plan(&past[1]), &target_plan().target, &past).is_err());
        assert!(not_live(&plan(&past[2]), &target_plan().target, &past).is_ok());
    }

    #[test]
    fn what_was_live_not_long_ago_comes_back_whatever_the_gates_say() {
        let day = |n: u64| Timestamp::from_seconds(n * 24 * 3600);
        let of = |n: u64, word: Option<LastWord>| {
            let (id, version) = deployed(&format!("v{n}"), word);
            (id, PastVersion { at: day(n), ..version })
        };
        let past: Vec<_> = (0..20).rev().map(|n| of(n, Some(live()))).collect();
        let comes_back = |past: &Versions, n: u64, now: u64, bad: &[&str]| {
            let bad = bad.iter().map(|tag| RolledBackVersion {
                moves: false,
                tag: (*tag).to_owned(),
                digest: None,
                by: user("U1"),
                at: at(0),
                itself: false,
            });
            let bad = RolledBack { versions: bad.collect() };
            let found = past.iter().find(|(_, version)| version.tag.as_str() == format!("v{n}")).unwrap();
            was_live(past, &found.1, &bad, day(now))
        };
        assert!(comes_back(&past, 10, 20, &[]) && !comes_back(&past, 9, 20, &[]), "one of the last ten");
        assert!(comes_back(&past, 18, 108, &[]) && !comes_back(&past, 17, 108, &[]), "at most 90 days old");
        assert!(!comes_back(&past, 15, 20, &["v15"]), "it was rolled back from");
        let mut only_committed = past.clone();
        only_committed[5] = of(14, failed());
        assert!(!comes_back(&only_committed, 14, 20, &[]) && comes_back(&only_committed, 9, 20, &[]));
        let mut by_hand = past;
        by_hand[5].1.took_over = Some(sha('e'));
        assert!(!comes_back(&by_hand, 14, 20, &[]), "a person wrote it");
    }

    /// Which version is found, or why none.
    enum Expected<'a> {
        Found(&'a str),
        Refused(Refusal),
    }

    fn check(past: &Versions, version: Version, rolled_back: &[&str], expected: Expected<'_>) {
        let bad = |tag: &&str| RolledBackVersion {
            tag: (*tag).to_owned(),
            digest: None,
            moves: false,
            by: user("U1"),
            at: at(0),
            itself: false,
        };
        let rolled_back = RolledBack { versions: rolled_back.iter().map(bad).collect() };
        let found = find_version(&target_plan().target, past, &version, &rolled_back);
        match (found, expected) {
            (Ok(Earlier::Version((_, found))), Found(tag)) => assert_eq!(found.tag.as_str(), tag, "{version:?}"),
            (Ok(Earlier::Replaced(_, found)), Found(tag)) => assert_eq!(found.as_str(), tag, "{version:?}"),
            (Err(stop), Refused(refusal)) => assert_eq!(stop.refusal(), Some(refusal), "{version:?}"),
            (Ok(found), Refused(refusal)) => panic!("{version:?}: {found:?} and not {refusal:?}"),
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
        // None was ever live: what the first one replaced.
        let first = |tag: &str, before: &str| {
            let (id, version) = deployed(tag, failed());
            (id, PastVersion { before: Some(before.to_owned()), ..version })
        };
        check(&[v5.clone(), first("v1", "v0")], last(), &[], Found("v0"));
        check(&[first("v1", "v0")], last(), &["v0"], none());
        check(&[first("v1", "v1")], last(), &[], none());
        check(&[first("v1", "not a tag")], last(), &[], none());
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
            checks: domain::github::CommitChecks::default(),
            builds: Vec::new(),
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
            let looked = Looked::of(snapshot(state.clone(), Vec::new()));
            let found = source(&looked, &request, &app);
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
        let state = SourceState::Branch {
            branch: branch.clone(),
            head,
            title,
            checks: domain::github::CommitChecks::default(),
            builds: Vec::new(),
            reviews: domain::github::ReviewsState::default(),
        };
        let reference = Reference::Branch(branch.clone());
        let of_branch =
            Source { reference, branch: Some(branch.clone()), author: None, url: None, ..target_plan().source };
        check(by_branch(), state, Ok(of_branch));
        let no_branch = Refusal::NoSuchBranch { branch: branch.clone(), repo: repo.clone() };
        check(by_branch(), SourceState::NoBranch, Err(Some(no_branch)));
        check(by_branch(), SourceState::NoRepository, Err(Some(Refusal::NoSuchRepository { repo })));
    }

    fn tag(text: &str) -> Tag {
        Tag::parse(text).unwrap()
    }

    fn newest(text: &str, is_live: bool) -> Vec<(DeploymentId, PastVersion)> {
        vec![deployed(text, is_live.then(live))]
    }

    #[test]
    fn roll_back_is_void_once_another_version_was_deployed() {
        let target = target_plan().target;
        let check = |origin: Origin, past: &Versions, expected: Result<(), Option<Refusal>>| {
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
        let check = |version: &str, past: &Versions, expected: Result<(), Option<Refusal>>| {
            let plan = TargetPlan { tag: tag(version), digest: None, ..target_plan() };
            assert_eq!(not_live(&plan, &target, past).map_err(|stop| stop.refusal()), expected);
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
            let request = RequestFact { origin: Origin::Shown { of: id('1'), head, digest: None }, ..request() };
            assert_eq!(still_head(&request, &source).map_err(|stop| stop.refusal()), expected);
        };
        check(Some(sha('a')), Ok(()));
        check(Some(sha('c')), Err(Some(Refusal::HeadMoved { was: sha('c'), is: sha('a') })));
        check(None, Ok(()));
    }
}
