//! Redis on Spin: one connection, kept for all requests of the instance; one limit on every command.

use crate::{Spin, within};
use domain::names::Secret;
use spin_sdk::redis::{Connection, Error, RedisParameter, RedisResult};
use std::cell::RefCell;
use std::rc::Rc;
use store::{REDIS_TIMEOUT, Redis, Reply, StoreError};

/// A connection that opens when it is needed and again after it broke.
pub(crate) struct Client {
    url: Secret,
    open: RefCell<Option<Rc<Connection>>>,
}

impl Client {
    pub(crate) fn new(url: Secret) -> Self {
        Self { url, open: RefCell::new(None) }
    }

    async fn connection(&self) -> Result<Rc<Connection>, Error> {
        let open = self.open.borrow().clone();
        if let Some(connection) = open {
            return Ok(connection);
        }
        let connection = Rc::new(Connection::open(self.url.expose()).await?);
        *self.open.borrow_mut() = Some(connection.clone());
        Ok(connection)
    }

    async fn execute(&self, command: &str, arguments: &[&str]) -> Result<Vec<RedisResult>, Error> {
        let parameters = || arguments.iter().map(|text| RedisParameter::Binary(text.as_bytes().to_vec()));
        let fresh = self.open.borrow().is_none();
        match self.connection().await?.execute(command, parameters()).await {
            Err(_) if !fresh => {
                // The kept connection may be one that Redis closed long ago. Every command of ours may
                // run twice.
                self.forget();
                self.connection().await?.execute(command, parameters()).await
            }
            result => result,
        }
    }

    fn forget(&self) {
        self.open.borrow_mut().take();
    }
}

impl Redis for Spin {
    async fn run(&self, command: &str, arguments: &[&str]) -> Result<Vec<Reply>, StoreError> {
        // Spin's own text may hold the address, password included: it is never passed on.
        let why = match within(REDIS_TIMEOUT, self.redis.execute(command, arguments)).await {
            Some(Ok(values)) => return Ok(values.into_iter().map(reply).collect()),
            Some(Err(Error::InvalidAddress)) => {
                "Redis was denied by allowed_outbound_hosts, or its address is malformed"
            }
            Some(Err(Error::TooManyConnections)) => "too many connections to Redis",
            Some(Err(_)) => "Redis failed",
            None => "Redis did not answer in time",
        };
        self.redis.forget();
        Err(StoreError::Failed(why))
    }
}

fn reply(value: RedisResult) -> Reply {
    match value {
        RedisResult::Nil => Reply::Nil,
        RedisResult::Status(text) => Reply::Status(text),
        RedisResult::Int64(number) => Reply::Int(number),
        RedisResult::Binary(bytes) => Reply::Text(String::from_utf8_lossy(&bytes).into_owned()),
    }
}
