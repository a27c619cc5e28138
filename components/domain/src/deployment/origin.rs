//! Where a request came from: typed, or asked for with a button of an earlier message. A button is a request
//! of its own, which goes through every gate again; the request brings along what the person who pressed the
//! button was shown.

use super::{Place, Riders, TargetPlan};
use crate::image::{Digest, Tag};
use crate::names::{CommitSha, DeploymentId, SlackUser, Target};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Somebody approved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    pub user: SlackUser,
    pub at: Timestamp,
    /// Of several targets, those that this person may approve. Empty: there is only one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<Target>,
}

impl Approval {
    /// Whether this target is approved by it.
    pub fn is_for(&self, target: &Target) -> bool {
        self.targets.is_empty() || self.targets.contains(target)
    }
}

/// What people were shown when they approved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    pub digest: Option<Digest>,
    /// What is replaced.
    pub before: Option<String>,
    /// The commits of other people that go live with it, as far as they were read.
    pub riders: Vec<CommitSha>,
    /// These are all of them.
    pub counted: bool,
    /// See [`TargetPlan::elsewhere`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub elsewhere: Vec<(String, String)>,
}

impl From<&TargetPlan> for Shown {
    fn from(plan: &TargetPlan) -> Self {
        let (riders, counted) = match &plan.riders {
            Riders::FirstDeploy => (plan.there.clone(), false),
            Riders::Since { commits, more } => (commits.iter().map(|rider| rider.sha.clone()).collect(), !more),
        };
        let (digest, before, elsewhere) = (plan.digest.clone(), plan.before.clone(), plan.elsewhere.clone());
        Self { digest, before, riders, counted, elsewhere }
    }
}

/// What the person was told who presses *Deploy anyway*.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Warned {
    /// This version was rolled back.
    RolledBack,
    /// This image stands behind the tag now, and another one did before.
    Image(Digest),
    /// It is locked, since then.
    Locked(Timestamp),
    /// This image is promoted, although another version was deployed after it where it comes from.
    Promoted(Digest),
}

/// A tag and its image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackTo {
    pub tag: Tag,
    pub digest: Option<Digest>,
}

/// Where a request came from. `of` is the deployment, or the preview, whose message has the button.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A person typed the command.
    #[default]
    Typed,
    /// A person sent the form.
    Form,
    /// *Retry* of a deployment that came to nothing. `head`: the commit that its button was bound to, if any.
    Retry { of: DeploymentId, head: Option<CommitSha>, was: Box<Origin> },
    /// *Deploy* below a preview, or below a refusal that a moment has cured. `head` and `digest` are what was
    /// shown; a rollback has no `head`.
    Shown { of: DeploymentId, head: Option<CommitSha>, digest: Option<Digest> },
    /// *Roll back* below the message of `takes_away`. The button is void once another version was deployed.
    RollBack { of: DeploymentId, takes_away: Tag },
    /// *Deploy anyway*: the person was told something first.
    Anyway { of: DeploymentId, head: CommitSha, warned: Warned, was: Box<Origin> },
    /// *Deploy it*: the person was told that the commit `wrote`, which is not ours, put the tag into
    /// the file.
    TakeOver { of: DeploymentId, wrote: CommitSha, head: Option<CommitSha>, was: Box<Origin> },
    /// *Deploy* below the announcement of a push. The last of its commits wrote what is in the file.
    Pushed { wrote: Vec<CommitSha> },
    /// *Wait for it* below a refusal. `head`: the commit that was refused, where one was looked at.
    Wait { of: DeploymentId, head: Option<CommitSha>, was: Box<Origin> },
    /// What the deployment `of` waited for has passed. It goes on as this one, in the same message.
    Waited { of: DeploymentId, head: Option<CommitSha>, place: Option<Place>, was: Box<Origin> },
    /// Others approved the deployment `of`. It goes on as this one, in the same message.
    Approved {
        of: DeploymentId,
        head: Option<CommitSha>,
        shown: Shown,
        given: Vec<Approval>,
        place: Option<Place>,
        was: Box<Origin>,
    },
    /// Nobody: the deployment `of` ended degraded, and the catalog wants it back at `to`, the version live before. Its asker is
    /// named, and lends no rights.
    ByItself { of: DeploymentId, takes_away: Tag, to: BackTo },
    /// Several targets were asked for, and this is the deployment of one of them.
    Part { of: DeploymentId, was: Box<Origin> },
}

impl Origin {
    /// What goes over to a request that is made of this one: a retry, or what was approved, is not wrapped
    /// once more.
    pub fn inner(&self) -> Box<Self> {
        match self {
            Self::Retry { was, .. }
            | Self::Approved { was, .. }
            | Self::Wait { was, .. }
            | Self::Waited { was, .. }
            | Self::Part { was, .. } => was.clone(),
            other => Box::new(other.clone()),
        }
    }

    /// The commit that was to be deployed when the button was shown: the button is void once the branch
    /// has moved.
    pub fn head(&self) -> Option<&CommitSha> {
        match self {
            Self::Typed | Self::Form | Self::RollBack { .. } | Self::Pushed { .. } | Self::ByItself { .. } => None,
            Self::Anyway { head, .. } => Some(head),
            Self::Retry { head, .. }
            | Self::Shown { head, .. }
            | Self::TakeOver { head, .. }
            | Self::Wait { head, .. }
            | Self::Waited { head, .. }
            | Self::Approved { head, .. } => head.as_ref(),
            Self::Part { was, .. } => was.head(),
        }
    }

    /// The image that the person was shown, and so means.
    pub fn digest(&self) -> Option<&Digest> {
        match self {
            Self::Shown { digest, .. } => digest.as_ref(),
            Self::Anyway { warned: Warned::Image(digest) | Warned::Promoted(digest), .. } => Some(digest),
            // An approval that is out of date is asked for again.
            Self::Approved { .. } => None,
            other => other.was().and_then(Self::digest),
        }
    }

    /// The deployment that it tries again.
    pub fn retried(&self) -> Option<&DeploymentId> {
        match self {
            Self::Retry { of, .. } => Some(of),
            Self::Approved { was, .. } | Self::Part { was, .. } => was.retried(),
            _ => None,
        }
    }

    /// Who approved it.
    pub fn approvals(&self) -> &[Approval] {
        match self {
            Self::Approved { given, .. } => given,
            Self::Part { was, .. } => was.approvals(),
            _ => &[],
        }
    }

    /// What they were shown.
    pub fn approved(&self) -> Option<&Shown> {
        match self {
            Self::Approved { shown, .. } => Some(shown),
            Self::Part { was, .. } => was.approved(),
            _ => None,
        }
    }

    /// The request that this one repeats, or goes on with, and what its asker knew.
    fn was(&self) -> Option<&Self> {
        match self {
            Self::Typed
            | Self::Form
            | Self::Shown { .. }
            | Self::RollBack { .. }
            | Self::Pushed { .. }
            | Self::ByItself { .. } => None,
            Self::Retry { was, .. }
            | Self::Anyway { was, .. }
            | Self::TakeOver { was, .. }
            | Self::Wait { was, .. }
            | Self::Waited { was, .. }
            | Self::Approved { was, .. }
            | Self::Part { was, .. } => Some(was),
        }
    }

    /// The asker knows that this version was rolled back.
    pub fn knows_rolled_back(&self) -> bool {
        matches!(self, Self::Anyway { warned: Warned::RolledBack, .. })
            || self.was().is_some_and(Self::knows_rolled_back)
    }

    /// The asker knows of the lock that was set then.
    pub fn knows_lock(&self, since: Timestamp) -> bool {
        matches!(self, Self::Anyway { warned: Warned::Locked(known), .. } if *known == since)
            || self.was().is_some_and(|was| was.knows_lock(since))
    }

    /// The asker knows that this image stands behind the tag, and that another one did before.
    pub fn knows_image(&self, digest: &Digest) -> bool {
        let knows = matches!(self, Self::Anyway { warned: Warned::Image(known), .. } if known == digest);
        knows || self.was().is_some_and(|was| was.knows_image(digest))
    }

    /// The asker knows that this image is promoted, and that it is not of the newest deploy.
    pub fn knows_promoted(&self, digest: &Digest) -> bool {
        let knows = matches!(self, Self::Anyway { warned: Warned::Promoted(known), .. } if known == digest);
        knows || self.was().is_some_and(|was| was.knows_promoted(digest))
    }

    /// The asker knows that this commit of somebody else wrote the tag, and wants a commit of ours for it.
    pub fn takes_over(&self, wrote: &CommitSha) -> bool {
        let knows = match self {
            Self::TakeOver { wrote: known, .. } => known == wrote,
            Self::Pushed { wrote: known } => known.contains(wrote),
            _ => false,
        };
        knows || self.was().is_some_and(|was| was.takes_over(wrote))
    }

    /// The version below which a rollback was asked for.
    pub fn takes_away(&self) -> Option<&Tag> {
        match self {
            Self::RollBack { takes_away, .. } | Self::ByItself { takes_away, .. } => Some(takes_away),
            Self::Retry { was, .. }
            | Self::Approved { was, .. }
            | Self::Wait { was, .. }
            | Self::Waited { was, .. }
            | Self::Part { was, .. }
            | Self::Anyway { warned: Warned::Locked(_), was, .. } => was.takes_away(),
            Self::Typed
            | Self::Form
            | Self::Shown { .. }
            | Self::Anyway { .. }
            | Self::TakeOver { .. }
            | Self::Pushed { .. } => None,
        }
    }

    /// The deployment below which a rollback was asked for.
    pub fn rolls_back(&self) -> Option<&DeploymentId> {
        match self {
            Self::RollBack { of, .. } => Some(of),
            other => other.was().and_then(Self::rolls_back),
        }
    }

    /// Nobody asked for it: the deployment that it takes back, and the version to which. Somebody who tries it again asks.
    pub fn by_itself(&self) -> Option<(&DeploymentId, &BackTo)> {
        let Self::ByItself { of, to, .. } = self else { return None };
        Some((of, to))
    }

    /// The deployment of several targets that it is a part of.
    pub fn part_of(&self) -> Option<&DeploymentId> {
        let Self::Part { of, .. } = self else { return None };
        Some(of)
    }

    /// The message in which it goes on.
    pub fn place(&self) -> Option<&Place> {
        let (Self::Approved { place, .. } | Self::Waited { place, .. }) = self else { return None };
        place.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deployment::samples::{at, id, place, sha, user};

    fn approved(was: Origin) -> Origin {
        let given = vec![Approval { user: user("U7"), at: at(4), targets: Vec::new() }];
        let (of, head, place) = (id('2'), Some(sha('b')), Some(place("1503435956.000247")));
        Origin::Approved { of, head, shown: Shown::default(), given, place, was: was.inner() }
    }

    fn retry(was: &Origin) -> Origin {
        Origin::Retry { of: id('3'), head: was.head().cloned(), was: was.inner() }
    }

    #[test]
    fn an_approved_request_knows_what_its_asker_knew() {
        let typed = Origin::Typed;
        let anyway = Origin::Anyway { of: id('1'), head: sha('a'), warned: Warned::RolledBack, was: typed.inner() };
        let take_over = Origin::TakeOver { of: id('1'), wrote: sha('c'), head: None, was: anyway.inner() };
        let approved = approved(take_over);
        assert!(approved.knows_rolled_back() && approved.takes_over(&sha('c')) && !approved.takes_over(&sha('d')));
        assert_eq!((approved.head(), approved.approvals().len()), (Some(&sha('b')), 1));
        assert!(approved.place().is_some());
    }

    #[test]
    fn a_retry_keeps_the_commit_and_needs_new_approvals() {
        let retry = retry(&approved(Origin::Anyway {
            of: id('1'),
            head: sha('a'),
            warned: Warned::RolledBack,
            was: Box::default(),
        }));
        assert!(retry.knows_rolled_back());
        assert_eq!((retry.head(), retry.approvals(), retry.place()), (Some(&sha('b')), &[][..], None));
        assert_eq!((retry.of(), retry.retried()), (Some(&id('3')), Some(&id('3'))));
    }

    #[test]
    fn only_a_retry_or_an_approval_keeps_the_version_to_take_away() {
        let tag = Tag::parse("main-1234567").unwrap();
        let roll_back = Origin::RollBack { of: id('1'), takes_away: tag.clone() };
        assert_eq!(retry(&roll_back).takes_away(), Some(&tag));
        assert_eq!(approved(roll_back.clone()).takes_away(), Some(&tag));
        let anyway = Origin::Anyway { of: id('1'), head: sha('a'), warned: Warned::RolledBack, was: roll_back.inner() };
        assert_eq!(anyway.takes_away(), None);
    }

    #[test]
    fn the_commits_of_a_push_may_be_taken_over_each() {
        let pushed = Origin::Pushed { wrote: vec![sha('a'), sha('b')] };
        assert!(pushed.takes_over(&sha('b')) && retry(&pushed).takes_over(&sha('a')) && !pushed.takes_over(&sha('c')));
    }

    #[test]
    fn who_tries_again_what_went_back_by_itself_asks_for_it() {
        let tag = Tag::parse("main-1234567").unwrap();
        let to = BackTo { tag: tag.clone(), digest: None };
        let itself = Origin::ByItself { of: id('1'), takes_away: tag.clone(), to: to.clone() };
        assert_eq!((itself.by_itself(), itself.takes_away()), (Some((&id('1'), &to)), Some(&tag)));
        let anyway = Origin::Anyway { of: id('2'), head: sha('a'), warned: Warned::RolledBack, was: itself.inner() };
        assert_eq!((retry(&itself).by_itself(), anyway.by_itself()), (None, None));
    }

    #[test]
    fn retries_of_retries_do_not_pile_up() {
        let once = retry(&Origin::Typed);
        assert_eq!(retry(&once), once);
    }
}
