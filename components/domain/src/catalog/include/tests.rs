//! What an included file may have, and the sentence for everything else.

use super::*;
use crate::catalog::{Catalog, CatalogChange, CatalogPushes, Difference, FoundCatalog, News, ToldCatalog};
use crate::deployment::samples::{at, blob};
use crate::names::{AppName, GitHubLogin};
use crate::push::Managed;
use crate::refusal::Refusal;
use crate::time::Timestamp;

const ROOT: &str = "
owners: { users: [U1] }
include:
  teams/*.yaml:
    apps: ['{name}', '{name}-*']
    values: ['{name}/**']
    applications: ['{name}*', 'team-{name}/*']
    repositories: ['acme/{name}*']
    images: ['ghcr.io/acme/{name}/*', 'acme/{name}']
  ops/base.yaml: { apps: ['*'], values: ['**'], applications: ['*'], repositories: ['*'], images: ['*'] }
apps:
  checkout: { repo: acme/checkout, image: ghcr.io/acme/checkout, allow: anyone, approvals: { count: 1, users: [U2] } }
";

fn path(text: &str) -> FilePath {
    FilePath::parse(text).unwrap()
}

fn file(name: &str, text: &str) -> (FilePath, FoundFile) {
    (path(name), FoundFile { mode: 0o100_644, blob: blob_sha(text.as_bytes()), size: text.len() as u64 })
}

/// What the bot has of these files.
fn sources(root: &str, files: &[(&str, &str)]) -> Sources {
    let places = Catalog::parse(root).unwrap().places();
    let found = |place: &IncludePlace| {
        let here = files.iter().filter(|(name, _)| place.has(&path(name)));
        here.map(|(name, text)| file(name, text)).collect::<Vec<_>>()
    };
    let found: Vec<_> = places.iter().map(found).collect();
    let mut sources = Sources::alone(root.to_owned());
    sources.included = included(&path("deploy-bot.yaml"), &places, &found);
    let missing = sources.missing();
    let texts = files.iter().map(|(_, text)| (blob_sha(text.as_bytes()), (*text).to_owned()));
    sources.take_texts(texts.filter(|(blob, _)| missing.contains(blob)));
    sources
}

fn read(root: &str, files: &[(&str, &str)]) -> Catalog {
    Catalog::read(&path("deploy-bot.yaml"), &sources(root, files)).unwrap()
}

fn whole(catalog: &Catalog) -> Vec<&str> {
    catalog.apps.keys().map(AppName::as_str).collect()
}

fn out(catalog: &Catalog) -> String {
    let line = |one: &crate::catalog::OutOfService| {
        let line = one.error.line.map(|line| format!(" on line {line}")).unwrap_or_default();
        format!("{}: {}{line}: {}", one.app.as_deref().unwrap_or("-"), one.path, one.error.problem)
    };
    catalog.out_of_service.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Nothing else is in the bounds: a file that names all that it may.
const GOOD: &str = "
apps:
  payments: { repo: ACME/payments, image: ghcr.io/acme/payments/api, allow: anyone }
  payments-worker:
    repo: acme/payments-worker
    image: acme/payments
    mirrors: [ghcr.io/acme/payments/worker]
    watch: [charts/**, checkout/values.yaml]
    owners: { users: [U7] }
    environments:
      a: { values: [payments/a.yaml, payments/deep/b.yaml], argocd: { applications: [payments-a, payments-b], project: money } }
      b: { values: payments/c.yaml, argocd: { application: anything, namespace: team-payments } }
";

#[test]
fn an_included_file_has_apps_within_its_bounds() {
    let catalog = read(ROOT, &[("teams/payments.yaml", GOOD), ("ops/base.yaml", ""), ("teams/deep/x.yaml", "[")]);
    assert_eq!((whole(&catalog), out(&catalog).as_str()), (vec!["checkout", "payments", "payments-worker"], ""));
    let (_, app, environment) = catalog.find("payments-worker", Some("a")).unwrap();
    assert_eq!((app.path.as_str(), environment.owners.users.len()), ("teams/payments.yaml", 1));
    assert_eq!(catalog.find("payments", None).unwrap().2.owners, catalog.owners, "those of the whole");
    let base = "apps: { x: { repo: a/b, image: c, values: q.yaml, argocd: { selector: app=x } } }";
    assert_eq!(whole(&read(ROOT, &[("ops/base.yaml", base)])), ["checkout", "x"]);
}

/// A values file only has to be named, so naming one makes no folder one's own.
#[test]
fn a_folder_is_that_of_a_file_which_may_name_all_of_it() {
    let file = "
apps:
  payments: { repo: acme/payments, image: acme/payments, values: [payments/a/values.yaml, environments/base/payments.yaml, top.yaml] }
";
    let check = |values: &str, expected: [&str; 3]| {
        let root = ROOT.replace("['{name}/**']", values);
        let catalog = read(&root, &[("teams/payments.yaml", file)]);
        let (target, ..) = catalog.find("checkout", None).unwrap();
        assert_eq!(catalog.folders_of_others(&target), expected, "{values}: {}", out(&catalog));
    };
    let (named, whole) = ("environments/base/payments.yaml", "environments/base");
    check("['{name}/**', 'environments/*/{name}.yaml', top.yaml]", ["payments/a", named, "top.yaml"]);
    check("['{name}/*/*', 'environments/**', top.yaml]", ["payments/a/values.yaml", whole, "top.yaml"]);
    check("['*']", ["payments/a", whole, "top.yaml"]);
}

#[test]
fn a_freeze_of_everything_counts_for_every_app_and_no_app_undoes_it() {
    let freeze = "{ from: 'Fri 16:00', until: 'Mon 08:00', zone: Europe/Berlin }";
    let root = format!("freeze: [{freeze}]\n{ROOT}");
    let own = format!(
        "apps:\n  payments: {{ repo: acme/payments, image: acme/payments, freeze: [{freeze}] }}\n  payments-x: {{ repo: acme/payments, image: acme/payments, values: payments/x.yaml, freeze: none }}\n"
    );
    let catalog = read(&root, &[("teams/payments.yaml", &own)]);
    let freezes = |app: &str| catalog.find(app, None).unwrap().2.gates.freeze.len();
    assert_eq!((freezes("checkout"), freezes("payments"), freezes("payments-x")), (1, 2, 1));
    let wrong = Catalog::parse(&root.replace("'Fri 16:00'", "sometimes")).unwrap_err();
    assert_eq!(wrong.line, Some(1), "{wrong:?}");
}

#[test]
fn what_is_out_of_bounds_is_out_of_service() {
    let app = |name: &str, repo: &str, image: &str, more: &str| {
        format!(
            "apps:\n  payments: {{ repo: acme/payments, image: acme/payments }}\n  {name}:\n    repo: {repo}\n    image: {image}\n{more}"
        )
    };
    let (repo, image) = ("acme/payments", "ghcr.io/acme/payments/x");
    let with = |more: &str| app("payments-x", repo, image, &format!("    {more}\n"));
    let ours = "argocd: { application: payments-x }";
    let files = [
        app("checkout", repo, image, ""),
        app("paymentsx", repo, image, ""),
        with("values: checkout/values.yaml"),
        with("values: payments-x/values.yaml"),
        with("values: [payments/x.yaml, other/y.yaml]"),
        with("values: payments/x.yaml\n    argocd: { application: checkout }"),
        with("values: payments/x.yaml\n    argocd: { applications: [payments-x, checkout] }"),
        with("values: payments/x.yaml\n    argocd: { application: payments-x, namespace: team-search }"),
        with("values: payments/x.yaml\n    argocd: { application: x, namespace: team-payments-x }"),
        with("values: payments/x.yaml\n    argocd: { selector: 'app=payments' }"),
        with("environments:\n      a: { values: payments/a.yaml, argocd: { application: payments-a } }\n      b: { values: b.yaml, argocd: { application: payments-b } }"),
        app("payments-x", "acme/checkout", image, ""),
        app("payments-x", "evil/payments", image, ""),
        app("payments-x", repo, "ghcr.io/acme/checkout", ""),
        app("payments-x", repo, "ghcr.io/acme/payments/deep/x", ""),
        app("payments-x", repo, "evil.example/acme/payments", ""),
        with(&format!("values: payments/x.yaml\n    {ours}\n    mirrors: [ghcr.io/acme/checkout]")),
        with(&format!("values: payments/values.yaml\n    {ours}")),
        "apps:\n  payments: { repo: acme/payments, image: acme/payments, values: [payments/values.yaml, teams/payments.yaml] }".to_owned(),
    ];
    let said = |text: &String| {
        let catalog = read(ROOT, &[("teams/payments.yaml", text)]);
        assert!(whole(&catalog).contains(&"checkout") && catalog.apps.len() <= 2, "{text}");
        out(&catalog)
    };
    insta::assert_snapshot!(files.iter().map(said).collect::<Vec<_>>().join("\n"), @"
    -: ops/base.yaml: it is not there
    checkout: teams/payments.yaml on line 3: `checkout` is out of bounds: for this file `include` has `apps` `payments`, `payments-*`
    -: ops/base.yaml: it is not there
    paymentsx: teams/payments.yaml on line 3: `paymentsx` is out of bounds: for this file `include` has `apps` `payments`, `payments-*`
    -: ops/base.yaml: it is not there
    payments-x: teams/payments.yaml on line 3: `checkout/values.yaml` is out of bounds: for this file `include` has `values` `payments/**`
    -: ops/base.yaml: it is not there
    payments-x: teams/payments.yaml on line 3: `payments-x/values.yaml` is out of bounds: for this file `include` has `values` `payments/**`
    -: ops/base.yaml: it is not there
    payments-x: teams/payments.yaml on line 3: `other/y.yaml` is out of bounds: for this file `include` has `values` `payments/**`
    -: ops/base.yaml: it is not there
    payments-x: teams/payments.yaml on line 3: `checkout` is out of bounds: for this file `include` has `applications` `payments*`, `team-payments/*`
    -: ops/base.yaml: it is not there
    payments-x: teams/payments.yaml on line 3: `checkout` is out of bounds: for this file `include` has `applications` `payments*`, `team-payments/*`
    -: ops/base.yaml: it is not there
    payments-x: teams/payments.yaml on line 3: `team-search/payments-x` is out of bounds: for this file `include` has `applications` `payments*`, `team-payments/*`
    -: ops/base.yaml: it is not there
    payments-x: teams/payments.yaml on line 3: `team-payments-x/x` is out of bounds: for this file `include` has `applications` `payments*`, `team-payments/*`
    -: ops/base.yaml: it is not there
    payments-x: teams/payments.yaml on line 3: `selector` is out of bounds: for this file `include` does not have `applications` `*`
    -: ops/base.yaml: it is not there
    payments-x: teams/payments.yaml on line 8: `b.yaml` is out of bounds: for this file `include` has `values` `payments/**`
    -: ops/base.yaml: it is not there
    payments-x: teams/payments.yaml on line 4: `acme/checkout` is out of bounds: for this file `include` has `repositories` `acme/payments*`
    -: ops/base.yaml: it is not there
    payments-x: teams/payments.yaml on line 4: `evil/payments` is out of bounds: for this file `include` has `repositories` `acme/payments*`
    -: ops/base.yaml: it is not there
    payments-x: teams/payments.yaml on line 5: `ghcr.io/acme/checkout` is out of bounds: for this file `include` has `images` `ghcr.io/acme/payments/*`, `acme/payments`
    -: ops/base.yaml: it is not there
    payments-x: teams/payments.yaml on line 5: `ghcr.io/acme/payments/deep/x` is out of bounds: for this file `include` has `images` `ghcr.io/acme/payments/*`, `acme/payments`
    -: ops/base.yaml: it is not there
    payments-x: teams/payments.yaml on line 5: `evil.example/acme/payments` is out of bounds: for this file `include` has `images` `ghcr.io/acme/payments/*`, `acme/payments`
    -: ops/base.yaml: it is not there
    payments-x: teams/payments.yaml on line 3: `ghcr.io/acme/checkout` is out of bounds: for this file `include` has `images` `ghcr.io/acme/payments/*`, `acme/payments`
    -: ops/base.yaml: it is not there
    payments-x: teams/payments.yaml on line 3: `payments` and `payments-x` have their tag in the same place, `image.tag` in `payments/values.yaml`
    -: ops/base.yaml: it is not there
    payments: teams/payments.yaml on line 2: `teams/payments.yaml` is out of bounds: for this file `include` has `values` `payments/**`
    ");
    // The bot itself writes past the review of the catalog.
    let root = "apps: { x: { repo: a/b, image: c, values: deploy-bot.yaml } }";
    insta::assert_snapshot!(out(&Catalog::parse(root).unwrap()), @"x: deploy-bot.yaml on line 1: `deploy-bot.yaml` is a file of the catalog, and cannot be one of `values`");
}

#[test]
fn a_name_is_that_of_the_file_above_and_nobody_takes_it() {
    let evil = "apps: { payments: { repo: acme/evil, image: acme/evil }, evil: { repo: acme/evil, image: acme/evil } }";
    let root = ROOT.replace("  checkout:", "  payments-worker: { repo: broken }\n  checkout:");
    // Sorted, its file is first. It has no right to the name.
    let catalog = read(&root, &[("teams/evil.yaml", evil), ("teams/payments.yaml", GOOD)]);
    assert_eq!(whole(&catalog), ["checkout", "evil", "payments"]);
    assert_eq!(catalog.find("payments", None).unwrap().1.path.as_str(), "teams/payments.yaml");
    insta::assert_snapshot!(out(&catalog), @"
    payments-worker: deploy-bot.yaml on line 12: `payments-worker` has no `image`
    -: ops/base.yaml: it is not there
    payments: teams/evil.yaml on line 1: `payments` is out of bounds: for this file `include` has `apps` `evil`, `evil-*`
    payments-worker: teams/payments.yaml on line 4: `payments-worker` is in `deploy-bot.yaml` already
    ");
    // Where two may have a name, or a place, the file above has it.
    let wide =
        "apps: { payments: { repo: acme/x, image: x }, y: { repo: a/y, image: y, values: checkout/values.yaml } }";
    let catalog = read(ROOT, &[("teams/payments.yaml", GOOD), ("ops/base.yaml", wide)]);
    assert_eq!(catalog.find("payments", None).unwrap().1.path.as_str(), "ops/base.yaml", "it is named");
    insta::assert_snapshot!(out(&catalog), @"
    y: ops/base.yaml on line 1: `checkout` and `y` have their tag in the same place, `image.tag` in `checkout/values.yaml`
    payments: teams/payments.yaml on line 3: `payments` is in `ops/base.yaml` already
    ");
}

#[test]
fn a_file_that_cannot_be_read_takes_only_its_own_apps_along() {
    let good = "apps: { good: { repo: acme/good, image: acme/good } }";
    let of = |name: &str, text: &str| {
        let catalog = read(ROOT, &[("teams/good.yaml", good), (name, text)]);
        assert_eq!(whole(&catalog), ["checkout", "good"], "{name}");
        out(&catalog).lines().filter(|line| !line.contains("ops/base")).collect::<Vec<_>>().join("\n")
    };
    let long = format!("{good}#{}", "x".repeat(64 * 1024));
    let payments = "teams/payments.yaml";
    let mut all = vec![
        of(payments, "apps: ["),
        of(payments, "[]"),
        of(payments, "owners: { users: [U9] }\napps: {}"),
        of(payments, "readers: anyone"),
        of(payments, "include: {}"),
        of(payments, "apps: { payments: 1, payments: 2 }"),
        of(payments, &long),
        of("teams/pay ments.yaml", good),
        of("teams/PAYMENTS.yaml", good),
        of("teams/*.yaml", good),
        of("teams/pay*.yaml", good),
        of("teams/{name}.yaml", good),
        of("teams/a.b.yaml", good),
        of("teams/é.yaml", good),
    ];
    let mut odd = sources(ROOT, &[("teams/good.yaml", good), (payments, GOOD)]);
    for (mode, text) in [(0o120_000, None), (0o160_000, None), (0o100_644, None)] {
        let file = odd.included.iter_mut().find(|file| file.path.as_str() == payments).unwrap();
        file.found = file.found.clone().map(|found| FoundFile { mode, ..found });
        file.text = text;
        let catalog = Catalog::read(&path("deploy-bot.yaml"), &odd).unwrap();
        assert_eq!(whole(&catalog), ["checkout", "good"]);
        all.push(out(&catalog));
    }
    insta::assert_snapshot!(all.join("\n"), @"
    -: teams/payments.yaml on line 2: this is not YAML: while parsing a flow node, did not find expected node content
    -: teams/payments.yaml on line 1: an included file must be a map, not a list
    -: teams/payments.yaml on line 1: an included file cannot have `owners`: it can have `apps`
    -: teams/payments.yaml on line 1: an included file cannot have `readers`: it can have `apps`
    -: teams/payments.yaml on line 1: an included file cannot have `include`: it can have `apps`
    -: teams/payments.yaml on line 1: `payments` is given twice, first in line 1
    -: teams/payments.yaml: it is longer than 64 KiB
    -: teams/pay ments.yaml: its name may only have `a-z`, `0-9` and `-` before `.yaml`
    -: teams/PAYMENTS.yaml: its name may only have `a-z`, `0-9` and `-` before `.yaml`
    -: teams/*.yaml: its name may only have `a-z`, `0-9` and `-` before `.yaml`
    -: teams/pay*.yaml: its name may only have `a-z`, `0-9` and `-` before `.yaml`
    -: teams/{name}.yaml: its name may only have `a-z`, `0-9` and `-` before `.yaml`
    -: teams/a.b.yaml: its name may only have `a-z`, `0-9` and `-` before `.yaml`
    -: teams/é.yaml: its name may only have `a-z`, `0-9` and `-` before `.yaml`
    -: ops/base.yaml: it is not there
    -: teams/payments.yaml: it is no plain file
    -: ops/base.yaml: it is not there
    -: teams/payments.yaml: it is no plain file
    -: ops/base.yaml: it is not there
    -: teams/payments.yaml: it is not UTF-8, or begins with a byte order mark
    ");
    assert_eq!(of(payments, "# nothing\n"), "");
}

#[test]
fn many_and_large_files_leave_the_others_alone() {
    let app = |n: usize| format!("apps: {{ a{n:03}: {{ repo: acme/a{n:03}, image: acme/a{n:03} }} }}");
    let named: Vec<(String, String)> = (0..110).map(|n| (format!("teams/a{n:03}.yaml"), app(n))).collect();
    let files: Vec<(&str, &str)> = named.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let base = "apps: { z: { repo: a/z, image: z } }";
    let catalog = read(ROOT, &[&files[..], &[("ops/base.yaml", base)]].concat());
    assert_eq!(catalog.apps.len(), 101, "a hundred, and checkout");
    assert!(catalog.find("z", None).is_ok(), "what is named counts first");
    insta::assert_snapshot!(out(&catalog), @"-: teams/a099.yaml: `include` has more than 100 files: neither this one nor what follows is read");
    // Twenty of nearly 64 KiB: the longest are left out, however they are named.
    let large = |n: usize| format!("{}#{}", app(n), "x".repeat(61_440_usize.saturating_add(n)));
    let named: Vec<(String, String)> = (0..20).map(|n| (format!("teams/a{n:03}.yaml"), large(n))).collect();
    let mut files: Vec<(&str, &str)> = named.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let small = "apps: { small: { repo: acme/small, image: acme/small } }";
    files.push(("teams/small.yaml", small));
    let catalog = read(ROOT, &files);
    assert!(catalog.find("small", None).is_ok());
    let left_out = catalog.out_of_service.iter().filter(|one| one.error.problem.contains("1 MiB together")).count();
    assert_eq!((catalog.apps.len(), left_out), (19, 3));
}

#[test]
fn what_include_may_not_say_is_an_error_of_the_whole() {
    let bounds = "apps: [a], values: [b], applications: [c], repositories: [d/e], images: [f]";
    let root = |include: &str| format!("include: {include}\napps: {{ x: {{ repo: a/b, image: c }} }}");
    let all = [
        root("[]"),
        root(&format!("{{ '*.yaml': {{ {bounds} }} }}")),
        root(&format!("{{ 'teams/**/x.yaml': {{ {bounds} }} }}")),
        root(&format!("{{ 'teams/*': {{ {bounds} }} }}")),
        root(&format!("{{ '../x.yaml': {{ {bounds} }} }}")),
        root(&format!("{{ 'x.yml': {{ {bounds} }} }}")),
        root(&format!("{{ 'deploy-bot.yaml': {{ {bounds} }} }}")),
        root("{ 'x.yaml': { apps: [a], values: [b], applications: [c], repositories: [d] } }"),
        root("{ 'x.yaml': }"),
        root(&format!("{{ 'x.yaml': {{ {bounds}, owners: [] }} }}")),
        root(&format!("{{ 'x.yaml': {{ {} }} }}", bounds.replace("[a]", "a"))),
        root(&format!("{{ 'x.yaml': {{ {} }} }}", bounds.replace("[a]", "['{app}-*']"))),
        root(&format!("{{ 'x.yaml': {{ {} }} }}", bounds.replace("[a]", "['a?']"))),
        root(&format!("{{ 'x.yaml': {{ {} }} }}", bounds.replace("[a]", "['a b']"))),
        root(&format!("{{ 'x.yaml': {{ {} }} }}", bounds.replace("[a]", "['***']"))),
        root(&format!(
            "{{ {} }}",
            (0..21).map(|n| format!("'{n}.yaml': {{ {bounds} }}")).collect::<Vec<_>>().join(", ")
        )),
    ];
    let said = |text: &String| {
        let error = Catalog::parse(text).unwrap_err();
        format!("line {}: {}", error.line.unwrap(), error.problem)
    };
    insta::assert_snapshot!(all.iter().map(said).collect::<Vec<_>>().join("\n"), @"
    line 1: `include` must be a map, not a list
    line 1: `include` cannot have `*.yaml`: name another file such as `teams/shop.yaml`, or all of a folder as `teams/*.yaml`
    line 1: `include` cannot have `teams/**/x.yaml`: name another file such as `teams/shop.yaml`, or all of a folder as `teams/*.yaml`
    line 1: `include` cannot have `teams/*`: name another file such as `teams/shop.yaml`, or all of a folder as `teams/*.yaml`
    line 1: `include` cannot have `../x.yaml`: name another file such as `teams/shop.yaml`, or all of a folder as `teams/*.yaml`
    line 1: `include` cannot have `x.yml`: name another file such as `teams/shop.yaml`, or all of a folder as `teams/*.yaml`
    line 1: `include` cannot have `deploy-bot.yaml`: name another file such as `teams/shop.yaml`, or all of a folder as `teams/*.yaml`
    line 1: `x.yaml` has no `images`
    line 1: `x.yaml` has no `apps`
    line 1: `x.yaml` cannot have `owners`: it can have `apps`, `values`, `applications`, `repositories`, `images`
    line 1: `apps` must be a list, not text
    line 1: `apps`: `{app}-*` is no pattern such as `{name}-*`, `teams/{name}/**` or `*`
    line 1: `apps`: `a?` is no pattern such as `{name}-*`, `teams/{name}/**` or `*`
    line 1: `apps`: `a b` is no pattern such as `{name}-*`, `teams/{name}/**` or `*`
    line 1: `apps`: `***` is no pattern such as `{name}-*`, `teams/{name}/**` or `*`
    line 1: `include` names more than 20 files and folders
    ");
    // No apps of its own, and none in files so far.
    let alone = format!("include: {{ 'teams/*.yaml': {{ {bounds} }} }}");
    assert_eq!(Catalog::parse(&alone).map(|catalog| catalog.apps.len()), Ok(0));
    // What is not given permits nothing.
    let nothing =
        "include: { 'x.yaml': { apps: ['*'], values: [], applications: [], repositories: ['*'], images: ['*'] } }";
    insta::assert_snapshot!(out(&read(nothing, &[("x.yaml", "apps: { x: { repo: a/b, image: c } }")])), @"x: x.yaml on line 1: `x/values.yaml` is out of bounds: for this file `include` has `values` nothing");
}

#[test]
fn each_file_is_part_of_the_identity_and_believed_for_its_own_id_only() {
    let files = [("teams/a.yaml", "# a"), ("teams/b.yaml", "# b")];
    let first = sources(ROOT, &files);
    assert!(first.are_whole() && first.missing().is_empty());
    let alone = Sources::alone(ROOT.to_owned());
    assert_eq!(alone.identity(), alone.blob);
    let others = [
        sources(ROOT, &[("teams/a.yaml", "# a")]),
        sources(ROOT, &[("teams/a.yaml", "# a"), ("teams/c.yaml", "# b")]),
        sources(ROOT, &[("teams/a.yaml", "# b"), ("teams/b.yaml", "# a")]),
        sources(&format!("{ROOT}# more"), &files),
        alone,
    ];
    for other in &others {
        assert_ne!(other.identity(), first.identity());
    }
    let mut mode = first.clone();
    let found = mode.included[1].found.as_mut().unwrap();
    found.mode = 0o120_000;
    assert_ne!(mode.identity(), first.identity());
    let mut forged = first.clone();
    forged.included[1].text = Some("apps: {}".to_owned());
    assert!(!forged.are_whole() && forged.identity() == first.identity());
    let named = "include: { 'x.yaml': { apps: [], values: [], applications: [], repositories: [], images: [] } }";
    assert_ne!(sources(named, &[]).identity(), sources(named, &[("x.yaml", "")]).identity());
    insta::assert_snapshot!(out(&read(named, &[])), @"-: x.yaml: it is not there");
}

#[test]
fn an_unknown_app_may_be_in_a_file_that_cannot_be_read() {
    let catalog = read(ROOT, &[("teams/payments.yaml", "apps: [")]);
    let Err(Refusal::UnknownApp { unread, .. }) = catalog.find("payments", None) else { panic!("it is not known") };
    assert_eq!(unread.iter().map(FilePath::as_str).collect::<Vec<_>>(), ["ops/base.yaml", "teams/payments.yaml"]);
}

#[test]
fn a_change_in_an_included_file_is_told_and_its_files_stay_managed() {
    let shown = |change: Option<CatalogChange>| {
        let line = |one: &Difference| {
            format!("{} {}: {:?} -> {:?}", one.of.as_deref().unwrap_or("-"), one.key, one.was, one.is)
        };
        match change.map(|change| change.news) {
            Some(News::Differs { all, .. }) => all.iter().map(line).collect::<Vec<_>>().join("\n"),
            other => format!("{other:?}"),
        }
    };
    let base = ("ops/base.yaml", "");
    let first = read(ROOT, &[("teams/payments.yaml", GOOD), base]);
    let none = CatalogPushes::default();
    let mut told = ToldCatalog::first(&FoundCatalog::Whole(&blob('a'), &first), &none);
    let mut n = 'a';
    let mut next = |root: &str, text: &str| {
        n = char::from_u32(u32::from(n).saturating_add(1)).unwrap();
        let catalog = read(root, &[("teams/payments.yaml", text), base]);
        shown(told.compare(&FoundCatalog::Whole(&blob(n), &catalog), &none, at(1)))
    };
    let all = [
        next(ROOT, "apps: ["),
        next(ROOT, &GOOD.replace("allow: anyone", "allow: { users: [U3] }")),
        next(&ROOT.replace("'{name}/**'", "'**'"), GOOD),
        next(ROOT, "apps: {}"),
    ];
    insta::assert_snapshot!(all.join("\n--\n"), @r#"
    teams/payments.yaml out of service: None -> Some("teams/payments.yaml on line 2: this is not YAML: while parsing a flow node, did not find expected node content")
    --
    payments allow: Some("anyone") -> Some("users U3")
    teams/payments.yaml out of service: Some("teams/payments.yaml on line 2: this is not YAML: while parsing a flow node, did not find expected node content") -> None
    --
    payments allow: Some("users U3") -> Some("anyone")
    - include: Some("ops/base.yaml; apps *; values **; applications *; repositories *; images *, teams/*.yaml; apps {name} {name}-*; values {name}/**; applications {name}* team-{name}/*; repositories acme/{name}*; images ghcr.io/acme/{name}/* acme/{name}") -> Some("ops/base.yaml; apps *; values **; applications *; repositories *; images *, teams/*.yaml; apps {name} {name}-*; values **; applications {name}* team-{name}/*; repositories acme/{name}*; images ghcr.io/acme/{name}/* acme/{name}")
    --
    - include: Some("ops/base.yaml; apps *; values **; applications *; repositories *; images *, teams/*.yaml; apps {name} {name}-*; values **; applications {name}* team-{name}/*; repositories acme/{name}*; images ghcr.io/acme/{name}/* acme/{name}") -> Some("ops/base.yaml; apps *; values **; applications *; repositories *; images *, teams/*.yaml; apps {name} {name}-*; values {name}/**; applications {name}* team-{name}/*; repositories acme/{name}*; images ghcr.io/acme/{name}/* acme/{name}")
    payments app: Some("ghcr.io/acme/payments/api for anyone, without gates") -> None
    payments-worker app: Some("acme/payments for nobody, without gates") -> None
    "#);
    let bot = || GitHubLogin::parse("deploy-bot[bot]").unwrap();
    let managed = Managed::of(&first, None, bot(), Timestamp(7));
    assert!(managed.files.contains_key("payments/deep/b.yaml") && managed.include.len() == 2);
    let broken = read(ROOT, &[("teams/payments.yaml", "apps: ["), base]);
    assert_eq!(Managed::of(&broken, Some(&managed), bot(), Timestamp(7)), managed);
}
