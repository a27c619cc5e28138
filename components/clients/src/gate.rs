//! The gate service: a service of the company that may refuse a deployment. The gate `ask` of the catalog names the path.
//!
//! The question is signed as Slack signs, over the time and the body, so a service can verify it with what it has for Slack.
//! A redirect is no answer: the question goes to the address that an operator set and to no other. What the service says is text
//! from outside.

use crate::http::{Http, HttpError, Request, Response, header::HeaderName};
use crate::signature::{SigningKey, sign_v0};
use domain::fault::{Cause, Fault, System};
use domain::names::UrlOrigin;
use domain::time::Timestamp;
use serde_json::Value;
use std::time::Duration;

const DOING: &str = "ask the gate service";
/// How long one try may take.
const TRY: Duration = Duration::from_secs(2);
/// The longest answer, in bytes.
const LONGEST: usize = 4 * 1024;
/// The longest reason that is kept, in characters.
const LONGEST_REASON: usize = 200;

/// Where the service is, and what it knows us by.
#[derive(Clone, Debug)]
pub struct GateService {
    pub url: UrlOrigin,
    pub key: SigningKey,
}

/// What the service said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Allows,
    Refuses { reason: String },
}

fn request(service: &GateService, path: &str, question: &Value, now: Timestamp) -> Request {
    let request = Request::post_json(format!("{}{path}", service.url), question).timeout(TRY).max_answer(LONGEST);
    let signature = sign_v0(&service.key, now, &request.body);
    request
        .header(HeaderName::from_static("x-deploy-bot-timestamp"), &now.seconds().to_string())
        .header(HeaderName::from_static("x-deploy-bot-signature"), &signature)
}

fn read(response: &Response) -> Result<Verdict, Fault> {
    let nonsense = |part: &str| fault(Cause::Nonsense { part: part.to_owned() });
    if response.status.as_u16() != 200 {
        return Err(nonsense(&format!("status {}", response.status.as_u16())));
    }
    let answer: Value = serde_json::from_slice(&response.body).map_err(|_| nonsense("no JSON"))?;
    match answer.get("allow") {
        Some(Value::Bool(true)) => Ok(Verdict::Allows),
        Some(Value::Bool(false)) => {
            let reason = answer.get("reason").and_then(Value::as_str).unwrap_or_default();
            Ok(Verdict::Refuses { reason: reason.chars().take(LONGEST_REASON).collect() })
        }
        _ => Err(nonsense("`allow` is neither true nor false")),
    }
}

fn fault(cause: Cause) -> Fault {
    Fault::new(System::GateService, DOING, cause)
}

/// Asks once. The question changes nothing, so it may be asked again.
pub async fn ask(
    http: &impl Http,
    service: &GateService,
    path: &str,
    question: &Value,
    now: Timestamp,
) -> Result<Verdict, Fault> {
    let sent = http.send(request(service, path, question, now)).await;
    read(&sent.map_err(|error: HttpError| fault(error.into()))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{HeaderMap, StatusCode};
    use domain::names::Secret;
    use serde_json::json;

    #[test]
    fn a_question_is_signed_over_its_time_and_body() {
        let service = GateService {
            url: UrlOrigin::parse("https://gate.acme.example").unwrap(),
            key: SigningKey::new(&Secret::new("a key of the gate service")).unwrap(),
        };
        let sent = request(&service, "/deploys", &json!({ "app": "checkout" }), Timestamp::from_seconds(1_787_301_763));
        assert_eq!(
            (sent.url.as_str(), sent.timeout, sent.max_answer),
            ("https://gate.acme.example/deploys", TRY, 4096)
        );
        assert_eq!(sent.body, br#"{"app":"checkout"}"#);
        assert_eq!(sent.headers["x-deploy-bot-timestamp"], "1787301763");
        // From `printf 'v0:1787301763:{"app":"checkout"}' | openssl dgst -sha256 -hmac 'a key of the gate service'`.
        assert_eq!(
            sent.headers["x-deploy-bot-signature"],
            "v0=b16965e89244dbfd9a54940d37b6cd6a0fd5d834d15dfd1edbfb11f36889791a"
        );
    }

    #[test]
    fn nothing_but_a_clear_answer_counts() {
        let read = |status: u16, body: &str| {
            let status = StatusCode::from_u16(status).unwrap();
            read(&Response { status, headers: HeaderMap::new(), body: body.as_bytes().to_vec() })
        };
        assert_eq!(read(200, r#"{"allow":true,"reason":"x"}"#), Ok(Verdict::Allows));
        let refuses = |reason: &str| Ok(Verdict::Refuses { reason: reason.to_owned() });
        assert_eq!(read(200, r#"{"allow":false,"reason":"no budget"}"#), refuses("no budget"));
        assert_eq!(read(200, r#"{"allow":false,"reason":7}"#), refuses(""));
        let long = format!(r#"{{"allow":false,"reason":"{}"}}"#, "é".repeat(2000));
        assert_eq!(read(200, &long), refuses(&"é".repeat(200)));
        let allows = r#"{"allow":true}"#;
        for (status, body) in [
            (200, ""),
            (200, "true"),
            (200, r#"{"allow":"true"}"#),
            (200, "{}"),
            (201, allows),
            (302, allows),
            (403, allows),
        ] {
            let fault = read(status, body).unwrap_err();
            assert_eq!(fault.passing(), domain::fault::Passing::Soon, "{status} {body} is asked again");
        }
    }
}
