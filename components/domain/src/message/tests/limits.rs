//! Whatever people and other systems write: a message stays within Slack's limits, and mentions nobody who is
//! not meant.

#![expect(clippy::too_many_lines, reason = "tables of what goes in and what comes out")]

use super::*;
use crate::catalog::{Catalog, Closed, Frozen};
use crate::command::{Scope, TargetWords, Version};
use crate::deployment::{Approval, ApprovalsFact, Change};
use crate::lock::{LockChange, TargetLock};
use crate::names::CommitSha;
use crate::refusal::Opening;
use proptest::prelude::*;

/// What people and other systems could write to be noticed, or to break the message.
fn hostile() -> [String; 6] {
    [
        "<!channel> <@U666> <https://evil.example|click>".to_owned(),
        "`` ` ```".to_owned(),
        "x".repeat(5000),
        "&<>`|".repeat(1000),
        "one\ntwo\r\n\n\u{85}three\u{2028}\tfour".to_owned(),
        "😀".repeat(5000),
    ]
}

/// Block Kit's limits as Slack enforces them, counted in UTF-16 units, which is never less than what Slack
/// counts; and that no mention or link is in a text but ours.
fn check_message(message: &Message, about: &str) {
    let length = |text: &str| text.encode_utf16().count();
    assert!((1..=4000).contains(&length(&message.text)), "{about}: {}", message.text);
    check_text(&message.text, 4000, about);
    let blocks = message.blocks.as_array().unwrap();
    assert!((1..=50).contains(&blocks.len()), "{about}");
    let mut actions = std::collections::BTreeSet::new();
    for block in blocks {
        let elements = block["elements"].as_array().map(Vec::as_slice).unwrap_or_default();
        match block["type"].as_str().unwrap() {
            "section" => check_text(block["text"]["text"].as_str().unwrap(), 3000, about),
            "context" => {
                assert!((1..=10).contains(&elements.len()), "{about}");
                elements.iter().for_each(|element| check_text(element["text"].as_str().unwrap(), 2000, about));
            }
            "actions" => {
                assert!((1..=25).contains(&elements.len()), "{about}");
                for button in elements {
                    assert!(actions.insert(button["action_id"].as_str().unwrap()), "{about}: twice the same action");
                    let limits = [
                        ("/text/text", 75),
                        ("/value", 2000),
                        ("/action_id", 255),
                        ("/confirm/title/text", 100),
                        ("/confirm/text/text", 300),
                        ("/confirm/confirm/text", 30),
                        ("/confirm/deny/text", 30),
                    ];
                    for (name, most) in limits {
                        if let Some(text) = button.pointer(name) {
                            assert!((1..=most).contains(&length(text.as_str().unwrap())), "{about}: {name} {text}");
                        }
                    }
                    let style = button.get("style").and_then(Value::as_str).unwrap_or("primary");
                    assert!(button.get("value").is_some() && ["primary", "danger"].contains(&style), "{about}");
                }
            }
            other => panic!("{about}: {other}"),
        }
    }
}

fn check_text(text: &str, most: usize, about: &str) {
    let length = text.encode_utf16().count();
    assert!((1..=most).contains(&length), "{about}: {length} units");
    for open in text.split('<').skip(1) {
        let (inside, _) = open.split_once('>').unwrap_or_else(|| panic!("{about}: cut within <{open}"));
        let ours = ["@U", "!subteam^S", "!date^", "http"].iter().any(|ours| inside.starts_with(ours));
        assert!(ours && inside != "@U666", "{about}: <{inside}>");
        assert!(!inside.starts_with("https://evil.example|click"), "{about}: <{inside}>");
    }
    assert!(text.matches('`').count().is_multiple_of(2) || text.ends_with('…'), "{about}: {text}");
}

#[test]
fn hostile_text_stays_text_and_within_the_limits_of_slack() {
    for evil in hostile() {
        let s = || evil.clone();
        let mut facts = relayed();
        facts.request.as_mut().unwrap().words.app = s();
        facts.request.as_mut().unwrap().words.environment = Some(s());
        let asked_only = Facts { request: facts.request.clone(), ..Facts::default() };
        check_message(&before_commit(&id('1'), &asked_only, None), "words");
        let rider = Rider { sha: sha('e'), who: s(), headline: s() };
        let fact = facts.commit.as_mut().unwrap();
        fact.target_mut().source.title = s();
        fact.target_mut().source.url = Some(format!("https://evil.example/{evil}"));
        fact.target_mut().before = Some(s());
        fact.target_mut().riders = Riders::Since {
            commits: (0..100).map(|n| Rider { who: format!("{n}{evil}"), ..rider.clone() }).collect(),
            more: true,
        };
        let fault = Fault::new(System::ArgoCd, &evil, Cause::Said { said: s() });
        let failures = [
            Failure::Sync { message: s(), resources: vec![s(); 5] },
            Failure::Degraded { message: s(), resources: vec![s(); 5] },
            Failure::OtherImage { wanted: s(), found: vec![s(); 5], why: Doubt::OldPods },
            Failure::OtherImage { wanted: s(), found: vec![s(); 5], why: Doubt::OtherTag },
            Failure::NoRight { said: s() },
            Failure::Refused { said: s() },
            Failure::Fault { fault: fault.clone() },
        ];
        let words = failures.map(|failure| LastWord::Failed { failure }).into_iter().chain([
            LastWord::Live {
                proof: Proof::Runs,
                synced_by: Some(s()),
                urls: vec![format!("https://evil.example|{evil}")],
            },
            LastWord::Live { proof: Proof::NoImage, synced_by: None, urls: vec![s()] },
            LastWord::Lost { failure: Failure::NoRight { said: s() } },
            LastWord::Superseded { by_deployment: None, by_person: Some(s()) },
            LastWord::TimedOut { waiting: None, health: Some(s()) },
            LastWord::TimedOut {
                waiting: Some(Waiting::OtherOperation { by: Some(s()), of: None, hook: Some(s()) }),
                health: None,
            },
            LastWord::TimedOut { waiting: Some(Waiting::ArgoCd { fault: fault.clone() }), health: None },
        ]);
        let condition = Condition { kind: s(), message: s() };
        let remarks = Remarks {
            as_before: Some(AsBefore { health: s(), because: vec![s(); 20], theirs: vec![s(); 20] }),
            conditions: vec![condition; 5],
            hook: Some((s(), u64::MAX)),
            to_prune: u32::MAX,
            pruned: vec![s(); 3],
            left_out: Some(s()),
        };
        for word in words {
            let about = format!("{word:?}").chars().take(60).collect::<String>();
            check_message(
                &after_commit(
                    &id('1'),
                    &Facts {
                        watch: Some(ApplicationWatch { remarks: remarks.clone(), ..asked() }.into()),
                        outcome: outcome(60, word),
                        ..facts.clone()
                    },
                ),
                &about,
            );
        }
        let progress = Progress { health: s(), message: s(), holds: s(), resources: u32::MAX, ..Progress::default() };
        for synced in [false, true] {
            let progress = Some(Progress { synced, ..progress.clone() });
            let watch = ApplicationWatch {
                progress,
                waiting: Some(Waiting::OtherOperation { by: Some(s()), of: None, hook: Some(s()) }),
                automated: true,
                ..asked()
            };
            check_message(&after_commit(&id('1'), &Facts { watch: Some(watch.into()), ..facts.clone() }), "progress");
        }
        let refusals = [
            Refusal::Syntax {
                problem: crate::text::quoted(&evil),
                verb: Some(Verb::Lock),
                right: Some(Right::DidYouMean(s())),
            },
            Refusal::UnknownApp { typed: s(), did_you_mean: None, known: vec![s(); 10], unread: Vec::new() },
            Refusal::UnknownApp { typed: s(), did_you_mean: Some(s()), known: Vec::new(), unread: Vec::new() },
            Refusal::UnknownEnvironment { app: s(), typed: None, did_you_mean: None, known: vec![s(); 10] },
            Refusal::NoValidTag { made: s() },
            Refusal::Edit { path: path("checkout/values.yaml"), why: EditRefusal::Syntax { line: 1, problem: s() } },
            Refusal::Edit {
                path: path("checkout/values.yaml"),
                why: EditRefusal::DuplicateKey { path: s(), key: s(), line: 1 },
            },
            Refusal::Locked {
                target: Box::new(target()),
                by: user("U7"),
                itself: false,
                reason: s(),
                since: at(0),
                until: Some(at(60)),
                everything: false,
                back_to: None,
            },
            Refusal::Busy { target: target(), by: None, id: None, link: Some(format!("https://evil.example/{evil}")) },
            Refusal::ApplicationBusy {
                other: Box::new(target()),
                by: None,
                link: Some(format!("https://evil.example/{evil}")),
                minutes: 3,
            },
        ];
        let ends = refusals.map(|refusal| End::Refused { refusal: (&refusal).into(), plans: Vec::new() });
        for end in ends.into_iter().chain([End::Failed { fault: fault.clone() }]) {
            let about = format!("{end:?}").chars().take(60).collect::<String>();
            let facts =
                Facts { end: Some(EndFact { at: at(5), end, contact: None, catalog: None }), ..asked_only.clone() };
            check_message(&before_commit(&id('1'), &facts, None), &about);
        }
    }
}

#[test]
fn hostile_text_as_people_see_it() {
    let mut facts = relayed();
    let fact = facts.commit.as_mut().unwrap();
    fact.target_mut().source.reference = Reference::Branch(branch("<!channel>"));
    fact.target_mut().source.title = "<!here> Fix `cart`\nnow & <@U1>".to_owned();
    fact.target_mut().source.url = Some("https://evil.example/a|b>c?d=1&e=2".to_owned());
    fact.target_mut().before = Some("x`<!everyone>`".to_owned());
    insta::assert_snapshot!(show(&after_commit(&id('1'), &facts)), @"
    checkout &lt;!channel&gt; – committed `ddddddd`.
    [section] :hourglass_flowing_sand: *checkout &lt;!channel&gt;*  committed `ddddddd`.
    [context] asked by <@U2CERLKJA>  ·  `x'&lt;!everyone&gt;'` → `faster-cart-aaaaaaa`  ·  <https://evil.example/abc?d=1&amp;e=2|&lt;!here&gt; Fix 'cart' now &amp; &lt;@U1&gt;>  ·  <https://github.com/acme/gitops/commit/dddddddddddddddddddddddddddddddddddddddd|commit ddddddd>
    [context] ✓ committed 3 s  ·  ✓ Argo CD notified 4 s
    [context] id 11111111
    ");
    fact_url(&mut facts, "javascript:alert(1)");
    assert!(!show(&after_commit(&id('1'), &facts)).contains("javascript"));
}

fn fact_url(facts: &mut Facts, url: &str) {
    facts.commit.as_mut().unwrap().target_mut().source.url = Some(url.to_owned());
}

// ---- Anything at all ----

/// Any text, and what would be noticed or break a message.
fn any_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        proptest::sample::select(vec![
            "<!channel>",
            "<!here>",
            "<@U666>",
            "<https://evil.example|click>",
            "`",
            "```",
            "*",
            "_",
            "&lt;",
            "&",
            "<",
            ">",
            "|",
            "\n",
            "😀",
            "\u{202e}",
            "…",
            " ",
        ])
        .prop_map(str::to_owned),
        ".{0,30}",
        "[a-z&<😀`]{200,400}",
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// A branch of up to 300 characters, as people may name them.
fn any_branch() -> impl Strategy<Value = BranchName> {
    "[a-z<>!@&`#/äß-]{1,300}".prop_filter_map("a name that Git takes", |text| BranchName::parse(&text).ok())
}

fn any_refusal() -> impl Strategy<Value = Refusal> {
    (any_text(), any_branch(), proptest::sample::select(every_refusal())).prop_map(|(text, branch, refusal)| {
        match refusal {
            Refusal::Locked { target, by, itself, since, until, everything, back_to, .. } => {
                Refusal::Locked { target, by, itself, reason: text, since, until, everything, back_to }
            }
            Refusal::ForeignChanges { target, .. } => {
                Refusal::ForeignChanges { target, count: u32::MAX, more: true, by: vec![text; 100], overridable: true }
            }
            Refusal::BranchNotAllowed { target, .. } => {
                Refusal::BranchNotAllowed { target, branch: Some(branch), allowed: vec![text; 100] }
            }
            Refusal::UnknownVersion { target, .. } => {
                Refusal::UnknownVersion { target, typed: text.clone(), known: vec![text; 5] }
            }
            Refusal::UnknownWritten { target, .. } => Refusal::UnknownWritten { target, tags: vec![text; 5] },
            Refusal::Syntax { verb, .. } => {
                Refusal::Syntax { problem: crate::text::quoted(&text), verb, right: Some(Right::Like(text)) }
            }
            Refusal::NeedsApproval { target, head, tag, until, about, .. } => Refusal::NeedsApproval {
                target,
                head,
                tag,
                count: 10,
                users: vec![user("U7"); 100].into(),
                groups: vec![SlackGroup::parse("S1").unwrap(); 100].into(),
                reviewed: vec![user("U7"); 100].into(),
                until,
                about,
            },
            other => other,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_deployments_message_keeps_slacks_limits_whatever_people_wrote(
        text in any_text(), other in any_text(), branch in any_branch(), refusal in any_refusal(), tag in "[a-z0-9._-]{128}",
    ) {
        let mut facts = relayed();
        let fact = facts.commit.as_mut().unwrap();
        fact.target_mut().source.title = text.clone();
        fact.target_mut().source.reference = Reference::Branch(branch.clone());
        fact.target_mut().source.branch = Some(branch);
        fact.target_mut().source.url = Some(format!("https://evil.example/{other}"));
        fact.target_mut().before = Some(other.clone());
        fact.granted.overridden = Some(text.clone());
        fact.granted.approved_by = vec![user("U7"); 100];
        fact.target_mut().rollback = text.len().is_multiple_of(2);
        fact.target_mut().tag = Tag::parse(&tag.replacen(['.', '-'], "_", 1).replacen(['.', '-'], "_", 1)).unwrap_or(fact.target().tag.clone());
        let rider = Rider { sha: sha('e'), who: other.clone(), headline: text.clone() };
        fact.target_mut().riders = Riders::Since { commits: vec![rider; 100], more: true };
        let change = Change { sha: sha('a'), headline: text.clone(), login: None };
        facts.changes = Some(ChangesFact {
            since: other.clone(),
            ahead: u32::MAX,
            behind: u32::MAX,
            commits: vec![change; 15],
            url: Some(format!("https://evil.example/{text}")),
        });
        facts.request.as_mut().unwrap().words.app = text.clone();
        let failure = Failure::Sync { message: text.clone(), resources: vec![other.clone(); 5] };
        let waiting = Some(Waiting::OtherOperation { by: Some(text.clone()), of: None, hook: Some(text.clone()) });
        let progress = Progress { message: text.clone(), health: other.clone(), resources: 3, ..Progress::default() };
        let watch = ApplicationWatch { waiting, progress: Some(progress), automated: true, ended_seen: Some(at(7)), ..asked() };
        for word in [LastWord::Failed { failure }, live(), LastWord::TimedOut { waiting: None, health: Some(text.clone()) }] {
            let facts = Facts { watch: Some(watch.clone().into()), outcome: outcome(60, word), ..facts.clone() };
            check_message(&after_commit(&id('1'), &facts), "its end");
            call(&facts).iter().for_each(|call| check_message(call, "its call"));
        }
        check_message(&after_commit(&id('1'), &Facts { watch: Some(watch.into()), ..facts.clone() }), "under way");
        let end = End::Refused { refusal: (&refusal).into(), plans: Vec::new() };
        let given = vec![Approval { user: user("U7"), at: at(1), targets: Vec::new() }; 100];
        let facts = Facts {
            committed: None,
            end: Some(EndFact { at: at(5), end, contact: None, catalog: None}),
            approvals: Some(ApprovalsFact { given, rejected: None }),
            ..facts
        };
        check_message(&before_commit(&id('1'), &facts, None), "refused");
        call(&facts).iter().for_each(|call| check_message(call, "its call"));
        check_message(&plain(&declined(&refusal)), "declined");
    }

    #[test]
    fn an_answer_keeps_slacks_limits_whatever_people_wrote(
        text in any_text(), other in any_text(), branch in any_branch(), refusal in any_refusal(), count in 0..60_usize,
    ) {
        let mut facts = relayed();
        facts.outcome = outcome(60, live());
        let fact = facts.commit.as_mut().unwrap();
        fact.granted.overridden = Some(text.clone());
        fact.target_mut().source.title = text.clone();
        fact.granted.approved_by = vec![user("U7"); 100];
        fact.target_mut().source.branch = Some(branch);
        let lock = TargetLock { by: user("U7"), reason: text.clone(), at: at(0), until: Some(at(60)), rollback: false, itself: false };
        let status = TargetStatus {
            target: target(),
            live: Some(facts.clone()),
            under_way: Some(facts.clone()),
            lock: Some(lock.clone()),
            frozen: Some(Frozen { until: at(9), why: Some(text.clone()) }),
            closed: Some(Closed { opens: Some(Opening { at: at(9), shown: text.clone() }) }),
        };
        let taken_away = crate::lock::LockAction::TakenAway { of: user("U8") };
        let locks = [lock.change(), LockChange { what: taken_away, ..lock.change() }];
        let locks: Vec<_> = locks.iter().cycle().take(count.min(20)).cloned().collect();
        check_message(&status_of(&vec![status; count.max(1)], Some(&lock), count), "status");
        check_message(&history(&target(), &vec![past(&id('1'), &facts).unwrap(); count], (&locks, &locks), None), "history");
        let found_all = vec![Found { target: target(), past: past(&id('1'), &facts).unwrap(), facts: facts.clone() }; count];
        check_message(&found("ddddddd", &found_all), "found");
        let holds = Holds {
            status: TargetStatus { target: target(), live: None, under_way: Some(facts.clone()), lock: Some(lock.clone()), frozen: None, closed: None },
            lock_of_all: Some(lock.clone()),
            other: Some(Some((target(), facts.clone()))),
            waiting: vec![facts.clone(); count],
            owners: crate::catalog::People { users: vec![user("U7"); count], groups: Vec::new() },
            approvers: crate::catalog::People::default(),
        };
        check_message(&why(&holds), "why");
        check_message(&locked(&Scope::Everything, "everything", &lock, true), "locked");
        check_message(&unlocked("everything", &user("U7"), &lock), "unlocked");
        check_message(&plain(&locked_already("everything", &lock)), "locked already");
        let rider = Rider { sha: sha('e'), who: other.clone(), headline: text.clone() };
        facts.commit.as_mut().unwrap().target_mut().riders = Riders::Since { commits: vec![rider; count], more: true };
        let mut words = request().words;
        words.override_reason = Some(text.clone());
        let offer = Offer { of: id('1'), by: request().user, words, head: Some(sha('a')), digest: None, command: Default::default() };
        let line = |text: &str| format!("{text}\n").repeat(40);
        for problem in [None, Some(&refusal)] {
            let shown = preview(&Preview {
                plan: facts.commit.as_ref().unwrap().target(),
                files: &[(&path("checkout/values.yaml"), &line(&text), &line(&other))],
                changes: facts.changes.as_ref(),
                gates: std::slice::from_ref(&other),
                problem,
                offer: offer.clone(),
            });
            check_message(&shown, "preview");
        }
    }

    #[test]
    fn an_announcement_keeps_slacks_limits_whatever_was_pushed(
        who in any_text(), headline in any_text(), url in any_text(), count in 1..=crate::push::MOST_TARGETS,
    ) {
        let one = super::announcements::touched(&"n".repeat(63), &[&"f/".repeat(500), &"g".repeat(500)], 4);
        let note = crate::push::PushNote { who, headline, url, more: 9, ..super::announcements::note(vec![one; count]) };
        check_message(&pushed(&note, &note.touched.iter().collect::<Vec<_>>()), "an announcement");
    }

    #[test]
    fn a_button_means_when_it_is_pressed_what_it_meant_when_it_was_shown(
        button in any_button(),
    ) {
        let row = button::row(std::slice::from_ref(&button)).unwrap();
        let shown = &row["elements"][0];
        let pressed = Button::parse(shown["action_id"].as_str().unwrap(), shown["value"].as_str().unwrap());
        prop_assert_eq!(pressed, Some(button));
    }

    #[test]
    fn what_nobody_showed_is_no_button(action in "[a-z_]{0,12}", value in ".{0,40}") {
        let _ = Button::parse(&action, &value);
        prop_assert_eq!(Button::parse("approve_all", &value), None);
        for action in ["cancel", "retry", "roll_back", "approve", "reject", "deploy_anyway"] {
            prop_assert_eq!(Button::parse(action, &value).is_some(), DeploymentId::parse(&value).is_ok());
        }
    }
}

fn any_button() -> impl Strategy<Value = Button> {
    let id = || "[0-9a-f]{32}".prop_map(|text| DeploymentId::parse(&text).unwrap());
    let name = || "[a-z0-9][a-z0-9._-]{0,20}";
    let scope =
        (name(), proptest::option::of(name())).prop_map(|(app, environment)| match (app.as_str(), &environment) {
            ("all", None) => Scope::Everything,
            _ => Scope::Target(TargetWords { app, environment }),
        });
    let what = prop_oneof![
        (1..u32::MAX).prop_map(|number| What::PullRequest(PullRequestNumber(number))),
        any_branch().prop_map(What::Branch),
        any_branch().prop_map(What::Named),
        Just(What::Rollback(Version::LastHealthy)),
        (1..u32::MAX).prop_map(|line| What::Rollback(Version::Back(line))),
        name().prop_map(|tag| What::Rollback(Version::Tag(tag))),
        Just(What::PullRequestOf { repo: repo("acme/checkout"), number: PULL }),
        Just(What::Promote { from: None }),
        name().prop_map(|from| What::Promote { from: Some(from) }),
        Just(What::Written),
    ];
    let words = (name(), proptest::option::of(name()), what, proptest::option::of(".{0,100}"));
    let words = words.prop_map(|(app, environment, what, override_reason)| DeployWords {
        app,
        environment,
        what,
        override_reason,
    });
    let offer = (id(), words, proptest::option::of("[0-9a-f]{40}")).prop_map(|(of, words, head)| Offer {
        of,
        by: request().user,
        words,
        head: head.map(|head| CommitSha::parse(&head).unwrap()),
        digest: None,
        command: Default::default(),
    });
    let wrote = proptest::collection::vec("[0-9a-f]{40}".prop_map(|text| CommitSha::parse(&text).unwrap()), 0..5);
    let pushed = (name(), proptest::option::of(name()), wrote).prop_map(|(app, environment, wrote)| {
        Button::DeployPushed(Box::new(PushedOffer { target: TargetWords { app, environment }, wrote }))
    });
    prop_oneof![
        pushed,
        id().prop_map(Button::Cancel),
        (id(), id()).prop_map(|(waits, of)| Button::Terminate { waits, of, hook: None }),
        id().prop_map(Button::Retry),
        id().prop_map(Button::RollBack),
        id().prop_map(|of| Button::Promote { of, to: None }),
        id().prop_map(Button::Approve),
        id().prop_map(Button::Reject),
        id().prop_map(Button::DeployAnyway),
        id().prop_map(Button::TakeOver),
        offer.prop_map(|offer| Button::Deploy(Box::new(offer))),
        Just(Button::Unlock { scope: Scope::Everything, set: None }),
        (scope, any::<u64>()).prop_map(|(scope, set)| Button::Unlock { scope, set: Some(Timestamp(set)) }),
    ]
}

#[test]
fn a_button_that_would_carry_too_much_is_not_shown() {
    let mut words = request().words;
    words.what = What::Branch(branch(&"x".repeat(240)));
    words.override_reason = Some("\u{1}".repeat(1000));
    let offer = Offer {
        of: id('1'),
        by: request().user,
        words,
        head: Some(sha('a')),
        digest: None,
        command: Default::default(),
    };
    assert_eq!(button::row(&[Button::Deploy(Box::new(offer))]), None);
    assert_eq!(button::row(&[]), None);
}

#[test]
fn a_hundred_apps_fit_on_a_page() {
    let mut yaml = "apps:\n".to_owned();
    for n in 0..100 {
        yaml.push_str(&format!("  app-with-a-long-name-{n:02}:\n    repo: acme/app-{n}\n    image: ghcr.io/acme/app-{n}\n    allow: anyone\n"));
    }
    let catalog = Catalog::parse(&yaml).unwrap();
    let message = apps(&catalog, &[], &commit().plan.gitops);
    check_message(&message, "apps");
    let shown = show(&message);
    assert!(shown.contains("app-with-a-long-name-99"), "{shown}");
}

#[test]
fn fifty_deploys_fit_on_a_page_and_each_has_its_line() {
    let facts = Facts { outcome: outcome(60, live()), ..relayed() };
    let message = history(&target(), &vec![past(&id('1'), &facts).unwrap(); 50], (&[], &[]), None);
    check_message(&message, "history");
    let shown = show(&message);
    assert!(
        shown.contains("\n50. ") && shown.ends_with("Go back to one: `/deploy rollback checkout@production 2`"),
        "{shown}"
    );
    let mut long = facts;
    long.commit.as_mut().unwrap().granted.overridden = Some("payments are failing ".repeat(20));
    let shown = show(&history(&target(), &vec![past(&id('1'), &long).unwrap(); 50], (&[], &[]), None));
    let (above, below) = shown.split_once("\n… and ").unwrap();
    assert!(above.contains("\n10. ") && below.contains(" more.") && below.contains("Go back to one: "), "{shown}");
}
