//! The `spin:*` imports: key-value, variables and Redis. Every one is asynchronous and blocks no other task of the instance.
//! Easy to miss: this version of the Redis client gives up after 0.5 s by default; Spin's has no limits, so they are taken off.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, RedisError, Value, cmd};
use wasmtime::component::{Accessor, FutureReader, HasSelf, Linker, Resource, StreamReader};

use crate::instance::Data;
use crate::manifest::check_name;
use bindings::spin::key_value::key_value as store;
use bindings::spin::redis::redis as outbound;
use bindings::spin::redis::redis::{RedisParameter, RedisResult};
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

type Access<T> = Accessor<T, HasSelf<Data>>;
type Store = Resource<KeyValue>;
type Connection = Resource<MultiplexedConnection>;
/// The outer error kills the instance, the inner one is the component's to handle.
type Stored<T> = wasmtime::Result<Result<T, store::Error>>;
type Asked<T> = wasmtime::Result<Result<T, outbound::Error>>;

pub(crate) fn add_to_linker(linker: &mut Linker<Data>) -> wasmtime::Result<()> {
    bindings::RedisTrigger::add_to_linker::<_, HasSelf<Data>>(linker, |data| data)
}

/// The store `default`, shared by all components of a host.
#[derive(Clone)]
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub enum KeyValue {
    /// Until the host ends.
    Memory(Arc<Mutex<BTreeMap<String, Vec<u8>>>>),
    /// As Spin's Redis backend: raw keys, no prefix, the whole database.
    Redis(Arc<RedisStore>),
}

/// One connection for all, opened again after it broke.
#[expect(unreachable_pub, reason = "KeyValue shows it")]
pub struct RedisStore {
    client: Client,
    connection: tokio::sync::Mutex<Option<MultiplexedConnection>>,
}

impl KeyValue {
    pub(crate) fn new(redis: Option<&str>) -> anyhow::Result<KeyValue> {
        let Some(url) = redis else { return Ok(KeyValue::Memory(Arc::default())) };
        let store = RedisStore { client: Client::open(url)?, connection: Default::default() };
        Ok(KeyValue::Redis(Arc::new(store)))
    }
}

impl RedisStore {
    async fn query<A: FromRedisValue>(&self, command: &Cmd) -> Result<A, store::Error> {
        let other = |error: RedisError| store::Error::Other(error.to_string());
        let mut connection = {
            let mut slot = self.connection.lock().await;
            match &*slot {
                Some(connection) => connection.clone(),
                None => slot.insert(connect(&self.client).await.map_err(other)?).clone(),
            }
        };
        let answer = command.query_async(&mut connection).await;
        if answer.as_ref().is_err_and(RedisError::is_unrecoverable_error) {
            *self.connection.lock().await = None;
        }
        answer.map_err(other)
    }

    async fn keys(&self) -> Result<Vec<String>, store::Error> {
        let (mut keys, mut cursor) = (Vec::new(), 0_u64);
        loop {
            let (next, page): (u64, Vec<String>) = self.query(cmd("SCAN").arg(cursor)).await?;
            keys.extend(page);
            if next == 0 {
                return Ok(keys);
            }
            cursor = next;
        }
    }
}

async fn connect(client: &Client) -> redis::RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    client.get_multiplexed_async_connection_with_config(&config).await
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A resource of the instance, cloned so that nothing is borrowed while waiting.
fn resource<T, R: Clone + Send + 'static>(accessor: &Access<T>, handle: &Resource<R>) -> wasmtime::Result<R> {
    accessor.with(|mut access| Ok(access.get().table.get(handle)?.clone()))
}

impl store::Host for Data {}
impl store::HostStore for Data {}

impl<T: Send> store::HostStoreWithStore<T> for HasSelf<Data> {
    async fn open(accessor: &Access<T>, label: String) -> Stored<Store> {
        let component = accessor.with(|mut access| access.get().component.clone());
        if !component.settings.stores.contains(&label) {
            return Ok(Err(store::Error::AccessDenied));
        }
        if let KeyValue::Redis(store) = &component.key_value {
            // As Spin does; whether Redis is there shows at the first real command.
            let _ = store.query::<()>(&cmd("PING")).await;
        }
        accessor.with(|mut access| Ok(Ok(access.get().table.push(component.key_value.clone())?)))
    }

    async fn get(accessor: &Access<T>, store: Store, key: String) -> Stored<Option<Vec<u8>>> {
        Ok(match resource(accessor, &store)? {
            KeyValue::Memory(map) => Ok(locked(&map).get(&key).cloned()),
            KeyValue::Redis(store) => store.query(cmd("GET").arg(key)).await,
        })
    }

    async fn set(accessor: &Access<T>, store: Store, key: String, value: Vec<u8>) -> Stored<()> {
        Ok(match resource(accessor, &store)? {
            KeyValue::Memory(map) => {
                locked(&map).insert(key, value);
                Ok(())
            }
            KeyValue::Redis(store) => store.query(cmd("SET").arg(key).arg(value)).await,
        })
    }

    async fn delete(accessor: &Access<T>, store: Store, key: String) -> Stored<()> {
        Ok(match resource(accessor, &store)? {
            KeyValue::Memory(map) => {
                locked(&map).remove(&key);
                Ok(())
            }
            KeyValue::Redis(store) => store.query(cmd("DEL").arg(key)).await,
        })
    }

    async fn exists(accessor: &Access<T>, store: Store, key: String) -> Stored<bool> {
        Ok(match resource(accessor, &store)? {
            KeyValue::Memory(map) => Ok(locked(&map).contains_key(&key)),
            KeyValue::Redis(store) => store.query(cmd("EXISTS").arg(key)).await,
        })
    }

    async fn get_keys(
        accessor: &Access<T>,
        store: Store,
    ) -> wasmtime::Result<(StreamReader<String>, FutureReader<Result<(), store::Error>>)> {
        let keys = match resource(accessor, &store)? {
            KeyValue::Memory(map) => Ok(locked(&map).keys().cloned().collect()),
            KeyValue::Redis(store) => store.keys().await,
        };
        let (keys, outcome) = keys.map_or_else(|error| (Vec::new(), Err(error)), |keys| (keys, Ok(())));
        accessor.with(|mut access| {
            let keys = StreamReader::new(&mut access, keys)?;
            Ok((keys, FutureReader::new(&mut access, async { wasmtime::error::Ok(outcome) })?))
        })
    }

    async fn drop(accessor: &Access<T>, store: Store) -> wasmtime::Result<()> {
        accessor.with(|mut access| access.get().table.delete(store).map(drop))?;
        Ok(())
    }
}

impl variables::Host for Data {}

impl<T: Send> variables::HostWithStore<T> for HasSelf<Data> {
    async fn get(accessor: &Access<T>, name: String) -> wasmtime::Result<Result<String, variables::Error>> {
        if let Err(error) = check_name(&name) {
            return Ok(Err(variables::Error::InvalidName(error.to_string())));
        }
        let component = accessor.with(|mut access| access.get().component.clone());
        let value = component.settings.variables.get(&name).cloned();
        Ok(value.ok_or_else(|| variables::Error::Undefined(format!("no variable for {:?}.{name:?}", component.id))))
    }
}

impl outbound::Host for Data {}
impl outbound::HostConnection for Data {}

/// Sends one command and waits for its answer.
async fn ask<T, A: FromRedisValue>(accessor: &Access<T>, connection: Connection, command: &mut Cmd) -> Asked<A> {
    let mut connection = resource(accessor, &connection)?;
    Ok(command.query_async(&mut connection).await.map_err(|error| outbound::Error::Other(error.to_string())))
}

impl<T: Send> outbound::HostConnectionWithStore<T> for HasSelf<Data> {
    async fn open(accessor: &Access<T>, address: String) -> Asked<Connection> {
        let component = accessor.with(|mut access| access.get().component.clone());
        if !component.may_call(&address, "redis") {
            return Ok(Err(outbound::Error::InvalidAddress));
        }
        let Ok(client) = Client::open(address) else { return Ok(Err(outbound::Error::InvalidAddress)) };
        let connection = match connect(&client).await {
            Ok(connection) => connection,
            Err(error) => return Ok(Err(outbound::Error::Other(error.to_string()))),
        };
        accessor.with(|mut access| {
            let data = access.get();
            if data.redis_connections == REDIS_CONNECTIONS {
                return Ok(Err(outbound::Error::TooManyConnections));
            }
            data.redis_connections += 1;
            Ok(Ok(data.table.push(connection)?))
        })
    }

    async fn publish(accessor: &Access<T>, on: Connection, channel: String, payload: Vec<u8>) -> Asked<()> {
        ask(accessor, on, cmd("PUBLISH").arg(channel).arg(payload)).await
    }

    async fn get(accessor: &Access<T>, on: Connection, key: String) -> Asked<Option<Vec<u8>>> {
        ask(accessor, on, cmd("GET").arg(key)).await
    }

    async fn set(accessor: &Access<T>, on: Connection, key: String, value: Vec<u8>) -> Asked<()> {
        ask(accessor, on, cmd("SET").arg(key).arg(value)).await
    }

    async fn incr(accessor: &Access<T>, on: Connection, key: String) -> Asked<i64> {
        ask(accessor, on, cmd("INCRBY").arg(key).arg(1)).await
    }

    async fn del(accessor: &Access<T>, on: Connection, keys: Vec<String>) -> Asked<u32> {
        ask(accessor, on, cmd("DEL").arg(keys)).await
    }

    async fn sadd(accessor: &Access<T>, on: Connection, key: String, values: Vec<String>) -> Asked<u32> {
        ask(accessor, on, cmd("SADD").arg(key).arg(values)).await
    }

    async fn smembers(accessor: &Access<T>, on: Connection, key: String) -> Asked<Vec<String>> {
        ask(accessor, on, cmd("SMEMBERS").arg(key)).await
    }

    async fn srem(accessor: &Access<T>, on: Connection, key: String, values: Vec<String>) -> Asked<u32> {
        ask(accessor, on, cmd("SREM").arg(key).arg(values)).await
    }

    async fn execute(
        accessor: &Access<T>,
        on: Connection,
        command: String,
        arguments: Vec<RedisParameter>,
    ) -> Asked<Vec<RedisResult>> {
        let mut command = cmd(&command);
        for argument in arguments {
            match argument {
                RedisParameter::Int64(number) => command.arg(number),
                RedisParameter::Binary(bytes) => command.arg(bytes),
            };
        }
        let mut results = Vec::new();
        let answer: Result<Value, _> = ask(accessor, on, &mut command).await?;
        Ok(answer.and_then(|answer| flatten(answer, &mut results)).map(|()| results))
    }

    async fn drop(accessor: &Access<T>, connection: Connection) -> wasmtime::Result<()> {
        accessor.with(|mut access| {
            let data = access.get();
            data.redis_connections -= 1;
            data.table.delete(connection).map(drop)
        })?;
        Ok(())
    }
}

/// Spin flattens nested arrays.
fn flatten(value: Value, into: &mut Vec<RedisResult>) -> Result<(), outbound::Error> {
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
        _ => return Err(outbound::Error::Other("this kind of answer is not supported".into())),
    });
    Ok(())
}
