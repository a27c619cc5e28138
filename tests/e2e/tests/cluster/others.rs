//! What people and controllers do in Argo CD while a deploy is under way.

use anyhow::ensure;
use e2e::cluster::{cluster, deployment, hook};
use sandbox::world::GITOPS;
use serde_json::json;

use super::{never_live, slow};

/// ApplicationSets write an operation so, and over ours: our version rolls out all the same.
#[test]
fn an_operation_without_a_revision_after_ours_goes_on() {
    cluster(async |room| {
        room.runs("checkout", &[slow("5s")]).await?;
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
        room.runs("checkout", &[slow("5s")]).await?;
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
        room.runs("checkout", &[deployment("checkout")]).await?;
        room.is_made_of("checkout", &[slow("20s")]);
        room.alice("checkout 42").await;
        room.says("Health: progressing").await?;
        room.deletes("checkout").await?;
        let message = room.says("delet").await?;
        ensure!(!message.contains("is live"), "{message}");
        Ok(())
    });
}

#[test]
fn our_commit_that_a_person_syncs_once_more_goes_live() {
    cluster(async |room| {
        room.runs("checkout", &[slow("5s")]).await?;
        room.alice("checkout 42").await;
        room.says("Health: progressing").await?;
        room.person_syncs("checkout").await?;
        let message = room.says("is live").await?;
        ensure!(message.contains("admin synced it once more in Argo CD"), "{message}");
        Ok(())
    });
}

/// The repository has many apps, so its newest commit is soon another one. For this app it says the same.
#[test]
fn a_later_commit_of_another_folder_that_a_person_syncs_goes_live() {
    cluster(async |room| {
        room.runs("checkout", &[slow("5s")]).await?;
        room.alice("checkout 42").await;
        room.says("Health: progressing").await?;
        let files = [("payments/note.txt", "Not about checkout.\n")];
        room.github.lock().person_pushes(GITOPS, "main", "carol", &files, "Write a note");
        room.person_syncs("checkout").await?;
        let message = room.says("is live").await?;
        ensure!(message.contains("admin synced it once more in Argo CD"), "{message}");
        Ok(())
    });
}

#[test]
fn a_rollback_in_argo_cd_meanwhile_supersedes_ours() {
    cluster(async |room| {
        room.runs("checkout", &[slow("5s")]).await?;
        room.alice("checkout 42").await;
        room.says("Health: progressing").await?;
        room.person_rolls_back("checkout").await?;
        let message = room.says("stopped: ").await?;
        ensure!(message.contains("admin"), "{message}");
        never_live(room);
        Ok(())
    });
}

/// As `kubectl replace --force` does it, or an ApplicationSet that gets another name.
#[test]
fn an_application_that_is_made_anew_meanwhile_goes_live() {
    cluster(async |room| {
        room.runs("checkout", &[slow("5s")]).await?;
        room.alice("checkout 42").await;
        room.says("Health: progressing").await?;
        room.is_replaced("checkout").await?;
        room.says("is live").await?;
        Ok(())
    });
}

/// What is newer than ours breaks the comparison, not our version.
#[test]
fn a_later_commit_that_breaks_the_chart_does_not_fail_ours() {
    cluster(async |room| {
        room.runs("checkout", &[deployment("checkout")]).await?;
        room.is_made_of("checkout", &[deployment("checkout"), hook("PreSync", "migrate", "takes: 2s")]);
        room.alice("checkout 42").await;
        room.says("migrate").await?;
        let broken = "kind: {{ .Values.nothing.here }}\n".to_owned();
        room.is_made_of("checkout", &[deployment("checkout"), broken]);
        let message = room.says("is live").await?;
        ensure!(message.contains("Argo CD says: ComparisonError"), "{message}");
        Ok(())
    });
}

#[test]
fn a_destination_that_is_mended_goes_live() {
    cluster(async |room| {
        room.runs("checkout", &[slow("3s")]).await?;
        room.alice("checkout 42").await;
        room.says("Health: progressing").await?;
        room.destination_is("checkout", false).await?;
        let message = room.says("Argo CD says: InvalidSpecError").await?;
        ensure!(message.contains("nowhere"), "{message}");
        never_live(room);
        room.destination_is("checkout", true).await?;
        room.says("is live").await?;
        Ok(())
    });
}

#[test]
fn auto_sync_that_is_switched_on_meanwhile_changes_nothing() {
    cluster(async |room| {
        room.runs("checkout", &[deployment("checkout")]).await?;
        room.is_made_of("checkout", &[deployment("checkout"), hook("PreSync", "migrate", "takes: 2s")]);
        room.alice("checkout 42").await;
        room.says("migrate").await?;
        room.syncs_by_itself("checkout", true).await?;
        room.says("is live").await?;
        ensure!(room.hook_runs("checkout", "migrate").await? == 1, "the hook ran again");
        Ok(())
    });
}

#[test]
fn two_apps_at_the_same_time_go_live() {
    cluster(async |room| {
        for app in ["checkout", "payments"] {
            room.runs(app, &[deployment(app)]).await?;
        }
        tokio::join!(room.alice("checkout 42"), room.bob("payments 7"));
        for (app, branch) in [("checkout", "feature/totals"), ("payments", "feature/refunds")] {
            room.says(&format!("is live: `{}`", room.tag(app, branch))).await?;
        }
        Ok(())
    });
}
