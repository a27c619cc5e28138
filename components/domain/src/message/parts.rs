//! The one message of a deployment of several targets: a line for each.

use super::blocks::{Message, SUMMARY, context, section};
use super::button::{self, Button};
use super::deployment::{self, Note, riders, source_title, status, title, up_to_commit};
use super::text::{code, cut, lasted, link, some};
use crate::deployment::{Facts, State, TargetPlan};
use crate::names::DeploymentId;
use serde_json::Value;

/// The message of a deployment up to its commit, or its `end`: slack-command's part.
pub fn before_commit(id: &DeploymentId, facts: &Facts, note: Option<&Note>) -> Message {
    let proposed = facts.proposed();
    if !facts.has_parts() && proposed.len() < 2 {
        return deployment::before_commit(id, facts, note);
    }
    let plans = facts.commit.iter().flat_map(|commit| commit.plan.targets.iter());
    let lines = match proposed {
        [] => plans.map(|plan| format!("*{}*  {}", plan.target, version(plan))).collect(),
        proposed => proposed.iter().map(to_approve).collect(),
    };
    whole((id, facts), up_to_commit(facts, note), lines, &button::before_commit(id, facts))
}

/// The message from the commit on. `parts`: the facts of each target's own deployment, in the order of the plan.
pub fn of_parts(id: &DeploymentId, facts: &Facts, parts: &[Facts]) -> Message {
    let count = |state: State| parts.iter().filter(|part| part.state() == state).count();
    let (live, over) = (count(State::Live), parts.iter().filter(|part| part.state().is_final()).count());
    let said = match (live, over) {
        (live, over) if over < parts.len() => {
            let others = if over > live { format!(", {} not", over.saturating_sub(live)) } else { String::new() };
            (":arrows_counterclockwise:", format!("rolling out: {live} of {} live{others}.", parts.len()))
        }
        (live, _) if live == parts.len() => (":white_check_mark:", "all are live.".to_owned()),
        (0, _) => (":x:", "none went live.".to_owned()),
        (live, _) => {
            let others: Vec<String> =
                parts.iter().filter(|part| part.state() != State::Live).filter_map(name).collect();
            (":x:", format!("{live} of {} are live, and {} not.", parts.len(), some(&others, "and")))
        }
    };
    let lines = parts.iter().map(line).collect();
    let rolls_back = over == parts.len() && parts.iter().any(button::offers_roll_back);
    let buttons: Vec<Button> = rolls_back.then(|| Button::RollBack(id.clone())).into_iter().collect();
    whole((id, facts), said, lines, &buttons)
}

/// What people read of one target before they approve: what replaces what, which image, and what goes live with it.
fn to_approve(plan: &TargetPlan) -> String {
    let digest = plan.digest.as_ref().map(|digest| code(digest.short()));
    let what: Vec<String> = [version(plan)].into_iter().chain(digest).chain(source_title(&plan.source)).collect();
    let riders = riders(plan).map(|riders| format!("\n{riders}")).unwrap_or_default();
    format!("*{}*  {}{riders}", plan.target, what.join("  ·  "))
}

fn name(part: &Facts) -> Option<String> {
    part.plan().map(|plan| plan.target.to_string())
}

fn line(part: &Facts) -> String {
    let (mark, status) = status(part);
    let target = name(part).unwrap_or_default();
    let version = part.plan().map(version).unwrap_or_default();
    let took = part.request.as_ref().zip(part.outcome.as_ref());
    let took = took.map(|(request, outcome)| format!("  {}", lasted(outcome.at.since(request.at)))).unwrap_or_default();
    let page = part.commit.as_ref().and_then(|commit| commit.plan.page(commit.target().applications.first()));
    let page = page.map(|url| format!("  ·  {}", link(&url, "Argo CD"))).unwrap_or_default();
    format!("{mark} *{target}*  {version}  {status}{took}{page}")
}

/// What is replaced by what.
fn version(plan: &TargetPlan) -> String {
    match &plan.before {
        Some(before) if before != plan.tag.as_str() => format!("{} → {}", code(before), code(&plan.tag)),
        _ => code(&plan.tag),
    }
}

fn whole(
    (id, facts): (&DeploymentId, &Facts),
    (mark, status): (&str, String),
    lines: Vec<String>,
    buttons: &[Button],
) -> Message {
    let title = title(facts);
    let mut blocks = vec![section(&format!("{mark} *{title}*  {status}"))];
    // At most 25, and Slack takes 50 blocks.
    blocks.extend(lines.iter().map(|line| section(line)));
    let asked = facts.request.as_ref().map(|request| format!("asked by <@{}>", request.user));
    let commit = facts.commit.as_ref().zip(facts.committed.as_ref()).map(|(commit, committed)| {
        let url = format!("{}/commit/{}", commit.plan.gitops.url, committed.sha);
        link(&url, &format!("commit {}", committed.sha.short()))
    });
    let small: Vec<String> = asked.into_iter().chain(commit).collect();
    if !small.is_empty() {
        blocks.push(context(&small.join("  ·  ")));
    }
    blocks.push(context(&format!("id {}", id.short())));
    blocks.extend(button::row(buttons));
    let summary = format!("{title} – {status}").replace('\n', " ");
    Message { text: cut(&summary, SUMMARY), blocks: Value::Array(blocks) }.worded(&facts.into())
}
