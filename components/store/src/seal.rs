//! Whether a stored value is ours: each but the relay's carries a MAC, because whoever may write the store, or holds the
//! secrets of one component, must not be able to deploy in somebody's name.
//!
//! Easy to miss: a MAC shows neither that a value was deleted nor that an older value of the same key was put back. What
//! that gains is in `docs/security.md`.

use domain::deployment::Writer;
use domain::names::Secret;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use std::fmt::Write;

/// The field with the MAC.
const MAC: &str = "mac";

/// A key, and the key before while a secret is rotated.
#[derive(Clone)]
struct Keys {
    current: Secret,
    previous: Option<Secret>,
}

impl Keys {
    fn of(secret: &Secret, previous: Option<&Secret>) -> Self {
        Self { current: secret.clone(), previous: previous.cloned() }
    }
}

/// What this component seals with and checks by. A component without a key reads what is sealed with that key as a hint,
/// and cannot write it.
#[derive(Clone, Default)]
pub struct Seals {
    shared: Option<Keys>,
    alone: Option<Keys>,
}

impl Seals {
    /// `shared`: the key of slack-command and sync-poller, and the key before.
    pub fn shared(shared: &Secret, previous: Option<&Secret>) -> Self {
        Self { shared: Some(Keys::of(shared, previous)), alone: None }
    }

    /// With a secret that slack-command alone has.
    pub fn with_own(self, own: &Secret, previous: Option<&Secret>) -> Self {
        Self { alone: Some(Keys::of(own, previous)), ..self }
    }

    /// Whether what slack-command seals for itself can be checked.
    pub fn has_own(&self) -> bool {
        self.alone.is_some()
    }

    fn keys(&self, writer: Writer) -> Option<&Keys> {
        match writer {
            Writer::SlackCommandAlone => self.alone.as_ref(),
            Writer::SlackCommand | Writer::SyncPoller => self.shared.as_ref(),
            Writer::GithubRelay => None,
        }
    }

    /// Puts the MAC of a value in that goes under this key. False: this component has no key for what it writes.
    pub fn seal(&self, key: &str, writer: Writer, value: &mut Value) -> bool {
        if writer == Writer::GithubRelay {
            return true;
        }
        let (Some(keys), Value::Object(fields)) = (self.keys(writer), &mut *value) else { return false };
        fields.remove(MAC);
        let Some(mac) = mac(&keys.current, key, writer, value) else { return false };
        let mac = mac.finalize().into_bytes().iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}"); // writing to a String cannot fail
            text
        });
        if let Value::Object(fields) = value {
            fields.insert(MAC.to_owned(), mac.into());
        }
        true
    }

    /// Takes the MAC out, and says whether the value may be believed.
    pub(crate) fn open(&self, key: &str, writer: Writer, value: &mut Value) -> bool {
        let found = value.as_object_mut().and_then(|fields| fields.remove(MAC));
        let Some(keys) = self.keys(writer) else { return true };
        let Some(found) = found.as_ref().and_then(Value::as_str).and_then(bytes) else { return false };
        let mut keys = std::iter::once(&keys.current).chain(&keys.previous);
        keys.any(|secret| mac(secret, key, writer, value).is_some_and(|mac| mac.verify_slice(&found).is_ok()))
    }
}

/// Over what nobody may change: who wrote the value, under which key, and the value with its version.
fn mac(secret: &Secret, key: &str, writer: Writer, value: &Value) -> Option<Hmac<Sha256>> {
    let mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).ok()?;
    // The secret of slack-command also checks Slack's requests: the first word keeps the two kinds of text apart.
    let mac = mac.chain_update(b"stored\0").chain_update(format!("{writer:?}\0{key}\0"));
    Some(mac.chain_update(value.to_string()))
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.as_bytes();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let byte = |pair: &[u8]| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
    digits.chunks(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{load, load_fact, save_fact};
    use crate::key::{Current, CurrentDeployment, Lock, load_key, save_key};
    use crate::memory::{Memory, seals};
    use crate::seams::StoreError;
    use domain::deployment::samples::{application, at, cancelled, commit, committed, id, request, target_plan, user};
    use domain::deployment::{
        Approval, ApprovalsFact, CommitFact, End, EndFact, Fact, PushFact, RequestFact, WatchFact,
    };
    use domain::lock::TargetLock;
    use std::rc::Rc;

    const REQUEST: &str = "deploy-bot/deployment/11111111111111111111111111111111/request";

    /// From here on, this component reads and writes.
    fn enters(memory: &Memory, seals: Seals) {
        memory.seals.replace(Rc::new(seals));
    }

    fn poller() -> Seals {
        Seals::shared(&Secret::new("shared"), None)
    }

    fn read(memory: &Memory) -> Option<RequestFact> {
        memory.run(load_fact(memory, &id('1'))).unwrap()
    }

    #[test]
    fn what_permits_counts_only_as_it_was_written_where_it_was_written() {
        let good = || {
            let memory = Memory::default();
            memory.run(save_fact(&memory, &id('1'), &request())).unwrap();
            memory
        };
        assert_eq!(read(&good()), Some(request()));
        type Forge = fn(&Memory);
        let forge: [(&str, Forge); 5] = [
            ("another user", |memory| memory.put(REQUEST, &memory.text(REQUEST).replace("U2CERLKJA", "U0EVE"))),
            ("no MAC", |memory| {
                let mut value: Value = serde_json::from_str(&memory.text(REQUEST)).unwrap();
                value.as_object_mut().unwrap().remove(MAC).unwrap();
                memory.put(REQUEST, &value.to_string());
            }),
            ("one field more", |memory| memory.put(REQUEST, &memory.text(REQUEST).replacen('{', r#"{"moon":1,"#, 1))),
            ("another deployment's", |memory| {
                memory.run(save_fact(memory, &id('2'), &request())).unwrap();
                memory.put(REQUEST, &memory.text(&REQUEST.replace('1', "2")));
            }),
            ("by the key of both", |memory| {
                let mut value: Value = serde_json::from_str(&memory.text(REQUEST)).unwrap();
                assert!(seals("shared", "shared").seal(REQUEST, RequestFact::WRITER, &mut value));
                memory.put(REQUEST, &value.to_string());
            }),
        ];
        for (why, forge) in forge {
            let memory = good();
            forge(&memory);
            assert_eq!(read(&memory), None, "{why}");
            assert_eq!(*memory.forged.borrow(), [REQUEST], "{why}");
        }
    }

    #[test]
    fn what_forbids_stays_in_force() {
        let memory = Memory::default();
        enters(&memory, seals("another", "and its own"));
        let target = target_plan().target;
        let lock = TargetLock {
            by: user("U1"),
            reason: "Load test".to_owned(),
            at: at(0),
            until: None,
            rollback: false,
            itself: false,
        };
        let turn = CurrentDeployment { id: id('1'), target: target.clone(), over: None, last: None };
        let approval = |by| Approval { user: user(by), at: at(9), targets: Vec::new() };
        let said = ApprovalsFact { given: vec![approval("U7")], rejected: Some(approval("U8")) };
        memory.run(async {
            save_key(&memory, Lock(&target), &lock).await.unwrap();
            save_key(&memory, Current(&application()), &turn).await.unwrap();
            save_fact(&memory, &id('1'), &cancelled()).await.unwrap();
            save_fact(&memory, &id('1'), &said).await.unwrap();
            save_fact(&memory, &id('1'), &commit()).await.unwrap();
        });
        enters(&memory, seals("shared", "own"));
        memory.run(async {
            assert_eq!(load_key(&memory, Lock(&target)).await, Ok(Some(lock)));
            assert_eq!(load_key(&memory, Current(&application())).await, Ok(Some(turn)));
            let over = EndFact { end: End::Cancelled { by: None }, ..cancelled() };
            assert_eq!(load_fact::<EndFact>(&memory, &id('1')).await, Ok(Some(over)), "it is over");
            let heard = ApprovalsFact { given: Vec::new(), ..said };
            assert_eq!(load_fact(&memory, &id('1')).await, Ok(Some(heard)), "nobody has approved");
            assert_eq!(load_fact::<CommitFact>(&memory, &id('1')).await, Ok(None));
        });
        assert_eq!(memory.forged.borrow().len(), 5);
    }

    #[test]
    fn each_component_checks_what_it_can_and_writes_what_it_has_a_key_for() {
        let memory = Memory::default();
        memory.run(async {
            save_fact(&memory, &id('1'), &request()).await.unwrap();
            save_fact(&memory, &id('1'), &commit()).await.unwrap();
        });
        enters(&memory, poller());
        assert_eq!(read(&memory), Some(request()), "a hint");
        memory.run(save_fact(&memory, &id('1'), &WatchFact::default())).unwrap();
        assert!(matches!(memory.run(save_fact(&memory, &id('1'), &request())), Err(StoreError::Failed(_))));
        enters(&memory, Seals::default());
        assert_eq!(memory.run(load_fact(&memory, &id('1'))), Ok(Some(commit())), "a hint");
        let push = PushFact { delivery: String::new(), at: at(1) };
        memory.run(save_fact(&memory, &id('1'), &push)).unwrap();
        assert!(matches!(memory.run(save_fact(&memory, &id('1'), &commit())), Err(StoreError::Failed(_))));
        enters(&memory, seals("shared", "own"));
        assert_eq!(memory.run(load_fact(&memory, &id('1'))), Ok(Some(WatchFact::default())));
        assert_eq!(memory.run(load_fact(&memory, &id('1'))), Ok(Some(push)));
        assert_eq!(*memory.forged.borrow(), Vec::<String>::new());
    }

    /// sync-poller speaks to whom slack-command says, not to whom somebody wrote into the store.
    #[test]
    fn from_the_commit_on_the_request_is_the_one_that_was_committed() {
        let memory = Memory::default();
        let eves = RequestFact { user: user("U0EVE"), ..request() };
        memory.run(async {
            save_fact(&memory, &id('1'), &eves).await.unwrap();
            save_fact(&memory, &id('1'), &committed()).await.unwrap();
        });
        enters(&memory, poller());
        assert_eq!(memory.run(load(&memory, &id('1'))).unwrap().request, Some(request()));
        // After a rotation of its key, slack-command knows as much.
        enters(&memory, seals("shared", "another"));
        assert_eq!(memory.run(load(&memory, &id('1'))).unwrap().request, Some(request()));
    }

    /// Who has the key of both may write all that the poller may, and nothing that is done in somebody's name.
    #[test]
    fn by_the_key_of_both_nobody_writes_a_plan_or_what_is_approved() {
        let memory = Memory::default();
        memory.run(async {
            save_fact(&memory, &id('1'), &commit()).await.unwrap();
            save_fact(&memory, &id('1'), &cancelled()).await.unwrap();
        });
        for name in [CommitFact::NAME, EndFact::NAME] {
            let key = REQUEST.replace("request", name);
            let mut value: Value = serde_json::from_str(&memory.text(&key)).unwrap();
            assert!(seals("shared", "shared").seal(&key, CommitFact::WRITER, &mut value));
            memory.put(&key, &value.to_string());
        }
        let facts = memory.run(load(&memory, &id('1'))).unwrap();
        assert_eq!((facts.request, facts.commit), (None, None));
        assert_eq!(facts.end.map(|end| end.end), Some(End::Cancelled { by: None }));
    }

    #[test]
    fn a_key_is_rotated_without_losing_anything() {
        let memory = Memory::default();
        memory.run(save_fact(&memory, &id('1'), &request())).unwrap();
        let rotated = |previous: Option<&str>| {
            let previous = previous.map(Secret::new);
            Seals::shared(&Secret::new("shared"), None).with_own(&Secret::new("newer"), previous.as_ref())
        };
        enters(&memory, rotated(Some("own")));
        assert_eq!(read(&memory), Some(request()));
        enters(&memory, rotated(None));
        assert_eq!(read(&memory), None);
    }
}
