//! What a deploy would do: the exact change, what it brings, and what is in its way.

use super::answer::page;
use super::blocks::{Message, context};
use super::button::{Button, Offer};
use super::deployment::{
    elsewhere, first_deploy, new_in_it, not_newest, source_title, uncounted, wants_override, whose,
};
use super::sentence;
use super::text::{SHORT, code, escape, length, one_way, some, words};
use crate::deployment::{ChangesFact, Riders, TargetPlan};
use crate::names::FilePath;
use crate::refusal::Refusal;

#[derive(Clone, Debug)]
pub struct Preview<'a> {
    pub plan: &'a TargetPlan,
    /// Each values file, before and after.
    pub files: &'a [(&'a FilePath, &'a str, &'a str)],
    pub changes: Option<&'a ChangesFact>,
    /// What the gates say besides.
    pub gates: &'a [String],
    /// What would prevent the deploy.
    pub problem: Option<&'a Refusal>,
    pub offer: Offer,
}

/// `preview`: the exact change, what it brings, and what is in its way.
pub fn preview(preview: &Preview<'_>) -> Message {
    let mut lines = lines(preview);
    if let Some(title) = lines.first_mut() {
        *title = format!(":mag: {title}  only a preview, nothing is changed.");
    }
    // These two go on from the button.
    let goes_on = matches!(preview.problem, None | Some(Refusal::NeedsApproval { .. } | Refusal::WasRolledBack { .. }));
    let button = goes_on.then(|| Button::Deploy(Box::new(preview.offer.clone())));
    let mut message = page(&lines, None, button.as_slice());
    if let (Some(blocks), Some(head)) = (message.blocks.as_array_mut(), &preview.offer.head)
        && blocks.last().is_some_and(|last| last["type"] == "actions")
    {
        blocks.push(context(&format!(
            "The button deploys commit {}. It stops working when the branch moves.",
            code(head.short())
        )));
    }
    message
}

/// The same in a form, which has a button of its own.
pub fn preview_in_form(preview: &Preview<'_>) -> Message {
    page(&lines(preview), None, &[])
}

fn lines(preview: &Preview<'_>) -> Vec<String> {
    let (plan, source) = (preview.plan, &preview.plan.source);
    let wish = wants_override(&preview.offer.words);
    let mut lines = vec![format!("*{} {}{wish}*", plan.target, code(&plan.tag))];
    let mut about: Vec<String> = source_title(source).into_iter().collect();
    about.extend(source.head.as_ref().map(|head| format!("commit {}", code(head.short()))));
    about.extend(not_newest(source));
    about.extend(plan.digest.as_ref().map(|digest| code(digest.short())));
    about.extend(preview.gates.iter().map(|gate| words(gate, SHORT)));
    lines.push(about.join("  ·  "));
    for (path, before, after) in preview.files {
        lines.push(format!("In {}:\n```\n{}```", code(path), diff(before, after)));
    }
    lines.extend(preview.changes.map(new_in_it).filter(|text| !text.is_empty()));
    lines.extend(riders(plan));
    lines.extend(looked_at(plan));
    lines.extend(preview.problem.map(problem));
    lines
}

/// Whose commits would go live with it.
fn riders(plan: &TargetPlan) -> Option<String> {
    match &plan.riders {
        Riders::FirstDeploy => Some(first_deploy(&plan.target, "would go")),
        Riders::Since { commits: riders, more } => match whose(riders, *more) {
            Some(whose) => Some(format!("Would also go live: {whose}.{}", elsewhere(plan))),
            None if *more => Some(uncounted("would go")),
            None => Some(elsewhere(plan).trim_start().to_owned()).filter(|text| !text.is_empty()),
        },
    }
}

/// Where other people's changes were looked for.
fn looked_at(plan: &TargetPlan) -> Option<String> {
    if plan.riders == Riders::FirstDeploy {
        return None;
    }
    let mut paths: Vec<String> = plan.reach.paths.iter().take(5).map(code).collect();
    paths.extend(plan.reach.everything.then(|| "the rest of the repository but other apps' folders".to_owned()));
    Some(format!("I looked for other people's changes in {}.", some(&paths, "and")))
}

/// What would become of a deploy.
fn problem(refusal: &Refusal) -> String {
    let (what, todo) = (sentence::problem(refusal), sentence::remedy(refusal));
    match refusal {
        Refusal::NeedsApproval { .. } => format!(":raised_hand: {what} *Deploy* asks them to approve."),
        Refusal::WasRolledBack { .. } => format!(":warning: {what} {todo}"),
        // The button for that is below the refused deploy.
        Refusal::AlreadyWritten { .. } => format!(":warning: {what} If you deploy it, I ask whether to roll it out."),
        _ => format!(":no_entry: This can't be deployed now: {what} {todo}"),
    }
}

/// The lines that differ, as many as have room. An edit changes lines in place and adds none.
fn diff(before: &str, after: &str) -> String {
    let mut text = String::new();
    for (n, (old, new)) in before.lines().zip(after.lines()).enumerate().filter(|(_, (old, new))| old != new) {
        let n = n.saturating_add(1);
        let line = |line: &str| escape(&clip_line(line)).replace('`', "'");
        let lines = format!("{n:>4} - {}\n{n:>4} + {}\n", line(old), line(new));
        if !text.is_empty() && length(&text).saturating_add(length(&lines)) > DIFF {
            text.push_str("…\n");
            break;
        }
        text.push_str(&lines);
    }
    if text.is_empty() { "(this version is already there)".to_owned() } else { text }
}

/// With its frame it fits into a section.
const DIFF: usize = 2400;

/// At most this much of a line is shown: a tag has at most 128 characters.
const LINE: usize = 200;

/// A line with its indentation, cut where it is very long.
fn clip_line(line: &str) -> String {
    let line = &one_way(line.trim_end());
    if line.chars().count() <= LINE { line.to_owned() } else { line.chars().take(LINE).chain(['…']).collect() }
}
