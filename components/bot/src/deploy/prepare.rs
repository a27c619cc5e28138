//! Prepare: one look at GitHub and one at the registry, and the plan that follows from them. Writes nothing
//! outside our own store.

use super::versions::{Built, Versions, Wanted};
use super::{catalog, seen, versions};
use crate::context::{Context, Stop};
use crate::settings::GitOps;
use crate::world::{Line, World, within};
use clients::github::{self, CatalogPlaces, FileState, Question, Snapshot, Sought, SourceState, Touch};
use clients::registry::{self, ImageState, Login};
use domain::catalog::{App, Environment, ForeignChanges, IncludePlace, NewestThere};
use domain::command::What;
use domain::deployment::{
    CommitFact, CommittedFact, End, GitOpsBranch, PastVersion, Plan, Previous, Reach, RequestFact, Rider, Riders,
    Source, TargetPlan, folder, is_below,
};
use domain::image::{Digest, ImageName, Tag};
use domain::limits;
use domain::names::{
    ArgoApplication, BlobSha, BranchName, CommitDigits, CommitSha, DeploymentId, FilePath, GitTag, RepoName, Target,
};
use domain::nonempty::NonEmpty;
use domain::refusal::Refusal;
use domain::seen::Found;
use domain::values::{self, At, Edit, EditRefusal, OddFile, OurImage};
use futures::future::{join, join_all};
use std::collections::BTreeSet;
use store::{DeployedImages, LastChallenge, Live, RegistryChallenge, StoreError};

/// Where the work happens: one request, and its target as the catalog has it.
pub(crate) struct Site<'a, W> {
    pub(crate) cx: &'a Context<'a, W>,
    pub(crate) request: &'a RequestFact,
    pub(crate) target: Target,
    /// Where the version is live that is to be promoted.
    pub(crate) from: Option<Target>,
    pub(crate) app: &'a App,
    pub(crate) environment: &'a Environment,
    pub(crate) applications: NonEmpty<ArgoApplication>,
    pub(crate) catalog: &'a BlobSha,
    /// Where the catalog's further files are.
    pub(crate) include: Vec<IncludePlace>,
    /// The images of other targets in its Argo CD application.
    pub(crate) beside: Vec<ImageName>,
    /// The folders of other targets' values files.
    pub(crate) others: Vec<String>,
}

/// The one query, and beside it the login that the image's registry is going to ask for.
pub(crate) async fn read<W: World>(site: &Site<'_, W>) -> Result<Looked, Stop> {
    let what = &site.request.words.what;
    // In boxes, because futures of futures are too deep for the compiler otherwise.
    let looked = Box::pin(look(site, what)).await?;
    match what {
        // A word that GitHub does not know: what was recorded of that version is asked for instead.
        What::Named(word) if looked.means_version(site.app, word) => {
            let Ok(tag) = Tag::parse(word.as_str()) else { return Ok(looked) };
            Box::pin(look(site, &What::Version(tag))).await
        }
        _ => Ok(looked),
    }
}

/// What the query looks for, and what is known besides.
#[derive(Default)]
struct Sight {
    sought: Sought,
    /// A version that was deployed before, or elsewhere, and is to be deployed again.
    earlier: Option<TargetPlan>,
    /// The version that a word may mean.
    named: Option<TargetPlan>,
    /// The values file in which the version was found.
    file: Option<FileState>,
    /// The commit of that version, whose checks count.
    checked: Option<CommitSha>,
}

impl Sight {
    /// A version as it was recorded. `sought`: what it was deployed from, where that is looked at once more.
    fn of(version: TargetPlan, sought: Sought) -> Self {
        let checked = version.source.head.clone();
        Self { sought, checked, earlier: Some(version), ..Self::default() }
    }
}

async fn sight<W: World>(site: &Site<'_, W>, what: &What, past: &Versions) -> Result<Sight, Stop> {
    let app = site.app;
    let sought = match what {
        What::PullRequest(number) | What::PullRequestOf { number, .. } => {
            Sought { pull_request: Some(*number), ..Sought::default() }
        }
        What::Branch(branch) => Sought { branch: Some(branch.clone()), ..Sought::default() },
        What::Tag { tag, of } => {
            versions::must_be_listed(app, tag)?;
            Sought { tag: Some(tag.clone()), of: of.clone(), ..Sought::default() }
        }
        What::Commit { digits, of } => Sought { commit: Some(digits.clone()), of: of.clone(), ..Sought::default() },
        What::Named(word) => Sought {
            branch: Some(word.clone()),
            tag: GitTag::parse(word.as_str()).ok().filter(|tag| app.takes_tag(tag)),
            commit: CommitDigits::parse(word.as_str()).ok(),
            ..Sought::default()
        },
        What::Channel(channel) => {
            versions::must_be_channel(app, channel)?;
            Sought::default()
        }
        // Its branch may be gone; the commit is not.
        What::Rollback(version) => {
            return Ok(Sight::of(versions::earlier(site, past, version).await?, Sought::default()));
        }
        What::Version(tag) => {
            let version = versions::by_tag(site, past, tag).await?;
            let sought = (&version.source.reference).into();
            return Ok(Sight::of(version, sought));
        }
        What::Promote { .. } => {
            let version = versions::promoted(site).await?;
            let sought = (&version.source.reference).into();
            return Ok(Sight::of(version, sought));
        }
        What::Written => {
            let (state, source) = in_file(site, past).await?;
            return Ok(Sight { file: Some(state), checked: source.head, ..Sight::default() });
        }
    };
    let named = match what {
        What::Named(word) => versions::named(site, past, word).await?,
        _ => None,
    };
    Ok(Sight { sought, named, ..Sight::default() })
}

async fn look<W: World>(site: &Site<'_, W>, what: &What) -> Result<Looked, Stop> {
    let cx = site.cx;
    let since = versions::since(cx, &site.target).await?;
    let past = match what {
        What::Rollback(_) | What::Written | What::Named(_) | What::Version(_) => {
            versions::past(cx, &site.target).await?
        }
        _ => Vec::new(),
    };
    let Sight { sought, earlier, named, file, checked } = sight(site, what, &past).await?;
    // What ran before is known already.
    let is_new = !what.stands_still();
    let reach = reach(site).await?;
    let folders = site.folders(&reach);
    let question = Question {
        gitops_repo: &cx.settings.gitops.repo,
        gitops_branch: &cx.settings.gitops.branch,
        values: site.environment.files.first(),
        also: site.environment.files.rest(),
        catalog: &cx.settings.catalog_path,
        include: &site.include,
        live: since.as_ref(),
        paths: &reach.paths,
        folders: &folders,
        app_repo: &site.app.repo,
        sought: &sought,
        built_from: if is_new && earlier.is_none() { &site.app.paths } else { &[] },
        named_checks: site.environment.gates.want_named_checks(),
        status: site.environment.gates.want_status(),
        reviews: is_new && site.environment.gates.want_reviews(),
        checks_of: checked.as_ref(),
    };
    let snapshot = cx.read(async || github::snapshot(cx.world, &cx.settings.github, &question).await);
    let knows_digest = matches!(what, What::Rollback(_)) && !site.environment.digest_at.is_empty();
    let login = async { if knows_digest { None } else { log_in_ahead(cx, &site.app.image).await } };
    let (snapshot, login) = join(snapshot, login).await;
    let snapshot = snapshot.map_err(|error| catalog::read_error(cx, error))?;
    // The checks that were asked for are those of the version that was in the file.
    if file.is_some_and(|file| file != snapshot.values) {
        Err(Stop::Moved)
    } else {
        Ok(Looked { snapshot, past, earlier, named, reach, login })
    }
}

/// The first values file as it is now, and the version in it that was deployed before.
async fn in_file<W: World>(site: &Site<'_, W>, past: &Versions) -> Result<(FileState, Source), Stop> {
    let cx = site.cx;
    let (path, gitops) = (site.environment.files.first(), &cx.settings.gitops);
    let of = CatalogPlaces { repo: &gitops.repo, branch: &gitops.branch, path, places: &[] };
    let read = async || github::catalog(cx.world, &cx.settings.github, &of).await;
    let now = cx.read(read).await.map_err(|error| catalog::read_error(cx, error))?.file;
    let text = text_of(cx, path, &now).await?;
    let known = versions::written(site, past, std::iter::once((path, text.as_str()))).await?;
    Ok((now, known.source))
}

/// What the one query showed.
pub(crate) struct Looked {
    pub(crate) snapshot: Snapshot,
    /// What was deployed before, where that is to be deployed again.
    past: Vec<(DeploymentId, PastVersion)>,
    /// What is to be deployed again, or was promoted, where that was asked for.
    earlier: Option<TargetPlan>,
    /// The version that a word may mean, and that is not asked for so far.
    pub(super) named: Option<TargetPlan>,
    /// Where other people's changes were looked for.
    pub(crate) reach: Reach,
    pub(crate) login: Option<Login>,
}

impl Looked {
    /// The version that was deployed before, or elsewhere, and is asked for.
    pub(super) fn known(&self) -> Option<&TargetPlan> {
        self.earlier.as_ref()
    }

    /// Whether the word is nothing else than a version that was deployed before.
    fn means_version(&self, app: &App, word: &BranchName) -> bool {
        let is_channel = app.channels.iter().any(|channel| channel.as_str() == word.as_str());
        let is_unknown = matches!(self.snapshot.source, SourceState::Nothing | SourceState::NoBranch);
        self.named.is_some() && is_unknown && !is_channel
    }
}

/// Where to look for other people's changes: the folders of the values files, what the catalog and Argo CD name. A target that
/// refuses them, and of which nobody says what it reads, may read everything.
async fn reach<W: World>(site: &Site<'_, W>) -> Result<Reach, Stop> {
    let (environment, repo) = (site.environment, &site.cx.settings.gitops.repo);
    let mut reach = Reach::default();
    environment.files.iter().for_each(|file| reach.add(folder(file.as_str())));
    environment.watch.iter().for_each(|path| reach.add(path.as_str()));
    let mut is_said = !environment.watch.is_empty();
    let mut all_annotated = true;
    for application in site.applications.iter() {
        match seen::seen(site, application).await?.map(|seen| seen.found) {
            Some(Found::There(shown)) => {
                let annotation = shown.generate_paths.as_deref();
                reach.add_sources(&shown.sources, annotation, repo);
                all_annotated &= annotation.is_some_and(|text| !text.trim().is_empty());
            }
            _ => all_annotated = false,
        }
    }
    is_said |= all_annotated;
    reach.everything |= environment.gates.foreign_changes == ForeignChanges::Refuse && !is_said;
    Ok(reach)
}

/// The most folders whose entries are compared. What is deeper counts as its folder.
const MOST_FOLDERS: usize = 40;

impl<W> Site<'_, W> {
    /// The folders to compare where everything counts: those that have folders of targets, or files of the catalog, in them.
    fn folders(&self, reach: &Reach) -> Vec<String> {
        if !reach.everything {
            return Vec::new();
        }
        let mut folders = vec![String::new()];
        let catalogs = self.include.iter().map(|place| match place {
            IncludePlace::File(path) => path.to_string(),
            IncludePlace::Folder(folder) => format!("{folder}/"),
        });
        for path in reach.paths.iter().chain(&self.others).cloned().chain(catalogs) {
            for (at, _) in path.match_indices('/') {
                let above = path.get(..at).unwrap_or_default();
                if folders.len() < MOST_FOLDERS && !folders.iter().any(|known| known == above) {
                    folders.push(above.to_owned());
                }
            }
        }
        folders
    }

    /// What has changed of the rest of the repository: neither what was counted already, nor what is other targets' alone.
    fn elsewhere(&self, snapshot: &Snapshot, reach: &Reach) -> Vec<(String, String)> {
        let folders = self.folders(reach);
        let counts = |(path, _): &&(String, String)| {
            let counted = reach.paths.iter().any(|known| is_below(path, known));
            let theirs = self.others.iter().any(|other| is_below(path, other));
            let is_catalog = path.as_str() == self.cx.settings.catalog_path.as_str()
                || FilePath::parse(path).is_ok_and(|path| self.include.iter().any(|place| place.has(&path)));
            !counted && !theirs && !is_catalog && !folders.contains(path)
        };
        snapshot.changed.iter().filter(counts).cloned().collect()
    }
}

/// Logs in as the registry asked last time. Without that the registry asks again, which takes two round
/// trips more.
async fn log_in_ahead<W: World>(cx: &Context<'_, W>, image: &ImageName) -> Option<Login> {
    let known = store::load_key(cx.world, LastChallenge(image.host())).await.ok().flatten()?;
    let login = registry::log_in_ahead(cx.world, &cx.settings.registry, image, &known.challenge);
    within(cx.world, limits::LOGIN_AHEAD, login).await.flatten()
}

/// What the registry knows of these tags of an image, if that registry may be asked. How the registry asked for a login is
/// remembered for the next time.
async fn ask_registry<W: World>(
    cx: &Context<'_, W>,
    image: &ImageName,
    tags: &NonEmpty<Tag>,
    login: Option<Login>,
) -> Result<Vec<ImageState>, Stop> {
    let registry = &cx.settings.registry;
    if !registry.has(image) {
        let variable = registry.free_variable().map(str::to_owned);
        return Err(Refusal::RegistryNotNamed { image: image.clone(), variable }.into());
    }
    let look = async || registry::image_digests(cx.world, registry, image, tags, login.clone()).await;
    let looked = cx.read(look).await?;
    if let Some(challenge) = looked.challenge {
        let challenge = RegistryChallenge { challenge };
        // A hint: without it the registry is asked as if for the first time.
        if let Err(error) = store::save_key(cx.world, LastChallenge(image.host()), &challenge).await {
            cx.world.log(Line::error("login_not_remembered").of(cx.id).with("cause", error.why()));
        }
    }
    Ok(looked.states)
}

/// Source, tag, image, edit. `begun`: the plan of an attempt that may still land. Its version may not change.
pub(crate) async fn prepare<W: World>(
    site: &Site<'_, W>,
    begun: Option<&CommitFact>,
    looked: &Looked,
) -> Result<Prepared, Stop> {
    let Looked { snapshot, earlier, reach, login, .. } = looked;
    let (fixed, deployed) = match begun {
        Some(commit) => (commit.target().clone(), None),
        None => wanted(site, looked, (earlier.as_ref(), login.clone())).await?,
    };
    let edits = edits(site, snapshot, &fixed).await?;
    let before = edits.first().and_then(|file| file.edit.before.tags.first()).cloned();
    let (riders, previous, there) = since_live(site, snapshot).await?;
    let elsewhere = site.elsewhere(snapshot, reach);
    let refuses = site.environment.gates.foreign_changes == ForeignChanges::Refuse;
    let target =
        TargetPlan { before, riders, reach: reach.clone(), there, elsewhere, alone: refuses, previous, ..fixed };
    let GitOps { repo, branch } = site.cx.settings.gitops.clone();
    let gitops = GitOpsBranch { repo, branch, is_default: snapshot.is_default, url: snapshot.url.clone() };
    Ok(Prepared {
        plan: Plan { gitops, targets: NonEmpty::one(target), argocd: Some(site.cx.settings.argocd.clone()) },
        edits,
        deployed,
    })
}

/// The version that is wanted now, with what the registry says of its image. What it replaces is not looked
/// up yet.
async fn wanted<W: World>(
    site: &Site<'_, W>,
    looked: &Looked,
    (earlier, login): (Option<&TargetPlan>, Option<Login>),
) -> Result<(TargetPlan, Option<Digest>), Stop> {
    let Wanted { source, image, builds, deployed, was_live } =
        versions::wanted(site, looked, (&looked.past, earlier)).await?;
    let found = build_of(site, (&image, &builds, &deployed), earlier, login).await?;
    let Some((built, tag, digest)) = found else {
        let newest = builds.first();
        let tag = newest.tags.rest().last().unwrap_or(newest.tags.first()).clone();
        let longer = !newest.tags.rest().is_empty();
        let url = source.head.as_ref().and_then(|head| {
            checks_url(&source.repo, head, &looked.snapshot, &site.cx.settings.gitops.repo).map(String::into_boxed_str)
        });
        return Err(Refusal::NoImage { image, tag, longer, head: source.head.map(Box::new), url }.into());
    };
    let tip = source.head.clone().filter(|head| Some(head) != built.head.as_ref());
    let title = built.title.clone().unwrap_or(source.title);
    let source = Source { head: built.head.clone(), tip, title, ..source };
    versions::still_head(site.request, &source)?;
    let (environment, tag, deployed) = (site.environment, tag.clone(), deployed_before(&deployed, built));
    let digest_ran = digest.is_some() && digest == deployed;
    let plan = TargetPlan {
        target: site.target.clone(),
        source,
        image,
        tag,
        before: None,
        digest,
        files: environment.files.clone(),
        applications: site.applications.clone(),
        deadline: environment.deadline,
        degraded_grace: environment.degraded_grace,
        mirrors: environment.mirrors.clone(),
        beside: site.beside.clone(),
        verify_running: environment.verify_running,
        home: environment.home.clone(),
        sync: environment.sync,
        riders: Riders::FirstDeploy,
        reach: Reach::default(),
        there: Vec::new(),
        elsewhere: Vec::new(),
        pinned: !environment.digest_at.is_empty(),
        alone: false,
        rollback: matches!(site.request.words.what, What::Rollback(_)),
        // Another image under its tag never ran.
        was_live: was_live && digest_ran,
        auto_rollback: environment.auto_rollback,
        promoted_from: site.from.as_ref().map(|from| from.environment.clone()),
        promotes_to: site.app.promotes_to(&site.target.environment).cloned(),
        previous: None,
        taken: None,
        contact: environment.contact.clone(),
        catalog: Some(site.cx.catalog_page()),
    };
    Ok((plan, deployed))
}

/// The page of the commit's checks. The GitOps repository's page is on the same web site as the app's repository.
pub(super) fn checks_url(repo: &RepoName, head: &CommitSha, snapshot: &Snapshot, gitops: &RepoName) -> Option<String> {
    let site = snapshot.url.strip_suffix(gitops.as_str())?;
    Some(format!("{site}{repo}/commit/{head}/checks"))
}

/// The image that was deployed of the same commit, whatever its tag was.
fn deployed_before(deployed: &DeployedImages, built: &Built) -> Option<Digest> {
    built.tags.iter().find_map(|tag| deployed.of(tag)).cloned()
}

/// The build that is to run. `earlier`: the version to bring back, or to promote, whose image is known.
async fn build_of<'b, W: World>(
    site: &Site<'_, W>,
    (image, builds, deployed): (&ImageName, &'b NonEmpty<Built>, &DeployedImages),
    earlier: Option<&TargetPlan>,
    login: Option<Login>,
) -> Result<Option<(&'b Built, &'b Tag, Option<Digest>)>, Stop> {
    let cx = site.cx;
    // In a box, because futures of futures are too deep for the compiler otherwise.
    let look = || Box::pin(look_for(cx, image, builds, login));
    let newest = builds.first();
    let as_known = |known: Digest| Some((newest, newest.tags.first(), Some(known)));
    // It is written by its digest, whatever stands behind the tag now.
    let is_pinned = !site.environment.digest_at.is_empty();
    if let Some(((from, plan), was)) = site.from.as_ref().zip(earlier).and_then(|at| Some((at, at.1.digest.as_ref()?)))
    {
        if is_pinned && plan.image == *image {
            return Ok(as_known(was.clone()));
        }
        let found = look().await?;
        return match &found {
            Some((_, _, is)) if is.as_ref() != Some(was) => {
                Err(versions::promoted_moved((site, from), plan, (was, is.clone())))
            }
            _ => Ok(found),
        };
    }
    Ok(match (&site.request.words.what, deployed_before(deployed, newest)) {
        (What::Rollback(_), Some(known)) if is_pinned => as_known(known),
        // What ran is known without the registry, and is needed now.
        (What::Rollback(_), Some(known)) => match within(cx.world, limits::REGISTRY_FOR_ROLLBACK, look()).await {
            Some(Err(Stop::End(End::Failed { .. }))) | None => {
                cx.world.log(Line::error("registry_not_waited_for").of(cx.id).with("image", image.to_string()));
                as_known(known)
            }
            Some(found) => found?,
        },
        _ => look().await?,
    })
}

/// The edit once more, in a file that another target of the same commit has changed.
pub(super) fn edit_again<W>(site: &Site<'_, W>, plan: &TargetPlan, path: &FilePath, text: &str) -> Result<Edit, Stop> {
    let ours = OurImage { name: &plan.image, mirrors: &plan.mirrors };
    let at = At { tags: &site.environment.tag_at, digests: &site.environment.digest_at };
    let version = values::Version { tag: plan.tag.as_str(), digest: plan.digest.as_ref() };
    values::set_tag(text, at, ours, version).map_err(|why| Refusal::Edit { path: path.clone(), why }.into())
}

/// One edit for each file.
async fn edits<W: World>(site: &Site<'_, W>, snapshot: &Snapshot, plan: &TargetPlan) -> Result<Vec<FileEdit>, Stop> {
    let mut edits = Vec::new();
    let (ours, tag) = (OurImage { name: &plan.image, mirrors: &plan.mirrors }, &plan.tag);
    let at = At { tags: &site.environment.tag_at, digests: &site.environment.digest_at };
    if !at.digests.is_empty() && plan.digest.is_none() {
        return Err(Refusal::NoDigest { target: Box::new(plan.target.clone()), image: plan.image_ref() }.into());
    }
    let version = values::Version { tag: tag.as_str(), digest: plan.digest.as_ref() };
    for (path, before) in texts(site, snapshot).await? {
        let edit =
            values::set_tag(&before, at, ours, version).map_err(|why| Refusal::Edit { path: path.clone(), why })?;
        edits.push(FileEdit { path: path.clone(), before, edit });
    }
    if site.request.words.what == What::Written && !edits.iter().all(|file| file.edit.before.is(version)) {
        // Nobody asked for anything else than what is there.
        return Err(Stop::Leave("the file changed while a commit may still land"));
    }
    Ok(edits)
}

/// What rides along, the version that is live until then, and, where there is none, what people have pushed.
async fn since_live<W: World>(
    site: &Site<'_, W>,
    snapshot: &Snapshot,
) -> Result<(Riders, Option<Previous>, Vec<CommitSha>), Stop> {
    let cx = site.cx;
    let found = riders(snapshot, &ours(cx, &snapshot.since_live).await?);
    let Some(live) = store::load_key(cx.world, Live(&site.target)).await? else {
        // People read that nobody knows what runs. Who refuses what is foreign counts from what reached the branch.
        let counts = site.environment.gates.foreign_changes == ForeignChanges::Refuse;
        if counts && versions::since(cx, &site.target).await?.is_some() {
            return Ok((found, None, Vec::new()));
        }
        let there = match found {
            Riders::Since { commits, .. } => commits.into_iter().map(|rider| rider.sha).collect(),
            Riders::FirstDeploy => Vec::new(),
        };
        return Ok((Riders::FirstDeploy, None, there));
    };
    // As it was committed: the key `commit` alone may have been written late.
    let committed: Option<CommittedFact> = store::load_fact(cx.world, &live.id).await?;
    let previous = committed.as_ref().map(|committed| committed.commit.target());
    let previous = previous.map(|plan| Previous { tag: plan.tag.clone(), head: plan.source.head.clone() });
    Ok((found, previous, Vec::new()))
}

/// The values files as they are at the snapshot's commit.
pub(super) async fn texts<'p, W: World>(
    site: &Site<'p, W>,
    snapshot: &Snapshot,
) -> Result<Vec<(&'p FilePath, String)>, Stop> {
    let mut texts = Vec::new();
    for (path, state) in site.environment.files.iter().zip(std::iter::once(&snapshot.values).chain(&snapshot.also)) {
        texts.push((path, text_of(site.cx, path, state).await?));
    }
    Ok(texts)
}

async fn text_of<W: World>(cx: &Context<'_, W>, path: &FilePath, state: &FileState) -> Result<String, Stop> {
    let odd = |file| Stop::from(Refusal::Edit { path: path.clone(), why: EditRefusal::NotPlain { file } });
    let (blob, text, size) = match state {
        FileState::File { odd: Some(file), .. } => return Err(odd(*file)),
        FileState::Submodule => return Err(odd(OddFile::Submodule)),
        FileState::File { blob, text, size, odd: None } => (blob, text, size),
        FileState::Missing => {
            let repo = cx.settings.gitops.repo.clone();
            return Err(Refusal::NoValuesFile { path: path.clone(), repo }.into());
        }
    };
    let text = catalog::exact_text(cx, blob, text.as_deref(), *size).await?;
    Ok(text.map_err(|why| Refusal::Edit { path: path.clone(), why })?)
}

/// The first of the commits that has an image, and its tag with the most digits. If a commit has several, they have to be one
/// image.
async fn look_for<'t, W: World>(
    cx: &Context<'_, W>,
    image: &ImageName,
    builds: &'t NonEmpty<Built>,
    login: Option<Login>,
) -> Result<Option<(&'t Built, &'t Tag, Option<Digest>)>, Stop> {
    // Two commits may begin with the same digits.
    let mut more: Vec<Tag> = Vec::new();
    let first = builds.first().tags.first();
    for tag in builds.iter().flat_map(|built| built.tags.iter()) {
        if tag != first && !more.contains(tag) {
            more.push(tag.clone());
        }
    }
    let tags = NonEmpty::new(first.clone(), more);
    let states = ask_registry(cx, image, &tags, login).await?;
    let digest_of = |tag: &Tag| {
        let state = tags.iter().zip(&states).find(|(asked, _)| *asked == tag).map(|(_, state)| state);
        state.and_then(|state| if let ImageState::Found(digest) = state { Some(digest.clone()) } else { None })
    };
    for built in builds.iter() {
        let found: Vec<_> = built.tags.iter().filter_map(|tag| Some((tag, digest_of(tag)?))).collect();
        let differs =
            found.iter().any(|(_, digest)| digest.is_none() || found.first().is_some_and(|(_, first)| digest != first));
        if differs && found.len() > 1 {
            let found = found.into_iter().map(|(tag, digest)| (tag.clone(), digest)).collect();
            return Err(Refusal::ImagesDiffer { image: image.clone(), found }.into());
        }
        if let Some((tag, digest)) = found.into_iter().next() {
            return Ok(Some((built, tag, digest)));
        }
    }
    Ok(None)
}

/// What would be committed.
pub(crate) struct Prepared {
    pub(crate) plan: Plan,
    /// Of each values file, also of those that have the tag already.
    pub(crate) edits: Vec<FileEdit>,
    /// The image that was deployed under the tag before, if it was.
    pub(crate) deployed: Option<Digest>,
}

/// One values file.
pub(crate) struct FileEdit {
    pub(crate) path: FilePath,
    /// Its text before.
    pub(crate) before: String,
    pub(crate) edit: Edit,
}

/// Which of these commits are deploys of ours: the commit is the one that is stored as `committed`. What a
/// message, an account or a headline says counts for nothing: with a personal token, the bot's account is
/// also a person's.
pub(super) async fn ours<W: World>(cx: &Context<'_, W>, touches: &[Touch]) -> Result<BTreeSet<CommitSha>, StoreError> {
    ours_of(cx, touches.iter().flat_map(|touch| &touch.deploy_ids)).await
}

/// The newest commit of the GitOps branch that is no deploy of ours, if the gates want to know its checks. What a commit says of
/// itself counts as little as above: a status of a commit that only names a deployment counts for that commit.
pub(super) async fn newest_there<W: World>(
    site: &Site<'_, W>,
    snapshot: &Snapshot,
) -> Result<Option<NewestThere>, StoreError> {
    let named = snapshot.newest.iter().take_while(|commit| !commit.deploy_ids.is_empty());
    let ours = ours_of(site.cx, named.flat_map(|commit| &commit.deploy_ids)).await?;
    let newest = snapshot.newest.iter().find(|commit| !ours.contains(&commit.sha));
    Ok(newest.map(|newest| NewestThere {
        sha: newest.sha.clone(),
        url: format!("{}/commit/{}", snapshot.url, newest.sha),
        checks: newest.checks.clone(),
    }))
}

async fn ours_of<W: World>(
    cx: &Context<'_, W>,
    named: impl Iterator<Item = &DeploymentId>,
) -> Result<BTreeSet<CommitSha>, StoreError> {
    let stored = join_all(named.map(|id| store::load_fact::<CommittedFact>(cx.world, id))).await;
    let stored = stored.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(stored.into_iter().flatten().map(|committed| committed.sha).collect())
}

/// Everything below the app's paths since the live commit, but our own deploys, which are of other targets, and what was
/// changed back.
fn riders(snapshot: &Snapshot, ours: &BTreeSet<CommitSha>) -> Riders {
    let theirs = snapshot.since_live.iter().filter(|touch| touch.lasts && !ours.contains(&touch.sha));
    let commits = theirs.map(|touch| Rider {
        sha: touch.sha.clone(),
        who: touch.login.as_ref().map_or_else(|| touch.name.clone(), |login| login.to_string()),
        headline: touch.headline.clone(),
    });
    Riders::Since { commits: commits.collect(), more: !snapshot.complete }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use domain::deployment::samples::{id, sha};
    use domain::names::GitHubLogin;

    pub(in crate::deploy) fn snapshot(source: SourceState, since_live: Vec<Touch>) -> Snapshot {
        Snapshot {
            viewer: GitHubLogin::parse("acme-bot").unwrap(),
            url: "https://github.com/acme/gitops".to_owned(),
            is_default: true,
            head: sha('f'),
            values: FileState::Missing,
            also: Vec::new(),
            included: Vec::new(),
            catalog: FileState::Missing,
            since_live,
            complete: true,
            changed: Vec::new(),
            newest: Vec::new(),
            source,
            checked: None,
        }
    }

    impl Looked {
        pub(in crate::deploy) fn of(snapshot: Snapshot) -> Self {
            let (past, reach) = (Vec::new(), Reach::default());
            Self { snapshot, past, earlier: None, named: None, reach, login: None }
        }
    }

    #[test]
    fn everything_rides_along_but_our_own_deploys() {
        let check = |login: Option<&str>, stored: bool, who: Option<&str>| {
            let login = login.map(|login| GitHubLogin::parse(login).unwrap());
            // The words of a deploy in the message prove nothing.
            let headline = "Deploy search 7".to_owned();
            let (deploy_ids, name) = (vec![id('1')], "Bob".to_owned());
            let touch = Touch { sha: sha('a'), headline: headline.clone(), deploy_ids, login, name, lasts: true };
            let ours = stored.then(|| sha('a')).into_iter().collect();
            let rider = who.map(|who| Rider { sha: sha('a'), who: who.to_owned(), headline });
            let expected = Riders::Since { commits: rider.into_iter().collect(), more: false };
            assert_eq!(riders(&snapshot(SourceState::NoBranch, vec![touch]), &ours), expected);
        };
        check(Some("bob"), false, Some("bob"));
        check(None, false, Some("Bob"));
        check(Some("acme-bot"), false, Some("acme-bot"));
        check(Some("acme-bot"), true, None);
        check(None, true, None);

        let far_back = Snapshot { complete: false, ..snapshot(SourceState::NoBranch, Vec::new()) };
        assert_eq!(riders(&far_back, &BTreeSet::new()), Riders::Since { commits: Vec::new(), more: true });
    }
}
