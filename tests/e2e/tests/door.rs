//! The door to Slack. A request that is not Slack's, or not a command, gets the right status, costs the store
//! and Redis nothing, and changes nothing. A request of Slack's always gets a 200, because people read any
//! other status as "dispatch_failed".

use anyhow::{Context, Result, ensure};
use e2e::access::{Accesses, carried_elsewhere};
use e2e::{PATIENCE, Room, room};
use fakes::slack::{Forgery, signature};
use fakes::{Millis, Outgoing};
use http::{Method, Request};
use sandbox::{now, world};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const LIMIT: usize = 64 << 10;
const COMMAND: &str = "/slack/command";
const INTERACTION: &str = "/slack/interaction";

#[test]
fn what_is_not_slacks_is_refused_and_costs_nothing() {
    untouched(async |room| {
        let mut accesses = Accesses::since_now(room).await?;
        for path in [COMMAND, INTERACTION] {
            let genuine = Outgoing { path: path.to_owned(), ..typed(room, "checkout 42") };
            for (forgery, expected) in [
                (Forgery::StaleBy(301), "the signature is too old, or a clock is wrong"),
                (Forgery::StaleBy(7 * 24 * 3600), "the signature is too old, or a clock is wrong"),
                (Forgery::WrongSecret, "the signature is wrong"),
                (Forgery::OtherBody, "the signature is wrong"),
                (Forgery::Unsigned, "the signature is missing"),
            ] {
                let forged = room.slack.lock().forge(&genuine, forgery);
                check(room, &forged, 401, expected).await?;
            }
            // From a clock that is ahead.
            let ahead = sign(path, genuine.body.clone(), now() + 310_000, world::SLACK_SIGNING_SECRET);
            check(room, &ahead, 401, "the signature is too old, or a clock is wrong").await?;
            // HMAC itself would take an empty secret.
            check(room, &sign(path, genuine.body.clone(), now(), ""), 401, "the signature is wrong").await?;
            for (header, value, expected) in [
                ("x-slack-signature", "v0=00", "the signature is malformed"),
                ("x-slack-signature", "", "the signature is missing"),
                ("x-slack-request-timestamp", "+1700000000", "the signature is malformed"),
                ("x-slack-request-timestamp", "99999999999999999999999", "the signature is malformed"),
                ("x-slack-request-timestamp", "18446744073709551615", "the signature is too old, or a clock is wrong"),
                ("x-slack-request-timestamp", "", "the signature is missing"),
            ] {
                check(room, &with(&genuine, header, value), 401, expected).await?;
            }
            // A header that comes twice: a proxy might look at the other one.
            let mut twice = genuine.clone();
            twice.headers.push(("x-slack-signature".to_owned(), format!("v0={}", "0".repeat(64))));
            check(room, &twice, 401, "the signature is missing").await?;
        }
        accesses.none().await
    });
}

#[test]
fn what_is_no_request_of_slacks_kind_is_refused_and_costs_nothing() {
    untouched(async |room| {
        let mut accesses = Accesses::since_now(room).await?;
        for path in [COMMAND, INTERACTION] {
            for method in [Method::GET, Method::HEAD, Method::PUT, Method::DELETE] {
                let answer = room.bot.request(Request::builder().method(&method).uri(path).body(Vec::new())?).await;
                assert_eq!(answer.status, Some(405), "{method} {path}: {}", answer.body);
            }
            let genuine = Outgoing { path: path.to_owned(), ..typed(room, "checkout 42") };
            for content_type in ["application/json", "multipart/form-data", "text/plain", ""] {
                let wrong = with(&genuine, "content-type", content_type);
                check(room, &wrong, 415, "application/x-www-form-urlencoded only").await?;
            }
            // Well signed, but too long: it is not even read to its end.
            let body = padded(&genuine.body, LIMIT + 1);
            let too_long = sign(path, body.clone(), now(), world::SLACK_SIGNING_SECRET);
            check(room, &too_long, 413, "more than 64 KiB").await?;
            // The same without a `content-length` that would show it.
            let answer = chunked(room, &too_long).await?;
            assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
        }
        check(room, &post("/slack/commands", b""), 404, "").await?;
        check(room, &post("/", b""), 404, "").await?;
        let post_health = room.bot.request(Request::post("/healthz").body(Vec::new())?).await;
        assert_eq!(post_health.status, Some(405), "{}", post_health.body);

        // Slack's own check of the certificate is not signed, and does nothing whatever else it says.
        let asked = room.bot.request(Request::get("/slack/command?ssl_check=1").body(Vec::new())?).await;
        assert_eq!((asked.status, asked.body.as_str()), (Some(200), ""));
        let check_it = room.slack.lock().ssl_check(now(), COMMAND);
        check(room, &check_it, 200, "").await?;
        let command = [b"ssl_check=1&", &typed(room, "checkout 42").body[..]].concat();
        check(room, &post(COMMAND, &command), 401, "the signature is missing").await?;
        accesses.none().await
    });
}

/// The store gets two writes at once and no read, and Redis gets one question and one command, before the answer.
#[test]
fn a_command_is_accepted_with_two_writes_and_no_read() {
    room(async |room| -> Result<()> {
        let commands: Vec<Outgoing> = (0..2).map(|_| typed(room, "checkout main")).collect();
        carried_elsewhere(room, &commands).await?;
        // The carrier, which begins after the answer, finds its lease taken. Then there is nothing left to
        // count.
        for command in &commands {
            let mut accesses = Accesses::since_now(room).await?;
            let answer = room.send(command).await;
            ensure!(answer.is_accepted(), "{answer:?}");
            let begun = Instant::now();
            let mut redis = accesses.redis().await?;
            while !redis.contains_key("set") {
                ensure!(begun.elapsed() < PATIENCE, "no carrier: {redis:?}");
                redis = accesses.redis().await?;
            }
            let mut store = accesses.store().await?;
            // An instance opens its connections with its first command, and a busy machine may start a second instance.
            store.remove("connect");
            redis.remove("connect");
            ensure!(store == BTreeMap::from([("set".to_owned(), 2)]), "the store: {store:?}");
            let expected = [("exists".to_owned(), 1), ("set".to_owned(), 1), ("zadd".to_owned(), 1)];
            ensure!(redis == BTreeMap::from(expected), "Redis: {redis:?}");
        }
        // The carrier elsewhere has died, and the commands are carried out here.
        for lease in room.redis::<Vec<String>>(&["KEYS", "deploy-bot/lease/carry/*"]).await? {
            room.redis::<i64>(&["DEL", &lease]).await?;
        }
        room.all_told_when_probed().await
    });
}

#[test]
fn a_signed_form_that_is_no_command_is_refused() {
    untouched(async |room| {
        let mut accesses = Accesses::since_now(room).await?;
        let genuine = String::from_utf8(typed(room, "checkout 42").body)?;
        let without = |name: &str| {
            let pairs = genuine.split('&').filter(|pair| !pair.starts_with(&format!("{name}=")));
            pairs.collect::<Vec<_>>().join("&").into_bytes()
        };
        let and = |more: &[u8]| [without("text"), more.to_vec()].concat();
        for (body, expected) in [
            (and(b"&text=checkout+42\xff"), "the field text is not UTF-8"),
            (and(b"&text=checkout+42%FF"), "the field text is not UTF-8"),
            // A lone surrogate, as JavaScript may write one.
            (and(b"&text=%ED%A0%80"), "the field text is not UTF-8"),
            ([without("user_name"), b"&user_name=%C3%28".to_vec()].concat(), "the field user_name is not UTF-8"),
            (and(b"&text=checkout+42&text=payments+7"), "the field text is there twice"),
            (without("team_id"), "the field team_id is missing"),
            (without("channel_id"), "the field channel_id is missing"),
            (without("user_id"), "the field user_id is missing"),
            (without("command"), "the field command is missing"),
            (without("response_url"), "the field response_url is missing"),
            (without("trigger_id"), "the field trigger_id is missing"),
            ([without("user_id"), b"&user_id=%3C%21channel%3E".to_vec()].concat(), "the field user_id is malformed"),
            // An answer address that is not Slack's would make the bot call somebody else.
            (
                [without("response_url"), b"&response_url=https%3A%2F%2Fevil.example%2Fx".to_vec()].concat(),
                "response_url is not Slack's",
            ),
            (Vec::new(), "the field team_id is missing"),
            (b"&&==&%&%f&%zz=".to_vec(), "the field team_id is missing"),
            (vec![0xff; 1000], "the field team_id is missing"),
        ] {
            let signed = sign(COMMAND, body, now(), world::SLACK_SIGNING_SECRET);
            check(room, &signed, 400, expected).await?;
        }
        for (payload, expected) in [
            (&b""[..], "the field payload is missing"),
            (b"payload=no", "the field payload is malformed"),
            (
                b"payload=%7B%22type%22%3A%22block_actions%22%2C%22actions%22%3A%5B%5D%7D",
                "the field payload.actions is missing",
            ),
            (b"payload=%7B%22type%22%3A%22view_submission%22%7D", "the field payload.type is malformed"),
            (b"payload=%FF", "the field payload is not UTF-8"),
        ] {
            let signed = sign(INTERACTION, payload.to_vec(), now(), world::SLACK_SIGNING_SECRET);
            check(room, &signed, 400, expected).await?;
        }
        accesses.none().await
    });
}

#[test]
fn what_is_slacks_gets_an_answer_and_may_change_nothing_either() {
    untouched(async |room| {
        let mut accesses = Accesses::since_now(room).await?;
        // Up to the limit, and up to five minutes, a request counts.
        let help = typed(room, "help");
        let longest = sign(COMMAND, padded(&help.body, LIMIT), now(), world::SLACK_SIGNING_SECRET);
        check(room, &longest, 200, "/deploy").await?;
        ensure!(chunked(room, &longest).await?.starts_with("HTTP/1.1 200"), "the same in chunks");
        for at in [now() - 290_000, now() + 290_000] {
            check(room, &sign(COMMAND, help.body.clone(), at, world::SLACK_SIGNING_SECRET), 200, "/deploy").await?;
        }
        let parameters = with(&help, "content-type", "Application/X-WWW-Form-Urlencoded; charset=utf-8");
        check(room, &parameters, 200, "/deploy").await?;

        // Somebody of another workspace that has the app reads that, and nothing else happens.
        let genuine = String::from_utf8(typed(room, "checkout 42").body)?;
        let elsewhere = genuine.replace(&format!("team_id={}", world::TEAM), "team_id=T0OTHER");
        assert_ne!(genuine, elsewhere);
        let elsewhere = sign(COMMAND, elsewhere.into_bytes(), now(), world::SLACK_SIGNING_SECRET);
        check(room, &elsewhere, 200, "I work for another Slack workspace.").await?;

        // A button that we do not know is answered, too; what buttons do is in `conversation`.
        let form: BTreeMap<String, String> = form_urlencoded::parse(genuine.as_bytes()).into_owned().collect();
        let click = json!({
            "type": "block_actions", "team": { "id": world::TEAM }, "user": { "id": world::ALICE, "team_id": world::TEAM },
            "channel": { "id": world::DEPLOYS }, "trigger_id": "1.2.3", "response_url": form["response_url"],
            "actions": [{ "action_id": "dance" }],
        });
        let body = form_urlencoded::Serializer::new(String::new()).append_pair("payload", &click.to_string()).finish();
        let click = sign(INTERACTION, body.into_bytes(), now(), world::SLACK_SIGNING_SECRET);
        check(room, &click, 200, "").await?;
        let forged = room.slack.lock().forge(&click, Forgery::WrongSecret);
        check(room, &forged, 401, "the signature is wrong").await?;
        accesses.none().await
    });
}

// ---- requests ----

/// A test after which the bot still answers, and nothing is different: no key in either Redis, no call of another system, no panic.
fn untouched(test: impl AsyncFnOnce(&Room) -> Result<()>) {
    room(async |room| -> Result<()> {
        let begin = room.journal.mark("begin");
        test(room).await?;
        // Who presses a button is answered there.
        let calls: Vec<String> = room.calls(begin).into_iter().filter(|call| call != "slack.response_url").collect();
        assert_eq!(calls, [""; 0], "no other system heard of it");
        assert_eq!(room.keys().await?, [""; 0]);
        assert_eq!(room.redis::<Vec<String>>(&["KEYS", "*"]).await?, [""; 0]);
        assert_eq!(room.messages(), [""; 0]);
        let log = room.log();
        assert!(!log.contains("panicked") && !log.contains("trap"), "{log}");

        let ready = room.bot.request(Request::get("/healthz?ready").body(Vec::new())?).await;
        assert_eq!(ready.status, Some(200), "{}", ready.body);
        let help = room.alice("help").await;
        assert_eq!(help.status, Some(200), "{}", help.body);
        Ok(())
    });
}

async fn check(room: &Room, request: &Outgoing, status: u16, says: &str) -> Result<()> {
    let answer = room.bot.send(request).await;
    // The host answers a route that no component has, in its own words.
    let says_so = if says.is_empty() { status == 404 || answer.body.is_empty() } else { answer.body.contains(says) };
    let is_right = answer.status == Some(status) && says_so;
    let body = String::from_utf8_lossy(request.body.get(..100).unwrap_or(&request.body));
    ensure!(
        is_right,
        "{} with {body:?}: {status} {says:?} expected, not {:?} {}",
        request.path,
        answer.status,
        answer.body
    );
    Ok(())
}

/// What Slack sends when Alice types it; it is not sent.
fn typed(room: &Room, text: &str) -> Outgoing {
    room.slack.lock().command(now(), world::ALICE, world::DEPLOYS, text)
}

fn post(path: &str, body: &[u8]) -> Outgoing {
    let headers = vec![("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned())];
    Outgoing { at: now(), path: path.to_owned(), headers, body: body.to_vec() }
}

/// A form that is signed with this secret at this time.
fn sign(path: &str, body: Vec<u8>, at: Millis, secret: &str) -> Outgoing {
    let seconds = (at / 1000).to_string();
    let signature = signature(secret, &seconds, &body);
    let signed = with(&post(path, &body), "x-slack-request-timestamp", &seconds);
    with(&signed, "x-slack-signature", &signature)
}

/// The same with another value of a header.
fn with(request: &Outgoing, header: &str, value: &str) -> Outgoing {
    let mut request = request.clone();
    request.headers.retain(|(name, _)| name != header);
    request.headers.push((header.to_owned(), value.to_owned()));
    request
}

/// A form of exactly this length, by a field that nobody reads.
fn padded(form: &[u8], length: usize) -> Vec<u8> {
    let mut form = [form, b"&padding="].concat();
    form.resize(length, b'x');
    form
}

/// Sends it in chunks, without a `content-length`; the answer as it comes over the wire.
async fn chunked(room: &Room, request: &Outgoing) -> Result<String> {
    let address = room.bot.address().context("the bot has no address")?;
    let mut stream = TcpStream::connect(address).await?;
    let mut head = format!("POST {} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n", request.path);
    for (name, value) in &request.headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all(format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes()).await?;
    for piece in request.body.chunks(10_000) {
        stream.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).await?;
        stream.write_all(&[piece, b"\r\n"].concat()).await?;
    }
    stream.write_all(b"0\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
