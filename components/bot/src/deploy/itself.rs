//! `auto_rollback`: a deploy that ended degraded is taken back without being asked.
//!
//! sync-poller writes how it ended, and leaves the deployment in flight. The guardian or the probe finds it there, and makes the
//! request: once, because its id is made of the failed one's. No person's rights are borrowed. What permits it is the catalog,
//! as it was at the deploy and as it is now. All else that a rollback asks is asked.
//!
//! Easy to miss: sync-poller could make the end up. So what is taken back is what slack-command itself has decided: the request
//! and the plan count only with the key of slack-command alone, and the end decides nothing but whether.

use super::prepare::Site;
use super::versions;
use crate::context::{Context, Stop};
use crate::patience::Patience;
use crate::request::{Saved, save};
use crate::settings::SlackCommandSettings;
use crate::world::{Line, World};
use domain::command::DeployWords;
use domain::deployment::{BackTo, CommitFact, Origin, RequestFact, TargetPlan};
use domain::limits;
use domain::names::DeploymentId;
use domain::refusal::{NotByItself, Refusal};
use domain::values::blob_sha;
use store::{Current, StoreError};

/// Makes the request that takes the deployment back, if it is to be taken back. Returns its id.
pub(super) async fn go_back<W: World>(
    world: &W,
    settings: &SlackCommandSettings,
    of: &DeploymentId,
) -> Result<Option<DeploymentId>, StoreError> {
    let next = next_id(of);
    if store::load_fact::<RequestFact>(world, &next).await?.is_some() {
        return Ok(None);
    }
    let cx = Context::new(world, settings, of, Patience::until(world.now()));
    let Some(request) = request(&cx).await? else { return Ok(None) };
    let saved = save(world, &next, limits::SAVE_LIMIT, None, async || {
        Ok(Some(store::load_fact(world, &next).await?.unwrap_or(request)))
    });
    match saved.await {
        Saved::Request(_) => {
            world.log(Line::new("goes_back").of(of).with("as", next.as_str()));
            Ok(Some(next))
        }
        Saved::Forgotten => Ok(None),
        Saved::Failed { .. } => Err(StoreError::Failed("the request was not saved")),
    }
}

/// The same for every process that finds the end.
fn next_id(of: &DeploymentId) -> DeploymentId {
    let text = blob_sha(format!("by itself/{of}").as_bytes()).to_string();
    text.get(..32).and_then(|text| DeploymentId::parse(text).ok()).unwrap_or_else(|| of.clone())
}

/// The request, unless something is in the way already: then nobody reads of it.
async fn request<W: World>(cx: &Context<'_, W>) -> Result<Option<RequestFact>, StoreError> {
    let (world, of) = (cx.world, cx.id);
    let facts = store::load(world, of).await?;
    let decided = store::load_fact::<CommitFact>(world, of).await?;
    let same = |decided: &CommitFact| facts.plan() == Some(decided.target());
    let is_ours = decided.as_ref().is_some_and(same);
    let Some(asked) = store::load_fact::<RequestFact>(world, of).await?.filter(|_| is_ours && facts.goes_back()) else {
        return Ok(None);
    };
    let Some((plan, outcome)) = facts.plan().zip(facts.outcome.as_ref()) else { return Ok(None) };
    if world.now().since(outcome.at) > limits::BACK_BY_ITSELF || !is_current(cx, plan).await? {
        return Ok(None);
    }
    let Some(live) = versions::live(cx, &plan.target).await? else { return Ok(None) };
    let to = BackTo { tag: live.tag, digest: live.digest };
    if is_same(plan, &to) {
        return Ok(None);
    }
    let origin = Origin::ByItself { of: of.clone(), takes_away: plan.tag.clone(), to };
    let (words, click) = (DeployWords::roll_back(&plan.target), next_id(of).to_string());
    Ok(Some(RequestFact { at: world.now(), words, origin, button: None, click, ..asked }))
}

fn is_same(plan: &TargetPlan, to: &BackTo) -> bool {
    match (&plan.digest, &to.digest) {
        (Some(one), Some(other)) => one == other,
        _ => plan.tag == to.tag,
    }
}

/// Whether no other deployment has had the turn since.
async fn is_current<W: World>(cx: &Context<'_, W>, plan: &TargetPlan) -> Result<bool, StoreError> {
    for application in plan.applications.iter() {
        let current = store::load_key(cx.world, Current(application)).await?;
        if current.is_none_or(|current| current.id != *cx.id) {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(super) fn refused<W>(site: &Site<'_, W>, why: NotByItself) -> Stop {
    Refusal::NotByItself { target: Box::new(site.target.clone()), why }.into()
}

/// Under the leases of the applications: whether the failed deployment is still the last one there.
pub(super) async fn may_take_turn<W: World>(site: &Site<'_, W>) -> Result<(), Stop> {
    let Some((of, _)) = site.request.origin.by_itself() else { return Ok(()) };
    for application in site.applications.iter() {
        let current = store::load_key(site.cx.world, Current(application)).await?;
        if current.is_none_or(|current| current.id != *of && current.id != *site.cx.id) {
            return Err(refused(site, NotByItself::Newer));
        }
    }
    Ok(())
}

/// What is to be brought back is what was live before, and nothing else goes live with it.
pub(super) fn may_bring_back<W>(site: &Site<'_, W>, plan: &TargetPlan) -> Result<(), Stop> {
    let Some((_, to)) = site.request.origin.by_itself() else { return Ok(()) };
    if !(plan.rollback && plan.was_live && plan.tag == to.tag && plan.digest == to.digest) {
        return Err(refused(site, NotByItself::NotLive));
    }
    if !plan.is_alone() {
        return Err(refused(site, NotByItself::Others));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::deployment::samples::{id, target_plan};
    use domain::image::{Digest, Tag};

    #[test]
    fn it_goes_back_as_one_deployment_whichever_process_finds_the_end() {
        assert_eq!(next_id(&id('1')), next_id(&id('1')));
        assert_ne!(next_id(&id('1')), next_id(&id('2')));
        assert_ne!(next_id(&id('1')), id('1'));
    }

    #[test]
    fn the_same_image_is_no_version_to_go_back_to() {
        let digest = |digit: &str| Digest::parse(&format!("sha256:{}", digit.repeat(64))).ok();
        let plan = TargetPlan { digest: digest("1"), ..target_plan() };
        let to = |tag: &str, digest| BackTo { tag: Tag::parse(tag).unwrap(), digest };
        assert!(is_same(&plan, &to("other", digest("1"))) && is_same(&plan, &to(plan.tag.as_str(), None)));
        assert!(!is_same(&plan, &to(plan.tag.as_str(), digest("2"))) && !is_same(&plan, &to("other", None)));
    }
}
