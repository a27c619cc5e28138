//! One instance of a component: its store data, what is linked into it, and where its output goes.
//! Easy to miss: what a Redis handler printed must be out before its store is dropped, so output is written on the spot.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime::component::{Component as Code, InstancePre, Linker, ResourceTable};
use wasmtime::{Config, Engine, ResourceLimiter, Store};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::WasiHttpCtx;
use wasmtime_wasi_http::p3::{WasiHttpCtxView, WasiHttpView};

use crate::Log;
use crate::manifest;
use crate::outbound::{Clients, Outbound};
use crate::spin::{self, KeyValue};

/// A component that is compiled and linked, with everything its instances share.
pub(crate) struct Component {
    pub(crate) id: String,
    pub(crate) settings: manifest::Component,
    pub(crate) key_value: KeyValue,
    pub(crate) clients: Clients,
    pub(crate) pre: InstancePre<Data>,
    pub(crate) log: Log,
    pub(crate) meter: Arc<Meter>,
    /// Its code counts its instructions.
    pub(crate) counts: bool,
}

/// What the instances of a component have cost.
#[derive(Default)]
pub(crate) struct Meter {
    /// The most linear memory that one instance had, in bytes.
    pub(crate) memory: AtomicU64,
    /// Of instances that have ended, where the code counts.
    pub(crate) instructions: AtomicU64,
    /// How many were made.
    pub(crate) made: AtomicU64,
    /// How many of them have ended.
    pub(crate) ended: AtomicU64,
}

/// Sees the linear memory of one instance grow; forbids nothing.
struct Growth {
    meter: Arc<Meter>,
    memory: u64,
}

impl ResourceLimiter for Growth {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.memory += desired.saturating_sub(current) as u64;
        self.meter.memory.fetch_max(self.memory, Ordering::Relaxed);
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, _: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(true)
    }
}

/// What belongs to one instance.
pub(crate) struct Data {
    pub(crate) component: Arc<Component>,
    pub(crate) table: ResourceTable,
    pub(crate) redis_connections: usize,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    outbound: Outbound,
    growth: Growth,
}

impl Component {
    /// A store for a fresh instance.
    pub(crate) fn store(self: &Arc<Self>) -> Store<Data> {
        let output = || Output(Arc::new(Lines { component: self.clone(), rest: Mutex::default() }));
        let data = Data {
            component: self.clone(),
            table: ResourceTable::new(),
            redis_connections: 0,
            wasi: WasiCtxBuilder::new().stdout(output()).stderr(output()).build(),
            http: WasiHttpCtx::new(),
            outbound: Outbound(self.clone()),
            growth: Growth { meter: self.meter.clone(), memory: 0 },
        };
        self.meter.made.fetch_add(1, Ordering::Relaxed);
        let mut store = Store::new(engine(self.counts), data);
        store.limiter(|data| &mut data.growth);
        if self.counts {
            store.set_fuel(u64::MAX).expect("this engine counts");
        }
        store
    }

    /// An instance has ended.
    pub(crate) fn ended(&self, store: &Store<Data>) {
        if let Ok(left) = store.get_fuel() {
            self.meter.instructions.fetch_add(u64::MAX - left, Ordering::Relaxed);
        }
        self.meter.ended.fetch_add(1, Ordering::Release);
    }

    /// A line of the host's own about this component.
    pub(crate) fn say(&self, line: &str) {
        (self.log)(&self.id, &format!("host: {line}"));
    }
}

/// The engines of this process, one for code that counts its instructions: compiled components belong to one and are shared by all hosts.
pub(crate) fn engine(counts: bool) -> &'static Engine {
    static ENGINES: [OnceLock<Engine>; 2] = [const { OnceLock::new() }; 2];
    ENGINES[usize::from(counts)].get_or_init(|| {
        let mut config = Config::new();
        config.wasm_component_model_async(true).consume_fuel(counts);
        Engine::new(&config).expect("this configuration is always valid")
    })
}

/// Links a component to WASI 0.2 (which Rust's `std` still calls), WASI 0.3 and Spin's interfaces.
pub(crate) fn link(code: &Code) -> wasmtime::Result<InstancePre<Data>> {
    let mut linker = Linker::new(code.engine());
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    spin::add_to_linker(&mut linker)?;
    linker.instantiate_pre(code)
}

impl WasiView for Data {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Data {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.outbound, table: &mut self.table, ctx: &mut self.http }
    }
}

/// Standard output or error of one instance, cut into lines.
struct Lines {
    component: Arc<Component>,
    rest: Mutex<Vec<u8>>,
}

impl Lines {
    fn write(&self, bytes: &[u8]) {
        let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        rest.extend_from_slice(bytes);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            (self.component.log)(&self.component.id, &String::from_utf8_lossy(&line[..end]));
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        if !self.rest.get_mut().unwrap_or_else(PoisonError::into_inner).is_empty() {
            self.write(b"\n");
        }
    }
}

#[derive(Clone)]
struct Output(Arc<Lines>);

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    // The default writes in a task of its own, which may come too late.
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.0.write(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(1 << 20)
    }
}

impl Pollable for Output {
    // What `#[async_trait]` makes of `async fn ready(&mut self) {}`.
    fn ready<'s, 'f>(&'s mut self) -> Pin<Box<dyn Future<Output = ()> + Send + 'f>>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(async {})
    }
}

impl AsyncWrite for Output {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.write(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
