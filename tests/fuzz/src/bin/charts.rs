//! Edits every tag in the values files below a folder, and says what became of each: for a checkout of public charts.
//!
//! What was changed is checked line by line here, and by another parser.

use domain::image::ImageName;
use domain::values::{At, Edit, EditRefusal, OurImage, TagPath, Version, set_tag, text_of};
use serde::Deserialize;
use serde_yaml::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const TAG: &str = "main-abc1234";

fn main() {
    let folders: Vec<String> = std::env::args().skip(1).collect();
    assert!(!folders.is_empty(), "cargo run -p fuzz --bin charts -- FOLDER…");
    let mut files = Vec::new();
    for folder in &folders {
        find(Path::new(folder), &mut files);
    }
    files.sort();
    let (mut tags, mut edited, mut others) = (0, 0, BTreeMap::<String, Vec<String>>::new());
    for file in &files {
        let name = file.display().to_string();
        let bytes = std::fs::read(file).unwrap_or_else(|error| panic!("{name}: {error}"));
        let text = match text_of(&bytes) {
            Ok(text) => text,
            Err(why) => {
                others.entry(format!("file not read: {why:?}")).or_default().push(name);
                continue;
            }
        };
        for path in tags_of(text, &name, &mut others) {
            tags += 1;
            let at = TagPath::parse(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
            match edit(text, &at) {
                Ok(edit) => {
                    only_the_tag(text, &edit, &name, &path);
                    edited += 1;
                }
                Err(why) => {
                    let stored = serde_json::to_value(&why).expect("it is stored");
                    let kind = stored.as_object().and_then(|why| why.keys().next().cloned()).unwrap_or_default();
                    others.entry(format!("tag refused: {kind}")).or_default().push(format!("{name} {path}: {stored}"));
                }
            }
        }
    }
    for (kind, all) in &others {
        println!("{} × {kind}\n    {}", all.len(), all.join("\n    "));
    }
    println!("{} files, {tags} tags, {edited} edited to the byte", files.len());
}

/// Every file below a folder that has `values` in its name and ends in `.yaml` or `.yml`.
fn find(folder: &Path, files: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let entry = entry.expect("an entry");
        let kind = entry.file_type().expect("a type");
        if kind.is_dir() && entry.file_name() != ".github" {
            find(&entry.path(), files);
        } else if kind.is_file() && entry.path().extension().is_some_and(|end| end == "yaml" || end == "yml") {
            files.extend(Some(entry.path()).filter(|_| entry.file_name().to_string_lossy().contains("values")));
        }
    }
}

/// The path of each `tag` with a scalar.
fn tags_of(text: &str, name: &str, others: &mut BTreeMap<String, Vec<String>>) -> Vec<String> {
    let mut paths = Vec::new();
    for document in serde_yaml::Deserializer::from_str(text) {
        match Value::deserialize(document) {
            Ok(value) => walk(&value, "", &mut paths),
            Err(error) => {
                others.entry("file not read by libyaml".to_owned()).or_default().push(format!("{name}: {error}"));
            }
        }
    }
    paths
}

fn walk(value: &Value, path: &str, paths: &mut Vec<String>) {
    match value {
        Value::Mapping(map) => {
            for (key, value) in map {
                let Some(key) = key.as_str() else { continue };
                let quoted = format!("{path}.\"{key}\"");
                let path = quoted.trim_start_matches('.');
                if key == "tag" && !value.is_mapping() && !value.is_sequence() {
                    paths.push(path.to_owned());
                }
                // The editor cannot name it either.
                if !key.is_empty() && !key.contains('"') {
                    walk(value, path, paths);
                }
            }
        }
        Value::Sequence(list) => {
            for (number, item) in list.iter().enumerate() {
                walk(item, &format!("{path}[{number}]"), paths);
            }
        }
        _ => {}
    }
}

/// The edit, for the image that is named there, which may be one of several: a registry for all images may come before it.
fn edit(text: &str, at: &TagPath) -> Result<Edit, EditRefusal> {
    let mut names = vec![ImageName::parse("ghcr.io/acme/checkout").expect("a name")];
    loop {
        let ours = OurImage { name: &names[0], mirrors: &names[1..] };
        match set_tag(text, At::tags(std::slice::from_ref(at)), ours, Version { tag: TAG, digest: None }) {
            Err(EditRefusal::OtherImage { found, .. }) if names.len() < 4 && ImageName::parse(&found).is_ok() => {
                names.push(ImageName::parse(&found).expect("a name"));
            }
            edit => return edit,
        }
    }
}

/// One line is another, and in this line only what follows `tag:`; libyaml reads the same but for that value.
fn only_the_tag(old: &str, Edit { text: new, changed, .. }: &Edit, name: &str, path: &str) {
    let (before, after): (Vec<&str>, Vec<&str>) = (old.split('\n').collect(), new.split('\n').collect());
    assert_eq!(before.len(), after.len(), "{name} {path}");
    let lines: Vec<_> = before.iter().zip(&after).filter(|(before, after)| before != after).collect();
    let [(before, after)] = lines.as_slice() else {
        assert!(lines.is_empty() && !changed, "{name} {path}: {} lines", lines.len());
        return;
    };
    let (key, value) = after.split_once("tag:").unwrap_or_else(|| panic!("{name} {path}: {after}"));
    let rest =
        before.strip_prefix(key).and_then(|rest| rest.strip_prefix("tag:")).unwrap_or_else(|| panic!("{before}"));
    let is_whole = [format!("\"{TAG}\""), format!("'{TAG}'")].iter().any(|written| {
        let Some((blanks, end)) = value.split_once(written.as_str()) else { return false };
        let old = rest.strip_suffix(end).map(|old| old.trim_start_matches([' ', '\t']));
        let ends = end.is_empty() || end.starts_with([' ', '\t', '\r', ',', '}']);
        let is_one =
            old.is_some_and(|old| old.is_empty() || !old.contains([' ', '\t']) || old.starts_with(['"', '\'']));
        blanks.trim_matches([' ', '\t']).is_empty() && ends && is_one
    });
    assert!(is_whole, "{name} {path}: {before:?} became {after:?}");
    let read = |text: &str| -> Vec<Value> {
        let documents = serde_yaml::Deserializer::from_str(text);
        documents.map(|document| Value::deserialize(document).expect("libyaml read the old one")).collect()
    };
    let (mut was, is) = (read(old), read(new));
    let mut set = 0;
    for (was, is) in was.iter_mut().zip(&is) {
        set_difference(was, is, &mut set);
    }
    assert!(was == is && set == 1, "{name} {path}: {set} values differ to libyaml");
}

/// Makes the tag of what differs, and counts.
fn set_difference(was: &mut Value, is: &Value, set: &mut usize) {
    match (was, is) {
        (Value::Mapping(was), Value::Mapping(is)) => {
            for ((_, was), (_, is)) in was.iter_mut().zip(is) {
                set_difference(was, is, set);
            }
        }
        (Value::Sequence(was), Value::Sequence(is)) => {
            for (was, is) in was.iter_mut().zip(is) {
                set_difference(was, is, set);
            }
        }
        (was, Value::String(text)) if was != is && text == TAG => {
            *set += 1;
            *was = is.clone();
        }
        _ => {}
    }
}
