//! The seams as the simulation offers them to one component in one process.
//!
//! The time limits that `deploy-spin` puts on every call are here too, and so are their leftovers: a call
//! that was given up may take effect all the same.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bot::world::{Line, Log};
use clients::http::{Chunks, Http, HttpError, Method, Request, Response, StatusCode};
use domain::time::Timestamp;
use fakes::{StandIn, StreamId};
use futures::future::{Either, select};
use store::{Clock, KeyValue, Redis, Reply, Seals, StoreError};

use crate::kernel::{Kernel, Micros, ProcessId};
use crate::town::{Came, System, Town, lock};

/// A component: what it may reach and write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    SlackCommand,
    GithubRelay,
    SyncPoller,
}

impl Role {
    /// Who alone writes a key.
    pub(crate) fn writer(key: &str) -> Self {
        match key.rsplit('/').next() {
            _ if key.starts_with("deploy-bot/push/") => Self::GithubRelay,
            Some("push" | "rewritten" | "catalog-pushed") => Self::GithubRelay,
            _ if key.starts_with("deploy-bot/seen/") || key.starts_with("deploy-bot/selected/") => Self::SyncPoller,
            Some("watch" | "outcome" | "live") => Self::SyncPoller,
            _ => Self::SlackCommand,
        }
    }

    pub(crate) fn may_reach(self, system: System) -> bool {
        match self {
            Self::SlackCommand => system != System::ArgoCd,
            Self::GithubRelay => system == System::ArgoCd,
            Self::SyncPoller => matches!(system, System::ArgoCd | System::Slack),
        }
    }
}

/// The world of one request or wake-up.
pub(crate) struct World {
    town: Rc<Town>,
    process: ProcessId,
    role: Role,
    skew: i64,
    started: Micros,
    /// The town's number for this process while it holds the lease `watch`.
    number: u64,
    /// It was a watch, and has lost its lease.
    over: Cell<bool>,
}

/// Nothing is on its way for longer than this. A write that its sender gave up lands before the shortest
/// lease (10 s) has run out, so the next holder finds it and does not write before it. A later write would
/// take back what was noted since.
const LATEST: Duration = Duration::from_secs(8);
const STORE_SLOW: StoreError = StoreError::Failed("the key-value store did not answer in time");
const REDIS_SLOW: StoreError = StoreError::Failed("Redis did not answer in time");
const REDIS_GONE: StoreError = StoreError::Failed("Redis failed");

impl World {
    pub(crate) fn new(town: Rc<Town>, process: ProcessId, n: usize, role: Role) -> Self {
        let (skew, started) = (town.service(role, n).skew, town.kernel.now());
        let number = town.kernel.draw(|rng| rng.u64(..));
        Self { town, process, role, skew, started, number, over: Cell::new(false) }
    }

    fn kernel(&self) -> &Kernel {
        &self.town.kernel
    }

    /// How long the way there and back takes; now and then very long.
    fn ways(&self, usual: Duration) -> (Duration, Duration) {
        let kernel = self.kernel();
        let slow = kernel.chance(self.town.weather.borrow().slow);
        let there = if slow { kernel.about(LATEST) } else { kernel.about(usual) };
        (there, kernel.about(usual))
    }

    async fn within<T>(&self, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
        match select(pin!(work), pin!(self.kernel().sleep(limit))).await {
            Either::Left((done, _)) => Some(done),
            Either::Right(_) => None,
        }
    }

    /// An operation on the store.
    async fn store<T: 'static>(
        &self,
        limit: Duration,
        effect: impl FnOnce(&Town) -> T + 'static,
    ) -> Result<T, StoreError> {
        let (there, back) = self.ways(Duration::from_millis(3));
        let town = self.town.clone();
        let fails = self.kernel().chance(self.town.weather.borrow().store_fails);
        let without_effect = fails && self.kernel().chance(0.5);
        let effect = move || if without_effect { None } else { Some(effect(&town)).filter(|_| !fails) };
        let done = self.kernel().operation(self.process, there, back, effect);
        self.within(limit, done).await.ok_or(STORE_SLOW)?.ok_or(StoreError::Failed("the key-value store failed"))
    }

    /// See [`Town::watch_acts`].
    fn changes_something(&self) {
        if self.role == Role::SyncPoller && !self.over.get() {
            self.town.watch_acts(self.number);
        }
    }

    async fn call(&self, request: Request) -> Result<(Response, Body), HttpError> {
        if self.role == Role::SyncPoller && !self.over.get() {
            // A process that calls other systems is watching, whatever lease it holds.
            self.town.watching(self.number, true);
        }
        if request.method == Method::POST {
            self.changes_something();
        }
        let Some((system, target)) = System::of(&request.url) else {
            self.town.broke(format!("{:?} calls an address that nobody has: {}", self.role, request.url));
            return Err(HttpError::Denied);
        };
        let mut headers = request.headers;
        headers.entry("user-agent").or_insert(http::HeaderValue::from_static("deploy-bot"));
        if !request.body.is_empty() {
            headers.insert("content-length", request.body.len().into());
        }
        let (method, target, body) = (request.method, target.to_owned(), request.body);
        let request = fakes::Request { method, target, headers, body };
        let (there, back) = self.ways(Duration::from_millis(120));
        let (town, role) = (self.town.clone(), self.role);
        let came =
            self.kernel().operation(self.process, there, back, move || town.exchange(role, system, &request)).await;
        let (answer, stream) = match came {
            Came::Never => std::future::pending().await,
            Came::Failed(error) => return Err(error),
            Came::Whole(answer) => (answer, None),
            Came::Open(head, open) => (head, Some(open)),
            Came::Later(open) => loop {
                let answer = lock(&open.stand_in).waiting(self.town.now(), open.id);
                if let Some(answer) = answer {
                    break (answer, None);
                }
                self.kernel().sleep(Duration::from_millis(50)).await;
            },
        };
        let mut head = Response {
            status: StatusCode::from_u16(answer.status).map_err(|_| HttpError::Broken)?,
            headers: http::HeaderMap::new(),
            body: Vec::new(),
        };
        for (name, value) in &answer.headers {
            let name: http::HeaderName = name.parse().map_err(|_| HttpError::Broken)?;
            head.headers.append(name, http::HeaderValue::from_str(value).map_err(|_| HttpError::Broken)?);
        }
        let body = match stream {
            None => Body::Whole(Some(answer.body)),
            Some(open) => {
                let cut = self.town.weather.borrow().streams_cut;
                let ends = self.kernel().chance(cut).then(|| self.kernel().about(Duration::from_secs(5)));
                let ends = ends.map(|after| self.town.now() + after.as_millis() as u64);
                Body::Open { town: self.town.clone(), system, ends, open }
            }
        };
        Ok((head, body))
    }
}

impl Http for World {
    type Body = Body;

    async fn send(&self, request: Request) -> Result<Response, HttpError> {
        let (limit, max) = (request.timeout, request.max_answer);
        let whole = async {
            let (mut response, mut body) = self.call(request).await?;
            while let Some(chunk) = body.chunk().await? {
                if response.body.len() + chunk.len() > max {
                    return Err(HttpError::TooLarge);
                }
                response.body.extend_from_slice(&chunk);
            }
            Ok(response)
        };
        self.within(limit, whole).await.unwrap_or(Err(HttpError::TimedOut))
    }

    async fn open(&self, request: Request) -> Result<(Response, Body), HttpError> {
        let limit = request.timeout;
        self.within(limit, self.call(request)).await.unwrap_or(Err(HttpError::TimedOut))
    }
}

/// A stream, or a request that waits, at a stand-in: dropping it hangs up.
pub(crate) struct Open {
    pub(crate) stand_in: Arc<Mutex<dyn StandIn>>,
    pub(crate) id: StreamId,
}

impl Drop for Open {
    fn drop(&mut self) {
        lock(&self.stand_in).stream_closed(self.id);
    }
}

pub(crate) enum Body {
    Whole(Option<Vec<u8>>),
    Open { town: Rc<Town>, system: System, ends: Option<u64>, open: Open },
}

impl Chunks for Body {
    async fn chunk(&mut self) -> Result<Option<Vec<u8>>, HttpError> {
        match self {
            Self::Whole(body) => Ok(body.take().filter(|body| !body.is_empty())),
            Self::Open { town, system, ends, open } => loop {
                let is_down = town.weather.borrow().down.contains(system);
                if is_down || ends.is_some_and(|ends| town.now() >= ends) {
                    return Err(HttpError::Broken);
                }
                match lock(&open.stand_in).stream(town.now(), open.id) {
                    None => return Ok(None),
                    Some(bytes) if !bytes.is_empty() => return Ok(Some(bytes)),
                    Some(_) => {}
                }
                town.kernel.sleep(Duration::from_millis(50)).await;
            },
        }
    }
}

impl KeyValue for World {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let key = key.to_owned();
        self.store(store::READ_TIMEOUT, move |town| town.store.borrow().get(&key).cloned()).await
    }

    async fn set(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        self.changes_something();
        let (key, value, role) = (key.to_owned(), value.to_vec(), self.role);
        self.store(store::WRITE_TIMEOUT, move |town| town.write(role, &key, Some(value))).await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        let (key, role) = (key.to_owned(), self.role);
        self.store(store::WRITE_TIMEOUT, move |town| town.write(role, &key, None)).await
    }

    async fn keys(&self) -> Result<Vec<String>, StoreError> {
        self.store(store::READ_TIMEOUT * 15, |town| town.store.borrow().keys().cloned().collect()).await
    }

    fn seals(&self) -> Rc<Seals> {
        self.town.seals(self.role)
    }

    fn forged(&self, key: &str) {
        panic!("{key} is not ours for {:?}", self.role);
    }
}

impl Redis for World {
    async fn run(&self, command: &str, arguments: &[&str]) -> Result<Vec<Reply>, StoreError> {
        let (there, back) = self.ways(Duration::from_millis(2));
        let (town, name) = (self.town.clone(), command.to_owned());
        let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
        let (number, is_watch) = (self.number, arguments.iter().any(|text| text == "deploy-bot/lease/watch"));
        let effect = move || {
            let weather = town.weather.borrow();
            let fails = weather.redis_down || town.kernel.chance(weather.redis_fails);
            drop(weather);
            if fails && (town.weather.borrow().redis_down || town.kernel.chance(0.5)) {
                return None;
            }
            let reply = if name == "PUBLISH" {
                vec![Reply::Int(i64::try_from(town.publish()).unwrap_or(i64::MAX))]
            } else {
                let reply = town.redis.borrow_mut().run(town.now(), &name, &arguments);
                if let ("ZADD" | "ZREM" | "SET", Some(key)) = (name.as_str(), arguments.first()) {
                    // Without the value: a lease's token is random, and the same seed is the same journal.
                    town.note(|| format!("{name} {key}: {reply:?}"));
                }
                if is_watch && name == "SET" && matches!(reply.first(), Some(Reply::Status(_))) {
                    town.watching(number, true);
                } else if is_watch && arguments.iter().any(|text| text.contains("'DEL'")) {
                    town.watching(number, false);
                }
                reply
            };
            Some(reply).filter(|_| !fails)
        };
        let done = self.kernel().operation(self.process, there, back, effect);
        let reply = self.within(store::REDIS_TIMEOUT, done).await.ok_or(REDIS_SLOW)?.ok_or(REDIS_GONE)?;
        Ok(reply)
    }
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        Timestamp(self.town.now().saturating_add_signed(self.skew))
    }

    fn elapsed(&self) -> Duration {
        Duration::from_micros(self.kernel().now() - self.started)
    }

    async fn sleep(&self, duration: Duration) {
        self.kernel().sleep(duration).await;
    }
}

impl Log for World {
    fn log(&self, line: Line) {
        if line.text().contains("\"watch_lost\"") {
            // What the process repairs from now on is no work of a watch.
            self.over.set(true);
            self.town.watching(self.number, false);
        }
        self.town.line(self.role, &line);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.town.watching(self.number, false);
    }
}

/// Reads the store at once, for those who only look.
pub(crate) struct Peek<'t>(pub(crate) &'t Town);

impl KeyValue for Peek<'_> {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.store.borrow().get(key).cloned())
    }

    async fn set(&self, _: &str, _: &[u8]) -> Result<(), StoreError> {
        Err(StoreError::Failed("whoever looks does not write"))
    }

    async fn delete(&self, _: &str) -> Result<(), StoreError> {
        Err(StoreError::Failed("whoever looks does not write"))
    }

    async fn keys(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.0.store.borrow().keys().cloned().collect())
    }

    fn seals(&self) -> Rc<Seals> {
        Rc::default()
    }

    fn forged(&self, _: &str) {}
}
