//! Rings: the last deployments of a target. What falls out of a ring is deleted with all its facts, so the
//! store stays bounded. Of a deployment that can change no more, the ring itself has what `history` and a rollback ask for.

use crate::facts::{forget, load_fact, load_past};
use crate::key::{BEGUN, COMMITTED, EARLY, EarlyEnds, History, Key, LIVE, OfSeveral, PREFIX, Ring, load_key, save_key};
use crate::kv::read;
use crate::lease::LeaseLost;
use crate::seams::{Clock, KeyValue, StoreError};
use domain::deployment::{
    ApprovalsFact, Became, CommittedFact, End, EndFact, Fact, Facts, Past, RequestFact, State, WaitFact,
};
use domain::message;
use domain::names::{DeploymentId, SlackUser, Target};
use futures::future::join_all;
use std::collections::BTreeSet;

/// Of how many deployments one person may wait at a target, for approval without pushing out their own.
pub const WAITING: usize = 5;

/// Adds an id to a ring, under the lease that guards the ring; `still_ours` checks the lease right before the
/// write. What falls out is deleted with all its facts. An id in `keep` is still named elsewhere (`current`,
/// `live`, `in-flight`) and stays.
pub async fn remember<K: Key<Value = Ring> + Copy>(
    store: &(impl KeyValue + Clock),
    key: K,
    id: &DeploymentId,
    keep: &[DeploymentId],
    still_ours: impl AsyncFnOnce() -> Result<(), LeaseLost>,
) -> Result<(), StoreError> {
    let mut ring = load_key(store, key).await?.unwrap_or_default();
    if ring.all().any(|known| known == id) {
        return Ok(());
    }
    let of_target = ![EarlyEnds.name(), OfSeveral.name()].contains(&key.name());
    if of_target {
        let unsettled = load_all(store, ring.unsettled()).await?;
        let settled = unsettled.into_iter().filter(|(_, facts)| facts.is_settled(store.now()));
        ring.past.extend(settled.filter_map(|(id, facts)| message::past(&id, &facts)));
    }
    ring.ids.push(id.clone());
    let mut forgotten = Vec::new();
    let newest = if of_target { BEGUN } else { EARLY };
    let mut excess = ring.ids.len().saturating_sub(newest);
    for old in ring.ids.clone() {
        if excess == 0 {
            break;
        }
        if old == *id || keep.contains(&old) || is_waiting(store, &ring, &old).await? {
            continue;
        }
        excess = excess.saturating_sub(1);
        ring.ids.retain(|other| *other != old);
        match ring.past(&old).map(|past| &past.became) {
            Some(Became::Version(_)) => {
                ring.committed.push(old);
                continue;
            }
            Some(Became::Nothing { .. } | Became::Unsaid) => {
                forgotten.push(old);
                continue;
            }
            None => {}
        }
        match load_fact::<CommittedFact>(store, &old).await {
            Ok(None) => forgotten.push(old),
            Ok(Some(_)) => ring.committed.push(old),
            // Of another version of ours, or spoiled: rather kept than lost.
            Err(error) if error.is_unreadable() => ring.committed.push(old),
            Err(error) => return Err(error),
        }
    }
    let live = were_live(&ring);
    let mut excess = ring.committed.len().saturating_sub(COMMITTED);
    ring.committed.retain(|old| {
        let forget = excess > 0 && !keep.contains(old) && !live.contains(old);
        if forget {
            excess = excess.saturating_sub(1);
            forgotten.push(old.clone());
        }
        !forget
    });
    ring.past.retain(|past| !forgotten.contains(&past.id));
    // Facts are deleted first: a crash in between leaves an id without facts, which the next call deletes
    // again, and never facts without an id.
    for old in &forgotten {
        forget(store, old).await?;
    }
    // Without the lease, this write could remove an id that another holder has added since, the only name of
    // its keys.
    still_ours().await?;
    save_key(store, key, &ring).await
}

/// The last that were live. Whatever fails after them, a rollback finds them.
fn were_live(ring: &Ring) -> Vec<DeploymentId> {
    let was_live = |id: &&DeploymentId| {
        let became = ring.past(id).map(|past| &past.became);
        matches!(became, Some(Became::Version(version)) if version.state == State::Live)
    };
    ring.committed.iter().rev().filter(was_live).take(LIVE).cloned().collect()
}

/// Whether a deployment waits for approvals, and is one of the last few of that person that do.
async fn is_waiting(store: &(impl KeyValue + Clock), ring: &Ring, id: &DeploymentId) -> Result<bool, StoreError> {
    if ring.past(id).is_some() {
        return Ok(false);
    }
    let Some(asker) = waits_for(store, id).await? else { return Ok(false) };
    let mut later = 0_usize;
    let after = ring.ids.iter().skip_while(|other| *other != id).skip(1);
    for other in after.filter(|other| ring.past(other).is_none()) {
        if waits_for(store, other).await?.as_ref() == Some(&asker) {
            later = later.saturating_add(1);
        }
    }
    Ok(later < WAITING)
}

/// Who asked for a deployment that waits for approvals.
async fn waits_for(store: &(impl KeyValue + Clock), id: &DeploymentId) -> Result<Option<SlackUser>, StoreError> {
    let end = if_readable::<EndFact>(store, id).await?;
    let Some(EndFact { end: End::Refused { refusal, .. }, .. }) = end else { return Ok(None) };
    let asker = async || Ok(if_readable::<RequestFact>(store, id).await?.map(|request| request.user));
    if let Some(wait) = if_readable::<WaitFact>(store, id).await? {
        return if wait.over.is_none() && store.now() < wait.until { asker().await } else { Ok(None) };
    }
    let Some(until) = refusal.read().and_then(|refusal| refusal.approved_until()) else { return Ok(None) };
    let approvals = if_readable::<ApprovalsFact>(store, id).await?;
    if store.now() >= until || approvals.is_some_and(|approvals| approvals.rejected.is_some()) {
        return Ok(None);
    }
    asker().await
}

/// What a [`Past`] is made of, of each of these; without those that another version of ours wrote.
async fn load_all(
    store: &impl KeyValue,
    ids: impl Iterator<Item = &DeploymentId>,
) -> Result<Vec<(DeploymentId, Facts)>, StoreError> {
    let all = join_all(ids.map(async |id| (id.clone(), load_past(store, id).await))).await;
    all.into_iter()
        .filter_map(|(id, facts)| match facts {
            Ok(facts) => Some(Ok((id, facts))),
            Err(error) if error.is_unreadable() => None,
            Err(error) => Some(Err(error)),
        })
        .collect()
}

/// What is known of the deployments of a target, newest first. `but`: the one that asks, of which nothing is past.
pub async fn past(store: &impl KeyValue, target: &Target, but: &DeploymentId) -> Result<Vec<Past>, StoreError> {
    let ring = load_key(store, History(target)).await?.unwrap_or_default();
    let unsettled = load_all(store, ring.unsettled().filter(|id| *id != but)).await?;
    let mut all = ring.past;
    all.extend(unsettled.iter().filter_map(|(id, facts)| message::past(id, facts)));
    all.sort_by_key(|past| std::cmp::Reverse(past.at));
    Ok(all)
}

/// One fact that cannot be read must not keep all later deployments from being remembered.
async fn if_readable<F: Fact>(store: &impl KeyValue, id: &DeploymentId) -> Result<Option<F>, StoreError> {
    match load_fact(store, id).await {
        Err(error) if error.is_unreadable() => Ok(None),
        loaded => loaded,
    }
}

/// The deployments that no ring names, because a late write of a ring removed them. Scans.
pub async fn strays(store: &impl KeyValue) -> Result<BTreeSet<DeploymentId>, StoreError> {
    let (mut strays, mut named) = (BTreeSet::new(), BTreeSet::new());
    for key in store.keys().await? {
        let Some(name) = key.strip_prefix(PREFIX) else { continue };
        if let Some(id) = name.strip_prefix("deployment/").and_then(|rest| rest.strip_suffix("/request")) {
            strays.extend(DeploymentId::parse(id).ok());
        } else if [EarlyEnds.name(), OfSeveral.name()].contains(&key)
            || (name.starts_with("target/") && name.ends_with("/history"))
        {
            let ring = read::<Ring>(store, &key, EarlyEnds::WRITER, EarlyEnds::if_forged).await?;
            named.extend(ring.unwrap_or_default().all().cloned());
        }
    }
    strays.retain(|id| !named.contains(id));
    Ok(strays)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::save_fact;
    use crate::key::History;
    use crate::memory::{Memory, numbered};
    use domain::deployment::OutcomeFact;
    use domain::deployment::samples::{at, cancelled, committed, id, live, request, target_plan, user};
    use domain::refusal::Refusal;

    /// Which deployments have facts.
    fn known(memory: &Memory) -> BTreeSet<usize> {
        (0..200).filter(|n| memory.has(&format!("deploy-bot/deployment/{}/request", numbered(*n)))).collect()
    }

    async fn begins(memory: &Memory, n: usize, keep: &[DeploymentId]) {
        let target = target_plan().target;
        save_fact(memory, &numbered(n), &request()).await.unwrap();
        remember(memory, History(&target), &numbered(n), keep, async || Ok(())).await.unwrap();
    }

    #[test]
    fn twenty_are_remembered_and_the_facts_of_what_falls_out_are_deleted() {
        let memory = Memory::default();
        memory.run(async {
            for n in 0..BEGUN {
                begins(&memory, n, &[]).await;
            }
            assert_eq!(known(&memory), (0..20).collect());
            // Again: nothing changes.
            begins(&memory, 0, &[]).await;
            begins(&memory, 19, &[]).await;
            assert_eq!(known(&memory), (0..20).collect());
            begins(&memory, 20, &[]).await;
            assert_eq!(known(&memory), (1..21).collect());
            // What `current`, `live` or `in-flight` name stays, and stays in the ring; the next oldest goes instead.
            let keep = [numbered(1), numbered(3)];
            begins(&memory, 21, &keep).await;
            begins(&memory, 22, &keep).await;
            assert_eq!(known(&memory), (5..23).chain([1, 3]).collect());
            let ring = load_key(&memory, History(&target_plan().target)).await.unwrap().unwrap();
            assert_eq!((ring.ids.len(), &ring.ids[..3]), (20, &[numbered(1), numbered(3), numbered(5)][..]));
            // Named no longer, they go as the others do.
            begins(&memory, 23, &[]).await;
            assert_eq!(known(&memory), (5..24).chain([3]).collect());
        });
        assert_eq!(memory.scans.get(), 0);
    }

    #[test]
    fn what_came_to_nothing_pushes_nothing_out_that_was_committed() {
        let memory = Memory::default();
        let deploys = async |n: usize| {
            begins(&memory, n, &[]).await;
            save_fact(&memory, &numbered(n), &committed()).await.unwrap();
        };
        memory.run(async {
            for n in 0..60 {
                deploys(n).await;
            }
            assert_eq!(known(&memory), (0..60).collect());
            for n in 60..160 {
                begins(&memory, n, &[]).await;
            }
            // The last twenty, and before them fifty that were committed.
            assert_eq!(known(&memory), (10..60).chain(140..160).collect());
            let ring = load_key(&memory, History(&target_plan().target)).await.unwrap().unwrap();
            assert_eq!((ring.committed.len(), ring.ids.len()), (COMMITTED, BEGUN));
        });
    }

    async fn goes_live(memory: &Memory, n: usize) {
        begins(memory, n, &[]).await;
        save_fact(memory, &numbered(n), &committed()).await.unwrap();
        let outcome = OutcomeFact { at: at(60), word: live(), application: None };
        save_fact(memory, &numbered(n), &outcome).await.unwrap();
    }

    fn ring(memory: &Memory) -> Ring {
        memory.run(load_key(memory, History(&target_plan().target))).unwrap().unwrap()
    }

    #[test]
    fn what_failed_after_its_commit_pushes_out_nothing_that_was_live() {
        let memory = Memory::default();
        memory.run(async {
            for n in 0..30 {
                goes_live(&memory, n).await;
            }
            for n in 30..130 {
                begins(&memory, n, &[]).await;
                save_fact(&memory, &numbered(n), &committed()).await.unwrap();
            }
        });
        // Of thirty that were live the last twenty, and thirty that failed, before the last twenty of all.
        assert_eq!(known(&memory), (10..30).chain(80..130).collect());
    }

    /// How many values are read for what is past.
    fn reads(memory: &Memory) -> (u32, Vec<Past>) {
        memory.gets.set(0);
        let past = memory.run(past(memory, &target_plan().target, &id('f'))).unwrap();
        (memory.gets.get(), past)
    }

    #[test]
    fn what_is_past_is_one_read_and_those_of_what_can_still_change() {
        let memory = Memory::default();
        memory.run(async {
            for n in 0..100 {
                goes_live(&memory, n).await;
            }
            begins(&memory, 100, &[]).await;
        });
        let (gets, all) = reads(&memory);
        assert_eq!((gets, all.len()), (1 + 6, BEGUN + COMMITTED));
        let live = all.iter().filter_map(Past::version).filter(|version| version.state == State::Live);
        assert_eq!(live.count(), all.len() - 1);
        let ring = ring(&memory);
        assert_eq!(ring.unsettled().collect::<Vec<_>>(), [&numbered(100)]);
        // What falls out of the ring is forgotten in the ring, too.
        assert_eq!((ring.past.len(), ring.past(&numbered(30))), (all.len() - 1, None));
        // A deploy reads little: its ring, what the one before became, and nothing of what the ring knows.
        let before = memory.gets.get();
        memory.run(goes_live(&memory, 101));
        assert_eq!(memory.gets.get() - before, 1 + 6);
    }

    #[test]
    fn only_what_is_ours_and_can_change_no_more_becomes_past() {
        let target = target_plan().target;
        let spoilt = |n: usize, fact: &str, spoil: fn(String) -> String| {
            let memory = Memory::default();
            memory.run(goes_live(&memory, n));
            let key = format!("deploy-bot/deployment/{}/{fact}", numbered(n));
            memory.put(&key, &spoil(memory.text(&key)));
            memory.run(begins(&memory, n + 1, &[]));
            ring(&memory).past
        };
        assert_eq!(spoilt(0, "committed", |good| good).len(), 1);
        assert_eq!(spoilt(0, "committed", |good| good.replace("main-1234567", "main-6666666")), []);
        assert_eq!(spoilt(0, "outcome", |good| good.replace("runs", "applied")), []);
        assert_eq!(spoilt(0, "outcome", |good| good.replace(r#""version":1"#, r#""version":2"#)), []);

        // What ends without a commit is past when none can land any more; a forged end is none.
        let memory = Memory::default();
        memory.run(async {
            begins(&memory, 0, &[]).await;
            begins(&memory, 1, &[]).await;
            save_fact(&memory, &numbered(0), &cancelled()).await.unwrap();
            save_fact(&memory, &numbered(1), &cancelled()).await.unwrap();
        });
        let forged = format!("deploy-bot/deployment/{}/end", numbered(1));
        memory.put(&forged, &memory.text(&forged).replace("U1", "U0EVE"));
        memory.pass(500);
        memory.run(begins(&memory, 2, &[]));
        assert_eq!(ring(&memory).past, []);
        memory.pass(500);
        memory.run(begins(&memory, 3, &[]));
        let ids: Vec<_> = ring(&memory).past.into_iter().map(|past| past.id).collect();
        assert_eq!(ids, [numbered(0)]);

        // What the ring knows counts, whatever becomes of the facts; what somebody writes into the ring does not.
        let memory = Memory::default();
        memory.run(async {
            goes_live(&memory, 0).await;
            begins(&memory, 1, &[]).await;
            forget(&memory, &numbered(0)).await.unwrap();
        });
        assert_eq!(reads(&memory).1.len(), 2);
        let name = History(&target).name();
        memory.put(&name, &memory.text(&name).replace("main-1234567", "main-6666666"));
        assert_eq!(reads(&memory).1, []);
    }

    #[test]
    fn nobody_pushes_out_what_others_wait_for_and_a_person_keeps_five() {
        let memory = Memory::default();
        let waits = async |n: usize, who: &str| {
            begins(&memory, n, &[]).await;
            let refusal = Refusal::NeedsApproval {
                target: Box::new(target_plan().target),
                head: None,
                tag: target_plan().tag,
                count: 2,
                users: Box::default(),
                groups: Box::default(),
                reviewed: Box::default(),
                until: at(1000),
                about: Box::default(),
            };
            let end = EndFact {
                at: at(9),
                end: End::Refused { refusal: (&refusal).into(), plans: Vec::new() },
                contact: None,
                catalog: None,
            };
            save_fact(&memory, &numbered(n), &RequestFact { user: user(who), ..request() }).await.unwrap();
            save_fact(&memory, &numbered(n), &end).await.unwrap();
        };
        memory.run(async {
            waits(0, "U1").await;
            for n in 1..100 {
                waits(n, "U0EVE").await;
            }
            assert_eq!(known(&memory), (81..100).chain([0]).collect());
            // Those that no longer wait go as others do.
            for n in 100..120 {
                begins(&memory, n, &[]).await;
            }
            assert_eq!(known(&memory), (106..120).chain(95..100).chain([0]).collect());
            memory.pass(2000);
            begins(&memory, 120, &[]).await;
            assert_eq!(known(&memory), (106..121).chain(95..100).collect());
        });
    }

    #[test]
    fn a_fact_that_cannot_be_read_keeps_no_later_deployment_from_being_remembered() {
        let memory = Memory::default();
        let spoils = |n: usize, fact: &str| {
            memory.put(&format!("deploy-bot/deployment/{}/{fact}", numbered(n)), r#"{"version":2}"#);
        };
        memory.run(async {
            for n in 0..BEGUN {
                begins(&memory, n, &[]).await;
            }
            spoils(0, "committed");
            spoils(1, "end");
            for n in BEGUN..2 * BEGUN {
                begins(&memory, n, &[]).await;
            }
        });
        // What may have been committed is kept.
        assert_eq!(known(&memory), (BEGUN..2 * BEGUN).chain([0]).collect());
    }

    #[test]
    fn a_ring_of_which_everything_is_named_grows_rather_than_lose_anything() {
        let memory = Memory::default();
        let all: Vec<DeploymentId> = (0..60).map(numbered).collect();
        for id in &all {
            memory.run(remember(&memory, EarlyEnds, id, &all, async || Ok(()))).unwrap();
        }
        assert_eq!(memory.run(load_key(&memory, EarlyEnds)).unwrap().unwrap().ids, all);
        memory.run(remember(&memory, EarlyEnds, &numbered(60), &[], async || Ok(()))).unwrap();
        assert_eq!(memory.run(load_key(&memory, EarlyEnds)).unwrap().unwrap().ids.len(), EARLY);
    }

    #[test]
    fn a_ring_of_another_version_is_left_alone() {
        let memory = Memory::default();
        memory.put("deploy-bot/early-ends", r#"{"version":2,"ids":[]}"#);
        assert!(memory.run(remember(&memory, EarlyEnds, &id('1'), &[], async || Ok(()))).is_err());
        assert_eq!(memory.text("deploy-bot/early-ends"), r#"{"version":2,"ids":[]}"#);
    }

    #[test]
    fn whoever_fell_out_of_a_ring_by_a_late_write_is_found() {
        let memory = Memory::default();
        for n in 1..=4 {
            memory.run(save_fact(&memory, &numbered(n), &request())).unwrap();
        }
        memory.run(save_fact(&memory, &numbered(5), &cancelled())).unwrap();
        let app = target_plan().target;
        let remember = |n: usize| memory.run(remember(&memory, History(&app), &numbered(n), &[], async || Ok(())));
        remember(1).unwrap();
        let before = memory.text(&History(&app).name());
        remember(2).unwrap();
        memory.put(&History(&app).name(), &before);
        memory.run(super::remember(&memory, EarlyEnds, &numbered(3), &[], async || Ok(()))).unwrap();
        assert_eq!(memory.run(strays(&memory)), Ok(BTreeSet::from([numbered(2), numbered(4)])));
    }
}
