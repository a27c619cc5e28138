//! Spin variables: a wrong one is named and never shown, and what is accepted works wherever it is used.

use crate::parts::Parts;
use crate::promise::{HUSH, keeps_secrets};
use crate::targets::doors;
use crate::targets::words::is_origin;
use bot::settings::{GithubRelaySettings, SettingError, Settings, SlackCommandSettings, SyncPollerSettings, Variables};
use clients::registry::parse_credentials;
use domain::limits::Limits;
use domain::names::UrlOrigin;
use std::fmt::Debug;

fn is_named(data: &[u8], names: &[&str], variables: &Variables, error: &SettingError) {
    assert!(names.contains(&error.variable), "{error}");
    let told = format!("{error} {error:?} {:?}", error.fault("start"));
    let value = variables.0.get(error.variable).map(|value| value.trim()).unwrap_or_default();
    // Shorter values may happen to be part of the sentence.
    assert!(value.len() < 30 || !told.contains(value), "the value is told: {told}");
    keeps_secrets(data, &told);
}

fn printed(printable: &[&dyn Debug]) -> String {
    format!("{printable:?}")
}

fn are_origins(origins: &[Option<&UrlOrigin>]) {
    for origin in origins.iter().copied().flatten() {
        is_origin(origin);
        assert!(origin.as_str().starts_with("http"));
    }
}

/// Spin knows the port of `redis` only.
fn has_port(variables: &Variables) {
    let origin = variables.0["redis_origin"].trim().trim_end_matches('/').to_owned();
    let port = origin.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    assert!(origin.starts_with("redis://") || port, "{origin} has no port");
}

fn is_redis(url: &str) {
    let (scheme, rest) = url.split_once("://").expect("a scheme");
    let host = rest.split(['/', '?']).next().unwrap_or_default();
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    is_origin(&UrlOrigin::parse(&format!("{scheme}://{host}")).expect("an origin"));
}

/// `name=value` in each line; the variables that are not named are good.
pub fn settings(data: &[u8]) {
    let mut variables = doors::variables();
    let mut parts = Parts(data);
    while !parts.0.is_empty() {
        let line = parts.text().into_owned();
        let (name, value) = line.split_once('=').unwrap_or((&line, ""));
        if let Some(known) = variables.0.get_mut(name) {
            *known = value.to_owned();
        }
    }
    match SlackCommandSettings::keys(&variables) {
        Ok(keys) => keeps_secrets(data, &keys),
        Err(error) => is_named(data, SlackCommandSettings::NAMES, &variables, &error),
    }
    match SlackCommandSettings::read(&variables) {
        Ok(settings) => {
            are_origins(&[Some(&settings.slack.url), Some(&settings.github.url), settings.registry.token_url.as_ref()]);
            settings.registry.named.values().for_each(|url| are_origins(&[Some(url)]));
            is_redis(settings.redis_url.expose());
            has_port(&variables);
            let token = format!("Bearer {}", settings.github.token.expose());
            assert!(http::HeaderValue::from_str(&token).is_ok(), "no header can hold the token");
            let shown = printed(&[&settings.slack, &settings.github, &settings.registry, &settings.redis_url]);
            keeps_secrets(data, &shown);
        }
        Err(error) => is_named(data, SlackCommandSettings::NAMES, &variables, &error),
    }
    match GithubRelaySettings::keys(&variables) {
        Ok(keys) => keeps_secrets(data, &keys),
        Err(error) => is_named(data, GithubRelaySettings::NAMES, &variables, &error),
    }
    match GithubRelaySettings::read(&variables) {
        Ok(settings) => {
            are_origins(&[Some(&settings.argocd.url)]);
            keeps_secrets(data, &printed(&[&settings.argocd, &settings.gitops, &settings.resign, &settings.redis_url]));
            let root = &settings.argocd.root_path;
            assert!(root.is_empty() || (root.starts_with('/') && !root.ends_with('/')), "{root}");
            let url = format!("{}{root}/api/webhook", settings.argocd.url);
            let address: http::Uri = url.parse().expect("an address");
            assert_eq!(address.path(), format!("{root}/api/webhook"));
        }
        Err(error) => is_named(data, GithubRelaySettings::NAMES, &variables, &error),
    }
    match SyncPollerSettings::read(&variables) {
        Ok(settings) => {
            are_origins(&[Some(&settings.argocd.url), Some(&settings.slack.url)]);
            keeps_secrets(data, &printed(&[&settings.argocd, &settings.slack, &settings.redis_url]));
        }
        Err(error) => is_named(data, SyncPollerSettings::NAMES, &variables, &error),
    }
}

/// A variable that is JSON: `limits`, or `registry_credentials`.
pub fn json_setting(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if text.trim().is_empty() {
        assert_eq!(Limits::parse(&text), Some(Limits::default()));
    }
    match parse_credentials(&text) {
        Ok(credentials) => {
            let all = format!("{credentials:?}");
            for credential in credentials.values() {
                let password = credential.password.expose();
                let elsewhere = all.replace("Secret(..)", "");
                assert!(
                    password.len() < 20 || !elsewhere.contains(password) || text.matches(password).count() > 1,
                    "{all}"
                );
            }
        }
        Err(fault) => {
            let told = format!("{fault:?}");
            assert!(text.trim().len() < 30 || !told.contains(text.trim()), "{told}");
            assert!(!told.contains(HUSH));
        }
    }
    if let Some(limits) = Limits::parse(&text) {
        assert!(limits.no_commit.as_millis() <= u128::from(u64::MAX));
    }
}
