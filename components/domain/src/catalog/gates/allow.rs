//! `allow`: who may deploy, and from which channels. A list that is missing or empty allows nobody. `readers` is written
//! in the same way.

use super::{Asked, Gate, Members, Unmet};
use crate::catalog::CatalogError;
use crate::catalog::fields::{Entry, Fields, Value, error};
use crate::catalog::people::{none_empty_beside, read_ids, read_people};
use crate::deployment::Granted;
use crate::names::{SlackChannel, SlackUser};
use crate::people::People;
use crate::refusal::{NotAllowed, Refusal};
use crate::text::quoted;

/// Who may deploy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allow {
    /// Every full member of the workspace.
    Anyone,
    /// The people who are named, in one of the channels. No people: every full member in one of the channels. No
    /// channels: anywhere. Neither: nobody.
    Listed { people: People, channels: Vec<SlackChannel> },
}

impl Default for Allow {
    fn default() -> Self {
        Self::Listed { people: People::default(), channels: Vec::new() }
    }
}

impl Allow {
    pub(in crate::catalog) fn parse(entry: &Entry) -> Result<Self, CatalogError> {
        let key = quoted(&entry.key);
        match &entry.node.value {
            Value::Text(text) if text == "anyone" => return Ok(Self::Anyone),
            Value::List(items) if items.is_empty() => return Ok(Self::default()),
            Value::Text(_) | Value::List(_) => {
                let problem = format!("{key} is the word `anyone`, or a map of `users`, `groups` and `channels`");
                return Err(error(entry.line, problem));
            }
            Value::Empty | Value::Map(_) => {}
        }
        let fields = Fields::of(&key, entry.line, &entry.node, &["users", "groups", "channels"])?;
        let people = read_people(&fields)?;
        let channels = read_ids(&fields, "channels", ("channel", &['C', 'G', 'D']), SlackChannel::parse)?;
        let (users, groups) = (people.users.is_empty(), people.groups.is_empty());
        none_empty_beside(&fields, &[("users", users), ("groups", groups), ("channels", channels.is_empty())])?;
        Ok(Self::Listed { people, channels })
    }

    /// Why somebody may not, from this channel. `None`: this person may.
    pub(in crate::catalog) fn why_not(
        &self,
        user: &SlackUser,
        channel: &SlackChannel,
        members: &Members,
    ) -> Result<Option<NotAllowed>, Unmet> {
        let guest = || Ok(if members.has(user)? { None } else { Some(NotAllowed::Guest) });
        let Self::Listed { people, channels } = self else { return guest() };
        if people.is_empty() && channels.is_empty() {
            return Ok(Some(NotAllowed::Nobody));
        }
        if !people.is_empty() && !people.include(user, members)? {
            return Ok(Some(NotAllowed::NotListed));
        }
        if !channels.is_empty() && !channels.contains(channel) {
            return Ok(Some(NotAllowed::WrongChannel));
        }
        if people.is_empty() { guest() } else { Ok(None) }
    }
}

impl Gate for Allow {
    type Sees<'a> = Asked<'a>;

    fn read(entry: &Entry) -> Result<Self, CatalogError> {
        Self::parse(entry)
    }

    fn check(&self, asked: &Asked<'_>) -> Result<Granted, Unmet> {
        match self.why_not(asked.user, asked.channel, asked.members)? {
            None => Ok(Granted::default()),
            Some(why) => Err(Refusal::NotAllowed { target: asked.target.clone(), why }.into()),
        }
    }

    fn in_short(&self) -> Option<String> {
        match self {
            Self::Anyone => None,
            Self::Listed { people, channels } if people.is_empty() && channels.is_empty() => {
                Some("nobody may deploy".to_owned())
            }
            Self::Listed { .. } => Some("for some people only".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests;
