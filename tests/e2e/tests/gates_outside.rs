//! Gates that look outside: at people whom a freeze lets pass, and at the checks of the GitOps repository.

use crate::conversation::{asks, catalog, hurry, whispers};
use anyhow::{Result, ensure};
use e2e::{Room, room};
use fakes::github::{Check, Checks};
use sandbox::world::{ALICE, BOB, CAROL, DEPLOYS, GITOPS, MALLORY};

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
    std::thread::sleep(std::time::Duration::from_millis(1_100));
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
