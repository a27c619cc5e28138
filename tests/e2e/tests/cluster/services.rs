//! Several services in one Argo CD application: a chart with two Deployments, and two tags in one values file.

use anyhow::{Result, ensure};
use e2e::Room;
use e2e::cluster::{cluster, deployment, hook, workload};
use sandbox::world::{DEPLOYS, GITOPS};

use super::slow;

/// Carol makes one chart of checkout and payments, which are both in checkout's Argo CD application from now on.
pub(super) async fn share(room: &mut Room, checkout: String) -> Result<()> {
    put_together(room);
    room.runs("checkout", &[checkout, payments()]).await
}

fn payments() -> String {
    deployment("payments").replace(".Values.image.", ".Values.payments.")
}

fn put_together(room: &Room) {
    let values = String::from_utf8_lossy(&room.file("checkout/values.yaml")).into_owned();
    let line = |text: &&str| text.trim_start().starts_with("repository:");
    let image = values.lines().find(line).unwrap_or_default().replace("/acme/checkout", "/acme/payments");
    let values = format!("{values}\npayments:\n{image}\n  tag: {}\n", room.tag("payments", "main"));
    if room.real.is_none() {
        let name = image.trim_start().trim_start_matches("repository:").trim().to_owned();
        room.argocd.lock().app("checkout").beside = vec![name];
    }
    let application = room.application_of("checkout");
    let catalog = String::from_utf8_lossy(&room.file("deploy-bot.yaml")).into_owned();
    let (before, payments) = catalog.split_once("  payments:\n").unwrap_or((&catalog, ""));
    let kept: Vec<&str> = payments.lines().filter(|line| !line.contains("argocd:")).collect();
    let more =
        format!("values: checkout/values.yaml\n    tag_at: payments.tag\n    argocd: {{ application: {application} }}");
    let catalog = format!("{before}  payments:\n{}\n    {more}\n", kept.join("\n"));
    let files = [("checkout/values.yaml", values.as_str()), ("deploy-bot.yaml", catalog.as_str())];
    room.github.lock().person_pushes(GITOPS, "main", "carol", &files, "Put payments beside checkout");
}

/// What the application runs: these tags, and no others of the two.
async fn run(room: &Room, checkout: &str, payments: &str) -> Result<()> {
    let ours = |images: &str| {
        images.contains(&format!("/checkout:{checkout}\"")) && images.contains(&format!("/payments:{payments}\""))
    };
    room.application_is("checkout", "as deployed", |application| {
        let images = application["status"]["summary"]["images"].clone();
        images.as_array().is_some_and(|all| all.len() == 2) && ours(&images.to_string())
    })
    .await
    .map(drop)
}

/// What was said on the way, the last word included.
pub(super) fn said(room: &Room, words: &str) -> bool {
    room.said().iter().any(|(_, _, text)| text.contains(words))
}

#[test]
fn each_is_deployed_by_its_own_tag() {
    cluster(async |room| {
        share(room, deployment("checkout")).await?;
        let before = room.commits();
        let (old, new) = (room.tag("payments", "main"), room.tag("payments", "feature/refunds"));
        let checkout = room.tag("checkout", "feature/totals");
        room.goes_live("checkout 42").await?;
        run(room, &checkout, &old).await?;
        let old = room.builds("payments", "main", "bob");
        room.goes_live("payments main").await?;
        room.goes_live("payments 7").await?;
        run(room, &checkout, &new).await?;
        // Once more: the newest commit is synced, or payments would go back.
        room.goes_live("checkout 42").await?;
        run(room, &checkout, &new).await?;
        // A rollback takes one of them back.
        room.alice("rollback payments").await;
        room.is_back(&old).await?;
        run(room, &checkout, &old).await?;
        ensure!(room.commits() == before + 4, "{} commits", room.commits() - before);
        for app in ["checkout", "payments"] {
            let live = room.key(&format!("deploy-bot/target/{app}/default/live")).await?;
            ensure!(live.is_some(), "nothing is known to be live of {app}");
        }
        // Only what was rolled back is locked.
        room.command(sandbox::world::ALICE, DEPLOYS, "payments 7").await;
        room.says("payments is locked by @alice").await?;
        room.builds("checkout", "main", "alice");
        room.goes_live("checkout main").await?;
        Ok(())
    });
}

#[test]
fn both_at_the_same_time_go_live_one_after_the_other() {
    cluster(async |room| {
        share(room, slow("3s")).await?;
        let before = room.commits();
        let (checkout, payments) = (room.tag("checkout", "feature/totals"), room.tag("payments", "feature/refunds"));
        room.alice("checkout 42").await;
        room.alice("payments 7").await;
        room.says(&format!("is live: `{checkout}`")).await?;
        room.says(&format!("is live: `{payments}`")).await?;
        ensure!(said(room, "in the same Argo CD application"), "nobody waited: {:#?}", room.said());
        run(room, &checkout, &payments).await?;
        ensure!(room.commits() == before + 2, "{} commits", room.commits() - before);
        Ok(())
    });
}

#[test]
fn one_that_fails_does_not_fail_the_other() {
    cluster(async |room| {
        let impatient = workload("Deployment", "checkout", "  replicas: 1\n", "  progressDeadlineSeconds: 3\n", "");
        share(room, impatient).await?;
        room.goes_live("checkout 42").await?;
        room.has_a_branch("checkout", "cannot-pull");
        let commits = room.commits();
        room.alice("checkout cannot-pull").await;
        let has_committed =
            |room: &sandbox::Sandbox| (room.github.lock().commits(GITOPS, "main").len() > commits).then_some(());
        room.until("its commit", room.patience, has_committed).await?;
        room.alice("payments 7").await;
        room.says("exceeded its progress deadline").await?;
        let message = room.says(&format!("is live: `{}`", room.tag("payments", "feature/refunds"))).await?;
        ensure!(message.contains("Deployment/checkout") && message.contains("with another app's image"), "{message}");
        // It is so from the beginning now.
        room.builds("payments", "main", "bob");
        room.goes_live("payments main").await?;
        room.heals("checkout", &room.tag("checkout", "feature/totals")).await
    });
}

/// Past the deadline of its deploy, the next deploy ends it, of whichever service that is.
#[test]
fn a_hook_that_hangs_does_not_hold_the_other_up() {
    cluster(async |room| {
        room.in_the_catalog("checkout", "deadline: 30s");
        share(room, deployment("checkout")).await?;
        let smoke = |paper| hook("PostSync", "smoke", paper);
        room.is_made_of("checkout", &[deployment("checkout"), payments(), smoke("cause: hang")]);
        room.alice("checkout 42").await;
        room.says("timed out").await?;
        room.is_made_of("checkout", &[deployment("checkout"), payments(), smoke("takes: 1s")]);
        room.goes_live("payments 7").await?;
        Ok(())
    });
}
