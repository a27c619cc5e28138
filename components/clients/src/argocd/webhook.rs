//! A push, handed on byte for byte.

use super::api::ArgoCd;
use crate::http::{HeaderName, Http, Method, Request, Response, header};
use domain::fault::{Cause, Fault, System};

/// GitHub's headers that go along with a relayed push. No others may: Argo CD recognises the sender by
/// its headers.
#[derive(Clone)]
pub struct RelayHeaders {
    /// `X-GitHub-Event`.
    pub event: String,
    /// `X-GitHub-Delivery`.
    pub delivery: String,
    /// `X-Hub-Signature`, the only one that an Argo CD older than 2.13 reads.
    pub sha1: Option<String>,
    /// `X-Hub-Signature-256`.
    pub sha256: String,
    /// `Content-Type`.
    pub content_type: String,
}

const RELAY: &str = "hand the push to Argo CD";

/// Hands a push to Argo CD, byte for byte. `Ok` says that it was queued, not that any application
/// was refreshed.
pub async fn webhook(http: &impl Http, argocd: &ArgoCd, body: Vec<u8>, headers: &RelayHeaders) -> Result<(), Fault> {
    let response = http.send(webhook_request(argocd, body, headers)).await;
    read_webhook(response.map_err(|error| Fault::new(System::ArgoCd, RELAY, error.into()))?)
}

/// `POST /api/webhook`. It takes no token.
pub fn webhook_request(argocd: &ArgoCd, body: Vec<u8>, headers: &RelayHeaders) -> Request {
    let mut request = Request::new(Method::POST, argocd.url("/api/webhook"));
    request.body = body;
    let request = request
        .header(header::CONTENT_TYPE, &headers.content_type)
        .header(HeaderName::from_static("x-github-event"), &headers.event)
        .header(HeaderName::from_static("x-github-delivery"), &headers.delivery)
        .header(HeaderName::from_static("x-hub-signature-256"), &headers.sha256);
    match &headers.sha1 {
        Some(sha1) => request.header(HeaderName::from_static("x-hub-signature"), sha1),
        None => request,
    }
}

/// Understands the answer to [`webhook_request`]: only 200 means that it was queued.
pub fn read_webhook(response: Response) -> Result<(), Fault> {
    let cause = match response.status.as_u16() {
        200 => return Ok(()),
        429 => Cause::RateLimited { seconds: response.retry_after().map(|wait| wait.as_secs()) },
        status => Cause::Status { status },
    };
    Err(Fault::new(System::ArgoCd, RELAY, cause))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::argocd::samples::argocd;
    use crate::http::HttpError;
    use crate::http::script::{Script, response, shown};

    fn relay_headers(sha1: Option<&str>) -> RelayHeaders {
        RelayHeaders {
            event: "push".to_owned(),
            delivery: "72d3162e-cc78-11e3-81ab-4c9367dc0958".to_owned(),
            sha1: sha1.map(str::to_owned),
            sha256: "sha256=75".to_owned(),
            content_type: "application/json".to_owned(),
        }
    }

    #[test]
    fn a_push_is_handed_on_byte_for_byte() {
        let body = b"{ \"ref\":\"refs/heads/main\" }\r\n\xff".to_vec();
        let http = Script::new([Ok(response(200, ""))]);
        let (relayed, sent) = http.once(webhook(&http, &argocd(), body.clone(), &relay_headers(Some("sha1=01"))));
        assert_eq!(relayed, Ok(()));
        assert_eq!(sent.body, body);
        insta::assert_snapshot!(shown(&Request { body: Vec::new(), ..sent }), @r"
        POST https://argocd.acme.example/argo/api/webhook
        content-type: application/json
        x-github-event: push
        x-github-delivery: 72d3162e-cc78-11e3-81ab-4c9367dc0958
        x-hub-signature-256: sha256=75
        x-hub-signature: sha1=01
        ");
        assert!(!webhook_request(&argocd(), body, &relay_headers(None)).headers.contains_key("x-hub-signature"));
    }

    #[test]
    fn only_200_means_that_the_push_was_queued() {
        let check = |status, cause| {
            let expected = Fault::new(System::ArgoCd, RELAY, cause);
            assert_eq!(read_webhook(response(status, "Webhook processing failed")), Err(expected));
        };
        for status in [201, 202, 204, 307, 400, 401, 404, 405, 500, 503] {
            check(status, Cause::Status { status });
        }
        check(429, Cause::RateLimited { seconds: None });
        let http = Script::new([Err(HttpError::TimedOut)]);
        let (relayed, _) = http.once(webhook(&http, &argocd(), Vec::new(), &relay_headers(None)));
        assert_eq!(relayed, Err(Fault::new(System::ArgoCd, RELAY, Cause::TimedOut)));
    }
}
