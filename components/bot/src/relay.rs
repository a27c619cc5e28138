//! Verify, recognise, prove, relay: the push that the bot itself made reaches Argo CD, byte for byte.
//!
//! Easy to miss: the `Deploy-Id` in a commit's message only *finds* a deployment. It proves
//! nothing, because anyone who can push can copy it. The proof is that GitHub signed the webhook and that
//! `after` is the commit that is recorded in `committed`.
//!
//! Forged pushes and pushes of people are the common case and must stay cheap. Neither the store nor Redis is
//! touched before the signature, the repository and the branch are known, and a `Deploy-Id` or a pushed YAML
//! file was found, or the push may touch the catalog, or the operator says `relay: all`. What becomes of a person's
//! push is in `people`.
//!
//! **Invariant:** no push of a person reaches Argo CD, unless the operator says `relay: all` and the push is known to touch
//! nothing that a managed application reads.

mod outline;
mod people;

use crate::reply::Declined;
use crate::settings::{GitOps, GithubRelaySettings, SettingError, Variables};
use crate::world::{Line, World, within};
use clients::argocd::{self, RelayHeaders};
use clients::github::Push;
use clients::http::{Answer, Chunks, Inbound, Method, StatusCode};
use clients::signature::{GitHubMac, SignatureError, sign_sha1, sign_sha256};
use domain::deployment::{CommitFact, CommittedFact, PushFact};
use domain::fault::Fault;
use domain::limits;
use domain::message;
use domain::names::{CommitSha, DeploymentId};
use outline::{Kept, Outline};
use people::Whose;
use store::{BranchRewritten, Rewritten, StoreError};

/// The headers that are looked at.
pub const HEADERS: &[&str] = &[
    "content-length",
    "content-type",
    "x-github-delivery",
    "x-github-event",
    "x-hub-signature",
    "x-hub-signature-256",
];

/// The longest body that is read from GitHub, in bytes: a longer event is never sent.
const BODY_LIMIT: usize = 25 << 20;

/// A delivery that is GitHub's.
pub struct Verified {
    headers: RelayHeaders,
    body: Kept,
}

fn ignored(reason: &str) -> Answer {
    Answer::reason(StatusCode::OK, "ignored", reason)
}

/// A secret or setting is missing. GitHub shows the delivery as failed, and it can be sent again.
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
    let unauthorized = |error: SignatureError| refuse(StatusCode::UNAUTHORIZED, &error.to_string());
    let signature = head.header("x-hub-signature-256").unwrap_or_default();
    let mut mac = GitHubMac::new(&keys, signature).map_err(unauthorized)?;
    let too_long = || refuse(StatusCode::PAYLOAD_TOO_LARGE, "more than 25 MiB");
    if head.is_longer_than(BODY_LIMIT) {
        return Err(too_long());
    }
    let (mut kept, mut length) = (Kept::Whole(Vec::new()), 0_usize);
    while let Some(chunk) = body.chunk().await.map_err(Declined::broken)? {
        length = length.saturating_add(chunk.len());
        if length > BODY_LIMIT {
            return Err(too_long());
        }
        mac.update(&chunk);
        kept = kept.take(&chunk);
    }
    mac.verify().map_err(unauthorized)?;
    Ok(Verified { headers: relay_headers(head, signature), body: kept })
}

fn relay_headers(head: &Inbound, signature: &str) -> RelayHeaders {
    let text = |name: &str| head.header(name).unwrap_or_default().to_owned();
    RelayHeaders {
        event: text("x-github-event"),
        delivery: text("x-github-delivery"),
        sha1: head.header("x-hub-signature").map(str::to_owned),
        sha256: signature.to_owned(),
        content_type: text("content-type"),
    }
}

/// Recognises the bot's own push and relays it; answers everything else with the reason.
pub async fn push(world: &impl World, settings: &GithubRelaySettings, verified: Verified) -> Answer {
    match within(world, limits::RELAY_LIMIT, answer(world, settings, verified)).await {
        Some(answer) => answer,
        None => {
            // A call under way may have taken effect. The delivery can come again, and the watch goes on
            // without it.
            world.log(Line::error("relay_failed").with("cause", "it took too long"));
            Answer::reason(StatusCode::SERVICE_UNAVAILABLE, "failed", "it took too long")
        }
    }
}

async fn answer(world: &impl World, settings: &GithubRelaySettings, verified: Verified) -> Answer {
    let Verified { headers, body } = verified;
    match headers.event.as_str() {
        "push" => {}
        "ping" => return Answer::reason(StatusCode::OK, "pong", "the webhook is set up"),
        _ => return ignored("not a push"),
    }
    let body = match body {
        Kept::Whole(body) => body,
        Kept::Outline(outline) => {
            let push = parse_outline(&outline);
            let kind = recognise(&settings.gitops, &push);
            // Which files it touches is not known. Without a JSON not even that is known of which branch it is.
            if !matches!(kind, Kind::Elsewhere(_)) || push.r#ref.is_empty() {
                let push = push.of_catalog(world.now());
                if let Err(error) = people::catalog_pushed(world, push).await {
                    return failed(world, None, error);
                }
            }
            return match kind {
                Kind::Rewritten => rewritten(world, &push).await,
                _ => ignored("larger than any push of the bot"),
            };
        }
    };
    let Ok(push) = serde_json::from_slice::<Push<'_>>(&body) else {
        return Answer::reason(StatusCode::BAD_REQUEST, "refused", "not the JSON of a push");
    };
    let kind = recognise(&settings.gitops, &push);
    // A commit of ours never touches the catalog, and may list no file at all.
    let is_theirs = matches!(kind, Kind::Rewritten | Kind::Persons(_) | Kind::Unrelated(_));
    let managed = if is_theirs { people::managed(world, &push).await } else { Ok(None) };
    if is_theirs && let Err(error) = people::note_catalog(world, settings, &push, &managed).await {
        return failed(world, None, error);
    }
    let id = match kind {
        Kind::Elsewhere(reason) | Kind::Unrelated(reason) => return ignored(reason),
        Kind::Rewritten => return rewritten(world, &push).await,
        Kind::Persons(reason) => match people::keep(world, settings, &push, managed, reason).await {
            Ok(None) => None,
            Ok(Some(answer)) => return answer,
            Err(error) => return failed(world, None, error),
        },
        Kind::Candidate(id, after) => match prove(world, settings, &push, &id, &after).await {
            Ok(Ok(parts)) => Some((id, parts)),
            // It may be a person's that names a deployment.
            Ok(Err(answer)) => {
                let managed = people::managed(world, &push).await;
                match people::note_catalog(world, settings, &push, &managed).await {
                    Ok(()) => return answer,
                    Err(error) => return failed(world, Some(&id), error),
                }
            }
            Err(error) => return failed(world, Some(&id), error),
        },
    };
    match id {
        Some((id, parts)) => relay(world, settings, (headers, body), &id, &parts).await,
        None => people::relay(world, settings, headers, body).await,
    }
}

/// What a push is, as far as it can be known without asking anybody.
#[derive(Debug, PartialEq, Eq)]
enum Kind {
    /// The push is to another branch or repository.
    Elsewhere(&'static str),
    /// The push to our branch does not concern us, and why.
    Unrelated(&'static str),
    /// Our branch was forced or deleted.
    Rewritten,
    /// A person pushed to our branch, and why the push is not the bot's.
    Persons(&'static str),
    /// The push names a deployment. Whether it is that deployment's commit is still to be proven.
    Candidate(DeploymentId, CommitSha),
}

fn recognise(gitops: &GitOps, push: &Push<'_>) -> Kind {
    if !gitops.repo.is(&push.repository.full_name) {
        return Kind::Elsewhere("another repository");
    }
    if push.r#ref.strip_prefix("refs/heads/") != Some(gitops.branch.as_str()) {
        return Kind::Elsewhere("another branch");
    }
    if push.forced || push.deleted {
        return Kind::Rewritten;
    }
    if push.created {
        return Kind::Unrelated("the branch was created");
    }
    let [commit] = push.commits.as_slice() else { return Kind::Persons("not exactly one commit") };
    let Some(id) = message::deploy_id(&commit.message) else { return Kind::Persons("a person's push") };
    match CommitSha::parse(&push.after) {
        Ok(after) => Kind::Candidate(id, after),
        Err(_) => Kind::Unrelated("not a commit"),
    }
}

/// Reads a push that is too large to be the bot's. What cannot be read is no push of ours.
fn parse_outline(outline: &Outline) -> Push<'_> {
    serde_json::from_slice(&outline.json).unwrap_or_default()
}

/// The branch is not what it was: the watch must not sync a commit that may be gone.
async fn rewritten(world: &impl World, push: &Push<'_>) -> Answer {
    // When it was pushed: a delivery that comes late says nothing about what was committed on top of
    // it since.
    let at = push.pushed(world.now());
    let fact = BranchRewritten { at, before: short(&push.before), after: short(&push.after) };
    world.log(Line::error("branch_rewritten").with("before", fact.before.as_str()).with("after", fact.after.as_str()));
    match save_newest(world, &fact).await {
        Ok(()) => ignored("the branch was rewritten"),
        Err(error) => failed(world, None, error),
    }
}

/// The newest rewrite counts: a delivery that comes late or again must not let a commit be synced that a newer rewrite
/// has removed. What this build cannot read is written anew.
async fn save_newest(world: &impl World, fact: &BranchRewritten) -> Result<(), StoreError> {
    match store::load_key(world, Rewritten).await {
        Ok(Some(known)) if known.at >= fact.at => return Ok(()),
        Err(error) if !error.is_unreadable() => return Err(error),
        _ => {}
    }
    store::save_key(world, Rewritten, fact).await
}

/// At most a commit id's length of outside text goes into a key.
fn short(text: &str) -> String {
    text.chars().filter(char::is_ascii_hexdigit).take(40).collect()
}

/// A push that names a deployment, and is not that deployment's commit.
async fn not_ours(
    world: &impl World,
    push: &Push<'_>,
    id: &DeploymentId,
    reason: &'static str,
    is_known: bool,
) -> Answer {
    world.log(Line::error("not_our_push").of(id).with("reason", reason));
    // Perhaps the commit of a deployment that is forgotten by now, if the bot's own account pushed it.
    let whose = if is_known { Whose::Anybodys } else { Whose::NotTheBots };
    people::note(world, push, whose, reason).await
}

fn failed(world: &impl World, id: Option<&DeploymentId>, error: StoreError) -> Answer {
    let line = Line::error("relay_failed").with("cause", error.why());
    world.log(match id {
        Some(id) => line.of(id),
        None => line,
    });
    Answer::reason(StatusCode::SERVICE_UNAVAILABLE, "failed", "the store did not answer")
}

/// `after` must be what `committed` says. The webhook may arrive before the mutation's answer, so `committed`
/// is looked for again for a while. Then it is so, and these are the parts of the deployment, if it has several targets.
/// Otherwise what GitHub is answered.
async fn prove(
    world: &impl World,
    settings: &GithubRelaySettings,
    push: &Push<'_>,
    id: &DeploymentId,
    after: &CommitSha,
) -> Result<Result<Vec<DeploymentId>, Answer>, StoreError> {
    let until = world.elapsed().saturating_add(settings.limits.overtaking);
    loop {
        if let Some(committed) = store::load_fact::<CommittedFact>(world, id).await? {
            if committed.sha == *after {
                return Ok(Ok(committed.commit.parts(id)));
            }
            return Ok(Err(not_ours(world, push, id, "not the commit that the bot made", true).await));
        }
        let commit = store::load_fact::<CommitFact>(world, id).await?;
        let is_known = commit.is_some();
        if !commit.is_some_and(|commit| commit.attempts.iter().any(|attempt| attempt.base.as_str() == push.before)) {
            return Ok(Err(not_ours(world, push, id, "no commit of the bot was expected here", is_known).await));
        }
        if world.elapsed() >= until {
            // An attempt of ours has this base, but its outcome is not recorded.
            world.log(Line::new("push_before_committed").of(id));
            return Ok(Err(Answer::reason(StatusCode::ACCEPTED, "later", "the commit is not recorded yet")));
        }
        world.sleep(limits::COMMITTED_AGAIN).await;
    }
}

/// Relays once. `push` is saved after Argo CD's 200, so a delivery that failed half way may come again.
async fn relay(
    world: &impl World,
    settings: &GithubRelaySettings,
    (headers, body): (RelayHeaders, Vec<u8>),
    id: &DeploymentId,
    parts: &[DeploymentId],
) -> Answer {
    match store::load_fact::<PushFact>(world, id).await {
        Ok(None) => {}
        Ok(Some(_)) => return Answer::reason(StatusCode::OK, "relayed", "it was relayed before"),
        Err(error) => return failed(world, Some(id), error),
    }
    let delivery = short_delivery(&headers);
    if let Err(fault) = hand_on(world, settings, headers, body).await {
        // The watch goes on without it.
        return not_taken(world, Line::error("relay_failed").of(id), &fault);
    }
    let fact = PushFact { delivery, at: world.now() };
    // The whole comes last: with it, each part is told.
    for id in parts.iter().chain(std::iter::once(id)) {
        if let Err(error) = store::save_fact(world, id, &fact).await {
            return failed(world, Some(id), error);
        }
        if let Err(error) = store::announce(world, id).await {
            // The watch reloads all facts now and then, so this costs time only.
            world.log(Line::error("not_announced").of(id).with("cause", error.why()));
        }
    }
    world.log(Line::new("relayed").of(id).with("delivery", fact.delivery.as_str()));
    Answer::reason(StatusCode::OK, "relayed", "the bot's own commit")
}

/// Hands the very bytes to Argo CD, signed anew where Argo CD has a secret of its own.
async fn hand_on(
    world: &impl World,
    settings: &GithubRelaySettings,
    mut headers: RelayHeaders,
    body: Vec<u8>,
) -> Result<(), Fault> {
    if let Some(key) = &settings.resign {
        headers.sha256 = sign_sha256(key, &body);
        headers.sha1 = Some(sign_sha1(key, &body));
    }
    argocd::webhook(world, &settings.argocd, body, &headers).await
}

/// GitHub shows the delivery as failed, and it can be sent again.
fn not_taken(world: &impl World, line: Line, fault: &Fault) -> Answer {
    world.log(line.with_json("fault", fault));
    Answer::reason(StatusCode::SERVICE_UNAVAILABLE, "failed", "Argo CD did not take it")
}

fn short_delivery(headers: &RelayHeaders) -> String {
    headers.delivery.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::deployment::samples::{id, sha};
    use domain::names::{BranchName, RepoName};
    use serde_json::{Value, json};

    fn gitops() -> GitOps {
        GitOps { repo: RepoName::parse("acme/gitops").unwrap(), branch: BranchName::parse("main").unwrap() }
    }

    /// The bot's own push with some fields replaced.
    fn payload(fields: Value) -> Vec<u8> {
        let message = format!("Deploy checkout 42\n\nDeploy-Id: {}", id('1'));
        let mut push = json!({
            "ref": "refs/heads/main",
            "before": sha('b'),
            "after": sha('d'),
            "created": false,
            "deleted": false,
            "forced": false,
            "repository": { "full_name": "acme/gitops" },
            "commits": [{ "id": sha('d'), "message": message }],
        });
        push.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        serde_json::to_vec(&push).unwrap()
    }

    #[test]
    fn a_push_is_ours_a_persons_foreign_or_a_rewrite() {
        let check = |fields: Value, expected: Kind| {
            let body = payload(fields.clone());
            assert_eq!(recognise(&gitops(), &serde_json::from_slice(&body).unwrap()), expected, "{fields}");
        };
        let ours = || Kind::Candidate(id('1'), sha('d'));
        let by_person = || Kind::Persons("a person's push");
        check(json!({}), ours());
        check(json!({ "repository": { "full_name": "Acme/GitOps" } }), ours());
        check(json!({ "commits": [{ "message": "Raise the replicas" }] }), by_person());
        check(json!({ "commits": [{ "message": "Deploy checkout 42\n\nDeploy-Id: 1" }] }), by_person());
        let two = [json!({ "message": "One" }), json!({ "message": "Two" })];
        check(json!({ "commits": two }), Kind::Persons("not exactly one commit"));
        check(json!({ "commits": [] }), Kind::Persons("not exactly one commit"));

        check(json!({ "forced": true }), Kind::Rewritten);
        check(json!({ "deleted": true, "after": "0000", "commits": [] }), Kind::Rewritten);
        check(json!({ "created": true }), Kind::Unrelated("the branch was created"));
        check(json!({ "after": "not a sha" }), Kind::Unrelated("not a commit"));

        // Of another branch or repository nothing else matters.
        for r#ref in ["refs/heads/other", "refs/heads/main2", "refs/tags/main", "main"] {
            check(json!({ "ref": r#ref, "forced": true }), Kind::Elsewhere("another branch"));
        }
        check(
            json!({ "repository": { "full_name": "eve/gitops" }, "forced": true }),
            Kind::Elsewhere("another repository"),
        );
        check(json!({ "repository": {} }), Kind::Elsewhere("another repository"));
    }

    #[test]
    fn of_a_large_push_only_a_rewrite_of_our_branch_counts() {
        let check = |fields: Value, expected: bool| {
            let outline = Outline::default().take(&payload(fields.clone()));
            let found = recognise(&gitops(), &parse_outline(&outline));
            assert_eq!(found == Kind::Rewritten, expected, "{fields}");
        };
        check(json!({ "forced": true }), true);
        check(json!({ "deleted": true }), true);
        check(json!({}), false);
        check(json!({ "forced": true, "ref": "refs/heads/other" }), false);
        check(json!({ "forced": true, "repository": { "full_name": "eve/gitops" } }), false);
        let cut = payload(json!({ "forced": true }));
        let cut_off = Outline::default().take(&cut[..cut.len() - 1]);
        assert_eq!(recognise(&gitops(), &parse_outline(&cut_off)), Kind::Elsewhere("another repository"), "cut off");
    }
}
