//! The form that the command alone opens, as Slack shows it.
//!
//! Easy to miss: Slack keeps what is chosen in a block as long as the block keeps its name, so the name of each block tells
//! what was chosen before it.

use super::blocks::{Message, context, section};
use super::text::{cut, length, one_way};
use crate::form::{APP, Choice, Chosen, FormFact, environment_block, is_version, what_block};
use serde_json::{Value, json};

/// Slack takes no longer text of an option.
const OPTION: usize = 75;
/// A form that is sent comes back whole, and has to fit into what is read of a request.
const BELOW: usize = 5000;

/// Nothing is known of the form, or not of this person's.
pub const FORM_IS_OVER: &str = "This form is too old. Close it and open a new one.";
/// The request could not be saved.
pub const FORM_NOT_TAKEN: &str = "I can't take that right now: my database isn't answering. Nothing was changed. \
     Close this form, and open a new one in a minute.";
/// Something is not chosen, or was chosen for another app.
pub const FORM_IS_NOT_FULL: &str = "Choose where to and what to deploy, too: the form asks for it in a moment.";

/// While we look up what the person can deploy.
pub fn form_loading() -> Value {
    view(&[section("Looking up what you can deploy …")], None)
}

/// What the form says when it is no form any more.
pub fn form_ended(said: &Message) -> Value {
    view(said.blocks.as_array().map(Vec::as_slice).unwrap_or_default(), None)
}

/// While we look what a deploy would do.
pub fn form_looks() -> Message {
    let text = "Looking what that would do …";
    Message { text: text.to_owned(), blocks: json!([context(text)]) }
}

/// The form, with what is chosen, and what is known of that.
pub fn form(form: &FormFact, chosen: &Chosen, known: Option<&Message>) -> Value {
    let plain = |text: &str| json!({ "type": "plain_text", "text": text });
    let ask = |block: &str, label: &str, element: Value| {
        json!({
            "type": "input", "block_id": block, "label": plain(label), "dispatch_action": true, "element": element,
        })
    };
    let search = |action: &str, placeholder: &str| {
        json!({
            "type": "external_select", "action_id": action, "min_query_length": 0, "placeholder": plain(placeholder),
        })
    };
    let mut blocks = vec![ask(APP, "App", search("app", "Type to search"))];
    if let Some(app) = chosen.app.as_ref().and_then(|app| form.app(app)) {
        let name = app.name.as_str();
        if app.environments.len() > 1 {
            let all = app.environments.iter().map(|one| Choice { text: one.to_string(), value: one.to_string() });
            let element = json!({
                "type": "static_select", "action_id": "environment", "placeholder": plain("Where to"),
                "options": options(&all.take(100).collect::<Vec<_>>()),
            });
            blocks.push(ask(&environment_block(name), "Environment", element));
        }
        if let Some(environment) = &chosen.environment {
            let element = search("what", "A pull request, a branch, or a version of before");
            blocks.push(ask(&what_block(name, environment), "What to deploy", element));
        }
    }
    blocks.extend(known.map(|known| shortened(&known.blocks)).unwrap_or_default());
    let button = if chosen.what.as_deref().is_some_and(is_version) { "Roll back" } else { "Deploy" };
    let mut view = view(&blocks, Some(button));
    if let Some(fields) = view.as_object_mut() {
        fields.insert("private_metadata".to_owned(), json!(form.id));
    }
    view
}

/// As many blocks as have room.
fn shortened(blocks: &Value) -> Vec<Value> {
    let (mut left, mut kept) = (BELOW, Vec::new());
    for block in blocks.as_array().into_iter().flatten() {
        let Some(rest) = left.checked_sub(length(&block.to_string())) else {
            kept.push(context("There is more than has room here."));
            break;
        };
        left = rest;
        kept.push(block.clone());
    }
    kept
}

fn view(blocks: &[Value], button: Option<&str>) -> Value {
    let plain = |text: &str| json!({ "type": "plain_text", "text": text });
    let mut view = json!({
        "type": "modal", "callback_id": "deploy", "title": plain("Deploy"), "close": plain("Close"), "blocks": blocks,
    });
    if let (Some(fields), Some(button)) = (view.as_object_mut(), button) {
        fields.insert("submit".to_owned(), plain(button));
    }
    view
}

/// The options of a menu. Text of people stays plain there.
pub fn options(choices: &[Choice]) -> Value {
    let option = |choice: &Choice| {
        let text = cut(&one_way(&choice.text), OPTION);
        json!({ "text": { "type": "plain_text", "text": text }, "value": choice.value })
    };
    choices.iter().map(option).collect()
}

/// Why a form was not taken, below its first menu. Slack formats nothing there.
pub fn form_refusal(text: &str) -> Value {
    json!({ "response_action": "errors", "errors": { APP: text.replace('`', "") } })
}
