//! Another system refuses, goes away for a while, or wants a pause. The message says which system and why, and
//! what was changed. Faults that happen once, at each call and in every way, are in `fault_table`.

use anyhow::{Context, Result};
use e2e::{PATIENCE, Room, quick, room};
use fakes::argocd::{Right, Streams};
use fakes::github::{Access, Protection, StaleAnswer};
use fakes::{Fault, Response};
use sandbox::hold::Moment;
use sandbox::world::{self, ALICE, GITOPS};
use serde_json::json;
use std::time::{Duration, Instant};

const NOTHING: &str = "Nothing was changed.";

fn status(status: u16) -> Fault {
    Fault::Instead(Response::json(status, &json!({ "message": "the words of the system" })))
}

fn html() -> Response {
    Response { body: b"<html>Good morning</html>".to_vec(), ..Response::text(200, "") }
}

/// Alice types `/deploy checkout 42`; the new message, once it says these words.
async fn becomes(room: &Room, words: &str) -> Result<String> {
    let before = room.reads().len();
    let answer = room.alice("checkout 42").await;
    assert!(answer.is_accepted(), "{}", answer.body);
    let what = format!("message that says {words:?}");
    let look = |_: &sandbox::Sandbox| room.reads().into_iter().skip(before).find(|text| text.contains(words));
    room.until(&what, PATIENCE, look).await.with_context(|| format!("{:#?}", room.reads()))
}

/// The same, for a deploy that has to end without any change.
async fn fails(room: &Room, words: &str) -> Result<()> {
    let commits = room.commits();
    let message = becomes(room, NOTHING).await?;
    assert!(message.contains(words), "{words:?} is not in {message}");
    assert_eq!(room.commits(), commits, "{message}");
    Ok(())
}

/// What only Alice saw, newest last.
fn whispers(room: &sandbox::Sandbox) -> Vec<String> {
    let slack = room.slack.lock();
    slack.ephemerals(ALICE).into_iter().map(|message| slack.render(message)).collect()
}

/// The commits of the bot after a deploy of checkout: one, and the cluster runs it.
fn one_commit(room: &Room, before: usize) {
    assert_eq!(room.commits(), before + 1, "one commit only");
    assert_eq!(room.argocd.lock().live_tag("checkout"), Some(room.tag("checkout", "feature/totals").as_str()));
}

fn calls_of(room: &Room, name: &str) -> usize {
    room.calls(0).iter().filter(|call| *call == name).count()
}

// ---- GitHub ----

#[test]
fn github_lets_the_bot_read_nothing_and_nothing_was_changed() {
    room(async |room| {
        room.slack.lock().limits = None;
        // Once for the catalog, and once, when it is cached, for the one query.
        for _ in ["the catalog", "the one query"] {
            for (fault, words) in [
                (status(401), "GitHub doesn't accept my token"),
                (status(403), "GitHub doesn't allow it: the words of the system"),
            ] {
                let before = calls_of(room, "github.query");
                room.github.fault("github.query", fault, 1);
                fails(room, words).await?;
                assert_eq!(calls_of(room, "github.query"), before + 1, "{words}: nobody asks again");
            }
            for (fault, words) in [
                (Fault::Instead(html()), "GitHub gave an answer that I don't understand (JSON)"),
                (Fault::Instead(Response::json(200, &json!([]))), "an answer that I don't understand (data)"),
            ] {
                room.github.fault("github.query", fault, u32::MAX);
                fails(room, words).await?;
                room.github.mend();
            }
            // A refusal of the one query leaves the catalog in the cache.
            room.alice("checkout 999").await;
            room.says("no pull request").await?;
        }
        Ok(())
    });
}

#[test]
fn github_refuses_the_commit_and_nothing_was_changed() {
    room(async |room| {
        room.slack.lock().limits = None;
        for (fault, words) in [
            (status(401), "GitHub doesn't accept my token"),
            (status(403), "GitHub doesn't allow it: the words of the system"),
            (status(422), "GitHub says: the words of the system"),
        ] {
            room.github.fault("github.commit", fault, 1);
            fails(room, words).await?;
        }
        room.github.lock().repo(GITOPS).access(Access::Read);
        fails(room, "GitHub doesn't allow it: Resource not accessible by integration").await?;
        room.github.lock().repo(GITOPS).access(Access::Write).protect(Protection::Classic);
        fails(room, "Changes must be made through a pull request").await?;
        room.github.lock().repo(GITOPS).protect(Protection::Ruleset);
        fails(room, "Repository rule violations found").await
    });
}

#[test]
fn while_it_is_unknown_whether_the_commit_landed_the_message_says_so() {
    room(async |room| {
        let before = room.commits();
        room.github.fault("github.commit", Fault::DropAfter, 1);
        let landed = room.github.hold(Moment::After, "github.commit", 1);
        room.alice("checkout 42").await;
        landed.reached().await?;
        assert_eq!(room.commits(), before + 1);
        // The commit has no answer, and GitHub fails from now on.
        room.github.fault("github.query", status(502), 1000);
        landed.release();
        room.says("GitHub didn't confirm my commit").await?;
        room.github.mend();
        room.says("is live").await?;
        one_commit(room, before);
        assert_eq!(room.messages().len(), 1);
        assert!(!room.told().iter().any(|text| text.contains(NOTHING)), "{:#?}", room.told());
        Ok(())
    });
}

/// Carol pushes another file between the bot's reading and its commit, so the commit is refused, and made again on top of hers.
#[test]
fn a_push_in_between_is_built_upon() {
    for stale in [StaleAnswer::Checked, StaleAnswer::LostRace] {
        room(async |room| {
            let before = room.commits();
            room.github.lock().stale_answer = stale;
            room.registry.fault("registry.head", Fault::Slow(Duration::from_millis(500)), 1);
            room.alice("checkout 42").await;
            room.until("look at the registry", PATIENCE, |room| {
                room.journal.calls_since(0).iter().any(|call| call == "registry.head").then_some(())
            })
            .await?;
            let theirs =
                room.github.lock().person_pushes(GITOPS, "main", "carol", &[("NOTES.md", "Hello")], "Add notes");
            room.says("is live").await?;
            let commits = room.github.lock().commits(GITOPS, "main");
            assert_eq!(commits.len(), before + 2, "one of hers, one of the bot");
            assert_eq!(commits[0].parents, [theirs]);
            assert_eq!(commits[0].changed(), ["checkout/values.yaml"]);
            assert_eq!(calls_of(room, "github.commit"), 2);
            Ok(())
        });
    }
}

/// A pause that is longer than the time for other faults is kept, and the message says who waits for whom, and
/// how long.
#[test]
fn a_long_pause_that_github_wants_is_kept_and_told() {
    room(async |room| {
        room.slack.lock().limits = None;
        room.script("checkout", quick());
        let begun = Instant::now();
        let secondary = json!({ "message": "You have exceeded a secondary rate limit." });
        let limited = Response::json(403, &secondary).with("retry-after", "4");
        room.github.fault("github.query", Fault::Instead(limited), 1);
        let why = "read the catalog: GitHub limits how often I may ask (again in 4 s).";
        becomes(room, &format!("I'm waiting 4 s before I try again to {why}")).await?;
        assert_eq!(calls_of(room, "github.query"), 1, "not sooner");
        room.says("is live").await?;
        assert!(begun.elapsed() >= Duration::from_secs(4));

        // The catalog is in the cache now. During the pause the target's turn is kept.
        let unavailable = Response::text(503, "").with("retry-after", "6");
        room.github.fault("github.query", Fault::Instead(unavailable), 1);
        room.alice("checkout main").await;
        let why = "read the GitOps repository: GitHub answered with status 503 (again in 6 s).";
        room.says(&format!("I'm waiting 6 s before I try again to {why}")).await?;
        room.bob("checkout 42").await;
        room.says("waiting for the deploy by @alice").await?;
        room.says(&format!("is live: `{}`", room.tag("checkout", "main"))).await?;
        room.all_told().await
    });
}

#[test]
fn a_deploy_is_cancelled_while_it_waits_for_github() {
    room(async |room| {
        room.slack.lock().limits = None;
        let before = room.commits();
        let limited = Response::json(429, &json!({ "message": "wait" })).with("retry-after", "100");
        room.github.fault("github.query", Fault::Instead(limited), 1);
        let message = becomes(room, "I'm waiting 1 min 40 s before I try again to read the catalog").await?;
        assert!(message.contains("[Cancel]"), "{message}");
        let message = room.slack.lock().all_ephemerals()[0].clone();
        room.press(ALICE, &message, "cancel").await;
        room.says("cancelled by @alice. Nothing was changed").await?;
        assert_eq!(room.commits(), before);
        Ok(())
    });
}

/// GitHub's limit for what writes has words of its own, and no status of its own.
#[test]
fn a_commit_that_was_submitted_too_quickly_is_made_after_a_pause() {
    room(async |room| {
        let before = room.commits();
        room.script("checkout", quick());
        let error = json!({
            "type": "UNPROCESSABLE",
            "path": ["createCommitOnBranch"],
            "message": "was submitted too quickly",
        });
        let answer = json!({ "data": { "createCommitOnBranch": null }, "errors": [error] });
        let too_quickly = Response::json(200, &answer).with("retry-after", "4");
        room.github.fault("github.commit", Fault::Instead(too_quickly), 1);
        becomes(room, "I'm waiting 4 s before I try again to commit the new image tag").await?;
        room.says("is live").await?;
        one_commit(room, before);
        assert_eq!(calls_of(room, "github.commit"), 2);
        Ok(())
    });
}

// ---- the registry ----

/// So many tags of a commit are asked for side by side.
const TAGS: u32 = 5;

#[test]
fn the_registry_does_not_let_the_bot_in_and_nothing_was_changed() {
    room(async |room| {
        room.slack.lock().limits = None;
        // A challenge that names no place to log in, for each of the tags.
        for (call, times) in [("registry.head", TAGS), ("registry.token", 1)] {
            let words = "my credentials for it are missing or not accepted";
            room.registry.fault(call, status(401), times);
            fails(room, words).await?;
        }
        room.registry.fault("registry.token", Fault::Instead(html()), u32::MAX);
        fails(room, "the registry gave an answer that I don't understand").await?;
        room.registry.mend();
        // The password was changed.
        room.registry.lock().user(world::REGISTRY_USER, "another-password");
        fails(room, "my credentials for it are missing or not accepted").await
    });
}

// ---- Argo CD ----

/// The statuses that GitHub got for its webhooks.
fn relayed(room: &sandbox::Sandbox) -> Vec<u16> {
    let exchanges = room.bot.exchanges();
    exchanges.iter().filter(|exchange| exchange.path == "/github/webhook").filter_map(|e| e.status).collect()
}

#[test]
fn argo_cd_does_not_take_the_webhook_and_the_deploy_goes_on_without() {
    room(async |room| {
        let before = room.commits();
        room.argocd.fault("argocd.webhook", status(503), 1);
        becomes(room, "is live").await?;
        one_commit(room, before);
        assert_eq!(relayed(room), [503], "GitHub shows the delivery as failed");
        assert!(calls_of(room, "argocd.refresh") >= 1, "Argo CD is told about the commit in another way");

        // The next time Argo CD's secret is another one.
        room.argocd.lock().webhook_secret = "not the secret of GitHub".to_owned();
        room.alice("checkout main").await;
        let main = room.tag("checkout", "main");
        room.says(&format!("is live: `{main}`")).await?;
        assert_eq!(relayed(room), [503, 503]);
        Ok(())
    });
}

#[test]
fn argo_cd_is_down_and_the_deploy_goes_on_when_it_is_back() {
    room(async |room| {
        let before = room.commits();
        room.argocd.down().await;
        becomes(room, "I'm still trying: I can't reach Argo CD").await?;
        assert_eq!(relayed(room), [503]);
        room.argocd.up().await?;
        room.says("is live").await?;
        one_commit(room, before);
        Ok(())
    });
}

/// What people read if the commit is in Git and the cluster is unchanged.
async fn committed_only(room: &Room, words: &str) -> Result<()> {
    let (before, live) = (room.commits(), room.argocd.lock().live_tag("checkout").map(str::to_owned));
    let message = becomes(room, "the cluster is unchanged.").await?;
    assert!(message.contains(words), "{words:?} is not in {message}");
    assert!(!message.contains(NOTHING), "{message}");
    let sha = room.github.lock().head(GITOPS, "main").unwrap_or_default();
    assert_eq!(room.commits(), before + 1);
    assert!(message.contains(&format!("Git has the new version (`{}`)", &sha[..7])), "{message}");
    let argocd = room.argocd.lock();
    assert!(argocd.syncs().iter().all(|sync| sync.status != 200), "nothing was synced");
    assert_eq!(argocd.live_tag("checkout").map(str::to_owned), live);
    Ok(())
}

#[test]
fn argo_cd_refuses_the_sync_because_of_rights() {
    room(async |room| {
        room.argocd.lock().rights.retain(|(right, _)| *right != Right::Sync);
        committed_only(room, "Argo CD doesn't allow it: permission denied: applications, sync, default/checkout").await
    });
}

#[test]
fn argo_cd_shows_the_bot_nothing() {
    room(async |room| {
        room.argocd.lock().rights.clear();
        committed_only(room, "Argo CD doesn't allow it: permission denied").await
    });
}

#[test]
fn argo_cd_has_no_such_application() {
    room(async |room| {
        room.argocd.lock().app("checkout").project = "another".to_owned();
        committed_only(room, "Argo CD has no such application").await
    });
}

#[test]
fn argo_cd_is_deleting_the_application() {
    room(async |room| {
        room.argocd.lock().app("checkout").deleting = true;
        committed_only(room, "Argo CD is deleting this application").await
    });
}

#[test]
fn the_token_for_argo_cd_was_revoked() {
    room(async |room| {
        room.argocd.lock().revoke_token();
        committed_only(room, "Argo CD doesn't accept my token").await
    });
}

#[test]
fn a_sync_that_failed_without_effect_is_asked_for_again() {
    room(async |room| {
        let before = room.commits();
        room.argocd.fault("argocd.sync", status(500), 1);
        room.argocd.fault("argocd.sync", Fault::Instead(html()), 1);
        room.argocd.fault("argocd.sync", Fault::DropBefore, 1);
        becomes(room, "is live").await?;
        one_commit(room, before);
        assert_eq!(room.argocd.lock().syncs().len(), 1, "only the fourth arrived");
        assert_eq!(calls_of(room, "argocd.sync"), 4);
        Ok(())
    });
}

#[test]
fn without_event_streams_argo_cd_is_polled() {
    room(async |room| {
        let before = room.commits();
        room.argocd.fault("argocd.stream", status(500), 1000);
        becomes(room, "is live").await?;
        one_commit(room, before);
        Ok(())
    });
}

#[test]
fn event_streams_that_stay_silent_or_break_are_survived() {
    room(async |room| {
        let before = room.commits();
        room.argocd.lock().streams = Streams::Silent;
        becomes(room, "is live").await?;
        one_commit(room, before);

        room.argocd.lock().streams = Streams::Normal;
        room.argocd.lock().cut_streams_after = Some(1000);
        room.alice("payments 7").await;
        let payments = room.tag("payments", "feature/refunds");
        room.says(&format!("is live: `{payments}`")).await?;
        Ok(())
    });
}

// ---- Redis and the store ----

#[test]
fn redis_fails_while_somebody_types_and_nothing_is_carried_out_later() {
    room(async |room| {
        let before = room.commits();
        // Redis refuses every write, then it does not answer at all.
        let full: &[&str] = &["CONFIG", "SET", "maxmemory", "1"];
        let hung: &[&str] = &["CLIENT", "PAUSE", "1500", "ALL"];
        for trouble in [full, hung] {
            room.redis::<String>(trouble).await?;
            let answer = room.alice("checkout 42").await;
            assert_eq!(answer.status, Some(200), "anything else shows people dispatch_failed");
            assert!(answer.body.contains("I can't take that right now"), "{}", answer.body);
            assert!(answer.body.contains(NOTHING), "{}", answer.body);
            // Until Redis answers again.
            while room.redis::<String>(&["CONFIG", "SET", "maxmemory", "0"]).await.is_err() {}
        }
        // As after a restart of Redis: everything that may be in flight is looked up in the store, and there is nothing.
        room.redis::<String>(&["FLUSHALL"]).await?;
        assert_eq!(room.keys().await?, Vec::<String>::new());
        assert_eq!(room.get("/healthz").await.status, Some(200));
        // The same again, and this time something is in flight.
        room.alice("checkout 42").await;
        room.says("is live").await?;
        one_commit(room, before);
        assert_eq!(room.messages().len(), 1, "{:#?}", room.messages());
        Ok(())
    });
}

/// Losing Redis ends Spin. Slack tells Alice that the dispatch failed, and the restarted bot does not carry
/// out her command.
#[test]
fn losing_redis_ends_the_bot_and_drops_the_unanswered_request() {
    room(async |room| {
        let before = room.commits();
        room.redis.down();
        let probe = || http::Request::get("/healthz").body(Vec::new()).unwrap_or_default();
        let begun = Instant::now();
        while room.bot.request(probe()).await.status.is_some() {
            assert!(begun.elapsed() < PATIENCE, "it lives without Redis");
        }
        room.alice("checkout 42").await;
        assert!(whispers(room).iter().any(|text| text.contains("dispatch_failed")), "{:?}", whispers(room));
        room.stop_bot().await;
        room.redis.up().await?;
        room.start_bot().await?;
        assert_eq!(room.bot.request(probe()).await.status, Some(200));
        room.bob("payments 7").await;
        room.says("is live").await?;
        assert_eq!(room.commits(), before + 1, "Bob's");
        assert_eq!(room.messages().len(), 1);
        Ok(())
    });
}

#[test]
fn the_store_fails_while_somebody_types_and_nothing_is_carried_out_later() {
    room(async |room| {
        let before = room.commits();
        room.store.down();
        let answer = room.alice("checkout 42").await;
        assert_eq!(answer.status, Some(200), "anything else shows people dispatch_failed");
        assert!(answer.body.contains("I can't take that right now"), "{}", answer.body);
        assert!(answer.body.contains(NOTHING), "{}", answer.body);
        room.store.up().await?;
        room.restart_bot().await?;
        room.alice("checkout 42").await;
        room.says("is live").await?;
        one_commit(room, before);
        assert_eq!(room.messages().len(), 1, "{:#?}", room.messages());
        // A probe removes the id that was never saved, once its request can land no more: half a minute after
        // it was taken back.
        let begun = Instant::now();
        while room.redis::<Vec<String>>(&["ZRANGE", "deploy-bot/in-flight", "0", "-1"]).await? != ["whole"] {
            assert_eq!(room.get("/healthz").await.status, Some(200));
            assert!(begun.elapsed() < Duration::from_secs(60), "it is in flight for good");
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        Ok(())
    });
}
