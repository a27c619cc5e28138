//! One deployment in a watch: from its facts to the sync of exactly its commit, and until people are told its final state.
//!
//! What to do is decided in [`deployment::next`] from the facts alone, and what a look at Argo CD means in [`deployment::step`].
//! Here it is done: save first, then ask; save first, then speak. Argo CD is followed and the message edited at the same time.

use super::ask::Flow;
use super::follower::{Ended, Follower, Nudges, WatchSpeaker};
use super::looks::{Look, Looks};
use super::{SLEPT, Watch, seen};
use crate::world::{Line, World, within};
use clients::argocd::{self, ArgoError, Right};
use domain::application::{Application, Pod, what_holds};
use domain::deployment::{self, CommitFact, CommittedFact, LookFact, Next, Progress, Step, View, Waiting, WatchFact};
use domain::limits::{self, Limits};
use domain::names::{CommitSha, DeploymentId};
use futures::channel::mpsc;
use futures::future::{Either, join, select};
use futures::stream::StreamExt;
use std::pin::pin;
use std::time::Duration;
use store::StoreError;

/// Says that there may be something new to tell.
type Changes = mpsc::UnboundedReceiver<()>;

/// Follows one deployment until its end is told, or the watch closes.
pub(crate) async fn follow<W: World>(watch: &Watch<'_, W>, id: &DeploymentId, nudges: Nudges) -> Ended {
    let follower = Follower::new(watch, id, nudges);
    loop {
        match follower.run().await {
            Ok(ended) => return ended,
            Err(error) => {
                watch.world.log(Line::error("not_followed").of(id).with("cause", error.why()));
                if error.is_unreadable() {
                    return Ended::NothingLeft;
                }
            }
        }
        watch.world.sleep(limits::FOLLOW_AGAIN).await;
        if watch.closing.get() {
            return Ended::GoesOn;
        }
    }
}

impl<W: World> Follower<'_, W> {
    async fn run(&self) -> Result<Ended, StoreError> {
        let (speaker, limits) = (self.speaker(), &self.watch.settings.limits);
        loop {
            self.reload().await?;
            let is_unseen = self.look_if_asked().await?;
            let next = deployment::next(&self.facts.borrow(), self.world.now(), limits);
            match next {
                Next::LeaveAlone => {
                    if self.facts.borrow().end_is_told() {
                        // The same click came again after the end.
                        self.leave_flight().await?;
                    }
                    return Ok(Ended::NothingLeft);
                }
                Next::WaitUntil(moment) => {
                    let committed = self.facts.borrow().committed.is_some();
                    let again = if committed { self.tell(&speaker, false).await } else { None };
                    // All facts are read before words are told again, so not too soon.
                    let again = again.map(|again| self.after(again.max(limits.edit_gap)));
                    let again = again.or(is_unseen.then(|| self.soon()));
                    self.wait(again.map_or(moment, |again| moment.min(again))).await;
                }
                Next::Say(word) => self.save_outcome(word).await?,
                Next::Tell => loop {
                    let Some(again) = self.tell(&speaker, true).await else {
                        self.leave_flight().await?;
                        return Ok(Ended::NothingLeft);
                    };
                    // Many may wait for their turn: without news they tell what they know, and do not read it again.
                    if self.wait(self.after(again)).await || self.watch.closing.get() {
                        break;
                    }
                },
                Next::Sync { refresh } => self.sync(&speaker, refresh).await?,
            }
            if self.watch.closing.get() {
                return Ok(Ended::GoesOn);
            }
        }
    }

    /// Before its commit a deployment may want a fresh look at its application.
    /// Says whether Argo CD has to be asked again.
    async fn look_if_asked(&self) -> Result<bool, StoreError> {
        if self.facts.borrow().watch_speaks() || self.facts.borrow().end.is_some() {
            return Ok(false);
        }
        let look: Option<LookFact> = store::load_fact(self.world, self.id).await?;
        let Some(look) = look.filter(|look| self.looked.get() != Some(look.at)) else { return Ok(false) };
        let is_seen = seen::look_at(self.watch, &look.application).await?;
        if is_seen {
            self.looked.set(Some(look.at));
        }
        Ok(!is_seen)
    }

    /// The end is posted. A deployment that never had a target is in no ring yet. Rings are
    /// slack-command's, which puts that deployment into one and removes it from what is in flight.
    async fn leave_flight(&self) -> Result<(), StoreError> {
        let had_target = self.facts.borrow().commit.is_some();
        if had_target { store::leave_flight(self.world, self.id).await } else { Ok(()) }
    }

    /// Follows Argo CD to the final state, or until the watch closes.
    async fn sync(&self, speaker: &WatchSpeaker<'_, '_, W>, refresh: bool) -> Result<(), StoreError> {
        let (changed, changes) = mpsc::unbounded();
        join(self.observe(refresh, changed), self.tell_changes(speaker, changes)).await.0
    }

    /// Words that have to wait do not hold up newer words.
    async fn tell_changes(&self, speaker: &WatchSpeaker<'_, '_, W>, mut changes: Changes) {
        while changes.next().await.is_some() {
            let mut wait = Duration::ZERO;
            while still_changes(self.world, &mut changes, wait).await {
                match self.tell(speaker, false).await {
                    Some(again) => wait = again,
                    None => break,
                }
            }
        }
    }

    /// Nothing changes any more when this has ended.
    async fn observe(&self, refresh: bool, changed: mpsc::UnboundedSender<()>) -> Result<(), StoreError> {
        let committed = self.facts.borrow().committed.clone();
        let Some(CommittedFact { sha, commit, .. }) = committed else { return Ok(()) };
        let signal = || drop(changed.unbounded_send(()));
        signal();
        if refresh {
            self.tell_argocd(&commit).await;
        }
        let mut looks = Looks::new(self, &commit);
        loop {
            match looks.next().await {
                Look::Over => return Ok(()),
                Look::Nudge => self.reload_for_message().await?,
                Look::Failed(error) => {
                    if let Flow::Over = self.trouble(error, Right::Get).await? {
                        return Ok(());
                    }
                }
                Look::App { mut app, mut asked } => loop {
                    let flow = self.handle((&commit, &sha), &app, asked).await?;
                    signal();
                    match flow {
                        Flow::Over => return Ok(()),
                        Flow::Wait(until) => {
                            looks.ask_at = until;
                            break;
                        }
                        Flow::Now(newer) => {
                            looks.begin_anew();
                            (app, asked) = (newer, true);
                        }
                    }
                },
            }
            signal();
        }
    }

    /// No webhook was relayed, so Argo CD may not know the commit. The sync itself does not need that: what is wrong
    /// shows at the next look.
    async fn tell_argocd(&self, commit: &CommitFact) {
        let (argocd, application) = (&self.watch.settings.argocd, commit.target().application());
        if let Err(ArgoError::Fault(fault)) = argocd::refresh(self.world, argocd, application, limits::ASK).await {
            self.world.log(Line::error("not_refreshed").of(self.id).with_json("fault", &fault));
        }
    }

    /// One look, in the light of what we asked for. `asked`: it is Argo CD's answer and not from a stream, which may be
    /// behind.
    async fn handle(
        &self,
        (commit, sha): (&CommitFact, &CommitSha),
        app: &Application,
        asked: bool,
    ) -> Result<Flow, StoreError> {
        if self.is_replaced(commit).await? {
            return Ok(Flow::Over);
        }
        let (now, limits) = (self.world.now(), &self.watch.settings.limits);
        let mut fact = self.facts.borrow().watch.clone().unwrap_or_default();
        // Argo CD shows the application again.
        fact.trouble = fact.trouble.filter(|trouble| trouble.at_sync);
        let mut step = self.decide(commit, app, &mut fact).await;
        if let Step::Follow(progress) = &mut step {
            let told = fact.progress.as_ref().map(|progress| progress.holds.clone()).unwrap_or_default();
            let pod = self.what_holds(commit, told).await;
            if !pod.is_empty() {
                progress.holds = pod;
            }
        }
        match &step {
            Step::Wait(waiting) => fact.waiting = waiting.clone(),
            Step::Follow(progress) | Step::Refresh(progress) => {
                fact.waiting = None;
                fact.progress = Some(progress.clone());
            }
            _ => {}
        }
        let before = fact.asked;
        self.save(|watch| watch.seen(fact)).await?;
        match step {
            // Not a second time because of what may be old news.
            Step::Ask if before.is_some() && !asked => Ok(Flow::Wait(Some(now))),
            Step::Ask => self.ask(commit, sha, app).await,
            Step::Wait(Some(Waiting::OtherOperation { of: Some(of), .. })) => {
                self.end_older(commit, &of).await?;
                Ok(self.look_soon())
            }
            Step::Wait(Some(Waiting::AutoSync { .. })) => self.wait_for_auto_sync(commit, sha, app).await,
            // Events tell when it changes; should one be lost, look by ourselves.
            Step::Wait(_) => Ok(Flow::Wait(Some(self.after(limits.reload)))),
            Step::LookAgainAt(moment) => Ok(Flow::Wait(Some(moment))),
            Step::Follow(progress) => Ok(Flow::Wait(Some(now.after(follow_again(&progress, limits))))),
            Step::Refresh(_) => self.compare(commit).await,
            Step::Superseded { by } => {
                if let Some(flow) = self.not_our_turn(commit).await? {
                    return Ok(flow);
                }
                if app.operation.is_some() || !asked {
                    return Ok(self.look_soon());
                }
                let line = Line::error("late_sync").of(&by).with("newer", self.id.as_str());
                self.world.log(line.with("cause", SLEPT));
                self.ask(commit, sha, app).await
            }
            // Decided with the Pods already.
            Step::LookAtPods => Ok(self.look_soon()),
            Step::Over(word) => {
                self.save_outcome(word).await?;
                Ok(Flow::Over)
            }
        }
    }

    /// Why it takes so long: looked at now and then, and never for long. A Pod's change sends no event of the
    /// application.
    async fn what_holds(&self, commit: &CommitFact, told: String) -> String {
        let (now, known) = (self.world.elapsed(), self.held.borrow().clone());
        // An ordinary rollout is over before the first look.
        let (looked_at, holds) = known.unwrap_or((now, told));
        if now.saturating_sub(looked_at) < self.watch.settings.limits.pods {
            self.held.replace(Some((looked_at, holds.clone())));
            return holds;
        }
        let (argocd, application) = (&self.watch.settings.argocd, commit.target().application());
        let pods = within(self.world, limits::PODS_LIMIT, argocd::pods(self.world, argocd, application)).await;
        let tag = commit.target().tag.as_str();
        let holds = match pods {
            Some(Ok(mut pods)) => {
                // Those of another target hold nothing of ours up.
                let ours = commit.target().ours();
                pods.retain(|pod| !ours.is_anothers(&pod.images));
                what_holds(&pods, tag).unwrap_or_default()
            }
            _ => holds,
        };
        self.held.replace(Some((now, holds.clone())));
        holds
    }

    /// What the look means. A healthy application is worth a look at its Pods.
    async fn decide(&self, commit: &CommitFact, app: &Application, fact: &mut WatchFact) -> Step {
        let facts = self.facts.borrow().clone();
        let view = View {
            id: self.id,
            facts: &facts,
            app,
            pods: None,
            now: self.world.now(),
            limits: &self.watch.settings.limits,
        };
        let step = deployment::step(view, fact);
        if step != Step::LookAtPods {
            return step;
        }
        let (argocd, application) = (&self.watch.settings.argocd, commit.target().application());
        let pods = match argocd::pods(self.world, argocd, application).await {
            Ok(pods) => {
                fact.pods_unseen = None;
                pods
            }
            Err(error) => {
                self.world.log(Line::error("no_pods").of(self.id).with("error", format!("{error:?}").as_str()));
                let since = *fact.pods_unseen.get_or_insert(view.now);
                let lasts = view.now.since(since) >= view.limits.argocd_error;
                // The Pods may run another version. Where they were seen to, no failed look takes that back.
                if !lasts || (fact.doubts_image && fact.degraded_since.is_some()) {
                    return Step::LookAtPods;
                }
                // The application names the images of its Pods, too: less exactly, because Pods of Jobs are among them. So
                // what was applied counts alone, where Argo CD says it.
                let says_applied = app.last.as_ref().is_some_and(|last| !last.applied_images().is_empty());
                vec![Pod { images: app.images.clone(), runs: !says_applied, ..Pod::default() }]
            }
        };
        deployment::step(View { pods: Some(&pods), ..view }, fact)
    }

    /// Has Argo CD compare what runs with the commit.
    pub(super) async fn compare(&self, commit: &CommitFact) -> Result<Flow, StoreError> {
        let (argocd, application) = (&self.watch.settings.argocd, commit.target().application());
        match argocd::refresh(self.world, argocd, application, limits::ASK).await {
            Ok(newer) => Ok(Flow::Now(Box::new(newer))),
            Err(error) => match self.trouble(error, Right::Get).await? {
                Flow::Over => Ok(Flow::Over),
                _ => Ok(self.look_soon()),
            },
        }
    }
}

/// When to look by ourselves. After the sync's end a comparison may be due that nobody announces. A Pod that holds up the
/// sync itself sends no event.
fn follow_again(progress: &Progress, limits: &Limits) -> Duration {
    match (progress.synced, progress.health.is_empty()) {
        (true, true) => limits::REFRESH_AFTER,
        (true, false) => limits::SYNCED_AGAIN,
        (false, _) => limits.pods,
    }
}

/// Waits for so long, and takes in what changes meanwhile. False at once when nothing changes any more: the final state is told by its own
/// step, and words that come before it are then neither worth a call nor a reason to wait.
async fn still_changes(world: &impl World, changes: &mut Changes, wait: Duration) -> bool {
    let mut timer = pin!(world.sleep(wait));
    loop {
        match select(changes.next(), timer.as_mut()).await {
            Either::Left((Some(()), _)) => {}
            Either::Left((None, _)) => return false,
            Either::Right(_) => return true,
        }
    }
}
