//! Somebody may write the key-value store, and has no secret of the bot. Nobody deploys, approves or unlocks that way.

use anyhow::{Context, Result, ensure};
use domain::deployment::Writer;
use domain::names::Secret;
use e2e::{Room, broken_room, limits, quick, room};
use sandbox::world::{ALICE, BOB, CAROL, DEPLOYS, GITOPS, SLACK_BOT_TOKEN};
use sandbox::{Options, now};
use serde_json::{Value, json};
use std::time::Duration;
use store::Seals;

/// What every attack here may have to wait for: a probe resumes what is in flight at most every five seconds.
const A_WHILE: Duration = Duration::from_secs(7);
const NEW: &str = "0123456789abcdef0123456789abcdef";

fn options() -> Options {
    Options { limits: Some(limits()), ..Options::default() }
}

fn key(id: &str, fact: &str) -> String {
    format!("deploy-bot/deployment/{id}/{fact}")
}

/// A fact of a deployment that went live.
async fn fact(room: &Room, name: &str) -> Result<Value> {
    let id = room.deployments().await?.pop().context("a deployment")?;
    room.key(&key(&id, name)).await?.with_context(|| format!("no {name}"))
}

/// The deployment is in flight, and everybody is woken who may carry it on.
async fn is_carried_on(room: &Room) -> Result<()> {
    room.redis::<i64>(&["ZADD", "deploy-bot/in-flight", &now().to_string(), NEW]).await?;
    for _ in 0..2 {
        room.redis::<i64>(&["PUBLISH", "deploy-bot/wake", ""]).await?;
        ensure!(room.get("/healthz").await.status == Some(200));
        tokio::time::sleep(A_WHILE / 2).await;
    }
    Ok(())
}

/// The keys that the log calls not ours.
fn not_ours(room: &Room) -> Vec<String> {
    let lines = room.log();
    let lines = lines.lines().filter(|line| line.contains("\"event\":\"not_ours\""));
    lines.filter_map(|line| Some(line.split("\"key\":\"").nth(1)?.split('"').next()?.to_owned())).collect()
}

/// Attack: may write the store | writes a request in somebody's name | it counts for nothing
#[test]
fn a_request_that_is_written_into_the_store_deploys_nothing() {
    broken_room(options(), async |room| -> Result<()> {
        room.script("checkout", quick());
        room.goes_live("checkout 42").await?;
        let mut request = fact(room, "request").await?;
        let before = (room.commits(), room.told().len());
        // In Alice's name, who may deploy. It is not what she asked for.
        request["at"] = now().into();
        request["words"]["what"] = json!({ "branch": "main" });
        room.forges(&key(NEW, "request"), &request).await?;
        is_carried_on(room).await?;
        ensure!((room.commits(), room.told().len()) == before, "{:#?}", room.messages());
        ensure!(not_ours(room).contains(&key(NEW, "request")), "{}", room.log());
        // As it was, but elsewhere.
        let request = fact(room, "request").await?;
        room.forges(&key(NEW, "request"), &request).await?;
        is_carried_on(room).await?;
        ensure!((room.commits(), room.told().len()) == before, "{:#?}", room.messages());
        Ok(())
    });
}

/// Attack: holds one component's secrets | has sync-poller's `store_key` and writes a request, approvals and a lock in Alice's name | they count for nothing, but the lock holds until an owner unlocks
#[test]
fn with_the_pollers_key_nobody_speaks_for_a_person() {
    broken_room(options(), async |room| -> Result<()> {
        room.script("checkout", quick());
        room.goes_live("checkout 42").await?;
        let before = (room.commits(), room.told().len());
        let seals = Seals::shared(&Secret::new(SLACK_BOT_TOKEN), None);
        // All that the key can seal: as the poller's own, and as what both components write.
        for writer in [Writer::SyncPoller, Writer::SlackCommand] {
            let mut request = fact(room, "request").await?;
            request["at"] = now().into();
            request["words"]["what"] = json!({ "branch": "main" });
            let mut given = json!({ "version": 1, "given": [{ "user": BOB, "at": now() }], "rejected": null });
            let mut lock = json!({
                "version": 1, "by": ALICE, "reason": "mine", "at": now(), "until": null, "rollback": false,
            });
            for (name, value) in [
                (key(NEW, "request"), &mut request),
                (key(NEW, "approvals"), &mut given),
                ("deploy-bot/target/checkout/default/lock".to_owned(), &mut lock),
            ] {
                ensure!(seals.seal(&name, writer, value), "it has the key");
                room.forges(&name, value).await?;
            }
            is_carried_on(room).await?;
            ensure!((room.commits(), room.told().len()) == before, "{:#?}", room.messages());
        }
        ensure!(not_ours(room).contains(&key(NEW, "request")), "{}", room.log());
        room.alice("checkout main").await;
        room.says("is locked by").await?;
        ensure!(not_ours(room).contains(&"deploy-bot/target/checkout/default/lock".to_owned()), "{}", room.log());
        Ok(())
    });
}

/// Attack: holds one component's secrets | has sync-poller's `store_key` and makes up that an image of theirs was live | a rollback to it passes all gates, as a deploy does
#[test]
fn with_the_pollers_key_a_made_up_history_passes_no_gate() {
    const TARGET: &str = "deploy-bot/target/checkout/default";
    const EVIL: &str = "evil-123456789abc";
    broken_room(options(), async |room| -> Result<()> {
        room.script("checkout", quick());
        for _ in 0..3 {
            room.builds("checkout", "main", "alice");
            room.goes_live("checkout main").await?;
            room.all_told().await?;
        }
        let text = String::from_utf8(room.file("deploy-bot.yaml"))?;
        let gated = text.replace("repo: acme/checkout\n", "repo: acme/checkout\n    checks: required\n");
        room.github.lock().person_pushes(GITOPS, "main", "carol", &[("deploy-bot.yaml", &gated)], "Checks");
        let digest = room.registry.lock().push("acme/checkout", EVIL);
        let seals = Seals::shared(&Secret::new(SLACK_BOT_TOKEN), None);
        let seal = async |key: String, mut value: Value| -> Result<()> {
            ensure!(seals.seal(&key, Writer::SlackCommand, &mut value), "it has the key");
            room.forges(&key, &value).await
        };
        let history = format!("{TARGET}/history");
        let mut past = room.key(&history).await?.context("a history")?;
        let id = past["past"][1]["id"].as_str().context("an id")?.to_owned();
        past["past"][1]["became"]["version"]["tag"] = EVIL.into();
        past["past"][1]["became"]["version"]["digest"] = digest.as_str().into();
        seal(history, past).await?;
        let mut committed = room.key(&key(&id, "committed")).await?.context("a commit")?;
        committed["commit"]["plan"]["targets"][0]["tag"] = EVIL.into();
        committed["commit"]["plan"]["targets"][0]["digest"] = digest.as_str().into();
        seal(key(&id, "committed"), committed).await?;
        let images = format!("{TARGET}/images");
        let mut known = room.key(&images).await?.context("images")?;
        known["images"].as_array_mut().context("a list")?.push(json!([EVIL, digest]));
        seal(images, known).await?;
        let before = room.commits();
        room.command(BOB, DEPLOYS, "rollback checkout").await;
        room.says("needs the checks").await?;
        ensure!(room.commits() == before && not_ours(room).is_empty(), "{}", room.log());
        Ok(())
    });
}

/// Attack: holds one component's secrets | has sync-poller's `store_key` and writes a commit with Alice's request in it | nothing is committed in her name
#[test]
fn with_the_pollers_key_no_plan_speaks_for_a_person() {
    broken_room(options(), async |room| -> Result<()> {
        room.script("checkout", quick());
        room.goes_live("checkout 42").await?;
        let before = (room.commits(), room.told().len());
        let seals = Seals::shared(&Secret::new(SLACK_BOT_TOKEN), None);
        for writer in [Writer::SyncPoller, Writer::SlackCommand] {
            let mut commit = fact(room, "commit").await?;
            commit["attempts"] = json!([]);
            commit["request"]["at"] = now().into();
            commit["request"]["words"]["what"] = json!({ "branch": "main" });
            ensure!(seals.seal(&key(NEW, "commit"), writer, &mut commit), "it has the key");
            room.forges(&key(NEW, "commit"), &commit).await?;
            is_carried_on(room).await?;
            ensure!((room.commits(), room.told().len()) == before, "{:#?}", room.messages());
        }
        Ok(())
    });
}

/// Attack: holds one component's secrets | has sync-poller's `store_key` and writes what *Roll back* below Alice's deploy takes away | her click means what she sees
#[test]
fn with_the_pollers_key_no_button_means_something_else() {
    broken_room(options(), async |room| -> Result<()> {
        room.script("checkout", quick());
        room.goes_live("checkout 42").await?;
        room.all_told().await?;
        let before = room.deployments().await?;
        room.goes_live("checkout main").await?;
        room.all_told().await?;
        let id = room.deployments().await?.into_iter().find(|id| !before.contains(id)).context("a deployment")?;
        let before = room.commits();
        let mut commit = room.key(&key(&id, "commit")).await?.context("a commit")?;
        commit["plan"]["targets"][0]["target"] = json!({ "app": "search", "environment": "default" });
        let seals = Seals::shared(&Secret::new(SLACK_BOT_TOKEN), None);
        ensure!(seals.seal(&key(&id, "commit"), Writer::SlackCommand, &mut commit), "it has the key");
        room.forges(&key(&id, "commit"), &commit).await?;
        let live = room.slack.lock().messages(DEPLOYS).last().cloned().context("a message")?;
        room.press(ALICE, &live, "roll_back").await;
        room.says("I don't remember it any more").await?;
        ensure!(room.commits() == before && not_ours(room).contains(&key(&id, "commit")), "{}", room.log());
        Ok(())
    });
}

/// Attack: may write the store | puts the end of a request for another version below the message that Carol approves | her click approves nothing
#[test]
fn an_end_that_is_written_into_the_store_is_not_what_is_approved() {
    broken_room(options(), async |room| -> Result<()> {
        room.script("checkout", quick());
        let catalog = String::from_utf8(room.github.lock().file_at(GITOPS, "main", "deploy-bot.yaml").context("it")?)?;
        let gate = format!("repo: acme/checkout\n    approvals: {{ count: 1, users: [{BOB}, {CAROL}] }}\n");
        let catalog = catalog.replacen("repo: acme/checkout\n", &gate, 1);
        room.github.lock().person_pushes(GITOPS, "main", "carol", &[("deploy-bot.yaml", &catalog)], "Approvals");
        room.alice("checkout 42").await;
        room.says("needs 1 approval").await?;
        room.all_told().await?;
        let shown = room.slack.lock().messages(DEPLOYS).last().cloned().context("a message")?;
        let first = room.deployments().await?.pop().context("a deployment")?;
        // What Carol has not seen: the end of another request, of another branch's newest commit.
        let evil = room.builds("checkout", "main", "mallory");
        room.command(ALICE, DEPLOYS, "checkout main").await;
        room.says(&evil).await?;
        room.all_told().await?;
        let all = room.deployments().await?;
        let second = all.iter().find(|id| **id != first).context("another deployment")?;
        let end = room.key(&key(second, "end")).await?.context("an end")?;
        room.forges(&key(&first, "end"), &end).await?;
        let before = room.commits();
        room.press(CAROL, &shown, "approve").await;
        room.says("I don't remember it any more").await?;
        ensure!(room.commits() == before && not_ours(room).contains(&key(&first, "end")), "{}", room.log());
        Ok(())
    });
}

/// Attack: may write the store | writes a commit as the bot's | it is not synced
#[test]
fn a_commit_that_is_written_into_the_store_is_not_synced() {
    broken_room(options(), async |room| -> Result<()> {
        room.script("checkout", quick());
        room.goes_live("checkout 42").await?;
        let (mut commit, mut committed) = (fact(room, "commit").await?, fact(room, "committed").await?);
        let values = room.github.lock().file_at(GITOPS, "main", "checkout/values.yaml").context("values")?;
        let values = String::from_utf8(values)?.replace("replicaCount: 2", "replicaCount: 9");
        let files = [("checkout/values.yaml", values.as_str())];
        let theirs = room.github.lock().person_pushes(GITOPS, "main", "mallory", &files, "Nine");
        committed["sha"] = theirs.clone().into();
        committed["at"] = now().into();
        commit["attempts"][0]["at"] = now().into();
        for (name, value) in
            [("request", &fact(room, "request").await?), ("commit", &commit), ("committed", &committed)]
        {
            room.forges(&key(NEW, name), value).await?;
        }
        is_carried_on(room).await?;
        let argocd = room.argocd.lock();
        ensure!(argocd.syncs().iter().all(|sync| sync.revision() != Some(theirs.as_str())), "it was synced");
        drop(argocd);
        ensure!(not_ours(room).contains(&key(NEW, "committed")), "{}", room.log());
        Ok(())
    });
}

/// Attack: may write the store | writes a catalog that allows anybody | it counts only with the hash that the branch has
#[test]
fn a_catalog_that_is_written_into_the_store_is_not_believed() {
    room(async |room| -> Result<()> {
        room.script("checkout", quick());
        let anyone = String::from_utf8(room.github.lock().file_at(GITOPS, "main", "deploy-bot.yaml").context("it")?)?;
        let alice = anyone.replace("allow: anyone", &format!("allow: {{ users: [{ALICE}] }}"));
        room.github.lock().person_pushes(GITOPS, "main", "carol", &[("deploy-bot.yaml", &alice)], "Alice alone");
        room.goes_live("checkout 42").await?;
        // Without a MAC, and as somebody would who had the key: then it is not the text of its hash.
        let cached = room.key("deploy-bot/catalog").await?.context("a cached catalog")?;
        for is_sealed in [false, true] {
            let mut forged = cached.clone();
            (forged["at"], forged["sources"]["text"]) = (now().into(), anyone.clone().into());
            match is_sealed {
                true => room.plants("deploy-bot/catalog", forged).await?,
                false => room.forges("deploy-bot/catalog", &forged).await?,
            }
            let before = room.commits();
            room.command(CAROL, DEPLOYS, "checkout main").await;
            room.says("not deployed").await?;
            room.all_told().await?;
            ensure!(room.commits() == before, "it was believed");
            ensure!(not_ours(room).contains(&"deploy-bot/catalog".to_owned()), "{}", room.log());
        }
        Ok(())
    });
}

/// Attack: may write the store | writes into the history that another version was live | a rollback does not go there
#[test]
fn a_version_that_is_written_into_the_history_is_none_to_go_back_to() {
    const HISTORY: &str = "deploy-bot/target/checkout/default/history";
    broken_room(options(), async |room| -> Result<()> {
        room.script("checkout", quick());
        let mut tags = Vec::new();
        for _ in 0..3 {
            tags.push(room.builds("checkout", "main", "alice"));
            room.goes_live("checkout main").await?;
            room.all_told().await?;
        }
        let good = room.key(HISTORY).await?.context("a history")?;
        let past = good["past"].as_array().context("what is past")?;
        ensure!(past.len() == 2 && past[1]["became"]["version"]["tag"] == tags[1], "{good}");
        // What she would have back was never deployed, and what was deployed was never bad.
        let mut forged = good.clone();
        forged["past"][1]["became"]["version"]["tag"] = "evil-123456789abc".into();
        room.forges(HISTORY, &forged).await?;
        let before = room.commits();
        room.command(BOB, DEPLOYS, "rollback checkout").await;
        room.says("I know of no earlier healthy version").await?;
        ensure!(room.commits() == before && not_ours(room).contains(&HISTORY.to_owned()), "{}", room.log());
        // Of the true history counts what was committed, and no plan that somebody has written.
        room.forges(HISTORY, &good).await?;
        let id = past[1]["id"].as_str().context("an id")?;
        let mut committed = room.key(&key(id, "committed")).await?.context("a commit")?;
        committed["commit"]["plan"]["targets"][0]["tag"] = "evil-123456789abc".into();
        room.forges(&key(id, "committed"), &committed).await?;
        room.command(BOB, DEPLOYS, "rollback checkout").await;
        room.all_told().await?;
        ensure!(room.commits() == before && not_ours(room).contains(&key(id, "committed")), "{}", room.log());
        Ok(())
    });
}

/// Attack: may write the store | writes approvals | nobody has approved
#[test]
fn approvals_that_are_written_into_the_store_are_none() {
    room(async |room| -> Result<()> {
        room.script("checkout", quick());
        let catalog = String::from_utf8(room.github.lock().file_at(GITOPS, "main", "deploy-bot.yaml").context("it")?)?;
        let gate = format!("repo: acme/checkout\n    approvals: {{ count: 1, users: [{BOB}, {CAROL}] }}\n");
        let catalog = catalog.replacen("repo: acme/checkout\n", &gate, 1);
        room.github.lock().person_pushes(GITOPS, "main", "carol", &[("deploy-bot.yaml", &catalog)], "Approvals");
        room.alice("checkout 42").await;
        room.says("needs 1 approval").await?;
        room.all_told().await?;
        let id = room.deployments().await?.pop().context("a deployment")?;
        let before = room.commits();
        let given = json!({ "version": 1, "given": [{ "user": BOB, "at": now() }], "rejected": null });
        room.forges(&key(&id, "approvals"), &given).await?;
        room.redis::<i64>(&["ZADD", "deploy-bot/in-flight", &now().to_string(), &id]).await?;
        ensure!(room.get("/healthz").await.status == Some(200));
        tokio::time::sleep(A_WHILE).await;
        ensure!(room.commits() == before, "{:#?}", room.messages());
        // Carol approves herself.
        let wanted = room.slack.lock().messages(DEPLOYS).last().cloned().context("a message")?;
        room.press(CAROL, &wanted, "approve").await;
        room.says("is live").await?;
        Ok(())
    });
}

/// Attack: may write the store | writes a lock | it holds until an owner unlocks, and is in the log
#[test]
fn a_lock_that_nobody_sealed_holds_until_an_owner_unlocks() {
    room(async |room| -> Result<()> {
        room.script("checkout", quick());
        let lock = json!({
            "version": 1, "by": CAROL, "reason": "a migration", "until": null, "at": now(), "rollback": false,
        });
        let key = "deploy-bot/target/checkout/default/lock";
        room.forges(key, &lock).await?;
        room.alice("checkout 42").await;
        room.says("checkout is locked by @carol").await?;
        ensure!(not_ours(room).contains(&key.to_owned()), "{}", room.log());
        room.command(CAROL, DEPLOYS, "unlock checkout").await;
        room.says("unlocked *checkout*").await?;
        room.goes_live("checkout 42").await?;
        Ok(())
    });
}
