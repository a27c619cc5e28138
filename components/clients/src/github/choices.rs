//! What a repository has that can be deployed, for a person who chooses: open pull requests and branches.

use super::answer::{Part, ReadError, flag, nodes, nonsense, nullable, read_data, text, words};
use super::api::{GitHub, graphql, send};
use crate::http::{Http, Request, Response};
use domain::form::Choices;
use domain::names::{BranchName, PullRequestNumber, RepoName, UrlOrigin};
use serde_json::{Value, json};

const LIST: &str = "list pull requests and branches";

/// The hundred of each that changed last.
const QUERY: &str = r#"query($owner: String!, $name: String!) {
  repository(owner: $owner, name: $name) {
    pullRequests(states: [OPEN], first: 100, orderBy: { field: UPDATED_AT, direction: DESC }) {
      nodes { number title isCrossRepository }
    }
    refs(refPrefix: "refs/heads/", first: 100, orderBy: { field: TAG_COMMIT_DATE, direction: DESC }) {
      nodes { name }
    }
  }
}"#;

pub fn choices_request(api: &UrlOrigin, repo: &RepoName) -> Request {
    graphql(api, QUERY, &json!({ "owner": repo.owner(), "name": repo.name() }))
}

pub fn read_choices(response: &Response) -> Result<Choices, ReadError> {
    let data = read_data(response, LIST)?;
    let fault = |part| ReadError::Fault(nonsense(LIST, part));
    let repository = nullable(&data, "repository", "the repository").map_err(fault)?;
    read_both(repository.ok_or(ReadError::NoRepository)?).map_err(fault)
}

fn read_both(repository: &Value) -> Part<Choices> {
    let mut choices = Choices::default();
    for pull_request in nodes(repository, "/pullRequests/nodes")? {
        let number = pull_request.get("number").and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok());
        // Those of forks are refused.
        if !flag(pull_request, "/isCrossRepository") {
            let title = words(text(pull_request, "/title").unwrap_or_default());
            choices.pull_requests.push((PullRequestNumber(number.ok_or("a pull request's number")?), title));
        }
    }
    // A repository without a commit has no branches.
    if repository.get("refs").is_some_and(|refs| !refs.is_null()) {
        let names = nodes(repository, "/refs/nodes")?.iter().filter_map(|branch| text(branch, "/name"));
        choices.branches = names.filter_map(|name| BranchName::parse(name).ok()).collect();
    }
    Ok(choices)
}

pub async fn choices(http: &impl Http, gh: &GitHub, repo: &RepoName) -> Result<Choices, ReadError> {
    read_choices(&send(http, gh, choices_request(&gh.url, repo), LIST).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::github::samples::ok;

    fn read(repository: Value) -> Result<Choices, ReadError> {
        read_choices(&ok(&json!({ "data": { "repository": repository } })))
    }

    #[test]
    fn pull_requests_and_branches_are_read() {
        let found = read(json!({
            "pullRequests": { "nodes": [
                { "number": 42, "title": "Show\n totals", "isCrossRepository": false },
                { "number": 43, "title": "From a fork", "isCrossRepository": true },
            ] },
            "refs": { "nodes": [{ "name": "main" }, { "name": "a..b" }] },
        }));
        let main = BranchName::parse("main").unwrap();
        let pull_requests = vec![(PullRequestNumber(42), "Show totals".to_owned())];
        assert_eq!(found, Ok(Choices { pull_requests, branches: vec![main] }));
        assert_eq!(read(json!({ "pullRequests": { "nodes": [] }, "refs": null })), Ok(Choices::default()));
        assert_eq!(read(Value::Null), Err(ReadError::NoRepository));
        assert!(matches!(read(json!({})), Err(ReadError::Fault(_))));
        let odd = json!({ "pullRequests": { "nodes": [{ "number": "x" }] } });
        assert!(matches!(read(odd), Err(ReadError::Fault(_))));
    }
}
