//! What people push to the GitOps branch: never synced, but announced where the app is deployed, if it touches a file that the bot manages.
//!
//! github-relay leaves a [`PushNote`]; sync-poller tells it and deletes it. Which files are managed stands in [`Managed`], which slack-command writes whenever it
//! reads the catalog: the relay knows no catalog, and until the bot was used once nothing is announced.

use crate::catalog::{Allow, Catalog};
use crate::names::{ArgoApplication, CommitSha, FilePath, SlackChannel, Target};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// An older push is no news: neither noted, should GitHub be asked to send it again, nor told.
pub const NEWS: Duration = Duration::from_secs(24 * 3600);

/// So many targets of one push are told; more are counted.
pub const MOST_TARGETS: usize = 200;
/// `managed`: who has to hear when a file is pushed. slack-command writes it, when the catalog says something else than before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Managed {
    /// By the path of the file.
    pub files: BTreeMap<String, Vec<ManagedTarget>>,
}

/// A target that has the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagedTarget {
    /// Which.
    pub target: Target,
    /// Its Argo CD application.
    pub argocd: ArgoApplication,
    /// Where it may be deployed from: who has to hear as long as it is live from nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<SlackChannel>,
}

impl Managed {
    /// What a catalog says of it.
    pub fn of(catalog: &Catalog) -> Self {
        let mut files: BTreeMap<String, Vec<ManagedTarget>> = BTreeMap::new();
        for app in catalog.apps.values() {
            for (name, environment) in &app.environments {
                let channel = match &environment.allow {
                    Allow::Listed { channels, .. } => channels.first().cloned(),
                    Allow::Anyone => None,
                };
                let target = Target { app: app.name.clone(), environment: name.clone() };
                let managed = ManagedTarget { target, argocd: environment.argocd.clone(), channel };
                for path in environment.files.iter() {
                    files.entry(path.to_string()).or_default().push(managed.clone());
                }
            }
        }
        Self { files }
    }
}

/// `push/<after>`: a push that people have to hear of. github-relay writes it, the same bytes for the same push; sync-poller deletes it
/// when it is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushNote {
    /// When it was pushed.
    pub at: Timestamp,
    /// Who pushed, as GitHub says.
    pub who: String,
    /// The newest commit's first line.
    pub headline: String,
    /// How many commits.
    pub commits: u32,
    /// The head before.
    pub before: CommitSha,
    /// The newest commit.
    pub after: CommitSha,
    /// The repository's page.
    pub url: String,
    /// What it is about.
    pub touched: Vec<Touched>,
    /// And so many targets more.
    pub more: u32,
}

/// A target of which a push touched a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touched {
    /// Which target, and whom it concerns.
    pub managed: ManagedTarget,
    /// Its files, as far as they are named.
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
  shop: { repo: acme/shop, image: ghcr.io/acme/shop, allow: anyone }
    ";
        let managed = Managed::of(&Catalog::parse(text).unwrap());
        let lines: Vec<String> = managed
            .files
            .iter()
            .flat_map(|(path, all)| all.iter().map(move |one| (path, one)))
            .map(|(path, one)| {
                let channel = one.channel.as_ref().map_or("-", SlackChannel::as_str);
                format!("{path}: {} {} {channel}", one.target, one.argocd.name)
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
    }
}
