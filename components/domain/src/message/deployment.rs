//! The one message of a deployment, from its facts alone: what stays the same stands above what comes later.

use super::blocks::{Message, SMALL, SUMMARY, context, section};
use super::button::{self, Button};
use super::mrkdwn::code_escape;
use super::sentence;
use super::text::{LONG, SHORT, code, commits, cut, lasted, length, link, said, some, words};
use crate::deployment::{
    ChangesFact, End, Facts, Failure, LastWord, Reference, Rider, Riders, State, Waiting, WatchFact,
};
use crate::names::DeploymentId;
use crate::refusal::Refusal;
use crate::time::Timestamp;
use serde_json::Value;

/// What is only known for a moment and stands in no fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// Others write to the branch first.
    Queue {
        /// How many.
        ahead: u64,
    },
    /// The mutation had no answer: being found out.
    Settling,
}

/// The one message of a deployment up to its commit, or its `end`: slack-command's part. From the facts alone, and what is only
/// known for a moment.
pub fn before_commit(id: &DeploymentId, facts: &Facts, note: Option<&Note>) -> Message {
    let said = match &facts.end {
        Some(end) => ended(facts, &end.end),
        None => waiting_for_commit(note),
    };
    whole(facts, said, &button::before_commit(id, facts))
}

/// The same message from the commit on, or from an end by time: the watch's part.
pub fn after_commit(id: &DeploymentId, facts: &Facts) -> Message {
    whole(facts, status(facts), &button::after_commit(id, facts))
}

/// Calls the asker to a failure, in a thread below its message, because an edit notifies nobody.
pub fn call_asker(facts: &Facts) -> Option<Message> {
    let ended = match facts.state() {
        State::Failed => "failed",
        State::TimedOut => "timed out",
        State::Unknown => "ended in doubt",
        _ => return None,
    };
    let asker = &facts.request.as_ref()?.user;
    Some(called(&format!("<@{asker}> {} {ended} and needs you: see above.", title(facts))))
}

/// Calls those who have to agree to a deploy, in the same way.
pub fn call_approvers(facts: &Facts) -> Option<Message> {
    let request = facts.request.as_ref().filter(|_| !button::is_rejected(facts))?;
    let Refusal::NeedsApproval { users, groups, .. } = approval_wanted(facts)? else { return None };
    let groups = groups.iter().map(|group| format!("<!subteam^{group}>"));
    let users = users.iter().filter(|user| **user != request.user).map(|user| format!("<@{user}>"));
    let all: Vec<String> = groups.chain(users).take(10).collect();
    let title = title(facts);
    let text =
        format!("{} {title}, asked for by <@{}>, waits for your approval: see above.", all.join(" "), request.user);
    Some(called(text.trim_start()))
}

fn called(text: &str) -> Message {
    Message { text: cut(text, SUMMARY), blocks: Value::Array(vec![section(text)]) }
}

/// The refusal that waits for people to agree.
fn approval_wanted(facts: &Facts) -> Option<Refusal> {
    match &facts.end.as_ref()?.end {
        End::Refused { refusal } => refusal.read().filter(|refusal| matches!(refusal, Refusal::NeedsApproval { .. })),
        _ => None,
    }
}

/// What stays the same stands above what comes later, so that nothing jumps while people read.
fn whole(facts: &Facts, (mark, status): (&str, String), buttons: &[Button]) -> Message {
    let title = title(facts);
    let mut blocks = vec![section(&format!("{mark} *{title}*  {status}"))];
    blocks.extend(overridden(facts).map(|text| section(&text)));
    let details = details(facts);
    if !details.is_empty() {
        blocks.push(context(&details.join("  ·  ")));
    }
    blocks.extend(facts.changes.as_ref().map(new_in_it).filter(|text| !text.is_empty()).map(|text| context(&text)));
    blocks.extend(riders(facts).map(|text| context(&text)));
    blocks.extend(steps(facts).map(|text| context(&text)));
    blocks.extend(button::row(buttons));
    // Notifications have one line.
    let summary = format!("{title} – {status}").replace('\n', " ");
    Message { text: cut(&summary, SUMMARY), blocks: Value::Array(blocks) }
}

/// An emergency is said loudly.
fn overridden(facts: &Facts) -> Option<String> {
    let commit = facts.commit.as_ref()?;
    let (reason, request) = (commit.granted.overridden.as_ref()?, facts.request.as_ref()?);
    Some(format!(":rotating_light: *Gate overridden* by <@{}>{}.", request.user, said(reason)))
}

/// How far it is, with the time that each step took since it was asked for.
pub(super) fn steps(facts: &Facts) -> Option<String> {
    let (request, committed) = (facts.request.as_ref()?, facts.committed.as_ref()?);
    let watch = facts.watch.as_ref();
    let after = |at: Timestamp| lasted(at.since(request.at));
    let mut steps = vec![format!("✓ committed {}", after(committed.at))];
    steps.extend(facts.push.as_ref().map(|push| format!("✓ Argo CD told {}", after(push.at))));
    steps.extend(watch.and_then(|watch| watch.asked).map(|at| format!("✓ sync asked for {}", after(at))));
    let synced = watch.and_then(|watch| watch.progress.as_ref()).is_some_and(|progress| progress.synced);
    let ended = watch.and_then(|watch| watch.ended_seen).map(|at| format!(" {}", after(at)));
    steps.extend((synced || ended.is_some()).then(|| format!("✓ synced{}", ended.unwrap_or_default())));
    steps.extend(facts.outcome.as_ref().map(|outcome| {
        let how = match outcome.word {
            LastWord::Live { .. } => "✓ live",
            LastWord::Failed { .. } => "✗ failed",
            LastWord::Superseded { .. } => "✗ superseded",
            LastWord::TimedOut { .. } => "✗ timed out",
            LastWord::Unknown => "✗ given up",
        };
        format!("{how} {}", after(outcome.at))
    }));
    Some(steps.join("  ·  "))
}

/// What is new in the deployed version: up to ten commits, then a link.
pub(super) fn new_in_it(changes: &ChangesFact) -> String {
    let compare = changes.url.as_ref().map(|url| link(url, "compare")).filter(|link| link.starts_with('<'));
    let compare = compare.map(|link| format!("  {link}")).unwrap_or_default();
    let since = code(&changes.since);
    let mut text = match (changes.ahead, changes.behind) {
        (0, 0) => return String::new(),
        (0, behind) => return format!("Goes back {} from {since}.{compare}", commits(behind)),
        (ahead, 0) => format!("{} new since {since}.{compare}", commits(ahead)),
        (ahead, behind) => {
            format!("{} new since {since}, and {} of it left out.{compare}", commits(ahead), commits(behind))
        }
    };
    let mut shown = 0_u32;
    for change in changes.commits.iter().take(10) {
        let who = change.login.as_ref().map(|login| format!(" – {}", words(login.as_str(), SHORT))).unwrap_or_default();
        let line = format!("\n• {} {}{who}", code(change.sha.short()), words(&change.headline, SHORT));
        if length(&text).saturating_add(length(&line)) > SMALL.saturating_sub(50) {
            break;
        }
        text.push_str(&line);
        shown = shown.saturating_add(1);
    }
    let more = changes.ahead.saturating_sub(shown);
    if more > 0 && shown > 0 {
        text.push_str(&format!("\n… and {more} more."));
    }
    text
}

/// `checkout #42`.
fn title(facts: &Facts) -> String {
    match (&facts.commit, &facts.request) {
        (Some(commit), _) => {
            let reference = match &commit.target().source.reference {
                _ if commit.target().rollback => format!("rollback to {}", code(commit.target().tag.as_str())),
                Reference::PullRequest(number) => number.to_string(),
                Reference::Branch(branch) => words(branch.as_str(), SHORT),
            };
            format!("{} {reference}", commit.target().target)
        }
        (None, Some(request)) => words(&request.words.to_string(), SHORT),
        (None, None) => "deployment".to_owned(),
    }
}

fn waiting_for_commit(note: Option<&Note>) -> (&'static str, String) {
    let text = match note {
        Some(Note::Queue { ahead: 1 }) => {
            "waiting for its turn: one other deploy writes to the GitOps branch first.".to_owned()
        }
        Some(Note::Queue { ahead }) => {
            format!("waiting for its turn: {ahead} other deploys write to the GitOps branch first.")
        }
        Some(Note::Settling) => {
            "I do not know yet whether my commit landed: GitHub did not answer. I am finding out.".to_owned()
        }
        None => "accepted.".to_owned(),
    };
    (":hourglass_flowing_sand:", text)
}

fn ended(facts: &Facts, end: &End) -> (&'static str, String) {
    match end {
        End::Refused { refusal } => match refusal.read() {
            Some(refusal @ Refusal::NeedsApproval { .. }) => approvals(facts, &refusal),
            Some(refusal) => (":no_entry:", sentence::refusal(&refusal)),
            None => (":no_entry:", "not deployed. Nothing was changed. Type the command again to see why.".to_owned()),
        },
        End::Failed { fault } => (":x:", sentence::fault(fault)),
        End::Cancelled { by: Some(by) } => (":no_entry:", format!("cancelled by <@{by}>. Nothing was changed.")),
        End::Cancelled { by: None } => {
            (":no_entry:", "not accepted. Nothing was changed. Please try again.".to_owned())
        }
    }
}

/// Who agreed so far.
fn approvals(facts: &Facts, refusal: &Refusal) -> (&'static str, String) {
    let needs = sentence::refusal(refusal);
    let approvals = facts.approvals.clone().unwrap_or_default();
    if let Some(rejected) = approvals.rejected {
        return (":no_entry:", format!("rejected by <@{}>. Nothing was changed.", rejected.user));
    }
    let given: Vec<String> = approvals.given.iter().map(|approval| format!("<@{}>", approval.user)).collect();
    let given = if given.is_empty() { String::new() } else { format!(" Approved by {} so far.", some(&given, "and")) };
    (":raised_hand:", format!("{needs}{given}"))
}

fn status(facts: &Facts) -> (&'static str, String) {
    let watch = facts.watch.as_ref();
    if let Some(outcome) = &facts.outcome {
        return last_word(facts, &outcome.word);
    }
    let Some(committed) = &facts.committed else { return waiting_for_commit(None) };
    let sha = code(committed.sha.short());
    if watch.is_some_and(|watch| watch.asked.is_some() || watch.taken) {
        return (":arrows_counterclockwise:", with_waiting(syncing(&sha, watch), watch));
    }
    let text = if committed.reused {
        format!("the values file has this tag already, by my commit {sha}. I sync that one.")
    } else {
        format!("committed {sha}.")
    };
    (":hourglass_flowing_sand:", with_waiting(text, watch))
}

/// How far the sync is.
fn syncing(sha: &str, watch: Option<&WatchFact>) -> String {
    let Some(progress) = watch.and_then(|watch| watch.progress.as_ref()) else { return format!("syncing {sha}.") };
    if progress.synced && progress.health.is_empty() {
        return format!("synced {sha}; Argo CD is looking at its health.");
    }
    if progress.synced {
        return format!("synced {sha}; its health is {}.", words(&progress.health.to_lowercase(), SHORT));
    }
    let mut parts = Vec::new();
    parts.extend(progress.resources.map(|(done, all)| format!("{done} of {all} resources")));
    parts.extend(
        Some(words(&progress.message, LONG).trim_end_matches('.').to_owned()).filter(|message| !message.is_empty()),
    );
    parts.extend(Some(progress.retry).filter(|retry| *retry > 0).map(|retry| format!("retry {retry}")));
    if parts.is_empty() {
        return format!("syncing {sha}.");
    }
    format!("syncing {sha}: {}.", parts.join(", "))
}

fn with_waiting(text: String, watch: Option<&WatchFact>) -> String {
    let mut text = text;
    text.push_str(&match watch.and_then(|watch| watch.waiting.as_ref()) {
        Some(Waiting::ArgoCd { fault }) => format!(" I keep trying: {}.", sentence::cause(fault.system, &fault.cause)),
        Some(waiting) => format!(" Waiting{}.", waiting_for(waiting)),
        None => String::new(),
    });
    if watch.is_some_and(|watch| watch.automated) {
        text.push_str(" Auto-sync is on for this application, although it should be off: I only watch.");
    }
    text
}

/// The end of a sentence.
fn waiting_for(waiting: &Waiting) -> String {
    match waiting {
        Waiting::OtherOperation { by: Some(by) } if !by.is_empty() => {
            format!(" for another operation in Argo CD, started by {}", words(by, SHORT))
        }
        Waiting::OtherOperation { .. } => " for another operation in Argo CD".to_owned(),
        Waiting::SyncWindow => " for a sync window in Argo CD to open".to_owned(),
        Waiting::ArgoCd { fault } => format!(": {}", sentence::cause(fault.system, &fault.cause)),
    }
}

/// What every last word after the commit says: what is different now. `asked`: Argo CD may have begun.
fn changed(facts: &Facts, asked: bool) -> String {
    let sha =
        facts.committed.as_ref().map(|committed| format!(" ({})", code(committed.sha.short()))).unwrap_or_default();
    let synced = facts.watch.as_ref().and_then(|watch| watch.progress.as_ref()).is_some_and(|progress| progress.synced);
    let cluster = match (synced, asked) {
        (true, _) => "so is the cluster",
        (false, true) => "the cluster may be too, in part",
        (false, false) => "the cluster is not",
    };
    format!("The values file is changed{sha}; {cluster}.")
}

fn last_word(facts: &Facts, word: &LastWord) -> (&'static str, String) {
    // An ask without an answer may have been taken.
    let asked = facts.watch.as_ref().is_some_and(|watch| watch.taken || watch.asked.is_some() || watch.automated);
    match word {
        LastWord::Live { paused, urls } => {
            let tag = facts.commit.as_ref().map(|commit| code(commit.target().tag.as_str())).unwrap_or_default();
            let page = urls.first().map(|url| link(url, "Open it")).filter(|link| link.starts_with('<'));
            let page = page.map(|link| format!(" {link}")).unwrap_or_default();
            if *paused {
                (":double_vertical_bar:", format!("is live, but paused: {tag}. Argo CD says Suspended, so some of it may not run the new version yet.{page}"))
            } else {
                (":white_check_mark:", format!("is live: {tag}.{page}{}", lock_of_rollback(facts)))
            }
        }
        LastWord::Failed { failure } => (":x:", failed(facts, failure, &changed(facts, asked))),
        LastWord::Superseded { by_deployment: Some(_), .. } => {
            (":fast_forward:", format!("superseded by a newer deploy. {}", changed(facts, asked)))
        }
        LastWord::Superseded { by_deployment: None, by_person } => {
            let who = by_person.as_deref().filter(|who| !who.is_empty()).map_or("somebody".to_owned(), |who| words(who, SHORT));
            let changed = changed(facts, asked);
            let text = format!("superseded: {who} synced something else in Argo CD. {changed} Look there before you deploy again.");
            (":fast_forward:", text)
        }
        LastWord::TimedOut { waiting, health } => {
            let why = match (waiting, health) {
                (Some(waiting @ Waiting::ArgoCd { .. }), _) => waiting_for(waiting),
                (Some(waiting), _) => format!(" waiting{}", waiting_for(waiting)),
                (None, Some(health)) if !health.is_empty() => {
                    format!(": its health is still {}", words(&health.to_lowercase(), SHORT))
                }
                _ => match facts.watch.as_ref().and_then(|watch| watch.progress.as_ref()) {
                    Some(progress) if !progress.synced => format!(": its sync is not through{}", said(&progress.message)),
                    _ => String::new(),
                },
            };
            let changed = changed(facts, asked);
            let text = format!("timed out{why}. {changed} Argo CD shows what holds it up. Try again to go on.");
            (":alarm_clock:", text)
        }
        LastWord::Unknown => (
            ":grey_question:",
            "I do not know whether my commit landed: GitHub did not say in time. Try again: if it landed, I go on with it."
                .to_owned(),
        ),
    }
}

/// A rollback locks its target.
fn lock_of_rollback(facts: &Facts) -> String {
    match &facts.commit {
        Some(commit) if commit.target().rollback => format!(
            " {} is locked now, so that nobody brings the broken version back by accident. When it is mended: `/deploy unlock {}`.",
            commit.target().target,
            commit.target().target
        ),
        _ => String::new(),
    }
}

fn failed(facts: &Facts, failure: &Failure, changed: &str) -> String {
    match failure {
        Failure::Sync { message, resources } => {
            format!("the sync failed{}. {changed} Fix what failed, then try again.{}", said(message), list(resources))
        }
        Failure::Degraded { message, resources } => format!(
            "is synced, but degraded{}. The cluster runs the new version: fix it, or roll back.{}",
            said(message),
            list(resources)
        ),
        Failure::OtherImage { wanted, runs } => {
            let runs = match runs.as_slice() {
                [] => "Argo CD names no image of it".to_owned(),
                runs => format!("it runs {}", runs.iter().map(|image| code(image)).collect::<Vec<_>>().join(", ")),
            };
            let sha = facts
                .committed
                .as_ref()
                .map(|committed| format!(" ({})", code(committed.sha.short())))
                .unwrap_or_default();
            format!(
                "is synced and healthy, but does not run `{}`: {runs}. The values file is changed{sha}. Check `tag_at` of this app in the catalog.",
                code_escape(wanted, LONG),
            )
        }
        Failure::NoRight { said: why } => format!(
            "Argo CD does not allow it{}. {changed} Whoever runs Argo CD has to give my account `get` and `sync` on this application.",
            said(why)
        ),
        Failure::NoApplication => format!(
            "Argo CD has no such application. {changed} Check `argocd` of this app in the catalog, or create the application."
        ),
        Failure::Deleting => {
            format!("Argo CD is deleting the application. {changed} Try again when there is a new one.")
        }
        Failure::NoSource => format!(
            "none of the application's sources follows the GitOps branch, so I cannot sync my commit. {changed} Check the application's `repoURL` and `targetRevision`."
        ),
        Failure::Refused { said: why } => {
            format!("Argo CD refused the sync{}. {changed} Fix that, then try again.", said(why))
        }
        Failure::BranchRewritten => format!(
            "the GitOps branch was rewritten after my commit{}, which may be gone from it, so I did not ask for a sync. Check the branch, then try again.",
            facts.committed.as_ref().map(|committed| format!(" {}", code(committed.sha.short()))).unwrap_or_default()
        ),
        Failure::NothingDone => "I did not get to it in time. Nothing was changed. Please try again.".to_owned(),
        Failure::Fault { fault } => {
            format!("{} {changed} {}", sentence::could_not(fault), sentence::todo(&fault.cause))
        }
    }
}

fn list(resources: &[String]) -> String {
    resources.iter().map(|resource| format!("\n• {}", words(resource, LONG))).collect()
}

/// Who asked, what changes, where to look.
fn details(facts: &Facts) -> Vec<String> {
    let mut parts = Vec::new();
    parts.extend(facts.request.as_ref().map(|request| format!("asked by <@{}>", request.user)));
    if let Some(commit) = &facts.commit {
        let plan = commit.target();
        parts.push(match &plan.before {
            Some(before) if before != plan.tag.as_str() => format!("{} → {}", code(before), code(plan.tag.as_str())),
            _ => code(plan.tag.as_str()),
        });
        parts.extend(commit.target().taken.as_ref().map(|taken| {
            let by = taken.by.as_ref().map_or("somebody".to_owned(), |by| words(by.as_str(), SHORT));
            format!("written by {by} in {}", code(taken.wrote.short()))
        }));
        parts.extend(commit.granted.approved_by.first().map(|_| {
            let by: Vec<String> = commit.granted.approved_by.iter().map(|by| format!("<@{by}>")).collect();
            format!("approved by {}", some(&by, "and"))
        }));
        let title = words(&commit.target().source.title, SHORT);
        parts.extend(match &commit.target().source.url {
            Some(url) if !title.is_empty() => Some(link(url, &title)),
            _ => Some(title).filter(|title| !title.is_empty()),
        });
        if let Some(committed) = &facts.committed {
            let url = format!("{}/commit/{}", commit.plan.gitops.url, committed.sha);
            parts.push(link(&url, &format!("commit {}", committed.sha.short())));
        }
    }
    parts
}

/// Whose commits ride along: said before the sync, and true after it. Nothing does where there is no commit to ride with.
fn riders(facts: &Facts) -> Option<String> {
    let commit = facts.commit.as_ref().filter(|_| facts.end.is_none() || facts.watch_speaks())?;
    match &commit.target().riders {
        Riders::FirstDeploy => {
            Some("My first deploy of this app: whatever else is in its folder goes live with it.".to_owned())
        }
        Riders::Since { commits, more } => {
            let last: Vec<&Rider> = commits.iter().take(3).collect();
            let count = u32::try_from(commits.len()).unwrap_or(u32::MAX);
            if count == 0 {
                return None;
            }
            let mut who: Vec<&str> = Vec::new();
            for rider in commits {
                if !who.contains(&rider.who.as_str()) {
                    who.push(&rider.who);
                }
            }
            let who: Vec<String> = who.iter().map(|who| words(who, 40)).collect();
            let who = some(&who, "and");
            let lines: Vec<String> = last
                .iter()
                .map(|rider| format!("{} {}", code(rider.sha.short()), words(&rider.headline, SHORT)))
                .collect();
            let at_least = if *more { "at least " } else { "" };
            let count = super::text::commits(count);
            Some(format!("Rides along: {at_least}{count} by {who} since the live version: {}", lines.join("; ")))
        }
    }
}
