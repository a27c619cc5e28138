//! Since when a deploy waits, and when that is given up.

use super::deployment::Note;
use super::text::moment;
use crate::deployment::Facts;
use crate::limits::Limits;
use crate::refusal::Refusal;
use crate::time::Timestamp;

/// In small print, while a deploy waits for somebody or something else. The moments do not change while people read.
pub(super) fn waits(facts: &Facts, note: Option<&Note>) -> Option<String> {
    let limits = Limits::default();
    let request = facts.request.as_ref()?;
    let (since, until) = if let Some(committed) = &facts.committed {
        let is_waiting = facts.applications().iter().any(|(_, watch)| watch.waiting.is_some());
        let until = facts.deadline(&limits).filter(|_| is_waiting && facts.outcome.is_none())?;
        (committed.at, until)
    } else if let Some(end) = &facts.end {
        let Refusal::NeedsApproval { until, .. } = facts.refused()? else { return None };
        let rejected = facts.approvals.as_ref().is_some_and(|approvals| approvals.rejected.is_some());
        (end.at, Some(until).filter(|_| !rejected && facts.outcome.is_none())?)
    } else {
        let is_waiting = matches!(note, Some(Note::Queue { .. } | Note::Application { .. } | Note::Pause { .. }));
        (request.at, Some(request.at.after(limits.no_mutation)).filter(|_| is_waiting)?)
    };
    Some(text(since, until))
}

fn text(since: Timestamp, until: Timestamp) -> String {
    format!("Waiting since {}, until {} at the latest.", moment(since), moment(until))
}
