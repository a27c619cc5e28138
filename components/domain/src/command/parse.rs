//! From text to a [`Command`], word by word.
//!
//! # When a first word is a slip of a verb
//!
//! `stauts` may be an app: only the catalog knows. The rule:
//!
//! - The words are not a deploy (`stauts`, `lokc checkout moving it`): the nearest verb is suggested, if the
//!   other words can follow it.
//! - The words are a deploy: they are carried out. If there is no such app, the refusal says so later.
//! - The exception is two words, of which the first is near a verb and the second looks like an app, not like
//!   something to deploy (`stauts checkout`; no number, link or slash, and not `main` or the like). The verb
//!   is suggested.
//!
//! An app with such a name is deployed with the word `deploy` in front.

use super::words::{LONGEST_SUGGESTION, Words, Wrong, bare, like, split, strip_quotes, suggest, unescape, wrong};
use super::{Command, DeployWords, LONGEST, Scope, TargetWords, Verb, Version, What};
use crate::image::Tag;
use crate::names::{BranchName, PullRequestNumber, RepoName};
use crate::refusal::{Refusal, Right};
use crate::text::quoted;
use std::time::Duration;

/// The longest reason of a lock or an override, in characters.
pub const LONGEST_REASON: usize = 200;

/// How long a lock may last.
const SHORTEST_LOCK: Duration = Duration::from_secs(60);
const LONGEST_LOCK: Duration = Duration::from_secs(30 * 24 * 3600);

/// See [`Command::parse`].
pub(super) fn command(text: &str) -> Result<Command, Refusal> {
    if text.chars().nth(LONGEST).is_some() {
        let problem = format!("it is longer than {LONGEST} characters");
        return Err(Refusal::Syntax { problem, verb: None, right: None });
    }
    let text = unescape(text);
    let mut all = split(&text);
    strip_quotes(&mut all);
    let words = Words(&all);
    let mut rest = words;
    let Some(first) = rest.take() else { return Ok(Command::Help(None)) };
    let verb = match Verb::typed(first) {
        // An app called `deploy`.
        Some(Verb::Deploy) if rest.count() == 1 && !asks_for_help(rest) => None,
        verb => verb,
    };
    // The list says more about help than its own help.
    let help_of = |verb: Option<Verb>| verb.filter(|verb| *verb != Verb::Help);
    let refuse = |verb: Option<Verb>, Wrong { problem, right }: Wrong| {
        let full = |text: String| match verb {
            None | Some(Verb::Deploy) => text,
            Some(verb) => format!("{} {text}", verb.name()).trim_end().to_owned(),
        };
        let right = right.map(|right| match right {
            Right::DidYouMean(text) => Right::DidYouMean(full(text)),
            Right::Like(text) => Right::Like(full(text)),
        });
        Refusal::Syntax { problem, verb: help_of(verb), right }
    };
    let understood = match verb {
        Some(verb) => after(verb, rest),
        None => deploy(words).map(Command::Deploy),
    };
    // The words that could begin with a slip: `deploy` in front of another verb is one, too.
    let slip = match verb {
        None => slip(words, understood.is_ok()),
        Some(Verb::Deploy) if understood.is_err() && rest.peek().and_then(Verb::typed).is_some() => {
            slip(rest, false).filter(|_| rest.count() > 1)
        }
        Some(_) => None,
    };
    match (understood, slip) {
        (_, Some(Slip { typed, meant, right })) => {
            let problem = match verb {
                Some(verb) => format!("{} and {} are two commands", quoted(verb.name()), quoted(typed)),
                None if words.count() == 1 => format!(
                    "{} is not a command, and without a pull request or branch I can't deploy it",
                    quoted(typed)
                ),
                None => format!(
                    "{} is not a command (for an app of that name, put {} in front)",
                    quoted(typed),
                    quoted("deploy")
                ),
            };
            Err(Refusal::Syntax { problem, verb: help_of(Some(meant)), right: Some(Right::DidYouMean(right)) })
        }
        (understood, None) => understood.map_err(|wrong| refuse(verb, wrong)),
    }
}

/// Another verb that was probably meant.
struct Slip<'a> {
    typed: &'a str,
    meant: Verb,
    right: String,
}

/// The verb that the first word is near, if the words are not rather a deploy.
fn slip<'a>(words: Words<'a>, is_deploy: bool) -> Option<Slip<'a>> {
    let mut rest = words;
    let typed = rest.take()?;
    let meant = Verb::nearest(typed)?;
    let lower = typed.to_lowercase();
    let longer = lower.starts_with(meant.name()) && lower != meant.name();
    let whole = match meant {
        Verb::Deploy => rest.0.join(" "),
        _ => format!("{} {}", meant.name(), rest.0.join(" ")),
    };
    let fits = after(meant, rest).is_ok() && whole.chars().nth(LONGEST_SUGGESTION).is_none();
    let plain = rest.count() == 1 && rest.peek().is_some_and(could_be_app);
    let is_slip = match (is_deploy, words.count()) {
        (true, _) => fits && plain && !longer,
        // `status-page` alone is an app. `lokc` alone is a slip, although the verb wants more words.
        (false, 1) => !longer || lower.len() <= meant.name().len().saturating_add(2),
        (false, _) => fits && !typed.contains('@'),
    };
    if !is_slip {
        return None;
    }
    let right = if fits { whole.trim_end().to_owned() } else { meant.name().to_owned() };
    Some(Slip { typed, meant, right })
}

/// Whether a word is rather an app than a pull request or a branch.
fn could_be_app(word: &str) -> bool {
    let app = word.split_once('@').map_or(word, |(app, _)| app);
    app.starts_with(|c: char| c.is_ascii_alphabetic())
        && app.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && !["main", "master", "develop", "trunk", "head"].contains(&app.to_lowercase().as_str())
}

fn asks_for_help(words: Words<'_>) -> bool {
    words.count() == 1 && words.peek().is_some_and(|word| ["--help", "-h", "?"].contains(&word.to_lowercase().as_str()))
}

/// The words after a verb.
fn after(verb: Verb, mut words: Words<'_>) -> Result<Command, Wrong> {
    if asks_for_help(words) {
        return Ok(Command::Help(Some(verb)));
    }
    Ok(match verb {
        Verb::Deploy => Command::Deploy(deploy(words)?),
        Verb::Preview => Command::Preview(deploy(words)?),
        Verb::Rollback => Command::Rollback(rollback(words)?),
        Verb::Status if words.peek().is_none() => Command::Status(None),
        Verb::Status => Command::Status(Some(only_target(verb, words)?)),
        Verb::History => Command::History(only_target(verb, words)?),
        Verb::Cancel => Command::Cancel(only_target(verb, words)?),
        Verb::Lock => lock(words)?,
        Verb::Unlock => Command::Unlock(scope(only_target(verb, words)?)),
        Verb::Apps => {
            words.end_of("", verb.name())?;
            Command::Apps
        }
        Verb::Help => {
            let Some(about) = words.take() else { return Ok(Command::Help(None)) };
            let Some(verb) = Verb::typed(about) else {
                let nearest = Verb::nearest(about).map(|verb| Right::DidYouMean(verb.name().to_owned()));
                let right = Some(nearest.unwrap_or(Right::Like(Verb::Lock.name().to_owned())));
                return Err(Wrong { problem: format!("there is no command {}", quoted(about)), right });
            };
            words.end_of(verb.name(), about)?;
            Command::Help(Some(verb))
        }
    })
}

/// `<app>[@env] <what> [override <reason>]`
fn deploy(mut words: Words<'_>) -> Result<DeployWords, Wrong> {
    let Some(first) = words.peek() else { return wrong("the app and what to deploy are missing".to_owned()) };
    if words.count() == 1 && (is_link(first) || is_number(first)) {
        let what = if is_link(first) { "the link".to_owned() } else { quoted(first) };
        return wrong(format!("the app is missing: it comes before {what}"));
    }
    let TargetWords { app, environment } = target(&mut words)?;
    let Some(typed) = words.take() else {
        let problem = format!("the pull request or branch is missing after {}", quoted(first));
        return Err(Wrong { problem, right: like(first, "42") });
    };
    // `override` may be a branch, but not one that is followed by a reason.
    let is_branch = words.peek().is_none_or(|next| next.eq_ignore_ascii_case("override"));
    if typed.eq_ignore_ascii_case("override") && !is_branch {
        let problem = format!("the pull request or branch is missing between {} and {}", quoted(first), quoted(typed));
        return Err(Wrong { problem, right: like(first, &format!("42 override {}", words.0.join(" "))) });
    }
    let what = parse_what(typed)?;
    let override_reason = override_reason(words, typed, &[first, typed])?;
    Ok(DeployWords { app, environment, what, override_reason })
}

/// `<app>[@env] [tag | n] [override <reason>]`
fn rollback(mut words: Words<'_>) -> Result<DeployWords, Wrong> {
    let Some(first) = words.peek() else { return wrong("the app is missing after `rollback`".to_owned()) };
    let TargetWords { app, environment } = target(&mut words)?;
    let (typed, version) = match words.peek() {
        Some(typed) if !typed.eq_ignore_ascii_case("override") => {
            words.take();
            if typed.eq_ignore_ascii_case("to") && words.count() > 0 {
                let problem = format!("the version comes right after {}", quoted(first));
                return Err(Wrong { problem, right: suggest([first, ""], words.0) });
            }
            let version = parse_version(typed);
            (Some(typed), version.map_err(|wrong| Wrong { right: like(first, "main-abc1234"), ..wrong })?)
        }
        _ => (None, Version::LastHealthy),
    };
    let before: Vec<&str> = [first].into_iter().chain(typed).collect();
    let override_reason = override_reason(words, typed.unwrap_or(first), &before)?;
    Ok(DeployWords { app, environment, what: What::Rollback(version), override_reason })
}

/// What may follow a deploy: nothing, or `override <reason>`. `before`: what was typed so far, for
/// the suggestion.
fn override_reason(mut words: Words<'_>, last: &str, before: &[&str]) -> Result<Option<String>, Wrong> {
    let Some(word) = words.peek() else { return Ok(None) };
    if !word.eq_ignore_ascii_case("override") {
        let [first, second @ ..] = before else { return words.end(last).map(|()| None) };
        let mut after = words;
        after.take();
        let is_slip =
            after.count() > 0 && crate::text::nearest(&word.to_lowercase(), ["override"].into_iter()).is_some();
        let said = [*first, second.first().copied().unwrap_or_default(), "override"].join(" ");
        let right = if is_slip { suggest([&said, ""], after.0) } else { None };
        return words.end(last).map(|()| None).map_err(|wrong| Wrong { right, ..wrong });
    }
    words.take();
    match reason(words, false)? {
        (reason, _) if reason.is_empty() => Err(Wrong {
            problem: format!("the reason is missing after {}", quoted(word)),
            right: like(&before.join(" "), "override payments are failing"),
        }),
        (reason, _) => Ok(Some(reason)),
    }
}

/// `<app>[@env]|all <reason…> [for 2h]`
fn lock(mut words: Words<'_>) -> Result<Command, Wrong> {
    let Some(first) = words.peek() else { return wrong("what to lock is missing: an app, or `all`".to_owned()) };
    let scope = scope(target(&mut words)?);
    let (reason, period) = reason(words, true)?;
    if reason.is_empty() {
        return Err(Wrong {
            problem: format!("the reason is missing after {}", quoted(first)),
            right: like(first, "the database is being moved for 2h"),
        });
    }
    Ok(Command::Lock { scope, reason, period })
}

fn scope(target: TargetWords) -> Scope {
    if target.app == "all" && target.environment.is_none() { Scope::Everything } else { Scope::Target(target) }
}

/// One target and nothing after it.
fn only_target(verb: Verb, mut words: Words<'_>) -> Result<TargetWords, Wrong> {
    let Some(first) = words.peek() else {
        let all = if verb == Verb::Unlock { ", or `all`," } else { "" };
        return wrong(format!("the app{all} is missing after {}", quoted(verb.name())));
    };
    let target = target(&mut words)?;
    words.end_of(first, first)?;
    Ok(target)
}

/// `<app>[@env]`, as one word.
fn target(words: &mut Words<'_>) -> Result<TargetWords, Wrong> {
    let Some(word) = words.take() else { return wrong("the app is missing".to_owned()) };
    let next = words.peek();
    if is_link(word) || word.starts_with('#') {
        return match next {
            Some(app) if could_be_app(app) => {
                let mut after = *words;
                after.take();
                let right = suggest([app, word], after.0);
                Err(Wrong { problem: format!("the app comes first, before {}", quoted(word)), right })
            }
            _ if is_link(word) => wrong(format!("{} is not the name of an app", quoted(word))),
            _ => wrong(format!("the app is missing before {}", quoted(word))),
        };
    }
    let (app, environment) = match word.split_once('@') {
        Some((app, environment)) => (app, Some(environment)),
        None => (word, None),
    };
    if app.is_empty() {
        return wrong(format!("the app is missing before {}", quoted(word)));
    }
    // In quotes it is the beginning of a reason: `lock checkout "@bob tests"`.
    let at = words.0.first().copied().filter(|next| next.starts_with('@'));
    let mut after = *words;
    let torn = match (environment, at) {
        (Some(""), _) => after.take().map(|next| next.trim_start_matches('@')),
        (None, Some("@")) => {
            after.take();
            after.take()
        }
        (None, Some(_)) => after.take().map(|next| next.trim_start_matches('@')),
        _ => None,
    };
    let torn = torn.filter(|environment| could_be_app(environment));
    match (torn, environment, at) {
        (Some(environment), _, _) => Err(Wrong {
            problem: format!("the app and its environment are one word, {}", quoted(&format!("{app}@{environment}"))),
            right: suggest([&format!("{app}@{environment}"), ""], after.0),
        }),
        (None, Some(""), _) | (None, None, Some(_)) => {
            wrong(format!("the environment is missing after {}", quoted(&format!("{app}@"))))
        }
        _ => Ok(TargetWords { app: app.to_lowercase(), environment: environment.map(str::to_lowercase) }),
    }
}

/// The words of a reason, empty if there are none, and how long it holds if that may be said at its end.
fn reason(words: Words<'_>, timed: bool) -> Result<(String, Option<Duration>), Wrong> {
    let mut words = words.0.to_vec();
    let mut period = None;
    if timed && let Some(at) = words.iter().rposition(|word| word.eq_ignore_ascii_case("for")) {
        let (_, after) = words.split_at(at);
        period = after.split_first().and_then(|(_, after)| parse_period(&after.concat()));
        if let Some(period) = period {
            if !(SHORTEST_LOCK..=LONGEST_LOCK).contains(&period) {
                return wrong(format!(
                    "a lock can last from a minute to 30 days, like {}, but not {}",
                    quoted("for 2h"),
                    quoted(&after.join(" "))
                ));
            }
            words.truncate(at);
        }
    }
    strip_quotes(&mut words);
    if words.iter().all(|word| bare(word).is_empty()) {
        return Ok((String::new(), period));
    }
    let text = words.join(" ");
    match text.chars().count() {
        ..=LONGEST_REASON => Ok((text, period)),
        length => wrong(format!("the reason has {length} characters, and {LONGEST_REASON} is the most")),
    }
}

/// How a reason is typed so that it is read again as the same, in quotes where it needs them; and its period
/// after it.
pub(super) fn as_typed(text: &str, period: Option<Duration>, timed: bool) -> String {
    let end = period.map(|period| format!(" for {}", show_period(period))).unwrap_or_default();
    let plain = format!("{text}{end}");
    let is_read = |typed: &String| {
        let begins_with_at = timed && typed.starts_with('@');
        !begins_with_at && reason(Words(&split(typed)), timed).is_ok_and(|read| read == (text.to_owned(), period))
    };
    let quoted = ["\"", "'", "`"].map(|quote| format!("{quote}{text}{quote}{end}"));
    [plain.clone()].into_iter().chain(quoted).find(is_read).unwrap_or(plain)
}

const UNITS: &[(&[&str], u64)] = &[
    (&["w", "week", "weeks"], 7 * 24 * 3600),
    (&["d", "day", "days"], 24 * 3600),
    (&["h", "hr", "hrs", "hour", "hours"], 3600),
    (&["m", "min", "mins", "minute", "minutes"], 60),
    (&["s", "sec", "secs", "second", "seconds"], 1),
];

/// `2h`, `90m`, `1h30m`, `2hours`: each unit once, the larger first.
fn parse_period(text: &str) -> Option<Duration> {
    let text = text.to_ascii_lowercase();
    let (mut rest, mut units, mut seconds) = (text.as_str(), UNITS, 0_u64);
    while !rest.is_empty() {
        let (digits, after) = rest.split_at_checked(rest.find(|c: char| !c.is_ascii_digit())?)?;
        let end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(end)?;
        let at = units.iter().position(|(names, _)| names.contains(&unit))?;
        let (_, from) = units.split_at_checked(at)?;
        let ((_, size), smaller) = from.split_first()?;
        // More digits than anybody means are out of range below.
        let count = if digits.is_empty() { return None } else { digits.parse().unwrap_or(u64::MAX) };
        seconds = seconds.saturating_add(count.saturating_mul(*size));
        (rest, units) = (after, smaller);
    }
    (!text.is_empty()).then(|| Duration::from_secs(seconds))
}

fn show_period(period: Duration) -> String {
    let mut left = period.as_secs();
    let mut text = String::new();
    for (unit, size) in [("d", 24 * 3600), ("h", 3600), ("m", 60), ("s", 1)] {
        let count = left.checked_div(size).unwrap_or_default();
        left = left.checked_rem(size).unwrap_or_default();
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
        }
    }
    text
}

fn parse_what(word: &str) -> Result<What, Wrong> {
    if is_link(word) {
        return parse_link(word);
    }
    let branch = match word.strip_prefix("branch:") {
        Some(branch) => branch,
        None => {
            let digits = word.strip_prefix('#').unwrap_or(word);
            if is_number(digits) || digits.is_empty() {
                return parse_number(digits).map(What::PullRequest);
            }
            word
        }
    };
    let branch = branch.strip_prefix("refs/heads/").unwrap_or(branch);
    match BranchName::parse(branch) {
        Ok(branch) => Ok(What::Branch(branch)),
        Err(_) => wrong(format!("{} is neither a pull request nor the name of a branch", quoted(word))),
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn parse_number(digits: &str) -> Result<PullRequestNumber, Wrong> {
    match digits.parse() {
        Ok(number @ 1..) => Ok(PullRequestNumber(number)),
        _ => wrong(format!("{} is not the number of a pull request", quoted(&format!("#{digits}")))),
    }
}

/// Up to three digits are a line of the history, which is not longer; more are a tag, such as a date.
fn parse_version(word: &str) -> Result<Version, Wrong> {
    let tag = match word.strip_prefix("tag:") {
        Some(tag) => tag,
        None if is_number(word) && word.len() <= 3 => {
            return match word.parse() {
                Ok(line @ 1..) => Ok(Version::Back(line)),
                _ => wrong("the lines of the history are counted from 1".to_owned()),
            };
        }
        None => word,
    };
    match Tag::parse(tag) {
        Ok(tag) => Ok(Version::Tag(tag.to_string())),
        Err(_) => wrong(format!("{} is neither a tag nor the number of a line of the history", quoted(word))),
    }
}

/// Whether the word is an address, or something that Slack made of one or of a mention:
/// `<https://…|…>`, `<@U…>`.
fn is_link(word: &str) -> bool {
    word.starts_with('<') || word.contains("://") || word.starts_with("github.com/")
}

/// Understands `https://<host>/<owner>/<name>/pull/<number>`, with whatever follows. The host is not looked
/// at: it may be an Enterprise Server.
fn parse_link(word: &str) -> Result<What, Wrong> {
    let not_one = || Wrong { problem: format!("{} is not a link to a pull request", quoted(word)), right: None };
    let inner = word.trim_start_matches('<').split(['>', '|', '?', '#']).next().unwrap_or_default();
    let path = match inner.split_once("://") {
        Some(("http" | "https", path)) => path,
        Some(_) => return Err(not_one()),
        None => inner,
    };
    let mut parts = path.split('/').skip(1);
    let (Some(owner), Some(name), Some("pull"), Some(digits)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(not_one());
    };
    let repo = RepoName::parse(&format!("{owner}/{name}")).map_err(|_| not_one())?;
    if !is_number(digits) {
        return Err(not_one());
    }
    Ok(What::PullRequestOf { repo, number: parse_number(digits)? })
}
