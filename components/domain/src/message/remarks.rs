//! What Argo CD shows of an application besides how far the rollout is.

use super::text::{LONG, SHORT, code, codes, counted, words};
use crate::application::Condition;
use crate::deployment::{ApplicationWatch, AsBefore, Facts, Remarks};
use crate::names::ArgoApplication;

/// In small print, while it holds and with the last word.
pub(super) fn lines(facts: &Facts) -> Vec<String> {
    let applications = facts.applications();
    let several = applications.len() > 1;
    let of = |(application, watch): &(&ArgoApplication, ApplicationWatch)| {
        let name = if several { format!("{}: ", code(application.name.as_str())) } else { String::new() };
        of_one(&watch.remarks).into_iter().map(move |line| format!("{name}{line}")).collect::<Vec<_>>()
    };
    applications.iter().flat_map(of).take(MOST_LINES).collect()
}

/// A message has room for so many.
const MOST_LINES: usize = 8;

fn of_one(remarks: &Remarks) -> Vec<String> {
    let of = |condition: &Condition| {
        format!("{}: {}", words(&condition.kind, SHORT), words(&condition.message, LONG).trim_end_matches('.'))
    };
    let conditions: Vec<String> = remarks.conditions.iter().map(of).collect();
    let mark = if remarks.conditions.iter().any(Condition::is_error) { ":warning: " } else { "" };
    let mut lines = Vec::new();
    lines.extend((!conditions.is_empty()).then(|| format!("{mark}Argo CD says: {}.", conditions.join("; "))));
    lines.extend((remarks.to_prune > 0).then(|| {
        let (they_are, them) = if remarks.to_prune == 1 { ("it is", "it") } else { ("they are", "them") };
        let (count, few) = (counted(remarks.to_prune, "resource"), few(&remarks.pruned, remarks.to_prune));
        format!("{count} would be pruned, because {they_are} no longer in Git: {few}. I leave {them} in the cluster.")
    }));
    lines
}

/// What was so before, or is another target's, and is no reason not to call it live.
pub(super) fn as_before(facts: &Facts) -> String {
    let all = facts.applications().into_iter().filter_map(|(_, watch)| watch.remarks.as_before);
    all.take(2).map(|so| health_as_before(&so)).collect()
}

fn health_as_before(so: &AsBefore) -> String {
    let few = |names: &[String]| few(names, u32::try_from(names.len()).unwrap_or(u32::MAX));
    let health = words(&so.health, SHORT);
    let before =
        if so.because.is_empty() { String::new() } else { format!(" as before, because of {}", few(&so.because)) };
    let theirs = match (so.theirs.is_empty(), so.because.is_empty()) {
        (true, _) => String::new(),
        (false, true) => format!(", because of {} with another app's image", few(&so.theirs)),
        (false, false) => format!(", and because of {} with another app's image", few(&so.theirs)),
    };
    format!(" Argo CD calls the app {health}{before}{theirs}.")
}

/// Three of so many.
fn few(names: &[String], all: u32) -> String {
    let named: Vec<String> = names.iter().take(3).cloned().collect();
    match all.saturating_sub(u32::try_from(named.len()).unwrap_or_default()) {
        0 => codes(&named),
        more => format!("{} and {more} more", codes(&named)),
    }
}
