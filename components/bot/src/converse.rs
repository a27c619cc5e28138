//! After the answer: questions, and small changes that deploy nothing: locks, approvals, the wish to cancel. Each is told through the
//! `response_url` of its own click; nothing of it is promised before, so whoever hears nothing asks again.

use super::accept::{Asker, SAVE_LIMIT, Wanted, Wish, save};
use crate::context::Context;
use crate::deploy::prepare::Look;
use crate::deploy::{Site, Stop, WRITE, authorise, carry_lease, carry_out, catalog, gates, prepare, versions};
use crate::log::Line;
use crate::settings::SlackCommandSettings;
use crate::world::World;
use clients::github::SourceState;
use clients::slack;
use clients::slack::{Audience, Original, SlackError};
use domain::catalog::{Environment, People};
use domain::command::{Command, DeployWords, Scope, Version, What};
use domain::deployment::{Approval, ApprovalsFact, CancelFact, End, Facts, Origin, RequestFact};
use domain::fault::{Cause, Changed, Fault, System};
use domain::image::Tag;
use domain::lock::{LockChange, TargetLock};
use domain::message;
use domain::message::Message;
use domain::message::{Button, Offer, Preview, TargetStatus};
use domain::names::{ArgoApplication, CommitSha, DeploymentId, FilePath, SlackChannel, Target};
use domain::refusal::Refusal;
use domain::time::Timestamp;
use futures::future::{Either, join, join_all, select};
use std::pin::pin;
use std::time::Duration;
use store::{Current, Lease, Live, Lock, LockOfAll, Locks, LocksOfAll, Speech, Urgency};

/// How long an answer may take before it is said that there is none.
const LIMIT: Duration = Duration::from_secs(25);
/// How much earlier than the work the answer to Slack sets out.
const HEAD_START: Duration = Duration::from_millis(15);
/// How long a lock is being changed at most.
const LIFE: Duration = Duration::from_secs(15);
const AGAIN: Duration = Duration::from_millis(100);
/// How often an answer is sent until Slack takes it.
const TRIES: u32 = 3;
/// How often it is tried to save what others have agreed to.
const SAVE_TRIES: u32 = 60;
/// How many seconds an announcement elsewhere waits for its turn.
const POST_TRIES: u32 = 60;
/// How many targets `status` shows.
const MOST: usize = 20;

/// What to say, and to whom.
enum Said {
    /// To the asker alone.
    Asker(Message),
    /// To everybody in the channel, and in another one.
    Channel(Message, Option<SlackChannel>),
    /// People see it elsewhere.
    Nothing,
}

impl Said {
    fn words(text: &str) -> Self {
        Self::Asker(message::plain(text))
    }
}

/// Does what was wished, and answers.
pub(crate) async fn converse<W: World>(world: &W, settings: &SlackCommandSettings, wish: Wish) {
    // The answer to Slack is still on its way out of this instance: it goes first.
    world.sleep(HEAD_START).await;
    let Wish { what, who, id, at } = wish;
    let cx = Context { world, settings, id: &id };
    let talk = Talk { cx, who: &who, at };
    let mut carry = None;
    // A write of ours that failed, or took too long, may have taken effect.
    let changed = match &what {
        Wanted::Command(Command::Lock { .. } | Command::Unlock(_) | Command::Cancel(_)) | Wanted::Button(_) => {
            Changed::Unknown
        }
        _ => Changed::Nothing,
    };
    let work = async {
        match what {
            Wanted::Words(text) => Ok(Said::words(&text)),
            Wanted::Command(command) => talk.command(command, &mut carry).await,
            Wanted::Button(button) => talk.button(button, &mut carry).await,
            Wanted::PressedBefore => match store::load(world, &id).await {
                Ok(facts) => Ok(Said::words(&message::pressed_before(&facts, &who.user))),
                Err(error) => Err(error.into()),
            },
        }
    };
    let said = match select(pin!(work), pin!(world.sleep(LIMIT))).await {
        Either::Left((Ok(said), _)) => said,
        Either::Left((Err(Stop::End(End::Refused { refusal })), _)) => {
            world.log(Line::new("declined").of(&id).with("user", who.user.as_str()).with_json("refusal", &refusal));
            refusal.read().map_or(Said::Nothing, |refusal| Said::words(&message::declined(&refusal)))
        }
        Either::Left((Err(Stop::End(End::Failed { fault })), _)) => {
            world.log(Line::error("not_answered").of(&id).with_json("fault", &fault));
            Said::words(&message::fault(&fault))
        }
        Either::Left((Err(Stop::End(End::Cancelled { .. }) | Stop::Moved), _)) => {
            Said::words(&message::declined(&Refusal::CatalogChanged))
        }
        Either::Left((Err(Stop::Leave(why)), _)) => {
            world.log(Line::error("not_answered").of(&id).with("cause", why));
            let fault = Fault::new(System::Store, "do that", Cause::TimedOut).changed(changed);
            Said::words(&message::fault(&fault))
        }
        Either::Right(_) => {
            world.log(Line::error("not_answered").of(&id).with("cause", "it took too long"));
            let fault = Fault::new(System::Store, "answer that", Cause::TimedOut).changed(changed);
            Said::words(&message::fault(&fault))
        }
    };
    tell(world, settings, &who, &id, said).await;
    let Some(Next { id, unsaved }) = carry else { return };
    let is_saved = match unsaved {
        Some(request) => save_late(world, &id, request).await,
        None => true,
    };
    if is_saved {
        carry_out(world, settings, &id).await;
    }
}

/// Saves what could not be saved in time, for as long as somebody may wait for it. What was given up may be written all the same.
async fn save_late(world: &impl World, id: &DeploymentId, request: RequestFact) -> bool {
    for _ in 0..SAVE_TRIES {
        let saved = async {
            store::add_in_flight(world, id, request.at).await?;
            if store::load_fact::<RequestFact>(world, id).await?.is_none() {
                store::save_fact(world, id, &request).await?;
            }
            // Again: whoever resumes may have found nothing of it yet, and have taken it out.
            store::add_in_flight(world, id, request.at).await
        };
        match saved.await {
            Ok(()) => return true,
            Err(error) => world.log(Line::error("not_accepted").of(id).with("cause", error.why())),
        }
        world.sleep(Duration::from_secs(1)).await;
    }
    false
}

async fn tell(world: &impl World, settings: &SlackCommandSettings, who: &Asker, id: &DeploymentId, said: Said) {
    let (words, audience, elsewhere) = match said {
        Said::Asker(words) => (words, Audience::Asker, None),
        Said::Channel(words, elsewhere) => (words, Audience::Channel, elsewhere),
        Said::Nothing => return,
    };
    join(answer(world, who, id, &words, audience), announce(world, settings, id, elsewhere.as_ref(), &words)).await;
}

/// Says it where it was not typed. Nobody waits for it there, so it may have to wait, and an answer that is lost is not sent twice.
async fn announce(
    world: &impl World,
    settings: &SlackCommandSettings,
    id: &DeploymentId,
    channel: Option<&SlackChannel>,
    words: &Message,
) {
    let Some(channel) = channel else { return };
    let speech = Speech::Post(channel);
    for _ in 0..POST_TRIES {
        if store::may_speak(world, settings.limits.minute, speech, Urgency::First).await.is_ok() {
            match slack::post(world, &settings.slack, channel, words, None).await {
                Err(SlackError::RateLimited(wait)) => store::quiet_slack(world, speech, wait).await,
                Ok(_) => return,
                Err(SlackError::Unreachable(fault) | SlackError::Refused(fault)) => {
                    return world.log(Line::error("slack").of(id).with_json("fault", &fault));
                }
                Err(SlackError::Gone(why)) => {
                    return world.log(Line::error("not_announced").of(id).with("slack", why.as_str()));
                }
            }
        }
        world.sleep(Duration::from_secs(1)).await;
    }
    world.log(Line::error("not_announced").of(id).with("channel", channel.as_str()));
}

async fn answer(world: &impl World, who: &Asker, id: &DeploymentId, words: &Message, audience: Audience) {
    for _ in 0..TRIES {
        match slack::respond(world, &who.response_url, words, audience, Original::Keep).await {
            Ok(()) => return,
            Err(SlackError::Unreachable(fault)) => {
                world.log(Line::error("slack").of(id).with_json("fault", &fault));
                world.sleep(Duration::from_secs(1)).await;
            }
            Err(SlackError::RateLimited(wait)) => world.sleep(wait.min(Duration::from_secs(30))).await,
            Err(SlackError::Refused(fault)) => {
                return world.log(Line::error("slack").of(id).with_json("fault", &fault));
            }
            Err(SlackError::Gone(why)) => {
                return world.log(Line::error("nobody_told").of(id).with("slack", why.as_str()));
            }
        }
    }
    world.log(Line::error("nobody_told").of(id));
}

/// One exchange.
struct Talk<'a, W> {
    cx: Context<'a, W>,
    who: &'a Asker,
    at: Timestamp,
}

impl<W: World> Talk<'_, W> {
    async fn command(&self, command: Command, carry: &mut Option<Next>) -> Result<Said, Stop> {
        match command {
            Command::Status(None) => self.status_of_all().await,
            Command::Status(Some(words)) => {
                let (target, environment) = catalog::find_target(&self.cx, &words).await?;
                let lock = store::load_key(self.cx.world, LockOfAll).await?.filter(|lock| lock.holds(self.now()));
                let status = self.status(target, &environment).await?;
                Ok(Said::Asker(message::status_of(&[status], lock.as_ref(), 0)))
            }
            Command::History(words) => {
                let (target, environment) = catalog::find_target(&self.cx, &words).await?;
                let (world, argocd) = (self.cx.world, &environment.argocd);
                let past = versions::remembered(&self.cx, argocd).await?;
                let own = store::load_key(world, Locks(argocd)).await?.unwrap_or_default();
                let all = store::load_key(world, LocksOfAll).await?.unwrap_or_default();
                Ok(Said::Asker(message::history(&target, &past, &own.changes, &all.changes)))
            }
            Command::Apps => Ok(Said::Asker(message::apps(&catalog::read_catalog(&self.cx).await?.1))),
            Command::Preview(words) => self.preview(words).await,
            Command::Lock { scope, reason, period } => self.lock(scope, reason, period).await,
            Command::Unlock(scope) => self.unlock(scope, |_| true).await,
            Command::Cancel(words) => {
                let (target, environment) = catalog::find_target(&self.cx, &words).await?;
                let current = store::load_key(self.cx.world, Current(&environment.argocd)).await?;
                match current {
                    Some(current) => self.cancel(&current.id, carry).await,
                    None => Ok(Said::words(&message::nothing_to_cancel(&target.to_string()))),
                }
            }
            // Answered at once, or saved and carried out.
            Command::Help(_) | Command::Deploy(_) | Command::Rollback(_) => Ok(Said::Nothing),
        }
    }

    async fn button(&self, button: Button, carry: &mut Option<Next>) -> Result<Said, Stop> {
        match button {
            Button::Cancel(id) => self.cancel(&id, carry).await,
            Button::Approve(id) => self.approve(&id, true, carry).await,
            Button::Reject(id) => self.approve(&id, false, carry).await,
            Button::Unlock { scope, set } => {
                self.unlock(scope, |lock| set.map_or(lock.rollback, |set| lock.at == set)).await
            }
            // Saved and carried out.
            Button::Retry(_)
            | Button::RollBack(_)
            | Button::DeployAnyway(_)
            | Button::TakeOver(_)
            | Button::Deploy(_)
            | Button::DeployPushed(_) => Ok(Said::Nothing),
        }
    }

    fn now(&self) -> Timestamp {
        self.cx.world.now()
    }

    // ---- questions ----

    async fn status_of_all(&self) -> Result<Said, Stop> {
        let (_, catalog) = catalog::read_catalog(&self.cx).await?;
        let mut targets = Vec::new();
        for app in catalog.apps.values() {
            for (name, environment) in &app.environments {
                targets.push((Target { app: app.name.clone(), environment: name.clone() }, environment));
            }
        }
        let more = targets.len().saturating_sub(MOST);
        let all =
            join_all(targets.into_iter().take(MOST).map(|(target, environment)| self.status(target, environment)));
        let all = all.await.into_iter().collect::<Result<Vec<_>, _>>()?;
        let lock = store::load_key(self.cx.world, LockOfAll).await?.filter(|lock| lock.holds(self.now()));
        Ok(Said::Asker(message::status_of(&all, lock.as_ref(), more)))
    }

    async fn status(&self, target: Target, environment: &Environment) -> Result<TargetStatus, Stop> {
        let (world, argocd, now) = (self.cx.world, &environment.argocd, self.now());
        let live = match store::load_key(world, Live(argocd)).await? {
            Some(live) => Some(store::load(world, &live.id).await?),
            None => None,
        };
        let under_way = match store::load_key(world, Current(argocd)).await? {
            Some(current) => {
                let facts = store::load(world, &current.id).await?;
                Some(facts).filter(|facts| facts.keeps_busy(now, &self.cx.settings.limits))
            }
            None => None,
        };
        let lock = store::load_key(world, Lock(argocd)).await?.filter(|lock| lock.holds(now));
        Ok(TargetStatus { target, live, under_way, lock, frozen: environment.gates.frozen_until(now) })
    }

    /// Reads and decides like a deploy, and writes nothing.
    async fn preview(&self, words: DeployWords) -> Result<Said, Stop> {
        let cx = &self.cx;
        let request = self.who.request(self.at, words, Origin::Typed);
        let (blob, catalog) = catalog::read_catalog(cx).await?;
        let (target, app, environment) = authorise::authorise(cx, &request, &catalog).await?;
        let site = Site { target: &target, app, environment, catalog: &blob };
        let Look { snapshot, login } = prepare::read(cx, &request, &site).await?;
        catalog::same_catalog(cx, &site, &snapshot).await?;
        let prepared = prepare::prepare(cx, (&request, None), &site, &snapshot, login).await?;
        let plan = prepared.plan.targets.first();
        let problem = match gates::gates(cx, &request, &site, &snapshot, plan).await {
            Ok(_) => None,
            Err(Stop::End(End::Refused { refusal })) => refusal.read(),
            Err(other) => return Err(other),
        };
        let changes = versions::changes(cx, plan).await;
        let checks = match &snapshot.source {
            _ if plan.rollback => snapshot.checked.clone(),
            SourceState::PullRequest { checks, .. } | SourceState::Branch { checks, .. } => checks.clone(),
            _ => None,
        };
        // A rollback's version stands still: the n-th of today may be another tomorrow.
        let mut words = request.words.clone();
        let head = if let What::Rollback(version) = &mut words.what {
            *version = Version::Tag(plan.tag.to_string());
            None
        } else {
            Some(plan.source.head.clone())
        };
        let files: Vec<(&FilePath, &str, &str)> =
            prepared.edits.iter().map(|file| (&file.path, file.before.as_str(), file.edit.text.as_str())).collect();
        Ok(Said::Asker(message::preview(&Preview {
            plan,
            files: &files,
            changes: changes.as_ref(),
            checks: checks.as_deref(),
            problem: problem.as_ref(),
            offer: Offer { of: cx.id.clone(), words, head },
        })))
    }

    // ---- locks ----

    /// What is to be locked or unlocked, and who owns it.
    async fn scope(&self, scope: &Scope) -> Result<Locked, Stop> {
        match scope {
            Scope::Everything => {
                let owners = catalog::read_catalog(&self.cx).await?.1.owners;
                Ok(Locked { name: "everything".to_owned(), target: None, owners })
            }
            Scope::Target(words) => {
                let (target, environment) = catalog::find_target(&self.cx, words).await?;
                let name = target.to_string();
                let owners = environment.owners.clone();
                Ok(Locked { name, target: Some((target, environment)), owners })
            }
        }
    }

    async fn must_own(&self, owners: &People, doing: String) -> Result<(), Stop> {
        if authorise::is_among(&self.cx, &self.who.user, owners).await? {
            return Ok(());
        }
        Err(Refusal::NotOwner { doing, owned: !owners.is_empty() }.into())
    }

    async fn lock(&self, scope: Scope, reason: String, period: Option<Duration>) -> Result<Said, Stop> {
        let place = self.scope(&scope).await?;
        match &place.target {
            None => self.must_own(&place.owners, "lock everything".to_owned()).await?,
            // Whoever may deploy may also see to it that nobody does.
            Some((target, environment)) => {
                let owner = authorise::is_among(&self.cx, &self.who.user, &place.owners).await?;
                if !owner {
                    authorise::may_deploy(&self.cx, &self.who.user, &self.who.channel, target, environment).await?;
                }
            }
        }
        let world = self.cx.world;
        let lease = self.lease(&store::lock_lease(place.argocd())).await?;
        let now = self.now();
        if let Some(other) = place.load(world).await?.filter(|lock| lock.holds(now) && lock.by != self.who.user) {
            lease.release().await;
            return Ok(Said::words(&message::locked_already(&place.name, &other)));
        }
        let until = period.map(|period| now.after(period));
        let lock = TargetLock { by: self.who.user.clone(), reason, at: now, until, rollback: false };
        store::change_lock(world, &lease, place.argocd(), lock.change(), Some(&lock)).await?;
        lease.release().await;
        let line = Line::new("locked").of(self.cx.id).with("user", self.who.user.as_str());
        world.log(line.with("target", place.name.as_str()).with("reason", lock.reason.as_str()));
        Ok(Said::Channel(message::locked(&scope, &place.name, &lock), None))
    }

    /// `meant`: whether a lock is the one that was meant, and not a newer one.
    async fn unlock(&self, scope: Scope, meant: impl Fn(&TargetLock) -> bool) -> Result<Said, Stop> {
        let place = self.scope(&scope).await?;
        let world = self.cx.world;
        let not_locked = || Ok(Said::words(&message::not_locked(&place.name)));
        let Some(seen) = place.load(world).await?.filter(|lock| lock.holds(self.now())) else { return not_locked() };
        if !meant(&seen) {
            return Ok(Said::words(&message::locked_already(&place.name, &seen)));
        }
        if seen.by != self.who.user {
            self.must_own(&place.owners, format!("take away the lock of <@{}>", seen.by)).await?;
        }
        let lease = self.lease(&store::lock_lease(place.argocd())).await?;
        // Another one by now: whoever set it meant that one, and it was not looked at.
        let Some(lock) = place.load(world).await?.filter(|lock| *lock == seen) else {
            lease.release().await;
            return not_locked();
        };
        let (by, reason) = (self.who.user.clone(), lock.reason.clone());
        let change =
            LockChange { at: self.now(), by, reason, what: domain::lock::Locked::TakenAway { of: lock.by.clone() } };
        store::change_lock(world, &lease, place.argocd(), change, None).await?;
        lease.release().await;
        let line = Line::new("unlocked").of(self.cx.id).with("user", self.who.user.as_str());
        world.log(line.with("target", place.name.as_str()).with("lock_by", lock.by.as_str()));
        let elsewhere = self.deployed_from(place.argocd()).await.filter(|channel| *channel != self.who.channel);
        Ok(Said::Channel(message::unlocked(&place.name, &self.who.user, &lock), elsewhere))
    }

    /// The channel of a target: where what runs was deployed from, or else what was tried last.
    async fn deployed_from(&self, argocd: Option<&ArgoApplication>) -> Option<SlackChannel> {
        let world = self.cx.world;
        let id = match store::load_key(world, Live(argocd?)).await.ok()? {
            Some(live) => live.id,
            None => store::load_key(world, Current(argocd?)).await.ok()??.id,
        };
        let facts = store::load(world, &id).await.ok()?;
        facts.place().map(|place| place.channel.clone()).or(facts.request.map(|request| request.channel))
    }

    async fn lease(&self, name: &str) -> Result<Lease<'_, W>, Stop> {
        loop {
            if let Some(lease) = Lease::take(self.cx.world, name, LIFE).await? {
                return Ok(lease);
            }
            self.cx.world.sleep(AGAIN).await;
        }
    }

    // ---- the wish to cancel ----

    async fn cancel(&self, id: &DeploymentId, carry: &mut Option<Next>) -> Result<Said, Stop> {
        let world = self.cx.world;
        let facts = store::load(world, id).await?;
        let Some(request) = &facts.request else { return Ok(Said::words(&message::forgotten())) };
        if facts.state().is_final() || facts.committed.is_some() {
            return Ok(Said::words(&message::too_late_to_cancel(&facts)));
        }
        if request.user != self.who.user {
            let (target, environment) = catalog::find_target(&self.cx, &request.words.target()).await?;
            authorise::may_deploy(&self.cx, &self.who.user, &self.who.channel, &target, &environment).await?;
        }
        if facts.cancel.is_none() {
            let cancel = CancelFact { by: Some(self.who.user.clone()), at: self.now() };
            store::save_fact(world, id, &cancel).await?;
            world.log(Line::new("cancel_wished").of(id).with("user", self.who.user.as_str()));
        }
        if !store::is_held(world, &carry_lease(id)).await? {
            // Nobody is at it: so we are.
            *carry = Some(Next { id: id.clone(), unsaved: None });
        }
        Ok(Said::words(&message::cancelling()))
    }

    // ---- approvals ----

    async fn approve(&self, id: &DeploymentId, yes: bool, carry: &mut Option<Next>) -> Result<Said, Stop> {
        let world = self.cx.world;
        let facts = store::load(world, id).await?;
        let Some((request, wanted)) = facts.request.clone().zip(wanted(&facts)) else {
            return Ok(Said::words(&message::forgotten()));
        };
        let Refusal::NeedsApproval { target: agreed, head, tag, count, until, .. } = wanted else {
            return Ok(Said::Nothing);
        };
        if self.now() >= until {
            return Ok(Said::words(&message::approval_over()));
        }
        let (target, environment) = catalog::find_target(&self.cx, &request.words.target()).await?;
        let may = match &environment.gates.approvals {
            // Whoever asked may take it back, but not approve it.
            _ if request.user == self.who.user => !yes,
            Some(approvals) => authorise::is_among(&self.cx, &self.who.user, &approvals.by).await?,
            None => false,
        };
        if !may {
            world.log(Line::new("may_not_approve").of(id).with("user", self.who.user.as_str()));
            return Ok(Said::words(&message::may_not_approve(&target.to_string(), request.user == self.who.user)));
        }
        let lease = self.lease(&format!("approvals/{id}")).await?;
        let mut fact: ApprovalsFact = store::load_fact(world, id).await?.unwrap_or_default();
        let before = fact.clone();
        let mine = Approval { user: self.who.user.clone(), at: self.now() };
        let enough = |fact: &ApprovalsFact| fact.given.len() >= usize::from(count);
        if fact.rejected.is_none() && !enough(&fact) {
            if !yes {
                fact.rejected = Some(mine);
            } else if fact.given.iter().all(|given| given.user != mine.user) {
                fact.given.push(mine);
            }
        }
        if fact != before {
            lease.ensure(WRITE).await?;
            store::save_fact(world, id, &fact).await?;
            let name = if yes { "approved" } else { "rejected" };
            world.log(Line::new(name).of(id).with("user", self.who.user.as_str()));
        }
        let facts = Facts { approvals: Some(fact.clone()), ..facts };
        if fact.rejected.is_none() && enough(&fact) {
            if !yes {
                // Too late to say no: it went on as another deployment, which has a message and buttons of its own.
                lease.release().await;
                return Ok(Said::words(&message::approved_already()));
            }
            // It goes on as a deployment of its own, in the same message: of the button's, which is the same for all who press it.
            let next = self.cx.id;
            let is_new = fact != before;
            let follows = self.after_approval(id, &facts, &request, fact, (&agreed, head, tag));
            let saved = save(world, next, SAVE_LIMIT, async || {
                let before = store::load_fact(world, next).await?;
                Ok(Some(before.unwrap_or(follows.clone())))
            });
            let is_saved = saved.await.of.is_ok();
            lease.release().await;
            *carry = Some(Next { id: next.clone(), unsaved: (!is_saved).then_some(follows) });
            if !is_saved {
                return Ok(Said::words(&message::approved_only()));
            }
            return Ok(if is_new { Said::Nothing } else { Said::words(&message::approved_already()) });
        }
        let told = self.retell(id, &facts).await;
        lease.release().await;
        let missing = usize::from(count).saturating_sub(fact.given.len());
        Ok(match &fact.rejected {
            _ if fact != before && told => Said::Nothing,
            _ if fact != before => Said::words(&message::noted()),
            Some(rejected) => Said::words(&message::rejected_already(&rejected.user)),
            None => Said::words(&message::approved_by_you(missing)),
        })
    }

    /// The request that others have agreed to, as if it had just been made.
    fn after_approval(
        &self,
        id: &DeploymentId,
        facts: &Facts,
        request: &RequestFact,
        approvals: ApprovalsFact,
        (target, head, tag): (&Target, CommitSha, Tag),
    ) -> RequestFact {
        // What they have agreed to: the catalog's default environment may be another by now.
        let mut words = DeployWords { app: target.app.to_string(), ..request.words.clone() };
        if words.environment.is_none() && target.environment.as_str() != "default" {
            words.environment = Some(target.environment.to_string());
        }
        let is_rollback = matches!(words.what, What::Rollback(_));
        if let What::Rollback(version) = &mut words.what {
            // What they have seen: the last healthy version may be another by now.
            *version = Version::Tag(tag.to_string());
        }
        let origin = Origin::Approved {
            of: id.clone(),
            head: (!is_rollback).then_some(head),
            given: approvals.given,
            place: facts.place().cloned(),
            was: request.origin.inner(),
        };
        RequestFact { at: self.at, words, origin, ..request.clone() }
    }

    /// The message of a deployment that has ended, with what people said since.
    async fn retell(&self, id: &DeploymentId, facts: &Facts) -> bool {
        let Some(place) = facts.place() else { return false };
        let words = message::before_commit(id, facts, None);
        let world = self.cx.world;
        match slack::update(world, &self.cx.settings.slack, &place.channel, &place.ts, &words).await {
            Ok(()) => true,
            Err(SlackError::Unreachable(fault) | SlackError::Refused(fault)) => {
                world.log(Line::error("slack").of(id).with_json("fault", &fault));
                false
            }
            Err(SlackError::Gone(_) | SlackError::RateLimited(_)) => false,
        }
    }
}

/// What is carried out after the answer.
struct Next {
    id: DeploymentId,
    /// Its request, if that is not saved yet.
    unsaved: Option<RequestFact>,
}

/// What is locked.
struct Locked {
    name: String,
    target: Option<(Target, Environment)>,
    owners: People,
}

impl Locked {
    fn argocd(&self) -> Option<&ArgoApplication> {
        self.target.as_ref().map(|(_, environment)| &environment.argocd)
    }

    async fn load(&self, world: &impl World) -> Result<Option<TargetLock>, store::StoreError> {
        match self.argocd() {
            Some(argocd) => store::load_key(world, Lock(argocd)).await,
            None => store::load_key(world, LockOfAll).await,
        }
    }
}

/// What a deployment waits for people to agree to.
fn wanted(facts: &Facts) -> Option<Refusal> {
    match &facts.end.as_ref()?.end {
        End::Refused { refusal } => refusal.read().filter(|refusal| matches!(refusal, Refusal::NeedsApproval { .. })),
        _ => None,
    }
}
