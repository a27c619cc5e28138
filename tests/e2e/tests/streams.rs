//! How the bot follows Argo CD: event streams that are silent, stale or cut, a token or a right that is taken
//! away, a restart. The bot follows the sync to its end all the same, or the message says why not.

use anyhow::Result;
use e2e::{PATIENCE, Room, quick, room};
use fakes::argocd::{Health, Right, Script, Streams};
use fakes::{Fault, Response};
use sandbox::Sandbox;
use sandbox::world::GITOPS;
use serde_json::json;

fn head(room: &Room) -> String {
    room.github.lock().head(GITOPS, "main").unwrap_or_default()
}

/// Alice's deploy of checkout #42 is being synced, which takes this long.
async fn is_syncing(room: &Room, ends: u64) -> Result<()> {
    room.script("checkout", Script { ends, ..quick() });
    room.alice("checkout 42").await;
    room.says("rolling out").await?;
    Ok(())
}

/// It went live by one sync of one commit.
fn once(room: &Room) {
    let argocd = room.argocd.lock();
    let asked: Vec<_> = argocd.syncs().iter().map(|sync| (sync.status, sync.revision().map(str::to_owned))).collect();
    assert_eq!(asked, [(200, Some(head(room)))]);
    assert_eq!(argocd.live_tag("checkout"), Some(room.tag("checkout", "feature/totals").as_str()));
}

/// Signs of life are no events. Argo CD sends only these if the right to look is missing, or if its cache
/// hangs.
#[test]
fn a_stream_with_only_signs_of_life_is_given_up_for_polling() {
    room(async |room| -> Result<()> {
        room.script("checkout", quick());
        {
            let mut argocd = room.argocd.lock();
            (argocd.streams, argocd.keep_alive) = (Streams::Silent, 200);
        }
        room.goes_live("checkout 42").await?;
        once(room);
        Ok(())
    });
}

/// The stream begins well and then has only signs of life, for longer than everything else takes.
#[test]
fn a_stream_that_falls_silent_is_opened_again_by_the_next_watch() {
    room(async |room| -> Result<()> {
        room.script("checkout", quick());
        {
            let mut argocd = room.argocd.lock();
            (argocd.streams, argocd.keep_alive) = (Streams::Frozen, 200);
        }
        room.goes_live("checkout 42").await?;
        once(room);
        Ok(())
    });
}

/// Several cuts during every step of the sync, one of them with an error, and a cache that is seconds behind.
#[test]
fn streams_that_are_cut_all_the_time_and_lag_behind_show_every_step() {
    room(async |room| -> Result<()> {
        {
            let mut argocd = room.argocd.lock();
            argocd.cut_streams_after = Some(1000);
            argocd.cache_lag = 300;
            argocd.app("checkout").script = Script::with_waves("checkout");
        }
        room.alice("checkout 42").await;
        room.says("hook batch/Job/migrate").await?;
        room.argocd.lock().fail_streams("error reading from server: EOF");
        room.says("healthy state of apps/Deployment/checkout").await?;
        room.says("is live").await?;
        once(room);
        Ok(())
    });
}

/// The stream still shows the state before the sync, long after the sync was taken and even after it ended:
/// no reason to ask again.
#[test]
fn a_stream_that_is_seconds_behind_does_not_make_the_bot_ask_twice() {
    room(async |room| -> Result<()> {
        room.script("checkout", quick());
        // The bot looks again by itself after 400 ms here, after 3 s in production.
        room.argocd.lock().cache_lag = 1500;
        // Something happened right before, and the stream shows it when the sync is over.
        room.argocd.lock().look(sandbox::now(), "checkout", Some(Health::Progressing));
        room.goes_live("checkout 42").await?;
        once(room);
        Ok(())
    });
}

/// Argo CD's connections break, it is away for a while, and it loses its memory. Operations are kept in
/// Kubernetes.
#[test]
fn argo_cd_restarts_during_the_sync_and_the_deploy_goes_on() {
    room(async |room| -> Result<()> {
        is_syncing(room, 2500).await?;
        room.argocd.down().await;
        room.says("I'm still trying: I can't reach Argo CD").await?;
        room.argocd.lock().webhook_takes = None;
        room.argocd.up().await?;
        room.says("is live").await?;
        once(room);
        Ok(())
    });
}

/// The same at the worst moment: between the request for the sync and the answer.
#[test]
fn argo_cd_restarts_during_the_request_and_is_asked_again_only_if_it_forgot() {
    for forgot in [true, false] {
        room(async |room| -> Result<()> {
            room.script("checkout", quick());
            let fault = if forgot { Fault::DropBefore } else { Fault::DropAfter };
            room.argocd.fault("argocd.sync", fault, 1);
            room.alice("checkout 42").await;
            let asked =
                |room: &Sandbox| room.journal.calls_since(0).iter().any(|call| call == "argocd.sync").then_some(());
            room.until("question", PATIENCE, asked).await?;
            room.argocd.down().await;
            room.says("I'm still trying").await?;
            room.argocd.up().await?;
            room.says("is live").await?;
            once(room);
            Ok(())
        });
    }
}

/// The bot cannot see any more how the sync ends. The message says that, and not that nothing was synced.
#[test]
fn a_token_that_is_revoked_during_the_sync_ends_the_following_in_words() {
    room(async |room| -> Result<()> {
        is_syncing(room, 2500).await?;
        {
            let mut argocd = room.argocd.lock();
            argocd.revoke_token();
            argocd.fail_streams("error reading from server: EOF");
        }
        let lost = "I can't see this app in Argo CD any more: Argo CD doesn't accept my token.";
        let message = room.says(lost).await?;
        assert!(message.contains("The rollout may go on"), "{message}");
        let tag = room.tag("checkout", "feature/totals");
        let ends = |room: &Sandbox| (room.argocd.lock().live_tag("checkout") == Some(tag.as_str())).then_some(());
        room.until("end of the sync", PATIENCE, ends).await?;
        Ok(())
    });
}

#[test]
fn a_right_that_is_taken_away_during_the_sync_ends_the_following_in_words() {
    room(async |room| -> Result<()> {
        is_syncing(room, 8000).await?;
        room.argocd.lock().rights.retain(|(right, _)| *right != Right::Get);
        let lost = "I can't see this app in Argo CD any more: Argo CD doesn't allow it: permission denied";
        let message = room.says(lost).await?;
        assert!(message.contains("the cluster may have parts of it."), "{message}");
        Ok(())
    });
}

/// For some seconds after its start, and while Kubernetes is away, Argo CD gives the same errors as for good.
#[test]
fn errors_that_may_pass_are_waited_out() {
    let error = |status: u16, code: i64, why: &str| {
        Fault::Instead(Response::json(status, &json!({ "error": why, "code": code, "message": why })))
    };
    let project = "app is not allowed in project \"default\", or the project does not exist";
    let resolving = "error resolving repo revision: rpc error: code = Unavailable desc = connection refused";
    for (call, fault) in [
        ("argocd.sync", error(401, 16, "invalid session: failed to get settings")),
        ("argocd.sync", error(403, 7, "permission denied")),
        ("argocd.sync", error(400, 3, project)),
        ("argocd.sync", error(400, 9, resolving)),
        ("argocd.stream", error(403, 7, "permission denied")),
    ] {
        room(async |room| -> Result<()> {
            room.argocd.fault(call, fault.clone(), 3);
            room.argocd.fault("argocd.get", error(403, 7, "permission denied"), 3);
            room.alice("checkout 42").await;
            room.says("I'm still trying").await?;
            room.says("is live").await?;
            once(room);
            Ok(())
        });
    }
}

/// The account may sync by Argo CD's rules, so a "permission denied" that stays is another's: it is never final.
#[test]
fn a_right_that_is_there_is_never_called_missing() {
    room(async |room| -> Result<()> {
        let why = "permission denied";
        let refused = Response::json(403, &json!({ "error": why, "code": 7, "message": why }));
        room.argocd.fault("argocd.sync", Fault::Instead(refused), 1000);
        room.alice("checkout 42").await;
        room.until("question for the right", PATIENCE, |room| {
            room.journal.calls_since(0).iter().any(|call| call == "argocd.can_i").then_some(())
        })
        .await?;
        room.argocd.mend();
        room.says("is live").await?;
        assert!(!room.told().iter().any(|text| text.contains(":x:")), "{:#?}", room.told());
        Ok(())
    });
}

/// The bot sees nothing of the application, whose health is bad the whole time: the facts and the clock still
/// decide.
#[test]
fn a_silent_stream_does_not_hide_that_the_application_is_degraded() {
    room(async |room| -> Result<()> {
        let catalog = String::from_utf8_lossy(&room.file("deploy-bot.yaml")).into_owned();
        let catalog = catalog.replacen("allow: anyone\n", "allow: anyone\n    degraded_grace: 1s\n", 1);
        room.github.lock().person_pushes(GITOPS, "main", "carol", &[("deploy-bot.yaml", &catalog)], "Be strict");
        room.script("checkout", Script { health: vec![(0, Health::Degraded)], ..quick() });
        {
            let mut argocd = room.argocd.lock();
            (argocd.streams, argocd.keep_alive) = (Streams::Frozen, 200);
        }
        room.alice("checkout 42").await;
        let message = room.says("is rolled out, but not healthy").await?;
        assert!(message.contains("• Deployment/checkout: "), "{message}");
        Ok(())
    });
}
