//! What we read before a deploy, all at one moment: the head of the GitOps branch with its files, and what is to be deployed.
//!
//! The text of a file is only believed if it hashes to the blob's id: GitHub gives text, and not every file survives that.

use super::{
    GitHub, Part, commit_sha, flag, login, nodes, nonsense, nullable, qualified, read_data, read_head, send,
    status_cause, text, words,
};
use crate::http::{Http, Request, Response, StatusCode};
use domain::deployment::Reference;
use domain::fault::{Fault, System};
use domain::names::{BlobSha, BranchName, CommitSha, FilePath, GitHubLogin, PullRequestNumber, RepoName};
use domain::values::blob_sha;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const READ: &str = "read the GitOps repository";
const READ_CATALOG: &str = "read the catalog";
const READ_BLOB: &str = "read the values file";
/// Two files as JSON text and up to a hundred commits.
const MAX_ANSWER: usize = 4 << 20;

/// What we need to know before a deploy.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The GitOps repository.
    pub gitops_repo: &'a RepoName,
    /// Its branch.
    pub gitops_branch: &'a BranchName,
    /// The app's values file there.
    pub values: &'a FilePath,
    /// More of them.
    pub also: &'a [FilePath],
    /// The catalog there.
    pub catalog: &'a FilePath,
    /// The commit that is live, where one is known.
    pub live: Option<&'a CommitSha>,
    /// The app's own repository.
    pub app_repo: &'a RepoName,
    /// What to deploy of it.
    pub reference: &'a Reference,
    /// A commit of it whose checks we want to know besides: that of a version from before, whose branch may be gone.
    pub checks_of: Option<&'a CommitSha>,
}

/// Everything at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Who we are.
    pub viewer: GitHubLogin,
    /// The GitOps repository's page.
    pub url: String,
    /// The head of the GitOps branch.
    pub head: CommitSha,
    /// The values file at that head.
    pub values: FileState,
    /// The others, in the order of the question.
    pub also: Vec<FileState>,
    /// The catalog at that head.
    pub catalog: FileState,
    /// The commits below the app's path after the live one, newest first.
    pub since_live: Vec<Touch>,
    /// Whether the live commit was among the last hundred; if not, `since_live` is all of those.
    pub complete: bool,
    /// What is to be deployed.
    pub source: SourceState,
    /// The checks of [`Question::checks_of`], as for a pull request.
    pub checked: Option<String>,
}

/// A file at a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileState {
    /// There is no file at that path.
    Missing,
    /// There is one.
    File {
        /// Its content's id.
        blob: BlobSha,
        /// Its exact bytes. `None`: it is binary or truncated, or GitHub changed it on the way (a BOM, say): see [`raw_blob`].
        text: Option<String>,
        /// Its size in bytes.
        size: u64,
    },
}

/// A commit that rides along.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touch {
    /// Its id.
    pub sha: CommitSha,
    /// The first line of its message (trimmed to 200 characters).
    pub headline: String,
    /// The author's account, where GitHub knows one.
    pub login: Option<GitHubLogin>,
    /// The author's name, as the commit claims it.
    pub name: String,
}

/// What is to be deployed, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceState {
    /// No such repository, or we may not see it.
    NoRepository,
    /// No such pull request.
    NoPullRequest,
    /// No such branch.
    NoBranch,
    /// A pull request.
    PullRequest {
        /// Its number.
        number: PullRequestNumber,
        /// Open or not.
        open: PrState,
        /// A draft.
        draft: bool,
        /// Its head is in another repository, or in one that is gone.
        from_fork: bool,
        /// Its branch.
        branch: BranchName,
        /// The branch it wants to be merged into.
        base: BranchName,
        /// Its newest commit.
        head: CommitSha,
        /// Its title (trimmed to 200 characters).
        title: String,
        /// Who opened it, while the account exists.
        author: Option<GitHubLogin>,
        /// Its page.
        url: String,
        /// `SUCCESS`, `FAILURE`, `PENDING`, …; `None`: there are no checks, or our token may not see them.
        checks: Option<String>,
    },
    /// A branch.
    Branch {
        /// Its name.
        branch: BranchName,
        /// Its newest commit.
        head: CommitSha,
        /// The first line of that commit's message.
        title: String,
        /// As for a pull request.
        checks: Option<String>,
    },
}

/// Whether a pull request is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrState {
    /// Open.
    Open,
    /// Closed without a merge.
    Closed,
    /// Merged.
    Merged,
}

/// Why there is no answer about the GitOps repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// It does not exist, or our token may not see it.
    NoRepository,
    /// It has no such branch.
    NoBranch,
    /// GitHub failed.
    Fault(Fault),
}

impl From<Fault> for ReadError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

const SNAPSHOT_VARIABLES: &str = "$gitopsOwner: String!, $gitopsName: String!, $gitopsRef: String!, $values: String!, \
     $catalog: String!, $below: String!, $appOwner: String!, $appName: String!";
const TOUCHES: &str = "{ nodes { oid messageHeadline author { name user { login } } } }";
const FILE: &str = "object { ... on Blob { oid text isBinary isTruncated byteSize } }";
const PULL_REQUEST: &str = "pullRequest(number: $number) {
      number state isDraft isCrossRepository headRefName headRefOid headRepository { nameWithOwner } baseRefName title url
      author { login } commits(last: 1) { nodes { commit { oid statusCheckRollup { state } } } }
    }";
const BRANCH: &str = "ref(qualifiedName: $appRef) {
      target { oid ... on Commit { messageHeadline statusCheckRollup { state } } }
    }";

const CHECKED: &str = "
    checked: object(oid: $checked) { ... on Commit { statusCheckRollup { state } } }";

/// Builds the one query.
pub fn snapshot_request(gh: &GitHub, question: &Question<'_>) -> Request {
    let (variable, source) = match question.reference {
        Reference::PullRequest(_) => ("$number: Int!", PULL_REQUEST),
        Reference::Branch(_) => ("$appRef: String!", BRANCH),
    };
    let (checked_variable, checked) = match question.checks_of {
        Some(_) => (", $checked: GitObjectID!", CHECKED),
        None => ("", ""),
    };
    // The first file stands in every query; of the others each has its own part, and each further folder its history.
    let (mut more_variables, mut more) = (String::new(), String::new());
    for n in 0..question.also.len() {
        more_variables.push_str(&format!(", $also{n}: String!"));
        more.push_str(&format!("\n      also{n}: file(path: $also{n}) {{ {FILE} }}"));
    }
    let folders = other_folders(question);
    for n in 0..folders.len() {
        more_variables.push_str(&format!(", $below{n}: String!"));
        more.push_str(&format!("\n      history{n}: history(first: 100, path: $below{n}) {TOUCHES}"));
    }
    let query = format!(
        "query({SNAPSHOT_VARIABLES}, {variable}{checked_variable}{more_variables}) {{
  viewer {{ login }}
  gitops: repository(owner: $gitopsOwner, name: $gitopsName) {{
    url
    ref(qualifiedName: $gitopsRef) {{ target {{ oid ... on Commit {{
      values: file(path: $values) {{ {FILE} }}
      catalog: file(path: $catalog) {{ {FILE} }}
      history(first: 100, path: $below) {TOUCHES}{more}
    }} }} }}
  }}
  app: repository(owner: $appOwner, name: $appName) {{
    nameWithOwner
    {source}{checked}
  }}
}}"
    );
    let values = question.values.as_str();
    let mut variables = json!({
        "gitopsOwner": question.gitops_repo.owner(),
        "gitopsName": question.gitops_repo.name(),
        "gitopsRef": qualified(question.gitops_branch),
        "values": values,
        "catalog": question.catalog.as_str(),
        "below": folder(values),
        "appOwner": question.app_repo.owner(),
        "appName": question.app_repo.name(),
    });
    if let Some(variables) = variables.as_object_mut() {
        for (n, file) in question.also.iter().enumerate() {
            variables.insert(format!("also{n}"), json!(file));
        }
        for (n, folder) in folders.iter().enumerate() {
            variables.insert(format!("below{n}"), json!(folder));
        }
        if let Some(sha) = question.checks_of {
            variables.insert("checked".to_owned(), json!(sha));
        }
        match question.reference {
            // GraphQL's Int ends at 2^31 - 1; beyond it GitHub would complain about the variable instead of the pull request.
            Reference::PullRequest(number) => {
                variables.insert("number".to_owned(), json!(i32::try_from(number.0).unwrap_or(i32::MAX)))
            }
            Reference::Branch(branch) => variables.insert("appRef".to_owned(), json!(qualified(branch))),
        };
    }
    gh.graphql(&query, &variables).max_answer(MAX_ANSWER)
}

/// The folder of a file; of one at the root only the file itself, because everything else is below the root, too.
fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(folder, _)| folder)
}

/// The folders of the other files, without that of the first.
fn other_folders<'a>(question: &Question<'a>) -> Vec<&'a str> {
    let mut folders = vec![folder(question.values.as_str())];
    for file in question.also {
        let folder = folder(file.as_str());
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    folders.split_off(1)
}

/// Understands its answer.
pub fn read_snapshot(question: &Question<'_>, response: &Response) -> Result<Snapshot, ReadError> {
    let data = read_data(response, READ)?;
    let (repository, head) = read_head(&data, "gitops", READ)?;
    let read = || {
        let (mut since_live, mut complete) = read_touches(head, "history", question.live)?;
        for n in 0..other_folders(question).len() {
            let (more, whole) = read_touches(head, &format!("history{n}"), question.live)?;
            // A commit may have touched several of them.
            let new: Vec<Touch> =
                more.into_iter().filter(|touch| since_live.iter().all(|known| known.sha != touch.sha)).collect();
            since_live.extend(new);
            complete &= whole;
        }
        Ok(Snapshot {
            viewer: login(&data, "/viewer/login").ok_or("our own login")?,
            url: text(repository, "/url").ok_or("the repository's page")?.to_owned(),
            head: commit_sha(head, "/oid")?,
            values: read_file(head, "values")?,
            also: (0..question.also.len()).map(|n| read_file(head, &format!("also{n}"))).collect::<Part<_>>()?,
            catalog: read_file(head, "catalog")?,
            since_live,
            complete,
            source: read_source(&data, question)?,
            checked: text(&data, "/app/checked/statusCheckRollup/state").map(words),
        })
    };
    read().map_err(|part| nonsense(READ, part).into())
}

/// Asks and reads everything at one moment.
pub async fn snapshot(http: &impl Http, gh: &GitHub, question: &Question<'_>) -> Result<Snapshot, ReadError> {
    read_snapshot(question, &send(http, snapshot_request(gh, question), READ).await?)
}

/// Builds the query for the catalog alone: whose command is it, while nothing is known yet.
pub fn catalog_request(gh: &GitHub, repo: &RepoName, branch: &BranchName, path: &FilePath) -> Request {
    let query = format!(
        "query($owner: String!, $name: String!, $ref: String!, $catalog: String!) {{
  gitops: repository(owner: $owner, name: $name) {{
    ref(qualifiedName: $ref) {{ target {{ oid ... on Commit {{ catalog: file(path: $catalog) {{ {FILE} }} }} }} }}
  }}
}}"
    );
    let (owner, name) = (repo.owner(), repo.name());
    let variables = json!({ "owner": owner, "name": name, "ref": qualified(branch), "catalog": path.as_str() });
    gh.graphql(&query, &variables).max_answer(MAX_ANSWER)
}

/// Understands its answer.
pub fn read_catalog(response: &Response) -> Result<FileState, ReadError> {
    let data = read_data(response, READ_CATALOG)?;
    let (_, head) = read_head(&data, "gitops", READ_CATALOG)?;
    read_file(head, "catalog").map_err(|part| nonsense(READ_CATALOG, part).into())
}

/// Reads the catalog alone.
pub async fn catalog(
    http: &impl Http,
    gh: &GitHub,
    repo: &RepoName,
    branch: &BranchName,
    path: &FilePath,
) -> Result<FileState, ReadError> {
    read_catalog(&send(http, catalog_request(gh, repo, branch, path), READ_CATALOG).await?)
}

/// Builds the request for a file's exact bytes, up to 1 MiB.
pub fn raw_blob_request(gh: &GitHub, repo: &RepoName, blob: &BlobSha) -> Request {
    gh.rest(&format!("/repos/{repo}/git/blobs/{blob}"), "application/vnd.github.raw+json")
}

/// Takes the bytes if they are those of that id.
pub fn read_raw_blob(blob: &BlobSha, response: Response) -> Result<Vec<u8>, Fault> {
    if response.status != StatusCode::OK {
        return Err(Fault::new(System::GitHub, READ_BLOB, status_cause(&response)));
    }
    if blob_sha(&response.body) != *blob {
        return Err(nonsense(READ_BLOB, "the file's bytes"));
    }
    Ok(response.body)
}

/// Reads a file's exact bytes, where GraphQL did not give them.
pub async fn raw_blob(http: &impl Http, gh: &GitHub, repo: &RepoName, blob: &BlobSha) -> Result<Vec<u8>, Fault> {
    read_raw_blob(blob, send(http, raw_blob_request(gh, repo, blob), READ_BLOB).await?)
}

fn read_file(commit: &Value, alias: &str) -> Part<FileState> {
    let Some(entry) = nullable(commit, alias, "a file")? else { return Ok(FileState::Missing) };
    // A directory is an object without the fields of a file; a submodule is no object at all.
    let Some(oid) = entry.pointer("/object/oid") else { return Ok(FileState::Missing) };
    let blob = oid.as_str().and_then(|oid| BlobSha::parse(oid).ok()).ok_or("a file's id")?;
    let size = entry.pointer("/object/byteSize").and_then(Value::as_u64).ok_or("a file's size")?;
    let text = text(entry, "/object/text")
        .filter(|_| !flag(entry, "/object/isBinary") && !flag(entry, "/object/isTruncated"))
        .filter(|text| blob_sha(text.as_bytes()) == blob);
    Ok(FileState::File { text: text.map(str::to_owned), blob, size })
}

fn read_touches(commit: &Value, alias: &str, live: Option<&CommitSha>) -> Part<(Vec<Touch>, bool)> {
    let mut touches = Vec::new();
    for node in nodes(commit, &format!("/{alias}/nodes"))? {
        let sha = commit_sha(node, "/oid")?;
        if Some(&sha) == live {
            return Ok((touches, true));
        }
        touches.push(Touch {
            sha,
            headline: words(text(node, "/messageHeadline").unwrap_or_default()),
            login: login(node, "/author/user/login"),
            name: words(text(node, "/author/name").unwrap_or_default()),
        });
    }
    Ok((touches, false))
}

fn read_source(data: &Value, question: &Question<'_>) -> Part<SourceState> {
    let Some(app) = nullable(data, "app", "the app's repository")? else { return Ok(SourceState::NoRepository) };
    match question.reference {
        Reference::PullRequest(number) => match nullable(app, "pullRequest", "the pull request")? {
            None => Ok(SourceState::NoPullRequest),
            Some(pr) => read_pull_request(*number, text(app, "/nameWithOwner"), pr),
        },
        Reference::Branch(branch) => match nullable(app, "ref", "the app's branch")? {
            None => Ok(SourceState::NoBranch),
            Some(found) => Ok(SourceState::Branch {
                branch: branch.clone(),
                head: commit_sha(found, "/target/oid")?,
                title: words(text(found, "/target/messageHeadline").unwrap_or_default()),
                checks: text(found, "/target/statusCheckRollup/state").map(words),
            }),
        },
    }
}

/// `own_name` is the repository's name as GitHub has it now: the catalog may know it by one from before a renaming.
fn read_pull_request(number: PullRequestNumber, own_name: Option<&str>, pr: &Value) -> Part<SourceState> {
    let branch = |pointer, part| text(pr, pointer).and_then(|name| BranchName::parse(name).ok()).ok_or(part);
    let same_repository = match (own_name, text(pr, "/headRepository/nameWithOwner")) {
        (Some(own), Some(head)) => own.eq_ignore_ascii_case(head),
        _ => false,
    };
    Ok(SourceState::PullRequest {
        number,
        open: match text(pr, "/state") {
            Some("OPEN") => PrState::Open,
            Some("CLOSED") => PrState::Closed,
            Some("MERGED") => PrState::Merged,
            _ => return Err("the pull request's state"),
        },
        draft: flag(pr, "/isDraft"),
        from_fork: !same_repository || pr.get("isCrossRepository") != Some(&Value::Bool(false)),
        branch: branch("/headRefName", "the pull request's branch")?,
        base: branch("/baseRefName", "the pull request's base")?,
        head: commit_sha(pr, "/headRefOid")?,
        title: words(text(pr, "/title").unwrap_or_default()),
        author: login(pr, "/author/login"),
        url: text(pr, "/url").ok_or("the pull request's page")?.to_owned(),
        // Those of another commit say nothing: GitHub lists at most 250 commits of a pull request, and its last may not be the head.
        checks: pr
            .pointer("/commits/nodes/0/commit")
            .filter(|commit| commit.get("oid") == pr.get("headRefOid"))
            .and_then(|commit| text(commit, "/statusCheckRollup/state"))
            .map(words),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::github::tests::{Script, answer, body, branch, error, gh, hostile, ok, path, repo, sha, show};
    use crate::http::HttpError;
    use domain::fault::Cause;

    /// A question that owns what it asks about.
    struct Asked {
        repos: [RepoName; 2],
        branch: BranchName,
        files: [FilePath; 2],
        live: Option<CommitSha>,
        reference: Reference,
    }

    fn asked(reference: Reference) -> Asked {
        Asked {
            repos: [repo("acme/gitops"), repo("acme/checkout")],
            branch: branch("main"),
            files: [path("apps/checkout/values.yaml"), path("deploy-bot.yaml")],
            live: Some(sha("1")),
            reference,
        }
    }

    fn pull_request() -> Asked {
        asked(Reference::PullRequest(PullRequestNumber(42)))
    }

    fn feature_branch() -> Asked {
        asked(Reference::Branch(branch("feature/x")))
    }

    impl Asked {
        fn question(&self) -> Question<'_> {
            Question {
                gitops_repo: &self.repos[0],
                gitops_branch: &self.branch,
                values: &self.files[0],
                also: &[],
                catalog: &self.files[1],
                live: self.live.as_ref(),
                app_repo: &self.repos[1],
                reference: &self.reference,
                checks_of: None,
            }
        }

        fn read(&self, answer: &Value) -> Result<Snapshot, ReadError> {
            read_snapshot(&self.question(), &ok(answer))
        }
    }

    fn blob(text: &str) -> Value {
        let oid = blob_sha(text.as_bytes());
        json!({ "object": { "oid": oid, "text": text, "isBinary": false, "isTruncated": false, "byteSize": text.len() } })
    }

    fn good() -> Value {
        json!({ "data": {
            "viewer": { "login": "deploy-bot[bot]" },
            "gitops": { "url": "https://github.com/acme/gitops", "ref": { "target": {
                "oid": sha("a"),
                "values": blob("image:\n  tag: \"main-1\"\n"),
                "catalog": blob("apps: {}\n"),
                "history": { "nodes": [
                    { "oid": sha("3"), "messageHeadline": "Raise  limits", "author": { "name": "Alice", "user": { "login": "alice" } } },
                    { "oid": sha("2"), "messageHeadline": "Fix", "author": { "name": "Bob", "user": null } },
                    { "oid": sha("1"), "messageHeadline": "Deploy", "author": { "name": "deploy-bot[bot]", "user": null } },
                    { "oid": sha("0"), "messageHeadline": "Old", "author": null },
                ] },
            } } },
            "app": { "nameWithOwner": "acme/checkout", "pullRequest": {
                "number": 42, "state": "OPEN", "isDraft": false, "isCrossRepository": false, "headRefName": "feature/x",
                "headRefOid": sha("f"), "headRepository": { "nameWithOwner": "acme/checkout" }, "baseRefName": "main",
                "title": "Faster checkout", "url": "https://github.com/acme/checkout/pull/42", "author": { "login": "alice" },
                "commits": { "nodes": [{ "commit": { "oid": sha("f"), "statusCheckRollup": { "state": "SUCCESS" } } }] },
            } },
        } })
    }

    fn with_branch() -> Value {
        let mut answer = good();
        let target = json!({ "oid": sha("f"), "messageHeadline": "Faster", "statusCheckRollup": null });
        answer["data"]["app"] = json!({ "nameWithOwner": "acme/checkout", "ref": { "target": target } });
        answer
    }

    /// A good answer with one part replaced, and an error that names the part.
    fn with(pointer: &str, value: Value) -> Value {
        let mut answer = good();
        *answer.pointer_mut(pointer).unwrap() = value;
        let path: Vec<&str> = pointer.split('/').skip(2).collect();
        answer["errors"] = json!([error("NOT_FOUND", &path, "Could not resolve to it.")]);
        answer
    }

    fn part(outcome: Result<Snapshot, ReadError>) -> String {
        match outcome {
            Err(ReadError::Fault(Fault { cause: Cause::Nonsense { part }, .. })) => part,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_query_asks_for_everything() {
        let (asked, gh) = (pull_request(), gh());
        let script = Script::new(Ok(ok(&good())));
        let (outcome, request) = script.run(snapshot(&script, &gh, &asked.question()));
        assert!(outcome.is_ok());
        insta::assert_snapshot!(show(&request), @r#"
        POST https://api.github.com/graphql
        accept: application/vnd.github+json
        authorization: Bearer ghs_secret
        content-type: application/json
        user-agent: deploy-bot

        query($gitopsOwner: String!, $gitopsName: String!, $gitopsRef: String!, $values: String!, $catalog: String!, $below: String!, $appOwner: String!, $appName: String!, $number: Int!) {
          viewer { login }
          gitops: repository(owner: $gitopsOwner, name: $gitopsName) {
            url
            ref(qualifiedName: $gitopsRef) { target { oid ... on Commit {
              values: file(path: $values) { object { ... on Blob { oid text isBinary isTruncated byteSize } } }
              catalog: file(path: $catalog) { object { ... on Blob { oid text isBinary isTruncated byteSize } } }
              history(first: 100, path: $below) { nodes { oid messageHeadline author { name user { login } } } }
            } } }
          }
          app: repository(owner: $appOwner, name: $appName) {
            nameWithOwner
            pullRequest(number: $number) {
              number state isDraft isCrossRepository headRefName headRefOid headRepository { nameWithOwner } baseRefName title url
              author { login } commits(last: 1) { nodes { commit { oid statusCheckRollup { state } } } }
            }
          }
        }

        {
          "appName": "checkout",
          "appOwner": "acme",
          "below": "apps/checkout",
          "catalog": "deploy-bot.yaml",
          "gitopsName": "gitops",
          "gitopsOwner": "acme",
          "gitopsRef": "refs/heads/main",
          "number": 42,
          "values": "apps/checkout/values.yaml"
        }
        "#);
        let request = snapshot_request(&gh, &feature_branch().question());
        insta::assert_snapshot!(show(&request).split_once("  app: ").unwrap().1, @r#"
        repository(owner: $appOwner, name: $appName) {
            nameWithOwner
            ref(qualifiedName: $appRef) {
              target { oid ... on Commit { messageHeadline statusCheckRollup { state } } }
            }
          }
        }

        {
          "appName": "checkout",
          "appOwner": "acme",
          "appRef": "refs/heads/feature/x",
          "below": "apps/checkout",
          "catalog": "deploy-bot.yaml",
          "gitopsName": "gitops",
          "gitopsOwner": "acme",
          "gitopsRef": "refs/heads/main",
          "values": "apps/checkout/values.yaml"
        }
        "#);
    }

    #[test]
    fn the_checks_of_an_earlier_version_are_asked_for_besides() {
        let (asked, gh, old) = (feature_branch(), gh(), sha("e"));
        let question = Question { checks_of: Some(&old), ..asked.question() };
        let request = snapshot_request(&gh, &question);
        let query = body(&request)["query"].as_str().unwrap().to_owned();
        assert!(query.lines().next().unwrap().ends_with("$appRef: String!, $checked: GitObjectID!) {"));
        insta::assert_snapshot!(query.split_once("  app: ").unwrap().1, @r"
        repository(owner: $appOwner, name: $appName) {
            nameWithOwner
            ref(qualifiedName: $appRef) {
              target { oid ... on Commit { messageHeadline statusCheckRollup { state } } }
            }
            checked: object(oid: $checked) { ... on Commit { statusCheckRollup { state } } }
          }
        }
        ");
        assert_eq!(body(&request)["variables"]["checked"], json!(old));

        let check = |part: Value, errors: Value, expected: Option<&str>| {
            let mut answer = with_branch();
            answer["data"]["app"]["checked"] = part;
            answer["errors"] = errors;
            let snapshot = read_snapshot(&question, &ok(&answer)).unwrap();
            assert_eq!(snapshot.checked.as_deref(), expected);
        };
        check(json!({ "statusCheckRollup": { "state": "FAILURE" } }), json!([]), Some("FAILURE"));
        check(json!({ "statusCheckRollup": null }), json!([]), None);
        check(json!(null), json!([error("NOT_FOUND", &["app", "checked"], "m")]), None);
        let hidden = error("FORBIDDEN", &["app", "checked", "statusCheckRollup"], "Resource not accessible");
        check(json!({ "statusCheckRollup": null }), json!([hidden]), None);
    }

    #[test]
    fn outside_text_is_never_part_of_the_query() {
        let (plain, mut odd) = (feature_branch(), asked(Reference::Branch(branch("\"){viewer{login}}#"))));
        odd.files = [path("\"}/$x.yaml"), path("{}")];
        odd.branch = branch("$main\"");
        let query = |asked: &Asked| body(&snapshot_request(&gh(), &asked.question()))["query"].clone();
        assert_eq!(query(&plain), query(&odd));
    }

    #[test]
    fn variables_hold_what_github_can_take() {
        let check = |asked: &Asked, name: &str, expected: Value| {
            assert_eq!(body(&snapshot_request(&gh(), &asked.question()))["variables"][name], expected);
        };
        let mut asked = pull_request();
        asked.reference = Reference::PullRequest(PullRequestNumber(u32::MAX));
        check(&asked, "number", json!(i32::MAX));
        check(&asked, "below", json!("apps/checkout"));
        asked.files[0] = path("values.yaml");
        check(&asked, "below", json!("values.yaml"));
    }

    #[test]
    fn a_pull_request_is_read() {
        insta::assert_debug_snapshot!(pull_request().read(&good()).unwrap(), @r#"
        Snapshot {
            viewer: GitHubLogin(
                "deploy-bot[bot]",
            ),
            url: "https://github.com/acme/gitops",
            head: CommitSha(
                "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            ),
            values: File {
                blob: BlobSha(
                    "9017843efe61cd6d08cb6114147bf67baa4cd078",
                ),
                text: Some(
                    "image:\n  tag: \"main-1\"\n",
                ),
                size: 23,
            },
            also: [],
            catalog: File {
                blob: BlobSha(
                    "ecba7b7fbb18a8b76ff7efa8f4230c7537c4a25f",
                ),
                text: Some(
                    "apps: {}\n",
                ),
                size: 9,
            },
            since_live: [
                Touch {
                    sha: CommitSha(
                        "3333333333333333333333333333333333333333",
                    ),
                    headline: "Raise limits",
                    login: Some(
                        GitHubLogin(
                            "alice",
                        ),
                    ),
                    name: "Alice",
                },
                Touch {
                    sha: CommitSha(
                        "2222222222222222222222222222222222222222",
                    ),
                    headline: "Fix",
                    login: None,
                    name: "Bob",
                },
            ],
            complete: true,
            source: PullRequest {
                number: PullRequestNumber(
                    42,
                ),
                open: Open,
                draft: false,
                from_fork: false,
                branch: BranchName(
                    "feature/x",
                ),
                base: BranchName(
                    "main",
                ),
                head: CommitSha(
                    "ffffffffffffffffffffffffffffffffffffffff",
                ),
                title: "Faster checkout",
                author: Some(
                    GitHubLogin(
                        "alice",
                    ),
                ),
                url: "https://github.com/acme/checkout/pull/42",
                checks: Some(
                    "SUCCESS",
                ),
            },
            checked: None,
        }
        "#);
    }

    #[test]
    fn a_branch_is_read() {
        let snapshot = feature_branch().read(&with_branch()).unwrap();
        let (branch, title) = (branch("feature/x"), "Faster".to_owned());
        assert_eq!(snapshot.source, SourceState::Branch { branch, head: sha("f"), title, checks: None });
    }

    #[test]
    fn what_is_absent_is_an_answer() {
        let read = |answer: Value| pull_request().read(&answer);
        assert_eq!(read(with("/data/gitops", Value::Null)), Err(ReadError::NoRepository));
        assert_eq!(read(with("/data/gitops/ref", Value::Null)), Err(ReadError::NoBranch));
        assert_eq!(read(with("/data/app", Value::Null)).unwrap().source, SourceState::NoRepository);
        assert_eq!(read(with("/data/app/pullRequest", Value::Null)).unwrap().source, SourceState::NoPullRequest);
        let no_ref = with("/data/app", json!({ "nameWithOwner": "acme/checkout", "ref": null }));
        assert_eq!(feature_branch().read(&no_ref).unwrap().source, SourceState::NoBranch);
        let values = "/data/gitops/ref/target/values";
        for nothing in [json!(null), json!({ "object": null }), json!({ "object": {} })] {
            assert_eq!(read(with(values, nothing)).unwrap().values, FileState::Missing);
        }
        assert_eq!(read(with("/data/gitops/ref/target/catalog", Value::Null)).unwrap().catalog, FileState::Missing);
    }

    #[test]
    fn a_missing_key_is_not_a_missing_thing() {
        for (pointer, key, expected) in [
            ("/data", "viewer", "our own login"),
            ("/data", "gitops", "the repository"),
            ("/data/gitops", "ref", "the branch"),
            ("/data/gitops", "url", "the repository's page"),
            ("/data/gitops/ref", "target", "the head"),
            ("/data/gitops/ref/target", "oid", "a commit's id"),
            ("/data/gitops/ref/target", "values", "a file"),
            ("/data/gitops/ref/target/values/object", "byteSize", "a file's size"),
            ("/data/gitops/ref/target", "history", "a list of commits"),
            ("/data", "app", "the app's repository"),
            ("/data/app", "pullRequest", "the pull request"),
            ("/data/app/pullRequest", "state", "the pull request's state"),
            ("/data/app/pullRequest", "headRefName", "the pull request's branch"),
            ("/data/app/pullRequest", "baseRefName", "the pull request's base"),
            ("/data/app/pullRequest", "url", "the pull request's page"),
        ] {
            let mut answer = good();
            answer.pointer_mut(pointer).unwrap().as_object_mut().unwrap().remove(key).unwrap();
            assert_eq!(part(pull_request().read(&answer)), expected, "{pointer}/{key}");
        }
    }

    #[test]
    fn any_other_error_is_a_fault_even_beside_whole_data() {
        for kind in ["FORBIDDEN", "RATE_LIMITED", "SOMETHING_NEW"] {
            let mut answer = good();
            answer["errors"] = json!([error("NOT_FOUND", &["app"], "m"), error(kind, &["app"], "m")]);
            assert!(matches!(pull_request().read(&answer), Err(ReadError::Fault(_))), "{kind}");
        }
        for error in [HttpError::Denied, HttpError::TimedOut] {
            let (script, asked, gh) = (Script::new(Err(error)), pull_request(), gh());
            let (outcome, _) = script.run(snapshot(&script, &gh, &asked.question()));
            assert_eq!(outcome, Err(Fault::new(System::GitHub, READ, error.into()).into()));
        }
    }

    #[test]
    fn only_exact_bytes_are_text() {
        let text = "image:\n  tag: \"main-1\"\n";
        let check = |change: fn(&mut Value), expected: Option<&str>| {
            let mut answer = good();
            change(&mut answer["data"]["gitops"]["ref"]["target"]["values"]["object"]);
            match pull_request().read(&answer).unwrap().values {
                FileState::File { text, blob, size } => {
                    assert_eq!((text.as_deref(), size), (expected, 23));
                    assert_eq!(blob.as_str(), "9017843efe61cd6d08cb6114147bf67baa4cd078");
                }
                FileState::Missing => panic!("missing"),
            }
        };
        check(|_| {}, Some(text));
        check(|object| object["text"] = json!("\u{FEFF}image:\n  tag: \"main-1\"\n"), None);
        check(|object| object["text"] = json!("image:\n  tag: \"main-2\"\n"), None);
        check(|object| object["text"] = Value::Null, None);
        check(|object| object["isBinary"] = json!(true), None);
        check(|object| object["isBinary"] = json!(null), Some(text));
        check(|object| object["isTruncated"] = json!(true), None);
    }

    #[test]
    fn commits_since_the_live_one_ride_along() {
        let check = |live: Option<&str>, expected: &[&str], complete| {
            let mut asked = pull_request();
            asked.live = live.map(sha);
            let snapshot = asked.read(&good()).unwrap();
            let since: Vec<CommitSha> = snapshot.since_live.into_iter().map(|touch| touch.sha).collect();
            let expected: Vec<CommitSha> = expected.iter().map(|digit| sha(digit)).collect();
            assert_eq!((since, snapshot.complete), (expected, complete), "{live:?}");
        };
        check(Some("3"), &[], true);
        check(Some("1"), &["3", "2"], true);
        check(Some("9"), &["3", "2", "1", "0"], false);
        check(None, &["3", "2", "1", "0"], false);
    }

    #[test]
    fn a_fork_is_recognised_by_each_of_its_signs() {
        let check = |key: &str, value: Value, expected: bool| {
            let mut answer = good();
            answer["data"]["app"]["pullRequest"][key] = value;
            match pull_request().read(&answer).unwrap().source {
                SourceState::PullRequest { from_fork, .. } => assert_eq!(from_fork, expected, "{key}"),
                other => panic!("{other:?}"),
            }
        };
        check("headRepository", json!({ "nameWithOwner": "Acme/Checkout" }), false);
        check("isCrossRepository", json!(true), true);
        check("isCrossRepository", json!(null), true);
        check("headRepository", json!(null), true);
        check("headRepository", json!({ "nameWithOwner": "mallory/checkout" }), true);
    }

    #[test]
    fn a_pull_request_has_three_states_and_may_lack_author_and_checks() {
        for (state, expected) in [("OPEN", PrState::Open), ("CLOSED", PrState::Closed), ("MERGED", PrState::Merged)] {
            let mut answer = good();
            let pr = &mut answer["data"]["app"]["pullRequest"];
            (pr["state"], pr["isDraft"], pr["author"]) = (json!(state), json!(true), Value::Null);
            pr["commits"]["nodes"][0]["commit"]["statusCheckRollup"] = Value::Null;
            let checks = ["app", "pullRequest", "commits", "nodes", "commit", "statusCheckRollup"];
            answer["errors"] = json!([error("FORBIDDEN", &checks, "Resource not accessible by personal access token")]);
            match pull_request().read(&answer).unwrap().source {
                SourceState::PullRequest { open, draft: true, author: None, checks: None, .. } => {
                    assert_eq!(open, expected)
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn checks_of_another_commit_than_the_head_are_none() {
        let mut answer = good();
        let checks = |answer: &Value| match pull_request().read(answer).unwrap().source {
            SourceState::PullRequest { checks, .. } => checks,
            other => panic!("{other:?}"),
        };
        assert_eq!(checks(&answer).as_deref(), Some("SUCCESS"));
        answer["data"]["app"]["pullRequest"]["commits"]["nodes"][0]["commit"]["oid"] = json!(sha("e"));
        assert_eq!(checks(&answer), None);
    }

    #[test]
    fn hostile_answers_are_survived() {
        let read = |asked: Asked, good: Value| {
            let mut whole = 0;
            hostile(&good, |response| whole += u32::from(read_snapshot(&asked.question(), &response).is_ok()));
            assert!(whole > 0, "what may be absent is tolerated");
        };
        read(pull_request(), good());
        read(feature_branch(), with_branch());
        hostile(&good(), |response| {
            let _ = read_catalog(&response);
        });
    }

    #[test]
    fn the_catalog_is_read_alone() {
        let (repo, branch, file, gh) = (repo("acme/gitops"), branch("main"), path("deploy-bot.yaml"), gh());
        let script = Script::new(Ok(ok(&good())));
        let (outcome, request) = script.run(catalog(&script, &gh, &repo, &branch, &file));
        let text = "apps: {}\n".to_owned();
        assert_eq!(outcome, Ok(FileState::File { blob: blob_sha(text.as_bytes()), size: 9, text: Some(text) }));
        insta::assert_snapshot!(show(&request).split_once("\n\n").unwrap().1, @r#"
        query($owner: String!, $name: String!, $ref: String!, $catalog: String!) {
          gitops: repository(owner: $owner, name: $name) {
            ref(qualifiedName: $ref) { target { oid ... on Commit { catalog: file(path: $catalog) { object { ... on Blob { oid text isBinary isTruncated byteSize } } } } } }
          }
        }

        {
          "catalog": "deploy-bot.yaml",
          "name": "gitops",
          "owner": "acme",
          "ref": "refs/heads/main"
        }
        "#);
        assert_eq!(read_catalog(&ok(&with("/data/gitops", Value::Null))), Err(ReadError::NoRepository));
        assert_eq!(read_catalog(&ok(&with("/data/gitops/ref", Value::Null))), Err(ReadError::NoBranch));
        let fault = Fault::new(System::GitHub, READ_CATALOG, Cause::Unauthorized);
        assert_eq!(read_catalog(&answer(401, "")), Err(ReadError::Fault(fault)));
    }

    #[test]
    fn a_raw_blob_is_believed_if_it_hashes_to_its_id() {
        let (repo, gh, bytes) = (repo("acme/gitops"), gh(), b"\xEF\xBB\xBFimage: {}\r\n");
        let blob = blob_sha(bytes);
        let script = Script::new(Ok(answer(200, bytes)));
        let (outcome, request) = script.run(raw_blob(&script, &gh, &repo, &blob));
        assert_eq!(outcome, Ok(bytes.to_vec()));
        assert_eq!(request.max_answer, 1 << 20);
        insta::assert_snapshot!(show(&request), @r"
        GET https://api.github.com/repos/acme/gitops/git/blobs/e6e6298d481a65ad81474dfbf769eb9154940998
        accept: application/vnd.github.raw+json
        authorization: Bearer ghs_secret
        user-agent: deploy-bot
        x-github-api-version: 2022-11-28
        ");
        let fault = |cause| Err(Fault::new(System::GitHub, READ_BLOB, cause));
        let nonsense = Cause::Nonsense { part: "the file's bytes".to_owned() };
        assert_eq!(read_raw_blob(&blob, answer(200, &bytes[3..])), fault(nonsense.clone()));
        assert_eq!(read_raw_blob(&blob, answer(200, "")), fault(nonsense));
        assert_eq!(read_raw_blob(&blob, answer(404, bytes)), fault(Cause::Status { status: 404 }));
    }
}
