//! Push webhooks as GitHub sends them: the payload, the headers, both signatures over the exact bytes.
//! GitHub never redelivers by itself; a redelivery by hand repeats the same delivery number.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha1::Sha1;
use sha2::Sha256;

use super::git::{self, Commit, Person};
use super::{GitHub, Repository};
use crate::{Millis, Outgoing};

const NO_COMMIT: &str = "0000000000000000000000000000000000000000";

/// A larger event is never sent.
const LARGEST_PAYLOAD: usize = 25 * 1024 * 1024;

/// A repository's webhook, and what happens to its deliveries.
#[derive(Clone)]
pub struct Webhook {
    /// What both signatures are made with.
    pub secret: String,
    /// Where it is sent.
    pub path: String,
    /// How long after the push it is sent. With none, it overtakes the mutation's answer as soon as that is slow
    /// (`Fault::Slow` on `github.commit`).
    pub delay: Duration,
    /// How many deliveries from now on are never sent; they stay in [`GitHub::deliveries`] and can be
    /// redelivered.
    pub lost: u32,
    /// How many more times each delivery is sent.
    pub duplicates: u32,
}

impl Webhook {
    /// A webhook at `/github/webhook` that works.
    pub fn new(secret: &str) -> Self {
        let path = "/github/webhook".to_owned();
        Self { secret: secret.to_owned(), path, delay: Duration::ZERO, lost: 0, duplicates: 0 }
    }
}

/// One delivery, as GitHub's own list shows it.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// `X-GitHub-Delivery`.
    pub guid: String,
    /// `owner/name`.
    pub repo: String,
    /// Where it goes.
    pub path: String,
    /// Every header.
    pub headers: Vec<(String, String)>,
    /// The signed bytes.
    pub body: Vec<u8>,
}

impl Delivery {
    fn outgoing(&self, at: Millis) -> Outgoing {
        Outgoing { at, path: self.path.clone(), headers: self.headers.clone(), body: self.body.clone() }
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// All of GitHub's headers for a delivery. Public, because a test forges deliveries too.
pub fn webhook_headers(secret: &str, event: &str, guid: &str, body: &[u8]) -> Vec<(String, String)> {
    let mut sha1 = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("a key of any length");
    sha1.update(body);
    let mut sha256 = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key of any length");
    sha256.update(body);
    [
        ("accept", "*/*".to_owned()),
        ("content-type", "application/json".to_owned()),
        ("user-agent", "GitHub-Hookshot/044aadd".to_owned()),
        ("x-github-delivery", guid.to_owned()),
        ("x-github-event", event.to_owned()),
        ("x-github-hook-id", "292430182".to_owned()),
        ("x-github-hook-installation-target-id", "79929171".to_owned()),
        ("x-github-hook-installation-target-type", "repository".to_owned()),
        ("x-hub-signature", format!("sha1={}", git::hex(&sha1.finalize().into_bytes()))),
        ("x-hub-signature-256", format!("sha256={}", git::hex(&sha256.finalize().into_bytes()))),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

impl GitHub {
    /// Sends a push of a branch to the repository's webhook, if it has one.
    pub(super) fn deliver_push(
        &mut self,
        key: &str,
        branch: &str,
        before: Option<&str>,
        after: Option<&str>,
        pusher: &str,
    ) {
        let now = self.clock();
        let repository = &self.repositories[key];
        if repository.webhook.is_none() {
            return;
        }
        let payload = push_payload(repository, &self.web, branch, before, after, pusher, now);
        self.deliver(key, "push", &payload);
    }

    /// Sends the `ping` that a new webhook begins with.
    pub fn ping(&mut self, repo: &str) {
        let payload = json!({ "zen": "Keep it logically awesome.", "hook_id": 292_430_182, "hook": { "type": "Repository", "events": ["push"] } });
        self.deliver(&repo.to_lowercase(), "ping", &payload);
    }

    fn deliver(&mut self, key: &str, event: &str, payload: &Value) {
        let now = self.clock();
        let number = self.deliveries.len() as u64 + 1;
        let repository = self.known_mut(key);
        let repo = repository.full_name.clone();
        let Some(webhook) = repository.webhook.as_mut() else { panic!("{repo} has no webhook") };
        let body = payload.to_string().into_bytes();
        if body.len() > LARGEST_PAYLOAD {
            return;
        }
        let guid = format!("{:08x}-cc78-11e3-81ab-{number:012x}", git::account_id(&repo));
        let headers = webhook_headers(&webhook.secret, event, &guid, &body);
        let delivery = Delivery { guid, repo, path: webhook.path.clone(), headers, body };
        let at = now + webhook.delay.as_millis() as Millis;
        let times = match webhook.lost {
            0 => 1 + webhook.duplicates,
            _ => {
                webhook.lost -= 1;
                0
            }
        };
        for _ in 0..times {
            self.outgoing.push(delivery.outgoing(at));
        }
        self.deliveries.push(delivery);
    }

    /// Every delivery so far, the lost ones too.
    pub fn deliveries(&self) -> &[Delivery] {
        &self.deliveries
    }

    /// Sends a delivery again, unchanged.
    pub fn redeliver(&mut self, guid: &str) {
        self.redeliver_after(guid, Duration::ZERO);
    }

    /// The same, so long from now.
    pub fn redeliver_after(&mut self, guid: &str, time: Duration) {
        let at = self.clock() + time.as_millis() as Millis;
        let delivery = self.deliveries.iter().find(|delivery| delivery.guid == guid);
        let outgoing = delivery.unwrap_or_else(|| panic!("no delivery {guid}")).outgoing(at);
        self.outgoing.push(outgoing);
    }
}

fn push_payload(
    repository: &Repository,
    web: &str,
    branch: &str,
    before: Option<&str>,
    after: Option<&str>,
    pusher: &str,
    pushed_at: Millis,
) -> Value {
    let url = repository.url(web);
    let objects = &repository.objects;
    let elsewhere = |except: &str| {
        let others = repository.branches.iter().filter(|(name, _)| *name != except);
        others.flat_map(|(_, sha)| objects.ancestors(sha)).collect::<std::collections::BTreeSet<_>>()
    };
    let others = elsewhere(branch);
    let old = match before {
        Some(before) => objects.ancestors(before),
        None => others.clone(),
    };
    let commit = |commit: &Commit| {
        let person = |person: &Person| {
            let mut text = json!({ "name": person.name, "email": person.email });
            if let Some(login) = person.login() {
                text["username"] = json!(login);
            }
            text
        };
        json!({
            "id": commit.sha, "tree_id": commit.tree, "distinct": !others.contains(&commit.sha), "message": commit.message,
            "timestamp": git::rfc3339(commit.at), "url": format!("{url}/commit/{}", commit.sha),
            "author": person(&commit.author), "committer": person(&commit.committer),
            "added": commit.added, "removed": commit.removed, "modified": commit.modified,
        })
    };
    let mut pushed: Vec<_> = after.map(|after| objects.log(after)).unwrap_or_default();
    pushed.retain(|commit| !old.contains(&commit.sha));
    pushed.truncate(2048);
    pushed.reverse();
    let head = after.map(|after| &objects.commits[after]);
    let is_forced =
        matches!((before, after), (Some(before), Some(after)) if !objects.ancestors(after).contains(before));
    let short = |sha: Option<&str>| sha.unwrap_or(NO_COMMIT)[..12].to_owned();
    let compare = match before {
        None => format!("{url}/compare/{branch}"),
        Some(_) => format!("{url}/compare/{}...{}", short(before), short(after)),
    };
    json!({
        "ref": format!("refs/heads/{branch}"), "before": before.unwrap_or(NO_COMMIT), "after": after.unwrap_or(NO_COMMIT),
        "created": before.is_none(), "deleted": after.is_none(), "forced": is_forced, "base_ref": null, "compare": compare,
        "commits": pushed.into_iter().map(commit).collect::<Vec<_>>(), "head_commit": head.map(commit),
        "repository": repository_payload(repository, web, pushed_at),
        "pusher": { "name": pusher, "email": Person::account(pusher).email },
        "organization": {
            "login": repository.owner(), "id": git::account_id(repository.owner()), "node_id": node_id("O", repository.owner()),
            "url": format!("https://api.github.com/orgs/{}", repository.owner()), "description": "",
        },
        "sender": account(pusher, web),
    })
}

fn node_id(kind: &str, name: &str) -> String {
    format!("{kind}_kgDO{}", super::encode_base64(&git::account_id(name).to_be_bytes()[4..]).trim_end_matches('='))
}

/// An account as the REST API and webhooks show it.
pub(super) fn account(login: &str, web: &str) -> Value {
    let (kind, page) = match login.strip_suffix("[bot]") {
        Some(slug) => ("Bot", format!("{web}/apps/{slug}")),
        None => ("User", format!("{web}/{login}")),
    };
    let api = format!("https://api.github.com/users/{}", login.replace('[', "%5B").replace(']', "%5D"));
    json!({
        "login": login, "id": git::account_id(login), "node_id": node_id("U", login), "avatar_url": format!("{web}/{login}.png"),
        "gravatar_id": "", "url": api, "html_url": page, "repos_url": format!("{api}/repos"),
        "type": kind, "user_view_type": "public", "site_admin": false,
    })
}

fn repository_payload(repository: &Repository, web: &str, pushed_at: Millis) -> Value {
    let url = repository.url(web);
    let (owner, full_name) = (repository.owner(), &repository.full_name);
    let mut owner = account(owner, web);
    owner["type"] = json!("Organization");
    owner["name"] = owner["login"].clone();
    owner["email"] = Value::Null;
    let api = format!("https://api.github.com/repos/{full_name}");
    let mut payload = json!({
        "id": repository.id(), "node_id": node_id("R", full_name), "name": repository.name(), "full_name": full_name, "private": true,
        "owner": owner, "html_url": url, "description": null, "fork": false, "visibility": "private", "language": null, "license": null,
        // Only in push events is this the web page, not the API.
        "url": url,
        // And only there are these two numbers; the third is text.
        "created_at": 1_557_933_565, "pushed_at": pushed_at / 1000, "updated_at": git::rfc3339(pushed_at),
        "archived": false, "disabled": false, "topics": [], "custom_properties": {},
        "size": 42, "stargazers": 0, "open_issues": 0, "watchers": 0, "forks": 0,
        "default_branch": repository.default_branch, "master_branch": repository.default_branch, "organization": repository.owner(),
    });
    let more = [
        ("commits_url", format!("{api}/commits{{/sha}}")),
        ("contents_url", format!("{api}/contents/{{+path}}")),
        ("compare_url", format!("{api}/compare/{{base}}...{{head}}")),
        ("hooks_url", format!("{api}/hooks")),
        ("git_url", format!("git://{}/{full_name}.git", host(web))),
        ("ssh_url", format!("git@{}:{full_name}.git", host(web))),
        ("clone_url", format!("{url}.git")),
        ("svn_url", url),
    ];
    for (name, value) in more {
        payload[name] = json!(value);
    }
    payload
}

fn host(web: &str) -> &str {
    web.rsplit("//").next().unwrap_or(web)
}
