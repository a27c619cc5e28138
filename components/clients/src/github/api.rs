//! How GitHub is asked. What builds a request knows the address only; [`GitHub::ask`] adds the credential.

use crate::http::{HeaderName, Http, HttpError, Request, Response, header};
use domain::fault::{Fault, System};
use domain::names::{Secret, UrlOrigin};
use serde_json::{Value, json};

/// Where GitHub is, and who we are there.
#[derive(Clone, Debug)]
pub struct GitHub {
    /// `https://api.github.com`, or an Enterprise Server's own origin.
    pub url: UrlOrigin,
    /// A token of a GitHub App's installation, or a personal one.
    pub token: Secret,
}

impl GitHub {
    /// Whether it is github.com, which limits content writes.
    pub fn is_public(&self) -> bool {
        self.url.host() == "api.github.com"
    }

    /// Where people read its pages.
    pub fn web(&self) -> String {
        self.url.as_str().replacen("://api.", "://", 1)
    }

    /// Sends a request with our credential. No other place adds one.
    pub(super) async fn ask(&self, http: &impl Http, request: Request) -> Result<Response, HttpError> {
        http.send(request.bearer(&self.token)).await
    }
}

pub(super) async fn send(http: &impl Http, gh: &GitHub, request: Request, doing: &str) -> Result<Response, Fault> {
    gh.ask(http, request).await.map_err(|error| no_answer(error, doing))
}

pub(super) fn no_answer(error: HttpError, doing: &str) -> Fault {
    Fault::new(System::GitHub, doing, error.into())
}

pub(super) fn graphql(api: &UrlOrigin, query: &str, variables: &Value) -> Request {
    let path = if has_api_host(api) { "/graphql" } else { "/api/graphql" };
    let body = json!({ "query": query, "variables": variables });
    common(Request::post_json(format!("{api}{path}"), &body)).header(header::ACCEPT, "application/vnd.github+json")
}

pub(super) fn rest(api: &UrlOrigin, path: &str, accept: &str) -> Request {
    versioned(Request::get(rest_url(api, path))).header(header::ACCEPT, accept)
}

pub(super) fn rest_post(api: &UrlOrigin, path: &str, body: &Value) -> Request {
    versioned(Request::post_json(rest_url(api, path), body)).header(header::ACCEPT, "application/vnd.github+json")
}

fn rest_url(api: &UrlOrigin, path: &str) -> String {
    let root = if has_api_host(api) { "" } else { "/api/v3" };
    format!("{api}{root}{path}")
}

fn versioned(request: Request) -> Request {
    common(request).header(HeaderName::from_static("x-github-api-version"), "2022-11-28")
}

/// GitHub refuses requests without a user agent.
fn common(request: Request) -> Request {
    request.header(header::USER_AGENT, "deploy-bot")
}

/// github.com has a host for its API; an Enterprise Server has paths.
fn has_api_host(api: &UrlOrigin) -> bool {
    api.host().starts_with("api.")
}

#[cfg(test)]
mod tests {
    use crate::github::samples::gh;
    use domain::names::UrlOrigin;
    use serde_json::json;

    #[test]
    fn github_com_and_enterprise_server_have_different_addresses() {
        for (url, graphql, rest) in [
            ("https://api.github.com", "https://api.github.com/graphql", "https://api.github.com/x"),
            ("https://api.acme.ghe.com", "https://api.acme.ghe.com/graphql", "https://api.acme.ghe.com/x"),
            ("https://github.acme.dev", "https://github.acme.dev/api/graphql", "https://github.acme.dev/api/v3/x"),
            ("http://127.0.0.1:4000", "http://127.0.0.1:4000/api/graphql", "http://127.0.0.1:4000/api/v3/x"),
        ] {
            let api = UrlOrigin::parse(url).unwrap();
            let found = (super::graphql(&api, "", &json!({})).url, super::rest(&api, "/x", "").url);
            assert_eq!(found, (graphql.to_owned(), rest.to_owned()));
        }
        assert!(!format!("{:?}", gh()).contains("secret"));
        assert_eq!(gh().web(), "https://github.com");
    }
}
