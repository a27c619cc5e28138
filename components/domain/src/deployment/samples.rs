//! One deployment as an example, for tests: `/deploy checkout 42`, typed at [`T0`].
#![expect(clippy::unwrap_used, reason = "test code")]

use super::*;
use crate::command::{DeployWords, What};
use crate::image::{ImageName, Tag};
use crate::names::*;
use crate::nonempty::NonEmpty;
use crate::time::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

pub const T0: Timestamp = Timestamp::from_seconds(1_787_301_763);

pub fn at(seconds: u64) -> Timestamp {
    T0.after(Duration::from_secs(seconds))
}

pub fn id(digit: char) -> DeploymentId {
    DeploymentId::parse(&digit.to_string().repeat(32)).unwrap()
}

pub fn sha(digit: char) -> CommitSha {
    CommitSha::parse(&digit.to_string().repeat(40)).unwrap()
}

pub fn blob(digit: char) -> BlobSha {
    BlobSha::parse(&digit.to_string().repeat(40)).unwrap()
}

pub fn user(text: &str) -> SlackUser {
    SlackUser::parse(text).unwrap()
}

pub fn path(text: &str) -> FilePath {
    FilePath::parse(text).unwrap()
}

pub fn application() -> ArgoApplication {
    let name = |text| KubeName::parse(text).unwrap();
    ArgoApplication { name: name("checkout"), project: name("default"), namespace: None }
}

pub fn response_url() -> ResponseUrlFact {
    let slack = UrlOrigin::parse("https://slack.com").unwrap();
    ResponseUrlFact { url: ResponseUrl::parse("https://hooks.slack.com/commands/T1/2/hush", &slack).unwrap() }
}

pub fn request() -> RequestFact {
    RequestFact {
        at: T0,
        user: user("U2CERLKJA"),
        user_name: "alice".to_owned(),
        channel: SlackChannel::parse("C0G9QF9GW").unwrap(),
        thread: None,
        team: SlackTeam::parse("T1DC2JH3J").unwrap(),
        team_domain: "acme".to_owned(),
        words: DeployWords {
            app: "checkout".to_owned(),
            environment: None,
            what: What::PullRequest(PullRequestNumber(42)),
            override_reason: None,
        },
        command: crate::names::CommandName::default(),
        click: click(&response_url().url),
        origin: Origin::Typed,
        button: None,
    }
}

pub fn target_plan() -> TargetPlan {
    TargetPlan {
        target: Target {
            app: AppName::parse("checkout").unwrap(),
            environment: EnvironmentName::parse("default").unwrap(),
        },
        source: Source {
            tip: None,
            repo: RepoName::parse("acme/checkout").unwrap(),
            reference: Reference::PullRequest(PullRequestNumber(42)),
            branch: BranchName::parse("faster-cart").ok(),
            head: Some(sha('a')),
            title: "Make the cart faster".to_owned(),
            author: Some(GitHubLogin::parse("bob").unwrap()),
            url: Some("https://github.com/acme/checkout/pull/42".to_owned()),
        },
        image: ImageName::parse("ghcr.io/acme/checkout").unwrap(),
        tag: Tag::parse("faster-cart-aaaaaaa").unwrap(),
        before: Some("main-1234567".to_owned()),
        digest: None,
        files: NonEmpty::one(path("checkout/values.yaml")),
        applications: NonEmpty::one(application()),
        deadline: Duration::from_secs(600),
        degraded_grace: Duration::from_secs(10),
        mirrors: Vec::new(),
        beside: Vec::new(),
        verify_running: crate::image::VerifyRunning::On,
        sync: crate::application::SyncBy::Bot,
        home: None,
        reach: Reach { paths: vec!["checkout".to_owned()], everything: false },
        there: Vec::new(),
        elsewhere: Vec::new(),
        pinned: false,
        alone: false,
        riders: Riders::Since { commits: Vec::new(), more: false },
        rollback: false,
        was_live: false,
        auto_rollback: false,
        promoted_from: None,
        promotes_to: None,
        previous: None,
        taken: None,
        contact: None,
        catalog: None,
    }
}

/// The plan of this one target, attempted once.
pub fn commit_to(target: TargetPlan) -> CommitFact {
    let gitops = GitOpsBranch {
        repo: RepoName::parse("acme/gitops").unwrap(),
        branch: BranchName::parse("main").unwrap(),
        is_default: true,
        url: "https://github.com/acme/gitops".to_owned(),
    };
    let plan = Plan { gitops, targets: NonEmpty::one(target), argocd: None };
    CommitFact { request: (&request()).into(), plan, granted: Granted::default(), attempts: vec![attempt()] }
}

pub fn commit() -> CommitFact {
    commit_to(target_plan())
}

impl CommitFact {
    pub fn target_mut(&mut self) -> &mut TargetPlan {
        self.plan.targets.first_mut()
    }
}

impl Origin {
    /// The message whose button was pressed.
    pub fn of(&self) -> Option<&DeploymentId> {
        match self {
            Self::Typed | Self::Form | Self::Pushed { .. } => None,
            Self::Retry { of, .. }
            | Self::Shown { of, .. }
            | Self::RollBack { of, .. }
            | Self::Anyway { of, .. }
            | Self::TakeOver { of, .. }
            | Self::Wait { of, .. }
            | Self::Waited { of, .. }
            | Self::ByItself { of, .. }
            | Self::Part { of, .. }
            | Self::Approved { of, .. } => Some(of),
        }
    }
}

/// On top of `b…`, the values file becomes the blob `c…`.
pub fn attempt() -> Attempt {
    Attempt {
        base: sha('b'),
        at: at(2),
        files: BTreeMap::from([(path("checkout/values.yaml"), blob('c'))]),
        unchanged: false,
    }
}

pub fn committed() -> CommittedFact {
    CommittedFact { sha: sha('d'), at: at(3), reused: false, commit: Box::new(commit()) }
}

pub fn push() -> PushFact {
    PushFact { delivery: "72d3162e-cc78-11e3-81ab-4c9367dc0958".to_owned(), at: at(4) }
}

pub fn cancelled() -> EndFact {
    EndFact { at: at(5), end: End::Cancelled { by: Some(user("U1")) }, contact: None, catalog: None }
}

pub fn place(ts: &str) -> Place {
    Place { channel: SlackChannel::parse("C0G9QF9GW").unwrap(), ts: MessageTs::parse(ts).unwrap(), thread: None }
}

/// All that is known after GitHub's webhook, before anything was asked of Argo CD.
pub fn relayed() -> Facts {
    Facts {
        request: Some(request()),
        commit: Some(commit()),
        committed: Some(committed()),
        push: Some(push()),
        ..Facts::default()
    }
}

pub fn live() -> LastWord {
    LastWord::Live { proof: Proof::Runs, synced_by: None, urls: Vec::new() }
}
