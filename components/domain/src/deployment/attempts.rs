//! The attempts to commit a plan: each is saved before it is sent, so that its commit is recognised whatever
//! happens then.

use super::fact::CopiedRequest;
use super::plan::{Plan, TargetPlan};
use crate::names::{BlobSha, CommitSha, DeploymentId, FilePath, SlackUser};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One call of the mutation: saved before it is sent, so that its commit can be recognised whatever
/// happens then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The parent that the commit would have.
    pub base: CommitSha,
    /// When.
    pub at: Timestamp,
    /// The blob that each file would have.
    pub files: BTreeMap<FilePath, BlobSha>,
    /// All files have the tag already: the commit would change nothing.
    pub unchanged: bool,
}

impl Attempt {
    /// How many files it changes.
    fn changes(&self) -> usize {
        if self.unchanged { 0 } else { self.files.len() }
    }
}

/// What people allowed for this deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    pub approved_by: Vec<SlackUser>,
    /// An owner overrode a gate, for this reason.
    pub overridden: Option<String>,
    /// The gates, by their keys, that did not hold up a version that was live before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passed_over: Vec<String>,
    /// Whose lock did not hold it up, and why that was locked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock_of: Option<(SlackUser, String)>,
}

impl Granted {
    /// Puts in what another gate granted.
    pub fn add(&mut self, other: Self) {
        self.approved_by.extend(other.approved_by);
        self.overridden = self.overridden.take().or(other.overridden);
        let new = other.passed_over.into_iter().filter(|gate| !self.passed_over.contains(gate)).collect::<Vec<_>>();
        self.passed_over.extend(new);
        self.lock_of = self.lock_of.take().or(other.lock_of);
    }
}

/// `commit`: the plan, what was granted, and the attempts so far. One key, so that an attempt is never saved
/// without its plan. slack-command writes it under the application's lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitFact {
    /// What was asked for, for those who cannot check whether the fact `request` is ours.
    pub request: CopiedRequest,
    pub plan: Plan,
    pub granted: Granted,
    pub attempts: Vec<Attempt>,
}

/// A commit that may be ours, as GitHub describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// All parents.
    pub parents: &'a [CommitSha],
    /// How many files it changed; unknown counts as no.
    pub changed_files: Option<u32>,
    /// The blobs at our paths in it.
    pub blobs: &'a BTreeMap<FilePath, BlobSha>,
    /// The deployment that its message names.
    pub deploy_id: Option<DeploymentId>,
    /// GitHub signed the commit. GitHub also signs what a person edits on GitHub's pages.
    pub signed_by_github: bool,
    /// This GitHub signs every commit that is made through it; an Enterprise Server need not.
    pub always_signed: bool,
    /// Whether its author is the account of our token; not known where GitHub knows no account.
    pub by_us: Option<bool>,
}

impl CommitFact {
    /// Whether a commit on the branch is the outcome of one of our attempts: its only parent is the attempt's
    /// base, every file has the attempt's content, nothing else changed (or nothing at all, where that was
    /// the attempt), it names this deployment, GitHub signed it, and nobody else is its author.
    pub fn is_ours(&self, id: &DeploymentId, candidate: &Candidate<'_>) -> bool {
        let made_by_us = match candidate.by_us {
            Some(by_us) => by_us && (candidate.signed_by_github || !candidate.always_signed),
            None => candidate.signed_by_github,
        };
        made_by_us
            && candidate.deploy_id.as_ref() == Some(id)
            && self.attempts.iter().any(|attempt| {
                candidate.parents == std::slice::from_ref(&attempt.base)
                    && candidate.changed_files.is_some_and(|count| usize::try_from(count) == Ok(attempt.changes()))
                    && attempt.files.iter().all(|(path, blob)| candidate.blobs.get(path) == Some(blob))
            })
    }

    /// The target. Today's commands make a plan of exactly one.
    pub fn target(&self) -> &TargetPlan {
        self.plan.targets.first()
    }

    /// Whether a commit of ours may be one that changes no file: such a commit is in no file's history.
    pub fn may_change_nothing(&self) -> bool {
        self.attempts.iter().any(|attempt| attempt.unchanged)
    }
}
