//! What our account may do. Argo CD answers with "permission denied" and "invalid session" for reasons that pass, too:
//! a Kubernetes API that is away, a server that has just started. The questions here tell one from the other.

use super::api::{ArgoCd, ArgoError, fault, read_error};
use crate::http::{Http, Request, Response};
use domain::fault::Cause;
use domain::names::ArgoApplication;
use serde::Deserialize;

const ACCOUNT: &str = "ask what my account may do";

/// A right at an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    Get,
    Sync,
}

/// Whether our account has the right, by Argo CD's rules alone.
pub async fn may(http: &impl Http, argocd: &ArgoCd, right: Right, app: &ArgoApplication) -> Result<bool, ArgoError> {
    read_may(&ask(http, may_request(argocd, right, app)).await?)
}

/// Whether our token is accepted.
pub async fn is_signed_in(http: &impl Http, argocd: &ArgoCd) -> Result<bool, ArgoError> {
    read_signed_in(&ask(http, signed_in_request(argocd)).await?)
}

async fn ask(http: &impl Http, request: Request) -> Result<Response, ArgoError> {
    http.send(request).await.map_err(|error| fault(ACCOUNT, error.into()))
}

/// `GET /api/v1/account/can-i/applications/{right}/{project}/{name}`.
pub fn may_request(argocd: &ArgoCd, right: Right, app: &ArgoApplication) -> Request {
    let right = match right {
        Right::Get => "get",
        Right::Sync => "sync",
    };
    // An application in a namespace of its own is named with it.
    let place = app.namespace.as_ref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
    let path = format!("/api/v1/account/can-i/applications/{right}/{}/{place}{}", app.project, app.name);
    argocd.signed_in(Request::get(argocd.url(&path)))
}

/// Understands the answer to [`may_request`].
pub fn read_may(response: &Response) -> Result<bool, ArgoError> {
    #[derive(Deserialize)]
    struct Answer {
        value: String,
    }
    read::<Answer>(response).map(|answer| answer.value == "yes")
}

/// `GET /api/v1/session/userinfo`. Argo CD answers 200 to a token that it does not accept.
pub fn signed_in_request(argocd: &ArgoCd) -> Request {
    argocd.signed_in(Request::get(argocd.url("/api/v1/session/userinfo")))
}

/// Understands the answer to [`signed_in_request`].
pub fn read_signed_in(response: &Response) -> Result<bool, ArgoError> {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Answer {
        logged_in: bool,
    }
    read::<Answer>(response).map(|answer| answer.logged_in)
}

fn read<T: for<'a> Deserialize<'a>>(response: &Response) -> Result<T, ArgoError> {
    if response.status != 200 {
        return Err(read_error(response, ACCOUNT));
    }
    serde_json::from_slice(&response.body)
        .map_err(|_| fault(ACCOUNT, Cause::Nonsense { part: "the account".to_owned() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::argocd::samples::{app, argocd, error_body, in_namespace};
    use crate::http::script::{response, shown};
    use proptest::prelude::*;

    #[test]
    fn what_is_asked() {
        insta::assert_snapshot!(shown(&may_request(&argocd(), Right::Sync, &app())), @r#"
        GET https://argocd.acme.example/argo/api/v1/account/can-i/applications/sync/default/checkout
        authorization: Bearer a.jwt.token
        "#);
        let there = may_request(&argocd(), Right::Get, &in_namespace());
        assert!(there.url.ends_with("/can-i/applications/get/shop/shop-apps/checkout"), "{}", there.url);
        assert!(signed_in_request(&argocd()).url.ends_with("/api/v1/session/userinfo"));
    }

    #[test]
    fn answers_are_read() {
        for (body, expected) in [(r#"{"value":"yes"}"#, true), (r#"{"value":"no"}"#, false), (r#"{"value":""}"#, false)]
        {
            assert_eq!(read_may(&response(200, body)), Ok(expected), "{body}");
        }
        assert!(matches!(read_may(&response(200, "{}")), Err(ArgoError::Fault(_))));
        assert_eq!(read_may(&response(401, error_body(16, "invalid session: x"))), Err(ArgoError::Unauthorized));
        for (body, expected) in [(r#"{"loggedIn":true,"username":"bot"}"#, true), ("{}", false)] {
            assert_eq!(read_signed_in(&response(200, body)), Ok(expected), "{body}");
        }
        assert!(matches!(read_signed_in(&response(503, "")), Err(ArgoError::Fault(_))));
    }

    proptest! {
        #[test]
        fn no_answer_panics(status in 100_u16..600, body: Vec<u8>) {
            let _ = (read_may(&response(status, body.clone())), read_signed_in(&response(status, body)));
        }
    }
}
