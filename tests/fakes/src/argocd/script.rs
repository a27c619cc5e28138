//! How the operations of an application go, and what its health does afterwards. A script is state: change it before
//! a sync, and that sync follows it.

use crate::Millis;

/// The health of an application, the best first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// All is well.
    Healthy,
    /// Somebody paused it.
    Suspended,
    /// Not yet there.
    Progressing,
    /// Nothing is in the cluster.
    #[default]
    Missing,
    /// It will not get there by itself.
    Degraded,
    /// Argo CD could not tell.
    Unknown,
}

impl Health {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Healthy => "Healthy",
            Self::Progressing => "Progressing",
            Self::Degraded => "Degraded",
            Self::Suspended => "Suspended",
            Self::Missing => "Missing",
            Self::Unknown => "Unknown",
        }
    }
}

/// How the last attempt of an operation ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Everything was applied.
    Succeeded,
    /// A resource failed: the operation's message, and the resource's.
    Failed(String, String),
    /// Argo CD itself failed.
    Error(String),
}

/// One operation over time. Times of one line count from the line before.
#[derive(Clone, Debug)]
pub struct Script {
    /// Until the controller sees the operation: until then there is no `operationState`.
    pub begins: Millis,
    /// Until `syncResult` with the revision is there.
    pub compares: Millis,
    /// Messages of a sync with waves or hooks, each so long after the one before. With the first of them the change
    /// is applied; without any it is applied at the end.
    pub steps: Vec<(Millis, String)>,
    /// Until the attempt ends.
    pub ends: Millis,
    /// How many attempts fail first (an attempt is repeated only if the operation has a retry strategy).
    pub failures: u64,
    /// How the attempt after those ends.
    pub end: End,
    /// Until the reconcile that follows the operation.
    pub reconciles: Millis,
    /// The health from that reconcile on, each so long after the one before. Nothing of it happens if the sync
    /// changed nothing.
    pub health: Vec<(Millis, Health)>,
}

impl Default for Script {
    /// A plain sync that succeeds; healthy two seconds later.
    fn default() -> Self {
        Self {
            begins: 100,
            compares: 100,
            steps: Vec::new(),
            ends: 300,
            failures: 0,
            end: End::Succeeded,
            reconciles: 1200,
            health: vec![(0, Health::Progressing), (2000, Health::Healthy)],
        }
    }
}

impl Script {
    /// A sync that waits for a hook and for the Deployment `name`.
    pub fn with_waves(name: &str) -> Self {
        let steps =
            ["completion of hook batch/Job/migrate".to_owned(), format!("healthy state of apps/Deployment/{name}")];
        Self {
            steps: steps.into_iter().map(|what| (1000, format!("waiting for {what}"))).collect(),
            ends: 1000,
            health: vec![(0, Health::Healthy)],
            ..Self::default()
        }
    }

    /// A sync whose Deployment cannot be applied.
    pub fn failing(reason: &str) -> Self {
        let message = format!("one or more objects failed to apply, reason: {reason}");
        Self { end: End::Failed(message, reason.to_owned()), ..Self::default() }
    }

    /// The plain sync with another story of health after it.
    pub fn then(health: &[(Millis, Health)]) -> Self {
        Self { health: health.to_vec(), ..Self::default() }
    }
}
