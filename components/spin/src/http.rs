//! HTTP on Spin, both ways. Every request out has its limits; every request in is read piece by piece.

use crate::{Spin, within};
use bytes::Bytes;
use clients::http::{
    Answer, Chunks, HeaderMap, HeaderName, HeaderValue, Http, HttpError, Inbound, Method, Request, Response, header,
    read_body,
};
use domain::time::millis;
use http_body_util::BodyExt;
use spin_sdk::http::{FullBody, IntoRequest};
use spin_sdk::wasip3::http::types::{self, ErrorCode, RequestOptions};
use spin_sdk::wasip3::http_compat::{IncomingResponseBody, RequestOptionsExtension};
use spin_sdk::wasip3::wit_bindgen::{FutureReader, FutureWriter, StreamReader, StreamResult};
use spin_sdk::wasip3::{wit_future, wit_stream};
use std::time::{Duration, Instant};

/// The most time a connection may take. Inside one data centre or to a big vendor, more means that no server
/// is there.
const CONNECT: Duration = Duration::from_secs(3);

impl Http for Spin {
    type Body = Incoming;

    async fn send(&self, request: Request) -> Result<Response, HttpError> {
        let (limit, max) = (request.timeout, request.max_answer);
        let whole = async {
            let (response, mut body) = self.open(request).await?;
            let body = read_body(&mut body, max).await?.ok_or(HttpError::TooLarge)?;
            Ok(Response { body, ..response })
        };
        within(limit, whole).await.unwrap_or(Err(HttpError::TimedOut))
    }

    async fn open(&self, request: Request) -> Result<(Response, Self::Body), HttpError> {
        let limit = request.timeout;
        let head = async {
            let request = outbound(request)?;
            // So that the body is there when the host writes the head, and goes out with it. Spin sets no TCP_NODELAY: what goes
            // out behind the head on a connection that was used before waits some 40 ms for the server's acknowledgement.
            spin_sdk::wasip3::wit_bindgen::yield_async().await;
            let answer = spin_sdk::http::send(request).await.map_err(|code| http_error(&code))?;
            let (parts, body) = answer.into_parts();
            let response = Response { status: parts.status, headers: parts.headers, body: Vec::new() };
            Ok((response, Incoming(body)))
        };
        within(limit, head).await.unwrap_or(Err(HttpError::TimedOut))
    }
}

/// Our request as WASI's, with the limits that the host enforces.
fn outbound(request: Request) -> Result<spin_sdk::wasip3::http::types::Request, HttpError> {
    let options = RequestOptions::new();
    let nanos = |duration: Duration| millis(duration).saturating_mul(1_000_000);
    // A limit that the host does not know is kept by `within`.
    let _ = options.set_connect_timeout(Some(nanos(CONNECT.min(request.timeout))));
    let _ = options.set_first_byte_timeout(Some(nanos(request.timeout)));
    let built = ::http::Request::builder().method(request.method).uri(&request.url);
    let built = built.extension(RequestOptionsExtension(options));
    let mut built = built.body(FullBody::new(Bytes::from(request.body))).map_err(|_| HttpError::Denied)?;
    let length = http_body::Body::size_hint(built.body()).exact().unwrap_or_default();
    *built.headers_mut() = request.headers;
    if length > 0 {
        // Without it the body goes out chunked.
        built.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    }
    if !built.headers().contains_key(header::USER_AGENT) {
        built.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static("deploy-bot"));
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
        | ErrorCode::TlsCertificateError
        // Before the connection stood, nothing was sent.
        | ErrorCode::ConnectionTimeout => HttpError::NotConnected,
        ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::HttpResponseTimeout
        | ErrorCode::DnsTimeout => HttpError::TimedOut,
        _ => HttpError::Broken,
    }
}

/// The body of an answer that comes in, piece by piece.
pub struct Incoming(IncomingResponseBody);

impl Chunks for Incoming {
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

/// The most time that the body of a request may take in all, from when we begin to look at its head. Whoever sends it
/// is not known yet, and each request that waits takes a place in an instance.
const BODY: Duration = Duration::from_secs(5);

/// How much of a body is taken at once, in bytes: a push is a few KiB.
const PIECE: usize = 16 << 10;

/// Takes a request apart. Only the named headers are read: reading all twenty was half of what a forged
/// request cost, its hash left aside.
pub fn inbound(request: types::Request, headers: &[&'static str]) -> (Inbound, impl Chunks) {
    let target = request.get_path_with_query().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let sent = request.get_headers();
    let mut kept = HeaderMap::new();
    for name in headers {
        for value in sent.get(name) {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                kept.append(HeaderName::from_static(name), value);
            }
        }
    }
    let inbound = Inbound {
        // No route serves any other method.
        method: request.get_method().try_into().unwrap_or(Method::TRACE),
        path: path.to_owned(),
        query: query.to_owned(),
        headers: kept,
    };
    let (taken, taking) = wit_future::new(|| Ok(()));
    let (stream, end) = types::Request::consume_body(request, taking);
    (inbound, Body { begun: Instant::now(), stream, end: Some(end), _taken: taken })
}

/// The body of a request.
struct Body {
    begun: Instant,
    stream: StreamReader<u8>,
    /// What the host says when the stream has ended; `None` once it was heard.
    end: Option<FutureReader<Result<Option<types::Trailers>, ErrorCode>>>,
    _taken: FutureWriter<Result<(), ErrorCode>>,
}

impl Chunks for Body {
    async fn chunk(&mut self) -> Result<Option<Vec<u8>>, HttpError> {
        let left = BODY.saturating_sub(self.begun.elapsed());
        within(left, self.next()).await.unwrap_or(Err(HttpError::TimedOut))
    }
}

impl Body {
    async fn next(&mut self) -> Result<Option<Vec<u8>>, HttpError> {
        if self.end.is_none() {
            return Ok(None);
        }
        if let (StreamResult::Complete(_), piece) = self.stream.read(Vec::with_capacity(PIECE)).await {
            return Ok(Some(piece));
        }
        match self.end.take() {
            Some(end) => end.await.map(|_| None).map_err(|code| http_error(&code)),
            None => Ok(None),
        }
    }
}

/// Our answer as WASI's. No step can fail, so that a handler cannot fail here. The length is set, so that the
/// body needs no chunks.
pub fn answer(answer: Answer) -> types::Response {
    let length = answer.body.len().to_string().into_bytes();
    let content_type = answer.content_type.as_bytes().to_vec();
    let headers = [(header::CONTENT_TYPE, content_type), (header::CONTENT_LENGTH, length)];
    let headers = headers.map(|(name, value)| (name.as_str().to_owned(), value));
    let headers = types::Fields::from_list(&headers).unwrap_or_else(|_| types::Fields::new());
    let (ended, trailers) = wit_future::new(|| Ok(None));
    let (mut writer, body) = wit_stream::new();
    let (response, _sent) = types::Response::new(headers, Some(body), trailers);
    let _ = response.set_status_code(answer.status.as_u16());
    crate::spawn(async move {
        // The client may have gone.
        let _ = writer.write_all(answer.body).await;
        drop(writer);
        let _ = ended.write(Ok(None)).await;
    });
    response
}
