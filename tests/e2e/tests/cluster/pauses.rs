//! Rollouts that pause.

use anyhow::ensure;
use e2e::cluster::{cluster, rollout};

use super::never_live;

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

#[test]
fn a_canary_that_somebody_promotes_goes_live() {
    cluster(async |room| {
        room.runs("checkout", &[rollout("checkout", "{ setWeight: 50 }, { pause: {} }")]).await?;
        room.alice("checkout 42").await;
        room.says("Health: suspended").await?;
        never_live(room);
        room.person_resumes("checkout").await?;
        room.says("is live").await?;
        Ok(())
    });
}

/// Argo Rollouts goes back to the version before. Git still has the new one.
#[test]
fn a_canary_that_somebody_aborts_has_failed() {
    cluster(async |room| {
        room.in_the_catalog("checkout", "degraded_grace: 1s");
        room.runs("checkout", &[rollout("checkout", "{ setWeight: 50 }, { pause: {} }")]).await?;
        room.alice("checkout 42").await;
        room.says("Health: suspended").await?;
        room.person_aborts("checkout").await?;
        let message = room.says("not healthy").await?;
        ensure!(message.contains("RolloutAborted"), "{message}");
        never_live(room);
        Ok(())
    });
}
