//! How far a rollout is, in words: while it runs, and as the reason in a last word.

use super::blocks::SMALL;
use super::sentence;
use super::text::{CODE, LONG, SHORT, code, code_escape, cut, lasted, link, words};
use crate::deployment::{ApplicationWatch, Facts, LastWord, Progress, Waiting};
use crate::names::ArgoApplication;
use std::time::Duration;

/// How far the rollout is.
pub(super) fn syncing(sha: &str, watch: &ApplicationWatch) -> String {
    let Some(progress) = &watch.progress else { return format!("rolling out {sha}.") };
    if progress.synced && progress.health.is_empty() {
        return format!("rolled out {sha}. Argo CD is checking its health.");
    }
    if progress.synced {
        let health = words(&progress.health.to_lowercase(), SHORT);
        return format!("rolled out {sha}. Health: {health}.{}", held_by(progress));
    }
    let mut parts = Vec::new();
    parts.extend(match progress.resources {
        0 => None,
        1 => Some("1 resource".to_owned()),
        done => Some(format!("{done} resources")),
    });
    let message = || words(&progress.message, LONG).trim_end_matches('.').to_owned();
    parts.extend(waiting_for_hook(watch).or_else(|| Some(message()).filter(|message| !message.is_empty())));
    parts.extend(Some(progress.retry).filter(|retry| *retry > 0).map(|retry| format!("retry {retry}")));
    if parts.is_empty() {
        return format!("rolling out {sha}.");
    }
    format!("rolling out {sha}: {}.{}", parts.join(", "), held_by(progress))
}

/// Where a deploy goes to several applications: how it is at each, a line each.
pub(super) fn each(facts: &Facts) -> Option<String> {
    let (committed, applications) = (facts.committed.as_ref()?, facts.applications());
    if applications.len() < 2 {
        return None;
    }
    let (sha, many) = (code(committed.sha.short()), applications.len());
    let plan = facts.commit.as_ref().map(|commit| &commit.plan);
    let named = |application: &ArgoApplication| {
        let name = code_escape(application.name.as_str(), CODE);
        let page = plan.and_then(|plan| plan.page(application)).unwrap_or_default();
        format!("`{}`", link(&page, &name))
    };
    let line = |application: &ArgoApplication, watch: &ApplicationWatch| {
        let said = facts.outcome.as_ref().filter(|outcome| {
            let here = outcome.application.as_ref();
            here.map_or(matches!(outcome.word, LastWord::Live { .. }), |here| here.is(application))
        });
        let how = match said.map(|outcome| &outcome.word).or(watch.over.as_ref()) {
            Some(LastWord::Live { .. }) => "live.".to_owned(),
            Some(LastWord::TimedOut { .. }) => "timed out.".to_owned(),
            Some(LastWord::Superseded { .. }) => "stopped.".to_owned(),
            Some(_) => "failed.".to_owned(),
            None if watch.has_begun() => with_waiting(syncing(&sha, watch), watch),
            None => with_waiting("not rolled out yet.".to_owned(), watch),
        };
        // What is not over is not followed any further.
        let then = if facts.outcome.is_some() && said.is_none() && watch.over.is_none() { "last seen: " } else { "" };
        cut(
            &format!("• {}: {then}{how}", named(application)),
            SMALL.checked_div(many.saturating_add(1)).unwrap_or(SMALL),
        )
    };
    let lines: Vec<String> = applications.iter().map(|(application, watch)| line(application, watch)).collect();
    Some(cut(&lines.join("\n"), SMALL))
}

/// The hook that holds a sync, with how long.
pub(super) fn waiting_for_hook(watch: &ApplicationWatch) -> Option<String> {
    let (hook, minutes) = watch.remarks.hook.as_ref()?;
    let time = if *minutes == 0 {
        String::new()
    } else {
        format!(", {}", lasted(Duration::from_secs(minutes.saturating_mul(60))))
    };
    Some(format!("waiting for {}{time}", words(hook, LONG)))
}

/// Which Pod holds the rollout up.
pub(super) fn held_by(progress: &Progress) -> String {
    if progress.holds.is_empty() { String::new() } else { format!(" {}.", words(&progress.holds, LONG)) }
}

pub(super) fn with_waiting(mut text: String, watch: &ApplicationWatch) -> String {
    text.push_str(&match &watch.waiting {
        Some(Waiting::ArgoCd { fault }) => {
            format!(" I'm still trying: {}.", sentence::cause(fault.system, &fault.cause))
        }
        Some(waiting) => format!(" Waiting{}.", waiting_for(waiting)),
        None => String::new(),
    });
    if watch.automated {
        text.push_str(
            " Auto-sync is on in Argo CD, so I only watch: add `sync: auto` to this app in `deploy-bot.yaml`, or switch auto-sync off.",
        );
    }
    text
}

pub(super) fn waiting_for(waiting: &Waiting) -> String {
    match waiting {
        Waiting::OtherOperation { of: Some(_), hook, .. } => {
            format!(" for the sync of an older deploy{}", of_hook(hook.as_deref()))
        }
        Waiting::OtherOperation { by: Some(by), hook, .. } if !by.is_empty() => {
            let hook = of_hook(hook.as_deref());
            format!(" for another operation in Argo CD, started by {}{hook}", words(by, SHORT))
        }
        Waiting::OtherOperation { hook, .. } => {
            format!(" for another operation in Argo CD{}", of_hook(hook.as_deref()))
        }
        Waiting::SyncWindow => " for the next sync window in Argo CD".to_owned(),
        Waiting::AutoSync { is_on: true } => " for Argo CD to sync it".to_owned(),
        Waiting::AutoSync { is_on: false } => {
            " for a sync in Argo CD: the catalog says `sync: auto`, but auto-sync is off".to_owned()
        }
        Waiting::ArgoCd { fault } => format!(": {}", sentence::cause(fault.system, &fault.cause)),
    }
}

/// The hook that another sync waits for.
fn of_hook(hook: Option<&str>) -> String {
    hook.map(|hook| format!(", which waits for {}", words(hook, SHORT))).unwrap_or_default()
}
