//! Several targets in one request: one commit, one message, and from the commit on each goes on alone.

use crate::buttons::refuse_sync;
use crate::conversation::{asks, deploys, hurry, says, whispers};
use crate::waits::{built, pushes};
use anyhow::{Result, ensure};
use e2e::crowd::{app, grow};
use e2e::{PATIENCE, Room, quick, room};
use fakes::Fault;
use fakes::argocd::{End, Script};
use fakes::registry::Kind;
use fakes::slack::Message;
use sandbox::Sandbox;
use sandbox::hold::Moment::{After, Before as Ahead};
use sandbox::world::{ALICE, BOB, CAROL, DEPLOYS, GITOPS};
use std::time::Duration;

const BOTH: [&str; 2] = ["checkout", "payments"];

/// Both apps have a new build of main; the tags.
fn new_builds(room: &Room) -> [String; 2] {
    hurry(room);
    BOTH.map(|app| room.builds(app, "main", "alice"))
}

/// What the newest commits of the GitOps branch changed, newest first.
fn changed(room: &Room, count: usize) -> Vec<Vec<String>> {
    let commits = room.github.lock().commits(GITOPS, "main");
    commits.iter().take(count).map(|commit| commit.changed()).collect()
}

#[test]
fn two_apps_go_live_by_one_commit_and_in_one_message() {
    room(async |room| -> Result<()> {
        let tags = new_builds(room);
        let before = room.commits();
        let answer = room.alice("checkout,payments main").await;
        ensure!(answer.is_accepted(), "{answer:?}");
        says(room, "all are live").await?;
        room.all_told().await?;
        ensure!(room.commits() == before + 1, "one commit");
        ensure!(changed(room, 1) == [["checkout/values.yaml", "payments/values.yaml"]], "{:?}", changed(room, 1));
        let [message] = room.messages().try_into().map_err(|all| anyhow::anyhow!("{all:?}"))?;
        for (app, tag) in BOTH.iter().zip(&tags) {
            ensure!(
                message.contains(&format!("*{app}*")) && message.contains(&format!("is live: `{tag}`")),
                "{message}"
            );
            ensure!(room.argocd.lock().live_tag(app) == Some(tag.as_str()), "{app}");
        }
        ensure!(room.argocd.lock().syncs().len() == 2 && room.whispers().is_empty(), "{:?}", room.whispers());
        // Each has its own history.
        for (app, tag) in BOTH.iter().zip(&tags) {
            let history = asks(room, BOB, &format!("history {app}"), &format!("*{app}*, newest first")).await?;
            ensure!(history.contains(&format!("1. `{tag}`")) && history.contains("live, @alice"), "{history}");
        }
        Ok(())
    });
}

#[test]
fn of_two_apps_one_that_is_refused_keeps_both_as_they_are() {
    room(async |room| -> Result<()> {
        hurry(room);
        let tag = room.builds("checkout", "main", "alice");
        room.github.lock().person_pushes("acme/payments", "main", "alice", &[("work.txt", "more")], "Not built");
        let before = room.commits();
        room.alice("checkout, payments main").await;
        let refused = whispers(room, ALICE, "can't be deployed").await?;
        let text = room.slack.lock().render(&refused);
        ensure!(text.contains("*payments*: there is no image") && text.contains("Nothing was changed"), "{text}");
        ensure!(!text.contains("*checkout*:") && room.commits() == before && room.messages().is_empty(), "{text}");
        room.all_told().await?;
        // Neither is busy.
        deploys(room, "checkout main").await?;
        ensure!(room.argocd.lock().live_tag("checkout") == Some(tag.as_str()), "checkout");
        Ok(())
    });
}

/// The one message, once it says this.
async fn message(room: &Room, words: &str) -> Result<Message> {
    let found = says(room, words).await?;
    ensure!(room.messages().len() == 1, "{:#?}", room.messages());
    Ok(found)
}

/// Runs what the catalog says, with this before the apps.
fn top(room: &Room, top: &str) {
    let text = String::from_utf8_lossy(&room.file("deploy-bot.yaml")).into_owned();
    let text = format!("{top}{text}");
    room.github.lock().person_pushes(GITOPS, "main", "carol", &[("deploy-bot.yaml", &text)], "Change the catalog");
}

#[test]
fn twenty_apps_of_a_set_are_one_commit_and_one_message() {
    const ALL: usize = 20;
    room(async |room| -> Result<()> {
        room.slack.lock().limits = None;
        grow(room, ALL, |_| quick());
        let names: Vec<String> = (0..ALL).map(app).collect();
        top(room, &format!("sets: {{ shop: [{}] }}\n", names.join(", ")));
        let before = room.commits();
        room.alice("shop main").await;
        let live = message(room, "all are live").await?;
        room.all_told().await?;
        ensure!(room.commits() == before + 1 && changed(room, 1)[0].len() == ALL, "{:?}", changed(room, 1));
        for name in &names {
            ensure!(room.argocd.lock().live_tag(name) == Some(&room.tag(name, "main")), "{name}");
            ensure!(room.syncs(name) == 1, "{name} was synced {} times", room.syncs(name));
        }
        ensure!(live.buttons() == ["roll_back"], "{:?}", live.buttons());
        Ok(())
    });
}

#[test]
fn one_that_fails_is_named_and_the_others_are_live() {
    room(async |room| -> Result<()> {
        let [tag, _] = new_builds(room);
        room.script("payments", Script { end: End::Failed("no room".to_owned(), "no room".to_owned()), ..quick() });
        room.alice("checkout,payments main").await;
        let over = message(room, "1 of 2 are live, and payments not").await?;
        let text = room.slack.lock().render(&over);
        ensure!(text.contains(&format!("is live: `{tag}`")), "{text}");
        room.all_told().await
    });
}

#[test]
fn killed_around_the_commit_all_go_live_by_one_commit() {
    for moment in [Ahead, After] {
        room(async |room| -> Result<()> {
            new_builds(room);
            let before = room.commits();
            let held = room.github.hold(moment, "github.commit", 1);
            room.alice("checkout,payments main").await;
            held.reached().await?;
            room.posted().await?;
            room.kill_bot().await;
            drop(held);
            room.the_leases_of_the_dead_run_out().await?;
            room.start_bot().await?;
            let live = |room: &Sandbox| {
                let slack = room.slack.lock();
                slack
                    .messages(DEPLOYS)
                    .iter()
                    .any(|message| slack.render(message).contains("all are live"))
                    .then_some(())
            };
            room.probe("all are live", live).await?;
            room.all_told_when_probed().await?;
            ensure!(room.commits() == before + 1, "{moment:?}: {} commits", room.commits() - before);
            for app in BOTH {
                ensure!(room.argocd.lock().live_tag(app) == Some(&room.tag(app, "main")), "{moment:?}: {app}");
                ensure!(room.syncs(app) == 1, "{moment:?}: {app} was synced {} times", room.syncs(app));
            }
            Ok(())
        });
    }
}

#[test]
fn one_button_rolls_all_back_but_those_with_another_version_by_now() {
    room(async |room| -> Result<()> {
        new_builds(room);
        room.alice("checkout,payments main").await;
        says(room, "all are live").await?;
        room.all_told().await?;
        let old = BOTH.map(|app| room.tag(app, "main"));
        new_builds(room);
        room.alice("checkout,payments main").await;
        let newest = |room: &Sandbox| {
            let slack = room.slack.lock();
            let all = slack.messages(DEPLOYS);
            all.get(1).filter(|message| slack.render(message).contains("all are live")).cloned()
        };
        let second = room.until("the second deploy", PATIENCE, newest).await?;
        room.all_told().await?;
        room.builds("payments", "main", "alice");
        deploys(room, "payments main").await?;
        room.all_told().await?;
        room.press(ALICE, &second, "roll_back").await;
        room.says(&format!("rollback to `{}`*  is live", old[0])).await?;
        room.all_told().await?;
        ensure!(room.argocd.lock().live_tag("checkout") == Some(old[0].as_str()), "checkout is back");
        ensure!(
            room.argocd.lock().live_tag("payments") == Some(&room.tag("payments", "main")),
            "payments is as it was"
        );
        Ok(())
    });
}

#[test]
fn both_go_back_by_one_button() {
    room(async |room| -> Result<()> {
        let old = new_builds(room);
        room.alice("checkout,payments main").await;
        says(room, "all are live").await?;
        room.all_told().await?;
        new_builds(room);
        room.alice("checkout,payments main").await;
        let newest = |room: &Sandbox| {
            let slack = room.slack.lock();
            let all = slack.messages(DEPLOYS);
            all.get(1).filter(|message| slack.render(message).contains("all are live")).cloned()
        };
        let second = room.until("the second deploy", PATIENCE, newest).await?;
        room.all_told().await?;
        let before = room.commits();
        room.press(BOB, &second, "roll_back").await;
        room.says("rollback checkout,payments").await?;
        room.all_told().await?;
        ensure!(room.commits() == before + 1, "one commit");
        for (app, tag) in BOTH.iter().zip(&old) {
            ensure!(room.argocd.lock().live_tag(app) == Some(tag.as_str()), "{app}");
        }
        Ok(())
    });
}

/// Who may deploy one of them may cancel that one, and with it the commit of all.
#[test]
fn one_that_is_cancelled_keeps_both_as_they_are() {
    room(async |room| -> Result<()> {
        new_builds(room);
        room.registry.fault("registry.head", Fault::Slow(Duration::from_secs(8)), 1);
        let asked = room.registry.lock().calls("registry.head");
        let before = room.commits();
        room.alice("checkout,payments main").await;
        let asks_registry = |room: &Sandbox| (room.registry.lock().calls("registry.head") > asked).then_some(());
        room.until("question to the registry", PATIENCE, asks_registry).await?;
        room.command(BOB, DEPLOYS, "cancel payments").await;
        whispers(room, ALICE, "cancelled by @bob").await?;
        room.all_told().await?;
        ensure!(room.commits() == before && room.messages().is_empty(), "{:?}", room.messages());
        Ok(())
    });
}

/// Attack: may deploy one app | names another one beside it | neither is deployed, and the other one is named
#[test]
fn the_right_to_deploy_one_is_none_to_deploy_both() {
    room(async |room| -> Result<()> {
        new_builds(room);
        let text = String::from_utf8_lossy(&room.file("deploy-bot.yaml")).into_owned();
        let (first, second) = text.split_once("  payments:").unwrap_or_default();
        let mine = second.replacen("allow: anyone", &format!("allow: {{ users: [{CAROL}] }}"), 1);
        let text = format!("{first}  payments:{mine}");
        room.github.lock().person_pushes(GITOPS, "main", "carol", &[("deploy-bot.yaml", &text)], "Carol alone");
        let before = room.commits();
        room.bob("checkout,payments main").await;
        let refused = whispers(room, BOB, "can't be deployed").await?;
        let text = room.slack.lock().render(&refused);
        ensure!(text.contains("*payments*") && !text.contains("*checkout*:"), "{text}");
        ensure!(room.commits() == before && room.messages().is_empty(), "{text}");
        Ok(())
    });
}

#[test]
fn a_pull_request_is_of_one_repository() {
    room(async |room| -> Result<()> {
        hurry(room);
        room.alice("checkout,payments 42").await;
        whispers(room, ALICE, "#42 is of one repository").await?;
        ensure!(room.messages().is_empty(), "{:?}", room.messages());
        Ok(())
    });
}

#[test]
fn two_services_in_one_file_are_one_edit_each() {
    room(async |room| -> Result<()> {
        new_builds(room);
        let host = room.registry.origin().trim_start_matches("http://").to_owned();
        let entry = |app: &str| {
            format!(
                "  {app}:\n    repo: acme/{app}\n    image: {host}/acme/{app}\n    allow: anyone\n    values: both.yaml\n    tag_at: {app}.image.tag\n"
            )
        };
        let values: String = BOTH.map(|app| format!("{app}: {{ image: {{ tag: old }} }} # {app}\n")).concat();
        let catalog = format!("apps:\n{}{}", entry("checkout"), entry("payments"));
        let files = [("deploy-bot.yaml", catalog.as_str()), ("both.yaml", values.as_str())];
        room.github.lock().person_pushes(GITOPS, "main", "carol", &files, "One file");
        let before = room.commits();
        room.alice("checkout,payments main").await;
        // The applications render other files here; what counts is the commit.
        let tags = BOTH.map(|app| room.tag(app, "main"));
        let look = |room: &Sandbox| {
            let text = room.github.lock().file_at(GITOPS, "main", "both.yaml")?;
            let text = String::from_utf8_lossy(&text).into_owned();
            (tags.iter().all(|tag| text.contains(tag)) && text.contains("# payments")).then_some(())
        };
        room.until("both tags in one file", PATIENCE, look).await?;
        room.all_told().await?;
        ensure!(room.commits() == before + 1, "one commit");
        Ok(())
    });
}

/// Gives an app this gate.
fn gate(room: &Room, app: &str, gate: &str) {
    let text = String::from_utf8_lossy(&room.file("deploy-bot.yaml")).into_owned();
    let repo = format!("repo: acme/{app}\n");
    let text = text.replace(&repo, &format!("{repo}    {gate}\n"));
    room.github.lock().person_pushes(GITOPS, "main", "carol", &[("deploy-bot.yaml", &text)], "Change the catalog");
}

/// Attack: may deploy one app | may approve one of several apps, and presses *Approve* for all of them | counts for that app alone
#[test]
fn several_apps_wait_for_the_approvals_of_each() {
    room(async |room| -> Result<()> {
        gate(room, "checkout", &format!("approvals: {{ count: 1, users: [{BOB}] }}"));
        gate(room, "payments", &format!("approvals: {{ count: 1, users: [{CAROL}] }}"));
        let tags = new_builds(room);
        let before = room.commits();
        room.alice("checkout,payments main").await;
        let wanted = message(room, "2 of these apps need approval").await?;
        let text = room.slack.lock().render(&wanted);
        for (app, tag) in BOTH.iter().zip(&tags) {
            ensure!(text.contains(&format!("*{app}*: `{tag}` needs 1 approval")), "{text}");
        }
        ensure!(
            text.contains("First deploy of *payments* through me") && text.contains("@bob") && text.contains("@carol"),
            "{text}"
        );
        ensure!(wanted.buttons() == ["approve", "reject"], "{:?}", wanted.buttons());
        room.all_told().await?;
        for _ in 0..2 {
            room.press(BOB, &wanted, "approve").await;
        }
        says(room, "Approved by @bob so far").await?;
        room.press(ALICE, &wanted, "approve").await;
        room.all_told().await?;
        ensure!(room.commits() == before, "payments is approved by nobody");
        room.press(CAROL, &wanted, "approve").await;
        message(room, "all are live").await?;
        room.all_told().await?;
        ensure!(room.commits() == before + 1, "one commit");
        for (app, tag) in BOTH.iter().zip(&tags) {
            ensure!(room.argocd.lock().live_tag(app) == Some(tag.as_str()), "{app}");
        }
        Ok(())
    });
}

/// Attack: may push to the app repository | pushes to one of several apps that needs no approval, while another one waits for approvals | refused
#[test]
fn what_is_pushed_to_one_of_several_apps_is_not_what_was_approved() {
    room(async |room| -> Result<()> {
        gate(room, "payments", &format!("approvals: {{ count: 1, users: [{BOB}] }}"));
        new_builds(room);
        let before = room.commits();
        room.alice("checkout,payments main").await;
        let wanted = message(room, "one of these apps needs approval").await?;
        room.all_told().await?;
        room.builds("checkout", "main", "mallory");
        room.press(BOB, &wanted, "approve").await;
        let over = says(room, "the branch has moved").await?;
        room.all_told().await?;
        ensure!(room.commits() == before && over.buttons().is_empty(), "{:?}", over.buttons());
        Ok(())
    });
}

/// Attack: may push to the registry | pushes another image under the tag of one of several apps, which needs no approval, while another one waits for approvals | refused
#[test]
fn another_image_of_one_of_several_apps_is_not_what_was_approved() {
    room(async |room| -> Result<()> {
        gate(room, "payments", &format!("approvals: {{ count: 1, users: [{BOB}] }}"));
        let [tag, _] = new_builds(room);
        let before = room.commits();
        room.alice("checkout,payments main").await;
        let wanted = message(room, "one of these apps needs approval").await?;
        room.all_told().await?;
        room.registry.lock().push_as("acme/checkout", &tag, Kind::DockerManifest);
        room.press(BOB, &wanted, "approve").await;
        let over = says(room, "since then the image behind the tag has changed").await?;
        let text = room.slack.lock().render(&over);
        ensure!(text.contains("*checkout*: It was approved") && !text.contains("*payments*:"), "{text}");
        room.all_told().await?;
        ensure!(room.commits() == before && over.buttons().is_empty(), "{:?}", over.buttons());
        Ok(())
    });
}

/// Attack: may push to the GitOps repository | changes one of several apps, which needs no approval, while another one waits for approvals | refused
#[test]
fn what_goes_live_with_one_of_several_apps_is_what_was_approved() {
    room(async |room| -> Result<()> {
        // From here on it is known what is live.
        new_builds(room);
        room.alice("checkout,payments main").await;
        says(room, "all are live").await?;
        room.all_told().await?;
        gate(room, "payments", &format!("approvals: {{ count: 1, users: [{BOB}] }}"));
        new_builds(room);
        room.alice("checkout,payments main").await;
        let wanted = says(room, "one of these apps needs approval").await?;
        room.all_told().await?;
        let text = String::from_utf8_lossy(&room.file("checkout/values.yaml")).into_owned();
        let text = format!("{text}extraEnv: stolen\n");
        room.github.lock().person_pushes(GITOPS, "main", "mallory", &[("checkout/values.yaml", &text)], "One more");
        let before = room.commits();
        room.press(BOB, &wanted, "approve").await;
        let over = says(room, "since then one more commit would go live with it").await?;
        room.all_told().await?;
        ensure!(room.commits() == before && over.buttons().is_empty(), "{:?}", over.buttons());
        Ok(())
    });
}

/// Both apps had two versions that were live, or payments only its first one.
async fn versions(room: &Room, both: bool) -> Result<()> {
    hurry(room);
    let typed = if both { "checkout,payments main" } else { "checkout main" };
    for _ in 0..2 {
        for app in BOTH {
            room.builds(app, "main", "alice");
        }
        deploys(room, typed).await?;
        room.all_told().await?;
    }
    Ok(())
}

#[test]
fn a_rollback_of_both_takes_the_turn_of_a_deploy_before_its_commit() {
    room(async |room| -> Result<()> {
        versions(room, true).await?;
        room.builds("checkout", "main", "alice");
        room.registry.fault("registry.head", Fault::Slow(Duration::from_secs(12)), 1);
        let asked = room.registry.lock().calls("registry.head");
        room.alice("checkout main").await;
        let asks_registry = |room: &Sandbox| (room.registry.lock().calls("registry.head") > asked).then_some(());
        room.until("question to the registry", PATIENCE, asks_registry).await?;
        let before = room.commits();
        room.bob("rollback checkout,payments").await;
        whispers(room, ALICE, "cancelled by @bob").await?;
        says(room, "*rollback checkout,payments*  all are live").await?;
        room.all_told().await?;
        ensure!(room.commits() == before + 1, "the rollback alone");
        Ok(())
    });
}

/// Attack: may deploy one app | ends somebody's deploy by a rollback of several apps, one of which is refused | the deploy goes live
#[test]
fn a_rollback_of_both_that_one_refuses_ends_no_deploy() {
    room(async |room| -> Result<()> {
        versions(room, false).await?;
        let newer = room.builds("checkout", "main", "alice");
        // Its carrier dies before the commit, and the turn is still its own.
        let held = room.registry.hold(Ahead, "registry.head", 1);
        room.alice("checkout main").await;
        held.reached().await?;
        room.kill_bot().await;
        drop(held);
        room.the_leases_of_the_dead_run_out().await?;
        room.start_bot().await?;
        room.bob("rollback checkout,payments").await;
        whispers(room, BOB, "busy with a deploy by @alice").await?;
        let live = |room: &Sandbox| (room.argocd.lock().live_tag("checkout") == Some(newer.as_str())).then_some(());
        room.probe("alice's deploy", live).await?;
        room.all_told_when_probed().await
    });
}

/// A set of one app waits, is ended and is cancelled like the app itself.
#[test]
fn a_set_of_one_app_waits_and_is_ended() {
    room(async |room| -> Result<()> {
        hurry(room);
        top(room, "sets: { one: [checkout], shop: [payments, checkout] }\n");
        room.github.lock().person_pushes("acme/checkout", "main", "alice", &[("work.txt", "more")], "Not built");
        for typed in ["one main", "one main"] {
            room.command(ALICE, DEPLOYS, typed).await;
            let refused = whispers(room, ALICE, "there is no image").await?;
            room.press(ALICE, &refused, "wait").await;
            let waits = says(room, "I deploy it when that has passed").await?;
            for _ in 0..4 {
                room.get("/healthz").await;
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
            says(room, "I deploy it when that has passed").await?;
            // Not the asker: the right to deploy there is asked for.
            room.press(BOB, &waits, "cancel").await;
            says(room, "@bob").await?;
        }
        room.all_told().await
    });
}

#[test]
fn a_set_is_cancelled_by_its_name() {
    room(async |room| -> Result<()> {
        new_builds(room);
        top(room, "sets: { shop: [payments, checkout] }\n");
        room.registry.fault("registry.head", Fault::Slow(Duration::from_secs(8)), 1);
        let asked = room.registry.lock().calls("registry.head");
        let before = room.commits();
        room.alice("shop main").await;
        let asks_registry = |room: &Sandbox| (room.registry.lock().calls("registry.head") > asked).then_some(());
        room.until("question to the registry", PATIENCE, asks_registry).await?;
        room.command(BOB, DEPLOYS, "cancel shop").await;
        whispers(room, ALICE, "cancelled by @bob").await?;
        room.all_told().await?;
        ensure!(room.commits() == before && room.messages().is_empty(), "{:?}", room.messages());
        Ok(())
    });
}

/// Attack: may deploy one app | as an owner overrides gates of several apps at once | each app's record and log say so
#[test]
fn an_override_is_recorded_of_each_app() {
    room(async |room| -> Result<()> {
        let always = "freeze: [{ from: 'Mon 00:00', until: 'Thu 00:00', zone: UTC }, { from: 'Thu 00:00', until: 'Mon 00:00', zone: UTC }]";
        BOTH.into_iter().for_each(|app| gate(room, app, always));
        top(room, &format!("owners: {{ users: [{CAROL}] }}\n"));
        new_builds(room);
        room.command(CAROL, DEPLOYS, "checkout,payments main override orders are lost").await;
        says(room, "all are live").await?;
        room.all_told().await?;
        let log = room.log();
        let said: Vec<&str> = log.lines().filter(|line| line.contains("\"event\":\"overridden\"")).collect();
        for app in BOTH {
            let own =
                |line: &&&str| line.contains(&format!("\"target\":\"{app}\"")) && line.contains("orders are lost");
            ensure!(said.iter().filter(own).count() == 1, "{app}: {said:?}");
            let history = asks(room, BOB, &format!("history {app}"), "newest first").await?;
            ensure!(history.contains("orders are lost"), "{history}");
        }
        Ok(())
    });
}

#[test]
fn a_set_of_one_app_is_tried_again_for_the_commit_that_was_waited_for() {
    room(async |room| -> Result<()> {
        hurry(room);
        top(room, "sets: { one: [checkout] }\n");
        let commit = pushes(room, "main", "1");
        room.command(ALICE, DEPLOYS, "one main").await;
        let refused = whispers(room, ALICE, "there is no image").await?;
        room.press(ALICE, &refused, "wait").await;
        says(room, "I deploy it when that has passed").await?;
        refuse_sync(room);
        built(room, "main", &commit);
        let failed = |room: &Sandbox| {
            let slack = room.slack.lock();
            let all = slack.messages(DEPLOYS);
            let found = all.iter().find(|message| slack.render(message).contains("Argo CD refused the sync"));
            found.map(|message| (*message).clone())
        };
        let failed = room.probe("the sync that Argo CD refused", failed).await?;
        room.all_told().await?;
        let before = room.commits();
        room.builds("checkout", "main", "alice");
        room.press(BOB, &failed, "retry").await;
        says(room, "the branch has moved").await?;
        ensure!(room.commits() == before, "nobody asked for the new commit");
        room.all_told().await
    });
}
