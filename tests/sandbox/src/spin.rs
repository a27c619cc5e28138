//! The application under a real `spin up`, as in production.
//!
//! Easy to miss: `spin up` starts one process per kind of trigger, and these go on when `spin up` alone is
//! killed. So `spin up` runs in a process group of its own, and the group is ended. Spin listens before it
//! has subscribed to Redis.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::redis::{Redis, free_port};

/// How long Spin may take to start.
const STARTING: Duration = Duration::from_secs(60);

/// What to run, and with what.
pub struct Options<'a> {
    /// The `spin` binary.
    pub program: &'a Path,
    /// `spin.toml`.
    pub manifest: &'a Path,
    /// Values of application variables.
    pub variables: &'a BTreeMap<String, String>,
    /// The Redis of leases and wake-ups.
    pub redis: &'a Redis,
    /// How many processes are subscribed to it when this one is.
    pub subscribers: usize,
    /// The Redis behind the key-value store.
    pub store: &'a Redis,
    /// Where to listen; port 0 picks one.
    pub listen: SocketAddr,
    /// Where output goes.
    pub log: host::Log,
}

/// A running `spin up`. Dropping it kills the whole process group.
pub struct Spin {
    process: Child,
    address: SocketAddr,
    // Spin's state and its runtime config.
    _directory: TempDir,
}

impl Spin {
    /// Starts it; returns when it serves and is subscribed.
    pub async fn start(options: Options<'_>) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("deploy-bot-spin-").tempdir()?;
        let config = directory.path().join("runtime-config.toml");
        let store = options.store.url();
        fs::write(&config, format!("[key_value_store.default]\ntype = \"redis\"\nurl = \"{store}\"\n"))?;
        let mut address = options.listen;
        if address.port() == 0 {
            address.set_port(free_port()?);
        }

        let mut command = Command::new(options.program);
        command.arg("up").arg("-f").arg(options.manifest).arg("--listen").arg(address.to_string());
        command.arg("--runtime-config-file").arg(&config).arg("--state-dir").arg(directory.path());
        for (name, value) in options.variables {
            command.env(format!("SPIN_VARIABLE_{}", name.to_uppercase()), value);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut process = command.spawn().with_context(|| format!("{} does not run", options.program.display()))?;
        follow(process.stdout.take(), options.log.clone());
        follow(process.stderr.take(), options.log);

        let mut spin = Self { process, address, _directory: directory };
        spin.wait_until_ready(options.redis, options.subscribers).await?;
        Ok(spin)
    }

    /// Where it serves HTTP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends the group: first politely, after two seconds by force.
    pub async fn stop(mut self) {
        self.signal("TERM");
        let begun = Instant::now();
        while matches!(self.process.try_wait(), Ok(None)) && begun.elapsed() < Duration::from_secs(2) {
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Kills the group; returns when nothing of it listens any more.
    pub async fn kill(self) {
        let address = self.address;
        drop(self);
        // Its children are not ours to wait for.
        let begun = Instant::now();
        while TcpStream::connect(address).await.is_ok() && begun.elapsed() < Duration::from_secs(5) {
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// The memory of all its processes, in bytes.
    pub fn memory(&self) -> Option<u64> {
        let group = self.process.id().to_string();
        let members = fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let in_group = |process: &u32| {
            let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
            // After the name, which may hold anything: state, parent, group.
            stat.rsplit(')').next().is_some_and(|rest| rest.split_whitespace().nth(2) == Some(&*group))
        };
        memory_of(&members.filter(in_group).collect::<Vec<u32>>())
    }

    /// Whether it still runs; it ends by itself when it loses Redis.
    pub fn is_running(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }

    async fn wait_until_ready(&mut self, redis: &Redis, subscribers: usize) -> anyhow::Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < STARTING {
            ensure!(self.is_running(), "spin up ended while it started");
            if TcpStream::connect(self.address).await.is_ok() && subscribers <= subscribed(redis).await {
                return Ok(());
            }
            sleep(Duration::from_millis(50)).await;
        }
        bail!("spin up did not serve and subscribe within {} s", STARTING.as_secs())
    }

    fn signal(&self, name: &str) {
        let group = format!("kill -s {name} -- -{}", self.process.id());
        let _ = Command::new("sh").args(["-c", &group]).stderr(Stdio::null()).status();
    }
}

impl Drop for Spin {
    fn drop(&mut self) {
        // The group may live on when its first process is gone.
        self.signal("KILL");
        let _ = self.process.wait();
    }
}

/// How many processes are subscribed.
async fn subscribed(redis: &Redis) -> usize {
    let Ok(mut connection) = redis.connect().await else { return 0 };
    let clients: redis::RedisResult<String> =
        redis::cmd("CLIENT").arg("LIST").arg("TYPE").arg("PUBSUB").query_async(&mut connection).await;
    clients.map_or(0, |clients| clients.lines().count())
}

/// What these processes have in memory together, in bytes; `None` where the system does not tell.
pub(crate) fn memory_of(processes: &[u32]) -> Option<u64> {
    let of = |process: &u32| {
        let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
    };
    let all: Vec<u64> = processes.iter().filter_map(of).collect();
    (!all.is_empty()).then(|| all.iter().sum())
}

/// Hands lines to the log until the other side closes.
fn follow(output: Option<impl std::io::Read + Send + 'static>, log: host::Log) {
    use std::io::{BufRead, BufReader};
    let Some(output) = output else { return };
    std::thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            log("spin", &String::from_utf8_lossy(&line));
        }
    });
}
