//! The table "step x fault": at each call that the bot makes to another system, everything that can go wrong with it, and how the
//! deployment ends. `tests/fault_table.rs` plays every cell; `readme.rs` makes a page of the same data.
//!
//! Easy to miss: a row is one *call*, and its fault passes. No call that fails once ends a deployment, and a
//! test of this file keeps it so. How faults that last end is in [`LASTING`].

use Step::*;
use Trouble::*;
use domain::deployment::State;

/// A call of the bot to another system, in the order of a deploy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The catalog, where it is not cached.
    Catalog,
    /// The members of a user group, where the catalog names one.
    Group,
    /// Who is a guest.
    Person,
    /// Which workspace the token belongs to, where no setting says so.
    Workspace,
    /// `chat.postMessage`, beside the work.
    FirstMessage,
    /// The one query that reads everything at one moment.
    Query,
    /// HEAD of the manifest.
    Image,
    /// The registry's token server.
    Token,
    /// The one mutation.
    Commit,
    /// What became of a mutation without an answer.
    History,
    /// Whose commit it is, where the wanted tag is there already.
    WhoWrote,
    /// The `response_url` with a refusal.
    EndMessage,
    /// The push to Argo CD.
    Relay,
    /// `chat.update` from the commit on.
    Update,
    /// `refresh=normal`, where the push was lost.
    Refresh,
    /// The event stream.
    Events,
    /// GET of the application, where streams fail.
    Poll,
    /// The sync.
    Sync,
    /// The `response_url`, where the bot cannot write to the channel.
    ResponseUrl,
}

/// What goes wrong with it, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// Nobody listens.
    Refused,
    /// No answer, and nothing has happened there.
    TimeOutBefore,
    /// No answer, but it has happened.
    TimeOutAfter,
    /// The connection is closed, and nothing has happened.
    DropBefore,
    /// The connection is closed, but it has happened.
    DropAfter,
    /// Status 500; nothing has happened.
    Status500,
    /// Status 502 by a gateway that lost the answer: it has happened.
    Status502,
    /// Status 503; nothing has happened.
    Status503,
    /// Status 429 with `Retry-After: 1`; nothing has happened.
    Limited,
    /// The answer breaks off in the middle: it has happened.
    Truncated,
    /// Status 200 with a JSON that has nothing to do with the question: it has happened.
    WrongJson,
    /// Status 200 with an error inside, in the system's own form; nothing has happened.
    ErrorInside,
    /// It has happened; the answer comes byte by byte, and slower than the time limit allows.
    Trickle,
    /// It has happened; the answer is longer than what the bot reads.
    TooLarge,
}

/// All of them, in the order of the page.
pub const TROUBLES: [Trouble; 14] = [
    Refused,
    TimeOutBefore,
    TimeOutAfter,
    DropBefore,
    DropAfter,
    Status500,
    Status502,
    Status503,
    Limited,
    Truncated,
    WrongJson,
    ErrorInside,
    Trickle,
    TooLarge,
];

impl Trouble {
    /// For the page.
    pub fn name(self) -> &'static str {
        match self {
            Refused => "connection refused",
            TimeOutBefore => "time-out, not done",
            TimeOutAfter => "time-out, done",
            DropBefore => "dropped, not done",
            DropAfter => "dropped, done",
            Status500 => "500",
            Status502 => "502, done",
            Status503 => "503",
            Limited => "429",
            Truncated => "truncated",
            WrongJson => "wrong JSON",
            ErrorInside => "200 with an error",
            Trickle => "trickle",
            TooLarge => "too large",
        }
    }

    /// Whether the call takes as long as the bot's time limit.
    pub fn is_slow(self) -> bool {
        matches!(self, TimeOutBefore | TimeOutAfter | Trickle)
    }

    /// What a person reads about it, as a part of a sentence.
    pub fn cause(self, system: &str) -> String {
        match self {
            Refused => format!("I can't reach {system}"),
            TimeOutBefore | TimeOutAfter | Trickle => format!("{system} didn't answer in time"),
            DropBefore | DropAfter | Truncated => format!("the connection to {system} broke"),
            Status500 => format!("{system} answered with status 500"),
            Status502 => format!("{system} answered with status 502"),
            Status503 => format!("{system} answered with status 503"),
            Limited => format!("{system} limits how often I may ask (again in 1 s)"),
            WrongJson => format!("{system} gave an answer that I don't understand"),
            ErrorInside if system == "the registry" => WrongJson.cause(system),
            ErrorInside => format!("{system} says: "),
            TooLarge => format!("the answer from {system} is too long"),
        }
    }
}

/// How a cell ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The state that the stored facts fold to.
    pub stored: State,
    /// Commits of this deployment on the GitOps branch.
    pub commits: usize,
    /// Messages in the channel. Two: the answer to the first one was lost, so that it stays as it was posted.
    pub messages: usize,
    /// In the last words; `{cause}` is replaced by [`Trouble::cause`].
    pub says: &'static str,
    /// In the words before those; empty if the person need not notice anything.
    pub meanwhile: &'static str,
    /// How often the call arrived; 0 where that does not matter.
    pub calls: usize,
    /// How it goes on, for the page.
    pub how: &'static str,
}

/// One step with all that can go wrong there.
#[derive(Debug)]
pub struct Row {
    /// The step.
    pub step: Step,
    /// Its name on the page.
    pub name: &'static str,
    /// Who answers, as people read it.
    pub system: &'static str,
    /// The cells: what goes wrong, and how the deploy ends. A trouble in no cell cannot happen there; `not`
    /// says why.
    pub cells: &'static [(&'static [Trouble], Ending)],
    /// Why some trouble is missing.
    pub not: &'static str,
}

impl Row {
    /// How one trouble ends here.
    pub fn ending(&self, trouble: Trouble) -> Option<Ending> {
        let cell = self.cells.iter().find(|(troubles, _)| troubles.contains(&trouble));
        cell.map(|(_, ending)| *ending)
    }

    /// What the last words have to say.
    pub fn says(&self, trouble: Trouble, ending: Ending) -> String {
        ending.says.replace("{cause}", &trouble.cause(self.system))
    }

    /// What words before that have to say.
    pub fn meanwhile(&self, trouble: Trouble, ending: Ending) -> String {
        ending.meanwhile.replace("{cause}", &trouble.cause(self.system))
    }
}

/// The row of a step.
pub fn row(step: Step) -> &'static Row {
    ROWS.iter().find(|row| row.step == step).expect("every step has a row")
}

/// The deploy goes on by itself.
const LIVE: Ending =
    Ending { stored: State::Live, commits: 1, messages: 1, says: "is live", meanwhile: "", calls: 0, how: "" };
/// The question is asked again.
const AGAIN: Ending = Ending { how: "the bot asks again", ..LIVE };
/// The deploy ends before anything was changed.
const NOTHING: Ending =
    Ending { stored: State::Failed, commits: 0, messages: 0, how: "typed again, the command deploys", ..LIVE };
/// The answer to the first message is lost.
const ANOTHER: Ending =
    Ending { messages: 2, how: "a second message says the rest; the first one stays as it was", ..LIVE };

/// All steps.
pub const ROWS: [Row; 19] = [
    Row { step: Catalog, name: "read the catalog", system: "GitHub", cells: &[(&TROUBLES, AGAIN)], not: "" },
    Row { step: Group, name: "read a user group", system: "Slack", cells: &[(&TROUBLES, AGAIN)], not: "" },
    Row { step: Person, name: "find out who is a guest", system: "Slack", cells: &[(&TROUBLES, AGAIN)], not: "" },
    Row { step: Workspace, name: "find out the own workspace", system: "Slack", cells: &[(&TROUBLES, AGAIN)], not: "" },
    Row {
        step: FirstMessage,
        name: "post the first message",
        system: "Slack",
        cells: &[
            (
                &[Refused, TimeOutBefore, DropBefore, Status500, Status503, Limited, ErrorInside],
                Ending { how: "the message is posted later", ..LIVE },
            ),
            (&[TimeOutAfter, DropAfter, Status502, Truncated, WrongJson, Trickle, TooLarge], ANOTHER),
        ],
        not: "",
    },
    Row { step: Query, name: "the one query", system: "GitHub", cells: &[(&TROUBLES, AGAIN)], not: "" },
    Row {
        step: Image,
        name: "look for the image",
        system: "the registry",
        cells: &[(
            &[Refused, TimeOutBefore, TimeOutAfter, DropBefore, DropAfter, Status500, Status502, Status503, Limited],
            AGAIN,
        )],
        not: "the answer to a HEAD has no body",
    },
    Row { step: Token, name: "log in to the registry", system: "the registry", cells: &[(&TROUBLES, AGAIN)], not: "" },
    Row {
        step: Commit,
        name: "the one commit",
        system: "GitHub",
        cells: &[
            (&[Refused], Ending { calls: 1, how: "nothing was sent: the bot sends it again", ..LIVE }),
            (&[Limited], Ending { calls: 2, how: "the bot waits as long as GitHub says, then commits", ..LIVE }),
            (
                &[TimeOutBefore, DropBefore, Status500, Status503, ErrorInside],
                Ending { calls: 2, how: "the bot looks on the branch, finds nothing, and commits once more", ..LIVE },
            ),
            (
                &[TimeOutAfter, DropAfter, Status502, Truncated, WrongJson, Trickle, TooLarge],
                Ending { calls: 1, how: "the bot finds its commit on the branch", ..LIVE },
            ),
        ],
        not: "",
    },
    Row {
        step: History,
        name: "find out whether a commit without an answer landed",
        system: "GitHub",
        cells: &[(
            &TROUBLES,
            Ending {
                meanwhile: "GitHub didn't confirm my commit",
                how: "the bot asks GitHub again until it knows",
                ..LIVE
            },
        )],
        not: "",
    },
    Row {
        step: WhoWrote,
        name: "see who wrote the tag that is in the file already",
        system: "GitHub",
        cells: &[(
            &TROUBLES,
            Ending { commits: 0, how: "the bot asks again, and rolls out its earlier commit", ..LIVE },
        )],
        not: "",
    },
    Row {
        step: EndMessage,
        name: "tell the asker of a refusal",
        system: "Slack",
        cells: &[(
            &TROUBLES,
            Ending {
                stored: State::Refused,
                commits: 0,
                says: "has no pull request",
                messages: 0,
                how: "the refusal is told again; that is its end",
                ..LIVE
            },
        )],
        not: "",
    },
    Row {
        step: Relay,
        name: "hand the push to Argo CD",
        system: "Argo CD",
        cells: &[(
            &[
                Refused,
                TimeOutBefore,
                TimeOutAfter,
                DropBefore,
                DropAfter,
                Status500,
                Status502,
                Status503,
                Limited,
                Truncated,
                WrongJson,
                Trickle,
                TooLarge,
            ],
            Ending { how: "15 s after the commit the deploy goes on without the push", ..LIVE },
        )],
        not: "Argo CD answers a push by its status alone",
    },
    Row {
        step: Update,
        name: "update the message",
        system: "Slack",
        cells: &[(&TROUBLES, Ending { how: "the next words are tried again", ..LIVE })],
        not: "",
    },
    Row {
        step: Refresh,
        name: "have Argo CD look, when the push was lost",
        system: "Argo CD",
        cells: &[(&TROUBLES, Ending { how: "the sync names the commit, so Argo CD need not look before", ..LIVE })],
        not: "",
    },
    Row {
        step: Events,
        name: "follow Argo CD's events",
        system: "Argo CD",
        cells: &[(&TROUBLES, Ending { how: "the stream is opened again, or the application is polled", ..LIVE })],
        not: "",
    },
    Row {
        step: Poll,
        name: "look at the application, when there are no events",
        system: "Argo CD",
        cells: &[(&TROUBLES, Ending { how: "the bot looks again", ..LIVE })],
        not: "",
    },
    Row {
        step: Sync,
        name: "ask for the sync",
        system: "Argo CD",
        cells: &[
            (
                &[Refused],
                Ending {
                    meanwhile: "I'm still trying: {cause}",
                    calls: 1,
                    how: "the bot asks again when Argo CD is back",
                    ..LIVE
                },
            ),
            (
                &[TimeOutBefore, DropBefore, Status500, Status503, Limited, ErrorInside],
                Ending { calls: 2, how: "the bot looks, finds no sync of its own, and asks again", ..LIVE },
            ),
            (
                &[TimeOutAfter, DropAfter, Status502, Truncated, WrongJson, Trickle, TooLarge],
                Ending { calls: 1, how: "the bot finds its own sync in Argo CD", ..LIVE },
            ),
        ],
        not: "",
    },
    Row {
        step: ResponseUrl,
        name: "answer the asker alone, when there is no message",
        system: "Slack",
        cells: &[(&TROUBLES, Ending { messages: 0, how: "the next words are tried again", ..LIVE })],
        not: "",
    },
];

/// A call that answers with status 503 until the deployment has ended.
#[derive(Debug)]
pub struct Lasting {
    /// The calls, as the stand-ins name them.
    pub calls: &'static [&'static str],
    /// What that is on the page.
    pub name: &'static str,
    /// How it ends.
    pub ending: Ending,
}

/// The faults that last.
pub const LASTING: [Lasting; 10] = [
    Lasting {
        calls: &["github.query"],
        name: "the catalog cannot be read",
        ending: Ending {
            says: "I couldn't read the catalog: GitHub answered with status 503. Nothing was changed.",
            ..NOTHING
        },
    },
    Lasting {
        calls: &["slack.group"],
        name: "no user group can be read",
        ending: Ending { says: "Slack answered with status 503. Nothing was changed.", ..NOTHING },
    },
    Lasting {
        calls: &["slack.user"],
        name: "nobody can be told from a guest",
        ending: Ending {
            says: "I couldn't find out who is a guest: Slack answered with status 503. Nothing was changed.",
            ..NOTHING
        },
    },
    Lasting {
        calls: &["registry.head"],
        name: "no image can be looked for",
        ending: Ending {
            says: "I couldn't look for the image in the registry: the registry answered with status 503. Nothing was changed.",
            ..NOTHING
        },
    },
    Lasting {
        calls: &["registry.token"],
        name: "the registry lets nobody log in",
        ending: Ending {
            says: "I couldn't log in to the registry: the registry answered with status 503. Nothing was changed.",
            ..NOTHING
        },
    },
    Lasting {
        calls: &["slack.post"],
        name: "no message can be posted",
        ending: Ending { messages: 0, how: "only the asker reads the answers", ..LIVE },
    },
    Lasting {
        calls: &["github.commit"],
        name: "no commit is answered, and none lands",
        ending: Ending {
            stored: State::Unknown,
            commits: 0,
            says: "I'm not sure the commit went through",
            meanwhile: "GitHub didn't confirm my commit",
            how: "typed again, the command commits",
            ..LIVE
        },
    },
    Lasting {
        calls: &["github.query"],
        name: "the commit landed, and then GitHub answers nothing",
        ending: Ending {
            stored: State::Unknown,
            says: "I'm not sure the commit went through",
            meanwhile: "GitHub didn't confirm my commit",
            how: "typed again, the command goes on with that commit",
            ..LIVE
        },
    },
    Lasting {
        calls: &["argocd.sync"],
        name: "no sync is taken",
        ending: Ending {
            stored: State::TimedOut,
            says: "timed out*: Argo CD answered with status 503. Git has the new version",
            meanwhile: "I'm still trying: Argo CD answered with status 503",
            how: "typed again, the command goes on with that commit",
            ..LIVE
        },
    },
    Lasting {
        calls: &["argocd.stream", "argocd.get", "argocd.refresh"],
        name: "the application cannot be seen",
        ending: Ending {
            stored: State::TimedOut,
            says: "timed out*: Argo CD answered with status 503. Git has the new version*the cluster is unchanged.",
            meanwhile: "I'm still trying: Argo CD answered with status 503",
            how: "typed again, the command goes on with that commit",
            ..LIVE
        },
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The rule of the whole table: whatever goes wrong once, the deploy goes on, and a refusal is posted.
    #[test]
    fn nothing_that_goes_wrong_once_ends_a_deploy() {
        for row in &ROWS {
            for (troubles, ending) in row.cells {
                let expected = match row.step {
                    EndMessage => (State::Refused, 0),
                    // The commit is there from before.
                    WhoWrote => (State::Live, 0),
                    _ => (State::Live, 1),
                };
                assert_eq!((ending.stored, ending.commits), expected, "{}: {troubles:?}", row.name);
            }
        }
    }

    /// A read may not be left out of the table by leaving out its troubles.
    #[test]
    fn every_read_is_tried_with_everything_that_can_happen() {
        for step in [Catalog, Group, Person, Workspace, Query, Token, WhoWrote, History] {
            let tried = TROUBLES.iter().filter(|trouble| row(step).ending(**trouble).is_some()).count();
            assert_eq!(tried, TROUBLES.len(), "{step:?}");
        }
    }
}
