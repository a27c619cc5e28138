//! The blocks of a message as HTML that looks like Slack.
//!
//! Only what the message of a deploy uses is known. Everything else is an error, because a picture that
//! leaves something out is not true.

use fakes::slack::Slack;
use serde_json::Value;

pub(crate) type Html = Result<String, String>;

const EMOJI: [(&str, &str); 9] = [
    ("arrows_counterclockwise", "🔄"),
    ("hourglass_flowing_sand", "⏳"),
    ("lock", "🔒"),
    ("no_entry", "⛔"),
    ("raised_hand", "✋"),
    ("unlock", "🔓"),
    ("warning", "⚠️"),
    ("white_check_mark", "✅"),
    ("x", "❌"),
];

/// The blocks, one below the other. The workspace knows the names of people.
pub(crate) fn blocks(slack: &Slack, blocks: &[Value]) -> Html {
    blocks.iter().map(|block| self::block(slack, block)).collect()
}

/// How many minutes the reader's clock is ahead of UTC: the simulation begins at midnight.
const READER: u64 = 10 * 60;

/// `10:14 AM`.
pub(crate) fn clock(at: u64) -> String {
    let minutes = (at / 60_000 + READER) % (24 * 60);
    let (hour, half) = (minutes / 60, if minutes < 12 * 60 { "AM" } else { "PM" });
    format!("{}:{:02} {half}", (hour + 11) % 12 + 1, minutes % 60)
}

/// Text in which nothing is markup.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn block(slack: &Slack, block: &Value) -> Html {
    let inside = match kind(block) {
        "section" => {
            only(block, &["text"])?;
            text(slack, &block["text"])?
        }
        "context" => elements(block, |element| text(slack, element))?,
        "actions" => elements(block, button)?,
        other => return Err(format!("a block of type {other:?}")),
    };
    Ok(format!("<div class=\"{}\">{inside}</div>\n", kind(block)))
}

fn elements(block: &Value, one: impl Fn(&Value) -> Html) -> Html {
    only(block, &["elements"])?;
    block["elements"].as_array().ok_or("a block without elements")?.iter().map(one).collect()
}

fn text(slack: &Slack, object: &Value) -> Html {
    only(object, &["text", "verbatim"])?;
    match (kind(object), object["text"].as_str()) {
        // What only looks like a link or a mention is none.
        ("mrkdwn", Some(text)) if object["verbatim"] == true => mrkdwn(slack, text),
        ("plain_text", Some(text)) => Ok(plain(text)),
        (other, _) => Err(format!("a text of type {other:?}")),
    }
}

/// What a button does and asks is not to be seen.
fn button(element: &Value) -> Html {
    only(element, &["text", "style", "action_id", "value", "confirm"])?;
    let style = match (kind(element), &element["style"]) {
        ("button", Value::Null) => "button",
        ("button", Value::String(style)) if style == "primary" => "button primary",
        ("button", Value::String(style)) if style == "danger" => "button danger",
        (other, style) => return Err(format!("an element of type {other:?} and style {style}")),
    };
    let label = element["text"]["text"].as_str().ok_or("a button without a label")?;
    Ok(format!("<span class=\"{style}\">{}</span>", plain(label)))
}

fn kind(value: &Value) -> &str {
    value["type"].as_str().unwrap_or_default()
}

fn only(value: &Value, known: &[&str]) -> Result<(), String> {
    let fields = value.as_object().ok_or("something that is no object")?;
    match fields.keys().find(|key| *key != "type" && !known.contains(&key.as_str())) {
        Some(key) => Err(format!("the property {key:?} of a {:?}", kind(value))),
        None => Ok(()),
    }
}

/// Text as Slack sends it: three characters are escaped.
fn plain(text: &str) -> String {
    escape(&text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
}

fn mrkdwn(slack: &Slack, text: &str) -> Html {
    let (mut html, mut literal, mut rest) = (String::new(), String::new(), text);
    while let Some(first) = rest.chars().next() {
        let after = &rest[first.len_utf8()..];
        // Markup begins where a word may begin.
        let may_begin = !literal.ends_with(char::is_alphanumeric);
        let markup = match first {
            '\n' => Some(("<br>".to_owned(), after)),
            '<' => {
                let (inside, after) = after.split_once('>').ok_or("a `<` without its `>`")?;
                Some((in_brackets(slack, inside)?, after))
            }
            ':' => emoji(after)?,
            '`' if may_begin => {
                spanned(after, first).map(|(inside, after)| (format!("<code>{}</code>", plain(inside)), after))
            }
            '*' | '_' | '~' if may_begin => match spanned(after, first) {
                Some((inside, after)) => {
                    let tag = if first == '*' {
                        "b"
                    } else if first == '_' {
                        "i"
                    } else {
                        "s"
                    };
                    Some((format!("<{tag}>{}</{tag}>", mrkdwn(slack, inside)?), after))
                }
                None => None,
            },
            _ => None,
        };
        match markup {
            Some((markup, after)) => {
                html += &(plain(&std::mem::take(&mut literal)) + &markup);
                rest = after;
            }
            None => {
                literal.push(first);
                rest = after;
            }
        }
    }
    Ok(html + &plain(&literal))
}

/// The text before the closing mark on the same line, and the text after the mark, which is no part of a
/// word.
fn spanned(text: &str, mark: char) -> Option<(&str, &str)> {
    let (inside, after) = text.split_once(mark)?;
    let ends = !after.starts_with(char::is_alphanumeric);
    let holds = !inside.is_empty() && inside.trim() == inside && !inside.contains('\n');
    (ends && holds).then_some((inside, after))
}

/// `:name:`. A time such as `10:14:00` is none.
fn emoji(after: &str) -> Result<Option<(String, &str)>, String> {
    let Some((name, after)) = after.split_once(':') else { return Ok(None) };
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-+".contains(c);
    if !name.chars().all(is_name) || !name.contains(|c: char| c.is_ascii_lowercase()) {
        return Ok(None);
    }
    let known = EMOJI.iter().find(|(known, _)| *known == name);
    let (_, character) = known.ok_or_else(|| format!("the emoji {name:?}"))?;
    Ok(Some((format!("<span class=\"emoji\">{character}</span>"), after)))
}

/// A person or a link.
fn in_brackets(slack: &Slack, inside: &str) -> Html {
    if let Some(id) = inside.strip_prefix('@') {
        let user = slack.users.get(id).ok_or_else(|| format!("nobody is called {id:?}"))?;
        return Ok(format!("<span class=\"mention\">@{}</span>", escape(&user.name)));
    }
    // `<!date^1767225600^{date_short_pretty} {time}|2026-01-01 00:00 UTC>`
    if let Some(date) = inside.strip_prefix("!date^") {
        let seconds = date.split_once('^').and_then(|(seconds, _)| seconds.parse::<u64>().ok());
        let seconds = seconds.ok_or_else(|| format!("the date {date:?}"))?;
        let format = date.contains("^{date_short_pretty} {time}|");
        return if format {
            Ok(format!("today at {}", clock(seconds * 1000)))
        } else {
            Err(format!("the date {date:?}"))
        };
    }
    match inside.split_once('|') {
        Some((url, label)) if url.starts_with("https://") => {
            Ok(format!("<a href=\"{}\">{}</a>", plain(url), plain(label)))
        }
        _ => Err(format!("<{inside}> is neither a person nor a link")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn slack() -> Slack {
        let mut slack = Slack::new("secret", "token", "https://slack.com");
        slack.add_user("U1", "a<b");
        slack
    }

    #[test]
    fn blocks_become_html() {
        let text = |text: &str| json!({"type": "mrkdwn", "text": text, "verbatim": true});
        let button = |style: &str| json!({"type": "button", "action_id": "x", "value": "x", "style": style, "text": {"type": "plain_text", "text": "R&amp;D"}});
        let all = json!([
            {"type": "section", "text": text(":white_check_mark: *checkout #42*  is live")},
            {"type": "context", "elements": [text("asked by <@U1>")]},
            {"type": "actions", "elements": [button("primary"), button("danger")]},
        ]);
        let expected = "<div class=\"section\"><span class=\"emoji\">✅</span> <b>checkout #42</b>  is live</div>\n\
            <div class=\"context\">asked by <span class=\"mention\">@a&lt;b</span></div>\n\
            <div class=\"actions\"><span class=\"button primary\">R&amp;D</span><span class=\"button danger\">R&amp;D</span></div>\n";
        assert_eq!(blocks(&slack(), all.as_array().unwrap()).unwrap(), expected);
    }

    #[test]
    fn markup_and_escapes_read_as_in_slack() {
        let check = |text: &str, expected: &str| assert_eq!(mrkdwn(&slack(), text).unwrap(), expected, "{text}");
        check("`a*b*c` and *b `c`*", "<code>a*b*c</code> and <b>b <code>c</code></b>");
        check("_i_ ~s~ snake_case_name 2 * 3 * 4", "<i>i</i> <s>s</s> snake_case_name 2 * 3 * 4");
        check("<https://x/?a=1&amp;b=\"|a &lt;b&gt;>", "<a href=\"https://x/?a=1&amp;b=&quot;\">a &lt;b&gt;</a>");
        check("&lt;script&gt; &amp;lt; \"'", "&lt;script&gt; &amp;lt; &quot;'");
        check("at 10:14:00\n• one", "at 10:14:00<br>• one");
    }

    #[test]
    fn what_is_not_known_is_an_error() {
        let check = |block: Value, expected: &str| assert_eq!(blocks(&slack(), &[block]).unwrap_err(), expected);
        let section =
            |text: &str| json!({"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": true}});
        check(json!({"type": "image"}), "a block of type \"image\"");
        check(json!({"type": "section", "fields": []}), "the property \"fields\" of a \"section\"");
        check(json!({"type": "context", "elements": [{"type": "image"}]}), "a text of type \"image\"");
        let menu = json!({"type": "overflow"});
        check(json!({"type": "actions", "elements": [menu]}), "an element of type \"overflow\" and style null");
        check(section(":rocket:"), "the emoji \"rocket\"");
        check(section("<@U2>"), "nobody is called \"U2\"");
        check(section("<!channel>"), "<!channel> is neither a person nor a link");
    }
}
