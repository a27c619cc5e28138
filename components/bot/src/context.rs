//! What every step of a story needs: the world, the settings, and whose work it is. How other systems are
//! read. Why a step stops before a commit.

use crate::patience::{Around, Patience, ReadFailed};
use crate::settings::SlackCommandSettings;
use crate::world::World;
use domain::deployment::{CancelFact, CatalogPage, End};
use domain::fault::Fault;
use domain::names::{Contact, DeploymentId, FilePath};
use domain::refusal::Refusal;
use std::cell::RefCell;
use store::{LeaseLost, StoreError};

/// For a step that carries a deployment out, or that answers a question.
pub(crate) struct Context<'a, W> {
    pub(crate) world: &'a W,
    pub(crate) settings: &'a SlackCommandSettings,
    /// For the log: the deployment, or the question.
    pub(crate) id: &'a DeploymentId,
    /// For its reads.
    pub(crate) patience: Patience,
    /// Whom people turn to, as the catalog said last.
    pub(crate) contact: RefCell<Option<Contact>>,
    /// Which place in the catalog counts.
    entry: RefCell<Option<(FilePath, Option<usize>)>>,
}

impl<'a, W> Context<'a, W> {
    pub(crate) fn new(
        world: &'a W,
        settings: &'a SlackCommandSettings,
        id: &'a DeploymentId,
        patience: Patience,
    ) -> Self {
        Self { world, settings, id, patience, contact: RefCell::default(), entry: RefCell::default() }
    }

    /// Notes whom the catalog names for everything. Whom it names for the target counts more.
    pub(crate) fn may_turn_to(&self, contact: Option<&Contact>) {
        if self.contact.borrow().is_none() {
            self.turns_to(contact);
        }
    }

    /// Notes where the catalog says what counts.
    pub(crate) fn goes_by(&self, path: &FilePath, line: Option<usize>) {
        *self.entry.borrow_mut() = Some((path.clone(), line));
    }

    /// Notes where the mistake is that this is about.
    pub(crate) fn refuses(&self, refusal: &Refusal) {
        if let Refusal::BrokenCatalog { path, error } | Refusal::BrokenApp { path, error, .. } = refusal {
            self.goes_by(path, error.line);
        }
    }

    /// The page of that place.
    pub(crate) fn catalog_page(&self) -> CatalogPage {
        let SlackCommandSettings { github, gitops, catalog_path, .. } = self.settings;
        let (path, line) = self.entry.borrow().clone().unwrap_or_else(|| (catalog_path.clone(), None));
        let line = line.map(|line| format!("#L{line}")).unwrap_or_default();
        let file = path.as_str().replace(' ', "%20");
        let url = format!("{}/{}/blob/{}/{file}{line}", github.web(), gitops.repo, gitops.branch);
        CatalogPage { path, url }
    }

    /// Notes whom the catalog names for the target.
    pub(crate) fn turns_to(&self, contact: Option<&Contact>) {
        *self.contact.borrow_mut() = contact.cloned();
    }
}

impl<W: World> Context<'_, W> {
    /// Reads another system; every read before the commit goes through here. What fails in passing is asked
    /// again, until somebody cancels the deployment.
    pub(crate) async fn read<T, E: ReadFailed>(&self, call: impl AsyncFn() -> Result<T, E>) -> Result<T, E> {
        self.patience.ask(&self.around(), call).await
    }

    fn around(&self) -> Around<'_, W, impl AsyncFn() -> bool> {
        let (world, id) = (self.world, self.id);
        let is_wanted = async || !matches!(store::load_fact::<CancelFact>(world, id).await, Ok(Some(_)));
        Around { world, id, limits: &self.settings.limits, is_wanted }
    }
}

/// Why the work stops.
pub(crate) enum Stop {
    /// The deployment ends here.
    End(End),
    /// We may not go on: a lease was lost, the store failed, or it is too late for an `end`. The next resume,
    /// or the watch, goes on.
    Leave(&'static str),
    /// The catalog on the branch, or what was to be found in a file, is newer than what we know: begin again
    /// with it.
    Moved,
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::End(End::Refused { refusal: (&refusal).into(), plans: Vec::new() })
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::End(End::Failed { fault })
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Leave(error.why())
    }
}

impl From<LeaseLost> for Stop {
    fn from(_: LeaseLost) -> Self {
        Self::Leave("a lease was lost")
    }
}

impl Stop {
    /// Why the work stopped, for the log.
    pub(crate) fn why(&self) -> &'static str {
        match self {
            Self::End(_) => "it ended",
            Self::Leave(why) => why,
            Self::Moved => "the catalog moved",
        }
    }
}

#[cfg(test)]
impl Stop {
    /// The refusal, if it is one.
    pub(crate) fn refusal(&self) -> Option<domain::refusal::Refusal> {
        match self {
            Self::End(End::Refused { refusal, .. }) => refusal.read(),
            _ => None,
        }
    }
}
