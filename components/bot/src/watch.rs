//! One watch: follows every deployment in flight at the same time, and tells what people pushed, for at most 25 s, because the trigger is serial.
//!
//! At most one watch at a time in the installation, by the lease `watch`; a failed renewal ends it at once. A watch that ends wakes
//! the next one only if it left something to do, so wake-ups cannot multiply and an idle installation is silent.

mod ask;
mod follow;
mod follower;
mod looks;
mod observe;
mod parts;
mod seen;
mod tell_push;

use crate::settings::SyncPollerSettings;
use crate::world::{Line, World, within};
use domain::limits;
use domain::names::{ArgoApplication, DeploymentId};
use follower::Ended;
use futures::channel::mpsc;
use futures::future::join_all;
use futures::stream::{FuturesUnordered, StreamExt};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use store::{Calls, Flight, Lease, StoreError, Terms};

/// The lease `watch`.
const WATCH: Terms = Terms { life: Duration::from_secs(10), renew: Some(Duration::from_secs(3)) };

/// Why something is done again.
const SLEPT: &str = "a lease was lost during a call, which may have come late";

/// What all followers share.
pub(crate) struct Watch<'a, W> {
    pub(crate) world: &'a W,
    pub(crate) settings: &'a SyncPollerSettings,
    pub(crate) lease: &'a Lease<'a, W>,
    /// Asks for a sync, by deployment and application.
    pub(crate) syncs: &'a Calls<(DeploymentId, ArgoApplication)>,
    /// Argo CD's version, once it was asked for.
    pub(crate) version: RefCell<Option<String>>,
    /// Applications that were looked at in this watch, or are not due: project and name.
    pub(crate) looked_at: RefCell<BTreeSet<(String, String)>>,
    /// How many were looked at.
    pub(crate) looks: Cell<usize>,
    /// Time is up: come to an end at the next safe point.
    pub(crate) closing: Cell<bool>,
    /// Who follows a deployment of several targets hears here of news of its parts.
    pub(crate) wholes: RefCell<BTreeMap<DeploymentId, mpsc::UnboundedSender<()>>>,
}

/// Watches, if nobody else does.
pub async fn watch<W: World>(world: &W, settings: &SyncPollerSettings) {
    let syncs = Calls::default();
    let watched = Lease::try_hold(world, "watch", WATCH, async |lease| {
        let watch = Watch {
            world,
            settings,
            lease,
            syncs: &syncs,
            version: RefCell::default(),
            looked_at: RefCell::default(),
            looks: Cell::new(0),
            closing: Cell::new(false),
            wholes: RefCell::default(),
        };
        let left = watch.run().await;
        if left.is_err() {
            // Calls of ours may still be on their way: the lease runs out, and then somebody goes on.
            lease.let_run_out();
        }
        left
    });
    let held = match watched.await {
        Ok(Some(held)) => held,
        Ok(None) => return,
        Err(error) => return world.log(Line::error("not_watching").with("cause", error.why())),
    };
    let late = held.late(&syncs);
    match held.done {
        Ok(Ok(settled)) => {
            // Read again after the release: what came in between has nobody else to wake a watch for it.
            let in_flight = store::in_flight(world).await;
            if in_flight.map_or(true, |in_flight| in_flight.all().any(|flight| !settled.contains(&flight))) {
                let _ = store::wake(world).await;
            }
        }
        left => {
            match left {
                Ok(Err(error)) => world.log(Line::error("watch_failed").with("cause", error.why())),
                _ => world.log(Line::error("watch_lost")),
            }
            world.sleep(WATCH.life).await;
            let _ = store::wake(world).await;
        }
    }
    join_all(late.iter().map(|(id, application)| ask::mend_sync(world, settings, id, application))).await;
}

impl<W: World> Watch<'_, W> {
    /// Until the time is up or nothing is left. Returns what needs no other watch at once: deployments that
    /// slack-command ends and posts, and pushes that cannot be announced now. Those wait until a watch is
    /// woken for another reason, or by `/healthz`.
    async fn run(&self) -> Result<BTreeSet<Flight>, StoreError> {
        let periods = &self.settings.limits;
        let until = self.world.elapsed().saturating_add(periods.watch);
        let mut reload = self.world.elapsed().saturating_add(periods.reload);
        let mut nudges: BTreeMap<Flight, mpsc::UnboundedSender<()>> = BTreeMap::new();
        let mut settled = BTreeSet::new();
        let mut followers = FuturesUnordered::new();
        let mut new: Vec<Flight> = store::in_flight(self.world).await?.all().collect();
        let deploys_first = if new.is_empty() { Duration::ZERO } else { limits::LOOK_AROUND };
        let mut look_around = Some(self.world.elapsed().saturating_add(deploys_first));
        loop {
            for flight in new.drain(..) {
                settled.remove(&flight);
                // A running follower gets a nudge; a follower that has just ended is started again.
                let known = nudges.get(&flight).is_some_and(|nudge| nudge.unbounded_send(()).is_ok());
                if !known && !self.closing.get() {
                    let (nudge, heard) = mpsc::unbounded();
                    nudges.insert(flight.clone(), nudge);
                    followers.push(self.work(Some((flight, heard))));
                }
            }
            let now = self.world.elapsed();
            if look_around.is_some_and(|at| now >= at) && !self.closing.get() {
                look_around = None;
                followers.push(self.work(None));
            }
            if followers.is_empty() {
                return Ok(settled);
            }
            match within(self.world, periods.news, followers.next()).await {
                Some(Some((Some(flight), ended))) => {
                    nudges.remove(&flight);
                    if ended == Ended::NothingLeft {
                        settled.insert(flight);
                    }
                }
                // Something new may be in the catalog soon.
                Some(Some((None, _))) => {
                    look_around = Some(self.world.elapsed().saturating_add(limits::LOOK_AROUND_AGAIN));
                }
                _ => {}
            }
            let now = self.world.elapsed();
            // What Argo CD has not answered is waited for, and the others are followed meanwhile.
            let waits = now < until.saturating_add(limits::ASK_SEVERAL) && self.syncs.wait(|_| true);
            if now >= until && !waits && !self.closing.replace(true) {
                nudges.values().for_each(|nudge| drop(nudge.unbounded_send(())));
            }
            if !self.closing.get() {
                // Redis may hiccup: whether we go on is for the lease to say.
                new = store::take_news(self.world).await.unwrap_or_default();
                if now >= reload {
                    // In case news were lost.
                    reload = now.saturating_add(periods.reload);
                    let in_flight = store::in_flight(self.world).await.unwrap_or_default();
                    new.extend(in_flight.all().filter(|flight| !settled.contains(flight)));
                }
            }
        }
    }

    /// Follows what is in flight, or looks around.
    async fn work(&self, what: Option<(Flight, follower::Nudges)>) -> (Option<Flight>, Ended) {
        let Some((flight, heard)) = what else {
            seen::look_around(self).await;
            return (None, Ended::NothingLeft);
        };
        let ended = match &flight {
            Flight::Deployment(id) => follow::follow(self, id, heard).await,
            Flight::Push(sha) => tell_push::tell_push(self, sha, heard).await,
        };
        (Some(flight), ended)
    }
}
