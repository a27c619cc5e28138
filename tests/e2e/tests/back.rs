//! A rollback to a version that was live here: who may deploy and what goes live with it are asked, and nothing else.

use crate::buttons::refuse_sync;
use crate::conversation::{catalog, deploys, hurry, says, whispers};
use crate::insiders::FROZEN;
use anyhow::{Context, Result, ensure};
use e2e::{PATIENCE, Room, room};
use fakes::Fault;
use fakes::github::Checks;
use fakes::registry::Kind;
use fakes::slack::{Account, Message};
use sandbox::Sandbox;
use sandbox::world::{ALICE, BOB, CAROL, DEPLOYS, GITOPS};
use std::time::{Duration, Instant};

/// Every gate of the catalog is closed, and Bob alone is named.
const CLOSED: &str = "    branches: ['release/*']\n    checks: required\n    reviews: 1\n    immutable: true\n    approvals: { count: 2, users: [U0CAROL, U0ALICE] }\n";

/// Two versions of checkout were live, one after the other. Returns their tags.
async fn two_versions(room: &Room) -> Result<(String, String)> {
    hurry(room);
    let first = room.builds("checkout", "main", "alice");
    deploys(room, "checkout main").await?;
    room.all_told().await?;
    let second = room.builds("checkout", "main", "alice");
    deploys(room, "checkout main").await?;
    room.all_told().await?;
    Ok((first, second))
}

/// The gates of checkout, which Bob may deploy.
fn close(room: &Room, more: &str) {
    catalog(room, "", more);
    let text =
        String::from_utf8_lossy(&room.file("deploy-bot.yaml")).replacen("anyone", &format!("{{ users: [{BOB}] }}"), 1);
    room.github.lock().person_pushes(GITOPS, "main", "carol", &[("deploy-bot.yaml", &text)], "Bob alone");
}

#[test]
fn no_gate_holds_up_a_version_that_was_live() {
    room(async |room| -> Result<()> {
        let (first, second) = two_versions(room).await?;
        let built = room.github.lock().commits("acme/checkout", "main");
        for commit in built {
            room.github.lock().checks("acme/checkout", &commit.sha, Some(Checks::Failure));
        }
        close(room, &format!("{CLOSED}{FROZEN}"));
        room.registry.down().await;
        let typed = Instant::now();
        room.bob("rollback checkout").await;
        let live = room.says(&format!("rollback to `{first}`*  is live")).await?;
        ensure!(typed.elapsed() < Duration::from_secs(15), "{:?}", typed.elapsed());
        for gate in ["branches", "checks", "approvals", "freeze"] {
            ensure!(live.contains(&format!("`{gate}`")), "{gate} is not named in {live}");
        }
        ensure!(live.contains("ran here before"), "{live}");
        let commit = room.github.lock().commits(GITOPS, "main").first().context("a commit")?.clone();
        ensure!(commit.message.contains("Passed-Over: ") && commit.message.contains("approvals"), "{}", commit.message);
        ensure!(room.argocd.lock().live_tag("checkout") == Some(first.as_str()), "{second}");
        room.registry.up().await?;
        room.all_told().await
    });
}

#[test]
fn the_lock_of_somebody_else_is_shown_first_and_then_named() {
    room(async |room| -> Result<()> {
        let (first, _) = two_versions(room).await?;
        room.command(BOB, DEPLOYS, "lock checkout load test").await;
        room.says("locked *checkout*").await?;
        room.alice("rollback checkout").await;
        let refused = whispers(room, ALICE, "checkout is locked by @bob").await?;
        ensure!(refused.buttons().first() == Some(&"deploy_anyway"), "{:?}", refused.buttons());
        room.all_told().await?;
        room.press(ALICE, &refused, "deploy_anyway").await;
        let live = room.says(&format!("rollback to `{first}`*  is live")).await?;
        ensure!(live.contains("the lock by @bob: load test"), "{live}");
        room.all_told().await?;
        let notified = room.slack.lock().mentions(BOB).len();
        ensure!(notified > 0, "Bob is called to the message");
        Ok(())
    });
}

/// The holder of a lock needs no second click.
#[test]
fn ones_own_lock_does_not_hold_up_a_rollback() {
    room(async |room| -> Result<()> {
        let (first, _) = two_versions(room).await?;
        room.command(BOB, DEPLOYS, "lock checkout incident 7").await;
        room.says("locked *checkout*").await?;
        room.bob("rollback checkout").await;
        room.says(&format!("rollback to `{first}`*  is live")).await?;
        room.all_told().await
    });
}

#[test]
fn a_rollback_takes_the_turn_of_a_deploy_before_its_commit() {
    room(async |room| -> Result<()> {
        let (first, _) = two_versions(room).await?;
        room.builds("checkout", "main", "alice");
        room.registry.fault("registry.head", Fault::Slow(Duration::from_secs(8)), 1);
        let asked = room.registry.lock().calls("registry.head");
        room.alice("checkout main").await;
        let asks = |room: &Sandbox| (room.registry.lock().calls("registry.head") > asked).then_some(());
        room.until("question to the registry", PATIENCE, asks).await?;
        let before = room.commits();
        let typed = Instant::now();
        room.bob("rollback checkout").await;
        room.says(&format!("rollback to `{first}`*  is live")).await?;
        ensure!(typed.elapsed() < Duration::from_secs(15), "{:?}", typed.elapsed());
        whispers(room, ALICE, "cancelled by @bob").await?;
        room.all_told().await?;
        ensure!(room.commits() == before + 1, "the rollback alone");
        Ok(())
    });
}

/// Attack: may deploy one app | rolls back to a version that was never live, to pass a freeze | refused: it is an ordinary deploy
#[test]
fn a_version_that_was_only_committed_passes_no_freeze() {
    room(async |room| -> Result<()> {
        hurry(room);
        let tag = room.tag("checkout", "feature/totals");
        refuse_sync(room);
        room.alice("checkout 42").await;
        room.says("Argo CD refused the sync").await?;
        room.all_told().await?;
        room.builds("checkout", "main", "alice");
        deploys(room, "checkout main").await?;
        room.all_told().await?;
        catalog(room, "", FROZEN);
        let before = room.commits();
        room.bob(&format!("rollback checkout {tag}")).await;
        whispers(room, BOB, "frozen until").await?;
        room.all_told().await?;
        ensure!(room.commits() == before);
        Ok(())
    });
}

/// Attack: may deploy one app | as one of `anyone`, rolls back where approvals are needed | asked for approvals, as for a deploy
#[test]
fn anyone_does_not_roll_back_past_approvals() {
    room(async |room| -> Result<()> {
        let (first, _) = two_versions(room).await?;
        catalog(room, "", &format!("    approvals: {{ count: 1, users: [{CAROL}] }}\n"));
        room.bob("rollback checkout").await;
        let asked = says(room, "needs 1 approval").await?;
        room.all_told().await?;
        // An approver, who may deploy, too, rolls back alone.
        room.press(CAROL, &asked, "reject").await;
        room.says("rejected by @carol").await?;
        room.command(CAROL, DEPLOYS, "rollback checkout").await;
        room.says(&format!("rollback to `{first}`*  is live")).await?;
        room.all_told().await
    });
}

/// Mallory changes what checkout reads.
fn mallory_pushes(room: &Room, from: &str, to: &str) -> Result<()> {
    let text = String::from_utf8(room.file("checkout/values.yaml"))?.replace(from, to);
    room.github.lock().person_pushes(GITOPS, "main", "mallory", &[("checkout/values.yaml", &text)], "More");
    Ok(())
}

/// Bob rolls checkout back where others' changes are refused, and Mallory has pushed one. Returns the version to go back to and
/// the message that asks.
async fn asks_about_riders(room: &Room, top: &str, more: &str) -> Result<(String, Message)> {
    let (first, _) = two_versions(room).await?;
    catalog(room, top, &format!("    foreign_changes: refuse\n{more}"));
    mallory_pushes(room, "replicaCount: 2", "replicaCount: 9")?;
    room.bob("rollback checkout").await;
    let asked = says(room, "has to confirm that").await?;
    let text = room.slack.lock().render(&asked);
    ensure!(text.contains("would also ship 1 config change by mallory that is not live yet"), "{text}");
    ensure!(text.contains("Also goes live: 1 commit by mallory"), "{text}");
    room.all_told().await?;
    Ok((first, asked))
}

/// Attack: may push to the GitOps repository | has a rollback bring a change along where others' changes are refused | nothing is rolled back before a second person has confirmed that change
#[test]
fn what_goes_live_with_a_rollback_is_confirmed_by_a_second_person() {
    room(async |room| -> Result<()> {
        let before = room.commits() + 4;
        let (first, asked) = asks_about_riders(room, "", "").await?;
        ensure!(room.commits() == before, "two deploys, the catalog and the change");
        room.press(ALICE, &asked, "approve").await;
        let live = room.says(&format!("rollback to `{first}`*  is live")).await?;
        ensure!(live.contains("approved by @alice") && live.contains("asked by @bob"), "{live}");
        room.all_told().await?;
        let commit = room.github.lock().commits(GITOPS, "main").first().context("a commit")?.clone();
        ensure!(commit.message.contains(&format!("Approved-By: {ALICE}")), "{}", commit.message);
        ensure!(room.commits() == before + 1);
        Ok(())
    });
}

/// Attack: may deploy one app | confirms alone what goes live with their own rollback | somebody else has to
#[test]
fn nobody_confirms_their_own_rollback() {
    room(async |room| -> Result<()> {
        let (_, asked) = asks_about_riders(room, "", "").await?;
        let before = room.commits();
        room.press(BOB, &asked, "approve").await;
        whispers(room, BOB, "somebody else has to approve it").await?;
        ensure!(room.commits() == before);
        // The asker may take it back.
        room.press(BOB, &asked, "reject").await;
        room.says("rejected by @bob").await?;
        room.all_told().await
    });
}

/// An owner may let them through anyway.
#[test]
fn an_owner_confirms_what_goes_live_with_their_own_rollback() {
    room(async |room| -> Result<()> {
        let (first, asked) = asks_about_riders(room, &format!("owners: {{ users: [{BOB}] }}\n"), "").await?;
        room.press(BOB, &asked, "approve").await;
        room.says(&format!("rollback to `{first}`*  is live")).await?;
        room.all_told().await
    });
}

/// Attack: a guest | confirms what goes live with a rollback | only who may deploy there
#[test]
fn a_guest_confirms_nothing() {
    room(async |room| -> Result<()> {
        let (first, asked) = asks_about_riders(room, "", "").await?;
        let before = room.commits();
        room.slack.lock().users.get_mut(CAROL).context("Carol")?.account = Account::Guest;
        room.press(CAROL, &asked, "approve").await;
        whispers(room, CAROL, "You can't approve deploys of checkout").await?;
        ensure!(room.commits() == before);
        room.press(ALICE, &asked, "approve").await;
        room.says(&format!("rollback to `{first}`*  is live")).await?;
        room.all_told().await
    });
}

/// Attack: may push to the GitOps repository | pushes once more after a second person has confirmed the rollback | it is asked again, with the new change
#[test]
fn what_is_pushed_after_the_confirmation_asks_again() {
    room(async |room| -> Result<()> {
        let (first, asked) = asks_about_riders(room, "", "").await?;
        let before = room.commits();
        mallory_pushes(room, "replicaCount: 9", "replicaCount: 99")?;
        room.press(ALICE, &asked, "approve").await;
        room.says("would also ship 2 config changes by mallory").await?;
        room.all_told().await?;
        ensure!(room.commits() == before + 1, "Mallory's alone");
        let again = says(room, "would also ship 2 config changes").await?;
        room.press(ALICE, &again, "approve").await;
        room.says(&format!("rollback to `{first}`*  is live")).await?;
        room.all_told().await
    });
}

/// A deploy is no rollback: its riders are refused as before.
#[test]
fn what_goes_live_with_a_deploy_is_confirmed_by_nobody() {
    room(async |room| -> Result<()> {
        two_versions(room).await?;
        catalog(room, "", "    foreign_changes: refuse\n");
        mallory_pushes(room, "replicaCount: 2", "replicaCount: 9")?;
        room.builds("checkout", "main", "alice");
        room.bob("checkout main").await;
        let refused = whispers(room, BOB, "this would also ship").await?;
        ensure!(!refused.buttons().contains(&"approve"), "{:?}", refused.buttons());
        room.all_told().await
    });
}

/// Only what goes back for sure ends a deploy.
#[test]
fn a_rollback_that_would_be_refused_ends_no_deploy() {
    room(async |room| -> Result<()> {
        two_versions(room).await?;
        let newer = room.builds("checkout", "main", "alice");
        room.registry.fault("registry.head", Fault::Slow(Duration::from_secs(6)), 1);
        let asked = room.registry.lock().calls("registry.head");
        room.alice("checkout main").await;
        let asks = |room: &Sandbox| (room.registry.lock().calls("registry.head") > asked).then_some(());
        room.until("question to the registry", PATIENCE, asks).await?;
        room.bob("rollback checkout main-0000000").await;
        whispers(room, BOB, "busy with a deploy by @alice").await?;
        room.says(&format!("is live: `{newer}`")).await?;
        room.all_told().await
    });
}

/// Two people press the same button: one of them rolls back, and neither ends the other's rollback.
#[test]
fn of_two_rollbacks_at_once_one_goes() {
    room(async |room| -> Result<()> {
        let (first, second) = two_versions(room).await?;
        let live = says(room, &format!("is live: `{second}`")).await?;
        let before = room.commits();
        room.registry.fault("registry.head", Fault::Slow(Duration::from_millis(1500)), 1);
        room.press(ALICE, &live, "roll_back").await;
        room.press(BOB, &live, "roll_back").await;
        room.says(&format!("rollback to `{first}`*  is live")).await?;
        room.all_told().await?;
        ensure!(room.commits() == before + 1, "one commit");
        Ok(())
    });
}

/// Attack: may deploy one app | has one deploy approved, and from then on rolls back to any version, time and again | only to the version before, and once
#[test]
fn one_approved_deploy_is_no_right_to_roll_back_anywhere() {
    room(async |room| -> Result<()> {
        let (first, second) = two_versions(room).await?;
        catalog(room, "", &format!("    approvals: {{ count: 1, users: [{CAROL}] }}\n"));
        let third = room.builds("checkout", "main", "alice");
        room.bob("checkout main").await;
        let asked = says(room, "needs 1 approval").await?;
        room.all_told().await?;
        room.press(CAROL, &asked, "approve").await;
        room.says(&format!("is live: `{third}`")).await?;
        room.all_told().await?;
        // Two versions back is not the version that his deploy replaced.
        let before = room.commits();
        room.bob(&format!("rollback checkout {first}")).await;
        let asked = says(room, &format!("`{first}` needs 1 approval")).await?;
        room.press(CAROL, &asked, "reject").await;
        room.says("rejected by @carol").await?;
        room.all_told().await?;
        ensure!(room.commits() == before);
        // His own deploy he may take away.
        room.bob("rollback checkout").await;
        room.says(&format!("rollback to `{second}`*  is live")).await?;
        room.all_told().await?;
        // His rollback was approved by nobody, and gives him nothing.
        let before = room.commits();
        room.bob(&format!("rollback checkout {first}")).await;
        says(room, &format!("`{first}` needs 1 approval")).await?;
        room.all_told().await?;
        ensure!(room.commits() == before);
        Ok(())
    });
}

/// Attack: may deploy one app | ends somebody's deploy by a rollback that is refused in the end | the deploy goes live
#[test]
fn a_rollback_to_an_image_that_is_another_ends_no_deploy() {
    room(async |room| -> Result<()> {
        let (first, _) = two_versions(room).await?;
        room.registry.lock().push_as("acme/checkout", &first, Kind::DockerManifest);
        let newer = room.builds("checkout", "main", "alice");
        room.registry.fault("registry.head", Fault::Slow(Duration::from_secs(6)), 1);
        let asked = room.registry.lock().calls("registry.head");
        room.alice("checkout main").await;
        let asks = |room: &Sandbox| (room.registry.lock().calls("registry.head") > asked).then_some(());
        room.until("question to the registry", PATIENCE, asks).await?;
        room.bob("rollback checkout").await;
        whispers(room, BOB, "busy with a deploy by @alice").await?;
        room.says(&format!("is live: `{newer}`")).await?;
        room.all_told().await
    });
}
