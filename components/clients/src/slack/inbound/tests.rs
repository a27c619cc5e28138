use super::*;
use domain::names::{InvalidName, ResponseUrl, UrlOrigin};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Slack's own example of a command (the body of its published signature vector).
const COMMAND: &str = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";

fn real_slack() -> UrlOrigin {
    UrlOrigin::parse("https://slack.com").unwrap()
}

fn parse(body: &str) -> Result<Option<SlashCommand>, FormError> {
    SlashCommand::parse(body.as_bytes())
}

fn command(body: &str) -> SlashCommand {
    match parse(body) {
        Ok(Some(command)) => command,
        other => panic!("not a command: {other:?}"),
    }
}

#[test]
fn slacks_example_of_a_command_is_read() {
    insta::assert_debug_snapshot!(command(COMMAND), @r#"
    SlashCommand {
        team: SlackTeam(
            "T1DC2JH3J",
        ),
        team_domain: "testteamnow",
        channel: SlackChannel(
            "G8PSS9T3V",
        ),
        user: SlackUser(
            "U2CERLKJA",
        ),
        user_name: "roadrunner",
        command: CommandName(
            "/webhook-collect",
        ),
        text: "",
        response_url: Secret(..),
        trigger_id: "398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c",
    }
    "#);
}

#[test]
fn the_response_url_is_checked_where_the_settings_are_known() {
    let url = |body: &str| command(body).response_url;
    assert!(ResponseUrl::parse(url(COMMAND).expose(), &real_slack()).is_ok());
    let elsewhere = url(&COMMAND.replace("hooks.slack.com", "evil.example"));
    assert_eq!(ResponseUrl::parse(elsewhere.expose(), &real_slack()), Err(InvalidName("response_url")));
}

#[test]
fn the_text_is_what_was_typed() {
    let text = |raw: &str| command(&COMMAND.replace("&text=", &format!("&text={raw}"))).text;
    assert_eq!(text("checkout+feature%2Fx"), "checkout feature/x");
    assert_eq!(text("a%2Bb%20c%3Dd%26e=f"), "a+b c=d&e=f");
    assert_eq!(text("%C3%BCmlaut+%EF%BF%BD"), "ümlaut \u{fffd}");
    assert_eq!(text("50%"), "50%");
    assert_eq!(text("%zz"), "%zz");
    assert_eq!(command(&COMMAND.replace("&text=", "&")).text, "");
}

#[test]
fn a_form_that_is_not_slacks_is_refused_by_field() {
    let check = |body: String, expected| assert_eq!(parse(&body), Err(expected), "{body}");
    for (name, field) in [
        ("team_id", "team_id=T1DC2JH3J"),
        ("channel_id", "channel_id=G8PSS9T3V"),
        ("user_id", "user_id=U2CERLKJA"),
        ("command", "command=%2Fwebhook-collect"),
        (
            "response_url",
            "response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN",
        ),
        ("trigger_id", "trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"),
    ] {
        check(COMMAND.replace(field, ""), FormError::Missing(name));
        check(COMMAND.replace(field, &format!("{name}=")), FormError::Missing(name));
        check(COMMAND.replace(field, &format!("{name}=%ff")), FormError::NotUtf8(name));
        check(format!("{COMMAND}&{name}=X"), FormError::Twice(name));
    }
    check(COMMAND.replace("team_id=T", "team_id=t"), FormError::Malformed("team_id"));
    check(COMMAND.replace("user_id=U", "user_id=%3C%21channel%3E"), FormError::Malformed("user_id"));
    check(format!("{COMMAND}&te%78t=x"), FormError::Twice("text"));
    check(COMMAND.replace("&text=", "&text=a%E2%82"), FormError::NotUtf8("text"));
    check(String::new(), FormError::Missing("team_id"));

    let raw = [COMMAND.as_bytes(), b"&user_name_2=\xff"].concat();
    assert!(SlashCommand::parse(&raw).is_ok(), "a field that we do not read may be anything");
    let raw = [COMMAND.replace("&text=", "&x=").as_bytes(), b"&text=\xff"].concat();
    assert_eq!(SlashCommand::parse(&raw), Err(FormError::NotUtf8("text")));
}

#[test]
fn slacks_check_of_the_certificate_is_no_command() {
    assert_eq!(parse("ssl_check=1&token=xyzz0WbapA4vBCDEFasx0q6G"), Ok(None));
    assert_eq!(parse("ssl_check=0"), Err(FormError::Missing("team_id")));
    for body in ["ssl_check=1", "ssl_check=1&token=xyzz0WbapA4vBCDEFasx0q6G", "token=&ssl_check=1"] {
        assert!(is_ssl_check(body.as_bytes()), "{body}");
    }
    let and_more = format!("ssl_check=1&{COMMAND}");
    for body in ["", "token=x", "ssl_check=0", "ssl_check=1&ssl_check=1", "ssl_check=1&", "ssl_check=%31", &and_more] {
        assert!(!is_ssl_check(body.as_bytes()), "{body}");
    }
}

#[test]
fn a_response_url_leads_to_slack_or_to_its_stand_in() {
    let check = |slack_url: &str, url: &str, expected: bool| {
        let found = ResponseUrl::parse(url, &UrlOrigin::parse(slack_url).unwrap());
        assert_eq!(found.is_ok(), expected, "{url} with {slack_url}");
    };
    let (real, stand_in) = ("https://slack.com", "http://127.0.0.1:4000");
    check(real, "https://hooks.slack.com/commands/T1/2/x", true);
    check(real, "https://hooks.slack.com/actions/T1/2/x?y=z", true);
    for url in [
        "",
        "https://hooks.slack.com",
        "http://hooks.slack.com/x",
        "https://hooks.slack.com:444/x",
        "https://hooks.slack.com.evil.example/x",
        "https://hooks.slack.com@evil.example/x",
        "https://evil.example/https://hooks.slack.com/",
        "https://slack.com/x",
        "https://hooks.slack.com/a b",
        "https://hooks.slack.com/a\\b",
        "https://hooks.slack.com/a\nb",
        "https://hooks.slack.com/ü",
        "http://127.0.0.1:4000/x",
        &format!("https://hooks.slack.com/{}", "a".repeat(2048)),
    ] {
        check(real, url, false);
    }
    check(stand_in, "http://127.0.0.1:4000/x", true);
    check(stand_in, "https://hooks.slack.com/x", true);
    check(stand_in, "http://127.0.0.1:40001/x", false);
    check(stand_in, "http://127.0.0.1/x", false);

    let url = ResponseUrl::parse("https://hooks.slack.com/commands/T1/2/secret", &real_slack()).unwrap();
    assert_eq!(format!("{url:?}"), "ResponseUrl(..)");
    let stored = serde_json::to_string(&url).unwrap();
    assert_eq!(stored, r#""https://hooks.slack.com/commands/T1/2/secret""#);
    assert_eq!(serde_json::from_str::<ResponseUrl>(&stored).unwrap(), url);
}

fn interaction(payload: &Value) -> Result<Interaction, FormError> {
    let form = form_urlencoded::Serializer::new(String::new()).append_pair("payload", &payload.to_string()).finish();
    Interaction::parse(form.as_bytes())
}

#[test]
fn a_pressed_button_is_read() {
    let payload = json!({
        "type": "block_actions",
        "user": { "id": "U1", "username": "alice", "team_id": "T1" },
        "api_app_id": "A1",
        "container": { "type": "message", "message_ts": "1503435956.000247", "channel_id": "C1", "is_ephemeral": false },
        "trigger_id": "1.2.3",
        "team": { "id": "T1", "domain": "acme" },
        "channel": { "id": "C1", "name": "deploys" },
        "message": { "ts": "1503435956.000247", "text": "…" },
        "response_url": "https://hooks.slack.com/actions/T1/2/x",
        "actions": [{ "action_id": "cancel", "block_id": "b", "value": "0123", "type": "button", "action_ts": "1.2" }],
    });
    let read = interaction(&payload).unwrap();
    assert_eq!((read.action_id.as_str(), read.value.as_str(), read.trigger_id.as_str()), ("cancel", "0123", "1.2.3"));
    assert_eq!((read.user.as_str(), read.channel.as_str()), ("U1", "C1"));
    assert_eq!(read.team.as_ref().map(SlackTeam::as_str), Some("T1"));
    assert_eq!((read.team_domain.as_str(), read.user_name.as_str(), read.user_team.as_str()), ("acme", "alice", "T1"));

    let named = |user: Value| {
        let mut payload = payload.clone();
        payload["user"] = user;
        interaction(&payload).unwrap().user_name
    };
    assert_eq!(named(json!({ "id": "U1", "name": "alice", "team_id": "T1" })), "alice");
    assert_eq!(named(json!({ "id": "U1", "team_id": "T1" })), "");

    // Installed for a whole organisation.
    let mut nowhere = payload.clone();
    nowhere["team"] = json!(null);
    let read = interaction(&nowhere).unwrap();
    assert_eq!((read.team, read.team_domain.as_str(), read.user_team.as_str()), (None, "", "T1"));

    let check = |name: &str, value: Value, expected| {
        let mut payload = payload.clone();
        payload[name] = value;
        assert_eq!(interaction(&payload), Err(expected), "{name}");
    };
    check("type", json!("view_submission"), FormError::Malformed("payload.type"));
    check("team", json!({ "id": "<!here>" }), FormError::Malformed("payload.team"));
    check("user", json!(null), FormError::Missing("payload.user"));
    check("user", json!({ "id": "U1" }), FormError::Missing("payload.user"));
    check("user", json!({ "id": "U1", "team_id": "<!here>" }), FormError::Malformed("payload.user"));
    check("user", json!({ "id": "<!here>", "team_id": "T1" }), FormError::Malformed("payload.user"));
    check("user", json!("U1"), FormError::Malformed("payload"));
    check("actions", json!([]), FormError::Missing("payload.actions"));
    check("response_url", json!(null), FormError::Missing("payload.response_url"));
    assert_eq!(Interaction::parse(b"payload=%7B"), Err(FormError::Malformed("payload")));
    assert_eq!(Interaction::parse(b""), Err(FormError::Missing("payload")));
}

proptest! {
    #[test]
    fn no_form_panics(body: Vec<u8>, text in "\\PC*") {
        let _ = SlashCommand::parse(&body);
        let _ = Interaction::parse(&body);
        let _ = ResponseUrl::parse(&text, &real_slack());
        let _ = Interaction::parse(format!("payload={text}").as_bytes());
    }

    #[test]
    fn a_text_survives_its_way_through_the_form(text in "\\PC*") {
        let encoded: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
        prop_assert_eq!(command(&COMMAND.replace("&text=", &format!("&text={encoded}"))).text, text);
    }
}
