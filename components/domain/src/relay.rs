//! Whether a person's push is handed to Argo CD, where the operator says `relay: all`. What an application that the bot
//! manages reads stays here, and so does a push of which anything is unknown.
//!
//! Easy to miss: Argo CD compares each application of the repository that has no `manifest-generate-paths` after any push, the
//! managed ones, too. A comparison changes no cluster: only auto-sync makes a sync of it, and where a managed application has
//! auto-sync nothing of people is handed on. So what a managed application reads is told by paths, not by what Argo CD
//! compares.
//!
//! What Argo CD shows of an application does not name the Kustomize bases and values files that are elsewhere in the
//! repository. Those are known only where the catalog or `manifest-generate-paths` has them.

use crate::application::AppSource;
use crate::deployment::left_out;
use crate::limits::CLOCKS;
use crate::names::{ArgoApplication, CommitSha, FilePath, RepoName};
use crate::nonempty::NonEmpty;
use crate::push::Managed;
use crate::seen::{DAY, Found, MOST_SOURCES, Seen, Shown};
use crate::selection::{Applications, Selection};
use crate::sources::is_repository;
use crate::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// GitHub lists no more commits of a push than this many.
const LISTED: usize = 2048;

/// With more managed applications than this nothing of people is handed on: each costs a read.
const MOST_APPLICATIONS: usize = 200;

/// How much is compared, in bytes of paths: files times what applications read.
const MOST_COMPARED: usize = 8 << 20;

/// A push to our branch, as its webhook tells.
#[derive(Clone, Debug, Default)]
pub struct Contents<'p> {
    /// The branch came into being, is gone, or was forced.
    pub rewrites: bool,
    /// The head before.
    pub before: &'p str,
    /// The head now.
    pub after: &'p str,
    /// Oldest first.
    pub commits: Vec<Listed<'p>>,
}

/// A commit in it.
#[derive(Clone, Debug, Default)]
pub struct Listed<'p> {
    pub id: &'p str,
    /// What was added, modified and removed. `None`: one of these lists is missing.
    pub files: Option<Vec<&'p str>>,
}

/// A managed application.
#[derive(Clone, Debug)]
pub struct Known<'m> {
    /// The values files that the catalog names.
    pub values: Vec<&'m str>,
    /// `None`: it was never seen, or this build cannot read it.
    pub seen: Option<Seen>,
}

/// Why a person's push is not handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    Rewrites,
    /// Not every commit, or not every file of a commit, is listed.
    Incomplete,
    /// It is not known which applications are managed.
    NoList,
    TooMuch,
    AutoSync,
    /// An application was not seen for a day.
    NotSeen,
    /// Which applications have the labels of a `selector` is not known.
    NotSelected,
    /// It touches the catalog.
    Catalog,
    /// An application was seen, but what it reads is not known.
    Unclear,
    Read,
}

impl Kept {
    /// For GitHub's list of deliveries.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Rewrites => "a person's push that creates or rewrites the branch",
            Self::Incomplete => "a person's push that does not list all its commits and files",
            Self::NoList => "a person's push, and which applications are managed is not known",
            Self::TooMuch => "a person's push, and too much to compare it with",
            Self::AutoSync => "a person's push, and a managed application has auto-sync",
            Self::NotSeen => "a person's push, and a managed application was not looked at for a day",
            Self::NotSelected => "a person's push, and which applications have the labels of a selector is not known",
            Self::Catalog => "a person's push to the catalog",
            Self::Unclear => "a person's push, and what a managed application reads is not known",
            Self::Read => "a person's push to what a managed application reads",
        }
    }
}

impl Contents<'_> {
    /// All files that it touches, if it certainly lists all.
    pub fn files(&self) -> Result<BTreeSet<FilePath>, Kept> {
        if self.rewrites {
            return Err(Kept::Rewrites);
        }
        let is_commit = |id: &str| CommitSha::parse(id).is_ok_and(|sha| !sha.as_str().bytes().all(|b| b == b'0'));
        let is_whole = self.commits.len() < LISTED
            && is_commit(self.before)
            && is_commit(self.after)
            && self.before != self.after
            && self.commits.last().is_some_and(|last| last.id == self.after);
        if !is_whole {
            return Err(Kept::Incomplete);
        }
        let mut all = BTreeSet::new();
        for commit in &self.commits {
            // GitHub leaves the lists of a very large commit empty.
            let files = commit.files.as_ref().filter(|files| !files.is_empty() && is_commit(commit.id));
            for file in files.ok_or(Kept::Incomplete)? {
                all.insert(FilePath::parse(file).map_err(|_| Kept::Incomplete)?);
            }
        }
        Ok(all)
    }
}

/// What is known of the catalog.
#[derive(Clone, Debug)]
pub struct Catalogued<'m> {
    pub managed: Option<&'m Managed>,
    /// The applications that are known by their labels.
    pub selected: &'m BTreeMap<Selection, NonEmpty<ArgoApplication>>,
    /// When the catalog was last pushed, or perhaps was.
    pub pushed: Option<Timestamp>,
}

/// The managed applications, each with its values files.
pub fn applications<'m>(
    known: &Catalogued<'m>,
    now: Timestamp,
) -> Result<BTreeMap<&'m ArgoApplication, Vec<&'m str>>, Kept> {
    let is_current = |managed: &&Managed| {
        // A webhook may be lost, so nothing counts for ever.
        known.pushed.is_none_or(|pushed| managed.at > pushed.after(CLOCKS)) && now.since(managed.at) < DAY
    };
    let managed = known.managed.filter(is_current).ok_or(Kept::NoList)?;
    let selected = known.selected;
    if managed.auto {
        return Err(Kept::AutoSync);
    }
    let mut all: BTreeMap<&ArgoApplication, Vec<&str>> = BTreeMap::new();
    for (file, target) in managed.files.iter().flat_map(|(file, targets)| targets.iter().map(move |one| (file, one))) {
        let applications = match &target.applications {
            Applications::Named(named) => named,
            Applications::Selected(selection) => selected.get(selection).ok_or(Kept::NotSelected)?,
        };
        for application in applications.iter() {
            all.entry(application).or_default().push(file);
        }
    }
    match all.len() {
        0 => Err(Kept::NoList),
        1..=MOST_APPLICATIONS => Ok(all),
        _ => Err(Kept::TooMuch),
    }
}

/// Whether none of the managed applications reads any of these files of the GitOps repository.
pub fn untouched(files: &BTreeSet<FilePath>, all: &[Known<'_>], repo: &RepoName, now: Timestamp) -> Result<(), Kept> {
    let mut compared: usize = 0;
    for known in all {
        let shown = shown(known, now)?;
        let sources: Vec<AppSource> =
            shown.sources.iter().filter(|source| is_repository(&source.url, repo)).cloned().collect();
        if shown.hydrated || sources.is_empty() || shown.sources.len() >= MOST_SOURCES {
            return Err(Kept::Unclear);
        }
        let annotation =
            shown.generate_paths.as_deref().filter(|paths| paths.split(';').any(|path| !path.trim().is_empty()));
        let of_a_source = annotation.map_or(1, str::len);
        let bytes = sources.iter().map(|source| source.path.len().saturating_add(of_a_source));
        let bytes = bytes.chain(known.values.iter().map(|path| path.len())).fold(0, usize::saturating_add);
        compared = compared.saturating_add(bytes.saturating_mul(files.len()));
        if compared > MOST_COMPARED {
            return Err(Kept::TooMuch);
        }
        if reads(files, &known.values, &sources, annotation, repo) {
            return Err(Kept::Read);
        }
    }
    Ok(())
}

/// An application as it was seen within a day.
fn shown<'k>(known: &'k Known<'_>, now: Timestamp) -> Result<&'k Shown, Kept> {
    let is_fresh = |seen: &&Seen| seen.at <= now.after(CLOCKS) && now.since(seen.at) < DAY;
    match &known.seen.as_ref().filter(is_fresh).ok_or(Kept::NotSeen)?.found {
        Found::NoApplication | Found::Hidden => Err(Kept::Unclear),
        Found::There(shown) if shown.automated => Err(Kept::AutoSync),
        Found::There(shown) => Ok(shown),
    }
}

fn reads(
    files: &BTreeSet<FilePath>,
    values: &[&str],
    sources: &[AppSource],
    annotation: Option<&str>,
    repo: &RepoName,
) -> bool {
    let covered = |annotation: &str, sources: &[AppSource]| {
        !sources.is_empty() && left_out(Some(annotation), sources, repo, files.iter()).is_none()
    };
    // A source without a path lends its files to the others: only the annotation says which.
    let (lends, has_path): (Vec<AppSource>, Vec<AppSource>) =
        sources.iter().cloned().partition(|source| source.path.is_empty());
    (annotation.is_none() && !lends.is_empty())
        || annotation.is_some_and(|annotation| covered(annotation, sources))
        || covered(".", &has_path)
        || values.iter().any(|path| files.iter().any(|file| is_beside(path, file.as_str())))
}

/// Whether the file is in the folder of this one, or below it.
fn is_beside(path: &str, file: &str) -> bool {
    let Some((folder, _)) = path.rsplit_once('/') else { return true };
    file.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests;
