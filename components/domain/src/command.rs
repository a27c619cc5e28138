//! What people type after `/deploy`, understood; or what would be right.
//!
//! Only the form is checked here. Whether the app, environment, pull request, branch or tag exists is asked
//! later. People paste, so quotes, links, capitals and the word `deploy` are understood. A word too many is
//! never ignored.

mod parse;
mod reason;
mod since;
mod words;

pub use crate::verb::Verb;
pub use reason::LONGEST_REASON;
pub use since::Since;

use crate::image::Tag;
use crate::names::{BranchName, CommitDigits, GitTag, PullRequestNumber, RepoName, SlackUser, Target};
use crate::refusal::Refusal;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// The longest text that is read, in characters.
pub const LONGEST: usize = 1000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Deploy(DeployWords),
    /// Show what a deploy would change.
    Preview(DeployWords),
    /// Say what is live.
    Status(Which),
    History {
        of: TargetWords,
        /// Only what happened since.
        since: Option<Since>,
    },
    /// Say what holds a target up, or what became of a deployment by its id.
    Why(TargetWords),
    /// Tell the asker so from now on when a deploy of theirs is live.
    Notify(NotifyBy),
    /// Say what differs between what is live in these two environments of an app.
    Diff {
        app: String,
        between: [String; 2],
    },
    /// Deploy an earlier version: `what` is a [`What::Rollback`].
    Rollback(DeployWords),
    /// Deploy what runs in another environment: `what` is a [`What::Promote`].
    Promote(DeployWords),
    Lock {
        scope: Scope,
        /// Why: one line, at most [`LONGEST_REASON`] characters.
        reason: String,
        /// For how long; until somebody unlocks it, if none was typed.
        period: Option<Duration>,
    },
    Unlock(Scope),
    Cancel(TargetWords),
    Apps,
    /// Say how commands are typed, or this command.
    Help(Option<Verb>),
}

/// An app, and its environment where one was typed; nobody has looked whether they exist.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TargetWords {
    /// The app, in lower case.
    pub app: String,
    /// The environment, in lower case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
}

/// What `status` is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    All,
    /// What the asker deployed.
    Mine,
    /// An app; or every app in an environment of that name, if there is no such app.
    Of(TargetWords),
}

/// How a person is told that a deploy is live, if it took more than a minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotifyBy {
    /// In the thread of its message.
    #[default]
    Thread,
    /// By a direct message.
    Dm,
    /// Not at all.
    Off,
}

impl NotifyBy {
    pub const ALL: [Self; 3] = [Self::Thread, Self::Dm, Self::Off];

    /// The word, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Thread => "thread",
            Self::Dm => "dm",
            Self::Off => "off",
        }
    }
}

/// What a lock is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// `all`: every app in every environment. An app of that name is locked as `all@<environment>`.
    Everything,
    Target(TargetWords),
}

/// The words of a deploy, before anyone knows whether the things they name exist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployWords {
    /// The app or the set of apps, in lower case; or several with commas between them.
    pub app: String,
    /// The environment, in lower case, where one was typed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    pub what: What,
    /// Why gates should be overridden: one line, at most [`LONGEST_REASON`] characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub override_reason: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A pull request of the app's own repository.
    PullRequest(PullRequestNumber),
    /// A word that may be a branch, a Git tag, a commit, a channel of the registry or a version of before.
    Named(BranchName),
    /// A branch of the app's own repository.
    Branch(BranchName),
    /// A Git tag of the app's own repository.
    Tag {
        tag: GitTag,
        /// The branch that its commit has to be in, where one was typed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        of: Option<BranchName>,
    },
    /// A commit of the app's own repository.
    Commit {
        digits: CommitDigits,
        /// The branch that it has to be in, where one was typed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        of: Option<BranchName>,
    },
    /// A tag of the image that moves, such as `latest`: what it is now.
    Channel(Tag),
    /// A version that was deployed before, by the tag of its image: with all gates.
    Version(Tag),
    /// A pull request by its link. Whether that is the app's repository is for the caller to check.
    PullRequestOf { repo: RepoName, number: PullRequestNumber },
    /// A version that was live before.
    Rollback(Version),
    /// The version that is live in that environment of the app; by default the one that the catalog names.
    Promote {
        /// In lower case. `None` wherever the target is left out, too.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<String>,
    },
    /// The version that is in the file now. Nobody types this: a button means it.
    Written,
}

impl What {
    /// Whether it is a version of before, which does not move.
    pub fn stands_still(&self) -> bool {
        matches!(self, Self::Rollback(_) | Self::Written)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Version {
    /// The last one that was healthy.
    LastHealthy,
    /// The one on that line of `history`, counted from 1.
    Back(u32),
    /// The one with that tag, which has the form of one.
    Tag(String),
}

impl Scope {
    /// Reads it as it is displayed.
    pub fn parse(text: &str) -> Option<Self> {
        let (app, environment) = match text.split_once('@') {
            Some((app, environment)) => (app, Some(environment.to_owned())),
            None if text == "all" => return Some(Self::Everything),
            None => (text, None),
        };
        let one_word = |text: &str| !text.is_empty() && !text.contains(char::is_whitespace);
        let valid = one_word(app) && environment.as_deref().is_none_or(one_word);
        valid.then(|| Self::Target(TargetWords { app: app.to_owned(), environment }))
    }
}

impl Command {
    /// Reads what was typed.
    ///
    /// The first word is the verb. `deploy` may be left out: then the first word is the app, unless it is a
    /// slip of a verb (see `parse`). With one word after it, `deploy` itself is the app. An app whose name is
    /// another verb is deployed with the word `deploy` in front.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        parse::command(text)
    }

    /// Its verb. A command without one does not compile, and neither does a verb without help.
    pub fn verb(&self) -> Verb {
        match self {
            Self::Deploy(_) => Verb::Deploy,
            Self::Preview(_) => Verb::Preview,
            Self::Status(_) => Verb::Status,
            Self::History { .. } => Verb::History,
            Self::Why(_) => Verb::Why,
            Self::Notify(_) => Verb::Notify,
            Self::Diff { .. } => Verb::Diff,
            Self::Rollback(_) => Verb::Rollback,
            Self::Promote(_) => Verb::Promote,
            Self::Lock { .. } => Verb::Lock,
            Self::Unlock(_) => Verb::Unlock,
            Self::Cancel(_) => Verb::Cancel,
            Self::Apps => Verb::Apps,
            Self::Help(_) => Verb::Help,
        }
    }
}

/// As it can be typed after `/deploy`, in the one form that leaves no doubt. Not escaped for Slack.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.verb().name())?;
        match self {
            Self::Deploy(words) | Self::Preview(words) | Self::Rollback(words) | Self::Promote(words) => {
                match &words.what {
                    What::Promote { from: Some(from) } => write!(f, " {}@{from}", words.app)?,
                    _ => write!(f, " {}", words.target())?,
                }
                match &words.what {
                    What::Promote { from } => {
                        if let Some(to) = words.environment.as_ref().filter(|_| from.is_some()) {
                            write!(f, " {to}")?;
                        }
                    }
                    What::PullRequest(number) => write!(f, " {number}")?,
                    What::Named(word) => write!(f, " {word}")?,
                    What::Branch(branch) => write!(f, " branch:refs/heads/{branch}")?,
                    What::Tag { tag, of } => write!(f, " tag:refs/tags/{tag}{}", of_branch(of.as_ref()))?,
                    What::Commit { digits, of } => write!(f, " commit:{digits}{}", of_branch(of.as_ref()))?,
                    What::Channel(tag) => write!(f, " channel:{tag}")?,
                    What::Version(tag) => write!(f, " version:{tag}")?,
                    What::PullRequestOf { repo, number } => write!(f, " https://github.com/{repo}/pull/{}", number.0)?,
                    What::Rollback(Version::LastHealthy) => {}
                    What::Written => f.write_str(" as it is in Git")?,
                    What::Rollback(Version::Back(line)) => write!(f, " {line}")?,
                    What::Rollback(Version::Tag(tag)) => write!(f, " tag:{tag}")?,
                }
                match &words.override_reason {
                    Some(reason) => write!(f, " override {}", reason::as_typed(reason, None, false)),
                    None => Ok(()),
                }
            }
            Self::Status(Which::All) | Self::Apps | Self::Help(None) => Ok(()),
            Self::Status(Which::Mine) => f.write_str(" @me"),
            Self::Status(Which::Of(target)) | Self::Why(target) | Self::Cancel(target) => write!(f, " {target}"),
            Self::Notify(by) => write!(f, " {}", by.name()),
            Self::Diff { app, between: [one, other] } => write!(f, " {app} {one} {other}"),
            Self::History { of, since: None } => write!(f, " {of}"),
            Self::History { of, since: Some(since) } => write!(f, " {of} --since {since}"),
            Self::Lock { scope, reason, period } => write!(f, " {scope} {}", reason::as_typed(reason, *period, true)),
            Self::Unlock(scope) => write!(f, " {scope}"),
            Self::Help(Some(verb)) => write!(f, " {}", verb.name()),
        }
    }
}

fn of_branch(of: Option<&BranchName>) -> String {
    of.map(|branch| format!(" of {branch}")).unwrap_or_default()
}

impl DeployWords {
    /// The last healthy version of a target.
    pub fn roll_back(target: &Target) -> Self {
        let TargetWords { app, environment } = target.into();
        Self { app, environment, what: What::Rollback(Version::LastHealthy), override_reason: None }
    }

    pub fn target(&self) -> TargetWords {
        TargetWords { app: self.app.clone(), environment: self.environment.clone() }
    }

    /// The apps and sets that were typed, each once.
    pub fn apps(&self) -> Vec<&str> {
        let mut apps = Vec::new();
        for app in self.app.split(',').filter(|app| !app.is_empty()) {
            if !apps.contains(&app) {
                apps.push(app);
            }
        }
        apps
    }

    /// The same words for one of the targets.
    #[must_use]
    pub fn of(&self, target: &Target) -> Self {
        let TargetWords { app, environment } = target.into();
        Self { app, environment, ..self.clone() }
    }

    /// The words of `first`, asked for again by the person `now`. An override is lent to nobody: only the person
    /// who typed it asks for it again.
    #[must_use]
    pub fn again(mut self, first: &SlackUser, now: &SlackUser) -> Self {
        self.override_reason = self.override_reason.filter(|_| first == now);
        self
    }
}

impl TargetWords {
    /// The beginning of a commit's name, if it may be one: 7 to 40 hex digits. It may be an app all the same.
    pub fn commit(&self) -> Option<&str> {
        let is_hex = self.app.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        (is_hex && self.environment.is_none() && (7..=40).contains(&self.app.len())).then_some(&self.app)
    }
}

/// As people would type it: they leave out `default`.
impl From<&Target> for TargetWords {
    fn from(target: &Target) -> Self {
        let environment = Some(target.environment.to_string()).filter(|name| name != "default");
        Self { app: target.app.to_string(), environment }
    }
}

/// As people read it in a message: `checkout@production #42`, `rollback checkout@production 2`,
/// `checkout@production from staging`.
impl fmt::Display for DeployWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = self.target();
        match &self.what {
            What::PullRequest(number) => write!(f, "{target} {number}"),
            What::Branch(word) | What::Named(word) => write!(f, "{target} {word}"),
            What::Tag { tag, of } => write!(f, "{target} {tag}{}", of_branch(of.as_ref())),
            What::Commit { digits, of } => write!(f, "{target} {}{}", digits.short(), of_branch(of.as_ref())),
            What::Channel(tag) | What::Version(tag) => write!(f, "{target} {tag}"),
            What::PullRequestOf { repo, number } => write!(f, "{target} {repo}{number}"),
            What::Rollback(Version::LastHealthy) => write!(f, "rollback {target}"),
            What::Rollback(Version::Back(line)) => write!(f, "rollback {target} {line}"),
            What::Rollback(Version::Tag(tag)) => write!(f, "rollback {target} {tag}"),
            What::Promote { from: Some(from) } => write!(f, "{target} from {from}"),
            What::Promote { from: None } => write!(f, "promote {target}"),
            What::Written => write!(f, "{target} as it is in Git"),
        }
    }
}

impl fmt::Display for TargetWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.environment {
            Some(environment) => write!(f, "{}@{environment}", self.app),
            None => f.write_str(&self.app),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str("all"),
            Self::Target(target) => write!(f, "{target}"),
        }
    }
}

#[cfg(test)]
mod tests;
