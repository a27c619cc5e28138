//! People push to a file of an app. The bot announces the push once, in the channel where the app is
//! deployed, never syncs it, and deploys it if somebody presses *Deploy*.
//!
//! Easy to miss: nothing is announced before the bot has read its catalog once. A press is a request like any
//! other.

use crate::conversation::{asks, catalog, deploys, hurry, says};
use anyhow::{Context, Result, ensure};
use e2e::access::Accesses;
use e2e::{PATIENCE, Room, limits, room, room_with};
use fakes::Fault;
use fakes::github::NewCommit;
use fakes::registry;
use fakes::slack::{Bot, Kind, Message};
use sandbox::world::{ALICE, BOB, DEPLOYS, GITOPS, MALLORY};
use sandbox::{Options, Sandbox};

const VALUES: &str = "checkout/values.yaml";
const DEPLOY: &str = "deploy_pushed_0";

fn head(room: &Room) -> String {
    room.github.lock().head(GITOPS, "main").unwrap_or_default()
}

/// Checkout's values file with something else in it.
fn values(room: &Room, old: &str, new: &str) -> String {
    let text = String::from_utf8_lossy(&room.file(VALUES)).into_owned();
    assert!(text.contains(old), "{old:?} is not in {text}");
    text.replace(old, new)
}

fn carol_replaces(room: &Room, old: &str, new: &str) -> String {
    let text = values(room, old, new);
    room.github.lock().person_pushes(GITOPS, "main", "carol", &[(VALUES, &text)], "Change the values")
}

/// The announcement of that push, once it is there; nothing of it is in flight then.
async fn announced(room: &Room, sha: &str) -> Result<Message> {
    let look = |_: &Sandbox| room.announcements().into_iter().find(|message| shown(room, message).contains(sha));
    let message = room.until(&format!("announcement of {sha}"), PATIENCE, look).await?;
    room.all_told().await?;
    Ok(message)
}

/// As people read it, with the addresses behind the words.
fn shown(room: &Room, message: &Message) -> String {
    format!("{}\n{:?}", room.slack.lock().render(message), message.now().blocks)
}

/// What the bot answered to the newest delivery of that push.
async fn answer_to(room: &Room, happens: impl FnOnce()) -> Result<String> {
    let answers = |room: &Sandbox| {
        let all = room.bot.exchanges().into_iter();
        all.filter(|exchange| exchange.path == "/github/webhook").map(|exchange| exchange.body).collect::<Vec<_>>()
    };
    let before = answers(room).len();
    happens();
    room.until("answer to GitHub", PATIENCE, |room| answers(room).into_iter().nth(before)).await
}

fn redelivers(room: &Room, sha: &str) {
    let mut github = room.github.lock();
    let guid = github.deliveries().iter().rfind(|sent| sent.json()["after"] == sha).map(|sent| sent.guid.clone());
    github.redeliver(&guid.unwrap_or_default());
}

fn syncs(room: &Room) -> usize {
    room.argocd.lock().syncs().len()
}

async fn noted(room: &Room) -> Result<Vec<String>> {
    Ok(room.keys().await?.into_iter().filter(|key| key.starts_with("deploy-bot/push/")).collect())
}

#[test]
fn a_push_is_announced_once_and_not_synced_until_somebody_presses() {
    room(async |room| -> Result<()> {
        hurry(room);
        deploys(room, "checkout 42").await?;
        room.all_told().await?;
        let (tag, synced, told) =
            (room.tag("checkout", "feature/totals"), syncs(room), room.argocd.lock().webhooks().len());

        // Three commits at once, of which the second is the last that touches the file.
        let limits = values(room, "memory: 256Mi", "memory: 512Mi");
        let text = limits.replace("replicaCount: 2", "replicaCount: 5");
        let commits = [
            NewCommit::new("Raise the limits", &[(VALUES, &limits)]),
            NewCommit::new("Run five", &[(VALUES, &text)]),
            NewCommit::new("Say why", &[("NOTES.md", "Because")]),
        ];
        let hers = room.github.lock().push(GITOPS, "main", "carol", &commits);
        let message = announced(room, &hers).await?;
        let words = shown(room, &message);
        for part in ["carol pushed", "Say why", "2 more commits", "Not deployed", "*checkout*", VALUES, "[Deploy]"] {
            ensure!(words.contains(part), "{part:?} is not in {words}");
        }

        // Once, however often GitHub sends it, and Argo CD knows nothing of it.
        let again = answer_to(room, || redelivers(room, &hers)).await?;
        ensure!(again.contains("noted"), "{again}");
        room.all_told().await?;
        ensure!(room.announcements().len() == 1 && noted(room).await?.is_empty());
        ensure!(syncs(room) == synced && room.argocd.lock().webhooks().len() == told);

        // Two people press, and somebody from elsewhere: one commit, on top of hers, changes nothing, and
        // exactly that commit is synced.
        let before = room.commits();
        // Slack is asked about Bob before he presses, and not while Alice overtakes him.
        asks(room, BOB, "status checkout", "*checkout* runs").await?;
        room.press(MALLORY, &message, DEPLOY).await;
        room.press(BOB, &message, DEPLOY).await;
        room.press(ALICE, &message, DEPLOY).await;
        let live = room.says("put into Git by carol in").await?;
        room.all_told().await?;
        let live = room.messages().into_iter().find(|text| text.contains("put into Git by carol in")).unwrap_or(live);
        ensure!(live.contains(&format!("is live: `{tag}`")) && live.contains("asked by @bob"), "{live}");
        ensure!(live.contains("Also goes live: 2 commits by carol"), "{live}");
        let commits = room.github.lock().commits(GITOPS, "main");
        let ours = commits.first().context("a commit")?.clone();
        ensure!(commits.len() == before + 1 && ours.parents == [hers.clone()] && ours.modified.is_empty(), "{ours:?}");
        ensure!(room.argocd.lock().syncs().last().and_then(|sync| sync.revision()) == Some(ours.sha.as_str()));
        ensure!(syncs(room) == synced + 1);
        let wrote = &commits[2].sha;
        ensure!(ours.message.contains(&format!("Written-In: {wrote}")), "{}", ours.message);

        // The bot's own push is never announced.
        let own = answer_to(room, || redelivers(room, &ours.sha)).await?;
        ensure!(own.contains("it was relayed before") && room.announcements().len() == 1, "{own}");
        Ok(())
    });
}

#[test]
fn a_push_to_no_file_of_an_app_is_not_announced_and_costs_one_read() {
    room(async |room| -> Result<()> {
        hurry(room);
        // Nobody has used the bot yet, so it does not know which files are an app's.
        let before = answer_to(room, || drop(carol_replaces(room, "replicaCount: 2", "replicaCount: 3"))).await?;
        ensure!(before.contains("ignored"), "{before}");
        deploys(room, "checkout 42").await?;
        room.all_told().await?;
        let pushes = |path: &'static str| {
            drop(room.github.lock().person_pushes(GITOPS, "main", "carol", &[(path, "a: 1\n")], "A file"));
        };
        let idle = |room: &Sandbox| (room.argocd.lock().open_streams() == 0).then_some(());
        room.until("end of the watch", PATIENCE, idle).await?;
        room.nothing_left().await?;
        let mut accesses = Accesses::since_now(room).await?;
        let answer = answer_to(room, || pushes("README.md")).await?;
        ensure!(answer.contains("ignored"), "{answer}");
        accesses.none().await?;
        let answer = answer_to(room, || pushes("checkout/limits.yaml")).await?;
        ensure!(answer.contains("ignored"), "{answer}");
        let (redis, store) = (accesses.redis().await?, accesses.store().await?);
        ensure!(redis.is_empty() && store.keys().all(|name| name == "get" || name == "connect"), "{redis:?} {store:?}");
        ensure!(store.get("get") == Some(&1), "{store:?}");
        ensure!(room.announcements().is_empty() && noted(room).await?.is_empty());
        Ok(())
    });
}

#[test]
fn the_button_of_a_push_deploys_what_is_in_the_file_or_says_why_not() {
    room(async |room| -> Result<()> {
        hurry(room);
        deploys(room, "checkout 42").await?;
        room.all_told().await?;
        let tag = room.tag("checkout", "feature/totals");
        let first = announced(room, &carol_replaces(room, "replicaCount: 2", "replicaCount: 5")).await?;

        // Somebody pushed the file again: what the old button showed is not there any more.
        let second = announced(room, &carol_replaces(room, "replicaCount: 5", "replicaCount: 6")).await?;
        let (before, synced) = (room.commits(), syncs(room));
        room.press(ALICE, &first, DEPLOY).await;
        let refused = says(room, "carol put ").await?;
        room.all_told().await?;
        ensure!(refused.buttons() == ["take_over", "retry"], "{:?}", refused.buttons());

        // Somebody who may not deploy may not press the button.
        let host = room.registry.origin().trim_start_matches("http://").to_owned();
        let text = format!(
            "apps:\n  checkout:\n    repo: acme/checkout\n    image: {host}/acme/checkout\n    allow: {{ users: [{ALICE}] }}\n"
        );
        room.github.lock().person_pushes(GITOPS, "main", "carol", &[("deploy-bot.yaml", &text)], "Close checkout");
        room.press(BOB, &second, DEPLOY).await;
        room.says("you aren't allowed to deploy checkout").await?;
        room.all_told().await?;

        // A tag that was never deployed there could be anything.
        let by_hand = announced(room, &carol_replaces(room, &tag, "by-hand-1234567")).await?;
        room.press(ALICE, &by_hand, DEPLOY).await;
        let unknown = room.says("Git says `by-hand-1234567`, which I never deployed to checkout").await?;
        ensure!(unknown.contains("not deployed: ") && unknown.contains("/deploy checkout main"), "{unknown}");
        room.all_told().await?;
        ensure!(syncs(room) == synced && room.commits() == before + 2, "nothing happened so far");

        // The bot has deployed meanwhile: then the file has that version.
        deploys(room, "checkout main").await?;
        room.all_told().await?;
        let ours = head(room);
        let messages = room.messages().len();
        room.press(ALICE, &by_hand, DEPLOY).await;
        let again = |_: &Sandbox| (room.messages().len() == messages + 1).then_some(());
        room.until("message of the press", PATIENCE, again).await?;
        room.all_told().await?;
        let last = room.messages().pop().unwrap_or_default();
        ensure!(last.contains("is live") && head(room) == ours, "{last}");
        Ok(())
    });
}

/// GitHub says of the merge that it touches the file, and of the file that the merged commit has written it.
#[test]
fn a_merged_pull_request_is_announced_and_deployed_with_one_press() {
    room(async |room| -> Result<()> {
        hurry(room);
        deploys(room, "checkout 42").await?;
        room.all_told().await?;
        let text = values(room, "replicaCount: 2", "replicaCount: 5");
        let hers = {
            let mut github = room.github.lock();
            let change = NewCommit::new("Run five", &[(VALUES, &text)]);
            let branch = github.push(GITOPS, "more", "carol", std::slice::from_ref(&change));
            let merge = NewCommit {
                merges: Some(branch),
                on_the_web: true,
                message: "Merge pull request #3".to_owned(),
                ..change
            };
            github.push(GITOPS, "main", "carol", &[merge])
        };
        let message = announced(room, &hers).await?;
        room.press(ALICE, &message, DEPLOY).await;
        let live = |_: &Sandbox| {
            room.messages()
                .into_iter()
                .find(|text| text.contains("put into Git by carol in") && text.contains("is live"))
        };
        room.until("live by one press", PATIENCE, live).await?;
        ensure!(room.github.lock().commits(GITOPS, "main")[0].parents == [hers]);
        Ok(())
    });
}

#[test]
fn a_push_is_announced_when_slack_is_back_even_if_redis_forgot_it() {
    room(async |room| -> Result<()> {
        hurry(room);
        deploys(room, "checkout 42").await?;
        room.all_told().await?;
        room.slack.fault("slack.post", Fault::DropBefore, 1000);
        let hers = carol_replaces(room, "replicaCount: 2", "replicaCount: 5");
        let in_vain = |room: &Sandbox| room.log().contains("\"event\":\"slack\"").then_some(());
        room.until("post in vain", PATIENCE, in_vain).await?;
        room.redis::<String>(&["FLUSHALL"]).await?;
        ensure!(noted(room).await?.len() == 1, "the note is in the store");
        room.slack.mend();
        room.all_told_when_probed().await?;
        announced(room, &hers).await?;
        // The message is deleted right after it is posted.
        let begun = std::time::Instant::now();
        while !noted(room).await?.is_empty() {
            ensure!(begun.elapsed() < PATIENCE, "the note stays");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        ensure!(room.announcements().len() == 1);
        Ok(())
    });
}

/// For an app that was never deployed, the push is announced in the channel that the catalog names, or
/// nowhere.
#[test]
fn two_replicas_announce_a_push_once_in_each_channel() {
    const OTHER: &str = "C0OTHER";
    let options = Options { limits: Some(limits()), replicas: 2, ..Options::default() };
    room_with(options, async |room| -> Result<()> {
        hurry(room);
        room.slack.lock().add_channel(OTHER, "other", Kind::Public, Bot::Member);
        let host = room.registry.origin().trim_start_matches("http://").to_owned();
        let entry =
            |app: &str, more: &str| format!("  {app}:\n    repo: acme/{app}\n    image: {host}/acme/{app}\n{more}");
        let listed = format!("    allow: {{ channels: [{OTHER}, {DEPLOYS}] }}\n");
        let shared = "    allow: anyone\n    values: [checkout/values.yaml, shared.yaml]\n";
        let text = format!("apps:\n{}{}", entry("checkout", shared), entry("payments", &listed));
        let payments = room.file("payments/values.yaml");
        let payments = String::from_utf8_lossy(&payments).replace("replicaCount: 1", "replicaCount: 2");
        let push = |files: &[(&str, &str)]| room.github.lock().person_pushes(GITOPS, "main", "carol", files, "Change");
        push(&[("deploy-bot.yaml", &text)]);
        asks(room, ALICE, "apps", "acme/checkout").await?;

        // The push is not announced for checkout, which was never deployed.
        room.github.lock().webhook(GITOPS).duplicates = 2;
        let checkout = values(room, "replicaCount: 2", "replicaCount: 5");
        let both = push(&[(VALUES, &checkout), ("payments/values.yaml", &payments)]);
        let told = |room: &Sandbox| (room.slack.lock().messages(OTHER).len() == 1).then_some(());
        room.until("message in #other", PATIENCE, told).await?;
        room.all_told().await?;
        let message = room.slack.lock().messages(OTHER)[0].clone();
        let words = shown(room, &message);
        ensure!(words.contains(&both) && words.contains("*payments*") && !words.contains("*checkout*"), "{words}");
        let said = |room: &Sandbox| room.log().contains("nobody_told").then_some(());
        room.until("line in the log", PATIENCE, said).await?;

        // The bot is thrown out of that channel: the other one is the next best.
        room.github.lock().webhook(GITOPS).duplicates = 0;
        room.slack.lock().channel(OTHER).archived = true;
        room.alice("payments 7").await;
        room.says("is live").await?;
        room.all_told().await?;
        let again = push(&[("payments/values.yaml", &payments.replace("replicaCount: 2", "replicaCount: 3"))]);
        announced(room, &again).await?;
        ensure!(room.announcements().len() == 1 && room.slack.lock().messages(OTHER).len() == 1);
        Ok(())
    });
}

/// Attack: may push to the GitOps repository | pushes another digest beside a tag that was deployed, for somebody to press *Deploy it* | refused: that image was never deployed
#[test]
fn another_digest_beside_a_known_tag_is_no_known_version() {
    room(async |room| -> Result<()> {
        hurry(room);
        catalog(room, "", "    digest_at: image.digest\n");
        let file =
            String::from_utf8(room.file("checkout/values.yaml"))?.replace("image:\n", "image:\n  digest: \"\"\n");
        room.github.lock().person_pushes(GITOPS, "main", "carol", &[("checkout/values.yaml", &file)], "Use digests");
        let tag = room.builds("checkout", "main", "alice");
        let honest = room.registry.lock().push("acme/checkout", &tag);
        deploys(room, "checkout main").await?;
        room.all_told().await?;
        let other = room.registry.lock().push_as("acme/checkout", &tag, registry::Kind::DockerManifest);
        let before = room.commits();
        let pushed = announced(room, &carol_replaces(room, &honest, &other)).await?;
        room.press(ALICE, &pushed, DEPLOY).await;
        room.says(&format!("Git says `{tag}@{}`, which I never deployed to checkout", &other[..19])).await?;
        room.all_told().await?;
        ensure!(room.commits() == before + 1, "nothing but the push");
        Ok(())
    });
}
