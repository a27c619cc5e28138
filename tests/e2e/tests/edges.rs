//! Attacks at the edges of the bot: at its two doors before a signature is checked, by what GitHub delivers late, at
//! the addresses that the bot calls, and with what is left in the store.

use crate::pushes::{answer_to, one_commit, signed};
use anyhow::{Context, Result, ensure};
use e2e::{PATIENCE, Room, room};
use fakes::Outgoing;
use fakes::github::{GitHub, NewCommit};
use fakes::slack::signature;
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
