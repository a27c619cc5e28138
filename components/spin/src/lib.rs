//! The seams of the bot on Spin: HTTP out, key-value store, Redis, time, variables, log lines. The only
//! library that names spin-sdk.
//!
//! What Spin does not have is added here once, so that no caller can forget it: a time and a size limit on
//! every call. Natively this crate is empty: it exists only inside the .wasm.
#![cfg(target_family = "wasm")]

mod http;
mod redis;

pub use http::{Incoming, answer, inbound};

use bot::reply::Declined;
use bot::settings::{LIMITS, SettingError, Settings, Variables};
use bot::world::{Line, Log};
use clients::http::Answer;
use domain::names::Secret;
use domain::time::{Timestamp, millis};
use futures::future::{Either, select};
use spin_sdk::key_value;
use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;
use std::thread::LocalKey;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use store::{Clock, KeyValue, READ_TIMEOUT, Seals, StoreError, WRITE_TIMEOUT};

/// The world as Spin offers it to one component.
pub struct Spin {
    started: Instant,
    store: RefCell<Option<Rc<key_value::Store>>>,
    redis: redis::Client,
    seals: RefCell<Rc<Seals>>,
}

impl Spin {
    /// Opens nothing yet: the store and Redis are opened by their first use, so a forged request
    /// costs neither.
    pub fn new(redis_url: Secret, seals: Rc<Seals>) -> Self {
        let (store, redis) = (RefCell::new(None), redis::Client::new(redis_url));
        Self { started: Instant::now(), store, redis, seals: RefCell::new(seals) }
    }

    async fn store(&self) -> Result<Rc<key_value::Store>, StoreError> {
        let open = self.store.borrow().clone();
        if let Some(store) = open {
            return Ok(store);
        }
        let store = Rc::new(key_value::Store::open_default().await.map_err(store_error)?);
        *self.store.borrow_mut() = Some(store.clone());
        Ok(store)
    }
}

/// Puts a time limit on work with the key-value store.
async fn in_time<T>(limit: Duration, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let slow = StoreError::Failed("the key-value store did not answer in time");
    within(limit, work).await.unwrap_or(Err(slow))
}

/// Puts a time limit on any work. `None`: the work took longer, and was dropped.
async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    match select(pin!(work), pin!(spin_sdk::time::sleep(limit))).await {
        Either::Left((done, _)) => Some(done),
        Either::Right(((), _)) => None,
    }
}

// Spin's own text may hold the address of the store, password included: it is never passed on.
fn store_error(error: key_value::Error) -> StoreError {
    match error {
        key_value::Error::AccessDenied => StoreError::Failed("the component may not use the key-value store"),
        key_value::Error::NoSuchStore => StoreError::Failed("there is no key-value store `default`"),
        _ => StoreError::Failed("the key-value store failed"),
    }
}

impl KeyValue for Spin {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        in_time(READ_TIMEOUT, async { self.store().await?.get(key).await.map_err(store_error) }).await
    }

    async fn set(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        in_time(WRITE_TIMEOUT, async { self.store().await?.set(key, value).await.map_err(store_error) }).await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        in_time(WRITE_TIMEOUT, async { self.store().await?.delete(key).await.map_err(store_error) }).await
    }

    async fn keys(&self) -> Result<Vec<String>, StoreError> {
        // All at once: a `get` while the keys are still coming deadlocks Spin's SQLite store.
        let all = async { self.store().await?.get_keys().await.collect().await.map_err(store_error) };
        in_time(READ_TIMEOUT.saturating_mul(15), all).await
    }

    fn seals(&self) -> Rc<Seals> {
        self.seals.borrow().clone()
    }

    fn forged(&self, key: &str) {
        self.log(Line::error("not_ours").with("key", key));
    }
}

impl Clock for Spin {
    fn now(&self) -> Timestamp {
        now()
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    async fn sleep(&self, duration: Duration) {
        spin_sdk::time::sleep(duration).await;
    }
}

impl Log for Spin {
    fn log(&self, line: Line) {
        println!("{}", line.text());
    }
}

/// How old the variables of an instance may be. A forged request is not worth ten calls of the host. A secret
/// that is rotated at run time (with a provider of Spin) is covered by its `_previous` twin for that long.
const VARIABLES_AGE: Duration = Duration::from_secs(5);

thread_local! {
    /// What this component reads, as it last read it.
    static VARIABLES: RefCell<Option<(Instant, Rc<Variables>)>> = const { RefCell::new(None) };
}

/// What a component keeps for all requests of its instance, so that they share its connections. No request's
/// data is in it.
pub struct Door<S>(RefCell<Option<Open<S>>>);

struct Open<S> {
    /// The variables that the settings were read from. For other variables the settings are read again.
    variables: Rc<Variables>,
    settings: Rc<S>,
    world: Rc<Spin>,
}

impl<S: Settings> Door<S> {
    /// Nothing is read or opened yet.
    pub const fn closed() -> Self {
        Self(RefCell::new(None))
    }

    /// The settings in these variables, and the world of the instance.
    pub fn open(door: &'static LocalKey<Self>, variables: &Rc<Variables>) -> Result<(Rc<S>, Rc<Spin>), SettingError> {
        door.with(|Self(open)| {
            let mut open = open.borrow_mut();
            if let Some(known) = open.as_ref().filter(|known| Rc::ptr_eq(&known.variables, variables)) {
                return Ok((known.settings.clone(), known.world.clone()));
            }
            let settings = Rc::new(S::read(variables)?);
            let world = match open.take() {
                Some(known) => {
                    known.world.seals.replace(settings.seals());
                    known.world
                }
                None => Rc::new(Spin::new(settings.redis_url().clone(), settings.seals())),
            };
            *open = Some(Open { variables: variables.clone(), settings: settings.clone(), world: world.clone() });
            Ok((settings, world))
        })
    }
}

/// Reads these variables, always the same in one component. A variable that Spin cannot give counts as empty:
/// the settings name it if they need it.
pub async fn variables(names: &[&'static str]) -> Rc<Variables> {
    let known = VARIABLES.with_borrow(|known| known.clone());
    if let Some((read, variables)) = known
        && read.elapsed() < VARIABLES_AGE
    {
        return variables;
    }
    // Only tests have this one.
    let names = names.iter().chain([&LIMITS]);
    let read = names.map(|name| async move { (*name, spin_sdk::variables::get(name).await.ok()) });
    let read = futures::future::join_all(read).await;
    let all_there = read.iter().all(|(name, value)| value.is_some() || *name == LIMITS);
    let read = read.into_iter().map(|(name, value)| (name, value.unwrap_or_default()));
    let variables = Rc::new(Variables(read.collect()));
    if all_there {
        VARIABLES.set(Some((Instant::now(), variables.clone())));
    }
    variables
}

/// The time, where there is no world yet.
pub fn now() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).map(millis).unwrap_or_default())
}

/// Writes a log line where there is no world yet: when a setting is missing.
pub fn log(line: &Line) {
    println!("{}", line.text());
}

/// Logs why a request goes no further, and gives its answer.
pub fn declined(declined: Declined) -> Answer {
    if let Some(line) = &declined.line {
        log(line);
    }
    declined.answer
}

/// Starts work that goes on after the answer; Spin keeps it running until the process ends.
pub fn spawn(work: impl Future<Output = ()> + 'static) {
    spin_sdk::wasip3::spawn(work);
}
