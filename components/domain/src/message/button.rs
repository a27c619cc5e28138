//! The buttons below our messages: what is written on them, what they carry, and what a pressed button means.
//!
//! A value proves nothing about who pressed it: everything is looked up and authorised again.

use super::text::{clip, length};
use crate::command::{DeployWords, Scope, TargetWords};
use crate::deployment::{CommitFact, End, Facts, LastWord, State, Waiting};
use crate::image::Digest;
use crate::names::{CommandName, CommitSha, DeploymentId, EnvironmentName, SlackUser, Target};
use crate::refusal::{MovedTag, Refusal};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A message may have several of these: each has a number after it.
const DEPLOY_PUSHED: &str = "deploy_pushed";

/// At most this many characters: Slack takes no longer value of a button.
const LONGEST_VALUE: usize = 2000;
/// At most this many characters: the button of a question takes no longer label.
const LONGEST_LABEL: usize = 30;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Button {
    /// Ends a deployment that has no commit yet.
    Cancel(DeploymentId),
    /// The same request once more.
    Retry(DeploymentId),
    /// The last healthy version of that deployment's target.
    RollBack(DeploymentId),
    /// What that deployment brought live, to the next environment.
    Promote {
        of: DeploymentId,
        /// For the label. A pressed button does not carry the environment.
        to: Option<EnvironmentName>,
    },
    Approve(DeploymentId),
    Reject(DeploymentId),
    /// Ends the sync of an older deployment that this one waits for.
    Terminate {
        waits: DeploymentId,
        /// Whose sync.
        of: DeploymentId,
        /// The hook that runs in it, for the question. A pressed button does not carry the hook.
        hook: Option<String>,
    },
    /// Deploys a version although something speaks against it: the message says what.
    DeployAnyway(DeploymentId),
    /// Deploys what somebody else has written into the file, with a commit of ours.
    TakeOver(DeploymentId),
    /// Deploys what a preview showed.
    Deploy(Box<Offer>),
    /// Deploys what people have pushed.
    DeployPushed(Box<PushedOffer>),
    /// Takes a lock away.
    Unlock {
        scope: Scope,
        /// The lock that was shown, by when it was set: a newer one stays. None: that of a rollback.
        set: Option<Timestamp>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    pub of: DeploymentId,
    /// Who saw the preview.
    pub by: SlackUser,
    pub words: DeployWords,
    /// Its commit when it was shown; none for a rollback, whose version does not move.
    pub head: Option<CommitSha>,
    /// Its image when it was shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// What the command was called.
    #[serde(default, skip_serializing_if = "CommandName::is_default")]
    pub command: CommandName,
}

/// What the announcement of a push offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushedOffer {
    pub target: TargetWords,
    /// The commits of the push that touched its files. A press means that the person knows them.
    pub wrote: Vec<CommitSha>,
}

impl Button {
    /// Understands a pressed button. One that an earlier release showed may be unknown by now.
    pub fn parse(action_id: &str, value: &str) -> Option<Self> {
        let id = || DeploymentId::parse(value).ok();
        Some(match action_id {
            "cancel" => Self::Cancel(id()?),
            "retry" => Self::Retry(id()?),
            "roll_back" => Self::RollBack(id()?),
            "promote" => Self::Promote { of: id()?, to: None },
            "approve" => Self::Approve(id()?),
            "reject" => Self::Reject(id()?),
            "terminate" => {
                let (waits, of) = value.split_once(' ')?;
                let (waits, of) = (DeploymentId::parse(waits).ok()?, DeploymentId::parse(of).ok()?);
                Self::Terminate { waits, of, hook: None }
            }
            "deploy_anyway" => Self::DeployAnyway(id()?),
            "take_over" => Self::TakeOver(id()?),
            text if text.starts_with(DEPLOY_PUSHED) => Self::DeployPushed(Box::new(serde_json::from_str(value).ok()?)),
            "deploy" => Self::Deploy(Box::new(serde_json::from_str(value).ok()?)),
            "unlock" => {
                let (scope, set) = match value.split_once(' ') {
                    Some((scope, set)) => (scope, Some(Timestamp(set.parse().ok()?))),
                    None => (value, None),
                };
                Self::Unlock { scope: Scope::parse(scope)?, set }
            }
            _ => return None,
        })
    }

    fn action_id(&self) -> &'static str {
        match self {
            Self::Cancel(_) => "cancel",
            Self::Retry(_) => "retry",
            Self::RollBack(_) => "roll_back",
            Self::Promote { .. } => "promote",
            Self::Approve(_) => "approve",
            Self::Reject(_) => "reject",
            Self::Terminate { .. } => "terminate",
            Self::DeployAnyway(_) => "deploy_anyway",
            Self::TakeOver(_) => "take_over",
            Self::Deploy(_) => "deploy",
            Self::DeployPushed(_) => DEPLOY_PUSHED,
            Self::Unlock { .. } => "unlock",
        }
    }

    fn value(&self) -> String {
        match self {
            Self::Cancel(id)
            | Self::Retry(id)
            | Self::RollBack(id)
            | Self::Promote { of: id, .. }
            | Self::Approve(id)
            | Self::Reject(id)
            | Self::DeployAnyway(id)
            | Self::TakeOver(id) => id.to_string(),
            Self::Terminate { waits, of, .. } => format!("{waits} {of}"),
            Self::Deploy(offer) => serde_json::to_string(offer).unwrap_or_default(),
            Self::DeployPushed(offer) => serde_json::to_string(offer).unwrap_or_default(),
            Self::Unlock { scope, set: Some(set) } => format!("{scope} {}", set.0),
            Self::Unlock { scope, set: None } => scope.to_string(),
        }
    }

    /// What is written on the button, and whether the button stands out. What changes a cluster in one click
    /// asks back.
    fn looks(&self) -> (&'static str, Option<&'static str>, Option<&'static str>) {
        match self {
            Self::Terminate { .. } => ("Terminate it", Some("danger"), None),
            Self::Cancel(_) => ("Cancel", None, None),
            Self::Retry(_) => ("Retry", None, None),
            // Below every message of what is live: red there would cry wolf. It asks back instead.
            Self::RollBack(_) => (
                "Roll back",
                None,
                Some(
                    "This deploys the last healthy version before this one, and locks the app until somebody unlocks it.",
                ),
            ),
            Self::Promote { .. } => {
                ("Promote", None, Some("This deploys the same image there. All gates of that environment hold."))
            }
            Self::Approve(_) => ("Approve", Some("primary"), None),
            Self::Reject(_) => ("Reject", Some("danger"), None),
            Self::DeployAnyway(_) => {
                ("Deploy anyway", Some("danger"), Some("The message says what speaks against it. Deploy it?"))
            }
            Self::TakeOver(_) | Self::DeployPushed(_) => (
                if matches!(self, Self::TakeOver(_)) { "Deploy it" } else { "Deploy" },
                None,
                Some("This deploys what is in Git now, with everything that people pushed since the live version."),
            ),
            Self::Deploy(_) => ("Deploy", Some("primary"), None),
            Self::Unlock { .. } => ("Unlock", None, Some("People can deploy there again.")),
        }
    }

    fn element(&self) -> Option<Value> {
        let (label, style, question) = self.looks();
        let question = match self {
            Self::Terminate { hook, .. } => Some(terminate_question(hook.as_deref())),
            _ => question.map(str::to_owned),
        };
        let label = match self {
            Self::Promote { to: Some(to), .. } => clip(&format!("{label} to {to}"), LONGEST_LABEL),
            _ => label.to_owned(),
        };
        let value = self.value();
        if length(&value) > LONGEST_VALUE {
            return None;
        }
        let text = |text: &str| json!({ "type": "plain_text", "text": text });
        let mut button =
            json!({ "type": "button", "action_id": self.action_id(), "text": text(&label), "value": value });
        if let Some(fields) = button.as_object_mut() {
            fields.extend(style.map(|style| ("style".to_owned(), json!(style))));
            fields.extend(question.map(|question| {
                let confirm = json!({
                    "title": text(&label), "text": text(&question), "confirm": text(&label), "deny": text("No"),
                });
                ("confirm".to_owned(), confirm)
            }));
        }
        Some(button)
    }
}

/// What the button asks back that ends another sync.
fn terminate_question(hook: Option<&str>) -> String {
    let end = "This ends the sync of the older deploy in Argo CD";
    match hook {
        // Slack takes 300 characters.
        Some(hook) => format!("{end}, and kills its {}.", clip(hook, 100)),
        None => format!("{end}. A hook that it runs is killed."),
    }
}

/// One of several of its kind in a message.
pub(super) fn numbered(button: &Button, n: usize) -> Option<Value> {
    let mut element = button.element()?;
    element.as_object_mut()?.insert("action_id".to_owned(), json!(format!("{}_{n}", button.action_id())));
    Some(element)
}

/// Buttons in a row, if there are any.
pub(super) fn row(buttons: &[Button]) -> Option<Value> {
    let elements: Vec<Value> = buttons.iter().filter_map(Button::element).collect();
    (!elements.is_empty()).then(|| json!({ "type": "actions", "elements": elements }))
}

pub(super) fn is_rejected(facts: &Facts) -> bool {
    facts.approvals.as_ref().is_some_and(|approvals| approvals.rejected.is_some())
}

/// What may be done with a deployment that has no commit, or ended before one.
pub(super) fn before_commit(id: &DeploymentId, facts: &Facts) -> Vec<Button> {
    let id = || id.clone();
    match facts.end.as_ref().map(|end| &end.end) {
        None => vec![Button::Cancel(id())],
        Some(End::Failed { .. } | End::Cancelled { .. }) => vec![Button::Retry(id())],
        Some(End::Refused { refusal, .. }) => match refusal.read() {
            Some(refusal) if !refusal.asks_approval().is_empty() => match is_rejected(facts) {
                true => Vec::new(),
                false => vec![Button::Approve(id()), Button::Reject(id())],
            },
            Some(
                Refusal::WasRolledBack { .. }
                | Refusal::NewerThere { .. }
                | Refusal::ImageMoved { todo: MovedTag::AskedAgain, head: Some(_), .. },
            ) => {
                vec![Button::DeployAnyway(id())]
            }
            Some(Refusal::AlreadyWritten { .. }) => vec![Button::TakeOver(id()), Button::Retry(id())],
            Some(Refusal::Locked { target, everything, since, back_to, .. }) => {
                let scope = if everything { Scope::Everything } else { scope(&target) };
                let first = if back_to.is_some() { Button::DeployAnyway(id()) } else { Button::Retry(id()) };
                vec![first, Button::Unlock { scope, set: Some(since) }]
            }
            Some(refusal) if refusal.may_pass() => vec![Button::Retry(id())],
            _ => Vec::new(),
        },
    }
}

/// What may be done once there is a commit.
pub(super) fn after_commit(id: &DeploymentId, facts: &Facts) -> Vec<Button> {
    let Some(outcome) = &facts.outcome else { return terminate(id, facts).into_iter().collect() };
    let retry = !matches!(outcome.word, LastWord::Live { .. } | LastWord::Superseded { .. });
    let mut buttons = Vec::new();
    buttons.extend(retry.then(|| Button::Retry(id.clone())));
    buttons.extend(promote(id, facts));
    buttons.extend(offers_roll_back(facts).then(|| Button::RollBack(id.clone())));
    // A rollback locks its target.
    let lock = facts.commit.as_ref().filter(|commit| commit.target().rollback && facts.state() == State::Live);
    buttons.extend(lock.map(|commit| Button::Unlock { scope: scope(&commit.target().target), set: None }));
    buttons
}

/// Of a version that is live, and whose image is known, if there is an environment that takes versions from here.
fn promote(id: &DeploymentId, facts: &Facts) -> Option<Button> {
    let plan = facts.commit.as_ref().map(CommitFact::target).filter(|_| facts.state() == State::Live)?;
    let to = plan.promotes_to.clone().filter(|_| plan.digest.is_some() && !plan.rollback)?;
    Some(Button::Promote { of: id.clone(), to: Some(to) })
}

/// The deployment waits for the sync of an older one, and nobody has wished for the end of that sync.
fn terminate(id: &DeploymentId, facts: &Facts) -> Option<Button> {
    let mut waiting = facts.applications().into_iter().filter_map(|(_, watch)| watch.waiting);
    let is_wished = |of: &DeploymentId| facts.stop.as_ref().is_some_and(|stop| stop.of == *of);
    waiting.find_map(|waiting| match waiting {
        Waiting::OtherOperation { of: Some(of), hook, .. } if !is_wished(&of) => {
            Some(Button::Terminate { waits: id.clone(), of, hook })
        }
        _ => None,
    })
}

/// A rollback is not rolled back: its version was healthy once.
pub(super) fn offers_roll_back(facts: &Facts) -> bool {
    let is_rollback = facts.commit.as_ref().is_some_and(|commit| commit.target().rollback);
    facts.committed.is_some() && !is_rollback && facts.state() != State::Superseded
}

fn scope(target: &Target) -> Scope {
    let environment = Some(target.environment.to_string());
    Scope::Target(TargetWords { app: target.app.to_string(), environment })
}
