//! GitHub's webhook for a push: the fields that we read. They borrow from the payload, because most pushes
//! are ignored.

use domain::message;
use domain::names::{CommitSha, FilePath};
use domain::push::{MOST_TARGETS, Managed, PushNote, Touched};
use domain::time::Timestamp;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

/// So many files of one target are named.
const MOST_FILES: usize = 5;
/// So many commits of one target are remembered, newest first. One is not enough after a merge: the push says
/// that the merge touched the file, and the file's history says that the merged commit did.
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
    /// It is gone.
    pub deleted: bool,
    pub forced: bool,
    #[serde(borrow)]
    pub repository: Repository<'a>,
    /// Oldest first.
    #[serde(borrow)]
    pub commits: Vec<PushedCommit<'a>>,
    #[serde(borrow)]
    sender: Option<Sender<'a>>,
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
    #[serde(borrow)]
    html_url: Text<'a>,
}

/// One of its commits.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct PushedCommit<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    /// What its author says.
    #[serde(borrow)]
    pub message: Cow<'a, str>,
    #[serde(borrow)]
    committer: Option<Committer<'a>>,
    #[serde(borrow)]
    added: Paths<'a>,
    #[serde(borrow)]
    modified: Paths<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Sender<'a> {
    #[serde(borrow)]
    login: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Committer<'a> {
    #[serde(borrow)]
    username: Text<'a>,
}

/// GitHub's own account: it commits what is made through its API or on its pages.
const GITHUB: &str = "web-flow";

impl PushedCommit<'_> {
    /// Whether the commit looks like one of ours. That proves nothing, but is enough not to announce the
    /// commit.
    pub fn looks_like_ours(&self) -> bool {
        let by_github = self.committer.as_ref().is_some_and(|committer| committer.username.0 == GITHUB);
        by_github && message::deploy_id(&self.message).is_some()
    }

    /// The files that may be managed and are there afterwards.
    fn files(&self) -> impl Iterator<Item = &str> {
        self.added.0.iter().chain(&self.modified.0).map(|path| &**path)
    }
}

impl Push<'_> {
    /// The time of the push, not of the delivery, which may come late or again.
    pub fn pushed(&self, now: Timestamp) -> Timestamp {
        let seconds = self.repository.pushed_at.as_u64();
        seconds.map_or(now, |seconds| Timestamp::from_seconds(seconds.saturating_add(1)).min(now))
    }

    /// Whether the push may touch a managed file. Only then the list of managed files is read.
    pub fn touches_yaml(&self) -> bool {
        self.theirs().any(|commit| commit.files().next().is_some())
    }

    /// The commits of people, newest first. Among several commits there may be old ones of ours, pushed
    /// again. A single commit was checked before.
    fn theirs(&self) -> impl Iterator<Item = &PushedCommit<'_>> {
        let single = self.commits.len() == 1;
        self.commits.iter().rev().filter(move |commit| single || !commit.looks_like_ours())
    }

    /// What is announced of the push, if anything.
    pub fn note(&self, managed: &Managed, now: Timestamp) -> Option<PushNote> {
        let mut touched: Vec<Touched> = Vec::new();
        let mut more = BTreeSet::new();
        for commit in self.theirs() {
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
                        more.insert(managed.argocd.clone());
                    }
                }
            }
        }
        if touched.is_empty() {
            return None;
        }
        let bounded = |text: &str| text.chars().take(LONGEST).collect::<String>();
        Some(PushNote {
            at: self.pushed(now),
            who: bounded(self.sender.as_ref().map_or("", |sender| &sender.login.0)),
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

/// A text, or nothing where the payload has another type: a field that is only shown to people must not make
/// a push unreadable.
#[derive(Debug, Default)]
struct Text<'a>(Cow<'a, str>);

/// Paths of YAML files, or nothing where the payload has no list.
#[derive(Debug, Default)]
struct Paths<'a>(Vec<Cow<'a, str>>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Lenient).map(|read| match read {
            Read::Text(text) => Self(text),
            Read::Paths(_) => Self::default(),
        })
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Paths<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Lenient).map(|read| match read {
            Read::Text(_) => Self::default(),
            Read::Paths(paths) => Self(paths),
        })
    }
}

enum Read<'a> {
    Text(Cow<'a, str>),
    Paths(Vec<Cow<'a, str>>),
}

struct Lenient;

const NOTHING: Read<'_> = Read::Text(Cow::Borrowed(""));

impl<'de> Visitor<'de> for Lenient {
    type Value = Read<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Read<'de>, E> {
        Ok(Read::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Read<'de>, E> {
        Ok(Read::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Read<'de>, A::Error> {
        let mut paths = Vec::new();
        while let Some(Text(path)) = list.next_element()? {
            if path.ends_with(".yaml") || path.ends_with(".yml") {
                paths.push(path);
            }
        }
        Ok(Read::Paths(paths))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Read<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(NOTHING)
    }

    fn visit_unit<E>(self) -> Result<Read<'de>, E> {
        Ok(NOTHING)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Read<'de>, E> {
        Ok(NOTHING)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Read<'de>, E> {
        Ok(NOTHING)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Read<'de>, E> {
        Ok(NOTHING)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Read<'de>, E> {
        Ok(NOTHING)
    }
}

#[cfg(test)]
mod tests;
