//! The question to the gate service: what is to be deployed, by whom. The gate `ask` says at which path.

use super::prepare::Site;
use crate::world::World;
use clients::gate::{self, Verdict};
use domain::catalog::GateAnswer;
use domain::deployment::{Reference, TargetPlan};
use serde_json::{Value, json};

/// What the service says; `None`: it need not be asked. A fault in passing is asked again, as of the other systems that are read.
pub(super) async fn answer<W: World>(site: &Site<'_, W>, plan: &TargetPlan) -> Option<GateAnswer> {
    let cx = site.cx;
    let path = site.environment.gates.ask.0.as_deref()?;
    let Some(service) = &cx.settings.gate else { return Some(GateAnswer::NotSet) };
    let ask = async || {
        let now = cx.world.now();
        gate::ask(cx.world, service, path, &question(site, plan), now).await
    };
    Some(match cx.read(ask).await {
        Ok(Verdict::Allows) => GateAnswer::Allows,
        Ok(Verdict::Refuses { reason }) => GateAnswer::Refuses(reason),
        Err(fault) => GateAnswer::Silent(fault.cause),
    })
}

/// What is not known is null.
fn question<W: World>(site: &Site<'_, W>, plan: &TargetPlan) -> Value {
    let pull_request = match &plan.source.reference {
        Reference::PullRequest(number) => Some(number.0),
        _ => None,
    };
    json!({
        "deployment": site.cx.id.as_str(),
        "app": site.target.app.as_str(),
        "environment": site.target.environment.as_str(),
        "image": plan.image.to_string(),
        "tag": plan.tag.as_str(),
        "digest": plan.digest.as_ref().map(ToString::to_string),
        "repository": plan.source.repo.as_str(),
        "commit": plan.source.head.as_ref().map(ToString::to_string),
        "pull_request": pull_request,
        "user": site.request.user.as_str(),
        "at": site.cx.world.now().to_rfc3339(),
    })
}
