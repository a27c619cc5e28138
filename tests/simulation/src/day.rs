//! One seed, one day: what people do, what breaks, and the calm after it.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use domain::deployment::State;
use fakes::argocd::{End, Health, Script, Window};
use fakes::slack::Limits;
use fastrand::Rng;

use crate::invariants::{Excuses, check};
use crate::town::{CHANNEL, SYSTEMS, Town, lock};
use crate::weather::Weather;
use crate::world::Role;

/// How a run went.
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// In what weather.
    pub climate: String,
    /// The promises that were broken.
    pub broken: Vec<String>,
    /// Everything that happened, in order.
    pub journal: Vec<String>,
    /// Requests that were accepted.
    pub accepted: usize,
    /// Commits that the bot made.
    pub commits: usize,
    /// Pushes of people that the bot had to announce.
    pub pushes: usize,
    /// Keys in the store at the end.
    pub keys: usize,
    /// Operations on something outside its process that anybody began.
    pub operations: u64,
    /// The longest time in which two watches both changed something.
    pub overlap: Duration,
    /// Edits of messages that left late, because their process was frozen inside the call.
    pub late_edits: usize,
    /// How the deployments ended, as `State` says, in order of their ids.
    pub ends: Vec<String>,
    /// For each live deployment: the time from the moment at which its app was seen healthy to the edit that
    /// says so.
    pub told: Vec<Duration>,
}

impl Report {
    fn new(seed: u64, climate: String, town: &Town) -> Self {
        let journal = town.journal.borrow();
        let line = |(at, what): &(u64, String)| format!("{:>10.3} s  {what}", *at as f64 / 1_000_000.0);
        let answered = town.answered.borrow();
        let accepted = answered.iter().filter(|(_, accepted)| **accepted);
        let ends = accepted.filter_map(|(id, _)| Some(format!("{:?}", town.facts(id)?.state())));
        Self {
            seed,
            climate,
            broken: town.broken.borrow().clone(),
            journal: journal.iter().map(line).collect(),
            accepted: answered.values().filter(|accepted| **accepted).count(),
            commits: town.made.borrow().len(),
            pushes: town.noted.borrow().len(),
            keys: town.store.borrow().len(),
            operations: town.kernel.operations(),
            overlap: town.longest_overlap(),
            late_edits: town.late_edits.borrow().len(),
            ends: ends.collect(),
            told: told(town),
        }
    }
}

fn told(town: &Town) -> Vec<Duration> {
    let (slack, argocd, made) = (lock(&town.slack), lock(&town.argocd), town.made.borrow());
    let told = made.iter().filter_map(|made| {
        let facts = town.facts(&made.id).filter(|facts| facts.state() == State::Live)?;
        let healthy = argocd.ran_well_at(&made.app, facts.commit.as_ref()?.target().tag.as_str())?;
        let place = facts.place()?;
        let message = slack.messages(CHANNEL).iter().find(|message| message.ts == place.ts.as_str())?;
        Some(Duration::from_millis(message.edits.last()?.at.saturating_sub(healthy)))
    });
    told.collect()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {} ({})", self.seed, self.climate)?;
        for broken in &self.broken {
            writeln!(f, "  {broken}")?;
        }
        Ok(())
    }
}

/// While there is trouble.
const TROUBLE: Duration = Duration::from_secs(120);
/// After the trouble nothing may take longer than this: a deployment's deadline is two minutes, its limit
/// without a commit six.
const SETTLE: Duration = Duration::from_secs(30 * 60);

fn seconds(rng: &mut Rng, most: u64) -> Duration {
    Duration::from_millis(rng.u64(0..most * 1000))
}

/// Plays a seed. The same seed is the same day, to the microsecond.
pub fn day(seed: u64) -> Report {
    play(seed, false)
}

/// The same, and people also press buttons, lock and unlock, roll back, ask, and approve: one app needs that.
pub fn talkative(seed: u64) -> Report {
    play(seed, true)
}

fn play(seed: u64, talks: bool) -> Report {
    let mut rng = Rng::with_seed(seed ^ 0x5eed_da75);
    let mut weather = Weather::drawn(&mut rng);
    let (apps, replicas) = (rng.usize(1..=3), rng.usize(1..=3));
    let mut excuses =
        Excuses { leases: weather.slow > 0.0 || weather.redis_fails > 0.0, slack: false, ..Excuses::default() };
    let climate = format!("{apps} apps, {replicas} replicas, {weather}");
    let fair = rng.f64() < 0.1;
    excuses.calm = fair;
    if fair {
        weather.calm();
    }
    let mut talk = Rng::with_seed(seed ^ 0x7a1c_ab1e);
    let approvals = if talks { talk.u8(1..=2) } else { 0 };
    let town = Town::new(seed, apps, replicas, weather, approvals);
    let mut plan = Plan { town: &town, rng };
    plan.slack_limits();
    plan.scripts();
    plan.people();
    if talks {
        let mut plan = Plan { town: &town, rng: talk };
        plan.talk();
        plan.pushes();
    }
    if !fair {
        plan.infrastructure(&mut excuses);
        plan.other_people(&mut excuses);
    }
    {
        let calm = town.clone();
        town.kernel.after(TROUBLE, move || {
            calm.note(|| "the weather is good from now on".to_owned());
            calm.weather.borrow_mut().calm();
        });
    }
    settle(&town, TROUBLE);
    check(&town, excuses);
    Report::new(seed, climate, &town)
}

/// Lets the trouble pass, waits until nothing is in flight, and a little longer than the longest lease.
fn settle(town: &Rc<Town>, trouble: Duration) {
    let run = |duration: Duration| {
        let until = town.kernel.now() + duration.as_micros() as u64;
        town.kernel.run_until(until, || !town.broken.borrow().is_empty());
    };
    run(trouble + Duration::from_secs(1));
    let limit = town.kernel.now() + SETTLE.as_micros() as u64;
    while town.kernel.now() < limit && town.broken.borrow().is_empty() {
        run(Duration::from_secs(10));
        let settled = town.ids().iter().all(|id| town.facts(id).is_some_and(|facts| facts.state().is_final()));
        let flying = town.redis.borrow_mut().members("deploy-bot/in-flight").iter().any(|id| id != "whole");
        if settled && !flying {
            break;
        }
    }
    // A guardian looks every five seconds; a lease lives for fifteen at most.
    run(Duration::from_secs(40));
    // A watch that a probe has woken may be looking at applications.
    for _ in 0..20 {
        let now = town.now();
        if !town.redis.borrow_mut().keys(now).iter().any(|key| key == "deploy-bot/lease/watch") {
            break;
        }
        run(Duration::from_secs(3));
    }
}

struct Plan<'t> {
    town: &'t Rc<Town>,
    rng: Rng,
}

impl Plan<'_> {
    fn at(&self, when: Duration, what: impl FnOnce(&Rc<Town>) + 'static) {
        let town = self.town.clone();
        self.town.kernel.after(when, move || what(&town));
    }

    fn app(&mut self) -> String {
        self.town.apps[self.rng.usize(..self.town.apps.len())].clone()
    }

    fn slack_limits(&mut self) {
        if self.rng.f64() < 0.3 {
            lock(&self.town.slack).limits = Some(Limits::default());
        }
    }

    /// How each app's sync goes.
    fn scripts(&mut self) {
        for app in self.town.apps.clone() {
            let script = self.script(&app);
            lock(&self.town.argocd).app(&app).script = script;
        }
    }

    fn script(&mut self, app: &str) -> Script {
        let healthy = Script::default();
        match self.rng.u8(..12) {
            0 => Script::with_waves(app),
            1 => Script::failing("field is immutable"),
            2 => Script { failures: 1, ..healthy },
            3 => Script::then(&[(0, Health::Degraded), (5000, Health::Healthy)]),
            4 => Script::then(&[(0, Health::Progressing), (3000, Health::Degraded)]),
            5 => Script::then(&[(0, Health::Progressing)]),
            6 => Script::then(&[(0, Health::Suspended), (6000, Health::Healthy)]),
            7 => Script { ends: 8000, health: vec![(0, Health::Healthy)], ..healthy },
            8 => Script { end: End::Error("the repository cannot be read".to_owned()), ..healthy },
            _ => healthy,
        }
    }

    /// Commands, builds, wishes to cancel.
    fn people(&mut self) {
        for _ in 0..self.rng.usize(1..=7) {
            let (when, app) = (seconds(&mut self.rng, 80), self.app());
            let user = self.town.users[self.rng.usize(..self.town.users.len())].clone();
            let text = match self.rng.u8(..10) {
                0..=4 => format!("{app} 42"),
                5..=7 => format!("{app} main"),
                8 => format!("{app} 999"),
                _ => format!("{app}x 42"),
            };
            let twice = self.rng.f64() < 0.15;
            self.at(when, move |town| town.command(&user, &text, twice));
        }
        for _ in 0..self.rng.usize(..4) {
            let (when, app) = (seconds(&mut self.rng, 80), self.app());
            let branch = if self.rng.bool() { "main" } else { "feature/totals" };
            self.at(when, move |town| drop(town.build(&app, branch)));
        }
        if self.rng.f64() < 0.2 {
            let when = seconds(&mut self.rng, 80);
            self.at(when, |town| {
                let ids = town.ids();
                if !ids.is_empty() {
                    let id = town.kernel.draw(|rng| ids[rng.usize(..ids.len())].clone());
                    town.cancel(id);
                }
            });
        }
    }

    /// Questions, locks, rollbacks, and buttons of whatever messages are there.
    fn talk(&mut self) {
        for _ in 0..self.rng.usize(2..=8) {
            let (when, app) = (seconds(&mut self.rng, 110), self.app());
            let user = self.town.users[self.rng.usize(..self.town.users.len())].clone();
            let text = match self.rng.u8(..16) {
                0..=1 => format!("lock {app} because"),
                2 => format!("lock {app} for a while for 1m"),
                3 => "lock all because".to_owned(),
                4..=5 => format!("unlock {app}"),
                6 => "unlock all".to_owned(),
                7..=8 => format!("rollback {app}"),
                9 => format!("rollback {app} 2"),
                10 => format!("cancel {app}"),
                11 => format!("preview {app} 42"),
                12 => format!("preview {app} main"),
                13 => format!("history {app}"),
                14 => "status".to_owned(),
                _ => format!("{app} 42"),
            };
            let twice = self.rng.f64() < 0.15;
            self.at(when, move |town| town.command(&user, &text, twice));
        }
        for _ in 0..self.rng.usize(4..=20) {
            let when = seconds(&mut self.rng, 118);
            let user = self.rng.usize(..self.town.users.len());
            let others = self.rng.f64() < 0.3;
            let late = if self.rng.f64() < 0.3 { seconds(&mut self.rng, 12) } else { Duration::ZERO };
            self.at(when, move |town| {
                let Some((ts, action)) = town.press(&town.users[user], None, late) else { return };
                if others {
                    // Somebody else looks at the same message.
                    let other = &town.users[(user + 1) % town.users.len()];
                    town.press(other, Some((&ts, &action)), Duration::from_millis(400));
                }
            });
        }
    }

    /// People push a values file, which must be announced.
    fn pushes(&mut self) {
        for _ in 0..self.rng.usize(..4) {
            let (when, app, kind) = (seconds(&mut self.rng, 110), self.app(), self.rng.u8(2..=4));
            self.at(when, move |town| push(town, &app, kind));
        }
    }

    /// Processes die and freeze, Redis forgets and goes, systems are down.
    fn infrastructure(&mut self, excuses: &mut Excuses) {
        let replicas = self.town.https.len();
        if self.rng.f64() < 0.4 {
            for _ in 0..self.rng.usize(1..=4) {
                let (when, n) = (seconds(&mut self.rng, 100), self.rng.usize(..replicas));
                let back = Duration::from_millis(self.rng.u64(500..20_000));
                let role = if self.rng.bool() { Role::SlackCommand } else { Role::SyncPoller };
                self.at(when, move |town| town.kill(role, n, back));
            }
        }
        if self.rng.f64() < 0.3 {
            (excuses.leases, excuses.frozen) = (true, true);
            for _ in 0..self.rng.usize(1..=4) {
                let (when, n) = (seconds(&mut self.rng, 100), self.rng.usize(..replicas));
                let length = Duration::from_millis(self.rng.u64(500..40_000));
                let role = if self.rng.bool() { Role::SyncPoller } else { Role::SlackCommand };
                self.at(when, move |town| {
                    if let Some(process) = town.service(role, n).process.get() {
                        town.note(|| format!("a process freezes for {length:?}"));
                        town.kernel.freeze(process, length);
                    }
                });
            }
        }
        if self.rng.f64() < 0.2 {
            excuses.leases = true;
            for _ in 0..self.rng.usize(1..=3) {
                let when = seconds(&mut self.rng, 100);
                self.at(when, |town| {
                    town.note(|| "Redis is flushed".to_owned());
                    town.redis.borrow_mut().flush();
                });
            }
        }
        if self.rng.f64() < 0.15 {
            excuses.leases = true;
            let (when, length) = (seconds(&mut self.rng, 80), Duration::from_millis(self.rng.u64(200..35_000)));
            self.at(when, move |town| town.redis_outage(length));
        }
        if self.rng.f64() < 0.25 {
            let (when, length) = (seconds(&mut self.rng, 90), Duration::from_millis(self.rng.u64(500..40_000)));
            let system = SYSTEMS[self.rng.usize(..SYSTEMS.len())];
            self.at(when, move |town| {
                town.note(|| format!("{system:?} is down for {length:?}"));
                town.weather.borrow_mut().down.insert(system);
                let up = town.clone();
                town.kernel.after(length, move || {
                    up.weather.borrow_mut().down.remove(&system);
                });
            });
        }
    }

    /// Pushes by people, what they do in Argo CD, what they do to messages.
    fn other_people(&mut self, excuses: &mut Excuses) {
        if self.rng.f64() < 0.4 {
            for _ in 0..self.rng.usize(1..=4) {
                let (when, app, kind) = (seconds(&mut self.rng, 90), self.app(), self.rng.u8(..6));
                self.at(when, move |town| push(town, &app, kind));
            }
        }
        if self.rng.f64() < 0.1 {
            let (when, back) = (seconds(&mut self.rng, 90), self.rng.usize(1..4));
            self.at(when, move |town| town.force_push(back));
        }
        if self.rng.f64() < 0.25 {
            for _ in 0..self.rng.usize(1..=3) {
                let (when, app) = (seconds(&mut self.rng, 90), self.app());
                self.at(when, move |town| {
                    // The newest commit may bring the same version as the bot's sync, an older one does not.
                    let older =
                        lock(&town.github).commits(crate::town::GITOPS, "main").get(1).map(|commit| commit.sha.clone());
                    let revision = older.filter(|_| town.now() % 2 == 0);
                    town.note(|| format!("admin syncs {app} in Argo CD to {}", revision.as_deref().unwrap_or("HEAD")));
                    let _ = lock(&town.argocd).person_syncs(town.now(), &app, revision.as_deref());
                });
            }
        }
        if self.rng.f64() < 0.15 {
            let (when, app, length) = (seconds(&mut self.rng, 90), self.app(), seconds(&mut self.rng, 60));
            self.at(when, move |town| {
                lock(&town.argocd).app(&app).window = Window::Closed;
                let town_later = town.clone();
                town.kernel.after(length, move || lock(&town_later.argocd).app(&app).window = Window::Open);
            });
        }
        if self.rng.f64() < 0.2 {
            excuses.slack = true;
            for _ in 0..self.rng.usize(1..=3) {
                let when = seconds(&mut self.rng, 100);
                self.at(when, |town| {
                    let mut slack = lock(&town.slack);
                    let last = slack.messages(CHANNEL).iter().rev().find(|message| message.deleted.is_none());
                    if let Some(ts) = last.map(|message| message.ts.clone()) {
                        town.note(|| format!("somebody deletes the message {ts}"));
                        slack.delete_message(town.now(), CHANNEL, &ts);
                    }
                });
            }
        }
        if self.rng.f64() < 0.1 {
            excuses.slack = true;
            let when = seconds(&mut self.rng, 100);
            self.at(when, |town| {
                town.note(|| "the channel is archived".to_owned());
                lock(&town.slack).channel(CHANNEL).archived = true;
            });
        }
    }
}

/// What a person may push to the GitOps repository.
fn push(town: &Rc<Town>, app: &str, kind: u8) {
    let path = format!("{app}/values.yaml");
    let fresh = town.fresh();
    match kind {
        0 => town.push(&[("NOTES.md", &fresh)], "Take notes"),
        1 => town.push(&[(&format!("{app}/limits.yaml"), &fresh)], "Raise the limits"),
        // Another line of the same file.
        2 => town.push(&[(&path, &format!("{}# {fresh}\n", town.values(app)))], "Comment"),
        // The tag itself, by hand.
        3 => {
            let values = town.values(app);
            let by_hand: Vec<String> = values
                .lines()
                .map(|line| if line.contains("tag:") { format!("  tag: \"by-hand-{fresh}\"") } else { line.to_owned() })
                .collect();
            town.push(&[(&path, &(by_hand.join("\n") + "\n"))], "Set the tag by hand");
        }
        // A copied Deploy-Id.
        4 => {
            let ids = town.ids();
            let id = ids.last().map(ToString::to_string).unwrap_or_default();
            let text = format!("{}# {fresh}\n", town.values(app));
            town.push(&[(&path, &text)], &format!("Deploy {app}\n\nDeploy-Id: {id}"));
        }
        // The catalog, without a change of meaning.
        _ => {
            let file = lock(&town.github).file_at(crate::town::GITOPS, "main", "deploy-bot.yaml").unwrap_or_default();
            let text = format!("{}# {fresh}\n", String::from_utf8_lossy(&file));
            town.push(&[("deploy-bot.yaml", &text)], "Comment on the catalog");
        }
    }
}

/// This many people deploy as many targets at the same moment, within the limits of GitHub and Slack.
pub fn crowd(seed: u64, targets: usize) -> Report {
    let town = Town::new(seed, targets, 2, Weather::default(), 0);
    lock(&town.slack).limits = Some(Limits::default());
    for app in town.apps.clone() {
        town.command("U0ALICE", &format!("{app} 42"), false);
    }
    settle(&town, Duration::from_secs(1));
    check(&town, Excuses::default());
    Report::new(seed, format!("{targets} targets at the same moment"), &town)
}

/// This many targets, each with many words of progress, become healthy a second after each other, within the
/// limits of GitHub and Slack.
pub fn one_by_one(seed: u64, targets: usize) -> Report {
    let town = Town::new(seed, targets, 2, Weather::default(), 0);
    lock(&town.slack).limits = Some(Limits::default());
    for (n, app) in (0..).zip(town.apps.clone()) {
        let ends = 10_000 + n * 1_000;
        let steps = (0..50).map(|wave| (1_000, format!("waiting for wave {wave}"))).collect();
        lock(&town.argocd).app(&app).script =
            Script { steps, ends, health: vec![(0, Health::Healthy)], ..Script::default() };
        town.command("U0ALICE", &format!("{app} 42"), false);
    }
    settle(&town, Duration::from_secs(1));
    check(&town, Excuses::default());
    Report::new(seed, format!("{targets} targets, one by one"), &town)
}

/// One deploy whose commit is made without an answer; for the next eight minutes nobody can ask GitHub about it.
pub fn cut_off(seed: u64) -> Report {
    let weather = Weather { commit_cuts_off: true, ..Weather::default() };
    let town = Town::new(seed, 1, 2, weather, 0);
    town.command("U0ALICE", "app-1 42", false);
    let away = Duration::from_secs(8 * 60);
    let back = town.clone();
    town.kernel.after(away, move || back.weather.borrow_mut().calm());
    settle(&town, away);
    check(&town, Excuses::default());
    Report::new(seed, "GitHub is down after the commit".to_owned(), &town)
}

/// A day on which nothing goes wrong but that Redis forgets everything, several times.
pub fn forgetful(seed: u64) -> Report {
    let mut rng = Rng::with_seed(seed ^ 0xf1a5_4000);
    let (apps, replicas) = (rng.usize(1..=3), rng.usize(2..=3));
    let town = Town::new(seed, apps, replicas, Weather::default(), 0);
    let mut plan = Plan { town: &town, rng };
    plan.scripts();
    plan.people();
    for _ in 0..plan.rng.usize(2..=8) {
        let when = seconds(&mut plan.rng, 90);
        plan.at(when, |town| {
            town.note(|| "Redis is flushed".to_owned());
            town.redis.borrow_mut().flush();
        });
    }
    settle(&town, TROUBLE);
    check(&town, Excuses { leases: true, ..Excuses::default() });
    Report::new(seed, format!("{apps} apps, {replicas} replicas, Redis forgets"), &town)
}

/// A plain morning: one app is deployed three times, and requests in between are refused. One process freezes
/// inside one operation, for this long.
pub fn morning(seed: u64, freeze: Option<(u64, Duration)>) -> Report {
    let town = Town::new(seed, 1, 2, Weather::default(), 0);
    let mut climate = "a plain morning".to_owned();
    if let Some((operation, length)) = freeze {
        town.kernel.freeze_at(operation, length);
        climate = format!("freezes for {length:?} inside operation {operation}");
    }
    let plan = Plan { town: &town, rng: Rng::with_seed(seed) };
    let command = |at: u64, user: &'static str, text: &'static str| {
        plan.at(Duration::from_millis(at), move |town| town.command(user, text, false));
    };
    command(100, "U0ALICE", "app-1 42");
    command(9_000, "U0CAROL", "app-1 999");
    command(20_000, "U0BOB", "app-1 main");
    command(20_000, "U0CAROL", "app-9 999");
    command(20_100, "U0CAROL", "app-8 999");
    // The request takes the turn, and is then refused.
    command(33_000, "U0CAROL", "app-1 999");
    command(45_000, "U0BOB", "app-1 main");
    for build in [9_000, 40_000] {
        plan.at(Duration::from_millis(build), |town| drop(town.build("app-1", "main")));
    }
    settle(&town, Duration::from_secs(100));
    check(&town, Excuses { leases: freeze.is_some(), frozen: freeze.is_some(), slack: false, calm: false });
    Report::new(seed, climate, &town)
}

/// This many weeks: in each, four targets are deployed once, and forty requests are refused. The store must
/// not grow with the weeks.
pub fn years(seed: u64, weeks: usize) -> Report {
    let town = Town::new(seed, 4, 1, Weather::default(), 0);
    let (mut accepted, mut ends) = (0, Vec::new());
    for _ in 0..weeks {
        for app in &town.apps {
            town.build(app, "main");
            town.command("U0ALICE", &format!("{app} main"), false);
        }
        for _ in 0..40 {
            town.command("U0BOB", "app-5 main", false);
        }
        // Longer than the minute in which the refusals of one person are counted.
        settle(&town, Duration::from_secs(61));
        check(&town, Excuses::default());
        // These deployments have ended and were checked. The oldest are forgotten soon, and nobody reads a
        // journal of a hundred thousand lines.
        let report = Report::new(seed, String::new(), &town);
        accepted += report.accepted;
        ends.extend(report.ends);
        if !report.broken.is_empty() {
            break;
        }
        town.answered.borrow_mut().clear();
        town.journal.borrow_mut().clear();
    }
    Report { accepted, ends, ..Report::new(seed, format!("{weeks} weeks"), &town) }
}
