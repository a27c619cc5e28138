//! Answers to the command itself, to questions and to buttons, for the asker alone; and what the channel
//! reads about locks.

use super::blocks::{Message, SECTION, SUMMARY, section};
use super::button::{self, Button};
use super::deployment::{approved_by, wants_override};
use super::sentence;
use super::text::{SHORT, code, cut, escape, length, link, moment, said, typed, words};
use crate::catalog::{Catalog, Closed, Frozen, OutOfService};
use crate::command::{DeployWords, Scope, Verb, What};
use crate::deployment::{End, Facts, GitOpsBranch, State};
use crate::lock::{LockAction, LockChange, TargetLock};
use crate::names::{ArgoApplication, DeploymentId, SlackUser, Target};
use crate::seen::Seen;
use serde_json::Value;

/// At most this many characters of a page are shown: Slack finds longer messages too long, and nobody
/// reads them.
const PAGE: usize = 11_000;

/// Lines in as few sections as hold them, as far as a page goes; then `last`. The first line is also the
/// message's text.
pub(super) fn page(lines: &[String], last: Option<&str>, buttons: &[Button]) -> Message {
    let mut sections: Vec<String> = Vec::new();
    let mut add = |line: &str| match sections.last_mut() {
        Some(section) if length(section).saturating_add(length(line)) < SECTION => {
            section.push('\n');
            section.push_str(line);
        }
        _ => sections.push(line.to_owned()),
    };
    let mut left = PAGE;
    for (shown, line) in lines.iter().enumerate() {
        let line = cut(line, SECTION);
        let Some(rest) = left.checked_sub(length(&line)) else {
            add(&format!("… and {} more.", lines.len().saturating_sub(shown)));
            break;
        };
        left = rest;
        add(&line);
    }
    if let Some(last) = last {
        add(last);
    }
    let mut blocks: Vec<Value> = sections.iter().map(|text| section(text)).collect();
    blocks.extend(button::row(buttons));
    let text = lines.first().map(|line| cut(line, SUMMARY)).unwrap_or_default();
    Message { text, blocks: Value::Array(blocks) }
}

// ---- to the command itself ----

/// The immediate answer to an accepted command; only the asker sees it.
pub fn accepted(words: &DeployWords) -> String {
    let verb = if matches!(words.what, What::Rollback(_)) { "" } else { "deploy " };
    let wish = wants_override(words);
    format!("Accepted: {verb}{}{wish}. Follow it in this channel.", code(words.to_string()))
}

/// The immediate answer when the request could not be saved.
pub fn not_accepted() -> String {
    "I can't take that right now: my database isn't answering. Nothing was changed. Please try again in a minute."
        .to_owned()
}

/// The person was refused so often that nothing more is read.
pub fn refused_too_often() -> String {
    "I had to refuse more than 20 of your requests, so I don't read more of them for a minute. \
     `/deploy help` lists what you can type."
        .to_owned()
}

/// How commands are typed: all of them in a line each, or one with examples.
pub fn help(about: Option<Verb>) -> String {
    let line = |rest: &str, meaning: &str| format!("\n• {}: {meaning}", typed(rest));
    match about {
        None => {
            let lines: String = Verb::ALL.iter().map(|verb| line(verb.usage(), verb.meaning())).collect();
            format!(
                "I deploy apps: one commit to Git, then I follow Argo CD until the new version is live.{lines}\nExamples for one command: `/deploy help rollback`"
            )
        }
        Some(verb) => {
            let lines: String = verb.examples().iter().map(|(typed, meaning)| line(typed, meaning)).collect();
            format!("{}: {}{lines}", typed(verb.usage()), verb.meaning())
        }
    }
}

// ---- status ----

/// What is known of one target.
#[derive(Clone, Debug)]
pub struct TargetStatus {
    pub target: Target,
    pub live: Option<Facts>,
    /// The deployment whose turn it is, if it has not ended.
    pub under_way: Option<Facts>,
    pub lock: Option<TargetLock>,
    pub frozen: Option<Frozen>,
    /// It is deployed at certain times only, and not now.
    pub closed: Option<Closed>,
}

pub fn status_of(all: &[TargetStatus], lock_of_all: Option<&TargetLock>, more: usize) -> Message {
    let mut lines = Vec::new();
    lines.extend(lock_of_all.map(|lock| format!(":lock: *Everything* {}", lock_words(lock))));
    for one in all {
        let mut line = match one.live.as_ref().and_then(|facts| facts.commit.as_ref().zip(facts.request.as_ref())) {
            Some((commit, request)) => {
                format!("*{}* runs {}, deployed by <@{}>", one.target, code(&commit.target().tag), request.user)
            }
            None => format!("*{}* has not been deployed by me yet", one.target),
        };
        let outcome = one.live.as_ref().and_then(|facts| facts.outcome.as_ref());
        line.extend(outcome.map(|outcome| format!(" {}", moment(outcome.at))));
        line.push('.');
        line.extend(one.under_way.as_ref().map(|facts| {
            let who = facts.request.as_ref().map(|request| format!(" by <@{}>", request.user)).unwrap_or_default();
            let seen = facts.link().map(|url| format!(" ({})", link(&url, "see it"))).unwrap_or_default();
            format!(" :hourglass_flowing_sand: a deploy{who} is under way{seen}.")
        }));
        line.extend(one.lock.as_ref().map(|lock| format!(" :lock: {}", lock_words(lock))));
        let frozen = |Frozen { until, why }: &Frozen| sentence::frozen(*until, why.as_deref());
        line.extend(one.frozen.as_ref().map(|it| format!(" :snowflake: frozen until {}.", frozen(it))));
        line.extend(one.closed.as_ref().map(|closed| match &closed.opens {
            Some(opens) => format!(" :clock9: no deploys now, the next time begins {}.", sentence::opening(opens)),
            None => " :clock9: no deploys now.".to_owned(),
        }));
        lines.push(line);
    }
    let more = (more > 0).then(|| format!("… and {more} more: name one, like `/deploy status checkout`."));
    page(&lines, more.as_deref(), &[])
}

fn lock_words(lock: &TargetLock) -> String {
    let until = lock.until.map(|until| format!(" until {}", moment(until))).unwrap_or_default();
    format!("locked by <@{}> since {}{until}{}.", lock.by, moment(lock.at), said(&lock.reason))
}

// ---- history ----

/// `history`: deployments that reached the branch, newest first, numbered as `rollback` takes them; between
/// them who locked and unlocked the target, or everything.
pub fn history(
    target: &Target,
    all: &[(DeploymentId, Facts)],
    locks: &[LockChange],
    locks_of_all: &[LockChange],
) -> Message {
    let past: Vec<&Facts> = all.iter().map(|(_, facts)| facts).filter(|facts| facts.committed.is_some()).collect();
    // A rollback locks its target just after its commit, perhaps within the same millisecond.
    let mut happened: Vec<_> = locks.iter().map(|change| (change.at, lock_line("", change))).collect();
    happened.extend(locks_of_all.iter().map(|change| (change.at, lock_line("everything ", change))));
    happened.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    happened.truncate(MOST_LOCKS);
    for (n, facts) in past.iter().enumerate() {
        let Some(((commit, request), committed)) =
            facts.commit.as_ref().zip(facts.request.as_ref()).zip(facts.committed.as_ref())
        else {
            continue;
        };
        let how = match facts.state() {
            State::Live => ":white_check_mark: live",
            State::Failed => ":x: failed",
            State::Superseded => ":fast_forward: replaced",
            State::TimedOut => ":alarm_clock: timed out",
            State::Unknown => ":grey_question: unknown",
            _ => ":hourglass_flowing_sand: under way",
        };
        let mut notes = Vec::new();
        notes.extend(commit.target().digest.as_ref().map(|digest| code(digest.short())));
        notes.extend(commit.target().rollback.then(|| "rollback".to_owned()));
        notes.extend(committed.reused.then(|| "same commit again".to_owned()));
        notes.extend(approved_by(&commit.granted));
        notes.extend(commit.granted.overridden.as_ref().map(|reason| format!("override{}", said(reason))));
        let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join("; ")) };
        let url = format!("{}/commit/{}", commit.plan.gitops.url, committed.sha);
        let line = format!(
            "{}. {} {how}, <@{}> {} {}{notes}",
            n.saturating_add(1),
            code(&commit.target().tag),
            request.user,
            moment(committed.at),
            link(&url, committed.sha.short())
        );
        happened.push((committed.at, line));
    }
    happened.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    let mut lines = vec![match past.is_empty() {
        true => format!("I know of no deploy of *{target}* yet."),
        false => format!("*{target}*, newest first:"),
    }];
    lines.extend(happened.into_iter().map(|(_, line)| line));
    let others: Vec<String> = all.iter().filter_map(|(_, facts)| not_deployed(facts)).take(MOST_OTHERS).collect();
    if !others.is_empty() {
        lines.push("Not deployed:".to_owned());
        lines.extend(others);
    }
    let back = (past.len() > 1).then(|| format!("Go back to one: `/deploy rollback {target} 2`"));
    page(&lines, back.as_deref(), &[])
}

/// A lock that was set or taken away: by whom, when and why.
fn lock_line(what: &str, change: &LockChange) -> String {
    let (by, at, why) = (&change.by, moment(change.at), said(&change.reason));
    match &change.what {
        LockAction::Set { until } => {
            let until = until.map(|until| format!(" until {}", moment(until))).unwrap_or_default();
            format!("• :lock: {what}locked by <@{by}> {at}{until}{why}")
        }
        LockAction::TakenAway { of } => {
            let whose = if of == by { "their own".to_owned() } else { format!("<@{of}>'s") };
            format!("• :unlock: {what}unlocked by <@{by}> {at}; it was {whose}{why}")
        }
    }
}

/// How many changes of locks are listed.
const MOST_LOCKS: usize = 20;

/// How many requests without a commit are listed.
const MOST_OTHERS: usize = 10;

/// A request that came to nothing: who wanted what, when, and why not.
fn not_deployed(facts: &Facts) -> Option<String> {
    let (request, end) = (facts.request.as_ref()?, facts.end.as_ref().filter(|_| facts.committed.is_none())?);
    let rejected = facts.approvals.as_ref().and_then(|approvals| approvals.rejected.as_ref());
    let why = match (&end.end, rejected) {
        (_, Some(rejected)) => format!("rejected by <@{}>", rejected.user),
        (End::Refused { .. }, None) if facts.is_approved() => return None,
        (End::Refused { refusal, .. }, None) => match refusal.read() {
            Some(refusal) => sentence::problem(&refusal).trim_end_matches('.').to_owned(),
            None => "refused".to_owned(),
        },
        (End::Failed { fault }, None) => sentence::could_not(fault).trim_end_matches('.').to_owned(),
        (End::Cancelled { by: Some(by) }, None) => format!("cancelled by <@{by}>"),
        (End::Cancelled { by: None }, None) => return None,
    };
    let wanted = words(&request.words.to_string(), SHORT);
    let wish = wants_override(&request.words);
    Some(format!("• {wanted}{wish}, <@{}> {}: {why}", request.user, moment(end.at)))
}

// ---- apps ----

/// So many mistakes of the catalog are listed, before all that is in service.
const MOST_OUT: usize = 10;

/// `apps`: the catalog in short, and what is odd in Argo CD.
pub fn apps(catalog: &Catalog, seen: &[(Target, ArgoApplication, Seen)], gitops: &GitOpsBranch) -> Message {
    let out = catalog.out_of_service.iter().map(|OutOfService { app, path, error }| match app {
        Some(app) => sentence::out_of_service(&format!("*{}*", words(app, SHORT)), path, error),
        None => format!("{} Its apps are out of service.", sentence::mistake(path, error)),
    });
    let mut lines: Vec<String> = out.take(MOST_OUT).map(|line| format!(":x: {line}")).collect();
    let more = catalog.out_of_service.len().saturating_sub(MOST_OUT);
    if more > 0 {
        lines.push(format!(":x: … and {more} more."));
    }
    for app in catalog.apps.values() {
        let environments: Vec<String> = app
            .environments
            .iter()
            .map(|(name, environment)| {
                let gates = environment.gates.in_short();
                let gates = if gates.is_empty() { String::new() } else { format!(" ({})", gates.join(", ")) };
                format!("{name}{gates}")
            })
            .collect();
        lines.push(format!("*{}* ({}): {}", app.name, app.repo, escape(&environments.join("; "))));
        if let Some(digits) = app.tag_rule.too_few_digits() {
            lines.push(format!(
                ":warning: {} has only {digits} digits of the commit: who may push can make another commit with that tag. \
                 Let CI write 12 digits or more, and use {}.",
                code(app.tag_rule.to_string()),
                code("{sha:12}")
            ));
        }
        for (name, environment) in &app.environments {
            let of_it: Vec<_> =
                seen.iter().filter(|(target, ..)| target.app == app.name && target.environment == *name).collect();
            for (_, application, seen) in &of_it {
                let odd = seen.found.oddities(environment, gitops);
                if odd.is_empty() {
                    continue;
                }
                let several = of_it.len() > 1;
                let which = if several { format!("{}: ", code(application.name.as_str())) } else { String::new() };
                let odd = escape(&odd.join("; "));
                lines.push(format!(":warning: {name}: {which}{odd} (seen {}).", moment(seen.at)));
            }
        }
    }
    if lines.is_empty() {
        lines.push("No apps are set up yet: add one to `deploy-bot.yaml`.".to_owned());
    }
    page(&lines, None, &[])
}

// ---- locks ----

const UNOWNED: &str =
    " It ends after 24 hours, because there are no `owners` in `deploy-bot.yaml` who could take it away.";

/// A lock was set: everybody in the channel reads it. `shortened`: it ends earlier than was asked for.
pub fn locked(scope: &Scope, what: &str, lock: &TargetLock, shortened: bool) -> Message {
    let until = lock.until.map(|until| format!(" until {}", moment(until))).unwrap_or_default();
    let text = format!(
        ":lock: <@{}> locked *{what}*{until}{}. Nobody can deploy there until somebody types {}.{}",
        lock.by,
        said(&lock.reason),
        typed(&format!("unlock {scope}")),
        if shortened { UNOWNED } else { "" }
    );
    page(&[text], None, &[Button::Unlock { scope: scope.clone(), set: Some(lock.at) }])
}

/// A lock was taken away: everybody in the channel reads it.
pub fn unlocked(what: &str, by: &SlackUser, lock: &TargetLock) -> Message {
    let whose = if lock.by == *by { "their own lock".to_owned() } else { format!("locked by <@{}>", lock.by) };
    page(&[format!(":unlock: <@{by}> unlocked *{what}*. It was {whose}{}.", said(&lock.reason))], None, &[])
}

pub fn locked_already(what: &str, lock: &TargetLock) -> String {
    format!("{what} is already {} They or an owner can unlock it.", lock_words(lock))
}

/// There is no lock to take away.
pub fn not_locked(what: &str) -> String {
    format!("{what} is not locked.")
}

// ---- short answers ----

/// Nothing but words.
pub fn plain(text: &str) -> Message {
    page(&[text.to_owned()], None, &[])
}

/// The deploy that the button belongs to is forgotten.
pub fn forgotten() -> String {
    "That deploy is too old: I don't remember it any more. Please type the command.".to_owned()
}

/// A button of another release of ours.
pub fn unknown_button() -> String {
    "That button is from another version of me. Please type the command: `/deploy help` lists them all.".to_owned()
}

/// No deployment of the target is under way.
pub fn nothing_to_cancel(target: &str) -> String {
    format!("There is nothing to cancel: no deploy of {target} is under way.")
}

/// The deploy has ended, or its commit is made.
pub fn too_late_to_cancel(facts: &Facts) -> String {
    match facts.state().is_final() {
        true => "There is nothing to cancel: that deploy is over.".to_owned(),
        false => "Too late to cancel: it is committed and may be rolling out. You can roll it back.".to_owned(),
    }
}

/// The wish to cancel is saved.
pub fn cancelling() -> String {
    "I'll cancel it if it isn't committed yet. Its message will show how it ended.".to_owned()
}

pub fn terminating() -> String {
    "I'll end that sync if it still runs. The message will show how it goes on.".to_owned()
}

pub fn nothing_to_terminate() -> String {
    "There is nothing to terminate: that deploy is over.".to_owned()
}

pub fn may_not_approve(target: &str, is_asker: bool) -> String {
    match is_asker {
        true => format!(
            "You asked for this deploy of {target}, so somebody else has to approve it. Its message says who can."
        ),
        false => format!("You can't approve deploys of {target}. Its message says who can."),
    }
}

/// The time to approve or reject the deploy is over.
pub fn approval_over() -> String {
    "It's too late to approve or reject that deploy. Please type the command again.".to_owned()
}

/// Too late to reject the deploy.
pub fn approved_already() -> String {
    "That deploy is already approved, so it goes on. `/deploy cancel` can still stop it before the commit.".to_owned()
}

/// Somebody has already rejected the deploy.
pub fn rejected_already(by: &SlackUser) -> String {
    format!("<@{by}> has already rejected that deploy.")
}

/// Each person's approval counts once.
pub fn approved_by_you(missing: usize) -> String {
    format!("You've already approved it. Approvals still missing: {missing}.")
}

/// All have agreed, but what follows could not be saved so far.
pub fn approved_only() -> String {
    "Approved, but I couldn't start it yet: my database isn't answering. I'll keep trying for a minute, and its message says when it goes on. If it doesn't, press *Approve* again.".to_owned()
}

/// A button that was pressed before began this deployment.
pub fn pressed_before(facts: &Facts, by: &SlackUser) -> String {
    let Some(request) = &facts.request else { return forgotten() };
    let who = if request.user == *by { "You".to_owned() } else { format!("<@{}>", request.user) };
    let seen = match facts.link() {
        Some(url) => link(&url, "see how it went"),
        None => "its message says how it went".to_owned(),
    };
    format!("{who} already pressed that, {}: {seen}.", moment(request.at))
}

/// The vote is saved, but the message could not be changed.
pub fn noted() -> String {
    "Your vote is saved, but I couldn't update the message.".to_owned()
}
