use super::*;
use crate::http::script::{Script, response, shown};
use crate::http::{HeaderValue, HttpError};
use proptest::prelude::*;

fn real_slack() -> UrlOrigin {
    UrlOrigin::parse("https://slack.com").unwrap()
}

fn slack() -> Slack {
    Slack { url: real_slack(), token: Secret::new("xoxb-1") }
}

fn channel() -> SlackChannel {
    SlackChannel::parse("C1").unwrap()
}

fn ts() -> MessageTs {
    MessageTs::parse("1503435956.000247").unwrap()
}

fn message() -> Message {
    Message { text: "hello".to_owned(), blocks: json!([{ "type": "divider" }]) }
}

fn response_url() -> ResponseUrl {
    ResponseUrl::parse("https://hooks.slack.com/commands/T1/2/secret", &real_slack()).unwrap()
}

#[test]
fn what_we_send_to_slack() {
    let token = post_request(&slack(), &channel(), &message(), None).headers[header::AUTHORIZATION].clone();
    assert!(token.is_sensitive());
    insta::assert_snapshot!(shown(&post_request(&slack(), &channel(), &message(), None)), @r#"
    POST https://slack.com/api/chat.postMessage
    content-type: application/json; charset=utf-8
    authorization: Bearer xoxb-1

    {"blocks":[{"type":"divider"}],"channel":"C1","text":"hello","unfurl_links":false,"unfurl_media":false}
    "#);
    insta::assert_snapshot!(shown(&post_request(&slack(), &channel(), &message(), Some(&ts()))), @r#"
    POST https://slack.com/api/chat.postMessage
    content-type: application/json; charset=utf-8
    authorization: Bearer xoxb-1

    {"blocks":[{"type":"divider"}],"channel":"C1","text":"hello","thread_ts":"1503435956.000247","unfurl_links":false,"unfurl_media":false}
    "#);
    insta::assert_snapshot!(shown(&update_request(&slack(), &channel(), &ts(), &message())), @r#"
    POST https://slack.com/api/chat.update
    content-type: application/json; charset=utf-8
    authorization: Bearer xoxb-1

    {"blocks":[{"type":"divider"}],"channel":"C1","text":"hello","ts":"1503435956.000247"}
    "#);
    insta::assert_snapshot!(shown(&respond_request(&response_url(), &message(), Audience::Asker, None)), @r#"
    POST https://hooks.slack.com/commands/T1/2/secret
    content-type: application/json; charset=utf-8

    {"blocks":[{"type":"divider"}],"replace_original":false,"response_type":"ephemeral","text":"hello"}
    "#);
    insta::assert_snapshot!(shown(&respond_request(&response_url(), &message(), Audience::Channel, None)), @r#"
    POST https://hooks.slack.com/commands/T1/2/secret
    content-type: application/json; charset=utf-8

    {"blocks":[{"type":"divider"}],"replace_original":false,"response_type":"in_channel","text":"hello"}
    "#);
    insta::assert_snapshot!(shown(&post_alone_request(&slack(), (&channel(), &SlackUser::parse("U1").unwrap()), &message(), Some(&ts()))), @r#"
    POST https://slack.com/api/chat.postEphemeral
    content-type: application/json; charset=utf-8
    authorization: Bearer xoxb-1

    {"blocks":[{"type":"divider"}],"channel":"C1","text":"hello","thread_ts":"1503435956.000247","user":"U1"}
    "#);
    insta::assert_snapshot!(shown(&permalink_request(&slack(), &channel(), &ts())), @r"
    GET https://slack.com/api/chat.getPermalink?channel=C1&message_ts=1503435956.000247
    authorization: Bearer xoxb-1
    ");
    insta::assert_snapshot!(shown(&group_members_request(&slack(), &SlackGroup::parse("S1").unwrap())), @r"
    GET https://slack.com/api/usergroups.users.list?usergroup=S1
    authorization: Bearer xoxb-1
    ");
    insta::assert_snapshot!(shown(&person_request(&slack(), &SlackUser::parse("U1").unwrap())), @r"
    GET https://slack.com/api/users.info?user=U1
    authorization: Bearer xoxb-1
    ");
    insta::assert_snapshot!(shown(&own_team_request(&slack())), @r"
    GET https://slack.com/api/auth.test
    authorization: Bearer xoxb-1
    ");
    insta::assert_snapshot!(String::from_utf8(answer("*no*", &json!([]))).unwrap(), @r#"{"blocks":[],"response_type":"ephemeral","text":"*no*"}"#);
    assert_eq!(update_request(&slack(), &channel(), &ts(), &message()).timeout, Duration::from_secs(5));
}

fn refused(cause: Cause) -> SlackError {
    SlackError::Refused(Fault::new(System::Slack, UPDATE, cause))
}

fn unreachable_by(cause: Cause, changed: Changed) -> SlackError {
    SlackError::Unreachable(Fault::new(System::Slack, UPDATE, cause).changed(changed))
}

#[test]
fn a_status_of_200_is_not_success() {
    let check = |status, body: &str, expected| assert_eq!(read_update(response(status, body)), Err(expected), "{body}");
    for gone in [
        "message_not_found",
        "cant_update_message",
        "edit_window_closed",
        "channel_not_found",
        "not_in_channel",
        "is_archived",
        "is_inactive",
        "restricted_action",
        "restricted_action_read_only_channel",
        "used_url",
        "expired_url",
        "user_not_found",
        "user_not_visible",
    ] {
        check(200, &json!({ "ok": false, "error": gone }).to_string(), SlackError::Gone(gone.to_owned()));
    }
    for auth in ["not_authed", "invalid_auth", "account_inactive", "token_revoked", "token_expired"] {
        check(200, &json!({ "ok": false, "error": auth }).to_string(), refused(Cause::Unauthorized));
    }
    for said in ["msg_too_long", "invalid_blocks", "no_text", "an_error_of_next_year"] {
        let cause = Cause::Said { said: said.to_owned() };
        check(200, &json!({ "ok": false, "error": said }).to_string(), refused(cause));
    }
    check(
        200,
        r#"{"ok":false,"error":"missing_scope","needed":"chat:write","provided":"commands"}"#,
        refused(Cause::Forbidden { said: "missing_scope: chat:write".to_owned() }),
    );
    check(
        200,
        r#"{"ok":false,"error":"fatal_error"}"#,
        unreachable_by(Cause::Failed { said: "fatal_error".to_owned() }, Changed::Unknown),
    );
    let nonsense = || unreachable_by(Cause::Nonsense { part: "JSON with `ok`".to_owned() }, Changed::Unknown);
    for body in ["", "<html>", "[]", r#"{"ok":"yes"}"#, r#"{"ok":false}"#, r#"{"ok":false,"error":"Bad <!channel>"}"#] {
        check(200, body, nonsense());
    }
    check(503, "", unreachable_by(Cause::Status { status: 503 }, Changed::Unknown));
    check(500, r#"{"ok":true}"#, unreachable_by(Cause::Status { status: 500 }, Changed::Unknown));
    check(404, "<html>", refused(Cause::Status { status: 404 }));
    check(302, r#"{"ok":true}"#, refused(Cause::Status { status: 302 }));
    assert_eq!(read_update(response(200, r#"{"ok":true,"channel":"C1","ts":"1.2","text":"x"}"#)), Ok(()));
}

#[test]
fn a_rate_limit_says_when_to_come_back() {
    let mut limited = response(429, r#"{"ok":false,"error":"ratelimited"}"#);
    assert_eq!(read_update(limited.clone()), Err(SlackError::RateLimited(Duration::from_secs(5))));
    limited.headers.insert(header::RETRY_AFTER, HeaderValue::from_static("30"));
    assert_eq!(read_update(limited), Err(SlackError::RateLimited(Duration::from_secs(30))));
    let in_the_body = response(200, r#"{"ok":false,"error":"ratelimited"}"#);
    assert_eq!(read_update(in_the_body), Err(SlackError::RateLimited(Duration::from_secs(5))));
}

#[test]
fn a_used_response_url_is_gone() {
    assert_eq!(read_respond(response(200, "ok")), Ok(()));
    assert_eq!(read_respond(response(200, r#"{"ok":true}"#)), Ok(()));
    let check = |status, body: &str, gone: &str| {
        assert_eq!(read_respond(response(status, body)), Err(SlackError::Gone(gone.to_owned())), "{status} {body}");
    };
    check(404, "used_url", "used_url");
    check(404, r#"{"ok":false,"error":"expired_url"}"#, "expired_url");
    check(404, "<html>", "response_url_not_found");
    check(404, "", "response_url_not_found");
    check(410, "no_service", "response_url_not_found");
    let said = Cause::Said { said: "invalid_payload".to_owned() };
    let expected = SlackError::Refused(Fault::new(System::Slack, RESPOND, said));
    assert_eq!(read_respond(response(400, "invalid_payload")), Err(expected));
}

#[test]
fn no_answer_says_whether_the_message_may_be_there() {
    for (error, cause, changed) in [
        (HttpError::Denied, Cause::Denied, Changed::Nothing),
        (HttpError::NotConnected, Cause::NotConnected, Changed::Nothing),
        (HttpError::TimedOut, Cause::TimedOut, Changed::Unknown),
        (HttpError::Broken, Cause::Broken, Changed::Unknown),
    ] {
        let http = Script::new([Err(error)]);
        let (result, _) = http.once(update(&http, &slack(), &channel(), &ts(), &message()));
        assert_eq!(result, Err(unreachable_by(cause, changed)));
    }
}

#[test]
fn calls_give_what_slack_says() {
    let said = r#"{"ok":true,"channel":"C1","ts":"1503435956.000247","users":["U1","x","U2"],"message":{"ts":1}}"#;
    let http = Script::new((0..3).map(|_| Ok(response(200, said))));
    let calls = async {
        assert_eq!(post(&http, &slack(), &channel(), &message(), None).await, Ok(ts()));
        let responded = respond(&http, &response_url(), &message(), Audience::Asker, None).await;
        assert_eq!(responded, Ok(()));
        let members = group_members(&http, &slack(), &SlackGroup::parse("S1").unwrap()).await.unwrap();
        assert_eq!(members.iter().map(SlackUser::as_str).collect::<Vec<_>>(), ["U1", "U2"]);
    };
    assert_eq!(http.run(calls).1.len(), 3);

    let empty = || response(200, r#"{"ok":true}"#);
    for error in [read_post(empty()).unwrap_err(), read_group_members(empty()).unwrap_err()] {
        assert!(matches!(&error, SlackError::Unreachable(Fault { cause: Cause::Nonsense { .. }, .. })), "{error:?}");
    }
}

#[test]
fn a_full_member_is_who_certainly_is_no_guest() {
    let check = |user: &Value, full: bool, teams: &[&str]| {
        let read = read_person(response(200, json!({ "ok": true, "user": user }).to_string())).unwrap();
        assert_eq!(
            (read.is_full, read.teams.iter().map(SlackTeam::as_str).collect::<Vec<_>>()),
            (full, teams.to_vec())
        );
    };
    let member = || {
        json!({ "id": "U1", "team_id": "T1", "deleted": false, "is_restricted": false, "is_ultra_restricted": false,
            "is_stranger": false, "profile": {} })
    };
    check(&member(), true, &["T1"]);
    let with = |name: &str, value: Value| {
        let mut user = member();
        user[name] = value;
        user
    };
    for (name, value) in [
        ("is_restricted", json!(true)),
        ("is_restricted", json!(null)),
        ("is_ultra_restricted", json!(true)),
        ("is_ultra_restricted", json!(null)),
        ("deleted", json!(true)),
        ("is_stranger", json!(true)),
    ] {
        check(&with(name, value), false, &["T1"]);
    }
    let organisation = json!({ "id": "U1", "enterprise_id": "E1", "teams": ["T2", "t3", "T4"] });
    check(&with("enterprise_user", organisation), true, &["T1", "T2", "T4"]);
    check(&with("enterprise_user", json!({ "id": "U1" })), true, &["T1"]);
    check(&json!({ "id": "U1", "team_id": "T1", "deleted": true }), false, &["T1"]);
    check(&json!({}), false, &[]);
    for body in [r#"{"ok":true}"#, r#"{"ok":true,"user":"bot"}"#, r#"{"ok":true,"user":{"deleted":1}}"#] {
        assert!(matches!(read_person(response(200, body)), Err(SlackError::Unreachable(_))), "{body}");
    }
}

#[test]
fn the_workspace_is_the_one_of_the_token() {
    let check = |body: &str| read_own_team(response(200, body));
    let ours = SlackTeam::parse("T1").unwrap();
    assert_eq!(
        check(r#"{"ok":true,"user":"bot","team_id":"T1","user_id":"U1","is_enterprise_install":false}"#),
        Ok(Some(ours.clone()))
    );
    assert_eq!(check(r#"{"ok":true,"team_id":"T1","enterprise_id":"E1"}"#), Ok(Some(ours)));
    for organisation in [
        r#"{"ok":true,"team_id":"E1","enterprise_id":"E1","is_enterprise_install":true}"#,
        r#"{"ok":true,"team_id":"E1","enterprise_id":"E1"}"#,
        r#"{"ok":true,"enterprise_id":"E1","is_enterprise_install":true}"#,
    ] {
        assert_eq!(check(organisation), Ok(None));
    }
    assert!(matches!(check(r#"{"ok":true}"#), Err(SlackError::Unreachable(_))));
}

proptest! {
    #[test]
    fn no_answer_panics(status in 100_u16..600, body: Vec<u8>) {
        let _ = read_respond(response(status, &body));
        let _ = read_post(response(status, &body));
    }
}
