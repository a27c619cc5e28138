//! Hand over: save the commit, and wake the watch until the deployment has its last word. Beside that, GitHub
//! learns of the deploy, for the pull request to show.
//!
//! # The pull request shows where it is live
//!
//! After the commit we report to GitHub that there is a deploy, that it is on its way, and how it ended.
//!
//! The reports are a courtesy, not a promise. They are made beside the guarding, so they hold nothing up, and
//! nothing is decided by them. Commits come first: GitHub counts both against one limit, so the reports keep
//! to a small pace of their own, and pause for a minute when GitHub says that there are too many. Each step
//! is saved in the fact `github` and can be done twice. If GitHub's deployment was asked for without an
//! answer, it is looked for before another is made; the same status again changes nothing. Two guardians, one
//! of which slept through its lease, may make two.
//!
//! A guardian that dies is replaced while the deployment is in flight, see [`super::resume`]. If the
//! deployment is no longer in flight, or if GitHub is not well for longer than [`AFTERWARDS`], the last
//! report stays: the pull request says "in progress" of a deploy that is long over.
//!
//! Nothing wakes the guardian for the last word. It looks for the word every few seconds anyway, and a report
//! that comes some seconds late is not worth a second way into the component that may write to Git.

use super::{Run, carry_out, itself, turn, versions};
use crate::context::Stop;
use crate::world::{Line, World};
use clients::github::{self, DeploymentStatus, NewDeployment};
use domain::deployment::{
    ApplicationWatch, ChangesFact, CommitFact, CommittedFact, Facts, GitHubFact, LastWord, OutcomeFact, RequestFact,
};
use domain::fault::{Cause, Fault};
use domain::limits::{self, Limits};
use domain::message;
use domain::names::CommitSha;
use domain::time::Timestamp;
use futures::channel::oneshot;
use futures::future::{Either, join, pending, select};
use std::pin::{Pin, pin};
use std::time::Duration;
use store::Urgency;

/// At most this many calls may fail, one after the other. Each wait between them is four times as long as the
/// one before.
const TRIES: u8 = 3;
/// For how many of GitHub's minutes after the end we try to report that end.
const AFTERWARDS: u32 = 2;

/// What came of a report to GitHub.
enum Shown {
    /// GitHub knows.
    Yes,
    /// Not yet; perhaps later.
    NotYet,
    /// There will be no further report.
    Never,
}

/// Until this moment a process has to see to it that a committed deployment is watched. The watch ends the
/// deployment before, at its deadline, which is later once Argo CD has taken the sync.
pub(crate) fn guarded_until(facts: &Facts, limits: &Limits) -> Option<Timestamp> {
    let rollout = facts.commit.as_ref()?.target().deadline;
    let until = |watch: ApplicationWatch| {
        let rollout = if watch.taken.is_some() { Duration::ZERO } else { rollout };
        Some(facts.deadline_of(&watch, limits)?.after(rollout).after(Duration::from_secs(120)))
    };
    facts.applications().into_iter().filter_map(|(_, watch)| until(watch)).max()
}

impl<W: World> Run<'_, W> {
    /// Saves `committed`, and wakes the watch, which takes over. No lease is checked: the commit is on the
    /// branch, whichever process saves that.
    pub(super) async fn committed(&self, facts: &mut Facts, sha: CommitSha, reused: bool) -> Result<(), Stop> {
        if facts.has_parts() {
            self.parts_committed(facts, &sha).await?;
        }
        self.one_committed(facts, sha, reused).await
    }

    /// The same of one deployment.
    pub(super) async fn one_committed(&self, facts: &mut Facts, sha: CommitSha, reused: bool) -> Result<(), Stop> {
        let (world, id) = (self.cx.world, self.cx.id);
        let Some(commit) = facts.commit.clone() else { return Err(Stop::Leave("there is no plan")) };
        let fact = CommittedFact { sha, at: world.now(), reused, commit: Box::new(commit) };
        // Before `committed`: after a crash in between, the next resume does both again, and nobody deploys
        // the broken version.
        if !facts.has_parts() {
            turn::after_rollback(self, facts).await?;
            turn::remember_image(self, fact.commit.target()).await?;
        }
        self.handover.hand_over().await;
        store::save_fact(world, id, &fact).await?;
        world.log(Line::new("committed").of(id).with("sha", fact.sha.as_str()).with("reused", reused));
        facts.committed = Some(fact);
        if let Some(request) = &facts.request {
            // Once more: another process may have ended this deployment by mistake and removed its id.
            let _ = store::add_in_flight(world, id, request.at).await;
        }
        if store::announce(world, id).await == Ok(0) {
            world.log(Line::error("nobody_watches").of(id));
        }
        Ok(())
    }

    /// Saves what is new in the version, for the message. The deploy does not wait for that.
    pub(super) async fn compare(&self, facts: &Facts) {
        if !facts.has_parts() && self.new_in_it(facts).await.is_some() {
            let _ = store::announce(self.cx.world, self.cx.id).await;
        }
    }

    /// What is new in the version, once it is saved.
    pub(super) async fn new_in_it(&self, facts: &Facts) -> Option<ChangesFact> {
        let plan = facts.plan().filter(|_| facts.changes.is_none())?;
        let changes = versions::changes(&self.cx, plan).await?;
        self.lease.ensure(limits::WRITE).await.ok()?;
        store::save_fact(self.cx.world, self.cx.id, &changes).await.ok()?;
        Some(changes)
    }

    /// Wakes the watch again until the last word is posted, or until [`guarded_until`]. Beside that, reports
    /// to GitHub.
    pub(super) async fn guard(&self, facts: &Facts) -> Result<(), Stop> {
        if !facts.has_parts() {
            return self.guard_one(facts).await;
        }
        let Some(until) = guarded_until(facts, &self.cx.settings.limits) else { return Ok(()) };
        let (ended, _last_word) = oneshot::channel();
        join(self.guard_parts(facts), self.keep_watched(until, ended)).await.1
    }

    pub(super) async fn guard_one(&self, facts: &Facts) -> Result<(), Stop> {
        let Some((commit, until)) = facts.commit.as_ref().zip(guarded_until(facts, &self.cx.settings.limits)) else {
            return Ok(());
        };
        let (ended, last_word) = oneshot::channel();
        join(self.keep_watched(until, ended), self.show(commit, until, last_word)).await.0
    }

    /// The last word is handed to `ended` as soon as it is seen.
    async fn keep_watched(&self, until: Timestamp, ended: oneshot::Sender<LastWord>) -> Result<(), Stop> {
        let mut ended = Some(ended);
        while self.cx.world.now() < until {
            self.cx.world.sleep(self.cx.settings.limits.guardian).await;
            let outcome = store::load_fact::<OutcomeFact>(self.cx.world, self.cx.id).await;
            if let Ok(Some(outcome)) = outcome {
                let _ = ended.take().map(|ended| ended.send(outcome.word));
                if let Ok(facts) = store::load(self.cx.world, self.cx.id).await
                    && let Some(request) = &facts.request
                {
                    if facts.end_is_told() {
                        return self.ended(&facts).await;
                    }
                    // A late write may have taken back that the last word is posted, when the deployment was
                    // no longer in flight: then it is posted once more.
                    let _ = store::add_in_flight(self.cx.world, self.cx.id, request.at).await;
                }
            }
            if store::is_held(self.cx.world, "watch").await == Ok(false) {
                let _ = store::wake(self.cx.world).await;
            }
        }
        Ok(())
    }

    /// The last word is posted, and nothing is left to guard. What is taken back without being asked is begun here.
    async fn ended(&self, facts: &Facts) -> Result<(), Stop> {
        let (world, settings) = (self.cx.world, self.cx.settings);
        let back = if facts.goes_back() { itself::go_back(world, settings, self.cx.id).await? } else { None };
        // The same click may have come again after the end, and is in flight since.
        store::leave_flight(world, self.cx.id).await?;
        if let Some(back) = back {
            // In a box, because it is what this is a part of.
            let carried: Pin<Box<dyn Future<Output = ()> + '_>> = Box::pin(carry_out(world, settings, &back));
            carried.await;
        }
        Ok(())
    }

    /// Reports to GitHub, as far as the pace allows, until GitHub knows how the deploy ended.
    async fn show(&self, commit: &CommitFact, until: Timestamp, mut ended: oneshot::Receiver<LastWord>) {
        if !self.cx.settings.github_deployments {
            return;
        }
        let Ok(fact) = store::load_fact::<GitHubFact>(self.cx.world, self.cx.id).await else { return };
        let (mut fact, mut until, mut last) = (fact.unwrap_or_default(), until, None);
        loop {
            let shown = match self.show_now(commit, &mut fact, last.as_ref()).await {
                Ok(shown) => shown,
                Err(fault) => self.not_shown(&mut fact, fault).await,
            };
            let wait = self.cx.settings.limits.guardian.saturating_mul(4_u32.saturating_pow(fact.failed.into()));
            let again = async {
                match shown {
                    Shown::NotYet => self.cx.world.sleep(wait).await,
                    Shown::Yes | Shown::Never => pending().await,
                }
            };
            match (&shown, &last) {
                (Shown::Never, _) | (Shown::Yes, Some(_)) => return,
                (_, Some(_)) if self.cx.world.now() >= until => return,
                (_, Some(_)) => again.await,
                (_, None) => match select(&mut ended, pin!(again)).await {
                    Either::Left((Ok(word), _)) => {
                        last = Some(word);
                        let afterwards = self.cx.settings.limits.minute.saturating_mul(AFTERWARDS);
                        until = until.min(self.cx.world.now().after(afterwards));
                    }
                    // The guarding is over: no last word will come.
                    Either::Left((Err(_), _)) => return,
                    Either::Right(_) => {}
                },
            }
        }
    }

    /// Makes what is missing: GitHub's own deployment, and its status.
    async fn show_now(
        &self,
        commit: &CommitFact,
        fact: &mut GitHubFact,
        last: Option<&LastWord>,
    ) -> Result<Shown, Fault> {
        let (github, repo) = (&self.cx.settings.github, &commit.target().source.repo);
        let (state, words) = message::on_pull_request(last);
        // Another guardian may have reported the end already: "on its way" is never reported after any
        // other status.
        let is_told = if last.is_some() { fact.told == Some(state) } else { fact.told.is_some() };
        if is_told {
            return Ok(Shown::Yes);
        }
        if fact.failed >= TRIES {
            return Ok(Shown::Never);
        }
        let urgency = if last.is_some() { Urgency::Final } else { Urgency::Progress };
        let may_tell = async || store::may_tell_github(self.cx.world, self.cx.settings.limits.minute, urgency).await;
        let id = match fact.id {
            Some(id) => id,
            None if !may_tell().await => return Ok(Shown::NotYet),
            None => match self.make(commit, fact).await? {
                Some(id) => id,
                None => return Ok(Shown::Never),
            },
        };
        if !may_tell().await {
            return Ok(Shown::NotYet);
        }
        let message = store::load(self.cx.world, self.cx.id).await.ok().and_then(|facts| facts.link());
        let page = match last {
            Some(LastWord::Live { urls, .. }) => urls.iter().find(|url| url.starts_with("http")),
            _ => None,
        };
        if self.lease.ensure(limits::GITHUB_CALL).await.is_err() {
            return Ok(Shown::Never);
        }
        let status = DeploymentStatus {
            state,
            description: words,
            environment_url: page.map(String::as_str),
            log_url: message.as_deref(),
        };
        github::deployment_status(self.cx.world, github, repo, id, &status).await?;
        (fact.told, fact.failed) = (Some(state), 0);
        Ok(if self.save_shown(fact).await { Shown::Yes } else { Shown::Never })
    }

    /// Finds or makes GitHub's own deployment. `None`: the reports are not ours any more.
    async fn make(&self, commit: &CommitFact, fact: &mut GitHubFact) -> Result<Option<u64>, Fault> {
        let (github, plan) = (&self.cx.settings.github, commit.target());
        let environment = match plan.target.environment.as_str() {
            "default" => plan.applications.first().name.as_str(),
            named => named,
        };
        let request = store::load_fact::<RequestFact>(self.cx.world, self.cx.id).await.ok().flatten();
        let command = request.map(|request| request.command).unwrap_or_default();
        let description = message::of_deploy(commit, &command);
        // GitHub's deployments are of a commit.
        let (repo, Some(sha)) = (&plan.source.repo, &plan.source.head) else { return Ok(None) };
        let new = NewDeployment { repo, sha, environment, description: &description, id: self.cx.id };
        let found = if fact.asked { github::find_deployment(self.cx.world, github, &new).await? } else { None };
        let id = match found {
            Some(id) => id,
            None => {
                fact.asked = true;
                if !self.save_shown(fact).await {
                    return Ok(None);
                }
                github::create_deployment(self.cx.world, github, &new).await?
            }
        };
        fact.id = Some(id);
        Ok(self.save_shown(fact).await.then_some(id))
    }

    /// A call failed: is another call worth it?
    async fn not_shown(&self, fact: &mut GitHubFact, fault: Fault) -> Shown {
        let passes = match &fault.cause {
            Cause::RateLimited { seconds } => {
                self.only_commits(Duration::from_secs(seconds.unwrap_or_default())).await;
                true
            }
            Cause::NotConnected | Cause::TimedOut | Cause::Broken | Cause::Unavailable { .. } => true,
            Cause::Status { status } => *status >= 500,
            _ => false,
        };
        fact.failed = if passes { fact.failed.saturating_add(1) } else { TRIES };
        let is_over = fact.failed >= TRIES;
        let line = Line::new("github_not_told").of(self.cx.id).with("again", !is_over);
        self.cx.world.log(line.with_json("fault", &fault));
        if self.save_shown(fact).await && !is_over { Shown::NotYet } else { Shown::Never }
    }

    /// GitHub says that we make too many calls. Its own advice is to wait a minute, whatever it says besides.
    pub(super) async fn only_commits(&self, wait: Duration) {
        if self.cx.settings.github_deployments {
            let minute = self.cx.settings.limits.minute;
            store::quiet_github(self.cx.world, wait.max(minute)).await;
        }
    }

    /// Saves the fact, with enough time left for a call. Returns whether the fact is saved: if not, the
    /// reports are not ours any more.
    async fn save_shown(&self, fact: &GitHubFact) -> bool {
        let limit = limits::GITHUB_CALL.saturating_add(limits::WRITE);
        self.lease.ensure(limit).await.is_ok() && store::save_fact(self.cx.world, self.cx.id, fact).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::deployment::ApplicationWatch;
    use domain::deployment::samples::{at, relayed};

    #[test]
    fn a_deployment_is_guarded_from_its_commit_to_two_minutes_after_its_deadline() {
        let check = |facts: Facts, expected| assert_eq!(guarded_until(&facts, &Limits::default()), expected);
        // Committed after 3 s, with a deadline of 600 s: Argo CD may take the sync as late as 15 min after the commit.
        check(relayed(), Some(at(3 + 900 + 600 + 120)));
        let watch = Some(ApplicationWatch { taken: Some(at(9)), ..ApplicationWatch::default() }.into());
        check(Facts { watch, ..relayed() }, Some(at(9 + 600 + 120)));
        check(Facts { committed: None, ..relayed() }, None);
        check(Facts { commit: None, ..relayed() }, None);
    }
}
