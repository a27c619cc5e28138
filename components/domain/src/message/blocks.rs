//! Block Kit, and its limits.

use super::text::{cut, one_way};
use serde_json::{Value, json};

/// What a message says. Both parts are always sent: an update without blocks would keep the old ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// For notifications, and where blocks cannot be shown.
    pub text: String,
    pub blocks: Value,
}

/// A section's text may have 3,000 characters, and a text in small print 2,000; ours stay below, whatever
/// outside text does.
pub(super) const SECTION: usize = 2900;
pub(super) const SMALL: usize = 1900;
/// The text of a notification.
pub(super) const SUMMARY: usize = 1000;

pub(super) fn section(text: &str) -> Value {
    json!({ "type": "section", "text": mrkdwn(text, SECTION) })
}

/// In small print.
pub(super) fn context(text: &str) -> Value {
    json!({ "type": "context", "elements": [mrkdwn(text, SMALL)] })
}

/// Slack formats what we wrote, and makes no link or mention of what only looks like one.
fn mrkdwn(text: &str, most: usize) -> Value {
    json!({ "type": "mrkdwn", "text": cut(&one_way(text), most), "verbatim": true })
}
