//! The form that the command alone opens: what a person may choose, what is chosen, and the words that it comes to.
//!
//! Easy to miss: the form decides nothing. What it comes to is read as if somebody had typed it, and every gate is asked.

use crate::command::{Command, DeployWords, TargetWords, What};
use crate::names::{
    AppName, BranchName, CommandName, DeploymentId, EnvironmentName, PullRequestNumber, RepoName, ResponseUrl,
    SlackChannel, SlackTeam, Target,
};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// For how long a form can be sent: as long as Slack takes answers to the command that opened it.
pub const AGE: Duration = Duration::from_secs(30 * 60);

/// Slack takes no more options of a menu, and no longer value.
/// <https://docs.slack.dev/reference/block-kit/composition-objects/option-object>
const MOST: usize = 100;
const LONGEST_VALUE: usize = 150;
/// Of each kind at most so many are listed; typing finds the rest.
const MOST_BRANCHES: usize = 40;
const MOST_VERSIONS: usize = 9;
const MOST_PULL_REQUESTS: usize = 50;

/// The form that a person opened last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormFact {
    /// Made of the click that opened the form. The deployment that comes of the form has the same id.
    pub id: DeploymentId,
    /// When the command was typed.
    pub at: Timestamp,
    pub user_name: String,
    pub channel: SlackChannel,
    pub team: SlackTeam,
    pub team_domain: String,
    pub command: CommandName,
    pub response_url: ResponseUrl,
    /// What the person may ask about.
    pub apps: Vec<FormApp>,
}

/// An app that can be chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormApp {
    pub name: AppName,
    pub repo: RepoName,
    pub environments: Vec<EnvironmentName>,
}

/// What a repository has that can be deployed, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choices {
    /// Open pull requests with their titles, without those of forks.
    pub pull_requests: Vec<(PullRequestNumber, String)>,
    pub branches: Vec<BranchName>,
}

/// One option of a menu.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What people read, as long as it is.
    pub text: String,
    /// What is sent.
    pub value: String,
}

/// What is chosen in a form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    pub app: Option<String>,
    pub environment: Option<String>,
    pub what: Option<String>,
}

impl FormFact {
    /// Whether the form with this id is this one, and can still be sent.
    pub fn is_open(&self, id: &DeploymentId, now: Timestamp) -> bool {
        self.id == *id && now.since(self.at) < AGE
    }

    pub fn app(&self, name: &str) -> Option<&FormApp> {
        self.apps.iter().find(|app| app.name.as_str() == name)
    }

    /// The target that is chosen, if the person may ask about it.
    pub fn target(&self, app: &str, environment: &str) -> Option<(&FormApp, Target)> {
        let app = self.app(app)?;
        let environment = app.environments.iter().find(|name| name.as_str() == environment)?;
        Some((app, Target { app: app.name.clone(), environment: environment.clone() }))
    }

    /// The apps whose names have what was typed in them.
    pub fn find_apps(&self, typed: &str) -> Vec<Choice> {
        let all = self.apps.iter().map(|app| Choice { text: app.name.to_string(), value: app.name.to_string() });
        all.filter(|choice| matches(&choice.text, typed)).take(MOST).collect()
    }

    /// What is chosen, by the blocks of the form: each names what was chosen before it, so nothing is left of that.
    pub fn chosen(&self, values: &[(String, String)]) -> Chosen {
        let of = |block: &str| values.iter().find(|(id, _)| id == block).map(|(_, value)| value.clone());
        let Some(app) = of(APP).and_then(|name| self.app(&name)) else { return Chosen::default() };
        let environment = match app.environments.as_slice() {
            [only] => Some(only.to_string()),
            _ => of(&environment_block(app.name.as_str())),
        };
        let what = environment.as_ref().and_then(|environment| of(&what_block(app.name.as_str(), environment)));
        Chosen { app: Some(app.name.to_string()), environment, what }
    }

    /// What the form comes to, read as if somebody had typed it. `None`: something is not chosen.
    pub fn words(&self, chosen: &Chosen) -> Option<DeployWords> {
        match Command::parse(&self.text(chosen)?) {
            Ok(Command::Deploy(words) | Command::Rollback(words)) => Some(words),
            _ => None,
        }
    }

    /// As somebody would type it after the command.
    fn text(&self, chosen: &Chosen) -> Option<String> {
        let (_, target) = self.target(chosen.app.as_deref()?, chosen.environment.as_deref()?)?;
        let what = chosen.what.as_deref()?;
        let verb = if is_version(what) { "rollback" } else { "deploy" };
        Some(as_slack_sends(&format!("{verb} {} {what}", TargetWords::from(&target))))
    }
}

/// The names of the form's blocks.
pub const APP: &str = "app";

pub fn environment_block(app: &str) -> String {
    format!("environment/{app}")
}

pub fn what_block(app: &str, environment: &str) -> String {
    format!("what/{app}/{environment}")
}

/// The app and the environment of the menu of what to deploy.
pub fn of_what_block(block: &str) -> Option<(&str, &str)> {
    block.strip_prefix("what/")?.split_once('/')
}

/// Whether what is chosen is a version that was live.
pub fn is_version(what: &str) -> bool {
    what.starts_with("tag:")
}

impl Choices {
    /// What was typed finds: pull requests, branches, versions that were live, and last what was typed itself, if it can be
    /// deployed and is not listed.
    pub fn find(&self, versions: &[String], typed: &str) -> Vec<Choice> {
        let typed = typed.trim();
        let found = |text: String, value: String| {
            (matches(&text, typed) && value.chars().count() <= LONGEST_VALUE).then_some(Choice { text, value })
        };
        let pull_requests = self
            .pull_requests
            .iter()
            .filter_map(|(number, title)| found(format!("{number} {title}").trim().to_owned(), number.0.to_string()));
        let branches =
            self.branches.iter().filter_map(|branch| found(format!("branch {branch}"), branch_value(branch)));
        let versions = versions.iter().filter_map(|tag| found(format!("roll back to {tag}"), format!("tag:{tag}")));
        let mut all: Vec<Choice> = pull_requests.take(MOST_PULL_REQUESTS).collect();
        all.extend(branches.take(MOST_BRANCHES));
        all.extend(versions.take(MOST_VERSIONS));
        if let Some(own) = as_typed(typed)
            && !all.iter().any(|choice| choice.value == own.value)
        {
            all.push(own);
        }
        all
    }
}

/// The full name leaves no doubt, whatever the branch is called.
fn branch_value(branch: &BranchName) -> String {
    format!("branch:refs/heads/{branch}")
}

/// A pull request or branch that is not listed.
fn as_typed(typed: &str) -> Option<Choice> {
    // `deploy app` alone would be a branch `app` of an app called `deploy`.
    if typed.is_empty() {
        return None;
    }
    let Ok(Command::Deploy(DeployWords { environment: None, what, override_reason: None, .. })) =
        Command::parse(&as_slack_sends(&format!("deploy app {typed}")))
    else {
        return None;
    };
    let (text, value) = match what {
        What::PullRequest(number) => (number.to_string(), number.0.to_string()),
        What::Branch(branch) => (format!("branch {branch}"), branch_value(&branch)),
        _ => return None,
    };
    (value.chars().count() <= LONGEST_VALUE).then_some(Choice { text, value })
}

/// Slack escapes three characters of what is typed after a command, and nothing of what is typed into a form.
fn as_slack_sends(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Whether each word that was typed is in the text.
fn matches(text: &str, typed: &str) -> bool {
    let text = text.to_lowercase();
    typed.to_lowercase().split_whitespace().all(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name<T>(text: &str, parse: fn(&str) -> Result<T, crate::names::InvalidName>) -> T {
        parse(text).unwrap()
    }

    fn form() -> FormFact {
        let environments = |names: &[&str]| names.iter().map(|text| name(text, EnvironmentName::parse)).collect();
        let app = |text: &str, names: &[&str]| FormApp {
            name: name(text, AppName::parse),
            repo: name("acme/x", RepoName::parse),
            environments: environments(names),
        };
        let slack = crate::names::UrlOrigin::parse("https://slack.com").unwrap();
        FormFact {
            id: DeploymentId::parse(&"1".repeat(32)).unwrap(),
            at: Timestamp::from_seconds(1_000),
            user_name: String::new(),
            channel: name("C1", SlackChannel::parse),
            team: name("T1", SlackTeam::parse),
            team_domain: String::new(),
            command: CommandName::default(),
            response_url: ResponseUrl::parse("https://hooks.slack.com/commands/x", &slack).unwrap(),
            apps: vec![app("checkout", &["production", "staging"]), app("payments", &["default"])],
        }
    }

    fn chosen(values: &[(&str, &str)]) -> Option<String> {
        let values: Vec<_> = values.iter().map(|(block, value)| ((*block).to_owned(), (*value).to_owned())).collect();
        form().text(&form().chosen(&values))
    }

    #[test]
    fn what_is_chosen_comes_to_words_that_are_understood() {
        let what = "what/checkout/staging";
        let staging = [("app", "checkout"), ("environment/checkout", "staging")];
        let check = |what: &str, value: &str, expected: &str| {
            let text = chosen(&[staging[0], staging[1], (what, value)]).unwrap();
            assert_eq!(text, expected);
            assert!(Command::parse(&text).is_ok(), "{text}");
        };
        check(what, "42", "deploy checkout@staging 42");
        check(what, "branch:refs/heads/42", "deploy checkout@staging branch:refs/heads/42");
        check(what, "tag:main-1234567", "rollback checkout@staging tag:main-1234567");
        // Slack escapes what is typed, and what it sends of a form it does not.
        let odd = chosen(&[staging[0], staging[1], (what, "branch:refs/heads/a&amp;b")]).unwrap();
        assert!(Command::parse(&odd).is_ok_and(|words| words.to_string().ends_with("a&amp;b")), "{odd}");
        // People leave out `default`, and the form does not ask for the only environment.
        let only = chosen(&[("app", "payments"), ("what/payments/default", "42")]);
        assert_eq!(only.as_deref(), Some("deploy payments 42"));
        // Of another choice before it nothing is left.
        assert_eq!(chosen(&[staging[0], staging[1], ("what/checkout/production", "42")]), None);
        assert_eq!(chosen(&[("app", "payments"), ("environment/checkout", "staging"), (what, "42")]), None);
        // What the person may not ask about.
        assert_eq!(chosen(&[("app", "secret"), ("what/secret/default", "42")]), None);
        assert_eq!(chosen(&[staging[0], ("environment/checkout", "secret"), ("what/checkout/secret", "42")]), None);
    }

    #[test]
    fn a_form_is_open_for_half_an_hour() {
        let (form, other) = (form(), DeploymentId::parse(&"2".repeat(32)).unwrap());
        let after = |minutes: u64| form.at.after(Duration::from_secs(60 * minutes));
        assert!(form.is_open(&form.id, after(29)) && !form.is_open(&form.id, after(30)));
        assert!(!form.is_open(&other, after(1)));
    }

    #[test]
    fn typing_finds_what_can_be_deployed() {
        let branch = |text: &str| name(text, BranchName::parse);
        let choices = Choices {
            pull_requests: vec![
                (PullRequestNumber(42), "Show totals".to_owned()),
                (PullRequestNumber(7), String::new()),
            ],
            branches: vec![branch("main"), branch("feature/totals"), branch(&"x".repeat(200))],
        };
        let found = |typed: &str| {
            let all = choices.find(&["main-1234567".to_owned()], typed);
            all.into_iter().map(|choice| format!("{} = {}", choice.text, choice.value)).collect::<Vec<_>>().join("\n")
        };
        insta::assert_snapshot!(found(""), @"
        #42 Show totals = 42
        #7 = 7
        branch main = branch:refs/heads/main
        branch feature/totals = branch:refs/heads/feature/totals
        roll back to main-1234567 = tag:main-1234567
        ");
        insta::assert_snapshot!(found(" TOTALS "), @"
        #42 Show totals = 42
        branch feature/totals = branch:refs/heads/feature/totals
        branch TOTALS = branch:refs/heads/TOTALS
        ");
        insta::assert_snapshot!(found("main"), @"
        branch main = branch:refs/heads/main
        roll back to main-1234567 = tag:main-1234567
        ");
        insta::assert_snapshot!(found("#43"), @"#43 = 43");
        insta::assert_snapshot!(found("nowhere"), @"branch nowhere = branch:refs/heads/nowhere");
        for nothing in ["42 override because", "42 to production", "<!channel>", "a..b"] {
            assert_eq!(found(nothing), "", "{nothing}");
        }
        assert_eq!(form().find_apps("PAY").len(), 1);
        assert_eq!(form().find_apps("").len(), 2);
    }

    #[test]
    fn slack_takes_every_option() {
        let title = "🚀".repeat(200);
        let choices = Choices {
            pull_requests: (0..100).map(|n| (PullRequestNumber(n), title.clone())).collect(),
            branches: (0..100).map(|n| name(&format!("{}{n}", "b".repeat(120)), BranchName::parse)).collect(),
        };
        let versions: Vec<String> = (0..100).map(|n| format!("{}{n}", "v".repeat(120))).collect();
        let all = choices.find(&versions, "");
        assert!(all.len() <= MOST, "{}", all.len());
        for choice in all {
            assert!(choice.value.len() <= LONGEST_VALUE);
        }
    }
}
