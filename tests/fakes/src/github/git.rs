//! Git as GitHub keeps it: blobs, trees, commits with their real object names, accounts, and time as text.
//! A commit holds the whole tree, so that any file can be read at any commit; names are SHA-1 over Git's own encoding,
//! because a client may compute them again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sha1::{Digest, Sha1};

use crate::Millis;

/// Every file of a commit, by path.
pub type Files = BTreeMap<String, File>;

/// The mode of a plain file, of one that may be executed, of a symbolic link and of a submodule.
pub const PLAIN: u32 = 0o100_644;
pub const EXECUTABLE: u32 = 0o100_755;
pub const SYMLINK: u32 = 0o120_000;
pub const SUBMODULE: u32 = 0o160_000;

/// What Git has at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its mode.
    pub mode: u32,
    /// Its bytes: of a symbolic link, where it leads; of a submodule, the name of its commit.
    pub bytes: Arc<Vec<u8>>,
}

impl File {
    /// A plain one.
    pub fn plain(bytes: impl Into<Vec<u8>>) -> Self {
        Self { mode: PLAIN, bytes: Arc::new(bytes.into()) }
    }

    /// Git's name of what is there.
    pub(super) fn oid(&self) -> String {
        if self.is_blob() { blob_sha(&self.bytes) } else { String::from_utf8_lossy(&self.bytes).into_owned() }
    }

    /// Whether this repository has the bytes.
    pub(super) fn is_blob(&self) -> bool {
        self.mode != SUBMODULE
    }
}

/// Somebody named in a commit. The text is free; only [`Person::login`] is GitHub's own word (it follows the email).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The name as written.
    pub name: String,
    /// The email as written.
    pub email: String,
}

impl Person {
    /// The account that owns this email, if any does.
    pub fn login(&self) -> Option<String> {
        if self.email == "noreply@github.com" {
            return Some("web-flow".to_owned());
        }
        let (id, login) = self.email.strip_suffix("@users.noreply.github.com")?.split_once('+')?;
        (id == account_id(login).to_string()).then(|| login.to_owned())
    }

    /// An account as it signs its commits.
    pub fn account(login: &str) -> Self {
        let email = format!("{}+{login}@users.noreply.github.com", account_id(login));
        Self { name: login.to_owned(), email }
    }

    /// The committer of whatever is made on the web or by the API.
    pub fn web_flow() -> Self {
        Self { name: "GitHub".to_owned(), email: "noreply@github.com".to_owned() }
    }
}

/// One commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Its name.
    pub sha: String,
    /// The name of its tree.
    pub tree: String,
    /// Its parents; the first is the branch it was made on.
    pub parents: Vec<String>,
    /// The whole message.
    pub message: String,
    /// Who wrote it, as the commit says.
    pub author: Person,
    /// Who made the commit, as the commit says.
    pub committer: Person,
    /// When, in whole seconds.
    pub at: Millis,
    /// Whether GitHub's own key signed it.
    pub signed_by_github: bool,
    /// The whole tree.
    pub files: Files,
    /// Paths that the first parent does not have.
    pub added: Vec<String>,
    /// Paths that differ from the first parent.
    pub modified: Vec<String>,
    /// Paths that only the first parent has.
    pub removed: Vec<String>,
    pub(super) order: u64,
}

impl Commit {
    /// The first line of the message.
    pub fn headline(&self) -> &str {
        self.message.lines().next().unwrap_or_default()
    }

    /// Every path below a folder; an empty folder is the root.
    pub fn below(&self, folder: &str) -> Vec<String> {
        let folder = folder.trim_end_matches('/');
        let is_below =
            |path: &&String| folder.is_empty() || path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        self.files.keys().filter(is_below).cloned().collect()
    }

    /// Every path that differs from the first parent.
    pub fn changed(&self) -> Vec<String> {
        [&self.added[..], &self.modified, &self.removed].concat()
    }

    /// The object as Git hashes it.
    fn object(&self) -> Vec<u8> {
        let who = |person: &Person| format!("{} <{}> {} +0000", person.name, person.email, self.at / 1000);
        let mut text = format!("tree {}\n", self.tree);
        for parent in &self.parents {
            text += &format!("parent {parent}\n");
        }
        text += &format!("author {}\ncommitter {}\n", who(&self.author), who(&self.committer));
        if self.signed_by_github {
            text += "gpgsig -----BEGIN PGP SIGNATURE-----\n stand-in\n -----END PGP SIGNATURE-----\n";
        }
        object("commit", format!("{text}\n{}", self.message).as_bytes())
    }

    /// The commit, its trees and its files as Git hashes them, by name.
    pub fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        let mut objects = BTreeMap::from([(self.sha.clone(), self.object())]);
        let blobs = self.files.values().filter(|file| file.is_blob());
        objects.extend(blobs.map(|file| (file.oid(), object("blob", &file.bytes))));
        tree(&self.files, &mut objects);
        objects
    }
}

/// What a new commit is made of.
pub(super) struct Draft {
    pub(super) parents: Vec<String>,
    pub(super) message: String,
    pub(super) author: Person,
    pub(super) committer: Person,
    pub(super) at: Millis,
    pub(super) signed_by_github: bool,
    pub(super) files: Files,
}

/// The objects of one repository.
#[derive(Clone, Debug, Default)]
pub(super) struct Objects {
    pub(super) commits: BTreeMap<String, Commit>,
    pub(super) blobs: BTreeMap<String, Arc<Vec<u8>>>,
}

impl Objects {
    /// Writes a commit and says its name.
    pub(super) fn commit(&mut self, draft: Draft) -> String {
        let at = draft.at / 1000 * 1000;
        let tree = tree_sha(&draft.files);
        let nothing = Files::new();
        let before =
            draft.parents.first().and_then(|sha| self.commits.get(sha)).map_or(&nothing, |commit| &commit.files);
        let added = draft.files.keys().filter(|path| !before.contains_key(*path)).cloned().collect();
        let removed = before.keys().filter(|path| !draft.files.contains_key(*path)).cloned().collect();
        let differs = |(path, file): &(&String, &File)| before.get(*path).is_some_and(|old| old != *file);
        let modified = draft.files.iter().filter(differs).map(|(path, _)| path.clone()).collect();

        for file in draft.files.values().filter(|file| file.is_blob()) {
            self.blobs.insert(file.oid(), Arc::clone(&file.bytes));
        }
        let Draft { parents, message, author, committer, signed_by_github, files, .. } = draft;
        let mut commit = Commit {
            sha: String::new(),
            tree,
            parents,
            message,
            author,
            committer,
            at,
            signed_by_github,
            files,
            added,
            modified,
            removed,
            order: 0,
        };
        let sha = object_name(&commit.object());
        commit.order = self.commits.get(&sha).map_or(self.commits.len() as u64, |known| known.order);
        commit.sha.clone_from(&sha);
        self.commits.insert(sha.clone(), commit);
        sha
    }

    /// Everything reachable from a commit, itself included.
    pub(super) fn ancestors(&self, sha: &str) -> BTreeSet<String> {
        let mut seen = BTreeSet::new();
        let mut next = vec![sha.to_owned()];
        while let Some(sha) = next.pop() {
            if let Some(commit) = self.commits.get(&sha)
                && seen.insert(sha)
            {
                next.extend(commit.parents.iter().cloned());
            }
        }
        seen
    }

    /// The same, newest first.
    pub(super) fn log(&self, sha: &str) -> Vec<&Commit> {
        let mut log: Vec<_> = self.ancestors(sha).iter().filter_map(|sha| self.commits.get(sha)).collect();
        log.sort_by_key(|commit| std::cmp::Reverse(commit.order));
        log
    }

    /// Whether a commit changed a file or anything in a folder. A merge counts only if it differs from every parent.
    pub(super) fn touches(&self, commit: &Commit, path: &str) -> bool {
        let path = path.trim_matches('/');
        let inside = |file: &str| {
            path.is_empty() || file == path || file.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'))
        };
        let part = |files: &Files| -> Files {
            files.iter().filter(|(path, _)| inside(path)).map(|(path, file)| (path.clone(), file.clone())).collect()
        };
        let own = part(&commit.files);
        let mut parents = commit.parents.iter().filter_map(|sha| self.commits.get(sha)).peekable();
        match parents.peek() {
            None => !own.is_empty(),
            Some(_) => parents.all(|parent| part(&parent.files) != own),
        }
    }
}

/// Git's name of a blob with these bytes.
pub fn blob_sha(bytes: &[u8]) -> String {
    object_name(&object("blob", bytes))
}

fn object(kind: &str, bytes: &[u8]) -> Vec<u8> {
    [format!("{kind} {}\0", bytes.len()).as_bytes(), bytes].concat()
}

fn object_name(object: &[u8]) -> String {
    hex(&Sha1::digest(object))
}

/// The name of the tree that holds these files.
pub(super) fn tree_sha(files: &Files) -> String {
    tree(files, &mut BTreeMap::new())
}

/// The same. Adds the tree and those in it to `objects`.
fn tree(files: &Files, objects: &mut BTreeMap<String, Vec<u8>>) -> String {
    enum Entry {
        File(File),
        Folder(Files),
    }
    let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
    for (path, file) in files {
        match path.split_once('/') {
            None => {
                entries.insert(path.clone(), Entry::File(file.clone()));
            }
            // Git sorts a folder as if its name ended in a slash.
            Some((folder, rest)) => {
                let folder = entries.entry(format!("{folder}/")).or_insert_with(|| Entry::Folder(Files::new()));
                if let Entry::Folder(inner) = folder {
                    inner.insert(rest.to_owned(), file.clone());
                }
            }
        }
    }
    let mut text = Vec::new();
    for (name, entry) in entries {
        let (mode, sha) = match entry {
            Entry::File(file) => (file.mode, file.oid()),
            Entry::Folder(inner) => (0o40_000, tree(&inner, objects)),
        };
        text.extend(format!("{mode:o} {}\0", name.trim_end_matches('/')).into_bytes());
        text.extend((0..40).step_by(2).filter_map(|at| u8::from_str_radix(&sha[at..at + 2], 16).ok()));
    }
    let object = object("tree", &text);
    let name = object_name(&object);
    objects.insert(name.clone(), object);
    name
}

/// Lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The number of an account or repository: always the same for a name.
pub(super) fn account_id(name: &str) -> u64 {
    let hash = Sha1::digest(name.to_lowercase());
    hash[..4].iter().fold(0, |id, byte| id * 256 + u64::from(*byte)) % 100_000_000
}

/// `2026-01-01T00:00:00Z`.
pub(super) fn rfc3339(at: Millis) -> String {
    let (seconds, days) = (at / 1000 % 86_400, (at / 86_400_000) as i64);
    // From days to a date in the Gregorian calendar, with years that begin in March.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The other direction; fractions and offsets are understood, a missing zone is not.
pub(super) fn from_rfc3339(text: &str) -> Option<Millis> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let mark = |at: usize, wanted: &str| text.get(at..at + 1).filter(|mark| wanted.contains(*mark));
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    (mark(4, "-").is_some() && mark(7, "-").is_some() && mark(10, "T ").is_some()).then_some(())?;
    (mark(13, ":").is_some() && mark(16, ":").is_some()).then_some(())?;
    let in_range = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second < 61;
    in_range.then_some(())?;
    let mut rest = text.get(19..)?;
    let mut millis = 0;
    if let Some(fraction) = rest.strip_prefix('.') {
        let digits = fraction.len() - fraction.trim_start_matches(|digit: char| digit.is_ascii_digit()).len();
        millis = format!("{:0<3}", fraction.get(..digits)?).get(..3)?.parse().ok()?;
        rest = fraction.get(digits..)?;
    }
    let offset = match rest.get(..1)? {
        "Z" if rest.len() == 1 => 0,
        sign @ ("+" | "-") => {
            let (hours, minutes) = rest.get(1..)?.split_once(':')?;
            let minutes = hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?;
            if sign == "+" { minutes } else { -minutes }
        }
        _ => return None,
    };
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (shifted_year / 400, shifted_year % 400);
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let days = era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468;
    let seconds = days * 86_400 + hour * 3600 + (minute - offset) * 60 + second;
    u64::try_from(seconds * 1000 + millis).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_names_are_gits_own() {
        // `git hash-object`, `git write-tree` and `git commit-tree` said so.
        assert_eq!(blob_sha(b""), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
        assert_eq!(blob_sha(b"hello\n"), "ce013625030ba8dba906f756967f9e9ca394464a");
        assert_eq!(tree_sha(&Files::new()), "4b825dc642cb6eb9a060e54bf8d69288fbee4904");

        // A folder sorts between `a.c` and `a0`.
        let files = [("a/b", "x\n"), ("a.c", "y\n"), ("a0", "z\n")];
        let files = files.map(|(path, text)| (path.to_owned(), File::plain(text))).into();
        let alice = Person { name: "alice".to_owned(), email: "a@x".to_owned() };
        let mut objects = Objects::default();
        let sha = objects.commit(Draft {
            parents: Vec::new(),
            message: "Hello\n\nbody".to_owned(),
            author: alice.clone(),
            committer: alice,
            at: 1_767_225_600_999,
            signed_by_github: false,
            files,
        });
        assert_eq!(objects.commits[&sha].tree, "c524da48e5dc55f695574e98f86201aefe04d313");
        assert_eq!(sha, "49a8ab22a109bc8a5885ddbae160d9b3f7702039");
    }

    #[test]
    fn a_tree_has_the_modes_of_its_files() {
        // `git update-index --add --cacheinfo`, then `git write-tree`.
        let odd = |mode: u32, bytes: &str| File { mode, ..File::plain(bytes) };
        let files = [
            ("link", odd(SYMLINK, "run")),
            ("module", odd(SUBMODULE, "49a8ab22a109bc8a5885ddbae160d9b3f7702039")),
            ("run", odd(EXECUTABLE, "x\n")),
        ];
        let files: Files = files.map(|(path, file)| (path.to_owned(), file)).into();
        assert_eq!(tree_sha(&files), "e70c31ef7a2a14dfe870dabed2d8fe2c4c0b3f05");
    }

    #[test]
    fn time_goes_both_ways() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (1_767_225_599_000, "2025-12-31T23:59:59Z"),
            (1_798_761_600_000, "2027-01-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(millis), text);
            assert_eq!(from_rfc3339(text), Some(millis));
        }
        assert_eq!(from_rfc3339("2000-02-29T01:30:00.25+01:30"), Some(951_782_400_250));
        for bad in ["", "2026-01-01", "2026-01-01T00:00:00", "2026-13-01T00:00:00Z", "yesterday"] {
            assert_eq!(from_rfc3339(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_account_follows_the_email() {
        assert_eq!(Person::account("alice").login().as_deref(), Some("alice"));
        assert_eq!(Person::web_flow().login().as_deref(), Some("web-flow"));
        let stranger = Person { name: "alice".to_owned(), email: "alice@example.com".to_owned() };
        assert_eq!(stranger.login(), None);
    }
}
