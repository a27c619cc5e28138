//! Runs the built components the way Spin 4.1 does, for tests and the sandbox. **Production is Spin.**
//!
//! Where this host differs from `spin up`:
//! - HTTP and Redis triggers share a process, and with it the in-memory key-value store (Spin's is a file).
//! - [`start`] returns when everything listens; Spin subscribes to Redis some time after it started.
//! - No TLS: an allowed `https://` call fails as a TLS error. No service chaining, so `http://self` is denied.
//! - It refuses what it does not copy: unknown keys in `spin.toml`, path parameters, stores other than `default`.
//! - `get_keys` collects before it answers: reading while iterating does not deadlock, as it does on Spin's SQLite store.
//! - The texts of Redis errors come from a newer client, values are not limited in size, HTTP/2 is not served.
//!
//! Reading order: `manifest` (what `spin.toml` says), `allow`, this file, `inbound`, `instance`, `spin`, `outbound`, `world`.

mod allow;
mod inbound;
mod instance;
mod manifest;
mod outbound;
mod spin;
mod world;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, anyhow};
use futures::future::{join_all, select_all};
use futures::{FutureExt, StreamExt};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use wasmtime::component::Component as Code;
use wasmtime_wasi_http::p3::bindings::ServicePre;

use inbound::{Handler, Instances};
use instance::{Component, Data, Meter, engine, link};
use manifest::{Manifest, Subscription};
use spin::KeyValue;
use spin::bindings::RedisTriggerPre;

pub use world::imports_outside_world;

/// Takes lines of output: the component, and the line. The host's own lines begin with `host: `.
pub type Log = Arc<dyn Fn(&str, &str) + Send + Sync>;

/// What to run, and with what.
pub struct Options {
    /// `spin.toml`; the components' `source` is relative to it.
    pub manifest: PathBuf,
    /// Values of application variables, as `spin up --variable`.
    pub variables: BTreeMap<String, String>,
    /// The Redis behind the key-value store; `None`: in memory.
    pub key_value_redis: Option<String>,
    /// As `spin up -c`; `None`: all.
    pub components: Option<Vec<String>>,
    /// Where to serve HTTP; port 0 picks one.
    pub listen: SocketAddr,
    /// Where output goes.
    pub log: Log,
    /// Whether the components count their instructions, see [`Cost`]; it makes them slower.
    pub count_instructions: bool,
}

/// What the instances of a component have cost so far. Spin tells no such thing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// The most linear memory that one instance had, in bytes.
    pub memory: u64,
    /// WebAssembly instructions (wasmtime's fuel) of the instances that have ended; 0 unless they were to be counted.
    pub instructions: u64,
    /// How many instances were made.
    pub made: u64,
    /// How many of them have ended.
    pub ended: u64,
}

/// A running application. Dropping it stops it too, without waiting.
pub struct Host {
    address: SocketAddr,
    meters: BTreeMap<String, Arc<Meter>>,
    stop: oneshot::Sender<()>,
    ended: watch::Receiver<Option<String>>,
}

/// Starts the application; returns when it listens and is subscribed.
pub async fn start(options: Options) -> anyhow::Result<Host> {
    let (started, starting) = oneshot::channel();
    let (stop, stopping) = oneshot::channel();
    let (end, ended) = watch::channel(None);
    // A runtime of its own is what lets everything die at once, background work of the components too.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    std::thread::Builder::new().name("host".into()).spawn(move || {
        let is_dead = Arc::new(AtomicBool::new(false));
        let reason = runtime.block_on(async {
            let (address, meters, running) = match App::start(options, is_dead.clone()).await {
                Ok(app) => app,
                Err(error) => {
                    let _ = started.send(Err(error));
                    return "it did not start".into();
                }
            };
            let _ = started.send(Ok((address, meters)));
            tokio::select! {
                reason = running => reason,
                _ = stopping => "it was stopped".into(),
            }
        });
        // A process that was killed answers nobody, not even that it was.
        is_dead.store(true, Ordering::SeqCst);
        runtime.shutdown_timeout(Duration::from_secs(5));
        end.send_replace(Some(reason));
    })?;
    let (address, meters) = starting.await.context("the host's thread died")??;
    Ok(Host { address, meters, stop, ended })
}

impl Host {
    /// Where HTTP is served; without an HTTP trigger nothing is, and this is the address that was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What the instances of a component have cost since the host started; nothing for a component that does not exist.
    pub fn cost(&self, component: &str) -> Cost {
        let Some(meter) = self.meters.get(component) else { return Cost::default() };
        let ended = meter.ended.load(Ordering::Acquire);
        let [memory, instructions, made] =
            [&meter.memory, &meter.instructions, &meter.made].map(|so_far| so_far.load(Ordering::Relaxed));
        Cost { memory, instructions, made, ended }
    }

    /// As SIGTERM: requests and background work die at once. Returns when they are gone.
    pub async fn stop(self) {
        let Host { stop, mut ended, .. } = self;
        drop(stop);
        let _ = ended.wait_for(Option::is_some).await;
    }

    /// Waits until the host ends by itself, and tells why: losing Redis ends it, HTTP included.
    pub async fn ended(&self) -> String {
        let reason = self.ended.clone().wait_for(Option::is_some).await.map(|reason| reason.clone());
        reason.ok().flatten().unwrap_or_else(|| "its thread died".into())
    }
}

/// What the HTTP side needs to answer.
struct App {
    manifest: Manifest,
    handlers: HashMap<String, Handler>,
    is_dead: Arc<AtomicBool>,
}

type Running = futures::future::BoxFuture<'static, String>;
type Meters = BTreeMap<String, Arc<Meter>>;

impl App {
    /// Where it listens, what it costs, and a future that resolves when a trigger ended, with the reason.
    async fn start(options: Options, is_dead: Arc<AtomicBool>) -> anyhow::Result<(SocketAddr, Meters, Running)> {
        let mut manifest = Manifest::load(&options.manifest, &options.variables, options.components.as_deref())?;
        let key_value = KeyValue::new(options.key_value_redis.as_deref())?;
        let clients = outbound::clients();
        let counts = options.count_instructions;
        let (mut components, mut meters) = (HashMap::new(), Meters::new());
        for (id, settings) in std::mem::take(&mut manifest.components) {
            let load = || link(&compile(&std::fs::read(&settings.source)?, counts)?).map_err(anyhow::Error::from);
            let pre = load().with_context(|| format!("component {id:?} from {}", settings.source.display()))?;
            let (key_value, clients, log) = (key_value.clone(), clients.clone(), options.log.clone());
            let meter = meters.entry(id.clone()).or_default().clone();
            let component = Component { id: id.clone(), settings, key_value, clients, pre, log, meter, counts };
            components.insert(id, Arc::new(component));
        }

        let mut running: Vec<Running> = Vec::new();
        let mut by_address: BTreeMap<String, Vec<Subscription>> = BTreeMap::new();
        for subscription in std::mem::take(&mut manifest.subscriptions) {
            by_address.entry(subscription.address.clone()).or_default().push(subscription);
        }
        for (address, subscriptions) in by_address {
            running.push(subscribe(&address, &subscriptions, &components).await?);
        }

        let mut address = options.listen;
        if !manifest.routes.is_empty() {
            let mut handlers = HashMap::new();
            for id in manifest.routes.iter().map(|route| &route.component) {
                let component = components[id].clone();
                let pre = ServicePre::new(component.pre.clone()).map_err(anyhow::Error::from)?;
                handlers.insert(id.clone(), Handler::new(Instances { component, pre }));
            }
            let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
            address = listener.local_addr()?;
            let app = Arc::new(App { manifest, handlers, is_dead });
            running.push(inbound::serve(app, listener).map(|error| format!("cannot accept: {error}")).boxed());
        }
        Ok((address, meters, select_all(running).map(|(reason, ..)| reason).boxed()))
    }
}

type Subscriber = (Arc<Component>, RedisTriggerPre<Data>);

/// Subscribes to the channels of one Redis. The future takes messages one after the other and resolves when Redis is lost.
async fn subscribe(
    address: &str,
    subscriptions: &[Subscription],
    components: &HashMap<String, Arc<Component>>,
) -> anyhow::Result<Running> {
    let mut channels: HashMap<String, Vec<Subscriber>> = HashMap::new();
    for subscription in subscriptions {
        let component = components[&subscription.component].clone();
        let trigger = RedisTriggerPre::new(component.pre.clone()).map_err(anyhow::Error::from)?;
        channels.entry(subscription.channel.clone()).or_default().push((component, trigger));
    }
    // The address may hold a password: no error names it.
    let client = redis::Client::open(address).context("the Redis trigger's address is not valid")?;
    let mut connection = client.get_async_pubsub().await.context("the Redis trigger cannot connect")?;
    for channel in channels.keys() {
        connection.subscribe(channel).await.with_context(|| format!("cannot subscribe to {channel:?}"))?;
    }
    Ok(async move {
        let mut messages = connection.into_on_message();
        while let Some(message) = messages.next().await {
            let handlers = channels.get(message.get_channel_name()).into_iter().flatten();
            join_all(handlers.map(async |(component, trigger)| {
                if let Err(error) = handle_message(component, trigger, message.get_payload_bytes().to_vec()).await {
                    component.say(&format!("the Redis handler failed: {}", error.root_cause()));
                }
            }))
            .await;
        }
        "the Redis trigger lost its connection".to_owned()
    }
    .boxed())
}

/// One message, one instance: it is dropped when the handler returns, with whatever it still had under way.
async fn handle_message(
    component: &Arc<Component>,
    trigger: &RedisTriggerPre<Data>,
    payload: Vec<u8>,
) -> anyhow::Result<()> {
    let mut store = component.store();
    let trigger = trigger.instantiate_async(&mut store).await.map_err(anyhow::Error::from)?;
    let handler = trigger.spin_redis_inbound_redis();
    let outcome = store.run_concurrent(async |accessor| handler.call_handle_message(accessor, payload).await).await;
    component.ended(&store);
    outcome.flatten().map_err(anyhow::Error::from)?.map_err(|error| anyhow!("it returned {error:?}"))
}

/// Compiles a component, once per process for the same bytes.
fn compile(wasm: &[u8], counts: bool) -> anyhow::Result<Code> {
    static COMPILED: [Mutex<BTreeMap<Vec<u8>, Code>>; 2] = [const { Mutex::new(BTreeMap::new()) }; 2];
    let mut compiled = COMPILED[usize::from(counts)].lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(code) = compiled.get(wasm) {
        return Ok(code.clone());
    }
    let code = Code::new(engine(counts), wasm).map_err(anyhow::Error::from)?;
    compiled.insert(wasm.to_vec(), code.clone());
    Ok(code)
}
