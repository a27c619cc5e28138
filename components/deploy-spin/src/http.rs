//! HTTP on Spin, both ways. Every request out has its limits; every request in is read piece by piece.

use crate::{Spin, within};
use bytes::Bytes;
use deploy_core::clock::millis;
use deploy_core::http::{Answer, Chunks, Http, HttpError, Inbound, Request, Response, header};
use http_body_util::{BodyExt, Full};
use spin_sdk::http::{FullBody, IntoRequest};
use spin_sdk::wasip3::http::types::{ErrorCode, RequestOptions};
use spin_sdk::wasip3::http_compat::{IncomingMessage, IncomingResponseBody, RequestOptionsExtension};
use std::time::Duration;

/// The most time a connection may take: inside one data centre or to a big vendor, more means that nobody is there.
const CONNECT: Duration = Duration::from_secs(3);

impl Http for Spin {
    type Body = Incoming<IncomingResponseBody>;

    async fn send(&self, request: Request) -> Result<Response, HttpError> {
        let (limit, max) = (request.timeout, request.max_answer);
        let whole = async {
            let (mut response, mut body) = self.open(request).await?;
            while let Some(chunk) = body.chunk().await? {
                if response.body.len().saturating_add(chunk.len()) > max {
                    return Err(HttpError::TooLarge);
                }
                response.body.extend_from_slice(&chunk);
            }
            Ok(response)
        };
        within(limit, whole).await.unwrap_or(Err(HttpError::TimedOut))
    }

    async fn open(&self, request: Request) -> Result<(Response, Self::Body), HttpError> {
        let limit = request.timeout;
        let head = async {
            let answer = spin_sdk::http::send(outbound(request)?).await.map_err(|code| http_error(&code))?;
            let (parts, body) = answer.into_parts();
            let response = Response { status: parts.status, headers: parts.headers, body: Vec::new() };
            Ok((response, Incoming(body)))
        };
        within(limit, head).await.unwrap_or(Err(HttpError::TimedOut))
    }
}

/// Ours to WASI's, with the limits that the host enforces.
fn outbound(request: Request) -> Result<spin_sdk::wasip3::http::types::Request, HttpError> {
    let mut built = ::http::Request::builder().method(request.method).uri(&request.url);
    let options = RequestOptions::new();
    let nanos = |duration: Duration| millis(duration).saturating_mul(1_000_000);
    // A limit that the host does not know is kept by `within`.
    let _ = options.set_connect_timeout(Some(nanos(CONNECT.min(request.timeout))));
    let _ = options.set_first_byte_timeout(Some(nanos(request.timeout)));
    built = built.extension(RequestOptionsExtension(options));
    let mut built = built.body(FullBody::new(Bytes::from(request.body))).map_err(|_| HttpError::Denied)?;
    let length = http_body::Body::size_hint(built.body()).exact().unwrap_or_default();
    *built.headers_mut() = request.headers;
    if length > 0 {
        // Without it the body goes out chunked.
        built.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    }
    if !built.headers().contains_key(header::USER_AGENT) {
        built.headers_mut().insert(header::USER_AGENT, ::http::HeaderValue::from_static("deploy-bot"));
    }
    built.into_request().map_err(|code| http_error(&code))
}

fn http_error(code: &ErrorCode) -> HttpError {
    match code {
        ErrorCode::HttpRequestDenied | ErrorCode::HttpRequestUriInvalid => HttpError::Denied,
        ErrorCode::ConnectionRefused
        | ErrorCode::DnsError(_)
        | ErrorCode::DestinationNotFound
        | ErrorCode::DestinationUnavailable
        | ErrorCode::DestinationIpProhibited
        | ErrorCode::DestinationIpUnroutable
        | ErrorCode::TlsCertificateError => HttpError::NotConnected,
        // Before the connection stood, nothing was sent.
        ErrorCode::ConnectionTimeout => HttpError::NotConnected,
        ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::HttpResponseTimeout
        | ErrorCode::DnsTimeout => HttpError::TimedOut,
        _ => HttpError::Broken,
    }
}

/// The body of a message that comes in, piece by piece.
pub struct Incoming<B>(B);

impl<M: IncomingMessage> Chunks for Incoming<spin_sdk::wasip3::http_compat::IncomingBody<M>> {
    async fn chunk(&mut self) -> Result<Option<Vec<u8>>, HttpError> {
        while let Some(frame) = self.0.frame().await {
            let frame = frame.map_err(|code| http_error(&code))?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data.to_vec()));
            }
        }
        Ok(None)
    }
}

/// Takes a request apart.
pub fn inbound(request: spin_sdk::http::Request) -> (Inbound, impl Chunks) {
    let (parts, body) = request.into_parts();
    let inbound = Inbound {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
    };
    (inbound, Incoming(body))
}

/// Ours to WASI's. Built without a fallible step, so that a handler cannot fail here.
pub fn answer(answer: Answer) -> ::http::Response<Full<Bytes>> {
    let mut response = ::http::Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() = answer.status;
    response.headers_mut().insert(header::CONTENT_TYPE, ::http::HeaderValue::from_static(answer.content_type));
    response
}
