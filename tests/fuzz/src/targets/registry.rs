//! The registry: whatever it asks for, credentials go only to an origin of our own list.

use crate::parts::Parts;
use crate::promise::{HUSH, keeps_secrets};
use crate::world::{World, response};
use clients::http::HeaderValue;
use clients::registry::{
    ImageState, Registry, image_digests, image_request, log_in_ahead, parse_credentials, read_image,
};
use domain::image::{ImageName, ImageRef, Tag};
use domain::names::UrlOrigin;
use domain::nonempty::NonEmpty;
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};

/// Who may see the credentials of a host.
fn may_see(image: &ImageName, url: &str) -> bool {
    let address: http::Uri = url.parse().unwrap_or_else(|_| panic!("{url} is no address"));
    let authority = address.authority().map(http::uri::Authority::as_str).unwrap_or_default();
    let scheme = address.scheme_str().unwrap_or_default();
    let token_server = match image.host() {
        "docker.io" => "auth.docker.io",
        "registry.gitlab.com" => "gitlab.com",
        _ => image.api_host(),
    };
    let configured = image.host() == "127.0.0.1:5000" && (scheme, authority) == ("http", "127.0.0.1:5001");
    let own = scheme == "https" && (authority == image.api_host() || authority == token_server);
    let host = address.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let is_local = host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    let local = is_local && scheme == "http" && authority == image.api_host();
    // The registry itself is what the catalog says. In an address of its choice, no reader of addresses may see another host.
    let other = url::Url::parse(url).ok();
    let same = other.as_ref().and_then(url::Url::host_str).zip(address.host());
    let same = same.is_some_and(|(other, own)| other.eq_ignore_ascii_case(own));
    (own || local || configured) && (same || authority == image.api_host())
}

/// The name of an image, the status of the first answer, and headers up to an empty line; then the token server's answer.
pub fn registry(data: &[u8]) {
    let mut parts = Parts(data);
    let name =
        ImageName::parse(&parts.text()).unwrap_or_else(|_| ImageName::parse("ghcr.io/acme/checkout").expect("a name"));
    let status = parts.number(401);
    let mut first =
        response(u16::try_from(status).ok().filter(|status| (100..1000).contains(status)).unwrap_or(401), b"");
    loop {
        let line = parts.line();
        if line.is_empty() {
            break;
        }
        let mut halves = line.splitn(2, |byte| *byte == b':');
        let (name, value) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default().trim_ascii());
        if let (Ok(name), Ok(value)) = (http::HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            let _ = first.headers.try_append(name, value);
        }
    }
    let body = parts.rest();
    let image = ImageRef { name, tag: Tag::parse("main-abc1234").expect("a tag") };
    let credentials = format!(r#"{{"username":"bot","password":"{HUSH}"}}"#);
    let hosts =
        ["ghcr.io", "docker.io", "127.0.0.1:5000", image.name.host()].map(|host| format!(r#""{host}":{credentials}"#));
    let registry = Registry {
        named: BTreeMap::from_iter(UrlOrigin::parse("http://127.0.0.1:5000").ok().map(|url| ("registry_url", url))),
        token_url: UrlOrigin::parse("http://127.0.0.1:5001").ok(),
        credentials: parse_credentials(&format!("{{{}}}", hosts.join(","))).expect("credentials"),
    };
    keeps_secrets(data, &(&registry, image_request(&registry, &image)));
    if let Ok(ImageState::Found(Some(digest))) = read_image(&first) {
        assert_eq!(first.header("docker-content-digest").map(str::trim), Some(digest.as_str()));
    }

    // As it is, and with a login ahead of the question, the way this answer says.
    let challenge = first.header("www-authenticate").unwrap_or_default();
    for ahead in [false, true] {
        let world = World::default();
        let answers = [response(200, body), first.clone(), response(200, body), response(404, b""), response(404, b"")];
        world.answers.replace(answers.into_iter().skip(usize::from(!ahead)).map(Ok).collect::<VecDeque<_>>());
        let outcome = world.run(async {
            let login = if ahead { log_in_ahead(&world, &registry, &image.name, challenge).await } else { None };
            image_digests(&world, &registry, &image.name, &NonEmpty::one(image.tag.clone()), login).await
        });
        keeps_secrets(data, &outcome);
        let asked = world.asked.take();
        assert!((1..=5).contains(&asked.len()), "{} requests", asked.len());
        keeps_secrets(data, &asked);
        for request in &asked {
            let address: http::Uri = request.url.parse().unwrap_or_else(|_| panic!("{} is no address", request.url));
            assert!(address.authority().is_some_and(|authority| !authority.as_str().contains('@')), "{}", request.url);
            let authorization = request.headers.get("authorization").map(HeaderValue::as_bytes).unwrap_or_default();
            assert!(authorization.is_empty() || may_see(&image.name, &request.url), "{} sees credentials", request.url);
            // And nobody else is even asked: a realm could name an address within the cluster.
            assert!(may_see(&image.name, &request.url), "{} was asked for {}", request.url, image.name);
            keeps_secrets(data, &request.url);
            if let Some(token) = authorization.strip_prefix(b"Bearer ") {
                // Null: JSON that breaks the rules where nobody looks.
                let said: Value = serde_json::from_slice(body).unwrap_or_default();
                let told =
                    [&said["token"], &said["access_token"]].map(|told| told.as_str().unwrap_or_default().as_bytes());
                assert!(!token.is_empty() && (said.is_null() || told.contains(&token)));
            }
        }
    }
}
