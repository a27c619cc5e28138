//! Files of the GitOps repository.
//!
//! The text of a file is only believed if it hashes to the blob's id: GitHub gives text, and not every file
//! survives that.

use super::answer::{
    Part, ReadError, flag, login, nonsense, nullable, qualified, read_data, read_head, status_cause, text,
};
use super::api::{GitHub, graphql, rest, send};
use crate::http::{Http, Request, Response, StatusCode};
use domain::fault::{Fault, System};
use domain::names::{BlobSha, BranchName, FilePath, GitHubLogin, RepoName, UrlOrigin};
use domain::values::{OddFile, blob_sha};
use serde_json::{Value, json};

const READ_CATALOG: &str = "read the catalog";
const READ_BLOB: &str = "read the values file";
/// Two files as JSON text and up to a hundred commits.
pub(super) const MAX_ANSWER: usize = 4 << 20;

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
    /// Our own login.
    pub viewer: GitHubLogin,
}

/// Builds the query for the catalog alone: whose command is it, while nothing is known yet.
pub fn catalog_request(api: &UrlOrigin, repo: &RepoName, branch: &BranchName, path: &FilePath) -> Request {
    let query = format!(
        "query($owner: String!, $name: String!, $ref: String!, $catalog: String!) {{
  viewer {{ login }}
  gitops: repository(owner: $owner, name: $name) {{
    ref(qualifiedName: $ref) {{ target {{ oid ... on Commit {{ catalog: file(path: $catalog) {{ {FILE} }} }} }} }}
  }}
}}"
    );
    let (owner, name) = (repo.owner(), repo.name());
    let variables = json!({ "owner": owner, "name": name, "ref": qualified(branch), "catalog": path.as_str() });
    graphql(api, &query, &variables).max_answer(MAX_ANSWER)
}

pub fn read_catalog(response: &Response) -> Result<FileAtHead, ReadError> {
    let data = read_data(response, READ_CATALOG)?;
    let (_, head) = read_head(&data, "gitops", READ_CATALOG)?;
    let file = read_file(head, "catalog").map_err(|part| nonsense(READ_CATALOG, part))?;
    let viewer = login(&data, "/viewer/login").ok_or_else(|| nonsense(READ_CATALOG, "our own login"))?;
    Ok(FileAtHead { file, viewer })
}

/// Reads the catalog alone.
pub async fn catalog(
    http: &impl Http,
    gh: &GitHub,
    repo: &RepoName,
    branch: &BranchName,
    path: &FilePath,
) -> Result<FileAtHead, ReadError> {
    read_catalog(&send(http, gh, catalog_request(&gh.url, repo, branch, path), READ_CATALOG).await?)
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
        let (outcome, request) = script.once(catalog(&script, &gh, &repo, &branch, &file));
        let text = "apps: {}\n".to_owned();
        let file = FileState::File { blob: blob_sha(text.as_bytes()), size: 9, text: Some(text), odd: None };
        let viewer = GitHubLogin::parse("deploy-bot[bot]").unwrap();
        assert_eq!(outcome, Ok(FileAtHead { file, viewer }));
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
        assert_eq!(read_catalog(&ok(&without("/data/gitops"))), Err(ReadError::NoRepository));
        assert_eq!(read_catalog(&ok(&without("/data/gitops/ref"))), Err(ReadError::NoBranch));
        let nonsense = Cause::Nonsense { part: "our own login".to_owned() };
        let fault = Fault::new(System::GitHub, READ_CATALOG, nonsense);
        let mut nobody = good();
        nobody["data"]["viewer"] = Value::Null;
        assert_eq!(read_catalog(&ok(&nobody)), Err(ReadError::Fault(fault)));
        let fault = Fault::new(System::GitHub, READ_CATALOG, Cause::Unauthorized);
        assert_eq!(read_catalog(&response(401, "")), Err(ReadError::Fault(fault)));
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
            let _ = read_catalog(&response);
        });
    }
}
