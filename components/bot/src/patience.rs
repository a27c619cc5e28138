//! How a read of another system is asked again when it fails in passing: a 502, a lost connection, a rate
//! limit. [`domain::patience`] decides; here it is done.
//!
//! **Invariant:** only what changes nothing is asked again here. A commit, a sync and a message have rules of
//! their own.

use crate::world::{Line, Log};
use clients::github::ReadError;
use domain::deployment::Facts;
use domain::fault::{Fault, Passing};
use domain::limits::{self, Limits};
use domain::message::Note;
use domain::names::DeploymentId;
use domain::patience::{Next, Tried};
use domain::time::Timestamp;
use futures::channel::mpsc;
use futures::future::{Either, pending, select};
use std::cell::RefCell;
use std::pin::pin;
use std::time::Duration;
use store::Clock;

/// What is shown before the commit: newer facts, if there are any, and what is in no fact.
pub(crate) type Progress = (Option<Facts>, Note);

/// How long anybody wants the answers, and who hears of a long pause.
#[derive(Default)]
pub(crate) struct Patience {
    until: Timestamp,
    heard: RefCell<Option<mpsc::UnboundedSender<Progress>>>,
}

/// Why a read failed.
pub(crate) trait ReadFailed {
    /// The fault, unless the other system gave an ordinary answer.
    fn fault(&self) -> Option<&Fault>;
}

impl ReadFailed for Fault {
    fn fault(&self) -> Option<&Fault> {
        Some(self)
    }
}

impl ReadFailed for ReadError {
    fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Fault(fault) => Some(fault),
            Self::NoRepository | Self::NoBranch => None,
        }
    }
}

impl Patience {
    /// Nothing is asked again after this moment.
    pub(crate) fn until(until: Timestamp) -> Self {
        Self { until, heard: RefCell::default() }
    }

    /// From now on people read of a long pause.
    pub(crate) fn tell(&self, progress: mpsc::UnboundedSender<Progress>) {
        *self.heard.borrow_mut() = Some(progress);
    }

    /// From now on nobody does.
    pub(crate) fn hush(&self) {
        *self.heard.borrow_mut() = None;
    }

    /// Asks until there is an answer, or until the fault counts. The first try has no timer and costs nothing.
    pub(crate) async fn ask<T, E: ReadFailed>(
        &self,
        around: &Around<'_, impl Clock + Log, impl AsyncFn() -> bool>,
        call: impl AsyncFn() -> Result<T, E>,
    ) -> Result<T, E> {
        let begun = around.world.elapsed();
        let (mut tried, mut limit, mut last) = (Tried::default(), None, None);
        loop {
            // One place that calls: the compiler makes this function anew for each read.
            let answer = match (tried_for(around.world, limit, call()).await, last.take()) {
                (Some(answer), _) => answer,
                (None, Some(error)) => return Err(error),
                // Without a limit there is an answer.
                (None, None) => continue,
            };
            let error = match answer {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let Some(fault) = error.fault() else { return Err(error) };
            tried.took = around.world.elapsed().saturating_sub(begun);
            limit = self.pause(around, &mut tried, fault).await;
            if limit.is_none() {
                return Err(error);
            }
            last = Some(error);
        }
    }

    /// Waits for the next try, and says how long that may take. `None`: the fault counts.
    async fn pause(
        &self,
        around: &Around<'_, impl Clock + Log, impl AsyncFn() -> bool>,
        tried: &mut Tried,
        fault: &Fault,
    ) -> Option<Duration> {
        let Around { world, id, limits, is_wanted } = around;
        let passing = fault.passing();
        tried.tries = tried.tries.saturating_add(1);
        (tried.left, tried.heard) = (self.until.since(world.now()), self.heard.borrow().is_some());
        let Next::Again { after, limit, tell } = tried.next(passing, limits) else { return None };
        let line = Line::new("asked_again").of(id).with("seconds", after.as_secs_f64());
        world.log(line.with_json("fault", fault));
        if tell && let Some(heard) = &*self.heard.borrow() {
            let _ = heard.unbounded_send((None, Note::Pause { fault: fault.clone(), wait: after }));
        }
        if !wait(*world, after, is_wanted).await {
            return None;
        }
        if matches!(passing, Passing::Pause(_)) {
            tried.paused = tried.paused.saturating_add(after);
        }
        Some(limit)
    }
}

/// Where the question is asked.
pub(crate) struct Around<'a, W, F> {
    pub(crate) world: &'a W,
    pub(crate) id: &'a DeploymentId,
    pub(crate) limits: &'a Limits,
    /// Whether the work goes on, asked before each further try.
    pub(crate) is_wanted: F,
}

/// Does the work, within the limit if there is one.
async fn tried_for<T>(clock: &impl Clock, limit: Option<Duration>, work: impl Future<Output = T>) -> Option<T> {
    let over = async {
        match limit {
            Some(limit) => clock.sleep(limit).await,
            None => pending().await,
        }
    };
    match select(pin!(work), pin!(over)).await {
        Either::Left((done, _)) => Some(done),
        Either::Right(((), _)) => None,
    }
}

/// Waits, and looks around meanwhile. `false`: the answer is not wanted any more.
async fn wait(world: &impl Clock, pause: Duration, is_wanted: &impl AsyncFn() -> bool) -> bool {
    let until = world.elapsed().saturating_add(pause);
    loop {
        let left = until.saturating_sub(world.elapsed());
        world.sleep(left.min(limits::WANTED_AGAIN)).await;
        if !is_wanted().await {
            return false;
        }
        if world.elapsed() >= until {
            return true;
        }
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "test code")]
mod tests {
    use super::*;
    use domain::deployment::samples::id;
    use domain::fault::{Cause, System};
    use futures::FutureExt;
    use std::cell::Cell;
    use std::collections::VecDeque;

    /// A world in which a sleep is over at once, and the clock stands where the sleep ends.
    #[derive(Default)]
    struct Still {
        elapsed: Cell<Duration>,
        lines: RefCell<Vec<Line>>,
    }

    impl Clock for Still {
        fn now(&self) -> Timestamp {
            Timestamp::default().after(self.elapsed.get())
        }

        fn elapsed(&self) -> Duration {
            self.elapsed.get()
        }

        /// A limit beside a call is not slept through: the call is asked first, and answers at once.
        async fn sleep(&self, duration: Duration) {
            self.elapsed.set(self.elapsed.get() + duration);
        }
    }

    impl Log for Still {
        fn log(&self, line: Line) {
            self.lines.borrow_mut().push(line);
        }
    }

    const LAST: Timestamp = Timestamp::from_seconds(180);

    fn fault(cause: Cause) -> Fault {
        Fault::new(System::GitHub, "read the catalog", cause)
    }

    fn limited(seconds: u64) -> Fault {
        fault(Cause::RateLimited { seconds: Some(seconds) })
    }

    /// The answers, one after the other; the last one again and again. What came of it, how often it was asked,
    /// and when it was over, in milliseconds.
    fn ask(patience: &Patience, answers: &[Result<u8, Fault>], wanted: u128) -> (Result<u8, Fault>, usize, u128) {
        let world = Still::default();
        let (left, asked) = (RefCell::new(VecDeque::from(answers.to_vec())), Cell::new(0));
        let call = async || {
            asked.set(asked.get() + 1);
            let mut left = left.borrow_mut();
            if left.len() > 1 { left.pop_front().unwrap() } else { left[0].clone() }
        };
        let is_wanted = async || world.elapsed.get().as_millis() < wanted;
        let (id, limits) = (id('1'), Limits::default());
        let around = Around { world: &world, id: &id, limits: &limits, is_wanted };
        let answer = patience.ask(&around, call).now_or_never().unwrap();
        assert_eq!(world.lines.borrow().len(), asked.get() - 1 + usize::from(wanted < 1_000_000), "a line a pause");
        (answer, asked.get(), world.elapsed.get().as_millis())
    }

    const ALWAYS: u128 = 1_000_000;

    #[test]
    fn one_answer_never_ends_it_and_what_lasts_does() {
        let once = |cause: Cause| ask(&Patience::until(LAST), &[Err(fault(cause)), Ok(7)], ALWAYS);
        for cause in [Cause::NotConnected, Cause::TimedOut, Cause::Broken, Cause::Status { status: 502 }] {
            assert_eq!(once(cause), (Ok(7), 2, 300));
        }
        let lasting = fault(Cause::Status { status: 503 });
        assert_eq!(ask(&Patience::until(LAST), &[Err(lasting.clone())], ALWAYS), (Err(lasting), 7, 19_300));
        assert_eq!(once(Cause::Unauthorized), (Err(fault(Cause::Unauthorized)), 1, 0));
        assert_eq!(ask(&Patience::until(LAST), &[Ok(7)], ALWAYS), (Ok(7), 1, 0));
    }

    #[test]
    fn a_long_pause_is_kept_and_told_until_the_last_moment() {
        let (told, mut heard) = mpsc::unbounded();
        let patience = Patience::until(LAST);
        patience.tell(told);
        assert_eq!(ask(&patience, &[Err(limited(60)), Ok(7)], ALWAYS), (Ok(7), 2, 60_000));
        let pause = |wait| Note::Pause { fault: limited(60), wait: Duration::from_secs(wait) };
        assert_eq!(heard.try_recv().unwrap(), (None, pause(60)));
        assert_eq!(ask(&patience, &[Err(limited(60))], ALWAYS), (Err(limited(60)), 4, 180_000));
        patience.hush();
        assert_eq!(std::iter::from_fn(|| heard.try_recv().ok()).count(), 3);
        // Nobody reads of it, and it is longer than the answer is wanted.
        assert_eq!(ask(&patience, &[Err(limited(300))], ALWAYS), (Err(limited(300)), 1, 0));
    }

    #[test]
    fn a_pause_ends_when_the_answer_is_not_wanted_any_more() {
        let patience = Patience::until(LAST);
        assert_eq!(ask(&patience, &[Err(limited(60)), Ok(7)], 3_500), (Err(limited(60)), 1, 4_000));
    }
}
