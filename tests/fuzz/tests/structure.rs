//! What every target must have, and that every parser of the core has a target.

use crate::inputs::{files, folder};
use fuzz::TARGETS;
use std::collections::BTreeSet;
use std::path::Path;

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn every_target_has_a_corpus_a_test_and_a_binary_and_nothing_else_has() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(targets.len(), TARGETS.len());
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    assert_eq!(names(&root.join("corpus")), targets, "folders of the corpus");
    let tests = include_str!("inputs.rs").split("    hold(\"").skip(1).filter_map(|after| after.split('"').next());
    assert_eq!(tests.map(str::to_owned).collect::<BTreeSet<_>>(), targets, "tests");
    let binaries = names(&root.join("libfuzzer/fuzz_targets"));
    assert_eq!(binaries, targets.iter().map(|target| format!("{target}.rs")).collect(), "binaries");
    let manifest = std::fs::read_to_string(root.join("libfuzzer/Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let named = manifest["bin"].as_array().unwrap().iter().map(|bin| bin["name"].as_str().unwrap().to_owned());
    assert_eq!(named.collect::<BTreeSet<_>>(), targets, "binaries in Cargo.toml");
    for target in &targets {
        let source = std::fs::read_to_string(root.join(format!("libfuzzer/fuzz_targets/{target}.rs"))).unwrap();
        assert!(source.contains(&format!("fuzz::{target}(data)")), "the binary {target} runs another target");
    }
}

#[test]
fn the_corpus_is_small() {
    let mut all = 0;
    for target in TARGETS {
        let files = files(target.name);
        assert!(files.len() >= 3, "{} has few seeds: {}", target.name, folder(target.name).display());
        for (path, file) in files {
            assert!(file.len() <= 8192, "{} is large", path.display());
            all += file.len();
        }
    }
    assert!(all <= 300_000, "the corpus has {all} bytes");
}

/// Every Rust file below a folder.
fn sources(folder: &Path, all: &mut Vec<String>) {
    for name in names(folder) {
        let path = folder.join(&name);
        if path.is_dir() {
            sources(&path, all);
        } else if name.ends_with(".rs") && name != "tests.rs" {
            all.push(std::fs::read_to_string(path).unwrap());
        }
    }
}

/// `Type::function`, or the function alone, of every public function that reads something.
fn parsers(source: &str) -> Vec<String> {
    let (mut found, mut owner, mut in_macro) = (Vec::new(), String::new(), false);
    for line in source.split("#[cfg(test)]\n").next().unwrap_or_default().lines() {
        let text = line.trim();
        if line.starts_with("impl") && !line.contains(" for ") {
            let name = line.trim_start_matches(|c| c != ' ').trim();
            owner = name.split(['<', ' ', '{']).next().unwrap_or_default().to_owned();
        } else if line.starts_with('}') {
            owner.clear();
            in_macro = false;
        } else if line == "name! {" {
            in_macro = true;
        } else if in_macro && line.starts_with("    ") && !text.starts_with("///") {
            // An identifier of `names.rs`: `AppName, "app name", …`.
            found.extend(text.split_once(", \"").map(|(name, _)| format!("{name}::parse")));
        }
        let Some(function) = text.strip_prefix("pub fn ") else { continue };
        let function = function.split(['(', '<']).next().unwrap_or_default();
        let reads = [
            "parse",
            "read",
            "from_rfc3339",
            "verify",
            "slack_signed",
            "text_of",
            "header",
            "retry_after",
            "deploy_id",
        ];
        if reads.iter().any(|start| function.starts_with(start)) && !function.ends_with("_request") && owner != "$name"
        {
            found.push(if owner.is_empty() { function.to_owned() } else { format!("{owner}::{function}") });
        }
    }
    found
}

#[test]
fn every_public_parser_of_the_core_has_a_target() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut core, mut targets) = (Vec::new(), Vec::new());
    for folder in ["domain", "clients", "store", "bot"] {
        sources(&root.join("../../components").join(folder).join("src"), &mut core);
    }
    sources(&root.join("src"), &mut targets);
    let targets = targets.concat();
    let all: BTreeSet<String> = core.iter().flat_map(|source| parsers(source)).collect();
    assert!(all.len() > 50 && all.contains("Catalog::parse") && all.contains("KubeName::parse"), "{all:?}");
    // Called as methods, or by what stands behind the name in a target.
    let otherwise = |name: &str| match name {
        "Request::header" => true, // builds a request
        "Inbound::header" | "Response::header" => targets.contains(".header("),
        "Response::retry_after" => targets.contains(".retry_after()"),
        "GitHubMac::verify" => targets.contains("mac.verify("),
        // Each reads one word of an application.
        "Health::parse" | "Phase::parse" | "SyncStatus::parse" => targets.contains("read_application("),
        "StoredRefusal::read" => targets.contains("message::before_commit("),
        "TagRule::parse" | "deploy_id" => targets.contains(name),
        _ => false,
    };
    let missing: Vec<&String> =
        all.iter().filter(|name| !targets.contains(name.as_str()) && !otherwise(name)).collect();
    assert!(missing.is_empty(), "no target reads {missing:?}");
}
