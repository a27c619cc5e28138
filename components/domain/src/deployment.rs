//! The heart: what is known of one deployment (its facts), the state that follows from them, and what to do next.
//!
//! A [`State`] is computed and never stored. There is no shared record, because there is no compare-and-swap: each fact
//! is one key, written whole by one role, and nobody rewrites another role's key.
//!
//! ```text
//!            request          commit            committed            push             watch.ask
//!  (typed) ─────────▶ Accepted ──────▶ Committing ───────▶ Committed ─────▶ Relayed ──────────▶ Syncing ──▶ Live
//!                        │                 │                    │              │                   │
//!                        └──── end: Refused, Failed, Cancelled  └── outcome: Failed, Superseded, TimedOut
//!                        └──── outcome, 6 min after the request: Failed, Unknown
//! ```
//!
//! # Races, by name
//!
//! - **The webhook overtakes the mutation's answer.** The relay finds an attempt whose base is the push's `before` and reads
//!   `committed` again for 6 s. Never there: it answers 202; the watch goes on without a webhook 15 s after `committed`.
//! - **The process dies after the mutation, before `committed`.** The attempt was saved first, with the base and every new
//!   blob. Whoever resumes looks for exactly that commit, see [`CommitFact::is_ours`]; "nothing was changed" is not said before.
//! - **Somebody makes the same change meanwhile**, in the browser say, so that GitHub signs it, or with our words in its message. It
//!   is theirs: the commit has to name this deployment and to have nobody else as its author. Then the tag is "already written",
//!   until somebody asks for it to be taken over: by a commit of ours that changes nothing, see [`Taken`].
//! - **The branch is forced back before the mutation's answer is here.** A rewrite counts from the attempt on, see
//!   [`Facts::written_at`]: no sync then.
//! - **Argo CD's stream is behind**: it shows no operation although ours was taken, or has ended. Only an answer to a question of our
//!   own is a reason to ask for the sync again.
//! - **Argo CD's picture of the cluster is behind its own sync**: healthy, out of sync, with the old image. It is borne for a while.
//! - **Two carriers of one request** (a lease that ran out while its holder slept). Both use the same `expectedHeadOid` or a
//!   later one; GitHub lets one win, the other gets `STALE_DATA` and finds the winner's commit by its attempt.
//! - **Two requests for one target.** The second waits for the target's lease, then reads `current`. If the lease failed
//!   them, both may commit; before every sync the watch reads `current`, so an older commit never follows a newer one.
//! - **`end` and `committed` both written** (a carrier froze before its mutation was sent, another one ended it). The
//!   commit is in Git, so `committed` wins over `end`, and the deployment goes on.
//! - **The watch ends by time while the commit lands.** `outcome` wins; the words say that the commit may land, and typing
//!   the command again goes on with it.
//! - **Two watches** (Redis was flushed). Both ask for the same commit with the same id; Argo CD has one operation per
//!   application and the second sees its own id in it. Messages are rendered from the same facts, so they say the same.
//! - **A write that lands late** (its writer was killed or frozen, or lost its lease while the store was slow). It is an older state of one
//!   key. The keys that decide (`committed`, `end`, `outcome`) are looked at before they are written; an older `watch` or `message` costs
//!   an edit more. After the commit an older `commit` counts no more (`committed` has what was committed), nor does the other voice's note
//!   where the message is. An older `current` is known by whom it names, see [`turn`]; a ring that lost ids gets them back.
//! - **A holder freezes inside a call** (between its last look at the lease and the moment the request leaves), and goes on when others have
//!   long taken over. Nothing can fence that at Slack or Argo CD: its old words come over newer ones, its sync of an older commit after a
//!   newer one. Old words stand until the next edit; after the final words nobody mends them. A post that came late is one message more.
//!   A sync is mended: the watch that wakes finds its lease lost, waits until its calls can land no more, says so in the log and asks for the
//!   newer commit again, in that deployment's name and without a lease, see [`overtaken`]. A watch that sees another deployment's operation
//!   after its own asks again while it is still its turn. Between the late sync and the mending the cluster may run the older version; if
//!   the process that woke is killed in between, nobody mends a sync over a live version until the next deploy.

mod attempts;
mod decisions;
mod origin;
mod plan;
#[cfg(any(test, feature = "samples"))]
pub mod samples;

pub use attempts::{Attempt, Candidate, CommitFact, Granted};
pub use decisions::{Next, Overtaken, REFRESH_AFTER, Step, Turn, View, next, overtaken, step, turn};
pub use origin::{Approval, Origin};
pub use plan::{GitOpsBranch, Plan, Previous, Reference, Rider, Riders, Source, Taken, TargetPlan};

use crate::command::DeployWords;
use crate::fault::Fault;
use crate::limits::Limits;
use crate::names::{CommitSha, DeploymentId, GitHubLogin, MessageTs, ResponseUrl, SlackChannel, SlackTeam, SlackUser};
use crate::refusal::Refusal;
use crate::time::{Timestamp, millis};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::time::Duration;

/// One key of a deployment: which, and who writes it is in design and in each type's sentence.
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
    #[serde(default)]
    pub given: Vec<Approval>,
    /// Who said no: then it is over.
    #[serde(default)]
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
    #[serde(default)]
    pub url: Option<String>,
}
fact!(ChangesFact, "changes");

/// `github`: what GitHub was told of the deploy, for the pull request to show. slack-command writes it after the commit, under the lease of
/// whoever carries the deployment; nothing is decided by it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitHubFact {
    /// It was asked to make a deployment of its own. Saved before the asking, so that one that was not answered is looked for.
    #[serde(default)]
    pub asked: bool,
    /// GitHub's id of it.
    #[serde(default)]
    pub id: Option<u64>,
    /// What it was told last.
    #[serde(default)]
    pub told: Option<DeploymentState>,
    /// So many calls have failed since.
    #[serde(default)]
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
    #[serde(default)]
    pub login: Option<GitHubLogin>,
}

/// How a deploy goes, in GitHub's words.
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

impl DeploymentState {
    /// As GitHub writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::InProgress => "in_progress",
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Error => "error",
            Self::Inactive => "inactive",
        }
    }
}

fact!(CommitFact, "commit");

/// `committed`: the commit is on the branch. slack-command writes it once, without a lease: it is true whoever says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommittedFact {
    /// The commit.
    pub sha: CommitSha,
    /// When we knew.
    pub at: Timestamp,
    /// The wanted tag was there already, by an earlier commit of ours.
    pub reused: bool,
    /// What was committed. From here on it counts, and not the key `commit`: a write of that key that was on its way for long must not
    /// change what is looked for in the cluster.
    pub commit: Box<CommitFact>,
}
fact!(CommittedFact, "committed");

/// A [`Refusal`] as JSON. Only slack-command, which tells it, understands it again: the other components read the facts too, and
/// need not carry the code for every reason there is. One that this build does not know is told without its reason.
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
    /// We said no.
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
        /// Who; nobody: we did, because it could not be accepted.
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

/// Where a message is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Its channel, as Slack's answer named it.
    pub channel: SlackChannel,
    /// Its id.
    pub ts: MessageTs,
}

/// Why a role may write no message, or no further one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lost {
    /// Slack refused the call: the token, a right, or what was sent.
    Refused,
    /// Posts had no answer: each may have left a message that nobody edits. Slack has not refused, so the final words may be posted.
    NoAnswer,
    /// The channel takes no message: Slack's error.
    Gone(String),
}

/// Words that were told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Which, as [`words_hash`] says.
    pub words: u64,
    /// When the call began.
    pub at: Timestamp,
}

/// What one role (slack-command, or the watch) knows of its side of the message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Voice {
    /// A call is in flight since then (or its caller died). Only slack-command says so.
    pub speaking: Option<Timestamp>,
    /// The message.
    pub place: Option<Place>,
    /// Why there can be no message.
    pub lost: Option<Lost>,
    /// The words that were told last, or given up.
    pub told: Option<Told>,
    /// The final words were told or given up, and people were called to them where that is due.
    pub told_end: bool,
    /// The message took the place of one that could not be edited any more; should that happen again, only the end gets another.
    pub replaced: bool,
    /// Posts without an answer.
    pub unsure_posts: u8,
    /// The last edit without an answer: it may still land, over newer words.
    pub unsure_edit: Option<Timestamp>,
    /// Uses of the `response_url` so far; Slack allows five.
    pub response_url_uses: u8,
}

impl Voice {
    /// Whether a message may be written or edited: not where Slack refused it, and after posts without an answer only at the end.
    pub fn may_write(&self, last: bool) -> bool {
        match self.lost {
            None => true,
            Some(Lost::NoAnswer) => last,
            Some(Lost::Refused | Lost::Gone(_)) => false,
        }
    }
}

/// `message`: slack-command's voice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MessageFact(pub Voice);
fact!(MessageFact, "message");

/// `cancel`: a wish, never a state. slack-command writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelFact {
    /// Who wishes it; nobody: the request could not be accepted as a whole.
    pub by: Option<SlackUser>,
    /// Since when.
    pub at: Timestamp,
}
fact!(CancelFact, "cancel");

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
    },
    /// A sync window is closed.
    SyncWindow,
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
    /// Resources applied so far, and all.
    pub resources: Option<(u32, u32)>,
    /// Which retry this is.
    pub retry: u32,
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
    /// Synced and healthy, but the application does not run our image.
    OtherImage {
        /// The image that should run.
        wanted: String,
        /// What runs.
        runs: Vec<String>,
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
        /// Argo CD says `Suspended`: live, but paused.
        paused: bool,
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
}

/// `watch`: what the watch asked for, saw and said. sync-poller writes it, under the watch lease.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchFact {
    /// When the sync was last asked for; saved before the asking.
    pub asked: Option<Timestamp>,
    /// When the newest operation before ours began, by Argo CD's clock: what began later came after ours.
    pub last_before: Option<Timestamp>,
    /// Argo CD took it: it said so, or our id was seen in its operation.
    pub taken: bool,
    /// Why it has to wait.
    pub waiting: Option<Waiting>,
    /// How far it is.
    pub progress: Option<Progress>,
    /// It was `Degraded` before we asked.
    pub degraded_before: bool,
    /// `Degraded`, or still with another image although not in sync, since then, after our sync.
    pub degraded_since: Option<Timestamp>,
    /// How often it was seen so.
    pub degraded_seen: u32,
    /// When it was first seen that the sync has ended.
    pub ended_seen: Option<Timestamp>,
    /// When Argo CD was last asked to compare again because it had not done so after the sync.
    pub refreshed: Option<Timestamp>,
    /// Auto-sync is switched on, which it should not be.
    pub automated: bool,
    /// The watch's voice.
    pub voice: Voice,
}
fact!(WatchFact, "watch");

impl WatchFact {
    /// Takes what a look at Argo CD has changed. What was told meanwhile stays.
    pub fn seen(&mut self, looked: Self) {
        *self = Self { voice: std::mem::take(&mut self.voice), ..looked };
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
}
fact!(OutcomeFact, "outcome");

/// All facts of one deployment, as far as they are there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// See [`RequestFact`].
    pub request: Option<RequestFact>,
    /// See [`CommitFact`].
    pub commit: Option<CommitFact>,
    /// See [`CommittedFact`].
    pub committed: Option<CommittedFact>,
    /// See [`EndFact`].
    pub end: Option<EndFact>,
    /// See [`MessageFact`].
    pub message: Option<MessageFact>,
    /// See [`CancelFact`].
    pub cancel: Option<CancelFact>,
    /// See [`PushFact`].
    pub push: Option<PushFact>,
    /// See [`WatchFact`].
    pub watch: Option<WatchFact>,
    /// See [`OutcomeFact`].
    pub outcome: Option<OutcomeFact>,
    /// See [`ApprovalsFact`].
    pub approvals: Option<ApprovalsFact>,
    /// See [`ChangesFact`].
    pub changes: Option<ChangesFact>,
}

/// Where a deployment stands: computed, never stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Asked for; nothing decided yet.
    Accepted,
    /// Decided; the commit is being made.
    Committing,
    /// The commit is on the branch.
    Committed,
    /// Argo CD has GitHub's webhook for it.
    Relayed,
    /// The sync was asked for.
    Syncing,
    /// Final: it runs.
    Live,
    /// Final: it failed.
    Failed,
    /// Final: we said no.
    Refused,
    /// Final: something newer took its place.
    Superseded,
    /// Final: the deadline passed.
    TimedOut,
    /// Final: somebody cancelled it.
    Cancelled,
    /// Final: nobody could find out whether the commit landed.
    Unknown,
}

impl State {
    /// Whether nothing more will happen.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Accepted | Self::Committing | Self::Committed | Self::Relayed | Self::Syncing)
    }
}

impl Facts {
    /// The fold: total, and independent of the order in which facts arrived. First `outcome`, then `committed`, then
    /// `end`, then `commit`, then `request`. The one final state that is ever replaced is an `end`, by `committed`: the watch says no
    /// last word over an `end`, see [`next`].
    pub fn state(&self) -> State {
        if let Some(outcome) = &self.outcome {
            return match outcome.word {
                LastWord::Live { .. } => State::Live,
                LastWord::Failed { .. } => State::Failed,
                LastWord::Superseded { .. } => State::Superseded,
                LastWord::TimedOut { .. } => State::TimedOut,
                LastWord::Unknown => State::Unknown,
            };
        }
        if self.committed.is_some() {
            return match (self.watch.as_ref().and_then(|watch| watch.asked), &self.push) {
                (Some(_), _) => State::Syncing,
                (None, Some(_)) => State::Relayed,
                (None, None) => State::Committed,
            };
        }
        match (&self.end, &self.commit) {
            (Some(EndFact { end: End::Refused { .. }, .. }), _) => State::Refused,
            (Some(EndFact { end: End::Failed { .. }, .. }), _) => State::Failed,
            (Some(EndFact { end: End::Cancelled { .. }, .. }), _) => State::Cancelled,
            (None, Some(_)) => State::Committing,
            (None, None) => State::Accepted,
        }
    }

    /// Whether the watch, and not slack-command, speaks now: after `committed`, and for an end by time.
    pub fn watch_speaks(&self) -> bool {
        self.committed.is_some() || self.outcome.is_some()
    }

    /// Whether enough people have agreed to what was refused for want of that: then it goes on as another deployment, in the same message.
    pub fn is_approved(&self) -> bool {
        self.approvals_needed().zip(self.approvals.as_ref()).is_some_and(|(count, approvals)| {
            approvals.rejected.is_none() && approvals.given.len() >= usize::from(count)
        })
    }

    /// Whether it was refused for want of people who agree: it may go on when they have.
    pub fn waits_for_approval(&self) -> bool {
        self.approvals_needed().is_some()
    }

    fn approvals_needed(&self) -> Option<u8> {
        let End::Refused { refusal } = &self.end.as_ref()?.end else { return None };
        match refusal.read()? {
            Refusal::NeedsApproval { count, .. } => Some(count),
            _ => None,
        }
    }

    /// Since when the commit may have been on the branch: the answer that it is there came later.
    pub fn written_at(&self) -> Option<Timestamp> {
        let committed = self.committed.as_ref()?;
        let attempt = self.commit.as_ref().and_then(|commit| commit.attempts.last()).filter(|_| !committed.reused);
        Some(attempt.map_or(committed.at, |attempt| attempt.at))
    }

    /// Whether the final words were told by whoever had to.
    pub fn end_is_told(&self) -> bool {
        if self.watch_speaks() {
            self.outcome.is_some() && self.watch.as_ref().is_some_and(|watch| watch.voice.told_end)
        } else {
            self.end.is_some() && self.message.as_ref().is_some_and(|message| message.0.told_end)
        }
    }

    /// The message that people see: the watch's own, if it had to write one, else slack-command's.
    pub fn place(&self) -> Option<&Place> {
        let watch = self.watch.as_ref().and_then(|watch| watch.voice.place.as_ref());
        let message = self.message.as_ref().and_then(|message| message.0.place.as_ref());
        // What went on from a button has a message already.
        let before = self.request.as_ref().and_then(|request| request.origin.place());
        watch.or(message).or(before)
    }

    /// Link to that message. Slack opens `/archives/<channel>/p<ts without its dot>` on the workspace's own domain.
    pub fn link(&self) -> Option<String> {
        let domain =
            self.request.as_ref().map(|request| request.team_domain.as_str()).filter(|domain| !domain.is_empty())?;
        let place = self.place()?;
        Some(format!("https://{domain}.slack.com/archives/{}/p{}", place.channel, place.ts.as_str().replace('.', "")))
    }

    /// Whether a target that names this deployment as `current` is busy: neither final nor older than its limit and two minutes.
    pub fn keeps_busy(&self, now: Timestamp, limits: &Limits) -> bool {
        if self.state().is_final() {
            return false;
        }
        let (since, limit) = match (&self.committed, &self.commit, &self.request) {
            (Some(committed), Some(commit), _) => (committed.at, commit.target().deadline),
            (_, _, Some(request)) => (request.at, limits.no_commit),
            _ => return false,
        };
        now.since(since) < limit.saturating_add(Duration::from_secs(120))
    }
}

/// A hash of what was told, so that the same words are not told twice. Not cryptographic: a collision costs one edit.
pub fn words_hash(words: &str) -> u64 {
    // FNV-1a: stable across builds, unlike the standard library's hasher, because it is stored.
    words.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// How long until a moment, at least zero.
pub fn until(moment: Timestamp, now: Timestamp) -> Duration {
    Duration::from_millis(moment.0.saturating_sub(now.0).min(millis(Duration::from_secs(3600))))
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "test code")]
mod tests;
