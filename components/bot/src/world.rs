//! All the seams together: what a story needs of the world. Where log lines go, and what is in one.

use clients::http::Http;
use domain::limits;
use domain::names::DeploymentId;
use futures::future::{Either, select};
use serde_json::{Map, Value};
use std::pin::pin;
use std::time::Duration;
use store::{Clock, KeyValue, Lease, LeaseLost, Redis, StoreError, Terms};

/// All the seams together.
pub trait World: Http + KeyValue + Redis + Clock + Log {}

impl<T: Http + KeyValue + Redis + Clock + Log> World for T {}

/// Puts a time limit on any work. `None`: the work took longer, and was dropped.
pub(crate) async fn within<T>(clock: &impl Clock, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    match select(pin!(work), pin!(clock.sleep(limit))).await {
        Either::Left((done, _)) => Some(done),
        Either::Right(_) => None,
    }
}

/// A lease for work that is over in a moment.
const BRIEF: Terms = Terms { life: Duration::from_secs(15), renew: None };

/// Does short work under a lease, and waits for the lease while somebody else has it.
pub(crate) async fn under_lease<'w, W: World, T, E: From<StoreError> + From<LeaseLost>>(
    world: &'w W,
    name: &str,
    work: impl AsyncFnOnce(&Lease<'w, W>) -> Result<T, E>,
) -> Result<T, E> {
    under_leases(world, &[name.to_owned()], work).await
}

/// [`under_lease`], for several names at once.
pub(crate) async fn under_leases<'w, W: World, T, E: From<StoreError> + From<LeaseLost>>(
    world: &'w W,
    names: &[String],
    work: impl AsyncFnOnce(&Lease<'w, W>) -> Result<T, E>,
) -> Result<T, E> {
    let if_taken = async || {
        world.sleep(limits::LEASE_RETRY).await;
        Ok(())
    };
    Lease::hold_all(world, names, BRIEF, if_taken, work).await
}

/// Where the log lines go.
pub trait Log {
    /// Writes one line.
    fn log(&self, line: Line);
}

/// One event as one line of JSON, for operators. Never the sentence that people read, never a secret, a
/// token, a signature or a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line(Map<String, Value>);

impl Line {
    /// An event by its name, such as `committed`.
    pub fn new(event: &str) -> Self {
        Self(Map::from_iter([("event".to_owned(), Value::from(event))]))
    }

    /// An event that an operator should look at.
    pub fn error(event: &str) -> Self {
        Self::new(event).with("level", "error")
    }

    /// Of this deployment.
    pub fn of(self, id: &DeploymentId) -> Self {
        self.with("deployment", id.as_str())
    }

    /// With one more field.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// With one more field, as its type's `Debug` or serialised form says.
    pub fn with_json(self, name: &str, value: &impl serde::Serialize) -> Self {
        let value = serde_json::to_value(value).unwrap_or_default();
        self.with(name, value)
    }

    /// The line, without a line break.
    pub fn text(&self) -> String {
        Value::Object(self.0.clone()).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::fault::{Cause, Fault, System};

    #[test]
    fn an_event_is_one_line_of_json() {
        let id = DeploymentId::parse(&"1".repeat(32)).unwrap();
        let fault =
            Fault::new(System::GitHub, "read", Cause::Said { said: "two\nlines \u{2028} \"quoted\"".to_owned() });
        let line = Line::error("github").of(&id).with("seconds", 3).with_json("fault", &fault).text();
        assert!(!line.contains('\n'));
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            value,
            serde_json::json!({
                "event": "github",
                "level": "error",
                "deployment": id.as_str(),
                "seconds": 3,
                "fault": {
                    "doing": "read",
                    "system": "github",
                    "changed": "nothing",
                    "cause": { "said": { "said": "two\nlines \u{2028} \"quoted\"" } },
                },
            })
        );
        assert_eq!(Line::new("committed").text(), r#"{"event":"committed"}"#);
    }
}
