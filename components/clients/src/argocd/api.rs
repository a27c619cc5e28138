//! Where Argo CD is, its errors, and a look at an application.

use super::wire::{SENTENCE, WireApplication, said};
use crate::http::{Http, Request, Response};
use domain::application::Application;
use domain::fault::{Cause, Fault, System};
use domain::names::{ArgoApplication, Secret, UrlOrigin};
use serde::Deserialize;
use std::time::Duration;

const READ: &str = "read the application";
const REFRESH: &str = "refresh the application";
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
    /// Argo CD refused what we asked for, perhaps for a reason that passes; its words.
    Refused(String),
    Fault(Fault),
}

/// Argo CD's words in an answer.
pub(super) fn words(message: &str) -> String {
    said(message, SENTENCE, &[])
}

/// The error that an answer other than 200 means.
pub(super) fn read_error(response: &Response, doing: &str) -> ArgoError {
    let said: Option<Said> = serde_json::from_slice(&response.body).ok();
    match (response.status.as_u16(), said) {
        (401, _) => ArgoError::Unauthorized,
        (403, Some(Said { code: 7, message })) => ArgoError::NoRight(words(&message)),
        (404, Some(Said { code: 5, .. })) => ArgoError::NoApplication,
        (403, _) => fault(doing, Cause::Forbidden { said: String::new() }),
        (429, _) => fault(doing, Cause::RateLimited { seconds: response.retry_after().map(|wait| wait.as_secs()) }),
        (_, Some(Said { message, .. })) if !message.is_empty() => fault(doing, Cause::Said { said: words(&message) }),
        (status, _) => fault(doing, Cause::Status { status }),
    }
}

/// The body of every unary error; the code is gRPC's.
#[derive(Deserialize)]
pub(super) struct Said {
    pub(super) code: i64,
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

pub async fn get(http: &impl Http, argocd: &ArgoCd, app: &ArgoApplication) -> Result<Application, ArgoError> {
    let response = http.send(get_request(argocd, app)).await;
    read_application(response.map_err(|error| fault(READ, error.into()))?, READ)
}

/// How Argo CD compares with Git again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refresh {
    /// What was rendered for a commit counts for that commit.
    Normal,
    /// The branch's head is rendered anew, whatever came of that before.
    Hard,
}

/// Has Argo CD compare the application with Git again, and waits for that.
pub async fn refresh(
    http: &impl Http,
    argocd: &ArgoCd,
    app: &ArgoApplication,
    refresh: Refresh,
    timeout: Duration,
) -> Result<Application, ArgoError> {
    let response = http.send(refresh_request(argocd, app, refresh, timeout)).await;
    read_application(response.map_err(|error| fault(REFRESH, error.into()))?, REFRESH)
}

/// `GET /api/v1/applications/{name}`.
pub fn get_request(argocd: &ArgoCd, app: &ArgoApplication) -> Request {
    let url = argocd.url(&format!("/api/v1/applications/{}?{}", app.name, query(app)));
    argocd.signed_in(Request::get(url)).max_answer(MAX_APPLICATION)
}

/// The same with `refresh`: Argo CD holds the answer back until it has compared.
pub fn refresh_request(argocd: &ArgoCd, app: &ArgoApplication, refresh: Refresh, timeout: Duration) -> Request {
    let mut request = get_request(argocd, app).timeout(timeout);
    request.url.push_str(match refresh {
        Refresh::Normal => "&refresh=normal",
        Refresh::Hard => "&refresh=hard",
    });
    request
}

/// Understands an application, the answer to [`get_request`] and [`refresh_request`].
pub fn read_application(response: Response, doing: &str) -> Result<Application, ArgoError> {
    if response.status != 200 {
        return Err(read_error(&response, doing));
    }
    let nonsense = |_| fault(doing, Cause::Nonsense { part: "the application".to_owned() });
    serde_json::from_slice(&response.body).map(WireApplication::snapshot).map_err(nonsense)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::argocd::samples::{SHA, app, argocd, error_body, in_namespace, sample};
    use crate::http::script::{Script, response, shown};
    use crate::http::{HeaderValue, HttpError, header};
    use proptest::prelude::*;

    #[test]
    fn an_application_is_asked_for_by_name_and_project() {
        insta::assert_snapshot!(shown(&get_request(&argocd(), &app())), @r#"
        GET https://argocd.acme.example/argo/api/v1/applications/checkout?project=default
        authorization: Bearer a.jwt.token
        "#);
        let refresh = refresh_request(&argocd(), &in_namespace(), Refresh::Normal, Duration::from_secs(4));
        insta::assert_snapshot!(shown(&refresh), @r#"
        GET https://argocd.acme.example/argo/api/v1/applications/checkout?project=shop&appNamespace=shop-apps&refresh=normal
        authorization: Bearer a.jwt.token
        "#);
        assert_eq!(refresh.timeout, Duration::from_secs(4));
        let hard = refresh_request(&argocd(), &app(), Refresh::Hard, Duration::from_secs(4));
        assert!(hard.url.ends_with("/api/v1/applications/checkout?project=default&refresh=hard"), "{}", hard.url);
        let at_the_root = ArgoCd { root_path: String::new(), token: None, ..argocd() };
        insta::assert_snapshot!(shown(&get_request(&at_the_root, &app())), @"GET https://argocd.acme.example/api/v1/applications/checkout?project=default");
    }

    #[test]
    fn why_an_application_cannot_be_read() {
        let check = |status, body: &str, expected| {
            assert_eq!(read_application(response(status, body), READ), Err(expected), "{status} {body}");
        };
        let no_right = ArgoError::NoRight("permission denied".to_owned());
        check(401, &error_body(16, "no session information"), ArgoError::Unauthorized);
        check(401, "", ArgoError::Unauthorized);
        check(403, &error_body(7, "permission denied"), no_right);
        check(403, "<html>", fault(READ, Cause::Forbidden { said: String::new() }));
        check(404, &error_body(5, "applications.argoproj.io \"checkout\" not found"), ArgoError::NoApplication);
        check(404, "404 page not found", fault(READ, Cause::Status { status: 404 }));
        check(500, &error_body(2, "etcd is\nsad"), fault(READ, Cause::Said { said: "etcd is sad".to_owned() }));
        check(503, "upstream connect error", fault(READ, Cause::Status { status: 503 }));
        check(307, "", fault(READ, Cause::Status { status: 307 }));
        for body in ["", "<html>", "{}", "[]", "null", r#"{"metadata":{"name":1}}"#] {
            check(200, body, fault(READ, Cause::Nonsense { part: "the application".to_owned() }));
        }
        let mut limited = response(429, error_body(8, "slow down"));
        limited.headers.insert(header::RETRY_AFTER, HeaderValue::from_static("7"));
        let expected = fault(READ, Cause::RateLimited { seconds: Some(7) });
        assert_eq!(read_application(limited, READ), Err(expected));
    }

    #[test]
    fn an_application_is_read_and_refreshed() {
        let good = || Script::new([Ok(response(200, sample().to_string()))]);
        let http = good();
        let read = http.once(get(&http, &argocd(), &app())).0.unwrap();
        assert_eq!(read.compared, [SHA]);
        let refreshed =
            |http: Script| http.once(refresh(&http, &argocd(), &app(), Refresh::Normal, Duration::from_secs(5))).0;
        assert_eq!(refreshed(good()), Ok(read));
        let late = Script::new([Err(HttpError::TimedOut)]);
        assert_eq!(refreshed(late), Err(fault(REFRESH, Cause::TimedOut)));
    }

    proptest! {
        #[test]
        fn no_answer_panics(status in 100_u16..600, body: Vec<u8>) {
            let _ = read_application(response(status, body), READ);
        }
    }
}
