//! slack-command's journal: the fact `message`, written under the lease `carry/<id>`.

use super::{CALL, Journal, Standing};
use crate::world::World;
use domain::deployment::{Facts, MessageFact, Voice};
use domain::names::DeploymentId;
use std::cell::RefCell;
use std::time::Duration;
use store::{Lease, StoreError};

/// What a write to the store may take.
const WRITE: Duration = Duration::from_secs(2);

/// The voice before the commit.
pub(crate) struct MessageJournal<'a, W> {
    world: &'a W,
    id: &'a DeploymentId,
    lease: &'a Lease<'a, W>,
    voice: RefCell<Voice>,
    saved: RefCell<Voice>,
}

impl<'a, W: World> MessageJournal<'a, W> {
    pub(crate) fn new(world: &'a W, id: &'a DeploymentId, lease: &'a Lease<'a, W>, facts: &Facts) -> Self {
        let mut voice = facts.message.as_ref().map(|message| message.0.clone()).unwrap_or_default();
        // We hold the lease: the process that spoke before us is gone.
        voice.speaking = None;
        Self { world, id, lease, saved: RefCell::new(voice.clone()), voice: RefCell::new(voice) }
    }
}

impl<W: World> Journal for MessageJournal<'_, W> {
    const NOTES_CALLS: bool = true;

    fn ours(&self) -> Voice {
        self.voice.borrow().clone()
    }

    /// The watch speaks only when slack-command does no more.
    fn theirs(&self) -> Voice {
        Voice::default()
    }

    async fn save(&self, change: impl FnOnce(&mut Voice)) -> Result<(), StoreError> {
        change(&mut self.voice.borrow_mut());
        let voice = self.ours();
        if voice == *self.saved.borrow() {
            return Ok(());
        }
        // After a long sleep another process may hold the lease, and what it has told must not be taken back.
        self.lease.ensure(WRITE).await?;
        let fact = MessageFact(voice);
        store::save_fact(self.world, self.id, &fact).await?;
        *self.saved.borrow_mut() = fact.0;
        Ok(())
    }

    /// Once a deployment is approved, its message is the one of the deployment as which it goes on.
    async fn standing(&self, facts: &Facts, last: bool) -> Result<Standing, StoreError> {
        if last && facts.waits_for_approval() {
            let approvals = store::load_fact(self.world, self.id).await?;
            if (Facts { approvals, ..facts.clone() }).is_approved() {
                return Ok(Standing::Elsewhere);
            }
        }
        self.lease.ensure(CALL).await?;
        Ok(Standing::Ours)
    }
}
