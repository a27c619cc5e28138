//! What happens in the cluster, and what the message says about it: on the stand-in and, with `ARGOCD=real`, on a real Argo CD.

use e2e::Room;
use e2e::cluster::{cluster, cron_job, deployment, hook, ingress, stateful_set};

/// The bot never said that the app is live.
fn never_live(room: &Room) {
    assert!(!room.told().iter().any(|text| text.contains("is live")), "{:#?}", room.told());
}

#[test]
fn a_deployment_goes_live() {
    cluster(async |room| {
        room.runs("checkout", &[deployment("checkout")]).await?;
        room.goes_live("checkout 42").await?;
        let application = room.application("checkout").await?;
        let image = format!("/acme/checkout:{}", room.tag("checkout", "feature/totals"));
        assert!(application["status"]["summary"]["images"].to_string().contains(&image), "{application:#}");
        Ok(())
    });
}
