//! Deployments: a pull request shows by them where it is live. `POST /repos/{owner}/{repo}/deployments` makes
//! one, `POST .../deployments/{id}/statuses` says how it goes, `GET .../deployments` lists them.
//!
//! Easy to miss: unless told not to, GitHub first merges the default branch into what is deployed
//! (`auto_merge`), and refuses while any check is not successful (`required_contexts`). Both create content, so both count
//! against the same secondary limits as commits.

use serde_json::{Value, json};

use super::serve::message;
use super::{Access, Checks, GitHub, git, webhook};
use crate::{Millis, Request, Response};

/// A deployment with everything that was said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// Its id.
    pub id: u64,
    /// The commit.
    pub sha: String,
    /// The branch or commit as it was asked for.
    pub reference: String,
    /// The environment's name.
    pub environment: String,
    /// A few words.
    pub description: String,
    /// `deploy`, unless it was said to be something else.
    pub task: String,
    /// Whatever the maker gave.
    pub payload: Value,
    /// Whether the environment goes away again.
    pub transient: bool,
    /// Whether people use the environment.
    pub production: bool,
    /// When it was made.
    pub at: Millis,
    /// How it went, oldest first.
    pub statuses: Vec<DeploymentStatus>,
}

/// A status of a deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeploymentStatus {
    /// `in_progress`, `success`, …
    pub state: String,
    /// A few words.
    pub description: String,
    /// Where it can be seen.
    pub environment_url: String,
    /// Where one can read how it goes.
    pub log_url: String,
}

const STATES: [&str; 7] = ["error", "failure", "inactive", "in_progress", "queued", "pending", "success"];
const LONGEST_DESCRIPTION: usize = 140;

impl GitHub {
    /// All deployments of a repository, oldest first.
    pub fn deployments(&self, repo: &str) -> &[Deployment] {
        self.repositories.get(&repo.to_lowercase()).map(|found| found.deployments.as_slice()).unwrap_or_default()
    }

    /// What is wrong before anything else is looked at; otherwise the body.
    fn may_deploy(&mut self, request: &Request, key: &str) -> Result<Value, Response> {
        let found = self.repositories.get(key).filter(|repository| repository.access != Access::None);
        let repository = found.ok_or_else(|| message(404, "Not Found"))?;
        if !repository.takes_deployments {
            return Err(self.not_accessible());
        }
        if let Some(refused) = self.secondary_limit() {
            return Err(refused);
        }
        let body: Value = serde_json::from_slice(&request.body).map_err(|_| message(400, "Problems parsing JSON"))?;
        if body.is_object() { Ok(body) } else { Err(message(400, "Body should be a JSON object")) }
    }

    pub(super) fn create_deployment(&mut self, request: &Request, key: &str) -> Response {
        let body = match self.may_deploy(request, key) {
            Ok(body) => body,
            Err(refused) => return refused,
        };
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let Some(reference) = body["ref"].as_str().map(str::to_owned) else {
            return invalid("Invalid request.\n\n\"ref\" wasn't supplied.", "ref", "missing_field");
        };
        let id =
            1_000_001 + self.repositories.values().map(|repository| repository.deployments.len() as u64).sum::<u64>();
        let repository = &self.repositories[key];
        let name = reference.strip_prefix("refs/heads/").unwrap_or(&reference);
        let is_commit = || repository.objects.commits.contains_key(&reference).then_some(&reference);
        let Some(sha) = repository.branches.get(name).or_else(is_commit).cloned() else {
            return message(422, &format!("No ref found for: {reference}"));
        };
        if body.get("auto_merge").is_none_or(|auto| auto != false) {
            let default = &repository.default_branch;
            let ahead =
                repository.branches.get(default).filter(|head| !repository.objects.ancestors(&sha).contains(*head));
            if let Some(ahead) = ahead {
                let touched = |a: &str, b: &str| {
                    let (of_a, of_b) = (repository.objects.log(a), repository.objects.ancestors(b));
                    let own = of_a.into_iter().filter(move |commit| !of_b.contains(&commit.sha));
                    own.flat_map(|commit| commit.changed()).collect::<Vec<_>>()
                };
                let theirs = touched(ahead, &sha);
                if touched(&sha, ahead).iter().any(|path| theirs.contains(path)) {
                    return message(409, &format!("Conflict merging {default} into {reference}."));
                }
                // No deployment is made; the merge itself is left out here.
                return Response::json(
                    202,
                    &json!({ "message": format!("Auto-merged {default} into {reference} on deployment.") }),
                );
            }
        }
        let checks = repository.checks.get(&sha).copied();
        let is_refused = match body["required_contexts"].as_array() {
            // Every check that there is.
            None => checks.is_some_and(|checks| checks != Checks::Success),
            Some(contexts) => !contexts.is_empty() && checks != Some(Checks::Success),
        };
        if is_refused {
            let state = checks.map_or("missing".to_owned(), |checks| checks.name().to_lowercase());
            let mut refused = json!({ "message": format!("Conflict: Commit status checks failed for {reference}.") });
            refused["errors"] = json!([{
                "contexts": [{ "context": "ci", "state": state }], "resource": "Deployment", "field": "required_contexts",
                "code": "invalid",
            }]);
            return Response::json(409, &refused);
        }
        let environment = Some(text("environment")).filter(|name| !name.is_empty()).unwrap_or("production".to_owned());
        let deployment = Deployment {
            id,
            sha,
            reference,
            description: text("description"),
            payload: body.get("payload").cloned().unwrap_or(json!("")),
            transient: body["transient_environment"] == true,
            production: body["production_environment"].as_bool().unwrap_or(environment == "production"),
            environment,
            task: body["task"].as_str().unwrap_or("deploy").to_owned(),
            at: self.now,
            statuses: Vec::new(),
        };
        let answer = self.describe(&repository.full_name, &deployment);
        self.known_mut(key).deployments.push(deployment);
        Response::json(201, &answer)
    }

    /// A deployment without its statuses: those are elsewhere.
    fn describe(&self, full_name: &str, deployment: &Deployment) -> Value {
        let api = format!("https://api.github.com/repos/{full_name}");
        let Deployment {
            id, sha, reference, environment, description, task, payload, transient, production, at, ..
        } = deployment;
        let (url, at) = (format!("{api}/deployments/{id}"), git::rfc3339(*at));
        json!({
            "url": url, "id": id, "node_id": format!("DE_{id}"), "sha": sha, "ref": reference, "task": task,
            "payload": payload, "original_environment": environment, "environment": environment,
            "description": description, "creator": webhook::account(&self.bot_login, &self.web), "created_at": at,
            "updated_at": at, "statuses_url": format!("{url}/statuses"), "repository_url": api,
            "transient_environment": transient, "production_environment": production,
        })
    }

    /// Newest first, a page of them. A token that may not write deployments may not read them here either: the repositories are private.
    pub(super) fn list_deployments(&self, request: &Request, key: &str) -> Response {
        let found = self.repositories.get(key).filter(|repository| repository.access != Access::None);
        let Some(repository) = found else { return message(404, "Not Found") };
        if !repository.takes_deployments {
            return self.not_accessible();
        }
        let query = request.query();
        let number = |name: &str, default: usize| query.get(name).and_then(|text| text.parse().ok()).unwrap_or(default);
        let size = number("per_page", 30).clamp(1, 100);
        let page = number("page", 1).max(1);
        let is = |name: &str, value: &str| {
            query.get(name).is_none_or(|wanted| matches!(&**wanted, "" | "none") || wanted == value)
        };
        let wanted = repository.deployments.iter().rev().filter(|one| {
            is("sha", &one.sha)
                && is("ref", &one.reference)
                && is("task", &one.task)
                && is("environment", &one.environment)
        });
        let page = wanted.skip((page - 1) * size).take(size);
        let page: Vec<Value> = page.map(|one| self.describe(&repository.full_name, one)).collect();
        Response::json(200, &json!(page))
    }

    fn not_accessible(&self) -> Response {
        let who = if self.bot_login.ends_with("[bot]") { "integration" } else { "personal access token" };
        message(403, &format!("Resource not accessible by {who}"))
    }

    pub(super) fn create_deployment_status(&mut self, request: &Request, key: &str, id: &str) -> Response {
        let body = match self.may_deploy(request, key) {
            Ok(body) => body,
            Err(refused) => return refused,
        };
        let (at, creator) = (git::rfc3339(self.now), webhook::account(&self.bot_login, &self.web));
        let repository = self.known_mut(key);
        let found = repository.deployments.iter().position(|known| known.id.to_string() == id);
        let Some(index) = found else { return message(404, "Not Found") };
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let status = DeploymentStatus {
            state: text("state"),
            description: text("description"),
            environment_url: text("environment_url"),
            // `target_url` is its old name.
            log_url: Some(text("log_url")).filter(|url| !url.is_empty()).unwrap_or_else(|| text("target_url")),
        };
        if !STATES.contains(&status.state.as_str()) {
            return invalid("Validation Failed", "state", "custom");
        }
        if status.description.chars().count() > LONGEST_DESCRIPTION {
            return invalid("Validation Failed", "description", "custom");
        }
        for (field, url) in [("environment_url", &status.environment_url), ("log_url", &status.log_url)] {
            if !url.is_empty() && !url.starts_with("https://") && !url.starts_with("http://") {
                return invalid("Validation Failed", field, "custom");
            }
        }
        if status.state == "success" && body.get("auto_inactive").is_none_or(|auto| auto != false) {
            let environment = repository.deployments[index].environment.clone();
            for earlier in &mut repository.deployments[..index] {
                let is_live = earlier.statuses.last().is_some_and(|status| status.state == "success");
                if is_live && earlier.environment == environment && !earlier.transient && !earlier.production {
                    earlier.statuses.push(DeploymentStatus { state: "inactive".to_owned(), ..Default::default() });
                }
            }
        }
        let api = format!("https://api.github.com/repos/{}", repository.full_name);
        let deployment = &mut repository.deployments[index];
        let url = format!("{api}/deployments/{id}");
        let nth = deployment.statuses.len();
        let answer = json!({
            "url": format!("{url}/statuses/{nth}"), "id": nth, "node_id": format!("DES_{id}_{nth}"), "state": status.state,
            "creator": creator, "description": status.description, "environment": deployment.environment,
            "target_url": status.log_url, "log_url": status.log_url, "environment_url": status.environment_url,
            "created_at": at, "updated_at": at, "deployment_url": url, "repository_url": api,
        });
        deployment.statuses.push(status);
        Response::json(201, &answer)
    }
}

fn invalid(text: &str, field: &str, code: &str) -> Response {
    let docs = "https://docs.github.com/rest/deployments";
    let error = json!({ "resource": "Deployment", "field": field, "code": code });
    Response::json(422, &json!({ "message": text, "errors": [error], "documentation_url": docs, "status": "422" }))
}
