//! Gates that ask somebody outside: people whom a freeze lets pass.

use crate::conversation::{catalog, hurry, whispers};
use anyhow::{Result, ensure};
use e2e::{Room, room};
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

/// Attack: may pass one freeze | deploys while another one is in force | refused: each freeze in force has to name the person
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
