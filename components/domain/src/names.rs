//! The identifiers: one type each, checked where text comes in.
//!
//! A value of one of these types is proof that the text was checked, so nothing downstream checks again. All
//! of them are stored and sent as plain strings, and what is read from the store goes through the same check.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Text that is not a valid identifier: which kind was wanted. The text itself is left out: it may be long
/// or hostile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {0}")]
pub struct InvalidName(pub &'static str);

/// Stores a type with `parse` and `Display` as a string.
macro_rules! stored_as_text {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.to_string()
            }
        }
    };
}
pub(crate) use stored_as_text;

/// Defines one identifier: a string with an invariant.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            pub fn parse(text: &str) -> Result<Self, InvalidName> {
                let check: fn(&str) -> bool = $check;
                if check(text) { Ok(Self(text.to_owned())) } else { Err(InvalidName($what)) }
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        $crate::names::stored_as_text!($name);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
pub(crate) use name;

name! {
    /// An app in the catalog: 1 to 63 of `a-z 0-9 - _ .`, starting with a letter or digit.
    AppName, "app name (a-z, 0-9, '-', '_', '.')", is_label
}
name! {
    /// An environment of an app, such as `production`; the same characters as an app's name.
    EnvironmentName, "environment name (a-z, 0-9, '-', '_', '.')", is_label
}
name! {
    /// A GitHub repository, `owner/name`.
    RepoName, "repository (owner/name)", is_repo
}
name! {
    /// A Git branch, without `refs/heads/`.
    BranchName, "branch name", is_branch
}
name! {
    /// A Git tag, without `refs/tags/`: Git has one rule for the names of both.
    GitTag, "Git tag", is_branch
}
name! {
    /// The first digits of a commit's id, as people type them: 7 to 40.
    CommitDigits, "beginning of a commit id (7 to 40 of 0-9, a-f)",
        |text| (7..=40).contains(&text.len()) && is_hex(text, text.len())
}
name! {
    /// The full id of a commit: 40 hexadecimal digits in lower case.
    CommitSha, "commit id", |text| is_hex(text, 40)
}
name! {
    /// The full id of a blob (a file's content): 40 hexadecimal digits in lower case.
    BlobSha, "blob id", |text| is_hex(text, 40)
}
name! {
    /// Our own id of a deployment: 32 hexadecimal digits (128 bits).
    DeploymentId, "deployment id", |text| is_hex(text, 32)
}
name! {
    /// A file in a repository, relative to its root: no empty, `.` or `..` segment.
    FilePath, "path of a file in a repository", is_path
}
name! {
    /// A Slack user's id, such as `U2CERLKJA`.
    SlackUser, "Slack user id", is_slack_id
}
name! {
    /// A Slack user group's id, such as `S0614TZR7`.
    SlackGroup, "Slack user group id", is_slack_id
}
name! {
    /// A Slack channel's id, such as `C0G9QF9GW`.
    SlackChannel, "Slack channel id", is_slack_id
}
name! {
    /// A Slack workspace's id, such as `T1DC2JH3J`.
    SlackTeam, "Slack workspace id", is_slack_id
}
name! {
    /// A Slack message's id within its channel, such as `1503435956.000247`.
    MessageTs, "Slack message ts", |text| !text.is_empty() && text.len() <= 32 && text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}
name! {
    /// What people type before the rest: `/deploy`, or what the installation calls its command in Slack.
    CommandName, "name of a command (/deploy)", |text| {
        text.strip_prefix('/').is_some_and(|name| {
            (1..=31).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
        })
    }
}
name! {
    /// Whom people turn to: a channel such as `#platform`, or a few words.
    Contact, "contact (a channel or a few words on one line, at most 80 characters)", |text| {
        (1..=80).contains(&text.chars().count()) && text.trim() == text && !text.contains(char::is_control)
    }
}
name! {
    /// An account on GitHub: a login, with `[bot]` at the end for an app.
    GitHubLogin, "GitHub login", |text| {
        let login = text.strip_suffix("[bot]").unwrap_or(text);
        !login.is_empty() && login.len() <= 100 && login.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    }
}
name! {
    /// A Kubernetes name (RFC 1123): an Argo CD application, project or namespace.
    KubeName, "Kubernetes name (a-z, 0-9, '-', '.')", |text| {
        !text.is_empty() && text.len() <= 253
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
            && !text.starts_with(['-', '.']) && !text.ends_with(['-', '.'])
    }
}
name! {
    /// A Kubernetes label selector: `app=web,region in (eu, us)`.
    LabelSelector, "label selector (as in `app=web,region in (eu, us)`)", |text| {
        !text.trim().is_empty() && text.len() <= 500
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./=!,() ".contains(&b))
    }
}
name! {
    /// `scheme://host[:port]` with `http`, `https` or `redis`; no path, no user, no trailing slash (one is
    /// cut off when read).
    UrlOrigin, "origin (scheme://host[:port] without a path)", is_origin
}

fn is_label(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 63
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.'))
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
}

pub(crate) fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn is_repo(text: &str) -> bool {
    let part = |text: &str| {
        !text.is_empty()
            && text.len() <= 100
            && text != "."
            && text != ".."
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    text.split_once('/').is_some_and(|(owner, name)| part(owner) && part(name))
}

/// What `git check-ref-format` allows, with a limit on the length.
fn is_branch(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 244
        && !text.starts_with('-')
        && text != "@"
        && !text.contains("..")
        && !text.contains("@{")
        && !text.ends_with('.')
        && text.split('/').all(|part| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock"))
        && !text.chars().any(|c| c.is_control() || matches!(c, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\'))
}

fn is_path(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 1024
        && text.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
        && !text.chars().any(|c| c.is_control() || c == '\\')
}

fn is_slack_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= 32 && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

fn is_origin(text: &str) -> bool {
    let Some((scheme, authority)) = text.split_once("://") else { return false };
    matches!(scheme, "http" | "https" | "redis" | "rediss") && is_authority(authority, is_origin_host)
}

fn is_origin_host(host: &str) -> bool {
    // Spin takes a host whose last part is a number for an address, and denies every call of a component if
    // it is none.
    let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    let ends_in_number = last.starts_with(|c: char| c.is_ascii_digit())
        && (last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x") || last.starts_with("0X"));
    if ends_in_number {
        return host.parse::<Ipv4Addr>().is_ok();
    }
    !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
}

/// Whether this is a host, perhaps with a port: an IPv6 address in brackets, or a name that passes the check.
pub(crate) fn is_authority(text: &str, is_name: fn(&str) -> bool) -> bool {
    let (host, port) = split_port(text);
    let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(v6) => v6.parse::<Ipv6Addr>().is_ok(),
        None => is_name(host),
    };
    let digits_only = |port: &str| port.bytes().all(|b| b.is_ascii_digit());
    is_host && port.is_none_or(|port| digits_only(port) && port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// A host and its port. An IPv6 address in brackets has colons of its own.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

impl RepoName {
    pub fn owner(&self) -> &str {
        self.0.split_once('/').map(|(owner, _)| owner).unwrap_or_default()
    }

    pub fn name(&self) -> &str {
        self.0.split_once('/').map(|(_, name)| name).unwrap_or_default()
    }

    /// GitHub treats names as equal whatever their case.
    pub fn is(&self, other: &str) -> bool {
        self.0.eq_ignore_ascii_case(other)
    }
}

impl CommitDigits {
    /// Whether that commit's id begins with them.
    pub fn begin(&self, sha: &CommitSha) -> bool {
        sha.as_str().starts_with(self.as_str())
    }

    /// As people compare it.
    pub fn short(&self) -> &str {
        self.as_str().get(..7).unwrap_or_default()
    }
}

impl DeploymentId {
    /// The first eight digits: what people read, and type after `history`.
    pub fn short(&self) -> &str {
        self.0.get(..8).unwrap_or(&self.0)
    }
}

impl CommitSha {
    /// The first seven digits: what people read.
    pub fn short(&self) -> &str {
        self.0.get(..7).unwrap_or(&self.0)
    }
}

impl UrlOrigin {
    /// Whether what is sent there can be read by nobody on the way: it is encrypted, stays on this machine, or goes to
    /// one of these hosts, of which somebody says so. They are named with or without a port.
    pub fn is_private(&self, plain_hosts: &[&str]) -> bool {
        let encrypted = ["https://", "rediss://"].iter().any(|scheme| self.0.starts_with(scheme));
        let is_named =
            |host: &&str| host.eq_ignore_ascii_case(self.host()) || host.eq_ignore_ascii_case(self.authority());
        encrypted || self.is_loopback() || plain_hosts.iter().any(is_named)
    }

    /// Whether the host is this machine: such a registry is spoken to without TLS.
    pub fn is_loopback(&self) -> bool {
        let host = self.host();
        host == "localhost" || host == "[::1]" || host.parse().is_ok_and(|ip: Ipv4Addr| ip.is_loopback())
    }

    /// Host, and the port if it has one.
    pub fn authority(&self) -> &str {
        self.0.split_once("://").map(|(_, authority)| authority).unwrap_or_default()
    }

    /// Host without the port.
    pub fn host(&self) -> &str {
        split_port(self.authority()).0
    }
}

/// The number of a pull request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PullRequestNumber(pub u32);

impl fmt::Display for PullRequestNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// What is deployed where. Several targets may run in one Argo CD application.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Target {
    pub app: AppName,
    /// The environment; people do not type or read `default`.
    pub environment: EnvironmentName,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.environment.as_str() {
            "default" => write!(f, "{}", self.app),
            environment => write!(f, "{}@{environment}", self.app),
        }
    }
}

/// The Argo CD application of a target.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ArgoApplication {
    /// `metadata.name`.
    pub name: KubeName,
    /// `spec.project`; always sent, because without it Argo CD answers 403 for a missing application.
    pub project: KubeName,
    /// `metadata.namespace`, where it is not Argo CD's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<KubeName>,
}

impl ArgoApplication {
    /// Whether both are one application: its name and namespace say so.
    pub fn is(&self, other: &Self) -> bool {
        (&self.name, &self.namespace) == (&other.name, &other.namespace)
    }
}

/// A password, token or key. It prints nothing of itself; [`Secret::expose`] is the one way to the text.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the header or the MAC that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Where Slack lets us answer a click without a token, five times within half an hour. Anyone who has the
/// address may post there, so it is a secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ResponseUrl(String);

impl ResponseUrl {
    /// Accepted on Slack's own host for these, and on the origin of `slack_url` if that is not Slack's:
    /// nobody makes us call elsewhere.
    pub fn parse(text: &str, slack_url: &UrlOrigin) -> Result<Self, InvalidName> {
        let on = |origin: &str| text.strip_prefix(origin).is_some_and(|rest| rest.starts_with('/'));
        let host_ok =
            on("https://hooks.slack.com") || (slack_url.as_str() != "https://slack.com" && on(slack_url.as_str()));
        let text_ok = text.len() <= 2048 && text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
        if host_ok && text_ok { Ok(Self(text.to_owned())) } else { Err(InvalidName("response_url")) }
    }

    /// The address itself, to send a request to.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ResponseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseUrl(..)")
    }
}

impl Default for CommandName {
    fn default() -> Self {
        Self("/deploy".to_owned())
    }
}

impl CommandName {
    /// As Slack sent it. What cannot be one is `/deploy`.
    pub fn sent(text: &str) -> Self {
        Self::parse(text).unwrap_or_default()
    }

    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: fmt::Debug>(parse: fn(&str) -> Result<T, InvalidName>, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(parse(text).is_ok(), "{text:?} should be accepted");
        }
        for text in bad {
            assert!(parse(text).is_err(), "{text:?} should be refused");
        }
    }

    #[test]
    fn identifiers_are_checked_at_the_door() {
        check(AppName::parse, &["checkout", "a.b_c-1"], &["", "Checkout", "-a", "a b", "a/b", &"a".repeat(64)]);
        check(RepoName::parse, &["acme/checkout", "A-1/b.c"], &["acme", "acme/", "/x", "a/b/c", "a/..", "a b/c"]);
        check(
            BranchName::parse,
            &["main", "feature/x", "fix-1.2", "ümlaut"],
            &["", "-x", "a..b", "a b", "a~1", "x.lock", "a//b", "/a", "a/", "@", "a@{1}", "a\nb", "a.", ".a"],
        );
        check(CommitSha::parse, &[&"a1".repeat(20)], &["", "abc", &"A1".repeat(20), &"g1".repeat(20)]);
        check(FilePath::parse, &["values.yaml", "a/b.yaml"], &["", "/a", "a//b", "../a", "a/./b", "a\\b", "a/"]);
        check(GitHubLogin::parse, &["alice", "deploy-bot[bot]"], &["", "a b", "[bot]", "<!channel>"]);
        check(KubeName::parse, &["checkout", "a.b-c"], &["", "A", "-a", "a-", "a_b"]);
        check(LabelSelector::parse, &["a=b", "app.io/x notin (a, b),!c"], &["", " ", "a=b&name=c", "a=\n", "a=ä"]);
        check(
            UrlOrigin::parse,
            &[
                "https://slack.com",
                "http://127.0.0.1:5000",
                "http://[::1]:80",
                "redis://localhost:6379",
                "http://redis-0.cache.7z:6379",
            ],
            &[
                "",
                "slack.com",
                "https://",
                "https://slack.com/api",
                "https://u:p@h",
                "https://h:0",
                "ftp://h",
                "https://h:99999",
                "https://h?x",
                "https://h:+80",
                "http://327.0.0.1:5000",
                "http://127.1",
                "http://10.0.0.1.",
                "http://redis.0x1",
                "http://[::1::]",
                "http://[abc]:80",
            ],
        );
    }

    #[test]
    fn the_default_environment_is_not_spoken() {
        let target = |environment| Target {
            app: AppName::parse("checkout").unwrap(),
            environment: EnvironmentName::parse(environment).unwrap(),
        };
        assert_eq!(target("default").to_string(), "checkout");
        assert_eq!(target("production").to_string(), "checkout@production");
    }

    #[test]
    fn a_secret_does_not_print_itself() {
        assert_eq!(format!("{:?}", Secret::new("xoxb-1")), "Secret(..)");
    }

    #[test]
    fn what_is_sent_without_tls_stays_here_or_goes_where_somebody_says_so() {
        let hosts = ["argocd-server.argocd", "registry.internal:5000"];
        for (text, expected) in [
            ("https://slack.com", true),
            ("http://127.0.0.1:5000", true),
            ("http://slack.com", false),
            ("http://argocd-server.argocd", true),
            ("http://ArgoCD-Server.argocd:8080", true),
            ("http://argocd-server.argocd.evil.example", false),
            ("http://registry.internal:5000", true),
            ("http://registry.internal", false),
            ("http://registry.internal:5001", false),
        ] {
            assert_eq!(UrlOrigin::parse(text).unwrap().is_private(&hosts), expected, "{text}");
        }
        assert!(!UrlOrigin::parse("http://argocd-server.argocd").unwrap().is_private(&[]));
    }

    #[test]
    fn loopback_origins_are_known() {
        for (text, expected) in [
            ("http://127.0.0.1:5000", true),
            ("http://localhost", true),
            ("http://[::1]:5000", true),
            ("https://ghcr.io", false),
            ("https://127.example.com", false),
        ] {
            assert_eq!(UrlOrigin::parse(text).unwrap().is_loopback(), expected, "{text}");
        }
    }
}
