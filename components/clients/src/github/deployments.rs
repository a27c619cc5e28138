//! GitHub's own record of a deploy, with which a pull request shows where it is live. A courtesy: when it
//! fails, nothing else does.
//!
//! GitHub would merge branches and wait for checks unless told not to; here people were asked already. Each
//! call counts against the limit for created content, as our commits do; looking for one does not.
//!
//! **Invariant:** no call here changes what runs, so no fault here says that something changed.

use super::answer::{nonsense, read_json, text};
use super::api::{GitHub, rest, rest_post, send};
use crate::http::{Http, Request, Response, StatusCode, without_nulls};
use domain::deployment::DeploymentState;
use domain::fault::Fault;
use domain::names::{CommitSha, DeploymentId, RepoName, UrlOrigin};
use serde_json::{Value, json};

const CREATE: &str = "tell GitHub of the deploy";
const FIND: &str = "find the deploy at GitHub";
const STATUS: &str = "tell GitHub how the deploy goes";
/// GitHub refuses a longer one.
const LONGEST_DESCRIPTION: usize = 140;

/// A deploy, as it is reported to GitHub.
#[derive(Clone, Copy, Debug)]
pub struct NewDeployment<'a> {
    /// The app's own repository.
    pub repo: &'a RepoName,
    /// The commit that goes live.
    pub sha: &'a CommitSha,
    /// The name that people see. GitHub takes `production` for what people use, unless it is told otherwise.
    pub environment: &'a str,
    /// A few words; cut at 140 characters.
    pub description: &'a str,
    pub id: &'a DeploymentId,
}

/// The report of a deploy's state.
#[derive(Clone, Copy, Debug)]
pub struct DeploymentStatus<'a> {
    pub state: DeploymentState,
    /// A few words; cut at 140 characters.
    pub description: &'a str,
    /// Where the app can be seen. Left out unless it is a web page: people wrote it.
    pub environment_url: Option<&'a str>,
    /// Where one can read how it goes; the same.
    pub log_url: Option<&'a str>,
}

/// Builds the request for a new deployment.
pub fn create_deployment_request(api: &UrlOrigin, new: &NewDeployment<'_>) -> Request {
    let body = json!({
        "ref": new.sha,
        "environment": new.environment,
        "transient_environment": false,
        "description": short(new.description),
        "payload": { "deploy_id": new.id },
        "auto_merge": false,
        "required_contexts": [],
    });
    rest_post(api, &format!("/repos/{}/deployments", new.repo), &body)
}

/// Understands its answer: GitHub's id of the deployment. 202 would mean that GitHub merged something
/// instead: no deployment was made.
pub fn read_create_deployment(response: &Response) -> Result<u64, Fault> {
    let answer: Value = read_json(response, StatusCode::CREATED, CREATE, "JSON")?;
    answer.get("id").and_then(Value::as_u64).ok_or_else(|| nonsense(CREATE, "the deployment's id"))
}

/// Tells GitHub of a deploy.
pub async fn create_deployment(http: &impl Http, gh: &GitHub, new: &NewDeployment<'_>) -> Result<u64, Fault> {
    read_create_deployment(&send(http, gh, create_deployment_request(&gh.url, new), CREATE).await?)
}

/// Builds the request for the newest deployments of a commit in an environment.
pub fn find_deployment_request(api: &UrlOrigin, repo: &RepoName, sha: &CommitSha, environment: &str) -> Request {
    // The name of an environment, or of an Argo CD application, has nothing that a query would have
    // to escape.
    let path = format!("/repos/{repo}/deployments?sha={sha}&environment={environment}&per_page=100");
    rest(api, &path, "application/vnd.github+json")
}

/// Understands its answer: GitHub's id of the deployment that has our id, if there is such a deployment.
pub fn read_find_deployment(response: &Response, id: &DeploymentId) -> Result<Option<u64>, Fault> {
    let all: Vec<Value> = read_json(response, StatusCode::OK, FIND, "a list of deployments")?;
    let ours = all.iter().find(|one| text(one, "/payload/deploy_id") == Some(id.as_str()));
    ours.map(|one| one.get("id").and_then(Value::as_u64).ok_or_else(|| nonsense(FIND, "the deployment's id")))
        .transpose()
}

/// Whether a call that had no answer has reported the deploy to GitHub already.
pub async fn find_deployment(http: &impl Http, gh: &GitHub, new: &NewDeployment<'_>) -> Result<Option<u64>, Fault> {
    let request = find_deployment_request(&gh.url, new.repo, new.sha, new.environment);
    read_find_deployment(&send(http, gh, request, FIND).await?, new.id)
}

/// Builds the request for a new status of a deployment.
pub fn deployment_status_request(api: &UrlOrigin, repo: &RepoName, id: u64, status: &DeploymentStatus<'_>) -> Request {
    let is_page = |url: &&str| url.starts_with("https://") || url.starts_with("http://");
    let body = json!({
        "state": status.state,
        "description": short(status.description),
        "auto_inactive": true,
        "environment_url": status.environment_url.filter(is_page),
        "log_url": status.log_url.filter(is_page),
    });
    rest_post(api, &format!("/repos/{repo}/deployments/{id}/statuses"), &without_nulls(body))
}

pub fn read_deployment_status(response: &Response) -> Result<(), Fault> {
    read_json::<Value>(response, StatusCode::CREATED, STATUS, "JSON").map(drop)
}

/// Tells GitHub how a deploy goes.
pub async fn deployment_status(
    http: &impl Http,
    gh: &GitHub,
    repo: &RepoName,
    id: u64,
    status: &DeploymentStatus<'_>,
) -> Result<(), Fault> {
    read_deployment_status(&send(http, gh, deployment_status_request(&gh.url, repo, id, status), STATUS).await?)
}

fn short(text: &str) -> String {
    if text.chars().count() <= LONGEST_DESCRIPTION {
        return text.to_owned();
    }
    text.chars().take(LONGEST_DESCRIPTION - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::github::samples::{body, gh, hostile, repo, sha};
    use crate::http::HttpError;
    use crate::http::script::{Script, response};
    use domain::fault::{Cause, Changed, System};

    fn made() -> String {
        json!({ "id": 1_234_567_890_123_u64, "sha": sha("f"), "environment": "production", "statuses_url": "https://x" }).to_string()
    }

    fn create(answer: Result<Response, HttpError>) -> (Result<u64, Fault>, Request) {
        let (repo, sha, id) = (repo("acme/checkout"), sha("f"), DeploymentId::parse(&"0".repeat(32)).unwrap());
        let new =
            NewDeployment { repo: &repo, sha: &sha, environment: "production", description: "asked by alice", id: &id };
        let (script, gh) = (Script::new([answer]), gh());
        script.once(create_deployment(&script, &gh, &new))
    }

    fn say(answer: Result<Response, HttpError>, status: DeploymentStatus<'_>) -> (Result<(), Fault>, Request) {
        let (script, gh, repo) = (Script::new([answer]), gh(), repo("acme/checkout"));
        script.once(deployment_status(&script, &gh, &repo, 7, &status))
    }

    const LIVE: DeploymentStatus<'_> = DeploymentStatus {
        state: DeploymentState::Success,
        description: "live and healthy",
        environment_url: Some("https://checkout.acme.example"),
        log_url: Some("https://argocd.acme.example/applications/checkout"),
    };

    #[test]
    fn a_deployment_is_made_of_the_very_commit_and_waits_for_nothing() {
        let (outcome, request) = create(Ok(response(201, made())));
        assert_eq!(outcome, Ok(1_234_567_890_123));
        assert_eq!(request.url, "https://api.github.com/repos/acme/checkout/deployments");
        assert_eq!((request.method.as_str(), request.headers.contains_key("user-agent")), ("POST", true));
        insta::assert_snapshot!(serde_json::to_string_pretty(&body(&request)).unwrap(), @r#"
        {
          "auto_merge": false,
          "description": "asked by alice",
          "environment": "production",
          "payload": {
            "deploy_id": "00000000000000000000000000000000"
          },
          "ref": "ffffffffffffffffffffffffffffffffffffffff",
          "required_contexts": [],
          "transient_environment": false
        }
        "#);
    }

    #[test]
    fn a_status_has_only_pages_and_few_words() {
        let (outcome, request) = say(Ok(response(201, "{}")), LIVE);
        assert_eq!(outcome, Ok(()));
        assert_eq!(request.url, "https://api.github.com/repos/acme/checkout/deployments/7/statuses");
        insta::assert_snapshot!(serde_json::to_string_pretty(&body(&request)).unwrap(), @r#"
        {
          "auto_inactive": true,
          "description": "live and healthy",
          "environment_url": "https://checkout.acme.example",
          "log_url": "https://argocd.acme.example/applications/checkout",
          "state": "success"
        }
        "#);
        let long = "ü".repeat(141);
        let odd = DeploymentStatus { description: &long, environment_url: Some("javascript:1"), log_url: None, ..LIVE };
        let sent = body(&say(Ok(response(201, "{}")), odd).1);
        assert_eq!(sent["description"], format!("{}…", "ü".repeat(139)));
        assert_eq!((sent.get("environment_url"), sent.get("log_url")), (None, None));
        let states = [
            DeploymentState::Queued,
            DeploymentState::InProgress,
            DeploymentState::Success,
            DeploymentState::Failure,
            DeploymentState::Error,
            DeploymentState::Inactive,
        ];
        let names = states
            .map(|state| body(&say(Ok(response(201, "{}")), DeploymentStatus { state, ..LIVE }).1)["state"].clone());
        assert_eq!(json!(names), json!(["queued", "in_progress", "success", "failure", "error", "inactive"]));
    }

    #[test]
    fn what_github_refuses_is_a_fault_that_changed_nothing() {
        let said = |said: &str| Cause::Said { said: said.to_owned() };
        let told = |message: &str| json!({ "message": message }).to_string();
        for (status, body, cause) in [
            (
                403,
                told("Resource not accessible by integration"),
                Cause::Forbidden { said: "Resource not accessible by integration".to_owned() },
            ),
            (
                409,
                told("Conflict: Commit status checks failed for f."),
                said("Conflict: Commit status checks failed for f."),
            ),
            (409, String::new(), Cause::Status { status: 409 }),
            (422, told("No ref found for: f"), said("No ref found for: f")),
            (202, told("Auto-merged main into f on deployment."), Cause::Status { status: 202 }),
            (404, told("Not Found"), Cause::Status { status: 404 }),
            (401, told("Bad credentials"), Cause::Unauthorized),
            (201, "[".to_owned(), Cause::Nonsense { part: "JSON".to_owned() }),
        ] {
            assert_eq!(
                create(Ok(response(status, &body))).0,
                Err(Fault::new(System::GitHub, CREATE, cause.clone())),
                "{status}"
            );
            assert_eq!(
                say(Ok(response(status, &body)), LIVE).0,
                Err(Fault::new(System::GitHub, STATUS, cause)),
                "{status}"
            );
        }
        let nameless = Cause::Nonsense { part: "the deployment's id".to_owned() };
        assert_eq!(create(Ok(response(201, "{}"))).0, Err(Fault::new(System::GitHub, CREATE, nameless)));
        let late = create(Err(HttpError::TimedOut)).0.unwrap_err();
        assert_eq!((late.cause, late.changed), (Cause::TimedOut, Changed::Nothing));
    }

    fn find(answer: Result<Response, HttpError>) -> (Result<Option<u64>, Fault>, Request) {
        let (repo, sha, id) = (repo("acme/checkout"), sha("f"), DeploymentId::parse(&"0".repeat(32)).unwrap());
        let new = NewDeployment { repo: &repo, sha: &sha, environment: "eu-west.1", description: "", id: &id };
        let (script, gh) = (Script::new([answer]), gh());
        script.once(find_deployment(&script, &gh, &new))
    }

    #[test]
    fn a_deployment_is_found_by_our_own_id() {
        let other = json!({ "id": 8, "payload": { "deploy_id": "1".repeat(32) } });
        let ours = json!({ "id": 7, "payload": { "deploy_id": "0".repeat(32) } });
        let foreign = json!([{ "id": 9, "payload": "0".repeat(32) }, { "id": 10, "payload": {} }, {}, null, other]);
        let (outcome, request) = find(Ok(response(200, json!([other, ours]).to_string())));
        assert_eq!(outcome, Ok(Some(7)));
        let sha = "f".repeat(40);
        let url = format!(
            "https://api.github.com/repos/acme/checkout/deployments?sha={sha}&environment=eu-west.1&per_page=100"
        );
        assert_eq!((request.method.as_str(), request.url), ("GET", url));
        for none in [json!([]), foreign] {
            assert_eq!(find(Ok(response(200, none.to_string()))).0, Ok(None), "{none}");
        }
        let nonsense = |part: &str| Err(Fault::new(System::GitHub, FIND, Cause::Nonsense { part: part.to_owned() }));
        assert_eq!(find(Ok(response(200, "{}"))).0, nonsense("a list of deployments"));
        let nameless = json!([{ "id": "7", "payload": { "deploy_id": "0".repeat(32) } }]);
        assert_eq!(find(Ok(response(200, nameless.to_string()))).0, nonsense("the deployment's id"));
        assert_eq!(find(Ok(response(404, "{}"))).0.unwrap_err().cause, Cause::Status { status: 404 });
        assert_eq!(find(Err(HttpError::Broken)).0.unwrap_err().cause, Cause::Broken);
    }

    #[test]
    fn hostile_answers_are_survived() {
        let good: Value = serde_json::from_str(&made()).unwrap();
        hostile(&good, |mut response| {
            response.status = StatusCode::CREATED;
            if let Ok(id) = read_create_deployment(&response) {
                assert_eq!(id, 1_234_567_890_123);
            }
            let _ = read_deployment_status(&response);
        });
        let id = DeploymentId::parse(&"0".repeat(32)).unwrap();
        let found = json!([{ "id": 7, "payload": { "deploy_id": id } }]);
        hostile(&found, |response| {
            if let Ok(Some(found)) = read_find_deployment(&response, &id) {
                assert_eq!(found, 7);
            }
        });
    }
}
