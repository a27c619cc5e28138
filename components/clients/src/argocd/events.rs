//! Argo CD's event stream of one application: its state at once, then every change of the fields that we
//! asked for.
//!
//! Argo CD leaves an event out if none of these fields changed. If our account may not read the application,
//! Argo CD sends nothing at all, not even an error: without a first event in time, a GET tells why.

use super::api::{ArgoCd, ArgoError, fault, query, read_error, words};
use super::wire::{FIELDS, WireApplication};
use crate::http::{Chunks, Http, HttpError, Request, header};
use domain::application::Application;
use domain::names::ArgoApplication;
use serde::Deserialize;
use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

/// The longest line that we read: an application with some thousand resources.
const MAX_LINE: usize = 1 << 20;

/// Argo CD sends a keep-alive every 15 s, and the head of its response with the first event or keep-alive.
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

/// `GET /api/v1/stream/applications`. `Accept` has to be exactly that: without it there are no keep-alives.
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
    /// The application as it is now.
    App(Box<Application>),
    /// The application was deleted.
    Deleted,
    /// Argo CD ends the stream; its words.
    Error(String),
    /// A keep-alive.
    KeepAlive,
}

/// An open stream. Dropping it closes the connection.
pub struct EventStream<B> {
    body: B,
    lines: Lines,
}

impl<B: Chunks> EventStream<B> {
    /// The next event; `None` when Argo CD has ended the stream, which it may do at any time. A line that is
    /// no event counts as a broken connection.
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
    Result {
        r#type: String,
        application: Box<WireApplication>,
    },
    Error {
        #[serde(default)]
        message: String,
    },
}

/// A line of either form: `data: {…}`, `{…}`, or `:`.
fn read_event(line: &[u8]) -> Result<Event, HttpError> {
    if line.starts_with(b":") {
        return Ok(Event::KeepAlive);
    }
    let json = line.strip_prefix(b"data:").unwrap_or(line);
    Ok(match serde_json::from_slice(json).map_err(|_| HttpError::Broken)? {
        WireEvent::Result { r#type, .. } if r#type == "DELETED" => Event::Deleted,
        WireEvent::Result { application, .. } => Event::App(Box::new(application.snapshot())),
        WireEvent::Error { message } => Event::Error(words(&message)),
    })
}

/// Cuts chunks into lines. Empty lines, which only end an event, are left out.
#[derive(Default)]
struct Lines {
    whole: VecDeque<Vec<u8>>,
    begun: Vec<u8>,
    /// The line that has begun is longer than the limit: no line comes after those that are whole.
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

    /// The line that has begun, as far as it has come.
    fn end(&mut self) -> Option<Vec<u8>> {
        let line = mem::take(&mut self.begun);
        (!line.trim_ascii().is_empty()).then_some(line)
    }
}

#[cfg(test)]
mod tests;
