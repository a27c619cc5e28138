//! The sentences about each refusal and each fault: what happened, whether anything changed where one could
//! doubt it, and what to do next.

use super::edit::{edit_problem, edit_remedy};
use super::text::{LONG, SHORT, clip, code, codes, counted, escape, holder, link, moment, said, some, typed, words};
use crate::command::Verb;
use crate::deployment::COMMITS_READ;
use crate::fault::{Cause, Changed, Fault, System};
use crate::github::{ChecksState, RunState};
use crate::image::{Digest, Tag};
use crate::names::{FilePath, GitHubLogin};
use crate::people::People;
use crate::refusal::{
    CatalogError, Kind, MovedTag, NoChannel, NotAllowed, NotByItself, Opening, PartRefused, Refusal, Rides, Right,
    SinceApproved, Uncounted, Unpassed,
};
use crate::selection::{MOST_APPLICATIONS, NotSelected};
use crate::time::Timestamp;

/// Added where one could believe otherwise: a refusal never changes anything, so "not deployed" is
/// enough there.
pub(super) const NOTHING: &str = "Nothing was changed.";

/// `are`: "The apps are".
fn did_you_mean(nearest: Option<&str>, are: &str, known: &[String]) -> String {
    // The list holds at most ten names, so with ten there may be more.
    let more = if known.len() >= 10 { ", …" } else { "." };
    match (nearest, known.is_empty()) {
        (Some(nearest), _) => format!("Did you mean {}?", code(nearest)),
        (None, false) => format!("{are} {}{more}", codes(known)),
        (None, true) => "Check the name.".to_owned(),
    }
}

/// The sentence about a request to deploy that was refused.
pub fn refusal(refusal: &Refusal) -> String {
    let (what, todo) = (problem(refusal), remedy(refusal));
    match refusal {
        Refusal::Syntax { .. } => format!("I didn't understand that: {what} {todo}"),
        // Only the asker reads this, without a title in front.
        Refusal::OtherWorkspace => format!("{what} {todo}"),
        Refusal::NeedsApproval { .. } => format!("not deployed yet: {what} {todo}"),
        Refusal::Several { .. } if !refusal.asks_approval().is_empty() => format!("not deployed yet: {what} {todo}"),
        _ => format!("not deployed: {what} {todo}"),
    }
}

/// The sentence about any other request that was refused. There is no title in front of it.
pub fn declined(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Syntax { .. } | Refusal::OtherWorkspace => self::refusal(refusal),
        _ => format!("{} {}", capital(&problem(refusal)), remedy(refusal)),
    }
}

fn check_state(check: &Unpassed) -> String {
    let is = match check.state {
        Some(RunState::Passed) => "has passed",
        Some(RunState::Running) => "is still running",
        Some(RunState::Skipped) => "was skipped",
        Some(RunState::Failed) => "failed",
        None => "isn't there",
    };
    format!("{} {is}", code(&check.name))
}

/// What the commit cannot pass with comes first.
fn named_checks_todo(unpassed: &[Unpassed]) -> &'static str {
    let is_any = |state: Option<RunState>| unpassed.iter().any(|check| check.state == state);
    if is_any(Some(RunState::Failed)) || is_any(Some(RunState::Skipped)) {
        "Run them again, or fix them and deploy the new commit."
    } else if is_any(None) {
        "Wait until CI has begun it. If it doesn't come, check its name in `deploy-bot.yaml`, and that my GitHub token may read checks."
    } else {
        "Wait, then try again."
    }
}

/// It is no matter of the app's own commit.
fn status_todo(unpassed: &[Unpassed]) -> &'static str {
    let is_any = |state: Option<RunState>| unpassed.iter().any(|check| check.state == state);
    if is_any(Some(RunState::Failed)) || is_any(Some(RunState::Skipped)) {
        "Look at that commit with its author: once it is mended there, try again."
    } else if is_any(None) {
        "Wait until it is reported. If it doesn't come, check its name in `deploy-bot.yaml`, and that my GitHub token may read checks and statuses there."
    } else {
        "Wait, then try again."
    }
}

/// Until when, and why.
pub(super) fn frozen(until: Timestamp, why: Option<&str>) -> String {
    format!("{}{}", moment(until), why.map(said).unwrap_or_default())
}

/// When, in the window's time zone and on the reader's own clock.
pub(super) fn opening(opens: &Opening) -> String {
    format!("{} ({})", words(&opens.shown, SHORT), moment(opens.at))
}

/// With a capital letter at the beginning, unless it begins with code.
fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// What is wrong with a file of the catalog.
pub(super) fn mistake(path: &FilePath, error: &CatalogError) -> String {
    let line = error.line.map(|line| format!(" on line {line}")).unwrap_or_default();
    let problem = escape(clip(&error.problem, LONG).trim_end_matches('.'));
    match problem.is_empty() {
        true => format!("{} has a mistake{line}.", code(path)),
        false => {
            format!("{} has a mistake{line}: {problem}{}", code(path), if problem.ends_with('?') { "" } else { "." })
        }
    }
}

/// The same, and which app cannot be deployed for that.
pub(super) fn out_of_service(app: &str, path: &FilePath, error: &CatalogError) -> String {
    format!("{app} is out of service: {}", mistake(path, error))
}

fn kind_names(kinds: &[Kind]) -> Vec<String> {
    kinds.iter().map(|kind| kind.name().to_owned()).collect()
}

/// What is in the way.
#[expect(clippy::too_many_lines, reason = "a table: one entry for each refusal")]
pub(super) fn problem(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Syntax { problem, .. } => format!("{}.", escape(&clip(problem, LONG))),
        Refusal::UnknownApp { typed, unread, .. } if unread.is_empty() => format!("there is no app {}.", code(typed)),
        Refusal::UnknownApp { typed, unread, .. } => {
            let files: Vec<String> = unread.iter().map(code).collect();
            format!("there is no app {}, unless it is in {}, which has a mistake.", code(typed), some(&files, "or"))
        }
        Refusal::UnknownEnvironment { app, typed: None, .. } => format!("{} has several environments.", code(app)),
        Refusal::UnknownEnvironment { app, typed: Some(typed), .. } => {
            format!("{} has no environment {}.", code(app), code(typed))
        }
        Refusal::NotAllowed { target, why: NotAllowed::Nobody } => format!("nobody is set up to deploy {target} yet."),
        Refusal::NotAllowed { target, why: NotAllowed::WrongChannel } => {
            format!("{target} can't be deployed from this channel.")
        }
        Refusal::NotAllowed { target, why: NotAllowed::NotListed } => {
            format!("you aren't allowed to deploy {target}.")
        }
        Refusal::NotAllowed { target, why: NotAllowed::Guest } => {
            format!("{target} is for full members of the workspace, and you are a guest.")
        }
        Refusal::NotReader => "you aren't allowed to ask that.".to_owned(),
        Refusal::OtherWorkspace => "I work for another Slack workspace.".to_owned(),
        Refusal::BrokenCatalog { path, error } => mistake(path, error),
        Refusal::BrokenApp { app, path, error } => out_of_service(&code(app), path, error),
        Refusal::NoCatalog { path, repo, branch } => {
            format!("there is no {} on {} of {repo}.", code(path), code(branch))
        }
        Refusal::OtherRepository { number, repo, app, own } => {
            format!("that link is to {repo}{number}, but {} is built from {own}.", code(app))
        }
        Refusal::NoSuchPullRequest { number, repo } => format!("{repo} has no pull request {number}."),
        Refusal::PullRequestNotOpen { number, merged: true, .. } => format!("pull request {number} is already merged."),
        Refusal::PullRequestNotOpen { number, merged: false, .. } => format!("pull request {number} is closed."),
        Refusal::FromFork { number } => {
            format!("pull request {number} comes from a fork, and CI builds no images for forks.")
        }
        Refusal::NoSuchBranch { branch, repo } | Refusal::NoGitOpsBranch { repo, branch } => {
            format!("{repo} has no branch {}.", code(branch))
        }
        Refusal::NothingNamed { word, kinds, repo } => {
            format!("{repo} has no {} {}.", some(&kind_names(kinds), "or"), code(word))
        }
        Refusal::SeveralNamed { word, kinds } => {
            let kinds: Vec<String> = kind_names(kinds).into_iter().map(|kind| format!("a {kind}")).collect();
            format!("{} is {}, and I don't guess which one you mean.", code(word), some(&kinds, "and"))
        }
        Refusal::NotInBranch { head, branch, typed: true } => {
            format!("commit {} isn't in the branch {}.", code(head.short()), code(branch))
        }
        Refusal::NotInBranch { head, branch, typed: false } => format!(
            "commit {} isn't in {}, and no open pull request of the repository ends with it.",
            code(head.short()),
            code(branch)
        ),
        Refusal::TagNotListed { app, listed, .. } if listed.is_empty() => {
            format!("{app} isn't deployed by Git tags.")
        }
        Refusal::TagNotListed { app, tag, listed } => {
            format!("only the Git tags {} of {app} can be deployed, and this is {}.", codes(listed), code(tag))
        }
        Refusal::ChannelNotListed { app, channel, .. } => format!("{app} has no channel {}.", code(channel)),
        Refusal::ChannelNotHere { target, channel, why: NoChannel::Gates } => {
            format!("nobody knows which commit {} is of, and the gates of {target} judge a commit.", code(channel))
        }
        Refusal::ChannelNotHere { target, channel, why: NoChannel::NoDigestAt } => format!(
            "{} moves, so I deploy it by its digest alone, and {target} has no place for a digest.",
            code(channel)
        ),
        Refusal::ChannelNotHere { target, channel, why: NoChannel::RolledBack } => {
            format!("the image that {} is now was rolled back on {target}.", code(channel))
        }
        Refusal::TagMoved { tag, commits } => format!(
            "the Git tag {} was moved while I deployed it: it was commit {} and is {} now.",
            code(tag),
            code(commits.was.short()),
            code(commits.is.short())
        ),
        Refusal::Hydrated { target } => format!(
            "the Argo CD application of {target} has a source hydrator, so it doesn't follow the branch that I commit to."
        ),
        Refusal::NotFollowed { target, .. } => {
            format!("the Argo CD application of {target} doesn't follow the branch that I commit to.")
        }
        Refusal::AutoSyncIsOn { target } => format!("auto-sync is on in Argo CD for {target}."),
        Refusal::NotSelected { target, selector, why } => match why {
            NotSelected::NotLookedUp => {
                format!("I couldn't find out yet which Argo CD applications of {target} have {}.", code(selector))
            }
            NotSelected::Nothing => format!("Argo CD shows no application of {target} that has {}.", code(selector)),
            NotSelected::TooMany => {
                format!("more than {MOST_APPLICATIONS} Argo CD applications of {target} have {}.", code(selector))
            }
        },
        Refusal::NoSuchRepository { repo } => format!("I can't find the repository {repo} on GitHub."),
        Refusal::NoValidTag { made } => {
            format!("branch and commit make {}, which isn't a valid image tag.", code(made))
        }
        Refusal::RegistryNotNamed { image, .. } => {
            format!("I may not ask the registry {} for {}.", code(image.host()), code(image))
        }
        Refusal::NoImage { image, tag, longer, head, url } => {
            let build = url.as_ref().map(|url| format!(", {}", link(url, "see its checks"))).unwrap_or_default();
            let commit = head.as_ref().map(|head| format!(" (commit {}{build})", code(head.short())));
            let commit = commit.unwrap_or_default();
            let longer = if *longer { ", nor one with more digits of the commit" } else { "" };
            format!("there is no image {} in {} yet{longer}{commit}.", code(tag), code(image))
        }
        Refusal::ImagesDiffer { image, found } => {
            let shown = |(tag, digest): &(Tag, Option<Digest>)| match digest {
                Some(digest) => format!("{} is {}", code(tag), code(digest.short())),
                None => format!("{} has no digest", code(tag)),
            };
            let shown: Vec<String> = found.iter().map(shown).collect();
            format!(
                "{} has several tags of this commit, and they are not the same image: {}.",
                code(image),
                shown.join(", ")
            )
        }
        Refusal::NoDigest { target, image } => {
            format!("the registry names no digest of {}, so nobody could say which image {target} gets.", code(image))
        }
        Refusal::ImageMoved { tag, images, .. } => format!(
            "the image behind {} has changed: it was {} and is {} now.",
            code(tag),
            code(images.was.short()),
            code(images.is.short())
        ),
        Refusal::NoValuesFile { path, repo } => format!("there is no {} in {repo}.", code(path)),
        Refusal::Edit { path, why } => edit_problem(&code(path), why),
        Refusal::AlreadyWritten { tag, by, commit, .. } => {
            let by = by.as_ref().map_or("somebody".to_owned(), |by| words(by.as_str(), SHORT));
            let commit = code(commit.short());
            format!("{by} put {} into Git by hand ({commit}), but didn't deploy it through me.", code(tag))
        }
        Refusal::Busy { target, by, link: url, .. } => {
            let by = by.as_ref().map_or("another deploy".to_owned(), |by| format!("a deploy by <@{by}>"));
            let seen = url.as_ref().map(|url| format!(" ({})", link(url, "see it"))).unwrap_or_default();
            format!("{target} is busy with {by}{seen}.")
        }
        Refusal::TooManyWaits { target, count } => {
            format!(
                "you wait for {} of {} already.",
                counted(u32::try_from(*count).unwrap_or(u32::MAX), "deploy"),
                words(target, SHORT)
            )
        }
        Refusal::BeforeNotLive { target, by, link: url } => {
            let by = by.as_ref().map(|by| format!(" by <@{by}>")).unwrap_or_default();
            let seen = url.as_ref().map(|url| format!(" ({})", link(url, "see it"))).unwrap_or_default();
            format!("the deploy of {target}{by}{seen} that it waited for didn't go live.")
        }
        Refusal::ApplicationBusy { other, by, link: url, minutes } => {
            let by = by.as_ref().map(|by| format!(" by <@{by}>")).unwrap_or_default();
            let seen = url.as_ref().map(|url| format!(" ({})", link(url, "see it"))).unwrap_or_default();
            format!(
                "the deploy of {other}{by}{seen} in the same Argo CD application isn't done after {minutes} minutes."
            )
        }
        Refusal::Locked { target, by, itself, reason, since, until, everything, .. } => {
            let what = if *everything { "everything".to_owned() } else { target.to_string() };
            let until = until.map(|until| format!(" until {}", moment(until))).unwrap_or_default();
            format!("{what} is locked by {} since {}{until}{}.", holder(by, *itself), moment(*since), said(reason))
        }
        Refusal::BranchNotAllowed { target, branch: Some(branch), allowed } => {
            format!("only {} can go to {target}, and this is {}.", codes(allowed), code(branch))
        }
        Refusal::BranchNotAllowed { target, branch: None, allowed } => {
            format!("only {} can go to {target}, and this commit isn't in the default branch.", codes(allowed))
        }
        Refusal::ChecksNotPassed { target, head, state, url } => {
            let checks = link(url.as_deref().unwrap_or_default(), "checks");
            let state = match state {
                None => "there are none",
                Some(ChecksState::Running) => "they are still running",
                Some(_) => "they failed",
            };
            format!("{target} needs the {checks} of commit {} to pass, but {state}.", code(head.short()))
        }
        Refusal::NamedChecks { target, head, url, unpassed, more } => {
            let of = link(url.as_deref().unwrap_or_default(), "checks");
            let mut states: Vec<String> = unpassed.iter().map(check_state).collect();
            states.extend(more.then(|| "there are more than I can read".to_owned()));
            format!(
                "{target} needs certain {of} of commit {} to pass, but {}.",
                code(head.short()),
                some(&states, "and")
            )
        }
        Refusal::StatusNotPassed { target, head, url, unpassed, more } => {
            let mut states: Vec<String> = unpassed.iter().map(check_state).collect();
            states.extend(more.then(|| "there are more than I can read".to_owned()));
            format!(
                "{target} needs certain checks of the GitOps repository to pass on its newest commit that isn't mine ({}), but {}.",
                link(url, head.short()),
                some(&states, "and")
            )
        }
        Refusal::NoNewestThere { target } => format!(
            "{target} needs certain checks of the GitOps repository to pass on its newest commit that isn't mine, but all of the newest commits there are deploys of mine, and I read no further."
        ),
        Refusal::GateRefused { target, reason, .. } => format!("the gate service refuses {target}{}.", said(reason)),
        Refusal::GateSilent { target, cause: why, .. } => format!(
            "{target} needs the gate service to allow it, and the service didn't answer: {}.",
            cause(System::GateService, why)
        ),
        Refusal::GateNotSet { target, path } => {
            format!("{target} needs the gate service to allow it ({}), and I don't know where that is.", code(path))
        }
        Refusal::NotReviewed { target, number, url, head, count, given, outdated, against } => {
            let needs = counted(u32::from(*count), "approving review");
            let has = if *given == 0 { "none".to_owned() } else { given.to_string() };
            let pull_request = link(url.as_deref().unwrap_or_default(), &format!("pull request {number}"));
            let did = |people: &[GitHubLogin], what: &str| {
                let people: Vec<String> = people.iter().map(|login| words(login.as_str(), SHORT)).collect();
                if people.is_empty() { String::new() } else { format!(" {} {what}.", some(&people, "and")) }
            };
            format!(
                "{target} needs {needs} of commit {}, and {pull_request} has {has}.{}{}",
                code(head.short()),
                did(outdated, "approved another commit"),
                did(against, "asked for changes")
            )
        }
        Refusal::NotLiveFirst { target, on, tag, live, until, .. } => match (until, live) {
            (Some(until), _) => {
                format!("{} isn't live on {on} for long enough: {target} takes it from {}.", code(tag), moment(*until))
            }
            (None, Some(live)) => {
                format!(
                    "{target} takes only what was live on {on} first, and {} runs there, not {}.",
                    code(live),
                    code(tag)
                )
            }
            (None, None) => {
                format!("{target} takes only what was live on {on} first, and nothing that I deployed runs there.")
            }
        },
        Refusal::NeedsPullRequest { target, branch: Some(branch) } => {
            format!("{target} takes only reviewed pull requests, and {} is a branch.", code(branch))
        }
        Refusal::NeedsPullRequest { target, branch: None } => {
            format!("{target} takes only reviewed pull requests, and this commit isn't the merge of one.")
        }
        Refusal::UncountedChanges { target, why, .. } => {
            let why = match why {
                Uncounted::TooMany => format!(
                    "the live version is older than the {COMMITS_READ} newest commits there, and I read no more"
                ),
                Uncounted::NothingKnown => format!("I know of no version of {target} that reached Git through me"),
            };
            format!(
                "I can't tell whether other people's changes would go live with it ({why}), and {target} doesn't allow that."
            )
        }
        Refusal::ForeignChanges { target, count, more, by, .. } => {
            let at_least = if *more { "at least " } else { "" };
            let changes = format!("{at_least}{}", counted(*count, "config change"));
            let are = if *count == 1 { "isn't" } else { "aren't" };
            let by: Vec<String> = by.iter().map(|who| words(who, SHORT)).collect();
            let by = some(&by, "and");
            format!("this would also ship {changes} by {by} that {are} live yet, and {target} doesn't allow that.")
        }
        Refusal::ForeignFiles { target, paths, .. } => {
            let are = if paths.len() == 1 { "isn't as it was" } else { "aren't as they were" };
            let paths: Vec<String> = paths.iter().map(code).collect();
            format!(
                "{} in Git {are} at the live version, I can't tell whether {target} reads that, and {target} doesn't allow other changes.",
                some(&paths, "and")
            )
        }
        Refusal::NeedsApproval { .. } => needs_approval(refusal),
        Refusal::Frozen { target, until, why, .. } => {
            format!("{target} is frozen until {}.", frozen(*until, why.as_deref()))
        }
        Refusal::Closed { target, opens, .. } => {
            let opens = opens.as_ref().map(|opens| format!(" The next time begins {}.", opening(opens)));
            format!("{target} is deployed at certain times only, and not now.{}", opens.unwrap_or_default())
        }
        Refusal::NotOwner { doing, owned, pass } => format!("only {} may {doing}.", who_may(*owned, pass)),
        Refusal::ButtonTaken { by, link: url } => {
            let by = by.as_ref().map_or("somebody".to_owned(), |by| format!("<@{by}>"));
            let seen = url.as_ref().map(|url| format!(" ({})", link(url, "see it"))).unwrap_or_default();
            format!("{by} already pressed that button{seen}.")
        }
        Refusal::HeadMoved { was, is } => {
            let (was, is) = (code(was.short()), code(is.short()));
            format!("the branch has moved from {was} to {is} since you saw that button.")
        }
        Refusal::VersionMoved { was, is, .. } => {
            let (was, is) = (code(was), code(is));
            format!("this button would roll back {was}, but {is} has been deployed since.")
        }
        Refusal::UnknownWritten { target, tags } => match tags.as_slice() {
            [tag] => {
                let tag = code(tag);
                format!("Git says {tag}, which I never deployed to {target}, so I can't tell where it comes from.")
            }
            tags => {
                let tags: Vec<String> = tags.iter().map(code).collect();
                format!("{target} has several versions in Git: {}.", some(&tags, "and"))
            }
        },
        Refusal::NoEarlierVersion { target } => format!("I know of no earlier healthy version of {target}."),
        Refusal::AlreadyLive { target, tag } => {
            format!("{target} already runs {}, so there is nothing to go back to.", code(tag))
        }
        Refusal::UnknownVersion { target, typed, .. } => format!("I don't know a version {} of {target}.", code(typed)),
        Refusal::WasRolledBack { target, tag, by, at, .. } => {
            let by = by.as_ref().map_or("by itself".to_owned(), |by| format!("by <@{by}>"));
            format!("{} was rolled back from {target} {by} ({}).", code(tag), moment(*at))
        }
        Refusal::TooManyTargets { count, most } => {
            format!("that is {count} apps, and one request deploys at most {most}.")
        }
        Refusal::SeveralRepositories { number, first, other } => {
            format!("{number} is of one repository, and these apps are of {first} and {other}.")
        }
        Refusal::SameApplication { first, other } => {
            format!("{first} and {other} run in the same Argo CD application, which takes one sync at a time.")
        }
        Refusal::Several { refused } => several(refused, !refusal.asks_approval().is_empty()),
        Refusal::NothingToRollBack => "each of these apps has another version by now.".to_owned(),
        Refusal::NotAsApproved { changed, .. } => since_approved(changed),
        Refusal::NotByItself { target, why } => {
            let why = match why {
                NotByItself::Off => "`auto_rollback` is off by now",
                NotByItself::Newer => "another deploy has begun since",
                NotByItself::NotLive => "the version before it isn't one that I may bring back without being asked",
                NotByItself::Others => "other people's changes would go live with it",
                NotByItself::Locked => "it was locked meanwhile",
            };
            format!("I didn't roll {target} back by myself, because {why}.")
        }
        Refusal::OtherRefused { target } => {
            format!("{target} couldn't be deployed, and both were to go in one commit.")
        }
        Refusal::NoPromotion { app, to } => {
            let to = to.as_ref().map(|to| format!("@{to}")).unwrap_or_default();
            format!("the catalog doesn't say from where {app}{to} is promoted.")
        }
        Refusal::NothingToPromote { from, tag: None } => format!("I know of no live version of {from}."),
        Refusal::NothingToPromote { from, tag: Some(tag) } => {
            format!(
                "{} is live on {from}, and the registry named no digest of it: a promote needs the digest.",
                code(tag)
            )
        }
        Refusal::NewerThere { from, newest, tag, .. } => format!(
            "the last deploy to {from}, of {}, isn't live. The last one that was is of {}.",
            code(newest),
            code(tag)
        ),
        Refusal::OtherLive { from, is, .. } => {
            format!("by now {} runs on {from}, another version than when you saw that button.", code(is))
        }
        Refusal::KeepsMoving { attempts } => {
            format!("other commits came first, each of the {attempts} times that I tried to commit.")
        }
        Refusal::TooLate { minutes } => format!("I was too busy and gave up after {minutes} minutes."),
        Refusal::CatalogChanged => "`deploy-bot.yaml` kept changing while I worked.".to_owned(),
    }
}

/// What to do about it.
#[expect(clippy::too_many_lines, reason = "a table: one entry for each refusal")]
pub(super) fn remedy(refusal: &Refusal) -> String {
    let text = match refusal {
        Refusal::Syntax { verb, right, .. } => {
            let help = verb.map_or("`/deploy help`".to_owned(), |verb| format!("`/deploy help {}`", verb.name()));
            return match right {
                Some(Right::DidYouMean(text)) => format!("Did you mean {}? If not, see {help}.", typed(text)),
                Some(Right::Like(text)) => format!("Type it like {}, or see {help}.", typed(text)),
                None => format!("Type it like {}, or see {help}.", typed(verb.unwrap_or(Verb::Deploy).example())),
            };
        }
        Refusal::UnknownApp { did_you_mean: nearest, known, .. } => {
            return did_you_mean(nearest.as_deref(), "The apps are", known);
        }
        Refusal::UnknownEnvironment { app, typed: None, known, .. } => {
            let example = code(format!("{app}@{}", known.first().map_or("production", String::as_str)));
            return format!("Say which one, like {example}. {}", did_you_mean(None, "It has", known));
        }
        Refusal::UnknownEnvironment { did_you_mean: nearest, known, .. } => {
            return did_you_mean(nearest.as_deref(), "It has", known);
        }
        Refusal::NotAllowed { why: NotAllowed::Nobody, .. } => {
            "Ask whoever looks after the catalog to add your team in `deploy-bot.yaml`."
        }
        Refusal::NotAllowed { why: NotAllowed::WrongChannel, .. } => {
            "Use one of the channels that `deploy-bot.yaml` lists for it."
        }
        Refusal::NotAllowed { why: NotAllowed::NotListed, .. } => {
            "Ask whoever looks after the catalog to add you in `deploy-bot.yaml`."
        }
        Refusal::NotAllowed { why: NotAllowed::Guest, .. } => {
            "Ask whoever looks after the catalog to add you in `deploy-bot.yaml`, by your user id."
        }
        Refusal::NotReader => "Ask whoever looks after the catalog to add you to `readers` in `deploy-bot.yaml`.",
        Refusal::OtherWorkspace => "Ask your Slack admins which bot deploys here.",
        Refusal::BrokenCatalog { .. } | Refusal::BrokenApp { .. } => "Fix it in Git, then try again.",
        Refusal::NoCatalog { .. } => "Add it there, then try again.",
        Refusal::OtherRepository { .. } => "Check the app and the link.",
        Refusal::NoSuchPullRequest { number, .. } => {
            return format!("Check the number. If you mean a branch of that name, type `branch:{}`.", number.0);
        }
        Refusal::PullRequestNotOpen { merged, base, .. } => {
            let branch = base.as_ref().map_or("a branch".to_owned(), code);
            // A merged pull request cannot be reopened.
            return if *merged {
                format!("Deploy {branch} instead.")
            } else {
                format!("Reopen it, or deploy {branch}.")
            };
        }
        Refusal::FromFork { .. } => "Push its branch to the app's own repository and deploy that.",
        Refusal::NothingNamed { .. } => "Check the name.",
        Refusal::SeveralNamed { word, kinds } => {
            let typed: Vec<String> = kinds.iter().map(|kind| code(format!("{}:{word}", kind.name()))).collect();
            return format!("Type {}.", some(&typed, "or"));
        }
        Refusal::NotInBranch { typed: true, .. } => "Check the commit and the branch.",
        Refusal::NotInBranch { head, .. } => {
            return format!("If it is in another branch, name that branch: `{} of release/1`.", head.short());
        }
        Refusal::TagNotListed { .. } => "Ask whoever looks after the catalog to add it to `tags` in `deploy-bot.yaml`.",
        Refusal::ChannelNotListed { listed, .. } if listed.is_empty() => {
            "Deploy a branch, or ask whoever looks after the catalog to add it to `channels` in `deploy-bot.yaml`."
        }
        Refusal::ChannelNotListed { listed, .. } => {
            let listed: Vec<String> = listed.iter().map(code).collect();
            return format!("There is {}.", some(&listed, "and"));
        }
        Refusal::ChannelNotHere { why: NoChannel::Gates, .. } => "Deploy a branch, a pull request or a commit.",
        Refusal::ChannelNotHere { why: NoChannel::NoDigestAt, .. } => {
            "Deploy a branch, or ask whoever looks after the catalog to add `digest_at` in `deploy-bot.yaml`."
        }
        Refusal::ChannelNotHere { why: NoChannel::RolledBack, .. } => "Push a newer image, then try again.",
        Refusal::TagMoved { .. } => "Find out who moved it and why, then try again.",
        Refusal::NoSuchBranch { .. } => "Check the name. For a pull request, type its number.",
        Refusal::NoSuchRepository { .. } => {
            "Check its name in `deploy-bot.yaml` (or the setting `gitops_repo`), and that my GitHub token may read it."
        }
        Refusal::NoGitOpsBranch { .. } => "Ask whoever runs me to check the setting `gitops_branch`.",
        Refusal::NoValidTag { .. } => {
            "Rename the branch (a tag has at most 128 characters and starts with a letter, digit or `_`)."
        }
        Refusal::RegistryNotNamed { image, variable: Some(variable) } => {
            let url = code(format!("https://{}", image.host()));
            return format!("Ask whoever runs me to set {} to {url}, then try again.", code(variable));
        }
        Refusal::RegistryNotNamed { variable: None, .. } => {
            "Ask whoever runs me: all four variables that could name it name another registry."
        }
        Refusal::NoImage { .. } => "Wait until CI has built it, then try again.",
        Refusal::ImagesDiffer { .. } => {
            "Find out who pushed which, delete the wrong one, or name one length in the catalog: `tag: '{branch}-{sha:12}'`."
        }
        Refusal::Hydrated { .. } => "Give the application a plain source, without `sourceHydrator`, then try again.",
        Refusal::NotFollowed { repo, branch, .. } => {
            return format!(
                "Give it a source with {repo} as `repoURL` and {} as `targetRevision`, then try again.",
                code(branch)
            );
        }
        Refusal::NotSelected { why: NotSelected::NotLookedUp, .. } => "Try again in a minute.",
        Refusal::NotSelected { why: NotSelected::Nothing, .. } => {
            "Check `selector`, `project` and the labels of the applications, and that my account may `get` them."
        }
        Refusal::NotSelected { why: NotSelected::TooMany, .. } => "Make `selector` narrower in `deploy-bot.yaml`.",
        Refusal::AutoSyncIsOn { .. } => {
            "Add `sync: auto` to it in `deploy-bot.yaml`, or switch auto-sync off, then try again."
        }
        Refusal::NoDigest { .. } => {
            "Ask whoever runs the registry. Without `approvals` and `immutable` I would deploy it."
        }
        Refusal::ImageMoved { todo: MovedTag::AskedAgain, .. } => {
            "Somebody pushed that tag again. Press *Deploy anyway* if you do mean the new image."
        }
        Refusal::ImageMoved { todo: MovedTag::ByOwner { overridable: true }, .. } => {
            "So this would not bring back what ran. An owner can go ahead by adding `override` and the reason to the command."
        }
        Refusal::ImageMoved { target, todo: MovedTag::ByOwner { overridable: false }, .. } => {
            return format!(
                "So this would not bring back what ran. An owner could go ahead, but {target} has no `owners` in `deploy-bot.yaml`."
            );
        }
        Refusal::ImageMoved { todo: MovedTag::Promoted, .. } => {
            "A promote brings the very image that runs there. Deploy the new one there first, or set `digest_at` here."
        }
        Refusal::ImageMoved { todo: MovedTag::Never, .. } => {
            "Its tags may not move (`immutable`). Find out who pushed it again, and deploy a new commit."
        }
        Refusal::NoValuesFile { .. } => "Add it, or set `values` of this app in `deploy-bot.yaml` to the right file.",
        Refusal::Edit { why, .. } => edit_remedy(why),
        Refusal::AlreadyWritten { .. } => "Press *Deploy it* to roll it out now.",
        Refusal::TooManyWaits { .. } => "End one of them with *Cancel* below its message.",
        Refusal::BeforeNotLive { .. } => "Look at that one first, then try again.",
        Refusal::Busy { .. } | Refusal::ApplicationBusy { .. } => "Try again when it's done.",
        Refusal::Locked { back_to: Some(_), .. } => {
            "Press *Deploy anyway* to roll back all the same: everybody reads whose lock that is."
        }
        Refusal::Locked { everything: true, .. } => "They or an owner can unlock it: `/deploy unlock all`.",
        Refusal::Locked { target, itself: true, .. } => {
            return format!("Look why it failed. Whoever may deploy there can unlock it: `/deploy unlock {target}`.");
        }
        Refusal::Locked { target, .. } => {
            return format!("They or an owner can unlock it: `/deploy unlock {target}`.");
        }
        Refusal::BranchNotAllowed { target, branch: None, .. } => {
            return format!("If it is in another branch, name that branch: `/deploy {target} v1.2.3 of release/1`.");
        }
        Refusal::BranchNotAllowed { .. } => "Merge it first, or deploy it to another environment.",
        Refusal::ChecksNotPassed { state: None, .. } => {
            "Check that CI reports on this commit, and that my GitHub token may read checks."
        }
        Refusal::ChecksNotPassed { state: Some(ChecksState::Running), .. } => "Wait for them, then try again.",
        Refusal::ChecksNotPassed { .. } => "Fix them, then deploy the new commit.",
        Refusal::NamedChecks { more: true, .. } => {
            "I read at most 100 checks of a commit, and only those that my GitHub token may see. `checks: required` needs no more than what they come to."
        }
        Refusal::NamedChecks { unpassed, .. } => named_checks_todo(unpassed),
        Refusal::StatusNotPassed { more: true, .. } => {
            "I read at most 100 checks of a commit, and only those that my GitHub token may see."
        }
        Refusal::StatusNotPassed { unpassed, .. } => status_todo(unpassed),
        Refusal::GateRefused { .. } => "Ask whoever runs that service, or try again when its reason has passed.",
        Refusal::GateSilent { .. } => "Try again in a minute. If it keeps failing, tell whoever runs that service.",
        Refusal::GateNotSet { .. } => {
            "Ask whoever runs me to set the variables `gate_url` and `gate_key`, or take `ask` out of `deploy-bot.yaml`."
        }
        Refusal::NoNewestThere { .. } => "Push a commit there that has those checks, then try again.",
        Refusal::NotReviewed { .. } => {
            "Ask somebody who can write to the repository, but isn't an author, to approve it there. Then try again."
        }
        Refusal::NotLiveFirst { target, on, until, overridable, .. } => {
            let first = match until {
                Some(_) => "Try again then.".to_owned(),
                None => format!(
                    "Deploy it to {on} first, then type `/deploy promote {} {on} {}`.",
                    target.app, target.environment
                ),
            };
            let owner = if *overridable {
                " In an emergency, an owner can go ahead by adding `override` and the reason to the command."
            } else {
                ""
            };
            return format!("{first}{owner}");
        }
        Refusal::NeedsPullRequest { target, .. } => {
            return format!(
                "Open a pull request, have it reviewed, and deploy it by its number, like `/deploy {target} 42`."
            );
        }
        Refusal::ForeignChanges { overridable: true, .. } => {
            "Check with them. An owner can go ahead by adding `override` and the reason to the command."
        }
        Refusal::ForeignChanges { target, .. } => {
            return format!(
                "Check with them. An owner could go ahead, but {target} has no `owners` in `deploy-bot.yaml`."
            );
        }
        Refusal::ForeignFiles { target, overridable, .. } => {
            let owner = match overridable {
                true => "An owner can go ahead by adding `override` and the reason to the command.".to_owned(),
                false => format!("An owner could go ahead, but {target} has no `owners` in `deploy-bot.yaml`."),
            };
            return format!("Say with `watch` in `deploy-bot.yaml` what it reads. {owner}");
        }
        Refusal::UncountedChanges { overridable: true, .. } => {
            "Look at the commits. An owner can go ahead by adding `override` and the reason to the command."
        }
        Refusal::UncountedChanges { target, .. } => {
            return format!(
                "Look at the commits. An owner could go ahead, but {target} has no `owners` in `deploy-bot.yaml`."
            );
        }
        Refusal::NeedsApproval { until, .. } => return format!("They can approve it until {}.", moment(*until)),
        Refusal::Frozen { overridable, pass, .. } | Refusal::Closed { overridable, pass, .. }
            if *overridable || !pass.is_empty() =>
        {
            return format!(
                "Try again then. In an emergency, {} can go ahead by adding `override` and the reason to the command.",
                who_may(*overridable, pass)
            );
        }
        Refusal::Frozen { .. } | Refusal::Closed { .. } => "Try again then.",
        Refusal::NotOwner { pass, .. } if !pass.is_empty() => "Ask one of them.",
        Refusal::NotOwner { owned: true, .. } => "Ask one of the `owners` in `deploy-bot.yaml`.",
        Refusal::NotOwner { .. } => {
            "There are none yet: ask whoever looks after the catalog to add `owners` in `deploy-bot.yaml`."
        }
        Refusal::ButtonTaken { .. } => "Follow that deploy.",
        Refusal::HeadMoved { .. } => "Type the command again for the new commit.",
        Refusal::VersionMoved { target, .. } => return format!("To roll *that* back: `/deploy rollback {target}`."),
        Refusal::UnknownWritten { target, tags } => {
            let what = if tags.len() == 1 { "Deploy its pull request or branch instead" } else { "Say what to deploy" };
            return format!("{what}, like `/deploy {target} main`.");
        }
        Refusal::NoEarlierVersion { target } => {
            return format!("`/deploy history {target}` shows what I know. You can deploy any branch by its name.");
        }
        Refusal::AlreadyLive { target, .. } => {
            return format!("`/deploy history {target}` lists the earlier versions.");
        }
        Refusal::UnknownVersion { target, known, .. } => {
            let known = if known.is_empty() { String::new() } else { format!("I know {}. ", codes(known)) };
            return format!("{known}`/deploy history {target}` lists them all.");
        }
        Refusal::WasRolledBack { .. } => "Deploy a newer version, or press the button if you do mean this one.",
        Refusal::TooManyTargets { .. } => "Deploy them in two or more requests.",
        Refusal::SeveralRepositories { .. } => "Name a branch that all of them have, or deploy them one by one.",
        Refusal::SameApplication { .. } => "Deploy one after the other.",
        Refusal::Several { .. } => match refusal.approved_until() {
            Some(until) => return format!("\nThey can approve it until {}.", moment(until)),
            None => "\nNothing was changed. Deploy the others without it, or all of them again.",
        },
        Refusal::NothingToRollBack => "Roll back one by one those that need it.",
        Refusal::NotAsApproved { .. } => "Type the command again, for all of them to be seen as they are now.",
        Refusal::NotByItself { target, .. } => {
            return format!("Look at it: `/deploy rollback {target}` takes it back.");
        }
        Refusal::OtherRefused { .. } => "Deploy it alone, or all of them again.",
        Refusal::NoPromotion { app, .. } => {
            return format!(
                "Name both environments, like `/deploy promote {app} staging production`, or add `promotes_from` in `deploy-bot.yaml`."
            );
        }
        Refusal::NothingToPromote { tag: None, .. } => "Deploy it there first.",
        Refusal::NothingToPromote { tag: Some(_), .. } => "Ask whoever runs the registry, then deploy it there again.",
        Refusal::NewerThere { .. } => "Press *Deploy anyway* if you do mean the one that was live.",
        Refusal::OtherLive { .. } => "Type the command again for that version.",
        Refusal::KeepsMoving { .. } | Refusal::CatalogChanged => "Try again in a minute.",
        Refusal::TooLate { .. } => "Try again. If it keeps failing, tell whoever runs me.",
    };
    text.to_owned()
}

/// Whom people may ask: an owner, and those whom the catalog names besides.
fn who_may(owned: bool, pass: &People) -> String {
    let owner = (owned || pass.is_empty()).then(|| "an owner".to_owned());
    some(&owner.into_iter().chain(mentions(pass)).collect::<Vec<_>>(), "or")
}

/// People as Slack shows their names.
pub(super) fn mentions(people: &People) -> impl Iterator<Item = String> {
    let groups = people.groups.iter().map(|group| format!("<!subteam^{group}>"));
    groups.chain(people.users.iter().map(|user| format!("<@{user}>")))
}

/// Who has to agree, and to what.
fn needs_approval(refusal: &Refusal) -> String {
    let Refusal::NeedsApproval { tag, count, users, groups, reviewed, about, .. } = refusal else {
        return String::new();
    };
    let since = about.changed.as_ref().map(|changed| format!(" {}", since_approved(changed))).unwrap_or_default();
    if let Some(rides) = &about.rides {
        return format!(
            "{} would also ship {} not live yet. Somebody else who may deploy there, or an owner, has to confirm that with *Approve*.{since}",
            code(tag),
            ridden(rides)
        );
    }
    let groups = groups.iter().map(|group| format!("<!subteam^{group}>"));
    let by: Vec<String> = groups.chain(users.iter().map(|user| format!("<@{user}>"))).collect();
    let needs = counted(u32::from(*count), "approval");
    let reviewed: Vec<String> = reviewed.iter().map(|user| format!("<@{user}>")).collect();
    let reviewed = match reviewed.as_slice() {
        [] => String::new(),
        some_of_them => format!(" On GitHub approved by {}; one approval has to be here.", some(some_of_them, "and")),
    };
    format!("{} needs {needs} by {}.{reviewed}{since}", code(tag), some(&by, "or"))
}

/// What goes live with a rollback, and whose it is.
fn ridden(rides: &Rides) -> String {
    let by: Vec<String> = rides.by.iter().map(|who| words(who, SHORT)).collect();
    let commits =
        (rides.count > 0).then(|| format!("{} by {}", counted(rides.count, "config change"), some(&by, "and")));
    let paths: Vec<String> = rides.paths.iter().map(code).collect();
    let paths = (!paths.is_empty()).then(|| format!("what changed in {}", some(&paths, "and")));
    let all: Vec<String> = commits.into_iter().chain(paths).collect();
    let are = if rides.count == 1 && all.len() == 1 { "that is" } else { "that are" };
    format!("{} {are}", some(&all, "and"))
}

/// Why approvals that were given do not count.
fn since_approved(changed: &SinceApproved) -> String {
    let image = |digest: &Option<Digest>| digest.as_ref().map_or("unknown".to_owned(), |digest| code(digest.short()));
    let version = |tag: &Option<String>| tag.as_ref().map_or("nothing".to_owned(), code);
    let what = match changed {
        SinceApproved::Image { was, is } => {
            format!("the image behind the tag has changed: it was {} and is {} now", image(was), image(is))
        }
        SinceApproved::Riders { count: 1 } => "one more commit would go live with it".to_owned(),
        SinceApproved::Riders { count } => format!("{count} more commits would go live with it"),
        SinceApproved::Uncounted => "I can't tell any more what would go live with it".to_owned(),
        SinceApproved::Elsewhere { paths } => {
            let paths: Vec<String> = paths.iter().map(code).collect();
            format!("{} changed in Git", some(&paths, "and"))
        }
        SinceApproved::Replaced { was, is } => {
            format!("it would replace {}, and no more {}", version(is), version(was))
        }
    };
    format!("It was approved, but since then {what}.")
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
        System::GateService => "the gate service",
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
        Cause::Unavailable { status, seconds } => {
            format!("{name} answered with status {status} (again in {seconds} s)")
        }
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
        Cause::Said { said: what } | Cause::Failed { said: what } => format!("{name} says{}", said(what)),
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

/// A line for each target that is refused.
/// A line for each target. While people are asked to approve, all of them have the same remedy.
fn several(refused: &[PartRefused], waits: bool) -> String {
    let (one, all) = match waits {
        true => ("needs approval, and all", "need approval, and all"),
        false => ("can't be deployed, so none of them is: they", "can't be deployed, so none of them is: they"),
    };
    let those = match refused {
        [_] => format!("one of these apps {one}"),
        several => format!("{} of these apps {all}", several.len()),
    };
    let line = |part: &PartRefused| {
        let todo = if waits { String::new() } else { format!(" {}", remedy(&part.why)) };
        format!("\n• *{}*: {}{todo}", words(&part.target, SHORT), problem(&part.why))
    };
    let lines: String = refused.iter().map(line).collect();
    format!("{those} go in one commit.{lines}")
}
