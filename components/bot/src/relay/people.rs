//! What people push to our branch. If it touches a file of an app, a note is left for the watch, which tells people. Argo CD
//! hears of it only where the operator says `relay: all` and [`domain::relay`] finds nothing against it.
//!
//! Easy to miss: what is handed on leaves nothing in the store. The same delivery again is handed on again, and Argo CD
//! compares once more.

use super::{failed, hand_on, ignored, not_taken, short_delivery};
use crate::settings::{GithubRelaySettings, Relay};
use crate::world::{Line, World};
use clients::argocd::RelayHeaders;
use clients::github::Push;
use clients::http::{Answer, StatusCode};
use domain::catalog::CatalogPusher;
use domain::names::FilePath;
use domain::push::{self, Managed};
use domain::relay::{Catalogued, Kept, Known, applications, untouched};
use domain::selection::Selected;
use std::collections::BTreeMap;
use store::{CatalogPushed, Key, ManagedFiles, Pushed, SeenApplication, SelectedApplications, StoreError};

/// Whose pushes leave a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    Anybodys,
    /// Everybody's but those of the account with which the bot commits.
    NotTheBots,
}

/// A note is left, if the push touches a file of an app.
pub(super) async fn note(world: &impl World, push: &Push<'_>, whose: Whose, reason: &'static str) -> Answer {
    match is_noted(world, push, whose, managed(world, push).await).await {
        Ok(true) => noted(),
        Ok(false) => ignored(reason),
        Err(error) => failed(world, None, error),
    }
}

fn noted() -> Answer {
    Answer::reason(StatusCode::OK, "noted", "a person's push to a file of an app")
}

/// The same, and whether the push is handed on. `None`: it is. Otherwise what GitHub is answered.
pub(super) async fn keep(
    world: &impl World,
    settings: &GithubRelaySettings,
    push: &Push<'_>,
    managed: Result<Option<Managed>, StoreError>,
    reason: &'static str,
) -> Result<Option<Answer>, StoreError> {
    if is_noted(world, push, Whose::Anybodys, managed).await? {
        return Ok(Some(noted()));
    }
    if settings.relay == Relay::Own {
        return Ok(Some(ignored(reason)));
    }
    let Err(kept) = decide(world, settings, push).await? else { return Ok(None) };
    if matches!(kept, Kept::NotSeen | Kept::NotSelected) {
        // The poller looks at what it has not seen for a day. If this is lost, the next watch does.
        let _ = store::wake(world).await;
    }
    Ok(Some(ignored(kept.reason())))
}

/// What the push says of itself comes first: it costs no read.
async fn decide(
    world: &impl World,
    settings: &GithubRelaySettings,
    push: &Push<'_>,
) -> Result<Result<(), Kept>, StoreError> {
    let files = match push.contents().files() {
        Ok(files) => files,
        Err(kept) => return Ok(Err(kept)),
    };
    let managed = readable(world, ManagedFiles).await?;
    if files.iter().any(|file| is_catalog(settings, managed.as_ref(), file)) {
        return Ok(Err(Kept::Catalog));
    }
    let mut selected = BTreeMap::new();
    for selection in managed.iter().flat_map(Managed::selections) {
        let found = readable(world, SelectedApplications(selection)).await?;
        if let Ok(applications) = Selected::of(selection, found, world.now()) {
            selected.insert(selection.clone(), applications);
        }
    }
    let pushed = match store::load_key(world, CatalogPushed).await {
        Err(error) if error.is_unreadable() => return Ok(Err(Kept::NoList)),
        pushed => pushed?.and_then(|pushed| pushed.newest()),
    };
    let known = Catalogued { managed: managed.as_ref(), selected: &selected, pushed };
    let applications = match applications(&known, world.now()) {
        Ok(applications) => applications,
        Err(kept) => return Ok(Err(kept)),
    };
    let mut all = Vec::new();
    for (application, values) in applications {
        all.push(Known { values, seen: readable(world, SeenApplication(application)).await? });
    }
    Ok(untouched(&files, &all, &settings.gitops.repo, world.now()))
}

/// Which files are managed, and which are of the catalog: asked for once, and only where the push touches one that may be among
/// them.
pub(super) async fn managed(world: &impl World, push: &Push<'_>) -> Result<Option<Managed>, StoreError> {
    if push.touches_yaml() { store::load_key(world, ManagedFiles).await } else { Ok(None) }
}

/// Notes whether a push to our branch may have changed the catalog. Before the catalog was read there is nothing to compare.
pub(super) async fn note_catalog(
    world: &impl World,
    settings: &GithubRelaySettings,
    push: &Push<'_>,
    managed: &Result<Option<Managed>, StoreError>,
) -> Result<(), StoreError> {
    let leaves_catalog = match (push.contents().files(), managed) {
        (Ok(files), Ok(managed)) => !files.iter().any(|file| is_catalog(settings, managed.as_ref(), file)),
        _ => false,
    };
    if leaves_catalog { Ok(()) } else { catalog_pushed(world, push.of_catalog(world.now())).await }
}

/// Whether a file is of the catalog, as far as is known.
fn is_catalog(settings: &GithubRelaySettings, managed: Option<&Managed>, file: &FilePath) -> bool {
    *file == settings.catalog_path || managed.is_some_and(|managed| managed.include.iter().any(|place| place.has(file)))
}

/// The catalog was pushed, or perhaps was: slack-command compares it, and what is known of it counts only once it was
/// read again. What this build cannot read is written anew.
pub(super) async fn catalog_pushed(world: &impl World, push: CatalogPusher) -> Result<(), StoreError> {
    let mut pushes = readable(world, CatalogPushed).await?.unwrap_or_default();
    pushes.add(push);
    store::save_key(world, CatalogPushed, &pushes).await
}

/// What this build cannot read is not known.
async fn readable<K: Key>(world: &impl World, key: K) -> Result<Option<K::Value>, StoreError> {
    match store::load_key(world, key).await {
        Err(error) if error.is_unreadable() => Ok(None),
        loaded => loaded,
    }
}

/// Hands a person's push on.
pub(super) async fn relay(
    world: &impl World,
    settings: &GithubRelaySettings,
    headers: RelayHeaders,
    body: Vec<u8>,
) -> Answer {
    let delivery = short_delivery(&headers);
    if let Err(fault) = hand_on(world, settings, headers, body).await {
        return not_taken(world, Line::error("relay_failed"), &fault);
    }
    world.log(Line::new("push_relayed").with("delivery", delivery.as_str()));
    Answer::reason(StatusCode::OK, "relayed", "a person's push that no managed application reads")
}

/// A person pushed. If the push touches a file of an app, a note is left, the same for the same push. The
/// watch tells people and deletes the note.
async fn is_noted(
    world: &impl World,
    push: &Push<'_>,
    whose: Whose,
    managed: Result<Option<Managed>, StoreError>,
) -> Result<bool, StoreError> {
    let now = world.now();
    if !push.touches_yaml() || now.since(push.pushed(now)) >= push::NEWS {
        return Ok(false);
    }
    let managed = managed?.filter(|managed| whose == Whose::Anybodys || !push.is_by(&managed.bot));
    let Some(note) = managed.and_then(|managed| push.note(&managed, now)) else { return Ok(false) };
    // In flight first. A process that dies in between leaves something in flight without a note, which
    // the next watch removes. In the other order it would leave a note that nobody finds, neither to
    // tell nor to delete it. And again after it: a watch may have removed it just now, if the same push
    // came twice.
    store::add_push(world, &note.after, note.at).await?;
    store::save_key(world, Pushed(&note.after), &note).await?;
    store::add_push(world, &note.after, note.at).await?;
    world.log(Line::new("push_noted").with("commit", note.after.as_str()).with("who", note.who.as_str()));
    if let Err(error) = store::announce_push(world, &note.after).await {
        // A watch that reads what is in flight finds it.
        world.log(Line::error("not_announced").with("commit", note.after.as_str()).with("cause", error.why()));
    }
    Ok(true)
}
