//! Decide: what is asked for, whether it may be, and what exactly would be committed. Reads the catalog, GitHub and the registry, writes
//! nothing outside our own store.

use super::{BRANCH_RETRY, Carrier, LIFE, Stop, WRITE};
use deploy_core::catalog::{App, Catalog, CatalogError, Decision, Environment};
use deploy_core::command::What;
use deploy_core::deployment::{Candidate, CommitFact, Facts, RequestFact, Rider, Riders, Source};
use deploy_core::fault::{Cause, Changed, Fault, System};
use deploy_core::github::{self, FileState, PrState, Question, ReadError, Reference, Snapshot, SourceState};
use deploy_core::image::ImageRef;
use deploy_core::log::{Line, World};
use deploy_core::manifest::{self, Edit, EditRefusal};
use deploy_core::message;
use deploy_core::names::{BlobSha, CommitSha, DeploymentId, GitHubLogin, SlackGroup, Target};
use deploy_core::refusal::Refusal;
use deploy_core::registry::{self, ImageState};
use deploy_core::slack::{self, SlackError};
use deploy_core::store::{self, CachedCatalog, CatalogCache, Current, History, Lease, Live};
use std::time::Duration;

/// How long a refusal waits for the message that it links to.
const POSTING: Duration = Duration::from_secs(3);

impl<W: World> Carrier<'_, W> {
    /// The catalog as we last read it, if that is not long ago.
    pub(super) async fn cached_catalog(&self) -> Option<(BlobSha, Catalog)> {
        let now = self.world.now();
        let cached = store::load_key(self.world, CatalogCache).await.ok().flatten()?;
        let fresh = now.since(cached.at) < Duration::from_millis(self.tempo().catalog_age) && cached.at <= now;
        let catalog = Catalog::parse(&cached.text).ok().filter(|_| fresh)?;
        Some((cached.blob, catalog))
    }

    /// The catalog as it is on the branch now.
    pub(super) async fn read_catalog(&self) -> Result<(BlobSha, Catalog), Stop> {
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
        let text = self.exact_text(blob, text.as_deref(), *size).await?.map_err(|why| {
            let (line, problem) = match why {
                EditRefusal::NotUtf8 { line } => (Some(line), "it is not UTF-8"),
                _ => (None, "it is too large"),
            };
            self.broken_catalog(CatalogError { line, problem: problem.to_owned() })
        })?;
        let cached = CachedCatalog { at: self.world.now(), blob: blob.clone(), text };
        store::save_key(self.world, CatalogCache, &cached).await?;
        Ok(cached)
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
        let (bytes, limit) = (usize::try_from(size).unwrap_or(usize::MAX), manifest::LARGEST);
        if bytes > limit {
            return Ok(Err(EditRefusal::TooLarge { bytes, limit }));
        }
        let bytes = github::raw_blob(self.world, &self.settings.github, &self.settings.gitops.repo, blob).await?;
        Ok(manifest::text_of(&bytes).map(str::to_owned))
    }

    pub(super) fn read_error(&self, error: ReadError) -> Stop {
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
    pub(super) async fn authorise<'c>(
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
        let decide = |groups: &[SlackGroup]| environment.allow.decide(&request.user, groups, &request.channel);
        let mut decision = decide(&[]);
        // Slack is asked only about those whom the catalog does not name, and no longer than until one group has them.
        for group in environment.allow.groups() {
            if decision == Decision::NotListed && self.is_member(request, group).await? {
                decision = decide(std::slice::from_ref(group));
            }
        }
        let refuse = |nobody, wrong_channel| Refusal::NotAllowed { target: target.clone(), nobody, wrong_channel };
        match decision {
            Decision::Allowed => Ok((target, app, environment)),
            Decision::Nobody => Err(refuse(true, false).into()),
            Decision::NotListed => Err(refuse(false, false).into()),
            Decision::WrongChannel => Err(refuse(false, true).into()),
        }
    }

    pub(super) async fn is_member(&self, request: &RequestFact, group: &SlackGroup) -> Result<bool, Stop> {
        let doing = "read the members of a Slack user group";
        match slack::group_members(self.world, &self.settings.slack, group).await {
            Ok(members) => Ok(members.contains(&request.user)),
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

    /// Waits for the target's lease; when it does not come, says who has it.
    pub(super) async fn target_lease(&self, target: &Target, environment: &Environment) -> Result<Lease<'_, W>, Stop> {
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
    pub(super) async fn busy(&self, target: &Target, other: Option<DeploymentId>) -> Refusal {
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

    pub(super) async fn remember(&self, place: &Place<'_, W>) -> Result<(), Stop> {
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

    /// The one query.
    pub(super) async fn read(&self, request: &RequestFact, place: &Place<'_, W>) -> Result<Snapshot, Stop> {
        let live = store::load_key(self.world, Live(&place.environment.argocd)).await?.map(|live| live.sha);
        let reference = match &request.words.what {
            What::PullRequest(number) | What::PullRequestOf { number, .. } => Reference::PullRequest(*number),
            What::Branch(branch) => Reference::Branch(branch.clone()),
        };
        let question = Question {
            gitops_repo: &self.settings.gitops.repo,
            gitops_branch: &self.settings.gitops.branch,
            values: &place.environment.values,
            catalog: &self.settings.catalog_path,
            live: live.as_ref(),
            app_repo: &place.app.repo,
            reference: &reference,
        };
        github::snapshot(self.world, &self.settings.github, &question).await.map_err(|error| self.read_error(error))
    }

    /// The catalog at the very commit that we build on must be the one that we decided by.
    pub(super) async fn same_catalog(&self, place: &Place<'_, W>, snapshot: &Snapshot) -> Result<(), Stop> {
        match &snapshot.catalog {
            FileState::File { blob, .. } if blob == place.catalog => Ok(()),
            state => {
                self.cache_catalog(state).await?;
                Err(Stop::CatalogMoved)
            }
        }
    }

    /// Source, tag, image, edit. While an earlier attempt may still land, what it fixed stays fixed.
    pub(super) async fn prepare(
        &self,
        request: &RequestFact,
        facts: &Facts,
        place: &Place<'_, W>,
        snapshot: &Snapshot,
    ) -> Result<Prepared, Stop> {
        let (app, environment) = (place.app, place.environment);
        let FileState::File { blob, text, size } = &snapshot.values else {
            let repo = self.settings.gitops.repo.clone();
            return Err(Refusal::NoValuesFile { path: environment.values.clone(), repo }.into());
        };
        let earlier = facts.commit.as_ref();
        let attempts = earlier.map(|commit| commit.attempts.clone()).unwrap_or_default();
        let begun = match earlier {
            Some(commit) if !self.doubt.borrow().bases.is_empty() => {
                if commit.values != environment.values || commit.argocd != environment.argocd {
                    return Err(Stop::Leave("the catalog moved the target while a commit may still land"));
                }
                Some(commit.clone())
            }
            _ => None,
        };
        let mut commit = match begun {
            Some(commit) => commit,
            None => {
                let source = source(snapshot, request, app)?;
                let tag =
                    app.tag_rule.make(&source.branch, &source.head).map_err(|made| Refusal::NoValidTag { made })?;
                let image = ImageRef { name: app.image.clone(), tag };
                let digest = match registry::image_digest(self.world, &self.settings.registry, &image).await? {
                    ImageState::Found(digest) => digest,
                    ImageState::Missing => {
                        return Err(Refusal::NoImage { image: image.name, tag: image.tag, head: source.head }.into());
                    }
                };
                CommitFact {
                    target: place.target.clone(),
                    source,
                    image: image.name,
                    tag: image.tag,
                    before: String::new(),
                    digest,
                    gitops_repo: self.settings.gitops.repo.clone(),
                    gitops_branch: self.settings.gitops.branch.clone(),
                    gitops_url: snapshot.url.clone(),
                    values: environment.values.clone(),
                    argocd: environment.argocd.clone(),
                    deadline: environment.deadline,
                    degraded_grace: environment.degraded_grace,
                    riders: Riders::FirstDeploy,
                    attempts,
                }
            }
        };
        let refuse = |why| Refusal::Edit { path: environment.values.clone(), why };
        let text = self.exact_text(blob, text.as_deref(), *size).await?.map_err(refuse)?;
        let edit = manifest::set_tag(&text, &environment.tag_at, commit.tag.as_str()).map_err(refuse)?;
        commit.before = edit.before.first().cloned().unwrap_or_default();
        if store::load_key(self.world, Live(&environment.argocd)).await?.is_some() {
            commit.riders = riders(snapshot);
        }
        Ok(Prepared { commit, edit })
    }

    /// The wanted tag is in the file already. Ours to sync only if the last commit to the file is a recorded one of ours.
    pub(super) async fn already_there(
        &self,
        commit: &CommitFact,
        snapshot: &Snapshot,
    ) -> Result<(CommitSha, bool), Stop> {
        let paths = std::slice::from_ref(&commit.values);
        let touches =
            github::last_touch(self.world, &self.settings.github, &commit.gitops_repo, &snapshot.head, paths).await?;
        let Some(past) = touches.get(&commit.values) else {
            let part = "the last commit of the values file".to_owned();
            return Err(Fault::new(System::GitHub, "see who wrote the tag", Cause::Nonsense { part }).into());
        };
        if let Some(id) = message::deploy_id(&past.message) {
            let other = store::load(self.world, &id).await?;
            let recorded = other.committed.as_ref().is_some_and(|committed| committed.sha == past.sha);
            let same_target = other.commit.as_ref().filter(|other| other.argocd == commit.argocd);
            if let Some(theirs) = same_target
                && (recorded || theirs.is_ours(&id, &self.candidate(past, &snapshot.viewer)))
            {
                return Ok((past.sha.clone(), id != *self.id));
            }
        }
        Err(Refusal::AlreadyWritten { tag: commit.tag.clone(), by: past.author.clone(), commit: past.sha.clone() }
            .into())
    }

    /// A commit as the question "is it ours?" wants it.
    pub(super) fn candidate<'p>(&self, past: &'p github::PastCommit, viewer: &GitHubLogin) -> Candidate<'p> {
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

/// Where the work happens: the target as the catalog has it, and its lease.
pub(super) struct Place<'a, W> {
    pub(super) target: &'a Target,
    pub(super) app: &'a App,
    pub(super) environment: &'a Environment,
    pub(super) catalog: &'a BlobSha,
    pub(super) lease: &'a Lease<'a, W>,
}

/// What would be committed.
pub(super) struct Prepared {
    pub(super) commit: CommitFact,
    pub(super) edit: Edit,
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
        SourceState::NoPullRequest => match &request.words.what {
            What::PullRequest(number) | What::PullRequestOf { number, .. } => {
                Err(Refusal::NoSuchPullRequest { number: *number, repo }.into())
            }
            What::Branch(branch) => Err(Refusal::NoSuchBranch { branch: branch.clone(), repo }.into()),
        },
        SourceState::NoBranch => match &request.words.what {
            What::Branch(branch) => Err(Refusal::NoSuchBranch { branch: branch.clone(), repo }.into()),
            What::PullRequest(number) | What::PullRequestOf { number, .. } => {
                Err(Refusal::NoSuchPullRequest { number: *number, repo }.into())
            }
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
