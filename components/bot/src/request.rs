//! From a typed command or a pressed button to a saved request.
//!
//! Easy to miss: a button can be pressed by several people, and a click can arrive twice. The id is made of
//! the button and the person, so what one person presses again is the same deployment, until that has come to
//! nothing. Of several people the first one who may deploy claims the button, see `turn::claim`: a press of
//! somebody who may not uses nothing up.

use crate::world::{Line, World, within};
use domain::command::{Command, DeployWords, TargetWords, Version, What};
use domain::deployment::{End, EndFact, Facts, LastWord, Origin, RequestFact, ResponseUrlFact, Thread, Warned, click};
use domain::form::{Chosen, FormFact};
use domain::image::Tag;
use domain::message::{Button, PushedOffer};
use domain::names::{CommandName, DeploymentId, ResponseUrl, SlackChannel, SlackTeam, SlackUser};
use domain::refusal::{MovedTag, Refusal};
use domain::time::Timestamp;
use futures::future::{try_join, try_join3};
use std::cell::Cell;
use std::time::Duration;
use store::{Claims, StoreError};

/// Who asks, where, and how the answer reaches that person.
#[derive(Clone)]
pub struct Asker {
    pub(crate) user: SlackUser,
    pub(crate) user_name: String,
    pub(crate) channel: SlackChannel,
    /// In which thread, if in one.
    pub(crate) thread: Option<Thread>,
    pub(crate) team: SlackTeam,
    pub(crate) team_domain: String,
    /// As Slack sent it; a pressed button and a mention have none.
    pub(crate) command: Option<CommandName>,
    /// Of a mention Slack gives none.
    pub(crate) response_url: Option<ResponseUrl>,
    /// Tells this click, or mention, from others.
    pub(crate) click: String,
}

/// What is found out, changed or said after Slack has its answer.
pub struct FollowUp {
    pub(crate) content: Content,
    pub(crate) asker: Asker,
    /// Of a command: made of the click. Of a button: the id of the deployment that the button may start.
    pub(crate) id: DeploymentId,
    /// Slack's time of the click.
    pub(crate) at: Timestamp,
}

/// What a [`FollowUp`] is about.
pub enum Content {
    /// A command that deploys nothing.
    Command(Command),
    /// A button that deploys nothing by itself.
    Button(Button),
    /// A button whose deployment was begun by an earlier press.
    PressedBefore,
    /// A sentence, and nothing to find out.
    Words(String),
    /// The command alone: opens a form in exchange for this click.
    OpenForm { trigger: String, response_url: ResponseUrl },
    /// Something was chosen in a form.
    FormChanged(Box<FormChange>),
}

/// A form in which something was chosen.
pub struct FormChange {
    pub(crate) view: String,
    pub(crate) form: FormFact,
    pub(crate) chosen: Chosen,
}

/// What came of saving a request.
pub(crate) enum Saved {
    /// The request is in the store, since now or since an earlier press.
    Request(Box<RequestFact>),
    /// The button is below a deployment that is forgotten.
    Forgotten,
    /// The store failed or took too long. `begun`: part of the request may be in the store.
    Failed { begun: bool },
}

/// Saves a request before the answer to Slack, and where the answer to its click goes, if there is a click.
pub(crate) async fn save(
    world: &impl World,
    id: &DeploymentId,
    limit: Duration,
    response_url: Option<&ResponseUrl>,
    make: impl AsyncFnOnce() -> Result<Option<RequestFact>, StoreError>,
) -> Saved {
    let begun = Cell::new(false);
    let save = async {
        let Some(request) = make().await? else { return Ok(None) };
        // In flight first. A process that dies in between leaves an id without a request, which the next
        // resume removes. In the other order it would leave a request that nobody finds, neither to carry it
        // out nor to delete it.
        store::add_in_flight(world, id, request.at).await?;
        begun.set(true);
        // Another click found the request of an earlier one: the answer goes to whom the earlier one was.
        let own = response_url.filter(|url| click(url) == request.click).cloned().map(|url| ResponseUrlFact { url });
        let save_own = async || match &own {
            Some(own) => store::save_fact(world, id, own).await,
            None => Ok(()),
        };
        try_join(store::save_fact(world, id, &request), save_own()).await?;
        Ok(Some(request))
    };
    let too_long = Err(StoreError::Failed("saving took longer than a second"));
    match within(world, limit, save).await.unwrap_or(too_long) {
        Ok(Some(request)) => {
            let mut line = Line::new("accepted").of(id).with("user", request.user.as_str());
            if let Some(reason) = &request.words.override_reason {
                line = line.with("override", reason.as_str());
            }
            world.log(line.with("channel", request.channel.as_str()).with("words", request.words.to_string()));
            Saved::Request(Box::new(request))
        }
        Ok(None) => Saved::Forgotten,
        Err(error) => {
            world.log(Line::error("not_accepted").of(id).with("cause", error.why()));
            Saved::Failed { begun: begun.get() }
        }
    }
}

/// The ids of one person's presses of one button, the first one apart.
pub(crate) struct Presses {
    /// The button itself, the same for everybody who presses it.
    pub(crate) button: DeploymentId,
    pub(crate) first: DeploymentId,
    /// After the deployment of the press before came to nothing.
    pub(crate) again: Vec<DeploymentId>,
}

/// The deployment that a person's press means: the first one that has not come to nothing.
pub(crate) async fn pressed_id(
    world: &impl World,
    presses: &Presses,
    pressed: Timestamp,
) -> Result<DeploymentId, StoreError> {
    let mut id = &presses.first;
    for next in &presses.again {
        if !came_to_nothing(&store::load(world, id).await?, pressed) {
            break;
        }
        id = next;
    }
    Ok(id.clone())
}

/// What has the button of this request, if that is another deployment, and one that has not come to nothing.
pub(crate) async fn has_button(
    world: &impl World,
    id: &DeploymentId,
    request: &RequestFact,
) -> Result<Option<(DeploymentId, Facts)>, StoreError> {
    let Some(button) = &request.button else { return Ok(None) };
    let claims = store::load_key(world, Claims(&request.words.target())).await?.unwrap_or_default();
    let Some(by) = claims.of(button).filter(|by| *by != id) else { return Ok(None) };
    let facts = store::load(world, by).await?;
    Ok((!came_to_nothing(&facts, request.at)).then(|| (by.clone(), facts)))
}

/// Whether the deployment of a button came to nothing before the button was pressed again. Then that press
/// begins another deployment: the person may be allowed to deploy, or the moment may be better.
fn came_to_nothing(facts: &Facts, pressed: Timestamp) -> bool {
    if facts.committed.is_some() || !facts.end_is_told() {
        return false;
    }
    let (ended, to_nothing) = match (&facts.outcome, &facts.end) {
        (Some(outcome), _) => (outcome.at, matches!(outcome.word, LastWord::Failed { .. })),
        (None, Some(EndFact { at, end: End::Refused { refusal, .. }, .. })) => {
            match refusal.read().and_then(|refusal| refusal.approved_until()) {
                // The deployment still waits for approvals, or went on as another one.
                Some(until) => {
                    let rejected = facts.approvals.as_ref().is_some_and(|approvals| approvals.rejected.is_some());
                    (*at, rejected || (pressed >= until && !facts.is_approved()))
                }
                // So does one that waits for something else.
                None if facts.wait.is_some() => (*at, !facts.waits(pressed)),
                None => (*at, true),
            }
        }
        (None, Some(EndFact { at, .. })) => (*at, true),
        (None, None) => return false,
    };
    // A click from before the end that arrives twice is one click. Slack's time has whole seconds.
    to_nothing && ended.seconds() <= pressed.seconds()
}

impl Asker {
    /// Who opened the form.
    pub(crate) fn of_form(user: &SlackUser, form: &FormFact) -> Self {
        Self {
            user: user.clone(),
            user_name: form.user_name.clone(),
            channel: form.channel.clone(),
            thread: None,
            team: form.team.clone(),
            team_domain: form.team_domain.clone(),
            command: Some(form.command.clone()),
            response_url: Some(form.response_url.clone()),
            click: click(&form.response_url),
        }
    }

    /// Who asks, and where: what the catalog decides by.
    pub(crate) fn place(&self) -> (&SlackUser, &SlackChannel) {
        (&self.user, &self.channel)
    }

    pub(crate) fn request(&self, at: Timestamp, words: DeployWords, origin: Origin) -> RequestFact {
        RequestFact {
            at,
            user: self.user.clone(),
            user_name: self.user_name.clone(),
            channel: self.channel.clone(),
            thread: self.thread.clone(),
            team: self.team.clone(),
            team_domain: self.team_domain.clone(),
            words,
            command: self.command.clone().unwrap_or_default(),
            click: self.click.clone(),
            origin,
            button: None,
        }
    }

    /// The request that a button makes. `None`: the button is below a deployment that is forgotten.
    pub(crate) async fn button_request(
        &self,
        world: &impl World,
        at: Timestamp,
        (button, pressed): (&Button, &Presses),
    ) -> Result<Option<RequestFact>, StoreError> {
        // What is asked for in this person's name is what slack-command alone has sealed.
        let facts = match button {
            Button::Retry(of) | Button::Wait(of) | Button::DeployAnyway(of) | Button::TakeOver(of) => {
                let (request, commit) = (store::load_fact(world, of), store::load_fact(world, of));
                let (request, commit, end) = try_join3(request, commit, store::load_fact(world, of)).await?;
                Facts { request, commit, end, ..Facts::default() }
            }
            Button::Promote { of, .. } => Facts {
                request: store::load_fact(world, of).await?,
                commit: store::load_fact(world, of).await?,
                ..Facts::default()
            },
            // A rollback needs one fact, and goes on if another fact of that deployment cannot be read.
            Button::RollBack(of) => Facts {
                commit: store::load_fact(world, of).await?,
                request: store::load_fact(world, of).await.ok().flatten(),
                ..Facts::default()
            },
            _ => Facts::default(),
        };
        let command = match button {
            Button::Deploy(offer) => offer.command.clone(),
            _ => facts.request.as_ref().map(|request| request.command.clone()).unwrap_or_default(),
        };
        Ok(asked_for(button, facts, &self.user).map(|(words, origin)| RequestFact {
            button: Some(pressed.button.clone()),
            command,
            ..self.request(at, words, origin)
        }))
    }
}

/// What a button asks for that the person `by` pressed, from the facts of the deployment that the button is
/// below.
fn asked_for(button: &Button, facts: Facts, by: &SlackUser) -> Option<(DeployWords, Origin)> {
    match button {
        Button::Retry(of) => retry(of, facts, by),
        Button::Wait(of) => wait(of, facts),
        Button::RollBack(of) => {
            let has_parts = facts.has_parts();
            let commit = facts.commit?;
            let origin = Origin::RollBack { of: of.clone(), takes_away: commit.target().tag.clone() };
            let mut words = DeployWords::roll_back(&commit.target().target);
            if has_parts {
                // In the environment in which all of them were.
                let apps: Vec<String> = commit.plan.targets.iter().map(|plan| plan.target.app.to_string()).collect();
                words.app = apps.join(",");
                words.environment = facts.request?.words.environment;
            }
            Some((words, origin))
        }
        Button::Promote { of, .. } => promote(of, &facts),
        Button::DeployAnyway(of) | Button::TakeOver(of) => despite(of, facts, by),
        Button::Deploy(offer) => {
            let words = offer.words.clone().again(&offer.by, by);
            Some((
                words,
                Origin::Shown { of: offer.of.clone(), head: offer.head.clone(), digest: offer.digest.clone() },
            ))
        }
        Button::DeployPushed(offer) => {
            let PushedOffer { target: TargetWords { app, environment }, wrote } = (**offer).clone();
            let words = DeployWords { app, environment, what: What::Written, override_reason: None };
            Some((words, Origin::Pushed { wrote }))
        }
        Button::Cancel(_)
        | Button::Approve(_)
        | Button::Reject(_)
        | Button::Terminate { .. }
        | Button::Unlock { .. } => None,
    }
}

/// A rollback names its version from now on: "the last healthy one" may be another one by then. Returns
/// whether the request is a rollback.
pub(crate) fn name_version(words: &mut DeployWords, tag: &Tag) -> bool {
    let What::Rollback(version) = &mut words.what else { return false };
    *version = Version::Tag(tag.to_string());
    true
}

/// The version that was live when the button was shown: if another one is live by now, the button is void.
fn promote(of: &DeploymentId, facts: &Facts) -> Option<(DeployWords, Origin)> {
    let plan = facts.commit.as_ref()?.target();
    let words = DeployWords {
        app: plan.target.app.to_string(),
        environment: Some(plan.promotes_to.as_ref()?.to_string()),
        what: What::Promote { from: Some(plan.target.environment.to_string()) },
        override_reason: None,
    };
    let (head, digest) = (plan.source.head.clone(), plan.digest.clone());
    Some((words, Origin::Shown { of: of.clone(), head, digest }))
}

/// The same request again.
fn retry(of: &DeploymentId, facts: Facts, by: &SlackUser) -> Option<(DeployWords, Origin)> {
    let RequestFact { words, origin, user, .. } = facts.request?;
    let mut words = words.again(&user, by);
    // A rollback goes back to the same version: "the last healthy one" changes once it has reached
    // the branch.
    let (mut head, mut was) = (origin.head().cloned(), origin.inner());
    // Of several targets each has a version of its own.
    if let Some(commit) = facts.commit.filter(|commit| commit.plan.targets.rest().is_empty()) {
        let plan = commit.target();
        name_version(&mut words, &plan.tag);
        // So does a promote, from and to where the message says.
        if let Some(from) = &plan.promoted_from {
            words.environment = Some(plan.target.environment.to_string());
            words.what = What::Promote { from: Some(from.to_string()) };
            head.clone_from(&plan.source.head);
            if was.digest().is_none() {
                *was = Origin::Shown { of: of.clone(), head: head.clone(), digest: plan.digest.clone() };
            }
        }
    }
    Some((words, Origin::Retry { of: of.clone(), head, was }))
}

/// The same request, once what refused it has passed. Nobody lends an override to that moment.
fn wait(of: &DeploymentId, facts: Facts) -> Option<(DeployWords, Origin)> {
    let RequestFact { words, origin, .. } = facts.request?;
    let End::Refused { refusal, .. } = facts.end?.end else { return None };
    let refusal = refusal.read().filter(Refusal::is_waited_for)?;
    let head = refusal.head().or(origin.head()).cloned();
    let was = origin.inner();
    Some((DeployWords { override_reason: None, ..words }, Origin::Wait { of: of.clone(), head, was }))
}

/// The same request again, by a person who has read the refusal.
fn despite(of: &DeploymentId, facts: Facts, by: &SlackUser) -> Option<(DeployWords, Origin)> {
    let RequestFact { words, origin, user, .. } = facts.request?;
    let mut words = words.again(&user, by);
    let End::Refused { refusal, .. } = facts.end?.end else { return None };
    let (of, was) = (of.clone(), origin.inner());
    match refusal.read()? {
        Refusal::WasRolledBack { head, .. } => {
            Some((words, Origin::Anyway { of, head, warned: Warned::RolledBack, was }))
        }
        Refusal::Locked { since, back_to: Some(back_to), .. } => {
            // The refusal named this version.
            let (tag, head) = *back_to;
            name_version(&mut words, &tag);
            Some((words, Origin::Anyway { of, head, warned: Warned::Locked(since), was }))
        }
        Refusal::NewerThere { head, digest, .. } => {
            Some((words, Origin::Anyway { of, head, warned: Warned::Promoted(digest), was }))
        }
        Refusal::ImageMoved { head, images, todo: MovedTag::AskedAgain, .. } => {
            Some((words, Origin::Anyway { of, head: head?, warned: Warned::Image(images.is), was }))
        }
        Refusal::AlreadyWritten { tag, commit, head, .. } => {
            // The refusal named this version.
            name_version(&mut words, &tag);
            Some((words, Origin::TakeOver { of, wrote: commit, head, was }))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::command::Scope;
    use domain::deployment::samples::{
        at, cancelled, commit, commit_to, id, live, relayed, request, sha, target_plan, user,
    };
    use domain::deployment::{
        Approval, ApprovalsFact, Failure, MessageFact, OutcomeFact, TargetPlan, Voice, WatchFact,
    };
    use domain::fault::{Cause, Fault, System};
    use domain::image::Digest;
    use domain::message::Offer;
    use domain::names::EnvironmentName;

    fn asked_for(button: &Button, facts: Facts) -> Option<(DeployWords, Origin)> {
        super::asked_for(button, facts, &request().user)
    }

    fn told() -> Voice {
        Voice { told_end: true, ..Voice::default() }
    }

    /// Ended before its commit, ten seconds after the start, and posted.
    fn ended(end: End) -> Facts {
        let end = Some(EndFact { at: at(10), end, contact: None, catalog: None });
        Facts { request: Some(request()), end, message: Some(MessageFact(told())), ..Facts::default() }
    }

    fn refused(refusal: &Refusal) -> Facts {
        ended(End::Refused { refusal: refusal.into(), plans: Vec::new() })
    }

    /// The last word came ten seconds after the start, and was posted.
    fn over(word: LastWord, facts: Facts) -> Facts {
        let watch = WatchFact { voice: told(), ..WatchFact::default() };
        Facts { outcome: Some(OutcomeFact { at: at(10), word, application: None }), watch: Some(watch), ..facts }
    }

    /// Two approvals are needed within a minute of the start.
    fn needs_approval(given: &[&str], rejected: Option<&str>) -> Facts {
        let approval = |by: &&str| Approval { user: user(by), at: at(9), targets: Vec::new() };
        let refusal = Refusal::NeedsApproval {
            target: Box::new(target_plan().target),
            head: Some(sha('a')),
            tag: target_plan().tag,
            count: 2,
            users: Box::default(),
            groups: Box::default(),
            reviewed: Box::default(),
            until: at(60),
            about: Box::default(),
        };
        let (given, rejected) = (given.iter().map(approval).collect(), rejected.as_ref().map(approval));
        Facts { approvals: Some(ApprovalsFact { given, rejected }), ..refused(&refusal) }
    }

    #[test]
    fn a_button_counts_again_once_its_deployment_came_to_nothing() {
        let check = |what: &str, facts: &Facts, pressed: u64, expected: bool| {
            assert_eq!(came_to_nothing(facts, at(pressed)), expected, "{what}, pressed after {pressed} s");
        };
        let accepted = Facts { request: Some(request()), ..Facts::default() };
        let fault = Fault::new(System::GitHub, "commit", Cause::TimedOut);
        let nothing_done = LastWord::Failed { failure: Failure::NothingDone };
        let failed = || ended(End::Failed { fault: fault.clone() });

        check("nothing is known", &Facts::default(), 20, false);
        check("under way", &accepted, 20, false);
        check("refused", &refused(&Refusal::CatalogChanged), 20, true);
        check("failed", &failed(), 20, true);
        check("cancelled", &ended(cancelled().end), 20, true);
        check("the end is not told yet", &Facts { message: None, ..failed() }, 20, false);
        check("ended by time", &over(nothing_done.clone(), accepted.clone()), 20, true);
        check("a commit may land", &over(LastWord::Unknown, accepted), 20, false);
        check("committed", &relayed(), 20, false);
        check("live", &over(live(), relayed()), 20, false);
        check("committed and failed", &over(nothing_done, relayed()), 20, false);

        check("the click came twice", &failed(), 9, false);
        check("within the second of the end", &failed(), 10, true);

        check("waits for approvals", &needs_approval(&[], None), 59, false);
        check("waits for another approval", &needs_approval(&["U7"], None), 59, false);
        check("too late for approvals", &needs_approval(&["U7"], None), 60, true);
        check("approved", &needs_approval(&["U7", "U8"], None), 60, false);
        check("rejected", &needs_approval(&["U7"], Some("U8")), 20, true);
    }

    fn words(what: What) -> DeployWords {
        DeployWords { what, ..request().words }
    }

    fn back(version: Version) -> DeployWords {
        words(What::Rollback(version))
    }

    /// The version of [`target_plan`].
    fn tag() -> Version {
        Version::Tag("faster-cart-aaaaaaa".to_owned())
    }

    fn asked(words: DeployWords, origin: Origin) -> Facts {
        Facts { request: Some(RequestFact { words, origin, ..request() }), ..Facts::default() }
    }

    #[test]
    fn retry_asks_for_the_same_version_again() {
        let check = |facts: Facts, expected: DeployWords| {
            let origin = Origin::Retry { of: id('1'), head: None, was: Box::default() };
            assert_eq!(asked_for(&Button::Retry(id('1')), facts), Some((expected, origin)));
        };
        let typed = request().words;
        check(asked(typed.clone(), Origin::Typed), typed);
        check(asked(back(Version::LastHealthy), Origin::Typed), back(Version::LastHealthy));
        let begun = Facts { commit: Some(commit()), ..asked(back(Version::LastHealthy), Origin::Typed) };
        check(begun, back(tag()));
        assert_eq!(asked_for(&Button::Retry(id('1')), Facts::default()), None);
    }

    #[test]
    fn retry_keeps_the_commit_that_was_shown_and_what_the_asker_knew() {
        let anyway = Origin::Anyway { of: id('2'), head: sha('a'), warned: Warned::RolledBack, was: Box::default() };
        let (_, origin) = asked_for(&Button::Retry(id('1')), asked(request().words, anyway.clone())).unwrap();
        assert_eq!(origin, Origin::Retry { of: id('1'), head: Some(sha('a')), was: Box::new(anyway) });
    }

    #[test]
    fn retry_of_a_promote_keeps_the_image_that_was_found() {
        let words = DeployWords { what: What::Promote { from: None }, ..request().words };
        let digest = Digest::parse(&format!("sha256:{}", "1".repeat(64))).unwrap();
        let from = EnvironmentName::parse("staging").ok();
        let plan = TargetPlan { promoted_from: from, digest: Some(digest.clone()), ..target_plan() };
        let facts = Facts { commit: Some(commit_to(plan)), ..asked(words.clone(), Origin::Typed) };
        let (again, origin) = asked_for(&Button::Retry(id('1')), facts).unwrap();
        let named = DeployWords {
            environment: Some(target_plan().target.environment.to_string()),
            what: What::Promote { from: Some("staging".to_owned()) },
            ..words
        };
        assert_eq!((again, origin.head(), origin.digest()), (named, Some(&sha('a')), Some(&digest)));
    }

    #[test]
    fn roll_back_takes_away_the_version_above_the_button() {
        let (words, origin) = asked_for(&Button::RollBack(id('1')), relayed()).unwrap();
        assert_eq!(words, DeployWords::roll_back(&target_plan().target));
        assert_eq!(origin, Origin::RollBack { of: id('1'), takes_away: target_plan().tag });
        assert_eq!(asked_for(&Button::RollBack(id('1')), Facts { commit: None, ..relayed() }), None);
    }

    #[test]
    fn anyway_and_take_over_answer_the_refusal_above_the_button() {
        let rolled_back = Refusal::WasRolledBack {
            target: Box::new(target_plan().target),
            tag: target_plan().tag,
            head: sha('a'),
            by: Some(user("U7")),
            at: at(1),
        };
        let written = |head| Refusal::AlreadyWritten { tag: target_plan().tag, by: None, commit: sha('e'), head };
        let anyway = Origin::Anyway { of: id('1'), head: sha('a'), warned: Warned::RolledBack, was: Box::default() };
        let take_over = |head| Origin::TakeOver { of: id('1'), wrote: sha('e'), head, was: Box::default() };
        let typed = request().words;
        let check = |words: DeployWords, refusal: &Refusal, expected: Option<(DeployWords, Origin)>| {
            let facts = Facts { request: asked(words, Origin::Typed).request, ..refused(refusal) };
            // Which of the two buttons it is follows from the refusal, never from the button.
            assert_eq!(asked_for(&Button::DeployAnyway(id('1')), facts.clone()), expected, "{refusal:?}");
            assert_eq!(asked_for(&Button::TakeOver(id('1')), facts), expected, "{refusal:?}");
        };
        let head = || Some(sha('a'));
        check(typed.clone(), &rolled_back, Some((typed.clone(), anyway)));
        check(typed.clone(), &written(head()), Some((typed.clone(), take_over(head()))));
        check(back(Version::LastHealthy), &written(None), Some((back(tag()), take_over(None))));
        check(typed, &Refusal::CatalogChanged, None);
        let other_end = ended(cancelled().end);
        for facts in [Facts::default(), Facts { end: None, ..other_end.clone() }, other_end] {
            assert_eq!(asked_for(&Button::DeployAnyway(id('1')), facts.clone()), None, "{facts:?}");
        }
    }

    #[test]
    fn deploy_asks_for_what_was_shown() {
        let (shown, head) = (request().words, Some(sha('a')));
        let offer = Offer {
            of: id('1'),
            by: request().user,
            words: shown.clone(),
            head: head.clone(),
            digest: None,
            command: Default::default(),
        };
        let expected = (shown, Origin::Shown { of: id('1'), head, digest: None });
        assert_eq!(asked_for(&Button::Deploy(Box::new(offer)), Facts::default()), Some(expected));

        let target = TargetWords { app: "checkout".to_owned(), environment: None };
        let pushed = PushedOffer { target, wrote: vec![sha('a'), sha('b')] };
        let expected = (words(What::Written), Origin::Pushed { wrote: vec![sha('a'), sha('b')] });
        assert_eq!(asked_for(&Button::DeployPushed(Box::new(pushed)), Facts::default()), Some(expected));
    }

    #[test]
    fn an_override_is_asked_for_again_only_by_who_typed_it() {
        let typed = DeployWords { override_reason: Some("incident 12".to_owned()), ..request().words };
        let rolled_back = Refusal::WasRolledBack {
            target: Box::new(target_plan().target),
            tag: target_plan().tag,
            head: sha('a'),
            by: Some(user("U7")),
            at: at(1),
        };
        let facts = Facts { request: asked(typed.clone(), Origin::Typed).request, ..refused(&rolled_back) };
        let offer = Offer {
            of: id('1'),
            by: request().user,
            words: typed.clone(),
            head: None,
            digest: None,
            command: Default::default(),
        };
        for button in [
            Button::Retry(id('1')),
            Button::DeployAnyway(id('1')),
            Button::TakeOver(id('1')),
            Button::Deploy(Box::new(offer)),
        ] {
            let words = |by: &SlackUser| super::asked_for(&button, facts.clone(), by).unwrap().0;
            assert_eq!(words(&request().user), typed, "{button:?}");
            assert_eq!(words(&user("U7")), request().words, "{button:?}");
        }
    }

    #[test]
    fn the_other_buttons_ask_for_no_deployment() {
        let unlock = Button::Unlock { scope: Scope::Everything, set: None };
        for button in [Button::Cancel(id('1')), Button::Approve(id('1')), Button::Reject(id('1')), unlock] {
            assert_eq!(asked_for(&button, relayed()), None, "{button:?}");
        }
    }
}
