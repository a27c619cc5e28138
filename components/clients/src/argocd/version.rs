//! Which Argo CD it is. An application with several sources is synced to one commit of ours since 2.11: an older Argo CD
//! ignores `revisions`, and syncs all of them to the newest.

use super::api::{ArgoCd, ArgoError, fault, read_error};
use super::wire::{SENTENCE, clip};
use crate::http::{Http, Request, Response};
use domain::fault::Cause;
use serde::Deserialize;

const VERSION: &str = "ask for Argo CD's version";

/// Argo CD's version in its own words, `v3.2.11+37ee009`.
pub async fn version(http: &impl Http, argocd: &ArgoCd) -> Result<String, ArgoError> {
    read_version(&http.send(version_request(argocd)).await.map_err(|error| fault(VERSION, error.into()))?)
}

/// `GET /api/version`, which takes no right.
pub fn version_request(argocd: &ArgoCd) -> Request {
    argocd.signed_in(Request::get(argocd.url("/api/version")))
}

/// Understands the answer to [`version_request`].
pub fn read_version(response: &Response) -> Result<String, ArgoError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        version: String,
    }
    if response.status != 200 {
        return Err(read_error(response, VERSION));
    }
    let answer: Answer = serde_json::from_slice(&response.body)
        .map_err(|_| fault(VERSION, Cause::Nonsense { part: "the version".to_owned() }))?;
    Ok(clip(&answer.version, SENTENCE))
}

/// Whether this version syncs each source to its own commit. A version of another form is somebody's own build: it does.
pub fn pins_sources(version: &str) -> bool {
    let mut numbers = version.trim_start_matches('v').split(['.', '-', '+']).map(|part| part.parse::<u32>().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(major), Some(minor)) => (major, minor) >= (2, 11),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::argocd::samples::{argocd, error_body};
    use crate::http::script::{response, shown};
    use proptest::prelude::*;

    #[test]
    fn the_version_is_asked_for_and_read() {
        insta::assert_snapshot!(shown(&version_request(&argocd())), @r#"
        GET https://argocd.acme.example/argo/api/version
        authorization: Bearer a.jwt.token
        "#);
        let body = r#"{"Version":"v3.2.11+37ee009","Platform":"linux/amd64"}"#;
        assert_eq!(read_version(&response(200, body)), Ok("v3.2.11+37ee009".to_owned()));
        assert!(matches!(read_version(&response(200, "{}")), Err(ArgoError::Fault(_))));
        assert_eq!(read_version(&response(401, error_body(16, "invalid session: x"))), Err(ArgoError::Unauthorized));
    }

    #[test]
    fn sources_are_pinned_since_2_11() {
        for new in ["v2.11.0", "v2.11.0-rc1+123", "2.14.21", "v3.0.0", "v10.1", "", "latest", "v99", "acme-7"] {
            assert!(pins_sources(new), "{new}");
        }
        for old in ["v2.10.0", "v2.10.18+2175939", "2.9.1", "v1.8.7", "v2.10-rc1"] {
            assert!(!pins_sources(old), "{old}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_panics(status in 100_u16..600, body: Vec<u8>, version: String) {
            let _ = (read_version(&response(status, body)), pins_sources(&version));
        }
    }
}
