//! The repositories of GitHub's stand-in as real Git over HTTP: what a real Argo CD fetches.
//!
//! Each request first writes what is new to a bare repository in a folder of its own, then `git http-backend` answers.
//! Commits have the same names here as in the stand-in's API and webhooks.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::io::{self, Write};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use anyhow::Context;
use bytes::Bytes;
use fakes::github::GitHub;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use http::HeaderMap;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::task::{AbortHandle, JoinSet};

use crate::lock;

/// The server. Dropping it ends it.
pub(crate) struct GitServer {
    accepting: AbortHandle,
}

impl Drop for GitServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

struct Repositories {
    github: Arc<Mutex<GitHub>>,
    folder: TempDir,
    /// The commits that are on disk.
    written: Mutex<BTreeSet<String>>,
}

impl GitServer {
    /// Serves every repository as `/<owner>/<name>.git`.
    pub(crate) fn start(listener: TcpListener, github: Arc<Mutex<GitHub>>) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("deploy-bot-git-").tempdir()?;
        let repositories = Arc::new(Repositories { github, folder, written: Mutex::default() });
        let accepting = tokio::spawn(accept(listener, repositories)).abort_handle();
        Ok(Self { accepting })
    }
}

async fn accept(listener: TcpListener, repositories: Arc<Repositories>) {
    // Connections end with this task.
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        while connections.try_join_next().is_some() {}
        let repositories = repositories.clone();
        connections.spawn(async move {
            let service = service_fn(|request| answer(repositories.clone(), request));
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

type Answered = hyper::Response<Full<Bytes>>;

async fn answer(repositories: Arc<Repositories>, request: hyper::Request<Incoming>) -> Result<Answered, Infallible> {
    Ok(repositories.answer(request).await.unwrap_or_else(|error| {
        let mut response = hyper::Response::new(Full::from(format!("{error:#}")));
        *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
        response
    }))
}

impl Repositories {
    async fn answer(&self, request: hyper::Request<Incoming>) -> anyhow::Result<Answered> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let (full_name, service) = read_path(head.uri.path());
        self.write(full_name).with_context(|| format!("{full_name} cannot be written"))?;

        let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let path = format!("/{full_name}.git{service}");
        let mut command = Command::new("git");
        command.arg("http-backend").env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("GIT_PROJECT_ROOT", self.folder.path()).env("GIT_HTTP_EXPORT_ALL", "1");
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("HOME", self.folder.path());
        command.env("REQUEST_METHOD", head.method.as_str()).env("PATH_INFO", path);
        command.env("QUERY_STRING", head.uri.query().unwrap_or_default()).env("REMOTE_ADDR", "127.0.0.1");
        command.env("CONTENT_TYPE", header("content-type")).env("CONTENT_LENGTH", body.len().to_string());
        command.env("HTTP_CONTENT_ENCODING", header("content-encoding")).env("GIT_PROTOCOL", header("git-protocol"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut git = command.spawn().context("git does not run")?;
        let mut stdin = git.stdin.take().context("git has no stdin")?;
        let (written, output) = tokio::join!(
            async move {
                stdin.write_all(&body).await?;
                stdin.shutdown().await
            },
            git.wait_with_output()
        );
        // Git may answer before it has read everything.
        drop(written);
        read_cgi(&output?.stdout)
    }

    /// Brings a repository on disk up to date.
    fn write(&self, full_name: &str) -> anyhow::Result<()> {
        // One at a time, and a branch never before its commits.
        let mut written = lock(&self.written);
        let github = lock(&self.github);
        let folder = self.folder.path().join(format!("{full_name}.git"));
        let Some(branches) = github.branches(full_name) else { return Ok(()) };
        if !folder.exists() {
            std::fs::create_dir_all(folder.join("objects"))?;
            std::fs::create_dir_all(folder.join("refs/heads"))?;
            std::fs::write(folder.join("HEAD"), "ref: refs/heads/main\n")?;
            std::fs::write(
                folder.join("config"),
                "[core]\nrepositoryformatversion = 0\nbare = true\n[uploadpack]\nallowAnySHA1InWant = true\n",
            )?;
        }
        for commit in github.all_commits(full_name) {
            if !written.contains(&commit.sha) {
                for (name, object) in commit.objects() {
                    write_object(&folder, &name, &object)?;
                }
                written.insert(commit.sha.clone());
            }
        }
        // In one step: somebody may be reading them.
        let refs: String = branches.iter().map(|(branch, sha)| format!("{sha} refs/heads/{branch}\n")).collect();
        std::fs::write(folder.join("packed-refs.new"), refs)?;
        std::fs::rename(folder.join("packed-refs.new"), folder.join("packed-refs"))?;
        Ok(())
    }
}

/// The repository and what is asked of it. As at GitHub, `.git` may be left out, and a slash may follow.
fn read_path(path: &str) -> (&str, &str) {
    let end = ["/info/refs", "/git-upload-pack"].iter().find(|end| path.ends_with(**end)).map_or(0, |end| end.len());
    let (repository, service) = path.split_at(path.len().saturating_sub(end));
    let repository = repository.trim_matches('/');
    (repository.strip_suffix(".git").unwrap_or(repository), service)
}

/// Writes a loose object, if it is new.
fn write_object(repository: &Path, name: &str, object: &[u8]) -> io::Result<()> {
    let folder = repository.join("objects").join(&name[..2]);
    let file = folder.join(&name[2..]);
    if file.exists() {
        return Ok(());
    }
    std::fs::create_dir_all(folder)?;
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(object)?;
    std::fs::write(file, encoder.finish()?)
}

/// Headers, an empty line, the body; the status is a header.
fn read_cgi(output: &[u8]) -> anyhow::Result<Answered> {
    let end = output.windows(4).position(|four| four == b"\r\n\r\n").context("git http-backend said nothing")?;
    let (mut status, mut headers) = (200, HeaderMap::new());
    for line in std::str::from_utf8(&output[..end])?.lines() {
        let (name, value) = line.split_once(": ").unwrap_or((line, ""));
        if name.eq_ignore_ascii_case("status") {
            status = value.split(' ').next().unwrap_or_default().parse()?;
        } else {
            headers.insert(http::HeaderName::try_from(name)?, value.parse()?);
        }
    }
    let mut response = hyper::Response::builder().status(status).body(Full::from(output[end + 4..].to_vec()))?;
    *response.headers_mut() = headers;
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn git_fetches_every_commit_by_the_name_that_the_api_gives_it() {
        let mut github = GitHub::new("token", "bot[bot]");
        let first = github.repo("acme/gitops").commit("Begin", &[("a/values.yaml", "x: 1\n"), ("b.txt", "")]).head();
        let github = Arc::new(Mutex::new(github));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/acme/gitops.git", listener.local_addr().unwrap());
        let _server = GitServer::start(listener, github.clone()).unwrap();

        let clone = tempfile::tempdir().unwrap();
        let git = async |arguments: &[&str]| {
            let output = Command::new("git").args(arguments).current_dir(clone.path()).output().await.unwrap();
            assert!(output.status.success(), "{arguments:?}: {output:?}");
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        git(&["clone", "--quiet", &url, "."]).await;
        assert_eq!(git(&["rev-parse", "HEAD"]).await, first);
        assert_eq!(git(&["show", "HEAD:a/values.yaml"]).await, "x: 1");

        let rewritten = lock(&github).person_pushes("acme/gitops", "feature/x", "alice", &[("b.txt", "y")], "Change");
        lock(&github).delete_branch("acme/gitops", "feature/x", "alice");
        // A commit that no branch has any more.
        git(&["fetch", "--quiet", "--depth", "1", "origin", &rewritten]).await;
        assert_eq!(git(&["show", &format!("{rewritten}:b.txt")]).await, "y");
        git(&["fsck", "--strict"]).await;
    }
}
