//! What people push to the GitOps branch. It is never synced, but announced in the app's channel if it
//! touches a file that the bot manages.
//!
//! github-relay writes a [`PushNote`]; sync-poller announces it and deletes it. [`Managed`] says which files
//! are managed. slack-command writes it when it reads the catalog, because the relay never reads the catalog:
//! nothing is announced until the bot was used once.

use crate::application::SyncBy;
use crate::catalog::{Allow, Catalog, IncludePlace};
use crate::names::{ArgoApplication, CommitSha, FilePath, GitHubLogin, SlackChannel, Target};
use crate::selection::{Applications, Selection};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// An older push is neither noted nor announced, even if GitHub sends it again.
pub const NEWS: Duration = Duration::from_secs(24 * 3600);

/// The most targets of one push that are announced; further ones are only counted.
pub const MOST_TARGETS: usize = 200;

/// `managed`: which targets a file belongs to, and who the bot is. slack-command writes it when the catalog has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Managed {
    /// By the path of the file.
    pub files: BTreeMap<String, Vec<ManagedTarget>>,
    /// Where further files of the catalog are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<IncludePlace>,
    /// Argo CD itself syncs one of the applications, as the catalog says.
    pub auto: bool,
    /// The account with which the bot commits. Only its pushes are the bot's.
    pub bot: GitHubLogin,
    /// When the reading of the catalog began that this is from.
    pub at: Timestamp,
}

/// A target that has the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagedTarget {
    pub target: Target,
    pub applications: Applications,
    /// A channel that it may be deployed from. Pushes are announced there until its first deploy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<SlackChannel>,
}

impl Managed {
    /// Reads it out of a catalog. `known`: what was known before. An app that is out of service has the files it had.
    pub fn of(catalog: &Catalog, known: Option<&Self>, bot: GitHubLogin, at: Timestamp) -> Self {
        let mut files: BTreeMap<String, Vec<ManagedTarget>> = BTreeMap::new();
        let mut auto = false;
        for app in catalog.apps.values() {
            for (name, environment) in &app.environments {
                let channel = match &environment.gates.allow {
                    Allow::Listed { channels, .. } => channels.first().cloned(),
                    Allow::Anyone => None,
                };
                let target = Target { app: app.name.clone(), environment: name.clone() };
                auto |= environment.sync == SyncBy::Auto;
                let managed = ManagedTarget { target, applications: environment.applications.clone(), channel };
                for path in environment.files.iter() {
                    files.entry(path.to_string()).or_default().push(managed.clone());
                }
            }
        }
        let is_out = |target: &ManagedTarget| {
            let name = target.target.app.as_str();
            let is_it = |app: &Option<String>| app.as_deref().is_none_or(|app| app == name);
            !catalog.apps.contains_key(&target.target.app) && catalog.out_of_service.iter().any(|one| is_it(&one.app))
        };
        if let Some(known) = known {
            auto |= known.auto && !catalog.out_of_service.is_empty();
            for (path, targets) in &known.files {
                for target in targets.iter().filter(|target| is_out(target)) {
                    files.entry(path.clone()).or_default().push(target.clone());
                }
            }
        }
        Self { files, include: catalog.places(), auto, bot, at }
    }

    /// What the poller has to look up, each once.
    pub fn selections(&self) -> BTreeSet<&Selection> {
        let all = self.files.values().flatten().map(|target| &target.applications);
        all.filter_map(|applications| match applications {
            Applications::Selected(selection) => Some(selection),
            Applications::Named(_) => None,
        })
        .collect()
    }

    /// All Argo CD applications that the catalog names, each once.
    pub fn applications(&self) -> Vec<ArgoApplication> {
        let mut all: Vec<ArgoApplication> = Vec::new();
        for application in self.files.values().flatten().flat_map(|target| target.applications.named()) {
            if !all.contains(application) {
                all.push(application.clone());
            }
        }
        all
    }
}

/// `push/<after>`: a push to announce. github-relay writes it, the same bytes for the same push; sync-poller
/// deletes it when it is announced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushNote {
    pub at: Timestamp,
    pub who: String,
    /// The newest commit's first line.
    pub headline: String,
    pub commits: u32,
    pub before: CommitSha,
    pub after: CommitSha,
    pub url: String,
    pub touched: Vec<Touched>,
    /// How many targets it touched besides.
    pub more: u32,
}

/// A target of which a push touched a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touched {
    pub managed: ManagedTarget,
    pub files: Vec<FilePath>,
    /// The commits that touched them, newest first.
    pub wrote: Vec<CommitSha>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalog_says_which_files_belong_to_whom() {
        let text = "
apps:
  checkout:
    repo: acme/checkout
    image: ghcr.io/acme/checkout
    allow: { users: [U1], channels: [C0DEPLOYS, C0OTHER] }
    environments:
      staging: { values: checkout/staging.yaml, argocd: { application: checkout-staging } }
      production:
        values: [checkout/production.yaml, checkout/more.yaml]
        argocd: { application: checkout-production }
  shop: { repo: acme/shop, image: ghcr.io/acme/shop, allow: anyone, sync: auto }
    ";
        let bot = || GitHubLogin::parse("deploy-bot[bot]").unwrap();
        let of = |text: &str| Managed::of(&Catalog::parse(text).unwrap(), None, bot(), Timestamp(7));
        let managed = of(text);
        let lines: Vec<String> = managed
            .files
            .iter()
            .flat_map(|(path, all)| all.iter().map(move |one| (path, one)))
            .map(|(path, one)| {
                let channel = one.channel.as_ref().map_or("-", SlackChannel::as_str);
                format!("{path}: {} {} {channel}", one.target, one.applications.named().next().unwrap().name)
            })
            .collect();
        assert_eq!(
            lines,
            [
                "checkout/more.yaml: checkout@production checkout-production C0DEPLOYS",
                "checkout/production.yaml: checkout@production checkout-production C0DEPLOYS",
                "checkout/staging.yaml: checkout@staging checkout-staging C0DEPLOYS",
                "shop/values.yaml: shop shop -",
            ]
        );
        assert!(managed.auto && !of(&text.replace(", sync: auto", "")).auto);
        // Out of service, and then not there at all.
        let next = |text: &str| Managed::of(&Catalog::parse(text).unwrap(), Some(&managed), bot(), Timestamp(7));
        assert_eq!(next(&text.replace("repo: acme/checkout", "repo: acme")), managed);
        let broken = next(&text.replace(", sync: auto", ", sync: never"));
        assert_eq!(broken, managed);
        let alone = next("apps: { cart: { repo: a/b, image: c }, shop: { repo: acme } }");
        assert_eq!(alone.files.keys().collect::<Vec<_>>(), ["cart/values.yaml", "shop/values.yaml"]);
    }
}
