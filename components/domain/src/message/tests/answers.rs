//! Answers to questions, and what the channel reads about locks.

#![expect(clippy::too_many_lines, reason = "tables of what goes in and what comes out")]

use super::*;
use crate::catalog::{Catalog, Closed, Frozen, People};
use crate::command::{Scope, TargetWords};
use crate::deployment::Change;
use crate::deployment::samples::application;
use crate::image::Digest;
use crate::lock::{LockAction, LockChange, TargetLock};
use crate::names::{ArgoApplication, FilePath, KubeName};
use crate::refusal::Opening;
use crate::seen::{Found, Seen, Shown};

fn lock(reason: &str) -> TargetLock {
    TargetLock {
        by: user("U1"),
        reason: reason.to_owned(),
        at: at(0),
        until: Some(at(7200)),
        rollback: false,
        itself: false,
    }
}

fn live_facts() -> Facts {
    Facts { outcome: outcome(60, live()), ..relayed() }
}

#[test]
fn what_is_live_and_what_is_under_way() {
    let of = |app: &str, live, under_way, lock, frozen| TargetStatus {
        target: Target {
            app: AppName::parse(app).unwrap(),
            environment: EnvironmentName::parse("production").unwrap(),
        },
        live,
        under_way,
        lock,
        closed: None,
        frozen,
    };
    let linked = Facts { request: Some(linked_request()), ..relayed() };
    let all = [
        of("basket", None, None, None, None),
        of("checkout", Some(live_facts()), Some(linked), None, None),
        of("search", Some(live_facts()), None, Some(lock("Load test.")), Some(Frozen { until: at(3600), why: None })),
        TargetStatus {
            closed: Some(Closed { opens: Some(Opening { at: at(3600), shown: "Mon 09:00 Europe/Berlin".to_owned() }) }),
            ..of("user", None, None, None, Some(Frozen { until: at(60), why: Some("*No* <!here>.".to_owned()) }))
        },
    ];
    insta::assert_snapshot!(show(&status_of(&all, None, 0)), @"
    *basket@production* has not been deployed by me yet.
    [section] *basket@production* has not been deployed by me yet.
    *checkout@production* runs `faster-cart-aaaaaaa`, deployed by <@U2CERLKJA> <!date^1787301823^{date_short_pretty} {time}|2026-08-21 08:43 UTC>. :hourglass_flowing_sand: a deploy by <@U2CERLKJA> is under way (<https://acme.slack.com/archives/C0G9QF9GW/p1503435956000247|see it>).
    *search@production* runs `faster-cart-aaaaaaa`, deployed by <@U2CERLKJA> <!date^1787301823^{date_short_pretty} {time}|2026-08-21 08:43 UTC>. :lock: locked by <@U1> since <!date^1787301763^{date_short_pretty} {time}|2026-08-21 08:42 UTC> until <!date^1787308963^{date_short_pretty} {time}|2026-08-21 10:42 UTC>: Load test. :snowflake: frozen until <!date^1787305363^{date_short_pretty} {time}|2026-08-21 09:42 UTC>.
    *user@production* has not been deployed by me yet. :snowflake: frozen until <!date^1787301823^{date_short_pretty} {time}|2026-08-21 08:43 UTC>: ∗No∗ &lt;!here&gt;. :clock9: no deploys now, the next time begins Mon 09:00 Europe/Berlin (<!date^1787305363^{date_short_pretty} {time}|2026-08-21 09:42 UTC>).
    ");
    let for_good = TargetLock { until: None, ..lock("") };
    insta::assert_snapshot!(show(&status_of(&all[..1], Some(&for_good), 3)), @"
    :lock: *Everything* locked by <@U1> since <!date^1787301763^{date_short_pretty} {time}|2026-08-21 08:42 UTC>.
    [section] :lock: *Everything* locked by <@U1> since <!date^1787301763^{date_short_pretty} {time}|2026-08-21 08:42 UTC>.
    *basket@production* has not been deployed by me yet.
    … and 3 more: name one, like `/deploy status checkout`.
    ");
}

/// One whose message is known.
fn linked_request() -> RequestFact {
    let origin = crate::deployment::Origin::Approved {
        of: id('2'),
        head: None,
        shown: crate::deployment::Shown::default(),
        given: Vec::new(),
        place: Some(crate::deployment::samples::place("1503435956.000247")),
        was: Box::default(),
    };
    RequestFact { origin, ..request() }
}

#[test]
fn what_was_deployed_before_and_how_it_ended() {
    let ended = |word| Facts { outcome: outcome(60, word), ..relayed() };
    let changed = |change: fn(&mut CommitFact)| {
        let mut facts = live_facts();
        change(facts.commit.as_mut().unwrap());
        facts
    };
    let mut again = live_facts();
    again.committed.as_mut().unwrap().reused = true;
    let past = [
        relayed(),
        live_facts(),
        changed(|commit| commit.target_mut().rollback = true),
        changed(|commit| {
            commit.granted.approved_by = vec![user("U7"), user("U8")];
            commit.granted.overridden = Some("Payments are failing.".to_owned());
        }),
        again,
        ended(LastWord::Failed { failure: Failure::NoSource }),
        ended(LastWord::Superseded { by_deployment: Some(id('2')), by_person: None }),
        ended(LastWord::TimedOut { waiting: None, health: None }),
        ended(LastWord::Unknown),
        accepted_facts(),
    ];
    let past: Vec<_> = past.iter().filter_map(|facts| crate::message::past(&id('1'), facts)).collect();
    let change = |seconds, what| LockChange {
        at: at(seconds),
        by: user("U7"),
        reason: "Load test.".to_owned(),
        itself: false,
        what,
    };
    let locks = [
        change(1, LockAction::Set { until: Some(at(3600)) }),
        change(2, LockAction::TakenAway { of: user("U7") }),
        change(60, LockAction::Set { until: None }),
        change(61, LockAction::Set { until: None }),
        change(62, LockAction::TakenAway { of: user("U8") }),
    ];
    insta::assert_snapshot!(show(&history(&target(), &past, (&[], &[]), None)), @"
    *checkout@production*, newest first:
    [section] *checkout@production*, newest first:
    1. `faster-cart-aaaaaaa` :hourglass_flowing_sand: under way, <@U2CERLKJA> <!date^1787301766^{date_short_pretty} {time}|2026-08-21 08:42 UTC> <https://github.com/acme/gitops/commit/dddddddddddddddddddddddddddddddddddddddd|ddddddd>
    2. `faster-cart-aaaaaaa` :white_check_mark: live, <@U2CERLKJA> <!date^1787301766^{date_short_pretty} {time}|2026-08-21 08:42 UTC> <https://github.com/acme/gitops/commit/dddddddddddddddddddddddddddddddddddddddd|ddddddd>
    3. `faster-cart-aaaaaaa` :white_check_mark: live, <@U2CERLKJA> <!date^1787301766^{date_short_pretty} {time}|2026-08-21 08:42 UTC> <https://github.com/acme/gitops/commit/dddddddddddddddddddddddddddddddddddddddd|ddddddd> (rollback)
    4. `faster-cart-aaaaaaa` :white_check_mark: live, <@U2CERLKJA> <!date^1787301766^{date_short_pretty} {time}|2026-08-21 08:42 UTC> <https://github.com/acme/gitops/commit/dddddddddddddddddddddddddddddddddddddddd|ddddddd> (approved by <@U7> and <@U8>; override: Payments are failing)
    5. `faster-cart-aaaaaaa` :white_check_mark: live, <@U2CERLKJA> <!date^1787301766^{date_short_pretty} {time}|2026-08-21 08:42 UTC> <https://github.com/acme/gitops/commit/dddddddddddddddddddddddddddddddddddddddd|ddddddd> (same commit again)
    6. `faster-cart-aaaaaaa` :x: failed, <@U2CERLKJA> <!date^1787301766^{date_short_pretty} {time}|2026-08-21 08:42 UTC> <https://github.com/acme/gitops/commit/dddddddddddddddddddddddddddddddddddddddd|ddddddd>
    7. `faster-cart-aaaaaaa` :fast_forward: replaced, <@U2CERLKJA> <!date^1787301766^{date_short_pretty} {time}|2026-08-21 08:42 UTC> <https://github.com/acme/gitops/commit/dddddddddddddddddddddddddddddddddddddddd|ddddddd>
    8. `faster-cart-aaaaaaa` :alarm_clock: timed out, <@U2CERLKJA> <!date^1787301766^{date_short_pretty} {time}|2026-08-21 08:42 UTC> <https://github.com/acme/gitops/commit/dddddddddddddddddddddddddddddddddddddddd|ddddddd>
    9. `faster-cart-aaaaaaa` :grey_question: unknown, <@U2CERLKJA> <!date^1787301766^{date_short_pretty} {time}|2026-08-21 08:42 UTC> <https://github.com/acme/gitops/commit/dddddddddddddddddddddddddddddddddddddddd|ddddddd>
    Go back to one: `/deploy rollback checkout@production 2`
    ");
    insta::assert_snapshot!(show(&history(&target(), &past[..1], (&locks[..3], &locks[3..]), None)), @"
    *checkout@production*, newest first:
    [section] *checkout@production*, newest first:
    • :unlock: everything unlocked by <@U7> <!date^1787301825^{date_short_pretty} {time}|2026-08-21 08:43 UTC>; it was <@U8>'s: Load test
    • :lock: everything locked by <@U7> <!date^1787301824^{date_short_pretty} {time}|2026-08-21 08:43 UTC>: Load test
    • :lock: locked by <@U7> <!date^1787301823^{date_short_pretty} {time}|2026-08-21 08:43 UTC>: Load test
    1. `faster-cart-aaaaaaa` :hourglass_flowing_sand: under way, <@U2CERLKJA> <!date^1787301766^{date_short_pretty} {time}|2026-08-21 08:42 UTC> <https://github.com/acme/gitops/commit/dddddddddddddddddddddddddddddddddddddddd|ddddddd>
    • :unlock: unlocked by <@U7> <!date^1787301765^{date_short_pretty} {time}|2026-08-21 08:42 UTC>; it was their own: Load test
    • :lock: locked by <@U7> <!date^1787301764^{date_short_pretty} {time}|2026-08-21 08:42 UTC> until <!date^1787305363^{date_short_pretty} {time}|2026-08-21 09:42 UTC>: Load test
    ");
    insta::assert_snapshot!(show(&history(&target(), &[], (&[], &locks[3..]), None)), @"
    I know of no deploy of *checkout@production* yet.
    [section] I know of no deploy of *checkout@production* yet.
    • :unlock: everything unlocked by <@U7> <!date^1787301825^{date_short_pretty} {time}|2026-08-21 08:43 UTC>; it was <@U8>'s: Load test
    • :lock: everything locked by <@U7> <!date^1787301824^{date_short_pretty} {time}|2026-08-21 08:43 UTC>: Load test
    ");
}

#[test]
fn what_happened_since_a_day_keeps_its_numbers() {
    let at_second = |seconds: u64| {
        let mut facts = live_facts();
        facts.committed.as_mut().unwrap().at = at(seconds);
        past(&id('1'), &facts).unwrap()
    };
    let refused = Facts { request: Some(request()), end: Some(cancelled()), ..Facts::default() };
    let past = [at_second(200), at_second(100), crate::message::past(&id('2'), &refused).unwrap()];
    insta::assert_snapshot!(show(&history(&target(), &past, (&[], &[]), Some(at(150)))), @"
    *checkout@production* since <!date^1787301913^{date_short_pretty} {time}|2026-08-21 08:45 UTC>, newest first:
    [section] *checkout@production* since <!date^1787301913^{date_short_pretty} {time}|2026-08-21 08:45 UTC>, newest first:
    1. `faster-cart-aaaaaaa` :white_check_mark: live, <@U2CERLKJA> <!date^1787301963^{date_short_pretty} {time}|2026-08-21 08:46 UTC> <https://github.com/acme/gitops/commit/dddddddddddddddddddddddddddddddddddddddd|ddddddd>
    Go back to one: `/deploy rollback checkout@production 2`
    ");
    insta::assert_snapshot!(show(&history(&target(), &past, (&[], &[]), Some(at(300)))), @"
    I know of nothing at *checkout@production* since <!date^1787302063^{date_short_pretty} {time}|2026-08-21 08:47 UTC>. Without `--since` I show all that I remember.
    [section] I know of nothing at *checkout@production* since <!date^1787302063^{date_short_pretty} {time}|2026-08-21 08:47 UTC>. Without `--since` I show all that I remember.
    ");
    insta::assert_snapshot!(show(&history(&target(), &past, (&[], &[]), None)), @"
    *checkout@production*, newest first:
    [section] *checkout@production*, newest first:
    1. `faster-cart-aaaaaaa` :white_check_mark: live, <@U2CERLKJA> <!date^1787301963^{date_short_pretty} {time}|2026-08-21 08:46 UTC> <https://github.com/acme/gitops/commit/dddddddddddddddddddddddddddddddddddddddd|ddddddd>
    2. `faster-cart-aaaaaaa` :white_check_mark: live, <@U2CERLKJA> <!date^1787301863^{date_short_pretty} {time}|2026-08-21 08:44 UTC> <https://github.com/acme/gitops/commit/dddddddddddddddddddddddddddddddddddddddd|ddddddd>
    Not deployed:
    • checkout #42, <@U2CERLKJA> <!date^1787301768^{date_short_pretty} {time}|2026-08-21 08:42 UTC>: cancelled by <@U1>
    Go back to one: `/deploy rollback checkout@production 2`
    ");
}

#[test]
fn which_deploy_made_a_commit() {
    let linked = Facts { request: Some(linked_request()), ..live_facts() };
    let of = |facts: &Facts| crate::message::Found {
        target: target(),
        past: past(&id('1'), facts).unwrap(),
        facts: facts.clone(),
    };
    let refused = Facts { request: Some(request()), end: Some(cancelled()), ..Facts::default() };
    let begun = Facts { request: Some(request()), ..Facts::default() };
    insta::assert_snapshot!(show(&found("ddddddd", &[of(&linked)])), @"
    `ddddddd` is one deploy:
    [section] `ddddddd` is one deploy:
    • `faster-cart-aaaaaaa` to *checkout@production* (checkout #42, <https://github.com/acme/checkout/pull/42|Make the cart faster>), <@U2CERLKJA>, commit <https://github.com/acme/gitops/commit/dddddddddddddddddddddddddddddddddddddddd|ddddddd> <!date^1787301766^{date_short_pretty} {time}|2026-08-21 08:42 UTC>, :white_check_mark: live <!date^1787301823^{date_short_pretty} {time}|2026-08-21 08:43 UTC> (<https://acme.slack.com/archives/C0G9QF9GW/p1503435956000247|see its message>)
    ");
    insta::assert_snapshot!(show(&found("1111111", &[of(&relayed()), of(&refused), of(&begun)])), @"
    `1111111` is the beginning of 3 deploys, newest first:
    [section] `1111111` is the beginning of 3 deploys, newest first:
    • `faster-cart-aaaaaaa` to *checkout@production* (checkout #42, <https://github.com/acme/checkout/pull/42|Make the cart faster>), <@U2CERLKJA>, commit <https://github.com/acme/gitops/commit/dddddddddddddddddddddddddddddddddddddddd|ddddddd> <!date^1787301766^{date_short_pretty} {time}|2026-08-21 08:42 UTC>, :hourglass_flowing_sand: under way
    • checkout #42, <@U2CERLKJA> <!date^1787301768^{date_short_pretty} {time}|2026-08-21 08:42 UTC>: cancelled by <@U1> (*checkout@production*)
    • checkout #42, <@U2CERLKJA> (*checkout@production*)
    ");
    insta::assert_snapshot!(show(&found("9f3c2ab", &[])), @"
    I know of no app `9f3c2ab`, and of no deploy whose commit begins so. I remember the last 20 deploys of an app in an environment, and 50 before them that were committed. Of an older one, the commit itself says who asked for what. `/deploy apps` lists the apps.
    [section] I know of no app `9f3c2ab`, and of no deploy whose commit begins so. I remember the last 20 deploys of an app in an environment, and 50 before them that were committed. Of an older one, the commit itself says who asked for what. `/deploy apps` lists the apps.
    ");
    let many = show(&found("ddddddd", &vec![of(&linked); 12]));
    assert!(many.contains("12 deploys") && many.ends_with("… and 2 more: type more of the commit's name."), "{many}");
}

#[test]
fn what_holds_a_target_up_and_who_can_help() {
    let status = |under_way, lock, frozen: Option<Timestamp>| {
        let frozen = frozen.map(|until| Frozen { until, why: None });
        TargetStatus { target: target(), live: None, under_way, lock, frozen, closed: None }
    };
    let holds = |status| Holds {
        status,
        lock_of_all: None,
        other: None,
        waiting: Vec::new(),
        owners: People::default(),
        approvers: People::default(),
    };
    insta::assert_snapshot!(show(&why(&holds(status(None, None, None)))), @"
    Nothing holds *checkout@production* up: no deploy is under way, no lock or freeze is in force.
    [section] Nothing holds *checkout@production* up: no deploy is under way, no lock or freeze is in force.
    ");
    let refusal = Refusal::NeedsApproval {
        target: Box::new(target()),
        head: None,
        tag: target_plan().tag,
        count: 2,
        users: [user("U7")].into(),
        groups: Box::default(),
        reviewed: Box::default(),
        until: at(3600),
        about: Box::default(),
    };
    let end = EndFact {
        at: at(9),
        contact: None,
        catalog: None,
        end: End::Refused { refusal: (&refusal).into(), plans: Vec::new() },
    };
    let linked = |facts| Facts { request: Some(linked_request()), ..facts };
    let waits = Facts { end: Some(end), ..Facts::default() };
    let syncing = ApplicationWatch { asked: Some(at(7)), ..ApplicationWatch::default() };
    let committing = Facts { committed: None, push: None, ..relayed() };
    insta::assert_snapshot!(show(&why(&Holds {
        lock_of_all: Some(lock("Release night.")),
        other: Some(Some((target(), Facts { watch: Some(syncing.into()), ..relayed() }))),
        waiting: vec![linked(waits)],
        owners: People { users: vec![user("U7")], groups: vec![SlackGroup::parse("S1").unwrap()] },
        approvers: People { users: vec![user("U8")], groups: Vec::new() },
        ..holds(status(Some(linked(relayed())), Some(lock("Load test.")), Some(at(60))))
    })), @"
    What holds *checkout@production* up:
    [section] What holds *checkout@production* up:
    • :hourglass_flowing_sand: a deploy is under way, checkout #42 by <@U2CERLKJA>: committed <!date^1787301766^{date_short_pretty} {time}|2026-08-21 08:42 UTC>, not rolled out yet. (<https://acme.slack.com/archives/C0G9QF9GW/p1503435956000247|see it>)
    • :hourglass: *checkout@production* has the turn in the same Argo CD application, checkout #42 by <@U2CERLKJA>: committed <!date^1787301766^{date_short_pretty} {time}|2026-08-21 08:42 UTC>; rolling out `ddddddd`.
    • :lock: everything is locked by <@U1> since <!date^1787301763^{date_short_pretty} {time}|2026-08-21 08:42 UTC> until <!date^1787308963^{date_short_pretty} {time}|2026-08-21 10:42 UTC>: Release night.
    • :lock: locked by <@U1> since <!date^1787301763^{date_short_pretty} {time}|2026-08-21 08:42 UTC> until <!date^1787308963^{date_short_pretty} {time}|2026-08-21 10:42 UTC>: Load test.
    • :snowflake: frozen until <!date^1787301823^{date_short_pretty} {time}|2026-08-21 08:43 UTC>.
    • :raised_hand: checkout #42 by <@U2CERLKJA> waits for approval until <!date^1787305363^{date_short_pretty} {time}|2026-08-21 09:42 UTC>. (<https://acme.slack.com/archives/C0G9QF9GW/p1503435956000247|see it>)
    Owners, who can unlock it and override a freeze: <!subteam^S1> and <@U7>. Who can approve: <@U8>.
    ");
    insta::assert_snapshot!(show(&why(&Holds { other: Some(None), ..holds(status(Some(committing), None, None)) })), @"
    What holds *checkout@production* up:
    [section] What holds *checkout@production* up:
    • :hourglass_flowing_sand: a deploy is under way, checkout #42 by <@U2CERLKJA>: its commit was begun <!date^1787301765^{date_short_pretty} {time}|2026-08-21 08:42 UTC>.
    • :hourglass: a deploy of another app has the turn in the same Argo CD application.
    ");
    let accepted = Facts { request: Some(request()), ..Facts::default() };
    insta::assert_snapshot!(show(&why(&holds(status(Some(accepted), None, None)))), @"
    What holds *checkout@production* up:
    [section] What holds *checkout@production* up:
    • :hourglass_flowing_sand: a deploy is under way, checkout #42 by <@U2CERLKJA>: asked for <!date^1787301763^{date_short_pretty} {time}|2026-08-21 08:42 UTC>, not committed yet.
    ");
}

#[test]
fn what_is_out_of_service_comes_first_and_hides_nothing() {
    let broken: String = (0..12).map(|n| format!("  a{n:02}: {{ repo: acme, image: a }}\n")).collect();
    let whole = "  x: { repo: acme/x, image: x, tag: '{sha:12}', allow: anyone }\n";
    let mut catalog = Catalog::parse(&format!("apps:\n{broken}{whole}")).unwrap();
    let error = crate::refusal::CatalogError { line: Some(2), problem: "this is not `YAML` <!channel>".to_owned() };
    let path = FilePath::parse("teams/payments.yaml").unwrap();
    catalog.out_of_service.insert(0, crate::catalog::OutOfService { app: None, path, error });
    let gitops = commit().plan.gitops;
    let shown = show(&apps(&catalog, &[], &gitops));
    insta::assert_snapshot!(shown, @"
    :x: `teams/payments.yaml` has a mistake on line 2: this is not `YAML` &lt;!channel&gt;. Its apps are out of service.
    [section] :x: `teams/payments.yaml` has a mistake on line 2: this is not `YAML` &lt;!channel&gt;. Its apps are out of service.
    :x: *a00* is out of service: `deploy-bot.yaml` has a mistake on line 2: `repo`: `acme` is not a valid repository (owner/name).
    :x: *a01* is out of service: `deploy-bot.yaml` has a mistake on line 3: `repo`: `acme` is not a valid repository (owner/name).
    :x: *a02* is out of service: `deploy-bot.yaml` has a mistake on line 4: `repo`: `acme` is not a valid repository (owner/name).
    :x: *a03* is out of service: `deploy-bot.yaml` has a mistake on line 5: `repo`: `acme` is not a valid repository (owner/name).
    :x: *a04* is out of service: `deploy-bot.yaml` has a mistake on line 6: `repo`: `acme` is not a valid repository (owner/name).
    :x: *a05* is out of service: `deploy-bot.yaml` has a mistake on line 7: `repo`: `acme` is not a valid repository (owner/name).
    :x: *a06* is out of service: `deploy-bot.yaml` has a mistake on line 8: `repo`: `acme` is not a valid repository (owner/name).
    :x: *a07* is out of service: `deploy-bot.yaml` has a mistake on line 9: `repo`: `acme` is not a valid repository (owner/name).
    :x: *a08* is out of service: `deploy-bot.yaml` has a mistake on line 10: `repo`: `acme` is not a valid repository (owner/name).
    :x: … and 3 more.
    *x* (acme/x): default
    ");
}

#[test]
fn which_apps_there_are_and_what_guards_them() {
    let catalog = Catalog::parse(
        r#"
apps:
  basket:
    repo: acme/basket
    image: ghcr.io/acme/basket
    tag: "{branch}-{sha:7,8}"
    allow: anyone
  checkout:
    repo: acme/checkout
    image: ghcr.io/acme/checkout
    environments:
      staging:
        allow: anyone
        values: checkout/staging.yaml
        argocd: {application: checkout-staging}
      production:
        allow: {groups: [S1]}
        branches: [main, "release/*"]
        checks: required
        foreign_changes: refuse
        approvals: {count: 2, groups: [S2]}
        freeze: [{from: "Fri 16:00", until: "Mon 08:00", zone: Europe/Berlin}]
        values: checkout/production.yaml
        argocd: {application: checkout-production}
      nowhere:
        allow: {users: []}
        values: checkout/nowhere.yaml
        argocd: {application: checkout-nowhere}
"#,
    )
    .unwrap();
    let gitops = commit().plan.gitops;
    let name = |name: &str| ArgoApplication { name: KubeName::parse(name).unwrap(), ..application() };
    let at_target = |environment: &str| Target {
        app: AppName::parse("checkout").unwrap(),
        environment: EnvironmentName::parse(environment).unwrap(),
    };
    let seen = [
        (at_target("nowhere"), name("checkout-nowhere"), Seen { at: at(1), found: Found::NoApplication }),
        (
            at_target("production"),
            name("checkout-production"),
            Seen { at: at(2), found: Found::There(Shown { automated: true, ..Shown::default() }) },
        ),
    ];
    insta::assert_snapshot!(show(&apps(&catalog, &seen, &gitops)), @"
    *basket* (acme/basket): default
    [section] *basket* (acme/basket): default
    :warning: `{branch}-{sha:7,8}` has only 8 digits of the commit: who may push can make another commit with that tag. Let CI write 12 digits or more, and use `{sha:12}`.
    *checkout* (acme/checkout): nowhere (nobody may deploy); production (for some people only, only main, release/*, checks must pass, no other changes with it, 2 approvals, frozen Fri 16:00 to Mon 08:00 Europe/Berlin); staging
    :warning: nowhere: Argo CD has no such application (seen <!date^1787301764^{date_short_pretty} {time}|2026-08-21 08:42 UTC>).
    :warning: production: it doesn't follow the branch that I commit to; auto-sync is on, and the catalog has no `sync: auto`; I may not sync it in Argo CD (`sync`) (seen <!date^1787301765^{date_short_pretty} {time}|2026-08-21 08:42 UTC>).
    ");
    let none = Catalog { apps: std::collections::BTreeMap::new(), ..catalog };
    insta::assert_snapshot!(show(&apps(&none, &seen, &gitops)), @"
    No apps are set up yet: add one to `deploy-bot.yaml`.
    [section] No apps are set up yet: add one to `deploy-bot.yaml`.
    ");
}

#[test]
fn locks_are_announced() {
    let scope = Scope::Target(TargetWords { app: "checkout".to_owned(), environment: None });
    let for_good = TargetLock { until: None, ..lock("Load test") };
    insta::assert_snapshot!([
        show(&locked(&scope, "checkout", &lock("Moving the database."), true)),
        show(&locked(&Scope::Everything, "everything", &for_good, false)),
        show(&unlocked("checkout", &user("U1"), &lock("Load test"))),
        show(&unlocked("everything", &user("U2"), &lock(""))),
        locked_already("checkout", &for_good),
        not_locked("checkout"),
    ].join("\n\n"), @"
    :lock: <@U1> locked *checkout* until <!date^1787308963^{date_short_pretty} {time}|2026-08-21 10:42 UTC>: Moving the database. Nobody can deploy there until somebody types `/deploy unlock checkout`. It ends after 24 hours, because there are no `owners` in `deploy-bot.yaml` who could take it away.
    [section] :lock: <@U1> locked *checkout* until <!date^1787308963^{date_short_pretty} {time}|2026-08-21 10:42 UTC>: Moving the database. Nobody can deploy there until somebody types `/deploy unlock checkout`. It ends after 24 hours, because there are no `owners` in `deploy-bot.yaml` who could take it away.
    [buttons] Unlock

    :lock: <@U1> locked *everything*: Load test. Nobody can deploy there until somebody types `/deploy unlock all`.
    [section] :lock: <@U1> locked *everything*: Load test. Nobody can deploy there until somebody types `/deploy unlock all`.
    [buttons] Unlock

    :unlock: <@U1> unlocked *checkout*. It was their own lock: Load test.
    [section] :unlock: <@U1> unlocked *checkout*. It was their own lock: Load test.

    :unlock: <@U2> unlocked *everything*. It was locked by <@U1>.
    [section] :unlock: <@U2> unlocked *everything*. It was locked by <@U1>.

    checkout is already locked by <@U1> since <!date^1787301763^{date_short_pretty} {time}|2026-08-21 08:42 UTC>: Load test. They or an owner can unlock it.

    checkout is not locked.
    ");
}

#[test]
fn short_answers() {
    let over = Facts { end: Some(cancelled()), ..accepted_facts() };
    insta::assert_snapshot!(list_of([
        ("forgotten", forgotten()),
        ("unknown button", unknown_button()),
        ("nothing to cancel", nothing_to_cancel("checkout")),
        ("too late to cancel", too_late_to_cancel(&relayed())),
        ("has ended", too_late_to_cancel(&over)),
        ("cancelling", cancelling()),
        ("one's own request", may_not_approve("checkout", true)),
        ("not among them", may_not_approve("checkout", false)),
        ("approval over", approval_over()),
        ("noted", noted()),
        ("rejected already", rejected_already(&user("U7"))),
        ("approved by oneself", approved_by_you(1)),
        ("approved already", approved_already()),
        ("not saved", approved_only()),
        ("pressed before", pressed_before(&relayed(), &user("U7"))),
        ("by oneself", pressed_before(&accepted_facts(), &request().user)),
    ]), @"
    forgotten: That deploy is too old: I don't remember it any more. Please type the command.
    unknown button: That button is from another version of me. Please type the command: `/deploy help` lists them all.
    nothing to cancel: There is nothing to cancel: no deploy of checkout is under way.
    too late to cancel: Too late to cancel: it is committed and may be rolling out. You can roll it back.
    has ended: There is nothing to cancel: that deploy is over.
    cancelling: I'll cancel it if it isn't committed yet. Its message will show how it ended.
    one's own request: You asked for this deploy of checkout, so somebody else has to approve it. Its message says who can.
    not among them: You can't approve deploys of checkout. Its message says who can.
    approval over: It's too late to approve or reject that deploy. Please type the command again.
    noted: Your vote is saved, but I couldn't update the message.
    rejected already: <@U7> has already rejected that deploy.
    approved by oneself: You've already approved it. Approvals still missing: 1.
    approved already: That deploy is already approved, so it goes on. `/deploy cancel` can still stop it before the commit.
    not saved: Approved, but I couldn't start it yet: my database isn't answering. I'll keep trying for a minute, and its message says when it goes on. If it doesn't, press *Approve* again.
    pressed before: <@U2CERLKJA> already pressed that, <!date^1787301763^{date_short_pretty} {time}|2026-08-21 08:42 UTC>: its message says how it went.
    by oneself: You already pressed that, <!date^1787301763^{date_short_pretty} {time}|2026-08-21 08:42 UTC>: its message says how it went.
    ");
}

#[test]
fn a_question_is_declined_in_words_that_stand_alone() {
    let unknown = |known: &[&str]| Refusal::UnknownApp {
        unread: Vec::new(),
        typed: "chekout".to_owned(),
        did_you_mean: known.first().map(|name| (*name).to_owned()),
        known: Vec::new(),
    };
    insta::assert_snapshot!(list_of([
        ("app", declined(&unknown(&["checkout"]))),
        ("owner", declined(&Refusal::NotOwner { doing: "take away the lock of <@U1>".to_owned(), owned: true, pass: People::default() })),
        ("allowed", declined(&Refusal::NotAllowed { target: target(), why: NotAllowed::NotListed })),
        ("workspace", declined(&Refusal::OtherWorkspace)),
        ("tag", declined(&Refusal::AlreadyWritten { tag: target_plan().tag, by: None, commit: sha('e'), head: None })),
    ]), @"
    app: There is no app `chekout`. Did you mean `checkout`?
    owner: Only an owner may take away the lock of <@U1>. Ask one of the `owners` in `deploy-bot.yaml`.
    allowed: You aren't allowed to deploy checkout@production. Ask whoever looks after the catalog to add you in `deploy-bot.yaml`.
    workspace: I work for another Slack workspace. Ask your Slack admins which bot deploys here.
    tag: Somebody put `faster-cart-aaaaaaa` into Git by hand (`eeeeeee`), but didn't deploy it through me. Press *Deploy it* to roll it out now.
    ");
}

// ---- preview ----

fn shown(change: impl FnOnce(&mut CommitFact), changes: Option<&ChangesFact>, problem: Option<&Refusal>) -> String {
    let mut commit = commit();
    change(&mut commit);
    let head = commit.target().source.head.clone().filter(|_| !commit.target().rollback);
    let after = "image:\n  repository: ghcr.io/acme/checkout\n  tag: \"faster-cart-aaaaaaa\" # by deploy-bot\n";
    show(&preview(&Preview {
        plan: commit.target(),
        files: &[(&path("checkout/values.yaml"), &after.replace("faster-cart-aaaaaaa", "main-1234567"), after)],
        changes,
        gates: &["checks passed".to_owned()],
        problem,
        offer: Offer {
            of: id('1'),
            by: request().user,
            words: request().words,
            head,
            digest: None,
            command: Default::default(),
        },
    }))
}

#[test]
fn a_preview_shows_the_change_what_it_brings_and_a_button() {
    let rider = |who: &str| Rider { sha: sha('e'), who: who.to_owned(), headline: "Tune".to_owned() };
    let changes = ChangesFact {
        since: "main-1234567".to_owned(),
        ahead: 1,
        behind: 0,
        commits: vec![Change { sha: sha('a'), headline: "Make the cart faster".to_owned(), login: None }],
        url: Some("https://github.com/acme/checkout/compare/1234567...aaaaaaa".to_owned()),
    };
    insta::assert_snapshot!(shown(
        |commit| {
            commit.target_mut().digest = Some(Digest::parse(&format!("sha256:{}", "a1b2".repeat(16))).unwrap());
            commit.target_mut().riders = Riders::Since { commits: vec![rider("eve"), rider("bob"), rider("eve")], more: true };
        },
        Some(&changes),
        None,
    ), @r#"
    :mag: *checkout `faster-cart-aaaaaaa`*  only a preview, nothing is changed.
    [section] :mag: *checkout `faster-cart-aaaaaaa`*  only a preview, nothing is changed.
    <https://github.com/acme/checkout/pull/42|Make the cart faster>  ·  commit `aaaaaaa`  ·  `sha256:a1b2a1b2a1b2`  ·  checks passed
    In `checkout/values.yaml`:
    ```
       3 -   tag: "main-1234567" # by deploy-bot
       3 +   tag: "faster-cart-aaaaaaa" # by deploy-bot
    ```
    1 new commit since `main-1234567`.  <https://github.com/acme/checkout/compare/1234567...aaaaaaa|compare>
    • `aaaaaaa` Make the cart faster
    Would also go live: at least 3 commits by eve and bob.
    I looked for other people's changes in `checkout`.
    [buttons] Deploy
    [context] The button deploys commit `aaaaaaa`. It stops working when the branch moves.
    "#);
    insta::assert_snapshot!(shown(|commit| commit.target_mut().riders = Riders::FirstDeploy, None, None), @r#"
    :mag: *checkout `faster-cart-aaaaaaa`*  only a preview, nothing is changed.
    [section] :mag: *checkout `faster-cart-aaaaaaa`*  only a preview, nothing is changed.
    <https://github.com/acme/checkout/pull/42|Make the cart faster>  ·  commit `aaaaaaa`  ·  checks passed
    In `checkout/values.yaml`:
    ```
       3 -   tag: "main-1234567" # by deploy-bot
       3 +   tag: "faster-cart-aaaaaaa" # by deploy-bot
    ```
    :warning: First deploy of *checkout* through me. I can't tell what else changed since it was last deployed: everything in its folder in Git would go live too.
    [buttons] Deploy
    [context] The button deploys commit `aaaaaaa`. It stops working when the branch moves.
    "#);
    // The version of a rollback does not move.
    insta::assert_snapshot!(shown(|commit| commit.target_mut().rollback = true, None, None), @r#"
    :mag: *checkout `faster-cart-aaaaaaa`*  only a preview, nothing is changed.
    [section] :mag: *checkout `faster-cart-aaaaaaa`*  only a preview, nothing is changed.
    <https://github.com/acme/checkout/pull/42|Make the cart faster>  ·  commit `aaaaaaa`  ·  checks passed
    In `checkout/values.yaml`:
    ```
       3 -   tag: "main-1234567" # by deploy-bot
       3 +   tag: "faster-cart-aaaaaaa" # by deploy-bot
    ```
    I looked for other people's changes in `checkout`.
    [buttons] Deploy
    "#);
}

#[test]
fn a_preview_says_what_stands_in_the_way() {
    let problem = |refusal: &Refusal| {
        let shown = shown(|_| (), None, Some(refusal));
        shown.lines().skip_while(|line| !line.starts_with("   3 +")).skip(2).collect::<Vec<_>>().join("\n")
    };
    let of_kind = |name: &str| every_refusal().into_iter().find(|refusal| refusal_name(refusal) == name).unwrap();
    let kinds = [
        "locked",
        "frozen",
        "checks not passed",
        "branch not allowed",
        "foreign changes",
        "no image",
        "busy",
        "needs approval",
        "was rolled back",
    ];
    let all = kinds.map(|kind| (kind, problem(&of_kind(kind))));
    insta::assert_snapshot!(list_of(all), @"
    locked: I looked for other people's changes in `checkout`.
    :no_entry: This can't be deployed now: checkout@production is locked by <@U1> since <!date^1787301763^{date_short_pretty} {time}|2026-08-21 08:42 UTC> until <!date^1787305363^{date_short_pretty} {time}|2026-08-21 09:42 UTC>: Load test until noon. They or an owner can unlock it: `/deploy unlock checkout@production`.
    frozen: I looked for other people's changes in `checkout`.
    :no_entry: This can't be deployed now: checkout@production is frozen until <!date^1787305363^{date_short_pretty} {time}|2026-08-21 09:42 UTC>. Try again then. In an emergency, an owner, <!subteam^S1> or <@U5> can go ahead by adding `override` and the reason to the command.
    checks not passed: I looked for other people's changes in `checkout`.
    :no_entry: This can't be deployed now: checkout@production needs the checks of commit `aaaaaaa` to pass, but there are none. Check that CI reports on this commit, and that my GitHub token may read checks.
    branch not allowed: I looked for other people's changes in `checkout`.
    :no_entry: This can't be deployed now: only `main`, `release/*` can go to checkout@production, and this is `faster-cart`. Merge it first, or deploy it to another environment.
    foreign changes: I looked for other people's changes in `checkout`.
    :no_entry: This can't be deployed now: this would also ship 2 config changes by bob and carol that aren't live yet, and checkout@production doesn't allow that. Check with them. An owner can go ahead by adding `override` and the reason to the command.
    no image: I looked for other people's changes in `checkout`.
    :no_entry: This can't be deployed now: there is no image `faster-cart-aaaaaaa` in `ghcr.io/acme/checkout` yet (commit `aaaaaaa`, <https://github.com/acme/checkout/commit/aaaaaaa/checks|see its checks>). Wait until CI has built it, then try again.
    busy: I looked for other people's changes in `checkout`.
    :no_entry: This can't be deployed now: checkout@production is busy with a deploy by <@U1> (<https://acme.slack.com/archives/C1/p1|see it>). Try again when it's done.
    needs approval: I looked for other people's changes in `checkout`.
    :raised_hand: `faster-cart-aaaaaaa` needs 2 approvals by <!subteam^S1> or <@U2>. On GitHub approved by <@U9>; one approval has to be here. *Deploy* asks them to approve.
    [buttons] Deploy
    [context] The button deploys commit `aaaaaaa`. It stops working when the branch moves.
    was rolled back: I looked for other people's changes in `checkout`.
    :warning: `faster-cart-aaaaaaa` was rolled back from checkout@production by <@U1> (<!date^1787301763^{date_short_pretty} {time}|2026-08-21 08:42 UTC>). Deploy a newer version, or press the button if you do mean this one.
    [buttons] Deploy
    [context] The button deploys commit `aaaaaaa`. It stops working when the branch moves.
    ");
}

#[test]
fn a_preview_of_a_version_that_is_there_already_shows_no_change() {
    let commit = commit();
    let message = preview(&Preview {
        plan: commit.target(),
        files: &[(&path("checkout/values.yaml"), "tag: x\n", "tag: x\n")],
        changes: None,
        gates: &["no checks".to_owned()],
        problem: None,
        offer: Offer {
            of: id('1'),
            by: request().user,
            words: request().words,
            head: None,
            digest: None,
            command: Default::default(),
        },
    });
    let shown = show(&message);
    assert!(shown.contains("```\n(this version is already there)```") && shown.contains("no checks"), "{shown}");
}
