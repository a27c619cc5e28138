//! What other people do in Argo CD while the bot deploys: they sync, close windows, delete the application.

use anyhow::Result;
use e2e::{PATIENCE, Room, quick, room};
use fakes::argocd::{App, Script, Source, Streams, Window};
use fakes::{Fault, Response};
use sandbox::world::{DEPLOYS, GITOPS};
use sandbox::{Sandbox, now};
use std::time::Duration;

use crate::conversation::hurry;

fn head(room: &Room) -> String {
    room.github.lock().head(GITOPS, "main").unwrap_or_default()
}

/// Every sync that the bot asked for: the answer's status and the revision.
fn asked(room: &Room) -> Vec<(u16, String)> {
    let argocd = room.argocd.lock();
    argocd.syncs().iter().map(|sync| (sync.status, sync.revision().unwrap_or_default().to_owned())).collect()
}

/// Somebody is quicker by a moment: the bot sees no operation, but there is one when its request for the sync
/// arrives.
#[test]
fn an_operation_that_begins_right_before_the_sync_is_waited_out() {
    room(async |room| -> Result<()> {
        room.script("checkout", Script { ends: 1500, ..quick() });
        let old = head(room);
        room.argocd.latency(Duration::from_millis(700));
        room.alice("checkout 42").await;
        let asks = |room: &Sandbox| room.journal.calls_since(0).iter().any(|call| call == "argocd.sync").then_some(());
        room.until("question on its way", PATIENCE, asks).await?;
        room.argocd.lock().person_syncs(now(), "checkout", Some(&old)).map_err(anyhow::Error::msg)?;
        room.argocd.latency(Duration::ZERO);
        room.says("Waiting for another operation in Argo CD, started by admin").await?;
        room.says("is live").await?;
        assert_eq!(asked(room), [(400, head(room)), (200, head(room))]);
        Ok(())
    });
}

/// The window closes after Argo CD has taken the sync: Argo CD waits by itself, and the bot does not ask
/// again.
#[test]
fn a_window_that_closes_after_the_sync_was_taken_is_waited_for() {
    room(async |room| -> Result<()> {
        room.script("checkout", Script { compares: 1000, ..quick() });
        room.alice("checkout 42").await;
        room.says("rolling out").await?;
        room.argocd.lock().app("checkout").window = Window::Closed;
        room.says("Sync operation blocked by sync window").await?;
        room.argocd.lock().app("checkout").window = Window::Open;
        room.says("is live").await?;
        assert_eq!(asked(room), [(200, head(room))]);
        Ok(())
    });
}

/// Somebody mistyped the schedule of a window. Such a window never opens by itself, so the bot does not wait.
#[test]
fn a_sync_window_that_argo_cd_cannot_read_ends_the_deploy_in_words() {
    room(async |room| -> Result<()> {
        room.argocd.lock().app("checkout").window = Window::Invalid;
        room.alice("checkout 42").await;
        let message = room.says("Argo CD refused the sync: cannot sync: invalid sync window").await?;
        assert!(message.contains("the cluster is unchanged."), "{message}");
        assert_eq!(asked(room).len(), 1);
        Ok(())
    });
}

/// Before the sync, during it, and during it without an event stream to say so.
#[test]
fn an_application_that_is_gone_ends_the_deploy_in_words() {
    room(async |room| -> Result<()> {
        room.script("checkout", Script { ends: 5000, ..quick() });
        room.argocd.lock().remove("payments");
        room.bob("payments 7").await;
        let message = room.says("Argo CD has no such application").await?;
        assert!(message.contains("the cluster is unchanged."), "{message}");
        assert_eq!(asked(room), []);

        room.alice("checkout 42").await;
        room.says("rolling out").await?;
        room.argocd.lock().remove("checkout");
        let lost = "*checkout #42*  I can't see this app in Argo CD any more: Argo CD says that there is no such";
        let message = room.says(lost).await?;
        assert!(message.contains("the cluster may have parts of it."), "{message}");
        assert_eq!(asked(room).len(), 1);
        Ok(())
    });
    room(async |room| -> Result<()> {
        room.argocd.lock().streams = Streams::Silent;
        room.script("checkout", Script { ends: 5000, ..quick() });
        room.alice("checkout 42").await;
        room.says("rolling out").await?;
        room.argocd.lock().remove("checkout");
        let message = room.says("I can't see this app in Argo CD any more").await?;
        assert!(message.contains("the cluster may have parts of it."), "{message}");
        Ok(())
    });
}

/// The application has a finalizer, so it is still there, marked as deleted. A sync now would be deleted with
/// the application.
#[test]
fn an_application_being_deleted_during_the_sync_ends_the_deploy_in_words() {
    room(async |room| -> Result<()> {
        room.script("checkout", Script { ends: 5000, ..quick() });
        room.alice("checkout 42").await;
        room.says("rolling out").await?;
        room.argocd.lock().person_deletes(now(), "checkout");
        let message = room.says("Argo CD is deleting this application").await?;
        assert!(message.contains("the cluster may have parts of it."), "{message}");
        assert_eq!(asked(room), [(200, head(room))]);
        Ok(())
    });
}

/// Somebody syncs the old version before the bot asks for its sync: the bot's sync comes last and wins.
#[test]
fn a_sync_of_another_commit_before_ours_does_not_supersede_it() {
    room(async |room| -> Result<()> {
        room.github.lock().webhook(GITOPS).lost = 1;
        room.script("checkout", Script { ends: 500, ..quick() });
        let old = head(room);
        room.alice("checkout 42").await;
        let landed = |room: &Sandbox| (room.github.lock().head(GITOPS, "main")? != old).then_some(());
        room.until("commit", PATIENCE, landed).await?;
        room.argocd.lock().person_syncs(now(), "checkout", Some(&old)).map_err(anyhow::Error::msg)?;
        room.says("is live").await?;
        assert_eq!(asked(room), [(200, head(room))]);
        Ok(())
    });
}

/// The bot's request for the sync is lost, and somebody syncs at that moment. A sync of the bot's commit is
/// as good as the bot's own; a sync of another commit is not.
#[test]
fn after_a_lost_request_only_a_sync_of_our_commit_counts() {
    for same in [true, false] {
        room(async |room| -> Result<()> {
            room.script("checkout", Script { ends: 1000, ..quick() });
            let old = head(room);
            room.argocd.fault("argocd.sync", Fault::HangBefore(Duration::from_secs(1)), 1);
            room.alice("checkout 42").await;
            let asks =
                |room: &Sandbox| room.journal.calls_since(0).iter().any(|call| call == "argocd.sync").then_some(());
            room.until("question on its way", PATIENCE, asks).await?;
            let ours = head(room);
            let revision = if same { &ours } else { &old };
            room.argocd.lock().person_syncs(now(), "checkout", Some(revision)).map_err(anyhow::Error::msg)?;
            let tag = room.tag("checkout", "feature/totals");
            if same {
                room.says(&format!("is live: `{tag}`")).await?;
                assert_eq!(room.argocd.lock().live_tag("checkout"), Some(tag.as_str()));
                assert!(!room.told().iter().any(|text| text.contains("stopped: ")), "{:#?}", room.told());
            } else {
                let message = room.says("stopped: admin started another sync in Argo CD").await?;
                assert!(message.contains("Check Argo CD before you deploy again."), "{message}");
                assert_ne!(room.argocd.lock().live_tag("checkout"), Some(tag.as_str()));
            }
            assert_eq!(asked(room), [], "it does not fight");
            Ok(())
        });
    }
}

/// Somebody replaces the application, with `kubectl replace --force`, say: for a moment it is gone, and the new one has no operation.
#[test]
fn an_application_that_is_deleted_and_made_again_goes_on() {
    room(async |room| -> Result<()> {
        room.script("checkout", Script { ends: 5000, ..quick() });
        room.alice("checkout 42").await;
        room.says("rolling out").await?;
        {
            let mut argocd = room.argocd.lock();
            let (image, again) = (argocd.app("checkout").image.clone(), "https://github.com/acme/gitops");
            argocd.remove("checkout");
            let mut app = App::new("checkout", Source::new(again, "main").at("checkout"));
            (app.image, app.script) = (image, quick());
            argocd.add(now(), app);
        }
        room.says("is live").await?;
        assert_eq!(asked(room), [(200, head(room)), (200, head(room))]);
        assert!(!room.told().iter().any(|text| text.contains("no such application")), "{:#?}", room.told());
        Ok(())
    });
}

/// The same in another project: that one is not the catalog's.
#[test]
fn an_application_that_is_made_again_in_another_project_is_not_synced() {
    room(async |room| -> Result<()> {
        room.script("checkout", Script { ends: 5000, ..quick() });
        room.alice("checkout 42").await;
        room.says("rolling out").await?;
        {
            let mut argocd = room.argocd.lock();
            argocd.remove("checkout");
            let mut app = App::new("checkout", Source::new("https://github.com/acme/gitops", "main").at("checkout"));
            app.project = "elsewhere".to_owned();
            argocd.add(now(), app);
        }
        room.says("I can't see this app in Argo CD any more").await?;
        assert_eq!(asked(room).len(), 1);
        Ok(())
    });
}

/// A rollback takes the turn from a deploy, and a second rollback from the first, and comes to nothing. The turn is the first
/// rollback's then: the older commit of the deploy is never synced.
#[test]
fn the_turn_does_not_come_back_to_what_was_rolled_back() {
    room(async |room| -> Result<()> {
        hurry(room);
        room.goes_live("checkout 42").await?;
        let good = room.tag("checkout", "feature/totals");
        // Argo CD shows nothing meanwhile.
        room.argocd.fault("argocd.*", Fault::Instead(Response::text(502, "Bad Gateway")), 1_000_000);
        room.builds("checkout", "main", "alice");
        let commits = room.commits();
        let made = async |count: usize| {
            let is_made = |room: &Sandbox| (room.github.lock().commits(GITOPS, "main").len() >= count).then_some(());
            room.until("commit", PATIENCE, is_made).await
        };
        room.alice("checkout main").await;
        made(commits + 1).await?;
        let bad = head(room);
        room.alice("rollback checkout").await;
        made(commits + 2).await?;
        room.alice("rollback checkout nobody-0000000").await;
        room.says("nobody-0000000").await?;
        room.says("history").await?;
        room.argocd.mend();
        let is_back = format!("is live: `{good}`");
        let back = |room: &Sandbox| {
            let slack = room.slack.lock();
            let all = slack.messages(DEPLOYS).iter().map(|message| slack.render(message));
            all.into_iter().any(|text| text.contains("rollback to") && text.contains(&is_back)).then_some(())
        };
        room.until("rollback that is live", PATIENCE, back).await?;
        room.says("stopped: a newer deploy took over").await?;
        assert!(asked(room).iter().all(|(_, revision)| *revision != bad), "{:?}", asked(room));
        Ok(())
    });
}
