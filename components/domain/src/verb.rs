//! The verbs, and what the help says about each. Every text is an exhaustive match: a verb without help does
//! not compile.
//!
//! The examples are real: each is understood as the verb that lists it.

use crate::text::nearest;
use serde::{Deserialize, Serialize};

/// Defines the verbs, so that none is left out of `ALL`.
macro_rules! verbs {
    ($($(#[$doc:meta])* $verb:ident,)*) => {
        /// The first word of a command.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Verb {
            $($(#[$doc])* $verb,)*
        }

        impl Verb {
            /// All, in the order in which the help lists them.
            pub const ALL: &[Self] = &[$(Self::$verb,)*];
        }
    };
}

verbs! {
    /// Deploy something; the only one that may be left out.
    Deploy,
    /// Show what a deploy would change.
    Preview,
    Status,
    History,
    Why,
    /// Say what differs between two environments.
    Diff,
    Rollback,
    /// Deploy what runs in another environment.
    Promote,
    Cancel,
    Lock,
    Unlock,
    Notify,
    Apps,
    Help,
}

impl Verb {
    /// The word, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Preview => "preview",
            Self::Status => "status",
            Self::History => "history",
            Self::Why => "why",
            Self::Diff => "diff",
            Self::Rollback => "rollback",
            Self::Promote => "promote",
            Self::Cancel => "cancel",
            Self::Lock => "lock",
            Self::Unlock => "unlock",
            Self::Notify => "notify",
            Self::Apps => "apps",
            Self::Help => "help",
        }
    }

    /// The verb that somebody typed, in any case.
    pub fn typed(word: &str) -> Option<Self> {
        if word == "?" || word == "-h" || word.eq_ignore_ascii_case("--help") {
            return Some(Self::Help);
        }
        Self::ALL.iter().copied().find(|verb| word.eq_ignore_ascii_case(verb.name()))
    }

    /// The verb that was probably meant by a word: a slip or two away, or its beginning. A verb of three letters is near too
    /// many names of apps, such as `web`.
    pub fn nearest(word: &str) -> Option<Self> {
        let names = Self::ALL.iter().map(|verb| verb.name()).filter(|name| name.len() > 3);
        let name = nearest(&word.to_lowercase(), names)?;
        Self::typed(&name)
    }

    /// Its form after the command's own name, with what has to be filled in.
    pub fn usage(self) -> &'static str {
        match self {
            Self::Deploy => "<app>[@environment] <pull request, branch, tag or commit> [override <reason>]",
            Self::Preview => "preview <app>[@environment] <pull request, branch, tag or commit>",
            Self::Status => "status [<app>[@environment] or <environment> or @me]",
            Self::Why => "why <app>[@environment] or <id>",
            Self::Diff => "diff <app> <environment> <environment>",
            Self::History => "history <app>[@environment] [--since <day>] or <commit>",
            Self::Rollback => "rollback <app>[@environment] [<tag or line of the history>] [override <reason>]",
            Self::Promote => "promote <app> [[from] to] [override <reason>]",
            Self::Cancel => "cancel <app>[@environment]",
            Self::Lock => "lock <app>[@environment] <reason> [for <time>]",
            Self::Unlock => "unlock <app>[@environment]",
            Self::Notify => "notify <thread, dm or off>",
            Self::Apps => "apps",
            Self::Help => "help [<command>]",
        }
    }

    /// What it does, as the end of a line.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Deploy => "deploy a pull request, the newest commit of a branch, a tag, or a commit",
            Self::Preview => "show what a deploy would change, and change nothing",
            Self::Status => "what is live and what is under way: of one app or all, of an environment, or of yours",
            Self::Why => "what holds an app up now, and who can help",
            Self::Diff => "what is live in one environment of an app and not in another one",
            Self::History => "what was deployed before, by whom, and how it ended; or which deploy made a commit",
            Self::Rollback => "go back to the last healthy version, or to the one you name; this also locks the app",
            Self::Promote => "deploy what is live in one environment to another one: the same image",
            Self::Cancel => "stop a deploy that is not committed yet",
            Self::Lock => {
                "stop all deploys of an app (or of everything: `all`), until somebody unlocks it or the time is up"
            }
            Self::Unlock => "allow deploys of an app again (or of everything: `all`)",
            Self::Notify => "how you are told when a deploy of yours is live, if it took more than a minute",
            Self::Apps => "which apps and environments there are",
            Self::Help => "this list, or more about one command",
        }
    }

    /// What is typed after the command's own name, and what that means. The first is the plainest: refusals show it.
    #[expect(clippy::too_many_lines, reason = "a table")]
    pub fn examples(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Deploy => &[
                ("checkout 42", "pull request 42 of the app `checkout` (`#42` or its link work too)"),
                ("checkout feature/x", "the newest commit of a branch"),
                ("checkout@production main", "to an environment of the app"),
                ("checkout v1.2.3", "a Git tag, if the catalog has `tags` for the app"),
                ("checkout 9f3c2ab", "a commit of the default branch, or the head of an open pull request"),
                ("checkout 9f3c2ab of release/1", "a commit of another branch"),
                ("checkout branch:42", "a branch called 42; also `tag:`, `commit:`, `channel:`, `version:`"),
                ("checkout,search main", "two apps in one commit; the catalog may have names for several"),
                (
                    "checkout main override payments are failing",
                    "owners only, in an emergency: despite a freeze or other people's changes; everybody sees it",
                ),
                ("deploy status 42", "an app whose name is a command"),
            ],
            Self::Preview => &[
                ("preview checkout 42", "what pull request 42 would change"),
                ("preview checkout@production main", "the newest commit of a branch, in one environment"),
            ],
            Self::Status => &[
                ("status checkout@production", "one environment of an app"),
                ("status", "all apps"),
                ("status production", "all apps in an environment"),
                ("status @me", "what you deployed"),
            ],
            Self::Diff => &[("diff checkout staging production", "the commits that are live in only one of the two")],
            Self::Why => &[
                ("why checkout@production", "a deploy, a lock, a freeze, or what waits for approval"),
                ("why 9f3c2ab1", "the deploy with that id, which is in small print below its message"),
            ],
            Self::History => &[
                ("history checkout@production", "the last deploys, the newest first"),
                ("history checkout --since monday", "also `2026-11-20` or `3d`; days begin at midnight in UTC"),
                ("history 9f3c2ab", "which deploy made that commit of mine (a link to the commit works, too)"),
            ],
            Self::Rollback => &[
                ("rollback checkout@production", "to the last version that was healthy"),
                ("rollback checkout@production 2", "to line 2 of `/deploy history checkout@production`"),
                ("rollback checkout main-abc1234", "to a tag (`tag:42` if it is a number)"),
                (
                    "rollback checkout override payments are failing",
                    "owners only, in an emergency: despite a freeze or other people's changes; everybody sees it",
                ),
            ],
            Self::Promote => &[
                ("promote checkout staging production", "what is live in staging goes to production"),
                ("promote checkout production", "from where `promotes_from` says in the catalog"),
                ("promote checkout", "if one environment alone has `promotes_from`"),
            ],
            Self::Cancel => &[("cancel checkout@production", "what is under way there")],
            Self::Lock => &[
                ("lock checkout the database is being moved for 2h", "for 2 hours (also `90m`, `1h30m`, `1d`)"),
                ("lock checkout@production load test", "until somebody unlocks it"),
                ("lock all payment provider is down", "every app"),
            ],
            Self::Unlock => &[
                ("unlock checkout@production", "one environment of an app"),
                ("unlock all", "the lock on everything; locks on single apps stay"),
            ],
            Self::Notify => &[
                ("notify dm", "by a direct message"),
                ("notify thread", "in the thread of the deploy's message; this is how it begins"),
                ("notify off", "not at all; when a deploy fails, you are told in its thread all the same"),
            ],
            Self::Apps => &[("apps", "all of them")],
            Self::Help => &[("help", "all commands"), ("help lock", "one of them, with examples")],
        }
    }

    pub fn example(self) -> &'static str {
        self.examples().first().map_or("help", |(typed, _)| typed)
    }
}
