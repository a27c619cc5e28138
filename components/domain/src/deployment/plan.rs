//! The plan of a deployment: everything that is decided before the mutation. A plan is built once, from one
//! look at GitHub, and never changed, so that relay and poller never read the catalog. Another look makes
//! another plan.

use super::paths::Reach;
use super::proof::Ours;
use crate::application::SyncBy;
use crate::image::{Digest, ImageName, ImageRef, Tag, VerifyRunning};
use crate::names::{
    ArgoApplication, BranchName, CommitSha, Contact, EnvironmentName, FilePath, GitHubLogin, GitTag, PullRequestNumber,
    RepoName, SlackChannel, Target,
};
use crate::nonempty::NonEmpty;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// What somebody wants deployed: `#42` or `feature/x`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reference {
    /// A pull request's head.
    PullRequest(PullRequestNumber),
    /// A branch's head.
    Branch(BranchName),
    /// The commit of a Git tag.
    Tag(GitTag),
    /// That commit.
    Commit(CommitSha),
    /// A tag of the image that moves, such as `latest`: nobody knows its commit.
    Channel(Tag),
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PullRequest(number) => number.fmt(f),
            Self::Branch(branch) => branch.fmt(f),
            Self::Tag(tag) => tag.fmt(f),
            Self::Commit(sha) => f.write_str(sha.short()),
            Self::Channel(tag) => tag.fmt(f),
        }
    }
}

/// What is deployed, as GitHub knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The app's repository.
    pub repo: RepoName,
    /// What was asked for.
    pub reference: Reference,
    /// The branch that the commit is in. `None`: a tag in no branch that we looked at, or a channel.
    pub branch: Option<BranchName>,
    /// The commit that the image is of. `None`: we know only the tag of a version that we never deployed, or of a channel.
    pub head: Option<CommitSha>,
    /// The newest commit of the branch when we asked, where that is another one, which has the same files in the app's
    /// [`paths`](crate::catalog::App::paths).
    pub tip: Option<CommitSha>,
    /// Title of the pull request, or first line of the commit.
    pub title: String,
    /// Who opened the pull request.
    pub author: Option<GitHubLogin>,
    /// The page to look at.
    pub url: Option<String>,
}

/// A commit of somebody else that will be synced together with ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rider {
    /// The commit.
    pub sha: CommitSha,
    /// Who, as GitHub or the commit says.
    pub who: String,
    /// Its first line.
    pub headline: String,
}

/// How many commits below a path are read, to find what rides along.
pub const COMMITS_READ: usize = 100;

/// What rides along with our commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Riders {
    /// The target was never deployed by us, so there is nothing to compare with.
    FirstDeploy,
    /// These, newest first; `more`: the live commit is further back than we looked.
    Since {
        /// At most [`COMMITS_READ`] for each folder.
        commits: Vec<Rider>,
        /// There are more than these.
        more: bool,
    },
}

impl Riders {
    /// Only the riders that are wanted.
    pub fn only(&self, wanted: impl Fn(&Rider) -> bool) -> Self {
        match self {
            Self::FirstDeploy => Self::FirstDeploy,
            Self::Since { commits, more } => {
                let commits = commits.iter().filter(|rider| wanted(rider)).cloned().collect();
                Self::Since { commits, more: *more }
            }
        }
    }
}

/// The version before a deploy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Previous {
    /// Its tag.
    pub tag: Tag,
    /// Its commit in the app's repository, if we deployed it.
    pub head: Option<CommitSha>,
}

/// What a person has written and a commit of ours, which changes nothing, takes over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// The commit that wrote the tag, or touched the file last.
    pub wrote: CommitSha,
    /// Whose it is, if GitHub knows.
    pub by: Option<GitHubLogin>,
    /// The newest commit below the app's path that it deploys. GitHub lists no commit there that changes
    /// nothing, so what came later is counted from this one.
    pub newest: CommitSha,
}

/// What will be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub gitops: GitOpsBranch,
    pub targets: NonEmpty<TargetPlan>,
    /// Where people open Argo CD, without a slash at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub argocd: Option<String>,
}

impl Plan {
    /// Argo CD's page of an application. Argo CD looks for a name without a namespace in its own.
    pub fn page(&self, application: &ArgoApplication) -> Option<String> {
        let namespace = application.namespace.as_ref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
        Some(format!("{}/applications/{namespace}{}", self.argocd.as_ref()?, application.name))
    }
}

/// The page of a file of the catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogPage {
    pub path: FilePath,
    pub url: String,
}

/// Where the commit goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitOpsBranch {
    pub repo: RepoName,
    pub branch: BranchName,
    /// It is the repository's default branch: what `HEAD` is.
    pub is_default: bool,
    /// The repository's page, for links.
    pub url: String,
}

/// What will be done at one target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetPlan {
    pub target: Target,
    pub source: Source,
    pub image: ImageName,
    /// The tag that goes into the files.
    pub tag: Tag,
    /// The tag that was there.
    pub before: Option<String>,
    /// The digest that the registry named.
    pub digest: Option<Digest>,
    /// All of them get the same tag.
    pub files: NonEmpty<FilePath>,
    /// Each is synced to the commit. The deploy is live when all of them are.
    pub applications: NonEmpty<ArgoApplication>,
    /// How long the rollout may take after Argo CD has taken the sync.
    pub deadline: Duration,
    /// How long `Degraded` is tolerated.
    pub degraded_grace: Duration,
    /// Under which other names the image runs.
    pub mirrors: Vec<ImageName>,
    /// Under which names the images of other targets run in the same application.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<ImageName>,
    pub verify_running: VerifyRunning,
    /// The channel in which the message stands. `None`: where the deploy was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<SlackChannel>,
    pub sync: SyncBy,
    /// Whose commits ride along.
    pub riders: Riders,
    /// Where these were looked for.
    pub reach: Reach,
    /// On a first deploy, the newest commits of other people below its paths.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub there: Vec<CommitSha>,
    /// The files and folders elsewhere that are not as they were at the live commit, each with Git's id of what is there
    /// now. They are looked for only if everything counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub elsewhere: Vec<(String, String)>,
    /// The digest is written in Git: no other image under the tag is ours.
    pub pinned: bool,
    /// The deploy passed because nothing rides along, so nothing may: an application that reads something else by now is not
    /// synced.
    pub alone: bool,
    /// This deployment brings an earlier version back.
    pub rollback: bool,
    /// That version was live here, so no gate holds it up but who may deploy and what goes live with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub was_live: bool,
    /// The catalog wants it back at the version before, without being asked, if it ends degraded.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub auto_rollback: bool,
    /// The environment in which this version was live, where it was promoted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promoted_from: Option<EnvironmentName>,
    /// The environment to which it can be promoted from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotes_to: Option<EnvironmentName>,
    /// The version that is live until then.
    pub previous: Option<Previous>,
    /// The tag was in the files already, by somebody else's commit.
    pub taken: Option<Taken>,
    /// Whom people turn to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<Contact>,
    /// Where the app's entry of the catalog is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalog: Option<CatalogPage>,
}

impl TargetPlan {
    /// Whether this is one of its applications.
    pub fn runs_in(&self, application: &ArgoApplication) -> bool {
        self.applications.iter().any(|ours| ours.is(application))
    }

    /// The image, however Argo CD may name it.
    pub fn ours(&self) -> Ours {
        Ours {
            wanted: self.image_ref(),
            digest: self.digest.clone(),
            pinned: self.pinned,
            mirrors: self.mirrors.clone(),
            beside: self.beside.clone(),
        }
    }

    /// The image with its tag.
    pub fn image_ref(&self) -> ImageRef {
        ImageRef { name: self.image.clone(), tag: self.tag.clone() }
    }
}
