//! One Pod, on paper: what a kubelet would say of it at any time, by its causes. It is the same as in `tests/argocd/paper`.

use serde_json::Value;

use super::chart::{Id, images_of};
use super::clock::duration;
use super::script::Health;
use crate::Millis;

/// How a kubelet waits between two tries: 10 s, doubled each time up to 5 minutes.
const FIRST_BACK_OFF: Millis = 10_000;
const LONG_BACK_OFF: Millis = 300_000;
/// How long a kubelet shows the failure itself before it says that it waits.
const SHOWN: Millis = 1000;
/// A turn that does not come: an init container before it hangs.
const NEVER: Millis = Millis::MAX;

/// What is the matter with a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    None,
    CannotPull,
    Crash,
    OutOfMemory,
    Hang,
    Unschedulable,
    Slow,
}

const CAUSES: [(&str, Cause); 7] = [
    ("cannot-pull", Cause::CannotPull),
    ("crash", Cause::Crash),
    ("out-of-memory", Cause::OutOfMemory),
    ("hang", Cause::Hang),
    ("unschedulable", Cause::Unschedulable),
    ("slow", Cause::Slow),
    ("none", Cause::None),
];

/// A Pod. Its status is a function of the time.
#[derive(Clone, Debug)]
pub(super) struct Pod {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) uid: String,
    /// The object in the tree that owns it, and the one in Git that it comes from.
    pub(super) owner: Option<Id>,
    pub(super) root: Id,
    /// Which template it was made from.
    pub(super) hash: String,
    pub(super) template: Value,
    pub(super) created: Millis,
    /// When it was told to go.
    pub(super) deleted: Option<Millis>,
    /// How long Pods take by default.
    pub(super) usual: Millis,
}

/// What is seen of a Pod at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// `Status Reason`.
    pub(super) reason: String,
    pub(super) health: Health,
    pub(super) message: String,
    pub(super) ready: bool,
    pub(super) ready_containers: usize,
    pub(super) containers: usize,
    pub(super) restarts: u32,
    /// Whether it is over, and whether it ended well.
    pub(super) ended: Option<bool>,
    pub(super) bound: bool,
    /// When something of this changes by itself.
    pub(super) next: Option<Millis>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Now {
    Waiting(&'static str, String),
    Running,
    Exited(u8, &'static str),
}

/// When something changes in the life of a container, counted from the Pod's start.
#[derive(Clone, Debug)]
struct Moment {
    at: Millis,
    now: Now,
    exited_before: bool,
    restarts: u32,
    ready: bool,
}

/// What decides the life of a container.
struct Process<'a> {
    name: &'a str,
    image: &'a str,
    pod: String,
    cause: Cause,
    begins: Millis,
    takes: Millis,
    lasts: Millis,
    ends: bool,
    init: bool,
    restarts: &'a str,
}

impl Pod {
    pub(super) fn images(&self) -> Vec<String> {
        images_of(&self.template)
    }

    fn annotation(&self, name: &str) -> &str {
        self.template["metadata"]["annotations"][name].as_str().unwrap_or_default()
    }

    fn time(&self, name: &str, otherwise: Millis) -> Millis {
        let text = self.annotation(name);
        // Go's durations have a unit.
        let unit = text.ends_with(|c: char| c.is_ascii_alphabetic());
        duration(text).filter(|_| unit).unwrap_or(otherwise)
    }

    pub(super) fn restart_policy(&self) -> &str {
        self.template["spec"]["restartPolicy"].as_str().unwrap_or("Always")
    }

    /// What is the matter with one of its containers.
    fn cause(&self, container: &Value) -> Cause {
        let (named, only) = (self.annotation("paper/cause"), self.annotation("paper/container"));
        if !named.is_empty() && (only.is_empty() || container["name"] == only) {
            return CAUSES.iter().find(|(name, _)| *name == named).map_or(Cause::None, |(_, cause)| *cause);
        }
        let image = container["image"].as_str().unwrap_or_default();
        let last = image.rsplit('/').next().unwrap_or_default();
        let found = CAUSES.iter().filter(|(name, _)| *name != "none").find(|(name, _)| last.contains(name));
        found.map_or(Cause::None, |(_, cause)| *cause)
    }

    fn containers(&self, kind: &str) -> &[Value] {
        self.template["spec"][kind].as_array().map_or(&[], Vec::as_slice)
    }

    /// When a node takes it.
    fn bound(&self) -> Option<Millis> {
        let lasts = self.time("paper/lasts", 0);
        match self.containers("containers").iter().any(|one| self.cause(one) == Cause::Unschedulable) {
            false => Some(self.created),
            true => (lasts > 0).then(|| self.created + lasts),
        }
    }

    /// When it is gone after it was told to go.
    pub(super) fn gone(&self) -> Option<Millis> {
        let at = self.deleted?;
        let before = Self { deleted: None, ..self.clone() }.seen(at);
        // What is over, or was never bound, goes at once.
        if before.ended.is_some() || !before.bound {
            return Some(at);
        }
        let grace = self.template["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap_or(30) * 1000;
        Some(at + self.time("paper/stops-in", 1000).min(grace))
    }

    fn process<'a>(&'a self, container: &'a Value, begins: Millis) -> Process<'a> {
        let cause = self.cause(container);
        let usual = if cause == Cause::Slow { 20_000 } else { self.usual };
        let text = |name: &str| container[name].as_str().unwrap_or_default();
        Process {
            name: text("name"),
            image: text("image"),
            pod: format!("{}_{}({})", self.name, self.namespace, self.uid),
            cause,
            begins,
            takes: self.time("paper/takes", usual),
            lasts: self.time("paper/lasts", 0),
            ends: self.restart_policy() != "Always",
            init: false,
            restarts: self.restart_policy(),
        }
    }

    /// How it is at that time.
    pub(super) fn seen(&self, now: Millis) -> Seen {
        let containers = self.containers("containers").len();
        let mut seen = Seen {
            reason: "Pending".to_owned(),
            health: Health::Progressing,
            message: String::new(),
            ready: false,
            ready_containers: 0,
            containers,
            restarts: 0,
            ended: None,
            bound: false,
            next: self.bound().filter(|at| *at > now),
        };
        match self.bound() {
            Some(start) if start <= now => self.running(now, start, &mut seen),
            _ => {}
        }
        if self.deleted.is_some() {
            (seen.health, seen.message) = (Health::Progressing, "Pending deletion".to_owned());
            if seen.ended.is_none() {
                seen.reason = "Terminating".to_owned();
            }
        }
        seen.next = [seen.next, self.gone()].into_iter().flatten().filter(|at| *at > now).min();
        seen
    }

    fn running(&self, now: Millis, start: Millis, seen: &mut Seen) {
        let since = now - start;
        let mut next: Option<Millis> = None;
        let mut look = |process: &Process<'_>| {
            let mut found = Moment::waiting(0, "PodInitializing", String::new());
            if process.begins != NEVER {
                for moment in process.life(since) {
                    if moment.at > since {
                        next = Some(next.map_or(moment.at, |before| before.min(moment.at)));
                        break;
                    }
                    found = moment;
                }
            }
            found
        };
        let (mut begins, mut initialized, mut init_reason, mut init_failed) = (0, true, None, false);
        let inits = self.containers("initContainers");
        for (index, container) in inits.iter().enumerate() {
            let mut process = self.process(container, begins);
            (process.ends, process.init) = (true, true);
            if process.restarts == "Always" {
                process.restarts = "OnFailure";
            }
            if process.cause == Cause::None && self.annotation("paper/takes").is_empty() {
                process.takes = 0;
            }
            let moment = look(&process);
            seen.restarts += moment.restarts;
            if begins != NEVER {
                let life = process.life(since);
                begins =
                    life.iter().rev().find(|one| one.now == Now::Exited(0, "Completed")).map_or(NEVER, |one| one.at);
                initialized &= begins <= since;
            }
            if !initialized && init_reason.is_none() {
                init_reason = Some(match &moment.now {
                    Now::Exited(_, reason) => format!("Init:{reason}"),
                    Now::Waiting(reason, _) if *reason != "PodInitializing" => format!("Init:{reason}"),
                    _ => format!("Init:{index}/{}", inits.len()),
                });
            }
            let over = matches!(moment.now, Now::Exited(code, _) if code != 0);
            init_failed |= over && self.restart_policy() == "Never";
        }
        let moments: Vec<(&Value, Moment)> = self
            .containers("containers")
            .iter()
            .map(|container| (container, look(&self.process(container, begins))))
            .collect();
        seen.next = next.map(|at| start + at);
        seen.bound = true;
        self.sum_up(&moments, init_failed, seen);
        if let Some(reason) = init_reason {
            seen.reason = reason;
        }
    }

    /// What the containers make of the Pod, and what Argo CD makes of that.
    fn sum_up(&self, moments: &[(&Value, Moment)], init_failed: bool, seen: &mut Seen) {
        let always = self.restart_policy() == "Always";
        let never = self.restart_policy() == "Never";
        let (mut fresh, mut alive, mut failed) = (0, 0, usize::from(init_failed));
        for (_, moment) in moments {
            match moment.now {
                Now::Waiting(..) if !moment.exited_before => fresh += 1,
                Now::Waiting(..) | Now::Running => alive += 1,
                Now::Exited(code, _) if code != 0 && !never => alive += 1,
                Now::Exited(code, _) if code != 0 => failed += 1,
                Now::Exited(..) => {}
            }
        }
        let phase = match (init_failed, fresh, alive, failed) {
            (true, ..) => "Failed",
            (_, 1.., ..) => "Pending",
            (_, _, 1.., _) => "Running",
            (_, _, _, 1..) => "Failed",
            _ => "Succeeded",
        };
        seen.ready_containers = moments.iter().filter(|(_, one)| one.ready && one.now == Now::Running).count();
        seen.ready = phase == "Running" && moments.iter().all(|(_, one)| one.ready);
        seen.restarts += moments.iter().map(|(_, one)| one.restarts).sum::<u32>();
        seen.ended = match phase {
            "Failed" => Some(false),
            "Succeeded" => Some(true),
            _ => None,
        };
        phase.clone_into(&mut seen.reason);
        for (_, moment) in moments.iter().rev() {
            match &moment.now {
                Now::Waiting(reason, _) | Now::Exited(_, reason) => (*reason).clone_into(&mut seen.reason),
                Now::Running => {}
            }
        }
        if seen.reason == "Completed" && seen.ready_containers > 0 {
            "Running".clone_into(&mut seen.reason);
        }
        let bad = moments.iter().filter_map(|(_, moment)| match &moment.now {
            Now::Waiting(reason, why) if reason.starts_with("Err") || reason.ends_with("BackOff") => Some(why.as_str()),
            _ => None,
        });
        let bad: Vec<&str> = if always { bad.collect() } else { Vec::new() };
        if !bad.is_empty() {
            (seen.health, seen.message) = (Health::Degraded, bad.join(", "));
            return;
        }
        seen.health = match phase {
            "Succeeded" => Health::Healthy,
            "Failed" => Health::Degraded,
            "Running" if always && seen.ready => Health::Healthy,
            "Running" if always && moments.iter().any(|(_, one)| one.exited_before) => Health::Degraded,
            _ => Health::Progressing,
        };
        let why = moments.iter().find_map(|(container, moment)| match moment.now {
            Now::Exited(_, "OOMKilled") => Some("OOMKilled".to_owned()),
            Now::Exited(code, _) if code != 0 => {
                let name = container["name"].as_str().unwrap_or_default();
                Some(format!("container {name:?} failed with exit code {code}"))
            }
            _ => None,
        });
        if phase == "Failed" {
            seen.message = why.unwrap_or_default();
        }
    }
}

impl Moment {
    fn waiting(at: Millis, reason: &'static str, why: String) -> Self {
        Self { at, now: Now::Waiting(reason, why), exited_before: false, restarts: 0, ready: false }
    }
}

impl Process<'_> {
    /// The moments up to a time, and the first ones after that.
    fn life(&self, until: Millis) -> Vec<Moment> {
        let creating = if self.begins > 0 { "PodInitializing" } else { "ContainerCreating" };
        let mut moments = vec![Moment::waiting(0, creating, String::new())];
        match self.cause {
            Cause::CannotPull => self.pulls(&mut moments, until),
            Cause::Crash | Cause::OutOfMemory => self.crashes(&mut moments, until),
            _ => {
                self.runs(&mut moments, self.begins + self.takes / 2);
                return moments;
            }
        }
        if self.lasts > 0 {
            self.recovers(&mut moments);
        }
        moments
    }

    /// A life in which nothing fails: it is ready, or ends, when it has taken its time.
    fn runs(&self, moments: &mut Vec<Moment>, from: Millis) {
        let Some(before) = moments.last().cloned() else { return };
        let running = Moment { at: from, now: Now::Running, ready: false, ..before };
        moments.push(running.clone());
        let mut done = from + self.takes / 2;
        if self.cause == Cause::Hang {
            if self.lasts == 0 {
                return;
            }
            done = done.max(self.lasts);
        }
        let mut after = Moment { at: done, ready: !self.ends || self.init, ..running };
        if self.ends {
            after.now = Now::Exited(0, "Completed");
        }
        moments.push(after);
    }

    fn pulls(&self, moments: &mut Vec<Moment>, until: Millis) {
        let image = self.image;
        let why = format!(
            "rpc error: code = NotFound desc = failed to pull and unpack image \"{image}\": failed to resolve reference \"{image}\": {image}: not found"
        );
        let first = self.begins + self.takes / 2;
        let (mut at, mut wait) = (first, FIRST_BACK_OFF);
        loop {
            let back_off = format!("Back-off pulling image \"{image}\": ErrImagePull: {why}");
            moments.push(Moment::waiting(at, "ErrImagePull", why.clone()));
            moments.push(Moment::waiting(at + SHOWN, "ImagePullBackOff", back_off));
            if at > until {
                return;
            }
            if at > first {
                wait = (2 * wait).min(LONG_BACK_OFF);
            }
            at += wait;
        }
    }

    fn crashes(&self, moments: &mut Vec<Moment>, until: Millis) {
        let (code, reason) = if self.cause == Cause::OutOfMemory { (137, "OOMKilled") } else { (1, "Error") };
        let run = (self.takes / 2).max(SHOWN);
        let (mut at, mut wait) = (self.begins + self.takes / 2, 0);
        for restarts in 0.. {
            let running = Moment { at, now: Now::Running, exited_before: restarts > 0, restarts, ready: false };
            moments.push(running.clone());
            moments.push(Moment { at: at + run, now: Now::Exited(code, reason), ..running.clone() });
            if self.restarts == "Never" || at > until {
                return;
            }
            at += run + SHOWN;
            // The first restart is at once; from the second on the kubelet waits.
            if restarts > 0 {
                wait = (2 * wait).clamp(FIRST_BACK_OFF, LONG_BACK_OFF);
                let (seconds, name, pod) = (wait / 1000, self.name, &self.pod);
                let shown = match seconds {
                    0..60 => format!("{seconds}s"),
                    _ => format!("{}m{}s", seconds / 60, seconds % 60),
                };
                let why = format!("back-off {shown} restarting failed container={name} pod={pod}");
                let waiting = Moment::waiting(at, "CrashLoopBackOff", why);
                moments.push(Moment { exited_before: true, restarts, ..waiting });
                at += wait;
            }
        }
    }

    /// The cause goes away, and the container runs from there.
    fn recovers(&self, moments: &mut Vec<Moment>) {
        let kept = moments.iter().take_while(|moment| moment.at < self.lasts).count().max(1);
        moments.truncate(kept);
        let Some(last) = moments.last().cloned() else { return };
        let mut before = last;
        if matches!(before.now, Now::Exited(..)) {
            if self.restarts == "Never" {
                return;
            }
            before.exited_before = true;
        }
        if before.exited_before && before.now != Now::Running {
            before.restarts += 1;
        }
        let well = Process { cause: Cause::None, pod: self.pod.clone(), ..*self };
        let mut grown = vec![before];
        well.runs(&mut grown, self.lasts.max(self.begins));
        moments.extend(grown.drain(1..));
    }
}
