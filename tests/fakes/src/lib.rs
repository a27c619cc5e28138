//! Stateful stand-ins for the outside systems. No IO, no clock of their own: a request and the time go in,
//! an answer comes out, so a test can hold one in its hand, and `sandbox` can serve it on loopback.
//!
//! A stand-in must never be kinder than the real system: it checks what the real one checks, and answers in the
//! real one's shapes, wrong requests included. What goes wrong is *state* of a stand-in (see [`Faults`]), never a
//! special build of it.

pub mod argocd;
pub mod gate;
pub mod github;
pub mod registry;
pub mod slack;

use std::collections::BTreeMap;
use std::time::Duration;

/// Milliseconds since the Unix epoch, handed in by the stand-in's driver.
pub type Millis = u64;

/// A request as a server sees it.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: http::Method,
    /// Path and query, as sent (`/api/v1/applications/checkout?project=default`).
    pub target: String,
    /// All headers.
    pub headers: http::HeaderMap,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Request {
    /// The path without the query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The decoded query parameters; the last one wins.
    pub fn query(&self) -> BTreeMap<String, String> {
        let query = self.target.split_once('?').map(|(_, query)| query).unwrap_or_default();
        form_urlencoded::parse(query.as_bytes()).into_owned().collect()
    }

    /// A header as text, or `""`.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// A whole response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// A JSON answer.
    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Self { status, headers, body: body.to_string().into_bytes() }
    }

    /// A plain text answer.
    pub fn text(status: u16, body: &str) -> Self {
        let headers = vec![("content-type".to_owned(), "text/plain; charset=utf-8".to_owned())];
        Self { status, headers, body: body.as_bytes().to_vec() }
    }

    /// The same with one more header.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_ascii_lowercase(), value.to_owned()));
        self
    }
}

/// What a stand-in does with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Answer now.
    Whole(Response),
    /// The head of an open stream: the server asks [`StandIn::stream`] for more until it says that it ended.
    Stream(Response, StreamId),
    /// Not yet: ask [`StandIn::waiting`] again with the same number until it answers (a blocking `?refresh=normal`).
    Later(StreamId),
}

/// Names one open stream or one blocked request of a stand-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

/// A request that a stand-in wants to make of the bot: a webhook, a click in Slack.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// When to send it (the time may lie in the past: at once).
    pub at: Millis,
    /// The bot's path, such as `/github/webhook`.
    pub path: String,
    /// Headers, signature included.
    pub headers: Vec<(String, String)>,
    /// The exact bytes that were signed.
    pub body: Vec<u8>,
}

/// What every stand-in can do.
pub trait StandIn: Send {
    /// A short stable name of the call for the log and for [`Faults`]: `github.query`, `github.commit`, `github.compare`,
    /// `github.deployment`, `github.deployment_status`, `registry.head`, `registry.token`, `slack.post`, `slack.whisper`, `slack.update`, `slack.response_url`, `argocd.webhook`,
    /// `argocd.get`, `argocd.refresh`, `argocd.sync`, `argocd.stream`, `gate.ask`; `<system>.unexpected` for anything else.
    fn name_of(&self, request: &Request) -> String;

    /// Lets the call take effect and answers it.
    fn answer(&mut self, now: Millis, request: &Request) -> Answer;

    /// Moves what moves by itself (an operation that ends, health that lags behind). Called often.
    fn tick(&mut self, _now: Millis) {}

    /// What it wants to send to the bot; handed out once.
    fn take_outgoing(&mut self) -> Vec<Outgoing> {
        Vec::new()
    }

    /// New bytes of an open stream; `None` when the server side closes it.
    fn stream(&mut self, _now: Millis, _id: StreamId) -> Option<Vec<u8>> {
        None
    }

    /// The real system behind a proxy has answered a request so: the stand-in only remembers what was asked.
    fn saw(&mut self, _now: Millis, _request: &Request, _status: u16) {}

    /// The client hung up.
    fn stream_closed(&mut self, _id: StreamId) {}

    /// The answer to a request that got [`Answer::Later`], once there is one.
    fn waiting(&mut self, _now: Millis, _id: StreamId) -> Option<Response> {
        None
    }
}

/// How a call goes wrong. The server that carries the stand-in plays it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection is closed before the request takes effect.
    DropBefore,
    /// The request takes effect, then the connection is closed without an answer.
    DropAfter,
    /// Nothing happens and nothing is answered for this long, then the connection is closed.
    HangBefore(Duration),
    /// It takes effect, nothing is answered for this long, then the connection is closed.
    HangAfter(Duration),
    /// It takes effect after this long only, and not at all if the caller has left by then.
    Late(Duration),
    /// Answered so without any effect.
    Instead(Response),
    /// It takes effect, but this is the answer.
    AnswerAfter(Response),
    /// It takes effect, the answer's body breaks off in the middle.
    Truncate,
    /// It takes effect, the answer takes this long.
    Slow(Duration),
    /// It takes effect; the answer begins at once, then comes byte by byte with this pause before each, and never ends. (The answer to a
    /// HEAD has no bytes, so it is as always.)
    Trickle(Duration),
    /// The call takes effect; the answer has this many blanks more than it should, all at once: after its
    /// body, or before a stream's first line.
    TooLong(usize),
}

/// Which calls go wrong: part of a stand-in's state.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    rules: Vec<(String, Fault, u32)>,
}

impl Faults {
    /// From now on the next `times` calls of that name (see [`StandIn::name_of`]; a trailing `*` matches any ending) go wrong.
    pub fn add(&mut self, call: &str, fault: Fault, times: u32) {
        self.rules.push((call.to_owned(), fault, times));
    }

    /// Forgets them all.
    pub fn clear(&mut self) {
        self.rules.clear();
    }

    /// What happens to this call; counts it.
    pub fn next(&mut self, call: &str) -> Option<Fault> {
        let matches = |pattern: &str| match pattern.strip_suffix('*') {
            Some(start) => call.starts_with(start),
            None => call == pattern,
        };
        let rule = self.rules.iter_mut().find(|(pattern, _, left)| *left > 0 && matches(pattern))?;
        rule.2 -= 1;
        Some(rule.1.clone())
    }
}
