//! Argo CD: its API server, its webhook, and (in `operation.rs`) its application controller.
//!
//! Easy to miss: a sync that was accepted has done nothing yet; a sync that succeeded has not made
//! anything healthy yet; a webhook that was answered 200 may have refreshed nothing; `Content-Type` must be exactly
//! `application/json` on everything but GET; without `project` a missing application is "permission denied".
//!
//! An application whose source's folder has a `Chart.yaml` is one of causes: its manifests are rendered as helm does it (`chart.rs`), its
//! operations apply them in phases and waves (`tasks.rs`), and its health and Pods are what Kubernetes makes of them (`cluster.rs`,
//! `workload.rs`, `pod.rs`). What goes wrong is said by the image's name or the Pod template's annotations (`paper/cause` and so on), the
//! same as in `tests/argocd`. Any other application goes by its [`Script`].

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Answer, Millis, Request, Response, StandIn, StreamId};

mod app;
mod chart;
mod charted;
mod clock;
mod cluster;
mod generate;
mod health;
mod kustomize;
mod operation;
mod people;
mod pod;
mod resources;
mod rollout;
mod script;
mod source;
mod stream;
mod tasks;
mod webhook;
mod workload;

pub use app::{App, Window};
pub use script::{End, Health, Script};
pub use source::{Layout, Source, TagAt};

use app::Operation;
use operation::{Due, Event};
use source::resolve;
use stream::Stream;

/// The repositories that Argo CD reads. The test's driver connects them with GitHub's stand-in.
pub trait Git: Send {
    /// The commit of a branch, of a tag, of `HEAD`, of a short sha.
    fn head(&self, repo_url: &str, revision: &str) -> Option<String>;
    /// A file at a commit.
    fn file(&self, repo_url: &str, sha: &str, path: &str) -> Option<Vec<u8>>;
    /// All files below a folder at a commit, from the root of the repository; an empty folder is the root.
    fn files(&self, repo_url: &str, sha: &str, folder: &str) -> Vec<String>;
}

/// Which Argo CD it is, as far as webhooks show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// 2.13 or newer: reads `X-Hub-Signature-256` only.
    Current,
    /// Older: reads `X-Hub-Signature` only.
    Sha1,
    /// 2.10: that, too, and a sync ignores `sourcePositions` and `revisions`.
    Unpinned,
}

/// What an account may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// See applications.
    Get,
    /// Sync and terminate.
    Sync,
    /// Sync to something else than the target revision, where that needs a right.
    Override,
}

/// How event streams behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streams {
    /// As they should.
    Normal,
    /// Open, but there are never any events.
    Silent,
    /// What is there at the beginning, and never an event again.
    Frozen,
}

/// Who started an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Initiator {
    User(String),
    Automated,
    /// Whoever wrote the operation into the Application itself.
    Nobody,
}

impl Initiator {
    fn json(&self) -> Value {
        match self {
            Self::User(name) => json!({"username": name}),
            Self::Automated => json!({"automated": true}),
            Self::Nobody => json!({}),
        }
    }
}

/// A request for a sync, whatever became of it.
#[derive(Clone, Debug)]
pub struct SyncAsked {
    /// When.
    pub at: Millis,
    /// The application's name, from the path.
    pub app: String,
    /// The whole body.
    pub body: Value,
    /// The status of the answer.
    pub status: u16,
}

impl SyncAsked {
    /// `revision`, or the only one of `revisions`.
    pub fn revision(&self) -> Option<&str> {
        let one = self.body["revisions"].as_array().filter(|all| all.len() == 1).and_then(|all| all[0].as_str());
        self.body["revision"].as_str().or(one)
    }

    /// The value of an info.
    pub fn info(&self, name: &str) -> Option<&str> {
        self.body["infos"].as_array()?.iter().find(|info| info["name"] == name)?["value"].as_str()
    }

    /// Whether pruning was asked for.
    pub fn prune(&self) -> bool {
        self.body["prune"] == true
    }

    /// The retry strategy that was sent, or null.
    pub fn retry_strategy(&self) -> &Value {
        &self.body["retryStrategy"]
    }
}

/// A webhook that arrived.
#[derive(Clone, Debug)]
pub struct WebhookReceived {
    /// When.
    pub at: Millis,
    /// All headers.
    pub headers: http::HeaderMap,
    /// The exact bytes.
    pub body: Vec<u8>,
    /// The status of the answer.
    pub status: u16,
}

type Key = (String, String);

/// The installation. Its public fields are settings; change them at any time.
pub struct ArgoCd {
    /// The bot's token. Anything else is a bad session.
    pub token: String,
    /// The name of the bot's account.
    pub account: String,
    /// What the account may do in which project (`*`: in all).
    pub rights: BTreeSet<(Right, String)>,
    /// `--rootpath`, such as `/argocd`; usually empty.
    pub root_path: String,
    /// `webhook.github.secret`; empty: webhooks are not verified.
    pub webhook_secret: String,
    /// Which headers of a webhook count.
    pub version: Version,
    /// How long after a webhook its applications are refreshed; `None`: never, the queue was lost.
    pub webhook_takes: Option<Millis>,
    /// How long a refresh takes that a client waits for; `None`: for ever.
    pub refresh_takes: Option<Millis>,
    /// How streams behave.
    pub streams: Streams,
    /// Every stream is closed so long after it was opened.
    pub cut_streams_after: Option<Millis>,
    /// How often a stream has a sign of life.
    pub keep_alive: Millis,
    /// How far the cache that streams show lags behind: what a stream begins with may be older than an answer that came before it.
    pub cache_lag: Millis,
    /// Namespaces besides `argocd` in which applications are allowed (`application.namespaces`).
    pub namespaces: BTreeSet<String>,
    /// `application.sync.requireOverridePrivilegeForRevisionSync`.
    pub require_override: bool,
    /// How long a Pod of a chart takes to get ready, if nothing else is said.
    pub pods_take: Millis,
    /// How long the controller takes to see what changed in the cluster of a chart, and to compare after an operation.
    pub looks_in: Millis,
    /// How long it sleeps between two waves of a chart (`ARGOCD_SYNC_WAVE_DELAY`).
    pub wave_delay: Millis,
    /// How long each source takes whose revision has to be looked up while a sync is being asked for.
    pub resolve_takes: Millis,
    /// So many events are lost before the next one that is sent: buffers were full.
    pub lose_events: u32,
    /// The API server cannot reach Kubernetes: every application is "permission denied", whatever the rights are.
    pub kubernetes_away: bool,
    git: Box<dyn Git>,
    apps: BTreeMap<Key, App>,
    agenda: Vec<Due>,
    counter: u64,
    open: BTreeMap<StreamId, Stream>,
    watched_twice: Millis,
    blocked: BTreeMap<StreamId, (Key, u64)>,
    resolving: BTreeMap<StreamId, (Millis, String, Request)>,
    asked: Vec<SyncAsked>,
    received: Vec<WebhookReceived>,
    revoked: bool,
    clock: Millis,
}

impl ArgoCd {
    /// An installation without applications, whose account may see and sync everything.
    pub fn new(git: Box<dyn Git>, token: &str) -> Self {
        Self {
            token: token.to_owned(),
            account: "deploy-bot".to_owned(),
            rights: [Right::Get, Right::Sync].into_iter().map(|right| (right, "*".to_owned())).collect(),
            root_path: String::new(),
            webhook_secret: String::new(),
            version: Version::Current,
            webhook_takes: Some(250),
            refresh_takes: Some(300),
            streams: Streams::Normal,
            cut_streams_after: None,
            keep_alive: 15_000,
            cache_lag: 0,
            namespaces: BTreeSet::new(),
            require_override: false,
            pods_take: 1000,
            looks_in: 150,
            wave_delay: 2000,
            resolve_takes: 0,
            lose_events: 0,
            kubernetes_away: false,
            git,
            apps: BTreeMap::new(),
            agenda: Vec::new(),
            counter: 0,
            open: BTreeMap::new(),
            watched_twice: 0,
            blocked: BTreeMap::new(),
            resolving: BTreeMap::new(),
            asked: Vec::new(),
            received: Vec::new(),
            revoked: false,
            clock: 0,
        }
    }

    // ---- the installation ----

    /// Adds an application that runs what is in Git now, healthy and in sync.
    pub fn add(&mut self, now: Millis, mut app: App) {
        let key = (app.namespace.clone(), app.name.clone());
        app.now.created = now;
        (app.now.health, app.now.health_since) = (Health::Healthy, now);
        if self.settle(now, &mut app) {
            // What it is made of was there long before.
        } else if let Ok(revisions) = app.resolve(&*self.git) {
            app.now.live = app.render(&*self.git, &revisions).ok();
        }
        self.apps.insert(key.clone(), app);
        self.reconcile(now, &key, None);
    }

    /// Adds an application that was never synced.
    pub fn add_undeployed(&mut self, now: Millis, mut app: App) {
        let key = (app.namespace.clone(), app.name.clone());
        (app.now.created, app.now.health_since) = (now, now);
        self.apps.insert(key.clone(), app);
        self.reconcile(now, &key, None);
    }

    /// An application by its name, to change what it is or how its syncs go.
    pub fn app(&mut self, name: &str) -> &mut App {
        let key = self.key(name);
        self.apps.get_mut(&key).unwrap_or_else(|| panic!("no application {name}"))
    }

    /// Removes an application for good.
    pub fn remove(&mut self, name: &str) {
        let key = self.key(name);
        self.tell(&key, "DELETED");
        self.apps.remove(&key);
    }

    /// The controller looks again (as it does every three minutes), or finds the health changed.
    pub fn look(&mut self, now: Millis, name: &str, health: Option<Health>) {
        self.catch_up(now);
        self.reconcile(now, &self.key(name), health);
    }

    /// From now on the token is refused.
    pub fn revoke_token(&mut self) {
        self.revoked = true;
    }

    /// Every open stream breaks with this error.
    pub fn fail_streams(&mut self, message: &str) {
        for stream in self.open.values_mut() {
            stream.fail(14, 503, message, "Service Unavailable");
        }
    }

    // ---- what a test looks at ----

    /// Every sync that was asked for.
    pub fn syncs(&self) -> &[SyncAsked] {
        &self.asked
    }

    /// Every webhook that arrived.
    pub fn webhooks(&self) -> &[WebhookReceived] {
        &self.received
    }

    /// The tag that the cluster runs.
    pub fn live_tag(&self, name: &str) -> Option<&str> {
        self.apps.get(&self.key(name))?.now.live.as_deref()
    }

    /// Whether a comparison ever saw this tag run, healthy (or paused), after its sync had ended. Of a chart only what has an image counts
    /// for that, and a pause does not.
    pub fn ran_well(&self, name: &str, tag: &str) -> bool {
        self.ran_well_at(name, tag).is_some()
    }

    /// When a comparison last saw it so.
    pub fn ran_well_at(&self, name: &str, tag: &str) -> Option<Millis> {
        self.apps.get(&self.key(name))?.now.well.get(tag).copied()
    }

    /// The Application object as the API shows it.
    pub fn application(&self, name: &str) -> Value {
        self.apps.get(&self.key(name)).map(App::json).unwrap_or_default()
    }

    /// How many event streams are open.
    pub fn open_streams(&self) -> usize {
        self.open.len()
    }

    /// The longest time for which two event streams of one application were open at once. That a client hung up is seen a moment later,
    /// so a little of it means nothing.
    pub fn watched_twice(&self) -> Millis {
        self.watched_twice
    }

    // ---- inside ----

    fn key(&self, name: &str) -> Key {
        let found = self.apps.keys().find(|(_, known)| known == name);
        found.cloned().unwrap_or_else(|| ("argocd".to_owned(), name.to_owned()))
    }

    /// After every change of an application: a new version, an event for each watcher.
    fn touch(&mut self, key: &Key) {
        self.counter += 1;
        if let Some(app) = self.apps.get_mut(key) {
            app.now.version = self.counter;
        }
        self.tell(key, "MODIFIED");
    }

    fn tell(&mut self, key: &Key, kind: &str) {
        let (shown_at, clock) = (self.clock + self.cache_lag, self.clock);
        let Some(app) = self.apps.get_mut(key) else { return };
        let application = app.json();
        app.now.cached.push_back((shown_at, application.clone()));
        while app.now.cached.get(1).is_some_and(|(at, _)| *at <= clock) {
            app.now.cached.pop_front();
        }
        let Some(app) = self.apps.get(key) else { return };
        if !self.may(Right::Get, &app.project) || self.streams != Streams::Normal {
            return;
        }
        if self.lose_events > 0 {
            self.lose_events -= 1;
            return;
        }
        for stream in self.open.values_mut().filter(|stream| shows(stream, app)) {
            stream.push(shown_at, &app.name, kind, &application);
        }
    }

    fn may(&self, right: Right, project: &str) -> bool {
        [project, "*"].iter().any(|project| self.rights.contains(&(right, (*project).to_owned())))
    }

    /// Who is asking.
    fn session(&self, request: &Request) -> Result<(), Refused> {
        let token = request.header("authorization").strip_prefix("Bearer ").unwrap_or_default();
        if token == self.token && !token.is_empty() {
            if self.revoked {
                let why = format!("account {} does not have token with id 3f2a", self.account);
                return Err(Refused(16, format!("invalid session: {why}")));
            }
            return Ok(());
        }
        // What does not even look like a token is as good as none.
        if token.split('.').count() != 3 {
            return Err(Refused(16, "no session information".to_owned()));
        }
        Err(Refused(16, "invalid session: token signature is invalid: signature is invalid".to_owned()))
    }

    /// Finds an application the way Argo CD does it without giving away what exists.
    fn find(&self, right: Right, project: &str, namespace: &str, name: &str) -> Result<Key, Refused> {
        let denied = || Refused(7, "permission denied".to_owned());
        let missing = || Refused(5, format!("applications.argoproj.io \"{name}\" not found"));
        if !project.is_empty() && !self.may(right, project) {
            return Err(denied());
        }
        if self.kubernetes_away {
            return Err(denied());
        }
        let namespace = if namespace.is_empty() { "argocd" } else { namespace };
        if namespace != "argocd" && !self.namespaces.contains(namespace) {
            return Err(denied());
        }
        let key = (namespace.to_owned(), name.to_owned());
        let unseen = if project.is_empty() { denied() } else { missing() };
        match self.apps.get(&key) {
            Some(app) if self.may(right, &app.project) && (project.is_empty() || project == app.project) => Ok(key),
            _ => Err(unseen),
        }
    }

    fn denied(&self, right: &str, app: &App) -> Refused {
        let place = if app.namespace == "argocd" { String::new() } else { format!("{}/", app.namespace) };
        let object = format!("{}/{place}{}", app.project, app.name);
        let account = &self.account;
        let why = format!("applications, {right}, {object}, sub: {account}, iat: 2023-11-14T22:13:20Z");
        Refused(7, format!("permission denied: {why}"))
    }

    fn sync(&mut self, now: Millis, name: &str, request: &Request) -> Result<Value, Refused> {
        self.session(request)?;
        let body = if request.body.is_empty() { b"{}".as_slice() } else { &request.body };
        let wanted: SyncRequest =
            serde_json::from_slice(body).map_err(|error| Refused(3, format!("json: cannot unmarshal: {error}")))?;
        let key = self.find(
            Right::Get,
            wanted.project.as_deref().unwrap_or_default(),
            wanted.app_namespace.as_deref().unwrap_or_default(),
            name,
        )?;
        let Some(app) = self.apps.get(&key) else { return Err(Refused(13, "gone".to_owned())) };
        // The window is looked at before the right to sync.
        match app.window {
            Window::Open => {}
            Window::Closed => return Err(Refused(7, "cannot sync: blocked by sync window".to_owned())),
            Window::Invalid => return Err(Refused(7, format!("cannot sync: invalid sync window: {BAD_SCHEDULE}"))),
        }
        if !self.may(Right::Sync, &app.project) {
            return Err(self.denied("sync", app));
        }
        if app.deleting {
            return Err(Refused(9, "application is deleting".to_owned()));
        }
        let (revisions, asked) = self.revisions(app, &wanted)?;
        let value = |value: Option<Value>| value.unwrap_or_default();
        let operation = Operation {
            revisions,
            asked,
            prune: wanted.prune.unwrap_or(false),
            dry_run: wanted.dry_run.unwrap_or(false),
            sync_options: value(wanted.sync_options)["items"].take(),
            strategy: value(wanted.strategy),
            resources: value(wanted.resources),
            infos: wanted.infos.map(|infos| json!(infos)).unwrap_or_default(),
            retry: match wanted.retry_strategy {
                Some(retry) if !app.keeps_its_retry => json!(retry),
                _ => app.retry.clone(),
            },
            by: Initiator::User(self.account.clone()),
        };
        self.set_operation(now, &key, operation).map_err(|error| Refused(9, error))?;
        Ok(self.apps.get(&key).map(App::json).unwrap_or_default())
    }

    /// How long the sources take whose revisions a sync does not name.
    fn resolving_takes(&self, name: &str, request: &Request) -> Option<Millis> {
        let wanted: SyncRequest = serde_json::from_slice(&request.body).ok()?;
        let app = self.apps.get(&self.key(name)).filter(|_| self.session(request).is_ok())?;
        let said = wanted.revisions.iter().flatten().chain(wanted.revision.as_ref());
        let pinned = said.filter(|revision| revision.len() == 40).count();
        let open = app.sources.len().saturating_sub(pinned) as Millis;
        Some(open * self.resolve_takes).filter(|takes| *takes > 0)
    }

    fn note(&mut self, at: Millis, app: String, request: &Request, status: u16) {
        let body = serde_json::from_slice(&request.body).unwrap_or_default();
        self.asked.push(SyncAsked { at, app, body, status });
    }

    /// The revision of each source, and what was asked for.
    fn revisions(&self, app: &App, wanted: &SyncRequest) -> Result<(Vec<String>, Vec<Option<String>>), Refused> {
        let dry_run = wanted.dry_run == Some(true);
        let mut explicit: Vec<Option<&str>> = vec![None; app.sources.len()];
        match app.layout {
            Layout::Single => explicit[0] = wanted.revision.as_deref().filter(|revision| !revision.is_empty()),
            // With several sources a plain `revision` means nothing.
            Layout::Multi if self.version == Version::Unpinned => {}
            Layout::Multi => {
                for (index, position) in wanted.source_positions.iter().flatten().enumerate() {
                    let source = usize::try_from(*position).ok().and_then(|position| position.checked_sub(1));
                    let Some(slot) = source.and_then(|source| explicit.get_mut(source)) else {
                        return Err(Refused(2, "source position is out of range".to_owned()));
                    };
                    let Some(revision) = wanted.revisions.as_ref().and_then(|revisions| revisions.get(index)) else {
                        let length = wanted.revisions.as_ref().map_or(0, Vec::len);
                        let panic = format!("runtime error: index out of range [{index}] with length {length}");
                        return Err(Refused(13, panic));
                    };
                    *slot = Some(revision.as_str()).filter(|revision| !revision.is_empty());
                }
            }
        }
        let mut revisions = Vec::new();
        for (source, explicit) in app.sources.iter().zip(explicit.iter().copied()) {
            if let Some(revision) = explicit.filter(|revision| *revision != source.revision()) {
                if self.require_override && !self.may(Right::Override, &app.project) {
                    return Err(self.denied("override", app));
                }
                if app.automated && !dry_run {
                    let target = &source.target_revision;
                    return Err(Refused(
                        9,
                        match app.layout {
                            Layout::Single => format!("Cannot sync to {revision}: auto-sync currently set to {target}"),
                            Layout::Multi => format!(
                                "Cannot sync source {} to {revision}: auto-sync currently set to {target}",
                                source.repo_url
                            ),
                        },
                    ));
                }
            }
            let revision = resolve(&*self.git, source, explicit.unwrap_or(source.revision()));
            revisions.push(revision.map_err(|error| Refused(9, error))?);
        }
        Ok((revisions, explicit.into_iter().map(|one| one.map(str::to_owned)).collect()))
    }

    fn get(&mut self, now: Millis, name: &str, request: &Request) -> Result<Answer, Refused> {
        self.session(request)?;
        let query = request.query();
        let key = self.find_by_query(Right::Get, name, &query)?;
        if !query.contains_key("refresh") {
            let application = self.apps.get(&key).map(App::json).unwrap_or_default();
            return Ok(Answer::Whole(Response::json(200, &application)));
        }
        if let Some(app) = self.apps.get_mut(&key) {
            app.now.refresh = true;
            app.now.hard |= query["refresh"] == "hard";
        }
        self.touch(&key);
        let id = self.fresh_id();
        self.blocked.insert(id, (key.clone(), self.apps[&key].now.version));
        if let Some(takes) = self.refresh_takes {
            self.later(now + takes, &key, Event::Reconcile(None));
        }
        Ok(Answer::Later(id))
    }

    /// The applications that the account may see, with the fields that are asked for. What it may not see is left out.
    fn list(&self, request: &Request) -> Result<Value, Refused> {
        self.session(request)?;
        if self.kubernetes_away {
            return Err(Refused(14, "error listing apps: connection refused".to_owned()));
        }
        let query = request.query();
        let text = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
        let namespace = if text("appNamespace").is_empty() { "argocd" } else { text("appNamespace") };
        let shown = self.apps.values().filter(|app| {
            let named = text("name").is_empty() || app.name == text("name");
            let project = text("projects").is_empty() || app.project == text("projects");
            let labelled = app.has_labels(text("selector"));
            named && project && labelled && app.namespace == namespace && self.may(Right::Get, &app.project)
        });
        let items: Vec<Value> = shown
            .map(|app| {
                let (whole, mut item) = (app.json(), json!({}));
                for field in text("fields").split(',').filter_map(|field| field.strip_prefix("items.")) {
                    // Of `spec` a list shows all or nothing.
                    match field.split_once('.') {
                        None if field == "spec" => item["spec"] = whole["spec"].clone(),
                        Some(("metadata", name)) if !whole["metadata"][name].is_null() => {
                            item["metadata"][name] = whole["metadata"][name].clone();
                        }
                        _ => {}
                    }
                }
                item
            })
            .collect();
        Ok(json!({ "metadata": {}, "items": if items.is_empty() { Value::Null } else { json!(items) } }))
    }

    fn find_by_query(&self, right: Right, name: &str, query: &BTreeMap<String, String>) -> Result<Key, Refused> {
        let text = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
        let project = if text("project").is_empty() { text("projects") } else { text("project") };
        self.find(right, project, text("appNamespace"), name)
    }

    fn terminate_operation(&mut self, now: Millis, name: &str, request: &Request) -> Result<Value, Refused> {
        self.session(request)?;
        let key = self.find_by_query(Right::Sync, name, &request.query())?;
        if !self.terminate(now, &key) {
            return Err(Refused(3, "Unable to terminate operation. No operation is in progress".to_owned()));
        }
        Ok(json!({}))
    }

    fn sync_windows(&self, name: &str, request: &Request) -> Result<Value, Refused> {
        self.session(request)?;
        let key = self.find_by_query(Right::Get, name, &request.query())?;
        match self.apps[&key].window {
            Window::Open => Ok(json!({"canSync": true})),
            Window::Closed => {
                let window = json!({"kind": "deny", "schedule": "0 22 * * *", "duration": "8h", "manualSync": false});
                Ok(json!({"canSync": false, "activeWindows": [window], "assignedWindows": [window]}))
            }
            Window::Invalid => Err(Refused(2, format!("invalid sync windows: {BAD_SCHEDULE}"))),
        }
    }

    fn tree(&self, name: &str, request: &Request) -> Result<Value, Refused> {
        self.session(request)?;
        let key = self.find_by_query(Right::Get, name, &request.query())?;
        Ok(self.apps[&key].tree())
    }

    /// From the rules alone: neither Kubernetes nor the application is looked at.
    fn can_i(&self, action: &str, project: &str, request: &Request) -> Result<Value, Refused> {
        self.session(request)?;
        let right = match action {
            "get" => Some(Right::Get),
            "sync" => Some(Right::Sync),
            "override" => Some(Right::Override),
            _ => None,
        };
        let may = right.is_some_and(|right| self.may(right, project));
        Ok(json!({ "value": if may { "yes" } else { "no" } }))
    }

    fn watch(&mut self, now: Millis, request: &Request) -> Answer {
        if let Err(Refused(code, message)) = self.session(request) {
            return Answer::Whole(Response::json(401, &stream::error_chunk(code, 401, &message, "Unauthorized")));
        }
        let namespace = request.query().get("appNamespace").cloned().filter(|namespace| !namespace.is_empty());
        let namespace = namespace.unwrap_or_else(|| "argocd".to_owned());
        let mut stream = Stream::open(now, request, namespace, self.keep_alive);
        let head = Response {
            status: 200,
            headers: vec![("content-type".to_owned(), stream.content_type().to_owned())],
            body: Vec::new(),
        };
        // With a resource version, only the watch of a single application starts with what is there.
        if self.streams != Streams::Silent && (stream.min_version == 0 || !stream.name.is_empty()) {
            for app in self.apps.values().filter(|app| self.may(Right::Get, &app.project)) {
                if shows(&stream, app) {
                    begin_with(&mut stream, now, app, self.streams);
                }
            }
        }
        let id = self.fresh_id();
        self.open.insert(id, stream);
        Answer::Stream(head, id)
    }

    fn webhook(&mut self, now: Millis, request: &Request) -> Response {
        let read = webhook::read(request, &self.webhook_secret, self.version);
        let response = match read {
            Err(response) => response,
            Ok(push) => {
                let concerned: Vec<Key> = self
                    .apps
                    .iter()
                    .filter(|((namespace, _), app)| {
                        let enabled = namespace == "argocd" || self.namespaces.contains(namespace);
                        enabled && push.as_ref().is_some_and(|push| push.concerns(app))
                    })
                    .map(|(key, _)| key.clone())
                    .collect();
                for key in concerned {
                    if let Some(takes) = self.webhook_takes {
                        self.later(now + takes, &key, Event::Reconcile(None));
                    }
                }
                Response { status: 200, headers: Vec::new(), body: Vec::new() }
            }
        };
        let (headers, body, status) = (request.headers.clone(), request.body.clone(), response.status);
        self.received.push(WebhookReceived { at: now, headers, body, status });
        response
    }

    fn user_info(&self, request: &Request) -> Value {
        match self.session(request) {
            Ok(()) => json!({"loggedIn": true, "username": self.account, "iss": "argocd"}),
            Err(_) => json!({}),
        }
    }

    fn version_info(&self, request: &Request) -> Value {
        let version = match self.version {
            Version::Current => "v3.5.1+37ee009",
            Version::Sha1 => "v2.12.11+1111111",
            Version::Unpinned => "v2.10.18+2175939",
        };
        match self.session(request) {
            Ok(()) => json!({"Version": version, "Platform": "linux/amd64", "GoVersion": "go1.25.1"}),
            Err(_) => json!({"Version": version}),
        }
    }

    fn fresh_id(&mut self) -> StreamId {
        self.counter += 1;
        StreamId(self.counter)
    }

    fn route<'a>(&self, request: &'a Request) -> Route<'a> {
        let root = self.root_path.trim_matches('/');
        let path = match root {
            "" => Some(request.path()),
            root => request.path().strip_prefix('/').and_then(|path| path.strip_prefix(root)),
        };
        let Some(path) = path.filter(|path| path.starts_with('/')) else { return Route::Unknown };
        let get = request.method == http::Method::GET;
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match parts.as_slice() {
            ["api", "webhook"] => Route::Webhook,
            ["api", "version"] if get => Route::Version,
            ["api", "v1", "session", "userinfo"] if get => Route::UserInfo,
            ["api", "v1", "stream", "applications"] if get => Route::Watch,
            ["api", "v1", "account", "can-i", "applications", action, project, ..] if get => {
                Route::CanI(action, project)
            }
            ["api", "v1", "applications"] if get => Route::List,
            ["api", "v1", "applications", name] if get => Route::Get(name),
            ["api", "v1", "applications", name, "resource-tree"] if get => Route::Tree(name),
            ["api", "v1", "applications", name, "syncwindows"] if get => Route::Windows(name),
            ["api", "v1", "applications", name, "sync"] if request.method == http::Method::POST => Route::Sync(name),
            ["api", "v1", "applications", name, "operation"] if request.method == http::Method::DELETE => {
                Route::Terminate(name)
            }
            _ => Route::Unknown,
        }
    }
}

enum Route<'a> {
    Webhook,
    Version,
    UserInfo,
    Watch,
    List,
    Get(&'a str),
    Tree(&'a str),
    CanI(&'a str, &'a str),
    Windows(&'a str),
    Sync(&'a str),
    Terminate(&'a str),
    Unknown,
}

impl StandIn for ArgoCd {
    fn name_of(&self, request: &Request) -> String {
        let name = match self.route(request) {
            Route::Webhook => "webhook",
            Route::Get(_) if request.query().contains_key("refresh") => "refresh",
            Route::Get(_) => "get",
            Route::List => "list",
            Route::Tree(_) => "tree",
            Route::CanI(..) => "can_i",
            Route::Sync(_) => "sync",
            Route::Watch => "stream",
            Route::Terminate(_) => "terminate",
            Route::Windows(_) => "windows",
            Route::Version => "version",
            Route::UserInfo => "userinfo",
            Route::Unknown => "unexpected",
        };
        format!("argocd.{name}")
    }

    fn answer(&mut self, now: Millis, request: &Request) -> Answer {
        self.catch_up(now);
        let route = self.route(request);
        if matches!(route, Route::Webhook) {
            return Answer::Whole(self.webhook(now, request));
        }
        let sync = if let Route::Sync(name) = route { Some(name.to_owned()) } else { None };
        if let Some(takes) = sync.as_deref().and_then(|name| self.resolving_takes(name, request)) {
            let id = self.fresh_id();
            let name = sync.unwrap_or_default();
            self.resolving.insert(id, (now + takes, name, request.clone()));
            return Answer::Later(id);
        }
        let media_type = request.header("content-type");
        let answer = if request.method != http::Method::GET && !media_type.eq_ignore_ascii_case("application/json") {
            Answer::Whole(Response::text(415, "Invalid content type\n"))
        } else {
            let unary = |result: Result<Value, Refused>| {
                Answer::Whole(result.map_or_else(Refused::response, |body| Response::json(200, &body)))
            };
            match route {
                Route::Version => unary(Ok(self.version_info(request))),
                Route::UserInfo => unary(Ok(self.user_info(request))),
                Route::Watch => self.watch(now, request),
                Route::List => unary(self.list(request)),
                Route::Get(name) => match self.get(now, name, request) {
                    Ok(answer) => answer,
                    Err(refused) => Answer::Whole(refused.response()),
                },
                Route::Windows(name) => unary(self.sync_windows(name, request)),
                Route::Tree(name) => unary(self.tree(name, request)),
                Route::CanI(action, project) => unary(self.can_i(action, project, request)),
                Route::Sync(name) => unary(self.sync(now, name, request)),
                Route::Terminate(name) => unary(self.terminate_operation(now, name, request)),
                Route::Webhook | Route::Unknown => Answer::Whole(Response::text(404, "Not Found\n")),
            }
        };
        if let (Some(app), Answer::Whole(response)) = (sync, &answer) {
            self.note(now, app, request, response.status);
        }
        answer
    }

    fn saw(&mut self, now: Millis, request: &Request, status: u16) {
        match self.route(request) {
            Route::Sync(name) => {
                let app = name.to_owned();
                self.note(now, app, request, status);
            }
            Route::Webhook => {
                let (headers, body) = (request.headers.clone(), request.body.clone());
                self.received.push(WebhookReceived { at: now, headers, body, status });
            }
            _ => {}
        }
    }

    fn tick(&mut self, now: Millis) {
        self.catch_up(now);
        let mut newest: BTreeMap<&str, (usize, Millis)> = BTreeMap::new();
        for stream in self.open.values().filter(|stream| !stream.ended) {
            let (count, opened) = newest.entry(&stream.name).or_default();
            (*count, *opened) = (*count + 1, (*opened).max(stream.opened));
        }
        let twice = newest.values().filter(|(count, _)| *count > 1).map(|(_, opened)| now.saturating_sub(*opened));
        self.watched_twice = self.watched_twice.max(twice.max().unwrap_or_default());
    }

    fn stream(&mut self, now: Millis, id: StreamId) -> Option<Vec<u8>> {
        self.catch_up(now);
        let cut = self.cut_streams_after;
        let stream = self.open.get_mut(&id)?;
        stream.ended |= cut.is_some_and(|after| now >= stream.opened + after);
        let bytes = stream.take(now);
        if bytes.is_none() {
            self.open.remove(&id);
        }
        bytes
    }

    fn stream_closed(&mut self, id: StreamId) {
        self.open.remove(&id);
        self.blocked.remove(&id);
        // What is not resolved yet is given up with the request: no operation comes of it.
        if let Some((at, name, request)) = self.resolving.remove(&id) {
            self.note(at, name, &request, 499);
        }
    }

    fn waiting(&mut self, now: Millis, id: StreamId) -> Option<Response> {
        self.catch_up(now);
        if self.resolving.get(&id).is_some_and(|(at, ..)| *at <= now) {
            let (_, name, request) = self.resolving.remove(&id)?;
            let answer = self.sync(now, &name, &request);
            let response = answer.map_or_else(Refused::response, |body| Response::json(200, &body));
            self.note(now, name, &request, response.status);
            return Some(response);
        }
        let (key, version) = self.blocked.get(&id)?;
        let app = self.apps.get(key).filter(|app| app.now.version > *version && !app.now.refresh)?;
        let response = Response::json(200, &app.json());
        self.blocked.remove(&id);
        Some(response)
    }
}

/// What the cache has of an application now, and then what is on its way there.
fn begin_with(stream: &mut Stream, now: Millis, app: &App, streams: Streams) {
    let there = app.now.cached.iter().rposition(|(at, _)| *at <= now).unwrap_or_default();
    let mut cached = app.now.cached.iter().skip(there);
    if let Some((_, application)) = cached.next() {
        stream.push(now, &app.name, "ADDED", application);
    }
    if streams == Streams::Normal {
        cached.for_each(|(at, application)| stream.push(*at, &app.name, "MODIFIED", application));
    }
}

fn shows(stream: &Stream, app: &App) -> bool {
    let named = stream.name.is_empty() || (stream.name == app.name && stream.namespace == app.namespace);
    let project = stream.projects.is_empty() || stream.projects.contains(&app.project);
    named && project && app.now.version >= stream.min_version
}

const BAD_SCHEDULE: &str = "cannot parse schedule '0 22 * *': expected exactly 5 fields, found 4: [0 22 * *]";

/// A gRPC status: code and message.
#[derive(Debug)]
struct Refused(u32, String);

impl Refused {
    fn response(self) -> Response {
        let Self(code, message) = self;
        let status = match code {
            3 | 9 | 11 => 400,
            5 => 404,
            7 => 403,
            16 => 401,
            14 => 503,
            _ => 500,
        };
        Response::json(status, &json!({"error": message, "code": code, "message": message}))
    }
}

/// The body of a sync: unknown fields are ignored, wrong types are not.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SyncRequest {
    revision: Option<String>,
    prune: Option<bool>,
    dry_run: Option<bool>,
    strategy: Option<Value>,
    resources: Option<Value>,
    sync_options: Option<Value>,
    retry_strategy: Option<RetryStrategy>,
    infos: Option<Vec<Info>>,
    source_positions: Option<Vec<i64>>,
    revisions: Option<Vec<String>>,
    app_namespace: Option<String>,
    project: Option<String>,
}

#[derive(Deserialize, serde::Serialize)]
struct Info {
    #[serde(default)]
    name: String,
    #[serde(default)]
    value: String,
}

#[derive(Deserialize, serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct RetryStrategy {
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backoff: Option<Backoff>,
}

#[derive(Deserialize, serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Backoff {
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    factor: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_duration: Option<String>,
}

#[cfg(test)]
mod tests;
