//! One HTTP server on loopback for each stand-in. The server plays the faults; the stand-in only knows what
//! is true.
//!
//! Easy to miss: Argo CD reads GitHub while Argo CD is locked. Code that needs both locks Argo CD first.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use fakes::{Answer, Fault, Faults, Request, Response, StandIn, StreamId};
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Method};
use http_body::{Body, Frame};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Interval, Sleep, interval, sleep};

use crate::hold::{Held, Holds, Moment};
use crate::journal::{Journal, Outcome, Ticket};
use crate::{lock, now};

/// How often the stand-ins move by themselves.
pub const BEAT: Duration = Duration::from_millis(10);

/// A stand-in and its server. Dropping it closes every connection.
pub struct Server<S: StandIn + 'static> {
    address: SocketAddr,
    carried: Arc<Carried<S>>,
    listening: Mutex<Option<Listening>>,
}

struct Listening {
    listener: Arc<TcpListener>,
    accepting: JoinHandle<()>,
}

struct Carried<S> {
    /// All connections; they end with what is in here.
    connections: Mutex<JoinSet<()>>,
    /// Connections come to an end as soon as they have nothing to do.
    closing: watch::Sender<bool>,
    system: &'static str,
    stand_in: Arc<Mutex<S>>,
    faults: Mutex<Faults>,
    holds: Mutex<Holds>,
    latency: Mutex<Duration>,
    journal: Journal,
    /// Where the real system is that answers instead of the stand-in.
    real: Option<SocketAddr>,
}

impl<S: StandIn + 'static> Server<S> {
    /// Serves a stand-in on this listener; or the real system at this address, with the same faults, and the stand-in sees what was asked.
    pub fn start(
        listener: TcpListener,
        system: &'static str,
        stand_in: Arc<Mutex<S>>,
        journal: Journal,
        real: Option<SocketAddr>,
    ) -> io::Result<Self> {
        let (faults, holds, latency) = Default::default();
        let (connections, closing) = (Mutex::default(), watch::Sender::new(false));
        let carried =
            Arc::new(Carried { connections, closing, system, stand_in, faults, holds, latency, journal, real });
        let address = listener.local_addr()?;
        let server = Self { address, carried, listening: Mutex::default() };
        server.listen(listener);
        Ok(server)
    }

    fn listen(&self, listener: TcpListener) {
        let listener = Arc::new(listener);
        let accepting = tokio::spawn(accept(listener.clone(), self.carried.clone()));
        *lock(&self.listening) = Some(Listening { listener, accepting });
    }

    /// `http://127.0.0.1:4100`.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The stand-in itself. Do not hold it across an await, and never take Argo CD's while you hold GitHub's.
    pub fn lock(&self) -> MutexGuard<'_, S> {
        lock(&self.carried.stand_in)
    }

    /// From now on the next `times` calls of that name go wrong (`*` at the end matches any ending).
    pub fn fault(&self, call: &str, fault: Fault, times: u32) {
        lock(&self.carried.faults).add(call, fault, times);
    }

    /// The `nth` call of that name from now on is held at that moment, until what is returned is dropped.
    pub fn hold(&self, moment: Moment, call: &str, nth: u32) -> Held {
        lock(&self.carried.holds).add(moment, call, "", nth)
    }

    /// The same of the next call of that name whose body has these words.
    pub fn hold_saying(&self, moment: Moment, call: &str, words: &str) -> Held {
        lock(&self.carried.holds).add(moment, call, words, 1)
    }

    /// Nothing goes wrong any more.
    pub fn mend(&self) {
        lock(&self.carried.faults).clear();
    }

    /// From now on every request waits this long before it takes effect.
    pub fn latency(&self, latency: Duration) {
        *lock(&self.carried.latency) = latency;
    }

    /// Closes every connection, and refuses new ones.
    pub async fn down(&self) {
        self.deaf().await;
        let mut connections = std::mem::take(&mut *lock(&self.carried.connections));
        connections.shutdown().await;
    }

    /// Refuses new connections and closes idle ones. Requests and streams that are under way go on.
    pub async fn refuse(&self) {
        self.deaf().await;
        self.carried.closing.send_replace(true);
    }

    async fn deaf(&self) {
        let listening = lock(&self.listening).take();
        if let Some(Listening { listener, accepting }) = listening {
            accepting.abort();
            let _ = accepting.await;
            // Not only closed: a process that is just being started (a Redis, say) holds a copy until it is.
            let _ = SockRef::from(&*listener).shutdown(Shutdown::Both);
        }
    }

    /// Listens again where it did before [`Server::down`] or [`Server::refuse`].
    pub async fn up(&self) -> io::Result<()> {
        let listener = TcpListener::bind(self.address).await?;
        self.carried.closing.send_replace(false);
        self.listen(listener);
        Ok(())
    }
}

impl<S: StandIn> Drop for Server<S> {
    fn drop(&mut self) {
        if let Some(Listening { accepting, .. }) = lock(&self.listening).take() {
            accepting.abort();
        }
        lock(&self.carried.connections).abort_all();
    }
}

/// Accepts for ever.
async fn accept<S: StandIn + 'static>(listener: Arc<TcpListener>, carried: Arc<Carried<S>>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let mut connections = lock(&carried.connections);
        while connections.try_join_next().is_some() {}
        connections.spawn(connection(stream, carried.clone()));
    }
}

async fn connection<S: StandIn + 'static>(stream: TcpStream, carried: Arc<Carried<S>>) {
    // Without it every answer on a connection that is used again takes 40 ms.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| answer(carried.clone(), request));
    let mut closing = carried.closing.subscribe();
    let mut serving = pin!(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    // An error here is a fault that was played, or a client that went away.
    tokio::select! {
        _ = serving.as_mut() => {}
        () = async { drop(closing.wait_for(|closing| *closing).await) } => {
            serving.as_mut().graceful_shutdown();
            let _ = serving.await;
        }
    }
}

type AnyBody = UnsyncBoxBody<Bytes, io::Error>;

/// An error closes the connection without an answer.
async fn answer<S: StandIn + 'static>(
    carried: Arc<Carried<S>>,
    request: hyper::Request<Incoming>,
) -> io::Result<hyper::Response<AnyBody>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes().to_vec();
    let target = head.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let request = Request { method: head.method, target, headers: head.headers, body };

    let call = lock(&carried.stand_in).name_of(&request);
    let ticket = carried.journal.begin(carried.system, &call, &format!("{} {}", request.method, request.target));
    let latency = *lock(&carried.latency);
    if !latency.is_zero() {
        sleep(latency).await;
    }
    let caught = lock(&carried.holds).next(&call, &request.body);
    if let Some(caught) = &caught {
        caught.wait(Moment::Before).await;
    }

    let fault = lock(&carried.faults).next(&call);
    let name = fault.as_ref().map(name_of);
    let ends = |status: u16| name.map_or(Outcome::Status(status), Outcome::Fault);
    match &fault {
        Some(Fault::DropBefore) => return Err(close(&ticket, ends(0))),
        Some(Fault::HangBefore(time)) => {
            sleep(*time).await;
            return Err(close(&ticket, ends(0)));
        }
        // Who leaves ends this, too.
        Some(Fault::Late(time)) => sleep(*time).await,
        Some(Fault::Instead(response)) => {
            ticket.end(ends(response.status));
            return whole(&request.method, response.clone());
        }
        _ => {}
    }

    if let Some(real) = carried.real {
        let response = forward(real, &request).await?;
        let status = response.status().as_u16();
        lock(&carried.stand_in).saw(now(), &request, status);
        if let Some(caught) = &caught {
            caught.wait(Moment::After).await;
        }
        let response = match fault {
            None | Some(Fault::Late(_)) => Ok(response),
            Some(Fault::DropAfter) => return Err(close(&ticket, ends(0))),
            Some(Fault::HangAfter(time)) => {
                sleep(time).await;
                return Err(close(&ticket, ends(0)));
            }
            Some(Fault::Slow(time)) => {
                sleep(time).await;
                Ok(response)
            }
            Some(Fault::AnswerAfter(other)) => whole(&request.method, other),
            Some(Fault::Truncate) => Ok(response.map(|body| OneFrame { body: Some(body), cut: None }.boxed_unsync())),
            Some(fault) => panic!("no such fault before a real system: {fault:?}"),
        };
        ticket.end(ends(status));
        return response;
    }

    let answer = lock(&carried.stand_in).answer(now(), &request);
    let open = |id| Open { stand_in: carried.stand_in.clone(), id: Some(id) };
    let (response, stream) = match answer {
        Answer::Whole(response) => (response, None),
        Answer::Stream(response, id) => (response, Some(open(id))),
        Answer::Later(id) => (open(id).wait().await, None),
    };
    if let Some(caught) = &caught {
        caught.wait(Moment::After).await;
    }

    match fault {
        Some(Fault::DropAfter) => return Err(close(&ticket, ends(0))),
        Some(Fault::HangAfter(time)) => {
            sleep(time).await;
            return Err(close(&ticket, ends(0)));
        }
        Some(Fault::Slow(time)) => sleep(time).await,
        _ => {}
    }
    let stream = match stream {
        // The head goes out with the first bytes, not before.
        Some(mut open) => Some((open.first().await, open)),
        None => None,
    };
    ticket.end(ends(response.status));
    let is_cut = fault == Some(Fault::Truncate);
    match (fault, stream) {
        (Some(Fault::AnswerAfter(other)), _) => whole(&request.method, other),
        (Some(Fault::Trickle(pause)), stream) => {
            let mut body = VecDeque::from(response.body.clone());
            let mut stream = stream;
            body.extend(
                stream.as_mut().and_then(|(first, open)| first.take().or_else(|| open.more())).unwrap_or_default(),
            );
            let mut beat = interval(pause);
            beat.reset();
            let drops = Drops { body, beat, _stream: stream.map(|(_, open)| open) };
            Ok(response_head(&response)?.body(drops.boxed_unsync()).map_err(io::Error::other)?)
        }
        (Some(Fault::TooLong(blanks)), None) => {
            let mut response = response;
            response.body.resize(response.body.len() + blanks, b' ');
            whole(&request.method, response)
        }
        (fault, Some((first, open))) => {
            let blanks =
                if let Some(Fault::TooLong(blanks)) = fault { vec![b' '; blanks].into() } else { Bytes::new() };
            let frames = Frames { first, open, blanks, beat: interval(BEAT), cuts_after_first: is_cut, cut: None };
            Ok(response_head(&response)?.body(frames.boxed_unsync()).map_err(io::Error::other)?)
        }
        (_, None) if is_cut => {
            let half = Bytes::copy_from_slice(&response.body[..response.body.len() / 2]);
            let length = response.body.len().max(1);
            let head = response_head(&response)?.header(CONTENT_LENGTH, length);
            head.body(Half { half: Some(half), cut: None }.boxed_unsync()).map_err(io::Error::other)
        }
        (_, None) => whole(&request.method, response),
    }
}

/// Asks the real system, and streams its answer.
async fn forward(to: SocketAddr, request: &Request) -> io::Result<hyper::Response<AnyBody>> {
    let stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    tokio::spawn(connection);
    let mut asked = hyper::Request::builder().method(&request.method).uri(&request.target);
    for (name, value) in &request.headers {
        asked = asked.header(name, value);
    }
    let asked = asked.body(Full::new(Bytes::from(request.body.clone()))).map_err(io::Error::other)?;
    let mut response = sender.send_request(asked).await.map_err(io::Error::other)?;
    // Each side has a connection of its own.
    response.headers_mut().remove(http::header::CONNECTION);
    Ok(response.map(|body| body.map_err(io::Error::other).boxed_unsync()))
}

fn close(ticket: &Ticket, outcome: Outcome) -> io::Error {
    ticket.end(outcome);
    cut()
}

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "a fault that is played")
}

fn name_of(fault: &Fault) -> &'static str {
    match fault {
        Fault::DropBefore => "DropBefore",
        Fault::DropAfter => "DropAfter",
        Fault::HangBefore(_) => "HangBefore",
        Fault::HangAfter(_) => "HangAfter",
        Fault::Instead(_) => "Instead",
        Fault::AnswerAfter(_) => "AnswerAfter",
        Fault::Truncate => "Truncate",
        Fault::Slow(_) => "Slow",
        Fault::Late(_) => "Late",
        Fault::Trickle(_) => "Trickle",
        Fault::TooLong(_) => "TooLong",
    }
}

/// Status and headers, but for the length.
fn response_head(response: &Response) -> io::Result<http::response::Builder> {
    let mut head = hyper::Response::builder().status(response.status);
    for (name, value) in response.headers.iter().filter(|(name, _)| name != "content-length") {
        head = head.header(name, HeaderValue::from_bytes(value.as_bytes()).map_err(io::Error::other)?);
    }
    Ok(head)
}

fn whole(method: &Method, response: Response) -> io::Result<hyper::Response<AnyBody>> {
    let mut head = response_head(&response)?;
    if method == Method::HEAD {
        // As long as the answer to a GET would be, though nothing follows.
        let said = response.headers.iter().find(|(name, _)| name == "content-length");
        head = head.header(CONTENT_LENGTH, said.map_or_else(|| response.body.len().to_string(), |(_, n)| n.clone()));
    }
    let body = Full::new(Bytes::from(response.body)).map_err(|never: Infallible| match never {});
    head.body(body.boxed_unsync()).map_err(io::Error::other)
}

/// A stream or a blocked request; tells the stand-in when the client hangs up.
struct Open<S: StandIn> {
    stand_in: Arc<Mutex<S>>,
    id: Option<StreamId>,
}

impl<S: StandIn> Open<S> {
    async fn wait(mut self) -> Response {
        let mut beat = interval(BEAT);
        loop {
            beat.tick().await;
            let Some(id) = self.id else { std::future::pending().await };
            let response = lock(&self.stand_in).waiting(now(), id);
            if let Some(response) = response {
                self.id = None;
                return response;
            }
        }
    }

    /// The first bytes, when there are any; `None` if it ends without.
    async fn first(&mut self) -> Option<Vec<u8>> {
        let mut beat = interval(BEAT);
        loop {
            match self.more() {
                Some(bytes) if bytes.is_empty() => beat.tick().await,
                first => return first,
            };
        }
    }

    /// New bytes; `None` at the end.
    fn more(&mut self) -> Option<Vec<u8>> {
        let more = lock(&self.stand_in).stream(now(), self.id?);
        if more.is_none() {
            self.id = None;
        }
        more
    }
}

impl<S: StandIn> Drop for Open<S> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            lock(&self.stand_in).stream_closed(id);
        }
    }
}

/// What was sent reaches the client before the connection breaks only if the server comes round once more.
fn poll_cut(sleeping: &mut Option<Pin<Box<Sleep>>>, cx: &mut Context<'_>) -> Poll<io::Error> {
    ready!(sleeping.get_or_insert_with(|| Box::pin(sleep(BEAT))).as_mut().poll(cx));
    Poll::Ready(cut())
}

/// The body of an open stream.
struct Frames<S: StandIn> {
    first: Option<Vec<u8>>,
    open: Open<S>,
    /// They come first.
    blanks: Bytes,
    beat: Interval,
    cuts_after_first: bool,
    cut: Option<Pin<Box<Sleep>>>,
}

impl<S: StandIn> Body for Frames<S> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        loop {
            if self.cut.is_some() {
                return poll_cut(&mut self.cut, cx).map(|error| Some(Err(error)));
            }
            if !self.blanks.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.blanks)))));
            }
            match self.first.take().or_else(|| self.open.more()) {
                None => return Poll::Ready(None),
                Some(bytes) if bytes.is_empty() => {
                    ready!(self.beat.poll_tick(cx));
                }
                Some(bytes) => {
                    if self.cuts_after_first {
                        self.cut = Some(Box::pin(sleep(BEAT)));
                    }
                    return Poll::Ready(Some(Ok(Frame::data(bytes.into()))));
                }
            }
        }
    }
}

/// A body that comes byte by byte, and then blanks, for ever.
struct Drops<S: StandIn> {
    body: VecDeque<u8>,
    beat: Interval,
    /// Open for as long as the client listens.
    _stream: Option<Open<S>>,
}

impl<S: StandIn> Body for Drops<S> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        ready!(self.beat.poll_tick(cx));
        let byte = self.body.pop_front().unwrap_or(b' ');
        Poll::Ready(Some(Ok(Frame::data(Bytes::copy_from_slice(&[byte])))))
    }
}

/// The first frame of a real answer; then the connection breaks.
struct OneFrame {
    body: Option<AnyBody>,
    cut: Option<Pin<Box<Sleep>>>,
}

impl Body for OneFrame {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(body) = &mut self.body {
            let frame = ready!(Pin::new(body).poll_frame(cx));
            self.body = None;
            if frame.is_some() {
                return Poll::Ready(frame);
            }
        }
        poll_cut(&mut self.cut, cx).map(|error| Some(Err(error)))
    }
}

/// The first half of a body.
struct Half {
    half: Option<Bytes>,
    cut: Option<Pin<Box<Sleep>>>,
}

impl Body for Half {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.half.take().filter(|half| !half.is_empty()) {
            Some(half) => Poll::Ready(Some(Ok(Frame::data(half)))),
            None => poll_cut(&mut self.cut, cx).map(|error| Some(Err(error))),
        }
    }
}

#[cfg(test)]
mod tests;
