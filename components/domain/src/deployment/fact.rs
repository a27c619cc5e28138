//! The facts: each is one key of a deployment, written whole, by one role only. Those of the watch are in [`super::watched`].

use super::attempts::CommitFact;
use super::origin::{Approval, Origin};
use super::plan::{CatalogPage, TargetPlan};
use super::voice::{Place, Thread, Voice};
use crate::command::DeployWords;
use crate::fault::Fault;
use crate::names::{
    ArgoApplication, CommandName, CommitSha, Contact, DeploymentId, GitHubLogin, ResponseUrl, SlackChannel, SlackTeam,
    SlackUser, Target,
};
use crate::refusal::Refusal;
use crate::time::Timestamp;
use crate::values::blob_sha;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Who writes a stored value, and so who may check whether it is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// slack-command, by a key that no other component has. The others read such a value as a hint.
    SlackCommandAlone,
    /// slack-command, by the key that it shares with sync-poller.
    SlackCommand,
    /// sync-poller, by the same key.
    SyncPoller,
    /// github-relay, which has no key: what it writes permits nothing.
    GithubRelay,
}

/// One key of a deployment. Each type says which key and who writes it.
pub trait Fact: Serialize + DeserializeOwned {
    /// The last part of its key.
    const NAME: &'static str;
    const WRITER: Writer;

    /// What is left of a value that is not ours. Nothing is left of what permits something. What forbids stays in force.
    fn if_forged(self) -> Option<Self> {
        None
    }
}

macro_rules! fact {
    ($type:ident, $name:literal, $writer:ident) => {
        impl Fact for $type {
            const NAME: &'static str = $name;
            const WRITER: Writer = Writer::$writer;
        }
    };
}
pub(super) use fact;

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
    /// In which thread, if in one. A mention without a thread begins one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<Thread>,
    /// Which workspace.
    pub team: SlackTeam,
    /// The workspace's part of `<domain>.slack.com`, for links; empty when Slack did not send it.
    pub team_domain: String,
    /// What, as typed and parsed. The catalog says later whether it exists.
    pub words: DeployWords,
    /// What the installation calls the command. Of a button: as in the message that the button is below.
    #[serde(default)]
    pub command: CommandName,
    /// Which click: [`click`] of its `response_url`; or which mention.
    pub click: String,
    pub origin: Origin,
    /// The button that was pressed, the same for everybody who presses it.
    pub button: Option<DeploymentId>,
}
fact!(RequestFact, "request", SlackCommandAlone);

impl RequestFact {
    /// The address of a message in the asker's workspace, if its name is known.
    pub fn link(&self, place: &Place) -> Option<String> {
        let domain = Some(self.team_domain.as_str()).filter(|domain| !domain.is_empty())?;
        let message = place.ts.as_str().replace('.', "");
        let channel = &place.channel;
        let thread = place.thread.as_ref().map(|thread| format!("?thread_ts={thread}&cid={channel}"));
        Some(format!("https://{domain}.slack.com/archives/{channel}/p{message}{}", thread.unwrap_or_default()))
    }
}

/// A copy of a [`RequestFact`] as JSON. github-relay reads it never, and so needs no code for it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CopiedRequest(serde_json::Value);

// The answer address in it is a secret.
impl fmt::Debug for CopiedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CopiedRequest(..)")
    }
}

impl CopiedRequest {
    /// The request, if this build knows all of it.
    pub fn read(&self) -> Option<RequestFact> {
        serde_json::from_value(self.0.clone()).ok()
    }
}

impl From<&RequestFact> for CopiedRequest {
    fn from(request: &RequestFact) -> Self {
        Self(serde_json::to_value(request).unwrap_or_default())
    }
}

/// `response-url`: the last resort for speaking. slack-command writes it at accept. The role that tells the end deletes it,
/// because for half an hour anybody who has the address can speak as the bot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResponseUrlFact {
    pub url: ResponseUrl,
}
fact!(ResponseUrlFact, "response-url", SlackCommand);

/// Tells clicks apart: each has a `response_url` of its own. The address cannot be found out from it.
pub fn click(response_url: &ResponseUrl) -> String {
    blob_sha(response_url.expose().as_bytes()).to_string()
}

/// `approvals`: what people said to a deployment that needs others to agree. slack-command writes it, under the lease `approvals/<id>`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalsFact {
    /// Who said yes, each once.
    pub given: Vec<Approval>,
    /// Who said no: then it is over.
    pub rejected: Option<Approval>,
}

impl ApprovalsFact {
    /// How many people have to agree to this target in Slack still. `reviewed`: whose reviews on GitHub count.
    pub fn missing(&self, target: &Target, count: u8, reviewed: &[SlackUser]) -> usize {
        let given = self.given.iter().filter(|approval| approval.is_for(target));
        let given: Vec<SlackUser> = given.map(|approval| approval.user.clone()).collect();
        approvals_missing(count, &given, reviewed)
    }
}

/// The same of some people: `given` agreed in Slack, each once. One always has to.
pub fn approvals_missing(count: u8, given: &[SlackUser], reviewed: &[SlackUser]) -> usize {
    let others = reviewed.iter().filter(|one| !given.contains(one)).count();
    usize::from(count).saturating_sub(given.len().saturating_add(others)).max(usize::from(given.is_empty()))
}

impl Fact for ApprovalsFact {
    const NAME: &'static str = "approvals";
    const WRITER: Writer = Writer::SlackCommandAlone;

    /// Nobody has approved; a rejection counts.
    fn if_forged(self) -> Option<Self> {
        Some(Self { given: Vec::new(), ..self })
    }
}

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
fact!(ChangesFact, "changes", SlackCommand);

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
fact!(GitHubFact, "github", SlackCommand);

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

fact!(CommitFact, "commit", SlackCommandAlone);

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
fact!(CommittedFact, "committed", SlackCommand);

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
        /// What is to be approved, where that is what it waits for: the plan of each target.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        plans: Vec<TargetPlan>,
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
    /// Whom the catalog says people turn to, as far as it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<Contact>,
    /// Where the catalog says what the end is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalog: Option<CatalogPage>,
}

impl Fact for EndFact {
    const NAME: &'static str = "end";
    const WRITER: Writer = Writer::SlackCommandAlone;

    /// It is over. What people are asked, or were told before they press a button, is not in it.
    fn if_forged(self) -> Option<Self> {
        Some(Self { at: self.at, end: End::Cancelled { by: None }, contact: None, catalog: None })
    }
}

/// `message`: slack-command's voice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MessageFact(pub Voice);
fact!(MessageFact, "message", SlackCommand);

/// `cancel`: a wish, never a state. slack-command writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelFact {
    /// Who wishes it. `None`: the bot took back a request that it could not accept.
    pub by: Option<SlackUser>,
    /// Since when.
    pub at: Timestamp,
}

impl Fact for CancelFact {
    const NAME: &'static str = "cancel";
    const WRITER: Writer = Writer::SlackCommand;

    /// It is cancelled, and nobody is named for that.
    fn if_forged(self) -> Option<Self> {
        Some(Self { by: None, ..self })
    }
}

/// `wait`: a deployment that was refused waits until what refused it has passed. Then it goes on as another one. slack-command
/// writes it, under the lease `waits`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitFact {
    /// It is given up then.
    pub until: Timestamp,
    /// The commit that is waited for: a newer one ends the wait.
    pub head: Option<CommitSha>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<WaitOver>,
}
fact!(WaitFact, "wait", SlackCommandAlone);

/// How a wait ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitOver {
    /// Nothing is in the way any more: it goes on as another deployment, in the same message.
    WentOn {
        /// When.
        at: Timestamp,
    },
    /// It took too long.
    Late,
    /// Somebody ended it.
    Ended { by: SlackUser },
    /// Something else is in the way, for which nobody can wait.
    Refused { refusal: StoredRefusal },
}

/// `stop`: somebody wants the sync of an older deployment to end that this one waits for. slack-command writes it; the watch
/// carries it out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopFact {
    /// Who.
    pub by: SlackUser,
    /// Whose sync.
    pub of: DeploymentId,
}
fact!(StopFact, "stop", SlackCommand);

/// `look`: the deployment would be refused because of what was seen of its application, so that is to be looked at again.
/// deploy writes it, under the target's lease. It decides nothing, so it is not among [`super::Facts`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookFact {
    pub at: Timestamp,
    pub application: ArgoApplication,
}
fact!(LookFact, "look", SlackCommand);

/// `push`: GitHub's webhook for our commit was relayed and Argo CD took it. github-relay writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushFact {
    /// GitHub's delivery id.
    pub delivery: String,
    /// When Argo CD had answered.
    pub at: Timestamp,
}
fact!(PushFact, "push", GithubRelay);
