//! Changes the tag of our image in a YAML file, and the digest where the catalog says where, and nothing else.
//!
//! The parser only says *where* the value is: the new text is the old text with the bytes of that scalar
//! replaced. Then both texts are parsed side by side, and an edit that changed anything but the value is
//! refused. There is one trap: the parser's span of a scalar may begin with an anchor or a type.
//!
//! | module | says |
//! |---|---|
//! | `path` | what a path is |
//! | `tree` | what is in the file, and with which bytes |
//! | `walk` | where a path leads, and who else reads the value there |
//! | `ours` | whether the place is our image's |
//! | `edit` | the new text, and the proof |
//!
//! **Invariant:** a new tag alone is always quoted. A plain `12e-1234567` is a number to Helm.

mod edit;
mod ours;
mod path;
mod tree;
mod walk;

pub use edit::{At, Edit, Version, Written, blob_sha, read_written, set_tag, text_of};
pub use ours::OurImage;
pub use path::TagPath;

use crate::image::ImageName;

use serde::{Deserialize, Serialize};

/// The largest file that is edited, in bytes.
pub const LARGEST: usize = 1024 * 1024;

/// What a path is in Git, if it is no plain file: a commit through GitHub's API makes a plain file of it (mode 100644).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OddFile {
    Executable,
    Symlink,
    Submodule,
    /// Another mode, such as the old 100664.
    Mode(u32),
}

/// Why a values file cannot be edited safely. Lines count from 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EditRefusal {
    /// No document of the file has the path.
    PathMissing {
        path: String,
        /// As much of it as exists; empty: nothing.
        exists: String,
        /// The line of the last key that exists.
        line: Option<usize>,
    },
    /// A mapping or list is at the path (`{{ … }}` is a mapping to YAML).
    NotAScalar { path: String, line: usize },
    /// There is no value and no place where one could be written for certain.
    NoValue { path: String, line: usize },
    /// The value has an explicit type that is not `!!str`.
    NotAString {
        path: String,
        line: usize,
        /// The type, such as `!!int`.
        tag: String,
    },
    /// The value, or something on the way to it, is an alias (`*name`), and not every place that has the value is
    /// to be edited.
    Alias {
        path: String,
        /// The line of the alias.
        line: usize,
    },
    /// The value, or something on the way to it, is an anchor (`&name`) that is used at a place which is not to be
    /// edited.
    UsedElsewhere {
        path: String,
        /// The line of the alias that uses it.
        line: usize,
    },
    /// More than one item of a list has the key and the value that the path names.
    SeveralItems {
        path: String,
        /// The path as far as the item.
        item: String,
        /// The line of the second.
        line: usize,
    },
    /// An item of a list is chosen by the value: with another one there, the path would lead elsewhere.
    ChoosesItem {
        path: String,
        /// The path that has the choice.
        by: String,
        line: usize,
    },
    /// The value is a whole image that is not ours, or something beside the tag names such an image.
    OtherImage {
        path: String,
        /// The path of what names it.
        at: String,
        line: usize,
        /// The image there, with its registry (trimmed to 300 characters).
        found: String,
        expected: Box<ImageName>,
    },
    /// A digest is there, or beside the tag: it would win over the tag.
    Digest {
        path: String,
        /// The path of the digest.
        at: String,
        line: usize,
    },
    /// Where the digest is to be written is neither a digest nor empty, nor a whole image that has its tag there, too.
    NotADigest { path: String, line: usize },
    /// No plain file.
    NotPlain { file: OddFile },
    /// The key is not written in its mapping, which merges another one (`<<`): the text is elsewhere.
    OnlyMerged {
        path: String,
        /// The line of the `<<`.
        line: usize,
    },
    /// A `<<` after the key merges a mapping that has the key, too: Helm takes that value, and Kustomize the key's own.
    MergedOver {
        path: String,
        /// The path as far as the key.
        key: String,
        /// The line of the `<<`.
        line: usize,
    },
    /// A key on the path is twice in its mapping; programs differ in which one they take.
    DuplicateKey {
        path: String,
        /// The path as far as the key that is there twice.
        key: String,
        /// The line of the second.
        line: usize,
    },
    /// More than one document of the file has the path.
    SeveralDocuments {
        path: String,
        /// The line in the second document that has it.
        line: usize,
    },
    /// A block scalar (`|`, `>`), or a value that is not on one line.
    MultiLine { path: String, line: usize },
    /// Not YAML: a tab as indentation, an open quote, a template.
    Syntax { line: usize, problem: String },
    NotUtf8 {
        /// The line of the first bad byte.
        line: usize,
    },
    /// Only a part of the file was to be had.
    Truncated,
    /// Larger than [`LARGEST`], or with too many values.
    TooLarge { bytes: usize, limit: usize },
    /// The new tag has characters that would need escapes. Our bug: a tag was checked before.
    UnsafeTag,
    /// The edited text, parsed again, is not what was wanted. Our bug.
    Unproven { path: String },
}

#[cfg(test)]
mod tests;
