//! Which `spin.toml` is run: the project's own, or a copy with the one variable that only tests have.

use anyhow::Context;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use toml::{Table, Value};

/// A `spin.toml`.
pub(crate) struct Manifest {
    path: PathBuf,
    copy: Option<TempDir>,
}

impl Manifest {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// As it is, and as it runs in production.
pub(crate) fn own(root: &Path) -> Manifest {
    Manifest { path: root.join("spin.toml"), copy: None }
}

/// A copy that gives every component the variable `limits`.
pub(crate) fn with_limits(root: &Path) -> anyhow::Result<Manifest> {
    let mut manifest: Table = fs::read_to_string(root.join("spin.toml"))?.parse()?;
    let variables = manifest.get_mut("variables").and_then(Value::as_table_mut).context("spin.toml has variables")?;
    variables.insert("limits".to_owned(), Value::Table(Table::from_iter([("default".to_owned(), "".into())])));
    for (_, component) in components(&mut manifest)? {
        let source = component.get("source").and_then(Value::as_str).context("a component has a source")?;
        // Relative to the manifest, which is elsewhere now.
        let source = root.join(source).to_string_lossy().into_owned();
        component.insert("source".to_owned(), source.into());
        variables_of(component)?.insert("limits".to_owned(), "{{ limits }}".into());
    }
    let copy = tempfile::Builder::new().prefix("deploy-bot-manifest-").tempdir()?;
    let path = copy.path().join("spin.toml");
    fs::write(&path, toml::to_string(&manifest)?)?;
    Ok(Manifest { path, copy: Some(copy) })
}

impl Manifest {
    /// Gives one component a value of its own for a variable, as a `spin up` for this component alone would. Only in a copy.
    pub(crate) fn set(&self, component: &str, variable: &str, value: &str) -> anyhow::Result<()> {
        anyhow::ensure!(self.copy.is_some(), "the project's own spin.toml stays as it is");
        let mut manifest: Table = fs::read_to_string(&self.path)?.parse()?;
        let mut all = components(&mut manifest)?;
        let (_, table) = all.find(|(name, _)| *name == component).with_context(|| format!("no {component}"))?;
        variables_of(table)?.insert(variable.to_owned(), value.into());
        drop(all);
        Ok(fs::write(&self.path, toml::to_string(&manifest)?)?)
    }
}

fn components(manifest: &mut Table) -> anyhow::Result<impl Iterator<Item = (&str, &mut Table)>> {
    let components = manifest.get_mut("component").and_then(Value::as_table_mut).context("spin.toml has components")?;
    Ok(components.iter_mut().filter_map(|(name, component)| Some((name.as_str(), component.as_table_mut()?))))
}

fn variables_of(component: &mut Table) -> anyhow::Result<&mut Table> {
    component.get_mut("variables").and_then(Value::as_table_mut).context("a component has variables")
}
