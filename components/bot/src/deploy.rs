//! After the answer: from a saved request to a commit on the GitOps branch, or to words that say why not.
//!
//! Every step starts from the facts and can be done again without harm; a process may die between any two
//! lines here. The critical path is three round trips: one query, one HEAD, one mutation.

pub(crate) mod catalog;
mod changed;
mod commit;
mod gate_service;
pub(crate) mod gates;
mod guard;
mod itself;
mod parts;
pub(crate) mod people;
pub(crate) mod prepare;
mod resume;
pub(crate) mod seen;
mod settle;
mod turn;
pub(crate) mod versions;
pub(crate) mod waits;

pub(crate) use resume::carry_lease;
pub use resume::{resume, take_back};

use crate::context::{Context, Stop};
use crate::patience::{Patience, Progress};
use crate::settings::SlackCommandSettings;
use crate::speak::{Handover, Kind, MessageJournal, Speaker};
use crate::world::{Line, World, within};
use domain::deployment::{CancelFact, End, EndFact, Facts, OutcomeFact, RequestFact};
use domain::limits;
use domain::message::{self, Note};
use domain::names::{BlobSha, CommitSha, DeploymentId};
use domain::refusal::Refusal;
use futures::StreamExt;
use futures::channel::mpsc;
use futures::future::{Either, join, pending, select};
use parts::Parts;
use settle::Unsettled;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;
use store::{Calls, Held, Lease, Terms};

/// `carry/<id>` and the lease of the target's Argo CD application.
const CARRY: Terms = Terms { life: Duration::from_secs(15), renew: Some(Duration::from_secs(5)) };
/// How often we begin again because the branch or the catalog moved.
const TRIES: u32 = 20;

/// Speaks until there is a commit.
type RunSpeaker<'a, W> = Speaker<'a, W, MessageJournal<'a, W>>;

/// One deployment that is carried out, under its lease.
pub(crate) struct Run<'a, W> {
    pub(crate) cx: Context<'a, W>,
    pub(crate) lease: &'a Lease<'a, W>,
    pub(crate) handover: Handover,
    /// The writes of rings.
    rings: &'a Calls<()>,
    /// The deployment is in its target's history, so that its facts are deleted one day.
    remembered: Cell<bool>,
    /// The catalog was compared with the one at the commit that is built on.
    compared: Cell<bool>,
    unsettled: RefCell<Unsettled>,
    /// The commit that was to be deployed, where a lock or a freeze refuses before it is looked at otherwise.
    meant: RefCell<Option<CommitSha>>,
    /// Of several targets: those that were begun.
    parts: Parts,
}

/// The request, what is known of its deployment by now, and where its progress goes.
pub(crate) struct Job<'j> {
    pub(crate) request: &'j RequestFact,
    pub(crate) facts: &'j mut Facts,
    progress: mpsc::UnboundedSender<Progress>,
}

impl Job<'_> {
    /// Sends the speaker a note that is in no fact.
    fn tell(&self, note: Note) {
        let _ = self.progress.unbounded_send((Some(self.facts.clone()), note));
    }
}

/// Carries a deployment out: to `committed`, or to an `end` that is posted. After `committed` the deployment
/// is guarded until its last word.
pub async fn carry_out<W: World>(world: &W, settings: &SlackCommandSettings, id: &DeploymentId) {
    // The answer to Slack is still on its way out of this instance: it goes first.
    world.sleep(limits::HEAD_START).await;
    let rings = Calls::default();
    let name = carry_lease(id);
    let carried = Lease::try_hold(world, &name, CARRY, async |lease| {
        // Loaded again under the lease: another process may have carried the deployment a moment ago.
        let facts = store::load(world, id).await?;
        let Some(request) = facts.request.clone() else { return Err(Stop::Leave("there is no request")) };
        let patience = Patience::until(request.at.after(settings.limits.no_mutation));
        let run = Run {
            cx: Context::new(world, settings, id, patience),
            lease,
            handover: Handover::default(),
            rings: &rings,
            remembered: Cell::new(false),
            compared: Cell::new(false),
            unsettled: RefCell::default(),
            meant: RefCell::default(),
            parts: Parts::default(),
        };
        run_to_end(&run, &request, facts).await
    });
    let held: Held<Result<(), Stop>> = match carried.await {
        Ok(Some(held)) => held,
        // Another process carries the deployment.
        Ok(None) => return,
        Err(error) => return world.log(Line::error("not_carried").of(id).with("cause", error.why())),
    };
    match &held.done {
        Ok(Ok(())) => {}
        Ok(Err(stop)) => world.log(Line::error("left").of(id).with("cause", stop.why())),
        Err(_) => world.log(Line::new("lease_lost").of(id)),
    }
    if held.late(&rings).is_empty() {
        return;
    }
    world.sleep(limits::LATE_WRITE).await;
    if let Err(error) = resume::adopt_strays(world).await {
        world.log(Line::error("strays_not_adopted").of(id).with("cause", error.why()));
    }
}

async fn run_to_end<W: World>(run: &Run<'_, W>, request: &RequestFact, mut facts: Facts) -> Result<(), Stop> {
    if facts.watch_speaks() {
        return run.guard(&facts).await;
    }
    if let Some(commit) = &facts.commit {
        // What became of attempts from before a crash is found out before anything else.
        let bases: BTreeSet<CommitSha> = commit.attempts.iter().map(|attempt| attempt.base.clone()).collect();
        *run.unsettled.borrow_mut() = Unsettled { look: !bases.is_empty(), bases };
    }
    let Context { world, settings, id, .. } = run.cx;
    let journal = MessageJournal::new((world, id), run.lease, &run.handover, &facts);
    let speaker = Speaker::new(world, &settings.slack, &settings.limits, id, journal);
    if facts.end.is_none() {
        let (progress, heard) = mpsc::unbounded();
        let first = facts.clone();
        // The words are sent beside the work, never before it.
        let worked = Cell::new(false);
        let work = async {
            run.cx.patience.tell(progress.clone());
            let done = work(run, &mut Job { request, facts: &mut facts, progress }).await;
            run.cx.patience.hush();
            worked.set(true);
            done
        };
        join(work, tell_progress(run, &speaker, first, heard, &worked)).await.0?;
    }
    if facts.committed.is_some() {
        // The comparison may have to be asked for again. The guarding does not wait for it.
        return join(run.guard(&facts), run.compare(&facts)).await.0;
    }
    if facts.waits_for_approval()
        && let Some(Some(changes)) = within(world, limits::GITHUB_CALL, run.new_in_it(&facts)).await
    {
        // People read what is new in it before they approve.
        facts.changes = Some(changes);
    }
    tell_end(run, &speaker, &facts).await
}

/// Shows the newest words, until the work is done.
async fn tell_progress<W: World>(
    run: &Run<'_, W>,
    speaker: &RunSpeaker<'_, W>,
    first: Facts,
    mut heard: mpsc::UnboundedReceiver<Progress>,
    worked: &Cell<bool>,
) {
    let mut latest = (first, None);
    loop {
        let words = message::before_commit(run.cx.id, &latest.0, latest.1.as_ref());
        // Who waits for another deployment is seen by everybody.
        let kind = match latest.1 {
            Some(Note::Application { .. } | Note::Target { .. }) => Kind::PublicProgress,
            _ => Kind::Progress,
        };
        // Words that have to wait are tried again, unless there are newer ones.
        let turn = match speaker.tell(&latest.0, &words, kind).await {
            Some(again) => Either::Left(run.cx.world.sleep(again)),
            None => Either::Right(pending()),
        };
        match select(heard.next(), pin!(turn)).await {
            Either::Left((Some((facts, note)), _)) => latest = (facts.unwrap_or(latest.0), Some(note)),
            Either::Left((None, _)) => return,
            Either::Right(_) => {}
        }
        while let Ok((facts, note)) = heard.try_recv() {
            latest = (facts.unwrap_or(latest.0), Some(note));
        }
        // What was on the way while the work ended is stale, and after the commit the message is the watch's.
        if worked.get() {
            return;
        }
    }
}

/// The work up to `committed` or `end`, whichever is saved in the facts then.
async fn work<W: World>(run: &Run<'_, W>, job: &mut Job<'_>) -> Result<(), Stop> {
    if let Some(sha) = settle::find_landed_commit(run, job).await? {
        return run.committed(job.facts, sha, false).await;
    }
    let mut stop = Stop::Moved;
    for _ in 0..TRIES {
        match to_commit(run, job).await {
            Ok(()) => return Ok(()),
            Err(Stop::Moved) => stop = Stop::from(Refusal::CatalogChanged),
            Err(other) => {
                stop = other;
                break;
            }
        }
    }
    let Stop::End(end) = stop else { return Err(stop) };
    let end = unless_cancelled(run, end).await;
    // An earlier mutation may still land on its base. The deployment ends only when none can.
    while !run.unsettled.borrow().bases.is_empty() {
        run.unsettled.borrow_mut().look = true;
        if let Some(sha) = settle::find_landed_commit(run, job).await? {
            return run.committed(job.facts, sha, false).await;
        }
        settle::wait_for_outcome(run, job, Duration::ZERO).await?;
    }
    save_end(run, job, end).await
}

/// A wish to cancel ends the waiting for another system. Then the wish counts, and not what the system said.
async fn unless_cancelled<W: World>(run: &Run<'_, W>, end: End) -> End {
    let cancel = store::load_fact::<CancelFact>(run.cx.world, run.cx.id);
    match end {
        End::Failed { .. } => match cancel.await {
            Ok(Some(cancel)) => End::Cancelled { by: cancel.by },
            _ => parts::cancelled(run).await.unwrap_or(end),
        },
        End::Refused { .. } | End::Cancelled { .. } => end,
    }
}

/// Saves the end. If another process has ended or committed the deployment first, that counts.
async fn save_end<W: World>(run: &Run<'_, W>, job: &mut Job<'_>, end: End) -> Result<(), Stop> {
    let (world, id) = (run.cx.world, run.cx.id);
    let now = world.now();
    // After this moment only the watch may end the deployment, so that two roles never race with
    // different words.
    if now >= job.request.at.after(run.cx.settings.limits.no_end) {
        return Err(Stop::Leave("too late to end it: the watch will"));
    }
    if !run.remembered.get() {
        // A deployment in no ring would keep its keys for ever. If this fails, the next resume tries again.
        run.rings.make(world, (), resume::remember_early(world, id)).await?;
    }
    let known = store::load(world, id).await?;
    if known.end.is_some() || known.watch_speaks() {
        *job.facts = known;
        return Ok(());
    }
    let meant = run.meant.borrow().clone();
    let (end, wait) = waits::instead(&run.cx, job.request, end, meant).await?;
    if wait.is_some() {
        job.facts.wait = wait;
    }
    parts::end(run, &end).await?;
    run.lease.ensure(limits::WRITE).await?;
    let contact = run.cx.contact.borrow().clone();
    if let End::Refused { refusal, .. } = &end
        && let Some(refusal) = refusal.read()
    {
        run.cx.refuses(&refusal);
    }
    let fact = EndFact { at: now, end, contact, catalog: Some(run.cx.catalog_page()) };
    store::save_fact(world, id, &fact).await?;
    if matches!(&fact.end, End::Refused { plans, .. } if plans.is_empty()) && known.plan().is_none() {
        let targets = match &fact.end {
            End::Refused { refusal, .. } => refusal.read().map_or(1, |refusal| refusal.targets()),
            _ => 1,
        };
        let count = store::count_refusal(world, run.cx.settings.limits.refusals, &job.request.user, targets);
        let _ = within(world, limits::BUDGET, count).await;
    }
    world.log(Line::new("ended").of(id).with_json("end", &fact.end));
    job.facts.end = Some(fact);
    Ok(())
}

/// Posts the end, saves that the end is posted, and only then takes the id out of what is in flight.
async fn tell_end<W: World>(run: &Run<'_, W>, speaker: &RunSpeaker<'_, W>, facts: &Facts) -> Result<(), Stop> {
    let (world, id) = (run.cx.world, run.cx.id);
    let words = message::before_commit(id, facts, None);
    let until = world.elapsed().saturating_add(limits::TELL_END);
    while let Some(again) = speaker.tell(facts, &words, Kind::Last).await {
        let left = until.saturating_sub(world.elapsed());
        if left.is_zero() {
            return Err(Stop::Leave("the end could not be told yet"));
        }
        world.sleep(again.min(left)).await;
    }
    Ok(store::leave_flight(world, id).await?)
}

/// From the catalog to the commit.
async fn to_commit<W: World>(run: &Run<'_, W>, job: &mut Job<'_>) -> Result<(), Stop> {
    may_go_on(run, job.request).await?;
    people::must_be_ours(&run.cx, &job.request.team).await?;
    let words = &job.request.words;
    // The cached catalog may allow, but never refuse: somebody who has just mended the catalog types the command
    // again at once.
    let mut failed = None;
    if let Some(cached) = catalog::cached_catalog(&run.cx).await {
        let is_one = words.apps().len() < 2 && cached.1.apps.keys().any(|name| name.as_str() == words.app);
        let several = if is_one { Vec::new() } else { cached.1.several(words).unwrap_or_default() };
        if !several.is_empty() {
            // In a box, because futures of futures are too deep for the compiler otherwise.
            let done = Box::pin(parts::to_commit(run, job, &cached, several)).await;
            return unless_mended(run, &cached.0, done).await;
        }
        if is_one {
            match gates::authorise(&run.cx, job.request, &cached).await {
                Ok(site) => {
                    run.compared.set(false);
                    let done = Box::pin(turn::with_target(run, job, &site)).await;
                    return unless_mended(run, site.catalog, done).await;
                }
                Err(stop) => failed = Some((stop, cached.0)),
            }
        }
    }
    let read = catalog::read_catalog(&run.cx).await?;
    // Slack was asked long enough.
    if let Some((failed @ Stop::End(End::Failed { .. }), cached)) = failed
        && cached == read.0
    {
        return Err(failed);
    }
    let several = read.1.several(words)?;
    if !several.is_empty() {
        return Box::pin(parts::to_commit(run, job, &read, several)).await;
    }
    let site = gates::authorise(&run.cx, job.request, &read).await?;
    Box::pin(turn::with_target(run, job, &site)).await
}

/// By the cached catalog, nobody is refused for what is mended on the branch.
async fn unless_mended<W: World>(run: &Run<'_, W>, cached: &BlobSha, done: Result<(), Stop>) -> Result<(), Stop> {
    let is_refused = matches!(done, Err(Stop::End(End::Refused { .. })));
    if is_refused && !run.compared.get() && catalog::read_catalog(&run.cx).await?.0 != *cached {
        // A freeze may have been lifted since, or an owner added.
        return Err(Stop::Moved);
    }
    done
}

/// Checked at every step: nobody wishes to cancel, the watch has not ended the deployment, and it is not too
/// late for a commit.
async fn may_go_on<W: World>(run: &Run<'_, W>, request: &RequestFact) -> Result<(), Stop> {
    let (world, id, limits) = (run.cx.world, run.cx.id, &run.cx.settings.limits);
    let cancel = store::load_fact::<CancelFact>(world, id);
    let (cancel, outcome) = futures::future::try_join(cancel, store::load_fact::<OutcomeFact>(world, id)).await?;
    if outcome.is_some() {
        return Err(Stop::Leave("the watch has ended it"));
    }
    if let Some(cancel) = cancel {
        return Err(Stop::End(End::Cancelled { by: cancel.by }));
    }
    if world.now() >= request.at.after(limits.no_mutation) {
        let late = world.now().since(request.at).as_secs();
        world.log(Line::error("too_late").of(id).with("seconds", late));
        return Err(Refusal::TooLate { minutes: limits.no_mutation.as_secs() / 60 }.into());
    }
    Ok(())
}
