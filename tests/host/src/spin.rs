//! The `spin:*` imports: key-value, variables and Redis. Every one is asynchronous and blocks no other task of the instance.
//! The trap: current versions of the Redis client give up after 0.5 s by default; Spin's has no limits, so they are taken off.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, Value, cmd};
use wasmtime::component::{Accessor, FutureReader, HasSelf, Linker, Resource, StreamReader};

use crate::instance::Data;
use crate::manifest::check_name;
use bindings::spin::key_value::key_value;
use bindings::spin::redis::redis as outbound_redis;
use bindings::spin::variables::variables;

/// Generated from the WIT texts of spin-sdk.
pub(crate) mod bindings {
    wasmtime::component::bindgen!({
        path: [
            "../../wit/deps/spin-key-value@3.0.0",
            "../../wit/deps/spin-redis@3.0.0",
            "../../wit/deps/spin-variables@3.0.0",
        ],
        inline: "
            package host:spin;
            world redis-trigger {
                import spin:key-value/key-value@3.0.0;
                import spin:redis/redis@3.0.0;
                import spin:variables/variables@3.0.0;
                export spin:redis/inbound-redis@3.0.0;
            }
        ",
        imports: { default: async | store | trappable },
        exports: { default: async | store },
        with: {
            "spin:key-value/key-value.store": super::KeyValue,
            "spin:redis/redis.connection": redis::aio::MultiplexedConnection,
        },
    });
}

/// The size of Spin's table of Redis connections, for each instance.
const REDIS_CONNECTIONS: usize = 1024;

type Result<T, E> = wasmtime::Result<std::result::Result<T, E>>;
type Access<T> = Accessor<T, HasSelf<Data>>;

pub(crate) fn add_to_linker(linker: &mut Linker<Data>) -> wasmtime::Result<()> {
    bindings::RedisTrigger::add_to_linker::<_, HasSelf<Data>>(linker, |data| data)
}

/// The store `default`, shared by all components of a host.
#[derive(Clone)]
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub enum KeyValue {
    Memory(Arc<Mutex<BTreeMap<String, Vec<u8>>>>),
    /// As Spin's Redis backend: raw keys, no prefix, the whole database.
    Redis(Arc<RedisStore>),
}

pub(crate) struct RedisStore {
    client: Client,
    /// One connection for all; opened again after it broke.
    connection: tokio::sync::Mutex<Option<MultiplexedConnection>>,
}

impl RedisStore {
    async fn query<T: FromRedisValue>(&self, command: &Cmd) -> std::result::Result<T, key_value::Error> {
        let other = |error: redis::RedisError| key_value::Error::Other(error.to_string());
        let mut connection = {
            let mut slot = self.connection.lock().await;
            match &*slot {
                Some(connection) => connection.clone(),
                None => slot.insert(connect(&self.client).await.map_err(other)?).clone(),
            }
        };
        let answer = command.query_async(&mut connection).await;
        if answer.as_ref().is_err_and(|error| error.is_unrecoverable_error()) {
            *self.connection.lock().await = None;
        }
        answer.map_err(other)
    }
}

impl KeyValue {
    pub(crate) fn new(redis: Option<&str>) -> anyhow::Result<KeyValue> {
        Ok(match redis {
            None => KeyValue::Memory(Arc::default()),
            Some(url) => {
                KeyValue::Redis(Arc::new(RedisStore { client: Client::open(url)?, connection: Default::default() }))
            }
        })
    }

    async fn get(&self, key: &str) -> std::result::Result<Option<Vec<u8>>, key_value::Error> {
        match self {
            KeyValue::Memory(map) => Ok(locked(map).get(key).cloned()),
            KeyValue::Redis(store) => store.query(cmd("GET").arg(key)).await,
        }
    }

    async fn set(&self, key: String, value: Vec<u8>) -> std::result::Result<(), key_value::Error> {
        match self {
            KeyValue::Memory(map) => {
                locked(map).insert(key, value);
                Ok(())
            }
            KeyValue::Redis(store) => store.query(cmd("SET").arg(key).arg(value)).await,
        }
    }

    async fn delete(&self, key: &str) -> std::result::Result<(), key_value::Error> {
        match self {
            KeyValue::Memory(map) => {
                locked(map).remove(key);
                Ok(())
            }
            KeyValue::Redis(store) => store.query(cmd("DEL").arg(key)).await,
        }
    }

    async fn exists(&self, key: &str) -> std::result::Result<bool, key_value::Error> {
        match self {
            KeyValue::Memory(map) => Ok(locked(map).contains_key(key)),
            KeyValue::Redis(store) => store.query(cmd("EXISTS").arg(key)).await,
        }
    }

    async fn keys(&self) -> std::result::Result<Vec<String>, key_value::Error> {
        let store = match self {
            KeyValue::Memory(map) => return Ok(locked(map).keys().cloned().collect()),
            KeyValue::Redis(store) => store,
        };
        let (mut keys, mut cursor) = (Vec::new(), 0_u64);
        loop {
            let (next, page): (u64, Vec<String>) = store.query(cmd("SCAN").arg(cursor)).await?;
            keys.extend(page);
            cursor = next;
            if cursor == 0 {
                return Ok(keys);
            }
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn connect(client: &Client) -> redis::RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    client.get_multiplexed_async_connection_with_config(&config).await
}

/// A resource of the instance, cloned so that nothing is borrowed while waiting.
fn resource<T, R: Clone + Send + 'static>(accessor: &Access<T>, resource: &Resource<R>) -> wasmtime::Result<R> {
    accessor.with(|mut access| Ok(access.get().table.get(resource)?.clone()))
}

impl key_value::Host for Data {}
impl key_value::HostStore for Data {}

impl<T: Send> key_value::HostStoreWithStore<T> for HasSelf<Data> {
    async fn open(accessor: &Access<T>, label: String) -> Result<Resource<KeyValue>, key_value::Error> {
        let component = accessor.with(|mut access| access.get().component.clone());
        if !component.settings.stores.contains(&label) {
            return Ok(Err(key_value::Error::AccessDenied));
        }
        if let KeyValue::Redis(store) = &component.key_value {
            // As Spin does; whether it works shows at the first real command.
            let _ = store.query::<()>(&cmd("PING")).await;
        }
        accessor.with(|mut access| Ok(Ok(access.get().table.push(component.key_value.clone())?)))
    }

    async fn get(
        accessor: &Access<T>,
        store: Resource<KeyValue>,
        key: String,
    ) -> Result<Option<Vec<u8>>, key_value::Error> {
        Ok(resource(accessor, &store)?.get(&key).await)
    }

    async fn set(
        accessor: &Access<T>,
        store: Resource<KeyValue>,
        key: String,
        value: Vec<u8>,
    ) -> Result<(), key_value::Error> {
        Ok(resource(accessor, &store)?.set(key, value).await)
    }

    async fn delete(accessor: &Access<T>, store: Resource<KeyValue>, key: String) -> Result<(), key_value::Error> {
        Ok(resource(accessor, &store)?.delete(&key).await)
    }

    async fn exists(accessor: &Access<T>, store: Resource<KeyValue>, key: String) -> Result<bool, key_value::Error> {
        Ok(resource(accessor, &store)?.exists(&key).await)
    }

    async fn get_keys(
        accessor: &Access<T>,
        store: Resource<KeyValue>,
    ) -> wasmtime::Result<(StreamReader<String>, FutureReader<std::result::Result<(), key_value::Error>>)> {
        let (keys, outcome) = match resource(accessor, &store)?.keys().await {
            Ok(keys) => (keys, Ok(())),
            Err(error) => (Vec::new(), Err(error)),
        };
        accessor.with(|mut access| {
            let keys = StreamReader::new(&mut access, keys)?;
            Ok((keys, FutureReader::new(&mut access, async { wasmtime::error::Ok(outcome) })?))
        })
    }

    async fn drop(accessor: &Access<T>, store: Resource<KeyValue>) -> wasmtime::Result<()> {
        accessor.with(|mut access| access.get().table.delete(store).map(drop))?;
        Ok(())
    }
}

impl variables::Host for Data {}

impl<T: Send> variables::HostWithStore<T> for HasSelf<Data> {
    async fn get(accessor: &Access<T>, name: String) -> Result<String, variables::Error> {
        if let Err(error) = check_name(&name) {
            return Ok(Err(variables::Error::InvalidName(error.to_string())));
        }
        Ok(accessor.with(|mut access| {
            let component = &access.get().component;
            let value = component.settings.variables.get(&name).cloned();
            value.ok_or_else(|| variables::Error::Undefined(format!("no variable for {:?}.{name:?}", component.id)))
        }))
    }
}

impl outbound_redis::Host for Data {}
impl outbound_redis::HostConnection for Data {}

/// Sends one command and converts the answer.
async fn ask<T, A: FromRedisValue>(
    accessor: &Access<T>,
    connection: Resource<MultiplexedConnection>,
    command: &mut Cmd,
) -> Result<A, outbound_redis::Error> {
    let mut connection = resource(accessor, &connection)?;
    Ok(command.query_async(&mut connection).await.map_err(|error| outbound_redis::Error::Other(error.to_string())))
}

impl<T: Send> outbound_redis::HostConnectionWithStore<T> for HasSelf<Data> {
    async fn open(
        accessor: &Access<T>,
        address: String,
    ) -> Result<Resource<MultiplexedConnection>, outbound_redis::Error> {
        let component = accessor.with(|mut access| access.get().component.clone());
        if !component.may_call(&address, "redis") {
            return Ok(Err(outbound_redis::Error::InvalidAddress));
        }
        let Ok(client) = Client::open(address) else { return Ok(Err(outbound_redis::Error::InvalidAddress)) };
        let connection = match connect(&client).await {
            Ok(connection) => connection,
            Err(error) => return Ok(Err(outbound_redis::Error::Other(error.to_string()))),
        };
        accessor.with(|mut access| {
            let data = access.get();
            if data.redis_connections == REDIS_CONNECTIONS {
                return Ok(Err(outbound_redis::Error::TooManyConnections));
            }
            data.redis_connections += 1;
            Ok(Ok(data.table.push(connection)?))
        })
    }

    async fn publish(
        accessor: &Access<T>,
        connection: Resource<MultiplexedConnection>,
        channel: String,
        payload: Vec<u8>,
    ) -> Result<(), outbound_redis::Error> {
        ask(accessor, connection, cmd("PUBLISH").arg(channel).arg(payload)).await
    }

    async fn get(
        accessor: &Access<T>,
        connection: Resource<MultiplexedConnection>,
        key: String,
    ) -> Result<Option<Vec<u8>>, outbound_redis::Error> {
        ask(accessor, connection, cmd("GET").arg(key)).await
    }

    async fn set(
        accessor: &Access<T>,
        connection: Resource<MultiplexedConnection>,
        key: String,
        value: Vec<u8>,
    ) -> Result<(), outbound_redis::Error> {
        ask(accessor, connection, cmd("SET").arg(key).arg(value)).await
    }

    async fn incr(
        accessor: &Access<T>,
        connection: Resource<MultiplexedConnection>,
        key: String,
    ) -> Result<i64, outbound_redis::Error> {
        ask(accessor, connection, cmd("INCRBY").arg(key).arg(1)).await
    }

    async fn del(
        accessor: &Access<T>,
        connection: Resource<MultiplexedConnection>,
        keys: Vec<String>,
    ) -> Result<u32, outbound_redis::Error> {
        ask(accessor, connection, cmd("DEL").arg(keys)).await
    }

    async fn sadd(
        accessor: &Access<T>,
        connection: Resource<MultiplexedConnection>,
        key: String,
        values: Vec<String>,
    ) -> Result<u32, outbound_redis::Error> {
        ask(accessor, connection, cmd("SADD").arg(key).arg(values)).await
    }

    async fn smembers(
        accessor: &Access<T>,
        connection: Resource<MultiplexedConnection>,
        key: String,
    ) -> Result<Vec<String>, outbound_redis::Error> {
        ask(accessor, connection, cmd("SMEMBERS").arg(key)).await
    }

    async fn srem(
        accessor: &Access<T>,
        connection: Resource<MultiplexedConnection>,
        key: String,
        values: Vec<String>,
    ) -> Result<u32, outbound_redis::Error> {
        ask(accessor, connection, cmd("SREM").arg(key).arg(values)).await
    }

    async fn execute(
        accessor: &Access<T>,
        connection: Resource<MultiplexedConnection>,
        command: String,
        arguments: Vec<outbound_redis::RedisParameter>,
    ) -> Result<Vec<outbound_redis::RedisResult>, outbound_redis::Error> {
        let mut command = cmd(&command);
        for argument in arguments {
            match argument {
                outbound_redis::RedisParameter::Int64(number) => command.arg(number),
                outbound_redis::RedisParameter::Binary(bytes) => command.arg(bytes),
            };
        }
        let answer = ask(accessor, connection, &mut command).await?;
        Ok(answer.and_then(|answer: Value| {
            let mut results = Vec::new();
            flatten(answer, &mut results)?;
            Ok(results)
        }))
    }

    async fn drop(accessor: &Access<T>, connection: Resource<MultiplexedConnection>) -> wasmtime::Result<()> {
        accessor.with(|mut access| {
            let data = access.get();
            data.redis_connections -= 1;
            data.table.delete(connection).map(drop)
        })?;
        Ok(())
    }
}

/// Spin flattens nested arrays.
fn flatten(
    value: Value,
    into: &mut Vec<outbound_redis::RedisResult>,
) -> std::result::Result<(), outbound_redis::Error> {
    use outbound_redis::RedisResult;
    into.push(match value {
        Value::Nil => RedisResult::Nil,
        Value::Int(number) => RedisResult::Int64(number),
        Value::Boolean(yes) => RedisResult::Int64(yes.into()),
        Value::BulkString(bytes) => RedisResult::Binary(bytes),
        Value::Double(number) => RedisResult::Binary(number.to_string().into_bytes()),
        Value::SimpleString(status) => RedisResult::Status(status),
        Value::Okay => RedisResult::Status("OK".into()),
        Value::Array(values) | Value::Set(values) => {
            return values.into_iter().try_for_each(|value| flatten(value, into));
        }
        other => return Err(outbound_redis::Error::Other(format!("this answer is not supported: {other:?}"))),
    });
    Ok(())
}
