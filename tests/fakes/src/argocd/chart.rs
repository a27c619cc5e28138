//! A Helm chart in the source's folder, rendered as helm does it, as far as the tests' charts go.
//!
//! Only `{{ .Values.a.b }}` and `{{ .Values.a.b | quote }}` are understood. Everything else in braces is refused, in helm's own words where
//! helm refuses it, too.

use serde_json::Value;

use super::Git;

/// A manifest as it is in Git: what it is, and when it is applied.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Manifest {
    pub(super) id: Id,
    pub(super) version: String,
    pub(super) wave: i64,
    /// The phases in which it runs as a hook; empty: it is none.
    pub(super) hooks: Vec<String>,
    pub(super) body: Value,
}

/// Which object. The order is that of `status.resources`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    pub(super) group: String,
    pub(super) kind: String,
    pub(super) name: String,
}

impl Id {
    pub(super) fn new(group: &str, kind: &str, name: &str) -> Self {
        Self { group: group.to_owned(), kind: kind.to_owned(), name: name.to_owned() }
    }

    /// As kubectl calls it when it has applied it: `deployment.apps/checkout`.
    pub(super) fn applied(&self) -> String {
        let dot = if self.group.is_empty() { "" } else { "." };
        format!("{}{dot}{}/{}", self.kind.to_lowercase(), self.group, self.name)
    }
}

impl Manifest {
    /// One manifest, if it is one.
    pub(super) fn new(body: Value) -> Option<Self> {
        let (kind, name) = (body["kind"].as_str()?, body["metadata"]["name"].as_str()?);
        let api = body["apiVersion"].as_str()?;
        let (group, version) = api.split_once('/').unwrap_or(("", api));
        let (id, version) = (Id::new(group, kind, name), version.to_owned());
        let mut manifest = Self { id, version, wave: 0, hooks: Vec::new(), body };
        manifest.wave =
            manifest.annotation("argocd.argoproj.io/sync-wave").and_then(|wave| wave.parse().ok()).unwrap_or(0);
        let hooks = manifest.annotation("argocd.argoproj.io/hook").unwrap_or_default();
        manifest.hooks = hooks.split(',').map(str::trim).filter(|hook| !hook.is_empty()).map(str::to_owned).collect();
        Some(manifest)
    }

    pub(super) fn annotation(&self, name: &str) -> Option<&str> {
        self.body["metadata"]["annotations"][name].as_str()
    }

    pub(super) fn is_hook(&self) -> bool {
        !self.hooks.is_empty()
    }

    /// When the object of a hook is deleted; by default when it is to run again.
    pub(super) fn deleted(&self, policy: &str) -> bool {
        match self.annotation("argocd.argoproj.io/hook-delete-policy") {
            Some(policies) if !policies.is_empty() => policies.split(',').any(|one| one.trim() == policy),
            _ => policy == "BeforeHookCreation",
        }
    }

    /// The Pod template, or the Pod itself.
    pub(super) fn template(&self) -> Option<&Value> {
        let (body, spec) = (&self.body, &self.body["spec"]);
        match self.id.kind.as_str() {
            "Pod" => Some(body),
            "CronJob" => Some(&spec["jobTemplate"]["spec"]["template"]),
            _ if spec["template"]["spec"]["containers"].is_array() => Some(&spec["template"]),
            _ => None,
        }
    }

    /// The images that it names (`syncResult.resources[].images`).
    pub(super) fn images(&self) -> Vec<String> {
        self.template().map(images_of).unwrap_or_default()
    }
}

/// The images of a Pod template.
pub(super) fn images_of(template: &Value) -> Vec<String> {
    let spec = &template["spec"];
    let containers = ["initContainers", "containers"].map(|name| spec[name].as_array());
    let images = containers.into_iter().flatten().flatten().filter_map(|container| container["image"].as_str());
    let mut images: Vec<String> = images.map(str::to_owned).collect();
    images.sort();
    images.dedup();
    images
}

/// The manifests of the chart in that folder; `None` if there is no chart. `more`: values files beside its own. The error is what
/// repo-server says.
pub(super) fn render(
    git: &dyn Git,
    repo_url: &str,
    sha: &str,
    folder: &str,
    release: &str,
    more: impl Fn() -> Vec<(String, Option<Vec<u8>>)>,
) -> Option<Result<Vec<Manifest>, String>> {
    let under = |path: &str| format!("{}/{path}", folder.trim_end_matches('/')).trim_start_matches('/').to_owned();
    let chart = git.file(repo_url, sha, &under("Chart.yaml"))?;
    let rendered = (|| {
        let chart: Value =
            serde_yaml::from_slice(&chart).map_err(|_| "Error: Chart.yaml file is missing".to_owned())?;
        let Some(name) = chart["name"].as_str() else {
            return Err("Error: validation: chart.metadata.name is required".to_owned());
        };
        if chart["version"].is_null() {
            return Err("Error: validation: chart.metadata.version is required".to_owned());
        }
        let mut values = match git.file(repo_url, sha, &under("values.yaml")) {
            Some(bytes) => read_values("values.yaml", &bytes)?,
            None => Value::Null,
        };
        for (name, bytes) in more() {
            let bytes = bytes.ok_or_else(|| format!("Error: open {name}: no such file or directory"))?;
            merge(&mut values, read_values(&name, &bytes)?);
        }
        let mut files = git.files(repo_url, sha, &under("templates"));
        files.retain(|path| path.ends_with(".yaml") || path.ends_with(".yml"));
        files.sort();
        let mut manifests = Vec::new();
        for path in files {
            let bytes = git.file(repo_url, sha, &path).unwrap_or_default();
            let inner = path.strip_prefix(&under("")).unwrap_or(&path);
            let shown = format!("{name}/{inner}");
            let text = template(&String::from_utf8_lossy(&bytes), &values, &shown)
                .map_err(|error| format!("Error: {error}\n\nUse --debug flag to render out invalid YAML"))?;
            manifests.extend(documents(&text, &shown)?);
        }
        Ok(manifests)
    })();
    Some(rendered.map_err(|error| {
        let command = format!(
            "helm template . --name-template {release} --namespace {release} --kube-version 1.34 <api versions removed> --include-crds"
        );
        format!(
            "failed to execute helm template command: failed to get command args to log: `{command}` failed exit status 1: {error}"
        )
    }))
}

fn read_values(name: &str, bytes: &[u8]) -> Result<Value, String> {
    serde_yaml::from_slice(bytes)
        .map_err(|error| format!("Error: cannot load {name}: error converting YAML to JSON: yaml: {error}"))
}

/// What comes later wins, key by key.
fn merge(values: &mut Value, later: Value) {
    match (values, later) {
        (Value::Object(values), Value::Object(later)) => {
            for (key, value) in later {
                merge(values.entry(key).or_insert(Value::Null), value);
            }
        }
        (values, later) => *values = later,
    }
}

/// The objects in one file.
pub(super) fn documents(text: &str, shown: &str) -> Result<Vec<Manifest>, String> {
    let mut manifests = Vec::new();
    // Helm splits the text, not the YAML.
    let mut document = String::new();
    let mut texts = Vec::new();
    for line in text.lines() {
        if line.trim_end() == "---" {
            texts.push(std::mem::take(&mut document));
        } else {
            document.push_str(line);
            document.push('\n');
        }
    }
    texts.push(document);
    for text in texts {
        let body: Value = serde_yaml::from_str(&text).map_err(|error| {
            format!(
                "Error: YAML parse error on {shown}: error converting YAML to JSON: yaml: {error}\n\nUse --debug flag to render out invalid YAML"
            )
        })?;
        manifests.extend(Manifest::new(body));
    }
    Ok(manifests)
}

/// Some of what helm knows and this stand-in does not: a test's chart must do without.
const KNOWN_TO_HELM: [&str; 24] = [
    "if",
    "else",
    "end",
    "range",
    "with",
    "define",
    "template",
    "block",
    "include",
    "tpl",
    "toYaml",
    "default",
    "required",
    "printf",
    "upper",
    "lower",
    "trunc",
    "indent",
    "nindent",
    "squote",
    "lookup",
    "list",
    "dict",
    "trimSuffix",
];

fn unknown(action: &str) -> String {
    format!("this stand-in of helm knows only `.Values.…` and `| quote`, but not `{}`", action.trim())
}

/// A template with its values put in.
fn template(text: &str, values: &Value, shown: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("{{") {
        out.push_str(&rest[..at]);
        let before = &text[..text.len() - rest.len() + at];
        let line = before.matches('\n').count() + 1;
        let column = before.len() - before.rfind('\n').map_or(0, |end| end + 1);
        let parse = |why: &str| format!("parse error at ({shown}:{line}): {why}");
        let inside = &rest[at + 2..];
        let end = inside.find("}}");
        let action = end.map_or(inside, |end| &inside[..end]);
        let quoted = action.find('"').is_some_and(|at| action[..at].ends_with(|c: char| c.is_ascii_alphanumeric()));
        let Some(end) = end.filter(|_| !quoted) else {
            let why = if quoted {
                "bad character U+0022 '\"'".to_owned()
            } else {
                format!("unclosed action started at {shown}:{line}")
            };
            return Err(parse(&why));
        };
        let (expression, filter) = action.split_once('|').map_or((action, None), |(left, right)| (left, Some(right)));
        // Where the last name begins, as helm counts.
        let skipped = action.len() - action.trim_start().len();
        let expression = expression.trim();
        let Some(path) = expression.strip_prefix(".Values.").filter(|path| !path.contains(char::is_whitespace)) else {
            let word = expression.split_whitespace().next().unwrap_or_default();
            return Err(match word {
                "" => parse("missing value for command"),
                "if" | "range" | "with" if expression == word => parse(&format!("missing value for {word}")),
                word if word.starts_with('.') || KNOWN_TO_HELM.contains(&word) => unknown(action),
                word => parse(&format!("function {word:?} not defined")),
            });
        };
        let column = column + 2 + skipped + ".Values".len();
        let value = look_up(values, path).map_err(|why| {
            format!("template: {shown}:{line}:{column}: executing {shown:?} at <{expression}>: {why}")
        })?;
        match filter.map(str::trim) {
            None => out.push_str(&printed(&value)),
            Some("quote") if value.is_null() => {}
            Some("quote") => out.push_str(&format!("{:?}", printed(&value))),
            Some(other) => {
                let word = other.split_whitespace().next().unwrap_or_default();
                let known = KNOWN_TO_HELM.contains(&word);
                return Err(if known { unknown(action) } else { parse(&format!("function {word:?} not defined")) });
            }
        }
        rest = &inside[end + 2..];
    }
    out.push_str(rest);
    Ok(out)
}

fn look_up(values: &Value, path: &str) -> Result<Value, String> {
    let mut at = values.clone();
    for (index, segment) in path.split('.').enumerate() {
        at = match at {
            Value::Object(mut object) => object.remove(segment).unwrap_or(Value::Null),
            Value::Null if index == 0 => Value::Null,
            Value::Null => return Err(format!("nil pointer evaluating interface {{}}.{segment}")),
            _ => return Err(format!("can't evaluate field {segment} in type interface {{}}")),
        };
    }
    Ok(at)
}

/// A value as Go's templates print it: every number is a float for helm.
fn printed(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(value) => value.to_string(),
        Value::String(text) => text.clone(),
        Value::Number(number) => float(number.as_f64().unwrap_or_default()),
        Value::Array(items) => format!("[{}]", items.iter().map(printed).collect::<Vec<_>>().join(" ")),
        Value::Object(object) => {
            let fields: Vec<String> = object.iter().map(|(key, value)| format!("{key}:{}", printed(value))).collect();
            format!("map[{}]", fields.join(" "))
        }
    }
}

/// `%v` of a float: from a million on with an exponent.
pub(super) fn float(number: f64) -> String {
    let text = format!("{number:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        return number.to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}
