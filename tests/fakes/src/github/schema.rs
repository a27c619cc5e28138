//! The part of GitHub's public GraphQL schema that the stand-in answers, and the answers. Names, arguments
//! and nullability are those of the public schema: add to [`SDL`] only what the public schema has, and answer
//! it below. A union is an interface without fields here.

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::git::{self, Commit, Person};
use super::graphql::{Arguments, FieldError, Objects, Resolved, Schema};
use super::{Access, Check, GitHub, Head, PullRequest, PullRequestState, Repository, Review, ReviewState};
use crate::Millis;

pub(super) static SCHEMA: LazyLock<Schema> =
    LazyLock::new(|| Schema::parse(SDL).expect("the schema below can be read"));

const SDL: &str = "
scalar URI scalar DateTime scalar GitTimestamp scalar GitObjectID scalar Base64String
enum PullRequestState { CLOSED MERGED OPEN }
enum PullRequestReviewState { APPROVED CHANGES_REQUESTED COMMENTED DISMISSED PENDING }
enum StatusState { ERROR EXPECTED FAILURE PENDING SUCCESS }
enum CheckConclusionState { ACTION_REQUIRED CANCELLED FAILURE NEUTRAL SKIPPED STALE STARTUP_FAILURE SUCCESS TIMED_OUT }
enum CheckStatusState { COMPLETED IN_PROGRESS PENDING QUEUED REQUESTED WAITING }
enum GitSignatureState { VALID UNSIGNED INVALID }
enum RepositoryPermission { ADMIN MAINTAIN READ TRIAGE WRITE }
enum OrderDirection { ASC DESC }
enum PullRequestOrderField { CREATED_AT UPDATED_AT }
enum IssueOrderField { COMMENTS CREATED_AT UPDATED_AT }
enum RefOrderField { ALPHABETICAL TAG_COMMIT_DATE }
type Query {
  viewer: User!
  repository(followRenames: Boolean = true, name: String!, owner: String!): Repository
  rateLimit(dryRun: Boolean = false): RateLimit
}
type RateLimit { cost: Int! limit: Int! remaining: Int! resetAt: DateTime! used: Int! }
interface Actor { login: String! url: URI! }
interface RepositoryOwner { login: String! url: URI! }
type User implements Actor & RepositoryOwner { databaseId: Int login: String! name: String url: URI! }
type Bot implements Actor { databaseId: Int login: String! url: URI! }
type Organization implements Actor & RepositoryOwner { databaseId: Int login: String! name: String url: URI! }
type Repository {
  databaseId: Int isArchived: Boolean! isPrivate: Boolean! name: String! nameWithOwner: String! owner: RepositoryOwner! url: URI!
  viewerPermission: RepositoryPermission
  defaultBranchRef: Ref
  ref(qualifiedName: String!): Ref
  refs(after: String, before: String, direction: OrderDirection, first: Int, last: Int, orderBy: RefOrder, query: String, refPrefix: String!): RefConnection
  object(expression: String, oid: GitObjectID): GitObject
  pullRequest(number: Int!): PullRequest
  pullRequests(after: String, baseRefName: String, before: String, first: Int, headRefName: String, last: Int, orderBy: IssueOrder, states: [PullRequestState!]): PullRequestConnection!
}
type Ref { name: String! prefix: String! repository: Repository! target: GitObject }
type RefConnection { nodes: [Ref] pageInfo: PageInfo! totalCount: Int! }
interface GitObject { abbreviatedOid: String! commitUrl: URI! oid: GitObjectID! repository: Repository! }
type Commit implements GitObject {
  abbreviatedOid: String! commitUrl: URI! oid: GitObjectID! repository: Repository!
  associatedPullRequests(after: String, before: String, first: Int, last: Int, orderBy: PullRequestOrder): PullRequestConnection
  additions: Int! deletions: Int! changedFiles: Int! changedFilesIfAvailable: Int
  author: GitActor committer: GitActor authoredDate: DateTime! committedDate: DateTime! committedViaWeb: Boolean!
  message: String! messageBody: String! messageHeadline: String!
  file(path: String!): TreeEntry
  history(after: String, author: CommitAuthor, before: String, first: Int, last: Int, path: String, since: GitTimestamp, until: GitTimestamp): CommitHistoryConnection!
  parents(after: String, before: String, first: Int, last: Int): CommitConnection!
  signature: GitSignature
  statusCheckRollup: StatusCheckRollup
  tree: Tree!
  url: URI!
}
input IssueOrder { direction: OrderDirection! field: IssueOrderField! }
input RefOrder { direction: OrderDirection! field: RefOrderField! }
input PullRequestOrder { direction: OrderDirection! field: PullRequestOrderField! }
type PullRequestConnection { nodes: [PullRequest] pageInfo: PageInfo! totalCount: Int! }
input CommitAuthor { emails: [String!] id: ID }
type CommitHistoryConnection { nodes: [Commit] pageInfo: PageInfo! totalCount: Int! }
type CommitConnection { nodes: [Commit] pageInfo: PageInfo! totalCount: Int! }
type PageInfo { endCursor: String hasNextPage: Boolean! hasPreviousPage: Boolean! startCursor: String }
type GitActor { date: GitTimestamp email: String name: String user: User }
interface GitSignature {
  email: String! isValid: Boolean! payload: String! signature: String! signer: User state: GitSignatureState! wasSignedByGitHub: Boolean!
}
type GpgSignature implements GitSignature {
  email: String! isValid: Boolean! keyId: String payload: String! signature: String! signer: User state: GitSignatureState! wasSignedByGitHub: Boolean!
}
type StatusCheckRollup {
  commit: Commit state: StatusState!
  contexts(after: String, before: String, first: Int, last: Int): StatusCheckRollupContextConnection!
}
type StatusCheckRollupContextConnection { nodes: [StatusCheckRollupContext] pageInfo: PageInfo! totalCount: Int! }
interface StatusCheckRollupContext { }
type CheckRun implements StatusCheckRollupContext {
  completedAt: DateTime conclusion: CheckConclusionState name: String! startedAt: DateTime status: CheckStatusState!
}
type StatusContext implements StatusCheckRollupContext { context: String! createdAt: DateTime! state: StatusState! }
type Tree implements GitObject { abbreviatedOid: String! commitUrl: URI! entries: [TreeEntry!] oid: GitObjectID! repository: Repository! }
type TreeEntry {
  extension: String mode: Int! name: String! nameRaw: Base64String! object: GitObject oid: GitObjectID! path: String pathRaw: Base64String
  repository: Repository! size: Int! type: String!
}
type Blob implements GitObject {
  abbreviatedOid: String! byteSize: Int! commitUrl: URI! isBinary: Boolean isTruncated: Boolean! oid: GitObjectID! repository: Repository! text: String
}
type PullRequest {
  author: Actor baseRef: Ref baseRefName: String! baseRefOid: GitObjectID! baseRepository: Repository closed: Boolean!
  commits(after: String, before: String, first: Int, last: Int): PullRequestCommitConnection!
  headRef: Ref headRefName: String! headRefOid: GitObjectID! headRepository: Repository headRepositoryOwner: RepositoryOwner
  latestOpinionatedReviews(after: String, before: String, first: Int, last: Int, writersOnly: Boolean = false): PullRequestReviewConnection
  isCrossRepository: Boolean! isDraft: Boolean! mergeCommit: Commit merged: Boolean! number: Int! state: PullRequestState!
  statusCheckRollup: StatusCheckRollup title: String! url: URI!
}
type PullRequestReviewConnection { nodes: [PullRequestReview] pageInfo: PageInfo! totalCount: Int! }
type PullRequestReview {
  author: Actor authorCanPushToRepository: Boolean! commit: Commit pullRequest: PullRequest! state: PullRequestReviewState! url: URI!
}
type PullRequestCommitConnection { nodes: [PullRequestCommit] pageInfo: PageInfo! totalCount: Int! }
type PullRequestCommit { commit: Commit! pullRequest: PullRequest! url: URI! }
type Mutation { createCommitOnBranch(input: CreateCommitOnBranchInput!): CreateCommitOnBranchPayload }
input CreateCommitOnBranchInput {
  branch: CommittableBranch! clientMutationId: String expectedHeadOid: GitObjectID! fileChanges: FileChanges message: CommitMessage!
}
input CommittableBranch { branchName: String id: ID repositoryNameWithOwner: String }
input CommitMessage { body: String headline: String! }
input FileChanges { additions: [FileAddition!] = [] deletions: [FileDeletion!] = [] }
input FileAddition { contents: Base64String! path: String! }
input FileDeletion { path: String! }
type CreateCommitOnBranchPayload { clientMutationId: String commit: Commit ref: Ref }
";

/// Text longer than this is cut in `Blob.text`.
const LONGEST_TEXT: usize = 512 * 1024;

/// Names one object: everything is looked up again when a field of it is asked for.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Query,
    Mutation,
    RateLimit,
    Account(&'static str, String),
    Repository(String),
    /// A repository that exists only by name: the fork of a pull request.
    Fork(String),
    Ref(String, String),
    Commit(String, String),
    Tree(String, String, String),
    TreeEntry(String, String, String),
    Blob(String, String),
    Actor(Person, Millis),
    Signature,
    Rollup(String, String),
    /// One of the checks of a commit.
    Check(String, String, usize),
    PullRequest(String, u64),
    PullRequestCommit(String, u64, String),
    Review(String, u64, usize),
    Connection(&'static str, Page),
    PageInfo(Page),
    Committed(String, String, String, Value),
}

/// A part of a list.
#[derive(Clone, Debug)]
pub(super) struct Page {
    nodes: Vec<Node>,
    first: usize,
    total: usize,
}

pub(super) type Answer = Result<Resolved<Node>, FieldError>;

fn leaf(value: impl Into<Value>) -> Answer {
    Ok(Resolved::Leaf(value.into()))
}

pub(super) fn node(node: Node) -> Answer {
    Ok(Resolved::Node(node))
}

fn maybe(found: Option<Node>) -> Answer {
    found.map_or_else(|| leaf(Value::Null), node)
}

pub(super) fn error(kind: &'static str, message: impl Into<String>) -> FieldError {
    FieldError { kind, message: message.into() }
}

fn text<'a>(arguments: &'a Arguments, name: &str) -> Option<&'a str> {
    arguments.get(name).and_then(Value::as_str)
}

impl Objects for GitHub {
    type Node = Node;

    fn type_of(&self, node: &Node) -> &'static str {
        match node {
            Node::Query => "Query",
            Node::Mutation => "Mutation",
            Node::RateLimit => "RateLimit",
            Node::Account(kind, _) | Node::Connection(kind, _) => kind,
            Node::Repository(_) | Node::Fork(_) => "Repository",
            Node::Ref(..) => "Ref",
            Node::Commit(..) => "Commit",
            Node::Tree(..) => "Tree",
            Node::TreeEntry(..) => "TreeEntry",
            Node::Blob(..) => "Blob",
            Node::Actor(..) => "GitActor",
            Node::Signature => "GpgSignature",
            Node::Rollup(..) => "StatusCheckRollup",
            Node::Check(key, sha, index) => match self.known(key).runs[sha][*index] {
                Check::Run { .. } => "CheckRun",
                Check::Status { .. } => "StatusContext",
            },
            Node::PullRequest(..) => "PullRequest",
            Node::PullRequestCommit(..) => "PullRequestCommit",
            Node::Review(..) => "PullRequestReview",
            Node::PageInfo(_) => "PageInfo",
            Node::Committed(..) => "CreateCommitOnBranchPayload",
        }
    }

    fn resolve(&mut self, of: &Node, field: &str, arguments: &Arguments) -> Answer {
        match of {
            Node::Query => self.query_field(field, arguments),
            Node::Mutation => self.create_commit(&arguments["input"]),
            Node::RateLimit => match field {
                "cost" => leaf(1),
                "limit" => leaf(self.rate.limit),
                "remaining" => leaf(self.rate.limit.saturating_sub(self.rate.used)),
                "used" => leaf(self.rate.used),
                _ => leaf(git::rfc3339(self.rate.resets_at)),
            },
            Node::Account(_, login) => match field {
                "databaseId" => leaf(git::account_id(login)),
                "url" => leaf(format!("{}/{login}", self.web)),
                _ => leaf(login.as_str()),
            },
            Node::Repository(key) => self.repository_field(key, field, arguments),
            Node::Fork(name) => match field {
                "nameWithOwner" => leaf(name.as_str()),
                "name" => leaf(name.rsplit('/').next().unwrap_or_default()),
                "owner" => node(Node::Account("User", name.split('/').next().unwrap_or_default().to_owned())),
                "url" => leaf(format!("{}/{name}", self.web)),
                "databaseId" => leaf(git::account_id(name)),
                "isArchived" | "isPrivate" => leaf(false),
                "pullRequest" => Err(error("NOT_FOUND", "Could not resolve to a PullRequest.")),
                "pullRequests" => page("PullRequestConnection", "pullRequests", arguments, Vec::new()),
                _ => leaf(Value::Null),
            },
            Node::Ref(key, branch) => match field {
                "name" => leaf(branch.as_str()),
                "prefix" => leaf("refs/heads/"),
                "repository" => node(Node::Repository(key.clone())),
                _ => maybe(self.known(key).branches.get(branch).map(|sha| Node::Commit(key.clone(), sha.clone()))),
            },
            Node::Commit(key, sha) => self.commit_field(key, sha, field, arguments),
            Node::Tree(key, sha, folder) => self.tree_field(key, sha, folder, field),
            Node::TreeEntry(key, sha, path) => self.entry_field(key, sha, path, field),
            Node::Blob(key, sha) => self.blob_field(key, sha, field),
            Node::Actor(person, at) => match field {
                "date" => leaf(git::rfc3339(*at)),
                "email" => leaf(person.email.as_str()),
                "name" => leaf(person.name.as_str()),
                // Typed as a user even when it is a bot.
                _ => maybe(person.login().map(|login| Node::Account("User", login))),
            },
            Node::Signature => match field {
                "email" => leaf("noreply@github.com"),
                "isValid" | "wasSignedByGitHub" => leaf(true),
                "keyId" => leaf("B5690EEEBB952194"),
                "signer" => node(Node::Account("User", "web-flow".to_owned())),
                "state" => leaf("VALID"),
                _ => leaf(""),
            },
            Node::Rollup(key, sha) => match field {
                "commit" => node(Node::Commit(key.clone(), sha.clone())),
                "contexts" => {
                    let count = self.known(key).runs.get(sha).map_or(0, Vec::len);
                    let nodes = (0..count).map(|index| Node::Check(key.clone(), sha.clone(), index)).collect();
                    page("StatusCheckRollupContextConnection", field, arguments, nodes)
                }
                _ => leaf(self.known(key).checks.get(sha).map_or(Value::Null, |checks| json!(checks.name()))),
            },
            Node::Check(key, sha, index) => self.check_field(key, sha, *index, field),
            Node::PullRequest(key, number) => self.pull_request_field(key, *number, field, arguments),
            Node::PullRequestCommit(key, number, sha) => match field {
                "commit" => node(Node::Commit(key.clone(), sha.clone())),
                "pullRequest" => node(Node::PullRequest(key.clone(), *number)),
                _ => leaf(format!("{}/pull/{number}/commits/{sha}", self.known(key).url(&self.web))),
            },
            Node::Review(key, number, index) => self.review_field(key, *number, *index, field),
            Node::Connection(_, page) => match field {
                "nodes" => Ok(Resolved::Nodes(page.nodes.clone())),
                "totalCount" => leaf(page.total),
                _ => node(Node::PageInfo(page.clone())),
            },
            Node::PageInfo(page) => {
                let end = page.first + page.nodes.len();
                let cursor =
                    |at: usize| if page.nodes.is_empty() { Value::Null } else { json!(format!("cursor:{at}")) };
                match field {
                    "hasNextPage" => leaf(end < page.total),
                    "hasPreviousPage" => leaf(page.first > 0),
                    "startCursor" => leaf(cursor(page.first)),
                    _ => leaf(cursor(end.saturating_sub(1))),
                }
            }
            Node::Committed(key, branch, sha, client_id) => match field {
                "clientMutationId" => leaf(client_id.clone()),
                "commit" => node(Node::Commit(key.clone(), sha.clone())),
                _ => node(Node::Ref(key.clone(), branch.clone())),
            },
        }
    }
}

/// Cuts a page out of a list, with GitHub's rules: one of `first` and `last`, at most 100.
fn page(kind: &'static str, name: &str, arguments: &Arguments, nodes: Vec<Node>) -> Answer {
    let number = |name: &str| arguments.get(name).and_then(Value::as_u64).map(|number| number as usize);
    let total = nodes.len();
    let (bound, count) = match (number("first"), number("last")) {
        (Some(count), _) => ("first", count),
        (None, Some(count)) => ("last", count),
        (None, None) => {
            let message =
                format!("You must provide a `first` or `last` value to properly paginate the `{name}` connection.");
            return Err(error("MISSING_PAGINATION_BOUNDARIES", message));
        }
    };
    if count > 100 {
        let message = format!(
            "Requesting {count} records on the `{name}` connection exceeds the `{bound}` limit of 100 records."
        );
        return Err(error("EXCESSIVE_PAGINATION", message));
    }
    let place = |name: &str| match text(arguments, name) {
        None => Ok(None),
        Some(cursor) => match cursor.strip_prefix("cursor:").and_then(|at| at.parse::<usize>().ok()) {
            Some(at) => Ok(Some(at)),
            None => Err(error("INVALID_CURSOR_ARGUMENTS", format!("`{cursor}` does not appear to be a valid cursor."))),
        },
    };
    let from = place("after")?.map_or(0, |at| at + 1).min(total);
    let to = place("before")?.unwrap_or(total).clamp(from, total);
    let (from, to) =
        if bound == "first" { (from, to.min(from + count)) } else { (from.max(to.saturating_sub(count)), to) };
    let nodes = nodes.into_iter().skip(from).take(to - from).collect();
    node(Node::Connection(kind, Page { nodes, first: from, total }))
}

impl GitHub {
    fn query_field(&mut self, field: &str, arguments: &Arguments) -> Answer {
        match field {
            "viewer" => node(Node::Account("User", self.bot_login.clone())),
            "rateLimit" => node(Node::RateLimit),
            _ => {
                let name = format!(
                    "{}/{}",
                    text(arguments, "owner").unwrap_or_default(),
                    text(arguments, "name").unwrap_or_default()
                );
                node(Node::Repository(self.readable(&name)?.to_owned()))
            }
        }
    }

    /// The key of a repository that the token may read.
    pub(super) fn readable(&self, name: &str) -> Result<&str, FieldError> {
        match self.repositories.get_key_value(&name.to_lowercase()) {
            Some((key, repository)) if repository.access != Access::None => Ok(key),
            _ => Err(error("NOT_FOUND", format!("Could not resolve to a Repository with the name '{name}'."))),
        }
    }

    fn known(&self, key: &str) -> &Repository {
        &self.repositories[key]
    }

    fn account(&self, login: &str) -> Node {
        let is_owner = self.repositories.keys().any(|key| key.split('/').next() == Some(&login.to_lowercase()));
        let kind = if login.ends_with("[bot]") {
            "Bot"
        } else if is_owner {
            "Organization"
        } else {
            "User"
        };
        Node::Account(kind, login.to_owned())
    }

    fn repository_field(&mut self, key: &str, field: &str, arguments: &Arguments) -> Answer {
        let repository = self.known(key);
        let branch =
            |name: &str| repository.branches.contains_key(name).then(|| Node::Ref(key.to_owned(), name.to_owned()));
        match field {
            "databaseId" => leaf(repository.id()),
            "isArchived" => leaf(false),
            "isPrivate" => leaf(true),
            "name" => leaf(repository.name()),
            "nameWithOwner" => leaf(repository.full_name.as_str()),
            "owner" => node(self.account(repository.owner())),
            "url" => leaf(repository.url(&self.web)),
            "viewerPermission" => leaf(if repository.access == Access::Write { "WRITE" } else { "READ" }),
            "defaultBranchRef" => maybe(branch(&repository.default_branch)),
            "ref" => {
                let name = text(arguments, "qualifiedName").unwrap_or_default();
                maybe(branch(name.strip_prefix("refs/heads/").unwrap_or(name)))
            }
            "refs" => {
                let wanted = text(arguments, "query").unwrap_or_default();
                let is_heads = text(arguments, "refPrefix") == Some("refs/heads/");
                let mut names: Vec<_> =
                    repository.branches.keys().filter(|name| is_heads && name.contains(wanted)).collect();
                let order = &arguments.get("orderBy").cloned().unwrap_or_default();
                if order["field"] == "TAG_COMMIT_DATE" {
                    let at = |name: &&String| {
                        let head = &repository.objects.commits[&repository.branches[*name]];
                        (head.at, head.order)
                    };
                    names.sort_by_key(at);
                }
                if text(arguments, "direction") == Some("DESC") || order["direction"] == "DESC" {
                    names.reverse();
                }
                let refs = names.into_iter().map(|name| Node::Ref(key.to_owned(), name.clone())).collect();
                page("RefConnection", "refs", arguments, refs)
            }
            "pullRequests" => {
                let states = arguments.get("states").and_then(Value::as_array);
                let is_wanted = |pull_request: &PullRequest| {
                    states.is_none_or(|states| states.iter().any(|state| state == pull_request.state.name()))
                };
                let all = repository.pull_requests.values().filter(|pull_request| is_wanted(pull_request));
                let mut numbers: Vec<u64> = all.map(|pull_request| pull_request.number).collect();
                if arguments.get("orderBy").is_some_and(|order| order["direction"] == "DESC") {
                    numbers.reverse();
                }
                let nodes = numbers.into_iter().map(|number| Node::PullRequest(key.to_owned(), number)).collect();
                page("PullRequestConnection", "pullRequests", arguments, nodes)
            }
            "object" => {
                let expression = text(arguments, "expression").or(text(arguments, "oid")).unwrap_or_default();
                maybe(repository.object(key, expression))
            }
            _ => {
                let number = arguments["number"].as_u64().unwrap_or_default();
                if !repository.pull_requests.contains_key(&number) {
                    let number = &arguments["number"];
                    return Err(error(
                        "NOT_FOUND",
                        format!("Could not resolve to a PullRequest with the number of {number}."),
                    ));
                }
                node(Node::PullRequest(key.to_owned(), number))
            }
        }
    }

    fn commit_field(&mut self, key: &str, sha: &str, field: &str, arguments: &Arguments) -> Answer {
        let repository = self.known(key);
        let commit = &repository.objects.commits[sha];
        let own = |sha: &str| Node::Commit(key.to_owned(), sha.to_owned());
        let (added, deleted) = line_changes(repository, commit);
        match field {
            "abbreviatedOid" => leaf(&sha[..7]),
            "commitUrl" | "url" => leaf(format!("{}/commit/{sha}", repository.url(&self.web))),
            "oid" => leaf(sha),
            "repository" => node(Node::Repository(key.to_owned())),
            "additions" => leaf(added),
            "deletions" => leaf(deleted),
            "changedFiles" | "changedFilesIfAvailable" => leaf(commit.changed().len()),
            "author" => node(Node::Actor(commit.author.clone(), commit.at)),
            "committer" => node(Node::Actor(commit.committer.clone(), commit.at)),
            "authoredDate" | "committedDate" => leaf(git::rfc3339(commit.at)),
            "committedViaWeb" => leaf(commit.committer == Person::web_flow()),
            "message" => leaf(commit.message.as_str()),
            "messageHeadline" | "messageBody" => {
                // A long first line is cut, and goes on in the body.
                let (line, rest) = commit.message.split_once('\n').unwrap_or((&commit.message, ""));
                let (head, tail): (String, String) = match line.chars().count() {
                    0..=72 => (line.to_owned(), String::new()),
                    _ => (
                        line.chars().take(69).chain(['…']).collect(),
                        ['…'].into_iter().chain(line.chars().skip(69)).collect(),
                    ),
                };
                let body = [tail.as_str(), rest.trim()]
                    .into_iter()
                    .filter(|part| !part.is_empty())
                    .collect::<Vec<_>>()
                    .join("\n\n");
                leaf(if field == "messageHeadline" { head } else { body })
            }
            "associatedPullRequests" => {
                // The one that brought the commit to the default branch. Of a commit that is not there, open ones, too.
                let is_of = |pull_request: &&PullRequest| match (&pull_request.state, &pull_request.merge_commit) {
                    (PullRequestState::Merged, Some(merge)) => {
                        merge == sha || repository.own_commits(pull_request).iter().any(|own| own == sha)
                    }
                    (PullRequestState::Open, _) => repository.own_commits(pull_request).iter().any(|own| own == sha),
                    _ => false,
                };
                let (merged, open): (Vec<_>, Vec<_>) = repository
                    .pull_requests
                    .values()
                    .filter(is_of)
                    .partition(|pull_request| pull_request.state == PullRequestState::Merged);
                let default = repository.branches.get(&repository.default_branch).map_or("", String::as_str);
                let is_there = repository.objects.ancestors(default).contains(sha);
                let found = if is_there { merged } else { [open, merged].concat() };
                let nodes = found.iter().map(|found| Node::PullRequest(key.to_owned(), found.number)).collect();
                page("PullRequestConnection", field, arguments, nodes)
            }
            "file" => {
                let path = text(arguments, "path").unwrap_or_default();
                maybe(has_path(commit, path).then(|| Node::TreeEntry(key.to_owned(), sha.to_owned(), path.to_owned())))
            }
            "history" => {
                let at = |name: &str| text(arguments, name).and_then(git::from_rfc3339);
                let (since, until) = (at("since"), at("until"));
                let emails: Option<Vec<_>> = arguments
                    .get("author")
                    .and_then(|author| author["emails"].as_array())
                    .map(|all| all.iter().filter_map(Value::as_str).collect());
                let wanted = |commit: &&Commit| {
                    since.is_none_or(|since| commit.at >= since)
                        && until.is_none_or(|until| commit.at <= until)
                        && emails.as_ref().is_none_or(|emails| emails.contains(&commit.author.email.as_str()))
                        && text(arguments, "path").is_none_or(|path| repository.objects.touches(commit, path))
                };
                let log =
                    repository.objects.log(sha).into_iter().filter(wanted).map(|commit| own(&commit.sha)).collect();
                page("CommitHistoryConnection", "history", arguments, log)
            }
            "parents" => {
                page("CommitConnection", "parents", arguments, commit.parents.iter().map(|sha| own(sha)).collect())
            }
            "signature" => maybe(commit.signed_by_github.then_some(Node::Signature)),
            "statusCheckRollup" => repository.rollup(key, sha),
            _ => node(Node::Tree(key.to_owned(), sha.to_owned(), String::new())),
        }
    }

    fn tree_field(&mut self, key: &str, sha: &str, folder: &str, field: &str) -> Answer {
        let repository = self.known(key);
        let commit = &repository.objects.commits[sha];
        let oid = git::tree_sha(&inside(commit, folder));
        match field {
            "abbreviatedOid" => leaf(&oid[..7]),
            "commitUrl" => leaf(format!("{}/commit/{oid}", repository.url(&self.web))),
            "oid" => leaf(oid),
            "repository" => node(Node::Repository(key.to_owned())),
            _ => {
                let mut names: Vec<_> = inside(commit, folder)
                    .keys()
                    .filter_map(|path| path.split('/').next().map(str::to_owned))
                    .collect();
                names.dedup();
                let path = |name: String| if folder.is_empty() { name } else { format!("{folder}/{name}") };
                let entry = |name| Node::TreeEntry(key.to_owned(), sha.to_owned(), path(name));
                Ok(Resolved::Nodes(names.into_iter().map(entry).collect()))
            }
        }
    }

    fn entry_field(&mut self, key: &str, sha: &str, path: &str, field: &str) -> Answer {
        let commit = &self.known(key).objects.commits[sha];
        let name = path.rsplit('/').next().unwrap_or_default();
        let file = commit.files.get(path);
        let oid = || file.map_or_else(|| git::tree_sha(&inside(commit, path)), git::File::oid);
        match field {
            "extension" => leaf(name.rsplit_once('.').map(|(_, ending)| format!(".{ending}"))),
            "mode" => leaf(file.map_or(0o40_000, |file| file.mode)),
            "name" => leaf(name),
            "nameRaw" => leaf(super::encode_base64(name.as_bytes())),
            "object" => maybe(match file {
                Some(file) => file.is_blob().then(|| Node::Blob(key.to_owned(), oid())),
                None => Some(Node::Tree(key.to_owned(), sha.to_owned(), path.to_owned())),
            }),
            "oid" => leaf(oid()),
            "path" => leaf(path),
            "pathRaw" => leaf(super::encode_base64(path.as_bytes())),
            "repository" => node(Node::Repository(key.to_owned())),
            "size" => leaf(file.filter(|file| file.is_blob()).map_or(0, |file| file.bytes.len())),
            _ => leaf(match file {
                Some(file) if file.is_blob() => "blob",
                Some(_) => "commit",
                None => "tree",
            }),
        }
    }

    fn blob_field(&mut self, key: &str, sha: &str, field: &str) -> Answer {
        let repository = self.known(key);
        let bytes = &repository.objects.blobs[sha];
        let is_binary = bytes.iter().take(8000).any(|byte| *byte == 0);
        match field {
            "abbreviatedOid" => leaf(&sha[..7]),
            "byteSize" => leaf(bytes.len()),
            "commitUrl" => leaf(format!("{}/commit/{sha}", repository.url(&self.web))),
            "isBinary" => leaf(is_binary),
            "isTruncated" => leaf(bytes.len() > LONGEST_TEXT),
            "oid" => leaf(sha),
            "repository" => node(Node::Repository(key.to_owned())),
            _ if is_binary => leaf(Value::Null),
            _ => {
                let text = String::from_utf8_lossy(bytes);
                let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
                let end = (0..=LONGEST_TEXT.min(text.len()))
                    .rev()
                    .find(|end| text.is_char_boundary(*end))
                    .unwrap_or_default();
                leaf(&text[..end])
            }
        }
    }

    fn pull_request_field(&mut self, key: &str, number: u64, field: &str, arguments: &Arguments) -> Answer {
        let repository = self.known(key);
        let PullRequest { title, author, state, draft, head, head_ref, head_oid, base, reviews, merge_commit, .. } =
            &repository.pull_requests[&number];
        let base_oid = repository.branches.get(base).cloned().unwrap_or_default();
        let branch =
            |name: &String| repository.branches.contains_key(name).then(|| Node::Ref(key.to_owned(), name.clone()));
        match field {
            "author" => maybe(author.as_deref().map(|login| self.account(login))),
            "baseRef" => maybe(branch(base)),
            "baseRefName" => leaf(base.as_str()),
            "baseRefOid" => leaf(base_oid),
            "baseRepository" => node(Node::Repository(key.to_owned())),
            "closed" => leaf(state.name() != "OPEN"),
            "commits" => {
                let shas = repository.own_commits(&repository.pull_requests[&number]);
                let nodes = shas.into_iter().map(|sha| Node::PullRequestCommit(key.to_owned(), number, sha)).collect();
                page("PullRequestCommitConnection", "commits", arguments, nodes)
            }
            "headRef" => maybe(if *head == Head::SameRepository { branch(head_ref) } else { None }),
            "headRefName" => leaf(head_ref.as_str()),
            "headRefOid" => leaf(head_oid.as_str()),
            "headRepository" => maybe(match head {
                Head::SameRepository => Some(Node::Repository(key.to_owned())),
                Head::Fork(name) => Some(Node::Fork(name.clone())),
                Head::DeletedFork => None,
            }),
            "headRepositoryOwner" => maybe(match head {
                Head::SameRepository => Some(self.account(repository.owner())),
                Head::Fork(name) => name.split('/').next().map(|owner| Node::Account("User", owner.to_owned())),
                Head::DeletedFork => None,
            }),
            "latestOpinionatedReviews" => {
                let writers_only = arguments.get("writersOnly") == Some(&json!(true));
                // One of each person: the last that is more than a comment. Oldest first.
                let nodes = reviews.iter().enumerate().filter(|(at, review)| {
                    let is_opinion = |review: &Review| review.state != ReviewState::Commented;
                    let mut later = reviews.iter().skip(at + 1);
                    is_opinion(review)
                        && !later.any(|later| later.by == review.by && is_opinion(later))
                        && (!writers_only || !repository.readers.contains(&review.by))
                });
                let nodes = nodes.map(|(at, _)| Node::Review(key.to_owned(), number, at)).collect();
                page("PullRequestReviewConnection", field, arguments, nodes)
            }
            "isCrossRepository" => leaf(*head != Head::SameRepository),
            "isDraft" => leaf(*draft),
            "mergeCommit" => maybe(merge_commit.as_ref().map(|sha| Node::Commit(key.to_owned(), sha.clone()))),
            "merged" => leaf(state.name() == "MERGED"),
            "number" => leaf(number),
            "state" => leaf(state.name()),
            "statusCheckRollup" => repository.rollup(key, head_oid),
            "title" => leaf(title.as_str()),
            _ => leaf(format!("{}/pull/{number}", repository.url(&self.web))),
        }
    }
}

impl GitHub {
    fn check_field(&self, key: &str, sha: &str, index: usize, field: &str) -> Answer {
        let repository = self.known(key);
        let at = |at: &Option<Millis>| leaf(at.map_or(Value::Null, |at| json!(git::rfc3339(at))));
        match &repository.runs[sha][index] {
            Check::Run { .. } if repository.hides_check_runs => {
                Err(error("FORBIDDEN", "Resource not accessible by integration"))
            }
            Check::Run { name, conclusion, started } => match field {
                "name" => leaf(name.as_str()),
                "status" if conclusion.is_some() => leaf("COMPLETED"),
                "status" if started.is_some() => leaf("IN_PROGRESS"),
                "status" => leaf("QUEUED"),
                "conclusion" => leaf(conclusion.map_or(Value::Null, |conclusion| json!(conclusion))),
                "startedAt" => at(started),
                _ => at(&started.filter(|_| conclusion.is_some())),
            },
            Check::Status { context, state, created } => match field {
                "context" => leaf(context.as_str()),
                "state" => leaf(state.name()),
                _ => at(&Some(*created)),
            },
        }
    }

    fn review_field(&self, key: &str, number: u64, index: usize, field: &str) -> Answer {
        let repository = self.known(key);
        let review = &repository.pull_requests[&number].reviews[index];
        match field {
            "author" => node(self.account(&review.by)),
            "authorCanPushToRepository" => leaf(!repository.readers.contains(&review.by)),
            "commit" => maybe(
                repository
                    .objects
                    .commits
                    .contains_key(&review.oid)
                    .then(|| Node::Commit(key.to_owned(), review.oid.clone())),
            ),
            "pullRequest" => node(Node::PullRequest(key.to_owned(), number)),
            "state" => leaf(review.state.name()),
            _ => leaf(format!("{}/pull/{number}#pullrequestreview-{index}", repository.url(&self.web))),
        }
    }
}

impl Repository {
    /// The commits of a pull request, oldest first. A merged one keeps them.
    fn own_commits(&self, pull_request: &PullRequest) -> Vec<String> {
        let merged = pull_request.merge_commit.as_ref().and_then(|sha| self.objects.commits.get(sha));
        let base = match merged {
            Some(merge) => merge.parents.first(),
            None => self.branches.get(&pull_request.base),
        };
        let before = self.objects.ancestors(base.map_or("", String::as_str));
        let log = self.objects.log(&pull_request.head_oid).into_iter().rev();
        let own: Vec<_> = log.filter(|commit| !before.contains(&commit.sha)).map(|commit| commit.sha.clone()).collect();
        if own.is_empty() { vec![pull_request.head_oid.clone()] } else { own }
    }

    /// The checks of a commit, all in one.
    fn rollup(&self, key: &str, sha: &str) -> Answer {
        if self.hides_checks {
            return Err(error("FORBIDDEN", "Resource not accessible by personal access token"));
        }
        maybe(self.checks.contains_key(sha).then(|| Node::Rollup(key.to_owned(), sha.to_owned())))
    }

    /// What `git rev-parse` would find: `main`, `main:path`, a name or the start of one.
    fn object(&self, key: &str, expression: &str) -> Option<Node> {
        let (revision, path) = match expression.split_once(':') {
            Some((revision, path)) => (revision, Some(path)),
            None => (expression, None),
        };
        let Some(sha) = self.revision(revision) else {
            let blob = self.objects.blobs.get_key_value(revision)?;
            return path.is_none().then(|| Node::Blob(key.to_owned(), blob.0.clone()));
        };
        let commit = &self.objects.commits[&sha];
        match path {
            None => Some(Node::Commit(key.to_owned(), sha)),
            Some(path) if commit.files.contains_key(path) => {
                let file = &commit.files[path];
                file.is_blob().then(|| Node::Blob(key.to_owned(), file.oid()))
            }
            Some(path) if path.is_empty() || has_path(commit, path) => {
                Some(Node::Tree(key.to_owned(), sha.clone(), path.to_owned()))
            }
            Some(_) => None,
        }
    }
}

/// The files of a folder, by their path inside it.
pub(super) fn inside(commit: &Commit, folder: &str) -> git::Files {
    let start = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    commit.files.iter().filter_map(|(path, file)| Some((path.strip_prefix(&start)?.to_owned(), file.clone()))).collect()
}

fn has_path(commit: &Commit, path: &str) -> bool {
    !path.is_empty() && (commit.files.contains_key(path) || !inside(commit, path).is_empty())
}

/// Lines that appeared and lines that went, without regard to order (a real diff may say more when lines moved).
fn line_changes(repository: &Repository, commit: &Commit) -> (usize, usize) {
    let before = commit.parents.first().and_then(|sha| repository.objects.commits.get(sha));
    let lines = |commit: Option<&Commit>, path: &String| -> Vec<Vec<u8>> {
        let file = commit.and_then(|commit| commit.files.get(path));
        let bytes = file.map(|file| file.bytes.to_vec()).unwrap_or_default();
        bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
    };
    let (mut added, mut deleted) = (0, 0);
    for path in commit.changed() {
        let (mut old, new) = (lines(before, &path), lines(Some(commit), &path));
        for line in new {
            match old.iter().position(|known| *known == line) {
                Some(at) => drop(old.swap_remove(at)),
                None => added += 1,
            }
        }
        deleted += old.len();
    }
    (added, deleted)
}
