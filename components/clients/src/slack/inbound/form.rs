//! What Slack sends about a form: a person types into a menu, chooses something, or sends it off.
//!
//! Easy to miss: nothing here has a channel or a `response_url`, and what a search says of the person's workspace may be
//! the organisation. <https://docs.slack.dev/reference/interaction-payloads>

use super::{Form, FormError};
use domain::names::{SlackTeam, SlackUser};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Something that a person does in a form of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormEvent {
    pub what: InForm,
    pub user: SlackUser,
    /// The workspaces that Slack names: the form's, and the person's own.
    pub teams: Vec<SlackTeam>,
    pub view_id: String,
    /// What we put into the form. Empty: nothing.
    pub metadata: String,
    /// What is chosen so far, by block.
    pub chosen: Vec<(String, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InForm {
    /// A menu asks for its options. The answer has them.
    Search { block: String, typed: String },
    /// Something was chosen.
    Changed,
    /// The form is sent off. The answer closes it, or says what is wrong.
    Submitted,
}

impl FormEvent {
    /// Reads the form with its one field `payload`. `None`: it is about no view.
    pub fn parse(body: &[u8]) -> Result<Option<Self>, FormError> {
        let malformed = FormError::Malformed;
        let payload: Payload =
            serde_json::from_str(&Form::read(body).required("payload")?).map_err(|_| malformed("payload"))?;
        let Some(view) = payload.view else { return Ok(None) };
        let what = match payload.kind.as_str() {
            "block_suggestion" => {
                let block = payload.block_id.ok_or(FormError::Missing("payload.block_id"))?;
                InForm::Search { block, typed: payload.value.unwrap_or_default() }
            }
            "block_actions" => InForm::Changed,
            "view_submission" => InForm::Submitted,
            _ => return Err(malformed("payload.type")),
        };
        let user = payload.user.ok_or(FormError::Missing("payload.user"))?;
        let teams = payload.team.into_iter().map(|team| team.id).chain(user.team_id);
        let teams: Result<Vec<_>, _> = teams.map(|team| SlackTeam::parse(&team)).collect();
        let mut chosen = Vec::new();
        for (block, elements) in view.state.unwrap_or_default().values {
            let option = elements.into_values().find_map(|element| element.selected_option);
            chosen.extend(option.map(|option| (block, option.value)));
        }
        Ok(Some(Self {
            what,
            user: SlackUser::parse(&user.id).map_err(|_| malformed("payload.user"))?,
            teams: teams.map_err(|_| malformed("payload.team"))?,
            view_id: view.id,
            metadata: view.private_metadata.unwrap_or_default(),
            chosen,
        }))
    }
}

#[derive(Deserialize)]
struct Payload {
    #[serde(rename = "type")]
    kind: String,
    team: Option<Team>,
    user: Option<User>,
    view: Option<View>,
    block_id: Option<String>,
    value: Option<String>,
}

#[derive(Deserialize)]
struct Team {
    id: String,
}

#[derive(Deserialize)]
struct User {
    id: String,
    team_id: Option<String>,
}

#[derive(Deserialize)]
struct View {
    id: String,
    private_metadata: Option<String>,
    state: Option<State>,
}

#[derive(Default, Deserialize)]
struct State {
    #[serde(default)]
    values: BTreeMap<String, BTreeMap<String, Element>>,
}

#[derive(Deserialize)]
struct Element {
    selected_option: Option<Chosen>,
}

#[derive(Deserialize)]
struct Chosen {
    value: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn parse(payload: &Value) -> Result<Option<FormEvent>, FormError> {
        let body = format!(
            "payload={}",
            percent_encoding::utf8_percent_encode(&payload.to_string(), percent_encoding::NON_ALPHANUMERIC)
        );
        FormEvent::parse(body.as_bytes())
    }

    /// The fields that Slack documents, cut to one menu.
    fn payload(kind: &str) -> Value {
        json!({
            "type": kind,
            "team": { "id": "T9TK3CUKW", "domain": "example" },
            "user": { "id": "UA8RXUSPL", "username": "jtorrance", "name": "jtorrance", "team_id": "T9TK3CUKW" },
            "api_app_id": "AABA1ABCD",
            "token": "9s8d9as89d8as9d8as989",
            "container": { "type": "view", "view_id": "VNHU13V36" },
            "trigger_id": "12321423423.333649436676.d8c1bb837935619ccad0f624c448ffb3",
            "view": {
                "id": "VNHU13V36", "team_id": "T9TK3CUKW", "type": "modal", "private_metadata": "shh",
                "callback_id": "deploy", "hash": "156663117.cd33ad1f", "blocks": [],
                "state": { "values": {
                    "app": { "app": { "type": "external_select", "selected_option": {
                        "text": { "type": "plain_text", "text": "checkout" }, "value": "checkout" } } },
                    "what/checkout/default": { "what": { "type": "external_select", "selected_option": null } },
                } },
            },
            "block_id": "app", "action_id": "app", "value": "chec",
        })
    }

    #[test]
    fn what_happens_in_a_form_is_read() {
        let event = parse(&payload("view_submission")).unwrap().unwrap();
        assert_eq!((event.what, event.user.as_str()), (InForm::Submitted, "UA8RXUSPL"));
        assert_eq!((event.view_id.as_str(), event.metadata.as_str()), ("VNHU13V36", "shh"));
        assert_eq!(event.chosen, [("app".to_owned(), "checkout".to_owned())]);
        assert!(event.teams.iter().all(|team| team.as_str() == "T9TK3CUKW"));
        let kind = |kind: &str| parse(&payload(kind)).map(|event| event.map(|event| event.what));
        let search = InForm::Search { block: "app".to_owned(), typed: "chec".to_owned() };
        assert_eq!(kind("block_suggestion"), Ok(Some(search)));
        assert_eq!(kind("block_actions"), Ok(Some(InForm::Changed)));
        assert_eq!(kind("view_closed"), Err(FormError::Malformed("payload.type")));
    }

    #[test]
    fn what_is_not_about_a_form_is_for_another_reader() {
        assert_eq!(parse(&json!({ "type": "block_actions", "message": {} })), Ok(None));
        let mut of_organisation = payload("view_submission");
        of_organisation["team"] = Value::Null;
        assert!(parse(&of_organisation).is_ok_and(|event| event.is_some_and(|event| event.teams.len() == 1)));
        let mut nobody = payload("view_submission");
        nobody["user"] = Value::Null;
        assert_eq!(parse(&nobody), Err(FormError::Missing("payload.user")));
        nobody["user"] = json!({ "id": "<!channel>" });
        assert_eq!(parse(&nobody), Err(FormError::Malformed("payload.user")));
        assert_eq!(FormEvent::parse(b"payload=x"), Err(FormError::Malformed("payload")));
        assert_eq!(FormEvent::parse(b""), Err(FormError::Missing("payload")));
    }
}
