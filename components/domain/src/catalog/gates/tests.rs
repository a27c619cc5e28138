//! What a catalog may say of gates, and what the gates say of one case.

use super::*;
use crate::catalog::tests::{SHORTEST, app, wrong};
use crate::catalog::{Catalog, Environment};
use crate::deployment::Riders;
use crate::deployment::samples::{at, commit, user};
use crate::message;
use crate::names::{BranchName, EnvironmentName};

/// A deployment that an asker, U1, wants, and what Slack knows of its groups.
#[derive(Clone)]
pub(super) struct Example {
    pub(super) target: Target,
    pub(super) owners: People,
    pub(super) user: SlackUser,
    pub(super) channel: SlackChannel,
    pub(super) override_reason: Option<&'static str>,
    pub(super) plan: TargetPlan,
    pub(super) deployed: Option<Digest>,
    pub(super) stands_still: bool,
    pub(super) checks: CommitChecks,
    pub(super) reviews: ReviewsState,
    pub(super) live_there: Option<LiveThere>,
    pub(super) newest_there: Option<NewestThere>,
    pub(super) answer: Option<GateAnswer>,
    pub(super) origin: Origin,
    pub(super) groups: Vec<(&'static str, &'static str)>,
    pub(super) guests: Vec<&'static str>,
    pub(super) was_live: bool,
    pub(super) allow: Allow,
}

impl Example {
    pub(super) fn new() -> Self {
        let plan = commit().plan.targets.first().clone();
        Self {
            target: Target { environment: EnvironmentName::parse("production").unwrap(), ..plan.target.clone() },
            owners: People::default(),
            user: user("U1"),
            channel: SlackChannel::parse("C1").unwrap(),
            override_reason: None,
            plan: TargetPlan {
                digest: Some(Digest::parse(&format!("sha256:{}", "a".repeat(64))).unwrap()),
                riders: Riders::FirstDeploy,
                ..plan
            },
            deployed: None,
            stands_still: false,
            checks: CommitChecks::default(),
            reviews: ReviewsState::default(),
            live_there: None,
            newest_there: None,
            answer: None,
            origin: Origin::Typed,
            groups: Vec::new(),
            guests: Vec::new(),
            was_live: false,
            allow: Allow::Anyone,
        }
    }

    fn asked<'a>(&'a self, members: &'a Members) -> Asked<'a> {
        let Self { target, owners, user, channel, override_reason, .. } = self;
        Asked {
            target,
            owners,
            user,
            channel,
            override_reason: *override_reason,
            now: at(3600),
            was_live: self.was_live,
            members,
        }
    }

    fn case<'a>(&'a self, members: &'a Members) -> Case<'a> {
        Case {
            asked: self.asked(members),
            plan: &self.plan,
            deployed: self.deployed.as_ref(),
            stands_still: self.stands_still,
            checks: &self.checks,
            checks_url: Some("https://github.com/acme/checkout/commit/aaaaaaa/checks".to_owned()),
            reviews: &self.reviews,
            live_there: self.live_there.as_ref(),
            newest_there: self.newest_there.as_ref(),
            answer: self.answer.as_ref(),
            origin: &self.origin,
            allow: &self.allow,
            requested: at(0),
        }
    }

    /// What a gate that looks at the asker says, and whom Slack was asked about.
    pub(super) fn ask<G: for<'a> Gate<Sees<'a> = Asked<'a>>>(&self, gate: &G) -> String {
        self.said(|members| gate.check(&self.asked(members)))
    }

    /// What a gate that looks at everything says, and whom Slack was asked about.
    pub(super) fn check<G: for<'a> Gate<Sees<'a> = Case<'a>>>(&self, gate: &G) -> String {
        self.said(|members| gate.check(&self.case(members)))
    }

    pub(super) fn in_preview(&self, gate: &impl Gate) -> Option<String> {
        gate.in_preview(&self.case(&Members::default()))
    }

    fn said(&self, check: impl Fn(&Members) -> Result<Granted, Unmet>) -> String {
        let (members, mut slack) = (Members::default(), String::new());
        loop {
            match check(&members) {
                Ok(Granted { overridden, approved_by, .. }) => {
                    let overridden = overridden.map(|reason| format!(" overridden ({reason})")).unwrap_or_default();
                    let by: String = approved_by.iter().map(|by| format!(" by {by}")).collect();
                    return format!("passes{overridden}{by}{slack}");
                }
                Err(Unmet::Refused(refusal)) => return format!("{}{slack}", message::refusal(&refusal)),
                Err(Unmet::Asks(user, Belongs::ToGroup(group))) => {
                    slack.push_str(&format!(" ({user} in {group}?)"));
                    let is_in = self.groups.contains(&(user.as_str(), group.as_str()));
                    members.add(user, Belongs::ToGroup(group), is_in);
                }
                Err(Unmet::Asks(user, Belongs::ToWorkspace)) => {
                    slack.push_str(&format!(" ({user} a guest?)"));
                    let is_member = !self.guests.contains(&user.as_str());
                    members.add(user, Belongs::ToWorkspace, is_member);
                }
            }
        }
    }
}

pub(in crate::catalog) const GATED: &str = "
owners: { users: [U1], groups: [S1] }
apps:
  checkout:
    repo: acme/checkout
    image: checkout
    allow: anyone
    owners: { groups: [S2] }
    branches: [main, 'release/*']
    checks: required
    reviews: 2
    foreign_changes: refuse
    approvals: { count: 2, groups: [S3], users: [U3] }
    freeze:
      - { from: 'Fri 16:00', until: 'Mon 08:00', zone: Europe/Berlin }
      - { from: 22:00, until: 06:00, zone: America/New_York }
      - { from: 2026-12-20, to: '2027-01-02', zone: Europe/Berlin, why: holidays }
    only: [{ days: mon-thu, from: 09:00, to: '16:00', zone: Europe/Berlin }]
    environments:
      production:
        argocd: { application: production }
      staging:
        tag_at: staging.tag
        argocd: { application: staging }
        owners: { users: [U4] }
        branches: ['**']
        checks: ignore
        reviews: none
        foreign_changes: warn
        approvals: none
        freeze: none
        only: none
      canary:
        tag_at: canary.tag
        argocd: { application: canary }
        owners: {}
        reviews: 10
        checks: [build, 'test (linux)']
        approvals: { users: [U5, U6], count: 2, expires: 30m }
        freeze: [{ from: '2026-12-20', to: 2027-01-02, zone: UTC }]
        only:
          - { days: 'mon, WED-fri', from: 22:00, to: 06:00, zone: UTC }
          - { days: [sat], from: 00:00, to: 24:00, zone: UTC }
          - { from: 12:00, to: 13:00, zone: UTC }
  cart:
    repo: acme/cart
    image: cart
    branches: [trunk]
  mail:
    repo: acme/mail
    image: mail
    environments: { default: }
";

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
        .map(|Approvals { count, by, expires, .. }| format!("{count} of {} within {}s", people(by), expires.as_secs()));
    let freeze: Vec<_> = gates.freeze.iter().map(ToString::to_string).collect();
    let only: Vec<_> = gates.only.iter().map(ToString::to_string).collect();
    format!(
        "owners {}; branches {branches:?}; {:?}, {:?}, {:?}; {approvals:?}; {freeze:?}; {only:?}",
        people(owners),
        gates.checks,
        gates.reviews.map(|reviews| reviews.count),
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
    cart@default: owners U1 S1; branches ["trunk"]; Ignore, None, Warn; None; []; []
    checkout@canary: owners ; branches ["main", "release/*"]; Named(["build", "test (linux)"]), Some(10), Refuse; Some("2 of U5 U6 within 1800s"); ["2026-12-20 to 2027-01-02 UTC"]; ["Mon,Wed-Fri 22:00 to 06:00 UTC", "Sat 00:00 to 24:00 UTC", "Mon-Sun 12:00 to 13:00 UTC"]
    checkout@production: owners S2; branches ["main", "release/*"]; Required, Some(2), Refuse; Some("2 of U3 S3 within 3600s"); ["Fri 16:00 to Mon 08:00 Europe/Berlin", "22:00 to 06:00 America/New_York", "2026-12-20 to 2027-01-02 Europe/Berlin"]; ["Mon-Thu 09:00 to 16:00 Europe/Berlin"]
    checkout@staging: owners U4; branches ["**"]; Ignore, None, Warn; None; []; []
    mail@default: owners U1 S1; branches []; Ignore, None, Warn; None; []; []
    "#);
    assert_eq!(catalog.owners.users, [user("U1")]);
    let shortest = Catalog::parse(SHORTEST).unwrap();
    assert!(shortest.owners.is_empty());
    let (_, _, environment) = shortest.find("checkout", None).unwrap();
    assert!(environment.owners.is_empty() && environment.gates == Gates { allow: Allow::Anyone, ..Gates::default() });
    let any = BranchName::parse("any/branch").unwrap();
    assert!(environment.gates.takes_branch(&any) && environment.gates.frozen(Timestamp(0)).is_none());
    assert!(!catalog.find("cart", None).unwrap().2.gates.takes_branch(&any));
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
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
        app("x", "    checks: []"),
        app("x", "    checks: [build, '']"),
        app("x", "    checks: [build, test, build]"),
        app("x", "    checks: [{ name: build }]"),
        app("x", &format!("    checks: [{}]", (0..21).map(|n| format!("c{n}, ")).collect::<String>())),
        app("x", "    status: []"),
        app("x", "    status: ''"),
        app("x", "    status: [lint, lint]"),
        app("x", "    ask: deploys"),
        app("x", "    ask: //evil.example/deploys"),
        app("x", "    ask: /a/../b"),
        app("x", "    ask: '/deploys?x=1'"),
        app("x", "    ask: '/@evil.example'"),
        app("x", "    ask: '/%2e%2e/'"),
        app("x", "    ask:"),
        app("x", "    reviews: 0"),
        app("x", "    reviews: 11"),
        app("x", "    reviews: required"),
        app("x", "    reviews:"),
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
        app("x", "    freeze: [{ from: 2026-12-20, to: 2026-12-19, zone: UTC }]"),
        app("x", "    freeze: [{ from: 2026-12-20, until: 2027-01-02, zone: UTC }]"),
        app("x", "    freeze: [{ from: 2026-12-20, to: 2027-01-02, until: 10:00, zone: UTC }]"),
        app("x", "    freeze: [{ from: 2026-12-20, zone: UTC }]"),
        app("x", "    freeze: [{ from: 2026-12-20, to: 2027-01-02, zone: UTC, why: }]"),
        app("x", "    freeze: [{ from: 2026-12-20, to: 2027-01-02, zone: UTC, why: '' }]"),
        app("x", "    freeze: [{ from: 10:00, until: 11:00, zone: UTC, pass: anyone }]"),
        app("x", "    freeze: [{ from: 10:00, until: 11:00, zone: UTC, pass: { users: [] } }]"),
        app("x", "    freeze: [{ from: 10:00, until: 11:00, zone: UTC, pass: { channels: [C1] } }]"),
        app("x", "    only: [{ from: 10:00, to: 11:00, zone: UTC, pass: { users: [alice] } }]"),
        app("x", "    only: never"),
        app("x", "    only: []"),
        app("x", "    only: [{ from: 10:00, to: 11:00 }]"),
        app("x", "    only: [{ days: [], from: 10:00, to: 11:00, zone: UTC }]"),
        app("x", "    only: [{ days: workdays, from: 10:00, to: 11:00, zone: UTC }]"),
        app("x", "    only: [{ from: 10:00, until: 11:00, zone: UTC }]"),
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
    line 5: `checks` is empty: write `ignore`, or `required` for all of them
    line 5: an entry of `checks` is no name of 1 to 100 characters
    line 5: `checks` names `build` twice
    line 5: an entry of `checks` must be text, not a map; text that starts with `{` needs quotes
    line 5: `checks` names more than 20 checks
    line 5: `status` is empty: leave it out, or write `none`
    line 5: an entry of `status` is no name of 1 to 100 characters
    line 5: `status` names `lint` twice
    line 5: `ask`: `deploys` is not a path such as `/deploys` (letters, digits and `-_.~/`)
    line 5: `ask`: `//evil.example/deploys` is not a path such as `/deploys` (letters, digits and `-_.~/`)
    line 5: `ask`: `/a/../b` is not a path such as `/deploys` (letters, digits and `-_.~/`)
    line 5: `ask`: `/deploys?x=1` is not a path such as `/deploys` (letters, digits and `-_.~/`)
    line 5: `ask`: `/@evil.example` is not a path such as `/deploys` (letters, digits and `-_.~/`)
    line 5: `ask`: `/%2e%2e/` is not a path such as `/deploys` (letters, digits and `-_.~/`)
    line 5: `ask` must be text, not empty
    line 5: `reviews` must be a number from 1 to 10
    line 5: `reviews` must be a number from 1 to 10
    line 5: `reviews` must be a number from 1 to 10
    line 5: `reviews` must be text, not empty
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
    line 5: an entry of `freeze` cannot have `till`: it can have `from`, `until`, `to`, `zone`, `why`, `pass`
    line 8: `zone`: `Europe/Berln` is not a known time zone: did you mean `Europe/Berlin`?
    line 7: `until`: `10:00` is the same as `from`
    line 6: `from`: `25:00` is not a time such as `16:00` or `Fri 16:00`
    line 5: `freeze` has more than 20 windows
    line 5: `to`: `2026-12-19` is before `from`
    line 5: `until`: `2026-12-20` is a day, so write `to`, the last day that is frozen, instead
    line 5: `until` and `to` cannot stand side by side
    line 5: an entry of `freeze` has no `until`
    line 5: `why` must be text, not empty
    line 5: `why` must be one line of 1 to 200 characters
    line 5: `pass` must be a map, not text
    line 5: `pass` names nobody: leave it out, or name `users` or `groups`
    line 5: `pass` cannot have `channels`: it can have `users`, `groups`
    line 5: `users`: `alice` is not a Slack user id such as `U0123ABCDE`
    line 5: `only` is the word `none`, or a list of windows with `days`, `from`, `to` and `zone`
    line 5: `only` is empty: leave it out, or write `none`
    line 5: an entry of `only` has no `zone`
    line 5: `days`: it is empty: leave it out for every day
    line 5: `days`: `workdays` is not a day or a range of days such as `fri` or `mon-thu`
    line 5: an entry of `only` cannot have `until`: it can have `days`, `from`, `to`, `zone`, `pass`
    line 7: `freeze` is empty: leave it out, or write `none`
    ");
}
