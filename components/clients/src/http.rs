//! Seam 1: HTTP out. A request that cannot be built without its limits, a whole response, a stream,
//! one trait.
//!
//! The time and size limits are fields of the request, so that no caller can forget them: Spin's own default
//! is ten minutes.

use domain::fault::Cause;
use domain::names::Secret;
pub use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde_json::Value;
use std::fmt;
use std::time::Duration;

#[cfg(test)]
pub(crate) mod script;

/// One request to another system.
#[derive(Clone)]
pub struct Request {
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
        self.authorization(&format!("Bearer {}", token.expose()))
    }

    /// With `Authorization`, which nobody prints.
    pub fn authorization(self, value: &str) -> Self {
        let mut request = self.header(header::AUTHORIZATION, value);
        if let Some(value) = request.headers.get_mut(header::AUTHORIZATION) {
            value.set_sensitive(true);
        }
        request
    }

    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    pub fn max_answer(mut self, bytes: usize) -> Self {
        self.max_answer = bytes;
        self
    }
}

/// A JSON object without its members that are null: some vendors take null for a value.
pub(crate) fn without_nulls(mut object: Value) -> Value {
    if let Some(members) = object.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    object
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the address nor headers nor body: each may hold a secret.
        write!(f, "Request({} .., {} bytes)", self.method, self.body.len())
    }
}

#[derive(Clone)]
pub struct Response {
    pub status: StatusCode,
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

/// What a status that nobody expected says of the fault: a server that is not well may name a time.
pub(crate) fn failed(status: u16, response: &Response) -> Cause {
    match response.retry_after().filter(|_| status >= 500) {
        Some(wait) => Cause::Unavailable { status, seconds: wait.as_secs() },
        None => Cause::Status { status },
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
    /// The host is not in the component's `allowed_outbound_hosts`, or an entry there does not parse. Nothing
    /// was sent.
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

impl From<HttpError> for Cause {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::Denied => Self::Denied,
            HttpError::NotConnected => Self::NotConnected,
            HttpError::TimedOut => Self::TimedOut,
            HttpError::TooLarge => Self::TooLarge,
            HttpError::Broken => Self::Broken,
        }
    }
}

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
    pub method: Method,
    /// The path, without the query.
    pub path: String,
    /// The query, or `""`.
    pub query: String,
    pub headers: HeaderMap,
}

impl Inbound {
    /// The only value of a header. Given twice it counts as absent: a proxy and we must not read
    /// different ones.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?.to_str().ok()?;
        values.next().is_none().then_some(value)
    }

    /// Whether the head says already that the body is longer than this. A length that is given twice or is no
    /// number is not believed: the body is counted anyway.
    pub fn is_longer_than(&self, limit: usize) -> bool {
        let length = self.header("content-length").and_then(|length| length.parse::<u64>().ok());
        length.is_some_and(|length| usize::try_from(length).map_or(true, |length| length > limit))
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
    pub status: StatusCode,
    pub content_type: &'static str,
    pub body: Vec<u8>,
}

impl Answer {
    /// An answer without words.
    pub fn empty(status: StatusCode) -> Self {
        Self { status, content_type: "text/plain; charset=utf-8", body: Vec::new() }
    }

    pub fn json(status: StatusCode, value: &Value) -> Self {
        Self { status, content_type: "application/json", body: value.to_string().into_bytes() }
    }

    /// A JSON answer that gives one reason.
    pub fn reason(status: StatusCode, outcome: &str, reason: &str) -> Self {
        Self::json(status, &serde_json::json!({ "outcome": outcome, "reason": reason }))
    }
}

/// Reads the body of a request to us; `None`: it is longer than `limit`, or says so.
pub async fn read_request(head: &Inbound, body: &mut impl Chunks, limit: usize) -> Result<Option<Vec<u8>>, HttpError> {
    if head.is_longer_than(limit) { Ok(None) } else { read_body(body, limit).await }
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

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn inbound(headers: &[(&str, &[u8])]) -> Inbound {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            map.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        Inbound { method: Method::POST, path: "/slack/command".to_owned(), query: String::new(), headers: map }
    }

    #[test]
    fn a_header_given_twice_counts_as_absent() {
        let one = inbound(&[("X-Hub-Signature-256", b"sha256=aa")]);
        assert_eq!(one.header("x-hub-signature-256"), Some("sha256=aa"));
        assert_eq!(one.header("X-HUB-Signature-256"), Some("sha256=aa"));
        assert_eq!(one.header("x-hub-signature"), None);
        assert_eq!(one.header("not a header's name"), None);
        let same: &[(&str, &[u8])] = &[("x-a", b"1"), ("X-A", b"1")];
        assert_eq!(inbound(same).header("x-a"), None);
        assert_eq!(inbound(&[("x-a", b"1"), ("x-a", b"2"), ("x-b", b"3")]).header("x-b"), Some("3"));
        assert_eq!(inbound(&[("x-a", b"")]).header("x-a"), Some(""));
        assert_eq!(inbound(&[("x-a", b"caf\xe9")]).header("x-a"), None);
    }

    #[test]
    fn a_length_in_the_head_is_believed_if_it_is_one() {
        for (value, expected) in
            [("10", false), ("11", true), ("18446744073709551615", true), ("-1", false), ("", false)]
        {
            assert_eq!(inbound(&[("content-length", value.as_bytes())]).is_longer_than(10), expected, "{value}");
        }
        assert!(!inbound(&[]).is_longer_than(0));
        assert!(!inbound(&[("content-length", b"11"), ("content-length", b"11")]).is_longer_than(10));
    }

    #[test]
    fn content_types() {
        let is_json = |value: &[u8]| inbound(&[("content-type", value)]).content_type_is("application/json");
        for fine in ["application/json", "application/json; charset=utf-8", "Application/JSON ;x", " application/json"]
        {
            assert!(is_json(fine.as_bytes()), "{fine}");
        }
        for bad in ["application/jsonp", "text/plain; application/json", "application/x-www-form-urlencoded", ";", ""] {
            assert!(!is_json(bad.as_bytes()), "{bad}");
        }
        assert!(!inbound(&[]).content_type_is("application/json"));
        let twice: &[(&str, &[u8])] = &[("content-type", b"application/json"), ("content-type", b"application/json")];
        assert!(!inbound(twice).content_type_is("application/json"));
    }

    /// A body in pieces; an error where it breaks.
    struct Pieces(Vec<Result<Vec<u8>, HttpError>>);

    impl Chunks for Pieces {
        async fn chunk(&mut self) -> Result<Option<Vec<u8>>, HttpError> {
            if self.0.is_empty() { Ok(None) } else { self.0.remove(0).map(Some) }
        }
    }

    fn read(pieces: &[usize], limit: usize) -> (Option<usize>, usize) {
        let mut body = Pieces(pieces.iter().map(|size| Ok(vec![b'x'; *size])).collect());
        let read = read_body(&mut body, limit).now_or_never().unwrap().unwrap();
        (read.map(|whole| whole.len()), body.0.len())
    }

    #[test]
    fn a_body_is_read_up_to_its_limit() {
        assert_eq!(read(&[], 0), (Some(0), 0));
        assert_eq!(read(&[3, 0, 7], 10), (Some(10), 0));
        assert_eq!(read(&[3, 0, 8], 10), (None, 0));
        assert_eq!(read(&[11], 10), (None, 0));
        // What follows the limit is not read at all.
        assert_eq!(read(&[6, 6, 6, 6], 10), (None, 2));
        let mut broken = Pieces(vec![Ok(b"{".to_vec()), Err(HttpError::Broken)]);
        assert_eq!(read_body(&mut broken, 10).now_or_never(), Some(Err(HttpError::Broken)));
    }

    #[test]
    fn debug_shows_no_address_no_header_and_no_body() {
        let request = Request::post_json("https://hooks.slack.com/hush", &serde_json::json!({ "text": "hush" }))
            .bearer(&Secret::new("hush"))
            .header(header::COOKIE, "hush");
        assert_eq!(format!("{request:?}"), "Request(POST .., 15 bytes)");
        let mut headers = HeaderMap::new();
        headers.insert(header::SET_COOKIE, HeaderValue::from_static("hush"));
        let response = Response { status: StatusCode::OK, headers, body: b"hush".to_vec() };
        assert_eq!(format!("{response:?}"), "Response(200 OK, 4 bytes)");
    }

    #[test]
    fn a_request_is_built_with_its_limits() {
        let request = Request::get("https://a.example");
        assert_eq!((request.timeout, request.max_answer), (Duration::from_secs(5), 1 << 20));
        let request = request.timeout(Duration::from_secs(8)).max_answer(10);
        assert_eq!((request.timeout, request.max_answer), (Duration::from_secs(8), 10));
    }

    #[test]
    fn headers_of_a_request() {
        let request = Request::post_json("https://a.example", &1).bearer(&Secret::new("token"));
        assert_eq!(request.headers.get(header::CONTENT_TYPE).unwrap(), "application/json");
        let bearer = request.headers.get(header::AUTHORIZATION).unwrap();
        assert!(bearer == "Bearer token" && bearer.is_sensitive());
        // The last one counts, and what no header may hold is left out.
        let request = Request::get("https://a.example").header(header::ACCEPT, "a").header(header::ACCEPT, "b");
        assert_eq!(request.headers.get_all(header::ACCEPT).iter().collect::<Vec<_>>(), ["b"]);
        let request = Request::get("https://a.example").header(header::ACCEPT, "a\r\nx-evil: 1");
        assert!(request.headers.is_empty());
    }

    #[test]
    fn retry_after_is_whole_seconds() {
        let response = |value: &'static str| {
            let headers = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_static(value))]);
            Response { status: StatusCode::TOO_MANY_REQUESTS, headers, body: Vec::new() }.retry_after()
        };
        assert_eq!(response(" 30 "), Some(Duration::from_secs(30)));
        for other in ["", "-1", "1.5", "Wed, 21 Oct 2026 07:28:00 GMT"] {
            assert_eq!(response(other), None, "{other}");
        }
    }

    #[test]
    fn only_two_errors_are_certain() {
        let all =
            [HttpError::Denied, HttpError::NotConnected, HttpError::TimedOut, HttpError::TooLarge, HttpError::Broken];
        assert_eq!(all.map(HttpError::nothing_happened), [true, true, false, false, false]);
    }

    #[test]
    fn an_answer_gives_one_reason() {
        let answer = Answer::reason(StatusCode::OK, "ignored", "not \"ours\"");
        assert_eq!(answer.content_type, "application/json");
        assert_eq!(answer.body, br#"{"outcome":"ignored","reason":"not \"ours\""}"#);
        assert!(Answer::empty(StatusCode::NOT_FOUND).body.is_empty());
    }

    #[test]
    fn each_error_of_http_has_its_own_cause() {
        let causes =
            [HttpError::Denied, HttpError::NotConnected, HttpError::TimedOut, HttpError::TooLarge, HttpError::Broken];
        let expected = [Cause::Denied, Cause::NotConnected, Cause::TimedOut, Cause::TooLarge, Cause::Broken];
        assert_eq!(causes.map(Cause::from), expected);
    }
}
