//! A container registry: the OCI distribution API, read only, with the token flow of Docker Hub and GHCR or the Basic
//! challenge of ECR.
//!
//! Easy to miss: HEAD errors have no body. A token without the right is still a 200; only the retry fails.
//! An image whose media type is not in `Accept` is not found, though it is there.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{Answer, Millis, Request, Response, StandIn};

/// What a manifest is: the four kinds that a client has to accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An OCI index: several platforms.
    OciIndex,
    /// An OCI manifest: one platform.
    OciManifest,
    /// Docker's own list of several platforms.
    DockerList,
    /// Docker's own manifest of one platform.
    DockerManifest,
}

impl Kind {
    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::OciIndex => "application/vnd.oci.image.index.v1+json",
            Self::OciManifest => "application/vnd.oci.image.manifest.v1+json",
            Self::DockerList => "application/vnd.docker.distribution.manifest.list.v2+json",
            Self::DockerManifest => "application/vnd.docker.distribution.manifest.v2+json",
        }
    }
}

/// How a client proves who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// Not at all.
    Nothing,
    /// With a token from the token endpoint, which takes Basic credentials or none.
    Token,
    /// With Basic credentials on every call (ECR).
    Basic,
}

/// What happens to somebody without the right to pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// A token that is good for nothing; the retry gets 401.
    EmptyToken,
    /// The same, but the retry gets 403.
    Forbidden,
    /// 403 from the token endpoint itself (GHCR).
    AtTokenEndpoint,
}

/// Which member of the answer holds the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenMember {
    /// `token` and `access_token`.
    Both,
    /// `token` alone.
    Token,
    /// `access_token` alone (OAuth).
    AccessToken,
}

#[derive(Clone, Debug)]
struct Manifest {
    kind: Kind,
    body: Vec<u8>,
}

#[derive(Clone, Debug, Default)]
struct Repository {
    is_private: bool,
    tags: BTreeMap<String, String>,
    manifests: BTreeMap<String, Manifest>,
}

struct Token {
    /// The repository that it lets pull; `None` for a token without any right.
    pull: Option<String>,
    expires_at: Millis,
}

/// The stand-in. Everything public may be changed while it runs.
pub struct Registry {
    /// Its own origin, which the token realm points back to.
    pub origin: String,
    /// The token realm in the challenge, if it is somewhere else; a hostile registry names a server of its own.
    pub realm: Option<String>,
    /// The service in the challenge; the token endpoint insists on it.
    pub service: String,
    /// How clients log in.
    pub login: Login,
    /// What becomes of those who may not pull.
    pub denial: Denial,
    /// How long a token is good.
    pub token_seconds: u64,
    /// How the token is spelled.
    pub token_member: TokenMember,
    /// How many calls from now on are answered 429.
    pub throttled: u32,
    /// What `Retry-After` then says.
    pub retry_after_seconds: u64,
    /// Whether answers have `docker-content-digest`: the specification asks for it with "should", and not all do.
    pub names_digests: bool,
    /// The most tags in one page of a list.
    pub longest_page: usize,
    users: BTreeMap<String, String>,
    repositories: BTreeMap<String, Repository>,
    tokens: BTreeMap<String, Token>,
    calls: BTreeMap<String, u64>,
}

impl Registry {
    /// An empty registry with the token flow.
    pub fn new(origin: &str) -> Self {
        Self {
            origin: origin.to_owned(),
            realm: None,
            service: "registry.example".to_owned(),
            login: Login::Token,
            denial: Denial::EmptyToken,
            token_seconds: 300,
            token_member: TokenMember::Both,
            throttled: 0,
            retry_after_seconds: 1,
            names_digests: true,
            longest_page: 100,
            users: BTreeMap::new(),
            repositories: BTreeMap::new(),
            tokens: BTreeMap::new(),
            calls: BTreeMap::new(),
        }
    }

    /// Somebody who may pull everything.
    pub fn user(&mut self, name: &str, password: &str) {
        self.users.insert(name.to_owned(), password.to_owned());
    }

    /// Makes a repository private, or public again. A private one is for users only.
    pub fn private(&mut self, repository: &str, is_private: bool) {
        self.repositories.entry(repository.to_owned()).or_default().is_private = is_private;
    }

    /// Pushes a multi-platform image; its digest.
    pub fn push(&mut self, repository: &str, tag: &str) -> String {
        self.push_as(repository, tag, Kind::OciIndex)
    }

    /// Pushes an image of a certain kind; its digest.
    pub fn push_as(&mut self, repository: &str, tag: &str, kind: Kind) -> String {
        let annotations = json!({ "org.opencontainers.image.ref.name": format!("{repository}:{tag}") });
        let body = match kind {
            Kind::OciIndex | Kind::DockerList => {
                json!({ "schemaVersion": 2, "mediaType": kind.media_type(), "manifests": [], "annotations": annotations })
            }
            Kind::OciManifest | Kind::DockerManifest => {
                json!({ "schemaVersion": 2, "mediaType": kind.media_type(), "layers": [], "annotations": annotations })
            }
        };
        let body = body.to_string().into_bytes();
        let digest = digest(&body);
        let found = self.repositories.entry(repository.to_owned()).or_default();
        found.tags.insert(tag.to_owned(), digest.clone());
        found.manifests.insert(digest.clone(), Manifest { kind, body });
        digest
    }

    /// Gives the image of a tag another tag, too.
    pub fn retag(&mut self, repository: &str, tag: &str, other: &str) {
        if let Some(found) = self.repositories.get_mut(repository)
            && let Some(digest) = found.tags.get(tag).cloned()
        {
            found.tags.insert(other.to_owned(), digest);
        }
    }

    /// Takes a tag away; its manifest stays.
    pub fn remove_tag(&mut self, repository: &str, tag: &str) {
        if let Some(found) = self.repositories.get_mut(repository) {
            found.tags.remove(tag);
        }
    }

    /// Makes every token that was given out expire now.
    pub fn expire_tokens(&mut self) {
        self.tokens.values_mut().for_each(|token| token.expires_at = 0);
    }

    /// How often a call was made, by the name that [`StandIn::name_of`] gives it.
    pub fn calls(&self, name: &str) -> u64 {
        self.calls.get(name).copied().unwrap_or_default()
    }

    /// All calls, by name.
    pub fn all_calls(&self) -> &BTreeMap<String, u64> {
        &self.calls
    }
}

enum Route {
    Base,
    Token,
    Manifest { repository: String, reference: String, has_body: bool },
    Tags(String),
    Unknown,
}

fn route(request: &Request) -> Route {
    let path = percent_decode_str(request.path()).decode_utf8_lossy().into_owned();
    let has_body = match request.method.as_str() {
        "GET" => true,
        "HEAD" => false,
        _ => return Route::Unknown,
    };
    if has_body && path == "/token" {
        return Route::Token;
    }
    let Some(rest) = path.strip_prefix("/v2/") else { return Route::Unknown };
    if rest.is_empty() {
        return Route::Base;
    }
    if let Some(repository) = rest.strip_suffix("/tags/list").filter(|_| has_body) {
        return Route::Tags(repository.to_owned());
    }
    match rest.rsplit_once("/manifests/") {
        Some((repository, reference)) if is_reference(reference) => {
            Route::Manifest { repository: repository.to_owned(), reference: reference.to_owned(), has_body }
        }
        _ => Route::Unknown,
    }
}

/// A tag or a digest.
fn is_reference(text: &str) -> bool {
    let is_tag = text.len() <= 128
        && text.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_')
        && text.chars().all(|next| next.is_ascii_alphanumeric() || "_.-".contains(next));
    let is_hex =
        |digest: &str| digest.len() == 64 && digest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_tag || text.strip_prefix("sha256:").is_some_and(is_hex)
}

/// Lower case, in parts that are joined by `.`, `_`, `__` or dashes, in folders.
fn is_name(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_part = |part: &str| {
        let joints = part.split(|next: char| next.is_ascii_lowercase() || next.is_ascii_digit());
        let is_joined = joints
            .clone()
            .all(|joint| matches!(joint, "" | "." | "_" | "__") || joint.bytes().all(|byte| byte == b'-'));
        let ends = [part.bytes().next(), part.bytes().last()];
        is_joined && ends.iter().all(|end| end.is_some_and(is_word))
    };
    text.len() <= 255 && text.split('/').all(is_part)
}

fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

fn error(status: u16, code: &str, message: &str, detail: Value) -> Response {
    Response::json(status, &json!({ "errors": [{ "code": code, "message": message, "detail": detail }] }))
}

impl StandIn for Registry {
    fn name_of(&self, request: &Request) -> String {
        let name = match route(request) {
            Route::Base => "registry.base",
            Route::Token => "registry.token",
            Route::Manifest { has_body: true, .. } => "registry.get",
            Route::Manifest { has_body: false, .. } => "registry.head",
            Route::Tags(_) => "registry.tags",
            Route::Unknown => "registry.unexpected",
        };
        name.to_owned()
    }

    fn answer(&mut self, now: Millis, request: &Request) -> Answer {
        *self.calls.entry(self.name_of(request)).or_default() += 1;
        let mut response = self.respond(now, request);
        if request.method == http::Method::HEAD {
            // The headers stay as they would be for a GET, the length too.
            response.body.clear();
        }
        Answer::Whole(response.with("docker-distribution-api-version", "registry/2.0"))
    }
}

impl Registry {
    fn respond(&mut self, now: Millis, request: &Request) -> Response {
        if self.throttled > 0 {
            self.throttled -= 1;
            let refused = error(429, "TOOMANYREQUESTS", "too many requests", Value::Null);
            return refused.with("retry-after", &self.retry_after_seconds.to_string());
        }
        match route(request) {
            Route::Token => self.token(now, request),
            Route::Base => self.refusal(now, request, None).unwrap_or_else(|| Response::json(200, &json!({}))),
            Route::Manifest { repository, .. } | Route::Tags(repository) if !is_name(&repository) => {
                error(400, "NAME_INVALID", "invalid repository name", json!({ "name": repository }))
            }
            Route::Manifest { repository, reference, .. } => {
                let refusal = self.refusal(now, request, Some(&repository));
                refusal.unwrap_or_else(|| self.manifest(request, &repository, &reference))
            }
            Route::Tags(repository) => {
                let refusal = self.refusal(now, request, Some(&repository));
                refusal.unwrap_or_else(|| self.tags(request, &repository))
            }
            Route::Unknown => Response::text(404, "404 page not found\n"),
        }
    }

    /// Whether the request has good Basic credentials, bad ones (`Err`), or none.
    fn basic(&self, request: &Request) -> Result<bool, ()> {
        let Some((scheme, encoded)) = request.header("authorization").split_once(' ') else { return Ok(false) };
        if !scheme.eq_ignore_ascii_case("basic") {
            return Ok(false);
        }
        let decoded = STANDARD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or(())?;
        let (user, password) = decoded.split_once(':').ok_or(())?;
        if self.users.get(user).is_some_and(|known| known == password) { Ok(true) } else { Err(()) }
    }

    /// What is answered to a request that may not go on.
    fn refusal(&self, now: Millis, request: &Request, repository: Option<&str>) -> Option<Response> {
        let unauthorized = |challenge: &str| {
            let detail =
                repository.map(|name| json!([{ "Type": "repository", "Class": "", "Name": name, "Action": "pull" }]));
            error(401, "UNAUTHORIZED", "authentication required", detail.unwrap_or_default())
                .with("www-authenticate", challenge)
        };
        match self.login {
            Login::Nothing => None,
            Login::Basic if self.basic(request) == Ok(true) => None,
            Login::Basic => {
                Some(unauthorized(&format!("Basic realm=\"{}/\",service=\"{}\"", self.origin, self.service)))
            }
            Login::Token => {
                let realm = self.realm.clone().unwrap_or_else(|| format!("{}/token", self.origin));
                let mut challenge = format!("Bearer realm=\"{realm}\",service=\"{}\"", self.service);
                if let Some(name) = repository {
                    challenge += &format!(",scope=\"repository:{name}:pull\"");
                }
                let Some((_, given)) = request
                    .header("authorization")
                    .split_once(' ')
                    .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
                else {
                    return Some(unauthorized(&challenge));
                };
                match self.tokens.get(given).filter(|token| token.expires_at > now) {
                    None => Some(unauthorized(&(challenge + ",error=\"invalid_token\""))),
                    Some(token) if repository.is_none() || token.pull.as_deref() == repository => None,
                    Some(_) if self.denial == Denial::Forbidden => {
                        Some(error(403, "DENIED", "requested access to the resource is denied", Value::Null))
                    }
                    Some(_) => Some(unauthorized(&(challenge + ",error=\"insufficient_scope\""))),
                }
            }
        }
    }

    /// `GET /token?service=..&scope=repository:<name>:pull`. One token, one repository.
    fn token(&mut self, now: Millis, request: &Request) -> Response {
        let query = request.query();
        if query.get("service") != Some(&self.service) {
            return error(400, "UNSUPPORTED", "unknown service", Value::Null);
        }
        let Ok(is_user) = self.basic(request) else {
            return error(401, "UNAUTHORIZED", "incorrect username or password", Value::Null);
        };
        let asked = query.get("scope").and_then(|scope| scope.strip_prefix("repository:")?.rsplit_once(':'));
        let asked = asked
            .filter(|(_, actions)| actions.split(',').any(|action| action == "pull"))
            .map(|(name, _)| name.to_owned());
        // Nobody learns from here whether a repository exists: an unknown one is like a private one.
        let is_open = |name: &String| is_user || self.repositories.get(name).is_some_and(|found| !found.is_private);
        let pull = asked.clone().filter(is_open);
        if pull.is_none() && asked.is_some() && self.denial == Denial::AtTokenEndpoint {
            return error(403, "DENIED", "requested access to the resource is denied", Value::Null);
        }
        let text = digest(format!("{} {now} {pull:?}", self.tokens.len()).as_bytes()).replace("sha256:", "token-");
        self.tokens.insert(text.clone(), Token { pull, expires_at: now + self.token_seconds * 1000 });
        let mut answer = json!({ "expires_in": self.token_seconds });
        if self.token_member != TokenMember::AccessToken {
            answer["token"] = json!(text);
        }
        if self.token_member != TokenMember::Token {
            answer["access_token"] = json!(text);
        }
        Response::json(200, &answer)
    }

    fn manifest(&self, request: &Request, repository: &str, reference: &str) -> Response {
        let Some(found) = self.repositories.get(repository) else {
            return error(404, "NAME_UNKNOWN", "repository name not known to registry", json!({ "name": repository }));
        };
        let digest = found.tags.get(reference).map_or(reference, String::as_str);
        let missing = |why: &str| error(404, "MANIFEST_UNKNOWN", why, json!({ "Tag": reference }));
        let Some(manifest) = found.manifests.get(digest) else { return missing("manifest unknown") };
        let media_type = manifest.kind.media_type();
        let accepted = request
            .headers
            .get_all("accept")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','));
        if !accepted.map(|kind| kind.split(';').next().unwrap_or_default().trim()).any(|kind| kind == media_type) {
            return missing("manifest found, but accept header does not support its media type");
        }
        let headers = [
            ("content-type", media_type.to_owned()),
            ("content-length", manifest.body.len().to_string()),
            ("docker-content-digest", digest.to_owned()),
            ("etag", format!("\"{digest}\"")),
        ];
        let mut headers = headers.map(|(name, value)| (name.to_owned(), value)).to_vec();
        headers.retain(|(name, _)| self.names_digests || name == "content-type" || name == "content-length");
        Response { status: 200, headers, body: manifest.body.clone() }
    }

    /// Tags come in lexical order, never by age.
    fn tags(&self, request: &Request, repository: &str) -> Response {
        let Some(found) = self.repositories.get(repository) else {
            return error(404, "NAME_UNKNOWN", "repository name not known to registry", json!({ "name": repository }));
        };
        let query = request.query();
        let count = match query.get("n").map(|n| n.parse::<usize>()) {
            None => self.longest_page,
            Some(Ok(n)) => n.min(self.longest_page),
            Some(Err(_)) => {
                return error(400, "PAGINATION_NUMBER_INVALID", "invalid number of results requested", Value::Null);
            }
        };
        let last = query.get("last").map(String::as_str).unwrap_or_default();
        let mut rest = found.tags.keys().filter(|tag| tag.as_str() > last);
        let page: Vec<_> = rest.by_ref().take(count).collect();
        let tags = if found.tags.is_empty() { Value::Null } else { json!(page) };
        let response = Response::json(200, &json!({ "name": repository, "tags": tags }));
        match (page.last(), rest.next()) {
            (Some(last), Some(_)) => {
                let link = format!("</v2/{repository}/tags/list?last={last}&n={count}>; rel=\"next\"");
                response.with("link", &link)
            }
            _ => response,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json;q=0.9, \
                       application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";
    const HEAD: &str = "HEAD /v2/acme/checkout/manifests/main-1234567";

    fn registry() -> Registry {
        let mut registry = Registry::new("http://127.0.0.1:5000");
        registry.user("bot", "pass:word");
        registry.push("acme/checkout", "main-1234567");
        registry
    }

    /// `"GET /path"`, with headers.
    fn ask_at(registry: &mut Registry, now: Millis, line: &str, headers: &[(&str, &str)]) -> Response {
        let (method, target) = line.split_once(' ').unwrap();
        let mut request = Request {
            method: method.parse().unwrap(),
            target: target.to_owned(),
            headers: http::HeaderMap::new(),
            body: Vec::new(),
        };
        for (name, value) in headers {
            request.headers.append(http::HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        match registry.answer(now, &request) {
            Answer::Whole(response) => response,
            other => panic!("{other:?}"),
        }
    }

    fn ask(registry: &mut Registry, line: &str, headers: &[(&str, &str)]) -> Response {
        ask_at(registry, 1000, line, headers)
    }

    fn header<'a>(response: &'a Response, name: &str) -> &'a str {
        response.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    fn body(response: &Response) -> Value {
        serde_json::from_slice(&response.body).unwrap()
    }

    fn basic(user: &str, password: &str) -> String {
        format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
    }

    const TOKEN: &str = "GET /token?service=registry.example&scope=repository%3Aacme%2Fcheckout%3Apull";

    fn bearer(registry: &mut Registry, headers: &[(&str, &str)]) -> String {
        let answer = ask(registry, TOKEN, headers);
        assert_eq!(answer.status, 200);
        format!("Bearer {}", body(&answer)["token"].as_str().unwrap())
    }

    #[test]
    fn a_token_is_asked_for_and_opens_one_repository() {
        let mut registry = registry();
        registry.push("acme/other", "main-1234567");
        let refused = ask(&mut registry, HEAD, &[("accept", ALL)]);
        assert_eq!((refused.status, refused.body.len()), (401, 0));
        insta::assert_snapshot!(header(&refused, "www-authenticate"), @r#"Bearer realm="http://127.0.0.1:5000/token",service="registry.example",scope="repository:acme/checkout:pull""#);

        let token = bearer(&mut registry, &[]);
        let found = ask(&mut registry, HEAD, &[("accept", ALL), ("authorization", &token)]);
        assert_eq!((found.status, found.body.len()), (200, 0));
        assert_eq!(header(&found, "content-type"), Kind::OciIndex.media_type());
        let whole = ask(&mut registry, &HEAD.replace("HEAD", "GET"), &[("accept", ALL), ("authorization", &token)]);
        assert_eq!(header(&found, "docker-content-digest"), digest(&whole.body));
        assert_eq!(header(&found, "content-length"), whole.body.len().to_string());
        let by_digest = format!("HEAD /v2/acme/checkout/manifests/{}", digest(&whole.body));
        assert_eq!(ask(&mut registry, &by_digest, &[("accept", ALL), ("authorization", &token)]).status, 200);

        let other =
            ask(&mut registry, &HEAD.replace("checkout", "other"), &[("accept", ALL), ("authorization", &token)]);
        assert_eq!(other.status, 401);
        assert!(header(&other, "www-authenticate").ends_with("error=\"insufficient_scope\""));
        let forged = ask(&mut registry, HEAD, &[("accept", ALL), ("authorization", "Bearer forged")]);
        assert!(header(&forged, "www-authenticate").ends_with("error=\"invalid_token\""));
        assert_eq!(registry.calls("registry.head"), 5);
        assert_eq!(registry.calls("registry.token"), 1);
    }

    #[test]
    fn tokens_expire() {
        let mut registry = registry();
        let token = bearer(&mut registry, &[]);
        let headers = [("accept", ALL), ("authorization", token.as_str())];
        assert_eq!(ask_at(&mut registry, 300_999, HEAD, &headers).status, 200);
        assert_eq!(ask_at(&mut registry, 301_000, HEAD, &headers).status, 401);
        registry.expire_tokens();
        assert_eq!(ask(&mut registry, HEAD, &headers).status, 401);
    }

    #[test]
    fn a_private_repository_is_for_users() {
        for (denial, status) in [(Denial::EmptyToken, 401), (Denial::Forbidden, 403)] {
            let mut registry = registry();
            registry.private("acme/checkout", true);
            registry.denial = denial;
            let anonymous = bearer(&mut registry, &[]);
            assert_eq!(
                ask(&mut registry, HEAD, &[("accept", ALL), ("authorization", &anonymous)]).status,
                status,
                "{denial:?}"
            );
            let user = bearer(&mut registry, &[("authorization", &basic("bot", "pass:word"))]);
            assert_eq!(ask(&mut registry, HEAD, &[("accept", ALL), ("authorization", &user)]).status, 200);
            let wrong = ask(&mut registry, TOKEN, &[("authorization", &basic("bot", "no"))]);
            assert_eq!(wrong.status, 401);
        }
        let mut ghcr = registry();
        ghcr.private("acme/checkout", true);
        ghcr.denial = Denial::AtTokenEndpoint;
        assert_eq!(ask(&mut ghcr, TOKEN, &[]).status, 403);
        assert_eq!(ask(&mut ghcr, &TOKEN.replace("registry.example", "other"), &[]).status, 400);
    }

    #[test]
    fn the_token_has_more_than_one_spelling() {
        for (member, has) in [
            (TokenMember::Both, [true, true]),
            (TokenMember::Token, [true, false]),
            (TokenMember::AccessToken, [false, true]),
        ] {
            let mut registry = registry();
            registry.token_member = member;
            let answer = body(&ask(&mut registry, TOKEN, &[]));
            assert_eq!([answer["token"].is_string(), answer["access_token"].is_string()], has);
            assert_eq!(answer["expires_in"], 300);
        }
    }

    #[test]
    fn a_hostile_realm_is_somebody_elses() {
        let mut registry = registry();
        registry.realm = Some("https://evil.example/token".to_owned());
        let refused = ask(&mut registry, HEAD, &[]);
        assert!(header(&refused, "www-authenticate").starts_with("Bearer realm=\"https://evil.example/token\""));
    }

    #[test]
    fn basic_alone_and_nothing_at_all() {
        let mut registry = registry();
        registry.login = Login::Basic;
        let refused = ask(&mut registry, HEAD, &[("accept", ALL)]);
        assert_eq!(refused.status, 401);
        insta::assert_snapshot!(header(&refused, "www-authenticate"), @r#"Basic realm="http://127.0.0.1:5000/",service="registry.example""#);
        for (password, status) in [("pass:word", 200), ("no", 401)] {
            let headers = [("accept", ALL), ("authorization", &basic("bot", password))];
            assert_eq!(ask(&mut registry, HEAD, &headers).status, status);
        }
        registry.login = Login::Nothing;
        assert_eq!(ask(&mut registry, HEAD, &[("accept", ALL)]).status, 200);
        assert_eq!(ask(&mut registry, "GET /v2/", &[]).status, 200);
    }

    #[test]
    fn an_image_that_is_not_accepted_is_not_found() {
        let mut registry = registry();
        registry.login = Login::Nothing;
        for kind in [Kind::OciIndex, Kind::OciManifest, Kind::DockerList, Kind::DockerManifest] {
            registry.push_as("acme/checkout", "main-1234567", kind);
            let without: Vec<_> = ALL.split(", ").filter(|accepted| !accepted.starts_with(kind.media_type())).collect();
            assert_eq!(without.len(), 3);
            assert_eq!(ask(&mut registry, HEAD, &[("accept", &without.join(","))]).status, 404, "{kind:?}");
            assert_eq!(ask(&mut registry, HEAD, &[("accept", "*/*")]).status, 404);
            assert_eq!(ask(&mut registry, HEAD, &[("accept", "text/html"), ("accept", kind.media_type())]).status, 200);
        }
    }

    #[test]
    fn what_is_missing_has_a_code() {
        let mut registry = registry();
        registry.login = Login::Nothing;
        let check = |registry: &mut Registry, path: &str, status: u16, code: &str| {
            let answer = ask(registry, &format!("GET {path}"), &[("accept", ALL)]);
            assert_eq!((answer.status, body(&answer)["errors"][0]["code"].as_str().unwrap()), (status, code), "{path}");
            assert_eq!(ask(registry, &format!("HEAD {path}"), &[("accept", ALL)]).body, b"", "{path}");
        };
        check(&mut registry, "/v2/acme/checkout/manifests/main-7654321", 404, "MANIFEST_UNKNOWN");
        check(&mut registry, "/v2/acme/unknown/manifests/main-1234567", 404, "NAME_UNKNOWN");
        check(&mut registry, "/v2/Acme/checkout/manifests/main-1234567", 400, "NAME_INVALID");
        check(&mut registry, "/v2/acme/unknown/tags/list", 404, "NAME_UNKNOWN");
        check(&mut registry, "/v2/acme/checkout/tags/list?n=many", 400, "PAGINATION_NUMBER_INVALID");
        assert_eq!(ask(&mut registry, "HEAD /v2/acme/checkout/manifests/-bad", &[]).status, 404);
        assert_eq!(registry.calls("registry.unexpected"), 1 + 2, "a list has no HEAD, a tag no leading dash");
        registry.remove_tag("acme/checkout", "main-1234567");
        check(&mut registry, "/v2/acme/checkout/manifests/main-1234567", 404, "MANIFEST_UNKNOWN");
    }

    #[test]
    fn names_are_lower_case_words_with_joints() {
        for good in ["a", "acme/checkout", "a.b/c_d/e__f/g---h", "0/1"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "/", "a//b", "A", "a..b", "a___b", "-a", "a-", "a/.b", "a b"] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn throttling_says_when_to_come_back() {
        let mut registry = registry();
        registry.login = Login::Nothing;
        (registry.throttled, registry.retry_after_seconds) = (1, 7);
        let refused = ask(&mut registry, HEAD, &[("accept", ALL)]);
        assert_eq!((refused.status, header(&refused, "retry-after"), refused.body.len()), (429, "7", 0));
        assert_eq!(ask(&mut registry, HEAD, &[("accept", ALL)]).status, 200);
    }

    #[test]
    fn tags_come_in_pages_in_lexical_order() {
        let mut registry = registry();
        registry.login = Login::Nothing;
        for tag in ["main-b", "main-a", "dev-z"] {
            registry.push("acme/checkout", tag);
        }
        let mut seen = Vec::new();
        let mut next = "/v2/acme/checkout/tags/list?n=2".to_owned();
        loop {
            let page = ask(&mut registry, &format!("GET {next}"), &[]);
            seen.extend(body(&page)["tags"].as_array().unwrap().clone());
            match header(&page, "link").strip_prefix('<') {
                Some(link) => next = link.strip_suffix(">; rel=\"next\"").unwrap().to_owned(),
                None => break,
            }
        }
        assert_eq!(json!(seen), json!(["dev-z", "main-1234567", "main-a", "main-b"]));
        assert_eq!(registry.calls("registry.tags"), 2);
        registry.private("acme/empty", false);
        assert!(body(&ask(&mut registry, "GET /v2/acme/empty/tags/list", &[]))["tags"].is_null());
    }
}
