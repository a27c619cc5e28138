//! Everything that is not one of the three stories: the stand-ins, the store, Redis, replicas that die and
//! come back, people, the weather. A promise that is broken is noted in `broken` at that moment.
//!
//! Easy to miss: two seeds may differ only in what the kernel's lots decide.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bot::settings::{GithubRelaySettings, Settings, SlackCommandSettings, SyncPollerSettings, Variables};
use bot::world::{Line, Log};
use clients::http::{Chunks, HeaderMap, HeaderName, HeaderValue, HttpError, Inbound, Method};
use clients::signature::deployment_id;
use domain::command::{Command, What};
use domain::deployment::{CancelFact, Facts, State};
use domain::image::ImageRef;
use domain::names::{DeploymentId, SlackTeam, SlackUser};
use domain::time::Timestamp;
use fakes::argocd::{App, ArgoCd, Git, Source};
use fakes::github::{Commit, GitHub, NewCommit, PullRequest, Webhook};
use fakes::registry::Registry;
use fakes::slack::{Bot, Kind, Slack};
use fakes::{Answer, Outgoing, Response, StandIn};
use futures::FutureExt;
use futures::channel::oneshot;
use serde_json::{Value, json};
use store::{Key, RolledBackVersions, Seals};

use crate::kernel::{Kernel, OUTSIDE, ProcessId};
use crate::redis::Redis;
use crate::weather::{Trouble, Weather};
use crate::world::{Open, Peek, Role, World};
use bot::accept::{self, Then};
use bot::{deploy, health, relay, watch};

pub(crate) const GITOPS: &str = "acme/gitops";
pub(crate) const CHANNEL: &str = "C0DEPLOYS";
pub(crate) const BOT: &str = "acme-deploy-bot[bot]";
const TEAM: &str = "T0ACME";
const SECRET: &str = "a-secret-of-the-simulation";
pub(crate) const REGISTRY: &str = "127.0.0.1:4003";

/// 2026-01-01, a Thursday.
const BEGIN: u64 = 1_767_225_600_000_000;

/// The systems outside, in the order of their ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum System {
    Slack = 1,
    GitHub = 2,
    Registry = 3,
    ArgoCd = 4,
}

pub(crate) const SYSTEMS: [System; 4] = [System::Slack, System::GitHub, System::Registry, System::ArgoCd];

impl System {
    fn origin(self) -> String {
        match self {
            // So that its manners are asked for: a second between two writes.
            Self::GitHub => "https://api.github.com".to_owned(),
            _ => format!("http://127.0.0.1:400{}", self as u8),
        }
    }

    /// Whose address this is, and what follows its origin.
    pub(crate) fn of(url: &str) -> Option<(Self, &str)> {
        SYSTEMS.into_iter().find_map(|system| Some((system, url.strip_prefix(&system.origin())?)))
    }
}

/// A commit that the bot made.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) sha: String,
    pub(crate) id: DeploymentId,
    pub(crate) app: String,
    /// Those of the same request that are in the same commit.
    also: Vec<String>,
}

/// Somebody pressed Approve or Reject.
#[derive(Clone, Debug)]
pub(crate) struct Vote {
    pub(crate) id: DeploymentId,
    pub(crate) user: String,
    pub(crate) yes: bool,
}

/// Who may approve, where that is needed.
const APPROVERS: [&str; 2] = ["U0BOB", "U0CAROL"];

/// One service: the HTTP components together, or the poller alone, and in which of its lives it is.
pub(crate) struct Service {
    pub(crate) process: Cell<Option<ProcessId>>,
    /// Wake-ups that this life of a poller has not begun with.
    waiting: Cell<usize>,
    busy: Cell<bool>,
    /// How far its clock is from the true time, in milliseconds.
    pub(crate) skew: i64,
}

pub(crate) struct Town {
    pub(crate) kernel: Kernel,
    pub(crate) slack: Arc<Mutex<Slack>>,
    pub(crate) github: Arc<Mutex<GitHub>>,
    pub(crate) registry: Arc<Mutex<Registry>>,
    pub(crate) argocd: Arc<Mutex<ArgoCd>>,
    pub(crate) store: RefCell<BTreeMap<String, Vec<u8>>>,
    pub(crate) redis: RefCell<Redis>,
    pub(crate) weather: RefCell<Weather>,
    pub(crate) https: Vec<Service>,
    pub(crate) pollers: Vec<Service>,
    pub(crate) apps: Vec<String>,
    pub(crate) users: Vec<String>,
    /// How many have to approve a deployment of the last app.
    approvals: u8,
    command: Rc<SlackCommandSettings>,
    relay: Rc<GithubRelaySettings>,
    poller: Rc<SyncPollerSettings>,
    variables: Variables,
    /// What happened, when (in microseconds since the beginning).
    pub(crate) journal: RefCell<Vec<(u64, String)>>,
    /// The promises that were broken.
    pub(crate) broken: RefCell<Vec<String>>,
    pub(crate) made: RefCell<Vec<Made>>,
    /// What Slack's answer told people: accepted, or not.
    pub(crate) answered: RefCell<BTreeMap<DeploymentId, bool>>,
    /// Syncs of an older commit after a newer one of the same app: where in the list of all syncs, and after which.
    pub(crate) went_back: RefCell<Vec<(usize, Made)>>,
    pub(crate) gave_up_telling: RefCell<BTreeSet<DeploymentId>>,
    pub(crate) votes: RefCell<Vec<Vote>>,
    /// Commits that were rewritten away, and when.
    pub(crate) rewritten: RefCell<BTreeMap<String, u64>>,
    /// Pushes of people that the bot said it would announce.
    pub(crate) noted: RefCell<BTreeSet<String>>,
    /// What each key of a lock holds, and since when.
    locks: RefCell<BTreeMap<String, (u64, Option<Value>)>>,
    /// What a holder of its leases never does: for example, a commit to a target that was locked for long.
    pub(crate) unlawful: RefCell<Vec<String>>,
    /// Which tags each app was seen healthy with since the last sync of the bot.
    pub(crate) healthy: RefCell<BTreeSet<(String, String)>>,
    /// Every message that was ever noted as a deployment's, by `ts`.
    pub(crate) places: RefCell<BTreeSet<(DeploymentId, String)>>,
    /// Edits that left late, because their process was frozen inside the call: which message, and when.
    pub(crate) late_edits: RefCell<BTreeSet<(String, u64)>>,
    states: RefCell<BTreeMap<DeploymentId, (State, bool)>>,
    /// The most watches that were at work at the same time, and who is.
    watching: RefCell<BTreeSet<u64>>,
    pub(crate) most_watching: Cell<usize>,
    /// When each watch first and last changed something, in microseconds.
    acted: RefCell<BTreeMap<u64, (u64, u64)>>,
    /// The most deployments of one target that were between commit and last word at the same time.
    pub(crate) most_flying: Cell<usize>,
    counter: Cell<u64>,
}

pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Argo CD's view of GitHub.
struct GitOf(Arc<Mutex<GitHub>>);

impl GitOf {
    fn find(&self, repo_url: &str, wanted: impl Fn(&Commit) -> bool) -> Option<Commit> {
        let repo = repo_url.strip_prefix("https://github.com/")?;
        lock(&self.0).commits(repo, "main").into_iter().find(wanted)
    }
}

impl Git for GitOf {
    fn head(&self, repo_url: &str, revision: &str) -> Option<String> {
        let repo = repo_url.strip_prefix("https://github.com/")?;
        let head = lock(&self.0).head(repo, if revision == "HEAD" { "main" } else { revision });
        head.or_else(|| self.find(repo_url, |commit| commit.sha.starts_with(revision)).map(|commit| commit.sha))
    }

    fn file(&self, repo_url: &str, sha: &str, path: &str) -> Option<Vec<u8>> {
        let repo = repo_url.strip_prefix("https://github.com/")?;
        lock(&self.0).commit(repo, sha)?.files.get(path).map(|file| file.bytes.to_vec())
    }

    fn files(&self, repo_url: &str, sha: &str, folder: &str) -> Vec<String> {
        let Some(repo) = repo_url.strip_prefix("https://github.com/") else { return Vec::new() };
        let github = lock(&self.0);
        let commit = github.commit(repo, sha);
        commit.map(|commit| commit.below(folder)).unwrap_or_default()
    }
}

/// What a request came to.
pub(crate) enum Came {
    Whole(Response),
    Open(Response, Open),
    Later(Open),
    Failed(HttpError),
    Never,
}

impl Town {
    /// A town with this many apps and replicas, in which the bot runs. Deployments of its last app need this
    /// many approvals.
    pub(crate) fn new(seed: u64, apps: usize, replicas: usize, weather: Weather, approvals: u8) -> Rc<Self> {
        let kernel = Kernel::new(seed, BEGIN);
        let now = BEGIN / 1000;
        let apps: Vec<String> = (1..=apps).map(|n| format!("app-{n}")).collect();
        let users: Vec<String> = ["ALICE", "BOB", "CAROL"].map(|name| format!("U0{name}")).to_vec();

        let mut slack = Slack::new(SECRET, "xoxb-token-of-the-simulation", &System::Slack.origin());
        slack.team = TEAM.to_owned();
        for user in &users {
            slack.add_user(user, &user[2..].to_lowercase());
        }
        slack.add_channel(CHANNEL, "deploys", Kind::Public, Bot::Member);
        let mut github = GitHub::new("github-token-of-the-simulation", BOT);
        let mut registry = Registry::new(&System::Registry.origin());
        registry.user("deploy-bot", "password-of-the-simulation");
        github.tick(now);
        let mut files = vec![("README.md".to_owned(), "What runs.\n".to_owned())];
        let owners = if approvals > 0 { "owners: { users: [U0CAROL] }\n" } else { "" };
        let mut catalog = format!("{owners}apps:\n");
        for app in &apps {
            let repo = format!("acme/{app}");
            github
                .repo(&repo)
                .commit("Begin", &[("README.md", app)])
                .pull_request(PullRequest::new(42, "feature/totals"));
            registry.private(&repo, true);
            for branch in ["main", "feature/totals"] {
                registry.push(&repo, &tag(&github, app, branch));
            }
            let gate = match apps.last() == Some(app) && approvals > 0 {
                true => format!(", approvals: {{ count: {approvals}, users: [{}] }}", APPROVERS.join(", ")),
                false => String::new(),
            };
            catalog += &format!(
                "  {app}: {{ repo: {repo}, image: {REGISTRY}/{repo}, allow: {{ channels: [{CHANNEL}] }}, deadline: 2m{gate} }}\n"
            );
            let values = format!("image:\n  tag: \"{}\"\n  pull: Always\n", tag(&github, app, "main"));
            files.push((format!("{app}/values.yaml"), values));
        }
        files.push(("deploy-bot.yaml".to_owned(), catalog));
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        github.repo(GITOPS).commit("Begin", &files).webhook(Webhook::new(SECRET));
        let github = Arc::new(Mutex::new(github));
        let mut argocd = ArgoCd::new(Box::new(GitOf(github.clone())), "argocd-token-of-the-simulation");
        argocd.webhook_secret = SECRET.to_owned();
        for app in &apps {
            let source = Source::new(&format!("https://github.com/{GITOPS}"), "main").at(app);
            let mut application = App::new(app, source);
            application.image = format!("{REGISTRY}/acme/{app}");
            argocd.add(now, application);
        }

        let credentials = json!({ REGISTRY: { "username": "deploy-bot", "password": "password-of-the-simulation" } });
        let variables = Variables(BTreeMap::from([
            ("slack_signing_secret", SECRET.to_owned()),
            ("slack_bot_token", "xoxb-token-of-the-simulation".to_owned()),
            ("slack_url", System::Slack.origin()),
            ("slack_team_id", TEAM.to_owned()),
            ("github_token", "github-token-of-the-simulation".to_owned()),
            ("github_url", System::GitHub.origin()),
            ("github_deployments", "off".to_owned()),
            ("github_webhook_secret", SECRET.to_owned()),
            ("gitops_repo", GITOPS.to_owned()),
            ("gitops_branch", "main".to_owned()),
            ("catalog_path", "deploy-bot.yaml".to_owned()),
            ("catalog_channel", String::new()),
            ("registry_url", System::Registry.origin()),
            ("registry_credentials", credentials.to_string()),
            ("argocd_url", System::ArgoCd.origin()),
            ("argocd_public_url", "https://argocd.acme.example".to_owned()),
            ("argocd_token", "argocd-token-of-the-simulation".to_owned()),
            ("relay", "own".to_owned()),
            ("redis_url", "redis://127.0.0.1:6379".to_owned()),
            ("redis_origin", "redis://127.0.0.1:6379".to_owned()),
        ]));
        let wrong = "the simulation's own settings are good";
        let skews = weather.skew;
        let service = |_| {
            let skew = if skews == 0 { 0 } else { kernel.draw(|rng| rng.i64(-skews..=skews)) };
            Service { process: Cell::new(None), waiting: Cell::new(0), busy: Cell::new(false), skew }
        };
        let town = Rc::new(Self {
            slack: Arc::new(Mutex::new(slack)),
            github,
            registry: Arc::new(Mutex::new(registry)),
            argocd: Arc::new(Mutex::new(argocd)),
            store: RefCell::default(),
            redis: RefCell::default(),
            weather: RefCell::new(weather),
            https: (0..replicas).map(service).collect(),
            pollers: (0..replicas).map(service).collect(),
            apps,
            users,
            approvals,
            command: Rc::new(SlackCommandSettings::read(&variables).expect(wrong)),
            relay: Rc::new(GithubRelaySettings::read(&variables).expect(wrong)),
            poller: Rc::new(SyncPollerSettings::read(&variables).expect(wrong)),
            variables,
            journal: RefCell::default(),
            broken: RefCell::default(),
            made: RefCell::default(),
            answered: RefCell::default(),
            went_back: RefCell::default(),
            gave_up_telling: RefCell::default(),
            votes: RefCell::default(),
            rewritten: RefCell::default(),
            noted: RefCell::default(),
            locks: RefCell::default(),
            unlawful: RefCell::default(),
            healthy: RefCell::default(),
            places: RefCell::default(),
            late_edits: RefCell::default(),
            states: RefCell::default(),
            watching: RefCell::default(),
            most_watching: Cell::new(0),
            acted: RefCell::default(),
            most_flying: Cell::new(0),
            counter: Cell::new(0),
            kernel,
        });
        for service in town.https.iter().chain(&town.pollers) {
            service.start(&town.kernel);
        }
        town.clone().beat();
        town.clone().probe();
        town
    }

    /// The time in milliseconds.
    pub(crate) fn now(&self) -> u64 {
        self.kernel.now() / 1000
    }

    pub(crate) fn note(&self, what: impl FnOnce() -> String) {
        self.journal.borrow_mut().push((self.kernel.now() - BEGIN, what()));
    }

    /// Something that must never happen has happened.
    pub(crate) fn broke(&self, what: String) {
        self.note(|| format!("BROKEN: {what}"));
        self.broken.borrow_mut().push(what);
    }

    pub(crate) fn stand_in(&self, system: System) -> Arc<Mutex<dyn StandIn>> {
        match system {
            System::Slack => self.slack.clone(),
            System::GitHub => self.github.clone(),
            System::Registry => self.registry.clone(),
            System::ArgoCd => self.argocd.clone(),
        }
    }

    // ---- what the outside does by itself ----

    /// The stand-ins move, and what they send goes out.
    fn beat(self: Rc<Self>) {
        for system in SYSTEMS {
            let outgoing = {
                let stand_in = self.stand_in(system);
                let mut stand_in = lock(&stand_in);
                stand_in.tick(self.now());
                stand_in.take_outgoing()
            };
            for outgoing in outgoing {
                self.clone().webhook(outgoing);
            }
        }
        if self.now().is_multiple_of(500) {
            self.apps.iter().for_each(|app| self.look_at(app));
        }
        let kernel = self.kernel.clone();
        kernel.after(Duration::from_millis(100), move || self.beat());
    }

    /// Remembers what an app was healthy with.
    fn look_at(&self, app: &str) {
        let argocd = lock(&self.argocd);
        let healthy = argocd.application(app)["status"]["health"]["status"] == "Healthy";
        if let Some(tag) = argocd.live_tag(app).filter(|_| healthy) {
            self.healthy.borrow_mut().insert((app.to_owned(), tag.to_owned()));
        }
    }

    fn webhook(self: Rc<Self>, outgoing: Outgoing) {
        let (copies, delays) = {
            let weather = self.weather.borrow();
            let lost = self.kernel.chance(weather.webhooks_lost);
            let twice = self.kernel.chance(weather.webhooks_twice);
            let copies = match (lost, twice) {
                (true, _) => 0,
                (false, false) => 1,
                (false, true) => 2,
            };
            (copies, weather.webhooks_late)
        };
        for _ in 0..copies {
            let late = self.kernel.chance(delays).then(|| self.kernel.about(Duration::from_secs(60)));
            let (town, outgoing) = (self.clone(), outgoing.clone());
            self.kernel.after(late.unwrap_or(Duration::from_millis(30)), move || {
                let kernel = town.kernel.clone();
                kernel.spawn(OUTSIDE, async move {
                    let (status, body) = town.clone().ask_bot(&outgoing).await;
                    let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
                    town.note(|| format!("webhook answered with {status}: {}", answer["reason"]));
                    if answer["outcome"] == "noted" {
                        let push: Value = serde_json::from_slice(&outgoing.body).unwrap_or_default();
                        town.noted.borrow_mut().extend(push["after"].as_str().map(str::to_owned));
                    }
                });
            });
        }
    }

    /// `GET /healthz` of every replica, every ten seconds.
    fn probe(self: Rc<Self>) {
        for n in 0..self.https.len() {
            if let Some(process) = self.https[n].process.get() {
                let town = self.clone();
                self.kernel.spawn(process, async move {
                    let head = inbound(Method::GET, "/healthz", &[]);
                    town.health(process, n, &head).await;
                });
            }
        }
        let kernel = self.kernel.clone();
        kernel.after(Duration::from_secs(10), move || self.probe());
    }

    // ---- people ----

    /// Somebody types `/deploy <text>`; now and then a proxy sends it twice.
    pub(crate) fn command(self: &Rc<Self>, user: &str, text: &str, twice: bool) {
        let outgoing = lock(&self.slack).command(self.now(), user, CHANNEL, text);
        self.note(|| format!("{user} types /deploy {text}"));
        for _ in 0..=u8::from(twice) {
            let (town, outgoing) = (self.clone(), outgoing.clone());
            self.kernel.spawn(OUTSIDE, async move {
                let (status, body) = town.clone().ask_bot(&outgoing).await;
                lock(&town.slack).answered(town.now(), &outgoing, status, &body);
                let fields: BTreeMap<String, String> = form_urlencoded::parse(&outgoing.body).into_owned().collect();
                let keys = SlackCommandSettings::keys(&town.variables).expect("a signing secret");
                let team = SlackTeam::parse(TEAM).expect("a team");
                let id = deployment_id(&keys.current, Some(&team), &fields["trigger_id"]);
                let body = String::from_utf8_lossy(&body);
                town.note(|| format!("{id} answered with {status}: {body}"));
                let deploys = matches!(
                    Command::parse(&fields["text"]),
                    Ok(Command::Deploy(_) | Command::Rollback(_) | Command::Promote(_))
                );
                if status == 200 && body.is_empty() && deploys {
                    town.answered.borrow_mut().insert(id, true);
                } else if status == 200 && body.contains("I can't take that right now") {
                    town.answered.borrow_mut().entry(id).or_insert(false);
                }
            });
        }
    }

    /// Somebody presses a button that they see: any, or another button of the message in `beside`. The click
    /// may be a little late. Returns the message and the button.
    pub(crate) fn press(
        self: &Rc<Self>,
        user: &str,
        beside: Option<(&str, &str)>,
        late: Duration,
    ) -> Option<(String, String)> {
        let slack = lock(&self.slack);
        let shown = slack.messages(CHANNEL).iter().filter(|message| message.deleted.is_none());
        let shown = shown.chain(slack.ephemerals(user)).filter(|message| message.channel == CHANNEL);
        let buttons: Vec<(String, String)> = shown
            .flat_map(|message| message.buttons().into_iter().map(|button| (message.ts.clone(), button.to_owned())))
            .filter(|(ts, button)| beside.is_none_or(|(other, pressed)| ts == other && button != pressed))
            .collect();
        let (ts, button) = buttons.get(self.kernel.draw(|rng| rng.usize(..buttons.len().max(1))))?.clone();
        drop(slack);
        self.click(user, (&ts, &button), late)?;
        Some((ts, button))
    }

    /// Somebody presses this button of a message.
    pub(crate) fn click(self: &Rc<Self>, user: &str, (ts, button): (&str, &str), late: Duration) -> Option<()> {
        let click = lock(&self.slack).click(self.now(), user, CHANNEL, ts, button)?;
        let fields: BTreeMap<String, String> = form_urlencoded::parse(&click.body).into_owned().collect();
        let payload: Value = serde_json::from_str(&fields["payload"]).unwrap_or_default();
        let value = payload["actions"][0]["value"].as_str().unwrap_or_default();
        self.note(|| format!("{user} presses {button} below {ts}: {value}"));
        if let ("approve" | "reject", Ok(id)) = (button, DeploymentId::parse(value)) {
            self.votes.borrow_mut().push(Vote { id, user: user.to_owned(), yes: button == "approve" });
        }
        let town = self.clone();
        self.kernel.after(late, move || {
            let kernel = town.kernel.clone();
            kernel.spawn(OUTSIDE, async move {
                let (status, body) = town.clone().ask_bot(&click).await;
                lock(&town.slack).answered(town.now(), &click, status, &body);
                town.note(|| format!("the click was answered with {status}"));
            });
        });
        Some(())
    }

    /// Somebody wishes that a deployment were cancelled, without a look at anything.
    pub(crate) fn cancel(self: &Rc<Self>, id: DeploymentId) {
        let Some(process) = self.any_http() else { return };
        let town = self.clone();
        self.kernel.spawn(process.0, async move {
            let world = World::new(town.clone(), process.0, process.1, Role::SlackCommand);
            let cancel = CancelFact { by: SlackUser::parse("U0ALICE").ok(), at: Timestamp(town.now()) };
            let _ = store::save_fact(&world, &id, &cancel).await;
        });
    }

    /// A new commit on an app's branch, and its image.
    pub(crate) fn build(&self, app: &str, branch: &str) -> String {
        let repo = format!("acme/{app}");
        let tag = {
            let mut github = lock(&self.github);
            github.tick(self.now());
            github.person_pushes(&repo, branch, "bob", &[("work.txt", &self.fresh())], "Work");
            tag(&github, app, branch)
        };
        lock(&self.registry).push(&repo, &tag);
        self.note(|| format!("{app} has an image {tag}"));
        tag
    }

    /// A text that never was before.
    pub(crate) fn fresh(&self) -> String {
        self.counter.set(self.counter.get() + 1);
        format!("{:x}", self.counter.get())
    }

    /// Somebody pushes files to the GitOps branch.
    pub(crate) fn push(&self, files: &[(&str, &str)], message: &str) {
        let mut github = lock(&self.github);
        github.tick(self.now());
        let sha = github.person_pushes(GITOPS, "main", "carol", files, message);
        self.note(|| format!("carol pushes {sha}: {message:?}"));
    }

    /// Somebody rewrites the GitOps branch: its newest commits are gone.
    pub(crate) fn force_push(&self, back: usize) {
        let mut github = lock(&self.github);
        github.tick(self.now());
        let commits = github.commits(GITOPS, "main");
        let Some(onto) = commits.get(back.min(commits.len() - 1)) else { return };
        let again = NewCommit::new("Begin again", &[("NOTES.md", &self.fresh())]);
        let gone = commits.iter().take_while(|commit| commit.sha != onto.sha);
        self.rewritten.borrow_mut().extend(gone.map(|commit| (commit.sha.clone(), self.now())));
        let sha = github.force_push(GITOPS, "main", "carol", &onto.sha, &[again]);
        self.note(|| format!("carol rewrites the branch, {back} commits back, to {sha}"));
    }

    pub(crate) fn values(&self, app: &str) -> String {
        let file = lock(&self.github).file_at(GITOPS, "main", &format!("{app}/values.yaml"));
        String::from_utf8_lossy(&file.unwrap_or_default()).into_owned()
    }

    // ---- the bot's services ----

    /// Any HTTP replica that runs, and its place.
    fn any_http(&self) -> Option<(ProcessId, usize)> {
        let alive: Vec<(ProcessId, usize)> =
            self.https.iter().enumerate().filter_map(|(n, service)| Some((service.process.get()?, n))).collect();
        (!alive.is_empty()).then(|| self.kernel.draw(|rng| alive[rng.usize(..alive.len())]))
    }

    /// The service in which a component runs.
    pub(crate) fn service(&self, role: Role, n: usize) -> &Service {
        if role == Role::SyncPoller { &self.pollers[n] } else { &self.https[n] }
    }

    /// With what a role seals and checks stored values.
    pub(crate) fn seals(&self, role: Role) -> Rc<Seals> {
        match role {
            Role::SlackCommand => self.command.seals(),
            Role::GithubRelay => self.relay.seals(),
            Role::SyncPoller => self.poller.seals(),
        }
    }

    /// Kills a service; it comes back after a while.
    pub(crate) fn kill(self: &Rc<Self>, role: Role, n: usize, back_after: Duration) {
        let Some(process) = self.service(role, n).process.take() else { return };
        self.note(|| format!("{role:?} {n} is killed"));
        self.kernel.kill(process);
        self.service(role, n).waiting.set(0);
        self.service(role, n).busy.set(false);
        let town = self.clone();
        self.kernel.after(back_after, move || town.revive(role, n));
    }

    /// A service manager starts it again; a poller only while there is a Redis to subscribe to.
    fn revive(self: Rc<Self>, role: Role, n: usize) {
        if self.service(role, n).process.get().is_some() {
            return;
        }
        if role == Role::SyncPoller && self.weather.borrow().redis_down {
            let (kernel, town) = (self.kernel.clone(), self);
            return kernel.after(Duration::from_secs(2), move || town.revive(role, n));
        }
        self.service(role, n).start(&self.kernel);
        self.note(|| format!("{role:?} {n} starts again"));
    }

    /// Redis is gone for a while, and has lost everything when it is back. Pollers end with it.
    pub(crate) fn redis_outage(self: &Rc<Self>, length: Duration) {
        self.note(|| format!("Redis is gone for {length:?}"));
        self.weather.borrow_mut().redis_down = true;
        for n in 0..self.pollers.len() {
            self.kill(Role::SyncPoller, n, Duration::from_secs(2));
        }
        let town = self.clone();
        self.kernel.after(length, move || {
            town.redis.borrow_mut().flush();
            town.weather.borrow_mut().redis_down = false;
            town.note(|| "Redis is back, empty".to_owned());
        });
    }

    /// A request to any replica: status 0 without an answer.
    async fn ask_bot(self: Rc<Self>, outgoing: &Outgoing) -> (u16, Vec<u8>) {
        self.kernel.sleep(self.kernel.about(Duration::from_millis(30))).await;
        let Some((process, n)) = self.any_http() else { return (0, Vec::new()) };
        let headers: Vec<(&str, &str)> =
            outgoing.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let head = inbound(Method::POST, &outgoing.path, &headers);
        let body = Whole(Some(outgoing.body.clone()));
        let (answer, answered) = oneshot::channel();
        let town = self.clone();
        self.kernel.spawn(process, async move {
            let done = if head.path == "/github/webhook" {
                town.relay(process, n, &head, body).await
            } else {
                town.slack_command(process, n, &head, body).await
            };
            let _ = answer.send(done);
        });
        answered.await.map_or((0, Vec::new()), |answer| (answer.status.as_u16(), answer.body))
    }

    /// What slack-command's door does with a command.
    async fn slack_command(
        self: &Rc<Self>,
        process: ProcessId,
        n: usize,
        head: &Inbound,
        mut body: Whole,
    ) -> clients::http::Answer {
        let world = World::new(self.clone(), process, n, Role::SlackCommand);
        let now = store::Clock::now(&world);
        let verified = match accept::verify(head, &mut body, &self.variables, now).await {
            Ok(verified) => verified,
            Err(declined) => return declined.answer,
        };
        let accepted = accept::accept(&world, &self.command, verified).await;
        if head.path == "/slack/interaction" {
            // A click gets no words: the deployment that follows from it is the promise.
            match &accepted.then {
                Then::CarryOut(id, _) => drop(self.answered.borrow_mut().insert(id.clone(), true)),
                Then::TakeBack(id, _) => drop(self.answered.borrow_mut().entry(id.clone()).or_insert(false)),
                Then::Nothing | Then::FollowUp(_) | Then::FormIsOver { .. } => {}
            }
        }
        let town = self.clone();
        self.kernel.spawn(process, async move {
            let world = World::new(town.clone(), process, n, Role::SlackCommand);
            accept::after(&world, &town.command, accepted.then).await;
        });
        accepted.answer
    }

    /// What its door does with a probe.
    async fn health(self: &Rc<Self>, process: ProcessId, n: usize, head: &Inbound) {
        let world = World::new(self.clone(), process, n, Role::SlackCommand);
        if health::probe(&world, head).await.is_ok() {
            deploy::resume(&world, &self.command).await;
        }
    }

    /// What github-relay's door does.
    async fn relay(
        self: &Rc<Self>,
        process: ProcessId,
        n: usize,
        head: &Inbound,
        mut body: Whole,
    ) -> clients::http::Answer {
        match relay::verify(head, &mut body, &self.variables).await {
            Ok(verified) => {
                let world = World::new(self.clone(), process, n, Role::GithubRelay);
                relay::push(&world, &self.relay, verified).await
            }
            Err(declined) => declined.answer,
        }
    }

    /// A wake-up reaches every poller that is subscribed, or is lost on the way; how many heard it.
    pub(crate) fn publish(self: &Rc<Self>) -> usize {
        let heard: Vec<usize> = (0..self.pollers.len()).filter(|n| self.pollers[*n].process.get().is_some()).collect();
        for n in &heard {
            if self.kernel.chance(self.weather.borrow().wakes_lost) {
                continue;
            }
            let (town, n, process) = (self.clone(), *n, self.pollers[*n].process.get());
            self.kernel.after(Duration::from_millis(1), move || {
                // Of another life: it was not subscribed then.
                if town.pollers[n].process.get() == process {
                    town.pollers[n].waiting.set(town.pollers[n].waiting.get() + 1);
                    town.clone().next_wake(n);
                }
            });
        }
        heard.len()
    }

    /// One after the other, as Spin does it.
    fn next_wake(self: Rc<Self>, n: usize) {
        let service = &self.pollers[n];
        let Some(process) = service.process.get().filter(|_| service.waiting.get() > 0 && !service.busy.get()) else {
            return;
        };
        service.waiting.set(service.waiting.get() - 1);
        service.busy.set(true);
        let town = self.clone();
        self.kernel.spawn(process, async move {
            let world = World::new(town.clone(), process, n, Role::SyncPoller);
            watch::watch(&world, &town.poller).await;
            town.pollers[n].busy.set(false);
            town.next_wake(n);
        });
    }

    // ---- calls of the bot ----

    /// A request takes effect, or what the weather makes of it.
    pub(crate) fn exchange(&self, role: Role, system: System, request: &fakes::Request) -> Came {
        let stand_in = self.stand_in(system);
        let call = lock(&stand_in).name_of(request);
        if !role.may_reach(system) {
            self.broke(format!("{role:?} calls {system:?}"));
        }
        if call.ends_with(".unexpected") {
            self.broke(format!("{system:?} does not know {} {}", request.method, request.target));
        }
        if self.weather.borrow().down.contains(&system) {
            self.note(|| format!("{call}: refused"));
            return Came::Failed(HttpError::NotConnected);
        }
        let trouble = self.weather.borrow().trouble(&self.kernel, system, &call);
        match &trouble {
            Some(Trouble::Before(error)) => {
                self.note(|| format!("{call}: {error:?}, without an effect"));
                return error.map_or(Came::Never, Came::Failed);
            }
            Some(Trouble::Instead(response)) => {
                self.note(|| format!("{call}: {} instead", response.status));
                return Came::Whole(response.clone());
            }
            _ => {}
        }
        let answer = lock(&stand_in).answer(self.now(), request);
        if call == "slack.update" && self.kernel.is_late() {
            let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            self.late_edits.borrow_mut().insert((body["ts"].as_str().unwrap_or_default().to_owned(), self.now()));
        }
        self.after_call(&call, request, &answer);
        let came = match answer {
            Answer::Whole(response) => Came::Whole(response),
            Answer::Stream(head, id) => Came::Open(head, Open { stand_in, id }),
            Answer::Later(id) => Came::Later(Open { stand_in, id }),
        };
        if call == "github.commit" && std::mem::take(&mut self.weather.borrow_mut().commit_cuts_off) {
            self.note(|| "GitHub is down after the commit".to_owned());
            self.weather.borrow_mut().down.insert(System::GitHub);
            return Came::Failed(HttpError::Broken);
        }
        match (trouble, came) {
            (Some(Trouble::After(error)), _) => {
                self.note(|| format!("{call}: {error:?}, after its effect"));
                error.map_or(Came::Never, Came::Failed)
            }
            (Some(Trouble::AnswerAfter(response)), _) => {
                self.note(|| format!("{call}: answered with {} after its effect", response.status));
                Came::Whole(response)
            }
            (_, came) => {
                let status =
                    if let Came::Whole(response) = &came { response.status.to_string() } else { "…".to_owned() };
                self.note(|| format!("{call}: {status}"));
                came
            }
        }
    }

    fn after_call(&self, call: &str, request: &fakes::Request, answer: &Answer) {
        match call {
            "github.commit" => self.look_for_commits(),
            "argocd.sync" => self.check_sync(answer),
            "argocd.webhook" => self.check_relayed(&request.body),
            "slack.update" | "slack.post" | "slack.response_url" => {
                self.note(|| {
                    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
                    let lines: Vec<&str> = body["text"].as_str().unwrap_or_default().lines().collect();
                    format!("{call}: {}", lines.join(" / "))
                });
            }
            _ => {}
        }
    }

    fn look_for_commits(&self) {
        let head = {
            let github = lock(&self.github);
            let head = github.head(GITOPS, "main").unwrap_or_default();
            github.commit(GITOPS, &head).cloned()
        };
        let Some(head) = head else { return };
        let mut made = self.made.borrow_mut();
        let is_bots = head.author.login().as_deref() == Some(BOT);
        if !is_bots || made.iter().any(|made| made.sha == head.sha) {
            return;
        }
        let Some(id) = domain::message::deploy_id(&head.message) else {
            return self.broke(format!("a commit without a Deploy-Id: {:?}", head.message));
        };
        let changed = head.changed();
        let of_file = changed.first().and_then(|path| path.strip_suffix("/values.yaml"));
        // One that takes over what somebody else wrote changes no file: "Deploy app-1 …".
        let of_headline = || head.message.split(' ').find(|word| word.starts_with("app-"));
        let app = of_file.or_else(of_headline).unwrap_or_default().to_owned();
        self.note(|| format!("{id} has made {} in {app}", head.sha));
        if made.iter().any(|made| made.id == id) {
            self.broke(format!("I2: {id} has made a second commit, {}", head.sha));
        }
        if self.answered.borrow().get(&id) == Some(&false) {
            self.broke(format!("I2: {id} was not accepted, and has made {}", head.sha));
        }
        if let Some(state) = self.facts(&id).map(|facts| facts.state()).filter(|state| state.is_final())
            && state != State::Unknown
        {
            // An `end` is written only when nothing can land any more; the watch's own end by time may be overtaken.
            self.note(|| format!("{id} is {state:?} when its commit lands"));
        }
        // I5: a deployment that commits must be the only one of its target under way.
        let others = made.iter().filter(|made| made.app == app && made.id != id);
        let flying = others
            .filter(|made| {
                self.facts(&made.id).is_some_and(|facts| facts.request.is_some() && !facts.state().is_final())
            })
            .count();
        // A rollback takes the turn from a deploy that is past its commit, and that deploy is followed until then.
        let is_rollback = self.facts(&id).and_then(|facts| facts.commit).is_some_and(|commit| commit.target().rollback);
        if !is_rollback {
            self.most_flying.set(self.most_flying.get().max(flying + 1));
        }
        let also =
            changed.iter().skip(1).filter_map(|path| path.strip_suffix("/values.yaml")).map(str::to_owned).collect();
        let new = Made { sha: head.sha, id, app, also };
        if self.approvals > 0 && self.apps.last() == Some(&new.app) {
            self.check_approved(&new, &made);
        }
        if self.is_locked(&new) {
            self.unlawful.borrow_mut().push(format!("I2: {} was locked, and {} has made {}", new.app, new.id, new.sha));
        }
        self.check_version(&new);
        made.push(new);
    }

    /// I2: never a commit that needs others to agree, who have not.
    fn check_approved(&self, new: &Made, made: &[Made]) {
        let request = |id: &DeploymentId| self.facts(id).and_then(|facts| facts.request);
        let Some(request_of) = request(&new.id) else { return };
        // No approval holds up a rollback to a version that was live.
        let commit = self.facts(&new.id).and_then(|facts| facts.commit);
        if commit.is_some_and(|commit| commit.target().rollback && commit.target().was_live) {
            return;
        }
        let Some(of) = request_of.origin.of().filter(|_| !request_of.origin.approvals().is_empty()).cloned() else {
            return self.broke(format!("I2: {} was not approved, and has made {}", new.id, new.sha));
        };
        let votes = self.votes.borrow();
        let yes = votes.iter().filter(|vote| vote.yes && vote.id == of && vote.user != request_of.user.as_str());
        let yes: BTreeSet<&str> = yes.map(|vote| vote.user.as_str()).filter(|user| APPROVERS.contains(user)).collect();
        if yes.len() < usize::from(self.approvals) {
            self.broke(format!("I2: {} was approved by {yes:?} only, and has made {}", new.id, new.sha));
        }
        let same = |other: &&Made| request(&other.id).is_some_and(|request| request.origin.of() == Some(&of));
        if let Some(other) = made.iter().find(same) {
            self.broke(format!("I2: {of} was approved once, and both {} and {} have made a commit", other.id, new.id));
        }
    }

    /// I2: a button deploys what was shown with it, and a rolled-back version is deployed again only by a
    /// person who was warned.
    fn check_version(&self, new: &Made) {
        let Some(Facts { request: Some(request), commit: Some(commit), .. }) = self.facts(&new.id) else { return };
        if request.origin.head().is_some_and(|head| commit.target().source.head.as_ref() != Some(head)) {
            self.broke(format!("I2: {} was asked for another commit than {:?}", new.id, commit.target().source.head));
        }
        if commit.target().rollback || request.origin.knows_rolled_back() {
            return;
        }
        let bad = store::load_key(&Peek(self), RolledBackVersions(&commit.target().target)).now_or_never();
        let bad = bad.and_then(Result::ok).flatten().unwrap_or_default().versions;
        if bad.iter().any(|bad| bad.tag == commit.target().tag.as_str() && bad.at.0 + 20_000 < self.now()) {
            let what = format!(
                "I2: {} was rolled back in {}, and {} has made {}",
                commit.target().tag,
                new.app,
                new.id,
                new.sha
            );
            self.unlawful.borrow_mut().push(what);
        }
    }

    /// Nobody's lock is replaced by another's while it is in force; and a rollback is committed with a lock.
    fn check_locks(&self, key: &str, value: Option<&[u8]>) {
        if key == "deploy-bot/lock" || key.ends_with("/lock") {
            let lock: Option<Value> = value.and_then(|value| serde_json::from_slice(value).ok());
            let before = self.locks.borrow_mut().insert(key.to_owned(), (self.now(), lock.clone()));
            if let (Some((_, Some(before))), Some(lock)) = (before, lock) {
                let over = before["until"].as_u64().is_some_and(|until| until <= self.now() + 20_000);
                if !over && before["by"] != lock["by"] {
                    self.unlawful
                        .borrow_mut()
                        .push(format!("{key} of {} was replaced by {}", before["by"], lock["by"]));
                }
            }
        }
        let id = key.strip_prefix("deploy-bot/deployment/").and_then(|rest| rest.strip_suffix("/committed"));
        let facts = id.and_then(|id| self.facts(&DeploymentId::parse(id).ok()?));
        if let Some(Facts { request: Some(request), commit: Some(commit), .. }) = facts
            && commit.target().rollback
        {
            let locks = self.locks.borrow();
            let own = locks.get(&store::Lock(&commit.target().target).name());
            if !own.is_some_and(|(since, lock)| lock.is_some() || *since >= request.at.0) {
                self.broke(format!("{key} is a rollback, and {} is not locked", commit.target().target));
            }
        }
    }

    /// Whether the target of a commit was locked for so long that the committer must have seen the lock.
    fn is_locked(&self, made: &Made) -> bool {
        let request = self.facts(&made.id).and_then(|facts| facts.request);
        let is_rollback = request.is_some_and(|request| matches!(request.words.what, What::Rollback(_)));
        let locks = self.locks.borrow();
        let own = format!("deploy-bot/target/{}/default/lock", made.app);
        ["deploy-bot/lock", &own].iter().any(|key| match locks.get(*key) {
            Some((since, Some(lock))) => {
                let over = lock["until"].as_u64().is_some_and(|until| until <= self.now());
                let open = is_rollback && lock["rollback"] == true;
                !over && !open && self.now().saturating_sub(*since) > 20_000
            }
            _ => false,
        })
    }

    /// Only pushes of the bot's own commits are handed on.
    fn check_relayed(&self, body: &[u8]) {
        let push: Value = serde_json::from_slice(body).unwrap_or_default();
        if !self.made.borrow().iter().any(|made| push["after"] == made.sha.as_str()) {
            self.broke(format!("I3: a push was relayed that is not the bot's: {}", push["after"]));
        }
    }

    /// I3: only commits that the bot made for a request. An older one after a newer one of the same target is noted, see `invariants`.
    fn check_sync(&self, answer: &Answer) {
        let Answer::Whole(response) = answer else { return };
        let asked = lock(&self.argocd).syncs().last().cloned();
        let Some(asked) = asked.filter(|_| response.status == 200) else { return };
        let made = self.made.borrow();
        let revision = asked.revision().unwrap_or_default().to_owned();
        let Some(at) = made
            .iter()
            .position(|made| made.sha == revision && (made.app == asked.app || made.also.contains(&asked.app)))
        else {
            return self
                .broke(format!("I3: {} was synced to {revision:?}, which the bot did not make for it", asked.app));
        };
        let asker = asked.info("deploy-id").and_then(|id| DeploymentId::parse(id).ok());
        let committed = asker.and_then(|id| self.facts(&id)).and_then(|facts| facts.committed);
        if committed.is_none_or(|committed| committed.sha.as_str() != revision) {
            return self.broke(format!("I3: {} was synced to {revision} for nobody", asked.app));
        }
        let taken = |sha: &str| {
            let argocd = lock(&self.argocd);
            let earlier = &argocd.syncs()[..argocd.syncs().len() - 1];
            earlier.iter().any(|sync| sync.status == 200 && sync.app == asked.app && sync.revision() == Some(sha))
        };
        let newer = made.iter().skip(at + 1).filter(|made| made.app == asked.app).find(|made| taken(&made.sha));
        // A commit that somebody rewrote away is not newer than any other.
        let is_there = |sha: &str| lock(&self.github).commits(GITOPS, "main").iter().any(|commit| commit.sha == sha);
        if let Some(newer) = newer.filter(|newer| is_there(&newer.sha)) {
            self.note(|| format!("{} is synced to {revision} after the newer {}", asked.app, newer.sha));
            self.went_back.borrow_mut().push((lock(&self.argocd).syncs().len() - 1, newer.clone()));
        }
        let retry = asked.retry_strategy();
        if asked.prune() || (!retry.is_null() && retry["refresh"] != false) {
            self.broke(format!("a sync that prunes, or follows newer revisions: {}", asked.body));
        }
        // What it was healthy with before says nothing about this sync.
        self.healthy.borrow_mut().retain(|(app, _)| *app != asked.app);
        self.note(|| format!("{} is synced to {revision}", asked.app));
    }

    // ---- the store ----

    pub(crate) fn facts(&self, id: &DeploymentId) -> Option<Facts> {
        store::load(&Peek(self), id).now_or_never()?.ok()
    }

    /// A ring may have let a deployment go that came to nothing.
    pub(crate) fn has_full_ring(&self) -> bool {
        let keys: Vec<String> = self.store.borrow().keys().filter(|key| key.ends_with("/history")).cloned().collect();
        keys.iter().any(|key| {
            let value = self.store.borrow().get(key).and_then(|bytes| serde_json::from_slice::<Value>(bytes).ok());
            value.and_then(|ring| ring["ids"].as_array().map(Vec::len)).is_some_and(|known| known >= store::BEGUN)
        })
    }

    /// The deployments that have a request.
    pub(crate) fn ids(&self) -> Vec<DeploymentId> {
        let store = self.store.borrow();
        let id = |key: &String| {
            DeploymentId::parse(key.strip_prefix("deploy-bot/deployment/")?.strip_suffix("/request")?).ok()
        };
        store.keys().filter_map(id).collect()
    }

    pub(crate) fn write(&self, role: Role, key: &str, value: Option<Vec<u8>>) {
        // I7: one role for each key. The role that keeps the rings deletes a deployment that falls out of
        // one, as a whole; the role that announced a push deletes its note, and the role that told the end where that
        // was told.
        let allowed = match &value {
            Some(_) => Role::writer(key),
            None if key.starts_with("deploy-bot/push/") => Role::SyncPoller,
            None if key.ends_with("/response-url") && role != Role::GithubRelay => role,
            None => Role::SlackCommand,
        };
        if role != allowed {
            self.broke(format!("I7: {role:?} writes {key}"));
        }
        if let Some(value) = &value {
            self.note(|| format!("{key} = {}", String::from_utf8_lossy(value)));
        }
        if value.is_none() {
            self.note(|| format!("{key} is deleted"));
        }
        self.check_locks(key, value.as_deref());
        match value {
            Some(value) => self.store.borrow_mut().insert(key.to_owned(), value),
            None => self.store.borrow_mut().remove(key),
        };
        let id = key.strip_prefix("deploy-bot/deployment/").and_then(|rest| rest.split_once('/'));
        if let Some(id) = id.and_then(|(id, _)| DeploymentId::parse(id).ok()) {
            self.check_state(id);
        }
    }

    /// I1: a final state stays, but for an `end` that a commit replaces.
    fn check_state(&self, id: DeploymentId) {
        let Some(facts) = self.facts(&id) else { return };
        self.places.borrow_mut().extend(facts.place().map(|place| (id.clone(), place.ts.to_string())));
        if facts.request.is_none() {
            self.states.borrow_mut().remove(&id);
            return;
        }
        let state = facts.state();
        let by_end = !facts.watch_speaks();
        let before = self.states.borrow_mut().insert(id.clone(), (state, by_end));
        if state == State::Live && before.is_none_or(|(before, _)| before != state) {
            self.check_live(&id, &facts);
        }
        let Some((before, was_by_end)) = before.filter(|(before, _)| before.is_final() && *before != state) else {
            return;
        };
        if !was_by_end || facts.committed.is_none() {
            self.broke(format!("I1: {id} was {before:?}, and is {state:?} now"));
        }
    }

    /// I4: never "live" without our commit healthy.
    fn check_live(&self, id: &DeploymentId, facts: &Facts) {
        let Some(commit) = &facts.commit else { return self.broke(format!("I4: {id} is live without a commit")) };
        let ImageRef { tag, .. } = commit.target().image_ref();
        for application in commit.target().applications.iter() {
            let app = application.name.to_string();
            self.look_at(&app);
            if !lock(&self.argocd).ran_well(&app, tag.as_str())
                || !self.healthy.borrow().contains(&(app.clone(), tag.to_string()))
            {
                self.broke(format!("I4: {id} is live, but {app} was never healthy with {tag}"));
            }
        }
    }

    /// A watch begins or ends its work: see I5.
    pub(crate) fn watching(&self, watch: u64, works: bool) {
        let mut watching = self.watching.borrow_mut();
        if works {
            watching.insert(watch)
        } else {
            watching.remove(&watch)
        };
        self.most_watching.set(self.most_watching.get().max(watching.len()));
    }

    /// A watch sets out to change something: in the store, in Slack or in Argo CD.
    pub(crate) fn watch_acts(&self, watch: u64) {
        let now = self.kernel.now();
        self.acted.borrow_mut().entry(watch).or_insert((now, now)).1 = now;
    }

    /// The longest time in which two watches both changed something.
    pub(crate) fn longest_overlap(&self) -> Duration {
        let acted: Vec<(u64, u64)> = self.acted.borrow().values().copied().collect();
        let pairs = acted.iter().enumerate().flat_map(|(n, one)| acted[n + 1..].iter().map(move |other| (one, other)));
        let both = pairs.map(|(one, other)| one.1.min(other.1).saturating_sub(one.0.max(other.0)));
        Duration::from_micros(both.max().unwrap_or_default())
    }

    pub(crate) fn line(&self, role: Role, line: &Line) {
        let text = line.text();
        self.note(|| format!("{role:?} logs {text}"));
        let value: Value = serde_json::from_str(&text).unwrap_or_default();
        if value["event"] == "nobody_told"
            && let Some(id) = value["deployment"].as_str().and_then(|id| DeploymentId::parse(id).ok())
        {
            self.gave_up_telling.borrow_mut().insert(id);
        }
    }
}

impl Service {
    fn start(&self, kernel: &Kernel) {
        self.process.set(Some(kernel.start_process()));
    }
}

impl Log for Peek<'_> {
    fn log(&self, line: Line) {
        self.0.line(Role::SlackCommand, &line);
    }
}

/// The tag that CI gives the newest commit of a branch.
pub(crate) fn tag(github: &GitHub, app: &str, branch: &str) -> String {
    let head = github.head(&format!("acme/{app}"), branch).unwrap_or_default();
    format!("{}-{}", branch.replace('/', "-"), head.get(..7).unwrap_or_default())
}

/// A body that is there at once.
struct Whole(Option<Vec<u8>>);

impl Chunks for Whole {
    async fn chunk(&mut self) -> Result<Option<Vec<u8>>, HttpError> {
        Ok(self.0.take())
    }
}

fn inbound(method: Method, path: &str, headers: &[(&str, &str)]) -> Inbound {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name: HeaderName = name.parse().expect("a header's name");
        map.append(name, HeaderValue::from_str(value).expect("a header's value"));
    }
    Inbound { method, path: path.to_owned(), query: String::new(), headers: map }
}
