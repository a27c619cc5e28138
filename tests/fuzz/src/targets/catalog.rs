//! The catalog: what is accepted can be written out and read again, and every error names a line that exists.

use crate::parts::Parts;
use crate::promise::{is_plain_to_slack, is_short};
use domain::application::SyncBy;
use domain::catalog::{
    Allow, Asked, BranchGlob, Catalog, CatalogError, Checks, Closed, Environment, ForeignChanges, FoundFile, Freeze,
    Frozen, Gates, LONGEST, MOST_TARGETS, Members, Only, OutOfService, People, Sources, Unmet, Until, included,
};
use domain::image::VerifyRunning;
use domain::message;
use domain::names::{ArgoApplication, BranchName, FilePath, KubeName, SlackChannel, SlackUser, Target};
use domain::refusal::{NotAllowed, Refusal};
use domain::selection::{Applications, Selection};
use domain::time::Timestamp;
use domain::values::blob_sha;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The long form of an environment. JSON is YAML.
fn written_out(environment: &Environment) -> Value {
    let Environment {
        files,
        tag_at,
        digest_at,
        watch,
        applications,
        owners,
        contact,
        gates,
        deadline,
        degraded_grace,
        mirrors,
        verify_running,
        sync,
        home,
        promotes_from,
        auto_rollback,
    } = environment;
    let Gates {
        allow,
        branches,
        checks,
        reviews,
        requires,
        foreign_changes,
        immutable,
        approvals,
        freeze,
        only,
        status,
        ask,
    } = gates;
    let (argocd, namespace) = match applications {
        Applications::Named(all) => {
            let names: Vec<&KubeName> = all.iter().map(|application| &application.name).collect();
            (json!({ "applications": names, "project": all.first().project }), &all.first().namespace)
        }
        Applications::Selected(Selection { selector, project, namespace }) => {
            (json!({ "selector": selector, "project": project }), namespace)
        }
    };
    let mut all = json!({
        "values": files,
        "tag_at": tag_at,
        "digest_at": digest_at,
        "watch": watch,
        "argocd": argocd,
        "owners": people(owners),
        "checks": match checks {
            Checks::Ignore => json!("ignore"),
            Checks::Required => json!("required"),
            Checks::Named(names) => json!(names),
        },
        "foreign_changes": match foreign_changes { ForeignChanges::Warn => "warn", ForeignChanges::Refuse => "refuse" },
        "immutable": immutable.0.to_string(),
        "auto_rollback": auto_rollback.to_string(),
        "deadline": format!("{}s", deadline.as_secs()),
        "degraded_grace": format!("{}s", degraded_grace.as_secs()),
        "mirrors": mirrors.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "sync": match sync { SyncBy::Bot => "bot", SyncBy::Auto => "auto" },
        "verify_running": match verify_running { VerifyRunning::On => "on", VerifyRunning::Off => "off" },
    });
    if let Some(home) = home {
        all["home"] = json!(home);
    }
    if let Some(from) = promotes_from {
        all["promotes_from"] = json!(from);
    }
    if let Some(namespace) = namespace {
        all["argocd"]["namespace"] = json!(namespace);
    }
    all["allow"] = allowed(allow);
    if let Some(contact) = contact {
        all["contact"] = json!(contact);
    }
    if !branches.is_empty() {
        all["branches"] = branches.iter().map(ToString::to_string).collect();
    }
    if let Some(reviews) = reviews {
        all["reviews"] = json!(reviews.count.to_string());
    }
    if let Some(requires) = requires {
        all["requires"] = json!({ "live_on": requires.live_on });
        if !requires.lasting.is_zero() {
            all["requires"]["for"] = json!(format!("{}s", requires.lasting.as_secs()));
        }
    }
    if let Some(path) = &ask.0 {
        all["ask"] = json!(path);
    }
    if !status.0.is_empty() {
        all["status"] = json!(status.0);
    }
    if let Some(approvals) = approvals {
        all["approvals"] = people(&approvals.by);
        if !approvals.reviewers.is_empty() {
            let people = approvals.reviewers.iter().map(|(user, login)| (user.to_string(), json!(login)));
            all["approvals"]["people"] = Value::Object(people.collect());
            all["approvals"]["github_reviews"] = json!("true");
        }
        all["approvals"]["count"] = json!(approvals.count.to_string());
        all["approvals"]["expires"] = json!(format!("{}s", approvals.expires.as_secs()));
    }
    if !freeze.is_empty() {
        let window = |freeze: &Freeze| {
            let (from, until, zone) = words(freeze);
            let end = if is_day(&until) { "to" } else { "until" };
            let mut window = json!({ "from": from, end: until, "zone": zone });
            if let Some(why) = &freeze.why {
                window["why"] = json!(why);
            }
            if !freeze.pass.is_empty() {
                window["pass"] = people(&freeze.pass);
            }
            window
        };
        all["freeze"] = freeze.iter().map(window).collect();
    }
    if !only.is_empty() {
        let window = |only: &Only| {
            let (from, to, zone) = words(only);
            let (days, from) = from.split_once(' ').expect("days and from");
            let mut window = json!({ "days": days, "from": from, "to": to, "zone": zone });
            if !only.pass.is_empty() {
                window["pass"] = people(&only.pass);
            }
            window
        };
        all["only"] = only.iter().map(window).collect();
    }
    all
}

/// From, until and the time zone of a window.
fn words(window: &impl ToString) -> (String, String, String) {
    let text = window.to_string();
    let (from, rest) = text.split_once(" to ").expect("from and until");
    let (until, zone) = rest.rsplit_once(' ').expect("until and a zone");
    (from.to_owned(), until.to_owned(), zone.to_owned())
}

/// A day of the calendar, and no time.
fn is_day(text: &str) -> bool {
    text.contains('-')
}

/// Patterns and windows are what they are shown as, and a freeze ends after it began.
fn gates_hold(gates: &Gates) {
    for glob in &gates.branches {
        assert_eq!(BranchGlob::parse(&glob.to_string()).as_ref(), Some(glob));
        let example = BranchName::parse(&glob.to_string().replace(['*', '?'], "x")).expect("a branch");
        assert!(glob.matches(&example) && gates.takes_branch(&example), "{glob} takes {example}");
    }
    for freeze in &gates.freeze {
        let (from, until, zone) = words(freeze);
        let until = if is_day(&until) { Until::Day(&until) } else { Until::Time(&until) };
        let mut read = Freeze::parse(&from, until, &zone).expect("a freeze");
        read.why.clone_from(&freeze.why);
        assert_eq!(read, *freeze);
    }
    for only in &gates.only {
        let (from, to, zone) = words(only);
        let (days, from) = from.split_once(' ').expect("days and from");
        let days: Vec<&str> = days.split(',').collect();
        assert_eq!(Only::parse(&days, from, &to, &zone).as_ref(), Ok(only));
    }
    for turn in 0..4 {
        // From the night on in which the clocks change in Europe, six weeks apart.
        let now = Timestamp::from_seconds(1_774_742_400 + turn * 3_628_800);
        if let Some(Frozen { until, .. }) = gates.frozen(now) {
            assert!(until > now, "{until:?}");
            assert!(until >= now.after(Freeze::FURTHEST) || gates.frozen(until).is_none(), "{until:?}");
        }
        if let Some(Closed { opens: Some(opens) }) = gates.closed(now) {
            assert!(opens.at > now && gates.closed(opens.at).is_none(), "{opens:?}");
        }
    }
}

fn allowed(allow: &Allow) -> Value {
    let Allow::Listed { people, channels } = allow else { return json!("anyone") };
    let mut all = self::people(people);
    if !channels.is_empty() {
        all["channels"] = json!(channels);
    }
    all
}

fn people(People { users, groups }: &People) -> Value {
    let mut all = json!({});
    for (key, list) in [("users", json!(users)), ("groups", json!(groups))] {
        if list != json!([]) {
            all[key] = list;
        }
    }
    all
}

/// The text of `deploy-bot.yaml`.
pub fn catalog(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let is_said = |refusal: Refusal, error: &CatalogError| {
        let lines = text.matches(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count() + 2;
        assert!(error.line.is_none_or(|line| (1..=lines).contains(&line)), "{error:?} of {lines} lines");
        is_short(&error.problem, 500);
        let sentence = message::refusal(&refusal);
        is_plain_to_slack(&sentence);
        is_short(&sentence, 1000);
    };
    let mut catalog = match Catalog::parse(&text) {
        Ok(catalog) => catalog,
        Err(error) => {
            let path = FilePath::parse("deploy-bot.yaml").expect("a path");
            return is_said(Refusal::BrokenCatalog { path, error: error.clone() }, &error);
        }
    };
    assert!(text.len() <= LONGEST && !(catalog.apps.is_empty() && catalog.out_of_service.is_empty()));
    catalog.include.clear();
    for OutOfService { app, path, error } in std::mem::take(&mut catalog.out_of_service) {
        let app = app.expect("a name");
        assert!(catalog.apps.keys().all(|whole| whole.as_str() != app), "{app} is in service");
        is_said(Refusal::BrokenApp { app, path, error: error.clone() }, &error);
    }
    if catalog.apps.is_empty() {
        return;
    }

    let mut again = json!({ "owners": people(&catalog.owners), "readers": allowed(&catalog.readers) });
    if !catalog.sets.is_empty() {
        assert!(catalog.sets.values().all(|apps| (1..=MOST_TARGETS).contains(&apps.len())));
        assert!(catalog.sets.keys().all(|set| !catalog.apps.contains_key(set)));
        again["sets"] = json!(catalog.sets);
    }
    if let Some(contact) = &catalog.contact {
        again["contact"] = json!(contact);
    }
    let (mut projects, mut places) = (BTreeMap::new(), BTreeSet::new());
    for (name, app) in &catalog.apps {
        assert_eq!(name, &app.name);
        assert!(!app.environments.is_empty());
        again["apps"][name.as_str()] = json!({ "repo": app.repo, "image": app.image });
        for (environment_name, environment) in &app.environments {
            again["apps"][name.as_str()]["environments"][environment_name.as_str()] = written_out(environment);
            gates_hold(&environment.gates);
            assert!((30..=7200).contains(&environment.deadline.as_secs()), "{:?}", environment.deadline);
            assert!(environment.degraded_grace <= Duration::from_secs(600));
            for ArgoApplication { name, namespace, project } in environment.applications.named() {
                let known = *projects.entry((namespace, name)).or_insert(project);
                assert_eq!(known, project, "{name} is in two projects");
            }
            assert!(!environment.tag_at.is_empty());
            let at: BTreeSet<_> = environment.tag_at.iter().chain(&environment.digest_at).collect();
            for place in environment.files.iter().flat_map(|file| at.iter().map(move |at| (file, *at))) {
                assert!(places.insert(place), "{place:?} belongs to two targets");
            }
            if let Allow::Listed { people, channels } = &environment.gates.allow
                && people.is_empty()
                && channels.is_empty()
            {
                let target = Target { app: name.clone(), environment: environment_name.clone() };
                let (user, channel) =
                    (SlackUser::parse("U0").expect("an id"), SlackChannel::parse("C0").expect("an id"));
                let (owners, members) = (&environment.owners, Members::default());
                let (user, channel, now) = (&user, &channel, Timestamp(0));
                let asked = Asked {
                    target: &target,
                    owners,
                    user,
                    channel,
                    override_reason: None,
                    now,
                    was_live: false,
                    members: &members,
                };
                let refusal = Refusal::NotAllowed { target: target.clone(), why: NotAllowed::Nobody };
                assert_eq!(environment.gates.admit(&asked), Err(Unmet::from(refusal)));
            }
            let found = catalog.find(name.as_str(), Some(environment_name.as_str()));
            assert_eq!(found.map(|(target, ..)| target.environment), Ok(environment_name.clone()));
        }
    }
    let mut read = Catalog::parse(&again.to_string());
    for (name, app) in read.iter_mut().flat_map(|read| &mut read.apps) {
        // A rule for tags cannot be written out, and what Git tags and channels there are is read as patterns and names
        // are; and the lines are others.
        let whole = &catalog.apps[name];
        app.tag_rule = whole.tag_rule.clone();
        app.tag_of_tags = whole.tag_of_tags.clone();
        app.tags.clone_from(&whole.tags);
        app.channels.clone_from(&whole.channels);
        app.line = whole.line;
    }
    if again.to_string().len() <= LONGEST {
        assert_eq!(read.as_ref(), Ok(&catalog), "written out as {again}");
    }
}

/// The catalog itself, of a fixed text. What `teams/*.yaml` may have is written so that it can be told without patterns.
const INCLUDES: &str = "
owners: { users: [U1] }
include:
  teams/*.yaml:
    apps: ['{name}-*']
    values: ['{name}/**']
    applications: ['{name}-*', '{name}/*']
    repositories: ['acme/{name}-*']
    images: ['ghcr.io/acme/{name}/**']
apps:
  checkout: { repo: acme/checkout, image: ghcr.io/acme/checkout, allow: anyone }
";

/// The name of a file in `teams`, in the first line; then its text.
pub fn catalog_included(data: &[u8]) {
    let mut parts = Parts(data);
    let name = parts.text().into_owned();
    let (text, catalog) = (parts.rest_text().into_owned(), FilePath::parse("deploy-bot.yaml").expect("a path"));
    let alone = Catalog::parse(INCLUDES).expect("a catalog");
    let Ok(path) = FilePath::parse(&format!("teams/{name}.yaml")) else { return };
    let found = FoundFile { mode: 0o100_644, blob: blob_sha(text.as_bytes()), size: text.len() as u64 };
    let mut sources = Sources::alone(INCLUDES.to_owned());
    sources.included = included(&catalog, &alone.places(), &[vec![(path.clone(), found.clone())]]);
    sources.take_texts([(found.blob, text)].into_iter());
    assert!(sources.are_whole() && sources.included.len() <= 1);
    let mut read = Catalog::read(&catalog, &sources).expect("no file breaks the whole");
    for OutOfService { app, path: file, error } in &read.out_of_service {
        assert_eq!(*file, path);
        is_short(&error.problem, 700);
        if let Some(app) = app.clone() {
            let sentence = message::refusal(&Refusal::BrokenApp { app, path: file.clone(), error: error.clone() });
            is_plain_to_slack(&sentence);
            is_short(&sentence, 1000);
        }
    }
    assert_eq!((&read.owners, &read.readers, &read.include), (&alone.owners, &alone.readers, &alone.include));
    assert_eq!(read.sets, alone.sets);
    for (name, app) in &alone.apps {
        assert_eq!(read.apps.remove(name).as_ref(), Some(app), "what stands in the catalog itself is as it was");
    }
    let is_ours = |text: &str, before: &str, after: &str| text.starts_with(&format!("{before}{name}{after}"));
    for (app_name, app) in &read.apps {
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'), "{name:?}");
        assert!(app.path == path && is_ours(app_name.as_str(), "", "-"), "{app_name}");
        assert!(is_ours(&app.repo.as_str().to_lowercase(), "acme/", "-"), "{}", app.repo);
        for environment in app.environments.values() {
            for image in std::iter::once(&app.image).chain(&environment.mirrors) {
                let whole = format!("{}/{}", image.host(), image.repository());
                assert!(is_ours(&whole, "ghcr.io/acme/", "/"), "{image}");
            }
            assert!(environment.files.iter().all(|file| is_ours(file.as_str(), "", "/")), "{:?}", environment.files);
            assert!(matches!(environment.applications, Applications::Named(_)), "{:?}", environment.applications);
            for ArgoApplication { name: application, namespace, .. } in environment.applications.named() {
                match namespace {
                    None => assert!(is_ours(application.as_str(), "", "-"), "{application}"),
                    Some(namespace) => assert_eq!(namespace.as_str(), name, "{application}"),
                }
            }
        }
    }
}

/// A name, an environment, a line each, as somebody typed them; then the text of `deploy-bot.yaml`.
pub fn catalog_lookup(data: &[u8]) {
    let mut parts = Parts(data);
    let (app, environment) = (parts.text(), parts.text());
    let environment = Some(environment.as_ref()).filter(|environment| !environment.is_empty());
    let Ok(catalog) = Catalog::parse(&parts.rest_text()) else { return };
    match catalog.find(&app, environment) {
        Ok((target, found, place)) => {
            assert_eq!((target.app.as_str(), &found.name), (&*app, &target.app));
            assert!(environment.is_none_or(|environment| target.environment.as_str() == environment));
            assert_eq!(found.environments.get(&target.environment), Some(place));
        }
        Err(refusal) => {
            if let Refusal::UnknownApp { did_you_mean: Some(near), .. } = &refusal {
                assert!(catalog.apps.keys().any(|name| name.as_str() == near), "there is no {near}");
            }
            is_plain_to_slack(&message::refusal(&refusal));
            is_short(&message::refusal(&refusal), 4000);
        }
    }
}
