//! Commit: read and decide, then one mutation under the target's and the branch's lease; again while the
//! branch moves.

use super::prepare::{self, FileEdit, Prepared};
use super::settle::{self, Written};
use super::turn::{self, Turn, Turns};
use super::{Job, Run, TRIES, catalog, gates, may_go_on, parts, seen};
use crate::context::{Context, Stop};
use crate::world::{Line, World};
use clients::github::{self, CommitOutcome, NewCommit, Snapshot};
use domain::deployment::{Attempt, CommitFact, End, Facts, Reference, RequestFact, Riders, Taken, TargetPlan, until};
use domain::fault::{Cause, Fault, Passing};
use domain::limits;
use domain::message::{self, Note};
use domain::names::{CommitSha, FilePath};
use domain::nonempty::NonEmpty;
use domain::patience::{Next, Tried};
use domain::refusal::{Moved, Refusal};
use domain::values;
use futures::future::{join_all, try_join_all};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;
use store::Lease;

/// A commit that is to be sent.
struct CommitToSend {
    base: CommitSha,
    fact: CommitFact,
    /// Of several targets, the plan of each and what was granted there.
    parts: Vec<CommitFact>,
    files: Vec<(FilePath, Vec<u8>)>,
}

/// What is decided of one target.
struct Decided {
    /// The head of the branch that was looked at.
    base: CommitSha,
    fact: CommitFact,
    edits: Vec<FileEdit>,
    /// All files have the tag already.
    unchanged: bool,
    /// A commit of ours has the tag on the branch: that commit, whether it is another deployment's, and the plan for it.
    there: Option<(CommitSha, bool, Box<TargetPlan>)>,
}

/// What is planned for one target, also if people have to approve it first.
fn planned(decided: &Result<Decided, Stop>) -> Option<&TargetPlan> {
    match decided {
        Ok(decided) => Some(decided.fact.target()),
        Err(Stop::End(End::Refused { plans, .. })) => plans.first(),
        Err(_) => None,
    }
}

/// What came of one mutation.
enum MutationEnd {
    Committed,
    /// The branch moved.
    Moved,
    /// The outcome is not known yet, or something has to be recorded first.
    Again,
    /// Nothing was changed: begin again later.
    Later(Later),
}

/// When it all begins again.
enum Later {
    /// After this time.
    After(Duration),
    /// When this may have passed. Nothing was sent, so there is nothing to find out.
    Passed(Fault),
}

/// Reads, decides and commits, again while the branch moves. The end is saved by `work`, and only once no
/// mutation of ours can land.
pub(super) async fn commit<W: World>(turns: &Turns<'_, W>, job: &mut Job<'_>) -> Result<(), Stop> {
    let Context { world, settings, .. } = turns.run.cx;
    let (begun, mut tried) = (world.elapsed(), Tried::default());
    loop {
        let Some(send) = turns.decide(job).await? else { return Ok(()) };
        // The gates are passed, so everybody may read that the deploy waits.
        let shown = Facts { commit: Some(send.fact.clone()), ..job.facts.clone() };
        let later = turn::with_branch(turns.run, job, shown, async |job, branch, waited| {
            // Others wrote while we waited: what we read is old.
            let decided = (!waited).then_some(send);
            let later = turns.send_until_known(job, branch, decided).await?;
            if later.is_none() && settings.github.is_public() {
                // GitHub asks for a second between two writes, so the next one gets the branch then.
                world.sleep(settings.limits.write_gap).await;
            }
            Ok(later)
        });
        match later.await? {
            Some(Later::After(wait)) => pause(turns.run, job, wait).await?,
            Some(Later::Passed(fault)) => {
                tried.tries = tried.tries.saturating_add(1);
                tried.took = world.elapsed().saturating_sub(begun);
                tried.left = until(job.request.at.after(settings.limits.no_mutation), world.now());
                let Next::Again { after, .. } = tried.next(fault.passing(), &settings.limits) else {
                    return Err(fault.into());
                };
                let line = Line::new("asked_again").of(turns.run.cx.id).with("seconds", after.as_secs_f64());
                world.log(line.with_json("fault", &fault));
                pause(turns.run, job, after).await?;
            }
            None => return Ok(()),
        }
    }
}

/// Waits, and looks meanwhile whether somebody wishes to cancel.
async fn pause<W: World>(run: &Run<'_, W>, job: &Job<'_>, wait: Duration) -> Result<(), Stop> {
    let until = run.cx.world.elapsed().saturating_add(wait);
    loop {
        let left = until.saturating_sub(run.cx.world.elapsed());
        if left.is_zero() {
            return Ok(());
        }
        run.cx.world.sleep(left.min(limits::WANTED_AGAIN)).await;
        may_go_on(run, job.request).await?;
    }
}

/// The plan of an attempt that may still land: it may not change.
fn begun<'f, W>(run: &Run<'_, W>, facts: &'f Facts) -> Option<&'f CommitFact> {
    facts.commit.as_ref().filter(|_| !run.unsettled.borrow().bases.is_empty())
}

/// A branch goes on between two looks, and its newest commit is what is wanted. A Git tag does not: what it was moved to is not
/// what was asked for.
fn same_tag(before: &TargetPlan, now: &TargetPlan) -> Result<(), Stop> {
    match (&before.source.head, &now.source.head, &now.source.reference) {
        (Some(was), Some(is), Reference::Tag(tag)) if was != is => {
            let commits = Box::new(Moved { was: was.clone(), is: is.clone() });
            Err(Refusal::TagMoved { tag: tag.clone(), commits }.into())
        }
        _ => Ok(()),
    }
}

impl<W: World> Turns<'_, W> {
    /// Sends mutations, under the branch's lease, until the outcome is known. `None`: the tag is committed.
    /// Otherwise it all begins again later: the lease ran out, GitHub wants a pause, or it was not reached.
    async fn send_until_known(
        &self,
        job: &mut Job<'_>,
        branch: &Lease<'_, W>,
        mut decided: Option<CommitToSend>,
    ) -> Result<Option<Later>, Stop> {
        let mut moved = 0_u32;
        while moved < TRIES {
            if decided.is_none() {
                decided = self.decide(job).await?;
            }
            let Some(send) = decided.take() else { return Ok(None) };
            if branch.ensure(limits::MUTATION).await.is_err() {
                // The lease ran out while we read: take our place again.
                return Ok(Some(Later::After(Duration::ZERO)));
            }
            match self.send_one(job, branch, send).await? {
                MutationEnd::Committed => return Ok(None),
                MutationEnd::Moved => moved = moved.saturating_add(1),
                MutationEnd::Again => {}
                MutationEnd::Later(later) => return Ok(Some(later)),
            }
        }
        Err(Refusal::KeepsMoving { attempts: TRIES }.into())
    }

    /// What is to be sent. `None`: a commit of ours has the tag on the branch, and `committed` is saved.
    async fn decide(&self, job: &mut Job<'_>) -> Result<Option<CommitToSend>, Stop> {
        let run = self.run;
        if let Some(sha) = settle::find_landed_commit(run, job).await? {
            run.committed(job.facts, sha, false).await?;
            return Ok(None);
        }
        if let Some(commit) = begun(run, job.facts) {
            // The same mutation again, but each time a little later: GitHub is not well, and allows 80 writes
            // a minute.
            let tries = u32::try_from(commit.attempts.len().min(5)).unwrap_or_default();
            run.cx.world.sleep(run.cx.settings.limits.settle.saturating_mul(tries)).await;
        }
        self.look_and_decide(job).await
    }

    /// One look at GitHub and the registry for each target, and what follows from it.
    async fn look_and_decide(&self, job: &mut Job<'_>) -> Result<Option<CommitToSend>, Stop> {
        let run = self.run;
        may_go_on(run, job.request).await?;
        let begun = begun(run, job.facts);
        let is_begun = begun.is_some();
        let decide = async |turn: &Turn<'_, W>| {
            let known = self.known_at(turn, job.facts.commit.as_ref()).await?;
            turn.decide(job.request, known.as_ref(), is_begun).await
        };
        let decided = join_all(self.parts.iter().map(decide)).await;
        run.compared.set(self.parts.iter().all(|turn| turn.run.compared.get()));
        let plans = decided.iter().filter_map(planned).cloned().collect();
        let decided = parts::all(self, decided, plans)?;
        let mut facts = decided.iter().map(|part| &part.fact);
        let Some(mut fact) = facts.next().cloned() else { return Err(Stop::Leave("there is no target")) };
        let others: Vec<TargetPlan> = facts.clone().map(|fact| fact.target().clone()).collect();
        facts.for_each(|other| fact.granted.add(other.granted.clone()));
        fact.attempts = job.facts.commit.as_ref().map(|commit| commit.attempts.clone()).unwrap_or_default();
        fact.request = job.request.into();
        let is_one = others.is_empty();
        if is_one && let Some((sha, reused, plan)) = decided.first().and_then(|part| part.there.clone()) {
            fact.plan.targets = NonEmpty::one(*plan);
            self.save_commit(job.facts, fact, &[]).await?;
            run.committed(job.facts, sha, reused).await?;
            return Ok(None);
        }
        let Some(base) = decided.first().map(|part| part.base.clone()) else { return Ok(None) };
        if decided.iter().any(|part| part.base != base) {
            // Somebody pushed between two looks.
            return Err(Stop::Moved);
        }
        fact.plan.targets = NonEmpty::new(fact.target().clone(), others);
        let unchanged = decided.iter().all(|part| part.unchanged);
        let files = self.files(&decided, unchanged)?;
        let attempt = Attempt {
            base: base.clone(),
            at: run.cx.world.now(),
            files: files.iter().map(|(path, text)| (path.clone(), values::blob_sha(text))).collect(),
            unchanged,
        };
        fact.attempts.push(attempt);
        let part = |part: Decided| CommitFact { attempts: fact.attempts.clone(), ..part.fact };
        let parts = if is_one { Vec::new() } else { decided.into_iter().map(part).collect() };
        let files = if unchanged { Vec::new() } else { files };
        Ok(Some(CommitToSend { base, fact, parts, files }))
    }

    /// What was planned for one of the targets before.
    async fn known_at(&self, turn: &Turn<'_, W>, known: Option<&CommitFact>) -> Result<Option<CommitFact>, Stop> {
        match known {
            Some(_) if self.parts.len() > 1 => Ok(store::load_fact(turn.run.cx.world, turn.run.cx.id).await?),
            known => Ok(known.cloned()),
        }
    }

    /// The files of the commit. Only those that change are in it. Of a commit that changes nothing all are kept for the attempt, to
    /// recognise the empty commit. Two targets may have one file: then the second edit is made in what the first one wrote.
    fn files(&self, decided: &[Decided], unchanged: bool) -> Result<Vec<(FilePath, Vec<u8>)>, Stop> {
        let mut texts: BTreeMap<&FilePath, Cow<'_, str>> = BTreeMap::new();
        for (turn, part) in self.parts.iter().zip(decided) {
            for file in part.edits.iter().filter(|file| unchanged || file.edit.changed) {
                let text = match texts.get(&file.path) {
                    Some(text) => {
                        Cow::Owned(prepare::edit_again(turn.site, part.fact.target(), &file.path, text)?.text)
                    }
                    None => Cow::Borrowed(file.edit.text.as_str()),
                };
                texts.insert(&file.path, text);
            }
        }
        Ok(texts.into_iter().map(|(path, text)| (path.clone(), text.into_owned().into_bytes())).collect())
    }

    /// Saves the attempt, looks once more, and sends one mutation.
    async fn send_one(
        &self,
        job: &mut Job<'_>,
        branch: &Lease<'_, W>,
        send: CommitToSend,
    ) -> Result<MutationEnd, Stop> {
        let run = self.run;
        let mut plans = Vec::new();
        for (turn, fact) in self.records(&send.fact, &send.parts) {
            let plan = fact.target();
            // What was passed over when it was decided.
            let was_live = plan.was_live && gates::brings_back(turn.site, plan).await;
            if self.parts.len() > 1 {
                // Each of several may be cancelled alone: better before anything is said of a commit.
                may_go_on(turn.run, turn.site.request).await?;
            }
            plans.push((turn, plan.clone(), was_live, fact.granted.overridden.is_some()));
        }
        self.save_commit(job.facts, send.fact.clone(), &send.parts).await?;
        job.tell(Note::Committing);
        may_go_on(run, job.request).await?;
        for (turn, plan, was_live, is_recorded) in &plans {
            if plans.len() > 1 {
                may_go_on(turn.run, turn.site.request).await?;
            }
            // A lock, or the hour of a freeze, may have come while we waited for our turn.
            let granted = gates::check_lock_and_freeze(turn.site, Some((plan, *was_live))).await?;
            if granted.overridden.is_some() && !is_recorded {
                // An owner overrides a freeze: the override goes into the target's record and the commit's text first.
                return Ok(MutationEnd::Again);
            }
            turn::still_current(turn.run, &turn.site.applications).await?;
        }
        match self.mutate(job, branch, &send).await? {
            CommitOutcome::Done(sha) => {
                run.committed(job.facts, sha, false).await?;
                Ok(MutationEnd::Committed)
            }
            // After an attempt without an answer the branch may have moved by that very attempt.
            CommitOutcome::Stale => {
                let mut unsettled = run.unsettled.borrow_mut();
                unsettled.look = !unsettled.bases.is_empty();
                Ok(MutationEnd::Moved)
            }
            CommitOutcome::NotDone(fault) => match fault.cause {
                Cause::RateLimited { seconds } => {
                    Ok(MutationEnd::Later(Later::After(self.limited(job, &fault, seconds).await)))
                }
                _ if fault.passing() == Passing::Soon => Ok(MutationEnd::Later(Later::Passed(fault))),
                _ => Err(fault.into()),
            },
            CommitOutcome::Unknown(fault) => {
                run.cx.world.log(Line::error("commit_unknown").of(run.cx.id).with_json("fault", &fault));
                job.tell(Note::Settling);
                let mut unsettled = run.unsettled.borrow_mut();
                unsettled.look = true;
                unsettled.bases.insert(send.base);
                Ok(MutationEnd::Again)
            }
        }
    }

    /// GitHub wants a pause: how long. Wait at most until `no_mutation`: then the request is refused as too late.
    async fn limited(&self, job: &Job<'_>, fault: &Fault, seconds: Option<u64>) -> Duration {
        let Context { world, settings, id, .. } = self.run.cx;
        let last = job.request.at.after(settings.limits.no_mutation);
        let wait = Duration::from_secs(seconds.unwrap_or(10).clamp(1, 60)).min(until(last, world.now()));
        world.log(Line::new("github_rate_limited").of(id).with("seconds", wait.as_secs()));
        if wait > settings.limits.read_again {
            job.tell(Note::Pause { fault: fault.clone(), wait });
        }
        self.run.only_commits(wait).await;
        wait
    }

    /// Saves what was decided. `current` is not written again: a second write could take the turn from a
    /// newer deployment.
    async fn save_commit(&self, facts: &mut Facts, commit: CommitFact, parts: &[CommitFact]) -> Result<(), Stop> {
        let Context { world, id, .. } = self.run.cx;
        self.run.lease.check(limits::WRITE)?;
        self.lease.ensure(limits::WRITE).await?;
        let mut overridden = Vec::new();
        for (turn, fact) in self.records(&commit, parts) {
            let Some(reason) = &fact.granted.overridden else { continue };
            let before = store::load_fact::<CommitFact>(world, turn.run.cx.id).await?;
            if before.is_none_or(|before| before.granted.overridden.is_none()) {
                let line = Line::new("overridden").of(turn.run.cx.id).with("user", turn.site.request.user.as_str());
                overridden.push(line.with("target", fact.target().target.to_string()).with("reason", reason.as_str()));
            }
        }
        // The whole comes last: with it, each part is there.
        let save = async |turn: &Turn<'_, W>, part: &CommitFact| store::save_fact(world, turn.run.cx.id, part).await;
        try_join_all(self.parts.iter().zip(parts).map(|(turn, part)| save(turn, part))).await?;
        store::save_fact(world, id, &commit).await?;
        overridden.into_iter().for_each(|line| world.log(line));
        facts.commit = Some(commit);
        Ok(())
    }

    /// What is recorded of each target: of one target in the commit itself.
    fn records<'f>(
        &'f self,
        commit: &'f CommitFact,
        parts: &'f [CommitFact],
    ) -> impl Iterator<Item = (&'f Turn<'f, W>, &'f CommitFact)> {
        let facts = if parts.is_empty() { std::slice::from_ref(commit) } else { parts };
        self.parts.iter().zip(facts)
    }

    /// One mutation, with all three leases good for as long as it may take.
    async fn mutate(
        &self,
        job: &Job<'_>,
        branch: &Lease<'_, W>,
        CommitToSend { base, files, parts, .. }: &CommitToSend,
    ) -> Result<CommitOutcome, Stop> {
        let Context { world, settings, id, .. } = self.run.cx;
        let Some(commit) = &job.facts.commit else { return Err(Stop::Leave("there is nothing to commit")) };
        let (headline, body) = match parts.as_slice() {
            [] => message::commit_text(job.request, commit, id),
            parts => {
                let ids = self.parts.iter().map(|turn| turn.run.cx.id.clone());
                let parts: Vec<_> = ids.zip(parts.iter().cloned()).collect();
                message::commit_text_of_several(job.request, &parts, id)
            }
        };
        let gitops = &commit.plan.gitops;
        let new =
            NewCommit { repo: &gitops.repo, branch: &gitops.branch, base, headline: &headline, body: &body, files };
        self.run.lease.ensure(limits::MUTATION).await?;
        self.lease.ensure(limits::MUTATION).await?;
        branch.ensure(limits::MUTATION).await?;
        Ok(github::commit(world, &settings.github, &new).await)
    }
}

impl<W: World> Turn<'_, W> {
    /// One look at GitHub and the registry, and what follows from it for the target. `known`: the plan of the attempt before,
    /// which may still land if `is_begun`.
    async fn decide(&self, request: &RequestFact, known: Option<&CommitFact>, is_begun: bool) -> Result<Decided, Stop> {
        let (run, site) = (self.run, self.site);
        let begun = known.filter(|_| is_begun);
        if request != site.request {
            // Of several targets each may be cancelled alone.
            may_go_on(run, site.request).await?;
        }
        let looked = prepare::read(site).await?;
        let snapshot = &looked.snapshot;
        catalog::same_catalog(site, snapshot).await?;
        run.compared.set(true);
        if let Some(plan) = begun.map(CommitFact::target)
            && (site.environment.files != plan.files || plan.applications != site.applications)
        {
            return Err(Stop::Leave("the catalog moved the target while a commit may still land"));
        }
        let Prepared { mut plan, edits, deployed } = prepare::prepare(site, begun, &looked).await?;
        if let Some(before) = known {
            same_tag(before.target(), plan.targets.first())?;
        }
        let granted = match begun {
            Some(commit) => commit.granted.clone(),
            None => {
                let granted = gates::gates(site, snapshot, plan.targets.first(), deployed.as_ref()).await?;
                seen::check(self, site.request, &plan.gitops).await?;
                granted
            }
        };
        if granted.overridden.is_some() {
            // An owner who lets other changes through lets all of them through. A person who is no owner lets nothing through by typing `override`.
            plan.targets = NonEmpty::one(TargetPlan { alone: false, ..plan.targets.first().clone() });
        }
        let mut fact = CommitFact { request: site.request.into(), plan, granted, attempts: Vec::new() };
        let unchanged = edits.iter().all(|file| !file.edit.changed);
        let mut there = None;
        if unchanged {
            match settle::already_written(site, fact.target(), snapshot).await? {
                Written::ByUs { sha, reused, beyond, taken } => {
                    let plan = match taken {
                        // GitHub does not list it for the app's path: rather one rider too many.
                        None if beyond => fact.target().clone(),
                        Some(before) if beyond => with_taken(&before, fact.target().clone()),
                        None => only_up_to(&sha, snapshot, fact.target()),
                        Some(before) => again(&before, fact.target()),
                    };
                    there = Some((sha, reused, Box::new(plan)));
                }
                Written::Outdated { taken: None } => {}
                Written::Outdated { taken: Some(before) } => {
                    fact.plan.targets = NonEmpty::one(with_taken(&before, fact.target().clone()));
                }
                Written::ToTakeOver(taken) => fact.plan.targets = NonEmpty::one(take_over(taken, fact.target())),
            }
        }
        Ok(Decided { base: snapshot.head.clone(), fact, edits, unchanged, there })
    }
}

/// An earlier commit of ours is synced again: what people pushed before that commit rides along, and what
/// they pushed later does not.
fn only_up_to(sha: &CommitSha, snapshot: &Snapshot, plan: &TargetPlan) -> TargetPlan {
    let later: Vec<_> = snapshot.since_live.iter().map(|touch| &touch.sha).take_while(|touch| *touch != sha).collect();
    TargetPlan { riders: plan.riders.only(|rider| !later.contains(&&rider.sha)), ..plan.clone() }
}

/// The same for a commit of ours that changed nothing. GitHub does not list such a commit for the app's path:
/// what rode along with the commit then rides along now.
fn again(before: &TargetPlan, plan: &TargetPlan) -> TargetPlan {
    let riders = match &before.riders {
        Riders::Since { commits: then, .. } => plan.riders.only(|rider| then.iter().any(|then| then.sha == rider.sha)),
        Riders::FirstDeploy => plan.riders.clone(),
    };
    with_taken(before, TargetPlan { riders, ..plan.clone() })
}

fn with_taken(before: &TargetPlan, plan: TargetPlan) -> TargetPlan {
    match before.taken.clone() {
        Some(taken) => take_over(taken, &plan),
        None => plan,
    }
}

/// The plan that takes over what somebody else has written.
fn take_over(taken: Taken, plan: &TargetPlan) -> TargetPlan {
    // What is in the file says nothing: the version that runs is replaced.
    let before = plan.previous.as_ref().map(|previous| previous.tag.to_string()).or(plan.before.clone());
    TargetPlan { taken: Some(taken), before, ..plan.clone() }
}

#[cfg(test)]
mod tests {
    use super::super::prepare::tests::snapshot;
    use super::*;
    use clients::github::{SourceState, Touch};
    use domain::deployment::samples::{sha, target_plan};
    use domain::deployment::{Previous, Rider};
    use domain::image::Tag;

    /// Commits of other people, newest first.
    fn riders(shas: &str) -> Riders {
        let rider = |digit| Rider { sha: sha(digit), who: "bob".to_owned(), headline: "Raise the replicas".to_owned() };
        Riders::Since { commits: shas.chars().map(rider).collect(), more: false }
    }

    fn plan(riders: Riders) -> TargetPlan {
        TargetPlan { riders, ..target_plan() }
    }

    /// All commits below the app's path since the live one, newest first.
    fn since_live(shas: &str) -> Snapshot {
        let touch = |digit| Touch {
            sha: sha(digit),
            headline: String::new(),
            deploy_ids: Vec::new(),
            login: None,
            name: "bob".to_owned(),
            lasts: true,
        };
        snapshot(SourceState::NoBranch, shas.chars().map(touch).collect())
    }

    fn taken() -> Taken {
        Taken { wrote: sha('e'), by: None, newest: sha('e') }
    }

    #[test]
    fn what_came_after_a_commit_that_is_synced_again_stays() {
        let check = |commit: char, shas: &str, rides: Riders, expected: Riders| {
            let found = only_up_to(&sha(commit), &since_live(shas), &plan(rides));
            assert_eq!(found, plan(expected), "{commit} of {shas}");
        };
        check('3', "12345", riders("1245"), riders("45"));
        check('1', "123", riders("23"), riders("23"));
        check('3', "123", riders("12"), riders(""));
        check('9', "123", riders("123"), riders(""));
        check('3', "123", Riders::FirstDeploy, Riders::FirstDeploy);
    }

    #[test]
    fn what_rode_along_with_an_empty_commit_rides_along_again() {
        let check = |then: Riders, now: Riders, expected: Riders| {
            assert_eq!(again(&plan(then), &plan(now)), plan(expected));
        };
        check(riders("23"), riders("1234"), riders("23"));
        check(riders(""), riders("12"), riders(""));
        check(Riders::FirstDeploy, riders("12"), riders("12"));
        let then = TargetPlan { taken: Some(taken()), ..plan(riders("2")) };
        let expected = TargetPlan { taken: Some(taken()), ..plan(riders("2")) };
        assert_eq!(again(&then, &plan(riders("12"))), expected);
    }

    #[test]
    fn a_takeover_replaces_the_version_that_runs() {
        let previous = Previous { tag: Tag::parse("main-7654321").unwrap(), head: Some(sha('7')) };
        let live = TargetPlan { previous: Some(previous), ..target_plan() };
        let expected = TargetPlan { taken: Some(taken()), before: Some("main-7654321".to_owned()), ..live.clone() };
        assert_eq!(take_over(taken(), &live), expected);
        // Nothing of ours is live: what was in the file.
        assert_eq!(take_over(taken(), &target_plan()), TargetPlan { taken: Some(taken()), ..target_plan() });
    }
}
