//! Whom a message notifies. Slack decides it once, when the message is posted.
//!
//! Easy to miss: with blocks, the `text` is only a fallback, so a person who is named only there is not
//! notified. Escaped or plain text notifies nobody.

use serde_json::Value;

use super::Edit;

/// Whether a message that is posted so notifies this person, who is in these groups.
pub(super) fn notifies(edit: &Edit, user: &str, groups: &[&str]) -> bool {
    let calls = |target: &str| calls(target, user, groups);
    if edit.blocks.is_empty() {
        return marked(&edit.text).any(calls);
    }
    edit.blocks.iter().any(|block| any(block, &calls))
}

/// Looks through all of a block, but for buttons: their text and their question are read only by who clicks.
fn any(part: &Value, calls: &dyn Fn(&str) -> bool) -> bool {
    let field = |name: &str| part[name].as_str().unwrap_or_default();
    let here = match field("type") {
        "mrkdwn" => marked(field("text")).any(calls),
        "user" => calls(&format!("@{}", field("user_id"))),
        "usergroup" => calls(&format!("!subteam^{}", field("usergroup_id"))),
        "broadcast" => calls(&format!("!{}", field("range"))),
        "button" => return false,
        _ => false,
    };
    here || match part {
        Value::Array(parts) => parts.iter().any(|part| any(part, calls)),
        Value::Object(fields) => fields.values().any(|part| any(part, calls)),
        _ => false,
    }
}

/// The text between `<` and `>`, without its label.
fn marked(text: &str) -> impl Iterator<Item = &str> {
    let inside = text.split('<').skip(1).filter_map(|rest| rest.split_once('>'));
    inside.map(|(inside, _)| inside.split('|').next().unwrap_or_default())
}

fn calls(target: &str, user: &str, groups: &[&str]) -> bool {
    match target.strip_prefix('!') {
        Some("channel" | "here" | "everyone") => true,
        Some(other) => other.strip_prefix("subteam^").is_some_and(|group| groups.contains(&group)),
        None => target.strip_prefix('@') == Some(user),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(text: &str, blocks: Value, expected: bool) {
        let edit = Edit { at: 0, text: text.to_owned(), blocks: blocks.as_array().unwrap().clone() };
        assert_eq!(notifies(&edit, "U1", &["S1"]), expected, "{text} {blocks}");
    }

    #[test]
    fn only_a_real_mention_notifies() {
        for (text, expected) in [
            ("<@U1> your deploy failed", true),
            ("for <@U1|alice>", true),
            ("<@U12>", false),
            ("&lt;@U1&gt;", false),
            ("@U1 <https://x|@U1>", false),
            ("<!channel>", true),
            ("<!here|here>", true),
            ("<!subteam^S1|@team>", true),
            ("<!subteam^S2>", false),
            ("", false),
        ] {
            check(text, json!([]), expected);
            let section = |kind: &str| json!([{"type": "section", "text": {"type": kind, "text": text}}]);
            check("fallback", section("mrkdwn"), expected);
            check("fallback", section("plain_text"), false);
        }
    }

    #[test]
    fn with_blocks_only_the_blocks_count() {
        check("<@U1>", json!([{"type": "divider"}]), false);
        let rich = |element: Value| json!([{"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": [element]}]}]);
        check("", rich(json!({"type": "user", "user_id": "U1"})), true);
        check("", rich(json!({"type": "text", "text": "<@U1>"})), false);
        check("", rich(json!({"type": "usergroup", "usergroup_id": "S1"})), true);
        check("", rich(json!({"type": "broadcast", "range": "here"})), true);
        check("", json!([{"type": "context", "elements": [{"type": "mrkdwn", "text": "<@U1>"}]}]), true);
    }
}
