//! What Slack sends by itself: somebody has mentioned us.
//!
//! Easy to miss: Slack sends an event again when it gets no answer in time, also when the message was edited, and what
//! bots write. Of a message of another workspace in a shared channel, only fields within the event say so.

use super::FormError;
use domain::deployment::Thread;
use domain::names::{MessageTs, SlackChannel, SlackTeam, SlackUser};
use domain::time::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// Slack's question whether the address is ours is answered with this text of Slack's, see
/// <https://docs.slack.dev/reference/events/url_verification>.
const LONGEST_CHALLENGE: usize = 255;

/// An event of Slack's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Slack asks whether the address is ours: this is the answer.
    Challenge(String),
    /// A person has mentioned us.
    Mention(Box<Mention>),
    /// None that we act upon, and why not.
    Ignored(&'static str),
}

/// A message of a person that begins with our name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mention {
    pub team: SlackTeam,
    pub channel: SlackChannel,
    pub user: SlackUser,
    /// The message: with team and channel, what the deployment's id is made of.
    pub ts: MessageTs,
    /// When the message was written.
    pub at: Timestamp,
    pub thread: Thread,
    /// What was typed after our name. Slack's three entities are still in it.
    pub text: String,
}

impl Event {
    /// Reads the body, whose signature was checked.
    pub fn parse(body: &[u8]) -> Result<Self, FormError> {
        let payload: Payload = serde_json::from_slice(body).map_err(|_| FormError::Malformed("body"))?;
        match payload.kind.as_str() {
            "url_verification" => {
                let challenge = payload.challenge.ok_or(FormError::Missing("challenge"))?;
                let is_plain = !challenge.is_empty() && challenge.bytes().all(|b| b.is_ascii_graphic());
                if !is_plain || challenge.len() > LONGEST_CHALLENGE {
                    return Err(FormError::Malformed("challenge"));
                }
                Ok(Self::Challenge(challenge))
            }
            "event_callback" => payload.mention(),
            _ => Ok(Self::Ignored("it is no event_callback")),
        }
    }
}

#[derive(Deserialize)]
struct Payload {
    #[serde(rename = "type")]
    kind: String,
    challenge: Option<String>,
    team_id: Option<String>,
    event: Option<Inner>,
    #[serde(default)]
    authorizations: Vec<Authorization>,
}

/// An installation of ours that sees the event. Slack lists one.
#[derive(Deserialize)]
struct Authorization {
    /// Who we are there.
    user_id: String,
}

#[derive(Deserialize)]
struct Inner {
    #[serde(rename = "type")]
    kind: String,
    subtype: Option<Value>,
    bot_id: Option<Value>,
    bot_profile: Option<Value>,
    edited: Option<Value>,
    user: Option<String>,
    /// Whose workspace the person is of, as far as Slack says.
    team: Option<String>,
    user_team: Option<String>,
    source_team: Option<String>,
    channel: Option<String>,
    ts: Option<String>,
    thread_ts: Option<String>,
    text: Option<String>,
}

impl Payload {
    fn mention(self) -> Result<Event, FormError> {
        let event = self.event.ok_or(FormError::Missing("event"))?;
        if event.kind != "app_mention" {
            return Ok(Event::Ignored("it is no mention"));
        }
        if event.bot_id.is_some() || event.bot_profile.is_some() || event.user.is_none() {
            return Ok(Event::Ignored("no person wrote it"));
        }
        if event.edited.is_some() || event.subtype.is_some() {
            return Ok(Event::Ignored("it was edited, or is no plain message"));
        }
        let team = named(self.team_id, "team_id", SlackTeam::parse)?;
        if [&event.team, &event.user_team, &event.source_team].into_iter().flatten().any(|of| of != team.as_str()) {
            return Ok(Event::Ignored("it is of another workspace"));
        }
        let text = event.text.unwrap_or_default();
        let Some(text) = after_name(&text, &self.authorizations) else {
            return Ok(Event::Ignored("it does not begin with our name"));
        };
        let ts = named(event.ts, "event.ts", MessageTs::parse)?;
        let seconds = ts.as_str().split('.').next().and_then(|seconds| seconds.parse().ok());
        let parent = event.thread_ts.map(|ts| named(Some(ts), "event.thread_ts", MessageTs::parse)).transpose()?;
        let thread = match parent.filter(|parent| *parent != ts) {
            Some(parent) => Thread { ts: parent, begun: true },
            None => Thread { ts: ts.clone(), begun: false },
        };
        Ok(Event::Mention(Box::new(Mention {
            team,
            channel: named(event.channel, "event.channel", SlackChannel::parse)?,
            user: named(event.user, "event.user", SlackUser::parse)?,
            at: Timestamp::from_seconds(seconds.ok_or(FormError::Malformed("event.ts"))?),
            ts,
            thread,
            text: as_typed(text),
        })))
    }
}

fn named<T, E>(text: Option<String>, name: &'static str, parse: fn(&str) -> Result<T, E>) -> Result<T, FormError> {
    parse(&text.ok_or(FormError::Missing(name))?).map_err(|_| FormError::Malformed(name))
}

/// What follows our name, if the text begins with it.
fn after_name<'t>(text: &'t str, ours: &[Authorization]) -> Option<&'t str> {
    let (name, rest) = text.trim_start().strip_prefix("<@")?.split_once('>')?;
    let id = name.split('|').next().unwrap_or_default();
    let is_ours = ours.iter().any(|one| one.user_id == id);
    is_ours.then(|| rest.trim_start_matches([' ', ':', ',']))
}

/// Links and names as the person typed them. What stands between `<` and `>` is Slack's: of what people type, these
/// characters are entities.
fn as_typed(text: &str) -> String {
    let mut parts = text.split('<');
    let mut typed = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once('>') {
            Some((inner, rest)) => {
                let (target, label) =
                    inner.split_once('|').map_or((inner, None), |(target, label)| (target, Some(label)));
                match (target.chars().next(), label) {
                    (Some(mark @ ('@' | '#' | '!')), label) => {
                        let name = label.unwrap_or(target.get(1..).unwrap_or_default());
                        typed.push(if mark == '#' { '#' } else { '@' });
                        typed.push_str(name.trim_start_matches(['@', '#']));
                    }
                    // `release-1.2.io` is a link that Slack made.
                    (_, Some(label))
                        if ["http://", "https://", "mailto:"]
                            .iter()
                            .any(|kind| target.strip_prefix(kind) == Some(label)) =>
                    {
                        typed.push_str(label);
                    }
                    (_, _) => typed.push_str(target),
                }
                typed.push_str(rest);
            }
            None => {
                typed.push('<');
                typed.push_str(part);
            }
        }
    }
    typed
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// As Slack documents it: <https://docs.slack.dev/reference/events/app_mention>.
    fn payload(text: &str) -> Value {
        json!({
            "token": "ZZZZZZWSxiZZZ2yIvs3peJ", "team_id": "T123ABC456", "api_app_id": "A123ABC456",
            "event": {
                "type": "app_mention", "user": "U123ABC456", "text": text, "ts": "1515449522.000016",
                "channel": "C123ABC456", "event_ts": "1515449522000016", "team": "T123ABC456",
            },
            "type": "event_callback", "event_id": "Ev123ABC456", "event_time": 1_515_449_522_000_016_u64,
            "authorizations": [{"enterprise_id": null, "team_id": "T123ABC456", "user_id": "U0LAN0Z89", "is_bot": true}],
        })
    }

    fn parse(payload: &Value) -> Result<Event, FormError> {
        Event::parse(payload.to_string().as_bytes())
    }

    fn mention(payload: &Value) -> Mention {
        match parse(payload) {
            Ok(Event::Mention(mention)) => *mention,
            other => panic!("no mention: {other:?}"),
        }
    }

    #[test]
    fn slacks_example_of_a_mention_is_read() {
        let mention = mention(&payload("<@U0LAN0Z89> is it everything a river should be?"));
        assert_eq!(mention.text, "is it everything a river should be?");
        assert_eq!((mention.at.seconds(), mention.ts.as_str()), (1_515_449_522, "1515449522.000016"));
        assert_eq!(mention.thread, Thread { ts: mention.ts.clone(), begun: false });
        let mut replied = payload("<@U0LAN0Z89> help");
        replied["event"]["thread_ts"] = json!("1515449500.000100");
        let parent = MessageTs::parse("1515449500.000100").unwrap();
        assert_eq!(self::mention(&replied).thread, Thread { ts: parent, begun: true });
    }

    #[test]
    fn the_question_for_the_address_is_answered_with_its_own_word() {
        let asked =
            |challenge: Value| parse(&json!({"token": "x", "challenge": challenge, "type": "url_verification"}));
        let word = "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P";
        assert_eq!(asked(json!(word)), Ok(Event::Challenge(word.to_owned())));
        assert_eq!(asked(Value::Null), Err(FormError::Missing("challenge")));
        for odd in ["", "a b", "<b>ä", &"x".repeat(256)] {
            assert_eq!(asked(json!(odd)), Err(FormError::Malformed("challenge")), "{odd}");
        }
    }

    #[test]
    fn what_no_person_of_ours_has_just_written_is_ignored() {
        let check = |path: &str, value: Value| {
            let mut payload = payload("<@U0LAN0Z89> checkout 42");
            let (place, name) = path.rsplit_once('/').unwrap();
            payload.pointer_mut(place).unwrap()[name] = value;
            assert!(matches!(parse(&payload), Ok(Event::Ignored(_))), "{path}: {:?}", parse(&payload));
        };
        check("/type", json!("app_rate_limited"));
        check("/event/type", json!("message"));
        check("/event/bot_id", json!("B1"));
        check("/event/bot_profile", json!({"id": "B1"}));
        check("/event/user", Value::Null);
        check("/event/edited", json!({"user": "U123ABC456", "ts": "1515449530.000000"}));
        check("/event/subtype", json!("thread_broadcast"));
        for of in ["team", "user_team", "source_team"] {
            check(&format!("/event/{of}"), json!("T0OTHER"));
        }
        check("/team_id", json!("T0OTHER"));
        check("/authorizations", json!([]));
        for text in
            ["checkout 42 <@U0LAN0Z89>", "<@U0ALICE> <@U0LAN0Z89> checkout 42", "&lt;@U0LAN0Z89&gt; checkout 42", ""]
        {
            assert!(matches!(parse(&payload(text)), Ok(Event::Ignored(_))), "{text}");
        }
    }

    #[test]
    fn what_is_not_what_slack_documents_is_refused() {
        let check = |name: &str, value: Value, expected| {
            let mut payload = payload("<@U0LAN0Z89> checkout 42");
            payload["event"][name] = value;
            assert_eq!(parse(&payload), Err(expected), "{name}");
        };
        check("channel", json!("#deploys"), FormError::Malformed("event.channel"));
        check("user", json!("<!channel>"), FormError::Malformed("event.user"));
        check("ts", json!("x"), FormError::Malformed("event.ts"));
        check("ts", json!("."), FormError::Malformed("event.ts"));
        check("ts", Value::Null, FormError::Missing("event.ts"));
        check("thread_ts", json!("../x"), FormError::Malformed("event.thread_ts"));
        for body in ["", "[]", "{}", r#"{"type":"event_callback","type":"url_verification","challenge":"x"}"#] {
            assert!(Event::parse(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn links_and_names_are_read_as_they_were_typed() {
        let check = |text: &str, expected: &str| {
            assert_eq!(mention(&payload(&format!("<@U0LAN0Z89>{text}"))).text, expected, "{text}");
        };
        check(" checkout 42", "checkout 42");
        check(": checkout 42", "checkout 42");
        check("", "");
        check(
            " checkout <https://github.com/acme/checkout/pull/42>",
            "checkout https://github.com/acme/checkout/pull/42",
        );
        check(" checkout <http://release-1.2.io|release-1.2.io>", "checkout release-1.2.io");
        check(" <mailto:checkout@shop.io|checkout@shop.io> main", "checkout@shop.io main");
        // The person reads `main`, and the link says where it leads.
        check(
            " checkout <https://github.com/acme/checkout/pull/7|main>",
            "checkout https://github.com/acme/checkout/pull/7",
        );
        check(
            " lock checkout ask <@U0BOB> in <#C0X|deploys>, &lt;now&gt;",
            "lock checkout ask @U0BOB in #deploys, &lt;now&gt;",
        );
        check(" lock checkout <!here> <!subteam^S1|@team> <x", "lock checkout @here @team <x");
    }
}
