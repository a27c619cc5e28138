//! One deploy on a quiet day, for the picture in the README.
//!
//! The names and titles are chosen to be read. Everything that the bot says about them is the bot's own.

use std::time::Duration;

use fakes::Millis;
use fakes::argocd::{App, Script, Source};
use fakes::github::PullRequest;
use fakes::slack::Slack;

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
