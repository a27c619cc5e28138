//! What the HTTP handlers answer when they go no further.

use crate::settings::SettingError;
use crate::world::Line;
use clients::http::{Answer, HttpError, StatusCode};

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

    /// The body did not come to its end.
    pub(crate) fn broken(error: HttpError) -> Self {
        match error {
            HttpError::TimedOut => Self::reason(StatusCode::REQUEST_TIMEOUT, "the body took longer than 5 s"),
            _ => Self::reason(StatusCode::BAD_REQUEST, "the body broke off"),
        }
    }

    /// A setting is wrong: the log names the variable, never its value.
    pub(crate) fn setting(error: &SettingError, answer: Answer) -> Self {
        Self { answer, line: Some(error.line()) }
    }
}
