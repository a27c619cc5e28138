//! A message as a person reads it, in plain text for a terminal.
//!
//! When a message has blocks, Slack shows only those: its `text` is then a fallback for notifications. The
//! same holds here.

use serde_json::Value;

/// The lines of a message. `name_of` turns the id of a user or a channel into its name.
pub(super) fn render(text: &str, blocks: &[Value], name_of: &dyn Fn(&str) -> Option<String>) -> String {
    if blocks.is_empty() {
        return mrkdwn(text, name_of);
    }
    let lines: Vec<String> =
        blocks.iter().map(|block| one_block(block, name_of)).filter(|line| !line.is_empty()).collect();
    lines.join("\n")
}

fn one_block(block: &Value, name_of: &dyn Fn(&str) -> Option<String>) -> String {
    let list = |key: &str| block[key].as_array().cloned().unwrap_or_default();
    match block["type"].as_str().unwrap_or_default() {
        "divider" => "----".to_owned(),
        "image" => format!("[{}]", block["alt_text"].as_str().unwrap_or_default()),
        "rich_text" => {
            let parts: Vec<String> = list("elements").iter().map(|part| rich_part(part, name_of)).collect();
            parts.join("\n")
        }
        "context" | "actions" => {
            let parts: Vec<String> = list("elements").iter().map(|part| element(part, name_of)).collect();
            parts.join("  ")
        }
        _ => {
            let mut lines = Vec::new();
            if block.get("text").is_some() {
                lines.push(element(&block["text"], name_of));
            }
            lines.extend(list("fields").iter().map(|field| element(field, name_of)));
            if block.get("accessory").is_some() {
                lines.push(element(&block["accessory"], name_of));
            }
            lines.join("\n")
        }
    }
}

fn element(element: &Value, name_of: &dyn Fn(&str) -> Option<String>) -> String {
    match element["type"].as_str().unwrap_or_default() {
        "button" => format!("[{}]", unescape(element["text"]["text"].as_str().unwrap_or_default())),
        "image" => format!("[{}]", element["alt_text"].as_str().unwrap_or_default()),
        // In plain text nothing is markup, but Slack still unescapes the three characters.
        "plain_text" => unescape(element["text"].as_str().unwrap_or_default()),
        _ => mrkdwn(element["text"].as_str().unwrap_or_default(), name_of),
    }
}

/// A paragraph, a list, a quotation or a block of code; nothing in it is markup.
fn rich_part(part: &Value, name_of: &dyn Fn(&str) -> Option<String>) -> String {
    let elements = part["elements"].as_array().cloned().unwrap_or_default();
    let inline = || elements.iter().map(|element| rich_element(element, name_of)).collect::<String>();
    match part["type"].as_str().unwrap_or_default() {
        "rich_text_preformatted" => format!("```\n{}\n```", inline().trim_end_matches('\n')),
        "rich_text_quote" => inline().lines().map(|line| format!("> {line}")).collect::<Vec<_>>().join("\n"),
        "rich_text_list" => {
            let items = elements.iter().enumerate().map(|(nth, item)| match part["style"].as_str() {
                Some("ordered") => format!("{}. {}", nth + 1, rich_part(item, name_of)),
                _ => format!("• {}", rich_part(item, name_of)),
            });
            items.collect::<Vec<_>>().join("\n")
        }
        _ => inline().trim_end_matches('\n').to_owned(),
    }
}

fn rich_element(element: &Value, name_of: &dyn Fn(&str) -> Option<String>) -> String {
    let field = |name: &str| element[name].as_str().unwrap_or_default();
    let named = |mark: &str, id: &str| format!("{mark}{}", name_of(id).unwrap_or_default());
    match field("type") {
        "user" => named("@", field("user_id")),
        "channel" => named("#", field("channel_id")),
        "usergroup" => format!("@{}", field("usergroup_id")),
        "broadcast" => format!("@{}", field("range")),
        "emoji" => format!(":{}:", field("name")),
        "link" => element["text"].as_str().unwrap_or(field("url")).to_owned(),
        _ => field("text").to_owned(),
    }
}

fn mrkdwn(text: &str, name_of: &dyn Fn(&str) -> Option<String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('<') {
        out.push_str(before);
        let Some((inside, after)) = after.split_once('>') else {
            out.push('<');
            rest = after;
            break;
        };
        let (target, label) = inside.split_once('|').map_or((inside, None), |(target, label)| (target, Some(label)));
        let shown = match target.chars().next() {
            Some('@') => format!("@{}", label.map(str::to_owned).or_else(|| name_of(&target[1..])).unwrap_or_default()),
            Some('#') => format!("#{}", label.map(str::to_owned).or_else(|| name_of(&target[1..])).unwrap_or_default()),
            // <!channel>, <!here>, <!subteam^S1|@team>: these notify people.
            Some('!') => label.map_or_else(|| format!("@{}", &target[1..]), str::to_owned),
            _ => label.unwrap_or(target).to_owned(),
        };
        out.push_str(&shown);
        rest = after;
    }
    out.push_str(rest);
    unescape(&out)
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn names(id: &str) -> Option<String> {
        (id == "U1").then(|| "alice".to_owned())
    }

    #[test]
    fn reads_like_slack() {
        let blocks = json!([
            {"type": "header", "text": {"type": "plain_text", "text": "Deploy"}},
            {"type": "section", "text": {"type": "mrkdwn", "text": "<@U1> deploys *checkout* of <https://x/pr/4|#4 a &lt; b>"}},
            {"type": "section", "fields": [{"type": "mrkdwn", "text": "Tag"}, {"type": "mrkdwn", "text": "`main-0123456`"}]},
            {"type": "divider"},
            {"type": "context", "elements": [{"type": "mrkdwn", "text": "in <#C1|deploys>"}, {"type": "plain_text", "text": "R&amp;D"}]},
            {"type": "actions", "elements": [{"type": "button", "text": {"type": "plain_text", "text": "Cancel"}}]},
        ]);
        insta::assert_snapshot!(render("fallback", blocks.as_array().unwrap(), &names), @"
        Deploy
        @alice deploys *checkout* of #4 a < b
        Tag
        `main-0123456`
        ----
        in #deploys  R&D
        [Cancel]
        ");
    }

    #[test]
    fn rich_text_reads_like_slack() {
        let text = |text: &str| json!({"type": "text", "text": text});
        let blocks = json!([{"type": "rich_text", "elements": [
            {"type": "rich_text_section", "elements": [
                text("For "), {"type": "user", "user_id": "U1"}, text(": "), {"type": "link", "url": "https://x", "text": "here"},
            ]},
            {"type": "rich_text_preformatted", "elements": [text("-  tag: a\n+  tag: b &amp; <c>\n")]},
            {"type": "rich_text_list", "style": "bullet", "elements": [
                {"type": "rich_text_section", "elements": [text("one")]},
                {"type": "rich_text_section", "elements": [text("two")]},
            ]},
            {"type": "rich_text_quote", "elements": [text("said")]},
        ]}]);
        insta::assert_snapshot!(render("fallback", blocks.as_array().unwrap(), &names), @"
        For @alice: here
        ```
        -  tag: a
        +  tag: b &amp; <c>
        ```
        • one
        • two
        > said
        ");
    }

    #[test]
    fn an_escaped_mention_stays_text_and_a_real_one_shows() {
        assert_eq!(render("&lt;!channel&gt; &amp;lt;", &[], &names), "<!channel> &lt;");
        assert_eq!(render("<!channel> <https://a> <", &[], &names), "@channel https://a <");
    }
}
