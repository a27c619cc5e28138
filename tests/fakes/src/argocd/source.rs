//! Where the manifests of an application come from.

use serde_json::{Value, json};

use super::Git;

/// Where manifests come from.
#[derive(Clone, Debug)]
pub struct Source {
    /// The repository.
    pub repo_url: String,
    /// Branch, tag, sha, `HEAD` or empty.
    pub target_revision: String,
    /// The folder in it.
    pub path: Option<String>,
    /// The name by which other sources refer to its files (`$values`).
    pub reference: Option<String>,
    /// A Helm chart of a chart repository instead of Git: its revision is the chart's version.
    pub chart: Option<String>,
    /// `helm.valueFiles`: below its folder, or `$name/…` in the source of that name.
    pub value_files: Vec<String>,
}

impl Source {
    /// A source in Git.
    pub fn new(repo_url: &str, target_revision: &str) -> Self {
        let (repo_url, target_revision) = (repo_url.to_owned(), target_revision.to_owned());
        Self { repo_url, target_revision, path: None, reference: None, chart: None, value_files: Vec::new() }
    }

    /// With its folder.
    pub fn at(mut self, path: &str) -> Self {
        self.path = Some(path.to_owned());
        self
    }

    /// With these values files.
    pub fn with_values(mut self, files: &[&str]) -> Self {
        self.value_files = files.iter().map(|file| (*file).to_owned()).collect();
        self
    }

    /// As a source of values only, under this name.
    pub fn named(mut self, reference: &str) -> Self {
        self.reference = Some(reference.to_owned());
        self
    }

    /// A chart of a chart repository.
    pub fn chart(repo_url: &str, chart: &str, version: &str) -> Self {
        Self { chart: Some(chart.to_owned()), ..Self::new(repo_url, version) }
    }

    pub(super) fn revision(&self) -> &str {
        if self.target_revision.is_empty() { "HEAD" } else { &self.target_revision }
    }

    pub(super) fn json(&self) -> Value {
        let mut json = json!({"repoURL": self.repo_url});
        let fields = [("path", &self.path), ("ref", &self.reference), ("chart", &self.chart)];
        for (name, value) in fields {
            if let Some(value) = value {
                json[name] = json!(value);
            }
        }
        if !self.target_revision.is_empty() {
            json["targetRevision"] = json!(self.target_revision);
        }
        if !self.value_files.is_empty() {
            json["helm"] = json!({"valueFiles": self.value_files});
        }
        json
    }
}

/// `spec.source` or `spec.sources`. One source in `sources` still counts as several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `spec.source`.
    Single,
    /// `spec.sources`.
    Multi,
}

/// Where the image's tag is.
#[derive(Clone, Debug)]
pub struct TagAt {
    /// Which source, from 0.
    pub source: usize,
    /// The file, from the root of that source's repository.
    pub file: String,
    /// The place in it, such as `image.tag` or `services[0].image.tag`.
    pub key: String,
}

/// A revision as Argo CD resolves it: a full sha is taken as it is, without asking whether it exists.
pub(super) fn resolve(git: &dyn Git, source: &Source, revision: &str) -> Result<String, String> {
    let is_sha = revision.len() == 40 && revision.bytes().all(|byte| byte.is_ascii_hexdigit());
    if source.chart.is_some() || is_sha {
        return Ok(revision.to_owned());
    }
    git.head(&source.repo_url, revision).ok_or_else(|| {
        format!(
            "error resolving repo revision: rpc error: code = Unknown desc = unable to resolve '{revision}' to a commit SHA"
        )
    })
}
