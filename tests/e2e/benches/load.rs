//! Load on loopback: as many requests as possible on connections that stay open, or a given number a second
//! on new connections.
//!
//! Easy to miss: Spin sets no TCP_NODELAY, so an answer on a connection that was used before may take 40 ms. Throughput is
//! measured with so many connections that this does not matter, latency with new ones.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until};

/// So few connections that the network's pauses are the limit: 256 connections that wait 40 ms each make at
/// most 6,000 answers a second.
pub(crate) const SOME: usize = 256;
/// Enough that the processor is the limit.
pub(crate) const MANY: usize = 1_500;

/// What is sent, as bytes on the wire, and the status that is expected.
#[derive(Clone)]
pub(crate) struct Load {
    requests: Arc<Vec<Bytes>>,
    status: u16,
}

impl Load {
    /// These requests in turn.
    pub(crate) fn new(requests: Vec<Bytes>, status: u16) -> Self {
        Self { requests: Arc::new(requests), status }
    }

    /// The same, with another status expected.
    pub(crate) fn status(&self, status: u16) -> Self {
        Self { status, ..self.clone() }
    }

    /// Answers a second, while each of this many connections asks again as soon as it has its answer.
    pub(crate) async fn throughput(&self, address: SocketAddr, connections: usize, time: Duration) -> Result<f64> {
        let (answered, over, turn) =
            (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut all = JoinSet::new();
        for _ in 0..connections {
            let (load, answered, over, turn) = (self.clone(), answered.clone(), over.clone(), turn.clone());
            all.spawn(async move {
                let mut connection = TcpStream::connect(address).await?;
                let mut buffer = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    let next = turn.fetch_add(1, Ordering::Relaxed) % load.requests.len();
                    ask(&mut connection, &load.requests[next], load.status, &mut buffer).await?;
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                Ok::<(), anyhow::Error>(())
            });
        }
        // Until all instances are there.
        sleep(time / 5).await;
        let (begun, before) = (Instant::now(), answered.load(Ordering::Relaxed));
        sleep(time).await;
        let (took, count) = (begun.elapsed(), answered.load(Ordering::Relaxed) - before);
        over.store(true, Ordering::Relaxed);
        while let Some(ended) = all.join_next().await {
            ended??;
        }
        Ok(count as f64 / took.as_secs_f64())
    }

    /// Sends this many requests, at any pace.
    pub(crate) async fn many(&self, address: SocketAddr, count: usize) -> Result<()> {
        let turn = Arc::new(AtomicUsize::new(0));
        let mut all = JoinSet::new();
        for _ in 0..SOME.min(count) {
            let (load, turn) = (self.clone(), turn.clone());
            all.spawn(async move {
                let mut connection = TcpStream::connect(address).await?;
                let mut buffer = Vec::new();
                loop {
                    let next = turn.fetch_add(1, Ordering::Relaxed);
                    if next >= count {
                        return Ok::<(), anyhow::Error>(());
                    }
                    let request = &load.requests[next % load.requests.len()];
                    ask(&mut connection, request, load.status, &mut buffer).await?;
                }
            });
        }
        while let Some(ended) = all.join_next().await {
            ended??;
        }
        Ok(())
    }

    /// How long each answer takes, sorted, with this many requests a second, each on a connection of its own.
    pub(crate) async fn latencies(
        &self,
        address: SocketAddr,
        per_second: u32,
        time: Duration,
    ) -> Result<Vec<Duration>> {
        let step = Duration::from_secs(1) / per_second;
        let count = (time.as_secs_f64() * f64::from(per_second)) as u32;
        let begun = tokio::time::Instant::now();
        let mut all = JoinSet::new();
        for n in 0..count {
            sleep_until(begun + step * n).await;
            let load = self.clone();
            all.spawn(async move { load.once(address, n as usize).await });
        }
        let mut took = Vec::new();
        while let Some(ended) = all.join_next().await {
            took.push(ended??);
        }
        took.sort();
        Ok(took)
    }

    /// One request on a new connection, and how long its answer takes.
    pub(crate) async fn once(&self, address: SocketAddr, n: usize) -> Result<Duration> {
        let begun = Instant::now();
        let mut connection = TcpStream::connect(address).await?;
        ask(&mut connection, &self.requests[n % self.requests.len()], self.status, &mut Vec::new()).await?;
        Ok(begun.elapsed())
    }
}

/// A request as it goes over the wire.
pub(crate) fn wire(path: &str, headers: &[(String, String)], body: &[u8]) -> Bytes {
    let mut bytes = format!("POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        bytes += &format!("{name}: {value}\r\n");
    }
    Bytes::from([bytes.as_bytes(), b"\r\n", body].concat())
}

/// Sends a request and reads its answer whole.
async fn ask(connection: &mut TcpStream, request: &[u8], status: u16, buffer: &mut Vec<u8>) -> Result<()> {
    connection.write_all(request).await?;
    buffer.clear();
    while !is_whole(buffer) {
        ensure!(connection.read_buf(buffer).await? > 0, "the connection was closed");
    }
    let expected = format!("HTTP/1.1 {status} ");
    let first = String::from_utf8_lossy(&buffer[..buffer.len().min(400)]).into_owned();
    ensure!(buffer.starts_with(expected.as_bytes()), "expected {status}, got {first}");
    Ok(())
}

/// Whether this is a whole answer, in the form that our components and the host use.
fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let (head, body) = (String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase(), &answer[end + 4..]);
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    match length.map(|length| length.trim().parse()) {
        Some(Ok(length)) => body.len() >= length,
        _ => body.ends_with(b"0\r\n\r\n"),
    }
}

/// The part `p` of sorted values: 0.5 is the median.
pub(crate) fn part<T: Copy>(sorted: &[T], p: f64) -> Result<T> {
    let place = ((sorted.len() as f64 - 1.0) * p).round() as usize;
    sorted.get(place).copied().context("nothing was measured")
}

/// The middle one.
pub(crate) fn median(mut values: Vec<f64>) -> Result<f64> {
    values.sort_by(f64::total_cmp);
    part(&values, 0.5)
}
