//! Waiting until what refused a deployment has passed: its image is built, its checks are green, the freeze or the lock is over.
//!
//! A wait is what an approval is: the deployment has ended, holds nothing, and goes on as another one, with a clock of its own, its
//! rights asked again, and no override. It is for one commit: a newer one ends it. The probe looks, once for all that wait for the
//! same commit; `waits` names those that wait, and the fact `wait` decides.

use super::{catalog, gates, prepare};
use crate::context::{Context, Stop};
use crate::patience::Patience;
use crate::request::{Saved, save};
use crate::settings::SlackCommandSettings;
use crate::world::{Line, World, under_lease};
use clients::slack;
use domain::catalog::Catalog;
use domain::command::DeployWords;
use domain::deployment::{End, Facts, Origin, RequestFact, WaitFact, WaitOver};
use domain::limits;
use domain::message;
use domain::names::{BlobSha, CommitSha, DeploymentId, SlackUser};
use domain::refusal::Refusal;
use domain::values::blob_sha;
use store::{Lease, StoreError, WAITING, Waiting, Waits};

const LEASE: &str = "waits";

/// The deployment waits from now on, or is refused because its asker waits too often. `head`: the commit, where the refusal does
/// not say it.
pub(super) async fn begin<W: World>(
    cx: &Context<'_, W>,
    request: &RequestFact,
    refusal: &Refusal,
    head: Option<CommitSha>,
) -> Result<Result<WaitFact, Refusal>, StoreError> {
    let (world, id) = (cx.world, cx.id);
    let cached = catalog::cached_catalog(cx).await;
    // A target may be named in several ways.
    let same = |one: &DeployWords, other: &DeployWords| match &cached {
        Some((_, catalog)) if one.target() != other.target() => {
            let meant = |words: &DeployWords| {
                let words = catalog.meant_by(&catalog.one_meant(words)).ok()?;
                catalog.find(&words.app, words.environment.as_deref()).ok().map(|(target, ..)| target)
            };
            meant(one).is_some_and(|one| meant(other) == Some(one))
        }
        _ => one.target() == other.target(),
    };
    under_lease(world, LEASE, async |lease: &Lease<'_, W>| {
        let known = store::load_key(world, Waits).await?.unwrap_or_default();
        let (mut all, mut mine) = (Vec::new(), 0_usize);
        for other in known.ids.into_iter().filter(|other| other != id) {
            // What cannot be read is of another version of ours.
            let Ok(facts) = store::load(world, &other).await else { continue };
            if !may_wait(&facts) {
                continue;
            }
            let is_mine = facts
                .request
                .as_ref()
                .is_some_and(|other| other.user == request.user && same(&other.words, &request.words));
            mine = mine.saturating_add(usize::from(is_mine));
            all.push(other);
        }
        if mine >= WAITING {
            return Ok(Err(Refusal::TooManyWaits { target: request.words.target().to_string(), count: mine }));
        }
        let head = request.origin.head().or(refusal.head()).cloned().or(head);
        let wait = WaitFact { until: world.now().after(cx.settings.limits.wait), head, over: None };
        all.push(id.clone());
        lease.ensure(limits::WRITE).await?;
        store::save_fact(world, id, &wait).await?;
        lease.ensure(limits::WRITE).await?;
        store::save_key(world, Waits, &Waiting { ids: all }).await?;
        world.log(Line::new("waits").of(id).with_json("refusal", refusal));
        Ok(Ok(wait))
    })
    .await
}

/// Whether it waits, or is about to.
fn may_wait(facts: &Facts) -> bool {
    facts.wait.as_ref().is_some_and(|wait| wait.over.is_none())
}

/// What came of a look at one that waits.
enum Look {
    /// Nothing yet.
    Waits,
    /// Nothing is in the way: this request is carried out.
    Goes(Box<RequestFact>),
    Over(WaitOver),
}

/// Looks at all that wait. Returns the deployments that go on.
pub(super) async fn look<W: World>(world: &W, settings: &SlackCommandSettings) -> Vec<DeploymentId> {
    match try_look(world, settings).await {
        Ok(go_on) => go_on,
        Err(error) => {
            world.log(Line::error("waits_not_looked_at").with("cause", error.why()));
            Vec::new()
        }
    }
}

async fn try_look<W: World>(world: &W, settings: &SlackCommandSettings) -> Result<Vec<DeploymentId>, StoreError> {
    let known = store::load_key(world, Waits).await?.unwrap_or_default();
    if known.ids.is_empty() || !store::once_per(world, "waits/resume", settings.limits.waits).await? {
        return Ok(Vec::new());
    }
    let (mut go_on, mut same) = (Vec::new(), Vec::new());
    for id in known.ids {
        // What cannot be read is left to the version of ours that wrote it.
        let Ok(facts) = facts_of(world, &id).await else { continue };
        // In a box, because futures of futures are too deep for the compiler otherwise.
        match Box::pin(look_at(world, settings, (&id, &facts), &mut same)).await? {
            Look::Waits => {}
            Look::Over(over) => drop(end(world, settings, &id, over).await?),
            Look::Goes(request) => {
                let next = next_id(&id);
                // The asker's own click is too long ago.
                let saved = save(world, &next, limits::SAVE_LIMIT, None, async || {
                    Ok(Some(store::load_fact(world, &next).await?.unwrap_or(*request)))
                });
                if let Saved::Request(saved) = saved.await {
                    end(world, settings, &id, WaitOver::WentOn { at: saved.at }).await?;
                    go_on.push(next);
                }
            }
        }
    }
    Ok(go_on)
}

/// What goes on in the asker's name is what slack-command alone has sealed.
async fn facts_of<W: World>(world: &W, id: &DeploymentId) -> Result<Facts, StoreError> {
    Ok(Facts { request: store::load_fact(world, id).await?, ..store::load(world, id).await? })
}

/// The deployment as which it goes on: the same for every process that finds it cured.
fn next_id(of: &DeploymentId) -> DeploymentId {
    let text = blob_sha(format!("waited/{of}").as_bytes()).to_string();
    text.get(..32).and_then(|text| DeploymentId::parse(text).ok()).unwrap_or_else(|| of.clone())
}

/// `same`: what is known to be in the way still, in this look.
async fn look_at<W: World>(
    world: &W,
    settings: &SlackCommandSettings,
    (id, facts): (&DeploymentId, &Facts),
    same: &mut Vec<(DeployWords, Option<CommitSha>)>,
) -> Result<Look, StoreError> {
    let (Some(wait), Some(request)) = (&facts.wait, &facts.request) else { return Ok(Look::Over(WaitOver::Late)) };
    if wait.over.is_some() {
        return Ok(Look::Over(WaitOver::Late));
    }
    if world.now() >= wait.until {
        return Ok(Look::Over(WaitOver::Late));
    }
    // It is not told yet that it waits.
    if !facts.end_is_told() {
        return Ok(Look::Waits);
    }
    let origin = Origin::Waited {
        of: id.clone(),
        head: wait.head.clone(),
        place: facts.place().cloned(),
        was: request.origin.inner(),
    };
    let words = DeployWords { override_reason: None, ..request.words.clone() };
    let next = RequestFact { at: world.now(), words, origin, button: None, ..request.clone() };
    let what = (next.words.clone(), wait.head.clone());
    if same.contains(&what) {
        return Ok(Look::Waits);
    }
    let patience = Patience::until(world.now().after(limits::READS_OF_AN_ANSWER));
    let cx = Context::new(world, settings, id, patience);
    match Box::pin(is_free(&cx, &next)).await {
        // What only approvals are missing for goes on, and asks for them.
        Ok(()) => Ok(Look::Goes(Box::new(next))),
        Err(Stop::End(End::Refused { refusal, .. })) => match refusal.read() {
            Some(Refusal::NeedsApproval { .. }) => Ok(Look::Goes(Box::new(next))),
            Some(still) if still.is_waited_for() => {
                same.push(what);
                Ok(Look::Waits)
            }
            _ => Ok(Look::Over(WaitOver::Refused { refusal })),
        },
        // Another system failed: the next look asks again.
        Err(stop) => {
            world.log(Line::error("waits_not_looked_at").of(id).with("cause", stop.why()));
            Ok(Look::Waits)
        }
    }
}

/// Whether nothing is in the way of exactly this any more. Like a preview: nothing is written.
async fn is_free<W: World>(cx: &Context<'_, W>, request: &RequestFact) -> Result<(), Stop> {
    if let Some(cached) = &catalog::cached_catalog(cx).await
        && let Err(Stop::End(End::Refused { refusal, plans })) = is_open(cx, request, cached).await
        && let Some(Refusal::Locked { .. }) = refusal.read()
    {
        // A lock is ours to know: GitHub is not asked meanwhile.
        return Err(Stop::End(End::Refused { refusal, plans }));
    }
    let read = catalog::read_catalog(cx).await?;
    is_open(cx, request, &read).await?;
    let request = RequestFact { words: read.1.one_meant(&request.words), ..request.clone() };
    let site = gates::authorise(cx, &request, &read).await?;
    let looked = prepare::read(&site).await?;
    catalog::same_catalog(&site, &looked.snapshot).await?;
    let prepared = prepare::prepare(&site, None, &looked).await?;
    let plan = prepared.plan.targets.first();
    gates::gates(&site, &looked.snapshot, plan, prepared.deployed.as_ref()).await.map(drop)
}

/// Who, and whether a lock or a freeze is in force.
async fn is_open<W: World>(
    cx: &Context<'_, W>,
    request: &RequestFact,
    catalog: &(BlobSha, Catalog),
) -> Result<(), Stop> {
    let request = RequestFact { words: catalog.1.one_meant(&request.words), ..request.clone() };
    let site = gates::authorise(cx, &request, catalog).await?;
    gates::check_lock_and_freeze(&site, None).await.map(drop)
}

/// The wait is over, and people read that. Returns the facts, if it was not over before.
async fn end<W: World>(
    world: &W,
    settings: &SlackCommandSettings,
    id: &DeploymentId,
    over: WaitOver,
) -> Result<Option<Facts>, StoreError> {
    let ended: Result<_, StoreError> = under_lease(world, LEASE, async |lease: &Lease<'_, W>| {
        let mut facts = store::load(world, id).await?;
        let mut was_open = false;
        if let Some(wait) = facts.wait.as_mut().filter(|wait| wait.over.is_none()) {
            wait.over = Some(over.clone());
            was_open = true;
            lease.ensure(limits::WRITE).await?;
            store::save_fact(world, id, wait).await?;
            world.log(Line::new("wait_over").of(id).with_json("over", &over));
        }
        let mut all = store::load_key(world, Waits).await?.unwrap_or_default();
        if all.ids.contains(id) {
            all.ids.retain(|other| other != id);
            lease.ensure(limits::WRITE).await?;
            store::save_key(world, Waits, &all).await?;
        }
        Ok(was_open.then_some(facts))
    })
    .await;
    let ended = ended?;
    if let Some(facts) = &ended
        && !matches!(over, WaitOver::WentOn { .. })
    {
        show(world, settings, id, facts).await;
    }
    Ok(ended)
}

/// Somebody ends the wait, who may.
pub(crate) async fn end_by<W: World>(
    cx: &Context<'_, W>,
    id: &DeploymentId,
    by: &SlackUser,
) -> Result<bool, StoreError> {
    Ok(end(cx.world, cx.settings, id, WaitOver::Ended { by: by.clone() }).await?.is_some())
}

/// The final words stand in the message that said that it waits.
async fn show<W: World>(world: &W, settings: &SlackCommandSettings, id: &DeploymentId, facts: &Facts) {
    let Some(place) = facts.place() else { return };
    let words = message::before_commit(id, facts, None);
    for _ in 0..SHOW_TRIES {
        if slack::update(world, &settings.slack, &place.channel, &place.ts, &words).await.is_ok() {
            return;
        }
        world.sleep(limits::SPEAK_AGAIN).await;
    }
    world.log(Line::error("nobody_told").of(id));
}

/// How often the words are sent.
const SHOW_TRIES: u32 = 3;

/// The end of a deployment that its asker wants to wait: it waits, or is refused.
pub(super) async fn instead<W: World>(
    cx: &Context<'_, W>,
    request: &RequestFact,
    end: End,
    head: Option<CommitSha>,
) -> Result<(End, Option<WaitFact>), StoreError> {
    let (Origin::Wait { .. }, End::Refused { refusal, .. }) = (&request.origin, &end) else { return Ok((end, None)) };
    let Some(refusal) = refusal.read().filter(Refusal::is_waited_for) else { return Ok((end, None)) };
    Ok(match begin(cx, request, &refusal, head).await? {
        Ok(wait) => (end, Some(wait)),
        Err(too_many) => (End::Refused { refusal: (&too_many).into(), plans: Vec::new() }, None),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::deployment::samples::id;

    #[test]
    fn a_wait_goes_on_as_one_deployment_whichever_process_finds_it_cured() {
        assert_eq!(next_id(&id('1')), next_id(&id('1')));
        assert_ne!(next_id(&id('1')), next_id(&id('2')));
        assert_ne!(next_id(&id('1')), id('1'));
    }
}
