//! What operators configure: Spin variables, checked when they are read, so that a wrong one is named instead
//! of failing somewhere.
//!
//! One `allowed_outbound_hosts` entry that does not parse denies every outbound call of a component, Redis
//! included, so each variable that ends up there is checked here, even where this component would not use it.

use crate::world::Line;
use clients::argocd::ArgoCd;
use clients::gate::GateService;
use clients::github::GitHub;
use clients::registry::{REGISTRIES, Registry, parse_credentials};
use clients::signature::{Keys, SigningKey};
use clients::slack::Slack;
use domain::fault::{Cause, Fault, System};
use domain::limits::Limits;
use domain::names::{BranchName, FilePath, RepoName, Secret, SlackChannel, SlackTeam, UrlOrigin};
use std::collections::BTreeMap;
use std::rc::Rc;
use store::Seals;

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

    /// The log line: the variable's name, never its value.
    pub fn line(&self) -> Line {
        Line::error("setting").with("variable", self.variable).with("problem", self.problem)
    }

    /// The same for a person and the facts.
    pub fn fault(&self, doing: &str) -> Fault {
        Fault::new(System::Settings, doing, Cause::Setting { variable: self.variable.to_owned() })
    }
}

/// The variable with which tests shorten some of our periods, see [`Limits`]. `spin.toml` does not have it:
/// in production it is absent.
pub const LIMITS: &str = "limits";

/// The values of a component's variables, as Spin gave them.
#[derive(Clone, Default)]
pub struct Variables(pub BTreeMap<&'static str, String>);

impl Variables {
    fn text(&self, name: &'static str) -> &str {
        self.0.get(name).map(|value| value.trim()).unwrap_or_default()
    }

    fn set(&self, name: &'static str) -> Result<&str, SettingError> {
        Some(self.text(name)).filter(|text| !text.is_empty()).ok_or(SettingError::new(name, "is not set"))
    }

    fn required<T, E>(&self, name: &'static str, parse: impl Fn(&str) -> Result<T, E>) -> Result<T, SettingError> {
        parse(self.set(name)?).map_err(|_| SettingError::new(name, "is malformed"))
    }

    /// Reads a variable that may be left out.
    fn if_set<T>(
        &self,
        name: &'static str,
        read: impl Fn(&'static str) -> Result<T, SettingError>,
    ) -> Result<Option<T>, SettingError> {
        if self.text(name).is_empty() { Ok(None) } else { read(name).map(Some) }
    }

    /// An origin over HTTP. A trailing slash is fine for Spin, so it is fine here. Each of them gets a secret or a
    /// webhook, or says whether an image is there.
    fn origin(&self, name: &'static str) -> Result<UrlOrigin, SettingError> {
        let plain_hosts = self.plain_hosts()?;
        let text = self.set(name)?;
        let origin = UrlOrigin::parse(text.strip_suffix('/').unwrap_or(text)).ok();
        let origin = origin
            .filter(|origin| origin.as_str().starts_with("http"))
            .ok_or(SettingError::new(name, "is not http://host or https://host, with a port at most"))?;
        if !origin.is_private(&plain_hosts) {
            return Err(SettingError::new(name, "is not https, and plain_http_hosts does not have its host"));
        }
        Ok(origin)
    }

    /// The hosts that are spoken to without TLS, as an operator lists them.
    fn plain_hosts(&self) -> Result<Vec<&str>, SettingError> {
        let name = "plain_http_hosts";
        let hosts: Vec<&str> = self.text(name).split([',', ' ']).filter(|host| !host.is_empty()).collect();
        let is_host = |host: &&str| UrlOrigin::parse(&format!("http://{host}")).is_ok();
        let wrong = SettingError::new(name, "is not a list of hosts, each with a port at most");
        if hosts.iter().all(is_host) { Ok(hosts) } else { Err(wrong) }
    }

    /// The registries that variables name.
    fn registries(&self) -> Result<BTreeMap<&'static str, UrlOrigin>, SettingError> {
        let mut named = BTreeMap::new();
        for name in REGISTRIES {
            if let Some(url) = self.if_set(name, |name| self.origin(name))? {
                named.insert(name, url);
            }
        }
        Ok(named)
    }

    /// The gate service. What signs a question to it signs nothing else: by Slack's own secret, the question would be a request of
    /// Slack's to whoever passes it on.
    fn gate(&self) -> Result<Option<GateService>, SettingError> {
        let Some(url) = self.if_set("gate_url", |name| self.origin(name))? else { return Ok(None) };
        let secret = self.text("gate_key");
        if ["slack_signing_secret", "slack_signing_secret_previous"].iter().any(|other| self.text(other) == secret) {
            return Err(SettingError::new("gate_key", "is missing, or the same as another secret"));
        }
        let key = SigningKey::new(&Secret::new(secret));
        let key = key.ok_or(SettingError::new("gate_key", "is missing or shorter than 16 bytes"))?;
        Ok(Some(GateService { url, key }))
    }

    fn switch(&self, name: &'static str) -> Result<bool, SettingError> {
        match self.set(name)? {
            "on" => Ok(true),
            "off" => Ok(false),
            _ => Err(SettingError::new(name, "is neither on nor off")),
        }
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
        Ok(Keys { current: key(name)?, previous: self.if_set(previous, key)? })
    }

    /// With what slack-command and sync-poller seal stored values: a secret of its own, or else the one that these two have
    /// in common.
    fn seals(&self) -> Result<Seals, SettingError> {
        let key = self.if_set("store_key", |name| self.secret(name))?;
        let previous = self.if_set("store_key_previous", |name| self.secret(name))?;
        let key = key.map_or_else(|| self.secret("slack_bot_token"), Ok)?;
        Ok(Seals::shared(&key, previous.as_ref()))
    }

    fn redis(&self) -> Result<Secret, SettingError> {
        self.required("redis_origin", |text| match UrlOrigin::parse(text.strip_suffix('/').unwrap_or(text)) {
            Ok(origin) if origin.as_str().starts_with("redis:") => Ok(()),
            // Spin does not know the port of this scheme, and denies every call without it.
            Ok(origin) if origin.as_str().starts_with("rediss:") && !origin.as_str().ends_with(origin.host()) => Ok(()),
            _ => Err(()),
        })?;
        self.required("redis_url", |text| {
            let (scheme, rest) = text.split_once("://").filter(|(scheme, _)| scheme.starts_with("redis")).ok_or(())?;
            let authority = rest.split(['/', '?']).next().unwrap_or_default();
            let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
            // Neither scheme nor host may be malformed; user, password and database are for Redis to judge.
            UrlOrigin::parse(&format!("{scheme}://{host}")).map(|_| Secret::new(text)).map_err(drop)
        })
    }

    fn limits(&self) -> Result<Limits, SettingError> {
        Limits::parse(self.text(LIMITS)).ok_or(SettingError::new(LIMITS, "is malformed"))
    }

    /// Where Argo CD is; without a token.
    fn argocd(&self) -> Result<ArgoCd, SettingError> {
        let url = self.origin("argocd_url")?;
        let root_path = match self.text("argocd_root_path").trim_matches('/') {
            "" => String::new(),
            path if path.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'/' | b'.')) => {
                format!("/{path}")
            }
            _ => return Err(SettingError::new("argocd_root_path", "is malformed")),
        };
        Ok(ArgoCd { url, root_path, token: None })
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

/// Whose pushes are handed on to Argo CD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relay {
    /// The bot's own.
    Own,
    /// People's, too, where they touch nothing that a managed application reads.
    All,
}

impl Relay {
    fn read(variables: &Variables) -> Result<Self, SettingError> {
        match variables.set("relay")? {
            "own" => Ok(Self::Own),
            "all" => Ok(Self::All),
            _ => Err(SettingError::new("relay", "is neither own nor all")),
        }
    }
}

/// The settings of one component.
pub trait Settings: Sized {
    /// The variables that the component reads.
    const NAMES: &'static [&'static str];

    /// Reads and checks all of them.
    fn read(variables: &Variables) -> Result<Self, SettingError>;

    /// Redis, with its password.
    fn redis_url(&self) -> &Secret;

    /// With what stored values are sealed.
    fn seals(&self) -> Rc<Seals>;
}

/// What slack-command is configured with.
pub struct SlackCommandSettings {
    /// Slack's API.
    pub slack: Slack,
    /// The one workspace that we serve; none: the one that Slack's token belongs to.
    pub team: Option<SlackTeam>,
    /// GitHub's API.
    pub github: GitHub,
    /// Whether each deploy is reported to GitHub, for the pull request to show.
    pub github_deployments: bool,
    /// The GitOps repository.
    pub gitops: GitOps,
    /// Where the catalog is in it.
    pub catalog_path: FilePath,
    /// Where changes of the catalog are announced.
    pub catalog_channel: Option<SlackChannel>,
    /// Registries.
    pub registry: Registry,
    /// Whom the gate `ask` asks; none: it refuses.
    pub gate: Option<GateService>,
    /// Redis, with its password.
    pub redis_url: Secret,
    /// With what stored values are sealed.
    pub seals: Rc<Seals>,
    /// Where people open Argo CD.
    pub argocd: String,
    /// Periods.
    pub limits: Limits,
}

impl SlackCommandSettings {
    /// The keys that verify Slack's requests: read before anything else.
    pub fn keys(variables: &Variables) -> Result<Keys, SettingError> {
        variables.keys("slack_signing_secret", "slack_signing_secret_previous")
    }
}

impl Settings for SlackCommandSettings {
    const NAMES: &'static [&'static str] = &[
        "slack_signing_secret",
        "slack_signing_secret_previous",
        "slack_bot_token",
        "store_key",
        "store_key_previous",
        "slack_url",
        "slack_team_id",
        "github_token",
        "github_url",
        "github_deployments",
        "gitops_repo",
        "gitops_branch",
        "catalog_path",
        "catalog_channel",
        "registry_url",
        "registry_token_url",
        "registry_credentials",
        "registry2_url",
        "registry3_url",
        "registry4_url",
        "gate_url",
        "gate_key",
        "argocd_url",
        "argocd_root_path",
        "argocd_public_url",
        "plain_http_hosts",
        "redis_url",
        "redis_origin",
    ];

    // Argo CD's address is only checked here: this component may not call Argo CD. The components that do
    // have nobody to answer to, and would find a wrong address only after the commit.
    fn read(variables: &Variables) -> Result<Self, SettingError> {
        let argocd = variables.argocd()?;
        let public = variables.if_set("argocd_public_url", |name| variables.origin(name))?;
        // Checked by `keys`, before this.
        let signing = |name| Secret::new(variables.text(name));
        let previous = variables.if_set("slack_signing_secret_previous", |name| Ok(signing(name)))?;
        Ok(Self {
            redis_url: variables.redis()?,
            seals: Rc::new(variables.seals()?.with_own(&signing("slack_signing_secret"), previous.as_ref())),
            slack: Slack { url: variables.origin("slack_url")?, token: variables.secret("slack_bot_token")? },
            team: variables.if_set("slack_team_id", |name| variables.required(name, SlackTeam::parse))?,
            github: GitHub { url: variables.origin("github_url")?, token: variables.secret("github_token")? },
            github_deployments: variables.switch("github_deployments")?,
            gitops: GitOps::read(variables)?,
            catalog_path: variables.required("catalog_path", FilePath::parse)?,
            catalog_channel: variables
                .if_set("catalog_channel", |name| variables.required(name, SlackChannel::parse))?,
            registry: Registry {
                named: variables.registries()?,
                token_url: variables.if_set("registry_token_url", |name| variables.origin(name))?,
                credentials: variables.required("registry_credentials", parse_credentials)?,
            },
            gate: variables.gate()?,
            argocd: format!("{}{}", public.unwrap_or(argocd.url), argocd.root_path),
            limits: variables.limits()?,
        })
    }

    fn redis_url(&self) -> &Secret {
        &self.redis_url
    }

    fn seals(&self) -> Rc<Seals> {
        self.seals.clone()
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
    /// Whose pushes are handed on.
    pub relay: Relay,
    pub catalog_path: FilePath,
    /// Redis, with its password.
    pub redis_url: Secret,
    /// With what stored values are sealed.
    pub seals: Rc<Seals>,
    /// Periods.
    pub limits: Limits,
}

impl GithubRelaySettings {
    /// The keys that verify GitHub's webhooks: read before anything else.
    pub fn keys(variables: &Variables) -> Result<Keys, SettingError> {
        variables.keys("github_webhook_secret", "github_webhook_secret_previous")
    }
}

impl Settings for GithubRelaySettings {
    const NAMES: &'static [&'static str] = &[
        "github_webhook_secret",
        "github_webhook_secret_previous",
        "gitops_repo",
        "gitops_branch",
        "argocd_url",
        "argocd_root_path",
        "argocd_webhook_secret",
        "plain_http_hosts",
        "relay",
        "catalog_path",
        "redis_url",
        "redis_origin",
    ];

    fn read(variables: &Variables) -> Result<Self, SettingError> {
        let resign = variables.if_set("argocd_webhook_secret", |name| {
            SigningKey::new(&Secret::new(variables.text(name)))
                .ok_or(SettingError::new(name, "is shorter than 16 bytes"))
        })?;
        Ok(Self {
            redis_url: variables.redis()?,
            seals: Rc::default(),
            gitops: GitOps::read(variables)?,
            argocd: variables.argocd()?,
            resign,
            relay: Relay::read(variables)?,
            catalog_path: variables.required("catalog_path", FilePath::parse)?,
            limits: variables.limits()?,
        })
    }

    fn redis_url(&self) -> &Secret {
        &self.redis_url
    }

    fn seals(&self) -> Rc<Seals> {
        self.seals.clone()
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
    /// With what stored values are sealed.
    pub seals: Rc<Seals>,
    /// Periods.
    pub limits: Limits,
}

impl Settings for SyncPollerSettings {
    const NAMES: &'static [&'static str] = &[
        "argocd_url",
        "argocd_root_path",
        "argocd_token",
        "slack_bot_token",
        "store_key",
        "store_key_previous",
        "slack_url",
        "plain_http_hosts",
        "redis_url",
        "redis_origin",
    ];

    fn read(variables: &Variables) -> Result<Self, SettingError> {
        Ok(Self {
            redis_url: variables.redis()?,
            seals: Rc::new(variables.seals()?),
            argocd: ArgoCd { token: Some(variables.secret("argocd_token")?), ..variables.argocd()? },
            slack: Slack { url: variables.origin("slack_url")?, token: variables.secret("slack_bot_token")? },
            limits: variables.limits()?,
        })
    }

    fn redis_url(&self) -> &Secret {
        &self.redis_url
    }

    fn seals(&self) -> Rc<Seals> {
        self.seals.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNING: &str = "8f742231b10e8888abcd99yyyzzz85a5";
    const PREVIOUS: &str = "00000000000000000000000000000000";

    /// Everything set, as an operator would.
    fn good() -> Variables {
        Variables(BTreeMap::from(
            [
                ("slack_signing_secret", SIGNING),
                ("slack_signing_secret_previous", ""),
                ("slack_bot_token", "xoxb-0000000000-hush"),
                ("store_key", ""),
                ("store_key_previous", ""),
                ("slack_url", "https://slack.com"),
                ("slack_team_id", ""),
                ("github_token", "github_pat_0000000000hush"),
                ("github_url", "https://api.github.com"),
                ("github_deployments", "on"),
                ("github_webhook_secret", SIGNING),
                ("github_webhook_secret_previous", ""),
                ("gitops_repo", "acme/gitops"),
                ("gitops_branch", "main"),
                ("catalog_path", "deploy-bot.yaml"),
                ("catalog_channel", ""),
                ("registry_url", ""),
                ("registry_token_url", ""),
                ("registry_credentials", "{}"),
                ("registry2_url", ""),
                ("registry3_url", ""),
                ("registry4_url", ""),
                ("gate_url", "https://gate.acme.example"),
                ("gate_key", "the-gate-key-hush"),
                ("plain_http_hosts", ""),
                ("argocd_url", "https://argocd.acme.example"),
                ("argocd_root_path", ""),
                ("argocd_public_url", ""),
                ("argocd_token", "eyJhbGciOiJIUzI1NiJ9.hush"),
                ("argocd_webhook_secret", ""),
                ("relay", "own"),
                ("redis_url", "redis://127.0.0.1:6379"),
                ("redis_origin", "redis://127.0.0.1:6379"),
                ("limits", ""),
            ]
            .map(|(name, value)| (name, value.to_owned())),
        ))
    }

    fn with(name: &'static str, value: &str) -> Variables {
        let mut variables = good();
        assert!(variables.0.insert(name, value.to_owned()).is_some(), "{name}");
        variables
    }

    /// What one component makes of its variables: all that it reads, keys too.
    type Read = fn(&Variables) -> Result<(), SettingError>;

    const COMPONENTS: [(&[&str], Read); 3] = [
        (SlackCommandSettings::NAMES, |variables| {
            SlackCommandSettings::keys(variables)?;
            SlackCommandSettings::read(variables).map(drop)
        }),
        (GithubRelaySettings::NAMES, |variables| {
            GithubRelaySettings::keys(variables)?;
            GithubRelaySettings::read(variables).map(drop)
        }),
        (SyncPollerSettings::NAMES, |variables| SyncPollerSettings::read(variables).map(drop)),
    ];

    #[test]
    fn every_component_reads_its_own_variables_and_no_others() {
        for (names, read) in COMPONENTS {
            let mut own = good();
            own.0.retain(|name, _| names.contains(name));
            assert_eq!(own.0.len(), names.len(), "{names:?}");
            assert_eq!(read(&own), Ok(()));
            for (name, error) in names.iter().map(|name| {
                let mut without = good();
                without.0.insert(*name, "\u{7f} no such thing".to_owned());
                (name, read(&without).unwrap_err())
            }) {
                assert_eq!(error.variable, *name, "{error}");
            }
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let may_be_empty = [
            "store_key",
            "store_key_previous",
            "slack_signing_secret_previous",
            "github_webhook_secret_previous",
            "slack_team_id",
            "catalog_channel",
            "registry_url",
            "registry_token_url",
            "registry2_url",
            "registry3_url",
            "registry4_url",
            "gate_url",
            "plain_http_hosts",
            "argocd_root_path",
            "argocd_public_url",
            "argocd_webhook_secret",
        ];
        for (names, read) in COMPONENTS {
            for name in names.iter().copied() {
                for blank in [None, Some(""), Some(" \t\r\n")] {
                    let mut variables = good();
                    match blank {
                        None => variables.0.remove(name),
                        Some(blank) => variables.0.insert(name, blank.to_owned()),
                    };
                    let missing = read(&variables).err().map(|error| error.variable);
                    assert_eq!(missing, (!may_be_empty.contains(&name)).then_some(name), "{blank:?}");
                }
            }
        }
    }

    /// Reads all components; the errors must agree.
    fn error(name: &'static str, value: &str) -> Option<String> {
        let variables = with(name, value);
        let errors: Vec<Option<String>> = COMPONENTS
            .iter()
            .filter(|(names, _)| names.contains(&name) || name == LIMITS)
            .map(|(_, read)| {
                read(&variables).err().map(|error| {
                    assert_eq!(error.variable, name);
                    // Neither the log, nor the person, nor a Debug sees any of the value: the bad ones below
                    // say so themselves.
                    for told in [error.to_string(), format!("{error:?}"), format!("{:?}", error.fault("deploy"))] {
                        assert!(!told.contains("hush"), "{told}");
                    }
                    error.to_string()
                })
            })
            .collect();
        assert!(!errors.is_empty() && errors.iter().all(|error| *error == errors[0]), "{errors:?}");
        errors[0].clone()
    }

    fn check(name: &'static str, fine: &[&str], bad: &[&str]) {
        for value in fine {
            assert_eq!(error(name, value), None, "{value:?}");
        }
        for value in bad {
            assert!(error(name, value).is_some(), "{name}: {value:?} should be refused");
        }
    }

    #[test]
    fn an_address_is_an_origin() {
        let bad = [
            "https://hush.example/api",
            "https://hush.example//",
            "https://user:hush@hush.example",
            "hush.example",
            "//hush.example",
            "https://",
            "https://hush.example:0",
            "https://hush.example:99999",
            "https://hush.example?x=1",
            "https://hush.example#x",
            "https://hush example",
            "ftp://hush.example",
            "redis://hush.example",
            "http://hush.example",
            "http://hush.example:8080",
        ];
        let registries = REGISTRIES.into_iter().chain(["registry_token_url"]);
        for name in registries.chain(["slack_url", "github_url", "argocd_url"]) {
            let fine = [
                "https://a.example",
                "https://a.example/",
                " https://a.example:8443 ",
                "http://127.0.0.1:5000",
                "http://[::1]:80",
            ];
            check(name, &fine, &bad);
        }
        check(
            "plain_http_hosts",
            &["a.example", "a, b:80 ,[::1]"],
            &["http://hush.example", "hush/b", "*.hush", "a:0"],
        );
        let mut plain = with("plain_http_hosts", "b.example, a.example:8080");
        for (url, expected) in
            [("http://a.example:8080", true), ("http://b.example:1", true), ("http://a.example", false)]
        {
            plain.0.insert("argocd_url", url.to_owned());
            for (_, read) in COMPONENTS {
                assert_eq!(read(&plain).is_ok(), expected, "{url}");
            }
        }
        let slack =
            SlackCommandSettings::read(&with("slack_url", "https://a.example/")).map(|settings| settings.slack.url);
        assert_eq!(slack.unwrap().as_str(), "https://a.example");
    }

    #[test]
    fn redis_may_have_a_password_but_its_origin_may_not() {
        check(
            "redis_url",
            &[
                "redis://127.0.0.1:6379",
                "redis://:hush@redis:6379/1",
                "rediss://user:hush@redis",
                "redis://[::1]/2?x=y",
            ],
            &[
                "hush:6379",
                "http://hush",
                "redis://",
                "redis://:hush@",
                "redis://hush:0",
                "redis:///hush",
                "redis://hush b",
            ],
        );
        check(
            "redis_origin",
            &["redis://127.0.0.1:6379", "redis://redis/", "rediss://redis:6380", "rediss://[::1]:6380"],
            &[
                "redis://:hush@redis:6379",
                "redis://hush/1",
                "hush",
                "http://hush",
                "redis://hush:0",
                "rediss://hush",
                "rediss://[::1]",
            ],
        );
        let settings = SyncPollerSettings::read(&with("redis_url", " redis://:hush@redis:6379/1 ")).unwrap();
        assert_eq!(settings.redis_url.expose(), "redis://:hush@redis:6379/1");
    }

    #[test]
    fn a_short_secret_counts_as_missing() {
        let fifteen = "hush56789012345";
        for name in ["slack_signing_secret", "slack_signing_secret_previous", "slack_bot_token", "github_token"] {
            check(name, &["hush567890123456"], &[fifteen, &format!(" {fifteen} "), "x"]);
        }
        for name in ["github_webhook_secret", "github_webhook_secret_previous", "argocd_token", "argocd_webhook_secret"]
        {
            check(name, &["hush567890123456"], &[fifteen, &format!("{fifteen}\n"), "x"]);
        }
    }

    #[test]
    fn a_token_is_what_a_header_can_hold() {
        for name in ["slack_bot_token", "github_token", "argocd_token"] {
            check(
                name,
                &["hush567890123456\n", " hush567890123456"],
                &["hush567890 123456", "hush567890\n123456", "hush567890\u{7f}123456", "hüsh567890123456"],
            );
        }
        // A signing secret is never sent, so it may be a sentence.
        check("slack_signing_secret", &["hüsh and keep it to yourself"], &[]);
    }

    #[test]
    fn the_gate_service_has_a_secret_of_its_own() {
        let read = |url: &str, key: &str| {
            let mut variables = with("gate_url", url);
            variables.0.insert("gate_key", key.to_owned());
            SlackCommandSettings::read(&variables).map(|settings| settings.gate.is_some())
        };
        let wrong = |url: &str, key: &str| read(url, key).map_err(|error| error.variable);
        let https = "https://gate.acme.example";
        assert_eq!(read("", ""), Ok(false));
        assert_eq!(read(https, "hush567890123456"), Ok(true));
        assert_eq!(read("http://127.0.0.1:8080", "hush567890123456"), Ok(true));
        assert_eq!(wrong(https, ""), Err("gate_key"));
        assert_eq!(wrong(https, "hush56789012345"), Err("gate_key"));
        assert_eq!(wrong(https, SIGNING), Err("gate_key"), "it would sign what Slack signs");
        assert_eq!(wrong("http://gate.acme.example", "hush567890123456"), Err("gate_url"));
        assert_eq!(wrong("https://gate.acme.example/path", "hush567890123456"), Err("gate_url"));
    }

    #[test]
    fn a_secret_can_be_rotated() {
        let keys = |previous| SlackCommandSettings::keys(&with("slack_signing_secret_previous", previous));
        assert!(keys("").unwrap().previous.is_none());
        assert!(keys(PREVIOUS).unwrap().previous.is_some());
        let keys = GithubRelaySettings::keys(&with("github_webhook_secret_previous", PREVIOUS)).unwrap();
        let body = b"{}";
        let signs =
            |secret: &str| clients::signature::sign_sha256(&SigningKey::new(&Secret::new(secret)).unwrap(), body);
        for (secret, expected) in [(SIGNING, true), (PREVIOUS, true), ("11111111111111111111111111111111", false)] {
            let mut mac = clients::signature::GitHubMac::new(&keys, &signs(secret)).unwrap();
            mac.update(body);
            assert_eq!(mac.verify().is_ok(), expected, "{secret}");
        }
    }

    #[test]
    fn names_and_paths() {
        check("gitops_repo", &["acme/gitops"], &["hush", "acme/hush/x", "https://github.com/acme/hush"]);
        check("gitops_branch", &["main", "release/1"], &["hush b", "refs/hush/", "-hush"]);
        check("catalog_path", &["deploy-bot.yaml", "ops/deploy-bot.yaml"], &["/hush.yaml", "../hush", "hush//b"]);
        check("slack_team_id", &["T1DC2JH3J"], &["hush", "T1hush"]);
        check("catalog_channel", &["C0G9QF9GW"], &["#hush", "C1hush"]);
        check(
            "argocd_root_path",
            &["/", "argocd", "/argocd/", "/a/b.c_d-e"],
            &["/hush?b", "/hush b", "/hüsh", "/hush%2f"],
        );
        let root = |path| SyncPollerSettings::read(&with("argocd_root_path", path)).unwrap().argocd.root_path;
        assert_eq!([root(""), root("/"), root("argocd"), root("/a/b/")], ["", "", "/argocd", "/a/b"]);
    }

    #[test]
    fn a_switch_has_two_values() {
        check("github_deployments", &["on", " off "], &["hush", "true", "0", "On"]);
        let read = |value| SlackCommandSettings::read(&with("github_deployments", value)).unwrap().github_deployments;
        assert_eq!([read("on"), read("off")], [true, false]);
        check("relay", &["own", " all "], &["hush", "on", "All", "own all"]);
        let read = |value| GithubRelaySettings::read(&with("relay", value)).unwrap().relay;
        assert_eq!([read("own"), read("all")], [Relay::Own, Relay::All]);
    }

    #[test]
    fn json_variables() {
        check("limits", &["{}", r#"{"poll": 20}"#], &["hush", r#"{"hush": 1}"#, r#"{"poll": "20"}"#]);
        let read = GithubRelaySettings::read(&with("limits", r#"{"overtaking": 20}"#)).unwrap();
        assert_eq!(read.limits, Limits { overtaking: std::time::Duration::from_millis(20), ..Limits::default() });
        check(
            "registry_credentials",
            &["{}", r#"{"ghcr.io": {"username": "x", "password": "hush"}}"#],
            &["hush", "[]", r#"{"ghcr.io": "hush"}"#, r#"{"ghcr.io": {"username": "hush"}}"#],
        );
    }

    #[test]
    fn the_two_that_face_the_internet_have_no_argo_cd_token() {
        assert!(!SlackCommandSettings::NAMES.contains(&"argocd_token"));
        assert!(!GithubRelaySettings::NAMES.contains(&"argocd_token"));
        assert!(GithubRelaySettings::read(&good()).unwrap().argocd.token.is_none());
        assert!(GithubRelaySettings::read(&good()).unwrap().resign.is_none());
        assert!(SyncPollerSettings::read(&good()).unwrap().argocd.token.is_some());
        assert!(!SyncPollerSettings::NAMES.iter().any(|name| name.contains("github") || name.contains("signing")));
    }

    #[test]
    fn errors_as_operators_read_them() {
        let told = [
            error("gitops_repo", ""),
            error("argocd_url", "https://hush.example/api"),
            error("argocd_url", "redis://hush.example"),
            error("argocd_url", "http://hush.example"),
            error("plain_http_hosts", "http://hush"),
            error("redis_url", "hush"),
            error("slack_signing_secret", ""),
            error("slack_bot_token", ""),
            error("slack_bot_token", "xoxb-0000 hush-0000"),
            error("argocd_webhook_secret", "hush"),
            error("argocd_root_path", "/?hush"),
            error("limits", "hush"),
            error("github_deployments", "hush"),
            error("relay", "hush"),
        ];
        insta::assert_snapshot!(told.map(Option::unwrap).join("\n"), @"
        the variable gitops_repo is not set
        the variable argocd_url is not http://host or https://host, with a port at most
        the variable argocd_url is not http://host or https://host, with a port at most
        the variable argocd_url is not https, and plain_http_hosts does not have its host
        the variable plain_http_hosts is not a list of hosts, each with a port at most
        the variable redis_url is malformed
        the variable slack_signing_secret is missing or shorter than 16 bytes
        the variable slack_bot_token is missing or shorter than 16 bytes
        the variable slack_bot_token contains a space or a character that no header may hold
        the variable argocd_webhook_secret is shorter than 16 bytes
        the variable argocd_root_path is malformed
        the variable limits is malformed
        the variable github_deployments is neither on nor off
        the variable relay is neither own nor all
        ");
    }
}
