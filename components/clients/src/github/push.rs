//! GitHub's webhook for a push: the fields that we read. They borrow from the payload, because most pushes
//! are ignored.

use domain::catalog::CatalogPusher;
use domain::names::{CommitSha, FilePath, GitHubLogin};
use domain::push::{MOST_TARGETS, Managed, PushNote, Touched};
use domain::relay::{Contents, Listed};
use domain::time::Timestamp;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// At most this many files of one target are named.
const MOST_FILES: usize = 5;
/// At most this many commits of one target are remembered, newest first. After a merge one commit is not
/// enough: the push says that the merge touched the file, and the file's history says that the merged
/// commit did.
const MOST_COMMITS: usize = 4;
/// How much outside text goes into a note, in characters.
const LONGEST: usize = 200;

/// What we read of GitHub's payload. Every field has a default: a push without a field is not one of ours.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Push<'a> {
    /// `refs/heads/<branch>`.
    #[serde(borrow)]
    pub r#ref: Cow<'a, str>,
    /// The head before.
    #[serde(borrow)]
    pub before: Cow<'a, str>,
    /// The head now.
    #[serde(borrow)]
    pub after: Cow<'a, str>,
    /// The branch came into being.
    pub created: bool,
    /// The branch is gone.
    pub deleted: bool,
    pub forced: bool,
    pub repository: Repository<'a>,
    /// Oldest first.
    pub commits: Vec<PushedCommit<'a>>,
    sender: Option<Account<'a>>,
}

/// Where it was pushed to.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Repository<'a> {
    /// `owner/name`.
    #[serde(borrow)]
    pub full_name: Cow<'a, str>,
    /// In whole seconds, in the payload of a push.
    pub pushed_at: serde_json::Value,
    #[serde(deserialize_with = "or_nothing")]
    html_url: Text<'a>,
}

/// One of its commits.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct PushedCommit<'a> {
    #[serde(deserialize_with = "or_nothing")]
    id: Text<'a>,
    /// What its author says.
    #[serde(borrow)]
    pub message: Cow<'a, str>,
    #[serde(deserialize_with = "or_nothing")]
    added: Option<Vec<Text<'a>>>,
    #[serde(deserialize_with = "or_nothing")]
    modified: Option<Vec<Text<'a>>>,
    #[serde(deserialize_with = "or_nothing")]
    removed: Option<Vec<Text<'a>>>,
}

/// The account that pushed. GitHub itself says who that is; what a commit says of its author, its committer and in its
/// message is free text, and GitHub commits in its own name what people edit on its pages.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Account<'a> {
    #[serde(borrow, deserialize_with = "or_nothing")]
    login: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// What the payload has, or nothing where that has another type: a field that is only shown to people must
/// not make a push unreadable.
fn or_nothing<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Found<T> {
        Wanted(T),
        Other(IgnoredAny),
    }
    Found::deserialize(deserializer).map(|found| match found {
        Found::Wanted(wanted) => wanted,
        Found::Other(_) => T::default(),
    })
}

impl PushedCommit<'_> {
    /// The files that may be managed and are there afterwards.
    fn files(&self) -> impl Iterator<Item = &str> {
        let paths = self.added.iter().chain(&self.modified).flatten().map(|path| &*path.0);
        paths.filter(|path| path.ends_with(".yaml") || path.ends_with(".yml"))
    }

    /// All files that it touches. `None`: GitHub does not say.
    fn touched(&self) -> Option<Vec<&str>> {
        let (added, modified, removed) = (self.added.as_ref()?, self.modified.as_ref()?, self.removed.as_ref()?);
        Some(added.iter().chain(modified).chain(removed).map(|path| &*path.0).collect())
    }
}

impl Push<'_> {
    /// The time of the push, not of the delivery, which may come late or again.
    pub fn pushed(&self, now: Timestamp) -> Timestamp {
        let seconds = self.repository.pushed_at.as_u64();
        seconds.map_or(now, |seconds| Timestamp::from_seconds(seconds.saturating_add(1)).min(now))
    }

    /// What decides whether a person's push is relayed.
    pub fn contents(&self) -> Contents<'_> {
        let commits = self.commits.iter().map(|commit| Listed { id: &commit.id.0, files: commit.touched() });
        Contents {
            rewrites: self.created || self.deleted || self.forced,
            before: &self.before,
            after: &self.after,
            commits: commits.collect(),
        }
    }

    /// Whether the push may touch a managed file. Only then the list of managed files is read.
    pub fn touches_yaml(&self) -> bool {
        self.commits.iter().any(|commit| commit.files().next().is_some())
    }

    /// What is told of it, should the catalog have changed.
    pub fn of_catalog(&self, now: Timestamp) -> CatalogPusher {
        CatalogPusher {
            at: now,
            who: self.who(),
            before: head(&self.before),
            after: head(&self.after),
            rewrites: self.created || self.deleted || self.forced,
        }
    }

    fn who(&self) -> String {
        bounded(self.sender.as_ref().map_or("", |sender| &sender.login.0))
    }

    /// Whether this account pushed it.
    pub fn is_by(&self, account: &GitHubLogin) -> bool {
        self.sender.as_ref().is_some_and(|sender| sender.login.0.eq_ignore_ascii_case(account.as_str()))
    }

    /// What is announced of the push, if anything.
    pub fn note(&self, managed: &Managed, now: Timestamp) -> Option<PushNote> {
        let mut touched: Vec<Touched> = Vec::new();
        let mut more = BTreeSet::new();
        // Newest first.
        for commit in self.commits.iter().rev() {
            let Ok(sha) = CommitSha::parse(&commit.id.0) else { continue };
            for path in commit.files() {
                for managed in managed.files.get(path).into_iter().flatten() {
                    let Ok(path) = FilePath::parse(path) else { continue };
                    let known = touched.iter_mut().find(|touched| touched.managed.target == managed.target);
                    if let Some(known) = known {
                        if !known.files.contains(&path) && known.files.len() < MOST_FILES {
                            known.files.push(path);
                        }
                        if !known.wrote.contains(&sha) && known.wrote.len() < MOST_COMMITS {
                            known.wrote.push(sha.clone());
                        }
                    } else if touched.len() < MOST_TARGETS {
                        let (files, wrote) = (vec![path], vec![sha.clone()]);
                        touched.push(Touched { managed: managed.clone(), files, wrote });
                    } else {
                        more.insert(managed.target.clone());
                    }
                }
            }
        }
        if touched.is_empty() {
            return None;
        }
        Some(PushNote {
            at: self.pushed(now),
            who: self.who(),
            headline: bounded(self.commits.last()?.message.lines().next().unwrap_or_default()),
            commits: u32::try_from(self.commits.len()).unwrap_or(u32::MAX),
            before: CommitSha::parse(&self.before).ok()?,
            after: CommitSha::parse(&self.after).ok()?,
            url: bounded(&self.repository.html_url.0),
            touched,
            more: u32::try_from(more.len()).unwrap_or(u32::MAX),
        })
    }
}

fn bounded(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

/// A head of the branch. Nothing but zeros: there was none.
fn head(text: &str) -> Option<CommitSha> {
    CommitSha::parse(text).ok().filter(|sha| sha.as_str().bytes().any(|byte| byte != b'0'))
}

#[cfg(test)]
mod tests;
