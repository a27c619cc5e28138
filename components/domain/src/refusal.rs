//! Every reason why we say no. The person can do something about each, and the sentence (in `message`)
//! says what.
//!
//! A refusal is stored in the fact `end`, so it holds what its sentence needs and nothing else.

#[cfg(any(test, feature = "samples"))]
pub mod samples;

use crate::fault::Cause;
use crate::github::{ChecksState, RunState};
use crate::image::{Digest, ImageName, ImageRef, Tag};
use crate::names::{
    AppName, BranchName, CommitSha, DeploymentId, EnvironmentName, FilePath, GitHubLogin, GitTag, LabelSelector,
    PullRequestNumber, RepoName, SlackGroup, SlackUser, Target,
};
use crate::people::People;
use crate::selection::NotSelected;
use crate::time::Timestamp;
use crate::values::EditRefusal;
use crate::verb::Verb;
use serde::{Deserialize, Serialize};

/// A command that would be right, as it is typed after `/deploy`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Right {
    /// Probably this was meant.
    DidYouMean(String),
    /// An example of the same kind.
    Like(String),
}

/// Why the catalog cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogError {
    /// The line, counted from 1, where there is one.
    pub line: Option<usize>,
    /// What is wrong, in words.
    pub problem: String,
}

/// Why somebody may not deploy a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotAllowed {
    /// Nobody may.
    Nobody,
    /// Other people may.
    NotListed,
    /// The person may, but not from this channel.
    WrongChannel,
    /// Every full member may, and the person is a guest, or of another organisation.
    Guest,
}

/// Why the changes that would go live cannot be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Uncounted {
    /// The live version is further back than we read.
    TooMany,
    /// No version of ours is known to have reached the branch.
    NothingKnown,
}

/// What is not as people saw it when they approved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SinceApproved {
    /// The image behind the tag.
    Image { was: Option<Digest>, is: Option<Digest> },
    /// So many commits of other people would go live with it, too.
    Riders { count: u32 },
    /// Nobody can tell any more what would go live with it.
    Uncounted,
    /// These files and folders of the GitOps repository.
    Elsewhere { paths: Vec<String> },
    /// The version that is replaced.
    Replaced { was: Option<String>, is: Option<String> },
}

/// Something that has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved<T> {
    pub was: T,
    pub is: T,
}

/// What can be done about a tag whose image has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MovedTag {
    /// The person who deploys may go on.
    AskedAgain,
    /// An owner may go on: it is a rollback.
    ByOwner {
        /// There are owners.
        overridable: bool,
    },
    /// Nobody may.
    Never,
    /// It was to be promoted: another image has its tag by now.
    Promoted,
}

/// A check that the catalog names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unpassed {
    pub name: String,
    /// `None`: there is none with that name.
    pub state: Option<RunState>,
}

/// When a window of time opens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    pub at: Timestamp,
    /// What the clock in the window's time zone shows then: `Mon 09:00 Europe/Berlin`.
    pub shown: String,
}

/// What a word may stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Branch,
    /// A Git tag.
    Tag,
    Commit,
    /// A tag of the image that moves.
    Channel,
    /// A version that was deployed before.
    Version,
}

impl Kind {
    /// The word that is typed in front, too.
    pub fn name(self) -> &'static str {
        match self {
            Self::Branch => "branch",
            Self::Tag => "tag",
            Self::Commit => "commit",
            Self::Channel => "channel",
            Self::Version => "version",
        }
    }
}

/// Why a channel cannot be deployed to a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoChannel {
    /// A gate judges a commit.
    Gates,
    /// The target has no place for a digest.
    NoDigestAt,
    /// The image that it is now was rolled back.
    RolledBack,
}

/// Why we say no.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The words are not a command; how it is typed follows.
    Syntax {
        /// What is wrong with them: "the pull request or branch is missing".
        problem: String,
        /// The verb, as far as one was understood: whose help says more.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        verb: Option<Verb>,
        /// What would be right, where that is more than an example.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        right: Option<Right>,
    },
    /// No such app.
    UnknownApp {
        /// What was typed.
        typed: String,
        /// The nearest name.
        did_you_mean: Option<String>,
        /// Up to ten names that exist.
        known: Vec<String>,
        /// Files of the catalog that cannot be read: it may be in one of them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        unread: Vec<FilePath>,
    },
    /// The app has no such environment.
    UnknownEnvironment {
        /// The app.
        app: String,
        /// What was typed. Nothing was, and there is no `default`: `None`.
        typed: Option<String>,
        /// The nearest name.
        did_you_mean: Option<String>,
        /// Those that exist.
        known: Vec<String>,
    },
    /// Not among those whom the catalog allows.
    NotAllowed {
        /// What.
        target: Target,
        /// Why not.
        why: NotAllowed,
    },
    /// Not among those who may ask about anything in the catalog.
    NotReader,
    /// The request comes from another workspace.
    OtherWorkspace,
    /// The catalog cannot be used.
    BrokenCatalog {
        /// Its path.
        path: FilePath,
        /// What is wrong, and on which line.
        error: CatalogError,
    },
    /// The app is out of service, because its entry in the catalog has a mistake.
    BrokenApp {
        /// Its name.
        app: String,
        /// The file with the mistake.
        path: FilePath,
        /// What is wrong, and on which line. Without words for somebody who may not ask.
        error: CatalogError,
    },
    /// There is no catalog.
    NoCatalog {
        /// Where it should be.
        path: FilePath,
        /// In which repository.
        repo: RepoName,
        /// On which branch.
        branch: BranchName,
    },
    /// The link is to a pull request of a repository that the app is not built from.
    OtherRepository {
        /// Number.
        number: PullRequestNumber,
        /// The repository in the link.
        repo: RepoName,
        /// The app.
        app: AppName,
        /// The app's own repository.
        own: RepoName,
    },
    /// No such pull request, or we may not see it.
    NoSuchPullRequest {
        /// Number.
        number: PullRequestNumber,
        /// Repository.
        repo: RepoName,
    },
    /// Closed or merged.
    PullRequestNotOpen {
        /// Number.
        number: PullRequestNumber,
        /// The pull request was merged, not just closed.
        merged: bool,
        /// Its base branch: what to deploy instead.
        base: Option<BranchName>,
    },
    /// From a fork: its image is not built by our CI, and a branch name there proves nothing.
    FromFork {
        /// Number.
        number: PullRequestNumber,
    },
    /// No such branch.
    NoSuchBranch {
        /// What was typed.
        branch: BranchName,
        /// Repository.
        repo: RepoName,
    },
    /// Nothing of these kinds has that name.
    NothingNamed {
        /// What was typed.
        word: String,
        /// What was looked for; never empty.
        kinds: Vec<Kind>,
        /// Repository.
        repo: RepoName,
    },
    /// The word means several things.
    SeveralNamed {
        /// What was typed.
        word: String,
        kinds: Vec<Kind>,
    },
    /// The commit is in no branch that counts, and is not the head of an open pull request of the repository.
    NotInBranch {
        head: CommitSha,
        /// The branch that was looked at.
        branch: BranchName,
        /// Somebody typed that branch.
        typed: bool,
    },
    /// The catalog does not list the Git tag.
    TagNotListed {
        app: AppName,
        tag: GitTag,
        /// Up to five patterns.
        listed: Vec<String>,
    },
    /// The catalog does not list the channel.
    ChannelNotListed {
        app: AppName,
        channel: Tag,
        /// Those that there are.
        listed: Vec<Tag>,
    },
    /// A channel cannot be deployed there.
    ChannelNotHere { target: Box<Target>, channel: Tag, why: NoChannel },
    /// The Git tag moved while it was being deployed.
    TagMoved { tag: GitTag, commits: Box<Moved<CommitSha>> },
    /// No such repository, or our token may not see it.
    NoSuchRepository {
        /// Repository.
        repo: RepoName,
    },
    /// The GitOps repository has no such branch.
    NoGitOpsBranch {
        /// Repository.
        repo: RepoName,
        /// Branch.
        branch: BranchName,
    },
    /// The branch and commit make no valid tag (too long, or starting with `.` or `-`).
    NoValidTag {
        /// What the rule made.
        made: String,
    },
    /// No variable names the registry of the image, so it may not be asked.
    RegistryNotNamed {
        /// The image.
        image: ImageName,
        /// The variable that could name it; all of them name others: `None`.
        variable: Option<String>,
    },
    /// The registry has no image with that tag.
    NoImage {
        /// The image.
        image: ImageName,
        /// The tag that was tried; of several, the shortest.
        tag: Tag,
        /// Tags with more digits of the commit were tried, too.
        longer: bool,
        /// The commit it would be of.
        head: Option<Box<CommitSha>>,
        /// The page that shows what CI makes of that commit.
        url: Option<Box<str>>,
    },
    /// Tags of one commit with different numbers of digits are not one image.
    ImagesDiffer {
        image: ImageName,
        /// What the registry has, the most digits first.
        found: Vec<(Tag, Option<Digest>)>,
    },
    /// The registry names no digest, and something rests on knowing the image.
    NoDigest {
        /// Of what.
        target: Box<Target>,
        image: ImageRef,
    },
    /// Another image stands behind the tag than before.
    ImageMoved {
        /// Of what.
        target: Box<Target>,
        tag: Tag,
        /// The commit that was to be deployed; none for a rollback.
        head: Option<CommitSha>,
        /// The image that was deployed, or shown, and the one that is there now.
        images: Box<Moved<Digest>>,
        todo: MovedTag,
    },
    /// The values file is missing.
    NoValuesFile {
        /// Its path.
        path: FilePath,
        /// Repository.
        repo: RepoName,
    },
    /// The values file cannot be edited safely.
    Edit {
        /// Its path.
        path: FilePath,
        /// Why.
        why: EditRefusal,
    },
    /// The wanted tag is already there, but by a commit that is not ours.
    AlreadyWritten {
        /// The tag.
        tag: Tag,
        /// Who wrote it, if GitHub knows.
        by: Option<GitHubLogin>,
        /// In which commit.
        commit: CommitSha,
        /// The commit that was to be deployed; none for a rollback, whose version does not move.
        head: Option<CommitSha>,
    },
    /// Another deployment of the target is under way.
    Busy {
        /// What.
        target: Target,
        /// Whose.
        by: Option<SlackUser>,
        /// The other deployment.
        id: Option<DeploymentId>,
        /// Link to its message.
        link: Option<String>,
    },
    /// The deploy before it, for which it waited, is committed and did not go live.
    BeforeNotLive {
        /// What.
        target: Box<Target>,
        /// Whose.
        by: Option<SlackUser>,
        /// Link to its message.
        link: Option<String>,
    },
    /// The person waits for so many deploys of it already.
    TooManyWaits {
        /// What, as it was typed.
        target: String,
        /// How many.
        count: usize,
    },
    /// The deployment of another target in the same Argo CD application took longer than a request waits.
    ApplicationBusy {
        /// Which other one.
        other: Box<Target>,
        /// Whose deployment.
        by: Option<SlackUser>,
        /// Link to its message.
        link: Option<String>,
        /// How long a request waits.
        minutes: u64,
    },
    /// The target is locked, or everything is.
    Locked {
        /// What.
        target: Box<Target>,
        /// Who locked it.
        by: SlackUser,
        /// The bot did, by itself, after the deploy of that person.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        itself: bool,
        /// Why.
        reason: String,
        /// Since when.
        since: Timestamp,
        /// Until when, if not for good.
        until: Option<Timestamp>,
        /// Not this target alone: everything.
        everything: bool,
        /// The version, and its commit, to which a rollback may go all the same.
        back_to: Option<Box<(Tag, CommitSha)>>,
    },
    /// This target takes other branches only.
    BranchNotAllowed {
        /// What.
        target: Target,
        /// Which branch it was.
        branch: Option<BranchName>,
        /// The branches that the target takes.
        allowed: Vec<String>,
    },
    /// The checks of that very commit have not succeeded.
    ChecksNotPassed {
        /// What.
        target: Target,
        /// Which commit.
        head: CommitSha,
        /// What they come to; `None`: there are none.
        state: Option<ChecksState>,
        /// The page that shows the checks.
        url: Option<Box<str>>,
    },
    /// Of the checks that the catalog names, some have not passed on that very commit.
    NamedChecks {
        target: Box<Target>,
        head: CommitSha,
        /// The page that shows the checks.
        url: Option<String>,
        /// Which, in the order of the catalog.
        unpassed: Vec<Unpassed>,
        /// The commit has more checks than we can read, and any of them may be a newer run.
        more: bool,
    },
    /// Of the checks that have to pass in the GitOps repository, some have not.
    StatusNotPassed {
        target: Box<Target>,
        /// Its newest commit that is no deploy of ours.
        head: CommitSha,
        /// That commit's page.
        url: String,
        /// Which, in the order of the catalog.
        unpassed: Vec<Unpassed>,
        /// The commit has more checks than we can read, and any of them may be a newer run.
        more: bool,
    },
    /// Nobody knows the newest commit of the GitOps repository that is no deploy of ours: it is too far back.
    NoNewestThere { target: Box<Target> },
    /// The gate service says no.
    GateRefused {
        target: Box<Target>,
        /// At which path it was asked.
        path: String,
        /// Its own words (trimmed to 200 characters).
        reason: String,
    },
    /// The gate service gave no answer that counts.
    GateSilent { target: Box<Target>, path: String, cause: Cause },
    /// The catalog wants the gate service asked, and no variable says where that is.
    GateNotSet { target: Box<Target>, path: String },
    /// The version is not live in another environment, or not for long enough.
    NotLiveFirst {
        target: Box<Target>,
        /// Which environment.
        on: EnvironmentName,
        tag: Tag,
        /// What is live there instead.
        live: Option<Tag>,
        /// When it will have been live there for long enough, if it is live there.
        until: Option<Timestamp>,
        /// There are people who may override it.
        overridable: bool,
    },
    /// The pull request has too few reviews that approve its newest commit.
    NotReviewed {
        target: Box<Target>,
        number: PullRequestNumber,
        /// Its page.
        url: Option<String>,
        /// Its newest commit.
        head: CommitSha,
        /// How many reviews it needs.
        count: u8,
        /// How many it has that count.
        given: u8,
        /// Up to five people who approved another commit.
        outdated: Vec<GitHubLogin>,
        /// Up to five people who asked for changes.
        against: Vec<GitHubLogin>,
    },
    /// This target takes reviewed pull requests only.
    NeedsPullRequest {
        target: Box<Target>,
        /// Which branch it was.
        branch: Option<BranchName>,
    },
    /// Nobody can tell whether other people's changes would go live with it.
    UncountedChanges {
        /// Of what.
        target: Target,
        /// Why not.
        why: Uncounted,
        /// There are people who may override it.
        overridable: bool,
    },
    /// Commits of people would ride along, and this target refuses that.
    ForeignChanges {
        /// What.
        target: Target,
        /// How many.
        count: u32,
        /// There may be more: the live version is further back than we read.
        more: bool,
        /// Whose, up to five.
        by: Vec<String>,
        /// There are people who may let them through.
        overridable: bool,
    },
    /// Files elsewhere in the repository are not as they were, and nobody knows whether the target reads them.
    ForeignFiles {
        /// Of what.
        target: Target,
        /// Up to five files and folders.
        paths: Vec<String>,
        /// There are people who may let them through.
        overridable: bool,
    },
    /// Others have to agree first.
    NeedsApproval {
        /// What.
        target: Box<Target>,
        /// Which commit they agree to.
        head: Option<CommitSha>,
        /// Its tag.
        tag: Tag,
        /// How many have to.
        count: u8,
        /// Who may.
        users: Box<[SlackUser]>,
        /// Or anyone of these groups.
        groups: Box<[SlackGroup]>,
        /// Whose approving reviews on GitHub count already.
        reviewed: Box<[SlackUser]>,
        /// Until when.
        until: Timestamp,
        about: Box<About>,
    },
    /// Deploys are frozen at this time.
    Frozen {
        /// What.
        target: Box<Target>,
        /// Until when.
        until: Timestamp,
        /// Why, as the catalog says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
        /// There are owners who may override it.
        overridable: bool,
        /// Who else may.
        #[serde(default, skip_serializing_if = "People::is_empty")]
        pass: People,
    },
    /// This target is deployed at certain times only.
    Closed {
        /// What.
        target: Box<Target>,
        /// When the next of them begins, if that can be told.
        opens: Option<Opening>,
        /// There are owners who may override it.
        overridable: bool,
        /// Who else may.
        #[serde(default, skip_serializing_if = "People::is_empty")]
        pass: People,
    },
    /// Only an owner may do that.
    NotOwner {
        /// Such as "override the freeze of checkout@production".
        doing: String,
        /// There are owners to ask.
        owned: bool,
        /// Who else may.
        #[serde(default, skip_serializing_if = "People::is_empty")]
        pass: People,
    },
    /// Somebody else pressed the button first.
    ButtonTaken {
        /// Who.
        by: Option<SlackUser>,
        /// To the message of that deployment.
        link: Option<String>,
    },
    /// The branch has moved since the button was shown.
    HeadMoved {
        /// What was to be deployed.
        was: CommitSha,
        /// What is there now.
        is: CommitSha,
    },
    /// Another version was deployed since the button was shown that takes one away.
    VersionMoved {
        /// Of what.
        target: Box<Target>,
        /// The version of the deployment that the button is below.
        was: Tag,
        /// What was deployed last.
        is: Tag,
    },
    /// There is no earlier version to go back to.
    NoEarlierVersion {
        /// Of what.
        target: Target,
    },
    /// The version to go back to is the one that runs.
    AlreadyLive {
        /// Of what.
        target: Box<Target>,
        /// Which.
        tag: Tag,
    },
    /// No such version in what we remember of the target.
    UnknownVersion {
        /// Of what.
        target: Target,
        /// What was typed.
        typed: String,
        /// Up to five that there are, newest first.
        known: Vec<String>,
    },
    /// What somebody has written into the file is no version that was ever deployed there.
    UnknownWritten {
        /// Of what.
        target: Box<Target>,
        /// What is in the file, or in its files: each once.
        tags: Vec<String>,
    },
    /// The version was rolled back: once more only if that is meant.
    WasRolledBack {
        /// Of what.
        target: Box<Target>,
        /// Which.
        tag: Tag,
        /// Its commit.
        head: CommitSha,
        /// By whom. `None`: by itself.
        by: Option<SlackUser>,
        /// When.
        at: Timestamp,
    },
    /// Nobody said what is promoted where, and neither does the catalog.
    NoPromotion {
        app: AppName,
        /// The environment that was to get it, if one was typed.
        to: Option<EnvironmentName>,
    },
    /// No version that can be promoted is live where it was to come from.
    NothingToPromote {
        from: Box<Target>,
        /// The version that is live, if it is only its digest that nobody knows.
        tag: Option<Tag>,
    },
    /// What is live there is not what was deployed there last: that failed, or is under way.
    NewerThere {
        from: Box<Target>,
        /// What was deployed last.
        newest: Tag,
        /// What is live.
        tag: Tag,
        head: CommitSha,
        digest: Digest,
    },
    /// Another version is live there than when the button was shown.
    OtherLive { from: Box<Target>, was: CommitSha, is: Tag },
    /// The files of the GitOps branch changed again and again while we tried.
    KeepsMoving {
        /// How often we tried.
        attempts: u32,
    },
    /// The request is too old to be carried out: nobody expects it any more.
    TooLate {
        /// How old a request may be.
        minutes: u64,
    },
    /// The Argo CD application has a source hydrator, so it follows another branch than ours.
    Hydrated {
        /// Of what.
        target: Box<Target>,
    },
    /// No source of the Argo CD application follows the branch that we commit to.
    NotFollowed {
        /// Of what.
        target: Box<Target>,
        repo: RepoName,
        branch: BranchName,
    },
    /// Auto-sync is on in Argo CD, and the catalog does not say so.
    AutoSyncIsOn {
        /// Of what.
        target: Box<Target>,
    },
    /// The applications are named by labels, and it is not known which those are.
    NotSelected { target: Box<Target>, selector: LabelSelector, why: NotSelected },
    /// The catalog changed between our reading it and the commit, so that the target is another now.
    CatalogChanged,
    /// More targets than one request deploys.
    TooManyTargets { count: usize, most: usize },
    /// A pull request is of one repository, and these apps have several.
    SeveralRepositories { number: PullRequestNumber, first: RepoName, other: RepoName },
    /// Two targets of one request run in the same Argo CD application, which syncs once at a time.
    SameApplication { first: Box<Target>, other: Box<Target> },
    /// Of several targets, these are refused, so none is deployed.
    Several { refused: Vec<PartRefused> },
    /// All targets of the deployment that was to be rolled back have other versions by now.
    NothingToRollBack,
    /// Approved together with another target, which needed the approval; this one is not as people saw it.
    NotAsApproved { target: Box<Target>, changed: Box<SinceApproved> },
    /// What was to be taken back by itself is not.
    NotByItself { target: Box<Target>, why: NotByItself },
    /// It was asked for together with others, and this one of them is refused or failed.
    OtherRefused { target: Box<Target> },
}

/// What else people read who are asked to agree.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Others had agreed, but to something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<SinceApproved>,
    /// Other people's changes that go live with a rollback, where nobody has to agree but a second person who may deploy, or an
    /// owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rides: Option<Rides>,
}

/// What goes live with a rollback, as a second person confirms it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rides {
    /// How many commits.
    pub count: u32,
    /// Whose, up to five.
    pub by: Vec<String>,
    /// What is elsewhere not as it was, up to five.
    pub paths: Vec<String>,
}

/// Why a deploy is not taken back without being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotByItself {
    /// The catalog does not say `auto_rollback` any more.
    Off,
    /// Another deploy has begun since.
    Newer,
    /// What is there to go back to is not what was live before, or it is no rollback that passes gates.
    NotLive,
    /// Other people's changes would go live with it.
    Others,
    /// Somebody locked it since.
    Locked,
}

/// One of several targets, and why it cannot be deployed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartRefused {
    /// The target, or what was typed for it.
    pub target: String,
    pub why: Refusal,
}

impl Refusal {
    /// What people are asked to approve: each is a [`Refusal::NeedsApproval`]. Of several targets, people are asked only if
    /// nothing else is in the way of any of them.
    pub fn asks_approval(&self) -> Vec<&Self> {
        let needs = |refusal: &&Self| matches!(refusal, Self::NeedsApproval { .. });
        match self {
            Self::Several { refused } if refused.iter().map(|part| &part.why).all(|why| needs(&why)) => {
                refused.iter().map(|part| &part.why).collect()
            }
            other => Some(other).filter(needs).into_iter().collect(),
        }
    }

    /// How many targets are refused.
    pub fn targets(&self) -> usize {
        match self {
            Self::Several { refused } => refused.len(),
            _ => 1,
        }
    }

    /// Until when people can approve all of it.
    pub fn approved_until(&self) -> Option<Timestamp> {
        let until = |refusal: &Self| match refusal {
            Self::NeedsApproval { until, .. } => Some(*until),
            _ => None,
        };
        self.asks_approval().into_iter().filter_map(until).min()
    }

    /// The same, for somebody who may not ask which names there are.
    pub fn without_names(self) -> Self {
        let (did_you_mean, known) = (None, Vec::new());
        match self {
            Self::UnknownApp { typed, .. } => Self::UnknownApp { typed, did_you_mean, known, unread: Vec::new() },
            Self::UnknownEnvironment { app, typed, .. } => Self::UnknownEnvironment { app, typed, did_you_mean, known },
            Self::BrokenApp { app, path, error } => {
                Self::BrokenApp { app, path, error: CatalogError { problem: String::new(), ..error } }
            }
            // Those were found without names.
            other => other,
        }
    }

    /// Whether it passes by itself, or by what others do anyway: then one can wait for it.
    pub fn is_waited_for(&self) -> bool {
        match self {
            Self::NoImage { .. }
            | Self::ChecksNotPassed { .. }
            | Self::Frozen { .. }
            | Self::Closed { .. }
            | Self::Locked { back_to: None, .. } => true,
            Self::NamedChecks { more, .. } | Self::StatusNotPassed { more, .. } => !more,
            _ => false,
        }
    }

    /// The commit that it is about, where one is known.
    pub fn head(&self) -> Option<&CommitSha> {
        match self {
            Self::NoImage { head, .. } => head.as_deref(),
            Self::ChecksNotPassed { head, .. } | Self::NamedChecks { head, .. } => Some(head),
            _ => None,
        }
    }

    /// Whether the same words may be accepted later, without anybody typing others.
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::NoImage { .. }
                | Self::ImagesDiffer { .. }
                | Self::RegistryNotNamed { .. }
                | Self::Busy { .. }
                | Self::BeforeNotLive { .. }
                | Self::ApplicationBusy { .. }
                | Self::Locked { .. }
                | Self::Frozen { .. }
                | Self::Closed { .. }
                | Self::ChecksNotPassed { .. }
                | Self::NamedChecks { .. }
                | Self::StatusNotPassed { .. }
                | Self::NoNewestThere { .. }
                | Self::GateRefused { .. }
                | Self::GateSilent { .. }
                | Self::GateNotSet { .. }
                | Self::NotReviewed { .. }
                | Self::NotLiveFirst { .. }
                | Self::ForeignChanges { .. }
                | Self::ForeignFiles { .. }
                | Self::UncountedChanges { .. }
                | Self::KeepsMoving { .. }
                | Self::TooLate { .. }
                | Self::CatalogChanged
                | Self::BrokenCatalog { .. }
                | Self::BrokenApp { .. }
                | Self::NoCatalog { .. }
                | Self::NoValuesFile { .. }
                | Self::Edit { .. }
                | Self::NoDigest { .. }
                | Self::AlreadyWritten { .. }
                | Self::Hydrated { .. }
                | Self::NotFollowed { .. }
                | Self::AutoSyncIsOn { .. }
                | Self::NotSelected { .. }
                | Self::OtherRefused { .. }
        ) || matches!(self, Self::Several { refused } if refused.iter().all(|part| part.why.may_pass()))
    }
}
