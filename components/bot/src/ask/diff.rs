//! `diff`: what differs between the versions that are live in two environments of an app.

use super::{Asking, questions};
use crate::context::Stop;
use crate::deploy::versions;
use crate::world::World;
use domain::deployment::{Previous, TargetPlan};
use domain::message::{self, Difference, Message, Side};
use futures::future::try_join;

pub(super) async fn diff<W: World>(
    ask: &Asking<'_, W>,
    app: &str,
    [one, other]: &[String; 2],
) -> Result<Message, Stop> {
    let catalog = questions::readable(ask).await?;
    let side = async |environment: &str| {
        let (target, ..) = catalog.find(app, Some(environment))?;
        let live = versions::live(&ask.cx, &target).await?;
        Ok::<_, Stop>(Side { target, live })
    };
    let (one, other) = try_join(side(one), side(other)).await?;
    let changes = match (&one.live, &other.live) {
        // Their commits are of different repositories, if the app moved.
        (Some(here), Some(there)) if here.source.repo == there.source.repo => {
            let previous = Some(Previous { tag: there.tag.clone(), head: there.source.head.clone() });
            versions::changes(&ask.cx, &TargetPlan { previous, ..here.clone() }).await
        }
        _ => None,
    };
    Ok(message::diff(&Difference { sides: [&one, &other], changes: changes.as_ref() }))
}
