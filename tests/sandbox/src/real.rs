//! A real Argo CD with its Kubernetes: the program that `tests/argocd/build` makes, as a process of its own.
//!
//! Easy to miss: it ends by itself when its stdin closes, so with this process, however this one ends.

use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::bot::exchange;
use crate::lock;

/// The running processes. Dropping it ends them.
pub struct RealArgoCd {
    /// Its API server.
    pub address: SocketAddr,
    /// The token of the bot's account, which may get and sync everything.
    pub token: String,
    /// What webhooks are signed with.
    pub webhook_secret: String,
    /// The name of the cluster that applications are deployed to.
    pub cluster: String,
    /// How long it took until everything answered.
    pub took: Duration,
    admin_token: String,
    process: Mutex<Process>,
}

impl fmt::Debug for RealArgoCd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RealArgoCd").field("address", &self.address).finish_non_exhaustive()
    }
}

struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl RealArgoCd {
    /// Starts everything, which takes some ten seconds. `pods_take`: how long a Pod usually takes until it is ready.
    pub async fn start(pods_take: Duration) -> anyhow::Result<Arc<Self>> {
        let program = program()?;
        let started = tokio::task::spawn_blocking(move || spawn(&program, pods_take)).await?;
        Ok(Arc::new(started?))
    }

    /// Ends a part at once: `server`, `application-controller`, `repo-server`, `redis`, `kube-apiserver`.
    pub async fn kill(self: &Arc<Self>, part: &str) -> anyhow::Result<()> {
        self.tell(json!({"kill": part})).await.map(drop)
    }

    /// Starts it again on its port; returns when it is ready.
    pub async fn restart(self: &Arc<Self>, part: &str) -> anyhow::Result<()> {
        self.tell(json!({"start": part})).await.map(drop)
    }

    /// Asks kube-apiserver as a cluster admin. What it refuses is an error.
    pub async fn kube(self: &Arc<Self>, method: &str, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let mut question = json!({"method": method, "path": path, "type": kind});
        if let Some(body) = body {
            question["body"] = body;
        }
        let answer = self.tell(json!({"kube": question})).await?;
        let status = answer["status"].as_u64().unwrap_or_default();
        ensure!((200..300).contains(&status), "{method} {path}: {status} {}", answer["body"]);
        Ok(answer["body"].clone())
    }

    /// The Application object as kube-apiserver has it.
    pub async fn application(self: &Arc<Self>, name: &str) -> anyhow::Result<Value> {
        self.kube("GET", &application_path(name), None).await
    }

    /// Changes an Application as `kubectl patch --type merge` does.
    pub async fn patch_application(self: &Arc<Self>, name: &str, patch: Value) -> anyhow::Result<()> {
        self.kube("PATCH", &application_path(name), Some(patch)).await.map(drop)
    }

    /// Asks Argo CD as its admin.
    pub async fn api(&self, method: &str, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        let request = http::Request::builder().method(method).uri(path);
        let request = request.header("authorization", format!("Bearer {}", self.admin_token));
        let request = request.header("content-type", "application/json");
        let request = request.body(body.map(|body| body.to_string().into_bytes()).unwrap_or_default())?;
        let (status, text) = timeout(Duration::from_secs(60), exchange(self.address, request)).await??;
        ensure!(status == 200, "{method} {path}: {status} {text}");
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }

    /// Makes an application of a folder of a repository, and waits until it runs.
    pub async fn deploy(
        self: &Arc<Self>,
        name: &str,
        project: &str,
        repo_url: &str,
        folder: &str,
    ) -> anyhow::Result<()> {
        self.create(name, project, repo_url, folder).await?;
        self.sync_and_wait(name).await
    }

    /// Makes an application of a folder of a repository, which nobody has synced yet.
    pub async fn create(&self, name: &str, project: &str, repo_url: &str, folder: &str) -> anyhow::Result<()> {
        let application = json!({
            "metadata": {"name": name},
            "spec": {
                "project": project,
                "source": {"repoURL": repo_url, "targetRevision": "main", "path": folder},
                "destination": {"name": self.cluster, "namespace": name},
                "syncPolicy": {"syncOptions": ["CreateNamespace=true"]},
            },
        });
        let until = Instant::now() + Duration::from_secs(10);
        // Argo CD may not have seen a new project yet.
        while let Err(error) = self.api("POST", "/api/v1/applications", Some(application.clone())).await {
            ensure!(Instant::now() < until, error);
            sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// A person syncs to what is in Git, and waits until all is well.
    pub async fn sync_and_wait(self: &Arc<Self>, name: &str) -> anyhow::Result<()> {
        let path = format!("/api/v1/applications/{name}/sync");
        self.api("POST", &path, Some(json!({"prune": true}))).await?;
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let seen = self.application(name).await?;
            let status = &seen["status"];
            let (phase, health) = (&status["operationState"]["phase"], &status["health"]["status"]);
            let busy = seen["operation"].is_object();
            if !busy && phase == "Succeeded" && health == "Healthy" && status["sync"]["status"] == "Synced" {
                return Ok(());
            }
            if Instant::now() > until || (!busy && phase == "Failed") {
                bail!("{name} is not well: {status:#}");
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Removes an application and everything of it, without waiting for that.
    pub async fn remove(&self, name: &str) -> anyhow::Result<()> {
        self.api("DELETE", &format!("/api/v1/applications/{name}?cascade=true"), None).await.map(drop)
    }

    async fn tell(self: &Arc<Self>, command: Value) -> anyhow::Result<Value> {
        let this = self.clone();
        tokio::task::spawn_blocking(move || {
            let mut process = lock(&this.process);
            let stdin = process.stdin.as_mut().context("it is ending")?;
            writeln!(stdin, "{command}")?;
            stdin.flush()?;
            let answer = read_line(&mut process.stdout)?;
            ensure!(answer["error"].is_null(), "{command}: {}", answer["error"]);
            Ok(answer)
        })
        .await?
    }
}

impl Drop for RealArgoCd {
    fn drop(&mut self) {
        let mut process = lock(&self.process);
        process.stdin.take();
        let _ = process.child.wait();
    }
}

fn application_path(name: &str) -> String {
    format!("/apis/argoproj.io/v1alpha1/namespaces/argocd/applications/{name}")
}

/// `ARGOCD_VERSION=2`: Argo CD 2.14 instead of 3.2.
pub fn is_2_14() -> bool {
    std::env::var("ARGOCD_VERSION").is_ok_and(|version| version == "2")
}

/// `REAL_ARGOCD` names the folder that `tests/argocd/build` has built into; without it that is one in the user's cache.
fn program() -> anyhow::Result<PathBuf> {
    let cache = || {
        let home = std::env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
        Some(home.join("deploy-bot/argocd"))
    };
    let folder = std::env::var_os("REAL_ARGOCD").map(PathBuf::from).or_else(cache).unwrap_or_default();
    let program = folder.join("real-argocd");
    ensure!(
        program.exists(),
        "there is no {}: build it with `tests/argocd/build {}`",
        program.display(),
        folder.display()
    );
    Ok(program)
}

fn spawn(program: &PathBuf, pods_take: Duration) -> anyhow::Result<RealArgoCd> {
    let mut command = Command::new(program);
    command.args(["up", "--takes", &format!("{}ms", pods_take.as_millis())]);
    if is_2_14() {
        command.args(["--argocd", "v2"]);
    }
    if let Some(logs) = std::env::var_os("REAL_ARGOCD_LOGS") {
        command.arg("--logs").arg(logs);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().with_context(|| format!("{} does not run", program.display()))?;
    let stdin = child.stdin.take();
    let mut stdout = BufReader::new(child.stdout.take().context("it has no stdout")?);
    let ready = read_line(&mut stdout)?;
    let text = |name: &str| ready[name].as_str().unwrap_or_default().to_owned();
    Ok(RealArgoCd {
        address: text("url").trim_start_matches("http://").parse().context("where Argo CD listens")?,
        token: text("token"),
        webhook_secret: text("webhook_secret"),
        cluster: text("cluster"),
        took: Duration::from_secs_f64(ready["seconds"].as_f64().unwrap_or_default()),
        admin_token: text("admin_token"),
        process: Mutex::new(Process { child, stdin, stdout }),
    })
}

fn read_line(from: &mut impl BufRead) -> anyhow::Result<Value> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    serde_json::from_str(&line).context("the real Argo CD has ended")
}
