//! The heart: what is known of one deployment (its facts), the state that follows from them, and what to
//! do next.
//!
//! A [`State`] is computed from the facts, and stored once it is final: in a history, see [`Past`]. There is no shared record, because there is no compare-and-swap:
//! each fact is one key, written whole by one role, and nobody rewrites another role's key.
//!
//! ```text
//!            request          commit            committed            push             watch.ask
//!  (typed) ─────────▶ Accepted ──────▶ Committing ───────▶ Committed ─────▶ Relayed ──────────▶ Syncing ──▶ Live
//!                        │                 │                    │              │                   │
//!                        └──── end: Refused, Failed, Cancelled  └── outcome: Failed, Superseded, TimedOut
//!                        └──── outcome, 6 min after the request: Failed, Unknown
//! ```
//!
//! # Races, by name
//!
//! - **The webhook overtakes the mutation's answer.** The relay finds an attempt whose base is the push's
//!   `before` and reads `committed` again for 6 s. Never there: it answers 202; the watch goes on without a
//!   webhook 15 s after `committed`.
//! - **The process dies after the mutation, before `committed`.** The attempt was saved first, with the base
//!   and every new blob. The next resume looks for exactly that commit, see [`CommitFact::is_ours`]; "nothing
//!   was changed" is not said before.
//! - **Somebody makes the same change meanwhile**, in the browser say, so that GitHub signs it, or with our
//!   words in its message. It is theirs: the commit has to name this deployment and to have nobody else as
//!   its author. Then the tag is "already written", until somebody asks for it to be taken over: by a commit
//!   of ours that changes nothing, see [`Taken`].
//! - **The branch is forced back before the mutation's answer is here.** A rewrite counts from the attempt
//!   on, see [`Facts::written_at`]: no sync then.
//! - **Argo CD's stream is behind**: it shows no operation although ours was taken, or has ended. Only an
//!   answer to a question of our own is a reason to ask for the sync again.
//! - **Argo CD's picture of the cluster is behind its own sync**: healthy, out of sync, with the old image.
//!   It is borne for a while.
//! - **Two carriers of one request** (a lease that ran out while its holder slept). Both use the same
//!   `expectedHeadOid` or a later one; GitHub lets one win, the other gets `STALE_DATA` and finds the
//!   winner's commit by its attempt.
//! - **Two requests for one target.** The second waits for the lease of the target's application, then reads `current`. If the
//!   lease failed them, both may commit; before every sync the watch reads `current`, so an older commit
//!   never follows a newer one.
//! - **Two targets in one Argo CD application.** A sync of one brings what the other has committed, so no sync of an older
//!   commit may follow, of whichever target. The turn is the application's: the second waits before its commit until
//!   the first has ended. A tag that is in the file already is synced with the newest commit of the application.
//! - **`end` and `committed` both written** (a carrier froze before its mutation was sent, another one ended
//!   it). The commit is in Git, so `committed` wins over `end`, and the deployment goes on.
//! - **The watch ends by time while the commit lands.** `outcome` wins; the words say that the commit may
//!   land, and typing the command again goes on with it.
//! - **Two watches** (Redis was flushed). Both ask for the same commit with the same id; Argo CD has one
//!   operation per application and the second sees its own id in it. Messages are rendered from the same
//!   facts, so they say the same.
//! - **A write that lands late** (its writer was killed or frozen, or lost its lease while the store was
//!   slow). It is an older state of one key. The keys that decide (`committed`, `end`, `outcome`) are looked
//!   at before they are written; an older `watch` or `message` costs an edit more. After the commit an older
//!   `commit` counts no more (`committed` has what was committed), nor does the other voice's note where the
//!   message is. An older `current` is known by whom it names, see [`turn`]; a ring that lost ids gets them
//!   back.
//! - **A holder freezes inside a call** (between its last look at the lease and the moment the request
//!   leaves), and goes on when others have long taken over. Nothing can fence that at Slack or Argo CD: its
//!   old words come over newer ones, its sync of an older commit after a newer one. Old words stay until the
//!   next edit; after the final words nothing corrects them. A post that came late is one message more. A
//!   sync is mended: the watch that wakes finds its lease lost, waits until its calls can land no more, says
//!   so in the log and asks for the newer commit again, in that deployment's name and without a lease, see
//!   [`overtaken`]. A watch that sees another deployment's operation after its own asks again while it is
//!   still its turn. Between the late sync and the mending the cluster may run the older version; if the
//!   process that woke is killed in between, nobody mends a sync over a live version until the next deploy.

mod attempts;
mod auto;
mod before;
mod decisions;
mod fact;
mod facts;
mod itself;
mod origin;
mod parts;
mod past;
mod paths;
mod plan;
mod proof;
mod remarks;
#[cfg(any(test, feature = "samples"))]
pub mod samples;
mod verdict;
mod voice;
mod watched;

pub use attempts::{Attempt, Candidate, CommitFact, Granted};
pub use before::AsBefore;
pub use decisions::{Next, Overtaken, Said, Turn, all_said, is_newer, may_terminate, next, overtaken, step, turn};
pub use fact::*;
pub use facts::{Facts, State, until};
pub use itself::ByItself;
pub use origin::{Approval, BackTo, Origin, Shown, Warned};
pub use parts::part_id;
pub use past::{Became, Past, PastVersion};
pub(crate) use paths::left_out;
pub use paths::{Reach, folder, is_below};

pub use plan::{
    COMMITS_READ, CatalogPage, GitOpsBranch, Plan, Previous, Reference, Rider, Riders, Source, Taken, TargetPlan,
};
pub use proof::{Doubt, Ours, Proof, proof};
pub use remarks::Remarks;
pub use verdict::{Step, View, before_sync};
pub use voice::{Lost, Place, Thread, Told, Voice};
pub use watched::*;

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "test code")]
mod tests;
