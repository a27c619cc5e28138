//! What the tests of this client share.

use super::GitHub;
use crate::http::script::response;
use crate::http::{Request, Response};
use domain::names::{BranchName, CommitSha, FilePath, RepoName, Secret, UrlOrigin};
use domain::values::blob_sha;
use serde_json::{Value, json};

pub(crate) fn gh() -> GitHub {
    GitHub { url: UrlOrigin::parse("https://api.github.com").unwrap(), token: Secret::new("ghs_secret") }
}

pub(crate) fn ok(body: &Value) -> Response {
    response(200, body.to_string())
}

pub(crate) fn sha(digit: &str) -> CommitSha {
    CommitSha::parse(&digit.repeat(40)).unwrap()
}

pub(crate) fn repo(name: &str) -> RepoName {
    RepoName::parse(name).unwrap()
}

pub(crate) fn branch(name: &str) -> BranchName {
    BranchName::parse(name).unwrap()
}

pub(crate) fn path(text: &str) -> FilePath {
    FilePath::parse(text).unwrap()
}

pub(crate) fn blob(text: &str) -> Value {
    let oid = blob_sha(text.as_bytes());
    let object = json!({ "oid": oid, "text": text, "isBinary": false, "isTruncated": false, "byteSize": text.len() });
    json!({ "mode": 33188, "object": object })
}

pub(crate) fn error(kind: &str, path: &[&str], message: &str) -> Value {
    json!({ "type": kind, "path": path, "locations": [{ "line": 1, "column": 2 }], "message": message })
}

pub(crate) fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

/// The request as people read it: method, address, headers, then the query and its variables.
pub(crate) fn show(request: &Request) -> String {
    let mut headers: Vec<_> =
        request.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    headers.sort();
    let (line, headers) = (format!("{} {}", request.method, request.url), headers.join("\n"));
    if request.body.is_empty() {
        return format!("{line}\n{headers}");
    }
    let body = body(request);
    let (query, variables) = (body["query"].as_str().unwrap(), &body["variables"]);
    format!("{line}\n{headers}\n\n{query}\n\n{}", serde_json::to_string_pretty(variables).unwrap())
}

/// Every answer that differs from a good one by one value that is gone or of another kind, and every one
/// cut short.
pub(crate) fn hostile(good: &Value, mut read: impl FnMut(Response)) {
    fn places(value: &Value, here: String, all: &mut Vec<String>) {
        match value {
            Value::Object(map) => map.iter().for_each(|(key, value)| places(value, format!("{here}/{key}"), all)),
            Value::Array(list) => {
                list.iter().enumerate().for_each(|(n, value)| places(value, format!("{here}/{n}"), all))
            }
            _ => {}
        }
        all.push(here);
    }
    let mut all = Vec::new();
    places(good, String::new(), &mut all);
    let strange = ["null", "true", "-1", "1e300", "\"\"", "\"\\u0000<!channel>\"", "[]", "[null]", "{}", "[[{}]]"];
    for place in &all {
        for value in strange {
            let mut bad = good.clone();
            *bad.pointer_mut(place).unwrap() = serde_json::from_str(value).unwrap();
            read(ok(&bad));
        }
        let mut bad = good.clone();
        if let Some((parent, key)) = place.rsplit_once('/')
            && let Some(parent) = bad.pointer_mut(parent).and_then(Value::as_object_mut)
        {
            parent.remove(key);
            read(ok(&bad));
        }
    }
    let text = good.to_string();
    for length in 0..text.len() {
        read(response(200, &text.as_bytes()[..length]));
    }
    let deep = [vec![b'['; 200_000], br#"{"data":"#.repeat(50_000), vec![0xFF; 10]];
    deep.into_iter().for_each(|bytes| read(response(200, bytes)));
    let huge = "x".repeat(1 << 16);
    read(ok(&json!({ "data": null, "errors": vec![error(&huge, &[&huge], &huge); 3] })));
}
