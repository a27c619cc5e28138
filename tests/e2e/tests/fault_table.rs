//! Every call of the bot to another system goes wrong in every way: what is stored then, what people read,
//! and how the deploy goes on.
//!
//! The cells and their endings are data in `e2e::table`. Here each cell is played, and after each the whole
//! promise is checked.

use anyhow::{Context, Result, bail, ensure};
use domain::deployment::{Facts, State};
use e2e::table::{self, Ending, Lasting, Row, Step, TROUBLES, Trouble};
use e2e::{PATIENCE, Room, limits, quick, room, room_with};
use fakes::argocd::Script;
use fakes::{Fault, Response};
use sandbox::journal::Outcome;
use sandbox::world::{ALICE, BOT_LOGIN, DEPLOYS, GITOPS};
use sandbox::{Options, Sandbox, now};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

#[test]
fn the_catalog_cannot_be_read() {
    play(Step::Catalog);
}

#[test]
fn a_user_group_cannot_be_read() {
    play(Step::Group);
}

#[test]
fn who_is_a_guest_cannot_be_found_out() {
    play(Step::Person);
}

#[test]
fn the_own_workspace_cannot_be_found_out() {
    play(Step::Workspace);
}

#[test]
fn the_first_message_cannot_be_posted() {
    play(Step::FirstMessage);
}

#[test]
fn the_one_query_fails() {
    play(Step::Query);
}

#[test]
fn the_registry_cannot_be_asked() {
    play(Step::Image);
}

#[test]
fn the_registrys_login_fails() {
    play(Step::Token);
}

#[test]
fn the_commit_fails_or_its_answer_is_lost() {
    play(Step::Commit);
}

#[test]
fn whether_the_commit_landed_cannot_be_found_out_at_once() {
    play(Step::History);
}

#[test]
fn whose_commit_has_the_tag_already_cannot_be_seen() {
    play(Step::WhoWrote);
}

#[test]
fn a_refusal_cannot_be_posted_at_once() {
    play(Step::EndMessage);
}

#[test]
fn argo_cd_does_not_take_the_push() {
    play(Step::Relay);
}

#[test]
fn the_message_cannot_be_updated() {
    play(Step::Update);
}

#[test]
fn argo_cd_does_not_look_when_the_push_was_lost() {
    play(Step::Refresh);
}

#[test]
fn argo_cds_events_cannot_be_followed() {
    play(Step::Events);
}

#[test]
fn the_application_cannot_be_polled() {
    play(Step::Poll);
}

#[test]
fn the_sync_fails_or_its_answer_is_lost() {
    play(Step::Sync);
}

#[test]
fn the_asker_alone_cannot_be_answered() {
    play(Step::ResponseUrl);
}

/// How many rooms play the cells of a row at the same time: a cell mostly waits.
const LANES: usize = 4;

/// All cells of a row; those that wait for a time limit begin, each in another room.
fn play(step: Step) {
    let row = table::row(step);
    let mut cells: Vec<_> = TROUBLES.into_iter().filter_map(|trouble| Some((trouble, row.ending(trouble)?))).collect();
    cells.sort_by_key(|(trouble, _)| !trouble.is_slow());
    std::thread::scope(|scope| {
        for first in 0..LANES {
            let cells: Vec<_> = cells.iter().copied().skip(first).step_by(LANES).collect();
            scope.spawn(move || room_with(options(step), async |room| lane(room, row, &cells).await));
        }
    });
}

async fn lane(room: &Room, row: &Row, cells: &[(Trouble, Ending)]) -> Result<()> {
    arrange(room, row.step).await.context("before the first cell")?;
    let mut wrong = Vec::new();
    for (trouble, ending) in cells {
        let cell = format!("{}: {}", row.name, trouble.name());
        room.journal.mark(&cell);
        let seen = cell_of(room, row.step, *trouble).await.context(cell.clone())?;
        room.nothing_left().await.context(cell.clone())?;
        if let Err(error) = compare(row, *trouble, *ending, &seen) {
            wrong.push(format!("{cell}: {error:#}\n{:#?}", seen.read));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

// ---- what does not pass at once ----

#[test]
fn a_lasting_fault_ends_in_words_and_typing_again_goes_on() {
    std::thread::scope(|scope| {
        for what in &table::LASTING {
            scope.spawn(move || room_with(impatient(), async |room| lasts(room, what).await.context(what.name)));
        }
    });
}

/// A short time after which the bot gives up a deployment without a commit.
fn impatient() -> Options {
    let mut limits = limits();
    for (name, millis) in [("no_mutation", 6_000), ("no_end", 7_000), ("no_commit", 8_000), ("settle", 500)] {
        limits[name] = json!(millis);
    }
    Options { limits: Some(limits), ..Options::default() }
}

async fn lasts(room: &Room, what: &Lasting) -> Result<()> {
    room.slack.lock().limits = None;
    room.script("checkout", quick());
    // The shortest that a catalog may say.
    let catalog = String::from_utf8(room.file("deploy-bot.yaml"))?;
    let catalog = catalog.replace("anyone", "{groups: [S0TEAM]}\n    deadline: 30s");
    room.slack.lock().groups.insert("S0TEAM".to_owned(), vec![ALICE.to_owned()]);
    room.github.lock().person_pushes(GITOPS, "main", "carol", &[("deploy-bot.yaml", &catalog)], "Be quick");
    let before = room.commits();
    if what.calls.contains(&"github.query") && what.ending.commits > 0 {
        // The catalog and the one query are read, and the commit lands.
        fault(room, "github.query", Fault::Slow(Duration::ZERO), 2);
        fault(room, "github.commit", Fault::DropAfter, 1);
    }
    for call in what.calls {
        fault(room, call, Fault::Instead(Response::text(503, "")), u32::MAX);
    }
    let id = types(room, Step::Commit).await?;
    let facts = told_with_probes(room, &id).await?;
    let seen = seen(room, &id, &facts, 0, 0);
    ends(what.ending, what.ending.says, what.ending.meanwhile, &seen).with_context(|| format!("{:#?}", seen.read))?;
    room.nothing_left().await?;
    // Not as fast as it fails: GitHub allows 80 writes a minute.
    let count = |name: &str| room.calls(0).iter().filter(|call| *call == name).count();
    match what.ending.stored {
        State::Failed => what.calls.iter().try_for_each(|call| {
            // Five tags are asked for side by side.
            let at_once = if *call == "registry.head" { 5 } else { 1 };
            let (tried, most) = (count(call).div_ceil(at_once), 6);
            ensure!((3..=most).contains(&tried), "{call} was asked {tried} times in 2 s");
            Ok(())
        })?,
        _ => {
            let tried = count("github.commit");
            ensure!((1..=12).contains(&tried), "{tried} commits were tried in 6 s");
        }
    }

    room.github.mend();
    room.slack.mend();
    room.registry.mend();
    room.argocd.mend();
    room.goes_live("checkout 42").await?;
    ensure!(room.commits() == before + 1, "{} commits in all", room.commits() - before);
    Ok(())
}

/// Waits for the last word, and probes meanwhile: nothing else wakes a watch for a deployment without a
/// commit.
async fn told_with_probes(room: &Room, id: &str) -> Result<Facts> {
    let begun = Instant::now();
    loop {
        let facts = room.facts(id).await?;
        if facts.end_is_told() {
            return Ok(facts);
        }
        ensure!(begun.elapsed() < PATIENCE * 4, "no last word that is told: {facts:#?}");
        room.bot.request(http::Request::get("/healthz").body(Vec::new())?).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A call that never reached Slack used up none of the five answers, and only Slack says when no more are
/// taken.
#[test]
fn slack_is_down_for_long_and_the_asker_reads_the_end_when_it_is_back() {
    room(async |room| {
        room.slack.lock().channel(DEPLOYS).archived = true;
        room.script("checkout", Script { ends: 1500, ..quick() });
        let id = types(room, Step::ResponseUrl).await?;
        until(room, &id, "whisper about the sync", |facts| {
            facts.watch.as_ref().is_some_and(|watch| watch.at(0).taken.is_some())
        })
        .await?;
        room.slack.down().await;
        room.until("a few tries", PATIENCE, |room| {
            let tries = room.log().lines().filter(|line| line.contains("not_connected")).count();
            (tries >= 6).then_some(())
        })
        .await?;
        room.slack.up().await?;
        let facts = until(room, &id, "last word that is told", Facts::end_is_told).await?;
        let read = room.read_of(&facts);
        assert!(read.last().is_some_and(|text| text.contains("is live")), "{read:#?}");
        Ok(())
    });
}

// ---- what is seen ----

/// What came of one cell.
struct Seen {
    stored: State,
    commits: usize,
    messages: usize,
    calls: usize,
    /// Everything that the asker could read, the last words last.
    read: Vec<String>,
}

fn compare(row: &Row, trouble: Trouble, ending: Ending, seen: &Seen) -> Result<()> {
    let calls = ending.calls;
    ensure!(calls == 0 || seen.calls == calls, "{} calls, not {calls}", seen.calls);
    ends(ending, &row.says(trouble, ending), &row.meanwhile(trouble, ending), seen)
}

fn ends(ending: Ending, says: &str, meanwhile: &str, seen: &Seen) -> Result<()> {
    let (last, before) = seen.read.split_last().context("nobody could read anything")?;
    ensure!(seen.stored == ending.stored, "{:?} is stored, not {:?}", seen.stored, ending.stored);
    ensure!(seen.commits == ending.commits, "{} commits, not {}", seen.commits, ending.commits);
    ensure!(seen.messages == ending.messages, "{} messages, not {}", seen.messages, ending.messages);
    ensure!(has(last, says), "it does not say {says:?}");
    ensure!(meanwhile.is_empty() || before.iter().any(|text| has(text, meanwhile)), "it never said {meanwhile:?}");
    Ok(())
}

/// Whether a text has these words; a star matches any others.
fn has(text: &str, words: &str) -> bool {
    let mut rest = text;
    words.split('*').all(|part| match rest.find(part) {
        Some(at) => {
            rest = rest.get(at + part.len()..).unwrap_or_default();
            true
        }
        None => false,
    })
}

/// Waits until the facts of a deployment are like this.
async fn until(room: &Room, id: &str, what: &str, mut so: impl FnMut(&Facts) -> bool) -> Result<Facts> {
    let begun = Instant::now();
    loop {
        let facts = room.facts(id).await?;
        if so(&facts) {
            return Ok(facts);
        }
        if begun.elapsed() > PATIENCE * 2 {
            bail!("no {what} within {:?}: {facts:#?}", PATIENCE * 2);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

// ---- what is done ----

fn options(step: Step) -> Options {
    let mut limits = limits();
    limits["guardian"] = json!(200);
    // The catalog is always read, or only before the first cell. (By a cached one nobody is refused: then it is read, and Slack asked, again.)
    limits["catalog_age"] = json!(if matches!(step, Step::Catalog | Step::Group) { 0 } else { 600_000 });
    // What Slack said is not remembered in the row about asking.
    match step {
        Step::Person => limits["person_age"] = json!(0),
        Step::Workspace => limits["workspace_age"] = json!(0),
        _ => {}
    }
    // As it is for people: one call that hangs for as long as its time limit leaves time for another.
    limits["read_again"] = json!(20_000);
    // Long enough for words about it, even on a busy machine.
    limits["settle"] = json!(600);
    // Nobody listens at this address; the registry sends only the cell there that tests this.
    let mut variables = BTreeMap::from([("registry_token_url".to_owned(), NOBODY.to_owned())]);
    if step == Step::Workspace {
        variables.insert("slack_team_id".to_owned(), String::new());
    }
    Options { limits: Some(limits), variables, ..Options::default() }
}

const NOBODY: &str = "http://127.0.0.1:1";

/// The room as this row needs it. The catalog is in the cache, except in the row about reading the catalog.
async fn arrange(room: &Room, step: Step) -> Result<()> {
    room.slack.lock().limits = None;
    room.script("checkout", quick());
    if step == Step::Group {
        let catalog = String::from_utf8(room.file("deploy-bot.yaml"))?.replace("anyone", "{groups: [S0TEAM]}");
        room.slack.lock().groups.insert("S0TEAM".to_owned(), vec![ALICE.to_owned()]);
        let files = [("deploy-bot.yaml", catalog.as_str())];
        room.github.lock().person_pushes(GITOPS, "main", "carol", &files, "Only the team");
    }
    room.alice("checkout 999").await;
    room.says("has no pull request").await?;
    match step {
        Step::WhoWrote => drop(room.goes_live("checkout 42").await?),
        Step::ResponseUrl => room.slack.lock().channel(DEPLOYS).archived = true,
        Step::Poll => room.argocd.fault("argocd.stream", Fault::Instead(Response::text(500, "")), 1000),
        _ => {}
    }
    room.nothing_left().await
}

/// Alice deploys, and one call goes wrong.
async fn cell_of(room: &Room, step: Step, trouble: Trouble) -> Result<Seen> {
    if !matches!(step, Step::WhoWrote | Step::EndMessage) {
        room.builds("checkout", "feature/totals", "alice");
    }
    if step == Step::Refresh {
        room.github.lock().webhook(GITOPS).lost = 1;
    }
    room.nobody_spoke().await?;
    let messages = room.messages().len();
    let mark = room.journal.entries().len();
    let id = match trouble {
        Trouble::Refused => refused(room, step).await?,
        _ => {
            if step == Step::History {
                room.github.fault("github.commit", Fault::DropAfter, 1);
            }
            let (call, passes) = call_of(step);
            fault(room, call, Fault::Slow(Duration::ZERO), passes);
            fault(room, call, fault_of(step, trouble), 1);
            types(room, step).await?
        }
    };
    let facts = until(room, &id, "last word that is told", Facts::end_is_told).await?;
    let (call, passes) = call_of(step);
    let entries = room.journal.entries();
    let calls: Vec<_> = entries.iter().skip(mark).filter(|entry| entry.call == call).collect();
    if trouble != Trouble::Refused {
        // A call that still hangs has no outcome yet.
        let is_fault = |outcome| matches!(outcome, Outcome::Fault(_) | Outcome::HungUp | Outcome::Open);
        let played = calls.iter().filter(|entry| is_fault(entry.outcome)).count();
        ensure!(played == passes as usize + 1, "it went wrong {played} times");
    }
    // The push may still be on its way to Argo CD.
    room.until("answer to GitHub", PATIENCE, |room| {
        let entries = room.journal.entries();
        let pushes = entries.iter().filter(|entry| entry.target.ends_with("/github/webhook"));
        let (asked, answered): (Vec<_>, Vec<_>) = pushes.partition(|entry| entry.call == "bot.asked");
        (asked.len() == answered.len()).then_some(())
    })
    .await?;
    Ok(seen(room, &id, &facts, messages, calls.len()))
}

fn seen(room: &Room, id: &str, facts: &Facts, messages_before: usize, calls: usize) -> Seen {
    let commits = room.github.lock().commits(GITOPS, "main");
    let ours = |message: &str| message.ends_with(&format!("Deploy-Id: {id}"));
    let by_us = commits.iter().filter(|commit| commit.author.login().as_deref() == Some(BOT_LOGIN));
    Seen {
        stored: facts.state(),
        commits: by_us.filter(|commit| ours(&commit.message)).count(),
        messages: room.messages().len() - messages_before,
        calls,
        read: room.read_of(facts),
    }
}

/// Alice types the command; the id of the deployment.
async fn types(room: &Room, step: Step) -> Result<String> {
    let before = room.deployments().await?;
    let text = if step == Step::EndMessage { "checkout 999" } else { "checkout 42" };
    let answer = room.alice(text).await;
    ensure!(answer.is_accepted(), "not accepted: {answer:?}");
    let new = room.deployments().await?.into_iter().find(|id| !before.contains(id));
    new.context("the request was not saved")
}

/// The call of a step, and how many calls of that name come before it.
fn call_of(step: Step) -> (&'static str, u32) {
    match step {
        Step::Catalog | Step::Query => ("github.query", 0),
        Step::Group => ("slack.group", 0),
        Step::Person => ("slack.user", 0),
        Step::Workspace => ("slack.auth", 0),
        Step::FirstMessage => ("slack.post", 0),
        Step::Image => ("registry.head", 0),
        Step::Token => ("registry.token", 0),
        Step::Commit => ("github.commit", 0),
        Step::History | Step::WhoWrote => ("github.query", 1),
        Step::EndMessage => ("slack.response_url", 0),
        Step::Update => ("slack.update", 0),
        Step::Relay => ("argocd.webhook", 0),
        Step::Refresh => ("argocd.refresh", 0),
        Step::Events => ("argocd.stream", 0),
        Step::Poll => ("argocd.get", 0),
        Step::Sync => ("argocd.sync", 0),
        Step::ResponseUrl => ("slack.response_url", 1),
    }
}

fn fault(room: &Room, call: &str, fault: Fault, times: u32) {
    match call.split('.').next() {
        Some("github") => room.github.fault(call, fault, times),
        Some("registry") => room.registry.fault(call, fault, times),
        Some("slack") => room.slack.fault(call, fault, times),
        _ => room.argocd.fault(call, fault, times),
    }
}

fn fault_of(step: Step, trouble: Trouble) -> Fault {
    // Longer than any time limit of the bot.
    let long = Duration::from_secs(12);
    let error = |status| Response::json(status, &json!({ "message": "the words of the system" }));
    match trouble {
        Trouble::Refused => unreachable!("nobody is there to play it"),
        Trouble::TimeOutBefore => Fault::HangBefore(long),
        Trouble::TimeOutAfter => Fault::HangAfter(long),
        Trouble::DropBefore => Fault::DropBefore,
        Trouble::DropAfter => Fault::DropAfter,
        Trouble::Status500 => Fault::Instead(error(500)),
        Trouble::Status502 => Fault::AnswerAfter(Response::text(502, "Bad Gateway")),
        Trouble::Status503 => Fault::Instead(Response::text(503, "")),
        Trouble::Limited => Fault::Instead(error(429).with("retry-after", "1")),
        Trouble::Truncated => Fault::Truncate,
        Trouble::WrongJson => Fault::AnswerAfter(Response::json(200, &json!({ "status": "it works" }))),
        Trouble::ErrorInside => Fault::Instead(error_inside(step)),
        Trouble::Trickle => Fault::Trickle(Duration::from_millis(50)),
        Trouble::TooLarge => Fault::TooLong(5 << 20),
    }
}

/// A status of 200 with an error in the body, in each system's own form.
fn error_inside(step: Step) -> Response {
    let argocd = json!({ "error": "rpc error", "code": 14, "message": "the repo server is not there" });
    let body = match call_of(step).0.split('.').next() {
        Some("github") => json!({ "data": null, "errors": [{ "message": "Something went wrong" }] }),
        Some("registry") => json!({ "errors": [{ "code": "UNAVAILABLE", "message": "try again" }] }),
        Some("slack") => json!({ "ok": false, "error": "internal_error" }),
        _ if step == Step::Events => {
            let error = json!({ "error": { "grpc_code": 14, "http_code": 503, "message": "the server goes down" } });
            return Response::text(200, &format!("data: {error} \n\n\n"));
        }
        _ => argocd,
    };
    Response::json(200, &body)
}

/// Nobody listens when the bot makes that call. Soon afterwards the system listens again.
async fn refused(room: &Room, step: Step) -> Result<String> {
    let mark = room.journal.entries().len();
    let lines = room.log().lines().count();
    // Time enough to take a system away before the next step.
    let slow = Fault::Slow(Duration::from_millis(400));
    let script = |ends| room.script("checkout", Script { ends, ..quick() });
    match step {
        Step::Catalog | Step::Query => room.github.down().await,
        Step::Image => room.registry.down().await,
        Step::Token => room.registry.lock().realm = Some(format!("{NOBODY}/token")),
        Step::Group | Step::Person | Step::Workspace | Step::FirstMessage => room.slack.down().await,
        Step::Relay | Step::Refresh => room.argocd.down().await,
        Step::Commit | Step::WhoWrote | Step::Update | Step::ResponseUrl => {
            room.registry.fault("registry.head", slow, 1)
        }
        Step::History => room.github.fault("github.commit", Fault::HangAfter(Duration::from_millis(400)), 1),
        Step::EndMessage => room.github.fault("github.query", slow, 1),
        Step::Events | Step::Poll => script(1500),
        Step::Sync => {
            script(1500);
            room.argocd.lock().person_syncs(now(), "checkout", None).map_err(anyhow::Error::msg)?;
        }
    }
    let id = types(room, step).await?;
    let called = async |call: &str| {
        let look = |room: &Sandbox| room.journal.calls_since(mark).iter().any(|name| name == call).then_some(());
        room.until(call, PATIENCE, look).await
    };
    let voice = |facts: &Facts| facts.message.clone().map(|fact| fact.0).unwrap_or_default();
    match step {
        Step::Commit | Step::WhoWrote => {
            called("registry.head").await?;
            room.github.down().await;
        }
        Step::History => {
            called("github.commit").await?;
            room.until("commit", PATIENCE, |room| {
                let commits = room.github.lock().commits(GITOPS, "main");
                commits.first().is_some_and(|commit| commit.message.contains(&id)).then_some(())
            })
            .await?;
            room.github.down().await;
        }
        Step::EndMessage => {
            called("github.query").await?;
            room.slack.down().await;
        }
        Step::Update => {
            until(room, &id, "message", |facts| voice(facts).place.is_some()).await?;
            room.slack.down().await;
        }
        Step::ResponseUrl => {
            until(room, &id, "whisper", |facts| voice(facts).response_url_uses > 0).await?;
            room.slack.down().await;
        }
        Step::Events => {
            called("argocd.stream").await?;
            room.argocd.down().await;
        }
        Step::Poll => {
            called("argocd.get").await?;
            room.argocd.down().await;
        }
        Step::Sync => {
            room.says("Waiting for another operation in Argo CD, started by admin").await?;
            room.argocd.refuse().await;
        }
        _ => {}
    }
    room.until("line about a refused connection", PATIENCE, |room| {
        let doing = match step {
            Step::Group => "members",
            Step::Person => "guest",
            Step::Workspace => "workspace",
            _ => "",
        };
        let is_it = |line: &str| line.contains("not_connected") && line.contains(doing);
        room.log().lines().skip(lines).any(is_it).then_some(())
    })
    .await?;
    match step {
        Step::Catalog | Step::Query | Step::Commit | Step::History | Step::WhoWrote => room.github.up().await?,
        Step::Image => room.registry.up().await?,
        Step::Token => room.registry.lock().realm = None,
        Step::Group
        | Step::Person
        | Step::Workspace
        | Step::FirstMessage
        | Step::EndMessage
        | Step::Update
        | Step::ResponseUrl => room.slack.up().await?,
        Step::Relay | Step::Refresh | Step::Events | Step::Poll | Step::Sync => {
            room.argocd.up().await?;
            script(quick().ends);
        }
    }
    Ok(id)
}
