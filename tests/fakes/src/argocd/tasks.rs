//! A sync of a chart, step by step as gitops-engine takes them: phases, waves, hooks, what it waits for, and how it says so.

use serde_json::{Value, json};

use super::chart::{Id, Manifest};
use super::cluster::Cluster;
use super::script::Health;
use crate::Millis;

/// One thing to do.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) phase: &'static str,
    pub(super) manifest: Manifest,
    /// The object is no longer in Git.
    pub(super) prunes: bool,
    /// `status` of the result: `Synced`, `SyncFailed`, ...
    status: &'static str,
    /// `hookPhase` of the result; empty: it did not begin.
    state: &'static str,
    message: String,
    /// The place among the results.
    order: usize,
}

/// How an operation goes about its tasks.
#[derive(Clone, Debug, Default)]
pub(super) struct Way {
    pub(super) prune: bool,
    pub(super) dry_run: bool,
    pub(super) skip_hooks: bool,
    /// `operation.sync.resources`: only these.
    pub(super) only: Vec<Id>,
    /// Kinds that the project of this name does not permit.
    pub(super) forbidden: Vec<String>,
    pub(super) project: String,
    /// Why nothing can be applied now: an admission webhook that refuses everything.
    pub(super) refused: Option<String>,
}

/// What one pass came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pass {
    /// `Running`, `Succeeded` or `Failed`.
    pub(super) phase: &'static str,
    /// Empty: the message stays as it is.
    pub(super) message: String,
    /// A wave was applied and another one follows: Argo CD waits before it goes on, and before it says so.
    pub(super) waits: bool,
    /// Whether there may be more to do at once.
    pub(super) again: bool,
}

/// The kinds in the order in which they are applied.
const KINDS: [&str; 26] = [
    "Namespace",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "PodDisruptionBudget",
    "ServiceAccount",
    "Secret",
    "ConfigMap",
    "StorageClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "Service",
    "DaemonSet",
    "Pod",
    "ReplicaSet",
    "Deployment",
    "HorizontalPodAutoscaler",
    "StatefulSet",
    "Job",
    "CronJob",
    "Ingress",
];

const PHASES: [&str; 4] = ["PreSync", "Sync", "PostSync", "SyncFail"];

/// What an operation has to do.
pub(super) fn plan(targets: &[Manifest], cluster: &Cluster, way: &Way) -> Vec<Task> {
    let task = |phase, manifest: &Manifest, prunes| Task {
        phase,
        manifest: manifest.clone(),
        prunes,
        status: "",
        state: "",
        message: String::new(),
        order: 0,
    };
    let mut tasks = Vec::new();
    for target in targets {
        let wanted = way.only.is_empty() || way.only.contains(&target.id);
        if target.is_hook() && !way.skip_hooks {
            let phases = PHASES.into_iter().filter(|phase| target.hooks.iter().any(|hook| hook == phase));
            tasks.extend(phases.map(|phase| task(phase, target, false)));
        } else if !target.is_hook() && wanted {
            tasks.push(task("Sync", target, false));
        }
    }
    let known = |id: &Id| targets.iter().any(|target| target.id == *id);
    for (id, object) in &cluster.objects {
        if !known(id) && !object.manifest.is_hook() && object.deleted.is_none() && way.only.is_empty() {
            tasks.push(task("Sync", &object.manifest, true));
        }
    }
    tasks.sort_by_key(|task| {
        let kind = KINDS.iter().position(|kind| *kind == task.manifest.id.kind).unwrap_or(KINDS.len());
        let name = task.manifest.id.name.clone();
        (PHASES.iter().position(|phase| *phase == task.phase), task.manifest.wave, kind, name)
    });
    tasks
}

/// `syncResult.resources`: what was executed so far, in that order.
pub(super) fn results(tasks: &[Task], namespace: &str) -> Value {
    let mut done: Vec<&Task> = tasks.iter().filter(|task| task.order > 0).collect();
    done.sort_by_key(|task| task.order);
    let result = |task: &&Task| {
        let (id, manifest) = (&task.manifest.id, &task.manifest);
        let mut json = json!({"group": id.group, "version": manifest.version, "kind": id.kind, "namespace": namespace,
            "name": id.name, "syncPhase": task.phase});
        let hook = if manifest.is_hook() { task.phase } else { "" };
        let texts =
            [("status", task.status), ("message", &task.message), ("hookType", hook), ("hookPhase", task.state)];
        for (name, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
            json[name] = json!(text);
        }
        let images = manifest.images();
        if !images.is_empty() {
            json["images"] = json!(images);
        }
        json
    };
    done.iter().map(result).collect()
}

/// A retry forgets the results of the attempt before, but what Argo CD stores of them stays until there are new ones. Its first pass has
/// none where it only deletes hooks: the next pass takes the old ones for its own, and a hook that failed does not run again.
pub(super) fn take_over(tasks: &mut [Task], earlier: &Value) {
    if tasks.iter().any(|task| task.order > 0) {
        return;
    }
    let same =
        |texts: &[&'static str], text: &Value| texts.iter().find(|known| text == **known).copied().unwrap_or_default();
    for result in earlier.as_array().into_iter().flatten() {
        let id = |task: &Task| result["kind"] == task.manifest.id.kind && result["name"] == task.manifest.id.name;
        let Some(index) = tasks.iter().position(|task| id(task) && result["syncPhase"] == task.phase) else { continue };
        let status = same(&["Synced", "SyncFailed", "PruneSkipped", "Pruned"], &result["status"]);
        let state = same(&["Running", "Succeeded", "Failed"], &result["hookPhase"]);
        set(tasks, index, status, state, result["message"].as_str().unwrap_or_default());
    }
}

impl Task {
    fn is_hook(&self) -> bool {
        self.manifest.is_hook()
    }

    fn pending(&self) -> bool {
        self.state.is_empty()
    }

    fn completed(&self) -> bool {
        matches!(self.state, "Succeeded" | "Failed")
    }
}

/// A task's result; the first one gives it its place.
fn set(tasks: &mut [Task], index: usize, status: &'static str, state: &'static str, message: &str) {
    let next = tasks.iter().filter(|task| task.order > 0).count() + 1;
    let task = &mut tasks[index];
    (task.status, task.state) = (status, state);
    if !message.is_empty() {
        message.clone_into(&mut task.message);
    }
    if task.order == 0 {
        task.order = next;
    }
}

/// One pass over all tasks.
pub(super) fn pass(now: Millis, tasks: &mut [Task], cluster: &mut Cluster, way: &Way) -> Pass {
    let over = |phase, message: String| Pass { phase, message, waits: false, again: false };
    if tasks.iter().all(|task| task.order == 0) && not_valid(tasks, &cluster.namespace, way) {
        return over("Failed", "one or more synchronization tasks are not valid".to_owned());
    }
    update(now, tasks, cluster);
    let several = tasks
        .first()
        .zip(tasks.last())
        .is_some_and(|(first, last)| (first.phase, first.manifest.wave) != (last.phase, last.manifest.wave));
    let running: Vec<&Task> =
        tasks.iter().filter(|task| (several || task.is_hook()) && task.state == "Running").collect();
    if !running.is_empty() {
        return over("Running", waiting(&running));
    }
    let clean = |cluster: &mut Cluster, policy: &str, tasks: &[Task]| {
        for task in tasks.iter().filter(|task| task.is_hook() && task.completed() && task.manifest.deleted(policy)) {
            cluster.delete(now, &task.manifest.id);
        }
    };
    let main = |task: &Task| task.phase != "SyncFail";
    if tasks.iter().any(|task| main(task) && task.state == "Failed") {
        clean(cluster, "HookFailed", tasks);
        return fail(now, tasks, cluster, way, "one or more synchronization tasks completed unsuccessfully");
    }
    let pending: Vec<usize> =
        (0..tasks.len()).filter(|index| main(&tasks[*index]) && tasks[*index].pending()).collect();
    let Some(first) = pending.first().map(|index| &tasks[*index]) else {
        clean(cluster, "HookSucceeded", tasks);
        return over("Succeeded", "successfully synced (no more tasks)".to_owned());
    };
    let (phase, wave) = (first.phase, first.manifest.wave);
    let (wanted, rest): (Vec<usize>, Vec<usize>) =
        pending.iter().partition(|index| (tasks[**index].phase, tasks[**index].manifest.wave) == (phase, wave));
    let last = rest.is_empty();
    let left: Vec<usize> =
        pending.iter().copied().filter(|index| rest.contains(index) || tasks[*index].is_hook()).collect();
    match run(now, &wanted, tasks, cluster, way) {
        Run::Failed => {
            clean(cluster, "HookFailed", tasks);
            fail(now, tasks, cluster, way, "one or more objects failed to apply")
        }
        Run::Waits => {
            let message = "one or more tasks are running".to_owned();
            Pass { phase: "Running", message, waits: !last, again: true }
        }
        Run::Done if way.dry_run => {
            Pass { phase: "Running", message: "one or more tasks are running".to_owned(), waits: false, again: true }
        }
        Run::Done if left.is_empty() => {
            clean(cluster, "HookSucceeded", tasks);
            over("Succeeded", "successfully synced (all tasks run)".to_owned())
        }
        Run::Done => {
            let left: Vec<&Task> = left.iter().map(|index| &tasks[*index]).collect();
            Pass { phase: "Running", message: waiting(&left), waits: !last, again: true }
        }
    }
}

/// The operation is terminated: what still runs of its hooks is deleted.
pub(super) fn terminate(now: Millis, tasks: &mut [Task], cluster: &mut Cluster) {
    for index in 0..tasks.len() {
        let id = tasks[index].manifest.id.clone();
        if !tasks[index].is_hook() || !cluster.objects.contains_key(&id) {
            continue;
        }
        match hook_state(now, &id, cluster) {
            ("Running", _) => {
                cluster.delete(now, &id);
                set(tasks, index, "", "Succeeded", "Deleted");
            }
            (state, message) => set(tasks, index, "", state, &message),
        }
    }
}

/// Whether there are kinds that the cluster has never heard of, or that the project forbids; they are the results then.
fn not_valid(tasks: &mut [Task], namespace: &str, way: &Way) -> bool {
    let known = |group: &str| !group.contains('.') || group.ends_with(".k8s.io") || group == "argoproj.io";
    let mut valid = true;
    for index in 0..tasks.len() {
        let Id { group, kind, name } = tasks[index].manifest.id.clone();
        let why = if !known(&group) {
            format!(
                "The Kubernetes API could not find {group}/{kind} for requested resource {namespace}/{name}. Make sure the {kind:?} CRD is installed on the destination cluster."
            )
        } else if way.forbidden.contains(&kind) {
            format!("resource {group}:{kind} is not permitted in project {}", way.project)
        } else {
            continue;
        };
        set(tasks, index, "SyncFailed", "", &why);
        valid = false;
    }
    !valid
}

/// What became of what runs.
fn update(now: Millis, tasks: &mut [Task], cluster: &Cluster) {
    for index in 0..tasks.len() {
        let task = &tasks[index];
        // What is gone stays as it was, for ever.
        if task.state != "Running" || !cluster.objects.contains_key(&task.manifest.id) {
            continue;
        }
        let (id, status) = (task.manifest.id.clone(), task.status);
        if task.is_hook() {
            let (state, message) = hook_state(now, &id, cluster);
            set(tasks, index, "", state, &message);
            continue;
        }
        match cluster.health(now, &id) {
            None => set(tasks, index, status, "Succeeded", ""),
            Some((Health::Healthy, message)) => set(tasks, index, status, "Succeeded", &message),
            Some((Health::Degraded, message)) => set(tasks, index, status, "Failed", &message),
            Some(_) => {}
        }
    }
}

fn hook_state(now: Millis, id: &Id, cluster: &Cluster) -> (&'static str, String) {
    match cluster.health(now, id) {
        None => ("Succeeded", format!("{} created", id.name)),
        Some((Health::Unknown | Health::Degraded, message)) => ("Failed", message),
        Some((Health::Progressing | Health::Suspended, message)) => ("Running", message),
        Some((_, message)) => ("Succeeded", message),
    }
}

fn waiting(tasks: &[&Task]) -> String {
    let Some(first) = tasks.first() else { return String::new() };
    let (what, more) =
        if first.is_hook() { ("completion of hook", "hooks") } else { ("healthy state of", "resources") };
    let Id { group, kind, name } = &first.manifest.id;
    let message = format!("waiting for {what} {group}/{kind}/{name}");
    match tasks.len() - 1 {
        0 => message,
        others => format!("{message} and {others} more {more}"),
    }
}

enum Run {
    Done,
    /// Hooks of an earlier sync have to go first.
    Waits,
    Failed,
}

fn run(now: Millis, wanted: &[usize], tasks: &mut [Task], cluster: &mut Cluster, way: &Way) -> Run {
    let (prunes, wanted): (Vec<usize>, Vec<usize>) = wanted.iter().partition(|index| tasks[**index].prunes);
    for index in prunes {
        let id = tasks[index].manifest.id.clone();
        let dry = if way.dry_run { " (dry run)" } else { "" };
        if !way.prune {
            set(tasks, index, "PruneSkipped", "Succeeded", &format!("ignored (requires pruning){dry}"));
            continue;
        }
        if !way.dry_run {
            cluster.delete(now, &id);
        }
        set(tasks, index, "Pruned", "Succeeded", &format!("pruned{dry}"));
    }
    let mut deleted = false;
    for index in wanted.iter().copied().filter(|index| tasks[*index].is_hook() && !way.dry_run) {
        let manifest = &tasks[index].manifest;
        if manifest.deleted("BeforeHookCreation") && cluster.objects.contains_key(&manifest.id) {
            cluster.delete(now, &manifest.id.clone());
            deleted = true;
        }
    }
    if deleted {
        return Run::Waits;
    }
    let mut failed = false;
    for (place, index) in wanted.iter().copied().enumerate() {
        let manifest = tasks[index].manifest.clone();
        if way.dry_run {
            set(tasks, index, "Synced", "Succeeded", &format!("{} configured (dry run)", manifest.id.applied()));
            continue;
        }
        let refused = way.refused.clone().filter(|_| !manifest.images().is_empty());
        match refused.map_or_else(|| cluster.apply(now, &manifest), Err) {
            Ok(how) => set(tasks, index, "Synced", "Running", &format!("{} {how}", manifest.id.applied())),
            Err(why) => {
                set(tasks, index, "SyncFailed", "Failed", &why);
                failed = true;
            }
        }
        // The kinds are applied one after the other: what comes after a failure is not tried.
        let next = wanted.get(place + 1);
        if failed && next.is_none_or(|next| tasks[*next].manifest.id.kind != manifest.id.kind) {
            return Run::Failed;
        }
    }
    Run::Done
}

/// The operation failed; hooks for that case run first.
fn fail(now: Millis, tasks: &mut [Task], cluster: &mut Cluster, way: &Way, message: &str) -> Pass {
    let reasons: Vec<&str> = tasks
        .iter()
        .filter(|task| task.phase != "SyncFail" && task.status == "SyncFailed")
        .map(|task| task.message.as_str())
        .collect();
    let message =
        if reasons.is_empty() { message.to_owned() } else { format!("{message}, reason: {}", reasons.join(",")) };
    let hooks: Vec<usize> = (0..tasks.len()).filter(|index| tasks[*index].phase == "SyncFail").collect();
    if hooks.iter().all(|index| tasks[*index].completed()) {
        return Pass { phase: "Failed", message, waits: false, again: false };
    }
    match run(now, &hooks, tasks, cluster, way) {
        Run::Failed => {
            let message = format!("{message}\none or more SyncFail hooks failed");
            Pass { phase: "Failed", message, waits: false, again: false }
        }
        _ => Pass { phase: "Running", message: String::new(), waits: false, again: true },
    }
}
