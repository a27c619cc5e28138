//! `auto_rollback`: a deploy that ended degraded is taken back without being asked. Here is decided whether; slack-command does
//! it, as a deployment of its own, once: its id is made of the failed one's.
//!
//! Easy to miss: the bot acts alone, so whatever could make it do harm forbids it. Other people's changes would be taken for
//! granted, and a hook has changed what no image brings back.

use super::{ApplicationWatch, Facts, Failure, LastWord, Riders, TargetPlan};
use crate::application::SyncBy;

/// Whether a deploy that ended degraded is taken back without being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByItself {
    /// It is.
    GoesBack,
    /// Other people's changes went live with it, or may have.
    Others,
    /// Hooks ran with it.
    Hooks,
    /// It is not our own operation that ended so.
    NotOurs,
}

impl TargetPlan {
    /// Whether nothing of other people goes live with it, as far as was looked.
    pub fn is_alone(&self) -> bool {
        let has_none = matches!(&self.riders, Riders::Since { commits, more: false } if commits.is_empty());
        has_none && self.elsewhere.is_empty() && self.taken.is_none()
    }
}

impl Facts {
    /// Whether it is taken back without being asked. `None`: nobody wants that, or it did not end degraded, or there is
    /// nothing to go back to. Of several targets each part is asked alone.
    pub fn by_itself(&self) -> Option<ByItself> {
        let plan = self.commit.as_ref().filter(|_| self.committed.is_some() && !self.has_parts())?.target();
        let outcome = self.outcome.as_ref()?;
        let is_degraded = matches!(&outcome.word, LastWord::Failed { failure: Failure::Degraded { .. } });
        let replaces = plan.before.as_ref().is_some_and(|before| *before != plan.tag.as_str());
        if !(plan.auto_rollback && is_degraded && replaces)
            || plan.rollback
            || matches!(plan.riders, Riders::FirstDeploy)
        {
            return None;
        }
        let watch = self.said_at();
        let all = self.applications();
        Some(if plan.sync == SyncBy::Auto || !watch.is_own {
            ByItself::NotOurs
        } else if !plan.is_alone() {
            ByItself::Others
        } else if all.iter().any(|(_, watch): &(_, ApplicationWatch)| watch.hooks_ran) {
            ByItself::Hooks
        } else {
            ByItself::GoesBack
        })
    }

    /// Nobody asked for it.
    pub fn is_unasked(&self) -> bool {
        self.request.as_ref().is_some_and(|request| request.origin.by_itself().is_some())
    }

    /// The same as [`Facts::by_itself`], as a plain answer.
    pub fn goes_back(&self) -> bool {
        self.by_itself() == Some(ByItself::GoesBack)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deployment::samples::{at, relayed, sha};
    use crate::deployment::{OutcomeFact, Rider, Taken, WatchFact};

    /// Degraded after a sync of ours, where the catalog wants it back.
    fn degraded() -> Facts {
        let mut facts = relayed();
        let failure = Failure::Degraded { message: String::new(), resources: Vec::new() };
        facts.outcome = Some(OutcomeFact { at: at(60), word: LastWord::Failed { failure }, application: None });
        facts.watch = Some(WatchFact::from(ApplicationWatch { is_own: true, ..ApplicationWatch::default() }));
        facts.commit.as_mut().unwrap().target_mut().auto_rollback = true;
        facts
    }

    fn check(change: impl FnOnce(&mut Facts), expected: Option<ByItself>) {
        let mut facts = degraded();
        change(&mut facts);
        assert_eq!(facts.by_itself(), expected);
    }

    fn plan(facts: &mut Facts) -> &mut TargetPlan {
        facts.commit.as_mut().unwrap().target_mut()
    }

    fn watch(facts: &mut Facts) -> &mut ApplicationWatch {
        &mut facts.watch.as_mut().unwrap().applications[0]
    }

    #[test]
    fn only_the_degraded_end_of_our_own_operation_goes_back() {
        check(|_| {}, Some(ByItself::GoesBack));
        check(|facts| plan(facts).auto_rollback = false, None);
        check(|facts| plan(facts).rollback = true, None);
        check(|facts| facts.committed = None, None);
        check(|facts| facts.outcome = None, None);
        check(|facts| watch(facts).is_own = false, Some(ByItself::NotOurs));
        check(|facts| plan(facts).sync = SyncBy::Auto, Some(ByItself::NotOurs));
        let failure = Failure::Sync { message: String::new(), resources: Vec::new() };
        let others = [
            LastWord::Failed { failure },
            LastWord::TimedOut { waiting: None, health: Some("Degraded".to_owned()) },
            LastWord::Superseded { by_deployment: None, by_person: None },
            LastWord::Unknown,
        ];
        for word in others {
            check(|facts| facts.outcome.as_mut().unwrap().word = word, None);
        }
    }

    #[test]
    fn what_is_not_ours_alone_or_ran_hooks_does_not_go_back() {
        let rider = Rider { sha: sha('e'), who: "mallory".to_owned(), headline: "More".to_owned() };
        let some = |commits, more| Riders::Since { commits, more };
        check(|facts| plan(facts).riders = some(vec![rider], false), Some(ByItself::Others));
        check(|facts| plan(facts).riders = some(Vec::new(), true), Some(ByItself::Others));
        check(|facts| plan(facts).elsewhere = vec![("base".to_owned(), "1".to_owned())], Some(ByItself::Others));
        let taken = Taken { wrote: sha('e'), by: None, newest: sha('e') };
        check(|facts| plan(facts).taken = Some(taken), Some(ByItself::Others));
        check(|facts| watch(facts).hooks_ran = true, Some(ByItself::Hooks));
    }

    #[test]
    fn without_a_version_before_there_is_nothing_to_go_back_to() {
        check(|facts| plan(facts).riders = Riders::FirstDeploy, None);
        check(|facts| plan(facts).before = None, None);
        check(|facts| plan(facts).before = Some(plan(&mut degraded()).tag.to_string()), None);
    }
}
