//! How an Application, its project and its folder are set up, and what follows for a deploy.

use anyhow::ensure;
use e2e::Room;
use e2e::cluster::{cluster, deployment, hook};
use sandbox::world::GITOPS;
use serde_json::json;

use super::{never_live, tag};

/// What the application runs has this tag.
async fn runs(room: &Room, tag: &str) -> anyhow::Result<()> {
    let images = room.application("checkout").await?["status"]["summary"]["images"].to_string();
    ensure!(images.contains(&format!("/checkout:{tag}\"")), "{images}");
    Ok(())
}

// ---- Its source ----

#[test]
fn an_application_that_follows_the_default_branch_goes_live() {
    cluster(async |room| {
        room.runs("checkout", &[deployment("checkout")]).await?;
        room.follows("checkout", ("", ".git"), "HEAD").await?;
        room.goes_live("checkout 42").await?;
        room.follows("checkout", ("", ".git"), "").await?;
        room.goes_live("checkout main").await?;
        runs(room, &room.tag("checkout", "main")).await
    });
}

/// Argo CD takes these, and so must we: the last one is not even matched by its own webhook.
#[test]
fn however_the_repository_is_spelled_it_goes_live() {
    cluster(async |room| {
        room.runs("checkout", &[deployment("checkout")]).await?;
        for (spelled, what, branch) in [
            (("", ""), "checkout 42", "feature/totals"),
            (("git@", ".git"), "checkout main", "main"),
            (("", "/"), "checkout 42", "feature/totals"),
        ] {
            room.follows("checkout", spelled, "main").await?;
            room.goes_live(what).await?;
            runs(room, &room.tag("checkout", branch)).await?;
        }
        Ok(())
    });
}

/// The chart is the platform team's, and the values are the app's. Only the second source is ours to pin.
#[test]
fn values_beside_a_chart_of_another_repository_go_live() {
    cluster(async |room| {
        room.runs("checkout", &[deployment("checkout")]).await?;
        room.has_its_chart_elsewhere("checkout", &[deployment("checkout")]).await?;
        room.goes_live("checkout 42").await?;
        runs(room, &tag(room)).await?;
        room.goes_live("checkout main").await?;
        runs(room, &room.tag("checkout", "main")).await?;
        let syncs = room.argocd.lock().syncs().to_vec();
        let pinned = |sync: &fakes::argocd::SyncAsked| sync.body["sourcePositions"] == json!([2]);
        ensure!(!syncs.is_empty() && syncs.iter().all(pinned), "{syncs:#?}");
        Ok(())
    });
}

#[test]
fn a_kustomization_goes_live() {
    cluster(async |room| {
        let host = room.registry.origin().trim_start_matches("http://").to_owned();
        let old = room.tag("checkout", "main");
        let kustomization = format!(
            "resources: [deployment.yaml]\nimages:\n  - name: checkout\n    newName: {host}/acme/checkout\n    newTag: \"{old}\"\n"
        );
        let plain = deployment("checkout")
            .replace("{{ .Values.image.repository }}:{{ .Values.image.tag }}", "checkout")
            .replace("{{ .Values.replicaCount }}", "1");
        let files = [("checkout/kustomization.yaml", kustomization.as_str()), ("checkout/deployment.yaml", &plain)];
        room.github.lock().person_pushes(GITOPS, "main", "carol", &files, "Use kustomize");
        room.in_the_catalog(
            "checkout",
            "values: checkout/kustomization.yaml\n    tag_at: images[name=checkout].newTag",
        );
        room.folder_runs("checkout").await?;
        room.goes_live("checkout 42").await?;
        runs(room, &tag(room)).await?;
        room.goes_live("checkout main").await?;
        runs(room, &old).await
    });
}

/// The whole image stands in the manifest: its tag changes and nothing else.
#[test]
fn a_plain_manifest_goes_live() {
    cluster(async |room| {
        const FILE: &str = "checkout/deployment.yaml";
        let host = room.registry.origin().trim_start_matches("http://").to_owned();
        let old = room.tag("checkout", "main");
        let plain = deployment("checkout")
            .replace(
                "\"{{ .Values.image.repository }}:{{ .Values.image.tag }}\"",
                &format!("{host}/acme/checkout:{old} # by /deploy"),
            )
            .replace("{{ .Values.replicaCount }}", "1");
        let files = [("checkout/kustomization.yaml", "resources: [deployment.yaml]\n"), (FILE, plain.as_str())];
        room.github.lock().person_pushes(GITOPS, "main", "carol", &files, "Use plain manifests");
        let tag_at = format!("values: {FILE}\n    tag_at: spec.template.spec.containers[name=checkout].image");
        room.in_the_catalog("checkout", &tag_at);
        room.folder_runs("checkout").await?;
        room.goes_live("checkout 42").await?;
        runs(room, &tag(room)).await?;
        ensure!(String::from_utf8(room.file(FILE))? == plain.replace(&old, &tag(room)), "nothing but the tag");
        room.goes_live("checkout main").await?;
        runs(room, &old).await?;
        ensure!(String::from_utf8(room.file(FILE))? == plain, "as it was");
        Ok(())
    });
}

/// For YAML `12e-1234567` is a number, and Helm would make `0` of it.
#[test]
fn a_tag_that_looks_like_a_number_goes_live() {
    cluster(async |room| {
        room.runs("checkout", &[deployment("checkout")]).await?;
        let mut tag = room.builds("checkout", "12e", "alice");
        while !tag.trim_start_matches("12e-").bytes().all(|byte| byte.is_ascii_digit()) {
            tag = room.builds("checkout", "12e", "alice");
        }
        room.goes_live("checkout 12e").await?;
        runs(room, &tag).await
    });
}

#[test]
fn paths_that_leave_the_values_file_out_are_named() {
    cluster(async |room| {
        room.runs("checkout", &[deployment("checkout")]).await?;
        let paths = "argocd.argoproj.io/manifest-generate-paths";
        room.is_annotated("checkout", paths, "/checkout/templates").await?;
        room.alice("checkout 42").await;
        let message = room.says("Argo CD may have kept its old manifests").await?;
        ensure!(message.contains("`/checkout/templates`) leaves out `checkout/values.yaml`"), "{message}");
        never_live(room);
        Ok(())
    });
}

// ---- How it is synced ----

#[test]
fn server_side_apply_goes_live() {
    cluster(async |room| {
        room.runs("checkout", &[deployment("checkout")]).await?;
        room.has_sync_options("checkout", &["ServerSideApply=true"]).await?;
        room.goes_live("checkout 42").await?;
        room.goes_live("checkout main").await?;
        runs(room, &room.tag("checkout", "main")).await
    });
}

/// The replicas are an autoscaler's.
#[test]
fn what_the_application_ignores_stays_and_the_rest_goes_live() {
    cluster(async |room| {
        room.runs("checkout", &[deployment("checkout")]).await?;
        room.ignores("checkout", "Deployment", "/spec/replicas").await?;
        room.goes_live("checkout 42").await?;
        runs(room, &tag(room)).await
    });
}

/// Somebody has Argo CD ignore the image: Git has the new one, and nothing applies it.
#[test]
fn an_image_that_the_application_ignores_is_not_live() {
    cluster(async |room| {
        room.runs("checkout", &[deployment("checkout")]).await?;
        room.ignores("checkout", "Deployment", "/spec/template/spec/containers/0/image").await?;
        room.alice("checkout 42").await;
        let message = room.says("but doesn't run").await?;
        ensure!(message.contains(&room.tag("checkout", "main")), "{message}");
        never_live(room);
        Ok(())
    });
}

#[test]
fn a_closed_window_is_waited_for() {
    cluster(async |room| {
        room.project_permits("checkout", json!([{ "group": "*", "kind": "*" }])).await?;
        room.runs("checkout", &[deployment("checkout")]).await?;
        room.sync_window_is("checkout", false).await?;
        room.alice("checkout 42").await;
        room.says("Waiting for the next sync window in Argo CD").await?;
        room.sync_window_is("checkout", true).await?;
        room.says("is live").await?;
        Ok(())
    });
}

// ---- Auto-sync ----

#[test]
fn auto_sync_goes_live() {
    cluster(async |room| {
        room.in_the_catalog("checkout", "sync: auto");
        room.runs("checkout", &[deployment("checkout"), hook("PreSync", "migrate", "takes: 1s")]).await?;
        room.syncs_by_itself("checkout", true).await?;
        room.goes_live("checkout 42").await?;
        runs(room, &tag(room)).await?;
        room.goes_live("checkout main").await?;
        ensure!(room.argocd.lock().syncs().is_empty(), "the bot asked for a sync");
        Ok(())
    });
}

#[test]
fn auto_sync_of_a_version_that_crashes_is_named_and_rolled_back() {
    cluster(async |room| {
        room.in_the_catalog("checkout", "sync: auto");
        room.runs("checkout", &[deployment("checkout")]).await?;
        room.syncs_by_itself("checkout", true).await?;
        room.goes_live("checkout 42").await?;
        room.has_a_branch("checkout", "crash");
        room.alice("checkout crash").await;
        room.says("CrashLoopBackOff").await?;
        room.heals("checkout", &tag(room)).await
    });
}

/// The catalog says nothing of auto-sync, and nobody has looked at the application yet: Argo CD takes our commit.
#[test]
fn auto_sync_without_a_word_in_the_catalog_is_followed() {
    cluster(async |room| {
        room.runs("checkout", &[deployment("checkout")]).await?;
        room.syncs_by_itself("checkout", true).await?;
        room.alice("checkout 42").await;
        room.says("is live").await?;
        runs(room, &tag(room)).await
    });
}
