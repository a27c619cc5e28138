//! The one message of a deployment, from its facts alone: what stays the same is above what comes later.

use super::blocks::{Message, SMALL, SUMMARY, context, section};
use super::button::{self, Button};
use super::outcome::last_word;
use super::progress::{each, syncing, with_waiting};
use super::text::{LONG, SHORT, code, counted, cut, lasted, length, link, moment, people, said, some, words};
use super::{remarks, sentence, waits};
use crate::command::DeployWords;
use crate::deployment::{
    ApplicationWatch, COMMITS_READ, ChangesFact, End, Facts, LastWord, Place, Reference, RequestFact, Rider, Riders,
    Source, State, TargetPlan, WaitFact, WaitOver,
};
use crate::fault::Fault;
use crate::names::{DeploymentId, SlackUser, Target};
use crate::refusal::Refusal;
use crate::time::Timestamp;
use serde_json::Value;
use std::time::Duration;

/// The first words in the channel. They stay true if nothing can follow them.
const STARTING: &str = "starting.";

/// How long an asker looks at the message.
const ASKER_LOOKS: Duration = Duration::from_secs(60);

/// What is only known for a moment and is in no fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// All gates are passed.
    Committing,
    /// Others write to the branch first.
    Queue { ahead: u64 },
    /// Another target has the turn in the same Argo CD application; `link`: to the message of its deploy.
    Application { other: Target, link: Option<String> },
    /// Other deploys of the same target go first. `by` and `link`: whose it is now, and to its message.
    Target { ahead: u64, by: Option<SlackUser>, link: Option<String> },
    /// The mutation had no answer: being found out.
    Settling,
    /// Another system wants a pause, and then is asked again.
    Pause { fault: Fault, wait: Duration },
}

/// The one message of a deployment up to its commit, or its `end`: slack-command's part.
pub(super) fn before_commit(id: &DeploymentId, facts: &Facts, note: Option<&Note>) -> Message {
    whole((id, facts, note), up_to_commit(facts, note), &button::before_commit(id, facts))
}

pub(super) fn up_to_commit(facts: &Facts, note: Option<&Note>) -> (&'static str, String) {
    match &facts.end {
        Some(end) => ended(facts, &end.end),
        None => waiting_for_commit(facts, note),
    }
}

/// The same message from the commit on, or from an end by time: the watch's part.
pub fn after_commit(id: &DeploymentId, facts: &Facts) -> Message {
    whole((id, facts, None), status(facts), &button::after_commit(id, facts))
}

/// Calls the asker to a failure, and to a success that took long, in a thread below its message, because an edit notifies
/// nobody.
pub fn call_asker(facts: &Facts) -> Option<Message> {
    let asker = &facts.request.as_ref()?.user;
    Some(called(facts, &format!("<@{asker}> {} {}: see above.", title(facts), how_it_ended(facts)?)))
}

/// The same to the asker directly, with the way to the message.
pub fn tell_asker(facts: &Facts) -> Option<Message> {
    let there = facts.link().map(|url| format!(" {}", link(&url, "See it."))).unwrap_or_default();
    Some(called(facts, &format!("*{}* {}.{there}", title(facts), how_it_ended(facts)?)))
}

/// What the asker should know of: a failure, and a success that took long.
fn how_it_ended(facts: &Facts) -> Option<&'static str> {
    let lasted = || facts.outcome.as_ref()?.at.since(facts.request.as_ref()?.at).checked_sub(ASKER_LOOKS);
    match facts.state() {
        // Nobody looks at what nobody asked for.
        State::Refused if facts.is_unasked() => Some("was refused"),
        State::Live if facts.is_unasked() || lasted().is_some() => Some("is live"),
        State::Failed => Some("failed"),
        State::TimedOut => Some("timed out"),
        State::Unknown => Some("may not have gone through"),
        _ => None,
    }
}

/// Leads people to the message of the deployment, which stands in another channel.
pub fn stands_elsewhere(request: &RequestFact, place: &Place, url: Option<&str>) -> Message {
    let what = words(&request.words.to_string(), SHORT);
    let there = url.map(|url| format!(" {}", link(url, "See it there."))).unwrap_or_default();
    let facts = Facts { request: Some(request.clone()), ..Facts::default() };
    called(&facts, &format!("*{what}* is in <#{}>.{there}", place.channel))
}

/// Calls those who have to agree to a deploy, in the same way.
pub fn call_approvers(facts: &Facts) -> Option<Message> {
    let request = facts.request.as_ref().filter(|_| !button::is_rejected(facts))?;
    let refused = facts.refused()?;
    let asks = refused.asks_approval();
    if asks.is_empty() {
        return None;
    }
    let (mut groups_of_all, mut users_of_all) = (Vec::new(), Vec::new());
    for asks in asks {
        let Refusal::NeedsApproval { users, groups, .. } = asks else { continue };
        groups_of_all.extend(groups.iter().map(|group| format!("<!subteam^{group}>")));
        users_of_all.extend(users.iter().filter(|user| **user != request.user).map(|user| format!("<@{user}>")));
    }
    let mut all: Vec<String> = Vec::new();
    for one in groups_of_all.into_iter().chain(users_of_all) {
        if all.len() < 10 && !all.contains(&one) {
            all.push(one);
        }
    }
    let title = title(facts);
    let text = format!("{} please approve {title} for <@{}>: see above.", all.join(" "), request.user);
    Some(called(facts, text.trim_start()))
}

fn called(facts: &Facts, text: &str) -> Message {
    Message { text: cut(text, SUMMARY), blocks: Value::Array(vec![section(text)]) }.worded(&facts.into())
}

/// What stays the same is above what comes later, so that nothing jumps while people read.
fn whole(
    (id, facts, note): (&DeploymentId, &Facts, Option<&Note>),
    (mark, status): (&str, String),
    buttons: &[Button],
) -> Message {
    let title = title(facts);
    let mut blocks = vec![section(&format!("{mark} *{title}*  {status}"))];
    blocks.extend(overridden(facts).map(|text| section(&text)));
    blocks.extend(passed_over(facts).map(|text| section(&text)));
    let details = details(facts);
    if !details.is_empty() {
        blocks.push(context(&details.join("  ·  ")));
    }
    blocks.extend(facts.changes.as_ref().map(new_in_it).filter(|text| !text.is_empty()).map(|text| context(&text)));
    blocks.extend(riders_of(facts).map(|text| context(&text)));
    blocks.extend(each(facts).map(|text| context(&text)));
    blocks.extend(remarks::lines(facts).iter().map(|text| context(text)));
    blocks.extend(steps(facts).map(|text| context(&text)));
    blocks.extend(waits::waits(facts, note).map(|text| context(&text)));
    blocks.push(context(&format!("id {}", id.short())));
    blocks.extend(button::row(buttons));
    // Notifications have one line.
    let summary = format!("{title} – {status}").replace('\n', " ");
    Message { text: cut(&summary, SUMMARY), blocks: Value::Array(blocks) }.worded(&facts.into())
}

/// Everybody in the channel sees that somebody overrode a gate.
fn overridden(facts: &Facts) -> Option<String> {
    let commit = facts.commit.as_ref()?;
    let (reason, request) = (commit.granted.overridden.as_ref()?, facts.request.as_ref()?);
    Some(format!(":rotating_light: *Override* by <@{}>{}.", request.user, said(reason)))
}

/// Everybody reads what did not hold up a rollback. Whose lock it was is called to the message by it.
fn passed_over(facts: &Facts) -> Option<String> {
    let granted = &facts.commit.as_ref()?.granted;
    let mut what: Vec<String> = granted.passed_over.iter().map(code).collect();
    let lock =
        |(by, reason): &(SlackUser, String)| format!("the lock by <@{by}>{}", said(reason).trim_end_matches('.'));
    what.extend(granted.lock_of.as_ref().map(lock));
    (!what.is_empty()).then(|| {
        format!(":rotating_light: This version ran here before, so it isn't held up by {}.", some(&what, "and"))
    })
}

/// How far it is, with the time that each step took since it was asked for.
pub(super) fn steps(facts: &Facts) -> Option<String> {
    let (request, committed) = (facts.request.as_ref()?, facts.committed.as_ref()?);
    let applications: Vec<_> = facts.applications().into_iter().map(|(_, watch)| watch).collect();
    let after = |at: Timestamp| lasted(at.since(request.at));
    let mut steps = vec![format!("✓ committed {}", after(committed.at))];
    steps.extend(facts.push.as_ref().map(|push| format!("✓ Argo CD notified {}", after(push.at))));
    let asked = applications.iter().filter_map(|watch| watch.asked).min();
    steps.extend(asked.map(|at| format!("✓ sync requested {}", after(at))));
    let synced = facts.is_synced();
    let ended: Option<Vec<Timestamp>> = applications.iter().map(|watch| watch.ended_seen).collect();
    let ended = ended.and_then(|all| all.into_iter().max()).map(|at| format!(" {}", after(at)));
    steps.extend((synced || ended.is_some()).then(|| format!("✓ synced{}", ended.unwrap_or_default())));
    steps.extend(facts.outcome.as_ref().map(|outcome| {
        let how = match outcome.word {
            LastWord::Live { .. } => "✓ live",
            LastWord::Failed { .. } => "✗ failed",
            LastWord::Superseded { .. } => "✗ stopped",
            LastWord::TimedOut { .. } => "✗ timed out",
            LastWord::Unknown | LastWord::Lost { .. } => "✗ given up",
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
    let (new, lost) = (counted(changes.ahead, "new commit"), counted(changes.behind, "commit"));
    let text = match (changes.ahead, changes.behind) {
        (0, 0) => return String::new(),
        (0, _) => return format!("Goes back {lost} from {since}.{compare}"),
        (_, 0) => format!("{new} since {since}.{compare}"),
        _ => format!("{new} since {since}, but without {lost} of it.{compare}"),
    };
    with_commits(text, changes)
}

/// The newest of the commits below a text.
pub(super) fn with_commits(mut text: String, changes: &ChangesFact) -> String {
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

/// `checkout #42`, and the reason of an override, which everybody sees from the first word on.
pub(super) fn title(facts: &Facts) -> String {
    let what = what(facts);
    let wish = facts.request.as_ref().map(|request| wants_override(&request.words)).unwrap_or_default();
    format!("{what}{wish}")
}

/// `, override: <reason>`, if one was typed. Whether it passes anything is seen later.
pub(super) fn wants_override(words: &DeployWords) -> String {
    words.override_reason.as_ref().map(|reason| format!(", override{}", said(reason))).unwrap_or_default()
}

fn what(facts: &Facts) -> String {
    match (&facts.commit, &facts.request) {
        (Some(commit), _) if commit.plan.targets.rest().is_empty() => {
            let plan = commit.target();
            let reference = match &plan.source.reference {
                _ if plan.rollback => format!("rollback to {}", code(&plan.tag)),
                Reference::PullRequest(number) => number.to_string(),
                other => words(&other.to_string(), SHORT),
            };
            let from = plan.promoted_from.as_ref().map(|from| format!(" from {from}")).unwrap_or_default();
            format!("{} {reference}{from}", plan.target)
        }
        (_, Some(request)) => words(&request.words.to_string(), SHORT),
        (_, None) => "deployment".to_owned(),
    }
}

fn waiting_for_commit(facts: &Facts, note: Option<&Note>) -> (&'static str, String) {
    let text = match note {
        Some(Note::Queue { ahead: 1 }) => "waiting for its turn: one other deploy is ahead.".to_owned(),
        Some(Note::Queue { ahead }) => format!("waiting for its turn: {ahead} other deploys are ahead."),
        Some(Note::Application { other, link: url }) => {
            let seen = url.as_ref().map(|url| format!(" ({})", link(url, "see it"))).unwrap_or_default();
            format!("waiting for the deploy of {other} in the same Argo CD application{seen}.")
        }
        Some(Note::Target { ahead, by, link: url }) => {
            let by = by.as_ref().map_or("another deploy".to_owned(), |by| format!("the deploy by <@{by}>"));
            let seen = url.as_ref().map(|url| format!(" ({})", link(url, "see it"))).unwrap_or_default();
            let more = match ahead {
                0 => String::new(),
                ahead => {
                    format!(", and {} after it", counted(u32::try_from(*ahead).unwrap_or(u32::MAX), "more deploy"))
                }
            };
            format!("waiting for {by}{seen}{more}. Then it goes on by itself, if that deploy goes live.")
        }
        Some(Note::Settling) => "GitHub didn't confirm my commit. I'm finding out whether it went through.".to_owned(),
        Some(Note::Pause { fault, wait }) => {
            let cause = sentence::cause(fault.system, &fault.cause);
            format!("I'm waiting {} before I try again to {}: {cause}.", lasted(*wait), words(&fault.doing, LONG))
        }
        Some(Note::Committing) => STARTING.to_owned(),
        None if facts.commit.is_some() => STARTING.to_owned(),
        None => "checking whether it can be deployed. That takes longer than usual.".to_owned(),
    };
    (":hourglass_flowing_sand:", text)
}

fn ended(facts: &Facts, end: &End) -> (&'static str, String) {
    if let Some((wait, End::Refused { refusal, .. })) = facts.wait.as_ref().map(|wait| (wait, end)) {
        return waits(wait, refusal.read().as_ref());
    }
    match end {
        End::Refused { refusal, .. } => match refusal.read() {
            Some(refusal) if !refusal.asks_approval().is_empty() => approvals(facts, &refusal),
            Some(refusal) => (":no_entry:", sentence::refusal(&refusal)),
            None => (":no_entry:", "not deployed. Type the command again to see why.".to_owned()),
        },
        End::Failed { fault } => (":x:", sentence::fault(fault)),
        End::Cancelled { by: Some(by) } => (":no_entry:", format!("cancelled by <@{by}>. Nothing was changed.")),
        End::Cancelled { by: None } => {
            (":no_entry:", "not accepted. Nothing was changed. Please try again.".to_owned())
        }
    }
}

/// What a deployment waits for, or why it does no more.
fn waits(wait: &WaitFact, refusal: Option<&Refusal>) -> (&'static str, String) {
    let problem = refusal.map(sentence::problem).unwrap_or_default();
    match &wait.over {
        None | Some(WaitOver::WentOn { .. }) => {
            let commit = wait.head.as_ref().map(|head| format!(", commit {}", code(head.short()))).unwrap_or_default();
            let until = moment(wait.until);
            (
                ":hourglass_flowing_sand:",
                format!("waiting: {problem} I deploy it when that has passed{commit}. I wait until {until}."),
            )
        }
        Some(WaitOver::Late) => (":no_entry:", format!("not deployed: I waited long enough. {problem}")),
        Some(WaitOver::Ended { by }) => (":no_entry:", format!("<@{by}> ended the wait, so it isn't deployed.")),
        Some(WaitOver::Refused { refusal }) => match refusal.read() {
            Some(refusal) => (":no_entry:", sentence::refusal(&refusal)),
            None => (":no_entry:", "not deployed. Type the command again to see why.".to_owned()),
        },
    }
}

fn approvals(facts: &Facts, refusal: &Refusal) -> (&'static str, String) {
    let needs = sentence::refusal(refusal);
    let approvals = facts.approvals.clone().unwrap_or_default();
    if let Some(rejected) = approvals.rejected {
        return (":no_entry:", format!("rejected by <@{}>, so it isn't deployed.", rejected.user));
    }
    let given = match people(approvals.given.iter().map(|approval| &approval.user)).as_str() {
        "" => String::new(),
        given => format!(" Approved by {given} so far."),
    };
    (":raised_hand:", format!("{needs}{given}"))
}

pub(super) fn status(facts: &Facts) -> (&'static str, String) {
    if let Some(outcome) = &facts.outcome {
        return last_word(facts, outcome);
    }
    let Some(committed) = &facts.committed else { return waiting_for_commit(facts, None) };
    let sha = code(committed.sha.short());
    let applications = facts.applications();
    let several = applications.len() > 1;
    // Of several, each has a line of its own.
    let watch = if several { ApplicationWatch::default() } else { facts.said_at() };
    if facts.has_begun() && several {
        let live = applications.iter().filter(|(_, watch)| watch.over.is_some()).count();
        let text = format!("rolling out {sha}: live in {live} of {} Argo CD applications.", applications.len());
        return (":arrows_counterclockwise:", text);
    }
    if facts.has_begun() {
        return (":arrows_counterclockwise:", with_waiting(syncing(&sha, &watch), &watch));
    }
    let text = if committed.reused {
        format!("this version is already in Git (my commit {sha}), so I'm rolling that out.")
    } else {
        format!("committed {sha}.")
    };
    (":hourglass_flowing_sand:", with_waiting(text, &watch))
}

/// Who asked, what changes, where to look.
fn details(facts: &Facts) -> Vec<String> {
    let mut parts = Vec::new();
    parts.extend(facts.request.as_ref().map(asked_by));
    if let Some(plan) = facts.plan() {
        parts.push(match &plan.before {
            Some(before) if before != plan.tag.as_str() => format!("{} → {}", code(before), code(&plan.tag)),
            _ => code(&plan.tag),
        });
        parts.extend(plan.digest.as_ref().map(|digest| code(digest.short())));
        parts.extend(plan.taken.as_ref().map(|taken| {
            let by = taken.by.as_ref().map_or("somebody".to_owned(), |by| words(by.as_str(), SHORT));
            format!("put into Git by {by} in {}", code(taken.wrote.short()))
        }));
        parts.extend(facts.commit.as_ref().and_then(|commit| approved_by(&commit.granted.approved_by)));
        parts.extend(source_title(&plan.source));
        parts.extend(not_newest(&plan.source));
        if let Some((commit, committed)) = facts.commit.as_ref().zip(facts.committed.as_ref()) {
            let url = format!("{}/commit/{}", commit.plan.gitops.url, committed.sha);
            parts.push(link(&url, &format!("commit {}", committed.sha.short())));
        }
        // Of several applications, each has a line of its own.
        if let (Some(commit), true) = (&facts.commit, plan.applications.rest().is_empty()) {
            parts.extend(commit.plan.page(plan.applications.first()).map(|url| link(&url, "Argo CD")));
        }
    }
    parts
}

/// Who asked, or whose deploy is taken back without that.
fn asked_by(request: &RequestFact) -> String {
    match request.origin.by_itself() {
        Some(_) => format!("rolled back by itself (`auto_rollback`) after the deploy by <@{}>", request.user),
        None => format!("asked by <@{}>", request.user),
    }
}

pub(super) fn approved_by(all: &[SlackUser]) -> Option<String> {
    let by = people(all.iter());
    (!by.is_empty()).then(|| format!("approved by {by}"))
}

/// The title of the pull request, or the first line of the commit, with a link to the page.
pub(super) fn source_title(source: &Source) -> Option<String> {
    let title = Some(words(&source.title, SHORT)).filter(|title| !title.is_empty())?;
    Some(source.url.as_ref().map_or_else(|| title.clone(), |url| link(url, &title)))
}

/// That the image is of an older commit, and why that is as good.
pub(super) fn not_newest(source: &Source) -> Option<String> {
    let tip = source.tip.as_ref()?;
    Some(format!("the newest commit, {}, changes none of its `paths`", code(tip.short())))
}

/// Other people's commits that go live with this one: shown before the sync, and true after it.
fn riders_of(facts: &Facts) -> Option<String> {
    let is_open = facts.end.is_none() || facts.watch_speaks() || facts.waits_for_approval();
    riders(facts.plan().filter(|_| is_open)?)
}

pub(super) fn riders(plan: &TargetPlan) -> Option<String> {
    match &plan.riders {
        Riders::FirstDeploy => Some(first_deploy(&plan.target, "goes")),
        Riders::Since { commits, more } => {
            let line = |rider: &Rider| format!("{} {}", code(rider.sha.short()), words(&rider.headline, SHORT));
            let lines: Vec<String> = commits.iter().take(3).map(line).collect();
            match whose(commits, *more) {
                Some(whose) => Some(format!("Also goes live: {whose}: {}{}", lines.join("; "), elsewhere(plan))),
                None if *more => Some(uncounted("go")),
                None => Some(elsewhere(plan).trim_start().to_owned()).filter(|text| !text.is_empty()),
            }
        }
    }
}

/// Files elsewhere that are not as they were, if everything counts.
pub(super) fn elsewhere(plan: &TargetPlan) -> String {
    let paths: Vec<String> = plan.elsewhere.iter().take(5).map(|(path, _)| code(path)).collect();
    match paths.is_empty() {
        true => String::new(),
        false => format!(" Not as at the live version, either: {}.", some(&paths, "and")),
    }
}

/// How many commits ride along, if any, and who made them.
pub(super) fn whose(riders: &[Rider], more: bool) -> Option<String> {
    let mut who: Vec<String> = Vec::new();
    for rider in riders {
        let one = words(&rider.who, 40);
        if !who.contains(&one) {
            who.push(one);
        }
    }
    let at_least = if more { "at least " } else { "" };
    let count = counted(u32::try_from(riders.len()).unwrap_or(u32::MAX), "commit");
    (!riders.is_empty()).then(|| format!("{at_least}{count} by {}", some(&who, "and")))
}

/// None of the commits that were read is somebody else's, and there are more.
pub(super) fn uncounted(go: &str) -> String {
    format!(
        ":warning: There may be changes of other people that {go} live too: the live version is older than the {COMMITS_READ} newest commits there, and I read no more."
    )
}

/// Nobody knows what changed before the bot's first deploy of a target.
pub(super) fn first_deploy(target: &Target, goes: &str) -> String {
    format!(
        ":warning: First deploy of *{target}* through me. I can't tell what else changed since it was last deployed: everything in its folder in Git {goes} live too."
    )
}
