//! Attacks by people who have a part of the rights: who may deploy one app, who may press a button but not deploy, who
//! may push to a repository; guests, and people of another workspace. Each test is named after the attack, or after what the
//! attack comes to.
//!
//! Easy to miss: a button carries somebody else's words, and a title, a reason or Argo CD's words may say anything.

use crate::conversation::{asks, catalog, deploys, hurry, says, whispers};
use crate::refusals::refused;
use crate::seen::is_seen;
use anyhow::{Context, Result, ensure};
use e2e::{PATIENCE, Room, limits, quick, room, room_with};
use fakes::argocd::{End, Script};
use fakes::github::{EXECUTABLE, NewCommit, PLAIN, SUBMODULE, SYMLINK};
use fakes::registry::Kind;
use fakes::slack::{Account, Message};
use fakes::{Fault, Response};
use sandbox::world::{ALICE, BOB, CAROL, DEPLOYS, GITOPS, MALLORY, OTHER_TEAM};
use sandbox::{Options, Sandbox};
use serde_json::{Value, json};
use std::time::Duration;

/// Always: two windows that touch.
pub(crate) const FROZEN: &str = "    freeze:\n      - { from: 'Mon 00:00', until: 'Thu 00:00', zone: Europe/Berlin }\n      - { from: 'Thu 00:00', until: 'Mon 00:00', zone: Europe/Berlin }\n";
const CAROL_OWNS: &str = "owners: { users: [U0CAROL] }\n";

/// Argo CD does not sync the next time.
fn refuse_sync(room: &Room) {
    let said = json!({ "code": 9, "message": "under maintenance", "error": "under maintenance" });
    room.argocd.fault("argocd.sync", Fault::Instead(Response::json(400, &said)), 1);
}

fn read(room: &Room, message: &Message) -> String {
    room.slack.lock().render(message)
}

/// The catalog with checkout for these people only.
fn only(room: &Room, users: &[&str]) {
    let host = room.registry.origin().trim_start_matches("http://").to_owned();
    let users = users.join(", ");
    let text = format!(
        "apps:\n  checkout:\n    repo: acme/checkout\n    image: {host}/acme/checkout\n    allow: {{ users: [{users}] }}\n"
    );
    room.github.lock().person_pushes(GITOPS, "main", "carol", &[("deploy-bot.yaml", &text)], "Close checkout");
}

// ---- an override of somebody else ----

/// Attack: may deploy one app | has an owner press *Retry* of a request with `override` | the owner's request has no override
#[test]
fn an_owner_who_presses_retry_lends_no_override() {
    room(async |room| -> Result<()> {
        hurry(room);
        catalog(room, CAROL_OWNS, "");
        refuse_sync(room);
        room.alice("checkout 42 override a harmless word").await;
        let failed = says(room, "Argo CD refused the sync").await?;
        room.all_told().await?;
        ensure!(
            room.told().iter().all(|text| text.contains("override: a harmless word")),
            "everybody reads it from the first word on: {:#?}",
            room.told()
        );
        catalog(room, CAROL_OWNS, FROZEN);
        let before = room.commits();
        room.press(CAROL, &failed, "retry").await;
        let refused = room.says("checkout is frozen until").await?;
        ensure!(!refused.contains("override: "), "{refused}");
        room.all_told().await?;
        ensure!(room.commits() == before && !room.log().contains("\"overridden\""));
        // Her own words are hers.
        room.command(CAROL, DEPLOYS, "checkout 42 override incident 12").await;
        room.says("is live").await?;
        room.all_told().await
    });
}

/// Attack: may deploy one app | hides an `override` behind a preview and an approval | everybody reads the reason, and it stays the asker's
#[test]
fn a_preview_and_its_question_to_approvers_show_the_override() {
    room(async |room| -> Result<()> {
        hurry(room);
        catalog(room, CAROL_OWNS, &format!("    approvals: {{ count: 1, users: [{CAROL}] }}\n"));
        let words = "only a preview, nothing is changed";
        let text = asks(room, ALICE, "preview checkout 42 override a harmless word", words).await?;
        ensure!(text.contains("override: a harmless word"), "{text}");
        let preview = whispers(room, ALICE, words).await?;
        room.press(ALICE, &preview, "deploy").await;
        let asks = |room: &Sandbox| room.slack.lock().messages(DEPLOYS).last().cloned();
        let wanted = room.until("the question to the approvers", PATIENCE, asks).await?;
        ensure!(read(room, &wanted).contains("override: a harmless word"), "{}", read(room, &wanted));
        room.all_told().await?;
        // Whoever approves lends nothing: the words stay the asker's.
        catalog(room, CAROL_OWNS, &format!("    approvals: {{ count: 1, users: [{CAROL}] }}\n{FROZEN}"));
        let before = room.commits();
        room.press(CAROL, &wanted, "approve").await;
        room.says("only an owner may override the freeze of checkout").await?;
        room.all_told().await?;
        ensure!(room.commits() == before);
        Ok(())
    });
}

// ---- guests, and people of other workspaces ----

/// A room in which it is not remembered who is a guest.
fn forgetful(variables: &[(&str, &str)]) -> Options {
    let mut limits = limits();
    (limits["person_age"], limits["workspace_age"]) = (json!(0), json!(0));
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Options { limits: Some(limits), variables, ..Options::default() }
}

fn is_now(room: &Room, user: &str, account: Account) {
    room.slack.lock().users.get_mut(user).expect("a person").account = account;
}

/// The catalog with checkout for these people, as the catalog writes it, and payments for Carol.
fn allows(room: &Room, top: &str, allow: &str) {
    let host = room.registry.origin().trim_start_matches("http://").to_owned();
    let app = |app: &str, allow: &str| {
        format!("  {app}:\n    repo: acme/{app}\n    image: {host}/acme/{app}\n    allow: {allow}\n")
    };
    let text = format!("{top}apps:\n{}{}", app("checkout", allow), app("payments", "{ users: [U0CAROL] }"));
    room.github.lock().person_pushes(GITOPS, "main", "carol", &[("deploy-bot.yaml", &text)], "Change the catalog");
}

/// Somebody types; returns what only that person reads then.
async fn hears(room: &Room, user: &str, text: &str, words: &str) -> Result<String> {
    let before = room.slack.lock().ephemerals(user).len();
    room.command(user, DEPLOYS, text).await;
    let look = |room: &Sandbox| {
        let slack = room.slack.lock();
        let texts = slack.ephemerals(user).into_iter().skip(before);
        let mut texts = texts.map(|message| e2e::without_id(&slack.render(message)));
        texts.find(|text| text.contains(words))
    };
    room.until(&format!("answer to {text:?} that says {words:?}"), PATIENCE, look).await
}

/// Somebody's deploy is refused with these words, which that person alone reads, and nothing is committed.
pub(crate) async fn is_refused(room: &Room, user: &str, text: &str, words: &str) -> Result<String> {
    let (before, messages) = (room.commits(), room.whispers().len());
    room.nobody_spoke().await?;
    room.command(user, DEPLOYS, text).await;
    let look = |_: &Sandbox| room.whispers().into_iter().skip(messages).find(|text| text.contains(words));
    let told = room.until(&format!("message that says {words:?}"), PATIENCE, look).await?;
    room.all_told().await?;
    ensure!(room.commits() == before, "nothing is committed");
    Ok(told)
}

/// Attack: a guest | deploys what the catalog allows `anyone`, a channel or a group | refused: a guest counts only by id
#[test]
fn a_guest_deploys_nothing_that_is_for_anyone() {
    room_with(forgetful(&[]), async |room| -> Result<()> {
        hurry(room);
        room.slack.lock().groups.insert("S0TEAM".to_owned(), vec![BOB.to_owned(), ALICE.to_owned()]);
        for guest in [Account::Guest, Account::SingleChannelGuest, Account::Deleted] {
            is_now(room, BOB, guest);
            for allow in ["anyone", "{ channels: [C0DEPLOYS] }"] {
                allows(room, "", allow);
                is_refused(room, BOB, "checkout 42", "is for full members of the workspace, and you are a guest")
                    .await?;
            }
            for allow in ["{ groups: [S0TEAM] }", "{ groups: [S0TEAM], channels: [C0DEPLOYS] }"] {
                allows(room, "", allow);
                is_refused(room, BOB, "checkout 42", "you aren't allowed to deploy checkout").await?;
            }
        }
        // A member of the same group, and then the guest whom the catalog names.
        room.goes_live("checkout 42").await?;
        room.all_told().await?;
        is_now(room, BOB, Account::Guest);
        allows(room, "", "{ users: [U0BOB] }");
        room.builds("checkout", "feature/totals", "alice");
        // The bot has read the catalog before.
        is_refused(room, BOB, "checkout 999", "has no pull request").await?;
        let since = room.journal.mark("the guest's own id");
        room.bob("checkout 42").await;
        let tag = room.tag("checkout", "feature/totals");
        room.says(&format!("is live: `{tag}`")).await?;
        ensure!(!room.calls(since).contains(&"slack.user".to_owned()), "Slack is not asked about who is named");
        room.all_told().await
    });
}

/// Attack: a guest | approves, or overrides, as a member of a group | it does not count
#[test]
fn a_guest_in_a_group_neither_approves_nor_overrides() {
    room_with(forgetful(&[]), async |room| -> Result<()> {
        hurry(room);
        room.slack.lock().groups.insert("S0TEAM".to_owned(), vec![BOB.to_owned(), CAROL.to_owned()]);
        is_now(room, BOB, Account::Guest);
        catalog(room, "owners: { groups: [S0TEAM] }\n", "    approvals: { count: 1, groups: [S0TEAM] }\n");
        room.alice("checkout 42").await;
        let wanted = says(room, "needs 1 approval").await?;
        room.all_told().await?;
        room.press(BOB, &wanted, "approve").await;
        whispers(room, BOB, "can't approve").await?;
        hears(room, BOB, "lock all a harmless word", "nly an owner may lock everything").await?;
        room.press(CAROL, &wanted, "approve").await;
        room.says("is live").await?;
        room.all_told().await
    });
}

/// Attack: a guest | asks what runs, who deployed it, and which apps there are | is told nothing
#[test]
fn a_guest_reads_no_status_no_history_and_no_names() {
    room_with(forgetful(&[]), async |room| -> Result<()> {
        hurry(room);
        allows(room, "", "anyone");
        room.goes_live("checkout 42").await?;
        room.all_told().await?;
        is_now(room, BOB, Account::Guest);
        for question in ["status", "status checkout", "history checkout", "apps", "status no-such-app"] {
            let told = hears(room, BOB, question, "ou aren't allowed to ask that").await?;
            ensure!(!told.contains("payments") && !told.contains("@alice"), "{question}: {told}");
        }
        let told = is_refused(room, BOB, "no-such-app 42", "there is no app").await?;
        ensure!(!told.contains("payments") && !told.contains("checkout"), "{told}");
        let told = hears(room, BOB, "lock no-such-app for a test", "here is no app").await?;
        ensure!(!told.contains("payments") && !told.contains("checkout"), "{told}");
        // About what the guest may deploy, the guest may ask.
        allows(room, "", "{ users: [U0BOB] }");
        let told = hears(room, BOB, "status", "checkout").await?;
        ensure!(told.contains("deployed by @alice") && !told.contains("payments"), "{told}");
        let told = hears(room, BOB, "history payments", "here is no app").await?;
        ensure!(told.contains("`checkout`"), "{told}");
        Ok(())
    });
}

/// Attack: a member | asks what runs without being among `readers` | is told only of what they may deploy
#[test]
fn only_readers_and_who_may_deploy_are_told_what_runs() {
    room_with(forgetful(&[]), async |room| -> Result<()> {
        hurry(room);
        room.slack.lock().groups.insert("S0TEAM".to_owned(), vec![ALICE.to_owned()]);
        allows(room, "readers: { groups: [S0TEAM] }\n", "{ users: [U0BOB] }");
        let told = hears(room, ALICE, "apps", "acme/checkout").await?;
        ensure!(told.contains("acme/payments"), "{told}");
        let told = hears(room, BOB, "apps", "acme/checkout").await?;
        ensure!(!told.contains("acme/payments"), "{told}");
        let told = hears(room, CAROL, "apps", "acme/payments").await?;
        ensure!(!told.contains("acme/checkout"), "{told}");
        // Those who own all of it may ask about all.
        allows(room, "owners: { users: [U0CAROL] }\nreaders: { groups: [S0TEAM] }\n", "{ users: [U0BOB] }");
        hears(room, CAROL, "apps", "acme/checkout").await?;
        allows(room, "readers: []\n", "{ users: [U0BOB] }");
        hears(room, ALICE, "status", "ou aren't allowed to ask that").await?;
        Ok(())
    });
}

/// Attack: a guest | deploys while Slack does not say who is a guest | nobody deploys as `anyone`; the words name the missing scope
#[test]
fn without_the_right_to_see_guests_nobody_deploys_as_anyone() {
    room_with(forgetful(&[]), async |room| -> Result<()> {
        hurry(room);
        allows(room, "", "anyone");
        room.slack.lock().scopes.remove("users:read");
        let told = is_refused(room, ALICE, "checkout 42", "I couldn't find out who is a guest").await?;
        ensure!(told.contains("missing_scope: users:read") && told.contains("Nothing was changed"), "{told}");
        room.slack.lock().scopes.insert("users:read".to_owned());
        // Whom Slack does not know, or does not show, is no member.
        for why in ["user_not_found", "user_not_visible"] {
            let unknown = json!({ "ok": false, "error": why });
            room.slack.fault("slack.user", Fault::Instead(Response::json(200, &unknown)), 2);
            is_refused(room, BOB, "checkout 42", "you are a guest").await?;
            room.slack.mend();
        }
        ensure!(room.log().contains("no_such_person"), "{}", room.log());
        Ok(())
    });
}

/// Attack: a guest | types the command again and again | Slack is asked about each person once in ten minutes
#[test]
fn whoever_is_a_guest_uses_up_no_question_of_the_members() {
    room(async |room| -> Result<()> {
        hurry(room);
        is_now(room, BOB, Account::Guest);
        let since = room.journal.mark("Bob, who is a guest");
        for number in 1..=5 {
            is_refused(room, BOB, &format!("checkout {number}"), "you are a guest").await?;
        }
        room.goes_live("checkout 42").await?;
        room.all_told().await?;
        let asked = room.calls(since).into_iter().filter(|call| call == "slack.user").count();
        ensure!(asked == 2, "Slack was asked {asked} times");
        // What somebody writes into the store makes nobody a member.
        let known = json!({ "version": 1, "at": sandbox::now(), "is_member": true });
        room.forges(&format!("deploy-bot/person/{BOB}"), &known).await?;
        is_refused(room, BOB, "checkout 42", "you are a guest").await?;
        Ok(())
    });
}

/// Attack: an outsider | installs the app in another workspace, and deploys from there | refused: the token belongs to one workspace
#[test]
fn another_workspace_with_the_app_deploys_nothing_without_a_setting() {
    let variables = [("slack_team_id".to_owned(), String::new())].into();
    room_with(Options { limits: Some(limits()), variables, ..Options::default() }, async |room| -> Result<()> {
        hurry(room);
        refuse_sync(room);
        room.alice("checkout 42").await;
        let failed = says(room, "Argo CD refused the sync").await?;
        room.all_told().await?;
        let before = room.commits();
        room.command(MALLORY, DEPLOYS, "checkout 42").await;
        let told = room.says("I work for another Slack workspace").await?;
        ensure!(told.contains("mallory"), "{told}");
        room.all_told().await?;
        hears(room, MALLORY, "status", "I work for another Slack workspace").await?;
        hears(room, MALLORY, "lock checkout a harmless word", "I work for another Slack workspace").await?;
        room.press(MALLORY, &failed, "retry").await;
        whispers(room, MALLORY, "I work for another Slack workspace").await?;
        ensure!(room.commits() == before, "nothing is committed");
        // What somebody writes into the store makes no workspace ours.
        let known = json!({ "version": 1, "at": sandbox::now(), "team": OTHER_TEAM });
        room.forges("deploy-bot/workspace", &known).await?;
        hears(room, MALLORY, "status", "I work for another Slack workspace").await?;
        room.goes_live("checkout 42").await?;
        room.all_told().await?;
        let asked = room.calls(0).into_iter().filter(|call| call == "slack.auth").count();
        ensure!(asked == 2, "once, and once when the store had nothing to believe, not {asked} times");
        Ok(())
    });
}

/// Attack: an outsider | installs the app for a whole organisation | refused until a variable names the workspace
#[test]
fn an_app_of_a_whole_organisation_serves_nobody_without_a_setting() {
    room_with(forgetful(&[("slack_team_id", "")]), async |room| -> Result<()> {
        hurry(room);
        room.slack.lock().for_organisation = true;
        let told = is_refused(room, ALICE, "checkout 42", "I couldn't find out which workspace I work for").await?;
        ensure!(told.contains("`slack_team_id`"), "{told}");
        hears(room, ALICE, "status", "`slack_team_id`").await?;
        Ok(())
    });
}

// ---- what cannot be counted ----

/// Attack: may push to the GitOps repository | hides a change behind a hundred deploys | refused: it cannot be counted to its end
#[test]
fn more_commits_than_are_read_hide_no_foreign_change() {
    room(async |room| -> Result<()> {
        hurry(room);
        deploys(room, "checkout 42").await?;
        room.all_told().await?;
        let text = String::from_utf8(room.file("checkout/values.yaml"))?.replace("replicaCount: 2", "replicaCount: 3");
        room.github.lock().person_pushes(GITOPS, "main", "bob", &[("checkout/values.yaml", &text)], "More");
        // A hundred deploys of the bot to other targets in that folder, as the bot remembers them.
        let live = room.key("deploy-bot/target/checkout/default/live").await?.context("nothing is live")?;
        let id = live["id"].as_str().context("no id")?;
        let mut committed =
            room.key(&format!("deploy-bot/deployment/{id}/committed")).await?.context("nothing is committed")?;
        // Without a request nobody follows them.
        committed["commit"]["request"] = json!({});
        let mut store = room.store.connect().await?;
        let mut forged = Vec::new();
        for n in 0..100_u32 {
            let of = format!("{n:032x}");
            let message = format!("Deploy other {n}\n\nDeploy-Id: {of}");
            let path = "checkout/other.yaml";
            let commit = NewCommit::new(&message, &[(path, &format!("tag: \"{n}\"\n"))]);
            let sha = room.github.lock().push(GITOPS, "main", "carol", &[commit]);
            committed["sha"] = json!(sha);
            let key = format!("deploy-bot/deployment/{of}/committed");
            room.plants(&key, committed.clone()).await?;
            forged.extend([key, format!("deploy-bot/deployment/{of}/push")]);
        }
        room.builds("checkout", "feature/totals", "alice");

        // Where it is only said, it is said that there may be more.
        let preview = asks(room, ALICE, "preview checkout 42", "only a preview, nothing is changed").await?;
        ensure!(preview.contains("There may be changes of other people"), "{preview}");

        catalog(room, CAROL_OWNS, "    foreign_changes: refuse\n");
        let before = room.commits();
        room.alice("checkout 42").await;
        let refused = room.says("I can't tell whether other people's changes would go live").await?;
        ensure!(refused.contains("100 newest commits") && refused.contains("An owner can go ahead"), "{refused}");
        room.all_told().await?;
        ensure!(room.commits() == before, "nothing is committed");
        room.command(CAROL, DEPLOYS, "checkout 42 override I looked at all of them").await;
        room.says("is live").await?;
        room.all_told().await?;
        for key in forged {
            redis::cmd("DEL").arg(&key).query_async::<()>(&mut store).await?;
        }
        Ok(())
    });
}

/// Attack: may push to the GitOps repository | changes something before the first version is live | refused until an owner looked; then counted from the newest that reached Git
#[test]
fn a_version_that_was_never_live_hides_no_foreign_change() {
    room(async |room| -> Result<()> {
        hurry(room);
        catalog(room, CAROL_OWNS, "    foreign_changes: refuse\n");
        let before = room.commits();
        room.alice("checkout 42").await;
        let refused = room.says("I know of no version of checkout that reached Git").await?;
        ensure!(refused.contains("An owner can go ahead"), "{refused}");
        ensure!(room.commits() == before);

        // An owner goes ahead. The version reaches Git, and is never live.
        refuse_sync(room);
        room.command(CAROL, DEPLOYS, "checkout 42 override the first one").await;
        room.says("Argo CD refused the sync").await?;
        room.all_told().await?;
        let text = String::from_utf8(room.file("checkout/values.yaml"))?.replace("replicaCount: 2", "replicaCount: 3");
        room.github.lock().person_pushes(GITOPS, "main", "bob", &[("checkout/values.yaml", &text)], "More");
        let before = room.commits();
        let newer = room.builds("checkout", "feature/totals", "alice");
        room.alice("checkout 42").await;
        let refused = room.says("this would also ship").await?;
        ensure!(refused.contains("1 config change by bob"), "{refused}");
        ensure!(room.commits() == before);

        room.command(CAROL, DEPLOYS, "checkout 42 override bob is right").await;
        room.says(&format!("is live: `{newer}`")).await?;
        room.all_told().await?;
        // All is counted again.
        let newest = room.builds("checkout", "feature/totals", "alice");
        deploys(room, "checkout 42").await?;
        ensure!(room.tag("checkout", "feature/totals") == newest);
        Ok(())
    });
}

// ---- what goes live with it ----

/// Carol pushes a file to the GitOps repository.
fn pushes(room: &Room, path: &str, text: &str) {
    room.github.lock().person_pushes(GITOPS, "main", "carol", &[(path, text)], &format!("Change {path}"));
}

/// Attack: may push to the GitOps repository | changes a shared chart, or a kustomize base | it is named, or refused
#[test]
fn a_shared_chart_or_a_base_rides_along_where_it_is_watched() {
    room(async |room| -> Result<()> {
        hurry(room);
        let watch = "    watch: ['charts/**', base/kustomization.yaml]\n";
        catalog(room, CAROL_OWNS, watch);
        pushes(room, "charts/app/templates/deployment.yaml", "kind: Deployment\n");
        deploys(room, "checkout 42").await?;
        room.all_told().await?;
        pushes(room, "charts/app/templates/deployment.yaml", "kind: ClusterRole\n");
        room.builds("checkout", "feature/totals", "alice");
        let preview = asks(room, ALICE, "preview checkout 42", "only a preview, nothing is changed").await?;
        ensure!(preview.contains("Would also go live: 1 commit by carol"), "{preview}");
        ensure!(preview.contains("in `checkout`, `charts` and `base/kustomization.yaml`"), "{preview}");

        catalog(room, CAROL_OWNS, &format!("{watch}    foreign_changes: refuse\n"));
        let before = room.commits();
        room.alice("checkout 42").await;
        room.says("this would also ship 1 config change by carol").await?;
        room.all_told().await?;
        // What is changed back is as it was.
        pushes(room, "charts/app/templates/deployment.yaml", "kind: Deployment\n");
        ensure!(room.commits() == before + 1);
        deploys(room, "checkout 42").await?;
        room.all_told().await?;
        pushes(room, "base/kustomization.yaml", "resources: [role.yaml]\n");
        let tag = room.builds("checkout", "feature/totals", "alice");
        room.alice("checkout 42").await;
        room.says("this would also ship 1 config change by carol").await?;
        room.all_told().await?;
        room.command(CAROL, DEPLOYS, "checkout 42 override it is mine").await;
        let live = room.says(&format!("is live: `{tag}`")).await?;
        ensure!(
            live.contains("Also goes live: 1 commit by carol") && live.contains("base/kustomization.yaml"),
            "{live}"
        );
        room.all_told().await
    });
}

/// Attack: may push to the GitOps repository | writes the bot's account as the author, and the words of a deploy with its id as the message | refused as any other change, and named where changes are only told
#[test]
fn a_commit_in_the_name_of_the_bot_is_foreign() {
    room(async |room| -> Result<()> {
        hurry(room);
        deploys(room, "checkout 42").await?;
        room.all_told().await?;
        let ours = room.github.lock().commits(GITOPS, "main").first().context("the bot's commit")?.clone();
        catalog(room, "", "    foreign_changes: refuse\n    watch: ['base/**']\n");
        let text = String::from_utf8(room.file("checkout/values.yaml"))?.replace("replicaCount: 2", "replicaCount: 9");
        let smuggled = NewCommit {
            author: Some(ours.author.clone()),
            ..NewCommit::new(&ours.message, &[("checkout/values.yaml", &text)])
        };
        room.github.lock().push(GITOPS, "main", "mallory", &[smuggled]);
        room.builds("checkout", "feature/totals", "alice");
        let before = room.commits();
        room.alice("checkout 42").await;
        room.says("this would also ship 1 config change").await?;
        room.all_told().await?;
        ensure!(room.commits() == before, "nothing is committed");
        catalog(room, "", "");
        let live = deploys(room, "checkout 42").await.map(|_| room.messages().pop().unwrap_or_default())?;
        ensure!(live.contains("Also goes live: "), "{live}");
        room.all_told().await
    });
}

/// Attack: may push to the GitOps repository | changes a file elsewhere that the app may read | refused until somebody says what the app reads
#[test]
fn a_change_elsewhere_is_foreign_where_nobody_says_what_counts() {
    room(async |room| -> Result<()> {
        hurry(room);
        catalog(room, CAROL_OWNS, "");
        pushes(room, "charts/app/values.yaml", "a: 1\n");
        deploys(room, "checkout 42").await?;
        room.all_told().await?;
        let refuse = "    foreign_changes: refuse\n";
        // Neither another target's folder nor the catalog counts.
        catalog(room, CAROL_OWNS, refuse);
        let text = String::from_utf8(room.file("payments/values.yaml"))?;
        pushes(room, "payments/values.yaml", &format!("{text}# more\n"));
        room.builds("checkout", "feature/totals", "alice");
        deploys(room, "checkout 42").await?;
        room.all_told().await?;

        pushes(room, "charts/app/values.yaml", "a: 2\n");
        pushes(room, "environments/production/rbac.yaml", "kind: ClusterRoleBinding\n");
        room.builds("checkout", "feature/totals", "alice");
        let before = room.commits();
        room.alice("checkout 42").await;
        let refused = room.says("`charts` and `environments` in Git aren't as they were at the live version").await?;
        ensure!(refused.contains("An owner can go ahead"), "{refused}");
        room.all_told().await?;
        ensure!(room.commits() == before, "nothing is committed");
        // Somebody says what it reads.
        catalog(room, CAROL_OWNS, &format!("{refuse}    watch: ['base/**']\n"));
        deploys(room, "checkout 42").await?;
        room.all_told().await
    });
}

/// Attack: may change the Argo CD application | lets it read another folder after the look | committed, and not synced
#[test]
fn an_application_that_reads_more_than_was_looked_at_is_not_synced() {
    let annotation = "argocd.argoproj.io/manifest-generate-paths";
    room(async |room| -> Result<()> {
        hurry(room);
        room.is_annotated("checkout", annotation, ".").await?;
        is_seen(room).await?;
        let refuse = "    foreign_changes: refuse\n";
        catalog(room, CAROL_OWNS, refuse);
        room.command(CAROL, DEPLOYS, "checkout 42 override the first one").await;
        room.says("is live").await?;
        room.all_told().await?;
        // What the annotation leaves out does not count.
        pushes(room, "charts/app/values.yaml", "a: 1\n");
        room.builds("checkout", "feature/totals", "alice");
        deploys(room, "checkout 42").await?;
        room.all_told().await?;

        room.is_annotated("checkout", annotation, ".;/charts").await?;
        let syncs = |room: &Room| room.calls(0).iter().filter(|call| *call == "argocd.sync").count();
        let before = syncs(room);
        // Who is no owner changes nothing by `override`.
        room.builds("checkout", "feature/totals", "alice");
        room.alice("checkout 42 override it is urgent").await;
        let failed = room.says("its Argo CD application reads `charts` by now").await?;
        ensure!(failed.contains("Add that to `watch`"), "{failed}");
        room.all_told().await?;
        ensure!(syncs(room) == before, "nothing is synced");
        catalog(room, CAROL_OWNS, &format!("{refuse}    watch: ['charts/**']\n"));
        deploys(room, "checkout 42").await?;
        room.all_told().await
    });
}

/// Attack: may push to the GitOps repository | pushes elsewhere after an approver read what changed there | asked again
#[test]
fn what_changes_elsewhere_after_the_approvers_read_it_is_asked_again() {
    room(async |room| -> Result<()> {
        hurry(room);
        pushes(room, "charts/app/values.yaml", "a: 1\n");
        deploys(room, "checkout 42").await?;
        room.all_told().await?;
        catalog(
            room,
            CAROL_OWNS,
            &format!("    foreign_changes: refuse\n    approvals: {{ count: 1, users: [{BOB}] }}\n"),
        );
        pushes(room, "charts/app/values.yaml", "a: 2\n");
        room.builds("checkout", "feature/totals", "alice");
        let before = room.commits();
        room.command(CAROL, DEPLOYS, "checkout 42 override incident 12").await;
        let mut asked = says(room, "needs 1 approval").await?;
        room.all_told().await?;
        // Elsewhere, and then once more where something was changed before.
        for (path, text, words) in [
            ("environments/production/rbac.yaml", "kind: ClusterRoleBinding\n", "`environments`"),
            ("charts/app/values.yaml", "a: 3\n", "`charts`"),
        ] {
            pushes(room, path, text);
            room.press(BOB, &asked, "approve").await;
            asked = says(room, &format!("since then {words} changed in Git")).await?;
            room.all_told().await?;
        }
        ensure!(room.commits() == before + 2, "nothing of ours is committed");
        room.press(BOB, &asked, "approve").await;
        room.says("is live").await?;
        room.all_told().await
    });
}

/// Attack: may push to the GitOps repository | pushes below the path of an app that was never deployed, after the approvers were asked | asked again
#[test]
fn what_is_pushed_to_a_first_deploy_after_the_approvers_were_asked_is_asked_again() {
    room(async |room| -> Result<()> {
        hurry(room);
        catalog(room, "", &format!("    approvals: {{ count: 1, users: [{BOB}] }}\n"));
        room.alice("checkout 42").await;
        let asked = says(room, "needs 1 approval").await?;
        room.all_told().await?;
        pushes(room, "checkout/rbac.yaml", "kind: ClusterRoleBinding\n");
        let before = room.commits();
        room.press(BOB, &asked, "approve").await;
        let asked = says(room, "since then one more commit would go live with it").await?;
        room.all_told().await?;
        ensure!(room.commits() == before, "nothing is committed");
        // What somebody pushes elsewhere is not asked for.
        pushes(room, "NOTES.md", "Hello\n");
        room.press(BOB, &asked, "approve").await;
        room.says("is live").await?;
        room.all_told().await
    });
}

// ---- another image under the same tag ----

/// Pushes another image under the tag that the branch has now; its digest.
fn push_again(room: &Room, branch: &str) -> String {
    let tag = room.tag("checkout", branch);
    room.registry.lock().push_as("acme/checkout", &tag, Kind::DockerManifest)
}

fn short(digest: &str) -> &str {
    &digest[..19]
}

/// Attack: may push to the registry | pushes another image under the tag after the request | approval is asked again, with both digests
#[test]
fn an_image_pushed_again_after_the_request_needs_approval_again() {
    room(async |room| -> Result<()> {
        hurry(room);
        catalog(room, "", &format!("    approvals: {{ count: 1, users: [{CAROL}] }}\n"));
        let tag = room.tag("checkout", "feature/totals");
        let honest = room.registry.lock().push("acme/checkout", &tag);
        let before = room.commits();
        room.alice("checkout 42").await;
        let wanted = says(room, "needs 1 approval").await?;
        room.all_told().await?;
        // Who approves sees the image, what it replaces, and the pull request.
        let shown = read(room, &wanted);
        for part in [short(&honest), "→", "Show totals in the basket", &tag] {
            ensure!(shown.contains(part), "{part} is not in {shown}");
        }
        let other = push_again(room, "feature/totals");
        ensure!(other != honest);
        room.press(CAROL, &wanted, "approve").await;
        let again = says(room, "It was approved, but since then the image behind the tag has changed").await?;
        let shown = read(room, &again);
        ensure!(shown.contains(short(&honest)) && shown.contains(short(&other)), "{shown}");
        room.all_told().await?;
        ensure!(room.commits() == before, "nothing is committed");
        room.press(CAROL, &again, "approve").await;
        let live = room.says("is live").await?;
        ensure!(live.contains(short(&other)), "{live}");
        room.all_told().await?;
        let commits = room.github.lock().commits(GITOPS, "main");
        let trailer = format!("Image-Digest: {other}");
        ensure!(commits.iter().any(|commit| commit.message.contains(&trailer)), "{commits:?}");
        let history = asks(room, BOB, "history checkout", "newest first").await?;
        ensure!(history.contains(short(&other)), "{history}");
        Ok(())
    });
}

/// Attack: may push to the registry | pushes another image under a longer tag of the commit | refused, with both tags and images; if both are pushed, the asker is asked
#[test]
fn another_image_under_a_longer_tag_of_the_commit_is_not_deployed_unasked() {
    room(async |room| -> Result<()> {
        hurry(room);
        let tag = room.tag("checkout", "feature/totals");
        let head = room.github.lock().head("acme/checkout", "feature/totals").context("a head")?;
        let all = format!("feature-totals-{head}");
        let honest = room.registry.lock().push("acme/checkout", &tag);
        let push = |tag: &str, kind| room.registry.lock().push_as("acme/checkout", tag, kind);
        let other = push(&all, Kind::DockerManifest);
        let before = room.commits();
        room.alice("checkout 42").await;
        let refused = room.says("they are not the same image").await?;
        for part in [&all, &tag, short(&honest), short(&other)] {
            ensure!(refused.contains(part), "{part} is not in {refused}");
        }
        room.all_told().await?;
        ensure!(room.commits() == before, "nothing is committed");

        // The same image under both: the tag with the most digits is written.
        room.registry.lock().retag("acme/checkout", &tag, &all);
        deploys(room, "checkout 42").await?;
        room.all_told().await?;
        ensure!(String::from_utf8(room.file("checkout/values.yaml"))?.contains(&all));

        // Another image of the commit, under a tag that was never deployed.
        let twelve = format!("feature-totals-{}", &head[..12]);
        push(&twelve, Kind::DockerList);
        for tag in [&tag, &all] {
            room.registry.lock().retag("acme/checkout", &twelve, tag);
        }
        room.registry.lock().remove_tag("acme/checkout", &all);
        room.alice("checkout 42").await;
        room.says("has changed: it was").await?;
        room.all_told().await
    });
}

/// Attack: may push to the GitOps repository | pushes something that rides along after the request | approval is asked again
#[test]
fn a_commit_pushed_after_the_request_needs_approval_again() {
    room(async |room| -> Result<()> {
        hurry(room);
        deploys(room, "checkout 42").await?;
        room.all_told().await?;
        catalog(room, "", &format!("    approvals: {{ count: 1, users: [{CAROL}] }}\n"));
        room.builds("checkout", "feature/totals", "alice");
        room.alice("checkout 42").await;
        let wanted = says(room, "needs 1 approval").await?;
        room.all_told().await?;
        let text = String::from_utf8(room.file("checkout/values.yaml"))?.replace("replicaCount: 2", "replicaCount: 9");
        room.github.lock().person_pushes(GITOPS, "main", "bob", &[("checkout/values.yaml", &text)], "More of it");
        let before = room.commits();
        room.press(CAROL, &wanted, "approve").await;
        let again = says(room, "since then one more commit would go live with it").await?;
        ensure!(read(room, &again).contains("More of it"), "the commit is named: {}", read(room, &again));
        room.all_told().await?;
        ensure!(room.commits() == before, "nothing is committed");
        room.press(CAROL, &again, "approve").await;
        room.says("is live").await?;
        room.all_told().await
    });
}

/// Attack: may push to the registry | pushes another image under a tag that was deployed | the asker is asked; with `immutable` refused
#[test]
fn an_image_pushed_again_under_a_deployed_tag_is_not_deployed_unasked() {
    room(async |room| -> Result<()> {
        hurry(room);
        deploys(room, "checkout 42").await?;
        room.all_told().await?;
        let other = push_again(room, "feature/totals");
        room.alice("checkout 42").await;
        let asked = says(room, "has changed: it was").await?;
        ensure!(read(room, &asked).contains(short(&other)), "{}", read(room, &asked));
        room.all_told().await?;
        // Whoever means the new image says so. A third image is asked about again.
        let third =
            room.registry.lock().push_as("acme/checkout", &room.tag("checkout", "feature/totals"), Kind::DockerList);
        room.press(ALICE, &asked, "deploy_anyway").await;
        let once_more = says(room, &format!("is `{}` now", short(&third))).await?;
        room.all_told().await?;
        room.press(ALICE, &once_more, "deploy_anyway").await;
        room.says("is live").await?;
        room.all_told().await?;

        catalog(room, "", "    immutable: true\n");
        push_again(room, "feature/totals");
        room.alice("checkout 42").await;
        let refused = says(room, "Its tags may not move").await?;
        ensure!(!read(room, &refused).contains("[Deploy anyway]"), "{}", read(room, &refused));
        room.all_told().await
    });
}

/// Attack: may push to the registry | pushes another image under an old tag, and waits for a rollback | refused, unless an owner says `override`
#[test]
fn an_image_pushed_again_under_an_old_tag_is_no_rollback() {
    room(async |room| -> Result<()> {
        hurry(room);
        catalog(room, CAROL_OWNS, "");
        let old = room.builds("checkout", "main", "alice");
        deploys(room, "checkout main").await?;
        room.all_told().await?;
        let honest = room.registry.lock().push("acme/checkout", &old);
        room.builds("checkout", "main", "alice");
        deploys(room, "checkout main").await?;
        room.all_told().await?;
        let other = room.registry.lock().push_as("acme/checkout", &old, Kind::DockerManifest);
        let before = room.commits();
        room.alice("rollback checkout").await;
        let refused = room.says("would not bring back what ran").await?;
        ensure!(refused.contains(short(&honest)) && refused.contains(short(&other)), "{refused}");
        room.all_told().await?;
        room.alice("rollback checkout override I know").await;
        room.says("only an owner may roll").await?;
        room.all_told().await?;
        ensure!(room.commits() == before, "nothing is committed");
        room.command(CAROL, DEPLOYS, "rollback checkout override CI built it again").await;
        room.says("is locked now").await?;
        room.all_told().await
    });
}

/// Attack: may push to the registry | pushes another image under an old tag of an app with `digest_at` | the rollback writes the digest that ran
#[test]
fn with_a_digest_in_git_a_rollback_brings_back_what_ran() {
    room(async |room| -> Result<()> {
        hurry(room);
        catalog(room, "", "    digest_at: image.digest\n");
        let file =
            String::from_utf8(room.file("checkout/values.yaml"))?.replace("image:\n", "image:\n  digest: \"\"\n");
        room.github.lock().person_pushes(GITOPS, "main", "carol", &[("checkout/values.yaml", &file)], "Use digests");
        let written = |room: &Room| -> Result<String> {
            let file = String::from_utf8(room.file("checkout/values.yaml"))?;
            let line = file.lines().find(|line| line.trim_start().starts_with("digest:")).context("a digest")?;
            Ok(line.trim().to_owned())
        };
        let old = room.builds("checkout", "main", "alice");
        let honest = room.registry.lock().push("acme/checkout", &old);
        deploys(room, "checkout main").await?;
        room.all_told().await?;
        ensure!(written(room)? == format!("digest: \"{honest}\""), "{}", written(room)?);
        room.builds("checkout", "main", "alice");
        deploys(room, "checkout main").await?;
        room.all_told().await?;
        ensure!(written(room)? != format!("digest: \"{honest}\""));
        room.registry.lock().push_as("acme/checkout", &old, Kind::DockerManifest);
        let begun = room.journal.mark("rollback");
        room.alice("rollback checkout").await;
        room.says("is locked now").await?;
        room.all_told().await?;
        ensure!(written(room)? == format!("digest: \"{honest}\""), "{}", written(room)?);
        ensure!(!room.calls(begun).contains(&"registry.head".to_owned()), "its digest is known");
        Ok(())
    });
}

/// Attack: may push to the registry | keeps the registry from answering | the rollback goes on with the digest that ran
#[test]
fn a_silent_registry_stops_no_rollback() {
    room(async |room| -> Result<()> {
        hurry(room);
        room.builds("checkout", "main", "alice");
        deploys(room, "checkout main").await?;
        room.all_told().await?;
        room.builds("checkout", "main", "alice");
        deploys(room, "checkout main").await?;
        room.all_told().await?;
        room.registry.fault("registry.head", Fault::Slow(Duration::from_secs(60)), u32::MAX);
        room.alice("rollback checkout").await;
        room.says("is locked now").await?;
        room.all_told().await?;
        ensure!(room.log().contains("registry_not_waited_for"), "{}", room.log());
        // What was never deployed is not known without the registry.
        room.registry.mend();
        Ok(())
    });
}

/// Attack: may push to the registry | hides the digest | it is counted from the manifest; without that no approval is asked for
#[test]
fn an_image_that_nobody_can_name_is_not_approved() {
    room(async |room| -> Result<()> {
        hurry(room);
        catalog(room, "", &format!("    approvals: {{ count: 1, users: [{CAROL}] }}\n"));
        // Without the header the manifest itself tells.
        room.registry.lock().names_digests = false;
        let tag = room.tag("checkout", "feature/totals");
        let digest = room.registry.lock().push("acme/checkout", &tag);
        room.alice("checkout 42").await;
        let wanted = room.says("needs 1 approval").await?;
        ensure!(wanted.contains(short(&digest)), "{wanted}");
        room.all_told().await?;
        ensure!(room.registry.lock().calls("registry.get") == 1);
        let nothing = Response { status: 200, headers: Vec::new(), body: Vec::new() };
        room.registry.fault("registry.get", Fault::Instead(nothing), u32::MAX);
        room.alice("checkout 42").await;
        room.says("the registry names no digest").await?;
        room.all_told().await
    });
}

// ---- buttons ----

/// Attack: a member | presses a button in vain, again and again | it works for who may deploy
#[test]
fn vain_presses_of_somebody_who_may_not_burn_no_button() {
    room(async |room| -> Result<()> {
        hurry(room);
        only(room, &[ALICE, CAROL]);
        refuse_sync(room);
        room.alice("checkout 42").await;
        let failed = says(room, "Argo CD refused the sync").await?;
        room.all_told().await?;
        for _ in 0..12 {
            room.nobody_spoke().await?;
            room.press(BOB, &failed, "retry").await;
            room.all_told().await?;
        }
        room.nobody_spoke().await?;
        room.press(CAROL, &failed, "retry").await;
        let live = room.says("is live").await?;
        ensure!(live.contains("asked by @carol"), "{live}");
        room.all_told().await
    });
}

/// Attack: may deploy one app | presses a button at the same time as somebody else | one deploys, the other is told whose it is
#[test]
fn of_two_who_press_at_once_one_deploys_and_one_is_told() {
    room(async |room| -> Result<()> {
        hurry(room);
        refuse_sync(room);
        room.alice("checkout 42").await;
        let failed = says(room, "Argo CD refused the sync").await?;
        room.all_told().await?;
        let syncs = |room: &Room| room.calls(0).iter().filter(|call| *call == "argocd.sync").count();
        let before = syncs(room);
        let presses = (room.press(BOB, &failed, "retry"), room.press(CAROL, &failed, "retry"));
        tokio::join!(presses.0, presses.1);
        room.says("is live").await?;
        let look = |room: &Sandbox| {
            let slack = room.slack.lock();
            let whispered = [BOB, CAROL].into_iter().flat_map(|user| slack.ephemerals(user));
            let texts = whispered.chain(slack.messages(DEPLOYS));
            let mut texts = texts.map(|one| e2e::without_id(&slack.render(one)));
            texts.find(|text| text.contains("already pressed that"))
        };
        room.until("word that the other one was first", PATIENCE, look).await?;
        room.all_told().await?;
        ensure!(syncs(room) == before + 1, "deployed once");
        Ok(())
    });
}

// ---- another image, or another file, in the place of ours ----

const VALUES: &str = "checkout/values.yaml";

/// Bob, who may push to the GitOps repository, would like the next deploy to bring an image of his own.
/// Attack: may push to the GitOps repository | puts another repository, or a digest, beside the tag | refused before the commit, with both and the line
#[test]
fn an_image_of_somebody_else_gets_no_tag() {
    room(async |room| -> Result<()> {
        hurry(room);
        let host = room.registry.origin().trim_start_matches("http://").to_owned();
        let good = String::from_utf8(room.file(VALUES))?;
        let own = format!("repository: {host}/acme/checkout");
        let digest = format!("digest: sha256:{}", "0".repeat(64));
        let bob = |text: &str| {
            room.github.lock().person_pushes(GITOPS, "main", "bob", &[(VALUES, text)], "Tidy up");
        };
        let mut said = Vec::new();
        for text in [
            good.replace(&own, &format!("repository: {host}/bob/checkout")),
            good.replace(&own, "repository: acme/checkout"),
            good.replace(&own, "registry: evil.example\n  repository: acme/checkout"),
            good.replace(&own, &format!("registry: {host}\n  repository: acme/checkout"))
                + "global: { imageRegistry: evil.example }\n",
            good.replace(&own, &format!("<<: {{ repository: {host}/bob/checkout }}")),
            good.replace(&own, &format!("{own}\n  {digest}")),
        ] {
            bob(&text);
            said.push(refused(room, "checkout 42").await?);
        }
        // And where the tag is part of a whole image.
        let whole = "    tag_at: image\n";
        catalog(room, "", whole);
        bob(&format!("image: {host}/bob/checkout:v1\n"));
        said.push(refused(room, "checkout 42").await?);
        insta::assert_snapshot!(said.join("\n"), @"
        :no_entry: *checkout #42*  not deployed: I can't safely edit `checkout/values.yaml`: beside `image.tag`, `image.repository` (line 5) is `registry.test/bob/checkout`, and the image to deploy is `registry.test/acme/checkout`. Correct the file. If that is the same image by another name, list the name in `mirrors` in `deploy-bot.yaml`.
        asked by @alice
        [Retry]
        :no_entry: *checkout #42*  not deployed: I can't safely edit `checkout/values.yaml`: beside `image.tag`, `image.repository` (line 5) is `acme/checkout`, and the image to deploy is `registry.test/acme/checkout`. Correct the file. If that is the same image by another name, list the name in `mirrors` in `deploy-bot.yaml`.
        asked by @alice
        [Retry]
        :no_entry: *checkout #42*  not deployed: I can't safely edit `checkout/values.yaml`: beside `image.tag`, `image.repository` (line 6) is `evil.example/acme/checkout`, and the image to deploy is `registry.test/acme/checkout`. Correct the file. If that is the same image by another name, list the name in `mirrors` in `deploy-bot.yaml`.
        asked by @alice
        [Retry]
        :no_entry: *checkout #42*  not deployed: I can't safely edit `checkout/values.yaml`: beside `image.tag`, `image.repository` (line 6) is `evil.example/acme/checkout`, and the image to deploy is `registry.test/acme/checkout`. Correct the file. If that is the same image by another name, list the name in `mirrors` in `deploy-bot.yaml`.
        asked by @alice
        [Retry]
        :no_entry: *checkout #42*  not deployed: I can't safely edit `checkout/values.yaml`: beside `image.tag`, `image.repository` (line 5) is `registry.test/bob/checkout`, and the image to deploy is `registry.test/acme/checkout`. Correct the file. If that is the same image by another name, list the name in `mirrors` in `deploy-bot.yaml`.
        asked by @alice
        [Retry]
        :no_entry: *checkout #42*  not deployed: I can't safely edit `checkout/values.yaml`: `image.digest` (line 6) is a digest, which counts more than the tag at `image.tag`. Remove the digest, or set `digest_at` in `deploy-bot.yaml` to where it is, and I write it, too.
        asked by @alice
        [Retry]
        :no_entry: *checkout #42*  not deployed: I can't safely edit `checkout/values.yaml`: `image` (line 1) is `registry.test/bob/checkout:v1`, and the image to deploy is `registry.test/acme/checkout`. Correct the file. If that is the same image by another name, list the name in `mirrors` in `deploy-bot.yaml`.
        asked by @alice
        [Retry]
        ");

        // A name that the catalog lists is ours.
        catalog(room, "", "    mirrors: [mirror.example/checkout]\n");
        bob(&good.replace(&own, "repository: mirror.example/checkout"));
        deploys(room, "checkout 42").await?;
        Ok(())
    });
}

/// GitHub's API would make a plain file of any of these.
/// Attack: may push to the GitOps repository | makes the values file a symlink, a submodule or executable | refused before the commit
#[test]
fn a_file_that_is_no_plain_file_is_left_as_it_is() {
    room(async |room| -> Result<()> {
        hurry(room);
        let good = String::from_utf8(room.file(VALUES))?;
        let mut said = Vec::new();
        for (mode, text) in [
            (EXECUTABLE, good.as_str()),
            (SYMLINK, "../shared/values.yaml"),
            (SUBMODULE, "0123456789abcdef0123456789abcdef01234567"),
            (0o100_664, good.as_str()),
        ] {
            let commit = NewCommit::new("Change the mode", &[(VALUES, text)]);
            let commit = NewCommit { modes: vec![(VALUES.to_owned(), mode)], ..commit };
            room.github.lock().push(GITOPS, "main", "bob", &[commit]);
            said.push(refused(room, "checkout 42").await?);
        }
        insta::assert_snapshot!(said.join("\n"), @"
        :no_entry: *checkout #42*  not deployed: I can't safely edit `checkout/values.yaml`: it is executable, and my commit would make a plain file of it. Make it a plain file: `git update-index --chmod=-x`.
        asked by @alice
        [Retry]
        :no_entry: *checkout #42*  not deployed: I can't safely edit `checkout/values.yaml`: it is a symbolic link, and my commit would make a plain file of it. Put a plain file there, or set `values` in `deploy-bot.yaml` to the file itself.
        asked by @alice
        [Retry]
        :no_entry: *checkout #42*  not deployed: I can't safely edit `checkout/values.yaml`: it is a submodule, and my commit would make a plain file of it. Put a plain file there, or set `values` in `deploy-bot.yaml` to the file itself.
        asked by @alice
        [Retry]
        :no_entry: *checkout #42*  not deployed: I can't safely edit `checkout/values.yaml`: Git has it with the mode 100664, and my commit would make a plain file of it. Make it a plain file: `git update-index --chmod=-x`.
        asked by @alice
        [Retry]
        ");
        let commit = NewCommit { modes: vec![(VALUES.to_owned(), PLAIN)], ..NewCommit::new("Change it back", &[]) };
        room.github.lock().push(GITOPS, "main", "bob", &[commit]);
        deploys(room, "checkout 42").await?;
        Ok(())
    });
}

// ---- words that are more than words ----

/// Every text that was ever posted, with whether Slack leaves it as it is. And what stands in for blocks.
fn posted(room: &Room) -> (Vec<(String, bool)>, Vec<String>) {
    fn texts(value: &Value, found: &mut Vec<(String, bool)>) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
            Value::Object(fields) => {
                if fields.get("type") == Some(&json!("mrkdwn")) {
                    let text = fields["text"].as_str().unwrap_or_default().to_owned();
                    found.push((text, fields.get("verbatim") == Some(&json!(true))));
                }
                fields.values().for_each(|field| texts(field, found));
            }
            _ => {}
        }
    }
    let slack = room.slack.lock();
    let whispered = [ALICE, BOB, CAROL].into_iter().flat_map(|user| slack.ephemerals(user));
    let (mut found, mut summaries) = (Vec::new(), Vec::new());
    for edit in whispered.chain(slack.messages(DEPLOYS)).flat_map(|message| &message.edits) {
        edit.blocks.iter().for_each(|block| texts(block, &mut found));
        summaries.push(edit.text.clone());
    }
    (found, summaries)
}

fn turns_direction(text: &str) -> bool {
    text.contains(
        |c: char| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'),
    )
}

/// Attack: may push to the app repository | writes Slack's formatting and bidi controls into a title | it is shown as plain text
#[test]
fn a_title_or_a_reason_looks_like_nothing_the_bot_says() {
    let fake = "\u{202e}evil\u{2066} :white_check_mark: *checkout* is _live_ ~no~ `x` <!channel> https://evil.example";
    room(async |room| -> Result<()> {
        hurry(room);
        room.github.lock().pull_request("acme/checkout", 42).title = fake.to_owned();
        catalog(room, CAROL_OWNS, FROZEN);
        asks(room, ALICE, "preview checkout 42", "only a preview, nothing is changed").await?;
        room.command(CAROL, DEPLOYS, &format!("checkout 42 override {fake}")).await;
        room.says("is live").await?;
        room.all_told().await?;
        room.command(CAROL, DEPLOYS, &format!("lock checkout {fake}")).await;
        room.says("locked *checkout*").await?;
        room.alice("checkout 42").await;
        room.says("is locked by @carol").await?;
        room.all_told().await?;
        asks(room, ALICE, "status checkout", "locked by @carol").await?;
        asks(room, ALICE, "history checkout", "newest first").await?;
        let help = room.command(ALICE, DEPLOYS, "help").await;
        ensure!(help.body.contains("\"verbatim\":true"), "{help:?}");

        let (texts, summaries) = posted(room);
        for (text, verbatim) in &texts {
            ensure!(*verbatim, "Slack would make links of what only looks like one: {text}");
            ensure!(!text.contains(":white_check_mark: *checkout*") && !text.contains("<!channel>"), "{text}");
            ensure!(!["_live_", "~no~", "`x`"].iter().any(|format| text.contains(format)), "{text}");
        }
        ensure!(texts.iter().filter(|(text, _)| text.contains("evil")).count() > 5, "the words themselves are shown");
        for text in texts.iter().map(|(text, _)| text).chain(&summaries) {
            ensure!(!turns_direction(text), "{text:?}");
        }
        let commits = room.github.lock().commits(GITOPS, "main");
        let ours = commits.iter().find(|commit| commit.message.contains("Gate-Overridden: evil"));
        ensure!(ours.is_some_and(|commit| !turns_direction(&commit.message)), "{ours:?}");
        Ok(())
    });
}

/// Attack: may push to the GitOps repository | lets Argo CD quote a Secret | its words are left out
#[test]
fn a_secret_that_could_not_be_applied_is_not_quoted() {
    room(async |room| -> Result<()> {
        hurry(room);
        let why = "Secret \"db\" is invalid: data[password]: Invalid value: \"hunter2\": illegal base64 data";
        let end = End::Failed(format!("one or more objects failed to apply, reason: {why}"), why.to_owned());
        room.script("checkout", Script { end, ..quick() });
        room.alice("checkout 42").await;
        let failed = room.says("the rollout failed").await?;
        room.all_told().await?;
        ensure!(failed.contains("words about a Secret, which only Argo CD shows"), "{failed}");
        ensure!(!room.told().iter().any(|text| text.contains("hunter2")), "{:#?}", room.told());
        ensure!(!room.log().contains("hunter2"), "{}", room.log());
        Ok(())
    });
}

// ---- locks ----

/// Attack: may deploy one app | locks a target without owners for ever | it ends after 24 hours
#[test]
fn a_lock_that_nobody_can_take_away_ends_within_a_day() {
    room(async |room| -> Result<()> {
        hurry(room);
        room.alice("lock checkout for ever and ever").await;
        let locked = room.says("locked *checkout*").await?;
        ensure!(locked.contains("It ends after 24 hours"), "{locked}");
        let lock = room.key("deploy-bot/target/checkout/default/lock").await?.context("no lock")?;
        let lasts = |lock: &Value| Some(lock["until"].as_u64()? - lock["at"].as_u64()?);
        ensure!(lasts(&lock) == Some(24 * 3600 * 1000), "{lock}");
        // A lock from before the owners went.
        let mut forged = lock.clone();
        forged["until"] = Value::Null;
        forged["at"] = json!(lock["at"].as_u64().context("no time")? - 24 * 3600 * 1000);
        let mut store = room.store.connect().await?;
        let set = redis::cmd("SET").arg("deploy-bot/target/checkout/default/lock").arg(forged.to_string()).to_owned();
        set.query_async::<()>(&mut store).await?;
        deploys(room, "checkout 42").await?;
        room.all_told().await?;

        // With owners a lock lasts as long as it says.
        catalog(room, CAROL_OWNS, "");
        room.alice("lock checkout until it is mended").await;
        let locked = room.says("until it is mended").await?;
        ensure!(!locked.contains("24 hours"), "{locked}");
        Ok(())
    });
}

/// Attack: may deploy one app | types a time that the bot does not understand | refused with the right form
#[test]
fn a_time_that_is_not_understood_makes_no_lock_for_ever() {
    room(async |room| -> Result<()> {
        hurry(room);
        for typed in [
            "load test for 2 fortnights",
            "load test for two hours",
            "load test 2h",
            "wait for 2h please",
            "load test until 18:00",
            "load test —until tomorrow",
        ] {
            let answer = room.command(BOB, DEPLOYS, &format!("lock checkout {typed}")).await;
            ensure!(answer.body.contains("I didn't understand that"), "{typed}: {answer:?}");
        }
        ensure!(room.key("deploy-bot/target/checkout/default/lock").await?.is_none());
        for (typed, reason) in [("for 2h one", "one"), ("two —for 2h", "two"), ("three for: 2h", "three")] {
            room.command(BOB, DEPLOYS, &format!("lock checkout {typed}")).await;
            let locked = room.says(&format!(": {reason}. Nobody can deploy there")).await?;
            ensure!(locked.contains("locked *checkout* until") && !locked.contains("24 hours"), "{locked}");
            room.command(BOB, DEPLOYS, "unlock checkout").await;
            room.says(&format!("It was their own lock: {reason}")).await?;
        }
        Ok(())
    });
}

// ---- what people paste ----

#[test]
fn what_phones_and_pages_make_of_a_command_is_understood() {
    room(async |room| -> Result<()> {
        hurry(room);
        for (typed, right) in [
            ("checkout feature–totals", "/deploy checkout feature-totals"),
            ("checkout https://github.com/acme/checkout/tree/feature/totals", "/deploy checkout feature/totals"),
            ("checkout https://github.com/acme/checkout/commit/012345", "type 7 to 40 of its digits"),
            ("checkout to production 42", "/deploy checkout@production 42"),
            ("acme/checkout#42", "the app is missing"),
        ] {
            let answer = room.command(BOB, DEPLOYS, typed).await;
            ensure!(answer.body.contains(right), "{typed}: {answer:?}");
        }
        ensure!(room.messages().is_empty(), "{:#?}", room.messages());
        for typed in ["checkout acme/checkout#42", "checkout pr 42", "checkout pull request #42", "“checkout” ‘42’"]
        {
            deploys(room, typed).await?;
            room.all_told().await?;
        }
        room.alice("checkout acme/payments#42").await;
        room.says("that link is to acme/payments#42").await?;
        room.alice("checkout 42 to nowhere").await;
        room.says("has no environment `nowhere`").await?;
        room.all_told().await
    });
}

/// Attack: a member | types without end what is refused | is not heard for a minute; nothing is stored or asked, and the others deploy
#[test]
fn who_is_refused_without_end_is_not_heard_and_holds_nobody_up() {
    let mut limits = limits();
    limits["refusals"] = json!(60_000);
    room_with(Options { limits: Some(limits), ..Options::default() }, async |room| -> Result<()> {
        let tries = async |text: &str| -> Result<u32> {
            for n in 0..60 {
                let answer = room.alice(text).await;
                if answer.body.contains("more than 20 of your requests") {
                    return Ok(n);
                }
                room.nothing_left().await?;
            }
            Err(anyhow::anyhow!("60 requests were read"))
        };
        let heard = tries("nosuch 1").await?;
        ensure!(heard > 20, "{heard} were read");
        let (begun, keys) = (room.journal.mark("quiet"), room.keys().await?);
        for text in ["checkout 42", "status", "history nosuch"] {
            ensure!(room.alice(text).await.body.contains("more than 20 of your requests"), "{text} was read");
        }
        let help = room.alice("help").await.body;
        ensure!(help.contains("/deploy help rollback"), "{help}");
        let asked: Vec<String> = room.calls(begun).into_iter().filter(|call| !call.starts_with("bot.")).collect();
        ensure!(asked.is_empty() && room.keys().await? == keys, "{asked:?}, or something was stored");
        // Who wants to stop something is heard.
        let cancel = room.alice("cancel checkout").await.body;
        ensure!(!cancel.contains("more than 20"), "{cancel}");
        room.bob("payments 7").await;
        room.says("is live").await?;
        room.all_told().await
    });
}
