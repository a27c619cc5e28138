//! What we read before a deploy, in one query: the head of the GitOps branch with its files, and what is to
//! be deployed.

use super::answer::{
    Part, ReadError, commit_sha, flag, login, nodes, nonsense, nullable, qualified, read_data, read_head, text, words,
};
use super::api::{GitHub, graphql, send};
use super::builds::{Build, builds_query, read_builds};
use super::checks::{read_checks, rollup};
use super::files::{FILE, FileState, Found, MAX_ANSWER, ask_included, name_included, read_file, read_found};
use super::reviews::{HEAD_AUTHOR, MERGED, REVIEWS, read_merged, read_reviews};
use crate::http::{Http, Request, Response, without_nulls};
use domain::catalog::IncludePlace;
use domain::deployment::{COMMITS_READ, Reference};
use domain::github::{CommitChecks, ReviewsState};
use domain::message;
use domain::names::{
    BranchName, CommitDigits, CommitSha, DeploymentId, FilePath, GitHubLogin, GitTag, PullRequestNumber, RepoName,
    UrlOrigin,
};
use domain::refusal::Kind;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const READ: &str = "read the GitOps repository";
/// How far back the newest commit that is not ours is looked for.
const MOST_NEWEST: usize = 30;

/// What we need to know before a deploy.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    pub gitops_repo: &'a RepoName,
    pub gitops_branch: &'a BranchName,
    /// The app's values file there.
    pub values: &'a FilePath,
    /// More values files.
    pub also: &'a [FilePath],
    pub catalog: &'a FilePath,
    /// Where the catalog's further files are.
    pub include: &'a [IncludePlace],
    /// The commit that is live, where one is known.
    pub live: Option<&'a CommitSha>,
    /// The files and folders whose commits since then are wanted; never empty.
    pub paths: &'a [String],
    /// The folders whose entries are compared with those at the live commit. The root is the empty text.
    pub folders: &'a [String],
    /// The app's own repository.
    pub app_repo: &'a RepoName,
    /// What to deploy of it.
    pub sought: &'a Sought,
    /// The files and folders that the app is built from, where CI builds only what has changed. Empty: all.
    pub built_from: &'a [FilePath],
    /// Whether each check is wanted, and not only what all come to.
    pub named_checks: bool,
    /// Whether the checks of the newest commits of the GitOps branch are wanted.
    pub status: bool,
    /// Whether the reviews of the pull request are wanted.
    pub reviews: bool,
    /// Another commit of the app's repository whose checks we want to know: that of an earlier version, whose
    /// branch may be gone.
    pub checks_of: Option<&'a CommitSha>,
}

/// What is looked for in the app's repository. Of a word that may mean several things, each of them is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sought {
    pub pull_request: Option<PullRequestNumber>,
    pub branch: Option<BranchName>,
    pub tag: Option<GitTag>,
    pub commit: Option<CommitDigits>,
    /// The branch that the commit, or that of the tag, has to be in. `None`: the default branch.
    pub of: Option<BranchName>,
}

impl Sought {
    /// Whether a commit has to be in a branch.
    fn compares(&self) -> bool {
        self.tag.is_some() || self.commit.is_some()
    }
}

impl From<&Reference> for Sought {
    fn from(reference: &Reference) -> Self {
        let nothing = Self::default();
        match reference {
            Reference::PullRequest(number) => Self { pull_request: Some(*number), ..nothing },
            Reference::Branch(branch) => Self { branch: Some(branch.clone()), ..nothing },
            Reference::Tag(tag) => Self { tag: Some(tag.clone()), ..nothing },
            Reference::Commit(sha) => Self { commit: CommitDigits::parse(sha.as_str()).ok(), ..nothing },
            Reference::Channel(_) => nothing,
        }
    }
}

/// Everything at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Our own account.
    pub viewer: GitHubLogin,
    /// The GitOps repository's page.
    pub url: String,
    /// Whether the GitOps branch is the repository's default branch.
    pub is_default: bool,
    pub head: CommitSha,
    /// The values file at that head.
    pub values: FileState,
    /// The other values files, in the order of the question.
    pub also: Vec<FileState>,
    /// The catalog at that head.
    pub catalog: FileState,
    /// What is at each place of [`Question::include`] at that head.
    pub included: Vec<Found>,
    /// The commits to [`Question::paths`] after the live one, of each path newest first.
    pub since_live: Vec<Touch>,
    /// Whether `since_live` goes back to the live commit, or to the first commit of all, for each path that is not
    /// as it was then. If not, it is the newest hundred.
    pub complete: bool,
    /// The entries of [`Question::folders`] that are not as they were at the live commit, each with Git's id of what is there
    /// now.
    pub changed: Vec<(String, String)>,
    /// The newest commits of the GitOps branch, the head first, each the parent of the one before; at most thirty. Empty if
    /// [`Question::status`] did not want them.
    pub newest: Vec<Newest>,
    /// What is to be deployed.
    pub source: SourceState,
    /// The checks of [`Question::checks_of`], as for a pull request. `None`: they were not asked for.
    pub checked: Option<CommitChecks>,
}

/// A commit of the GitOps branch, with its checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newest {
    pub sha: CommitSha,
    /// The deployments that its message names, which proves nothing.
    pub deploy_ids: Vec<DeploymentId>,
    pub checks: CommitChecks,
}

/// A commit that rides along.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touch {
    pub sha: CommitSha,
    /// The first line of its message (trimmed to 200 characters).
    pub headline: String,
    /// The deployments that its message names, which proves nothing.
    pub deploy_ids: Vec<DeploymentId>,
    /// The author's account, where GitHub knows one.
    pub login: Option<GitHubLogin>,
    /// The author's name, as the commit claims it.
    pub name: String,
    /// A path that the commit touched is not as it was at the live commit.
    pub lasts: bool,
}

/// What is to be deployed, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceState {
    /// No such repository, or we may not see it.
    NoRepository,
    NoPullRequest,
    NoBranch,
    /// Nothing was looked for, or nothing of all that was.
    Nothing,
    /// The word means all of these.
    Several(Vec<Kind>),
    /// GitHub shows the commit, also one that is only in a fork. So it has to be in a branch, or the head of a pull request.
    NotInBranch {
        head: CommitSha,
        branch: BranchName,
    },
    PullRequest {
        number: PullRequestNumber,
        open: PrState,
        draft: bool,
        /// Its head is in another repository, or in one that is gone.
        from_fork: bool,
        branch: BranchName,
        /// The branch it wants to be merged into.
        base: BranchName,
        head: CommitSha,
        /// Its title (trimmed to 200 characters).
        title: String,
        /// Who opened it, while the account exists.
        author: Option<GitHubLogin>,
        url: String,
        /// Of its newest commit.
        checks: CommitChecks,
        /// See [`Build`]; none if [`Question::built_from`] is empty.
        builds: Vec<Build>,
        /// Empty if [`Question::reviews`] did not want them.
        reviews: ReviewsState,
    },
    Branch {
        branch: BranchName,
        head: CommitSha,
        /// The first line of that commit's message.
        title: String,
        /// As for a pull request.
        checks: CommitChecks,
        /// As for a pull request.
        builds: Vec<Build>,
        /// Those of the pull request that the newest commit is the merge of, if both have the same files. Empty if
        /// [`Question::reviews`] did not want them.
        reviews: ReviewsState,
    },
    /// A commit that is in a branch, or that of a Git tag.
    Commit {
        reference: Reference,
        /// The branch that it is in. `None`: a tag elsewhere.
        branch: Option<BranchName>,
        head: CommitSha,
        /// The first line of its message.
        title: String,
        /// As for a pull request.
        checks: CommitChecks,
        /// As for a pull request.
        builds: Vec<Build>,
        /// As for a branch whose newest commit this is.
        reviews: ReviewsState,
    },
}

impl SourceState {
    pub fn builds(&self) -> &[Build] {
        match self {
            Self::PullRequest { builds, .. } | Self::Branch { builds, .. } | Self::Commit { builds, .. } => builds,
            Self::NoRepository
            | Self::NoPullRequest
            | Self::NoBranch
            | Self::Nothing
            | Self::Several(_)
            | Self::NotInBranch { .. } => &[],
        }
    }
}

/// Whether a pull request is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrState {
    Open,
    /// Closed without a merge.
    Closed,
    Merged,
}

const SNAPSHOT_VARIABLES: &str = "$gitopsOwner: String!, $gitopsName: String!, $gitopsRef: String!, $values: String!, \
     $catalog: String!, $appOwner: String!, $appName: String!";
const ENTRIES: &str = "entries { name oid }";
const TOUCHES: &str = "{ nodes { oid message author { name user { login } } } }";
const PULL_REQUEST: &str =
    "number state isDraft isCrossRepository headRefName headRefOid headRepository { nameWithOwner } \
     baseRefName title url
      author { login } commits(last: 1) { nodes { commit { oid";
const BRANCH: &str = "oid ... on Commit { messageHeadline";
/// Whether the commit of the tag is in the branch.
const OF_TAG: &str = "ofTag";
const OF_COMMIT: &str = "ofCommit";

pub fn snapshot_request(api: &UrlOrigin, question: &Question<'_>) -> Request {
    graphql(api, &snapshot_query(question), &snapshot_variables(question)).max_answer(MAX_ANSWER)
}

/// What is to be deployed, and the variables that name it.
fn source_query(question: &Question<'_>) -> (String, String) {
    let (sought, rollup) = (question.sought, rollup(question.named_checks));
    let builds = builds_query(question.built_from.len(), question.named_checks);
    let (mut variables, mut parts) = (String::new(), String::new());
    let mut add = |variable: &str, part: String| {
        variables.push_str(&format!(", {variable}"));
        parts.push_str(&format!("\n    {part}"));
    };
    let reviews = if question.reviews { [HEAD_AUTHOR, REVIEWS].concat() } else { String::new() };
    let pull_request = format!("{PULL_REQUEST} {rollup}{builds} }} }} }}{reviews}\n    }}");
    let merged = if question.reviews { format!("{MERGED}{REVIEWS} }} }}") } else { String::new() };
    let head = format!("{BRANCH} {rollup}{builds}{merged} }}");
    if sought.pull_request.is_some() {
        add("$number: Int!", format!("pullRequest(number: $number) {{\n      {pull_request}"));
    }
    if sought.branch.is_some() {
        add("$appRef: String!", format!("ref(qualifiedName: $appRef) {{\n      target {{ {head} }}\n    }}"));
    }
    if sought.tag.is_some() {
        let target = format!("target {{ __typename {head} ... on Tag {{ target {{ __typename {head} }} }} }}");
        add("$appTag: String!", format!("tag: ref(qualifiedName: $appTag) {{\n      {target}\n    }}"));
    }
    if sought.commit.is_some() {
        let open = format!("open: associatedPullRequests(first: 20) {{ nodes {{ {pull_request} }}");
        let commit = format!("__typename {head} ... on Commit {{ {open} }}");
        add("$commit: String!", format!("commit: object(expression: $commit) {{ {commit} }}"));
    }
    if sought.compares() {
        let of = |alias, variable| format!(" {alias}: compare(headRef: {variable}) {{ aheadBy headTarget {{ oid }} }}");
        let tag = if sought.tag.is_some() { of(OF_TAG, "$appTag") } else { String::new() };
        let commit = if sought.commit.is_some() { of(OF_COMMIT, "$commit") } else { String::new() };
        match sought.of {
            Some(_) => add("$of: String!", format!("base: ref(qualifiedName: $of) {{ name{tag}{commit} }}")),
            None => parts.push_str(&format!("\n    base: defaultBranchRef {{ name{tag}{commit} }}")),
        }
    }
    (variables, parts)
}

fn snapshot_query(question: &Question<'_>) -> String {
    let (source_variables, source) = source_query(question);
    let (checked_variable, checked) = match question.checks_of {
        Some(_) => {
            let rollup = rollup(question.named_checks);
            let checked = format!("\n    checked: object(oid: $checked) {{ ... on Commit {{ {rollup} }} }}");
            (", $checked: GitObjectID!", checked)
        }
        None => ("", String::new()),
    };
    // The first file is in every query. Each other file has its own part, each path its history, and each folder its
    // entries. What a path or folder is now is compared with what it was at the live commit.
    let ((mut more_variables, mut more), mut live) = (ask_included(question.include), String::new());
    for n in 0..question.also.len() {
        more_variables.push_str(&format!(", $also{n}: String!"));
        more.push_str(&format!("\n      also{n}: file(path: $also{n}) {{ {FILE} }}"));
    }
    for n in 0..question.built_from.len() {
        more_variables.push_str(&format!(", $built{n}: String!"));
    }
    for n in 0..question.paths.len() {
        more_variables.push_str(&format!(", $path{n}: String!"));
        more.push_str(&format!("\n      history{n}: history(first: {COMMITS_READ}, path: $path{n}) {TOUCHES}"));
        if question.live.is_some() {
            let at = format!("\n      path{n}: file(path: $path{n}) {{ oid }}");
            more.push_str(&at);
            live.push_str(&format!("{at}\n      last{n}: history(first: 1, path: $path{n}) {{ nodes {{ oid }} }}"));
        }
    }
    if question.status {
        more.push_str(&newest_query());
    }
    for (n, folder) in question.folders.iter().enumerate().filter(|_| question.live.is_some()) {
        let entries = match folder.as_str() {
            "" => format!("\n      folder{n}: tree {{ {ENTRIES} }}"),
            _ => {
                more_variables.push_str(&format!(", $folder{n}: String!"));
                format!("\n      folder{n}: file(path: $folder{n}) {{ object {{ ... on Tree {{ {ENTRIES} }} }} }}")
            }
        };
        more.push_str(&entries);
        live.push_str(&entries);
    }
    if question.live.is_some() {
        more_variables.push_str(", $live: GitObjectID!");
        live = format!("\n    live: object(oid: $live) {{ ... on Commit {{{live}\n    }} }}");
    }
    format!(
        "query({SNAPSHOT_VARIABLES}{source_variables}{checked_variable}{more_variables}) {{
  viewer {{ login }}
  gitops: repository(owner: $gitopsOwner, name: $gitopsName) {{
    url
    defaultBranchRef {{ name }}
    ref(qualifiedName: $gitopsRef) {{ target {{ oid ... on Commit {{
      values: file(path: $values) {{ {FILE} }}
      catalog: file(path: $catalog) {{ {FILE} }}{more}
    }} }} }}{live}
  }}
  app: repository(owner: $appOwner, name: $appName) {{
    nameWithOwner{source}{checked}
  }}
}}"
    )
}

fn snapshot_variables(question: &Question<'_>) -> Value {
    let values = question.values.as_str();
    let sought = question.sought;
    // GraphQL's Int ends at 2^31 - 1; beyond it GitHub would complain about the variable instead of the pull request.
    let number = sought.pull_request.map(|number| i32::try_from(number.0).unwrap_or(i32::MAX));
    let mut variables = without_nulls(json!({
        "gitopsOwner": question.gitops_repo.owner(),
        "gitopsName": question.gitops_repo.name(),
        "gitopsRef": qualified(question.gitops_branch),
        "values": values,
        "catalog": question.catalog.as_str(),
        "appOwner": question.app_repo.owner(),
        "appName": question.app_repo.name(),
        "number": number,
        "appRef": sought.branch.as_ref().map(qualified),
        "appTag": sought.tag.as_ref().map(|tag| format!("refs/tags/{tag}")),
        "commit": sought.commit,
        "of": sought.of.as_ref().map(qualified),
        "checked": question.checks_of,
        "live": question.live,
    }));
    name_included(&mut variables, question.include);
    if let Some(variables) = variables.as_object_mut() {
        for (n, file) in question.also.iter().enumerate() {
            variables.insert(format!("also{n}"), json!(file));
        }
        variables.extend(question.built_from.iter().enumerate().map(|(n, path)| (format!("built{n}"), json!(path))));
        variables.extend(question.paths.iter().enumerate().map(|(n, path)| (format!("path{n}"), json!(path))));
        let folders = question.folders.iter().enumerate().filter(|(_, folder)| !folder.is_empty());
        let folders = folders.filter(|_| question.live.is_some());
        variables.extend(folders.map(|(n, folder)| (format!("folder{n}"), json!(folder))));
    }
    variables
}

pub fn read_snapshot(question: &Question<'_>, response: &Response) -> Result<Snapshot, ReadError> {
    let data = read_data(response, READ)?;
    let (repository, head) = read_head(&data, "gitops", READ)?;
    let read = || {
        // Absent if the commit is gone.
        let live = data.pointer("/gitops/live").filter(|live| live.is_object());
        let (mut since_live, mut complete): (Vec<Touch>, bool) = (Vec::new(), true);
        for n in 0..question.paths.len() {
            let (more, whole) = read_touches(head, live, n, question.live)?;
            // A commit may have touched several of them.
            for touch in more {
                match since_live.iter_mut().find(|known| known.sha == touch.sha) {
                    Some(known) => known.lasts |= touch.lasts,
                    None => since_live.push(touch),
                }
            }
            complete &= whole;
        }
        let changed = read_changed(head, live, question.folders)?;
        Ok(Snapshot {
            viewer: login(&data, "/viewer/login").ok_or("our own login")?,
            url: text(repository, "/url").ok_or("the repository's page")?.to_owned(),
            is_default: text(repository, "/defaultBranchRef/name") == Some(question.gitops_branch.as_str()),
            head: commit_sha(head, "/oid")?,
            values: read_file(head, "values")?,
            also: (0..question.also.len()).map(|n| read_file(head, &format!("also{n}"))).collect::<Part<_>>()?,
            catalog: read_file(head, "catalog")?,
            included: read_found(head, question.include)?,
            since_live,
            complete,
            changed,
            newest: if question.status { read_newest(head)? } else { Vec::new() },
            source: read_source(&data, question)?,
            checked: question.checks_of.map(|_| data.pointer("/app/checked").map(read_checks).unwrap_or_default()),
        })
    };
    read().map_err(|part| nonsense(READ, part).into())
}

pub async fn snapshot(http: &impl Http, gh: &GitHub, question: &Question<'_>) -> Result<Snapshot, ReadError> {
    read_snapshot(question, &send(http, gh, snapshot_request(&gh.url, question), READ).await?)
}

/// The commits to a path after the live one, and whether those are all that matter. A list that is not full ends with
/// the first commit of all.
fn read_touches(
    head: &Value,
    live: Option<&Value>,
    n: usize,
    live_sha: Option<&CommitSha>,
) -> Part<(Vec<Touch>, bool)> {
    let last = live.and_then(|live| text(live, &format!("/last{n}/nodes/0/oid")));
    let oid = |commit: &Value| text(commit, &format!("/path{n}/oid")).map(str::to_owned);
    // Changed and changed back is as it was.
    let lasts = live.is_none_or(|live| oid(live) != oid(head));
    let mut touches = Vec::new();
    let nodes = nodes(head, &format!("/history{n}/nodes"))?;
    for node in nodes {
        let sha = commit_sha(node, "/oid")?;
        if Some(&sha) == live_sha || Some(sha.as_str()) == last {
            return Ok((touches, true));
        }
        let message = text(node, "/message").unwrap_or_default();
        touches.push(Touch {
            sha,
            headline: words(message.lines().next().unwrap_or_default()),
            deploy_ids: message::deploy_ids(message),
            login: login(node, "/author/user/login"),
            name: words(text(node, "/author/name").unwrap_or_default()),
            lasts,
        });
    }
    Ok((touches, nodes.len() < COMMITS_READ || !lasts))
}

fn newest_query() -> String {
    let rollup = rollup(true);
    let nodes = format!("nodes {{ oid message parents(first: 1) {{ nodes {{ oid }} }} {rollup} }}");
    format!("\n      newest: history(first: {MOST_NEWEST}) {{ {nodes} }}")
}

/// From commit to first parent. GitHub's list goes by dates, which a commit may claim.
fn read_newest(head: &Value) -> Part<Vec<Newest>> {
    let listed = nodes(head, "/newest/nodes")?;
    let (mut newest, mut next) = (Vec::new(), text(head, "/oid"));
    while let Some(commit) = listed.iter().find(|commit| next.is_some() && text(commit, "/oid") == next)
        && newest.len() < listed.len()
    {
        let deploy_ids = message::deploy_ids(text(commit, "/message").unwrap_or_default());
        newest.push(Newest { sha: commit_sha(commit, "/oid")?, deploy_ids, checks: read_checks(commit) });
        next = text(commit, "/parents/nodes/0/oid");
    }
    Ok(newest)
}

/// The entries of the folders that differ from those at the live commit.
fn read_changed(head: &Value, live: Option<&Value>, folders: &[String]) -> Part<Vec<(String, String)>> {
    let Some(live) = live else { return Ok(Vec::new()) };
    let mut changed = Vec::new();
    for (n, folder) in folders.iter().enumerate() {
        let entries = |commit: &Value| -> Part<BTreeMap<String, String>> {
            let Some(entry) = nullable(commit, &format!("folder{n}"), "a folder")? else { return Ok(BTreeMap::new()) };
            let tree = if folder.is_empty() { entry } else { entry.get("object").unwrap_or(&Value::Null) };
            // A file has no entries.
            let Some(entries) = tree.get("entries").and_then(Value::as_array) else { return Ok(BTreeMap::new()) };
            let read = |entry: &Value| Some((text(entry, "/name")?.to_owned(), text(entry, "/oid")?.to_owned()));
            entries.iter().map(|entry| read(entry).ok_or("an entry of a folder")).collect()
        };
        let (now, then) = (entries(head)?, entries(live)?);
        let names: BTreeSet<&String> = now.keys().chain(then.keys()).collect();
        let differ = names.into_iter().filter(|name| now.get(*name) != then.get(*name));
        changed.extend(differ.map(|name| {
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            (path, now.get(name).cloned().unwrap_or_default())
        }));
    }
    Ok(changed)
}

/// What there is of what is looked for.
fn read_source(data: &Value, question: &Question<'_>) -> Part<SourceState> {
    let Some(app) = nullable(data, "app", "the app's repository")? else { return Ok(SourceState::NoRepository) };
    let (own_name, sought) = (text(app, "/nameWithOwner"), question.sought);
    let (mut found, mut kinds) = (Vec::new(), Vec::new());
    if let Some(number) = sought.pull_request {
        let pr = nullable(app, "pullRequest", "the pull request")?;
        return pr.map_or(Ok(SourceState::NoPullRequest), |pr| read_pull_request(number, own_name, pr, question));
    }
    if let Some(branch) = &sought.branch
        && let Some(found_branch) = nullable(app, "ref", "the app's branch")?
    {
        let target = found_branch.get("target").unwrap_or(&Value::Null);
        let (head, title, checks, builds, reviews) = read_commit(target, Some(branch), (own_name, question))?;
        kinds.push(Kind::Branch);
        found.push(SourceState::Branch { branch: branch.clone(), head, title, checks, builds, reviews });
    }
    let base = if sought.compares() { nullable(app, "base", "the branch to compare with")? } else { None };
    if sought.of.is_some() && base.is_none() {
        return Ok(SourceState::NoBranch);
    }
    if let Some(tag) = &sought.tag
        && let Some(target) = nullable(app, "tag", "the app's tag")?.and_then(|tag| tag.get("target"))
        // That of an annotated tag is a tag.
        && let Some(commit) = [Some(target), target.get("target")].into_iter().flatten().find(is_commit)
    {
        let oids = [text(target, "/oid"), text(commit, "/oid")];
        let branch = base.and_then(|base| branch_with(base, OF_TAG, &oids));
        let (head, title, checks, builds, reviews) = read_commit(commit, branch.as_ref(), (own_name, question))?;
        kinds.push(Kind::Tag);
        let reference = Reference::Tag(tag.clone());
        found.push(SourceState::Commit { reference, branch, head, title, checks, builds, reviews });
    }
    if let Some(digits) = &sought.commit {
        // A branch or a tag of such a name is what the digits mean to Git.
        let commit = nullable(app, "commit", "the app's commit")?.filter(is_commit);
        let commit = commit.filter(|commit| commit_sha(commit, "/oid").is_ok_and(|sha| digits.begin(&sha)));
        if commit.is_some() || !found.is_empty() {
            kinds.push(Kind::Commit);
        }
        found.extend(commit.map(|commit| read_known_commit(commit, base, (own_name, question))).transpose()?);
    }
    match (kinds.len(), found.pop()) {
        (2.., _) => Ok(SourceState::Several(kinds)),
        (_, Some(found)) => Ok(found),
        (_, None) if sought.branch.is_some() && !sought.compares() => Ok(SourceState::NoBranch),
        (_, None) => Ok(SourceState::Nothing),
    }
}

fn is_commit(object: &&Value) -> bool {
    text(object, "/__typename") == Some("Commit")
}

/// The branch, if it has the commit: compared with the branch, the commit brings nothing. `oids`: what may have been compared.
fn branch_with(base: &Value, alias: &str, oids: &[Option<&str>]) -> Option<BranchName> {
    let compared = base.get(alias)?;
    let is_it = oids.contains(&Some(text(compared, "/headTarget/oid")?));
    let brings_nothing = compared.get("aheadBy").and_then(Value::as_u64) == Some(0);
    BranchName::parse(text(base, "/name")?).ok().filter(|_| is_it && brings_nothing)
}

/// A commit that GitHub shows, which proves nothing: it shows those of forks, too.
fn read_known_commit(
    commit: &Value,
    base: Option<&Value>,
    (own_name, question): (Option<&str>, &Question<'_>),
) -> Part<SourceState> {
    let head = commit_sha(commit, "/oid")?;
    if let Some(branch) = base.and_then(|base| branch_with(base, OF_COMMIT, &[Some(head.as_str())])) {
        let (_, title, checks, builds, reviews) = read_commit(commit, Some(&branch), (own_name, question))?;
        let reference = Reference::Commit(head.clone());
        return Ok(SourceState::Commit { reference, branch: Some(branch), head, title, checks, builds, reviews });
    }
    let all = commit.pointer("/open/nodes").and_then(Value::as_array).filter(|_| question.sought.of.is_none());
    for pr in all.into_iter().flatten().filter(|pr| text(pr, "/headRefOid") == Some(head.as_str())) {
        let number = pr.get("number").and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok());
        let number = number.map(PullRequestNumber).ok_or("a pull request's number")?;
        let found = read_pull_request(number, own_name, pr, question)?;
        if matches!(found, SourceState::PullRequest { open: PrState::Open, from_fork: false, .. }) {
            return Ok(found);
        }
    }
    let branch = base.and_then(|base| text(base, "/name")).and_then(|name| BranchName::parse(name).ok());
    Ok(branch.map_or(SourceState::Nothing, |branch| SourceState::NotInBranch { head, branch }))
}

/// Its id, title, checks, builds and reviews.
type Commit = (CommitSha, String, CommitChecks, Vec<Build>, ReviewsState);

fn read_commit(
    commit: &Value,
    branch: Option<&BranchName>,
    (own_name, question): (Option<&str>, &Question<'_>),
) -> Part<Commit> {
    let reviews = own_name.zip(branch).filter(|_| question.reviews).and_then(|of| read_merged(commit, of));
    Ok((
        commit_sha(commit, "/oid")?,
        words(text(commit, "/messageHeadline").unwrap_or_default()),
        read_checks(commit),
        read_builds(commit, question.built_from.len()),
        reviews.unwrap_or_default(),
    ))
}

/// `own_name` is the repository's present name. The catalog may have an older name, from before a renaming.
fn read_pull_request(
    number: PullRequestNumber,
    own_name: Option<&str>,
    pr: &Value,
    question: &Question<'_>,
) -> Part<SourceState> {
    let branch = |pointer, part| text(pr, pointer).and_then(|name| BranchName::parse(name).ok()).ok_or(part);
    let same_repository = match (own_name, text(pr, "/headRepository/nameWithOwner")) {
        (Some(own), Some(head)) => own.eq_ignore_ascii_case(head),
        _ => false,
    };
    // Another commit says nothing: GitHub lists at most 250 commits of a pull request, so the last one may not be the head.
    let head = pr.pointer("/commits/nodes/0/commit").filter(|commit| commit.get("oid") == pr.get("headRefOid"));
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
        checks: head.map(read_checks).unwrap_or_default(),
        builds: head.map_or_else(Vec::new, |head| read_builds(head, question.built_from.len())),
        reviews: if question.reviews { read_reviews(pr)? } else { ReviewsState::default() },
    })
}

#[cfg(test)]
mod tests;
