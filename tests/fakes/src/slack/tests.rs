use super::*;

const NOW: Millis = 1_700_000_000_000;
const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
const TOKEN: &str = "xoxb-1-2-abcdefghijkl";

fn workspace() -> Slack {
    let mut slack = Slack::new(SECRET, TOKEN, "http://127.0.0.1:4100/");
    slack.add_user("U1", "alice");
    slack.add_channel("C1", "deploys", Kind::Public, Bot::Member);
    slack.add_channel("C2", "lobby", Kind::Public, Bot::Outside);
    slack.add_channel("G1", "secret", Kind::Private, Bot::Outside);
    slack.add_channel("G2", "ops", Kind::Private, Bot::Member);
    slack
}

fn request(target: &str, headers: &[(&str, &str)], body: &str) -> Request {
    let mut map = http::HeaderMap::new();
    for (name, value) in headers {
        let name: http::HeaderName = name.parse().unwrap();
        map.insert(name, value.parse().unwrap());
    }
    Request { method: http::Method::POST, target: target.to_owned(), headers: map, body: body.as_bytes().to_vec() }
}

fn send(slack: &mut Slack, now: Millis, request: &Request) -> (u16, Value) {
    let Answer::Whole(response) = slack.answer(now, request) else { panic!("Slack answers at once") };
    (response.status, serde_json::from_slice(&response.body).unwrap_or(Value::Null))
}

fn call_at(slack: &mut Slack, now: Millis, method: &str, body: &Value) -> (u16, Value) {
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json; charset=utf-8")];
    send(slack, now, &request(&format!("/api/{method}"), &headers, &body.to_string()))
}

fn call(slack: &mut Slack, method: &str, body: &Value) -> Value {
    call_at(slack, NOW, method, body).1
}

fn error_of(slack: &mut Slack, method: &str, body: &Value) -> String {
    call(slack, method, body)["error"].as_str().unwrap_or("none").to_owned()
}

fn fields(outgoing: &Outgoing) -> BTreeMap<String, String> {
    form_urlencoded::parse(&outgoing.body).into_owned().collect()
}

fn use_url(slack: &mut Slack, now: Millis, url: &str, body: &Value) -> (u16, Value) {
    let path = url.strip_prefix("http://127.0.0.1:4100").unwrap();
    send(slack, now, &request(path, &[("content-type", "application/json")], &body.to_string()))
}

#[test]
fn signs_like_slack() {
    let body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&\
        channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&\
        response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&\
        trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    assert_eq!(
        signature(SECRET, "1531420618", body.as_bytes()),
        "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
    );
}

#[test]
fn a_command_has_every_field_and_is_signed() {
    let mut slack = workspace();
    let first = slack.command(NOW, "U1", "C1", "checkout 42");
    let lines: Vec<String> = fields(&first).into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    insta::assert_snapshot!(lines.join("\n"), @"
    api_app_id=A0DEPLOY
    channel_id=C1
    channel_name=deploys
    command=/deploy
    is_enterprise_install=false
    response_url=http://127.0.0.1:4100/commands/T0ACME/397700885555/62babae25e33aa86f1010b67
    team_domain=t0acme
    team_id=T0ACME
    text=checkout 42
    token=deprecated-verification-token
    trigger_id=398738663017.47445629121.38f0de8ba56818f8679f4e0be1426b9d
    user_id=U1
    user_name=alice
    ");
    let headers: BTreeMap<_, _> = first.headers.iter().cloned().collect();
    assert_eq!(headers["x-slack-request-timestamp"], "1700000000");
    assert_eq!(headers["x-slack-signature"], signature(SECRET, "1700000000", &first.body));

    let second = slack.command(NOW, "U1", "C1", "checkout 42");
    assert_ne!(fields(&first)["trigger_id"], fields(&second)["trigger_id"]);
    assert_ne!(fields(&first)["response_url"], fields(&second)["response_url"]);
    let again = slack.repeat(NOW + 1, &first);
    assert_eq!((again.at, &again.headers, &again.body), (NOW + 1, &first.headers, &first.body));
}

#[test]
fn forged_requests_do_not_verify() {
    let mut slack = workspace();
    let command = slack.command(NOW, "U1", "C1", "checkout 42");
    let header = |outgoing: &Outgoing, name: &str| {
        outgoing.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
    };
    let verifies = |outgoing: &Outgoing| {
        let timestamp = header(outgoing, "x-slack-request-timestamp")?;
        Some(header(outgoing, "x-slack-signature")? == signature(SECRET, &timestamp, &outgoing.body))
    };
    let stale = slack.forge(&command, Forgery::StaleBy(301));
    assert_eq!(header(&stale, "x-slack-request-timestamp").as_deref(), Some("1699999699"));
    assert_eq!(verifies(&stale), Some(true));
    assert_eq!(verifies(&slack.forge(&command, Forgery::WrongSecret)), Some(false));
    assert_eq!(verifies(&slack.forge(&command, Forgery::OtherBody)), Some(false));
    assert_eq!(verifies(&slack.forge(&command, Forgery::Unsigned)), None);
    assert_eq!(verifies(&slack.ssl_check(NOW, "/slack/command")), None);
}

#[test]
fn posts_and_updates_keep_the_whole_history() {
    let mut slack = workspace();
    let block = json!({"type": "section", "text": {"type": "mrkdwn", "text": "*one*"}});
    let posted = call(&mut slack, "chat.postMessage", &json!({"channel": "C1", "text": "one", "blocks": [block]}));
    assert_eq!(
        (&posted["ok"], &posted["channel"], &posted["ts"]),
        (&json!(true), &json!("C1"), &json!("1700000000.000100"))
    );
    let second = call(&mut slack, "chat.postMessage", &json!({"channel": "C1", "text": "other"}));
    assert_eq!(second["ts"], "1700000000.000200");

    // Without blocks the old ones stay, and the person sees no change.
    let update = json!({"channel": "C1", "ts": "1700000000.000100", "text": "two"});
    let (status, updated) = call_at(&mut slack, NOW + 2000, "chat.update", &update);
    assert_eq!((status, &updated["text"]), (200, &json!("two")));
    let message = &slack.messages("C1")[0];
    assert_eq!(slack.render(message), "*one*");
    let history: Vec<_> = message.edits.iter().map(|edit| (edit.at - NOW, edit.text.as_str())).collect();
    assert_eq!(history, [(0, "one"), (2000, "two")]);

    let update = json!({"channel": "C1", "ts": "1700000000.000100", "text": "three", "blocks": []});
    call(&mut slack, "chat.update", &update);
    assert_eq!(slack.render(&slack.messages("C1")[0]), "three");
}

#[test]
fn needs_the_token_and_a_content_type() {
    let mut slack = workspace();
    let body = json!({"channel": "C1", "text": "x"}).to_string();
    let json_type = ("content-type", "application/json; charset=utf-8");
    let mut error = |headers: &[(&str, &str)], body: &str| {
        send(&mut slack, NOW, &request("/api/chat.postMessage", headers, body)).1["error"].clone()
    };
    let right = format!("Bearer {TOKEN}");
    assert_eq!(error(&[json_type], &body), "not_authed");
    assert_eq!(error(&[json_type, ("authorization", "Bearer xoxb-other")], &body), "invalid_auth");
    assert_eq!(error(&[("authorization", &right)], &body), "missing_post_type");
    assert_eq!(error(&[("authorization", &right), ("content-type", "text/plain")], &body), "invalid_post_type");
    assert_eq!(error(&[("authorization", &right), json_type], "{"), "invalid_json");
    let form = ("content-type", "application/x-www-form-urlencoded");
    let blocks = "channel=C1&text=hi&blocks=%5B%7B%22type%22%3A%22divider%22%7D%5D";
    assert_eq!(error(&[("authorization", &right), form], blocks), Value::Null);
    assert_eq!(slack.messages("C1")[0].now().blocks, [json!({"type": "divider"})]);
    slack.revoke_token();
    assert_eq!(error_of(&mut slack, "auth.test", &json!({})), "token_revoked");
}

#[test]
fn refuses_what_slack_refuses() {
    let mut slack = workspace();
    let post = |channel: &str| json!({"channel": channel, "text": "x"});
    for (channel, expected) in [
        ("#deploys", "channel_not_found"),
        ("C9", "channel_not_found"),
        ("G1", "channel_not_found"),
        ("G2", "none"),
        ("C2", "none"),
    ] {
        assert_eq!(error_of(&mut slack, "chat.postMessage", &post(channel)), expected, "{channel}");
    }
    slack.scopes.remove("chat:write.public");
    assert_eq!(error_of(&mut slack, "chat.postMessage", &post("C2")), "not_in_channel");
    slack.channel("C1").archived = true;
    assert_eq!(error_of(&mut slack, "chat.postMessage", &post("C1")), "is_archived");
    slack.channel("C1").archived = false;
    assert_eq!(error_of(&mut slack, "chat.postMessage", &json!({"channel": "C1"})), "no_text");
    let refused = call(
        &mut slack,
        "chat.postMessage",
        &json!({"channel": "C1", "text": "x", "blocks": [{"type": "header", "text": {"type": "plain_text", "text": "x".repeat(151)}}]}),
    );
    assert_eq!(refused["error"], "invalid_blocks");
    assert_eq!(
        refused["response_metadata"]["messages"][0],
        "[ERROR] must be less than 151 characters [json-pointer:/blocks/0/text/text]"
    );
    assert!(slack.messages("C1").is_empty());
    slack.scopes.clear();
    let refused = call(&mut slack, "chat.postMessage", &post("C1"));
    assert_eq!((&refused["error"], &refused["needed"]), (&json!("missing_scope"), &json!("chat:write")));
    assert_eq!(error_of(&mut slack, "chat.delete", &json!({})), "unknown_method");
}

#[test]
fn updates_only_its_own_living_messages() {
    let mut slack = workspace();
    let persons = slack.say(NOW, "U1", "C1", "hello");
    let ts = call(&mut slack, "chat.postMessage", &json!({"channel": "C1", "text": "x"}))["ts"].clone();
    let update = |ts: &Value, text: &str| json!({"channel": "C1", "ts": ts, "text": text});
    assert_eq!(error_of(&mut slack, "chat.update", &update(&json!(persons), "y")), "cant_update_message");
    assert_eq!(error_of(&mut slack, "chat.update", &update(&json!("1.000001"), "y")), "message_not_found");
    assert_eq!(error_of(&mut slack, "chat.update", &update(&ts, &"y".repeat(4001))), "msg_too_long");
    assert_eq!(error_of(&mut slack, "chat.update", &update(&ts, &"y".repeat(4000))), "none");
    slack.edit_window = Some(60_000);
    let late = call_at(&mut slack, NOW + 60_001, "chat.update", &update(&ts, "y")).1;
    assert_eq!(late["error"], "edit_window_closed");
    slack.channel("C1").archived = true;
    assert_eq!(error_of(&mut slack, "chat.update", &update(&ts, "y")), "is_inactive");
    slack.channel("C1").archived = false;
    slack.delete_message(NOW, "C1", ts.as_str().unwrap());
    assert_eq!(error_of(&mut slack, "chat.update", &update(&ts, "y")), "message_not_found");
}

#[test]
fn rate_limits_posts_per_channel_and_updates_per_workspace() {
    let mut slack = workspace();
    slack.limits = Some(Limits { post_burst: 2, update_burst: 3, ..Limits::default() });
    let post = |channel: &str| json!({"channel": channel, "text": "x"});
    let mut statuses = Vec::new();
    for at in [0, 0, 0, 1000, 1000] {
        statuses.push(call_at(&mut slack, NOW + at, "chat.postMessage", &post("C1")).0);
    }
    assert_eq!(statuses, [200, 200, 429, 200, 429]);
    assert_eq!(call(&mut slack, "chat.postMessage", &post("C2"))["ok"], true);

    let update = json!({"channel": "C1", "ts": "1700000000.000100", "text": "y"});
    let results: Vec<u16> = (0..4).map(|_| call_at(&mut slack, NOW, "chat.update", &update).0).collect();
    assert_eq!(results, [200, 200, 200, 429]);
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json; charset=utf-8")];
    let Answer::Whole(response) = slack.answer(NOW, &request("/api/chat.update", &headers, &update.to_string())) else {
        panic!("Slack answers at once")
    };
    assert!(response.headers.contains(&("retry-after".to_owned(), "2".to_owned())));
    assert_eq!(response.body, br#"{"error":"ratelimited","ok":false}"#);
    assert_eq!(call_at(&mut slack, NOW + 1200, "chat.update", &update).0, 200);
    assert_eq!(slack.limited(), 4);
    let minute =
        (0..60_000).step_by(100).filter(|at| call_at(&mut slack, NOW + 100_000 + at, "chat.update", &update).0 == 200);
    assert_eq!(minute.count(), 52);
}

#[test]
fn a_response_url_works_five_times_in_half_an_hour() {
    let mut slack = workspace();
    let command = slack.command(NOW, "U1", "G1", "checkout 42");
    let url = fields(&command)["response_url"].clone();
    assert_eq!(use_url(&mut slack, NOW, &url, &json!({"text": "one"})).0, 200);
    let replace = json!({"text": "two", "replace_original": true});
    assert_eq!(use_url(&mut slack, NOW, &url, &replace).0, 200);
    let texts: Vec<&str> = slack.ephemerals("U1").iter().map(|message| message.text()).collect();
    assert_eq!(texts, ["two"]);
    // Also where the bot is no member.
    assert_eq!(use_url(&mut slack, NOW, &url, &json!({"text": "all", "response_type": "in_channel"})).0, 200);
    assert_eq!(slack.messages("G1")[0].text(), "all");
    let nothing = use_url(&mut slack, NOW, &url, &json!({}));
    assert_eq!(nothing, (400, json!({"ok": false, "error": "no_text"})));
    for _ in 0..2 {
        assert_eq!(use_url(&mut slack, NOW, &url, &json!({"text": "x"})).0, 200);
    }
    assert_eq!(use_url(&mut slack, NOW, &url, &json!({"text": "x"})), (404, json!({"ok": false, "error": "used_url"})));

    let command = slack.command(NOW, "U1", "C1", "checkout 42");
    let url = fields(&command)["response_url"].clone();
    let late = use_url(&mut slack, NOW + 1_800_001, &url, &json!({"text": "x"}));
    assert_eq!(late, (404, json!({"ok": false, "error": "expired_url"})));
}

#[test]
fn shows_the_answer_to_a_command() {
    let mut slack = workspace();
    let check = |late: Millis, status: u16, body: &str, expected: &[&str]| {
        let mut slack = slack.clone();
        let command = slack.command(NOW, "U1", "C1", "checkout 42");
        slack.answered(NOW + late, &command, status, body.as_bytes());
        let seen: Vec<String> = slack.ephemerals("U1").iter().map(|message| slack.render(message)).collect();
        assert_eq!(seen, expected, "{late} {status} {body}");
    };
    check(5, 200, "", &[]);
    check(5, 200, "plain", &["plain"]);
    check(5, 200, r#"{"text":"on it &amp; away"}"#, &["on it & away"]);
    check(
        5,
        200,
        r#"{"text":"x","blocks":[{"type":"nonsense"}]}"#,
        &["/deploy failed with the error \"invalid_command_response\""],
    );
    check(5, 500, "", &["/deploy failed with the error \"dispatch_failed\""]);
    check(3001, 200, "ok", &["/deploy failed with the error \"operation_timeout\""]);

    let command = slack.command(NOW, "U1", "C1", "checkout 42");
    slack.answered(NOW, &command, 200, br#"{"response_type":"in_channel","text":"deploying"}"#);
    let texts: Vec<&str> = slack.messages("C1").iter().map(Message::text).collect();
    assert_eq!(texts, ["/deploy checkout 42", "deploying"]);
}

#[test]
fn a_click_carries_the_button_and_the_message() {
    let mut slack = workspace();
    let blocks = json!([{"type": "actions", "block_id": "b1", "elements": [
        {"type": "button", "action_id": "cancel", "value": "id-1", "style": "danger", "text": {"type": "plain_text", "text": "Cancel"}},
    ]}]);
    let posted = call(&mut slack, "chat.postMessage", &json!({"channel": "C1", "text": "t", "blocks": blocks}));
    let ts = posted["ts"].as_str().unwrap().to_owned();
    assert!(slack.click(NOW, "U1", "C1", &ts, "other").is_none());
    let click = slack.click(NOW, "U1", "C1", &ts, "cancel").unwrap();
    assert_eq!(click.path, "/slack/interaction");
    let payload: Value = serde_json::from_str(&fields(&click)["payload"]).unwrap();
    assert_eq!(payload["type"], "block_actions");
    assert_eq!((&payload["user"]["id"], &payload["team"]["id"]), (&json!("U1"), &json!("T0ACME")));
    assert_eq!(
        payload["container"],
        json!({"type": "message", "message_ts": ts, "channel_id": "C1", "is_ephemeral": false})
    );
    assert_eq!(payload["message"]["text"], "t");
    let action = &payload["actions"][0];
    assert_eq!(
        (&action["action_id"], &action["value"], &action["block_id"]),
        (&json!("cancel"), &json!("id-1"), &json!("b1"))
    );

    let url = payload["response_url"].as_str().unwrap();
    use_url(&mut slack, NOW, url, &json!({"text": "cancelled", "replace_original": true}));
    assert_eq!(slack.messages("C1")[0].text(), "cancelled");
    slack.answered(NOW, &click, 503, b"");
    assert_eq!(slack.ephemerals("U1").len(), 1);
    slack.delete_message(NOW, "C1", &ts);
    assert!(slack.click(NOW, "U1", "C1", &ts, "cancel").is_none());
}

fn payload(click: &Outgoing) -> Value {
    serde_json::from_str(&fields(click)["payload"]).unwrap()
}

fn with_button(text: &str) -> Value {
    let confirm = json!({
        "title": {"type": "plain_text", "text": "Sure?"}, "text": {"type": "plain_text", "text": "It goes live."},
        "confirm": {"type": "plain_text", "text": "Deploy"}, "deny": {"type": "plain_text", "text": "No"},
    });
    json!({"text": text, "blocks": [
        {"type": "section", "text": {"type": "mrkdwn", "text": text}},
        {"type": "actions", "elements": [{
            "type": "button", "action_id": "deploy", "value": "id-1", "style": "primary", "confirm": confirm,
            "text": {"type": "plain_text", "text": "Deploy"},
        }]},
    ]})
}

#[test]
fn an_ephemeral_message_can_be_clicked_by_its_reader_and_replaced() {
    let mut slack = workspace();
    slack.add_user("U2", "bob");
    let command = slack.command(NOW, "U1", "G1", "preview checkout 42");
    slack.answered(NOW, &command, 200, with_button("a preview").to_string().as_bytes());
    let seen = slack.ephemerals("U1")[0].clone();
    assert_eq!(slack.render(&seen), "a preview\n[Deploy]");
    assert_eq!(seen.buttons(), ["deploy"]);
    assert!(slack.click(NOW, "U2", "G1", &seen.ts, "deploy").is_none());
    assert!(slack.click(NOW, "U1", "C1", &seen.ts, "deploy").is_none());
    assert!(slack.click(NOW, "U1", "G1", &seen.ts, "cancel").is_none());

    let click = slack.click(NOW, "U1", "G1", &seen.ts, "deploy").unwrap();
    let payload = payload(&click);
    assert_eq!(payload.get("message"), None);
    let container = json!({"type": "message", "message_ts": seen.ts, "channel_id": "G1", "is_ephemeral": true});
    assert_eq!(payload["container"], container);
    assert_eq!(payload["channel"], json!({"id": "G1", "name": "privategroup"}));
    assert_eq!(payload["actions"][0]["confirm"]["title"]["text"], "Sure?");

    // The bot cannot update it, only answer to the click.
    let update = json!({"channel": "G2", "ts": seen.ts, "text": "x"});
    assert_eq!(error_of(&mut slack, "chat.update", &update), "message_not_found");
    let url = payload["response_url"].as_str().unwrap();
    use_url(&mut slack, NOW, url, &json!({"text": "on it", "replace_original": true}));
    let texts = |slack: &Slack| slack.ephemerals("U1").iter().map(|m| m.text().to_owned()).collect::<Vec<_>>();
    assert_eq!(texts(&slack), ["on it"]);
    assert_eq!(slack.ephemerals("U1")[0].ts, seen.ts);
    assert!(slack.click(NOW, "U1", "G1", &seen.ts, "deploy").is_none(), "the button is gone");
    use_url(&mut slack, NOW, url, &json!({"text": "besides"}));
    assert_eq!(texts(&slack), ["on it", "besides"]);

    slack.answered(NOW, &command, 200, with_button("another").to_string().as_bytes());
    let last = slack.ephemerals("U1").last().unwrap().ts.clone();
    let click = slack.click(NOW, "U1", "G1", &last, "deploy").unwrap();
    let url = self::payload(&click)["response_url"].as_str().unwrap().to_owned();
    use_url(&mut slack, NOW, &url, &json!({"delete_original": true}));
    assert_eq!(texts(&slack), ["on it", "besides"]);
    assert!(slack.click(NOW, "U1", "G1", &last, "deploy").is_none());
}

#[test]
fn replies_stay_with_their_parent_and_notify_whom_they_mention() {
    let mut slack = workspace();
    slack.add_user("U2", "bob");
    slack.limits = Some(Limits { post_burst: 3, ..Limits::default() });
    let parent = call(&mut slack, "chat.postMessage", &json!({"channel": "C1", "text": "<@U1> deploys"}))["ts"].clone();
    let update = json!({"channel": "C1", "ts": parent, "text": "<@U2> failed"});
    assert_eq!(error_of(&mut slack, "chat.update", &update), "none");
    let reply = |ts: &Value, text: &str| {
        let mut message = with_button(text);
        message["channel"] = json!("C1");
        message["thread_ts"] = ts.clone();
        message
    };
    let answer = call(&mut slack, "chat.postMessage", &reply(&parent, "<@U2> it failed\nlook"));
    assert_eq!(answer["message"]["thread_ts"], parent);
    let ts = answer["ts"].clone();
    assert_eq!(error_of(&mut slack, "chat.postMessage", &reply(&ts, "x")), "thread_not_found");
    // Replies count against the channel's limit.
    assert_eq!(call_at(&mut slack, NOW, "chat.postMessage", &reply(&parent, "x")).0, 429);

    let message = &slack.messages("C1")[0];
    assert_eq!((slack.messages("C1").len(), message.thread.len()), (1, 1));
    insta::assert_snapshot!(slack.render(message), @"
    @bob failed
        @bob it failed
        look
        [Deploy]
    ");
    // An update notifies nobody.
    let texts = |user: &str| slack.mentions(user).iter().map(|m| m.edits[0].text.clone()).collect::<Vec<_>>();
    assert_eq!(texts("U1"), ["<@U1> deploys"]);
    assert_eq!(texts("U2"), ["<@U2> it failed\nlook"]);

    let ts = ts.as_str().unwrap();
    let click = slack.click(NOW, "U1", "C1", ts, "deploy").unwrap();
    assert_eq!(payload(&click)["container"]["thread_ts"], parent);
    assert_eq!(payload(&click)["message"]["thread_ts"], parent);
    let update = json!({"channel": "C1", "ts": ts, "text": "better", "blocks": []});
    assert_eq!(error_of(&mut slack, "chat.update", &update), "none");
    assert_eq!(slack.render(&slack.messages("C1")[0]), "@bob failed\n    better");
    slack.delete_message(NOW, "C1", ts);
    assert_eq!(slack.render(&slack.messages("C1")[0]), "@bob failed");
}

#[test]
fn a_group_and_a_call_to_everybody_notify_too() {
    let mut slack = workspace();
    slack.groups.insert("S1".to_owned(), vec!["U1".to_owned()]);
    for text in ["<!subteam^S1>", "<!subteam^S2>", "<!channel>", "&lt;!channel&gt;"] {
        call(&mut slack, "chat.postMessage", &json!({"channel": "C1", "text": text}));
    }
    let texts: Vec<&str> = slack.mentions("U1").iter().map(|message| message.text()).collect();
    assert_eq!(texts, ["<!subteam^S1>", "<!channel>"]);
}

#[test]
fn a_stranger_clicks_in_our_name_and_types_in_theirs() {
    let mut slack = workspace();
    slack.add_stranger("U7", "mallory", "T0OTHER");
    let mut message = with_button("t");
    message["channel"] = json!("C1");
    let ts = call(&mut slack, "chat.postMessage", &message)["ts"].as_str().unwrap().to_owned();
    let payload = payload(&slack.click(NOW, "U7", "C1", &ts, "deploy").unwrap());
    assert_eq!((&payload["team"]["id"], &payload["user"]["team_id"]), (&json!("T0ACME"), &json!("T0OTHER")));
    let command = slack.command(NOW, "U7", "C1", "checkout 42");
    assert_eq!(fields(&command)["team_id"], "T0OTHER");
}

#[test]
fn tells_about_people_and_groups_but_not_in_json() {
    let mut slack = workspace();
    slack.groups.insert("S1".to_owned(), vec!["U1".to_owned()]);
    let bearer = format!("Bearer {TOKEN}");
    let get = |slack: &mut Slack, target: &str| {
        let mut request = request(target, &[("authorization", &bearer)], "");
        request.method = http::Method::GET;
        send(slack, NOW, &request).1
    };
    let info = get(&mut slack, "/api/users.info?user=U1");
    assert_eq!((&info["user"]["name"], &info["user"]["team_id"]), (&json!("alice"), &json!("T0ACME")));
    assert_eq!(get(&mut slack, "/api/users.info?user=U9")["error"], "user_not_found");
    assert_eq!(get(&mut slack, "/api/usergroups.users.list?usergroup=S1")["users"], json!(["U1"]));
    assert_eq!(get(&mut slack, "/api/usergroups.users.list?usergroup=S9")["error"], "no_such_subteam");
    // Somebody of another workspace in a shared channel is no "stranger", and a deactivated account has few fields.
    slack.add_stranger("U7", "mallory", "T0OTHER");
    let info = get(&mut slack, "/api/users.info?user=U7");
    assert_eq!((&info["user"]["is_stranger"], &info["user"]["team_id"]), (&json!(false), &json!("T0OTHER")));
    for (account, restricted, ultra) in [
        (Account::Full, json!(false), json!(false)),
        (Account::Guest, json!(true), json!(false)),
        (Account::SingleChannelGuest, json!(true), json!(true)),
        (Account::Deleted, Value::Null, Value::Null),
    ] {
        slack.users.get_mut("U1").unwrap().account = account;
        let user = get(&mut slack, "/api/users.info?user=U1")["user"].take();
        assert_eq!((&user["is_restricted"], &user["is_ultra_restricted"]), (&restricted, &ultra), "{account:?}");
    }
    slack.scopes.remove("users:read");
    let refused = get(&mut slack, "/api/users.info?user=U1");
    assert_eq!((&refused["error"], &refused["needed"]), (&json!("missing_scope"), &json!("users:read")));
    slack.scopes.insert("users:read".to_owned());
    let own = get(&mut slack, "/api/auth.test");
    assert_eq!((&own["bot_id"], &own["team_id"]), (&json!("B0BOT"), &json!("T0ACME")));
    slack.for_organisation = true;
    let own = get(&mut slack, "/api/auth.test");
    assert_eq!((&own["is_enterprise_install"], &own["team_id"]), (&json!(true), &json!("E0ACME")));
    // Methods that only read ignore a JSON body.
    assert_eq!(error_of(&mut slack, "users.info", &json!({"user": "U1"})), "invalid_arguments");
    slack.free_plan = true;
    assert_eq!(get(&mut slack, "/api/usergroups.users.list?usergroup=S1")["error"], "plan_upgrade_required");
}

#[test]
fn names_its_calls() {
    let slack = workspace();
    for (path, name) in [
        ("/api/chat.postMessage", "slack.post"),
        ("/api/chat.update", "slack.update"),
        ("/api/chat.postEphemeral", "slack.whisper"),
        ("/api/chat.getPermalink", "slack.permalink"),
        ("/commands/T/1/x", "slack.response_url"),
        ("/actions/T/1/x", "slack.response_url"),
        ("/api/chat.delete", "slack.unexpected"),
    ] {
        assert_eq!(slack.name_of(&request(path, &[], "")), name);
    }
}

// ---- Views ----

fn plain(text: &str) -> Value {
    json!({"type": "plain_text", "text": text})
}

fn menu(block: &str, action: &str) -> Value {
    json!({
        "type": "input", "block_id": block, "label": plain("App"), "dispatch_action": true,
        "element": {"type": "external_select", "action_id": action, "min_query_length": 0},
    })
}

fn modal(blocks: &Value) -> Value {
    json!({"type": "modal", "title": plain("Deploy"), "submit": plain("Deploy"), "private_metadata": "shh", "blocks": blocks})
}

/// Alice types the command; the trigger that it brings.
fn trigger(slack: &mut Slack) -> String {
    fields(&slack.command(NOW, "U1", "C1", ""))["trigger_id"].clone()
}

#[test]
fn a_trigger_opens_one_view_within_three_seconds() {
    let mut slack = workspace();
    let view = modal(&json!([menu("app", "app")]));
    let trigger_id = trigger(&mut slack);
    let open = |trigger_id: &str| json!({"trigger_id": trigger_id, "view": view});
    assert_eq!(error_of(&mut slack, "views.open", &open("1.2.x")), "invalid_trigger_id");
    let late = call_at(&mut slack, NOW + 3_001, "views.open", &open(&trigger_id)).1;
    assert_eq!(late["error"], "expired_trigger_id");
    let opened = call_at(&mut slack, NOW + 3_000, "views.open", &open(&trigger_id)).1;
    assert_eq!((&opened["ok"], &opened["view"]["private_metadata"]), (&json!(true), &json!("shh")));
    assert_eq!(error_of(&mut slack, "views.open", &open(&trigger_id)), "exchanged_trigger_id");
    assert_eq!(slack.views("U1").len(), 1);
}

#[test]
fn an_update_names_the_view_and_perhaps_its_hash() {
    let mut slack = workspace();
    let view = modal(&json!([menu("app", "app")]));
    let trigger_id = trigger(&mut slack);
    let opened = call(&mut slack, "views.open", &json!({"trigger_id": trigger_id, "view": view}))["view"].clone();
    let update = |hash: &Value| json!({"view_id": opened["id"], "hash": hash, "view": view});
    let updated = call(&mut slack, "views.update", &update(&opened["hash"]));
    assert_ne!(updated["view"]["hash"], opened["hash"]);
    assert_eq!(error_of(&mut slack, "views.update", &update(&opened["hash"])), "hash_conflict");
    assert_eq!(error_of(&mut slack, "views.update", &update(&Value::Null)), "none");
    assert_eq!(error_of(&mut slack, "views.update", &json!({"view_id": "V0", "view": view})), "not_found");
}

#[test]
fn a_view_has_limits() {
    let mut slack = workspace();
    let mut check = |view: Value, expected: &str| {
        let trigger_id = trigger(&mut slack);
        let answer = call(&mut slack, "views.open", &json!({"trigger_id": trigger_id, "view": view}));
        let said = answer["response_metadata"]["messages"][0].as_str().or(answer["error"].as_str()).unwrap_or("none");
        assert!(said.contains(expected), "{said} is not {expected}");
    };
    let with = |name: &str, value: Value| {
        let mut view = modal(&json!([menu("app", "app")]));
        view[name] = value;
        view
    };
    check(with("title", plain(&"x".repeat(25))), "less than 25");
    check(with("private_metadata", json!("x".repeat(3001))), "less than 3001");
    check(with("submit", Value::Null), "must be one of: plain_text");
    check(with("colour", json!("red")), "invalid additional property: colour");
    check(with("blocks", json!([menu("a", "a"), menu("a", "b")])), "block_id already exists");
    check(with("blocks", (0..101).map(|n| menu(&format!("b{n}"), "a")).collect()), "no more than 100");
    check(with("blocks", json!([menu(&"x".repeat(256), "a")])), "less than 256");
    let mut none = menu("a", "a");
    none["element"] = json!({"type": "static_select", "action_id": "a", "options": []});
    check(with("blocks", json!([none])), "which have to be 1..=100");
    let mut long = none.clone();
    long["element"]["options"] = json!([{"text": plain(&"x".repeat(76)), "value": "v"}]);
    check(with("blocks", json!([long])), "less than 76");
    check(with("private_metadata", json!("x".repeat(300 << 10))), "view_too_large");
}

#[test]
fn what_is_chosen_stays_as_long_as_its_block_does() {
    let mut slack = workspace();
    let trigger_id = trigger(&mut slack);
    let view = modal(&json!([menu("app", "app")]));
    let opened = call(&mut slack, "views.open", &json!({"trigger_id": trigger_id, "view": view}))["view"].clone();
    let search = slack.search(NOW, "U1", "app", "che").unwrap();
    let options = json!({"options": [{"text": plain("checkout"), "value": "checkout"}]}).to_string();
    slack.answered(NOW, &search, 200, options.as_bytes());
    assert!(slack.submit(NOW, "U1").is_none(), "nothing is chosen");
    assert!(slack.choose(NOW, "U1", "app", "payments").is_none());
    let told = slack.choose(NOW, "U1", "app", "checkout").unwrap().unwrap();
    let payload: Value = serde_json::from_str(&fields(&told)["payload"]).unwrap();
    assert!(payload["channel"].is_null() && payload["response_url"].is_null() && payload["message"].is_null());
    assert_eq!(payload["view"]["state"]["values"]["app"]["app"]["selected_option"]["value"], "checkout");
    let two = modal(&json!([menu("app", "app"), menu("what/checkout", "what")]));
    call(&mut slack, "views.update", &json!({"view_id": opened["id"], "view": two}));
    assert!(slack.submit(NOW, "U1").is_none(), "the new menu is empty");
    call(&mut slack, "views.update", &json!({"view_id": opened["id"], "view": view}));
    let sent = slack.submit(NOW, "U1").unwrap();
    let errors = json!({"response_action": "errors", "errors": {"app": "no"}}).to_string();
    slack.answered(NOW, &sent, 200, errors.as_bytes());
    assert_eq!(slack.views("U1")[0].errors["app"], "no");
    slack.answered(NOW, &sent, 200, b"");
    assert!(slack.views("U1")[0].closed && slack.submit(NOW, "U1").is_none());
}
