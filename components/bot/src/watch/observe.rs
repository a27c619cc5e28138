//! One Argo CD application of a deployment in a watch: what a look at it means is decided in [`deployment::step`], and done here and in
//! [`super::ask`]. Save first, then ask.

use super::ask::Flow;
use super::follower::{Follower, Nudges};
use super::looks::{Look, Looks};
use super::{SLEPT, Watch};
use crate::world::{Line, World, within};
use clients::argocd::{self, ArgoError, Refresh, Right};
use domain::application::{Application, Pod, what_holds};
use domain::deployment::{
    self, ApplicationWatch, CommitFact, Facts, LastWord, Progress, Rendering, Step, View, Waiting, WatchFact,
};
use domain::limits::{self, Limits};
use domain::names::{ArgoApplication, CommitSha, DeploymentId};
use domain::time::Timestamp;
use futures::channel::mpsc;
use futures::future::{Either, select};
use futures::stream::StreamExt;
use std::cell::RefCell;
use std::pin::pin;
use std::time::Duration;
use store::StoreError;

/// Follows one deployment at one of its applications.
pub(super) struct ApplicationFollower<'f, W> {
    pub(super) follower: &'f Follower<'f, W>,
    pub(super) watch: &'f Watch<'f, W>,
    pub(super) world: &'f W,
    pub(super) id: &'f DeploymentId,
    pub(super) facts: &'f RefCell<Facts>,
    pub(super) commit: &'f CommitFact,
    pub(super) sha: &'f CommitSha,
    /// Its place in the plan.
    place: usize,
    pub(super) application: &'f ArgoApplication,
    news: futures::lock::Mutex<Nudges>,
    /// When the Pods were looked at, and what holds the rollout up.
    held: RefCell<Option<(Duration, String)>>,
}

impl<'f, W: World> ApplicationFollower<'f, W> {
    pub(super) fn new(
        follower: &'f Follower<'f, W>,
        (commit, sha): (&'f CommitFact, &'f CommitSha),
        (place, application): (usize, &'f ArgoApplication),
        news: Nudges,
    ) -> Self {
        let Follower { watch, world, id, facts, .. } = follower;
        let (news, held) = (futures::lock::Mutex::new(news), RefCell::default());
        Self { follower, watch, world, id, facts, commit, sha, place, application, news, held }
    }

    /// What was done and seen here.
    pub(super) fn seen(&self) -> ApplicationWatch {
        self.facts.borrow().watch.as_ref().map(|watch| watch.at(self.place)).unwrap_or_default()
    }

    /// Changes what was done and seen here, and saves it.
    pub(super) async fn save(&self, change: impl FnOnce(&mut ApplicationWatch)) -> Result<(), StoreError> {
        let change = |watch: &mut WatchFact| {
            let mut here = watch.at(self.place);
            change(&mut here);
            if here != watch.at(self.place) {
                watch.set(self.place, here);
            }
        };
        self.follower.save(change).await
    }

    /// It is over here. Unless that is the last word on the deployment, the other applications are still followed.
    pub(super) async fn end(&self, word: LastWord) -> Result<Flow, StoreError> {
        let mut facts = self.facts.borrow().clone();
        let mut watch = facts.watch.unwrap_or_default();
        watch.set(self.place, ApplicationWatch { over: Some(word.clone()), ..watch.at(self.place) });
        facts.watch = Some(watch);
        match deployment::all_said(&facts) {
            Some(said) => {
                self.follower.save_outcome(said).await?;
                self.follower.stop();
            }
            None => self.save(|watch| watch.over = Some(word)).await?,
        }
        Ok(Flow::Over)
    }

    /// When Argo CD is asked again that has just failed or is not ready.
    pub(super) fn soon(&self) -> Timestamp {
        self.follower.soon()
    }

    /// A moment that is so far away.
    pub(super) fn after(&self, duration: Duration) -> Timestamp {
        self.follower.after(duration)
    }

    /// The deployment is over, or the watch closes.
    pub(super) fn ends(&self) -> bool {
        self.follower.over.get() || self.watch.closing.get()
    }

    /// Waits for this, but not beyond a moment or a nudge.
    pub(super) async fn wait_for<T>(&self, work: impl Future<Output = T>, moment: Timestamp) -> Option<T> {
        let mut news = self.news.lock().await;
        let until = within(self.world, deployment::until(moment, self.world.now()), news.next());
        match select(pin!(work), pin!(until)).await {
            Either::Left((done, _)) => Some(done),
            Either::Right(_) => None,
        }
    }

    /// Until it is over here, or the watch closes.
    pub(super) async fn observe(&self, refresh: bool, changed: mpsc::UnboundedSender<()>) -> Result<(), StoreError> {
        let signal = || drop(changed.unbounded_send(()));
        signal();
        if refresh && self.seen().over.is_none() {
            self.tell_argocd().await;
        }
        let mut looks = Looks::new(self);
        while self.seen().over.is_none() {
            match looks.next().await {
                Look::Over => {
                    self.follower.stop();
                    return Ok(());
                }
                Look::Nudge => self.follower.reload_for_message().await?,
                Look::Failed(error) => {
                    if let Flow::Over = self.trouble(error, Right::Get).await? {
                        return Ok(());
                    }
                }
                Look::App { mut app, mut asked } => loop {
                    let flow = self.handle(&app, asked).await?;
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
        Ok(())
    }

    /// No webhook was relayed, so Argo CD may not know the commit. The sync itself does not need that: what is wrong
    /// shows at the next look.
    async fn tell_argocd(&self) {
        let (argocd, application) = (&self.watch.settings.argocd, self.application);
        if let Err(ArgoError::Fault(fault)) =
            argocd::refresh(self.world, argocd, application, Refresh::Normal, limits::ASK).await
        {
            self.world.log(Line::error("not_refreshed").of(self.id).with_json("fault", &fault));
        }
    }

    /// One look, in the light of what we asked for. `asked`: it is Argo CD's answer and not from a stream, which may be
    /// behind.
    async fn handle(&self, app: &Application, asked: bool) -> Result<Flow, StoreError> {
        if self.is_replaced().await? {
            return Ok(Flow::Over);
        }
        let (now, limits) = (self.world.now(), &self.watch.settings.limits);
        let mut fact = self.seen();
        // Argo CD shows the application again.
        fact.trouble = fact.trouble.filter(|trouble| trouble.at_sync);
        let mut step = self.decide(app, &mut fact).await;
        if let Step::Follow(progress) = &mut step {
            let told = fact.progress.as_ref().map(|progress| progress.holds.clone()).unwrap_or_default();
            let pod = self.what_holds(told).await;
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
        self.save(|watch| *watch = fact).await?;
        match step {
            // Not a second time because of what may be old news.
            Step::Ask if before.is_some() && !asked => Ok(Flow::Wait(Some(now))),
            Step::Ask => self.ask(app).await,
            Step::Wait(Some(Waiting::OtherOperation { of: Some(of), .. })) => {
                self.end_older(&of).await?;
                Ok(self.look_soon())
            }
            Step::Wait(Some(Waiting::AutoSync { .. })) => self.wait_for_auto_sync(app).await,
            // Events tell when it changes; should one be lost, look by ourselves.
            Step::Wait(_) => Ok(Flow::Wait(Some(self.after(limits.reload)))),
            Step::LookAgainAt(moment) => Ok(Flow::Wait(Some(moment))),
            Step::Follow(progress) => Ok(Flow::Wait(Some(now.after(follow_again(&progress, limits))))),
            Step::Refresh(_) => self.compare(app, Refresh::Normal).await,
            Step::Render => self.compare(app, Refresh::Hard).await,
            Step::Superseded { by } => {
                if let Some(flow) = self.not_our_turn().await? {
                    return Ok(flow);
                }
                if app.operation.is_some() || !asked {
                    return Ok(self.look_soon());
                }
                let line = Line::error("late_sync").of(&by).with("newer", self.id.as_str());
                self.world.log(line.with("cause", SLEPT));
                self.ask(app).await
            }
            // Decided with the Pods already.
            Step::LookAtPods => Ok(self.look_soon()),
            Step::Over(word) => self.end(word).await,
        }
    }

    /// Why it takes so long: looked at now and then, and never for long. A Pod's change sends no event of the
    /// application.
    async fn what_holds(&self, told: String) -> String {
        let (now, known) = (self.world.elapsed(), self.held.borrow().clone());
        // An ordinary rollout is over before the first look.
        let (looked_at, holds) = known.unwrap_or((now, told));
        if now.saturating_sub(looked_at) < self.watch.settings.limits.pods {
            self.held.replace(Some((looked_at, holds.clone())));
            return holds;
        }
        let (argocd, application) = (&self.watch.settings.argocd, self.application);
        let pods = within(self.world, limits::PODS_LIMIT, argocd::pods(self.world, argocd, application)).await;
        let tag = self.commit.target().tag.as_str();
        let holds = match pods {
            Some(Ok(mut pods)) => {
                // Those of another target hold nothing of ours up.
                let ours = self.commit.target().ours();
                pods.retain(|pod| !ours.is_anothers(&pod.images));
                what_holds(&pods, tag).unwrap_or_default()
            }
            _ => holds,
        };
        self.held.replace(Some((now, holds.clone())));
        holds
    }

    /// What the look means. A healthy application is worth a look at its Pods.
    async fn decide(&self, app: &Application, fact: &mut ApplicationWatch) -> Step {
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
        let (argocd, application) = (&self.watch.settings.argocd, self.application);
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

    /// Waits until a plain look shows a newer comparison. After an outage of Kubernetes, Argo CD's server may not notice that the
    /// controller has long done what it was asked for, and holds the answer back.
    async fn is_compared(&self, app: &Application, how: Refresh) -> Application {
        let (argocd, application) = (&self.watch.settings.argocd, self.application);
        loop {
            self.world.sleep(limits::LOOK_BESIDE).await;
            // Only its own answer tells of a hard refresh.
            if how == Refresh::Normal
                && let Ok(newer) = argocd::get(self.world, argocd, application).await
                && newer.reconciled > app.reconciled
            {
                return newer;
            }
        }
    }

    /// Has Argo CD compare what runs with the commit.
    pub(super) async fn compare(&self, app: &Application, how: Refresh) -> Result<Flow, StoreError> {
        let (argocd, application) = (&self.watch.settings.argocd, self.application);
        let refresh = argocd::refresh(self.world, argocd, application, how, limits::ASK);
        let refreshed = match select(pin!(refresh), pin!(self.is_compared(app, how))).await {
            Either::Left((refreshed, _)) => refreshed,
            Either::Right((newer, _)) => Ok(newer),
        };
        match refreshed {
            Ok(newer) => {
                if how == Refresh::Hard {
                    self.save(|watch| watch.rendering = Some(Rendering::Done)).await?;
                }
                Ok(Flow::Now(Box::new(newer)))
            }
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
