//! A catalog that has changed is announced, once, where the operator says.
//!
//! Each reader of the catalog compares it with the version that people know, and saves what differs. The probe says it,
//! and looks at the catalog itself when github-relay has heard of a push that may have changed it.
//!
//! Save first, then post. A process that dies in between leaves "perhaps posted", and the next one waits before it
//! posts again. Both keep to one lease, because the store has no compare-and-swap.

use super::catalog::read_catalog;
use crate::context::{Context, Stop};
use crate::patience::Patience;
use crate::settings::SlackCommandSettings;
use crate::world::{Line, World, under_lease, within};
use clients::slack::{self, SlackError};
use domain::catalog::{CatalogPushes, FoundCatalog, News, ToldCatalog};
use domain::deployment::End;
use domain::fault::Cause;
use domain::limits;
use domain::message::{self, CatalogPlace, Wording};
use domain::names::{DeploymentId, SlackChannel};
use store::{CatalogPushed, CatalogTold, Lease, Speech, StoreError, Urgency};

const LEASE: &str = "catalog-told";

/// Compares what was found on the branch. A failure keeps nobody from deploying: the next reader compares.
pub(super) async fn compare<W: World>(cx: &Context<'_, W>, found: FoundCatalog<'_>) {
    let too_long = Err(StoreError::Failed("it took too long"));
    if let Err(error) = within(cx.world, limits::CACHE_LIMIT, try_compare(cx, found)).await.unwrap_or(too_long) {
        cx.world.log(Line::error("catalog_not_compared").of(cx.id).with("cause", error.why()));
    }
}

async fn try_compare<W: World>(cx: &Context<'_, W>, found: FoundCatalog<'_>) -> Result<(), StoreError> {
    let world = cx.world;
    if told(world).await?.is_some_and(|told| told.knows(&found)) {
        return Ok(());
    }
    under_lease(world, LEASE, async |lease: &Lease<'_, W>| {
        let pushes = pushes(world).await?;
        let Some(mut known) = told(world).await? else {
            world.log(Line::new("catalog_first_seen").of(cx.id));
            return save(world, lease, &ToldCatalog::first(&found, &pushes)).await;
        };
        if known.knows(&found) {
            return Ok(());
        }
        if let Some(change) = known.compare(&found, &pushes, world.now()) {
            let who: Vec<&str> = change.pushes.iter().map(|push| push.who.as_str()).collect();
            for news in parts(&change.news) {
                let line = Line::new("catalog_changed").of(cx.id).with("pushed_by", who.join(" "));
                world.log(line.with_json("news", &news));
            }
            let late = if cx.settings.catalog_channel.is_some() { known.add(change) } else { Vec::new() };
            if !late.is_empty() {
                world.log(Line::error("nobody_told").of(cx.id).with("changes", late.len()));
            }
        }
        save(world, lease, &known).await
    })
    .await
}

/// So many differences share a line of the log.
const LOGGED: usize = 50;

/// The log has all that differs.
fn parts(news: &News) -> Vec<News> {
    let News::Differs { all, more } = news else { return vec![news.clone()] };
    all.chunks(LOGGED).map(|all| News::Differs { all: all.to_vec(), more: *more }).collect()
}

/// Looks at the catalog if somebody may have pushed it, and says what people are still to be told. Called with each probe
/// that resumes.
pub(super) async fn tell<W: World>(world: &W, settings: &SlackCommandSettings) {
    if let Err(error) = try_tell(world, settings).await {
        world.log(Line::error("catalog_not_compared").with("cause", error.why()));
    }
}

async fn try_tell<W: World>(world: &W, settings: &SlackCommandSettings) -> Result<(), StoreError> {
    // Until the catalog was read once there is nothing to compare with.
    let Some(mut known) = told(world).await? else { return Ok(()) };
    let newest = pushes(world).await?.newest();
    if newest > known.heard {
        look(world, settings).await?;
        let Some(now_known) = told(world).await? else { return Ok(()) };
        let is_settled = newest.is_some_and(|at| world.now().since(at) >= limits::CATALOG_SETTLES);
        if newest > now_known.heard && is_settled {
            under_lease(world, LEASE, async |lease: &Lease<'_, W>| {
                let Some(mut known) = told(world).await? else { return Ok(()) };
                known.heard = newest.max(known.heard);
                save(world, lease, &known).await
            })
            .await?;
        }
        known = now_known;
    }
    match (&settings.catalog_channel, known.untold.is_empty()) {
        (Some(channel), false) => {
            under_lease(world, LEASE, async |lease| say(world, settings, channel, lease).await).await
        }
        _ => Ok(()),
    }
}

/// Reads the branch, which compares.
async fn look<W: World>(world: &W, settings: &SlackCommandSettings) -> Result<(), StoreError> {
    // For the log, and unlike any deployment's.
    let Ok(id) = DeploymentId::parse(&format!("{:032x}", world.now().0)) else { return Ok(()) };
    let patience = Patience::until(world.now().after(limits::READS_OF_AN_ANSWER));
    let cx = Context::new(world, settings, &id, patience);
    match read_catalog(&cx).await {
        Err(Stop::End(End::Failed { fault })) => {
            world.log(Line::error("catalog_not_compared").with_json("fault", &fault));
            Ok(())
        }
        // A catalog that is broken or gone was compared, too.
        _ => Ok(()),
    }
}

/// Posts the oldest change.
async fn say<W: World>(
    world: &W,
    settings: &SlackCommandSettings,
    channel: &SlackChannel,
    lease: &Lease<'_, W>,
) -> Result<(), StoreError> {
    let Some(mut known) = told(world).await? else { return Ok(()) };
    let Some(mut change) = known.untold.first().cloned() else { return Ok(()) };
    let speech = Speech::Post(channel);
    let minute = settings.limits.minute;
    if !known.may_post(world.now(), minute) || store::may_speak(world, minute, speech, Urgency::First).await.is_err() {
        return Ok(());
    }
    if known.untold.len() == 1 {
        // The change may have been seen before the webhook came.
        change.pushes.extend(pushes(world).await?.since(known.heard));
    }
    let before = known.clone();
    known.unsure = known.unsure.saturating_add(1);
    known.posted = Some(world.now());
    save(world, lease, &known).await?;
    lease.ensure(limits::SLACK_CALL).await?;
    let gitops = &settings.gitops;
    let web = settings.github.web();
    let place = CatalogPlace { path: &settings.catalog_path, repo: &gitops.repo, branch: &gitops.branch, web: &web };
    let words = message::catalog_changed(&change, &place).worded(&Wording::default());
    match slack::post(world, &settings.slack, channel, &words, None).await {
        Ok(_) => {
            world.log(Line::new("catalog_announced").with("channel", channel.as_str()));
            known.is_told();
        }
        Err(SlackError::Gone(why)) => {
            world.log(Line::error("nobody_told").with("channel", channel.as_str()).with("slack", why));
            known.is_told();
        }
        Err(SlackError::Refused(fault)) => {
            world.log(Line::error("slack").with_json("fault", &fault));
            match fault.cause {
                // The token was replaced: the operator mends that.
                Cause::Unauthorized | Cause::Forbidden { .. } | Cause::Status { .. } => known = before,
                _ => known.is_told(),
            }
        }
        Err(SlackError::RateLimited(wait)) => {
            store::quiet_slack(world, speech, wait).await;
            known = before;
        }
        Err(SlackError::Unreachable(fault)) => {
            let is_unsure = SlackError::Unreachable(fault.clone()).is_unsure();
            world.log(Line::error("slack").with_json("fault", &fault));
            if !is_unsure {
                known = before;
            }
        }
    }
    save(world, lease, &known).await
}

/// What this build cannot read was never there.
async fn told(world: &impl World) -> Result<Option<ToldCatalog>, StoreError> {
    readable(store::load_key(world, CatalogTold).await)
}

async fn pushes(world: &impl World) -> Result<CatalogPushes, StoreError> {
    Ok(readable(store::load_key(world, CatalogPushed).await)?.unwrap_or_default())
}

fn readable<T>(loaded: Result<Option<T>, StoreError>) -> Result<Option<T>, StoreError> {
    loaded.or_else(|error| if error.is_unreadable() { Ok(None) } else { Err(error) })
}

async fn save<W: World>(world: &W, lease: &Lease<'_, W>, told: &ToldCatalog) -> Result<(), StoreError> {
    lease.ensure(limits::WRITE).await?;
    store::save_key(world, CatalogTold, told).await
}
