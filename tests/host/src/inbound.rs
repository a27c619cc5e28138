//! The HTTP trigger: routes, the `spin-*` headers, and instances that serve several requests.
//! Easy to miss: those headers are appended *after* the client's, so the first value of a name may be forged.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use http::uri::{Authority, Scheme};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::time::{Sleep, sleep};
use wasmtime::component::GuestTaskId;
use wasmtime::{Store, StoreContextMut};
use wasmtime_wasi_http::handler::{
    self, HandlerState, Instance, Proxy, ProxyHandler, ShouldAccept, ViewFn, WorkerExpiration, WorkerState,
    WorkerStatus,
};
use wasmtime_wasi_http::p3::WasiHttpView;
use wasmtime_wasi_http::p3::bindings::ServicePre;
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;

use crate::App;
use crate::instance::{Component, Data};

/// Spin's defaults: how many requests an instance serves in all and at once, and how long it may be idle.
const REQUESTS: usize = 128;
const CONCURRENT_REQUESTS: usize = 16;
const IDLE: Duration = Duration::from_secs(1);

/// Serves requests to one component.
pub(crate) type Handler = ProxyHandler<Instances>;

/// Makes instances of one component.
pub(crate) struct Instances {
    pub(crate) component: Arc<Component>,
    pub(crate) pre: ServicePre<Data>,
}

impl HandlerState for Instances {
    type StoreData = Data;
    type WorkerExpiration = Expiration;
    type WorkerState = Worker;

    async fn instantiate(&self) -> wasmtime::Result<Instance<Data, Expiration, Worker>> {
        let mut store = self.component.store();
        let proxy = Proxy::P3(self.pre.instantiate_async(&mut store).await?);
        let expiration = Expiration(Box::pin(sleep(IDLE)));
        Ok(Instance { store, proxy, view: ViewFn::P3(Data::http), expiration, state: Worker(self.component.clone()) })
    }
}

pub(crate) struct Expiration(Pin<Box<Sleep>>);

impl WorkerExpiration for Expiration {
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>, status: WorkerStatus, start: Instant) -> Poll<()> {
        match status {
            WorkerStatus::Idle => {
                let end = (start + IDLE).into();
                if self.0.deadline() != end {
                    self.0.as_mut().reset(end);
                }
                self.0.as_mut().poll(cx)
            }
            // No limit for a request, nor for what goes on after its response.
            WorkerStatus::Requests | WorkerStatus::PostReturn => Poll::Pending,
        }
    }
}

pub(crate) struct Worker(Arc<Component>);

impl WorkerState for Worker {
    type StoreData = Data;
    type RequestId = ();

    fn should_accept_request(&self, concurrent: usize, total: usize) -> ShouldAccept {
        match () {
            () if total >= REQUESTS => ShouldAccept::Never,
            () if concurrent >= CONCURRENT_REQUESTS => ShouldAccept::No,
            () => ShouldAccept::Yes,
        }
    }

    fn on_request_start(
        &self,
        _: StoreContextMut<'_, Data>,
        (): (),
        _: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        Box::pin(std::future::pending())
    }

    fn drop(&self, store: Store<Data>, result: wasmtime::Result<()>) {
        self.0.ended(&store);
        // Wasmtime calls it a panic too when the host is being stopped.
        let stopped = |error: &wasmtime::Error| error.to_string() == "worker panicked" && !std::thread::panicking();
        if let Some(error) = result.err().filter(|error| !stopped(error)) {
            self.0
                .say(&format!("the instance died, with all its requests and background work: {}", error.root_cause()));
        }
    }
}

/// Accepts connections for ever.
pub(crate) async fn serve(app: Arc<App>, listener: TcpListener) -> std::io::Error {
    loop {
        let (stream, client) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => return error,
        };
        let app = app.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let app = app.clone();
                async move { answer(&app, request, client).await }
            });
            // An error here means that the client went away, or that the request was refused as a whole.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// An error closes the connection without an answer, as in Spin.
async fn answer(app: &App, mut request: Request<Incoming>, client: SocketAddr) -> anyhow::Result<handler::Response> {
    request.headers_mut().remove(header::CONNECTION);
    let path = request.uri().path().to_owned();
    if path == "/.well-known/spin/health" {
        return Ok(fixed(StatusCode::OK, "OK"));
    }
    let Some((route, path_info)) = app.manifest.route(&path) else {
        return Ok(fixed(StatusCode::NOT_FOUND, ""));
    };
    let handler = app.handlers.get(&route.component).context("every route has a handler")?;
    let component = &handler.state().component;
    *request.uri_mut() = full_uri(&request)?;

    if request.headers().values().any(|value| std::str::from_utf8(value.as_bytes()).is_err()) {
        component.say("a request header is not UTF-8");
        return Ok(fixed(StatusCode::INTERNAL_SERVER_ERROR, ""));
    }
    let headers = [
        ("spin-path-info", path_info),
        ("spin-full-url", request.uri().to_string()),
        ("spin-matched-route", route.route.clone()),
        ("spin-base-path", "/".into()),
        ("spin-raw-component-route", route.route.clone()),
        ("spin-component-route", route.route.strip_suffix("/...").unwrap_or(&route.route).into()),
        ("spin-client-addr", client.to_string()),
    ];
    for (name, value) in headers {
        request.headers_mut().append(HeaderName::from_static(name), HeaderValue::try_from(value)?);
    }

    let request = request.map(|body| body.map_err(|_| ErrorCode::HttpProtocolError.into()).boxed_unsync());
    match handler.handle((), request).await {
        Ok(response) => Ok(response),
        Err(_) if app.is_dead.load(Ordering::SeqCst) => anyhow::bail!("the host was killed"),
        Err(error) => {
            component.say(&format!("the request failed: {}", error.root_cause()));
            Ok(fixed(StatusCode::INTERNAL_SERVER_ERROR, ""))
        }
    }
}

/// The scheme is ours, the authority is the `Host` header's.
fn full_uri(request: &Request<Incoming>) -> anyhow::Result<Uri> {
    let mut parts = request.uri().clone().into_parts();
    let host = request.headers().get(header::HOST).map(|host| Authority::try_from(host.as_bytes())).transpose()?;
    if let (Some(host), Some(authority)) = (&host, &parts.authority) {
        anyhow::ensure!(host == authority, "the Host header and the request's address differ");
    }
    parts.authority = Some(host.or(parts.authority).context("there is no Host header")?);
    parts.scheme = Some(Scheme::HTTP);
    Ok(Uri::from_parts(parts)?)
}

fn fixed(status: StatusCode, text: &'static str) -> handler::Response {
    let body = Full::new(Bytes::from_static(text.as_bytes())).map_err(|never: Infallible| match never {});
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = status;
    response
}
