//! Calls of Argo CD that fail, and what follows.

use anyhow::ensure;
use e2e::cluster::{cluster, deployment, hook};
use fakes::Fault;
use std::time::Duration;

use super::slow;

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
        room.runs("checkout", &[slow("3s")]).await?;
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
