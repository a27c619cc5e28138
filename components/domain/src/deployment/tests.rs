//! One deployment as an example, then each decision as a table: facts and a look go in, what to do comes out.

use super::samples::*;
use super::*;
use crate::application::{
    Application, Condition, Health, Operation, OperationState, Phase, Pod, Resource, SyncStatus, Unwell,
};
use crate::fault::{Cause, Fault, System};
use crate::limits::Limits;
use crate::names::{ArgoApplication, BranchName, KubeName, PullRequestNumber};
use crate::refusal::Refusal;
use crate::time::Timestamp;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

fn said(word: LastWord) -> Option<OutcomeFact> {
    Some(OutcomeFact { at: at(60), word, application: None })
}

fn say(word: LastWord) -> Next {
    Next::Say(Said { word, application: None })
}

// ---- The fold ----

/// A fact on its way into the store.
#[derive(Clone, Debug)]
enum Arrival {
    Request,
    Commit,
    Committed,
    End(EndFact),
    Message,
    Cancel,
    Push,
    Watch(WatchFact),
    Outcome(OutcomeFact),
}

impl Facts {
    fn arrive(&mut self, arrival: &Arrival) {
        match arrival.clone() {
            Arrival::Request => self.request = Some(request()),
            Arrival::Commit => self.commit = Some(commit()),
            Arrival::Committed => self.committed = Some(committed()),
            Arrival::End(end) => self.end = Some(end),
            Arrival::Message => self.message = Some(MessageFact::default()),
            Arrival::Cancel => self.cancel = Some(CancelFact { by: None, at: at(1) }),
            Arrival::Push => self.push = Some(push()),
            Arrival::Watch(watch) => self.watch = Some(watch),
            Arrival::Outcome(outcome) => self.outcome = Some(outcome),
        }
    }
}

fn ends() -> [(End, State); 3] {
    let fault = Fault::new(System::GitHub, "read the GitOps repository", Cause::TimedOut);
    [
        (End::Refused { refusal: (&Refusal::CatalogChanged).into(), plans: Vec::new() }, State::Refused),
        (End::Failed { fault }, State::Failed),
        (End::Cancelled { by: None }, State::Cancelled),
    ]
}

fn last_words() -> [(LastWord, State); 5] {
    [
        (live(), State::Live),
        (LastWord::Failed { failure: Failure::NoSource }, State::Failed),
        (LastWord::Superseded { by_deployment: None, by_person: None }, State::Superseded),
        (LastWord::TimedOut { waiting: None, health: None }, State::TimedOut),
        (LastWord::Unknown, State::Unknown),
    ]
}

/// Some of the facts, in some order.
fn arrivals() -> impl Strategy<Value = Vec<Arrival>> {
    let end = prop::sample::select(ends().map(|(end, _)| end).to_vec());
    let word = prop::sample::select(last_words().map(|(word, _)| word).to_vec());
    let watch =
        any::<bool>().prop_map(|asked| ApplicationWatch { asked: asked.then(|| at(5)), ..ApplicationWatch::default() });
    (end, watch, word, prop::collection::vec(any::<bool>(), 9))
        .prop_map(|(end, watch, word, there)| {
            let end = Arrival::End(EndFact { at: at(5), end, contact: None, catalog: None });
            let all = [
                Arrival::Request,
                Arrival::Commit,
                Arrival::Committed,
                end,
                Arrival::Message,
                Arrival::Cancel,
                Arrival::Push,
                Arrival::Watch(watch.into()),
                Arrival::Outcome(OutcomeFact { at: at(60), word, application: None }),
            ];
            all.into_iter().zip(there).filter_map(|(fact, there)| there.then_some(fact)).collect::<Vec<_>>()
        })
        .prop_shuffle()
}

/// What the documentation says, in the words of the documentation: by priority, whatever else is there.
fn documented(facts: &[Arrival]) -> State {
    let find = |wanted: &dyn Fn(&Arrival) -> Option<State>| facts.iter().find_map(wanted);
    let last_word = |fact: &Arrival| match fact {
        Arrival::Outcome(OutcomeFact { word, .. }) => {
            last_words().into_iter().find(|(known, _)| known == word).map(|(_, state)| state)
        }
        _ => None,
    };
    let asked = facts.iter().any(|fact| matches!(fact, Arrival::Watch(watch) if watch.at(0).asked.is_some()));
    let pushed = facts.iter().any(|fact| matches!(fact, Arrival::Push));
    let committed = |fact: &Arrival| {
        let state = if asked {
            State::Syncing
        } else if pushed {
            State::Relayed
        } else {
            State::Committed
        };
        matches!(fact, Arrival::Committed).then_some(state)
    };
    let end = |fact: &Arrival| match fact {
        Arrival::End(fact) => ends().into_iter().find(|(known, _)| *known == fact.end).map(|(_, state)| state),
        _ => None,
    };
    let commit = |fact: &Arrival| matches!(fact, Arrival::Commit).then_some(State::Committing);
    find(&last_word).or(find(&committed)).or(find(&end)).or(find(&commit)).unwrap_or(State::Accepted)
}

proptest! {
    #[test]
    fn the_fold_is_total_and_knows_no_order(arrivals in arrivals()) {
        let mut facts = Facts::default();
        for (count, arrival) in (1..).zip(&arrivals) {
            let (before, end_only) = (facts.state(), facts.end.is_some() && !facts.watch_speaks());
            facts.arrive(arrival);
            prop_assert_eq!(facts.state(), documented(&arrivals[..count]));
            if before.is_final() && facts.state() != before {
                // That the watch never says a last word over an `end` is for `next`: see the test below.
                prop_assert!(end_only && matches!(arrival, Arrival::Committed | Arrival::Outcome(_)), "{:?}", arrival);
            }
        }
    }

    #[test]
    fn whoever_decides_never_speaks_over_an_end_and_never_twice(arrivals in arrivals(), seconds in 0_u64..2000) {
        let mut facts = Facts::default();
        arrivals.iter().for_each(|arrival| facts.arrive(arrival));
        let next = next(&facts, at(seconds), &Limits::default());
        let word = facts.outcome.is_some();
        match next {
            Next::Say(Said { word: LastWord::Failed { .. }, .. }) => prop_assert!(facts.committed.is_none() && facts.end.is_none() && !word),
            Next::Say(_) => prop_assert!((facts.committed.is_some() || facts.end.is_none()) && !word),
            Next::Tell => prop_assert!(word),
            Next::Sync { .. } => prop_assert!(facts.committed.is_some() && facts.commit.is_some() && !word),
            Next::LeaveAlone | Next::WaitUntil(_) => {}
        }
    }
}

#[test]
fn an_end_gives_way_to_the_commit_and_to_nothing_else_that_is_written_later() {
    let mut facts = Facts { request: Some(request()), end: Some(cancelled()), ..Facts::default() };
    assert_eq!(facts.state(), State::Cancelled);
    for arrival in
        [Arrival::Commit, Arrival::Push, Arrival::Cancel, Arrival::Message, Arrival::Watch(WatchFact::default())]
    {
        facts.arrive(&arrival);
        assert_eq!(facts.state(), State::Cancelled, "{arrival:?}");
    }
    facts.arrive(&Arrival::Committed);
    assert_eq!(facts.state(), State::Relayed);
}

#[test]
fn whoever_speaks_last_is_asked_whether_the_end_was_told() {
    let told = Voice { told_end: true, ..Voice::default() };
    let mut facts = Facts { request: Some(request()), ..Facts::default() };
    assert!(!facts.watch_speaks() && !facts.end_is_told());
    facts.end = Some(cancelled());
    assert!(!facts.end_is_told());
    facts.message = Some(MessageFact(told.clone()));
    assert!(facts.end_is_told());
    // The commit landed after all: what slack-command told was not the end.
    facts.committed = Some(committed());
    assert!(facts.watch_speaks() && !facts.end_is_told());
    facts.watch = Some(WatchFact { voice: told, ..WatchFact::default() });
    assert!(!facts.end_is_told(), "nothing final was said yet");
    facts.outcome = said(live());
    assert!(facts.end_is_told());
}

// ---- Where the message is ----

#[test]
fn the_message_of_the_watch_outranks_the_other() {
    let voice = |ts| Voice { place: Some(place(ts)), ..Voice::default() };
    let mut facts = Facts { request: Some(request()), ..Facts::default() };
    assert_eq!(facts.link(), None);
    facts.message = Some(MessageFact(voice("1503435956.000247")));
    assert_eq!(facts.link().unwrap(), "https://acme.slack.com/archives/C0G9QF9GW/p1503435956000247");
    facts.watch = Some(WatchFact::default());
    assert_eq!(facts.place(), Some(&place("1503435956.000247")));
    facts.watch = Some(WatchFact { voice: voice("1503435999.000100"), ..WatchFact::default() });
    assert_eq!(facts.link().unwrap(), "https://acme.slack.com/archives/C0G9QF9GW/p1503435999000100");
    facts.request.as_mut().unwrap().team_domain.clear();
    assert_eq!(facts.link(), None);
}

// ---- Busy ----

#[test]
fn a_target_is_busy_until_the_end_or_until_its_limit_and_two_minutes() {
    let check = |facts: &Facts, seconds: u64, expected: bool| {
        assert_eq!(
            facts.keeps_busy(at(seconds), &Limits::default()),
            expected,
            "{:?} after {seconds} s",
            facts.state()
        );
    };
    let accepted = Facts { request: Some(request()), ..Facts::default() };
    check(&accepted, 0, true);
    check(&accepted, 360 + 119, true);
    check(&accepted, 360 + 120, false);
    let committing = Facts { commit: Some(commit()), ..accepted.clone() };
    check(&committing, 360 + 119, true);
    check(&committing, 360 + 120, false);
    // From the commit on, which was at 3 s, Argo CD has 15 min to take the sync; then its own deadline counts.
    check(&relayed(), 3 + 900 + 119, true);
    check(&relayed(), 3 + 900 + 120, false);
    let taken = Facts {
        watch: Some(ApplicationWatch { taken: Some(at(800)), ..ApplicationWatch::default() }.into()),
        ..relayed()
    };
    check(&taken, 800 + 600 + 119, true);
    check(&taken, 800 + 600 + 120, false);
    let ended = Facts { end: Some(cancelled()), ..accepted.clone() };
    check(&ended, 6, false);
    check(&Facts { committed: Some(committed()), commit: Some(commit()), ..ended }, 6, true);
    check(&Facts { outcome: said(live()), ..relayed() }, 61, false);
    // Nothing is known of it: its facts were deleted.
    check(&Facts::default(), 0, false);
}

// ---- Next ----

fn check_next(facts: &Facts, seconds: u64, expected: Next) {
    assert_eq!(next(facts, at(seconds), &Limits::default()), expected, "{:?} after {seconds} s", facts.state());
}

#[test]
fn before_the_commit_the_watch_only_looks_at_the_clock() {
    let accepted = Facts { request: Some(request()), ..Facts::default() };
    let untried = Facts { commit: Some(CommitFact { attempts: Vec::new(), ..commit() }), ..accepted.clone() };
    let tried = Facts { commit: Some(commit()), ..accepted.clone() };
    let nothing_done = say(LastWord::Failed { failure: Failure::NothingDone });
    for facts in [&accepted, &untried, &tried] {
        check_next(facts, 0, Next::WaitUntil(at(360)));
        check_next(facts, 359, Next::WaitUntil(at(360)));
    }
    check_next(&accepted, 360, nothing_done.clone());
    check_next(&untried, 360, nothing_done);
    check_next(&tried, 360, say(LastWord::Unknown));
    for facts in [&accepted, &untried, &tried] {
        let ended = Facts { end: Some(cancelled()), ..facts.clone() };
        check_next(&ended, 10, Next::LeaveAlone);
        check_next(&ended, 3600, Next::LeaveAlone);
    }
    check_next(&Facts::default(), 3600, Next::LeaveAlone);
    // A `commit` that got lost: nobody can follow it, and nobody may say that nothing was changed.
    let lost = Facts { committed: Some(committed()), ..accepted };
    check_next(&lost, 10, Next::WaitUntil(at(360)));
    check_next(&lost, 360, say(LastWord::Unknown));
}

#[test]
fn after_the_commit_the_webhook_is_waited_for_but_not_for_long() {
    let unpushed = Facts { push: None, ..relayed() };
    check_next(&relayed(), 5, Next::Sync { refresh: false });
    check_next(&unpushed, 4, Next::WaitUntil(at(3 + 15)));
    check_next(&unpushed, 17, Next::WaitUntil(at(3 + 15)));
    check_next(&unpushed, 18, Next::Sync { refresh: true });
    let reused = Facts { committed: Some(CommittedFact { reused: true, ..committed() }), ..unpushed.clone() };
    check_next(&reused, 4, Next::Sync { refresh: true });
    check_next(&Facts { push: Some(push()), ..reused }, 4, Next::Sync { refresh: false });
    let asked = Facts {
        watch: Some(ApplicationWatch { asked: Some(at(4)), ..ApplicationWatch::default() }.into()),
        ..unpushed.clone()
    };
    check_next(&asked, 5, Next::Sync { refresh: false });
    // An `end` that was written by mistake does not stop it.
    check_next(&Facts { end: Some(cancelled()), ..relayed() }, 5, Next::Sync { refresh: false });
    // A limit that is shorter than the patience.
    let limits = Limits { sync_taken: Duration::from_secs(5), ..Limits::default() };
    assert_eq!(next(&unpushed, at(4), &limits), Next::WaitUntil(at(3 + 5)));
}

#[test]
fn argocd_has_its_time_to_take_the_sync_and_the_rollout_has_its_own() {
    let timed_out = || say(LastWord::TimedOut { waiting: None, health: None });
    // Committed at 3 s.
    check_next(&relayed(), 902, Next::Sync { refresh: false });
    check_next(&relayed(), 903, timed_out());
    // A request without an answer is not taken.
    let asked = ApplicationWatch { asked: Some(at(800)), ..ApplicationWatch::default() };
    let of = |watch: &ApplicationWatch| Facts { watch: Some(watch.clone().into()), ..relayed() };
    check_next(&of(&asked), 903, timed_out());
    let mut taken = asked;
    for again in [801, 1300] {
        // Our own repeat does not restart the count.
        taken.note_taken(at(again));
        check_next(&of(&taken), 801 + 599, Next::Sync { refresh: false });
        check_next(&of(&taken), 801 + 600, timed_out());
        assert_eq!(of(&taken).deadline(&Limits::default()), Some(at(801 + 600)));
    }
    // A deadline that is shorter than the time for the sync.
    let soon = ApplicationWatch { taken: Some(at(5)), ..ApplicationWatch::default() };
    check_next(&of(&soon), 605, timed_out());
}

#[test]
fn at_the_deadline_the_last_word_says_what_it_was_waiting_for() {
    // Until the sync is through, health is that of the version before.
    for (synced, health) in [(true, Some("Progressing".to_owned())), (false, None)] {
        let watch = ApplicationWatch {
            waiting: Some(Waiting::SyncWindow),
            progress: Some(Progress { synced, health: "Progressing".to_owned(), ..Progress::default() }),
            ..ApplicationWatch::default()
        };
        let word = LastWord::TimedOut { waiting: Some(Waiting::SyncWindow), health };
        check_next(&Facts { watch: Some(watch.into()), ..relayed() }, 903, say(word));
    }
}

/// Committed, and relayed: to `checkout-eu` and `checkout-us`.
fn to_two() -> Facts {
    let name = |name| ArgoApplication { name: KubeName::parse(name).unwrap(), ..application() };
    let mut plan = target_plan();
    plan.applications = vec![name("checkout-eu"), name("checkout-us")].try_into().unwrap();
    let commit = commit_to(plan);
    let committed = CommittedFact { commit: Box::new(commit.clone()), ..committed() };
    Facts { commit: Some(commit), committed: Some(committed), ..relayed() }
}

fn over(word: LastWord) -> ApplicationWatch {
    ApplicationWatch { over: Some(word), ..ApplicationWatch::default() }
}

#[test]
fn of_several_applications_all_have_to_be_live_and_one_that_fails_is_enough() {
    let live_by = |proof| over(LastWord::Live { proof, synced_by: None, urls: Vec::new() });
    let failed = over(LastWord::Failed { failure: Failure::Deleting });
    let of = |applications: &[ApplicationWatch]| {
        let watch = Some(WatchFact { applications: applications.to_vec(), ..WatchFact::default() });
        Facts { watch, ..to_two() }
    };
    let under_way = ApplicationWatch { taken: Some(at(5)), ..ApplicationWatch::default() };
    for one in [&[][..], &[live_by(Proof::Runs)], &[under_way.clone(), live_by(Proof::Runs)]] {
        check_next(&of(one), 10, Next::Sync { refresh: false });
    }
    // As well proven as where it is proven least.
    let both = of(&[live_by(Proof::NoImage), live_by(Proof::Runs)]);
    check_next(&both, 10, say(LastWord::Live { proof: Proof::NoImage, synced_by: None, urls: Vec::new() }));
    // The word names the application.
    let second = to_two().applications()[1].0.clone();
    for first in [ApplicationWatch::default(), under_way.clone(), live_by(Proof::Runs)] {
        let word = LastWord::Failed { failure: Failure::Deleting };
        let said = Said { word, application: Some(second.clone()) };
        check_next(&of(&[first, failed.clone()]), 10, Next::Say(said));
    }
    // Each has its own deadline, and what is over has none.
    let late = of(&[live_by(Proof::Runs), under_way.clone()]);
    assert_eq!(late.deadline(&Limits::default()), Some(at(605)));
    let word = LastWord::TimedOut { waiting: None, health: None };
    check_next(&late, 605, Next::Say(Said { word, application: Some(second) }));
}

#[test]
fn an_error_that_argo_cd_has_kept_is_got_past_once() {
    let message = "ComparisonError: Manifest generation error (cached): no route to host".to_owned();
    let mut scene = Scene::taken();
    scene.app.last = Some(OperationState { message, ..ours(Phase::Error) });
    scene.app.conditions = vec![Condition { kind: "ComparisonError".to_owned(), message: String::new() }];
    scene.app.compared = vec![sha('d').to_string()];
    assert_eq!(scene.step(20), Step::Render);
    // No answer yet.
    assert_eq!(scene.step(21), Step::LookAgainAt(at(80)));
    let failed = |step| matches!(step, Step::Over(LastWord::Failed { failure: Failure::Sync { .. } }));
    let (mut lost, mut broken, mut behind) = (scene.clone(), scene.clone(), scene.clone());
    assert_eq!((lost.step(80), lost.step(81)), (Step::Render, Step::LookAgainAt(at(140))));
    assert!(failed(lost.step(140)));
    broken.watch.rendering = Some(Rendering::Done);
    assert!(failed(broken.step(21)), "it does not render");
    // Somebody's commit is the branch's head.
    behind.watch.rendering = Some(Rendering::Done);
    (behind.app.conditions, behind.app.compared) = (Vec::new(), vec![sha('e').to_string()]);
    assert!(failed(behind.step(21)));
    scene.app.conditions = Vec::new();
    assert_eq!(scene.step(22), Step::Ask);
    (scene.watch.repeats, scene.watch.asked) = (2, Some(at(22)));
    // What is shown may be the operation before.
    let repeat = Limits::default().repeat;
    assert_eq!(scene.step(22), Step::LookAgainAt(at(22).after(repeat)));
    assert!(failed(scene.step(22 + repeat.as_secs())), "and again");
}

#[test]
fn a_last_word_is_told_once() {
    for (word, _) in last_words() {
        let mut facts = Facts { watch: Some(WatchFact::default()), outcome: said(word), ..relayed() };
        check_next(&facts, 61, Next::Tell);
        check_next(&facts, 7200, Next::Tell);
        facts.watch.as_mut().unwrap().voice.told_end = true;
        check_next(&facts, 61, Next::LeaveAlone);
    }
}

// ---- Step ----

/// One application over time, and what the watch remembers of it.
#[derive(Clone)]
struct Scene {
    facts: Facts,
    watch: ApplicationWatch,
    app: Application,
}

impl Scene {
    /// Healthy and running the old image; nothing was asked of it.
    fn quiet() -> Self {
        let app = Application {
            health: Health::Healthy,
            reconciled: Some(at(1)),
            images: vec!["ghcr.io/acme/checkout:main-1234567".to_owned()],
            urls: vec!["https://checkout.acme.example".to_owned()],
            ..Application::default()
        };
        Self { facts: relayed(), watch: ApplicationWatch::default(), app }
    }

    /// The sync was asked for at 5.4 s and Argo CD took it.
    fn taken() -> Self {
        let asked = Some(Timestamp(at(5).0 + 400));
        let last_before = Some(at(1));
        Self {
            watch: ApplicationWatch { asked, last_before, taken: asked, ..ApplicationWatch::default() },
            ..Self::quiet()
        }
    }

    /// Ours ended well at 8 s; Argo CD compared at `reconciled`, and found this health.
    fn succeeded(reconciled: u64, health: Health) -> Self {
        let mut scene = Self::taken();
        scene.app.last = Some(OperationState { finished: Some(at(8)), ..ours(Phase::Succeeded) });
        scene.app.reconciled = Some(at(reconciled));
        scene.app.health = health;
        scene.app.images = vec!["ghcr.io/acme/checkout:faster-cart-aaaaaaa".to_owned()];
        scene
    }

    fn step(&mut self, seconds: u64) -> Step {
        let (id, now, limits) = (id('1'), at(seconds), Limits::default());
        let pods = [Pod { images: self.app.images.clone(), runs: true, ..Pod::default() }];
        let view = View { id: &id, facts: &self.facts, app: &self.app, pods: None, now, limits: &limits };
        match step(view, &mut self.watch) {
            Step::LookAtPods => step(View { pods: Some(&pods), ..view }, &mut self.watch),
            other => other,
        }
    }
}

/// `<kind>/checkout` is not healthy.
fn unwell(kind: &str, health: Health, message: &str) -> Unwell {
    Unwell { kind: kind.to_owned(), name: "checkout".to_owned(), health, message: message.to_owned() }
}

/// The newest operation, begun at 5 s for us.
fn ours(phase: Phase) -> OperationState {
    OperationState {
        deploy_id: Some(id('1')),
        phase,
        started: Some(at(5)),
        revisions: vec![sha('d').to_string()],
        ..OperationState::default()
    }
}

/// The newest operation, begun by eve for something else.
fn foreign(phase: Phase, started: u64) -> OperationState {
    OperationState {
        phase,
        started: Some(at(started)),
        revisions: vec![sha('e').to_string()],
        by: Some("eve".to_owned()),
        ..OperationState::default()
    }
}

fn behind_eve() -> Step {
    Step::Wait(Some(Waiting::OtherOperation { by: Some("eve".to_owned()), of: None, hook: None }))
}

fn superseded_by_eve() -> Step {
    Step::Over(LastWord::Superseded { by_deployment: None, by_person: Some("eve".to_owned()) })
}

fn health_is(step: Step, health: &str) {
    match step {
        Step::Follow(progress) if progress.synced && progress.health == health => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_a_trace_of_ours_it_asks() {
    let mut scene = Scene::quiet();
    assert_eq!(scene.step(5), Step::Ask);
    for phase in [Phase::Succeeded, Phase::Failed, Phase::Error, Phase::Other] {
        scene.app.last = Some(foreign(phase, 1));
        assert_eq!(scene.step(5), Step::Ask, "{phase:?}");
    }
    // An earlier deployment synced the very same commit: that was not ours.
    scene.app.last = Some(OperationState { deploy_id: Some(id('2')), ..ours(Phase::Succeeded) });
    assert_eq!(scene.step(5), Step::Ask);
    // Nor was a person's sync to it.
    scene.app.last = Some(OperationState { deploy_id: None, ..ours(Phase::Succeeded) });
    assert_eq!(scene.step(5), Step::Ask);
    assert_eq!(scene.watch.taken, None);
}

#[test]
fn without_a_commit_or_with_an_application_that_goes_away_it_does_not_ask() {
    let mut scene = Scene::quiet();
    scene.app.deleting = true;
    assert_eq!(scene.step(5), Step::Over(LastWord::Failed { failure: Failure::Deleting }));
    scene.facts.committed = None;
    assert_eq!(scene.step(5), Step::Wait(None));
}

#[test]
fn after_an_ask_without_an_answer_it_looks_again_before_it_asks_again() {
    let mut scene = Scene::quiet();
    scene.watch.asked = Some(at(5));
    assert_eq!(scene.step(5), Step::LookAgainAt(at(8)));
    assert_eq!(scene.step(7), Step::LookAgainAt(at(8)));
    assert_eq!(scene.step(8), Step::Ask);
    // The same with an operation of before.
    scene.app.last = Some(foreign(Phase::Succeeded, 1));
    scene.watch.last_before = Some(at(1));
    assert_eq!(scene.step(7), Step::LookAgainAt(at(8)));
    assert_eq!(scene.step(8), Step::Ask);
}

#[test]
fn an_ask_without_an_answer_is_known_by_our_id() {
    let mut scene = Scene::quiet();
    scene.watch.asked = Some(at(5));
    scene.app.operation = Some(Operation { deploy_id: Some(id('1')), ..Operation::default() });
    assert!(matches!(scene.step(6), Step::Follow(_)));
    assert_eq!(scene.watch.taken, Some(at(6)));
    let mut scene = Scene::quiet();
    scene.watch.asked = Some(at(5));
    scene.app.last = Some(ours(Phase::Running));
    assert!(matches!(scene.step(6), Step::Follow(_)));
    assert_eq!(scene.watch.taken, Some(at(6)));
}

#[test]
fn ours_is_followed_while_it_runs() {
    let mut scene = Scene::taken();
    let resource = |status: &str| Resource { status: status.to_owned(), ..Resource::default() };
    for phase in [Phase::Running, Phase::Terminating, Phase::Other] {
        scene.app.last = Some(OperationState {
            message: "waiting for healthy state of apps/Deployment/checkout".to_owned(),
            retry_count: 1,
            resources: vec![resource("Synced"), resource("Synced"), resource("")],
            // Between two tries `finishedAt` is set: the phase decides.
            finished: Some(at(7)),
            ..ours(phase)
        });
        let expected = Progress {
            synced: false,
            health: "Healthy".to_owned(),
            message: "waiting for healthy state of apps/Deployment/checkout".to_owned(),
            resources: 2,
            retry: 1,
            holds: String::new(),
        };
        assert_eq!(scene.step(60), Step::Follow(expected), "{phase:?}");
    }
    // While Argo CD still has the request itself, the state beside it may be of before.
    scene.app.operation = Some(Operation { deploy_id: Some(id('1')), ..Operation::default() });
    scene.app.last = Some(OperationState { finished: Some(at(8)), ..ours(Phase::Succeeded) });
    assert!(matches!(scene.step(60), Step::Follow(Progress { synced: false, .. })));
}

#[test]
fn ours_that_failed_says_what_failed() {
    for phase in [Phase::Failed, Phase::Error] {
        let mut scene = Scene::taken();
        scene.watch.repeats = 2;
        scene.app.last =
            Some(OperationState { message: "one or more objects failed to apply".to_owned(), ..ours(phase) });
        let one = |n: u64| Unwell { name: format!("migrate-{n}"), ..unwell("Job", Health::Degraded, "exit code 1") };
        scene.app.unwell = (1..=7).map(one).collect();
        let Step::Over(LastWord::Failed { failure: Failure::Sync { message, resources } }) = scene.step(60) else {
            panic!("{phase:?}");
        };
        assert_eq!(message, "one or more objects failed to apply");
        assert_eq!((resources.len(), resources[4].as_str()), (5, "Job/migrate-5: exit code 1"));
    }
}

#[test]
fn a_success_on_another_commit_is_not_ours_to_call_live() {
    let mut scene = Scene::succeeded(9, Health::Healthy);
    scene.app.last.as_mut().unwrap().revisions = vec![sha('e').to_string()];
    scene.app.last.as_mut().unwrap().by = Some("eve".to_owned());
    assert_eq!(scene.step(10), superseded_by_eve());
    // Of several sources, one is the GitOps repository.
    scene.app.last.as_mut().unwrap().revisions = vec!["1.2.3".to_owned(), sha('d').to_string()];
    assert!(matches!(scene.step(10), Step::Over(LastWord::Live { .. })));
}

/// Argo CD has compared in the second in which the sync ended. Nothing but the cluster itself says whether that was after.
#[test]
fn a_comparison_of_the_same_second_counts_if_the_cluster_was_seen_to_differ_from_this_commit_and_does_no_more() {
    let ours_was = |status: SyncStatus, at_commit: char| {
        let mut scene = Scene::taken();
        scene.app.last = Some(ours(Phase::Running));
        (scene.app.sync_status, scene.app.compared) = (status, vec![sha(at_commit).to_string()]);
        assert!(matches!(scene.step(6), Step::Follow(_)));
        let ended = Scene::succeeded(8, Health::Healthy).app;
        scene.app = Application { sync_status: SyncStatus::Synced, compared: vec![sha('d').to_string()], ..ended };
        scene
    };
    let is_live = |mut scene: Scene| matches!(scene.step(8), Step::Over(LastWord::Live { .. }));
    let differed = || ours_was(SyncStatus::OutOfSync, 'd');
    assert!(is_live(differed()));
    // What was seen says nothing of what was applied.
    assert!(!is_live(ours_was(SyncStatus::OutOfSync, 'c')), "the version before differed");
    assert!(!is_live(ours_was(SyncStatus::Synced, 'd')), "nothing differed");
    let but = |change: &dyn Fn(&mut Application)| {
        let mut scene = differed();
        change(&mut scene.app);
        scene
    };
    assert!(!is_live(but(&|app| app.sync_status = SyncStatus::OutOfSync)), "the cluster differs still");
    assert!(!is_live(but(&|app| app.compared = vec![sha('e').to_string()])), "a later commit was compared");
    assert!(!is_live(but(&|app| app.reconciled = Some(at(7)))), "compared before the end");
    assert!(
        !is_live(but(&|app| app.last.as_mut().unwrap().revisions = Vec::new())),
        "it is not known what was applied"
    );
    assert!(!is_live(but(&|app| {
        app.conditions = vec![Condition { kind: "ComparisonError".to_owned(), message: String::new() }];
    })));
    // Where Argo CD says nothing of commits, nothing is proven.
    let mut silent = but(&|app| app.compared = Vec::new());
    silent.watch.differed = Vec::new();
    assert!(!is_live(silent));
}

#[test]
fn health_counts_only_from_a_comparison_strictly_later_than_the_end_of_the_sync() {
    for reconciled in [1, 7, 8] {
        let mut scene = Scene::succeeded(reconciled, Health::Healthy);
        health_is(scene.step(8), "");
        assert!(matches!(scene.step(9), Step::Refresh(Progress { synced: true, .. })));
        assert_eq!(scene.watch.refreshed, Some(at(9)));
        // Not every look is a reason to ask for the next comparison.
        health_is(scene.step(9), "");
        assert!(matches!(scene.step(10), Step::Refresh(_)));
        scene.app.reconciled = Some(at(9));
        let urls = vec!["https://checkout.acme.example".to_owned()];
        assert_eq!(scene.step(12), Step::Over(LastWord::Live { proof: Proof::Runs, synced_by: None, urls }));
    }
    let mut never = Scene::succeeded(9, Health::Healthy);
    never.app.reconciled = None;
    health_is(never.step(9), "");
    assert!(matches!(never.step(10), Step::Refresh(_)));
    // Argo CD's clock may be an hour ahead, or behind.
    for finished in [3600, 0] {
        let mut scene = Scene::succeeded(finished, Health::Healthy);
        scene.app.last = Some(OperationState { finished: Some(at(finished)), ..ours(Phase::Succeeded) });
        health_is(scene.step(9), "");
        assert!(matches!(scene.step(10), Step::Refresh(_)));
    }
}

/// Argo CD's cache is empty, or behind: the app is suspended, and no resource says why.
#[test]
fn a_pause_that_no_resource_explains_is_not_live() {
    for unwell in [
        Vec::new(),
        vec![Unwell {
            kind: "Rollout".to_owned(),
            name: "checkout".to_owned(),
            health: Health::Progressing,
            ..Unwell::default()
        }],
    ] {
        let mut scene = Scene::succeeded(9, Health::Suspended);
        scene.app.unwell = unwell;
        let images = Some(vec!["ghcr.io/acme/checkout:faster-cart-aaaaaaa".to_owned()]);
        let applied = Resource {
            kind: "Rollout".to_owned(),
            name: "checkout".to_owned(),
            status: "Synced".to_owned(),
            images,
            ..Resource::default()
        };
        scene.app.last.as_mut().unwrap().resources = vec![applied];
        assert!(matches!(scene.step(10), Step::Follow(_)), "{:?}", scene.app.unwell);
    }
}

/// repo-server was away at the moment of the comparison: what Argo CD shows since is old.
#[test]
fn a_comparison_that_failed_is_asked_for_again() {
    let mut scene = Scene::succeeded(9, Health::Progressing);
    scene.app.conditions =
        vec![Condition { kind: "ComparisonError".to_owned(), message: "connection refused".to_owned() }];
    scene.app.to_prune = vec!["Deployment/checkout".to_owned()];
    let asked: Vec<u64> = (9..=30).filter(|&second| matches!(scene.step(second), Step::Refresh(_))).collect();
    assert_eq!(asked, [10, 11, 12, 14, 18, 26]);
    assert_eq!((scene.watch.remarks.to_prune, scene.watch.remarks.conditions.len()), (0, 1), "nothing is left over");
    scene.app.conditions.clear();
    health_is(scene.step(31), "Progressing");
    assert_eq!(scene.watch.remarks.to_prune, 1);
}

/// The sync ended while nobody could see Argo CD: the event of its comparison has passed.
#[test]
fn after_an_outage_the_comparison_is_asked_for_at_once() {
    let mut scene = Scene::succeeded(8, Health::Healthy);
    let fault = Fault::new(System::ArgoCd, "read", Cause::TimedOut);
    scene.watch.waiting = Some(Waiting::ArgoCd { fault });
    assert!(matches!(scene.step(30), Step::Refresh(_)));
    scene.watch.waiting = None;
    health_is(scene.step(30), "");
}

/// After `InvalidSpecError` Argo CD never compares until somebody mends that.
#[test]
fn a_comparison_that_does_not_come_is_asked_for_less_and_less_often() {
    let mut scene = Scene::succeeded(7, Health::Unknown);
    let asked: Vec<u64> = (8..=200).filter(|&second| matches!(scene.step(second), Step::Refresh(_))).collect();
    assert_eq!(asked, [9, 10, 11, 13, 17, 25, 41, 73, 105, 137, 169]);
    // When it comes, it counts at once, and the next operation starts anew.
    (scene.app.reconciled, scene.app.health) = (Some(at(9)), Health::Healthy);
    assert!(matches!(scene.step(201), Step::Over(LastWord::Live { .. })));
    assert_eq!(scene.watch.refreshes, 0);
}

#[test]
fn each_health_after_our_sync() {
    assert!(matches!(Scene::succeeded(9, Health::Healthy).step(9), Step::Over(LastWord::Live { .. })));
    for health in [Health::Suspended, Health::Progressing, Health::Missing, Health::Unknown] {
        health_is(Scene::succeeded(9, health).step(300), &format!("{health:?}"));
    }
}

/// Pods are replaced one after the other, and Argo CD's picture of the cluster may be older than what it has just applied.
#[test]
fn healthy_without_our_image_is_borne_for_a_while_and_not_live() {
    let other = || {
        let mut scene = Scene::succeeded(9, Health::Healthy);
        scene.app.images = (1..=7).map(|n| format!("ghcr.io/acme/checkout:main-{n}")).collect();
        scene
    };
    let mut scene = other();
    assert_eq!(scene.step(9), Step::LookAgainAt(at(69)));
    let found = scene.app.images[..5].to_vec();
    let wanted = "ghcr.io/acme/checkout:faster-cart-aaaaaaa".to_owned();
    let failure = Failure::OtherImage { wanted, found, why: Doubt::OtherTag };
    assert_eq!(scene.step(69), Step::Over(LastWord::Failed { failure }));
    let mut scene = other();
    assert_eq!(scene.step(9), Step::LookAgainAt(at(69)));
    scene.app.images = vec!["ghcr.io/acme/checkout:faster-cart-aaaaaaa".to_owned()];
    assert!(matches!(scene.step(10), Step::Over(LastWord::Live { .. })));
}

/// An entry of our operation: applied, with these images.
fn applied(kind: &str, images: &[&str]) -> Resource {
    Resource {
        kind: kind.to_owned(),
        name: "checkout".to_owned(),
        status: "Synced".to_owned(),
        images: Some(images.iter().map(|image| (*image).to_owned()).collect()),
        ..Resource::default()
    }
}

#[test]
fn what_our_sync_applied_counts_where_no_pod_runs() {
    const NEW: &str = "ghcr.io/acme/checkout:faster-cart-aaaaaaa";
    let of = |resources| {
        let mut scene = Scene::succeeded(9, Health::Healthy);
        scene.app.images = Vec::new();
        scene.app.last.as_mut().unwrap().resources = resources;
        match scene.step(9) {
            Step::LookAgainAt(moment) if moment == at(69) => scene.step(69),
            other => other,
        }
    };
    // Zero replicas, only CronJobs, a project that shows no Pods.
    assert!(matches!(
        of(vec![applied("Deployment", &[NEW])]),
        Step::Over(LastWord::Live { proof: Proof::Applied, .. })
    ));
    assert!(matches!(of(Vec::new()), Step::Over(LastWord::Live { proof: Proof::NoImage, .. })));
    // A migration carries the tag, the Deployment does not.
    let hook = Resource { hook_type: "PreSync".to_owned(), status: String::new(), ..applied("Job", &[NEW]) };
    let fixed = vec![hook, applied("Deployment", &["ghcr.io/acme/base:1"])];
    let failure = LastWord::Failed {
        failure: Failure::OtherImage {
            wanted: NEW.to_owned(),
            found: vec!["ghcr.io/acme/base:1".to_owned()],
            why: Doubt::NotUsed,
        },
    };
    assert_eq!(of(fixed), Step::Over(failure));
}

#[test]
fn without_a_proof_our_sync_and_health_decide() {
    let of = |health| {
        let mut scene = Scene::succeeded(9, health);
        scene.app.images = vec!["quay.io/else/thing:1".to_owned()];
        scene.app.last.as_mut().unwrap().resources = vec![applied("Deployment", &["quay.io/else/thing:1"])];
        let plan = scene.facts.committed.as_mut().unwrap().commit.target_mut();
        plan.verify_running = crate::image::VerifyRunning::Off;
        scene
    };
    assert!(matches!(of(Health::Healthy).step(9), Step::Over(LastWord::Live { proof: Proof::NotAsked, .. })));
    health_is(of(Health::Progressing).step(9), "Progressing");
    // A pause may be ours.
    let mut paused = of(Health::Suspended);
    paused.app.unwell = vec![unwell("Deployment", Health::Suspended, "")];
    health_is(paused.step(9), "Suspended");
    // Somebody synced something else over ours: the images do not say whether ours is still there.
    let mut over = of(Health::Healthy);
    let theirs = OperationState { finished: Some(at(10)), ..foreign(Phase::Succeeded, 9) };
    (over.app.last, over.app.reconciled) = (Some(theirs), Some(at(11)));
    assert_eq!(over.step(12), superseded_by_eve());
}

#[test]
fn a_pause_is_a_stage_unless_our_sync_did_not_touch_it() {
    let mut scene = Scene::succeeded(9, Health::Suspended);
    scene.app.unwell = vec![unwell("Rollout", Health::Suspended, "")];
    health_is(scene.step(300), "Suspended");
    scene.app.last.as_mut().unwrap().resources =
        vec![applied("Rollout", &["ghcr.io/acme/checkout:faster-cart-aaaaaaa"])];
    health_is(scene.step(300), "Suspended");
    scene.app.unwell = vec![unwell("ScaledObject", Health::Suspended, "")];
    assert!(matches!(scene.step(300), Step::Over(LastWord::Live { .. })));
}

/// What a person synced after us, and how that is judged.
#[test]
fn a_foreign_operation_is_judged_by_what_it_applied() {
    const NEW: &str = "ghcr.io/acme/checkout:faster-cart-aaaaaaa";
    let after = |phase, images: &[&str], ours_before: bool| {
        let mut scene = Scene::taken();
        let resources = if images.is_empty() { Vec::new() } else { vec![applied("Deployment", images)] };
        scene.app.last = Some(OperationState { resources, finished: Some(at(10)), ..foreign(phase, 9) });
        (scene.app.reconciled, scene.app.images) = (Some(at(11)), vec![NEW.to_owned()]);
        scene.app.history = if ours_before { vec![(Some(at(8)), vec![sha('d').to_string()])] } else { Vec::new() };
        scene
    };
    let is_live = |step| matches!(step, Step::Over(LastWord::Live { .. }));
    // A newer commit with our tag; redis alone, while ours runs; nothing at all, while ours runs.
    assert!(is_live(after(Phase::Succeeded, &[NEW], false).step(12)));
    assert!(is_live(after(Phase::Succeeded, &["redis:7"], true).step(12)));
    assert!(is_live(after(Phase::Succeeded, &[], true).step(12)));
    // Another tag of ours was applied, even if the rest failed.
    for phase in [Phase::Succeeded, Phase::Failed] {
        assert_eq!(after(phase, &["ghcr.io/acme/checkout:old"], true).step(12), superseded_by_eve());
    }
    assert_eq!(after(Phase::Succeeded, &["redis:7"], false).step(12), superseded_by_eve());
    // Theirs failed over ours: asked for again, but not if hooks of ours have run.
    assert_eq!(after(Phase::Failed, &[], false).step(60), Step::Ask);
    let mut scene = after(Phase::Failed, &[], false);
    scene.watch.hooks_ran = true;
    assert_eq!(scene.step(60), superseded_by_eve());
    let mut scene = after(Phase::Failed, &[], false);
    scene.watch.repeats = 2;
    assert_eq!(scene.step(60), superseded_by_eve());
}

#[test]
fn a_hook_that_holds_our_sync_is_known_with_how_long() {
    let hook = |name: &str, kind: &str, phase: &str| Resource {
        kind: "Job".to_owned(),
        name: name.to_owned(),
        hook_type: kind.to_owned(),
        hook_phase: phase.to_owned(),
        ..Resource::default()
    };
    let mut scene = Scene::taken();
    scene.app.operation = Some(Operation { deploy_id: Some(id('1')), ..Operation::default() });
    let mut step = |resources: Vec<Resource>, seconds: u64| {
        scene.app.last = Some(OperationState { resources, ..ours(Phase::Running) });
        scene.step(seconds);
        scene.watch.remarks.hook.clone().map(|(name, minutes)| format!("{name} {minutes}"))
    };
    assert_eq!(step(vec![hook("migrate", "PreSync", "Running")], 10).as_deref(), Some("Job/migrate (PreSync hook) 0"));
    assert_eq!(step(vec![hook("migrate", "PreSync", "Running")], 200).as_deref(), Some("Job/migrate (PreSync hook) 3"));
    // Another hook has its own time.
    let then = || vec![hook("migrate", "PreSync", "Succeeded"), hook("smoke", "PostSync", "Running")];
    assert_eq!(step(then(), 210).as_deref(), Some("Job/smoke (PostSync hook) 0"));
    let two = [then(), vec![hook("load", "PostSync", "Running")]].concat();
    assert_eq!(step(two, 220).as_deref(), Some("Job/smoke (PostSync hook) and 1 more 0"));
    // What is no hook has a phase, too.
    assert_eq!(step(vec![hook("checkout", "", "Running")], 230), None);
    assert_eq!(step(then(), 300).as_deref(), Some("Job/smoke (PostSync hook) 0"));
    scene.app.operation = None;
    scene.app.last = Some(OperationState { resources: then(), ..ours(Phase::Failed) });
    scene.step(310);
    assert_eq!(scene.watch.remarks.hook, None);
}

/// Argo CD still has the request while its hooks run, and somebody may replace the request then.
#[test]
fn hooks_that_ran_before_somebody_replaced_our_sync_are_not_run_again() {
    let mut scene = Scene::taken();
    let hook = Resource { hook_type: "PreSync".to_owned(), hook_phase: "Running".to_owned(), ..Resource::default() };
    scene.app.operation = Some(Operation { deploy_id: Some(id('1')), ..Operation::default() });
    scene.app.last = Some(OperationState { resources: vec![hook], ..ours(Phase::Running) });
    assert!(matches!(scene.step(7), Step::Follow(_)));
    scene.app.operation = None;
    scene.app.last = Some(OperationState { finished: Some(at(10)), ..foreign(Phase::Failed, 9) });
    assert_eq!(scene.step(60), superseded_by_eve());
}

/// A Rollout may take its Pods from a Deployment: then Argo CD names no image of the Rollout.
#[test]
fn a_paused_rollout_without_images_is_not_live() {
    const NEW: &str = "ghcr.io/acme/checkout:faster-cart-aaaaaaa";
    let mut scene = Scene::succeeded(9, Health::Suspended);
    scene.app.last.as_mut().unwrap().resources = vec![applied("Deployment", &[NEW]), applied("Job", &["worker:1"])];
    scene.app.unwell = vec![unwell("Rollout", Health::Suspended, "")];
    health_is(scene.step(300), "Suspended");
    // A paused resource with another image has no part in our version.
    scene.app.unwell = vec![unwell("Job", Health::Suspended, "")];
    assert!(matches!(scene.step(300), Step::Over(LastWord::Live { .. })));
}

#[test]
fn a_doubt_about_the_image_and_one_about_the_health_have_a_clock_each() {
    let mut scene = Scene::succeeded(9, Health::Healthy);
    scene.app.images = vec!["ghcr.io/acme/checkout:main-1234567".to_owned()];
    assert_eq!(scene.step(9), Step::LookAgainAt(at(69)));
    scene.app.health = Health::Degraded;
    assert_eq!(scene.step(40), Step::LookAgainAt(at(50)));
    scene.app.health = Health::Healthy;
    assert_eq!(scene.step(45), Step::LookAgainAt(at(105)));
}

#[test]
fn a_fault_of_argocds_own_is_repeated_twice_and_never_a_hook() {
    let lost = "dial tcp 10.0.0.1:443: connect: connection refused";
    let url = "https://10.0.0.1/apis/batch/v1/namespaces/checkout/jobs?fieldManager=argocd-controller";
    let unsent = format!("Post \"{url}\": {lost}");
    let failed =
        |text: &str| Resource { status: "SyncFailed".to_owned(), message: text.to_owned(), ..Resource::default() };
    let hook = || Resource { hook_type: "PreSync".to_owned(), hook_phase: "Failed".to_owned(), ..Resource::default() };
    for (phase, resources, repeats) in [
        (Phase::Error, Vec::new(), true),
        (Phase::Failed, vec![failed(lost)], true),
        (Phase::Failed, Vec::new(), false),
        (Phase::Failed, vec![failed(lost), failed("field is immutable")], false),
        (Phase::Error, vec![hook()], false),
        // Kubernetes was away when the hook should have been made. What a hook itself says is something else.
        (Phase::Failed, vec![Resource { message: unsent.clone(), ..hook() }], true),
        (Phase::Failed, vec![Resource { message: lost.to_owned(), ..hook() }], false),
        (Phase::Failed, vec![Resource { message: unsent.clone(), ..hook() }, hook()], false),
    ] {
        let mut scene = Scene::taken();
        scene.app.last = Some(OperationState { resources, finished: Some(at(8)), ..ours(phase) });
        if repeats {
            assert!(matches!(scene.step(9), Step::LookAgainAt(_)), "{phase:?}");
            assert_eq!(scene.step(60), Step::Ask, "{phase:?}");
            // Right after a repeat the end may be that of the operation before.
            (scene.watch.repeats, scene.watch.asked) = (2, Some(at(59)));
            assert!(matches!(scene.step(60), Step::LookAgainAt(_)), "{phase:?}");
            scene.watch.asked = Some(at(5));
            // A retry of Argo CD's own forgets the hooks that ran before it.
            scene.watch.repeats = 1;
            scene.app.last.as_mut().unwrap().retry_count = 1;
        }
        assert!(matches!(scene.step(60), Step::Over(LastWord::Failed { failure: Failure::Sync { .. } })), "{phase:?}");
    }
}

#[test]
fn degraded_is_borne_for_its_grace_and_seen_twice() {
    let mut scene = Scene::succeeded(9, Health::Degraded);
    scene.app.health_message = "back-off restarting failed container".to_owned();
    scene.app.unwell = vec![unwell("Deployment", Health::Degraded, "1 of 2 replicas")];
    assert_eq!(scene.step(9), Step::LookAgainAt(at(19)));
    assert_eq!(scene.step(18), Step::LookAgainAt(at(19)));
    let failure = Failure::Degraded {
        message: "back-off restarting failed container".to_owned(),
        resources: vec!["Deployment/checkout: 1 of 2 replicas".to_owned()],
    };
    assert_eq!(scene.step(19), Step::Over(LastWord::Failed { failure }));

    // One look is never enough, however late and however short the grace.
    let mut scene = Scene::succeeded(9, Health::Degraded);
    scene.facts.committed.as_mut().unwrap().commit.target_mut().degraded_grace = Duration::ZERO;
    assert_eq!(scene.step(100), Step::LookAgainAt(at(100)));
    assert!(matches!(scene.step(100), Step::Over(_)));
}

#[test]
fn degraded_that_recovers_starts_anew() {
    let mut scene = Scene::succeeded(9, Health::Degraded);
    assert_eq!(scene.step(9), Step::LookAgainAt(at(19)));
    scene.app.health = Health::Progressing;
    health_is(scene.step(18), "Progressing");
    assert_eq!((scene.watch.degraded_since, scene.watch.degraded_seen), (None, 0));
    scene.app.health = Health::Degraded;
    assert_eq!(scene.step(20), Step::LookAgainAt(at(30)));
    scene.app.health = Health::Healthy;
    assert!(matches!(scene.step(25), Step::Over(LastWord::Live { .. })));
}

#[test]
fn what_was_degraded_before_gets_a_minute_at_least() {
    let mut scene = Scene::succeeded(9, Health::Degraded);
    scene.watch.degraded_before = true;
    assert_eq!(scene.step(9), Step::LookAgainAt(at(69)));
    assert_eq!(scene.step(68), Step::LookAgainAt(at(69)));
    assert!(matches!(scene.step(69), Step::Over(LastWord::Failed { failure: Failure::Degraded { .. } })));
    let mut scene = Scene::succeeded(9, Health::Degraded);
    scene.watch.degraded_before = true;
    scene.facts.committed.as_mut().unwrap().commit.target_mut().degraded_grace = Duration::from_secs(90);
    assert_eq!(scene.step(9), Step::LookAgainAt(at(99)));
}

#[test]
fn what_was_so_before_our_sync_does_not_count() {
    let ingress = || unwell("Ingress", Health::Progressing, "");
    let of = |before: &[Unwell], now: &[Unwell]| {
        let health = now.iter().map(|one| one.health).max().unwrap_or(Health::Healthy);
        let mut scene = Scene::succeeded(9, health);
        before_sync(&Application { unwell: before.to_vec(), ..scene.app.clone() }, &target_plan(), &mut scene.watch);
        scene.app.unwell = now.to_vec();
        scene
    };
    let mut so = of(&[ingress()], &[ingress()]);
    assert!(matches!(so.step(9), Step::Over(LastWord::Live { .. })));
    let because = vec!["Ingress/checkout".to_owned()];
    assert_eq!(
        so.watch.remarks.as_before,
        Some(AsBefore { health: "Progressing".to_owned(), because, theirs: Vec::new() })
    );
    let Step::Follow(progress) = of(&[], &[ingress()]).step(300) else { panic!("not followed") };
    assert_eq!((progress.health.as_str(), progress.holds.as_str()), ("Progressing", "Ingress/checkout is progressing"));
    // The rollout itself is not over, and its health is the one to name.
    let hpa = || unwell("HorizontalPodAutoscaler", Health::Degraded, "no metrics");
    let rollout = || unwell("Deployment", Health::Progressing, "1 of 2 replicas");
    health_is(of(&[hpa()], &[hpa(), rollout()]).step(300), "Progressing");
    // A failure names only what is not excused, and is not slower because of what is.
    let late = || unwell("Deployment", Health::Degraded, "Deployment exceeded its progress deadline");
    let mut failed = of(&[hpa()], &[hpa(), late()]);
    assert!(!failed.watch.degraded_before);
    failed.step(9);
    let Step::Over(LastWord::Failed { failure: Failure::Degraded { resources, .. } }) = failed.step(10) else {
        panic!("not failed")
    };
    assert_eq!(resources, ["Deployment/checkout: Deployment exceeded its progress deadline"]);
}

#[test]
fn a_foreign_operation_is_waited_for() {
    // Asked for, but not begun: nothing tells whether that was before or after ours.
    let mut scene = Scene::quiet();
    scene.app.operation = Some(Operation { by: Some("eve".to_owned()), ..Operation::default() });
    assert_eq!(scene.step(6), behind_eve());
    // Begun before we asked, by Argo CD's own clock, however far that is from ours.
    for (asked, taken, started) in [(None, None, 1), (Some(at(5)), None, 1), (Some(at(5)), Some(at(6)), 50)] {
        let mut scene = Scene::quiet();
        (scene.watch.asked, scene.watch.taken) = (asked, taken);
        scene.watch.last_before = asked.map(|_| at(started));
        scene.app.operation = Some(Operation { by: Some("eve".to_owned()), ..Operation::default() });
        scene.app.last = Some(foreign(Phase::Running, started));
        assert_eq!(scene.step(9), behind_eve(), "{asked:?} {taken:?} {started}");
        scene.app.operation = None;
        assert_eq!(scene.step(9), behind_eve(), "{asked:?} {taken:?} {started}");
        scene.app.last = Some(foreign(Phase::Terminating, started));
        assert_eq!(scene.step(9), behind_eve());
        scene.app.last = Some(foreign(Phase::Succeeded, started));
        assert_eq!(scene.step(9), Step::Ask, "{asked:?} {taken:?} {started}");
    }
}

#[test]
fn a_foreign_operation_after_ours_supersedes_it() {
    // Argo CD's clock may be behind ours: what counts is what was there when we asked.
    let mut behind = Scene::taken();
    behind.watch.asked = Some(at(500));
    behind.app.last = Some(foreign(Phase::Succeeded, 9));
    assert_eq!(behind.step(501), superseded_by_eve());
    // Whether or not we know that ours was taken: it may have been, and what came after it is newer.
    for taken in [Some(at(6)), None] {
        let mut scene = Scene::taken();
        scene.watch.taken = taken;
        scene.app.last = Some(foreign(Phase::Running, 9));
        scene.app.operation = Some(Operation { by: Some("eve".to_owned()), ..Operation::default() });
        // Which version it brings is known when it has ended.
        assert_eq!(scene.step(9), behind_eve());
        scene.app.operation = None;
        scene.app.last = Some(foreign(Phase::Succeeded, 9));
        assert_eq!(scene.step(9), superseded_by_eve());
        // It failed: it took nothing away.
        scene.app.last = Some(foreign(Phase::Failed, 9));
        assert_eq!(scene.step(60), Step::Ask);
        // A newer commit that has our tag, too.
        let images = applied("Deployment", &["ghcr.io/acme/checkout:faster-cart-aaaaaaa"]);
        let theirs = OperationState { resources: vec![images], finished: Some(at(10)), ..foreign(Phase::Succeeded, 9) };
        scene.app.last = Some(theirs);
        (scene.app.reconciled, scene.app.health) = (Some(at(11)), Health::Healthy);
        scene.app.images = vec!["ghcr.io/acme/checkout:faster-cart-aaaaaaa".to_owned()];
        let Step::Over(LastWord::Live { synced_by, .. }) = scene.step(69) else { panic!("not live") };
        assert_eq!(synced_by.as_deref(), Some("eve"));
    }
}

#[test]
fn the_history_may_prove_that_ours_succeeded_before_it_was_superseded() {
    let proven = || {
        let mut scene = Scene::taken();
        scene.app.last = Some(foreign(Phase::Succeeded, 9));
        scene.app.reconciled = Some(at(10));
        scene.app.images = vec!["ghcr.io/acme/checkout:faster-cart-aaaaaaa".to_owned()];
        scene.app.history = vec![(Some(at(1)), vec![sha('f').to_string()]), (Some(at(5)), vec![sha('d').to_string()])];
        scene
    };
    assert!(matches!(proven().step(9), Step::Over(LastWord::Live { .. })));
    let spoilt: [fn(&mut Scene); 4] = [
        |scene| scene.app.health = Health::Degraded,
        |scene| scene.app.images = vec!["ghcr.io/acme/checkout:main-1234567".to_owned()],
        // A commit that was there before may be in the history from then.
        |scene| {
            scene.facts.committed.as_mut().unwrap().reused = true;
            scene.app.history[1].0 = Some(at(1));
        },
        |scene| scene.app.history[1].1 = vec![sha('e').to_string()],
    ];
    for spoil in spoilt {
        let mut scene = proven();
        spoil(&mut scene);
        // The Pods of ours may still come.
        let step = scene.step(9);
        let step = if step == Step::LookAgainAt(at(69)) { scene.step(69) } else { step };
        assert_eq!(step, superseded_by_eve());
    }
}

#[test]
fn the_same_commit_once_more_by_somebody_is_still_ours() {
    let mut scene = Scene::taken();
    scene.app.history = vec![(Some(at(8)), vec![sha('d').to_string()])];
    scene.app.images = vec!["ghcr.io/acme/checkout:faster-cart-aaaaaaa".to_owned()];
    let again = OperationState { revisions: vec![sha('d').to_string()], ..foreign(Phase::Running, 9) };
    let revisions = again.revisions.clone();
    scene.app.operation = Some(Operation { by: again.by.clone(), revisions, ..Operation::default() });
    scene.app.last = Some(again.clone());
    assert!(matches!(scene.step(9), Step::Follow(_)));
    scene.app.operation = None;
    scene.app.last = Some(OperationState { phase: Phase::Succeeded, finished: Some(at(10)), ..again });
    (scene.app.reconciled, scene.app.health) = (Some(at(11)), Health::Progressing);
    health_is(scene.step(11), "Progressing");
    scene.app.health = Health::Healthy;
    assert!(matches!(scene.step(12), Step::Over(LastWord::Live { .. })));
}

/// Our question was lost, and somebody synced the same commit at that moment.
#[test]
fn the_same_commit_by_somebody_in_place_of_ours_is_waited_for_and_asked_for_if_it_fails() {
    let mut scene = Scene::taken();
    scene.watch.taken = None;
    let theirs = OperationState { revisions: vec![sha('d').to_string()], ..foreign(Phase::Running, 9) };
    let revisions = theirs.revisions.clone();
    scene.app.operation = Some(Operation { by: theirs.by.clone(), revisions, ..Operation::default() });
    scene.app.last = Some(theirs.clone());
    assert_eq!(
        scene.step(9),
        Step::Wait(Some(Waiting::OtherOperation { by: Some("eve".to_owned()), of: None, hook: None }))
    );
    scene.app.operation = None;
    scene.app.last = Some(OperationState { phase: Phase::Failed, finished: Some(at(10)), ..theirs.clone() });
    assert_eq!(scene.step(60), Step::Ask);
    scene.app.last = Some(OperationState { phase: Phase::Succeeded, finished: Some(at(10)), ..theirs });
    scene.app.history = vec![(Some(at(10)), vec![sha('d').to_string()])];
    scene.app.images = vec!["ghcr.io/acme/checkout:faster-cart-aaaaaaa".to_owned()];
    (scene.app.reconciled, scene.app.health) = (Some(at(11)), Health::Healthy);
    assert!(matches!(scene.step(12), Step::Over(LastWord::Live { .. })));
}

#[test]
fn auto_sync_counts_on_exactly_our_commit() {
    let automatic = |revision: char| OperationState {
        deploy_id: None,
        revisions: vec![sha(revision).to_string()],
        finished: Some(at(8)),
        ..ours(Phase::Succeeded)
    };
    let mut scene = Scene::succeeded(9, Health::Healthy);
    scene.watch = ApplicationWatch::default();
    scene.app.automated = true;
    scene.app.last = Some(automatic('d'));
    assert!(matches!(scene.step(9), Step::Over(LastWord::Live { .. })));
    assert!(scene.watch.automated && scene.watch.taken == Some(at(9)));

    scene.watch = ApplicationWatch::default();
    scene.app.last = Some(automatic('e'));
    let waits = Step::Wait(Some(Waiting::AutoSync { is_on: true }));
    assert_eq!(scene.step(9), waits, "Argo CD would refuse another commit than its own");
    // An operation of another deployment is that deployment's, auto-sync or not.
    scene.app.last = Some(OperationState { deploy_id: Some(id('2')), ..automatic('d') });
    assert_eq!(scene.step(9), waits);

    scene.app.operation = Some(Operation { revisions: vec![sha('d').to_string()], ..Operation::default() });
    assert!(matches!(scene.step(9), Step::Follow(_)));
    scene.app.automated = false;
    assert_eq!(scene.step(9), Step::Wait(Some(Waiting::OtherOperation { by: None, of: None, hook: None })));
    assert!(!scene.watch.automated);
}

// ---- Which commit is ours ----

#[test]
fn a_commit_is_ours_only_if_all_of_it_is() {
    let fact = commit();
    let (ours, base, files) = (sha('b'), sha('e'), fact.attempts[0].files.clone());
    let two_files = BTreeMap::from([(path("checkout/values.yaml"), blob('c')), (path("README.md"), blob('e'))]);
    let wrong = BTreeMap::from([(path("checkout/values.yaml"), blob('e'))]);
    let elsewhere = BTreeMap::from([(path("search/values.yaml"), blob('c'))]);
    let (one, other) = (std::slice::from_ref(&ours), std::slice::from_ref(&base));
    let merge = [ours.clone(), base.clone()];
    let good = Candidate {
        parents: one,
        changed_files: Some(1),
        blobs: &files,
        deploy_id: Some(id('1')),
        signed_by_github: true,
        always_signed: true,
        by_us: Some(true),
    };
    let unsigned = Candidate { signed_by_github: false, ..good.clone() };
    for (why, candidate, expected) in [
        ("signed and by us", good.clone(), true),
        ("signed, by no account", Candidate { by_us: None, ..good.clone() }, true),
        ("made on GitHub's pages by somebody else", Candidate { by_us: Some(false), ..good.clone() }, false),
        ("unsigned, in our name", unsigned.clone(), false),
        ("unsigned, by us, where GitHub need not sign", Candidate { always_signed: false, ..unsigned.clone() }, true),
        ("unsigned, by no account", Candidate { always_signed: false, by_us: None, ..unsigned.clone() }, false),
        ("unsigned, by somebody else", Candidate { always_signed: false, by_us: Some(false), ..unsigned }, false),
        ("of another deployment", Candidate { deploy_id: Some(id('2')), ..good.clone() }, false),
        ("of no deployment", Candidate { deploy_id: None, ..good.clone() }, false),
        ("other base", Candidate { parents: other, ..good.clone() }, false),
        ("a merge", Candidate { parents: &merge, ..good.clone() }, false),
        ("no parent", Candidate { parents: &[], ..good.clone() }, false),
        ("another file too", Candidate { changed_files: Some(2), blobs: &two_files, ..good.clone() }, false),
        ("nothing changed", Candidate { changed_files: Some(0), ..good.clone() }, false),
        ("count unknown", Candidate { changed_files: None, ..good.clone() }, false),
        ("other content", Candidate { blobs: &wrong, ..good.clone() }, false),
        ("other file", Candidate { blobs: &elsewhere, ..good.clone() }, false),
        ("no file", Candidate { blobs: &BTreeMap::new(), ..good.clone() }, false),
    ] {
        assert_eq!(fact.is_ours(&id('1'), &candidate), expected, "{why}");
    }
    // Any attempt will do, but one attempt has to fit as a whole.
    let second = Attempt { base: base.clone(), files: wrong.clone(), ..attempt() };
    let twice = CommitFact { attempts: vec![attempt(), second], ..commit() };
    assert!(twice.is_ours(&id('1'), &good));
    assert!(twice.is_ours(&id('1'), &Candidate { parents: other, blobs: &wrong, ..good.clone() }));
    assert!(!twice.is_ours(&id('1'), &Candidate { parents: other, ..good.clone() }));
    assert!(!CommitFact { attempts: Vec::new(), ..commit() }.is_ours(&id('1'), &good));
    // A commit that takes over what somebody else has written changes nothing, and the file has to be what it was.
    let taken = CommitFact { attempts: vec![Attempt { unchanged: true, ..attempt() }], ..commit() };
    let nothing = Candidate { changed_files: Some(0), ..good.clone() };
    assert!(taken.is_ours(&id('1'), &nothing) && taken.may_change_nothing() && !fact.may_change_nothing());
    assert!(!taken.is_ours(&id('1'), &good), "it would have changed the file");
    assert!(!taken.is_ours(&id('1'), &Candidate { changed_files: None, ..good.clone() }));
    assert!(!taken.is_ours(&id('1'), &Candidate { blobs: &wrong, ..nothing.clone() }));
    assert!(!taken.is_ours(&id('1'), &Candidate { parents: other, ..nothing.clone() }));
    assert!(!taken.is_ours(&id('1'), &Candidate { by_us: Some(false), ..nothing }));
}

// ---- Small things ----

#[test]
fn a_stored_refusal_of_another_build_has_no_reason() {
    let stored: StoredRefusal = (&Refusal::OtherWorkspace).into();
    assert_eq!(stored.read(), Some(Refusal::OtherWorkspace));
    let newer: StoredRefusal = serde_json::from_str(r#"{"kind": "full_moon", "phase": 3}"#).unwrap();
    assert_eq!(newer.read(), None);
}

#[test]
fn until_is_never_negative_and_never_endless() {
    assert_eq!(until(at(5), at(3)), Duration::from_secs(2));
    assert_eq!(until(at(3), at(5)), Duration::ZERO);
    assert_eq!(until(Timestamp(u64::MAX), at(0)), Duration::from_secs(3600));
}

// ---- what came late ----

/// Of deployment 1, synced and overtaken by a newer one with the commit `f…`, whose sync was asked for.
fn newer() -> Facts {
    let committed = CommittedFact { sha: sha('f'), at: at(100), ..committed() };
    let watch = ApplicationWatch { asked: Some(at(101)), ..ApplicationWatch::default() };
    Facts { committed: Some(committed), watch: Some(watch.into()), ..relayed() }
}

fn check_overtaken(newer: Facts, rewritten: Option<Timestamp>, app: &Application, expected: &Overtaken) {
    let others = [(id('2'), newer)];
    assert_eq!(overtaken((&id('1'), &relayed()), &others, rewritten, (&application(), app)), *expected);
}

#[test]
fn an_older_sync_that_came_after_a_newer_one_is_mended_by_asking_for_the_newer_again() {
    let late = |phase| Application { last: Some(ours(phase)), ..Application::default() };
    let mend = Overtaken::By(id('2'));
    for phase in [Phase::Succeeded, Phase::Failed, Phase::Error] {
        check_overtaken(newer(), None, &late(phase), &mend);
    }
    check_overtaken(newer(), None, &late(Phase::Running), &Overtaken::Wait);
    let operation = Some(Operation { deploy_id: Some(id('1')), ..Operation::default() });
    check_overtaken(newer(), None, &Application { operation, ..late(Phase::Succeeded) }, &Overtaken::Wait);
    // Whoever has ended is asked for again as well: that one runs.
    let ended = Facts { outcome: said(live()), ..newer() };
    check_overtaken(ended, None, &late(Phase::Succeeded), &mend);
    // The newest of several.
    let newest = CommittedFact { at: at(200), ..newer().committed.unwrap() };
    let others = [(id('2'), newer()), (id('3'), Facts { committed: Some(newest), ..newer() })];
    let found = overtaken((&id('1'), &relayed()), &others, None, (&application(), &late(Phase::Succeeded)));
    assert_eq!(found, Overtaken::By(id('3')));
}

#[test]
fn what_came_over_nothing_newer_is_left_alone() {
    let late = Application { last: Some(ours(Phase::Succeeded)), ..Application::default() };
    let no = Overtaken::No;
    assert_eq!(overtaken((&id('1'), &relayed()), &[], None, (&application(), &late)), no);
    // It was before ours, is not committed, or its own watch has yet to ask for it.
    let before = CommittedFact { at: at(1), ..committed() };
    check_overtaken(Facts { committed: Some(before), ..newer() }, None, &late, &no);
    check_overtaken(Facts { committed: None, ..newer() }, None, &late, &no);
    check_overtaken(Facts { watch: None, ..newer() }, None, &late, &no);
    // Its commit may be gone from the branch.
    check_overtaken(newer(), Some(at(150)), &late, &no);
    // Ours never came, or somebody has mended it: what runs, or ran last, is the newer one, or a person's.
    let theirs = OperationState { deploy_id: Some(id('2')), ..ours(Phase::Succeeded) };
    check_overtaken(newer(), None, &Application { last: Some(theirs), ..Application::default() }, &no);
    let operation = Some(Operation { deploy_id: Some(id('2')), ..Operation::default() });
    check_overtaken(newer(), None, &Application { operation, ..late }, &no);
    let eve = Application { last: Some(foreign(Phase::Succeeded, 7)), ..Application::default() };
    check_overtaken(newer(), None, &eve, &no);
}

#[test]
fn an_operation_of_another_deployment_after_ours_is_for_whose_turn_it_is_to_decide() {
    let theirs = |phase, started| OperationState { deploy_id: Some(id('2')), ..foreign(phase, started) };
    let mut scene = Scene::taken();
    scene.app.last = Some(theirs(Phase::Succeeded, 7));
    assert_eq!(scene.step(8), Step::Superseded { by: id('2') });
    scene.app.operation =
        Some(Operation { deploy_id: Some(id('2')), revisions: vec![sha('e').to_string()], ..Operation::default() });
    assert_eq!(scene.step(8), Step::Superseded { by: id('2') });
}

#[test]
fn the_turn_is_taken_only_by_one_that_may_commit_after_ours() {
    let ours = Facts { request: Some(RequestFact { at: at(100), ..request() }), ..relayed() };
    let ended = |facts: Facts| Facts { outcome: said(live()), ..facts };
    let check = |other: &Facts, expected: Turn, why: &str| assert_eq!(turn(other, &ours), expected, "{why}");
    check(&Facts::default(), Turn::Theirs, "nothing is known of it");
    check(&Facts { request: Some(request()), ..Facts::default() }, Turn::Undecided, "it may commit");
    check(&relayed(), Turn::Theirs, "not final");
    check(&ended(newer()), Turn::Theirs, "committed after ours was asked for");
    let close = CommittedFact { at: at(91), ..committed() };
    check(&ended(Facts { committed: Some(close), ..relayed() }), Turn::Theirs, "clocks differ");
    let unknown = Facts { committed: None, push: None, outcome: said(LastWord::Unknown), ..relayed() };
    check(&unknown, Turn::Theirs, "its commit may have landed");
    // Its carrier wrote its name late.
    check(&ended(relayed()), Turn::Ours, "ended long before");
    let refused = Facts { request: Some(request()), end: Some(cancelled()), ..Facts::default() };
    check(&refused, Turn::Ours, "ended without a commit");
}

#[test]
fn the_turn_does_not_come_back_to_one_that_was_committed_before_another() {
    assert!(is_newer(&newer(), &relayed()));
    for other in [relayed(), Facts::default(), Facts { committed: None, ..newer() }] {
        assert!(!is_newer(&other, &newer()));
    }
}

#[test]
fn only_the_sync_of_an_older_deployment_of_the_same_target_is_terminated() {
    let limits = Limits::default();
    let may_terminate =
        |older: &Facts, ours: &Facts, wished, now| may_terminate((older, ours), &application(), wished, now, &limits);
    let ours = Facts { committed: Some(CommittedFact { at: at(100), ..committed() }), ..relayed() };
    let late = relayed().deadline(&limits).unwrap();
    let in_time = Timestamp(late.0 - 1);
    assert!(!may_terminate(&relayed(), &ours, false, in_time));
    assert!(may_terminate(&relayed(), &ours, true, in_time), "somebody wants so");
    assert!(may_terminate(&relayed(), &ours, false, late));
    assert!(!may_terminate(&ours, &relayed(), true, late), "a newer one");
    assert!(!may_terminate(&Facts::default(), &ours, true, late), "nothing is known of it");
    let by = |plan| Facts {
        committed: Some(CommittedFact { commit: Box::new(commit_to(plan)), ..committed() }),
        ..relayed()
    };
    let mut beside = target_plan();
    beside.target.environment = crate::names::EnvironmentName::parse("staging").unwrap();
    assert!(!may_terminate(&by(beside.clone()), &ours, false, in_time));
    assert!(may_terminate(&by(beside.clone()), &ours, false, late), "another target's in the same application");
    let application = crate::names::ArgoApplication {
        name: crate::names::KubeName::parse("checkout-staging").unwrap(),
        ..target_plan().applications.first().clone()
    };
    let elsewhere = TargetPlan { applications: crate::nonempty::NonEmpty::one(application), ..beside };
    assert!(!may_terminate(&by(elsewhere), &ours, true, late), "in another application");
}

#[test]
fn a_reference_is_printed_as_it_is_typed_and_stored_with_its_kind() {
    for (reference, text, stored) in [
        (Reference::PullRequest(PullRequestNumber(42)), "#42", serde_json::json!({ "pull_request": 42 })),
        (
            Reference::Branch(BranchName::parse("feature/x").unwrap()),
            "feature/x",
            serde_json::json!({ "branch": "feature/x" }),
        ),
    ] {
        assert_eq!(reference.to_string(), text);
        assert_eq!(serde_json::to_value(&reference).unwrap(), stored);
        assert_eq!(serde_json::from_value::<Reference>(stored).unwrap(), reference);
    }
}
