//! One target under libFuzzer: `FUZZ_TARGET` says which. `../README.md` has the commands.
#![no_main]

use fuzz::{TARGETS, Target};
use std::path::Path;
use std::sync::LazyLock;

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    TARGETS.iter().find(|target| target.name == name).unwrap_or_else(|| {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        eprintln!("FUZZ_TARGET={name} is no target. Set it to one of: {}", names.join(", "));
        std::process::exit(1);
    })
});

/// Writes the entries of the target's corpus into files, one each, where libFuzzer reads them. Files that are
/// there stay: they may be new inputs that libFuzzer has found.
fn unpack() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(TARGET.name);
    let entries = TARGET.entries();
    std::fs::create_dir_all(&folder).expect("a folder for the corpus");
    for entry in &entries {
        let file = folder.join(&entry.name);
        if !file.exists() {
            std::fs::write(&file, &entry.input).expect("a file of the corpus");
        }
    }
    let is_folder = |argument: String| Path::new(&argument).canonicalize().ok() == folder.canonicalize().ok();
    eprintln!("{}: {} entries are in {}", TARGET.name, entries.len(), folder.display());
    if !std::env::args().skip(1).any(is_folder) {
        eprintln!("libFuzzer was not told to read this folder: give it as an argument, see tests/fuzz/README.md");
    }
}

libfuzzer_sys::fuzz_target!(init: unpack(), |data: &[u8]| (TARGET.run)(data));
