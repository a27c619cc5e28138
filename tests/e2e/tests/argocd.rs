//! What Argo CD makes of the commit, and what the message says about it.

use e2e::{PATIENCE, Room, room};
use fakes::argocd::{App, End, Health, Script, Source, Streams, TagAt, Version, Window};
use fakes::{Fault, Response};
use sandbox::world::{self, GITOPS};
use serde_json::json;
use std::time::Duration;

const GITOPS_URL: &str = "https://github.com/acme/gitops";

/// A sync that is quick, and the health after it. A reconciliation counts only from the next whole second on.
fn then(health: &[(u64, Health)]) -> Script {
    Script { begins: 20, compares: 20, ends: 50, reconciles: 1100, ..Script::then(health) }
}

fn follows(room: &Room, script: Script) {
    room.argocd.lock().app("checkout").script = script;
}

/// Carol adds a line to checkout's entry in the catalog.
fn in_the_catalog(room: &Room, line: &str) {
    let catalog = String::from_utf8_lossy(&room.file("deploy-bot.yaml")).into_owned();
    let catalog = catalog.replacen("allow: anyone\n", &format!("allow: anyone\n    {line}\n"), 1);
    room.github.lock().person_pushes(GITOPS, "main", "carol", &[("deploy-bot.yaml", &catalog)], "Change the catalog");
}

fn head(room: &Room) -> String {
    room.github.lock().head(GITOPS, "main").unwrap_or_default()
}

/// The revisions that Argo CD took a sync to.
fn taken(room: &Room) -> Vec<String> {
    let argocd = room.argocd.lock();
    let taken = argocd.syncs().iter().filter(|sync| sync.status == 200);
    taken.filter_map(|sync| sync.revision().map(str::to_owned)).collect()
}

#[test]
fn healthy_without_our_image_is_not_live() {
    room(async |room| {
        follows(room, then(&[(0, Health::Healthy)]));
        room.argocd.lock().app("checkout").images = Some(vec!["ghcr.io/acme/checkout:old".to_owned()]);
        room.alice("checkout 42").await;
        let message =
            room.says("is rolled out and healthy, but the Pods still run `ghcr.io/acme/checkout:old`").await?;
        assert!(message.contains(&room.tag("checkout", "feature/totals")), "{message}");
        assert!(message.contains(&format!("Git has the new version (`{}`)", &head(room)[..7])), "{message}");
        assert!(!room.told().iter().any(|text| text.contains("is live")), "{:#?}", room.told());
        Ok(())
    });
}

/// The Pods were seen to run another version: a look at them that fails then does not take that back.
#[test]
fn a_look_at_the_pods_that_fails_does_not_make_it_live() {
    room(async |room| {
        follows(room, then(&[(0, Health::Healthy)]));
        room.argocd.lock().app("checkout").images = Some(vec!["ghcr.io/acme/checkout:old".to_owned()]);
        let since = room.journal.mark("deploy");
        room.alice("checkout 42").await;
        let seen = |room: &sandbox::Sandbox| {
            room.journal.calls_since(since).iter().any(|call| call == "argocd.tree").then_some(())
        };
        room.until("first look at the Pods", PATIENCE, seen).await?;
        room.argocd.fault("argocd.tree", Fault::Instead(Response::text(502, "Bad Gateway")), 3);
        room.says("is rolled out and healthy, but the Pods still run").await?;
        assert!(!room.told().iter().any(|text| text.contains("is live")), "{:#?}", room.told());
        Ok(())
    });
}

/// Zero replicas, only CronJobs, a project that shows no Pods: then what the sync applied counts.
#[test]
fn without_a_pod_what_was_applied_counts() {
    room(async |room| {
        follows(room, then(&[(0, Health::Healthy)]));
        room.argocd.lock().app("checkout").images = Some(Vec::new());
        room.goes_live("checkout 42").await?;
        // Before Argo CD 3.1 nothing says what was applied.
        room.argocd.lock().app("checkout").applies = Some(Vec::new());
        room.alice("checkout main").await;
        room.says("so I can't prove that this version runs").await?;
        Ok(())
    });
}

/// An admission webhook rewrites the image of every Pod.
#[test]
fn a_mirror_renames_the_image() {
    room(async |room| {
        follows(room, then(&[(0, Health::Healthy)]));
        let mirrored = format!("mirror.corp:5000/ghcr/checkout:{}", room.tag("checkout", "feature/totals"));
        room.argocd.lock().app("checkout").images = Some(vec![mirrored]);
        room.alice("checkout 42").await;
        room.says("is live").await?;
        Ok(())
    });
}

/// Only a hook uses the tag: the Deployment has an image of its own.
#[test]
fn what_was_applied_without_our_image_is_not_live() {
    room(async |room| {
        follows(room, then(&[(0, Health::Healthy)]));
        {
            let mut argocd = room.argocd.lock();
            let fixed = Some(vec!["ghcr.io/acme/base:1".to_owned()]);
            (argocd.app("checkout").applies, argocd.app("checkout").images) = (fixed.clone(), fixed);
        }
        room.alice("checkout 42").await;
        let message = room.says("what was applied doesn't use").await?;
        assert!(message.contains("Argo CD applied `ghcr.io/acme/base:1`"), "{message}");
        assert!(!room.told().iter().any(|text| text.contains("is live")), "{:#?}", room.told());
        Ok(())
    });
}

/// Argo CD's own picture of the cluster may be seconds behind what it has just applied: the first comparison after the sync then shows the
/// old image, and its good health.
#[test]
fn a_comparison_that_still_shows_the_old_version_is_not_the_end() {
    room(async |room| {
        follows(room, then(&[(0, Health::Progressing), (500, Health::Healthy)]));
        room.argocd.lock().app("checkout").cluster_lag = 3000;
        room.alice("checkout 42").await;
        room.says("is live").await?;
        assert!(!room.told().iter().any(|text| text.contains("still run")), "{:#?}", room.told());
        Ok(())
    });
}

/// Clocks differ: Argo CD's times are compared with each other, never with the bot's own. Here Argo CD's only
/// comparison after the sync is in the same second, which proves nothing, so the bot has to ask for another
/// comparison in time.
#[test]
fn a_clock_of_argo_cd_that_is_wrong_changes_nothing() {
    const HOUR: i64 = 3_600_000;
    room(async |room| {
        for (n, ahead) in [HOUR, -HOUR].into_iter().enumerate() {
            {
                let mut argocd = room.argocd.lock();
                argocd.app("checkout").clock_ahead = ahead;
                // The comparison comes with the end, and no other by itself.
                argocd.app("checkout").script = Script { reconciles: 0, ..then(&[(0, Health::Healthy)]) };
                argocd.webhook_takes = None;
            }
            let what = if n == 0 { "42" } else { "main" };
            room.goes_live(&format!("checkout {what}")).await?;
        }
        assert_eq!(taken(room).len(), 2);
        Ok(())
    });
}

#[test]
fn degraded_for_good_is_a_failure() {
    room(async |room| {
        in_the_catalog(room, "degraded_grace: 1s");
        follows(room, then(&[(0, Health::Progressing), (300, Health::Degraded)]));
        room.alice("checkout 42").await;
        let message = room.says("is rolled out, but not healthy").await?;
        let resource = "• Deployment/checkout: Deployment \"checkout\" exceeded its progress deadline";
        assert!(message.contains(resource), "{message}");
        assert!(message.contains("The cluster runs the new version"), "{message}");
        Ok(())
    });
}

/// Its autoscaler has no metrics yet, say.
#[test]
fn degraded_for_five_seconds_is_tolerated() {
    room(async |room| {
        follows(room, then(&[(0, Health::Degraded), (5000, Health::Healthy)]));
        room.argocd.lock().app("checkout").flaps = true;
        room.alice("checkout 42").await;
        room.says("Health: degraded").await?;
        room.says("is live").await?;
        assert!(!room.told().iter().any(|text| text.contains("but not healthy")), "{:#?}", room.told());
        Ok(())
    });
}

/// An app that was broken before our sync may take longer to become healthy than an app that our sync broke:
/// 60 s in production, 3 s here.
#[test]
fn an_application_that_was_degraded_before_has_more_time() {
    room(async |room| {
        in_the_catalog(room, "degraded_grace: 1s");
        room.argocd.lock().look(sandbox::now(), "checkout", Some(Health::Degraded));
        follows(room, then(&[(0, Health::Degraded), (2000, Health::Healthy)]));
        room.alice("checkout 42").await;
        room.says("is live").await?;
        assert!(!room.told().iter().any(|text| text.contains("but not healthy")), "{:#?}", room.told());
        Ok(())
    });
}

/// A Pod's change sends no event of the application, and a StatefulSet is never called degraded.
#[test]
fn a_pod_that_holds_the_rollout_up_is_named_while_it_does() {
    room(async |room| {
        follows(room, then(&[(0, Health::Progressing), (12_000, Health::Healthy)]));
        let why = "Back-off pulling image \"ghcr.io/acme/checkout:x\"";
        room.argocd.lock().app("checkout").pods_are = ("ImagePullBackOff".to_owned(), why.to_owned());
        room.alice("checkout 42").await;
        let message = room.says("Pod checkout-1: ImagePullBackOff").await?;
        assert!(message.contains("Back-off pulling image"), "{message}");
        room.argocd.lock().app("checkout").pods_are.0 = "Running".to_owned();
        room.says("is live").await?;
        Ok(())
    });
}

/// A canary pauses on its way: that is a stage, and not the end.
#[test]
fn a_pause_is_followed_to_its_end() {
    room(async |room| {
        follows(room, then(&[(0, Health::Suspended), (3000, Health::Healthy)]));
        room.alice("checkout 42").await;
        room.says("Health: suspended").await?;
        room.says("is live").await?;
        Ok(())
    });
}

/// A retry runs the hooks again. An application without a retry of its own gets none.
#[test]
fn a_sync_that_fails_is_not_retried_against_the_owners_will() {
    room(async |room| {
        follows(room, Script { begins: 20, compares: 20, ends: 50, ..Script::failing("field is immutable") });
        room.alice("checkout 42").await;
        let message = room.says("the rollout failed").await?;
        assert!(!message.contains("retried"), "{message}");
        assert_eq!(taken(room), [head(room)], "once");
        assert!(room.argocd.lock().syncs()[0].retry_strategy().is_null());
        Ok(())
    });
}

/// Argo CD could not read Git for a moment: nothing of the app has failed.
#[test]
fn a_fault_of_argo_cds_own_is_repeated() {
    room(async |room| {
        follows(room, Script { end: End::Error("the repository cannot be read".to_owned()), ..then(&[]) });
        room.alice("checkout 42").await;
        let failed = |room: &sandbox::Sandbox| {
            let application = room.argocd.lock().application("checkout");
            (application["status"]["operationState"]["phase"] == "Error").then_some(())
        };
        room.until("end of the first sync", PATIENCE, failed).await?;
        follows(room, then(&[(0, Health::Healthy)]));
        room.says("is live").await?;
        assert_eq!(taken(room), [head(room), head(room)], "the same commit once more");
        Ok(())
    });
}

/// The application's owner wants three tries.
#[test]
fn a_sync_that_fails_for_good_names_what_failed() {
    room(async |room| {
        follows(room, Script { begins: 20, compares: 20, ends: 50, ..Script::failing("field is immutable") });
        room.argocd.lock().app("checkout").retry = json!({ "limit": 2, "backoff": { "duration": "500ms" } });
        room.alice("checkout 42").await;
        room.says("retry 1").await?;
        room.until("failure", PATIENCE * 3, |_| room.message().contains("the rollout failed").then_some(())).await?;
        let message = room.message();
        assert!(message.contains("reason: field is immutable (retried 2 times)"), "{message}");
        assert!(message.contains("• Deployment/checkout: field is immutable"), "{message}");
        let changed = format!("Git has the new version (`{}`); the cluster may have parts of it.", &head(room)[..7]);
        assert!(message.contains(&changed), "{message}");
        assert_eq!(taken(room), [head(room)], "once by the bot");
        Ok(())
    });
}

/// The application's own retry would take the newest commit on the branch: the bot asks for a retry that does
/// not.
#[test]
fn a_sync_that_fails_once_is_tried_again_on_the_same_commit() {
    room(async |room| {
        follows(room, Script { failures: 1, ..then(&[(0, Health::Healthy)]) });
        {
            let mut argocd = room.argocd.lock();
            argocd.app("checkout").retry = json!({ "limit": 5, "refresh": true });
            argocd.look(sandbox::now(), "checkout", None);
        }
        room.alice("checkout 42").await;
        room.says("retry 1").await?;
        let (ours, tag) = (head(room), room.tag("checkout", "feature/totals"));
        writes_by_hand(room, &tag);
        room.says(&format!("is live: `{tag}`")).await?;
        assert_eq!(taken(room), [ours], "once by the bot");
        let argocd = room.argocd.lock();
        assert_eq!(argocd.syncs()[0].retry_strategy()["refresh"], json!(false));
        assert_eq!(argocd.live_tag("checkout"), Some(tag.as_str()));
        Ok(())
    });
}

/// If Argo CD takes a newer commit all the same, the bot's commit does not run, and the message does not say
/// that it does.
#[test]
fn a_retry_that_takes_a_newer_commit_is_not_called_live() {
    room(async |room| {
        follows(room, Script { failures: 1, ..then(&[(0, Health::Healthy)]) });
        {
            let mut argocd = room.argocd.lock();
            argocd.app("checkout").retry = json!({ "limit": 5, "refresh": true, "backoff": { "duration": "500ms" } });
            argocd.app("checkout").keeps_its_retry = true;
        }
        room.alice("checkout 42").await;
        room.says("retry 1").await?;
        let tag = room.tag("checkout", "feature/totals");
        writes_by_hand(room, &tag);
        let message = room.says("stopped: ").await?;
        assert!(message.contains("started another sync in Argo CD"), "{message}");
        assert_eq!(room.argocd.lock().live_tag("checkout"), Some("by-hand-1234567"));
        assert!(!room.told().iter().any(|text| text.contains("is live")), "{:#?}", room.told());
        Ok(())
    });
}

/// Carol writes another tag over this one.
fn writes_by_hand(room: &Room, tag: &str) {
    let values = String::from_utf8_lossy(&room.file("checkout/values.yaml")).replace(tag, "by-hand-1234567");
    room.github.lock().person_pushes(GITOPS, "main", "carol", &[("checkout/values.yaml", &values)], "By hand");
}

#[test]
fn a_sync_that_somebody_terminates_has_failed() {
    room(async |room| {
        follows(room, Script::failing("field is immutable"));
        room.argocd.lock().app("checkout").retry = json!({ "limit": 2 });
        room.alice("checkout 42").await;
        room.says("retry 1").await?;
        assert!(room.argocd.lock().person_terminates(sandbox::now(), "checkout"));
        let message = room.says("the rollout failed: Operation terminated").await?;
        assert!(message.contains("• Deployment/checkout: field is immutable"), "{message}");
        Ok(())
    });
}

#[test]
fn an_operation_of_somebody_else_is_waited_out() {
    room(async |room| {
        room.argocd.lock().app("checkout").script = Script { ends: 3000, ..then(&[(0, Health::Healthy)]) };
        room.argocd.lock().person_syncs(sandbox::now(), "checkout", None).map_err(anyhow::Error::msg)?;
        room.alice("checkout 42").await;
        room.says("Waiting for another operation in Argo CD, started by admin").await?;
        follows(room, then(&[(0, Health::Healthy)]));
        room.says("is live").await?;
        assert_eq!(taken(room), [head(room)]);
        Ok(())
    });
}

#[test]
fn somebody_elses_sync_after_ours_supersedes_it() {
    room(async |room| {
        let old = head(room);
        follows(room, then(&[(0, Health::Progressing), (60_000, Health::Healthy)]));
        room.alice("checkout 42").await;
        room.says("Health: progressing").await?;
        room.argocd.lock().person_syncs(sandbox::now(), "checkout", Some(&old)).map_err(anyhow::Error::msg)?;
        let message = room.says("stopped: admin started another sync in Argo CD").await?;
        assert!(message.contains("Check Argo CD before you deploy again"), "{message}");
        assert_eq!(taken(room), [head(room)], "it does not fight");
        Ok(())
    });
}

#[test]
fn auto_sync_that_is_on_by_mistake_is_named_and_only_watched() {
    room(async |room| {
        follows(room, Script { ends: 1000, ..then(&[(0, Health::Healthy)]) });
        // After the commit: before it the deploy would be refused.
        room.github.lock().webhook(GITOPS).lost = 1;
        let old = head(room);
        room.alice("checkout 42").await;
        let landed = |room: &sandbox::Sandbox| (room.github.lock().head(GITOPS, "main")? != old).then_some(());
        room.until("commit", PATIENCE, landed).await?;
        room.argocd.lock().app("checkout").automated = true;
        room.says("add `sync: auto` to this app in `deploy-bot.yaml`, or switch auto-sync off").await?;
        room.says("is live").await?;
        assert!(room.argocd.lock().syncs().is_empty(), "Argo CD itself synced");
        Ok(())
    });
}

/// The catalog says that Argo CD syncs this app by itself, so the bot never asks for a sync.
#[test]
fn with_auto_sync_the_bot_commits_and_follows() {
    room(async |room| {
        in_the_catalog(room, "sync: auto");
        room.argocd.lock().app("checkout").automated = true;
        follows(room, Script { ends: 1000, ..then(&[(0, Health::Progressing), (500, Health::Healthy)]) });
        let message = room.goes_live("checkout 42").await?;
        assert!(!message.contains("I only watch") && !message.contains("synced it once more"), "{message}");
        assert_eq!(room.argocd.lock().live_tag("checkout"), Some(room.tag("checkout", "feature/totals").as_str()));

        // Argo CD takes Carol's later commit, which has ours below it.
        room.argocd.lock().webhook_takes = Some(2000);
        let old = head(room);
        room.alice("checkout main").await;
        let landed = |room: &sandbox::Sandbox| (room.github.lock().head(GITOPS, "main")? != old).then_some(());
        room.until("commit", PATIENCE, landed).await?;
        room.github.lock().person_pushes(GITOPS, "main", "carol", &[("payments/limits.yaml", "cpu: 1\n")], "Not ours");
        room.says(&format!("is live: `{}`", room.tag("checkout", "main"))).await?;
        assert!(room.argocd.lock().syncs().is_empty());
        Ok(())
    });
}

/// Somebody writes another tag over ours before Argo CD has synced.
#[test]
fn with_auto_sync_another_tag_over_ours_supersedes_it() {
    room(async |room| {
        in_the_catalog(room, "sync: auto");
        room.argocd.lock().app("checkout").automated = true;
        room.argocd.lock().webhook_takes = Some(2000);
        follows(room, then(&[(0, Health::Healthy)]));
        let old = head(room);
        room.alice("checkout 42").await;
        let landed = |room: &sandbox::Sandbox| (room.github.lock().head(GITOPS, "main")? != old).then_some(());
        room.until("commit", PATIENCE, landed).await?;
        writes_by_hand(room, &room.tag("checkout", "feature/totals"));
        room.says("stopped: auto-sync started another sync").await?;
        assert!(!room.told().iter().any(|text| text.contains("is live")), "{:#?}", room.told());
        Ok(())
    });
}

/// The catalog says `sync: auto`, and auto-sync is off in Argo CD. A person syncs.
#[test]
fn without_the_auto_sync_that_the_catalog_names_a_person_has_to_sync() {
    room(async |room| {
        in_the_catalog(room, "sync: auto");
        follows(room, then(&[(0, Health::Healthy)]));
        room.alice("checkout 42").await;
        room.says("the catalog says `sync: auto`, but auto-sync is off").await?;
        room.argocd.lock().person_syncs(sandbox::now(), "checkout", None).map_err(anyhow::Error::msg)?;
        room.says("is live").await?;
        assert!(room.argocd.lock().syncs().is_empty());
        Ok(())
    });
}

/// The GitOps repository is pinned to the bot's commit in every source that follows the branch. Other sources
/// stay as they are, also a source of the same repository that somebody keeps at a tag.
/// Argo CD looks up the newest chart while it is asked for the sync, and does nothing if nobody waits for its answer.
#[test]
fn a_sync_that_takes_argo_cd_long_to_take_is_waited_for() {
    room(async |room| {
        let chart = Source::chart("https://charts.acme.example", "web", "1.*");
        let sources = vec![chart, Source::new(GITOPS_URL, "main").named("values")];
        let tag_at = TagAt { source: 1, file: "checkout/values.yaml".to_owned(), key: "image.tag".to_owned() };
        let mut app = App::multi("checkout", sources, tag_at);
        app.image.clone_from(&room.argocd.lock().app("checkout").image);
        app.script = then(&[(0, Health::Healthy)]);
        room.argocd.lock().add(sandbox::now(), app);
        // Longer than a watch.
        room.argocd.fault("argocd.sync", Fault::Late(Duration::from_secs(9)), 1);
        let since = room.journal.mark("deploy");
        room.alice("checkout 42").await;
        // Another deploy goes live meanwhile.
        let asked = |room: &sandbox::Sandbox| {
            room.journal.calls_since(since).iter().any(|call| call == "argocd.sync").then_some(())
        };
        room.until("request for a sync", PATIENCE, asked).await?;
        room.goes_live("payments 7").await?;
        assert!(!room.told().iter().any(|text| text.contains("is live: `feature-totals")), "{:#?}", room.told());
        room.says("is live: `feature-totals").await?;
        let argocd = room.argocd.lock();
        let of_it = argocd.syncs().iter().filter(|sync| sync.app == "checkout").count();
        assert_eq!(of_it, 1, "one request");
        Ok(())
    });
}

#[test]
fn of_several_sources_only_ours_are_synced_at_our_commit() {
    let chart = || Source::chart("https://charts.acme.example", "web", "1.4.2");
    let ours = || Source::new(GITOPS_URL, "main");
    let first = "0123456789012345678901234567890123456789".to_owned();
    let cases = [
        ("the only one", vec![ours().at("checkout")], json!([1])),
        ("first", vec![ours().named("values"), chart()], json!([1])),
        ("second", vec![chart(), ours().named("values")], json!([2])),
        ("by ssh", vec![chart(), Source::new("git@github.com:acme/gitops.git", "main").named("values")], json!([2])),
        ("twice", vec![ours().at("checkout"), chart(), ours().named("values")], json!([1, 3])),
        ("once at a tag", vec![Source::new(GITOPS_URL, &first).at("charts"), ours().named("values")], json!([2])),
    ];
    room(async |room| {
        room.slack.lock().limits = None;
        for (n, (why, sources, positions)) in cases.into_iter().enumerate() {
            let image = room.argocd.lock().app("checkout").image.clone();
            let source = sources.iter().rposition(|source| source.chart.is_none()).unwrap_or_default();
            let tag_at = TagAt { source, file: "checkout/values.yaml".to_owned(), key: "image.tag".to_owned() };
            let mut app = App::multi("checkout", sources, tag_at);
            (app.image, app.script) = (image, then(&[(0, Health::Healthy)]));
            room.argocd.lock().add(sandbox::now(), app);
            let (what, branch) = if n % 2 == 0 { ("42", "feature/totals") } else { ("main", "main") };
            room.goes_live(&format!("checkout {what}")).await?;
            let argocd = room.argocd.lock();
            let body = &argocd.syncs().last().expect("a sync").body;
            let head = room.github.lock().head(GITOPS, "main");
            let revisions: Vec<_> = positions.as_array().into_iter().flatten().map(|_| &head).collect();
            assert_eq!(
                (&body["sourcePositions"], &body["revisions"]),
                (&positions, &json!(revisions)),
                "{why}: {body}"
            );
            assert_eq!(body.get("revision"), None, "{why}: {body}");
            assert_eq!(
                argocd.live_tag("checkout"),
                Some(world::tag(&room.github.lock(), "checkout", branch).as_str()),
                "{why}"
            );
        }
        Ok(())
    });
}

/// Before 2.11 Argo CD ignores which source a sync pins to which commit.
#[test]
fn an_old_argo_cd_is_not_asked_to_sync_several_sources() {
    room(async |room| {
        room.argocd.lock().version = Version::Unpinned;
        room.goes_live("checkout 42").await?;
        let tag_at = TagAt { source: 0, file: "checkout/values.yaml".to_owned(), key: "image.tag".to_owned() };
        let sources = vec![
            Source::new(GITOPS_URL, "main").named("values"),
            Source::chart("https://charts.acme.example", "web", "1.4.2"),
        ];
        room.argocd.lock().add(sandbox::now(), App::multi("payments", sources, tag_at));
        room.bob("payments 7").await;
        let message = room.says("Argo CD v2.10.18+2175939 can't sync them to a commit").await?;
        assert!(message.contains("the cluster is unchanged."), "{message}");
        let argocd = room.argocd.lock();
        assert!(argocd.syncs().iter().all(|sync| sync.app == "checkout"), "{:#?}", argocd.syncs());
        Ok(())
    });
}

/// A sync at our commit would give the application the GitOps branch instead of what it follows.
#[test]
fn an_application_that_follows_something_else_is_not_synced() {
    let elsewhere = Source::new("https://github.com/acme/elsewhere", "main").at("checkout");
    let staging = Source::new(GITOPS_URL, "staging").at("checkout");
    // Of a repository whose default branch is another one.
    let head = Source::new(GITOPS_URL, "HEAD").at("checkout");
    room(async |room| {
        room.github.lock().repo(GITOPS).branch("staging");
        for (n, source) in [elsewhere, staging, head].into_iter().enumerate() {
            room.argocd.lock().add(sandbox::now(), App::new("checkout", source));
            if n == 2 {
                room.github.lock().repo(GITOPS).is_default("staging");
            }
            room.alice(["checkout 42", "checkout main", "checkout 42"][n]).await;
            let words = "doesn't follow the branch that I commit to";
            // Who is refused before the commit reads that alone.
            let says = |_: &sandbox::Sandbox| room.reads().into_iter().filter(|text| text.contains(words)).nth(n);
            let message = room.until(words, PATIENCE, says).await?;
            // Before the commit, if the poller has seen the application by then.
            let nothing = ["the cluster is unchanged.", "not deployed"];
            assert!(nothing.iter().any(|nothing| message.contains(nothing)), "{message}");
            assert!(room.argocd.lock().syncs().is_empty());
        }
        Ok(())
    });
}

/// What Carol pushed below the app's path since the live commit goes live too; the message says so before the sync and after it.
#[test]
fn the_message_names_whose_commits_ride_along() {
    room(async |room| {
        follows(room, then(&[(0, Health::Healthy)]));
        room.alice("checkout 42").await;
        let first = room.says("is live").await?;
        assert!(first.contains("First deploy of"), "{first}");
        {
            let mut github = room.github.lock();
            github.person_pushes(GITOPS, "main", "carol", &[("checkout/limits.yaml", "cpu: 1\n")], "Raise the limits");
            github.person_pushes(GITOPS, "main", "carol", &[("payments/limits.yaml", "cpu: 1\n")], "Not of checkout");
        }
        // Payments' own commit by the bot is no rider of checkout's.
        room.alice("checkout main").await;
        let live = format!("is live: `{}`", room.tag("checkout", "main"));
        let message = room.says(&live).await?;
        assert!(message.contains("Also goes live: 1 commit by carol"), "{message}");
        assert!(message.contains("Raise the limits"), "{message}");
        assert!(!message.contains("Not of checkout"), "{message}");
        let told = room.told();
        let before = told.iter().position(|text| text.contains("Also goes live"));
        assert!(before < told.iter().position(|text| text.contains(&live)), "{told:#?}");
        Ok(())
    });
}

/// Carol rewrites the branch while the bot waits for its turn in Argo CD, so the bot's commit is not on the
/// branch any more.
#[test]
fn a_commit_that_was_rewritten_away_is_not_synced() {
    room(async |room| {
        let old = head(room);
        room.argocd.lock().app("checkout").script = Script { ends: 4000, ..then(&[(0, Health::Healthy)]) };
        room.argocd.lock().person_syncs(sandbox::now(), "checkout", None).map_err(anyhow::Error::msg)?;
        room.alice("checkout 42").await;
        room.says("Waiting for another operation").await?;
        room.github.lock().force_push(
            GITOPS,
            "main",
            "carol",
            &old,
            &[fakes::github::NewCommit::new("Begin again", &[("README.md", "Again.\n")])],
        );
        let message = room.says("so I didn't roll it out").await?;
        assert!(message.contains("may be gone"), "{message}");
        assert_eq!(taken(room), [""; 0]);
        Ok(())
    });
}

#[test]
fn a_closed_sync_window_is_waited_for() {
    room(async |room| {
        follows(room, then(&[(0, Health::Healthy)]));
        room.argocd.lock().app("checkout").window = Window::Closed;
        room.alice("checkout 42").await;
        room.says("Waiting for the next sync window in Argo CD").await?;
        tokio::time::sleep(Duration::from_secs(3)).await;
        // Every second, and not with every poll.
        let asked = room.argocd.lock().syncs().len();
        assert!((2..=5).contains(&asked), "{asked}");
        assert_eq!(taken(room), [""; 0]);
        room.argocd.lock().app("checkout").window = Window::Open;
        room.says("is live").await?;
        assert_eq!(taken(room), [head(room)]);
        Ok(())
    });
}

/// The shortest deadline that a catalog can set is 30 s: the only test that waits so long, so everything that never ends waits here, and
/// Argo CD's streams are silent the whole time.
#[test]
fn a_sync_that_never_ends_times_out_and_typing_again_goes_on() {
    room(async |room| {
        for app in ["basket", "search"] {
            one_more(room, app);
        }
        let catalog = String::from_utf8_lossy(&room.file("deploy-bot.yaml"))
            .replace("allow: anyone\n", "allow: anyone\n    deadline: 30s\n");
        room.github.lock().person_pushes(GITOPS, "main", "carol", &[("deploy-bot.yaml", &catalog)], "Be quick");
        {
            let mut argocd = room.argocd.lock();
            (argocd.streams, argocd.keep_alive) = (Streams::Frozen, 1000);
            argocd.app("checkout").window = Window::Closed;
            argocd.app("basket").script = then(&[(0, Health::Progressing)]);
            // The operation ends, but too late.
            argocd.app("search").script = Script { ends: 34_000, ..Script::with_waves("search") };
        }
        for text in ["checkout 42", "basket main", "search main"] {
            room.alice(text).await;
        }
        room.says("Waiting for the next sync window in Argo CD").await?;
        room.says("Health: progressing").await?;
        let all = |_: &sandbox::Sandbox| {
            let messages = room.messages();
            messages.iter().all(|text| text.contains("timed out")).then_some(messages)
        };
        let messages = room.until("timed out, all of them", PATIENCE * 3, all).await?;
        for (app, why, cluster) in [
            ("checkout", " waiting for the next sync window in Argo CD.", "the cluster is unchanged."),
            ("basket", "it isn't healthy yet (Argo CD says progressing).", "and so does the cluster."),
            (
                "search",
                ": it isn't rolled out yet: waiting for healthy state of apps/Deployment/search.",
                "the cluster may have parts of it.",
            ),
        ] {
            let message = messages.iter().find(|text| text.contains(&format!("*{app} "))).expect(app);
            assert!(message.contains(why) && message.contains(cluster), "{why:?}, {cluster:?}: {message}");
            assert!(message.contains("*Retry* goes on from here"), "{message}");
        }

        // She does. The commits are in Git already and now go live; an operation that still runs in Argo CD
        // is ended, because its deploy is past its deadline.
        {
            let mut argocd = room.argocd.lock();
            argocd.streams = Streams::Normal;
            argocd.app("checkout").window = Window::Open;
            for app in ["checkout", "basket", "search"] {
                argocd.app(app).script = then(&[(0, Health::Healthy)]);
            }
            argocd.look(sandbox::now(), "basket", Some(Health::Healthy));
        }
        let commits = room.commits();
        for text in ["checkout 42", "basket main", "search main"] {
            room.alice(text).await;
        }
        for (app, branch) in [("checkout", "feature/totals"), ("basket", "main"), ("search", "main")] {
            let tag = room.tag(app, branch);
            room.says(&format!("is live: `{tag}`")).await?;
            assert_eq!(room.argocd.lock().live_tag(app), Some(tag.as_str()), "{app}");
        }
        assert_eq!(room.commits(), commits);
        Ok(())
    });
}

/// One more app of the company, built from its branch `main`.
fn one_more(room: &Room, app: &str) {
    let image = format!("{}/acme/{app}", room.registry.origin().trim_start_matches("http://"));
    let values = format!("image:\n  repository: {image}\n  tag: \"none-0000000\"\n");
    let entry = format!("  {app}:\n    repo: acme/{app}\n    image: {image}\n    allow: anyone\n");
    let catalog = String::from_utf8_lossy(&room.file("deploy-bot.yaml")).into_owned() + &entry;
    let files = [("deploy-bot.yaml", catalog.as_str()), (&format!("{app}/values.yaml"), &values)];
    {
        let mut github = room.github.lock();
        github.repo(&format!("acme/{app}")).commit("Begin", &[("README.md", app)]);
        github.person_pushes(GITOPS, "main", "carol", &files, "One more app");
    }
    let tag = room.tag(app, "main");
    room.registry.lock().push(&format!("acme/{app}"), &tag);
    let mut application = App::new(app, Source::new(GITOPS_URL, "main").at(app));
    application.image = image;
    room.argocd.lock().add(sandbox::now(), application);
}
