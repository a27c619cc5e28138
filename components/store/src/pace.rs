//! Rate limits of the whole installation for calls to Slack and to GitHub, and of one person for what is refused,
//! counted in Redis.

use crate::key::PREFIX;
use crate::seams::{Redis, Reply, StoreError};
use domain::names::{DeploymentId, SlackChannel, SlackUser};
use domain::time::millis;
use std::time::Duration;

/// Two keys of a rate: when the next call is due, and until when no call is allowed.
const DUE: &str = "due";
const QUIET: &str = "quiet";

/// How urgent a message is, when Slack does not take all at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// The last message: never dropped, but it may have to wait.
    Final,
    /// The first message, and the first edit after the commit.
    First,
    /// Everything in between.
    Progress,
}

/// What Slack limits, each by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech<'a> {
    /// Edits in the workspace: about 50 a minute.
    Edit,
    /// Messages in one channel: one a second.
    Post(&'a SlackChannel),
}

impl Speech<'_> {
    fn key(self, what: &str) -> String {
        match self {
            Self::Edit => format!("{PREFIX}edits/{what}"),
            Self::Post(channel) => format!("{PREFIX}posts/{channel}/{what}"),
        }
    }

    /// How many a minute, evenly, and how many of them at once. Less urgent calls leave room for urgent ones.
    const fn pace(self, urgency: Urgency) -> (u64, u64) {
        match (self, urgency) {
            (Self::Edit, Urgency::Final) => (50, 9),
            (Self::Edit, Urgency::First) => (50, 6),
            (Self::Edit, Urgency::Progress) => (50, 4),
            (Self::Post(_), Urgency::Final) => (60, 3),
            (Self::Post(_), Urgency::First | Urgency::Progress) => (60, 2),
        }
    }
}

/// Each call that is allowed moves the time at which the next one is due. A call that comes too early gets
/// the milliseconds that it has to wait.
pub(crate) const PACE: &str = "local quiet = redis.call('PTTL', KEYS[2]) if quiet > 0 then return quiet end \
    local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000) \
    local due = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now) local early = due - now - ARGV[1] * (ARGV[2] - 1) \
    if early > 0 then return early end \
    redis.call('SET', KEYS[1], string.format('%.0f', due + ARGV[1]), 'PX', 120000) return 0";

/// Whether a call to Slack is allowed now; if not, after which time to ask again. All components share one
/// rate, and no call is allowed while Slack wants a pause. `minute`: how long Slack's minute is. Without
/// Redis every call is allowed: Slack's own 429 is the limit then.
pub async fn may_speak(
    world: &impl Redis,
    minute: Duration,
    speech: Speech<'_>,
    urgency: Urgency,
) -> Result<(), Duration> {
    let keys = [DUE, QUIET].map(|what| speech.key(what));
    match take_turn(world, minute, keys, speech.pace(urgency)).await {
        Ok(wait) if !wait.is_zero() => Err(wait),
        _ => Ok(()),
    }
}

/// How long the call has to wait. Zero: the call is allowed, and counted.
async fn take_turn(
    world: &impl Redis,
    minute: Duration,
    [due, quiet]: [String; 2],
    (a_minute, at_once): (u64, u64),
) -> Result<Duration, StoreError> {
    let step = millis(minute).checked_div(a_minute).unwrap_or_default().to_string();
    let early = world.number("EVAL", &[PACE, "2", &due, &quiet, &step, &at_once.to_string()]).await?;
    Ok(Duration::from_millis(early.and_then(|early| u64::try_from(early).ok()).unwrap_or_default()))
}

/// Slack answered 429: no component makes such a call for this long.
pub async fn quiet_slack(world: &impl Redis, speech: Speech<'_>, wait: Duration) {
    let _ = world.run("SET", &[&speech.key(QUIET), "1", "PX", &millis(wait).max(1).to_string()]).await;
}

/// Whether a deploy's state may be reported to GitHub now. GitHub allows 80 content writes a minute and 500
/// an hour, and our commits, up to one a second, are among them. So the installation makes no more than
/// twelve reports at once and four a minute, and none for a while after a rate limit. Without Redis there is
/// no report, because nothing counts them.
pub async fn may_tell_github(world: &impl Redis, minute: Duration, urgency: Urgency) -> bool {
    let at_once = if urgency == Urgency::Final { 12 } else { 8 };
    take_turn(world, minute, [DUE, QUIET].map(github_key), (4, at_once)).await == Ok(Duration::ZERO)
}

/// GitHub answered that we write too much: for this long there are no reports, which leaves room for commits.
pub async fn quiet_github(world: &impl Redis, wait: Duration) {
    let _ = world.run("SET", &[&github_key(QUIET), "1", "PX", &millis(wait).max(1).to_string()]).await;
}

/// Refusals that a person gets in a minute.
const REFUSALS: u64 = 20;

/// How many targets of one refused request count as one refusal.
const TARGETS_A_REFUSAL: usize = 5;

/// Counts a refusal of this many targets before there was a plan. What is refused costs calls to GitHub and Slack, which the
/// whole installation shares. Without Redis nothing is counted.
pub async fn count_refusal(world: &impl Redis, period: Duration, user: &SlackUser, targets: usize) {
    for _ in 0..targets.div_ceil(TARGETS_A_REFUSAL) {
        let keys = [DUE, QUIET].map(|what| refusals_key(user, what));
        let quiet = keys[1].clone();
        if take_turn(world, period, keys, (REFUSALS, REFUSALS)).await.is_ok_and(|wait| !wait.is_zero()) {
            let _ = world.run("SET", &[&quiet, "1", "NX", "PX", &millis(period).max(1).to_string()]).await;
        }
    }
}

/// Whether a person has had too many refusals. Without Redis nobody has.
pub async fn is_quieted(world: &impl Redis, user: &SlackUser) -> bool {
    world.number("EXISTS", &[&refusals_key(user, QUIET)]).await == Ok(Some(1))
}

/// How long a mention is known that was answered. Slack sends an event again for some minutes.
const MENTION: Duration = Duration::from_secs(3600);

/// Whether a mention is new. Without Redis every one is.
pub async fn is_first(world: &impl Redis, id: &DeploymentId) -> bool {
    let arguments = [&format!("{PREFIX}mention/{id}"), "1", "NX", "PX", &millis(MENTION).to_string()];
    world.run("SET", &arguments).await.map_or(true, |reply| reply.first() != Some(&Reply::Nil))
}

/// Searches of one person that may ask GitHub, in a minute and at once.
const SEARCHES: (u64, u64) = (20, 10);

/// Whether a search in a form may ask GitHub. Without Redis none may, because nothing counts them.
pub async fn may_search(world: &impl Redis, minute: Duration, user: &SlackUser) -> bool {
    let keys = [DUE, QUIET].map(|what| format!("{PREFIX}searches/{user}/{what}"));
    take_turn(world, minute, keys, SEARCHES).await == Ok(Duration::ZERO)
}

fn refusals_key(user: &SlackUser, what: &str) -> String {
    format!("{PREFIX}refusals/{user}/{what}")
}

fn github_key(what: &str) -> String {
    format!("{PREFIX}github/{what}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{Memory, secs};

    #[test]
    fn edits_keep_slacks_pace_and_leave_room_for_final_words() {
        let memory = Memory::default();
        let edit = |urgency| memory.run(may_speak(&memory, Duration::from_secs(60), Speech::Edit, urgency));
        let edits = |urgency| (0..100).take_while(|_| edit(urgency).is_ok()).count();
        assert_eq!(edits(Urgency::Progress), 4);
        assert_eq!(edits(Urgency::First), 2);
        assert_eq!(edits(Urgency::Final), 3);
        // Nine are out, at 1.2 s each: a caller that must wait learns for how long, and may call then.
        assert_eq!(edit(Urgency::Final), Err(Duration::from_millis(1_200)));
        assert_eq!(edit(Urgency::Progress), Err(Duration::from_millis(7_200)));
        // From then on one every 1.2 s; while final words wait, nothing else gets through.
        memory.pass(6);
        assert_eq!(edits(Urgency::Progress), 0);
        assert_eq!(edits(Urgency::Final), 5);
        memory.pass(60);
        assert_eq!(edits(Urgency::Progress), 4);
        memory.redis_is_down.set(true);
        assert!(edit(Urgency::Progress).is_ok(), "Slack's own limit is what is left");
    }

    #[test]
    fn a_channel_that_is_full_does_not_hold_up_edits_or_other_channels() {
        let memory = Memory::default();
        let [one, other] = ["C1", "C2"].map(|channel| SlackChannel::parse(channel).unwrap());
        let wait = |speech, urgency| memory.run(may_speak(&memory, Duration::from_secs(60), speech, urgency)).err();
        let may = |speech, urgency| wait(speech, urgency).is_none();
        assert_eq!((0..9).take_while(|_| may(Speech::Post(&one), Urgency::First)).count(), 2);
        assert!(may(Speech::Post(&one), Urgency::Final));
        memory.pass(60);
        memory.run(quiet_slack(&memory, Speech::Post(&one), secs(30)));
        assert_eq!(wait(Speech::Post(&one), Urgency::Final), Some(secs(30)));
        assert!(may(Speech::Post(&other), Urgency::First));
        assert!(may(Speech::Edit, Urgency::Progress));
        memory.pass(91);
        assert!(may(Speech::Post(&one), Urgency::First));
    }

    #[test]
    fn who_is_refused_all_the_time_is_not_heard_for_a_minute() {
        let memory = Memory::default();
        let [one, other] = ["U1", "U2"].map(|user| SlackUser::parse(user).unwrap());
        let refused = |times: usize| {
            (0..times).for_each(|_| memory.run(count_refusal(&memory, secs(60), &one, 1)));
            memory.run(is_quieted(&memory, &one))
        };
        assert!(!refused(20));
        assert!(refused(1));
        assert!(!memory.run(is_quieted(&memory, &other)));
        memory.pass(59);
        assert!(refused(0));
        memory.pass(2);
        assert!(!refused(20), "a minute has room for twenty");
        memory.redis_is_down.set(true);
        assert!(!refused(40));
    }

    #[test]
    fn a_mention_is_new_once() {
        let memory = Memory::default();
        let is_first = |id: char| memory.run(is_first(&memory, &domain::deployment::samples::id(id)));
        assert_eq!([is_first('1'), is_first('1'), is_first('2')], [true, false, true]);
        memory.redis_is_down.set(true);
        assert!(is_first('1'));
    }

    #[test]
    fn a_person_who_types_fast_does_not_ask_github_each_time() {
        let memory = Memory::default();
        let user = SlackUser::parse("U1").unwrap();
        let may = || memory.run(may_search(&memory, secs(60), &user));
        assert_eq!((0..20).take_while(|_| may()).count(), 10);
        memory.pass(30);
        assert_eq!((0..20).take_while(|_| may()).count(), 10);
        memory.pass(60);
        memory.redis_is_down.set(true);
        assert!(!may());
    }

    #[test]
    fn what_github_is_told_leaves_room_for_commits() {
        let memory = Memory::default();
        let may = |urgency| memory.run(may_tell_github(&memory, Duration::from_secs(60), urgency));
        assert_eq!((0..20).take_while(|_| may(Urgency::Progress)).count(), 8);
        assert_eq!((0..20).take_while(|_| may(Urgency::Final)).count(), 4);
        // A caller that tries again and again gets four a minute: with a commit a second all writes stay
        // below 80.
        let mut told = 0;
        for _ in 0..120 {
            memory.pass(1);
            told += u32::from(may(Urgency::Final));
        }
        assert_eq!(told, 8);
        memory.pass(600);
        memory.run(quiet_github(&memory, secs(60)));
        assert!(!may(Urgency::Final));
        memory.pass(61);
        assert!(may(Urgency::Progress));
    }
}
