//! Container registries: is there an image with this tag? One HEAD for each tag that the image may have, and a login
//! where the registry asks for one.
//!
//! The registry says where to log in, and its word is outside text: credentials go to an origin of our own
//! list, or nowhere, and a token is asked for our own scope. Which registries are asked at all is on a list, too. A registry answers 404, as for a missing tag, if `Accept` lacks the manifest's media
//! type: all four are sent.

mod challenge;

use crate::http::{Http, Method, Request, Response, StatusCode, failed, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use challenge::{Challenge, challenges};
use domain::fault::{Cause, Fault, System};
use domain::image::{Digest, ImageName, ImageRef, Tag};
use domain::names::{InvalidName, Secret, UrlOrigin};
use domain::nonempty::NonEmpty;
use futures::future::join_all;
use http::Uri;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

const LOOK: &str = "look for the image in the registry";
const LOG_IN: &str = "log in to the registry";

const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";
/// The registries whose token server has another host than they have themselves.
const TOKEN_SERVERS: [(&str, &str); 2] =
    [("docker.io", "https://auth.docker.io"), ("registry.gitlab.com", "https://gitlab.com")];
/// The registries that are asked without being named: they belong to one vendor each, at one host each.
const WELL_KNOWN: [&str; 3] = ["docker.io", "ghcr.io", "quay.io"];
/// The variables that name the others, each the registry's origin.
pub const REGISTRIES: [&str; 4] = ["registry_url", "registry2_url", "registry3_url", "registry4_url"];
/// The largest manifest that a registry has to take. A manifest only comes from a registry without HEAD.
const MAX_MANIFEST: usize = 4 << 20;

/// How registries are reached.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    /// The registries besides the well-known ones, by the variable that names each.
    pub named: BTreeMap<&'static str, UrlOrigin>,
    /// The token server of the registry that `registry_url` names, if that has another origin.
    pub token_url: Option<UrlOrigin>,
    /// By a registry's host, as image names have it (`docker.io`, `ghcr.io`, `127.0.0.1:5000`).
    pub credentials: BTreeMap<String, Credential>,
}

/// A user of a registry.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    pub username: String,
    pub password: Secret,
}

/// Reads the setting `registry_credentials`: a JSON object, host -> `{"username", "password"}`. Blank
/// is empty.
pub fn parse_credentials(text: &str) -> Result<BTreeMap<String, Credential>, InvalidName> {
    if text.trim().is_empty() {
        return Ok(BTreeMap::new());
    }
    // What serde says may quote a password.
    serde_json::from_str(text).map_err(|_| InvalidName("object of registry credentials"))
}

/// What the registry knows of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageState {
    /// There is no such tag, no such repository, or we may not see it.
    Missing,
    /// It exists; most registries tell the digest.
    Found(Option<Digest>),
}

/// Builds the question, without a login.
pub fn image_request(registry: &Registry, image: &ImageRef) -> Request {
    let url = format!("{}/v2/{}/manifests/{}", registry.origin(&image.name), image.name.repository(), image.tag);
    Request::new(Method::HEAD, url).header(header::ACCEPT, ACCEPT).max_answer(MAX_MANIFEST)
}

pub fn read_image(response: &Response) -> Result<ImageState, Fault> {
    match response.status {
        StatusCode::OK => Ok(ImageState::Found(digest_of(response))),
        StatusCode::NOT_FOUND => Ok(ImageState::Missing),
        _ => Err(refused(LOOK, response)),
    }
}

/// The digest that the registry names. Some name none: then the manifest itself, if it was asked for, has it.
fn digest_of(response: &Response) -> Option<Digest> {
    let named = response.header("docker-content-digest").and_then(|digest| Digest::parse(digest.trim()).ok());
    let counted = || {
        let hash = Sha256::digest(&response.body);
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        Digest::parse(&format!("sha256:{hex}")).ok().filter(|_| !response.body.is_empty())
    };
    named.or_else(counted)
}

/// Asks the registry for all these tags of an image, side by side; logs in once if the registry asks for a login. `ahead`:
/// from [`log_in_ahead`].
pub async fn image_digests(
    http: &impl Http,
    registry: &Registry,
    image: &ImageName,
    tags: &NonEmpty<Tag>,
    ahead: Option<Login>,
) -> Result<Looked, Fault> {
    // A login is for one image: another image may be on another host, and a token is for one repository.
    let ahead = ahead.filter(|login| login.image == *image);
    let images: Vec<_> = tags.iter().map(|tag| ImageRef { name: image.clone(), tag: tag.clone() }).collect();
    let ask_all = async |login: Option<&Login>| {
        let asked = join_all(images.iter().map(|image| ask(http, registry, image, login))).await;
        asked.into_iter().collect::<Result<Vec<_>, _>>()
    };
    let mut responses = ask_all(ahead.as_ref()).await?;
    let is_plain = |response: &Response| {
        let plain =
            [StatusCode::OK, StatusCode::UNAUTHORIZED, StatusCode::METHOD_NOT_ALLOWED, StatusCode::TOO_MANY_REQUESTS];
        plain.contains(&response.status)
    };
    if ahead.is_some() && !responses.iter().any(is_plain) {
        // Perhaps only because of that login: registries differ in what they say to a token of the
        // wrong kind.
        responses = ask_all(None).await?;
    }
    let wants_login = responses.iter().find(|response| response.status == StatusCode::UNAUTHORIZED);
    let challenge = wants_login.map(challenge_of);
    if let Some(response) = wants_login {
        let challenge = challenge.as_deref().unwrap_or_default();
        let Some(login) = log_in(http, registry, image, &challenges(challenge)).await? else {
            return Err(refused(LOG_IN, response));
        };
        responses = ask_all(Some(&login)).await?;
    }
    let states = responses.iter().map(read_image).collect::<Result<_, _>>()?;
    Ok(Looked { states, challenge: challenge.filter(|challenge| challenge.len() <= LONGEST_CHALLENGE) })
}

/// One question: a HEAD, or a GET where the registry knows no HEAD, or names no digest in the answer to one.
async fn ask(
    http: &impl Http,
    registry: &Registry,
    image: &ImageRef,
    login: Option<&Login>,
) -> Result<Response, Fault> {
    let mut request = image_request(registry, image);
    if let Some(login) = login {
        request = request.authorization(login.authorization.expose());
    }
    let response = send(http, request.clone(), LOOK).await?;
    let is_told = response.status != StatusCode::OK || digest_of(&response).is_some();
    if response.status != StatusCode::METHOD_NOT_ALLOWED && is_told {
        return Ok(response);
    }
    request.method = Method::GET;
    send(http, request, LOOK).await
}

/// Logs in as the registry asked last time, before the registry asks again: two round trips less. `None`:
/// that did not work, and [`image_digests`] will be asked for a login.
pub async fn log_in_ahead(http: &impl Http, registry: &Registry, image: &ImageName, challenge: &str) -> Option<Login> {
    log_in(http, registry, image, &challenges(challenge)).await.ok().flatten()
}

/// What the registry knows, and how the registry asked for a login, if it did: worth keeping for the
/// next time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    /// Of each tag, in the order of the question.
    pub states: Vec<ImageState>,
    /// Its `WWW-Authenticate`.
    pub challenge: Option<String>,
}

/// A challenge is remembered up to this length, in bytes.
const LONGEST_CHALLENGE: usize = 1000;

/// A login for one image.
#[derive(Clone, Debug)]
pub struct Login {
    image: ImageName,
    authorization: Secret,
}

impl Registry {
    /// Whether the image's registry may be asked. `spin.toml` allows no other host.
    pub fn has(&self, image: &ImageName) -> bool {
        WELL_KNOWN.contains(&image.host()) || self.named.values().any(|url| is_of(url, image))
    }

    /// The first variable that names no registry yet.
    pub fn free_variable(&self) -> Option<&'static str> {
        REGISTRIES.into_iter().find(|name| !self.named.contains_key(name))
    }

    /// Where the image's registry answers; a loopback address is spoken to without TLS, as Docker does.
    fn origin(&self, image: &ImageName) -> String {
        let plain = format!("http://{}", image.api_host());
        match self.named.values().find(|url| is_of(url, image)) {
            Some(url) => url.to_string(),
            _ if UrlOrigin::parse(&plain).is_ok_and(|origin| origin.is_loopback()) => plain,
            _ => format!("https://{}", image.api_host()),
        }
    }

    /// The origins that may see the credentials for this image: the registry, its known token server, the
    /// configured one if it is of this registry.
    fn token_servers(&self, image: &ImageName) -> Vec<String> {
        let known =
            TOKEN_SERVERS.iter().filter(|(host, _)| *host == image.host()).map(|(_, server)| (*server).to_owned());
        let is_first = self.named.get("registry_url").is_some_and(|url| is_of(url, image));
        let configured = self.token_url.iter().filter(|_| is_first).map(UrlOrigin::to_string);
        [self.origin(image)].into_iter().chain(known).chain(configured).collect()
    }

    fn basic(&self, image: &ImageName) -> Option<String> {
        let Credential { username, password } = self.credentials.get(image.host())?;
        Some(format!("Basic {}", BASE64.encode(format!("{username}:{}", password.expose()))))
    }
}

/// The login that the registry wants, if we have it.
async fn log_in(
    http: &impl Http,
    registry: &Registry,
    image: &ImageName,
    challenges: &[Challenge],
) -> Result<Option<Login>, Fault> {
    if let Some(bearer) = challenges.iter().find(|challenge| challenge.scheme.eq_ignore_ascii_case("bearer")) {
        let token = read_token(&send(http, token_request(registry, image, bearer)?, LOG_IN).await?)?;
        let authorization = Secret::new(format!("Bearer {}", token.expose()));
        return Ok(Some(Login { image: image.clone(), authorization }));
    }
    let wants_basic = challenges.iter().any(|challenge| challenge.scheme.eq_ignore_ascii_case("basic"));
    let basic = registry.basic(image).filter(|_| wants_basic);
    Ok(basic.map(|basic| Login { image: image.clone(), authorization: Secret::new(basic) }))
}

/// All `WWW-Authenticate` headers as one text, which RFC 9110, section 5.3 allows.
fn challenge_of(response: &Response) -> String {
    let headers = response.headers.get_all(header::WWW_AUTHENTICATE);
    headers.iter().filter_map(|header| header.to_str().ok()).collect::<Vec<_>>().join(", ")
}

/// Builds the request for a token that may read this repository. Without credentials: a token for everybody.
fn token_request(registry: &Registry, image: &ImageName, challenge: &Challenge) -> Result<Request, Fault> {
    let fault = |cause| Fault::new(System::Registry, LOG_IN, cause);
    let realm: Uri = challenge
        .parameter("realm")
        .and_then(|realm| realm.parse().ok())
        .ok_or_else(|| fault(Cause::Nonsense { part: "where to log in".to_owned() }))?;
    // The address begins with our own text for the origin, so that no later reader sees another host in it.
    let servers = registry.token_servers(image);
    let server = servers.iter().find(|server| is_at(&realm, server)).ok_or_else(|| {
        let cause = Cause::Setting { variable: "registry_token_url".to_owned() };
        Fault::new(System::Registry, "log in to the registry at the other host that it names", cause)
    })?;
    let mut query = form_urlencoded::Serializer::new(String::new());
    let given = form_urlencoded::parse(realm.query().unwrap_or_default().as_bytes());
    query.extend_pairs(given.filter(|(name, _)| !name.eq_ignore_ascii_case("scope")));
    if let Some(service) = challenge.parameter("service") {
        query.append_pair("service", service);
    }
    // Our own, whatever the registry asks for: the token that comes back is shown to that registry.
    query.append_pair("scope", &format!("repository:{}:pull", image.repository()));
    let request = Request::get(format!("{server}{}?{}", realm.path(), query.finish()));
    Ok(match registry.basic(image) {
        Some(basic) => request.authorization(&basic),
        None => request,
    })
}

fn read_token(response: &Response) -> Result<Secret, Fault> {
    #[derive(Deserialize)]
    struct Token {
        token: Option<Secret>,
        access_token: Option<Secret>,
    }
    if response.status != StatusCode::OK {
        return Err(refused(LOG_IN, response));
    }
    let token = serde_json::from_slice(&response.body).ok().and_then(|body: Token| body.token.or(body.access_token));
    let nonsense = || Fault::new(System::Registry, LOG_IN, Cause::Nonsense { part: "the token".to_owned() });
    token.filter(|token| !token.expose().is_empty()).ok_or_else(nonsense)
}

fn refused(doing: &str, response: &Response) -> Fault {
    let cause = match response.status.as_u16() {
        401 => Cause::Unauthorized,
        403 => Cause::Forbidden { said: String::new() },
        429 => Cause::RateLimited { seconds: response.retry_after().map(|wait| wait.as_secs()) },
        status => failed(status, response),
    };
    Fault::new(System::Registry, doing, cause)
}

async fn send(http: &impl Http, request: Request, doing: &str) -> Result<Response, Fault> {
    http.send(request).await.map_err(|error| Fault::new(System::Registry, doing, error.into()))
}

fn is_of(origin: &UrlOrigin, image: &ImageName) -> bool {
    origin.authority().eq_ignore_ascii_case(image.host())
}

/// Whether the address is below that origin: the same scheme, host and port, and nothing before the host.
fn is_at(address: &Uri, origin: &str) -> bool {
    let place = |uri: &Uri| {
        let scheme = uri.scheme_str()?.to_ascii_lowercase();
        let port = uri.port_u16().or(match scheme.as_str() {
            "https" => Some(443),
            "http" => Some(80),
            _ => None,
        })?;
        Some((scheme, uri.host()?.to_ascii_lowercase(), port))
    };
    let has_user = address.authority().is_some_and(|authority| authority.as_str().contains('@'));
    let origin = origin.parse::<Uri>().ok().and_then(|origin| place(&origin));
    !has_user && origin.is_some() && place(address) == origin
}

#[cfg(test)]
mod tests;
