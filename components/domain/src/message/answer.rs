//! Answers to the command itself, to questions and to buttons, for the asker alone; and what the channel
//! reads about locks.

use super::blocks::{Message, SECTION, SUMMARY, section};
use super::button::{self, Button};
use super::deployment::{approved_by, source_title};
use super::progress::{syncing, with_waiting};
use super::sentence;
use super::text::{SHORT, code, cut, escape, holder, length, link, moment, said, some, typed, words};
use crate::catalog::{Catalog, Closed, Frozen, OutOfService, People};
use crate::command::{NotifyBy, Scope, Verb};
use crate::deployment::{Became, End, Facts, GitOpsBranch, Past, State};
use crate::lock::{LockAction, LockChange, TargetLock};
use crate::names::{ArgoApplication, DeploymentId, SlackUser, Target};
use crate::seen::Seen;
use crate::time::Timestamp;
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
                "I deploy apps: one commit to Git, then I follow Argo CD until the new version is live.{lines}\n`/deploy` alone opens a form. Examples for one command: `/deploy help rollback`"
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

/// `status @me`, where there is nothing.
pub fn nothing_of_yours() -> String {
    "Of what you deployed, nothing is live or under way, as far as I remember. `/deploy status` shows all apps."
        .to_owned()
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
        line.extend(not_now(one).into_iter().map(|text| format!(" {text}")));
        lines.push(line);
    }
    let more = (more > 0).then(|| format!("… and {more} more: name one, like `/deploy status checkout`."));
    page(&lines, more.as_deref(), &[])
}

/// The freeze in force, and the next time at which deploys are allowed.
fn not_now(status: &TargetStatus) -> Vec<String> {
    let frozen = |Frozen { until, why }: &Frozen| sentence::frozen(*until, why.as_deref());
    let mut lines = Vec::new();
    lines.extend(status.frozen.as_ref().map(|it| format!(":snowflake: frozen until {}.", frozen(it))));
    lines.extend(status.closed.as_ref().map(|closed| match &closed.opens {
        Some(opens) => format!(":clock9: no deploys now, the next time begins {}.", sentence::opening(opens)),
        None => ":clock9: no deploys now.".to_owned(),
    }));
    lines
}

fn lock_words(lock: &TargetLock) -> String {
    let until = lock.until.map(|until| format!(" until {}", moment(until))).unwrap_or_default();
    format!("locked by {} since {}{until}{}.", holder(&lock.by, lock.itself), moment(lock.at), said(&lock.reason))
}

// ---- why ----

/// What holds a target up, and who can help.
#[derive(Clone, Debug)]
pub struct Holds {
    pub status: TargetStatus,
    pub lock_of_all: Option<TargetLock>,
    /// A deployment of another target that has the turn in the same Argo CD application; which one, if the asker may know.
    pub other: Option<Option<(Target, Facts)>>,
    /// What waits for approval.
    pub waiting: Vec<Facts>,
    pub owners: People,
    pub approvers: People,
}

pub fn why(holds: &Holds) -> Message {
    let Holds { status, lock_of_all, other, waiting, owners, approvers } = holds;
    let target = &status.target;
    let seen = |facts: &Facts| facts.link().map(|url| format!(" ({})", link(&url, "see it"))).unwrap_or_default();
    let who = |facts: &Facts| {
        let wanted = facts.request.as_ref();
        wanted.map(|request| format!("{} by <@{}>", words(&request.words.to_string(), SHORT), request.user))
    };
    let mut lines = Vec::new();
    lines.extend(status.under_way.as_ref().map(|facts| {
        let who = who(facts).unwrap_or_default();
        format!("• :hourglass_flowing_sand: a deploy is under way, {who}: {}{}", step(facts), seen(facts))
    }));
    lines.extend(other.as_ref().map(|other| match other {
        Some((other, facts)) => {
            let who = who(facts).unwrap_or_default();
            format!(
                "• :hourglass: *{other}* has the turn in the same Argo CD application, {who}: {}{}",
                step(facts),
                seen(facts)
            )
        }
        None => "• :hourglass: a deploy of another app has the turn in the same Argo CD application.".to_owned(),
    }));
    lines.extend(lock_of_all.as_ref().map(|lock| format!("• :lock: everything is {}", lock_words(lock))));
    lines.extend(status.lock.as_ref().map(|lock| format!("• :lock: {}", lock_words(lock))));
    lines.extend(not_now(status).into_iter().map(|text| format!("• {text}")));
    for facts in waiting {
        if let Some((wait, refusal)) = facts.wait.as_ref().zip(facts.refused()) {
            lines.push(format!(
                "• :hourglass_flowing_sand: {} waits until {}: {}{}",
                who(facts).unwrap_or_default(),
                moment(wait.until),
                sentence::problem(&refusal),
                seen(facts)
            ));
            continue;
        }
        let until = match facts.refused().and_then(|refusal| refusal.approved_until()) {
            Some(until) => format!(" until {}", moment(until)),
            _ => String::new(),
        };
        lines.push(format!(
            "• :raised_hand: {} waits for approval{until}.{}",
            who(facts).unwrap_or_default(),
            seen(facts)
        ));
    }
    let first = match lines.is_empty() {
        true => format!("Nothing holds *{target}* up: no deploy is under way, no lock or freeze is in force."),
        false => format!("What holds *{target}* up:"),
    };
    lines.insert(0, first);
    let mut help = Vec::new();
    help.extend(named(owners).map(|who| format!("Owners, who can unlock it and override a freeze: {who}.")));
    help.extend(named(approvers).map(|who| format!("Who can approve: {who}.")));
    page(&lines, (!help.is_empty()).then(|| help.join(" ")).as_deref(), &[])
}

/// How far a deployment is, and since when.
fn step(facts: &Facts) -> String {
    let when = |at: Option<Timestamp>| at.map(|at| format!(" {}", moment(at))).unwrap_or_default();
    let asked = facts.request.as_ref().map(|request| request.at);
    match (facts.state(), &facts.committed) {
        (State::Syncing, Some(committed)) => {
            let watch = facts.said_at();
            let how = with_waiting(syncing(&code(committed.sha.short()), &watch), &watch);
            format!("committed {}; {how}", moment(committed.at))
        }
        (_, Some(committed)) => format!("committed {}, not rolled out yet.", moment(committed.at)),
        (State::Committing, None) => {
            let begun = facts.commit.as_ref().and_then(|commit| commit.attempts.first()).map(|attempt| attempt.at);
            format!("its commit was begun{}.", when(begun.or(asked)))
        }
        (_, None) => format!("asked for{}, not committed yet.", when(asked)),
    }
}

/// The people, if they are anybody: at most ten.
fn named(people: &People) -> Option<String> {
    let all: Vec<String> = sentence::mentions(people).collect();
    (!all.is_empty()).then(|| some(&all, "and"))
}

// ---- history ----

/// `history`: deployments that reached the branch, newest first, numbered as `rollback` takes them; between
/// them who locked and unlocked the target, or everything.
/// `since`: only what happened from then on.
pub fn history(
    target: &Target,
    all: &[Past],
    (locks, locks_of_all): (&[LockChange], &[LockChange]),
    since: Option<Timestamp>,
) -> Message {
    let is_shown = |at: &Timestamp| since.is_none_or(|since| *at >= since);
    let past: Vec<_> = all.iter().filter_map(|past| Some((past, past.version()?))).collect();
    // A rollback locks its target just after its commit, perhaps within the same millisecond.
    let mut happened: Vec<_> = locks.iter().map(|change| (change.at, lock_line("", change))).collect();
    happened.extend(locks_of_all.iter().map(|change| (change.at, lock_line("everything ", change))));
    happened.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    happened.truncate(MOST_LOCKS);
    for (n, (past, version)) in past.iter().enumerate() {
        let mut notes = Vec::new();
        notes.extend(version.digest.as_ref().map(|digest| code(digest.short())));
        notes.extend(version.rollback.then(|| "rollback".to_owned()));
        notes.extend(version.promoted_from.as_ref().map(|from| format!("promoted from {from}")));
        notes.extend(version.reused.then(|| "same commit again".to_owned()));
        notes.extend(approved_by(&version.approved_by));
        notes.extend(past.overridden.as_ref().map(|reason| format!("override{}", said(reason))));
        let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join("; ")) };
        let line = format!(
            "{}. {} {}{} {} {}{notes}",
            n.saturating_add(1),
            code(&version.tag),
            became(version.state),
            by(past),
            moment(past.at),
            link(&format!("{}/commit/{}", version.page, version.sha), version.sha.short())
        );
        happened.push((past.at, line));
    }
    happened.retain(|(at, _)| is_shown(at));
    happened.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    let shown = all.iter().filter(|past| is_shown(&past.at));
    let others: Vec<String> = shown.filter_map(other).take(MOST_OTHERS).collect();
    let mut lines = vec![match since {
        Some(since) if happened.is_empty() && others.is_empty() => {
            format!(
                "I know of nothing at *{target}* since {}. Without `--since` I show all that I remember.",
                moment(since)
            )
        }
        Some(since) => format!("*{target}* since {}, newest first:", moment(since)),
        None if past.is_empty() => format!("I know of no deploy of *{target}* yet."),
        None => format!("*{target}*, newest first:"),
    }];
    lines.extend(happened.into_iter().map(|(_, line)| line));
    if !others.is_empty() {
        lines.push("Not deployed:".to_owned());
        lines.extend(others);
    }
    let back = (past.len() > 1 && lines.len() > 1).then(|| format!("Go back to one: `/deploy rollback {target} 2`"));
    page(&lines, back.as_deref(), &[])
}

/// What became of a version that reached the branch.
fn became(state: State) -> &'static str {
    match state {
        State::Live => ":white_check_mark: live",
        State::Failed => ":x: failed",
        State::Superseded => ":fast_forward: replaced",
        State::TimedOut => ":alarm_clock: timed out",
        State::Unknown => ":grey_question: unknown",
        _ => ":hourglass_flowing_sand: under way",
    }
}

/// Who asked for it, after what became of it.
fn by(past: &Past) -> String {
    past.by.as_ref().map(|by| format!(", <@{by}>")).unwrap_or_default()
}

/// A deployment that was looked for.
#[derive(Clone, Debug)]
pub struct Found {
    pub target: Target,
    pub past: Past,
    /// What is known of it besides.
    pub facts: Facts,
}

/// So many deployments are shown.
const MOST_FOUND: usize = 10;

/// `history <commit>`: which deployments the commit is of, the newest first. `typed`: the beginning of its name, which is
/// 7 to 40 hex digits.
pub fn found(typed: &str, all: &[Found]) -> Message {
    let named = code(typed);
    let first = match all.len() {
        0 => {
            return plain(&format!(
                "I know of no app {named}, and of no deploy whose commit begins so. I remember the last 20 deploys of an \
                 app in an environment, and 50 before them that were committed. Of an older one, the commit itself says \
                 who asked for what. {} lists the apps.",
                code("/deploy apps")
            ));
        }
        1 => format!("{named} is one deploy:"),
        many => format!("{named} is the beginning of {many} deploys, newest first:"),
    };
    let line = |found: &Found| {
        let Found { target, past, facts } = found;
        let seen = facts.link().map(|url| format!(" ({})", link(&url, "see its message"))).unwrap_or_default();
        let Some(version) = past.version() else {
            let line = other(past).unwrap_or_else(|| format!("• {}{}", words(&past.what, SHORT), by(past)));
            return format!("{line} (*{target}*){seen}");
        };
        let title = facts.commit.as_ref().and_then(|commit| source_title(&commit.target().source));
        let title = title.map(|title| format!(", {title}")).unwrap_or_default();
        let ended = facts.outcome.as_ref().map(|outcome| format!(" {}", moment(outcome.at))).unwrap_or_default();
        format!(
            "• {} to *{target}* ({}{title}){}, commit {} {}, {}{ended}{seen}",
            code(&version.tag),
            words(&past.what, SHORT),
            by(past),
            link(&format!("{}/commit/{}", version.page, version.sha), version.sha.short()),
            moment(past.at),
            became(version.state)
        )
    };
    let lines: Vec<String> = std::iter::once(first).chain(all.iter().take(MOST_FOUND).map(line)).collect();
    let more = all.len().saturating_sub(MOST_FOUND);
    let more = (more > 0).then(|| format!("… and {more} more: type more of the commit's name."));
    page(&lines, more.as_deref(), &[])
}

/// A lock that was set or taken away: by whom, when and why.
fn lock_line(what: &str, change: &LockChange) -> String {
    let (by, at, why) = (&change.by, moment(change.at), said(&change.reason));
    match &change.what {
        LockAction::Set { until } => {
            let until = until.map(|until| format!(" until {}", moment(until))).unwrap_or_default();
            format!("• :lock: {what}locked by {} {at}{until}{why}", holder(by, change.itself))
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
fn other(past: &Past) -> Option<String> {
    let Became::Nothing { why } = &past.became else { return None };
    let wish = past.overridden.as_ref().map(|reason| format!(", override{}", said(reason))).unwrap_or_default();
    Some(format!("• {}{wish}{} {}: {why}", words(&past.what, SHORT), by(past), moment(past.at)))
}

/// What a target's history keeps of a deployment so far. `None`: nothing is known.
pub fn past(id: &DeploymentId, facts: &Facts) -> Option<Past> {
    Past::of(id, facts, not_deployed(facts))
}

/// How much is kept of why a request came to nothing.
const WHY: usize = 240;

/// Why nothing came of a request, where people read that.
fn not_deployed(facts: &Facts) -> Option<String> {
    let end = facts.end.as_ref().filter(|_| facts.committed.is_none())?;
    let rejected = facts.approvals.as_ref().and_then(|approvals| approvals.rejected.as_ref());
    let why = match (&end.end, rejected) {
        (_, Some(rejected)) => format!("rejected by <@{}>", rejected.user),
        (End::Refused { .. }, None) if facts.is_approved() => return None,
        (End::Refused { refusal, .. }, None) => match refusal.read() {
            Some(refusal) => sentence::problem(&refusal),
            None => "refused".to_owned(),
        },
        (End::Failed { fault }, None) => sentence::could_not(fault),
        (End::Cancelled { by: Some(by) }, None) => format!("cancelled by <@{by}>"),
        (End::Cancelled { by: None }, None) => return None,
    };
    let mut why = cut(why.trim_end_matches('.'), WHY);
    if why.matches('`').count() % 2 == 1 {
        why.push('`');
    }
    Some(why)
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
    let is_own = lock.by == *by && !lock.itself;
    let whose =
        if is_own { "their own lock".to_owned() } else { format!("locked by {}", holder(&lock.by, lock.itself)) };
    page(&[format!(":unlock: <@{by}> unlocked *{what}*. It was {whose}{}.", said(&lock.reason))], None, &[])
}

pub fn locked_already(what: &str, lock: &TargetLock) -> String {
    let who = if lock.itself { "Whoever may deploy there" } else { "They or an owner" };
    format!("{what} is already {} {who} can unlock it.", lock_words(lock))
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

/// How the asker is told from now on.
pub fn notified(by: NotifyBy) -> String {
    let how = match by {
        NotifyBy::Thread => "call you in the thread of its message",
        NotifyBy::Dm => "send you a direct message",
        NotifyBy::Off => "don't call you",
    };
    let when = "When a deploy of yours is live after more than a minute, I";
    match by {
        NotifyBy::Off => format!("{when} {how}. When it fails, I still do."),
        NotifyBy::Thread | NotifyBy::Dm => format!("{when} {how}. The same when it fails."),
    }
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
