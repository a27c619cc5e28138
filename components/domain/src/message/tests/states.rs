//! The message of a deployment in each state: its buttons, its steps, what is new in it, and whom it calls.

use super::*;
use crate::command::{Scope, TargetWords};
use crate::deployment::samples::application;
use crate::deployment::{Approval, ApprovalsFact, Change, ChangesFact, WatchFact};
use crate::message::deployment::{new_in_it, steps};
use crate::message::text::lasted;
use crate::names::{ArgoApplication, KubeName};
use crate::nonempty::NonEmpty;

fn refused(refusal: &Refusal) -> Facts {
    let end = End::Refused { refusal: refusal.into(), plans: Vec::new() };
    Facts { end: Some(EndFact { at: at(5), end, contact: None, catalog: None }), ..accepted_facts() }
}

fn of_kind(name: &str) -> Refusal {
    every_refusal().into_iter().find(|refusal| refusal_name(refusal) == name).unwrap()
}

/// Needs two approvals, and these people have voted.
fn agreed(given: &[&str], rejected: Option<&str>) -> Facts {
    let said = |who: &&str| Approval { user: user(who), at: at(9), targets: Vec::new() };
    let approvals = ApprovalsFact { given: given.iter().map(said).collect(), rejected: rejected.as_ref().map(said) };
    Facts { commit: Some(commit()), approvals: Some(approvals), ..refused(&of_kind("needs approval")) }
}

fn ended_with(word: LastWord) -> Facts {
    Facts { watch: Some(asked().into()), outcome: outcome(60, word), ..relayed() }
}

fn rollback(facts: Facts) -> Facts {
    let mut commit = facts.commit.clone().unwrap();
    commit.target_mut().rollback = true;
    commit.target_mut().target = target();
    Facts { commit: Some(commit), ..facts }
}

fn message_of(facts: &Facts) -> Message {
    if facts.watch_speaks() { after_commit(&id('1'), facts) } else { before_commit(&id('1'), facts, None) }
}

fn buttons(facts: &Facts) -> String {
    let shown = show(&message_of(facts));
    shown.lines().find_map(|line| line.strip_prefix("[buttons] ")).unwrap_or("none").to_owned()
}

#[test]
fn each_state_has_its_buttons() {
    let failed = || LastWord::Failed { failure: Failure::NoSource };
    let fault = Fault::new(System::GitHub, "read the GitOps repository", Cause::TimedOut);
    let broken = Facts {
        end: Some(EndFact { at: at(5), end: End::Failed { fault }, contact: None, catalog: None }),
        ..accepted_facts()
    };
    let newer = LastWord::Superseded { by_deployment: Some(id('2')), by_person: None };
    let nothing =
        Facts { outcome: outcome(360, LastWord::Failed { failure: Failure::NothingDone }), ..accepted_facts() };
    let states = [
        ("accepted", accepted_facts()),
        ("decided", Facts { commit: Some(commit()), ..accepted_facts() }),
        ("committed", relayed()),
        ("syncing", Facts { watch: Some(asked().into()), ..relayed() }),
        ("refused for good", refused(&of_kind("no such branch"))),
        ("refused for now", refused(&of_kind("no image"))),
        ("locked", refused(&of_kind("locked"))),
        ("needs approval", agreed(&[], None)),
        ("approved by one of two", agreed(&["U7"], None)),
        ("rejected", agreed(&["U7"], Some("U8"))),
        ("was rolled back", refused(&of_kind("was rolled back"))),
        ("could not", broken),
        ("cancelled", Facts { end: Some(cancelled()), ..accepted_facts() }),
        ("live", ended_with(live())),
        ("live after a rollback", rollback(ended_with(live()))),
        ("failed", ended_with(failed())),
        ("failed rollback", rollback(ended_with(failed()))),
        ("timed out", ended_with(LastWord::TimedOut { waiting: None, health: None })),
        ("superseded", ended_with(newer)),
        ("in doubt", Facts { outcome: outcome(360, LastWord::Unknown), ..accepted_facts() }),
        ("nothing done", nothing),
    ];
    insta::assert_snapshot!(list_of(states.map(|(name, facts)| (name, buttons(&facts)))), @"
    accepted: Cancel
    decided: Cancel
    committed: none
    syncing: none
    refused for good: none
    refused for now: Wait for it | Retry
    locked: Wait for it | Retry | Unlock
    needs approval: Approve | Reject
    approved by one of two: Approve | Reject
    rejected: none
    was rolled back: Deploy anyway
    could not: Retry
    cancelled: Retry
    live: Roll back
    live after a rollback: Unlock
    failed: Retry | Roll back
    failed rollback: Retry
    timed out: Retry | Roll back
    superseded: none
    in doubt: Retry
    nothing done: Retry
    ");
}

#[test]
fn a_button_that_does_much_asks_back() {
    let all = [
        Button::Cancel(id('1')),
        Button::Terminate { waits: id('1'), of: id('2'), hook: None },
        Button::Retry(id('1')),
        Button::RollBack(id('1')),
        Button::Promote { of: id('1'), to: Some(EnvironmentName::parse("production").unwrap()) },
        Button::Approve(id('1')),
        Button::Reject(id('1')),
        Button::DeployAnyway(id('1')),
        Button::TakeOver(id('1')),
        Button::Deploy(Box::new(Offer {
            of: id('1'),
            by: request().user,
            words: request().words,
            head: Some(sha('a')),
            digest: None,
            command: Default::default(),
        })),
        Button::Unlock {
            scope: Scope::Target(TargetWords { app: "checkout".to_owned(), environment: None }),
            set: None,
        },
    ];
    let row = button::row(&all).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let lines: Vec<String> = row["elements"]
        .as_array()
        .unwrap()
        .iter()
        .map(|button| {
            let asks = text(&button["confirm"]["text"]["text"]);
            format!(
                "{} [{}] {} {asks} ({})",
                text(&button["text"]["text"]),
                text(&button["style"]),
                text(&button["action_id"]),
                text(&button["value"])
            )
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    Cancel [-] cancel - (11111111111111111111111111111111)
    Terminate it [danger] terminate This ends the sync of the older deploy in Argo CD. A hook that it runs is killed. (11111111111111111111111111111111 22222222222222222222222222222222)
    Retry [-] retry - (11111111111111111111111111111111)
    Roll back [-] roll_back This deploys the last healthy version before this one, and locks the app until somebody unlocks it. (11111111111111111111111111111111)
    Promote to production [-] promote This deploys the same image there. All gates of that environment hold. (11111111111111111111111111111111)
    Approve [primary] approve - (11111111111111111111111111111111)
    Reject [danger] reject - (11111111111111111111111111111111)
    Deploy anyway [danger] deploy_anyway The message says what speaks against it. Deploy it? (11111111111111111111111111111111)
    Deploy it [-] take_over This deploys what is in Git now, with everything that people pushed since the live version. (11111111111111111111111111111111)
    Deploy [primary] deploy - ({"of":"11111111111111111111111111111111","by":"U2CERLKJA","words":{"app":"checkout","what":{"pull_request":42}},"head":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"})
    Unlock [-] unlock People can deploy there again. (checkout)
    "#);
}

#[test]
fn others_have_to_agree() {
    insta::assert_snapshot!(show(&message_of(&agreed(&[], None))), @"
    checkout #42 – not deployed yet: `faster-cart-aaaaaaa` needs 2 approvals by <!subteam^S1> or <@U2>. On GitHub approved by <@U9>; one approval has to be here. They can approve it until <!date^1787305363^{date_short_pretty} {time}|2026-08-21 09:42 UTC>.
    [section] :raised_hand: *checkout #42*  not deployed yet: `faster-cart-aaaaaaa` needs 2 approvals by <!subteam^S1> or <@U2>. On GitHub approved by <@U9>; one approval has to be here. They can approve it until <!date^1787305363^{date_short_pretty} {time}|2026-08-21 09:42 UTC>.
    [context] asked by <@U2CERLKJA>  ·  `main-1234567` → `faster-cart-aaaaaaa`  ·  <https://github.com/acme/checkout/pull/42|Make the cart faster>
    [context] Waiting since <!date^1787301768^{date_short_pretty} {time}|2026-08-21 08:42 UTC>, until <!date^1787305363^{date_short_pretty} {time}|2026-08-21 09:42 UTC> at the latest.
    [context] id 11111111
    [buttons] Approve | Reject
    ");
    let first = |facts: &Facts| message_of(facts).blocks[0]["text"]["text"].as_str().unwrap().to_owned();
    insta::assert_snapshot!(list_of([
        ("one of two", first(&agreed(&["U7"], None))),
        ("rejected", first(&agreed(&["U7"], Some("U8")))),
    ]), @"
    one of two: :raised_hand: *checkout #42*  not deployed yet: `faster-cart-aaaaaaa` needs 2 approvals by <!subteam^S1> or <@U2>. On GitHub approved by <@U9>; one approval has to be here. They can approve it until <!date^1787305363^{date_short_pretty} {time}|2026-08-21 09:42 UTC>. Approved by <@U7> so far.
    rejected: :no_entry: *checkout #42*  rejected by <@U8>, so it isn't deployed.
    ");
}

#[test]
fn a_version_that_was_rolled_back_is_asked_about() {
    insta::assert_snapshot!(show(&message_of(&refused(&of_kind("was rolled back")))), @"
    checkout #42 – not deployed: `faster-cart-aaaaaaa` was rolled back from checkout@production by <@U1> (<!date^1787301763^{date_short_pretty} {time}|2026-08-21 08:42 UTC>). Deploy a newer version, or press the button if you do mean this one.
    [section] :no_entry: *checkout #42*  not deployed: `faster-cart-aaaaaaa` was rolled back from checkout@production by <@U1> (<!date^1787301763^{date_short_pretty} {time}|2026-08-21 08:42 UTC>). Deploy a newer version, or press the button if you do mean this one.
    [context] asked by <@U2CERLKJA>
    [context] id 11111111
    [buttons] Deploy anyway
    ");
}

#[test]
fn a_rollback_says_that_it_locked_the_target() {
    insta::assert_snapshot!(show(&message_of(&rollback(ended_with(live())))), @"
    checkout@production rollback to `faster-cart-aaaaaaa` – is live: `faster-cart-aaaaaaa`. checkout@production is locked now, so the bad version can't come back. Fixed? Press *Unlock* or type `/deploy unlock checkout@production`.
    [section] :white_check_mark: *checkout@production rollback to `faster-cart-aaaaaaa`*  is live: `faster-cart-aaaaaaa`. checkout@production is locked now, so the bad version can't come back. Fixed? Press *Unlock* or type `/deploy unlock checkout@production`.
    [context] asked by <@U2CERLKJA>  ·  `main-1234567` → `faster-cart-aaaaaaa`  ·  <https://github.com/acme/checkout/pull/42|Make the cart faster>  ·  <https://github.com/acme/gitops/commit/dddddddddddddddddddddddddddddddddddddddd|commit ddddddd>
    [context] ✓ committed 3 s  ·  ✓ Argo CD notified 4 s  ·  ✓ sync requested 5 s  ·  ✓ live 1 min
    [context] id 11111111
    [buttons] Unlock
    ");
    let failed = rollback(ended_with(LastWord::Failed { failure: Failure::NoSource }));
    assert!(!show(&message_of(&failed)).contains("locked"));
}

#[test]
fn an_emergency_is_said_loudly_and_approvals_are_named() {
    let mut facts = ended_with(live());
    let fact = facts.commit.as_mut().unwrap();
    fact.granted.approved_by = vec![user("U7"), user("U8")];
    fact.granted.overridden = Some("Payments are failing.".to_owned());
    facts.changes = Some(new_commits(2, 2, 0));
    fact.target_mut().riders = Riders::Since {
        commits: vec![Rider { sha: sha('e'), who: "eve".to_owned(), headline: "Raise the limits".to_owned() }],
        more: false,
    };
    insta::assert_snapshot!(show(&message_of(&facts)), @"
    checkout #42 – is live: `faster-cart-aaaaaaa`.
    [section] :white_check_mark: *checkout #42*  is live: `faster-cart-aaaaaaa`.
    [section] :rotating_light: *Override* by <@U2CERLKJA>: Payments are failing.
    [context] asked by <@U2CERLKJA>  ·  `main-1234567` → `faster-cart-aaaaaaa`  ·  approved by <@U7> and <@U8>  ·  <https://github.com/acme/checkout/pull/42|Make the cart faster>  ·  <https://github.com/acme/gitops/commit/dddddddddddddddddddddddddddddddddddddddd|commit ddddddd>
    [context] 2 new commits since `main-1234567`.  <https://github.com/acme/checkout/compare/1234567...aaaaaaa|compare>
    • `1111111` Change number 1 &lt;b&gt; – bob
    • `2222222` Change number 2 &lt;b&gt;
    [context] Also goes live: 1 commit by eve: `eeeeeee` Raise the limits
    [context] ✓ committed 3 s  ·  ✓ Argo CD notified 4 s  ·  ✓ sync requested 5 s  ·  ✓ live 1 min
    [context] id 11111111
    [buttons] Roll back
    ");
}

// ---- Steps ----

#[test]
fn steps_are_ticked_off_with_the_time_they_took() {
    let steps = |facts: &Facts| steps(facts).unwrap_or("none".to_owned());
    let progress = Progress { synced: true, ..Progress::default() };
    let synced = ApplicationWatch { progress: Some(progress), ..asked() };
    let noticed = ApplicationWatch { ended_seen: Some(at(65)), ..synced.clone() };
    let ended =
        |seconds, word| Facts { watch: Some(noticed.clone().into()), outcome: outcome(seconds, word), ..relayed() };
    let timed_out = LastWord::TimedOut { waiting: None, health: None };
    insta::assert_snapshot!(list_of([
        ("accepted", steps(&accepted_facts())),
        ("committed", steps(&Facts { push: None, ..relayed() })),
        ("relayed", steps(&relayed())),
        ("asked for", steps(&Facts { watch: Some(asked().into()), ..relayed() })),
        ("synced", steps(&Facts { watch: Some(synced.into()), ..relayed() })),
        ("synced, and noticed", steps(&Facts { watch: Some(noticed.clone().into()), ..relayed() })),
        ("live", steps(&ended(71, live()))),
        ("failed", steps(&Facts { watch: Some(asked().into()), ..ended(30, LastWord::Failed { failure: Failure::NoSource }) })),
        ("timed out", steps(&ended(603, timed_out))),
        ("superseded", steps(&ended(90, LastWord::Superseded { by_deployment: None, by_person: None }))),
    ]), @"
    accepted: none
    committed: ✓ committed 3 s
    relayed: ✓ committed 3 s  ·  ✓ Argo CD notified 4 s
    asked for: ✓ committed 3 s  ·  ✓ Argo CD notified 4 s  ·  ✓ sync requested 5 s
    synced: ✓ committed 3 s  ·  ✓ Argo CD notified 4 s  ·  ✓ sync requested 5 s  ·  ✓ synced
    synced, and noticed: ✓ committed 3 s  ·  ✓ Argo CD notified 4 s  ·  ✓ sync requested 5 s  ·  ✓ synced 1 min 5 s
    live: ✓ committed 3 s  ·  ✓ Argo CD notified 4 s  ·  ✓ sync requested 5 s  ·  ✓ synced 1 min 5 s  ·  ✓ live 1 min 11 s
    failed: ✓ committed 3 s  ·  ✓ Argo CD notified 4 s  ·  ✓ sync requested 5 s  ·  ✗ failed 30 s
    timed out: ✓ committed 3 s  ·  ✓ Argo CD notified 4 s  ·  ✓ sync requested 5 s  ·  ✓ synced 1 min 5 s  ·  ✗ timed out 10 min 3 s
    superseded: ✓ committed 3 s  ·  ✓ Argo CD notified 4 s  ·  ✓ sync requested 5 s  ·  ✓ synced 1 min 5 s  ·  ✗ stopped 1 min 30 s
    ");
}

// ---- Several applications ----

#[test]
fn of_several_applications_each_has_a_line() {
    let name = |name| ArgoApplication { name: KubeName::parse(name).unwrap(), ..application() };
    let mut to_two = relayed();
    let applications = NonEmpty::try_from(vec![name("checkout-eu"), name("checkout-us")]).unwrap();
    let mut commit = commit();
    commit.target_mut().applications = applications.clone();
    to_two.commit = Some(commit);
    let progress = |synced, health: &str| {
        let progress = Progress { synced, health: health.to_owned(), ..Progress::default() };
        ApplicationWatch { progress: Some(progress), ..asked() }
    };
    let waiting = ApplicationWatch { waiting: Some(Waiting::SyncWindow), ..ApplicationWatch::default() };
    let is_live = ApplicationWatch { over: Some(live()), ..progress(true, "Healthy") };
    let shown = |applications: &[ApplicationWatch], outcome| {
        let watch = WatchFact { applications: applications.to_vec(), ..WatchFact::default() };
        let shown = show(&message_of(&Facts { watch: Some(watch), outcome, ..to_two.clone() }));
        let kept = |line: &&str| line.contains("checkout-") || line.contains("[section]") || line.contains("✓");
        shown.lines().filter(kept).collect::<Vec<_>>().join("\n")
    };
    let failed = |failure| LastWord::Failed { failure };
    let at_second = |word| {
        let application = Some(applications.rest()[0].clone());
        Some(OutcomeFact { at: at(60), word, application })
    };
    insta::assert_snapshot!([
        shown(&[], None),
        shown(&[progress(false, ""), waiting.clone()], None),
        shown(&[is_live.clone(), progress(true, "Progressing")], None),
        shown(&[is_live.clone(), progress(true, "Healthy")], outcome(60, live())),
        shown(&[progress(true, "Progressing"), asked()], at_second(failed(Failure::NoApplication))),
        shown(&[is_live, waiting], at_second(LastWord::TimedOut { waiting: Some(Waiting::SyncWindow), health: None })),
    ].join("\n\n"), @"
    [section] :hourglass_flowing_sand: *checkout #42*  committed `ddddddd`.
    [context] • `checkout-eu`: not rolled out yet.
    • `checkout-us`: not rolled out yet.
    [context] ✓ committed 3 s  ·  ✓ Argo CD notified 4 s

    [section] :arrows_counterclockwise: *checkout #42*  rolling out `ddddddd`: live in 0 of 2 Argo CD applications.
    [context] • `checkout-eu`: rolling out `ddddddd`.
    • `checkout-us`: not rolled out yet. Waiting for the next sync window in Argo CD.
    [context] ✓ committed 3 s  ·  ✓ Argo CD notified 4 s  ·  ✓ sync requested 5 s

    [section] :arrows_counterclockwise: *checkout #42*  rolling out `ddddddd`: live in 1 of 2 Argo CD applications.
    [context] • `checkout-eu`: live.
    • `checkout-us`: rolled out `ddddddd`. Health: progressing.
    [context] ✓ committed 3 s  ·  ✓ Argo CD notified 4 s  ·  ✓ sync requested 5 s  ·  ✓ synced

    [section] :white_check_mark: *checkout #42*  is live: `faster-cart-aaaaaaa`.
    [context] • `checkout-eu`: live.
    • `checkout-us`: live.
    [context] ✓ committed 3 s  ·  ✓ Argo CD notified 4 s  ·  ✓ sync requested 5 s  ·  ✓ synced  ·  ✓ live 1 min

    checkout #42 – `checkout-us`: Argo CD has no such application. Git has the new version (`ddddddd`); the cluster may have parts of it. Create it, or check `argocd` of this app in `deploy-bot.yaml`.
    [section] :x: *checkout #42*  `checkout-us`: Argo CD has no such application. Git has the new version (`ddddddd`); the cluster may have parts of it. Create it, or check `argocd` of this app in `deploy-bot.yaml`.
    [context] • `checkout-eu`: last seen: rolled out `ddddddd`. Health: progressing.
    • `checkout-us`: failed.
    [context] ✓ committed 3 s  ·  ✓ Argo CD notified 4 s  ·  ✓ sync requested 5 s  ·  ✗ failed 1 min

    checkout #42 – `checkout-us`: timed out 57 s after the commit, because Argo CD didn't take the sync. I was waiting for the next sync window in Argo CD. Git has the new version (`ddddddd`); the cluster may have parts of it. Argo CD shows what holds it up. *Retry* goes on from here, *Roll back* returns to the last healthy version.
    [section] :alarm_clock: *checkout #42*  `checkout-us`: timed out 57 s after the commit, because Argo CD didn't take the sync. I was waiting for the next sync window in Argo CD. Git has the new version (`ddddddd`); the cluster may have parts of it. Argo CD shows what holds it up. *Retry* goes on from here, *Roll back* returns to the last healthy version.
    [context] • `checkout-eu`: live.
    • `checkout-us`: timed out.
    [context] ✓ committed 3 s  ·  ✓ Argo CD notified 4 s  ·  ✓ sync requested 5 s  ·  ✗ timed out 1 min
    ");
}

#[test]
fn a_time_is_as_exact_as_people_need_it() {
    let check = |seconds: u64, expected: &str| assert_eq!(lasted(Duration::from_secs(seconds)), expected);
    check(0, "0 s");
    check(59, "59 s");
    check(60, "1 min");
    check(125, "2 min 5 s");
    check(3600, "1 h");
    check(3659, "1 h");
    check(11_400, "3 h 10 min");
}

// ---- What is new ----

fn new_commits(ahead: u32, shown: usize, behind: u32) -> ChangesFact {
    let change = |n: usize| Change {
        sha: sha(char::from_digit(u32::try_from(n % 16).unwrap(), 16).unwrap()),
        headline: format!("Change number {n} <b>"),
        login: (n % 2 == 1).then(|| GitHubLogin::parse("bob").unwrap()),
    };
    ChangesFact {
        since: "main-1234567".to_owned(),
        ahead,
        behind,
        commits: (1..=shown).map(change).collect(),
        url: Some("https://github.com/acme/checkout/compare/1234567...aaaaaaa".to_owned()),
    }
}

#[test]
fn what_is_new_in_the_deployed_version() {
    assert_eq!(new_in_it(&new_commits(0, 0, 0)), "");
    let no_page = ChangesFact { url: None, ..new_commits(2, 0, 0) };
    insta::assert_snapshot!([
        new_in_it(&new_commits(1, 1, 0)),
        new_in_it(&new_commits(15, 10, 0)),
        new_in_it(&new_commits(0, 0, 3)),
        new_in_it(&new_commits(2, 2, 1)),
        new_in_it(&no_page),
    ].join("\n\n"), @"
    1 new commit since `main-1234567`.  <https://github.com/acme/checkout/compare/1234567...aaaaaaa|compare>
    • `1111111` Change number 1 &lt;b&gt; – bob

    15 new commits since `main-1234567`.  <https://github.com/acme/checkout/compare/1234567...aaaaaaa|compare>
    • `1111111` Change number 1 &lt;b&gt; – bob
    • `2222222` Change number 2 &lt;b&gt;
    • `3333333` Change number 3 &lt;b&gt; – bob
    • `4444444` Change number 4 &lt;b&gt;
    • `5555555` Change number 5 &lt;b&gt; – bob
    • `6666666` Change number 6 &lt;b&gt;
    • `7777777` Change number 7 &lt;b&gt; – bob
    • `8888888` Change number 8 &lt;b&gt;
    • `9999999` Change number 9 &lt;b&gt; – bob
    • `aaaaaaa` Change number 10 &lt;b&gt;
    … and 5 more.

    Goes back 3 commits from `main-1234567`.  <https://github.com/acme/checkout/compare/1234567...aaaaaaa|compare>

    2 new commits since `main-1234567`, but without 1 commit of it.  <https://github.com/acme/checkout/compare/1234567...aaaaaaa|compare>
    • `1111111` Change number 1 &lt;b&gt; – bob
    • `2222222` Change number 2 &lt;b&gt;

    2 new commits since `main-1234567`.
    ");
}

// ---- Calls ----

#[test]
fn an_end_that_needs_somebody_calls_them_in_the_thread() {
    let text = |facts: &Facts| call(facts).map_or("nobody".to_owned(), |message| show(&message));
    let fault = Fault::new(System::GitHub, "read the GitOps repository", Cause::TimedOut);
    let broken = Facts {
        end: Some(EndFact { at: at(5), end: End::Failed { fault }, contact: None, catalog: None }),
        ..accepted_facts()
    };
    insta::assert_snapshot!(list_of([
        ("accepted", text(&accepted_facts())),
        ("syncing", text(&Facts { watch: Some(asked().into()), ..relayed() })),
        ("live", text(&ended_with(live()))),
        ("refused", text(&refused(&of_kind("no image")))),
        ("cancelled", text(&Facts { end: Some(cancelled()), ..accepted_facts() })),
        ("superseded", text(&ended_with(LastWord::Superseded { by_deployment: None, by_person: None }))),
        ("failed before the commit", text(&broken)),
        ("failed", text(&ended_with(LastWord::Failed { failure: Failure::NoSource }))),
        ("timed out", text(&ended_with(LastWord::TimedOut { waiting: None, health: None }))),
        ("in doubt", text(&Facts { outcome: outcome(360, LastWord::Unknown), ..accepted_facts() })),
        ("needs approval", text(&agreed(&[], None))),
        ("rejected", text(&agreed(&[], Some("U8")))),
    ]), @"
    accepted: nobody
    syncing: nobody
    live: <@U2CERLKJA> checkout #42 is live: see above.
    [section] <@U2CERLKJA> checkout #42 is live: see above.
    refused: nobody
    cancelled: nobody
    superseded: nobody
    failed before the commit: <@U2CERLKJA> checkout #42 failed: see above.
    [section] <@U2CERLKJA> checkout #42 failed: see above.
    failed: <@U2CERLKJA> checkout #42 failed: see above.
    [section] <@U2CERLKJA> checkout #42 failed: see above.
    timed out: <@U2CERLKJA> checkout #42 timed out: see above.
    [section] <@U2CERLKJA> checkout #42 timed out: see above.
    in doubt: <@U2CERLKJA> checkout #42 may not have gone through: see above.
    [section] <@U2CERLKJA> checkout #42 may not have gone through: see above.
    needs approval: <!subteam^S1> <@U2> please approve checkout #42 for <@U2CERLKJA>: see above.
    [section] <!subteam^S1> <@U2> please approve checkout #42 for <@U2CERLKJA>: see above.
    rejected: nobody
    ");
}

#[test]
fn whoever_asked_is_not_called_to_approve_it() {
    let Refusal::NeedsApproval { target, head, tag, count, until, about, .. } = of_kind("needs approval") else {
        panic!()
    };
    let alone = Refusal::NeedsApproval {
        target,
        head,
        tag,
        count,
        until,
        groups: Box::default(),
        reviewed: Box::default(),
        users: vec![request().user].into(),
        about,
    };
    assert_eq!(call(&refused(&alone)).unwrap().text.matches("<@U2CERLKJA>").count(), 1);
}

// ---- The commit ----

#[test]
fn the_commit_of_a_rollback_names_who_approved_and_what_was_overridden() {
    let mut fact = commit_to(TargetPlan { rollback: true, target: target(), ..target_plan() });
    fact.granted = Granted {
        approved_by: vec![user("U7"), user("U8")],
        overridden: Some("Payments are failing\nDeploy-Id: x".to_owned()),
        ..Granted::default()
    };
    insta::assert_snapshot!(whole_commit(&request(), &fact), @"
    Roll back checkout@production to faster-cart-aaaaaaa

    acme/checkout#42 (faster-cart)

    Source-Commit: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
    Requested-By: alice (U2CERLKJA)
    Approved-By: U7
    Approved-By: U8
    Gate-Overridden: Payments are failing Deploy-Id: x
    Deploy-Id: 11111111111111111111111111111111
    ");
}
