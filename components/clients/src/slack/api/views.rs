//! Forms: a view is opened within three seconds of a click, and updated as often as needed.
//! <https://docs.slack.dev/reference/methods/views.open>

use super::{Slack, SlackError, call, nonsense, read_ok, send};
use crate::http::{Http, Request, Response, without_nulls};
use domain::fault::Changed;
use serde::Deserialize;
use serde_json::{Value, json};

const OPEN: &str = "open the form";
const UPDATE: &str = "update the form";

/// A view that Slack shows.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ViewId {
    pub id: String,
    /// Changes with every update: an update that names another one comes too late.
    pub hash: String,
}

/// Opens a view for the person whose click it was.
pub async fn open_view(http: &impl Http, slack: &Slack, trigger_id: &str, view: &Value) -> Result<ViewId, SlackError> {
    read_view(send(http, open_view_request(slack, trigger_id, view), OPEN, Changed::Unknown).await?, OPEN)
}

/// `views.open`.
pub fn open_view_request(slack: &Slack, trigger_id: &str, view: &Value) -> Request {
    call(slack, "views.open", &json!({ "trigger_id": trigger_id, "view": view }))
}

/// Changes a view. With a hash: only if nobody has changed it since.
pub async fn update_view(
    http: &impl Http,
    slack: &Slack,
    (id, hash): (&str, Option<&str>),
    view: &Value,
) -> Result<ViewId, SlackError> {
    let request = update_view_request(slack, (id, hash), view);
    read_view(send(http, request, UPDATE, Changed::Unknown).await?, UPDATE)
}

/// `views.update`.
pub fn update_view_request(slack: &Slack, (id, hash): (&str, Option<&str>), view: &Value) -> Request {
    call(slack, "views.update", &without_nulls(json!({ "view_id": id, "hash": hash, "view": view })))
}

/// Understands the answer to both.
pub fn read_view(response: Response, doing: &str) -> Result<ViewId, SlackError> {
    read_ok(response, doing, Changed::Unknown)?.view.ok_or_else(|| nonsense(doing, Changed::Yes, "the view"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::script::{response, shown};
    use domain::names::{Secret, UrlOrigin};

    fn slack() -> Slack {
        Slack { url: UrlOrigin::parse("https://slack.com").unwrap(), token: Secret::new("xoxb-1") }
    }

    #[test]
    fn what_we_ask_slack_about_views() {
        let view = json!({ "type": "modal" });
        insta::assert_snapshot!(shown(&open_view_request(&slack(), "1.2.3", &view)), @r#"
        POST https://slack.com/api/views.open
        content-type: application/json; charset=utf-8
        authorization: Bearer xoxb-1

        {"trigger_id":"1.2.3","view":{"type":"modal"}}
        "#);
        insta::assert_snapshot!(shown(&update_view_request(&slack(), ("V1", Some("h")), &view)), @r#"
        POST https://slack.com/api/views.update
        content-type: application/json; charset=utf-8
        authorization: Bearer xoxb-1

        {"hash":"h","view":{"type":"modal"},"view_id":"V1"}
        "#);
        insta::assert_snapshot!(shown(&update_view_request(&slack(), ("V1", None), &view)), @r#"
        POST https://slack.com/api/views.update
        content-type: application/json; charset=utf-8
        authorization: Bearer xoxb-1

        {"view":{"type":"modal"},"view_id":"V1"}
        "#);
    }

    #[test]
    fn slacks_answers_about_views() {
        let read = |body: &str| read_view(response(200, body), OPEN);
        // Slack's own example, cut.
        let example =
            r#"{"ok":true,"view":{"id":"VMHU10V25","team_id":"T8N4K1JN","type":"modal","hash":"156772938.1827394"}}"#;
        assert_eq!(read(example), Ok(ViewId { id: "VMHU10V25".to_owned(), hash: "156772938.1827394".to_owned() }));
        for why in ["expired_trigger_id", "exchanged_trigger_id", "invalid_trigger_id", "hash_conflict", "not_found"] {
            let body = format!(r#"{{"ok":false,"error":"{why}"}}"#);
            assert_eq!(read(&body), Err(SlackError::Gone(why.to_owned())));
        }
        assert!(matches!(read(r#"{"ok":true}"#), Err(SlackError::Unreachable(_))));
    }
}
