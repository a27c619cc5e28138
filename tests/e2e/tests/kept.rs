//! Argo CD keeps an error of the rendering of a commit for an hour, after three failures, whatever becomes of the cause.

use anyhow::{Result, ensure};
use e2e::cluster::deployment;
use e2e::{Room, room};
use fakes::slack::Message;
use sandbox::world::{ALICE, GITOPS};

use crate::conversation::says;

/// A deploy fails because a chart cannot be fetched. Then it can.
async fn fails_for_a_while(room: &Room) -> Result<Message> {
    room.runs("checkout", &[deployment("checkout")]).await?;
    let why = "helm dependency build failed: no route to host".to_owned();
    room.argocd.lock().app("checkout").generation_fails = Some(why);
    room.alice("checkout 42").await;
    let failed = says(room, "the rollout failed").await?;
    ensure!(room.slack.lock().render(&failed).contains("no route to host"));
    room.all_told().await?;
    room.argocd.lock().app("checkout").generation_fails = None;
    Ok(failed)
}

#[test]
fn of_the_branchs_head_it_is_got_past_by_a_hard_refresh() {
    room(async |room| -> Result<()> {
        let failed = fails_for_a_while(room).await?;
        let (before, since) = (room.commits(), room.journal.mark("retry"));
        room.press(ALICE, &failed, "retry").await;
        room.says("is live").await?;
        let entries = room.journal.entries().split_off(since);
        let hard = entries.iter().filter(|entry| entry.target.contains("refresh=hard")).count();
        ensure!((hard, room.commits()) == (1, before), "{hard} hard refreshes, {} commits", room.commits());
        Ok(())
    });
}

#[test]
fn of_an_older_commit_it_is_got_past_by_another_commit() {
    room(async |room| -> Result<()> {
        let failed = fails_for_a_while(room).await?;
        room.github.lock().person_pushes(GITOPS, "main", "carol", &[("README.md", "more")], "Say more");
        let before = room.commits();
        room.press(ALICE, &failed, "retry").await;
        room.says("is live").await?;
        ensure!(room.commits() == before + 1, "{} commits more", room.commits() - before);
        Ok(())
    });
}
