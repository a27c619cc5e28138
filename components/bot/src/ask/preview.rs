//! `preview`: reads and decides like a deploy, and writes nothing.

use super::{Asking, Response};
use crate::context::Stop;
use crate::deploy::prepare::Look;
use crate::deploy::{Site, catalog, gates, prepare, versions};
use crate::world::World;
use domain::catalog::Members;
use domain::command::{DeployWords, Version, What};
use domain::deployment::{End, Origin, TargetPlan};
use domain::message::{self, Offer, Preview};
use domain::names::{DeploymentId, FilePath};

pub(super) async fn preview<W: World>(ask: &Asking<'_, W>, words: DeployWords) -> Result<Response, Stop> {
    let cx = &ask.cx;
    let request = ask.asker.request(ask.at, words, Origin::Typed);
    let (blob, catalog) = catalog::read_catalog(cx).await?;
    let (target, app, environment) = gates::authorise(cx, &request, &catalog).await?;
    let site = Site { cx, request: &request, target: &target, app, environment, catalog: &blob };
    let Look { snapshot, login } = prepare::read(&site).await?;
    catalog::same_catalog(&site, &snapshot).await?;
    let prepared = prepare::prepare(&site, None, &snapshot, login).await?;
    let plan = prepared.plan.targets.first();
    let problem = match gates::gates(&site, &snapshot, plan).await {
        Ok(_) => None,
        Err(Stop::End(End::Refused { refusal })) => refusal.read(),
        Err(other) => return Err(other),
    };
    let changes = versions::changes(cx, plan).await;
    let members = Members::default();
    let gates = environment.gates.in_preview(&gates::case(&site, &snapshot, plan, &members));
    let files: Vec<(&FilePath, &str, &str)> =
        prepared.edits.iter().map(|file| (&file.path, file.before.as_str(), file.edit.text.as_str())).collect();
    Ok(Response::Asker(message::preview(&Preview {
        plan,
        files: &files,
        changes: changes.as_ref(),
        gates: &gates,
        problem: problem.as_ref(),
        offer: offer(cx.id, request.words.clone(), plan),
    })))
}

/// What the button below the preview deploys: exactly what was shown. "The third version before" of today may
/// be another one tomorrow, so a rollback names its tag; a tag does not move, so a rollback needs no commit.
fn offer(of: &DeploymentId, mut words: DeployWords, plan: &TargetPlan) -> Offer {
    let head = if let What::Rollback(version) = &mut words.what {
        *version = Version::Tag(plan.tag.to_string());
        None
    } else {
        Some(plan.source.head.clone())
    };
    Offer { of: of.clone(), words, head }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::deployment::samples::{id, request, sha, target_plan};

    #[test]
    fn the_button_below_a_preview_deploys_what_was_shown() {
        let plan = target_plan();
        let typed = request().words;
        let shown = Offer { of: id('1'), words: typed.clone(), head: Some(sha('a')) };
        assert_eq!(offer(&id('1'), typed.clone(), &plan), shown);

        let back = |version| DeployWords { what: What::Rollback(version), ..typed.clone() };
        let tag = Version::Tag("faster-cart-aaaaaaa".to_owned());
        for version in [Version::LastHealthy, Version::Back(3), tag.clone()] {
            let shown = Offer { of: id('1'), words: back(tag.clone()), head: None };
            assert_eq!(offer(&id('1'), back(version), &plan), shown);
        }
    }
}
