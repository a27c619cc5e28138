//! What the HTTP handlers answer when they go no further.

use crate::settings::SettingError;
use crate::world::Line;
use clients::http::{Answer, StatusCode};

/// A request that is answered without being carried out.
pub struct Declined {
    /// What the caller gets.
    pub answer: Answer,
    /// Where an operator has to know.
    pub line: Option<Line>,
}

impl Declined {
    pub(crate) fn reason(status: StatusCode, reason: &str) -> Self {
        Self { answer: Answer::reason(status, "refused", reason), line: None }
    }

    /// A setting is wrong: the log names the variable, never its value.
    pub(crate) fn setting(error: &SettingError, answer: Answer) -> Self {
        Self { answer, line: Some(error.line()) }
    }
}
