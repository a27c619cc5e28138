//! Every period of ours that is neither a fact of another system nor the life of a lease.
//!
//! [`Limits`] are those that tests shorten by name; the rest are constants below.

use std::collections::BTreeMap;
use std::time::Duration;

macro_rules! limits {
    ($($(#[$doc:meta])* $name:ident = $millis:expr;)*) => {
        /// The periods. Tests shorten some of them, see [`Limits::parse`].
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Limits {
            $($(#[$doc])* pub $name: Duration,)*
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: Duration::from_millis($millis),)* }
            }
        }

        impl Limits {
            fn named(&mut self, name: &str) -> Option<&mut Duration> {
                match name {
                    $(stringify!($name) => Some(&mut self.$name),)*
                    _ => None,
                }
            }
        }
    };
}

limits! {
    /// How long a committed deployment waits for its webhook.
    webhook_patience = 15_000;
    /// How long after its commit a deployment waits until Argo CD takes the sync. From then on its own deadline counts.
    sync_taken = 900_000;
    /// How long the relay waits for `committed` when the webhook overtook it.
    overtaking = 6_000;
    /// How long a request waits for the lease of its target's application.
    target_wait = 10_000;
    /// How often it tries.
    target_retry = 500;
    /// How old a remembered catalog may be that a deploy begins with. It is compared before anything is
    /// decided, so it only saves a call.
    catalog_age = 24 * 3_600_000;
    /// How often the guardian looks whether somebody watches.
    guardian = 5_000;
    /// How often `/healthz` resumes.
    resume = 5_000;
    /// How long one watch lasts.
    watch = 25_000;
    /// How often the watch takes the news.
    news = 50;
    /// How often it loads all facts again in case news were lost.
    reload = 10_000;
    /// Between two polls where the stream fails.
    poll = 1_000;
    /// A stream without a first event for this long counts as failed.
    first_event = 3_000;
    /// After a sync without an answer: when to look again.
    look_again = 3_000;
    /// A message that is being posted for longer than this is given up.
    posting = 10_000;
    /// Between two edits of one message, final words apart.
    edit_gap = 700;
    /// After this long without `committed` or `end`, the watch ends it.
    no_commit = 360_000;
    /// No mutation is sent later than this.
    no_mutation = 180_000;
    /// slack-command writes no `end` later than this.
    no_end = 300_000;
    /// How long a read that fails in passing is asked again. Pauses that the other system asks for do not count.
    read_again = 20_000;
    /// Between two looks at an unknown outcome.
    settle = 2_000;
    /// At least this long `Degraded` when it was so before we asked.
    degraded_before = 60_000;
    /// How long another image than ours is borne when all is healthy: Pods are replaced, and Argo CD's picture of the
    /// cluster may be behind.
    other_image = 60_000;
    /// How often the Pods are looked at while a rollout takes its time.
    pods = 5_000;
    /// How long after our sync it is requested again, where Argo CD itself failed.
    repeat = 5_000;
    /// How long the same error of Argo CD has to last that would be final: it gives them for passing reasons, too.
    argocd_error = 60_000;
    /// For how long the members of a Slack user group are remembered. Slack answers some 20 such questions a minute, for all people
    /// together: https://docs.slack.dev/reference/methods/usergroups.users.list (Tier 2).
    group_age = 60_000;
    /// For how long it is remembered who is a guest.
    person_age = 600_000;
    /// For how long it is remembered which workspace Slack's token belongs to.
    workspace_age = 24 * 3_600_000;
    /// How long a deployment waits at most until what refused it has passed.
    wait = 24 * 3_600_000;
    /// How often it is looked whether that has passed.
    waits = 10_000;
    /// Between two content writes on github.com.
    write_gap = 1_000;
    /// A minute of Slack's limits, and of GitHub's, which are so many a minute.
    minute = 60_000;
    /// In this time a person may be refused 20 times. Who is refused more often is not heard for as long.
    refusals = 60_000;
}

impl Limits {
    /// Reads what tests shorten: a JSON object. An empty text means the defaults, an unknown name is
    /// an error.
    pub fn parse(text: &str) -> Option<Self> {
        let mut limits = Self::default();
        if !text.trim().is_empty() {
            let shorter: BTreeMap<String, u64> = serde_json::from_str(text).ok()?;
            for (name, millis) in shorter {
                *limits.named(&name)? = Duration::from_millis(millis);
            }
        }
        Some(limits)
    }
}

// ---- Periods that no test shortens ----

/// How long after its end a deploy is still taken back without being asked: later, people have it in hand.
pub const BACK_BY_ITSELF: Duration = Duration::from_secs(900);
/// When a deployment is followed again whose facts could not be read or written.
pub const FOLLOW_AGAIN: Duration = Duration::from_secs(1);
/// How long a look at the Pods of a rollout may take.
pub const PODS_LIMIT: Duration = Duration::from_secs(1);
/// A note that is not there after this long never will be: the relay puts a push in flight before it writes the note.
pub const MISSING_NOTE: Duration = Duration::from_secs(60);
/// How often an application is looked at while a comparison of it takes long.
pub const LOOK_BESIDE: Duration = Duration::from_secs(1);
/// After so long it is noted again that the catalog is as it was.
pub const MANAGED_AGAIN: Duration = Duration::from_secs(10);
/// What a request to Argo CD that changes something may take: the lease must hold this long before it is sent.
pub const ASK: Duration = Duration::from_secs(5);
/// What a request for a sync may take where a source beside ours is not pinned to a commit: Argo CD looks that source up
/// meanwhile, and forgets the request if nobody waits for the answer. The lease is renewed beside it, and a watch that
/// ought to end waits for the answer.
pub const ASK_SEVERAL: Duration = Duration::from_secs(30);
/// How long the sync waits for the message that says whose commits ride along.
pub const RIDERS_TOLD: Duration = Duration::from_secs(3);
/// Between two looks whether a late sync has to be repaired.
pub const LATE_SYNC_AGAIN: Duration = Duration::from_secs(2);
/// Two answers of Argo CD that are further apart than this are not one lasting error.
pub const ARGOCD_ERROR_GAP: Duration = Duration::from_secs(30);
/// How soon a cancelled deploy stops waiting for another system.
pub const WANTED_AGAIN: Duration = Duration::from_secs(1);
/// Before a stream that ended is opened again.
pub const REOPEN: Duration = Duration::from_millis(200);
/// Final words that could not be posted for this long are given up, with an error in the log.
pub const GIVE_UP: Duration = Duration::from_secs(24 * 3600);
/// How long a refusal waits for the message that it links to.
pub const REFUSAL_LINK: Duration = Duration::from_secs(3);
/// How long a login ahead of the question may take: such a login is there to save time.
pub const LOGIN_AHEAD: Duration = Duration::from_secs(2);
/// While Slack does not answer, who was a full member within this time is one.
pub const MEMBER_WITHOUT_SLACK: Duration = Duration::from_secs(24 * 3600);
/// How long Slack is asked about such a person.
pub const SLACK_ABOUT_A_MEMBER: Duration = Duration::from_secs(5);
/// How long a rollback waits for the registry: what ran is known, and is needed now.
pub const REGISTRY_FOR_ROLLBACK: Duration = Duration::from_secs(5);
/// After Redis lost everything, a request that no process has begun for this long is not begun any more.
/// Longer than any lease of a carrier.
pub const ABANDONED: Duration = Duration::from_secs(30);
/// A request that is not there after this long never will be: `accept` gives up saving it after a second.
pub const SAVING: Duration = Duration::from_secs(2);
/// Between two tries to take back a request.
pub const TAKE_BACK_AGAIN: Duration = Duration::from_secs(1);
/// How long a mutation may take: each lease must be ours for this long when the mutation is sent.
pub const MUTATION: Duration = Duration::from_secs(8);
/// How long a reader waits until the catalog is saved in the cache.
pub const CACHE_LIMIT: Duration = Duration::from_secs(1);
/// How long a call about GitHub's deployments may take, with the save after it.
pub const GITHUB_CALL: Duration = Duration::from_secs(7);
/// What a write to the store may take.
pub const WRITE: Duration = Duration::from_secs(2);
/// Nobody is told to be of another workspace by an answer of Slack's that is older than this.
pub const WORKSPACE_AGAIN: Duration = Duration::from_secs(60);
/// A push is looked after for so long: GitHub may show the branch as it was before for a moment.
pub const CATALOG_SETTLES: Duration = Duration::from_secs(30);
/// How often a lease that somebody else has is tried again.
pub const LEASE_RETRY: Duration = Duration::from_millis(100);
/// How much earlier than the work the answer to Slack sets out.
pub const HEAD_START: Duration = Duration::from_millis(15);
/// How long we try to post the end. After that the next probe goes on.
pub const TELL_END: Duration = Duration::from_secs(80);
/// After this time a write that its writer gave up has landed, or never will.
pub const LATE_WRITE: Duration = Duration::from_secs(10);
/// GitHub gives up after 10 s and never sends a push again by itself, so the answer must be there
/// before that.
pub const RELAY_LIMIT: Duration = Duration::from_secs(8);
/// Between two looks for `committed`, when the webhook overtook it.
pub const COMMITTED_AGAIN: Duration = Duration::from_millis(100);
/// How long a search in a form may take: Slack waits for three seconds.
pub const SEARCH: Duration = Duration::from_secs(2);
/// How long the reads of one answer are asked again. The last of them ends before [`ANSWER_LIMIT`].
pub const READS_OF_AN_ANSWER: Duration = Duration::from_secs(15);
/// After this time the person reads that there is no answer.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(25);
/// What a call to Slack may take: the lease must hold this long before the call is made, or old words may
/// come over newer ones.
pub const SLACK_CALL: Duration = Duration::from_secs(5);
/// After how long the asker reads that the request is being looked at, if nothing was said until then. Slack's time of
/// the request has whole seconds, so these are three to four.
pub const ASKER_WAITS: Duration = Duration::from_secs(4);
/// When a call to Slack that failed is tried again.
pub const SPEAK_AGAIN: Duration = Duration::from_secs(1);
/// How soon to look again whether the other role's call has arrived.
pub const ARRIVES: Duration = Duration::from_millis(100);
/// The store and Redis together get this long before the answer to Slack, and [`BUDGET`]: a second.
pub const SAVE_LIMIT: Duration = Duration::from_millis(800);
/// How long Redis gets to say whether a person was refused too often, and to count a refusal.
pub const BUDGET: Duration = Duration::from_millis(200);
/// How long after the sync's end we ask Argo CD to compare again. Argo CD compares right after a sync, but in whole
/// seconds: that comparison may have the same second as the end, and then it may prove nothing. Its next one may be
/// minutes away. One that begins a second later has a later second.
pub const REFRESH_AFTER: Duration = Duration::from_secs(1);
/// How often a rollout is looked at whose sync has ended, should an event be lost.
pub const SYNCED_AGAIN: Duration = Duration::from_secs(2);
/// How long a watch that follows something waits before it looks at other applications: deploys go first.
pub const LOOK_AROUND: Duration = Duration::from_secs(1);
/// How often a watch looks for applications that it has not seen.
pub const LOOK_AROUND_AGAIN: Duration = Duration::from_secs(3);
/// How long a deploy that would be refused waits for a fresh look at its application.
pub const FRESH_LOOK: Duration = Duration::from_secs(5);
/// By how much clocks of different machines may differ here.
pub const CLOCKS: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_shorten_some_periods_by_name() {
        assert_eq!(Limits::parse(" "), Some(Limits::default()));
        assert_eq!(Limits::parse("{}"), Some(Limits::default()));
        let poll = Limits { poll: Duration::from_millis(20), ..Limits::default() };
        assert_eq!(Limits::parse(r#"{"poll": 20}"#), Some(poll));
        for bad in ["[]", "{", r#"{"pol": 20}"#, r#"{"poll": "20"}"#, r#"{"poll": -1}"#] {
            assert_eq!(Limits::parse(bad), None, "{bad}");
        }
    }
}
