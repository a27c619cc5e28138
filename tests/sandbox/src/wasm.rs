//! Builds the components, so that what runs is never older than its source.
//!
//! Easy to miss: `source` in `spin.toml` is relative to `spin.toml`. So the components are built into
//! `target` beside that file, whatever target folder, flags or profile the outer cargo uses.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, anyhow, bail, ensure};

use crate::redis::Install;

const TARGET: &str = "wasm32-wasip2";

/// The workspace's root, where `spin.toml` is.
pub fn root() -> PathBuf {
    // Cargo's word of now before that of when this was compiled: two checkouts may share one target directory.
    let here = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let here = PathBuf::from(here);
    here.ancestors().nth(2).map(PathBuf::from).unwrap_or(here)
}

/// Builds all components, once per process. Blocks; several processes wait for each other at cargo's lock.
pub fn build(install: Install) -> anyhow::Result<()> {
    static BUILT: OnceLock<Result<(), String>> = OnceLock::new();
    BUILT
        .get_or_init(|| try_build(install).map_err(|error| format!("{error:#}")))
        .clone()
        .map_err(|error| anyhow!(error))
}

fn try_build(install: Install) -> anyhow::Result<()> {
    add_target(install)?;
    cargo_build(&["slack-command", "github-relay", "sync-poller"])
}

/// Builds one more package for the same target, with the same profile. It blocks.
pub fn build_also(package: &str) -> anyhow::Result<()> {
    cargo_build(&[package])
}

fn cargo_build(packages: &[&str]) -> anyhow::Result<()> {
    let root = root();
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.current_dir(&root).args(["build", "--release", "--target", TARGET, "--target-dir"]).arg(root.join("target"));
    build.args(packages.iter().flat_map(|package| ["-p", package]));
    for (name, _) in std::env::vars_os().filter(|(name, _)| changes_the_build(name)) {
        build.env_remove(name);
    }
    // At a terminal a person sees the progress of what may take minutes; elsewhere only a failure is of interest.
    if std::io::stderr().is_terminal() {
        let status = build.stdin(Stdio::null()).status().context("cargo does not run")?;
        ensure!(status.success(), "the components do not build ({status})");
    } else {
        let output = build.stdin(Stdio::null()).output().context("cargo does not run")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "the components do not build ({}):\n{said}", output.status);
    }
    Ok(())
}

/// Flags, targets, folders and profiles that were meant for the native build.
fn changes_the_build(name: &OsString) -> bool {
    let name = name.to_string_lossy();
    let is_exactly = matches!(&*name, "RUSTFLAGS" | "CARGO_ENCODED_RUSTFLAGS" | "RUSTC_WORKSPACE_WRAPPER");
    let begins = ["CARGO_BUILD_", "CARGO_TARGET_", "CARGO_PROFILE_"].iter().any(|start| name.starts_with(start));
    is_exactly || (begins && name != "CARGO_BUILD_JOBS")
}

fn add_target(install: Install) -> anyhow::Result<()> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .current_dir(root())
        .output()
        .context("rustc does not run")?;
    if PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()).is_dir() {
        return Ok(());
    }
    let command = format!("rustup target add {TARGET}");
    if install == Install::Forbidden {
        bail!("Rust's target {TARGET} is missing. This adds it: {command}");
    }
    eprintln!("Rust's target {TARGET} is missing: running `{command}`");
    let status = Command::new("rustup").args(["target", "add", TARGET]).current_dir(root()).status();
    ensure!(status.with_context(|| format!("`{command}` does not run"))?.success(), "`{command}` failed");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant_for_the_native_build_does_not_reach_the_components() {
        let goes = ["RUSTFLAGS", "CARGO_BUILD_TARGET", "CARGO_TARGET_DIR", "CARGO_PROFILE_RELEASE_LTO"];
        let stays = ["PATH", "CARGO_HOME", "CARGO_BUILD_JOBS", "RUSTUP_TOOLCHAIN", "CARGO_NET_OFFLINE"];
        for (names, expected) in [(&goes[..], true), (&stays, false)] {
            for name in names {
                assert_eq!(changes_the_build(&(*name).into()), expected, "{name}");
            }
        }
    }

    #[test]
    fn the_root_has_the_manifest() {
        assert!(root().join("spin.toml").is_file());
    }
}
