//! Applications of a chart: what happens to them is what a real Argo CD (v3.2.11) and a real Kubernetes did with the same files, in their
//! words.

use std::collections::BTreeMap;

use super::*;

mod causes;
mod hooks;
mod installation;

/// A repository whose commits have any files.
#[derive(Clone, Default)]
struct Store(Arc<Mutex<Vec<Commit>>>);

type Commit = (String, BTreeMap<String, String>);

impl Git for Store {
    fn head(&self, _: &str, revision: &str) -> Option<String> {
        let known = matches!(revision, "main" | "HEAD");
        self.0.lock().unwrap().last().filter(|_| known).map(|(sha, _)| sha.clone())
    }

    fn file(&self, _: &str, sha: &str, path: &str) -> Option<Vec<u8>> {
        let commits = self.0.lock().unwrap();
        let (_, files) = commits.iter().find(|(known, _)| known == sha)?;
        files.get(path).map(|text| text.clone().into_bytes())
    }

    fn files(&self, _: &str, sha: &str, folder: &str) -> Vec<String> {
        let commits = self.0.lock().unwrap();
        let files = commits.iter().find(|(known, _)| known == sha).map(|(_, files)| files.keys().cloned());
        let start = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        files.into_iter().flatten().filter(|path| path.starts_with(&start)).collect()
    }
}

/// An installation with one application, of the chart in `apps/checkout`.
struct Bench {
    argocd: ArgoCd,
    store: Store,
    now: Millis,
}

const CHART: &str = "apiVersion: v2\nname: checkout\nversion: 1.0.0\n";
const IMAGE: &str = "ghcr.io/acme/checkout";

impl Bench {
    /// The application runs what these templates say.
    fn new(templates: &[(&str, &str)]) -> Self {
        Self::with(templates, |_| {})
    }

    fn with(templates: &[(&str, &str)], what: impl Fn(&mut App)) -> Self {
        let mut bench = Self::empty(templates);
        let mut app = checkout();
        what(&mut app);
        bench.argocd.add(NOW, app);
        bench
    }

    /// The application was never synced.
    fn undeployed(templates: &[(&str, &str)]) -> Self {
        let mut bench = Self::empty(templates);
        bench.argocd.add_undeployed(NOW, checkout());
        bench
    }

    fn empty(templates: &[(&str, &str)]) -> Self {
        let store = Store::default();
        let argocd = ArgoCd::new(Box::new(store.clone()), TOKEN);
        let mut bench = Self { argocd, store, now: NOW };
        bench
            .commit_files(&[("apps/checkout/Chart.yaml", CHART), ("apps/checkout/values.yaml", "image: {tag: one}\n")]);
        bench.commit(templates);
        bench
    }

    fn commit_files(&mut self, files: &[(&str, &str)]) -> String {
        let mut commits = self.store.0.lock().unwrap();
        let mut all = commits.last().map(|(_, files)| files.clone()).unwrap_or_default();
        for (path, text) in files {
            all.insert((*path).to_owned(), (*text).to_owned());
            // An empty text removes the file.
            all.retain(|_, text| !text.is_empty());
        }
        let sha = format!("{:040x}", commits.len() + 0xa0);
        commits.push((sha.clone(), all));
        sha
    }

    fn commit(&mut self, templates: &[(&str, &str)]) -> String {
        let paths = templates.iter().map(|(name, _)| format!("apps/checkout/templates/{name}.yaml"));
        let files: Vec<(String, &str)> = paths.zip(templates.iter().map(|(_, text)| *text)).collect();
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), *text)).collect();
        self.commit_files(&files)
    }

    fn set_tag(&mut self, tag: &str) -> String {
        self.commit_files(&[("apps/checkout/values.yaml", &format!("image: {{tag: {tag}}}\n"))])
    }

    fn sync(&mut self, sha: &str) {
        self.sync_with(sha, json!({}));
    }

    fn sync_with(&mut self, sha: &str, more: Value) {
        let mut body = json!({"revision": sha});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(outcome(sync(&mut self.argocd, self.now, &body)), "200");
    }

    /// Commits another tag, and syncs it.
    fn deploy(&mut self, tag: &str) {
        let sha = self.set_tag(tag);
        self.sync(&sha);
    }

    fn app(&self) -> Value {
        self.argocd.application("checkout")
    }

    fn get(&mut self, path: &str) -> Value {
        let request = get(&format!("/api/v1/applications/checkout{path}"));
        whole(&mut self.argocd, self.now, &request).1
    }

    /// The nodes of one kind, the name's random letters left out: health and `Status Reason`.
    fn nodes(&mut self, kind: &str) -> Vec<String> {
        let tree = self.get("/resource-tree?project=default");
        let nodes = tree["nodes"].as_array().unwrap().iter().filter(|node| node["kind"] == kind);
        nodes.map(line_of).collect()
    }

    fn pods(&mut self) -> String {
        self.nodes("Pod").join("\n")
    }

    /// What there is to see within a time, a line for each change: the operation, its results, the application, its resources.
    fn story(&mut self, time: Millis) -> String {
        let from = self.now;
        let mut lines = Vec::new();
        let mut last: Vec<String> = Vec::new();
        while self.now <= from + time {
            self.argocd.tick(self.now);
            let seen = facts(&self.app());
            for fact in &seen {
                if !last.contains(fact) {
                    lines.push(format!("{:>6} {fact}", self.now - NOW));
                }
            }
            last = seen;
            self.now += 50;
        }
        lines.join("\n")
    }

    fn pass(&mut self, time: Millis) {
        let until = self.now + time;
        while self.now < until {
            self.argocd.tick(self.now);
            self.now += 50;
        }
        self.argocd.tick(self.now);
    }

    fn health(&self) -> String {
        text(&self.app()["status"]["health"]["status"])
    }

    /// The health of one resource: status and message.
    fn resource(&self, name: &str) -> String {
        let app = self.app();
        let resources = app["status"]["resources"].as_array().unwrap();
        let found = resources.iter().find(|resource| resource["name"] == name).expect("the resource");
        format!("{} {} {}", text(&found["status"]), text(&found["health"]["status"]), text(&found["health"]["message"]))
    }

    fn operation(&self) -> String {
        let state = &self.app()["status"]["operationState"];
        format!("{} {}", text(&state["phase"]), text(&state["message"]))
    }

    fn images(&self) -> Vec<String> {
        let app = self.app();
        let images = app["status"]["summary"]["images"].as_array().cloned().unwrap_or_default();
        images.iter().map(|image| text(image).rsplit(['/', ':']).next().unwrap().to_owned()).collect()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("-").to_owned()
}

/// `Running 1/1 Healthy`, and what is said about it.
fn line_of(node: &Value) -> String {
    let info = node["info"].as_array().cloned().unwrap_or_default();
    let of =
        |name: &str| info.iter().find(|info| info["name"] == name).map_or("-".to_owned(), |info| text(&info["value"]));
    let restarts = of("Restart Count");
    let restarts = if restarts == "-" { String::new() } else { format!(" restarted {restarts}") };
    let message = text(&node["health"]["message"]);
    let message = if message == "-" { String::new() } else { format!(": {message}") };
    let image = text(&node["images"][0]);
    let image = image.rsplit(':').next().unwrap();
    format!(
        "{image} {} {}{restarts} {}{message}",
        of("Status Reason"),
        of("Containers"),
        text(&node["health"]["status"])
    )
}

fn facts(app: &Value) -> Vec<String> {
    let (status, state) = (&app["status"], &app["status"]["operationState"]);
    let seconds = |value: &Value| value.as_str().map_or("-".to_owned(), |time| time[17..19].to_owned());
    let running = if app.get("operation").is_some() { "operation" } else { "no operation" };
    let mut facts = vec![format!(
        "{running}: {} {} finished {}",
        text(&state["phase"]),
        text(&state["message"]),
        seconds(&state["finishedAt"])
    )];
    for result in state["syncResult"]["resources"].as_array().into_iter().flatten() {
        facts.push(format!(
            "  result {}/{} {} {} {} {}: {}",
            text(&result["kind"]),
            text(&result["name"]),
            text(&result["syncPhase"]),
            text(&result["status"]),
            text(&result["hookType"]),
            text(&result["hookPhase"]),
            text(&result["message"])
        ));
    }
    facts.push(format!(
        "{} {} reconciled {} {}",
        text(&status["sync"]["status"]),
        text(&status["health"]["status"]),
        seconds(&status["reconciledAt"]),
        status["summary"]["images"]
    ));
    for resource in status["resources"].as_array().into_iter().flatten() {
        let of = |name: &str| if resource[name] == true { format!(" {name}") } else { String::new() };
        let message = text(&resource["health"]["message"]);
        facts.push(format!(
            "  {}/{} {} {}{}{}{}",
            text(&resource["kind"]),
            text(&resource["name"]),
            text(&resource["status"]),
            text(&resource["health"]["status"]),
            if message == "-" { String::new() } else { format!(": {message}") },
            of("hook"),
            of("requiresPruning")
        ));
    }
    facts
}

/// A Deployment, StatefulSet, DaemonSet or Rollout of one container, which has the values' tag.
fn workload(kind: &str, name: &str, spec: &str, annotations: &str) -> String {
    let api = if kind == "Rollout" { "argoproj.io/v1alpha1" } else { "apps/v1" };
    format!(
        "apiVersion: {api}\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:\n  selector: {{matchLabels: {{app: {name}}}}}\n{spec}\
         \n  template:\n    metadata: {{labels: {{app: {name}}}, annotations: {{{annotations}}}}}\
         \n    spec:\n      containers: [{{name: app, image: \"{IMAGE}:{{{{ .Values.image.tag }}}}\"}}]\n"
    )
}

/// A Job; of an image of its own, so that only what is meant is changed by another tag.
fn job(name: &str, hook: &str, image: &str, spec: &str) -> String {
    let hook =
        if hook.is_empty() { String::new() } else { format!(", annotations: {{argocd.argoproj.io/hook: {hook}}}") };
    format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: {name}{hook}}}\nspec:\n{spec}\
         \n  template:\n    spec: {{restartPolicy: Never, containers: [{{name: app, image: \"ghcr.io/acme/tools:{image}\"}}]}}\n"
    )
}

fn deployment(replicas: u32, annotations: &str) -> String {
    workload("Deployment", "checkout", &format!("  replicas: {replicas}"), annotations)
}

const ONCE: &str = "  backoffLimit: 0";
const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: checkout}\nspec: {ports: [{port: 80}]}\n";
const SETTINGS: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {a: b}\n";

#[test]
fn a_deployment_goes_live_by_its_pods() {
    let mut bench = Bench::new(&[("a", &deployment(2, "")), ("b", SERVICE)]);
    bench.pass(1000);
    bench.deploy("two");
    insta::assert_snapshot!(bench.story(5000), @r#"
    1000 operation: - - finished -
    1000 Synced Healthy reconciled 20 ["ghcr.io/acme/checkout:one"]
    1000   Service/checkout Synced Healthy
    1000   Deployment/checkout Synced Healthy
    1100 operation: Running - finished -
    1200 no operation: Succeeded successfully synced (all tasks run) finished 21
    1200   result Service/checkout Sync Synced - Running: service/checkout unchanged
    1200   result Deployment/checkout Sync Synced - Running: deployment.apps/checkout configured
    1200   Deployment/checkout Synced Progressing: Waiting for rollout to finish: 1 out of 2 new replicas have been updated...
    1350 Synced Progressing reconciled 21 ["ghcr.io/acme/checkout:one","ghcr.io/acme/checkout:two"]
    2200   Deployment/checkout Synced Progressing: Waiting for rollout to finish: 1 old replicas are pending termination...
    3200   Deployment/checkout Synced Healthy
    3350 Synced Healthy reconciled 21 ["ghcr.io/acme/checkout:one","ghcr.io/acme/checkout:two"]
    4350 Synced Healthy reconciled 21 ["ghcr.io/acme/checkout:two"]
    "#);
    assert_eq!(bench.pods(), "two Running 1/1 Healthy\ntwo Running 1/1 Healthy");
    assert_eq!(bench.argocd.live_tag("checkout"), Some("two"));
    assert!(bench.argocd.ran_well("checkout", "two"));
}

#[test]
fn what_was_never_synced_is_missing() {
    let mut bench = Bench::undeployed(&[("a", &deployment(1, "")), ("b", SERVICE), ("c", SETTINGS)]);
    let sha = bench.store.head(REPO, "main").unwrap();
    bench.pass(1000);
    bench.sync(&sha);
    insta::assert_snapshot!(bench.story(3000), @r#"
    1000 operation: - - finished -
    1000 OutOfSync Missing reconciled 20 []
    1000   ConfigMap/settings OutOfSync Missing
    1000   Service/checkout OutOfSync Missing
    1000   Deployment/checkout OutOfSync Missing
    1100 operation: Running - finished -
    1200 no operation: Succeeded successfully synced (all tasks run) finished 21
    1200   result ConfigMap/settings Sync Synced - Running: configmap/settings created
    1200   result Service/checkout Sync Synced - Running: service/checkout created
    1200   result Deployment/checkout Sync Synced - Running: deployment.apps/checkout created
    1200   ConfigMap/settings OutOfSync -
    1200   Service/checkout OutOfSync Healthy
    1200   Deployment/checkout OutOfSync Progressing: Waiting for rollout to finish: 0 of 1 updated replicas are available...
    1350 Synced Progressing reconciled 21 ["ghcr.io/acme/checkout:one"]
    1350   ConfigMap/settings Synced -
    1350   Service/checkout Synced Healthy
    1350   Deployment/checkout Synced Progressing: Waiting for rollout to finish: 0 of 1 updated replicas are available...
    2200   Deployment/checkout Synced Healthy
    2350 Synced Healthy reconciled 21 ["ghcr.io/acme/checkout:one"]
    "#);
}

#[test]
fn an_application_without_a_chart_goes_by_its_script() {
    let (mut argocd, repository) = installation();
    let sha = repository.commit("main-0000002");
    assert_eq!(outcome(sync(&mut argocd, NOW, &json!({"revision": sha}))), "200");
    argocd.tick(NOW + 5000);
    assert_eq!(argocd.application("checkout")["status"]["resources"].as_array().unwrap().len(), 2);
    assert_eq!(argocd.hook_runs("checkout", "migrate"), 0);
}
