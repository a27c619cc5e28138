//! The catalog, `deploy-bot.yaml`: what may be deployed, where, and by whom.
//!
//! The catalog decides who may change a cluster, so nothing in it is guessed: what is unknown, given twice or
//! claimed by two targets is an error with its line, and a list that is missing or empty allows nobody.
//!
//! Easy to miss: an error in the entry of an app takes that app out of service, and no other. Of two apps that cannot both
//! be, the later one is out of service.

mod change;
mod fields;
mod gates;
mod include;
mod people;
mod read;
mod sets;
mod yaml;

pub use crate::people::People;
pub use crate::refusal::CatalogError;
use crate::selection::Applications;
pub use change::{CatalogChange, CatalogPusher, CatalogPushes, Difference, FoundCatalog, News, OUT, ToldCatalog};
pub use gates::{
    Allow, Approvals, Ask, Asked, Belongs, BranchGlob, Case, Checks, Closed, ForeignChanges, Freeze, Frozen,
    GateAnswer, Gates, GitOpsStatus, Immutable, InvalidWindow, LiveThere, Members, NewestThere, Only, Requires,
    Reviews, Unmet, Until,
};
pub use include::{FoundFile, Include, IncludePlace, IncludedFile, Sources, identity, included};
pub use sets::{MOST_TARGETS, Sets};

use crate::application::SyncBy;
use crate::command::{DeployWords, TargetWords, What};
use crate::deployment::folder;
use crate::image::{ImageName, Tag, TagRule, VerifyRunning};
use crate::names::{
    AppName, ArgoApplication, Contact, EnvironmentName, FilePath, GitTag, RepoName, SlackChannel, SlackUser, Target,
};
use crate::nonempty::NonEmpty;
use crate::refusal::Refusal;
use crate::text::nearest;
use crate::values::TagPath;
use std::collections::BTreeMap;
use std::time::Duration;

/// The longest catalog that is read, in bytes.
pub const LONGEST: usize = 256 * 1024;

/// Everything that may be deployed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catalog {
    /// The apps that can be deployed, by name.
    pub apps: BTreeMap<AppName, App>,
    /// What the catalog names besides, and nobody can deploy. Without any of it there are apps.
    pub out_of_service: Vec<OutOfService>,
    /// Who owns all of them: they may also lock everything.
    pub owners: People,
    /// Whom people turn to.
    pub contact: Option<Contact>,
    /// Who may ask about all of them.
    pub readers: Allow,
    /// Which files belong to it besides, and what these may name.
    pub include: Vec<Include>,
    /// Names for several apps that are deployed together.
    pub sets: Sets,
}

/// An entry with a mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutOfService {
    /// The name of the app, as it is written. `None`: an included file cannot be read, and all its apps are out of service.
    pub app: Option<String>,
    /// The file that the mistake is in.
    pub path: FilePath,
    pub error: CatalogError,
}

/// One app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    /// Its name.
    pub name: AppName,
    /// The file of the catalog that it is in.
    pub path: FilePath,
    /// On which line there.
    pub line: usize,
    /// Where its pull requests and branches are.
    pub repo: RepoName,
    /// What CI builds of it.
    pub image: ImageName,
    /// How CI names a build.
    pub tag_rule: TagRule,
    /// The Git tags that may be deployed. Empty: none.
    pub tags: Vec<BranchGlob>,
    /// How CI names the build of a Git tag.
    pub tag_of_tags: TagRule,
    /// The tags of the image that move and may be deployed by digest, such as `latest`.
    pub channels: Vec<Tag>,
    /// The files and folders of `repo` that it is built from, where CI builds only what has changed. Empty: all of them.
    pub paths: Vec<FilePath>,
    /// Where it runs; never empty.
    pub environments: BTreeMap<EnvironmentName, Environment>,
}

impl App {
    /// Whether that Git tag may be deployed.
    pub fn takes_tag(&self, tag: &GitTag) -> bool {
        self.tags.iter().any(|glob| glob.matches_tag(tag))
    }
}

/// One app in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// The files in the GitOps repository that name the tag. All of them get the same tag, in the same commit
    /// and at the same places.
    pub files: NonEmpty<FilePath>,
    /// Where in that file; never empty.
    pub tag_at: Vec<TagPath>,
    /// Where the digest of the image is written besides. Empty: nowhere.
    pub digest_at: Vec<TagPath>,
    /// Files and folders besides, whose changes go live with it: a shared chart, a base.
    pub watch: Vec<FilePath>,
    /// What Argo CD calls it. Other targets may name the same application.
    pub applications: Applications,
    /// Who may release other people's locks of the environment and override its freeze: its own list, else
    /// the app's, else the catalog's.
    pub owners: People,
    /// Whom people turn to: as the owners, each has its own or that above it.
    pub contact: Option<Contact>,
    /// Who may deploy it, and what else has to be so.
    pub gates: Gates,
    /// How long a rollout may take after Argo CD has taken the sync.
    pub deadline: Duration,
    /// How long it may be degraded before it counts as failed.
    pub degraded_grace: Duration,
    /// Under which other names its image runs.
    pub mirrors: Vec<ImageName>,
    pub verify_running: VerifyRunning,
    /// The channel in which the message of each deploy stands. `None`: where the deploy was asked for.
    pub home: Option<SlackChannel>,
    /// The environment of the same app from which its versions come, unless somebody names another one.
    pub promotes_from: Option<EnvironmentName>,
    pub sync: SyncBy,
    /// A deploy that ends degraded is taken back without being asked.
    pub auto_rollback: bool,
}

impl App {
    /// The environment that takes its versions from this one; of several, the first by name.
    pub fn promotes_to(&self, from: &EnvironmentName) -> Option<&EnvironmentName> {
        let mut all = self.environments.iter();
        all.find(|(_, environment)| environment.promotes_from.as_ref() == Some(from)).map(|(name, _)| name)
    }
}

impl Environment {
    /// Whether somebody may ask about it who may not ask about all: an owner, and who may deploy it from this channel.
    pub fn may_read(&self, user: &SlackUser, channel: &SlackChannel, members: &Members) -> Result<bool, Unmet> {
        Ok(self.owners.include(user, members)? || self.gates.allow.why_not(user, channel, members)?.is_none())
    }
}

/// Whether a target's applications may be among these. By a selector they may be any.
fn is_beside(theirs: &Applications, ours: &NonEmpty<ArgoApplication>) -> bool {
    match theirs {
        Applications::Named(theirs) => theirs.iter().any(|theirs| ours.iter().any(|ours| ours.is(theirs))),
        Applications::Selected(_) => true,
    }
}

impl Catalog {
    /// Reads a catalog; the first thing that is wrong with the whole of it is the error. `path`: where it is itself.
    pub fn read(path: &FilePath, sources: &Sources) -> Result<Self, CatalogError> {
        read::catalog(path, sources)
    }

    /// Reads a catalog without further files, that is where catalogs are by default.
    pub fn parse(text: &str) -> Result<Self, CatalogError> {
        let path = FilePath::parse("deploy-bot.yaml");
        let path = path.map_err(|wrong| CatalogError { line: None, problem: wrong.to_string() })?;
        Self::read(&path, &Sources::alone(text.to_owned()))
    }

    /// Where further files are.
    pub fn places(&self) -> Vec<IncludePlace> {
        self.include.iter().map(|one| one.place.clone()).collect()
    }

    /// Under which names the images of the other targets in a target's Argo CD application run.
    pub fn beside(&self, target: &Target, applications: &NonEmpty<ArgoApplication>) -> Vec<ImageName> {
        let mut beside = Vec::new();
        for app in self.apps.values() {
            let others = app.environments.iter().filter(|(name, other)| {
                let is_it = app.name == target.app && **name == target.environment;
                !is_it && is_beside(&other.applications, applications)
            });
            for image in others.flat_map(|(_, other)| std::iter::once(&app.image).chain(&other.mirrors)) {
                if !beside.contains(image) {
                    beside.push(image.clone());
                }
            }
        }
        beside
    }

    /// The folders of the values files of other targets. An included file is not believed that a folder is its own, unless
    /// `include` gives it all of that folder. Otherwise only the values file itself is.
    pub fn folders_of_others(&self, target: &Target) -> Vec<&str> {
        let mut folders = Vec::new();
        for app in self.apps.values() {
            let bounds = include::of(&self.include, &app.path).map(|one| one.bounds(&app.path));
            let is_whole = |folder: &str| bounds.as_ref().is_none_or(|bounds| bounds.have_all_of(folder));
            for (name, other) in &app.environments {
                let is_it = app.name == target.app && *name == target.environment;
                let files = other.files.iter().filter(|_| !is_it);
                folders.extend(
                    files
                        .map(|file| (folder(file.as_str()), file.as_str()))
                        .map(|(folder, file)| if is_whole(folder) { folder } else { file }),
                );
            }
        }
        folders
    }

    /// Whether somebody may ask about all targets, from this channel.
    pub fn may_read(&self, user: &SlackUser, channel: &SlackChannel, members: &Members) -> Result<bool, Unmet> {
        Ok(self.readers.why_not(user, channel, members)?.is_none() || self.owners.include(user, members)?)
    }

    /// The files of which no app is known.
    fn unread(&self) -> impl Iterator<Item = &FilePath> {
        self.out_of_service.iter().filter(|one| one.app.is_none()).map(|one| &one.path)
    }

    /// The target that is meant. A promote without one goes to the only environment that is promoted from another one.
    pub fn meant_by(&self, words: &DeployWords) -> Result<TargetWords, Refusal> {
        let typed = words.target();
        let is_promote = matches!(words.what, What::Promote { .. }) && typed.environment.is_none();
        let app = self.apps.values().find(|app| is_promote && app.name.as_str() == typed.app);
        let Some(app) = app else { return Ok(typed) };
        let mut promoted = app.environments.iter().filter(|(_, environment)| environment.promotes_from.is_some());
        match (promoted.next(), promoted.next()) {
            (Some((only, _)), None) => Ok(TargetWords { environment: Some(only.to_string()), ..typed }),
            _ => Err(Refusal::NoPromotion { app: app.name.clone(), to: None }),
        }
    }

    /// Finds what was typed. Without an environment it is `default`, or the only one that the app has.
    pub fn find(&self, app: &str, environment: Option<&str>) -> Result<(Target, &App, &Environment), Refusal> {
        let Some(app) = AppName::parse(app).ok().and_then(|name| self.apps.get(&name)) else {
            if let Some(OutOfService { path, error, .. }) =
                self.out_of_service.iter().find(|one| one.app.as_deref() == Some(app))
            {
                return Err(Refusal::BrokenApp { app: app.to_owned(), path: path.clone(), error: error.clone() });
            }
            return Err(Refusal::UnknownApp {
                typed: app.chars().take(64).collect(),
                did_you_mean: nearest(app, self.apps.keys().map(AppName::as_str)),
                known: self.apps.keys().take(10).map(ToString::to_string).collect(),
                unread: self.unread().take(3).cloned().collect(),
            });
        };
        let only = (app.environments.len() == 1).then(|| app.environments.iter().next()).flatten();
        let found = match environment {
            Some(typed) => app.environments.iter().find(|(name, _)| name.as_str() == typed),
            None => app.environments.iter().find(|(name, _)| name.as_str() == "default").or(only),
        };
        match found {
            Some((name, environment)) => {
                Ok((Target { app: app.name.clone(), environment: name.clone() }, app, environment))
            }
            None => Err(Refusal::UnknownEnvironment {
                app: app.name.to_string(),
                typed: environment.map(|typed| typed.chars().take(64).collect()),
                did_you_mean: environment
                    .and_then(|typed| nearest(typed, app.environments.keys().map(EnvironmentName::as_str))),
                known: app.environments.keys().take(10).map(ToString::to_string).collect(),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
