//! A change of the catalog: what differs between two versions of what counts, who pushed it, and whether people were told.
//!
//! The catalog as people know it is kept as a whole, so a change shows whichever way it came: no push has to be
//! heard of for that. Who pushed is what a webhook said, and no more than a hint.
//!
//! Easy to miss: a broken version is told, too, and what comes after it is compared with the last one that was whole. The
//! same holds for an app that was out of service.

use super::{Allow, App, Catalog, CatalogError, Checks, Environment, ForeignChanges, Freeze, OutOfService, People};
use crate::application::SyncBy;
use crate::image::{TagRule, VerifyRunning};
use crate::names::{ArgoApplication, BlobSha, CommitSha, Contact};
use crate::selection::Applications;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::time::Duration;

/// So many lines are announced of one change; further ones are only counted. The log has all of them.
const MOST: usize = 150;
/// So many changes wait to be told.
const UNTOLD: usize = 5;
/// So many pushes are remembered.
const PUSHES: usize = 5;
/// How much of a value is announced, in characters.
const LONGEST: usize = 120;
/// How much of what a list has more or less than before.
const LONGEST_NEW: usize = 600;
/// The lists of people: each id is in them once, and of one kind.
const PEOPLE: [&str; 4] = ["allow", "owners", "readers", "approvals"];

/// A push that changed the catalog, or perhaps did, as its webhook said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogPusher {
    /// When it was heard of.
    pub at: Timestamp,
    /// The account that pushed; empty where the webhook does not say.
    pub who: String,
    pub before: Option<CommitSha>,
    pub after: Option<CommitSha>,
    /// The branch was forced, deleted or created.
    pub rewrites: bool,
}

/// `catalog-pushed`: the newest pushes that may have changed the catalog, oldest first. github-relay writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogPushes {
    pub pushes: Vec<CatalogPusher>,
}

impl CatalogPushes {
    /// One more.
    pub fn add(&mut self, push: CatalogPusher) {
        self.pushes.push(push);
        self.pushes.drain(..self.pushes.len().saturating_sub(PUSHES));
    }

    /// When the last one was heard of.
    pub fn newest(&self) -> Option<Timestamp> {
        self.pushes.iter().map(|push| push.at).max()
    }

    /// Those after the last one that was looked after.
    pub fn since(&self, heard: Option<Timestamp>) -> Vec<CatalogPusher> {
        self.pushes.iter().filter(|push| heard.is_none_or(|heard| push.at > heard)).cloned().collect()
    }
}

/// One key that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The app or target; none: the catalog as a whole.
    pub of: Option<String>,
    /// The key in the catalog; `app`: the app came or went, with its image and who may deploy it; [`OUT`]: it went out of
    /// service, and why, or is back.
    pub key: String,
    /// As the catalog writes it. None: it was not there, or as it is by default.
    pub was: Option<String>,
    pub is: Option<String>,
}

/// What became of the catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum News {
    Differs {
        all: Vec<Difference>,
        /// How many more differ.
        more: u32,
    },
    /// It cannot be used.
    Broken(CatalogError),
    /// It is not there.
    Gone,
}

/// A change that people are to be told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogChange {
    /// When it was seen.
    pub at: Timestamp,
    pub news: News,
    /// The pushes that were heard of since the change before.
    pub pushes: Vec<CatalogPusher>,
}

/// The catalog as it is found on the branch.
#[derive(Clone, Copy, Debug)]
pub enum FoundCatalog<'f> {
    /// There is none.
    Gone,
    Broken(&'f BlobSha, &'f CatalogError),
    Whole(&'f BlobSha, &'f Catalog),
}

impl FoundCatalog<'_> {
    fn blob(&self) -> Option<&BlobSha> {
        match self {
            Self::Gone => None,
            Self::Broken(blob, _) | Self::Whole(blob, _) => Some(blob),
        }
    }
}

/// `catalog-told`: the catalog as people know it, and what they are still to be told. slack-command writes it, under the
/// lease of that name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldCatalog {
    /// The version that was compared last; none: there was no catalog.
    pub blob: Option<BlobSha>,
    /// What counts of the last version that was whole. Of an app that is out of service: when the app was whole.
    values: Vec<(String, Option<String>, String)>,
    /// The newest push that was looked after.
    pub heard: Option<Timestamp>,
    /// Oldest first.
    pub untold: Vec<CatalogChange>,
    /// How often the first of them was posted without an answer, each of which may be a message.
    pub unsure: u8,
    /// When that was last.
    pub posted: Option<Timestamp>,
}

impl ToldCatalog {
    /// The first version that is seen. There is nothing to compare with.
    pub fn first(found: &FoundCatalog<'_>, pushes: &CatalogPushes) -> Self {
        let values = match found {
            FoundCatalog::Whole(_, catalog) => stored(values(catalog)),
            _ => Vec::new(),
        };
        Self { blob: found.blob().cloned(), values, heard: pushes.newest(), ..Self::default() }
    }

    /// Whether this is the version that was compared last.
    pub fn knows(&self, found: &FoundCatalog<'_>) -> bool {
        self.blob.as_ref() == found.blob()
    }

    /// Compares with what is found now, and returns what changed. `None`: nothing of what counts.
    pub fn compare(
        &mut self,
        found: &FoundCatalog<'_>,
        pushes: &CatalogPushes,
        now: Timestamp,
    ) -> Option<CatalogChange> {
        if self.knows(found) {
            return None;
        }
        let news = self.news(found);
        self.blob = found.blob().cloned();
        let pushed = pushes.since(self.heard);
        self.heard = pushes.newest().or(self.heard);
        news.map(|news| CatalogChange { at: now, news, pushes: pushed })
    }

    fn news(&mut self, found: &FoundCatalog<'_>) -> Option<News> {
        let catalog = match found {
            FoundCatalog::Gone => return Some(News::Gone),
            FoundCatalog::Broken(_, error) => return Some(News::Broken((*error).clone())),
            FoundCatalog::Whole(_, catalog) => catalog,
        };
        let (was, mut is) = (known(&self.values), values(catalog));
        keep(&was, &mut is, catalog);
        let all = differences(&was, &is);
        self.values = stored(is);
        (!all.is_empty()).then_some(News::Differs { all, more: 0 })
    }

    /// To be told. Returns what is never told, because too much waits already.
    pub fn add(&mut self, change: CatalogChange) -> Vec<CatalogChange> {
        let news = match change.news {
            News::Differs { all, .. } => in_short(all),
            other => other,
        };
        self.untold.push(CatalogChange { news, ..change });
        let late = self.untold.len().saturating_sub(UNTOLD);
        // The first one may be on its way.
        self.untold.drain(1..late.saturating_add(1)).collect()
    }

    /// When the first one may be posted: at once, but after a post without an answer each time later.
    pub fn may_post(&self, now: Timestamp, minute: Duration) -> bool {
        let wait = minute.saturating_mul(4_u32.saturating_pow(u32::from(self.unsure).saturating_sub(1)));
        self.unsure == 0 || self.posted.is_none_or(|posted| now.since(posted) >= wait)
    }

    /// The first one is told, or never will be.
    pub fn is_told(&mut self) {
        if !self.untold.is_empty() {
            self.untold.remove(0);
        }
        (self.unsure, self.posted) = (0, None);
    }
}

/// The keys that are compared, in the order in which people read of them: first who may what. Apps that came or went are
/// last, so that many of them hide nothing.
const KEYS: [&str; 39] = [
    "allow",
    "owners",
    "readers",
    "include",
    "approvals",
    "reviews",
    "requires",
    "checks",
    "status",
    "ask",
    "branches",
    "foreign_changes",
    "immutable",
    "freeze",
    "only",
    "image",
    "repo",
    "tag",
    "tags",
    "tag_of_tags",
    "channels",
    "paths",
    "verify_running",
    "mirrors",
    "sync",
    "home",
    "promotes_from",
    "argocd",
    "values",
    "tag_at",
    "digest_at",
    "watch",
    "deadline",
    "degraded_grace",
    "auto_rollback",
    "contact",
    FILE,
    OUT,
    "app",
];

/// Values by the place of the key in [`KEYS`], and what they are of. What is as by default is not there.
type Values = BTreeMap<(usize, Option<String>), String>;

/// What is out of service, of what is not in the catalog itself.
pub const OUT: &str = "out of service";
/// The included file that an app is in.
const FILE: &str = "file";

fn place(key: &str) -> usize {
    KEYS.iter().position(|known| *known == key).unwrap_or(KEYS.len())
}

fn stored(values: Values) -> Vec<(String, Option<String>, String)> {
    let key = |place: usize| KEYS.get(place).copied().unwrap_or_default().to_owned();
    values.into_iter().map(|((place, of), value)| (key(place), of, value)).collect()
}

fn known(stored: &[(String, Option<String>, String)]) -> Values {
    stored.iter().map(|(key, of, value)| ((place(key), of.clone()), value.clone())).collect()
}

/// The app that a value is of.
fn app_of(of: &str) -> &str {
    of.split('@').next().unwrap_or_default()
}

/// An app that is out of service is known as it was before, so that what is mended is compared with what was whole.
fn keep(was: &Values, is: &mut Values, catalog: &Catalog) {
    let is_out = |of: &str| {
        let app = app_of(of);
        let file = was.get(&(place(FILE), Some(app.to_owned())));
        let is_it = |one: &OutOfService| match &one.app {
            Some(broken) => broken == app,
            None => file.is_some_and(|file| file == one.path.as_str()),
        };
        !catalog.apps.keys().any(|whole| whole.as_str() == app) && catalog.out_of_service.iter().any(is_it)
    };
    for ((place, of), value) in was {
        if *place != self::place(OUT) && of.as_deref().is_some_and(is_out) {
            is.insert((*place, of.clone()), value.clone());
        }
    }
}

/// What differs.
fn differences(was: &Values, is: &Values) -> Vec<Difference> {
    let has_app = |values: &Values, app: &str| values.contains_key(&(place("app"), Some(app.to_owned())));
    let is_in_both = |app: &str| has_app(was, app) && has_app(is, app);
    // An app, or a file with apps.
    let is_back =
        |of: &str| has_app(is, of) || is.iter().any(|((key, _), file)| *key == place(FILE) && file.as_str() == of);
    let places: BTreeSet<_> = was.keys().chain(is.keys()).collect();
    let differs = places.into_iter().filter_map(|place| {
        let (key, of) = (KEYS.get(place.0).copied().unwrap_or_default(), place.1.clone());
        let app = of.as_deref().map(app_of);
        let (before, now) = (was.get(place), is.get(place));
        // Of an app in both versions the keys count, of another one the app. Of one that is out of service, the mistake does
        // not matter: its line changes with everything above.
        let is_same = match key {
            OUT => before.is_some() == now.is_some() || (now.is_none() && !of.as_deref().is_some_and(is_back)),
            _ => before == now || app.is_some_and(|app| is_in_both(app) == (key == "app")),
        };
        if is_same {
            return None;
        }
        Some(Difference { of, key: key.to_owned(), was: before.cloned(), is: now.cloned() })
    });
    differs.collect()
}

/// As people read it: the same change of several targets of an app is one line. Each key of each app has a line before any has
/// another one, so that none can be pushed out by changes of another app. What is of everything comes first.
fn in_short(all: Vec<Difference>) -> News {
    let mut groups: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for Difference { of, key, was, is } in all {
        let app = of.as_deref().map(|of| app_of(of).to_owned());
        groups.entry((place(&key), app, was, is)).or_default().extend(of);
    }
    let mut seen: BTreeMap<_, usize> = BTreeMap::new();
    let mut lines = Vec::new();
    for ((place, app, was, is), of) in groups {
        let nth = seen.entry((place, app.clone())).or_default();
        let key = KEYS.get(place).copied().unwrap_or_default();
        let (was, is) = shortened(key, was.as_deref(), is.as_deref());
        lines.push(((app.is_some(), *nth, place, app), Difference { of: together(&of), key: key.to_owned(), was, is }));
        *nth = nth.saturating_add(1);
    }
    lines.sort_by(|(one, _), (other, _)| one.cmp(other));
    let more = u32::try_from(lines.len().saturating_sub(MOST)).unwrap_or(u32::MAX);
    News::Differs { all: lines.into_iter().take(MOST).map(|(_, line)| line).collect(), more }
}

/// Several targets of one app.
fn together(of: &[String]) -> Option<String> {
    match of {
        [first, second, more @ ..] if !more.is_empty() => Some(format!("{first}, {second} and {} more", more.len())),
        _ if of.is_empty() => None,
        _ => Some(of.join(" and ")),
    }
}

fn values(catalog: &Catalog) -> Values {
    let mut values = Values::new();
    let mut add = |of: Option<&str>, key: &str, value: String| {
        if !value.is_empty() {
            values.insert((place(key), of.map(str::to_owned)), value);
        }
    };
    add(None, "owners", people(&catalog.owners));
    if catalog.readers != Allow::Anyone {
        add(None, "readers", allowed(&catalog.readers));
    }
    add(None, "contact", contact(catalog.contact.as_ref()));
    add(None, "include", sorted(&catalog.include));
    for OutOfService { app, path, error } in &catalog.out_of_service {
        let line = error.line.map(|line| format!(" on line {line}")).unwrap_or_default();
        let is_whole = |name: &str| catalog.apps.keys().any(|whole| whole.as_str() == name);
        let of = match app {
            Some(app) if !is_whole(app) => app.clone(),
            // Another entry has the name.
            Some(app) => format!("{app} of {path}"),
            None => path.to_string(),
        };
        add(Some(&of), OUT, format!("{path}{line}: {}", error.problem));
    }
    for app in catalog.apps.values() {
        let of = Some(app.name.as_str());
        let who: BTreeSet<String> = app.environments.values().map(|one| allowed(&one.gates.allow)).collect();
        add(of, "app", format!("{} for {}, {}", app.image, list(who), gates_of(app)));
        add(of, "image", app.image.to_string());
        add(of, "repo", app.repo.to_string());
        add(of, "tag", app.tag_rule.to_string());
        add(of, "tags", list(&app.tags));
        if app.tag_of_tags != TagRule::of_tags() {
            add(of, "tag_of_tags", app.tag_of_tags.to_string());
        }
        add(of, "channels", list(&app.channels));
        add(of, "paths", list(app.paths.iter().map(ToString::to_string)));
        if catalog.include.iter().any(|one| one.place.has(&app.path)) {
            add(of, FILE, app.path.to_string());
        }
        for (name, environment) in &app.environments {
            let target = crate::names::Target { app: app.name.clone(), environment: name.clone() }.to_string();
            for (key, value) in of_environment(environment) {
                add(Some(&target), key, value);
            }
            if environment.contact != catalog.contact {
                add(Some(&target), "contact", contact(environment.contact.as_ref()));
            }
            if environment.owners != catalog.owners {
                let owners = people(&environment.owners);
                add(Some(&target), "owners", if owners.is_empty() { "nobody".to_owned() } else { owners });
            }
        }
    }
    values
}

/// The gates that hold in all environments of an app that came or went: what an app had before it went is not known.
fn gates_of(app: &App) -> String {
    const GATES: [&str; 11] = [
        "approvals",
        "reviews",
        "requires",
        "checks",
        "status",
        "ask",
        "branches",
        "foreign_changes",
        "immutable",
        "freeze",
        "only",
    ];
    let all: Vec<_> = app.environments.values().map(of_environment).collect();
    let holds = |gate: &&str| all.iter().all(|one| one.iter().any(|(key, value)| key == gate && !value.is_empty()));
    let gates: Vec<&str> = GATES.into_iter().filter(holds).collect();
    if gates.is_empty() { "without gates".to_owned() } else { format!("with {}", gates.join(", ")) }
}

/// All but the owners and the contact. An empty text: as by default.
fn of_environment(environment: &Environment) -> [(&'static str, String); 25] {
    let Environment {
        files,
        tag_at,
        digest_at,
        applications,
        owners: _,
        contact: _,
        gates,
        deadline,
        degraded_grace,
        ..
    } = environment;
    let Environment { mirrors, verify_running, sync, watch, home, promotes_from, auto_rollback, .. } = environment;
    let if_not = |is_default: bool, text: &str| if is_default { String::new() } else { text.to_owned() };
    let approvals = gates.approvals.as_ref().map(|approvals| {
        let reviewers = approvals.reviewers.iter().map(|(user, login)| format!(" {user}={login}"));
        let reviewers = if approvals.reviewers.is_empty() {
            String::new()
        } else {
            format!(" reviews of{}", reviewers.collect::<String>())
        };
        format!("{} of {} within {}s{reviewers}", approvals.count, people(&approvals.by), approvals.expires.as_secs())
    });
    let requires =
        gates.requires.as_ref().map(|first| format!("live on {} for {}s", first.live_on, first.lasting.as_secs()));
    [
        ("allow", allowed(&gates.allow)),
        ("approvals", approvals.unwrap_or_default()),
        ("reviews", gates.reviews.as_ref().map(|reviews| reviews.count.to_string()).unwrap_or_default()),
        ("requires", requires.unwrap_or_default()),
        ("checks", checks(&gates.checks)),
        ("status", list(&gates.status.0)),
        ("ask", gates.ask.0.clone().unwrap_or_default()),
        ("branches", list(&gates.branches)),
        ("foreign_changes", if_not(gates.foreign_changes == ForeignChanges::Warn, "refuse")),
        ("immutable", if_not(!gates.immutable.0, "true")),
        ("freeze", list(gates.freeze.iter().map(freeze))),
        ("only", list(gates.only.iter().map(|only| format!("{only}{}", passed_by(&only.pass))))),
        ("verify_running", if_not(*verify_running == VerifyRunning::On, "off")),
        ("mirrors", list(mirrors)),
        ("sync", if_not(*sync == SyncBy::Bot, "auto")),
        ("home", home.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("promotes_from", promotes_from.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("argocd", applications_of(applications)),
        ("values", list(files.iter())),
        ("tag_at", list(tag_at)),
        ("digest_at", list(digest_at)),
        ("watch", list(watch)),
        ("deadline", if_not(deadline.as_secs() == 900, &format!("{}s", deadline.as_secs()))),
        ("degraded_grace", if_not(degraded_grace.as_secs() == 60, &format!("{}s", degraded_grace.as_secs()))),
        ("auto_rollback", if_not(!auto_rollback, "true")),
    ]
}

fn contact(contact: Option<&Contact>) -> String {
    contact.map(ToString::to_string).unwrap_or_default()
}

fn checks(checks: &Checks) -> String {
    match checks {
        Checks::Ignore => String::new(),
        Checks::Required => "required".to_owned(),
        Checks::Named(names) => list(names),
    }
}

fn freeze(freeze: &Freeze) -> String {
    let why = freeze.why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
    format!("{freeze}{why}{}", passed_by(&freeze.pass))
}

fn passed_by(pass: &People) -> String {
    if pass.is_empty() { String::new() } else { format!(" passed by {}", people(pass)) }
}

fn list<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

/// In any order: the same people are the same.
fn sorted<T: Display>(items: &[T]) -> String {
    let mut items: Vec<String> = items.iter().map(ToString::to_string).collect();
    items.sort_unstable();
    items.dedup();
    items.join(", ")
}

fn people(people: &People) -> String {
    let named = [("users", sorted(&people.users)), ("groups", sorted(&people.groups))];
    let named: Vec<String> =
        named.iter().filter(|(_, ids)| !ids.is_empty()).map(|(what, ids)| format!("{what} {ids}")).collect();
    named.join(" and ")
}

fn allowed(allow: &Allow) -> String {
    let Allow::Listed { people: listed, channels } = allow else { return "anyone".to_owned() };
    match (people(listed), sorted(channels)) {
        (people, channels) if people.is_empty() && channels.is_empty() => "nobody".to_owned(),
        (people, channels) if channels.is_empty() => people,
        (people, channels) if people.is_empty() => format!("everybody in {channels}"),
        (people, channels) => format!("{people} in {channels}"),
    }
}

fn applications_of(applications: &Applications) -> String {
    let whole = |name: &dyn Display, project: &dyn Display, namespace: Option<&dyn Display>| {
        let namespace = namespace.map(|namespace| format!(" in {namespace}")).unwrap_or_default();
        format!("{project}/{name}{namespace}")
    };
    match applications {
        Applications::Named(named) => list(named.iter().map(|ArgoApplication { name, project, namespace }| {
            whole(name, project, namespace.as_ref().map(|namespace| namespace as &dyn Display))
        })),
        Applications::Selected(selection) => {
            let namespace = selection.namespace.as_ref().map(|namespace| namespace as &dyn Display);
            whole(&selection.selector, &selection.project, namespace)
        }
    }
}

/// Of two long lists what one has and the other has not. Of other long values what follows after they were the same.
fn shortened(key: &str, was: Option<&str>, is: Option<&str>) -> (Option<String>, Option<String>) {
    let is_long = |text: Option<&str>| text.is_some_and(|text| text.chars().count() > LONGEST);
    if let Some((was, is)) = was.zip(is).filter(|_| is_long(was) || is_long(is)) {
        let separators: &[char] = if PEOPLE.contains(&key) { &[',', ' '] } else { &[','] };
        let (had, has) = (items(was, separators), items(is, separators));
        let (went, came) = (without(&had, &has), without(&has, &had));
        let all = || went.iter().chain(&came);
        if all().next().is_some() && all().all(|item| item.chars().count() < LONGEST_NEW) {
            return (Some(rest_and(&went)), Some(rest_and(&came)));
        }
    }
    let same = was.zip(is).map_or(0, |(was, is)| was.chars().zip(is.chars()).take_while(|(was, is)| was == is).count());
    let short = |text: &str| {
        if text.chars().count() <= LONGEST {
            return text.to_owned();
        }
        let left_out = same.saturating_sub(LONGEST / 4);
        let begin = if left_out > 0 { "…" } else { "" };
        let shown: String = text.chars().skip(left_out).take(LONGEST).collect();
        let end = if text.chars().count() > left_out.saturating_add(LONGEST) { "…" } else { "" };
        format!("{begin}{shown}{end}")
    };
    (was.map(short), is.map(short))
}

fn items<'t>(text: &'t str, separators: &[char]) -> Vec<&'t str> {
    text.split(separators).map(str::trim).filter(|item| !item.is_empty()).collect()
}

/// Each item as often as it is more often there than in the others.
fn without<'t>(items: &[&'t str], others: &[&str]) -> Vec<&'t str> {
    let mut others = others.to_vec();
    let is_left = |item: &&&str| match others.iter().position(|other| other == *item) {
        Some(at) => {
            others.swap_remove(at);
            false
        }
        None => true,
    };
    items.iter().filter(is_left).copied().collect()
}

/// The rest is the same.
fn rest_and(items: &[&str]) -> String {
    let mut text = "…".to_owned();
    for (n, item) in items.iter().enumerate() {
        let left = items.len().saturating_sub(n);
        if text.chars().count().saturating_add(item.chars().count()) > LONGEST_NEW {
            return format!("{text} and {left} more");
        }
        text = format!("{text}, {item}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deployment::samples::{at, blob};

    const OLD: &str = "
owners: { users: [U1] }
apps:
  checkout:
    repo: acme/checkout
    image: ghcr.io/acme/checkout
    allow: { users: [U2, U1] }
    approvals: { count: 1, groups: [S1] }
    environments:
      production: { values: a.yaml, checks: required, freeze: [{ from: '22:00', until: '06:00', zone: Europe/Berlin }] }
  search: { repo: acme/search, image: ghcr.io/acme/search, allow: anyone }
";

    /// What differs, a line each.
    fn shown(news: &News) -> String {
        let News::Differs { all, more } = news else { return format!("{news:?}") };
        let line = |one: &Difference| {
            let of = one.of.as_ref().map(|of| format!("{of} ")).unwrap_or_default();
            format!("{of}{}: {:?} -> {:?}\n", one.key, one.was, one.is)
        };
        all.iter().map(line).chain((*more > 0).then(|| format!("{more} more"))).collect()
    }

    /// Told of the first version.
    fn first(text: &str, pushes: &CatalogPushes) -> ToldCatalog {
        ToldCatalog::first(&FoundCatalog::Whole(&blob('a'), &Catalog::parse(text).unwrap()), pushes)
    }

    /// Then that version is found.
    fn then(
        told: &mut ToldCatalog,
        blob: &BlobSha,
        text: &str,
        pushes: &CatalogPushes,
        now: Timestamp,
    ) -> Option<CatalogChange> {
        match &Catalog::parse(text) {
            Ok(catalog) => told.compare(&FoundCatalog::Whole(blob, catalog), pushes, now),
            Err(error) => told.compare(&FoundCatalog::Broken(blob, error), pushes, now),
        }
    }

    /// As people read it.
    fn announced(change: CatalogChange) -> (Vec<Difference>, u32) {
        let mut told = ToldCatalog::default();
        told.add(change);
        let News::Differs { all, more } = told.untold.remove(0).news else { panic!("nothing differs") };
        (all, more)
    }

    fn change(new: &str) -> Option<CatalogChange> {
        let none = CatalogPushes::default();
        then(&mut first(OLD, &none), &blob('b'), new, &none, at(1))
    }

    #[test]
    fn an_app_that_goes_out_of_service_is_told_and_what_is_mended_is_compared_with_what_was_whole() {
        let none = CatalogPushes::default();
        let mut told = first(OLD, &none);
        let mut next = |n: char, text: &str| {
            then(&mut told, &blob(n), text, &none, at(1)).map_or_else(String::new, |change| shown(&change.news))
        };
        let broken = OLD.replace("{ users: [U2, U1] }", "anybody");
        insta::assert_snapshot!(next('b', &broken), @r#"checkout out of service: None -> Some("deploy-bot.yaml on line 7: `allow` is the word `anyone`, or a map of `users`, `groups` and `channels`")"#);
        assert_eq!(next('c', &broken.replace("owners", "# One line more.\nowners")), "", "no news");
        // Meanwhile another one changes, and one comes that was never whole.
        let more = broken.replace("allow: anyone }", "allow: { users: [U7] } }") + "  cart: { repo: acme }\n";
        insta::assert_snapshot!(next('d', &more), @r#"
        search allow: Some("anyone") -> Some("users U7")
        cart out of service: None -> Some("deploy-bot.yaml on line 12: `cart` has no `image`")
        "#);
        // Mended, with less of a gate than before it broke.
        let mended = OLD.replace("checks: required, ", "").replace("allow: anyone }", "allow: { users: [U7] } }");
        insta::assert_snapshot!(next('e', &mended), @r#"
        checkout@production checks: Some("required") -> None
        checkout out of service: Some("deploy-bot.yaml on line 7: `allow` is the word `anyone`, or a map of `users`, `groups` and `channels`") -> None
        "#);
        let mut told = first(&broken, &none);
        let whole = then(&mut told, &blob('b'), OLD, &none, at(1)).unwrap();
        insta::assert_snapshot!(shown(&whole.news), @r#"
        checkout out of service: Some("deploy-bot.yaml on line 7: `allow` is the word `anyone`, or a map of `users`, `groups` and `channels`") -> None
        checkout app: None -> Some("ghcr.io/acme/checkout for users U1, U2, with approvals, checks, freeze")
        "#);
        let gone = OLD.replace("  search:", "  find:");
        insta::assert_snapshot!(shown(&then(&mut told, &blob('c'), &gone, &none, at(1)).unwrap().news), @r#"
        find app: None -> Some("ghcr.io/acme/search for anyone, without gates")
        search app: Some("ghcr.io/acme/search for anyone, without gates") -> None
        "#);
    }

    #[test]
    fn what_counts_is_named_and_what_does_not_count_is_not() {
        let check = |from: &str, to: &str| {
            assert!(OLD.contains(from), "{from}");
            change(&OLD.replace(from, to)).map_or_else(String::new, |change| shown(&change.news))
        };
        assert_eq!(check("[U2, U1] }", "[U1, U2] } # the same"), "");
        insta::assert_snapshot!(check("{ users: [U2, U1] }", "anyone"), @r#"checkout@production allow: Some("users U1, U2") -> Some("anyone")"#);
        insta::assert_snapshot!(check("approvals: { count: 1, groups: [S1] }", "approvals: none"), @r#"checkout@production approvals: Some("1 of groups S1 within 3600s") -> None"#);
        insta::assert_snapshot!(check("checks: required, ", ""), @r#"checkout@production checks: Some("required") -> None"#);
        insta::assert_snapshot!(check("image: ghcr.io/acme/checkout", "image: evil.example/acme/checkout"), @r#"checkout image: Some("ghcr.io/acme/checkout") -> Some("evil.example/acme/checkout")"#);
        insta::assert_snapshot!(check("owners: { users: [U1] }", "owners: { users: [U1, U9] }\nreaders: []"), @r#"
        owners: Some("users U1") -> Some("users U1, U9")
        readers: None -> Some("nobody")
        "#);
        insta::assert_snapshot!(check("checks: required,", "checks: required, status: promoter/healthy, ask: /deploys,"), @r#"
        checkout@production status: None -> Some("promoter/healthy")
        checkout@production ask: None -> Some("/deploys")
        "#);
        insta::assert_snapshot!(check("zone: Europe/Berlin }", "zone: Europe/Berlin, pass: { users: [U9, U7], groups: [S2] } }"), @r#"checkout@production freeze: Some("22:00 to 06:00 Europe/Berlin") -> Some("22:00 to 06:00 Europe/Berlin passed by users U7, U9 and groups S2")"#);
        insta::assert_snapshot!(check("checks: required,", "checks: required, only: [{ from: '09:00', to: '16:00', zone: UTC, pass: { users: [U9] } }],"), @r#"checkout@production only: None -> Some("Mon-Sun 09:00 to 16:00 UTC passed by users U9")"#);
        insta::assert_snapshot!(check("  search: { repo: acme/search, image: ghcr.io/acme/search, allow: anyone }\n", "  cart: { repo: acme/cart, image: acme/cart, tag: '{sha:12}', allow: { channels: [C1] } }\n"), @r#"
        cart app: None -> Some("acme/cart for everybody in C1, without gates")
        search app: Some("ghcr.io/acme/search for anyone, without gates") -> None
        "#);
    }

    #[test]
    fn many_differences_hide_none_of_who_may_what() {
        let apps: String =
            (0..40).map(|n| format!("  a{n}: {{ repo: a/b, image: x, values: {n}.yaml, allow: anyone }}\n")).collect();
        let change = change(&format!("{}{apps}", OLD.replace("{ users: [U2, U1] }", "anyone"))).unwrap();
        let (all, more) = announced(change);
        assert_eq!((all.len(), all[0].key.as_str(), more), (41, "allow", 0));
        // Each environment of six apps gets another `allow`, and so does checkout.
        let apps = |allow: &str| -> String {
            let line = |n: u32| {
                let allow = allow.replace('#', &n.to_string());
                format!("      e{n}: {{ values: APP/{n}.yaml, argocd: {{ application: APP-{n} }}{allow} }}\n")
            };
            let lines: String = (10..40).map(line).collect();
            let entry = |app: char| {
                let entry =
                    format!("  APP:\n    repo: a/b\n    image: x\n    allow: anyone\n    environments:\n{lines}");
                entry.replace("APP", &app.to_string())
            };
            format!("{OLD}{}", ('a'..='f').map(entry).collect::<String>())
        };
        let none = CatalogPushes::default();
        let many = apps(", allow: { users: [U#] }").replace("{ users: [U2, U1] }", "anyone");
        let many = many.replace("owners: { users: [U1] }", "owners: { users: [U9] }");
        let change = then(&mut first(&apps(""), &none), &blob('b'), &many, &none, at(1)).unwrap();
        let News::Differs { all, .. } = &change.news else { panic!("{change:?}") };
        assert_eq!(all.len(), 182, "the log has all of them");
        let (all, more) = announced(change);
        let of: Vec<_> = all.iter().map(|one| one.of.as_deref().unwrap_or("everything")).collect();
        let expected =
            ["everything", "a@e10", "b@e10", "c@e10", "checkout@production", "d@e10", "e@e10", "f@e10", "a@e11"];
        assert_eq!((&of[..9], more), (&expected[..], 32));
        let same = apps(", allow: { users: [U1] }");
        let same = then(&mut first(&apps(""), &none), &blob('b'), &same, &none, at(1)).unwrap();
        assert_eq!(announced(same).0[0].of.as_deref(), Some("a@e10, a@e11 and 28 more"));
        let long = |last: &str| {
            let users: Vec<String> = (100..190).map(|n| format!("U{n}")).collect();
            OLD.replace("[U2, U1]", &format!("[{}, {last}]", users.join(", ")))
        };
        let news = then(&mut first(&long("U998"), &none), &blob('b'), &long("U000, U999"), &none, at(1)).unwrap();
        let (all, _) = announced(news);
        assert_eq!((all[0].was.as_deref(), all[0].is.as_deref()), (Some("…, U998"), Some("…, U000, U999")));
        let ids: Vec<String> = (1000..1100).map(|n| format!("U{n}")).collect();
        let others = OLD.replace("[U2, U1]", &format!("[{}]", ids.join(", ")));
        let (all, _) = announced(then(&mut first(&long("U998"), &none), &blob('b'), &others, &none, at(1)).unwrap());
        assert!(all[0].is.as_deref().unwrap().ends_with(", U1084 and 15 more"), "{all:?}");
    }

    #[test]
    fn a_broken_version_is_told_and_the_next_one_compared_with_the_last_whole_one() {
        let blobs: Vec<BlobSha> = ('a'..='f').map(blob).collect();
        let none = CatalogPushes::default();
        let mut told = first(OLD, &none);
        let broken = then(&mut told, &blobs[1], "apps: [", &none, at(1)).unwrap();
        assert!(matches!(&broken.news, News::Broken(error) if error.line.is_some()), "{broken:?}");
        let unread = CatalogError { line: None, problem: "it is too large".to_owned() };
        let found_unread = FoundCatalog::Broken(&blobs[2], &unread);
        assert_eq!(told.compare(&found_unread, &none, at(1)).unwrap().news, News::Broken(unread.clone()));
        assert_eq!(told.compare(&FoundCatalog::Gone, &none, at(2)).unwrap().news, News::Gone);
        assert_eq!(told.compare(&FoundCatalog::Gone, &none, at(2)), None);
        assert_eq!(then(&mut told, &blobs[3], OLD, &none, at(3)), None, "as it was");
        let widened = OLD.replace("{ users: [U2, U1] }", "anyone");
        let change = then(&mut told, &blobs[4], &widened, &none, at(4)).unwrap();
        assert!(shown(&change.news).contains("anyone"), "{change:?}");
    }

    #[test]
    fn who_pushed_is_who_was_heard_of_since_the_change_before() {
        let push = |second, who: &str| CatalogPusher {
            at: at(second),
            who: who.to_owned(),
            before: None,
            after: None,
            rewrites: false,
        };
        let mut pushes = CatalogPushes::default();
        pushes.add(push(1, "carol"));
        let mut told = first(OLD, &pushes);
        pushes.add(push(2, "mallory"));
        pushes.add(push(3, "eve"));
        let who =
            |change: Option<CatalogChange>| change.unwrap().pushes.into_iter().map(|push| push.who).collect::<Vec<_>>();
        let anyone = OLD.replace("{ users: [U2, U1] }", "anyone");
        assert_eq!(who(then(&mut told, &blob('b'), &anyone, &pushes, at(4))), ["mallory", "eve"]);
        assert_eq!(who(then(&mut told, &blob('c'), OLD, &pushes, at(5))), [""; 0]);
        for n in 10..30 {
            pushes.add(push(n, "bob"));
        }
        assert_eq!((pushes.pushes.len(), pushes.newest()), (PUSHES, Some(at(29))));
    }

    #[test]
    fn a_post_without_an_answer_is_repeated_later_and_later() {
        let minute = Duration::from_secs(60);
        let mut told = ToldCatalog::default();
        let one = |second| CatalogChange { at: at(second), news: News::Gone, pushes: Vec::new() };
        for second in 0..7 {
            let lost = told.add(one(second));
            assert_eq!(lost.len(), usize::from(second >= 5));
        }
        let times: Vec<Timestamp> = told.untold.iter().map(|change| change.at).collect();
        assert_eq!(times, [at(0), at(3), at(4), at(5), at(6)]);
        assert!(told.may_post(at(0), minute));
        (told.unsure, told.posted) = (1, Some(at(100)));
        assert!(!told.may_post(at(159), minute) && told.may_post(at(160), minute));
        told.unsure = 2;
        assert!(!told.may_post(at(339), minute) && told.may_post(at(340), minute));
        told.is_told();
        assert!((told.untold.len(), told.unsure) == (4, 0) && told.may_post(at(100), minute));
    }
}
