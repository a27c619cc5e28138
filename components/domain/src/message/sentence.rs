//! The sentences about each refusal and each fault: what happened, whether anything changed where one could
//! doubt it, and what to do next.

use super::mrkdwn::{code_escape, escape};
use super::text::{LONG, SHORT, clip, code, link, moment, said, some, words};
use crate::command::Verb;
use crate::fault::{Cause, Changed, Fault, System};
use crate::github::ChecksState;
use crate::names::GitHubLogin;
use crate::refusal::{NotAllowed, Refusal, Right};
use crate::values::EditRefusal;

/// Said where one could believe otherwise: a refusal never changes anything, so "not deployed" is enough
/// there.
pub(super) const NOTHING: &str = "Nothing was changed.";

/// `are`: "The apps are".
fn did_you_mean(nearest: Option<&str>, are: &str, known: &[String]) -> String {
    // The list holds at most ten names, so with ten there may be more.
    let more = if known.len() >= 10 { ", …" } else { "." };
    let known: Vec<String> = known.iter().map(|name| code(name)).collect();
    match (nearest, known.is_empty()) {
        (Some(nearest), _) => format!("Did you mean {}?", code(nearest)),
        (None, false) => format!("{are} {}{more}", known.join(", ")),
        (None, true) => "Add it to `deploy-bot.yaml` first.".to_owned(),
    }
}

/// The sentence about a request to deploy that was refused.
pub fn refusal(refusal: &Refusal) -> String {
    let (what, todo) = reason(refusal);
    match refusal {
        Refusal::Syntax { .. } => format!("I didn't understand that: {what} {todo}"),
        // Only the asker reads this, without a title in front.
        Refusal::OtherWorkspace => format!("{what} {todo}"),
        Refusal::NeedsApproval { .. } => format!("not deployed yet: {what} {todo}"),
        _ => format!("not deployed: {what} {todo}"),
    }
}

/// The sentence about any other request that was refused. There is no title in front of it.
pub fn declined(refusal: &Refusal) -> String {
    let (what, todo) = reason(refusal);
    match refusal {
        Refusal::Syntax { .. } | Refusal::OtherWorkspace => self::refusal(refusal),
        _ => format!("{} {todo}", capital(&what)),
    }
}

/// With a capital letter at the beginning, unless it begins with code.
fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// What is in the way, and what to do about it.
#[expect(clippy::too_many_lines, reason = "a table: one entry for each refusal")]
pub(super) fn reason(refusal: &Refusal) -> (String, String) {
    match refusal {
        Refusal::Syntax { problem, verb, right } => {
            let problem = escape(&clip(problem, LONG));
            let typed = |text: &str| format!("`/deploy {}`", code_escape(text, LONG));
            let help = verb.map_or("`/deploy help`".to_owned(), |verb| format!("`/deploy help {}`", verb.name()));
            let right = match right {
                Some(Right::DidYouMean(text)) => format!("Did you mean {}? If not, see {help}.", typed(text)),
                Some(Right::Like(text)) => format!("Type it like {}, or see {help}.", typed(text)),
                None => format!("Type it like {}, or see {help}.", code(verb.unwrap_or(Verb::Deploy).example())),
            };
            (format!("{problem}."), right)
        }
        Refusal::UnknownApp { typed, did_you_mean: nearest, known } => {
            (format!("there is no app {}.", code(typed)), did_you_mean(nearest.as_deref(), "The apps are", known))
        }
        Refusal::UnknownEnvironment { app, typed: None, known, .. } => {
            let example = format!("{app}@{}", known.first().map_or("production", String::as_str));
            (
                format!("{} has several environments.", code(app)),
                format!("Say which one, like {}. {}", code(&example), did_you_mean(None, "It has", known)),
            )
        }
        Refusal::UnknownEnvironment { app, typed: Some(typed), did_you_mean: nearest, known } => (
            format!("{} has no environment {}.", code(app), code(typed)),
            did_you_mean(nearest.as_deref(), "It has", known),
        ),
        Refusal::NotAllowed { target, why: NotAllowed::Nobody } => (
            format!("nobody is set up to deploy {target} yet."),
            "Ask whoever looks after `deploy-bot.yaml` to add your team there.".to_owned(),
        ),
        Refusal::NotAllowed { target, why: NotAllowed::WrongChannel } => (
            format!("{target} can't be deployed from this channel."),
            "Use one of the channels that `deploy-bot.yaml` lists for it.".to_owned(),
        ),
        Refusal::NotAllowed { target, why: NotAllowed::NotListed } => {
            let todo = "Ask whoever looks after `deploy-bot.yaml` to add you there.";
            (format!("you aren't allowed to deploy {target}."), todo.to_owned())
        }
        Refusal::OtherWorkspace => (
            "I work for another Slack workspace.".to_owned(),
            "Ask your Slack admins which bot deploys here.".to_owned(),
        ),
        Refusal::BrokenCatalog { path, error } => {
            let line = error.line.map(|line| format!(" on line {line}")).unwrap_or_default();
            let problem = escape(clip(&error.problem, LONG).trim_end_matches('.'));
            let stop = if problem.ends_with('?') { "" } else { "." };
            (
                format!("{} has a mistake{line}: {problem}{stop}", code(path.as_str())),
                "Fix it in Git, then try again.".to_owned(),
            )
        }
        Refusal::NoCatalog { path, repo, branch } => (
            format!("there is no {} on {} of {repo}.", code(path.as_str()), code(branch.as_str())),
            "Add it there, then try again.".to_owned(),
        ),
        Refusal::OtherRepository { number, repo, app, own } => (
            format!("that link is to {repo}{number}, but {} is built from {own}.", code(app.as_str())),
            "Check the app and the link.".to_owned(),
        ),
        Refusal::NoSuchPullRequest { number, repo } => (
            format!("{repo} has no pull request {number}."),
            format!("Check the number. If you mean a branch of that name, type `branch:{}`.", number.0),
        ),
        Refusal::PullRequestNotOpen { number, merged, base } => {
            let branch = base.as_ref().map_or("a branch".to_owned(), |base| code(base.as_str()));
            // A merged pull request cannot be reopened.
            if *merged {
                (format!("pull request {number} is already merged."), format!("Deploy {branch} instead."))
            } else {
                (format!("pull request {number} is closed."), format!("Reopen it, or deploy {branch}."))
            }
        }
        Refusal::FromFork { number } => (
            format!("pull request {number} comes from a fork, and CI builds no images for forks."),
            "Push its branch to the app's own repository and deploy that.".to_owned(),
        ),
        Refusal::NoSuchBranch { branch, repo } => (
            format!("{repo} has no branch {}.", code(branch.as_str())),
            "Check the name. For a pull request, type its number.".to_owned(),
        ),
        Refusal::NoSuchRepository { repo } => (
            format!("I can't find the repository {repo} on GitHub."),
            "Check its name in `deploy-bot.yaml` (or the setting `gitops_repo`), and that my GitHub token may read it."
                .to_owned(),
        ),
        Refusal::NoGitOpsBranch { repo, branch } => (
            format!("{repo} has no branch {}.", code(branch.as_str())),
            "Ask whoever runs me to check the setting `gitops_branch`.".to_owned(),
        ),
        Refusal::NoValidTag { made } => (
            format!("branch and commit make {}, which isn't a valid image tag.", code(made)),
            "Rename the branch (a tag has at most 128 characters and starts with a letter, digit or `_`).".to_owned(),
        ),
        Refusal::NoImage { image, tag, head } => (
            format!(
                "there is no image {} in {} yet (commit {}).",
                code(tag.as_str()),
                code(image.as_str()),
                code(head.short())
            ),
            "Wait until CI has built it, then try again.".to_owned(),
        ),
        Refusal::NoValuesFile { path, repo } => (
            format!("there is no {} in {repo}.", code(path.as_str())),
            "Add it, or set `values` of this app in `deploy-bot.yaml` to the right file.".to_owned(),
        ),
        Refusal::Edit { path, why } => edit(&code(path.as_str()), why),
        Refusal::AlreadyWritten { tag, by, commit, .. } => {
            let by = by.as_ref().map_or("somebody".to_owned(), |by| words(by.as_str(), SHORT));
            (
                format!(
                    "{by} put {} into Git by hand ({}), but didn't deploy it through me.",
                    code(tag.as_str()),
                    code(commit.short())
                ),
                "Press *Deploy it* to roll it out now.".to_owned(),
            )
        }
        Refusal::Busy { target, by, link: url, .. } => {
            let by = by.as_ref().map_or("another deploy".to_owned(), |by| format!("a deploy by <@{by}>"));
            let seen = url.as_ref().map(|url| format!(" ({})", link(url, "see it"))).unwrap_or_default();
            (format!("{target} is busy with {by}{seen}."), "Try again when it's done.".to_owned())
        }
        Refusal::Locked { target, by, reason, since, until, everything } => {
            let what = if *everything { "everything".to_owned() } else { target.to_string() };
            let until = until.map(|until| format!(" until {}", moment(until))).unwrap_or_default();
            let scope = if *everything { "all".to_owned() } else { target.to_string() };
            (
                format!("{what} is locked by <@{by}> since {}{until}{}.", moment(*since), said(reason)),
                format!("They or an owner can unlock it: `/deploy unlock {scope}`."),
            )
        }
        Refusal::BranchNotAllowed { target, branch, allowed } => {
            let allowed: Vec<String> = allowed.iter().map(|glob| code(glob)).collect();
            (
                format!("only {} can go to {target}, and this is {}.", allowed.join(", "), code(branch.as_str())),
                "Merge it first, or deploy it to another environment.".to_owned(),
            )
        }
        Refusal::ChecksNotPassed { target, head, state } => {
            let (state, todo) = match state {
                None => {
                    ("it has none", "Check that CI reports on this commit, and that my GitHub token may read checks.")
                }
                Some(ChecksState::Running) => ("they are still running", "Wait for them, then try again."),
                Some(_) => ("they failed", "Fix them, then deploy the new commit."),
            };
            (
                format!("{target} needs the checks of commit {} to pass, but {state}.", code(head.short())),
                todo.to_owned(),
            )
        }
        Refusal::NotReviewed { target, number, url, head, count, given, outdated, against } => {
            let noun = if *count == 1 { "review" } else { "reviews" };
            let has = if *given == 0 { "none".to_owned() } else { given.to_string() };
            let pull_request = link(url.as_deref().unwrap_or_default(), &format!("pull request {number}"));
            let did = |people: &[GitHubLogin], what: &str| {
                let people: Vec<String> = people.iter().map(|login| words(login.as_str(), SHORT)).collect();
                if people.is_empty() { String::new() } else { format!(" {} {what}.", some(&people, "and")) }
            };
            (
                format!(
                    "{target} needs {count} approving {noun} of commit {}, and {pull_request} has {has}.{}{}",
                    code(head.short()),
                    did(outdated, "approved an earlier commit"),
                    did(against, "asked for changes")
                ),
                "Ask somebody who can write to the repository, but isn't an author, to approve it there. Then try again."
                    .to_owned(),
            )
        }
        Refusal::NeedsPullRequest { target, branch } => (
            format!("{target} takes only reviewed pull requests, and {} is a branch.", code(branch.as_str())),
            format!("Open a pull request, have it reviewed, and deploy it by its number, like `/deploy {target} 42`."),
        ),
        Refusal::ForeignChanges { target, count, by, overridable } => {
            let changes = if *count == 1 { "change" } else { "changes" };
            let live = if *count == 1 { "isn't live" } else { "aren't live" };
            let by: Vec<String> = by.iter().map(|who| words(who, SHORT)).collect();
            (
                format!(
                    "this would also ship {count} config {changes} by {} that {live} yet, and {target} doesn't allow that.",
                    some(&by, "and")
                ),
                if *overridable {
                    "Check with them. An owner can go ahead by adding `override` and the reason to the command."
                        .to_owned()
                } else {
                    "Check with them. Nobody can go ahead: it has no `owners` in `deploy-bot.yaml`.".to_owned()
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
                "Try again then. In an emergency, an owner can go ahead by adding `override` and the reason to the command."
                    .to_owned()
            } else {
                "Try again then.".to_owned()
            },
        ),
        Refusal::NotOwner { doing, owned } => (
            format!("only an owner may {doing}."),
            if *owned {
                "Ask one of the `owners` in `deploy-bot.yaml`.".to_owned()
            } else {
                "There are none yet: ask whoever looks after `deploy-bot.yaml` to add `owners`.".to_owned()
            },
        ),
        Refusal::HeadMoved { was, is } => (
            format!(
                "the branch has moved from {} to {} since you saw that button.",
                code(was.short()),
                code(is.short())
            ),
            "Type the command again for the new commit.".to_owned(),
        ),
        Refusal::VersionMoved { target, was, is } => (
            format!(
                "this button is out of date (it rolls back {}): {} has been deployed since.",
                code(was.as_str()),
                code(is.as_str())
            ),
            format!("To roll *that* back: `/deploy rollback {target}`."),
        ),
        Refusal::UnknownWritten { target, tags } => {
            let (what, todo) = match tags.as_slice() {
                [tag] => (
                    format!(
                        "Git says {}, which I never deployed to {target}, so I can't tell where it comes from.",
                        code(tag)
                    ),
                    "Deploy its pull request or branch instead, like",
                ),
                tags => {
                    let tags: Vec<String> = tags.iter().map(|tag| code(tag)).collect();
                    (
                        format!("{target} has several versions in Git: {}.", some(&tags, "and")),
                        "Say what to deploy, like",
                    )
                }
            };
            (what, format!("{todo} `/deploy {target} main`."))
        }
        Refusal::NoEarlierVersion { target } => (
            format!("I know of no earlier healthy version of {target}."),
            format!("`/deploy history {target}` shows what I know. You can deploy any branch by its name."),
        ),
        Refusal::AlreadyLive { target, tag } => (
            format!("{target} already runs {}, so there is nothing to go back to.", code(tag.as_str())),
            format!("`/deploy history {target}` lists the earlier versions."),
        ),
        Refusal::UnknownVersion { target, typed, known } => {
            let known: Vec<String> = known.iter().map(|tag| code(tag)).collect();
            let known = if known.is_empty() { String::new() } else { format!("I know {}. ", known.join(", ")) };
            (
                format!("I don't know a version {} of {target}.", code(typed)),
                format!("{known}`/deploy history {target}` lists them all."),
            )
        }
        Refusal::WasRolledBack { target, tag, by, at, .. } => (
            format!("{} was rolled back from {target} by <@{by}> ({}).", code(tag.as_str()), moment(*at)),
            "Deploy a newer version, or press the button if you do mean this one.".to_owned(),
        ),
        Refusal::KeepsMoving { attempts } => (
            format!("other commits came first, each of the {attempts} times that I tried to commit."),
            "Try again in a minute.".to_owned(),
        ),
        Refusal::TooLate { minutes } => (
            format!("I was too busy and gave up after {minutes} minutes."),
            "Try again. If it keeps failing, tell whoever runs me.".to_owned(),
        ),
        Refusal::CatalogChanged => {
            ("`deploy-bot.yaml` kept changing while I worked.".to_owned(), "Try again in a minute.".to_owned())
        }
    }
}

/// Why a file cannot be edited, and what to do about it.
fn edit(file: &str, why: &EditRefusal) -> (String, String) {
    let at = |path: &str, line: usize| format!("{} (line {line})", code(path));
    let tag_at = || "Fix the file, or set `tag_at` in `deploy-bot.yaml` to where the tag is.".to_owned();
    let (what, todo) = match why {
        EditRefusal::PathMissing { path, exists, line } => {
            let far = match (exists.is_empty(), line) {
                (false, Some(line)) => format!(", only {} (line {line})", code(exists)),
                _ => String::new(),
            };
            (
                format!("it has no {}{far}", code(path)),
                "Add it there, or set `tag_at` in `deploy-bot.yaml` to where the tag is.".to_owned(),
            )
        }
        EditRefusal::NotAScalar { path, line } => (format!("{} is not a single value", at(path, *line)), tag_at()),
        EditRefusal::NoValue { path, line } => {
            (format!("{} is empty", at(path, *line)), "Write any value in quotes there once.".to_owned())
        }
        EditRefusal::NotAString { path, line, tag } => {
            (format!("{} is marked as {}, not as text", at(path, *line), code(tag)), tag_at())
        }
        EditRefusal::Alias { path, line } => {
            (format!("{} only refers to a value elsewhere (a YAML alias)", at(path, *line)), tag_at())
        }
        EditRefusal::UsedElsewhere { path, line } => (
            format!("line {line} uses the value of {} too (a YAML anchor), so an edit would change both", code(path)),
            tag_at(),
        ),
        EditRefusal::OnlyMerged { path, line } => (
            format!("{} comes only from a merge key `&lt;&lt;` (line {line})", code(path)),
            "Write the key itself into the file.".to_owned(),
        ),
        EditRefusal::DuplicateKey { path, key, line } => {
            let way = if key == path { String::new() } else { format!("on the way to {} ", code(path)) };
            (
                format!("{way}the key {} is there twice (again on line {line})", code(key)),
                "Remove one of them.".to_owned(),
            )
        }
        EditRefusal::SeveralDocuments { path, line } => {
            (format!("several documents in it have {} (again on line {line})", code(path)), tag_at())
        }
        EditRefusal::MultiLine { path, line } => {
            (format!("{} spans several lines", at(path, *line)), "Write it on one line.".to_owned())
        }
        EditRefusal::Syntax { line, problem } => {
            (format!("line {line} is not valid YAML ({})", words(problem, SHORT)), "Fix that line.".to_owned())
        }
        EditRefusal::NotUtf8 { line } => (format!("line {line} is not UTF-8"), "Save the file as UTF-8.".to_owned()),
        EditRefusal::Truncated | EditRefusal::TooLarge { .. } => {
            let todo =
                "Move the tag to a smaller file, and set `values` of this app in `deploy-bot.yaml` to that file.";
            return (format!("{file} is too large for me to edit."), todo.to_owned());
        }
        EditRefusal::UnsafeTag => ("the tag has characters that YAML would have to escape".to_owned(), report()),
        EditRefusal::Unproven { path } => (format!("I couldn't prove that only {} would change", code(path)), report()),
    };
    (format!("I can't safely edit {file}: {what}."), todo)
}

fn report() -> String {
    "That's a bug of mine: please report it with the file.".to_owned()
}

fn name(system: System) -> &'static str {
    match system {
        System::GitHub => "GitHub",
        System::Registry => "the registry",
        System::ArgoCd => "Argo CD",
        System::Slack => "Slack",
        System::Store => "my database",
        System::Redis => "my database (Redis)",
        System::Settings => "a setting",
    }
}

/// What went wrong, as a clause.
pub(super) fn cause(system: System, cause: &Cause) -> String {
    let name = name(system);
    match cause {
        Cause::Denied => format!("the address of {name} is not in my list of allowed hosts"),
        Cause::NotConnected => format!("I can't reach {name}"),
        Cause::TimedOut => format!("{name} didn't answer in time"),
        Cause::Broken => format!("the connection to {name} broke"),
        Cause::TooLarge => format!("the answer from {name} is too long"),
        Cause::Status { status } => format!("{name} answered with status {status}"),
        Cause::Unauthorized if system == System::Registry => {
            "my credentials for it are missing or not accepted".to_owned()
        }
        Cause::Unauthorized => format!("{name} doesn't accept my token"),
        Cause::Forbidden { said: why } => format!("{name} doesn't allow it{}", said(why)),
        Cause::RateLimited { seconds: Some(seconds) } => {
            format!("{name} limits how often I may ask (again in {seconds} s)")
        }
        Cause::RateLimited { seconds: None } => format!("{name} limits how often I may ask"),
        Cause::Nonsense { part } => {
            format!("{name} gave an answer that I don't understand ({})", words(part, SHORT))
        }
        Cause::Said { said: what } => format!("{name} says{}", said(what)),
        Cause::Setting { variable } => format!("the setting {} is missing or malformed", code(variable)),
    }
}

/// "I couldn't …: …."
pub(super) fn could_not(fault: &Fault) -> String {
    format!("I couldn't {}: {}.", words(&fault.doing, LONG), cause(fault.system, &fault.cause))
}

/// The sentence about a fault before the commit, or about a setting.
pub fn fault(fault: &Fault) -> String {
    let changed = match fault.changed {
        Changed::Nothing => NOTHING,
        Changed::Yes => "The new version is in Git.",
        Changed::Unknown => "I don't know yet whether anything was changed.",
    };
    format!("{} {changed} {}", could_not(fault), todo(&fault.cause))
}

/// What to do about a fault.
pub(super) fn todo(cause: &Cause) -> &'static str {
    match cause {
        Cause::Denied | Cause::Unauthorized | Cause::Forbidden { .. } | Cause::Setting { .. } => {
            "Ask whoever runs me to fix that, then try again."
        }
        _ => "Try again in a minute. If it keeps failing, tell whoever runs me.",
    }
}
