//! Maps, lists and words of the catalog, with a sentence and a line for everything that is wrong with them.

use super::CatalogError;
pub(super) use super::yaml::{Entry, Node, Value, error};
use crate::names::InvalidName;
use crate::text::{nearest, quoted};
use std::time::Duration;

/// The most entries of one list, and the most environments of one app.
pub(super) const MANY: usize = 100;

/// A map with known keys.
pub(super) struct Fields<'a> {
    pub(super) line: usize,
    /// What it is, for sentences.
    name: String,
    entries: &'a [Entry],
}

impl<'a> Fields<'a> {
    /// Checks that a node is a map with these keys only. An empty value is an empty map.
    pub(super) fn of(name: &str, line: usize, node: &'a Node, keys: &[&str]) -> Result<Self, CatalogError> {
        let entries = entries_of(name, line, node)?;
        if let Some(odd) = entries.iter().find(|entry| !keys.contains(&entry.key.as_str())) {
            let hint = match nearest(&odd.key, keys.iter().copied()) {
                _ if odd.key == "<<" => "merge keys are not supported; an alias of a whole value is".to_owned(),
                Some(key) => format!("did you mean `{key}`?"),
                None => format!("it can have {}", listed(keys)),
            };
            return Err(error(odd.line, format!("{name} cannot have {}: {hint}", quoted(&odd.key))));
        }
        Ok(Self { line, name: name.to_owned(), entries })
    }

    /// A map that is not there.
    pub(super) fn none(line: usize) -> Self {
        Self { line, name: String::new(), entries: &[] }
    }

    pub(super) fn get(&self, key: &str) -> Option<&'a Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// The value of a key, or the default if the key is not there.
    pub(super) fn get_or<T: Clone>(
        &self,
        key: &str,
        read: impl Fn(&'a Entry) -> Result<T, CatalogError>,
        default: &T,
    ) -> Result<T, CatalogError> {
        self.get(key).map_or_else(|| Ok(default.clone()), read)
    }

    pub(super) fn required(&self, key: &str) -> Result<&'a Entry, CatalogError> {
        self.get(key).ok_or_else(|| error(self.line, format!("{} has no `{key}`", self.name)))
    }
}

pub(super) fn listed(keys: &[&str]) -> String {
    let keys: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
    keys.join(", ")
}

pub(super) fn entries_of<'a>(name: &str, line: usize, node: &'a Node) -> Result<&'a [Entry], CatalogError> {
    match &node.value {
        Value::Map(entries) => Ok(entries),
        Value::Empty => Ok(&[]),
        other => Err(error(line, format!("{name} must be a map, not {}", kind(other)))),
    }
}

pub(super) fn map_of(entry: &Entry) -> Result<&[Entry], CatalogError> {
    entries_of(&quoted(&entry.key), entry.line, &entry.node)
}

pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Empty => "empty",
        Value::Text(_) => "text",
        Value::List(_) => "a list",
        Value::Map(_) => "a map",
    }
}

pub(super) fn text_of(entry: &Entry) -> Result<&str, CatalogError> {
    text(&format!("`{}`", entry.key), entry.line, &entry.node)
}

/// The text of an entry of a list.
pub(super) fn item_text<'a>(key: &str, node: &'a Node) -> Result<&'a str, CatalogError> {
    text(&format!("an entry of `{key}`"), node.line, node)
}

pub(super) fn text<'a>(name: &str, line: usize, node: &'a Node) -> Result<&'a str, CatalogError> {
    match &node.value {
        Value::Text(text) => Ok(text),
        Value::Map(_) => {
            Err(error(line, format!("{name} must be text, not a map; text that starts with `{{` needs quotes")))
        }
        other => Err(error(line, format!("{name} must be text, not {}", kind(other)))),
    }
}

/// A value that is an identifier.
pub(super) fn name<T>(entry: &Entry, parse: fn(&str) -> Result<T, InvalidName>) -> Result<T, CatalogError> {
    let text = text_of(entry)?;
    parse(text).map_err(|wrong| error(entry.line, format!("{}: {} is {wrong}", quoted(&entry.key), quoted(text))))
}

/// An entry of a list that is an identifier.
pub(super) fn item_name<T>(
    key: &str,
    node: &Node,
    parse: fn(&str) -> Result<T, InvalidName>,
) -> Result<T, CatalogError> {
    let text = item_text(key, node)?;
    parse(text).map_err(|wrong| error(node.line, format!("`{key}`: {} is {wrong}", quoted(text))))
}

/// A key that is an identifier.
pub(super) fn key_name<T>(entry: &Entry, parse: fn(&str) -> Result<T, InvalidName>) -> Result<T, CatalogError> {
    parse(&entry.key).map_err(|wrong| error(entry.line, format!("{} is {wrong}", quoted(&entry.key))))
}

pub(super) fn list_of(entry: &Entry) -> Result<Vec<&Node>, CatalogError> {
    match &entry.node.value {
        Value::List(items) if items.len() > MANY => {
            Err(error(entry.line, format!("`{}` has more than {MANY} entries", entry.key)))
        }
        Value::List(items) => Ok(items.iter().map(AsRef::as_ref).collect()),
        Value::Empty => Ok(Vec::new()),
        other => Err(error(entry.line, format!("`{}` must be a list, not {}", entry.key, kind(other)))),
    }
}

/// One of two words.
pub(super) fn read_word<T: Copy>(entry: &Entry, words: [(&str, T); 2]) -> Result<T, CatalogError> {
    let text = text_of(entry)?;
    match words.iter().find(|(word, _)| *word == text) {
        Some((_, meaning)) => Ok(*meaning),
        None => {
            let [(one, _), (other, _)] = words;
            Err(error(entry.line, format!("`{}` is `{one}` or `{other}`, not {}", entry.key, quoted(text))))
        }
    }
}

/// Whether it is the word that takes back what the app says.
pub(super) fn is_none(entry: &Entry) -> bool {
    matches!(&entry.node.value, Value::Text(text) if text == "none")
}

/// 1 to 10.
pub(super) fn read_small_number(entry: &Entry) -> Result<u8, CatalogError> {
    let digits = Some(text_of(entry)?).filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    let number = digits.and_then(|digits| digits.parse().ok()).filter(|number| (1..=10).contains(number));
    number.ok_or_else(|| error(entry.line, format!("`{}` must be a number from 1 to 10", entry.key)))
}

pub(super) fn read_duration(entry: &Entry, (shortest, longest): (&str, &str)) -> Result<Duration, CatalogError> {
    let text = text_of(entry)?;
    let Some(duration) = parse_duration(text) else {
        return Err(error(
            entry.line,
            format!("`{}`: {} is not a time such as `90s`, `10m` or `1h30m`", entry.key, quoted(text)),
        ));
    };
    if Some(duration) < parse_duration(shortest) || Some(duration) > parse_duration(longest) {
        return Err(error(entry.line, format!("`{}` must be from {shortest} to {longest}", entry.key)));
    }
    Ok(duration)
}

/// `1h30m`, `10m`, `90s`: hours, minutes and seconds in this order, each at most once.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    let (mut rest, mut seconds) = (text, 0u64);
    for (unit, size) in [('h', 3600), ('m', 60), ('s', 1)] {
        if let Some((digits, after)) = rest.split_once(unit) {
            if digits.len() > 6 || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            seconds = seconds.saturating_add(digits.parse::<u64>().ok()?.saturating_mul(size));
            rest = after;
        }
    }
    (!text.is_empty() && rest.is_empty()).then(|| Duration::from_secs(seconds))
}
