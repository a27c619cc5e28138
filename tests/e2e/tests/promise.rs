//! The check of the promise after every test works: each invariant that this test breaks behind the bot's
//! back is named.

use anyhow::{Context, Result};
use domain::message::after_commit;
use domain::names::DeploymentId;
use e2e::{Room, broken_room, limits, quick};
use fakes::{Request, StandIn};
use redis::AsyncCommands;
use sandbox::world::{ARGOCD_TOKEN, DEPLOYS, GITHUB_TOKEN, GITOPS, SLACK_BOT_TOKEN};
use sandbox::{Options, Sandbox, now};
use serde_json::{Value, json};

/// A call that the bot never made.
fn request(target: &str, token: &str, body: &Value) -> Request {
    let mut headers = http::HeaderMap::new();
    for (name, value) in [("authorization", format!("Bearer {token}")), ("content-type", "application/json".to_owned())]
    {
        headers.insert(name, value.parse().expect("a header"));
    }
    headers.insert("user-agent", http::HeaderValue::from_static("somebody"));
    let body = body.to_string().into_bytes();
    Request { method: http::Method::POST, target: target.to_owned(), headers, body }
}

/// A commit through GitHub's API with the bot's token, which names that deployment.
fn commits(room: &Sandbox, id: &str) {
    let mut github = room.github.lock();
    let head = github.head(GITOPS, "main").unwrap_or_default();
    let query =
        "mutation($input: CreateCommitOnBranchInput!) { createCommitOnBranch(input: $input) { commit { oid } } }";
    let variables = json!({ "input": {
        "branch": { "repositoryNameWithOwner": GITOPS, "branchName": "main" },
        "expectedHeadOid": head,
        "message": { "headline": "Deploy checkout", "body": format!("Once more\n\nDeploy-Id: {id}") },
        "fileChanges": { "additions": [{ "path": "NOTES.md", "contents": "SGVsbG8=" }] },
    }});
    let body = json!({ "query": query, "variables": variables });
    github.answer(now(), &request("/graphql", GITHUB_TOKEN, &body));
    assert_ne!(github.head(GITOPS, "main").unwrap_or_default(), head, "it was committed");
}

/// A sync with the bot's token.
fn syncs(room: &Sandbox, id: &str, revision: &str) {
    let body = json!({ "revision": revision, "project": "default", "infos": [{ "name": "deploy-id", "value": id }] });
    let request = request("/api/v1/applications/checkout/sync", ARGOCD_TOKEN, &body);
    room.argocd.lock().answer(now(), &request);
}

/// The bot's one message says this instead.
fn edits(room: &Sandbox, words: &str) {
    let ts = room.slack.lock().messages(DEPLOYS)[0].ts.clone();
    let body = json!({ "channel": DEPLOYS, "ts": ts, "text": words, "blocks": [] });
    room.slack.lock().answer(now(), &request("/api/chat.update", SLACK_BOT_TOKEN, &body));
}

/// Writes a key of the store.
async fn writes(room: &Room, key: &str, value: &Value) -> Result<()> {
    room.plants(key, value.clone()).await
}

/// The promise does not hold now, and says so in these words.
async fn broken(room: &Room, words: &str) {
    match room.promise().await {
        Ok(()) => panic!("nobody noticed: {words}"),
        Err(error) => assert!(error.root_cause().to_string().starts_with(words), "{words:?}, but: {error:#}"),
    }
}

#[test]
fn every_broken_promise_is_noticed() {
    let options = Options { limits: Some(limits()), ..Options::default() };
    broken_room(options, async |room| -> Result<()> {
        room.script("checkout", quick());
        room.goes_live("checkout 42").await?;
        room.nothing_left().await?;
        let id = room.deployments().await?.pop().context("a deployment")?;
        let key = |fact: &str| format!("deploy-bot/deployment/{id}/{fact}");
        let fact = async |name: &str| room.key(&key(name)).await?.with_context(|| name.to_owned());
        let (watch, committed, outcome) = (fact("watch").await?, fact("committed").await?, fact("outcome").await?);

        room.redis::<i64>(&["HSET", "deploy-bot/lease/somebody", "a", "b"]).await?;
        broken(room, "I6: deploy-bot/lease/somebody stays in Redis for ever").await;
        room.redis::<i64>(&["DEL", "deploy-bot/lease/somebody"]).await?;

        room.store.connect().await?.del::<_, ()>(key("outcome")).await?;
        broken(room, "I1: Syncing is not final").await;
        writes(room, &key("outcome"), &outcome).await?;
        let mut other = watch.clone();
        other["voice"]["told_end"] = json!(false);
        writes(room, &key("watch"), &other).await?;
        broken(room, "I1: it ended, and nobody has told it").await;
        writes(room, &key("watch"), &watch).await?;

        let last = room.slack.lock().messages(DEPLOYS)[0].text().to_owned();
        edits(room, "something else");
        broken(room, "I1: nobody can read").await;
        edits(room, &last);
        room.promise().await?;

        let mut other = committed.clone();
        other["commit"]["plan"]["targets"][0]["tag"] = json!("feature-totals-0000000");
        writes(room, &key("committed"), &other).await?;
        edits(room, &after_commit(&DeploymentId::parse(&id)?, &room.facts(&id).await?).text);
        broken(room, "I4: Argo CD never saw feature-totals-0000000 of checkout running well").await;
        writes(room, &key("committed"), &committed).await?;
        edits(room, &last);
        room.promise().await?;

        // The breaks that cannot be undone come last, in the reverse order of the checks.
        let before = room.github.lock().commits(GITOPS, "main")[1].sha.clone();
        syncs(room, &id, &before);
        broken(room, "I3: a sync of").await;
        edits(room, "not deployed. Type the command again to see why.");
        edits(room, &last);
        broken(room, "I4: there is a commit, and it said").await;
        commits(room, &id);
        broken(room, "I2: 2 commits").await;
        Ok(())
    });
}
