//! A call that is held at one exact point, so that a test can do something at that moment: kill the bot, take
//! a lease.
//!
//! Easy to miss: a held request ends like any other when its client goes away. If the request was held before
//! its effect, it has no effect.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::sync::watch;
use tokio::time::timeout;

/// How long a call may take to come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a call is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// It has arrived and nothing has happened.
    Before,
    /// It has taken effect and nothing is answered.
    After,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Expected,
    Held,
    Released,
}

/// The test's end of a hold. Dropping it lets the call go on.
pub struct Held {
    what: String,
    stage: Arc<watch::Sender<Stage>>,
}

impl Held {
    /// Waits until the call is held.
    pub async fn reached(&self) -> anyhow::Result<()> {
        let mut stage = self.stage.subscribe();
        let reached = timeout(PATIENCE, stage.wait_for(|stage| *stage != Stage::Expected)).await;
        reached.ok().and_then(Result::ok).with_context(|| format!("{} never came", self.what))?;
        Ok(())
    }

    /// Whether the call has come.
    pub fn is_reached(&self) -> bool {
        *self.stage.borrow() != Stage::Expected
    }

    /// Waits until the client of the held call has gone away.
    pub async fn given_up(&self) -> anyhow::Result<()> {
        self.reached().await?;
        let gone = timeout(PATIENCE, self.stage.closed()).await;
        ensure!(gone.is_ok(), "{} was not given up", self.what);
        Ok(())
    }

    /// Lets the call go on.
    pub fn release(self) {}
}

impl Drop for Held {
    fn drop(&mut self) {
        self.stage.send_replace(Stage::Released);
    }
}

/// The holds of one server.
#[derive(Default)]
pub(crate) struct Holds(Vec<Hold>);

struct Hold {
    call: String,
    words: String,
    /// How many calls of that kind come first.
    before: u32,
    caught: Caught,
}

/// The server's end of a hold.
pub(crate) struct Caught {
    moment: Moment,
    stage: Arc<watch::Sender<Stage>>,
}

impl Holds {
    pub(crate) fn add(&mut self, moment: Moment, call: &str, words: &str, nth: u32) -> Held {
        let (stage, _) = watch::channel(Stage::Expected);
        let stage = Arc::new(stage);
        let caught = Caught { moment, stage: stage.clone() };
        let (call, words, before) = (call.to_owned(), words.to_owned(), nth.saturating_sub(1));
        let what = format!("{call} number {nth} {words:?}");
        self.0.push(Hold { call, words, before, caught });
        Held { what, stage }
    }

    /// The hold that this call runs into.
    pub(crate) fn next(&mut self, call: &str, body: &[u8]) -> Option<Caught> {
        let says = |words: &str| words.is_empty() || String::from_utf8_lossy(body).contains(words);
        let matching = |hold: &Hold| hold.call == call && says(&hold.words);
        // Each counts the calls by itself; the first that is due gets this one.
        let mut due = None;
        for (n, hold) in self.0.iter_mut().enumerate().filter(|(_, hold)| matching(hold)) {
            match hold.before.checked_sub(1) {
                Some(left) => hold.before = left,
                None => due = due.or(Some(n)),
            }
        }
        due.map(|n| self.0.remove(n).caught)
    }
}

impl Caught {
    /// Waits here if it is held at this moment.
    pub(crate) async fn wait(&self, moment: Moment) {
        if self.moment != moment {
            return;
        }
        let mut stage = self.stage.subscribe();
        self.stage.send_if_modified(|stage| {
            let is_new = *stage == Stage::Expected;
            if is_new {
                *stage = Stage::Held;
            }
            is_new
        });
        let _ = stage.wait_for(|stage| *stage == Stage::Released).await;
    }
}
