//! Whose turn it is: at the Argo CD application, by its lease and `current`; at the branch, by its lease and the queue.
//! What a target remembers: its history and, after a rollback, a lock and the version that was replaced.
//!
//! Several targets may run in one application. A deploy that finds the turn with another deploy waits for it, before its own
//! commit, as long as a request lasts. Those that wait for one target go in the order in which they were asked for: the queue
//! is a hint in Redis, and `current` decides. They stop if the one before was committed and did not go live. A rollback never
//! stands in the queue.

use super::prepare::Site;
use super::{CARRY, Job, Run, catalog, commit, gates, itself, may_go_on, versions};
use crate::context::Stop;
use crate::patience::Progress;
use crate::request::has_button;
use crate::world::{Line, World, under_lease};
use domain::command::What;
use domain::deployment::{CancelFact, Facts, Origin, RequestFact, State, TargetPlan};
use domain::image::Tag;
use domain::limits;
use domain::lock::{RolledBack, RolledBackVersion, TargetLock};
use domain::message::Note;
use domain::names::{ArgoApplication, DeploymentId, Target};
use domain::nonempty::NonEmpty;
use domain::refusal::Refusal;
use domain::time::Timestamp;
use futures::channel::mpsc;
use std::cell::Cell;
use std::time::Duration;
use store::{
    Claims, Current, CurrentDeployment, History, Images, Lease, Live, Lock, RolledBackVersions, StoreError, Terms,
};

/// The branch's lease: around mutations only, and renewed before each.
const BRANCH: Terms = Terms { life: Duration::from_secs(10), renew: None };
/// How many versions of a target are remembered as rolled back.
const MANY: usize = 20;

/// The turn at the application of a target.
pub(super) struct Turn<'t, W> {
    pub(super) run: &'t Run<'t, W>,
    pub(super) site: &'t Site<'t, W>,
    pub(super) lease: &'t Lease<'t, W>,
}

/// The turns at all targets of one deployment, which one commit changes together: of one target its own turn.
pub(super) struct Turns<'t, W> {
    pub(super) run: &'t Run<'t, W>,
    pub(super) parts: Vec<Turn<'t, W>>,
    pub(super) lease: &'t Lease<'t, W>,
}

/// Another deployment that has the turn.
pub(super) struct Other {
    pub(super) id: DeploymentId,
    pub(super) target: Target,
    pub(super) facts: Facts,
}

impl Other {
    /// No rollback ends another one.
    pub(super) fn is_rollback(&self) -> bool {
        self.facts.request.as_ref().is_some_and(is_rollback)
    }
}

/// Takes the turn at the target's applications, and commits.
pub(super) async fn with_target<W: World>(run: &Run<'_, W>, job: &mut Job<'_>, site: &Site<'_, W>) -> Result<(), Stop> {
    let world = run.cx.world;
    let waiting = Waiting {
        run,
        site,
        request: job.request,
        known: job.facts.clone(),
        progress: job.progress.clone(),
        since: Cell::new(world.elapsed()),
        told: Cell::new(None),
        urgent: Cell::new(None),
    };
    let leases = store::application_leases(&site.applications);
    let work = async {
        loop {
            let if_taken = async || waiting.for_lease().await;
            let work = async |lease: &Lease<'_, W>| take_turn(&Turn { run, site, lease }, job).await;
            let Some(other) = Lease::hold_all(world, &leases, CARRY, if_taken, work).await? else { return Ok(()) };
            // Without the lease: a rollback must get through.
            waiting.for_turn(other).await?;
        }
    };
    let done = work.await;
    if waiting.told.take().is_some() {
        let _ = store::leave_queue(world, &store::target_queue(&site.target), run.cx.id).await;
    }
    done
}

/// A deployment that waits for its turn at the application.
struct Waiting<'t, W> {
    run: &'t Run<'t, W>,
    site: &'t Site<'t, W>,
    request: &'t RequestFact,
    known: Facts,
    progress: mpsc::UnboundedSender<Progress>,
    /// Since when no deployment of another target is known to have the turn.
    since: Cell<Duration>,
    /// For whom, how many wait before it, and whether there is a message to look at, as people were told.
    told: Cell<Option<(DeploymentId, u64, bool)>>,
    urgent: Cell<Option<bool>>,
}

impl<W: World> Waiting<'_, W> {
    /// Another carrier has the lease.
    async fn for_lease(&self) -> Result<(), Stop> {
        let (world, limits) = (self.run.cx.world, &self.run.cx.settings.limits);
        let waited = world.elapsed().saturating_sub(self.since.get());
        let urgent = is_rollback(self.request) && self.is_urgent().await;
        if urgent
            && let Some(other) = other_turn(self.run, self.site).await?
            && other.target == self.site.target
        {
            cancel_for_rollback(self.run, self.request, &other).await?;
        }
        if waited >= limits.target_wait {
            let other = other_turn(self.run, self.site).await?;
            let is_waited_for = |other: &&Other| other.target != self.site.target || !is_rollback(self.request);
            if let Some(other) = other.as_ref().filter(is_waited_for) {
                return self.pause(other).await;
            }
            // No other deployment has the turn. Perhaps our own carrier died with the lease, which runs out
            // by itself.
            // What a rollback has cancelled lets go at its next step.
            let hopeless = other.as_ref().is_some_and(|other| !urgent || other.is_rollback());
            if hopeless || waited >= limits.target_wait.saturating_add(CARRY.life) {
                return Err(busy(self.run, &self.site.target, other.map(|other| other.id)).await.into());
            }
        }
        world.sleep(limits.target_retry).await;
        may_go_on(self.run, self.request).await
    }

    /// Whether this rollback may end a deploy of its target, see [`gates::is_urgent`]. Found out once.
    async fn is_urgent(&self) -> bool {
        if let Some(known) = self.urgent.get() {
            return known;
        }
        let urgent = gates::is_urgent(self.site).await;
        self.urgent.set(Some(urgent));
        urgent
    }

    /// Until no other deployment has the turn, and none of the same target waits longer.
    async fn for_turn(&self, mut other: Other) -> Result<(), Stop> {
        loop {
            self.pause(&other).await?;
            let next = match other_turn(self.run, self.site).await? {
                Some(next) => Some(next),
                None => before(self.run, self.site, self.request).await?.into_iter().next(),
            };
            match next {
                Some(next) if next.target != self.site.target || !is_rollback(self.request) => other = next,
                _ => return Ok(()),
            }
        }
    }

    /// A moment. People are told for whom we wait.
    async fn pause(&self, other: &Other) -> Result<(), Stop> {
        let (world, limits) = (self.run.cx.world, &self.run.cx.settings.limits);
        let is_same = other.target == self.site.target;
        if world.now() >= self.request.at.after(limits.no_mutation) {
            return Err(given_up(self.run, other, is_same).await.into());
        }
        let mut ahead = 0;
        if is_same {
            store::join_queue(world, &self.site.target, self.run.cx.id, self.request.at).await?;
            let before = before(self.run, self.site, self.request).await?;
            ahead = u64::try_from(before.iter().filter(|one| one.id != other.id).count()).unwrap_or_default();
        }
        let told = (other.id.clone(), ahead, other.facts.place().is_some());
        if self.told.replace(Some(told.clone())) != Some(told) {
            let note = waits_for(other, is_same.then_some(ahead));
            let _ = self.progress.unbounded_send((Some(self.known.clone()), note));
            let line = Line::new("waits_for_application").of(self.run.cx.id);
            world.log(line.with("of", other.id.as_str()).with("target", other.target.to_string()));
        }
        world.sleep(limits.target_retry).await;
        may_go_on(self.run, self.request).await?;
        self.since.set(world.elapsed());
        Ok(())
    }
}

/// What people read who wait. `ahead`: how many more go first at the same target.
pub(super) fn waits_for(other: &Other, ahead: Option<u64>) -> Note {
    let link = other.facts.link();
    match ahead {
        Some(ahead) => {
            Note::Target { ahead, by: other.facts.request.as_ref().map(|request| request.user.clone()), link }
        }
        None => Note::Application { other: other.target.clone(), link },
    }
}

/// Everything that needs the applications' leases. Returns the deployment of another target that has the turn at one, if
/// there is one.
async fn take_turn<W: World>(turn: &Turn<'_, W>, job: &mut Job<'_>) -> Result<Option<Other>, Stop> {
    claim(turn, job.request).await?;
    match look(turn, job.request, async || gates::is_urgent(turn.site).await).await? {
        Taking::Free(mut free) => match end_others(turn.run, job.request, &mut free).await? {
            Some(other) => return Ok(Some(other)),
            None => take(turn, free).await?,
        },
        Taking::Taken(other) => return Ok(Some(*other)),
    }
    let turn = Turn { run: turn.run, site: turn.site, lease: turn.lease };
    commit(&Turns { run: turn.run, lease: turn.lease, parts: vec![turn] }, job).await.map(|()| None)
}

/// Commits, and leaves the queue at the branch.
pub(super) async fn commit<W: World>(turns: &Turns<'_, W>, job: &mut Job<'_>) -> Result<(), Stop> {
    let done = commit::commit(turns, job).await;
    let _ = store::leave_queue(turns.run.cx.world, &branch(turns.run), turns.run.cx.id).await;
    done
}

/// Whether the turn at a target can be taken.
pub(super) enum Taking<'s> {
    /// At these applications.
    Free(Vec<FreeTurn<'s>>),
    /// This deployment has the turn, or waits longer.
    Taken(Box<Other>),
}

/// The turn at one application, which can be taken.
pub(super) struct FreeTurn<'s> {
    application: &'s ArgoApplication,
    /// See [`CurrentDeployment::over`].
    over: Option<DeploymentId>,
    /// See [`CurrentDeployment::last`].
    last: Option<DeploymentId>,
    /// The deploy of the same target that a rollback ends, before it takes the turn.
    ends: Option<Box<Other>>,
}

/// Whether the turn at one target can be taken. A lock and a freeze are in the way, too. Nothing is changed by it but the
/// history. `urgent`: whether this rollback may end a deploy of its target, see [`gates::is_urgent`].
pub(super) async fn look<'s, W: World>(
    turn: &Turn<'s, W>,
    request: &RequestFact,
    urgent: impl AsyncFn() -> bool,
) -> Result<Taking<'s>, Stop> {
    let Turn { run, site, .. } = *turn;
    remember(turn).await?;
    itself::may_take_turn(site).await?;
    if let Err(closed) = gates::check_lock_and_freeze(site, None).await {
        if matches!(request.origin, Origin::Wait { head: None, .. }) {
            // Who waits until it is open waits for this commit.
            let head = Box::pin(versions::meant(site)).await?;
            *run.meant.borrow_mut() = head;
        }
        return Err(closed);
    }
    let (mut turns, mut has_turn) = (Vec::new(), false);
    for application in site.applications.iter() {
        let current = store::load_key(run.cx.world, Current(application)).await?;
        has_turn |= current.is_some_and(|current| current.id == *run.cx.id);
        let (other, last) = turn_at(run, application).await?;
        if other.is_none() && !is_rollback(request) {
            must_be_live(run, site, (application, request)).await?;
        }
        let mut ends = None;
        let over = match other {
            Some(other) if other.target != site.target || !is_rollback(request) => {
                return Ok(Taking::Taken(Box::new(other)));
            }
            // What a rollback brings back is needed now. The other deployment is followed until our commit is there.
            Some(other) if is_rollback(request) && other.facts.committed.is_some() => Some(other.id),
            // Its carrier has lost the leases, so what was not begun is never begun. What was begun may still land.
            Some(other) if is_rollback(request) && !other.is_rollback() && urgent().await => {
                ends = Some(Box::new(other));
                None
            }
            Some(other) => return Err(busy(run, &site.target, Some(other.id)).await.into()),
            None => None,
        };
        turns.push(FreeTurn { application, over, last, ends });
    }
    // Who has the turn already waits for nobody: after a crash the others wait for it.
    if !has_turn && let Some(first) = before(run, site, request).await?.into_iter().next() {
        return Ok(Taking::Taken(Box::new(first)));
    }
    Ok(Taking::Free(turns))
}

/// Ends the deploys whose turns a rollback takes. Returns one whose mutation is out: its own carrier finds out about that first.
pub(super) async fn end_others<'f, 's: 'f, W: World>(
    run: &Run<'_, W>,
    request: &RequestFact,
    free: impl IntoIterator<Item = &'f mut FreeTurn<'s>>,
) -> Result<Option<Other>, Stop> {
    let mut out = None;
    for other in free.into_iter().filter_map(|turn| turn.ends.take()) {
        cancel_for_rollback(run, request, &other).await?;
        if other.facts.commit.is_some() {
            out = Some(*other);
        }
    }
    Ok(out)
}

/// Our turn from here on: a deployment that waits for an application's lease reads in `current` whose turn it is.
pub(super) async fn take<W: World>(turn: &Turn<'_, W>, free: Vec<FreeTurn<'_>>) -> Result<(), Stop> {
    let Turn { run, site, lease } = turn;
    for FreeTurn { application, over, last, .. } in free {
        let current = store::load_key(run.cx.world, Current(application)).await?;
        if current.is_none_or(|current| current.id != *run.cx.id) {
            lease.ensure(limits::WRITE).await?;
            let ours = CurrentDeployment { id: run.cx.id.clone(), target: site.target.clone(), over, last };
            store::save_key(run.cx.world, Current(application), &ours).await?;
        }
    }
    Ok(())
}

/// The deployments of the target that wait for their turn, and were asked for before. What is over, or is never carried out any
/// more, is not waited for.
pub(super) async fn before<W: World>(
    run: &Run<'_, W>,
    site: &Site<'_, W>,
    request: &RequestFact,
) -> Result<Vec<Other>, Stop> {
    if is_rollback(request) {
        return Ok(Vec::new());
    }
    let (world, target) = (run.cx.world, &site.target);
    let mut all = Vec::new();
    for id in store::queue_of(world, target).await?.into_iter().filter(|id| id != run.cx.id) {
        // What cannot be read is of another version of ours.
        let Ok(facts) = store::load(world, &id).await else { continue };
        let Some(asked) = &facts.request else { continue };
        let is_carried = world.now() < asked.at.after(run.cx.settings.limits.no_mutation);
        let waits = facts.end.is_none() && !facts.watch_speaks() && facts.cancel.is_none();
        // Nobody who was asked for later goes first: then nobody waits for each other.
        let is_earlier = place(asked, &id) < place(request, run.cx.id);
        if waits && is_carried && is_earlier {
            all.push(Other { id, target: target.clone(), facts });
        }
    }
    Ok(all)
}

/// In which order those go that wait. Of several targets in one request all have one place, or two requests could wait for each
/// other.
fn place<'a>(request: &'a RequestFact, id: &'a DeploymentId) -> (Timestamp, &'a DeploymentId) {
    (request.at, request.origin.part_of().unwrap_or(id))
}

/// A deployment that waited for another one of the same target stops if the other was committed and did not go live: what is
/// wrong there may be wrong with everything. Slack's time of a request has whole seconds: what ended in the same second may have ended before.
async fn must_be_live<W: World>(
    run: &Run<'_, W>,
    site: &Site<'_, W>,
    (application, request): (&ArgoApplication, &RequestFact),
) -> Result<(), Stop> {
    let current = store::load_key(run.cx.world, Current(application)).await?;
    let Some(current) = current.filter(|current| current.id != *run.cx.id && current.target == site.target) else {
        return Ok(());
    };
    let facts = store::load(run.cx.world, &current.id).await?;
    let ended = facts.outcome.as_ref().map(|outcome| outcome.at);
    let waited = ended.is_some_and(|at| at.seconds() > request.at.seconds());
    if waited && facts.committed.is_some() && facts.state() != State::Live {
        let by = facts.request.as_ref().map(|request| request.user.clone());
        return Err(Refusal::BeforeNotLive { target: Box::new(site.target.clone()), by, link: facts.link() }.into());
    }
    Ok(())
}

/// A rollback takes the turn of a deploy of the same target that has not committed: that deploy ends as cancelled. A mutation
/// that is out is found out about first, by its own carrier.
pub(super) async fn cancel_for_rollback<W: World>(
    run: &Run<'_, W>,
    request: &RequestFact,
    other: &Other,
) -> Result<(), Stop> {
    let facts = &other.facts;
    if !other.is_rollback() && facts.committed.is_none() && facts.cancel.is_none() && facts.end.is_none() {
        let cancel = CancelFact { by: Some(request.user.clone()), at: run.cx.world.now() };
        store::save_fact(run.cx.world, &other.id, &cancel).await?;
        let line = Line::new("cancelled_by_rollback").of(&other.id);
        run.cx.world.log(line.with("rollback", run.cx.id.as_str()).with("user", request.user.as_str()));
    }
    Ok(())
}

/// The button that asked for the deployment is the deployment's from now on. Two people who press at once both get this
/// far, and only the first one claims the button: nobody who may not deploy comes here.
pub(super) async fn claim<W: World>(turn: &Turn<'_, W>, request: &RequestFact) -> Result<(), Stop> {
    let (world, id) = (turn.run.cx.world, turn.run.cx.id);
    let Some(button) = &request.button else { return Ok(()) };
    if let Some((_, facts)) = has_button(world, id, request).await? {
        let (by, link) = (facts.request.as_ref().map(|request| request.user.clone()), facts.link());
        return Err(Refusal::ButtonTaken { by, link }.into());
    }
    let words = request.words.target();
    let mut claims = store::load_key(world, Claims(&words)).await?.unwrap_or_default();
    if claims.of(button) != Some(id) {
        claims.claim(button, id);
        turn.lease.ensure(limits::WRITE).await?;
        store::save_key(world, Claims(&words), &claims).await?;
    }
    Ok(())
}

pub(super) fn is_rollback(request: &RequestFact) -> bool {
    matches!(request.words.what, What::Rollback(_))
}

/// The other deployment whose turn it is at one of the applications.
pub(super) async fn other_turn<W: World>(run: &Run<'_, W>, site: &Site<'_, W>) -> Result<Option<Other>, Stop> {
    let mut ours = None;
    for application in site.applications.iter() {
        match turn_at(run, application).await?.0 {
            Some(other) if other.target != site.target => return Ok(Some(other)),
            other => ours = ours.or(other),
        }
    }
    Ok(ours)
}

/// The other deployment whose turn it is, and the last one that has committed for the application.
async fn turn_at<W: World>(
    run: &Run<'_, W>,
    argocd: &ArgoApplication,
) -> Result<(Option<Other>, Option<DeploymentId>), Stop> {
    let (world, limits) = (run.cx.world, &run.cx.settings.limits);
    let current = store::load_key(world, Current(argocd)).await?;
    let Some(current) = current.filter(|current| current.id != *run.cx.id) else { return Ok((None, None)) };
    let CurrentDeployment { id, target, over, last } = current;
    let facts = store::load(world, &id).await?;
    let has_committed = facts.committed.is_some();
    let last = if has_committed { Some(id.clone()) } else { last };
    if facts.keeps_busy(world.now(), limits) {
        return Ok((Some(Other { id, target, facts }), last));
    }
    // A rollback that came to nothing gives the turn back.
    let over = over.filter(|over| !has_committed && over != run.cx.id);
    let Some(id) = over else { return Ok((None, last)) };
    let facts = store::load(world, &id).await?;
    let other = facts.keeps_busy(world.now(), limits).then_some(Other { id, target, facts });
    Ok((other, last))
}

/// The refusal of a deployment that has waited for another one for as long as a deployment may wait.
pub(super) async fn given_up<W: World>(run: &Run<'_, W>, other: &Other, is_same: bool) -> Refusal {
    if is_same {
        return busy(run, &other.target, Some(other.id.clone())).await;
    }
    Refusal::ApplicationBusy {
        other: Box::new(other.target.clone()),
        by: other.facts.request.as_ref().map(|request| request.user.clone()),
        link: other.facts.link(),
        minutes: run.cx.settings.limits.no_mutation.as_secs() / 60,
    }
}

/// The refusal, with the other asker and a link. Waits a moment if the other message is being posted.
pub(super) async fn busy<W: World>(run: &Run<'_, W>, target: &Target, other: Option<DeploymentId>) -> Refusal {
    let world = run.cx.world;
    let mut facts = Facts::default();
    if let Some(other) = &other {
        let until = world.elapsed().saturating_add(limits::REFUSAL_LINK);
        loop {
            facts = store::load(world, other).await.unwrap_or_default();
            let is_posting = facts.message.as_ref().is_some_and(|message| message.0.speaking.is_some());
            if facts.place().is_some() || !is_posting || world.elapsed() >= until {
                break;
            }
            world.sleep(limits::LEASE_RETRY).await;
        }
    }
    let by = facts.request.as_ref().map(|request| request.user.clone());
    Refusal::Busy { target: target.clone(), by, link: facts.link(), id: other }
}

/// Puts the deployment into its target's history.
async fn remember<W: World>(turn: &Turn<'_, W>) -> Result<(), Stop> {
    let Turn { run, site, lease } = turn;
    let (world, target) = (run.cx.world, &site.target);
    let keep = kept(world, &site.applications, target).await?;
    let remember =
        store::remember(world, History(target), run.cx.id, &keep, async || lease.ensure(limits::WRITE).await);
    run.rings.make(world, (), remember).await?;
    run.remembered.set(true);
    Ok(())
}

/// Which deployments a target's history keeps: those in flight, those that `current` names, and the live one.
pub(super) async fn kept(
    world: &impl World,
    applications: &NonEmpty<ArgoApplication>,
    target: &Target,
) -> Result<Vec<DeploymentId>, StoreError> {
    let mut keep = store::in_flight(world).await?.ids;
    for application in applications.iter() {
        let current = store::load_key(world, Current(application)).await?;
        keep.extend(current.into_iter().flat_map(|current| [Some(current.id), current.over, current.last]).flatten());
    }
    keep.extend(store::load_key(world, Live(target)).await?.map(|live| live.id));
    Ok(keep)
}

/// Which image the tag means is remembered with the deploy: another one behind the same tag is another version.
pub(super) async fn remember_image<W: World>(run: &Run<'_, W>, plan: &TargetPlan) -> Result<(), Stop> {
    let Some(digest) = &plan.digest else { return Ok(()) };
    let (world, key) = (run.cx.world, Images(&plan.target));
    let mut images = store::load_key(world, key).await?.unwrap_or_default();
    if images.of(&plan.tag) != Some(digest) {
        images.deployed(&plan.tag, digest);
        store::save_key(world, key, &images).await?;
    }
    Ok(())
}

pub(super) async fn still_current<W: World>(
    run: &Run<'_, W>,
    applications: &NonEmpty<ArgoApplication>,
) -> Result<(), Stop> {
    for application in applications.iter() {
        let current = store::load_key(run.cx.world, Current(application)).await?;
        if current.is_none_or(|current| current.id != *run.cx.id) {
            return Err(Stop::Leave("another deployment has taken the turn"));
        }
    }
    Ok(())
}

fn branch<W: World>(run: &Run<'_, W>) -> String {
    format!("branch/{}/{}", run.cx.settings.gitops.repo, run.cx.settings.gitops.branch)
}

/// Takes the turn at the branch, and works. `shown`: what people read of while the turn is waited for. `work` learns
/// whether it was waited for: then others may have written.
pub(super) async fn with_branch<W: World, T>(
    run: &Run<'_, W>,
    job: &mut Job<'_>,
    shown: Facts,
    work: impl AsyncFnOnce(&mut Job<'_>, &Lease<'_, W>, bool) -> Result<T, Stop>,
) -> Result<T, Stop> {
    let (world, name, request) = (run.cx.world, branch(run), job.request);
    let (waited, told) = (Cell::new(false), Cell::new(None));
    let progress = job.progress.clone();
    let if_taken = async || {
        waited.set(true);
        let ahead = store::queue_place(world, &name, run.cx.id, request.at).await?;
        if ahead > 0 && told.replace(Some(ahead)) != Some(ahead) {
            let _ = progress.unbounded_send((Some(shown.clone()), Note::Queue { ahead }));
        }
        may_go_on(run, request).await?;
        // A deployment far behind need not look often, and those in front get there first.
        let rounds = u32::try_from(ahead.min(20)).unwrap_or_default().saturating_add(1);
        world.sleep(limits::LEASE_RETRY.saturating_mul(rounds)).await;
        Ok(())
    };
    Lease::hold(world, &name, BRANCH, if_taken, async |lease| work(job, lease, waited.get()).await).await
}

/// After a rollback the target is locked, and the version that was replaced is remembered as rolled back. The
/// version that a rollback brings back is not, nor is a version that somebody knowingly deploys again.
pub(super) async fn after_rollback<W: World>(run: &Run<'_, W>, facts: &Facts) -> Result<(), Stop> {
    let Some((commit, request)) = facts.commit.as_ref().zip(facts.request.as_ref()) else { return Ok(()) };
    let (world, plan, user) = (run.cx.world, commit.target(), &request.user);
    if !plan.rollback && !request.origin.knows_rolled_back() {
        return Ok(());
    }
    let target = &plan.target;
    let itself = request.origin.by_itself().is_some();
    let owned = catalog::is_owned(&run.cx, target).await;
    let work = async |lease: &Lease<'_, W>| {
        let now = world.now();
        let images = store::load_key(world, Images(target)).await?.unwrap_or_default();
        let image_of = |tag: &String| Tag::parse(tag).ok().and_then(|tag| images.of(&tag).cloned());
        // The same image may come back under another tag: that is no bad version.
        let other_image = |tag: &String| image_of(tag).filter(|digest| plan.digest.as_ref() != Some(digest));
        let moves = match &plan.before {
            Some(before) => catalog::is_channel(&run.cx, target, before).await,
            None => false,
        };
        let is_other = |before: &&String| *before != plan.tag.as_str() || (moves && other_image(before).is_some());
        let replaced = plan.before.as_ref().filter(is_other);
        let known = store::load_key(world, RolledBackVersions(target)).await?.unwrap_or_default();
        let mut versions = known.versions.clone();
        versions.retain(|version| !version.is(&plan.tag, plan.digest.as_ref()));
        if let Some(before) = replaced.filter(|_| plan.rollback) {
            let digest = other_image(before);
            versions.retain(|version| version.tag != *before || (moves && version.digest != digest));
            versions.push(RolledBackVersion { tag: before.clone(), digest, moves, by: user.clone(), at: now, itself });
            versions.drain(..versions.len().saturating_sub(MANY));
        }
        lease.ensure(limits::WRITE).await?;
        let now_known = RolledBack { versions };
        if now_known != known {
            store::save_key(world, RolledBackVersions(target), &now_known).await?;
        }
        let lock = store::load_key(world, Lock(target)).await?;
        let locked = lock.is_some_and(|lock| lock.ending(owned).holds(now));
        if plan.rollback && !locked {
            let back = if itself { "rolled back by itself" } else { "rolled back" };
            let reason = match replaced {
                Some(before) => format!("{back} from {before} to {}", plan.tag),
                // The tag is in the file already: a rollback that got no further is tried again.
                None => format!("{back} to {}", plan.tag),
            };
            let lock =
                TargetLock { by: user.clone(), reason, at: now, until: None, rollback: true, itself }.ending(owned);
            store::change_lock(world, lease, Some(target), lock.change(), Some(&lock)).await?;
            world.log(Line::new("locked").of(run.cx.id).with("target", plan.target.to_string()));
        }
        Ok(())
    };
    under_lease(world, &store::lock_lease(Some(target)), work).await
}
