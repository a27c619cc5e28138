//! What people type after `/deploy`, understood; or how it is typed.
//!
//! Only the form is checked here: whether there is such an app, environment, pull request or branch is asked later. People
//! paste, so quotes, links, capitals and the word `deploy` are understood; more words than we know are never ignored.

use crate::names::{BranchName, PullRequestNumber, RepoName};
use crate::refusal::Refusal;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The longest text that is read, in characters.
pub const LONGEST: usize = 1000;

/// Every form of the command: how it is typed, and what it means.
pub const USAGE: &[(&str, &str)] = &[
    ("/deploy checkout 42", "deploy pull request 42 of the app `checkout` (`#42` or its link do as well)"),
    ("/deploy checkout feature/x", "deploy the newest commit of a branch"),
    ("/deploy checkout@production main", "the same, to an environment of the app"),
    ("/deploy checkout branch:42", "deploy a branch whose name is a number"),
    ("/deploy help", "show this"),
];

/// What a person wants of us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Deploy something.
    Deploy(DeployWords),
    /// Say how the command is typed.
    Help,
}

/// The words of a deploy, before anyone knows whether the things they name exist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployWords {
    /// The app, in lower case.
    pub app: String,
    /// The environment, in lower case, where one was typed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// What to deploy.
    pub what: What,
}

impl fmt::Display for DeployWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.environment {
            Some(environment) => write!(f, "{}@{environment} {}", self.app, self.what),
            None => write!(f, "{} {}", self.app, self.what),
        }
    }
}

/// What to deploy, as typed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A pull request of the app's own repository.
    PullRequest(PullRequestNumber),
    /// A branch of the app's own repository.
    Branch(BranchName),
    /// A pull request by its link. Whether that is the app's repository is for the caller to check.
    PullRequestOf {
        /// The repository in the link.
        repo: RepoName,
        /// The number in the link.
        number: PullRequestNumber,
    },
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PullRequest(number) => write!(f, "{number}"),
            Self::Branch(branch) => write!(f, "{branch}"),
            Self::PullRequestOf { repo, number } => write!(f, "{repo}{number}"),
        }
    }
}

impl Command {
    /// Reads what was typed.
    ///
    /// The word `deploy` in front is left out if two words follow it: with one, it is the app, so an app called `deploy` can be deployed.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        if text.chars().nth(LONGEST).is_some() {
            return Err(syntax(format!("it is longer than {LONGEST} characters")));
        }
        let text = unescape(text);
        let all: Vec<&str> = text.split(is_blank).map(bare).filter(|word| !word.is_empty()).collect();
        let words = match all.as_slice() {
            [first, rest @ ..] if rest.len() >= 2 && first.eq_ignore_ascii_case("deploy") => rest,
            words => words,
        };
        match words {
            [] => Ok(Self::Help),
            [word] if ["help", "--help", "-h", "?"].contains(&word.to_lowercase().as_str()) => Ok(Self::Help),
            [link] if is_link(link) => Err(syntax("the app is missing: it comes before the link".to_owned())),
            [app] => Err(syntax(format!("the pull request or branch is missing after {}", quoted(app)))),
            [app, what] => {
                let (app, environment) = parse_app(app)?;
                Ok(Self::Deploy(DeployWords { app, environment, what: parse_what(what)? }))
            }
            [_, what, extra, ..] => Err(syntax(format!("I did not expect {} after {}", quoted(extra), quoted(what)))),
        }
    }
}

fn syntax(problem: String) -> Refusal {
    Refusal::Syntax { problem }
}

/// A word that somebody wrote, as part of a sentence: short, on one line, in backticks.
pub(crate) fn quoted(text: &str) -> String {
    const LONG: usize = 60;
    let shown: String =
        text.chars().filter(|c| !c.is_control()).take(LONG).map(|c| if c == '`' { '\'' } else { c }).collect();
    let dots = if text.chars().nth(LONG).is_some() { "…" } else { "" };
    format!("`{shown}{dots}`")
}

/// Slack sends these three characters, and no others, as entities.
fn unescape(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

/// Between words: also what comes along invisibly when people paste.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || c.is_control() || matches!(c, '\u{200b}' | '\u{2060}' | '\u{feff}')
}

/// The word without the quotes around it. Phones turn straight quotes into typographic ones.
fn bare(word: &str) -> &str {
    word.trim_matches(['"', '\'', '`', '“', '”', '„', '‟', '‘', '’', '‚', '‛', '«', '»'])
}

fn parse_app(word: &str) -> Result<(String, Option<String>), Refusal> {
    let (app, environment) = match word.split_once('@') {
        Some((app, environment)) => (app, Some(environment)),
        None => (word, None),
    };
    if app.is_empty() {
        return Err(syntax(format!("the app is missing before {}", quoted(word))));
    }
    if environment == Some("") {
        return Err(syntax(format!("the environment is missing after {}", quoted(word))));
    }
    Ok((app.to_lowercase(), environment.map(str::to_lowercase)))
}

fn parse_what(word: &str) -> Result<What, Refusal> {
    if is_link(word) {
        return parse_link(word);
    }
    let branch = match word.strip_prefix("branch:") {
        Some(branch) => branch,
        None => {
            let digits = word.strip_prefix('#').unwrap_or(word);
            if digits.bytes().all(|b| b.is_ascii_digit()) {
                return parse_number(digits).map(What::PullRequest);
            }
            word
        }
    };
    let branch = branch.strip_prefix("refs/heads/").unwrap_or(branch);
    match BranchName::parse(branch) {
        Ok(branch) => Ok(What::Branch(branch)),
        Err(_) => Err(syntax(format!("{} is neither a pull request nor the name of a branch", quoted(word)))),
    }
}

fn parse_number(digits: &str) -> Result<PullRequestNumber, Refusal> {
    match digits.parse() {
        Ok(number @ 1..) => Ok(PullRequestNumber(number)),
        _ => Err(syntax(format!("{} is not the number of a pull request", quoted(&format!("#{digits}"))))),
    }
}

/// Whether the word is an address, or something that Slack made of one or of a mention: `<https://…|…>`, `<@U…>`.
fn is_link(word: &str) -> bool {
    word.starts_with('<') || word.contains("://") || word.starts_with("github.com/")
}

/// Understands `https://<host>/<owner>/<name>/pull/<number>`, with whatever follows. The host is not looked at: it may be an Enterprise Server.
fn parse_link(word: &str) -> Result<What, Refusal> {
    let not_one = || syntax(format!("{} is not a link to a pull request", quoted(word)));
    let inner = word.trim_start_matches('<').split(['>', '|', '?', '#']).next().unwrap_or_default();
    let path = match inner.split_once("://") {
        Some(("http" | "https", path)) => path,
        Some(_) => return Err(not_one()),
        None => inner,
    };
    let mut parts = path.split('/').skip(1);
    let (Some(owner), Some(name), Some("pull"), Some(digits)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(not_one());
    };
    let repo = RepoName::parse(&format!("{owner}/{name}")).map_err(|_| not_one())?;
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(not_one());
    }
    Ok(What::PullRequestOf { repo, number: parse_number(digits)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn understood(text: &str) -> String {
        match Command::parse(text) {
            Ok(Command::Help) => "help".to_owned(),
            Ok(Command::Deploy(words)) => {
                let kind = match &words.what {
                    What::PullRequest(_) => "pull request",
                    What::Branch(_) => "branch",
                    What::PullRequestOf { .. } => "link",
                };
                format!("{words} ({kind})")
            }
            Err(Refusal::Syntax { problem }) => format!("no: {problem}"),
            Err(other) => panic!("{text:?}: {other:?}"),
        }
    }

    fn check(table: &[(&str, &str)]) {
        for (text, expected) in table {
            assert_eq!(understood(text), *expected, "{text:?}");
        }
    }

    #[test]
    fn a_pull_request_or_a_branch_of_an_app() {
        check(&[
            ("checkout 42", "checkout #42 (pull request)"),
            ("checkout #42", "checkout #42 (pull request)"),
            ("  checkout\u{a0} 42\n", "checkout #42 (pull request)"),
            ("checkout feature/x", "checkout feature/x (branch)"),
            ("checkout refs/heads/feature/x", "checkout feature/x (branch)"),
            ("checkout@production feature/x", "checkout@production feature/x (branch)"),
            ("checkout branch:42", "checkout 42 (branch)"),
            ("checkout branch:main", "checkout main (branch)"),
            ("checkout 42-fix", "checkout 42-fix (branch)"),
            ("checkout #42-fix", "checkout #42-fix (branch)"),
            ("checkout help", "checkout help (branch)"),
            ("Checkout@Production Feature/X", "checkout@production Feature/X (branch)"),
            ("checkout a&amp;b", "checkout a&b (branch)"),
        ]);
    }

    #[test]
    fn the_word_deploy_may_be_typed_twice_and_may_be_an_app() {
        check(&[
            ("deploy checkout 42", "checkout #42 (pull request)"),
            ("Deploy checkout 42", "checkout #42 (pull request)"),
            ("deploy 42", "deploy #42 (pull request)"),
            ("deploy deploy 42", "deploy #42 (pull request)"),
            ("deploy@production 42", "deploy@production #42 (pull request)"),
            ("help 42", "help #42 (pull request)"),
            ("status main", "status main (branch)"),
        ]);
    }

    #[test]
    fn a_link_to_a_pull_request() {
        for link in [
            "https://github.com/acme/checkout/pull/42",
            "https://github.com/acme/checkout/pull/42/files",
            "https://github.com/acme/checkout/pull/42/files?w=1#diff-1",
            "https://github.com/acme/checkout/pull/42#issuecomment-1",
            "<https://github.com/acme/checkout/pull/42>",
            "<https://github.com/acme/checkout/pull/42|github.com/acme/checkout/pull/42>",
            "&lt;https://github.com/acme/checkout/pull/42&gt;",
            "http://git.acme.example/acme/checkout/pull/42",
            "github.com/acme/checkout/pull/42",
        ] {
            assert_eq!(understood(&format!("checkout {link}")), "checkout acme/checkout#42 (link)", "{link}");
        }
        check(&[
            (
                "checkout https://github.com/acme/checkout/tree/main",
                "no: `https://github.com/acme/checkout/tree/main` is not a link to a pull request",
            ),
            (
                "checkout https://github.com/acme/checkout/pull/",
                "no: `https://github.com/acme/checkout/pull/` is not a link to a pull request",
            ),
            ("checkout https://github.com/acme/checkout/pull/0", "no: `#0` is not the number of a pull request"),
            (
                "checkout ftp://github.com/acme/checkout/pull/1",
                "no: `ftp://github.com/acme/checkout/pull/1` is not a link to a pull request",
            ),
            ("checkout <#C123|main>", "no: `<#C123|main>` is not a link to a pull request"),
            ("https://github.com/acme/checkout/pull/42", "no: the app is missing: it comes before the link"),
        ]);
    }

    #[test]
    fn quotes_around_words_are_left_out() {
        for text in [
            "\"checkout\" '42'",
            "`checkout 42`",
            "“checkout 42”",
            "‘checkout’ ’42’",
            "«checkout» „42“",
            "checkout '' 42",
        ] {
            assert_eq!(understood(text), "checkout #42 (pull request)", "{text}");
        }
    }

    #[test]
    fn help_is_given_when_asked_for() {
        check(&[
            ("", "help"),
            ("  \u{feff}", "help"),
            ("help", "help"),
            ("HELP", "help"),
            ("?", "help"),
            ("--help", "help"),
            ("``", "help"),
        ]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        check(&[
            ("checkout", "no: the pull request or branch is missing after `checkout`"),
            ("deploy checkout", "deploy checkout (branch)"),
            ("checkout 42 now", "no: I did not expect `now` after `42`"),
            ("checkout my branch name", "no: I did not expect `branch` after `my`"),
            ("@production 42", "no: the app is missing before `@production`"),
            ("checkout@ 42", "no: the environment is missing after `checkout@`"),
            ("checkout #", "no: `#` is not the number of a pull request"),
            ("checkout 0", "no: `#0` is not the number of a pull request"),
            ("checkout 4294967296", "no: `#4294967296` is not the number of a pull request"),
            ("checkout a..b", "no: `a..b` is neither a pull request nor the name of a branch"),
            ("checkout branch:", "no: `branch:` is neither a pull request nor the name of a branch"),
            ("checkout a`b:c", "no: `a'b:c` is neither a pull request nor the name of a branch"),
        ]);
        assert_eq!(understood(&"é".repeat(1001)), "no: it is longer than 1000 characters");
        let long = understood(&"é".repeat(1000));
        assert_eq!(long, format!("no: the pull request or branch is missing after `{}…`", "é".repeat(60)));
    }

    #[test]
    fn every_form_in_the_help_is_understood() {
        let forms: Vec<String> =
            USAGE.iter().map(|(form, _)| understood(form.strip_prefix("/deploy ").unwrap())).collect();
        insta::assert_snapshot!(forms.join("\n"), @"
        checkout #42 (pull request)
        checkout feature/x (branch)
        checkout@production main (branch)
        checkout 42 (branch)
        help
        ");
    }

    #[test]
    fn words_are_stored_and_read_again() {
        let check = |text: &str, json: &str| {
            let Ok(Command::Deploy(words)) = Command::parse(text) else { panic!("{text}") };
            assert_eq!(serde_json::to_string(&words).unwrap(), json);
            assert_eq!(serde_json::from_str::<DeployWords>(json).unwrap(), words);
        };
        check("checkout 42", r#"{"app":"checkout","what":{"pull_request":42}}"#);
        check("checkout@x main", r#"{"app":"checkout","environment":"x","what":{"branch":"main"}}"#);
        check(
            "checkout github.com/a/b/pull/1",
            r#"{"app":"checkout","what":{"pull_request_of":{"repo":"a/b","number":1}}}"#,
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(checkout|deploy|@|#|<|>|://|\\||/pull/|branch:|[0-9]|\"| |\\PC|\\pC){0,40}") {
            let _ = Command::parse(&text);
        }
    }
}
