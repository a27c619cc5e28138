//! The facts that the watch writes: what it asked for and saw at each application, and the last word.

use super::fact::{Fact, Writer, fact};
use super::proof::{Doubt, Proof};
use super::remarks::Remarks;
use super::voice::Voice;
use crate::application::{KEPT_ERROR, Unwell};
use crate::fault::Fault;
use crate::names::{ArgoApplication, DeploymentId};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

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
    /// It reads a file or a folder by now that was not looked at, and nothing may ride along.
    ReadsMore {
        /// Which; the root is the empty text.
        path: String,
    },
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
fact!(WatchFact, "watch", SyncPoller);

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
    /// The commits, one per source, at which the cluster was last seen to differ from Git, ours among them.
    pub differed: Vec<String>,
    /// What looks like a failure is about the image, not about the health.
    pub doubts_image: bool,
    /// Since when a look at the Pods fails that would decide.
    pub pods_unseen: Option<Timestamp>,
    /// Argo CD had kept an error of the rendering, and was to render anew.
    pub rendering: Option<Rendering>,
    /// A sync of ours has run hooks: it must not be repeated.
    pub hooks_ran: bool,
    /// What was looked at last is what our own operation made.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_own: bool,
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
fact!(OutcomeFact, "outcome", SyncPoller);
