//! Block Kit's limits, as Slack enforces them when a message is posted or updated.
//!
//! Slack refuses a whole message for one long button label, so the check is strict, unknown properties included.
//! Lengths are counted in UTF-16 units, which is never less than what Slack counts.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// What is wrong with the `blocks` of a message, in the words of `response_metadata.messages`; empty if nothing is.
pub(super) fn check(blocks: &[Value]) -> Vec<String> {
    let mut found = Findings::default();
    if blocks.len() > 50 {
        found.add("/blocks", "no more than 50 items allowed");
    }
    let (mut ids, mut actions) = (BTreeSet::new(), BTreeSet::new());
    for (index, block) in blocks.iter().enumerate() {
        let at = format!("/blocks/{index}");
        found.block(&at, block);
        if let Some(id) = block["block_id"].as_str()
            && !ids.insert(id.to_owned())
        {
            found.add(&format!("{at}/block_id"), &format!("block_id already exists: {id}"));
        }
        // Slack minds only within a block; but two buttons of a message that are told apart by nothing are a mistake of ours.
        let elements = block["elements"].as_array().into_iter().flatten().chain(block.get("accessory"));
        for id in elements.filter_map(|element| element["action_id"].as_str()) {
            if !actions.insert(id) {
                found.add(&at, &format!("`action_id` {id} already exists"));
            }
        }
    }
    found.0
}

#[derive(Default)]
pub(super) struct Findings(pub(super) Vec<String>);

impl Findings {
    pub(super) fn add(&mut self, at: &str, what: &str) {
        self.0.push(format!("[ERROR] {what} [json-pointer:{at}]"));
    }

    pub(super) fn block(&mut self, at: &str, block: &Value) {
        let kind = block["type"].as_str().unwrap_or_default();
        let (required, optional): (&[&str], &[&str]) = match kind {
            "section" => (&[], &["text", "fields", "accessory", "expand"]),
            "header" => (&["text"], &[]),
            "context" | "actions" => (&["elements"], &[]),
            "divider" => (&[], &[]),
            "image" => (&["image_url", "alt_text"], &["title"]),
            "rich_text" => (&["elements"], &[]),
            "" => return self.add(at, "missing required field: type"),
            other => return self.add(&format!("{at}/type"), &format!("unsupported type: {other}")),
        };
        let Some(fields) = self.object(at, block, required, optional) else { return };
        self.length(&format!("{at}/block_id"), fields.get("block_id"), 255);
        match kind {
            "section" => self.section(at, fields),
            "header" => self.text(&format!("{at}/text"), fields.get("text"), 150, &["plain_text"]),
            "context" => self.elements(at, fields, 10, |found, at, element| match element["type"].as_str() {
                Some("image") => {
                    found.object(at, element, &["image_url", "alt_text"], &[]);
                }
                _ => found.text(at, Some(element), 2000, &["mrkdwn", "plain_text"]),
            }),
            "actions" => self.elements(at, fields, 25, Self::button),
            "rich_text" => self.elements(at, fields, usize::MAX, Self::rich_part),
            "image" => {
                self.length(&format!("{at}/image_url"), fields.get("image_url"), 3000);
                self.length(&format!("{at}/alt_text"), fields.get("alt_text"), 2000);
            }
            _ => {}
        }
    }

    fn section(&mut self, at: &str, section: &Map<String, Value>) {
        if section.get("text").is_none() && section.get("fields").is_none() {
            self.add(at, "missing required field: text");
        }
        if section.contains_key("text") {
            self.text(&format!("{at}/text"), section.get("text"), 3000, &["mrkdwn", "plain_text"]);
        }
        if let Some(fields) = section.get("fields") {
            let fields = fields.as_array().map(Vec::as_slice).unwrap_or_default();
            if fields.is_empty() || fields.len() > 10 {
                self.add(&format!("{at}/fields"), "must have between 1 and 10 items");
            }
            for (index, field) in fields.iter().enumerate() {
                self.text(&format!("{at}/fields/{index}"), Some(field), 2000, &["mrkdwn", "plain_text"]);
            }
        }
        if let Some(accessory) = section.get("accessory") {
            let at = format!("{at}/accessory");
            if accessory["type"] == "image" {
                self.object(&at, accessory, &["image_url", "alt_text"], &[]);
            } else {
                self.button(&at, accessory);
            }
        }
    }

    fn elements(
        &mut self,
        at: &str,
        block: &Map<String, Value>,
        most: usize,
        mut check: impl FnMut(&mut Self, &str, &Value),
    ) {
        let elements = block.get("elements").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if elements.is_empty() {
            self.add(&format!("{at}/elements"), "no fewer than 1 items allowed");
        }
        if elements.len() > most {
            self.add(&format!("{at}/elements"), &format!("no more than {most} items allowed"));
        }
        for (index, element) in elements.iter().enumerate() {
            check(self, &format!("{at}/elements/{index}"), element);
        }
    }

    fn button(&mut self, at: &str, button: &Value) {
        if button["type"] != "button" {
            return self.add(&format!("{at}/type"), &format!("unsupported type: {}", button["type"]));
        }
        let optional = ["action_id", "value", "url", "style", "confirm", "accessibility_label"];
        let Some(fields) = self.object(at, button, &["text"], &optional) else { return };
        self.text(&format!("{at}/text"), fields.get("text"), 75, &["plain_text"]);
        for (name, most) in [("action_id", 255), ("value", 2000), ("url", 3000), ("accessibility_label", 75)] {
            self.length(&format!("{at}/{name}"), fields.get(name), most);
        }
        self.style(at, fields);
        if let Some(confirm) = fields.get("confirm") {
            let at = format!("{at}/confirm");
            let Some(parts) = self.object(&at, confirm, &["title", "text", "confirm", "deny"], &["style"]) else {
                return;
            };
            self.text(&format!("{at}/title"), parts.get("title"), 100, &["plain_text"]);
            self.text(&format!("{at}/text"), parts.get("text"), 300, &["plain_text"]);
            self.text(&format!("{at}/confirm"), parts.get("confirm"), 30, &["plain_text"]);
            self.text(&format!("{at}/deny"), parts.get("deny"), 30, &["plain_text"]);
            self.style(&at, parts);
        }
    }

    fn style(&mut self, at: &str, of: &Map<String, Value>) {
        if of.get("style").is_some_and(|style| style != "primary" && style != "danger") {
            self.add(&format!("{at}/style"), "must be a valid enum value");
        }
    }

    /// A part of a `rich_text` block. Only sections may have everything in them.
    fn rich_part(&mut self, at: &str, part: &Value) {
        let kind = part["type"].as_str().unwrap_or_default();
        let optional: &[&str] = match kind {
            "rich_text_section" => &[],
            "rich_text_quote" | "rich_text_preformatted" => &["border"],
            "rich_text_list" => &["style", "indent", "offset", "border"],
            other => return self.add(&format!("{at}/type"), &format!("unsupported type: {other}")),
        };
        let Some(fields) = self.object(at, part, &["elements"], optional) else { return };
        self.elements(at, fields, usize::MAX, |found, at, element| match (kind, element["type"].as_str()) {
            ("rich_text_list", Some("rich_text_section")) => found.rich_part(at, element),
            ("rich_text_preformatted", Some("text" | "link")) | ("rich_text_section" | "rich_text_quote", _) => {
                found.rich_element(at, element);
            }
            (_, other) => {
                found.add(&format!("{at}/type"), &format!("unsupported type: {}", other.unwrap_or_default()));
            }
        });
        if kind == "rich_text_list"
            && !matches!(fields.get("style").and_then(Value::as_str), Some("bullet" | "ordered"))
        {
            self.add(&format!("{at}/style"), "must be a valid enum value");
        }
    }

    fn rich_element(&mut self, at: &str, element: &Value) {
        let (required, optional): (&str, &[&str]) = match element["type"].as_str().unwrap_or_default() {
            "text" => ("text", &["style"]),
            "link" => ("url", &["text", "unsafe", "style"]),
            "user" => ("user_id", &["style"]),
            "usergroup" => ("usergroup_id", &["style"]),
            "channel" => ("channel_id", &["style"]),
            "broadcast" => ("range", &["style"]),
            "emoji" => ("name", &["unicode", "style"]),
            other => return self.add(&format!("{at}/type"), &format!("unsupported type: {other}")),
        };
        let Some(fields) = self.object(at, element, &[required], optional) else { return };
        self.length(&format!("{at}/{required}"), fields.get(required), usize::MAX);
        if let Some(style) = fields.get("style") {
            let at = format!("{at}/style");
            if let Some(style) = self.object(&at, style, &[], &["bold", "italic", "strike", "code"])
                && !style.values().all(Value::is_boolean)
            {
                self.add(&at, "must be a boolean");
            }
        }
    }

    pub(super) fn text(&mut self, at: &str, text: Option<&Value>, most: usize, kinds: &[&str]) {
        let Some(text) = text else { return };
        let kind = text["type"].as_str().unwrap_or_default();
        if !kinds.contains(&kind) {
            return self.add(&format!("{at}/type"), &format!("must be one of: {}", kinds.join(", ")));
        }
        let extra: &[&str] = if kind == "plain_text" { &["emoji"] } else { &["verbatim"] };
        if self.object(at, text, &["text"], extra).is_some() {
            self.length(&format!("{at}/text"), text.get("text"), most);
        }
    }

    pub(super) fn length(&mut self, at: &str, value: Option<&Value>, most: usize) {
        match value {
            None => {}
            Some(Value::String(text)) if text.is_empty() => self.add(at, "must be more than 0 characters"),
            Some(Value::String(text)) if text.encode_utf16().count() > most => {
                self.add(at, &format!("must be less than {} characters", most + 1));
            }
            Some(Value::String(_)) => {}
            Some(_) => self.add(at, "must be a string"),
        }
    }

    pub(super) fn object<'a>(
        &mut self,
        at: &str,
        value: &'a Value,
        required: &[&str],
        optional: &[&str],
    ) -> Option<&'a Map<String, Value>> {
        let Some(object) = value.as_object() else {
            self.add(at, "must be an object");
            return None;
        };
        for name in required {
            if !object.contains_key(*name) {
                self.add(at, &format!("missing required field: {name}"));
            }
        }
        for name in object.keys().map(String::as_str) {
            // Every block may have a block_id; the caller's lists hold what is particular to a type.
            let known = name == "type" || required.contains(&name) || optional.contains(&name);
            let of_block = name == "block_id" && at.matches('/').count() == 2;
            if !known && !of_block {
                self.add(at, &format!("invalid additional property: {name}"));
            }
        }
        Some(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check_blocks(blocks: Value, expected: &[&str]) {
        assert_eq!(check(blocks.as_array().unwrap()), expected, "{blocks}");
    }

    fn section(text: &str) -> Value {
        json!({"type": "section", "text": {"type": "mrkdwn", "text": text}})
    }

    fn button(label: &str) -> Value {
        json!({"type": "button", "action_id": "cancel", "text": {"type": "plain_text", "text": label}, "value": "v"})
    }

    fn numbered(nth: usize) -> Value {
        json!({"type": "button", "action_id": format!("a{nth}"), "text": {"type": "plain_text", "text": "x".repeat(75)}})
    }

    /// A button that asks first, in texts of these lengths.
    fn confirmed(title: usize, text: usize, answers: usize) -> Value {
        let plain = |most: usize| json!({"type": "plain_text", "text": "x".repeat(most)});
        json!({
            "type": "button", "action_id": "x".repeat(255), "value": "v".repeat(2000), "style": "danger",
            "text": {"type": "plain_text", "text": "Roll back"},
            "confirm": {
                "title": plain(title), "text": plain(text), "confirm": plain(answers), "deny": plain(answers),
                "style": "danger",
            },
        })
    }

    #[test]
    fn accepts_what_slack_accepts() {
        check_blocks(json!([]), &[]);
        check_blocks(
            json!([
                {"type": "header", "text": {"type": "plain_text", "text": "Deploy", "emoji": true}},
                section(&"x".repeat(3000)),
                {"type": "section", "block_id": "b", "fields": [{"type": "mrkdwn", "text": "a"}]},
                {"type": "divider"},
                {"type": "context", "elements": [{"type": "mrkdwn", "text": "c"}]},
                {"type": "actions", "elements": [button("Cancel")]},
                {"type": "actions", "elements": (0..25).map(numbered).collect::<Vec<_>>()},
                {"type": "actions", "elements": [confirmed(100, 300, 30)]},
                {"type": "rich_text", "elements": [
                    {"type": "rich_text_section", "elements": [
                        {"type": "text", "text": "For ", "style": {"bold": true}}, {"type": "user", "user_id": "U1"},
                    ]},
                    {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": "+  tag: b"}], "border": 0},
                    {"type": "rich_text_list", "style": "bullet", "elements": [
                        {"type": "rich_text_section", "elements": [{"type": "text", "text": "one"}]},
                    ]},
                ]},
            ]),
            &[],
        );
    }

    #[test]
    fn refuses_what_slack_refuses() {
        check_blocks(
            json!([section(&"x".repeat(3001))]),
            &["[ERROR] must be less than 3001 characters [json-pointer:/blocks/0/text/text]"],
        );
        check_blocks(
            json!([section("")]),
            &["[ERROR] must be more than 0 characters [json-pointer:/blocks/0/text/text]"],
        );
        check_blocks(
            json!([{"type": "actions", "elements": [button(&"x".repeat(76))]}]),
            &["[ERROR] must be less than 76 characters [json-pointer:/blocks/0/elements/0/text/text]"],
        );
        check_blocks(
            json!([{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}]),
            &["[ERROR] must be one of: plain_text [json-pointer:/blocks/0/text/type]"],
        );
        check_blocks(
            json!([{"type": "context", "elements": []}]),
            &["[ERROR] no fewer than 1 items allowed [json-pointer:/blocks/0/elements]"],
        );
        check_blocks(
            json!([{"type": "divider", "colour": "red"}]),
            &["[ERROR] invalid additional property: colour [json-pointer:/blocks/0]"],
        );
        check_blocks(
            json!([{"type": "divider", "block_id": "a"}, {"type": "divider", "block_id": "a"}]),
            &["[ERROR] block_id already exists: a [json-pointer:/blocks/1/block_id]"],
        );
        check_blocks(json!(["x"]), &["[ERROR] missing required field: type [json-pointer:/blocks/0]"]);
        let many: Vec<Value> = (0..51).map(|_| json!({"type": "divider"})).collect();
        check_blocks(Value::Array(many), &["[ERROR] no more than 50 items allowed [json-pointer:/blocks]"]);
        let fields: Vec<Value> = (0..11).map(|_| json!({"type": "mrkdwn", "text": "f"})).collect();
        check_blocks(
            json!([{"type": "section", "fields": fields}]),
            &["[ERROR] must have between 1 and 10 items [json-pointer:/blocks/0/fields]"],
        );
    }

    #[test]
    fn refuses_buttons_that_slack_refuses() {
        let check = |button: Value, expected: &str| {
            check_blocks(json!([{"type": "actions", "elements": [button]}]), &[expected]);
        };
        let with = |name: &str, value: Value| {
            let mut button = button("Cancel");
            button[name] = value;
            button
        };
        check(
            with("value", json!("v".repeat(2001))),
            "[ERROR] must be less than 2001 characters [json-pointer:/blocks/0/elements/0/value]",
        );
        check(
            with("action_id", json!("v".repeat(256))),
            "[ERROR] must be less than 256 characters [json-pointer:/blocks/0/elements/0/action_id]",
        );
        check(
            with("style", json!("default")),
            "[ERROR] must be a valid enum value [json-pointer:/blocks/0/elements/0/style]",
        );
        check(
            confirmed(101, 1, 1),
            "[ERROR] must be less than 101 characters [json-pointer:/blocks/0/elements/0/confirm/title/text]",
        );
        check(
            confirmed(1, 301, 1),
            "[ERROR] must be less than 301 characters [json-pointer:/blocks/0/elements/0/confirm/text/text]",
        );
        let mut marked = confirmed(1, 1, 1);
        marked["confirm"]["text"]["type"] = json!("mrkdwn");
        check(marked, "[ERROR] must be one of: plain_text [json-pointer:/blocks/0/elements/0/confirm/text/type]");
        let mut silent = confirmed(1, 1, 1);
        silent["confirm"].as_object_mut().unwrap().remove("deny");
        check(silent, "[ERROR] missing required field: deny [json-pointer:/blocks/0/elements/0/confirm]");
        check_blocks(
            json!([{"type": "actions", "elements": [confirmed(1, 1, 31)]}]),
            &[
                "[ERROR] must be less than 31 characters [json-pointer:/blocks/0/elements/0/confirm/confirm/text]",
                "[ERROR] must be less than 31 characters [json-pointer:/blocks/0/elements/0/confirm/deny/text]",
            ],
        );
        let many: Vec<Value> = (0..26).map(numbered).collect();
        check_blocks(
            json!([{"type": "actions", "elements": many}]),
            &["[ERROR] no more than 25 items allowed [json-pointer:/blocks/0/elements]"],
        );
        let section =
            json!({"type": "section", "text": {"type": "mrkdwn", "text": "a"}, "accessory": button("Unlock")});
        check_blocks(
            json!([section, {"type": "actions", "elements": [button("Cancel")]}]),
            &["[ERROR] `action_id` cancel already exists [json-pointer:/blocks/1]"],
        );
    }

    #[test]
    fn refuses_rich_text_that_slack_refuses() {
        let check = |part: Value, expected: &str| {
            check_blocks(json!([{"type": "rich_text", "elements": [part]}]), &[expected]);
        };
        let user = json!({"type": "user", "user_id": "U1"});
        check(
            json!({"type": "rich_text_preformatted", "elements": [user]}),
            "[ERROR] unsupported type: user [json-pointer:/blocks/0/elements/0/elements/0/type]",
        );
        check(
            json!({"type": "rich_text_section", "elements": [{"type": "text", "text": ""}]}),
            "[ERROR] must be more than 0 characters [json-pointer:/blocks/0/elements/0/elements/0/text]",
        );
        check(
            json!({"type": "rich_text_section", "elements": [{"type": "mrkdwn", "text": "x"}]}),
            "[ERROR] unsupported type: mrkdwn [json-pointer:/blocks/0/elements/0/elements/0/type]",
        );
        check(
            json!({"type": "section", "text": "x"}),
            "[ERROR] unsupported type: section [json-pointer:/blocks/0/elements/0/type]",
        );
    }
}
