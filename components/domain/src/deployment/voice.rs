//! What one role knows of its side of the message.

use crate::names::{MessageTs, SlackChannel};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Where a message is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Its channel, as Slack's answer named it.
    pub channel: SlackChannel,
    /// Its id.
    pub ts: MessageTs,
    /// The first message of the thread in which it is, if it is a reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<MessageTs>,
}

impl Place {
    /// The first message of the thread for what is said about the message. Slack takes no reply to a reply.
    pub fn replies(&self) -> &MessageTs {
        self.thread.as_ref().unwrap_or(&self.ts)
    }
}

/// The thread in which something was asked for. What is said about it stands there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thread {
    /// Its first message.
    pub ts: MessageTs,
    /// Somebody has replied. In a thread without replies Slack shows nobody a message that is for one person alone, see
    /// <https://docs.slack.dev/reference/methods/chat.postEphemeral>.
    pub begun: bool,
}

/// Why a role may write no message, or no further one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lost {
    /// Slack refused the call: the token, a right, or what was sent.
    Refused,
    /// Posts had no answer: each may have left a message that nobody edits. Slack has not refused, so the final words may be posted.
    NoAnswer,
    /// The channel takes no message: Slack's error.
    Gone(String),
}

/// Words that were told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Which, as [`crate::text::words_hash`] says.
    pub words: u64,
    /// When the call began.
    pub at: Timestamp,
}

/// What one role (slack-command, or the watch) knows of its side of the message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Voice {
    /// When a call began that has no answer yet. Only slack-command notes it.
    pub speaking: Option<Timestamp>,
    /// The message.
    pub place: Option<Place>,
    /// Why there can be no message.
    pub lost: Option<Lost>,
    /// The words that were told last, or given up.
    pub told: Option<Told>,
    /// The final words were told or given up, and people were called to them where that is due.
    pub told_end: bool,
    /// The message could not be edited, so a new one took its place. The next time, only the final words get
    /// a new message.
    pub replaced: bool,
    /// The channel that the catalog names takes no message of ours.
    pub home_closed: bool,
    /// The thread in which the deployment was asked for takes no message of ours.
    #[serde(default)]
    pub thread_closed: bool,
    /// Posts without an answer.
    pub unsure_posts: u8,
    /// The last edit without an answer: it may still land, over newer words.
    pub unsure_edit: Option<Timestamp>,
    /// Uses of the `response_url` so far; Slack allows five.
    pub response_url_uses: u8,
}

impl Voice {
    /// Whether a message may be written or edited: not where Slack refused it, and after posts without an answer only at the end.
    pub fn may_write(&self, last: bool) -> bool {
        match self.lost {
            None => true,
            Some(Lost::NoAnswer) => last,
            Some(Lost::Refused | Lost::Gone(_)) => false,
        }
    }
}
