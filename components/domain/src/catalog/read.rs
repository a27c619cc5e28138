//! From the catalog's tree to its types, with a sentence and a line for everything that is wrong.
//!
//! What belongs to one target only (its Argo CD application, its place in a values file) is claimed while it is read.

use super::yaml::{self, Entry, Node, Value, error};
use super::{
    Allow, App, Approvals, BranchGlob, Catalog, CatalogError, Checks, Environment, ForeignChanges, Freeze, Gates,
    LONGEST, NOBODY, People,
};
use crate::image::{ImageName, TagRule};
use crate::names::{
    AppName, ArgoApplication, EnvironmentName, FilePath, InvalidName, KubeName, RepoName, SlackChannel, SlackGroup,
    SlackUser, Target,
};
use crate::nonempty::NonEmpty;
use crate::text::{nearest, quoted};
use crate::values::TagPath;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The most entries of one list, and the most environments of one app.
const MANY: usize = 100;

pub(super) fn catalog(text: &str) -> Result<Catalog, CatalogError> {
    if text.len() > LONGEST {
        return Err(CatalogError { line: None, problem: format!("it is longer than {} KiB", LONGEST / 1024) });
    }
    let root = yaml::parse(text)?;
    let root =
        root.as_deref().map(|root| Fields::of("the catalog", root.line, root, &["apps", "owners"])).transpose()?;
    let owners = root.as_ref().and_then(|root| root.get("owners")).map(read_owners).transpose()?.unwrap_or_default();
    let list = root.as_ref().and_then(|root| root.get("apps"));
    let mut claims = Claims::default();
    let mut apps = BTreeMap::new();
    for entry in list.map(map_of).transpose()?.unwrap_or_default() {
        let app = read_app(entry, &owners, &mut claims)?;
        apps.insert(app.name.clone(), app);
    }
    if apps.is_empty() {
        return Err(CatalogError { line: list.map(|list| list.line), problem: "it has no apps".to_owned() });
    }
    Ok(Catalog { apps, owners })
}

/// The keys that each environment has, or the app if there are no `environments`.
const ENVIRONMENT_KEYS: [&str; 12] = [
    "values",
    "tag_at",
    "argocd",
    "allow",
    "owners",
    "branches",
    "checks",
    "foreign_changes",
    "approvals",
    "freeze",
    "deadline",
    "degraded_grace",
];

/// The most windows of one `freeze`.
const MOST_WINDOWS: usize = 20;

/// A map with known keys.
struct Fields<'a> {
    line: usize,
    /// What it is, for sentences.
    name: String,
    entries: &'a [Entry],
}

impl<'a> Fields<'a> {
    /// Checks that a node is a map with these keys only. An empty value is an empty map.
    fn of(name: &str, line: usize, node: &'a Node, keys: &[&str]) -> Result<Self, CatalogError> {
        let entries = entries_of(name, line, node)?;
        if let Some(odd) = entries.iter().find(|entry| !keys.contains(&entry.key.as_str())) {
            let hint = match nearest(&odd.key, keys.iter().copied()) {
                _ if odd.key == "<<" => "merge keys are not supported; an alias of a whole value is".to_owned(),
                Some(key) => format!("did you mean `{key}`?"),
                None => format!("it can have {}", listed(keys)),
            };
            return Err(error(odd.line, format!("{name} cannot have {}: {hint}", quoted(&odd.key))));
        }
        Ok(Self { line, name: name.to_owned(), entries })
    }

    fn get(&self, key: &str) -> Option<&'a Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    fn required(&self, key: &str) -> Result<&'a Entry, CatalogError> {
        self.get(key).ok_or_else(|| error(self.line, format!("{} has no `{key}`", self.name)))
    }
}

fn listed(keys: &[&str]) -> String {
    let keys: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
    keys.join(", ")
}

fn entries_of<'a>(name: &str, line: usize, node: &'a Node) -> Result<&'a [Entry], CatalogError> {
    match &node.value {
        Value::Map(entries) => Ok(entries),
        Value::Empty => Ok(&[]),
        other => Err(error(line, format!("{name} must be a map, not {}", kind(other)))),
    }
}

fn map_of(entry: &Entry) -> Result<&[Entry], CatalogError> {
    entries_of(&quoted(&entry.key), entry.line, &entry.node)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Empty => "empty",
        Value::Text(_) => "text",
        Value::List(_) => "a list",
        Value::Map(_) => "a map",
    }
}

fn text_of(entry: &Entry) -> Result<&str, CatalogError> {
    text(&format!("`{}`", entry.key), entry.line, &entry.node)
}

/// The text of an entry of a list.
fn item_text<'a>(key: &str, node: &'a Node) -> Result<&'a str, CatalogError> {
    text(&format!("an entry of `{key}`"), node.line, node)
}

fn text<'a>(name: &str, line: usize, node: &'a Node) -> Result<&'a str, CatalogError> {
    match &node.value {
        Value::Text(text) => Ok(text),
        Value::Map(_) => {
            Err(error(line, format!("{name} must be text, not a map; text that starts with `{{` needs quotes")))
        }
        other => Err(error(line, format!("{name} must be text, not {}", kind(other)))),
    }
}

/// A value that is an identifier.
fn name<T>(entry: &Entry, parse: fn(&str) -> Result<T, InvalidName>) -> Result<T, CatalogError> {
    let text = text_of(entry)?;
    parse(text).map_err(|wrong| error(entry.line, format!("{}: {} is {wrong}", quoted(&entry.key), quoted(text))))
}

/// A key that is an identifier.
fn key_name<T>(entry: &Entry, parse: fn(&str) -> Result<T, InvalidName>) -> Result<T, CatalogError> {
    parse(&entry.key).map_err(|wrong| error(entry.line, format!("{} is {wrong}", quoted(&entry.key))))
}

fn list_of(entry: &Entry) -> Result<Vec<&Node>, CatalogError> {
    match &entry.node.value {
        Value::List(items) if items.len() > MANY => {
            Err(error(entry.line, format!("`{}` has more than {MANY} entries", entry.key)))
        }
        Value::List(items) => Ok(items.iter().map(AsRef::as_ref).collect()),
        Value::Empty => Ok(Vec::new()),
        other => Err(error(entry.line, format!("`{}` must be a list, not {}", entry.key, kind(other)))),
    }
}

/// Which target has which application and which place: neither may belong to two.
#[derive(Default)]
struct Claims {
    applications: BTreeMap<(Option<KubeName>, KubeName), Target>,
    places: BTreeMap<(FilePath, TagPath), Target>,
}

impl Claims {
    fn claim(&mut self, target: &Target, line: usize, environment: &Environment) -> Result<(), CatalogError> {
        let ArgoApplication { name, namespace, .. } = &environment.argocd;
        if let Some(other) = self.applications.insert((namespace.clone(), name.clone()), target.clone()) {
            let problem = format!(
                "`{other}` and `{target}` are the same Argo CD application `{name}`: each needs its own `argocd: {{application: …}}`"
            );
            return Err(error(line, problem));
        }
        let places =
            environment.files.iter().flat_map(|file| environment.tag_at.iter().map(move |tag_at| (file, tag_at)));
        for (file, tag_at) in places {
            match self.places.insert((file.clone(), tag_at.clone()), target.clone()) {
                Some(other) if other == *target => {
                    return Err(error(line, format!("`tag_at` of `{target}` names `{tag_at}` twice")));
                }
                Some(other) => {
                    return Err(error(
                        line,
                        format!("`{other}` and `{target}` have their tag in the same place, `{tag_at}` in `{file}`"),
                    ));
                }
                None => {}
            }
        }
        Ok(())
    }
}

fn read_app(entry: &Entry, owners: &People, claims: &mut Claims) -> Result<App, CatalogError> {
    let app = key_name(entry, AppName::parse)?;
    let keys = [&["repo", "image", "tag", "environments"][..], &ENVIRONMENT_KEYS].concat();
    let fields = Fields::of(&quoted(&entry.key), entry.line, &entry.node, &keys)?;
    let repo = name(fields.required("repo")?, RepoName::parse)?;
    let image = name(fields.required("image")?, ImageName::parse)?;
    let tag_rule = match fields.get("tag") {
        Some(rule) => TagRule::parse(text_of(rule)?).map_err(|wrong| error(rule.line, format!("`tag`: {wrong}")))?,
        None => TagRule::default(),
    };
    let mut environments = BTreeMap::new();
    let mut add = |environment: EnvironmentName, fields: &Fields<'_>, defaults: &Common| {
        let target = Target { app: app.clone(), environment };
        let environment = read_environment(&target, fields, defaults)?;
        claims.claim(&target, fields.line, &environment)?;
        environments.insert(target.environment, environment);
        Ok(())
    };
    match fields.get("environments") {
        None => {
            let default = EnvironmentName::parse("default").map_err(|wrong| error(entry.line, wrong.to_string()))?;
            add(default, &fields, &Common { owners: Some(owners.clone()), ..Common::default() })?;
        }
        Some(list) => {
            if let Some(odd) = ["values", "argocd"].iter().find_map(|key| fields.get(key)) {
                return Err(error(
                    odd.line,
                    format!("`{}` cannot stand beside `environments`: each environment has its own", odd.key),
                ));
            }
            let mut defaults = read_common(&fields)?;
            defaults.owners.get_or_insert_with(|| owners.clone());
            let entries = map_of(list)?;
            if entries.is_empty() || entries.len() > MANY {
                return Err(error(list.line, format!("`environments` must name 1 to {MANY} environments")));
            }
            for entry in entries {
                let fields = Fields::of(&quoted(&entry.key), entry.line, &entry.node, &ENVIRONMENT_KEYS)?;
                add(key_name(entry, EnvironmentName::parse)?, &fields, &defaults)?;
            }
        }
    }
    Ok(App { name: app, repo, image, tag_rule, environments })
}

fn read_environment(target: &Target, fields: &Fields<'_>, defaults: &Common) -> Result<Environment, CatalogError> {
    let own = read_common(fields)?;
    let files = match fields.get("values") {
        Some(values) => read_values(values)?,
        None => FilePath::parse(&format!("{}/values.yaml", target.app))
            .map(NonEmpty::one)
            .map_err(|wrong| error(fields.line, wrong.to_string()))?,
    };
    Ok(Environment {
        files,
        tag_at: own.tag_at.or_else(|| defaults.tag_at.clone()).unwrap_or_else(|| vec![TagPath::default()]),
        argocd: read_argocd(target, fields)?,
        allow: own.allow.or_else(|| defaults.allow.clone()).unwrap_or(NOBODY),
        owners: own.owners.or_else(|| defaults.owners.clone()).unwrap_or_default(),
        gates: Gates {
            branches: own.branches.or_else(|| defaults.branches.clone()).unwrap_or_default(),
            checks: own.checks.or(defaults.checks).unwrap_or_default(),
            foreign_changes: own.foreign_changes.or(defaults.foreign_changes).unwrap_or_default(),
            approvals: own.approvals.or_else(|| defaults.approvals.clone()).unwrap_or_default(),
            freeze: own.freeze.or_else(|| defaults.freeze.clone()).unwrap_or_default(),
        },
        deadline: own.deadline.or(defaults.deadline).unwrap_or(Duration::from_secs(600)),
        degraded_grace: own.degraded_grace.or(defaults.degraded_grace).unwrap_or(Duration::from_secs(10)),
    })
}

fn read_argocd(target: &Target, fields: &Fields<'_>) -> Result<ArgoApplication, CatalogError> {
    let argocd = match fields.get("argocd") {
        Some(entry) => Fields::of("`argocd`", entry.line, &entry.node, &["application", "project", "namespace"])?,
        None => Fields { line: fields.line, name: String::new(), entries: &[] },
    };
    let kube_name = |key: &str| argocd.get(key).map(|entry| name(entry, KubeName::parse)).transpose();
    let default = |text: &str| {
        let problem = format!(
            "{} cannot be the name of an Argo CD application: name it with `argocd: {{application: …}}`",
            quoted(text)
        );
        KubeName::parse(text).map_err(|_| error(argocd.line, problem))
    };
    Ok(ArgoApplication {
        name: kube_name("application")?.map_or_else(|| default(target.app.as_str()), Ok)?,
        project: kube_name("project")?.map_or_else(|| default("default"), Ok)?,
        namespace: kube_name("namespace")?,
    })
}

/// What an app may say once for all its environments.
#[derive(Default)]
struct Common {
    tag_at: Option<Vec<TagPath>>,
    allow: Option<Allow>,
    owners: Option<People>,
    branches: Option<Vec<BranchGlob>>,
    checks: Option<Checks>,
    foreign_changes: Option<ForeignChanges>,
    /// Within: none, if it says so.
    approvals: Option<Option<Approvals>>,
    freeze: Option<Vec<Freeze>>,
    deadline: Option<Duration>,
    degraded_grace: Option<Duration>,
}

fn read_common(fields: &Fields<'_>) -> Result<Common, CatalogError> {
    let duration = |key, range| fields.get(key).map(|entry| read_duration(entry, range)).transpose();
    let checks = [("ignore", Checks::Ignore), ("required", Checks::Required)];
    let foreign_changes = [("warn", ForeignChanges::Warn), ("refuse", ForeignChanges::Refuse)];
    Ok(Common {
        tag_at: fields.get("tag_at").map(read_tag_at).transpose()?,
        allow: fields.get("allow").map(read_allow).transpose()?,
        owners: fields.get("owners").map(read_owners).transpose()?,
        branches: fields.get("branches").map(read_branches).transpose()?,
        checks: fields.get("checks").map(|entry| read_word(entry, checks)).transpose()?,
        foreign_changes: fields.get("foreign_changes").map(|entry| read_word(entry, foreign_changes)).transpose()?,
        approvals: fields.get("approvals").map(read_approvals).transpose()?,
        freeze: fields.get("freeze").map(read_freeze).transpose()?,
        deadline: duration("deadline", ("30s", "2h"))?,
        degraded_grace: duration("degraded_grace", ("0s", "10m"))?,
    })
}

/// One file, or several that get the same tag.
fn read_values(entry: &Entry) -> Result<NonEmpty<FilePath>, CatalogError> {
    if let Value::Text(_) = &entry.node.value {
        return Ok(NonEmpty::one(name(entry, FilePath::parse)?));
    }
    let mut files = Vec::new();
    for node in list_of(entry)? {
        let text = item_text("values", node)?;
        let file = FilePath::parse(text)
            .map_err(|wrong| error(node.line, format!("`values`: {} is {wrong}", quoted(text))))?;
        if files.contains(&file) {
            return Err(error(node.line, format!("`values` names `{file}` twice")));
        }
        files.push(file);
    }
    if files.len() > MOST_FILES {
        return Err(error(entry.line, format!("`values` names more than {MOST_FILES} files")));
    }
    files.try_into().map_err(|_| error(entry.line, "`values` is empty: leave it out for `<app>/values.yaml`"))
}

/// Each is read and written whole with every deploy.
const MOST_FILES: usize = 10;

fn read_tag_at(entry: &Entry) -> Result<Vec<TagPath>, CatalogError> {
    if let Value::Text(_) = &entry.node.value {
        return Ok(vec![name(entry, TagPath::parse)?]);
    }
    let paths = list_of(entry)?;
    if paths.is_empty() {
        return Err(error(entry.line, "`tag_at` is empty: leave it out for `image.tag`"));
    }
    let path = |node: &Node| {
        let text = item_text("tag_at", node)?;
        TagPath::parse(text).map_err(|wrong| error(node.line, format!("`tag_at`: {} is {wrong}", quoted(text))))
    };
    paths.into_iter().map(path).collect()
}

fn read_allow(entry: &Entry) -> Result<Allow, CatalogError> {
    match &entry.node.value {
        Value::Text(text) if text == "anyone" => return Ok(Allow::Anyone),
        Value::List(items) if items.is_empty() => return Ok(NOBODY),
        Value::Text(_) | Value::List(_) => {
            return Err(error(
                entry.line,
                "`allow` is the word `anyone`, or a map of `users`, `groups` and `channels`",
            ));
        }
        Value::Empty | Value::Map(_) => {}
    }
    let fields = Fields::of("`allow`", entry.line, &entry.node, &["users", "groups", "channels"])?;
    let People { users, groups } = read_people(&fields)?;
    let channels = read_ids(&fields, "channels", ("channel", &['C', 'G', 'D']), SlackChannel::parse)?;
    none_empty_beside(
        &fields,
        &[("users", users.is_empty()), ("groups", groups.is_empty()), ("channels", channels.is_empty())],
    )?;
    Ok(Allow::Listed { users, groups, channels })
}

fn read_people(fields: &Fields<'_>) -> Result<People, CatalogError> {
    let users = read_ids(fields, "users", ("user", &['U', 'W']), SlackUser::parse)?;
    let groups = read_ids(fields, "groups", ("user group", &['S']), SlackGroup::parse)?;
    Ok(People { users, groups })
}

/// Somebody who takes the last user out of a list must not open the channel to everybody.
fn none_empty_beside(fields: &Fields<'_>, lists: &[(&str, bool)]) -> Result<(), CatalogError> {
    let mut empty = lists.iter().filter(|(_, empty)| *empty);
    if lists.iter().any(|(_, empty)| !empty)
        && let Some((key, line)) = empty.find_map(|(key, _)| Some((key, fields.get(key)?.line)))
    {
        return Err(error(line, format!("`{key}` is empty beside a list that is not: fill it, or leave it out")));
    }
    Ok(())
}

fn read_owners(entry: &Entry) -> Result<People, CatalogError> {
    let fields = Fields::of("`owners`", entry.line, &entry.node, &["users", "groups"])?;
    let owners = read_people(&fields)?;
    none_empty_beside(&fields, &[("users", owners.users.is_empty()), ("groups", owners.groups.is_empty())])?;
    Ok(owners)
}

fn read_branches(entry: &Entry) -> Result<Vec<BranchGlob>, CatalogError> {
    let nodes = list_of(entry)?;
    if nodes.is_empty() {
        return Err(error(entry.line, "`branches` is empty: leave it out, or write `['**']`, for any branch"));
    }
    let glob = |node: &Node| {
        let text = item_text("branches", node)?;
        let problem = || {
            format!(
                "`branches`: {} is not a pattern for branches such as `main`, `release/*` or `hotfix/**`",
                quoted(text)
            )
        };
        BranchGlob::parse(text).ok_or_else(|| error(node.line, problem()))
    };
    nodes.into_iter().map(glob).collect()
}

/// One of two words.
fn read_word<T: Copy>(entry: &Entry, words: [(&str, T); 2]) -> Result<T, CatalogError> {
    let text = text_of(entry)?;
    match words.iter().find(|(word, _)| *word == text) {
        Some((_, meaning)) => Ok(*meaning),
        None => {
            let [(one, _), (other, _)] = words;
            Err(error(entry.line, format!("`{}` is `{one}` or `{other}`, not {}", entry.key, quoted(text))))
        }
    }
}

/// Whether it is the word that takes back what the app says.
fn is_none(entry: &Entry) -> bool {
    matches!(&entry.node.value, Value::Text(text) if text == "none")
}

fn read_approvals(entry: &Entry) -> Result<Option<Approvals>, CatalogError> {
    if is_none(entry) {
        return Ok(None);
    }
    if let Value::Text(_) = entry.node.value {
        return Err(error(
            entry.line,
            "`approvals` is the word `none`, or a map of `count`, `users`, `groups` and `expires`",
        ));
    }
    let fields = Fields::of("`approvals`", entry.line, &entry.node, &["count", "users", "groups", "expires"])?;
    let count = match fields.get("count") {
        None => 1,
        Some(count) => {
            let digits = Some(text_of(count)?).filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
            let number = digits.and_then(|digits| digits.parse().ok()).filter(|number| (1..=10).contains(number));
            number.ok_or_else(|| error(count.line, "`count` must be a number from 1 to 10"))?
        }
    };
    let by = read_people(&fields)?;
    none_empty_beside(&fields, &[("users", by.users.is_empty()), ("groups", by.groups.is_empty())])?;
    if by.is_empty() {
        return Err(error(entry.line, "`approvals` needs `users` or `groups` who may approve"));
    }
    let named = by.users.iter().collect::<BTreeSet<_>>().len();
    if by.groups.is_empty() && named < usize::from(count) {
        let problem = format!("`approvals` asks for {count} people and names only {named}");
        return Err(error(entry.line, problem));
    }
    let expires = fields.get("expires").map(|entry| read_duration(entry, ("1m", "24h"))).transpose()?;
    Ok(Some(Approvals { count, by, expires: expires.unwrap_or(Duration::from_secs(3600)) }))
}

fn read_freeze(entry: &Entry) -> Result<Vec<Freeze>, CatalogError> {
    if is_none(entry) {
        return Ok(Vec::new());
    }
    if let Value::Text(_) = entry.node.value {
        return Err(error(
            entry.line,
            "`freeze` is the word `none`, or a list of windows with `from`, `until` and `zone`",
        ));
    }
    let nodes = list_of(entry)?;
    if nodes.is_empty() {
        return Err(error(entry.line, "`freeze` is empty: leave it out, or write `none`"));
    }
    if nodes.len() > MOST_WINDOWS {
        return Err(error(entry.line, format!("`freeze` has more than {MOST_WINDOWS} windows")));
    }
    let window = |node: &Node| {
        let fields = Fields::of("an entry of `freeze`", node.line, node, &["from", "until", "zone"])?;
        let (from, until, zone) = (fields.required("from")?, fields.required("until")?, fields.required("zone")?);
        Freeze::parse(text_of(from)?, text_of(until)?, text_of(zone)?).map_err(|wrong| {
            let line = fields.get(wrong.key).map_or(node.line, |entry| entry.line);
            error(line, format!("`{}`: {}", wrong.key, wrong.problem))
        })
    };
    nodes.into_iter().map(window).collect()
}

/// Ids of one kind. Slack tells kinds apart by the first letter; a user in a list of groups would never match.
fn read_ids<T>(
    fields: &Fields<'_>,
    key: &str,
    (what, letters): (&str, &[char]),
    parse: fn(&str) -> Result<T, InvalidName>,
) -> Result<Vec<T>, CatalogError> {
    let id = |node: &Node| {
        let text = item_text(key, node)?;
        let like = format!("a Slack {what} id such as `{}0123ABCDE`", letters.first().unwrap_or(&'U'));
        let wrong = || error(node.line, format!("`{key}`: {} is not {like}", quoted(text)));
        if text.starts_with(letters) { parse(text).map_err(|_| wrong()) } else { Err(wrong()) }
    };
    fields.get(key).map(list_of).transpose()?.unwrap_or_default().into_iter().map(id).collect()
}

fn read_duration(entry: &Entry, (shortest, longest): (&str, &str)) -> Result<Duration, CatalogError> {
    let text = text_of(entry)?;
    let Some(duration) = parse_duration(text) else {
        return Err(error(
            entry.line,
            format!("`{}`: {} is not a time such as `90s`, `10m` or `1h30m`", entry.key, quoted(text)),
        ));
    };
    if Some(duration) < parse_duration(shortest) || Some(duration) > parse_duration(longest) {
        return Err(error(entry.line, format!("`{}` must be from {shortest} to {longest}", entry.key)));
    }
    Ok(duration)
}

/// `1h30m`, `10m`, `90s`: hours, minutes and seconds in this order, each at most once.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    let (mut rest, mut seconds) = (text, 0u64);
    for (unit, size) in [('h', 3600), ('m', 60), ('s', 1)] {
        if let Some((digits, after)) = rest.split_once(unit) {
            if digits.len() > 6 || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            seconds = seconds.saturating_add(digits.parse::<u64>().ok()?.saturating_mul(size));
            rest = after;
        }
    }
    (!text.is_empty() && rest.is_empty()).then(|| Duration::from_secs(seconds))
}
