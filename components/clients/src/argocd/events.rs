//! Argo CD's event stream of one application: its state at once, then every change of the fields that we asked for.
//!
//! Argo CD leaves an event out if none of these fields changed, and sends nothing at all, not even an error, if our account may not
//! read the application: no first event in time means "ask by GET why".

use super::wire::{FIELDS, WireApplication, clip};
use super::{ArgoCd, ArgoError, SENTENCE, fault, query, read_error};
use crate::http::{Chunks, Http, HttpError, Request, header};
use domain::application::Application;
use domain::names::ArgoApplication;
use serde::Deserialize;
use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

/// The longest line that we read: an application with some thousand resources.
const MAX_LINE: usize = 1 << 20;

/// Argo CD sends a sign of life every 15 s, and its head with the first event or sign of life.
const QUIET: Duration = Duration::from_secs(20);

const FOLLOW: &str = "follow the application";

/// Opens the stream of an application.
pub async fn events<H: Http>(
    http: &H,
    argocd: &ArgoCd,
    app: &ArgoApplication,
) -> Result<EventStream<H::Body>, ArgoError> {
    let (response, body) = http.open(events_request(argocd, app)).await.map_err(|error| fault(FOLLOW, error.into()))?;
    if response.status != 200 {
        return Err(read_error(&response, FOLLOW));
    }
    Ok(EventStream { body, lines: Lines::default() })
}

/// `GET /api/v1/stream/applications`. `Accept` has to be exactly that: it is what brings signs of life.
pub fn events_request(argocd: &ArgoCd, app: &ArgoApplication) -> Request {
    // Without `error` among the fields, the line that says why the stream ends would arrive as `{}`.
    let fields =
        FIELDS.iter().fold("error,result.type".to_owned(), |all, field| format!("{all},result.application.{field}"));
    let url = argocd.url(&format!("/api/v1/stream/applications?name={}&{}&fields={fields}", app.name, query(app)));
    argocd
        .signed_in(Request::get(url))
        .header(header::ACCEPT, "text/event-stream")
        .timeout(QUIET)
        .max_answer(MAX_STREAM)
}

/// A stream as a whole is limited by time only; this is far above what a watch can see.
const MAX_STREAM: usize = 1 << 30;

/// What a stream says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The application as it is now, or as it was before it was deleted.
    App {
        /// What happened to it.
        kind: Kind,
        /// Its state.
        snapshot: Box<Application>,
    },
    /// Argo CD ends the stream.
    Error {
        /// The HTTP status that the error stands for.
        code: u16,
        /// Argo CD's words.
        message: String,
    },
    /// A sign of life.
    KeepAlive,
}

/// What happened to an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Kind {
    /// It is there: the first event.
    Added,
    /// It changed.
    Modified,
    /// It is gone.
    Deleted,
    /// A word that we do not know.
    #[serde(other)]
    Other,
}

/// An open stream. Dropping it closes the connection.
pub struct EventStream<B> {
    body: B,
    lines: Lines,
}

impl<B: Chunks> EventStream<B> {
    /// The next event; `None` when Argo CD has ended the stream, which it may do at any time. A line that is no event counts as a
    /// broken connection.
    pub async fn next(&mut self) -> Result<Option<Event>, HttpError> {
        loop {
            if let Some(line) = self.lines.next() {
                return read_event(&line).map(Some);
            }
            if self.lines.too_long {
                return Err(HttpError::TooLarge);
            }
            match self.body.chunk().await? {
                Some(chunk) => self.lines.push(&chunk),
                None => return self.lines.end().map(|line| read_event(&line)).transpose(),
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum WireEvent {
    Result(Box<WireResult>),
    Error(WireError),
}

#[derive(Deserialize)]
struct WireResult {
    #[serde(rename = "type")]
    kind: Kind,
    application: WireApplication,
}

#[derive(Deserialize)]
struct WireError {
    #[serde(default)]
    http_code: u16,
    #[serde(default)]
    message: String,
}

/// A line of either form: `data: {…}`, `{…}`, or `:`.
fn read_event(line: &[u8]) -> Result<Event, HttpError> {
    if line.starts_with(b":") {
        return Ok(Event::KeepAlive);
    }
    let json = line.strip_prefix(b"data:").unwrap_or(line);
    Ok(match serde_json::from_slice(json).map_err(|_| HttpError::Broken)? {
        WireEvent::Result(result) => {
            Event::App { kind: result.kind, snapshot: Box::new(result.application.snapshot()) }
        }
        WireEvent::Error(WireError { http_code, message }) => {
            Event::Error { code: http_code, message: clip(&message, SENTENCE) }
        }
    })
}

/// Makes lines of chunks. Empty lines, which only end an event, are left out.
#[derive(Default)]
struct Lines {
    whole: VecDeque<Vec<u8>>,
    begun: Vec<u8>,
    /// No line comes after those that are whole: the next one has no end in sight.
    too_long: bool,
}

impl Lines {
    fn push(&mut self, chunk: &[u8]) {
        let mut parts = chunk.split(|byte| *byte == b'\n');
        let tail = parts.next_back().unwrap_or_default();
        for part in parts {
            self.extend(part);
            if self.too_long {
                return;
            }
            let line = self.end();
            self.whole.extend(line);
        }
        self.extend(tail);
    }

    fn extend(&mut self, part: &[u8]) {
        self.too_long = self.too_long || self.begun.len().saturating_add(part.len()) > MAX_LINE;
        if !self.too_long {
            self.begun.extend_from_slice(part);
        }
    }

    fn next(&mut self) -> Option<Vec<u8>> {
        self.whole.pop_front()
    }

    /// The line that has begun, as it stands.
    fn end(&mut self) -> Option<Vec<u8>> {
        let line = mem::take(&mut self.begun);
        (!line.trim_ascii().is_empty()).then_some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Script, app, argocd, in_namespace, response};
    use super::super::wire::tests::{SHA, sample};
    use super::*;
    use futures::FutureExt;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn event(kind: &str) -> Value {
        json!({ "result": { "type": kind, "application": sample() } })
    }

    /// All events of a stream that comes in these chunks, and how it ended.
    fn follow(chunks: &[&[u8]]) -> (Vec<Event>, Result<(), HttpError>) {
        let http = Script::new(Ok(response(200, ""))).streaming(chunks);
        let mut stream = events(&http, &argocd(), &app()).now_or_never().unwrap().unwrap();
        let mut all = Vec::new();
        loop {
            match stream.next().now_or_never().unwrap() {
                Ok(Some(event)) => all.push(event),
                Ok(None) => return (all, Ok(())),
                Err(error) => return (all, Err(error)),
            }
        }
    }

    fn kinds(events: &[Event]) -> Vec<String> {
        let kind = |event: &Event| match event {
            Event::App { kind, snapshot } => {
                assert_eq!(snapshot.compared, [SHA]);
                format!("{kind:?}")
            }
            Event::Error { code, message } => format!("{code}: {message}"),
            Event::KeepAlive => "-".to_owned(),
        };
        events.iter().map(kind).collect()
    }

    #[test]
    fn the_stream_that_we_ask_for() {
        let request = events_request(&argocd(), &in_namespace());
        assert_eq!(request.headers[header::ACCEPT], "text/event-stream");
        assert_eq!(request.headers[header::AUTHORIZATION], "Bearer a.jwt.token");
        assert!(request.timeout > Duration::from_secs(15), "longer than Argo CD is quiet");
        let (start, fields) = request.url.split_once("&fields=").unwrap();
        assert_eq!(
            start,
            "https://argocd.acme.example/argo/api/v1/stream/applications?name=checkout&project=shop&appNamespace=shop-apps"
        );
        assert!(fields.starts_with("error,result.type,result.application.metadata.name,"), "{fields}");
        assert!(fields.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b',')), "{fields}");
    }

    #[test]
    fn events_of_both_forms_and_signs_of_life() {
        let (added, modified, deleted) = (event("ADDED"), event("MODIFIED"), event("DELETED"));
        let sse = format!("data: {added} \n\n\n:\ndata: {modified} \n\n\n");
        let plain = format!("{deleted}\r\n{}\n", event("BOOKMARK"));
        let (events, end) = follow(&[sse.as_bytes(), plain.as_bytes()]);
        assert_eq!(kinds(&events), ["Added", "-", "Modified", "Deleted", "Other"]);
        assert_eq!(end, Ok(()));
    }

    #[test]
    fn an_error_line_is_argo_cds_last_word() {
        let line = json!({ "error": { "grpc_code": 14, "http_code": 503, "message": "error reading from server: EOF", "http_status": "Service Unavailable" } });
        let (events, end) = follow(&[format!("data: {line} \n\n").as_bytes()]);
        assert_eq!(kinds(&events), ["503: error reading from server: EOF"]);
        assert_eq!(end, Ok(()));
    }

    #[test]
    fn what_is_no_event_breaks_the_stream() {
        for line in [
            "<!doctype html>",
            "{}",
            "data:",
            "[]",
            "data: {\"result\":{}}",
            "{\"result\":{\"type\":\"ADDED\",\"application\":{}}}",
            "\u{feff}{}",
        ] {
            let (events, end) = follow(&[line.as_bytes(), b"\n"]);
            assert_eq!((events.len(), end), (0, Err(HttpError::Broken)), "{line}");
        }
        assert_eq!(follow(&[b"data: {\"resu"]).1, Err(HttpError::Broken), "cut off in the middle");
        assert_eq!(follow(&[]), (Vec::new(), Ok(())));
        assert_eq!(follow(&[b"\n \n\r\n"]), (Vec::new(), Ok(())));
    }

    #[test]
    fn a_line_has_a_limit() {
        let chunk = vec![b'x'; 1 << 16];
        let chunks = vec![chunk.as_slice(); 17];
        assert_eq!(follow(&chunks), (Vec::new(), Err(HttpError::TooLarge)));
        let signs_of_life = b":\n".repeat(1 << 20);
        let (events, end) = follow(&[&signs_of_life]);
        assert_eq!((events.len(), end), (1 << 20, Ok(())));
        // What came before it in the same chunk is not lost.
        let chunk = [b":\n".to_vec(), vec![b'x'; MAX_LINE + 1], b"\n:\n".to_vec()].concat();
        assert_eq!(follow(&[&chunk]), (vec![Event::KeepAlive], Err(HttpError::TooLarge)));
    }

    #[test]
    fn a_stream_that_does_not_open_says_why() {
        let open = |answer| events(&Script::new(answer), &argocd(), &app()).now_or_never().unwrap().err().unwrap();
        assert_eq!(open(Ok(response(401, ""))), ArgoError::Unauthorized);
        assert!(matches!(open(Ok(response(404, ""))), ArgoError::Fault(_)));
        assert!(matches!(open(Err(HttpError::NotConnected)), ArgoError::Fault(_)));
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_where_chunks_end(text in "[a-c\n ]{0,60}", cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len().saturating_add(1))).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let mut lines = Lines::default();
            let mut found = Vec::new();
            for pair in cuts.windows(2) {
                lines.push(&text.as_bytes()[pair[0]..pair[1]]);
                while let Some(line) = lines.next() {
                    found.push(String::from_utf8(line).unwrap());
                }
            }
            found.extend(lines.end().map(|line| String::from_utf8(line).unwrap()));
            let expected: Vec<&str> = text.split('\n').filter(|line| !line.trim().is_empty()).collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn no_stream_panics(chunks: Vec<Vec<u8>>) {
            let _ = follow(&chunks.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }

        #[test]
        fn no_line_panics(line in "(data: ?)?\\{\"(result|error)\":\\PC*\\}") {
            let _ = read_event(line.as_bytes());
        }
    }
}
