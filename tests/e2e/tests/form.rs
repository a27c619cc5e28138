//! The form that the command alone opens: what it asks for and finds, what it shows, and that what it sends is read as if
//! somebody had typed it.

use crate::conversation::{deploys, hurry, whispers};
use crate::promote::two_environments;
use anyhow::{Context, Result, ensure};
use e2e::{PATIENCE, Room, limits, room, room_with};
use fakes::Fault;
use fakes::slack::View;
use sandbox::bot::Exchange;
use sandbox::world::{ALICE, BOB, DEPLOYS, GITOPS, MALLORY};
use sandbox::{Options, Sandbox, now};
use serde_json::{Value, json};
use std::time::Duration;

/// The newest form of this person, once it says this.
async fn shows(room: &Room, user: &str, words: &str) -> Result<View> {
    let look = |room: &Sandbox| {
        let slack = room.slack.lock();
        slack.views(user).last().filter(|view| view.now().to_string().contains(words)).map(|view| (*view).clone())
    };
    room.until(&format!("form of {user} that says {words:?}"), PATIENCE, look).await
}

/// The person types the command alone, and sees the form.
async fn opens(room: &Room, user: &str) -> Result<View> {
    let before = room.slack.lock().views(user).len();
    let answer = room.command(user, DEPLOYS, "").await;
    ensure!(answer.is_accepted(), "{answer:?}");
    let look = |room: &Sandbox| {
        let slack = room.slack.lock();
        slack.views(user).get(before).filter(|view| view.inputs() == ["app"]).map(|view| (*view).clone())
    };
    room.until(&format!("form of {user}"), PATIENCE, look).await
}

/// The person types into a menu: what it offers then.
async fn finds(room: &Room, user: &str, action: &str, typed: &str) -> Result<Vec<String>> {
    let search = room.slack.lock().search(now(), user, action, typed).with_context(|| format!("no menu {action}"))?;
    let answer = room.send(&search).await;
    ensure!(answer.status == Some(200) && answer.took < Duration::from_secs(3), "{answer:?}");
    let slack = room.slack.lock();
    let view = *slack.views(user).last().context("a form")?;
    Ok(view.offers(action).into_iter().map(str::to_owned).collect())
}

/// The person types into a menu, and takes what it shows so.
async fn takes(room: &Room, user: &str, action: &str, shown: &str) -> Result<()> {
    let found = if action == "environment" { Vec::new() } else { finds(room, user, action, "").await? };
    let chosen = room.slack.lock().choose(now(), user, action, shown);
    let told = chosen.with_context(|| format!("{shown} is not in {found:?}"))?.context("the bot hears of it")?;
    let answer = room.send(&told).await;
    ensure!(answer.is_accepted(), "{answer:?}");
    Ok(())
}

/// The person presses the form's button.
async fn sends(room: &Room, user: &str) -> Result<Exchange> {
    let sent = room.slack.lock().submit(now(), user).context("the form is full")?;
    Ok(room.send(&sent).await)
}

/// Everything is chosen: #42 of checkout, and the preview is there.
async fn fills(room: &Room, user: &str) -> Result<()> {
    opens(room, user).await?;
    takes(room, user, "app", "checkout").await?;
    shows(room, user, "what/checkout/default").await?;
    takes(room, user, "what", "#42 Show totals in the basket").await?;
    shows(room, user, "values.yaml").await.map(drop)
}

/// What this person's form says is wrong.
fn errors(room: &Room, user: &str) -> String {
    let slack = room.slack.lock();
    slack.views(user).last().map(|view| format!("{:?}", view.errors)).unwrap_or_default()
}

#[test]
fn the_command_alone_opens_a_form_that_deploys_what_is_chosen() {
    room(async |room| -> Result<()> {
        hurry(room);
        let before = room.commits();
        let first = opens(room, ALICE).await?;
        ensure!(first.states[0].to_string().contains("Looking up what you can deploy"), "{:?}", first.states);
        ensure!(finds(room, ALICE, "app", "").await? == ["checkout", "payments"]);
        ensure!(finds(room, ALICE, "app", "CHECK").await? == ["checkout"]);
        ensure!(room.slack.lock().submit(now(), ALICE).is_none(), "nothing is chosen");
        takes(room, ALICE, "app", "checkout").await?;
        shows(room, ALICE, "what/checkout/default").await?;
        let all = finds(room, ALICE, "what", "").await?;
        ensure!(!all.contains(&"branch app".to_owned()), "{all:?}");
        ensure!(
            all.contains(&"#42 Show totals in the basket".to_owned()) && all.contains(&"branch main".to_owned()),
            "{all:?}"
        );
        let totals = finds(room, ALICE, "what", "totals").await?;
        ensure!(
            totals.iter().any(|one| one == "branch feature/totals") && !totals.iter().any(|one| one == "branch main")
        );
        takes(room, ALICE, "what", "#42 Show totals in the basket").await?;
        let tag = room.tag("checkout", "feature/totals");
        let shown = shows(room, ALICE, &format!("tag: \\\"{tag}")).await?.now().to_string();
        ensure!(shown.contains("Show totals") && !shown.contains("\"actions\""), "{shown}");
        ensure!(room.commits() == before, "a form commits nothing");

        // Pressed twice, and sent once more by an impatient proxy.
        let presses = {
            let mut slack = room.slack.lock();
            [slack.submit(now(), ALICE), slack.submit(now(), ALICE)]
        };
        for press in presses.into_iter().flatten() {
            for _ in 0..2 {
                let answer = room.send(&press).await;
                ensure!(answer.body == r#"{"response_action":"clear"}"#, "{answer:?}");
            }
        }
        room.says(&format!("is live: `{tag}`")).await?;
        room.all_told().await?;
        ensure!(room.commits() == before + 1 && room.deployments().await?.len() == 1, "one form, one deployment");
        let id = room.deployments().await?.pop().context("a deployment")?;
        let request = room.key(&format!("deploy-bot/deployment/{id}/request")).await?.context("a request")?;
        ensure!(request["origin"] == "form" && request["user"] == ALICE && request["channel"] == DEPLOYS, "{request}");
        ensure!(room.whispers().is_empty(), "{:?}", room.whispers());
        Ok(())
    });
}

#[test]
fn the_form_shows_what_would_refuse_and_forgets_what_no_longer_fits() {
    room(async |room| -> Result<()> {
        two_environments(room, "approvals: { users: [U0BOB] }")?;
        room.builds("checkout", "main", "alice");
        opens(room, ALICE).await?;
        takes(room, ALICE, "app", "checkout").await?;
        shows(room, ALICE, "environment/checkout").await?;
        takes(room, ALICE, "environment", "production").await?;
        shows(room, ALICE, "what/checkout/production").await?;
        takes(room, ALICE, "what", "branch main").await?;
        let waits = shows(room, ALICE, "asks them to approve").await?;
        ensure!(waits.now().to_string().contains("production/values.yaml"), "{:?}", waits.now());
        // Another environment: what was chosen for the other one is gone, and the form cannot be sent.
        takes(room, ALICE, "environment", "staging").await?;
        shows(room, ALICE, "what/checkout/staging").await?;
        ensure!(room.slack.lock().submit(now(), ALICE).is_none(), "nothing is chosen for staging");
        takes(room, ALICE, "what", "branch nowhere").await.unwrap_err();
        ensure!(finds(room, ALICE, "what", "nowhere").await? == ["nowhere"], "what is typed can be taken");
        room.command(BOB, DEPLOYS, "lock checkout@staging load test for 2h").await;
        room.says("locked *checkout@staging*").await?;
        takes(room, ALICE, "what", "branch main").await?;
        let locked = shows(room, ALICE, "load test").await?.now().to_string();
        ensure!(locked.contains("can't be deployed now"), "{locked}");
        // It is sent all the same, and every gate is asked.
        let answer = sends(room, ALICE).await?;
        ensure!(answer.body.contains("clear"), "{answer:?}");
        whispers(room, ALICE, "load test").await?;
        room.all_told().await
    });
}

#[test]
fn what_is_chosen_last_counts_however_late_an_earlier_preview_is() {
    room(async |room| -> Result<()> {
        hurry(room);
        let (main, totals) = (room.builds("checkout", "main", "alice"), room.tag("checkout", "feature/totals"));
        opens(room, ALICE).await?;
        takes(room, ALICE, "app", "checkout").await?;
        shows(room, ALICE, "what/checkout/default").await?;
        let since = room.journal.mark("slow registry");
        room.registry.fault("registry.head", Fault::Late(Duration::from_millis(1_500)), 1);
        takes(room, ALICE, "what", "#42 Show totals in the basket").await?;
        shows(room, ALICE, "Looking what that would do").await?;
        let asked =
            |room: &Sandbox| room.journal.calls_since(since).contains(&"registry.head".to_owned()).then_some(());
        room.until("question to the registry", PATIENCE, asked).await?;
        takes(room, ALICE, "what", "branch main").await?;
        shows(room, ALICE, &format!("tag: \\\"{main}")).await?;
        // The late one is refused by Slack, because the form has changed.
        let late = |room: &Sandbox| {
            let updates = room.journal.calls_since(since).iter().filter(|call| *call == "slack.update_view").count();
            (updates == 4).then_some(())
        };
        room.until("late update", PATIENCE, late).await?;
        let shown = shows(room, ALICE, &format!("tag: \\\"{main}")).await?;
        ensure!(!shown.now().to_string().contains(&format!("+   tag: \\\"{totals}")), "{:?}", shown.now());
        Ok(())
    });
}

#[test]
fn without_a_form_the_person_reads_the_help() {
    room(async |room| -> Result<()> {
        hurry(room);
        for fault in [Fault::Late(Duration::from_millis(3_500)), Fault::DropBefore] {
            let before = room.whispers().len();
            room.slack.fault("slack.open_view", fault, 1);
            let answer = room.alice("").await;
            ensure!(answer.is_accepted(), "{answer:?}");
            let helped = |room: &Sandbox| (room.slack.lock().all_ephemerals().len() > before).then_some(());
            room.until("help", PATIENCE, helped).await?;
            whispers(room, ALICE, "I deploy apps").await?;
        }
        ensure!(room.log().contains("expired_trigger_id"), "{}", room.log());
        let help = room.alice("help").await;
        ensure!(help.body.contains("I deploy apps"), "{help:?}");
        ensure!(room.messages().is_empty() && room.keys().await?.is_empty());
        Ok(())
    });
}

#[test]
fn a_search_waits_two_seconds_for_github_and_asks_seldom() {
    room(async |room| -> Result<()> {
        hurry(room);
        opens(room, ALICE).await?;
        takes(room, ALICE, "app", "checkout").await?;
        shows(room, ALICE, "what/checkout/default").await?;
        // GitHub is slow: what is typed can be taken all the same.
        room.github.fault("github.query", Fault::Late(Duration::from_secs(4)), 1);
        ensure!(finds(room, ALICE, "what", "main").await? == ["main"]);
        let queries = |room: &Room| room.calls(0).iter().filter(|call| *call == "github.query").count();
        ensure!(finds(room, ALICE, "what", "totals").await?.len() == 3, "with the branch `totals`, as it was typed");
        let asked = queries(room);
        for typed in ["", "main", "42", "show tot"] {
            ensure!(!finds(room, ALICE, "what", typed).await?.is_empty());
        }
        ensure!(queries(room) == asked, "a list is good for half a minute");
        // Without the list, a person has ten questions at once.
        for _ in 0..12 {
            room.redis::<i64>(&["DEL", "deploy-bot/choices/acme/checkout"]).await?;
            finds(room, ALICE, "what", "").await?;
        }
        let more = queries(room) - asked;
        ensure!((8..=9).contains(&more), "{more} questions");
        ensure!(finds(room, ALICE, "what", "42").await? == ["#42"], "what is typed is left");
        Ok(())
    });
}

#[test]
fn a_version_that_was_live_comes_back_by_the_form() {
    room(async |room| -> Result<()> {
        hurry(room);
        let first = room.builds("checkout", "main", "alice");
        deploys(room, "checkout main").await?;
        deploys(room, "checkout 42").await?;
        room.all_told().await?;
        opens(room, ALICE).await?;
        takes(room, ALICE, "app", "checkout").await?;
        shows(room, ALICE, "what/checkout/default").await?;
        takes(room, ALICE, "what", &format!("roll back to {first}")).await?;
        shows(room, ALICE, &format!("tag: \\\"{first}")).await?;
        shows(room, ALICE, "\"Roll back\"").await?;
        sends(room, ALICE).await?;
        let back = |room: &Sandbox| {
            let file = room.github.lock().file_at(GITOPS, "main", "checkout/values.yaml").unwrap_or_default();
            String::from_utf8_lossy(&file).contains(&first).then_some(())
        };
        room.until("the version of before", PATIENCE, back).await?;
        room.all_told().await
    });
}

/// Attack: a member | sends a form with the id of somebody else's, or a made-up one | refused, and nothing is deployed
#[test]
fn nobody_sends_somebody_elses_form() {
    room(async |room| -> Result<()> {
        hurry(room);
        fills(room, ALICE).await?;
        let own = room.slack.lock().submit(now(), ALICE).context("a full form")?;
        fills(room, BOB).await?;
        let bobs = room.slack.lock().submit(now(), BOB).context("a full form")?;
        let alices_id = payload(&own)["view"]["private_metadata"].clone();
        for id in [alices_id, json!("1".repeat(32)), json!(""), json!("x"), Value::Null] {
            let forged = room.slack.lock().altered(&bobs, |payload| payload["view"]["private_metadata"] = id.clone());
            let answer = room.send(&forged).await;
            ensure!(answer.body.contains("This form is too old"), "{id}: {answer:?}");
            ensure!(errors(room, BOB).contains("too old"), "{}", errors(room, BOB));
        }
        // Who is of another workspace, by the name of Alice.
        let forged = room.slack.lock().altered(&own, |payload| {
            payload["user"]["team_id"] = json!("T0OTHER");
            payload["team"] = json!({ "id": "T0OTHER", "domain": "other" });
        });
        ensure!(room.send(&forged).await.body.contains("This form is too old"));
        // A search with it finds nothing.
        let search = room.slack.lock().search(now(), BOB, "app", "").context("a menu")?;
        let forged = room.slack.lock().altered(&search, |payload| payload["user"]["id"] = json!(MALLORY));
        let answer = room.bot.send(&forged).await;
        ensure!(answer.body == r#"{"options":[]}"#, "{answer:?}");
        ensure!(room.deployments().await?.is_empty() && room.commits() == 1, "nothing is deployed");
        ensure!(room.log().contains("unknown_form"));
        Ok(())
    });
}

/// Attack: may write the store | writes a form for another person and channel, or an old one | a form that is not ours, or older than half an hour, is none
#[test]
fn a_form_that_is_not_ours_or_too_old_is_none() {
    room(async |room| -> Result<()> {
        hurry(room);
        fills(room, ALICE).await?;
        let (key, bobs) = (format!("deploy-bot/form/{ALICE}"), format!("deploy-bot/form/{BOB}"));
        let fact = room.key(&key).await?.context("a form")?;
        let own = room.slack.lock().submit(now(), ALICE).context("a full form")?;
        let refused = async |room: &Room, outgoing: &fakes::Outgoing| -> Result<()> {
            let answer = room.bot.send(outgoing).await;
            ensure!(answer.body.contains("This form is too old"), "{answer:?}");
            Ok(())
        };
        // Changed, and so not sealed; then sealed for Alice, and put below Bob.
        let mut changed = fact.clone();
        changed["channel"] = json!("C0RANDOM");
        room.forges(&key, &changed).await?;
        refused(room, &own).await?;
        room.forges(&bobs, &fact).await?;
        let as_bob = room.slack.lock().altered(&own, |payload| payload["user"]["id"] = json!(BOB));
        refused(room, &as_bob).await?;
        let mut old = fact.clone();
        old["at"] = json!(now() - 31 * 60 * 1000);
        room.plants(&key, old).await?;
        refused(room, &own).await?;
        // Choosing something in it says so, too.
        ensure!(finds(room, ALICE, "app", "").await?.is_empty(), "an old form finds nothing");
        room.forges(&key, &fact).await?;
        takes(room, ALICE, "app", "payments").await?;
        shows(room, ALICE, "what/payments/default").await?;
        room.forges(&key, &changed).await?;
        let told = room.slack.lock().choose(now(), ALICE, "app", "checkout").flatten().context("a choice")?;
        room.send(&told).await;
        shows(room, ALICE, "This form is too old").await?;
        ensure!(room.deployments().await?.is_empty(), "nothing is deployed");
        Ok(())
    });
}

/// Attack: may deploy one app | searches with the form, or names another app in it | the apps are not listed, and GitHub is not asked
#[test]
fn who_may_not_read_an_app_finds_nothing_of_it() {
    room(async |room| -> Result<()> {
        hurry(room);
        let host = room.registry.origin().trim_start_matches("http://").to_owned();
        let entry = |app: &str, who: &str| {
            format!("  {app}:\n    repo: acme/{app}\n    image: {host}/acme/{app}\n    allow: {{ users: [{who}] }}\n")
        };
        let text =
            format!("readers: {{ users: [{ALICE}] }}\napps:\n{}{}", entry("checkout", ALICE), entry("payments", BOB));
        room.github.lock().person_pushes(GITOPS, "main", "carol", &[("deploy-bot.yaml", &text)], "Close it");
        opens(room, BOB).await?;
        ensure!(finds(room, BOB, "app", "").await? == ["payments"]);
        takes(room, BOB, "app", "payments").await?;
        shows(room, BOB, "what/payments/default").await?;
        let asked = room.calls(0).len();
        let search = room.slack.lock().search(now(), BOB, "what", "").context("a menu")?;
        let forged = room.slack.lock().altered(&search, |payload| payload["block_id"] = json!("what/checkout/default"));
        ensure!(room.bot.send(&forged).await.body == r#"{"options":[]}"#);
        let github = room.calls(asked).iter().filter(|call| call.starts_with("github.")).count();
        ensure!(github == 0, "GitHub was asked {github} times");
        // Sent off, the words name an app that Bob may not ask about.
        takes(room, BOB, "what", "branch main").await?;
        shows(room, BOB, "values.yaml").await?;
        let sent = room.slack.lock().submit(now(), BOB).context("a full form")?;
        let forged = room.slack.lock().altered(&sent, |payload| {
            let option = |value: &str| json!({ "selected_option": { "value": value } });
            payload["view"]["state"]["values"] = json!({
                "app": { "app": option("checkout") }, "what/checkout/default": { "what": option("42") },
            });
        });
        let answer = room.bot.send(&forged).await;
        ensure!(answer.body.contains("Choose where to and what to deploy"), "{answer:?}");
        // Who may read nothing gets no form.
        let text = format!("readers: {{ users: [{ALICE}] }}\napps:\n{}", entry("checkout", ALICE));
        room.github.lock().person_pushes(GITOPS, "main", "carol", &[("deploy-bot.yaml", &text)], "Close it more");
        room.command(BOB, DEPLOYS, "").await;
        let none = shows(room, BOB, "allowed to ask that").await?;
        ensure!(none.inputs().is_empty() && !none.now().to_string().contains("checkout"), "{:?}", none.now());
        Ok(())
    });
}

fn payload(outgoing: &fakes::Outgoing) -> Value {
    let fields = form_urlencoded::parse(&outgoing.body).into_owned();
    let payload = fields.filter(|(name, _)| name == "payload").map(|(_, value)| value).next().unwrap_or_default();
    serde_json::from_str(&payload).unwrap_or_default()
}

/// Attack: a member | was refused too often, and asks GitHub by the form that is still open | nothing is asked for
#[test]
fn who_was_refused_too_often_asks_nothing_by_a_form() {
    let mut limits = limits();
    limits["refusals"] = json!(60_000);
    room_with(Options { limits: Some(limits), ..Options::default() }, async |room| -> Result<()> {
        opens(room, ALICE).await?;
        takes(room, ALICE, "app", "checkout").await?;
        shows(room, ALICE, "what/checkout/default").await?;
        // Of twenty refused apps in one request each five count.
        let unknown: Vec<String> = (0..25).map(|n| format!("nosuch{n}")).collect();
        for n in 0.. {
            let answer = room.alice(&format!("{} main", unknown.join(","))).await;
            if answer.body.contains("more than 20 of your requests") {
                ensure!((4..=6).contains(&n), "{n} requests were read");
                break;
            }
            ensure!(n < 10, "{n} requests were read");
            room.nothing_left().await?;
        }
        let begun = room.journal.mark("quiet");
        takes(room, ALICE, "what", "#42 Show totals in the basket").await?;
        room.nothing_left().await?;
        let asked: Vec<String> =
            room.calls(begun).into_iter().filter(|call| call.starts_with("github.query")).collect();
        ensure!(asked.len() <= 1, "beside the search itself: {asked:?}");
        ensure!(!room.slack.lock().views(ALICE).last().context("a form")?.now().to_string().contains("values.yaml"));
        Ok(())
    });
}
