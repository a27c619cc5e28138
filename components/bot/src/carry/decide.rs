//! Decide: what is asked for, whether it may be, and what exactly would be committed. Reads the catalog, GitHub and the registry, writes
//! nothing outside our own store.

use super::commit::Held;
use super::{BRANCH_RETRY, Carrier, LIFE, Stop, WRITE};
use crate::log::Line;
use crate::settings::SlackCommandSettings;
use crate::world::World;
use clients::github;
use clients::github::{FileState, PrState, Question, ReadError, Snapshot, SourceState};
use clients::registry;
use clients::registry::{ImageState, Login};
use clients::slack;
use clients::slack::SlackError;
use domain::catalog::{App, Approvals, Catalog, CatalogError, Checks, Decision, Environment, ForeignChanges, People};
use domain::command::{self, TargetWords, What};
use domain::deployment::Reference;
use domain::deployment::{
    Candidate, Change, ChangesFact, CommitFact, CommittedFact, Facts, GitOpsBranch, Granted, Plan, Previous,
    RequestFact, Rider, Riders, Source, State, Taken, TargetPlan,
};
use domain::fault::{Cause, Changed, Fault, System};
use domain::image::{Digest, ImageName, ImageRef, Tag};
use domain::lock::TargetLock;
use domain::message;
use domain::names::{
    ArgoApplication, BlobSha, CommitSha, DeploymentId, FilePath, GitHubLogin, SlackChannel, SlackGroup, SlackUser,
    Target,
};
use domain::nonempty::NonEmpty;
use domain::push::Managed;
use domain::refusal::Refusal;
use domain::time::Timestamp;
use domain::values;
use domain::values::{Edit, EditRefusal};
use futures::future::{Either, join, select};
use std::pin::pin;
use std::time::Duration;
use store::{
    CachedCatalog, CatalogCache, Current, History, Lease, Live, Lock, LockOfAll, ManagedFiles, RegistryChallenge,
    RegistryLogin, RolledBackVersions, StoreError,
};

/// How long a login ahead of the question may take: it is to save time.
const LOGIN_AHEAD: Duration = Duration::from_secs(2);

/// How long a refusal waits for the message that it links to.
const POSTING: Duration = Duration::from_secs(3);

/// Where things are read and decided, by whoever carries a deployment out, and by whoever only answers a question.
pub(crate) struct Desk<'a, W> {
    pub(crate) world: &'a W,
    pub(crate) settings: &'a SlackCommandSettings,
    /// For the log: the deployment, or the question.
    pub(crate) id: &'a DeploymentId,
}

impl<W: World> Desk<'_, W> {
    /// The catalog as we last read it. Whoever goes by it looks at it again at the commit that is built on, see [`Desk::same_catalog`], and
    /// before a refusal: it saves a round trip and decides nothing.
    pub(crate) async fn cached_catalog(&self) -> Option<(BlobSha, Catalog)> {
        let now = self.world.now();
        let cached = store::load_key(self.world, CatalogCache).await.ok().flatten()?;
        let fresh = now.since(cached.at) < Duration::from_millis(self.settings.tempo.catalog_age) && cached.at <= now;
        let catalog = Catalog::parse(&cached.text).ok().filter(|_| fresh)?;
        Some((cached.blob, catalog))
    }

    /// The catalog as it is on the branch now.
    pub(crate) async fn read_catalog(&self) -> Result<(BlobSha, Catalog), Stop> {
        let (gitops, path) = (&self.settings.gitops, &self.settings.catalog_path);
        let state = github::catalog(self.world, &self.settings.github, &gitops.repo, &gitops.branch, path)
            .await
            .map_err(|error| self.read_error(error))?;
        let cached = self.cache_catalog(&state).await?;
        let catalog = Catalog::parse(&cached.text).map_err(|error| self.broken_catalog(error))?;
        Ok((cached.blob, catalog))
    }

    async fn cache_catalog(&self, state: &FileState) -> Result<CachedCatalog, Stop> {
        let FileState::File { blob, text, size } = state else {
            let gitops = &self.settings.gitops;
            let (path, repo, branch) = (self.settings.catalog_path.clone(), gitops.repo.clone(), gitops.branch.clone());
            return Err(Refusal::NoCatalog { path, repo, branch }.into());
        };
        let (now, half) = (self.world.now(), Duration::from_millis(self.settings.tempo.catalog_age / 2));
        if let Ok(Some(known)) = store::load_key(self.world, CatalogCache).await
            && known.blob == *blob
            && known.at <= now
            && now.since(known.at) < half
        {
            self.note_managed(&known.text).await?;
            return Ok(known);
        }
        let text = self.exact_text(blob, text.as_deref(), *size).await?.map_err(|why| {
            let (line, problem) = match why {
                EditRefusal::NotUtf8 { line } => (Some(line), "it is not UTF-8"),
                _ => (None, "it is too large"),
            };
            self.broken_catalog(CatalogError { line, problem: problem.to_owned() })
        })?;
        let cached = CachedCatalog { at: now, blob: blob.clone(), text };
        // First: whoever finds the catalog remembered may rely on it that this is, too.
        self.note_managed(&cached.text).await?;
        store::save_key(self.world, CatalogCache, &cached).await?;
        Ok(cached)
    }

    /// For the relay, which knows no catalog: whom a push of people concerns.
    async fn note_managed(&self, text: &str) -> Result<(), StoreError> {
        let Ok(catalog) = Catalog::parse(text) else { return Ok(()) };
        let managed = Managed::of(&catalog);
        match store::load_key(self.world, ManagedFiles).await {
            Ok(known) if known.as_ref() == Some(&managed) => Ok(()),
            Err(error) if !error.is_unreadable() => Err(error),
            _ => store::save_key(self.world, ManagedFiles, &managed).await,
        }
    }

    fn broken_catalog(&self, error: CatalogError) -> Refusal {
        Refusal::BrokenCatalog { path: self.settings.catalog_path.clone(), error }
    }

    /// The exact bytes of a blob as text: as the query gave them, or raw where GitHub changed them on the way.
    async fn exact_text(
        &self,
        blob: &BlobSha,
        text: Option<&str>,
        size: u64,
    ) -> Result<Result<String, EditRefusal>, Fault> {
        if let Some(text) = text {
            return Ok(Ok(text.to_owned()));
        }
        let (bytes, limit) = (usize::try_from(size).unwrap_or(usize::MAX), values::LARGEST);
        if bytes > limit {
            return Ok(Err(EditRefusal::TooLarge { bytes, limit }));
        }
        let bytes = github::raw_blob(self.world, &self.settings.github, &self.settings.gitops.repo, blob).await?;
        Ok(values::text_of(&bytes).map(str::to_owned))
    }

    pub(crate) fn read_error(&self, error: ReadError) -> Stop {
        let gitops = &self.settings.gitops;
        match error {
            ReadError::NoRepository => Refusal::NoSuchRepository { repo: gitops.repo.clone() }.into(),
            ReadError::NoBranch => {
                Refusal::NoGitOpsBranch { repo: gitops.repo.clone(), branch: gitops.branch.clone() }.into()
            }
            ReadError::Fault(fault) => fault.into(),
        }
    }

    /// Finds what was asked for in the catalog and whether this person may deploy it from this channel.
    pub(crate) async fn authorise<'c>(
        &self,
        request: &RequestFact,
        catalog: &'c Catalog,
    ) -> Result<(Target, &'c App, &'c Environment), Stop> {
        let words = &request.words;
        let (target, app, environment) = catalog.find(&words.app, words.environment.as_deref())?;
        if let What::PullRequestOf { repo, number } = &words.what
            && !app.repo.is(repo.as_str())
        {
            let (repo, own) = (repo.clone(), app.repo.clone());
            return Err(Refusal::OtherRepository { number: *number, repo, app: target.app, own }.into());
        }
        self.may_deploy(&request.user, &request.channel, &target, environment).await?;
        Ok((target, app, environment))
    }

    /// Whether this person may deploy there, from this channel.
    pub(crate) async fn may_deploy(
        &self,
        user: &SlackUser,
        channel: &SlackChannel,
        target: &Target,
        environment: &Environment,
    ) -> Result<(), Stop> {
        let decide = |groups: &[SlackGroup]| environment.allow.decide(user, groups, channel);
        let mut decision = decide(&[]);
        // Slack is asked only about those whom the catalog does not name, and no longer than until one group has them.
        for group in environment.allow.groups() {
            if decision == Decision::NotListed && self.is_member(user, group).await? {
                decision = decide(std::slice::from_ref(group));
            }
        }
        let refuse = |nobody, wrong_channel| Refusal::NotAllowed { target: target.clone(), nobody, wrong_channel };
        match decision {
            Decision::Allowed => Ok(()),
            Decision::Nobody => Err(refuse(true, false).into()),
            Decision::NotListed => Err(refuse(false, false).into()),
            Decision::WrongChannel => Err(refuse(false, true).into()),
        }
    }

    /// Whether this person is among those, by name or by a group.
    pub(crate) async fn is_among(&self, user: &SlackUser, people: &People) -> Result<bool, Stop> {
        if people.names(user) {
            return Ok(true);
        }
        for group in &people.groups {
            if self.is_member(user, group).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn is_member(&self, user: &SlackUser, group: &SlackGroup) -> Result<bool, Stop> {
        let doing = "read the members of a Slack user group";
        match slack::group_members(self.world, &self.settings.slack, group).await {
            Ok(members) => Ok(members.contains(user)),
            Err(SlackError::RateLimited(wait)) => {
                Err(Fault::new(System::Slack, doing, Cause::RateLimited { seconds: Some(wait.as_secs()) }).into())
            }
            Err(SlackError::Unreachable(fault) | SlackError::Refused(fault)) => {
                Err(fault.changed(Changed::Nothing).into())
            }
            // A group that is gone has no members.
            Err(SlackError::Gone(why)) => {
                let line = Line::error("no_such_group").of(self.id);
                self.world.log(line.with("group", group.as_str()).with("slack", why.as_str()));
                Ok(false)
            }
        }
    }

    /// The one query, and beside it the login that the image's registry is going to ask for.
    pub(crate) async fn read(
        &self,
        request: &RequestFact,
        place: &Place<'_>,
    ) -> Result<(Snapshot, Option<Login>), Stop> {
        let live = self.since(&place.environment.argocd).await?;
        let (mut checked, mut file) = (None, None);
        let reference = match &request.words.what {
            What::PullRequest(number) | What::PullRequestOf { number, .. } => Reference::PullRequest(*number),
            What::Branch(branch) => Reference::Branch(branch.clone()),
            // Its branch may be gone; the commit is not.
            What::Rollback(version) => {
                let past = self.past(&place.environment.argocd).await?;
                let source = self.earlier(place, &past, version).await?.source;
                checked = Some(source.head);
                Reference::Branch(source.branch)
            }
            What::Written => {
                let (path, gitops) = (place.environment.files.first(), &self.settings.gitops);
                let now = github::catalog(self.world, &self.settings.github, &gitops.repo, &gitops.branch, path);
                let now = file.insert(now.await.map_err(|error| self.read_error(error))?);
                let text = self.text_of(path, now).await?;
                let source = self.written(place, std::iter::once((path, text.as_str()))).await?.source;
                checked = Some(source.head);
                Reference::Branch(source.branch)
            }
        };
        let question = Question {
            gitops_repo: &self.settings.gitops.repo,
            gitops_branch: &self.settings.gitops.branch,
            values: place.environment.files.first(),
            also: place.environment.files.rest(),
            catalog: &self.settings.catalog_path,
            live: live.as_ref(),
            app_repo: &place.app.repo,
            reference: &reference,
            checks_of: checked.as_ref(),
        };
        let snapshot = github::snapshot(self.world, &self.settings.github, &question);
        let (snapshot, login) = join(snapshot, self.log_in_ahead(&place.app.image)).await;
        let snapshot = snapshot.map_err(|error| self.read_error(error))?;
        // The checks that were asked for are those of the version that was in the file.
        if file.is_some_and(|file| file != snapshot.values) { Err(Stop::Moved) } else { Ok((snapshot, login)) }
    }

    /// As far as it is known how. Without it the registry asks, which takes two round trips more.
    async fn log_in_ahead(&self, image: &ImageName) -> Option<Login> {
        let known = store::load_key(self.world, RegistryLogin(image.host())).await.ok().flatten()?;
        let login = registry::log_in_ahead(self.world, &self.settings.registry, image, &known.challenge);
        match select(pin!(login), pin!(self.world.sleep(LOGIN_AHEAD))).await {
            Either::Left((login, _)) => login,
            Either::Right(_) => None,
        }
    }

    /// What the registry knows of an image; how it asked for a login is remembered for the next time.
    async fn look_for(&self, image: &ImageRef, login: Option<Login>) -> Result<ImageState, Stop> {
        let looked = registry::image_digest(self.world, &self.settings.registry, image, login).await?;
        if let Some(challenge) = looked.challenge {
            let challenge = RegistryChallenge { challenge };
            // A hint: without it the registry is asked as if for the first time.
            if let Err(error) = store::save_key(self.world, RegistryLogin(image.name.host()), &challenge).await {
                self.world.log(Line::error("login_not_remembered").of(self.id).with("cause", error.why()));
            }
        }
        Ok(looked.state)
    }

    /// The commit after which others below the app's path are new.
    async fn since(&self, argocd: &ArgoApplication) -> Result<Option<CommitSha>, StoreError> {
        let Some(live) = store::load_key(self.world, Live(argocd)).await? else { return Ok(None) };
        let committed: Option<CommittedFact> = store::load_fact(self.world, &live.id).await?;
        let taken = committed.and_then(|committed| committed.commit.target().taken.clone());
        Ok(Some(taken.map_or(live.sha, |taken| taken.newest)))
    }

    /// The catalog at the very commit that we build on must be the one that we decided by.
    pub(crate) async fn same_catalog(&self, place: &Place<'_>, snapshot: &Snapshot) -> Result<(), Stop> {
        match &snapshot.catalog {
            FileState::File { blob, .. } if blob == place.catalog => Ok(()),
            state => {
                self.cache_catalog(state).await?;
                Err(Stop::Moved)
            }
        }
    }

    /// Source, tag, image, edit. `begun`: what an earlier attempt fixed, which may still land, stays fixed.
    pub(crate) async fn prepare(
        &self,
        request: &RequestFact,
        begun: Option<&CommitFact>,
        place: &Place<'_>,
        snapshot: &Snapshot,
        login: Option<Login>,
    ) -> Result<Prepared, Stop> {
        let version = match begun {
            Some(commit) => Version::Begun(commit.target()),
            None => self.version(request, place, snapshot, login).await?,
        };
        let edits = self.edits(request, place, snapshot, version.tag()).await?;
        let before = edits.first().and_then(|file| file.edit.before.first()).cloned();
        let (riders, previous) = self.since_live(place, snapshot).await?;
        let environment = place.environment;
        let target = match version {
            Version::Begun(plan) => TargetPlan { before, riders, previous, ..plan.clone() },
            Version::Wanted { source, image, digest } => TargetPlan {
                target: place.target.clone(),
                source,
                image: image.name,
                tag: image.tag,
                before,
                digest,
                files: environment.files.clone(),
                applications: NonEmpty::one(environment.argocd.clone()),
                deadline: environment.deadline,
                degraded_grace: environment.degraded_grace,
                riders,
                rollback: matches!(request.words.what, What::Rollback(_)),
                previous,
                taken: None,
            },
        };
        let gitops = GitOpsBranch {
            repo: self.settings.gitops.repo.clone(),
            branch: self.settings.gitops.branch.clone(),
            url: snapshot.url.clone(),
        };
        Ok(Prepared { plan: Plan { gitops, targets: NonEmpty::one(target) }, edits })
    }

    /// The version that is wanted now: its source, its image, and what the registry says of the image.
    async fn version(
        &self,
        request: &RequestFact,
        place: &Place<'_>,
        snapshot: &Snapshot,
        login: Option<Login>,
    ) -> Result<Version<'static>, Stop> {
        let (source, image) = self.wanted(request, place, snapshot).await?;
        match self.look_for(&image, login).await? {
            ImageState::Found(digest) => Ok(Version::Wanted { source, image, digest }),
            ImageState::Missing => {
                Err(Refusal::NoImage { image: image.name, tag: image.tag, head: source.head }.into())
            }
        }
    }

    /// One edit for each file.
    async fn edits(
        &self,
        request: &RequestFact,
        place: &Place<'_>,
        snapshot: &Snapshot,
        tag: &Tag,
    ) -> Result<Vec<FileEdit>, Stop> {
        let mut edits = Vec::new();
        for (path, before) in self.texts(place, snapshot).await? {
            let edit = values::set_tag(&before, &place.environment.tag_at, tag.as_str())
                .map_err(|why| Refusal::Edit { path: path.clone(), why })?;
            edits.push(FileEdit { path: path.clone(), before, edit });
        }
        let is_there = |file: &FileEdit| file.edit.before.iter().all(|before| before == tag.as_str());
        if request.words.what == What::Written && !edits.iter().all(is_there) {
            // Nobody asked for anything else than what is there.
            return Err(Stop::Leave("the file changed while a commit may still land"));
        }
        Ok(edits)
    }

    /// What rides along, and the version that is live until then.
    async fn since_live(&self, place: &Place<'_>, snapshot: &Snapshot) -> Result<(Riders, Option<Previous>), Stop> {
        let Some(live) = store::load_key(self.world, Live(&place.environment.argocd)).await? else {
            return Ok((Riders::FirstDeploy, None));
        };
        // As it was committed: the key `commit` alone may have been written late.
        let live = store::load(self.world, &live.id).await?.commit;
        let previous = live.as_ref().map(CommitFact::target);
        let previous = previous.map(|plan| Previous { tag: plan.tag.clone(), head: plan.source.head.clone() });
        Ok((riders(snapshot), previous))
    }

    /// The values files as they are at the snapshot's commit.
    async fn texts<'p>(&self, place: &Place<'p>, snapshot: &Snapshot) -> Result<Vec<(&'p FilePath, String)>, Stop> {
        let mut texts = Vec::new();
        for (path, state) in place.environment.files.iter().zip(std::iter::once(&snapshot.values).chain(&snapshot.also))
        {
            texts.push((path, self.text_of(path, state).await?));
        }
        Ok(texts)
    }

    async fn text_of(&self, path: &FilePath, state: &FileState) -> Result<String, Stop> {
        let FileState::File { blob, text, size } = state else {
            let repo = self.settings.gitops.repo.clone();
            return Err(Refusal::NoValuesFile { path: path.clone(), repo }.into());
        };
        let text = self.exact_text(blob, text.as_deref(), *size).await?;
        Ok(text.map_err(|why| Refusal::Edit { path: path.clone(), why })?)
    }

    /// The version that is in these files, if it was deployed to the target before.
    async fn written<'t>(
        &self,
        place: &Place<'_>,
        texts: impl Iterator<Item = (&'t FilePath, &'t str)>,
    ) -> Result<TargetPlan, Stop> {
        let mut tags: Vec<String> = Vec::new();
        for (path, text) in texts {
            let read = values::read_tags(text, &place.environment.tag_at);
            for tag in read.map_err(|why| Refusal::Edit { path: path.clone(), why })? {
                if !tags.contains(&tag) {
                    tags.push(tag);
                }
            }
        }
        let known = match tags.as_slice() {
            [tag] => {
                let past = self.past(&place.environment.argocd).await?.into_iter();
                past.filter_map(|(_, facts)| facts.commit)
                    .map(|commit| commit.target().clone())
                    .find(|plan| plan.tag.as_str() == tag)
            }
            _ => None,
        };
        let target = Box::new(place.target.clone());
        tags.truncate(5);
        Ok(known.ok_or(Refusal::UnknownWritten { target, tags })?)
    }

    /// What is to run: the source and its image.
    async fn wanted(
        &self,
        request: &RequestFact,
        place: &Place<'_>,
        snapshot: &Snapshot,
    ) -> Result<(Source, ImageRef), Stop> {
        if let What::Rollback(version) = &request.words.what {
            let past = self.past(&place.environment.argocd).await?;
            let newest = past.first().and_then(|(_, facts)| facts.commit.as_ref()).map(|commit| &commit.target().tag);
            let takes_away = request.origin.takes_away();
            if let Some((was, is)) = takes_away.zip(newest).filter(|(was, is)| was != is) {
                let (target, was, is) = (Box::new(place.target.clone()), was.clone(), is.clone());
                return Err(Refusal::VersionMoved { target, was, is }.into());
            }
            let earlier = self.earlier(place, &past, version).await?;
            // The newest is what runs, once it is live.
            let live = past.first().filter(|(_, facts)| facts.state() == State::Live);
            if live.and_then(|(_, facts)| facts.commit.as_ref()).is_some_and(|live| live.target().tag == earlier.tag) {
                let target = Box::new(place.target.clone());
                return Err(Refusal::AlreadyLive { target, tag: earlier.tag }.into());
            }
            let image = earlier.image_ref();
            return Ok((earlier.source, image));
        }
        let was = request.origin.head();
        let moved = |source: &Source| -> Result<(), Stop> {
            match was {
                Some(was) if *was != source.head => {
                    Err(Refusal::HeadMoved { was: was.clone(), is: source.head.clone() }.into())
                }
                _ => Ok(()),
            }
        };
        if request.words.what == What::Written {
            let texts = self.texts(place, snapshot).await?;
            let known = self.written(place, texts.iter().map(|(path, text)| (*path, text.as_str()))).await?;
            moved(&known.source)?;
            let image = known.image_ref();
            return Ok((known.source, image));
        }
        let source = source(snapshot, request, place.app)?;
        moved(&source)?;
        let tag = place.app.tag_rule.make(&source.branch, &source.head).map_err(|made| Refusal::NoValidTag { made })?;
        Ok((source, ImageRef { name: place.app.image.clone(), tag }))
    }

    /// The version to go back to, from what we remember of the target.
    async fn earlier(
        &self,
        place: &Place<'_>,
        past: &[(DeploymentId, Facts)],
        version: &command::Version,
    ) -> Result<TargetPlan, Stop> {
        let argocd = &place.environment.argocd;
        let target = place.target.clone();
        let tags =
            past.iter().filter_map(|(_, facts)| facts.commit.as_ref().map(|commit| commit.target().tag.to_string()));
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
            command::Version::LastHealthy => {
                let bad = store::load_key(self.world, RolledBackVersions(argocd)).await?.unwrap_or_default();
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
            command::Version::Back(n) => {
                let index = usize::try_from(n.saturating_sub(1)).unwrap_or(usize::MAX);
                let entry = past.get(index).and_then(|(_, facts)| facts.commit.as_ref());
                entry.map(|commit| commit.target().clone()).ok_or_else(|| unknown(n.to_string()))?
            }
            command::Version::Tag(tag) => past
                .iter()
                .filter_map(|(_, facts)| facts.commit.as_ref().map(CommitFact::target))
                .find(|plan| plan.tag.as_str() == tag)
                .cloned()
                .ok_or_else(|| unknown(tag.clone()))?,
        };
        Ok(found)
    }

    /// What is new in a version, as far as GitHub can compare it with the one before. Worth telling, and nothing else depends on it.
    pub(crate) async fn changes(&self, plan: &TargetPlan) -> Option<ChangesFact> {
        let before = plan.previous.as_ref().filter(|before| before.head != plan.source.head)?;
        let (repo, head) = (&plan.source.repo, &plan.source.head);
        match github::compare(self.world, &self.settings.github, repo, &before.head, head).await {
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
                self.world.log(Line::new("not_compared").of(self.id).with_json("fault", &fault));
                None
            }
        }
    }

    /// Finds a target by its words.
    pub(crate) async fn find(&self, words: &TargetWords) -> Result<(Target, Environment), Stop> {
        let (_, catalog) = self.read_catalog().await?;
        let (target, _, found) = catalog.find(&words.app, words.environment.as_deref())?;
        Ok((target, found.clone()))
    }

    /// The deployments of a target that reached the branch, newest first: what `history` numbers.
    pub(crate) async fn past(&self, argocd: &ArgoApplication) -> Result<Vec<(DeploymentId, Facts)>, Stop> {
        let mut past = self.remembered(argocd).await?;
        past.retain(|(_, facts)| facts.committed.is_some() && facts.commit.is_some());
        Ok(past)
    }

    /// All deployments that we remember of a target, newest first.
    pub(crate) async fn remembered(&self, argocd: &ArgoApplication) -> Result<Vec<(DeploymentId, Facts)>, Stop> {
        let ring = store::load_key(self.world, History(argocd)).await?.unwrap_or_default();
        let all = futures::future::join_all(ring.ids.iter().map(|id| store::load(self.world, id))).await;
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

    /// Everything that may stand in the way of exactly this. Asked again before each commit, whichever way the request came. Says what
    /// was granted.
    pub(crate) async fn gates(
        &self,
        request: &RequestFact,
        place: &Place<'_>,
        snapshot: &Snapshot,
        plan: &TargetPlan,
    ) -> Result<Granted, Stop> {
        let mut granted = Granted::default();
        self.open(request, place, &mut granted.overridden).await?;
        let target = place.target;
        let gates = &place.environment.gates;
        if !gates.takes_branch(&plan.source.branch) {
            let allowed = gates.branches.iter().take(5).map(ToString::to_string).collect();
            let branch = plan.source.branch.clone();
            return Err(Refusal::BranchNotAllowed { target: target.clone(), branch, allowed }.into());
        }
        if gates.checks == Checks::Required {
            let state = match (&snapshot.source, request.words.what.stands_still()) {
                (_, true) => snapshot.checked.clone(),
                (SourceState::PullRequest { checks, .. } | SourceState::Branch { checks, .. }, false) => checks.clone(),
                _ => None,
            };
            if state.as_deref() != Some("SUCCESS") {
                let head = plan.source.head.clone();
                return Err(Refusal::ChecksNotPassed { target: target.clone(), head, state }.into());
            }
        }
        if let (ForeignChanges::Refuse, Riders::Since { commits, .. }) = (gates.foreign_changes, &plan.riders)
            && !commits.is_empty()
            && !self.overridden(request, place, "let other people's changes go live", &mut granted.overridden).await?
        {
            let mut by: Vec<String> = Vec::new();
            for rider in commits {
                if !by.contains(&rider.who) && by.len() < 5 {
                    by.push(rider.who.clone());
                }
            }
            let count = u32::try_from(commits.len()).unwrap_or(u32::MAX);
            let overridable = !place.environment.owners.is_empty();
            return Err(Refusal::ForeignChanges { target: target.clone(), count, by, overridable }.into());
        }
        if !request.origin.knows_rolled_back() {
            let bad = store::load_key(self.world, RolledBackVersions(plan.application())).await?.unwrap_or_default();
            if let Some(bad) = bad.versions.into_iter().find(|bad| bad.tag == plan.tag.as_str()) {
                let (target, tag, head) = (Box::new(target.clone()), plan.tag.clone(), plan.source.head.clone());
                return Err(Refusal::WasRolledBack { target, tag, head, by: bad.by, at: bad.at }.into());
            }
        }
        if let Some(approvals) = &gates.approvals {
            granted.approved_by = self.approved(request, place, approvals, plan).await?;
        }
        Ok(granted)
    }

    /// Locks and freezes: what can close at any moment.
    pub(crate) async fn open(
        &self,
        request: &RequestFact,
        place: &Place<'_>,
        overridden: &mut Option<String>,
    ) -> Result<(), Stop> {
        let now = self.world.now();
        let rollback = matches!(request.words.what, What::Rollback(_));
        if let Some((lock, everything)) = self.lock(&place.environment.argocd).await?
            && !(rollback && lock.rollback)
        {
            let (target, since, until) = (place.target.clone(), lock.at, lock.until);
            return Err(Refusal::Locked { target, by: lock.by, reason: lock.reason, since, until, everything }.into());
        }
        if let Some(until) = place.environment.gates.frozen_until(now)
            && !self.overridden(request, place, "override the freeze", overridden).await?
        {
            let overridable = !place.environment.owners.is_empty();
            return Err(Refusal::Frozen { target: place.target.clone(), until, overridable }.into());
        }
        Ok(())
    }

    /// Whether an owner says that it goes through nevertheless, and why: for the record, and loudly.
    async fn overridden(
        &self,
        request: &RequestFact,
        place: &Place<'_>,
        doing: &str,
        overridden: &mut Option<String>,
    ) -> Result<bool, Stop> {
        let Some(reason) = &request.words.override_reason else { return Ok(false) };
        let owners = &place.environment.owners;
        if !self.is_among(&request.user, owners).await? {
            let doing = format!("{doing} of {}", place.target);
            return Err(Refusal::NotOwner { doing, owned: !owners.is_empty() }.into());
        }
        *overridden = Some(reason.clone());
        Ok(true)
    }

    /// The lock that is in force, and whether it is the one of everything.
    pub(crate) async fn lock(&self, argocd: &ArgoApplication) -> Result<Option<(TargetLock, bool)>, StoreError> {
        let now = self.world.now();
        let all = store::load_key(self.world, LockOfAll).await?.filter(|lock| lock.holds(now));
        if let Some(lock) = all {
            return Ok(Some((lock, true)));
        }
        let own = store::load_key(self.world, Lock(argocd)).await?.filter(|lock| lock.holds(now));
        Ok(own.map(|lock| (lock, false)))
    }

    /// Who approved exactly this, if they are enough.
    async fn approved(
        &self,
        request: &RequestFact,
        place: &Place<'_>,
        approvals: &Approvals,
        plan: &TargetPlan,
    ) -> Result<Vec<SlackUser>, Stop> {
        let now = self.world.now();
        // Given to a commit: where the button named none, it was a rollback, whose version stands still.
        let given = request.origin.approvals();
        let mut by = Vec::new();
        for approval in given {
            let counts = approval.user != request.user
                && !by.contains(&approval.user)
                && now.since(approval.at) < approvals.expires;
            if counts && self.is_among(&approval.user, &approvals.by).await? {
                by.push(approval.user.clone());
            }
        }
        if by.len() >= usize::from(approvals.count) {
            return Ok(by);
        }
        Err(Refusal::NeedsApproval {
            target: Box::new(place.target.clone()),
            head: plan.source.head.clone(),
            tag: plan.tag.clone(),
            count: approvals.count,
            users: approvals.by.users.clone(),
            groups: approvals.by.groups.clone(),
            until: request.at.after(approvals.expires),
        }
        .into())
    }

    /// The wanted tag is in the file already. Ours to sync only if the last commit to the file is a recorded one of ours, or one of ours has
    /// taken it over, which whoever knows whose it is may ask for.
    pub(crate) async fn already_there(
        &self,
        request: &RequestFact,
        plan: &Plan,
        snapshot: &Snapshot,
    ) -> Result<There, Stop> {
        let target = plan.targets.first();
        let files: Vec<FilePath> = target.files.iter().cloned().collect();
        let (github, repo) = (&self.settings.github, &plan.gitops.repo);
        let touches = github::last_touch(self.world, github, repo, &snapshot.head, &files).await?;
        let mut newest = None;
        for file in &files {
            let Some(past) = touches.get(file) else {
                let part = "the last commit of a values file".to_owned();
                return Err(Fault::new(System::GitHub, "see who wrote the tag", Cause::Nonsense { part }).into());
            };
            let Some((id, at)) = self.written_by_us(target, past, snapshot).await? else {
                return self.written_by_others(request, plan, past, snapshot).await;
            };
            // Of several files that were written one after the other, the last of those commits has them all.
            if newest.as_ref().is_none_or(|(known, _, _)| at > *known) {
                newest = Some((at, past.sha.clone(), id != *self.id));
            }
        }
        match newest {
            Some((_, sha, reused)) => Ok(There::Ours { sha, reused, taken: None }),
            None => Err(Stop::Leave("there is no values file")),
        }
    }

    /// Whose deployment of ours made that commit, and when that was known.
    async fn written_by_us(
        &self,
        plan: &TargetPlan,
        past: &github::PastCommit,
        snapshot: &Snapshot,
    ) -> Result<Option<(DeploymentId, Option<Timestamp>)>, Stop> {
        let Some(id) = message::deploy_id(&past.message) else { return Ok(None) };
        let other = store::load(self.world, &id).await?;
        let recorded = other.committed.as_ref().is_some_and(|committed| committed.sha == past.sha);
        let same_target = other.commit.as_ref().filter(|other| other.target().application() == plan.application());
        let ours =
            same_target.is_some_and(|theirs| recorded || theirs.is_ours(&id, &self.candidate(past, &snapshot.viewer)));
        Ok(ours.then(|| (id, other.committed.map(|committed| committed.at))))
    }

    /// The tag is there by somebody else's commit: ours only once it was taken over, or is to be.
    async fn written_by_others(
        &self,
        request: &RequestFact,
        plan: &Plan,
        past: &github::PastCommit,
        snapshot: &Snapshot,
    ) -> Result<There, Stop> {
        if let Some((sha, before)) = self.taken_over(plan, &past.sha, &snapshot.head).await? {
            return Ok(There::Ours { sha, reused: true, taken: Some(Box::new(before)) });
        }
        if request.origin.takes_over(&past.sha) {
            let newest = match snapshot.since_live.first() {
                Some(touch) => touch.sha.clone(),
                None => self.since(plan.targets.first().application()).await?.unwrap_or_else(|| past.sha.clone()),
            };
            return Ok(There::ToTakeOver(Taken { wrote: past.sha.clone(), by: past.author.clone(), newest }));
        }
        let target = plan.targets.first();
        let (tag, head) = (target.tag.clone(), (!target.rollback).then(|| target.source.head.clone()));
        Err(Refusal::AlreadyWritten { tag, by: past.author.clone(), commit: past.sha.clone(), head }.into())
    }

    /// A commit of ours that has taken over what that one wrote, if it still is on the branch.
    async fn taken_over(
        &self,
        plan: &Plan,
        wrote: &CommitSha,
        head: &CommitSha,
    ) -> Result<Option<(CommitSha, TargetPlan)>, Stop> {
        let target = plan.targets.first();
        let has_taken = |before: &TargetPlan| {
            before.tag == target.tag && before.taken.as_ref().is_some_and(|taken| taken.wrote == *wrote)
        };
        let past = self.past(target.application()).await?.into_iter();
        let mut pairs =
            past.filter_map(|(_, facts)| facts.committed.map(|known| (known.sha, known.commit.target().clone())));
        let Some((sha, before)) = pairs.find(|(_, before)| has_taken(before)) else { return Ok(None) };
        match github::compare(self.world, &self.settings.github, &plan.gitops.repo, &sha, head).await {
            Ok(compared) => Ok((compared.behind == 0).then_some((sha, before))),
            Err(fault) => {
                // Not known to be there: then it takes another one.
                self.world.log(Line::new("not_compared").of(self.id).with_json("fault", &fault));
                Ok(None)
            }
        }
    }

    /// A commit as the question "is it ours?" wants it.
    pub(crate) fn candidate<'p>(&self, past: &'p github::PastCommit, viewer: &GitHubLogin) -> Candidate<'p> {
        Candidate {
            parents: &past.parents,
            changed_files: past.changed_files,
            blobs: &past.blobs,
            deploy_id: message::deploy_id(&past.message),
            signed_by_github: past.signed_by_github,
            always_signed: self.settings.github.is_public(),
            by_us: past.author.as_ref().map(|author| author == viewer),
        }
    }
}

impl<W: World> Carrier<'_, W> {
    /// Waits for the target's lease; when it does not come, says who has it.
    pub(crate) async fn target_lease(
        &self,
        request: &RequestFact,
        target: &Target,
        environment: &Environment,
    ) -> Result<Lease<'_, W>, Stop> {
        let name = super::target_lease(&environment.argocd);
        let wait = Duration::from_millis(self.tempo().target_wait);
        let begun = self.world.elapsed();
        loop {
            if let Some(lease) = Lease::take(self.world, &name, LIFE).await? {
                return Ok(lease);
            }
            let waited = self.world.elapsed().saturating_sub(begun);
            if waited >= wait {
                let other = self.holder(environment).await?;
                // Nobody's turn but perhaps our own: a carrier of ours died with the lease, which runs out by itself.
                if other.is_some() || waited >= wait.saturating_add(LIFE) {
                    return Err(self.busy(target, other).await.into());
                }
            }
            self.world.sleep(Duration::from_millis(self.tempo().target_retry)).await;
            self.wishes(request).await?;
        }
    }

    /// The other deployment whose turn it is.
    async fn holder(&self, environment: &Environment) -> Result<Option<DeploymentId>, Stop> {
        let current = store::load_key(self.world, Current(&environment.argocd)).await?;
        let Some(current) = current.filter(|current| current.id != *self.id) else { return Ok(None) };
        let busy = store::load(self.world, &current.id).await?.keeps_busy(self.world.now(), self.tempo());
        Ok(busy.then_some(current.id))
    }

    /// With whose it is, and a link to that message: worth a moment if it is still being posted.
    pub(crate) async fn busy(&self, target: &Target, other: Option<DeploymentId>) -> Refusal {
        let mut facts = Facts::default();
        if let Some(other) = &other {
            let until = self.world.elapsed().saturating_add(POSTING);
            loop {
                facts = store::load(self.world, other).await.unwrap_or_default();
                let is_posting = facts.message.as_ref().is_some_and(|message| message.0.speaking.is_some());
                if facts.place().is_some() || !is_posting || self.world.elapsed() >= until {
                    break;
                }
                self.world.sleep(BRANCH_RETRY).await;
            }
        }
        let by = facts.request.as_ref().map(|request| request.user.clone());
        Refusal::Busy { target: target.clone(), by, link: facts.link(), id: other }
    }

    pub(crate) async fn remember(&self, place: &Held<'_, W>) -> Result<(), Stop> {
        let argocd = &place.environment.argocd;
        let mut keep = store::in_flight(self.world).await?.ids;
        keep.extend(store::load_key(self.world, Current(argocd)).await?.map(|current| current.id));
        keep.extend(store::load_key(self.world, Live(argocd)).await?.map(|live| live.id));
        let still_ours = async || place.lease.ensure(WRITE).await;
        let remember = store::remember(self.world, History(argocd), self.id, &keep, still_ours);
        self.rings.make(self.world, (), remember).await?;
        self.remembered.set(true);
        Ok(())
    }
}

/// Where the work happens: the target as the catalog has it.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) target: &'a Target,
    pub(crate) app: &'a App,
    pub(crate) environment: &'a Environment,
    pub(crate) catalog: &'a BlobSha,
}

/// Whose tag it is that is in the file already.
pub(crate) enum There {
    /// A commit of ours put it there, or has taken it over.
    Ours {
        /// That commit.
        sha: CommitSha,
        /// It is another deployment's.
        reused: bool,
        /// What was decided when it took over what somebody else had written.
        taken: Option<Box<TargetPlan>>,
    },
    /// Somebody else's; it is asked to be taken over.
    ToTakeOver(Taken),
}

/// The version that is to run.
enum Version<'a> {
    /// An earlier attempt fixed it, and may still land.
    Begun(&'a TargetPlan),
    Wanted {
        source: Source,
        image: ImageRef,
        digest: Option<Digest>,
    },
}

impl Version<'_> {
    fn tag(&self) -> &Tag {
        match self {
            Self::Begun(plan) => &plan.tag,
            Self::Wanted { image, .. } => &image.tag,
        }
    }
}

/// What would be committed.
pub(crate) struct Prepared {
    pub(crate) plan: Plan,
    /// Of each values file, also of those that have the tag already.
    pub(crate) edits: Vec<FileEdit>,
}

/// One values file.
pub(crate) struct FileEdit {
    pub(crate) path: FilePath,
    /// Its text before.
    pub(crate) before: String,
    pub(crate) edit: Edit,
}

fn riders(snapshot: &Snapshot) -> Riders {
    let commits = snapshot
        .since_live
        .iter()
        // Our own commits below that path are deploys of other targets. The account alone does not tell: with a personal token it is
        // also a person's.
        .filter(|touch| touch.login.as_ref() != Some(&snapshot.viewer) || !message::is_deploy_headline(&touch.headline))
        .map(|touch| Rider {
            sha: touch.sha.clone(),
            who: touch.login.as_ref().map_or_else(|| touch.name.clone(), |login| login.to_string()),
            headline: touch.headline.clone(),
        })
        .collect();
    Riders::Since { commits, more: !snapshot.complete }
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
