//! The bot as the outside sees it: an address that takes requests. Here is also the clock of the stand-ins:
//! it makes them move and sends their webhooks.
//!
//! Easy to miss: GitHub sends a webhook once. While the bot is down the webhook is lost, as in production.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use fakes::{Millis, Outgoing, StandIn};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

use crate::journal::{Journal, Outcome};
use crate::serve::BEAT;
use crate::{lock, now};

/// GitHub gives up on a webhook after this long.
const PATIENCE: Duration = Duration::from_secs(10);

/// A request to the bot, and what it answered.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// When it was sent.
    pub at: Millis,
    /// The path.
    pub path: String,
    /// The status; `None` if there was no answer.
    pub status: Option<u16>,
    /// The body of the answer, or why there was none.
    pub body: String,
    /// How long it took.
    pub took: Duration,
    /// The replica that was asked.
    pub replica: usize,
}

impl Exchange {
    /// Whether Slack has its answer, and the person reads nothing yet.
    pub fn is_accepted(&self) -> bool {
        self.status == Some(200) && self.body.is_empty()
    }
}

/// Where the bot is, and every exchange with it; clones are the same bot. Requests go to its replicas in turn, past those that are down.
#[derive(Clone)]
pub struct Bot {
    replicas: Arc<Mutex<Replicas>>,
    exchanges: Arc<Mutex<Vec<Exchange>>>,
    journal: Journal,
}

#[derive(Default)]
struct Replicas {
    all: Vec<Replica>,
    turn: usize,
}

#[derive(Clone, Copy, Default)]
struct Replica {
    address: Option<SocketAddr>,
    up: bool,
}

impl Bot {
    pub(crate) fn new(replicas: usize, journal: Journal) -> Self {
        let replicas = Replicas { all: vec![Replica::default(); replicas], turn: 0 };
        Self { replicas: Arc::new(Mutex::new(replicas)), exchanges: Arc::default(), journal }
    }

    pub(crate) fn is_up(&self, replica: usize, address: SocketAddr) {
        lock(&self.replicas).all[replica] = Replica { address: Some(address), up: true };
    }

    pub(crate) fn is_down(&self, replica: usize) {
        lock(&self.replicas).all[replica].up = false;
    }

    /// Where it listens; of several replicas, the first.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address_of(0)
    }

    pub(crate) fn address_of(&self, replica: usize) -> Option<SocketAddr> {
        lock(&self.replicas).all.get(replica)?.address
    }

    /// Who gets the next request; the first if none is up.
    fn next(&self) -> usize {
        let mut replicas = lock(&self.replicas);
        let (count, turn) = (replicas.all.len(), replicas.turn);
        let next = (turn..turn + count).map(|turn| turn % count).find(|replica| replicas.all[*replica].up);
        replicas.turn = next.unwrap_or_default() + 1;
        next.unwrap_or_default()
    }

    /// Every exchange so far, in the order of the answers.
    pub fn exchanges(&self) -> Vec<Exchange> {
        lock(&self.exchanges).clone()
    }

    /// Sends any request. The address is the bot's, whatever the URI says.
    pub async fn request(&self, request: http::Request<Vec<u8>>) -> Exchange {
        let (at, begun) = (now(), Instant::now());
        let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
        let target = format!("{} {path}", request.method());
        self.journal.add("bot", "bot.asked", &target, Outcome::Mark);
        let replica = self.next();
        let answer = match self.address_of(replica) {
            Some(address) => timeout(PATIENCE, exchange(address, request)).await.context("no answer in time"),
            None => Err(anyhow::anyhow!("it was never started")),
        };
        let (status, body) = match answer.and_then(|answer| answer) {
            Ok((status, body)) => (Some(status), body),
            Err(error) => (None, format!("{error:#}")),
        };
        self.journal.add("bot", "bot.answered", &target, status.map_or(Outcome::HungUp, Outcome::Status));
        let exchange = Exchange { at, path, status, body, took: begun.elapsed(), replica };
        lock(&self.exchanges).push(exchange.clone());
        exchange
    }

    /// Sends what a stand-in wants to send.
    pub async fn send(&self, outgoing: &Outgoing) -> Exchange {
        let mut request = http::Request::post(&outgoing.path);
        for (name, value) in &outgoing.headers {
            request = request.header(name, value);
        }
        let request = request.body(outgoing.body.clone()).expect("stand-ins make valid requests");
        self.request(request).await
    }
}

/// One request on a connection of its own: answers on used connections are slower in Spin.
pub(crate) async fn exchange(address: SocketAddr, request: http::Request<Vec<u8>>) -> anyhow::Result<(u16, String)> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let mut request = request.map(|body| Full::new(Bytes::from(body)));
    let host = http::HeaderValue::from_str(&address.to_string())?;
    request.headers_mut().entry(http::header::HOST).or_insert(host);
    let response = sender.send_request(request).await?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await?.to_bytes();
    connection.abort();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

/// Lets the stand-ins move, and sends what is due; for ever.
pub(crate) async fn run(stand_ins: Vec<Arc<Mutex<dyn StandIn>>>, bot: Bot) {
    let mut beat = interval(BEAT);
    let mut waiting: Vec<Outgoing> = Vec::new();
    let mut sending = JoinSet::new();
    loop {
        beat.tick().await;
        let now = now();
        for stand_in in &stand_ins {
            let mut stand_in = lock(stand_in);
            stand_in.tick(now);
            waiting.extend(stand_in.take_outgoing());
        }
        while sending.try_join_next().is_some() {}
        let due: Vec<Outgoing> = waiting.extract_if(.., |outgoing| outgoing.at <= now).collect();
        for outgoing in due {
            let bot = bot.clone();
            sending.spawn(async move { bot.send(&outgoing).await });
        }
    }
}
