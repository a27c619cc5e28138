//! Patterns against a plain rewording of them.

use super::*;
use crate::catalog::gates::tests::Example;
use proptest::prelude::*;

fn glob(pattern: &str) -> BranchGlob {
    BranchGlob::parse(pattern).unwrap_or_else(|| panic!("{pattern:?} is a pattern"))
}

fn branch(name: &str) -> BranchName {
    BranchName::parse(name).unwrap()
}

#[test]
fn a_pattern_matches_whole_names_within_their_segments() {
    let check = |pattern: &str, yes: &[&str], no: &[&str]| {
        for name in yes {
            assert!(glob(pattern).matches(&branch(name)), "{pattern} takes {name}");
        }
        for name in no {
            assert!(!glob(pattern).matches(&branch(name)), "{pattern} does not take {name}");
        }
    };
    check("main", &["main"], &["mai", "mains", "Main", "x/main", "main/x"]);
    check("release/*", &["release/1", "release/1.2-rc"], &["release", "release/1/2", "releases/1", "x/release/1"]);
    check("release/**", &["release/1", "release/1/2"], &["release", "releases/1"]);
    check("release**", &["release", "release/1/2", "releases"], &["x/release"]);
    check("*", &["main", "ümlaut"], &["a/b"]);
    check("**", &["main", "a/b/c"], &[]);
    check("*/*", &["a/b"], &["a", "a/b/c"]);
    check("**/fix", &["a/fix", "a/b/fix"], &["fix", "a/fix/b"]);
    check("v?", &["v1", "vü"], &["v", "v12"]);
    check("a?b", &["a-b", "axb"], &["a/b", "ab"]);
    check("*-x-*", &["a-x-b", "x--x-"], &["a-x", "x-b"]);
    check("r*/v?.*-**", &["r/v1.-x/y", "rel/v2.0.1-rc/a-b"], &["r/x/v1.0-a", "r/v12.0-a"]);
    check("**a*b**c", &["abc", "xa/ab/c", "aabbcc"], &["acb", "a/bc/d"]);
}

#[test]
fn other_branches_are_refused_with_those_that_may_be_deployed() {
    let example = Example::new();
    assert_eq!(example.plan.source.branch.as_ref().unwrap().as_str(), "faster-cart");
    for globs in [vec![], vec![glob("main"), glob("faster-*")]] {
        assert_eq!(example.check(&globs), "passes");
    }
    let said = example.check(&vec![glob("main"), glob("release/*")]);
    let expected = "not deployed: only `main`, `release/*` can go to checkout@production, and this is `faster-cart`.";
    assert!(said.starts_with(expected), "{said}");
}

#[test]
fn a_pattern_that_no_branch_can_match_is_refused() {
    for pattern in
        ["", " ", "a b", "[ab]", "a..b", "/main", "main/", "a//b", "***", "a:b", "~x", "x\\*", "a\nb", "*.lock", ".*"]
    {
        assert_eq!(BranchGlob::parse(pattern), None, "{pattern:?}");
    }
    assert_eq!(BranchGlob::parse(&"a".repeat(245)), None);
    assert_eq!(glob("release/*").to_string(), "release/*");
}

#[test]
fn a_pattern_of_many_stars_does_not_take_long() {
    let name = branch(&"a".repeat(244));
    for stars in ["*a", "**a"] {
        let pattern = format!("{}b", stars.repeat(80));
        assert!(!glob(&pattern).matches(&name));
    }
}

/// What the pattern means, said once more: slowly.
fn plainly(pattern: &[char], name: &[char]) -> bool {
    match (pattern, name) {
        (['*', '*', rest @ ..], _) => (0..=name.len()).any(|n| plainly(rest, &name[n..])),
        (['*', rest @ ..], _) => {
            let segment = name.iter().position(|c| *c == '/').unwrap_or(name.len());
            (0..=segment).any(|n| plainly(rest, &name[n..]))
        }
        (['?', rest @ ..], [c, name @ ..]) => *c != '/' && plainly(rest, name),
        ([wanted, rest @ ..], [c, name @ ..]) => wanted == c && plainly(rest, name),
        ([], []) => true,
        _ => false,
    }
}

proptest! {
    #[test]
    fn a_pattern_means_what_it_says(pattern in "[ab/?*]{1,8}", name in "[ab]([ab/]{0,8}[ab])?") {
        if let (Some(glob), Ok(name)) = (BranchGlob::parse(&pattern), BranchName::parse(&name)) {
            let characters = |text: &str| text.chars().collect::<Vec<_>>();
            let expected = plainly(&characters(&pattern), &characters(name.as_str()));
            prop_assert_eq!(glob.matches(&name), expected, "{} {}", glob, name);
        }
    }
}
