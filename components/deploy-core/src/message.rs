//! Every word that people read in Slack, and the text of the commit. Nothing else in the workspace writes a sentence to a person.
//!
//! Outside text (branch names, titles, what Argo CD says) is escaped here and nowhere else: a branch may be called `<!channel>`.

mod sentence;

pub use sentence::{fault, refusal};

use crate::command::{DeployWords, USAGE};
use crate::deployment::{
    CommitFact, End, Facts, Failure, LastWord, RequestFact, Rider, Riders, Waiting, WatchFact,
};
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

/// A section's text may have 3,000 characters; ours stays below, whatever outside text does.
const SECTION: usize = 2900;

/// In backticks.
fn code(text: &str) -> String {
    format!("`{}`", code_escape(text, SHORT))
}

/// Escaped and cut.
fn words(text: &str, limit: usize) -> String {
    escape(&clip(text, limit))
}

/// At most that many characters, on one line, with `…` where something was cut.
fn clip(text: &str, limit: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= limit {
        return line;
    }
    line.chars().take(limit.saturating_sub(1)).chain(['…']).collect()
}

fn link(url: &str, label: &str) -> String {
    // A link's address ends at `>` or `|`.
    let url: String = url.chars().filter(|c| !c.is_whitespace() && !matches!(c, '<' | '>' | '|')).collect();
    if url.starts_with("https://") || url.starts_with("http://") { format!("<{url}|{label}>") } else { label.to_owned() }
}

// ---- answers to the command itself ----

/// The immediate answer to an accepted command; only the asker sees it.
pub fn accepted(words: &DeployWords) -> String {
    format!("Accepted: deploy {}. What happens shows up in this channel.", code(&words.to_string()))
}

/// The immediate answer when the request could not be saved.
pub fn not_accepted() -> String {
    "I could not accept this: my store or Redis did not answer. Nothing was changed. Please type it again in a minute.".to_owned()
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
    let source = match &commit.source.reference {
        Reference::PullRequest(number) => {
            format!("{}{number} ({}): {}", commit.source.repo, commit.source.branch, commit.source.title)
        }
        Reference::Branch(branch) => format!("{} {branch}: {}", commit.source.repo, commit.source.title),
    };
    let body = format!(
        "{}\n\nSource-Commit: {}\nRequested-By: {}\n{TRAILER}{id}",
        line(&source),
        commit.source.head,
        line(&who),
    );
    (headline, body)
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
    Message { text: clip(&format!("{title}: {status}"), 1000), blocks: Value::Array(blocks) }
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
        Some(Note::Queue { ahead: 1 }) => "waits for its turn at the GitOps branch: one other deploy first.".to_owned(),
        Some(Note::Queue { ahead }) => format!("waits for its turn at the GitOps branch: {ahead} other deploys first."),
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
            None => (":no_entry:", "not deployed. Nothing was changed. Please type it again to see why.".to_owned()),
        },
        End::Failed { fault } => (":x:", sentence::fault(fault)),
        End::Cancelled { by: Some(by) } => (":no_entry:", format!("cancelled by <@{by}>. Nothing was changed.")),
        End::Cancelled { by: None } => {
            (":no_entry:", "not accepted. Nothing was changed. Please type it again.".to_owned())
        }
    }
}

fn status(facts: &Facts) -> (&'static str, String) {
    let watch = facts.watch.as_ref();
    if let Some((_, word)) = watch.and_then(|watch| watch.last_word.as_ref()) {
        return last_word(facts, word);
    }
    let Some(committed) = &facts.committed else { return waiting_for_commit(None) };
    let sha = code(committed.sha.short());
    if watch.is_some_and(|watch| watch.asked.is_some()) {
        return (":arrows_counterclockwise:", with_waiting(format!("syncing {sha}{}", syncing(watch)), watch));
    }
    let text = if committed.reused {
        format!("the tag is in the values file already, by my commit {sha}. Syncing that one.")
    } else {
        format!("committed {sha}.")
    };
    (":hourglass_flowing_sand:", with_waiting(text, watch))
}

/// ` · 3 of 7 resources · waiting for …`
fn syncing(watch: Option<&WatchFact>) -> String {
    let Some(progress) = watch.and_then(|watch| watch.progress.as_ref()) else { return ".".to_owned() };
    let mut parts = Vec::new();
    if progress.synced {
        parts.push(format!("synced, now {}", words(&progress.health.to_lowercase(), SHORT)));
    } else {
        parts.extend(progress.resources.map(|(done, all)| format!("{done} of {all} resources")));
        parts.extend(Some(words(&progress.message, LONG)).filter(|message| !message.is_empty()));
        parts.extend(Some(progress.retry).filter(|retry| *retry > 0).map(|retry| format!("retry {retry}")));
    }
    if parts.is_empty() { ".".to_owned() } else { format!(": {}.", parts.join(", ").trim_end_matches('.')) }
}

fn with_waiting(text: String, watch: Option<&WatchFact>) -> String {
    let mut text = text;
    if let Some(waiting) = watch.and_then(|watch| watch.waiting.as_ref()) {
        text = format!("{text} {}", waiting_words(waiting));
    }
    if watch.is_some_and(|watch| watch.automated) {
        text = format!("{text} Auto-sync is switched on for this application, which it should not be: I only watch.");
    }
    text
}

fn waiting_words(waiting: &Waiting) -> String {
    match waiting {
        Waiting::OtherOperation { by: Some(by) } if !by.is_empty() => {
            format!("Waits for another operation in Argo CD, started by {}.", words(by, SHORT))
        }
        Waiting::OtherOperation { .. } => "Waits for another operation in Argo CD.".to_owned(),
        Waiting::SyncWindow => "Waits for a sync window of Argo CD to open.".to_owned(),
        Waiting::ArgoCd { fault } => format!("Argo CD: {}. I keep trying.", sentence::cause(fault.system, &fault.cause)),
    }
}

/// What a failure after the commit always says.
const COMMITTED_ONLY: &str = "The values file is changed";

fn last_word(facts: &Facts, word: &LastWord) -> (&'static str, String) {
    let sha = facts.committed.as_ref().map(|committed| committed.sha.short().to_owned()).unwrap_or_default();
    let not_synced = format!("{COMMITTED_ONLY} ({}), the cluster is not.", code(&sha));
    let maybe_synced = format!("{COMMITTED_ONLY} ({}); the cluster may be, in part.", code(&sha));
    let asked = facts.watch.as_ref().is_some_and(|watch| watch.taken);
    let changed = if asked { &maybe_synced } else { &not_synced };
    match word {
        LastWord::Live { paused, urls } => {
            let tag = facts.commit.as_ref().map(|commit| code(commit.tag.as_str())).unwrap_or_default();
            let page = urls.first().map(|url| format!(" {}", link(url, "Open it"))).unwrap_or_default();
            if *paused {
                (":double_vertical_bar:", format!("is live but paused: {tag}. Argo CD says Suspended.{page}"))
            } else {
                (":white_check_mark:", format!("is live: {tag}.{page}"))
            }
        }
        LastWord::Failed { failure } => (":x:", failed(failure, &not_synced, &maybe_synced)),
        LastWord::Superseded { by_deployment: Some(_), .. } => {
            (":fast_forward:", format!("superseded by a newer deploy. {changed}"))
        }
        LastWord::Superseded { by_deployment: None, by_person } => {
            let who = by_person.as_deref().filter(|who| !who.is_empty()).map_or("somebody".to_owned(), |who| words(who, SHORT));
            (":fast_forward:", format!("superseded: {who} synced something else in Argo CD. {changed} Look there before you deploy again."))
        }
        LastWord::TimedOut { waiting, health } => {
            let why = match (waiting, health) {
                (Some(waiting), _) => format!(" {}", waiting_words(waiting)),
                (None, Some(health)) if !health.is_empty() => {
                    format!(" The application was {} to the end.", words(&health.to_lowercase(), SHORT))
                }
                _ => String::new(),
            };
            (":alarm_clock:", format!("timed out.{why} {changed} Argo CD shows what it is waiting for; type the command again to go on."))
        }
        LastWord::Unknown => (
            ":grey_question:",
            "I do not know whether my commit landed: GitHub did not say in time. Type it again: if it landed, I go on with it.".to_owned(),
        ),
    }
}

fn failed(failure: &Failure, not_synced: &str, maybe_synced: &str) -> String {
    match failure {
        Failure::Sync { message, resources } => {
            format!("the sync failed: {}.{} {maybe_synced}", words(message, LONG), list(resources))
        }
        Failure::Degraded { message, resources } => {
            let said = if message.is_empty() { String::new() } else { format!(": {}", words(message, LONG)) };
            format!("is synced but degraded{said}.{} The cluster runs the new version; look at the failing part.", list(resources))
        }
        Failure::OtherImage { wanted, runs } => format!(
            "is synced and healthy, but the application does not run {}: check `tag_at` in the catalog. It runs {}.",
            code(wanted),
            if runs.is_empty() { "nothing that it names".to_owned() } else { runs.iter().map(|image| code(image)).collect::<Vec<_>>().join(", ") },
        ),
        Failure::NoRight { said } => format!(
            "Argo CD does not let me: {}. {not_synced} Somebody who runs Argo CD has to give my account `get` and `sync` on this application.",
            words(said, LONG)
        ),
        Failure::NoApplication => format!(
            "Argo CD has no such application. {not_synced} Check `argocd` of this app in the catalog, or create the application."
        ),
        Failure::Deleting => format!("the application is being deleted in Argo CD. {not_synced}"),
        Failure::NoSource => format!(
            "none of the application's sources is the GitOps repository, so I cannot sync my commit. {not_synced} Check the application's `repoURL`."
        ),
        Failure::Refused { said } => format!("Argo CD refused the sync: {}. {not_synced}", words(said, LONG)),
        Failure::BranchRewritten => format!(
            "the GitOps branch was rewritten after my commit, so I do not sync it. {not_synced} Check the branch, then type the command again."
        ),
        Failure::NothingDone => "nobody carried it out in time. Nothing was changed. Please type it again.".to_owned(),
        Failure::Fault { fault } => format!("{} {not_synced}", sentence::could_not(fault)),
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

/// Whose commits ride along: said before the sync, and true after it.
fn riders(facts: &Facts) -> Option<String> {
    let commit = facts.commit.as_ref()?;
    match &commit.riders {
        Riders::FirstDeploy => Some("First deploy of this app by me: whatever is in its folder goes live with it.".to_owned()),
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
            let lines: Vec<String> =
                last.iter().map(|rider| format!("{} {}", code(rider.sha.short()), words(&rider.headline, SHORT))).collect();
            let at_least = if *more { "at least " } else { "" };
            let noun = if count == 1 { "commit" } else { "commits" };
            Some(format!(
                "Rides along: {at_least}{count} {noun} by {} since the live version: {}",
                names.join(", "),
                lines.join("; ")
            ))
        }
    }
}
