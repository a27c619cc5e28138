//! When a read that failed is asked again, and for how long.
//!
//! A read changes nothing, so the same question may be asked any number of times. The pauses grow: the first
//! is over before a person notices (a lost connection, one bad gateway of several), the later ones leave time
//! for a restart. From the fourth on a system that is not well hears the question every five seconds.
//!
//! **Invariant:** one answer alone never ends the reading, however long it took to come, unless a person has
//! to mend what it says.

use crate::fault::Passing;
use crate::limits::Limits;
use std::time::Duration;

/// Before the second try, the third, and so on. The last pause comes again.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(300), Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(5)];
/// What the second try may take at least.
const ONE_TRY: Duration = Duration::from_secs(5);

/// What became of a read so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    /// How often the question was asked.
    pub tries: u32,
    /// Since the first time.
    pub took: Duration,
    /// The part of it that the other system asked for: its pauses do not use up the budget.
    pub paused: Duration,
    /// How long anybody still wants the answer.
    pub left: Duration,
    /// Somebody reads that there is a pause.
    pub heard: bool,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The last answer counts.
    GiveUp,
    Again {
        after: Duration,
        /// What the next try may take.
        limit: Duration,
        /// The pause is long enough that people have to know of it.
        tell: bool,
    },
}

impl Tried {
    /// What follows from an answer that failed like this. What a system asks for is waited for: to the last
    /// moment where people are told, and otherwise only if the pause is over before that moment.
    pub fn next(&self, passing: Passing, limits: &Limits) -> Next {
        let earlier = usize::try_from(self.tries.saturating_sub(1)).unwrap_or(usize::MAX);
        let pause = PAUSES.get(earlier).or(PAUSES.last()).copied().unwrap_or_default();
        match passing {
            Passing::Never => Next::GiveUp,
            Passing::Soon => {
                let spent = self.took.saturating_sub(self.paused).saturating_add(pause);
                let (rest, first) = (limits.read_again.saturating_sub(spent), self.tries <= 1);
                if pause > self.left || (rest.is_zero() && !first) {
                    return Next::GiveUp;
                }
                let limit = if first { rest.max(ONE_TRY) } else { rest };
                Next::Again { after: pause, limit, tell: false }
            }
            Passing::Pause(named) => {
                let wait = named.unwrap_or(limits.minute).max(pause);
                if self.left.is_zero() || (wait > self.left && !self.heard) {
                    return Next::GiveUp;
                }
                let tell = self.took.saturating_add(wait) > limits.read_again;
                Next::Again { after: wait.min(self.left), limit: limits.read_again.max(ONE_TRY), tell }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTES: Duration = Duration::from_secs(180);

    fn secs(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    fn tried(tries: u32, took: f64) -> Tried {
        Tried { tries, took: secs(took), paused: Duration::ZERO, left: MINUTES, heard: true }
    }

    fn again(after: f64, limit: f64, tell: bool) -> Next {
        Next::Again { after: secs(after), limit: secs(limit), tell }
    }

    fn check(tried: Tried, passing: Passing, expected: Next) {
        assert_eq!(tried.next(passing, &Limits::default()), expected, "{tried:?} {passing:?}");
    }

    #[test]
    fn what_passes_is_asked_again_within_twenty_seconds() {
        let soon = |tries, took, expected| check(tried(tries, took), Passing::Soon, expected);
        soon(1, 0.0, again(0.3, 19.7, false));
        soon(2, 0.3, again(1.0, 18.7, false));
        soon(3, 1.3, again(3.0, 15.7, false));
        soon(4, 4.3, again(5.0, 10.7, false));
        soon(6, 14.3, again(5.0, 0.7, false));
        soon(7, 19.3, Next::GiveUp);
        soon(2, 19.0, Next::GiveUp);
        // One answer never ends it, not even one that took all the time that there is.
        soon(1, 25.0, again(0.3, 5.0, false));
        check(tried(1, 0.0), Passing::Never, Next::GiveUp);
        // Nobody wants the answer any more.
        check(Tried { left: secs(0.2), ..tried(1, 0.0) }, Passing::Soon, Next::GiveUp);
    }

    #[test]
    fn a_pause_is_kept_and_told_if_it_is_long() {
        let named = |seconds: f64| Passing::Pause(Some(secs(seconds)));
        check(tried(1, 0.0), named(7.0), again(7.0, 20.0, false));
        check(tried(1, 0.0), named(60.0), again(60.0, 20.0, true));
        check(tried(2, 15.0), named(7.0), again(7.0, 20.0, true));
        check(tried(1, 0.0), Passing::Pause(None), again(60.0, 20.0, true));
        // Not more often than without a time.
        check(tried(1, 0.0), named(0.0), again(0.3, 20.0, false));
        check(tried(9, 30.0), named(1.0), again(5.0, 20.0, true));
        // Longer than there is time: once more, at the last moment, if people know of it.
        check(tried(1, 0.0), named(600.0), again(180.0, 20.0, true));
        check(Tried { heard: false, ..tried(1, 0.0) }, named(600.0), Next::GiveUp);
        check(Tried { left: Duration::ZERO, ..tried(2, 180.0) }, named(1.0), Next::GiveUp);
    }

    #[test]
    fn a_pause_uses_up_none_of_the_time_for_what_passes() {
        let after_a_pause = Tried { paused: secs(60.0), ..tried(2, 60.0) };
        check(after_a_pause, Passing::Soon, again(1.0, 19.0, false));
        check(Tried { paused: secs(60.0), ..tried(5, 78.0) }, Passing::Soon, Next::GiveUp);
    }
}
