//! The controllers of Kubernetes: what they do about an object now, and when they have to look again.

use std::collections::BTreeMap;

use serde_json::Value;

use super::chart::Id;
use super::cluster::{Cluster, Object, Set, hash};
use super::pod::Pod;
use super::rollout::Count;
use crate::Millis;

/// How long Kubernetes takes to sum up what became of a Job's Pods.
const JOB_NOTICED: Millis = 1000;
/// How long a volume takes to be bound.
pub(super) const BOUND: Millis = 300;
/// How often an autoscaler looks.
pub(super) const SCALED: Millis = 15_000;

/// Whether a Deployment gets on.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// Since when nothing got better.
    pub(super) since: Millis,
    pub(super) hash: String,
    /// It was all there once: the deadline does not count any more.
    pub(super) complete: bool,
    pub(super) exceeded: bool,
    pub(super) counts: Counts,
}

/// What a Deployment's status counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) replicas: usize,
    pub(super) updated: usize,
    pub(super) available: usize,
}

impl Cluster {
    /// One look of the controllers at an object; whether they did anything.
    pub(super) fn control(&mut self, now: Millis, object: &mut Object) -> bool {
        match object.manifest.id.kind.as_str() {
            "Deployment" => self.deployment(now, object),
            "Rollout" => self.canary(now, object),
            "StatefulSet" => self.stateful_set(now, object),
            "DaemonSet" => self.daemon_set(now, object),
            "Job" => self.job(now, object),
            "Pod" => self.bare_pod(now, object),
            _ => false,
        }
    }

    /// When a controller has something to do although nothing changes.
    pub(super) fn due(&self, now: Millis, object: &Object) -> Option<Millis> {
        let after = |at: Millis| (at > now).then_some(at);
        match object.manifest.id.kind.as_str() {
            "Deployment" if !object.progress.complete && !object.progress.exceeded => {
                after(object.progress.since + deadline(object))
            }
            "Rollout" => object.rollout.due(object.spec()).and_then(after),
            "PersistentVolumeClaim" => after(object.created + BOUND),
            "HorizontalPodAutoscaler" => after(object.created + SCALED),
            "Job" => self.job_due(object).and_then(after),
            _ => None,
        }
    }

    /// Those Pods of an object that were not told to go and are not over.
    pub(super) fn active(&self, now: Millis, id: &Id, hash: Option<&str>) -> Vec<usize> {
        let all = self.pods.iter().enumerate();
        let own =
            all.filter(|(_, pod)| pod.root == *id && pod.deleted.is_none() && hash.is_none_or(|hash| pod.hash == hash));
        own.filter(|(_, pod)| pod.seen(now).ended.is_none()).map(|(index, _)| index).collect()
    }

    /// How many Pods of a version there are, and how many are ready.
    pub(super) fn count(&self, now: Millis, id: &Id, hash: Option<&str>) -> Count {
        let active = self.active(now, id, hash);
        let ready = active.iter().filter(|index| self.pods[**index].seen(now).ready).count();
        Count { replicas: active.len(), available: ready }
    }

    /// Makes sure that there is a ReplicaSet of the template, and says its hash.
    fn newest(object: &mut Object) -> String {
        let template = object.spec()["template"].clone();
        let hash = hash(&template);
        let revision = object.sets.iter().map(|set| set.revision).max().unwrap_or(0);
        match object.sets.iter_mut().find(|set| set.hash == hash) {
            Some(set) if set.revision < revision => set.revision = revision + 1,
            Some(_) => {}
            None => object.sets.push(Set { hash: hash.clone(), template, replicas: 0, revision: revision + 1 }),
        }
        hash
    }

    fn deployment(&mut self, now: Millis, object: &mut Object) -> bool {
        let id = object.manifest.id.clone();
        let wanted = object.replicas();
        if object.spec()["paused"] == true {
            return self.scale(now, object);
        }
        let newest = Self::newest(object);
        if object.progress.hash != newest {
            object.progress = Progress { since: now, hash: newest.clone(), ..Progress::default() };
        }
        let strategy = object.spec()["strategy"].clone();
        let count = |hash: &str| self.count(now, &id, Some(hash));
        let total: usize = object.sets.iter().map(|set| set.replicas).sum();
        let new = object.sets.iter().find(|set| set.hash == newest).map_or(0, |set| set.replicas);
        if wanted == 0 {
            object.sets.iter_mut().for_each(|set| set.replicas = 0);
        } else if strategy["type"] == "Recreate" {
            let old_pods = self.pods.iter().any(|pod| pod.root == id && pod.hash != newest);
            for set in &mut object.sets {
                set.replicas = if set.hash == newest && !old_pods { wanted } else { 0 };
            }
        } else {
            let rolling = &strategy["rollingUpdate"];
            let surge = share(&rolling["maxSurge"], wanted, true);
            let mut missing = share(&rolling["maxUnavailable"], wanted, false);
            if surge == 0 && missing == 0 {
                missing = 1;
            }
            let grown = if total == new { wanted } else { wanted.min(new + (wanted + surge).saturating_sub(total)) };
            let unavailable = new.saturating_sub(count(&newest).available);
            let kept = wanted.saturating_sub(missing);
            let mut may_go = total.saturating_sub(kept + unavailable);
            // What is not ready goes first, then as many as are ready beyond what has to be there.
            for set in object.sets.iter_mut().filter(|set| set.hash != newest) {
                let unready = (set.replicas - count(&set.hash).available.min(set.replicas)).min(may_go);
                set.replicas -= unready;
                may_go -= unready;
            }
            let available: usize = object.sets.iter().map(|set| count(&set.hash).available.min(set.replicas)).sum();
            let mut may_go = may_go.min(available.saturating_sub(kept));
            for set in object.sets.iter_mut() {
                if set.hash == newest {
                    set.replicas = grown.max(new.min(wanted));
                } else {
                    let go = set.replicas.min(may_go);
                    set.replicas -= go;
                    may_go -= go;
                }
            }
        }
        let changed = self.scale(now, object);
        self.progress(now, object, &newest);
        changed
    }

    /// The Deployment controller's own idea of whether it gets on.
    fn progress(&self, now: Millis, object: &mut Object, newest: &str) {
        let wanted = object.replicas();
        let (all, new) =
            (self.count(now, &object.manifest.id, None), self.count(now, &object.manifest.id, Some(newest)));
        let counts = Counts { replicas: all.replicas, updated: new.replicas, available: all.available };
        let limit = deadline(object);
        let progress = &mut object.progress;
        let before = progress.counts;
        let olds = |counts: Counts| counts.replicas - counts.updated;
        let better =
            counts.updated > before.updated || olds(counts) < olds(before) || counts.available > before.available;
        progress.counts = counts;
        if counts == (Counts { replicas: wanted, updated: wanted, available: wanted }) {
            (progress.complete, progress.exceeded) = (true, false);
        } else if better {
            (progress.since, progress.exceeded) = (now, false);
        } else if !progress.complete && now >= progress.since + limit {
            progress.exceeded = true;
        }
    }

    /// The ReplicaSets: as many Pods as they shall have.
    pub(super) fn scale(&mut self, now: Millis, object: &mut Object) -> bool {
        let id = object.manifest.id.clone();
        let mut changed = false;
        for set in &object.sets {
            let mut active = self.active(now, &id, Some(&set.hash));
            let name = format!("{}-{}", id.name, set.hash);
            for _ in active.len()..set.replicas {
                let owner = Id::new("apps", "ReplicaSet", &name);
                self.create_pod(now, &format!("{name}-*"), Some(owner), &id, &set.hash, &set.template);
                changed = true;
            }
            // Those that are not ready go first, then the youngest.
            active
                .sort_by_key(|index| (self.pods[*index].seen(now).ready, std::cmp::Reverse(self.pods[*index].created)));
            let too_many = active.len().saturating_sub(set.replicas);
            for index in active.into_iter().take(too_many) {
                self.pods[index].deleted = Some(now);
                changed = true;
            }
        }
        // Kubernetes keeps ten versions to go back to.
        let excess = object.sets.len().saturating_sub(11);
        object.sets.drain(..excess);
        changed
    }

    fn stateful_set(&mut self, now: Millis, object: &mut Object) -> bool {
        let id = object.manifest.id.clone();
        let template = object.spec()["template"].clone();
        let newest = hash(&template);
        let ordered = object.spec()["podManagementPolicy"] != "Parallel";
        let wanted = object.replicas();
        let find = |pods: &[Pod], ordinal: usize| {
            let name = format!("{}-{ordinal}", id.name);
            pods.iter().position(|pod| pod.root == id && pod.name == name)
        };
        let mut changed = false;
        for ordinal in 0..wanted {
            match find(&self.pods, ordinal) {
                None => {
                    let name = format!("{}-{ordinal}", id.name);
                    self.create_pod(now, &name, Some(id.clone()), &id, &newest, &template);
                    changed = true;
                    if ordered {
                        return true;
                    }
                }
                // Nobody is touched before all of those before it are ready: a broken Pod stops everything.
                Some(index) if ordered && (self.pods[index].deleted.is_some() || !self.pods[index].seen(now).ready) => {
                    return changed;
                }
                Some(_) => {}
            }
        }
        let name = |pod: &Pod| pod.name.rsplit('-').next().and_then(|ordinal| ordinal.parse::<usize>().ok());
        let beyond =
            self.pods.iter_mut().filter(|pod| pod.root == id && name(pod).is_some_and(|ordinal| ordinal >= wanted));
        for pod in beyond.filter(|pod| pod.deleted.is_none()) {
            pod.deleted = Some(now);
            changed = true;
        }
        let strategy = &object.spec()["updateStrategy"];
        if strategy["type"] == "OnDelete" {
            return changed;
        }
        let partition = strategy["rollingUpdate"]["partition"].as_u64().unwrap_or(0) as usize;
        for ordinal in (partition..wanted).rev() {
            let Some(index) = find(&self.pods, ordinal) else { return changed };
            let ready = self.pods[index].seen(now).ready;
            let pod = &mut self.pods[index];
            if pod.hash != newest && pod.deleted.is_none() {
                pod.deleted = Some(now);
                return true;
            }
            if pod.deleted.is_some() || !ready {
                return changed;
            }
        }
        changed
    }

    fn daemon_set(&mut self, now: Millis, object: &mut Object) -> bool {
        let id = object.manifest.id.clone();
        let template = object.spec()["template"].clone();
        let newest = hash(&template);
        let Some(pod) = self.pods.iter_mut().find(|pod| pod.root == id) else {
            self.create_pod(now, &format!("{}-*", id.name), Some(id.clone()), &id, &newest, &template);
            return true;
        };
        let waits = object.spec()["updateStrategy"]["type"] == "OnDelete";
        if pod.hash != newest && pod.deleted.is_none() && !waits {
            pod.deleted = Some(now);
            return true;
        }
        false
    }

    fn bare_pod(&mut self, now: Millis, object: &mut Object) -> bool {
        let id = &object.manifest.id;
        if self.pods.iter().any(|pod| pod.root == *id) {
            return false;
        }
        let template = object.manifest.body.clone();
        self.create_pod(now, &id.name, None, id, "", &template);
        true
    }

    fn job(&mut self, now: Millis, object: &mut Object) -> bool {
        let id = object.manifest.id.clone();
        for pod in self.pods.iter().filter(|pod| pod.root == id) {
            let seen = pod.seen(now);
            let limit = back_off_limit(object) as u32;
            let given_up = pod.restart_policy() == "OnFailure" && seen.restarts >= limit.max(1);
            if let Some(well) = seen.ended.or_else(|| given_up.then_some(false)) {
                object.job.ended.entry(pod.name.clone()).or_insert((now, well));
            }
        }
        if object.job.done.is_some() {
            return self.clean_up(now, object);
        }
        let Some((at, done)) = self.outcome(object) else {
            if self.pods.iter().any(|pod| pod.root == id && !object.job.ended.contains_key(&pod.name)) {
                return false;
            }
            let again = self.job_due(object).unwrap_or(now);
            if object.spec()["suspend"] == true || again > now {
                return false;
            }
            let template = object.spec()["template"].clone();
            self.create_pod(now, &format!("{}-*", id.name), Some(id.clone()), &id, "", &template);
            return true;
        };
        if at > now {
            return false;
        }
        (object.job.done, object.job.done_at) = (Some(done), now);
        // What still runs is stopped; what ended by itself stays to be looked at.
        for pod in self.pods.iter_mut().filter(|pod| pod.root == id && pod.seen(now).ended.is_none()) {
            pod.deleted.get_or_insert(now);
        }
        true
    }

    /// A Job may say how long it stays when it is over.
    fn clean_up(&mut self, now: Millis, object: &mut Object) -> bool {
        if stays_until(object).is_none_or(|until| now < until) {
            return false;
        }
        object.deleted = Some(now);
        self.pods.iter_mut().filter(|pod| pod.root == object.manifest.id).for_each(|pod| pod.deleted = Some(now));
        true
    }

    /// How a Job ends, and when that is noticed.
    fn outcome(&self, object: &Object) -> Option<(Millis, (bool, &'static str))> {
        let ended = object.job.ended.values();
        if let Some((at, _)) = ended.clone().find(|(_, well)| *well) {
            return Some((at + JOB_NOTICED, (true, "Reached expected number of succeeded pods")));
        }
        let failed = ended.clone().count();
        let never = object.spec()["template"]["spec"]["restartPolicy"] != "OnFailure";
        let last = ended.map(|(at, _)| *at).max()?;
        (failed > back_off_limit(object) || !never)
            .then_some((last + JOB_NOTICED, (false, "Job has reached the specified backoff limit")))
    }

    fn job_due(&self, object: &Object) -> Option<Millis> {
        if object.job.done.is_some() {
            return stays_until(object);
        }
        let failed = object.job.ended.len() as u32;
        let last = object.job.ended.values().map(|(at, _)| *at).max()?;
        let again = last + (10_000 * 2_u64.saturating_pow(failed.saturating_sub(1))).min(600_000);
        Some(self.outcome(object).map_or(again, |(at, _)| at))
    }

    fn canary(&mut self, now: Millis, object: &mut Object) -> bool {
        let newest = Self::newest(object);
        let id = object.manifest.id.clone();
        let counts: BTreeMap<String, Count> =
            object.sets.iter().map(|set| (set.hash.clone(), self.count(now, &id, Some(&set.hash)))).collect();
        let spec = object.manifest.body["spec"].clone();
        let before = object.rollout.clone();
        let scale = object.rollout.decide(now, &spec, &newest, &counts);
        for set in &mut object.sets {
            set.replicas = scale.get(&set.hash).copied().unwrap_or(0);
        }
        let changed = self.scale(now, object);
        let counts = object.sets.iter().map(|set| (set.hash.clone(), self.count(now, &id, Some(&set.hash)))).collect();
        let revision = object.sets.iter().find(|set| set.hash == newest).map_or(0, |set| set.revision);
        object.rollout.report(now, &spec, (&id.name, revision), &counts);
        changed || before != object.rollout
    }
}

fn deadline(object: &Object) -> Millis {
    object.spec()["progressDeadlineSeconds"].as_u64().unwrap_or(600) * 1000
}

fn stays_until(object: &Object) -> Option<Millis> {
    let seconds = object.spec()["ttlSecondsAfterFinished"].as_u64()?;
    Some(object.job.done_at + seconds * 1000)
}

fn back_off_limit(object: &Object) -> usize {
    object.spec()["backoffLimit"].as_u64().unwrap_or(6) as usize
}

/// A number, or a percentage of the replicas; a quarter by default.
fn share(value: &Value, of: usize, up: bool) -> usize {
    if let Some(number) = value.as_u64() {
        return number as usize;
    }
    let percent =
        value.as_str().and_then(|text| text.strip_suffix('%')).and_then(|text| text.parse().ok()).unwrap_or(25);
    if up { (of * percent).div_ceil(100) } else { of * percent / 100 }
}
