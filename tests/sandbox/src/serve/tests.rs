use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// Counts what took effect; `/stream` and `/later` wait for the test.
#[derive(Default)]
struct Echo {
    effects: u32,
    pending: Vec<u8>,
    ended: bool,
    ready: bool,
    closed: Vec<StreamId>,
}

impl StandIn for Echo {
    fn name_of(&self, request: &Request) -> String {
        format!("echo.{}", request.path().trim_start_matches('/'))
    }

    fn answer(&mut self, _now: fakes::Millis, request: &Request) -> Answer {
        self.effects += 1;
        let response = Response::text(200, &format!("effect {}", self.effects));
        match request.path() {
            "/stream" => Answer::Stream(Response { body: Vec::new(), ..response }, StreamId(1)),
            "/later" => Answer::Later(StreamId(2)),
            "/long" => Answer::Whole(Response { body: Vec::new(), ..response }.with("Content-Length", "4000")),
            _ => Answer::Whole(response),
        }
    }

    fn stream(&mut self, _now: fakes::Millis, _id: StreamId) -> Option<Vec<u8>> {
        let bytes = std::mem::take(&mut self.pending);
        (!bytes.is_empty() || !self.ended).then_some(bytes)
    }

    fn stream_closed(&mut self, id: StreamId) {
        self.closed.push(id);
    }

    fn waiting(&mut self, _now: fakes::Millis, _id: StreamId) -> Option<Response> {
        self.ready.then(|| Response::text(200, "at last"))
    }
}

async fn server() -> Server<Echo> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Server::start(listener, "echo", Arc::default(), Journal::default(), None).unwrap()
}

async fn open(server: &Server<Echo>, line: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(format!("{line} HTTP/1.1\r\nhost: here\r\n\r\n").as_bytes()).await.unwrap();
    stream
}

/// Everything until the server closes, or until that text has come.
async fn read(stream: &mut TcpStream, until: &str) -> String {
    let mut text = String::new();
    let mut buffer = [0; 1024];
    while until.is_empty() || !text.contains(until) {
        match tokio::time::timeout(Duration::from_secs(5), stream.read(&mut buffer)).await.expect("no answer") {
            Ok(0) | Err(_) => break,
            Ok(count) => text += std::str::from_utf8(&buffer[..count]).unwrap(),
        }
    }
    text
}

/// One call of `/call` with that fault: what the client reads until the end, and how often it took effect.
async fn with_fault(fault: Fault, until: &str) -> (String, u32, Outcome) {
    let server = server().await;
    server.fault("echo.*", fault, 1);
    let text = read(&mut open(&server, "GET /call").await, until).await;
    let effects = server.lock().effects;
    (text, effects, server.carried.journal.entries()[0].outcome)
}

fn body(text: &str) -> &str {
    text.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let server = server().await;
    let mut stream = open(&server, "GET /call").await;
    assert_eq!(body(&read(&mut stream, "effect 1").await), "effect 1");
    stream.write_all(b"GET /call HTTP/1.1\r\nhost: here\r\n\r\n").await.unwrap();
    assert_eq!(body(&read(&mut stream, "effect 2").await), "effect 2");
    let calls: Vec<_> = server.carried.journal.entries().iter().map(|entry| (entry.seq, entry.outcome)).collect();
    assert_eq!(calls, [(0, Outcome::Status(200)), (1, Outcome::Status(200))]);
}

#[tokio::test]
async fn a_dropped_call_gets_no_answer_and_says_whether_it_took_effect() {
    let short = Duration::from_millis(1);
    for (fault, effects) in
        [(Fault::DropBefore, 0), (Fault::HangBefore(short), 0), (Fault::DropAfter, 1), (Fault::HangAfter(short), 1)]
    {
        let name = name_of(&fault);
        assert_eq!(with_fault(fault, "").await, (String::new(), effects, Outcome::Fault(name)));
    }
}

#[tokio::test]
async fn other_answers_come_with_or_without_the_effect() {
    let other = Response::text(503, "down");
    let (text, effects, outcome) = with_fault(Fault::Instead(other.clone()), "down").await;
    assert_eq!((body(&text), effects, outcome), ("down", 0, Outcome::Fault("Instead")));
    let (text, effects, outcome) = with_fault(Fault::AnswerAfter(other), "down").await;
    assert_eq!((body(&text), effects, outcome), ("down", 1, Outcome::Fault("AnswerAfter")));
    let (text, effects, outcome) = with_fault(Fault::Slow(Duration::from_millis(1)), "effect").await;
    assert_eq!((body(&text), effects, outcome), ("effect 1", 1, Outcome::Fault("Slow")));
}

#[tokio::test]
async fn a_truncated_answer_promises_more_than_comes() {
    let (text, effects, _) = with_fault(Fault::Truncate, "").await;
    assert!(text.contains("content-length: 8\r\n"), "{text}");
    assert_eq!((body(&text), effects), ("effe", 1));
}

#[tokio::test]
async fn a_head_answer_says_the_length_of_what_does_not_come() {
    let server = server().await;
    let mut stream = open(&server, "HEAD /long").await;
    let text = read(&mut stream, "\r\n\r\n").await;
    assert!(text.contains("content-length: 4000\r\n"), "{text}");
    stream.write_all(b"HEAD /call HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n").await.unwrap();
    let text = read(&mut stream, "").await;
    assert!(text.contains("content-length: 8\r\n") && body(&text).is_empty(), "{text}");
}

#[tokio::test]
async fn a_stream_brings_what_comes_and_ends() {
    let server = server().await;
    let mut stream = open(&server, "GET /stream").await;
    assert_eq!(
        tokio::time::timeout(BEAT * 5, stream.read_u8()).await.ok().map(|read| read.is_ok()),
        None,
        "no head yet"
    );
    server.lock().pending = b"one".to_vec();
    let text = read(&mut stream, "one\r\n").await;
    assert!(text.contains("transfer-encoding: chunked"), "{text}");
    assert_eq!(body(&text), "3\r\none\r\n");
    server.lock().pending = b"two".to_vec();
    assert_eq!(read(&mut stream, "two\r\n").await, "3\r\ntwo\r\n");
    server.lock().ended = true;
    assert_eq!(read(&mut stream, "0\r\n\r\n").await, "0\r\n\r\n");
    assert!(server.lock().closed.is_empty(), "it ended by itself");
}

#[tokio::test]
async fn the_stand_in_learns_that_a_client_hung_up() {
    let server = server().await;
    for (path, id) in [("/stream", 1), ("/later", 2)] {
        server.lock().closed.clear();
        let mut stream = open(&server, &format!("GET {path}")).await;
        if path == "/stream" {
            server.lock().pending = b"one".to_vec();
            read(&mut stream, "one").await;
        }
        let asked = async {
            while server.lock().effects < id {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), asked).await.expect("never asked");
        drop(stream);
        let closed = async {
            while server.lock().closed != [StreamId(id.into())] {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), closed).await.expect(path);
    }
    assert_eq!(server.carried.journal.entries()[1].outcome, Outcome::HungUp);
}

#[tokio::test]
async fn a_truncated_stream_breaks_after_its_first_bytes() {
    let server = server().await;
    server.fault("echo.stream", Fault::Truncate, 1);
    server.lock().pending = b"one".to_vec();
    let text = read(&mut open(&server, "GET /stream").await, "").await;
    assert_eq!(body(&text), "3\r\none\r\n");
    assert_eq!(server.lock().closed, [StreamId(1)]);
}

#[tokio::test]
async fn a_blocked_request_is_answered_in_the_end() {
    let server = server().await;
    let mut stream = open(&server, "GET /later").await;
    server.lock().ready = true;
    assert_eq!(body(&read(&mut stream, "at last").await), "at last");
}

#[tokio::test]
async fn a_server_that_is_down_refuses_and_comes_back_on_its_port() {
    let server = server().await;
    server.lock().pending = b"one".to_vec();
    let mut stream = open(&server, "GET /stream").await;
    read(&mut stream, "one\r\n").await;
    server.down().await;
    assert_eq!(read(&mut stream, "").await, "");
    assert_eq!(TcpStream::connect(server.address).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    server.up().await.unwrap();
    assert_eq!(body(&read(&mut open(&server, "GET /call").await, "effect").await), "effect 2");
}

#[tokio::test]
async fn a_trickle_brings_the_answer_byte_by_byte_and_never_ends() {
    let server = server().await;
    server.fault("echo.call", Fault::Trickle(Duration::from_millis(1)), 1);
    let mut stream = open(&server, "GET /call").await;
    let text = read(&mut stream, "1\r\n1\r\n1\r\n \r\n1\r\n \r\n").await;
    assert!(body(&text).starts_with("1\r\ne\r\n1\r\nf\r\n"), "{text}");
    assert_eq!(server.lock().effects, 1);

    server.fault("echo.stream", Fault::Trickle(Duration::from_millis(1)), 1);
    server.lock().pending = b"one".to_vec();
    let mut stream = open(&server, "GET /stream").await;
    assert!(body(&read(&mut stream, " \r\n").await).starts_with("1\r\no\r\n1\r\nn\r\n1\r\ne\r\n1\r\n "));
    assert!(server.lock().closed.is_empty(), "the client still listens");
}

#[tokio::test]
async fn a_long_answer_is_as_long_as_it_says() {
    let (text, effects, _) = with_fault(Fault::TooLong(5), "effect 1     ").await;
    assert!(text.contains("content-length: 13\r\n"), "{text}");
    assert_eq!(effects, 1);

    let server = server().await;
    server.fault("echo.stream", Fault::TooLong(5), 1);
    server.lock().pending = b"one".to_vec();
    let text = read(&mut open(&server, "GET /stream").await, "one\r\n").await;
    assert_eq!(body(&text), "5\r\n     \r\n3\r\none\r\n");
}

#[tokio::test]
async fn a_server_that_refuses_goes_on_with_its_streams() {
    let server = server().await;
    let (mut idle, mut stream) = (open(&server, "GET /call").await, open(&server, "GET /stream").await);
    read(&mut idle, "effect").await;
    // The head of a stream comes with its first bytes.
    server.lock().pending = b"zero".to_vec();
    read(&mut stream, "zero\r\n").await;
    server.refuse().await;
    assert_eq!(read(&mut idle, "").await, "", "an idle connection is closed");
    assert_eq!(TcpStream::connect(server.address).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    server.lock().pending = b"one".to_vec();
    assert_eq!(read(&mut stream, "one\r\n").await, "3\r\none\r\n");
    server.up().await.unwrap();
    assert!(read(&mut open(&server, "GET /call").await, "effect").await.contains("effect"));
}
