//! Virtual time, processes that can freeze and die, and the one place where order is decided: by a seed.
//!
//! Easy to miss: an operation has three moments. It *leaves* its process (a process that is frozen sends nothing, a dead one
//! never will), it *takes effect* elsewhere (whatever became of its process), and its answer *arrives* (if somebody still waits).

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use fastrand::Rng;
use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::LocalBoxFuture;

/// Microseconds since the Unix epoch.
pub(crate) type Micros = u64;

/// One life of a process: a restart begins another life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ProcessId(usize);

/// People and other systems: never frozen, never killed.
pub(crate) const OUTSIDE: ProcessId = ProcessId(0);

#[derive(Clone)]
pub(crate) struct Kernel(Rc<RefCell<State>>);

type Action = Box<dyn FnOnce()>;

struct State {
    now: Micros,
    counter: u64,
    rng: Rng,
    /// By moment, then by lot.
    events: BTreeMap<(Micros, u32, u64), Action>,
    tasks: BTreeMap<u64, Task>,
    ready: Arc<Mutex<BTreeSet<u64>>>,
    processes: Vec<Process>,
    /// How many operations were begun, at which operation its process freezes, and for how long.
    operations: u64,
    freeze_at: Option<(u64, Duration)>,
    /// The operation that takes effect now was held back by a freeze of its process.
    late: bool,
}

struct Task {
    process: ProcessId,
    /// Absent while it is polled.
    work: Option<LocalBoxFuture<'static, ()>>,
}

#[derive(Clone, Copy)]
struct Process {
    alive: bool,
    frozen_until: Micros,
}

struct Ready {
    task: u64,
    ready: Arc<Mutex<BTreeSet<u64>>>,
}

impl Wake for Ready {
    fn wake(self: Arc<Self>) {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).insert(self.task);
    }
}

fn micros(duration: Duration) -> Micros {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX / 4)
}

impl Kernel {
    pub(crate) fn new(seed: u64, now: Micros) -> Self {
        Self(Rc::new(RefCell::new(State {
            now,
            counter: 0,
            rng: Rng::with_seed(seed),
            events: BTreeMap::new(),
            tasks: BTreeMap::new(),
            ready: Arc::default(),
            processes: vec![Process { alive: true, frozen_until: 0 }],
            operations: 0,
            freeze_at: None,
            late: false,
        })))
    }

    pub(crate) fn now(&self) -> Micros {
        self.0.borrow().now
    }

    /// Draws lots.
    pub(crate) fn draw<T>(&self, lot: impl FnOnce(&mut Rng) -> T) -> T {
        lot(&mut self.0.borrow_mut().rng)
    }

    /// A duration of at most `most`, and at least a tenth of it.
    pub(crate) fn about(&self, most: Duration) -> Duration {
        let most = micros(most);
        Duration::from_micros(self.draw(|rng| rng.u64(most / 10..=most)))
    }

    pub(crate) fn chance(&self, probability: f64) -> bool {
        probability > 0.0 && self.draw(Rng::f64) < probability
    }

    // ---- processes ----

    pub(crate) fn start_process(&self) -> ProcessId {
        let mut state = self.0.borrow_mut();
        state.processes.push(Process { alive: true, frozen_until: 0 });
        ProcessId(state.processes.len() - 1)
    }

    /// As SIGKILL: the process stops; requests that it has sent take effect all the same.
    pub(crate) fn kill(&self, process: ProcessId) {
        let gone: Vec<Task> = {
            let mut state = self.0.borrow_mut();
            state.processes[process.0].alive = false;
            let dead = |task: &Task| task.process == process;
            let ids: Vec<u64> = state.tasks.iter().filter(|(_, task)| dead(task)).map(|(id, _)| *id).collect();
            ids.iter().filter_map(|id| state.tasks.remove(id)).collect()
        };
        // Outside the borrow: what is dropped may look at the kernel.
        drop(gone);
    }

    /// As SIGSTOP, and SIGCONT later: the clock goes on without it.
    pub(crate) fn freeze(&self, process: ProcessId, duration: Duration) {
        let mut state = self.0.borrow_mut();
        let until = state.now + micros(duration);
        let process = &mut state.processes[process.0];
        process.frozen_until = process.frozen_until.max(until);
    }

    /// Freezes the process that begins the n-th operation (the first is 1) inside that operation: after its
    /// last look at everything, and before the operation leaves. The operation leaves when the process wakes.
    pub(crate) fn freeze_at(&self, operation: u64, duration: Duration) {
        self.0.borrow_mut().freeze_at = Some((operation, duration));
    }

    /// Whether the operation that takes effect now left late, because its process was frozen in the middle of it.
    pub(crate) fn is_late(&self) -> bool {
        self.0.borrow().late
    }

    /// How many operations were begun so far.
    pub(crate) fn operations(&self) -> u64 {
        self.0.borrow().operations
    }

    /// One more operation begins.
    fn begin(&self, process: ProcessId) {
        let freeze = {
            let mut state = self.0.borrow_mut();
            state.operations += 1;
            state.freeze_at.filter(|(operation, _)| *operation == state.operations)
        };
        if let Some((_, duration)) = freeze {
            self.freeze(process, duration);
        }
    }

    pub(crate) fn is_alive(&self, process: ProcessId) -> bool {
        self.0.borrow().processes[process.0].alive
    }

    fn frozen_until(&self, process: ProcessId) -> Option<Micros> {
        let state = self.0.borrow();
        Some(state.processes[process.0].frozen_until).filter(|until| *until > state.now)
    }

    // ---- time ----

    /// Does something later.
    pub(crate) fn after(&self, delay: Duration, action: impl FnOnce() + 'static) {
        let mut state = self.0.borrow_mut();
        state.counter += 1;
        let moment = (state.now + micros(delay), state.rng.u32(..), state.counter);
        state.events.insert(moment, Box::new(action));
    }

    pub(crate) async fn sleep(&self, delay: Duration) {
        let (ring, rung) = oneshot::channel();
        self.after(delay, move || {
            let _ = ring.send(());
        });
        let _ = rung.await;
    }

    /// An operation of a process on something outside it: see the head of this file.
    pub(crate) async fn operation<T: 'static>(
        &self,
        process: ProcessId,
        there: Duration,
        back: Duration,
        effect: impl FnOnce() -> T + 'static,
    ) -> T {
        self.begin(process);
        let (answer, answered) = oneshot::channel();
        let leaves = there / 2;
        self.leave(process, leaves, there.saturating_sub(leaves), back, Box::new(effect), answer);
        match answered.await {
            Ok(answer) => answer,
            // The process is dead, so nobody waits here any more.
            Err(oneshot::Canceled) => std::future::pending().await,
        }
    }

    fn leave<T: 'static>(
        &self,
        process: ProcessId,
        leaves: Duration,
        arrives: Duration,
        back: Duration,
        effect: Box<dyn FnOnce() -> T>,
        answer: oneshot::Sender<T>,
    ) {
        let kernel = self.clone();
        self.after(leaves, move || {
            if !kernel.is_alive(process) {
                return;
            }
            if let Some(until) = kernel.frozen_until(process) {
                let rest = Duration::from_micros(until.saturating_sub(kernel.now()) + 1);
                let late = kernel.clone();
                let effect = move || {
                    late.0.borrow_mut().late = true;
                    let done = effect();
                    late.0.borrow_mut().late = false;
                    done
                };
                return kernel.leave(process, rest, arrives, back, Box::new(effect), answer);
            }
            let then = kernel.clone();
            kernel.after(arrives, move || {
                let done = effect();
                then.after(back, move || drop(answer.send(done)));
            });
        });
    }

    // ---- tasks ----

    pub(crate) fn spawn(&self, process: ProcessId, work: impl Future<Output = ()> + 'static) {
        let mut state = self.0.borrow_mut();
        if !state.processes[process.0].alive {
            return;
        }
        state.counter += 1;
        let id = state.counter;
        state.tasks.insert(id, Task { process, work: Some(work.boxed_local()) });
        state.ready.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
    }

    /// Lets things happen until that moment, or until `done` says so.
    pub(crate) fn run_until(&self, moment: Micros, mut done: impl FnMut() -> bool) {
        while !done() {
            if self.poll_ready() {
                continue;
            }
            let action = {
                let mut state = self.0.borrow_mut();
                match state.events.first_entry() {
                    Some(first) if first.key().0 <= moment => {
                        let ((at, ..), action) = first.remove_entry();
                        state.now = at;
                        action
                    }
                    _ => {
                        state.now = state.now.max(moment);
                        return;
                    }
                }
            };
            action();
        }
    }

    /// Polls every task that was woken, in an order drawn by lot.
    fn poll_ready(&self) -> bool {
        let mut woken: Vec<u64> = {
            let state = self.0.borrow();
            let mut ready = state.ready.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *ready).into_iter().collect()
        };
        if woken.len() > 1 {
            self.draw(|rng| rng.shuffle(&mut woken));
        }
        for id in &woken {
            self.poll(*id);
        }
        !woken.is_empty()
    }

    fn poll(&self, id: u64) {
        let (waker, mut work) = {
            let mut state = self.0.borrow_mut();
            let waker = Waker::from(Arc::new(Ready { task: id, ready: state.ready.clone() }));
            let Some(task) = state.tasks.get_mut(&id) else { return };
            let process = task.process;
            let until = state.processes[process.0].frozen_until;
            if until > state.now {
                let rest = Duration::from_micros(until - state.now);
                drop(state);
                return self.after(rest, move || waker.wake());
            }
            let Some(work) = state.tasks.get_mut(&id).and_then(|task| task.work.take()) else { return };
            (waker, work)
        };
        let polled = work.poll_unpin(&mut Context::from_waker(&waker));
        let mut state = self.0.borrow_mut();
        match (polled, state.tasks.get_mut(&id)) {
            (Poll::Pending, Some(task)) => task.work = Some(work),
            // Ended, or killed from within.
            _ => {
                state.tasks.remove(&id);
                drop(state);
                drop(work);
            }
        }
    }
}
