//! Files of the GitOps repository.
//!
//! The text of a file is only believed if it hashes to the blob's id: GitHub gives text, and not every file
//! survives that.

use super::answer::{
    Part, ReadError, commit_sha, flag, login, nonsense, nullable, qualified, read_data, read_head, status_cause, text,
};
use super::api::{GitHub, graphql, rest, send};
use crate::http::{Http, Request, Response, StatusCode};
use domain::catalog::{FoundFile, IncludePlace};
use domain::fault::{Fault, System};
use domain::names::{BlobSha, BranchName, CommitSha, FilePath, GitHubLogin, RepoName, UrlOrigin};
use domain::values::{OddFile, blob_sha};
use serde_json::{Value, json};

const READ_CATALOG: &str = "read the catalog";
const READ_BLOB: &str = "read the values file";
/// Two files as JSON text and up to a hundred commits.
pub(super) const MAX_ANSWER: usize = 4 << 20;
/// A megabyte of included files as JSON text.
const MAX_TEXTS: usize = 8 << 20;

/// A submodule has no object that GitHub shows: its mode tells it from a file that is not there.
pub(super) const FILE: &str = "mode object { ... on Blob { oid text isBinary isTruncated byteSize } }";

/// A file at a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileState {
    /// There is no file at that path.
    Missing,
    /// Another repository is there.
    Submodule,
    /// There is one.
    File {
        /// Its content's id.
        blob: BlobSha,
        /// The file's exact bytes. `None`: the file is binary or truncated, or GitHub changed it on the way
        /// (a BOM, say): see [`raw_blob`].
        text: Option<String>,
        /// Its size in bytes.
        size: u64,
        /// What it is, if it is no plain file. Then a commit of ours would make a plain file of it.
        odd: Option<OddFile>,
    },
}

/// A file at the head of the branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileAtHead {
    pub file: FileState,
    pub head: CommitSha,
    /// At each place that was asked for.
    pub included: Vec<Found>,
    /// Our own login.
    pub viewer: GitHubLogin,
}

/// Where the catalog is.
#[derive(Clone, Copy, Debug)]
pub struct CatalogPlaces<'a> {
    pub repo: &'a RepoName,
    pub branch: &'a BranchName,
    pub path: &'a FilePath,
    /// Where its further files are, as far as is known.
    pub places: &'a [IncludePlace],
}

/// Builds the query for the catalog alone: whose command is it, while nothing is known yet.
pub fn catalog_request(api: &UrlOrigin, of: &CatalogPlaces<'_>) -> Request {
    let CatalogPlaces { repo, branch, path, places } = *of;
    let (more_variables, more) = ask_included(places);
    let query = format!(
        "query($owner: String!, $name: String!, $ref: String!, $catalog: String!{more_variables}) {{
  viewer {{ login }}
  gitops: repository(owner: $owner, name: $name) {{
    ref(qualifiedName: $ref) {{ target {{ oid ... on Commit {{ catalog: file(path: $catalog) {{ {FILE} }}{more} }} }} }}
  }}
}}"
    );
    let (owner, name) = (repo.owner(), repo.name());
    let mut variables = json!({ "owner": owner, "name": name, "ref": qualified(branch), "catalog": path.as_str() });
    name_included(&mut variables, places);
    graphql(api, &query, &variables).max_answer(MAX_ANSWER)
}

pub fn read_catalog(places: &[IncludePlace], response: &Response) -> Result<FileAtHead, ReadError> {
    let data = read_data(response, READ_CATALOG)?;
    let (_, head) = read_head(&data, "gitops", READ_CATALOG)?;
    let read = || {
        Ok(FileAtHead {
            file: read_file(head, "catalog")?,
            head: commit_sha(head, "/oid")?,
            included: read_found(head, places)?,
            viewer: login(&data, "/viewer/login").ok_or("our own login")?,
        })
    };
    read().map_err(|part| nonsense(READ_CATALOG, part).into())
}

/// Reads the catalog alone.
pub async fn catalog(http: &impl Http, gh: &GitHub, of: &CatalogPlaces<'_>) -> Result<FileAtHead, ReadError> {
    read_catalog(of.places, &send(http, gh, catalog_request(&gh.url, of), READ_CATALOG).await?)
}

// ---- included files ----

/// What is at a place: the file itself, or the files of the folder that are included.
pub type Found = Vec<(FilePath, FoundFile)>;

/// Names, modes and ids, no text: that of a folder could be endless. From GitHub's public schema (`TreeEntry`):
/// <https://docs.github.com/en/graphql/reference/git#treeentry>
const LISTED: &str = "mode oid size object { ... on Tree { entries { name mode oid size } } }";

/// The variables of a query, and what it asks a commit.
pub(super) fn ask_included(places: &[IncludePlace]) -> (String, String) {
    let (mut variables, mut fields) = (String::new(), String::new());
    for n in 0..places.len() {
        variables.push_str(&format!(", $include{n}: String!"));
        fields.push_str(&format!("\n      include{n}: file(path: $include{n}) {{ {LISTED} }}"));
    }
    (variables, fields)
}

pub(super) fn name_included(variables: &mut Value, places: &[IncludePlace]) {
    if let Some(variables) = variables.as_object_mut() {
        variables.extend(places.iter().enumerate().map(|(n, place)| (format!("include{n}"), json!(place.path()))));
    }
}

/// A folder that is not there has no files.
pub(super) fn read_found(commit: &Value, places: &[IncludePlace]) -> Part<Vec<Found>> {
    let read = |(n, place): (usize, &IncludePlace)| {
        let Some(entry) = nullable(commit, &format!("include{n}"), "an included file")? else { return Ok(Vec::new()) };
        let IncludePlace::Folder(folder) = place else {
            let found = read_entry(entry)?;
            return Ok(found.map(|found| (place.path().clone(), found)).into_iter().collect());
        };
        let mut found = Vec::new();
        for entry in entry.pointer("/object/entries").and_then(Value::as_array).into_iter().flatten() {
            let name = text(entry, "/name").ok_or("an entry's name")?;
            let path = FilePath::parse(&format!("{folder}/{name}")).ok().filter(|path| place.has(path));
            if let Some((path, file)) = path.zip(read_entry(entry)?) {
                found.push((path, file));
            }
        }
        Ok(found)
    };
    places.iter().enumerate().map(read).collect()
}

/// A folder is no file.
fn read_entry(entry: &Value) -> Part<Option<FoundFile>> {
    let mode = entry.get("mode").and_then(Value::as_u64).and_then(|mode| u32::try_from(mode).ok());
    let mode = mode.ok_or("an entry's mode")?;
    if mode == 0o40_000 {
        return Ok(None);
    }
    let blob = text(entry, "/oid").and_then(|oid| BlobSha::parse(oid).ok()).ok_or("an entry's id")?;
    let size = entry.get("size").and_then(Value::as_u64).ok_or("an entry's size")?;
    Ok(Some(FoundFile { mode, blob, size }))
}

/// Builds the query for what is at these places at a commit: the catalog was not known before, or names other places now.
pub fn included_request(api: &UrlOrigin, repo: &RepoName, head: &CommitSha, places: &[IncludePlace]) -> Request {
    let (more_variables, more) = ask_included(places);
    let query = format!(
        "query($owner: String!, $name: String!, $head: GitObjectID!{more_variables}) {{
  gitops: repository(owner: $owner, name: $name) {{
    object(oid: $head) {{ ... on Commit {{{more}
    }} }}
  }}
}}"
    );
    let mut variables = json!({ "owner": repo.owner(), "name": repo.name(), "head": head });
    name_included(&mut variables, places);
    graphql(api, &query, &variables).max_answer(MAX_ANSWER)
}

pub fn read_included(places: &[IncludePlace], response: &Response) -> Result<Vec<Found>, Fault> {
    let data = read_data(response, READ_CATALOG)?;
    let commit = data.pointer("/gitops/object").filter(|commit| commit.is_object());
    let found = commit.ok_or("the commit").and_then(|commit| read_found(commit, places));
    found.map_err(|part| nonsense(READ_CATALOG, part))
}

pub async fn included(
    http: &impl Http,
    gh: &GitHub,
    repo: &RepoName,
    head: &CommitSha,
    places: &[IncludePlace],
) -> Result<Vec<Found>, Fault> {
    read_included(places, &send(http, gh, included_request(&gh.url, repo, head, places), READ_CATALOG).await?)
}

/// Builds the query for texts by their ids: whichever commit they are of, they are the same.
pub fn texts_request(api: &UrlOrigin, repo: &RepoName, blobs: &[BlobSha]) -> Request {
    let (mut more_variables, mut more) = (String::new(), String::new());
    let mut variables = json!({ "owner": repo.owner(), "name": repo.name() });
    for (n, blob) in blobs.iter().enumerate() {
        more_variables.push_str(&format!(", $blob{n}: GitObjectID!"));
        more.push_str(&format!(
            "\n    blob{n}: object(oid: $blob{n}) {{ ... on Blob {{ text isBinary isTruncated }} }}"
        ));
        if let Some(variables) = variables.as_object_mut() {
            variables.insert(format!("blob{n}"), json!(blob));
        }
    }
    let query = format!(
        "query($owner: String!, $name: String!{more_variables}) {{
  gitops: repository(owner: $owner, name: $name) {{{more}
  }}
}}"
    );
    graphql(api, &query, &variables).max_answer(MAX_TEXTS)
}

/// In the order of the ids. `None`: GitHub does not give the exact bytes.
pub fn read_texts(blobs: &[BlobSha], response: &Response) -> Result<Vec<Option<String>>, Fault> {
    let data = read_data(response, READ_CATALOG)?;
    let gitops = data.get("gitops").filter(|gitops| gitops.is_object());
    let gitops = gitops.ok_or_else(|| nonsense(READ_CATALOG, "the repository"))?;
    let read = |(n, blob): (usize, &BlobSha)| {
        let object = gitops.get(format!("blob{n}"))?;
        let text = text(object, "/text").filter(|_| !flag(object, "/isBinary") && !flag(object, "/isTruncated"));
        text.filter(|text| blob_sha(text.as_bytes()) == *blob).map(str::to_owned)
    };
    Ok(blobs.iter().enumerate().map(read).collect())
}

pub async fn texts(
    http: &impl Http,
    gh: &GitHub,
    repo: &RepoName,
    blobs: &[BlobSha],
) -> Result<Vec<Option<String>>, Fault> {
    read_texts(blobs, &send(http, gh, texts_request(&gh.url, repo, blobs), READ_CATALOG).await?)
}

/// Builds the request for a file's exact bytes, up to 1 MiB.
pub fn raw_blob_request(api: &UrlOrigin, repo: &RepoName, blob: &BlobSha) -> Request {
    rest(api, &format!("/repos/{repo}/git/blobs/{blob}"), "application/vnd.github.raw+json")
}

/// Takes the bytes if they are those of that id.
pub fn read_raw_blob(blob: &BlobSha, response: Response) -> Result<Vec<u8>, Fault> {
    if response.status != StatusCode::OK {
        return Err(Fault::new(System::GitHub, READ_BLOB, status_cause(&response)));
    }
    if blob_sha(&response.body) != *blob {
        return Err(nonsense(READ_BLOB, "the file's bytes"));
    }
    Ok(response.body)
}

/// Reads a file's exact bytes, where GraphQL did not give them.
pub async fn raw_blob(http: &impl Http, gh: &GitHub, repo: &RepoName, blob: &BlobSha) -> Result<Vec<u8>, Fault> {
    read_raw_blob(blob, send(http, gh, raw_blob_request(&gh.url, repo, blob), READ_BLOB).await?)
}

pub(super) fn read_file(commit: &Value, alias: &str) -> Part<FileState> {
    let Some(entry) = nullable(commit, alias, "a file")? else { return Ok(FileState::Missing) };
    // Git's own number, as Git's trees have it: https://docs.github.com/en/graphql/reference/git#treeentry
    let mode = entry.get("mode").and_then(Value::as_u64).and_then(|mode| u32::try_from(mode).ok());
    let odd = match mode.ok_or("a file's mode")? {
        0o100_644 => None,
        0o100_755 => Some(OddFile::Executable),
        0o120_000 => Some(OddFile::Symlink),
        0o160_000 => return Ok(FileState::Submodule),
        mode => Some(OddFile::Mode(mode)),
    };
    // A directory is an object without the fields of a file.
    let Some(oid) = entry.pointer("/object/oid") else { return Ok(FileState::Missing) };
    let blob = oid.as_str().and_then(|oid| BlobSha::parse(oid).ok()).ok_or("a file's id")?;
    let size = entry.pointer("/object/byteSize").and_then(Value::as_u64).ok_or("a file's size")?;
    let text = text(entry, "/object/text")
        .filter(|_| !flag(entry, "/object/isBinary") && !flag(entry, "/object/isTruncated"))
        .filter(|text| blob_sha(text.as_bytes()) == blob);
    Ok(FileState::File { text: text.map(str::to_owned), blob, size, odd })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::github::samples::{blob, branch, error, gh, hostile, ok, path, repo, sha, show};
    use crate::http::script::{Script, response};
    use domain::fault::Cause;

    fn good() -> Value {
        let target = json!({ "oid": sha("a"), "catalog": blob("apps: {}\n") });
        json!({ "data": { "viewer": { "login": "deploy-bot[bot]" }, "gitops": { "ref": { "target": target } } } })
    }

    /// A good answer without one part, and an error that names the part.
    fn without(pointer: &str) -> Value {
        let mut answer = good();
        *answer.pointer_mut(pointer).unwrap() = Value::Null;
        let path: Vec<&str> = pointer.split('/').skip(2).collect();
        answer["errors"] = json!([error("NOT_FOUND", &path, "Could not resolve to it.")]);
        answer
    }

    #[test]
    fn the_catalog_is_read_alone() {
        let (repo, branch, file, gh) = (repo("acme/gitops"), branch("main"), path("deploy-bot.yaml"), gh());
        let script = Script::new([Ok(ok(&good()))]);
        let of = CatalogPlaces { repo: &repo, branch: &branch, path: &file, places: &[] };
        let (outcome, request) = script.once(catalog(&script, &gh, &of));
        let text = "apps: {}\n".to_owned();
        let file = FileState::File { blob: blob_sha(text.as_bytes()), size: 9, text: Some(text), odd: None };
        let viewer = GitHubLogin::parse("deploy-bot[bot]").unwrap();
        assert_eq!(outcome, Ok(FileAtHead { file, head: sha("a"), included: Vec::new(), viewer }));
        insta::assert_snapshot!(show(&request).split_once("\n\n").unwrap().1, @r#"
        query($owner: String!, $name: String!, $ref: String!, $catalog: String!) {
          viewer { login }
          gitops: repository(owner: $owner, name: $name) {
            ref(qualifiedName: $ref) { target { oid ... on Commit { catalog: file(path: $catalog) { mode object { ... on Blob { oid text isBinary isTruncated byteSize } } } } } }
          }
        }

        {
          "catalog": "deploy-bot.yaml",
          "name": "gitops",
          "owner": "acme",
          "ref": "refs/heads/main"
        }
        "#);
        assert_eq!(read_catalog(&[], &ok(&without("/data/gitops"))), Err(ReadError::NoRepository));
        assert_eq!(read_catalog(&[], &ok(&without("/data/gitops/ref"))), Err(ReadError::NoBranch));
        let nonsense = Cause::Nonsense { part: "our own login".to_owned() };
        let fault = Fault::new(System::GitHub, READ_CATALOG, nonsense);
        let mut nobody = good();
        nobody["data"]["viewer"] = Value::Null;
        assert_eq!(read_catalog(&[], &ok(&nobody)), Err(ReadError::Fault(fault)));
        let fault = Fault::new(System::GitHub, READ_CATALOG, Cause::Unauthorized);
        assert_eq!(read_catalog(&[], &response(401, "")), Err(ReadError::Fault(fault)));
    }

    fn places() -> Vec<IncludePlace> {
        vec![
            IncludePlace::Folder(path("teams")),
            IncludePlace::File(path("ops/base.yaml")),
            IncludePlace::File(path("x.yaml")),
        ]
    }

    fn entry(name: &str, mode: u32, text: &str) -> Value {
        json!({ "name": name, "mode": mode, "oid": blob_sha(text.as_bytes()), "size": text.len(), "object": {} })
    }

    #[test]
    fn what_is_included_is_listed_without_text_and_then_read_by_its_ids() {
        let (repo, gh, places) = (repo("acme/gitops"), gh(), places());
        let entries = [
            entry("a.yaml", 0o100_644, "a"),
            entry("b.yml", 0o100_644, "b"),
            entry("deep.yaml", 0o40_000, "a folder"),
            entry("link.yaml", 0o120_000, "../a"),
        ];
        let folder = json!({ "mode": 0o40_000, "oid": sha("c"), "size": 0, "object": { "entries": entries } });
        let commit = json!({ "include0": folder, "include1": entry("base.yaml", 0o100_755, "base"), "include2": null });
        let answer = json!({ "data": { "gitops": { "object": commit } } });
        let script = Script::new([Ok(ok(&answer))]);
        let (outcome, request) = script.once(included(&script, &gh, &repo, &sha("a"), &places));
        let found = |name: &str, mode: u32, text: &str| {
            (path(name), FoundFile { mode, blob: blob_sha(text.as_bytes()), size: text.len() as u64 })
        };
        let in_folder = vec![found("teams/a.yaml", 0o100_644, "a"), found("teams/link.yaml", 0o120_000, "../a")];
        assert_eq!(outcome, Ok(vec![in_folder, vec![found("ops/base.yaml", 0o100_755, "base")], Vec::new()]));
        insta::assert_snapshot!(show(&request).split_once("\n\n").unwrap().1, @r#"
        query($owner: String!, $name: String!, $head: GitObjectID!, $include0: String!, $include1: String!, $include2: String!) {
          gitops: repository(owner: $owner, name: $name) {
            object(oid: $head) { ... on Commit {
              include0: file(path: $include0) { mode oid size object { ... on Tree { entries { name mode oid size } } } }
              include1: file(path: $include1) { mode oid size object { ... on Tree { entries { name mode oid size } } } }
              include2: file(path: $include2) { mode oid size object { ... on Tree { entries { name mode oid size } } } }
            } }
          }
        }

        {
          "head": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
          "include0": "teams",
          "include1": "ops/base.yaml",
          "include2": "x.yaml",
          "name": "gitops",
          "owner": "acme"
        }
        "#);
        let gone = json!({ "data": { "gitops": { "object": null } } });
        assert!(read_included(&places, &ok(&gone)).is_err());

        let blobs = [blob_sha(b"a"), blob_sha(b"base"), blob_sha(b"more")];
        let object = |text: &str| json!({ "text": text, "isBinary": false, "isTruncated": false });
        let answer = json!({ "data": { "gitops": { "blob0": object("a"), "blob1": object("other"), "blob2": null } } });
        let script = Script::new([Ok(ok(&answer))]);
        let (outcome, request) = script.once(texts(&script, &gh, &repo, &blobs));
        assert_eq!(outcome, Ok(vec![Some("a".to_owned()), None, None]), "another text is not believed");
        insta::assert_snapshot!(show(&request).split_once("\n\n").unwrap().1, @r#"
        query($owner: String!, $name: String!, $blob0: GitObjectID!, $blob1: GitObjectID!, $blob2: GitObjectID!) {
          gitops: repository(owner: $owner, name: $name) {
            blob0: object(oid: $blob0) { ... on Blob { text isBinary isTruncated } }
            blob1: object(oid: $blob1) { ... on Blob { text isBinary isTruncated } }
            blob2: object(oid: $blob2) { ... on Blob { text isBinary isTruncated } }
          }
        }

        {
          "blob0": "2e65efe2a145dda7ee51d1741299f848e5bf752e",
          "blob1": "8681f8b8f32615a16703053bc1eaffb3e5e720a5",
          "blob2": "aa1005acb1e9b69476651938d2affc159bb8b6e6",
          "name": "gitops",
          "owner": "acme"
        }
        "#);
    }

    #[test]
    fn a_raw_blob_is_believed_if_it_hashes_to_its_id() {
        let (repo, gh, bytes) = (repo("acme/gitops"), gh(), b"\xEF\xBB\xBFimage: {}\r\n");
        let blob = blob_sha(bytes);
        let script = Script::new([Ok(response(200, bytes))]);
        let (outcome, request) = script.once(raw_blob(&script, &gh, &repo, &blob));
        assert_eq!(outcome, Ok(bytes.to_vec()));
        assert_eq!(request.max_answer, 1 << 20);
        insta::assert_snapshot!(show(&request), @r"
        GET https://api.github.com/repos/acme/gitops/git/blobs/e6e6298d481a65ad81474dfbf769eb9154940998
        accept: application/vnd.github.raw+json
        authorization: Bearer ghs_secret
        user-agent: deploy-bot
        x-github-api-version: 2022-11-28
        ");
        let fault = |cause| Err(Fault::new(System::GitHub, READ_BLOB, cause));
        let nonsense = Cause::Nonsense { part: "the file's bytes".to_owned() };
        assert_eq!(read_raw_blob(&blob, response(200, &bytes[3..])), fault(nonsense.clone()));
        assert_eq!(read_raw_blob(&blob, response(200, "")), fault(nonsense));
        assert_eq!(read_raw_blob(&blob, response(404, bytes)), fault(Cause::Status { status: 404 }));
    }

    #[test]
    fn hostile_answers_are_survived() {
        hostile(&good(), |response| {
            let places = places();
            let blobs = [blob_sha(b"apps: {}\n")];
            let _ = read_catalog(&places, &response);
            let _ = read_included(&places, &response);
            let _ = read_texts(&blobs, &response);
        });
    }
}
