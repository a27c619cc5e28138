//! Every key that is not a deployment's fact: its name, what it holds, who writes it.

use crate::kv::{read, write};
use crate::seams::{KeyValue, StoreError};
use domain::catalog::{CatalogPushes, Sources, ToldCatalog};
use domain::command::{NotifyBy, TargetWords};
use domain::deployment::{Past, Writer};
use domain::form::FormFact;
use domain::image::{Digest, Tag};
use domain::lock::{LockLog, RolledBack, TargetLock};
use domain::names::{ArgoApplication, CommitSha, DeploymentId, SlackGroup, SlackTeam, SlackUser, Target};
use domain::nonempty::NonEmpty;
use domain::push::{Managed, PushNote};
use domain::seen::Seen;
use domain::selection::{Selected, Selection};
use domain::text::words_hash;
use domain::time::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Prefix of all our keys, in both stores: Spin's Redis backend has no namespace.
pub const PREFIX: &str = "deploy-bot/";

/// The start of a push's name, in the store and in flight. Its newest commit follows.
pub(crate) const PUSH: &str = "push/";

/// `live`: what runs. sync-poller writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveVersion {
    pub id: DeploymentId,
    pub sha: CommitSha,
}

/// `current`: whose turn it is at an Argo CD application, in which several targets may run. slack-command writes this key
/// under the application's lease, and never clears it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CurrentDeployment {
    pub id: DeploymentId,
    /// Which target the deployment is of.
    pub target: Target,
    /// Whose turn a rollback has taken before its own commit. If the rollback comes to nothing, the turn goes back.
    pub over: Option<DeploymentId>,
    /// The last deployment before this one that has committed for the application, whatever its target.
    pub last: Option<DeploymentId>,
}

/// `claims`: which deployment a button began, the oldest first. slack-command writes it under the leases of the
/// target's applications.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimedButtons {
    claims: Vec<Claim>,
}

/// Of how many buttons it is known.
const CLAIMED: usize = 50;

/// The first press that may deploy has its button, until its deployment comes to nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Claim {
    button: DeploymentId,
    by: DeploymentId,
}

impl ClaimedButtons {
    /// Which deployment has the button.
    pub fn of(&self, button: &DeploymentId) -> Option<&DeploymentId> {
        self.claims.iter().find(|claim| claim.button == *button).map(|claim| &claim.by)
    }

    /// The button is this deployment's from now on.
    pub fn claim(&mut self, button: &DeploymentId, by: &DeploymentId) {
        self.claims.retain(|claim| claim.button != *button);
        self.claims.push(Claim { button: button.clone(), by: by.clone() });
        self.claims.drain(..self.claims.len().saturating_sub(CLAIMED));
    }
}

/// `images`: which image each tag meant when it was deployed, the oldest first. slack-command writes it with the commit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployedImages {
    images: Vec<(Tag, Digest)>,
}

/// Of how many tags it is known.
const IMAGES: usize = 100;

impl DeployedImages {
    /// The image that was deployed under this tag last.
    pub fn of(&self, tag: &Tag) -> Option<&Digest> {
        self.images.iter().find(|(known, _)| known == tag).map(|(_, digest)| digest)
    }

    /// The tag means this image from now on.
    pub fn deployed(&mut self, tag: &Tag, digest: &Digest) {
        self.images.retain(|(known, _)| known != tag);
        self.images.push((tag.clone(), digest.clone()));
        self.images.drain(..self.images.len().saturating_sub(IMAGES));
    }
}

/// See [`ClaimedButtons`]. By the words of the button: they never change, and only the catalog knows more.
#[derive(Clone, Copy, Debug)]
pub struct Claims<'a>(pub &'a TargetWords);

impl Key for Claims<'_> {
    type Value = ClaimedButtons;
    const WRITER: Writer = Writer::SlackCommand;

    fn name(&self) -> String {
        let TargetWords { app, environment } = self.0;
        // The names of many apps would be too long for a key.
        let several = app.contains(',').then(|| format!("{:016x}", words_hash(app)));
        let app = several.as_ref().unwrap_or(app);
        format!("{PREFIX}target/{app}/{}/claims", environment.as_deref().unwrap_or("-"))
    }
}

/// The branch was forced or deleted. github-relay writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BranchRewritten {
    /// When we heard of it.
    pub at: Timestamp,
    /// Its head before, as the push said.
    pub before: String,
    /// Its head after it.
    pub after: String,
}

/// The catalog as last read. slack-command writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachedCatalog {
    pub at: Timestamp,
    pub sources: Sources,
}

/// The deployments of a target, or those that had none yet. What came to nothing never pushes out what was committed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ring {
    /// The newest, oldest first, whatever became of them: [`BEGUN`], and some that are still of use.
    pub ids: Vec<DeploymentId>,
    /// Those before that were committed, oldest first: [`COMMITTED`], among them [`LIVE`] that were live.
    pub committed: Vec<DeploymentId>,
    /// What is known of those of them that can change no more. It saves reading their facts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub past: Vec<Past>,
}

impl Ring {
    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &DeploymentId> {
        self.committed.iter().chain(&self.ids)
    }

    /// What is known of one that can change no more.
    pub fn past(&self, id: &DeploymentId) -> Option<&Past> {
        self.past.iter().find(|past| past.id == *id)
    }

    /// Those that can still change, or of which nobody has noted that they cannot.
    pub fn unsettled(&self) -> impl Iterator<Item = &DeploymentId> {
        self.all().filter(|id| self.past(id).is_none())
    }
}

/// How many deployments a ring keeps whatever became of them.
pub const BEGUN: usize = 20;
/// How many the installation keeps that ended before they had a target.
pub const EARLY: usize = 50;
/// How many a ring keeps besides that were committed.
pub const COMMITTED: usize = 50;
/// How many of these were live and stay, whatever was committed after them.
pub const LIVE: usize = 20;

/// A key of its own type.
pub trait Key {
    type Value: Serialize + DeserializeOwned;
    const WRITER: Writer;

    fn name(&self) -> String;

    /// What is left of a value that is not ours. Nothing is left of what permits something. What forbids stays in force.
    fn if_forged(_: Self::Value) -> Option<Self::Value> {
        None
    }
}

/// The method of a key that forbids something.
macro_rules! if_forged {
    () => {};
    (forbids) => {
        fn if_forged(value: Self::Value) -> Option<Self::Value> {
            Some(value)
        }
    };
}

/// Keys of a target: their type, what they hold, their name.
macro_rules! target_keys {
    ($($(#[$doc:meta])* $type:ident: $value:ty = $name:literal by $writer:ident $($forbids:ident)?;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $type<'a>(pub &'a Target);

        impl Key for $type<'_> {
            type Value = $value;
            const WRITER: Writer = Writer::$writer;

            fn name(&self) -> String {
                format!("{PREFIX}target/{}/{}", target_name(self.0), $name)
            }

            if_forged!($($forbids)?);
        }
    )*};
}

/// See [`CurrentDeployment`]. The one key of an application.
#[derive(Clone, Copy, Debug)]
pub struct Current<'a>(pub &'a ArgoApplication);

impl Key for Current<'_> {
    type Value = CurrentDeployment;
    const WRITER: Writer = Writer::SlackCommand;

    fn name(&self) -> String {
        format!("{PREFIX}{}/current", application_name(self.0))
    }

    if_forged!(forbids);
}

/// See [`Selected`].
#[derive(Clone, Copy, Debug)]
pub struct SelectedApplications<'a>(pub &'a Selection);

impl Key for SelectedApplications<'_> {
    type Value = Selected;
    const WRITER: Writer = Writer::SyncPoller;

    fn name(&self) -> String {
        format!("{PREFIX}selected/{:016x}", self.0.hash())
    }
}

target_keys! {
    /// See [`LiveVersion`].
    Live: LiveVersion = "live" by SyncPoller;
    /// See [`TargetLock`].
    Lock: TargetLock = "lock" by SlackCommandAlone forbids;
    /// The last deployments of a target.
    History: Ring = "history" by SlackCommand;
    /// See [`DeployedImages`].
    Images: DeployedImages = "images" by SlackCommand forbids;
    /// See [`RolledBack`].
    RolledBackVersions: RolledBack = "rolled-back" by SlackCommand forbids;
    /// See [`LockLog`].
    Locks: LockLog = "locks" by SlackCommand;
}

/// The lease under which the lock of a target changes; without a target, the lock of everything.
pub fn lock_lease(target: Option<&Target>) -> String {
    target.map_or("lock".to_owned(), |target| format!("lock/{}", target_name(target)))
}

fn target_name(target: &Target) -> String {
    format!("{}/{}", target.app, target.environment)
}

/// The leases of a target's applications, in an order that is the same for all who want them.
pub fn application_leases(applications: &NonEmpty<ArgoApplication>) -> Vec<String> {
    let names: BTreeSet<String> = applications.iter().map(application_lease).collect();
    names.into_iter().collect()
}

/// The lease of an Argo CD application, under which the turn there is taken.
pub fn application_lease(application: &ArgoApplication) -> String {
    application_name(application)
}

fn application_name(application: &ArgoApplication) -> String {
    let namespace = application.namespace.as_ref().map_or("-", |namespace| namespace.as_str());
    format!("application/{namespace}/{}", application.name)
}

/// Keys of the installation: their type, what they hold, their name.
macro_rules! single_keys {
    ($($(#[$doc:meta])* $type:ident: $value:ty = $name:literal by $writer:ident $($forbids:ident)?;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $type;

        impl Key for $type {
            type Value = $value;
            const WRITER: Writer = Writer::$writer;

            fn name(&self) -> String {
                format!("{PREFIX}{}", $name)
            }

            if_forged!($($forbids)?);
        }
    )*};
}

/// `workspace`: which workspace our token belonged to. slack-command writes it, and believes nobody else: it permits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownWorkspace {
    /// When Slack was asked.
    pub at: Timestamp,
    pub team: SlackTeam,
}

/// The deployments that wait until what refused them has passed, oldest first. slack-command writes it under the lease `waits`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    pub ids: Vec<DeploymentId>,
}

single_keys! {
    /// See [`CatalogPushes`].
    CatalogPushed: CatalogPushes = "catalog-pushed" by GithubRelay;
    /// See [`ToldCatalog`].
    CatalogTold: ToldCatalog = "catalog-told" by SlackCommandAlone;
    /// See [`BranchRewritten`].
    Rewritten: BranchRewritten = "branch/rewritten" by GithubRelay;
    /// The lock of everything, see [`TargetLock`].
    LockOfAll: TargetLock = "lock" by SlackCommandAlone forbids;
    /// Changes of the lock of everything, see [`LockLog`].
    LocksOfAll: LockLog = "locks" by SlackCommand;
    /// See [`CachedCatalog`].
    CatalogCache: CachedCatalog = "catalog" by SlackCommandAlone;
    /// See [`Managed`].
    ManagedFiles: Managed = "managed" by SlackCommand;
    /// Deployments that ended before they were in their target's history.
    EarlyEnds: Ring = "early-ends" by SlackCommand;
    /// See [`Waiting`].
    Waits: Waiting = "waits" by SlackCommandAlone;
    /// Deployments of several targets, each of which has its own in its history.
    OfSeveral: Ring = "of-several" by SlackCommand;
    /// See [`KnownWorkspace`].
    OwnWorkspace: KnownWorkspace = "workspace" by SlackCommandAlone;
}

/// `registry/<host>`: how a registry asked for a login. slack-command writes it. Without it, a question takes
/// two round trips more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryChallenge {
    /// Its `WWW-Authenticate`.
    pub challenge: String,
}

/// See [`RegistryChallenge`]. By the registry's host, of which the catalog names few.
#[derive(Clone, Copy, Debug)]
pub struct LastChallenge<'a>(pub &'a str);

impl Key for LastChallenge<'_> {
    type Value = RegistryChallenge;
    const WRITER: Writer = Writer::SlackCommandAlone;

    fn name(&self) -> String {
        format!("{PREFIX}registry/{}", self.0)
    }
}

/// `group/<id>`: who was in a Slack user group. slack-command writes it, and believes nobody else: it permits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownGroup {
    /// When Slack was asked.
    pub at: Timestamp,
    pub members: Vec<SlackUser>,
}

/// See [`KnownGroup`].
#[derive(Clone, Copy, Debug)]
pub struct Group<'a>(pub &'a SlackGroup);

impl Key for Group<'_> {
    type Value = KnownGroup;
    const WRITER: Writer = Writer::SlackCommandAlone;

    fn name(&self) -> String {
        format!("{PREFIX}group/{}", self.0)
    }
}

/// `person/<id>`: whether a person was a full member of our workspace. slack-command writes it, and believes nobody else:
/// it permits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownPerson {
    /// When Slack was asked.
    pub at: Timestamp,
    pub is_member: bool,
}

/// See [`KnownPerson`].
#[derive(Clone, Copy, Debug)]
pub struct Person<'a>(pub &'a SlackUser);

impl Key for Person<'_> {
    type Value = KnownPerson;
    const WRITER: Writer = Writer::SlackCommandAlone;

    fn name(&self) -> String {
        format!("{PREFIX}person/{}", self.0)
    }
}

/// `person/<id>/notify`: how a person wants to be told of the end. slack-command writes it for the person alone; the watch
/// reads it. What is not ours counts for nothing.
#[derive(Clone, Copy, Debug)]
pub struct Notify<'a>(pub &'a SlackUser);

impl Key for Notify<'_> {
    type Value = NotifyChoice;
    const WRITER: Writer = Writer::SlackCommand;

    fn name(&self) -> String {
        format!("{PREFIX}person/{}/notify", self.0)
    }
}

/// See [`Notify`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotifyChoice {
    pub by: NotifyBy,
}

/// `form/<person>`: the form that a person opened last. slack-command writes it, and believes nobody else: who sends the form is
/// known by it.
#[derive(Clone, Copy, Debug)]
pub struct Form<'a>(pub &'a SlackUser);

impl Key for Form<'_> {
    type Value = FormFact;
    const WRITER: Writer = Writer::SlackCommandAlone;

    fn name(&self) -> String {
        format!("{PREFIX}form/{}", self.0)
    }
}

/// See [`Seen`].
#[derive(Clone, Copy, Debug)]
pub struct SeenApplication<'a>(pub &'a ArgoApplication);

impl Key for SeenApplication<'_> {
    type Value = Seen;
    const WRITER: Writer = Writer::SyncPoller;

    fn name(&self) -> String {
        format!("{PREFIX}seen/{}/{}", self.0.project, application_name(self.0))
    }
}

/// See [`PushNote`]; by the newest commit of the push.
#[derive(Clone, Copy, Debug)]
pub struct Pushed<'a>(pub &'a CommitSha);

impl Key for Pushed<'_> {
    type Value = PushNote;
    const WRITER: Writer = Writer::GithubRelay;

    fn name(&self) -> String {
        format!("{PREFIX}{PUSH}{}", self.0)
    }
}

pub async fn load_key<K: Key>(store: &impl KeyValue, key: K) -> Result<Option<K::Value>, StoreError> {
    read(store, &key.name(), K::WRITER, K::if_forged).await
}

/// Writes a key. Only its own role may.
pub async fn save_key<K: Key>(store: &impl KeyValue, key: K, value: &K::Value) -> Result<(), StoreError> {
    write(store, &key.name(), K::WRITER, value).await
}

/// Deletes a key. Only its own role may.
pub async fn delete_key<K: Key>(store: &impl KeyValue, key: K) -> Result<(), StoreError> {
    store.delete(&key.name()).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;
    use domain::deployment::samples::{application, at, id, sha, target_plan, user};
    use domain::names::{EnvironmentName, KubeName};

    #[test]
    fn a_button_is_of_the_deployment_that_claimed_it_last() {
        let mut claims = ClaimedButtons::default();
        assert_eq!(claims.of(&id('a')), None);
        claims.claim(&id('a'), &id('1'));
        claims.claim(&id('b'), &id('2'));
        claims.claim(&id('a'), &id('3'));
        assert_eq!((claims.of(&id('a')), claims.of(&id('b'))), (Some(&id('3')), Some(&id('2'))));
        for n in 0..CLAIMED {
            claims.claim(&DeploymentId::parse(&format!("{n:032x}")).unwrap(), &id('4'));
        }
        assert_eq!((claims.of(&id('a')), claims.claims.len()), (None, CLAIMED));
        let mut words = TargetWords { app: "checkout".to_owned(), environment: None };
        assert_eq!(Claims(&words).name(), "deploy-bot/target/checkout/-/claims");
        words.environment = Some("eu".to_owned());
        assert_eq!(Claims(&words).name(), "deploy-bot/target/checkout/eu/claims");
    }

    #[test]
    fn the_turn_is_of_an_application_and_all_else_of_a_target() {
        let elsewhere = ArgoApplication { namespace: Some(KubeName::parse("teams").unwrap()), ..application() };
        assert_eq!(Current(&application()).name(), "deploy-bot/application/-/checkout/current");
        assert_eq!(Current(&elsewhere).name(), "deploy-bot/application/teams/checkout/current");
        assert_eq!(application_lease(&elsewhere), "application/teams/checkout");
        let here = target_plan().target;
        let there = Target { environment: EnvironmentName::parse("eu").unwrap(), ..here.clone() };
        assert_eq!(Live(&there).name(), "deploy-bot/target/checkout/eu/live");
        assert_eq!(Lock(&here).name(), "deploy-bot/target/checkout/default/lock");
        assert_eq!(History(&here).name(), "deploy-bot/target/checkout/default/history");
        assert_eq!(lock_lease(Some(&there)), "lock/checkout/eu");
        assert_eq!(lock_lease(None), "lock");
        assert_eq!(Rewritten.name(), "deploy-bot/branch/rewritten");
        assert_eq!(CatalogCache.name(), "deploy-bot/catalog");
        assert_eq!(EarlyEnds.name(), "deploy-bot/early-ends");
        let memory = Memory::default();
        memory.run(async {
            let lock = TargetLock {
                by: user("U1"),
                reason: "Load test".to_owned(),
                at: at(0),
                until: Some(at(60)),
                rollback: false,
                itself: false,
            };
            save_key(&memory, Lock(&here), &lock).await.unwrap();
            assert_eq!(load_key(&memory, Lock(&here)).await, Ok(Some(lock)));
            assert_eq!(load_key(&memory, Lock(&there)).await, Ok(None));
            let live = LiveVersion { id: id('1'), sha: sha('d') };
            save_key(&memory, Live(&here), &live).await.unwrap();
            assert_eq!(load_key(&memory, Live(&here)).await, Ok(Some(live)));
            let cached = CachedCatalog { at: at(1), sources: Sources::alone("apps:\n".to_owned()) };
            save_key(&memory, CatalogCache, &cached).await.unwrap();
            assert_eq!(load_key(&memory, CatalogCache).await, Ok(Some(cached)));
        });
    }
}
