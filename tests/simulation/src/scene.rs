//! One deploy on a quiet day, for the picture in the README, and what people see on other days, for `docs/slack.md`.
//!
//! The names and titles are chosen to be read. Everything that the bot says about them is the bot's own.

use std::time::Duration;

use fakes::Millis;
use fakes::argocd::{App, End, Script, Source};
use fakes::github::PullRequest;
use fakes::slack::{Edit, Slack};

use crate::town::{CHANNEL, GITOPS, REGISTRY, Town, lock, tag};
use crate::weather::Weather;

/// What happened.
pub struct Scene {
    /// The workspace afterwards, with every state of every message.
    pub slack: Slack,
    /// Where the command was typed.
    pub channel: &'static str,
    /// Who typed the command.
    pub asker: &'static str,
    /// What was typed.
    pub typed: &'static str,
    /// When.
    pub at: Millis,
}

const APP: &str = "checkout";
const REPO: &str = "acme/checkout";
const BRANCH: &str = "totals";
const TITLE: &str = "Show totals in the cart";

/// Plays the deploy: the same one each time.
pub fn scene() -> Scene {
    let town = Town::new(1, 0, 1, Weather::default(), 0);
    set_up(&town);
    let run = |duration: Duration| {
        let until = town.kernel.now() + duration.as_micros() as u64;
        town.kernel.run_until(until, || false);
    };
    // Both commands are typed in the middle of a second. The message counts whole seconds, and chance moves
    // each step by some tenths: so the message mostly stays the same when the bot makes a call more or less.
    run(Duration::from_millis(500));
    // The first deploy of an app is a special case, with a line of its own in the message.
    town.command("U0BOB", "checkout main", false);
    run(Duration::from_millis(14 * 60 * 1000 + 100));
    let at = town.now();
    town.command("U0ALICE", "checkout 42", false);
    run(Duration::from_secs(60));
    assert_eq!(town.broken.borrow().as_slice(), [""; 0]);
    let slack = lock(&town.slack).clone();
    Scene { slack, channel: CHANNEL, asker: "alice", typed: "/deploy checkout 42", at }
}

/// What one person, or the whole channel, sees.
pub struct View {
    /// Short, for the name of a file.
    pub name: &'static str,
    /// Who types, or presses, what.
    pub does: &'static str,
    /// What was typed, if something was.
    pub typed: Option<&'static str>,
    /// When.
    pub at: Millis,
    /// The bot's message.
    pub said: Edit,
    /// Nobody else sees the message.
    pub alone: bool,
}

/// Plays another day, and shows what people see of it; and the workspace afterwards.
pub fn views() -> (Vec<View>, Slack) {
    let town = Town::new(2, 0, 1, Weather::default(), 0);
    let catalog = [
        add_app(&town, APP, ""),
        add_app(&town, "search", ""),
        add_app(&town, "payments", ", approvals: { count: 1, users: [U0CAROL] }"),
    ];
    let text = format!("apps:\n{}", catalog.concat());
    lock(&town.github).repo(GITOPS).commit("Add the apps", &[("deploy-bot.yaml", &text)]);
    let mut views = Vec::new();
    let wait = |seconds: u64| {
        let until = town.kernel.now() + seconds * 1_000_000;
        town.kernel.run_until(until, || false);
    };
    let types = |user: &str, text: &'static str| {
        wait(60);
        let at = town.now();
        town.command(user, text, false);
        wait(60);
        at
    };
    let last = |words: &str| {
        let slack = lock(&town.slack);
        let all = slack.messages(CHANNEL).iter().rev();
        let edits = all.flat_map(|message| message.edits.iter().rev().map(|edit| (message.ts.clone(), edit.clone())));
        let found = edits.clone().find(|(_, edit)| slack.render_edit(edit).contains(words));
        found.unwrap_or_else(|| panic!("nothing says {words:?}, but {:#?}", slack.messages(CHANNEL).len()))
    };
    // The first deploy of each is a special case.
    for text in ["checkout main", "search main"] {
        types("U0BOB", text);
    }

    lock(&town.github).repo(REPO).branch("wishlist").commit("Wish", &[("wish.txt", "for a year")]);
    let wish = PullRequest { title: "Keep a wish list".to_owned(), ..PullRequest::new(43, "wishlist") };
    lock(&town.github).repo(REPO).pull_request(wish);
    let at = types("U0ALICE", "checkout 43");
    let said = lock(&town.slack).ephemerals("U0ALICE").last().and_then(|message| message.edits.last().cloned());
    let said = said.expect("a word to alice");
    views.push(View {
        name: "refused",
        does: "alice types",
        typed: Some("/deploy checkout 43"),
        at,
        said,
        alone: true,
    });

    let at = types("U0ALICE", "payments main");
    let (ts, said) = last("needs 1 approval");
    views.push(View {
        name: "approval",
        does: "alice types",
        typed: Some("/deploy payments main"),
        at,
        said,
        alone: false,
    });
    town.click("U0CAROL", (&ts, "approve"), Duration::ZERO).expect("a button");
    wait(60);

    let broken =
        End::Failed("one or more objects failed to apply".to_owned(), "quota exceeded: requests.memory".to_owned());
    let script = Script { end: broken, ..Script::with_waves("search") };
    lock(&town.argocd).app("search").script = script;
    town.build("search", "main");
    let at = types("U0BOB", "search main");
    let (ts, said) = last("quota exceeded");
    views.push(View { name: "failed", does: "bob types", typed: Some("/deploy search main"), at, said, alone: false });

    lock(&town.argocd).app("search").script = Script::with_waves("search");
    let at = town.now();
    town.click("U0BOB", (&ts, "roll_back"), Duration::ZERO).expect("a button");
    wait(90);
    let (ts, said) = last("rollback to");
    views.push(View { name: "rollback", does: "bob presses Roll back", typed: None, at, said, alone: false });
    town.click("U0BOB", (&ts, "unlock"), Duration::ZERO).expect("a button");
    wait(30);

    for app in [APP, "search"] {
        town.build(app, "main");
    }
    let at = types("U0ALICE", "checkout,search main");
    let (_, said) = last("all are live");
    let typed = Some("/deploy checkout,search main");
    views.push(View { name: "several", does: "alice types", typed, at, said, alone: false });

    let at = types("U0ALICE", "status");
    let said = lock(&town.slack).ephemerals("U0ALICE").last().and_then(|message| message.edits.last().cloned());
    let said = said.expect("a word to alice");
    views.push(View { name: "status", does: "alice types", typed: Some("/deploy status"), at, said, alone: true });
    assert_eq!(town.broken.borrow().as_slice(), [""; 0]);
    let slack = lock(&town.slack).clone();
    (views, slack)
}

/// An app with its repository, its image, its file and its application. Returns its lines in the catalog.
fn add_app(town: &Town, app: &str, gates: &str) -> String {
    let repo = format!("acme/{app}");
    let mut github = lock(&town.github);
    github.repo(&repo).commit("Begin", &[("README.md", app)]);
    let running = tag(&github, app, "main");
    let values = format!("image:\n  tag: \"{running}\"\n");
    github.repo(GITOPS).commit("Add an app", &[(&format!("{app}/values.yaml"), &values)]);
    drop(github);
    lock(&town.registry).push(&repo, &running);
    let mut application = App::new(app, Source::new(&format!("https://github.com/{GITOPS}"), "main").at(app));
    application.image = format!("{REGISTRY}/{repo}");
    application.script = Script::with_waves(app);
    lock(&town.argocd).add(town.now(), application);
    town.build(app, "main");
    format!("  {app}: {{ repo: {repo}, image: {REGISTRY}/{repo}, allow: anyone{gates} }}\n")
}

/// An app with an open pull request, its images, and its application in Argo CD.
fn set_up(town: &Town) {
    let mut github = lock(&town.github);
    github.repo(REPO).commit("Begin", &[("README.md", APP)]);
    let running = tag(&github, APP, "main");
    github.repo(REPO).commit("Remember the cart", &[("cart.txt", "kept for a week")]);
    let pull_request = PullRequest { title: TITLE.to_owned(), ..PullRequest::new(42, BRANCH) };
    github
        .repo(REPO)
        .branch(BRANCH)
        .commit("Add up the prices", &[("totals.txt", "with taxes")])
        .pull_request(pull_request);
    let values = format!("image:\n  tag: \"{running}\"\n");
    let catalog =
        format!("apps:\n  {APP}: {{ repo: {REPO}, image: {REGISTRY}/{REPO}, allow: {{ channels: [{CHANNEL}] }} }}\n");
    github.repo(GITOPS).commit("Add checkout", &[("checkout/values.yaml", &values), ("deploy-bot.yaml", &catalog)]);
    for branch in ["main", BRANCH] {
        lock(&town.registry).push(REPO, &tag(&github, APP, branch));
    }
    // Argo CD looks at GitHub.
    drop(github);
    let mut application = App::new(APP, Source::new(&format!("https://github.com/{GITOPS}"), "main").at(APP));
    application.image = format!("{REGISTRY}/{REPO}");
    application.urls = vec!["https://checkout.acme.example/".to_owned()];
    let rollout = (2_400, format!("waiting for healthy state of apps/Deployment/{APP}"));
    application.script = Script { steps: vec![rollout], ends: 17_000, ..Script::with_waves(APP) };
    lock(&town.argocd).add(town.now(), application);
}
