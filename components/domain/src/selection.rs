//! Argo CD applications by their labels. The poller looks up which those are, because it alone may ask Argo CD for that.
//!
//! Easy to miss: an application that was labelled a moment ago is not among them yet.

use crate::names::{ArgoApplication, KubeName, LabelSelector};
use crate::nonempty::NonEmpty;
use crate::text::words_hash;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What is older is looked up again.
pub const LOOKED_UP_AGAIN: Duration = Duration::from_secs(600);
/// What is older is not deployed by.
pub const LASTS: Duration = Duration::from_secs(24 * 3600);
/// Each is followed and told by itself.
pub const MOST_APPLICATIONS: usize = 20;

/// All applications of a project and a namespace that have certain labels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Selection {
    pub selector: LabelSelector,
    pub project: KubeName,
    /// Where it is not Argo CD's own.
    pub namespace: Option<KubeName>,
}

impl Selection {
    /// A short name, which another selection may have, too.
    pub fn hash(&self) -> u64 {
        let namespace = self.namespace.as_ref().map_or("-", |namespace| namespace.as_str());
        words_hash(&format!("{}/{namespace}/{}", self.project, self.selector))
    }
}

/// The applications of a target, as the catalog says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Applications {
    Named(NonEmpty<ArgoApplication>),
    Selected(Selection),
}

impl Applications {
    /// Those that are named.
    pub fn named(&self) -> impl Iterator<Item = &ArgoApplication> {
        match self {
            Self::Named(named) => Some(named.iter()),
            Self::Selected(_) => None,
        }
        .into_iter()
        .flatten()
    }
}

/// `selected/<hash>`: which applications a selection has. sync-poller writes it, under the watch lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selected {
    pub at: Timestamp,
    /// Another one may have the same hash.
    pub selection: Selection,
    pub applications: Vec<ArgoApplication>,
}

/// Why a selection cannot be deployed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotSelected {
    /// Nobody has looked it up within a day.
    NotLookedUp,
    /// Argo CD shows no such application.
    Nothing,
    TooMany,
}

impl Selected {
    /// The applications, if a deploy may go by them. `found`: what is stored under the name of the selection.
    pub fn of(
        selection: &Selection,
        found: Option<Self>,
        now: Timestamp,
    ) -> Result<NonEmpty<ArgoApplication>, NotSelected> {
        let found = found.filter(|found| found.selection == *selection && now.since(found.at) < LASTS);
        let applications = found.ok_or(NotSelected::NotLookedUp)?.applications;
        if applications.len() > MOST_APPLICATIONS {
            return Err(NotSelected::TooMany);
        }
        applications.try_into().map_err(|_| NotSelected::Nothing)
    }

    /// Whether Argo CD is to be asked again. One that has found nothing is: somebody may be about to mend that.
    pub fn is_due(selection: &Selection, found: Option<&Self>, now: Timestamp) -> bool {
        let found = found.filter(|found| found.selection == *selection && !found.applications.is_empty());
        found.is_none_or(|found| now.since(found.at) >= LOOKED_UP_AGAIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deploy_goes_by_what_was_found_within_a_day() {
        let at = |seconds: u64| Timestamp(seconds * 1000);
        let name = |text| KubeName::parse(text).unwrap();
        let application = ArgoApplication { name: name("checkout"), project: name("default"), namespace: None };
        let selection = |text| Selection {
            selector: LabelSelector::parse(text).unwrap(),
            project: name("default"),
            namespace: None,
        };
        let web = selection("app=web");
        let found = |applications: usize| Selected {
            at: at(100),
            selection: web.clone(),
            applications: vec![application.clone(); applications],
        };
        let check = |found: Option<Selected>, now: u64, expected: Result<usize, NotSelected>, is_due: bool| {
            assert_eq!(Selected::is_due(&web, found.as_ref(), at(now)), is_due, "{found:?}");
            assert_eq!(Selected::of(&web, found, at(now)).map(|all| all.iter().count()), expected);
        };
        let day = 24 * 3600;
        check(None, 100, Err(NotSelected::NotLookedUp), true);
        check(Some(found(2)), 100 + 599, Ok(2), false);
        check(Some(found(2)), 100 + 600, Ok(2), true);
        check(Some(found(2)), 100 + day, Err(NotSelected::NotLookedUp), true);
        check(Some(found(0)), 101, Err(NotSelected::Nothing), true);
        check(Some(found(20)), 101, Ok(20), false);
        check(Some(found(21)), 101, Err(NotSelected::TooMany), false);
        let another = Selected { selection: selection("app=api"), ..found(2) };
        check(Some(another), 101, Err(NotSelected::NotLookedUp), true);
    }
}
