//! What each kind of resource makes of a new version.

use anyhow::ensure;
use e2e::cluster::{annotated, cluster, config_map, cron_job, deployment, is_2_14, load_balancer, workload};

use super::{job, never_live, tag};

#[test]
fn a_slow_wave_is_waited_for() {
    cluster(async |room| {
        room.runs("checkout", &[deployment("checkout")]).await?;
        let queue = workload("Deployment", "queue", "  replicas: 1\n", "", "      annotations: { paper/takes: 3s }\n");
        let first = annotated(&queue, "argocd.argoproj.io/sync-wave: \"-1\"");
        room.is_made_of("checkout", &[deployment("checkout"), first]);
        room.alice("checkout 42").await;
        room.says("waiting for healthy state of apps/Deployment/queue").await?;
        room.says("is live").await?;
        Ok(())
    });
}

/// What is no longer in Git stays as it is, with the old version.
#[test]
fn what_leaves_the_chart_stays_and_is_named() {
    cluster(async |room| {
        room.runs("checkout", &[deployment("checkout"), deployment("worker"), config_map("settings")]).await?;
        room.is_made_of("checkout", &[deployment("checkout"), String::new(), String::new()]);
        let message = room.goes_live("checkout 42").await?;
        ensure!(message.contains("2 resources would be pruned"), "{message}");
        ensure!(message.contains("`ConfigMap/settings`") && message.contains("`Deployment/worker`"), "{message}");
        Ok(())
    });
}

/// Nobody replaces its Pods but a person.
#[test]
fn a_stateful_set_on_delete_is_not_live_with_its_old_pods() {
    cluster(async |room| {
        let by_hand = "  serviceName: checkout\n  updateStrategy: { type: OnDelete }\n";
        room.runs("checkout", &[workload("StatefulSet", "checkout", "  replicas: 1\n", by_hand, "")]).await?;
        room.alice("checkout 42").await;
        // Who does not know what was applied cannot say that the Pods are older than that.
        let words = if is_2_14() { ["but doesn't run", ""] } else { ["but the Pods still run", "`OnDelete`"] };
        let message = room.says(words[0]).await?;
        ensure!(message.contains(words[1]), "{message}");
        never_live(room);
        Ok(())
    });
}

#[test]
fn a_stateful_set_on_delete_goes_live_when_a_person_deletes_its_pods() {
    cluster(async |room| {
        let by_hand = "  serviceName: checkout\n  updateStrategy: { type: OnDelete }\n";
        room.runs("checkout", &[workload("StatefulSet", "checkout", "  replicas: 1\n", by_hand, "")]).await?;
        room.alice("checkout 42").await;
        room.says("Health: healthy").await?;
        room.deletes_pod("checkout", "checkout-0").await?;
        room.says("is live").await?;
        Ok(())
    });
}

/// A canary by hand: the Pods from the partition on have the new version.
#[test]
fn a_partition_is_live_with_its_first_pod() {
    cluster(async |room| {
        let half = "  serviceName: checkout\n  updateStrategy: { rollingUpdate: { partition: 1 } }\n";
        room.runs("checkout", &[workload("StatefulSet", "checkout", "  replicas: 2\n", half, "")]).await?;
        room.goes_live("checkout 42").await?;
        let images = room.application("checkout").await?["status"]["summary"]["images"].to_string();
        for tag in [tag(room), room.tag("checkout", "main")] {
            ensure!(images.contains(&tag), "{images}");
        }
        Ok(())
    });
}

/// Kubernetes never replaces a Pod of an ordered StatefulSet that did not get ready: not even by a rollback.
#[test]
fn an_ordered_stateful_set_is_stuck_until_a_person_deletes_its_pod() {
    cluster(async |room| {
        let ordered = workload("StatefulSet", "checkout", "  replicas: 1\n", "  serviceName: checkout\n", "");
        room.runs("checkout", &[ordered]).await?;
        room.goes_live("checkout 42").await?;
        room.has_a_branch("checkout", "cannot-pull");
        room.alice("checkout cannot-pull").await;
        room.says("PullBackOff").await?;
        room.alice("rollback checkout").await;
        room.says("a newer deploy took over").await?;
        let message = room.says("Pod checkout-0").await?;
        ensure!(message.contains("rollback to") && message.contains("PullBackOff"), "{message}");
        room.deletes_pod("checkout", "checkout-0").await?;
        room.is_back(&tag(room)).await
    });
}

#[test]
fn a_daemon_set_whose_image_cannot_be_pulled_is_named() {
    cluster(async |room| {
        room.runs("checkout", &[workload("DaemonSet", "checkout", "", "", "")]).await?;
        room.goes_live("checkout 42").await?;
        room.has_a_branch("checkout", "cannot-pull");
        room.alice("checkout cannot-pull").await;
        let message = room.says("PullBackOff").await?;
        ensure!(message.contains("Pod checkout-"), "{message}");
        room.heals("checkout", &tag(room)).await
    });
}

#[test]
fn a_cron_job_that_is_suspended_goes_live() {
    cluster(async |room| {
        let suspended = cron_job("checkout").replace("spec:\n  schedule", "spec:\n  suspend: true\n  schedule");
        room.runs("checkout", &[suspended]).await?;
        room.goes_live("checkout 42").await?;
        Ok(())
    });
}

/// It is new, so nobody knows whether it will get its address. From then on it was so before.
#[test]
fn a_load_balancer_without_an_address_holds_only_its_first_deploy_up() {
    cluster(async |room| {
        room.runs("checkout", &[deployment("checkout")]).await?;
        room.goes_live("checkout 42").await?;
        room.is_made_of("checkout", &[deployment("checkout"), load_balancer("public")]);
        room.alice("checkout main").await;
        room.says("Service/public is progressing").await?;
        room.heals("checkout", &tag(room)).await?;
        let message = room.says("rollback to").await?;
        ensure!(message.contains("Progressing as before, because of `Service/public`"), "{message}");
        Ok(())
    });
}

/// Kubernetes removes it when it is done, each time. Argo CD calls it missing.
#[test]
fn a_job_that_is_removed_when_it_is_done_holds_nothing_up() {
    cluster(async |room| {
        room.runs("checkout", &[deployment("checkout")]).await?;
        let job =
            job("once", "takes: 1s").replace("  backoffLimit: 0", "  ttlSecondsAfterFinished: 0\n  backoffLimit: 0");
        room.is_made_of("checkout", &[deployment("checkout"), job]);
        room.person_syncs("checkout").await?;
        // Before it was there it was missing, too: Argo CD shows that until it has seen the Job. A second later the Job is done.
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        let is_gone = |application: &serde_json::Value| {
            let status = &application["status"];
            let (compared, ended) = (status["reconciledAt"].as_str(), status["operationState"]["finishedAt"].as_str());
            status["health"]["status"] == "Missing" && compared >= ended
        };
        room.application_is("checkout", "without its Job", is_gone).await?;
        let message = room.goes_live("checkout 42").await?;
        // There it may be live before the Job is removed.
        ensure!(is_2_14() || message.contains("Missing as before, because of `Job/once`"), "{message}");
        Ok(())
    });
}
