//! `diff`: what is live in one environment of an app and not in another one.

use super::answer::page;
use super::blocks::Message;
use super::deployment::{source_title, with_commits};
use super::text::{code, counted, link};
use crate::deployment::{ChangesFact, TargetPlan};
use crate::names::Target;

/// One of the two.
#[derive(Clone, Debug)]
pub struct Side {
    pub target: Target,
    /// By which its live version was committed.
    pub live: Option<TargetPlan>,
}

#[derive(Clone, Debug)]
pub struct Difference<'a> {
    pub sides: [&'a Side; 2],
    /// What the first has and the second has not. `None`: that could not be found out.
    pub changes: Option<&'a ChangesFact>,
}

pub fn diff(difference: &Difference<'_>) -> Message {
    let [one, other] = difference.sides;
    let mut lines = vec![side(one), side(other)];
    if let (Some(here), Some(there)) = (&one.live, &other.live) {
        let is_same = here.source.head.is_some() && here.source.head == there.source.head;
        lines.push(match difference.changes {
            _ if is_same && here.digest != there.digest => {
                "Both are of the same commit, but not the same image.".to_owned()
            }
            _ if is_same => "Both run the same version.".to_owned(),
            Some(changes) => compared([one, other], changes),
            None => "I couldn't compare their commits. Try again in a minute.".to_owned(),
        });
    }
    page(&lines, None, &[])
}

fn side(Side { target, live }: &Side) -> String {
    let Some(plan) = live else { return format!("*{target}*: I know of no live version.") };
    let title = source_title(&plan.source).map(|title| format!(": {title}")).unwrap_or_default();
    let commit = plan.source.head.as_ref().map(|head| format!(" ({})", code(head.short()))).unwrap_or_default();
    format!("*{target}* runs {}{title}{commit}", code(&plan.tag))
}

fn compared([one, other]: [&Side; 2], changes: &ChangesFact) -> String {
    let (one, other) = (&one.target.environment, &other.target.environment);
    let (more, less) = (counted(changes.ahead, "commit"), counted(changes.behind, "commit"));
    let text = match (changes.ahead, changes.behind) {
        (_, 0) => format!("{one} is {more} ahead of {other}."),
        (0, _) => format!("{one} is {less} behind {other}."),
        _ => format!("{one} has {more} that {other} lacks, and lacks {less} that {other} has."),
    };
    let compare = changes.url.as_ref().map(|url| format!("  {}", link(url, "compare"))).unwrap_or_default();
    with_commits(format!("{text}{compare}"), changes)
}
