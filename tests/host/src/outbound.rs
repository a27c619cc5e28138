//! Outbound HTTP: the allow-list, the three time limits, a pool of connections. No redirects, no User-Agent, no TLS.
//! Easy to miss: the limit for the first byte covers connecting and sending too, as in Spin, and ends as a read timeout.

use std::error::Error as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Sleep, sleep, timeout};
use wasmtime_wasi::TrappableError;
use wasmtime_wasi_http::p3::bindings::http::types::{DnsErrorPayload, ErrorCode};
use wasmtime_wasi_http::p3::{RequestOptions, WasiHttpHooks};

use crate::allow::origin;
use crate::instance::Component;

/// The connections of one host; idle ones are used again.
pub(crate) type Clients = Client<Connector, OutBody>;

type OutBody = UnsyncBoxBody<Bytes, ErrorCode>;

/// When the component sets no limit of its own.
const LIMIT: Duration = Duration::from_secs(600);

/// The way out for the instances of one component.
pub(crate) struct Outbound(pub(crate) Arc<Component>);

type Io = Box<dyn Future<Output = Result<(), ErrorCode>> + Send>;

pub(crate) fn clients() -> Clients {
    Client::builder(TokioExecutor::new()).build(Connector)
}

impl Component {
    /// Asks the allow-list, and says so in the log when the answer is no.
    pub(crate) fn may_call(&self, address: &str, scheme: &str) -> bool {
        let allowed = self.settings.allowed.allows(address, scheme);
        if let Some(error) = self.settings.allowed.broken() {
            self.say(&format!("every outbound call is denied: {error:#}"));
        } else if !allowed {
            self.say(&format!("allowed_outbound_hosts has no entry for {}", origin(address, scheme)));
        }
        allowed
    }
}

impl WasiHttpHooks for Outbound {
    fn send_request(
        &mut self,
        request: Request<OutBody>,
        options: Option<RequestOptions>,
        // How the component fared with the response; Spin ignores it too.
        _: Io,
    ) -> Box<dyn Future<Output = Result<(Response<OutBody>, Io), TrappableError<ErrorCode>>> + Send> {
        let component = self.0.clone();
        Box::new(async move {
            let response = send(&component, request, options.unwrap_or_default()).await?;
            Ok((response, Box::new(async { Ok(()) }) as Io))
        })
    }
}

async fn send(
    component: &Component,
    mut request: Request<OutBody>,
    options: RequestOptions,
) -> Result<Response<OutBody>, ErrorCode> {
    let uri = request.uri();
    let has_host = uri.authority().is_some_and(|authority| !authority.host().is_empty());
    if !has_host || !component.may_call(&uri.to_string(), uri.scheme_str().unwrap_or("https")) {
        return Err(ErrorCode::HttpRequestDenied);
    }
    if uri.scheme_str() == Some("https") {
        component.say("this host speaks no TLS: use http:// on loopback");
        return Err(ErrorCode::TlsProtocolError);
    }
    // The client sets it again from the address.
    request.headers_mut().remove(header::HOST);
    let connecting = options.connect_timeout.unwrap_or(LIMIT);
    let answer = CONNECTING.scope(connecting, component.clients.request(request));
    let answer = timeout(options.first_byte_timeout.unwrap_or(LIMIT), answer).await;
    let answer = answer.map_err(|_| ErrorCode::ConnectionReadTimeout)?.map_err(error_code)?;
    let limit = options.between_bytes_timeout.unwrap_or(LIMIT);
    Ok(answer.map(|body| Limited { body: Some(body), limit, sleep: None }.boxed_unsync()))
}

tokio::task_local! {
    // There is no other way to hand a limit to the connector of this client.
    static CONNECTING: Duration;
}

#[derive(Clone)]
pub(crate) struct Connector;

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = ErrorCode;
    type Future = Pin<Box<dyn Future<Output = Result<TokioIo<TcpStream>, ErrorCode>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ErrorCode>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let limit = CONNECTING.try_with(|limit| *limit).unwrap_or(LIMIT);
        let host = uri.host().unwrap_or_default().to_owned();
        let port = uri.port_u16().unwrap_or(80);
        Box::pin(async move {
            let unknown = || {
                ErrorCode::DnsError(DnsErrorPayload { rcode: Some("address not available".into()), info_code: Some(0) })
            };
            let addresses: Vec<_> = lookup_host(format!("{host}:{port}")).await.map_err(|_| unknown())?.collect();
            let stream =
                timeout(limit, TcpStream::connect(&*addresses)).await.map_err(|_| ErrorCode::ConnectionTimeout)?;
            Ok(TokioIo::new(stream.map_err(|_| ErrorCode::ConnectionRefused)?))
        })
    }
}

/// Our connector's own errors keep their meaning; all others are a broken protocol, as in Spin.
fn error_code(error: legacy::Error) -> ErrorCode {
    error.source().and_then(|source| source.downcast_ref()).cloned().unwrap_or(ErrorCode::HttpProtocolError)
}

/// A response body with a limit on the wait for each frame.
struct Limited {
    /// `None` once the limit was reached: that closes the connection.
    body: Option<hyper::body::Incoming>,
    limit: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Body for Limited {
    type Data = Bytes;
    type Error = ErrorCode;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ErrorCode>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        if let Poll::Ready(frame) = Pin::new(body).poll_frame(cx) {
            this.sleep = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(|_| ErrorCode::HttpProtocolError)));
        }
        ready!(this.sleep.get_or_insert_with(|| Box::pin(sleep(this.limit))).as_mut().poll(cx));
        this.body = None;
        Poll::Ready(Some(Err(ErrorCode::ConnectionReadTimeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}
