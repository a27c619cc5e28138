//! The catalog is the root of what anybody may do. Who changes it is announced with what changed, once, whichever way the
//! change came.
//!
//! Easy to miss: a webhook only says who pushed. What changed is compared with what people were told before.

use crate::conversation::{asks, hurry};
use crate::pushes::large_commits;
use anyhow::{Context, Result, ensure};
use e2e::{PATIENCE, Room, limits, room_with};
use fakes::Fault;
use fakes::github::NewCommit;
use fakes::slack::{Bot, Kind};
use sandbox::world::{ALICE, CAROL, GITOPS};
use sandbox::{Options, Sandbox};
use serde_json::json;
use std::time::Duration;

const CHANNEL: &str = "C0CATALOG";
const CATALOG: &str = "deploy-bot.yaml";

/// A room with a channel for changes of the catalog, in which the bot has read the catalog.
pub(crate) fn watched(test: impl AsyncFnOnce(&mut Room) -> Result<()>) {
    let variables = [("catalog_channel".to_owned(), CHANNEL.to_owned())].into();
    room_with(
        Options { limits: Some(limits()), variables, replicas: 2, ..Options::default() },
        async |room| -> Result<()> {
            hurry(room);
            room.slack.lock().add_channel(CHANNEL, "catalog", Kind::Public, Bot::Member);
            room.alice("no-such-app 1").await;
            room.says("there is no app").await?;
            room.all_told().await?;
            test(room).await
        },
    );
}

/// The catalog with something else in it.
fn with(room: &Room, from: &str, to: &str) -> String {
    let text = String::from_utf8_lossy(&room.file(CATALOG)).into_owned();
    assert!(text.contains(from), "{from:?} is not in {text}");
    text.replacen(from, to, 1)
}

/// What is announced by now, oldest first.
fn announced(room: &Sandbox) -> Vec<String> {
    let slack = room.slack.lock();
    slack.messages(CHANNEL).iter().map(|message| slack.render(message)).collect()
}

/// Probes both replicas until the announcement is there, and a few times more. It comes once.
pub(crate) async fn is_announced(room: &Room, nth: usize, words: &[&str]) -> Result<String> {
    let begun = std::time::Instant::now();
    while announced(room).len() <= nth {
        ensure!(begun.elapsed() < PATIENCE, "no announcement: {:#?}", announced(room));
        probes(room).await?;
    }
    for _ in 0..10 {
        probes(room).await?;
    }
    let all = announced(room);
    ensure!(all.len() == nth + 1, "announced more than once: {all:#?}");
    let text = all.into_iter().nth(nth).context("it is there")?;
    for part in words {
        ensure!(text.contains(part), "{part:?} is not in {text}");
    }
    Ok(text)
}

async fn probes(room: &Room) -> Result<()> {
    let (one, other) = tokio::join!(room.get("/healthz"), room.get("/healthz"));
    ensure!(one.status == Some(200) && other.status == Some(200), "{one:?} {other:?}");
    tokio::time::sleep(Duration::from_millis(50)).await;
    Ok(())
}

/// Attack: may push to the GitOps repository | adds themselves to `allow` | announced once, with who and what; the log has it
#[test]
fn a_push_that_widens_allow_is_announced_once_with_who_and_what() {
    watched(async |room| -> Result<()> {
        let narrow = with(room, "allow: anyone", "allow: { users: [U0CAROL] }");
        room.github.lock().person_pushes(GITOPS, "main", "carol", &[(CATALOG, &narrow)], "Close checkout");
        let narrowed = ["carol pushed it", "*checkout*", "`anyone` → `users U0CAROL`"];
        is_announced(room, 0, &narrowed).await?;
        let wide = with(room, "allow: { users: [U0CAROL] }", "allow: anyone")
            .replace("acme/payments\n    allow", "acme/evil\n    allow");
        let before = room.github.lock().head(GITOPS, "main").context("a head")?;
        let after = room.github.lock().person_pushes(GITOPS, "main", "mallory", &[(CATALOG, &wide)], "A typo");
        let widened = ["mallory pushed it", "`users U0CAROL` → `anyone`", "*payments* `image`", "acme/evil`"];
        is_announced(room, 1, &widened).await?;
        let blocks =
            format!("{:?}", room.slack.lock().messages(CHANNEL).last().map(|message| message.now().blocks.clone()));
        ensure!(blocks.contains(&format!("/acme/gitops/compare/{before}...{after}")), "{blocks}");
        ensure!(room.log().contains("\"catalog_changed\""), "{}", room.log());
        // A comment alone counts for nothing, and neither does a push elsewhere.
        let comment = format!("{wide}# Nothing\n");
        room.github.lock().person_pushes(GITOPS, "main", "carol", &[(CATALOG, &comment)], "Say nothing");
        room.github.lock().person_pushes(GITOPS, "main", "carol", &[("NOTES.md", "Hello")], "Take notes");
        for _ in 0..20 {
            probes(room).await?;
        }
        ensure!(announced(room).len() == 2, "{:#?}", announced(room));
        Ok(())
    });
}

/// Attack: may push to the GitOps repository | hides who got in behind many other changes, or behind many other names | announced with their names
#[test]
fn many_changes_and_long_lists_hide_nobody_who_got_in() {
    watched(async |room| -> Result<()> {
        let ids = |from: u32, last: &str| {
            let ids: Vec<String> = (from..from + 18).map(|n| format!("U{n}")).collect();
            format!("allow: {{ users: [{}, {last}] }}", ids.join(", "))
        };
        let environments = |allow: bool| -> String {
            let line = |n| {
                let allow = if allow { format!(", allow: {{ users: [U0E{n}] }}") } else { String::new() };
                format!("      e{n}: {{ values: a/{n}.yaml, argocd: {{ application: a-{n} }}{allow} }}\n")
            };
            let app = "  a:\n    repo: acme/a\n    image: ghcr.io/acme/a\n    allow: anyone\n    environments:\n";
            format!("{app}{}", (10..35).map(line).collect::<String>())
        };
        let base = with(room, "allow: anyone", &ids(200, "U999"));
        let first = format!("{base}{}", environments(false));
        room.github.lock().person_pushes(GITOPS, "main", "mallory", &[(CATALOG, &first)], "An app");
        is_announced(room, 0, &["*a* is new", "U999"]).await?;
        // Twenty-five other changes, a name that comes first and one that comes last.
        let second = base.replace("[U200, ", "[U100, U200, ").replace("U999]", "U999, U9MALLORY]");
        let second = format!("owners: {{ users: [U0EVE] }}\n{second}{}", environments(true));
        room.github.lock().person_pushes(GITOPS, "main", "mallory", &[(CATALOG, &second)], "Tidy up");
        let said =
            is_announced(room, 1, &["`owners`: not set → `users U0EVE`", "*checkout* `allow`", "U9MALLORY"]).await?;
        ensure!(said.contains("U100"), "{said}");
        let log = room.log();
        let line = log.lines().rfind(|line| line.contains("\"catalog_changed\"")).context("a line")?;
        for part in ["a@e10", "a@e34", "U9MALLORY", "U0EVE"] {
            ensure!(line.contains(part), "{part} is not in {line}");
        }
        Ok(())
    });
}

/// Attack: may push to the GitOps repository | takes an app out and puts it back without its gates | announced without gates
#[test]
fn an_app_that_comes_back_is_announced_with_the_gates_it_has() {
    watched(async |room| -> Result<()> {
        let gated = with(
            room,
            "allow: anyone",
            "allow: anyone\n    approvals: { count: 1, users: [U0CAROL] }\n    checks: required",
        );
        room.github.lock().person_pushes(GITOPS, "main", "carol", &[(CATALOG, &gated)], "Gates");
        is_announced(room, 0, &["*checkout* `approvals`"]).await?;
        let without = gated.replace("  checkout:", "  chekout:");
        room.github.lock().person_pushes(GITOPS, "main", "mallory", &[(CATALOG, &without)], "A typo");
        is_announced(room, 1, &["*checkout* is gone", "*chekout* is new", "for anyone, with approvals, checks"])
            .await?;
        let back = with_text(&without, "  chekout:", "  checkout:");
        let back = back.replace("    approvals: { count: 1, users: [U0CAROL] }\n    checks: required\n", "");
        room.github.lock().person_pushes(GITOPS, "main", "mallory", &[(CATALOG, &back)], "Mended");
        is_announced(room, 2, &["*checkout* is new", "for anyone, without gates"]).await?;
        Ok(())
    });
}

/// Attack: may push to the GitOps repository | hides a change of the catalog in a forced or large push | announced
#[test]
fn forced_large_and_multi_commit_pushes_hide_no_change_of_the_catalog() {
    watched(async |room| -> Result<()> {
        let old = room.github.lock().head(GITOPS, "main").context("a head")?;
        let owned = format!("owners: {{ users: [U0MALLORY] }}\n{}", with(room, "apps:", "apps:"));
        room.github.lock().force_push(
            GITOPS,
            "main",
            "mallory",
            &old,
            &[NewCommit::new("Notes", &[(CATALOG, &owned)])],
        );
        is_announced(room, 0, &["mallory pushed it", "`owners`: not set → `users U0MALLORY`"]).await?;

        // Among so many commits that GitHub's webhook is too large to be kept.
        let gated = with(room, "allow: anyone", "allow: anyone\n    checks: required");
        let mut commits = large_commits();
        commits.insert(300, NewCommit::new("In the middle", &[(CATALOG, &gated)]));
        room.github.lock().push(GITOPS, "main", "mallory", &commits);
        is_announced(room, 1, &["mallory pushed it", "`checks`: not set → `required`"]).await?;

        // The branch is deleted and made again.
        let back = room.github.lock().head(GITOPS, "main").context("a head")?;
        room.github.lock().delete_branch(GITOPS, "main", "mallory");
        let open = with_text(&gated, "\n    checks: required", "");
        room.github.lock().force_push(GITOPS, "main", "eve", &back, &[NewCommit::new("Again", &[(CATALOG, &open)])]);
        while !room.key("deploy-bot/catalog-pushed").await?.unwrap_or_default().to_string().contains("eve") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        is_announced(room, 2, &["mallory or eve pushed it", "`checks`: `required` → not set", "was rewritten"]).await?;
        Ok(())
    });
}

fn with_text(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from:?} is not in {text}");
    text.replacen(from, to, 1)
}

/// Attack: may push to the GitOps repository | changes the catalog while no webhook comes | announced at the next command
#[test]
fn a_change_without_any_webhook_is_announced_by_who_reads_it() {
    watched(async |room| -> Result<()> {
        room.github.lock().webhook(GITOPS).lost = 1;
        let wide = with(room, "allow: anyone", "allow: { users: [U0ALICE] }");
        room.github.lock().person_pushes(GITOPS, "main", "mallory", &[(CATALOG, &wide)], "A typo");
        for _ in 0..5 {
            probes(room).await?;
        }
        ensure!(announced(room).is_empty(), "nobody has read it");
        room.goes_live("checkout 42").await?;
        room.all_told().await?;
        is_announced(room, 0, &["I don't know who pushed it", "`anyone` → `users U0ALICE`"]).await?;
        // Changed for one deploy only, and put back at once: the deploy has read it.
        for (text, user) in [(with(room, "users: [U0ALICE]", "users: [U0CAROL]"), CAROL), (wide, ALICE)] {
            room.github.lock().webhook(GITOPS).lost = 1;
            room.github.lock().person_pushes(GITOPS, "main", "mallory", &[(CATALOG, &text)], "A typo");
            room.builds("checkout", "feature/totals", "alice");
            room.command(user, sandbox::world::DEPLOYS, "checkout 42").await;
            let tag = room.tag("checkout", "feature/totals");
            room.says(&format!("is live: `{tag}`")).await?;
            room.all_told().await?;
        }
        let begun = std::time::Instant::now();
        while announced(room).len() < 3 {
            ensure!(begun.elapsed() < PATIENCE, "{:#?}", announced(room));
            probes(room).await?;
        }
        let all = announced(room);
        ensure!(all[1].contains("`users U0ALICE` → `users U0CAROL`"), "{all:#?}");
        ensure!(all[2].contains("`users U0CAROL` → `users U0ALICE`"), "{all:#?}");
        Ok(())
    });
}

#[test]
fn a_broken_catalog_is_announced_with_its_line_and_a_mended_one_with_what_differs() {
    watched(async |room| -> Result<()> {
        let whole = with(room, "apps:", "apps:");
        let broken = format!("readers: everybody\n{whole}");
        room.github.lock().person_pushes(GITOPS, "main", "carol", &[(CATALOG, &broken)], "A typo");
        is_announced(room, 0, &["has a mistake on line", "`readers`", "carol pushed it", "refuse every deploy"])
            .await?;
        let mended = with_text(&whole, "    allow: anyone", "    allow: anyone\n    branches: [main]");
        room.github.lock().person_pushes(GITOPS, "main", "carol", &[(CATALOG, &mended)], "Mend it");
        is_announced(room, 1, &["*checkout*", "`branches`: not set → `main`"]).await?;
        Ok(())
    });
}

#[test]
fn an_app_with_a_broken_entry_is_out_of_service_and_the_others_are_not() {
    watched(async |room| -> Result<()> {
        for one in ["checkout 42", "payments 7"] {
            room.goes_live(one).await?;
            room.all_told().await?;
        }
        let whole = with(room, "apps:", "apps:");
        // Of checkout, which stands first.
        let broken = with_text(&whole, "    allow: anyone", "    alow: anyone");
        room.github.lock().person_pushes(GITOPS, "main", "carol", &[(CATALOG, &broken)], "A typo");
        is_announced(room, 0, &["*checkout* is out of service: deploy-bot.yaml on line", "`alow`", "carol pushed it"])
            .await?;
        room.alice("checkout 42").await;
        room.says("`checkout` is out of service: `deploy-bot.yaml` has a mistake on line").await?;
        room.all_told().await?;
        let apps = asks(room, ALICE, "apps", "*payments*").await?;
        ensure!(apps.contains(":x: *checkout* is out of service") && apps.contains("`alow`"), "{apps}");
        // Its files are still its own: a push to them is announced.
        let commits = room.commits();
        room.builds("payments", "feature/refunds", "bob");
        room.goes_live("payments 7").await?;
        room.all_told().await?;
        ensure!(room.commits() == commits + 1);
        room.github.lock().person_pushes(
            GITOPS,
            "main",
            "carol",
            &[("checkout/values.yaml", "image: {}\n")],
            "By hand",
        );
        room.until("announcement", PATIENCE, |_| room.announcements().first().map(|_| ())).await?;
        room.all_told().await?;
        // Back, with another gate than before the break.
        let mended = with_text(&whole, "    allow: anyone", "    allow: anyone\n    branches: [main]");
        room.github.lock().person_pushes(GITOPS, "main", "carol", &[(CATALOG, &mended)], "Mend it");
        is_announced(room, 1, &["*checkout* is back in service", "*checkout* `branches`: not set → `main`"]).await?;
        Ok(())
    });
}

#[test]
fn an_announcement_without_an_answer_is_made_again_and_not_twice_in_a_row() {
    watched(async |room| -> Result<()> {
        let wide = with(room, "allow: anyone", "allow: { users: [U0ALICE] }");
        // Slack does not take the first two, and loses the answer to the third.
        room.slack.fault(
            "slack.post",
            Fault::Instead(fakes::Response::json(200, &json!({ "ok": false, "error": "ratelimited" }))),
            2,
        );
        room.github.lock().person_pushes(GITOPS, "main", "carol", &[(CATALOG, &wide)], "Close");
        is_announced(room, 0, &["carol pushed it"]).await?;
        let narrow = with(room, "users: [U0ALICE]", "users: [U0ALICE, U0BOB]");
        room.slack.fault("slack.post", Fault::DropAfter, 1);
        room.github.lock().person_pushes(GITOPS, "main", "carol", &[(CATALOG, &narrow)], "Bob, too");
        // It may be there, so another one comes only after a while.
        is_announced(room, 1, &["`users U0ALICE, U0BOB`"]).await?;
        let begun = std::time::Instant::now();
        while announced(room).len() < 3 {
            ensure!(begun.elapsed() < PATIENCE, "{:#?}", announced(room));
            probes(room).await?;
        }
        for _ in 0..10 {
            probes(room).await?;
        }
        ensure!(announced(room).len() == 3, "{:#?}", announced(room));
        Ok(())
    });
}

/// Attack: may write the store | writes that the change of the catalog was announced | it counts for nothing
#[test]
fn without_a_channel_the_log_has_it_and_what_is_written_into_the_store_hides_nothing() {
    room_with(Options { limits: Some(limits()), ..Options::default() }, async |room| -> Result<()> {
        hurry(room);
        room.alice("no-such-app 1").await;
        room.says("there is no app").await?;
        room.all_told().await?;
        let changes = |room: &Sandbox| room.log().lines().filter(|line| line.contains("\"catalog_changed\"")).count();
        let wide = with(room, "allow: anyone", "allow: { users: [U0ALICE] }");
        room.github.lock().person_pushes(GITOPS, "main", "mallory", &[(CATALOG, &wide)], "A typo");
        let begun = std::time::Instant::now();
        while changes(room) == 0 {
            ensure!(begun.elapsed() < PATIENCE, "{}", room.log());
            probes(room).await?;
        }
        ensure!(room.log().contains("\"pushed_by\":\"mallory\""), "{}", room.log());
        // As if everybody knew already what comes next.
        let mut told = room.key("deploy-bot/catalog-told").await?.context("what is told")?;
        told["blob"] = json!("0".repeat(40));
        room.forges("deploy-bot/catalog-told", &told).await?;
        room.goes_live("checkout 42").await?;
        room.all_told().await?;
        for _ in 0..20 {
            probes(room).await?;
        }
        ensure!(
            room.log().contains("\"key\":\"deploy-bot/catalog-told\"") && room.log().contains("not_ours"),
            "{}",
            room.log()
        );
        Ok(())
    });
}
