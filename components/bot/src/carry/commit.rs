//! Commit: under the target's lease, read and decide, then one mutation; again while the branch moves; and find out what became of a
//! mutation without an answer.

use super::decide::{Place, Prepared, There};
use super::{BRANCH_RETRY, Carrier, Say, Stop, TRIES, WRITE};
use crate::log::Line;
use crate::world::World;
use clients::github;
use clients::github::{CommitOutcome, NewCommit, Snapshot, Which};
use domain::deployment::{
    Attempt, CommitFact, CommittedFact, Facts, Plan, RequestFact, Riders, Taken, TargetPlan, until,
};
use domain::fault::{Cause, Fault, System};
use domain::lock::{RolledBackVersion, TargetLock};
use domain::message;
use domain::message::Note;
use domain::names::{ArgoApplication, CommitSha, FilePath};
use domain::nonempty::NonEmpty;
use domain::refusal::Refusal;
use domain::time::Timestamp;
use domain::values;
use std::collections::BTreeSet;
use std::time::Duration;
use store::{Current, CurrentDeployment, Lease, LeaseLost, Lock, RolledBackVersions};

/// What a mutation may take: a lease must hold this long before it is sent.
const MUTATION: Duration = Duration::from_secs(8);
/// Life of the branch's lease.
const BRANCH_LIFE: Duration = Duration::from_secs(10);
impl<W: World> Carrier<'_, W> {
    /// Everything that needs the target's lease.
    pub(super) async fn under_target(
        &self,
        request: &RequestFact,
        facts: &mut Facts,
        say: &Say,
        place: Held<'_, W>,
    ) -> Result<(), Stop> {
        self.remember(&place).await?;
        let argocd = &place.environment.argocd;
        let mut granted = None;
        self.open(request, &place, &mut granted).await?;
        if let Some(current) = store::load_key(self.world, Current(argocd)).await?
            && current.id != *self.id
            && store::load(self.world, &current.id).await?.keeps_busy(self.world.now(), self.tempo())
        {
            return Err(self.busy(place.target, Some(current.id)).await.into());
        }
        // Our turn from here on: whoever waits for the target's lease can be told whose it is.
        place.lease.ensure(WRITE).await?;
        store::save_key(self.world, Current(argocd), &CurrentDeployment { id: self.id.clone() }).await?;
        let mut turn = Turn { branch: None };
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

    pub(super) fn branch_name(&self) -> String {
        format!("branch/{}/{}", self.settings.gitops.repo, self.settings.gitops.branch)
    }

    /// Read, decide, commit; again while the branch moves under us. It ends a deployment only when no mutation of ours can land.
    pub(super) async fn commit_loop<'s>(
        &'s self,
        request: &RequestFact,
        facts: &mut Facts,
        say: &Say,
        place: &Held<'_, W>,
        turn: &mut Turn<'s, W>,
    ) -> Result<(), Stop> {
        let mut moved = 0_u32;
        while moved < TRIES {
            if let Some(sha) = self.settled(request, facts, say).await.map_err(Stop::Leave)? {
                return self.committed(facts, sha, false).await;
            }
            if let Some(commit) = facts.commit.as_ref().filter(|_| !self.doubt.borrow().bases.is_empty()) {
                // The same again, but each time a little later: GitHub is not well, and allows 80 writes a minute.
                let tries = u64::try_from(commit.attempts.len().min(5)).unwrap_or_default();
                self.world.sleep(Duration::from_millis(self.tempo().settle.saturating_mul(tries))).await;
            }
            match self.round(request, facts, say, place, turn).await? {
                Round::Written { sha, reused } => return self.committed(facts, sha, reused).await,
                Round::Moved => moved = moved.saturating_add(1),
                Round::Again => {}
            }
        }
        Err(Refusal::KeepsMoving { attempts: TRIES }.into())
    }

    /// One read, one decision and at most one mutation.
    pub(super) async fn round<'s>(
        &'s self,
        request: &RequestFact,
        facts: &mut Facts,
        say: &Say,
        place: &Held<'_, W>,
        turn: &mut Turn<'s, W>,
    ) -> Result<Round, Stop> {
        self.wishes(request).await?;
        let (snapshot, login) = self.read(request, place).await?;
        self.same_catalog(place, &snapshot).await?;
        self.compared.set(true);
        let begun = match &facts.commit {
            Some(commit) if !self.doubt.borrow().bases.is_empty() => {
                let plan = commit.target();
                if place.environment.files != plan.files || *plan.application() != place.environment.argocd {
                    return Err(Stop::Leave("the catalog moved the target while a commit may still land"));
                }
                Some(commit)
            }
            _ => None,
        };
        let Prepared { mut plan, edits } = self.prepare(request, begun, place, &snapshot, login).await?;
        let granted = match begun {
            Some(commit) => commit.granted.clone(),
            None => self.gates(request, place, &snapshot, plan.targets.first()).await?,
        };
        let mut attempts = facts.commit.as_ref().map(|commit| commit.attempts.clone()).unwrap_or_default();
        let unchanged = edits.iter().all(|file| !file.edit.changed);
        if unchanged {
            match self.already_there(request, &plan, &snapshot).await? {
                There::Ours { sha, reused, taken } => {
                    let target = match taken {
                        None => only_up_to(&sha, &snapshot, plan.targets.first()),
                        Some(before) => again(&before, plan.targets.first()),
                    };
                    let plan = Plan { targets: NonEmpty::one(target), ..plan };
                    self.save_commit(facts, place, CommitFact { plan, granted, attempts }).await?;
                    return Ok(Round::Written { sha, reused });
                }
                There::ToTakeOver(taken) => plan.targets = NonEmpty::one(take_over(taken, plan.targets.first())),
            }
        }
        // Files that have the tag already are no part of the commit, unless it takes over what is there and changes none.
        let files: Vec<(FilePath, Vec<u8>)> = edits
            .into_iter()
            .filter(|file| unchanged || file.edit.changed)
            .map(|file| (file.path, file.edit.text.into_bytes()))
            .collect();
        attempts.push(Attempt {
            base: snapshot.head.clone(),
            at: self.world.now(),
            files: files.iter().map(|(path, text)| (path.clone(), values::blob_sha(text))).collect(),
            unchanged,
        });
        if turn.branch.is_none() {
            let (lease, waited) = self.branch_lease(request, facts, say).await?;
            turn.branch = Some(lease);
            if waited {
                // Others wrote meanwhile: what we read is old.
                return Ok(Round::Again);
            }
        }
        if let Some(lease) = &turn.branch
            && lease.ensure(MUTATION).await.is_err()
        {
            // It ran out while we read or settled: take our place again.
            turn.branch = None;
            return Ok(Round::Again);
        }
        let mut overridden = granted.overridden.clone();
        let recorded = overridden.clone();
        self.save_commit(facts, place, CommitFact { plan, granted, attempts }).await?;
        self.wishes(request).await?;
        // A lock, or the hour of a freeze, may have come while we waited for our turn.
        self.open(request, place, &mut overridden).await?;
        if overridden != recorded {
            // A freeze that an owner overrides: it goes into the record and the commit's text first.
            return Ok(Round::Again);
        }
        self.still_current(place).await?;
        let files = if unchanged { &[][..] } else { &files };
        match self.mutate(request, facts, place, turn.branch.as_ref(), &snapshot.head, files).await? {
            CommitOutcome::Done(sha) => return Ok(Round::Written { sha, reused: false }),
            // After an attempt without an answer the branch may have moved by that very attempt.
            CommitOutcome::Stale => {
                let mut doubt = self.doubt.borrow_mut();
                doubt.unsettled = !doubt.bases.is_empty();
                return Ok(Round::Moved);
            }
            CommitOutcome::NotDone(Fault { cause: Cause::RateLimited { seconds }, .. }) => {
                // Not beyond the moment after which nothing is committed any more: then it is told.
                let last = request.at.after(Duration::from_millis(self.tempo().no_mutation));
                let wait = Duration::from_secs(seconds.unwrap_or(10).clamp(1, 60)).min(until(last, self.world.now()));
                self.world.log(Line::new("github_rate_limited").of(self.id).with("seconds", wait.as_secs()));
                self.only_commits(wait).await;
                if let Some(lease) = turn.branch.take() {
                    lease.release().await;
                }
                self.world.sleep(wait).await;
            }
            CommitOutcome::NotDone(fault) => return Err(fault.into()),
            CommitOutcome::Unknown(fault) => {
                self.world.log(Line::error("commit_unknown").of(self.id).with_json("fault", &fault));
                let _ = say.unbounded_send((facts.clone(), Some(Note::Settling)));
                let mut doubt = self.doubt.borrow_mut();
                doubt.unsettled = true;
                doubt.bases.insert(snapshot.head);
            }
        }
        Ok(Round::Again)
    }

    /// Settles what is unsettled: the commit of an earlier attempt, if it landed. Returns only when that is known, and not for ever. What is
    /// left in `bases` then is not there yet, but may still land.
    pub(super) async fn settled(
        &self,
        request: &RequestFact,
        facts: &Facts,
        say: &Say,
    ) -> Result<Option<CommitSha>, &'static str> {
        while self.doubt.borrow().unsettled {
            match self.look_for_commit(request, facts).await {
                Ok((Some(sha), _)) => return Ok(Some(sha)),
                Ok((None, head)) => {
                    // A mutation whose base is not the head any more can never land. One whose base still is may: then the same
                    // again, because only one of them can win.
                    let mut doubt = self.doubt.borrow_mut();
                    doubt.bases.retain(|base| *base == head);
                    doubt.unsettled = false;
                }
                Err(fault) => {
                    self.world.log(Line::error("unsettled").of(self.id).with_json("fault", &fault));
                    self.doubtful(request, facts, say).await?;
                }
            }
        }
        Ok(None)
    }

    /// Says that it is not known, and waits a little; not for ever.
    pub(super) async fn doubtful(&self, request: &RequestFact, facts: &Facts, say: &Say) -> Result<(), &'static str> {
        let _ = say.unbounded_send((facts.clone(), Some(Note::Settling)));
        if self.world.now() >= request.at.after(Duration::from_millis(self.tempo().no_end)) {
            return Err("it is not known whether the commit landed");
        }
        self.world.sleep(Duration::from_millis(self.tempo().settle)).await;
        Ok(())
    }

    /// The commit of an attempt on the branch, if it is there, and the branch's head.
    pub(super) async fn look_for_commit(
        &self,
        request: &RequestFact,
        facts: &Facts,
    ) -> Result<(Option<CommitSha>, CommitSha), Fault> {
        let Some(commit) = &facts.commit else {
            let part = "no attempt was made".to_owned();
            return Err(Fault::new(System::Store, "find out whether my commit landed", Cause::Nonsense { part }));
        };
        let since = Timestamp(request.at.0.saturating_sub(300_000));
        let paths: BTreeSet<FilePath> = commit
            .attempts
            .iter()
            .flat_map(|attempt| attempt.files.keys())
            .chain(commit.target().files.iter())
            .cloned()
            .collect();
        let paths: Vec<FilePath> = paths.into_iter().collect();
        let github = &self.settings.github;
        let which = if commit.may_change_nothing() { Which::Any } else { Which::Touching };
        let (repo, branch) = (&commit.plan.gitops.repo, &commit.plan.gitops.branch);
        let history = github::history(self.world, github, repo, branch, &paths, which, since).await?;
        let found = history.commits.iter().find(|past| commit.is_ours(self.id, &self.candidate(past, &history.viewer)));
        match found {
            Some(past) => Ok((Some(past.sha.clone()), history.head)),
            None if history.complete => Ok((None, history.head)),
            None => Err(Fault::new(System::GitHub, "find out whether my commit landed", Cause::TooLarge)),
        }
    }

    /// Saves what was decided. The turn was taken before, once: written again here, it would take it back from whoever has it now.
    pub(super) async fn save_commit(
        &self,
        facts: &mut Facts,
        place: &Held<'_, W>,
        commit: CommitFact,
    ) -> Result<(), Stop> {
        self.lease.check(WRITE)?;
        place.lease.ensure(WRITE).await?;
        store::save_fact(self.world, self.id, &commit).await?;
        let before = facts.commit.as_ref().and_then(|commit| commit.granted.overridden.as_ref());
        if let (None, Some(reason), Some(request)) = (before, &commit.granted.overridden, &facts.request) {
            let line = Line::new("overridden").of(self.id).with("user", request.user.as_str());
            self.world.log(line.with("target", commit.target().target.to_string()).with("reason", reason.as_str()));
        }
        facts.commit = Some(commit);
        Ok(())
    }

    pub(super) async fn still_current(&self, place: &Held<'_, W>) -> Result<(), Stop> {
        match store::load_key(self.world, Current(&place.environment.argocd)).await? {
            Some(current) if current.id == *self.id => Ok(()),
            _ => Err(Stop::Leave("another deployment has taken the turn")),
        }
    }

    /// Waits for its turn at the branch. Also says whether it had to wait.
    pub(super) async fn branch_lease(
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
            // Whoever stands far behind need not look often, and those in front get there first.
            let rounds = u32::try_from(ahead.min(20)).unwrap_or_default().saturating_add(1);
            self.world.sleep(BRANCH_RETRY.saturating_mul(rounds)).await;
        }
    }

    /// One mutation, with all three leases good for as long as it may take.
    pub(super) async fn mutate(
        &self,
        request: &RequestFact,
        facts: &Facts,
        place: &Held<'_, W>,
        branch: Option<&Lease<'_, W>>,
        base: &CommitSha,
        files: &[(FilePath, Vec<u8>)],
    ) -> Result<CommitOutcome, Stop> {
        let Some(commit) = &facts.commit else { return Err(Stop::Leave("there is nothing to commit")) };
        let (headline, body) = message::commit_text(request, commit, self.id);
        let new = NewCommit {
            repo: &commit.plan.gitops.repo,
            branch: &commit.plan.gitops.branch,
            base,
            headline: &headline,
            body: &body,
            files,
        };
        self.lease.ensure(MUTATION).await?;
        place.lease.ensure(MUTATION).await?;
        branch.ok_or(LeaseLost)?.ensure(MUTATION).await?;
        Ok(github::commit(self.world, &self.settings.github, &new).await)
    }

    /// The commit is on the branch: true whoever says it, so no lease is asked. The watch takes over.
    pub(super) async fn committed(&self, facts: &mut Facts, sha: CommitSha, reused: bool) -> Result<(), Stop> {
        let Some(commit) = facts.commit.clone() else { return Err(Stop::Leave("there is no plan")) };
        let fact = CommittedFact { sha, at: self.world.now(), reused, commit: Box::new(commit) };
        // Before it is known as committed: whoever resumes does both again, and nobody deploys the broken version in between.
        self.after_rollback(facts).await?;
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

impl<W: World> Carrier<'_, W> {
    /// A rollback locks its target, and the version that it took away is remembered as rolled back; the one it brought back is not, nor
    /// is one that somebody knowingly deploys again.
    async fn after_rollback(&self, facts: &Facts) -> Result<(), Stop> {
        let Some((commit, request)) = facts.commit.as_ref().zip(facts.request.as_ref()) else { return Ok(()) };
        let plan = commit.target();
        if !plan.rollback && !request.origin.knows_rolled_back() {
            return Ok(());
        }
        let lease = self.lock_lease(plan.application()).await?;
        let now = self.world.now();
        let known = store::load_key(self.world, RolledBackVersions(plan.application())).await?.unwrap_or_default();
        let mut bad = known.clone();
        bad.versions.retain(|version| version.tag != plan.tag.as_str());
        let replaced = plan.before.as_ref().filter(|before| *before != plan.tag.as_str());
        if let Some(before) = replaced.filter(|_| plan.rollback) {
            bad.versions.retain(|version| version.tag != *before);
            bad.versions.push(RolledBackVersion { tag: before.clone(), by: request.user.clone(), at: now });
            let excess = bad.versions.len().saturating_sub(MANY_ROLLED_BACK);
            bad.versions.drain(..excess);
        }
        lease.ensure(WRITE).await?;
        if bad != known {
            store::save_key(self.world, RolledBackVersions(plan.application()), &bad).await?;
        }
        let locked = store::load_key(self.world, Lock(plan.application())).await?.is_some_and(|lock| lock.holds(now));
        if plan.rollback && !locked {
            let reason = match replaced {
                Some(before) => format!("rolled back from {before} to {}", plan.tag),
                // It is in the file already: a rollback that came no further is tried again.
                None => format!("rolled back to {}", plan.tag),
            };
            let lock = TargetLock { by: request.user.clone(), reason, at: now, until: None, rollback: true };
            store::change_lock(self.world, &lease, Some(plan.application()), lock.change(), Some(&lock)).await?;
            self.world.log(Line::new("locked").of(self.id).with("target", plan.target.to_string()));
        }
        lease.release().await;
        Ok(())
    }

    async fn lock_lease(&self, argocd: &ArgoApplication) -> Result<Lease<'_, W>, Stop> {
        let name = store::lock_lease(Some(argocd));
        loop {
            if let Some(lease) = Lease::take(self.world, &name, BRANCH_LIFE).await? {
                return Ok(lease);
            }
            self.world.sleep(BRANCH_RETRY).await;
        }
    }
}

/// How many versions of a target are remembered as rolled back.
const MANY_ROLLED_BACK: usize = 20;

/// An earlier commit of ours is to be synced again: only what is in it or before it rides along, what people pushed later stays where it
/// is.
fn only_up_to(sha: &CommitSha, snapshot: &Snapshot, plan: &TargetPlan) -> TargetPlan {
    let later: Vec<_> = snapshot.since_live.iter().map(|touch| &touch.sha).take_while(|touch| *touch != sha).collect();
    TargetPlan { riders: plan.riders.only(|rider| !later.contains(&&rider.sha)), ..plan.clone() }
}

/// The same where that commit changed nothing, so that it is not among those that GitHub lists for the app's path: what rode along with it
/// then does so now.
fn again(before: &TargetPlan, plan: &TargetPlan) -> TargetPlan {
    let riders = match &before.riders {
        Riders::Since { commits: then, .. } => plan.riders.only(|rider| then.iter().any(|then| then.sha == rider.sha)),
        Riders::FirstDeploy => plan.riders.clone(),
    };
    let plan = TargetPlan { riders, ..plan.clone() };
    before.taken.clone().map_or(plan.clone(), |taken| take_over(taken, &plan))
}

fn take_over(taken: Taken, plan: &TargetPlan) -> TargetPlan {
    // What is in the file says nothing: the version that runs is replaced.
    let before = plan.previous.as_ref().map(|previous| previous.tag.to_string()).or(plan.before.clone());
    TargetPlan { taken: Some(taken), before, ..plan.clone() }
}

/// Where the work happens, with the target's lease.
pub(crate) struct Held<'a, W> {
    pub(crate) place: Place<'a>,
    pub(crate) lease: &'a Lease<'a, W>,
}

impl<'a, W> std::ops::Deref for Held<'a, W> {
    type Target = Place<'a>;
    fn deref(&self) -> &Place<'a> {
        &self.place
    }
}

/// What a deployment holds while it tries to commit.
pub(super) struct Turn<'a, W> {
    /// The branch's lease, once it was our turn.
    pub(super) branch: Option<Lease<'a, W>>,
}

/// How one round ended.
pub(super) enum Round {
    /// The tag is on the branch.
    Written {
        /// By this commit.
        sha: CommitSha,
        /// It was there before.
        reused: bool,
    },
    /// The branch moved under us.
    Moved,
    /// For another reason nothing is decided yet.
    Again,
}
