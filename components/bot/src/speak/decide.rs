//! What to do next with words for people: decided from what both roles know of the message, without
//! asking anyone.

use clients::slack::{LATE_EDIT, SlackError};
use domain::deployment::{Lost, Place, RequestFact, Told, Voice, until};
use domain::limits;
use domain::names::{MessageTs, SlackChannel};
use domain::time::Timestamp;
use std::time::Duration;
use store::Speech;

/// How many posts without an answer are borne: each may be a message that nobody edits.
const MOST_UNSURE_POSTS: u8 = 2;

/// How often the `response_url` is used before the final words. Slack takes five uses. Two are kept for the
/// final words, because one may be lost on the way.
const MOST_WHISPERS: u8 = 3;

/// How words reach people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// The message that is there is edited.
    Edit(Place),
    /// A message is posted in this channel, and in this thread there, if in one.
    Post(SlackChannel, Option<MessageTs>),
    /// To the asker alone.
    Whisper,
}

impl Way {
    /// Which of Slack's limits counts.
    pub(super) fn speech<'r>(&'r self, request: &'r RequestFact) -> Speech<'r> {
        match self {
            Self::Edit(_) => Speech::Edit,
            Self::Post(channel, _) => Speech::Post(channel),
            Self::Whisper => Speech::Post(&request.channel),
        }
    }
}

/// Slack's answer: where the words are, if they are in a message.
pub(super) type Answer = Result<Option<Place>, SlackError>;

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing.
    Done,
    /// Nothing before that time has passed.
    Wait(Duration),
    /// A call of the other role may be on its way: look whether it has arrived.
    LetArrive,
    /// Tell the words.
    Speak(Way),
    /// The final words are there: call people to them.
    Call(Place),
    /// The final words are there, and that is all.
    End,
    /// These words reach nobody.
    GiveUp,
}

/// What is known.
#[derive(Clone, Debug)]
pub(super) struct Case<'a> {
    /// Our own voice.
    pub(super) ours: Voice,
    /// The other role's.
    pub(super) theirs: Voice,
    /// The message in which the deployment was asked for or approved: it goes on there.
    pub(super) before: Option<&'a Place>,
    /// The channel in which the target's messages stand, if the catalog names one.
    pub(super) home: Option<&'a SlackChannel>,
    /// The channel in which the deployment was asked for.
    pub(super) typed: &'a SlackChannel,
    /// The thread there, if in one.
    pub(super) thread: Option<&'a MessageTs>,
    /// The words, as a hash.
    pub(super) words: u64,
    /// These are the final words.
    pub(super) last: bool,
    /// The words are for the asker alone, unless a message is in the channel already.
    pub(super) private: bool,
    /// People have to be called to them.
    pub(super) calls: bool,
    /// How long the message may not be edited again, but for final words.
    pub(super) gap_left: Duration,
    /// A call of the other role that began longer ago than this is given up.
    pub(super) posting: Duration,
    /// When the deployment was asked for.
    pub(super) asked: Timestamp,
    /// When the deployment ended, or was asked for.
    pub(super) ended: Timestamp,
    pub(super) now: Timestamp,
}

/// What came of the calls so far for the same words. Not saved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tried {
    /// Slack's limits leave room for a call.
    pub(super) has_turn: bool,
    /// The message that was there cannot be edited.
    pub(super) message_gone: bool,
    /// The `response_url` takes no more.
    pub(super) url_gone: bool,
    /// Not this time, but after so long.
    pub(super) failed: Option<Duration>,
}

impl Tried {
    /// What an answer means for the next call.
    pub(super) fn learn(&mut self, way: &Way, answer: Answer) {
        match (way, answer) {
            (Way::Edit(_), Err(SlackError::Gone(_))) => self.message_gone = true,
            (Way::Whisper, Err(SlackError::Gone(_) | SlackError::Refused(_))) => self.url_gone = true,
            (_, Err(SlackError::Unreachable(_))) => self.failed = Some(limits::SPEAK_AGAIN),
            // Slack may say "after 0 seconds".
            (_, Err(SlackError::RateLimited(wait))) => self.failed = Some(wait.max(limits::SPEAK_AGAIN)),
            // The voice knows it.
            (_, Ok(_) | Err(SlackError::Gone(_) | SlackError::Refused(_))) => {}
        }
    }
}

impl Case<'_> {
    /// Decides.
    pub(super) fn next(&self, tried: &Tried) -> Next {
        let stand = self.ours.told.filter(|told| told.words == self.words);
        if self.ours.told_end || (stand.is_some() && !self.last) {
            return Next::Done;
        }
        if let Some(again) = tried.failed {
            let given_up = self.last && self.now.since(self.ended) >= limits::GIVE_UP;
            return match (given_up, stand) {
                (false, _) => Next::Wait(again),
                (true, Some(_)) => Next::End,
                (true, None) => Next::GiveUp,
            };
        }
        if let Some(told) = stand {
            match self.late_edit() {
                // An edit that was given up may land after the final words: when it can land no more, the
                // final words are sent once more.
                Some(late) if self.now < late => return Next::Wait(until(late, self.now)),
                Some(late) if told.at < late => {}
                _ => return self.place().filter(|_| self.calls).cloned().map_or(Next::End, Next::Call),
            }
        }
        if !self.last && !self.gap_left.is_zero() {
            return Next::Wait(self.gap_left);
        }
        let patient = self.asked.after(limits::ASKER_WAITS);
        if self.is_private() && !self.last && self.now < patient {
            return Next::Wait(until(patient, self.now));
        }
        let begun = self.theirs.speaking.filter(|_| self.ours.place.is_none());
        if begun.is_some_and(|begun| self.now.since(begun) < self.posting) {
            return Next::LetArrive;
        }
        self.way(tried).map_or(Next::GiveUp, Next::Speak)
    }

    /// Whether the words are for the asker alone.
    fn is_private(&self) -> bool {
        self.private && self.place().is_none()
    }

    /// The message that people see.
    fn place(&self) -> Option<&Place> {
        self.ours.place.as_ref().or(self.theirs.place.as_ref()).or(self.before)
    }

    /// How the words can be sent, if at all.
    fn way(&self, tried: &Tried) -> Option<Way> {
        let (ours, theirs, last) = (&self.ours, &self.theirs, self.last);
        let used = ours.response_url_uses.saturating_add(theirs.response_url_uses);
        // The final words are tried until Slack says that the uses are spent: not every use that is counted
        // has reached Slack.
        let whisper = Some(Way::Whisper).filter(|_| !tried.url_gone && (last || used < MOST_WHISPERS));
        if self.is_private() && !last {
            return whisper.filter(|_| used == 0);
        }
        if self.is_private() && whisper.is_some() {
            return whisper;
        }
        let no_answer = [ours, theirs].iter().any(|voice| voice.lost == Some(Lost::NoAnswer));
        if last && no_answer && self.place().is_none() && whisper.is_some() {
            // One more post may be one more message that nobody edits.
            return whisper;
        }
        if !ours.may_write(last) || !(theirs.may_write(last) || ours.place.is_some()) {
            return whisper;
        }
        match self.place() {
            Some(place) if !tried.message_gone => Some(Way::Edit(place.clone())),
            // So as not to fill a channel in which nothing can be edited.
            Some(_) if ours.replaced && !last => None,
            _ => Some(self.post()),
        }
    }

    /// Where a message is posted. A home that takes none is passed over, and so is a thread.
    fn post(&self) -> Way {
        let closed = |is_closed: fn(&Voice) -> bool| is_closed(&self.ours) || is_closed(&self.theirs);
        match self.home.filter(|_| !closed(|voice| voice.home_closed)) {
            Some(home) => Way::Post(home.clone(), None),
            None => {
                let thread = self.thread.filter(|_| !closed(|voice| voice.thread_closed));
                Way::Post(self.typed.clone(), thread.cloned())
            }
        }
    }

    /// When edits without an answer have landed, or never will.
    fn late_edit(&self) -> Option<Timestamp> {
        self.ours.unsure_edit.max(self.theirs.unsure_edit).map(|edit| edit.after(LATE_EDIT))
    }

    /// Our voice after Slack's answer to a call that began at `at`.
    pub(super) fn learn(self, tried: &Tried, way: &Way, answer: &Answer, at: Timestamp) -> Voice {
        let typed = self.typed;
        let may_be_late = self.late_edit().is_some_and(|late| at < late);
        let mut voice = self.ours;
        voice.speaking = None;
        match (way, answer) {
            (_, Ok(place)) => {
                voice.told = Some(Told { words: self.words, at });
                // An asker who reads the words alone needs no call.
                voice.told_end = self.last && (place.is_none() || !(may_be_late || self.calls));
                voice.replaced |= tried.message_gone && place.is_some();
                voice.place = place.clone().or(voice.place);
            }
            (Way::Whisper, Err(_)) => {}
            (Way::Edit(_) | Way::Post(..), Err(SlackError::Refused(_))) => voice.lost = Some(Lost::Refused),
            (Way::Edit(_), Err(error)) if error.is_unsure() => voice.unsure_edit = Some(self.now),
            (Way::Post(_, Some(_)), Err(SlackError::Gone(_))) => voice.thread_closed = true,
            (Way::Post(channel, None), Err(SlackError::Gone(_))) if channel != typed => voice.home_closed = true,
            (Way::Post(_, None), Err(SlackError::Gone(why))) => voice.lost = Some(Lost::Gone(why.clone())),
            (Way::Post(..), Err(error)) if error.is_unsure() => {
                voice.unsure_posts = voice.unsure_posts.saturating_add(1);
                if voice.unsure_posts >= MOST_UNSURE_POSTS {
                    voice.lost = Some(Lost::NoAnswer);
                }
            }
            (Way::Edit(_) | Way::Post(..), Err(_)) => {}
        }
        voice
    }
}

#[cfg(test)]
mod tests;
