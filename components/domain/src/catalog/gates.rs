//! The gates of an environment: what has to be so before somebody may deploy there. One file each, which has
//! the key in the catalog, the check, and the gate's words in `/deploy apps` and in the preview. A new gate
//! is a file, a `mod` and a `pub use` line, and a line in the block below that says when the gate is checked; its
//! [`Refusal`] has its sentence in `message`.
//!
//! Nothing here asks anyone. The caller says who approved, what GitHub reports and what time it is. Only
//! Slack knows who is a guest, and who is in a user group: a check that has to know stops with [`Unmet::Asks`], the
//! caller asks Slack, and checks again.

mod allow;
mod approvals;
mod ask;
mod branches;
mod checks;
mod foreign;
mod freeze;
mod immutable;
mod only;
mod requires;
mod reviews;
mod status;

pub use allow::Allow;
pub use approvals::Approvals;
pub use ask::{Ask, GateAnswer};
pub use branches::BranchGlob;
pub(super) use branches::glob;
pub use checks::Checks;
pub use foreign::ForeignChanges;
pub use freeze::{Freeze, Frozen, InvalidWindow, Until};
pub use immutable::Immutable;
pub use only::{Closed, Only};
pub use requires::{LiveThere, Requires};
pub use reviews::Reviews;
pub use status::{GitOpsStatus, NewestThere};

use super::CatalogError;
use super::fields::{Entry, Fields};
use crate::deployment::{Granted, Origin, TargetPlan};
use crate::github::{CommitChecks, ReviewsState};
use crate::image::Digest;
use crate::names::{SlackChannel, SlackGroup, SlackUser, Target};
use crate::people::People;
use crate::refusal::Refusal;
use crate::time::Timestamp;
use std::cell::RefCell;

macro_rules! gates {
    ($($(#[$when:meta])* fn $look:ident(&$sees:ident) { $($(#[$doc:meta])* $key:ident: $gate:ty,)+ })+) => {
        /// What has to be so before a deployment. The default lets nobody deploy, and has nothing else in
        /// the way.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Gates {
            $($($(#[$doc])* pub $key: $gate,)+)+
        }

        /// The gates' keys in the catalog.
        pub(super) const KEYS: &[&str] = &[$($(stringify!($key),)+)+];

        impl Gates {
            /// Reads the gates of an environment, or of an app. A key that is not there: as in `defaults`.
            pub(super) fn read(fields: &Fields<'_>, defaults: &Self) -> Result<Self, CatalogError> {
                Ok(Self { $($($key: fields.get_or(stringify!($key), Gate::read, &defaults.$key)?,)+)+ })
            }

            $($(#[$when])*
            pub fn $look(&self, case: &$sees<'_>) -> Result<Granted, Unmet> {
                let mut granted = Granted::default();
                $(match self.$key.check(case) {
                    Ok(passed) => granted.add(passed),
                    Err(unmet) if !case.passes_over(stringify!($key)) => return Err(unmet),
                    Err(Unmet::Refused(_)) => granted.passed_over.push(stringify!($key).to_owned()),
                    // Nobody is asked about what holds nothing up.
                    Err(Unmet::Asks(..)) => {}
                })+
                Ok(granted)
            })+

            /// What `/deploy apps` says of them.
            pub fn in_short(&self) -> Vec<String> {
                [$($(self.$key.in_short(),)+)+].into_iter().flatten().collect()
            }

            /// What the preview says of them where nothing is in the way, too.
            pub fn in_preview(&self, case: &Case<'_>) -> Vec<String> {
                [$($(self.$key.in_preview(case),)+)+].into_iter().flatten().collect()
            }
        }
    };
}

gates! {
    /// Before anything is read: whether these people may deploy from this channel.
    fn admit(&Asked) {
        /// Who may deploy.
        allow: Allow,
    }

    /// When everything is read, before each commit.
    fn check_commit(&Case) {
        /// The branches that may be deployed, also as the branch of a pull request. Empty: any.
        branches: Vec<BranchGlob>,
        /// Whether the commit's checks have to be successful.
        checks: Checks,
        /// How many people have to approve the pull request on GitHub.
        reviews: Option<Reviews>,
        /// Where the version has to be live first.
        requires: Option<Requires>,
        /// The checks that have to be successful in the GitOps repository.
        status: GitOpsStatus,
        /// What happens if other people's changes, committed but not yet synced, would ride along.
        foreign_changes: ForeignChanges,
        /// Whether the image behind a tag may change.
        immutable: Immutable,
    }

    /// Then: a service is asked only if none of those refuses.
    fn check_ask(&Case) {
        /// Where the service is asked.
        ask: Ask,
    }

    /// Last: people are asked to approve only if no other gate refuses.
    fn check_approvals(&Case) {
        /// Who has to agree.
        approvals: Option<Approvals>,
    }

    /// Before anything is read, and again right before the commit: what may close at any moment.
    fn check_freeze(&Asked) {
        /// When nothing may be deployed.
        freeze: Vec<Freeze>,
        /// When alone something may be deployed. Empty: always.
        only: Vec<Only>,
    }
}

/// The freezes of everything.
pub(super) fn read_freeze(entry: &Entry) -> Result<Vec<Freeze>, CatalogError> {
    Gate::read(entry)
}

impl Gates {
    /// Whether the reviews of the pull request have to be known.
    pub fn want_reviews(&self) -> bool {
        self.reviews.is_some() || self.approvals.as_ref().is_some_and(|approvals| !approvals.reviewers.is_empty())
    }
}

/// The gates that hold up a version that was live before, too: who may deploy, and what else would go live.
const ALWAYS: [&str; 3] = ["allow", "foreign_changes", "immutable"];

impl Asked<'_> {
    fn passes_over(&self, key: &str) -> bool {
        self.was_live && !ALWAYS.contains(&key)
    }
}

impl Case<'_> {
    fn passes_over(&self, key: &str) -> bool {
        self.asked.passes_over(key)
    }
}

/// One gate, as a value of the catalog. `Default`: the catalog does not name the gate.
trait Gate: Default {
    /// What the check looks at: [`Asked`] or [`Case`].
    type Sees<'a>;

    /// Reads the value of the gate's key.
    fn read(entry: &Entry) -> Result<Self, CatalogError>;

    /// Whether a deployment may pass, and what was granted by that.
    fn check(&self, case: &Self::Sees<'_>) -> Result<Granted, Unmet>;

    /// The gate's words in `/deploy apps`; none if it stops nobody.
    fn in_short(&self) -> Option<String>;

    /// The gate's words in the preview, if it has any besides its refusal.
    fn in_preview(&self, _case: &Case<'_>) -> Option<String> {
        None
    }
}

/// Who asks, where and when.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// What they want to deploy.
    pub target: &'a Target,
    /// Who may override gates of that target.
    pub owners: &'a People,
    pub user: &'a SlackUser,
    pub channel: &'a SlackChannel,
    /// They typed `override` and this reason.
    pub override_reason: Option<&'a str>,
    pub now: Timestamp,
    /// A rollback to a version that was live, by somebody who may bring it back.
    pub was_live: bool,
    /// What Slack answered about people so far.
    pub members: &'a Members,
}

/// What would be deployed, with everything that is known of it.
#[derive(Clone, Debug)]
pub struct Case<'a> {
    pub asked: Asked<'a>,
    pub plan: &'a TargetPlan,
    /// The image that was deployed under this tag, if it was.
    pub deployed: Option<&'a Digest>,
    /// A version that was deployed before, see [`crate::command::What::stands_still`].
    pub stands_still: bool,
    /// The checks of the source's commit.
    pub checks: &'a CommitChecks,
    /// The page that shows them.
    pub checks_url: Option<String>,
    /// The reviews of the source's pull request; none where it is a branch.
    pub reviews: &'a ReviewsState,
    /// What is live where `requires` says; none: nothing of ours.
    pub live_there: Option<&'a LiveThere>,
    /// The newest commit of the GitOps branch that is no deploy of ours. None: all that were read are.
    pub newest_there: Option<&'a NewestThere>,
    /// What the service said that the gate `ask` names. None: it was not asked.
    pub answer: Option<&'a GateAnswer>,
    /// What the asker knows, and who approved.
    pub origin: &'a Origin,
    /// Who may deploy.
    pub allow: &'a Allow,
    /// When the request was made.
    pub requested: Timestamp,
}

/// Why a check did not end with "yes".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unmet {
    /// The gate is closed.
    Refused(Box<Refusal>),
    /// Whether this person belongs there has to be known first: see [`Members::add`].
    Asks(SlackUser, Belongs),
}

impl From<Refusal> for Unmet {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

/// Where a person may belong, as only Slack knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Belongs {
    /// A full member of the workspace: no guest, and nobody of another organisation.
    ToWorkspace,
    /// In this user group.
    ToGroup(SlackGroup),
}

/// Who belongs where, as far as somebody asked.
#[derive(Debug, Default)]
pub struct Members(RefCell<Vec<(SlackUser, Belongs, bool)>>);

impl Members {
    /// Notes Slack's answer.
    pub fn add(&self, user: SlackUser, to: Belongs, does: bool) {
        self.0.borrow_mut().push((user, to, does));
    }

    /// Whether a person is a full member. A guest counts only where the catalog has the guest's own id.
    pub(super) fn has(&self, user: &SlackUser) -> Result<bool, Unmet> {
        self.answer(user, Belongs::ToWorkspace)
    }

    /// Whether a person is a full member and in a group. Slack is asked about the person last: few are in the group.
    pub(super) fn has_in(&self, user: &SlackUser, group: &SlackGroup) -> Result<bool, Unmet> {
        Ok(self.answer(user, Belongs::ToGroup(group.clone()))? && self.has(user)?)
    }

    fn answer(&self, user: &SlackUser, to: Belongs) -> Result<bool, Unmet> {
        let known = self.0.borrow();
        let answer = known.iter().find(|(one, place, _)| one == user && *place == to).map(|(.., does)| *does);
        answer.ok_or_else(|| Unmet::Asks(user.clone(), to))
    }
}

impl Asked<'_> {
    /// Passes if an owner overrides the gate; if not, this is the refusal. `doing`: what the owner does
    /// by that.
    fn unless_overridden(&self, doing: String, refusal: Refusal) -> Result<Granted, Unmet> {
        self.unless_passed(&[], doing, refusal)
    }

    /// As [`Self::unless_overridden`], also by somebody who is in each of these lists.
    fn unless_passed(&self, lists: &[&People], doing: String, refusal: Refusal) -> Result<Granted, Unmet> {
        let Some(reason) = self.override_reason else { return Err(refusal.into()) };
        if self.owners.include(self.user, self.members)? || self.is_in_all(lists)? {
            return Ok(Granted { overridden: Some(reason.to_owned()), ..Granted::default() });
        }
        let pass = People::of_all(lists.iter().copied());
        Err(Refusal::NotOwner { doing, owned: !self.owners.is_empty(), pass }.into())
    }

    fn is_in_all(&self, lists: &[&People]) -> Result<bool, Unmet> {
        for list in lists {
            if !list.include(self.user, self.members)? {
                return Ok(false);
            }
        }
        Ok(!lists.is_empty())
    }
}

#[cfg(test)]
pub(super) mod tests;
