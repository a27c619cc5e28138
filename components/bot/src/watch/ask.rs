//! Asks Argo CD for the sync of exactly our commit, and understands its answer. At the end of this file: what a watch does that has lost
//! its lease while it asked.

use super::SLEPT;
use super::looks::STREAM;
use super::observe::ApplicationFollower;
use crate::settings::SyncPollerSettings;
use crate::world::{Line, World};
use clients::argocd::{self, ArgoError, Refresh, Revision, Right, SyncOutcome};
use domain::application::{Application, Phase};
use domain::deployment::{
    self, ApplicationWatch, CommittedFact, Failure, LastWord, Overtaken, Riders, StopFact, Trouble, Turn, Waiting,
};
use domain::fault::{Cause, Changed, Fault, Passing, System};
use domain::limits;
use domain::names::{ArgoApplication, DeploymentId};
use domain::time::Timestamp;
use std::time::Duration;
use store::{Current, CurrentDeployment, Live, Rewritten, SeenApplication, StoreError};

/// How often, and how far apart, we look whether a late sync has to be repaired: a sync may take its time.
const LOOKS: u32 = 60;

/// What was known of our requests before one that Argo CD certainly did not take.
#[derive(Clone, Copy, Debug, Default)]
struct Before {
    asked: Option<Timestamp>,
    repeats: u32,
}

impl Before {
    fn of(watch: &ApplicationWatch) -> Self {
        Self { asked: watch.asked, repeats: watch.repeats }
    }

    fn restore(self, watch: &mut ApplicationWatch) {
        (watch.asked, watch.repeats) = (self.asked, self.repeats);
    }
}

/// What follows from a look.
pub(super) enum Flow {
    /// The final state is saved.
    Over,
    /// Wait for the next look, but not beyond that moment.
    Wait(Option<Timestamp>),
    /// This one is newer: look at it now.
    Now(Box<Application>),
}

impl<W: World> ApplicationFollower<'_, W> {
    /// Argo CD has just failed or is not ready: it is asked again soon.
    pub(super) fn look_soon(&self) -> Flow {
        Flow::Wait(Some(self.soon()))
    }

    /// What there is to do if it is not our turn: never an older commit after a newer one.
    pub(super) async fn not_our_turn(&self) -> Result<Option<Flow>, StoreError> {
        let (turn, current) = self.turn().await?;
        match turn {
            Turn::Ours => {
                let other = current.filter(|current| current.id != *self.id && current.over.as_ref() != Some(self.id));
                if let Some(other) = other {
                    let line = Line::error("late_turn").of(self.id).with("of", other.id.as_str());
                    self.world.log(line.with("cause", SLEPT));
                }
                Ok(None)
            }
            Turn::Undecided => Ok(Some(self.look_soon())),
            Turn::Theirs => self.superseded(current).await.map(Some),
        }
    }

    /// Whose turn it is at the application, and what says so.
    async fn turn(&self) -> Result<(Turn, Option<CurrentDeployment>), StoreError> {
        let Some(current) = store::load_key(self.world, Current(self.application)).await? else {
            return Ok((Turn::Theirs, None));
        };
        if current.id == *self.id {
            return Ok((Turn::Ours, Some(current)));
        }
        // One that comes to nothing gives the turn back to the last that has committed, and to none before that.
        if let Some(last) = current.last.clone().filter(|last| last != self.id) {
            let facts = store::load(self.world, &last).await?;
            if deployment::is_newer(&facts, &self.facts.borrow()) {
                return Ok((Turn::Theirs, Some(CurrentDeployment { id: last, ..current })));
            }
        }
        let other = store::load(self.world, &current.id).await?;
        Ok((deployment::turn(&other, &self.facts.borrow()), Some(current)))
    }

    async fn superseded(&self, by: Option<CurrentDeployment>) -> Result<Flow, StoreError> {
        let by_deployment = by.map(|current| current.id);
        self.end(LastWord::Superseded { by_deployment, by_person: None }).await
    }

    /// A rollback may take the turn from a deployment that is under way. That deployment is followed until the
    /// rollback's commit is there.
    pub(super) async fn is_replaced(&self) -> Result<bool, StoreError> {
        let (Turn::Theirs, Some(by)) = self.turn().await? else { return Ok(false) };
        let has_committed = store::load_fact::<CommittedFact>(self.world, &by.id).await?.is_some();
        if has_committed {
            self.superseded(Some(by)).await?;
        }
        Ok(has_committed)
    }

    /// Our sync waits for that of an older deployment in the same application, of whichever target. Past its deadline, or
    /// because somebody with the right to deploy there wants so, that sync is terminated.
    pub(super) async fn end_older(&self, of: &DeploymentId) -> Result<(), StoreError> {
        // Also where a rollback took the turn and came to nothing.
        if self.turn().await?.0 != Turn::Ours {
            return Ok(());
        }
        let stop: Option<StopFact> = store::load_fact(self.world, self.id).await?;
        if self.facts.borrow().stop != stop {
            self.facts.borrow_mut().stop.clone_from(&stop);
        }
        let older = store::load(self.world, of).await?;
        let is_wished = stop.is_some_and(|stop| stop.of == *of);
        let limits = &self.watch.settings.limits;
        let ours = self.facts.borrow().clone();
        if !deployment::may_terminate((&older, &ours), self.application, is_wished, self.world.now(), limits) {
            return Ok(());
        }
        let (argocd, application) = (&self.watch.settings.argocd, self.application);
        // Argo CD ends whatever runs, so the operation is looked at right before.
        let is_theirs = |app: &Application| {
            let asked = app.operation.as_ref().and_then(|operation| operation.deploy_id.as_ref());
            let runs = app.last.as_ref().and_then(|last| last.deploy_id.as_ref());
            // An operation that is being ended is not ended again.
            let phase = app.last.as_ref().map(|last| last.phase);
            asked == Some(of) && runs == Some(of) && phase == Some(Phase::Running)
        };
        let done = match argocd::get(self.world, argocd, application).await {
            Ok(app) if is_theirs(&app) => {
                self.watch.lease.ensure(limits::ASK).await?;
                argocd::terminate(self.world, argocd, application).await
            }
            Ok(_) => return Ok(()),
            Err(error) => Err(error),
        };
        let line = match done {
            Ok(()) => Line::new("terminated"),
            Err(error) => Line::error("not_terminated").with("error", format!("{error:?}").as_str()),
        };
        self.world.log(line.of(self.id).with("of", of.as_str()).with("wished", is_wished.to_string()));
        Ok(())
    }

    /// Asks for the sync of exactly our commit, if it is still our turn and the commit is still on the branch.
    pub(super) async fn ask(&self, snapshot: &Application) -> Result<Flow, StoreError> {
        self.let_riders_be_told().await;
        if let Some(flow) = self.not_our_turn().await? {
            return Ok(flow);
        }
        let revision = match self.revision(snapshot).await? {
            Ok(revision) => revision,
            Err(failure) => return self.fail(failure).await,
        };
        if revision.positions.is_some()
            && let Some(flow) = self.too_old().await?
        {
            return Ok(flow);
        }
        if self.ends() {
            return Ok(self.look_soon());
        }
        // Argo CD takes one operation at a time, and an answer of before may still come.
        if self.watch.syncs.wait(|(_, application)| application == self.application) {
            return Ok(self.look_soon());
        }
        let before = Before::of(&self.seen());
        let now = self.world.now();
        self.save(|watch| {
            if watch.asked.is_none() {
                deployment::before_sync(snapshot, self.commit.target(), watch);
            }
            if watch.taken.is_some() {
                watch.repeats = watch.repeats.saturating_add(1);
            }
            watch.asked = Some(now);
        })
        .await?;
        self.watch.lease.ensure(limits::ASK).await?;
        let (argocd, application) = (&self.watch.settings.argocd, self.application);
        let sync = argocd::sync(self.world, argocd, application, &revision, self.id);
        let about = (self.id.clone(), application.clone());
        let outcome = self.watch.syncs.make(self.world, about, sync).await;
        self.read_outcome(outcome, before).await
    }

    /// Argo CD is to sync by itself. Where it cannot, that is said; where it may not know the commit, it is told.
    pub(super) async fn wait_for_auto_sync(&self, app: &Application) -> Result<Flow, StoreError> {
        if let Some(failure) = self.revision(app).await?.err() {
            return self.fail(failure).await;
        }
        let limits = &self.watch.settings.limits;
        let (now, watch) = (self.world.now(), self.seen());
        let told = watch.refreshed.or(self.facts.borrow().committed.as_ref().map(|committed| committed.at));
        let again = if watch.refreshed.is_none() { limits.webhook_patience } else { limits.minute };
        if told.is_some_and(|told| now.since(told) < again) {
            return Ok(Flow::Wait(Some(self.after(limits.reload.min(again)))));
        }
        self.save(|watch| watch.refreshed = Some(now)).await?;
        self.compare(app, Refresh::Normal).await
    }

    /// How to sync to our commit, or why nobody can.
    async fn revision(&self, app: &Application) -> Result<Result<Revision, Failure>, StoreError> {
        let written_at = self.facts.borrow().written_at().unwrap_or_default();
        if store::load_key(self.world, Rewritten).await?.is_some_and(|rewritten| rewritten.at > written_at) {
            return Ok(Err(Failure::BranchRewritten));
        }
        let (plan, gitops) = (self.commit.target(), &self.commit.plan.gitops);
        let more = plan.reach.misses(&app.sources, app.generate_paths.as_deref(), &gitops.repo);
        if let Some(path) = more.filter(|_| plan.alone) {
            // What was seen of it before is wrong: the next deploy is not to rely on it.
            store::delete_key(self.world, SeenApplication(self.application)).await?;
            return Ok(Err(Failure::ReadsMore { path }));
        }
        Ok(argocd::which_sources(app, gitops, self.sha).ok_or(Failure::NoSource))
    }

    /// What there is to do if Argo CD cannot sync several sources to our commit. A version that cannot be read counts as new.
    async fn too_old(&self) -> Result<Option<Flow>, StoreError> {
        let known = self.watch.version.borrow().clone();
        let version = match known {
            Some(version) => version,
            None => match argocd::version(self.world, &self.watch.settings.argocd).await {
                Ok(version) => version,
                Err(ArgoError::Fault(fault)) if fault.passing() != Passing::Never => {
                    return self.trouble(ArgoError::Fault(fault), Right::Sync).await.map(Some);
                }
                Err(_) => String::new(),
            },
        };
        self.watch.version.replace(Some(version.clone()));
        if argocd::pins_sources(&version) { Ok(None) } else { self.fail(Failure::TooOld { version }).await.map(Some) }
    }

    /// Whose commits ride along is in the message before the sync, unless Slack takes too long.
    async fn let_riders_be_told(&self) {
        let any = matches!(&self.commit.target().riders, Riders::Since { commits, .. } if !commits.is_empty());
        let until = self.world.elapsed().saturating_add(limits::RIDERS_TOLD);
        let told = || self.facts.borrow().watch.as_ref().is_some_and(|watch| watch.voice.told.is_some());
        while any && !told() && !self.watch.closing.get() && self.world.elapsed() < until {
            self.world.sleep(Duration::from_millis(20)).await;
        }
    }

    /// `before`: when we had asked earlier; goes back into the fact where Argo CD certainly did not take this one.
    async fn read_outcome(&self, outcome: SyncOutcome, before: Before) -> Result<Flow, StoreError> {
        let failure = match outcome {
            SyncOutcome::Taken(snapshot) => {
                self.world.log(Line::new("sync_taken").of(self.id));
                let now = self.world.now();
                self.save(|watch| {
                    // Counted from the answer: the next events may still be older than it.
                    watch.asked = Some(now);
                    watch.note_taken(now);
                    watch.waiting = None;
                    watch.trouble = None;
                })
                .await?;
                return Ok(Flow::Now(snapshot));
            }
            SyncOutcome::InProgress => {
                let waiting = Waiting::OtherOperation { by: None, of: None, hook: None };
                return self.not_taken(before, Some(waiting)).await;
            }
            SyncOutcome::Window(_) => {
                self.not_taken(before, Some(Waiting::SyncWindow)).await?;
                // A window opens after hours, and no event says so.
                return Ok(Flow::Wait(Some(self.after(self.watch.settings.limits.reload))));
            }
            SyncOutcome::AutoSync(said) => {
                self.world.log(Line::error("auto_sync_is_on").of(self.id).with("argocd", said.as_str()));
                self.save(|watch| watch.automated = true).await?;
                return self.not_taken(before, None).await;
            }
            SyncOutcome::Unknown(fault) => {
                self.world.log(Line::error("sync_unknown").of(self.id).with_json("fault", &fault));
                let now = self.world.now();
                self.save(|watch| {
                    // Counted from here: what lies in the stream is from while we waited for the answer.
                    watch.asked = Some(now);
                    watch.trouble = None;
                    watch.waiting = Some(Waiting::ArgoCd { fault });
                })
                .await?;
                return Ok(Flow::Wait(Some(now.after(self.watch.settings.limits.look_again))));
            }
            SyncOutcome::NotTaken(error) => {
                self.save(|watch| before.restore(watch)).await?;
                return self.trouble(error, Right::Sync).await;
            }
            SyncOutcome::Deleting => Failure::Deleting,
            SyncOutcome::Refused(said) => Failure::Refused { said },
        };
        // Certainly not taken: the words say what changed by whether we had asked.
        self.save(|watch| before.restore(watch)).await?;
        self.fail(failure).await
    }

    async fn not_taken(&self, before: Before, waiting: Option<Waiting>) -> Result<Flow, StoreError> {
        self.save(|watch| {
            before.restore(watch);
            watch.waiting = waiting;
            // Argo CD gives another answer now.
            watch.trouble = None;
        })
        .await?;
        Ok(self.look_soon())
    }

    /// Argo CD did not do what was asked. A fault is waited out until the deadline. Every other error may have a passing
    /// reason, so it is final only if it lasts and Argo CD confirms it.
    pub(super) async fn trouble(&self, error: ArgoError, right: Right) -> Result<Flow, StoreError> {
        let (failure, cause) = match error {
            ArgoError::Fault(fault) => {
                // A stream that ends is normal: the next look tells whether Argo CD is well.
                if !matches!(fault.cause, Cause::Broken | Cause::TimedOut) || fault.doing != STREAM {
                    self.wait_for_argocd(fault).await?;
                }
                return Ok(if right == Right::Sync { self.look_soon() } else { Flow::Wait(None) });
            }
            ArgoError::NoRight(said) => (Failure::NoRight { said: said.clone() }, Cause::Forbidden { said }),
            ArgoError::Refused(said) => (Failure::Refused { said: said.clone() }, Cause::Said { said }),
            ArgoError::NoApplication => {
                (Failure::NoApplication, Cause::Said { said: "it knows no such application".to_owned() })
            }
            ArgoError::Unauthorized => (unauthorized(right), Cause::Unauthorized),
        };
        let (at_sync, now) = (right == Right::Sync, self.world.now());
        let known = self.seen().trouble;
        let is_same = |known: &Trouble| known.failure == failure && known.at_sync == at_sync;
        // An answer from long ago says nothing about the time between.
        let known = known.filter(|known| is_same(known) && now.since(known.last) < limits::ARGOCD_ERROR_GAP);
        let since = known.map_or(now, |known| known.since);
        let limits = &self.watch.settings.limits;
        let lasts = now.since(since) >= limits.argocd_error;
        if lasts && self.is_confirmed(&failure, right).await {
            return if at_sync { self.fail(failure).await } else { self.lost(failure).await };
        }
        self.save(|watch| watch.trouble = Some(Trouble { since, last: now, at_sync, failure })).await?;
        self.wait_for_argocd(Fault::new(System::ArgoCd, doing(right), cause)).await?;
        // What lasts may last for long: then it is asked less often.
        Ok(if lasts { Flow::Wait(Some(self.after(limits.reload))) } else { self.look_soon() })
    }

    async fn wait_for_argocd(&self, fault: Fault) -> Result<(), StoreError> {
        self.world.log(Line::error("argocd").of(self.id).with_json("fault", &fault));
        self.save(|watch| watch.waiting = Some(Waiting::ArgoCd { fault })).await
    }

    /// Whether the error is what it says. Argo CD answers these questions from its own rules, without Kubernetes.
    async fn is_confirmed(&self, failure: &Failure, right: Right) -> bool {
        let (argocd, application) = (&self.watch.settings.argocd, self.application);
        match failure {
            Failure::NoRight { .. } => argocd::may(self.world, argocd, right, application).await == Ok(false),
            Failure::Fault { .. } => argocd::is_signed_in(self.world, argocd).await == Ok(false),
            _ => true,
        }
    }

    /// Nothing more can be seen. Once our sync was requested, it may go on unseen.
    async fn lost(&self, failure: Failure) -> Result<Flow, StoreError> {
        let has_begun = self.seen().has_begun();
        self.end(if has_begun { LastWord::Lost { failure } } else { LastWord::Failed { failure } }).await
    }

    /// The deployment failed, for good.
    pub(super) async fn fail(&self, failure: Failure) -> Result<Flow, StoreError> {
        self.end(LastWord::Failed { failure }).await
    }
}

/// Asks for the newer commit again if this deployment's sync came after it: the watch has lost its lease while it asked.
///
/// It holds no lease and writes to no key. A request to sync a commit in the name of its own deployment is
/// the same from every process, so it does no harm when two of them repair the same.
pub(crate) async fn mend_sync<W: World>(
    world: &W,
    settings: &SyncPollerSettings,
    id: &DeploymentId,
    application: &ArgoApplication,
) {
    let mut late = id.clone();
    for _ in 0..LOOKS {
        match look_at_late(world, settings, &late, application).await {
            Ok(Overtaken::No) => return,
            Ok(Overtaken::Wait) => {}
            Ok(Overtaken::By(newer)) => {
                world.log(Line::error("late_sync").of(&late).with("newer", newer.as_str()).with("cause", SLEPT));
                if ask_again(world, settings, &newer, application).await {
                    // From now on this one may have come late: we hold no lease.
                    late = newer;
                }
            }
            Err(error) => world.log(Line::error("late_sync_unknown").of(&late).with("cause", error.why())),
        }
        world.sleep(limits::LATE_SYNC_AGAIN).await;
    }
    world.log(Line::error("late_sync_not_mended").of(&late));
}

async fn look_at_late<W: World>(
    world: &W,
    settings: &SyncPollerSettings,
    id: &DeploymentId,
    application: &ArgoApplication,
) -> Result<Overtaken, StoreError> {
    let facts = store::load(world, id).await?;
    let Some(commit) = &facts.commit else { return Ok(Overtaken::No) };
    let target = &commit.target().target;
    let current = store::load_key(world, Current(application)).await?;
    // Of whichever target: its sync brings our version, too, and ours takes its version away.
    let newest = current.into_iter().flat_map(|current| [Some(current.id), current.last]).flatten();
    let live = store::load_key(world, Live(target)).await?.map(|live| live.id);
    let mut others = Vec::new();
    for other in newest.chain(live).filter(|other| other != id) {
        let facts = store::load(world, &other).await?;
        others.push((other, facts));
    }
    let rewritten = store::load_key(world, Rewritten).await?.map(|rewritten| rewritten.at);
    // Argo CD last: what it shows is newer than what we know.
    match argocd::get(world, &settings.argocd, application).await {
        Ok(app) => Ok(deployment::overtaken((id, &facts), &others, rewritten, (application, &app))),
        Err(ArgoError::NoApplication) => Ok(Overtaken::No),
        Err(_) => Err(StoreError::Failed("Argo CD did not say")),
    }
}

/// The same ask that a watch would make for it. Says whether it may have been taken.
async fn ask_again<W: World>(
    world: &W,
    settings: &SyncPollerSettings,
    id: &DeploymentId,
    application: &ArgoApplication,
) -> bool {
    let Ok(facts) = store::load(world, id).await else { return false };
    let Some((committed, commit)) = facts.committed.as_ref().zip(facts.commit.as_ref()) else { return false };
    let Ok(app) = argocd::get(world, &settings.argocd, application).await else { return false };
    let sources = argocd::which_sources(&app, &commit.plan.gitops, &committed.sha);
    let Some(revision) = sources else { return false };
    matches!(
        argocd::sync(world, &settings.argocd, application, &revision, id).await,
        SyncOutcome::Taken(_) | SyncOutcome::Unknown(_)
    )
}

fn doing(right: Right) -> &'static str {
    match right {
        Right::Get => STREAM,
        Right::Sync => "ask Argo CD for the sync",
    }
}

fn unauthorized(right: Right) -> Failure {
    Failure::Fault { fault: Fault::new(System::ArgoCd, doing(right), Cause::Unauthorized).changed(Changed::Yes) }
}
