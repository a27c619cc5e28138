//! What a catalog may say, and the sentence with its line for everything else.

use super::fields::parse_duration;
use super::gates::tests::GATED;
use super::*;
use crate::nonempty::NonEmpty;
use crate::selection::Selection;
use proptest::prelude::*;

pub(super) const SHORTEST: &str = "
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
        argocd: { selector: 'app=checkout,stage in (blue, green)' }
      production:
        values: [env/production/checkout.yaml, env/production/worker.yaml]
        tag_at: checkout.image.tag
        argocd: { applications: [checkout-eu, checkout-us], project: shop, namespace: argocd-shop }
        allow: { groups: [S9], channels: [C1] }
        deadline: 1h30m
        degraded_grace: 0s
        mirrors: [mirror.corp:5000/checkout, quay.io/acme/checkout]
        verify_running: off
        sync: auto
  cart:
    repo: acme/cart
    image: cart
    allow: *team
    environments:
      production:
";

pub(super) fn app(name: &str, rest: &str) -> String {
    format!("apps:\n  {name}:\n    repo: acme/x\n    image: acme/x\n{rest}")
}

#[test]
fn the_shortest_catalog_has_a_default_for_everything_else() {
    let catalog = Catalog::parse(SHORTEST).unwrap();
    let (target, app, environment) = catalog.find("checkout", None).unwrap();
    assert_eq!(target.to_string(), "checkout");
    insta::assert_snapshot!(format!("{} {} {:?}\n{}", app.repo, app.image, app.tag_rule == TagRule::default(), shown(environment)), @"
    acme/checkout ghcr.io/acme/checkout true
    checkout/values.yaml at image.tag; checkout in default of None; 900s, 60s; Anyone; [], On, Bot
    ");
}

fn shown(environment: &Environment) -> String {
    let Environment { tag_at, applications, gates, deadline, degraded_grace, mirrors, verify_running, sync, .. } =
        environment;
    let mirrors: Vec<String> = mirrors.iter().map(ToString::to_string).collect();
    let values = environment.files.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
    let tag_at: Vec<String> = tag_at.iter().map(ToString::to_string).collect();
    let (names, project, namespace) = match applications {
        Applications::Named(all) => {
            let names: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
            (names.join(" and "), &all.first().project, &all.first().namespace)
        }
        Applications::Selected(Selection { selector, project, namespace }) => {
            (selector.to_string(), project, namespace)
        }
    };
    let namespace = namespace.as_ref().map(ToString::to_string);
    let allow = match &gates.allow {
        Allow::Anyone => "Anyone".to_owned(),
        Allow::Listed { people: People { users, groups }, channels } => {
            let ids = users.iter().map(ToString::to_string);
            let ids = ids.chain(groups.iter().map(ToString::to_string)).chain(channels.iter().map(ToString::to_string));
            format!("{:?}", ids.collect::<Vec<_>>())
        }
    };
    let (deadline, grace) = (deadline.as_secs(), degraded_grace.as_secs());
    format!(
        "{values} at {}; {} in {} of {namespace:?}; {deadline}s, {grace}s; {allow}; {mirrors:?}, {verify_running:?}, {sync:?}",
        tag_at.join(" and "),
        names,
        project
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
    checkout@staging: env/staging/checkout.yaml at image.tag and worker[0].tag; app=checkout,stage in (blue, green) in default of None; 1200s, 60s; ["U1", "W2", "S1"]; [], On, Bot
    checkout@production: env/production/checkout.yaml and env/production/worker.yaml at checkout.image.tag; checkout-eu and checkout-us in shop of Some("argocd-shop"); 5400s, 0s; ["S9", "C1"]; ["mirror.corp:5000/checkout", "quay.io/acme/checkout"], Off, Auto
    cart@production: cart/values.yaml at image.tag; cart in default of None; 900s, 60s; ["U1", "W2", "S1"]; [], On, Bot
    "#);
}

/// The first mistake, of the whole or of an app.
pub(super) fn wrong(text: &str) -> String {
    let error = match Catalog::parse(text) {
        Ok(catalog) => catalog.out_of_service.into_iter().next().expect("a mistake").error,
        Err(error) => error,
    };
    match error {
        CatalogError { line: Some(line), problem } => format!("line {line}: {problem}"),
        CatalogError { line: None, problem } => problem,
    }
}

#[test]
fn an_entry_with_a_mistake_takes_only_its_own_app_out_of_service() {
    let broken = "
owners: { users: [U1] }
apps:
  one: { repo: acme/one, image: one, allow: anyone }
  two: { repo: acme/two, image: two, allow: anyone, alow: anyone }
  three: { repo: acme/three, image: three, values: one/values.yaml, approvals: { count: 1, users: [U2] } }
  four: { repo: acme/four, image: four, argocd: { application: one, project: money } }
  Five: { repo: acme/five, image: five }
  six: { repo: acme/six, image: six, values: two/values.yaml, argocd: { application: three } }
  seven:
    repo: acme/seven
    image: seven
    environments:
      a: { values: seven/a.yaml, argocd: { application: seven-a } }
      b: { values: one/values.yaml, argocd: { application: seven-b } }
  eight: { repo: acme/eight, image: eight, values: seven/a.yaml }
";
    let catalog = Catalog::parse(broken).unwrap();
    let whole: Vec<&str> = catalog.apps.keys().map(AppName::as_str).collect();
    assert_eq!(whole, ["eight", "one", "six"], "what is out of service takes no place from others");
    let out = |name: &str| match catalog.find(name, None) {
        Err(Refusal::BrokenApp { app, path, error }) => format!("{app}: {path} {:?} {}", error.line, error.problem),
        other => panic!("{other:?}"),
    };
    let all = ["two", "three", "four", "Five", "seven"].map(out);
    insta::assert_snapshot!(all.join("\n"), @"
    two: deploy-bot.yaml Some(5) `two` cannot have `alow`: did you mean `allow`?
    three: deploy-bot.yaml Some(6) `one` and `three` have their tag in the same place, `image.tag` in `one/values.yaml`
    four: deploy-bot.yaml Some(7) `one` and `four` name the Argo CD application `one` in different projects, `default` and `money`
    Five: deploy-bot.yaml Some(8) `Five` is not a valid app name (a-z, 0-9, '-', '_', '.')
    seven: deploy-bot.yaml Some(15) `one` and `seven@b` have their tag in the same place, `image.tag` in `one/values.yaml`
    ");
    assert_eq!(catalog.out_of_service.len(), all.len());
    // What concerns the whole is an error of the whole.
    for whole in ["owners: { users: [x] }", "readers: 1", "freeze: []", "apps: {}", "["] {
        assert!(Catalog::parse(&broken.replace("owners: { users: [U1] }", whole)).is_err(), "{whole}");
    }
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
    line 5: `x` cannot have `colour`: it can have `repo`, `image`, `tag`, `tags`, `tag_of_tags`, `channels`, `paths`, `environments`, `values`, `tag_at`, `digest_at`, `watch`, `argocd`, `owners`, `contact`, `deadline`, `degraded_grace`, `mirrors`, `verify_running`, `sync`, `home`, `promotes_from`, `auto_rollback`, `allow`, `branches`, `checks`, `reviews`, `requires`, `status`, `foreign_changes`, `immutable`, `ask`, `approvals`, `freeze`, `only`
    line 5: `argocd` cannot have `app`: did you mean `application`?
    line 5: `allow` cannot have `user`: did you mean `users`?
    line 6: `production` cannot have `repo`: it can have `values`, `tag_at`, `digest_at`, `watch`, `argocd`, `owners`, `contact`, `deadline`, `degraded_grace`, `mirrors`, `verify_running`, `sync`, `home`, `promotes_from`, `auto_rollback`, `allow`, `branches`, `checks`, `reviews`, `requires`, `status`, `foreign_changes`, `immutable`, `ask`, `approvals`, `freeze`, `only`
    line 5: `x` cannot have `<<`: merge keys are not supported; an alias of a whole value is
    line 7: the catalog cannot have `defaults`: it can have `apps`, `owners`, `contact`, `readers`, `include`, `sets`, `freeze`
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
#[expect(clippy::too_many_lines, reason = "a table")]
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
        app("x", "    argocd: { applications: [] }"),
        app("x", "    argocd: { applications: [a, b, a] }"),
        app("x", "    argocd: { application: a, applications: [a] }"),
        app("x", "    argocd: { applications: [A] }"),
        app("x", "    argocd: { selector: app=x, applications: [a] }"),
        app("x", "    argocd: { selector: 'a=b&c' }"),
        app("x", "    argocd:\n      project: Shop"),
        app("my_app", "    allow: anyone"),
        app("x", "    deadline: 600"),
        app("x", "    deadline: 10s"),
        app("x", "    deadline: 2h1s"),
        app("x", "    mirrors: [UPPER]"),
        app("x", "    mirrors: {a: b}"),
        app("x", "    verify_running: false"),
        app("x", "    sync: on"),
        app("x", "    degraded_grace: 1h"),
        app("x", "    environments: {}"),
        app("x", "    environments: [production]"),
        app("x", "    environments:\n      Production: {}"),
        app("x", "    values: x.yaml\n    environments:\n      production: {}"),
        app("x", "    ? [a]\n    : b"),
        app("x", "    promotes_from: staging"),
        app(
            "x",
            "    environments:\n      a: { values: a.yaml, argocd: { application: a } }\n      b:\n        promotes_from: c",
        ),
        app(
            "x",
            "    promotes_from: a\n    environments:\n      a: { values: a.yaml, argocd: { application: a } }\n      b: {}",
        ),
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
    line 5: `tag_at`: `image..tag` is not a valid path of a value (such as image.tag, images[name=app].tag, images[0].tag or "a.b".tag)
    line 7: `tag_at`: `a[` is not a valid path of a value (such as image.tag, images[name=app].tag, images[0].tag or "a.b".tag)
    line 2: `tag_at` of `x` names `image.tag` twice
    line 5: `argocd` must be a map, not text
    line 5: `applications` is empty: leave it out for the app's own name
    line 5: `applications` names `a` twice
    line 5: `application` and `applications` cannot stand side by side
    line 5: `applications`: `A` is not a valid Kubernetes name (a-z, 0-9, '-', '.')
    line 5: `applications` and `selector` cannot stand side by side
    line 5: `selector`: `a=b&c` is not a valid label selector (as in `app=web,region in (eu, us)`)
    line 6: `project`: `Shop` is not a valid Kubernetes name (a-z, 0-9, '-', '.')
    line 2: `my_app` cannot be the name of an Argo CD application: name it with `argocd: {application: …}`
    line 5: `deadline`: `600` is not a time such as `90s`, `10m` or `1h30m`
    line 5: `deadline` must be from 30s to 2h
    line 5: `deadline` must be from 30s to 2h
    line 5: `mirrors`: `UPPER` is not a valid image name (registry/repository in lower case, without a tag)
    line 5: `mirrors` must be a list, not a map
    line 5: `verify_running` must be `on` or `off`, not `false`
    line 5: `sync` is `bot` or `auto`, not `on`
    line 5: `degraded_grace` must be from 0s to 10m
    line 5: `environments` must name 1 to 100 environments
    line 5: `environments` must be a map, not a list
    line 6: `Production` is not a valid environment name (a-z, 0-9, '-', '_', '.')
    line 5: `values` cannot stand beside `environments`: each environment has its own
    line 5: a key must be a word
    line 5: `promotes_from` of `x`: `staging` is no other environment of it
    line 8: `promotes_from` of `x@b`: `c` is no other environment of it
    line 5: `promotes_from` of `x@a`: `a` is no other environment of it
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
fn two_targets_never_share_a_place_nor_an_application_by_oversight() {
    let other = |more: &str| format!("  y:\n    repo: acme/y\n    image: y\n{more}");
    let all = [
        app("x", "    environments:\n      a: {}\n      b: {}"),
        app("x", "    environments:\n      a: { argocd: { application: a } }\n      b: { argocd: { application: b } }"),
        format!("{}{}", app("x", ""), other("    argocd: { application: x, project: money }")),
        format!(
            "{}{}",
            app("x", "    values: v.yaml\n"),
            other("    values: v.yaml\n    tag_at: [y.tag, '\"image\".tag']")
        ),
    ];
    let all: Vec<String> = all.iter().map(|text| wrong(text)).collect();
    insta::assert_snapshot!(all.join("\n"), @"
    line 7: `x@a` and `x@b` are the same Argo CD application `x`: each needs `argocd: {application: …}`
    line 7: `x@a` and `x@b` have their tag in the same place, `image.tag` in `x/values.yaml`
    line 5: `x` and `y` name the Argo CD application `x` in different projects, `default` and `money`
    line 6: `x` and `y` have their tag in the same place, `image.tag` in `v.yaml`
    ");
    let apart =
        "    environments:\n      a: { tag_at: a.tag }\n      b: { tag_at: b.tag, argocd: { namespace: other } }";
    assert!(Catalog::parse(&app("x", apart)).is_ok());
}

#[test]
fn targets_that_name_one_application_share_it() {
    let blue = "      blue: { tag_at: blue.tag, mirrors: mirror.corp/x, argocd: { application: shop } }\n";
    let green = "      green: { tag_at: green.tag, argocd: { application: shop, namespace: other } }\n";
    let text = format!(
        "{}  y:\n    repo: acme/y\n    image: y\n    allow: anyone\n    argocd: {{ application: shop }}",
        app("x", &format!("    environments:\n{blue}{green}"))
    );
    let catalog = Catalog::parse(&text).unwrap();
    let beside = |app: &str, environment: Option<&str>| {
        let (target, _, found) = catalog.find(app, environment).unwrap();
        catalog
            .beside(&target, &found.applications.named().next().cloned().map(NonEmpty::one).unwrap())
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(beside("x", Some("blue")), ["y"]);
    assert_eq!(beside("x", Some("green")), [""; 0], "in another namespace");
    let image = catalog.apps.values().next().unwrap().image.to_string();
    assert_eq!(beside("y", None), [image, "mirror.corp/x".to_owned()]);
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
    line 2: this is not YAML: while parsing a flow node, did not find expected node content
    line 2: this is not YAML: a tab as indentation
    line 1: this is not YAML: an alias whose anchor is not above it
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
    for deep in ["- ".repeat(LONGEST / 2), "? ".repeat(LONGEST / 2), "[".repeat(60), "[".repeat(LONGEST)] {
        assert_eq!(wrong(&deep), "line 1: this is nested too deeply");
    }
    let keys: String = (0..20_000).map(|n| format!("k{n}: \n")).collect();
    assert_eq!(
        wrong(&keys),
        "line 1: the catalog cannot have `k0`: it can have `apps`, `owners`, `contact`, `readers`, `include`, `sets`, `freeze`"
    );
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

fn not_found(catalog: &str, app: &str, environment: Option<&str>) -> String {
    match Catalog::parse(catalog).unwrap().find(app, environment).unwrap_err() {
        Refusal::UnknownApp { typed, did_you_mean, known, .. } => {
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
    no environment None of checkout; None of ["production", "staging"]
    no environment Some("prod") of checkout; Some("production") of ["production", "staging"]
    no environment Some("stagign") of checkout; Some("staging") of ["production", "staging"]
    no environment Some("default") of cart; None of ["production"]
    "#);
    let many: String = (0..12).map(|n| format!("  app-{n:02}: {{ repo: acme/x, image: x }}\n")).collect();
    let said = not_found(&format!("apps:\n{many}"), &"é".repeat(1000), None);
    assert!(
        said.contains(&format!("no app {};", "é".repeat(64))) && said.contains("app-09") && !said.contains("app-10"),
        "{said}"
    );
}

#[test]
fn the_default_environment_or_the_only_one_need_not_be_typed() {
    let environments = "    environments:\n      default: {}\n      b: { tag_at: b.tag, argocd: { application: b } }";
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

#[test]
fn readers_and_who_may_deploy_may_ask() {
    let parse = |readers: &str| {
        let text = "owners: { users: [U1] }\napps: { x: { repo: a/x, image: x, allow: { users: [U2] }, owners: { users: [U3] } } }";
        Catalog::parse(&format!("{readers}{text}")).unwrap()
    };
    let channel = SlackChannel::parse("C1").unwrap();
    let check = |readers: &str, user: &str, all: bool, one: bool| {
        let (catalog, user, members) = (parse(readers), SlackUser::parse(user).unwrap(), Members::default());
        // U5 and U6 are guests.
        members.add(user.clone(), Belongs::ToWorkspace, !["U5", "U6"].contains(&user.as_str()));
        assert_eq!(catalog.may_read(&user, &channel, &members), Ok(all), "{readers}: {user}, all");
        let environment = catalog.find("x", None).unwrap().2;
        assert_eq!(environment.may_read(&user, &channel, &members), Ok(one), "{readers}: {user}, x");
    };
    for user in ["U1", "U2", "U3", "U4"] {
        check("", user, true, matches!(user, "U2" | "U3"));
        check("readers: anyone\n", user, true, matches!(user, "U2" | "U3"));
        check("readers: []\n", user, user == "U1", matches!(user, "U2" | "U3"));
        check("readers: { channels: [C2] }\n", user, user == "U1", matches!(user, "U2" | "U3"));
        check("readers: { channels: [C1] }\n", user, true, matches!(user, "U2" | "U3"));
    }
    check("", "U5", false, false);
    check("readers: { users: [U5] }\n", "U5", true, false);
    check("readers: { users: [U5] }\n", "U6", false, false);
    let wrong = |text: &str| Catalog::parse(text).unwrap_err().problem;
    insta::assert_snapshot!(wrong("readers: everybody"), @"`readers` is the word `anyone`, or a map of `users`, `groups` and `channels`");
    insta::assert_snapshot!(wrong("readers: { users: [], groups: [S1] }"), @"`users` is empty beside a list that is not: fill it, or leave it out");
}
