//! Verify, recognise, relay, wake: exactly the push that the bot itself made reaches Argo CD, byte for byte.
//!
//! The `Deploy-Id` in a commit's message only *finds* a deployment; it proves nothing, because anyone who can push can copy it. The
//! proof is that GitHub signed the webhook and that `after` is the very commit that is recorded in `committed`.
//!
//! Forged, foreign and people's pushes are the common case and must stay cheap: neither the store nor Redis is touched before the
//! signature, the repository, the branch and a `Deploy-Id` are known, or that a YAML file was pushed there. Then one read says whether it
//! belongs to an app; only if it does, a note is left for the watch, which tells people of it. No push of people reaches Argo CD.

use crate::log::Line;
use crate::reply::Declined;
use crate::settings::{GithubRelaySettings, SettingError, Variables};
use crate::world::World;
use clients::argocd;
use clients::argocd::RelayHeaders;
use clients::github::Push;
use clients::http::{Answer, Chunks, Inbound, Method, StatusCode};
use clients::signature::{GitHubMac, sign_sha1, sign_sha256};
use domain::deployment::{CommitFact, CommittedFact, PushFact};
use domain::message;
use domain::names::{CommitSha, DeploymentId};
use domain::push;
use futures::future::{Either, select};
use std::pin::pin;
use std::time::Duration;
use store::{BranchRewritten, ManagedFiles, Pushed, Rewritten, StoreError};

/// The headers that are looked at.
pub const HEADERS: &[&str] =
    &["content-type", "x-github-delivery", "x-github-event", "x-hub-signature", "x-hub-signature-256"];

/// The most that we keep of a push. Ours has one commit and a few KiB; of a larger one only the outline is kept, so people are not told of it.
const KEEP: usize = 1 << 20;

/// The longest string in an outline. What we read of a push is much shorter.
const KEEP_OF_STRING: usize = 1024;

/// GitHub gives up after 10 s and never sends a push again by itself, so our answer must be there before that.
const LIMIT: Duration = Duration::from_secs(8);

/// Between two looks for `committed`, when the webhook overtook it.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A push that is GitHub's.
pub struct Verified {
    headers: RelayHeaders,
    body: Kept,
}

/// What is kept of a body while it streams in.
enum Kept {
    /// Exactly the bytes.
    Whole(Vec<u8>),
    /// They were too many: enough to recognise a rewritten branch, and never relayed.
    Outline(Outline),
}

impl Kept {
    fn take(self, piece: &[u8]) -> Self {
        match self {
            Self::Whole(mut bytes) if bytes.len().saturating_add(piece.len()) <= KEEP => {
                bytes.extend_from_slice(piece);
                Self::Whole(bytes)
            }
            Self::Whole(bytes) => Self::Outline(Outline::default().take(&bytes).take(piece)),
            Self::Outline(outline) => Self::Outline(outline.take(piece)),
        }
    }
}

/// A JSON text without what is inside of its arrays and of long strings: commits, file names and messages are what makes a push large.
#[derive(Default)]
struct Outline {
    json: Vec<u8>,
    arrays: u32,
    in_string: bool,
    after_backslash: bool,
    /// Where in `json` the string begins that was seen last.
    string: usize,
    /// It is too long: nothing of it is kept.
    left_out: bool,
}

impl Outline {
    fn take(mut self, piece: &[u8]) -> Self {
        for byte in piece {
            let in_array = self.arrays > 0;
            match (self.in_string, *byte) {
                _ if self.after_backslash => self.after_backslash = false,
                (true, b'\\') => self.after_backslash = true,
                (_, b'"') => {
                    self.in_string = !self.in_string;
                    self.string = self.json.len().saturating_add(1);
                    self.left_out = false;
                }
                (false, b'[') => self.arrays = self.arrays.saturating_add(1),
                (false, b']') => self.arrays = self.arrays.saturating_sub(1),
                _ => {}
            }
            // Cut off where even this is too long: then it is no JSON any more.
            if (!in_array || self.arrays == 0) && !self.left_out && self.json.len() < KEEP {
                self.json.push(*byte);
            }
            if self.in_string && self.json.len().saturating_sub(self.string) > KEEP_OF_STRING {
                self.json.truncate(self.string);
                self.left_out = true;
            }
        }
        self
    }
}

fn ignored(reason: &str) -> Answer {
    Answer::reason(StatusCode::OK, "ignored", reason)
}

/// A secret or setting is missing: GitHub shows the delivery as failed, and it can be sent again.
pub fn not_set(error: &SettingError) -> Declined {
    let reason = "a setting is missing or malformed";
    Declined::setting(error, Answer::reason(StatusCode::SERVICE_UNAVAILABLE, "unready", reason))
}

/// Proves that the request is GitHub's, in one pass over the body.
pub async fn verify(head: &Inbound, body: &mut impl Chunks, variables: &Variables) -> Result<Verified, Declined> {
    let refuse = Declined::reason;
    if head.path != "/github/webhook" {
        return Err(refuse(StatusCode::NOT_FOUND, "no such route"));
    }
    if head.method != Method::POST {
        return Err(refuse(StatusCode::METHOD_NOT_ALLOWED, "POST only"));
    }
    if !head.content_type_is("application/json") {
        return Err(refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "application/json only"));
    }
    let keys = GithubRelaySettings::keys(variables).map_err(|error| not_set(&error))?;
    let Some(signature) = head.header("x-hub-signature-256") else {
        return Err(refuse(StatusCode::UNAUTHORIZED, "the signature is missing"));
    };
    let mut mac = GitHubMac::new(&keys);
    let mut kept = Kept::Whole(Vec::new());
    loop {
        match body.chunk().await {
            Ok(Some(chunk)) => {
                mac.update(&chunk);
                kept = kept.take(&chunk);
            }
            Ok(None) => break,
            Err(_) => return Err(refuse(StatusCode::BAD_REQUEST, "the body broke off")),
        }
    }
    mac.verify(signature).map_err(|error| refuse(StatusCode::UNAUTHORIZED, &error.to_string()))?;
    let text = |name: &str| head.header(name).unwrap_or_default().to_owned();
    let headers = RelayHeaders {
        event: text("x-github-event"),
        delivery: text("x-github-delivery"),
        sha1: head.header("x-hub-signature").map(str::to_owned),
        sha256: signature.to_owned(),
        content_type: text("content-type"),
    };
    Ok(Verified { headers, body: kept })
}

/// Recognises our own push and relays it; answers everything else with the reason. Within [`LIMIT`].
pub async fn push(world: &impl World, settings: &GithubRelaySettings, verified: Verified) -> Answer {
    match select(pin!(answer(world, settings, verified)), pin!(world.sleep(LIMIT))).await {
        Either::Left((answer, _)) => answer,
        Either::Right(_) => {
            // Whatever was under way may have taken effect: the delivery can come again, and the watch goes on without it.
            world.log(Line::error("relay_failed").with("cause", "it took too long"));
            Answer::reason(StatusCode::SERVICE_UNAVAILABLE, "failed", "it took too long")
        }
    }
}

async fn answer(world: &impl World, settings: &GithubRelaySettings, verified: Verified) -> Answer {
    match verified.headers.event.as_str() {
        "push" => {}
        "ping" => return Answer::reason(StatusCode::OK, "pong", "the webhook is set up"),
        _ => return ignored("not a push"),
    }
    let body = match verified.body {
        Kept::Whole(body) => body,
        Kept::Outline(outline) => {
            return match serde_json::from_slice(&outline.json).map(|push| (recognise(settings, &push), push)) {
                Ok((Kind::Rewritten, push)) => rewritten(world, &push).await,
                _ => ignored("larger than any push of the bot"),
            };
        }
    };
    let Ok(push) = serde_json::from_slice::<Push<'_>>(&body) else {
        return Answer::reason(StatusCode::BAD_REQUEST, "refused", "not the JSON of a push");
    };
    let id = match recognise(settings, &push) {
        Kind::Foreign(reason) => return ignored(reason),
        Kind::Rewritten => return rewritten(world, &push).await,
        Kind::Persons(reason) => return persons(world, &push, reason).await,
        Kind::Candidate(id, after) => match prove(world, settings, &push, &id, &after).await {
            Ok(Proof::Ours) => id,
            Ok(Proof::Not { reason, known }) => {
                world.log(Line::error("not_our_push").of(&id).with("reason", reason));
                // Ours, perhaps, of a deployment that is forgotten by now.
                let old = !known && push.commits.iter().all(clients::github::PushedCommit::looks_like_ours);
                return if old { ignored(reason) } else { persons(world, &push, reason).await };
            }
            Ok(Proof::NotYet) => {
                world.log(Line::new("push_before_committed").of(&id));
                return Answer::reason(StatusCode::ACCEPTED, "later", "the commit is not recorded yet");
            }
            Err(error) => return failed(world, Some(&id), error),
        },
    };
    relay(world, settings, verified.headers, body, &id).await
}

/// What a push is, as far as it can be known without asking anybody.
enum Kind {
    /// Not ours, and why.
    Foreign(&'static str),
    /// Our branch was forced or deleted.
    Rewritten,
    /// Somebody pushed to our branch, and why it is not the bot's.
    Persons(&'static str),
    /// It names a deployment; whether it is that deployment's commit is to be proven.
    Candidate(DeploymentId, CommitSha),
}

fn recognise(settings: &GithubRelaySettings, push: &Push<'_>) -> Kind {
    if !settings.gitops.repo.is(&push.repository.full_name) {
        return Kind::Foreign("another repository");
    }
    if push.r#ref.strip_prefix("refs/heads/") != Some(settings.gitops.branch.as_str()) {
        return Kind::Foreign("another branch");
    }
    if push.forced || push.deleted {
        return Kind::Rewritten;
    }
    if push.created {
        return Kind::Foreign("the branch was created");
    }
    let [commit] = push.commits.as_slice() else { return Kind::Persons("not exactly one commit") };
    let Some(id) = message::deploy_id(&commit.message) else { return Kind::Persons("a person's push") };
    match CommitSha::parse(&push.after) {
        Ok(after) => Kind::Candidate(id, after),
        Err(_) => Kind::Foreign("not a commit"),
    }
}

/// The branch is not what it was: the watch must not sync a commit that may be gone.
async fn rewritten(world: &impl World, push: &Push<'_>) -> Answer {
    // When it was pushed: a delivery that comes late says nothing about what was committed on top of it since.
    let at = push.pushed(world.now());
    let fact = BranchRewritten { at, before: short(&push.before), after: short(&push.after) };
    world.log(Line::error("branch_rewritten").with("before", fact.before.as_str()).with("after", fact.after.as_str()));
    match store::save_key(world, Rewritten, &fact).await {
        Ok(()) => ignored("the branch was rewritten"),
        Err(error) => failed(world, None, error),
    }
}

/// Somebody pushed. If a file of an app is among it, a note is left, the same for the same push; the watch tells it and deletes it.
async fn persons(world: &impl World, push: &Push<'_>, reason: &'static str) -> Answer {
    let now = world.now();
    if !push.touches_yaml() || now.since(push.pushed(now)) >= push::NEWS {
        return ignored(reason);
    }
    let noted = async {
        let managed = store::load_key(world, ManagedFiles).await?;
        let Some(note) = managed.and_then(|managed| push.note(&managed, now)) else { return Ok(false) };
        // In flight first: whoever dies in between leaves something in flight without a note, which the next watch takes out again. The
        // other way round it would be a note that nobody finds, neither to tell it nor to delete it. And once more after it: a watch may
        // just have done so, with the same push that came twice.
        store::add_push(world, &note.after, note.at).await?;
        store::save_key(world, Pushed(&note.after), &note).await?;
        store::add_push(world, &note.after, note.at).await?;
        world.log(Line::new("push_noted").with("commit", note.after.as_str()).with("who", note.who.as_str()));
        if let Err(error) = store::announce_push(world, &note.after).await {
            // Whoever looks at what is in flight finds it.
            world.log(Line::error("not_announced").with("commit", note.after.as_str()).with("cause", error.why()));
        }
        Ok(true)
    };
    match noted.await {
        Ok(true) => Answer::reason(StatusCode::OK, "noted", "a person's push to a file of an app"),
        Ok(false) => ignored(reason),
        Err(error) => failed(world, None, error),
    }
}

/// At most a commit id's length of outside text goes into a key.
fn short(text: &str) -> String {
    text.chars().filter(char::is_ascii_hexdigit).take(40).collect()
}

fn failed(world: &impl World, id: Option<&DeploymentId>, error: StoreError) -> Answer {
    let line = Line::error("relay_failed").with("cause", error.why());
    world.log(match id {
        Some(id) => line.of(id),
        None => line,
    });
    Answer::reason(StatusCode::SERVICE_UNAVAILABLE, "failed", "the store did not answer")
}

enum Proof {
    Ours,
    Not {
        /// Why.
        reason: &'static str,
        /// There is such a deployment.
        known: bool,
    },
    /// An attempt of ours has this base, but its outcome is not recorded.
    NotYet,
}

/// `after` must be what `committed` says. The webhook may be here before the mutation's answer: then it is looked for again.
async fn prove(
    world: &impl World,
    settings: &GithubRelaySettings,
    push: &Push<'_>,
    id: &DeploymentId,
    after: &CommitSha,
) -> Result<Proof, StoreError> {
    let until = world.elapsed().saturating_add(settings.limits.overtaking);
    loop {
        if let Some(committed) = store::load_fact::<CommittedFact>(world, id).await? {
            return Ok(if committed.sha == *after {
                Proof::Ours
            } else {
                Proof::Not { reason: "not the commit that the bot made", known: true }
            });
        }
        let commit = store::load_fact::<CommitFact>(world, id).await?;
        let known = commit.is_some();
        if !commit.is_some_and(|commit| commit.attempts.iter().any(|attempt| attempt.base.as_str() == push.before)) {
            return Ok(Proof::Not { reason: "no commit of the bot was expected here", known });
        }
        if world.elapsed() >= until {
            return Ok(Proof::NotYet);
        }
        world.sleep(LOOK_AGAIN).await;
    }
}

/// Relays once. `push` is saved after Argo CD's 200, so a delivery that failed half way may come again.
async fn relay(
    world: &impl World,
    settings: &GithubRelaySettings,
    mut headers: RelayHeaders,
    body: Vec<u8>,
    id: &DeploymentId,
) -> Answer {
    match store::load_fact::<PushFact>(world, id).await {
        Ok(None) => {}
        Ok(Some(_)) => return Answer::reason(StatusCode::OK, "relayed", "it was relayed before"),
        Err(error) => return failed(world, Some(id), error),
    }
    if let Some(key) = &settings.resign {
        headers.sha256 = sign_sha256(key, &body);
        headers.sha1 = Some(sign_sha1(key, &body));
    }
    if let Err(fault) = argocd::webhook(world, &settings.argocd, body, &headers).await {
        world.log(Line::error("relay_failed").of(id).with_json("fault", &fault));
        // GitHub shows it as failed, and it can be sent again; the watch goes on without it.
        return Answer::reason(StatusCode::SERVICE_UNAVAILABLE, "failed", "Argo CD did not take it");
    }
    let fact = PushFact { delivery: headers.delivery.chars().take(64).collect(), at: world.now() };
    if let Err(error) = store::save_fact(world, id, &fact).await {
        return failed(world, Some(id), error);
    }
    world.log(Line::new("relayed").of(id).with("delivery", fact.delivery.as_str()));
    if let Err(error) = store::announce(world, id).await {
        // The watch reloads all facts now and then, so this costs time only.
        world.log(Line::error("not_announced").of(id).with("cause", error.why()));
    }
    Answer::reason(StatusCode::OK, "relayed", "the bot's own commit")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outline_has_everything_but_what_is_in_arrays() {
        let check = |json: &str, expected: &str| {
            let at_once = Outline::default().take(json.as_bytes());
            let in_pieces = json.as_bytes().chunks(1).fold(Outline::default(), Outline::take);
            assert_eq!(String::from_utf8_lossy(&at_once.json), expected, "{json}");
            assert_eq!(at_once.json, in_pieces.json, "{json}");
        };
        check(r#"{"forced":true,"commits":[{"id":"a"}]}"#, r#"{"forced":true,"commits":[]}"#);
        check(r#"{"commits":[[1],["]"],"\"]"],"forced":true}"#, r#"{"commits":[],"forced":true}"#);
        check(r#"{"ref":"a[b","x":"\\","commits":[1]}"#, r#"{"ref":"a[b","x":"\\","commits":[]}"#);
        check(
            r#"{"head_commit":{"added":["a","b"],"id":"c"},"after":"d"}"#,
            r#"{"head_commit":{"added":[],"id":"c"},"after":"d"}"#,
        );
        let kept = "é".repeat(KEEP_OF_STRING / 2);
        check(&format!(r#"{{"message":"{kept}"}}"#), &format!(r#"{{"message":"{kept}"}}"#));
        for long in ["x", r"\u00e9", r#"\""#, "]"] {
            check(&format!(r#"{{"message":"{kept}{long}","forced":true}}"#), r#"{"message":"","forced":true}"#);
            check(&format!(r#"{{"message":"{long}{kept}","a":["{kept}x"]}}"#), r#"{"message":"","a":[]}"#);
        }
    }

    #[test]
    fn a_large_push_becomes_an_outline_and_a_small_one_stays_whole() {
        let half = vec![b'x'; KEEP / 2];
        assert!(matches!(Kept::Whole(Vec::new()).take(&half).take(&half), Kept::Whole(bytes) if bytes.len() == KEEP));
        let Kept::Outline(outline) = Kept::Whole(half.clone()).take(&half).take(b"x").take(&half) else {
            panic!("more than {KEEP} bytes")
        };
        assert_eq!(outline.json.len(), KEEP, "no more than that is ever kept");
    }
}
