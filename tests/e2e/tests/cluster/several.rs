//! Several Argo CD applications of one deploy: one commit, a sync of each, and a line of each in the one message.

use super::services::{said, share};
use anyhow::{Result, ensure};
use e2e::Room;
use e2e::cluster::{cluster, deployment, workload};
use sandbox::world::GITOPS;

/// Checkout runs in the east and in the west.
async fn twice(room: &Room, manifest: String) -> Result<()> {
    room.runs("checkout", &[manifest]).await?;
    room.runs_in_another("checkout-us", "checkout").await?;
    room.applications_are("checkout", &["checkout", "checkout-us"]);
    Ok(())
}

async fn runs(room: &Room, application: &str, tag: &str) -> Result<()> {
    let image = format!("/checkout:{tag}\"");
    let is = |application: &serde_json::Value| application["status"]["summary"]["images"].to_string().contains(&image);
    room.application_is(application, "as deployed", is).await.map(drop)
}

#[test]
fn all_go_live_by_one_commit() {
    cluster(async |room| {
        twice(room, deployment("checkout")).await?;
        let before = room.commits();
        room.alice("checkout 42").await;
        let message = room.says("is live").await?;
        for application in ["checkout", "checkout-us"] {
            let line = format!("• `{}`: live.", room.application_of(application));
            ensure!(message.contains(&line), "{message}");
            runs(room, application, &room.tag("checkout", "feature/totals")).await?;
        }
        ensure!(room.commits() == before + 1, "{} commits", room.commits() - before);
        let first = room.tag("checkout", "feature/totals");
        room.builds("checkout", "main", "alice");
        room.goes_live("checkout main").await?;
        room.heals("checkout", &first).await?;
        runs(room, "checkout", &first).await?;
        runs(room, "checkout-us", &first).await
    });
}

/// One commit takes all of them back.
#[test]
fn all_go_back_by_themselves_if_one_is_degraded() {
    cluster(async |room| {
        let impatient = workload("Deployment", "checkout", "  replicas: 1\n", "  progressDeadlineSeconds: 3\n", "");
        twice(room, impatient).await?;
        room.in_the_catalog("checkout", "auto_rollback: true");
        room.goes_live("checkout 42").await?;
        room.all_told().await?;
        let (first, before) = (room.tag("checkout", "feature/totals"), room.commits());
        room.has_a_branch("checkout", "cannot-pull");
        room.alice("checkout cannot-pull").await;
        room.says("I roll it back by myself").await?;
        room.is_back(&first).await?;
        runs(room, "checkout", &first).await?;
        runs(room, "checkout-us", &first).await?;
        ensure!(room.commits() == before + 2, "{} commits", room.commits() - before);
        Ok(())
    });
}

#[test]
fn those_with_a_label_go_live() {
    cluster(async |room| {
        twice(room, deployment("checkout")).await?;
        let suite = room.application_of("suite");
        room.applications_have("checkout", &format!("suite={suite},region in (eu, us)"));
        room.alice("checkout 42").await;
        room.says("Argo CD shows no application of checkout that has").await?;
        for (application, region) in [("checkout", "eu"), ("checkout-us", "us")] {
            room.has_labels(application, serde_json::json!({ "suite": suite, "region": region })).await?;
        }
        let before = room.commits();
        let message = room.goes_live("checkout 42").await?;
        for application in ["checkout", "checkout-us"] {
            ensure!(message.contains(&format!("• `{}`: live.", room.application_of(application))), "{message}");
            runs(room, application, &room.tag("checkout", "feature/totals")).await?;
        }
        ensure!(room.commits() == before + 1, "{} commits", room.commits() - before);
        Ok(())
    });
}

#[test]
fn one_that_fails_fails_the_deploy_and_is_named() {
    cluster(async |room| {
        let slow =
            workload("Deployment", "checkout", "  replicas: 1\n", "", "      annotations: { paper/takes: 5s }\n");
        twice(room, slow).await?;
        room.alice("checkout 42").await;
        let name = room.application_of("checkout-us");
        room.says(&format!("• `{name}`: rolled out")).await?;
        room.deletes("checkout-us").await?;
        let message = room.says(&format!("`{name}`: Argo CD is deleting this application")).await;
        let message = match message {
            Ok(message) => message,
            // The real one is quicker.
            Err(_) => room.says(&format!("`{name}`: I can't see this app in Argo CD any more")).await?,
        };
        ensure!(message.contains(&format!("• `{name}`: failed.")), "{message}");
        ensure!(message.contains(&format!("• `{}`: ", room.application_of("checkout"))), "{message}");
        ensure!(!message.contains("is live"), "{message}");
        Ok(())
    });
}

/// Another service runs in one of the applications: it waits for its turn there.
#[test]
fn each_application_has_its_turn() {
    cluster(async |room| {
        let slow =
            workload("Deployment", "checkout", "  replicas: 1\n", "", "      annotations: { paper/takes: 3s }\n");
        share(room, slow).await?;
        room.runs_in_another("checkout-us", "checkout").await?;
        let catalog = String::from_utf8_lossy(&room.file("deploy-bot.yaml")).into_owned();
        let (ours, theirs) = catalog.split_once("  payments:\n").unwrap_or((&catalog, ""));
        let at = |name| format!("argocd: {{ application: {} }}", room.application_of(name));
        let catalog = format!("{ours}  payments:\n{}", theirs.replace(&at("checkout"), &at("checkout-us")));
        let files = [("deploy-bot.yaml", catalog.as_str())];
        room.github.lock().person_pushes(GITOPS, "main", "carol", &files, "Change the catalog");
        room.applications_are("checkout", &["checkout", "checkout-us"]);
        let before = room.commits();
        let (checkout, payments) = (room.tag("checkout", "feature/totals"), room.tag("payments", "feature/refunds"));
        room.alice("checkout 42").await;
        room.alice("payments 7").await;
        room.says(&format!("is live: `{checkout}`")).await?;
        room.says(&format!("is live: `{payments}`")).await?;
        ensure!(said(room, "in the same Argo CD application"), "nobody waited: {:#?}", room.said());
        ensure!(room.commits() == before + 2, "{} commits", room.commits() - before);
        runs(room, "checkout-us", &checkout).await
    });
}
