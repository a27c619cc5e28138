//! What happens in the cluster, and what the message says about it: on the stand-in and, with `ARGOCD=real`, on a real Argo CD.

mod services;
mod several;

use anyhow::ensure;
use e2e::Room;
use e2e::cluster::{cluster, cron_job, deployment, hook, ingress, rollout, stateful_set, workload};
use fakes::Fault;
use sandbox::world::{ALICE, GITOPS};
use serde_json::json;
use std::time::Duration;

use crate::conversation::says;

/// The bot never said that the app is live.
fn never_live(room: &Room) {
    assert!(!room.told().iter().any(|text| text.contains("is live")), "{:#?}", room.told());
}

fn tag(room: &Room) -> String {
    room.tag("checkout", "feature/totals")
}

// ---- Goes live ----

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
        let slow =
            workload("Deployment", "checkout", "  replicas: 1\n", "", "      annotations: { paper/takes: 6s }\n");
        room.runs("checkout", &[slow]).await?;
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
        let slow =
            workload("Deployment", "checkout", "  replicas: 1\n", "", "      annotations: { paper/takes: 3s }\n");
        room.runs("checkout", &[slow]).await?;
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

// ---- Does not go live ----

/// A hook with our tag proves nothing about a Deployment that has a fixed image.
#[test]
fn only_a_hook_with_our_image_is_not_live() {
    cluster(async |room| {
        let fixed = deployment("checkout")
            .replace("{{ .Values.image.repository }}:{{ .Values.image.tag }}", "ghcr.io/acme/base:1");
        room.runs("checkout", &[fixed, hook("PreSync", "migrate", "")]).await?;
        room.alice("checkout 42").await;
        let message = room.says("what was applied doesn't use").await?;
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
        let job = hook("None", "once", "cause: crash")
            .replace("    argocd.argoproj.io/hook: None\n", "")
            .replace("    argocd.argoproj.io/hook-delete-policy: BeforeHookCreation\n", "    acme/job: x\n");
        room.is_made_of("checkout", &[deployment("checkout"), job]);
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

// ---- A sync that does not end ----

/// The next deploy ends it, once its deadline has passed.
#[test]
fn a_post_sync_job_that_hangs_does_not_hold_the_next_deploy_up() {
    cluster(async |room| {
        room.in_the_catalog("checkout", "deadline: 30s");
        room.runs("checkout", &[deployment("checkout")]).await?;
        room.is_made_of("checkout", &[deployment("checkout"), hook("PostSync", "smoke", "cause: hang")]);
        room.alice("checkout 42").await;
        let message = room.says("timed out").await?;
        ensure!(message.contains("smoke"), "{message}");
        room.is_made_of("checkout", &[deployment("checkout"), hook("PostSync", "smoke", "takes: 1s")]);
        room.goes_live("checkout main").await?;
        Ok(())
    });
}

/// A rollback does not wait for its end, if somebody says so.
#[test]
fn a_rollback_ends_a_hook_that_hangs_once_somebody_presses() {
    cluster(async |room| {
        room.runs("checkout", &[deployment("checkout")]).await?;
        room.goes_live("checkout 42").await?;
        room.is_made_of("checkout", &[deployment("checkout"), hook("PreSync", "migrate", "cause: hang")]);
        room.alice("checkout main").await;
        room.says("migrate").await?;
        room.is_made_of("checkout", &[deployment("checkout"), hook("PreSync", "migrate", "takes: 1s")]);
        room.alice("rollback checkout").await;
        let waits = says(room, "for the sync of an older deploy, which waits for Job/migrate (PreSync hook)").await?;
        room.says("a newer deploy took over").await?;
        room.press(ALICE, &waits, "terminate").await;
        room.is_back(&tag(room)).await?;
        Ok(())
    });
}

/// A second rollback takes the turn from the first one, and is refused: the first one has the turn again.
#[test]
fn a_rollback_that_comes_to_nothing_gives_the_turn_back() {
    cluster(async |room| {
        room.runs("checkout", &[deployment("checkout")]).await?;
        room.goes_live("checkout 42").await?;
        room.is_made_of("checkout", &[deployment("checkout"), hook("PreSync", "migrate", "cause: hang")]);
        room.alice("checkout main").await;
        room.says("migrate").await?;
        room.is_made_of("checkout", &[deployment("checkout"), hook("PreSync", "migrate", "takes: 1s")]);
        room.alice("rollback checkout").await;
        let waits = says(room, "for the sync of an older deploy").await?;
        room.alice("rollback checkout no-such-version").await;
        room.says("not deployed: ").await?;
        room.press(ALICE, &waits, "terminate").await;
        room.is_back(&tag(room)).await?;
        Ok(())
    });
}

// ---- Pauses ----

#[test]
fn a_canary_that_pauses_for_a_while_goes_live_at_its_end() {
    cluster(async |room| {
        room.runs("checkout", &[rollout("checkout", "{ setWeight: 50 }, { pause: { duration: 4s } }")]).await?;
        room.alice("checkout 42").await;
        room.says("uspended").await?;
        room.says("is live").await?;
        Ok(())
    });
}

#[test]
fn a_canary_that_nobody_resumes_is_not_live() {
    cluster(async |room| {
        room.in_the_catalog("checkout", "deadline: 30s");
        room.runs("checkout", &[rollout("checkout", "{ setWeight: 50 }, { pause: {} }")]).await?;
        room.alice("checkout 42").await;
        room.says("still paused").await?;
        never_live(room);
        Ok(())
    });
}

// ---- What others do ----

/// ApplicationSets write an operation so, and over ours: our version rolls out all the same.
#[test]
fn an_operation_without_a_revision_after_ours_goes_on() {
    cluster(async |room| {
        let slow =
            workload("Deployment", "checkout", "  replicas: 1\n", "", "      annotations: { paper/takes: 5s }\n");
        room.runs("checkout", &[slow]).await?;
        room.alice("checkout 42").await;
        room.says("Health: progressing").await?;
        room.writes_operation("checkout", json!({ "sync": {} })).await?;
        room.says("is live").await?;
        Ok(())
    });
}

/// The same while our own operation still runs.
#[test]
fn an_operation_without_a_revision_over_ours_goes_on() {
    cluster(async |room| {
        room.runs("checkout", &[deployment("checkout")]).await?;
        room.is_made_of("checkout", &[deployment("checkout"), hook("PreSync", "migrate", "takes: 3s")]);
        room.alice("checkout 42").await;
        room.says("migrate").await?;
        room.writes_operation("checkout", json!({ "sync": {} })).await?;
        room.says("is live").await?;
        Ok(())
    });
}

#[test]
fn somebody_who_syncs_an_older_commit_supersedes_ours() {
    cluster(async |room| {
        let slow =
            workload("Deployment", "checkout", "  replicas: 1\n", "", "      annotations: { paper/takes: 5s }\n");
        room.runs("checkout", &[slow]).await?;
        let old = room.github.lock().head(GITOPS, "main").unwrap_or_default();
        room.alice("checkout 42").await;
        room.says("Health: progressing").await?;
        room.writes_operation(
            "checkout",
            json!({ "initiatedBy": { "username": "admin" }, "sync": { "revision": old } }),
        )
        .await?;
        let message = room.says("stopped: ").await?;
        ensure!(message.contains("admin"), "{message}");
        never_live(room);
        Ok(())
    });
}

#[test]
fn a_hook_that_somebody_terminates_is_a_failure() {
    cluster(async |room| {
        room.runs("checkout", &[deployment("checkout")]).await?;
        room.is_made_of("checkout", &[deployment("checkout"), hook("PreSync", "migrate", "cause: hang")]);
        room.alice("checkout 42").await;
        room.says("migrate").await?;
        room.terminates("checkout").await?;
        let message = room.says("the rollout failed").await?;
        ensure!(message.contains("terminated"), "{message}");
        Ok(())
    });
}

#[test]
fn an_app_that_is_deleted_meanwhile_is_named() {
    cluster(async |room| {
        let slow =
            workload("Deployment", "checkout", "  replicas: 1\n", "", "      annotations: { paper/takes: 20s }\n");
        room.runs("checkout", &[deployment("checkout")]).await?;
        room.is_made_of("checkout", &[slow]);
        room.alice("checkout 42").await;
        room.says("Health: progressing").await?;
        room.deletes("checkout").await?;
        let message = room.says("delet").await?;
        ensure!(!message.contains("is live"), "{message}");
        Ok(())
    });
}

// ---- The wire, before either ----

#[test]
fn one_error_of_each_call_changes_nothing() {
    cluster(async |room| {
        room.runs("checkout", &[deployment("checkout")]).await?;
        for call in ["get", "stream", "sync", "refresh", "webhook", "tree"] {
            let bad = fakes::Response::text(502, "Bad Gateway");
            room.argocd.fault(&format!("argocd.{call}"), Fault::Instead(bad), 1);
        }
        room.goes_live("checkout 42").await?;
        Ok(())
    });
}

#[test]
fn a_sync_without_an_answer_is_asked_for_once() {
    cluster(async |room| {
        room.runs("checkout", &[deployment("checkout"), hook("PreSync", "migrate", "takes: 1s")]).await?;
        let before = room.hook_runs("checkout", "migrate").await?;
        room.argocd.fault("argocd.sync", Fault::DropAfter, 1);
        room.goes_live("checkout 42").await?;
        ensure!(room.hook_runs("checkout", "migrate").await? == before + 1, "the hook ran twice");
        Ok(())
    });
}

#[test]
fn streams_that_break_change_nothing() {
    cluster(async |room| {
        let slow =
            workload("Deployment", "checkout", "  replicas: 1\n", "", "      annotations: { paper/takes: 3s }\n");
        room.runs("checkout", &[slow]).await?;
        room.argocd.fault("argocd.stream", Fault::Truncate, 5);
        room.goes_live("checkout 42").await?;
        Ok(())
    });
}

#[test]
fn a_slow_argo_cd_changes_nothing() {
    cluster(async |room| {
        room.runs("checkout", &[deployment("checkout")]).await?;
        room.argocd.latency(Duration::from_millis(400));
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
