//! What people change around a deploy, on Argo CD's stand-in and on a real one: how the Application is set up, its project, and what it
//! has in the cluster.

use crate::Room;
use anyhow::{Context, Result};
use fakes::argocd::{App, Layout, Source, Window};
use sandbox::world::GITOPS;
use serde_json::{Value, json};

/// The repository beside the GitOps repository.
const CHARTS: &str = "acme/charts";

// ---- How the Application is set up ----

impl Room {
    /// Somebody changes the Application's spec. `on_stand_in` does the same to the stand-in.
    async fn sets_up(&self, app: &str, spec: Value, on_stand_in: impl FnOnce(&mut App)) -> Result<()> {
        match &self.real {
            Some(real) => real.patch_application(&self.application_of(app), json!({ "spec": spec })).await,
            None => {
                self.stand_in_sees(app, on_stand_in);
                Ok(())
            }
        }
    }

    /// The stand-in's controller sees a change of the Application.
    fn stand_in_sees(&self, app: &str, change: impl FnOnce(&mut App)) {
        let mut argocd = self.argocd.lock();
        change(argocd.app(app));
        argocd.look(sandbox::now(), app, None);
    }

    /// `syncPolicy.retry`.
    pub async fn retries(&self, app: &str, retry: Value) -> Result<()> {
        self.sets_up(app, json!({ "syncPolicy": { "retry": retry } }), |app| app.retry = retry.clone()).await
    }

    /// `syncPolicy.automated`.
    pub async fn syncs_by_itself(&self, app: &str, on: bool) -> Result<()> {
        let automated = if on { json!({}) } else { Value::Null };
        self.sets_up(app, json!({ "syncPolicy": { "automated": automated } }), |app| app.automated = on).await
    }

    /// More sync options. The stand-in knows none of them.
    pub async fn has_sync_options(&self, app: &str, options: &[&str]) -> Result<()> {
        let all: Vec<&str> = ["CreateNamespace=true"].iter().chain(options).copied().collect();
        self.sets_up(app, json!({ "syncPolicy": { "syncOptions": all } }), |_| ()).await
    }

    /// `ignoreDifferences`, for syncs, too.
    pub async fn ignores(&self, app: &str, kind: &str, pointer: &str) -> Result<()> {
        let ignored = json!([{ "group": "apps", "kind": kind, "jsonPointers": [pointer] }]);
        let options = ["CreateNamespace=true", "RespectIgnoreDifferences=true"];
        let spec = json!({ "ignoreDifferences": ignored, "syncPolicy": { "syncOptions": options } });
        self.sets_up(app, spec, |app| app.ignores.push((kind.to_owned(), pointer.to_owned()))).await
    }

    /// An annotation of the Application.
    pub async fn is_annotated(&self, app: &str, name: &str, value: &str) -> Result<()> {
        match &self.real {
            Some(real) => {
                let patch = json!({ "metadata": { "annotations": { name: value } } });
                real.patch_application(&self.application_of(app), patch).await
            }
            None => {
                self.stand_in_sees(app, |app| drop(app.annotations.insert(name.to_owned(), value.to_owned())));
                Ok(())
            }
        }
    }

    /// A repository's URL with this before its host and this at its end.
    fn url(&self, repository: &str, user: &str, end: &str) -> String {
        let (scheme, host) = self.git_origin.split_once("://").unwrap_or(("https", &self.git_origin));
        format!("{scheme}://{user}{host}/{repository}{end}")
    }

    /// The application follows this branch of the GitOps repository, which is spelled so.
    pub async fn follows(&self, app: &str, (user, end): (&str, &str), target: &str) -> Result<()> {
        let url = self.url(GITOPS, user, end);
        let spec = json!({ "source": { "repoURL": url, "targetRevision": target } });
        self.sets_up(app, spec, |app| {
            (app.sources[0].repo_url, app.sources[0].target_revision) = (url.clone(), target.to_owned());
        })
        .await
    }

    /// The application gets its chart from another repository, and only its values from the GitOps repository.
    pub async fn has_its_chart_elsewhere(&self, app: &str, manifests: &[String]) -> Result<()> {
        let mut files = vec![("app/Chart.yaml".to_owned(), "apiVersion: v2\nname: app\nversion: 0.1.0\n".to_owned())];
        let template = |(n, text): (usize, &String)| (format!("app/templates/{n}.yaml"), text.clone());
        files.extend(manifests.iter().enumerate().map(template));
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        self.github.lock().repo(CHARTS).commit("Begin", &files);
        let (charts, values) = (self.url(CHARTS, "", ".git"), self.url(GITOPS, "", ".git"));
        let value_file = format!("$values/{app}/values.yaml");
        let spec = json!({ "source": null, "sources": [
            { "repoURL": charts, "targetRevision": "main", "path": "app", "helm": { "valueFiles": [value_file] } },
            { "repoURL": values, "targetRevision": "main", "ref": "values" },
        ] });
        self.sets_up(app, spec, |app| {
            let chart = Source::new(&charts, "main").at("app").with_values(&[&value_file]);
            (app.layout, app.sources) = (Layout::Multi, vec![chart, Source::new(&values, "main").named("values")]);
            app.tag_at.source = 1;
        })
        .await
    }

    /// Somebody mistypes the destination, or mends it.
    pub async fn destination_is(&self, app: &str, right: bool) -> Result<()> {
        let name = self.real.as_ref().map_or("paper", |real| &real.cluster);
        let spec = json!({ "destination": { "name": if right { name } else { "nowhere" } } });
        let wrong = ("InvalidSpecError".to_owned(), "there are no clusters with this name: nowhere".to_owned());
        self.sets_up(app, spec, |app| app.conditions = if right { Vec::new() } else { vec![wrong] }).await
    }

    /// Somebody deletes the Application, but nothing of what it deployed, and makes the same again.
    pub async fn is_replaced(&self, app: &str) -> Result<()> {
        let Some(real) = &self.real else {
            self.argocd.lock().person_replaces(sandbox::now(), app);
            return Ok(());
        };
        let name = self.application_of(app);
        real.api("DELETE", &format!("/api/v1/applications/{name}?cascade=false"), None).await?;
        real.create(&name, "default", &self.url(GITOPS, "", ".git"), app).await
    }

    // ---- Its project ----

    /// A sync window that forbids everything, or none. The app has to be in a project of its own.
    pub async fn sync_window_is(&self, app: &str, open: bool) -> Result<()> {
        let Some(real) = &self.real else {
            self.stand_in_sees(app, |app| app.window = if open { Window::Open } else { Window::Closed });
            return Ok(());
        };
        let always = json!({ "kind": "deny", "schedule": "* * * * *", "duration": "1h", "applications": ["*"] });
        let windows = if open { json!([]) } else { json!([always]) };
        let path = format!("/apis/argoproj.io/v1alpha1/namespaces/argocd/appprojects/{}", self.application_of(app));
        real.kube("PATCH", &path, Some(json!({ "spec": { "syncWindows": windows } }))).await.map(drop)
    }

    // ---- What a person does in Argo CD ----

    /// A person goes back to the version before, in Argo CD itself.
    pub async fn person_rolls_back(&self, app: &str) -> Result<()> {
        let Some(real) = &self.real else {
            return self.argocd.lock().person_rolls_back(sandbox::now(), app).map_err(anyhow::Error::msg);
        };
        let application = self.application(app).await?;
        let history = application["status"]["history"].as_array().cloned().unwrap_or_default();
        let before = history.iter().rev().nth(1).context("there is no version before")?;
        let path = format!("/api/v1/applications/{}/rollback", self.application_of(app));
        real.api("POST", &path, Some(json!({ "id": before["id"] }))).await.map(drop)
    }

    /// A person ends the pause of the app's Rollout.
    pub async fn person_resumes(&self, app: &str) -> Result<()> {
        if self.real.is_some() {
            return self.acts_on_rollout(app, "resume").await;
        }
        self.argocd.lock().person_resumes(sandbox::now(), app, app);
        Ok(())
    }

    /// A person gives the new version of the app's Rollout up.
    pub async fn person_aborts(&self, app: &str) -> Result<()> {
        if self.real.is_some() {
            return self.acts_on_rollout(app, "abort").await;
        }
        self.argocd.lock().person_aborts(sandbox::now(), app, app);
        Ok(())
    }

    async fn acts_on_rollout(&self, app: &str, action: &str) -> Result<()> {
        let real = self.real.as_ref().context("there is no real Argo CD")?;
        let name = self.application_of(app);
        let what = format!("namespace={name}&resourceName={app}&group=argoproj.io&version=v1alpha1&kind=Rollout");
        let path = format!("/api/v1/applications/{name}/resource/actions?{what}");
        real.api("POST", &path, Some(json!(action))).await.map(drop)
    }

    // ---- What a person does with kubectl ----

    /// A person deletes a Pod.
    pub async fn deletes_pod(&self, app: &str, pod: &str) -> Result<()> {
        match &self.real {
            Some(real) => {
                let path = format!("/api/v1/namespaces/{}/pods/{pod}", self.application_of(app));
                real.kube("DELETE", &path, None).await.map(drop)
            }
            None => {
                self.argocd.lock().person_deletes_pod(sandbox::now(), app, pod);
                Ok(())
            }
        }
    }
}
