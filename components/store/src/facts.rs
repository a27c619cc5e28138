//! The facts of a deployment: one key each.

use crate::key::PREFIX;
use crate::kv::{read, write};
use crate::seams::{KeyValue, StoreError, WRITE_TIMEOUT};
use domain::deployment::{CommittedFact, EndFact, Fact, Facts, RequestFact};
use domain::names::DeploymentId;
use domain::time::Timestamp;
use futures::try_join;

fn fact_key(id: &DeploymentId, name: &str) -> String {
    format!("{PREFIX}deployment/{id}/{name}")
}

pub async fn load_fact<F: Fact>(store: &impl KeyValue, id: &DeploymentId) -> Result<Option<F>, StoreError> {
    read(store, &fact_key(id, F::NAME), F::WRITER, F::if_forged).await
}

/// Writes one fact. Only its own role may.
pub async fn save_fact<F: Fact>(store: &impl KeyValue, id: &DeploymentId, fact: &F) -> Result<(), StoreError> {
    write(store, &fact_key(id, F::NAME), F::WRITER, fact).await
}

/// Deletes one fact, which nobody may need any more.
pub(crate) async fn delete_fact<F: Fact>(store: &impl KeyValue, id: &DeploymentId) -> Result<(), StoreError> {
    store.delete(&fact_key(id, F::NAME)).await
}

/// Reads all facts of a deployment, at the same time.
pub async fn load(store: &impl KeyValue, id: &DeploymentId) -> Result<Facts, StoreError> {
    let (request, commit, committed, end, message, cancel, push, watch, outcome, approvals, changes, stop, wait) = try_join!(
        load_fact(store, id),
        load_fact(store, id),
        load_fact(store, id),
        load_fact(store, id),
        load_fact(store, id),
        load_fact(store, id),
        load_fact(store, id),
        load_fact(store, id),
        load_fact(store, id),
        load_fact(store, id),
        load_fact(store, id),
        load_fact(store, id),
        load_fact(store, id),
    )?;
    let committed_of = committed.as_ref().map(|committed: &CommittedFact| (*committed.commit).clone());
    let commit = committed_of.or(commit);
    // Who cannot check the request believes the copy that was committed. After a rotation of the key, slack-command does.
    let copied = commit.as_ref().and_then(|commit| commit.request.read());
    let request = if store.seals().has_own() { request.or(copied) } else { copied.or(request) };
    Ok(Facts { request, commit, committed, end, message, cancel, push, watch, outcome, approvals, changes, stop, wait })
}

/// Reads one fact, unless it is not ours.
async fn load_ours<F: Fact>(store: &impl KeyValue, id: &DeploymentId) -> Result<Option<F>, StoreError> {
    read(store, &fact_key(id, F::NAME), F::WRITER, |_| None).await
}

/// Reads what a [`Past`](domain::deployment::Past) is made of: three facts, and three more of a deployment without a
/// commit. Only what is ours counts, because a rollback believes what is made of it.
pub(crate) async fn load_past(store: &impl KeyValue, id: &DeploymentId) -> Result<Facts, StoreError> {
    let (committed, outcome, end) =
        try_join!(load_ours::<CommittedFact>(store, id), load_ours(store, id), load_ours::<EndFact>(store, id))?;
    let commit = committed.as_ref().map(|committed| (*committed.commit).clone());
    let copied = commit.as_ref().and_then(|commit| commit.request.read());
    let (request, approvals, wait) = match copied {
        Some(request) => (Some(request), None, None),
        None => try_join!(load_ours::<RequestFact>(store, id), load_ours(store, id), load_ours(store, id))?,
    };
    Ok(Facts { request, commit, committed, end, outcome, approvals, wait, ..Facts::default() })
}

/// The names of all facts. `github`, `look` and `response-url` are not among [`Facts`]: nothing is decided by them.
pub(crate) const FACTS: [&str; 16] = [
    "request",
    "commit",
    "committed",
    "end",
    "message",
    "cancel",
    "push",
    "watch",
    "outcome",
    "approvals",
    "changes",
    "stop",
    "wait",
    "github",
    "look",
    "response-url",
];

/// Whether these facts are the rest of a request that was not accepted. The write of the request may still
/// land for a while. Until then the fact `cancel` stays: nothing else keeps such a request from being
/// carried out.
pub fn is_left_over(facts: &Facts, now: Timestamp) -> bool {
    facts.request.is_none() && facts.cancel.as_ref().is_none_or(|cancel| now.since(cancel.at) > WRITE_TIMEOUT)
}

/// Deletes all facts of a deployment that nobody names any more.
pub async fn forget(store: &impl KeyValue, id: &DeploymentId) -> Result<(), StoreError> {
    store.delete(&fact_key(id, RequestFact::NAME)).await?;
    forget_left_over(store, id).await
}

/// Deletes all facts but `request`, which was absent: the same button may be pressed again meanwhile.
pub async fn forget_left_over(store: &impl KeyValue, id: &DeploymentId) -> Result<(), StoreError> {
    for name in FACTS.iter().filter(|name| **name != RequestFact::NAME) {
        store.delete(&fact_key(id, name)).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
