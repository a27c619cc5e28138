//! Attacks at the edges of the bot: at its two doors before a signature is checked, by what GitHub delivers late, at
//! the addresses that the bot calls, and with what is left in the store.

use crate::pushes::{answer_to, one_commit, signed};
use crate::settings::{named_at_healthz, named_in_the_log};
use anyhow::{Context, Result, ensure};
use e2e::{PATIENCE, Room, room};
use fakes::Outgoing;
use fakes::github::{GitHub, NewCommit, webhook_headers};
use fakes::slack::signature;
use http::Request;
use sandbox::{now, world};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const COMMAND: &str = "/slack/command";
const WEBHOOK: &str = "/github/webhook";

/// What one answer may take on a busy machine where nothing is waited for; less than the bot's 5 s for a body.
const AT_ONCE: Duration = Duration::from_secs(4);

// ---- before the signature ----

/// Attack: an outsider | sends a body that never ends | the request is given up after 5 s, and nothing is understood of it
#[test]
fn a_body_that_never_ends_is_given_up_after_five_seconds() {
    room(async |room| -> Result<()> {
        let begun = Instant::now();
        // One byte now and then, for ever: with a length, without one, and with nothing at all after the head.
        let mut attacks = JoinSet::new();
        for path in [COMMAND, WEBHOOK] {
            for (length, piece) in [
                ("content-length: 5000", "x"),
                ("transfer-encoding: chunked", "1\r\nx\r\n"),
                ("content-length: 5000", ""),
            ] {
                // All together are more than an instance serves at once.
                for _ in 0..6 {
                    let stream = Knock { path, length, signed: true }.send(room).await?;
                    attacks.spawn(trickle(stream, piece.as_bytes(), Duration::from_millis(300)));
                }
            }
        }
        while let Some(answer) = attacks.join_next().await {
            let answer = answer??;
            ensure!(answer.starts_with("HTTP/1.1 408"), "{answer}");
        }
        ensure!(begun.elapsed() > Duration::from_millis(4_500), "an honest request has its time");
        ensure!(room.alice("help").await.status == Some(200));
        Ok(())
    });
}

/// Attack: an outsider | sends more than a body may have | 413 by `Content-Length`, before it comes
#[test]
fn a_body_that_says_it_is_too_long_is_refused_before_it_comes() {
    room(async |room| -> Result<()> {
        let too_long: [(_, u64); 4] =
            [(COMMAND, (64 << 10) + 1), (COMMAND, 1 << 50), (WEBHOOK, (25 << 20) + 1), (WEBHOOK, 1 << 50)];
        for (path, length) in too_long {
            let answer = Knock { path, length: &format!("content-length: {length}"), signed: true }.answer(room).await;
            ensure!(answer.as_ref().is_ok_and(|answer| answer.contains("413")), "{path} {length}: {answer:?}");
        }
        // One that does not say it.
        let stream = Knock { path: WEBHOOK, length: "transfer-encoding: chunked", signed: true }.send(room).await?;
        let piece = [format!("{:x}\r\n", 1 << 20).into_bytes(), vec![b' '; 1 << 20], b"\r\n".to_vec()].concat();
        let answer = trickle(stream, &piece, Duration::ZERO).await?;
        ensure!(answer.starts_with("HTTP/1.1 413"), "{answer}");
        Ok(())
    });
}

/// Attack: an outsider | sends a body without a signature, or with a malformed one | 401 before the body
#[test]
fn without_a_signature_no_body_is_waited_for() {
    room(async |room| -> Result<()> {
        for path in [COMMAND, WEBHOOK] {
            let unsigned = Knock { path, length: "content-length: 5000", signed: false };
            let answer = unsigned.answer(room).await;
            ensure!(answer.as_ref().is_ok_and(|answer| answer.contains("401")), "{path}: {answer:?}");
        }
        for headers in [
            "x-slack-request-timestamp: 1700000000\r\nx-slack-signature: v0=00",
            "x-slack-request-timestamp: +1\r\nx-slack-signature: v0=00",
            &format!("x-slack-request-timestamp: 1700000000\r\nx-slack-signature: v0={}", "0".repeat(64)),
        ] {
            let stream = head(room, COMMAND, &format!("{headers}\r\ncontent-length: 5000")).await?;
            let answer = first_line(stream).await;
            ensure!(answer.as_ref().is_ok_and(|answer| answer.contains("401")), "{headers}: {answer:?}");
        }
        let malformed = "x-hub-signature-256: sha256=00\r\ncontent-length: 5000";
        let answer = first_line(head(room, WEBHOOK, malformed).await?).await;
        ensure!(answer.as_ref().is_ok_and(|answer| answer.contains("401")), "{answer:?}");
        Ok(())
    });
}

/// Slack asks so, without a signature, whether the address answers. Nothing else is answered unsigned.
/// Attack: an outsider | hides a command in Slack's check of the certificate | 401: only the check itself needs no signature
#[test]
fn an_ssl_check_opens_the_door_for_nothing_else() {
    room(async |room| -> Result<()> {
        let genuine = room.slack.lock().ssl_check(now(), COMMAND);
        let answer = room.bot.send(&genuine).await;
        ensure!((answer.status, answer.body.as_str()) == (Some(200), ""), "{answer:?}");
        let command = String::from_utf8(room.slack.lock().command(now(), world::ALICE, world::DEPLOYS, "help").body)?;
        for body in [
            format!("ssl_check=1&{command}"),
            "ssl_check=1&token=x&text=checkout".to_owned(),
            "ssl_check=0&token=x".to_owned(),
            "ssl_check=1&ssl_check=1".to_owned(),
            "token=x".to_owned(),
            String::new(),
            format!("ssl_check=1&token={}", "x".repeat(1024)),
        ] {
            let request = Outgoing { body: body.clone().into_bytes(), ..genuine.clone() };
            let answer = room.bot.send(&request).await;
            ensure!(answer.status == Some(401), "{body}: {answer:?}");
        }
        // A signed one is answered, too, and does nothing whatever else it says.
        let body = format!("ssl_check=1&{command}");
        let seconds = (now() / 1000).to_string();
        let mut signed = Outgoing { body: body.clone().into_bytes(), ..genuine };
        let signature = signature(world::SLACK_SIGNING_SECRET, &seconds, body.as_bytes());
        signed.headers.push(("x-slack-request-timestamp".to_owned(), seconds));
        signed.headers.push(("x-slack-signature".to_owned(), signature));
        let answer = room.bot.send(&signed).await;
        ensure!((answer.status, answer.body.as_str()) == (Some(200), ""), "{answer:?}");
        Ok(())
    });
}

/// A request by hand, of which only the head is sent.
struct Knock<'k> {
    path: &'static str,
    length: &'k str,
    /// With a signature that looks right.
    signed: bool,
}

impl Knock<'_> {
    async fn send(&self, room: &Room) -> Result<TcpStream> {
        let signature = match (self.path, self.signed) {
            (_, false) => String::new(),
            (WEBHOOK, _) => format!("x-hub-signature-256: sha256={}\r\n", "0".repeat(64)),
            _ => {
                let seconds = now() / 1000;
                format!("x-slack-request-timestamp: {seconds}\r\nx-slack-signature: v0={}\r\n", "0".repeat(64))
            }
        };
        head(room, self.path, &format!("{signature}{}", self.length)).await
    }

    /// The first line of the answer, if it comes before the body.
    async fn answer(&self, room: &Room) -> Result<String> {
        first_line(self.send(room).await?).await
    }
}

async fn head(room: &Room, path: &str, more: &str) -> Result<TcpStream> {
    let address = room.bot.address().context("the bot has no address")?;
    let mut stream = TcpStream::connect(address).await?;
    let kind = if path == WEBHOOK { "application/json" } else { "application/x-www-form-urlencoded" };
    let head = format!("POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: {kind}\r\n{more}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    Ok(stream)
}

/// Sends the same again and again, until there is an answer; its first line.
async fn trickle(mut stream: TcpStream, piece: &[u8], pause: Duration) -> Result<String> {
    let (mut read, mut write) = stream.split();
    let send = async {
        while write.write_all(piece).await.is_ok() {
            tokio::time::sleep(pause).await;
        }
        std::future::pending::<()>().await;
    };
    let mut head = [0; 64];
    let length = tokio::select! {
        length = tokio::time::timeout(PATIENCE, read.read(&mut head)) => length.context("no answer")??,
        () = send => 0,
    };
    Ok(String::from_utf8_lossy(&head[..length]).lines().next().unwrap_or_default().to_owned())
}

async fn first_line(mut stream: TcpStream) -> Result<String> {
    let mut head = [0; 64];
    let length = tokio::time::timeout(AT_ONCE, stream.read(&mut head)).await.context("no answer")??;
    Ok(String::from_utf8_lossy(&head[..length]).lines().next().unwrap_or_default().to_owned())
}

// ---- what GitHub delivers ----

/// Attack: may push to the GitOps repository | has an old rewrite of the branch delivered again | the newest rewrite counts, and nothing older is synced
#[test]
fn an_older_rewrite_that_comes_late_does_not_hide_a_newer_one() {
    room(async |room| -> Result<()> {
        let seconds = now() / 1000;
        let rewrite = |pushed_at: u64, after: &str| {
            let mut push = one_commit(room, "Rewritten");
            push["forced"] = json!(true);
            push["after"] = json!(after.repeat(40));
            push["repository"]["pushed_at"] = json!(pushed_at);
            push
        };
        for (pushed_at, after, newest) in
            [(seconds - 60, "a", "a"), (seconds - 600, "b", "a"), (seconds - 30, "c", "c"), (seconds - 600, "b", "c")]
        {
            let answer = signed(room, "push", &rewrite(pushed_at, after)).await;
            ensure!(answer == "200 ignored: the branch was rewritten", "{answer}");
            let stored = room.key("deploy-bot/branch/rewritten").await?.unwrap_or_default();
            ensure!(stored["after"] == json!(newest.repeat(40)), "after {after}: {stored}");
        }
        Ok(())
    });
}

/// Anybody who may push can write the bot's trailer, and has GitHub's own committer by editing on its pages.
/// Attack: may push to the GitOps repository | pushes with the bot's committer and a made-up `Deploy-Id` | it is announced with the account that pushed
#[test]
fn a_push_that_poses_as_a_forgotten_deploy_is_announced() {
    const MADE_UP: &str = "Deploy checkout main-0123456\n\nDeploy-Id: 00112233445566778899aabbccddeeff";
    const VALUES: &str = "checkout/values.yaml";
    room(async |room| -> Result<()> {
        room.goes_live("checkout 42").await?;
        room.nothing_left().await?;
        let text = String::from_utf8_lossy(&room.file(VALUES)).into_owned();
        let smuggled = |replicas: u32| {
            let text = text.replace("replicaCount: 2", &format!("replicaCount: {replicas}"));
            NewCommit { on_the_web: true, ..NewCommit::new(MADE_UP, &[(VALUES, &text)]) }
        };
        let announced = async |count: usize| {
            let look = |_: &sandbox::Sandbox| (room.announcements().len() == count).then_some(());
            room.until(&format!("announcement number {count}"), PATIENCE, look).await
        };
        let alone = |github: &mut GitHub| {
            github.push(world::GITOPS, "main", "carol", &[smuggled(7)]);
        };
        let answer = answer_to(room, alone).await?;
        ensure!(answer.contains("noted"), "{answer}");
        announced(1).await?;
        // Among others that touch nothing.
        let among = |github: &mut GitHub| {
            let notes = NewCommit::new("Notes", &[("NOTES.md", "Because")]);
            github.push(world::GITOPS, "main", "carol", &[smuggled(8), notes]);
        };
        let answer = answer_to(room, among).await?;
        ensure!(answer.contains("noted"), "{answer}");
        announced(2).await?;
        // The bot's own account, of another installation say, is the only one that is believed.
        let own = |github: &mut GitHub| {
            github.push(world::GITOPS, "main", world::BOT_LOGIN, &[smuggled(9)]);
        };
        let answer = answer_to(room, own).await?;
        ensure!(answer.contains("ignored"), "{answer}");
        room.all_told().await
    });
}

// ---- where the bot calls ----

/// Attack: an outsider | waits on the way to a host that is spoken to without TLS | the bot does not start with such an address
#[test]
fn a_token_goes_to_no_host_without_tls() {
    room(async |room| -> Result<()> {
        let begin = room.journal.mark("plain");
        for name in ["slack_url", "github_url", "registry_url", "registry_token_url", "argocd_url"] {
            let good = room.variables.insert(name.to_owned(), "http://plain.example:8080".to_owned());
            room.restart_bot().await?;
            let said = room.log().len();
            let answer = room.alice("checkout 42").await;
            ensure!(answer.body.contains(&format!("the setting `{name}` is")), "{name}: {}", answer.body);
            named_in_the_log(room, said, name, 1).await?;
            named_at_healthz(room, name).await?;
            if name == "argocd_url" {
                let said = room.log().len();
                let body = br#"{"zen":"x"}"#.to_vec();
                let headers =
                    webhook_headers(world::WEBHOOK_SECRET, "ping", "72d3162e-cc78-11e3-81ab-4c9367dc0958", &body);
                let ping = Outgoing { at: now(), path: WEBHOOK.to_owned(), headers, body };
                ensure!(room.bot.send(&ping).await.status == Some(503));
                named_in_the_log(room, said, name, 1).await?;
            }
            // Unless the operator says so.
            room.variables.insert("plain_http_hosts".to_owned(), "other.example, plain.example:8080".to_owned());
            room.restart_bot().await?;
            let ready = room.bot.request(Request::get("/healthz?ready").body(Vec::new())?).await;
            ensure!(ready.status == Some(200), "{name}: {}", ready.body);
            room.variables.insert("plain_http_hosts".to_owned(), String::new());
            room.variables.insert(name.to_owned(), good.unwrap_or_default());
        }
        ensure!(room.calls(begin).is_empty(), "nothing was called");
        Ok(())
    });
}

/// The stand-in is two registries: what it is called by its address is another one than what it is called by its name.
/// Attack: may push to the registry | names another registry's token server, or another scope | no login and no token goes there
#[test]
fn a_registry_gets_no_token_that_is_for_another() {
    room(async |room| -> Result<()> {
        room.slack.lock().limits = None;
        let first = room.registry.origin();
        let by_name = first.replace("127.0.0.1", "localhost");
        let (host, other) = (first.trim_start_matches("http://").to_owned(), by_name.trim_start_matches("http://"));
        // The token server of the first one.
        room.variables.insert("registry_url".to_owned(), "https://registry.example".to_owned());
        room.variables.insert("registry_token_url".to_owned(), first.clone());
        room.variables.insert("registry2_url".to_owned(), by_name.clone());
        room.restart_bot().await?;
        let catalog = String::from_utf8_lossy(&room.file("deploy-bot.yaml")).replace(&host, other);
        let push = |catalog: &str| {
            let files = [("deploy-bot.yaml", catalog)];
            room.github.lock().person_pushes(world::GITOPS, "main", "carol", &files, "Another registry");
        };
        push(&catalog);
        room.registry.lock().realm = Some(format!("{first}/token"));
        let begin = room.journal.mark("another's");
        room.alice("checkout 42").await;
        room.says("the setting `registry_token_url`").await?;
        room.nothing_left().await?;
        ensure!(!room.calls(begin).contains(&"registry.token".to_owned()), "no token is asked for");

        // The scope is ours, wherever the registry would like another one.
        room.registry.lock().realm = Some(format!("{by_name}/token?scope=repository:acme/secret:pull"));
        let since = room.journal.entries().len();
        room.alice("checkout 42").await;
        let asked = |room: &sandbox::Sandbox| {
            let entries = room.journal.entries();
            entries.into_iter().skip(since).find(|entry| entry.call == "registry.token").map(|entry| entry.target)
        };
        let asked = room.until("question for a token", PATIENCE, asked).await?;
        ensure!(asked.contains("scope=repository%3Aacme%2Fcheckout%3Apull") && !asked.contains("secret"), "{asked}");
        room.all_told().await
    });
}

/// Attack: may push to the GitOps repository | names an image at a host of their own | no call leaves
#[test]
fn an_image_in_a_registry_that_no_variable_names_is_not_asked_for() {
    room(async |room| -> Result<()> {
        room.slack.lock().limits = None;
        let host = room.registry.origin().trim_start_matches("http://").to_owned();
        let good = String::from_utf8_lossy(&room.file("deploy-bot.yaml")).into_owned();
        for evil in ["evil.azurecr.io", "evil.execute-api.eu-central-1.amazonaws.com", "evil-docker.pkg.dev"] {
            let catalog = good.replace(&host, evil);
            let files = [("deploy-bot.yaml", catalog.as_str())];
            room.github.lock().person_pushes(world::GITOPS, "main", "carol", &files, "Another registry");
            let begin = room.journal.mark(evil);
            room.alice("checkout 42").await;
            let said = room.says(&format!("set `registry2_url` to `https://{evil}`")).await?;
            ensure!(said.contains("not deployed: I may not ask the registry"), "{said}");
            room.all_told().await?;
            ensure!(!room.calls(begin).iter().any(|call| call.starts_with("registry.")), "nobody was asked");
        }
        Ok(())
    });
}

// ---- what is left in the store ----

/// Attack: may write the store | speaks as the bot by a stored answer address | it is deleted when the end is told
#[test]
fn who_reads_the_store_finds_no_address_to_answer_at() {
    room(async |room| -> Result<()> {
        let secrets = |typed: &Outgoing| {
            let form: Vec<(String, String)> = form_urlencoded::parse(&typed.body).into_owned().collect();
            form.into_iter().find(|(name, _)| name == "response_url").map(|(_, url)| url).unwrap_or_default()
        };
        let mut addresses = Vec::new();
        // Live, refused, and answered without a message.
        for text in ["checkout 42", "checkout 4711", "apps"] {
            let typed = room.slack.lock().command(now(), world::ALICE, world::DEPLOYS, text);
            addresses.push(secrets(&typed));
            room.send(&typed).await;
            room.all_told().await?;
        }
        room.says("is live").await?;
        room.says("no pull request #4711").await?;
        ensure!(addresses.iter().all(|address| address.len() > 40), "{addresses:?}");
        let mut store = redis::Client::open(room.store.url())?.get_multiplexed_async_connection().await?;
        let left = async |store: &mut redis::aio::MultiplexedConnection| -> Result<Vec<String>> {
            let mut left = Vec::new();
            for key in room.keys().await? {
                let value: Option<String> = redis::cmd("GET").arg(&key).query_async(store).await?;
                if value.is_some_and(|value| addresses.iter().any(|address| value.contains(address))) {
                    left.push(key);
                }
            }
            Ok(left)
        };
        let begun = Instant::now();
        loop {
            let left = left(&mut store).await?;
            if left.is_empty() {
                return Ok(());
            }
            ensure!(begun.elapsed() < PATIENCE, "{left:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
}

// ---- after a rotation ----

/// Attack: a member | presses an old button again after a rotation of the secret | it is the same request as before
#[test]
fn a_button_pressed_before_a_rotation_starts_nothing_after_it() {
    const NEW: &str = "the secret after the rotation";
    room(async |room| -> Result<()> {
        room.slack.lock().limits = None;
        room.alice("checkout 4711").await;
        room.says("no pull request #4711").await?;
        room.goes_live("checkout 42").await?;
        room.builds("checkout", "main", "bob");
        room.goes_live("checkout main").await?;
        room.nothing_left().await?;
        let live = {
            let slack = room.slack.lock();
            slack.messages(world::DEPLOYS).last().cloned().context("a message")?
        };
        let before = room.commits();
        room.press(world::BOB, &live, "roll_back").await;
        let committed = |_: &sandbox::Sandbox| (room.commits() > before).then_some(());
        room.until("commit of the rollback", PATIENCE, committed).await?;
        room.all_told().await?;
        let (commits, messages) = (room.commits(), room.messages().len());

        let old = std::mem::replace(&mut room.slack.lock().signing_secret, NEW.to_owned());
        room.variables.insert("slack_signing_secret".to_owned(), NEW.to_owned());
        room.variables.insert("slack_signing_secret_previous".to_owned(), old);
        room.restart_bot().await?;
        room.press(world::CAROL, &live, "roll_back").await;
        let told = |room: &sandbox::Sandbox| {
            let slack = room.slack.lock();
            let mut all = slack.ephemerals(world::CAROL).into_iter().map(|message| slack.render(message));
            all.any(|text| text.contains("already pressed that")).then_some(())
        };
        room.until("word that it was pressed before", PATIENCE, told).await?;
        room.all_told_when_probed().await?;
        ensure!((room.commits(), room.messages().len()) == (commits, messages), "{:#?}", room.messages());

        // The old secret is lost, and must not be believed any more: what was asked for by then is forgotten.
        room.variables.remove("slack_signing_secret_previous");
        room.restart_bot().await?;
        room.press(world::CAROL, &live, "roll_back").await;
        let told = |room: &sandbox::Sandbox| {
            let slack = room.slack.lock();
            let mut all = slack.ephemerals(world::CAROL).into_iter().map(|message| slack.render(message));
            all.any(|text| text.contains("I don't remember it any more")).then_some(())
        };
        room.until("word that it is forgotten", PATIENCE, told).await?;
        ensure!((room.commits(), room.messages().len()) == (commits, messages), "{:#?}", room.messages());
        Ok(())
    });
}
