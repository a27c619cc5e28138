//! After the answer: from a saved request to a commit on the GitOps branch, or to words that say why not.
//!
//! Every step starts from the facts and can be done again without harm; a process may die between any two lines here. The
//! critical path is three round trips: one query, one HEAD, one mutation.

use crate::speaker::Speaker;
use deploy_core::catalog::{App, Catalog, Decision, Environment};
use deploy_core::clock::Timestamp;
use deploy_core::command::What;
use deploy_core::deployment::{
    Attempt, CancelFact, Candidate, CommitFact, CommittedFact, End, EndFact, Facts, RequestFact, Rider, Riders, Source,
    Tempo, WatchFact,
};
use deploy_core::fault::{Cause, Changed, Fault, System};
use deploy_core::github::{
    self, CommitOutcome, FileState, NewCommit, PrState, Question, ReadError, Reference, Snapshot, SourceState,
};
use deploy_core::image::ImageRef;
use deploy_core::log::{Line, World};
use deploy_core::manifest::{self, Edit};
use deploy_core::message::{self, Note};
use deploy_core::names::{CommitSha, DeploymentId, FilePath, SlackGroup, Target};
use deploy_core::refusal::Refusal;
use deploy_core::registry::{self, ImageState};
use deploy_core::settings::SlackCommandSettings;
use deploy_core::slack::{self, SlackError};
use deploy_core::store::{
    self, CachedCatalog, CatalogCache, Current, EarlyEnds, History, Lease, LeaseLost, Live, Lock, StoreError,
};
use futures::StreamExt;
use futures::channel::mpsc;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Life of `carry/<id>` and of the target's lease.
const LIFE: Duration = Duration::from_secs(15);
/// How often both are renewed.
const RENEW: Duration = Duration::from_secs(5);
/// Life of the branch's lease.
const BRANCH_LIFE: Duration = Duration::from_secs(10);
/// What a mutation may take: a lease must hold this long before it is sent.
const MUTATION: Duration = Duration::from_secs(8);
/// What a write to the store may take.
const WRITE: Duration = Duration::from_secs(2);
/// How often a request waits for the branch's lease.
const BRANCH_RETRY: Duration = Duration::from_millis(100);
/// How much earlier than the work the answer to Slack sets out.
const HEAD_START: Duration = Duration::from_millis(15);
/// How often we begin again because the branch or the catalog moved.
const TRIES: u32 = 20;

/// Why the work stops.
enum Stop {
    /// The deployment ends here.
    End(End),
    /// We may not go on: a lease was lost, the store failed, or it is too late for an `end`. Whoever resumes, or the watch, goes on.
    Leave(&'static str),
    /// The catalog on the branch is newer than ours: begin again with it.
    CatalogMoved,
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::End(End::Refused { refusal: (&refusal).into() })
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::End(End::Failed { fault })
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Leave(error.0)
    }
}

impl From<LeaseLost> for Stop {
    fn from(_: LeaseLost) -> Self {
        Self::Leave("a lease was lost")
    }
}

/// Words for the message while there is no commit.
type Say = mpsc::UnboundedSender<(Facts, Option<Note>)>;

/// Deployments that nobody carries: to be called after `/healthz` was answered. At most once per period in the whole installation.
pub(crate) async fn to_resume(world: &impl World, settings: &SlackCommandSettings) -> Vec<DeploymentId> {
    match resumable(world, &settings.tempo).await {
        Ok(ids) => ids,
        Err(error) => {
            world.log(Line::error("not_resumed").with("cause", error.0));
            Vec::new()
        }
    }
}

async fn resumable(world: &impl World, tempo: &Tempo) -> Result<Vec<DeploymentId>, StoreError> {
    if !store::once_per(world, "resume", Duration::from_millis(tempo.resume)).await? {
        return Ok(Vec::new());
    }
    let mut in_flight = store::in_flight(world).await?;
    if !in_flight.whole {
        store::rebuild_in_flight(world).await?;
        in_flight = store::in_flight(world).await?;
    }
    let mut resume = Vec::new();
    for id in &in_flight.ids {
        // One that cannot be read is left alone, and does not keep the others from being resumed.
        let Ok(facts) = store::load(world, id).await else { continue };
        if facts.request.is_none() {
            // Nothing is left of it: there is nobody to tell.
            store::leave_flight(world, id).await?;
            continue;
        }
        let ours = !facts.watch_speaks() && !facts.end_is_told();
        if ours && !store::is_held(world, &carry_lease(id)).await? {
            resume.push(id.clone());
        }
    }
    if !in_flight.ids.is_empty() && !store::is_held(world, "watch").await? {
        store::wake(world).await?;
    }
    Ok(resume)
}

fn carry_lease(id: &DeploymentId) -> String {
    format!("carry/{id}")
}

/// Carries a deployment out: to `committed` or `end`, told; then guards it until its last word.
pub(crate) async fn carry_out<W: World>(world: &W, settings: &SlackCommandSettings, id: &DeploymentId) {
    // The answer to Slack is still on its way out of this instance: it goes first.
    world.sleep(HEAD_START).await;
    let lease = match Lease::take(world, &carry_lease(id), LIFE).await {
        Ok(Some(lease)) => lease,
        Ok(None) => return,
        Err(error) => return world.log(Line::error("not_carried").of(id).with("cause", error.0)),
    };
    let carrier = Carrier { world, settings, id, lease: &lease, remembered: Cell::new(false) };
    match lease.during(RENEW, carrier.run()).await {
        Ok(Ok(())) => {}
        Ok(Err(why)) => world.log(Line::error("left").of(id).with("cause", why)),
        Err(LeaseLost) => world.log(Line::new("lease_lost").of(id)),
    }
    lease.release().await;
}

struct Carrier<'a, W> {
    world: &'a W,
    settings: &'a SlackCommandSettings,
    id: &'a DeploymentId,
    lease: &'a Lease<'a, W>,
    /// It stands in its target's history, so that its facts are deleted one day.
    remembered: Cell<bool>,
}

impl<W: World> Carrier<'_, W> {
    async fn run(&self) -> Result<(), &'static str> {
        // Loaded again under the lease: somebody may have carried it a moment ago.
        let mut facts = store::load(self.world, self.id).await.map_err(|error| error.0)?;
        let Some(request) = facts.request.clone() else { return Err("there is no request") };
        if facts.watch_speaks() {
            return self.guard(&facts).await;
        }
        let speaker = Speaker::new(self.world, self.settings, self.id, &facts);
        if facts.end.is_none() {
            let (say, mut heard) = mpsc::unbounded::<(Facts, Option<Note>)>();
            let first = facts.clone();
            // The first words are posted beside the work, never before it.
            let speak = async {
                speaker.tell(&first, None, false).await;
                while let Some(mut latest) = heard.next().await {
                    while let Ok(newer) = heard.try_recv() {
                        latest = newer;
                    }
                    speaker.tell(&latest.0, latest.1, false).await;
                }
            };
            let work = async { self.work(&request, &mut facts, say).await };
            let (done, ()) = futures::future::join(work, speak).await;
            done?;
        }
        if facts.committed.is_some() {
            return self.guard(&facts).await;
        }
        self.tell_end(&speaker, &facts).await
    }

    /// The work up to `committed` or `end`, whichever is saved in `facts` then.
    async fn work(&self, request: &RequestFact, facts: &mut Facts, say: Say) -> Result<(), &'static str> {
        let mut stop = Stop::CatalogMoved;
        for _ in 0..TRIES {
            match self.to_commit(request, facts, &say).await {
                Ok(()) => return Ok(()),
                Err(Stop::CatalogMoved) => stop = Stop::from(Refusal::CatalogChanged),
                Err(other) => {
                    stop = other;
                    break;
                }
            }
        }
        match stop {
            Stop::Leave(why) => Err(why),
            Stop::CatalogMoved => Err("the catalog moved"),
            Stop::End(end) => {
                let now = self.world.now();
                // Later than this the watch ends it, so that two roles never race with different words.
                if now >= request.at.after(Duration::from_millis(self.tempo().no_end)) {
                    return Err("too late to end it: the watch will");
                }
                if !self.remembered.get() {
                    self.remember_early().await;
                }
                self.lease.ensure(WRITE).await.map_err(|_| "the lease was lost")?;
                let fact = EndFact { at: now, end };
                store::save_fact(self.world, self.id, &fact).await.map_err(|error| error.0)?;
                self.world.log(Line::new("ended").of(self.id).with_json("end", &fact.end));
                facts.end = Some(fact);
                Ok(())
            }
        }
    }

    /// Tells the end, saves that it was told, and only then lets the id go.
    async fn tell_end(&self, speaker: &Speaker<'_, W>, facts: &Facts) -> Result<(), &'static str> {
        for _ in 0..10 {
            speaker.tell(facts, None, true).await;
            if speaker.end_is_told() {
                return store::leave_flight(self.world, self.id).await.map_err(|error| error.0);
            }
            self.world.sleep(Duration::from_secs(2)).await;
        }
        Err("the end could not be told yet")
    }

    /// Wakes the watch again until the last word, or until the watch would have said it.
    async fn guard(&self, facts: &Facts) -> Result<(), &'static str> {
        let Some((committed, commit)) = facts.committed.as_ref().zip(facts.commit.as_ref()) else { return Ok(()) };
        let until = committed.at.after(commit.deadline).after(Duration::from_secs(120));
        while self.world.now() < until {
            self.world.sleep(Duration::from_millis(self.tempo().guardian)).await;
            let Ok(watch) = store::load_fact::<WatchFact>(self.world, self.id).await else { continue };
            if watch.is_some_and(|watch| watch.last_word.is_some() && watch.voice.told_end) {
                return Ok(());
            }
            if store::is_held(self.world, "watch").await == Ok(false) {
                let _ = store::wake(self.world).await;
            }
        }
        Ok(())
    }

    fn tempo(&self) -> &Tempo {
        &self.settings.tempo
    }

    /// From the catalog to the commit.
    async fn to_commit(&self, request: &RequestFact, facts: &mut Facts, say: &Say) -> Result<(), Stop> {
        self.wishes(request).await?;
        let (blob, catalog) = self.catalog().await?;
        let (target, app, environment) = self.authorise(request, &catalog).await?;
        let lease = self.target_lease(&target, environment).await?;
        let work = self.under_target(
            request,
            facts,
            say,
            Place { target: &target, app, environment, catalog: &blob, lease: &lease },
        );
        let done = lease.during(RENEW, work).await;
        lease.release().await;
        done?
    }

    /// A wish to cancel, or a watch that ended it, is heeded at every step.
    async fn wishes(&self, request: &RequestFact) -> Result<(), Stop> {
        let (cancel, watch) = futures::future::try_join(
            store::load_fact::<CancelFact>(self.world, self.id),
            store::load_fact::<WatchFact>(self.world, self.id),
        )
        .await?;
        if watch.is_some_and(|watch| watch.last_word.is_some()) {
            return Err(Stop::Leave("the watch has ended it"));
        }
        if let Some(cancel) = cancel {
            return Err(Stop::End(End::Cancelled { by: cancel.by }));
        }
        if self.world.now() >= request.at.after(Duration::from_millis(self.tempo().no_mutation)) {
            return Err(Fault::new(System::GitHub, "commit the new tag in time", Cause::TimedOut).into());
        }
        Ok(())
    }

    /// The catalog, from the cache while it is fresh.
    async fn catalog(&self) -> Result<(deploy_core::names::BlobSha, Catalog), Stop> {
        let now = self.world.now();
        let cached = store::load_key(self.world, CatalogCache).await.unwrap_or_default();
        let fresh = cached.filter(|cached| {
            now.since(cached.at) < Duration::from_millis(self.tempo().catalog_age) && cached.at <= now
        });
        let cached = match fresh {
            Some(cached) => cached,
            None => {
                let (gitops, path) = (&self.settings.gitops, &self.settings.catalog_path);
                let state = github::catalog(self.world, &self.settings.github, &gitops.repo, &gitops.branch, path)
                    .await
                    .map_err(|error| self.read_error(error))?;
                self.cache_catalog(&state).await?
            }
        };
        let catalog = Catalog::parse(&cached.text)
            .map_err(|error| Refusal::BrokenCatalog { path: self.settings.catalog_path.clone(), error })?;
        Ok((cached.blob, catalog))
    }

    async fn cache_catalog(&self, state: &FileState) -> Result<CachedCatalog, Stop> {
        let gitops = &self.settings.gitops;
        let path = &self.settings.catalog_path;
        let FileState::File { blob, text, .. } = state else {
            return Err(Refusal::NoCatalog {
                path: path.clone(),
                repo: gitops.repo.clone(),
                branch: gitops.branch.clone(),
            }
            .into());
        };
        let text = self.exact_text(path, blob, text.as_deref()).await?;
        let cached = CachedCatalog { at: self.world.now(), blob: blob.clone(), text };
        store::save_key(self.world, CatalogCache, &cached).await?;
        Ok(cached)
    }

    /// The exact bytes of a blob as text: as the query gave them, or raw where GitHub changed them on the way.
    async fn exact_text(
        &self,
        path: &FilePath,
        blob: &deploy_core::names::BlobSha,
        text: Option<&str>,
    ) -> Result<String, Stop> {
        if let Some(text) = text {
            return Ok(text.to_owned());
        }
        let bytes = github::raw_blob(self.world, &self.settings.github, &self.settings.gitops.repo, blob).await?;
        let text = manifest::text_of(&bytes).map_err(|why| Refusal::Edit { path: path.clone(), why })?;
        Ok(text.to_owned())
    }

    fn read_error(&self, error: ReadError) -> Stop {
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
    async fn authorise<'c>(
        &self,
        request: &RequestFact,
        catalog: &'c Catalog,
    ) -> Result<(Target, &'c App, &'c Environment), Stop> {
        let words = &request.words;
        let (target, app, environment) = catalog.find(&words.app, words.environment.as_deref())?;
        if let What::PullRequestOf { repo, number } = &words.what
            && !app.repo.is(repo.as_str())
        {
            let problem =
                format!("{number} is a pull request of {repo}, but {} is built from {}", target.app, app.repo);
            return Err(Refusal::Syntax { problem }.into());
        }
        let mut groups: Vec<SlackGroup> = Vec::new();
        for group in environment.allow.groups() {
            if self.is_member(request, group).await? {
                groups.push(group.clone());
            }
        }
        let refuse = |nobody, wrong_channel| Refusal::NotAllowed { target: target.clone(), nobody, wrong_channel };
        match environment.allow.decide(&request.user, &groups, &request.channel) {
            Decision::Allowed => Ok((target, app, environment)),
            Decision::Nobody => Err(refuse(true, false).into()),
            Decision::NotListed => Err(refuse(false, false).into()),
            Decision::WrongChannel => Err(refuse(false, true).into()),
        }
    }

    async fn is_member(&self, request: &RequestFact, group: &SlackGroup) -> Result<bool, Stop> {
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
            Err(SlackError::Gone(_)) => Ok(false),
        }
    }

    /// Waits for the target's lease; when it does not come, says who has it.
    async fn target_lease(&self, target: &Target, environment: &Environment) -> Result<Lease<'_, W>, Stop> {
        let name = format!("target/{}", store::target_name(&environment.argocd));
        let until = self.world.elapsed().saturating_add(Duration::from_millis(self.tempo().target_wait));
        loop {
            if let Some(lease) = Lease::take(self.world, &name, LIFE).await? {
                return Ok(lease);
            }
            if self.world.elapsed() >= until {
                let other = match store::load_key(self.world, Current(&environment.argocd)).await? {
                    Some(current) if current.id != *self.id => Some(current.id),
                    _ => None,
                };
                return Err(self.busy(target, other).await.into());
            }
            self.world.sleep(Duration::from_millis(self.tempo().target_retry)).await;
        }
    }

    async fn busy(&self, target: &Target, other: Option<DeploymentId>) -> Refusal {
        let facts = match &other {
            Some(other) => store::load(self.world, other).await.unwrap_or_default(),
            None => Facts::default(),
        };
        let by = facts.request.as_ref().map(|request| request.user.clone());
        Refusal::Busy { target: target.clone(), by, link: facts.link(), id: other }
    }

    /// Remembers a deployment that ends before it has a target's lease, so that the store stays bounded.
    async fn remember_early(&self) {
        let kept = async {
            let lease = loop {
                match Lease::take(self.world, "early-ends", LIFE).await? {
                    Some(lease) => break lease,
                    None => self.world.sleep(BRANCH_RETRY).await,
                }
            };
            let keep = store::in_flight(self.world).await?.ids;
            let done = store::remember(self.world, EarlyEnds, self.id, &keep).await;
            lease.release().await;
            done
        };
        if let Err(error) = kept.await {
            self.world.log(Line::error("not_remembered").of(self.id).with("cause", error.0));
        }
    }

    async fn remember(&self, place: &Place<'_, W>) -> Result<(), Stop> {
        let argocd = &place.environment.argocd;
        let mut keep = store::in_flight(self.world).await?.ids;
        keep.extend(store::load_key(self.world, Current(argocd)).await?.map(|current| current.id));
        keep.extend(store::load_key(self.world, Live(argocd)).await?.map(|live| live.id));
        place.lease.ensure(WRITE).await?;
        store::remember(self.world, History(argocd), self.id, &keep).await?;
        self.remembered.set(true);
        Ok(())
    }

    /// Everything that needs the target's lease.
    async fn under_target(
        &self,
        request: &RequestFact,
        facts: &mut Facts,
        say: &Say,
        place: Place<'_, W>,
    ) -> Result<(), Stop> {
        self.remember(&place).await?;
        let argocd = &place.environment.argocd;
        if let Some(lock) = store::load_key(self.world, Lock(argocd)).await?
            && lock.until.is_none_or(|until| self.world.now() < until)
        {
            return Err(Refusal::Locked { target: place.target.clone(), by: lock.by, reason: lock.reason }.into());
        }
        if let Some(current) = store::load_key(self.world, Current(argocd)).await?
            && current.id != *self.id
            && store::load(self.world, &current.id).await?.keeps_busy(self.world.now(), self.tempo())
        {
            return Err(self.busy(place.target, Some(current.id)).await.into());
        }
        let mut turn = Turn { branch: None, doubt: Doubt::default() };
        if let Some(commit) = &facts.commit {
            // Attempts from before a crash: settled before anything else.
            turn.doubt.unsettled = !commit.attempts.is_empty();
            turn.doubt.bases = commit.attempts.iter().map(|attempt| attempt.base.clone()).collect();
        }
        let done = self.commit_loop(request, facts, say, &place, &mut turn).await;
        let _ = store::leave_queue(self.world, &self.branch_name(), self.id).await;
        if let Some(lease) = turn.branch {
            if done.is_ok() && self.settings.github.is_public() {
                // GitHub asks for a second between two writes, so the next one gets the branch then.
                self.world.sleep(Duration::from_millis(self.tempo().write_gap)).await;
            }
            lease.release().await;
        }
        done
    }

    fn branch_name(&self) -> String {
        format!("branch/{}/{}", self.settings.gitops.repo, self.settings.gitops.branch)
    }

    /// Read, decide, commit; again while the branch moves under us. It ends a deployment only when no mutation of ours can land.
    async fn commit_loop<'s>(
        &'s self,
        request: &RequestFact,
        facts: &mut Facts,
        say: &Say,
        place: &Place<'_, W>,
        turn: &mut Turn<'s, W>,
    ) -> Result<(), Stop> {
        let mut rounds = 0_u32;
        while rounds < TRIES {
            if turn.doubt.unsettled {
                if let Some(sha) = self.settle(request, facts, say, &mut turn.doubt).await? {
                    return self.committed(facts, sha, false).await;
                }
                continue;
            }
            rounds = rounds.saturating_add(1);
            match self.round(request, facts, say, place, turn).await {
                Ok(None) => {}
                Ok(Some((sha, reused))) => return self.committed(facts, sha, reused).await,
                Err(Stop::End(_)) if !turn.doubt.bases.is_empty() => {
                    // An earlier mutation may still land on its base: first that has to be out of the question.
                    self.doubt(request, facts, say).await?;
                    turn.doubt.unsettled = true;
                }
                Err(stop) => return Err(stop),
            }
        }
        if turn.doubt.bases.is_empty() {
            Err(Refusal::KeepsMoving { attempts: TRIES }.into())
        } else {
            Err(Stop::Leave("it is not known whether the commit landed"))
        }
    }

    /// One read, one decision and at most one mutation. `None`: again.
    async fn round<'s>(
        &'s self,
        request: &RequestFact,
        facts: &mut Facts,
        say: &Say,
        place: &Place<'_, W>,
        turn: &mut Turn<'s, W>,
    ) -> Result<Option<(CommitSha, bool)>, Stop> {
        self.wishes(request).await?;
        let snapshot = self.read(request, place).await?;
        self.same_catalog(place, &snapshot).await?;
        let Prepared { mut commit, edit } = self.prepare(request, facts, place, &snapshot).await?;
        if !edit.changed {
            let written = self.already_there(&commit, &snapshot).await?;
            self.save_commit(facts, place, commit).await?;
            return Ok(Some(written));
        }
        let content = edit.text.into_bytes();
        commit.attempts.push(Attempt {
            base: snapshot.head.clone(),
            at: self.world.now(),
            files: BTreeMap::from([(commit.values.clone(), manifest::blob_sha(&content))]),
        });
        if turn.branch.is_none() {
            let (lease, waited) = self.branch_lease(request, facts, say).await?;
            turn.branch = Some(lease);
            if waited {
                // Others wrote meanwhile: what we read is old.
                return Ok(None);
            }
        }
        self.save_commit(facts, place, commit).await?;
        self.wishes(request).await?;
        self.still_current(place).await?;
        match self.mutate(request, facts, place, turn.branch.as_ref(), &snapshot.head, content).await? {
            CommitOutcome::Done(sha) => return Ok(Some((sha, false))),
            // After an attempt without an answer the branch may have moved by that very attempt.
            CommitOutcome::Stale => turn.doubt.unsettled = !turn.doubt.bases.is_empty(),
            CommitOutcome::NotDone(Fault { cause: Cause::RateLimited { seconds }, .. }) => {
                let wait = Duration::from_secs(seconds.unwrap_or(10).clamp(1, 60));
                self.world.log(Line::new("github_rate_limited").of(self.id).with("seconds", wait.as_secs()));
                if let Some(lease) = turn.branch.take() {
                    lease.release().await;
                }
                self.world.sleep(wait).await;
            }
            CommitOutcome::NotDone(fault) => return Err(fault.into()),
            CommitOutcome::Unknown(fault) => {
                self.world.log(Line::error("commit_unknown").of(self.id).with_json("fault", &fault));
                let _ = say.unbounded_send((facts.clone(), Some(Note::Settling)));
                turn.doubt.unsettled = true;
                turn.doubt.bases.insert(snapshot.head);
            }
        }
        Ok(None)
    }

    /// Finds out whether the mutation of an earlier attempt landed. `None`: not so far, and the next round may be tried.
    async fn settle(
        &self,
        request: &RequestFact,
        facts: &Facts,
        say: &Say,
        doubt: &mut Doubt,
    ) -> Result<Option<CommitSha>, Stop> {
        match self.look_for_commit(request, facts).await {
            Ok((Some(sha), _)) => return Ok(Some(sha)),
            Ok((None, head)) => {
                // A mutation whose base is not the head any more can never land. One whose base still is may: then the same again,
                // because only one of them can win.
                doubt.bases.retain(|base| *base == head);
                doubt.unsettled = false;
            }
            Err(fault) => {
                self.world.log(Line::error("unsettled").of(self.id).with_json("fault", &fault));
                self.doubt(request, facts, say).await?;
            }
        }
        Ok(None)
    }

    /// Says that it is not known, and waits a little; not for ever.
    async fn doubt(&self, request: &RequestFact, facts: &Facts, say: &Say) -> Result<(), Stop> {
        let _ = say.unbounded_send((facts.clone(), Some(Note::Settling)));
        if self.world.now() >= request.at.after(Duration::from_millis(self.tempo().no_end)) {
            return Err(Stop::Leave("it is not known whether the commit landed"));
        }
        self.world.sleep(Duration::from_millis(self.tempo().settle)).await;
        Ok(())
    }

    /// The commit of an attempt on the branch, if it is there, and the branch's head.
    async fn look_for_commit(
        &self,
        request: &RequestFact,
        facts: &Facts,
    ) -> Result<(Option<CommitSha>, CommitSha), Fault> {
        let Some(commit) = &facts.commit else {
            let part = "no attempt was made".to_owned();
            return Err(Fault::new(System::Store, "find out whether my commit landed", Cause::Nonsense { part }));
        };
        let since = Timestamp(request.at.0.saturating_sub(300_000));
        let paths = std::slice::from_ref(&commit.values);
        let github = &self.settings.github;
        let history =
            github::history(self.world, github, &commit.gitops_repo, &commit.gitops_branch, paths, since).await?;
        let found = history.commits.iter().find(|past| commit.is_ours(&candidate(past, &history.viewer)));
        match found {
            Some(past) => Ok((Some(past.sha.clone()), history.head)),
            None if history.complete => Ok((None, history.head)),
            None => Err(Fault::new(System::GitHub, "find out whether my commit landed", Cause::TooLarge)),
        }
    }

    /// The one query.
    async fn read(&self, request: &RequestFact, place: &Place<'_, W>) -> Result<Snapshot, Stop> {
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
    async fn same_catalog(&self, place: &Place<'_, W>, snapshot: &Snapshot) -> Result<(), Stop> {
        match &snapshot.catalog {
            FileState::File { blob, .. } if blob == place.catalog => Ok(()),
            state => {
                self.cache_catalog(state).await?;
                Err(Stop::CatalogMoved)
            }
        }
    }

    /// Source, tag, image, edit. What an earlier attempt fixed stays fixed: two attempts must never differ in what they deploy.
    async fn prepare(
        &self,
        request: &RequestFact,
        facts: &Facts,
        place: &Place<'_, W>,
        snapshot: &Snapshot,
    ) -> Result<Prepared, Stop> {
        let (app, environment) = (place.app, place.environment);
        let FileState::File { blob, text, .. } = &snapshot.values else {
            let repo = self.settings.gitops.repo.clone();
            return Err(Refusal::NoValuesFile { path: environment.values.clone(), repo }.into());
        };
        let begun =
            facts.commit.clone().filter(|commit| !commit.attempts.is_empty() && commit.values == environment.values);
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
                    attempts: Vec::new(),
                }
            }
        };
        let text = self.exact_text(&environment.values, blob, text.as_deref()).await?;
        let edit = manifest::set_tag(&text, &environment.tag_at, commit.tag.as_str())
            .map_err(|why| Refusal::Edit { path: environment.values.clone(), why })?;
        commit.before = edit.before.first().cloned().unwrap_or_default();
        if store::load_key(self.world, Live(&environment.argocd)).await?.is_some() {
            commit.riders = riders(snapshot);
        }
        Ok(Prepared { commit, edit })
    }

    /// The wanted tag is in the file already. Ours to sync only if the last commit to the file is a recorded one of ours.
    async fn already_there(&self, commit: &CommitFact, snapshot: &Snapshot) -> Result<(CommitSha, bool), Stop> {
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
                && (recorded || theirs.is_ours(&candidate(past, &snapshot.viewer)))
            {
                return Ok((past.sha.clone(), id != *self.id));
            }
        }
        Err(Refusal::AlreadyWritten { tag: commit.tag.clone(), by: past.author.clone(), commit: past.sha.clone() }
            .into())
    }

    /// Saves what was decided, then takes the turn: `current` is us from here on.
    async fn save_commit(&self, facts: &mut Facts, place: &Place<'_, W>, commit: CommitFact) -> Result<(), Stop> {
        self.lease.check(WRITE)?;
        place.lease.ensure(WRITE).await?;
        store::save_fact(self.world, self.id, &commit).await?;
        facts.commit = Some(commit);
        let current = store::CurrentDeployment { id: self.id.clone() };
        Ok(store::save_key(self.world, Current(&place.environment.argocd), &current).await?)
    }

    async fn still_current(&self, place: &Place<'_, W>) -> Result<(), Stop> {
        match store::load_key(self.world, Current(&place.environment.argocd)).await? {
            Some(current) if current.id == *self.id => Ok(()),
            _ => Err(Stop::Leave("another deployment has taken the turn")),
        }
    }

    /// Waits for its turn at the branch. Also says whether it had to wait.
    async fn branch_lease(
        &self,
        request: &RequestFact,
        facts: &Facts,
        say: &Say,
    ) -> Result<(Lease<'_, W>, bool), Stop> {
        let name = self.branch_name();
        let mut told = None;
        let mut waited = false;
        loop {
            if let Some(lease) = Lease::take(self.world, &name, BRANCH_LIFE).await? {
                return Ok((lease, waited));
            }
            waited = true;
            let ahead = store::queue_place(self.world, &name, self.id, request.at).await?;
            if told != Some(ahead) && ahead > 0 {
                told = Some(ahead);
                let _ = say.unbounded_send((facts.clone(), Some(Note::Queue { ahead })));
            }
            self.wishes(request).await?;
            self.world.sleep(BRANCH_RETRY).await;
        }
    }

    /// One mutation, with all three leases good for as long as it may take.
    async fn mutate(
        &self,
        request: &RequestFact,
        facts: &Facts,
        place: &Place<'_, W>,
        branch: Option<&Lease<'_, W>>,
        base: &CommitSha,
        content: Vec<u8>,
    ) -> Result<CommitOutcome, Stop> {
        let Some(commit) = &facts.commit else { return Err(Stop::Leave("there is nothing to commit")) };
        let (headline, body) = message::commit_text(request, commit, self.id);
        let files = [(commit.values.clone(), content)];
        let new = NewCommit {
            repo: &commit.gitops_repo,
            branch: &commit.gitops_branch,
            base,
            headline: &headline,
            body: &body,
            files: &files,
        };
        self.lease.ensure(MUTATION).await?;
        place.lease.ensure(MUTATION).await?;
        branch.ok_or(LeaseLost)?.ensure(MUTATION).await?;
        Ok(github::commit(self.world, &self.settings.github, &new).await)
    }

    /// The commit is on the branch: true whoever says it, so no lease is asked. The watch takes over.
    async fn committed(&self, facts: &mut Facts, sha: CommitSha, reused: bool) -> Result<(), Stop> {
        let fact = CommittedFact { sha, at: self.world.now(), reused };
        store::save_fact(self.world, self.id, &fact).await?;
        self.world.log(Line::new("committed").of(self.id).with("sha", fact.sha.as_str()).with("reused", reused));
        facts.committed = Some(fact);
        if let Some(request) = &facts.request {
            // Again: whoever ended this one by mistake may have taken it out.
            let _ = store::add_in_flight(self.world, self.id, request.at).await;
        }
        if store::announce(self.world, self.id).await == Ok(0) {
            self.world.log(Line::error("nobody_watches").of(self.id));
        }
        Ok(())
    }
}

/// Where the work happens: the target as the catalog has it, and its lease.
struct Place<'a, W> {
    target: &'a Target,
    app: &'a App,
    environment: &'a Environment,
    catalog: &'a deploy_core::names::BlobSha,
    lease: &'a Lease<'a, W>,
}

/// What a deployment holds while it tries to commit.
struct Turn<'a, W> {
    /// The branch's lease, once it was our turn.
    branch: Option<Lease<'a, W>>,
    doubt: Doubt,
}

/// Mutations whose outcome we do not know.
#[derive(Default)]
struct Doubt {
    /// It has to be looked up before anything else is done.
    unsettled: bool,
    /// The bases on which one of them may still land.
    bases: BTreeSet<CommitSha>,
}

/// What would be committed.
struct Prepared {
    commit: CommitFact,
    edit: Edit,
}

fn candidate<'a>(past: &'a github::PastCommit, viewer: &deploy_core::names::GitHubLogin) -> Candidate<'a> {
    Candidate {
        parents: &past.parents,
        changed_files: past.changed_files,
        blobs: &past.blobs,
        signed_by_github: past.signed_by_github,
        by_us: past.author.as_ref() == Some(viewer),
    }
}

fn riders(snapshot: &Snapshot) -> Riders {
    let commits = snapshot
        .since_live
        .iter()
        // Our own commits below that path are deploys of other targets.
        .filter(|touch| touch.login.as_ref() != Some(&snapshot.viewer))
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
