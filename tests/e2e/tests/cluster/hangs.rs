//! A sync that does not end.

use anyhow::ensure;
use e2e::cluster::{annotated, cluster, config_map, deployment, hook};
use sandbox::world::ALICE;
use serde_json::json;

use super::{never_live, tag};
use crate::conversation::says;

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

/// A wave waits for what never gets well. The Pod is named, and a rollback ends the sync if somebody says so.
#[test]
fn a_wave_that_never_gets_well_ends_once_somebody_presses() {
    cluster(async |room| {
        let first = annotated(&deployment("checkout"), "argocd.argoproj.io/sync-wave: \"-1\"");
        room.runs("checkout", &[first, config_map("settings")]).await?;
        room.goes_live("checkout 42").await?;
        room.has_a_branch("checkout", "cannot-pull");
        room.alice("checkout cannot-pull").await;
        room.says("waiting for healthy state of apps/Deployment/checkout").await?;
        room.says("PullBackOff").await?;
        room.alice("rollback checkout").await;
        let waits = says(room, "for the sync of an older deploy").await?;
        room.press(ALICE, &waits, "terminate").await;
        room.is_back(&tag(room)).await
    });
}

#[test]
fn a_hook_whose_image_cannot_be_pulled_is_named() {
    cluster(async |room| {
        room.runs("checkout", &[deployment("checkout"), hook("PreSync", "migrate", "takes: 1s")]).await?;
        room.goes_live("checkout 42").await?;
        room.has_a_branch("checkout", "cannot-pull");
        room.alice("checkout cannot-pull").await;
        room.says("waiting for Job/migrate (PreSync hook). Pod migrate-").await?;
        room.says("PullBackOff").await?;
        room.alice("rollback checkout").await;
        let waits = says(room, "for the sync of an older deploy").await?;
        room.press(ALICE, &waits, "terminate").await;
        room.is_back(&tag(room)).await
    });
}

#[test]
fn during_a_long_hook_the_next_deploy_waits() {
    cluster(async |room| {
        room.runs("checkout", &[deployment("checkout")]).await?;
        room.is_made_of("checkout", &[deployment("checkout"), hook("PreSync", "migrate", "takes: 5s")]);
        room.alice("checkout 42").await;
        room.says("migrate").await?;
        room.bob("checkout main").await;
        room.says("waiting for the deploy by @alice").await?;
        room.says(&format!("is live: `{}`", tag(room))).await?;
        room.says(&format!("is live: `{}`", room.tag("checkout", "main"))).await?;
        Ok(())
    });
}

/// The window closes while a hook runs: Argo CD goes on when the window opens.
#[test]
fn a_window_that_closes_meanwhile_holds_the_sync() {
    cluster(async |room| {
        room.project_permits("checkout", json!([{ "group": "*", "kind": "*" }])).await?;
        room.runs("checkout", &[deployment("checkout")]).await?;
        room.is_made_of("checkout", &[deployment("checkout"), hook("PreSync", "migrate", "takes: 2s")]);
        room.alice("checkout 42").await;
        room.says("migrate").await?;
        room.sync_window_is("checkout", false).await?;
        room.says("blocked by sync window").await?;
        never_live(room);
        room.sync_window_is("checkout", true).await?;
        room.says("is live").await?;
        Ok(())
    });
}
