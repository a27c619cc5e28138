//! People push to the GitOps repository while the bot deploys: what they wrote stays, and only the bot's own commit is ever synced.

use anyhow::{Context, Result};
use e2e::{PATIENCE, Room, changed_lines, limits, quick, room, room_with};
use fakes::Fault;
use fakes::argocd::{Script, Window};
use fakes::github::NewCommit;
use sandbox::world::{self, GITOPS};
use sandbox::{Options, Sandbox, now};
use serde_json::{Value, json};
use std::time::Duration;

const VALUES: &str = "checkout/values.yaml";

fn head(room: &Room) -> String {
    room.github.lock().head(GITOPS, "main").unwrap_or_default()
}

fn values(room: &Room) -> String {
    String::from_utf8_lossy(&room.file(VALUES)).into_owned()
}

/// The tag in checkout's values file.
fn written(room: &Room) -> String {
    values(room).split("tag: \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default().to_owned()
}

/// Carol pushes checkout's values file with something else in it.
fn carol_replaces(room: &Room, old: &str, new: &str) -> String {
    let text = values(room);
    assert!(text.contains(old), "{old:?} is not in {text}");
    let text = text.replace(old, new);
    room.github.lock().person_pushes(GITOPS, "main", "carol", &[(VALUES, &text)], "Change the values")
}

/// The revisions that Argo CD took a sync to, oldest first.
fn taken(room: &Room) -> Vec<String> {
    let argocd = room.argocd.lock();
    let taken = argocd.syncs().iter().filter(|sync| sync.status == 200);
    taken.filter_map(|sync| sync.revision().map(str::to_owned)).collect()
}

/// The heads of the pushes that were relayed to Argo CD.
fn relayed(room: &Room) -> Vec<String> {
    let body = |body: &[u8]| serde_json::from_slice::<Value>(body).unwrap_or_default();
    let argocd = room.argocd.lock();
    argocd.webhooks().iter().filter_map(|push| body(&push.body)["after"].as_str().map(str::to_owned)).collect()
}

/// Alice deploys checkout from this branch or pull request, and the bot has read Git but not yet committed.
async fn has_read(room: &Room, what: &str) -> Result<()> {
    let since = room.journal.mark("deploy");
    room.registry.fault("registry.head", Fault::Slow(Duration::from_secs(1)), 1);
    room.alice(&format!("checkout {what}")).await;
    let asks =
        |room: &Sandbox| room.journal.calls_since(since).iter().any(|call| call == "registry.head").then_some(());
    room.until("question to the registry", PATIENCE, asks).await
}

/// Alice deploys checkout #42, and its commit waits for a sync window.
async fn waits_for_its_sync(room: &Room) -> Result<String> {
    room.argocd.lock().app("checkout").window = Window::Closed;
    room.alice("checkout 42").await;
    room.says("Waiting for the next sync window").await?;
    Ok(head(room))
}

fn opens(room: &Room) {
    room.argocd.lock().app("checkout").window = Window::Open;
}

// ---- before the commit ----

/// GitHub rejects the commit, because the branch moved, and the bot makes it again on top of Carol's push.
#[test]
fn a_persons_change_before_the_commit_stays_or_is_named() {
    room(async |room| -> Result<()> {
        room.script("checkout", quick());
        // Another line of the file.
        let old = room.file(VALUES);
        has_read(room, "42").await?;
        let hers = carol_replaces(room, "replicaCount: 2", "replicaCount: 5");
        let (before, tag) = (written(room), room.tag("checkout", "feature/totals"));
        room.says(&format!("is live: `{tag}`")).await?;
        let commits = room.github.lock().commits(GITOPS, "main");
        assert_eq!(commits[0].parents, [hers]);
        let both = changed_lines(&old, &room.file(VALUES));
        assert_eq!(both.len(), 2, "her line and the bot's, and nothing else: {both:#?}");
        assert!(values(room).contains("replicaCount: 5"));
        assert_ne!(before, tag);

        // The same line: the deploy wins, and the message says what was there.
        has_read(room, "main").await?;
        let hers = carol_replaces(room, &tag, "by-hand-1234567");
        let main = room.tag("checkout", "main");
        let message = room.says(&format!("is live: `{main}`")).await?;
        assert!(message.contains(&format!("`by-hand-1234567` → `{main}`")), "{message}");
        assert_eq!(room.github.lock().commits(GITOPS, "main")[0].parents, [hers]);

        // The same tag: then the commit is hers and not the bot's, and is not synced.
        let synced = taken(room).len();
        has_read(room, "42").await?;
        let hers = carol_replaces(room, &main, &tag);
        let message = room.says("carol put ").await?;
        assert!(message.contains("not deployed: "), "{message}");
        assert_eq!(head(room), hers, "no commit on top of it");
        assert_eq!(taken(room).len(), synced);
        Ok(())
    });
}

// ---- between the commit and the sync ----

#[test]
fn exactly_the_bots_commit_is_synced_whatever_people_push_after_it() {
    room(async |room| -> Result<()> {
        room.script("checkout", quick());
        let before = written(room);
        let ours = waits_for_its_sync(room).await?;
        let tag = room.tag("checkout", "feature/totals");
        carol_replaces(room, "replicaCount: 2", "replicaCount: 5");
        carol_replaces(room, &tag, "by-hand-1234567");
        carol_replaces(room, "by-hand-1234567", &tag);
        // And at last a revert of the bot's commit.
        carol_replaces(room, &tag, &before);
        opens(room);
        room.says(&format!("is live: `{tag}`")).await?;
        assert_eq!(taken(room), [ours.as_str()]);
        assert_eq!(relayed(room), [ours], "Argo CD was told of no push of hers");
        assert_eq!(room.argocd.lock().live_tag("checkout"), Some(tag.as_str()));
        assert_eq!(written(room), before, "her revert stays until somebody deploys again");

        // The new deploy is a new commit, not the reverted one.
        room.goes_live("checkout 42").await?;
        assert_eq!(written(room), tag);
        assert_eq!(taken(room).last(), Some(&head(room)));
        Ok(())
    });
}

/// The branch is forced back to where it was before the bot's commit, with nothing on top.
#[test]
fn a_branch_forced_back_before_the_sync_is_not_synced_until_typed_again() {
    room(async |room| -> Result<()> {
        room.script("checkout", quick());
        let old = head(room);
        waits_for_its_sync(room).await?;
        room.github.lock().force_push(GITOPS, "main", "carol", &old, &[]);
        // Before every ask the bot looks whether its commit may be gone, whatever the window says.
        let message = room.says("so I didn't roll it out").await?;
        assert!(message.contains("may be gone"), "{message}");
        assert_eq!(taken(room), [""; 0]);

        opens(room);
        room.goes_live("checkout 42").await?;
        assert_eq!(taken(room), [head(room)]);
        Ok(())
    });
}

/// The branch was rewritten before the bot read it, and GitHub's webhook of that rewrite comes late: it does
/// not concern the bot's commit.
#[test]
fn a_late_webhook_of_an_earlier_rewrite_does_not_stop_the_deploy() {
    room(async |room| -> Result<()> {
        room.script("checkout", quick());
        let old = head(room);
        let rewrite = {
            let mut github = room.github.lock();
            github.person_pushes(GITOPS, "main", "carol", &[("NOTES.md", "Hello")], "Take notes");
            github.webhook(GITOPS).lost = 1;
            github.force_push(GITOPS, "main", "carol", &old, &[]);
            github.deliveries().last().map(|delivery| delivery.guid.clone()).unwrap_or_default()
        };
        // GitHub gives the time of a push in whole seconds.
        let begun = sandbox::now();
        room.until("later second", PATIENCE, |_| (sandbox::now() > begun + 2_000).then_some(())).await?;
        waits_for_its_sync(room).await?;
        room.github.lock().redeliver(&rewrite);
        let heard = |room: &Sandbox| {
            room.bot.exchanges().iter().any(|exchange| exchange.body.contains("the branch was rewritten")).then_some(())
        };
        room.until("answer to the late webhook", PATIENCE, heard).await?;
        opens(room);
        room.says("is live").await?;
        assert_eq!(taken(room), [head(room)]);
        Ok(())
    });
}

/// The bot learns late that its commit landed; by then the branch was forced back.
#[test]
fn a_branch_forced_back_before_the_answer_to_the_commit_is_not_synced() {
    room(async |room| -> Result<()> {
        let old = head(room);
        room.github.fault("github.commit", Fault::Slow(Duration::from_millis(1500)), 1);
        room.alice("checkout 42").await;
        let landed = |room: &Sandbox| (room.github.lock().head(GITOPS, "main")? != old).then_some(());
        room.until("commit", PATIENCE, landed).await?;
        room.github.lock().force_push(GITOPS, "main", "carol", &old, &[]);
        room.says("so I didn't roll it out").await?;
        assert_eq!(taken(room), [""; 0]);
        Ok(())
    });
}

/// Argo CD has the commit already, and GitHub still hands out commits that are on no branch. The message says
/// what runs.
#[test]
fn a_branch_forced_back_after_the_sync_request_changes_nothing() {
    room(async |room| -> Result<()> {
        room.script("checkout", Script { ends: 1500, ..quick() });
        let old = head(room);
        room.alice("checkout 42").await;
        room.says("rolling out").await?;
        let ours = head(room);
        room.github.lock().force_push(GITOPS, "main", "carol", &old, &[]);
        let tag = room.tag("checkout", "feature/totals");
        room.says(&format!("is live: `{tag}`")).await?;
        assert_eq!(taken(room), [ours.as_str()]);
        assert_eq!(room.argocd.lock().live_tag("checkout"), Some(tag.as_str()));

        // The live commit is not on the branch any more, and the next deploy copes with that.
        room.script("checkout", quick());
        room.goes_live("checkout 42").await?;
        assert_eq!(written(room), tag);
        assert_eq!(taken(room), [ours, head(room)]);
        Ok(())
    });
}

// ---- whose commit it is, after a crash ----

/// What a person may push while the bot is down in the middle of its commit.
struct Pushed {
    what: &'static str,
    /// The very content that the bot was going to write, on the very commit that it was going to build on.
    same_content: bool,
    /// In the browser: then GitHub signs it.
    on_the_web: bool,
    /// With the words of the bot's own message.
    copied: bool,
}

/// The attempt is saved, the commit was never made, and the bot is down. Every push then is a person's.
#[test]
fn a_persons_commit_with_a_copied_id_is_never_taken_for_the_bots_own() {
    const CASES: [Pushed; 4] = [
        Pushed { what: "the same, unsigned", same_content: true, on_the_web: false, copied: true },
        Pushed { what: "the same, signed by GitHub", same_content: true, on_the_web: true, copied: true },
        Pushed { what: "the same by chance, signed by GitHub", same_content: true, on_the_web: true, copied: false },
        Pushed { what: "the id alone", same_content: false, on_the_web: false, copied: true },
    ];
    room(async |room| -> Result<()> {
        room.script("checkout", quick());
        for case in CASES {
            let Pushed { what, same_content, on_the_web, copied } = case;
            let tag = room.builds("checkout", "feature/totals", "alice");
            let (messages, synced, told) = (room.messages().len(), taken(room).len(), relayed(room).len());
            let id = down_in_committing(room, Fault::HangBefore(Duration::from_secs(20))).await?;

            let words = format!("Deploy checkout {tag}\n\nacme/checkout#42 (feature/totals)\n\nDeploy-Id: {id}");
            let files = if same_content {
                (VALUES, values(room).replace(&written(room), &tag))
            } else {
                ("NOTES.md", format!("Notes on {tag}"))
            };
            let message = if copied { &words } else { "Set the tag by hand" };
            let commit = NewCommit { on_the_web, ..NewCommit::new(message, &[(files.0, &files.1)]) };
            let theirs = room.github.lock().push(GITOPS, "main", "carol", &[commit]);

            room.start_bot().await?;
            let end = if same_content { "carol put " } else { "is live" };
            let message = probe(room, &format!("{end:?} ({what})"), |_| {
                // A message that was on its way when the bot was killed stays as it was.
                room.messages().into_iter().skip(messages).find(|text| text.contains(end))
            })
            .await?;
            // Somebody presses "Redeliver": her push is as little the bot's as before.
            let delivery = room.github.lock().deliveries().iter().rfind(|sent| sent.json()["after"] == theirs).cloned();
            let guid = delivery.context("her push")?.guid;
            let answered = room.bot.exchanges().len();
            room.github.lock().redeliver(&guid);
            room.until("answer to GitHub", PATIENCE, |room| (room.bot.exchanges().len() > answered).then_some(()))
                .await?;

            if same_content {
                assert!(message.contains("not deployed: "), "{what}: {message}");
                assert_eq!((head(room), taken(room).len()), (theirs, synced), "{what}");
                assert_eq!(relayed(room).len(), told, "{what}");
            } else {
                let ours = room.github.lock().commits(GITOPS, "main")[0].clone();
                assert_eq!(
                    (ours.author.login().as_deref(), ours.parents),
                    (Some(world::BOT_LOGIN), vec![theirs]),
                    "{what}"
                );
                assert_eq!(taken(room)[synced..], [ours.sha.as_str()], "{what}");
                assert!(relayed(room)[told..].iter().all(|after| *after == ours.sha), "{what}");
            }
        }
        Ok(())
    });
}

/// The commit landed, and the bot died before it knew. Its own commit is found, and not the copy that Carol pushed on top of it.
#[test]
fn a_copy_on_top_of_the_bots_own_commit_is_not_taken_for_it() {
    room(async |room| -> Result<()> {
        room.script("checkout", quick());
        let old = head(room);
        down_in_committing(room, Fault::HangAfter(Duration::from_secs(20))).await?;
        let ours = room.github.lock().commits(GITOPS, "main")[0].clone();
        assert_eq!(ours.parents, [old]);
        let copy =
            NewCommit { on_the_web: true, ..NewCommit::new(&ours.message, &[(VALUES, &values(room)), ("a", "a")]) };
        room.github.lock().push(GITOPS, "main", "carol", &[copy]);
        room.start_bot().await?;
        probe(room, "end", |_| room.messages().iter().any(|text| text.contains("is live")).then_some(())).await?;
        assert_eq!(taken(room), [ours.sha]);
        Ok(())
    });
}

/// Alice deploys checkout #42, and the bot dies after it sent its commit and before the answer. Returns the
/// deployment's id.
async fn down_in_committing(room: &mut Room, fault: Fault) -> Result<String> {
    let known: Vec<String> = room.keys().await?;
    let (since, base) = (room.journal.mark("deploy"), head(room));
    room.github.fault("github.commit", fault, 1);
    room.alice("checkout 42").await;
    let sends =
        |room: &Sandbox| room.journal.calls_since(since).iter().any(|call| call == "github.commit").then_some(());
    room.until("commit on its way", PATIENCE, sends).await?;
    room.stop_bot().await;
    // In production a dead process's leases run out after 15 s.
    for lease in room.redis::<Vec<String>>(&["KEYS", "deploy-bot/lease/*"]).await? {
        room.redis::<i64>(&["DEL", &lease]).await?;
    }
    let commit = room.keys().await?.into_iter().find(|key| key.ends_with("/commit") && !known.contains(key));
    let commit = commit.context("the attempt was saved")?;
    let fact = room.key(&commit).await?.unwrap_or_default();
    assert_eq!(fact["attempts"][0]["base"], json!(base), "{fact}");
    Ok(commit.trim_start_matches("deploy-bot/deployment/").trim_end_matches("/commit").to_owned())
}

/// Probes `/healthz` every 300 ms, as an operator's probe does, until there is something to see.
async fn probe<T>(room: &Room, what: &str, mut look: impl FnMut(&Sandbox) -> Option<T>) -> Result<T> {
    let begun = std::time::Instant::now();
    loop {
        room.bot.request(http::Request::get("/healthz").body(Vec::new())?).await;
        match room.until(what, Duration::from_millis(300), &mut look).await {
            Err(error) if begun.elapsed() > PATIENCE => return Err(error.context(format!("{:#?}", room.messages()))),
            Err(_) => {}
            Ok(seen) => return Ok(seen),
        }
    }
}

// ---- a newer commit of the bot ----

/// GitHub does not say in time what became of Alice's commit, so her deployment ends without a sync. Then Bob deploys something else:
/// his commit is on top of hers, which had landed, and hers is not synced after it.
#[test]
fn an_older_commit_is_not_synced_after_a_newer_one() {
    let mut limits = limits();
    (limits["no_mutation"], limits["no_end"], limits["no_commit"]) = (4_000.into(), 5_000.into(), 6_000.into());
    room_with(Options { limits: Some(limits), ..Options::default() }, async |room| -> Result<()> {
        room.script("checkout", quick());
        let old = head(room);
        room.github.fault("github.commit", Fault::HangAfter(Duration::from_secs(1)), 1);
        room.alice("checkout 42").await;
        let landed = |room: &Sandbox| {
            let head = room.github.lock().head(GITOPS, "main").filter(|head| *head != old)?;
            room.github.fault("github.query", Fault::DropBefore, 1000);
            Some(head)
        };
        let hers = room.until("commit", PATIENCE, landed).await?;
        let unknown = |_: &Sandbox| room.messages()[0].contains("I'm not sure the commit went through").then_some(());
        probe(room, "end by time", unknown).await?;
        room.github.mend();
        room.bob("checkout main").await;
        let main = room.tag("checkout", "main");
        room.says(&format!("is live: `{main}`")).await?;
        let commits = room.github.lock().commits(GITOPS, "main");
        assert_eq!(commits[0].parents, [hers.as_str()], "his is on top of hers");
        assert_eq!(taken(room), [commits[0].sha.clone()]);
        assert!(room.messages()[0].contains("I'm not sure the commit went through"), "{:#?}", room.messages());

        // As the message says: Alice types the command again, and her version goes live by a newer commit.
        room.goes_live("checkout 42").await?;
        assert_eq!(taken(room), [commits[0].sha.clone(), head(room)]);
        assert!(!taken(room).contains(&hers));
        Ok(())
    });
}

/// While Alice's commit waits for its sync, another deployment takes the turn, as if her carrier was frozen
/// for longer than its leases live. If her sync is not yet requested, her deployment is superseded. If it is
/// already requested, her sync is followed to its end.
#[test]
fn a_commit_that_lost_its_turn_is_followed_only_if_its_sync_was_requested() {
    for asked_before in [false, true] {
        room(async |room| -> Result<()> {
            room.script("checkout", Script { ends: 1500, ..quick() });
            let ours = if asked_before {
                room.alice("checkout 42").await;
                room.says("rolling out").await?;
                head(room)
            } else {
                waits_for_its_sync(room).await?
            };
            let target = json!({ "app": "checkout", "environment": "default" });
            let newer = json!({ "version": 1, "id": "00112233445566778899aabbccddeeff", "target": target });
            room.plants("deploy-bot/application/-/checkout/current", newer).await?;
            if asked_before {
                room.says("is live").await?;
                assert_eq!(taken(room), [ours]);
            } else {
                // Before every ask the bot looks whose turn it is, whatever the window says.
                let message = room.says("stopped: a newer deploy took over").await?;
                assert!(message.contains("this one wasn't rolled out."), "{message}");
                assert_eq!(taken(room), [""; 0]);
            }
            Ok(())
        });
    }
}

/// Somebody syncs Alice's commit by hand before the bot's sync, and again after it: her version is live
/// either way.
#[test]
fn the_same_commit_synced_by_somebody_else_does_no_harm() {
    room(async |room| -> Result<()> {
        // Without a webhook there is time before the bot asks.
        room.github.lock().webhook(GITOPS).lost = 1;
        room.script("checkout", Script { ends: 2500, ..quick() });
        let old = head(room);
        room.alice("checkout 42").await;
        let landed = |room: &Sandbox| room.github.lock().head(GITOPS, "main").filter(|head| *head != old);
        let ours = room.until("commit", PATIENCE, landed).await?;
        room.argocd.lock().person_syncs(now(), "checkout", Some(&ours)).map_err(anyhow::Error::msg)?;
        room.says("Waiting for another operation in Argo CD, started by admin").await?;
        room.until("sync by the bot", PATIENCE, |_| (taken(room) == [ours.clone()]).then_some(())).await?;
        let ended = |room: &Sandbox| {
            let application = room.argocd.lock().application("checkout");
            let state = &application["status"]["operationState"];
            (state["operation"]["initiatedBy"]["username"] == "deploy-bot" && state["phase"] == "Succeeded")
                .then_some(())
        };
        room.until("end of the bot's sync", PATIENCE, ended).await?;
        room.argocd.lock().person_syncs(now(), "checkout", Some(&ours)).map_err(anyhow::Error::msg)?;
        room.says("is live").await?;
        assert_eq!(taken(room), [ours], "the bot asked once");
        Ok(())
    });
}
