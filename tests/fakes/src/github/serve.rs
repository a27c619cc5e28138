//! The HTTP side: who may ask, how often, and the few REST calls. GraphQL itself is next door.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::{Access, GitHub, Rate, blob_sha, encode_base64, git, graphql, schema, webhook};
use crate::{Answer, Millis, Outgoing, Request, Response, StandIn};

enum Route<'a> {
    GraphQl,
    User,
    Contents(String, String),
    Blob(String, &'a str),
    Compare(String, String),
    Deployments(String),
    Deployment(String),
    DeploymentStatus(String, &'a str),
    Unknown,
}

fn route(request: &Request) -> Route<'_> {
    let path = request.path();
    if matches!(path, "/graphql" | "/api/graphql") {
        return if request.method == http::Method::POST { Route::GraphQl } else { Route::Unknown };
    }
    let path = path.strip_prefix("/api/v3").unwrap_or(path);
    let parts: Vec<_> = path.split('/').skip(1).collect();
    match (request.method.as_str(), &parts[..]) {
        ("GET", ["user"]) => Route::User,
        ("GET", ["repos", owner, name, "contents", path @ ..]) => {
            let path = percent_decode_str(&path.join("/")).decode_utf8_lossy().into_owned();
            Route::Contents(format!("{owner}/{name}").to_lowercase(), path)
        }
        ("GET", ["repos", owner, name, "git", "blobs", sha]) => {
            Route::Blob(format!("{owner}/{name}").to_lowercase(), sha)
        }
        ("GET", ["repos", owner, name, "compare", basehead @ ..]) => {
            let basehead = percent_decode_str(&basehead.join("/")).decode_utf8_lossy().into_owned();
            Route::Compare(format!("{owner}/{name}").to_lowercase(), basehead)
        }
        ("GET", ["repos", owner, name, "deployments"]) => Route::Deployments(format!("{owner}/{name}").to_lowercase()),
        ("POST", ["repos", owner, name, "deployments"]) => Route::Deployment(format!("{owner}/{name}").to_lowercase()),
        ("POST", ["repos", owner, name, "deployments", id, "statuses"]) => {
            Route::DeploymentStatus(format!("{owner}/{name}").to_lowercase(), id)
        }
        _ => Route::Unknown,
    }
}

pub(super) fn message(status: u16, message: &str) -> Response {
    let docs = "https://docs.github.com/rest";
    Response::json(status, &json!({ "message": message, "documentation_url": docs, "status": status.to_string() }))
}

impl StandIn for GitHub {
    fn name_of(&self, request: &Request) -> String {
        let name = match route(request) {
            Route::GraphQl => {
                let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
                let is_commit =
                    graphql::has_mutation(body["query"].as_str().unwrap_or_default(), "createCommitOnBranch");
                if is_commit { "github.commit" } else { "github.query" }
            }
            Route::User | Route::Contents(..) | Route::Blob(..) => "github.rest",
            Route::Compare(..) => "github.compare",
            Route::Deployments(_) => "github.deployments",
            Route::Deployment(_) => "github.deployment",
            Route::DeploymentStatus(..) => "github.deployment_status",
            Route::Unknown => "github.unexpected",
        };
        name.to_owned()
    }

    fn answer(&mut self, now: Millis, request: &Request) -> Answer {
        self.now = self.now.max(now);
        let name = self.name_of(request);
        let is_commit = name == "github.commit";
        *self.calls.entry(name).or_default() += 1;
        Answer::Whole(self.respond(request, is_commit).with("x-github-request-id", "E2E0:1:2:3:4"))
    }

    fn tick(&mut self, now: Millis) {
        self.now = self.now.max(now);
    }

    fn take_outgoing(&mut self) -> Vec<Outgoing> {
        std::mem::take(&mut self.outgoing)
    }
}

impl GitHub {
    fn respond(&mut self, request: &Request, is_commit: bool) -> Response {
        if request.header("user-agent").trim().is_empty() {
            let text = "Request forbidden by administrative rules. Please make sure your request has a User-Agent header \
                        (https://docs.github.com/en/rest/overview/resources-in-the-rest-api#user-agent-required). \
                        Check https://developer.github.com for other possible causes.\n";
            return Response::text(403, text);
        }
        let is_ours = request.header("authorization").split_once(' ').is_some_and(|(scheme, token)| {
            (scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token")) && token == self.token
        });
        if !is_ours {
            return message(401, "Bad credentials");
        }
        let route = route(request);
        let is_graphql = matches!(route, Route::GraphQl);
        if self.now >= self.rate.resets_at {
            self.rate.used = 0;
            self.rate.resets_at = self.now + 3_600_000;
        }
        let response = if self.rate.used >= self.rate.limit {
            let text = format!("API rate limit exceeded for user ID {}.", git::account_id(&self.bot_login));
            let errors = json!({ "errors": [{ "type": "RATE_LIMITED", "message": text }] });
            if is_graphql { Response::json(200, &errors) } else { message(403, &text) }
        } else {
            self.rate.used += 1;
            match route {
                Route::GraphQl => self.graphql(request, is_commit),
                Route::User => Response::json(200, &webhook::account(&self.bot_login, &self.web)),
                Route::Contents(key, path) => self.contents(request, &key, &path),
                Route::Blob(key, sha) => self.blob(request, &key, sha),
                Route::Compare(key, basehead) => self.compare(request, &key, &basehead),
                Route::Deployments(key) => self.list_deployments(request, &key),
                Route::Deployment(key) => self.create_deployment(request, &key),
                Route::DeploymentStatus(key, id) => self.create_deployment_status(request, &key, id),
                Route::Unknown => message(404, "Not Found"),
            }
        };
        let Rate { limit, used, resets_at } = self.rate;
        response
            .with("x-ratelimit-limit", &limit.to_string())
            .with("x-ratelimit-remaining", &limit.saturating_sub(used).to_string())
            .with("x-ratelimit-used", &used.to_string())
            .with("x-ratelimit-reset", &(resets_at / 1000).to_string())
            .with("x-ratelimit-resource", if is_graphql { "graphql" } else { "core" })
    }

    fn graphql(&mut self, request: &Request, is_commit: bool) -> Response {
        let Ok(body) = serde_json::from_slice::<Value>(&request.body) else {
            return message(400, "Problems parsing JSON");
        };
        if !body["query"].is_string() {
            return message(400, "A query attribute must be specified and must be a string.");
        }
        if is_commit && let Some(refused) = self.secondary_limit() {
            return refused;
        }
        let answer = graphql::execute(&schema::SCHEMA, &body, self, &schema::Node::Query, &schema::Node::Mutation);
        Response::json(200, &answer)
    }

    /// Content may be created this many times a minute and this many times an hour; failed calls count, too.
    pub(super) fn secondary_limit(&mut self) -> Option<Response> {
        let (now, minute) = (self.now, self.minute);
        let hour = 60 * minute;
        self.writes.retain(|at| now < at + hour);
        // How long until the oldest write that counts is out of its window.
        let wait = |limit: usize, window: Millis| {
            let oldest = self.writes.len().checked_sub(limit).and_then(|n| self.writes.get(n)).map(|at| at + window);
            if limit == 0 { window } else { oldest.unwrap_or(now).saturating_sub(now) }
        };
        let wait = wait(self.writes_per_minute, minute).max(wait(self.writes_per_hour, hour));
        if wait == 0 {
            self.writes.push_back(now);
            return None;
        }
        self.limited += 1;
        let text = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again. \
                    If you reach out to GitHub Support for help, please include the request ID E2E0:1:2:3:4.";
        Some(message(403, text).with("retry-after", &wait.div_ceil(1000).to_string()))
    }

    fn contents(&self, request: &Request, key: &str, path: &str) -> Response {
        let found = self.repositories.get(key).filter(|repository| repository.access != Access::None);
        let Some(repository) = found else { return message(404, "Not Found") };
        let query = request.query();
        let wanted = query.get("ref").map(String::as_str).unwrap_or_default();
        let Some(sha) = repository.revision(wanted) else {
            return message(404, &format!("No commit found for the ref {wanted}"));
        };
        let commit = &repository.objects.commits[&sha];
        let describe = |path: &str, kind: &str, sha: &str, size: usize| {
            let page = repository.url(&self.web);
            json!({
                "name": path.rsplit('/').next(), "path": path, "sha": sha, "size": size, "type": kind,
                "html_url": format!("{page}/{}/{wanted}/{path}", if kind == "dir" { "tree" } else { "blob" }),
            })
        };
        if let Some(git::File { bytes, .. }) = commit.files.get(path) {
            if wants_raw(request) {
                return raw(bytes);
            }
            let mut file = describe(path, "file", &blob_sha(bytes), bytes.len());
            // From 1 MB on only the raw form has the bytes.
            let is_small = bytes.len() < 1024 * 1024;
            file["encoding"] = json!(if is_small { "base64" } else { "none" });
            file["content"] = json!(if is_small { wrapped(bytes) } else { String::new() });
            return Response::json(200, &file);
        }
        let inner = schema::inside(commit, path);
        if inner.is_empty() {
            return message(404, "Not Found");
        }
        let mut entries = BTreeMap::new();
        for (name, git::File { bytes, .. }) in &inner {
            let whole = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
            let (name, entry) = match name.split_once('/') {
                None => (name.as_str(), describe(&whole(name), "file", &blob_sha(bytes), bytes.len())),
                Some((name, _)) => {
                    let sha = git::tree_sha(&schema::inside(commit, &whole(name)));
                    (name, describe(&whole(name), "dir", &sha, 0))
                }
            };
            entries.insert(name.to_owned(), entry);
        }
        Response::json(200, &entries.into_values().collect())
    }

    fn blob(&self, request: &Request, key: &str, sha: &str) -> Response {
        if sha.len() != 40 || !sha.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return message(422, "The sha parameter must be exactly 40 characters and contain only [0-9a-f].");
        }
        let found = self.repositories.get(key).filter(|repository| repository.access != Access::None);
        match found.and_then(|repository| repository.objects.blobs.get(sha)) {
            None => message(404, "Not Found"),
            Some(bytes) if wants_raw(request) => raw(bytes),
            Some(bytes) => {
                let blob = json!({ "sha": sha, "size": bytes.len(), "content": wrapped(bytes), "encoding": "base64" });
                Response::json(200, &blob)
            }
        }
    }
}

fn wants_raw(request: &Request) -> bool {
    let is_raw =
        |kind: &str| kind.starts_with("application/vnd.github.") && kind.trim_end_matches("+json").ends_with("raw");
    request.header("accept").split(',').any(|kind| is_raw(kind.split(';').next().unwrap_or_default().trim()))
}

fn raw(bytes: &[u8]) -> Response {
    let headers = vec![("content-type".to_owned(), "application/vnd.github.raw+json; charset=utf-8".to_owned())];
    Response { status: 200, headers, body: bytes.to_vec() }
}

/// Base64 as the REST API wraps it: a line break after every 60 characters, and at the end.
fn wrapped(bytes: &[u8]) -> String {
    let encoded = encode_base64(bytes);
    let lines = encoded.as_bytes().chunks(60).map(|line| String::from_utf8_lossy(line).into_owned() + "\n");
    lines.collect()
}
