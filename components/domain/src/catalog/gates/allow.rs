//! `allow`: who may deploy, and from which channels. A list that is missing or empty allows nobody.

use super::{Asked, Gate, Unmet};
use crate::catalog::CatalogError;
use crate::catalog::fields::{Entry, Fields, Value, error};
use crate::catalog::people::{People, none_empty_beside, read_ids, read_people};
use crate::deployment::Granted;
use crate::names::SlackChannel;
use crate::refusal::{NotAllowed, Refusal};

/// Who may deploy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allow {
    /// Every member of the workspace.
    Anyone,
    /// The people who are named, in one of the channels. No people: everybody in one of the channels. No
    /// channels: anywhere. Neither: nobody.
    Listed { people: People, channels: Vec<SlackChannel> },
}

impl Default for Allow {
    fn default() -> Self {
        Self::Listed { people: People::default(), channels: Vec::new() }
    }
}

impl Gate for Allow {
    type Sees<'a> = Asked<'a>;

    fn read(entry: &Entry) -> Result<Self, CatalogError> {
        match &entry.node.value {
            Value::Text(text) if text == "anyone" => return Ok(Self::Anyone),
            Value::List(items) if items.is_empty() => return Ok(Self::default()),
            Value::Text(_) | Value::List(_) => {
                let problem = "`allow` is the word `anyone`, or a map of `users`, `groups` and `channels`";
                return Err(error(entry.line, problem));
            }
            Value::Empty | Value::Map(_) => {}
        }
        let fields = Fields::of("`allow`", entry.line, &entry.node, &["users", "groups", "channels"])?;
        let people = read_people(&fields)?;
        let channels = read_ids(&fields, "channels", ("channel", &['C', 'G', 'D']), SlackChannel::parse)?;
        let (users, groups) = (people.users.is_empty(), people.groups.is_empty());
        none_empty_beside(&fields, &[("users", users), ("groups", groups), ("channels", channels.is_empty())])?;
        Ok(Self::Listed { people, channels })
    }

    fn check(&self, asked: &Asked<'_>) -> Result<Granted, Unmet> {
        let Self::Listed { people, channels } = self else { return Ok(Granted::default()) };
        let why = if people.is_empty() && channels.is_empty() {
            NotAllowed::Nobody
        } else if !people.is_empty() && !people.include(asked.user, asked.members)? {
            NotAllowed::NotListed
        } else if !channels.is_empty() && !channels.contains(asked.channel) {
            NotAllowed::WrongChannel
        } else {
            return Ok(Granted::default());
        };
        Err(Refusal::NotAllowed { target: asked.target.clone(), why }.into())
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
