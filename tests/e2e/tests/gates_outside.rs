//! Gates that look outside: at people whom a freeze lets pass, at the checks of the GitOps repository, and at the words of a service
//! of the company.

use crate::conversation::{asks, catalog, hurry, whispers};
use anyhow::{Result, ensure};
use e2e::{Room, limits, room, room_with};
use fakes::github::{Check, Checks};
use fakes::{Fault, Response};
use sandbox::world::{ALICE, BOB, CAROL, DEPLOYS, GATE_KEY, GITOPS, MALLORY};
use sandbox::{Options, Sandbox};
use serde_json::json;
use std::time::Duration;

/// Always: two windows that touch, with these people of each.
fn frozen(first: &str, second: &str) -> String {
    let window = |from: &str, until: &str, pass: &str| {
        format!("      - {{ from: '{from} 00:00', until: '{until} 00:00', zone: Europe/Berlin{pass} }}\n")
    };
    format!("    freeze:\n{}{}", window("Mon", "Thu", first), window("Thu", "Mon", second))
}

fn newest_message(room: &Room) -> String {
    room.github.lock().commits(GITOPS, "main").first().map(|commit| commit.message.clone()).unwrap_or_default()
}

/// The people of `pass` are no owners: they may override the freeze, and nothing else.
#[test]
fn whom_the_freeze_names_may_pass_it_and_says_why() {
    room(async |room| -> Result<()> {
        hurry(room);
        let pass = format!(", pass: {{ users: [{BOB}, {CAROL}] }}");
        catalog(room, "", &frozen(&pass, &pass));
        let before = room.commits();
        room.alice("checkout 42").await;
        let refused = room.says("checkout is frozen until").await?;
        ensure!(refused.contains("@bob or @carol can go ahead by adding `override` and the reason"), "{refused}");
        room.alice("checkout 42 override I am in a hurry").await;
        room.says("only @bob or @carol may override the freeze of checkout. Ask one of them.").await?;
        // Without the reason the freeze holds for them, too.
        room.bob("checkout 42").await;
        whispers(room, BOB, "checkout is frozen until").await?;
        ensure!(room.commits() == before);
        room.bob("checkout 42 override incident 12").await;
        let live = room.says("is live").await?;
        ensure!(live.contains("*Override* by @bob: incident 12"), "{live}");
        ensure!(newest_message(room).contains("Gate-Overridden: incident 12"), "{}", newest_message(room));
        Ok(())
    });
}

/// Attack: may deploy one app | may pass one freeze, and deploys while another one is in force | refused: each freeze in force has to name the person
#[test]
fn who_may_pass_one_freeze_may_not_pass_another() {
    room(async |room| -> Result<()> {
        hurry(room);
        let pass = format!(", pass: {{ users: [{BOB}] }}");
        let always = frozen("", "");
        let both = format!("{}{}", frozen(&pass, &pass), always.trim_start_matches("    freeze:\n"));
        catalog(room, &format!("owners: {{ users: [{CAROL}] }}\n"), &both);
        let before = room.commits();
        room.bob("checkout 42 override incident 12").await;
        let refused = whispers(room, BOB, "only an owner may override the freeze of checkout").await?;
        ensure!(room.slack.lock().render(&refused).contains("Ask one of the `owners`"));
        room.all_told().await?;
        ensure!(room.commits() == before);
        Ok(())
    });
}

#[test]
fn whom_only_names_may_deploy_outside_of_its_times() {
    room(async |room| -> Result<()> {
        hurry(room);
        // A minute of the day that is not now.
        let minute = (sandbox::now() / 60_000 + 720) % 1440;
        let time = |minute: u64| format!("{:02}:{:02}", minute / 60 % 24, minute % 60);
        let (from, to) = (time(minute), time(minute + 1));
        let only = format!("    only: [{{ from: '{from}', to: '{to}', zone: UTC, pass: {{ users: [{BOB}] }} }}]\n");
        catalog(room, "", &only);
        room.alice("checkout 42").await;
        let refused = whispers(room, ALICE, "checkout is deployed at certain times only").await?;
        let refused = room.slack.lock().render(&refused);
        ensure!(refused.contains(&format!("{from} UTC")) && refused.contains("In an emergency, @bob can"), "{refused}");
        ensure!(room.slack.lock().mentions(MALLORY).is_empty());
        room.command(BOB, DEPLOYS, "checkout 42 override incident 13").await;
        let live = room.says("is live").await?;
        ensure!(live.contains("*Override* by @bob: incident 13"), "{live}");
        Ok(())
    });
}

const STATUS: &str = "    status: promoter/healthy\n";

/// A commit status of the GitOps repository's newest commit; that commit.
fn reports(room: &Room, state: Checks) -> String {
    let head = room.github.lock().head(GITOPS, "main").unwrap_or_default();
    reports_of(room, &head, state);
    head
}

fn reports_of(room: &Room, sha: &str, state: Checks) {
    let context = "promoter/healthy".to_owned();
    let created = sandbox::now();
    room.github.lock().check(GITOPS, sha, Check::Status { context, state, created });
    // Of two that began at once the worse one counts.
    std::thread::sleep(Duration::from_millis(1_100));
}

async fn refused(room: &Room, words: &str) -> Result<String> {
    room.alice("checkout 42").await;
    let refused = whispers(room, ALICE, words).await?;
    room.all_told().await?;
    let text = room.slack.lock().render(&refused);
    Ok(text)
}

#[test]
fn the_newest_commit_of_others_in_git_has_to_have_the_status() {
    room(async |room| -> Result<()> {
        hurry(room);
        catalog(room, "", STATUS);
        let before = room.commits();
        let missing = refused(room, "but `promoter/healthy` isn't there").await?;
        let head = reports(room, Checks::Pending);
        ensure!(missing.contains(&head[..7]), "{missing}");
        refused(room, "but `promoter/healthy` is still running. Wait, then try again.").await?;
        reports(room, Checks::Failure);
        refused(room, "but `promoter/healthy` failed. Look at that commit with its author").await?;
        let preview = asks(room, ALICE, "preview checkout 42", "status of Git: 0 of 1").await?;
        ensure!(preview.contains("This can't be deployed now: checkout needs certain checks"), "{preview}");
        asks(room, BOB, "apps", "promoter/healthy must pass in the GitOps repository").await?;
        ensure!(room.commits() == before);

        reports(room, Checks::Success);
        let since = room.journal.mark("deploy");
        room.goes_live("checkout 42").await?;
        room.all_told().await?;
        let entries = room.journal.entries();
        let commit = entries.iter().position(|entry| entry.call == "github.commit").unwrap_or_default();
        let queries = entries[since..commit].iter().filter(|entry| entry.call == "github.query").count();
        ensure!(queries <= 2, "the catalog, and the one query: {queries}");

        // Our own commit is the newest, and what is reported of it does not count: neither bad nor good.
        reports(room, Checks::Failure);
        room.builds("checkout", "main", "alice");
        room.goes_live("checkout main").await?;
        room.all_told().await?;
        let pushed = room.github.lock().person_pushes(GITOPS, "main", "bob", &[("notes.txt", "1")], "Note");
        reports_of(room, &pushed, Checks::Failure);
        reports_of(room, &pushed, Checks::Success);
        room.goes_live("checkout 42").await?;
        room.all_told().await
    });
}

/// Attack: may push to the GitOps repository | pushes a broken commit that names a deployment of the bot, so that it is not looked at | it counts: what is stored says which commits are the bot's
#[test]
fn a_commit_that_only_says_it_is_the_bots_counts_as_somebodys() {
    room(async |room| -> Result<()> {
        hurry(room);
        catalog(room, "", STATUS);
        let healthy = reports(room, Checks::Success);
        room.goes_live("checkout 42").await?;
        room.all_told().await?;
        let ours = newest_message(room);
        let forged = room.github.lock().person_pushes(GITOPS, "main", "mallory", &[("notes.txt", "1")], &ours);
        reports_of(room, &forged, Checks::Failure);
        // And the status of an older commit is good again.
        reports_of(room, &healthy, Checks::Success);
        room.builds("checkout", "main", "alice");
        let before = room.commits();
        room.alice("checkout main").await;
        let refused = whispers(room, ALICE, "but `promoter/healthy` failed").await?;
        ensure!(room.slack.lock().render(&refused).contains(&forged[..7]));
        room.all_told().await?;
        ensure!(room.commits() == before);
        Ok(())
    });
}

#[test]
fn who_waits_for_the_status_gets_the_deploy_and_a_rollback_passes_over_it() {
    room(async |room| -> Result<()> {
        hurry(room);
        room.builds("checkout", "main", "alice");
        room.goes_live("checkout main").await?;
        room.all_told().await?;
        catalog(room, "", STATUS);
        reports(room, Checks::Pending);
        room.alice("checkout 42").await;
        let refused = whispers(room, ALICE, "is still running").await?;
        ensure!(refused.buttons().contains(&"wait"), "{:?}", refused.buttons());
        room.press(ALICE, &refused, "wait").await;
        room.says("I deploy it when that has passed").await?;
        reports(room, Checks::Success);
        let tag = room.tag("checkout", "feature/totals");
        let look = |room: &Sandbox| {
            let slack = room.slack.lock();
            let mut all = slack.messages(DEPLOYS).iter().map(|message| slack.render(message));
            all.any(|text| text.contains(&format!("is live: `{tag}`"))).then_some(())
        };
        room.probe("the deploy that waited", look).await?;
        room.all_told().await?;
        room.github.lock().person_pushes(GITOPS, "main", "bob", &[("notes.txt", "1")], "Note");
        room.alice("rollback checkout").await;
        let back = room.says("ran here before").await?;
        ensure!(back.contains("`status`"), "{back}");
        room.all_told().await
    });
}

const ASK: &str = "    ask: /deploys/gate\n";

fn no(reason: &str) -> serde_json::Value {
    json!({ "allow": false, "reason": reason })
}

/// How often the gate service was called, whatever came of it.
fn questions(room: &Room) -> usize {
    room.journal.entries().iter().filter(|entry| entry.system == "gate").count()
}

#[test]
fn the_gate_service_reads_what_is_deployed_and_may_refuse_it() {
    room(async |room| -> Result<()> {
        hurry(room);
        catalog(room, "", ASK);
        room.gate.lock().says = no("The budget is used up.");
        let before = room.commits();
        let text = refused(room, "the gate service refuses checkout: The budget is used up.").await?;
        ensure!(text.contains("Ask whoever runs that service"), "{text}");
        asks(room, ALICE, "preview checkout 42", "This can't be deployed now: the gate service refuses checkout")
            .await?;
        asks(room, BOB, "apps", "the gate service is asked (/deploys/gate)").await?;
        ensure!(room.commits() == before);

        room.gate.lock().says = json!({ "allow": true });
        room.gate.lock().asked.clear();
        room.goes_live("checkout 42").await?;
        room.all_told().await?;
        let asked = room.gate.lock().asked.clone();
        let [(path, question)] = asked.as_slice() else { anyhow::bail!("asked once: {asked:?}") };
        ensure!(path == "/deploys/gate" && question["user"] == ALICE && question["pull_request"] == 42, "{question}");
        let head = room.github.lock().head("acme/checkout", "feature/totals").unwrap_or_default();
        let tag = room.tag("checkout", "feature/totals");
        ensure!(question["commit"] == head.as_str() && question["tag"] == tag.as_str(), "{question}");
        ensure!(question["app"] == "checkout" && question["repository"] == "acme/checkout", "{question}");
        ensure!(question["digest"].as_str().is_some_and(|digest| digest.starts_with("sha256:")), "{question}");
        ensure!(question["deployment"].as_str().is_some_and(|id| newest_message(room).contains(id)), "{question}");
        ensure!(!room.log().contains(GATE_KEY));

        // Whom no other gate lets through is not asked about.
        catalog(room, "", &format!("{ASK}    checks: required\n"));
        let before = questions(room);
        room.alice("checkout main").await;
        whispers(room, ALICE, "needs the checks").await?;
        room.all_told().await?;
        ensure!(questions(room) == before, "not asked");
        Ok(())
    });
}

#[test]
fn the_gate_service_is_asked_before_people_are_and_again_when_they_approved() {
    room(async |room| -> Result<()> {
        hurry(room);
        catalog(room, "", &format!("{ASK}    approvals: {{ users: [{BOB}] }}\n"));
        room.gate.lock().says = no("Not today.");
        refused(room, "the gate service refuses checkout: Not today.").await?;
        ensure!(room.messages().is_empty(), "nobody is asked to approve: {:#?}", room.messages());
        room.gate.lock().says = json!({ "allow": true });
        room.alice("checkout 42").await;
        room.says("needs 1 approval").await?;
        room.all_told().await?;
        let wanted = room.slack.lock().messages(DEPLOYS).last().cloned().expect("a question");
        room.gate.lock().says = no("Not any more.");
        let before = room.commits();
        room.press(BOB, &wanted, "approve").await;
        room.says("the gate service refuses checkout: Not any more.").await?;
        room.all_told().await?;
        ensure!(room.commits() == before);
        Ok(())
    });
}

/// Attack: runs the gate service | answers with words that call people and hide a link | people read them as they are
#[test]
fn the_words_of_the_gate_service_call_nobody() {
    room(async |room| -> Result<()> {
        hurry(room);
        catalog(room, "", ASK);
        room.gate.lock().says =
            no(&format!("*No* <!channel> <@{MALLORY}> <https://evil.example|log in>\n\u{202e}{}", "x".repeat(900)));
        let text = refused(room, "the gate service refuses checkout: ∗No∗").await?;
        ensure!(text.contains("<!channel>") && text.chars().count() < 1000, "{text}");
        ensure!(room.slack.lock().mentions(MALLORY).is_empty(), "nobody is called");
        Ok(())
    });
}

/// Attack: runs the gate service | answers with a redirect, too much, too late, or nonsense | no such answer counts, and no other host is asked
#[test]
fn what_is_no_answer_is_asked_again_and_then_refused() {
    room(async |room| -> Result<()> {
        hurry(room);
        catalog(room, "", ASK);
        let elsewhere = format!("{}/stolen", room.registry.origin());
        let redirect = || Response::json(302, &json!({ "allow": true })).with("location", &elsewhere);
        let no_answers = [
            (Fault::Instead(redirect()), "status 302"),
            (Fault::Instead(Response::json(500, &json!({ "allow": true }))), "status 500"),
            (Fault::Instead(Response::json(401, &json!({ "allow": true }))), "status 401"),
            (Fault::Instead(Response::json(200, &json!({ "allow": "yes" }))), "neither true nor false"),
            (Fault::Instead(Response::text(200, "allow")), "no JSON"),
            (Fault::TooLong(4 * 1024), "too long"),
            (Fault::DropAfter, "didn't answer"),
        ];
        let before = room.commits();
        for (fault, words) in &no_answers {
            let asked = questions(room);
            room.gate.fault("gate.ask", fault.clone(), 1000);
            let text = refused(room, words).await?;
            ensure!(text.contains("the service didn't answer: ") && !text.contains(GATE_KEY), "{text}");
            ensure!(questions(room) > asked + 1, "{fault:?}: asked again");
            room.gate.mend();
        }
        ensure!(room.commits() == before);
        let stolen = |room: &Room| room.journal.entries().iter().any(|entry| entry.target.contains("stolen"));
        ensure!(!stolen(room), "no redirect is followed");
        // Each of them once: the next answer counts.
        for (fault, _) in no_answers {
            room.gate.fault("gate.ask", fault, 1);
            room.builds("checkout", "main", "alice");
            room.goes_live("checkout main").await?;
            room.all_told().await?;
        }
        Ok(())
    });
}

#[test]
fn a_gate_service_that_takes_too_long_is_refused_and_a_rollback_passes_over_it() {
    room(async |room| -> Result<()> {
        hurry(room);
        for _ in 0..2 {
            room.builds("checkout", "main", "alice");
            room.goes_live("checkout main").await?;
            room.all_told().await?;
        }
        catalog(room, "", ASK);
        room.gate.fault("gate.ask", Fault::HangBefore(Duration::from_secs(30)), 1000);
        refused(room, "the service didn't answer: the gate service didn't answer in time").await?;
        let before = questions(room);
        room.alice("rollback checkout").await;
        let back = room.says("ran here before").await?;
        ensure!(back.contains("`ask`") && questions(room) == before, "{back}");
        room.all_told().await
    });
}

#[test]
fn a_catalog_that_asks_where_no_service_is_set_names_the_variable() {
    let variables = [("gate_url".to_owned(), String::new())].into();
    room_with(Options { limits: Some(limits()), variables, ..Options::default() }, async |room| -> Result<()> {
        hurry(room);
        catalog(room, "", ASK);
        let before = room.commits();
        refused(room, "set the variables `gate_url` and `gate_key`").await?;
        ensure!(room.commits() == before && questions(room) == 0);
        Ok(())
    });
}
