//! `POST /api/webhook`: which provider sent it, whether the signature is right, and which applications Argo
//! CD refreshes.
//!
//! A 200 says nothing about an application having been refreshed: everything after the queue is asynchronous.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha1::Sha1;
use sha2::Sha256;

use super::{App, Git, Source, Version};
use crate::{Request, Response};

/// What a push tells Argo CD.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Push {
    repository: String,
    revision: String,
    default_branch: String,
    files: Vec<String>,
}

/// The push to act on, if the request is one; else the answer.
pub(super) fn read(request: &Request, secret: &str, version: Version) -> Result<Option<Push>, Response> {
    let has = |name: &str| !request.header(name).is_empty();
    let failed = |status: u16, why: &str| match version {
        Version::Current => http_error(status, "Webhook processing failed"),
        Version::Sha1 | Version::Unpinned => http_error(status, &format!("Webhook processing failed: {why}")),
    };
    // Another provider's header is looked at first and wins.
    if has("x-vss-activityid") || has("x-gogs-event") {
        return Err(failed(400, "missing X-Gogs-Event Header"));
    }
    let event = request.header("x-github-event");
    if event == "package" && version == Version::Current {
        return Err(http_error(401, "Unauthorized"));
    }
    if event.is_empty() {
        let other = ["x-gitlab-event", "x-hook-uuid", "x-event-key"].into_iter().any(has);
        return Err(if other { failed(400, "unknown") } else { http_error(400, "Unknown webhook event") });
    }
    if request.method != http::Method::POST {
        return Err(failed(405, "invalid HTTP Method"));
    }
    if event != "push" && event != "ping" {
        return Err(failed(400, "event not defined to be parsed"));
    }
    if request.body.is_empty() || request.body.len() > 50 * 1024 * 1024 {
        let what = match version {
            Version::Current => "payload must be valid JSON under 50 MB",
            Version::Sha1 | Version::Unpinned => {
                "The payload is either too large or corrupted. Please check the payload size (must be under 50 MB) and ensure it is valid JSON"
            }
        };
        return Err(http_error(400, &format!("Webhook processing failed: {what}")));
    }
    if !secret.is_empty() {
        let (header, expected) = match version {
            Version::Current => ("x-hub-signature-256", sha256(secret, &request.body)),
            Version::Sha1 | Version::Unpinned => ("x-hub-signature", sha1(secret, &request.body)),
        };
        if !has(header) {
            return Err(failed(400, "missing X-Hub-Signature Header"));
        }
        let sent = request.header(header);
        if sent.split_once('=').map_or(sent, |(_, hex)| hex) != expected {
            return Err(failed(400, "HMAC verification failed"));
        }
    }
    let payload: Value = serde_json::from_slice(&request.body).map_err(|_| failed(400, "invalid character"))?;
    if event == "ping" {
        return Ok(None);
    }
    push(&payload).map(Some).ok_or_else(|| failed(400, "json: cannot unmarshal"))
}

fn http_error(status: u16, text: &str) -> Response {
    Response::text(status, &format!("{text}\n")).with("x-content-type-options", "nosniff")
}

fn push(payload: &Value) -> Option<Push> {
    let text = |value: &Value| match value {
        Value::Null => Some(String::new()),
        Value::String(text) => Some(text.clone()),
        _ => None,
    };
    let payload = payload.as_object()?;
    let get = |name: &str| payload.get(name).cloned().unwrap_or_default();
    let repository = get("repository");
    // Of these two a push has numbers, unlike every other event.
    for name in ["created_at", "pushed_at"] {
        if !repository[name].is_null() && !repository[name].is_i64() {
            return None;
        }
    }
    let mut files = Vec::new();
    for commit in get("commits").as_array().into_iter().flatten() {
        for name in ["added", "modified", "removed"] {
            for file in commit[name].as_array().into_iter().flatten() {
                files.push(text(file)?);
            }
        }
    }
    let reference = text(&get("ref"))?;
    for name in ["before", "after"] {
        text(&get(name))?;
    }
    Some(Push {
        repository: text(&repository["html_url"])?,
        revision: revision(&reference).to_owned(),
        default_branch: text(&repository["default_branch"])?,
        files,
    })
}

/// `refs/heads/feature/x` is `feature/x`; so is the tag of that name.
fn revision(reference: &str) -> &str {
    reference.splitn(3, '/').last().unwrap_or_default()
}

impl Push {
    /// Whether the application is refreshed because of this push.
    pub(super) fn concerns(&self, app: &App) -> bool {
        app.sources.iter().any(|source| {
            self.moves(source)
                && same_repository(&self.repository, &source.repo_url)
                && self.touches(&refresh_paths(app, source))
        })
    }

    fn moves(&self, source: &Source) -> bool {
        let target = revision(&source.target_revision);
        if target.is_empty() || target == "HEAD" {
            return self.revision == self.default_branch;
        }
        let prefixed = ["refs/heads/", "refs/tags/"].iter().any(|prefix| source.target_revision.starts_with(prefix));
        // Argo CD also tries the target as a version constraint; branches of these tests are none.
        self.revision == if prefixed { target } else { source.target_revision.as_str() }
    }

    fn touches(&self, paths: &[String]) -> bool {
        if self.files.is_empty() || paths.is_empty() {
            return true;
        }
        self.files.iter().any(|file| are_about(paths, file))
    }
}

/// Whether a file changed between two commits that the application's manifests are made from. Without the annotation that is so for any.
pub(super) fn touched(app: &App, source: &Source, git: &dyn Git, before: &str, after: &str) -> bool {
    let paths = refresh_paths(app, source);
    let files = |sha: &str| git.files(&source.repo_url, sha, "");
    let (old, new) = (files(before), files(after));
    let text = |sha: &str, path: &str| git.file(&source.repo_url, sha, path);
    let changed = old.iter().chain(&new).filter(|path| text(before, path) != text(after, path)).cloned().collect();
    let push = Push { files: changed, ..Push::default() };
    paths.is_empty() || old.is_empty() || (!push.files.is_empty() && push.touches(&paths))
}

fn are_about(paths: &[String], file: &str) -> bool {
    let file = file.trim_start_matches('/');
    paths.iter().any(|path| {
        let below = file.strip_prefix(path.as_str()).is_some_and(|rest| rest.starts_with('/'));
        path.is_empty() || file == path || below || glob(path, file)
    })
}

/// Whether a change of the file with the tag makes nobody render anew: then the manifests of the revision before are
/// taken for the next one, too.
pub(super) fn leaves_out_the_tag(app: &App) -> bool {
    let Some(source) = app.sources.get(app.tag_at.source) else { return false };
    let paths = refresh_paths(app, source);
    !paths.is_empty() && !are_about(&paths, &app.tag_at.file)
}

/// The annotation's paths from the root of the repository; empty if there is none.
fn refresh_paths(app: &App, source: &Source) -> Vec<String> {
    let annotation = app.annotations.get("argocd.argoproj.io/manifest-generate-paths");
    let items = annotation.map(String::as_str).unwrap_or_default().split(';').map(str::trim);
    items
        .filter(|item| !item.is_empty())
        .map(|item| match item.strip_prefix('/') {
            Some(absolute) => absolute.to_owned(),
            None => clean(&format!("{}/{item}", source.path.as_deref().unwrap_or_default())),
        })
        .collect()
}

/// A path without its dots.
pub(super) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.join("/")
}

/// `*` and `?` within one path segment.
fn glob(pattern: &str, text: &str) -> bool {
    let mut pattern_chars = pattern.chars();
    match pattern_chars.next() {
        None => text.is_empty(),
        Some('*') => {
            let rest = pattern_chars.as_str();
            let segment = text.find('/').unwrap_or(text.len());
            (0..=segment).any(|end| text.is_char_boundary(end) && glob(rest, &text[end..]))
        }
        Some(wanted) => {
            let mut chars = text.chars();
            let found = chars.next().is_some_and(|c| c == wanted || (wanted == '?' && c != '/'));
            found && glob(pattern_chars.as_str(), chars.as_str())
        }
    }
}

/// Argo CD's comparison of a source's URL with the web page of a repository: HTTPS, SSH and scp forms, any case,
/// with or without `.git`.
fn same_repository(html_url: &str, repo_url: &str) -> bool {
    let html_url = html_url.to_lowercase();
    let address = html_url.split_once("://").map_or(html_url.as_str(), |(_, rest)| rest);
    let Some((host, path)) = address.split_once('/') else { return false };
    let host = host.split(':').next().unwrap_or_default();

    let repo_url = repo_url.to_lowercase();
    let mut rest = repo_url.as_str();
    for scheme in ["https://", "http://", "ssh://"] {
        rest = rest.strip_prefix(scheme).unwrap_or(rest);
    }
    rest = rest.split_once('@').map_or(rest, |(_, rest)| rest);
    for start in ["ssh.", "altssh."] {
        rest = rest.strip_prefix(start).unwrap_or(rest);
    }
    let Some(rest) = rest.strip_prefix(host) else { return false };
    let ends = |rest: &str| {
        rest.strip_prefix([':', '/'])
            .and_then(|rest| rest.strip_prefix(path))
            .is_some_and(|end| matches!(end, "" | ".git"))
    };
    let without_port = rest.strip_prefix(':').map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
    ends(rest) || without_port.is_some_and(ends)
}

fn sha256(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(body);
    hex(&mac.finalize().into_bytes())
}

fn sha1(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(body);
    hex(&mac.finalize().into_bytes())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"{"ref":"refs/heads/main","before":"a","after":"b","repository":{"html_url":"https://github.com/acme/gitops","default_branch":"main"},"commits":[{"added":[],"removed":[],"modified":["apps/checkout/values.yaml"]}]}"#;

    fn request(headers: &[(&str, &str)], body: &str) -> Request {
        let mut map = http::HeaderMap::new();
        for (name, value) in headers {
            let name: http::HeaderName = name.parse().unwrap();
            map.insert(name, value.parse().unwrap());
        }
        Request {
            method: http::Method::POST,
            target: "/api/webhook".to_owned(),
            headers: map,
            body: body.as_bytes().to_vec(),
        }
    }

    fn answer(headers: &[(&str, &str)], body: &str, version: Version) -> String {
        match read(&request(headers, body), "It's a Secret to Everybody", version) {
            Ok(_) => "accepted".to_owned(),
            Err(response) => {
                format!("{} {}", response.status, String::from_utf8(response.body).unwrap().trim_end())
            }
        }
    }

    #[test]
    fn checks_the_signature_that_its_version_knows() {
        let sha256 = format!("sha256={}", sha256("It's a Secret to Everybody", BODY.as_bytes()));
        let sha1 = format!("sha1={}", sha1("It's a Secret to Everybody", BODY.as_bytes()));
        let push = ("x-github-event", "push");
        let new = [push, ("x-hub-signature-256", sha256.as_str())];
        let old = [push, ("x-hub-signature", sha1.as_str())];
        assert_eq!(answer(&new, BODY, Version::Current), "accepted");
        assert_eq!(answer(&old, BODY, Version::Current), "400 Webhook processing failed");
        assert_eq!(answer(&old, BODY, Version::Sha1), "accepted");
        assert_eq!(answer(&new, BODY, Version::Sha1), "400 Webhook processing failed: missing X-Hub-Signature Header");
        assert_eq!(answer(&new, &format!("{BODY} "), Version::Current), "400 Webhook processing failed");
        assert_eq!(
            answer(&old, &format!("{BODY} "), Version::Sha1),
            "400 Webhook processing failed: HMAC verification failed"
        );
        assert_eq!(
            super::sha256("It's a Secret to Everybody", b"Hello, World!"),
            "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
        );
    }

    #[test]
    fn answers_everything_else_as_argo_cd_does() {
        assert_eq!(answer(&[], BODY, Version::Current), "400 Unknown webhook event");
        assert_eq!(
            answer(&[("x-gogs-event", "push"), ("x-github-event", "push")], BODY, Version::Current),
            "400 Webhook processing failed"
        );
        assert_eq!(
            answer(&[("x-github-event", "pull_request")], BODY, Version::Current),
            "400 Webhook processing failed"
        );
        assert_eq!(
            answer(&[("x-github-event", "push")], "", Version::Current),
            "400 Webhook processing failed: payload must be valid JSON under 50 MB"
        );
        let mut get = request(&[("x-github-event", "push")], BODY);
        get.method = http::Method::GET;
        assert_eq!(read(&get, "", Version::Current).unwrap_err().status, 405);
        // No secret: no check at all, but it must still be JSON, with numbers where a push has numbers.
        let unsigned = |body: &str| read(&request(&[("x-github-event", "push")], body), "", Version::Current).is_ok();
        assert!(unsigned(BODY));
        assert!(!unsigned("payload=%7B%7D"));
        assert!(!unsigned(r#"{"ref":"refs/heads/main","repository":{"created_at":"2024-01-01T00:00:00Z"}}"#));
        assert_eq!(read(&request(&[("x-github-event", "ping")], "{}"), "", Version::Current), Ok(None));
    }

    #[test]
    fn knows_a_repository_by_all_its_addresses() {
        for url in [
            "https://github.com/acme/gitops",
            "https://GitHub.com/Acme/gitops.git",
            "https://bot@github.com/acme/gitops",
            "git@github.com:acme/gitops.git",
            "ssh://git@ssh.github.com:443/acme/gitops.git",
            "ssh://git@github.com/acme/gitops",
        ] {
            assert!(same_repository("https://github.com/acme/gitops", url), "{url}");
        }
        for url in ["https://github.com/acme/gitops2", "https://ghe.acme.io/acme/gitops", "https://github.com/acme"] {
            assert!(!same_repository("https://github.com/acme/gitops", url), "{url}");
        }
        assert!(same_repository("http://127.0.0.1:4000/acme/gitops", "http://127.0.0.1:4000/acme/gitops.git"));
    }

    #[test]
    fn refreshes_only_what_the_push_concerns() {
        let push = read(&request(&[("x-github-event", "push")], BODY), "", Version::Current).unwrap().unwrap();
        let check = |target: &str, paths: &str, expected: bool| {
            let source = Source::new("https://github.com/acme/gitops", target).at("apps/checkout");
            let mut app = App::new("checkout", source);
            app.annotations.insert("argocd.argoproj.io/manifest-generate-paths".to_owned(), paths.to_owned());
            assert_eq!(push.concerns(&app), expected, "{target} {paths}");
        };
        check("main", "", true);
        check("HEAD", "", true);
        check("", "", true);
        check("refs/heads/main", "", true);
        check("release", "", false);
        check("0123456789012345678901234567890123456789", "", false);
        check("main", ".", true);
        check("main", "..", true);
        check("main", "/apps/checkout", true);
        check("main", "/apps/*/values.yaml", true);
        check("main", "templates", false);
        check("main", "../billing; /apps/check", false);
    }
}
