//! The controller of Argo Rollouts: a canary by the number of Pods, with weights and pauses. It is the same as in `tests/argocd/rollouts`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::clock::duration;
use super::script::Health;
use crate::Millis;

/// How many Pods of a version there are, and how many of them are ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) replicas: usize,
    pub(super) available: usize,
}

/// The status of a Rollout.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rollout {
    hash: String,
    stable: String,
    step: usize,
    /// Since when it is at a pause; `None` in a pause that somebody ended.
    paused: Option<Millis>,
    pausing: bool,
    aborted: bool,
    phase: Health,
    message: String,
    /// Since when nothing changed.
    since: Millis,
    counts: (usize, usize, usize),
}

type Counts = BTreeMap<String, Count>;

impl Rollout {
    /// How many Pods each version shall have now.
    pub(super) fn decide(
        &mut self,
        now: Millis,
        spec: &Value,
        newest: &str,
        counts: &Counts,
    ) -> BTreeMap<String, usize> {
        let all = replicas(spec);
        let mut scale = BTreeMap::new();
        if self.hash != newest {
            let stable = std::mem::take(&mut self.stable);
            *self = Self { hash: newest.to_owned(), stable, since: now, ..Self::default() };
        }
        let available = counts.get(newest).map_or(0, |count| count.available);
        if self.stable.is_empty() || self.stable == newest {
            scale.insert(newest.to_owned(), all);
            self.finish_when_there(available, all);
            return scale;
        }
        if self.aborted {
            scale.insert(self.stable.clone(), all);
            return scale;
        }
        let steps = steps(spec);
        while let Some(step) = steps.get(self.step) {
            let weight = steps[..=self.step].iter().rev().find_map(|step| step["setWeight"].as_u64()).unwrap_or(0);
            let share = (all * weight as usize).div_ceil(100);
            scale.insert(newest.to_owned(), share);
            scale.insert(self.stable.clone(), all - share.min(all));
            let goes_on = match step {
                _ if spec["paused"] == true => false,
                step if step["setWeight"].is_u64() => available >= share,
                step if !step["pause"].is_null() => self.pause_is_over(now, &step["pause"]),
                _ => true,
            };
            if !goes_on {
                return scale;
            }
            self.step += 1;
        }
        scale.insert(newest.to_owned(), all);
        scale.insert(self.stable.clone(), all - all.min(available));
        self.finish_when_there(available, all);
        scale
    }

    fn finish_when_there(&mut self, available: usize, all: usize) {
        if available >= all {
            self.stable = self.hash.clone();
            (self.paused, self.pausing, self.aborted) = (None, false, false);
        }
    }

    fn pause_is_over(&mut self, now: Millis, pause: &Value) -> bool {
        if !self.pausing {
            (self.pausing, self.paused) = (true, Some(now));
        }
        let over = self.paused.is_none_or(|since| length(pause).is_some_and(|length| now >= since + length));
        if over {
            (self.paused, self.pausing) = (None, false);
        }
        over
    }

    /// Names the phase in Argo Rollouts' own words.
    pub(super) fn report(&mut self, now: Millis, spec: &Value, (name, revision): (&str, u64), counts: &Counts) {
        let all = replicas(spec);
        let new = counts.get(&self.hash).copied().unwrap_or_default();
        let replicas: usize = counts.values().map(|count| count.replicas).sum();
        let available: usize = counts.values().map(|count| count.available).sum();
        let aborted = format!("RolloutAborted: Rollout aborted update to revision {revision}");
        let (phase, message) = if spec["paused"] == true {
            (Health::Suspended, "manually paused")
        } else if self.paused.is_some() {
            (Health::Suspended, "CanaryPauseStep")
        } else if self.aborted {
            (Health::Degraded, aborted.as_str())
        } else if new.replicas < all {
            (Health::Progressing, "more replicas need to be updated")
        } else if new.available < new.replicas {
            (Health::Progressing, "updated replicas are still becoming available")
        } else if replicas > new.replicas {
            (Health::Progressing, "old replicas are pending termination")
        } else if self.stable != self.hash {
            (Health::Progressing, "waiting for all steps to complete")
        } else {
            (Health::Healthy, "")
        };
        let counts = (replicas, new.replicas, available);
        if counts != self.counts || phase != Health::Progressing {
            (self.counts, self.since) = (counts, now);
        }
        (self.phase, self.message) = (phase, message.to_owned());
        if phase == Health::Progressing && now >= self.since + deadline(spec) {
            self.phase = Health::Degraded;
            self.message =
                format!("ProgressDeadlineExceeded: ReplicaSet \"{name}-{}\" has timed out progressing.", self.hash);
        }
    }

    pub(super) fn health(&self) -> (Health, String) {
        (self.phase, self.message.clone())
    }

    /// When time alone changes something.
    pub(super) fn due(&self, spec: &Value) -> Option<Millis> {
        if let Some(since) = self.paused {
            return length(&steps(spec).get(self.step)?["pause"]).map(|length| since + length);
        }
        (self.phase == Health::Progressing).then_some(self.since + deadline(spec))
    }

    /// Somebody ends the pause.
    pub(super) fn resume(&mut self) {
        self.paused = None;
    }

    /// Somebody gives the new version up.
    pub(super) fn abort(&mut self) {
        (self.aborted, self.paused, self.pausing) = (true, None, false);
    }
}

fn replicas(spec: &Value) -> usize {
    spec["replicas"].as_u64().unwrap_or(1) as usize
}

fn steps(spec: &Value) -> &[Value] {
    spec["strategy"]["canary"]["steps"].as_array().map_or(&[], Vec::as_slice)
}

fn deadline(spec: &Value) -> Millis {
    spec["progressDeadlineSeconds"].as_u64().unwrap_or(600) * 1000
}

/// How long a pause is; `None`: until somebody ends it.
fn length(pause: &Value) -> Option<Millis> {
    match &pause["duration"] {
        Value::Number(seconds) => seconds.as_u64().map(|seconds| seconds * 1000),
        Value::String(text) => duration(text),
        _ => None,
    }
}
