//! `branches`: the branches that may be deployed, also as the branch of a pull request. Empty: any.

use super::{Case, Checks, Gate, Gates, Unmet};
use crate::catalog::CatalogError;
use crate::catalog::fields::{Entry, Node, error, item_text, list_of};
use crate::deployment::Granted;
use crate::names::{BranchName, GitTag};
use crate::refusal::Refusal;
use crate::text::quoted;
use std::fmt;

/// At most this many patterns are listed.
const LISTED: usize = 5;

impl Gate for Vec<BranchGlob> {
    type Sees<'a> = Case<'a>;

    fn read(entry: &Entry) -> Result<Self, CatalogError> {
        let nodes = list_of(entry)?;
        if nodes.is_empty() {
            return Err(error(entry.line, "`branches` is empty: leave it out, or write `['**']`, for any branch"));
        }
        let glob = |node: &Node| {
            let text = item_text("branches", node)?;
            let like = "a pattern for branches such as `main`, `release/*` or `hotfix/**`";
            let problem = || format!("`branches`: {} is not {like}", quoted(text));
            BranchGlob::parse(text).ok_or_else(|| error(node.line, problem()))
        };
        nodes.into_iter().map(glob).collect()
    }

    fn check(&self, case: &Case<'_>) -> Result<Granted, Unmet> {
        let branch = case.plan.source.branch.as_ref();
        if self.is_empty() || branch.is_some_and(|branch| takes(self, branch)) {
            return Ok(Granted::default());
        }
        let (target, branch) = (case.asked.target.clone(), branch.cloned());
        let allowed = self.iter().take(LISTED).map(ToString::to_string).collect();
        Err(Refusal::BranchNotAllowed { target, branch, allowed }.into())
    }

    fn in_short(&self) -> Option<String> {
        let globs: Vec<String> = self.iter().take(LISTED).map(ToString::to_string).collect();
        let more = if self.len() > globs.len() { ", …" } else { "" };
        (!globs.is_empty()).then(|| format!("only {}{more}", globs.join(", ")))
    }
}

fn takes(globs: &[BranchGlob], branch: &BranchName) -> bool {
    globs.is_empty() || globs.iter().any(|glob| glob.matches(branch))
}

impl Gates {
    /// Whether one of them judges a commit, so that an image whose commit nobody knows cannot pass.
    pub fn judge_commits(&self) -> bool {
        !self.branches.is_empty() || self.checks != Checks::Ignore || self.reviews.is_some() || self.approvals.is_some()
    }

    /// Whether a branch may be deployed.
    pub fn takes_branch(&self, branch: &BranchName) -> bool {
        takes(&self.branches, branch)
    }
}

/// A pattern for branches: `*` stands for any characters but `/`, `**` for any characters, `?` for one
/// character but `/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BranchGlob(String);

/// A part of a pattern.
enum Piece {
    Exactly(char),
    OneOfSegment,
    AnyOfSegment,
    Any,
}

impl BranchGlob {
    /// Checks the pattern: a branch could match it.
    pub fn parse(text: &str) -> Option<Self> {
        let example = text.replace(['*', '?'], "x");
        (BranchName::parse(&example).is_ok() && !text.contains("***")).then(|| Self(text.to_owned()))
    }

    /// Whether the whole name of the branch matches.
    pub fn matches(&self, branch: &BranchName) -> bool {
        glob(&self.0, branch.as_str())
    }

    /// Whether the whole name of the tag matches.
    pub fn matches_tag(&self, tag: &GitTag) -> bool {
        glob(&self.0, tag.as_str())
    }
}

fn pieces(pattern: &str) -> impl Iterator<Item = Piece> {
    let mut rest = pattern.chars().peekable();
    std::iter::from_fn(move || match rest.next()? {
        '*' if rest.next_if_eq(&'*').is_some() => Some(Piece::Any),
        '*' => Some(Piece::AnyOfSegment),
        '?' => Some(Piece::OneOfSegment),
        other => Some(Piece::Exactly(other)),
    })
}

/// Whether a pattern matches the whole name. The work is at most the product of the two lengths.
pub(in crate::catalog) fn glob(pattern: &str, name: &str) -> bool {
    // Whether what was taken of the pattern matches the first n characters of the name, for each n
    // from 0.
    let mut matched = vec![false; name.chars().count().saturating_add(1)];
    if let Some(nothing) = matched.first_mut() {
        *nothing = true;
    }
    for piece in pieces(pattern) {
        let mut without = matched.into_iter(); // this piece
        let mut before = without.next().unwrap_or_default();
        let mut so_far = before && matches!(piece, Piece::AnyOfSegment | Piece::Any);
        matched = vec![so_far];
        for (here, c) in without.zip(name.chars()) {
            so_far = match piece {
                Piece::Exactly(wanted) => before && c == wanted,
                Piece::OneOfSegment => before && c != '/',
                Piece::AnyOfSegment => here || (so_far && c != '/'),
                Piece::Any => here || so_far,
            };
            before = here;
            matched.push(so_far);
        }
    }
    matched.last().copied().unwrap_or_default()
}

impl fmt::Display for BranchGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
