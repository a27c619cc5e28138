//! What the poller sees of every application that the catalog names, and what of that is in the way of a deploy.
//!
//! Easy to miss: what was seen may be a day old. It is asked before a commit, but refuses only if a fresh look says the same.

use crate::application::{AppSource, SyncBy};
use crate::catalog::Environment;
use crate::deployment::{GitOpsBranch, left_out};
use crate::names::Target;
use crate::refusal::Refusal;
use crate::sources;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What is older is looked at again.
pub const DAY: Duration = Duration::from_secs(24 * 3600);

/// The most sources of an application that are remembered. One with so many may have more.
pub const MOST_SOURCES: usize = 20;

/// `seen/<application>`. sync-poller writes it, under the watch lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    pub at: Timestamp,
    pub found: Found,
}

/// What a look showed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// Argo CD has no such application in that project.
    NoApplication,
    /// Our account lacks the right to see it.
    Hidden,
    There(Shown),
}

/// An application as it was set up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// Without logins in their URLs.
    pub sources: Vec<AppSource>,
    /// The annotation `argocd.argoproj.io/manifest-generate-paths`.
    pub generate_paths: Option<String>,
    /// Auto-sync is on.
    pub automated: bool,
    /// It has a source hydrator.
    pub hydrated: bool,
    /// Our account may sync it.
    pub may_sync: bool,
}

impl Found {
    /// Why a commit of ours would come to nothing, if it would. What is missing may be given to us at any moment, so that
    /// does not refuse.
    pub fn refusal(&self, target: &Target, sync: SyncBy, gitops: &GitOpsBranch) -> Option<Refusal> {
        let Self::There(shown) = self else { return None };
        let target = || Box::new(target.clone());
        if shown.hydrated {
            return Some(Refusal::Hydrated { target: target() });
        }
        if !shown.sources.iter().any(|source| sources::follows(source, gitops)) {
            let (repo, branch) = (gitops.repo.clone(), gitops.branch.clone());
            return Some(Refusal::NotFollowed { target: target(), repo, branch });
        }
        (shown.automated && sync == SyncBy::Bot).then(|| Refusal::AutoSyncIsOn { target: target() })
    }

    /// What is odd with it, in short words; empty if all is well.
    pub fn oddities(&self, environment: &Environment, gitops: &GitOpsBranch) -> Vec<String> {
        let shown = match self {
            Self::NoApplication => return vec!["Argo CD has no such application".to_owned()],
            Self::Hidden => return vec!["I may not see it in Argo CD (`get`)".to_owned()],
            Self::There(shown) => shown,
        };
        let mut odd = Vec::new();
        if shown.hydrated {
            odd.push("it has a source hydrator".to_owned());
        } else if !shown.sources.iter().any(|source| sources::follows(source, gitops)) {
            odd.push("it doesn't follow the branch that I commit to".to_owned());
        }
        match (environment.sync, shown.automated) {
            (SyncBy::Bot, true) => odd.push("auto-sync is on, and the catalog has no `sync: auto`".to_owned()),
            (SyncBy::Auto, false) => odd.push("the catalog says `sync: auto`, but auto-sync is off".to_owned()),
            _ => {}
        }
        if !shown.may_sync && environment.sync == SyncBy::Bot {
            odd.push("I may not sync it in Argo CD (`sync`)".to_owned());
        }
        let annotation = shown.generate_paths.as_deref();
        if left_out(annotation, &shown.sources, &gitops.repo, environment.files.iter()).is_some() {
            odd.push("`manifest-generate-paths` leaves the values file out".to_owned());
        }
        odd
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;
    use crate::deployment::samples::{commit, target_plan};

    fn shown() -> Shown {
        let url = "https://github.com/acme/gitops".to_owned();
        let source = AppSource { url, target: "main".to_owned(), path: "checkout".to_owned() };
        Shown { sources: vec![source], may_sync: true, ..Shown::default() }
    }

    #[test]
    fn what_is_in_the_way_of_a_commit() {
        let (target, gitops) = (target_plan().target, commit().plan.gitops);
        let refusal = |found: &Found, sync| found.refusal(&target, sync, &gitops).map(|refusal| format!("{refusal:?}"));
        let name = |found: Found| {
            [SyncBy::Bot, SyncBy::Auto].map(|sync| {
                let text = refusal(&found, sync).unwrap_or("-".to_owned());
                text.split(' ').next().unwrap_or_default().to_owned()
            })
        };
        let there = |change: fn(&mut Shown)| {
            let mut shown = shown();
            change(&mut shown);
            name(Found::There(shown))
        };
        assert_eq!(there(|_| {}), ["-", "-"]);
        assert_eq!(there(|shown| shown.hydrated = true), ["Hydrated", "Hydrated"]);
        assert_eq!(there(|shown| shown.sources[0].target = "other".to_owned()), ["NotFollowed", "NotFollowed"]);
        assert_eq!(there(|shown| shown.sources.clear()), ["NotFollowed", "NotFollowed"]);
        assert_eq!(there(|shown| shown.automated = true), ["AutoSyncIsOn", "-"]);
        assert_eq!(there(|shown| shown.may_sync = false), ["-", "-"]);
        assert_eq!(name(Found::NoApplication), ["-", "-"]);
        assert_eq!(name(Found::Hidden), ["-", "-"]);
    }

    #[test]
    fn what_is_odd_is_named() {
        let catalog = "apps: { checkout: { repo: acme/checkout, image: ghcr.io/acme/checkout, allow: anyone } }";
        let auto = catalog.replace("allow", "sync: auto, allow");
        let gitops = commit().plan.gitops;
        let odd = |catalog: &str, found: &Found| {
            let catalog = Catalog::parse(catalog).unwrap();
            let environment = catalog.find("checkout", None).unwrap().2.clone();
            found.oddities(&environment, &gitops).join("; ")
        };
        let all = Shown { generate_paths: Some("/elsewhere".to_owned()), automated: true, may_sync: false, ..shown() };
        assert_eq!(odd(catalog, &Found::There(shown())), "");
        insta::assert_snapshot!(
            [
                odd(catalog, &Found::NoApplication),
                odd(catalog, &Found::Hidden),
                odd(catalog, &Found::There(all.clone())),
                odd(&auto, &Found::There(all)),
                odd(&auto, &Found::There(Shown { hydrated: true, ..shown() })),
                odd(catalog, &Found::There(Shown { sources: Vec::new(), ..shown() })),
            ]
            .join("\n"),
            @"
        Argo CD has no such application
        I may not see it in Argo CD (`get`)
        auto-sync is on, and the catalog has no `sync: auto`; I may not sync it in Argo CD (`sync`); `manifest-generate-paths` leaves the values file out
        `manifest-generate-paths` leaves the values file out
        it has a source hydrator; the catalog says `sync: auto`, but auto-sync is off
        it doesn't follow the branch that I commit to
        "
        );
    }
}
