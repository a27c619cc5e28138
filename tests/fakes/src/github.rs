//! GitHub: repositories with real commits, the GraphQL API that reads them and commits, a little of the REST API, and
//! push webhooks. It answers under github.com's paths and under GitHub Enterprise Server's (`/api/graphql`, `/api/v3`).
//!
//! Easy to miss: GraphQL errors come with HTTP 200. A webhook is queued by the push itself, so it goes out
//! even when the answer to the mutation is lost, and it may go out first.

mod compare;
mod deployments;
mod git;
mod graphql;
mod language;
mod mutation;
mod schema;
mod serve;
mod webhook;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

pub use deployments::{Deployment, DeploymentStatus};
pub use git::{Commit, EXECUTABLE, File, Files, PLAIN, Person, SUBMODULE, SYMLINK, blob_sha};
pub use webhook::{Delivery, Webhook, webhook_headers};

use crate::{Millis, Outgoing};

/// When history begins, for everything that is set up before the first request with a time.
const BEGINNING: Millis = 1_767_225_600_000;

/// What the token may do with a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It does not even exist for us.
    None,
    /// Reading only: a mutation is `FORBIDDEN`.
    Read,
    /// Reading and writing contents.
    Write,
}

/// What stops a direct commit to a branch; GitHub has two systems, with two kinds of error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Branch protection: an error of type `BRANCH_PROTECTION_RULE_VIOLATION`.
    Classic,
    /// A ruleset: an error of type `UNPROCESSABLE`.
    Ruleset,
}

/// How GitHub words that a branch has moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StaleAnswer {
    /// It saw so at once: `STALE_DATA`.
    Checked,
    /// It noticed only when it moved the reference: another message, and not `STALE_DATA`.
    LostRace,
}

/// The state of a commit's checks, all in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checks {
    Error,
    Expected,
    Failure,
    Pending,
    Success,
}

impl Checks {
    fn name(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Expected => "EXPECTED",
            Self::Failure => "FAILURE",
            Self::Pending => "PENDING",
            Self::Success => "SUCCESS",
        }
    }
}

/// One check of a commit. A check that runs again is one more.
#[derive(Clone, Debug)]
pub enum Check {
    /// A check run, such as a job of GitHub Actions. It has no `conclusion` until it ends, and no `started` while it waits.
    Run { name: String, conclusion: Option<&'static str>, started: Option<Millis> },
    /// A commit status.
    Status { context: String, state: Checks, created: Millis },
}

impl Check {
    /// A check run that has ended.
    pub fn ended(name: &str, conclusion: &'static str, started: Millis) -> Self {
        Self::Run { name: name.to_owned(), conclusion: Some(conclusion), started: Some(started) }
    }

    /// What it adds to the state of all.
    fn state(&self) -> Checks {
        match self {
            Self::Run { conclusion: None, .. } => Checks::Pending,
            Self::Run { conclusion: Some("SUCCESS" | "SKIPPED" | "NEUTRAL"), .. } => Checks::Success,
            Self::Run { .. } => Checks::Failure,
            Self::Status { state, .. } => *state,
        }
    }
}

/// The state of a pull request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullRequestState {
    Open,
    Closed,
    Merged,
}

impl PullRequestState {
    fn name(self) -> &'static str {
        match self {
            Self::Open => "OPEN",
            Self::Closed => "CLOSED",
            Self::Merged => "MERGED",
        }
    }
}

/// Where the head branch of a pull request lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Head {
    /// In the same repository: its commit follows the branch.
    SameRepository,
    /// In a fork, `owner/name`.
    Fork(String),
    /// In a fork that is gone.
    DeletedFork,
}

/// A pull request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullRequest {
    /// Its number.
    pub number: u64,
    /// Its title.
    pub title: String,
    /// Who opened it; `None` when the account is gone.
    pub author: Option<String>,
    /// Open, closed or merged.
    pub state: PullRequestState,
    /// Whether it is a draft.
    pub draft: bool,
    /// Where its branch lives.
    pub head: Head,
    /// The name of its branch.
    pub head_ref: String,
    /// Its newest commit; filled in when it is added.
    pub head_oid: String,
    /// The branch that it wants to change; filled in when it is added without one.
    pub base: String,
    /// Its reviews, oldest first.
    pub reviews: Vec<Review>,
    /// The commit that brought it to its base.
    pub merge_commit: Option<String>,
}

/// A review of a pull request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Review {
    /// Whose.
    pub by: String,
    /// What it says.
    pub state: ReviewState,
    /// The newest commit of the pull request at that time.
    pub oid: String,
}

/// What a review says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReviewState {
    Approved,
    ChangesRequested,
    Commented,
    Dismissed,
}

impl ReviewState {
    fn name(self) -> &'static str {
        match self {
            Self::Approved => "APPROVED",
            Self::ChangesRequested => "CHANGES_REQUESTED",
            Self::Commented => "COMMENTED",
            Self::Dismissed => "DISMISSED",
        }
    }
}

impl PullRequest {
    /// An open pull request by alice from a branch of the same repository.
    pub fn new(number: u64, head_ref: &str) -> Self {
        Self {
            number,
            title: format!("Work on {head_ref}"),
            author: Some("alice".to_owned()),
            state: PullRequestState::Open,
            draft: false,
            head: Head::SameRepository,
            head_ref: head_ref.to_owned(),
            head_oid: String::new(),
            base: String::new(),
            reviews: Vec::new(),
            merge_commit: None,
        }
    }
}

/// A commit that somebody pushes.
#[derive(Clone, Debug)]
pub struct NewCommit {
    /// The whole message.
    pub message: String,
    /// Files written, and files deleted (`None`).
    pub files: Vec<(String, Option<Vec<u8>>)>,
    /// The modes of those that are no plain files. A file keeps the mode that it has.
    pub modes: Vec<(String, u32)>,
    /// The author, if it is not who pushes: free text, as in Git.
    pub author: Option<Person>,
    /// A second parent, for a merge.
    pub merges: Option<String>,
    /// Made in the browser: committed and signed by GitHub.
    pub on_the_web: bool,
}

impl NewCommit {
    /// A commit that writes these files.
    pub fn new(message: &str, files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), Some(text.as_bytes().to_vec()))).collect();
        Self { message: message.to_owned(), files, modes: Vec::new(), author: None, merges: None, on_the_web: false }
    }
}

#[derive(Clone)]
struct Repository {
    full_name: String,
    default_branch: String,
    branches: BTreeMap<String, String>,
    /// By name: a commit, or one of `tag_objects`.
    tags: BTreeMap<String, String>,
    tag_objects: BTreeMap<String, TagObject>,
    objects: git::Objects,
    checks: BTreeMap<String, Checks>,
    runs: BTreeMap<String, Vec<Check>>,
    hides_check_runs: bool,
    hides_checks: bool,
    takes_deployments: bool,
    deployments: Vec<Deployment>,
    pull_requests: BTreeMap<u64, PullRequest>,
    readers: BTreeSet<String>,
    webhook: Option<Webhook>,
    access: Access,
    protection: BTreeMap<String, Protection>,
}

impl Repository {
    fn owner(&self) -> &str {
        self.full_name.split('/').next().unwrap_or_default()
    }

    fn name(&self) -> &str {
        self.full_name.rsplit('/').next().unwrap_or_default()
    }

    fn id(&self) -> u64 {
        git::account_id(&self.full_name)
    }

    fn url(&self, web: &str) -> String {
        format!("{web}/{}", self.full_name)
    }

    /// The commit that a branch, a tag, `HEAD`, a full reference or a commit's name means, in the order of Git: the whole name of
    /// a commit first, then tags, then branches, then the beginning of a commit's name.
    fn revision(&self, name: &str) -> Option<String> {
        if self.objects.commits.contains_key(name) {
            return Some(name.to_owned());
        }
        if let Some(oid) = self.tags.get(name.strip_prefix("refs/tags/").unwrap_or(name)) {
            return Some(self.tag_objects.get(oid).map_or(oid, |tag| &tag.target).clone());
        }
        let branch = if matches!(name, "" | "HEAD") {
            &self.default_branch
        } else {
            name.strip_prefix("refs/heads/").unwrap_or(name)
        };
        let abbreviated = || {
            let mut found = self.objects.commits.keys().filter(|sha| name.len() >= 7 && sha.starts_with(name));
            let first = found.next()?;
            found.next().is_none().then_some(first)
        };
        self.branches.get(branch).or_else(abbreviated).cloned()
    }
}

/// An annotated tag.
#[derive(Clone)]
struct TagObject {
    name: String,
    /// The commit.
    target: String,
}

struct Rate {
    limit: u64,
    used: u64,
    resets_at: Millis,
}

/// The stand-in. Set it up with [`GitHub::repo`]; let people push with [`GitHub::person_pushes`]; look with the rest.
pub struct GitHub {
    token: String,
    bot_login: String,
    repositories: BTreeMap<String, Repository>,
    deliveries: Vec<Delivery>,
    outgoing: Vec<Outgoing>,
    calls: BTreeMap<String, u64>,
    now: Millis,
    rate: Rate,
    writes: VecDeque<Millis>,
    limited: u64,
    /// The origin of the web pages (`html_url`), which is what Argo CD compares with its own `repoURL`.
    pub web: String,
    /// The secondary limit: how many mutations may create content in any minute.
    pub writes_per_minute: usize,
    /// And how many in any hour.
    pub writes_per_hour: usize,
    /// How long a minute of both is: a test need not wait for a real one. What it says to wait for is whole
    /// seconds all the same.
    pub minute: Millis,
    /// How it says that a branch has moved.
    pub stale_answer: StaleAnswer,
}

impl GitHub {
    /// A GitHub without repositories, for one token and the account behind it. A login that ends in `[bot]` is a GitHub
    /// App, any other a user with a personal access token.
    pub fn new(token: &str, bot_login: &str) -> Self {
        Self {
            token: token.to_owned(),
            bot_login: bot_login.to_owned(),
            repositories: BTreeMap::new(),
            deliveries: Vec::new(),
            outgoing: Vec::new(),
            calls: BTreeMap::new(),
            now: 0,
            rate: Rate { limit: 5000, used: 0, resets_at: 0 },
            writes: VecDeque::new(),
            limited: 0,
            web: "https://github.com".to_owned(),
            writes_per_minute: 80,
            writes_per_hour: 500,
            minute: 60_000,
            stale_answer: StaleAnswer::Checked,
        }
    }

    /// A repository to set up; made, with an empty `main`, when it is new. Nothing done here sends a webhook.
    pub fn repo(&mut self, full_name: &str) -> Setup<'_> {
        let key = full_name.to_lowercase();
        self.repositories.entry(key.clone()).or_insert_with(|| Repository {
            full_name: full_name.to_owned(),
            default_branch: "main".to_owned(),
            branches: BTreeMap::new(),
            tags: BTreeMap::new(),
            tag_objects: BTreeMap::new(),
            objects: git::Objects::default(),
            checks: BTreeMap::new(),
            runs: BTreeMap::new(),
            hides_check_runs: false,
            hides_checks: false,
            readers: BTreeSet::new(),
            takes_deployments: true,
            deployments: Vec::new(),
            pull_requests: BTreeMap::new(),
            webhook: None,
            access: Access::Write,
            protection: BTreeMap::new(),
        });
        Setup { branch: self.repositories[&key].default_branch.clone(), github: self, key }
    }

    /// How many calls an hour in all; 0 lets none through.
    pub fn calls_per_hour(&mut self, limit: u64) {
        self.rate.limit = limit;
    }

    /// A repository's webhook, to lose, delay or double deliveries.
    pub fn webhook(&mut self, repo: &str) -> &mut Webhook {
        self.known_mut(&repo.to_lowercase()).webhook.as_mut().unwrap_or_else(|| panic!("{repo} has no webhook"))
    }

    /// A pull request, to close it, rename it, change its author.
    pub fn pull_request(&mut self, repo: &str, number: u64) -> &mut PullRequest {
        let found = self.known_mut(&repo.to_lowercase()).pull_requests.get_mut(&number);
        found.unwrap_or_else(|| panic!("{repo} has no pull request {number}"))
    }

    /// Somebody reviews the newest commit of a pull request.
    pub fn review(&mut self, repo: &str, number: u64, by: &str, state: ReviewState) {
        let pull_request = self.pull_request(repo, number);
        let oid = pull_request.head_oid.clone();
        pull_request.reviews.push(Review { by: by.to_owned(), state, oid });
    }

    /// Merges a pull request in the browser, as one commit or with a merge commit; the name of that commit.
    pub fn merge(&mut self, repo: &str, number: u64, by: &str, squash: bool) -> String {
        let key = repo.to_lowercase();
        let pull_request = self.pull_request(repo, number).clone();
        let repository = self.known_mut(&key);
        let base = repository.branches.get(&pull_request.base).cloned().unwrap_or_default();
        let before = repository.objects.ancestors(&base);
        let own = repository.objects.log(&pull_request.head_oid).into_iter().rev();
        let head = &repository.objects.commits[&pull_request.head_oid].files;
        let changed: BTreeSet<String> =
            own.filter(|commit| !before.contains(&commit.sha)).flat_map(git::Commit::changed).collect();
        let files = changed.into_iter().map(|path| {
            let bytes = head.get(&path).map(|file| file.bytes.to_vec());
            (path, bytes)
        });
        let files = files.collect();
        let merges = (!squash).then(|| pull_request.head_oid.clone());
        let message = format!("{} (#{number})", pull_request.title);
        let commit = NewCommit { files, merges, on_the_web: true, ..NewCommit::new(&message, &[]) };
        let sha = self.write_commits(&key, by, Some(base), &[commit]);
        let pull_request = self.pull_request(repo, number);
        pull_request.state = PullRequestState::Merged;
        pull_request.merge_commit = Some(sha.clone());
        let branch = pull_request.base.clone();
        self.move_branch(&key, &branch, Some(sha.clone()), by);
        sha
    }

    /// This account may read the repository, and not write to it as everybody else may.
    pub fn reader(&mut self, repo: &str, login: &str) {
        self.known_mut(&repo.to_lowercase()).readers.insert(login.to_owned());
    }

    /// The checks of any commit come to this; `None`: it has none.
    pub fn checks(&mut self, repo: &str, sha: &str, checks: Option<Checks>) {
        let all = &mut self.known_mut(&repo.to_lowercase()).checks;
        match checks {
            Some(checks) => all.insert(sha.to_owned(), checks),
            None => all.remove(sha),
        };
    }

    /// One more check of a commit. What they come to follows from all of them.
    pub fn check(&mut self, repo: &str, sha: &str, check: Check) {
        let repository = self.known_mut(&repo.to_lowercase());
        let runs = repository.runs.entry(sha.to_owned()).or_default();
        runs.push(check);
        let is_any = |one: &[Checks]| runs.iter().any(|run| one.contains(&run.state()));
        let all = match () {
            () if is_any(&[Checks::Failure, Checks::Error]) => Checks::Failure,
            () if is_any(&[Checks::Pending, Checks::Expected]) => Checks::Pending,
            () => Checks::Success,
        };
        repository.checks.insert(sha.to_owned(), all);
    }

    /// Somebody pushes one commit; its name. A branch that does not exist begins at the default branch.
    pub fn person_pushes(
        &mut self,
        repo: &str,
        branch: &str,
        user: &str,
        files: &[(&str, &str)],
        message: &str,
    ) -> String {
        self.push(repo, branch, user, &[NewCommit::new(message, files)])
    }

    /// Somebody pushes several commits at once; the name of the last.
    pub fn push(&mut self, repo: &str, branch: &str, user: &str, commits: &[NewCommit]) -> String {
        let key = repo.to_lowercase();
        let repository = self.known_mut(&key);
        let from =
            repository.branches.get(branch).or_else(|| repository.branches.get(&repository.default_branch)).cloned();
        self.push_onto(&key, branch, user, from, commits)
    }

    /// Somebody rewrites a branch: from now on it is `onto` with these commits.
    pub fn force_push(&mut self, repo: &str, branch: &str, user: &str, onto: &str, commits: &[NewCommit]) -> String {
        self.push_onto(&repo.to_lowercase(), branch, user, Some(onto.to_owned()), commits)
    }

    fn push_onto(
        &mut self,
        key: &str,
        branch: &str,
        user: &str,
        from: Option<String>,
        commits: &[NewCommit],
    ) -> String {
        let head = self.write_commits(key, user, from, commits);
        self.move_branch(key, branch, Some(head.clone()), user);
        head
    }

    /// Somebody deletes a branch; pull requests from it are closed.
    pub fn delete_branch(&mut self, repo: &str, branch: &str, user: &str) {
        let key = repo.to_lowercase();
        self.move_branch(&key, branch, None, user);
        for pull_request in self.known_mut(&key).pull_requests.values_mut() {
            let is_from_it = pull_request.head == Head::SameRepository && pull_request.head_ref == branch;
            if is_from_it && pull_request.state == PullRequestState::Open {
                pull_request.state = PullRequestState::Closed;
            }
        }
    }

    /// Somebody pushes a Git tag, or moves it: to a commit, by an object of its own if it is annotated. GitHub lets anybody who
    /// may push do so, with whichever commit it knows.
    pub fn tag(&mut self, repo: &str, name: &str, commit: &str, annotated: bool) {
        let repository = self.known_mut(&repo.to_lowercase());
        assert!(repository.objects.commits.contains_key(commit), "no commit {commit}");
        let mut oid = commit.to_owned();
        if annotated {
            oid = blob_sha(format!("tag {name} {commit}").as_bytes());
            let object = TagObject { name: name.to_owned(), target: commit.to_owned() };
            repository.tag_objects.insert(oid.clone(), object);
        }
        repository.tags.insert(name.to_owned(), oid);
    }

    /// The bytes of a file at the head of a branch.
    pub fn file_at(&self, repo: &str, branch: &str, path: &str) -> Option<Vec<u8>> {
        let head = self.head(repo, branch)?;
        let commit = self.repositories[&repo.to_lowercase()].objects.commits.get(&head)?;
        commit.files.get(path).map(|file| file.bytes.to_vec())
    }

    /// The commits of a branch, newest first.
    pub fn commits(&self, repo: &str, branch: &str) -> Vec<Commit> {
        let head = self.head(repo, branch).unwrap_or_default();
        let repository = self.repositories.get(&repo.to_lowercase());
        repository.map(|repository| repository.objects.log(&head).into_iter().cloned().collect()).unwrap_or_default()
    }

    /// Any commit that was ever written: GitHub hands out those that no branch has any more, too.
    pub fn commit(&self, repo: &str, sha: &str) -> Option<&Commit> {
        self.repositories.get(&repo.to_lowercase())?.objects.commits.get(sha)
    }

    /// The branches of a repository, and the commits that they point to.
    pub fn branches(&self, repo: &str) -> Option<&BTreeMap<String, String>> {
        Some(&self.repositories.get(&repo.to_lowercase())?.branches)
    }

    /// Every commit of a repository that was ever written, in no order.
    pub fn all_commits(&self, repo: &str) -> impl Iterator<Item = &Commit> {
        self.repositories.get(&repo.to_lowercase()).into_iter().flat_map(|known| known.objects.commits.values())
    }

    /// The commit that a branch points to.
    pub fn head(&self, repo: &str, branch: &str) -> Option<String> {
        self.repositories.get(&repo.to_lowercase())?.branches.get(branch).cloned()
    }

    /// How often a call was made, by the name that [`StandIn::name_of`] gives it.
    pub fn calls(&self, name: &str) -> u64 {
        self.calls.get(name).copied().unwrap_or_default()
    }

    /// How often a mutation was refused because there were too many.
    pub fn limited(&self) -> u64 {
        self.limited
    }

    /// All calls, by name.
    pub fn all_calls(&self) -> &BTreeMap<String, u64> {
        &self.calls
    }

    fn known_mut(&mut self, key: &str) -> &mut Repository {
        self.repositories.get_mut(key).unwrap_or_else(|| panic!("no repository {key}"))
    }

    fn clock(&self) -> Millis {
        if self.now > 0 {
            return self.now;
        }
        let commits: usize = self.repositories.values().map(|repository| repository.objects.commits.len()).sum();
        BEGINNING + 1000 * commits as Millis
    }

    /// Writes commits one after the other without moving a branch; the name of the last.
    fn write_commits(&mut self, key: &str, user: &str, from: Option<String>, commits: &[NewCommit]) -> String {
        let mut head = from;
        for commit in commits {
            let at = self.clock();
            let repository = self.known_mut(key);
            let before = head.as_ref().and_then(|sha| repository.objects.commits.get(sha));
            let mut files = before.map(|commit| commit.files.clone()).unwrap_or_default();
            for (path, bytes) in &commit.files {
                match bytes {
                    Some(bytes) => {
                        let mode = files.get(path).map_or(PLAIN, |file: &File| file.mode);
                        files.insert(path.clone(), File { mode, ..File::plain(bytes.clone()) })
                    }
                    None => files.remove(path),
                };
            }
            for (path, mode) in &commit.modes {
                files.get_mut(path).unwrap_or_else(|| panic!("there is no {path}")).mode = *mode;
            }
            let pusher = Person::account(user);
            let draft = git::Draft {
                parents: head.iter().chain(&commit.merges).cloned().collect(),
                message: commit.message.clone(),
                author: commit.author.clone().unwrap_or_else(|| pusher.clone()),
                committer: if commit.on_the_web { Person::web_flow() } else { pusher },
                at,
                signed_by_github: commit.on_the_web,
                files,
            };
            head = Some(repository.objects.commit(draft));
        }
        head.unwrap_or_default()
    }

    /// Points a branch somewhere else, lets pull requests follow, and sends the webhook.
    fn move_branch(&mut self, key: &str, branch: &str, to: Option<String>, pusher: &str) {
        let before = self.point(key, branch, to.clone());
        if before != to {
            self.deliver_push(key, branch, before.as_deref(), to.as_deref(), pusher);
        }
    }

    fn point(&mut self, key: &str, branch: &str, to: Option<String>) -> Option<String> {
        let repository = self.known_mut(key);
        let Some(to) = to else { return repository.branches.remove(branch) };
        for pull_request in repository.pull_requests.values_mut() {
            let is_from_it = pull_request.head == Head::SameRepository && pull_request.head_ref == branch;
            if is_from_it && pull_request.state == PullRequestState::Open {
                pull_request.head_oid.clone_from(&to);
            }
        }
        // Whoever pushes the commits of a pull request to its base has merged it, whatever else is in the push.
        let before = repository.branches.get(branch).map(|sha| repository.objects.ancestors(sha)).unwrap_or_default();
        let own: Vec<String> = repository
            .objects
            .log(&to)
            .iter()
            .map(|commit| commit.sha.clone())
            .filter(|sha| !before.contains(sha))
            .collect();
        for pull_request in repository.pull_requests.values_mut() {
            let is_for_it = pull_request.state == PullRequestState::Open && pull_request.base == branch;
            if is_for_it && own.contains(&pull_request.head_oid) {
                let brought = |sha: &&String| repository.objects.ancestors(sha).contains(&pull_request.head_oid);
                pull_request.state = PullRequestState::Merged;
                pull_request.merge_commit = own.iter().rev().find(brought).cloned();
            }
        }
        repository.branches.insert(branch.to_owned(), to)
    }
}

/// Sets up one repository, silently; each step gives it back.
pub struct Setup<'a> {
    github: &'a mut GitHub,
    key: String,
    branch: String,
}

impl Setup<'_> {
    fn repository(&mut self) -> &mut Repository {
        self.github.known_mut(&self.key)
    }

    /// This branch is the default one from now on.
    pub fn is_default(mut self, branch: &str) -> Self {
        self.repository().default_branch = branch.to_owned();
        self
    }

    /// Goes on with this branch; a new one begins at the default branch.
    pub fn branch(mut self, name: &str) -> Self {
        let default = self.repository().default_branch.clone();
        if !self.repository().branches.contains_key(name) {
            self.branch = default;
            if self.head_of_branch().is_none() {
                self = self.commit("Initial commit", &[]);
            }
            let from = self.head_of_branch();
            self.github.point(&self.key, name, from);
        }
        self.branch = name.to_owned();
        self
    }

    /// Commits a file to the branch.
    pub fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        let mut commit = NewCommit::new(&format!("Write {path}"), &[]);
        commit.files.push((path.to_owned(), Some(content.as_ref().to_vec())));
        self.commit_all(&[commit])
    }

    /// Commits these files to the branch in one commit.
    pub fn commit(self, message: &str, files: &[(&str, &str)]) -> Self {
        self.commit_all(&[NewCommit::new(message, files)])
    }

    fn commit_all(mut self, commits: &[NewCommit]) -> Self {
        let from = self.head_of_branch();
        let head = self.github.write_commits(&self.key, "alice", from, commits);
        self.github.point(&self.key, &self.branch, Some(head));
        self
    }

    fn head_of_branch(&mut self) -> Option<String> {
        let branch = self.branch.clone();
        self.repository().branches.get(&branch).cloned()
    }

    /// Gives the newest commit of the branch checks.
    pub fn checks(mut self, checks: Checks) -> Self {
        let head = self.head_of_branch().unwrap_or_default();
        self.repository().checks.insert(head, checks);
        self
    }

    /// Adds a pull request. A branch that is missing is made, with a commit; a fork's commit is on no branch of ours.
    pub fn pull_request(mut self, mut pull_request: PullRequest) -> Self {
        let working_on = self.branch.clone();
        if pull_request.base.is_empty() {
            pull_request.base.clone_from(&self.repository().default_branch);
        }
        let head_ref = pull_request.head_ref.clone();
        let work = [NewCommit::new(&format!("Work on {head_ref}"), &[("work.txt", &head_ref)])];
        if pull_request.head == Head::SameRepository {
            let is_new = !self.repository().branches.contains_key(&head_ref);
            self = self.branch(&head_ref);
            if is_new {
                self = self.commit_all(&work);
            }
            pull_request.head_oid = self.head_of_branch().unwrap_or_default();
        } else {
            let default = self.repository().default_branch.clone();
            self = self.branch(&default);
            let from = self.head_of_branch();
            pull_request.head_oid = self.github.write_commits(&self.key, "alice", from, &work);
        }
        self.repository().pull_requests.insert(pull_request.number, pull_request);
        self.branch = working_on;
        self
    }

    /// Gives it a webhook.
    pub fn webhook(mut self, webhook: Webhook) -> Self {
        self.repository().webhook = Some(webhook);
        self
    }

    /// What the token may do here; `Write` unless said.
    pub fn access(mut self, access: Access) -> Self {
        self.repository().access = access;
        self
    }

    /// The token may not write deployments here (`deployments: write`).
    pub fn no_deployments(mut self) -> Self {
        self.repository().takes_deployments = false;
        self
    }

    /// The token may not read checks here, as a fine-grained personal token never may.
    pub fn hide_checks(mut self) -> Self {
        self.repository().hides_checks = true;
        self
    }

    /// The token may read commit statuses here, and no check runs: they are null, each with an error.
    pub fn hide_check_runs(mut self) -> Self {
        self.repository().hides_check_runs = true;
        self
    }

    /// Forbids direct commits to the branch.
    pub fn protect(mut self, protection: Protection) -> Self {
        let branch = self.branch.clone();
        self.repository().protection.insert(branch, protection);
        self
    }

    /// The newest commit of the branch.
    pub fn head(mut self) -> String {
        self.head_of_branch().unwrap_or_default()
    }
}

fn encode_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

fn decode_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

#[cfg(test)]
mod tests;
