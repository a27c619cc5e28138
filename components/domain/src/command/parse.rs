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

use super::reason::{reason, undashed};
use super::words::{
    LONGEST_SUGGESTION, Words, Wrong, like, plain_dashes, split, strip_quotes, suggest, unescape, wrong,
};
use super::{Command, DeployWords, LONGEST, NotifyBy, Scope, Since, TargetWords, Verb, Version, What, Which};
use crate::image::Tag;
use crate::names::{BranchName, CommitDigits, EnvironmentName, GitTag, PullRequestNumber, RepoName};
use crate::refusal::{Refusal, Right};
use crate::text::quoted;

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
    // Phones make one dash of two.
    let word = words.peek().map(|word| word.to_lowercase().replace('—', "--").replace('–', "-"));
    words.count() == 1 && word.is_some_and(|word| ["--help", "-help", "-h", "?"].contains(&word.as_str()))
}

/// The words after a verb.
fn after(verb: Verb, mut words: Words<'_>) -> Result<Command, Wrong> {
    if asks_for_help(words) {
        return Ok(Command::Help(Some(verb)));
    }
    Ok(match verb {
        Verb::Deploy => Command::Deploy(deploy(words)?),
        Verb::Preview => {
            let words = deploy(words)?;
            if words.apps().len() > 1 {
                return wrong("a preview is of one app".to_owned());
            }
            Command::Preview(words)
        }
        Verb::Rollback => Command::Rollback(rollback(words)?),
        Verb::Promote => Command::Promote(promote(words)?),
        Verb::Status => match words.peek() {
            None => Command::Status(Which::All),
            Some(me) if me.eq_ignore_ascii_case("@me") => {
                words.take();
                words.end_of(me, me)?;
                Command::Status(Which::Mine)
            }
            Some(_) => Command::Status(Which::Of(only_target(verb, words)?)),
        },
        Verb::History => history(words)?,
        Verb::Why => Command::Why(only_target(verb, words)?),
        Verb::Diff => diff(words)?,
        Verb::Cancel => Command::Cancel(only_target(verb, words)?),
        Verb::Notify => Command::Notify(notify(words)?),
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
    if words.count() == 1 && (is_link(first) || is_number(first) || reference(first).is_some()) {
        let what = if is_link(first) { "the link".to_owned() } else { quoted(first) };
        return wrong(format!("the app is missing: it comes before {what}"));
    }
    let TargetWords { app, mut environment } = targets(&mut words)?;
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
    if let Some(named) = to_environment(typed, words) {
        let problem = format!("the environment belongs to the app, {}", quoted(&format!("{first}@{named}")));
        words.take();
        return Err(Wrong { problem, right: suggest([&format!("{first}@{named}"), ""], words.0) });
    }
    let typed = pull_request(typed, &mut words);
    let mut what = parse_what(first, typed, words)?;
    // `checkout 9f3c2ab of release/1`
    let mut after = words;
    if after.take().is_some_and(|of| of.eq_ignore_ascii_case("of"))
        && let Some(branch) = after.take()
    {
        words = after;
        what = in_branch(what, branch, typed)?;
    }
    // `checkout 42 to production`
    let mut after = words;
    if let Some(named) = after.take().and_then(|to| to_environment(to, after)) {
        after.take();
        words = after;
        if environment.as_deref().is_some_and(|environment| environment != named) {
            let problem = format!("{} and {} are two environments", quoted(first), quoted(&named));
            return Err(Wrong { problem, right: None });
        }
        environment = Some(named);
    }
    let override_reason = override_reason(words, typed, &[first, typed])?;
    Ok(DeployWords { app, environment, what, override_reason })
}

/// The environment of `to production`. `after`: the words after `to`.
fn to_environment(to: &str, after: Words<'_>) -> Option<String> {
    let is_to = ["to", "in", "on", "into"].contains(&to.to_lowercase().as_str());
    let named = after.peek().filter(|named| is_to && could_be_app(named) && !named.contains('@'))?;
    Some(named.to_lowercase()).filter(|named| named != "override")
}

/// `pr 42` and `pull request 42` say no more than `42`.
fn pull_request<'a>(typed: &'a str, words: &mut Words<'a>) -> &'a str {
    let is = |word: &str, names: &[&str]| names.contains(&word.to_lowercase().as_str());
    let mut after = *words;
    let mut number = after.take();
    if is(typed, &["pull"]) && number.is_some_and(|word| is(word, &["request"])) {
        number = after.take();
    } else if !is(typed, &["pr", "pull", "pull-request"]) {
        return typed;
    }
    match number.filter(|number| is_number(number.strip_prefix('#').unwrap_or(number))) {
        Some(number) => {
            *words = after;
            number
        }
        None => typed,
    }
}

/// `<app>[@env] [tag | n] [override <reason>]`
fn rollback(mut words: Words<'_>) -> Result<DeployWords, Wrong> {
    let Some(first) = words.peek() else { return wrong("the app is missing after `rollback`".to_owned()) };
    let TargetWords { app, environment } = targets(&mut words)?;
    let (typed, version) = match words.peek() {
        Some(typed) if !typed.eq_ignore_ascii_case("override") => {
            words.take();
            if typed.eq_ignore_ascii_case("to") && words.count() > 0 {
                let problem = format!("the version comes right after {}", quoted(first));
                return Err(Wrong { problem, right: suggest([first, ""], words.0) });
            }
            if let Some(plain) = plain_dashes(typed).filter(|_| !typed.starts_with("tag:")) {
                return Err(Wrong { problem: dashed(typed), right: suggest([first, &plain], words.0) });
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

/// `<app> [[from] to] [override <reason>]`. An environment at the app is the first of the two.
fn promote(words: Words<'_>) -> Result<DeployWords, Wrong> {
    let Environments { app, named, said, words } = environments(Verb::Promote, words)?;
    let override_reason = override_reason(words, said.last().copied().unwrap_or_default(), &said)?;
    let (from, environment) = match named.as_slice() {
        [from, to] if from == to => return wrong(format!("{} is promoted to another environment", quoted(from))),
        [from, to] => (Some(from.clone()), Some(to.clone())),
        all => (None, all.first().cloned()),
    };
    Ok(DeployWords { app, environment, what: What::Promote { from }, override_reason })
}

/// `<app> <environment> <environment>`
fn diff(words: Words<'_>) -> Result<Command, Wrong> {
    let Environments { app, named, said, words } = environments(Verb::Diff, words)?;
    words.end_of(&said.join(" "), said.last().copied().unwrap_or_default())?;
    let Ok(between) = <[String; 2]>::try_from(named) else {
        let problem = format!("two environments of {} are needed", quoted(&app));
        return Err(Wrong { problem, right: like(&app, "staging production") });
    };
    match between {
        [one, other] if one == other => wrong(format!("{} is named twice", quoted(&one))),
        between => Ok(Command::Diff { app, between }),
    }
}

/// An app and up to two environments of it.
struct Environments<'a> {
    app: String,
    named: Vec<String>,
    /// As they were typed.
    said: Vec<&'a str>,
    /// What follows.
    words: Words<'a>,
}

fn environments<'a>(verb: Verb, mut words: Words<'a>) -> Result<Environments<'a>, Wrong> {
    let Some(first) = words.peek() else { return wrong(format!("the app is missing after `{}`", verb.name())) };
    // Several apps are promoted in one request; the difference is that of one.
    let TargetWords { app, environment } =
        if verb == Verb::Promote { targets(&mut words)? } else { target(&mut words)? };
    let mut named: Vec<String> = environment.into_iter().collect();
    let mut said = vec![first];
    while let Some(typed) = words.peek().filter(|typed| !typed.eq_ignore_ascii_case("override")) {
        if named.len() > 1 {
            break;
        }
        words.take();
        said.push(typed);
        // `staging to production`
        if typed.eq_ignore_ascii_case("to") && words.peek().is_some_and(could_be_app) {
            continue;
        }
        if let Some(plain) = plain_dashes(typed) {
            return Err(Wrong { problem: dashed(typed), right: suggest([first, &plain], words.0) });
        }
        let name = EnvironmentName::parse(&typed.to_lowercase()).map_err(|_| Wrong {
            problem: format!("{} is not the name of an environment", quoted(typed)),
            right: like(first, "staging production"),
        })?;
        named.push(name.to_string());
    }
    Ok(Environments { app, named, said, words })
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
    match reason(words, None)? {
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
    let (reason, period) = reason(words, Some(first))?;
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

/// `<app>[@env] [--since <day>]`, or a commit of ours: the beginning of its name, or a link to it.
fn history(mut words: Words<'_>) -> Result<Command, Wrong> {
    let Some(first) = words.peek() else { return wrong("the app is missing after `history`".to_owned()) };
    if let Some(of) = linked_commit(first) {
        words.take();
        words.end_of(&of.app, &of.app)?;
        return Ok(Command::History { of, since: None });
    }
    let of = target(&mut words)?;
    let since = since(first, &mut words)?;
    words.end_of(first, first)?;
    Ok(Command::History { of, since })
}

/// The commit of `https://<host>/<owner>/<name>/commit/<sha>`.
fn linked_commit(word: &str) -> Option<TargetWords> {
    let parts = link_parts(word).filter(|_| is_link(word))?;
    let [_, _, "commit", sha] = parts.as_slice() else { return None };
    let of = TargetWords { app: sha.to_lowercase(), environment: None };
    of.commit().is_some().then_some(of)
}

/// `--since monday`. `first`: the app as typed, for the suggestion.
fn since(first: &str, words: &mut Words<'_>) -> Result<Option<Since>, Wrong> {
    let Some(word) = words.peek().map(undashed) else { return Ok(None) };
    let Some((begin, joined)) = word.split_at_checked(5) else { return Ok(None) };
    if !begin.eq_ignore_ascii_case("since") || !(joined.is_empty() || joined.starts_with(['=', ':'])) {
        return Ok(None);
    }
    words.take();
    let mut typed = joined.trim_start_matches(['=', ':']).to_owned();
    if typed.is_empty() {
        typed.push_str(words.take().unwrap_or_default());
    }
    // `3 days`
    if is_number(&typed) {
        typed.push_str(words.take().unwrap_or_default());
    }
    let since = Since::parse(&typed);
    since.map(Some).ok_or_else(|| Wrong {
        problem: format!(
            "{} is no day like {}, {} or {}",
            quoted(&typed),
            quoted("monday"),
            quoted("2026-11-20"),
            quoted("3d")
        ),
        right: like(first, "--since monday"),
    })
}

/// `thread`, `dm` or `off`.
fn notify(mut words: Words<'_>) -> Result<NotifyBy, Wrong> {
    let typed = words.take().unwrap_or_default();
    let Some(by) = NotifyBy::ALL.into_iter().find(|by| typed.eq_ignore_ascii_case(by.name())) else {
        let all = NotifyBy::ALL.map(|by| quoted(by.name())).join(", ");
        let right = Some(Right::Like(NotifyBy::Dm.name().to_owned()));
        return Err(Wrong { problem: format!("`notify` takes one of {all}"), right });
    };
    words.end_of(by.name(), typed)?;
    Ok(by)
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

/// One target, or several: `checkout,search@production`. A blank after a comma is none.
fn targets(words: &mut Words<'_>) -> Result<TargetWords, Wrong> {
    let mut apps = String::new();
    while let Some(word) = words.peek().filter(|word| word.ends_with(',') && could_be_app(word.trim_end_matches(','))) {
        apps.push_str(&word.to_lowercase());
        words.take();
    }
    let last = target(words)?;
    let apps = format!("{apps}{}", last.app);
    let named: Vec<&str> = apps.split(',').filter(|app| !app.is_empty()).collect();
    if named.is_empty() {
        return wrong("the app is missing".to_owned());
    }
    Ok(TargetWords { app: named.join(","), ..last })
}

/// `<app>[@env]`, as one word.
fn target(words: &mut Words<'_>) -> Result<TargetWords, Wrong> {
    let Some(word) = words.take() else { return wrong("the app is missing".to_owned()) };
    if let Some(plain) = plain_dashes(word).filter(|_| !is_link(word)) {
        return Err(Wrong { problem: dashed(word), right: suggest([&plain, ""], words.0) });
    }
    let next = words.peek();
    if is_link(word) || word.starts_with('#') || reference(word).is_some() {
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

/// A dash that no keyboard for commands has.
fn dashed(word: &str) -> String {
    format!("{} has a dash that looks like {} and is another character", quoted(word), quoted("-"))
}

/// What to deploy. `first`: the app as typed; `after`: the words after it, for the suggestion.
fn parse_what(first: &str, word: &str, after: Words<'_>) -> Result<What, Wrong> {
    if is_link(word) {
        return parse_link(word).map_err(|wrong| match linked_branch(word) {
            Some(branch) => {
                let problem = format!("{} is a link to a branch: type its name", quoted(word));
                Wrong { problem, right: suggest([first, &branch], after.0) }
            }
            None => wrong,
        });
    }
    if let Some((repo, number)) = reference(word) {
        return Ok(What::PullRequestOf { repo, number: parse_number(number)? });
    }
    if let Some(plain) = plain_dashes(word).filter(|_| !word.starts_with("branch:") && !word.starts_with("tag:")) {
        return Err(Wrong { problem: dashed(word), right: suggest([first, &plain], after.0) });
    }
    if let Some(what) = with_kind(word) {
        return what;
    }
    let digits = word.strip_prefix('#').unwrap_or(word);
    // So many digits begin a commit's id rather than that they number a pull request.
    let is_commit = digits.len() == word.len() && CommitDigits::parse(word).is_ok();
    if (is_number(digits) && !is_commit) || digits.is_empty() {
        return parse_number(digits).map(What::PullRequest);
    }
    match BranchName::parse(word) {
        // What begins like an environment is one that was torn off.
        Ok(word) if !word.as_str().starts_with('@') => Ok(What::Named(word)),
        _ => wrong(format!("{} is neither a pull request nor the name of a branch", quoted(word))),
    }
}

/// What is typed with its kind: `branch:42`, `tag:v1.2.3`, `commit:9f3c2ab`, `channel:latest`, `version:main-abc1234`.
fn with_kind(word: &str) -> Option<Result<What, Wrong>> {
    let (kind, name) = match word.split_once(':') {
        Some(typed) => typed,
        None if word.starts_with("refs/heads/") => ("branch", word),
        None if word.starts_with("refs/tags/") => ("tag", word),
        None => return None,
    };
    let (what, is) = match kind {
        "branch" => {
            let name = name.strip_prefix("refs/heads/").unwrap_or(name);
            (BranchName::parse(name).ok().map(What::Branch), "neither a pull request nor the name of a branch")
        }
        "tag" => {
            let tag = GitTag::parse(name.strip_prefix("refs/tags/").unwrap_or(name)).ok();
            (tag.map(|tag| What::Tag { tag, of: None }), "not the name of a Git tag")
        }
        "commit" => {
            let digits = CommitDigits::parse(&name.to_lowercase()).ok();
            (digits.map(|digits| What::Commit { digits, of: None }), "no commit: type 7 to 40 of its digits")
        }
        "channel" => (Tag::parse(name).ok().map(What::Channel), "not the tag of an image"),
        "version" => (Tag::parse(name).ok().map(What::Version), "not the tag of an image"),
        _ => return None,
    };
    Some(what.ok_or_else(|| Wrong { problem: format!("{} is {is}", quoted(word)), right: None }))
}

/// `of release/1`: only a commit and a tag are of a branch.
fn in_branch(what: What, typed: &str, whole: &str) -> Result<What, Wrong> {
    let name = typed.strip_prefix("branch:").unwrap_or(typed);
    let Ok(branch) = BranchName::parse(name.strip_prefix("refs/heads/").unwrap_or(name)) else {
        return wrong(format!("{} is not the name of a branch", quoted(typed)));
    };
    let of = Some(branch);
    Ok(match what {
        What::Tag { tag, .. } => What::Tag { tag, of },
        What::Commit { digits, .. } => What::Commit { digits, of },
        What::Named(word) => match CommitDigits::parse(&word.as_str().to_lowercase()) {
            Ok(digits) => What::Commit { digits, of },
            Err(_) => {
                let tag = GitTag::parse(word.as_str());
                let tag = tag.map_err(|_| Wrong { problem: format!("{} is no tag", quoted(whole)), right: None })?;
                What::Tag { tag, of }
            }
        },
        _ => return wrong(format!("{} is of no branch: only a commit or a tag is", quoted(whole))),
    })
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

/// `acme/checkout#42`, as GitHub writes it. A branch of such a name is typed with `branch:`.
fn reference(word: &str) -> Option<(RepoName, &str)> {
    let (repo, number) = word.split_once('#').filter(|(repo, number)| is_number(number) && repo.contains('/'))?;
    Some((RepoName::parse(repo).ok()?, number))
}

/// The branch of `https://<host>/<owner>/<name>/tree/<branch>`.
fn linked_branch(word: &str) -> Option<String> {
    let parts = link_parts(word)?;
    let [_, _, "tree", branch @ ..] = parts.as_slice() else { return None };
    BranchName::parse(&branch.join("/")).ok().map(|branch| branch.to_string())
}

/// Whether the word is an address, or something that Slack made of one or of a mention:
/// `<https://…|…>`, `<@U…>`.
fn is_link(word: &str) -> bool {
    word.starts_with('<') || word.contains("://") || word.starts_with("github.com/")
}

/// Understands `https://<host>/<owner>/<name>/pull/<number>`, and the links to a commit and to a release, with whatever
/// follows. A commit or a tag of another repository is not found in the app's own. The host is not looked
/// at: it may be an Enterprise Server.
fn parse_link(word: &str) -> Result<What, Wrong> {
    let not_one = || Wrong { problem: format!("{} is not a link to a pull request", quoted(word)), right: None };
    let parts = link_parts(word).ok_or_else(not_one)?;
    let (owner, name, digits) = match parts.as_slice() {
        [owner, name, "pull", digits, ..] => (owner, name, *digits),
        [_, _, "commit" | "commits", sha, ..] => {
            return with_kind(&format!("commit:{sha}")).unwrap_or_else(|| Err(not_one()));
        }
        [_, _, "releases", "tag", tag @ ..] => {
            return with_kind(&format!("tag:{}", tag.join("/"))).unwrap_or_else(|| Err(not_one()));
        }
        _ => return Err(not_one()),
    };
    let repo = RepoName::parse(&format!("{owner}/{name}")).map_err(|_| not_one())?;
    if !is_number(digits) {
        return Err(not_one());
    }
    Ok(What::PullRequestOf { repo, number: parse_number(digits)? })
}

/// The parts of an address after its host.
fn link_parts(word: &str) -> Option<Vec<&str>> {
    let inner = word.trim_start_matches('<').split(['>', '|', '?', '#']).next()?;
    let path = match inner.split_once("://") {
        Some(("http" | "https", path)) => path,
        Some(_) => return None,
        None => inner,
    };
    Some(path.split('/').skip(1).collect())
}
