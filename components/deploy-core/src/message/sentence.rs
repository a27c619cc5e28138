//! One sentence for each refusal and each fault: what happened, did anything change, what to do.

use super::{LONG, SHORT, clip, code, said, words};
use crate::fault::{Cause, Changed, Fault, System};
use crate::manifest::EditRefusal;
use crate::refusal::Refusal;
use crate::slack::escape;

/// What every refusal ends with, before what to do: a refusal never changes anything.
const NOTHING: &str = "Nothing was changed.";

/// `has`: "It has".
fn did_you_mean(nearest: Option<&str>, has: &str, known: &[String]) -> String {
    // No more than ten are handed in, so with ten there may be more.
    let more = if known.len() >= 10 { ", …" } else { "." };
    let known: Vec<String> = known.iter().map(|name| code(name)).collect();
    match (nearest, known.is_empty()) {
        (Some(nearest), _) => format!("Did you mean {}?", code(nearest)),
        (None, false) => format!("{has} {}{more}", known.join(", ")),
        (None, true) => format!("{has} none."),
    }
}

/// The sentence about a refusal.
pub fn refusal(refusal: &Refusal) -> String {
    let (what, todo) = match refusal {
        Refusal::Syntax { problem } => {
            let problem = escape(&clip(problem, LONG));
            return format!(
                "I did not understand that: {problem}. {NOTHING} Type it like `/deploy checkout 42`, or `/deploy help`."
            );
        }
        Refusal::UnknownApp { typed, did_you_mean: nearest, known } => (
            format!("there is no app {} in the catalog.", code(typed)),
            did_you_mean(nearest.as_deref(), "The catalog has", known),
        ),
        Refusal::UnknownEnvironment { app, typed, known, .. } if typed.is_empty() => {
            let example = format!("{app}@{}", known.first().map_or("production", String::as_str));
            (
                format!("{} has several environments.", code(app)),
                format!("Name one, like {}. {}", code(&example), did_you_mean(None, "It has", known)),
            )
        }
        Refusal::UnknownEnvironment { app, typed, did_you_mean: nearest, known } => (
            format!("{} has no environment {}.", code(app), code(typed)),
            did_you_mean(nearest.as_deref(), "It has", known),
        ),
        Refusal::NotAllowed { target, nobody: true, .. } => (
            format!("nobody may deploy {target}: its `allow` in the catalog names nobody."),
            "Whoever owns the catalog can add people, or `allow: anyone`.".to_owned(),
        ),
        Refusal::NotAllowed { target, wrong_channel: true, .. } => (
            format!("{target} may not be deployed from this channel."),
            "Type it in one of the channels that the catalog names.".to_owned(),
        ),
        Refusal::NotAllowed { target, .. } => {
            (format!("you may not deploy {target}."), "Whoever owns the catalog can add you to its `allow`.".to_owned())
        }
        // Said to the asker alone, without a title in front of it.
        Refusal::OtherWorkspace => {
            return format!(
                "I serve another Slack workspace. {NOTHING} Ask your administrators which bot deploys here."
            );
        }
        Refusal::BrokenCatalog { path, error } => {
            let line = error.line.map(|line| format!(" on line {line}")).unwrap_or_default();
            let problem = escape(clip(&error.problem, LONG).trim_end_matches('.'));
            let stop = if problem.ends_with('?') { "" } else { "." };
            (
                format!("the catalog {} is broken{line}: {problem}{stop}", code(path.as_str())),
                "Fix it on the GitOps branch, then type the command again.".to_owned(),
            )
        }
        Refusal::NoCatalog { path, repo, branch } => (
            format!("there is no {} on {} of {repo}.", code(path.as_str()), code(branch.as_str())),
            "Add the catalog there, then type the command again.".to_owned(),
        ),
        Refusal::OtherRepository { number, repo, app, own } => (
            format!("{repo}{number} is no pull request of {}, which is built from {own}.", code(app.as_str())),
            "Check the app and the link.".to_owned(),
        ),
        Refusal::NoSuchPullRequest { number, repo } => (
            format!("{repo} has no pull request {number}."),
            format!("Check the number. A branch of that name is typed `branch:{}`.", number.0),
        ),
        Refusal::PullRequestNotOpen { number, merged, base } => {
            let branch = base.as_ref().map_or("a branch".to_owned(), |base| code(base.as_str()));
            // One that is merged cannot be opened again.
            if *merged {
                (format!("pull request {number} is merged already."), format!("Deploy {branch} instead."))
            } else {
                (format!("pull request {number} is closed."), format!("Reopen it, or deploy {branch}."))
            }
        }
        Refusal::FromFork { number } => (
            format!("pull request {number} comes from a fork, whose image our CI does not build."),
            "Push its branch to the app's own repository and deploy that.".to_owned(),
        ),
        Refusal::NoSuchBranch { branch, repo } => (
            format!("{repo} has no branch {}.", code(branch.as_str())),
            "Check the name. For a pull request, type its number.".to_owned(),
        ),
        Refusal::NoSuchRepository { repo } => (
            format!("GitHub shows me no repository {repo}."),
            "Check its name in the catalog or in `gitops_repo`, and that my GitHub token may read it.".to_owned(),
        ),
        Refusal::NoGitOpsBranch { repo, branch } => (
            format!("{repo} has no branch {}.", code(branch.as_str())),
            "Whoever runs me has to check `gitops_branch`.".to_owned(),
        ),
        Refusal::NoValidTag { made } => (
            format!("branch and commit make {}, which is not a valid image tag.", code(made)),
            "Rename the branch (a tag has at most 128 characters and starts with a letter, digit or `_`).".to_owned(),
        ),
        Refusal::NoImage { image, tag, head } => (
            format!(
                "the registry has no tag {} of {} (commit {}).",
                code(tag.as_str()),
                code(image.as_str()),
                code(head.short())
            ),
            "Wait until the build has pushed it, then type the command again.".to_owned(),
        ),
        Refusal::NoValuesFile { path, repo } => (
            format!("there is no {} in {repo}.", code(path.as_str())),
            "Add it, or set `values` of this app in the catalog.".to_owned(),
        ),
        Refusal::Edit { path, why } => {
            let (what, todo) = edit(why);
            (format!("I cannot edit {} safely: {what}.", code(path.as_str())), todo)
        }
        Refusal::AlreadyWritten { tag, by, commit } => {
            let by = by.as_ref().map_or("somebody".to_owned(), |by| words(by.as_str(), SHORT));
            (
                format!(
                    "{} was already written by {by} in {}, and I sync only my own commits.",
                    code(tag.as_str()),
                    code(commit.short())
                ),
                "Revert that commit, then type the command again.".to_owned(),
            )
        }
        Refusal::Busy { target, by, link, .. } => {
            let by = by.as_ref().map_or("another deploy".to_owned(), |by| format!("a deploy by <@{by}>"));
            let seen = link.as_ref().map(|link| format!(" ({})", super::link(link, "see it"))).unwrap_or_default();
            (format!("{target} is busy with {by}{seen}."), "Type the command again when that one has ended.".to_owned())
        }
        Refusal::Locked { target, by, reason } => {
            (format!("{target} is locked by <@{by}>{}.", said(reason)), "Ask them to unlock it.".to_owned())
        }
        Refusal::KeepsMoving { attempts } => (
            format!("the GitOps branch moved each of the {attempts} times that I tried to commit."),
            "Type the command again when it is quieter there.".to_owned(),
        ),
        Refusal::TooLate { minutes } => (
            format!("I did not get to it within {minutes} minutes."),
            "Type it again; if it stays, tell whoever runs me.".to_owned(),
        ),
        Refusal::CatalogChanged => (
            "the catalog kept changing while I worked.".to_owned(),
            "Type the command again when it is settled.".to_owned(),
        ),
    };
    format!("not deployed: {what} {NOTHING} {todo}")
}

/// What is wrong with the values file, and what to do about it.
fn edit(why: &EditRefusal) -> (String, String) {
    let at = |path: &str, line: usize| format!("{} (line {line})", code(path));
    let tag_at = || "Fix the file, or point `tag_at` of this app somewhere else.".to_owned();
    match why {
        EditRefusal::PathMissing { path, exists, line } => {
            let far = match (exists.is_empty(), line) {
                (false, Some(line)) => format!(", only {} (line {line})", code(exists)),
                _ => String::new(),
            };
            (
                format!("it has no {}{far}", code(path)),
                "Add it there, or set `tag_at` of this app in the catalog.".to_owned(),
            )
        }
        EditRefusal::NotAScalar { path, line } => (format!("{} is not a single value", at(path, *line)), tag_at()),
        EditRefusal::NoValue { path, line } => {
            (format!("{} has no value", at(path, *line)), "Write any quoted value there once.".to_owned())
        }
        EditRefusal::NotAString { path, line, tag } => {
            (format!("{} has the explicit type {}, which is not a string", at(path, *line), code(tag)), tag_at())
        }
        EditRefusal::Alias { path, line } => {
            (format!("{} is written elsewhere and only referred to by an alias", at(path, *line)), tag_at())
        }
        EditRefusal::UsedElsewhere { path, line } => {
            (format!("{} is anchored, and line {line} uses it too, so an edit would change both", code(path)), tag_at())
        }
        EditRefusal::OnlyMerged { path, line } => (
            format!("{} comes only from a merge key `&lt;&lt;` (line {line})", code(path)),
            "Write the key into the file itself.".to_owned(),
        ),
        EditRefusal::DuplicateKey { path, key, line } => {
            let way = if key == path { String::new() } else { format!("on the way to {} ", code(path)) };
            (
                format!("{way}the key {} stands twice (again on line {line})", code(key)),
                "Remove one of them.".to_owned(),
            )
        }
        EditRefusal::SeveralDocuments { path, line } => {
            (format!("several of its documents have {} (again on line {line})", code(path)), tag_at())
        }
        EditRefusal::MultiLine { path, line } => {
            (format!("{} is a block or stands on several lines", at(path, *line)), "Write it on one line.".to_owned())
        }
        EditRefusal::Syntax { line, problem } => {
            (format!("line {line} is not plain YAML ({})", words(problem, SHORT)), "Fix that line.".to_owned())
        }
        EditRefusal::NotUtf8 { line } => (format!("line {line} is not UTF-8"), "Save it as UTF-8.".to_owned()),
        EditRefusal::Truncated => ("GitHub gives me only a part of it".to_owned(), "Make it smaller.".to_owned()),
        EditRefusal::TooLarge { bytes, limit } => {
            (format!("it has {bytes} bytes, and I edit at most {limit}"), "Make it smaller.".to_owned())
        }
        EditRefusal::UnsafeTag => ("the tag has characters that YAML would have to escape".to_owned(), report()),
        EditRefusal::Unproven { path } => {
            (format!("I could not prove that only {} would change", code(path)), report())
        }
    }
}

fn report() -> String {
    "That is a bug of mine: please report it with the file.".to_owned()
}

fn name(system: System) -> &'static str {
    match system {
        System::GitHub => "GitHub",
        System::Registry => "the registry",
        System::ArgoCd => "Argo CD",
        System::Slack => "Slack",
        System::Store => "my store",
        System::Redis => "Redis",
        System::Settings => "a setting",
    }
}

/// What went wrong, as a clause.
pub(super) fn cause(system: System, cause: &Cause) -> String {
    let name = name(system);
    match cause {
        Cause::Denied => format!("the address of {name} is not among my allowed hosts"),
        Cause::NotConnected => format!("{name} cannot be reached"),
        Cause::TimedOut => format!("{name} did not answer in time"),
        Cause::Broken => format!("the connection to {name} broke"),
        Cause::TooLarge => format!("the answer of {name} is too long"),
        Cause::Status { status } => format!("{name} answered with status {status}"),
        Cause::Unauthorized if system == System::Registry => {
            "my credentials for it are missing or not accepted".to_owned()
        }
        Cause::Unauthorized => format!("{name} does not accept my token"),
        Cause::Forbidden { said: why } => format!("{name} does not allow it{}", said(why)),
        Cause::RateLimited { seconds: Some(seconds) } => {
            format!("{name} limits how often I may ask (again in {seconds} s)")
        }
        Cause::RateLimited { seconds: None } => format!("{name} limits how often I may ask"),
        Cause::Nonsense { part } => {
            format!("{name} answered something that I do not understand ({})", words(part, SHORT))
        }
        Cause::Said { said: what } => format!("{name} says{}", said(what)),
        Cause::Setting { variable } => format!("the variable {} is missing or malformed", code(variable)),
    }
}

/// "I could not …: …."
pub(super) fn could_not(fault: &Fault) -> String {
    format!("I could not {}: {}.", words(&fault.doing, LONG), cause(fault.system, &fault.cause))
}

/// The sentence about a fault before the commit, or about a setting.
pub fn fault(fault: &Fault) -> String {
    let changed = match fault.changed {
        Changed::Nothing => NOTHING,
        Changed::Yes => "The values file is changed.",
        Changed::Unknown => "I do not know yet whether anything was changed.",
    };
    format!("{} {changed} {}", could_not(fault), todo(&fault.cause))
}

/// What to do about a fault.
pub(super) fn todo(cause: &Cause) -> &'static str {
    match cause {
        Cause::Denied | Cause::Unauthorized | Cause::Forbidden { .. } | Cause::Setting { .. } => {
            "Whoever runs me has to fix that. Then type the command again."
        }
        _ => "Type the command again in a minute. If that does not help, tell whoever runs me.",
    }
}
