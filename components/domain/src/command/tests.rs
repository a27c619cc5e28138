//! What is typed, and what is understood.

#![expect(clippy::too_many_lines, reason = "tables of what goes in and what comes out")]

use super::*;
use crate::refusal::Right;
use proptest::prelude::*;

/// What was understood, in the form that leaves no doubt; or why not, and what would be right.
fn understood(text: &str) -> String {
    match Command::parse(text) {
        Ok(command) => command.to_string(),
        Err(Refusal::Syntax { problem, right: None, .. }) => format!("no: {problem}"),
        Err(Refusal::Syntax { problem, right: Some(Right::DidYouMean(right)), .. }) => {
            format!("no: {problem} | {right}?")
        }
        Err(Refusal::Syntax { problem, right: Some(Right::Like(right)), .. }) => {
            format!("no: {problem} | like {right}")
        }
        Err(other) => panic!("{text:?}: {other:?}"),
    }
}

fn check(table: &[(&str, &str)]) {
    for (text, expected) in table {
        assert_eq!(understood(text), *expected, "{text:?}");
    }
}

/// What people read.
fn said(texts: &[&str]) -> String {
    let say = |text: &&str| match Command::parse(text) {
        Err(refusal) => format!("{text}\n    {}", crate::message::refusal(&refusal)),
        Ok(command) => format!("{text}\n    understood: {command}"),
    };
    texts.iter().map(say).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_deploy_of_a_tag_a_commit_a_channel_or_a_version() {
    let sha = "9f3c2ab".to_owned() + &"0".repeat(33);
    check(&[
        ("checkout tag:v1.2.3", "deploy checkout tag:refs/tags/v1.2.3"),
        ("checkout refs/tags/v1.2.3", "deploy checkout tag:refs/tags/v1.2.3"),
        ("checkout commit:9F3C2AB", "deploy checkout commit:9f3c2ab"),
        ("checkout commit:1234567", "deploy checkout commit:1234567"),
        ("checkout channel:latest", "deploy checkout channel:latest"),
        ("checkout version:main-abc1234", "deploy checkout version:main-abc1234"),
        ("checkout 9f3c2ab", "deploy checkout 9f3c2ab"),
        ("checkout 9f3c2ab of release/1", "deploy checkout commit:9f3c2ab of release/1"),
        ("checkout v1.2.3 of release/1", "deploy checkout tag:refs/tags/v1.2.3 of release/1"),
        ("checkout v1 of refs/heads/x to production", "deploy checkout@production tag:refs/tags/v1 of x"),
        ("checkout 9f3c2ab of x override it burns", "deploy checkout commit:9f3c2ab of x override it burns"),
        ("checkout 42 of main", "no: `42` is of no branch: only a commit or a tag is"),
        ("checkout 9f3c2ab of", "no: `of` after `9f3c2ab` is one word too many"),
        ("checkout 9f3c2ab of a..b", "no: `a..b` is not the name of a branch"),
        ("checkout commit:9f3c", "no: `commit:9f3c` is no commit: type 7 to 40 of its digits"),
        ("checkout tag:a..b", "no: `tag:a..b` is not the name of a Git tag"),
        ("checkout channel:a/b", "no: `channel:a/b` is not the tag of an image"),
    ]);
    let link = |path: &str| understood(&format!("checkout https://github.com/acme/checkout/{path}"));
    assert_eq!(link(&format!("commit/{sha}")), format!("deploy checkout commit:{sha}"));
    assert_eq!(link("releases/tag/v1.2.3"), "deploy checkout tag:refs/tags/v1.2.3");
    assert!(link("commit/xyz").contains("no commit"), "{}", link("commit/xyz"));
}

#[test]
fn a_deploy_of_a_pull_request_or_a_branch() {
    check(&[
        ("checkout 42", "deploy checkout #42"),
        ("checkout #42", "deploy checkout #42"),
        ("  checkout\u{a0} 42\n", "deploy checkout #42"),
        ("\u{202a}checkout\u{202c} \u{200e}42\u{ad}", "deploy checkout #42"),
        ("checkout feature/x", "deploy checkout feature/x"),
        ("checkout refs/heads/feature/x", "deploy checkout branch:refs/heads/feature/x"),
        ("checkout@production feature/x", "deploy checkout@production feature/x"),
        ("checkout branch:42", "deploy checkout branch:refs/heads/42"),
        ("checkout branch:main", "deploy checkout branch:refs/heads/main"),
        ("checkout branch:@x", "deploy checkout branch:refs/heads/@x"),
        ("checkout 42-fix", "deploy checkout 42-fix"),
        ("checkout #42-fix", "deploy checkout #42-fix"),
        ("checkout help", "deploy checkout help"),
        ("Checkout@Production Feature/X", "deploy checkout@production Feature/X"),
        ("checkout a&amp;b", "deploy checkout a&b"),
        ("checkout a&amp;lt;b", "deploy checkout a&lt;b"),
    ]);
}

#[test]
fn the_word_deploy_may_be_typed_twice_and_may_be_an_app() {
    check(&[
        ("deploy checkout 42", "deploy checkout #42"),
        ("Deploy checkout 42", "deploy checkout #42"),
        ("deploy 42", "deploy deploy #42"),
        ("deploy deploy 42", "deploy deploy #42"),
        ("deploy checkout", "deploy deploy checkout"),
        ("deploy@production 42", "deploy deploy@production #42"),
        ("deploy deploy 42 override it burns", "deploy deploy #42 override it burns"),
    ]);
}

#[test]
fn an_app_that_is_called_like_a_verb_is_deployed_with_the_word_deploy() {
    for verb in Verb::ALL {
        let name = verb.name();
        assert_eq!(understood(&format!("deploy {name} 42")), format!("deploy {name} #42"));
        assert_eq!(understood(&format!("{name}@production 42")), format!("deploy {name}@production #42"));
    }
    check(&[
        ("status main", "status main"),
        ("STATUS main", "status main"),
        ("deploy status main", "deploy status main"),
        ("status status", "status status"),
    ]);
}

#[test]
fn a_deploy_past_the_gates_has_a_reason() {
    check(&[
        ("checkout 42 override payments are failing", "deploy checkout #42 override payments are failing"),
        ("checkout main OVERRIDE “don’t wait”", "deploy checkout main override don’t wait"),
        ("preview checkout 42 override x", "preview checkout #42 override x"),
        ("rollback checkout override   it\tburns", "rollback checkout override it burns"),
        ("rollback checkout 2 override for 2h", "rollback checkout 2 override for 2h"),
        ("checkout override", "deploy checkout override"),
        ("checkout override override it burns", "deploy checkout override override it burns"),
    ]);
}

#[test]
fn a_preview_has_the_words_of_a_deploy() {
    check(&[
        ("preview checkout 42", "preview checkout #42"),
        ("Preview checkout@production main", "preview checkout@production main"),
        (
            "preview checkout <https://github.com/acme/checkout/pull/42>",
            "preview checkout https://github.com/acme/checkout/pull/42",
        ),
    ]);
}

#[test]
fn questions_about_a_target() {
    check(&[
        ("status", "status"),
        ("status checkout", "status checkout"),
        ("status Checkout@Production", "status checkout@production"),
        ("status @me", "status @me"),
        ("status “@ME”", "status @me"),
        ("status production", "status production"),
        ("why checkout@production", "why checkout@production"),
        ("history checkout@production", "history checkout@production"),
        ("history checkout --since monday", "history checkout --since monday"),
        ("history checkout —since Mon", "history checkout --since monday"),
        ("history checkout since=2026-11-20", "history checkout --since 2026-11-20"),
        ("history checkout --since 3 days", "history checkout --since 3d"),
        ("history 9F3C2AB", "history 9f3c2ab"),
        (
            "history <https://github.com/acme/gitops/commit/9f3c2abddddddddddddddddddddddddddddddddd|9f3c2ab>",
            "history 9f3c2abddddddddddddddddddddddddddddddddd",
        ),
        ("cancel checkout", "cancel checkout"),
        ("apps", "apps"),
        ("`apps`", "apps"),
    ]);
}

#[test]
fn seven_to_forty_hex_digits_may_be_a_commit() {
    let commit = |text: &str| match Command::parse(text) {
        Ok(Command::History { of, .. }) => of.commit().map(str::to_owned),
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(commit("history 9f3c2ab"), Some("9f3c2ab".to_owned()));
    assert_eq!(commit(&format!("history {}", "a".repeat(40))), Some("a".repeat(40)));
    for other in ["9f3c2a", "9f3c2ag", "9f3c2ab@production", &"a".repeat(41)] {
        assert_eq!(commit(&format!("history {other}")), None, "{other}");
    }
}

/// Which version is to come back.
fn version(what: &What) -> String {
    match what {
        What::Rollback(Version::LastHealthy) => "the last healthy version".to_owned(),
        What::Rollback(Version::Back(line)) => format!("version {line} of the history"),
        What::Rollback(Version::Tag(tag)) => tag.clone(),
        other => panic!("{other:?} is no version"),
    }
}

#[test]
fn a_rollback_to_a_version() {
    check(&[
        ("rollback checkout", "rollback checkout"),
        ("rollback checkout@production 2", "rollback checkout@production 2"),
        ("rollback checkout main-abc1234", "rollback checkout tag:main-abc1234"),
        ("rollback checkout 20260826", "rollback checkout tag:20260826"),
        ("rollback checkout tag:42", "rollback checkout tag:42"),
        ("rollback checkout V1.2_3", "rollback checkout tag:V1.2_3"),
    ]);
    let words = |text| match Command::parse(text) {
        Ok(Command::Rollback(words)) => format!("{words} | {}", version(&words.what)),
        other => panic!("{other:?}"),
    };
    assert_eq!(words("rollback checkout"), "rollback checkout | the last healthy version");
    assert_eq!(words("rollback a@b 2"), "rollback a@b 2 | version 2 of the history");
    assert_eq!(words("rollback a@b v2"), "rollback a@b v2 | v2");
}

#[test]
fn a_promote_names_where_from_and_where_to() {
    check(&[
        ("promote checkout", "promote checkout"),
        ("promote checkout production", "promote checkout@production"),
        ("promote checkout@production", "promote checkout@production"),
        ("promote checkout to production", "promote checkout@production"),
        ("promote checkout staging production", "promote checkout@staging production"),
        ("promote checkout@staging production", "promote checkout@staging production"),
        ("Promote Checkout Staging to Production", "promote checkout@staging production"),
        (
            "promote checkout staging production override it burns",
            "promote checkout@staging production override it burns",
        ),
        ("promote checkout override it burns", "promote checkout override it burns"),
        (
            "promot checkout",
            "no: `promot` is not a command (for an app of that name, put `deploy` in front) | promote checkout?",
        ),
        ("promote", "no: the app is missing after `promote`"),
        (
            "promote checkout #42",
            "no: `#42` is not the name of an environment | like promote checkout staging production",
        ),
        ("promote checkout production production", "no: `production` is promoted to another environment"),
        ("promote checkout a b c", "no: `c` after `b` is one word too many"),
    ]);
    let words = |text| match Command::parse(text) {
        Ok(Command::Promote(words)) => words.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(words("promote checkout staging production"), "checkout@production from staging");
    assert_eq!(words("promote checkout production"), "promote checkout@production");
}

#[test]
fn a_lock_has_a_reason_and_perhaps_a_time() {
    check(&[
        ("lock checkout load test", "lock checkout load test"),
        ("lock checkout@production  load \n test", "lock checkout@production load test"),
        ("lock all it burns", "lock all it burns"),
        ("lock All@x it burns", "lock all@x it burns"),
        ("lock checkout load test for 2h", "lock checkout load test for 2h"),
        ("lock checkout load test for 90m", "lock checkout load test for 1h30m"),
        ("lock checkout load test for 1h30m", "lock checkout load test for 1h30m"),
        ("lock checkout load test FOR 1D", "lock checkout load test for 1d"),
        ("lock checkout load test for 2 hours", "lock checkout load test for 2h"),
        ("lock checkout load test for 1w", "lock checkout load test for 7d"),
        ("lock checkout load test for 1 day 30 min", "lock checkout load test for 1d30m"),
        ("lock checkout wait for the release", "lock checkout wait for the release"),
        ("lock checkout for 2h load test", "lock checkout load test for 2h"),
        ("lock checkout for 1 day 30 min moving it", "lock checkout moving it for 1d30m"),
        ("lock checkout load test --for 2h", "lock checkout load test for 2h"),
        ("lock checkout load test —for: 2h", "lock checkout load test for 2h"),
        ("lock checkout load test for=2h", "lock checkout load test for 2h"),
        (
            "lock checkout for 2h",
            "no: the reason is missing after `checkout` | like lock checkout the database is being moved for 2h",
        ),
        ("lock checkout wait for h", "lock checkout wait for h"),
        ("lock checkout wait for", "lock checkout wait for"),
        ("lock checkout for the release for 2h", "lock checkout for the release for 2h"),
        ("lock checkout 'wait for 2h'", "lock checkout \"wait for 2h\""),
        ("lock checkout “wait for it” for 2h", "lock checkout wait for it for 2h"),
        ("lock checkout \"@bob tests\"", "lock checkout \"@bob tests\""),
        ("unlock checkout@production", "unlock checkout@production"),
        ("unlock ALL", "unlock all"),
    ]);
    let Ok(Command::Lock { scope, reason, period }) = Command::parse("lock all a&lt;b for 1h30m") else { panic!() };
    assert_eq!((scope, reason.as_str(), period), (Scope::Everything, "a<b", Some(Duration::from_secs(5400))));
}

#[test]
fn a_time_or_an_option_is_no_part_of_a_reason() {
    insta::assert_snapshot!(said(&[
        "lock checkout wait for 2h please",
        "lock checkout wait for 2 releases",
        "lock checkout wait for 30m1h",
        "lock checkout load test for two hours",
        "lock checkout load test for half a day",
        "lock checkout load test for:2x",
        "lock checkout load test 2h",
        "lock checkout 2h load test",
        "lock checkout for 1h load test for 2h",
        "lock checkout load test until 18:00",
        "lock checkout load test til Monday.",
        "lock checkout load test --until tomorrow",
        "lock checkout load test —forever",
        "lock checkout “load test 2h”",
        "lock checkout until the fix is in - really",
        "lock checkout for a friend",
        "checkout 42 override for 2h --now",
    ]), @r#"
    lock checkout wait for 2h please
        I didn't understand that: the time comes last (in quotes it would be part of the reason). Did you mean `/deploy lock checkout wait please for 2h`? If not, see `/deploy help lock`.
    lock checkout wait for 2 releases
        I didn't understand that: `for 2 releases` is no time like `for 2h` (in quotes it would be part of the reason). Type it like `/deploy lock checkout the database is being moved for 2h`, or see `/deploy help lock`.
    lock checkout wait for 30m1h
        I didn't understand that: `for 30m1h` is no time like `for 2h` (in quotes it would be part of the reason). Type it like `/deploy lock checkout the database is being moved for 2h`, or see `/deploy help lock`.
    lock checkout load test for two hours
        I didn't understand that: `for two hours` is no time like `for 2h` (in quotes it would be part of the reason). Type it like `/deploy lock checkout the database is being moved for 2h`, or see `/deploy help lock`.
    lock checkout load test for half a day
        I didn't understand that: `for half a` is no time like `for 2h` (in quotes it would be part of the reason). Type it like `/deploy lock checkout the database is being moved for 2h`, or see `/deploy help lock`.
    lock checkout load test for:2x
        I didn't understand that: `for:2x` is no time like `for 2h` (in quotes it would be part of the reason). Type it like `/deploy lock checkout the database is being moved for 2h`, or see `/deploy help lock`.
    lock checkout load test 2h
        I didn't understand that: a time is typed like `for 2h`, not `2h` (in quotes it would be part of the reason). Did you mean `/deploy lock checkout load test for 2h`? If not, see `/deploy help lock`.
    lock checkout 2h load test
        I didn't understand that: a time is typed like `for 2h`, not `2h` (in quotes it would be part of the reason). Did you mean `/deploy lock checkout load test for 2h`? If not, see `/deploy help lock`.
    lock checkout for 1h load test for 2h
        I didn't understand that: there are two times in it. Type it like `/deploy lock checkout the database is being moved for 2h`, or see `/deploy help lock`.
    lock checkout load test until 18:00
        I didn't understand that: I know no end like `until 18:00`, only a time like `for 2h` (in quotes it would be part of the reason). Type it like `/deploy lock checkout the database is being moved for 2h`, or see `/deploy help lock`.
    lock checkout load test til Monday.
        I didn't understand that: I know no end like `til Monday.`, only a time like `for 2h` (in quotes it would be part of the reason). Type it like `/deploy lock checkout the database is being moved for 2h`, or see `/deploy help lock`.
    lock checkout load test --until tomorrow
        I didn't understand that: I know no end like `--until tomorrow`, only a time like `for 2h` (in quotes it would be part of the reason). Type it like `/deploy lock checkout the database is being moved for 2h`, or see `/deploy help lock`.
    lock checkout load test —forever
        I didn't understand that: `—forever` is no option of mine (in quotes it would be part of the reason). Type it like `/deploy lock checkout the database is being moved for 2h`, or see `/deploy help lock`.
    lock checkout “load test 2h”
        understood: lock checkout "load test 2h"
    lock checkout until the fix is in - really
        understood: lock checkout until the fix is in - really
    lock checkout for a friend
        understood: lock checkout for a friend
    checkout 42 override for 2h --now
        understood: deploy checkout #42 override for 2h --now
    "#);
}

#[test]
fn what_a_phone_or_a_page_makes_of_names() {
    let dash = |word: &str| format!("no: `{word}` has a dash that looks like `-` and is another character");
    check(&[
        ("checkout acme/checkout#42", "deploy checkout https://github.com/acme/checkout/pull/42"),
        ("checkout branch:acme/checkout#42", "deploy checkout branch:refs/heads/acme/checkout#42"),
        ("acme/checkout#42", "no: the app is missing: it comes before `acme/checkout#42`"),
        (
            "acme/checkout#42 checkout",
            "no: the app comes first, before `acme/checkout#42` | checkout acme/checkout#42?",
        ),
        ("checkout pr 42", "deploy checkout #42"),
        ("checkout PR #42 override it burns", "deploy checkout #42 override it burns"),
        ("checkout pull request 42", "deploy checkout #42"),
        ("checkout pr", "deploy checkout pr"),
        ("checkout 42 to production", "deploy checkout@production #42"),
        ("checkout pr 42 in Production override it burns", "deploy checkout@production #42 override it burns"),
        ("checkout@eu 42 to eu", "deploy checkout@eu #42"),
        ("checkout@eu 42 to us", "no: `checkout@eu` and `us` are two environments"),
        (
            "checkout to production 42",
            "no: the environment belongs to the app, `checkout@production` | checkout@production 42?",
        ),
        ("checkout to", "deploy checkout to"),
        ("checkout feature–x", &format!("{} | checkout feature-x?", dash("feature–x"))),
        ("checkout branch:feature–x", "deploy checkout branch:refs/heads/feature–x"),
        ("check‑out 42", &format!("{} | check-out 42?", dash("check‑out"))),
        ("rollback checkout main−abc1234", &format!("{} | rollback checkout main-abc1234?", dash("main−abc1234"))),
        ("lock —help", "help lock"),
        ("“checkout” ‘42’", "deploy checkout #42"),
    ]);
}

#[test]
fn a_reason_is_kept_as_it_was_typed() {
    check(&[
        ("lock checkout don't touch", "lock checkout don't touch"),
        ("lock checkout don’t touch", "lock checkout don’t touch"),
        ("lock checkout the users' carts", "lock checkout the users' carts"),
        ("lock checkout 'tis broken", "lock checkout 'tis broken"),
        ("lock checkout bob said \"no\"", "lock checkout bob said \"no\""),
        ("lock checkout \"old\" and \"new\"", "lock checkout \"old\" and \"new\""),
        ("lock checkout \"old cart", "lock checkout \"old cart"),
        ("lock checkout „der Wagen brennt“", "lock checkout der Wagen brennt"),
        ("lock checkout “don't \"touch\" it”", "lock checkout don't \"touch\" it"),
        ("lock checkout `rm -rf`", "lock checkout rm -rf"),
        ("lock checkout see https://x.example/a?b#c", "lock checkout see https://x.example/a?b#c"),
        ("lock checkout a - b '' c", "lock checkout a - b '' c"),
        ("lock checkout Straße 🏳️‍🌈 LOUD", "lock checkout Straße 🏳️‍🌈 LOUD"),
    ]);
    let reason = "é ".repeat(100);
    let long = |more: &str| understood(&format!("lock checkout {reason}{more}"));
    assert_eq!(long(""), format!("lock checkout {}", reason.trim_end()));
    assert_eq!(long("e for 2h"), "no: the reason has 201 characters, and 200 is the most");
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
        assert_eq!(
            understood(&format!("checkout {link}")),
            "deploy checkout https://github.com/acme/checkout/pull/42",
            "{link}"
        );
    }
    check(&[
        (
            "checkout https://github.com/acme/checkout/tree/main",
            "no: `https://github.com/acme/checkout/tree/main` is a link to a branch: type its name | checkout main?",
        ),
        ("checkout github.com/acme/checkout/commit/0123456", "deploy checkout commit:0123456"),
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
fn quotes_around_names_are_left_out() {
    for text in [
        "\"checkout\" '42'",
        "`checkout 42`",
        "“checkout 42”",
        "“deploy ‘checkout’ 42”",
        "‘checkout’ ’42’",
        "«checkout» „42“",
        "‹checkout› 42",
        "checkout '' 42 \"\"",
        "checkout \"42",
    ] {
        assert_eq!(understood(text), "deploy checkout #42", "{text}");
    }
    check(&[
        ("`lock checkout load test for 2h`", "lock checkout load test for 2h"),
        ("“lock checkout don't for 2h”", "lock checkout don't for 2h"),
        ("“status” ‘checkout@production’", "status checkout@production"),
    ]);
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
        ("help lock", "help lock"),
        ("? Lock", "help lock"),
        ("help help", "help help"),
        ("lock --help", "help lock"),
        ("deploy -h", "help deploy"),
        ("apps ?", "help apps"),
    ]);
}

#[test]
fn what_is_wrong_with_a_deploy_is_said() {
    insta::assert_snapshot!(said(&[
        "checkout",
        "Payments@Production",
        "deploy",
        "preview",
        "preview checkout",
        "checkout 42 now",
        "checkout my branch name",
        "checkout 42 overide payments are failing",
        "checkout 42 override",
        "checkout override payments are failing",
        "preview checkout override it burns",
        "@production 42",
        "checkout@ 42",
        "checkout @production 42",
        "checkout @ production 42",
        "checkout@ production feature/x",
        "checkout @ 42",
        "42",
        "#42",
        "#42 checkout",
        "https://github.com/acme/checkout/pull/42 checkout",
        "checkout #",
        "checkout 0",
        "checkout #4294967296",
        "checkout a..b",
        "checkout branch:",
        "checkout a`b:c",
        "deploy lock checkout load test",
    ]), @"
    checkout
        I didn't understand that: the pull request or branch is missing after `checkout`. Type it like `/deploy checkout 42`, or see `/deploy help`.
    Payments@Production
        I didn't understand that: the pull request or branch is missing after `Payments@Production`. Type it like `/deploy Payments@Production 42`, or see `/deploy help`.
    deploy
        I didn't understand that: the app and what to deploy are missing. Type it like `/deploy checkout 42`, or see `/deploy help deploy`.
    preview
        I didn't understand that: the app and what to deploy are missing. Type it like `/deploy preview checkout 42`, or see `/deploy help preview`.
    preview checkout
        I didn't understand that: the pull request or branch is missing after `checkout`. Type it like `/deploy preview checkout 42`, or see `/deploy help preview`.
    checkout 42 now
        I didn't understand that: `now` after `42` is one word too many. Type it like `/deploy checkout 42`, or see `/deploy help`.
    checkout my branch name
        I didn't understand that: `branch` after `my` is one word too many. Type it like `/deploy checkout 42`, or see `/deploy help`.
    checkout 42 overide payments are failing
        I didn't understand that: `overide` after `42` is one word too many. Did you mean `/deploy checkout 42 override payments are failing`? If not, see `/deploy help`.
    checkout 42 override
        I didn't understand that: the reason is missing after `override`. Type it like `/deploy checkout 42 override payments are failing`, or see `/deploy help`.
    checkout override payments are failing
        I didn't understand that: the pull request or branch is missing between `checkout` and `override`. Type it like `/deploy checkout 42 override payments are failing`, or see `/deploy help`.
    preview checkout override it burns
        I didn't understand that: the pull request or branch is missing between `checkout` and `override`. Type it like `/deploy preview checkout 42 override it burns`, or see `/deploy help preview`.
    @production 42
        I didn't understand that: the app is missing before `@production`. Type it like `/deploy checkout 42`, or see `/deploy help`.
    checkout@ 42
        I didn't understand that: the environment is missing after `checkout@`. Type it like `/deploy checkout 42`, or see `/deploy help`.
    checkout @production 42
        I didn't understand that: the app and its environment are one word, `checkout@production`. Did you mean `/deploy checkout@production 42`? If not, see `/deploy help`.
    checkout @ production 42
        I didn't understand that: the app and its environment are one word, `checkout@production`. Did you mean `/deploy checkout@production 42`? If not, see `/deploy help`.
    checkout@ production feature/x
        I didn't understand that: the app and its environment are one word, `checkout@production`. Did you mean `/deploy checkout@production feature/x`? If not, see `/deploy help`.
    checkout @ 42
        I didn't understand that: the environment is missing after `checkout@`. Type it like `/deploy checkout 42`, or see `/deploy help`.
    42
        I didn't understand that: the app is missing: it comes before `42`. Type it like `/deploy checkout 42`, or see `/deploy help`.
    #42
        I didn't understand that: the app is missing before `#42`. Type it like `/deploy checkout 42`, or see `/deploy help`.
    #42 checkout
        I didn't understand that: the app comes first, before `#42`. Did you mean `/deploy checkout #42`? If not, see `/deploy help`.
    https://github.com/acme/checkout/pull/42 checkout
        I didn't understand that: the app comes first, before `https://github.com/acme/checkout/pull/42`. Did you mean `/deploy checkout https://github.com/acme/checkout/pull/42`? If not, see `/deploy help`.
    checkout #
        I didn't understand that: `#` is not the number of a pull request. Type it like `/deploy checkout 42`, or see `/deploy help`.
    checkout 0
        I didn't understand that: `#0` is not the number of a pull request. Type it like `/deploy checkout 42`, or see `/deploy help`.
    checkout #4294967296
        I didn't understand that: `#4294967296` is not the number of a pull request. Type it like `/deploy checkout 42`, or see `/deploy help`.
    checkout a..b
        I didn't understand that: `a..b` is neither a pull request nor the name of a branch. Type it like `/deploy checkout 42`, or see `/deploy help`.
    checkout branch:
        I didn't understand that: `branch:` is neither a pull request nor the name of a branch. Type it like `/deploy checkout 42`, or see `/deploy help`.
    checkout a`b:c
        I didn't understand that: `a'b:c` is neither a pull request nor the name of a branch. Type it like `/deploy checkout 42`, or see `/deploy help`.
    deploy lock checkout load test
        I didn't understand that: `deploy` and `lock` are two commands. Did you mean `/deploy lock checkout load test`? If not, see `/deploy help lock`.
    ");
    assert_eq!(understood(&"é".repeat(1001)), "no: it is longer than 1000 characters");
    let long = understood(&"é".repeat(1000));
    assert_eq!(long, format!("no: the pull request or branch is missing after `{}…`", "é".repeat(60)));
}

#[test]
fn what_is_wrong_with_the_other_commands_is_said() {
    insta::assert_snapshot!(said(&[
        "status checkout now",
        "status checkout @production",
        "status https://github.com/acme/checkout/pull/42",
        "history",
        "history checkout 2",
        "cancel",
        "cancel checkout please",
        "apps checkout",
        "help me",
        "help stauts",
        "help lock checkout",
        "rollback",
        "rollback checkout 0",
        "rollback checkout #42",
        "rollback checkout to",
        "rollback checkout acme/checkout:main",
        "rollback checkout to main-abc1234",
        "rollback checkout override",
        "rollback checkout v1 override",
        "lock",
        "lock checkout",
        "lock all",
        "lock checkout for 2h",
        "lock checkout \"\"",
        "lock checkout load test for 60d",
        "lock checkout load test for 30s",
        "lock checkout load test for 99999999999999999999h",
        "lock checkout @production load test",
        "unlock",
        "unlock checkout it is done",
    ]), @r#"
    status checkout now
        I didn't understand that: `now` after `checkout` is one word too many. Did you mean `/deploy status checkout`? If not, see `/deploy help status`.
    status checkout @production
        I didn't understand that: the app and its environment are one word, `checkout@production`. Did you mean `/deploy status checkout@production`? If not, see `/deploy help status`.
    status https://github.com/acme/checkout/pull/42
        I didn't understand that: `https://github.com/acme/checkout/pull/42` is not the name of an app. Type it like `/deploy status checkout@production`, or see `/deploy help status`.
    history
        I didn't understand that: the app is missing after `history`. Type it like `/deploy history checkout@production`, or see `/deploy help history`.
    history checkout 2
        I didn't understand that: `2` after `checkout` is one word too many. Did you mean `/deploy history checkout`? If not, see `/deploy help history`.
    cancel
        I didn't understand that: the app is missing after `cancel`. Type it like `/deploy cancel checkout@production`, or see `/deploy help cancel`.
    cancel checkout please
        I didn't understand that: `please` after `checkout` is one word too many. Did you mean `/deploy cancel checkout`? If not, see `/deploy help cancel`.
    apps checkout
        I didn't understand that: `checkout` after `apps` is one word too many. Did you mean `/deploy apps`? If not, see `/deploy help apps`.
    help me
        I didn't understand that: there is no command `me`. Type it like `/deploy help lock`, or see `/deploy help`.
    help stauts
        I didn't understand that: there is no command `stauts`. Did you mean `/deploy help status`? If not, see `/deploy help`.
    help lock checkout
        I didn't understand that: `checkout` after `lock` is one word too many. Did you mean `/deploy help lock`? If not, see `/deploy help`.
    rollback
        I didn't understand that: the app is missing after `rollback`. Type it like `/deploy rollback checkout@production`, or see `/deploy help rollback`.
    rollback checkout 0
        I didn't understand that: the lines of the history are counted from 1. Type it like `/deploy rollback checkout main-abc1234`, or see `/deploy help rollback`.
    rollback checkout #42
        I didn't understand that: `#42` is neither a tag nor the number of a line of the history. Type it like `/deploy rollback checkout main-abc1234`, or see `/deploy help rollback`.
    rollback checkout to
        understood: rollback checkout tag:to
    rollback checkout acme/checkout:main
        I didn't understand that: `acme/checkout:main` is neither a tag nor the number of a line of the history. Type it like `/deploy rollback checkout main-abc1234`, or see `/deploy help rollback`.
    rollback checkout to main-abc1234
        I didn't understand that: the version comes right after `checkout`. Did you mean `/deploy rollback checkout main-abc1234`? If not, see `/deploy help rollback`.
    rollback checkout override
        I didn't understand that: the reason is missing after `override`. Type it like `/deploy rollback checkout override payments are failing`, or see `/deploy help rollback`.
    rollback checkout v1 override
        I didn't understand that: the reason is missing after `override`. Type it like `/deploy rollback checkout v1 override payments are failing`, or see `/deploy help rollback`.
    lock
        I didn't understand that: what to lock is missing: an app, or `all`. Type it like `/deploy lock checkout the database is being moved for 2h`, or see `/deploy help lock`.
    lock checkout
        I didn't understand that: the reason is missing after `checkout`. Type it like `/deploy lock checkout the database is being moved for 2h`, or see `/deploy help lock`.
    lock all
        I didn't understand that: the reason is missing after `all`. Type it like `/deploy lock all the database is being moved for 2h`, or see `/deploy help lock`.
    lock checkout for 2h
        I didn't understand that: the reason is missing after `checkout`. Type it like `/deploy lock checkout the database is being moved for 2h`, or see `/deploy help lock`.
    lock checkout ""
        I didn't understand that: the reason is missing after `checkout`. Type it like `/deploy lock checkout the database is being moved for 2h`, or see `/deploy help lock`.
    lock checkout load test for 60d
        I didn't understand that: a lock can last from a minute to 30 days, like `for 2h`, but not `for 60d`. Type it like `/deploy lock checkout the database is being moved for 2h`, or see `/deploy help lock`.
    lock checkout load test for 30s
        I didn't understand that: a lock can last from a minute to 30 days, like `for 2h`, but not `for 30s`. Type it like `/deploy lock checkout the database is being moved for 2h`, or see `/deploy help lock`.
    lock checkout load test for 99999999999999999999h
        I didn't understand that: a lock can last from a minute to 30 days, like `for 2h`, but not `for 99999999999999999999h`. Type it like `/deploy lock checkout the database is being moved for 2h`, or see `/deploy help lock`.
    lock checkout @production load test
        I didn't understand that: the app and its environment are one word, `checkout@production`. Did you mean `/deploy lock checkout@production load test`? If not, see `/deploy help lock`.
    unlock
        I didn't understand that: the app, or `all`, is missing after `unlock`. Type it like `/deploy unlock checkout@production`, or see `/deploy help unlock`.
    unlock checkout it is done
        I didn't understand that: `it` after `checkout` is one word too many. Did you mean `/deploy unlock checkout`? If not, see `/deploy help unlock`.
    "#);
}

#[test]
fn a_slip_of_a_verb_is_noticed() {
    insta::assert_snapshot!(said(&[
        "stauts",
        "stat",
        "lokc",
        "app",
        "stauts checkout",
        "hsitory checkout@production",
        "rollbakc checkout v1",
        "lokc checkout load test for 2h",
        "unlcok all",
        "previw checkout 42",
        "delpoy checkout 42",
        "hepl lock",
    ]), @"
    stauts
        I didn't understand that: `stauts` is not a command, and without a pull request or branch I can't deploy it. Did you mean `/deploy status`? If not, see `/deploy help status`.
    stat
        I didn't understand that: `stat` is not a command, and without a pull request or branch I can't deploy it. Did you mean `/deploy status`? If not, see `/deploy help status`.
    lokc
        I didn't understand that: `lokc` is not a command, and without a pull request or branch I can't deploy it. Did you mean `/deploy lock`? If not, see `/deploy help lock`.
    app
        I didn't understand that: `app` is not a command, and without a pull request or branch I can't deploy it. Did you mean `/deploy apps`? If not, see `/deploy help apps`.
    stauts checkout
        I didn't understand that: `stauts` is not a command (for an app of that name, put `deploy` in front). Did you mean `/deploy status checkout`? If not, see `/deploy help status`.
    hsitory checkout@production
        I didn't understand that: `hsitory` is not a command (for an app of that name, put `deploy` in front). Did you mean `/deploy history checkout@production`? If not, see `/deploy help history`.
    rollbakc checkout v1
        I didn't understand that: `rollbakc` is not a command (for an app of that name, put `deploy` in front). Did you mean `/deploy rollback checkout v1`? If not, see `/deploy help rollback`.
    lokc checkout load test for 2h
        I didn't understand that: `lokc` is not a command (for an app of that name, put `deploy` in front). Did you mean `/deploy lock checkout load test for 2h`? If not, see `/deploy help lock`.
    unlcok all
        I didn't understand that: `unlcok` is not a command (for an app of that name, put `deploy` in front). Did you mean `/deploy unlock all`? If not, see `/deploy help unlock`.
    previw checkout 42
        I didn't understand that: `previw` is not a command (for an app of that name, put `deploy` in front). Did you mean `/deploy preview checkout 42`? If not, see `/deploy help preview`.
    delpoy checkout 42
        I didn't understand that: `delpoy` is not a command (for an app of that name, put `deploy` in front). Did you mean `/deploy checkout 42`? If not, see `/deploy help deploy`.
    hepl lock
        I didn't understand that: `hepl` is not a command (for an app of that name, put `deploy` in front). Did you mean `/deploy help lock`? If not, see `/deploy help`.
    ");
}

#[test]
fn an_app_with_a_name_like_a_verb_is_no_slip() {
    check(&[
        ("web feature-x", "deploy web feature-x"),
        ("stauts 42", "deploy stauts #42"),
        ("stauts main", "deploy stauts main"),
        ("stauts fix/x", "deploy stauts fix/x"),
        ("stauts branch:checkout", "deploy stauts branch:refs/heads/checkout"),
        ("deploy stauts checkout", "deploy stauts checkout"),
        ("stauts checkout override it burns", "deploy stauts checkout override it burns"),
        ("apis feature-x", "deploy apis feature-x"),
        ("clock feature-x", "deploy clock feature-x"),
        ("helm feature-x", "deploy helm feature-x"),
        ("status-page feature-x", "deploy status-page feature-x"),
        ("status-page", "no: the pull request or branch is missing after `status-page` | like status-page 42"),
        ("apis a..b", "no: `a..b` is neither a pull request nor the name of a branch"),
    ]);
}

#[test]
fn every_example_is_understood_as_its_verb_and_every_usage_begins_with_it() {
    for verb in Verb::ALL {
        assert!(!verb.examples().is_empty() && !verb.meaning().is_empty());
        for (text, meaning) in verb.examples() {
            assert_eq!(Command::parse(text).map(|command| command.verb()), Ok(*verb), "{text}");
            assert!(!meaning.is_empty());
        }
        let usage = if *verb == Verb::Deploy { "<app>" } else { verb.name() };
        assert!(verb.usage().starts_with(usage), "{}", verb.usage());
        assert_eq!(Verb::typed(&verb.name().to_uppercase()), Some(*verb));
    }
}

#[test]
fn words_are_stored_and_read_again() {
    let check = |text: &str, json: &str| {
        let Ok(Command::Deploy(words) | Command::Rollback(words) | Command::Promote(words)) = Command::parse(text)
        else {
            panic!("{text}")
        };
        assert_eq!(serde_json::to_string(&words).unwrap(), json);
        assert_eq!(serde_json::from_str::<DeployWords>(json).unwrap(), words);
    };
    check("checkout 42", r#"{"app":"checkout","what":{"pull_request":42}}"#);
    check("checkout@x main", r#"{"app":"checkout","environment":"x","what":{"named":"main"}}"#);
    check("checkout branch:main", r#"{"app":"checkout","what":{"branch":"main"}}"#);
    check("checkout tag:v1", r#"{"app":"checkout","what":{"tag":{"tag":"v1"}}}"#);
    check(
        "checkout github.com/a/b/pull/1",
        r#"{"app":"checkout","what":{"pull_request_of":{"repo":"a/b","number":1}}}"#,
    );
    check(
        "checkout 42 override it burns",
        r#"{"app":"checkout","what":{"pull_request":42},"override_reason":"it burns"}"#,
    );
    check("rollback a", r#"{"app":"a","what":{"rollback":"last_healthy"}}"#);
    check("rollback a 2", r#"{"app":"a","what":{"rollback":{"back":2}}}"#);
    check("rollback a v2", r#"{"app":"a","what":{"rollback":{"tag":"v2"}}}"#);
    check("promote a b", r#"{"app":"a","environment":"b","what":{"promote":{}}}"#);
    check("promote a b c", r#"{"app":"a","environment":"c","what":{"promote":{"from":"b"}}}"#);
    let scope = Scope::Target(TargetWords { app: "a".to_owned(), environment: None });
    assert_eq!(serde_json::to_string(&(Scope::Everything, scope)).unwrap(), r#"["everything",{"target":{"app":"a"}}]"#);
    // As the first release stored it.
    let old: Refusal = serde_json::from_str(r#"{"syntax":{"problem":"x"}}"#).unwrap();
    assert_eq!(old, Refusal::Syntax { problem: "x".to_owned(), verb: None, right: None });
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "(checkout|deploy|lock|rollback|all|override|for|@|#|<|>|://|\\||/pull/|branch:|tag:|[0-9]|h|\"|'|“| |\\PC|\\pC){0,40}") {
        let _ = Command::parse(&text);
    }

    #[test]
    fn what_is_understood_is_understood_again(text in "(deploy|preview|status|history|rollback|promote|lock|unlock|cancel|apps|help)( (a|b@c|all|42|v1|for|2h|override|don't|\"x|y\"|'z'|@d|`|lock|”)){0,7}") {
        if let Ok(command) = Command::parse(&text) {
            prop_assert_eq!(Command::parse(&command.to_string()), Ok(command.clone()), "{}", command);
        }
    }

    /// Each word of the text is in what is understood, or the text is refused.
    #[test]
    fn no_word_is_lost(text in "((deploy|preview|status|history|rollback|promote|lock|unlock|cancel|apps|help) )?((a|b@c|all|42|#7|v1|for|2h|override|don't|\"x|y\"|'z'|@d|lock|stauts|fix/e) ?){0,7}") {
        if let Ok(command) = Command::parse(&text) {
            let shown = command.to_string();
            for word in text.split(' ') {
                let word = word.trim_matches(['"', '\'']);
                // `owner/name#7` is shown as the link to the pull request.
                let parts = if word.contains('/') { word.split('#').collect() } else { vec![word] };
                for part in parts {
                    prop_assert!(shown.contains(part), "{} of {} is lost in {}", part, word, shown);
                }
            }
        }
    }
}
