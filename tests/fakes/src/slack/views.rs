//! Modals: how the bot opens and updates one, and how a person fills it in.
//!
//! Easy to miss: a `trigger_id` works once and for three seconds; an update keeps what was chosen in an input whose
//! `block_id` and `action_id` stay the same, and forgets the rest; what a view sends has no channel and no `response_url`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::blocks::Findings;
use super::{APP_ID, BOT_ID, Refused, Slack, missing_field, refused};
use crate::{Millis, Outgoing};

/// For how long a `trigger_id` can be exchanged for a view.
const TRIGGER: Millis = 3_000;
/// The longest view.
const LONGEST: usize = 250 << 10;

/// What an interaction lets the bot open.
#[derive(Clone, Debug)]
pub(super) struct Trigger {
    user: String,
    born: Millis,
    used: bool,
}

/// A modal, open or closed, with its whole history.
#[derive(Clone, Debug)]
pub struct View {
    /// Its name.
    pub id: String,
    /// Who sees it.
    pub user: String,
    /// Changes with every update.
    pub hash: String,
    /// How it was opened, then every update.
    pub states: Vec<Value>,
    /// Whether the person or the bot has closed it.
    pub closed: bool,
    /// What the person reads below inputs after a submission, by block.
    pub errors: BTreeMap<String, String>,
    /// What is chosen, by block and action.
    chosen: BTreeMap<(String, String), Value>,
    /// What the last search of an element offered.
    offered: BTreeMap<String, Vec<Value>>,
}

impl View {
    /// How it is now.
    pub fn now(&self) -> &Value {
        self.states.last().expect("a view is opened with its first state")
    }

    /// The `action_id` of every input.
    pub fn inputs(&self) -> Vec<&str> {
        self.elements().filter_map(|(_, element)| element["action_id"].as_str()).collect()
    }

    /// What the last search of an element offered, as people read it.
    pub fn offers(&self, action_id: &str) -> Vec<&str> {
        let all = self.offered.get(action_id).map(Vec::as_slice).unwrap_or_default();
        all.iter().filter_map(|option| option["text"]["text"].as_str()).collect()
    }

    /// The inputs with their blocks.
    fn elements(&self) -> impl Iterator<Item = (&Value, &Value)> {
        let blocks = self.now()["blocks"].as_array().into_iter().flatten();
        blocks.filter(|block| block["type"] == "input").map(|block| (block, &block["element"]))
    }

    fn find(&self, action_id: &str) -> Option<(&Value, &Value)> {
        self.elements().find(|(_, element)| element["action_id"] == action_id)
    }

    /// Keeps what was chosen in inputs that are still there, and takes what is chosen to begin with.
    fn settle(&mut self) {
        let mut chosen = BTreeMap::new();
        for (block, element) in self.elements() {
            let key = (text(&block["block_id"]), text(&element["action_id"]));
            let value = self.chosen.get(&key).or(element.get("initial_option"));
            if let Some(value) = value.cloned() {
                chosen.insert(key, value);
            }
        }
        self.chosen = chosen;
    }

    fn values(&self) -> Value {
        let mut values = Map::new();
        for (block, element) in self.elements() {
            let key = (text(&block["block_id"]), text(&element["action_id"]));
            let option = self.chosen.get(&key).cloned().unwrap_or_default();
            let state = json!({"type": element["type"], "selected_option": option});
            values.insert(key.0, json!({ key.1: state }));
        }
        Value::Object(values)
    }

    fn json(&self, team: &str) -> Value {
        let now = self.now();
        let or = |name: &str, other: Value| now.get(name).cloned().unwrap_or(other);
        json!({
            "id": self.id, "team_id": team, "type": "modal", "blocks": now["blocks"],
            "private_metadata": or("private_metadata", json!("")), "callback_id": or("callback_id", json!("")),
            "state": {"values": self.values()}, "hash": self.hash, "title": now["title"],
            "clear_on_close": false, "notify_on_close": false, "close": or("close", Value::Null),
            "submit": or("submit", Value::Null), "previous_view_id": null, "root_view_id": self.id, "app_id": APP_ID,
            "external_id": "", "app_installed_team_id": team, "bot_id": BOT_ID,
        })
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

impl Slack {
    // ---- what people do ----

    /// The modals that a person saw, the newest last.
    pub fn views(&self, user: &str) -> Vec<&View> {
        self.views.iter().filter(|view| view.user == user).collect()
    }

    fn open_view(&self, user: &str) -> Option<&View> {
        self.views.iter().rev().find(|view| view.user == user && !view.closed)
    }

    fn view_mut(&mut self, id: &str) -> Option<&mut View> {
        self.views.iter_mut().find(|view| view.id == id)
    }

    /// A person types into a menu of the modal that they see. `None`: there is no such menu.
    pub fn search(&mut self, now: Millis, user: &str, action_id: &str, typed: &str) -> Option<Outgoing> {
        let view = self.open_view(user)?;
        let (block, element) = view.find(action_id)?;
        let least = element["min_query_length"].as_u64().unwrap_or(3);
        if element["type"] != "external_select" || (typed.chars().count() as u64) < least {
            return None;
        }
        let mut payload = self.of_view(view, "block_suggestion");
        payload["container"] = json!({"type": "view", "view_id": view.id});
        payload["block_id"] = block["block_id"].clone();
        payload["action_id"] = json!(action_id);
        payload["value"] = json!(typed);
        Some(self.about_view(now, &payload))
    }

    /// A person chooses what a menu of the modal shows so. `None`: it does not show that. The request is what the bot hears of
    /// it, if the block asks for that.
    pub fn choose(&mut self, now: Millis, user: &str, action_id: &str, shown: &str) -> Option<Option<Outgoing>> {
        let view = self.open_view(user)?;
        let (block, element) = view.find(action_id)?;
        let options = match element["type"].as_str() {
            Some("external_select") => view.offered.get(action_id)?,
            _ => element["options"].as_array()?,
        };
        let option = options.iter().find(|option| option["text"]["text"] == shown)?.clone();
        let (block_id, kind, tells) =
            (text(&block["block_id"]), element["type"].clone(), block["dispatch_action"] == true);
        let id = view.id.clone();
        self.view_mut(&id)?.chosen.insert((block_id.clone(), action_id.to_owned()), option.clone());
        let trigger = self.trigger_id(now, user);
        let view = self.open_view(user)?;
        let mut payload = self.of_view(view, "block_actions");
        payload["container"] = json!({"type": "view", "view_id": id});
        payload["trigger_id"] = json!(trigger);
        payload["actions"] = json!([{
            "type": kind, "action_id": action_id, "block_id": block_id, "selected_option": option,
            "action_ts": format!("{}.{:06}", now / 1000, now % 1000 * 1000),
        }]);
        Some(tells.then(|| self.about_view(now, &payload)))
    }

    /// A person presses the modal's button. `None`: it has none, or something is not filled in, which Slack says by itself.
    pub fn submit(&mut self, now: Millis, user: &str) -> Option<Outgoing> {
        let view = self.open_view(user)?;
        view.now().get("submit").filter(|submit| submit.is_object())?;
        let is_full = view.elements().all(|(block, element)| {
            let key = (text(&block["block_id"]), text(&element["action_id"]));
            block["optional"] == true || view.chosen.contains_key(&key)
        });
        if !is_full {
            return None;
        }
        let trigger = self.trigger_id(now, user);
        let view = self.open_view(user)?;
        let mut payload = self.of_view(view, "view_submission");
        payload["trigger_id"] = json!(trigger);
        payload["response_urls"] = json!([]);
        Some(self.about_view(now, &payload))
    }

    /// The same request with another body, signed as Slack would.
    pub fn altered(&self, outgoing: &Outgoing, alter: impl FnOnce(&mut Value)) -> Outgoing {
        let fields: BTreeMap<String, String> = form_urlencoded::parse(&outgoing.body).into_owned().collect();
        let mut payload: Value = serde_json::from_str(&fields["payload"]).expect("a payload");
        alter(&mut payload);
        self.about_view(outgoing.at, &payload)
    }

    fn of_view(&self, view: &View, kind: &str) -> Value {
        let person = &self.users[&view.user];
        let mut payload = json!({
            "type": kind,
            "team": {"id": self.team, "domain": self.team.to_lowercase()},
            "user": {"id": view.user, "username": person.name, "name": person.name, "team_id": person.team},
            "api_app_id": APP_ID,
            "token": "deprecated-verification-token",
            "enterprise": null,
            "is_enterprise_install": false,
            "view": view.json(&self.team),
        });
        if self.for_organisation {
            payload["team"] = Value::Null;
            payload["enterprise"] = json!({"id": "E0ACME", "name": "Acme"});
            payload["is_enterprise_install"] = json!(true);
        }
        payload
    }

    fn about_view(&self, now: Millis, payload: &Value) -> Outgoing {
        let body =
            form_urlencoded::Serializer::new(String::new()).append_pair("payload", &payload.to_string()).finish();
        self.outgoing(now, "/slack/interaction", body)
    }

    /// What the bot answered to what a view sent.
    pub(super) fn view_answered(&mut self, payload: &Value, failed: bool, body: &[u8]) {
        let Some(id) = payload["view"]["id"].as_str() else { return };
        let Some(view) = self.views.iter_mut().find(|view| view.id == id) else { return };
        let answer: Value = serde_json::from_slice(body).unwrap_or_default();
        match payload["type"].as_str() {
            Some("block_suggestion") => {
                let options =
                    if failed { Vec::new() } else { answer["options"].as_array().cloned().unwrap_or_default() };
                let problems = options_problems(&options, 0..=100);
                assert!(problems.is_empty(), "Slack shows nothing of such options: {problems:#?}");
                view.offered.insert(text(&payload["action_id"]), options);
            }
            Some("view_submission") => match answer["response_action"].as_str() {
                _ if failed => drop(view.errors.insert(String::new(), "We had some trouble connecting.".to_owned())),
                Some("errors") => {
                    let errors = answer["errors"].as_object().cloned().unwrap_or_default();
                    let is_input = |block_id: &str| view.elements().any(|(block, _)| block["block_id"] == block_id);
                    assert!(!errors.is_empty() && errors.keys().all(|block| is_input(block)), "no inputs: {errors:?}");
                    view.errors = errors.into_iter().map(|(block, error)| (block, text(&error))).collect();
                }
                Some("clear") => view.closed = true,
                None if body.is_empty() => view.closed = true,
                other => panic!("Slack knows no response_action {other:?}"),
            },
            _ => {}
        }
    }

    // ---- the Web API ----

    pub(super) fn new_trigger(&mut self, now: Millis, user: &str, trigger_id: &str) {
        let trigger = Trigger { user: user.to_owned(), born: now, used: false };
        self.triggers.insert(trigger_id.to_owned(), trigger);
    }

    pub(super) fn views_open(&mut self, now: Millis, values: &Value) -> Result<Value, Refused> {
        let trigger_id = values["trigger_id"].as_str().ok_or_else(|| missing_field("trigger_id"))?;
        let view = checked(values)?;
        let trigger = self.triggers.get_mut(trigger_id).ok_or(refused("invalid_trigger_id"))?;
        if trigger.used {
            return Err(refused("exchanged_trigger_id"));
        }
        if now.saturating_sub(trigger.born) > TRIGGER {
            return Err(refused("expired_trigger_id"));
        }
        trigger.used = true;
        let user = trigger.user.clone();
        let random = self.fresh(now);
        let mut opened = View {
            id: format!("V{}", random[..10].to_uppercase()),
            user,
            hash: self.view_hash(now),
            states: vec![view],
            closed: false,
            errors: BTreeMap::new(),
            chosen: BTreeMap::new(),
            offered: BTreeMap::new(),
        };
        opened.settle();
        let answer = json!({"view": opened.json(&self.team)});
        self.views.push(opened);
        Ok(answer)
    }

    pub(super) fn views_update(&mut self, now: Millis, values: &Value) -> Result<Value, Refused> {
        let id = values["view_id"].as_str().ok_or_else(|| missing_field("view_id"))?;
        let state = checked(values)?;
        let (hash, team) = (self.view_hash(now), self.team.clone());
        let view = self.view_mut(id).filter(|view| !view.closed).ok_or(refused("not_found"))?;
        if values["hash"].as_str().is_some_and(|hash| hash != view.hash) {
            return Err(refused("hash_conflict"));
        }
        view.hash = hash;
        view.states.push(state);
        view.settle();
        view.errors.clear();
        Ok(json!({"view": view.json(&team)}))
    }

    fn view_hash(&mut self, now: Millis) -> String {
        format!("{}.{}", now / 1000, &self.fresh(now)[..8])
    }
}

/// The view of a call, if Slack takes it.
fn checked(values: &Value) -> Result<Value, Refused> {
    let view = match &values["view"] {
        Value::String(view) => serde_json::from_str(view).map_err(|_| refused("invalid_arguments"))?,
        Value::Null => return Err(missing_field("view")),
        view => view.clone(),
    };
    if view.to_string().len() > LONGEST {
        return Err(refused("view_too_large"));
    }
    let problems = check(&view);
    if problems.is_empty() {
        return Ok(view);
    }
    let mut refused = refused("invalid_arguments");
    refused.body["response_metadata"] = json!({"messages": problems});
    Err(refused)
}

/// What is wrong with a view, in the words of `response_metadata.messages`.
pub(super) fn check(view: &Value) -> Vec<String> {
    let mut found = Findings::default();
    let optional = [
        "close",
        "submit",
        "private_metadata",
        "callback_id",
        "clear_on_close",
        "notify_on_close",
        "external_id",
        "submit_disabled",
    ];
    found.object("/view", view, &["title", "blocks"], &optional);
    if view["type"] != "modal" {
        found.add("/view/type", "must be a valid enum value");
    }
    for name in ["title", "close", "submit"] {
        found.text(&format!("/view/{name}"), view.get(name), 24, &["plain_text"]);
    }
    for (name, most) in [("private_metadata", 3000), ("callback_id", 255)] {
        if view.get(name).is_some_and(|value| value != "") {
            found.length(&format!("/view/{name}"), view.get(name), most);
        }
    }
    let blocks = view["blocks"].as_array().map(Vec::as_slice).unwrap_or_default();
    if blocks.len() > 100 {
        found.add("/view/blocks", "no more than 100 items allowed");
    }
    let mut ids = BTreeSet::new();
    for (index, block) in blocks.iter().enumerate() {
        let at = format!("/blocks/{index}");
        if block["type"] == "input" {
            input(&mut found, &at, block)
        } else {
            found.block(&at, block)
        }
        if let Some(id) = block["block_id"].as_str()
            && !ids.insert(id)
        {
            found.add(&format!("{at}/block_id"), &format!("block_id already exists: {id}"));
        }
    }
    if blocks.iter().any(|block| block["type"] == "input") && view.get("submit").is_none() {
        found.add("/view/submit", "a submit button is required when there are input blocks");
    }
    found.0
}

fn input(found: &mut Findings, at: &str, block: &Value) {
    found.object(at, block, &["label", "element"], &["dispatch_action", "hint", "optional"]);
    found.length(&format!("{at}/block_id"), block.get("block_id"), 255);
    found.text(&format!("{at}/label"), block.get("label"), 2000, &["plain_text"]);
    found.text(&format!("{at}/hint"), block.get("hint"), 2000, &["plain_text"]);
    let (element, at) = (&block["element"], format!("{at}/element"));
    let optional: &[&str] = match element["type"].as_str() {
        Some("static_select") => &["options", "initial_option", "placeholder", "action_id", "focus_on_load"],
        Some("external_select") => &["initial_option", "placeholder", "action_id", "min_query_length", "focus_on_load"],
        other => return found.add(&at, &format!("unsupported type: {other:?}")),
    };
    found.object(&at, element, &[], optional);
    found.length(&format!("{at}/action_id"), element.get("action_id"), 255);
    found.text(&format!("{at}/placeholder"), element.get("placeholder"), 150, &["plain_text"]);
    if element["type"] == "static_select" {
        let options = element["options"].as_array().map(Vec::as_slice).unwrap_or_default();
        options_problems(options, 1..=100).iter().for_each(|problem| found.add(&at, problem));
        if element.get("initial_option").is_some_and(|initial| !options.contains(initial)) {
            found.add(&format!("{at}/initial_option"), "must be one of the options");
        }
    }
}

/// What is wrong with the options of a menu.
fn options_problems(options: &[Value], count: std::ops::RangeInclusive<usize>) -> Vec<String> {
    let mut found = Findings::default();
    if !count.contains(&options.len()) {
        found.add("/options", &format!("{} options, which have to be {count:?}", options.len()));
    }
    let mut values = BTreeSet::new();
    for (index, option) in options.iter().enumerate() {
        let at = format!("/options/{index}");
        found.object(&at, option, &["text", "value"], &["description"]);
        found.text(&format!("{at}/text"), option.get("text"), 75, &["plain_text"]);
        found.length(&format!("{at}/value"), option.get("value"), 150);
        if !values.insert(option["value"].to_string()) {
            found.add(&at, "another option has this value");
        }
    }
    found.0
}
