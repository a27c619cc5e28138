//! An open watch: `fields=` projection, suppression of events that look the same, keep-alives.
//!
//! The projection has a quirk that is copied here: a key is kept when its path is a mere *text* prefix of a wanted
//! one, so asking for `result.application.operationX` shows an emptied `result.application.operation`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Value, json};

use crate::{Millis, Request};

/// What a client asked to see.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) projects: Vec<String>,
    pub(super) min_version: u64,
    pub(super) opened: Millis,
    pub(super) ended: bool,
    fields: Fields,
    server_sent_events: bool,
    keep_alive: Millis,
    kept_alive: Millis,
    last: BTreeMap<String, String>,
    /// Events that the cache does not have yet: from when on, the application's name, the event.
    coming: VecDeque<(Millis, String, Value)>,
    pending: Vec<u8>,
}

impl Stream {
    pub(super) fn open(now: Millis, request: &Request, namespace: String, keep_alive: Millis) -> Self {
        let query = request.query();
        let text = |name: &str| query.get(name).cloned().unwrap_or_default();
        let projects = [text("project"), text("projects")].into_iter().filter(|project| !project.is_empty()).collect();
        Self {
            name: text("name"),
            namespace,
            projects,
            min_version: text("resourceVersion").parse().unwrap_or(0),
            opened: now,
            ended: false,
            fields: Fields::parse(&text("fields")),
            server_sent_events: request.header("accept") == "text/event-stream",
            keep_alive,
            kept_alive: now,
            coming: VecDeque::new(),
            last: BTreeMap::new(),
            pending: Vec::new(),
        }
    }

    pub(super) fn content_type(&self) -> &'static str {
        if self.server_sent_events { "text/event-stream" } else { "application/json" }
    }

    /// One event of an application, from that moment on, unless it looks like the last one then.
    pub(super) fn push(&mut self, at: Millis, name: &str, kind: &str, application: &Value) {
        let mut event = json!({"result": {"type": kind, "application": application}});
        self.fields.project("", &mut event);
        self.coming.push_back((at, name.to_owned(), event));
    }

    fn come(&mut self, now: Millis) {
        while let Some((_, name, event)) = self.coming.pop_front_if(|(at, ..)| *at <= now) {
            let text = event.to_string();
            if self.last.get(&name) != Some(&text) {
                self.write(&text);
                self.last.insert(name, text);
            }
        }
    }

    /// The last line of a stream that breaks.
    pub(super) fn fail(&mut self, grpc_code: u32, http_code: u16, message: &str, http_status: &str) {
        let error = error_chunk(grpc_code, http_code, message, http_status);
        self.write(&error.to_string());
        self.ended = true;
    }

    fn write(&mut self, text: &str) {
        let line = if self.server_sent_events { format!("data: {text} \n\n\n") } else { format!("{text}\n") };
        self.pending.extend_from_slice(line.as_bytes());
    }

    /// What there is to send now; `None` when there is no more and never will be.
    pub(super) fn take(&mut self, now: Millis) -> Option<Vec<u8>> {
        self.come(now);
        while self.server_sent_events && now >= self.kept_alive + self.keep_alive {
            self.kept_alive += self.keep_alive;
            self.pending.extend_from_slice(b":\n");
        }
        let bytes = std::mem::take(&mut self.pending);
        (!bytes.is_empty() || !self.ended).then_some(bytes)
    }
}

/// How a stream that never started, or that breaks, says why.
pub(super) fn error_chunk(grpc_code: u32, http_code: u16, message: &str, http_status: &str) -> Value {
    json!({"error": {"grpc_code": grpc_code, "http_code": http_code, "message": message, "http_status": http_status}})
}

#[derive(Clone, Debug, Default)]
struct Fields {
    names: BTreeSet<String>,
    exclude: bool,
}

impl Fields {
    fn parse(text: &str) -> Self {
        let (exclude, list) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let names = if text.is_empty() { BTreeSet::new() } else { list.split(',').map(str::to_owned).collect() };
        Self { names, exclude }
    }

    fn project(&self, path: &str, value: &mut Value) {
        if self.names.is_empty() {
            return;
        }
        match value {
            Value::Object(object) => object.retain(|key, inner| {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                let named = self.names.contains(&path);
                let keep =
                    if self.exclude { !named } else { named || self.names.iter().any(|name| name.starts_with(&path)) };
                if keep && !named {
                    self.project(&path, inner);
                }
                keep
            }),
            Value::Array(items) => items.iter_mut().for_each(|item| self.project(path, item)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(fields: &str, expected: Value) {
        let mut value = json!({"result": {"type": "ADDED", "application": {
            "metadata": {"name": "a"},
            "status": {"sync": {"status": "Synced", "revision": "r"}, "resources": [{"kind": "Pod", "name": "p"}]},
        }}});
        Fields::parse(fields).project("", &mut value);
        assert_eq!(value, expected, "{fields}");
    }

    #[test]
    fn projects_like_argo_cd() {
        check(
            "result.type,result.application.metadata",
            json!({"result": {"type": "ADDED", "application": {"metadata": {"name": "a"}}}}),
        );
        check(
            "result.application.status.resources.kind",
            json!({"result": {"application": {"status": {"resources": [{"kind": "Pod"}]}}}}),
        );
        check(
            "-result.application.metadata,result.application.status.resources,result.type",
            json!({"result": {"application": {"status": {"sync": {"status": "Synced", "revision": "r"}}}}}),
        );
        // A field without the prefix matches nothing.
        check("metadata.name", json!({}));
    }
}
