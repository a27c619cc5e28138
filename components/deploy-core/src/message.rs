//! Every word that people read in Slack, and the text of the commit. Nothing else in the workspace writes a sentence to a person.
//!
//! Outside text (branch names, titles, what Argo CD says) is escaped here and nowhere else: a branch may be called `<!channel>`.

mod sentence;

pub use sentence::{fault, refusal};

use crate::command::{DeployWords, USAGE};
use crate::deployment::{CommitFact, End, Facts, Failure, LastWord, RequestFact, Rider, Riders, Waiting, WatchFact};
use crate::github::Reference;
use crate::names::DeploymentId;
use crate::slack::{Message, code_escape, escape};
use serde_json::{Value, json};

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

/// How long a piece of outside text may be.
const SHORT: usize = 80;
const LONG: usize = 300;
/// In backticks: an image tag is never cut.
const CODE: usize = 128;

/// A section's text may have 3,000 characters; ours stays below, whatever outside text does.
const SECTION: usize = 2900;

/// In backticks.
fn code(text: &str) -> String {
    format!("`{}`", code_escape(text, CODE))
}

/// Outside text: escaped and cut. A backtick in it could swallow what we write after it.
fn words(text: &str, limit: usize) -> String {
    escape(&clip(text, limit)).replace('`', "'")
}

/// What somebody else said, as the end of a sentence: `: … ` without its full stop, or nothing.
fn said(text: &str) -> String {
    match words(text, LONG).trim_end_matches(['.', ' ']) {
        "" => String::new(),
        said => format!(": {said}"),
    }
}

/// At most that many characters, on one line, with `…` where something was cut.
fn clip(text: &str, limit: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= limit {
        return line;
    }
    line.chars().take(limit.saturating_sub(1)).chain(['…']).collect()
}

/// A link, or the label alone where the address is none that a browser opens. The label is ours or escaped.
fn link(url: &str, label: &str) -> String {
    // A link's address ends at `>` or `|`.
    let clean: String = url.chars().filter(|c| !c.is_whitespace() && !matches!(c, '<' | '>' | '|')).collect();
    let opens = clean.starts_with("https://") || clean.starts_with("http://");
    if opens && clean.len() <= LONGEST_URL { format!("<{}|{label}>", escape(&clean)) } else { label.to_owned() }
}

/// A longer address would push the rest of the message out of Slack's limits.
const LONGEST_URL: usize = 500;

// ---- answers to the command itself ----

/// The immediate answer to an accepted command; only the asker sees it.
pub fn accepted(words: &DeployWords) -> String {
    format!("Accepted: deploy {}. Follow it in this channel.", code(&words.to_string()))
}

/// The immediate answer when the request could not be saved.
pub fn not_accepted() -> String {
    "I could not accept this: my store or Redis did not answer. Nothing was changed. Please type the command again in a minute.".to_owned()
}

/// How the command is typed.
pub fn help() -> String {
    let lines: String = USAGE.iter().map(|(typed, meaning)| format!("\n• `{typed}`: {}", escape(meaning))).collect();
    format!("I deploy an app by one commit to the GitOps repository, then follow Argo CD until it is live.{lines}")
}

// ---- the text of the commit ----

const TRAILER: &str = "Deploy-Id: ";

/// Headline and body of a deploy commit. Line breaks are stripped from everything but our own structure, so that the last line is ours.
pub fn commit_text(request: &RequestFact, commit: &CommitFact, id: &DeploymentId) -> (String, String) {
    let line = |text: &str| clip(text, LONG);
    let who = match line(&request.user_name).as_str() {
        "" => request.user.to_string(),
        name => format!("{name} ({})", request.user),
    };
    let headline = clip(&format!("Deploy {} {}", commit.target, commit.tag), 72);
    // Without the title: "Fixes #12" in it would close issue 12 of the GitOps repository, and "@alice" would notify her.
    let source = match &commit.source.reference {
        Reference::PullRequest(number) => format!("{}{number} ({})", commit.source.repo, commit.source.branch),
        Reference::Branch(branch) => format!("{} {branch}", commit.source.repo),
    };
    let body = format!(
        "{}\n\nSource-Commit: {}\nRequested-By: {}\n{TRAILER}{id}",
        line(&source),
        commit.source.head,
        line(&who),
    );
    (headline, body)
}

/// Whether a commit's first line is one that [`commit_text`] writes.
pub fn is_deploy_headline(headline: &str) -> bool {
    headline.starts_with("Deploy ")
}

/// The deployment that a commit's message names in its last line. It finds a deployment and proves nothing.
pub fn deploy_id(message: &str) -> Option<DeploymentId> {
    let last = message.trim_end().lines().next_back()?;
    DeploymentId::parse(last.strip_prefix(TRAILER)?.trim()).ok()
}

// ---- the message of a deployment ----

/// The one message of a deployment up to its commit, or its `end`: slack-command's part. From the facts alone, and what is only
/// known for a moment.
pub fn before_commit(facts: &Facts, note: Option<&Note>) -> Message {
    match &facts.end {
        Some(end) => whole(facts, ended(&end.end)),
        None => whole(facts, waiting_for_commit(note)),
    }
}

/// The same message from the commit on, or from an end by time: the watch's part.
pub fn after_commit(facts: &Facts) -> Message {
    whole(facts, status(facts))
}

fn whole(facts: &Facts, (mark, status): (&str, String)) -> Message {
    let title = title(facts);
    let mut blocks = vec![section(&format!("{mark} *{title}*  {status}"))];
    let details = details(facts);
    if !details.is_empty() {
        blocks.push(context(&details.join("  ·  ")));
    }
    blocks.extend(riders(facts).map(|text| context(&text)));
    Message { text: clip(&format!("{title} – {status}"), 1000), blocks: Value::Array(blocks) }
}

fn section(text: &str) -> Value {
    json!({ "type": "section", "text": { "type": "mrkdwn", "text": cut(text) } })
}

fn context(text: &str) -> Value {
    json!({ "type": "context", "elements": [{ "type": "mrkdwn", "text": cut(text) }] })
}

/// The last resort against Slack's limit: pieces are cut where they come in, so this does not happen to ordinary text.
fn cut(text: &str) -> String {
    if text.chars().count() <= SECTION { text.to_owned() } else { text.chars().take(SECTION).chain(['…']).collect() }
}

/// `checkout #42`.
fn title(facts: &Facts) -> String {
    match (&facts.commit, &facts.request) {
        (Some(commit), _) => {
            let reference = match &commit.source.reference {
                Reference::PullRequest(number) => number.to_string(),
                Reference::Branch(branch) => words(branch.as_str(), SHORT),
            };
            format!("{} {reference}", commit.target)
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

fn ended(end: &End) -> (&'static str, String) {
    match end {
        End::Refused { refusal } => match refusal.read() {
            Some(refusal) => (":no_entry:", sentence::refusal(&refusal)),
            None => (":no_entry:", "not deployed. Nothing was changed. Type the command again to see why.".to_owned()),
        },
        End::Failed { fault } => (":x:", sentence::fault(fault)),
        End::Cancelled { by: Some(by) } => (":no_entry:", format!("cancelled by <@{by}>. Nothing was changed.")),
        End::Cancelled { by: None } => {
            (":no_entry:", "not accepted. Nothing was changed. Please type the command again.".to_owned())
        }
    }
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
            let tag = facts.commit.as_ref().map(|commit| code(commit.tag.as_str())).unwrap_or_default();
            let page = urls.first().map(|url| link(url, "Open it")).filter(|link| link.starts_with('<'));
            let page = page.map(|link| format!(" {link}")).unwrap_or_default();
            if *paused {
                (":double_vertical_bar:", format!("is live, but paused: {tag}. Argo CD says Suspended, so some of it may not run the new version yet.{page}"))
            } else {
                (":white_check_mark:", format!("is live: {tag}.{page}"))
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
            let text = format!("timed out{why}. {changed} Argo CD shows what holds it up. Type the command again to go on.");
            (":alarm_clock:", text)
        }
        LastWord::Unknown => (
            ":grey_question:",
            "I do not know whether my commit landed: GitHub did not say in time. Type the command again: if it landed, I go on with it."
                .to_owned(),
        ),
    }
}

fn failed(facts: &Facts, failure: &Failure, changed: &str) -> String {
    match failure {
        Failure::Sync { message, resources } => format!(
            "the sync failed{}. {changed} Fix what failed, then type the command again.{}",
            said(message),
            list(resources)
        ),
        Failure::Degraded { message, resources } => format!(
            "is synced, but degraded{}. The cluster runs the new version: fix it, or deploy an earlier one.{}",
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
            format!("Argo CD is deleting the application. {changed} Type the command again when there is a new one.")
        }
        Failure::NoSource => format!(
            "none of the application's sources follows the GitOps branch, so I cannot sync my commit. {changed} Check the application's `repoURL` and `targetRevision`."
        ),
        Failure::Refused { said: why } => {
            format!("Argo CD refused the sync{}. {changed} Fix that, then type the command again.", said(why))
        }
        Failure::BranchRewritten => format!(
            "the GitOps branch was rewritten after my commit{}, which may be gone from it, so I did not ask for a sync. Check the branch, then type the command again.",
            facts.committed.as_ref().map(|committed| format!(" {}", code(committed.sha.short()))).unwrap_or_default()
        ),
        Failure::NothingDone => {
            "I did not get to it in time. Nothing was changed. Please type the command again.".to_owned()
        }
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
        if !commit.before.is_empty() && commit.before != commit.tag.as_str() {
            parts.push(format!("{} → {}", code(&commit.before), code(commit.tag.as_str())));
        } else {
            parts.push(code(commit.tag.as_str()));
        }
        let title = words(&commit.source.title, SHORT);
        parts.extend(match &commit.source.url {
            Some(url) if !title.is_empty() => Some(link(url, &title)),
            _ => Some(title).filter(|title| !title.is_empty()),
        });
        if let Some(committed) = &facts.committed {
            let url = format!("{}/commit/{}", commit.gitops_url, committed.sha);
            parts.push(link(&url, &format!("commit {}", committed.sha.short())));
        }
    }
    parts
}

/// Whose commits ride along: said before the sync, and true after it. Nothing does where there is no commit to ride with.
fn riders(facts: &Facts) -> Option<String> {
    let commit = facts.commit.as_ref().filter(|_| facts.end.is_none() || facts.watch_speaks())?;
    match &commit.riders {
        Riders::FirstDeploy => {
            Some("My first deploy of this app: whatever else is in its folder goes live with it.".to_owned())
        }
        Riders::Since { commits, more } => {
            let last: Vec<&Rider> = commits.iter().take(3).collect();
            let count = commits.len();
            if count == 0 {
                return None;
            }
            let mut who: Vec<&str> = Vec::new();
            for rider in commits {
                if !who.contains(&rider.who.as_str()) {
                    who.push(&rider.who);
                }
            }
            let others = who.len().saturating_sub(5);
            let mut names: Vec<String> = who.iter().take(5).map(|who| words(who, 40)).collect();
            if others > 0 {
                names.push(format!("{others} more"));
            }
            let who = match names.split_last() {
                Some((last, [])) => last.clone(),
                Some((last, names)) => format!("{} and {last}", names.join(", ")),
                None => String::new(),
            };
            let lines: Vec<String> = last
                .iter()
                .map(|rider| format!("{} {}", code(rider.sha.short()), words(&rider.headline, SHORT)))
                .collect();
            let at_least = if *more { "at least " } else { "" };
            let noun = if count == 1 { "commit" } else { "commits" };
            Some(format!("Rides along: {at_least}{count} {noun} by {who} since the live version: {}", lines.join("; ")))
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
