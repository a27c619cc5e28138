//! Only the bot's own push reaches Argo CD. The answer to every other push says why it does not, and costs
//! the store and Redis nothing.

use anyhow::Result;
use e2e::access::Accesses;
use e2e::{PATIENCE, Room, room};
use fakes::Outgoing;
use fakes::argocd::Health;
use fakes::github::{Delivery, GitHub, NewCommit, Webhook, webhook_headers};
use sandbox::bot::Exchange;
use sandbox::{Sandbox, now, world};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A message as the bot writes it, of a deployment that nobody asked for.
const COPIED: &str = "Deploy checkout main-0123456\n\nDeploy-Id: 00112233445566778899aabbccddeeff";

#[test]
fn what_other_people_push_is_not_forwarded_and_costs_nothing() {
    room(async |room| -> Result<()> {
        room.github.lock().repo("acme/checkout").webhook(Webhook::new(world::WEBHOOK_SECRET));
        let readme = [("README.md", "Better words.\n")];
        let (begin, mut accesses) = (room.journal.mark("pushes"), Accesses::since_now(room).await?);

        // A person, and the bot's own account, which people may use too.
        let push = |user: &'static str| {
            move |github: &mut GitHub| {
                github.person_pushes(world::GITOPS, "main", user, &[("README.md", user)], &format!("A note by {user}"));
            }
        };
        assert_eq!(answer_to(room, push("alice")).await?, "200 ignored: a person's push");
        assert_eq!(answer_to(room, push(world::BOT_LOGIN)).await?, "200 ignored: a person's push");

        // Elsewhere, even with the trailer of a deployment.
        let branch = |github: &mut GitHub| {
            github.person_pushes(world::GITOPS, "next", "alice", &readme, COPIED);
        };
        assert_eq!(answer_to(room, branch).await?, "200 ignored: another branch");
        let forced_branch = |github: &mut GitHub| {
            let onto = github.commits(world::GITOPS, "main")[1].sha.clone();
            github.force_push(world::GITOPS, "next", "alice", &onto, &[NewCommit::new(COPIED, &[("a", "a")])]);
        };
        assert_eq!(answer_to(room, forced_branch).await?, "200 ignored: another branch");
        let repository = |github: &mut GitHub| {
            github.person_pushes("acme/checkout", "main", "alice", &readme, COPIED);
        };
        assert_eq!(answer_to(room, repository).await?, "200 ignored: another repository");

        // Several commits at once, each with the trailer: the bot never makes two.
        let several = |github: &mut GitHub| {
            let commits = [NewCommit::new(COPIED, &[("a", "1")]), NewCommit::new(COPIED, &[("a", "2")])];
            github.push(world::GITOPS, "main", world::BOT_LOGIN, &commits);
        };
        assert_eq!(answer_to(room, several).await?, "200 ignored: not exactly one commit");

        // What GitHub sends besides pushes.
        let ping = |github: &mut GitHub| github.ping(world::GITOPS);
        assert_eq!(answer_to(room, ping).await?, "200 pong: the webhook is set up");
        let push = one_commit(room, COPIED);
        assert_eq!(signed(room, "pull_request", &push).await, "200 ignored: not a push");
        assert_eq!(signed(room, "push", &json!("no push")).await, "400 refused: not the JSON of a push");
        let broken = outgoing(world::WEBHOOK_SECRET, "push", b"{\"ref\":\xff".to_vec());
        assert_eq!(reason(&room.bot.send(&broken).await), "400 refused: not the JSON of a push");

        accesses.none().await?;

        // Of these nobody knows whether they touch the catalog: a hint is left, and nothing else.
        // A push that is too large to be kept.
        let large = |github: &mut GitHub| {
            github.push(world::GITOPS, "main", "alice", &large_commits());
        };
        assert_eq!(answer_to(room, large).await?, "200 ignored: larger than any push of the bot");
        let body = last_delivery(room).body;
        assert!(body.len() > 1 << 20, "{} bytes", body.len());

        // A new branch is no deploy either.
        let mut created = one_commit(room, COPIED);
        created["created"] = json!(true);
        assert_eq!(signed(room, "push", &created).await, "200 ignored: the branch was created");

        assert_eq!(room.keys().await?, ["deploy-bot/catalog-pushed"]);
        assert_eq!(room.calls(begin), [""; 0], "no other system heard of it");
        Ok(())
    });
}

#[test]
fn what_is_not_signed_by_github_is_refused_and_costs_nothing() {
    room(async |room| -> Result<()> {
        let body = one_commit(room, COPIED).to_string().into_bytes();
        let genuine = outgoing(world::WEBHOOK_SECRET, "push", body.clone());
        let with = |name: &str, value: &str| {
            let mut forged = genuine.clone();
            forged.headers.retain(|(known, _)| known != name);
            forged.headers.push((name.to_owned(), value.to_owned()));
            forged
        };
        let without = |name: &str| {
            let mut forged = genuine.clone();
            forged.headers.retain(|(known, _)| known != name);
            forged
        };
        let other_body = Outgoing { body: [&body[..], b" "].concat(), ..genuine.clone() };
        let large = vec![b' '; 2 << 20];
        let mut twice = genuine.clone();
        twice.headers.push(("x-hub-signature-256".to_owned(), format!("sha256={}", "0".repeat(64))));
        let (begin, mut accesses) = (room.journal.mark("forged"), Accesses::since_now(room).await?);

        for (forged, expected) in [
            (outgoing("another secret of the same kind", "push", body.clone()), "401 refused: the signature is wrong"),
            (outgoing("", "push", body.clone()), "401 refused: the signature is wrong"),
            (outgoing("another secret of the same kind", "push", large), "401 refused: the signature is wrong"),
            (other_body, "401 refused: the signature is wrong"),
            (with("x-hub-signature-256", ""), "401 refused: the signature is missing"),
            (with("x-hub-signature-256", "sha256=00"), "401 refused: the signature is malformed"),
            // The old signature alone, which GitHub still sends, proves nothing.
            (without("x-hub-signature-256"), "401 refused: the signature is missing"),
            // Two signatures: a proxy might look at the other one.
            (twice, "401 refused: the signature is missing"),
            (with("content-type", "application/x-www-form-urlencoded"), "415 refused: application/json only"),
            (without("content-type"), "415 refused: application/json only"),
        ] {
            assert_eq!(reason(&room.bot.send(&forged).await), expected, "{:?}", forged.headers);
        }
        for method in [http::Method::GET, http::Method::PUT, http::Method::DELETE] {
            let request = http::Request::builder().method(method).uri("/github/webhook").body(Vec::new())?;
            assert_eq!(reason(&room.bot.request(request).await), "405 refused: POST only");
        }

        accesses.none().await?;
        assert_eq!(room.calls(begin), [""; 0], "no other system heard of it");
        // The counter works: the same push with the right signature makes the bot look for that deployment.
        assert_eq!(reason(&room.bot.send(&genuine).await), "200 ignored: no commit of the bot was expected here");
        assert!(only(accesses.store().await?, "get"), "it looks, and writes nothing");
        assert_eq!(room.calls(begin), [""; 0]);
        Ok(())
    });
}

#[test]
fn a_forced_push_is_remembered_and_nothing_else() {
    room(async |room| -> Result<()> {
        let begin = room.journal.mark("forced");
        room.github.lock().repo(world::GITOPS).commit("To be forgotten", &[("a", "a")]);
        let large = large_commits();
        for commits in [&[NewCommit::new(COPIED, &[("b", "b")])][..], &large] {
            let (old, mut accesses) = (head(room), Accesses::since_now(room).await?);
            let forced = |github: &mut GitHub| {
                let onto = github.commits(world::GITOPS, "main").last().map(|commit| commit.sha.clone());
                github.force_push(world::GITOPS, "main", "alice", &onto.unwrap_or_default(), commits);
            };
            assert_eq!(answer_to(room, forced).await?, "200 ignored: the branch was rewritten");
            assert!(accesses.redis().await?.is_empty());
            let store = accesses.store().await?;
            // And that the catalog may have changed.
            assert_eq!(store.get("set"), Some(&2), "{store:?}");
            assert!(store.keys().all(|name| ["get", "set", "connect"].contains(&name.as_str())), "{store:?}");
            let rewritten = room.key("deploy-bot/branch/rewritten").await?.unwrap_or_default();
            assert_eq!((&rewritten["before"], &rewritten["after"]), (&json!(old), &json!(head(room))));
        }
        assert!(last_delivery(room).body.len() > 1 << 20, "the second one is larger than what is kept of a push");

        // So is a branch that was deleted.
        let mut deleted = one_commit(room, COPIED);
        (deleted["deleted"], deleted["after"]) = (json!(true), json!("0".repeat(40)));
        assert_eq!(signed(room, "push", &deleted).await, "200 ignored: the branch was rewritten");
        let rewritten = room.key("deploy-bot/branch/rewritten").await?.unwrap_or_default();
        assert_eq!(rewritten["after"], json!("0".repeat(40)));

        let mut keys = room.keys().await?;
        keys.sort_unstable();
        assert_eq!(keys, ["deploy-bot/branch/rewritten", "deploy-bot/catalog-pushed"]);
        assert_eq!(room.calls(begin), [""; 0], "nothing was forwarded");
        Ok(())
    });
}

/// The trailer finds a deployment; only the commit that the bot itself made is forwarded.
#[test]
fn a_push_that_copies_the_trailer_is_not_forwarded() {
    room(async |room| -> Result<()> {
        // Of a deployment that nobody asked for.
        for user in ["bob", world::BOT_LOGIN] {
            let invented = |github: &mut GitHub| {
                github.person_pushes(world::GITOPS, "main", user, &[("invented", user)], COPIED);
            };
            assert_eq!(answer_to(room, invented).await?, "200 ignored: no commit of the bot was expected here");
        }
        let answered = answers(room).len();

        // The application stays in progress until the test lets it go on.
        room.argocd.lock().app("checkout").script.health = vec![(0, Health::Progressing)];
        room.alice("checkout 42").await;
        let own = room.until("answer to GitHub", PATIENCE, |room| answers(room).into_iter().nth(answered)).await?;
        assert_eq!(reason(&own), "200 relayed: the bot's own commit");
        let own = room.github.lock().commits(world::GITOPS, "main")[0].clone();
        let copies = |user: &'static str, file: &'static str| {
            let message = own.message.clone();
            move |github: &mut GitHub| {
                github.person_pushes(world::GITOPS, "main", user, &[(file, user)], &message);
            }
        };

        // While the deployment is under way,
        let not_ours = "200 ignored: not the commit that the bot made";
        assert_eq!(answer_to(room, copies("bob", "a")).await?, not_ours);
        assert_eq!(answer_to(room, copies(world::BOT_LOGIN, "b")).await?, not_ours);
        let in_progress = |room: &Sandbox| {
            let application = room.argocd.lock().application("checkout");
            (application["status"]["health"]["status"] == "Progressing").then_some(())
        };
        room.until("application in progress", PATIENCE, in_progress).await?;
        room.argocd.lock().look(now(), "checkout", Some(Health::Healthy));
        room.says("is live").await?;
        room.nothing_left().await?;
        // and when nothing of it is expected any more: by a person, and by the bot's own account.
        let mut accesses = Accesses::since_now(room).await?;
        assert_eq!(answer_to(room, copies("bob", "c")).await?, not_ours);
        assert_eq!(answer_to(room, copies(world::BOT_LOGIN, "d")).await?, not_ours);
        assert!(only(accesses.store().await?, "get"), "it looks, and writes nothing");
        assert!(accesses.redis().await?.is_empty());

        let argocd = room.argocd.lock();
        let forwarded: Vec<Value> =
            argocd.webhooks().iter().map(|webhook| serde_json::from_slice(&webhook.body).unwrap_or_default()).collect();
        let after: Vec<&Value> = forwarded.iter().map(|push| &push["after"]).collect();
        assert_eq!(after, [&json!(own.sha)], "only the bot's own push");
        assert_eq!(argocd.syncs().len(), 1);
        Ok(())
    });
}

// ---- what GitHub sends ----

/// What the bot answered to GitHub so far.
pub(crate) fn answers(room: &Sandbox) -> Vec<Exchange> {
    room.bot.exchanges().into_iter().filter(|exchange| exchange.path == "/github/webhook").collect()
}

/// Something happens at GitHub that sends one webhook; returns the bot's answer.
pub(crate) async fn answer_to(room: &Room, happens: impl FnOnce(&mut GitHub)) -> Result<String> {
    let before = answers(room).len();
    happens(&mut room.github.lock());
    let answer = room.until("answer to GitHub", PATIENCE, |room| answers(room).into_iter().nth(before)).await?;
    Ok(reason(&answer))
}

/// `200 ignored: a person's push`
pub(crate) fn reason(answer: &Exchange) -> String {
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    format!("{} {}: {}", answer.status.unwrap_or_default(), text("outcome"), text("reason"))
}

/// A webhook that was made by hand.
fn outgoing(secret: &str, event: &str, body: Vec<u8>) -> Outgoing {
    let headers = webhook_headers(secret, event, "72d3162e-cc78-11e3-81ab-4c9367dc0958", &body);
    Outgoing { at: now(), path: "/github/webhook".to_owned(), headers, body }
}

/// Sends a webhook that GitHub signed; returns the bot's answer.
pub(crate) async fn signed(room: &Room, event: &str, body: &Value) -> String {
    let outgoing = outgoing(world::WEBHOOK_SECRET, event, body.to_string().into_bytes());
    reason(&room.bot.send(&outgoing).await)
}

/// The payload of a push of one commit to the GitOps branch that did not happen.
pub(crate) fn one_commit(room: &Room, message: &str) -> Value {
    json!({
        "ref": "refs/heads/main", "before": head(room), "after": "9".repeat(40),
        "created": false, "deleted": false, "forced": false,
        "repository": { "full_name": world::GITOPS },
        "commits": [{ "id": "9".repeat(40), "message": message, "added": [], "removed": [], "modified": ["a"] }],
    })
}

/// More than 1 MiB of commits, each with the trailer.
pub(crate) fn large_commits() -> Vec<NewCommit> {
    let message = format!("{}\n{COPIED}", "many words ".repeat(200));
    (0..600).map(|number| NewCommit::new(&message, &[("a", &number.to_string())])).collect()
}

fn head(room: &Room) -> String {
    room.github.lock().head(world::GITOPS, "main").unwrap_or_default()
}

pub(crate) fn last_delivery(room: &Room) -> Delivery {
    room.github.lock().deliveries().last().cloned().expect("GitHub sent something")
}

/// Whether nothing but this command came, on whatever connection.
fn only(counts: BTreeMap<String, u64>, command: &str) -> bool {
    counts.contains_key(command) && counts.keys().all(|name| name == command || name == "connect")
}
