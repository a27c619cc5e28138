//! Which `spin.toml` is run: the project's own, or a copy with the one variable that only tests have.

use anyhow::Context;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use toml::{Table, Value};

/// A `spin.toml`.
pub(crate) struct Manifest {
    path: PathBuf,
    _copy: Option<TempDir>,
}

impl Manifest {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// As it is, and as it runs in production.
pub(crate) fn own(root: &Path) -> Manifest {
    Manifest { path: root.join("spin.toml"), _copy: None }
}

/// A copy that gives every component the variable `limits`.
pub(crate) fn with_limits(root: &Path) -> anyhow::Result<Manifest> {
    let mut manifest: Table = fs::read_to_string(root.join("spin.toml"))?.parse()?;
    let variables = manifest.get_mut("variables").and_then(Value::as_table_mut).context("spin.toml has variables")?;
    variables.insert("limits".to_owned(), Value::Table(Table::from_iter([("default".to_owned(), "".into())])));
    let components = manifest.get_mut("component").and_then(Value::as_table_mut).context("spin.toml has components")?;
    for (name, component) in components {
        let component = component.as_table_mut().with_context(|| format!("{name} is a table"))?;
        let source = component.get("source").and_then(Value::as_str).with_context(|| format!("{name} has a source"))?;
        // Relative to the manifest, which is elsewhere now.
        let source = root.join(source).to_string_lossy().into_owned();
        component.insert("source".to_owned(), source.into());
        let variables = component.get_mut("variables").and_then(Value::as_table_mut);
        variables.with_context(|| format!("{name} has variables"))?.insert("limits".to_owned(), "{{ limits }}".into());
    }
    let copy = tempfile::Builder::new().prefix("deploy-bot-manifest-").tempdir()?;
    let path = copy.path().join("spin.toml");
    fs::write(&path, toml::to_string(&manifest)?)?;
    Ok(Manifest { path, _copy: Some(copy) })
}
