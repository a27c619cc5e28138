//! Container registries: is there an image with this tag? One HEAD, and a login where the registry asks for one.
//!
//! The registry says where to log in, so that place is outside text: credentials go to an origin from our own list or to nowhere.
//! A manifest that is not among the media types of `Accept` answers 404, as if the tag were missing: all four are sent.

use crate::http::{Http, Method, Request, Response, StatusCode, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use domain::fault::{Cause, Fault, System};
use domain::image::{Digest, ImageName, ImageRef};
use domain::names::{Secret, UrlOrigin};
use http::Uri;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::IpAddr;

const LOOK: &str = "look for the image in the registry";
const LOG_IN: &str = "log in to the registry";

const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";
/// The registries whose token server has another host than they have themselves.
const TOKEN_SERVERS: [(&str, &str); 2] =
    [("docker.io", "https://auth.docker.io"), ("registry.gitlab.com", "https://gitlab.com")];
/// The largest manifest that registries have to take; it only comes when a registry knows no HEAD.
const MAX_MANIFEST: usize = 4 << 20;

/// How registries are reached.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    /// One registry besides the well-known ones.
    pub url: Option<UrlOrigin>,
    /// Its token server, if that has another origin.
    pub token_url: Option<UrlOrigin>,
    /// By a registry's host, as image names have it (`docker.io`, `ghcr.io`, `127.0.0.1:5000`).
    pub credentials: BTreeMap<String, Credential>,
}

/// A user of a registry.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// The name.
    pub username: String,
    /// The password or token.
    pub password: Secret,
}

/// Reads the setting `registry_credentials`: a JSON object, host -> `{"username", "password"}`. Blank is empty.
pub fn parse_credentials(text: &str) -> Result<BTreeMap<String, Credential>, Fault> {
    if text.trim().is_empty() {
        return Ok(BTreeMap::new());
    }
    serde_json::from_str(text).map_err(|_| {
        let variable = "registry_credentials".to_owned();
        Fault::new(System::Settings, "read the registry credentials", Cause::Setting { variable })
    })
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

/// Understands the answer.
pub fn read_image(response: &Response) -> Result<ImageState, Fault> {
    match response.status {
        StatusCode::OK => {
            let digest = response.header("docker-content-digest").and_then(|digest| Digest::parse(digest.trim()).ok());
            Ok(ImageState::Found(digest))
        }
        StatusCode::NOT_FOUND => Ok(ImageState::Missing),
        _ => Err(refused(LOOK, response)),
    }
}

/// Asks the registry; logs in once if it has to. `ahead`: from [`log_in_ahead`].
pub async fn image_digest(
    http: &impl Http,
    registry: &Registry,
    image: &ImageRef,
    ahead: Option<Login>,
) -> Result<Looked, Fault> {
    let mut request = image_request(registry, image);
    // For that image and no other: another one may be on another host, and a token is for one repository.
    let ahead = ahead.filter(|login| login.image == image.name);
    let mut by_ahead = ahead.is_some();
    if let Some(login) = ahead {
        request = with_credentials(request, login.authorization.expose());
    }
    let mut asked_for = None;
    loop {
        let response = send(http, request.clone(), LOOK).await?;
        match response.status {
            StatusCode::OK | StatusCode::UNAUTHORIZED | StatusCode::METHOD_NOT_ALLOWED => {}
            // Perhaps only because of that login: what registries say to a token of the wrong kind differs.
            _ if by_ahead => {
                request = image_request(registry, image);
                by_ahead = false;
                continue;
            }
            _ => {}
        }
        match response.status {
            StatusCode::UNAUTHORIZED if asked_for.is_none() => {
                let challenge = challenge_of(&response);
                let login = log_in(http, registry, &image.name, &challenges(&challenge)).await?;
                let Some(login) = login else { return Err(refused(LOG_IN, &response)) };
                request = with_credentials(image_request(registry, image), login.authorization.expose());
                asked_for = Some(challenge);
            }
            StatusCode::METHOD_NOT_ALLOWED if request.method == Method::HEAD => request.method = Method::GET,
            _ => {
                let challenge = asked_for.filter(|challenge| challenge.len() <= LONGEST_CHALLENGE);
                return read_image(&response).map(|state| Looked { state, challenge });
            }
        }
    }
}

/// Logs in before the registry asks for it, the way it asked last time: two round trips less. `None` where that does not work, which
/// [`image_digest`] finds out.
pub async fn log_in_ahead(http: &impl Http, registry: &Registry, image: &ImageName, challenge: &str) -> Option<Login> {
    let mut challenges = challenges(challenge);
    for challenge in &mut challenges {
        // It named the repository that was asked for then.
        challenge.parameters.retain(|(name, _)| !name.eq_ignore_ascii_case("scope"));
    }
    log_in(http, registry, image, &challenges).await.ok().flatten()
}

/// What the registry knows, and how it asked for a login, if it had to ask: worth remembering for the next time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    /// What it knows.
    pub state: ImageState,
    /// Its `WWW-Authenticate`.
    pub challenge: Option<String>,
}

/// A challenge is remembered up to this length, in bytes.
const LONGEST_CHALLENGE: usize = 1000;

/// A login for one image.
#[derive(Clone, Debug)]
pub struct Login {
    image: ImageName,
    /// The value of the header.
    authorization: Secret,
}

impl Registry {
    /// Where the image's registry answers; a loopback address is spoken to without TLS, as Docker does.
    fn origin(&self, image: &ImageName) -> String {
        match &self.url {
            Some(url) if authority(url).eq_ignore_ascii_case(image.host()) => url.to_string(),
            _ if is_loopback(image.api_host()) => format!("http://{}", image.api_host()),
            _ => format!("https://{}", image.api_host()),
        }
    }

    /// The origins that may see the credentials for this image: the registry, its known token server, the configured one.
    fn token_servers(&self, image: &ImageName) -> Vec<String> {
        let known =
            TOKEN_SERVERS.iter().filter(|(host, _)| *host == image.host()).map(|(_, server)| (*server).to_owned());
        let configured = self.token_url.iter().map(UrlOrigin::to_string);
        [self.origin(image)].into_iter().chain(known).chain(configured).collect()
    }

    fn basic(&self, image: &ImageName) -> Option<String> {
        let Credential { username, password } = self.credentials.get(image.host())?;
        Some(format!("Basic {}", BASE64.encode(format!("{username}:{}", password.expose()))))
    }
}

/// What the registry wants to see, if we have it.
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

/// All of its `WWW-Authenticate` headers as one, which they may be by RFC 9110, section 5.3.
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
    // The address is put together from our own text for the origin, so nobody downstream can read another host out of it.
    let servers = registry.token_servers(image);
    let server = servers.iter().find(|server| is_at(&realm, server)).ok_or_else(|| {
        let cause = Cause::Setting { variable: "registry_token_url".to_owned() };
        Fault::new(System::Registry, "log in to the registry at the other host that it names", cause)
    })?;
    let path = realm.path_and_query().map_or("/", |path| path.as_str());
    let mut query = form_urlencoded::Serializer::new(String::new());
    if let Some(service) = challenge.parameter("service") {
        query.append_pair("service", service);
    }
    let own_scope = format!("repository:{}:pull", image.repository());
    query.append_pair("scope", challenge.parameter("scope").unwrap_or(&own_scope));
    let separator = if path.contains('?') { '&' } else { '?' };
    let request = Request::get(format!("{server}{path}{separator}{}", query.finish()));
    Ok(match registry.basic(image) {
        Some(basic) => with_credentials(request, &basic),
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
        status => Cause::Status { status },
    };
    Fault::new(System::Registry, doing, cause)
}

async fn send(http: &impl Http, request: Request, doing: &str) -> Result<Response, Fault> {
    http.send(request).await.map_err(|error| Fault::new(System::Registry, doing, error.into()))
}

fn with_credentials(request: Request, basic: &str) -> Request {
    let mut request = request.header(header::AUTHORIZATION, basic);
    if let Some(value) = request.headers.get_mut(header::AUTHORIZATION) {
        value.set_sensitive(true);
    }
    request
}

fn authority(origin: &UrlOrigin) -> &str {
    origin.as_str().split_once("://").map(|(_, authority)| authority).unwrap_or_default()
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

fn is_loopback(authority: &str) -> bool {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => host,
        _ => authority,
    };
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// One way to log in that the registry offers (RFC 9110, section 11.6.1).
#[derive(Debug, PartialEq, Eq)]
struct Challenge {
    scheme: String,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// Reads a `WWW-Authenticate` header. A comma separates parameters and challenges alike, and is text inside quotes.
fn challenges(header: &str) -> Vec<Challenge> {
    let mut challenges: Vec<Challenge> = Vec::new();
    for item in split_outside_quotes(header) {
        let (before, value) = item.split_once('=').unwrap_or((item, ""));
        let name = match before.trim().split_once(char::is_whitespace) {
            Some((scheme, name)) => {
                challenges.push(Challenge { scheme: scheme.to_owned(), parameters: Vec::new() });
                name.trim()
            }
            None if item.contains('=') => before.trim(),
            None => {
                challenges.push(Challenge { scheme: before.trim().to_owned(), parameters: Vec::new() });
                continue;
            }
        };
        if let Some(challenge) = challenges.last_mut() {
            challenge.parameters.push((name.to_owned(), unquoted(value.trim())));
        }
    }
    challenges
}

fn split_outside_quotes(text: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    let parts = text.split(move |c: char| {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        c == ',' && !quoted
    });
    parts.map(str::trim).filter(|part| !part.is_empty())
}

fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"') else { return value.to_owned() };
    let inner = inner.strip_suffix('"').unwrap_or(inner);
    let mut escaped = false;
    inner
        .chars()
        .filter(|c| {
            escaped = *c == '\\' && !escaped;
            !escaped
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Chunks, HeaderMap, HttpError};
    use domain::image::Tag;
    use futures::FutureExt;
    use std::cell::RefCell;
    use std::collections::VecDeque;
    use std::time::Duration;

    /// Answers in the order given, and writes down what was asked.
    #[derive(Default)]
    struct Script {
        answers: RefCell<VecDeque<Result<Response, HttpError>>>,
        asked: RefCell<Vec<String>>,
    }

    struct NoBody;

    impl Chunks for NoBody {
        async fn chunk(&mut self) -> Result<Option<Vec<u8>>, HttpError> {
            Ok(None)
        }
    }

    impl Http for Script {
        type Body = NoBody;

        async fn send(&self, request: Request) -> Result<Response, HttpError> {
            let login = request.headers.get(header::AUTHORIZATION).map(|value| {
                assert!(value.is_sensitive());
                format!(" [{}]", value.to_str().unwrap())
            });
            self.asked.borrow_mut().push(format!("{} {}{}", request.method, request.url, login.unwrap_or_default()));
            self.answers.borrow_mut().pop_front().expect("one request more than the script has")
        }

        async fn open(&self, _: Request) -> Result<(Response, NoBody), HttpError> {
            panic!("no streams here")
        }
    }

    fn answer(status: u16, headers: &[(&'static str, &str)], body: &str) -> Result<Response, HttpError> {
        let headers = headers.iter().map(|(name, value)| {
            (header::HeaderName::from_static(name), header::HeaderValue::from_str(value).unwrap())
        });
        let headers = headers.collect::<HeaderMap>();
        Ok(Response { status: StatusCode::from_u16(status).unwrap(), headers, body: body.as_bytes().to_vec() })
    }

    fn challenge(header: &str) -> Result<Response, HttpError> {
        answer(401, &[("www-authenticate", header)], "{\"errors\":[]}")
    }

    fn image(name: &str) -> ImageRef {
        ImageRef { name: ImageName::parse(name).unwrap(), tag: Tag::parse("main-abc1234").unwrap() }
    }

    fn registry() -> Registry {
        let credentials = r#"{
            "ghcr.io": {"username": "bot", "password": "ghp_secret"},
            "docker.io": {"username": "bot", "password": "dckr_secret"},
            "127.0.0.1:5000": {"username": "bot", "password": "local"}
        }"#;
        Registry { url: None, token_url: None, credentials: parse_credentials(credentials).unwrap() }
    }

    type Outcome = Result<ImageState, Fault>;

    /// The outcome, and every request in one line.
    fn run(registry: &Registry, name: &str, answers: Vec<Result<Response, HttpError>>) -> (Outcome, Vec<String>) {
        let script = Script { answers: RefCell::new(answers.into()), ..Script::default() };
        let looked = image_digest(&script, registry, &image(name), None).now_or_never().unwrap();
        let outcome = looked.map(|looked| looked.state);
        assert!(script.answers.borrow().is_empty(), "an answer was left over");
        (outcome, script.asked.into_inner())
    }

    fn cause(outcome: Outcome) -> Cause {
        let fault = outcome.unwrap_err();
        assert_eq!((fault.system, fault.changed), (System::Registry, domain::fault::Changed::Nothing));
        fault.cause
    }

    const DIGEST: &str = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    #[test]
    fn one_head_tells_whether_there_is_an_image() {
        let (outcome, asked) =
            run(&registry(), "ghcr.io/acme/checkout", vec![answer(200, &[("docker-content-digest", DIGEST)], "")]);
        assert_eq!(outcome, Ok(ImageState::Found(Some(Digest::parse(DIGEST).unwrap()))));
        insta::assert_snapshot!(asked.join("\n"), @"HEAD https://ghcr.io/v2/acme/checkout/manifests/main-abc1234");
        let accept =
            image_request(&registry(), &image("ghcr.io/acme/checkout")).headers.remove(header::ACCEPT).unwrap();
        insta::assert_snapshot!(accept.to_str().unwrap().replace(", ", "\n"), @r"
        application/vnd.oci.image.index.v1+json
        application/vnd.oci.image.manifest.v1+json
        application/vnd.docker.distribution.manifest.list.v2+json
        application/vnd.docker.distribution.manifest.v2+json
        ");
    }

    #[test]
    fn every_answer_has_a_meaning() {
        let check = |given, expected: Outcome| {
            let (outcome, asked) = run(&registry(), "ghcr.io/acme/checkout", vec![given]);
            assert_eq!(outcome, expected);
            assert_eq!(asked.len(), 1);
        };
        let fault = |cause| Err(Fault::new(System::Registry, LOOK, cause));
        check(answer(200, &[], ""), Ok(ImageState::Found(None)));
        check(answer(200, &[("docker-content-digest", "md5:1")], ""), Ok(ImageState::Found(None)));
        check(answer(404, &[], ""), Ok(ImageState::Missing));
        check(answer(403, &[], ""), fault(Cause::Forbidden { said: String::new() }));
        check(answer(429, &[("retry-after", "7")], ""), fault(Cause::RateLimited { seconds: Some(7) }));
        check(answer(429, &[("retry-after", "soon")], ""), fault(Cause::RateLimited { seconds: None }));
        check(answer(307, &[], ""), fault(Cause::Status { status: 307 }));
        check(answer(503, &[], ""), fault(Cause::Status { status: 503 }));
        check(Err(HttpError::Denied), fault(Cause::Denied));
        check(Err(HttpError::TimedOut), fault(Cause::TimedOut));
    }

    #[test]
    fn a_bearer_challenge_is_answered_with_a_token() {
        let ghcr =
            r#"Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:acme/checkout:pull,push""#;
        for body in [
            r#"{"token":"t0ken"}"#,
            r#"{"access_token":"t0ken","expires_in":60}"#,
            r#"{"token":"t0ken","access_token":"other"}"#,
        ] {
            let answers =
                vec![challenge(ghcr), answer(200, &[], body), answer(200, &[("docker-content-digest", DIGEST)], "")];
            let (outcome, asked) = run(&registry(), "ghcr.io/acme/checkout", answers);
            assert!(matches!(outcome, Ok(ImageState::Found(Some(_)))));
            insta::allow_duplicates! { insta::assert_snapshot!(asked.join("\n"), @r"
        HEAD https://ghcr.io/v2/acme/checkout/manifests/main-abc1234
        GET https://ghcr.io/token?service=ghcr.io&scope=repository%3Aacme%2Fcheckout%3Apull%2Cpush [Basic Ym90OmdocF9zZWNyZXQ=]
        HEAD https://ghcr.io/v2/acme/checkout/manifests/main-abc1234 [Bearer t0ken]
        "); }
        }
        // Docker Hub: another host, no scope told, a query in the realm, and nobody's credentials.
        let hub = r#"bearer realm="https://auth.docker.io/token?a=b""#;
        let anonymous = Registry::default();
        let (outcome, asked) =
            run(&anonymous, "nginx", vec![challenge(hub), answer(200, &[], r#"{"token":"t"}"#), answer(404, &[], "")]);
        assert_eq!(outcome, Ok(ImageState::Missing));
        insta::assert_snapshot!(asked.join("\n"), @r"
        HEAD https://registry-1.docker.io/v2/library/nginx/manifests/main-abc1234
        GET https://auth.docker.io/token?a=b&scope=repository%3Alibrary%2Fnginx%3Apull
        HEAD https://registry-1.docker.io/v2/library/nginx/manifests/main-abc1234 [Bearer t]
        ");
    }

    #[test]
    fn a_login_ahead_of_the_question_saves_two_round_trips() {
        let last_time = r#"Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:acme/other:pull""#;
        let basic = r#"Basic realm="https://ghcr.io/",service="ghcr.io""#;
        let run = |challenge_of_last_time: &str, answers: Vec<Result<Response, HttpError>>| {
            let script = Script { answers: RefCell::new(answers.into()), ..Script::default() };
            let image = image("ghcr.io/acme/checkout");
            let looked = async {
                let ahead = log_in_ahead(&script, &registry(), &image.name, challenge_of_last_time).await;
                image_digest(&script, &registry(), &image, ahead).await
            };
            let looked = looked.now_or_never().unwrap().unwrap();
            assert!(script.answers.borrow().is_empty(), "an answer was left over");
            (looked.challenge, script.asked.into_inner().join("\n"))
        };
        let token = || answer(200, &[], r#"{"token":"t0ken"}"#);
        let (challenge, asked) = run(last_time, vec![token(), answer(200, &[], "")]);
        assert_eq!(challenge, None, "nothing new");
        insta::assert_snapshot!(asked, @"
        GET https://ghcr.io/token?service=ghcr.io&scope=repository%3Aacme%2Fcheckout%3Apull [Basic Ym90OmdocF9zZWNyZXQ=]
        HEAD https://ghcr.io/v2/acme/checkout/manifests/main-abc1234 [Bearer t0ken]
        ");
        let (_, asked) = run(basic, vec![answer(200, &[], "")]);
        insta::assert_snapshot!(asked, @"HEAD https://ghcr.io/v2/acme/checkout/manifests/main-abc1234 [Basic Ym90OmdocF9zZWNyZXQ=]");
        // It wants something else by now.
        let (challenge, asked) = run(last_time, vec![token(), self::challenge(basic), answer(200, &[], "")]);
        assert_eq!(challenge.as_deref(), Some(basic));
        insta::assert_snapshot!(asked, @"
        GET https://ghcr.io/token?service=ghcr.io&scope=repository%3Aacme%2Fcheckout%3Apull [Basic Ym90OmdocF9zZWNyZXQ=]
        HEAD https://ghcr.io/v2/acme/checkout/manifests/main-abc1234 [Bearer t0ken]
        HEAD https://ghcr.io/v2/acme/checkout/manifests/main-abc1234 [Basic Ym90OmdocF9zZWNyZXQ=]
        ");
        // What does not work is no reason to fail.
        let (challenge, _) =
            run(last_time, vec![answer(500, &[], ""), self::challenge(last_time), token(), answer(200, &[], "")]);
        assert_eq!(challenge.as_deref(), Some(last_time));
        let (challenge, asked) = run("nonsense", vec![answer(200, &[], "")]);
        assert_eq!((challenge, asked.lines().count()), (None, 1));
        // Nor is a token that is good for nothing, however the registry says that.
        for said in [403, 404, 503] {
            let answers = vec![
                token(),
                answer(said, &[], ""),
                self::challenge(basic),
                answer(200, &[("docker-content-digest", DIGEST)], ""),
            ];
            let (challenge, asked) = run(last_time, answers);
            assert_eq!((challenge.as_deref(), asked.lines().count()), (Some(basic), 4));
        }
        let elsewhere = r#"Bearer realm="https://evil.example/token""#;
        assert_eq!(run(elsewhere, vec![answer(200, &[], "")]).1.lines().count(), 1, "credentials go nowhere else");
    }

    #[test]
    fn a_login_for_one_image_is_shown_for_no_other() {
        let script = Script { answers: RefCell::new([answer(200, &[], "")].into()), ..Script::default() };
        let looked = async {
            let here = image("ghcr.io/acme/checkout");
            let ahead = log_in_ahead(&script, &registry(), &here.name, r#"Basic realm="x""#).await;
            assert!(ahead.is_some());
            image_digest(&script, &registry(), &image("quay.io/acme/checkout"), ahead).await
        };
        assert!(looked.now_or_never().unwrap().is_ok());
        assert_eq!(script.asked.into_inner(), ["HEAD https://quay.io/v2/acme/checkout/manifests/main-abc1234"]);
    }

    #[test]
    fn a_login_that_fails_says_how() {
        let ghcr = r#"Bearer realm="https://ghcr.io/token""#;
        let token = || answer(200, &[], r#"{"token":"t"}"#);
        let check = |answers, expected| {
            assert_eq!(cause(run(&registry(), "ghcr.io/acme/checkout", answers).0), expected);
        };
        let nonsense = |part: &str| Cause::Nonsense { part: part.to_owned() };
        check(vec![challenge(ghcr), token(), challenge(ghcr)], Cause::Unauthorized);
        check(vec![challenge(ghcr), token(), answer(403, &[], "")], Cause::Forbidden { said: String::new() });
        check(vec![challenge(ghcr), answer(401, &[], "")], Cause::Unauthorized);
        check(vec![challenge(ghcr), answer(403, &[], "")], Cause::Forbidden { said: String::new() });
        check(vec![challenge(ghcr), answer(429, &[], "")], Cause::RateLimited { seconds: None });
        check(vec![challenge(ghcr), answer(502, &[], "")], Cause::Status { status: 502 });
        check(vec![challenge(ghcr), Err(HttpError::Broken)], Cause::Broken);
        for body in
            ["", "null", "[]", "{}", "{\"token\":1}", "{\"token\":\"\"}", "{\"token\":null}", &"[".repeat(100_000)]
        {
            check(vec![challenge(ghcr), answer(200, &[], body)], nonsense("the token"));
        }
        check(vec![answer(401, &[], "")], Cause::Unauthorized);
        check(vec![challenge("Negotiate abc==")], Cause::Unauthorized);
        check(vec![challenge("Bearer")], nonsense("where to log in"));
        check(vec![challenge("Bearer realm=\"\"")], nonsense("where to log in"));
        check(vec![challenge("Bearer realm=\"http://[\"")], nonsense("where to log in"));
    }

    #[test]
    fn credentials_go_to_origins_of_our_own_list_only() {
        let ask = |registry: &Registry, name: &str, realm: &str| {
            let challenge =
                Challenge { scheme: "Bearer".to_owned(), parameters: vec![("realm".to_owned(), realm.to_owned())] };
            token_request(registry, &ImageName::parse(name).unwrap(), &challenge).map(|request| request.url)
        };
        let registry = Registry { token_url: Some(UrlOrigin::parse("http://127.0.0.1:5001").unwrap()), ..registry() };
        for (name, realm) in [
            ("ghcr.io/a/b", "https://ghcr.io/token"),
            ("ghcr.io/a/b", "HTTPS://GHCR.IO:443/token"),
            ("quay.io/a/b", "https://quay.io/v2/auth"),
            ("acme/checkout", "https://auth.docker.io/token"),
            ("registry.gitlab.com/a/b", "https://gitlab.com/jwt/auth"),
            ("127.0.0.1:5000/a", "http://127.0.0.1:5000/token"),
            ("127.0.0.1:5000/a", "http://127.0.0.1:5001"),
        ] {
            assert!(ask(&registry, name, realm).is_ok(), "{realm}");
        }
        for (name, realm) in [
            ("ghcr.io/a/b", "http://ghcr.io/token"),
            ("ghcr.io/a/b", "https://ghcr.io:8443/token"),
            ("ghcr.io/a/b", "https://ghcr.io.evil.example/token"),
            ("ghcr.io/a/b", "https://evil.example/ghcr.io"),
            ("ghcr.io/a/b", "https://ghcr.io@evil.example/token"),
            ("ghcr.io/a/b", "https://me@ghcr.io/token"),
            ("ghcr.io/a/b", "https://auth.docker.io/token"),
            ("ghcr.io/a/b", "https://169.254.169.254/latest/meta-data"),
            ("ghcr.io/a/b", "//ghcr.io/token"),
            ("ghcr.io/a/b", "/token"),
            ("ghcr.io/a/b", "ghcr.io"),
            ("127.0.0.1:5000/a", "http://127.0.0.1/token"),
            ("127.0.0.1:5000/a", "https://127.0.0.1:5000/token"),
        ] {
            let outcome = ask(&registry, name, realm);
            let refused = matches!(&outcome, Err(Fault { cause: Cause::Setting { variable }, .. }) if variable == "registry_token_url");
            assert!(
                refused || matches!(&outcome, Err(Fault { cause: Cause::Nonsense { .. }, .. })),
                "{realm}: {outcome:?}"
            );
        }
        assert_eq!(
            ask(&registry, "ghcr.io/a/b", "HTTPS://GHCR.IO:443/token#x").unwrap(),
            "https://ghcr.io/token?scope=repository%3Aa%2Fb%3Apull"
        );
    }

    #[test]
    fn a_basic_challenge_is_answered_with_our_own_credentials() {
        let answers = || vec![challenge(r#"Basic realm="https://evil.example/""#), answer(200, &[], "")];
        let (outcome, asked) = run(&registry(), "127.0.0.1:5000/checkout", answers());
        assert_eq!(outcome, Ok(ImageState::Found(None)));
        insta::assert_snapshot!(asked.join("\n"), @r"
        HEAD http://127.0.0.1:5000/v2/checkout/manifests/main-abc1234
        HEAD http://127.0.0.1:5000/v2/checkout/manifests/main-abc1234 [Basic Ym90OmxvY2Fs]
        ");
        // Without credentials there is nothing to answer with.
        let (outcome, asked) = run(&registry(), "quay.io/acme/checkout", answers().into_iter().take(1).collect());
        assert_eq!((cause(outcome), asked.len()), (Cause::Unauthorized, 1));
    }

    #[test]
    fn a_registry_without_head_is_asked_by_get() {
        let ghcr = r#"Bearer realm="https://ghcr.io/token""#;
        let answers =
            vec![answer(405, &[], ""), challenge(ghcr), answer(200, &[], r#"{"token":"t"}"#), answer(200, &[], "{}")];
        let (outcome, asked) = run(&Registry::default(), "ghcr.io/a/b", answers);
        assert_eq!(outcome, Ok(ImageState::Found(None)));
        insta::assert_snapshot!(asked.join("\n"), @"
        HEAD https://ghcr.io/v2/a/b/manifests/main-abc1234
        GET https://ghcr.io/v2/a/b/manifests/main-abc1234
        GET https://ghcr.io/token?scope=repository%3Aa%2Fb%3Apull
        HEAD https://ghcr.io/v2/a/b/manifests/main-abc1234 [Bearer t]
        ");
        let (outcome, _) = run(&Registry::default(), "ghcr.io/a/b", vec![answer(405, &[], ""), answer(405, &[], "")]);
        assert_eq!(cause(outcome), Cause::Status { status: 405 });
    }

    #[test]
    fn the_address_follows_the_image() {
        let own = |url| Registry { url: Some(UrlOrigin::parse(url).unwrap()), ..Registry::default() };
        for (registry, name, expected) in [
            (Registry::default(), "nginx", "https://registry-1.docker.io/v2/library/nginx/manifests/main-abc1234"),
            (Registry::default(), "localhost:5000/a", "http://localhost:5000/v2/a/manifests/main-abc1234"),
            (Registry::default(), "[::1]:5000/a", "http://[::1]:5000/v2/a/manifests/main-abc1234"),
            (Registry::default(), "127.0.0.1/a", "http://127.0.0.1/v2/a/manifests/main-abc1234"),
            (Registry::default(), "127.example.com/a", "https://127.example.com/v2/a/manifests/main-abc1234"),
            (
                Registry::default(),
                "localhost.example.com/a",
                "https://localhost.example.com/v2/a/manifests/main-abc1234",
            ),
            (
                own("http://registry.internal:5000"),
                "registry.internal:5000/a",
                "http://registry.internal:5000/v2/a/manifests/main-abc1234",
            ),
            (
                own("http://registry.internal:5000"),
                "registry.internal/a",
                "https://registry.internal/v2/a/manifests/main-abc1234",
            ),
            (own("http://registry.internal:5000"), "ghcr.io/a", "https://ghcr.io/v2/a/manifests/main-abc1234"),
        ] {
            let request = image_request(&registry, &image(name));
            assert_eq!((request.url.as_str(), request.timeout), (expected, Duration::from_secs(5)));
        }
    }

    #[test]
    fn challenges_are_read_with_their_quotes() {
        let read = |header: &str| {
            let show = |Challenge { scheme, parameters }: Challenge| {
                parameters.into_iter().fold(scheme, |line, (key, value)| format!("{line} {key}=<{value}>"))
            };
            challenges(header).into_iter().map(show).collect::<Vec<_>>().join("; ")
        };
        for (header, expected) in [
            ("", ""),
            (",, ,", ""),
            ("Basic", "Basic"),
            ("Basic realm=x", "Basic realm=<x>"),
            (
                r#"Bearer realm="https://a/b?c=d",scope="r:x:pull,push""#,
                "Bearer realm=<https://a/b?c=d> scope=<r:x:pull,push>",
            ),
            (r#"Bearer realm = "a" , service = "b c""#, "Bearer realm=<a> service=<b c>"),
            (
                r#"Basic realm="a, b", Bearer realm="c",error="invalid_token""#,
                "Basic realm=<a, b>; Bearer realm=<c> error=<invalid_token>",
            ),
            ("Negotiate, Basic realm=x", "Negotiate; Basic realm=<x>"),
            (r#"Basic realm="say \"hi, there\" \\""#, r#"Basic realm=<say "hi, there" \>"#),
            (r#"Basic realm="never ends, Bearer realm=x"#, "Basic realm=<never ends, Bearer realm=x>"),
            ("realm=x", ""),
            (r#"Basic realm=""#, "Basic realm=<>"),
            (r#"Basic realm="é\"#, "Basic realm=<é>"),
        ] {
            assert_eq!(read(header), expected, "{header}");
        }
    }

    #[test]
    fn the_credentials_setting_is_read_or_named() {
        assert!(parse_credentials("").unwrap().is_empty());
        assert!(parse_credentials(" {} \n").unwrap().is_empty());
        for bad in [
            "{",
            "[]",
            "null",
            r#"{"ghcr.io":"user:hunter2"}"#,
            r#"{"ghcr.io":{"username":"hunter2"}}"#,
            r#"{"ghcr.io":{"user":"a","username":"a","password":"hunter2"}}"#,
        ] {
            let fault = parse_credentials(bad).unwrap_err();
            assert_eq!(fault.cause, Cause::Setting { variable: "registry_credentials".to_owned() });
            assert!(!format!("{fault:?}").contains("hunter2"));
        }
        assert!(!format!("{:?}", registry()).contains("secret"));
    }
}
