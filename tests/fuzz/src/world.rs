//! The seams, scripted: a store, a Redis that says yes, answers of other systems in the order given, and a clock that jumps to the
//! next moment for which somebody waits. What was asked and written is kept, so that a target can look at it.

use bot::world::{Line, Log};
use clients::http::{Chunks, HeaderMap, Http, HttpError, Request, Response, StatusCode};
use domain::time::Timestamp;
use futures::task::noop_waker;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use store::{Clock, KeyValue, Redis, Reply, Seals, StoreError};

/// When everything here happens: the time in Slack's published example of a signature.
pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_531_420_618);

/// The world around one request.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) store: RefCell<BTreeMap<String, Vec<u8>>>,
    /// Uses of the store and of Redis so far.
    pub(crate) touched: Cell<usize>,
    /// Keys that were written.
    pub(crate) written: RefCell<Vec<String>>,
    /// What Redis says to every command.
    pub(crate) replies: Vec<Reply>,
    /// Answers of other systems, and the body of a stream.
    pub(crate) answers: RefCell<VecDeque<Result<Response, HttpError>>>,
    pub(crate) stream: RefCell<Vec<Vec<u8>>>,
    pub(crate) asked: RefCell<Vec<Request>>,
    pub(crate) lines: RefCell<Vec<String>>,
    /// None: what is read is believed, so that all of it is parsed.
    pub(crate) seals: Rc<Seals>,
    elapsed: Cell<Duration>,
    waiting: RefCell<Vec<Duration>>,
}

impl World {
    /// Runs to the end. Sleeping tasks are woken in order; none may wait for ever.
    pub(crate) fn run<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let waker = noop_waker();
        for _ in 0..10_000 {
            if let Poll::Ready(done) = work.as_mut().poll(&mut Context::from_waker(&waker)) {
                return done;
            }
            let next = self.waiting.take().into_iter().min().expect("nobody waits, and yet it does not go on");
            self.elapsed.set(self.elapsed.get().max(next));
        }
        panic!("it waits again and again");
    }
}

impl KeyValue for World {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.touched.set(self.touched.get() + 1);
        Ok(self.store.borrow().get(key).cloned())
    }

    async fn set(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        self.touched.set(self.touched.get() + 1);
        self.written.borrow_mut().push(key.to_owned());
        self.store.borrow_mut().insert(key.to_owned(), value.to_vec());
        Ok(())
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.touched.set(self.touched.get() + 1);
        self.store.borrow_mut().remove(key);
        Ok(())
    }

    async fn keys(&self) -> Result<Vec<String>, StoreError> {
        self.touched.set(self.touched.get() + 1);
        Ok(self.store.borrow().keys().cloned().collect())
    }

    fn seals(&self) -> Rc<Seals> {
        self.seals.clone()
    }

    fn forged(&self, key: &str) {
        self.lines.borrow_mut().push(format!("{key} is not ours"));
    }
}

impl Redis for World {
    async fn run(&self, _: &str, _: &[&str]) -> Result<Vec<Reply>, StoreError> {
        self.touched.set(self.touched.get() + 1);
        Ok(self.replies.clone())
    }
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        NOW.after(self.elapsed.get())
    }

    fn elapsed(&self) -> Duration {
        self.elapsed.get()
    }

    async fn sleep(&self, duration: Duration) {
        let until = self.elapsed.get().saturating_add(duration);
        std::future::poll_fn(|_| {
            if self.elapsed.get() >= until {
                return Poll::Ready(());
            }
            self.waiting.borrow_mut().push(until);
            Poll::Pending
        })
        .await;
    }
}

impl Log for World {
    fn log(&self, line: Line) {
        self.lines.borrow_mut().push(line.text());
    }
}

impl Http for World {
    type Body = Pieces;

    async fn send(&self, request: Request) -> Result<Response, HttpError> {
        self.asked.borrow_mut().push(request);
        self.answers.borrow_mut().pop_front().unwrap_or(Err(HttpError::NotConnected))
    }

    async fn open(&self, request: Request) -> Result<(Response, Pieces), HttpError> {
        self.asked.borrow_mut().push(request);
        Ok((response(200, b""), Pieces::new(self.stream.take())))
    }
}

/// A body that arrives in pieces.
pub(crate) struct Pieces(VecDeque<Vec<u8>>);

impl Pieces {
    pub(crate) fn new(pieces: Vec<Vec<u8>>) -> Self {
        Self(pieces.into())
    }
}

impl Chunks for Pieces {
    async fn chunk(&mut self) -> Result<Option<Vec<u8>>, HttpError> {
        Ok(self.0.pop_front())
    }
}

/// An answer of another system.
pub(crate) fn response(status: u16, body: &[u8]) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    Response { status, headers: HeaderMap::new(), body: body.to_vec() }
}
