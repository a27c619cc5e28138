//! A little company to deploy in: acme, with two apps, their images, their Argo CD applications and three people.
//!
//! The catalog names images by this run's registry, so it is written when the port is known.

use std::sync::{Arc, Mutex};

use fakes::argocd::{App, ArgoCd, Git, Source};
use fakes::github::{Commit, GitHub, PullRequest, Webhook};
use fakes::registry::Registry;
use fakes::slack::{Bot, Kind, Limits, Slack};

use crate::{lock, now};

/// The workspace's id.
pub const TEAM: &str = "T0ACME";
/// `#deploys`, where the bot is a member.
pub const DEPLOYS: &str = "C0DEPLOYS";
/// Works on checkout.
pub const ALICE: &str = "U0ALICE";
/// Works on payments.
pub const BOB: &str = "U0BOB";
/// Runs the platform.
pub const CAROL: &str = "U0CAROL";
/// Works for another company, in the same channel.
pub const MALLORY: &str = "U0MALLORY";
/// That company's workspace.
pub const OTHER_TEAM: &str = "T0OTHER";
/// The GitOps repository; its branch is `main`.
pub const GITOPS: &str = "acme/gitops";

/// What Slack signs with.
pub const SLACK_SIGNING_SECRET: &str = "slack-signing-secret-of-the-sandbox";
/// The bot's token for Slack.
pub const SLACK_BOT_TOKEN: &str = "xoxb-token-of-the-sandbox";
/// The bot's token for GitHub.
pub const GITHUB_TOKEN: &str = "github-token-of-the-sandbox";
/// The bot's login at GitHub.
pub const BOT_LOGIN: &str = "acme-deploy-bot[bot]";
/// What GitHub signs webhooks with; Argo CD's stand-in verifies with the same.
pub const WEBHOOK_SECRET: &str = "webhook-secret-of-the-sandbox";
/// The bot's token for Argo CD's stand-in.
pub const ARGOCD_TOKEN: &str = "argocd.token-of-the.sandbox";
/// What signs the questions to the gate service.
pub const GATE_KEY: &str = "gate-key-of-the-sandbox";
/// The bot's user at the registry.
pub const REGISTRY_USER: &str = "deploy-bot";
/// Its password.
pub const REGISTRY_PASSWORD: &str = "registry-password-of-the-sandbox";

/// Argo CD's view of GitHub.
pub(crate) struct GitOf(pub(crate) Arc<Mutex<GitHub>>);

impl GitOf {
    fn find(&self, repo_url: &str, wanted: impl Fn(&Commit) -> bool) -> Option<Commit> {
        let commits = lock(&self.0).commits(repo(repo_url)?, "main");
        commits.into_iter().find(wanted)
    }
}

/// `https://github.com/acme/gitops.git` is `acme/gitops`, and so are `git@github.com:acme/gitops.git` and what has a user or a slash at
/// the end.
fn repo(repo_url: &str) -> Option<&str> {
    let address = repo_url.strip_prefix("https://").map(|rest| rest.split_once('@').map_or(rest, |(_, rest)| rest));
    let path = address
        .and_then(|rest| rest.strip_prefix("github.com/"))
        .or_else(|| repo_url.strip_prefix("git@github.com:"))?
        .trim_end_matches('/');
    Some(path.strip_suffix(".git").unwrap_or(path))
}

impl Git for GitOf {
    fn head(&self, repo_url: &str, revision: &str) -> Option<String> {
        let branch = match revision {
            "HEAD" => "main",
            other => other.strip_prefix("refs/heads/").unwrap_or(other),
        };
        let head = lock(&self.0).head(repo(repo_url)?, branch);
        let is_short = |commit: &Commit| revision.len() >= 7 && commit.sha.starts_with(revision);
        head.or_else(|| self.find(repo_url, is_short).map(|commit| commit.sha))
    }

    fn file(&self, repo_url: &str, sha: &str, path: &str) -> Option<Vec<u8>> {
        let github = lock(&self.0);
        github.commit(repo(repo_url)?, sha)?.files.get(path).map(|file| file.bytes.to_vec())
    }

    fn files(&self, repo_url: &str, sha: &str, folder: &str) -> Vec<String> {
        let github = lock(&self.0);
        let commit = repo(repo_url).and_then(|repo| github.commit(repo, sha));
        commit.map(|commit| commit.below(folder)).unwrap_or_default()
    }
}

/// The tag that CI gives the newest commit of a branch of an app's repository.
pub fn tag(github: &GitHub, app: &str, branch: &str) -> String {
    let head = github.head(&format!("acme/{app}"), branch).unwrap_or_default();
    format!("{}-{}", branch.replace('/', "-"), head.get(..7).unwrap_or_default())
}

/// The branch and pull request of each app.
const APPS: [(&str, u64, &str, &str); 2] =
    [("checkout", 42, "feature/totals", "Show totals in the basket"), ("payments", 7, "feature/refunds", "Refunds")];

/// People and channels.
pub(crate) fn slack(slack: &mut Slack) {
    slack.team = TEAM.to_owned();
    slack.limits = Some(Limits::default());
    for (id, name) in [(ALICE, "alice"), (BOB, "bob"), (CAROL, "carol")] {
        slack.add_user(id, name);
    }
    slack.add_stranger(MALLORY, "mallory", OTHER_TEAM);
    slack.add_channel(DEPLOYS, "deploys", Kind::Public, Bot::Member);
}

/// What differs from run to run.
pub(crate) struct Run<'a> {
    /// The registry's host, as image names have it.
    pub(crate) host: &'a str,
    /// What GitHub signs webhooks with.
    pub(crate) webhook_secret: &'a str,
    /// What the names of the Argo CD applications end in, after the app's: several runs share a real Argo CD.
    pub(crate) suffix: &'a str,
}

/// Repositories and images.
pub(crate) fn code(github: &mut GitHub, registry: &mut Registry, run: &Run<'_>) {
    let host = run.host;
    registry.user(REGISTRY_USER, REGISTRY_PASSWORD);
    for (app, number, branch, title) in APPS {
        let repo = format!("acme/{app}");
        let pull_request = PullRequest { title: title.to_owned(), ..PullRequest::new(number, branch) };
        github.repo(&repo).commit("Begin", &[("README.md", app)]).pull_request(pull_request);
        registry.private(&repo, true);
        for branch in ["main", branch] {
            registry.push(&repo, &tag(github, app, branch));
        }
    }
    let checkout = checkout_values(host, &tag(github, "checkout", "main"));
    let payments = payments_values(host, &tag(github, "payments", "main"));
    github
        .repo(GITOPS)
        .commit(
            "Begin",
            &[
                ("README.md", "What runs in acme's clusters.\n"),
                ("deploy-bot.yaml", &catalog(run)),
                ("checkout/values.yaml", &checkout),
                ("payments/values.yaml", &payments),
            ],
        )
        .webhook(Webhook::new(run.webhook_secret));
}

/// The applications, live and healthy. Argo CD's lock is held, GitHub's must not be.
pub(crate) fn applications(argocd: &mut ArgoCd, host: &str) {
    // Streams are a little behind, as in production.
    argocd.cache_lag = 30;
    for (app, ..) in APPS {
        let source = Source::new(&format!("https://github.com/{GITOPS}"), "main").at(app);
        let mut application = App::new(app, source);
        application.image = format!("{host}/acme/{app}");
        argocd.add(now(), application);
    }
}

fn catalog(run: &Run<'_>) -> String {
    let Run { host, suffix, .. } = run;
    let apps = APPS.map(|(app, ..)| {
        let entry = format!("  {app}:\n    repo: acme/{app}\n    image: {host}/acme/{app}\n    allow: anyone\n");
        if suffix.is_empty() { entry } else { format!("{entry}    argocd: {{ application: {app}{suffix} }}\n") }
    });
    format!("# What may be deployed from Slack, and by whom.\napps:\n{}", apps.concat())
}

fn checkout_values(host: &str, tag: &str) -> String {
    format!(
        "\
# What checkout runs with. The tag is written by the deploy bot.
replicaCount: 2

image:
  repository: {host}/acme/checkout
  tag: \"{tag}\" # by /deploy, never by hand
  pullPolicy: IfNotPresent

resources:
  limits: {{ cpu: 500m, memory: 256Mi }}
"
    )
}

/// As an editor on Windows leaves it: CRLF, an odd order, single quotes, no line break at the end.
fn payments_values(host: &str, tag: &str) -> String {
    let lines =
        ["image:", &format!("    tag: '{tag}'"), &format!("    repository: '{host}/acme/payments'"), "replicaCount: 1"];
    lines.join("\r\n")
}
