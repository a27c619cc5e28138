//! People whom somebody names by their ids in Slack, or by a user group.

use crate::names::{SlackGroup, SlackUser};
use serde::{Deserialize, Serialize};

/// People who are named, by themselves or by a user group. Nobody, if it is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct People {
    /// People.
    #[serde(default)]
    pub users: Vec<SlackUser>,
    /// User groups. Slack knows who is in them.
    #[serde(default)]
    pub groups: Vec<SlackGroup>,
}

impl People {
    /// Whether this is nobody.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty() && self.groups.is_empty()
    }

    /// Who is named in each of the lists. Of none: nobody.
    pub(crate) fn of_all<'p>(mut lists: impl Iterator<Item = &'p Self>) -> Self {
        let mut all = lists.next().cloned().unwrap_or_default();
        for list in lists {
            all.users.retain(|user| list.users.contains(user));
            all.groups.retain(|group| list.groups.contains(group));
        }
        all
    }

    /// Who is named in one of the lists.
    pub(crate) fn of_any<'p>(lists: impl Iterator<Item = &'p Self>) -> Self {
        let mut any = Self::default();
        for list in lists {
            any.users.extend(list.users.iter().cloned());
            any.groups.extend(list.groups.iter().cloned());
        }
        any.users.sort_unstable();
        any.users.dedup();
        any.groups.sort_unstable();
        any.groups.dedup();
        any
    }
}
