//! What happens in the cluster, and what the message says about it: on the stand-in and, with `ARGOCD=real`, on a real Argo CD.

mod failures;
mod hangs;
mod kinds;
mod others;
mod pauses;
mod services;
mod settings;
mod several;
mod wire;

use anyhow::ensure;
use e2e::Room;
use e2e::cluster::{cluster, cron_job, deployment, hook, ingress, stateful_set, workload};
use sandbox::world::GITOPS;
use serde_json::{Value, json};

/// The bot never said that the app is live.
fn never_live(room: &Room) {
    assert!(!room.told().iter().any(|text| text.contains("is live")), "{:#?}", room.told());
}

fn tag(room: &Room) -> String {
    room.tag("checkout", "feature/totals")
}

/// A Deployment whose Pod takes so long.
fn slow(takes: &str) -> String {
    let pod = format!("      annotations: {{ paper/takes: {takes} }}\n");
    workload("Deployment", "checkout", "  replicas: 1\n", "", &pod)
}

/// A Job that is no hook.
fn job(name: &str, paper: &str) -> String {
    hook("None", name, paper)
        .replace("    argocd.argoproj.io/hook: None\n", "")
        .replace("    argocd.argoproj.io/hook-delete-policy: BeforeHookCreation\n", "    acme/job: x\n")
}

#[test]
fn a_deployment_goes_live() {
    cluster(async |room| {
        room.runs("checkout", &[deployment("checkout")]).await?;
        room.goes_live("checkout 42").await?;
        let application = room.application("checkout").await?;
        let image = format!("/acme/checkout:{}", tag(room));
        assert!(application["status"]["summary"]["images"].to_string().contains(&image), "{application:#}");
        Ok(())
    });
}

#[test]
fn a_stateful_set_and_a_daemon_set_go_live() {
    cluster(async |room| {
        let daemon_set = workload("DaemonSet", "agent", "", "", "");
        room.runs("checkout", &[stateful_set("checkout"), daemon_set]).await?;
        room.goes_live("checkout 42").await?;
        Ok(())
    });
}

/// Nothing runs, and nothing should.
#[test]
fn no_replica_goes_live() {
    cluster(async |room| {
        room.runs("checkout", &[workload("Deployment", "checkout", "  replicas: 0\n", "", "")]).await?;
        room.goes_live("checkout 42").await?;
        Ok(())
    });
}

#[test]
fn only_cron_jobs_go_live() {
    cluster(async |room| {
        room.runs("checkout", &[cron_job("checkout")]).await?;
        room.goes_live("checkout 42").await?;
        Ok(())
    });
}

#[test]
fn a_mirror_in_the_manifests_goes_live() {
    cluster(async |room| {
        let mirrored = deployment("checkout").replace("{{ .Values.image.repository }}", "mirror.corp/proxy/checkout");
        room.image_is("checkout", "mirror.corp/proxy/checkout");
        room.runs("checkout", &[mirrored]).await?;
        room.goes_live("checkout 42").await?;
        Ok(())
    });
}

#[test]
fn a_sidecar_with_another_image_changes_nothing() {
    cluster(async |room| {
        let sidecar = format!("{}        - {{ name: proxy, image: envoy:1.30 }}\n", deployment("checkout"));
        room.runs("checkout", &[sidecar]).await?;
        room.goes_live("checkout 42").await?;
        Ok(())
    });
}

#[test]
fn slow_pods_go_live_when_they_are_ready() {
    cluster(async |room| {
        room.runs("checkout", &[slow("6s")]).await?;
        room.alice("checkout 42").await;
        room.says("Health: progressing").await?;
        room.says("is live").await?;
        Ok(())
    });
}

#[test]
fn hooks_that_work_run_once() {
    cluster(async |room| {
        let made_of =
            [deployment("checkout"), hook("PreSync", "migrate", "takes: 1s"), hook("PostSync", "smoke", "takes: 1s")];
        room.runs("checkout", &made_of).await?;
        let before = (room.hook_runs("checkout", "migrate").await?, room.hook_runs("checkout", "smoke").await?);
        room.goes_live("checkout 42").await?;
        let after = (room.hook_runs("checkout", "migrate").await?, room.hook_runs("checkout", "smoke").await?);
        ensure!(after == (before.0 + 1, before.1 + 1), "{before:?}, then {after:?}");
        Ok(())
    });
}

/// One after the other: the older is superseded, the newer goes live.
#[test]
fn two_deploys_in_a_row_end_with_the_newer() {
    cluster(async |room| {
        room.runs("checkout", &[slow("3s")]).await?;
        room.goes_live("checkout 42").await?;
        let newer = room.builds("checkout", "main", "alice");
        room.goes_live("checkout main").await?;
        let images = room.application("checkout").await?["status"]["summary"]["images"].to_string();
        ensure!(images.contains(&newer), "{images}");
        Ok(())
    });
}

#[test]
fn a_rollback_brings_the_old_version_back() {
    cluster(async |room| {
        room.runs("checkout", &[deployment("checkout")]).await?;
        room.goes_live("checkout 42").await?;
        room.goes_live("checkout main").await?;
        room.alice("rollback checkout").await;
        room.is_back(&tag(room)).await?;
        room.application_is("checkout", "back", |application| {
            application["status"]["summary"]["images"].to_string().contains(&tag(room))
        })
        .await?;
        Ok(())
    });
}

/// Nobody relays a webhook: the bot asks Argo CD itself.
#[test]
fn without_a_webhook_it_goes_live() {
    cluster(async |room| {
        room.runs("checkout", &[deployment("checkout")]).await?;
        room.github.lock().webhook(GITOPS).lost = 1;
        room.goes_live("checkout 42").await?;
        Ok(())
    });
}

/// An Ingress without a controller has no address before and after.
#[test]
fn what_was_so_before_holds_nothing_up() {
    cluster(async |room| {
        let made_of = [deployment("checkout")];
        room.runs("checkout", &made_of).await?;
        room.is_made_of("checkout", &[deployment("checkout"), ingress("checkout")]);
        room.person_syncs("checkout").await?;
        // What nobody saw before is not what was so before.
        let waits = |application: &Value| application["status"]["health"]["status"] == "Progressing";
        room.application_is("checkout", "waiting for its Ingress", waits).await?;
        let message = room.goes_live("checkout 42").await?;
        ensure!(message.contains("Ingress/checkout"), "{message}");
        Ok(())
    });
}

/// Admission writes the name of a mirror into every Pod.
#[test]
fn a_mirror_by_admission_goes_live() {
    cluster(async |room| {
        room.admission_renames_images("checkout", "mirror.corp/proxy").await?;
        room.runs("checkout", &[deployment("checkout")]).await?;
        room.goes_live("checkout 42").await?;
        let images = room.application("checkout").await?["status"]["summary"]["images"].to_string();
        ensure!(images.contains("mirror.corp/proxy/checkout"), "{images}");
        Ok(())
    });
}

/// The AppProject permits Deployments alone, so Argo CD shows no Pod.
#[test]
fn a_project_without_pods_goes_live() {
    cluster(async |room| {
        room.project_permits("checkout", json!([{ "group": "apps", "kind": "Deployment" }])).await?;
        room.runs("checkout", &[deployment("checkout")]).await?;
        room.goes_live("checkout 42").await?;
        Ok(())
    });
}
