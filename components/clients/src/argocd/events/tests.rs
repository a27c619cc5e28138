use super::*;
use crate::argocd::samples::{SHA, app, argocd, in_namespace, sample};
use crate::http::script::{Script, response};
use futures::FutureExt;
use proptest::prelude::*;
use serde_json::{Value, json};

fn event(kind: &str) -> Value {
    json!({ "result": { "type": kind, "application": sample() } })
}

/// All events of a stream that comes in these chunks, and how it ended.
fn follow(chunks: &[&[u8]]) -> (Vec<Event>, Result<(), HttpError>) {
    let http = Script::new([Ok(response(200, ""))]).streaming(chunks);
    let mut stream = events(&http, &argocd(), &app()).now_or_never().unwrap().unwrap();
    let mut all = Vec::new();
    loop {
        match stream.next().now_or_never().unwrap() {
            Ok(Some(event)) => all.push(event),
            Ok(None) => return (all, Ok(())),
            Err(error) => return (all, Err(error)),
        }
    }
}

fn kinds(events: &[Event]) -> Vec<String> {
    let kind = |event: &Event| match event {
        Event::App(snapshot) => {
            assert_eq!(snapshot.compared, [SHA]);
            "there".to_owned()
        }
        Event::Deleted => "gone".to_owned(),
        Event::Error(message) => message.clone(),
        Event::KeepAlive => "-".to_owned(),
    };
    events.iter().map(kind).collect()
}

#[test]
fn the_stream_that_we_ask_for() {
    let request = events_request(&argocd(), &in_namespace());
    assert_eq!(request.headers[header::ACCEPT], "text/event-stream");
    assert_eq!(request.headers[header::AUTHORIZATION], "Bearer a.jwt.token");
    assert!(request.timeout > Duration::from_secs(15), "longer than Argo CD is quiet");
    let (start, fields) = request.url.split_once("&fields=").unwrap();
    assert_eq!(
        start,
        "https://argocd.acme.example/argo/api/v1/stream/applications?name=checkout&project=shop&appNamespace=shop-apps"
    );
    assert!(fields.starts_with("error,result.type,result.application.metadata.name,"), "{fields}");
    assert!(fields.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b',' | b'/' | b'-')), "{fields}");
}

#[test]
fn events_of_both_forms_and_signs_of_life() {
    let (added, modified, deleted) = (event("ADDED"), event("MODIFIED"), event("DELETED"));
    let sse = format!("data: {added} \n\n\n:\ndata: {modified} \n\n\n");
    let plain = format!("{deleted}\r\n{}\n", event("BOOKMARK"));
    let (events, end) = follow(&[sse.as_bytes(), plain.as_bytes()]);
    assert_eq!(kinds(&events), ["there", "-", "there", "gone", "there"]);
    assert_eq!(end, Ok(()));
}

#[test]
fn an_error_line_is_argo_cds_last_word() {
    let line = json!({ "error": { "grpc_code": 14, "http_code": 503, "message": "error reading from server: EOF", "http_status": "Service Unavailable" } });
    let (events, end) = follow(&[format!("data: {line} \n\n").as_bytes()]);
    assert_eq!(kinds(&events), ["error reading from server: EOF"]);
    assert_eq!(end, Ok(()));
}

#[test]
fn what_is_no_event_breaks_the_stream() {
    for line in [
        "<!doctype html>",
        "{}",
        "data:",
        "[]",
        "data: {\"result\":{}}",
        "{\"result\":{\"type\":\"ADDED\",\"application\":{}}}",
        "\u{feff}{}",
    ] {
        let (events, end) = follow(&[line.as_bytes(), b"\n"]);
        assert_eq!((events.len(), end), (0, Err(HttpError::Broken)), "{line}");
    }
    assert_eq!(follow(&[b"data: {\"resu"]).1, Err(HttpError::Broken), "cut off in the middle");
    assert_eq!(follow(&[]), (Vec::new(), Ok(())));
    assert_eq!(follow(&[b"\n \n\r\n"]), (Vec::new(), Ok(())));
}

#[test]
fn a_line_has_a_limit() {
    let chunk = vec![b'x'; 1 << 16];
    let chunks = vec![chunk.as_slice(); 17];
    assert_eq!(follow(&chunks), (Vec::new(), Err(HttpError::TooLarge)));
    let signs_of_life = b":\n".repeat(1 << 20);
    let (events, end) = follow(&[&signs_of_life]);
    assert_eq!((events.len(), end), (1 << 20, Ok(())));
    // What came before it in the same chunk is not lost.
    let chunk = [b":\n".to_vec(), vec![b'x'; MAX_LINE + 1], b"\n:\n".to_vec()].concat();
    assert_eq!(follow(&[&chunk]), (vec![Event::KeepAlive], Err(HttpError::TooLarge)));
}

#[test]
fn a_stream_that_does_not_open_says_why() {
    let open = |answer| events(&Script::new([answer]), &argocd(), &app()).now_or_never().unwrap().err().unwrap();
    assert_eq!(open(Ok(response(401, ""))), ArgoError::Unauthorized);
    assert!(matches!(open(Ok(response(404, ""))), ArgoError::Fault(_)));
    assert!(matches!(open(Err(HttpError::NotConnected)), ArgoError::Fault(_)));
}

proptest! {
    #[test]
    fn lines_do_not_depend_on_where_chunks_end(text in "[a-c\n ]{0,60}", cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len().saturating_add(1))).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for pair in cuts.windows(2) {
            lines.push(&text.as_bytes()[pair[0]..pair[1]]);
            while let Some(line) = lines.next() {
                found.push(String::from_utf8(line).unwrap());
            }
        }
        found.extend(lines.end().map(|line| String::from_utf8(line).unwrap()));
        let expected: Vec<&str> = text.split('\n').filter(|line| !line.trim().is_empty()).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn no_stream_panics(chunks: Vec<Vec<u8>>) {
        let _ = follow(&chunks.iter().map(Vec::as_slice).collect::<Vec<_>>());
    }

    #[test]
    fn no_line_panics(line in "(data: ?)?\\{\"(result|error)\":\\PC*\\}") {
        let _ = read_event(line.as_bytes());
    }
}
