//! One deployment in a watch: from its facts to the sync of exactly its commit, and to its last word.
//!
//! What to do is decided in `domain::deployment` ([`deployment::next`] from the facts, [`deployment::step`] from Argo CD's answer);
//! here it is done: save first, then ask; save first, then speak.

use super::{SLEPT, Watch};
use crate::log::Line;
use crate::speak::{CALL, Said, Speaker};
use crate::world::World;
use clients::argocd;
use clients::argocd::{ArgoError, Event, Kind, SyncOutcome, SyncRequest};
use domain::application::{Application, Health};
use domain::deployment;
use domain::deployment::{
    CommitFact, Facts, Failure, LastWord, Next, OutcomeFact, Riders, Step, Turn, Waiting, WatchFact,
};
use domain::fault::{Cause, Changed, Fault, System};
use domain::names::{CommitSha, DeploymentId};
use domain::time::Timestamp;
use futures::channel::mpsc;
use futures::future::{Either, select};
use futures::stream::{LocalBoxStream, StreamExt};
use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::time::Duration;
use store::{Current, Live, LiveVersion, Rewritten, StoreError};

/// Before a stream that ended is opened again.
const REOPEN: Duration = Duration::from_millis(200);

/// How long the sync waits for the message that says whose commits ride along.
const RIDERS: Duration = Duration::from_secs(3);

/// How a follower ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Nothing is left to do for a watch.
    Settled,
    /// The next watch goes on.
    GoesOn,
}

type Nudges = mpsc::UnboundedReceiver<()>;

/// Follows one deployment until its last word is told, or the watch closes.
pub(crate) async fn follow<W: World>(watch: &Watch<'_, W>, id: &DeploymentId, nudges: Nudges) -> Ended {
    let follower = Follower {
        watch,
        world: watch.world,
        id,
        facts: RefCell::default(),
        nudges: futures::lock::Mutex::new(nudges),
        saving: futures::lock::Mutex::default(),
        unsaved: Cell::new(false),
    };
    loop {
        match follower.run().await {
            Ok(ended) => return ended,
            Err(error) => {
                watch.world.log(Line::error("not_followed").of(id).with("cause", error.why()));
                if error.is_unreadable() {
                    return Ended::Settled;
                }
            }
        }
        watch.world.sleep(Duration::from_secs(1)).await;
        if watch.closing.get() {
            return Ended::GoesOn;
        }
    }
}

pub(crate) struct Follower<'a, W> {
    pub(crate) watch: &'a Watch<'a, W>,
    pub(crate) world: &'a W,
    pub(crate) id: &'a DeploymentId,
    pub(crate) facts: RefCell<Facts>,
    nudges: futures::lock::Mutex<Nudges>,
    saving: futures::lock::Mutex<()>,
    /// The last save of our fact failed.
    unsaved: Cell<bool>,
}

/// One look at Argo CD, or what came instead.
enum Look {
    /// The application as it is.
    App(Box<Application>),
    /// Something else may have changed: the facts, the time, the end of the watch.
    Nudge,
    /// No look from here any more: open another.
    Failed(ArgoError),
}

/// Where looks come from.
type Looks<'s> = LocalBoxStream<'s, Result<Box<Application>, ArgoError>>;

impl<W: World> Follower<'_, W> {
    async fn run(&self) -> Result<Ended, StoreError> {
        let speaker = self.speaker();
        loop {
            self.reload().await?;
            let next = deployment::next(&self.facts.borrow(), self.world.now(), &self.watch.settings.tempo);
            match next {
                Next::LeaveAlone => {
                    if self.facts.borrow().end_is_told() {
                        // The same click came again after the end.
                        self.leave_flight().await?;
                    }
                    return Ok(Ended::Settled);
                }
                Next::WaitUntil(moment) => {
                    let committed = self.facts.borrow().committed.is_some();
                    let said = if committed { self.tell(&speaker, false).await } else { Said::Done };
                    let gap = Duration::from_millis(self.watch.settings.tempo.edit_gap);
                    self.wait(match said {
                        Said::Done => moment,
                        // All facts are read again after it.
                        Said::NotYet(again) => moment.min(self.world.now().after(again.max(gap))),
                    })
                    .await;
                }
                Next::Say(word) => self.say(word).await?,
                Next::Tell => loop {
                    match self.tell(&speaker, true).await {
                        Said::Done => {
                            self.leave_flight().await?;
                            return Ok(Ended::Settled);
                        }
                        // Many may wait for their turn: without news they tell what they know, and do not read it again.
                        Said::NotYet(again) => {
                            if self.wait(self.world.now().after(again)).await || self.watch.closing.get() {
                                break;
                            }
                        }
                    }
                },
                Next::Sync { refresh } => self.sync(&speaker, refresh).await?,
            }
            if self.watch.closing.get() {
                return Ok(Ended::GoesOn);
            }
        }
    }

    /// Its last word is told. One that never had a target stands in no ring yet, which slack-command alone writes: it takes that one out.
    async fn leave_flight(&self) -> Result<(), StoreError> {
        let had_target = self.facts.borrow().commit.is_some();
        if had_target { store::leave_flight(self.world, self.id).await } else { Ok(()) }
    }

    /// Loads all facts; our own is what we saved last.
    async fn reload(&self) -> Result<(), StoreError> {
        let facts = store::load(self.world, self.id).await?;
        *self.facts.borrow_mut() = facts;
        Ok(())
    }

    /// Waits for a moment or a nudge; whether it was a nudge.
    async fn wait(&self, moment: Timestamp) -> bool {
        let mut nudges = self.nudges.lock().await;
        let timer = pin!(self.world.sleep(deployment::until(moment, self.world.now())));
        matches!(select(pin!(nudges.next()), timer).await, Either::Left(_))
    }

    /// Changes our fact and saves it, if it changed.
    pub(crate) async fn save(&self, change: impl FnOnce(&mut WatchFact)) -> Result<(), StoreError> {
        // One after the other: who follows Argo CD and who speaks would take back each other's part.
        let _turn = self.saving.lock().await;
        self.watch.lease.ensure(Duration::from_secs(2)).await.map_err(|_| LOST)?;
        let before = self.facts.borrow().watch.clone();
        let mut fact = before.clone().unwrap_or_default();
        change(&mut fact);
        if before.as_ref() == Some(&fact) && !self.unsaved.get() {
            return Ok(());
        }
        self.unsaved.set(true);
        self.facts.borrow_mut().watch = Some(fact.clone());
        store::save_fact(self.world, self.id, &fact).await?;
        self.unsaved.set(false);
        Ok(())
    }

    /// Saves the last word. Telling it comes after.
    async fn say(&self, word: LastWord) -> Result<(), StoreError> {
        let live = {
            let facts = self.facts.borrow();
            let live =
                facts.committed.as_ref().zip(facts.commit.as_ref()).filter(|_| matches!(word, LastWord::Live { .. }));
            live.map(|(committed, commit)| (committed.sha.clone(), commit.target().application().clone()))
        };
        if let Some((sha, argocd)) = live {
            self.watch.lease.ensure(Duration::from_secs(2)).await.map_err(|_| LOST)?;
            store::save_key(self.world, Live(&argocd), &LiveVersion { id: self.id.clone(), sha }).await?;
        }
        let outcome = OutcomeFact { at: self.world.now(), word };
        self.watch.lease.ensure(Duration::from_secs(2)).await.map_err(|_| LOST)?;
        // Once, whoever said it first: another watch, if the lease failed us.
        if store::load_fact::<OutcomeFact>(self.world, self.id).await?.is_none() {
            self.world.log(Line::new("last_word").of(self.id).with_json("word", &outcome.word));
            store::save_fact(self.world, self.id, &outcome).await?;
        }
        Ok(())
    }

    /// From the commit to the last word, as long as this watch lasts. Argo CD is followed and the message is edited at the same time.
    async fn sync(&self, speaker: &Speaker<'_, W, &Self>, refresh: bool) -> Result<(), StoreError> {
        let (changed, mut changes) = mpsc::unbounded();
        let observe = async {
            let done = self.observe(refresh, &changed).await;
            drop(changed);
            done
        };
        let speak = async {
            while changes.next().await.is_some() {
                let mut wait = Duration::ZERO;
                while self.still_changes(&mut changes, wait).await {
                    wait = match self.tell(speaker, false).await {
                        Said::Done => break,
                        Said::NotYet(again) => again,
                    };
                }
            }
        };
        let (observed, ()) = futures::future::join(pin!(observe), pin!(speak)).await;
        observed
    }

    /// Waits for so long, and takes in what changes meanwhile. False at once when nothing changes any more: the last word is told by its own
    /// step, and what comes before it is neither worth a call then nor a reason to wait.
    async fn still_changes(&self, changes: &mut mpsc::UnboundedReceiver<()>, wait: Duration) -> bool {
        let mut timer = pin!(self.world.sleep(wait));
        loop {
            match select(changes.next(), timer.as_mut()).await {
                Either::Left((Some(()), _)) => {}
                Either::Left((None, _)) => return false,
                Either::Right(_) => return true,
            }
        }
    }

    async fn observe(&self, refresh: bool, changed: &mpsc::UnboundedSender<()>) -> Result<(), StoreError> {
        let (commit, sha, deadline) = {
            let facts = self.facts.borrow();
            let Some((committed, commit)) = facts.committed.as_ref().zip(facts.commit.as_ref()) else { return Ok(()) };
            (commit.clone(), committed.sha.clone(), committed.at.after(commit.target().deadline))
        };
        let signal = || drop(changed.unbounded_send(()));
        signal();
        let argocd = &self.watch.settings.argocd;
        if refresh
            && let Err(ArgoError::Fault(fault)) =
                argocd::refresh(self.world, argocd, commit.target().application(), CALL).await
        {
            // The sync itself does not need it; whatever is wrong shows at the next look.
            self.world.log(Line::error("not_refreshed").of(self.id).with_json("fault", &fault));
        }
        let mut looks: Option<Looks<'_>> = None;
        let (mut polling, mut streamed) = (false, false);
        let mut again: Option<Timestamp> = None;
        loop {
            let from = match &mut looks {
                Some(looks) => looks,
                None => looks.insert(if polling { self.polls(&commit) } else { self.events(&commit) }),
            };
            let until = again.map_or(deadline, |again| again.min(deadline));
            let look = self.look(from, until).await;
            if self.watch.closing.get() || self.world.now() >= deadline {
                return Ok(());
            }
            let mut asked_for = polling;
            let mut snapshot = match look {
                Look::App(snapshot) => {
                    streamed = !polling;
                    snapshot
                }
                Look::Nudge if again.is_some_and(|again| self.world.now() >= again) => {
                    asked_for = true;
                    match argocd::get(self.world, argocd, commit.target().application()).await {
                        Ok(snapshot) => Box::new(snapshot),
                        Err(error) => match self.no_look(error).await? {
                            Flow::Over => return Ok(()),
                            _ => {
                                again = Some(self.soon());
                                signal();
                                continue;
                            }
                        },
                    }
                }
                Look::Nudge => {
                    // What others write for the message from the commit on.
                    let (world, id) = (self.world, self.id);
                    let (message, push, changes) = futures::future::try_join3(
                        store::load_fact(world, id),
                        store::load_fact(world, id),
                        store::load_fact(world, id),
                    )
                    .await?;
                    let mut known = self.facts.borrow_mut();
                    (known.message, known.push, known.changes) = (message, push, changes);
                    drop(known);
                    signal();
                    continue;
                }
                Look::Failed(error) => {
                    looks = None;
                    if let Flow::Over = self.no_look(error).await? {
                        return Ok(());
                    }
                    signal();
                    if polling {
                        self.wait(self.soon()).await;
                    } else if streamed {
                        // Argo CD may end a stream at any time: it worked, so it is opened again.
                        self.wait(self.world.now().after(REOPEN)).await;
                    }
                    polling |= !streamed;
                    streamed = false;
                    continue;
                }
            };
            loop {
                let flow = self.handle(&commit, &sha, &snapshot, asked_for).await?;
                signal();
                match flow {
                    Flow::Over => return Ok(()),
                    Flow::Wait => {
                        again = None;
                        break;
                    }
                    Flow::LookAgain(moment) => {
                        again = Some(moment);
                        break;
                    }
                    Flow::Now(newer) => {
                        // What lies in the stream is older than this.
                        looks = None;
                        (snapshot, asked_for) = (newer, true);
                    }
                }
            }
        }
    }

    fn soon(&self) -> Timestamp {
        self.world.now().after(Duration::from_millis(self.watch.settings.tempo.poll))
    }

    /// The next look, a nudge, or the moment.
    async fn look(&self, looks: &mut Looks<'_>, until: Timestamp) -> Look {
        let mut nudges = self.nudges.lock().await;
        let (nudged, timer) = (pin!(nudges.next()), pin!(self.world.sleep(deployment::until(until, self.world.now()))));
        match select(looks.next(), select(nudged, timer)).await {
            Either::Left((Some(Ok(snapshot)), _)) => Look::App(snapshot),
            Either::Left((Some(Err(error)), _)) => Look::Failed(error),
            Either::Left((None, _)) => Look::Failed(stream_fault(Cause::Broken)),
            Either::Right(_) => Look::Nudge,
        }
    }

    /// Argo CD's event stream. It counts as failed without a first event in time, because it stays silent where a right is missing.
    fn events<'s>(&'s self, commit: &'s CommitFact) -> Looks<'s> {
        let first = Duration::from_millis(self.watch.settings.tempo.first_event);
        // A moment, not a time since the last sign of life: those may come often.
        let first_by = self.world.elapsed().saturating_add(first);
        let open = async move {
            let opened = argocd::events(self.world, &self.watch.settings.argocd, commit.target().application());
            match select(pin!(opened), pin!(self.world.sleep(first))).await {
                Either::Left((opened, _)) => opened,
                Either::Right(_) => Err(stream_fault(Cause::TimedOut)),
            }
        };
        futures::stream::once(open)
            .flat_map(move |opened| match opened {
                Ok(stream) => futures::stream::unfold(Some((stream, true)), move |state| async move {
                    let (mut stream, is_first) = state?;
                    loop {
                        let event = if is_first {
                            let left = first_by.saturating_sub(self.world.elapsed());
                            match select(pin!(stream.next()), pin!(self.world.sleep(left))).await {
                                Either::Left((event, _)) => event,
                                Either::Right(_) => return Some((Err(stream_fault(Cause::TimedOut)), None)),
                            }
                        } else {
                            stream.next().await
                        };
                        return match event {
                            Ok(Some(Event::App { kind: Kind::Deleted, .. })) => {
                                Some((Err(ArgoError::NoApplication), None))
                            }
                            Ok(Some(Event::App { snapshot, .. })) => Some((Ok(snapshot), Some((stream, false)))),
                            Ok(Some(Event::KeepAlive)) => continue,
                            Ok(Some(Event::Error { message, .. })) => {
                                Some((Err(stream_fault(Cause::Said { said: message })), None))
                            }
                            Ok(None) => Some((Err(stream_fault(Cause::Broken)), None)),
                            Err(error) => Some((Err(stream_fault(error.into())), None)),
                        };
                    }
                })
                .boxed_local(),
                Err(error) => futures::stream::once(async move { Err(error) }).boxed_local(),
            })
            .boxed_local()
    }

    /// A GET now and then, where the stream fails.
    fn polls<'s>(&'s self, commit: &'s CommitFact) -> Looks<'s> {
        let argocd = &self.watch.settings.argocd;
        futures::stream::unfold(false, move |waited| async move {
            if waited {
                self.world.sleep(Duration::from_millis(self.watch.settings.tempo.poll)).await;
            }
            Some((argocd::get(self.world, argocd, commit.target().application()).await.map(Box::new), true))
        })
        .boxed_local()
    }

    /// A look that failed: some reasons are final, the others are waited out until the deadline.
    async fn no_look(&self, error: ArgoError) -> Result<Flow, StoreError> {
        let failure = match error {
            ArgoError::NoRight(said) => Failure::NoRight { said },
            ArgoError::NoApplication => Failure::NoApplication,
            ArgoError::Unauthorized => Failure::Fault { fault: unauthorized(STREAM) },
            ArgoError::Fault(fault) => {
                // A stream that ends is normal: the next look tells whether Argo CD is well.
                if !matches!(fault.cause, Cause::Broken | Cause::TimedOut) || fault.doing != STREAM {
                    self.world.log(Line::error("argocd").of(self.id).with_json("fault", &fault));
                    self.save(|watch| watch.waiting = Some(Waiting::ArgoCd { fault })).await?;
                }
                return Ok(Flow::Wait);
            }
        };
        self.say(LastWord::Failed { failure }).await?;
        Ok(Flow::Over)
    }

    /// One look, in the light of what we asked for. `asked_for`: it is Argo CD's answer and not from a stream, which may be behind.
    async fn handle(
        &self,
        commit: &CommitFact,
        sha: &CommitSha,
        snapshot: &Application,
        asked_for: bool,
    ) -> Result<Flow, StoreError> {
        let now = self.world.now();
        let mut fact = self.facts.borrow().watch.clone().unwrap_or_default();
        let step =
            deployment::step(self.id, &self.facts.borrow(), &mut fact, snapshot, now, &self.watch.settings.tempo);
        match step {
            Step::Ask if fact.asked.is_some() && !asked_for => {
                // Not a second time because of what may be old news.
                self.save(|watch| watch.seen(fact)).await?;
                Ok(Flow::LookAgain(now))
            }
            Step::Ask => {
                self.save(|watch| watch.seen(fact)).await?;
                self.ask(commit, sha, snapshot).await
            }
            Step::Wait(waiting) => {
                fact.waiting = waiting;
                self.save(|watch| watch.seen(fact)).await?;
                // Events tell when it changes; should one be lost, look by ourselves.
                Ok(Flow::LookAgain(now.after(Duration::from_millis(self.watch.settings.tempo.reload))))
            }
            Step::LookAgainAt(moment) => {
                self.save(|watch| watch.seen(fact)).await?;
                Ok(Flow::LookAgain(moment))
            }
            Step::Follow(progress) => {
                fact.waiting = None;
                let ended = progress.synced;
                fact.progress = Some(progress);
                self.save(|watch| watch.seen(fact)).await?;
                // After the sync's end a comparison may be due that nobody announces.
                Ok(if ended { Flow::LookAgain(now.after(deployment::REFRESH_AFTER)) } else { Flow::Wait })
            }
            Step::Refresh(progress) => {
                fact.waiting = None;
                fact.progress = Some(progress);
                self.save(|watch| watch.seen(fact)).await?;
                match argocd::refresh(self.world, &self.watch.settings.argocd, commit.target().application(), CALL)
                    .await
                {
                    Ok(newer) => Ok(Flow::Now(Box::new(newer))),
                    Err(error) => match self.no_look(error).await? {
                        Flow::Over => Ok(Flow::Over),
                        _ => Ok(Flow::LookAgain(self.soon())),
                    },
                }
            }
            Step::Superseded { by } => {
                self.save(|watch| watch.seen(fact)).await?;
                if let Some(flow) = self.not_our_turn(commit).await? {
                    return Ok(flow);
                }
                if snapshot.operation.is_some() || !asked_for {
                    return Ok(Flow::LookAgain(self.soon()));
                }
                self.world.log(Line::error("late_sync").of(&by).with("newer", self.id.as_str()).with("cause", SLEPT));
                self.ask(commit, sha, snapshot).await
            }
            Step::Over(word) => {
                self.save(|watch| watch.seen(fact)).await?;
                self.say(word).await?;
                Ok(Flow::Over)
            }
        }
    }

    /// What there is to do if it is not our turn: never an older commit after a newer one.
    async fn not_our_turn(&self, commit: &CommitFact) -> Result<Option<Flow>, StoreError> {
        let current =
            store::load_key(self.world, Current(commit.target().application())).await?.map(|current| current.id);
        if current.as_ref() == Some(self.id) {
            return Ok(None);
        }
        let turn = match &current {
            Some(other) => deployment::turn(&store::load(self.world, other).await?, &self.facts.borrow()),
            None => Turn::Theirs,
        };
        match turn {
            Turn::Ours => {
                let other = current.as_ref().map(DeploymentId::as_str);
                self.world.log(Line::error("late_turn").of(self.id).with("of", other).with("cause", SLEPT));
                Ok(None)
            }
            Turn::Undecided => Ok(Some(Flow::LookAgain(self.soon()))),
            Turn::Theirs => {
                self.say(LastWord::Superseded { by_deployment: current, by_person: None }).await?;
                Ok(Some(Flow::Over))
            }
        }
    }

    /// Asks for the sync of exactly our commit, if it is still our turn and the commit is still on the branch.
    async fn ask(&self, commit: &CommitFact, sha: &CommitSha, snapshot: &Application) -> Result<Flow, StoreError> {
        self.riders_told(commit).await;
        let written_at = self.facts.borrow().written_at().unwrap_or_default();
        if let Some(flow) = self.not_our_turn(commit).await? {
            return Ok(flow);
        }
        if store::load_key(self.world, Rewritten).await?.is_some_and(|rewritten| rewritten.at > written_at) {
            self.say(LastWord::Failed { failure: Failure::BranchRewritten }).await?;
            return Ok(Flow::Over);
        }
        let Ok(revision) = argocd::which_sources(snapshot, &commit.plan.gitops.repo, &commit.plan.gitops.branch, sha)
        else {
            self.say(LastWord::Failed { failure: Failure::NoSource }).await?;
            return Ok(Flow::Over);
        };
        let before = self.facts.borrow().watch.as_ref().and_then(|watch| watch.asked);
        let now = self.world.now();
        self.save(|watch| {
            if watch.asked.is_none() {
                watch.degraded_before = snapshot.health == Health::Degraded;
                watch.last_before = snapshot.last.as_ref().and_then(|last| last.started);
            }
            watch.asked = Some(now);
        })
        .await?;
        self.watch.lease.ensure(CALL).await.map_err(|_| LOST)?;
        let wish = SyncRequest { revision, deployment: self.id };
        let sync = argocd::sync(self.world, &self.watch.settings.argocd, commit.target().application(), &wish);
        let outcome = self.watch.syncs.make(self.world, self.id.clone(), sync).await;
        self.outcome(outcome, before).await
    }

    /// Whose commits ride along is in the message before the sync, unless Slack takes too long.
    async fn riders_told(&self, commit: &CommitFact) {
        let any = matches!(&commit.target().riders, Riders::Since { commits, .. } if !commits.is_empty());
        let until = self.world.elapsed().saturating_add(RIDERS);
        let told = || self.facts.borrow().watch.as_ref().is_some_and(|watch| watch.voice.told.is_some());
        while any && !told() && !self.watch.closing.get() && self.world.elapsed() < until {
            self.world.sleep(Duration::from_millis(20)).await;
        }
    }

    /// `before`: when we had asked earlier; goes back into the fact where Argo CD certainly did not take this one.
    async fn outcome(&self, outcome: SyncOutcome, before: Option<Timestamp>) -> Result<Flow, StoreError> {
        let failure = match outcome {
            SyncOutcome::Taken(snapshot) => {
                self.world.log(Line::new("sync_taken").of(self.id));
                let now = self.world.now();
                self.save(|watch| {
                    // Counted from the answer: the next events may still be older than it.
                    watch.asked = Some(now);
                    watch.taken = true;
                    watch.waiting = None;
                })
                .await?;
                return Ok(Flow::Now(snapshot));
            }
            SyncOutcome::InProgress => return self.not_taken(before, Some(Waiting::OtherOperation { by: None })).await,
            SyncOutcome::Window(_) => return self.not_taken(before, Some(Waiting::SyncWindow)).await,
            SyncOutcome::AutoSync(said) => {
                self.world.log(Line::error("auto_sync_is_on").of(self.id).with("argocd", said.as_str()));
                self.save(|watch| watch.automated = true).await?;
                return self.not_taken(before, None).await;
            }
            SyncOutcome::NotDone(fault) => {
                self.world.log(Line::error("argocd").of(self.id).with_json("fault", &fault));
                return self.not_taken(before, Some(Waiting::ArgoCd { fault })).await;
            }
            SyncOutcome::Unknown(fault) => {
                self.world.log(Line::error("sync_unknown").of(self.id).with_json("fault", &fault));
                let now = self.world.now();
                self.save(|watch| {
                    // Counted from here: what lies in the stream is from while we waited for the answer.
                    watch.asked = Some(now);
                    watch.waiting = Some(Waiting::ArgoCd { fault });
                })
                .await?;
                return Ok(Flow::LookAgain(now.after(Duration::from_millis(self.watch.settings.tempo.look_again))));
            }
            SyncOutcome::NoRight(said) => Failure::NoRight { said },
            SyncOutcome::NoApplication => Failure::NoApplication,
            SyncOutcome::Deleting => Failure::Deleting,
            SyncOutcome::Refused(said) => Failure::Refused { said },
            SyncOutcome::Unauthorized => Failure::Fault { fault: unauthorized("ask Argo CD for the sync") },
        };
        // Certainly not taken: the words say what changed by whether we had asked.
        self.save(|watch| watch.asked = before).await?;
        self.say(LastWord::Failed { failure }).await?;
        Ok(Flow::Over)
    }

    async fn not_taken(&self, before: Option<Timestamp>, waiting: Option<Waiting>) -> Result<Flow, StoreError> {
        self.save(|watch| {
            watch.asked = before;
            watch.waiting = waiting;
        })
        .await?;
        Ok(Flow::LookAgain(self.soon()))
    }
}

/// What follows from a look.
enum Flow {
    /// The last word is saved.
    Over,
    /// Wait for the next look.
    Wait,
    /// The same, but not beyond that moment.
    LookAgain(Timestamp),
    /// This one is newer: look at it now.
    Now(Box<Application>),
}

pub(crate) const LOST: StoreError = StoreError::LeaseLost;
const STREAM: &str = "follow the application";

fn stream_fault(cause: Cause) -> ArgoError {
    ArgoError::Fault(Fault::new(System::ArgoCd, STREAM, cause).changed(Changed::Yes))
}

fn unauthorized(doing: &str) -> Fault {
    Fault::new(System::ArgoCd, doing, Cause::Unauthorized).changed(Changed::Yes)
}
