//! Where Argo CD is, and its errors.

use super::wire::{SENTENCE, clip};
use crate::http::{Request, Response};
use domain::fault::{Cause, Fault, System};
use domain::names::{ArgoApplication, Secret, UrlOrigin};
use serde::Deserialize;

/// Whole applications are large: history and operation alone may be 100 KB, and etcd allows 1.5 MiB.
pub(super) const MAX_APPLICATION: usize = 4 << 20;

/// Where Argo CD is, and who we are there.
#[derive(Clone, Debug)]
pub struct ArgoCd {
    pub url: UrlOrigin,
    /// What its `--rootpath` says: empty, or `/x` without a slash at the end.
    pub root_path: String,
    /// Our account's token. The relay has none.
    pub token: Option<Secret>,
}

impl ArgoCd {
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{}{path}", self.url, self.root_path)
    }

    pub(super) fn signed_in(&self, request: Request) -> Request {
        match &self.token {
            Some(token) => request.bearer(token),
            None => request,
        }
    }
}

/// Why Argo CD did not answer a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArgoError {
    /// Our account lacks a right; Argo CD's words.
    NoRight(String),
    /// No such application in that project.
    NoApplication,
    /// Our token is not accepted.
    Unauthorized,
    Fault(Fault),
}

/// The error that an answer other than 200 stands for.
pub(super) fn read_error(response: &Response, doing: &str) -> ArgoError {
    let said: Option<Said> = serde_json::from_slice(&response.body).ok();
    match (response.status.as_u16(), said) {
        (401, _) => ArgoError::Unauthorized,
        (403, Some(Said { code: 7, message })) => ArgoError::NoRight(clip(&message, SENTENCE)),
        (404, Some(Said { code: 5, .. })) => ArgoError::NoApplication,
        (403, _) => fault(doing, Cause::Forbidden { said: String::new() }),
        (429, _) => fault(doing, Cause::RateLimited { seconds: response.retry_after().map(|wait| wait.as_secs()) }),
        (_, Some(Said { message, .. })) if !message.is_empty() => {
            fault(doing, Cause::Said { said: clip(&message, SENTENCE) })
        }
        (status, _) => fault(doing, Cause::Status { status }),
    }
}

/// The body of every unary error; the code is gRPC's.
#[derive(Deserialize)]
pub(super) struct Said {
    code: i64,
    #[serde(default)]
    pub(super) message: String,
}

pub(super) fn fault(doing: &str, cause: Cause) -> ArgoError {
    ArgoError::Fault(Fault::new(System::ArgoCd, doing, cause))
}

/// Names have no character that a query would have to escape.
pub(super) fn query(app: &ArgoApplication) -> String {
    match &app.namespace {
        Some(namespace) => format!("project={}&appNamespace={namespace}", app.project),
        None => format!("project={}", app.project),
    }
}
