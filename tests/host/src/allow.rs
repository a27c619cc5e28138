//! `allowed_outbound_hosts`: which addresses a component may call. Deny by default.
//! Easy to miss: one entry that does not parse denies *every* call of the component, to Redis too. An entry whose template
//! comes out as "" or as a bare `http://` is skipped instead, so that an optional address can stay empty.

use std::net::IpAddr;
use std::ops::Range;

use anyhow::{Context, bail, ensure};
use url::{Host, Url};

use crate::manifest::Template;

/// What one component may call, or why it may call nothing.
pub(crate) struct AllowList(anyhow::Result<Vec<Entry>>);

#[derive(Debug)]
struct Entry {
    /// `None`: any.
    scheme: Option<String>,
    host: HostRule,
    /// `None`: any.
    ports: Option<Range<u32>>,
}

#[derive(Debug)]
enum HostRule {
    Any,
    /// `*.example.com`, kept as `.example.com`.
    Below(String),
    Exactly(Host),
    Network(IpAddr, u32),
    /// `self`: this application itself, which this host does not offer.
    Itself,
}

impl AllowList {
    /// Fills in the templates and parses; an error is kept and denies everything.
    pub(crate) fn new(entries: &[String], value: impl Fn(&str) -> anyhow::Result<String>) -> AllowList {
        let parse = |entry: &String| {
            // Only the template is named in the error: the value may hold a password.
            parse_template(entry, &value).with_context(|| format!("allowed_outbound_hosts has {entry:?}"))
        };
        AllowList(entries.iter().filter_map(|entry| parse(entry).transpose()).collect())
    }

    /// Why nothing is allowed, if that is so because of an entry that does not parse.
    pub(crate) fn broken(&self) -> Option<&anyhow::Error> {
        self.0.as_ref().err()
    }

    /// May `address` be called? An address without a scheme is taken to have `scheme`.
    pub(crate) fn allows(&self, address: &str, scheme: &str) -> bool {
        let (Ok(entries), Some(url)) = (&self.0, parse_address(address, scheme)) else { return false };
        let Some(host) = url.host_str().and_then(|host| Host::parse(host).ok()) else { return false };
        let port = url.port().or_else(|| well_known_port(url.scheme()));
        entries.iter().any(|entry| {
            entry.scheme.as_deref().is_none_or(|scheme| scheme == url.scheme())
                && entry.host.allows(&host)
                && entry.ports.as_ref().is_none_or(|ports| port.is_some_and(|port| ports.contains(&port.into())))
        })
    }
}

impl HostRule {
    fn allows(&self, host: &Host) -> bool {
        match (self, host) {
            (HostRule::Any, _) => true,
            (HostRule::Below(suffix), Host::Domain(domain)) => domain.ends_with(suffix),
            (HostRule::Exactly(allowed), host) => allowed == host,
            (HostRule::Network(IpAddr::V4(net), bits), Host::Ipv4(ip)) => {
                (net.to_bits() ^ ip.to_bits()).leading_zeros() >= *bits
            }
            (HostRule::Network(IpAddr::V6(net), bits), Host::Ipv6(ip)) => {
                (net.to_bits() ^ ip.to_bits()).leading_zeros() >= *bits
            }
            _ => false,
        }
    }
}

fn parse_template(entry: &str, value: &impl Fn(&str) -> anyhow::Result<String>) -> anyhow::Result<Option<Entry>> {
    let template = Template::parse(entry)?;
    let text = template.render(value)?;
    if !template.is_literal() && ["", "http://", "https://"].contains(&text.as_str()) {
        return Ok(None);
    }
    parse_entry(&text).map(Some)
}

fn parse_entry(text: &str) -> anyhow::Result<Entry> {
    let (scheme, rest) = text.trim().split_once("://").context("there is no scheme")?;
    let (host, port) = match rest.rsplit_once(':') {
        None => (rest, ""),
        Some((host, "")) => (host, ""),
        // An IPv6 address: what follows its last colon is no port.
        Some(_) if parse_host(rest).is_ok() => (rest, ""),
        Some((host, tail)) => match tail.split_once('/') {
            Some((port, "")) => (host, port),
            Some(_) => bail!("a path is not allowed"),
            None => (host, tail),
        },
    };
    let ports = match port {
        "" => Some(single(well_known_port(scheme).context("this scheme needs a port")?)),
        "*" => None,
        port => Some(match port.split_once("..") {
            Some((start, end)) => parse_port(start)?.into()..parse_port(end)?.into(),
            None => single(parse_port(port)?),
        }),
    };
    ensure!(scheme == "*" || scheme.chars().all(char::is_alphabetic), "the scheme may have letters only");
    Ok(Entry { scheme: (scheme != "*").then(|| scheme.to_owned()), host: parse_host(host)?, ports })
}

fn parse_host(host: &str) -> anyhow::Result<HostRule> {
    let host = host.trim();
    match host {
        "*" => return Ok(HostRule::Any),
        "self" | "self.alt" => return Ok(HostRule::Itself),
        _ => {}
    }
    if let Some((address, bits)) = host.split_once('/')
        && let (Ok(address), Ok(bits)) = (address.parse::<IpAddr>(), bits.parse::<u32>())
        && bits <= if address.is_ipv4() { 32 } else { 128 }
    {
        return Ok(HostRule::Network(address, bits));
    }
    let host = host.strip_suffix('/').unwrap_or(host);
    ensure!(!host.contains('/'), "a path is not allowed");
    if let Some(domain) = host.strip_prefix("*.") {
        ensure!(!domain.contains('*'), "a wildcard may only be the first label");
        return match Host::parse(domain) {
            Ok(Host::Domain(domain)) => Ok(HostRule::Below(format!(".{domain}"))),
            _ => bail!("what follows the wildcard is no domain"),
        };
    }
    ensure!(!host.contains('*'), "a wildcard may only be the first label");
    Ok(HostRule::Exactly(Host::parse(host).context("the host is not valid")?))
}

fn parse_port(port: &str) -> anyhow::Result<u16> {
    port.parse().context("the port is not a number")
}

fn single(port: u16) -> Range<u32> {
    let port = u32::from(port);
    port..port + 1
}

fn well_known_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        "redis" => Some(6379),
        "postgres" => Some(5432),
        "mysql" => Some(3306),
        "mqtt" => Some(1883),
        _ => None,
    }
}

/// Scheme, host and port of an address, for the log: without user, password and path.
pub(crate) fn origin(address: &str, scheme: &str) -> String {
    let Some(url) = parse_address(address, scheme) else { return "an address that does not parse".into() };
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default())
}

/// The address a component wants to call. Its user and password do not matter here, and may hold any character.
fn parse_address(address: &str, scheme: &str) -> Option<Url> {
    let start = address.find("://").map_or(0, |end| end + 3);
    let (before, rest) = address.split_at(start);
    let authority = rest.find('/').unwrap_or(rest.len());
    let rest = match rest.find('@') {
        Some(at) if at < authority => &rest[at + 1..],
        _ => rest,
    };
    match Url::parse(&format!("{before}{rest}")) {
        Ok(url) if url.has_host() => Some(url),
        _ => Url::parse(&format!("{scheme}://{before}{rest}")).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[&str]) -> AllowList {
        let entries: Vec<_> = entries.iter().map(|entry| entry.to_string()).collect();
        AllowList::new(&entries, |name| match name {
            "empty" => Ok(String::new()),
            "api" => Ok("http://127.0.0.1:8080/".into()),
            "path" => Ok("http://127.0.0.1:8080/1".into()),
            "password" => Ok("redis://:hunter2@127.0.0.1:6379".into()),
            _ => bail!("no such variable"),
        })
    }

    #[test]
    fn what_is_allowed() {
        let check = |entry: &str, address: &str| list(&[entry]).allows(address, "https");
        for (entry, address) in [
            ("https://slack.com", "https://slack.com/api/chat.update"),
            ("https://slack.com/", "https://slack.com:443/"),
            ("https://slack.com", "slack.com"),
            ("http://slack.com:8080", "http://slack.com:8080/x@y"),
            ("https://*.pkg.dev", "https://europe.docker.pkg.dev/v2/"),
            ("*://*:*", "ftp://anything:1/"),
            ("http://127.0.0.1:*", "http://127.0.0.1:4711"),
            ("http://127.0.0.1:8000..8002", "http://127.0.0.1:8001"),
            ("http://[::1]:8001", "http://[::1]:8001/"),
            ("http://[::1]", "http://[::1]/"),
            ("*://10.0.0.0/8:80", "http://10.1.2.3/"),
            // A path that reads as a network is one: `/1` is half of all addresses.
            ("http://127.0.0.1/1", "http://1.2.3.4/"),
            ("redis://127.0.0.1:6379", "redis://user:pa#ss@127.0.0.1:6379/3"),
            ("redis://127.0.0.1", "redis://127.0.0.1:6379"),
            ("{{ api }}", "http://127.0.0.1:8080/v1"),
            ("http://{{empty}}localhost", "http://localhost"),
        ] {
            assert!(check(entry, address), "{entry} should allow {address}");
        }
        for (entry, address) in [
            ("https://slack.com", "http://slack.com/"),
            ("https://slack.com", "https://slack.com:8443/"),
            ("https://slack.com", "https://slack.com.evil.example/"),
            ("https://slack.com", "https://slack.com@evil.example/"),
            ("https://*.pkg.dev", "https://pkg.dev/"),
            ("https://*.pkg.dev", "https://evilpkg.dev/"),
            ("http://127.0.0.1:8000..8002", "http://127.0.0.1:8002"),
            ("http://10.0.0.0/8", "http://11.0.0.0"),
            ("http://10.0.0.0/8", "http://localhost"),
            ("http://self", "http://self/"),
            ("{{ empty }}", "http://127.0.0.1/"),
        ] {
            assert!(!check(entry, address), "{entry} should not allow {address}");
        }
        assert!(!list(&[]).allows("http://127.0.0.1/", "https"));
    }

    #[test]
    fn one_entry_that_does_not_parse_denies_everything() {
        let check = |entry: &str| {
            let list = list(&["https://slack.com", entry]);
            let reason = list.broken().map(|error| format!("{error:#}"));
            assert_eq!(list.allows("https://slack.com/", "https"), reason.is_none(), "{entry}");
            reason.unwrap_or_else(|| "fine".into())
        };
        let all = [
            "{{ empty }}",
            "https://{{ empty }}",
            "{{ api }}",
            "{{ path }}",
            "{{ password }}",
            "{{ nowhere }}",
            "{{ api",
            "",
            "http://",
            "slack.com",
            "https://slack.com/api",
            "ftp://slack.com",
            "https://slack.*",
            "https://*.*.com",
            "https://*.1.2.3.4",
            "https://slack.com:x",
            "https://sl ack.com",
            "https+x://slack.com:1",
            "redis://u@h",
        ];
        let report: String = all.iter().map(|entry| format!("{entry:22} {}\n", check(entry))).collect();
        insta::assert_snapshot!(report, @r#"
            {{ empty }}            fine
            https://{{ empty }}    fine
            {{ api }}              fine
            {{ path }}             allowed_outbound_hosts has "{{ path }}": a path is not allowed
            {{ password }}         allowed_outbound_hosts has "{{ password }}": the host is not valid: invalid international domain name
            {{ nowhere }}          allowed_outbound_hosts has "{{ nowhere }}": no such variable
            {{ api                 allowed_outbound_hosts has "{{ api": '{{' is never closed
                                   allowed_outbound_hosts has "": there is no scheme
            http://                allowed_outbound_hosts has "http://": the host is not valid: empty host
            slack.com              allowed_outbound_hosts has "slack.com": there is no scheme
            https://slack.com/api  allowed_outbound_hosts has "https://slack.com/api": a path is not allowed
            ftp://slack.com        allowed_outbound_hosts has "ftp://slack.com": this scheme needs a port
            https://slack.*        allowed_outbound_hosts has "https://slack.*": a wildcard may only be the first label
            https://*.*.com        allowed_outbound_hosts has "https://*.*.com": a wildcard may only be the first label
            https://*.1.2.3.4      allowed_outbound_hosts has "https://*.1.2.3.4": what follows the wildcard is no domain
            https://slack.com:x    allowed_outbound_hosts has "https://slack.com:x": the port is not a number: invalid digit found in string
            https://sl ack.com     allowed_outbound_hosts has "https://sl ack.com": the host is not valid: invalid international domain name
            https+x://slack.com:1  allowed_outbound_hosts has "https+x://slack.com:1": the scheme may have letters only
            redis://u@h            allowed_outbound_hosts has "redis://u@h": the host is not valid: invalid international domain name
            "#);
    }
}
