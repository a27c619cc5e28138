//! *Cancel*: the wish to end a deployment. *Approve* and *Reject*: votes on a deployment that was refused
//! until others agree. Approved, the deployment goes on as another one, in the same message.

use super::{Answered, Asking, Response, ToCarryOut};
use crate::context::Stop;
use crate::deploy::{carry_lease, catalog, gates, versions, waits};
use crate::request::{Saved, name_version, save};
use crate::world::{Line, World, under_lease};
use clients::slack::{self, SlackError};
use domain::catalog::Environment;
use domain::command::{DeployWords, TargetWords};
use domain::deployment::{Approval, ApprovalsFact, CancelFact, End, Facts, Origin, RequestFact, Shown, StopFact};
use domain::image::Tag;
use domain::limits;
use domain::message;
use domain::names::{CommitSha, DeploymentId, SlackUser, Target};
use domain::nonempty::NonEmpty;
use domain::refusal::Refusal;
use domain::time::Timestamp;
use store::{Current, Lease};

/// Cancels the deployment of a target that has the turn, or waits for it.
///
/// Of a set the first such deployment: those of one request end together.
pub(super) async fn current<W: World>(ask: &Asking<'_, W>, words: &TargetWords) -> Answered {
    let (_, catalog) = catalog::read_catalog(&ask.cx).await?;
    let apps = match catalog.in_set(&words.app) {
        [] => vec![words.app.clone()],
        set => set.iter().map(ToString::to_string).collect(),
    };
    let mut ended = None;
    for app in apps {
        let one = TargetWords { app, environment: words.environment.clone() };
        let (target, _, environment) = catalog::find(&ask.cx, &catalog, &one, ask.asker.place()).await?;
        let applications = catalog::known_applications(&ask.cx, environment).await?;
        if let Some((id, _)) = versions::under_way(&ask.cx, &target, &applications).await? {
            return cancel(ask, &id).await;
        }
        if let (None, Some(application)) = (&ended, applications.first()) {
            let current = store::load_key(ask.cx.world, Current(application)).await?;
            ended = current.filter(|current| current.target == target).map(|current| current.id);
        }
    }
    match ended {
        // The answer says that it has ended.
        Some(id) => cancel(ask, &id).await,
        None => Ok((Response::words(&message::nothing_to_cancel(&words.to_string())), None)),
    }
}

/// The wish to cancel. Only the process that carries the deployment out turns the wish into an end.
pub(super) async fn cancel<W: World>(ask: &Asking<'_, W>, id: &DeploymentId) -> Answered {
    let (world, user) = (ask.cx.world, &ask.asker.user);
    let facts = store::load(world, id).await?;
    if let Some(request) = facts.request.as_ref().filter(|_| facts.waits(world.now())) {
        if request.user != *user {
            let (target, environment) = catalog::find_asked(&ask.cx, &request.words, ask.asker.place()).await?;
            gates::may_deploy(&ask.cx, user, &ask.asker.channel, &target, &environment).await?;
        }
        waits::end_by(&ask.cx, id, user).await?;
        return Ok((Response::Nothing, None));
    }
    match cancellation(&facts, user) {
        Cancellation::Forgotten => return Ok((Response::words(&message::forgotten()), None)),
        Cancellation::TooLate => return Ok((Response::words(&message::too_late_to_cancel(&facts)), None)),
        Cancellation::ByAsker => {}
        Cancellation::ByOther(words) => may_deploy_all(ask, words).await?,
    }
    if facts.cancel.is_none() {
        store::save_fact(world, id, &CancelFact { by: Some(user.clone()), at: world.now() }).await?;
        world.log(Line::new("cancel_wished").of(id).with("user", user.as_str()));
    }
    // Nobody carries the deployment out, so we do: to its end.
    // A part is carried out with the whole.
    let whole = facts.request.as_ref().and_then(|request| request.origin.part_of()).unwrap_or(id);
    let is_carried = store::is_held(world, &carry_lease(whole)).await?;
    let next = (!is_carried).then(|| ToCarryOut { id: whole.clone(), unsaved: None });
    Ok((Response::words(&message::cancelling()), next))
}

/// Whether the asker may deploy everything that these words name.
async fn may_deploy_all<W: World>(ask: &Asking<'_, W>, words: DeployWords) -> Result<(), Stop> {
    let (_, catalog) = catalog::read_catalog(&ask.cx).await?;
    let several = catalog.several(&words)?;
    for words in if several.is_empty() { vec![words] } else { several } {
        let meant = catalog.meant_by(&words)?;
        let (target, _, environment) = catalog::find(&ask.cx, &catalog, &meant, ask.asker.place()).await?;
        gates::may_deploy(&ask.cx, &ask.asker.user, &ask.asker.channel, &target, environment).await?;
    }
    Ok(())
}

/// The wish to end the sync of an older deployment. Only the watch carries the wish out, and looks again before it does.
pub(super) async fn terminate<W: World>(ask: &Asking<'_, W>, waits: &DeploymentId, of: &DeploymentId) -> Answered {
    let (world, user) = (ask.cx.world, &ask.asker.user);
    let facts = store::load(world, waits).await?;
    let Some(request) = facts.request.as_ref() else { return Ok((Response::words(&message::forgotten()), None)) };
    if facts.state().is_final() {
        return Ok((Response::words(&message::nothing_to_terminate()), None));
    }
    let (target, environment) = catalog::find_asked(&ask.cx, &request.words, ask.asker.place()).await?;
    gates::may_deploy(&ask.cx, user, &ask.asker.channel, &target, &environment).await?;
    // In the same application it may be another target's.
    if let Some(theirs) = store::load(world, of).await?.commit.map(|commit| commit.target().target.clone())
        && theirs != target
    {
        let words = TargetWords { app: theirs.app.to_string(), environment: Some(theirs.environment.to_string()) };
        let (theirs, environment) = catalog::find_target(&ask.cx, &words, ask.asker.place()).await?;
        gates::may_deploy(&ask.cx, user, &ask.asker.channel, &theirs, &environment).await?;
    }
    if facts.stop.as_ref().is_none_or(|stop| stop.of != *of) {
        store::save_fact(world, waits, &StopFact { by: user.clone(), of: of.clone() }).await?;
        world.log(Line::new("termination_wished").of(waits).with("user", user.as_str()).with("of", of.as_str()));
    }
    // The watch looks every few seconds anyway.
    let _ = store::announce(world, waits).await;
    Ok((Response::words(&message::terminating()), None))
}

/// Whether a deployment can be cancelled, and by whom.
#[derive(Debug, PartialEq, Eq)]
enum Cancellation {
    Forgotten,
    TooLate,
    /// The person who asked for the deployment.
    ByAsker,
    /// Somebody else, who must be allowed to deploy there.
    ByOther(DeployWords),
}

fn cancellation(facts: &Facts, by: &SlackUser) -> Cancellation {
    match &facts.request {
        None => Cancellation::Forgotten,
        Some(_) if facts.state().is_final() || facts.committed.is_some() => Cancellation::TooLate,
        Some(request) if request.user == *by => Cancellation::ByAsker,
        Some(request) => Cancellation::ByOther(request.words.clone()),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Vote {
    Approve,
    Reject,
}

/// What people are asked to approve.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Proposal {
    request: RequestFact,
    /// Of several targets, those that need approvals.
    asks: NonEmpty<Asks>,
    /// Only one target was asked for.
    is_one: bool,
    until: Timestamp,
}

/// What people are asked to approve of one target.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asks {
    target: Target,
    head: Option<CommitSha>,
    tag: Tag,
    shown: Shown,
    needed: u8,
    /// Whose reviews on GitHub count.
    reviewed: Box<[SlackUser]>,
    /// What goes live with a rollback is to be confirmed, by somebody else who may deploy or an owner.
    confirms: bool,
}

pub(super) async fn vote<W: World>(ask: &Asking<'_, W>, of: &DeploymentId, vote: Vote) -> Answered {
    let (world, user) = (ask.cx.world, &ask.asker.user);
    // What goes on in the asker's name is what slack-command alone has sealed.
    let facts = Facts { request: store::load_fact(world, of).await?, ..store::load(world, of).await? };
    let Some(proposal) = proposal(&facts) else { return Ok((Response::words(&message::forgotten()), None)) };
    if world.now() >= proposal.until {
        return Ok((Response::words(&message::approval_over()), None));
    }
    let targets = votes_on(ask, &proposal, vote).await?;
    if targets.is_empty() {
        world.log(Line::new("may_not_approve").of(of).with("user", user.as_str()));
        let is_own = proposal.request.user == *user;
        let all: Vec<String> = proposal.asks.iter().map(|asks| asks.target.to_string()).collect();
        return Ok((Response::words(&message::may_not_approve(&all.join(", "), is_own)), None));
    }
    let targets = if proposal.is_one { Vec::new() } else { targets };
    let counted = async |lease: &Lease<'_, W>| record(ask, of, lease, (facts, proposal), (vote, targets)).await;
    under_lease(world, &format!("approvals/{of}"), counted).await
}

/// For which targets the vote of this person counts.
async fn votes_on<W: World>(ask: &Asking<'_, W>, proposal: &Proposal, vote: Vote) -> Result<Vec<Target>, Stop> {
    let (user, place) = (&ask.asker.user, ask.asker.place());
    let own = own_vote(proposal, user, vote);
    let mut targets = Vec::new();
    for asks in proposal.asks.iter() {
        let words = TargetWords::from(&asks.target);
        let (_, environment) = catalog::find_target(&ask.cx, &words, place).await?;
        let counts = match (own, &environment.gates.approvals) {
            (Some(true), _) => true,
            (_, _) if asks.confirms => {
                gates::is_among(&ask.cx, user, &environment.owners).await?
                    || (own.is_none() && may_deploy(ask, &asks.target, &environment).await?)
            }
            (Some(counts), _) => counts,
            (None, Some(approvals)) => gates::is_among(&ask.cx, user, &approvals.by).await?,
            (None, None) => false,
        };
        targets.extend(counts.then(|| asks.target.clone()));
    }
    Ok(targets)
}

/// Whether this person may deploy there, from this channel.
async fn may_deploy<W: World>(ask: &Asking<'_, W>, target: &Target, environment: &Environment) -> Result<bool, Stop> {
    let (user, channel) = ask.asker.place();
    match gates::may_deploy(&ask.cx, user, channel, target, environment).await {
        Ok(()) => Ok(true),
        Err(Stop::End(End::Refused { .. })) => Ok(false),
        Err(other) => Err(other),
    }
}

/// Records the vote, under the lease of the deployment's votes.
async fn record<W: World>(
    ask: &Asking<'_, W>,
    of: &DeploymentId,
    lease: &Lease<'_, W>,
    (facts, proposal): (Facts, Proposal),
    (vote, targets): (Vote, Vec<Target>),
) -> Answered {
    let (world, user) = (ask.cx.world, &ask.asker.user);
    let before: ApprovalsFact = store::load_fact(world, of).await?.unwrap_or_default();
    let mine = Approval { user: user.clone(), at: world.now(), targets };
    let (votes, verdict) = count(&before, mine, vote, &proposal.asks);
    let is_new = votes != before;
    if is_new {
        lease.ensure(limits::WRITE).await?;
        store::save_fact(world, of, &votes).await?;
        let event = if vote == Vote::Approve { "approved" } else { "rejected" };
        world.log(Line::new(event).of(of).with("user", user.as_str()));
    }
    let facts = Facts { approvals: Some(votes.clone()), ..facts };
    let known = match verdict {
        Verdict::Approved => return Ok(go_on(ask, approved_request(of, &facts, proposal, votes, ask.at), is_new).await),
        Verdict::TooLateToReject => return Ok((Response::words(&message::approved_already()), None)),
        Verdict::Rejected { by } => message::rejected_already(&by),
        Verdict::Waits { missing } => message::approved_by_you(missing),
    };
    let is_shown = show(ask, of, &facts).await;
    let response = match (is_new, is_shown) {
        (true, true) => Response::Nothing,
        (true, false) => Response::words(&message::noted()),
        (false, _) => Response::words(&known),
    };
    Ok((response, None))
}

/// The approved request goes on as a deployment of its own. The id is made of the button, so it is the same
/// deployment for all who press *Approve*.
async fn go_on<W: World>(ask: &Asking<'_, W>, request: RequestFact, is_new: bool) -> (Response, Option<ToCarryOut>) {
    let (world, id) = (ask.cx.world, ask.cx.id);
    // The asker's own click is too long ago.
    let saved = save(world, id, limits::SAVE_LIMIT, None, async || {
        let before = store::load_fact(world, id).await?;
        Ok(Some(before.unwrap_or(request.clone())))
    });
    let is_saved = matches!(saved.await, Saved::Request(_));
    let response = match (is_saved, is_new) {
        (false, _) => Response::words(&message::approved_only()),
        (true, true) => Response::Nothing,
        (true, false) => Response::words(&message::approved_already()),
    };
    (response, Some(ToCarryOut { id: id.clone(), unsaved: (!is_saved).then_some(request) }))
}

/// Shows the votes in the message of the deployment.
async fn show<W: World>(ask: &Asking<'_, W>, of: &DeploymentId, facts: &Facts) -> bool {
    let Some(place) = facts.place() else { return false };
    let words = message::before_commit(of, facts, None);
    let world = ask.cx.world;
    match slack::update(world, &ask.cx.settings.slack, &place.channel, &place.ts, &words).await {
        Ok(()) => true,
        Err(SlackError::Unreachable(fault) | SlackError::Refused(fault)) => {
            world.log(Line::error("slack").of(of).with_json("fault", &fault));
            false
        }
        Err(SlackError::Gone(_) | SlackError::RateLimited(_)) => false,
    }
}

/// What a deployment asks people to approve.
fn proposal(facts: &Facts) -> Option<Proposal> {
    let request = facts.request.clone()?;
    let End::Refused { refusal, plans } = &facts.end.as_ref()?.end else { return None };
    let refusal = refusal.read()?;
    let mut all = Vec::new();
    for asks in refusal.asks_approval() {
        let Refusal::NeedsApproval { target, head, tag, count, reviewed, about, .. } = asks else { continue };
        let shown = plans.iter().find(|plan| plan.target == **target)?.into();
        let (target, needed, reviewed) = (target.as_ref().clone(), *count, reviewed.clone());
        let confirms = about.rides.is_some();
        all.push(Asks { target, head: head.clone(), tag: tag.clone(), shown, needed, reviewed, confirms });
    }
    let mut all = all.into_iter();
    let asks = NonEmpty::new(all.next()?, all.collect());
    Some(Proposal { request, asks, is_one: plans.len() == 1, until: refusal.approved_until()? })
}

/// The asker may withdraw the request, but not approve it. `None`: the vote is somebody else's.
fn own_vote(proposal: &Proposal, user: &SlackUser, vote: Vote) -> Option<bool> {
    (proposal.request.user == *user).then_some(vote == Vote::Reject)
}

/// What became of a proposal after a vote.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Approved,
    /// The proposal went on as another deployment, which has a message and buttons of its own.
    TooLateToReject,
    Rejected {
        by: SlackUser,
    },
    Waits {
        missing: usize,
    },
}

/// Each person approves once, one rejection ends it, and neither changes what is decided already.
fn count(before: &ApprovalsFact, mine: Approval, vote: Vote, asks: &NonEmpty<Asks>) -> (ApprovalsFact, Verdict) {
    let mut votes = before.clone();
    let missing = |votes: &ApprovalsFact| -> usize {
        asks.iter().map(|asks| votes.missing(&asks.target, asks.needed, &asks.reviewed)).sum()
    };
    if votes.rejected.is_none() && missing(&votes) > 0 {
        match vote {
            Vote::Reject => votes.rejected = Some(mine),
            Vote::Approve if votes.given.iter().any(|given| given.user == mine.user) => {}
            Vote::Approve => votes.given.push(mine),
        }
    }
    let verdict = match (&votes.rejected, missing(&votes), vote) {
        (Some(rejected), ..) => Verdict::Rejected { by: rejected.user.clone() },
        (None, 0, Vote::Approve) => Verdict::Approved,
        (None, 0, Vote::Reject) => Verdict::TooLateToReject,
        (None, missing, _) => Verdict::Waits { missing },
    };
    (votes, verdict)
}

/// The request that was approved, as if it had just been made. It says exactly what the people saw: the
/// default environment and the last healthy version may be others by now.
fn approved_request(
    of: &DeploymentId,
    facts: &Facts,
    proposal: Proposal,
    votes: ApprovalsFact,
    at: Timestamp,
) -> RequestFact {
    let Proposal { request, asks, is_one, .. } = proposal;
    let (of, given, place, was) = (of.clone(), votes.given, facts.place().cloned(), request.origin.inner());
    if !is_one {
        // Each part reads below `of` what was shown of its target.
        let origin = Origin::Approved { of, head: None, shown: Shown::default(), given, place, was };
        return RequestFact { at, origin, button: None, ..request };
    }
    let Asks { target, head, tag, shown, .. } = asks.first().clone();
    let mut words = DeployWords { app: target.app.to_string(), ..request.words };
    if words.environment.is_none() && target.environment.as_str() != "default" {
        words.environment = Some(target.environment.to_string());
    }
    let is_rollback = name_version(&mut words, &tag);
    let head = head.filter(|_| !is_rollback);
    let origin = Origin::Approved { of, head, shown, given, place, was };
    // The button of the request is that of the deployment which was approved.
    RequestFact { at, words, origin, button: None, ..request }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::command::{Version, What};
    use domain::deployment::TargetPlan;
    use domain::deployment::samples::{at, cancelled, commit, id, place, relayed, request, sha, target_plan, user};
    use domain::deployment::{EndFact, MessageFact, Voice, Warned};
    use domain::names::{AppName, EnvironmentName};

    /// Two people are to approve, until a minute after the start.
    fn refused(words: DeployWords, target: Target) -> Facts {
        let plan = TargetPlan { target: target.clone(), ..target_plan() };
        let refusal = Refusal::NeedsApproval {
            target: Box::new(target),
            head: Some(sha('a')),
            tag: target_plan().tag,
            count: 2,
            users: vec![user("U2")].into(),
            groups: Box::default(),
            reviewed: Box::default(),
            until: at(60),
            about: Box::default(),
        };
        let voice = Voice { place: Some(place("1503435956.000247")), ..Voice::default() };
        Facts {
            request: Some(RequestFact { words, ..request() }),
            end: Some(EndFact {
                at: at(1),
                end: End::Refused { refusal: (&refusal).into(), plans: vec![plan] },
                contact: None,
                catalog: None,
            }),
            message: Some(MessageFact(voice)),
            ..Facts::default()
        }
    }

    fn waiting() -> Facts {
        refused(request().words, target_plan().target)
    }

    fn approval(by: &str) -> Approval {
        Approval { user: user(by), at: at(20), targets: Vec::new() }
    }

    fn votes(given: &[&str], rejected: Option<&str>) -> ApprovalsFact {
        ApprovalsFact { given: given.iter().map(|by| approval(by)).collect(), rejected: rejected.map(approval) }
    }

    #[test]
    fn only_a_refusal_that_waits_for_approvals_can_be_voted_on() {
        let found = proposal(&waiting()).unwrap();
        let asks = found.asks.first().clone();
        assert_eq!((asks.head, asks.tag, asks.needed, found.until), (Some(sha('a')), target_plan().tag, 2, at(60)));
        let other = Refusal::CatalogChanged;
        let end = |end| Some(EndFact { at: at(1), end, contact: None, catalog: None });
        for facts in [
            Facts::default(),
            Facts { request: None, ..waiting() },
            Facts { end: None, ..waiting() },
            Facts { end: Some(cancelled()), ..waiting() },
            Facts { end: end(End::Refused { refusal: (&other).into(), plans: Vec::new() }), ..waiting() },
        ] {
            assert_eq!(proposal(&facts), None, "{facts:?}");
        }
    }

    #[test]
    fn the_asker_may_reject_but_not_approve() {
        let proposal = proposal(&waiting()).unwrap();
        let check = |by: &str, vote, expected| assert_eq!(own_vote(&proposal, &user(by), vote), expected, "{by}");
        check("U2CERLKJA", Vote::Approve, Some(false));
        check("U2CERLKJA", Vote::Reject, Some(true));
        check("U2", Vote::Approve, None);
        check("U2", Vote::Reject, None);
    }

    fn asks(needed: u8) -> NonEmpty<Asks> {
        let asks = proposal(&waiting()).unwrap().asks.first().clone();
        NonEmpty::one(Asks { needed, ..asks })
    }

    #[test]
    fn of_several_targets_each_waits_for_its_own_people() {
        let other = Target { app: AppName::parse("search").unwrap(), ..target_plan().target };
        let of_other = Asks { target: other.clone(), ..asks(1).first().clone() };
        let both = NonEmpty::new(asks(1).first().clone(), vec![of_other]);
        let vote = |by: &str, targets: &[&Target]| Approval {
            targets: targets.iter().copied().cloned().collect(),
            ..approval(by)
        };
        let target = target_plan().target;
        let (first, verdict) = count(&votes(&[], None), vote("U2", &[&other]), Vote::Approve, &both);
        assert_eq!(verdict, Verdict::Waits { missing: 1 });
        assert_eq!(count(&first, vote("U3", &[&other]), Vote::Approve, &both).1, Verdict::Waits { missing: 1 });
        assert_eq!(count(&first, vote("U3", &[&target]), Vote::Approve, &both).1, Verdict::Approved);
        let all = vote("U2", &[&target, &other]);
        assert_eq!(count(&votes(&[], None), all, Vote::Approve, &both).1, Verdict::Approved);
    }

    #[test]
    fn each_vote_counts_once_until_it_is_decided() {
        let check = |before: ApprovalsFact, by: &str, vote, after: ApprovalsFact, verdict: Verdict| {
            assert_eq!(
                count(&before, approval(by), vote, &asks(2)),
                (after, verdict),
                "{by}: {vote:?} after {before:?}"
            );
        };
        let rejected = |by: &str| Verdict::Rejected { by: user(by) };
        let waits = |missing| Verdict::Waits { missing };
        check(votes(&[], None), "U2", Vote::Approve, votes(&["U2"], None), waits(1));
        check(votes(&["U2"], None), "U2", Vote::Approve, votes(&["U2"], None), waits(1));
        check(votes(&["U2"], None), "U3", Vote::Approve, votes(&["U2", "U3"], None), Verdict::Approved);
        check(votes(&[], None), "U2", Vote::Reject, votes(&[], Some("U2")), rejected("U2"));
        // A person may think again before it is decided.
        check(votes(&["U2"], None), "U2", Vote::Reject, votes(&["U2"], Some("U2")), rejected("U2"));
        // Decided: a later vote changes nothing.
        let (approved, over) = (votes(&["U2", "U3"], None), votes(&["U2"], Some("U3")));
        check(approved.clone(), "U4", Vote::Approve, approved.clone(), Verdict::Approved);
        check(approved.clone(), "U4", Vote::Reject, approved, Verdict::TooLateToReject);
        check(over.clone(), "U4", Vote::Approve, over.clone(), rejected("U3"));
        check(over.clone(), "U4", Vote::Reject, over, rejected("U3"));
    }

    #[test]
    fn fewer_approvals_in_the_catalog_do_not_undo_a_decision() {
        let (after, verdict) = count(&votes(&["U2", "U3"], None), approval("U4"), Vote::Approve, &asks(1));
        assert_eq!((after, verdict), (votes(&["U2", "U3"], None), Verdict::Approved));
    }

    #[test]
    fn an_approved_request_says_what_the_people_saw() {
        let check = |asked: DeployWords, target: Target, words: DeployWords, head: Option<CommitSha>| {
            let facts = refused(asked, target);
            let found = proposal(&facts).unwrap();
            let (of, given) = (id('1'), votes(&["U2", "U3"], None).given);
            let place = Some(place("1503435956.000247"));
            let origin = Origin::Approved {
                of: of.clone(),
                head,
                shown: (&target_plan()).into(),
                given,
                place,
                was: Box::default(),
            };
            let expected = RequestFact { at: at(30), words, origin, ..request() };
            let votes = votes(&["U2", "U3"], None);
            assert_eq!(approved_request(&of, &facts, found, votes, at(30)), expected);
        };
        let (typed, target) = (request().words, target_plan().target);
        check(typed.clone(), target.clone(), typed.clone(), Some(sha('a')));
        // The catalog's default environment was `production`, and has that name from now on.
        let production = Target { environment: EnvironmentName::parse("production").unwrap(), ..target.clone() };
        let named = DeployWords { environment: Some("production".to_owned()), ..typed.clone() };
        check(typed.clone(), production.clone(), named.clone(), Some(sha('a')));
        check(named.clone(), production, named, Some(sha('a')));
        // A rollback goes to the tag that was shown, whose commit does not move.
        let back = |version| DeployWords { what: What::Rollback(version), ..typed.clone() };
        let tag = Version::Tag(target_plan().tag.to_string());
        check(back(Version::LastHealthy), target, back(tag), None);
    }

    #[test]
    fn an_approved_retry_keeps_what_its_asker_knew() {
        let anyway = Origin::Anyway { of: id('2'), head: sha('a'), warned: Warned::RolledBack, was: Box::default() };
        let retry = Origin::Retry { of: id('3'), head: None, was: Box::new(anyway.clone()) };
        let facts = waiting();
        let mut found = proposal(&facts).unwrap();
        found.request.origin = retry;
        let approved = approved_request(&id('1'), &facts, found, votes(&["U2"], None), at(30));
        assert!(matches!(&approved.origin, Origin::Approved { was, .. } if **was == anyway), "{:?}", approved.origin);
    }

    #[test]
    fn a_deployment_can_be_cancelled_until_its_commit() {
        let check = |facts: &Facts, by: &str, expected: Cancellation| {
            assert_eq!(cancellation(facts, &user(by)), expected, "{facts:?} by {by}");
        };
        let accepted = Facts { request: Some(request()), ..Facts::default() };
        let committing = Facts { commit: Some(commit()), ..accepted.clone() };
        let ended = Facts { end: Some(cancelled()), ..accepted.clone() };
        let other = || Cancellation::ByOther(request().words);
        check(&Facts::default(), "U2CERLKJA", Cancellation::Forgotten);
        check(&accepted, "U2CERLKJA", Cancellation::ByAsker);
        check(&accepted, "U7", other());
        check(&committing, "U2CERLKJA", Cancellation::ByAsker);
        check(&committing, "U7", other());
        check(&ended, "U2CERLKJA", Cancellation::TooLate);
        check(&relayed(), "U2CERLKJA", Cancellation::TooLate);
    }
}
