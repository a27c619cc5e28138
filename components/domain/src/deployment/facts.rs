//! What is known of one deployment, and the state that follows.

use super::attempts::CommitFact;
use super::fact::{
    ApprovalsFact, CancelFact, ChangesFact, CommittedFact, End, EndFact, MessageFact, PushFact, RequestFact, StopFact,
    WaitFact, WaitOver,
};
use super::plan::TargetPlan;
use super::voice::Place;
use super::watched::{ApplicationWatch, LastWord, OutcomeFact, WatchFact};
use crate::limits::Limits;
use crate::names::ArgoApplication;
use crate::refusal::Refusal;
use crate::time::{Timestamp, millis};
use serde::{Deserialize, Serialize};
use std::time::Duration;

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
    /// See [`StopFact`].
    pub stop: Option<StopFact>,
    /// See [`WaitFact`].
    pub wait: Option<WaitFact>,
}

/// How far a deployment is: computed. A history keeps it once it is final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
    /// Final: we refused.
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
    /// The fold: total, and independent of the order in which facts arrived. First `outcome`, then
    /// `committed`, then `end`, then `commit`, then `request`. The one final state that is ever replaced is
    /// an `end`, by `committed`: the watch says no last word over an `end`, see [`next`].
    pub fn state(&self) -> State {
        if let Some(outcome) = &self.outcome {
            return match outcome.word {
                LastWord::Live { .. } => State::Live,
                LastWord::Failed { .. } => State::Failed,
                LastWord::Superseded { .. } => State::Superseded,
                LastWord::TimedOut { .. } => State::TimedOut,
                LastWord::Unknown | LastWord::Lost { .. } => State::Unknown,
            };
        }
        if self.committed.is_some() {
            // Where Argo CD syncs by itself, nobody asks for it.
            return match (self.has_begun(), &self.push) {
                (true, _) => State::Syncing,
                (false, Some(_)) => State::Relayed,
                (false, None) => State::Committed,
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

    /// Whether the sync may have begun at any of the applications.
    pub fn has_begun(&self) -> bool {
        self.watch.iter().flat_map(|watch| &watch.applications).any(ApplicationWatch::has_begun)
    }

    /// Whether the sync is through at all of the applications.
    pub fn is_synced(&self) -> bool {
        let is_synced = |watch: &ApplicationWatch| watch.progress.as_ref().is_some_and(|progress| progress.synced);
        let applications = self.applications();
        !applications.is_empty() && applications.iter().all(|(_, watch)| is_synced(watch) || watch.over.is_some())
    }

    /// The applications of the plan, each with what was done and seen there.
    pub fn applications(&self) -> Vec<(&ArgoApplication, ApplicationWatch)> {
        let plan = self.commit.as_ref().map(CommitFact::target);
        let watch = |place| self.watch.as_ref().map(|watch| watch.at(place)).unwrap_or_default();
        let all = plan.into_iter().flat_map(|plan| plan.applications.iter());
        all.enumerate().map(|(place, application)| (application, watch(place))).collect()
    }

    /// What was done and seen at one of the applications.
    pub fn at(&self, application: &ArgoApplication) -> ApplicationWatch {
        let mut all = self.applications().into_iter();
        all.find(|(one, _)| one.is(application)).map(|(_, watch)| watch).unwrap_or_default()
    }

    /// The application that the last word is about: the only one, or that of several at which it was said.
    pub fn said_at(&self) -> ApplicationWatch {
        match self.outcome.as_ref().and_then(|outcome| outcome.application.as_ref()) {
            Some(application) => self.at(application),
            None => self.watch.as_ref().map(|watch| watch.at(0)).unwrap_or_default(),
        }
    }

    /// Whether the watch, and not slack-command, speaks now: after `committed`, and for an end by time.
    pub fn watch_speaks(&self) -> bool {
        self.committed.is_some() || self.outcome.is_some()
    }

    /// Whether enough people have agreed to what was refused for want of that: then it goes on as another
    /// deployment, in the same message.
    pub fn is_approved(&self) -> bool {
        let (Some(approvals), Some(refusal)) = (&self.approvals, self.refused()) else { return false };
        let asked = refusal.asks_approval();
        let is_enough = |asks: &Refusal| match asks {
            Refusal::NeedsApproval { target, count, reviewed, .. } => approvals.missing(target, *count, reviewed) == 0,
            _ => false,
        };
        approvals.rejected.is_none() && !asked.is_empty() && asked.into_iter().all(is_enough)
    }

    /// When the deployment went on as another one in the same message, if that was because what it waited for has passed.
    pub fn waited_until(&self) -> Option<Timestamp> {
        match self.wait.as_ref()?.over.as_ref()? {
            WaitOver::WentOn { at } => Some(*at),
            WaitOver::Late | WaitOver::Ended { .. } | WaitOver::Refused { .. } => None,
        }
    }

    /// Whether the deployment waits until what refused it has passed.
    pub fn waits(&self, now: Timestamp) -> bool {
        self.committed.is_none() && self.wait.as_ref().is_some_and(|wait| wait.over.is_none() && now < wait.until)
    }

    /// Whether the deployment was refused because approvals are missing. With them it may go on.
    pub fn waits_for_approval(&self) -> bool {
        self.refused().is_some_and(|refusal| !refusal.asks_approval().is_empty())
    }

    /// What is committed, or what people are asked to approve. Of several targets: the first.
    pub fn plan(&self) -> Option<&TargetPlan> {
        self.commit.as_ref().map(CommitFact::target).or_else(|| self.proposed().first())
    }

    /// What people are asked to approve.
    pub fn proposed(&self) -> &[TargetPlan] {
        match self.end.as_ref().map(|end| &end.end) {
            Some(End::Refused { plans, .. }) => plans,
            _ => &[],
        }
    }

    /// Why we refused, if we did and this build knows the reason.
    pub(crate) fn refused(&self) -> Option<Refusal> {
        let End::Refused { refusal, .. } = &self.end.as_ref()?.end else { return None };
        refusal.read()
    }

    /// Since when the commit may have been on the branch: the answer that it is there came later.
    pub fn written_at(&self) -> Option<Timestamp> {
        let committed = self.committed.as_ref()?;
        let attempt = self.commit.as_ref().and_then(|commit| commit.attempts.last()).filter(|_| !committed.reused);
        Some(attempt.map_or(committed.at, |attempt| attempt.at))
    }

    /// Whether the role that had to post the final words has posted them, or given them up.
    pub fn end_is_told(&self) -> bool {
        if self.watch_speaks() {
            self.outcome.is_some() && self.watch.as_ref().is_some_and(|watch| watch.voice.told_end)
        } else {
            self.end.is_some() && self.message.as_ref().is_some_and(|message| message.0.told_end)
        }
    }

    /// Whether people besides the asker are told of it: it has passed the gates, or waits for approvals. So is what the bot wanted
    /// to do by itself, because everybody has read that it would.
    pub fn concerns_others(&self) -> bool {
        if self.end.is_some() && self.is_unasked() {
            return true;
        }
        self.commit.is_some() || self.waits_for_approval() || self.wait.is_some()
    }

    /// The message that people see: the watch's own, if it had to write one, else slack-command's.
    pub fn place(&self) -> Option<&Place> {
        let watch = self.watch.as_ref().and_then(|watch| watch.voice.place.as_ref());
        let message = self.message.as_ref().and_then(|message| message.0.place.as_ref());
        // A deployment that goes on from a button has a message already.
        let before = self.request.as_ref().and_then(|request| request.origin.place());
        watch.or(message).or(before)
    }

    /// Link to that message. Slack opens `/archives/<channel>/p<ts without its dot>` on the workspace's
    /// own domain.
    pub fn link(&self) -> Option<String> {
        self.request.as_ref()?.link(self.place()?)
    }

    /// When the watch gives up, as far as is known now: at the first application that is late.
    pub fn deadline(&self, limits: &Limits) -> Option<Timestamp> {
        self.applications()
            .into_iter()
            .filter(|(_, watch)| watch.over.is_none())
            .filter_map(|(_, watch)| self.deadline_of(&watch, limits))
            .min()
    }

    /// When the watch gives up at one application. It is later once Argo CD has taken the sync: Argo CD may take its
    /// time until then, because another operation runs or a sync window is closed. The rollout has its own time, from
    /// there on.
    pub fn deadline_of(&self, watch: &ApplicationWatch, limits: &Limits) -> Option<Timestamp> {
        let (committed, commit) = self.committed.as_ref().zip(self.commit.as_ref())?;
        Some(match watch.taken {
            Some(taken) => taken.after(commit.target().deadline),
            None => committed.at.after(limits.sync_taken),
        })
    }

    /// Whether a target that names this deployment as `current` is busy: neither final nor older than its
    /// limit and two minutes.
    pub fn keeps_busy(&self, now: Timestamp, limits: &Limits) -> bool {
        if self.state().is_final() {
            return false;
        }
        let no_commit = || Some(self.request.as_ref()?.at.after(limits.no_commit));
        let limit = self.deadline(limits).or_else(no_commit);
        limit.is_some_and(|limit| now < limit.after(Duration::from_secs(120)))
    }
}

/// How long until a moment, at least zero.
pub fn until(moment: Timestamp, now: Timestamp) -> Duration {
    Duration::from_millis(moment.0.saturating_sub(now.0).min(millis(Duration::from_secs(3600))))
}
