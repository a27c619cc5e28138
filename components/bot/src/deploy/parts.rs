//! Several targets in one request: each is a part, with a deployment of its own. All of them take their turns and pass their
//! gates, then one commit has the edits of all, and from there on each part goes on alone.
//!
//! Easy to miss: the whole is saved after its parts, at the plan and at the commit. So a whole that is committed has no part
//! that is not. A part is never carried out by itself.

use super::prepare::Site;
use super::turn::{self, Other, Taking, Turn, Turns};
use super::{CARRY, Job, Run, catalog, gates, may_go_on, resume, versions};
use crate::context::{Context, Stop};
use crate::patience::{Patience, Progress};
use crate::request::name_version;
use crate::speak::Handover;
use crate::world::World;
use domain::catalog::Catalog;
use domain::command::{DeployWords, What};
use domain::deployment::{
    CancelFact, CommittedFact, End, EndFact, Facts, MessageFact, Origin, RequestFact, TargetPlan, Voice, part_id,
};
use domain::limits;
use domain::names::{BlobSha, CommitSha, DeploymentId, Target};
use domain::refusal::{PartRefused, Refusal};
use futures::channel::mpsc;
use futures::future::{join, join_all, try_join_all};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;
use store::Lease;

/// The parts that this process has begun, and how those end that are refused.
#[derive(Default)]
pub(crate) struct Parts {
    begun: RefCell<Vec<(DeploymentId, Target)>>,
    ends: RefCell<BTreeMap<DeploymentId, End>>,
}

/// One of the targets that were asked for.
struct Part {
    id: DeploymentId,
    target: Target,
    request: RequestFact,
}

/// From the catalog to the commit of all targets. `words`: those of each app.
pub(super) async fn to_commit<W: World>(
    run: &Run<'_, W>,
    job: &mut Job<'_>,
    catalog: &(BlobSha, Catalog),
    words: Vec<DeployWords>,
) -> Result<(), Stop> {
    run.compared.set(false);
    let parts = find(run, job.request, &catalog.1, &words).await?;
    if let [only] = parts.as_slice() {
        // A set of one app, or what is left of several: it needs no part.
        let origin = match (&job.request.origin, &*job.request.origin.inner()) {
            // Found for the one target.
            (Origin::Approved { .. }, _) | (_, Origin::RollBack { .. }) => *only.request.origin.inner(),
            // For the same commit as the wait, or as what is tried again.
            (own, _) => own.clone(),
        };
        let request = RequestFact { origin, button: job.request.button.clone(), ..only.request.clone() };
        let site = gates::authorise(&run.cx, &request, catalog).await?;
        let mut one = Job { request: &request, facts: &mut *job.facts, progress: job.progress.clone() };
        return turn::with_target(run, &mut one, &site).await;
    }
    let contexts: Vec<Context<'_, W>> = parts.iter().map(|part| run.context_of(&part.id, job.request)).collect();
    let names: Vec<String> = words.iter().map(|words| words.target().to_string()).collect();
    let mut sites = Vec::new();
    // One after the other: what Slack says of the asker is asked once.
    for (cx, part) in contexts.iter().zip(&parts) {
        sites.push(gates::authorise(cx, &part.request, catalog).await);
    }
    let named = parts.iter().map(|part| part.id.clone()).zip(names.iter().cloned());
    let sites = none_refused(run, named, sites, Vec::new())?;
    fit_together(job.request, &sites)?;
    let runs: Vec<Run<'_, W>> = parts.iter().map(|part| run.of_part(&part.id, job.request)).collect();
    let mut leases: Vec<String> = sites.iter().flat_map(|site| store::application_leases(&site.applications)).collect();
    leases.sort();
    leases.dedup();
    let since = Cell::new(run.cx.world.elapsed());
    let waiting = Waiting { run, runs: &runs, sites: &sites, since, queued: Cell::new(false), urgent: Cell::new(None) };
    let asked = Asked { request: job.request, known: job.facts.clone(), progress: job.progress.clone() };
    let work = async {
        loop {
            let if_taken = async || waiting.for_leases(&asked).await;
            let work = async |lease: &Lease<'_, W>| {
                let turn = |(run, site)| Turn { run, site, lease };
                let turns = Turns { run, parts: runs.iter().zip(&sites).map(turn).collect(), lease };
                take_turns(&turns, job, &parts, &waiting).await
            };
            let taken = Lease::hold_all(run.cx.world, &leases, CARRY, if_taken, work).await?;
            let Some(other) = taken else { return Ok(()) };
            waiting.for_turn(other, &asked).await?;
        }
    };
    let done = work.await;
    waiting.leave_queues().await;
    done
}

/// The targets, each with the request that is made of the one for all.
async fn find<W: World>(
    run: &Run<'_, W>,
    request: &RequestFact,
    catalog: &Catalog,
    words: &[DeployWords],
) -> Result<Vec<Part>, Stop> {
    let mut parts: Vec<Part> = Vec::new();
    let (mut refused, by) = (Vec::new(), (&request.user, &request.channel));
    for words in words {
        let meant = catalog.meant_by(words)?;
        match catalog::find(&run.cx, catalog, &meant, by).await {
            Ok((target, ..)) => {
                let id = part_id(run.cx.id, &target);
                let Some(was) = was(run, request, &target).await? else { continue };
                let mut words = words.of(&target);
                if let Origin::Approved { of, .. } = &was {
                    name_version(&mut words, &approved_plan(run, of, &target).await?.tag);
                }
                let origin = Origin::Part { of: run.cx.id.clone(), was: Box::new(was) };
                parts.push(Part {
                    id,
                    target,
                    request: RequestFact { words, origin, button: None, ..request.clone() },
                });
            }
            Err(Stop::End(End::Refused { refusal, .. })) if refusal.read().is_some() => {
                let target = words.target().to_string();
                refused.extend(refusal.read().map(|why| PartRefused { target, why }));
            }
            Err(other) => return Err(other),
        }
    }
    match (refused.is_empty(), parts.is_empty()) {
        (true, false) => Ok(parts),
        (true, true) => Err(Refusal::NothingToRollBack.into()),
        (false, _) => Err(Refusal::Several { refused }.into()),
    }
}

/// Where the request for one target came from. `None`: the target is left out, because another version was deployed there since
/// the button to roll all of them back was shown.
async fn was<W: World>(run: &Run<'_, W>, request: &RequestFact, target: &Target) -> Result<Option<Origin>, Stop> {
    let was = request.origin.inner();
    let was = match &*was {
        Origin::RollBack { of, .. } => {
            let id = part_id(of, target);
            let Some(committed) = store::load_fact::<CommittedFact>(run.cx.world, &id).await? else { return Ok(None) };
            let takes_away = committed.commit.target().tag.clone();
            let past = versions::past(&run.cx, target).await?;
            if past.first().is_none_or(|(newest, _)| *newest != id) {
                return Ok(None);
            }
            Box::new(Origin::RollBack { of: id, takes_away })
        }
        _ => was,
    };
    let Origin::Approved { of, given, .. } = &request.origin else { return Ok(Some(*was)) };
    // What was approved of this target, as the people saw it.
    let plan = approved_plan(run, of, target).await?;
    let given = given.iter().filter(|approval| approval.is_for(target)).cloned().collect();
    let head = plan.source.head.clone().filter(|_| !plan.rollback);
    Ok(Some(Origin::Approved { of: of.clone(), head, shown: (&plan).into(), given, place: None, was }))
}

/// The plan of one of the targets that people approved.
async fn approved_plan<W: World>(run: &Run<'_, W>, of: &DeploymentId, target: &Target) -> Result<TargetPlan, Stop> {
    let approved = store::load(run.cx.world, of).await?;
    let plan = approved.proposed().iter().find(|plan| plan.target == *target);
    plan.cloned().ok_or_else(|| Refusal::CatalogChanged.into())
}

/// What is to go in one commit, and each go on alone from there.
fn fit_together<W>(request: &RequestFact, sites: &[Site<'_, W>]) -> Result<(), Stop> {
    for (n, site) in sites.iter().enumerate() {
        for other in sites.iter().skip(n.saturating_add(1)) {
            if let What::PullRequest(number) = request.words.what
                && !site.app.repo.is(other.app.repo.as_str())
            {
                let (first, other) = (site.app.repo.clone(), other.app.repo.clone());
                return Err(Refusal::SeveralRepositories { number, first, other }.into());
            }
            if site.applications.iter().any(|one| other.applications.iter().any(|theirs| theirs.is(one))) {
                let (first, other) = (Box::new(site.target.clone()), Box::new(other.target.clone()));
                return Err(Refusal::SameApplication { first, other }.into());
            }
        }
    }
    Ok(())
}

/// What was asked for, and where people read that it waits.
struct Asked<'j> {
    request: &'j RequestFact,
    known: Facts,
    progress: mpsc::UnboundedSender<Progress>,
}

/// A deployment of several targets that waits for its turns.
struct Waiting<'t, W> {
    run: &'t Run<'t, W>,
    runs: &'t [Run<'t, W>],
    sites: &'t [Site<'t, W>],
    /// Since when no other deployment is known to have the turn.
    since: Cell<Duration>,
    /// It is in the queues of its targets.
    queued: Cell<bool>,
    urgent: Cell<Option<bool>>,
}

impl<W: World> Waiting<'_, W> {
    /// Another carrier has one of the leases.
    async fn for_leases(&self, asked: &Asked<'_>) -> Result<(), Stop> {
        let (world, limits) = (self.run.cx.world, &self.run.cx.settings.limits);
        let waited = world.elapsed().saturating_sub(self.since.get());
        let urgent = turn::is_rollback(asked.request) && self.is_urgent().await;
        if urgent {
            for (run, site) in self.runs.iter().zip(self.sites) {
                if let Some(other) = turn::other_turn(run, site).await?.filter(|other| other.target == site.target) {
                    turn::cancel_for_rollback(run, asked.request, &other).await?;
                }
            }
        }
        if waited >= limits.target_wait {
            for (run, site) in self.runs.iter().zip(self.sites) {
                match turn::other_turn(run, site).await? {
                    // What a rollback has cancelled lets go at its next step.
                    Some(other) if other.target == site.target && urgent && !other.is_rollback() => {}
                    Some(other) if other.target == site.target && turn::is_rollback(asked.request) => {
                        return Err(turn::busy(run, &site.target, Some(other.id)).await.into());
                    }
                    Some(other) => return self.pause(&other, asked).await,
                    None => {}
                }
            }
            // No other deployment has a turn. Perhaps our own carrier died with the leases, which run out by themselves.
            if let Some((run, site)) = self.runs.iter().zip(self.sites).next()
                && waited >= limits.target_wait.saturating_add(CARRY.life)
            {
                return Err(turn::busy(run, &site.target, None).await.into());
            }
        }
        world.sleep(limits.target_retry).await;
        may_go_on(self.run, asked.request).await
    }

    /// Whether this rollback may end deploys of its targets: none of its own may be refused. Found out once.
    async fn is_urgent(&self) -> bool {
        if let Some(known) = self.urgent.get() {
            return known;
        }
        let urgent = join_all(self.sites.iter().map(gates::is_urgent)).await.into_iter().all(|urgent| urgent);
        self.urgent.set(Some(urgent));
        urgent
    }

    /// Until no other deployment has the turn anywhere, and none waits longer.
    async fn for_turn(&self, mut other: Other, asked: &Asked<'_>) -> Result<(), Stop> {
        'waiting: loop {
            self.pause(&other, asked).await?;
            for (run, site) in self.runs.iter().zip(self.sites) {
                let next = match turn::other_turn(run, site).await? {
                    Some(next) => Some(next),
                    None => turn::before(run, site, site.request).await?.into_iter().next(),
                };
                match next {
                    Some(next) if next.target != site.target || !turn::is_rollback(asked.request) => {
                        other = next;
                        continue 'waiting;
                    }
                    _ => {}
                }
            }
            return Ok(());
        }
    }

    async fn leave_queues(&self) {
        if self.queued.get() {
            join_all(self.runs.iter().zip(self.sites).map(async |(run, site)| {
                let _ = store::leave_queue(run.cx.world, &store::target_queue(&site.target), run.cx.id).await;
            }))
            .await;
        }
    }

    async fn pause(&self, other: &Other, asked: &Asked<'_>) -> Result<(), Stop> {
        let (world, limits) = (self.run.cx.world, &self.run.cx.settings.limits);
        let same = self.runs.iter().zip(self.sites).find(|(_, site)| site.target == other.target);
        if world.now() >= asked.request.at.after(limits.no_mutation) {
            return Err(turn::given_up(self.run, other, same.is_some()).await.into());
        }
        if !turn::is_rollback(asked.request) {
            self.queued.set(true);
            for (run, site) in self.runs.iter().zip(self.sites) {
                store::join_queue(world, &site.target, run.cx.id, asked.request.at).await?;
            }
        }
        let mut ahead = None;
        if let Some((run, site)) = same {
            let before = turn::before(run, site, site.request).await?;
            ahead = Some(u64::try_from(before.iter().filter(|one| one.id != other.id).count()).unwrap_or_default());
        }
        let note = turn::waits_for(other, ahead);
        let _ = asked.progress.unbounded_send((Some(asked.known.clone()), note));
        world.sleep(limits.target_retry).await;
        may_go_on(self.run, asked.request).await?;
        self.since.set(world.elapsed());
        Ok(())
    }
}

/// Everything that needs the leases of all. Returns the deployment of another target that has a turn, if there is one.
async fn take_turns<W: World>(
    turns: &Turns<'_, W>,
    job: &mut Job<'_>,
    parts: &[Part],
    waiting: &Waiting<'_, W>,
) -> Result<Option<Other>, Stop> {
    let (run, world) = (turns.run, turns.run.cx.world);
    if let Some(first) = turns.parts.first() {
        turn::claim(&Turn { run, site: first.site, lease: turns.lease }, job.request).await?;
    }
    turns.lease.ensure(limits::WRITE).await?;
    try_join_all(parts.iter().map(async |part| {
        store::add_in_flight(world, &part.id, part.request.at).await?;
        store::save_fact(world, &part.id, &part.request).await
    }))
    .await?;
    run.rings.make(world, (), resume::remember_several(world, run.cx.id)).await?;
    run.remembered.set(true);
    *run.parts.begun.borrow_mut() = parts.iter().map(|part| (part.id.clone(), part.target.clone())).collect();
    let mut begun = Vec::new();
    // One after the other: a write of a ring that comes late is noted by its run.
    for (turn, part) in turns.parts.iter().zip(parts) {
        begun.push(turn::look(turn, &part.request, async || waiting.is_urgent().await).await);
    }
    // All turns are taken, or none: a turn keeps other deployments waiting.
    let mut free = Vec::new();
    for turn in all(turns, begun, Vec::new())? {
        match turn {
            Taking::Free(turn) => free.push(turn),
            Taking::Taken(other) => return Ok(Some(*other)),
        }
    }
    // None of ours is refused, so only now another one is ended.
    if let Some(other) = turn::end_others(run, job.request, free.iter_mut().flatten()).await? {
        return Ok(Some(other));
    }
    for (turn, free) in turns.parts.iter().zip(free) {
        turn::take(turn, free).await?;
    }
    turn::commit(turns, job).await.map(|()| None)
}

/// What came of all targets, or why not of all.
/// `plans`: of all targets, for people to approve.
pub(super) fn all<T, W>(
    turns: &Turns<'_, W>,
    done: Vec<Result<T, Stop>>,
    plans: Vec<TargetPlan>,
) -> Result<Vec<T>, Stop> {
    if turns.parts.len() == 1 {
        return done.into_iter().collect();
    }
    let named = turns.parts.iter().map(|turn| (turn.run.cx.id.clone(), turn.site.target.to_string()));
    none_refused(turns.run, named, done, plans)
}

/// All refusals are told together. Anything else that is in the way counts by itself.
fn none_refused<T, W>(
    run: &Run<'_, W>,
    named: impl Iterator<Item = (DeploymentId, String)>,
    done: Vec<Result<T, Stop>>,
    plans: Vec<TargetPlan>,
) -> Result<Vec<T>, Stop> {
    let (mut passed, mut refused) = (Vec::new(), Vec::new());
    for ((id, target), done) in named.zip(done) {
        match done {
            Ok(one) => passed.push(one),
            Err(Stop::End(End::Refused { refusal, .. })) => {
                let Some(why) = refusal.read() else {
                    return Err(Stop::End(End::Refused { refusal, plans: Vec::new() }));
                };
                run.parts.ends.borrow_mut().insert(id, End::Refused { refusal, plans: Vec::new() });
                refused.push(PartRefused { target, why });
            }
            Err(other) => return Err(other),
        }
    }
    if refused.is_empty() {
        return Ok(passed);
    }
    let why = Refusal::Several { refused };
    let plans = if why.asks_approval().is_empty() { Vec::new() } else { plans };
    Err(Stop::End(End::Refused { refusal: (&why).into(), plans }))
}

/// The end of a part that was cancelled, if one was: all of them end with it.
pub(super) async fn cancelled<W: World>(run: &Run<'_, W>) -> Option<End> {
    let begun = run.parts.begun.borrow().clone();
    for (id, _) in begun {
        if let Ok(Some(cancel)) = store::load_fact::<CancelFact>(run.cx.world, &id).await {
            return Some(End::Cancelled { by: cancel.by });
        }
    }
    None
}

/// Ends the parts that were begun, before the whole ends.
pub(super) async fn end<W: World>(run: &Run<'_, W>, end: &End) -> Result<(), Stop> {
    let begun = run.parts.begun.borrow().clone();
    let ends = run.parts.ends.borrow().clone();
    let refused = begun.iter().find(|(id, _)| ends.contains_key(id)).map(|(_, target)| target.clone());
    for (id, _) in begun {
        let known = store::load(run.cx.world, &id).await?;
        if known.end.is_some() || known.watch_speaks() {
            continue;
        }
        let end = match (ends.get(&id), &refused, end) {
            (Some(own), ..) => own.clone(),
            (None, Some(target), End::Refused { .. }) => {
                let refusal = Refusal::OtherRefused { target: Box::new(target.clone()) };
                End::Refused { refusal: (&refusal).into(), plans: Vec::new() }
            }
            (None, _, end) => end.clone(),
        };
        run.lease.ensure(limits::WRITE).await?;
        // The message of the whole says so.
        let told = MessageFact(Voice { told_end: true, ..Voice::default() });
        store::save_fact(run.cx.world, &id, &told).await?;
        store::save_fact(run.cx.world, &id, &EndFact { at: run.cx.world.now(), end, contact: None, catalog: None })
            .await?;
        store::leave_flight(run.cx.world, &id).await?;
    }
    Ok(())
}

impl<'a, W: World> Run<'a, W> {
    fn context_of<'p>(&self, id: &'p DeploymentId, request: &RequestFact) -> Context<'p, W>
    where
        'a: 'p,
    {
        let patience = Patience::until(request.at.after(self.cx.settings.limits.no_mutation));
        Context::new(self.cx.world, self.cx.settings, id, patience)
    }

    /// The run of one part, under the lease of the whole.
    pub(super) fn of_part<'p>(&self, id: &'p DeploymentId, request: &RequestFact) -> Run<'p, W>
    where
        'a: 'p,
    {
        Run {
            cx: self.context_of(id, request),
            lease: self.lease,
            handover: Handover::default(),
            rings: self.rings,
            remembered: Cell::new(false),
            compared: Cell::new(false),
            unsettled: RefCell::default(),
            meant: RefCell::default(),
            parts: Parts::default(),
        }
    }

    /// Saves the commit of each part, before that of the whole. A part that is committed is left alone.
    pub(super) async fn parts_committed(&self, facts: &Facts, sha: &CommitSha) -> Result<(), Stop> {
        let Some((commit, request)) = facts.commit.as_ref().zip(facts.request.as_ref()) else { return Ok(()) };
        let ids = commit.parts(self.cx.id);
        let save = async |id: &DeploymentId| {
            let mut part = store::load(self.cx.world, id).await?;
            if part.committed.is_some() {
                return Ok(());
            }
            self.of_part(id, request).one_committed(&mut part, sha.clone(), false).await
        };
        try_join_all(ids.iter().map(save)).await.map(|_| ())
    }

    /// Guards each part until its last word.
    pub(super) async fn guard_parts(&self, facts: &Facts) -> Result<(), Stop> {
        let Some((commit, request)) = facts.commit.as_ref().zip(facts.request.as_ref()) else { return Ok(()) };
        let ids = commit.parts(self.cx.id);
        let guard = async |id: &DeploymentId| {
            let part = store::load(self.cx.world, id).await?;
            if part.end_is_told() {
                return Ok(());
            }
            let run = self.of_part(id, request);
            join(run.guard_one(&part), run.compare(&part)).await.0
        };
        try_join_all(ids.iter().map(guard)).await.map(|_| ())
    }
}
