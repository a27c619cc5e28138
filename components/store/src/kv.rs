//! The format of a value in the key-value store.

use crate::seams::{KeyValue, StoreError};
use domain::deployment::Writer;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The format of values that this build writes, and the only one that it reads.
const VERSION: u64 = 1;

/// Another version is an error, so that nobody overwrites the key.
fn parse(bytes: &[u8]) -> Result<Value, StoreError> {
    let value: Value =
        serde_json::from_slice(bytes).map_err(|_| StoreError::Unreadable("a stored value is not JSON"))?;
    if value.get("version").and_then(Value::as_u64) != Some(VERSION) {
        return Err(StoreError::Unreadable("a stored value has a version that this build does not know"));
    }
    Ok(value)
}

/// Reads `{"version": 1, "mac": …, …value}`. `if_forged`: what is left of a value that is not ours.
pub(crate) async fn read<T: DeserializeOwned>(
    store: &impl KeyValue,
    key: &str,
    writer: Writer,
    if_forged: impl Fn(T) -> Option<T>,
) -> Result<Option<T>, StoreError> {
    let Some(bytes) = store.get(key).await? else { return Ok(None) };
    let mut value = parse(&bytes)?;
    let is_ours = store.seals().open(key, writer, &mut value);
    let value: T = serde_json::from_value(value)
        .map_err(|_| StoreError::Unreadable("a stored value does not have the fields of its version"))?;
    if is_ours {
        return Ok(Some(value));
    }
    store.forged(key);
    Ok(if_forged(value))
}

/// Writes what [`read`] reads.
pub(crate) async fn write(
    store: &impl KeyValue,
    key: &str,
    writer: Writer,
    value: &impl Serialize,
) -> Result<(), StoreError> {
    let mut value = serde_json::to_value(value).map_err(|_| StoreError::Failed("a value that is not JSON"))?;
    let object = value.as_object_mut().ok_or(StoreError::Failed("a value that is not a JSON object"))?;
    object.insert("version".to_owned(), VERSION.into());
    if !store.seals().seal(key, writer, &mut value) {
        return Err(StoreError::Failed("this component has no key for what it writes"));
    }
    store.set(key, value.to_string().as_bytes()).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{load, load_fact, save_fact};
    use crate::memory::{Memory, seals};
    use domain::deployment::samples::{at, id, request, user};
    use domain::deployment::{CancelFact, Fact};

    const CANCEL: &str = "deploy-bot/deployment/11111111111111111111111111111111/cancel";

    fn cancel() -> CancelFact {
        CancelFact { by: Some(user("U1")), at: at(1) }
    }

    #[test]
    fn a_value_has_the_version_of_this_build_and_may_have_fields_of_a_later_one() {
        let memory = Memory::default();
        memory.run(save_fact(&memory, &id('1'), &cancel())).unwrap();
        insta::assert_snapshot!(memory.text(CANCEL), @r#"{"at":1787301764000,"by":"U1","mac":"aa2b858aa41632125d77054183b9cb93b37e7b59f690add9ee96dc9c78149e32","version":1}"#);
        let mut later: Value = serde_json::from_str(&memory.text(CANCEL)).unwrap();
        later["moon"] = serde_json::json!({ "phase": 3 });
        assert!(seals("shared", "own").seal(CANCEL, CancelFact::WRITER, &mut later));
        memory.put(CANCEL, &later.to_string());
        assert_eq!(memory.run(load_fact(&memory, &id('1'))), Ok(Some(cancel())));
        assert_eq!(*memory.forged.borrow(), Vec::<String>::new());
    }

    #[test]
    fn a_value_that_this_build_does_not_know_is_an_error_and_left_alone() {
        let good = |memory: &Memory| {
            memory.run(save_fact(memory, &id('1'), &cancel())).unwrap();
            memory.text(CANCEL)
        };
        type Spoil = fn(&str) -> String;
        let spoil: [(&str, Spoil); 6] = [
            ("a later version", |good| good.replace(r#""version":1"#, r#""version":2"#)),
            ("no version", |good| good.replace(r#","version":1"#, "")),
            ("a version of another kind", |good| good.replace(r#""version":1"#, r#""version":"1""#)),
            ("a field is missing", |good| good.replace(r#""at":1787301764000,"#, "")),
            ("a name that is none", |good| good.replace("U1", "<!channel>")),
            ("not JSON", |good| good.replace('{', "")),
        ];
        let errors = spoil.map(|(why, spoil)| {
            let memory = Memory::default();
            let bad = spoil(&good(&memory));
            memory.put(CANCEL, &bad);
            let error = memory.run(load_fact::<CancelFact>(&memory, &id('1'))).unwrap_err();
            // All facts together are not half read either.
            assert_eq!(memory.run(load(&memory, &id('1'))), Err(error), "{why}");
            assert_eq!(memory.text(CANCEL), bad, "{why}");
            format!("{why}: {error}")
        });
        insta::assert_snapshot!(errors.join("\n"), @"
        a later version: a stored value has a version that this build does not know
        no version: a stored value has a version that this build does not know
        a version of another kind: a stored value has a version that this build does not know
        a field is missing: a stored value does not have the fields of its version
        a name that is none: a stored value does not have the fields of its version
        not JSON: a stored value is not JSON
        ");
    }

    #[test]
    fn the_same_click_writes_the_same_bytes() {
        let memory = Memory::default();
        memory.run(save_fact(&memory, &id('1'), &request())).unwrap();
        let first = memory.store.borrow().clone();
        memory.run(save_fact(&memory, &id('1'), &request())).unwrap();
        assert_eq!(*memory.store.borrow(), first);
    }
}
