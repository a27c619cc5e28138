//! Seam 1: HTTP out. A request that cannot be built without its limits, a whole response, a stream, one trait.
//!
//! The time and size limits are fields of the request on purpose: no caller can forget them, and Spin's own default is ten minutes.

use crate::names::Secret;
pub use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use std::fmt;
use std::time::Duration;

/// One request to another system.
#[derive(Clone)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The full address. Not printed: a `response_url` is a secret.
    pub url: String,
    /// All headers; the implementation adds `content-length`, and `user-agent` where it is missing.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Vec<u8>,
    /// From the first byte sent to the last byte read (for a stream: to its head, then between two chunks).
    pub timeout: Duration,
    /// The most bytes that we read of the answer's body.
    pub max_answer: usize,
}

impl Request {
    /// A request without a body: 5 s, 1 MiB.
    pub fn new(method: Method, url: impl Into<String>) -> Self {
        Self {
            method,
            url: url.into(),
            headers: HeaderMap::new(),
            body: Vec::new(),
            timeout: Duration::from_secs(5),
            max_answer: 1 << 20,
        }
    }

    /// GET.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new(Method::GET, url)
    }

    /// POST of a JSON text. The content type is exactly `application/json`: Argo CD refuses any parameter.
    pub fn post_json(url: impl Into<String>, body: &impl serde::Serialize) -> Self {
        let mut request = Self::new(Method::POST, url);
        // Our own bodies are structs and maps with string keys: they serialise.
        request.body = serde_json::to_vec(body).unwrap_or_default();
        request.header(header::CONTENT_TYPE, "application/json")
    }

    /// With one more header; a value that no header may hold is left out.
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// With `Authorization: Bearer`.
    pub fn bearer(self, token: &Secret) -> Self {
        let mut request = self.header(header::AUTHORIZATION, &format!("Bearer {}", token.expose()));
        if let Some(value) = request.headers.get_mut(header::AUTHORIZATION) {
            value.set_sensitive(true);
        }
        request
    }

    /// With another time limit.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// With another size limit.
    pub fn max_answer(mut self, bytes: usize) -> Self {
        self.max_answer = bytes;
        self
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the address nor headers nor body: each may hold a secret.
        write!(f, "Request({} .., {} bytes)", self.method, self.body.len())
    }
}

/// A whole answer.
#[derive(Clone)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, at most [`Request::max_answer`] bytes.
    pub body: Vec<u8>,
}

impl Response {
    /// A header as text.
    pub fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// `Retry-After` in whole seconds.
    pub fn retry_after(&self) -> Option<Duration> {
        self.header(header::RETRY_AFTER)?.trim().parse().ok().map(Duration::from_secs)
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Response({}, {} bytes)", self.status, self.body.len())
    }
}

/// Why there is no answer. The kinds differ in what may have happened on the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// The host is not in the component's `allowed_outbound_hosts`, or an entry there does not parse. Nothing was sent.
    #[error("the request was denied by allowed_outbound_hosts")]
    Denied,
    /// No connection: refused, or the name does not resolve. Nothing was sent.
    #[error("no connection")]
    NotConnected,
    /// No answer within the limit. The request may have taken effect.
    #[error("no answer in time")]
    TimedOut,
    /// The answer is longer than the limit. The request may have taken effect.
    #[error("the answer is too long")]
    TooLarge,
    /// The connection broke, or what came is not HTTP. The request may have taken effect.
    #[error("the connection broke")]
    Broken,
}

impl HttpError {
    /// Whether it is certain that the other side did nothing.
    pub fn nothing_happened(self) -> bool {
        matches!(self, Self::Denied | Self::NotConnected)
    }
}

/// Sends requests.
pub trait Http {
    /// The open body of a streamed answer.
    type Body: Chunks;

    /// Sends and reads the whole answer.
    async fn send(&self, request: Request) -> Result<Response, HttpError>;

    /// Sends and reads the head; the body comes in chunks. [`Response::body`] is empty.
    async fn open(&self, request: Request) -> Result<(Response, Self::Body), HttpError>;
}

/// A body that arrives in pieces. Dropping it closes the connection.
pub trait Chunks {
    /// The next piece; `None` at the end. Has no time limit of its own: a quiet stream is not an error.
    async fn chunk(&mut self) -> Result<Option<Vec<u8>>, HttpError>;
}

// ---- requests to us ----

/// The head of a request that somebody makes of us. Its body comes in [`Chunks`].
#[derive(Clone)]
pub struct Inbound {
    /// The method.
    pub method: Method,
    /// The path, without the query.
    pub path: String,
    /// The query, or `""`.
    pub query: String,
    /// All headers.
    pub headers: HeaderMap,
}

impl Inbound {
    /// The only value of a header. Given twice it counts as absent: a proxy and we must not read different ones.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?.to_str().ok()?;
        values.next().is_none().then_some(value)
    }

    /// Whether the content type is this one, with any parameters.
    pub fn content_type_is(&self, wanted: &str) -> bool {
        let essence = self.header("content-type").and_then(|value| value.split(';').next()).unwrap_or_default();
        essence.trim().eq_ignore_ascii_case(wanted)
    }
}

/// What we answer. Never an error: Spin would turn that into an empty 500.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// `content-type`.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// An answer without words.
    pub fn empty(status: StatusCode) -> Self {
        Self { status, content_type: "text/plain; charset=utf-8", body: Vec::new() }
    }

    /// A JSON answer.
    pub fn json(status: StatusCode, value: &serde_json::Value) -> Self {
        Self { status, content_type: "application/json", body: value.to_string().into_bytes() }
    }

    /// A JSON answer that gives one reason.
    pub fn reason(status: StatusCode, outcome: &str, reason: &str) -> Self {
        Self::json(status, &serde_json::json!({ "outcome": outcome, "reason": reason }))
    }
}

/// Reads a whole body; `None`: it is longer than `limit`.
pub async fn read_body(body: &mut impl Chunks, limit: usize) -> Result<Option<Vec<u8>>, HttpError> {
    let mut whole = Vec::new();
    while let Some(chunk) = body.chunk().await? {
        if whole.len().saturating_add(chunk.len()) > limit {
            return Ok(None);
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(Some(whole))
}
