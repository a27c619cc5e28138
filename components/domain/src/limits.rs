//! Every period of ours that is neither a fact of another system nor the life of a lease.

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
    /// How long the relay waits for `committed` when the webhook overtook it.
    overtaking = 6_000;
    /// How long a request waits for the target's lease.
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
    news = 250;
    /// How often it loads all facts again in case news were lost.
    reload = 10_000;
    /// Between two polls where the stream fails.
    poll = 2_000;
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
    /// Between two looks at an unknown outcome.
    settle = 2_000;
    /// At least this long `Degraded` when it was so before we asked.
    degraded_before = 60_000;
    /// How long another image than ours is borne when all is healthy: Pods are replaced, and Argo CD's picture of the
    /// cluster may be behind.
    other_image = 60_000;
    /// How long after our sync it is requested again, where Argo CD itself failed.
    repeat = 5_000;
    /// How long the same error of Argo CD has to last that would be final: it gives them for passing reasons, too.
    argocd_error = 60_000;
    /// Between two content writes on github.com.
    write_gap = 1_000;
    /// A minute of Slack's limits, and of GitHub's, which are so many a minute.
    minute = 60_000;
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
