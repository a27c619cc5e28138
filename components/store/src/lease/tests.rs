use super::*;
use crate::memory::{Memory, secs};
use crate::seams::Reply;
use domain::time::Timestamp;
use std::collections::BTreeSet;
use std::task::{Context, Waker};

fn take<'w>(memory: &'w Memory, name: &str) -> Option<Lease<'w, Memory>> {
    memory.run(Lease::take(memory, &[name.to_owned()], secs(10))).unwrap()
}

#[test]
fn a_lease_is_held_by_one_until_it_is_given_back_or_runs_out() {
    let memory = Memory::default();
    let lease = take(&memory, "watch").unwrap();
    assert!(take(&memory, "watch").is_none());
    assert!(take(&memory, "carry/1").is_some());
    assert_eq!(memory.run(is_held(&memory, "watch")), Ok(true));
    memory.run(lease.release());
    assert_eq!(memory.run(is_held(&memory, "watch")), Ok(false));
    let lease = take(&memory, "watch").unwrap();
    memory.pass(9);
    assert!(take(&memory, "watch").is_none());
    memory.pass(1);
    assert!(take(&memory, "watch").is_some());
    memory.pass(1);
    assert_eq!(lease.check(Duration::ZERO), Err(LeaseLost));
}

#[test]
fn a_check_wants_more_time_left_than_the_call_may_take() {
    let memory = Memory::default();
    let lease = take(&memory, "watch").unwrap();
    assert_eq!(lease.check(secs(10)), Ok(()));
    assert_eq!(lease.check(secs(11)), Err(LeaseLost));
    memory.pass(4);
    assert_eq!(lease.check(secs(6)), Ok(()));
    assert_eq!(lease.check(secs(7)), Err(LeaseLost));
    memory.run(lease.renew()).unwrap();
    assert_eq!(lease.check(secs(10)), Ok(()));
}

#[test]
fn the_local_deadline_counts_from_before_the_command_was_sent() {
    /// Redis that answers three seconds late: the lease began then, but nobody knows when it was noted.
    struct Slow(Memory);
    impl Redis for Slow {
        async fn run(&self, command: &str, arguments: &[&str]) -> Result<Vec<Reply>, StoreError> {
            self.0.pass(3);
            Redis::run(&self.0, command, arguments).await
        }
    }
    impl Clock for Slow {
        fn now(&self) -> Timestamp {
            self.0.now()
        }
        fn elapsed(&self) -> Duration {
            self.0.elapsed()
        }
        async fn sleep(&self, duration: Duration) {
            self.0.sleep(duration).await;
        }
    }
    let slow = Slow(Memory::default());
    let lease = slow.0.run(Lease::take(&slow, &["watch".to_owned()], secs(10))).unwrap().unwrap();
    assert_eq!(lease.check(secs(7)), Ok(()));
    assert_eq!(lease.check(secs(8)), Err(LeaseLost));
    slow.0.run(lease.renew()).unwrap();
    assert_eq!(lease.check(secs(7)), Ok(()));
    assert_eq!(lease.check(secs(8)), Err(LeaseLost));
}

#[test]
fn a_holder_that_was_frozen_has_lost_it() {
    let memory = Memory::default();
    let frozen = take(&memory, "watch").unwrap();
    memory.pass(11);
    assert_eq!(frozen.check(Duration::ZERO), Err(LeaseLost));
    assert_eq!(
        memory.run(frozen.renew()),
        Err(LeaseLost),
        "nobody has it, but that it was ours throughout is not known"
    );
    let other = take(&memory, "watch").unwrap();
    assert_eq!(memory.run(frozen.renew()), Err(LeaseLost));
    assert_eq!(memory.run(frozen.ensure(secs(1))), Err(LeaseLost));
    // Late, it neither prolongs nor ends what is another's.
    memory.pass(9);
    assert_eq!(memory.run(frozen.renew()), Err(LeaseLost));
    memory.run(frozen.release());
    assert_eq!(memory.run(is_held(&memory, "watch")), Ok(true));
    assert_eq!(other.check(secs(1)), Ok(()));
    memory.pass(1);
    assert_eq!(memory.run(is_held(&memory, "watch")), Ok(false));
}

#[test]
fn a_call_may_have_come_late_unless_the_lease_was_renewed_after_its_answer_or_given_back() {
    let memory = Memory::default();
    let lease = take(&memory, "watch").unwrap();
    let calls = Calls::default();
    let answered = async |about: &'static str| calls.make(&memory, about, async {}).await;
    memory.pass(1);
    memory.run(answered("early"));
    memory.pass(1);
    assert_eq!(memory.run(lease.renew()), Ok(()));
    memory.pass(1);
    memory.run(answered("after the renewal"));
    {
        let mut dropped = pin!(calls.make(&memory, "on its way", std::future::pending::<()>()));
        assert!(dropped.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    let late = |lease: &Lease<'_, Memory>| Held { done: Ok(()), ours_until: Some(lease.ours_until()) }.late(&calls);
    assert_eq!(late(&lease), ["after the renewal", "on its way"]);
    memory.pass(1);
    assert_eq!(memory.run(lease.renew()), Ok(()));
    assert_eq!(late(&lease), ["on its way"]);
    assert!(memory.run(lease.release()), "ours until then");
    let frozen = take(&memory, "watch").unwrap();
    memory.pass(11);
    assert!(!memory.run(frozen.release()), "no more");
}

#[test]
fn ensure_renews_only_when_it_must() {
    let memory = Memory::default();
    let lease = take(&memory, "watch").unwrap();
    memory.pass(4);
    assert_eq!(memory.run(lease.ensure(secs(5))), Ok(()));
    assert_eq!(lease.check(secs(7)), Err(LeaseLost), "not renewed");
    assert_eq!(memory.run(lease.ensure(secs(7))), Ok(()));
    assert_eq!(lease.check(secs(10)), Ok(()), "renewed");
    assert_eq!(memory.run(lease.ensure(secs(11))), Err(LeaseLost), "longer than it ever lives");
}

#[test]
fn without_redis_nothing_is_taken_and_nothing_renewed() {
    let memory = Memory::default();
    let lease = take(&memory, "watch").unwrap();
    memory.redis_is_down.set(true);
    assert!(memory.run(Lease::take(&memory, &["carry/1".to_owned()], secs(10))).is_err());
    assert!(memory.run(is_held(&memory, "watch")).is_err());
    assert_eq!(memory.run(lease.renew()), Err(LeaseLost));
    // What was taken is still ours for as long as nobody else can have it.
    assert_eq!(memory.run(lease.ensure(secs(5))), Ok(()));
    memory.run(lease.release());
    memory.redis_is_down.set(false);
    assert_eq!(memory.run(is_held(&memory, "watch")), Ok(true));
}

#[test]
fn a_lease_is_renewed_beside_the_work() {
    let memory = Memory::default();
    let lease = take(&memory, "watch").unwrap();
    let work = async {
        memory.sleep(secs(60)).await;
        memory.elapsed()
    };
    assert_eq!(memory.run(lease.during(secs(3), work)), Ok(secs(60)));
    assert_eq!(lease.check(secs(7)), Ok(()));
    // Work that needs no time at all needs no renewal.
    memory.redis_is_down.set(true);
    assert_eq!(memory.run(lease.during(secs(3), async { 1 })), Ok(1));
}

#[test]
fn a_renewal_that_fails_ends_the_work_at_once() {
    let memory = Memory::default();
    let lease = take(&memory, "watch").unwrap();
    let steps = Cell::new(0);
    let work = async {
        loop {
            memory.sleep(secs(1)).await;
            steps.set(steps.get() + 1);
            if steps.get() == 7 {
                memory.forget();
            }
        }
    };
    let ended: Result<(), LeaseLost> = memory.run(lease.during(secs(3), work));
    assert_eq!(ended, Err(LeaseLost));
    assert_eq!(memory.elapsed(), secs(9));
}

#[test]
fn once_per_period() {
    let memory = Memory::default();
    let once = || memory.run(once_per(&memory, "resume", secs(5))).unwrap();
    assert!(once());
    assert!(!once());
    memory.pass(4);
    assert!(!once());
    memory.pass(1);
    assert!(once());
}

#[test]
fn tokens_differ() {
    let tokens: BTreeSet<String> = (0..100).map(|_| token()).collect();
    assert_eq!(tokens.len(), 100);
    assert!(tokens.iter().all(|token| token.len() == 32));
}

// ---- Work under a lease ----

/// Ten seconds, renewed every three.
const TERMS: Terms = Terms { life: Duration::from_secs(10), renew: Some(Duration::from_secs(3)) };

fn is_free(memory: &Memory, name: &str) -> bool {
    !memory.run(is_held(memory, name)).unwrap()
}

#[test]
fn work_has_the_lease_until_it_ends() {
    let memory = Memory::default();
    let work = async |lease: &Lease<'_, Memory>| {
        assert_eq!(is_held(&memory, "watch").await, Ok(true));
        memory.sleep(secs(60)).await;
        lease.check(secs(7))
    };
    let held = memory.run(Lease::try_hold(&memory, "watch", TERMS, work)).unwrap().unwrap();
    assert_eq!(held.done, Ok(Ok(())), "renewed beside the work");
    assert!(is_free(&memory, "watch"));
    let waited = async || -> Result<(), StoreError> { panic!("the lease was free") };
    let done = memory.run(Lease::hold(&memory, "watch", TERMS, waited, async |_| Ok(7)));
    assert_eq!(done, Ok(7));
    assert!(is_free(&memory, "watch"));
}

#[test]
fn an_early_end_gives_the_lease_back() {
    let memory = Memory::default();
    let fails = async || Err(StoreError::Failed("the store is away"));
    let work = async |_: &Lease<'_, Memory>| -> Result<(), StoreError> {
        fails().await?;
        panic!("not reached")
    };
    let held = memory.run(Lease::try_hold(&memory, "watch", TERMS, &work)).unwrap().unwrap();
    assert_eq!(held.done, Ok(Err(StoreError::Failed("the store is away"))));
    assert!(is_free(&memory, "watch"));
    let done = memory.run(Lease::hold(&memory, "watch", TERMS, async || Ok(()), &work));
    assert_eq!(done, Err(StoreError::Failed("the store is away")));
    assert!(is_free(&memory, "watch"));
}

#[test]
fn a_taken_lease_is_waited_for_or_not() {
    let memory = Memory::default();
    let other = take(&memory, "watch").unwrap();
    let not_done = async |_: &Lease<'_, Memory>| panic!("another holds it");
    assert!(memory.run(Lease::try_hold(&memory, "watch", TERMS, not_done)).unwrap().is_none());
    let looks = Cell::new(0);
    let wait = async || {
        looks.set(looks.get() + 1);
        memory.sleep(secs(4)).await;
        if looks.get() < 2 { Ok(()) } else { Err(StoreError::Failed("waited long enough")) }
    };
    let not_done = async |_: &Lease<'_, Memory>| -> Result<(), StoreError> { panic!("another holds it") };
    let done = memory.run(Lease::hold(&memory, "watch", TERMS, wait, not_done));
    assert_eq!(done, Err(StoreError::Failed("waited long enough")));
    // Eight seconds have passed: the other lease runs out at the tenth.
    let wait = async || {
        memory.sleep(secs(4)).await;
        Ok::<(), StoreError>(())
    };
    let when = memory.run(Lease::hold(&memory, "watch", TERMS, wait, async |_| Ok(memory.elapsed())));
    assert_eq!(when, Ok(secs(12)));
    memory.run(other.release());
}

#[test]
fn several_names_are_taken_together_and_none_is_kept_while_another_is_taken() {
    let memory = Memory::default();
    let names = ["eu".to_owned(), "us".to_owned()];
    let other = take(&memory, "us").unwrap();
    let wait = async || {
        assert_eq!((is_held(&memory, "eu").await, is_held(&memory, "us").await), (Ok(false), Ok(true)));
        memory.sleep(secs(4)).await;
        Ok::<(), StoreError>(())
    };
    let work = async |lease: &Lease<'_, Memory>| {
        memory.sleep(secs(60)).await;
        assert_eq!((is_held(&memory, "eu").await, is_held(&memory, "us").await), (Ok(true), Ok(true)), "renewed");
        Ok::<_, StoreError>(lease.check(secs(7)))
    };
    assert_eq!(memory.run(Lease::hold_all(&memory, &names, TERMS, wait, work)), Ok(Ok(())));
    assert!(is_free(&memory, "eu") && is_free(&memory, "us"));
    memory.run(other.release());
    // One that is lost takes the others with it.
    let lost = async |lease: &Lease<'_, Memory>| -> Result<(), StoreError> {
        assert_eq!(Redis::number(&memory, "DEL", &["deploy-bot/lease/us"]).await, Ok(Some(1)));
        lease.ensure(secs(11)).await?;
        panic!("not reached")
    };
    let done = memory.run(Lease::hold_all(&memory, &names, TERMS, async || Ok(()), lost));
    assert_eq!(done, Err(StoreError::LeaseLost));
}

#[test]
fn a_lost_lease_ends_the_work_and_runs_out() {
    let memory = Memory::default();
    let work = async |lease: &Lease<'_, Memory>| -> Result<(), StoreError> {
        memory.sleep(secs(4)).await;
        assert_eq!(lease.check(secs(9)), Ok(()), "renewed a second ago");
        memory.redis_is_down.set(true);
        memory.sleep(secs(60)).await;
        panic!("not reached")
    };
    let held = memory.run(Lease::try_hold(&memory, "watch", TERMS, &work)).unwrap().unwrap();
    assert_eq!((held.done, memory.elapsed()), (Err(LeaseLost), secs(6)));
    memory.redis_is_down.set(false);
    assert!(!is_free(&memory, "watch"), "not given back");
    memory.pass(7);
    assert!(is_free(&memory, "watch"));
    let done = memory.run(Lease::hold(&memory, "watch", TERMS, async || Ok(()), &work));
    assert_eq!(done, Err(StoreError::LeaseLost));
}

#[test]
fn without_renewals_nothing_ends_the_work() {
    let memory = Memory::default();
    let terms = Terms { renew: None, ..TERMS };
    let work = async |lease: &Lease<'_, Memory>| {
        memory.sleep(secs(60)).await;
        assert_eq!(lease.check(Duration::ZERO), Err(LeaseLost));
        Ok::<_, StoreError>("done")
    };
    assert_eq!(memory.run(Lease::hold(&memory, "watch", terms, async || Ok(()), work)), Ok("done"));
}

#[test]
fn calls_are_late_only_if_the_lease_was_lost() {
    let memory = Memory::default();
    for (ending, expected) in
        [("given back", &[][..]), ("let run out", &["after", "open"]), ("lost", &["after", "open"])]
    {
        let calls = Calls::default();
        let work = async |lease: &Lease<'_, Memory>| {
            calls.make(&memory, "before", async {}).await;
            memory.sleep(secs(4)).await;
            calls.make(&memory, "after", async {}).await;
            {
                let mut open = pin!(calls.make(&memory, "open", std::future::pending::<()>()));
                assert!(open.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
                assert!(calls.wait(|about| *about == "open") && !calls.wait(|about| *about == "after"));
            }
            assert!(!calls.wait(|_| true), "it was cut off");
            match ending {
                "let run out" => lease.let_run_out(),
                "lost" => {
                    memory.forget();
                    memory.sleep(secs(60)).await;
                }
                _ => {}
            }
        };
        let held = memory.run(Lease::try_hold(&memory, ending, TERMS, work)).unwrap().unwrap();
        assert_eq!(held.done.is_err(), ending == "lost");
        assert_eq!(held.late(&calls), expected, "{ending}");
        assert_eq!(is_free(&memory, ending), ending != "let run out");
    }
}

#[test]
fn a_lease_that_ran_out_before_it_was_given_back_was_lost() {
    let memory = Memory::default();
    let calls = Calls::default();
    let work = async |_: &Lease<'_, Memory>| {
        memory.pass(11);
        calls.make(&memory, "after a freeze", async {}).await;
    };
    let held = memory.run(Lease::try_hold(&memory, "watch", TERMS, work)).unwrap().unwrap();
    assert_eq!((held.late(&calls), held.done), (vec!["after a freeze"], Ok(())));
}
