//! What does not go live, and how people read why.

use anyhow::ensure;
use e2e::cluster::{cluster, config_map, deployment, hook, is_2_14, stateful_set, workload};
use sandbox::world::ALICE;
use serde_json::json;

use super::{job, never_live, tag};
use crate::conversation::says;

/// A hook with our tag proves nothing about a Deployment that has a fixed image.
#[test]
fn only_a_hook_with_our_image_is_not_live() {
    cluster(async |room| {
        let fixed = deployment("checkout")
            .replace("{{ .Values.image.repository }}:{{ .Values.image.tag }}", "ghcr.io/acme/base:1");
        room.runs("checkout", &[fixed, hook("PreSync", "migrate", "")]).await?;
        room.alice("checkout 42").await;
        let words = if is_2_14() { "but doesn't run" } else { "what was applied doesn't use" };
        let message = room.says(words).await?;
        ensure!(message.contains("ghcr.io/acme/base:1"), "{message}");
        never_live(room);
        Ok(())
    });
}

/// A StatefulSet never becomes degraded. The Pod says why nothing goes on.
#[test]
fn an_image_that_cannot_be_pulled_is_named() {
    cluster(async |room| {
        room.runs("checkout", &[stateful_set("checkout")]).await?;
        room.goes_live("checkout 42").await?;
        room.has_a_branch("checkout", "cannot-pull");
        room.alice("checkout cannot-pull").await;
        let message = room.says("PullBackOff").await?;
        ensure!(message.contains("Pod checkout-0"), "{message}");
        room.heals("checkout", &tag(room)).await
    });
}

/// No version of ours was ever live: back to what was in the file before.
#[test]
fn a_first_deploy_that_fails_is_rolled_back_to_what_ran_before() {
    cluster(async |room| {
        room.runs("checkout", &[deployment("checkout")]).await?;
        room.has_a_branch("checkout", "cannot-pull");
        room.alice("checkout cannot-pull").await;
        room.says("PullBackOff").await?;
        room.heals("checkout", &room.tag("checkout", "main")).await
    });
}

#[test]
fn a_container_that_crashes_is_named() {
    cluster(async |room| {
        room.runs("checkout", &[deployment("checkout")]).await?;
        room.goes_live("checkout 42").await?;
        room.has_a_branch("checkout", "crash");
        room.alice("checkout crash").await;
        room.says("CrashLoopBackOff").await?;
        room.heals("checkout", &tag(room)).await
    });
}

#[test]
fn a_container_without_enough_memory_is_named() {
    cluster(async |room| {
        room.runs("checkout", &[deployment("checkout")]).await?;
        room.goes_live("checkout 42").await?;
        room.has_a_branch("checkout", "out-of-memory");
        room.alice("checkout out-of-memory").await;
        room.says("Pod checkout-").await?;
        room.heals("checkout", &tag(room)).await
    });
}

/// Kubernetes itself gives the rollout up.
#[test]
fn a_deployment_past_its_progress_deadline_has_failed() {
    cluster(async |room| {
        let impatient = workload("Deployment", "checkout", "  replicas: 1\n", "  progressDeadlineSeconds: 3\n", "");
        room.runs("checkout", &[impatient]).await?;
        room.has_a_branch("checkout", "cannot-pull");
        room.alice("checkout cannot-pull").await;
        let message = room.says("is rolled out, but not healthy").await?;
        ensure!(message.contains("exceeded its progress deadline"), "{message}");
        never_live(room);
        Ok(())
    });
}

/// Nobody asks for it: the version before comes back, and people look before the next deploy.
#[test]
fn a_deployment_past_its_progress_deadline_goes_back_by_itself() {
    cluster(async |room| {
        let impatient = workload("Deployment", "checkout", "  replicas: 1\n", "  progressDeadlineSeconds: 3\n", "");
        room.runs("checkout", &[impatient]).await?;
        room.in_the_catalog("checkout", "auto_rollback: true");
        room.goes_live("checkout 42").await?;
        room.all_told().await?;
        let before = room.commits();
        room.has_a_branch("checkout", "cannot-pull");
        room.alice("checkout cannot-pull").await;
        let message = room.says("is rolled out, but not healthy").await?;
        ensure!(message.contains("I roll it back by myself"), "{message}");
        room.is_back(&tag(room)).await?;
        room.application_is("checkout", "back", |application| {
            application["status"]["summary"]["images"].to_string().contains(&tag(room))
        })
        .await?;
        room.alice("checkout 42").await;
        room.says("is locked by me").await?;
        ensure!(room.commits() == before + 2, "{} commits", room.commits() - before);
        Ok(())
    });
}

/// What a hook has changed, no image brings back.
#[test]
fn a_deploy_with_a_hook_does_not_go_back_by_itself() {
    cluster(async |room| {
        let impatient = workload("Deployment", "checkout", "  replicas: 1\n", "  progressDeadlineSeconds: 3\n", "");
        let migrate = hook("PreSync", "migrate", "")
            .replace("{{ .Values.image.repository }}:{{ .Values.image.tag }}", "ghcr.io/acme/base:1");
        room.runs("checkout", &[impatient, migrate]).await?;
        room.in_the_catalog("checkout", "auto_rollback: true");
        room.goes_live("checkout 42").await?;
        room.all_told().await?;
        room.has_a_branch("checkout", "cannot-pull");
        room.alice("checkout cannot-pull").await;
        let message = room.says("is rolled out, but not healthy").await?;
        ensure!(message.contains("because hooks ran with it"), "{message}");
        room.all_told().await?;
        ensure!(!room.told().iter().any(|text| text.contains("rolled back by itself")), "{:#?}", room.told());
        Ok(())
    });
}

/// Its owner configured no retry: one run.
#[test]
fn a_pre_sync_job_that_fails_runs_once() {
    cluster(async |room| {
        room.runs("checkout", &[deployment("checkout")]).await?;
        room.is_made_of("checkout", &[deployment("checkout"), hook("PreSync", "migrate", "cause: crash")]);
        room.alice("checkout 42").await;
        let message = room.says("the rollout failed").await?;
        ensure!(message.contains("migrate"), "{message}");
        ensure!(room.hook_runs("checkout", "migrate").await? == 1, "it ran again");
        never_live(room);
        Ok(())
    });
}

#[test]
fn a_post_sync_job_that_fails_is_a_failure() {
    cluster(async |room| {
        room.runs("checkout", &[deployment("checkout")]).await?;
        room.is_made_of("checkout", &[deployment("checkout"), hook("PostSync", "smoke", "cause: crash")]);
        room.alice("checkout 42").await;
        let message = room.says("the rollout failed").await?;
        ensure!(message.contains("smoke"), "{message}");
        ensure!(room.hook_runs("checkout", "smoke").await? == 1, "it ran again");
        Ok(())
    });
}

/// A Job that is no hook, and fails: Argo CD calls that degraded for good.
#[test]
fn a_job_that_fails_is_a_failure() {
    cluster(async |room| {
        room.runs("checkout", &[deployment("checkout")]).await?;
        room.is_made_of("checkout", &[deployment("checkout"), job("once", "cause: crash")]);
        room.alice("checkout 42").await;
        let message = room.says("not healthy").await?;
        ensure!(message.contains("Job/once"), "{message}");
        Ok(())
    });
}

#[test]
fn a_chart_that_does_not_render_is_a_failure() {
    cluster(async |room| {
        room.runs("checkout", &[deployment("checkout")]).await?;
        room.is_made_of("checkout", &["kind: {{ .Values.nothing.here }}\n".to_owned()]);
        room.alice("checkout 42").await;
        let message = room.says("the rollout failed").await?;
        ensure!(message.contains("nothing"), "{message}");
        never_live(room);
        Ok(())
    });
}

/// A field that Kubernetes does not let anybody change.
#[test]
fn what_kubernetes_refuses_is_told_in_its_words() {
    cluster(async |room| {
        room.runs("checkout", &[stateful_set("checkout")]).await?;
        room.is_made_of("checkout", &[stateful_set("checkout").replace("serviceName: checkout", "serviceName: other")]);
        room.alice("checkout 42").await;
        let message = room.says("the rollout failed").await?;
        ensure!(message.contains("StatefulSet/checkout"), "{message}");
        ensure!(message.contains("orbidden"), "{message}");
        never_live(room);
        Ok(())
    });
}

#[test]
fn an_init_container_that_crashes_is_named() {
    cluster(async |room| {
        let image = "\"{{ .Values.image.repository }}:{{ .Values.image.tag }}\"";
        let init = format!("      initContainers: [{{ name: migrate, image: {image} }}]\n");
        let with_init = deployment("checkout").replace("      containers:\n", &format!("{init}      containers:\n"));
        room.runs("checkout", &[with_init]).await?;
        room.goes_live("checkout 42").await?;
        room.has_a_branch("checkout", "crash");
        room.alice("checkout crash").await;
        room.says("Init:CrashLoopBackOff").await?;
        room.heals("checkout", &tag(room)).await
    });
}

/// Nothing is wrong with the image or the process, but the Pod never gets ready.
#[test]
fn a_probe_that_never_passes_is_a_failure() {
    cluster(async |room| {
        let impatient = workload("Deployment", "checkout", "  replicas: 1\n", "  progressDeadlineSeconds: 3\n", "");
        room.runs("checkout", &[impatient]).await?;
        room.has_a_branch("checkout", "hang");
        room.alice("checkout hang").await;
        let message = room.says("is rolled out, but not healthy").await?;
        ensure!(message.contains("Deployment/checkout: Deployment \"checkout\" exceeded"), "{message}");
        never_live(room);
        Ok(())
    });
}

/// Its owner configured one retry. Argo CD deletes the failed Job then, and takes its result for the retry's, too.
#[test]
fn a_retry_of_the_application_takes_a_failed_hook_as_it_is() {
    cluster(async |room| {
        room.runs("checkout", &[deployment("checkout")]).await?;
        room.retries("checkout", json!({ "limit": 1, "backoff": { "duration": "1s" } })).await?;
        room.is_made_of("checkout", &[deployment("checkout"), hook("PreSync", "migrate", "cause: crash")]);
        room.alice("checkout 42").await;
        room.says("retry 1").await?;
        let message = room.says("the rollout failed").await?;
        ensure!(message.contains("migrate") && message.contains("(retried 1 times)"), "{message}");
        let runs = room.hook_runs("checkout", "migrate").await?;
        ensure!(runs == 1, "it ran {runs} times");
        never_live(room);
        Ok(())
    });
}

#[test]
fn a_hook_for_failures_runs_once() {
    cluster(async |room| {
        room.runs("checkout", &[deployment("checkout")]).await?;
        let hooks = [hook("PreSync", "migrate", "cause: crash"), hook("SyncFail", "clean-up", "takes: 1s")];
        room.is_made_of("checkout", &[&[deployment("checkout")][..], &hooks].concat());
        room.alice("checkout 42").await;
        let message = room.says("the rollout failed").await?;
        ensure!(message.contains("migrate"), "{message}");
        ensure!(room.hook_runs("checkout", "clean-up").await? == 1, "it did not run once");
        Ok(())
    });
}

#[test]
fn a_kind_that_the_cluster_does_not_know_is_named() {
    cluster(async |room| {
        room.runs("checkout", &[deployment("checkout")]).await?;
        let unknown = "apiVersion: acme.io/v1\nkind: Basket\nmetadata: { name: checkout }\n".to_owned();
        room.is_made_of("checkout", &[deployment("checkout"), unknown]);
        room.alice("checkout 42").await;
        let message = room.says("the rollout failed").await?;
        ensure!(message.contains("Basket/checkout: The Kubernetes API could not find acme.io/Basket"), "{message}");
        never_live(room);
        Ok(())
    });
}

#[test]
fn a_kind_that_the_project_forbids_is_named() {
    cluster(async |room| {
        let kinds = ["Pod", "ReplicaSet", "Deployment"].map(|kind| json!({ "group": "*", "kind": kind }));
        room.project_permits("checkout", json!(kinds)).await?;
        room.runs("checkout", &[deployment("checkout")]).await?;
        room.is_made_of("checkout", &[deployment("checkout"), config_map("settings")]);
        room.alice("checkout 42").await;
        let message = room.says("the rollout failed").await?;
        ensure!(message.contains("ConfigMap/settings: resource :ConfigMap is not permitted in project"), "{message}");
        never_live(room);
        Ok(())
    });
}

/// The chart is mended in a later commit, and the same version is deployed with the mended chart.
#[test]
fn a_chart_that_is_mended_goes_live_with_the_same_tag() {
    cluster(async |room| {
        room.runs("checkout", &[deployment("checkout")]).await?;
        room.is_made_of("checkout", &["kind: {{ .Values.nothing.here }}\n".to_owned()]);
        room.alice("checkout 42").await;
        let failed = says(room, "the rollout failed").await?;
        room.is_made_of("checkout", &[deployment("checkout")]);
        room.press(ALICE, &failed, "retry").await;
        room.says(&format!("is live: `{}`", tag(room))).await?;
        Ok(())
    });
}

/// Kubernetes lets nobody change the template of a Job. The fix is a hook, or another name.
#[test]
fn a_job_that_is_no_hook_cannot_get_another_image() {
    cluster(async |room| {
        room.runs("checkout", &[deployment("checkout"), job("once", "")]).await?;
        room.alice("checkout 42").await;
        let message = room.says("the rollout failed").await?;
        ensure!(message.contains("Job/once") && message.contains("field is immutable"), "{message}");
        never_live(room);
        Ok(())
    });
}
