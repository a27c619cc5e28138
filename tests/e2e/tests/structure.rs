//! What each component may do is what `spin.toml`, `wit/` and the lints say.

use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::path::Path;

/// One component: a change here is a change of what the component may do.
struct Component {
    name: &'static str,
    largest: u64,
    routes: &'static [&'static str],
    channels: &'static [&'static str],
    hosts: &'static [&'static str],
    secrets: &'static [&'static str],
    others: &'static [&'static str],
}

const COMPONENTS: [Component; 3] = [
    // Faces Slack. Writes to Git; cannot reach Argo CD, holds nothing of Argo CD's and no webhook secret.
    Component {
        name: "slack-command",
        // A tenth of it is the time zones of freezes.
        largest: 4_060_000,
        routes: &["/slack/command", "/slack/interaction", "/slack/events", "/healthz"],
        channels: &[],
        hosts: &[
            "{{ slack_url }}",
            "https://hooks.slack.com",
            "{{ github_url }}",
            "{{ registry_url }}",
            "{{ registry2_url }}",
            "{{ registry3_url }}",
            "{{ registry4_url }}",
            "{{ gate_url }}",
            "{{ registry_token_url }}",
            "https://ghcr.io",
            "https://registry-1.docker.io",
            "https://auth.docker.io",
            "https://quay.io",
            "{{ redis_origin }}",
        ],
        secrets: &[
            "slack_signing_secret",
            "slack_signing_secret_previous",
            "slack_bot_token",
            "store_key",
            "store_key_previous",
            "github_token",
            "registry_credentials",
            "gate_key",
            "redis_url",
        ],
        others: &[
            "slack_url",
            "slack_team_id",
            "github_url",
            "github_deployments",
            "gitops_repo",
            "gitops_branch",
            "catalog_channel",
            "catalog_path",
            "registry_url",
            "registry2_url",
            "registry3_url",
            "registry4_url",
            "gate_url",
            "registry_token_url",
            "argocd_url",
            "argocd_root_path",
            "argocd_public_url",
            "plain_http_hosts",
            "redis_origin",
        ],
    },
    // Faces GitHub. Holds no token at all.
    Component {
        name: "github-relay",
        largest: 715_000,
        routes: &["/github/webhook"],
        channels: &[],
        hosts: &["{{ argocd_url }}", "{{ redis_origin }}"],
        secrets: &["github_webhook_secret", "github_webhook_secret_previous", "argocd_webhook_secret", "redis_url"],
        others: &[
            "gitops_repo",
            "gitops_branch",
            "catalog_path",
            "argocd_url",
            "argocd_root_path",
            "plain_http_hosts",
            "relay",
            "redis_origin",
        ],
    },
    // Faces nobody. Holds Argo CD's token; cannot reach GitHub.
    Component {
        name: "sync-poller",
        largest: 1_920_000,
        routes: &[],
        channels: &["deploy-bot/wake"],
        hosts: &["{{ argocd_url }}", "{{ slack_url }}", "https://hooks.slack.com", "{{ redis_origin }}"],
        secrets: &["argocd_token", "slack_bot_token", "store_key", "store_key_previous", "redis_url"],
        others: &["argocd_url", "argocd_root_path", "plain_http_hosts", "slack_url", "redis_origin"],
    },
];

#[test]
fn each_component_is_small_and_stays_within_its_world() -> Result<()> {
    sandbox::wasm::build(sandbox::redis::Install::Unattended)?;
    let root = sandbox::wasm::root();
    let manifest = read_toml(&root.join("spin.toml"))?;
    for component in &COMPONENTS {
        let source = manifest["component"][component.name]["source"].as_str().context("no source")?;
        let wasm = std::fs::read(root.join(source))?;
        let size = wasm.len() as u64;
        assert!(size <= component.largest, "{} has {size} bytes", component.name);
        let outside = host::imports_outside_world(&wasm, &root.join("wit"), component.name)?;
        assert_eq!(outside, [""; 0], "{}", component.name);
    }
    Ok(())
}

#[test]
fn each_component_has_only_its_own_hosts_secrets_stores_and_ways_in() -> Result<()> {
    let manifest = read_toml(&sandbox::wasm::root().join("spin.toml"))?;
    let components = manifest["component"].as_table().context("no components")?;
    let names: BTreeSet<&str> = components.keys().map(String::as_str).collect();
    assert_eq!(names, COMPONENTS.iter().map(|component| component.name).collect());
    let variables = manifest["variables"].as_table().context("no variables")?;
    let mut used = BTreeSet::new();
    for component in &COMPONENTS {
        let (name, table) = (component.name, &components[component.name]);
        let hosts = table["allowed_outbound_hosts"].as_array().context("no hosts")?;
        let hosts: Vec<&str> = hosts.iter().filter_map(toml::Value::as_str).collect();
        assert_eq!(hosts, component.hosts, "the hosts of {name}");
        assert_eq!(table["key_value_stores"], toml::Value::from(vec!["default"]), "the stores of {name}");

        let own = table["variables"].as_table().context("no variables")?;
        let is_secret = |name: &str| variables[name].get("secret").and_then(toml::Value::as_bool) == Some(true);
        let (secrets, others): (BTreeSet<&str>, BTreeSet<&str>) =
            own.keys().map(String::as_str).partition(|variable| is_secret(variable));
        assert_eq!(secrets, component.secrets.iter().copied().collect(), "the secrets of {name}");
        assert_eq!(others, component.others.iter().copied().collect(), "the other variables of {name}");
        for (variable, value) in own {
            // No variable comes in under another name, and none is put together.
            assert_eq!(value.as_str(), Some(&*format!("{{{{ {variable} }}}}")), "{variable} of {name}");
        }
        used.extend(own.keys().map(String::as_str));

        // A component may have nothing else: no files, no AI models, no calls of other components.
        let keys: BTreeSet<&str> = table.as_table().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
        let expected = ["source", "key_value_stores", "allowed_outbound_hosts", "variables", "build"];
        assert_eq!(keys, expected.into_iter().collect(), "what {name} has");

        let triggers = |kind: &str, at: &str| -> Vec<String> {
            let triggers = manifest["trigger"][kind].as_array().into_iter().flatten();
            let own = triggers.filter(|trigger| trigger["component"].as_str() == Some(name));
            own.filter_map(|trigger| trigger[at].as_str().map(str::to_owned)).collect()
        };
        assert_eq!(triggers("http", "route"), component.routes, "the routes of {name}");
        assert_eq!(triggers("redis", "channel"), component.channels, "the channels of {name}");
    }
    let known: BTreeSet<&str> = variables.keys().map(String::as_str).collect();
    assert_eq!(known, used, "every variable has a component that uses it");
    // A secret has no default that somebody might leave in place; `{}` is no login, and the address has no password.
    for (name, variable) in variables.iter().filter(|(_, variable)| variable.get("secret").is_some()) {
        let default = variable["default"].as_str().unwrap_or_default();
        assert!(["", "{}", "redis://127.0.0.1:6379"].contains(&default), "{name}");
    }
    Ok(())
}

/// One panic kills every request of an instance, so guest code may not contain what can panic on input.
#[test]
fn guest_code_may_not_panic() -> Result<()> {
    const LINTS: [&str; 6] =
        ["unwrap_used", "expect_used", "panic", "indexing_slicing", "string_slice", "arithmetic_side_effects"];
    const GUESTS: [&str; 8] =
        ["bot", "clients", "domain", "spin", "store", "slack-command", "github-relay", "sync-poller"];

    let root = sandbox::wasm::root();
    let workspace = read_toml(&root.join("Cargo.toml"))?;
    for lint in LINTS {
        assert_eq!(workspace["workspace"]["lints"]["clippy"][lint].as_str(), Some("deny"), "{lint}");
    }
    let folders: BTreeSet<String> = std::fs::read_dir(root.join("components"))?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    assert_eq!(folders, GUESTS.map(str::to_owned).into(), "every crate of the guests is looked at");
    let mut exceptions = Vec::new();
    for guest in GUESTS {
        let folder = root.join("components").join(guest);
        let manifest = read_toml(&folder.join("Cargo.toml"))?;
        assert_eq!(manifest["lints"]["workspace"].as_bool(), Some(true), "{guest}");
        exceptions.extend(lifted(&folder.join("src"), &LINTS)?);
    }
    exceptions.sort();
    insta::assert_snapshot!(exceptions.join("\n"), @r#"
    edit.rs: expect(clippy::expect_used, reason = "a SHA-1 is 40 hexadecimal digits whatever the content")
    signature.rs: expect(clippy::expect_used, reason = "32 lower-case hexadecimal digits are a deployment id")
    signature.rs: expect(clippy::expect_used, reason = "HMAC is defined for a key of any length")
    "#);
    Ok(())
}

/// Attributes outside of tests that lift one of the lints.
fn lifted(folder: &Path, lints: &[&str]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(lifted(&path, lints)?);
            continue;
        }
        // Modules of their own, for tests only.
        if path.file_name().is_some_and(|name| ["tests.rs", "samples.rs", "memory.rs"].iter().any(|test| name == *test))
        {
            continue;
        }
        let source = std::fs::read_to_string(&path)?;
        let code = source.split("#[cfg(test)]\n").next().unwrap_or_default();
        // Attributes may span lines: each is looked at from `#[` or `#![` to its end.
        for attribute in code.split('#').filter(|part| part.starts_with('[') || part.starts_with("![")) {
            let attribute = attribute.split(']').next().unwrap_or_default().trim_start_matches(['!', '[']);
            let lifts = ["allow(", "expect("].iter().any(|verb| attribute.contains(verb));
            if lifts && lints.iter().any(|lint| attribute.contains(&format!("clippy::{lint}"))) {
                let file = path.file_name().unwrap_or_default().to_string_lossy();
                found.push(format!("{file}: {attribute}"));
            }
        }
    }
    Ok(found)
}

/// Attack: an outsider | takes over something that the project is built with | it is pinned, its sources and licences are checked at each change, and its newer versions are proposed
#[test]
fn what_the_project_is_built_with_is_pinned_and_checked() -> Result<()> {
    let root = sandbox::wasm::root();
    let read = |path: &str| std::fs::read_to_string(root.join(path)).with_context(|| path.to_owned());
    let toolchain = read_toml(&root.join("rust-toolchain.toml"))?;
    let channel = toolchain["toolchain"]["channel"].as_str().context("a channel")?;
    let is_version = channel.split('.').count() == 3 && channel.split('.').all(|part| part.parse::<u32>().is_ok());
    ensure!(is_version, "{channel} is no version");
    let workflow = read(".github/workflows/ci.yml")?;
    let uses: Vec<&str> = workflow.lines().filter_map(|line| line.trim().strip_prefix("- uses: ")).collect();
    ensure!(!uses.is_empty());
    for action in uses {
        let commit = action.split_once('@').and_then(|(_, rest)| rest.split(' ').next()).unwrap_or_default();
        let is_pinned = commit.len() == 40 && commit.chars().all(|digit| digit.is_ascii_hexdigit());
        ensure!(is_pinned, "{action} is not pinned by its commit");
    }
    ensure!(workflow.contains("check advisories") && workflow.contains("contents: read"), "{workflow}");
    let ci = read(".ci/run")?;
    ensure!(ci.contains("check bans licenses sources"), "`.ci/run` does not check what the project depends on");
    let cargo = |line: &&str| {
        let line = line.trim_start();
        ["cargo test ", "cargo clippy ", "cargo run ", "cargo install "].iter().any(|begins| line.starts_with(begins))
    };
    let unlocked: Vec<&str> = ci.lines().filter(cargo).filter(|line| !line.contains("--locked")).collect();
    ensure!(unlocked.is_empty(), "{unlocked:?}");
    let updates = read(".github/dependabot.yml")?;
    for ecosystem in ["cargo", "gomod", "github-actions", "rust-toolchain"] {
        ensure!(updates.contains(&format!("package-ecosystem: {ecosystem}\n")), "{ecosystem} has no updates");
    }
    Ok(())
}

fn read_toml(path: &Path) -> Result<toml::Table> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
    text.parse().with_context(|| format!("{}", path.display()))
}
