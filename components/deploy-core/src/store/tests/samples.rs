//! What one release wrote, the next reads: a sample per set of fields that was ever in production, checked in as it was written.
//!
//! A sample is never edited. Whoever adds a field gives it a default, or this fails; a new release adds a sample beside the old ones.

use super::*;
use serde_json::Value;

/// The first release, before there was a conversation: only deploys.
const DEPLOYS: &str = include_str!("../samples/v1-deploys.json");
/// With buttons, approvals, locks and rollbacks.
const CONVERSATION: &str = include_str!("../samples/v1-conversation.json");

fn sample(text: &str) -> BTreeMap<String, Value> {
    serde_json::from_str(text).unwrap()
}

/// Reads a value as its key says, and writes it again.
fn again(key: &str, value: &Value) -> Value {
    fn as_a<T: Serialize + DeserializeOwned>(key: &str, value: &Value) -> Value {
        let read: T = decode(value.to_string().as_bytes()).unwrap_or_else(|error| panic!("{key}: {error}: {value}"));
        serde_json::from_slice(&encode(&read).unwrap()).unwrap()
    }
    let name = key.rsplit('/').next().unwrap();
    let read = match name {
        _ if key.starts_with("deploy-bot/push/") => as_a::<PushNote>,
        "managed" => as_a::<Managed>,
        "request" => as_a::<RequestFact>,
        "commit" => as_a::<CommitFact>,
        "committed" => as_a::<CommittedFact>,
        "end" => as_a::<EndFact>,
        "message" => as_a::<MessageFact>,
        "cancel" => as_a::<CancelFact>,
        "push" => as_a::<PushFact>,
        "watch" => as_a::<WatchFact>,
        "outcome" => as_a::<OutcomeFact>,
        "approvals" => as_a::<ApprovalsFact>,
        "changes" => as_a::<ChangesFact>,
        "github" => as_a::<GitHubFact>,
        "current" => as_a::<CurrentDeployment>,
        "live" => as_a::<LiveVersion>,
        "lock" => as_a::<TargetLock>,
        "locks" => as_a::<LockLog>,
        "history" | "early-ends" => as_a::<Ring>,
        "rolled-back" => as_a::<RolledBack>,
        "rewritten" => as_a::<BranchRewritten>,
        "catalog" => as_a::<CachedCatalog>,
        other => panic!("{other}: which type has it?"),
    };
    read(key, value)
}

/// Whether all that was said is still said. Nothing and null are the same.
fn keeps(old: &Value, new: &Value) -> bool {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            old.iter().all(|(name, value)| keeps(value, new.get(name).unwrap_or(&Value::Null)))
        }
        (Value::Array(old), Value::Array(new)) => {
            old.len() == new.len() && old.iter().zip(new).all(|(old, new)| keeps(old, new))
        }
        _ => old == new,
    }
}

fn is_read(text: &str) {
    for (key, value) in sample(text) {
        let read = again(&key, &value);
        assert!(keeps(&value, &read), "{key}: {value} was read as {read}");
        // A later release may add fields, and be rolled back.
        let mut later = value.clone();
        later["moon"] = serde_json::json!({ "phase": 3 });
        assert_eq!(again(&key, &later), read, "{key}");
        if let Some(refusal) = value["end"]["refused"]["refusal"].as_object() {
            let read: crate::refusal::Refusal = serde_json::from_value(Value::Object(refusal.clone())).unwrap();
            assert!(keeps(&value["end"]["refused"]["refusal"], &serde_json::to_value(read).unwrap()), "{key}");
        }
    }
}

#[test]
fn what_the_first_release_wrote_is_read() {
    is_read(DEPLOYS);
}

#[test]
fn what_the_release_with_a_conversation_wrote_is_read() {
    is_read(CONVERSATION);
}

#[test]
fn a_deployment_of_the_first_release_goes_on_as_it_was_meant() {
    let memory = Memory::default();
    for (key, value) in sample(DEPLOYS) {
        memory.put(&key, &value.to_string());
    }
    let facts = memory.run(load(&memory, &id('1'))).unwrap();
    assert_eq!(facts, deployed());
    let lock = memory.run(load_key(&memory, Lock(&application()))).unwrap();
    assert_eq!(lock, Some(TargetLock { at: Timestamp(0), ..lock_of_target() }));
}

#[test]
fn a_sample_has_every_fact_and_every_key() {
    let names = |text: &str| -> BTreeSet<String> {
        sample(text).keys().map(|key| key.rsplit('/').next().unwrap().to_owned()).collect()
    };
    let facts: BTreeSet<String> = FACTS.iter().map(|name| (*name).to_owned()).collect();
    let push = sha('e');
    let new = ["approvals", "changes", "github", "locks", "rolled-back", "managed", push.as_str()].map(str::to_owned);
    let app = application();
    let keys = [
        Current(&app).name(),
        Live(&app).name(),
        Lock(&app).name(),
        History(&app).name(),
        RolledBackVersions(&app).name(),
        Locks(&app).name(),
        Rewritten.name(),
        LockOfAll.name(),
        LocksOfAll.name(),
        CatalogCache.name(),
        EarlyEnds.name(),
        ManagedFiles.name(),
        Pushed(&push).name(),
    ];
    let all: BTreeSet<String> =
        facts.into_iter().chain(keys.iter().map(|key| key.rsplit('/').next().unwrap().to_owned())).collect();
    assert_eq!(names(CONVERSATION), all);
    assert_eq!(names(DEPLOYS), all.into_iter().filter(|name| !new.contains(name)).collect());
    assert!(keys.iter().all(|key| sample(CONVERSATION).contains_key(key)));
}

#[test]
fn a_field_that_went_away_or_came_without_a_default_is_noticed() {
    let old = serde_json::json!({ "version": 1, "id": id('1'), "sha": sha('d'), "by": "U1" });
    assert!(!keeps(&old, &again("live", &old)), "`by` is not read");
    let without = serde_json::json!({ "version": 1, "id": id('1') });
    assert!(decode::<LiveVersion>(without.to_string().as_bytes()).is_err(), "`sha` has no default");
    let null = serde_json::json!({ "version": 1, "by": "U1", "reason": "x", "until": null });
    assert!(keeps(&null, &again("lock", &null)));
}

/// What the deployment `1…` of the first sample is.
fn deployed() -> Facts {
    let rider = Rider { sha: sha('e'), who: "eve".to_owned(), headline: "Raise the limits".to_owned() };
    let digest = crate::image::Digest::parse(&format!("sha256:{}", "a".repeat(64))).unwrap();
    let voice = Voice {
        speaking: Some(at(1)),
        place: Some(place("1503435956.000247")),
        lost: Some("channel_not_found".to_owned()),
        told: Some(u64::MAX),
        told_end: true,
        called: false,
        replaced: true,
        unsure_posts: 2,
        unsure_edit: Some(at(2)),
        response_url_uses: 5,
    };
    let progress = Progress {
        synced: true,
        health: "Healthy".to_owned(),
        message: "successfully synced".to_owned(),
        resources: Some((7, 7)),
        retry: 1,
    };
    Facts {
        commit: Some(CommitFact {
            riders: Riders::Since { commits: vec![rider], more: true },
            digest: Some(digest),
            ..commit()
        }),
        message: Some(MessageFact(voice.clone())),
        cancel: Some(CancelFact { by: Some(user("U1")), at: at(1) }),
        watch: Some(WatchFact {
            asked: Some(at(5)),
            last_before: Some(at(1)),
            taken: true,
            waiting: Some(Waiting::SyncWindow),
            progress: Some(progress),
            degraded_before: true,
            degraded_since: Some(at(6)),
            degraded_seen: 2,
            ended_seen: Some(at(6)),
            refreshed: Some(at(7)),
            automated: true,
            voice,
        }),
        outcome: Some(OutcomeFact {
            at: at(8),
            word: LastWord::Live { paused: false, urls: vec!["https://checkout.acme.example".to_owned()] },
        }),
        ..relayed()
    }
}

fn lock_of_target() -> TargetLock {
    TargetLock { by: user("U1"), reason: "Load test".to_owned(), at: at(0), until: Some(at(3600)), rollback: false }
}
