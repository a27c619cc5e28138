//! Helm charts for the apps in the sandbox, as Argo CD's stand-in and a real Argo CD understand them. What is the matter with an image or a Pod
//! is said by an annotation or by the image's name: see `tests/argocd/paper/rules.go`.

use anyhow::Context;

use crate::{Sandbox, world};

/// What the values file of an app says of its image, in a template.
const IMAGE: &str = "\"{{ .Values.image.repository }}:{{ .Values.image.tag }}\"";

/// A workload of the apps API with the app's image. `more` goes into its `spec`, `pod` into its Pod template.
pub fn workload(kind: &str, name: &str, replicas: &str, more: &str, pod: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: {kind}\nmetadata: {{ name: {name} }}\nspec:\n{replicas}{more}  selector: {{ matchLabels: {{ app: {name} }} }}\n  \
         template:\n    metadata:\n      labels: {{ app: {name} }}\n{pod}    spec:\n      containers:\n        - name: {name}\n          image: {IMAGE}\n"
    )
}

/// A Deployment with as many replicas as the values file says.
pub fn deployment(name: &str) -> String {
    workload("Deployment", name, "  replicas: {{ .Values.replicaCount }}\n", "", "")
}

/// A StatefulSet with one replica. Of an ordered one, Kubernetes never replaces a Pod that did not get ready.
pub fn stateful_set(name: &str) -> String {
    let more = format!("  serviceName: {name}\n  podManagementPolicy: Parallel\n");
    workload("StatefulSet", name, "  replicas: 1\n", &more, "")
}

/// A CronJob that does not run in the time of a test.
pub fn cron_job(name: &str) -> String {
    format!(
        "apiVersion: batch/v1\nkind: CronJob\nmetadata: {{ name: {name} }}\nspec:\n  schedule: \"0 0 1 1 *\"\n  jobTemplate:\n    spec:\n      \
         template:\n        spec:\n          restartPolicy: Never\n          containers:\n            - {{ name: {name}, image: {IMAGE} }}\n"
    )
}

/// A Job as a hook, with the app's image and this annotation of its Pods (`cause: crash`, `cause: hang`, `takes: 1s`).
pub fn hook(kind: &str, name: &str, paper: &str) -> String {
    let paper = if paper.is_empty() { String::new() } else { format!("      annotations: {{ paper/{paper} }}\n") };
    format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: {name}\n  annotations:\n    argocd.argoproj.io/hook: {kind}\n    \
         argocd.argoproj.io/hook-delete-policy: BeforeHookCreation\nspec:\n  backoffLimit: 0\n  template:\n    metadata:\n      labels: {{ job: {name} }}\n{paper}    \
         spec:\n      restartPolicy: Never\n      containers:\n        - {{ name: {name}, image: {IMAGE} }}\n"
    )
}

/// A canary Rollout with these steps, and one replica.
pub fn rollout(name: &str, steps: &str) -> String {
    let strategy = format!("  strategy: {{ canary: {{ steps: [{steps}] }} }}\n");
    workload("Rollout", name, "  replicas: 2\n", &strategy, "").replacen("apps/v1", "argoproj.io/v1alpha1", 1)
}

/// An Ingress, which never gets an address here.
pub fn ingress(name: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{ name: {name} }}\nspec:\n  defaultBackend:\n    service: {{ name: {name}, port: {{ number: 80 }} }}\n"
    )
}

/// A Service that asks for an address from outside, which nobody gives it here.
pub fn load_balancer(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{ name: {name} }}\nspec:\n  type: LoadBalancer\n  selector: {{ app: {name} }}\n  ports: [{{ port: 80 }}]\n"
    )
}

/// A ConfigMap.
pub fn config_map(name: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: {name} }}\ndata: {{ greeting: hello }}\n")
}

/// The manifest with an annotation of the object itself, such as `argocd.argoproj.io/sync-wave: "1"`.
pub fn annotated(manifest: &str, annotation: &str) -> String {
    manifest.replacen(" }\n", &format!(", annotations: {{ {annotation} }} }}\n"), 1)
}

impl Sandbox {
    /// The name of an app's Argo CD application.
    pub fn application_of(&self, app: &str) -> String {
        format!("{app}{}", self.suffix)
    }

    /// Carol makes a Helm chart of an app's folder; nothing is synced.
    pub fn is_made_of(&self, app: &str, manifests: &[String]) {
        let mut files = vec![(format!("{app}/Chart.yaml"), format!("apiVersion: v2\nname: {app}\nversion: 0.1.0\n"))];
        let template = |(n, text): (usize, &String)| (format!("{app}/templates/{n}.yaml"), text.clone());
        files.extend(manifests.iter().enumerate().map(template));
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        self.github.lock().person_pushes(world::GITOPS, "main", "carol", &files, "Make a chart of it");
    }

    /// The same, and the real Argo CD gets an application for it. Returns when all is well.
    pub async fn deploys_chart(&self, app: &str, manifests: &[String]) -> anyhow::Result<()> {
        self.is_made_of(app, manifests);
        self.deploys_folder(app).await
    }

    /// The real Argo CD gets an application for an app's folder as it is. Returns when all is well.
    pub async fn deploys_folder(&self, app: &str) -> anyhow::Result<()> {
        let real = self.real.as_ref().context("there is no real Argo CD")?;
        let name = self.application_of(app);
        let url = format!("{}/{}.git", self.git_origin, world::GITOPS);
        let catalog = self.github.lock().file_at(world::GITOPS, "main", "deploy-bot.yaml").unwrap_or_default();
        let in_project = String::from_utf8_lossy(&catalog).contains(&format!("project: {name}"));
        real.deploy(&name, if in_project { &name } else { "default" }, &url, app).await
    }
}
