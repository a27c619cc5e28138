//! Throw-away `redis-server` processes on loopback: nothing on disk, each ended by its own process id.
//!
//! Easy to miss: a port that was free a moment ago may be taken now, and somebody else's Redis may answer. So
//! a server counts as started only if it answers while our own process is alive.

use std::io::{IsTerminal, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::lock;

/// Whether missing programs may be installed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Install {
    /// Asks at a terminal.
    Ask,
    /// Installs without asking if nobody can be asked: as root on Debian or Ubuntu, as in a container.
    #[default]
    Unattended,
    /// Never.
    Forbidden,
}

/// A running Redis. Dropping it ends the process.
pub struct Redis {
    program: PathBuf,
    port: u16,
    directory: TempDir,
    process: Mutex<Option<Child>>,
}

impl Redis {
    /// Starts one on a free port.
    pub async fn start(install: Install) -> anyhow::Result<Self> {
        let program = tokio::task::spawn_blocking(move || find(install)).await??;
        let directory = tempfile::Builder::new().prefix("deploy-bot-redis-").tempdir()?;
        let mut redis = Self { program, port: 0, directory, process: Mutex::default() };
        for _ in 0..5 {
            redis.port = free_port()?;
            if redis.up().await.is_ok() {
                return Ok(redis);
            }
        }
        bail!("{} does not start on loopback", redis.program.display())
    }

    /// `redis://127.0.0.1:7000`, which is also its origin.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// A connection, for tests that look inside.
    pub async fn connect(&self) -> redis::RedisResult<redis::aio::MultiplexedConnection> {
        redis::Client::open(self.url())?.get_multiplexed_async_connection().await
    }

    /// Ends it; everything in it is lost.
    pub fn down(&self) {
        if let Some(mut process) = lock(&self.process).take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Starts it on its port, empty.
    pub async fn up(&self) -> anyhow::Result<()> {
        let port = self.port.to_string();
        let options = ["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--databases", "2"];
        let mut command = Command::new(&self.program);
        command.args(options).current_dir(self.directory.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        *lock(&self.process) = Some(command.spawn().context("redis-server does not run")?);
        for _ in 0..500 {
            let is_alive = lock(&self.process).as_mut().is_some_and(|process| matches!(process.try_wait(), Ok(None)));
            ensure!(is_alive, "redis-server ended at once");
            if let Ok(mut connection) = self.connect().await {
                let server: redis::RedisResult<String> =
                    redis::cmd("INFO").arg("server").query_async(&mut connection).await;
                let ours = lock(&self.process).as_ref().map(|process| format!("process_id:{}\r", process.id()));
                if let (Ok(server), Some(ours)) = (server, ours) {
                    ensure!(server.contains(&ours), "another Redis has the port");
                    return Ok(());
                }
            }
            sleep(Duration::from_millis(10)).await;
        }
        bail!("redis-server does not answer")
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.down();
    }
}

/// A port of loopback that nobody listens on just now.
pub(crate) fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// `redis-server` on the `PATH`, installed if need be and allowed. Looks once per process.
pub fn find(install: Install) -> anyhow::Result<PathBuf> {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    static LOOKING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = lock(&LOOKING);
    if let Some(found) = FOUND.get() {
        return Ok(found.clone());
    }
    let found = match on_path("redis-server") {
        Some(found) => found,
        None => {
            install_redis(install)?;
            on_path("redis-server").context("redis-server was installed, but it is not on the PATH")?
        }
    };
    Ok(FOUND.get_or_init(|| found).clone())
}

/// A program on the `PATH`.
pub fn on_path(program: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(program)).find(|path| path.is_file())
}

fn install_redis(install: Install) -> anyhow::Result<()> {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0");
    let has_apt = Path::new("/etc/debian_version").exists() && on_path("apt-get").is_some();
    let apt = "apt-get update && apt-get install -y redis-server";
    let command = match (has_apt, is_root) {
        (true, true) => apt,
        (true, false) => "sudo apt-get install redis-server",
        (false, _) if cfg!(target_os = "macos") => "brew install redis",
        (false, _) => bail!("redis-server is missing: install Redis, so that redis-server is on the PATH"),
    };
    let at_terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    let runs = match install {
        Install::Forbidden => false,
        Install::Ask if at_terminal => ask(command)?,
        Install::Ask | Install::Unattended => is_root && has_apt,
    };
    ensure!(runs, "redis-server is missing. This installs it: {command}");
    eprintln!("redis-server is missing: running `{command}`");
    let status = Command::new("sh").args(["-c", command]).env("DEBIAN_FRONTEND", "noninteractive").status()?;
    ensure!(status.success(), "`{command}` failed ({status})");
    Ok(())
}

fn ask(command: &str) -> anyhow::Result<bool> {
    eprint!("redis-server is missing. Run `{command}` now? [Y/n] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "" | "y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_redis_that_was_down_comes_back_empty_on_its_port() {
        let redis = Redis::start(Install::Unattended).await.unwrap();
        let url = redis.url();
        let set =
            redis::cmd("SET").arg("key").arg("value").query_async::<()>(&mut redis.connect().await.unwrap()).await;
        set.unwrap();
        redis.down();
        assert!(redis.connect().await.is_err());
        redis.up().await.unwrap();
        let keys = redis::cmd("DBSIZE").query_async::<u64>(&mut redis.connect().await.unwrap()).await;
        assert_eq!((redis.url(), keys.unwrap()), (url.clone(), 0));
        drop(redis);
        let gone = redis::Client::open(url).unwrap().get_multiplexed_async_connection().await;
        assert!(gone.is_err());
    }
}
