//! One deploy without a terminal: everybody's view of it on one timeline, then what is true afterwards.
//!
//! Easy to miss: the Slack message is only what the bot says. The app is live if the cluster runs the tag.

use std::process::ExitCode;
use std::time::Duration;

use sandbox::bot::Exchange;
use sandbox::journal::{Entry, Outcome};
use sandbox::{Sandbox, now, world};
use serde_json::Value;

use fakes::Millis;

/// How long the demo waits for the app.
const LIMIT: Duration = Duration::from_secs(60);

/// Where people see the app, as Argo CD knows from its ingress.
const PAGE: &str = "https://checkout.acme.example/";

type Line = (Millis, String);

const NEXT: &str = "
How to go on:
  cargo run              a prompt: type `/deploy checkout 42`, then `/press Roll back`; `help` lists the rest
  docs/architecture.md   the deploy above, step by step through the code
  docs/install.md        the bot in your own Slack, GitHub and Argo CD
";

/// Plays the demo; the exit code says whether the app went live.
pub(crate) async fn play(sandbox: &Sandbox) -> anyhow::Result<ExitCode> {
    let tag = world::tag(&sandbox.github.lock(), "checkout", "feature/totals");
    sandbox.argocd.lock().app("checkout").urls = vec![PAGE.to_owned()];
    let before = values(sandbox);
    println!("\nalice types `/deploy checkout 42` in #deploys:\n");

    let begun = now();
    let answer = sandbox.command(world::ALICE, world::DEPLOYS, "checkout 42").await;
    let mut phases = Phases::default();
    let last_word = sandbox
        .until("last word in Slack", LIMIT, |sandbox| {
            phases.look(now(), &sandbox.argocd.lock().application("checkout"));
            let slack = sandbox.slack.lock();
            let message = slack.messages(world::DEPLOYS).last()?;
            super::prompt::is_final(message.now()).then(|| slack.render(message))
        })
        .await;

    let shown = sandbox.until("success at the pull request", LIMIT, shown).await;

    let mut lines = vec![(begun, "typed".to_owned()), answered(&answer)];
    lines.extend(phases.seen);
    lines.extend(sandbox.journal.entries().iter().filter_map(call));
    lines.extend(sandbox.bot.exchanges().iter().filter(|exchange| exchange.path == "/github/webhook").map(relayed));
    lines.extend(edits(sandbox));
    lines.retain(|(at, _)| *at >= begun);
    lines.sort_by_key(|(at, _)| *at);
    for (at, what) in lines {
        println!("{:6} ms  {}", at - begun, what.replace('\n', "\n           "));
    }

    let last_word = match last_word {
        Ok(text) => text,
        Err(error) => format!("(none: {error:#})"),
    };
    let live = sandbox.argocd.lock().live_tag("checkout").map(str::to_owned);
    let changed = changed(&before, &values(sandbox));
    let checks = [
        (live.as_deref() == Some(&tag), format!("the cluster runs {}", live.as_deref().unwrap_or("nothing"))),
        (last_word.contains("is live"), "Slack says that it is live".to_owned()),
        (changed == Some(1), format!("{} of values.yaml changed", lines_of(changed))),
        (shown.is_ok_and(|page| page == PAGE), format!("the pull request shows it live at {PAGE}")),
    ];
    println!();
    for (holds, what) in &checks {
        println!("{} {what}", if *holds { "yes" } else { " NO" });
    }
    if checks.iter().all(|(holds, _)| *holds) {
        print!("{NEXT}");
        return Ok(ExitCode::SUCCESS);
    }
    println!("\nLast word in Slack: {last_word}\n\nThe bot's log:\n{}", sandbox.log());
    Ok(ExitCode::FAILURE)
}

/// The page of what GitHub says is live.
fn shown(sandbox: &Sandbox) -> Option<String> {
    let github = sandbox.github.lock();
    let status = github.deployments("acme/checkout").last()?.statuses.last()?;
    (status.state == "success").then(|| status.environment_url.clone())
}

fn values(sandbox: &Sandbox) -> String {
    let bytes = sandbox.github.lock().file_at(world::GITOPS, "main", "checkout/values.yaml");
    String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
}

/// How many lines differ; `None` if lines came or went.
fn changed(before: &str, after: &str) -> Option<usize> {
    let (before, after): (Vec<_>, Vec<_>) = (before.split('\n').collect(), after.split('\n').collect());
    (before.len() == after.len()).then(|| before.iter().zip(&after).filter(|(before, after)| before != after).count())
}

fn lines_of(changed: Option<usize>) -> String {
    match changed {
        Some(1) => "one line".to_owned(),
        Some(count) => format!("{count} lines"),
        None => "the number of lines".to_owned(),
    }
}

fn answered(exchange: &Exchange) -> Line {
    let took = exchange.took.as_millis();
    let status = exchange.status.map_or("nothing".to_owned(), |status| status.to_string());
    let body: Option<Value> = serde_json::from_str(&exchange.body).ok();
    let text = body.as_ref().and_then(|body| body["text"].as_str()).unwrap_or(&exchange.body);
    (exchange.at + took as Millis, format!("answered {status} in {took} ms: {text}"))
}

fn relayed(exchange: &Exchange) -> Line {
    let took = exchange.took.as_millis();
    let status = exchange.status.map_or("nothing".to_owned(), |status| status.to_string());
    (
        exchange.at,
        format!("webhook: GitHub tells the bot of the push; answered {status} after {took} ms: {}", exchange.body),
    )
}

/// A call of the bot's, if the timeline shows it.
fn call(entry: &Entry) -> Option<Line> {
    let what = match entry.call.as_str() {
        "github.query" => "GitHub query",
        "github.commit" => "GitHub commit",
        "github.deployment" => "GitHub told of the deploy",
        "github.deployment_status" => "GitHub told how it goes",
        "registry.head" => "registry HEAD",
        "registry.token" => "registry token",
        "argocd.webhook" => "relayed: the same bytes to Argo CD's webhook",
        "argocd.stream" => "Argo CD event stream opened",
        "argocd.refresh" => "Argo CD asked to look",
        "argocd.sync" => "sync asked",
        other => match entry.system {
            "bot" | "mark" | "slack" => return None,
            _ => other,
        },
    };
    let took = entry.took.map(|took| format!(" in {took} ms")).unwrap_or_default();
    let outcome = match entry.outcome {
        Outcome::Status(status) => format!(": {status}{took}"),
        Outcome::Fault(fault) => format!(": {fault}"),
        Outcome::HungUp => ": the bot hung up".to_owned(),
        Outcome::Open | Outcome::Mark => String::new(),
    };
    Some((entry.at, format!("{what}{outcome}")))
}

/// Every state of the message; of a later state only the new lines.
fn edits(sandbox: &Sandbox) -> Vec<Line> {
    let slack = sandbox.slack.lock();
    let mut lines = Vec::new();
    for message in slack.messages(world::DEPLOYS) {
        let mut before = String::new();
        for edit in &message.edits {
            let what = if before.is_empty() { "posted" } else { "edited" };
            let text = slack.render_edit(edit);
            let new: Vec<&str> = text.lines().filter(|line| !before.lines().any(|old| old == *line)).collect();
            lines.push((edit.at, format!("message {what}: {}", new.join("\n"))));
            before = text;
        }
    }
    lines
}

/// What Argo CD shows of an application, each time it changes.
#[derive(Default)]
struct Phases {
    last: Option<String>,
    seen: Vec<Line>,
}

impl Phases {
    fn look(&mut self, at: Millis, application: &Value) {
        let status = &application["status"];
        let text = |value: &Value| value.as_str().unwrap_or("none").to_owned();
        let phase = match &application["operation"] {
            Value::Null => text(&status["operationState"]["phase"]),
            _ if status["operationState"].is_null() => "requested".to_owned(),
            _ => format!("{} (under way)", text(&status["operationState"]["phase"])),
        };
        let now = format!(
            "Argo CD: operation {phase}, {}, {}",
            text(&status["sync"]["status"]),
            text(&status["health"]["status"]),
        );
        if self.last.as_ref() != Some(&now) {
            // The state before the command is not part of the timeline.
            if self.last.is_some() {
                self.seen.push((at, now.clone()));
            }
            self.last = Some(now);
        }
    }
}
