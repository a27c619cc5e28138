//! An operator gets a setting wrong: the bot names the setting everywhere, shows its value nowhere, and does
//! nothing.

use anyhow::{Result, ensure};
use e2e::{PATIENCE, Room, room};
use fakes::github::webhook_headers;
use fakes::slack::signature;
use fakes::{Fault, Outgoing, Response};
use http::Request;
use sandbox::bot::Exchange;
use sandbox::{now, world};
use serde_json::json;

#[test]
fn a_secret_that_is_missing_or_short_verifies_nothing() {
    room(async |room| -> Result<()> {
        let begin = room.journal.mark("secrets");
        for secret in ["", "                    ", "short", "fifteen bytes!!", "\tshort\t\t\t\t\t\t\t\t\t\t\t\t\t\t"] {
            room.variables.insert("slack_signing_secret".to_owned(), secret.to_owned());
            room.variables.insert("github_webhook_secret".to_owned(), secret.to_owned());
            room.restart_bot().await?;
            let said = room.log().len();
            // Signed with that very secret, with and without its blanks; with the secret that was meant; not
            // signed at all.
            for key in [secret, secret.trim(), world::SLACK_SIGNING_SECRET] {
                for path in ["/slack/command", "/slack/interaction"] {
                    let answer = room.bot.send(&slack_signs(room, key, path)).await;
                    assert_eq!(answer.status, Some(503), "{secret:?}, {key:?}: {}", answer.body);
                }
            }
            for key in [secret, secret.trim(), world::WEBHOOK_SECRET] {
                let answer = room.bot.send(&github_signs(key)).await;
                assert_eq!(answer.status, Some(503), "{secret:?}, {key:?}: {}", answer.body);
            }
            named_in_the_log(room, said, "slack_signing_secret", 6).await?;
            named_in_the_log(room, said, "github_webhook_secret", 3).await?;
            named_at_healthz(room, "slack_signing_secret").await?;
        }
        assert_eq!(room.calls(begin), [""; 0]);
        assert_eq!(room.keys().await?, [""; 0]);
        Ok(())
    });
}

#[test]
fn the_previous_secret_counts_while_it_is_set() {
    const NEW: &str = "the secret after the rotation";
    room(async |room| -> Result<()> {
        let statuses = async |room: &Room| -> [Option<u16>; 4] {
            let mut statuses = Vec::new();
            for key in [NEW, world::SLACK_SIGNING_SECRET] {
                statuses.push(room.bot.send(&slack_signs(room, key, "/slack/command")).await.status);
            }
            for key in [NEW, world::WEBHOOK_SECRET] {
                statuses.push(room.bot.send(&github_signs(key)).await.status);
            }
            statuses.try_into().expect("four requests")
        };
        let [yes, no, unready] = [Some(200), Some(401), Some(503)];
        for (name, old) in
            [("slack_signing_secret", world::SLACK_SIGNING_SECRET), ("github_webhook_secret", world::WEBHOOK_SECRET)]
        {
            room.variables.insert(name.to_owned(), NEW.to_owned());
            room.variables.insert(format!("{name}_previous"), old.to_owned());
        }
        room.restart_bot().await?;
        assert_eq!(statuses(room).await, [yes, yes, yes, yes], "while it is rotated, both count");

        room.variables.insert("slack_signing_secret_previous".to_owned(), String::new());
        room.variables.remove("github_webhook_secret_previous");
        room.restart_bot().await?;
        assert_eq!(statuses(room).await, [yes, no, yes, no], "afterwards only the new one");

        // A secret that is too short is a mistake, not an absent secret.
        for name in ["slack_signing_secret_previous", "github_webhook_secret_previous"] {
            room.variables.insert(name.to_owned(), "short".to_owned());
        }
        room.restart_bot().await?;
        let said = room.log().len();
        assert_eq!(statuses(room).await, [unready; 4]);
        named_in_the_log(room, said, "slack_signing_secret_previous", 2).await?;
        named_in_the_log(room, said, "github_webhook_secret_previous", 2).await?;
        Ok(())
    });
}

/// Spin denies every call of a component, without a word, if one address in its list is malformed.
#[test]
fn a_malformed_address_is_named_to_everybody_before_anything_is_done() {
    room(async |room| -> Result<()> {
        let begin = room.journal.mark("addresses");
        let (slack, github) = (room.variables["slack_url"].clone(), room.variables["github_url"].clone());
        let (registry, argocd) = (room.variables["registry_url"].clone(), room.variables["argocd_url"].clone());
        let redis = room.variables["redis_origin"].clone();
        for (name, value) in [
            ("slack_url", slack.replace("http://", "")),
            ("github_url", format!("{github}/api/v3")),
            ("github_url", github.replace("http://", "ftp://")),
            ("registry_url", format!("{registry}/v2")),
            ("registry_token_url", "https://robot:hunter2-hunter2@auth.example".to_owned()),
            ("argocd_url", argocd.replace("http://", "http://admin:hunter2-hunter2@")),
            ("argocd_url", format!("{argocd}/argocd")),
            ("argocd_url", String::new()),
            ("argocd_root_path", "/argo cd".to_owned()),
            ("redis_origin", format!("{redis}/1")),
        ] {
            let good = room.variables.insert(name.to_owned(), value.clone()).unwrap_or_default();
            room.restart_bot().await?;
            let said = room.log().len();

            // To the person, in the answer.
            let answer = room.alice("checkout 42").await;
            let words = format!("the setting `{name}` is missing or malformed. Nothing was changed.");
            assert_eq!(answer.status, Some(200), "{name}");
            assert!(answer.body.contains(&words), "{name}: {}", answer.body);
            named_in_the_log(room, said, name, 1).await?;
            // To a probe that asks whether the bot is ready.
            named_at_healthz(room, name).await?;
            // In the log of the others that use it.
            if name.starts_with("argocd") {
                let said = room.log().len();
                let answer = room.bot.send(&github_signs(world::WEBHOOK_SECRET)).await;
                assert_eq!(answer.status, Some(503), "{name}: {}", answer.body);
                named_in_the_log(room, said, name, 1).await?;
                room.redis::<i64>(&["PUBLISH", "deploy-bot/wake", ""]).await?;
                named_in_the_log(room, said, name, 2).await?;
            }
            assert!(!room.log().contains("hunter2"), "a value is never said: {}", room.log());
            room.variables.insert(name.to_owned(), good);
        }
        assert_eq!(room.calls(begin), [""; 0], "nothing was tried");
        assert_eq!(room.keys().await?, [""; 0]);
        assert_eq!(room.messages(), [""; 0]);
        Ok(())
    });
}

/// Only the relay reads it, so only the relay stops.
#[test]
fn a_wrong_word_for_what_is_relayed_is_named_and_nothing_is_relayed() {
    room(async |room| -> Result<()> {
        for wrong in ["", "everything", "on"] {
            room.variables.insert("relay".to_owned(), wrong.to_owned());
            room.restart_bot().await?;
            let said = room.log().len();
            let answer = room.bot.send(&github_signs(world::WEBHOOK_SECRET)).await;
            assert_eq!(answer.status, Some(503), "{wrong:?}: {}", answer.body);
            named_in_the_log(room, said, "relay", 1).await?;
        }
        Ok(())
    });
}

#[test]
fn no_secret_is_ever_shown_or_logged() {
    const REDIS_PASSWORD: &str = "redis-password-of-the-test";
    room(async |room| -> Result<()> {
        let user = ["ACL", "SETUSER", "deploybot", "on", &format!(">{REDIS_PASSWORD}"), "~*", "&*", "+@all"];
        room.redis::<String>(&user).await?;
        let with_password = room.redis.url().replace("redis://", &format!("redis://deploybot:{REDIS_PASSWORD}@"));
        room.variables.insert("redis_url".to_owned(), with_password);
        room.restart_bot().await?;
        let mut secrets: Vec<String> = [
            world::SLACK_SIGNING_SECRET,
            world::SLACK_BOT_TOKEN,
            world::GITHUB_TOKEN,
            world::WEBHOOK_SECRET,
            world::ARGOCD_TOKEN,
            world::REGISTRY_PASSWORD,
            REDIS_PASSWORD,
        ]
        .map(str::to_owned)
        .into();
        let mut typed = async |room: &Room, text: &str| {
            let typed = room.slack.lock().command(now(), world::ALICE, world::DEPLOYS, text);
            let form = String::from_utf8_lossy(&typed.body).replace("%3A", ":").replace("%2F", "/");
            let response_url = form.split('&').find_map(|pair| pair.strip_prefix("response_url="));
            let signature = typed.headers.iter().find(|(name, _)| name == "x-slack-signature");
            // What makes the address a secret is its path, and the signature its digits.
            let path = response_url.and_then(|url| url.split_once("/commands/"));
            secrets.push(path.expect("Slack gives a response_url").1.to_owned());
            secrets.push(signature.expect("Slack signs").1.trim_start_matches("v0=").to_owned());
            room.send(&typed).await
        };

        // A deploy, a refusal, and every system that refuses us in turn.
        typed(room, "checkout 42").await;
        room.says("is live").await?;
        typed(room, "checkout 4711").await;
        room.says("no pull request #4711").await?;
        let refused = |status| Fault::Instead(Response::json(status, &json!({ "message": "Bad credentials" })));
        room.github.fault("github.query", refused(401), 1);
        typed(room, "payments 7").await;
        room.says("GitHub doesn't accept my token").await?;
        room.registry.fault("registry.*", refused(403), 10);
        typed(room, "payments 7").await;
        room.says("image in the registry").await?;
        room.registry.mend();
        room.argocd.fault("argocd.webhook", refused(400), 1);
        room.argocd.fault("argocd.sync", refused(401), 100);
        typed(room, "payments 7").await;
        room.says("Argo CD doesn't accept my token").await?;
        room.argocd.mend();
        let revoked = Response::json(200, &json!({ "ok": false, "error": "token_revoked" }));
        room.slack.fault("slack.post", Fault::Instead(revoked), 10);
        typed(room, "checkout 4712").await;
        let heard = |room: &sandbox::Sandbox| (!room.slack.lock().ephemerals(world::ALICE).is_empty()).then_some(());
        room.until("answer by response_url", PATIENCE, heard).await?;
        room.slack.mend();
        // Redis does not let the bot in: the command is accepted, not carried out, and resumed when Redis
        // does.
        room.nothing_left().await?;
        room.redis::<String>(&["ACL", "SETUSER", "deploybot", "-set"]).await?;
        typed(room, "checkout 4713").await;
        room.until("failure of Redis", PATIENCE, |room| room.log().contains("not_carried").then_some(())).await?;
        room.redis::<String>(&["ACL", "SETUSER", "deploybot", "+set"]).await?;
        room.bot.request(Request::get("/healthz").body(Vec::new())?).await;
        room.says("4713").await?;
        let forged = room.bot.send(&github_signs("another secret of the same kind")).await;
        assert_eq!(forged.status, Some(401));
        room.nothing_left().await?;

        for delivery in room.github.lock().deliveries() {
            let signatures = delivery.headers.iter().filter(|(name, _)| name.starts_with("x-hub-signature"));
            secrets
                .extend(signatures.filter_map(|(_, value)| value.split_once('=')).map(|(_, digits)| digits.to_owned()));
        }
        let said = everything_said(room);
        for words in ["relay_failed", "is live", "not_carried", "Requested-By"] {
            assert!(said.contains(words), "the test looks at the right places: {words}");
        }
        assert!(secrets.len() > 15 && secrets.iter().all(|secret| secret.len() >= 10), "{secrets:?}");
        for secret in secrets {
            assert!(!said.contains(&secret), "{secret} was said");
        }
        Ok(())
    });
}

/// The log, all messages in all their versions, all answers, all commits.
fn everything_said(room: &Room) -> String {
    let mut said = vec![room.log()];
    let slack = room.slack.lock();
    let whispered = [world::ALICE, world::BOB].into_iter().flat_map(|user| slack.ephemerals(user));
    for message in slack.messages(world::DEPLOYS).iter().chain(whispered) {
        said.extend(message.edits.iter().map(|edit| format!("{} {:?}", edit.text, edit.blocks)));
    }
    said.extend(room.bot.exchanges().into_iter().map(|exchange| exchange.body));
    let commits = room.github.lock().commits(world::GITOPS, "main");
    said.extend(commits.into_iter().map(|commit| commit.message));
    said.join("\n")
}

// ---- requests, and where a variable is named ----

/// `/deploy help` or a click, signed with this secret.
fn slack_signs(room: &Room, secret: &str, path: &str) -> Outgoing {
    let mut request = room.slack.lock().command(now(), world::ALICE, world::DEPLOYS, "help");
    let seconds = (now() / 1000).to_string();
    let signature = signature(secret, &seconds, &request.body);
    request.headers.retain(|(name, _)| !name.starts_with("x-slack"));
    request.headers.push(("x-slack-request-timestamp".to_owned(), seconds));
    request.headers.push(("x-slack-signature".to_owned(), signature));
    request.path = path.to_owned();
    request
}

/// A `ping`, signed with this secret.
fn github_signs(secret: &str) -> Outgoing {
    let body = br#"{"zen":"Keep it logically awesome."}"#.to_vec();
    let headers = webhook_headers(secret, "ping", "72d3162e-cc78-11e3-81ab-4c9367dc0958", &body);
    Outgoing { at: now(), path: "/github/webhook".to_owned(), headers, body }
}

/// Waits until the log has named a variable so often since it was so long.
pub(crate) async fn named_in_the_log(room: &Room, since: usize, variable: &str, times: usize) -> Result<()> {
    let named = format!(r#""variable":"{variable}""#);
    let what = format!("{times} lines with {named} in the log");
    let look = |room: &sandbox::Sandbox| (room.log()[since..].matches(&named).count() >= times).then_some(());
    room.until(&what, PATIENCE, look).await
}

/// `/healthz` still answers 200, so that nobody ends the process; `/healthz?ready` is 503. Both name the
/// variable.
pub(crate) async fn named_at_healthz(room: &Room, variable: &str) -> Result<()> {
    for (path, status) in [("/healthz", 200), ("/healthz?ready", 503)] {
        let answer: Exchange = room.bot.request(Request::get(path).body(Vec::new())?).await;
        ensure!(answer.status == Some(status), "{path}: {answer:?}");
        ensure!(answer.body.contains(&format!(r#""variable":"{variable}""#)), "{path}: {answer:?}");
    }
    Ok(())
}
