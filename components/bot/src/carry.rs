//! After the answer: from a saved request to a commit on the GitOps branch, or to words that say why not.
//!
//! Every step starts from the facts and can be done again without harm; a process may die between any two lines here. The
//! critical path is three round trips: one query, one HEAD, one mutation.

mod commit;
mod decide;
mod pull_request;

pub(crate) use decide::{Desk, Place};

use super::speaker::Speaker;
use crate::late;
use crate::log::Line;
use crate::settings::SlackCommandSettings;
use crate::world::World;
use clients::slack;
use commit::Held;
use domain::deployment::{CancelFact, End, EndFact, Facts, LastWord, OutcomeFact, RequestFact, Tempo};
use domain::fault::Fault;
use domain::message;
use domain::message::Message;
use domain::message::Note;
use domain::names::{ArgoApplication, CommitSha, DeploymentId};
use domain::refusal::Refusal;
use domain::time::Timestamp;
use futures::StreamExt;
use futures::channel::{mpsc, oneshot};
use futures::future::{Either, join, join_all, pending, select};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::ops::Deref;
use std::pin::pin;
use std::time::Duration;
use store::Calls;
use store::{Current, EarlyEnds, History, Key, Lease, LeaseLost, Live, Ring, StoreError};

/// Life of `carry/<id>` and of the target's lease.
const LIFE: Duration = Duration::from_secs(15);
/// How often both are renewed.
const RENEW: Duration = Duration::from_secs(5);
/// What a write to the store may take.
pub(crate) const WRITE: Duration = Duration::from_secs(2);
/// How often a request waits for the branch's lease.
const BRANCH_RETRY: Duration = Duration::from_millis(100);
/// After Redis lost everything, a request that nobody has begun for this long is not begun any more. Longer than any lease of a carrier.
const ABANDONED: Duration = Duration::from_secs(30);
/// A request that is not there after this long never will be: whoever accepts gives up saving it after a second.
const SAVING: Duration = Duration::from_secs(2);
/// How long words that have to wait for others are held back.
const TURN: Duration = Duration::from_secs(1);
/// How much earlier than the work the answer to Slack sets out.
const HEAD_START: Duration = Duration::from_millis(15);
/// How often it is tried to take back a request that was not accepted; how long after the one before.
const TAKE_BACK_TRIES: u32 = 100;
const TAKE_BACK_AGAIN: Duration = Duration::from_secs(1);
/// How often we begin again because the branch or the catalog moved.
const TRIES: u32 = 20;

/// Why the work stops.
pub(crate) enum Stop {
    /// The deployment ends here.
    End(End),
    /// We may not go on: a lease was lost, the store failed, or it is too late for an `end`. Whoever resumes, or the watch, goes on.
    Leave(&'static str),
    /// The catalog on the branch, or what was to be found in a file, is newer than what we know: begin again with it.
    Moved,
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
        Self::Leave(error.why())
    }
}

impl From<LeaseLost> for Stop {
    fn from(_: LeaseLost) -> Self {
        Self::Leave("a lease was lost")
    }
}

/// Words for the message while there is no commit.
type Say = mpsc::UnboundedSender<(Facts, Option<Note>)>;

/// Carries on with deployments that nobody carries, or after their commit nobody guards: to be called after `/healthz` was answered.
/// At most once per period in the whole installation.
pub async fn resume(world: &impl World, settings: &SlackCommandSettings) {
    let ids = to_resume(world, settings).await;
    join_all(ids.iter().map(|id| carry_out(world, settings, id))).await;
}

async fn to_resume(world: &impl World, settings: &SlackCommandSettings) -> Vec<DeploymentId> {
    match resumable(world, &settings.tempo).await {
        Ok(ids) => ids,
        Err(error) => {
            world.log(Line::error("not_resumed").with("cause", error.why()));
            Vec::new()
        }
    }
}

async fn resumable(world: &impl World, tempo: &Tempo) -> Result<Vec<DeploymentId>, StoreError> {
    if !store::once_per(world, "resume", Duration::from_millis(tempo.resume)).await? {
        return Ok(Vec::new());
    }
    let mut in_flight = store::in_flight(world).await?;
    let lost = !in_flight.whole;
    if lost {
        store::rebuild_in_flight(world).await?;
        in_flight = store::in_flight(world).await?;
    }
    let mut resume = Vec::new();
    let mut forgotten = Vec::new();
    let mut waited = false;
    for id in &in_flight.ids {
        // One that cannot be read is left alone, and does not keep the others from being resumed.
        let Ok(mut facts) = store::load(world, id).await else { continue };
        if facts.request.is_none() {
            // It may be being saved just now. Once is enough for all: they were in flight before.
            if !waited {
                waited = true;
                world.sleep(SAVING).await;
            }
            let Ok(again) = store::load(world, id).await else { continue };
            facts = again;
        }
        let Some(request) = facts.request.as_ref().filter(|_| !facts.end_is_told()) else {
            // Nothing is left to do, or nobody is left to tell.
            if facts.request.is_none() {
                if forget_left_over(world, id).await? {
                    forgotten.push(id);
                }
                continue;
            } else if facts.commit.is_none() {
                // It may stand in no ring: the watch has ended it before it had a target.
                remember_early(world, id).await?;
            }
            store::leave_flight(world, id).await?;
            continue;
        };
        let begun = facts.commit.is_some() || facts.end.is_some() || facts.watch_speaks();
        if lost && !begun && world.now().since(request.at) >= ABANDONED {
            // Its carrier is gone, and the asker was perhaps told that it is not accepted: it is not begun now.
            store::save_fact(world, id, &CancelFact { by: None, at: world.now() }).await?;
        }
        // After the commit a guardian is enough: it wakes the watch, which may be gone too, and tells GitHub.
        let ours = !facts.watch_speaks() || guarded_until(&facts).is_some_and(|until| world.now() < until);
        if ours && !store::is_held(world, &carry_lease(id)).await? {
            resume.push(id.clone());
        }
    }
    if in_flight.count() > 0 && !store::is_held(world, "watch").await? {
        store::wake(world).await?;
    }
    if !forgotten.is_empty() {
        world.sleep(SAVING).await;
    }
    for id in forgotten {
        // The same button was pressed again, just when what had come of it before was taken out.
        if let Some(request) = store::load_fact::<RequestFact>(world, id).await? {
            store::add_in_flight(world, id, request.at).await?;
        }
    }
    Ok(resume)
}

/// Removes what is left of a request that was not accepted, but not while somebody takes it back. Whether it did.
async fn forget_left_over(world: &impl World, id: &DeploymentId) -> Result<bool, StoreError> {
    let Some(lease) = Lease::take(world, &carry_lease(id), LIFE).await? else { return Ok(false) };
    let forgotten = async {
        let facts = store::load(world, id).await?;
        if store::is_left_over(&facts, world.now()) {
            store::forget_left_over(world, id).await?;
            store::leave_flight(world, id).await?;
            return Ok(true);
        }
        Ok(false)
    };
    let forgotten = forgotten.await;
    lease.release().await;
    forgotten
}

/// How long after its commit somebody has to see that a deployment is watched: by then the watch would have ended it by time.
fn guarded_until(facts: &Facts) -> Option<Timestamp> {
    let (committed, commit) = facts.committed.as_ref().zip(facts.commit.as_ref())?;
    Some(committed.at.after(commit.target().deadline).after(Duration::from_secs(120)))
}

pub(crate) fn carry_lease(id: &DeploymentId) -> String {
    format!("carry/{id}")
}

/// A request that was not accepted, but is in flight, and part of it may be saved: nobody may carry it out. Under the lease of its carrier,
/// which keeps others from it meanwhile, it gets the wish to cancel; whoever resumes ends it, or removes what is left of it. The same click
/// may have been accepted by another replica, which then ends it as cancelled.
pub async fn take_back(world: &impl World, id: &DeploymentId) {
    for _ in 0..TAKE_BACK_TRIES {
        let taken_back = async {
            let Some(lease) = Lease::take(world, &carry_lease(id), LIFE).await? else { return Ok(false) };
            let cancel = CancelFact { by: None, at: world.now() };
            let saved = lease.during(RENEW, store::save_fact(world, id, &cancel)).await;
            lease.release().await;
            saved.map_err(|_| StoreError::LeaseLost)??;
            // Again: whoever resumes may have found nothing of it yet, and have taken it out.
            store::add_in_flight(world, id, cancel.at).await.map(|()| true)
        };
        match taken_back.await {
            Ok(true) => return,
            Ok(false) => {}
            Err(error) => world.log(Line::error("not_taken_back").of(id).with("cause", error.why())),
        }
        world.sleep(TAKE_BACK_AGAIN).await;
    }
}

/// Carries a deployment out: to `committed` or `end`, told; then guards it until its last word.
pub async fn carry_out<W: World>(world: &W, settings: &SlackCommandSettings, id: &DeploymentId) {
    // The answer to Slack is still on its way out of this instance: it goes first.
    world.sleep(HEAD_START).await;
    let lease = match Lease::take(world, &carry_lease(id), LIFE).await {
        Ok(Some(lease)) => lease,
        Ok(None) => return,
        Err(error) => return world.log(Line::error("not_carried").of(id).with("cause", error.why())),
    };
    let (calls, rings) = (Calls::default(), Calls::default());
    let carrier = Carrier {
        desk: Desk { world, settings, id },
        lease: &lease,
        calls: &calls,
        rings: &rings,
        remembered: Cell::new(false),
        compared: Cell::new(false),
        doubt: RefCell::default(),
    };
    let carried = lease.during(RENEW, carrier.run()).await;
    let (late_words, late_ring) = (!calls.late(&lease).is_empty(), !rings.late(&lease).is_empty());
    let held = match carried {
        Ok(carried) => {
            if let Err(why) = carried {
                world.log(Line::error("left").of(id).with("cause", why));
            }
            lease.release().await
        }
        Err(LeaseLost) => {
            // Calls of ours may still be on their way: it is not given back but runs out.
            world.log(Line::new("lease_lost").of(id));
            false
        }
    };
    if held || !(late_words || late_ring) {
        return;
    }
    world.sleep(slack::LATE_EDIT).await;
    if late_ring && let Err(error) = adopt_strays(world).await {
        world.log(Line::error("strays_not_adopted").of(id).with("cause", error.why()));
    }
    if late_words {
        // What we said last may have come over what another carrier or the watch has told since.
        late::tell_again(world, &settings.slack, settings.tempo.minute, id, |facts| last_words(id, facts)).await;
    }
}

/// The final words of a deployment, whoever has to tell them.
fn last_words(id: &DeploymentId, facts: &Facts) -> Option<Message> {
    match (&facts.outcome, &facts.end) {
        // It goes on as another deployment, whose message it is now.
        _ if facts.is_approved() => None,
        (Some(_), _) => Some(message::after_commit(id, facts)),
        (None, Some(_)) if facts.committed.is_none() => Some(message::before_commit(id, facts, None)),
        _ => None,
    }
}

struct Carrier<'a, W> {
    desk: Desk<'a, W>,
    lease: &'a Lease<'a, W>,
    /// Edits of the message.
    calls: &'a Calls<()>,
    /// Writes of a ring.
    rings: &'a Calls<()>,
    /// It stands in its target's history, so that its facts are deleted one day.
    remembered: Cell<bool>,
    /// The catalog is the one at the commit that is built on.
    compared: Cell<bool>,
    doubt: RefCell<Doubt>,
}

impl<'a, W> Deref for Carrier<'a, W> {
    type Target = Desk<'a, W>;
    fn deref(&self) -> &Desk<'a, W> {
        &self.desk
    }
}

/// Mutations whose outcome we do not know. While one of them may have landed, or may still, a deployment never ends with "nothing was
/// changed", whatever else goes wrong.
#[derive(Default)]
struct Doubt {
    /// It has to be looked up before anything else is done.
    unsettled: bool,
    /// The bases on which one of them may still land.
    bases: BTreeSet<CommitSha>,
}

impl<W: World> Carrier<'_, W> {
    async fn run(&self) -> Result<(), &'static str> {
        // Loaded again under the lease: somebody may have carried it a moment ago.
        let mut facts = store::load(self.world, self.id).await.map_err(|error| error.why())?;
        let Some(request) = facts.request.clone() else { return Err("there is no request") };
        if facts.watch_speaks() {
            return self.guard(&facts).await;
        }
        if let Some(commit) = &facts.commit {
            // Attempts from before a crash are settled before anything else.
            let bases: BTreeSet<CommitSha> = commit.attempts.iter().map(|attempt| attempt.base.clone()).collect();
            *self.doubt.borrow_mut() = Doubt { unsettled: !bases.is_empty(), bases };
        }
        let speaker = Speaker::new(self.world, self.settings, self.id, self.lease, self.calls, &facts);
        if facts.end.is_none() {
            let (say, mut heard) = mpsc::unbounded::<(Facts, Option<Note>)>();
            let first = facts.clone();
            // The first words are posted beside the work, never before it.
            let worked = Cell::new(false);
            let speak = async {
                let mut latest = (first, None);
                loop {
                    let waits = speaker.tell(&latest.0, latest.1.clone(), false).await;
                    // What has to wait is tried again, unless there is something newer to say.
                    let turn = if waits { Either::Left(self.world.sleep(TURN)) } else { Either::Right(pending()) };
                    match select(heard.next(), pin!(turn)).await {
                        Either::Left((Some(newer), _)) => latest = newer,
                        Either::Left((None, _)) => break,
                        Either::Right(_) => {}
                    }
                    while let Ok(newer) = heard.try_recv() {
                        latest = newer;
                    }
                    // What was on the way while the work ended is stale, and after the commit the message is the watch's.
                    if worked.get() {
                        break;
                    }
                }
            };
            let work = async {
                let done = self.work(&request, &mut facts, say).await;
                worked.set(true);
                done
            };
            let (done, ()) = join(work, speak).await;
            done?;
        }
        if facts.committed.is_some() {
            self.compare(&facts).await;
            return self.guard(&facts).await;
        }
        self.tell_end(&speaker, &facts).await
    }

    /// The work up to `committed` or `end`, whichever is saved in `facts` then.
    async fn work(&self, request: &RequestFact, facts: &mut Facts, say: Say) -> Result<(), &'static str> {
        if let Some(sha) = self.settled(request, facts, &say).await? {
            return self.committed(facts, sha, false).await.map_err(|_| "the commit could not be recorded");
        }
        let mut stop = Stop::Moved;
        for _ in 0..TRIES {
            match self.to_commit(request, facts, &say).await {
                Ok(()) => return Ok(()),
                Err(Stop::Moved) => stop = Stop::from(Refusal::CatalogChanged),
                Err(other) => {
                    stop = other;
                    break;
                }
            }
        }
        match stop {
            Stop::Leave(why) => Err(why),
            Stop::Moved => Err("the catalog moved"),
            Stop::End(end) => {
                // An earlier mutation may still land on its base: first that has to be out of the question.
                while !self.doubt.borrow().bases.is_empty() {
                    self.doubt.borrow_mut().unsettled = true;
                    if let Some(sha) = self.settled(request, facts, &say).await? {
                        return self.committed(facts, sha, false).await.map_err(|_| "the commit could not be recorded");
                    }
                    self.doubtful(request, facts, &say).await?;
                }
                let now = self.world.now();
                // Later than this the watch ends it, so that two roles never race with different words.
                if now >= request.at.after(Duration::from_millis(self.tempo().no_end)) {
                    return Err("too late to end it: the watch will");
                }
                if !self.remembered.get() {
                    // Without it its keys would stay for ever; whoever resumes tries again.
                    let remembered = self.rings.make(self.world, (), remember_early(self.world, self.id)).await;
                    remembered.map_err(|error| error.why())?;
                }
                // Once, whoever said it first: another carrier, if the lease failed us.
                let known = store::load(self.world, self.id).await.map_err(|error| error.why())?;
                if known.end.is_some() || known.watch_speaks() {
                    *facts = known;
                    return Ok(());
                }
                self.lease.ensure(WRITE).await.map_err(|_| "the lease was lost")?;
                let fact = EndFact { at: now, end };
                store::save_fact(self.world, self.id, &fact).await.map_err(|error| error.why())?;
                self.world.log(Line::new("ended").of(self.id).with_json("end", &fact.end));
                facts.end = Some(fact);
                Ok(())
            }
        }
    }

    /// Tells the end, saves that it was told, and only then lets the id go.
    async fn tell_end(&self, speaker: &Speaker<'_, W>, facts: &Facts) -> Result<(), &'static str> {
        for _ in 0..40 {
            speaker.tell(facts, None, true).await;
            if speaker.end_is_told() {
                return store::leave_flight(self.world, self.id).await.map_err(|error| error.why());
            }
            self.world.sleep(Duration::from_secs(2)).await;
        }
        Err("the end could not be told yet")
    }

    /// For the message: what is new in the version. The deploy does not wait for it.
    async fn compare(&self, facts: &Facts) {
        let Some(commit) = facts.commit.as_ref().filter(|_| facts.changes.is_none()) else { return };
        let Some(changes) = self.changes(commit.target()).await else { return };
        if self.lease.ensure(WRITE).await.is_ok() && store::save_fact(self.world, self.id, &changes).await.is_ok() {
            let _ = store::announce(self.world, self.id).await;
        }
    }

    /// Wakes the watch again until the last word, or until the watch would have said it. Beside that, GitHub is told.
    async fn guard(&self, facts: &Facts) -> Result<(), &'static str> {
        let Some((commit, until)) = facts.commit.as_ref().zip(guarded_until(facts)) else { return Ok(()) };
        let (ended, last_word) = oneshot::channel();
        let (guarded, ()) = join(self.keep_watched(until, ended), self.show(commit, until, last_word)).await;
        guarded
    }

    /// The last word is handed to `ended` as soon as it is seen.
    async fn keep_watched(&self, until: Timestamp, ended: oneshot::Sender<LastWord>) -> Result<(), &'static str> {
        let mut ended = Some(ended);
        while self.world.now() < until {
            self.world.sleep(Duration::from_millis(self.tempo().guardian)).await;
            let outcome = store::load_fact::<OutcomeFact>(self.world, self.id).await;
            if let Ok(Some(outcome)) = outcome {
                if let Some(ended) = ended.take() {
                    let _ = ended.send(outcome.word);
                }
                if let Ok(facts) = store::load(self.world, self.id).await
                    && let Some(request) = &facts.request
                {
                    if facts.end_is_told() {
                        // The same click may have come again after the end, and is in flight since.
                        return store::leave_flight(self.world, self.id).await.map_err(|error| error.why());
                    }
                    // A late write may have taken back that it was told, when nobody looks after it any more: it is told once more.
                    let _ = store::add_in_flight(self.world, self.id, request.at).await;
                }
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
        let cached = self.cached_catalog().await;
        // Whoever has just mended the catalog types the command again at once: no refusal by what is remembered.
        let allowed = match &cached {
            Some((blob, catalog)) => self.authorise(request, catalog).await.ok().map(|found| (blob, found)),
            None => None,
        };
        let by_memory = allowed.is_some();
        let read;
        let (catalog, (target, app, environment)) = match allowed {
            Some(allowed) => allowed,
            None => {
                read = self.read_catalog().await?;
                (&read.0, self.authorise(request, &read.1).await?)
            }
        };
        self.compared.set(false);
        let work = async {
            let lease = self.target_lease(request, &target, environment).await?;
            let place = Held { place: Place { target: &target, app, environment, catalog }, lease: &lease };
            let work = self.under_target(request, facts, say, place);
            let done = lease.during(RENEW, work).await;
            lease.release().await;
            done?
        };
        let done = work.await;
        let is_refused = matches!(done, Err(Stop::End(End::Refused { .. })));
        if by_memory && is_refused && !self.compared.get() && self.read_catalog().await?.0 != *catalog {
            // A freeze may have been lifted since, or an owner added.
            return Err(Stop::Moved);
        }
        done
    }

    /// A wish to cancel, or a watch that ended it, is heeded at every step.
    async fn wishes(&self, request: &RequestFact) -> Result<(), Stop> {
        let (cancel, outcome) = futures::future::try_join(
            store::load_fact::<CancelFact>(self.world, self.id),
            store::load_fact::<OutcomeFact>(self.world, self.id),
        )
        .await?;
        if outcome.is_some() {
            return Err(Stop::Leave("the watch has ended it"));
        }
        if let Some(cancel) = cancel {
            return Err(Stop::End(End::Cancelled { by: cancel.by }));
        }
        if self.world.now() >= request.at.after(Duration::from_millis(self.tempo().no_mutation)) {
            let late = self.world.now().since(request.at).as_secs();
            self.world.log(Line::error("too_late").of(self.id).with("seconds", late));
            return Err(Refusal::TooLate { minutes: self.tempo().no_mutation / 60_000 }.into());
        }
        Ok(())
    }
}

/// Remembers a deployment that ends before it has a target's lease, so that the store stays bounded.
async fn remember_early(world: &impl World, id: &DeploymentId) -> Result<(), StoreError> {
    let keep = store::in_flight(world).await?.ids;
    remember_in(world, "early-ends", EarlyEnds, id, &keep).await
}

/// Remembers a deployment in a ring, under the lease that guards it.
async fn remember_in<K: Key<Value = Ring> + Copy>(
    world: &impl World,
    lease: &str,
    ring: K,
    id: &DeploymentId,
    keep: &[DeploymentId],
) -> Result<(), StoreError> {
    let lease = loop {
        match Lease::take(world, lease, LIFE).await? {
            Some(lease) => break lease,
            None => world.sleep(BRANCH_RETRY).await,
        }
    };
    let done = store::remember(world, ring, id, keep, async || lease.ensure(WRITE).await).await;
    lease.release().await;
    done
}

/// A ring of ours may have been written late, over what others had added: whoever stands in no ring any more is remembered again.
async fn adopt_strays(world: &impl World) -> Result<(), StoreError> {
    let in_flight = store::in_flight(world).await?.ids;
    for id in store::strays(world).await? {
        match store::load(world, &id).await?.commit {
            Some(commit) => {
                let argocd = commit.target().application();
                let mut keep = in_flight.clone();
                keep.extend(store::load_key(world, Current(argocd)).await?.map(|current| current.id));
                keep.extend(store::load_key(world, Live(argocd)).await?.map(|live| live.id));
                remember_in(world, &target_lease(argocd), History(argocd), &id, &keep).await?;
            }
            // Whoever carries it remembers it yet.
            None if in_flight.contains(&id) => continue,
            None => remember_early(world, &id).await?,
        }
        world.log(Line::error("adopted").of(&id).with("cause", late::SLEPT));
    }
    Ok(())
}

fn target_lease(argocd: &ArgoApplication) -> String {
    format!("target/{}", store::target_name(argocd))
}
