//! The other side in tests: it gives the answers that the test wrote down, in order, and keeps the requests.

use super::{Chunks, HeaderMap, Http, HttpError, Request, Response, StatusCode};
use futures::FutureExt;
use std::cell::RefCell;
use std::collections::VecDeque;

pub(crate) type Answer = Result<Response, HttpError>;

pub(crate) struct Script {
    answers: RefCell<VecDeque<Answer>>,
    chunks: VecDeque<Vec<u8>>,
    sent: RefCell<Vec<Request>>,
}

impl Script {
    pub(crate) fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        let answers = RefCell::new(answers.into_iter().collect());
        Self { answers, chunks: VecDeque::new(), sent: RefCell::default() }
    }

    /// Every stream that is opened has these chunks.
    pub(crate) fn streaming(mut self, chunks: &[&[u8]]) -> Self {
        self.chunks = chunks.iter().map(|chunk| chunk.to_vec()).collect();
        self
    }

    /// The outcome of a call, and its requests. Every answer was used.
    pub(crate) fn run<T>(&self, call: impl Future<Output = T>) -> (T, Vec<Request>) {
        let outcome = call.now_or_never().expect("a script never waits");
        assert!(self.answers.borrow().is_empty(), "an answer was left over");
        (outcome, self.sent.take())
    }

    /// The outcome of a call that is one request, and that request.
    pub(crate) fn once<T>(&self, call: impl Future<Output = T>) -> (T, Request) {
        let (outcome, mut sent) = self.run(call);
        assert_eq!(sent.len(), 1, "one call is one request");
        (outcome, sent.remove(0))
    }
}

impl Http for Script {
    type Body = Pieces;

    async fn send(&self, request: Request) -> Answer {
        self.sent.borrow_mut().push(request);
        self.answers.borrow_mut().pop_front().expect("one request more than the script has")
    }

    async fn open(&self, request: Request) -> Result<(Response, Pieces), HttpError> {
        let head = self.send(request).await?;
        Ok((head, Pieces(self.chunks.clone())))
    }
}

pub(crate) struct Pieces(VecDeque<Vec<u8>>);

impl Chunks for Pieces {
    async fn chunk(&mut self) -> Result<Option<Vec<u8>>, HttpError> {
        Ok(self.0.pop_front())
    }
}

pub(crate) fn response(status: u16, body: impl AsRef<[u8]>) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    Response { status, headers: HeaderMap::new(), body: body.as_ref().to_vec() }
}

/// A request as people read it.
pub(crate) fn shown(request: &Request) -> String {
    let headers: Vec<_> =
        request.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    let body = String::from_utf8_lossy(&request.body);
    format!("{} {}\n{}\n\n{body}", request.method, request.url, headers.join("\n"))
}
