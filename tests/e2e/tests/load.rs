//! A hundred people deploy a hundred targets at the same moment, on one branch and in one channel, within the
//! limits of GitHub and Slack. The minute that these limits count by is shorter here, and so is the bot's
//! own.
//!
//! Easy to miss: calls that GitHub refuses do not count against the limit, but a client that keeps asking is
//! shut out for longer. Slack has one limit for posts in a channel and another for edits in the workspace.

use anyhow::{Context, Result, ensure};
use e2e::crowd::{app, everybody_types, grow};
use e2e::{Room, limits, quick, room_with};
use fakes::slack::Limits;
use sandbox::world::{DEPLOYS, GITOPS};
use sandbox::{Options, Sandbox};
use std::time::Duration;

/// How many apps, and people.
const ALL: usize = 100;

/// How long a minute is.
const MINUTE: u64 = 12_000;

/// What everybody reads about their deploy in the end, once all of them are over.
async fn all_over(room: &Room, count: usize, ends: &[&str]) -> Result<Vec<String>> {
    let over = |room: &Sandbox| {
        let slack = room.slack.lock();
        let all: Vec<String> = slack.messages(DEPLOYS).iter().map(|message| slack.render(message)).collect();
        let is_over = |text: &String| ends.iter().any(|end| text.contains(end));
        (all.len() == count && all.iter().all(is_over)).then_some(all)
    };
    let all = room.until("end of all", Duration::from_secs(120), over).await;
    all.with_context(|| format!("{:#?}", room.messages()))
}

/// Progress is posted only while no end of another deploy has waited for longer than a moment.
async fn finals_go_first(room: &Room) -> Result<()> {
    let mut waited = Vec::new();
    for key in room.keys().await?.iter().filter(|key| key.ends_with("/watch")) {
        let watch = room.key(key).await?.context("a fact that was there")?;
        let message = room.key(&key.replace("/watch", "/message")).await?.unwrap_or_default();
        let outcome = room.key(&key.replace("/watch", "/outcome")).await?.context("the last word")?;
        let place = [&watch["voice"]["place"], &message["place"]].into_iter().find_map(|place| place["ts"].as_str());
        let slack = room.slack.lock();
        let mine = slack.messages(DEPLOYS).iter().find(|mine| Some(mine.ts.as_str()) == place);
        let mine = mine.context("a message for each")?;
        // Deploys that have a message wait for their turn to edit it.
        let since = outcome["at"].as_u64().unwrap_or_default().max(mine.edits[0].at);
        waited.push((since, mine.edits.last().map_or(since, |edit| edit.at)));
    }
    let slack = room.slack.lock();
    let progress = slack.messages(DEPLOYS).iter().flat_map(|message| &message.edits[1..message.edits.len().max(2) - 1]);
    let overtaken =
        progress.map(|edit| waited.iter().filter(|(since, told)| since + 2_500 < edit.at && edit.at < *told).count());
    let most = overtaken.max().unwrap_or_default();
    ensure!(most < 10, "progress was told while {most} ends had waited for 2.5 s");
    Ok(())
}

#[test]
fn a_hundred_deploys_at_once_go_live_within_all_limits() {
    let mut limits = limits();
    limits["minute"] = MINUTE.into();
    room_with(Options { limits: Some(limits), ..Options::default() }, async |room| -> Result<()> {
        grow(room, ALL, |_| quick());
        room.github.lock().minute = MINUTE;
        room.slack.lock().limits = Some(Limits { minute: MINUTE, ..Limits::default() });
        let (commits, memory) = (room.commits(), room.memory());
        let answers = everybody_types(room, ALL).await;
        for answer in &answers {
            ensure!(answer.is_accepted() && answer.took < Duration::from_secs(3), "{answer:?}");
        }
        all_over(room, ALL, &["is live"]).await?;
        let most = room.memory();
        room.all_told().await?;

        ensure!(room.commits() == commits + ALL, "a commit each: {}", room.commits() - commits);
        for n in 0..ALL {
            ensure!(room.syncs(&app(n)) == 1, "{} was synced {} times", app(n), room.syncs(&app(n)));
            ensure!(room.argocd.lock().live_tag(&app(n)) == Some(&room.tag(&app(n), "main")), "{}", app(n));
        }
        let refused = room.github.lock().limited();
        ensure!(refused < 2 * ALL as u64, "GitHub's limit was run against: {refused}");
        // A machine that is too slow for so many commits within GitHub's minute does not meet its limit.
        let times: Vec<u64> = room.github.lock().commits(GITOPS, "main").iter().map(|commit| commit.at).collect();
        let within = |start: &u64| times.iter().filter(|at| (*start..start + MINUTE).contains(at)).count();
        let busiest = times.iter().map(within).max().unwrap_or_default();
        ensure!(refused > 0 || busiest < 80, "{busiest} commits within a minute, and GitHub's limit was not met");
        let limited = room.slack.lock().limited();
        ensure!(limited < 20, "Slack said {limited} times that it was too much");
        let told = room.told();
        ensure!(told.iter().any(|text| text.contains("waiting for its turn")), "nobody was told their place");
        for bad in ["didn't confirm", "failed", "Nothing was changed", "not deployed", "timed out"] {
            ensure!(!told.iter().any(|text| text.contains(bad)), "{bad:?}");
        }
        finals_go_first(room).await?;
        if let (Some(before), Some(most)) = (memory, most) {
            let grown = most.saturating_sub(before) >> 20;
            ensure!(grown < 400, "it took {grown} MiB more");
        }
        Ok(())
    });
}

/// GitHub takes far fewer commits than people ask for, and after their deadline requests are not committed
/// any more. People who waited in vain read that, and nothing of theirs was changed.
#[test]
fn deploys_beyond_githubs_limit_end_in_words_and_the_others_go_live() {
    const SOME: usize = 12;
    let mut limits = limits();
    limits["no_mutation"] = 8_000.into();
    room_with(Options { limits: Some(limits), ..Options::default() }, async |room| -> Result<()> {
        grow(room, SOME, |_| quick());
        {
            let mut github = room.github.lock();
            (github.writes_per_minute, github.minute) = (3, 20_000);
        }
        room.slack.lock().limits = Some(Limits { minute: 6_000, ..Limits::default() });
        let commits = room.commits();
        everybody_types(room, SOME).await;
        let all = all_over(room, SOME, &["is live", "Nothing was changed", "not deployed"]).await?;
        let live = all.iter().filter(|text| text.contains("is live")).count();
        // How many of the three commits a busy machine makes in time is its own affair.
        ensure!((1..=3).contains(&live), "{live} are live: {all:#?}");
        ensure!(room.commits() == commits + live, "{live} are live, by {} commits", room.commits() - commits);
        room.all_told().await
    });
}
