//! The catalog: cached, and compared with the branch before anything is decided by it. The exact bytes of
//! a file.

use super::prepare::Site;
use super::{changed, gates};
use crate::context::{Context, Stop};
use crate::world::{Line, World, within};
use clients::github::{self, CatalogPlaces, FileAtHead, FileState, Found, ReadError, Snapshot};
use domain::catalog::{
    App, Catalog, CatalogError, Environment, FoundCatalog, IncludePlace, IncludedFile, Sources, identity, included,
};
use domain::command::{DeployWords, TargetWords};
use domain::fault::Fault;
use domain::limits;
use domain::names::{ArgoApplication, BlobSha, CommitSha, GitHubLogin, SlackChannel, SlackUser, Target};
use domain::nonempty::NonEmpty;
use domain::push::Managed;
use domain::refusal::Refusal;
use domain::selection::{Applications, NotSelected, Selected, Selection};
use domain::time::Timestamp;
use domain::values::{self, EditRefusal};
use store::{CachedCatalog, CatalogCache, Key, ManagedFiles, SelectedApplications, StoreError};

/// The catalog as last read. It saves a round trip and decides nothing: before a commit [`same_catalog`]
/// compares the catalog with the branch, and before a refusal the branch is read. The comparison is by hash, so each text must
/// be that of its hash.
pub(super) async fn cached_catalog<W: World>(cx: &Context<'_, W>) -> Option<(BlobSha, Catalog)> {
    let (now, cached) = (cx.world.now(), known(cx).await?);
    let fresh = now.since(cached.at) < cx.settings.limits.catalog_age && cached.at <= now;
    let catalog = Catalog::read(&cx.settings.catalog_path, &cached.sources).ok().filter(|_| fresh)?;
    cx.may_turn_to(catalog.contact.as_ref());
    Some((cached.sources.identity(), catalog))
}

/// What is cached, however old.
async fn known<W: World>(cx: &Context<'_, W>) -> Option<CachedCatalog> {
    let cached = store::load_key(cx.world, CatalogCache).await.ok().flatten()?;
    let are_whole = cached.sources.are_whole();
    if !are_whole {
        cx.world.log(Line::error("not_ours").with("key", CatalogCache.name()));
    }
    Some(cached).filter(|_| are_whole)
}

/// Whether a target has owners. Where the catalog is not cached, it counts as if it had.
pub(super) async fn is_owned<W: World>(cx: &Context<'_, W>, target: &Target) -> bool {
    let Some((_, catalog)) = cached_catalog(cx).await else { return true };
    let found = catalog.find(target.app.as_str(), Some(target.environment.as_str()));
    found.map_or(true, |(_, _, environment)| !environment.owners.is_empty())
}

/// Whether the tag is one that moves, by the catalog as last read.
pub(super) async fn is_channel<W: World>(cx: &Context<'_, W>, target: &Target, tag: &str) -> bool {
    let cached = cached_catalog(cx).await;
    let app = cached.as_ref().and_then(|(_, catalog)| catalog.apps.get(&target.app));
    app.is_some_and(|app| app.channels.iter().any(|channel| channel.as_str() == tag))
}

/// The catalog as it is on the branch now.
pub(crate) async fn read_catalog<W: World>(cx: &Context<'_, W>) -> Result<(BlobSha, Catalog), Stop> {
    let (gitops, path) = (&cx.settings.gitops, &cx.settings.catalog_path);
    let (world, github) = (cx.world, &cx.settings.github);
    let begun = world.now();
    let known = known(cx).await;
    let places = known.as_ref().and_then(|known| Catalog::read(path, &known.sources).ok());
    let places = places.map(|catalog| catalog.places()).unwrap_or_default();
    let of = CatalogPlaces { repo: &gitops.repo, branch: &gitops.branch, path, places: &places };
    let read = async || github::catalog(world, github, &of).await;
    let read = cx.read(read).await.map_err(|error| read_error(cx, error))?;
    let FileAtHead { file, head, included, viewer } = &read;
    let at = AtHead { state: file, head, places: &places, found: included, viewer };
    let read = cache_catalog(cx, &at, known, begun).await?;
    cx.may_turn_to(read.1.contact.as_ref());
    Ok(read)
}

/// The catalog at the head of the branch.
struct AtHead<'h> {
    state: &'h FileState,
    head: &'h CommitSha,
    /// Where further files were looked for.
    places: &'h [IncludePlace],
    found: &'h [Found],
    /// The bot's own login.
    viewer: &'h GitHubLogin,
}

/// `begun`: when the reading began, or a moment before.
async fn cache_catalog<W: World>(
    cx: &Context<'_, W>,
    at: &AtHead<'_>,
    known: Option<CachedCatalog>,
    begun: Timestamp,
) -> Result<(BlobSha, Catalog), Stop> {
    let path = &cx.settings.catalog_path;
    let FileState::File { blob, text, size, .. } = at.state else {
        let gitops = &cx.settings.gitops;
        let (path, repo, branch) = (path.clone(), gitops.repo.clone(), gitops.branch.clone());
        changed::compare(cx, FoundCatalog::Gone).await;
        return Err(Refusal::NoCatalog { path, repo, branch }.into());
    };
    let text = match known.as_ref().filter(|known| known.sources.blob == *blob) {
        Some(known) => Ok(known.sources.text.clone()),
        None => exact_text(cx, blob, text.as_deref(), *size).await?.map_err(not_text),
    };
    let read = text.and_then(|text| {
        let sources = Sources::alone(text);
        Ok((Catalog::read(path, &sources)?, sources))
    });
    // What was read is announced, also if this request stops here.
    let (mut catalog, mut sources) = match read {
        Ok(read) => read,
        Err(error) => {
            changed::compare(cx, FoundCatalog::Broken(blob, &error)).await;
            return Err(Refusal::BrokenCatalog { path: path.clone(), error }.into());
        }
    };
    if !catalog.include.is_empty() {
        sources.included = included_files(cx, at, &catalog, known.as_ref()).await?;
        catalog =
            Catalog::read(path, &sources).map_err(|error| Refusal::BrokenCatalog { path: path.clone(), error })?;
    }
    let identity = sources.identity();
    changed::compare(cx, FoundCatalog::Whole(&identity, &catalog)).await;
    // First: a reader of the cached catalog relies on `managed` being saved, too.
    note_managed(cx, &catalog, at.viewer, begun).await?;
    let (now, age) = (cx.world.now(), cx.settings.limits.catalog_age);
    let is_fresh = |known: &CachedCatalog| known.at <= now && now.since(known.at).saturating_mul(2) < age;
    if !known.is_some_and(|known| known.sources == sources && is_fresh(&known)) {
        let cached = CachedCatalog { at: now, sources };
        // Nobody waits long for a cache: a late write does no harm, and the next reader writes again.
        match within(cx.world, limits::CACHE_LIMIT, store::save_key(cx.world, CatalogCache, &cached)).await {
            Some(saved) => saved?,
            None => cx.world.log(Line::error("not_cached").of(cx.id).with("cause", "saving took too long")),
        }
    }
    Ok((identity, catalog))
}

/// The included files with their texts. One query more asks for the texts that are not known; and one before it, where the
/// catalog names other places than were known.
async fn included_files<W: World>(
    cx: &Context<'_, W>,
    at: &AtHead<'_>,
    catalog: &Catalog,
    known: Option<&CachedCatalog>,
) -> Result<Vec<IncludedFile>, Stop> {
    let (world, github, repo) = (cx.world, &cx.settings.github, &cx.settings.gitops.repo);
    let (places, listed) = (catalog.places(), at.found);
    let asked;
    let found = if places == at.places {
        listed
    } else {
        asked = cx.read(async || github::included(world, github, repo, at.head, &places).await).await?;
        &asked
    };
    let mut sources = Sources::alone(String::new());
    sources.included = included(&cx.settings.catalog_path, &places, found);
    let texts = known.into_iter().flat_map(|known| &known.sources.included);
    sources.take_texts(texts.filter_map(|file| Some((file.found.as_ref()?.blob.clone(), file.text.clone()?))));
    let missing = sources.missing();
    if !missing.is_empty() {
        let texts = cx.read(async || github::texts(world, github, repo, &missing).await).await?;
        sources.take_texts(missing.into_iter().zip(texts).filter_map(|(blob, text)| Some((blob, text?))));
    }
    Ok(sources.included)
}

fn not_text(why: EditRefusal) -> CatalogError {
    let (line, problem) = match why {
        EditRefusal::NotUtf8 { line } => (Some(line), "it is not UTF-8"),
        _ => (None, "it is too large"),
    };
    CatalogError { line, problem: problem.to_owned() }
}

/// Saves which files belong to which target, and who the bot is, for the relay, which asks GitHub nothing.
async fn note_managed<W: World>(
    cx: &Context<'_, W>,
    catalog: &Catalog,
    viewer: &GitHubLogin,
    read: Timestamp,
) -> Result<(), StoreError> {
    let known = match store::load_key(cx.world, ManagedFiles).await {
        Err(error) if !error.is_unreadable() => return Err(error),
        known => known.ok().flatten(),
    };
    let managed = Managed::of(catalog, known.as_ref(), viewer.clone(), read);
    let is_same = known.as_ref().is_some_and(|known| Managed { at: read, ..known.clone() } == managed);
    if is_same && known.is_some_and(|known| read.since(known.at) < limits::MANAGED_AGAIN) {
        return Ok(());
    }
    store::save_key(cx.world, ManagedFiles, &managed).await?;
    if !is_same {
        // The poller looks at what is new. If this is lost, the next watch does.
        let _ = store::wake(cx.world).await;
    }
    Ok(())
}

/// The exact bytes of a blob as text: as the query gave them, or raw where GitHub changed them on the way.
pub(super) async fn exact_text<W: World>(
    cx: &Context<'_, W>,
    blob: &BlobSha,
    text: Option<&str>,
    size: u64,
) -> Result<Result<String, EditRefusal>, Fault> {
    if let Some(text) = text {
        return Ok(Ok(text.to_owned()));
    }
    let (bytes, limit) = (usize::try_from(size).unwrap_or(usize::MAX), values::LARGEST);
    if bytes > limit {
        return Ok(Err(EditRefusal::TooLarge { bytes, limit }));
    }
    let (github, repo) = (&cx.settings.github, &cx.settings.gitops.repo);
    let bytes = cx.read(async || github::raw_blob(cx.world, github, repo, blob).await).await?;
    Ok(values::text_of(&bytes).map(str::to_owned))
}

pub(super) fn read_error<W: World>(cx: &Context<'_, W>, error: ReadError) -> Stop {
    let gitops = &cx.settings.gitops;
    match error {
        ReadError::NoRepository => Refusal::NoSuchRepository { repo: gitops.repo.clone() }.into(),
        ReadError::NoBranch => {
            Refusal::NoGitOpsBranch { repo: gitops.repo.clone(), branch: gitops.branch.clone() }.into()
        }
        ReadError::Fault(fault) => fault.into(),
    }
}

/// Finds a target by its words.
pub(crate) async fn find_target<W: World>(
    cx: &Context<'_, W>,
    words: &TargetWords,
    by: (&SlackUser, &SlackChannel),
) -> Result<(Target, Environment), Stop> {
    let (_, catalog) = read_catalog(cx).await?;
    let (target, _, found) = find(cx, &catalog, words, by).await?;
    Ok((target, found.clone()))
}

/// Finds the target of a deploy of one app, which a set may name.
pub(crate) async fn find_asked<W: World>(
    cx: &Context<'_, W>,
    words: &DeployWords,
    by: (&SlackUser, &SlackChannel),
) -> Result<(Target, Environment), Stop> {
    let (_, catalog) = read_catalog(cx).await?;
    let (target, _, found) = find(cx, &catalog, &catalog.meant_by(&catalog.one_meant(words))?, by).await?;
    Ok((target, found.clone()))
}

/// Finds a target in a catalog. Somebody who may not ask about all targets is told no names.
pub(crate) async fn find<'c, W: World>(
    cx: &Context<'_, W>,
    catalog: &'c Catalog,
    words: &TargetWords,
    by: (&SlackUser, &SlackChannel),
) -> Result<(Target, &'c App, &'c Environment), Stop> {
    let refusal = match catalog.find(&words.app, words.environment.as_deref()) {
        Ok(found) => {
            cx.turns_to(found.2.contact.as_ref());
            cx.goes_by(&found.1.path, Some(found.1.line));
            return Ok(found);
        }
        Err(refusal) => refusal,
    };
    let may_read = matches!(gates::may_read(cx, by, catalog).await, Ok(true));
    Err(if may_read { refusal } else { refusal.without_names() }.into())
}

/// The Argo CD applications of a target. Those that are named by labels are looked up by the poller, which is woken where
/// that is long ago or has found nothing: then for a moment.
pub(crate) async fn applications<W: World>(
    cx: &Context<'_, W>,
    target: &Target,
    environment: &Environment,
) -> Result<NonEmpty<ArgoApplication>, Stop> {
    let selection = match &environment.applications {
        Applications::Named(named) => return Ok(named.clone()),
        Applications::Selected(selection) => selection,
    };
    let until = cx.world.elapsed().saturating_add(limits::FRESH_LOOK);
    let mut is_woken = false;
    loop {
        let (found, now) = (selected(cx, selection).await?, cx.world.now());
        let is_due = Selected::is_due(selection, found.as_ref(), now);
        match Selected::of(selection, found, now) {
            // Argo CD may not answer: then what was found within a day counts.
            Ok(applications) if !is_due || cx.world.elapsed() >= until => return Ok(applications),
            Err(why) if cx.world.elapsed() >= until || why == NotSelected::TooMany => {
                let (target, selector) = (Box::new(target.clone()), selection.selector.clone());
                return Err(Refusal::NotSelected { target, selector, why }.into());
            }
            _ => {}
        }
        if !is_woken {
            let _ = store::wake(cx.world).await;
            is_woken = true;
        }
        cx.world.sleep(limits::LEASE_RETRY).await;
    }
}

/// The applications as far as they are known, for answers.
pub(crate) async fn known_applications<W: World>(
    cx: &Context<'_, W>,
    environment: &Environment,
) -> Result<Vec<ArgoApplication>, Stop> {
    match &environment.applications {
        Applications::Named(named) => Ok(named.iter().cloned().collect()),
        Applications::Selected(selection) => {
            let found = selected(cx, selection).await?.filter(|found| found.selection == *selection);
            Ok(found.map(|found| found.applications).unwrap_or_default())
        }
    }
}

/// What this build cannot read was not looked up.
async fn selected<W: World>(cx: &Context<'_, W>, selection: &Selection) -> Result<Option<Selected>, StoreError> {
    match store::load_key(cx.world, SelectedApplications(selection)).await {
        Err(error) if error.is_unreadable() => Ok(None),
        loaded => loaded,
    }
}

/// The catalog at the very commit that we build on must be the one that we decided by.
pub(crate) async fn same_catalog<W: World>(site: &Site<'_, W>, snapshot: &Snapshot) -> Result<(), Stop> {
    let cx = site.cx;
    let (state, found, places) = (&snapshot.catalog, &snapshot.included, &site.include);
    if let FileState::File { blob, .. } = state
        && identity(blob, &included(&cx.settings.catalog_path, places, found)) == *site.catalog
    {
        return Ok(());
    }
    let at = AtHead { state, head: &snapshot.head, places, found, viewer: &snapshot.viewer };
    cache_catalog(cx, &at, known(cx).await, site.request.at).await?;
    Err(Stop::Moved)
}
