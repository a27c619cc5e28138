//! One sentence for each refusal and each fault: what happened, did anything change, what to do.

use super::mrkdwn::{code_escape, escape};
use super::text::{LONG, SHORT, clip, code, link, moment, said, some, words};
use crate::command::Verb;
use crate::fault::{Cause, Changed, Fault, System};
use crate::refusal::{Refusal, Right};
use crate::values::EditRefusal;

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

/// The sentence about a request to deploy that was refused.
pub fn refusal(refusal: &Refusal) -> String {
    let (what, todo) = reason(refusal);
    match refusal {
        Refusal::Syntax { .. } => format!("I did not understand that: {what} {NOTHING} {todo}"),
        // Said to the asker alone, without a title in front of it.
        Refusal::OtherWorkspace => format!("{what} {NOTHING} {todo}"),
        // It may still come to it.
        Refusal::NeedsApproval { .. } => format!("not deployed yet: {what} {NOTHING} {todo}"),
        _ => format!("not deployed: {what} {NOTHING} {todo}"),
    }
}

/// The same, about a request for anything else: it stands alone.
pub fn declined(refusal: &Refusal) -> String {
    let (what, todo) = reason(refusal);
    match refusal {
        Refusal::Syntax { .. } | Refusal::OtherWorkspace => self::refusal(refusal),
        _ => format!("{} {NOTHING} {todo}", capital(&what)),
    }
}

/// As the beginning of a sentence. Code stays as it is.
fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// What stands in the way, and what to do about it.
pub(super) fn reason(refusal: &Refusal) -> (String, String) {
    match refusal {
        Refusal::Syntax { problem, verb, right } => {
            let problem = escape(&clip(problem, LONG));
            let typed = |text: &str| format!("`/deploy {}`", code_escape(text, LONG));
            let help = verb.map_or("`/deploy help`".to_owned(), |verb| format!("`/deploy help {}`", verb.name()));
            let right = match right {
                Some(Right::DidYouMean(text)) => format!("Did you mean {}? If not, see {help}.", typed(text)),
                Some(Right::Like(text)) => format!("Type it like {}, or {help}.", typed(text)),
                None => format!("Type it like {}, or {help}.", code(verb.unwrap_or(Verb::Deploy).example())),
            };
            (format!("{problem}."), right)
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
        Refusal::OtherWorkspace => (
            "I serve another Slack workspace.".to_owned(),
            "Ask your administrators which bot deploys here.".to_owned(),
        ),
        Refusal::BrokenCatalog { path, error } => {
            let line = error.line.map(|line| format!(" on line {line}")).unwrap_or_default();
            let problem = escape(clip(&error.problem, LONG).trim_end_matches('.'));
            let stop = if problem.ends_with('?') { "" } else { "." };
            (
                format!("the catalog {} is broken{line}: {problem}{stop}", code(path.as_str())),
                "Fix it on the GitOps branch, then try again.".to_owned(),
            )
        }
        Refusal::NoCatalog { path, repo, branch } => (
            format!("there is no {} on {} of {repo}.", code(path.as_str()), code(branch.as_str())),
            "Add the catalog there, then try again.".to_owned(),
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
            "Wait until the build has pushed it, then try again.".to_owned(),
        ),
        Refusal::NoValuesFile { path, repo } => (
            format!("there is no {} in {repo}.", code(path.as_str())),
            "Add it, or set `values` of this app in the catalog.".to_owned(),
        ),
        Refusal::Edit { path, why } => {
            let (what, todo) = edit(why);
            (format!("I cannot edit {} safely: {what}.", code(path.as_str())), todo)
        }
        Refusal::AlreadyWritten { tag, by, commit, .. } => {
            let by = by.as_ref().map_or("somebody".to_owned(), |by| words(by.as_str(), SHORT));
            (
                format!(
                    "{} was already written by {by} in {}, and I sync only my own commits.",
                    code(tag.as_str()),
                    code(commit.short())
                ),
                "Press the button and I deploy it with a commit of my own, or revert that one and try again."
                    .to_owned(),
            )
        }
        Refusal::Busy { target, by, link: url, .. } => {
            let by = by.as_ref().map_or("another deploy".to_owned(), |by| format!("a deploy by <@{by}>"));
            let seen = url.as_ref().map(|url| format!(" ({})", link(url, "see it"))).unwrap_or_default();
            (format!("{target} is busy with {by}{seen}."), "Try again when that one has ended.".to_owned())
        }
        Refusal::Locked { target, by, reason, since, until, everything } => {
            let what = if *everything { "everything".to_owned() } else { target.to_string() };
            let since = if since.0 == 0 { String::new() } else { format!(" since {}", moment(*since)) };
            let until = until.map(|until| format!(" until {}", moment(until))).unwrap_or_default();
            let scope = if *everything { "all".to_owned() } else { target.to_string() };
            (
                format!("{what} is locked by <@{by}>{since}{until}{}.", said(reason)),
                format!("They or an owner can end that: `/deploy unlock {scope}`."),
            )
        }
        Refusal::BranchNotAllowed { target, branch, allowed } => {
            let allowed: Vec<String> = allowed.iter().map(|glob| code(glob)).collect();
            (
                format!("{target} takes only {}, and this is {}.", allowed.join(", "), code(branch.as_str())),
                "Merge it there, or deploy it to another environment.".to_owned(),
            )
        }
        Refusal::ChecksNotPassed { target, head, state } => {
            let (state, todo) = match state.as_deref() {
                None => {
                    ("it has none", "Check that CI reports on this commit, and that my GitHub token may read checks.")
                }
                Some("PENDING" | "EXPECTED") => ("they are still running", "Wait for them, then try again."),
                Some(_) => ("they failed", "Fix what fails, then deploy the new commit."),
            };
            (
                format!("{target} needs the checks of commit {} to succeed, but {state}.", code(head.short())),
                todo.to_owned(),
            )
        }
        Refusal::ForeignChanges { target, count, by, overridable } => {
            let noun = if *count == 1 { "commit" } else { "commits" };
            let by: Vec<String> = by.iter().map(|who| words(who, SHORT)).collect();
            (
                format!(
                    "{count} unsynced {noun} by {} in the GitOps repository would go live with it, which {target} refuses.",
                    some(&by, "and")
                ),
                if *overridable {
                    "Talk to them. If they may go live, an owner can add `override` and the reason to the command."
                        .to_owned()
                } else {
                    "Talk to them. The catalog names no `owners` there, who could let them through.".to_owned()
                },
            )
        }
        Refusal::NeedsApproval { tag, count, users, groups, until, .. } => {
            let by: Vec<String> = groups
                .iter()
                .map(|group| format!("<!subteam^{group}>"))
                .chain(users.iter().map(|user| format!("<@{user}>")))
                .collect();
            let noun = if *count == 1 { "approval" } else { "approvals" };
            (
                format!("{} needs {count} {noun} by {}.", code(tag.as_str()), some(&by, "or")),
                format!("They can approve it until {}.", moment(*until)),
            )
        }
        Refusal::Frozen { target, until, overridable } => (
            format!("{target} is frozen until {}.", moment(*until)),
            if *overridable {
                "Try again then. In an emergency, an owner can add `override` and the reason to the command.".to_owned()
            } else {
                "Try again then.".to_owned()
            },
        ),
        Refusal::NotOwner { doing, owned } => (
            format!("only an owner may {doing}."),
            if *owned {
                "Ask one of the `owners` in the catalog.".to_owned()
            } else {
                "The catalog names no `owners` there: whoever keeps it can add some.".to_owned()
            },
        ),
        Refusal::HeadMoved { was, is } => (
            format!(
                "the branch has moved from {} to {} since that button was shown.",
                code(was.short()),
                code(is.short())
            ),
            "Type the command again for the new commit.".to_owned(),
        ),
        Refusal::VersionMoved { target, was, is } => (
            format!(
                "that button takes {} away from {target}, but {} was deployed since.",
                code(was.as_str()),
                code(is.as_str())
            ),
            format!("To go back from that one: `/deploy rollback {target}`."),
        ),
        Refusal::UnknownWritten { target, tags } => {
            let (what, todo) = match tags.as_slice() {
                [tag] => (
                    format!(
                        "the file says {}, which I never deployed to {target}, so I do not know what it is.",
                        code(tag)
                    ),
                    "Type the pull request or branch that it was built from, like",
                ),
                tags => {
                    let tags: Vec<String> = tags.iter().map(|tag| code(tag)).collect();
                    (format!("{target} has several tags in Git: {}.", some(&tags, "and")), "Type what to deploy, like")
                }
            };
            (what, format!("{todo} `/deploy {target} main`."))
        }
        Refusal::NoEarlierVersion { target } => (
            format!("I remember no earlier healthy version of {target}."),
            format!("`/deploy history {target}` shows what I remember; any branch can be deployed by its name."),
        ),
        Refusal::AlreadyLive { target, tag } => (
            format!("{} is what runs in {target}, so there is nothing to go back to.", code(tag.as_str())),
            format!("`/deploy history {target}` shows the versions before it, which you can name."),
        ),
        Refusal::UnknownVersion { target, typed, known } => {
            let known: Vec<String> = known.iter().map(|tag| code(tag)).collect();
            let known = if known.is_empty() { String::new() } else { format!("I remember {}. ", known.join(", ")) };
            (
                format!("I remember no version {} of {target}.", code(typed)),
                format!("{known}`/deploy history {target}` shows them all."),
            )
        }
        Refusal::WasRolledBack { target, tag, by, at, .. } => (
            format!("{} was rolled back from {target} by <@{by}> ({}).", code(tag.as_str()), moment(*at)),
            "Deploy a newer version, or press the button if you mean this one.".to_owned(),
        ),
        Refusal::KeepsMoving { attempts } => (
            format!("the GitOps branch moved each of the {attempts} times that I tried to commit."),
            "Try again when it is quieter there.".to_owned(),
        ),
        Refusal::TooLate { minutes } => (
            format!("I did not get to it within {minutes} minutes."),
            "Try again. If that does not help, tell whoever runs me.".to_owned(),
        ),
        Refusal::CatalogChanged => {
            ("the catalog kept changing while I worked.".to_owned(), "Try again when it is settled.".to_owned())
        }
    }
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
            "Whoever runs me has to fix that. Then try again."
        }
        _ => "Try again in a minute. If that does not help, tell whoever runs me.",
    }
}
