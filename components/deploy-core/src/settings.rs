//! What operators configure: Spin variables, checked when they are read, so that a wrong one is named instead of failing somewhere.
//!
//! One `allowed_outbound_hosts` entry that does not parse denies every outbound call of a component, Redis included, so each
//! variable that ends up there is checked here, even where this component would not use it.

use crate::argocd::ArgoCd;
use crate::deployment::Tempo;
use crate::fault::{Cause, Fault, System};
use crate::github::GitHub;
use crate::names::{BranchName, FilePath, Origin, RepoName, Secret, SlackTeam};
use crate::registry::{Registry, parse_credentials};
use crate::signature::{Keys, SigningKey};
use crate::slack::Slack;
use std::collections::BTreeMap;

/// A variable that is missing or malformed. Its value is never part of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the variable {variable} {problem}")]
pub struct SettingError {
    /// The Spin variable.
    pub variable: &'static str,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl SettingError {
    fn new(variable: &'static str, problem: &'static str) -> Self {
        Self { variable, problem }
    }

    /// The same for a person and the facts.
    pub fn fault(&self, doing: &str) -> Fault {
        Fault::new(System::Settings, doing, Cause::Setting { variable: self.variable.to_owned() })
    }
}

/// The values of a component's variables, as Spin gave them.
#[derive(Clone, Default)]
pub struct Variables(pub BTreeMap<&'static str, String>);

impl Variables {
    fn text(&self, name: &'static str) -> &str {
        self.0.get(name).map(|value| value.trim()).unwrap_or_default()
    }

    fn required<T, E>(&self, name: &'static str, parse: impl Fn(&str) -> Result<T, E>) -> Result<T, SettingError> {
        match self.text(name) {
            "" => Err(SettingError::new(name, "is not set")),
            text => parse(text).map_err(|_| SettingError::new(name, "is malformed")),
        }
    }

    fn optional<T, E>(&self, name: &'static str, parse: impl Fn(&str) -> Result<T, E>) -> Result<Option<T>, SettingError> {
        if self.text(name).is_empty() { Ok(None) } else { self.required(name, parse).map(Some) }
    }

    /// An origin over HTTP. A trailing slash is fine for Spin, so it is fine here.
    fn origin(&self, name: &'static str) -> Result<Origin, SettingError> {
        self.required(name, |text| Origin::parse(text.strip_suffix('/').unwrap_or(text))).and_then(|origin| {
            if origin.as_str().starts_with("http") {
                Ok(origin)
            } else {
                Err(SettingError::new(name, "is not http:// or https://"))
            }
        })
    }

    fn optional_origin(&self, name: &'static str) -> Result<Option<Origin>, SettingError> {
        if self.text(name).is_empty() { Ok(None) } else { self.origin(name).map(Some) }
    }

    fn secret(&self, name: &'static str) -> Result<Secret, SettingError> {
        let text = self.text(name);
        if text.len() < 16 {
            return Err(SettingError::new(name, "is missing or shorter than 16 bytes"));
        }
        // A token travels in a header, where any other character would cut it or make it vanish.
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(SettingError::new(name, "contains a space or a character that no header may hold"));
        }
        Ok(Secret::new(text))
    }

    /// The signing keys: the present one and, while it is rotated, the previous one.
    fn keys(&self, name: &'static str, previous: &'static str) -> Result<Keys, SettingError> {
        let key = |name: &'static str| {
            SigningKey::new(&Secret::new(self.text(name)))
                .ok_or(SettingError::new(name, "is missing or shorter than 16 bytes"))
        };
        let current = key(name)?;
        let previous = if self.text(previous).is_empty() { None } else { Some(key(previous)?) };
        Ok(Keys { current, previous })
    }

    fn redis(&self) -> Result<Secret, SettingError> {
        self.required("redis_origin", |text| match Origin::parse(text.strip_suffix('/').unwrap_or(text)) {
            Ok(origin) if origin.as_str().starts_with("redis") => Ok(()),
            _ => Err(()),
        })?;
        self.required("redis_url", |text| {
            let (scheme, rest) = text.split_once("://").filter(|(scheme, _)| scheme.starts_with("redis")).ok_or(())?;
            let authority = rest.split(['/', '?']).next().unwrap_or_default();
            let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
            // Neither scheme nor host may be malformed; user, password and database are for Redis to judge.
            Origin::parse(&format!("{scheme}://{host}")).map(|_| Secret::new(text)).map_err(drop)
        })
    }

    fn tempo(&self) -> Result<Tempo, SettingError> {
        Tempo::parse(self.text("tempo")).ok_or(SettingError::new("tempo", "is malformed"))
    }

    /// Where Argo CD is; without a token.
    fn argocd(&self) -> Result<ArgoCd, SettingError> {
        Ok(ArgoCd { url: self.origin("argocd_url")?, root_path: self.root_path()?, token: None })
    }

    fn root_path(&self) -> Result<String, SettingError> {
        match self.text("argocd_root_path").trim_matches('/') {
            "" => Ok(String::new()),
            path if path.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'/' | b'.')) => {
                Ok(format!("/{path}"))
            }
            _ => Err(SettingError::new("argocd_root_path", "is malformed")),
        }
    }
}

/// The GitOps repository and its branch.
#[derive(Clone, Debug)]
pub struct GitOps {
    /// The repository.
    pub repo: RepoName,
    /// The branch.
    pub branch: BranchName,
}

impl GitOps {
    fn read(variables: &Variables) -> Result<Self, SettingError> {
        Ok(Self {
            repo: variables.required("gitops_repo", RepoName::parse)?,
            branch: variables.required("gitops_branch", BranchName::parse)?,
        })
    }
}

/// What slack-command is configured with.
pub struct SlackCommandSettings {
    /// Slack's API.
    pub slack: Slack,
    /// The one workspace that we serve; none: any that has the secret.
    pub team: Option<SlackTeam>,
    /// GitHub's API.
    pub github: GitHub,
    /// The GitOps repository.
    pub gitops: GitOps,
    /// Where the catalog is in it.
    pub catalog_path: FilePath,
    /// Registries.
    pub registry: Registry,
    /// Redis, with its password.
    pub redis_url: Secret,
    /// Periods.
    pub tempo: Tempo,
}

impl SlackCommandSettings {
    /// The variables it reads.
    pub const NAMES: &'static [&'static str] = &[
        "slack_signing_secret",
        "slack_signing_secret_previous",
        "slack_bot_token",
        "slack_url",
        "slack_team_id",
        "github_token",
        "github_url",
        "gitops_repo",
        "gitops_branch",
        "catalog_path",
        "registry_url",
        "registry_token_url",
        "registry_credentials",
        "argocd_url",
        "argocd_root_path",
        "redis_url",
        "redis_origin",
        "tempo",
    ];

    /// The keys that verify Slack's requests: read before anything else.
    pub fn keys(variables: &Variables) -> Result<Keys, SettingError> {
        variables.keys("slack_signing_secret", "slack_signing_secret_previous")
    }

    /// Everything else. Where Argo CD is, is only checked: we may not call it, but the components that do face nobody to whom they
    /// could say that they cannot, and they would find out after the commit.
    pub fn read(variables: &Variables) -> Result<Self, SettingError> {
        variables.argocd()?;
        Ok(Self {
            redis_url: variables.redis()?,
            slack: Slack { url: variables.origin("slack_url")?, token: variables.secret("slack_bot_token")? },
            team: variables.optional("slack_team_id", SlackTeam::parse)?,
            github: GitHub { url: variables.origin("github_url")?, token: variables.secret("github_token")? },
            gitops: GitOps::read(variables)?,
            catalog_path: variables.required("catalog_path", FilePath::parse)?,
            registry: Registry {
                url: variables.optional_origin("registry_url")?,
                token_url: variables.optional_origin("registry_token_url")?,
                credentials: variables.required("registry_credentials", parse_credentials)?,
            },
            tempo: variables.tempo()?,
        })
    }
}

/// What github-relay is configured with.
pub struct GithubRelaySettings {
    /// The GitOps repository.
    pub gitops: GitOps,
    /// Argo CD's webhook; no token.
    pub argocd: ArgoCd,
    /// Argo CD's own webhook secret, where it differs from GitHub's.
    pub resign: Option<SigningKey>,
    /// Redis, with its password.
    pub redis_url: Secret,
    /// Periods.
    pub tempo: Tempo,
}

impl GithubRelaySettings {
    /// The variables it reads.
    pub const NAMES: &'static [&'static str] = &[
        "github_webhook_secret",
        "github_webhook_secret_previous",
        "gitops_repo",
        "gitops_branch",
        "argocd_url",
        "argocd_root_path",
        "argocd_webhook_secret",
        "redis_url",
        "redis_origin",
        "tempo",
    ];

    /// The keys that verify GitHub's webhooks: read before anything else.
    pub fn keys(variables: &Variables) -> Result<Keys, SettingError> {
        variables.keys("github_webhook_secret", "github_webhook_secret_previous")
    }

    /// Everything else.
    pub fn read(variables: &Variables) -> Result<Self, SettingError> {
        let resign = match variables.text("argocd_webhook_secret") {
            "" => None,
            text => Some(
                SigningKey::new(&Secret::new(text))
                    .ok_or(SettingError::new("argocd_webhook_secret", "is shorter than 16 bytes"))?,
            ),
        };
        Ok(Self {
            redis_url: variables.redis()?,
            gitops: GitOps::read(variables)?,
            argocd: variables.argocd()?,
            resign,
            tempo: variables.tempo()?,
        })
    }
}

/// What sync-poller is configured with.
pub struct SyncPollerSettings {
    /// Argo CD's API.
    pub argocd: ArgoCd,
    /// Slack's API.
    pub slack: Slack,
    /// Redis, with its password.
    pub redis_url: Secret,
    /// Periods.
    pub tempo: Tempo,
}

impl SyncPollerSettings {
    /// The variables it reads.
    pub const NAMES: &'static [&'static str] =
        &["argocd_url", "argocd_root_path", "argocd_token", "slack_bot_token", "slack_url", "redis_url", "redis_origin", "tempo"];

    /// All of them.
    pub fn read(variables: &Variables) -> Result<Self, SettingError> {
        Ok(Self {
            redis_url: variables.redis()?,
            argocd: ArgoCd { token: Some(variables.secret("argocd_token")?), ..variables.argocd()? },
            slack: Slack { url: variables.origin("slack_url")?, token: variables.secret("slack_bot_token")? },
            tempo: variables.tempo()?,
        })
    }
}
