//! Whole requests at the two doors that face the internet: slack-command's `accept` and github-relay's `relay`.

use crate::corpus;
use crate::parts::{Parts, pieces};
use crate::promise::{HUSH, is_plain_to_slack, keeps_secrets};
use crate::targets::signatures::{SLACK_SECRET, macs, slack_macs};
use crate::world::{NOW, Pieces, World, response};
use bot::accept;
use bot::relay;
use bot::reply::Declined;
use bot::settings::{GithubRelaySettings, Settings, SlackCommandSettings, Variables};
use clients::http::{HeaderName, HeaderValue, Inbound, Method, StatusCode};
use domain::message;
use domain::message::Button;
use domain::names::{CommitSha, DeploymentId};
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::sync::LazyLock;
use store::{CatalogPushed, ManagedFiles, Pushed, Rewritten};

/// The variables of all components, as an operator would set them.
pub(crate) fn variables() -> Variables {
    let set = [
        ("slack_signing_secret", format!("the new signing secret {HUSH}")),
        ("slack_signing_secret_previous", SLACK_SECRET.to_owned()),
        ("slack_bot_token", format!("xoxb-0000000000-{HUSH}")),
        ("slack_url", "https://slack.com".to_owned()),
        ("slack_team_id", String::new()),
        ("github_token", format!("github_pat_0000000000{HUSH}")),
        ("github_url", "https://api.github.com".to_owned()),
        ("github_deployments", "on".to_owned()),
        ("github_webhook_secret", format!("the new webhook secret {HUSH}")),
        ("github_webhook_secret_previous", String::new()),
        ("gitops_repo", "acme/gitops".to_owned()),
        ("gitops_branch", "main".to_owned()),
        ("catalog_path", "deploy-bot.yaml".to_owned()),
        ("catalog_channel", "C0G9QF9GW".to_owned()),
        ("registry_url", String::new()),
        ("registry_token_url", String::new()),
        ("registry2_url", String::new()),
        ("registry3_url", String::new()),
        ("registry4_url", String::new()),
        ("gate_url", "https://gate.acme.example".to_owned()),
        ("gate_key", format!("the gate's key {HUSH}")),
        ("plain_http_hosts", String::new()),
        ("registry_credentials", format!(r#"{{"ghcr.io":{{"username":"bot","password":"{HUSH}"}}}}"#)),
        ("argocd_url", "https://argocd.acme.example".to_owned()),
        ("argocd_root_path", String::new()),
        ("argocd_public_url", String::new()),
        ("argocd_token", format!("eyJhbGciOiJIUzI1NiJ9.{HUSH}")),
        ("argocd_webhook_secret", String::new()),
        ("relay", "own".to_owned()),
        ("redis_url", format!("redis://:{HUSH}@127.0.0.1:6379")),
        ("redis_origin", "redis://127.0.0.1:6379".to_owned()),
    ];
    Variables(BTreeMap::from(set))
}

/// The head of a request: method and path with query in the first line, then headers up to an empty line.
fn head(parts: &mut Parts<'_>) -> Inbound {
    let first = parts.text().into_owned();
    let (method, target) = first.split_once(' ').unwrap_or((&first, "/"));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut inbound = Inbound {
        method: Method::from_bytes(method.as_bytes()).unwrap_or(Method::POST),
        path: path.to_owned(),
        query: query.to_owned(),
        headers: http::HeaderMap::new(),
    };
    loop {
        let line = parts.line();
        if line.is_empty() {
            return inbound;
        }
        let mut halves = line.splitn(2, |byte| *byte == b':');
        let (name, value) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default().trim_ascii());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            let _ = inbound.headers.try_append(name, value);
        }
    }
}

/// The head of a request: a header that is there twice, or that is no text, is not there.
pub fn headers(data: &[u8]) {
    let mut parts = Parts(data);
    let inbound = head(&mut parts);
    for name in inbound.headers.keys() {
        let values: Vec<&HeaderValue> = inbound.headers.get_all(name).iter().collect();
        match inbound.header(name.as_str()) {
            Some(value) => assert_eq!(values, [value.as_bytes()], "{name}"),
            None => assert!(values.len() > 1 || values[0].to_str().is_err(), "{name}"),
        }
    }
    if inbound.content_type_is("application/json") {
        let value = inbound.header("content-type").unwrap_or_default().to_ascii_lowercase();
        assert!(value.trim_start().starts_with("application/json") && !inbound.content_type_is("application/jso"));
    }
    let mut answer = response(429, parts.rest());
    answer.headers = inbound.headers;
    if let Some(wait) = answer.retry_after() {
        let said = answer.header("retry-after").unwrap_or_default().trim().trim_start_matches('+');
        assert!(said.bytes().all(|b| b.is_ascii_digit()), "{said:?} is {wait:?}");
    }
    assert!(format!("{answer:?}").len() < 80, "neither headers nor body are printed");
}

/// Where the body is cut; then a request to slack-command. `X-Slack-Signature: sign` has us sign it, as Slack would.
pub fn slack_request(data: &[u8]) {
    let mut parts = Parts(data);
    let cuts = parts.line();
    let mut head = head(&mut parts);
    let body = parts.rest();
    if head.header("x-slack-signature") == Some("sign") {
        let time = head.header("x-slack-request-timestamp").unwrap_or_default();
        let signature = format!("v0={}", slack_macs(time, body)[1]);
        head.headers.insert("x-slack-signature", signature.parse().expect("hexadecimal"));
    }
    let variables = variables();
    let world = World::default();
    let verify = || world.run(accept::verify(&head, &mut Pieces::new(pieces(cuts, body)), &variables, NOW));
    let verified = match verify() {
        Ok(verified) => verified,
        Err(Declined { answer, line }) => {
            keeps_secrets(data, &(String::from_utf8_lossy(&answer.body), line.map(|line| line.text())));
            assert!(answer.status == StatusCode::OK || answer.status.is_client_error());
            assert!(
                answer.status != StatusCode::OK || answer.body.is_empty() || head.path == "/slack/events",
                "only Slack's questions for our certificate and our address"
            );
            return;
        }
    };
    let time = head.header("x-slack-request-timestamp").expect("signed, so it has a time");
    let signature = head.header("x-slack-signature").expect("signed");
    assert!(slack_macs(time, body).iter().any(|mac| signature.eq_ignore_ascii_case(&format!("v0={mac}"))));
    assert!(time.parse::<u64>().is_ok_and(|time| time.abs_diff(NOW.seconds()) <= 300));
    assert_eq!((head.method.as_str(), body.len() <= 64 << 10), ("POST", true));

    let settings = SlackCommandSettings::read(&variables).expect("as an operator would");
    let is_command = !matches!(head.path.as_str(), "/slack/interaction" | "/slack/events");
    let accepted = world.run(accept::accept(&world, &settings, verified));
    let words = String::from_utf8_lossy(&accepted.answer.body);
    keeps_secrets(data, &(&words, &world.lines));
    let answered = serde_json::from_slice::<Value>(&accepted.answer.body).ok();
    let text = answered.as_ref().and_then(|answer| answer["text"].as_str());
    if let Some(text) = text {
        is_plain_to_slack(text);
    }
    assert!(accepted.answer.status == StatusCode::OK || accepted.answer.status == StatusCode::BAD_REQUEST);
    let is_told = text.is_some() || matches!(accepted.then, accept::Then::FollowUp(_));
    assert!(!is_command || accepted.answer.status != StatusCode::OK || is_told, "a person reads a sentence");
    assert_eq!(
        carried(&accepted.then).is_some(),
        !world.written.borrow().is_empty(),
        "carried on, if and only if it was saved"
    );

    // The same click on another replica: the same deployment, the same bytes.
    let other = World::default();
    if let Ok(verified) = verify() {
        let again = other.run(accept::accept(&other, &settings, verified));
        assert_eq!((&again.answer, carried(&again.then)), (&accepted.answer, carried(&accepted.then)));
        assert_eq!(other.store, world.store);
    }
}

/// The deployment that is carried out after the answer.
fn carried(then: &accept::Then) -> Option<&DeploymentId> {
    match then {
        accept::Then::CarryOut(id, _) => Some(id),
        accept::Then::Nothing
        | accept::Then::TakeBack(..)
        | accept::Then::FollowUp(_)
        | accept::Then::FormIsOver { .. } => None,
    }
}

/// The deployment whose commit is in the store.
const ID: &str = "0123456789abcdef0123456789abcdef";
const SHA: &str = "6b6ed4bd9a4f2ea2d3a7fce1f4e9b8d5c0a1b2c3";
const BASE: &str = "11aa22bb33cc44dd55ee66ff778899aabbccddee";

/// The commit fact of the entry `committing` of the corpus of `stored_facts`.
static COMMIT_FACT: LazyLock<Value> = LazyLock::new(|| {
    let entries = corpus::read(include_str!("../../corpus/stored_facts.txt")).expect("a corpus");
    let entry = entries.iter().find(|entry| entry.name == "committing").expect("the entry is there");
    let facts: Value = serde_json::from_slice(&entry.input).expect("an entry is JSON");
    facts["commit"].clone()
});

/// What a push is, read by somebody else.
struct Seen {
    ours: bool,
    forced: bool,
    created: bool,
    id: Option<DeploymentId>,
    after: String,
    /// A YAML file is among it.
    yaml: bool,
    /// The id of the last commit.
    last: String,
    /// All files; `None`: a commit does not say which.
    files: Option<Vec<String>>,
    /// Each key once and each value of its type: then there is no other way to read it.
    plain: bool,
}

fn see(body: &[u8]) -> Option<Seen> {
    let push: Value = serde_json::from_slice(body).ok()?;
    let text = |pointer: &str| push.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let flag = |name: &str| push.get(name) == Some(&Value::Bool(true));
    let commits = push.get("commits").and_then(Value::as_array);
    let message = commits.filter(|commits| commits.len() == 1).and_then(|commits| commits[0]["message"].as_str());
    let texts = ["/ref", "/before", "/after", "/repository/full_name"];
    let is_text = |pointer: &&str| push.pointer(pointer).is_none_or(Value::is_string);
    let is_flag = |name: &&str| push.get(*name).is_none_or(Value::is_boolean);
    let typed = texts.iter().all(is_text)
        && ["created", "deleted", "forced"].iter().all(is_flag)
        && push.get("repository").is_none_or(Value::is_object)
        && commits.is_some_and(|commits| {
            let good = |commit: &Value| commit.is_object() && commit.get("message").is_none_or(Value::is_string);
            commits.iter().all(good)
        });
    let is_yaml = |path: &Value| path.as_str().is_some_and(|path| path.ends_with(".yaml") || path.ends_with(".yml"));
    let lists = |commit: &Value| ["added", "modified"].map(|name| commit[name].as_array().cloned().unwrap_or_default());
    let yaml = commits.into_iter().flatten().flat_map(lists).flatten().any(|path| is_yaml(&path));
    let touched = |commit: &Value| {
        let lists = ["added", "modified", "removed"].map(|name| commit[name].as_array());
        let all = lists.into_iter().collect::<Option<Vec<_>>>()?.into_iter().flatten();
        let all = all.map(|path| path.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>();
        all.filter(|all| !all.is_empty())
    };
    let files = commits.into_iter().flatten().map(touched).collect::<Option<Vec<_>>>().map(|all| all.concat());
    let last = commits.and_then(|commits| commits.last()).and_then(|last| last["id"].as_str());
    Some(Seen {
        yaml,
        files,
        last: last.unwrap_or_default().to_owned(),
        ours: text("/repository/full_name").eq_ignore_ascii_case("acme/gitops") && text("/ref") == "refs/heads/main",
        forced: flag("forced") || flag("deleted"),
        created: flag("created"),
        id: message.and_then(message::deploy_id),
        after: text("/after").to_owned(),
        plain: typed && serde_json::to_vec(&push).is_ok_and(|again| again.len() == body.trim_ascii().len()),
    })
}

/// Where the body is cut, the event, and what else is so, a line each; then the body of a webhook.
///
/// `signed`: by GitHub; `committed`, `attempted`, `relayed`: these facts are in the store; `down`: Argo CD answers 503; `large`: the
/// push has an array of more than a mebibyte in front, `long`: a string; `managed`: the files are known that are an app's; `seen`: so
/// is its application; `all`: the operator says `relay: all`.
pub fn push(data: &[u8]) {
    let mut parts = Parts(data);
    let (cuts, event, state) = (parts.line(), parts.text(), parts.text());
    let is = |word: &str| state.split(' ').any(|one| one == word);
    let mut body = parts.rest().to_vec();
    let large = (is("large") || is("long")) && body.first() == Some(&b'{') && body.len() > 2;
    if large {
        // What is in it must not be taken for the push's own.
        let (start, piece, end) = if is("large") {
            (r#"{"filler":[["\"]",{"forced":true}],"#, r#""0123456789abcdef","#, "[]],")
        } else {
            (r#"{"filler":{"message":""#, r#"\",\"forced\":true,[]\\"#, r#""},"#)
        };
        let front = [start, &piece.repeat((1 << 20) / piece.len() + 1), end].concat();
        body.splice(0..1, front.into_bytes());
    }

    let world = World::default();
    {
        let mut store = world.store.borrow_mut();
        let mut put = |name: &str, fact: &Value| {
            let mut fact = fact.clone();
            fact["version"] = 1.into();
            store.insert(format!("deploy-bot/deployment/{ID}/{name}"), fact.to_string().into_bytes());
        };
        if is("attempted") {
            let mut commit = COMMIT_FACT.clone();
            commit["attempts"][0]["base"] = BASE.into();
            put("commit", &commit);
        }
        if is("committed") {
            put("committed", &serde_json::json!({ "sha": SHA, "at": 1, "reused": false }));
        }
        if is("relayed") {
            put("push", &serde_json::json!({ "delivery": "1", "at": 1 }));
        }
        if is("managed") {
            store.insert(store::Key::name(&ManagedFiles), MANAGED.as_bytes().to_vec());
        }
        if is("seen") {
            let shown = serde_json::json!({
                "sources": [{ "url": "https://github.com/acme/gitops", "target": "main", "path": "checkout" }],
                "generate_paths": ".;/shared/*.yaml", "automated": false, "hydrated": false, "may_sync": true,
            });
            let seen = serde_json::json!({ "version": 1, "at": NOW.0, "found": { "there": shown } });
            store.insert("deploy-bot/seen/default/application/-/checkout".to_owned(), seen.to_string().into_bytes());
        }
    }
    let argocd = if is("down") { 503 } else { 200 };
    world.answers.replace(VecDeque::from([Ok(response(argocd, b""))]));

    let secret = format!("the new webhook secret {HUSH}");
    let [mac, wrong] = macs([&secret, "a secret of somebody else"], &[&body]);
    let signature = format!("sha256={}", if is("signed") { mac } else { wrong });
    let mut headers = http::HeaderMap::new();
    for (name, value) in [
        ("content-type", "application/json"),
        ("x-github-event", &*event),
        ("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958"),
        ("x-hub-signature-256", &*signature),
    ] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
    let head = Inbound { method: Method::POST, path: "/github/webhook".to_owned(), query: String::new(), headers };
    let mut variables = variables();
    if is("all") {
        variables.0.insert("relay", "all".to_owned());
    }
    let settings = GithubRelaySettings::read(&variables).expect("as an operator would");
    let verified = world.run(relay::verify(&head, &mut Pieces::new(pieces(cuts, &body)), &variables));
    let verified = match verified {
        Ok(verified) => verified,
        Err(Declined { answer, .. }) => {
            assert_eq!((answer.status, is("signed")), (StatusCode::UNAUTHORIZED, false));
            keeps_secrets(data, &String::from_utf8_lossy(&answer.body));
            return;
        }
    };
    assert!(is("signed"), "believed without GitHub's signature");
    let answer = world.run(relay::push(&world, &settings, verified));
    let (answered, asked) = (serde_json::from_slice::<Value>(&answer.body).unwrap_or_default(), world.asked.take());
    keeps_secrets(data, &(&answered, &world.lines));
    let said = answered["outcome"].as_str().expect("an answer gives its outcome");

    if event != "push" {
        return assert_eq!((world.touched.get(), asked.len()), (0, 0), "no push touches nothing: {answered}");
    }
    // JSON that breaks the rules where nobody looks proves nothing here.
    let Some(seen) = see(&body) else { return };
    let rewritten = world.written.borrow().iter().any(|key| *key == store::Key::name(&Rewritten));
    let wanted = seen.ours && seen.forced;
    assert!(!rewritten || wanted || !seen.plain, "another push was taken for a rewritten branch");
    assert!(rewritten || !wanted || !seen.plain, "a rewritten branch was not noticed: {answered}");
    note(&world, &seen, is("managed") && asked.is_empty());
    let looked_at = seen.forced || seen.id.is_some() || ((seen.yaml || is("all")) && !seen.created);
    if seen.plain && !(seen.ours && looked_at) {
        let hint = store::Key::name(&CatalogPushed);
        let only_hint = world.written.borrow().iter().all(|key| *key == hint);
        assert!(only_hint && asked.is_empty(), "more than a hint about the catalog: {answered}");
    }
    // Of a push that is not kept whole, it may not be known where it was.
    if seen.plain && !seen.ours && body.len() < 1 << 20 {
        assert_eq!((world.touched.get(), asked.len()), (0, 0), "a foreign push touches nothing: {answered}");
    }
    if let Some(request) = asked.first() {
        assert_eq!(asked.len(), 1);
        assert_eq!(request.url, "https://argocd.acme.example/api/webhook");
        assert!(request.body == body, "byte for byte");
        assert_eq!(request.headers.get("x-hub-signature-256").map(HeaderValue::as_bytes), Some(signature.as_bytes()));
        assert!(!large);
        assert!(!seen.plain || (seen.ours && !seen.forced && !seen.created), "{answered}");
        if is("all") && seen.id.is_none() {
            assert!(is("managed") && is("seen"));
            assert!(!seen.plain || is_elsewhere(&seen), "{answered}");
        } else {
            assert!(is("committed") && !is("relayed"));
            let found = (seen.id.as_ref().map(DeploymentId::as_str), seen.after.as_str());
            assert!(!seen.plain || found == (Some(ID), SHA), "{found:?}");
        }
    }
    let is_new = !is("relayed") || !asked.is_empty();
    assert_eq!(said == "relayed" && is_new, asked.len() == 1 && !is("down"), "{answered}");
}

/// It lists all that it touches, and nothing of that is checkout's.
fn is_elsewhere(seen: &Seen) -> bool {
    let is_checkouts = |file: &String| {
        file == "checkout" || file.starts_with("checkout/") || (file.starts_with("shared/") && file.ends_with(".yaml"))
    };
    // Only directly in the folder: below it the pattern does not match.
    let is_deep = |file: &String| file.starts_with("shared/") && file.matches('/').count() > 1;
    seen.last == seen.after
        && seen
            .files
            .as_ref()
            .is_some_and(|files| !files.is_empty() && !files.iter().any(|file| is_checkouts(file) && !is_deep(file)))
}

const MANAGED: &str = r#"{"version":1,"auto":[],"files":{"checkout/values.yaml":[{"target":{"app":"checkout","environment":"default"},
    "argocd":{"name":"checkout","project":"default"},"channel":"C0DEPLOYS"}]}}"#;

/// What an announcement of a push shows is from the push, short, and safe to post.
fn note(world: &World, seen: &Seen, managed: bool) {
    let notes: Vec<String> =
        world.written.borrow().iter().filter(|key| key.starts_with("deploy-bot/push/")).cloned().collect();
    let [key] = &notes[..] else { return assert!(notes.is_empty(), "{notes:?}") };
    assert!(managed, "nothing of it is forwarded");
    if seen.plain {
        assert!(seen.ours && seen.yaml && !seen.forced && !seen.created, "{key}");
        assert_eq!(*key, format!("deploy-bot/push/{}", seen.after));
    }
    let sha = CommitSha::parse(key.rsplit('/').next().unwrap_or_default()).expect("the name of a commit");
    let note = world.run(store::load_key(world, Pushed(&sha))).expect("it is read again").expect("it is there");
    assert!(!note.touched.is_empty() && world.store.borrow()[key].len() < 20_000);
    let told = message::pushed(&note, &note.touched.iter().collect::<Vec<_>>());
    is_plain_to_slack(&told.text);
    for block in told.blocks.as_array().into_iter().flatten() {
        let text = block.pointer("/text/text").or(block.pointer("/elements/0/text"));
        let text = text.and_then(Value::as_str).expect("a text");
        assert!((1..=3000).contains(&text.chars().count()));
        if let Some(button) = block.get("accessory") {
            let (action, value) = (button["action_id"].as_str(), button["value"].as_str());
            assert!(Button::parse(action.expect("an action"), value.expect("a value")).is_some(), "{button}");
        }
    }
}
