//! What every target must have, and that every parser of the core has a target.

use crate::inputs::TESTED;
use fuzz::corpus::{Entry, read, write};
use fuzz::{TARGETS, Target};
use std::collections::BTreeSet;
use std::path::Path;

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn each_target_has_a_corpus_and_a_test_and_nothing_else_has() {
    let targets: BTreeSet<&str> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(targets.len(), TARGETS.len());
    let files = names(&Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus"));
    assert_eq!(files, targets.iter().map(|target| format!("{target}.txt")).collect(), "files of the corpus");
    assert_eq!(TESTED.iter().copied().collect::<BTreeSet<_>>(), targets, "tests");
    assert_eq!(TESTED.len(), TARGETS.len());
}

#[test]
fn the_corpus_is_small_and_each_input_stands_there_once() {
    let mut all = 0;
    for Target { name, corpus, .. } in TARGETS {
        let entries = read(corpus).unwrap_or_else(|error| panic!("corpus/{name}.txt: {error}"));
        assert!(entries.len() >= 3, "{name} has few entries");
        let written = write(&entries);
        let other = corpus.lines().zip(written.lines()).find(|(one, other)| one != other);
        assert!(written == *corpus, "corpus/{name}.txt is written otherwise: {other:?}");
        let names: BTreeSet<&String> = entries.iter().map(|entry| &entry.name).collect();
        let inputs: BTreeSet<&Vec<u8>> = entries.iter().map(|entry| &entry.input).collect();
        assert_eq!(names.len(), entries.len(), "a name of corpus/{name}.txt is there twice");
        assert_eq!(inputs.len(), entries.len(), "an input of corpus/{name}.txt is there twice");
        for Entry { name: entry, input } in &entries {
            assert!(input.len() <= 8192, "{entry} of corpus/{name}.txt is large");
            all += input.len();
        }
    }
    assert!(all <= 300_000, "the corpus has {all} bytes");
}

#[test]
fn a_corpus_gives_back_every_byte_and_refuses_what_is_none() {
    let inputs: [&[u8]; 9] = [
        b"",
        b"\n",
        b"\n\n",
        b"# a\n|b\n",
        b"blanks \n at the end  ",
        b"\\ \\x \\x4 \\x41 \\\\x41 \\xfg \\u0041 \\",
        b"\r\n\t\0\x7f",
        "\u{feff}é漢".as_bytes(),
        &(0..=255).collect::<Vec<u8>>(),
    ];
    let entry = |(at, input): (usize, &&[u8])| Entry { name: format!("entry_{at}"), input: input.to_vec() };
    let entries: Vec<Entry> = inputs.iter().enumerate().map(entry).collect();
    let text = write(&entries);
    assert_eq!(read(&text), Ok(entries));
    assert!(text.bytes().all(|byte| byte == b'\n' || byte == b' ' || byte.is_ascii_graphic()), "{text}");
    for wrong in ["|a\n", "# a\n", "# a\nb\n", "# A\n|\n", "# \n|\n", "# a/b\n|\n", "# a\n\n# b\n|\n"] {
        assert!(read(wrong).is_err(), "{wrong:?}");
    }
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
        let reads = ["parse", "read", "from_rfc3339", "verify", "text_of", "header", "retry_after", "deploy_id"];
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
    // Called as methods, or by the type behind the name in a target.
    let otherwise = |name: &str| match name {
        "Request::header" => true, // builds a request
        "Inbound::header" | "Response::header" => targets.contains(".header("),
        "Response::retry_after" => targets.contains(".retry_after()"),
        "GitHubMac::verify" => targets.contains("mac.verify()"),
        "SlackClaim::verify" => targets.contains("SlackClaim::read(time, signature, now)?.verify("),
        "StoredRefusal::read" => targets.contains("message::before_commit("),
        "CopiedRequest::read" => targets.contains("run(load(&world"),
        "TagRule::parse" | "deploy_id" => targets.contains(name),
        _ => false,
    };
    let missing: Vec<&String> =
        all.iter().filter(|name| !targets.contains(name.as_str()) && !otherwise(name)).collect();
    assert!(missing.is_empty(), "no target reads {missing:?}");
}
