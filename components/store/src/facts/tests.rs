use super::*;
use crate::memory::Memory;
use domain::application::{Condition, Health, Unwell};
use domain::deployment::samples::{
    application, at, blob, cancelled, commit, commit_to, committed, id, live, path, place, push, relayed, request,
    response_url, sha, target_plan, user,
};
use domain::deployment::{
    ApplicationWatch, Approval, ApprovalsFact, AsBefore, Attempt, CancelFact, Change, ChangesFact, CommitFact,
    DeploymentState, Doubt, End, EndFact, Failure, GitHubFact, Granted, LastWord, LookFact, Lost, MessageFact,
    OutcomeFact, Progress, PushFact, Remarks, Rendering, Rider, Riders, StopFact, TargetPlan, Told, Trouble, Voice,
    WaitFact, Waiting, WatchFact,
};
use domain::fault::{Cause, Changed, Fault, System};
use domain::image::Tag;
use domain::names::{ArgoApplication, KubeName};
use domain::nonempty::NonEmpty;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

/// Saves and loads again.
fn same<F: Fact + PartialEq + Debug>(fact: &F) {
    let memory = Memory::default();
    memory.run(save_fact(&memory, &id('1'), fact)).unwrap();
    let key = format!("deploy-bot/deployment/{}/{}", id('1'), F::NAME);
    assert!(FACTS.contains(&F::NAME), "it would never be deleted");
    assert!(memory.text(&key).contains(r#""version":1"#));
    assert_eq!(memory.run(load_fact::<F>(&memory, &id('1'))).unwrap().as_ref(), Some(fact), "{}", memory.text(&key));
    assert_eq!(memory.run(load_fact::<F>(&memory, &id('2'))).unwrap(), None);
}

fn approval() -> Approval {
    Approval { user: user("U7"), at: at(4), targets: Vec::new() }
}

fn changes() -> ChangesFact {
    ChangesFact {
        since: "main-1234567".to_owned(),
        ahead: 2,
        behind: 1,
        commits: vec![Change {
            sha: sha('a'),
            headline: "Tune".to_owned(),
            login: Some(domain::names::GitHubLogin::parse("eve").unwrap()),
        }],
        url: Some("https://github.com/acme/checkout/compare/1234567...aaaaaaa".to_owned()),
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn every_fact_is_read_as_it_was_written() {
    same(&request());
    let mut words = request();
    words.words.environment = Some("production".to_owned());
    words.words.what = domain::command::What::Branch(target_plan().source.branch.unwrap());
    same(&words);
    let rider = Rider { sha: sha('e'), who: "eve".to_owned(), headline: "Tune".to_owned() };
    let namespace = Some(KubeName::parse("teams").unwrap());
    let attempts = vec![
        commit().attempts[0].clone(),
        Attempt {
            base: sha('e'),
            at: at(9),
            files: BTreeMap::from([(path("checkout/values.yaml"), blob('e'))]),
            unchanged: false,
        },
    ];
    same(&commit());
    same(&commit_to(TargetPlan { riders: Riders::FirstDeploy, ..target_plan() }));
    let plan = TargetPlan {
        riders: Riders::Since { commits: vec![rider], more: true },
        digest: Some(domain::image::Digest::parse(&format!("sha256:{}", "a".repeat(64))).unwrap()),
        applications: NonEmpty::one(ArgoApplication { namespace, ..application() }),
        deadline: Duration::from_millis(1500),
        mirrors: vec![domain::image::ImageName::parse("mirror.corp/checkout").unwrap()],
        beside: vec![domain::image::ImageName::parse("ghcr.io/acme/search").unwrap()],
        verify_running: domain::image::VerifyRunning::Off,
        sync: domain::application::SyncBy::Auto,
        ..target_plan()
    };
    let granted = Granted {
        approved_by: vec![user("U7")],
        overridden: Some("on fire".to_owned()),
        passed_over: vec!["checks".to_owned()],
        lock_of: Some((user("U8"), "Load test.".to_owned())),
    };
    same(&CommitFact { attempts, granted, ..commit_to(plan) });
    same(&committed());
    same(&CancelFact { by: Some(user("U1")), at: at(1) });
    same(&CancelFact { by: None, at: at(1) });
    same(&StopFact { by: user("U1"), of: id('2') });
    same(&push());
    for refusal in domain::refusal::samples::every_refusal() {
        let stored = EndFact {
            at: at(5),
            contact: None,
            catalog: None,
            end: End::Refused { refusal: (&refusal).into(), plans: Vec::new() },
        };
        same(&stored);
        let End::Refused { refusal: stored, .. } = stored.end else { panic!() };
        assert_eq!(stored.read(), Some(refusal));
    }
    same(&ApprovalsFact::default());
    same(&ApprovalsFact { given: vec![approval(), approval()], rejected: Some(approval()) });
    same(&changes());
    same(&GitHubFact::default());
    same(&GitHubFact { asked: true, id: Some(u64::MAX), told: Some(DeploymentState::InProgress), failed: 1 });
    same(&cancelled());
    same(&EndFact { at: at(5), end: End::Cancelled { by: None }, contact: None, catalog: None });
    let text = || "words".to_owned();
    for cause in [
        Cause::Denied,
        Cause::Status { status: 502 },
        Cause::Unavailable { status: 503, seconds: 9 },
        Cause::Forbidden { said: text() },
        Cause::RateLimited { seconds: None },
        Cause::Nonsense { part: text() },
        Cause::Said { said: text() },
        Cause::Failed { said: text() },
        Cause::Setting { variable: text() },
    ] {
        let fault = Fault::new(System::GitHub, "read", cause).changed(Changed::Unknown);
        same(&EndFact { at: at(5), end: End::Failed { fault }, contact: None, catalog: None });
    }
    let voice = Voice {
        speaking: Some(at(1)),
        place: Some(place("1503435956.000247")),
        lost: Some(Lost::Gone("channel_not_found".to_owned())),
        told: Some(Told { words: u64::MAX, at: at(3) }),
        told_end: true,
        replaced: true,
        home_closed: true,
        thread_closed: true,
        unsure_posts: 2,
        unsure_edit: Some(at(2)),
        response_url_uses: 5,
    };
    same(&MessageFact::default());
    same(&MessageFact(voice.clone()));
    same(&WatchFact::default());
    let fault = Fault::new(System::ArgoCd, "read", Cause::Unauthorized).changed(Changed::Yes);
    let failures = [
        Failure::Sync { message: text(), resources: vec![text()] },
        Failure::Degraded { message: text(), resources: Vec::new() },
        Failure::OtherImage { wanted: text(), found: vec![text()], why: Doubt::OldPods },
        Failure::NoRight { said: text() },
        Failure::NoApplication,
        Failure::Deleting,
        Failure::NoSource,
        Failure::TooOld { version: "v2.10.0".to_owned() },
        Failure::Refused { said: text() },
        Failure::BranchRewritten,
        Failure::NothingDone,
        Failure::Fault { fault: fault.clone() },
    ];
    let words = failures.map(|failure| LastWord::Failed { failure }).into_iter().chain([
        live(),
        LastWord::Superseded { by_deployment: Some(id('2')), by_person: Some(text()) },
        LastWord::TimedOut { waiting: Some(Waiting::SyncWindow), health: Some(text()) },
        LastWord::TimedOut { waiting: Some(Waiting::AutoSync { is_on: true }), health: None },
        LastWord::TimedOut { waiting: Some(Waiting::OtherOperation { by: None, of: None, hook: None }), health: None },
        LastWord::Unknown,
        LastWord::Lost { failure: Failure::NoApplication },
    ]);
    for word in words {
        let watch = ApplicationWatch {
            looked: true,
            is_own: true,
            differed: vec![text()],
            asked: Some(at(5)),
            last_before: Some(at(1)),
            taken: Some(at(5)),
            waiting: Some(Waiting::ArgoCd { fault: fault.clone() }),
            progress: Some(Progress {
                synced: true,
                health: text(),
                message: text(),
                resources: 1,
                retry: 1,
                holds: text(),
            }),
            degraded_before: true,
            before: vec![Unwell { kind: text(), name: text(), health: Health::Progressing, message: text() }],
            remarks: Remarks {
                as_before: Some(AsBefore { health: text(), because: vec![text()], theirs: vec![text()] }),
                conditions: vec![Condition { kind: text(), message: text() }],
                hook: Some((text(), 3)),
                to_prune: 1,
                pruned: vec![text()],
                left_out: Some(text()),
            },
            hook: Some((text(), at(7))),
            refreshes: 1,
            degraded_since: Some(at(6)),
            degraded_seen: 2,
            ended_seen: Some(at(6)),
            refreshed: Some(at(7)),
            automated: true,
            doubts_image: true,
            pods_unseen: Some(at(7)),
            rendering: Some(Rendering::Asked(at(7))),
            hooks_ran: true,
            repeats: 1,
            trouble: Some(Trouble { since: at(7), last: at(8), at_sync: true, failure: Failure::NoApplication }),
            over: Some(word.clone()),
        };
        same(&WatchFact { applications: vec![ApplicationWatch::default(), watch], voice: voice.clone() });
        same(&OutcomeFact { at: at(8), word: word.clone(), application: None });
        same(&OutcomeFact { at: at(8), word, application: Some(application()) });
    }
}

#[test]
fn all_facts_are_loaded_together_and_each_by_its_own_name() {
    let memory = Memory::default();
    let all = Facts {
        end: Some(cancelled()),
        message: Some(MessageFact::default()),
        cancel: Some(CancelFact { by: None, at: at(1) }),
        watch: Some(WatchFact::default()),
        outcome: Some(OutcomeFact { at: at(8), word: live(), application: None }),
        approvals: Some(ApprovalsFact::default()),
        changes: Some(changes()),
        stop: Some(StopFact { by: user("U1"), of: id('2') }),
        wait: Some(WaitFact { until: at(9), head: None, over: None }),
        ..relayed()
    };
    memory.run(async {
        let id = id('1');
        save_fact::<RequestFact>(&memory, &id, all.request.as_ref().unwrap()).await.unwrap();
        save_fact::<CommitFact>(&memory, &id, all.commit.as_ref().unwrap()).await.unwrap();
        save_fact::<CommittedFact>(&memory, &id, all.committed.as_ref().unwrap()).await.unwrap();
        save_fact::<EndFact>(&memory, &id, all.end.as_ref().unwrap()).await.unwrap();
        save_fact::<MessageFact>(&memory, &id, all.message.as_ref().unwrap()).await.unwrap();
        save_fact::<CancelFact>(&memory, &id, all.cancel.as_ref().unwrap()).await.unwrap();
        save_fact::<PushFact>(&memory, &id, all.push.as_ref().unwrap()).await.unwrap();
        save_fact::<WatchFact>(&memory, &id, all.watch.as_ref().unwrap()).await.unwrap();
        save_fact::<OutcomeFact>(&memory, &id, all.outcome.as_ref().unwrap()).await.unwrap();
        save_fact::<ApprovalsFact>(&memory, &id, all.approvals.as_ref().unwrap()).await.unwrap();
        save_fact::<ChangesFact>(&memory, &id, all.changes.as_ref().unwrap()).await.unwrap();
        save_fact::<StopFact>(&memory, &id, all.stop.as_ref().unwrap()).await.unwrap();
        save_fact::<WaitFact>(&memory, &id, all.wait.as_ref().unwrap()).await.unwrap();
        save_fact(&memory, &id, &GitHubFact::default()).await.unwrap();
        save_fact(&memory, &id, &LookFact { at: at(1), application: application() }).await.unwrap();
        save_fact(&memory, &id, &response_url()).await.unwrap();
    });
    assert_eq!(memory.store.borrow().len(), FACTS.len());
    assert_eq!(memory.run(load(&memory, &id('1'))), Ok(all.clone()));
    assert_eq!(memory.run(load(&memory, &id('2'))), Ok(Facts::default()));

    // What is past: of a committed one what history shows of it, of another one why there was no commit.
    let Facts { request, commit, committed, end, outcome, approvals, wait, .. } = all;
    let past = memory.run(load_past(&memory, &id('1'))).unwrap();
    let (of_both, of_ended) = (
        Facts { request: request.clone(), end, outcome, ..Facts::default() },
        Facts { commit, committed, ..Facts::default() },
    );
    assert_eq!(past, Facts { commit: of_ended.commit, committed: of_ended.committed, ..of_both.clone() });
    memory.run(delete_fact::<CommittedFact>(&memory, &id('1'))).unwrap();
    let past = memory.run(load_past(&memory, &id('1'))).unwrap();
    assert_eq!(past, Facts { approvals, wait, ..of_both });
    assert_eq!(memory.run(load_past(&memory, &id('2'))), Ok(Facts::default()));
}

#[test]
fn after_the_commit_a_late_write_of_what_is_committed_changes_nothing() {
    let memory = Memory::default();
    let older = TargetPlan { tag: Tag::parse("faster-cart-bbbbbbb").unwrap(), ..target_plan() };
    let older = CommitFact { attempts: Vec::new(), ..commit_to(older) };
    let committed = CommittedFact { commit: Box::new(commit()), ..committed() };
    memory.run(save_fact(&memory, &id('1'), &committed)).unwrap();
    memory.run(save_fact(&memory, &id('1'), &older)).unwrap();
    assert_eq!(memory.run(load(&memory, &id('1'))).unwrap().commit, Some(commit()));
}
