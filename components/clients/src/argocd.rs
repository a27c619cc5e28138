//! Argo CD: relay a webhook, ask for a sync of one commit, look at an application, follow it on a stream.
//!
//! What you would get wrong: a 200 for the webhook proves nothing; `status.sync.revision` may be a later commit than ours; during a
//! retry `finishedAt` is set although the phase is `Running`; a stream cuts its error line down to nothing unless `fields` has `error`.

use crate::http::{Http, Request, Response, header};
use ::http::HeaderName;
use domain::application::Application;
use domain::fault::{Cause, Changed, Fault, System};
use domain::names::{ArgoApplication, BranchName, CommitSha, DeploymentId, RepoName, Secret, UrlOrigin};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use wire::{DEPLOY_ID, Info, SENTENCE, WireApplication, clip};

mod events;
mod wire;

pub use events::{Event, EventStream, Kind, events, events_request};

/// Where Argo CD is, and who we are there.
#[derive(Clone, Debug)]
pub struct ArgoCd {
    /// Its server.
    pub url: UrlOrigin,
    /// What its `--rootpath` says: empty, or `/x` without a slash at the end.
    pub root_path: String,
    /// Our account's token. The relay has none.
    pub token: Option<Secret>,
}

impl ArgoCd {
    fn url(&self, path: &str) -> String {
        format!("{}{}{path}", self.url, self.root_path)
    }

    fn signed_in(&self, request: Request) -> Request {
        match &self.token {
            Some(token) => request.bearer(token),
            None => request,
        }
    }
}

/// Why Argo CD did not answer a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArgoError {
    /// Our account lacks a right; Argo CD's words.
    NoRight(String),
    /// No such application in that project.
    NoApplication,
    /// Our token is not accepted.
    Unauthorized,
    /// Anything else.
    Fault(Fault),
}

/// The error that an answer other than 200 stands for.
fn read_error(response: &Response, doing: &str) -> ArgoError {
    let said: Option<Said> = serde_json::from_slice(&response.body).ok();
    match (response.status.as_u16(), said) {
        (401, _) => ArgoError::Unauthorized,
        (403, Some(Said { code: 7, message })) => ArgoError::NoRight(clip(&message, SENTENCE)),
        (404, Some(Said { code: 5, .. })) => ArgoError::NoApplication,
        (403, _) => fault(doing, Cause::Forbidden { said: String::new() }),
        (429, _) => fault(doing, Cause::RateLimited { seconds: response.retry_after().map(|wait| wait.as_secs()) }),
        (_, Some(Said { message, .. })) if !message.is_empty() => {
            fault(doing, Cause::Said { said: clip(&message, SENTENCE) })
        }
        (status, _) => fault(doing, Cause::Status { status }),
    }
}

/// The body of every unary error; the code is gRPC's.
#[derive(Deserialize)]
struct Said {
    code: i64,
    #[serde(default)]
    message: String,
}

fn fault(doing: &str, cause: Cause) -> ArgoError {
    ArgoError::Fault(Fault::new(System::ArgoCd, doing, cause))
}

// ---- The webhook ----

/// GitHub's headers that go along with a relayed push. No others may: Argo CD picks the sender by them.
#[derive(Clone)]
pub struct RelayHeaders {
    /// `X-GitHub-Event`.
    pub event: String,
    /// `X-GitHub-Delivery`.
    pub delivery: String,
    /// `X-Hub-Signature`, the only one that an Argo CD older than 2.13 reads.
    pub sha1: Option<String>,
    /// `X-Hub-Signature-256`.
    pub sha256: String,
    /// `Content-Type`.
    pub content_type: String,
}

const RELAY: &str = "hand the push to Argo CD";

/// Hands a push to Argo CD, byte for byte. `Ok` says that it was queued, not that any application was refreshed.
pub async fn webhook(http: &impl Http, argocd: &ArgoCd, body: Vec<u8>, headers: &RelayHeaders) -> Result<(), Fault> {
    let response = http.send(webhook_request(argocd, body, headers)).await;
    read_webhook(response.map_err(|error| Fault::new(System::ArgoCd, RELAY, error.into()))?)
}

/// `POST /api/webhook`. It takes no token.
pub fn webhook_request(argocd: &ArgoCd, body: Vec<u8>, headers: &RelayHeaders) -> Request {
    let mut request = Request::new(::http::Method::POST, argocd.url("/api/webhook"));
    request.body = body;
    let request = request
        .header(header::CONTENT_TYPE, &headers.content_type)
        .header(HeaderName::from_static("x-github-event"), &headers.event)
        .header(HeaderName::from_static("x-github-delivery"), &headers.delivery)
        .header(HeaderName::from_static("x-hub-signature-256"), &headers.sha256);
    match &headers.sha1 {
        Some(sha1) => request.header(HeaderName::from_static("x-hub-signature"), sha1),
        None => request,
    }
}

/// Understands the answer to [`webhook_request`]: only 200 means that it was queued.
pub fn read_webhook(response: Response) -> Result<(), Fault> {
    let cause = match response.status.as_u16() {
        200 => return Ok(()),
        429 => Cause::RateLimited { seconds: response.retry_after().map(|wait| wait.as_secs()) },
        status => Cause::Status { status },
    };
    Err(Fault::new(System::ArgoCd, RELAY, cause))
}

// ---- Look at an application ----

/// Whole applications are large: history and operation alone may be 100 KB, and etcd allows 1.5 MiB.
const MAX_APPLICATION: usize = 4 << 20;

const READ: &str = "read the application";
const REFRESH: &str = "refresh the application";

/// Reads an application.
pub async fn get(http: &impl Http, argocd: &ArgoCd, app: &ArgoApplication) -> Result<Application, ArgoError> {
    let response = http.send(get_request(argocd, app)).await;
    read_application(response.map_err(|error| fault(READ, error.into()))?, READ)
}

/// Has Argo CD compare the application with Git again, and waits for that.
pub async fn refresh(
    http: &impl Http,
    argocd: &ArgoCd,
    app: &ArgoApplication,
    timeout: Duration,
) -> Result<Application, ArgoError> {
    let response = http.send(refresh_request(argocd, app, timeout)).await;
    read_application(response.map_err(|error| fault(REFRESH, error.into()))?, REFRESH)
}

/// `GET /api/v1/applications/{name}`.
pub fn get_request(argocd: &ArgoCd, app: &ArgoApplication) -> Request {
    let url = argocd.url(&format!("/api/v1/applications/{}?{}", app.name, query(app)));
    argocd.signed_in(Request::get(url)).max_answer(MAX_APPLICATION)
}

/// The same with `refresh=normal`: Argo CD holds the answer back until it has compared.
pub fn refresh_request(argocd: &ArgoCd, app: &ArgoApplication, timeout: Duration) -> Request {
    let mut request = get_request(argocd, app).timeout(timeout);
    request.url.push_str("&refresh=normal");
    request
}

/// Understands an application, the answer to [`get_request`] and [`refresh_request`].
pub fn read_application(response: Response, doing: &str) -> Result<Application, ArgoError> {
    if response.status != 200 {
        return Err(read_error(&response, doing));
    }
    let application: WireApplication = serde_json::from_slice(&response.body).map_err(|_| nonsense(doing))?;
    Ok(application.snapshot())
}

fn nonsense(doing: &str) -> ArgoError {
    fault(doing, Cause::Nonsense { part: "the application".to_owned() })
}

/// Names have no character that a query would have to escape.
fn query(app: &ArgoApplication) -> String {
    match &app.namespace {
        Some(namespace) => format!("project={}&appNamespace={namespace}", app.project),
        None => format!("project={}", app.project),
    }
}

// ---- Ask for a sync ----

/// Which commit an application is synced to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revision {
    /// The application has one source.
    Single(CommitSha),
    /// It has several; those that follow the GitOps branch are pinned, the others keep to their own target.
    Sources {
        /// Their positions, from 1.
        positions: Vec<u32>,
        /// The commit for each of them.
        commit: CommitSha,
    },
}

/// None of the application's sources follows the GitOps branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no source of the application follows the GitOps branch")]
pub struct NoSource;

/// How to pin `commit` of the GitOps branch in this application. A source that somebody keeps at a tag or on another branch of the same
/// repository is not ours to move.
pub fn which_sources(
    snapshot: &Application,
    gitops: &RepoName,
    branch: &BranchName,
    commit: &CommitSha,
) -> Result<Revision, NoSource> {
    let follows = |target: &str| {
        // The default branch may well be ours: Argo CD does not say.
        target.is_empty() || target == "HEAD" || target.strip_prefix("refs/heads/").unwrap_or(target) == branch.as_str()
    };
    let positions: Vec<u32> = (1..)
        .zip(&snapshot.sources)
        .filter(|(_, source)| is_repository(&source.url, gitops) && follows(&source.target))
        .map(|(position, _)| position)
        .collect();
    match (positions.is_empty(), snapshot.multi_source) {
        (true, _) => Err(NoSource),
        (false, false) => Ok(Revision::Single(commit.clone())),
        (false, true) => Ok(Revision::Sources { positions, commit: commit.clone() }),
    }
}

/// Whether a source's URL is this repository, by the rule with which Argo CD matches a push:
/// `[http[s]://|ssh://][user@]host[:port](:|/)owner/name[.git]` in any case. Any host, because ours may have several names.
fn is_repository(url: &str, repo: &RepoName) -> bool {
    let rest = match url.split_once("://") {
        Some((scheme, rest)) if ["https", "http", "ssh"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) => rest,
        Some(_) => return false,
        None => url,
    };
    let is_user = |user: &str| {
        (1..=32).contains(&user.len())
            && user.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b'$'))
    };
    let rest = match rest.split_once('@') {
        Some((user, rest)) if is_user(user) => rest,
        Some(_) => return false,
        None => rest,
    };
    let is_path = |path: &str| {
        let path = path.get(..path.len().saturating_sub(4)).filter(|_| ends_with_git(path)).unwrap_or(path);
        repo.is(path)
    };
    let Some((host, after)) = rest.split_once([':', '/']) else { return false };
    let host_ok = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'));
    let has_port = rest.get(host.len()..).is_some_and(|rest| rest.starts_with(':'));
    let after_port = after
        .split_once([':', '/'])
        .filter(|(port, _)| has_port && !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
    host_ok && (is_path(after) || after_port.is_some_and(|(_, path)| is_path(path)))
}

fn ends_with_git(path: &str) -> bool {
    path.len().checked_sub(4).and_then(|at| path.get(at..)).is_some_and(|end| end.eq_ignore_ascii_case(".git"))
}

/// A wish to sync.
#[derive(Clone, Debug)]
pub struct SyncRequest<'a> {
    /// To which commit.
    pub revision: Revision,
    /// For which deployment; Argo CD keeps the id with the operation, so that we know it as ours.
    pub deployment: &'a DeploymentId,
}

/// What became of the wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyncOutcome {
    /// Argo CD took it. The snapshot has our operation and no earlier operation's state.
    Taken(Box<Application>),
    /// Another operation (or an earlier wish of ours) is under way.
    InProgress,
    /// A sync window does not allow it now; Argo CD's words.
    Window(String),
    /// Our account lacks the right; Argo CD's words.
    NoRight(String),
    /// No such application in that project.
    NoApplication,
    /// The application is being deleted.
    Deleting,
    /// Auto-sync is on, and then Argo CD syncs to no other revision; its words.
    AutoSync(String),
    /// Argo CD refused for another reason; its words.
    Refused(String),
    /// Our token is not accepted.
    Unauthorized,
    /// It certainly was not taken.
    NotDone(Fault),
    /// It may have been taken: look before asking again.
    Unknown(Fault),
}

const SYNC: &str = "ask Argo CD for the sync";

/// Asks for a sync of exactly one commit.
pub async fn sync(http: &impl Http, argocd: &ArgoCd, app: &ArgoApplication, wish: &SyncRequest<'_>) -> SyncOutcome {
    match http.send(sync_request(argocd, app, wish)).await {
        Ok(response) => read_sync(response),
        Err(error) => {
            let fault = Fault::new(System::ArgoCd, SYNC, error.into());
            if error.nothing_happened() { SyncOutcome::NotDone(fault) } else { unknown(fault) }
        }
    }
}

/// `POST /api/v1/applications/{name}/sync`.
pub fn sync_request(argocd: &ArgoCd, app: &ArgoApplication, wish: &SyncRequest<'_>) -> Request {
    let (revision, positions, revisions) = match &wish.revision {
        Revision::Single(commit) => (Some(commit), None, None),
        // As many revisions as positions: Argo CD indexes one by the other without a check.
        Revision::Sources { positions, commit } => (None, Some(positions), Some(vec![commit; positions.len()])),
    };
    let body = SyncBody {
        revision,
        source_positions: positions,
        revisions,
        prune: false,
        // Our own, because the application's may say `refresh: true`: a retry would then take a newer commit.
        retry_strategy: RetryStrategy {
            limit: 2,
            refresh: false,
            backoff: Backoff { duration: "5s", factor: 2, max_duration: "1m" },
        },
        infos: [Info { name: DEPLOY_ID.to_owned(), value: wish.deployment.to_string() }],
        project: app.project.as_str(),
        app_namespace: app.namespace.as_ref().map(|namespace| namespace.as_str()),
    };
    let url = argocd.url(&format!("/api/v1/applications/{}/sync", app.name));
    argocd.signed_in(Request::post_json(url, &body)).max_answer(MAX_APPLICATION)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SyncBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<&'a CommitSha>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_positions: Option<&'a Vec<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revisions: Option<Vec<&'a CommitSha>>,
    prune: bool,
    retry_strategy: RetryStrategy,
    infos: [Info; 1],
    project: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    app_namespace: Option<&'a str>,
}

#[derive(Serialize)]
struct RetryStrategy {
    limit: u32,
    refresh: bool,
    backoff: Backoff,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Backoff {
    duration: &'static str,
    factor: u32,
    max_duration: &'static str,
}

/// Understands the answer to [`sync_request`].
pub fn read_sync(response: Response) -> SyncOutcome {
    let status = response.status;
    if status == 200 {
        return match read_application(response, SYNC) {
            Ok(snapshot) => SyncOutcome::Taken(Box::new(snapshot)),
            Err(ArgoError::Fault(fault)) => unknown(fault),
            Err(_) => unknown(Fault::new(System::ArgoCd, SYNC, Cause::Status { status: 200 })),
        };
    }
    // Argo CD's own 400 has a code; a proxy's has not.
    if status == 400
        && let Ok(Said { message, .. }) = serde_json::from_slice::<Said>(&response.body)
    {
        let said = clip(&message, SENTENCE);
        return match message.as_str() {
            text if text.contains("another operation is already in progress") => SyncOutcome::InProgress,
            text if text.contains("application is deleting") => SyncOutcome::Deleting,
            text if text.contains("auto-sync currently set to") => SyncOutcome::AutoSync(said),
            _ => SyncOutcome::Refused(said),
        };
    }
    match read_error(&response, SYNC) {
        ArgoError::NoRight(said) if said.starts_with("cannot sync: blocked by") => SyncOutcome::Window(said),
        // A window whose schedule Argo CD cannot read does not open by itself.
        ArgoError::NoRight(said) if said.starts_with("cannot sync:") => SyncOutcome::Refused(said),
        ArgoError::NoRight(said) => SyncOutcome::NoRight(said),
        ArgoError::NoApplication => SyncOutcome::NoApplication,
        ArgoError::Unauthorized => SyncOutcome::Unauthorized,
        ArgoError::Fault(fault) if status.is_redirection() => SyncOutcome::NotDone(fault),
        // 408 and 409 stand for gRPC's `Canceled` and `Aborted`, which may come after the fact.
        ArgoError::Fault(fault) if status.is_client_error() && status != 408 && status != 409 => {
            SyncOutcome::NotDone(fault)
        }
        ArgoError::Fault(fault) => unknown(fault),
    }
}

fn unknown(fault: Fault) -> SyncOutcome {
    SyncOutcome::Unknown(fault.changed(Changed::Unknown))
}

#[cfg(test)]
mod tests {
    use super::wire::tests::{ID, SHA, sample};
    use super::*;
    use crate::http::{Chunks, HeaderMap, HeaderValue, HttpError, StatusCode};
    use domain::application::AppSource;
    use domain::names::KubeName;
    use futures::FutureExt;
    use proptest::prelude::*;
    use serde_json::json;
    use std::cell::RefCell;
    use std::collections::VecDeque;

    pub(super) fn argocd() -> ArgoCd {
        ArgoCd {
            url: UrlOrigin::parse("https://argocd.acme.example").unwrap(),
            root_path: "/argo".to_owned(),
            token: Some(Secret::new("a.jwt.token")),
        }
    }

    pub(super) fn app() -> ArgoApplication {
        let name = |text| KubeName::parse(text).unwrap();
        ArgoApplication { name: name("checkout"), project: name("default"), namespace: None }
    }

    pub(super) fn in_namespace() -> ArgoApplication {
        let name = |text| KubeName::parse(text).unwrap();
        ArgoApplication { name: name("checkout"), project: name("shop"), namespace: Some(name("shop-apps")) }
    }

    pub(super) fn response(status: u16, body: &str) -> Response {
        Response {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: body.as_bytes().to_vec(),
        }
    }

    /// Gives one answer, and keeps what was sent.
    pub(super) struct Script {
        answer: Result<Response, HttpError>,
        chunks: VecDeque<Vec<u8>>,
        sent: RefCell<Vec<Request>>,
    }

    impl Script {
        pub(super) fn new(answer: Result<Response, HttpError>) -> Self {
            Self { answer, chunks: VecDeque::new(), sent: RefCell::default() }
        }

        pub(super) fn streaming(mut self, chunks: &[&[u8]]) -> Self {
            self.chunks = chunks.iter().map(|chunk| chunk.to_vec()).collect();
            self
        }
    }

    pub(super) struct Body(VecDeque<Vec<u8>>);

    impl Chunks for Body {
        async fn chunk(&mut self) -> Result<Option<Vec<u8>>, HttpError> {
            Ok(self.0.pop_front())
        }
    }

    impl Http for Script {
        type Body = Body;

        async fn send(&self, request: Request) -> Result<Response, HttpError> {
            self.sent.borrow_mut().push(request);
            self.answer.clone()
        }

        async fn open(&self, request: Request) -> Result<(Response, Body), HttpError> {
            let head = self.send(request).await?;
            Ok((head, Body(self.chunks.clone())))
        }
    }

    fn shown(request: &Request) -> String {
        let headers: Vec<_> =
            request.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        format!(
            "{} {}\n{}\n\n{}",
            request.method,
            request.url,
            headers.join("\n"),
            String::from_utf8_lossy(&request.body)
        )
    }

    fn commit() -> CommitSha {
        CommitSha::parse(SHA).unwrap()
    }

    fn id() -> DeploymentId {
        DeploymentId::parse(ID).unwrap()
    }

    fn wish(revision: Revision, deployment: &DeploymentId) -> SyncRequest<'_> {
        SyncRequest { revision, deployment }
    }

    #[test]
    fn what_we_ask_of_argo_cd() {
        insta::assert_snapshot!(shown(&get_request(&argocd(), &app())), @r#"
        GET https://argocd.acme.example/argo/api/v1/applications/checkout?project=default
        authorization: Bearer a.jwt.token
        "#);
        let refresh = refresh_request(&argocd(), &in_namespace(), Duration::from_secs(4));
        insta::assert_snapshot!(shown(&refresh), @r#"
        GET https://argocd.acme.example/argo/api/v1/applications/checkout?project=shop&appNamespace=shop-apps&refresh=normal
        authorization: Bearer a.jwt.token
        "#);
        assert_eq!(refresh.timeout, Duration::from_secs(4));
        insta::assert_snapshot!(shown(&sync_request(&argocd(), &app(), &wish(Revision::Single(commit()), &id()))), @r#"
        POST https://argocd.acme.example/argo/api/v1/applications/checkout/sync
        content-type: application/json
        authorization: Bearer a.jwt.token

        {"revision":"6b6ed4bd9a4f2ea2d3a7fce1f4e9b8d5c0a1b2c3","prune":false,"retryStrategy":{"limit":2,"refresh":false,"backoff":{"duration":"5s","factor":2,"maxDuration":"1m"}},"infos":[{"name":"deploy-id","value":"0123456789abcdef0123456789abcdef"}],"project":"default"}
        "#);
        let sources = Revision::Sources { positions: vec![1, 3], commit: commit() };
        insta::assert_snapshot!(shown(&sync_request(&argocd(), &in_namespace(), &wish(sources, &id()))), @r#"
        POST https://argocd.acme.example/argo/api/v1/applications/checkout/sync
        content-type: application/json
        authorization: Bearer a.jwt.token

        {"sourcePositions":[1,3],"revisions":["6b6ed4bd9a4f2ea2d3a7fce1f4e9b8d5c0a1b2c3","6b6ed4bd9a4f2ea2d3a7fce1f4e9b8d5c0a1b2c3"],"prune":false,"retryStrategy":{"limit":2,"refresh":false,"backoff":{"duration":"5s","factor":2,"maxDuration":"1m"}},"infos":[{"name":"deploy-id","value":"0123456789abcdef0123456789abcdef"}],"project":"shop","appNamespace":"shop-apps"}
        "#);
        let at_the_root = ArgoCd { root_path: String::new(), token: None, ..argocd() };
        insta::assert_snapshot!(shown(&get_request(&at_the_root, &app())), @"GET https://argocd.acme.example/api/v1/applications/checkout?project=default");
    }

    fn relay_headers(sha1: Option<&str>) -> RelayHeaders {
        RelayHeaders {
            event: "push".to_owned(),
            delivery: "72d3162e-cc78-11e3-81ab-4c9367dc0958".to_owned(),
            sha1: sha1.map(str::to_owned),
            sha256: "sha256=75".to_owned(),
            content_type: "application/json".to_owned(),
        }
    }

    #[test]
    fn a_push_is_handed_on_byte_for_byte() {
        let body = b"{ \"ref\":\"refs/heads/main\" }\r\n\xff".to_vec();
        let http = Script::new(Ok(response(200, "")));
        let relayed = webhook(&http, &argocd(), body.clone(), &relay_headers(Some("sha1=01"))).now_or_never().unwrap();
        assert_eq!(relayed, Ok(()));
        let sent = http.sent.borrow();
        assert_eq!(sent[0].body, body);
        insta::assert_snapshot!(shown(&Request { body: Vec::new(), ..sent[0].clone() }), @r"
        POST https://argocd.acme.example/argo/api/webhook
        content-type: application/json
        x-github-event: push
        x-github-delivery: 72d3162e-cc78-11e3-81ab-4c9367dc0958
        x-hub-signature-256: sha256=75
        x-hub-signature: sha1=01
        ");
        assert!(!webhook_request(&argocd(), body, &relay_headers(None)).headers.contains_key("x-hub-signature"));
    }

    #[test]
    fn only_200_means_that_the_push_was_queued() {
        let check = |status, cause| {
            let expected = Fault::new(System::ArgoCd, RELAY, cause);
            assert_eq!(read_webhook(response(status, "Webhook processing failed")), Err(expected));
        };
        for status in [201, 202, 204, 307, 400, 401, 404, 405, 500, 503] {
            check(status, Cause::Status { status });
        }
        check(429, Cause::RateLimited { seconds: None });
        let http = Script::new(Err(HttpError::TimedOut));
        let relayed = webhook(&http, &argocd(), Vec::new(), &relay_headers(None)).now_or_never().unwrap();
        assert_eq!(relayed, Err(Fault::new(System::ArgoCd, RELAY, Cause::TimedOut)));
    }

    fn error_body(code: i64, message: &str) -> String {
        json!({ "error": message, "code": code, "message": message }).to_string()
    }

    #[test]
    fn why_an_application_cannot_be_read() {
        let check = |status, body: &str, expected| {
            assert_eq!(read_application(response(status, body), READ), Err(expected), "{status} {body}");
        };
        let no_right = ArgoError::NoRight("permission denied".to_owned());
        check(401, &error_body(16, "no session information"), ArgoError::Unauthorized);
        check(401, "", ArgoError::Unauthorized);
        check(403, &error_body(7, "permission denied"), no_right);
        check(403, "<html>", fault(READ, Cause::Forbidden { said: String::new() }));
        check(404, &error_body(5, "applications.argoproj.io \"checkout\" not found"), ArgoError::NoApplication);
        check(404, "404 page not found", fault(READ, Cause::Status { status: 404 }));
        check(500, &error_body(2, "etcd is\nsad"), fault(READ, Cause::Said { said: "etcd is sad".to_owned() }));
        check(503, "upstream connect error", fault(READ, Cause::Status { status: 503 }));
        check(307, "", fault(READ, Cause::Status { status: 307 }));
        for body in ["", "<html>", "{}", "[]", "null", r#"{"metadata":{"name":1}}"#] {
            check(200, body, nonsense(READ));
        }
        let mut limited = response(429, &error_body(8, "slow down"));
        limited.headers.insert(header::RETRY_AFTER, HeaderValue::from_static("7"));
        let expected = fault(READ, Cause::RateLimited { seconds: Some(7) });
        assert_eq!(read_application(limited, READ), Err(expected));
    }

    #[test]
    fn an_application_is_read_and_refreshed() {
        let http = Script::new(Ok(response(200, &sample().to_string())));
        let read = get(&http, &argocd(), &app()).now_or_never().unwrap().unwrap();
        assert_eq!(read.compared, [SHA]);
        let refreshed = refresh(&http, &argocd(), &app(), Duration::from_secs(5)).now_or_never().unwrap().unwrap();
        assert_eq!(refreshed, read);
        assert_eq!(http.sent.borrow().len(), 2);
        let http = Script::new(Err(HttpError::TimedOut));
        let refreshed = refresh(&http, &argocd(), &app(), Duration::from_secs(5)).now_or_never().unwrap();
        assert_eq!(refreshed, Err(fault(REFRESH, Cause::TimedOut)));
    }

    fn sync_fault(cause: Cause, changed: Changed) -> Fault {
        Fault::new(System::ArgoCd, SYNC, cause).changed(changed)
    }

    #[test]
    fn what_became_of_a_sync() {
        let check =
            |status, body: &str, expected| assert_eq!(read_sync(response(status, body)), expected, "{status} {body}");
        let said = |said: &str| said.to_owned();
        check(400, &error_body(9, "another operation is already in progress"), SyncOutcome::InProgress);
        let wrapped = "error setting app operation: rpc error: code = FailedPrecondition desc = another operation is already in progress";
        check(400, &error_body(9, wrapped), SyncOutcome::InProgress);
        check(400, &error_body(9, "application is deleting"), SyncOutcome::Deleting);
        for auto in [
            "Cannot sync to 6b6ed4b: auto-sync currently set to main",
            "Cannot sync source https://github.com/acme/gitops to 6b6ed4b: auto-sync currently set to main",
        ] {
            check(400, &error_body(9, auto), SyncOutcome::AutoSync(said(auto)));
        }
        let project = "app is not allowed in project \"x\", or the project does not exist";
        check(400, &error_body(3, project), SyncOutcome::Refused(said(project)));
        check(400, "<html>", SyncOutcome::NotDone(sync_fault(Cause::Status { status: 400 }, Changed::Nothing)));
        check(401, &error_body(16, "invalid session: token is expired"), SyncOutcome::Unauthorized);
        let window = "cannot sync: blocked by sync window";
        check(403, &error_body(7, window), SyncOutcome::Window(said(window)));
        let invalid = "cannot sync: invalid sync window: cannot parse schedule";
        check(403, &error_body(7, invalid), SyncOutcome::Refused(said(invalid)));
        let right =
            "permission denied: applications, sync, default/checkout, sub: deploybot, iat: 2026-08-21T08:42:43Z";
        check(403, &error_body(7, right), SyncOutcome::NoRight(said(right)));
        let forbidden = Cause::Forbidden { said: String::new() };
        check(403, "<html>", SyncOutcome::NotDone(sync_fault(forbidden, Changed::Nothing)));
        check(404, &error_body(5, "applications.argoproj.io \"checkout\" not found"), SyncOutcome::NoApplication);
        for status in [307, 404, 405, 413, 415] {
            check(status, "", SyncOutcome::NotDone(sync_fault(Cause::Status { status }, Changed::Nothing)));
        }
        let limited = Cause::RateLimited { seconds: None };
        check(429, "", SyncOutcome::NotDone(sync_fault(limited, Changed::Nothing)));
        for status in [202, 204, 408, 409, 500, 502, 503, 504] {
            check(status, "", SyncOutcome::Unknown(sync_fault(Cause::Status { status }, Changed::Unknown)));
        }
        let nonsense = Cause::Nonsense { part: said("the application") };
        check(200, "{}", SyncOutcome::Unknown(sync_fault(nonsense, Changed::Unknown)));

        let mut taken = sample();
        taken["operation"] = taken["status"]["operationState"]["operation"].take();
        taken["status"]["operationState"] = json!(null);
        match read_sync(response(200, &taken.to_string())) {
            SyncOutcome::Taken(snapshot) => assert_eq!(snapshot.operation.unwrap().deploy_id, Some(id())),
            other => panic!("not taken: {other:?}"),
        }
    }

    #[test]
    fn a_sync_without_an_answer_may_have_been_taken() {
        for (error, expected) in [
            (HttpError::Denied, SyncOutcome::NotDone(sync_fault(Cause::Denied, Changed::Nothing))),
            (HttpError::NotConnected, SyncOutcome::NotDone(sync_fault(Cause::NotConnected, Changed::Nothing))),
            (HttpError::TimedOut, SyncOutcome::Unknown(sync_fault(Cause::TimedOut, Changed::Unknown))),
            (HttpError::Broken, SyncOutcome::Unknown(sync_fault(Cause::Broken, Changed::Unknown))),
            (HttpError::TooLarge, SyncOutcome::Unknown(sync_fault(Cause::TooLarge, Changed::Unknown))),
        ] {
            let http = Script::new(Err(error));
            let outcome =
                sync(&http, &argocd(), &app(), &wish(Revision::Single(commit()), &id())).now_or_never().unwrap();
            assert_eq!(outcome, expected);
            assert_eq!(http.sent.borrow().len(), 1, "no retries here");
        }
    }

    #[test]
    fn our_repository_is_known_by_any_of_its_urls() {
        let repo = RepoName::parse("acme/GitOps").unwrap();
        for url in [
            "https://github.com/acme/gitops",
            "https://github.com/acme/gitops.git",
            "https://GitHub.com/Acme/GitOps.GIT",
            "http://github.acme.example/acme/gitops",
            "https://git@github.com/acme/gitops",
            "https://github.com:443/acme/gitops",
            "ssh://git@github.com/acme/gitops.git",
            "ssh://git@ssh.github.com:443/acme/gitops.git",
            "git@github.com:acme/gitops.git",
            "github.com/acme/gitops",
            "github.com:acme/gitops",
            "git@github.com:22:acme/gitops",
        ] {
            assert!(is_repository(url, &repo), "{url}");
        }
        for url in [
            "",
            "acme/gitops",
            "https://acme/gitops",
            "https://github.com/acme/gitops2",
            "https://github.com/acme/gitops.git.git",
            "https://github.com/acme/gitops/",
            "https://github.com/acme/gitops/tree/main",
            "https://github.com/mirror/acme/gitops",
            "https://github.com/notacme/gitops",
            "https://github.com/443/acme/gitops",
            "https://user:password@github.com/acme/gitops",
            "https://a@b@github.com/acme/gitops",
            "oci://github.com/acme/gitops",
            "file:///acme/gitops",
            "https:///acme/gitops",
            "https://evil.example?github.com/acme/gitops",
            "https://github.com/acme/gitops?x=y",
        ] {
            assert!(!is_repository(url, &repo), "{url}");
        }
        assert!(is_repository("git@github.com:123/gitops.git", &RepoName::parse("123/gitops").unwrap()));
        assert!(is_repository("https://github.com/acme/x.git", &RepoName::parse("acme/x").unwrap()));
    }

    #[test]
    fn a_commit_is_pinned_in_the_sources_that_are_ours() {
        let repo = RepoName::parse("acme/gitops").unwrap();
        let branch = BranchName::parse("main").unwrap();
        // `<url> at <target>`, `main` unless said.
        let check = |sources: &[&str], multi_source, expected| {
            let source = |text: &&str| {
                let (url, target) = text.rsplit_once(" at ").unwrap_or((*text, "main"));
                AppSource { url: url.to_owned(), target: target.to_owned() }
            };
            let sources = sources.iter().map(source).collect();
            let snapshot = Application { sources, multi_source, ..Application::default() };
            assert_eq!(which_sources(&snapshot, &repo, &branch, &commit()), expected, "{snapshot:?}");
        };
        let (ours, ours_too, chart) =
            ("https://github.com/acme/gitops", "git@github.com:acme/gitops.git", "https://charts.example");
        let pinned = |positions| Ok(Revision::Sources { positions, commit: commit() });
        check(&[ours], false, Ok(Revision::Single(commit())));
        check(&[ours], true, pinned(vec![1]));
        check(&[chart, ours, chart, ours_too], true, pinned(vec![2, 4]));
        let (by_default, by_head, in_full) =
            (format!("{ours} at "), format!("{ours} at HEAD"), format!("{ours} at refs/heads/main"));
        let elsewhere = ["v1.2", "staging", "refs/tags/main", "6b6ed4bd9a4f2ea2d3a7fce1f4e9b8d5c0a1b2c3"];
        check(&[&by_default, &by_head, &in_full], true, pinned(vec![1, 2, 3]));
        for target in elsewhere {
            let kept = format!("{ours} at {target}");
            check(&[&kept, ours], true, pinned(vec![2]));
            check(&[&kept, chart], true, Err(NoSource));
            check(&[&kept], false, Err(NoSource));
        }
        check(&[chart], false, Err(NoSource));
        check(&[chart, chart], true, Err(NoSource));
        check(&[], false, Err(NoSource));
    }

    proptest! {
        #[test]
        fn no_url_panics(url in "\\PC*", near in "((https|ssh)://)?([a-z$]*@)?[a-z.ü]*[:/]?[0-9]*[:/]acme/gitops(.git|.gé)?") {
            let repo = RepoName::parse("acme/gitops").unwrap();
            is_repository(&url, &repo);
            is_repository(&near, &repo);
        }

        #[test]
        fn no_answer_panics(status in 100_u16..600, body: Vec<u8>) {
            let response = Response { status: StatusCode::from_u16(status).unwrap(), headers: HeaderMap::new(), body };
            let _ = read_application(response.clone(), READ);
            let _ = read_sync(response);
        }
    }
}
