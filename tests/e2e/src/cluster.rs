//! Tests that say what happens in the cluster. They run on Argo CD's stand-in and, with `ARGOCD=real`, on a real Argo CD with a real
//! Kubernetes API server, whose Pods run on paper (`tests/argocd`).
//!
//! What goes wrong is a cause, never a script: a test says what an app is made of, and what is the matter with an image or a Pod by an
//! annotation or by the image's name (`tests/argocd/paper/rules.go`). What follows is Argo CD's business.

use crate::{Room, limits, quick, run};
use anyhow::{Result, bail, ensure};
use fakes::argocd::{App, Right, Source};
pub use sandbox::chart::{
    annotated, config_map, cron_job, deployment, hook, ingress, load_balancer, rollout, stateful_set, workload,
};
use sandbox::real::RealArgoCd;
use sandbox::{Options, Sandbox, world};
use serde_json::{Value, json};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// How long a Pod takes by itself until it is ready.
const PODS_TAKE: Duration = Duration::from_millis(300);

/// Whether tests of the cluster run on a real Argo CD.
pub fn is_real() -> bool {
    std::env::var("ARGOCD").is_ok_and(|which| which == "real")
}

/// Whether the real Argo CD is 2.14, which does not say what a sync applied.
pub fn is_2_14() -> bool {
    is_real() && sandbox::real::is_2_14()
}

/// Runs a test of the cluster. All tests of a process share one real Argo CD.
pub fn cluster(test: impl AsyncFnOnce(&mut Room) -> Result<()>) {
    cluster_with(Options { limits: Some(limits()), ..Options::default() }, test);
}

/// The same with other options.
pub fn cluster_with(options: Options, test: impl AsyncFnOnce(&mut Room) -> Result<()>) {
    static SHARED: OnceLock<Arc<RealArgoCd>> = OnceLock::new();
    let argocd = is_real().then(|| SHARED.get_or_init(start).clone());
    run(Options { argocd, ..options }, patient(test), true);
}

/// The same on a real Argo CD of the test's own, for tests that end parts of it.
pub fn cluster_alone(options: Options, test: impl AsyncFnOnce(&mut Room) -> Result<()>) {
    run(Options { argocd: is_real().then(start), ..options }, patient(test), true);
}

/// Deadlines pass in these tests, and the real one takes its time.
fn patient(test: impl AsyncFnOnce(&mut Room) -> Result<()>) -> impl AsyncFnOnce(&mut Room) -> Result<()> {
    async |room: &mut Room| {
        room.patience = Duration::from_secs(60);
        test(room).await
    }
}

fn start() -> Arc<RealArgoCd> {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(RealArgoCd::start(PODS_TAKE)).expect("the real Argo CD starts")
}

impl Room {
    /// The manifests name this image, and not that of the catalog.
    pub fn image_is(&self, app: &str, image: &str) {
        if self.real.is_none() {
            self.argocd.lock().app(app).image = image.to_owned();
        }
    }

    /// Carol makes a Helm chart of an app's folder, and Argo CD deploys it. Returns when all is well.
    pub async fn runs(&self, app: &str, manifests: &[String]) -> Result<()> {
        self.is_made_of(app, manifests);
        self.folder_runs(app).await
    }

    /// Argo CD deploys an app's folder as it is. Returns when all is well.
    pub async fn folder_runs(&self, app: &str) -> Result<()> {
        if self.real.is_some() {
            return self.deploys_folder(app).await;
        }
        {
            let mut argocd = self.argocd.lock();
            argocd.pods_take = u64::try_from(PODS_TAKE.as_millis())?;
            argocd.app(app).script = quick();
            argocd.person_syncs(sandbox::now(), app, None).map_err(anyhow::Error::msg)?;
        }
        // What is shown may still be about what ran before: so the controller looks again.
        let is_well = |room: &Sandbox| {
            let mut argocd = room.argocd.lock();
            let succeeded = |application: Value| application["status"]["operationState"]["phase"] == "Succeeded";
            if !succeeded(argocd.application(app)) {
                return None;
            }
            argocd.look(sandbox::now(), app, None);
            (argocd.application(app)["status"]["health"]["status"] == "Healthy").then_some(())
        };
        self.until(&format!("{app} that runs well"), self.patience, is_well).await
    }

    /// The Application object.
    pub async fn application(&self, app: &str) -> Result<Value> {
        match &self.real {
            Some(real) => real.application(&self.application_of(app)).await,
            None => Ok(self.argocd.lock().application(app)),
        }
    }

    /// Waits until the Application object is so.
    pub async fn application_is(&self, app: &str, what: &str, is: impl Fn(&Value) -> bool) -> Result<Value> {
        let begun = Instant::now();
        loop {
            let application = self.application(app).await?;
            if is(&application) {
                return Ok(application);
            }
            if begun.elapsed() > self.patience {
                bail!("{app} is not {what}: {:#}", application["status"]);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// An image with this cause: CI builds it from a branch of that name. The cause is in its tag.
    pub fn has_a_branch(&self, app: &str, cause: &str) -> String {
        self.builds(app, cause, "alice")
    }

    /// Carol adds a line to an app's entry in the catalog.
    pub fn in_the_catalog(&self, app: &str, line: &str) {
        let catalog = String::from_utf8_lossy(&self.file("deploy-bot.yaml")).into_owned();
        let (before, after) = catalog.split_once(&format!("  {app}:\n")).unwrap_or((&catalog, ""));
        let after = after.replacen("allow: anyone\n", &format!("allow: anyone\n    {line}\n"), 1);
        let catalog = format!("{before}  {app}:\n{after}");
        let files = [("deploy-bot.yaml", catalog.as_str())];
        self.github.lock().person_pushes(world::GITOPS, "main", "carol", &files, "Change the catalog");
    }

    /// Somebody writes an operation into the Application, as `kubectl patch` and ApplicationSets do, whatever is under way.
    pub async fn writes_operation(&self, app: &str, operation: Value) -> Result<()> {
        match &self.real {
            Some(real) => real.patch_application(&self.application_of(app), json!({ "operation": operation })).await,
            None => {
                let mut argocd = self.argocd.lock();
                match operation["sync"]["revision"].as_str() {
                    Some(revision) => {
                        argocd.person_syncs(sandbox::now(), app, Some(revision)).map_err(anyhow::Error::msg)?
                    }
                    None => argocd.operation_written(sandbox::now(), app),
                }
                Ok(())
            }
        }
    }

    /// A person terminates the operation under way.
    pub async fn terminates(&self, app: &str) -> Result<()> {
        if let Some(real) = &self.real {
            let path = format!("/api/v1/applications/{}/operation", self.application_of(app));
            real.api("DELETE", &path, None).await?;
            // Argo CD's controller may write over it, as a person would see: then once more.
            for _ in 0..20 {
                tokio::time::sleep(Duration::from_millis(500)).await;
                if self.application(app).await?["operation"].is_null() {
                    return Ok(());
                }
                let _ = real.api("DELETE", &path, None).await;
            }
            bail!("the operation of {app} does not end");
        }
        ensure!(self.argocd.lock().person_terminates(sandbox::now(), app), "nothing is under way");
        Ok(())
    }

    /// A person syncs to what is in Git, and waits for the end of that operation.
    pub async fn person_syncs(&self, app: &str) -> Result<()> {
        if let Some(real) = &self.real {
            let path = format!("/api/v1/applications/{}/sync", self.application_of(app));
            real.api("POST", &path, Some(json!({}))).await?;
        } else {
            self.argocd.lock().person_syncs(sandbox::now(), app, None).map_err(anyhow::Error::msg)?;
        }
        let ended = |application: &Value| {
            application["operation"].is_null() && application["status"]["operationState"]["phase"] == "Succeeded"
        };
        self.application_is(app, "synced", ended).await.map(drop)
    }

    /// A person deletes the application and all of it.
    pub async fn deletes(&self, app: &str) -> Result<()> {
        match &self.real {
            Some(real) => real.remove(&self.application_of(app)).await,
            None => {
                self.argocd.lock().person_deletes(sandbox::now(), app);
                Ok(())
            }
        }
    }

    /// How often a hook's Job has run since the application was made.
    pub async fn hook_runs(&self, app: &str, hook: &str) -> Result<usize> {
        let Some(real) = &self.real else {
            return Ok(usize::try_from(self.argocd.lock().hook_runs(app, hook))?);
        };
        // A Job is deleted before its next run, so its events say how often there was one.
        let path = format!("/api/v1/namespaces/{}/events?limit=500", self.application_of(app));
        let events = real.kube("GET", &path, None).await?;
        let created = |event: &&Value| {
            event["reason"] == "SuccessfulCreate"
                && event["involvedObject"]["kind"] == "Job"
                && event["involvedObject"]["name"] == hook
        };
        Ok(events["items"].as_array().into_iter().flatten().filter(created).count())
    }

    /// A rollback brings the version back that ran before: the deploy that is under way does not stand in its way.
    pub async fn heals(&self, app: &str, tag: &str) -> Result<()> {
        self.alice(&format!("rollback {app}")).await;
        self.is_back(tag).await
    }

    /// Waits until a rollback has brought this version back.
    pub async fn is_back(&self, tag: &str) -> Result<()> {
        let is_back = |room: &Sandbox| {
            let slack = room.slack.lock();
            let back = slack.messages(world::DEPLOYS).iter().map(|message| slack.render(message));
            back.into_iter().find(|text| text.contains("rollback to") && text.contains(&format!("is live: `{tag}`")))
        };
        self.until("rollback that is live", self.patience, is_back).await.map(drop)
    }

    /// Every Pod of the app gets the name of a mirror when it is made.
    pub async fn admission_renames_images(&self, app: &str, mirror: &str) -> Result<()> {
        let Some(real) = &self.real else {
            let host = self.registry.origin().trim_start_matches("http://").to_owned();
            self.argocd.lock().app(app).renames = Some((format!("{host}/acme"), mirror.to_owned()));
            return Ok(());
        };
        let name = self.application_of(app);
        let rename = format!(
            "JSONPatch{{op: \"replace\", path: \"/spec/containers/0/image\", value: \"{mirror}/\" + \
             object.spec.containers[0].image.split(\"/\")[object.spec.containers[0].image.split(\"/\").size() - 1]}}"
        );
        let policy = json!({
            "apiVersion": "admissionregistration.k8s.io/v1beta1", "kind": "MutatingAdmissionPolicy",
            "metadata": { "name": name },
            "spec": {
                "matchConstraints": { "resourceRules": [
                    { "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"] }
                ] },
                "matchConditions": [{ "name": "namespace", "expression": format!("request.namespace == '{name}'") }],
                "failurePolicy": "Fail", "reinvocationPolicy": "Never",
                "mutations": [{ "patchType": "JSONPatch", "jsonPatch": { "expression": format!("[{rename}]") } }],
            },
        });
        let binding = json!({
            "apiVersion": "admissionregistration.k8s.io/v1beta1", "kind": "MutatingAdmissionPolicyBinding",
            "metadata": { "name": name }, "spec": { "policyName": name },
        });
        let path = "/apis/admissionregistration.k8s.io/v1beta1";
        real.kube("POST", &format!("{path}/mutatingadmissionpolicies"), Some(policy)).await?;
        real.kube("POST", &format!("{path}/mutatingadmissionpolicybindings"), Some(binding)).await?;
        Ok(())
    }

    /// The app is in an AppProject that permits only these kinds.
    pub async fn project_permits(&self, app: &str, kinds: Value) -> Result<()> {
        let Some(real) = &self.real else {
            let is_permitted = |kind: &str| {
                let mut all = kinds.as_array().into_iter().flatten();
                all.any(|permitted| permitted["kind"] == kind || permitted["kind"] == "*")
            };
            let known = ["Pod", "ReplicaSet", "Deployment", "StatefulSet", "Job", "Service", "Ingress", "ConfigMap"];
            let hidden = known.into_iter().filter(|kind| !is_permitted(kind));
            self.argocd.lock().app(app).hidden = hidden.map(str::to_owned).collect();
            return Ok(());
        };
        let name = self.application_of(app);
        let project = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", "metadata": { "name": name },
            "spec": {
                "sourceRepos": ["*"], "destinations": [{ "name": "*", "namespace": "*", "server": "*" }],
                "clusterResourceWhitelist": [{ "group": "", "kind": "Namespace" }],
                "namespaceResourceWhitelist": kinds,
            },
        });
        real.kube("POST", "/apis/argoproj.io/v1alpha1/namespaces/argocd/appprojects", Some(project)).await?;
        let entry = format!("argocd: {{ application: {name}");
        let catalog = String::from_utf8_lossy(&self.file("deploy-bot.yaml"))
            .replace(&entry, &format!("argocd: {{ project: {name}, application: {name}"));
        let files = [("deploy-bot.yaml", catalog.as_str())];
        self.github.lock().person_pushes(world::GITOPS, "main", "carol", &files, "Change the catalog");
        Ok(())
    }

    /// Argo CD's stand-in gets an application for a folder; a real one gets it from [`Room::runs`].
    pub fn makes_application(&self, folder: &str) {
        if self.real.is_none() {
            let source = Source::new(&format!("https://github.com/{}", world::GITOPS), "main").at(folder);
            let mut app = App::new(folder, source);
            app.image = format!("{}/acme/checkout", self.registry.origin().trim_start_matches("http://"));
            self.argocd.lock().add(sandbox::now(), app);
        }
    }

    /// The bot's account may do nothing.
    pub async fn takes_rights_away(&self) -> Result<()> {
        self.policy("").await
    }

    /// The bot's account may do again what it may.
    pub async fn gives_rights_back(&self) -> Result<()> {
        let may = |action: &str| format!("p, role:deploybot, applications, {action}, */*, allow\n");
        self.policy(&format!("{}{}g, deploybot, role:deploybot\n", may("get"), may("sync"))).await
    }

    async fn policy(&self, text: &str) -> Result<()> {
        let Some(real) = &self.real else {
            let rights = [Right::Get, Right::Sync].into_iter().filter(|_| !text.is_empty());
            self.argocd.lock().rights = rights.map(|right| (right, "*".to_owned())).collect();
            return Ok(());
        };
        let path = "/api/v1/namespaces/argocd/configmaps/argocd-rbac-cm";
        real.kube("PATCH", path, Some(json!({ "data": { "policy.csv": text } }))).await.map(drop)
    }

    /// One more Argo CD application deploys an app's folder, elsewhere. Returns when all is well.
    pub async fn runs_in_another(&self, application: &str, app: &str) -> Result<()> {
        let Some(real) = &self.real else {
            let source = Source::new(&format!("https://github.com/{}", world::GITOPS), "main").at(app);
            let mut argocd = self.argocd.lock();
            let mut another = App::new(application, source);
            let App { image, beside, .. } = argocd.app(app);
            (another.image, another.beside, another.script) = (image.clone(), beside.clone(), quick());
            argocd.add(sandbox::now(), another);
            return Ok(());
        };
        let url = format!("{}/{}.git", self.git_origin, world::GITOPS);
        real.deploy(&self.application_of(application), "default", &url, app).await
    }

    /// In the catalog an app has these Argo CD applications.
    pub fn applications_are(&self, app: &str, applications: &[&str]) {
        let names: Vec<String> = applications.iter().map(|name| self.application_of(name)).collect();
        let catalog = String::from_utf8_lossy(&self.file("deploy-bot.yaml")).into_owned();
        let (before, entry) = catalog.split_once(&format!("  {app}:\n")).unwrap_or((&catalog, ""));
        let end = entry.lines().position(|line| !line.starts_with("    ")).unwrap_or(usize::MAX);
        let kept = entry.lines().enumerate().filter(|(n, line)| *n >= end || !line.contains("argocd:"));
        let kept: String = kept.map(|(_, line)| format!("{line}\n")).collect();
        let catalog = format!("{before}  {app}:\n{kept}");
        let files = [("deploy-bot.yaml", catalog.as_str())];
        self.github.lock().person_pushes(world::GITOPS, "main", "carol", &files, "Change the catalog");
        self.in_the_catalog(app, &format!("argocd: {{ applications: [{}] }}", names.join(", ")));
    }

    /// An application gets labels.
    pub async fn has_labels(&self, application: &str, labels: Value) -> Result<()> {
        let Some(real) = &self.real else {
            let all = labels.as_object().into_iter().flatten();
            let all = all.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()));
            self.argocd.lock().app(application).labels = all.collect();
            return Ok(());
        };
        real.patch_application(&self.application_of(application), json!({ "metadata": { "labels": labels } })).await
    }

    /// In the catalog an app has the Argo CD applications with these labels.
    pub fn applications_have(&self, app: &str, selector: &str) {
        self.applications_are(app, &[app]);
        let catalog = String::from_utf8_lossy(&self.file("deploy-bot.yaml")).into_owned();
        let named = format!("applications: [{}]", self.application_of(app));
        let catalog = catalog.replacen(&named, &format!("selector: \"{selector}\""), 1);
        let files = [("deploy-bot.yaml", catalog.as_str())];
        self.github.lock().person_pushes(world::GITOPS, "main", "carol", &files, "Change the catalog");
    }

    /// Removes the applications, so that a shared Argo CD does not fill up.
    pub(crate) async fn forget_applications(&self) {
        let Some(real) = &self.real else { return };
        for app in ["checkout", "payments", "checkout-us"] {
            let _ = real.remove(&self.application_of(app)).await;
        }
    }
}
