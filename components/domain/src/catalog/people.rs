//! People whom the catalog names: owners, those who may approve, and those who may pass a freeze.

use super::CatalogError;
use super::fields::{Entry, Fields, Node, error, item_text, list_of, text_of};
use super::gates::{Members, Unmet};
use crate::names::{InvalidName, SlackChannel, SlackGroup, SlackUser};
use crate::people::People;
use crate::text::quoted;

impl People {
    /// Whether somebody is named, by themselves or by a group. A guest counts by the guest's own id only.
    pub fn include(&self, user: &SlackUser, members: &Members) -> Result<bool, Unmet> {
        if self.users.contains(user) {
            return Ok(true);
        }
        for group in &self.groups {
            if members.has_in(user, group)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

pub(super) fn read_people(fields: &Fields<'_>) -> Result<People, CatalogError> {
    let users = read_ids(fields, "users", ("user", &['U', 'W']), SlackUser::parse)?;
    let groups = read_ids(fields, "groups", ("user group", &['S']), SlackGroup::parse)?;
    none_empty_beside(fields, &[("users", users.is_empty()), ("groups", groups.is_empty())])?;
    Ok(People { users, groups })
}

/// Somebody who takes the last user out of a list must not open the channel to everybody.
pub(super) fn none_empty_beside(fields: &Fields<'_>, lists: &[(&str, bool)]) -> Result<(), CatalogError> {
    let mut empty = lists.iter().filter(|(_, empty)| *empty);
    if lists.iter().any(|(_, empty)| !empty)
        && let Some((key, line)) = empty.find_map(|(key, _)| Some((key, fields.get(key)?.line)))
    {
        return Err(error(line, format!("`{key}` is empty beside a list that is not: fill it, or leave it out")));
    }
    Ok(())
}

pub(super) fn read_owners(entry: &Entry) -> Result<People, CatalogError> {
    let fields = Fields::of("`owners`", entry.line, &entry.node, &["users", "groups"])?;
    read_people(&fields)
}

/// `pass` of a window: who may go past it.
pub(super) fn read_pass(fields: &Fields<'_>) -> Result<People, CatalogError> {
    let Some(entry) = fields.get("pass") else { return Ok(People::default()) };
    let people = read_people(&Fields::of("`pass`", entry.line, &entry.node, &["users", "groups"])?)?;
    if people.is_empty() {
        return Err(error(entry.line, "`pass` names nobody: leave it out, or name `users` or `groups`"));
    }
    Ok(people)
}

/// `home`: a channel of people, not a direct message. `none` undoes the app's.
pub(super) fn read_home(entry: &Entry) -> Result<Option<SlackChannel>, CatalogError> {
    let text = text_of(entry)?;
    if text == "none" {
        return Ok(None);
    }
    let wrong =
        || error(entry.line, format!("`home`: {} is not a Slack channel id such as `C0123ABCDE`", quoted(text)));
    let channel = SlackChannel::parse(text).map_err(|_| wrong())?;
    if text.starts_with(['C', 'G']) { Ok(Some(channel)) } else { Err(wrong()) }
}

/// Ids of one kind. Slack tells kinds apart by the first letter; a user in a list of groups would
/// never match.
pub(super) fn read_ids<T>(
    fields: &Fields<'_>,
    key: &str,
    (what, letters): (&str, &[char]),
    parse: fn(&str) -> Result<T, InvalidName>,
) -> Result<Vec<T>, CatalogError> {
    let id = |node: &Node| {
        let text = item_text(key, node)?;
        let like = format!("a Slack {what} id such as `{}0123ABCDE`", letters.first().unwrap_or(&'U'));
        let wrong = || error(node.line, format!("`{key}`: {} is not {like}", quoted(text)));
        if text.starts_with(letters) { parse(text).map_err(|_| wrong()) } else { Err(wrong()) }
    };
    fields.get(key).map(list_of).transpose()?.unwrap_or_default().into_iter().map(id).collect()
}
