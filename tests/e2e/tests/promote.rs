//! `promote`: what is live in one environment goes to another one, the same image. The gates of the target hold as for any
//! deploy.

use crate::conversation::{ages, asks, deploys, hurry, says, whispers};
use crate::refusals::refused;
use anyhow::{Context, Result, ensure};
use e2e::{PATIENCE, Room, quick, room};
use fakes::argocd::{End, Script};
use fakes::github::Checks;
use fakes::registry::Kind;
use sandbox::world::{ALICE, BOB, CAROL, DEPLOYS, GITOPS};
use sandbox::{Sandbox, now};
use serde_json::json;

const REPO: &str = "acme/checkout";
const FROM_STAGING: &str = "promotes_from: staging";

/// The catalog, with checkout in these two environments; what each says besides.
fn catalog(room: &Room, staging: &str, production: &str) {
    let host = room.registry.origin().trim_start_matches("http://").to_owned();
    let environment = |name: &str, more: &str| {
        let allow = if more.contains("allow:") { "" } else { "allow: anyone, " };
        format!("      {name}: {{ {allow}values: {name}/values.yaml, argocd: {{ application: {name} }}, {more} }}\n")
    };
    let text = format!(
        "apps:\n  checkout:\n    repo: {REPO}\n    image: {host}/{REPO}\n    environments:\n{}{}",
        environment("staging", staging),
        environment("production", production)
    );
    room.github.lock().person_pushes(GITOPS, "main", "carol", &[("deploy-bot.yaml", &text)], "Change the catalog");
}

/// Checkout has a folder and an application in each of the two environments.
pub(crate) fn two_environments(room: &Room, production: &str) -> Result<()> {
    hurry(room);
    let values = String::from_utf8(room.file("checkout/values.yaml"))?;
    let files = ["staging/values.yaml", "production/values.yaml"].map(|path| (path, values.as_str()));
    room.github.lock().person_pushes(GITOPS, "main", "carol", &files, "Two environments");
    for name in ["staging", "production"] {
        room.makes_application(name);
        room.script(name, quick());
    }
    catalog(room, "", production);
    Ok(())
}

/// Production runs this, as people read.
async fn is_promoted(room: &Room, tag: &str) -> Result<()> {
    let is_live = format!("is live: `{tag}`");
    let look = |room: &Sandbox| {
        let slack = room.slack.lock();
        let mut all = slack.messages(DEPLOYS).iter().map(|message| slack.render(message));
        all.any(|text| text.contains("checkout@production") && text.contains(&is_live)).then_some(())
    };
    room.until("promoted version", PATIENCE, look).await?;
    ensure!(production(room).contains(tag), "{}", production(room));
    room.all_told().await
}

/// What stands in production's file.
fn production(room: &Room) -> String {
    String::from_utf8_lossy(&room.file("production/values.yaml")).into_owned()
}

/// The newest commit of main.
fn head(room: &Room) -> Result<String> {
    room.github.lock().head(REPO, "main").context("a head")
}

#[test]
fn what_is_live_in_staging_goes_to_production_although_main_has_moved() {
    room(async |room| -> Result<()> {
        two_environments(room, FROM_STAGING)?;
        let tag = room.builds("checkout", "main", "alice");
        let of = head(room)?;
        deploys(room, "checkout@staging main").await?;
        room.builds("checkout", "main", "alice");
        let before = room.commits();
        let live = room.goes_live("promote checkout staging production").await?;
        ensure!(live.contains("*checkout@production main from staging*") && live.contains(&tag), "{live}");
        ensure!(room.commits() == before + 1 && production(room).contains(&tag), "{}", production(room));
        let written = room.github.lock().commits(GITOPS, "main").first().map(|commit| commit.message.clone());
        ensure!(written.as_ref().is_some_and(|text| text.contains(&format!("Source-Commit: {of}"))), "{written:?}");
        room.all_told().await?;
        let history = asks(room, ALICE, "history checkout@production", "newest first").await?;
        ensure!(history.contains("promoted from staging") && history.contains(&tag), "{history}");

        // A pull request, merged meanwhile; where it goes and where it comes from the catalog says.
        let tag = room.tag("checkout", "feature/totals");
        deploys(room, "checkout@staging 42").await?;
        room.github.lock().merge(REPO, 42, "alice", true);
        let live = room.goes_live("promote checkout").await?;
        ensure!(live.contains("*checkout@production #42 from staging*") && live.contains("Show totals"), "{live}");
        ensure!(production(room).contains(&tag), "{}", production(room));
        room.all_told().await
    });
}

#[test]
fn what_nobody_can_promote_is_refused() {
    room(async |room| -> Result<()> {
        two_environments(room, "")?;
        let none = refused(room, "promote checkout staging production").await?;
        ensure!(none.contains("I know of no live version of checkout@staging. Deploy it there first."), "{none}");
        let unsaid = refused(room, "promote checkout production").await?;
        ensure!(unsaid.contains("doesn't say from where checkout@production is promoted"), "{unsaid}");
        let unsaid = refused(room, "promote checkout").await?;
        ensure!(unsaid.contains("doesn't say from where checkout is promoted"), "{unsaid}");
        let unknown = refused(room, "promote checkout stagin production").await?;
        ensure!(unknown.contains("`checkout` has no environment `stagin`. Did you mean `staging`?"), "{unknown}");
        Ok(())
    });
}

/// Attack: may push to the registry | pushes another image under the tag that is live in staging, and has it promoted | refused, and with `digest_at` the image that is live goes
#[test]
fn a_tag_that_was_pushed_again_is_not_promoted() {
    room(async |room| -> Result<()> {
        two_environments(room, FROM_STAGING)?;
        let tag = room.builds("checkout", "main", "alice");
        let honest = room.registry.lock().push(REPO, &tag);
        deploys(room, "checkout@staging main").await?;
        let evil = room.registry.lock().push_as(REPO, &tag, Kind::DockerManifest);
        let before = room.commits();
        room.alice("promote checkout production").await;
        let said = whispers(room, ALICE, &format!("the image behind `{tag}` has changed")).await?;
        ensure!(said.buttons().is_empty() && room.commits() == before, "{:?}", said.buttons());

        let file = production(room).replace("image:\n", "image:\n  digest: \"\"\n");
        room.github.lock().person_pushes(GITOPS, "main", "carol", &[("production/values.yaml", &file)], "Use digests");
        catalog(room, "", &format!("{FROM_STAGING}, digest_at: image.digest"));
        room.goes_live("promote checkout production").await?;
        ensure!(production(room).contains(&honest) && !production(room).contains(&evil), "{}", production(room));
        room.all_told().await
    });
}

#[test]
fn what_is_not_the_newest_there_is_promoted_once_the_asker_says_so() {
    room(async |room| -> Result<()> {
        two_environments(room, FROM_STAGING)?;
        let good = room.builds("checkout", "main", "alice");
        deploys(room, "checkout@staging main").await?;
        let bad = room.builds("checkout", "main", "alice");
        let end = End::Failed("one or more objects failed to apply".to_owned(), "no".to_owned());
        room.script("staging", Script { end, ..quick() });
        room.alice("checkout@staging main").await;
        room.says("failed").await?;
        room.all_told().await?;
        let before = room.commits();
        room.alice("promote checkout production").await;
        let words = format!(
            "the last deploy to checkout@staging, of `{bad}`, isn't live. The last one that was is of `{good}`"
        );
        let asked = whispers(room, ALICE, &words).await?;
        ensure!(asked.buttons() == ["deploy_anyway"] && room.commits() == before, "{:?}", asked.buttons());
        room.press(ALICE, &asked, "deploy_anyway").await;
        is_promoted(room, &good).await
    });
}

#[test]
fn the_gates_of_production_hold() {
    room(async |room| -> Result<()> {
        let gates =
            "promotes_from: staging, checks: required, branches: [main], approvals: { users: [U0BOB, U0CAROL] }";
        two_environments(room, gates)?;
        deploys(room, "checkout@staging 42").await?;
        let branch = refused(room, "promote checkout").await?;
        ensure!(branch.contains("only `main` can go to checkout@production"), "{branch}");
        let tag = room.builds("checkout", "main", "alice");
        let of = head(room)?;
        deploys(room, "checkout@staging main").await?;
        room.builds("checkout", "main", "alice");
        // The checks of the newest commit say nothing about it.
        let newest = head(room)?;
        room.github.lock().checks(REPO, &newest, Some(Checks::Success));
        room.alice("promote checkout").await;
        let words = format!("needs the checks of commit `{}` to pass, but there are none", &of[..7]);
        whispers(room, ALICE, &words).await?;
        room.github.lock().checks(REPO, &of, Some(Checks::Success));
        room.command(ALICE, DEPLOYS, "promote checkout").await;
        let waits = says(room, "approval").await?;
        room.press(BOB, &waits, "approve").await;
        is_promoted(room, &tag).await
    });
}

/// Attack: may deploy one app | may deploy to staging alone, and promotes to production | the target decides who may
#[test]
fn who_may_deploy_to_staging_alone_does_not_promote() {
    room(async |room| -> Result<()> {
        two_environments(room, &format!("{FROM_STAGING}, allow: {{ users: [{CAROL}] }}"))?;
        let tag = room.builds("checkout", "main", "alice");
        deploys(room, "checkout@staging main").await?;
        for text in ["promote checkout staging production", "promote checkout production", "promote checkout"] {
            let said = refused(room, text).await?;
            ensure!(said.contains("you aren't allowed to deploy checkout@production"), "{said}");
        }
        room.command(CAROL, DEPLOYS, "promote checkout").await;
        is_promoted(room, &tag).await
    });
}

#[test]
fn a_button_below_what_is_live_in_staging_promotes_exactly_that() {
    room(async |room| -> Result<()> {
        two_environments(room, FROM_STAGING)?;
        room.builds("checkout", "main", "alice");
        deploys(room, "checkout@staging main").await?;
        let old = says(room, "is live").await?;
        ensure!(old.buttons() == ["promote", "roll_back"], "{:?}", old.buttons());
        ensure!(room.slack.lock().render(&old).contains("Promote to production"), "{old:?}");
        let tag = room.builds("checkout", "main", "alice");
        deploys(room, "checkout@staging main").await?;
        let live = says(room, &format!("is live: `{tag}`")).await?;
        // Staging has another version by now: the old button is not for that one.
        let before = room.commits();
        room.press(CAROL, &old, "promote").await;
        whispers(room, CAROL, "another version than when you saw that button").await?;
        room.builds("checkout", "main", "alice");
        room.press(BOB, &live, "promote").await;
        is_promoted(room, &tag).await?;
        ensure!(room.commits() == before + 1, "one commit");
        let asked = |message: &String| message.contains("asked by @bob") && message.contains("from staging");
        ensure!(room.messages().iter().any(asked), "{:#?}", room.messages());
        Ok(())
    });
}

/// Attack: may deploy one app | may deploy to staging alone, and presses *Promote* below what is live there | the target decides who may
#[test]
fn the_button_to_promote_is_for_who_may_deploy_there() {
    room(async |room| -> Result<()> {
        two_environments(room, &format!("{FROM_STAGING}, allow: {{ users: [{BOB}] }}"))?;
        room.builds("checkout", "main", "alice");
        deploys(room, "checkout@staging main").await?;
        let live = says(room, "is live").await?;
        let before = room.commits();
        room.press(ALICE, &live, "promote").await;
        whispers(room, ALICE, "aren't allowed to deploy checkout@production").await?;
        room.all_told().await?;
        ensure!(room.commits() == before, "nothing of ours is committed");
        Ok(())
    });
}

#[test]
fn what_production_requires_has_to_be_live_in_staging_long_enough() {
    room(async |room| -> Result<()> {
        let requires = "requires: { live_on: staging, for: 30m }";
        two_environments(room, &format!("{FROM_STAGING}, {requires}"))?;
        let tag = room.builds("checkout", "main", "alice");
        room.alice("checkout@production main").await;
        whispers(room, ALICE, "nothing that I deployed runs there").await?;
        deploys(room, "checkout@staging main").await?;
        room.alice("promote checkout").await;
        whispers(room, ALICE, "isn't live on staging for long enough").await?;
        let before = room.commits();
        let live = room.key("deploy-bot/target/checkout/staging/live").await?.context("nothing is live")?;
        let outcome = format!("deploy-bot/deployment/{}/outcome", live["id"].as_str().context("an id")?);
        ages(room, &outcome, |fact| fact["at"] = json!(now() - 1_801_000)).await?;
        // Another image than the one that is live there waits its own half an hour.
        room.builds("checkout", "main", "alice");
        room.alice("checkout@production main").await;
        whispers(room, ALICE, &format!("`{tag}` runs there")).await?;
        room.all_told().await?;
        ensure!(room.commits() == before, "nothing of ours is committed");
        room.alice("promote checkout").await;
        is_promoted(room, &tag).await
    });
}
