//! A Spin application that runs: in the built-in host, or under a real `spin up`.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use tokio::time::sleep;

use crate::redis::Redis;
use crate::spin::{self, Spin};

/// What runs the components.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Runner {
    /// The built-in host.
    #[default]
    BuiltIn,
    /// This `spin` binary.
    Spin(PathBuf),
}

impl Runner {
    /// `SPIN=<path>` in the environment names a binary; otherwise the built-in host.
    pub fn from_environment() -> Self {
        let path = std::env::var_os("SPIN").filter(|path| !path.is_empty());
        path.map_or(Self::BuiltIn, |path| Self::Spin(path.into()))
    }
}

/// What to run, and with what.
pub struct Options<'a> {
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
    /// Where to listen; `None` picks a port.
    pub listen: Option<SocketAddr>,
    /// Where output goes.
    pub log: host::Log,
    /// Whether the built-in host counts instructions, see [`host::Cost`].
    pub count_instructions: bool,
}

/// A running application. Dropping it kills it.
pub enum Application {
    /// In this process.
    BuiltIn(host::Host),
    /// In processes of its own.
    Spin(Spin),
}

impl Application {
    /// Starts it; returns when it serves and is subscribed.
    pub async fn start(runner: &Runner, options: Options<'_>) -> anyhow::Result<Self> {
        let Options { manifest, variables, redis, subscribers, store, listen, log, count_instructions } = options;
        let listen = listen.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        match runner {
            Runner::BuiltIn => {
                let options = host::Options {
                    manifest: manifest.to_owned(),
                    variables: variables.clone(),
                    key_value_redis: Some(store.url()),
                    components: None,
                    listen,
                    log,
                    count_instructions,
                };
                Ok(Self::BuiltIn(host::start(options).await.context("the built-in host")?))
            }
            Runner::Spin(program) => {
                let options = spin::Options { program, manifest, variables, redis, subscribers, store, listen, log };
                Ok(Self::Spin(Spin::start(options).await.context("spin up")?))
            }
        }
    }

    /// Where it serves HTTP.
    pub fn address(&self) -> SocketAddr {
        match self {
            Self::BuiltIn(host) => host.address(),
            Self::Spin(spin) => spin.address(),
        }
    }

    /// How much memory it has, in bytes; in the built-in host that of this whole process. `None` where the system does not tell.
    pub fn memory(&self) -> Option<u64> {
        match self {
            Self::BuiltIn(_) => spin::memory_of(&[std::process::id()]),
            Self::Spin(spin) => spin.memory(),
        }
    }

    /// What a component has cost so far. Only the built-in host can tell.
    pub fn cost(&self, component: &str) -> Option<host::Cost> {
        match self {
            Self::BuiltIn(host) => Some(host.cost(component)),
            Self::Spin(_) => None,
        }
    }

    /// As SIGTERM: its requests and its background work die.
    pub async fn stop(self) {
        match self {
            Self::BuiltIn(host) => host.stop().await,
            Self::Spin(spin) => spin.stop().await,
        }
    }

    /// As SIGKILL: at whatever point it is, all of it at once, without a goodbye.
    pub async fn kill(self) {
        match self {
            // Its tasks are dropped where they stand, and a component that is dropped runs no more code.
            Self::BuiltIn(host) => host.stop().await,
            Self::Spin(spin) => spin.kill().await,
        }
    }

    /// Waits until it has ended by itself, as it does when it loses Redis.
    pub(crate) async fn ended(&mut self) {
        match self {
            Self::BuiltIn(host) => drop(host.ended().await),
            Self::Spin(spin) => {
                while spin.is_running() {
                    sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }
}
