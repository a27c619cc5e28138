//! From the catalog's tree to its types.
//!
//! What belongs to one target only (its place in a values file) is claimed while it is read. An Argo CD
//! application may be shared by targets that name it.

use super::fields::{
    Entry, Fields, MANY, Node, Value, error, is_none, item_name, item_text, key_name, list_of, map_of, name,
    read_duration, read_word, text_of,
};
use super::gates::{self, Allow, BranchGlob, Gates};
use super::include::{self, Bounds, Include, Sources};
use super::people::{read_home, read_owners};
use super::sets::{self, Sets};
use super::{App, Catalog, CatalogError, Environment, LONGEST, OutOfService, yaml};
use crate::application::SyncBy;
use crate::image::{ImageName, Tag, TagRule, VerifyRunning};
use crate::names::{
    AppName, ArgoApplication, Contact, EnvironmentName, FilePath, KubeName, LabelSelector, RepoName, SlackChannel,
    Target,
};
use crate::nonempty::NonEmpty;
use crate::people::People;
use crate::selection::{Applications, MOST_APPLICATIONS, Selection};
use crate::text::quoted;
use crate::values::TagPath;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub(super) fn catalog(path: &FilePath, sources: &Sources) -> Result<Catalog, CatalogError> {
    let text = sources.text.as_str();
    if text.len() > LONGEST {
        return Err(CatalogError { line: None, problem: format!("it is longer than {} KiB", LONGEST / 1024) });
    }
    let root = yaml::parse(text, yaml::MOST_VALUES)?;
    let root = root.as_deref().map(|root| Fields::of("the catalog", root.line, root, &ROOT_KEYS)).transpose()?;
    let owners = root.as_ref().and_then(|root| root.get("owners")).map(read_owners).transpose()?.unwrap_or_default();
    let contact = root.as_ref().and_then(|root| root.get("contact")).map(read_contact).transpose()?;
    let readers = root.as_ref().and_then(|root| root.get("readers")).map(Allow::parse).transpose()?;
    let freeze = root.as_ref().and_then(|root| root.get("freeze")).map(gates::read_freeze).transpose()?;
    let include = root.as_ref().and_then(|root| root.get("include"));
    let include = include.map(|entry| include::read(entry, path)).transpose()?.unwrap_or_default();
    let sets = root.as_ref().and_then(|root| root.get("sets")).map(sets::read).transpose()?.unwrap_or_default();
    let list = root.as_ref().and_then(|root| root.get("apps"));
    let mut apps = Apps {
        path,
        include: &include,
        owners: &owners,
        contact: contact.as_ref(),
        sets: &sets,
        claims: Claims::default(),
        names: BTreeMap::new(),
        apps: BTreeMap::new(),
        out_of_service: Vec::new(),
    };
    for entry in list.map(map_of).transpose()?.unwrap_or_default() {
        apps.add(entry, path, None);
    }
    for (file, why) in sources.included.iter().zip(include::unread(&sources.included)) {
        let read = match (why, &file.text) {
            (Some(why), _) => Err(CatalogError { line: None, problem: why.to_owned() }),
            (None, None) => Err(CatalogError {
                line: None,
                problem: "it is not UTF-8, or begins with a byte order mark".to_owned(),
            }),
            (None, Some(text)) => apps.add_file(&file.path, text),
        };
        if let Err(error) = read {
            apps.out_of_service.push(OutOfService { app: None, path: file.path.clone(), error });
        }
    }
    let Apps { mut apps, out_of_service, .. } = apps;
    for app in apps.values_mut() {
        let of_all = (app.path != *path).then(|| owners.clone());
        for environment in app.environments.values_mut() {
            let freezes = freeze.iter().flatten().cloned();
            // Beside its own, which cannot undo it.
            environment.gates.freeze.extend(freezes.map(|freeze| freeze.of_all(of_all.clone())));
        }
    }
    if apps.is_empty() && out_of_service.is_empty() && include.is_empty() {
        return Err(CatalogError { line: list.map(|list| list.line), problem: "it has no apps".to_owned() });
    }
    let readers = readers.unwrap_or(Allow::Anyone);
    Ok(Catalog { apps, out_of_service, owners, contact, readers, include, sets })
}

/// The apps as they are read, one file after the other. What was read before is never taken back.
struct Apps<'r> {
    path: &'r FilePath,
    include: &'r [Include],
    owners: &'r People,
    contact: Option<&'r Contact>,
    sets: &'r Sets,
    claims: Claims,
    /// Which file a name belongs to: in the catalog itself also that of a broken entry, in another file what is in bounds.
    names: BTreeMap<String, FilePath>,
    apps: BTreeMap<AppName, App>,
    out_of_service: Vec<OutOfService>,
}

impl Apps<'_> {
    /// An included file. What is wrong with the whole of it is the error.
    fn add_file(&mut self, path: &FilePath, text: &str) -> Result<(), CatalogError> {
        let include = include::of(self.include, path);
        let include = include.ok_or_else(|| error(1, "no place of `include` has this file"))?;
        let Some(root) = yaml::parse(text, yaml::MOST_VALUES / 4)? else { return Ok(()) };
        let root = Fields::of("an included file", root.line, &root, &["apps"])?;
        let bounds = include.bounds(path);
        for entry in root.get("apps").map(map_of).transpose()?.unwrap_or_default() {
            self.add(entry, path, Some(&bounds));
        }
        Ok(())
    }

    /// An entry with a mistake is out of service.
    fn add(&mut self, entry: &Entry, path: &FilePath, bounds: Option<&Bounds<'_>>) {
        if let Err(error) = self.try_add(entry, path, bounds) {
            let app = Some(entry.key.chars().take(LONGEST_NAME).collect());
            self.out_of_service.push(OutOfService { app, path: path.clone(), error });
        }
    }

    fn try_add(&mut self, entry: &Entry, path: &FilePath, bounds: Option<&Bounds<'_>>) -> Result<(), CatalogError> {
        bounds.map_or(Ok(()), |bounds| bounds.permit_name(&entry.key, entry.line))?;
        if let Some(before) = self.names.get(&entry.key) {
            return Err(error(entry.line, format!("{} is in `{before}` already", quoted(&entry.key))));
        }
        self.names.insert(entry.key.clone(), path.clone());
        if self.sets.keys().any(|set| set.as_str() == entry.key) {
            return Err(error(entry.line, format!("{} is the name of a set in `sets`", quoted(&entry.key))));
        }
        let (app, taken) = read_app(entry, path, (self.owners, self.contact), &self.claims, bounds)?;
        // The bot may write where people need a review.
        let files = app.environments.values().flat_map(|environment| environment.files.iter());
        let is_catalog = |file: &&FilePath| *file == self.path || self.include.iter().any(|one| one.place.has(file));
        let file = files.into_iter().find(is_catalog).cloned();
        if let Some(file) = file {
            return Err(error(entry.line, format!("`{file}` is a file of the catalog, and cannot be one of `values`")));
        }
        self.claims.add(taken);
        self.apps.insert(app.name.clone(), app);
        Ok(())
    }
}

/// The keys of the catalog itself.
const ROOT_KEYS: [&str; 7] = ["apps", "owners", "contact", "readers", "include", "sets", "freeze"];

/// As much of the name of an app as is shown, in characters.
const LONGEST_NAME: usize = 64;

/// The keys that each environment has besides its gates, or the app if there are no `environments`.
const ENVIRONMENT_KEYS: [&str; 15] = [
    "values",
    "tag_at",
    "digest_at",
    "watch",
    "argocd",
    "owners",
    "contact",
    "deadline",
    "degraded_grace",
    "mirrors",
    "verify_running",
    "sync",
    "home",
    "promotes_from",
    "auto_rollback",
];

/// Which target has which place, which may not belong to two, and who was the first to name which application.
#[derive(Default)]
struct Claims {
    applications: BTreeMap<(Option<KubeName>, KubeName), (Target, KubeName)>,
    places: BTreeMap<(FilePath, TagPath), Target>,
}

impl Claims {
    /// What an app has taken counts once the whole app is read: an app out of service takes nothing from others.
    fn add(&mut self, taken: Self) {
        self.applications.extend(taken.applications);
        self.places.extend(taken.places);
    }

    /// Several targets may run in one application, but not by oversight: two environments that name none would.
    /// `before`: what belongs to the apps above.
    fn share(
        &mut self,
        before: &Self,
        target: &Target,
        fields: &Fields<'_>,
        argocd: &ArgoApplication,
    ) -> Result<(), CatalogError> {
        let ArgoApplication { name, namespace, project } = argocd;
        let key = (namespace.clone(), name.clone());
        let Some((other, theirs)) = before.applications.get(&key).or_else(|| self.applications.get(&key)) else {
            self.applications.insert(key, (target.clone(), project.clone()));
            return Ok(());
        };
        if other.app == target.app && fields.get("argocd").is_none() {
            let problem = format!(
                "`{other}` and `{target}` are the same Argo CD application `{name}`: each needs `argocd: {{application: …}}`"
            );
            return Err(error(fields.line, problem));
        }
        if theirs != project {
            let problem = format!(
                "`{other}` and `{target}` name the Argo CD application `{name}` in different projects, `{theirs}` and `{project}`"
            );
            return Err(error(fields.line, problem));
        }
        Ok(())
    }

    fn claim(
        &mut self,
        before: &Self,
        target: &Target,
        line: usize,
        environment: &Environment,
    ) -> Result<(), CatalogError> {
        let Environment { files, tag_at, digest_at, .. } = environment;
        for (key, list) in [("tag_at", tag_at), ("digest_at", digest_at)] {
            let mut seen = BTreeSet::new();
            if let Some(twice) = list.iter().find(|place| !seen.insert(*place)) {
                return Err(error(line, format!("`{key}` of `{target}` names `{twice}` twice")));
            }
        }
        let places = files.iter().flat_map(|file| tag_at.iter().chain(digest_at).map(move |place| (file, place)));
        for (file, place) in places {
            // A whole image is in both of a target's lists.
            let key = (file.clone(), place.clone());
            if let Some(other) = before.places.get(&key).or_else(|| self.places.get(&key))
                && other != target
            {
                let problem =
                    format!("`{other}` and `{target}` have their tag in the same place, `{place}` in `{file}`");
                return Err(error(line, problem));
            }
            self.places.insert(key, target.clone());
        }
        Ok(())
    }
}

/// The keys of an app besides those of its environments.
const APP_KEYS: [&str; 8] = ["repo", "image", "tag", "tags", "tag_of_tags", "channels", "paths", "environments"];

/// Returns what the app takes, too.
fn read_app(
    entry: &Entry,
    path: &FilePath,
    (owners, contact): (&People, Option<&Contact>),
    before: &Claims,
    bounds: Option<&Bounds<'_>>,
) -> Result<(App, Claims), CatalogError> {
    let app = key_name(entry, AppName::parse)?;
    let environment_keys = [&ENVIRONMENT_KEYS[..], gates::KEYS].concat();
    let keys = [&APP_KEYS[..], &environment_keys].concat();
    let fields = Fields::of(&quoted(&entry.key), entry.line, &entry.node, &keys)?;
    let at = (fields.required("repo")?, fields.required("image")?);
    let (repo, image) = (name(at.0, RepoName::parse)?, name(at.1, ImageName::parse)?);
    if let Some(bounds) = bounds {
        bounds.permit_repo(&repo, at.0.line)?;
        bounds.permit_image(&image, at.1.line)?;
    }
    let read = App {
        name: app.clone(),
        path: path.clone(),
        line: entry.line,
        repo,
        image,
        tag_rule: fields.get_or("tag", read_tag_rule, &TagRule::default())?,
        tags: fields.get_or("tags", read_tags, &Vec::new())?,
        tag_of_tags: fields.get_or("tag_of_tags", read_tag_of_tags, &TagRule::of_tags())?,
        channels: fields.get_or("channels", read_channels, &Vec::new())?,
        paths: fields.get_or("paths", read_parts, &Vec::new())?,
        environments: BTreeMap::new(),
    };
    let common = Common { owners: owners.clone(), contact: contact.cloned(), ..Common::default() };
    let (mut environments, mut claims) = (BTreeMap::new(), Claims::default());
    // Where each environment says what it is promoted from.
    let (mut lines, at_app) = (BTreeMap::new(), fields.get("promotes_from"));
    let mut add = |environment: EnvironmentName, fields: &Fields<'_>, common: &Common| {
        let target = Target { app: app.clone(), environment };
        let environment = read_environment(&target, fields, common)?;
        bounds.map_or(Ok(()), |bounds| bounds.permit_environment(&environment, fields.line))?;
        for application in environment.applications.named() {
            claims.share(before, &target, fields, application)?;
        }
        claims.claim(before, &target, fields.line, &environment)?;
        let says = fields.get("promotes_from").or(at_app);
        lines.insert(target.environment.clone(), says.map_or(fields.line, |entry| entry.line));
        environments.insert(target.environment, environment);
        Ok(())
    };
    match fields.get("environments") {
        None => {
            let default = EnvironmentName::parse("default").map_err(|wrong| error(entry.line, wrong.to_string()))?;
            add(default, &fields, &common)?;
        }
        Some(list) => {
            let common = Common::read(&fields, &common)?;
            for entry in named_environments(&fields, list)? {
                let fields = Fields::of(&quoted(&entry.key), entry.line, &entry.node, &environment_keys)?;
                add(key_name(entry, EnvironmentName::parse)?, &fields, &common)?;
            }
        }
    }
    check_promotions(&app, &environments, &lines)?;
    Ok((App { environments, ..read }, claims))
}

/// The environments that an app names. Each has its own of what cannot be shared.
fn named_environments<'e>(fields: &Fields<'e>, list: &'e Entry) -> Result<&'e [Entry], CatalogError> {
    if let Some(odd) = ["values", "argocd"].iter().find_map(|key| fields.get(key)) {
        let problem = format!("`{}` cannot stand beside `environments`: each environment has its own", odd.key);
        return Err(error(odd.line, problem));
    }
    let entries = map_of(list)?;
    if entries.is_empty() || entries.len() > MANY {
        return Err(error(list.line, format!("`environments` must name 1 to {MANY} environments")));
    }
    Ok(entries)
}

/// What is promoted, or has to be live first, is of another environment of the app. `lines`: where each says so.
fn check_promotions(
    app: &AppName,
    environments: &BTreeMap<EnvironmentName, Environment>,
    lines: &BTreeMap<EnvironmentName, usize>,
) -> Result<(), CatalogError> {
    for (name, Environment { promotes_from, gates, .. }) in environments {
        let first = gates.requires.as_ref().map(|requires| &requires.live_on);
        for (key, from) in [("promotes_from", promotes_from.as_ref()), ("requires", first)] {
            if let Some(from) = from.filter(|from| *from == name || !environments.contains_key(from)) {
                let target = Target { app: app.clone(), environment: name.clone() };
                let problem = format!("`{key}` of `{target}`: `{from}` is no other environment of it");
                return Err(error(lines.get(name).copied().unwrap_or(1), problem));
            }
        }
    }
    Ok(())
}

fn read_environment(target: &Target, fields: &Fields<'_>, common: &Common) -> Result<Environment, CatalogError> {
    let Common {
        tag_at,
        digest_at,
        watch,
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
    } = Common::read(fields, common)?;
    let files = match fields.get("values") {
        Some(values) => read_values(values)?,
        None => FilePath::parse(&format!("{}/values.yaml", target.app))
            .map(NonEmpty::one)
            .map_err(|wrong| error(fields.line, wrong.to_string()))?,
    };
    let applications = read_applications(target, fields)?;
    Ok(Environment {
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
    })
}

/// One application, or several that are all synced.
fn read_applications(target: &Target, fields: &Fields<'_>) -> Result<Applications, CatalogError> {
    let argocd = match fields.get("argocd") {
        Some(entry) => {
            let keys = ["application", "applications", "selector", "project", "namespace"];
            Fields::of("`argocd`", entry.line, &entry.node, &keys)?
        }
        None => Fields::none(fields.line),
    };
    let kube_name = |key: &str| argocd.get(key).map(|entry| name(entry, KubeName::parse)).transpose();
    let default = |text: &str| {
        let problem = format!(
            "{} cannot be the name of an Argo CD application: name it with `argocd: {{application: …}}`",
            quoted(text)
        );
        KubeName::parse(text).map_err(|_| error(argocd.line, problem))
    };
    let (project, namespace) = (kube_name("project")?.map_or_else(|| default("default"), Ok)?, kube_name("namespace")?);
    let mut given = ["application", "applications", "selector"].into_iter().filter_map(|key| argocd.get(key));
    let names = match (given.next(), given.next()) {
        (Some(one), Some(other)) => {
            let problem = format!("`{}` and `{}` cannot stand side by side", one.key, other.key);
            return Err(error(other.line, problem));
        }
        (Some(entry), None) if entry.key == "selector" => {
            let selector = name(entry, LabelSelector::parse)?;
            return Ok(Applications::Selected(Selection { selector, project, namespace }));
        }
        (Some(entry), None) if entry.key == "applications" => read_names(entry)?,
        (Some(entry), None) => NonEmpty::one(name(entry, KubeName::parse)?),
        (None, _) => NonEmpty::one(default(target.app.as_str())?),
    };
    let of = |name| ArgoApplication { name, project: project.clone(), namespace: namespace.clone() };
    Ok(Applications::Named(names.map(of)))
}

fn read_names(entry: &Entry) -> Result<NonEmpty<KubeName>, CatalogError> {
    let mut names = Vec::new();
    for node in list_of(entry)? {
        let name = item_name("applications", node, KubeName::parse)?;
        if names.contains(&name) {
            return Err(error(node.line, format!("`applications` names `{name}` twice")));
        }
        names.push(name);
    }
    if names.len() > MOST_APPLICATIONS {
        return Err(error(entry.line, format!("`applications` names more than {MOST_APPLICATIONS} applications")));
    }
    names.try_into().map_err(|_| error(entry.line, "`applications` is empty: leave it out for the app's own name"))
}

/// What an app may say once for all its environments.
struct Common {
    tag_at: Vec<TagPath>,
    digest_at: Vec<TagPath>,
    watch: Vec<FilePath>,
    owners: People,
    contact: Option<Contact>,
    gates: Gates,
    deadline: Duration,
    degraded_grace: Duration,
    mirrors: Vec<ImageName>,
    verify_running: VerifyRunning,
    sync: SyncBy,
    home: Option<SlackChannel>,
    promotes_from: Option<EnvironmentName>,
    auto_rollback: bool,
}

impl Default for Common {
    fn default() -> Self {
        Self {
            tag_at: vec![TagPath::default()],
            digest_at: Vec::new(),
            watch: Vec::new(),
            owners: People::default(),
            contact: None,
            gates: Gates::default(),
            deadline: Duration::from_secs(900),
            degraded_grace: Duration::from_secs(60),
            mirrors: Vec::new(),
            verify_running: VerifyRunning::On,
            sync: SyncBy::Bot,
            home: None,
            promotes_from: None,
            auto_rollback: false,
        }
    }
}

impl Common {
    /// A key that is not there: as in `defaults`.
    fn read(fields: &Fields<'_>, defaults: &Self) -> Result<Self, CatalogError> {
        let (deadline, grace) = (("30s", "2h"), ("0s", "10m"));
        Ok(Self {
            tag_at: fields.get_or("tag_at", read_tag_at, &defaults.tag_at)?,
            digest_at: fields.get_or("digest_at", read_paths, &defaults.digest_at)?,
            watch: fields.get_or("watch", read_parts, &defaults.watch)?,
            owners: fields.get_or("owners", read_owners, &defaults.owners)?,
            contact: fields.get_or("contact", |entry| read_contact(entry).map(Some), &defaults.contact)?,
            gates: Gates::read(fields, &defaults.gates)?,
            deadline: fields.get_or("deadline", |entry| read_duration(entry, deadline), &defaults.deadline)?,
            degraded_grace: fields.get_or(
                "degraded_grace",
                |entry| read_duration(entry, grace),
                &defaults.degraded_grace,
            )?,
            mirrors: fields.get_or("mirrors", read_mirrors, &defaults.mirrors)?,
            verify_running: fields.get_or("verify_running", read_verify, &defaults.verify_running)?,
            sync: fields.get_or("sync", read_sync, &defaults.sync)?,
            home: fields.get_or("home", read_home, &defaults.home)?,
            promotes_from: fields.get_or("promotes_from", read_promotes_from, &defaults.promotes_from)?,
            auto_rollback: fields.get_or(
                "auto_rollback",
                |entry| read_word(entry, [("true", true), ("false", false)]),
                &defaults.auto_rollback,
            )?,
        })
    }
}

/// A `#` without quotes begins a comment.
fn read_contact(entry: &Entry) -> Result<Contact, CatalogError> {
    if let Value::Empty = entry.node.value {
        return Err(error(entry.line, "`contact` is empty: a text that begins with `#` needs quotes"));
    }
    name(entry, Contact::parse)
}

/// One file, or several that get the same tag.
fn read_values(entry: &Entry) -> Result<NonEmpty<FilePath>, CatalogError> {
    if let Value::Text(_) = &entry.node.value {
        return Ok(NonEmpty::one(name(entry, FilePath::parse)?));
    }
    let mut files = Vec::new();
    for node in list_of(entry)? {
        let file = item_name("values", node, FilePath::parse)?;
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
    let paths = read_paths(entry)?;
    if paths.is_empty() {
        return Err(error(entry.line, "`tag_at` is empty: leave it out for `image.tag`"));
    }
    Ok(paths)
}

/// One path, or several. An empty list undoes the app's.
fn read_paths(entry: &Entry) -> Result<Vec<TagPath>, CatalogError> {
    if let Value::Text(_) = &entry.node.value {
        return Ok(vec![name(entry, TagPath::parse)?]);
    }
    list_of(entry)?.into_iter().map(|node| item_name(&entry.key, node, TagPath::parse)).collect()
}

/// Each has a history of its own in the one question to GitHub.
const MOST_PARTS: usize = 10;

/// Files, and folders as `folder/**`. An empty list undoes the app's.
fn read_parts(entry: &Entry) -> Result<Vec<FilePath>, CatalogError> {
    let list = match &entry.node.value {
        Value::Text(text) => vec![(entry.node.line, text.as_str())],
        _ => list_of(entry)?
            .into_iter()
            .map(|node| Ok((node.line, item_text(&entry.key, node)?)))
            .collect::<Result<_, _>>()?,
    };
    let key = &entry.key;
    if list.len() > MOST_PARTS {
        return Err(error(entry.line, format!("`{key}` names more than {MOST_PARTS} files and folders")));
    }
    let read = |(line, text): (usize, &str)| {
        let path = text.strip_suffix("/**").unwrap_or(text);
        let known = FilePath::parse(path).ok().filter(|_| !path.contains('*'));
        known.ok_or_else(|| {
            error(line, format!("{} in `{key}` is no file and no folder: write `folder/**`", quoted(text)))
        })
    };
    list.into_iter().map(read).collect()
}

/// The most patterns of `tags`, and the most channels.
const MOST_KINDS: usize = 20;

fn read_tags(entry: &Entry) -> Result<Vec<BranchGlob>, CatalogError> {
    let list = list_of(entry)?;
    if list.is_empty() || list.len() > MOST_KINDS {
        return Err(error(entry.line, format!("`tags` needs 1 to {MOST_KINDS} patterns: leave it out for none")));
    }
    let glob = |node: &Node| {
        let text = item_text("tags", node)?;
        let problem = || format!("`tags`: {} is not a pattern for Git tags such as `v*`", quoted(text));
        BranchGlob::parse(text).ok_or_else(|| error(node.line, problem()))
    };
    list.into_iter().map(glob).collect()
}

fn read_tag_rule(entry: &Entry) -> Result<TagRule, CatalogError> {
    TagRule::parse(text_of(entry)?).map_err(|wrong| error(entry.line, format!("`tag`: {wrong}")))
}

fn read_tag_of_tags(entry: &Entry) -> Result<TagRule, CatalogError> {
    TagRule::parse_for_tags(text_of(entry)?).map_err(|wrong| error(entry.line, format!("`tag_of_tags`: {wrong}")))
}

fn read_channels(entry: &Entry) -> Result<Vec<Tag>, CatalogError> {
    let list = list_of(entry)?;
    if list.len() > MOST_KINDS {
        return Err(error(entry.line, format!("`channels` names more than {MOST_KINDS} tags")));
    }
    list.into_iter().map(|node| item_name("channels", node, Tag::parse)).collect()
}

/// As many names as one image has.
const MOST_MIRRORS: usize = 10;

/// An empty list undoes the app's.
fn read_mirrors(entry: &Entry) -> Result<Vec<ImageName>, CatalogError> {
    if let Value::Text(_) = &entry.node.value {
        return Ok(vec![name(entry, ImageName::parse)?]);
    }
    let list = list_of(entry)?;
    if list.len() > MOST_MIRRORS {
        return Err(error(entry.line, format!("`mirrors` names more than {MOST_MIRRORS} images")));
    }
    list.into_iter().map(|node| item_name("mirrors", node, ImageName::parse)).collect()
}

/// `none` undoes the app's.
fn read_promotes_from(entry: &Entry) -> Result<Option<EnvironmentName>, CatalogError> {
    if is_none(entry) { Ok(None) } else { name(entry, EnvironmentName::parse).map(Some) }
}

fn read_sync(entry: &Entry) -> Result<SyncBy, CatalogError> {
    read_word(entry, [("bot", SyncBy::Bot), ("auto", SyncBy::Auto)])
}

fn read_verify(entry: &Entry) -> Result<VerifyRunning, CatalogError> {
    match text_of(entry)? {
        "on" => Ok(VerifyRunning::On),
        "off" => Ok(VerifyRunning::Off),
        other => Err(error(entry.line, format!("`verify_running` must be `on` or `off`, not {}", quoted(other)))),
    }
}
