//! The sentences about a values file that cannot be edited.

use super::text::{SHORT, code, words};
use crate::values::{EditRefusal, OddFile};

/// Why a file cannot be edited.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn edit_problem(file: &str, why: &EditRefusal) -> String {
    let at = |path: &str, line: &usize| format!("{} (line {line})", code(path));
    let what = match why {
        EditRefusal::PathMissing { path, exists, line } => {
            let far = match (exists.is_empty(), line) {
                (false, Some(line)) => format!(", only {}", at(exists, line)),
                _ => String::new(),
            };
            format!("it has no {}{far}", code(path))
        }
        EditRefusal::NotAScalar { path, line } => format!("{} is not a single value", at(path, line)),
        EditRefusal::NoValue { path, line } => format!("{} is empty", at(path, line)),
        EditRefusal::NotAString { path, line, tag } => {
            format!("{} is marked as {}, not as text", at(path, line), code(tag))
        }
        EditRefusal::Alias { path, line } => {
            format!("{} only refers to a value elsewhere (a YAML alias)", at(path, line))
        }
        EditRefusal::UsedElsewhere { path, line } => {
            format!("line {line} uses the value of {} too (a YAML anchor), so an edit would change both", code(path))
        }
        EditRefusal::SeveralItems { item, line, .. } => {
            format!("several entries match {} (again on line {line})", code(item))
        }
        EditRefusal::ChoosesItem { path, by, line } => {
            let whose = if by == path { "itself".to_owned() } else { code(by) };
            format!(
                "{} is what the path {whose} chooses an entry by, and the tag would be written over it",
                at(path, line)
            )
        }
        EditRefusal::OtherImage { path, at: place, line, found, expected } => {
            let beside = if place == path { String::new() } else { format!("beside {}, ", code(path)) };
            format!("{beside}{} is {}, and the image to deploy is {}", at(place, line), code(found), code(expected))
        }
        EditRefusal::NotADigest { path, line } => {
            format!("{} is where the digest belongs, and something else is there", at(path, line))
        }
        EditRefusal::Digest { path, at: place, line } if place == path => {
            format!("{} is a digest, and only a tag can be written", at(path, line))
        }
        EditRefusal::Digest { path, at: place, line } => {
            format!("{} is a digest, which counts more than the tag at {}", at(place, line), code(path))
        }
        EditRefusal::NotPlain { file } => format!("{}, and my commit would make a plain file of it", odd(*file)),
        EditRefusal::OnlyMerged { path, line } => {
            format!("{} comes only from a merge key `&lt;&lt;` (line {line})", code(path))
        }
        EditRefusal::MergedOver { path, key, line } => {
            let way = if key == path { String::new() } else { format!("beside or on the way to {} ", code(path)) };
            format!("{way}the key {} has another value by the merge key `&lt;&lt;` after it (line {line})", code(key))
        }
        EditRefusal::DuplicateKey { path, key, line } => {
            let way = if key == path { String::new() } else { format!("on the way to {} ", code(path)) };
            format!("{way}the key {} is there twice (again on line {line})", code(key))
        }
        EditRefusal::SeveralDocuments { path, line } => {
            format!("several documents in it have {} (again on line {line})", code(path))
        }
        EditRefusal::MultiLine { path, line } => format!("{} spans several lines", at(path, line)),
        EditRefusal::Syntax { line, problem } => format!("line {line} is not valid YAML ({})", words(problem, SHORT)),
        EditRefusal::NotUtf8 { line } => format!("line {line} is not UTF-8"),
        EditRefusal::Truncated | EditRefusal::TooLarge { .. } => return format!("{file} is too large for me to edit."),
        EditRefusal::UnsafeTag => "the tag has characters that YAML would have to escape".to_owned(),
        EditRefusal::Unproven { path } => format!("I couldn't prove that only {} would change", code(path)),
    };
    format!("I can't safely edit {file}: {what}.")
}

fn odd(file: OddFile) -> String {
    match file {
        OddFile::Executable => "it is executable".to_owned(),
        OddFile::Symlink => "it is a symbolic link".to_owned(),
        OddFile::Submodule => "it is a submodule".to_owned(),
        OddFile::Mode(mode) => format!("Git has it with the mode {mode:o}"),
    }
}

pub(super) fn edit_remedy(why: &EditRefusal) -> &'static str {
    match why {
        EditRefusal::PathMissing { .. } => "Add it there, or set `tag_at` in `deploy-bot.yaml` to where the tag is.",
        EditRefusal::NotAScalar { .. }
        | EditRefusal::NotAString { .. }
        | EditRefusal::SeveralItems { .. }
        | EditRefusal::SeveralDocuments { .. } => {
            "Fix the file, or set `tag_at` in `deploy-bot.yaml` to where the tag is."
        }
        EditRefusal::Alias { .. } | EditRefusal::UsedElsewhere { .. } => {
            "Write the value out there, or list all places that have it in `tag_at` in `deploy-bot.yaml`."
        }
        EditRefusal::ChoosesItem { .. } => {
            "Choose the entry by another key in `tag_at` in `deploy-bot.yaml`, or by its number."
        }
        EditRefusal::OtherImage { .. } => {
            "Correct the file. If that is the same image by another name, list the name in `mirrors` in `deploy-bot.yaml`."
        }
        EditRefusal::Digest { .. } => {
            "Remove the digest, or set `digest_at` in `deploy-bot.yaml` to where it is, and I write it, too."
        }
        EditRefusal::NotADigest { .. } => {
            "Leave it empty there, or set `digest_at` in `deploy-bot.yaml` to where the digest is."
        }
        EditRefusal::NotPlain { file: OddFile::Executable | OddFile::Mode(_) } => {
            "Make it a plain file: `git update-index --chmod=-x`."
        }
        EditRefusal::NotPlain { file: OddFile::Symlink | OddFile::Submodule } => {
            "Put a plain file there, or set `values` in `deploy-bot.yaml` to the file itself."
        }
        EditRefusal::NoValue { .. } => "Write any value in quotes there once.",
        EditRefusal::OnlyMerged { .. } => "Write the key itself into the file.",
        EditRefusal::MergedOver { .. } => {
            "Helm reads that value, and Kustomize the key's own. Move `&lt;&lt;` before all other keys there."
        }
        EditRefusal::DuplicateKey { .. } => "Remove one of them.",
        EditRefusal::MultiLine { .. } => "Write it on one line.",
        EditRefusal::Syntax { .. } => "Fix that line.",
        EditRefusal::NotUtf8 { .. } => "Save the file as UTF-8.",
        EditRefusal::Truncated | EditRefusal::TooLarge { .. } => {
            "Move the tag to a smaller file, and set `values` of this app in `deploy-bot.yaml` to that file."
        }
        EditRefusal::UnsafeTag | EditRefusal::Unproven { .. } => {
            "That's a bug of mine: please report it with the file."
        }
    }
}
