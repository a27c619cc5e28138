//! The catalog, `deploy-bot.yaml`: what may be deployed, where, and by whom.
//!
//! It decides who may change a cluster, so nothing in it is guessed: what is unknown, given twice or claimed by two targets is
//! an error with its line, and a list that is missing or empty allows nobody.

mod gates;
mod read;
mod yaml;

pub use gates::{Approvals, BranchGlob, Checks, ForeignChanges, Freeze, Gates, InvalidFreeze, People};

use crate::image::{ImageName, TagRule};
use crate::names::{
    AppName, ArgoApplication, EnvironmentName, FilePath, RepoName, SlackChannel, SlackGroup, SlackUser, Target,
};
use crate::nonempty::NonEmpty;
use crate::refusal::Refusal;
use crate::text::nearest;
use crate::values::TagPath;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// The longest catalog that is read, in bytes.
pub const LONGEST: usize = 256 * 1024;

/// Why the catalog cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogError {
    /// The line, counted from 1, where there is one.
    pub line: Option<usize>,
    /// What is wrong, in words.
    pub problem: String,
}

/// Everything that may be deployed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catalog {
    /// The apps, by name; never empty.
    pub apps: BTreeMap<AppName, App>,
    /// Who owns all of them: they may also lock everything.
    pub owners: People,
}

/// One app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    /// Its name.
    pub name: AppName,
    /// Where its pull requests and branches are.
    pub repo: RepoName,
    /// What CI builds of it.
    pub image: ImageName,
    /// How CI names a build.
    pub tag_rule: TagRule,
    /// Where it runs; never empty.
    pub environments: BTreeMap<EnvironmentName, Environment>,
}

/// One app in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// The files in the GitOps repository that name the tag. All of them get the same tag, in the same commit and at the same places.
    pub files: NonEmpty<FilePath>,
    /// Where in that file; never empty.
    pub tag_at: Vec<TagPath>,
    /// What Argo CD calls it.
    pub argocd: ArgoApplication,
    /// Who may deploy it.
    pub allow: Allow,
    /// Who may release other people's locks of it and override its freeze: its own list, else the app's, else the catalog's.
    pub owners: People,
    /// What else has to be so.
    pub gates: Gates,
    /// How long a deployment may take, from its commit on.
    pub deadline: Duration,
    /// How long it may be degraded before it counts as failed.
    pub degraded_grace: Duration,
}

/// Who may deploy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allow {
    /// Every member of the workspace.
    Anyone,
    /// Those who are named, by themselves or by a group, in one of the channels. No people: whoever is in one of the channels.
    /// No channels: anywhere. Neither: nobody.
    Listed {
        /// People.
        users: Vec<SlackUser>,
        /// User groups.
        groups: Vec<SlackGroup>,
        /// Channels.
        channels: Vec<SlackChannel>,
    },
}

/// What a missing or empty `allow` means.
const NOBODY: Allow = Allow::Listed { users: Vec::new(), groups: Vec::new(), channels: Vec::new() };

/// Whether somebody may deploy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Yes.
    Allowed,
    /// Nobody may.
    Nobody,
    /// Others may.
    NotListed,
    /// They may, but not from this channel.
    WrongChannel,
}

impl Allow {
    /// Decides about one person in one channel.
    ///
    /// Asking Slack for groups can be saved: decide without any first, and ask only if that gives [`Decision::NotListed`] and [`Allow::groups`] has some.
    pub fn decide(&self, user: &SlackUser, groups_of_user: &[SlackGroup], channel: &SlackChannel) -> Decision {
        let Self::Listed { users, groups, channels } = self else { return Decision::Allowed };
        let any_person = users.is_empty() && groups.is_empty();
        if any_person && channels.is_empty() {
            Decision::Nobody
        } else if !any_person && !users.contains(user) && !groups_of_user.iter().any(|group| groups.contains(group)) {
            Decision::NotListed
        } else if !channels.is_empty() && !channels.contains(channel) {
            Decision::WrongChannel
        } else {
            Decision::Allowed
        }
    }

    /// The groups whose members may deploy.
    pub fn groups(&self) -> &[SlackGroup] {
        match self {
            Self::Anyone => &[],
            Self::Listed { groups, .. } => groups,
        }
    }
}

impl Catalog {
    /// Reads a catalog; the first thing that is wrong with it is the error.
    pub fn parse(text: &str) -> Result<Self, CatalogError> {
        read::catalog(text)
    }

    /// Finds what was typed. Without an environment it is `default`, or the only one that the app has.
    pub fn find(&self, app: &str, environment: Option<&str>) -> Result<(Target, &App, &Environment), Refusal> {
        let Some(app) = AppName::parse(app).ok().and_then(|name| self.apps.get(&name)) else {
            return Err(Refusal::UnknownApp {
                typed: app.chars().take(64).collect(),
                did_you_mean: nearest(app, self.apps.keys().map(AppName::as_str)),
                known: self.apps.keys().take(10).map(ToString::to_string).collect(),
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
                typed: environment.unwrap_or_default().chars().take(64).collect(),
                did_you_mean: nearest(
                    environment.unwrap_or_default(),
                    app.environments.keys().map(EnvironmentName::as_str),
                ),
                known: app.environments.keys().take(10).map(ToString::to_string).collect(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::read::parse_duration;
    use super::*;
    use crate::names::BranchName;
    use crate::time::Timestamp;
    use proptest::prelude::*;

    const SHORTEST: &str = "
apps:
  checkout:
    repo: acme/checkout
    image: ghcr.io/acme/checkout
    allow: anyone
";

    const LONG: &str = "
apps:
  checkout:
    repo: acme/checkout
    image: ghcr.io/acme/checkout
    tag: 'sha-{sha:12}'
    allow: &team { users: [U1, W2], groups: [S1] }
    tag_at: [image.tag, 'worker[0].tag']
    deadline: 20m
    environments:
      staging:
        values: env/staging/checkout.yaml
        argocd: { application: checkout-staging }
      production:
        values: [env/production/checkout.yaml, env/production/worker.yaml]
        tag_at: checkout.image.tag
        argocd: { application: checkout, project: shop, namespace: argocd-shop }
        allow: { groups: [S9], channels: [C1] }
        deadline: 1h30m
        degraded_grace: 0s
  cart:
    repo: acme/cart
    image: cart
    allow: *team
    environments:
      production:
";

    const GATED: &str = "
owners: { users: [U1], groups: [S1] }
apps:
  checkout:
    repo: acme/checkout
    image: checkout
    allow: anyone
    owners: { groups: [S2] }
    branches: [main, 'release/*']
    checks: required
    foreign_changes: refuse
    approvals: { count: 2, groups: [S3], users: [U3] }
    freeze:
      - { from: 'Fri 16:00', until: 'Mon 08:00', zone: Europe/Berlin }
      - { from: 22:00, until: 06:00, zone: America/New_York }
    environments:
      production:
        argocd: { application: production }
      staging:
        tag_at: staging.tag
        argocd: { application: staging }
        owners: { users: [U4] }
        branches: ['**']
        checks: ignore
        foreign_changes: warn
        approvals: none
        freeze: none
      canary:
        tag_at: canary.tag
        argocd: { application: canary }
        owners: {}
        approvals: { users: [U5, U6], count: 2, expires: 30m }
        freeze: [{ from: Sat 00:00, until: Mon 00:00, zone: UTC }]
  cart:
    repo: acme/cart
    image: cart
    branches: [trunk]
  mail:
    repo: acme/mail
    image: mail
    environments: { default: }
";

    fn app(name: &str, rest: &str) -> String {
        format!("apps:\n  {name}:\n    repo: acme/x\n    image: acme/x\n{rest}")
    }

    #[test]
    fn the_shortest_catalog_has_a_default_for_everything_else() {
        let catalog = Catalog::parse(SHORTEST).unwrap();
        let (target, app, environment) = catalog.find("checkout", None).unwrap();
        assert_eq!(target.to_string(), "checkout");
        insta::assert_snapshot!(format!("{} {} {:?}\n{}", app.repo, app.image, app.tag_rule == TagRule::default(), shown(environment)), @"
        acme/checkout ghcr.io/acme/checkout true
        checkout/values.yaml at image.tag; checkout in default of None; 600s, 10s; Anyone
        ");
    }

    fn shown(environment: &Environment) -> String {
        let Environment { tag_at, argocd, allow, deadline, degraded_grace, .. } = environment;
        let values = environment.files.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
        let tag_at: Vec<String> = tag_at.iter().map(ToString::to_string).collect();
        let namespace = argocd.namespace.as_ref().map(ToString::to_string);
        let allow = match allow {
            Allow::Anyone => "Anyone".to_owned(),
            Allow::Listed { users, groups, channels } => {
                let ids = users.iter().map(ToString::to_string);
                let ids =
                    ids.chain(groups.iter().map(ToString::to_string)).chain(channels.iter().map(ToString::to_string));
                format!("{:?}", ids.collect::<Vec<_>>())
            }
        };
        let (deadline, grace) = (deadline.as_secs(), degraded_grace.as_secs());
        format!(
            "{values} at {}; {} in {} of {namespace:?}; {deadline}s, {grace}s; {allow}",
            tag_at.join(" and "),
            argocd.name,
            argocd.project
        )
    }

    #[test]
    fn the_long_form_says_once_what_environments_share() {
        let catalog = Catalog::parse(LONG).unwrap();
        let mut lines = Vec::new();
        for (app, environment) in [("checkout", Some("staging")), ("checkout", Some("production")), ("cart", None)] {
            let (target, _, environment) = catalog.find(app, environment).unwrap();
            lines.push(format!("{target}: {}", shown(environment)));
        }
        insta::assert_snapshot!(lines.join("\n"), @r#"
        checkout@staging: env/staging/checkout.yaml at image.tag and worker[0].tag; checkout-staging in default of None; 1200s, 10s; ["U1", "W2", "S1"]
        checkout@production: env/production/checkout.yaml and env/production/worker.yaml at checkout.image.tag; checkout in shop of Some("argocd-shop"); 5400s, 0s; ["S9", "C1"]
        cart@production: cart/values.yaml at image.tag; cart in default of None; 600s, 10s; ["U1", "W2", "S1"]
        "#);
    }

    fn wrong(text: &str) -> String {
        match Catalog::parse(text).unwrap_err() {
            CatalogError { line: Some(line), problem } => format!("line {line}: {problem}"),
            CatalogError { line: None, problem } => problem,
        }
    }

    fn shown_gates(environment: &Environment) -> String {
        let Environment { owners, gates, .. } = environment;
        let people = |People { users, groups }: &People| {
            let ids = users.iter().map(ToString::to_string).chain(groups.iter().map(ToString::to_string));
            ids.collect::<Vec<_>>().join(" ")
        };
        let branches: Vec<_> = gates.branches.iter().map(ToString::to_string).collect();
        let approvals = gates
            .approvals
            .as_ref()
            .map(|Approvals { count, by, expires }| format!("{count} of {} within {}s", people(by), expires.as_secs()));
        let freeze: Vec<_> = gates.freeze.iter().map(ToString::to_string).collect();
        format!(
            "owners {}; branches {branches:?}; {:?}, {:?}; {approvals:?}; {freeze:?}",
            people(owners),
            gates.checks,
            gates.foreign_changes
        )
    }

    #[test]
    fn an_environment_has_its_own_owners_and_gates_or_those_of_the_app() {
        let catalog = Catalog::parse(GATED).unwrap();
        let mut lines = Vec::new();
        for app in catalog.apps.values() {
            for (name, environment) in &app.environments {
                lines.push(format!("{}@{name}: {}", app.name, shown_gates(environment)));
            }
        }
        insta::assert_snapshot!(lines.join("\n"), @r#"
        cart@default: owners U1 S1; branches ["trunk"]; Ignore, Warn; None; []
        checkout@canary: owners ; branches ["main", "release/*"]; Required, Refuse; Some("2 of U5 U6 within 1800s"); ["Sat 00:00 to Mon 00:00 UTC"]
        checkout@production: owners S2; branches ["main", "release/*"]; Required, Refuse; Some("2 of U3 S3 within 3600s"); ["Fri 16:00 to Mon 08:00 Europe/Berlin", "22:00 to 06:00 America/New_York"]
        checkout@staging: owners U4; branches ["**"]; Ignore, Warn; None; []
        mail@default: owners U1 S1; branches []; Ignore, Warn; None; []
        "#);
        assert!(catalog.owners.names(&SlackUser::parse("U1").unwrap()));
        let shortest = Catalog::parse(SHORTEST).unwrap();
        assert!(shortest.owners.is_empty());
        let (_, _, environment) = shortest.find("checkout", None).unwrap();
        assert!(environment.owners.is_empty() && environment.gates == Gates::default());
        let any = BranchName::parse("any/branch").unwrap();
        assert!(environment.gates.takes_branch(&any) && environment.gates.frozen_until(Timestamp(0)).is_none());
        assert!(!catalog.find("cart", None).unwrap().2.gates.takes_branch(&any));
    }

    #[test]
    fn a_gate_that_says_nothing_certain_is_refused_with_its_line() {
        let all = [
            format!("owners: [U1]{SHORTEST}"),
            format!("owners: U1{SHORTEST}"),
            format!("owners: {{ user: [U1] }}{SHORTEST}"),
            format!("owners: {{ channels: [C1] }}{SHORTEST}"),
            format!("owners: {{ users: [alice] }}{SHORTEST}"),
            app("x", "    owners: { users: [], groups: [S1] }"),
            app("x", "    branches: main"),
            app("x", "    branches: []"),
            app("x", "    branches:"),
            app("x", "    branches:\n      - main\n      - 'release/[0-9]'"),
            app("x", "    branches: [{ main: }]"),
            app("x", "    branch: [main]"),
            app("x", "    checks: require"),
            app("x", "    checks: true"),
            app("x", "    checks:"),
            app("x", "    foreign_changes: ignore"),
            app("x", "    approvals: 2"),
            app("x", "    approvals:"),
            app("x", "    approvals: []"),
            app("x", "    approvals: { count: 2 }"),
            app("x", "    approvals: { users: [], groups: [] }"),
            app("x", "    approvals: { users: [], groups: [S1] }"),
            app("x", "    approvals: { count: 0, groups: [S1] }"),
            app("x", "    approvals: { count: 11, groups: [S1] }"),
            app("x", "    approvals: { count: +1, groups: [S1] }"),
            app("x", "    approvals: { count: [1], groups: [S1] }"),
            app("x", "    approvals: { count: 2, users: [U1, U1] }"),
            app("x", "    approvals: { groups: [S1], expires: 25h }"),
            app("x", "    approvals: { groups: [S1], expires: 30s }"),
            app("x", "    approvals: { groups: [S1], expire: 1h }"),
            app("x", "    freeze: never"),
            app("x", "    freeze: []"),
            app("x", "    freeze:"),
            app("x", "    freeze: { from: 10:00, until: 11:00, zone: UTC }"),
            app("x", "    freeze: [weekends]"),
            app("x", "    freeze: [{ from: 10:00, until: 11:00 }]"),
            app("x", "    freeze: [{ from: 10:00, till: 11:00, zone: UTC }]"),
            app("x", "    freeze:\n      - from: 10:00\n        until: 11:00\n        zone: Europe/Berln"),
            app("x", "    freeze:\n      - from: 10:00\n        until: 10:00\n        zone: UTC"),
            app("x", "    freeze:\n      - from: 25:00\n        until: 10:00\n        zone: UTC"),
            app("x", &format!("    freeze: [{}]", "{ from: 10:00, until: 11:00, zone: UTC }, ".repeat(21))),
            app("x", "    freeze: none\n    environments:\n      a: { freeze: [] }"),
        ];
        let all: Vec<String> = all.iter().map(|text| wrong(text)).collect();
        insta::assert_snapshot!(all.join("\n"), @"
        line 1: `owners` must be a map, not a list
        line 1: `owners` must be a map, not text
        line 1: `owners` cannot have `user`: did you mean `users`?
        line 1: `owners` cannot have `channels`: it can have `users`, `groups`
        line 1: `users`: `alice` is not a Slack user id such as `U0123ABCDE`
        line 5: `users` is empty beside a list that is not: fill it, or leave it out
        line 5: `branches` must be a list, not text
        line 5: `branches` is empty: leave it out, or write `['**']`, for any branch
        line 5: `branches` is empty: leave it out, or write `['**']`, for any branch
        line 7: `branches`: `release/[0-9]` is not a pattern for branches such as `main`, `release/*` or `hotfix/**`
        line 5: an entry of `branches` must be text, not a map; text that starts with `{` needs quotes
        line 5: `x` cannot have `branch`: did you mean `branches`?
        line 5: `checks` is `ignore` or `required`, not `require`
        line 5: `checks` is `ignore` or `required`, not `true`
        line 5: `checks` must be text, not empty
        line 5: `foreign_changes` is `warn` or `refuse`, not `ignore`
        line 5: `approvals` is the word `none`, or a map of `count`, `users`, `groups` and `expires`
        line 5: `approvals` needs `users` or `groups` who may approve
        line 5: `approvals` must be a map, not a list
        line 5: `approvals` needs `users` or `groups` who may approve
        line 5: `approvals` needs `users` or `groups` who may approve
        line 5: `users` is empty beside a list that is not: fill it, or leave it out
        line 5: `count` must be a number from 1 to 10
        line 5: `count` must be a number from 1 to 10
        line 5: `count` must be a number from 1 to 10
        line 5: `count` must be text, not a list
        line 5: `approvals` asks for 2 people and names only 1
        line 5: `expires` must be from 1m to 24h
        line 5: `expires` must be from 1m to 24h
        line 5: `approvals` cannot have `expire`: did you mean `expires`?
        line 5: `freeze` is the word `none`, or a list of windows with `from`, `until` and `zone`
        line 5: `freeze` is empty: leave it out, or write `none`
        line 5: `freeze` is empty: leave it out, or write `none`
        line 5: `freeze` must be a list, not a map
        line 5: an entry of `freeze` must be a map, not text
        line 5: an entry of `freeze` has no `zone`
        line 5: an entry of `freeze` cannot have `till`: it can have `from`, `until`, `zone`
        line 8: `zone`: `Europe/Berln` is not a known time zone: did you mean `Europe/Berlin`?
        line 7: `until`: `10:00` is the same as `from`
        line 6: `from`: `25:00` is not a time such as `16:00` or `Fri 16:00`
        line 5: `freeze` has more than 20 windows
        line 7: `freeze` is empty: leave it out, or write `none`
        ");
    }

    #[test]
    fn a_catalog_without_apps_is_refused() {
        let texts = [
            "",
            "# nothing yet\n",
            "---\n",
            "{}",
            "apps:\n",
            "# head\napps: {}\n",
            "[]",
            "apps",
            "apps: [checkout]",
            "app: {}",
        ];
        let all: Vec<String> = texts.into_iter().map(wrong).collect();
        insta::assert_snapshot!(all.join("\n"), @"
        it has no apps
        it has no apps
        it has no apps
        it has no apps
        line 1: it has no apps
        line 2: it has no apps
        line 1: the catalog must be a map, not a list
        line 1: the catalog must be a map, not text
        line 1: `apps` must be a map, not a list
        line 1: the catalog cannot have `app`: did you mean `apps`?
        ");
    }

    #[test]
    fn unknown_keys_are_named_with_what_was_meant() {
        let all = [
            app("x", "    repository: acme/x"),
            app("x", "    alow: anyone"),
            app("x", "    colour: red"),
            app("x", "    argocd: { app: x }"),
            app("x", "    allow: { user: [U1] }"),
            app("x", "    environments:\n      production: { repo: acme/x }"),
            app("x", "    <<: { allow: anyone }"),
            format!("{SHORTEST}defaults: {{}}"),
        ];
        let all: Vec<String> = all.iter().map(|text| wrong(text)).collect();
        insta::assert_snapshot!(all.join("\n"), @"
        line 5: `x` cannot have `repository`: did you mean `repo`?
        line 5: `x` cannot have `alow`: did you mean `allow`?
        line 5: `x` cannot have `colour`: it can have `repo`, `image`, `tag`, `environments`, `values`, `tag_at`, `argocd`, `allow`, `owners`, `branches`, `checks`, `foreign_changes`, `approvals`, `freeze`, `deadline`, `degraded_grace`
        line 5: `argocd` cannot have `app`: did you mean `application`?
        line 5: `allow` cannot have `user`: did you mean `users`?
        line 6: `production` cannot have `repo`: it can have `values`, `tag_at`, `argocd`, `allow`, `owners`, `branches`, `checks`, `foreign_changes`, `approvals`, `freeze`, `deadline`, `degraded_grace`
        line 5: `x` cannot have `<<`: merge keys are not supported; an alias of a whole value is
        line 7: the catalog cannot have `defaults`: it can have `apps`, `owners`
        ");
    }

    #[test]
    fn a_key_given_twice_is_refused() {
        let all = [
            format!("{SHORTEST}  checkout:\n    repo: evil/checkout\n    image: x\n    allow: anyone\n"),
            app("x", "    repo: acme/y"),
            app("x", "    allow: anyone\n    'allow': {}"),
            app("x", "    environments:\n      a: {}\n      b: {}\n      a: {}"),
            app("x", "    allow: { users: [U1], users: [U2] }"),
            "apps: {}\napps: {}".to_owned(),
        ];
        let all: Vec<String> = all.iter().map(|text| wrong(text)).collect();
        insta::assert_snapshot!(all.join("\n"), @"
        line 7: `checkout` is given twice, first in line 3
        line 5: `repo` is given twice, first in line 3
        line 6: `allow` is given twice, first in line 5
        line 8: `a` is given twice, first in line 6
        line 5: `users` is given twice, first in line 5
        line 2: `apps` is given twice, first in line 1
        ");
    }

    #[test]
    fn wrong_values_are_named_with_their_line() {
        let all = [
            "apps:\n  Checkout: {}".to_owned(),
            "apps:\n  x:\n    image: x".to_owned(),
            "apps:\n  x:\n    repo: acme/x".to_owned(),
            "apps:\n  x: acme/x".to_owned(),
            "apps:\n  x:\n    repo: acme\n    image: x".to_owned(),
            "apps:\n  x:\n    repo: [acme/x]\n    image: x".to_owned(),
            "apps:\n  x:\n    repo:\n    image: x".to_owned(),
            "apps:\n  x:\n    repo: acme/x\n    image: ghcr.io/acme/x:v1".to_owned(),
            app("x", "    tag: '{branch}'"),
            app("x", "    tag: {branch}-{sha:7}"),
            app("x", "    tag: {sha}"),
            app("x", "    values: ../x.yaml"),
            app("x", "    tag_at: []"),
            app("x", "    tag_at: image..tag"),
            app("x", "    tag_at:\n      - image.tag\n      - 'a['"),
            app("x", "    tag_at:\n      - image.tag\n      - image.tag"),
            app("x", "    argocd: checkout"),
            app("x", "    argocd:\n      project: Shop"),
            app("my_app", "    allow: anyone"),
            app("x", "    deadline: 600"),
            app("x", "    deadline: 10s"),
            app("x", "    deadline: 2h1s"),
            app("x", "    degraded_grace: 1h"),
            app("x", "    environments: {}"),
            app("x", "    environments: [production]"),
            app("x", "    environments:\n      Production: {}"),
            app("x", "    values: x.yaml\n    environments:\n      production: {}"),
            app("x", "    ? [a]\n    : b"),
        ];
        let all: Vec<String> = all.iter().map(|text| wrong(text)).collect();
        insta::assert_snapshot!(all.join("\n"), @r#"
        line 2: `Checkout` is not a valid app name (a-z, 0-9, '-', '_', '.')
        line 2: `x` has no `repo`
        line 2: `x` has no `image`
        line 2: `x` must be a map, not text
        line 3: `repo`: `acme` is not a valid repository (owner/name)
        line 3: `repo` must be text, not a list
        line 3: `repo` must be text, not empty
        line 4: `image`: `ghcr.io/acme/x:v1` is not a valid image name (registry/repository in lower case, without a tag)
        line 5: `tag`: it must contain `{sha}` or `{sha:7}`, so that a tag belongs to one commit
        line 5: this is not YAML: while parsing a block mapping, did not find expected key
        line 5: `tag` must be text, not a map; text that starts with `{` needs quotes
        line 5: `values`: `../x.yaml` is not a valid path of a file in a repository
        line 5: `tag_at` is empty: leave it out for `image.tag`
        line 5: `tag_at`: `image..tag` is not a valid path of a value (such as image.tag, images[0].tag or "a.b".tag)
        line 7: `tag_at`: `a[` is not a valid path of a value (such as image.tag, images[0].tag or "a.b".tag)
        line 2: `tag_at` of `x` names `image.tag` twice
        line 5: `argocd` must be a map, not text
        line 6: `project`: `Shop` is not a valid Kubernetes name (a-z, 0-9, '-', '.')
        line 2: `my_app` cannot be the name of an Argo CD application: name it with `argocd: {application: …}`
        line 5: `deadline`: `600` is not a time such as `90s`, `10m` or `1h30m`
        line 5: `deadline` must be from 30s to 2h
        line 5: `deadline` must be from 30s to 2h
        line 5: `degraded_grace` must be from 0s to 10m
        line 5: `environments` must name 1 to 100 environments
        line 5: `environments` must be a map, not a list
        line 6: `Production` is not a valid environment name (a-z, 0-9, '-', '_', '.')
        line 5: `values` cannot stand beside `environments`: each environment has its own
        line 5: a key must be a word
        "#);
    }

    #[test]
    fn allow_is_a_word_or_lists_of_slack_ids() {
        let all = [
            "everybody",
            "[U1]",
            "{ users: [alice] }",
            "{ users: [S1] }",
            "{ groups: [U1] }",
            "{ channels: ['#shop'] }",
            "{ users: U1 }",
            "{ users: [[U1]] }",
            "{ users: [], channels: [C1] }",
            "{ users: [U1], channels: }",
        ];
        let all: Vec<String> = all.iter().map(|allow| wrong(&app("x", &format!("    allow: {allow}")))).collect();
        insta::assert_snapshot!(all.join("\n"), @"
        line 5: `allow` is the word `anyone`, or a map of `users`, `groups` and `channels`
        line 5: `allow` is the word `anyone`, or a map of `users`, `groups` and `channels`
        line 5: `users`: `alice` is not a Slack user id such as `U0123ABCDE`
        line 5: `users`: `S1` is not a Slack user id such as `U0123ABCDE`
        line 5: `groups`: `U1` is not a Slack user group id such as `S0123ABCDE`
        line 5: `channels`: `#shop` is not a Slack channel id such as `C0123ABCDE`
        line 5: `users` must be a list, not text
        line 5: an entry of `users` must be text, not a list
        line 5: `users` is empty beside a list that is not: fill it, or leave it out
        line 5: `channels` is empty beside a list that is not: fill it, or leave it out
        ");
    }

    #[test]
    fn two_targets_never_share_an_application_or_a_place() {
        let all = [
            app("x", "    environments:\n      a: {}\n      b: {}"),
            app(
                "x",
                "    environments:\n      a: { argocd: { application: a } }\n      b: { argocd: { application: b } }",
            ),
            format!(
                "{}{}",
                app("x", "    values: v.yaml\n"),
                "  y:\n    repo: acme/y\n    image: y\n    argocd: { application: x }"
            ),
            format!(
                "{}{}",
                app("x", "    values: v.yaml\n"),
                "  y:\n    repo: acme/y\n    image: y\n    values: v.yaml\n    tag_at: [y.tag, '\"image\".tag']"
            ),
        ];
        let all: Vec<String> = all.iter().map(|text| wrong(text)).collect();
        insta::assert_snapshot!(all.join("\n"), @"
        line 7: `x@a` and `x@b` are the same Argo CD application `x`: each needs its own `argocd: {application: …}`
        line 7: `x@a` and `x@b` have their tag in the same place, `image.tag` in `x/values.yaml`
        line 6: `x` and `y` are the same Argo CD application `x`: each needs its own `argocd: {application: …}`
        line 6: `x` and `y` have their tag in the same place, `image.tag` in `v.yaml`
        ");
        let apart =
            "    environments:\n      a: { tag_at: a.tag }\n      b: { tag_at: b.tag, argocd: { namespace: other } }";
        assert!(Catalog::parse(&app("x", apart)).is_ok());
    }

    #[test]
    fn text_that_is_no_catalog_at_all() {
        let all = [
            "apps: [",
            "apps:\n\tx: 1",
            "apps: *nothing",
            "apps: &a [*a]",
            "apps: {}\n---\napps: {}\n",
            "apps:\n  x: \"open",
        ];
        let all: Vec<String> = all.into_iter().map(wrong).collect();
        insta::assert_snapshot!(all.join("\n"), @"
        line 2: this is not YAML: while parsing a node, did not find expected node content
        line 2: this is not YAML: tabs disallowed within this context (block indentation)
        line 1: this is not YAML: while parsing node, found unknown anchor
        line 1: this alias contains itself
        line 2: a second document starts here: a catalog is one document
        line 2: this is not YAML: while scanning a quoted scalar, found unexpected end of stream
        ");
        assert_eq!(wrong(&format!("{SHORTEST}#{}", "x".repeat(LONGEST))), "it is longer than 256 KiB");
        assert!(Catalog::parse(&format!("\u{feff}---\r\n{}...\r\n", SHORTEST.replace('\n', "\r\n"))).is_ok());
    }

    #[test]
    fn aliases_do_not_multiply() {
        let mut bomb = "x0: &x0 [a, a, a, a, a, a, a, a, a, a]\n".to_owned();
        for level in 1..30 {
            let below = format!("*x{}, ", level - 1).repeat(10);
            bomb.push_str(&format!("x{level}: &x{level} [{below}]\n"));
        }
        assert_eq!(wrong(&bomb), "line 5: with its aliases written out, the catalog is too large");
        // Long text, too: each app has paths of its own.
        let paths = format!("'{}x', ", "a.".repeat(31)).repeat(100);
        let apps: String = (0..1800).map(|n| format!("  a{n}: {{repo: a/b, image: c, tag_at: *t}}\n")).collect();
        let long = format!("apps:\n  x: {{repo: a/b, image: c, tag_at: &t [{paths}]}}\n{apps}");
        assert!(wrong(&long).ends_with("with its aliases written out, the catalog is too large"));
        // And depth: the tree is dropped from within, one call for each level.
        let mut chain = "x0: &x0 end\n".to_owned();
        for level in 1..80 {
            chain.push_str(&format!("x{level}: &x{level} {}*x{}{}\n", "[".repeat(40), level - 1, "]".repeat(40)));
        }
        assert_eq!(wrong(&chain), "line 3: this is nested too deeply");
        for deep in ["- ".repeat(LONGEST / 2), "? ".repeat(LONGEST / 2), "[".repeat(60)] {
            assert_eq!(wrong(&deep), "line 1: this is nested too deeply");
        }
        assert_eq!(wrong(&"[".repeat(LONGEST)), "line 1: this is not YAML: recursion limit exceeded");
        let keys: String = (0..20_000).map(|n| format!("k{n}: \n")).collect();
        assert_eq!(wrong(&keys), "line 1: the catalog cannot have `k0`: it can have `apps`, `owners`");
    }

    #[test]
    fn durations_have_units() {
        let check = |text: &str, seconds: Option<u64>| {
            assert_eq!(parse_duration(text).map(|time| time.as_secs()), seconds, "{text:?}")
        };
        check("90s", Some(90));
        check("10m", Some(600));
        check("1h30m", Some(5400));
        check("1h0m1s", Some(3601));
        check("0s", Some(0));
        for text in ["", "10", "m", "10 m", "-1m", "+1m", "1.5h", "30m1h", "1m1m", "1m30", "9999999s", "10min", "1h "] {
            check(text, None);
        }
    }

    fn decision(allow: &str, user: &str, groups: &[&str], channel: &str) -> Decision {
        let catalog = Catalog::parse(&app("x", &format!("    allow: {allow}"))).unwrap();
        let groups: Vec<SlackGroup> = groups.iter().map(|group| SlackGroup::parse(group).unwrap()).collect();
        let (_, _, environment) = catalog.find("x", None).unwrap();
        environment.allow.decide(&SlackUser::parse(user).unwrap(), &groups, &SlackChannel::parse(channel).unwrap())
    }

    #[test]
    fn who_may_deploy() {
        let check = |allow: &str, user: &str, groups: &[&str], channel: &str, expected: Decision| {
            assert_eq!(
                decision(allow, user, groups, channel),
                expected,
                "{allow} for {user} of {groups:?} in {channel}"
            );
        };
        check("anyone", "U1", &[], "C1", Decision::Allowed);
        for nobody in ["", "[]", "{}", "{ users: [] }", "{ users: [], groups: [], channels: [] }"] {
            check(nobody, "U1", &["S1"], "C1", Decision::Nobody);
        }
        check("{ users: [U1], groups: [S1] }", "U1", &[], "C1", Decision::Allowed);
        check("{ users: [U1], groups: [S1] }", "U2", &["S2", "S1"], "C1", Decision::Allowed);
        check("{ users: [U1], groups: [S1] }", "U2", &["S2"], "C1", Decision::NotListed);
        check("{ channels: [C1, C2] }", "U2", &[], "C2", Decision::Allowed);
        check("{ channels: [C1, C2] }", "U2", &[], "C3", Decision::WrongChannel);
        let both = "{ users: [U1], groups: [S1], channels: [C1] }";
        check(both, "U1", &[], "C1", Decision::Allowed);
        check(both, "U2", &["S1"], "C1", Decision::Allowed);
        check(both, "U1", &[], "C2", Decision::WrongChannel);
        check(both, "U2", &[], "C1", Decision::NotListed);
        check(both, "U2", &[], "C2", Decision::NotListed);
    }

    #[test]
    fn without_allow_nobody_may_deploy() {
        let catalog = Catalog::parse(&app("x", "")).unwrap();
        assert_eq!(catalog.find("x", None).unwrap().2.allow, NOBODY);
        assert_eq!(Allow::Anyone.groups(), []);
    }

    fn not_found(catalog: &str, app: &str, environment: Option<&str>) -> String {
        match Catalog::parse(catalog).unwrap().find(app, environment).unwrap_err() {
            Refusal::UnknownApp { typed, did_you_mean, known } => {
                format!("no app {typed}; {did_you_mean:?} of {known:?}")
            }
            Refusal::UnknownEnvironment { app, typed, did_you_mean, known } => {
                format!("no environment {typed:?} of {app}; {did_you_mean:?} of {known:?}")
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_not_in_the_catalog_is_said_with_what_is() {
        let all = [
            not_found(LONG, "chekout", None),
            not_found(LONG, "check", None),
            not_found(LONG, "cart-service", None),
            not_found(LONG, "payments", None),
            not_found(LONG, "c", None),
            not_found(LONG, "Rm -rf", None),
            not_found(LONG, "checkout", None),
            not_found(LONG, "checkout", Some("prod")),
            not_found(LONG, "checkout", Some("stagign")),
            not_found(LONG, "cart", Some("default")),
        ];
        insta::assert_snapshot!(all.join("\n"), @r#"
        no app chekout; Some("checkout") of ["cart", "checkout"]
        no app check; Some("checkout") of ["cart", "checkout"]
        no app cart-service; Some("cart") of ["cart", "checkout"]
        no app payments; None of ["cart", "checkout"]
        no app c; Some("cart") of ["cart", "checkout"]
        no app Rm -rf; None of ["cart", "checkout"]
        no environment "" of checkout; None of ["production", "staging"]
        no environment "prod" of checkout; Some("production") of ["production", "staging"]
        no environment "stagign" of checkout; Some("staging") of ["production", "staging"]
        no environment "default" of cart; None of ["production"]
        "#);
        let many: String = (0..12).map(|n| format!("  app-{n:02}: {{ repo: acme/x, image: x }}\n")).collect();
        let said = not_found(&format!("apps:\n{many}"), &"é".repeat(1000), None);
        assert!(
            said.contains(&format!("no app {};", "é".repeat(64)))
                && said.contains("app-09")
                && !said.contains("app-10"),
            "{said}"
        );
    }

    #[test]
    fn the_default_environment_or_the_only_one_need_not_be_typed() {
        let environments =
            "    environments:\n      default: {}\n      b: { tag_at: b.tag, argocd: { application: b } }";
        let catalog = Catalog::parse(&app("x", environments)).unwrap();
        assert_eq!(catalog.find("x", None).unwrap().0.to_string(), "x");
        assert_eq!(catalog.find("x", Some("default")).unwrap().0.to_string(), "x");
        assert_eq!(catalog.find("x", Some("b")).unwrap().0.to_string(), "x@b");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(apps|x|repo|a/b|image|allow|anyone|: |:\n|\n|\n  |\n    |- |\\[|\\]|\\{|\\}|,|&a|\\*a|'|\"|\\||>|!|\\?|#|%|---|\\.\\.\\.|\t|\r|\\PC|\\pC){0,60}") {
            let _ = Catalog::parse(&text);
        }

        #[test]
        fn no_damage_to_a_good_catalog_makes_it_panic(at in 0..GATED.len(), length in 0usize..20, put in "[\\PC\n]{0,5}") {
            for good in [LONG, GATED] {
                if let (Some(before), Some(after)) = (good.get(..at), good.get(at.saturating_add(length)..)) {
                    let _ = Catalog::parse(&format!("{before}{put}{after}"));
                }
            }
        }
    }
}
