//! `spin.toml` with the caller's variables filled in: components, routes, channels.
//! What this host does not copy (path parameters, other stores than `default`, keys it does not know) is refused, not ignored.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;

use crate::allow::AllowList;

/// The application, ready to run.
pub(crate) struct Manifest {
    pub(crate) components: BTreeMap<String, Component>,
    pub(crate) routes: Vec<Route>,
    pub(crate) subscriptions: Vec<Subscription>,
}

/// One `[component.<id>]`.
pub(crate) struct Component {
    pub(crate) source: PathBuf,
    pub(crate) stores: BTreeSet<String>,
    pub(crate) allowed: AllowList,
    pub(crate) variables: BTreeMap<String, String>,
}

/// One `[[trigger.http]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Route {
    pub(crate) route: String,
    pub(crate) component: String,
}

/// One `[[trigger.redis]]`.
pub(crate) struct Subscription {
    pub(crate) address: String,
    pub(crate) channel: String,
    pub(crate) component: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    spin_manifest_version: u8,
    application: Application,
    #[serde(default)]
    variables: BTreeMap<String, Variable>,
    #[serde(default)]
    trigger: Triggers<Vec<Route>, Vec<RedisTrigger>>,
    component: BTreeMap<String, ComponentTable>,
}

#[derive(Deserialize)]
struct Application {
    #[serde(default)]
    trigger: Triggers<(), Option<RedisDefaults>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Triggers<H: Default, R: Default> {
    #[serde(default)]
    http: H,
    #[serde(default)]
    redis: R,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RedisDefaults {
    address: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RedisTrigger {
    channel: String,
    component: String,
    address: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Variable {
    default: Option<String>,
    #[serde(default)]
    required: bool,
    #[serde(default, rename = "secret")]
    _secret: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ComponentTable {
    source: String,
    #[serde(default)]
    key_value_stores: BTreeSet<String>,
    #[serde(default)]
    allowed_outbound_hosts: Vec<String>,
    #[serde(default)]
    variables: BTreeMap<String, String>,
    #[serde(rename = "build")]
    _build: Option<toml::Table>,
}

impl Manifest {
    /// Reads the file; `only` is `spin up -c`.
    pub(crate) fn load(
        path: &Path,
        given: &BTreeMap<String, String>,
        only: Option<&[String]>,
    ) -> anyhow::Result<Manifest> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        Manifest::parse(&text, folder, given, only).with_context(|| format!("in {}", path.display()))
    }

    fn parse(
        text: &str,
        folder: &Path,
        given: &BTreeMap<String, String>,
        only: Option<&[String]>,
    ) -> anyhow::Result<Manifest> {
        let file: File = toml::from_str(text)?;
        ensure!(file.spin_manifest_version == 2, "only manifests of version 2 are understood");
        if let Some(unknown) = given.keys().find(|name| !file.variables.contains_key(*name)) {
            bail!("a value is given for {unknown:?}, which is not among the [variables]");
        }
        for (name, variable) in &file.variables {
            check_name(name)?;
            let has_value = given.contains_key(name) || variable.default.is_some();
            ensure!(variable.required || variable.default.is_some(), "{name:?} is neither required nor has a default");
            ensure!(has_value, "the required variable {name:?} has no value");
        }
        let default = |name: &str| {
            let variable = file.variables.get(name).with_context(|| format!("there is no variable {name:?}"))?;
            variable.default.clone().context("no default")
        };
        let value = |name: &str| given.get(name).cloned().map_or_else(|| default(name), Ok);
        let render = |template: &str| Template::parse(template)?.render(&value);

        let chosen = |id: &str| only.is_none_or(|only| only.iter().any(|chosen| chosen == id));
        if let Some(unknown) = only.unwrap_or_default().iter().find(|id| !file.component.contains_key(*id)) {
            bail!("there is no component {unknown:?}");
        }
        let mut components = BTreeMap::new();
        for (id, table) in &file.component {
            check_hosts(&table.allowed_outbound_hosts, &default).with_context(|| format!("component {id:?}"))?;
            let mut variables = BTreeMap::new();
            for (name, template) in &table.variables {
                check_name(name)?;
                let value = render(template).with_context(|| format!("variable {name:?} of component {id:?}"))?;
                variables.insert(name.clone(), value);
            }
            if let Some(label) = table.key_value_stores.iter().find(|label| *label != "default") {
                bail!("component {id:?}: unknown key-value store {label:?}");
            }
            let component = Component {
                source: folder.join(&table.source),
                stores: table.key_value_stores.clone(),
                allowed: AllowList::new(&table.allowed_outbound_hosts, value),
                variables,
            };
            if chosen(id) {
                components.insert(id.clone(), component);
            }
        }

        let mut subscriptions = Vec::new();
        let default_address = file.application.trigger.redis.map(|defaults| defaults.address);
        for trigger in file.trigger.redis.into_iter().filter(|trigger| chosen(&trigger.component)) {
            let address = trigger.address.as_ref().or(default_address.as_ref());
            let address = render(address.context("a Redis trigger has no address")?)?;
            subscriptions.push(Subscription {
                address,
                channel: render(&trigger.channel)?,
                component: trigger.component,
            });
        }
        let routes: Vec<_> = file.trigger.http.into_iter().filter(|route| chosen(&route.component)).collect();
        for (index, Route { route, .. }) in routes.iter().enumerate() {
            ensure!(!route.contains([':', '*', '[']), "route {route:?}: path parameters are not copied by this host");
            ensure!(routes[..index].iter().all(|other| other.route != *route), "route {route:?} is there twice");
        }
        ensure!(!routes.is_empty() || !subscriptions.is_empty(), "the chosen components have no trigger");
        let used = routes.iter().map(|route| &route.component).chain(subscriptions.iter().map(|s| &s.component));
        for id in used {
            ensure!(components.contains_key(id), "a trigger names {id:?}, which is not among the components");
        }
        Ok(Manifest { components, routes, subscriptions })
    }

    /// The route for a path and what the path has beyond it: an exact route wins, else the longest prefix.
    pub(crate) fn route(&self, path: &str) -> Option<(&Route, String)> {
        let matches = self.routes.iter().filter_map(|route| Some((route, route.path_info(path)?)));
        matches.max_by_key(|(route, _)| (!route.route.ends_with("/..."), route.route.len()))
    }
}

impl Route {
    /// Slashes at either end of a path are ignored, but one at the end shows in the path info.
    fn path_info(&self, path: &str) -> Option<String> {
        let trimmed = path.trim_matches('/');
        let Some(prefix) = self.route.strip_suffix("/...") else {
            return (self.route.trim_matches('/') == trimmed).then(String::new);
        };
        let prefix = prefix.trim_matches('/');
        let rest = trimmed.strip_prefix(prefix)?;
        let rest = if prefix.is_empty() || rest.is_empty() { rest } else { rest.strip_prefix('/')? };
        let slash = |wanted| if wanted { "/" } else { "" };
        Some(format!("{}{rest}{}", slash(!rest.is_empty()), slash(path.ends_with('/'))))
    }
}

/// Entries that are wrong with the default values refuse to load; those without a default are seen at run time only.
fn check_hosts(entries: &[String], default: &impl Fn(&str) -> anyhow::Result<String>) -> anyhow::Result<()> {
    for entry in entries {
        let resolvable = Template::parse(entry)?.render(default).is_ok();
        if let Some(error) = AllowList::new(std::slice::from_ref(entry), default).broken().filter(|_| resolvable) {
            bail!("{error:#}");
        }
    }
    Ok(())
}

/// The rule for names of variables, for those that a component asks for too. In a manifest each word begins with a letter:
/// Spin refuses `registry_2_url`.
pub(crate) fn check_name(name: &str) -> anyhow::Result<()> {
    let ends_well = name.split('_').all(|word| word.starts_with(|c: char| c.is_ascii_lowercase()));
    let characters = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    ensure!(
        ends_well && characters,
        "{name:?}: a name has lower-case letters, digits and single underscores between them"
    );
    Ok(())
}

/// Text with `{{ variable }}` in it.
pub(crate) struct Template<'a>(Vec<Part<'a>>);

enum Part<'a> {
    Text(&'a str),
    Variable(&'a str),
}

impl<'a> Template<'a> {
    pub(crate) fn parse(mut text: &'a str) -> anyhow::Result<Template<'a>> {
        let mut parts = Vec::new();
        while let Some((before, rest)) = text.split_once("{{") {
            let (name, after) = rest.split_once("}}").context("'{{' is never closed")?;
            parts.extend([Part::Text(before), Part::Variable(name.trim())]);
            text = after;
        }
        parts.push(Part::Text(text));
        Ok(Template(parts))
    }

    pub(crate) fn is_literal(&self) -> bool {
        self.0.iter().all(|part| matches!(part, Part::Text(_)))
    }

    pub(crate) fn render(&self, value: &impl Fn(&str) -> anyhow::Result<String>) -> anyhow::Result<String> {
        let part = |part: &Part| match part {
            Part::Text(text) => Ok(text.to_string()),
            Part::Variable(name) => value(name),
        };
        self.0.iter().map(part).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        spin_manifest_version = 2
        application = { name = "x", trigger.redis.address = "{{ redis }}" }
        variables = { redis = { default = "redis://127.0.0.1" }, token = { required = true, secret = true }, url = { default = "" } }
        trigger.http = [
            { route = "/a", component = "web" },
            { route = "/a/...", component = "web" },
            { route = "/a/b/...", component = "web" },
        ]
        trigger.redis = [{ channel = "wake-{{ token }}", component = "sub" }]
        [component.web]
        source = "web.wasm"
        key_value_stores = ["default"]
        allowed_outbound_hosts = ["{{ url }}"]
        variables = { both = "{{token}} and {{ url }}", fixed = "1" }
        build.command = "make"
        [component.sub]
        source = "sub.wasm"
    "#;

    fn parse(text: &str, given: &[(&str, &str)], only: Option<&[&str]>) -> anyhow::Result<Manifest> {
        let given = given.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let only = only.map(|only| only.iter().map(|id| id.to_string()).collect::<Vec<_>>());
        Manifest::parse(text, Path::new("/app"), &given, only.as_deref())
    }

    #[test]
    fn values_reach_every_template() {
        let manifest = parse(TEXT, &[("token", "t"), ("url", "http://h:1")], None).unwrap();
        let web = &manifest.components["web"];
        assert_eq!(web.source, Path::new("/app/web.wasm"));
        assert_eq!((&*web.variables["both"], &*web.variables["fixed"]), ("t and http://h:1", "1"));
        assert!(web.allowed.allows("http://h:1/path", "https"));
        let [subscription] = &*manifest.subscriptions else { panic!("one subscription") };
        assert_eq!((&*subscription.address, &*subscription.channel), ("redis://127.0.0.1", "wake-t"));
    }

    #[test]
    fn only_the_chosen_components_run() {
        let manifest = parse(TEXT, &[("token", "t")], Some(&["sub"])).unwrap();
        assert_eq!(manifest.components.keys().collect::<Vec<_>>(), ["sub"]);
        assert_eq!((manifest.routes.len(), manifest.subscriptions.len()), (0, 1));
    }

    #[test]
    fn what_is_refused() {
        let check = |from: &str, to: &str| {
            assert!(TEXT.contains(from), "{from}");
            parse(&TEXT.replace(from, to), &[("token", "t")], None).err().map_or("loads".into(), |e| format!("{e:#}"))
        };
        let refused = |given: &[(&str, &str)], only| format!("{:#}", parse(TEXT, given, only).err().unwrap());
        let report = [
            check(r#"default = "" }"#, r#"default = "http://h/path" }"#),
            check(r#"["{{ url }}"]"#, r#"["http://h/path"]"#),
            // Only a default can be wrong this early: this one has none.
            check(r#"["{{ url }}"]"#, r#"["{{ token }}"]"#),
            check(r#"fixed = "1""#, r#"fixed = "{{ none }}""#),
            check(r#"fixed = "1""#, r#"fixed = "{{ url""#),
            check(r#"fixed = "1""#, r#"Fixed = "1""#),
            check(r#"["default"]"#, r#"["other"]"#),
            check(r#"route = "/a","#, r#"route = "/a/:id","#),
            check(r#"route = "/a/...","#, r#"route = "/a","#),
            check(r#"component = "sub" }"#, r#"component = "nobody" }"#),
            check("required = true, ", ""),
            refused(&[], None),
            refused(&[("token", "t"), ("tokn", "t")], None),
            refused(&[("token", "t")], Some(&["nobody"])),
        ];
        insta::assert_snapshot!(report.join("\n"), @r#"
            component "web": allowed_outbound_hosts has "{{ url }}": a path is not allowed
            component "web": allowed_outbound_hosts has "http://h/path": a path is not allowed
            loads
            variable "fixed" of component "web": there is no variable "none"
            variable "fixed" of component "web": '{{' is never closed
            "Fixed": a name has lower-case letters, digits and single underscores between them
            component "web": unknown key-value store "other"
            route "/a/:id": path parameters are not copied by this host
            route "/a" is there twice
            a trigger names "nobody", which is not among the components
            "token" is neither required nor has a default
            the required variable "token" has no value
            a value is given for "tokn", which is not among the [variables]
            there is no component "nobody"
            "#);
    }

    #[test]
    fn routes() {
        let manifest = parse(TEXT, &[("token", "t")], None).unwrap();
        let check = |path: &str| match manifest.route(path) {
            Some((route, info)) => format!("{path} -> {} {info:?}\n", route.route),
            None => format!("{path} -> nothing\n"),
        };
        let paths = ["/", "/a", "/a/", "//a", "/A", "/ab", "/a/c", "/a/c/", "/a/b", "/a/b/", "/a/b/c/d", "/a/bc", ""];
        insta::assert_snapshot!(paths.map(check).concat(), @r#"
            / -> nothing
            /a -> /a ""
            /a/ -> /a ""
            //a -> /a ""
            /A -> nothing
            /ab -> nothing
            /a/c -> /a/... "/c"
            /a/c/ -> /a/... "/c/"
            /a/b -> /a/b/... ""
            /a/b/ -> /a/b/... "/"
            /a/b/c/d -> /a/b/... "/c/d"
            /a/bc -> /a/... "/bc"
             -> nothing
            "#);
    }

    #[test]
    fn names() {
        for name in ["a", "a1", "a_b", "slack_bot_token"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", "A", "1a", "_a", "a_", "a__b", "a-b", "a_2_b", "ä"] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn the_real_manifest_is_understood() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spin.toml");
        let manifest = Manifest::load(&path, &BTreeMap::new(), None).unwrap();
        assert!(manifest.components.values().all(|component| component.allowed.broken().is_none()));
    }
}
