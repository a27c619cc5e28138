//! What a target's history keeps of a deployment beside its facts: what `history` shows, and by what a rollback finds its
//! version. The plan is not part of it.
//!
//! Easy to miss: a rollback believes it, so it is made of facts that are ours only, and kept only once they cannot change.

use super::{CommitFact, CommittedFact, Facts, State};
use crate::image::{Digest, Tag};
use crate::names::{CommitSha, DeploymentId, EnvironmentName, SlackUser};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How much is kept of a text.
const SHORT: usize = 60;
/// After so long no commit of a deployment that has ended without one can land: its carrier is gone.
const SETTLED: Duration = Duration::from_secs(600);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    pub id: DeploymentId,
    /// Who asked for it, if this build knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<SlackUser>,
    /// When the commit was on the branch; else when it ended, or was asked for.
    pub at: Timestamp,
    /// What was asked for: `checkout #42`.
    pub what: String,
    /// Why gates were overridden, or were to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overridden: Option<String>,
    pub became: Became,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Became {
    /// The commit is on the branch.
    Version(Box<PastVersion>),
    /// Nothing came of it; why, as Slack shows that.
    Nothing { why: String },
    /// Nobody reads of it: it has not ended, or went on as another deployment.
    Unsaid,
}

/// A version that reached the branch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastVersion {
    pub tag: Tag,
    /// When the commit was on the branch. Kept once, as [`Past::at`]; who takes the version out of its [`Past`] puts it here.
    #[serde(skip)]
    pub at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Its commit in the GitOps repository.
    pub sha: CommitSha,
    /// The page of that repository.
    pub page: String,
    pub state: State,
    /// The tag that it replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// It brought an earlier version back.
    #[serde(default, skip_serializing_if = "is_false")]
    pub rollback: bool,
    /// The environment that it was promoted from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promoted_from: Option<EnvironmentName>,
    /// The tag was there already, by an earlier commit of ours.
    #[serde(default, skip_serializing_if = "is_false")]
    pub reused: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approved_by: Vec<SlackUser>,
    /// The commit of somebody else that it took over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_over: Option<CommitSha>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// The beginning of a text. How it is shown is for the message to say.
fn clip(text: &str, limit: usize) -> String {
    text.chars().take(limit).collect()
}

impl PastVersion {
    fn of(committed: &CommittedFact, commit: &CommitFact, state: State) -> Self {
        let (plan, granted) = (commit.target(), &commit.granted);
        Self {
            tag: plan.tag.clone(),
            at: Timestamp::default(),
            digest: plan.digest.clone(),
            sha: committed.sha.clone(),
            page: commit.plan.gitops.url.clone(),
            state,
            before: plan.before.clone(),
            rollback: plan.rollback,
            promoted_from: plan.promoted_from.clone(),
            reused: committed.reused,
            approved_by: granted.approved_by.clone(),
            took_over: plan.taken.as_ref().map(|taken| taken.wrote.clone()),
        }
    }

    /// Whether it is that image: tags of one commit may differ, and a tag may be pushed again.
    pub fn is(&self, tag: &Tag, digest: Option<&Digest>) -> bool {
        match (&self.digest, digest) {
            (Some(one), Some(other)) => one == other,
            _ => self.tag == *tag,
        }
    }
}

impl Past {
    /// What is known of a deployment so far. `None`: nothing. `why`: why it came to nothing, as Slack shows that.
    pub(crate) fn of(id: &DeploymentId, facts: &Facts, why: Option<String>) -> Option<Self> {
        let (request, committed) = (facts.request.as_ref(), facts.committed.as_ref().zip(facts.commit.as_ref()));
        let asked = request.map(|request| request.at);
        let at = committed.map(|(committed, _)| committed.at).or(facts.end.as_ref().map(|end| end.at)).or(asked)?;
        let overridden = match committed {
            Some((_, commit)) => commit.granted.overridden.as_ref(),
            None => request.and_then(|request| request.words.override_reason.as_ref()),
        };
        let became = match committed {
            Some((committed, commit)) => Became::Version(Box::new(PastVersion::of(committed, commit, facts.state()))),
            None => why.map_or(Became::Unsaid, |why| Became::Nothing { why }),
        };
        Some(Self {
            id: id.clone(),
            by: request.map(|request| request.user.clone()),
            at,
            what: request.map(|request| clip(&request.words.to_string(), SHORT)).unwrap_or_default(),
            overridden: overridden.map(|reason| clip(reason, 2 * SHORT)),
            became,
        })
    }

    /// Whether the name of its commit begins so, or its own.
    pub fn is_named(&self, begin: &str) -> bool {
        let commit = self.version().map(|version| version.sha.as_str());
        self.id.as_str().starts_with(begin) || commit.is_some_and(|commit| commit.starts_with(begin))
    }

    /// The version, if it reached the branch.
    pub fn version(&self) -> Option<&PastVersion> {
        match &self.became {
            Became::Version(version) => Some(version),
            Became::Nothing { .. } | Became::Unsaid => None,
        }
    }
}

impl Became {
    /// The version, if it reached the branch.
    pub fn version(self) -> Option<PastVersion> {
        match self {
            Self::Version(version) => Some(*version),
            Self::Nothing { .. } | Self::Unsaid => None,
        }
    }
}

impl Facts {
    /// Whether the deployment waits for approvals, and somebody can still give one.
    pub fn may_be_approved(&self, now: Timestamp) -> bool {
        self.committed.is_none() && self.is_voted_on(now) && !self.is_approved()
    }

    fn is_voted_on(&self, now: Timestamp) -> bool {
        let is_rejected = self.approvals.as_ref().is_some_and(|approvals| approvals.rejected.is_some());
        let until = self.refused().and_then(|refusal| refusal.approved_until());
        until.is_some_and(|until| now < until) && !is_rejected
    }

    /// Whether what a [`Past`] is made of can change no more.
    pub fn is_settled(&self, now: Timestamp) -> bool {
        if self.committed.is_some() {
            return self.outcome.is_some();
        }
        let ended = self.end.as_ref().map(|end| end.at).filter(|_| !self.is_voted_on(now) && !self.waits(now));
        ended.zip(self.request.as_ref()).is_some_and(|(ended, request)| now >= ended.max(request.at).after(SETTLED))
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{at, cancelled, commit, committed, id, live, relayed, request, sha, target_plan, user};
    use super::super::{Approval, ApprovalsFact, EndFact, OutcomeFact};
    use super::*;
    use crate::deployment::End;
    use crate::refusal::Refusal;

    fn waits() -> EndFact {
        let refusal = Refusal::NeedsApproval {
            target: Box::new(target_plan().target),
            head: None,
            tag: target_plan().tag,
            count: 2,
            users: Box::default(),
            groups: Box::default(),
            reviewed: Box::default(),
            until: at(3600),
            about: Box::default(),
        };
        EndFact {
            at: at(5),
            contact: None,
            catalog: None,
            end: End::Refused { refusal: (&refusal).into(), plans: Vec::new() },
        }
    }

    #[test]
    fn an_entry_is_small() {
        let mut facts =
            Facts { outcome: Some(OutcomeFact { at: at(60), word: live(), application: None }), ..relayed() };
        let mut full = commit();
        full.target_mut().digest = Digest::parse(&format!("sha256:{}", "0".repeat(64))).ok();
        full.granted.approved_by = vec![user("U0123456789")];
        facts.committed = Some(CommittedFact { commit: Box::new(full.clone()), ..committed() });
        facts.commit = Some(full);
        let past = Past::of(&id('1'), &facts, None).unwrap();
        let text = serde_json::to_string(&past).unwrap();
        assert_eq!(serde_json::from_str::<Past>(&text).unwrap(), past);
        insta::assert_snapshot!(text, @r#"{"id":"11111111111111111111111111111111","by":"U2CERLKJA","at":1787301766000,"what":"checkout #42","became":{"version":{"tag":"faster-cart-aaaaaaa","digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000","sha":"dddddddddddddddddddddddddddddddddddddddd","page":"https://github.com/acme/gitops","state":"live","before":"main-1234567","approved_by":["U0123456789"]}}}"#);
        assert!(text.len() < 400, "{}", text.len());
        let refused = Facts { request: Some(request()), end: Some(waits()), ..Facts::default() };
        let text = serde_json::to_string(
            &Past::of(&id('1'), &refused, Some("`faster-cart-aaaaaaa` needs 2 approvals by <@U7>".to_owned())).unwrap(),
        )
        .unwrap();
        insta::assert_snapshot!(text, @r#"{"id":"11111111111111111111111111111111","by":"U2CERLKJA","at":1787301768000,"what":"checkout #42","became":{"nothing":{"why":"`faster-cart-aaaaaaa` needs 2 approvals by <@U7>"}}}"#);
        assert!(text.len() < 400, "{}", text.len());
        assert_eq!(past.version().map(|version| &version.sha), Some(&sha('d')));
    }

    #[test]
    fn past_is_what_can_change_no_more() {
        let check = |facts: &Facts, seconds: u64, expected: bool| {
            assert_eq!(facts.is_settled(at(seconds)), expected, "{seconds}: {facts:?}");
        };
        let outcome = Some(OutcomeFact { at: at(60), word: live(), application: None });
        check(&relayed(), 1_000_000, false);
        check(&Facts { outcome: outcome.clone(), ..relayed() }, 60, true);
        let ended = |end| Facts { request: Some(request()), end: Some(end), ..Facts::default() };
        check(&ended(cancelled()), 600, false);
        check(&ended(cancelled()), 700, true);
        // A commit may come after an end, and counts then.
        check(&Facts { committed: relayed().committed, ..ended(cancelled()) }, 700, false);
        // A last word without a commit: the commit may be there all the same.
        check(&Facts { outcome, request: Some(request()), ..Facts::default() }, 1_000_000, false);
        check(&ended(waits()), 3599, false);
        check(&ended(waits()), 3600, true);
        let rejected = Some(ApprovalsFact {
            given: Vec::new(),
            rejected: Some(Approval { user: user("U8"), at: at(9), targets: Vec::new() }),
        });
        check(&Facts { approvals: rejected, ..ended(waits()) }, 700, true);
    }
}
