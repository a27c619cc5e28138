use super::*;
use crate::http::script::Script;
use crate::http::{HeaderMap, HttpError};
use domain::image::Tag;
use std::time::Duration;

/// A request in one line.
fn line(request: &Request) -> String {
    let login = request.headers.get(header::AUTHORIZATION).map(|value| {
        assert!(value.is_sensitive());
        format!(" [{}]", value.to_str().unwrap())
    });
    format!("{} {}{}", request.method, request.url, login.unwrap_or_default())
}

fn answer(status: u16, headers: &[(&'static str, &str)], body: &str) -> Result<Response, HttpError> {
    let headers = headers
        .iter()
        .map(|(name, value)| (header::HeaderName::from_static(name), header::HeaderValue::from_str(value).unwrap()));
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
    Registry { credentials: parse_credentials(credentials).unwrap(), ..Registry::default() }
}

type Outcome = Result<ImageState, Fault>;

/// Asks for one tag.
async fn image_digest(
    http: &impl Http,
    registry: &Registry,
    image: &ImageRef,
    ahead: Option<Login>,
) -> Result<(ImageState, Option<String>), Fault> {
    let looked = image_digests(http, registry, &image.name, &NonEmpty::one(image.tag.clone()), ahead).await?;
    Ok((looked.states.into_iter().next().unwrap(), looked.challenge))
}

/// The outcome, and every request in one line.
fn run(registry: &Registry, name: &str, answers: Vec<Result<Response, HttpError>>) -> (Outcome, Vec<String>) {
    let script = Script::new(answers);
    let (looked, sent) = script.run(image_digest(&script, registry, &image(name), None));
    (looked.map(|(state, _)| state), sent.iter().map(line).collect())
}

fn cause(outcome: Outcome) -> Cause {
    let fault = outcome.unwrap_err();
    assert_eq!((fault.system, fault.changed), (System::Registry, domain::fault::Changed::Nothing));
    fault.cause
}

const DIGEST: &str = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

/// The image is there.
fn there() -> Result<Response, HttpError> {
    answer(200, &[("docker-content-digest", DIGEST)], "")
}

#[test]
fn one_head_tells_whether_there_is_an_image() {
    let (outcome, asked) =
        run(&registry(), "ghcr.io/acme/checkout", vec![answer(200, &[("docker-content-digest", DIGEST)], "")]);
    assert_eq!(outcome, Ok(ImageState::Found(Some(Digest::parse(DIGEST).unwrap()))));
    insta::assert_snapshot!(asked.join("\n"), @"HEAD https://ghcr.io/v2/acme/checkout/manifests/main-abc1234");
    let accept = image_request(&registry(), &image("ghcr.io/acme/checkout")).headers.remove(header::ACCEPT).unwrap();
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
    check(answer(404, &[], ""), Ok(ImageState::Missing));
    check(answer(403, &[], ""), fault(Cause::Forbidden { said: String::new() }));
    check(answer(429, &[("retry-after", "7")], ""), fault(Cause::RateLimited { seconds: Some(7) }));
    check(answer(429, &[("retry-after", "soon")], ""), fault(Cause::RateLimited { seconds: None }));
    check(answer(307, &[], ""), fault(Cause::Status { status: 307 }));
    check(answer(503, &[], ""), fault(Cause::Status { status: 503 }));
    check(answer(503, &[("retry-after", "7")], ""), fault(Cause::Unavailable { status: 503, seconds: 7 }));
    check(Err(HttpError::Denied), fault(Cause::Denied));
    check(Err(HttpError::TimedOut), fault(Cause::TimedOut));
}

#[test]
fn a_digest_that_is_not_named_is_counted() {
    let check = |head: &'static [(&str, &str)], get, expected: Outcome| {
        let (outcome, asked) = run(&registry(), "ghcr.io/acme/checkout", vec![answer(200, head, ""), get]);
        assert_eq!(outcome, expected);
        let url = "https://ghcr.io/v2/acme/checkout/manifests/main-abc1234";
        assert_eq!(asked, [format!("HEAD {url}"), format!("GET {url}")]);
    };
    let empty_object = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    let found = |text: &str| Ok(ImageState::Found(Some(Digest::parse(text).unwrap())));
    check(&[], answer(200, &[], "{}"), found(empty_object));
    check(&[("docker-content-digest", "md5:1")], answer(200, &[], "{}"), found(empty_object));
    check(&[], answer(200, &[("docker-content-digest", DIGEST)], "{}"), found(DIGEST));
    check(&[], answer(200, &[], ""), Ok(ImageState::Found(None)));
    check(&[], answer(404, &[], ""), Ok(ImageState::Missing));
}

#[test]
fn a_bearer_challenge_is_answered_with_a_token() {
    let ghcr = r#"Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:acme/checkout:pull,push""#;
    for body in [
        r#"{"token":"t0ken"}"#,
        r#"{"access_token":"t0ken","expires_in":60}"#,
        r#"{"token":"t0ken","access_token":"other"}"#,
    ] {
        let answers = vec![challenge(ghcr), answer(200, &[], body), there()];
        let (outcome, asked) = run(&registry(), "ghcr.io/acme/checkout", answers);
        assert!(matches!(outcome, Ok(ImageState::Found(Some(_)))));
        insta::allow_duplicates! { insta::assert_snapshot!(asked.join("\n"), @r"
    HEAD https://ghcr.io/v2/acme/checkout/manifests/main-abc1234
    GET https://ghcr.io/token?service=ghcr.io&scope=repository%3Aacme%2Fcheckout%3Apull [Basic Ym90OmdocF9zZWNyZXQ=]
    HEAD https://ghcr.io/v2/acme/checkout/manifests/main-abc1234 [Bearer t0ken]
    "); }
    }
    // Docker Hub: another host, a query in the realm with a scope of its own, and nobody's credentials.
    let hub = r#"bearer realm="https://auth.docker.io/token?a=b&Scope=repository:acme/secret:pull&c",scope="x""#;
    let anonymous = Registry::default();
    let (outcome, asked) =
        run(&anonymous, "nginx", vec![challenge(hub), answer(200, &[], r#"{"token":"t"}"#), answer(404, &[], "")]);
    assert_eq!(outcome, Ok(ImageState::Missing));
    insta::assert_snapshot!(asked.join("\n"), @r"
    HEAD https://registry-1.docker.io/v2/library/nginx/manifests/main-abc1234
    GET https://auth.docker.io/token?a=b&c=&scope=repository%3Alibrary%2Fnginx%3Apull
    HEAD https://registry-1.docker.io/v2/library/nginx/manifests/main-abc1234 [Bearer t]
    ");
}

#[test]
fn a_login_ahead_of_the_question_saves_two_round_trips() {
    let last_time = r#"Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:acme/other:pull""#;
    let basic = r#"Basic realm="https://ghcr.io/",service="ghcr.io""#;
    let run = |challenge_of_last_time: &str, answers: Vec<Result<Response, HttpError>>| {
        let script = Script::new(answers);
        let image = image("ghcr.io/acme/checkout");
        let looked = async {
            let ahead = log_in_ahead(&script, &registry(), &image.name, challenge_of_last_time).await;
            image_digest(&script, &registry(), &image, ahead).await
        };
        let (looked, sent) = script.run(looked);
        (looked.unwrap().1, sent.iter().map(line).collect::<Vec<_>>().join("\n"))
    };
    let token = || answer(200, &[], r#"{"token":"t0ken"}"#);
    let (challenge, asked) = run(last_time, vec![token(), there()]);
    assert_eq!(challenge, None, "nothing new");
    insta::assert_snapshot!(asked, @"
    GET https://ghcr.io/token?service=ghcr.io&scope=repository%3Aacme%2Fcheckout%3Apull [Basic Ym90OmdocF9zZWNyZXQ=]
    HEAD https://ghcr.io/v2/acme/checkout/manifests/main-abc1234 [Bearer t0ken]
    ");
    let (_, asked) = run(basic, vec![there()]);
    insta::assert_snapshot!(asked, @"HEAD https://ghcr.io/v2/acme/checkout/manifests/main-abc1234 [Basic Ym90OmdocF9zZWNyZXQ=]");
    // The registry wants another login by now.
    let (challenge, asked) = run(last_time, vec![token(), self::challenge(basic), there()]);
    assert_eq!(challenge.as_deref(), Some(basic));
    insta::assert_snapshot!(asked, @"
    GET https://ghcr.io/token?service=ghcr.io&scope=repository%3Aacme%2Fcheckout%3Apull [Basic Ym90OmdocF9zZWNyZXQ=]
    HEAD https://ghcr.io/v2/acme/checkout/manifests/main-abc1234 [Bearer t0ken]
    HEAD https://ghcr.io/v2/acme/checkout/manifests/main-abc1234 [Basic Ym90OmdocF9zZWNyZXQ=]
    ");
    // What does not work is no reason to fail.
    let (challenge, _) = run(last_time, vec![answer(500, &[], ""), self::challenge(last_time), token(), there()]);
    assert_eq!(challenge.as_deref(), Some(last_time));
    let (challenge, asked) = run("nonsense", vec![there()]);
    assert_eq!((challenge, asked.lines().count()), (None, 1));
    // Nor is a token that is good for nothing, however the registry says that.
    for said in [403, 404, 503] {
        let answers = vec![token(), answer(said, &[], ""), self::challenge(basic), there()];
        let (challenge, asked) = run(last_time, answers);
        assert_eq!((challenge.as_deref(), asked.lines().count()), (Some(basic), 4));
    }
    // A registry that wants another login says with that login what there is.
    let script = Script::new([token(), self::challenge(basic), answer(404, &[], "")]);
    let (looked, sent) = script.run(async {
        let image = image("ghcr.io/acme/checkout");
        let ahead = log_in_ahead(&script, &registry(), &image.name, last_time).await;
        image_digest(&script, &registry(), &image, ahead).await
    });
    assert_eq!((looked.unwrap().0, sent.len()), (ImageState::Missing, 3));
    let elsewhere = r#"Bearer realm="https://evil.example/token""#;
    assert_eq!(run(elsewhere, vec![there()]).1.lines().count(), 1, "credentials go nowhere else");
}

#[test]
fn several_tags_of_an_image_are_asked_for_side_by_side_with_one_login() {
    let basic = r#"Basic realm="https://ghcr.io/",service="ghcr.io""#;
    let tags = ["main-abc1234ff", "main-abc1234f", "main-abc1234"].map(|tag| Tag::parse(tag).unwrap()).to_vec();
    let tags = NonEmpty::try_from(tags).unwrap();
    let image = ImageName::parse("ghcr.io/acme/checkout").unwrap();
    let missing = || answer(404, &[], "");
    let run = |ahead: bool, answers: Vec<Result<Response, HttpError>>| {
        let script = Script::new(answers);
        let (looked, sent) = script.run(async {
            let ahead = if ahead { log_in_ahead(&script, &registry(), &image, basic).await } else { None };
            image_digests(&script, &registry(), &image, &tags, ahead).await
        });
        (looked.map(|looked| looked.states), sent.len())
    };
    let found = || ImageState::Found(Some(Digest::parse(DIGEST).unwrap()));
    let states = vec![ImageState::Missing, found(), ImageState::Missing];
    assert_eq!(run(true, vec![missing(), there(), missing()]), (Ok(states.clone()), 3));
    let asked = || challenge(basic);
    let all = vec![asked(), asked(), asked(), missing(), there(), missing()];
    assert_eq!(run(false, all), (Ok(states), 6));
    // All are missing: perhaps only because of the login.
    let none = vec![missing(), missing(), missing(), asked(), asked(), asked(), there(), there(), there()];
    assert_eq!(run(true, none), (Ok(vec![found(), found(), found()]), 9));
    // One that nobody knows of could be another image.
    let (outcome, _) = run(true, vec![there(), answer(500, &[], ""), missing()]);
    assert!(outcome.is_err());
}

#[test]
fn a_login_for_one_image_is_shown_for_no_other() {
    let script = Script::new([there()]);
    let looked = async {
        let here = image("ghcr.io/acme/checkout");
        let ahead = log_in_ahead(&script, &registry(), &here.name, r#"Basic realm="x""#).await;
        assert!(ahead.is_some());
        image_digest(&script, &registry(), &image("quay.io/acme/checkout"), ahead).await
    };
    let (looked, request) = script.once(looked);
    assert!(looked.is_ok());
    assert_eq!(line(&request), "HEAD https://quay.io/v2/acme/checkout/manifests/main-abc1234");
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
    for body in ["", "null", "[]", "{}", "{\"token\":1}", "{\"token\":\"\"}", "{\"token\":null}", &"[".repeat(100_000)]
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
    let origin = |url| UrlOrigin::parse(url).unwrap();
    let named = BTreeMap::from([
        ("registry_url", origin("http://127.0.0.1:5000")),
        ("registry2_url", origin("https://evil.azurecr.io")),
    ]);
    let registry = Registry { named, token_url: Some(origin("http://127.0.0.1:5001")), ..registry() };
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
        // The token server is of another registry.
        ("ghcr.io/a/b", "http://127.0.0.1:5001/token"),
        ("evil.azurecr.io/a", "http://127.0.0.1:5001/token"),
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
    let answers = || vec![challenge(r#"Basic realm="https://evil.example/""#), there()];
    let (outcome, asked) = run(&registry(), "127.0.0.1:5000/checkout", answers());
    assert_eq!(outcome, Ok(ImageState::Found(Some(Digest::parse(DIGEST).unwrap()))));
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
    let answers = vec![answer(405, &[], ""), challenge(ghcr), answer(200, &[], r#"{"token":"t"}"#), there()];
    let (outcome, asked) = run(&Registry::default(), "ghcr.io/a/b", answers);
    assert_eq!(outcome, Ok(ImageState::Found(Some(Digest::parse(DIGEST).unwrap()))));
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
    let own = |url| Registry {
        named: BTreeMap::from([("registry2_url", UrlOrigin::parse(url).unwrap())]),
        ..Registry::default()
    };
    for (registry, name, expected) in [
        (Registry::default(), "nginx", "https://registry-1.docker.io/v2/library/nginx/manifests/main-abc1234"),
        (Registry::default(), "localhost:5000/a", "http://localhost:5000/v2/a/manifests/main-abc1234"),
        (Registry::default(), "[::1]:5000/a", "http://[::1]:5000/v2/a/manifests/main-abc1234"),
        (Registry::default(), "127.0.0.1/a", "http://127.0.0.1/v2/a/manifests/main-abc1234"),
        (Registry::default(), "127.example.com/a", "https://127.example.com/v2/a/manifests/main-abc1234"),
        (Registry::default(), "localhost.example.com/a", "https://localhost.example.com/v2/a/manifests/main-abc1234"),
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
fn a_registry_that_no_variable_names_is_not_asked() {
    let mut registry = Registry::default();
    let has = |registry: &Registry, name: &str| registry.has(&image(name).name);
    for (name, expected) in [
        ("nginx", true),
        ("ghcr.io/a/b", true),
        ("quay.io/a/b", true),
        ("evil.azurecr.io/a", false),
        ("evil.dkr.ecr.eu-central-1.amazonaws.com/a", false),
        ("127.0.0.1:5000/a", false),
        ("ghcr.io:8443/a", false),
        ("evil.ghcr.io/a", false),
    ] {
        assert_eq!(has(&registry, name), expected, "{name}");
    }
    for (n, variable) in REGISTRIES.into_iter().enumerate() {
        let host = format!("r{n}.azurecr.io");
        assert_eq!((registry.free_variable(), has(&registry, &format!("{host}/a"))), (Some(variable), false));
        registry.named.insert(variable, UrlOrigin::parse(&format!("https://{host}")).unwrap());
        assert!(has(&registry, &format!("{host}/a")));
    }
    assert_eq!(registry.free_variable(), None);
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
        assert_eq!(parse_credentials(bad), Err(InvalidName("object of registry credentials")), "never the password");
    }
    assert!(!format!("{:?}", registry()).contains("secret"));
}
