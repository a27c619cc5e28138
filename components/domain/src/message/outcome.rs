//! The last word on a deployment after its commit: how it ended, what is different now, and what to do.

use super::progress::{held_by, waiting_for, waiting_for_hook};
use super::remarks::as_before;
use super::text::{LONG, SHORT, code, code_escape, codes, lasted, link, said, words};
use super::{button, sentence};
use crate::deployment::{ApplicationWatch, ByItself, Doubt, Facts, Failure, LastWord, OutcomeFact, Proof, Waiting};
use std::time::Duration;

/// The commit, after a word for it.
fn in_brackets(facts: &Facts) -> String {
    facts.committed.as_ref().map(|committed| format!(" ({})", code(committed.sha.short()))).unwrap_or_default()
}

/// What every last word after the commit says: what is different now. `asked`: the sync may have begun.
fn changed(facts: &Facts, asked: bool) -> String {
    let sha = in_brackets(facts);
    let cluster = match (facts.is_synced(), asked) {
        (true, _) => ", and so does the cluster",
        (false, true) => "; the cluster may have parts of it",
        (false, false) => "; the cluster is unchanged",
    };
    format!("Git has the new version{sha}{cluster}.")
}

pub(super) fn last_word(facts: &Facts, outcome: &OutcomeFact) -> (&'static str, String) {
    let (mark, text) = said_of(facts, &outcome.word);
    match &outcome.application {
        Some(application) => (mark, format!("{}: {text}", code(application.name.as_str()))),
        None => (mark, text),
    }
}

fn said_of(facts: &Facts, word: &LastWord) -> (&'static str, String) {
    let watch = facts.said_at();
    // An ask without an answer may have been taken.
    let asked = facts.has_begun() || watch.automated;
    match word {
        LastWord::Live { proof, synced_by, urls } => {
            (":white_check_mark:", live(facts, *proof, synced_by.as_deref(), urls))
        }
        LastWord::Failed { failure } => (":x:", failed(facts, failure, &changed(facts, asked))),
        LastWord::Superseded { by_deployment: Some(_), .. } => {
            let so_far = if asked { "parts of this one may be rolled out" } else { "this one wasn't rolled out" };
            (":fast_forward:", format!("stopped: a newer deploy took over, and {so_far}."))
        }
        LastWord::Superseded { by_deployment: None, by_person } => {
            let who = by_person.as_deref().filter(|who| !who.is_empty()).map_or("somebody".to_owned(), |who| words(who, SHORT));
            let changed = changed(facts, asked);
            let text = format!("stopped: {who} started another sync in Argo CD while this was rolling out. {changed} Check Argo CD before you deploy again.");
            (":fast_forward:", text)
        }
        LastWord::TimedOut { waiting, health } => {
            let why = match (waiting, health) {
                (Some(waiting @ Waiting::ArgoCd { .. }), _) => waiting_for(waiting),
                (Some(waiting), _) => format!(". I was waiting{}", waiting_for(waiting)),
                (None, Some(health)) if health == "Healthy" => ": the Pods of the new version have not come".to_owned(),
                (None, Some(health)) if health == "Suspended" => ": the rollout is still paused".to_owned(),
                (None, Some(health)) if !health.is_empty() => {
                    format!(": it isn't healthy yet (Argo CD says {})", words(&health.to_lowercase(), SHORT))
                }
                _ => match &watch.progress {
                    Some(progress) if !progress.synced => {
                        let hook = waiting_for_hook(&watch).map(|hook| format!(": {hook}"));
                        format!(": it isn't rolled out yet{}", hook.unwrap_or_else(|| said(&progress.message)))
                    }
                    _ => String::new(),
                },
            };
            let held = watch.progress.as_ref().map(held_by).unwrap_or_default();
            let changed = format!("{}{held}", changed(facts, asked));
            let back = if asked && button::offers_roll_back(facts) { ", *Roll back* returns to the last healthy version" } else { "" };
            let text = format!("timed out{}{why}. {changed} Argo CD shows what holds it up. *Retry* goes on from here{back}.", which_passed(facts));
            (":alarm_clock:", text)
        }
        LastWord::Lost { failure } => {
            let why = match failure {
                Failure::NoRight { said: why } => format!("Argo CD doesn't allow it{}", said(why)),
                Failure::NoApplication => "Argo CD says that there is no such application".to_owned(),
                Failure::Refused { said: why } => format!("Argo CD refuses the sync{}", said(why)),
                _ => "Argo CD doesn't accept my token".to_owned(),
            };
            let why = why.trim_end_matches('.');
            (":grey_question:", format!("I can't see this app in Argo CD any more: {why}. {} The rollout may go on: look at Argo CD.", changed(facts, true)))
        }
        LastWord::Unknown => (
            ":grey_question:",
            "GitHub didn't confirm in time, so I'm not sure the commit went through. Press *Retry*: if it did, I'll go on with it. You won't get two."
                .to_owned(),
        ),
    }
}

fn live(facts: &Facts, proof: Proof, synced_by: Option<&str>, urls: &[String]) -> String {
    let tag = facts.commit.as_ref().map(|commit| code(&commit.target().tag)).unwrap_or_default();
    let page = urls.first().map(|url| link(url, "Open it")).filter(|link| link.starts_with('<'));
    let page = page.map(|link| format!(" {link}")).unwrap_or_default();
    let unproven = match proof {
        Proof::Runs | Proof::Applied => "",
        Proof::NotAsked => " Whether this version runs is not proven: `verify_running: off`.",
        Proof::NoImage => " Argo CD shows no Pod and no image of this app, so I can't prove that this version runs.",
    };
    let by = synced_by.map(|by| format!(" {} synced it once more in Argo CD.", words(by, SHORT))).unwrap_or_default();
    format!("is live: {tag}.{page}{by}{unproven}{}{}", as_before(facts), lock_of_rollback(facts))
}

/// Which of the two periods has passed: the one until Argo CD takes the sync, or the one of the rollout.
fn which_passed(facts: &Facts) -> String {
    let ApplicationWatch { taken, asked, .. } = facts.said_at();
    let Some((since, outcome)) = taken.or(facts.committed.as_ref().map(|fact| fact.at)).zip(facts.outcome.as_ref())
    else {
        return String::new();
    };
    let seconds = outcome.at.since(since).as_secs();
    let passed = lasted(Duration::from_secs(if seconds < 60 { seconds } else { (seconds / 60).saturating_mul(60) }));
    match (taken, asked) {
        (Some(_), _) => format!(" {passed} after Argo CD took the sync"),
        (None, Some(_)) => format!(" {passed} after the commit, because Argo CD didn't confirm the sync"),
        (None, None) => format!(" {passed} after the commit, because Argo CD didn't take the sync"),
    }
}

/// A rollback locks its target.
fn lock_of_rollback(facts: &Facts) -> String {
    let Some(commit) = facts.commit.as_ref().filter(|commit| commit.target().rollback) else { return String::new() };
    let target = &commit.target().target;
    format!(
        " {target} is locked now, so the bad version can't come back. Fixed? Press *Unlock* or type `/deploy unlock {target}`."
    )
}

fn failed(facts: &Facts, failure: &Failure, changed: &str) -> String {
    match failure {
        Failure::Sync { message, resources } => {
            format!(
                "the rollout failed{}. {changed} Fix the cause, then press *Retry*.{}",
                said(message),
                list(resources)
            )
        }
        Failure::Degraded { message, resources } => {
            let several = facts.applications().len() > 1;
            let runs = if several { "It runs the new version" } else { "The cluster runs the new version" };
            format!("is rolled out, but not healthy{}. {runs}: {}{}", said(message), what_now(facts), list(resources))
        }
        Failure::OtherImage { wanted, found, why } => {
            let check = where_to_look(facts);
            let (wanted, found, sha) = (code_escape(wanted, LONG), codes(found), in_brackets(facts));
            match why {
                Doubt::OldPods => format!(
                    "is rolled out and healthy, but the Pods still run {found}, not `{wanted}`. Git has the new version{sha}. Find out in Argo CD who replaces these Pods: an operator, or a person (`OnDelete`)."
                ),
                Doubt::OtherTag => format!(
                    "is rolled out and healthy, but doesn't run `{wanted}`: Argo CD shows {found}. Git has the new version{sha}. {check}"
                ),
                Doubt::NotUsed => format!(
                    "is rolled out, but what was applied doesn't use `{wanted}`: Argo CD applied {found}. Git has the new version{sha}. {check}"
                ),
            }
        }
        Failure::NoRight { said: why } => format!(
            "Argo CD doesn't allow it{}. {changed} Ask whoever runs Argo CD to give my account `get` and `sync` on this application.",
            said(why)
        ),
        Failure::NoApplication => format!(
            "Argo CD has no such application. {changed} Create it, or check `argocd` of this app in `deploy-bot.yaml`."
        ),
        Failure::Deleting => format!("Argo CD is deleting this application. {changed} Try again when it's back."),
        Failure::NoSource => format!(
            "its Argo CD application doesn't follow the branch that I commit to, so I can't roll out my commit. {changed} Check its `repoURL` and `targetRevision`."
        ),
        Failure::ReadsMore { path } => format!(
            "its Argo CD application reads {} by now, where I didn't look for other people's changes, so I didn't roll it out. {changed} Add that to `watch` in `deploy-bot.yaml` if it belongs to the app, then press *Retry*.",
            if path.is_empty() { "the whole repository".to_owned() } else { code(path) }
        ),
        Failure::TooOld { version } => format!(
            "its Argo CD application has several sources, and Argo CD {} can't sync them to a commit: it takes the newest of each. {changed} Ask whoever runs Argo CD to update it to 2.11 or newer.",
            words(version, SHORT)
        ),
        Failure::Refused { said: why } => {
            format!("Argo CD refused the sync{}. {changed} Fix that, then press *Retry*.", said(why))
        }
        Failure::BranchRewritten => format!(
            "somebody rewrote the Git branch after my commit{}, which may be gone, so I didn't roll it out. Check the branch, then press *Retry*.",
            facts.committed.as_ref().map(|committed| format!(" {}", code(committed.sha.short()))).unwrap_or_default()
        ),
        Failure::NothingDone => "I was too busy and gave up. Nothing was changed. Please try again.".to_owned(),
        Failure::Fault { fault } => {
            format!("{} {changed} {}", sentence::could_not(fault), sentence::todo(&fault.cause))
        }
    }
}

/// Whether it is taken back without being asked, or why people have to.
fn what_now(facts: &Facts) -> String {
    let why = match facts.by_itself() {
        None => return "fix it, or roll back.".to_owned(),
        Some(ByItself::GoesBack) => return "I roll it back by myself (`auto_rollback`).".to_owned(),
        Some(ByItself::Others) => "other people's changes went live with it",
        Some(ByItself::Hooks) => "hooks ran with it",
        Some(ByItself::NotOurs) => "what Argo CD did last isn't my own sync",
    };
    format!("fix it, or roll back. I don't do that by myself (`auto_rollback`), because {why}.")
}

/// Why our image was not applied.
fn where_to_look(facts: &Facts) -> String {
    match (facts.said_at().remarks.left_out, &facts.commit) {
        (Some(paths), Some(commit)) => {
            let (file, paths) = (code(commit.target().files.first()), code_escape(&paths, LONG));
            format!(
                "Argo CD may have kept its old manifests: the application's annotation `manifest-generate-paths` (`{paths}`) leaves out {file}. Add that file."
            )
        }
        _ => "Check that `tag_at` in `deploy-bot.yaml` is where this app takes its tag from.".to_owned(),
    }
}

fn list(resources: &[String]) -> String {
    resources.iter().map(|resource| format!("\n• {}", words(resource, LONG))).collect()
}
