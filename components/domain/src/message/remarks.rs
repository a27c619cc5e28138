//! What Argo CD shows of an application besides how far the rollout is.

use super::text::{LONG, SHORT, codes, counted, words};
use crate::application::Condition;
use crate::deployment::Facts;

/// In small print, while it holds and with the last word.
pub(super) fn lines(facts: &Facts) -> Vec<String> {
    let Some(watch) = &facts.watch else { return Vec::new() };
    let remarks = &watch.remarks;
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
    let Some(so) = facts.watch.as_ref().and_then(|watch| watch.remarks.as_before.as_ref()) else {
        return String::new();
    };
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
