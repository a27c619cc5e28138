//! Looks at every application that the catalog names, about once a day and as soon as it is new: how it is set up, and what our
//! account may do with it. slack-command reads that before a commit, and shows it in `/deploy apps`.
//!
//! Easy to miss: deploys go first. A watch looks at a few applications, one after the other, and never because of a timer
//! alone: an idle installation asks nobody.

use super::Watch;
use crate::world::{Line, World};
use clients::argocd;
use domain::limits;
use domain::names::ArgoApplication;
use domain::seen::{DAY, Seen};
use domain::selection::{Selected, Selection};
use domain::time::Timestamp;
use store::{ManagedFiles, SeenApplication, SelectedApplications, StoreError};

/// How many applications one watch looks at, and how many selectors are looked up one after the other.
const MOST: usize = 20;

/// Looks at those that are due: first what was never seen.
pub(super) async fn look_around<W: World>(watch: &Watch<'_, W>) {
    if let Err(error) = look_at_due(watch).await {
        watch.world.log(Line::error("not_looked").with("cause", error.why()));
    }
}

async fn look_at_due<W: World>(watch: &Watch<'_, W>) -> Result<(), StoreError> {
    let world = watch.world;
    let Some(managed) = store::load_key(world, ManagedFiles).await? else { return Ok(()) };
    let mut applications = managed.applications();
    let mut lookups = 0;
    for selection in managed.selections() {
        if watch.closing.get() {
            return Ok(());
        }
        applications.extend(select(watch, selection, &mut lookups).await?);
    }
    let mut due: Vec<(Option<Timestamp>, ArgoApplication)> = Vec::new();
    for application in applications {
        // Once in a watch: what is not due now is not due in half a minute.
        if watch
            .looked_at
            .borrow_mut()
            .insert((application.project.to_string(), store::application_lease(&application)))
        {
            let at = seen_at(watch, &application).await?;
            if at.is_none_or(|at| world.now().since(at) >= DAY) {
                due.push((at, application));
            }
        }
    }
    due.sort_by_key(|(at, _)| *at);
    for (_, application) in due {
        if watch.closing.get() || watch.looks.get() >= MOST {
            return Ok(());
        }
        watch.looks.set(watch.looks.get().saturating_add(1));
        look_at(watch, &application).await?;
    }
    Ok(())
}

/// Which applications have these labels: looked up now and then, a few at a time. Where Argo CD does not answer, what was
/// found before stays.
async fn select<W: World>(
    watch: &Watch<'_, W>,
    selection: &Selection,
    lookups: &mut usize,
) -> Result<Vec<ArgoApplication>, StoreError> {
    let world = watch.world;
    let found: Option<Selected> = match store::load_key(world, SelectedApplications(selection)).await {
        Err(error) if error.is_unreadable() => None,
        loaded => loaded?,
    };
    let known = |found: Option<Selected>| {
        found.filter(|found| found.selection == *selection).map(|found| found.applications).unwrap_or_default()
    };
    if *lookups >= MOST || !Selected::is_due(selection, found.as_ref(), world.now()) {
        return Ok(known(found));
    }
    *lookups = lookups.saturating_add(1);
    match argocd::select(world, &watch.settings.argocd, selection).await {
        Ok(applications) => {
            watch.lease.ensure(limits::WRITE).await?;
            let (at, selection) = (world.now(), selection.clone());
            let selected = Selected { at, selection: selection.clone(), applications: applications.clone() };
            store::save_key(world, SelectedApplications(&selection), &selected).await?;
            Ok(applications)
        }
        Err(error) => {
            let line = Line::error("not_selected").with("selector", selection.selector.as_str());
            world.log(line.with("error", format!("{error:?}").as_str()));
            Ok(known(found))
        }
    }
}

/// When it was seen last. What this build cannot read was never seen.
async fn seen_at<W: World>(
    watch: &Watch<'_, W>,
    application: &ArgoApplication,
) -> Result<Option<Timestamp>, StoreError> {
    match store::load_key(watch.world, SeenApplication(application)).await {
        Ok(seen) => Ok(seen.map(|seen: Seen| seen.at)),
        Err(error) if error.is_unreadable() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Looks at one, and saves what is seen. Where Argo CD does not answer, what was seen before stays.
/// Says whether Argo CD answered.
pub(super) async fn look_at<W: World>(watch: &Watch<'_, W>, application: &ArgoApplication) -> Result<bool, StoreError> {
    let world = watch.world;
    match argocd::look(world, &watch.settings.argocd, application).await {
        Ok(found) => {
            watch.lease.ensure(limits::WRITE).await?;
            let seen = Seen { at: world.now(), found };
            store::save_key(world, SeenApplication(application), &seen).await.map(|()| true)
        }
        Err(error) => {
            let line = Line::error("not_seen").with("application", application.name.as_str());
            world.log(line.with("error", format!("{error:?}").as_str()));
            Ok(false)
        }
    }
}
