//! What a look at an application shows besides how far the rollout is: people read it while it holds, and with the
//! last word.

use super::before::{AsBefore, judge};
use crate::application::{Application, Unwell};
use serde::{Deserialize, Serialize};

/// Computed anew at each look.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remarks {
    /// Argo CD names a worse health than we do.
    pub as_before: Option<AsBefore>,
}

impl Remarks {
    pub(super) fn of(app: &Application, before: &[Unwell]) -> Self {
        Self { as_before: judge(app, before).as_before }
    }
}
