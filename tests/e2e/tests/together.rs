//! Several people at the same moment, or one person whose click arrives several times.

use anyhow::Result;
use e2e::{PATIENCE, Room, quick, room};
use sandbox::hold::Moment::Before as Ahead;
use sandbox::{Sandbox, now, world};
use std::time::Duration;

/// Waits until this many messages each end with one of these words.
async fn all_say(room: &Room, count: usize, ends: &[&str]) -> Result<Vec<String>> {
    let look = |_: &Sandbox| {
        let is_over = |text: &String| ends.iter().any(|end| text.contains(end));
        let mut all = room.messages();
        let are_over = all.iter().all(is_over);
        all.extend(room.whispers().into_iter().filter(is_over));
        (are_over && all.len() == count).then_some(all)
    };
    match room.until(&format!("end of {count} deployments"), PATIENCE, look).await {
        Ok(messages) => Ok(messages),
        Err(error) => Err(error.context(format!("{:#?}", room.messages()))),
    }
}

/// Two people deploy the same app at the same moment. One of them goes first. The other one waits, reads for whom, with a link
/// to that message, and then goes, too. The same holds when Slack is slow.
#[test]
fn of_two_deploys_of_one_app_one_waits() {
    for slack in [Duration::ZERO, Duration::from_millis(800)] {
        room(async |room| -> Result<()> {
            room.script("checkout", quick());
            room.builds("checkout", "main", "bob");
            room.slack.latency(slack);
            let commits = room.commits();
            let (one, two) = tokio::join!(room.alice("checkout 42"), room.bob("checkout main"));
            assert_eq!((one.status, two.status), (Some(200), Some(200)));
            all_say(room, 2, &["is live"]).await?;
            assert_eq!(room.commits(), commits + 2);
            let argocd = room.argocd.lock();
            let last = if argocd.live_tag("checkout") == Some(room.tag("checkout", "main").as_str()) {
                "@alice"
            } else {
                "@bob"
            };
            assert_eq!(argocd.syncs().len(), 2);
            drop(argocd);
            let told = room.told();
            // With a link as soon as there is a message to look at.
            let waits = format!("waiting for the deploy by {last}");
            assert!(told.iter().any(|text| text.contains(&waits) && text.contains("Then it goes on")), "{told:#?}");
            Ok(())
        });
    }
}

/// Two apps at the same moment share a branch. Both go live, by a commit each, and no message mentions a
/// collision.
#[test]
fn two_apps_at_the_same_moment_both_go_live() {
    room(async |room| -> Result<()> {
        room.script("checkout", quick());
        room.script("payments", quick());
        let (one, two) = tokio::join!(room.alice("checkout 42"), room.bob("payments 7"));
        assert_eq!((one.status, two.status), (Some(200), Some(200)));
        all_say(room, 2, &["is live"]).await?;

        let commits = room.github.lock().commits(world::GITOPS, "main");
        let mut changed: Vec<Vec<String>> = commits[..2].iter().map(|commit| commit.changed()).collect();
        changed.sort();
        assert_eq!(changed, [["checkout/values.yaml"], ["payments/values.yaml"]]);
        let argocd = room.argocd.lock();
        for (app, branch) in [("checkout", "feature/totals"), ("payments", "feature/refunds")] {
            assert_eq!(argocd.live_tag(app), Some(room.tag(app, branch).as_str()));
        }
        assert_eq!(argocd.syncs().len(), 2);
        drop(argocd);
        for (_, _, text) in room.said() {
            for bad in ["not deployed", "didn't confirm", "I couldn't", "failed", ":x:", "STALE"] {
                assert!(!text.contains(bad), "{text}");
            }
        }
        Ok(())
    });
}

/// Two services of one Argo CD application, each with a values file of its own. The same version again is synced with the
/// newest commit: the older one would take away what the other service has brought since.
#[test]
fn the_same_version_again_takes_nothing_of_another_service_away() {
    room(async |room| -> Result<()> {
        room.script("checkout", quick());
        // The stand-in's application has one image, which is not that of payments.
        room.in_the_catalog("payments", "argocd: { application: checkout }\n    verify_running: off");
        room.goes_live("checkout 42").await?;
        room.goes_live("payments 7").await?;
        let newest = room.github.lock().head(world::GITOPS, "main");
        let commits = room.commits();
        room.goes_live("checkout 42").await?;
        assert_eq!(room.commits(), commits);
        let argocd = room.argocd.lock();
        assert_eq!(argocd.syncs().last().and_then(|sync| sync.revision()), newest.as_deref());
        Ok(())
    });
}

/// A deploy that waits for that of another service has no commit yet: it can be cancelled by its name, and a rollback of the
/// other service goes ahead of it.
#[test]
fn a_deploy_that_waits_for_another_service_can_be_cancelled() {
    room(async |room| -> Result<()> {
        room.script("checkout", quick());
        room.in_the_catalog("payments", "argocd: { application: checkout }\n    verify_running: off");
        room.builds("checkout", "main", "alice");
        room.goes_live("checkout main").await?;
        let commits = room.commits();
        let held = room.argocd.hold(Ahead, "argocd.sync", 1);
        room.alice("checkout 42").await;
        held.reached().await?;
        room.alice("payments 7").await;
        room.says("waiting for the deploy of checkout in the same Argo CD application").await?;
        room.command(world::BOB, world::DEPLOYS, "cancel payments").await;
        room.says("cancelled by @bob").await?;
        assert_eq!(room.commits(), commits + 1);
        held.release();
        all_say(room, 3, &["is live", "cancelled"]).await?;
        Ok(())
    });
}

/// A person pushes to the branch between the bot's read and its commit. GitHub rejects that commit; the bot
/// reads again and commits on top, and the person's change stays.
#[test]
fn a_push_between_reading_and_committing_is_built_upon() {
    room(async |room| -> Result<()> {
        room.script("checkout", quick());
        // The HEAD at the registry comes between the two.
        room.registry.latency(Duration::from_millis(300));
        room.alice("checkout 42").await;
        let asks = |room: &Sandbox| room.journal.entries().iter().any(|entry| entry.system == "registry").then_some(());
        room.until("question to the registry", PATIENCE, asks).await?;
        let files = [("checkout/limits.yaml", "memory: 1Gi\n")];
        let theirs = room.github.lock().person_pushes(world::GITOPS, "main", "carol", &files, "Limit the memory");
        room.says("is live").await?;

        let commits = room.github.lock().commits(world::GITOPS, "main");
        assert_eq!(commits[0].parents, [theirs]);
        assert_eq!(commits[0].changed(), ["checkout/values.yaml"]);
        assert_eq!(room.file("checkout/limits.yaml"), b"memory: 1Gi\n");
        assert_eq!(room.github.lock().calls("github.commit"), 2, "the first one was refused");
        assert_eq!(room.argocd.lock().syncs().len(), 1);
        Ok(())
    });
}

/// An impatient proxy delivers the same click four times at once: four answers, one deployment, one message, one commit, one sync.
#[test]
fn the_same_click_four_times_is_one_deployment() {
    room(async |room| -> Result<()> {
        room.script("checkout", quick());
        let commits = room.commits();
        let click = room.slack.lock().command(now(), world::ALICE, world::DEPLOYS, "checkout 42");
        let (a, b, c, d) = tokio::join!(room.send(&click), room.send(&click), room.send(&click), room.send(&click));
        for answer in [a, b, c, d] {
            assert_eq!(answer.status, Some(200));
            assert!(answer.is_accepted(), "{}", answer.body);
        }
        room.says("is live").await?;
        // And once more when the deploy has ended.
        let repeated = room.slack.lock().repeat(now(), &click);
        assert_eq!(room.send(&repeated).await.status, Some(200));
        room.goes_live("checkout 42").await?;

        assert_eq!(room.messages().len(), 2, "the second one is the second deploy's");
        assert_eq!(room.commits(), commits + 1);
        assert_eq!(room.github.lock().calls("github.commit"), 1);
        assert_eq!(room.argocd.lock().syncs().len(), 2);
        let ids: Vec<String> = room.keys().await?.into_iter().filter(|key| key.ends_with("/request")).collect();
        assert_eq!(ids.len(), 2, "{ids:?}");
        Ok(())
    });
}
