//! The format of a value in the key-value store.

use crate::seams::{KeyValue, StoreError};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The format of values that this build writes, and the only one that it reads.
const VERSION: u64 = 1;

/// Writes `{"version": 1, …value}`.
fn encode(value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    let mut value = serde_json::to_value(value).map_err(|_| StoreError::Failed("a value that is not JSON"))?;
    let object = value.as_object_mut().ok_or(StoreError::Failed("a value that is not a JSON object"))?;
    object.insert("version".to_owned(), VERSION.into());
    serde_json::to_vec(&value).map_err(|_| StoreError::Failed("a value that is not JSON"))
}

/// Another version is an error, so that nobody overwrites the key.
fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    let value: serde_json::Value =
        serde_json::from_slice(bytes).map_err(|_| StoreError::Unreadable("a stored value is not JSON"))?;
    if value.get("version").and_then(serde_json::Value::as_u64) != Some(VERSION) {
        return Err(StoreError::Unreadable("a stored value has a version that this build does not know"));
    }
    serde_json::from_value(value)
        .map_err(|_| StoreError::Unreadable("a stored value does not have the fields of its version"))
}

pub(crate) async fn read<T: DeserializeOwned>(store: &impl KeyValue, key: &str) -> Result<Option<T>, StoreError> {
    store.get(key).await?.map(|bytes| decode(&bytes)).transpose()
}

pub(crate) async fn write(store: &impl KeyValue, key: &str, value: &impl Serialize) -> Result<(), StoreError> {
    store.set(key, &encode(value)?).await
}

#[cfg(test)]
mod tests {
    use crate::facts::{load, load_fact, save_fact};
    use crate::memory::Memory;
    use domain::deployment::CancelFact;
    use domain::deployment::samples::{at, id, request, user};

    const CANCEL: &str = "deploy-bot/deployment/11111111111111111111111111111111/cancel";

    fn cancel() -> CancelFact {
        CancelFact { by: Some(user("U1")), at: at(1) }
    }

    #[test]
    fn a_value_has_the_version_of_this_build_and_may_have_fields_of_a_later_one() {
        let memory = Memory::default();
        memory.run(save_fact(&memory, &id('1'), &cancel())).unwrap();
        insta::assert_snapshot!(memory.text(CANCEL), @r#"{"at":1787301764000,"by":"U1","version":1}"#);
        memory.put(CANCEL, &memory.text(CANCEL).replacen('{', r#"{"moon": {"phase": 3}, "#, 1));
        assert_eq!(memory.run(load_fact(&memory, &id('1'))), Ok(Some(cancel())));
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
