//! Whether a push was announced in a channel, so that it is announced there once. A hint: without it, the
//! push is announced again.

use crate::key::PREFIX;
use crate::seams::{Clock, Redis, StoreError};
use domain::names::{CommitSha, SlackChannel};
use domain::push;
use domain::text::words_hash;
use domain::time::{Timestamp, millis};
use std::time::Duration;

/// What became of the announcement of a push in a channel. Kept as long as a push is news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushTold {
    /// Nothing yet.
    No,
    /// How many posts had no answer: each may have become a message.
    Perhaps(u8),
    /// The push was announced there, or given up.
    Yes,
    /// The push cannot be announced there.
    Never,
}

/// One announcement of a push: its newest commit, the channel, the names of the targets.
#[derive(Clone, Debug)]
pub struct Telling<'a> {
    pub sha: &'a CommitSha,
    pub channel: &'a SlackChannel,
    pub targets: &'a [String],
}

impl Telling<'_> {
    fn key(&self) -> String {
        format!("{PREFIX}told/{}/{}/{:x}", self.sha, self.channel, words_hash(&self.targets.join(" ")))
    }
}

pub async fn push_told(world: &impl Redis, telling: &Telling<'_>) -> Result<PushTold, StoreError> {
    let Some(told) = world.text("GET", &[&telling.key()]).await? else { return Ok(PushTold::No) };
    Ok(match (told.as_str(), told.parse()) {
        ("never", _) => PushTold::Never,
        (_, Ok(times)) => PushTold::Perhaps(times),
        _ => PushTold::Yes,
    })
}

fn missing_key(sha: &CommitSha) -> String {
    format!("{PREFIX}told/{sha}/missing")
}

/// Remembers that the note of a push was deleted, because every channel knows of the push.
pub async fn note_is_gone(world: &impl Redis, sha: &CommitSha) -> Result<(), StoreError> {
    world.run("SET", &[&missing_key(sha), "0", "PX", &millis(push::NEWS).to_string()]).await.map(drop)
}

/// For how long the note of a push in flight has been missing: its write may be on its way.
pub async fn note_missing(world: &(impl Redis + Clock), sha: &CommitSha) -> Result<Duration, StoreError> {
    let (now, key) = (world.now(), missing_key(sha));
    world.run("SET", &[&key, &now.0.to_string(), "NX", "PX", &millis(push::NEWS).to_string()]).await?;
    let since = world.text("GET", &[&key]).await?.and_then(|since| since.parse().ok());
    Ok(since.map_or(Duration::ZERO, |since| now.since(Timestamp(since))))
}

pub async fn mark_push_told(world: &impl Redis, telling: &Telling<'_>, told: PushTold) -> Result<(), StoreError> {
    let told = match told {
        PushTold::No => return world.run("DEL", &[&telling.key()]).await.map(drop),
        PushTold::Perhaps(times) => times.to_string(),
        PushTold::Yes => "yes".to_owned(),
        PushTold::Never => "never".to_owned(),
    };
    world.run("SET", &[&telling.key(), &told, "PX", &millis(push::NEWS).to_string()]).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;
    use domain::deployment::samples::sha;

    #[test]
    fn how_long_a_note_has_been_missing_is_known() {
        let memory = Memory::default();
        assert_eq!(memory.run(note_missing(&memory, &sha('e'))), Ok(Duration::ZERO));
        memory.time.set(Duration::from_secs(40));
        assert_eq!(memory.run(note_missing(&memory, &sha('e'))), Ok(Duration::from_secs(40)));
        assert_eq!(memory.run(note_missing(&memory, &sha('f'))), Ok(Duration::ZERO));
        memory.run(note_is_gone(&memory, &sha('f'))).unwrap();
        assert!(memory.run(note_missing(&memory, &sha('f'))).unwrap() > push::NEWS, "it was there, and is deleted");
    }

    #[test]
    fn what_was_told_of_a_push_is_known_for_a_day() {
        let memory = Memory::default();
        let channel = SlackChannel::parse("C0G9QF9GW").unwrap();
        let (one, both) = (["shop".to_owned()], ["shop".to_owned(), "till".to_owned()]);
        let told = |telling: &Telling<'_>| memory.run(push_told(&memory, telling)).unwrap();
        let push = sha('e');
        let telling = Telling { sha: &push, channel: &channel, targets: &one };
        for now in [PushTold::Perhaps(1), PushTold::No, PushTold::Perhaps(200), PushTold::Never, PushTold::Yes] {
            memory.run(mark_push_told(&memory, &telling, now)).unwrap();
            assert_eq!(told(&telling), now);
        }
        assert_eq!(told(&Telling { targets: &both, ..telling.clone() }), PushTold::No, "of others nothing is told");
        memory.time.set(push::NEWS);
        assert_eq!(told(&telling), PushTold::No);
    }
}
