//! The facts: each is one key of a deployment, written whole, by one role only.

use super::attempts::CommitFact;
use super::origin::{Approval, Origin};
use super::proof::{Doubt, Proof};
use super::remarks::Remarks;
use super::voice::Voice;
use crate::application::Unwell;
use crate::command::DeployWords;
use crate::fault::Fault;
use crate::names::{
    ArgoApplication, CommitSha, DeploymentId, GitHubLogin, ResponseUrl, SlackChannel, SlackTeam, SlackUser,
};
use crate::refusal::Refusal;
use crate::time::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// One key of a deployment. Each type says which key and who writes it.
pub trait Fact: Serialize + DeserializeOwned {
    /// The last part of its key.
    const NAME: &'static str;
}

macro_rules! fact {
    ($type:ident, $name:literal) => {
        impl Fact for $type {
            const NAME: &'static str = $name;
        }
    };
}

/// `request`: what a person asked for. slack-command writes it once, at accept, and the same click writes the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestFact {
    /// Slack's own time of the request.
    pub at: Timestamp,
    /// Who.
    pub user: SlackUser,
    /// The asker's name as Slack sent it: for the commit's text only.
    pub user_name: String,
    /// Where.
    pub channel: SlackChannel,
    /// Which workspace.
    pub team: SlackTeam,
    /// The workspace's part of `<domain>.slack.com`, for links; empty when Slack did not send it.
    pub team_domain: String,
    /// What, as typed and parsed. The catalog says later whether it exists.
    pub words: DeployWords,
    /// The last resort for speaking.
    pub response_url: ResponseUrl,
    pub origin: Origin,
}
fact!(RequestFact, "request");

/// `approvals`: what people said to a deployment that needs others to agree. slack-command writes it, under the lease `approvals/<id>`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalsFact {
    /// Who said yes, each once.
    pub given: Vec<Approval>,
    /// Who said no: then it is over.
    pub rejected: Option<Approval>,
}
fact!(ApprovalsFact, "approvals");

/// `changes`: what is new in the deployed version, as far as GitHub could compare. slack-command writes it after the commit, for the message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangesFact {
    /// The tag of the version before.
    pub since: String,
    /// How many commits are new.
    pub ahead: u32,
    /// How many commits of the version before are not in this one.
    pub behind: u32,
    /// The newest of them, at most ten.
    pub commits: Vec<Change>,
    /// GitHub's page of the comparison.
    pub url: Option<String>,
}
fact!(ChangesFact, "changes");

/// `github`: what was reported to GitHub, for the pull request to show. slack-command writes it after the
/// commit, under the lease `carry/<id>`; nothing is decided by it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitHubFact {
    /// We asked GitHub to create its deployment. Saved before the call: without an answer, that deployment is
    /// looked for.
    pub asked: bool,
    /// GitHub's id of that deployment.
    pub id: Option<u64>,
    /// The state that was reported last.
    pub told: Option<DeploymentState>,
    /// How many calls have failed since.
    pub failed: u8,
}
fact!(GitHubFact, "github");

/// One commit of the app's own repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Which.
    pub sha: CommitSha,
    /// Its first line.
    pub headline: String,
    /// Its author, where GitHub knows one.
    pub login: Option<GitHubLogin>,
}

/// How a deploy goes. Stored and sent in GitHub's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeploymentState {
    /// It waits.
    Queued,
    /// It is on its way.
    InProgress,
    /// It is live and healthy.
    Success,
    /// It went live and is not healthy, or did not go live.
    Failure,
    /// We do not know how it ended.
    Error,
    /// Something else is live now.
    Inactive,
}

fact!(CommitFact, "commit");

/// `committed`: the commit is on the branch. slack-command writes it once. No lease is checked: the commit is
/// on the branch, whichever process saves that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommittedFact {
    /// The commit.
    pub sha: CommitSha,
    /// When we knew.
    pub at: Timestamp,
    /// The wanted tag was there already, by an earlier commit of ours.
    pub reused: bool,
    /// The plan that was committed. From here on it counts, and the key `commit` does not: a late write of
    /// that key must not change what we look for.
    pub commit: Box<CommitFact>,
}
fact!(CommittedFact, "committed");

/// A [`Refusal`] as JSON. Only slack-command reads it back, so the other components need no code for it. A
/// reason that this build does not know is not shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StoredRefusal(serde_json::Value);

impl StoredRefusal {
    /// The reason, if this build knows it.
    pub fn read(&self) -> Option<Refusal> {
        serde_json::from_value(self.0.clone()).ok()
    }
}

impl From<&Refusal> for StoredRefusal {
    fn from(refusal: &Refusal) -> Self {
        Self(serde_json::to_value(refusal).unwrap_or_default())
    }
}

/// How a deployment ended before its commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// We refused.
    Refused {
        /// Why.
        refusal: StoredRefusal,
    },
    /// Another system failed.
    Failed {
        /// Which and how.
        fault: Fault,
    },
    /// Somebody cancelled it.
    Cancelled {
        /// Who cancelled. `None`: the bot took back a request that it could not accept.
        by: Option<SlackUser>,
    },
}

/// `end`: slack-command writes it when no mutation of ours can land any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndFact {
    /// When.
    pub at: Timestamp,
    /// How.
    pub end: End,
}
fact!(EndFact, "end");

/// `message`: slack-command's voice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MessageFact(pub Voice);
fact!(MessageFact, "message");

/// `cancel`: a wish, never a state. slack-command writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelFact {
    /// Who wishes it. `None`: the bot took back a request that it could not accept.
    pub by: Option<SlackUser>,
    /// Since when.
    pub at: Timestamp,
}
fact!(CancelFact, "cancel");

/// `stop`: somebody wants the sync of an older deployment to end that this one waits for. slack-command writes it; the watch
/// carries it out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopFact {
    /// Who.
    pub by: SlackUser,
    /// Whose sync.
    pub of: DeploymentId,
}
fact!(StopFact, "stop");

/// `look`: the deployment would be refused because of what was seen of its application, so that is to be looked at again.
/// deploy writes it, under the target's lease. It decides nothing, so it is not among [`super::Facts`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookFact {
    pub at: Timestamp,
    pub application: ArgoApplication,
}
fact!(LookFact, "look");

/// `push`: GitHub's webhook for our commit was relayed and Argo CD took it. github-relay writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushFact {
    /// GitHub's delivery id.
    pub delivery: String,
    /// When Argo CD had answered.
    pub at: Timestamp,
}
fact!(PushFact, "push");

/// Why a sync is not asked for yet, or again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Waiting {
    /// Somebody else's operation runs.
    OtherOperation {
        /// Who started it, as Argo CD says.
        by: Option<String>,
        /// The deployment of ours that it is of, if it is of one.
        of: Option<DeploymentId>,
        /// The hook that it waits for.
        hook: Option<String>,
    },
    /// A sync window is closed.
    SyncWindow,
    /// Argo CD syncs by itself, or ought to.
    AutoSync {
        /// Auto-sync is on.
        is_on: bool,
    },
    /// Argo CD does not answer, or answers nonsense.
    ArgoCd {
        /// What happened.
        fault: Fault,
    },
}

/// How far the sync is, in words of Argo CD.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The operation has ended well; now it is about health.
    pub synced: bool,
    /// Health as Argo CD names it; empty after the operation until Argo CD has compared again.
    pub health: String,
    /// The operation's own words ("waiting for healthy state of apps/Deployment/checkout").
    pub message: String,
    /// How many resources it is through with. How many there are is not known: later waves are not listed yet.
    pub resources: u32,
    /// Which retry this is.
    pub retry: u32,
    /// The Pod that holds it up, or another resource beside the workloads, and why; empty: none is known.
    pub holds: String,
}

/// What failed, in a form for a sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// The operation failed; resources by name with Argo CD's own message.
    Sync {
        /// The operation's message.
        message: String,
        /// `Kind/name: message`, up to five.
        resources: Vec<String>,
    },
    /// Synced, but unhealthy.
    Degraded {
        /// What Argo CD says about the health.
        message: String,
        /// `Kind/name: message`, up to five.
        resources: Vec<String>,
    },
    /// Synced and healthy, but our version is not live.
    OtherImage {
        /// The image that should run.
        wanted: String,
        /// What was applied, or what runs.
        found: Vec<String>,
        why: Doubt,
    },
    /// Our token may not sync (or read) it.
    NoRight {
        /// Argo CD's own words.
        said: String,
    },
    /// Argo CD has no such application.
    NoApplication,
    /// The application is being deleted.
    Deleting,
    /// None of its sources follows the GitOps branch.
    NoSource,
    /// It has several sources, and Argo CD is too old to sync one of them to our commit.
    TooOld {
        /// Argo CD's version, in its own words.
        version: String,
    },
    /// Argo CD refused the sync for a reason of its own.
    Refused {
        /// Its words.
        said: String,
    },
    /// The branch was rewritten after our commit.
    BranchRewritten,
    /// Nothing came of the request: no commit was begun.
    NothingDone,
    /// A fault that does not go away.
    Fault {
        /// Which.
        fault: Fault,
    },
}

/// The last word on a deployment, by the watch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LastWord {
    /// Our commit is synced and healthy and runs our image.
    Live {
        proof: Proof,
        /// Who synced the application in Argo CD after us, if somebody did.
        synced_by: Option<String>,
        /// Pages of the app.
        urls: Vec<String>,
    },
    /// It failed.
    Failed {
        /// How.
        failure: Failure,
    },
    /// Something newer took its place.
    Superseded {
        /// By a newer deployment of ours.
        by_deployment: Option<DeploymentId>,
        /// Or by somebody in Argo CD.
        by_person: Option<String>,
    },
    /// The deadline passed.
    TimedOut {
        /// What it was waiting for.
        waiting: Option<Waiting>,
        /// Its last health.
        health: Option<String>,
    },
    /// We could not find out whether the commit landed.
    Unknown,
    /// Our sync was requested, and Argo CD does not show the application to us any more.
    Lost {
        /// What Argo CD says.
        failure: Failure,
    },
}

/// How a rendering goes that takes nothing from Argo CD's cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rendering {
    /// Argo CD was asked for it then.
    Asked(Timestamp),
    AskedAgain(Timestamp),
    Done,
}

/// How Argo CD says that it has not rendered a commit, because that failed before.
pub(super) const KEPT_ERROR: &str = "Manifest generation error (cached)";

impl LastWord {
    /// Argo CD does not render that commit any more for an hour; another commit it does.
    pub fn is_kept_error(&self) -> bool {
        matches!(self, Self::Failed { failure: Failure::Sync { message, .. } } if message.contains(KEPT_ERROR))
    }
}

/// An error that Argo CD also gives for passing reasons: it counts only after a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// Since when Argo CD gives this answer, and no other.
    pub since: Timestamp,
    /// When it was last given.
    pub last: Timestamp,
    /// It is about the sync; else about looking at the application.
    pub at_sync: bool,
    /// What it would mean.
    pub failure: Failure,
}

/// `watch`: what the watch asked for, saw and said. sync-poller writes it, under the watch lease.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchFact {
    /// In the order of the plan's applications. Those at its end at which nothing was done yet may be left out.
    pub applications: Vec<ApplicationWatch>,
    /// The watch's voice.
    pub voice: Voice,
}
fact!(WatchFact, "watch");

impl WatchFact {
    /// What is so at one application, by its place in the plan.
    pub fn at(&self, place: usize) -> ApplicationWatch {
        self.applications.get(place).cloned().unwrap_or_default()
    }

    pub fn set(&mut self, place: usize, watch: ApplicationWatch) {
        let many = self.applications.len().max(place.saturating_add(1));
        self.applications.resize_with(many, ApplicationWatch::default);
        self.applications.splice(place..=place, [watch]);
    }
}

#[cfg(any(test, feature = "samples"))]
impl From<ApplicationWatch> for WatchFact {
    fn from(one: ApplicationWatch) -> Self {
        Self { applications: vec![one], voice: Voice::default() }
    }
}

/// What the watch asked for and saw at one Argo CD application.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplicationWatch {
    /// When the sync was last asked for; saved before the asking.
    pub asked: Option<Timestamp>,
    /// When the newest operation before ours began, by Argo CD's clock: what began later came after ours.
    pub last_before: Option<Timestamp>,
    /// When Argo CD took it first, as far as we know: it said so, or our id was seen in its operation. A sync that is
    /// repeated changes nothing about this: the deadline counts from here.
    pub taken: Option<Timestamp>,
    /// Why it has to wait.
    pub waiting: Option<Waiting>,
    /// How far it is.
    pub progress: Option<Progress>,
    /// It was `Degraded` before we asked, what is excused apart.
    pub degraded_before: bool,
    /// What was not healthy at the last look before we asked, workloads apart: a few of them.
    pub before: Vec<Unwell>,
    /// What the last look showed besides.
    pub remarks: Remarks,
    /// Looks like a failure since then, after our sync: `Degraded`, or with another image.
    pub degraded_since: Option<Timestamp>,
    /// How often it was seen so.
    pub degraded_seen: u32,
    /// When it was first seen that the sync has ended.
    pub ended_seen: Option<Timestamp>,
    /// When Argo CD was last asked to compare again because it had not done so after the sync.
    pub refreshed: Option<Timestamp>,
    /// How often, so far without a comparison.
    pub refreshes: u32,
    /// Auto-sync is on, and the catalog does not say so.
    pub automated: bool,
    /// Where Argo CD syncs by itself: the application was looked at since the commit.
    pub looked: bool,
    /// What looks like a failure is about the image, not about the health.
    pub doubts_image: bool,
    /// Since when a look at the Pods fails that would decide.
    pub pods_unseen: Option<Timestamp>,
    /// Argo CD had kept an error of the rendering, and was to render anew.
    pub rendering: Option<Rendering>,
    /// A sync of ours has run hooks: it must not be repeated.
    pub hooks_ran: bool,
    /// The hook that a sync of ours waits for, and since when we see it.
    pub hook: Option<(String, Timestamp)>,
    /// How often our sync was requested again because the one before ended by a fault of Argo CD's own.
    pub repeats: u32,
    /// An error of Argo CD that would be final if it lasts.
    pub trouble: Option<Trouble>,
    /// How it ended here, while others of several are still followed.
    pub over: Option<LastWord>,
}

impl ApplicationWatch {
    /// Argo CD has the sync, now or since before.
    pub fn note_taken(&mut self, now: Timestamp) {
        self.taken.get_or_insert(now);
    }

    /// The sync may have begun.
    pub fn has_begun(&self) -> bool {
        self.asked.is_some() || self.taken.is_some()
    }
}

/// `outcome`: the last word. sync-poller writes it once, under the watch lease. A key of its own, because `watch` is written again and
/// again: a write of it that was on its way for long must not take the last word back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeFact {
    /// When.
    pub at: Timestamp,
    /// What.
    pub word: LastWord,
    /// At which of several applications.
    pub application: Option<ArgoApplication>,
}
fact!(OutcomeFact, "outcome");
