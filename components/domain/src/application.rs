//! What Argo CD says of an application, in our words. How that is read out of Argo CD's answer is in
//! `clients::argocd`.

use crate::names::DeploymentId;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// What is known of an application at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Application {
    /// The operation that is asked for or under way.
    pub operation: Option<Operation>,
    /// The newest operation that Argo CD has begun; it may be over.
    pub last: Option<OperationState>,
    /// Whether the cluster is what Git says.
    pub sync_status: SyncStatus,
    /// The commits that `sync_status` is about: one per source, and perhaps later than ours.
    pub compared: Vec<String>,
    /// The worst health of all resources.
    pub health: Health,
    /// What Argo CD says about it; often empty.
    pub health_message: String,
    /// When Argo CD last compared with Git.
    pub reconciled: Option<Timestamp>,
    /// What is wrong or odd with it, in Argo CD's eyes.
    pub conditions: Vec<Condition>,
    /// The annotation `argocd.argoproj.io/manifest-generate-paths`: a change elsewhere does not make Argo CD render anew.
    pub generate_paths: Option<String>,
    /// `Kind/name` of each resource that is no longer in Git. We never prune.
    pub to_prune: Vec<String>,
    /// The images of its Pods, as far as its project shows Pods: those of Jobs, too.
    pub images: Vec<String>,
    /// `syncPolicy.retry`, as it is.
    pub retry: Option<serde_json::Value>,
    /// Its resources that are not healthy, hooks apart.
    pub unwell: Vec<Unwell>,
    /// Its pages, for people.
    pub urls: Vec<String>,
    /// Its sources; a source's position is its index and 1.
    pub sources: Vec<AppSource>,
    /// Whether it is made of `spec.sources`: then revisions are per source.
    pub multi_source: bool,
    /// Auto-sync is on.
    pub automated: bool,
    /// It has a source hydrator, so Argo CD syncs another branch than the one that we write to: none of its sources is ours.
    pub hydrated: bool,
    pub deleting: bool,
    /// Syncs that succeeded, the oldest first: when they ended, and their commits.
    pub history: Vec<(Option<Timestamp>, Vec<String>)>,
}

/// An entry of `status.conditions`: `ComparisonError`, `OrphanedResourceWarning`, …
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    pub kind: String,
    /// Argo CD's words.
    pub message: String,
}

impl Application {
    /// What it shows of resources and health may be old: its last comparison could not be made.
    pub fn comparison_failed(&self) -> bool {
        self.conditions.iter().any(|condition| condition.kind == "ComparisonError")
    }
}

impl Condition {
    pub fn is_error(&self) -> bool {
        self.kind.ends_with("Error")
    }
}

/// A resource that is not healthy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unwell {
    /// `Ingress`.
    pub kind: String,
    pub name: String,
    pub health: Health,
    /// What Argo CD says about it; often empty.
    pub message: String,
}

impl Unwell {
    /// Whether it runs something. A new version shows in these.
    pub fn is_workload(&self) -> bool {
        const WORKLOADS: [&str; 7] = ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Pod", "Job", "Rollout"];
        WORKLOADS.contains(&self.kind.as_str())
    }

    /// A Job that is done, and that Kubernetes has removed because it says so itself (`ttlSecondsAfterFinished`).
    pub fn is_removed_job(&self) -> bool {
        self.kind == "Job" && self.health == Health::Missing
    }

    /// A Deployment past its progress deadline, or a failed Job, does not get well by itself. Everything else may:
    /// an autoscaler without metrics, say.
    pub fn has_given_up(&self) -> bool {
        let is_late = self.message.contains("exceeded its progress deadline");
        self.health == Health::Degraded && (self.kind == "Job" || (self.kind == "Deployment" && is_late))
    }
}

/// A connection that broke, in the words of Argo CD.
pub(crate) const LOST: [&str; 5] =
    ["connection refused", "connection reset", "i/o timeout", "unexpected EOF", "TLS handshake timeout"];

/// How Argo CD says that it has not rendered a commit, because that failed before.
pub(crate) const KEPT_ERROR: &str = "Manifest generation error (cached)";

/// How Argo CD says that it waits for a sync window.
pub(crate) const IN_WINDOW: &str = "blocked by sync window";

/// Stands for words that may quote a value of a Secret.
const HUSHED: &str = "words about a Secret, which only Argo CD shows";

/// Argo CD's words about a resource of this kind, as far as people may read them: about a Secret only what the bot
/// decides by.
pub fn words_about(kind: &str, words: &str, secrets: &[String]) -> String {
    if kind == "Secret" { decides(words) } else { hushed(words, secrets) }
}

/// Argo CD's words about something else than a Secret. They are left out if they name the kind `Secret`, or repeat one
/// of `secrets`, which are its words about Secrets: an API server quotes what it cannot take.
pub fn hushed(words: &str, secrets: &[String]) -> String {
    if !names_secret(words) && !secrets.iter().any(|secret| words.contains(secret.trim())) {
        return words.to_owned();
    }
    match decides(words).as_str() {
        "" => HUSHED.to_owned(),
        kept => format!("{kept} ({HUSHED})"),
    }
}

fn decides(words: &str) -> String {
    let all = LOST.iter().chain([&KEPT_ERROR, &IN_WINDOW]);
    all.filter(|text| words.contains(**text)).copied().collect::<Vec<_>>().join(", ")
}

/// Whether the kind is a word of its own. `/Secret/db`, and `ExternalSecret`, say no more than a name.
fn names_secret(words: &str) -> bool {
    let is_in_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    words.match_indices("Secret").any(|(at, found)| {
        let (before, after) = (words.get(..at), words.get(at.saturating_add(found.len())..));
        let before = before.and_then(|text| text.chars().next_back());
        let after = after.and_then(|text| text.chars().next());
        !is_in_word(before) && !is_in_word(after) && after != Some('/')
    })
}

/// Who asks Argo CD for the sync of a deploy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyncBy {
    /// We do, for exactly our commit. Auto-sync is off.
    #[default]
    Bot,
    /// Argo CD itself: auto-sync is on, and we only follow.
    Auto,
}

/// Where an application's manifests, or their values, come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppSource {
    pub url: String,
    /// The branch, tag or commit that it follows; empty is `HEAD`.
    pub target: String,
    /// The folder in it; often empty.
    pub path: String,
}

/// An operation that is asked for or under way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Operation {
    /// The deployment, if the bot asked for it.
    pub deploy_id: Option<DeploymentId>,
    /// The commits it syncs to: one per source.
    pub revisions: Vec<String>,
    /// Who asked, as Argo CD says.
    pub by: Option<String>,
}

/// How far an operation is, or how it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OperationState {
    /// The deployment, if the bot asked for it.
    pub deploy_id: Option<DeploymentId>,
    pub phase: Phase,
    /// Argo CD's words.
    pub message: String,
    /// When it began. Whole seconds.
    pub started: Option<Timestamp>,
    /// When it ended; also set between two tries, so look at the phase.
    pub finished: Option<Timestamp>,
    pub retry_count: u32,
    /// The commits it was synced to: one per source.
    pub revisions: Vec<String>,
    /// Who asked, as Argo CD says.
    pub by: Option<String>,
    /// What has become of each resource so far.
    pub resources: Vec<Resource>,
}

impl OperationState {
    /// The images that the operation applied. Hooks do not count: they are gone when they have run.
    pub fn applied_images(&self) -> Vec<String> {
        let applied = self.resources.iter().filter(|resource| !resource.is_hook() && resource.status == "Synced");
        applied.flat_map(|resource| resource.images.clone().unwrap_or_default()).collect()
    }
}

/// A Pod of an application.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    pub name: String,
    pub images: Vec<String>,
    /// A ReplicaSet, StatefulSet or DaemonSet owns it, and it is not on its way out. A Pod of a Job shows nothing
    /// about what runs.
    pub runs: bool,
    /// How it is, in the words of Kubernetes: `Running`, `ImagePullBackOff`.
    pub reason: String,
    /// What Kubernetes says about that; often empty.
    pub message: String,
}

/// The Pod that holds a rollout of the tag up, and why. A Pod of the new version comes first, then an image that cannot be
/// pulled, then a container that crashes. How a finished Job ended is no reason.
pub fn what_holds(pods: &[Pod], tag: &str) -> Option<String> {
    const WORST_FIRST: [&str; 9] = [
        "ImagePullBackOff",
        "ErrImagePull",
        "InvalidImageName",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
        "CrashLoopBackOff",
        "OOMKilled",
        "Error",
    ];
    /// So many of them keep a Job's Pod from starting, too.
    const OF_JOBS: usize = 6;
    let rank = |pod: &Pod| {
        // `Init:CrashLoopBackOff`, too.
        let reason = pod.reason.rsplit(':').next();
        let rank = WORST_FIRST.iter().position(|known| reason == Some(known))?;
        let is_old = !pod.images.iter().any(|image| image.ends_with(tag));
        (pod.runs || rank < OF_JOBS).then_some((is_old, rank))
    };
    let (_, pod) = pods.iter().filter_map(|pod| Some((rank(pod)?, pod))).min_by_key(|(rank, _)| *rank)?;
    let message = if pod.message.is_empty() { String::new() } else { format!(" ({})", pod.message) };
    Some(format!("Pod {}: {}{message}", pod.name, pod.reason))
}

/// One resource, or one hook, in an operation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Resource {
    /// `Deployment`.
    pub kind: String,
    pub name: String,
    /// `Synced`, `SyncFailed`, `Pruned`, `PruneSkipped`; empty until applied, and always for hooks.
    pub status: String,
    /// Argo CD's words.
    pub message: String,
    /// A hook's phase, in the words of [`Phase`]; other resources may have one too.
    pub hook_phase: String,
    /// `PreSync`, `PostSync`, …; empty for what is no hook.
    pub hook_type: String,
    /// The images that were applied with it. Argo CD says them since 3.1.
    pub images: Option<Vec<String>>,
}

impl Resource {
    /// Whether the operation is through with it.
    pub fn is_done(&self) -> bool {
        !self.status.is_empty() || matches!(self.hook_phase.as_str(), "Succeeded" | "Failed" | "Error")
    }

    pub fn is_hook(&self) -> bool {
        !self.hook_type.is_empty()
    }

    /// Whether it is a hook that Kubernetes may have run, also if nobody saw how the hook ended. A hook that Argo CD could
    /// not send never ran: Kubernetes refused the connection. Argo CD's words are then `Post
    /// "https://…?fieldManager=argocd-controller": dial tcp …: connect: connection refused` (seen on 3.2.11).
    pub fn may_have_run(&self) -> bool {
        let unsent = self.message.starts_with("Post \"https://")
            && self.message.contains("fieldManager=argocd-controller\": dial tcp ")
            && self.message.ends_with("connection refused");
        self.is_hook() && !(unsent && matches!(self.hook_phase.as_str(), "Failed" | "Error"))
    }

    /// Whether it was not applied, or its hook failed.
    pub fn has_failed(&self) -> bool {
        self.status == "SyncFailed" || matches!(self.hook_phase.as_str(), "Failed" | "Error")
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Phase {
    /// Under way, or waiting for its next try.
    Running,
    /// Somebody stops it.
    Terminating,
    /// Over: resources were not applied, or it was stopped.
    Failed,
    /// Over: it could not be carried out.
    Error,
    /// Over: all was applied. Says nothing about health.
    Succeeded,
    /// A word that we do not know.
    #[default]
    #[serde(other)]
    Other,
}

/// Health as Argo CD names it, the best first: that of an application is the worst of its resources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Health {
    Healthy,
    Suspended,
    Progressing,
    /// Not in the cluster.
    Missing,
    Degraded,
    /// Argo CD does not know, or says a word that we do not know.
    #[default]
    #[serde(other)]
    Unknown,
}

/// Whether the cluster is what Git says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum SyncStatus {
    Synced,
    OutOfSync,
    /// Argo CD does not know, or says a word that we do not know.
    #[default]
    #[serde(other)]
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_words_about_a_secret_are_kept() {
        let check = |words: &str, expected: &str| {
            assert_eq!(hushed(words, &["data[pw]: Invalid value: \"hunter2\" ".to_owned()]), expected, "{words}");
        };
        for words in [
            "one or more objects failed to apply, reason: Secret \"db\" is invalid: data: Invalid value: \"hunter2\"",
            "Secret in version \"v1\" cannot be handled as a Secret: illegal base64 data",
            "json: cannot unmarshal number into Go struct field Secret.data, error found in ...|hunter2|...",
            "{\"kind\":\"Secret\",\"data\":{\"pw\":\"aHVudGVyMg==\"}}",
            "failed, reason: data[pw]: Invalid value: \"hunter2\"",
        ] {
            check(words, HUSHED);
        }
        for words in [
            "",
            "successfully synced (all tasks run)",
            "waiting for healthy state of /Secret/db and 2 more resources",
            "ExternalSecret \"db\" is invalid: spec.Secrets: no",
            "secret \"pull\" not found",
        ] {
            check(words, words);
        }
        // What is decided by stays.
        check("Manifest generation error (cached): Secret: x", &format!("{KEPT_ERROR} ({HUSHED})"));
        assert_eq!(words_about("Secret", "data: hunter2", &[]), "");
        assert_eq!(words_about("Secret", "dial tcp: connection refused: hunter2", &[]), "connection refused");
        assert_eq!(words_about("Job", "Secret \"db\" is invalid: data: hunter2", &[]), HUSHED);
        assert_eq!(words_about("Job", "exceeded its deadline", &[]), "exceeded its deadline");
    }

    #[test]
    fn the_worst_pod_holds_a_rollout_up() {
        let pod = |name: &str, reason: &str| Pod {
            name: name.to_owned(),
            reason: reason.to_owned(),
            runs: true,
            images: vec!["ghcr.io/acme/checkout:new".to_owned()],
            ..Pod::default()
        };
        let holds = |pods: &[Pod]| what_holds(pods, "new").unwrap_or_default();
        assert_eq!(holds(&[pod("a", "Running"), pod("b", "Completed"), pod("c", "Terminating"), pod("d", "")]), "");
        let crashes = [pod("a", "Running"), pod("b", "Init:CrashLoopBackOff"), pod("c", "Error")];
        assert_eq!(holds(&crashes), "Pod b: Init:CrashLoopBackOff");
        // A Job that failed once, and the version that is replaced.
        let job = Pod { runs: false, ..pod("a", "Error") };
        assert_eq!(holds(std::slice::from_ref(&job)), "");
        assert_eq!(holds(&[Pod { reason: "ImagePullBackOff".to_owned(), ..job }]), "Pod a: ImagePullBackOff");
        let old = Pod { images: vec!["ghcr.io/acme/checkout:old".to_owned()], ..pod("a", "ImagePullBackOff") };
        assert_eq!(holds(&[old, pod("b", "Error")]), "Pod b: Error");
        let pull = Pod { message: "Back-off pulling image".to_owned(), ..pod("c", "ImagePullBackOff") };
        assert_eq!(holds(&[pod("b", "CrashLoopBackOff"), pull]), "Pod c: ImagePullBackOff (Back-off pulling image)");
    }
}
