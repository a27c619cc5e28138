//! Every sentence, as people read it. Whoever changes one reads it here again.

mod announcements;
mod answers;
mod limits;
mod states;

use super::*;
use crate::command::{Command, DeployWords, Verb, What};
use crate::deployment::samples::{
    at, cancelled, commit, commit_to, id, live, path, relayed, request, sha, target_plan, user,
};
use crate::deployment::{
    ChangesFact, CommitFact, End, EndFact, Facts, Failure, Granted, LastWord, OutcomeFact, Progress, Reference,
    RequestFact, Rider, Riders, TargetPlan, Waiting, WatchFact,
};
use crate::fault::{Cause, Changed, Fault, System};
use crate::image::Tag;
use crate::names::{
    AppName, BranchName, DeploymentId, EnvironmentName, GitHubLogin, PullRequestNumber, RepoName, SlackGroup, Target,
};
use crate::refusal::samples::every_refusal;
use crate::refusal::{Refusal, Right};
use crate::time::Timestamp;
use crate::values::EditRefusal;
use serde_json::Value;
use std::time::Duration;

/// A message on few lines: its text, then each block.
fn show(message: &Message) -> String {
    let block = |block: &Value| match block["type"].as_str().unwrap() {
        "section" => {
            let button = block.get("accessory").map(|button| button["text"]["text"].as_str().unwrap());
            let button = button.map(|label| format!("  [{label}]")).unwrap_or_default();
            format!("[section] {}{button}", block["text"]["text"].as_str().unwrap())
        }
        "context" => {
            let elements: Vec<&str> =
                block["elements"].as_array().unwrap().iter().map(|element| element["text"].as_str().unwrap()).collect();
            format!("[context] {}", elements.join(" | "))
        }
        "actions" => {
            let label = |element: &Value| element["text"]["text"].as_str().unwrap().to_owned();
            let labels: Vec<String> = block["elements"].as_array().unwrap().iter().map(label).collect();
            format!("[buttons] {}", labels.join(" | "))
        }
        other => panic!("{other}"),
    };
    let blocks = message.blocks.as_array().unwrap().iter().map(block);
    std::iter::once(message.text.clone()).chain(blocks).collect::<Vec<_>>().join("\n")
}

/// Whoever is called to the end, as slack-command does it.
fn call(facts: &Facts) -> Option<Message> {
    call_asker(facts).or_else(|| call_approvers(facts))
}

/// Names and sentences, one below the other.
fn list_of(sentences: impl IntoIterator<Item = (&'static str, String)>) -> String {
    sentences.into_iter().map(|(name, sentence)| format!("{name}: {sentence}")).collect::<Vec<_>>().join("\n")
}

fn branch(text: &str) -> BranchName {
    BranchName::parse(text).unwrap()
}

fn repo(text: &str) -> RepoName {
    RepoName::parse(text).unwrap()
}

fn target() -> Target {
    Target { app: AppName::parse("checkout").unwrap(), environment: EnvironmentName::parse("production").unwrap() }
}

const PULL: PullRequestNumber = PullRequestNumber(42);

// ---- Refusals ----

/// A new refusal does not compile until it is named here; then it wants an example in `every_refusal`, too.
fn refusal_name(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Syntax { .. } => "syntax",
        Refusal::UnknownApp { .. } => "unknown app",
        Refusal::UnknownEnvironment { .. } => "unknown environment",
        Refusal::NotAllowed { .. } => "not allowed",
        Refusal::OtherWorkspace => "other workspace",
        Refusal::BrokenCatalog { .. } => "broken catalog",
        Refusal::NoCatalog { .. } => "no catalog",
        Refusal::OtherRepository { .. } => "other repository",
        Refusal::NoSuchPullRequest { .. } => "no such pull request",
        Refusal::PullRequestNotOpen { .. } => "pull request not open",
        Refusal::FromFork { .. } => "from a fork",
        Refusal::NoSuchBranch { .. } => "no such branch",
        Refusal::NoSuchRepository { .. } => "no such repository",
        Refusal::NoGitOpsBranch { .. } => "no GitOps branch",
        Refusal::NoValidTag { .. } => "no valid tag",
        Refusal::NoImage { .. } => "no image",
        Refusal::NoValuesFile { .. } => "no values file",
        Refusal::Edit { .. } => "edit",
        Refusal::AlreadyWritten { .. } => "already written",
        Refusal::Busy { .. } => "busy",
        Refusal::Locked { .. } => "locked",
        Refusal::BranchNotAllowed { .. } => "branch not allowed",
        Refusal::ChecksNotPassed { .. } => "checks not passed",
        Refusal::ForeignChanges { .. } => "foreign changes",
        Refusal::NeedsApproval { .. } => "needs approval",
        Refusal::Frozen { .. } => "frozen",
        Refusal::NotOwner { .. } => "not an owner",
        Refusal::HeadMoved { .. } => "head moved",
        Refusal::VersionMoved { .. } => "version moved",
        Refusal::NoEarlierVersion { .. } => "no earlier version",
        Refusal::AlreadyLive { .. } => "already live",
        Refusal::UnknownVersion { .. } => "unknown version",
        Refusal::UnknownWritten { .. } => "unknown written",
        Refusal::WasRolledBack { .. } => "was rolled back",
        Refusal::KeepsMoving { .. } => "keeps moving",
        Refusal::TooLate { .. } => "too late",
        Refusal::CatalogChanged => "catalog changed",
    }
}

#[test]
fn every_refusal_says_that_nothing_changed_and_what_to_do() {
    let all = every_refusal();
    let names: std::collections::BTreeSet<_> = all.iter().map(refusal_name).collect();
    assert_eq!(names.len(), 37, "one of each");
    for one in &all {
        let sentence = refusal(one);
        let (before, after) = sentence.split_once(" Nothing was changed. ").unwrap();
        assert!(!before.is_empty() && !after.is_empty(), "{one:?}");
        assert!(sentence.ends_with(['.', '?', '…']), "{sentence}");
    }
    insta::assert_snapshot!(list_of(all.iter().map(|one| (refusal_name(one), refusal(one)))), @"
    syntax: I did not understand that: the pull request or branch is missing after `checkout`. Nothing was changed. Type it like `/deploy checkout 42`, or `/deploy help`.
    syntax: I did not understand that: `stauts` is not a command. Nothing was changed. Did you mean `/deploy status checkout`? If not, see `/deploy help status`.
    syntax: I did not understand that: the reason is missing after `checkout`. Nothing was changed. Type it like `/deploy lock checkout load test`, or `/deploy help lock`.
    unknown app: not deployed: there is no app `chekout` in the catalog. Nothing was changed. Did you mean `checkout`?
    unknown app: not deployed: there is no app `x` in the catalog. Nothing was changed. The catalog has `checkout`, `search`.
    unknown app: not deployed: there is no app `x` in the catalog. Nothing was changed. The catalog has `a`, `b`, `c`, `d`, `e`, `f`, `g`, `h`, `i`, `j`, …
    unknown environment: not deployed: `checkout` has no environment `prod`. Nothing was changed. Did you mean `production`?
    unknown environment: not deployed: `checkout` has no environment `moon`. Nothing was changed. It has `production`, `staging`.
    unknown environment: not deployed: `checkout` has several environments. Nothing was changed. Name one, like `checkout@production`. It has `production`, `staging`.
    not allowed: not deployed: nobody may deploy checkout@production: its `allow` in the catalog names nobody. Nothing was changed. Whoever owns the catalog can add people, or `allow: anyone`.
    not allowed: not deployed: checkout@production may not be deployed from this channel. Nothing was changed. Type it in one of the channels that the catalog names.
    not allowed: not deployed: you may not deploy checkout@production. Nothing was changed. Whoever owns the catalog can add you to its `allow`.
    other workspace: I serve another Slack workspace. Nothing was changed. Ask your administrators which bot deploys here.
    broken catalog: not deployed: the catalog `deploy-bot.yaml` is broken on line 7: `repo` is missing. Nothing was changed. Fix it on the GitOps branch, then try again.
    broken catalog: not deployed: the catalog `deploy-bot.yaml` is broken: it has no apps. Nothing was changed. Fix it on the GitOps branch, then try again.
    no catalog: not deployed: there is no `deploy-bot.yaml` on `main` of acme/gitops. Nothing was changed. Add the catalog there, then try again.
    other repository: not deployed: acme/payments#42 is no pull request of `checkout`, which is built from acme/checkout. Nothing was changed. Check the app and the link.
    no such pull request: not deployed: acme/checkout has no pull request #42. Nothing was changed. Check the number. A branch of that name is typed `branch:42`.
    pull request not open: not deployed: pull request #42 is merged already. Nothing was changed. Deploy `main` instead.
    pull request not open: not deployed: pull request #42 is closed. Nothing was changed. Reopen it, or deploy `main`.
    pull request not open: not deployed: pull request #42 is merged already. Nothing was changed. Deploy a branch instead.
    from a fork: not deployed: pull request #42 comes from a fork, whose image our CI does not build. Nothing was changed. Push its branch to the app's own repository and deploy that.
    no such branch: not deployed: acme/checkout has no branch `faster-cart`. Nothing was changed. Check the name. For a pull request, type its number.
    no such repository: not deployed: GitHub shows me no repository acme/checkout. Nothing was changed. Check its name in the catalog or in `gitops_repo`, and that my GitHub token may read it.
    no GitOps branch: not deployed: acme/gitops has no branch `main`. Nothing was changed. Whoever runs me has to check `gitops_branch`.
    no valid tag: not deployed: branch and commit make `-x-aaaaaaa`, which is not a valid image tag. Nothing was changed. Rename the branch (a tag has at most 128 characters and starts with a letter, digit or `_`).
    no image: not deployed: the registry has no tag `faster-cart-aaaaaaa` of `ghcr.io/acme/checkout` (commit `aaaaaaa`). Nothing was changed. Wait until the build has pushed it, then try again.
    no values file: not deployed: there is no `checkout/values.yaml` in acme/gitops. Nothing was changed. Add it, or set `values` of this app in the catalog.
    edit: not deployed: I cannot edit `checkout/values.yaml` safely: GitHub gives me only a part of it. Nothing was changed. Make it smaller.
    already written: not deployed: `faster-cart-aaaaaaa` was already written by eve in `eeeeeee`, and I sync only my own commits. Nothing was changed. Press the button and I deploy it with a commit of my own, or revert that one and try again.
    already written: not deployed: `faster-cart-aaaaaaa` was already written by somebody in `eeeeeee`, and I sync only my own commits. Nothing was changed. Press the button and I deploy it with a commit of my own, or revert that one and try again.
    busy: not deployed: checkout@production is busy with a deploy by <@U1> (<https://acme.slack.com/archives/C1/p1|see it>). Nothing was changed. Try again when that one has ended.
    busy: not deployed: checkout@production is busy with another deploy. Nothing was changed. Try again when that one has ended.
    locked: not deployed: checkout@production is locked by <@U1> since <!date^1787301763^{date_short_pretty} {time}|2026-08-21 08:42 UTC> until <!date^1787305363^{date_short_pretty} {time}|2026-08-21 09:42 UTC>: Load test until noon. Nothing was changed. They or an owner can end that: `/deploy unlock checkout@production`.
    locked: not deployed: everything is locked by <@U1>. Nothing was changed. They or an owner can end that: `/deploy unlock all`.
    branch not allowed: not deployed: checkout@production takes only `main`, `release/*`, and this is `faster-cart`. Nothing was changed. Merge it there, or deploy it to another environment.
    checks not passed: not deployed: checkout@production needs the checks of commit `aaaaaaa` to succeed, but it has none. Nothing was changed. Check that CI reports on this commit, and that my GitHub token may read checks.
    checks not passed: not deployed: checkout@production needs the checks of commit `aaaaaaa` to succeed, but they are still running. Nothing was changed. Wait for them, then try again.
    checks not passed: not deployed: checkout@production needs the checks of commit `aaaaaaa` to succeed, but they failed. Nothing was changed. Fix what fails, then deploy the new commit.
    foreign changes: not deployed: 2 unsynced commits by bob and carol in the GitOps repository would go live with it, which checkout@production refuses. Nothing was changed. Talk to them. If they may go live, an owner can add `override` and the reason to the command.
    needs approval: not deployed yet: `faster-cart-aaaaaaa` needs 2 approvals by <!subteam^S1> or <@U2>. Nothing was changed. They can approve it until <!date^1787305363^{date_short_pretty} {time}|2026-08-21 09:42 UTC>.
    frozen: not deployed: checkout@production is frozen until <!date^1787305363^{date_short_pretty} {time}|2026-08-21 09:42 UTC>. Nothing was changed. Try again then. In an emergency, an owner can add `override` and the reason to the command.
    frozen: not deployed: checkout@production is frozen until <!date^1787305363^{date_short_pretty} {time}|2026-08-21 09:42 UTC>. Nothing was changed. Try again then.
    not an owner: not deployed: only an owner may lock everything. Nothing was changed. Ask one of the `owners` in the catalog.
    not an owner: not deployed: only an owner may lock everything. Nothing was changed. The catalog names no `owners` there: whoever keeps it can add some.
    head moved: not deployed: the branch has moved from `aaaaaaa` to `bbbbbbb` since that button was shown. Nothing was changed. Type the command again for the new commit.
    version moved: not deployed: that button takes `main-1234567` away from checkout@production, but `main-89abcde` was deployed since. Nothing was changed. To go back from that one: `/deploy rollback checkout@production`.
    no earlier version: not deployed: I remember no earlier healthy version of checkout@production. Nothing was changed. `/deploy history checkout@production` shows what I remember; any branch can be deployed by its name.
    already live: not deployed: `faster-cart-aaaaaaa` is what runs in checkout@production, so there is nothing to go back to. Nothing was changed. `/deploy history checkout@production` shows the versions before it, which you can name.
    unknown version: not deployed: I remember no version `v9` of checkout@production. Nothing was changed. I remember `main-1234567`. `/deploy history checkout@production` shows them all.
    unknown version: not deployed: I remember no version `9` of checkout@production. Nothing was changed. `/deploy history checkout@production` shows them all.
    unknown written: not deployed: the file says `by-hand`, which I never deployed to checkout@production, so I do not know what it is. Nothing was changed. Type the pull request or branch that it was built from, like `/deploy checkout@production main`.
    unknown written: not deployed: checkout@production has several tags in Git: `main-1234567` and `by-hand`. Nothing was changed. Type what to deploy, like `/deploy checkout@production main`.
    was rolled back: not deployed: `faster-cart-aaaaaaa` was rolled back from checkout@production by <@U1> (<!date^1787301763^{date_short_pretty} {time}|2026-08-21 08:42 UTC>). Nothing was changed. Deploy a newer version, or press the button if you mean this one.
    keeps moving: not deployed: the GitOps branch moved each of the 5 times that I tried to commit. Nothing was changed. Try again when it is quieter there.
    too late: not deployed: I did not get to it within 3 minutes. Nothing was changed. Try again. If that does not help, tell whoever runs me.
    catalog changed: not deployed: the catalog kept changing while I worked. Nothing was changed. Try again when it is settled.
    ");
}

fn edit_name(why: &EditRefusal) -> &'static str {
    match why {
        EditRefusal::PathMissing { .. } => "path missing",
        EditRefusal::NotAScalar { .. } => "not a scalar",
        EditRefusal::NoValue { .. } => "no value",
        EditRefusal::NotAString { .. } => "not a string",
        EditRefusal::Alias { .. } => "alias",
        EditRefusal::UsedElsewhere { .. } => "used elsewhere",
        EditRefusal::OnlyMerged { .. } => "only merged",
        EditRefusal::DuplicateKey { .. } => "duplicate key",
        EditRefusal::SeveralDocuments { .. } => "several documents",
        EditRefusal::MultiLine { .. } => "several lines",
        EditRefusal::Syntax { .. } => "syntax",
        EditRefusal::NotUtf8 { .. } => "not UTF-8",
        EditRefusal::Truncated => "truncated",
        EditRefusal::TooLarge { .. } => "too large",
        EditRefusal::UnsafeTag => "unsafe tag",
        EditRefusal::Unproven { .. } => "unproven",
    }
}

#[test]
fn every_refusal_of_the_edit_says_where_and_what_to_do() {
    let path = || "image.tag".to_owned();
    let line = 3;
    let all = [
        EditRefusal::PathMissing { path: path(), exists: "image".to_owned(), line: Some(line) },
        EditRefusal::PathMissing { path: path(), exists: String::new(), line: None },
        EditRefusal::NotAScalar { path: path(), line },
        EditRefusal::NoValue { path: path(), line },
        EditRefusal::NotAString { path: path(), line, tag: "!!int".to_owned() },
        EditRefusal::Alias { path: path(), line },
        EditRefusal::UsedElsewhere { path: path(), line },
        EditRefusal::OnlyMerged { path: path(), line },
        EditRefusal::DuplicateKey { path: path(), key: "image".to_owned(), line },
        EditRefusal::SeveralDocuments { path: path(), line },
        EditRefusal::MultiLine { path: path(), line },
        EditRefusal::Syntax { line, problem: "tabs are not allowed as indentation".to_owned() },
        EditRefusal::NotUtf8 { line },
        EditRefusal::Truncated,
        EditRefusal::TooLarge { bytes: 600_000, limit: 512_000 },
        EditRefusal::UnsafeTag,
        EditRefusal::Unproven { path: path() },
    ];
    let names: std::collections::BTreeSet<_> = all.iter().map(edit_name).collect();
    assert_eq!(names.len(), 16, "one of each");
    let sentences = all.into_iter().map(|why| {
        let name = edit_name(&why);
        let sentence = refusal(&Refusal::Edit { path: crate::deployment::samples::path("checkout/values.yaml"), why });
        (name, sentence.strip_prefix("not deployed: I cannot edit `checkout/values.yaml` safely: ").unwrap().to_owned())
    });
    insta::assert_snapshot!(list_of(sentences), @"
    path missing: it has no `image.tag`, only `image` (line 3). Nothing was changed. Add it there, or set `tag_at` of this app in the catalog.
    path missing: it has no `image.tag`. Nothing was changed. Add it there, or set `tag_at` of this app in the catalog.
    not a scalar: `image.tag` (line 3) is not a single value. Nothing was changed. Fix the file, or point `tag_at` of this app somewhere else.
    no value: `image.tag` (line 3) has no value. Nothing was changed. Write any quoted value there once.
    not a string: `image.tag` (line 3) has the explicit type `!!int`, which is not a string. Nothing was changed. Fix the file, or point `tag_at` of this app somewhere else.
    alias: `image.tag` (line 3) is written elsewhere and only referred to by an alias. Nothing was changed. Fix the file, or point `tag_at` of this app somewhere else.
    used elsewhere: `image.tag` is anchored, and line 3 uses it too, so an edit would change both. Nothing was changed. Fix the file, or point `tag_at` of this app somewhere else.
    only merged: `image.tag` comes only from a merge key `&lt;&lt;` (line 3). Nothing was changed. Write the key into the file itself.
    duplicate key: on the way to `image.tag` the key `image` stands twice (again on line 3). Nothing was changed. Remove one of them.
    several documents: several of its documents have `image.tag` (again on line 3). Nothing was changed. Fix the file, or point `tag_at` of this app somewhere else.
    several lines: `image.tag` (line 3) is a block or stands on several lines. Nothing was changed. Write it on one line.
    syntax: line 3 is not plain YAML (tabs are not allowed as indentation). Nothing was changed. Fix that line.
    not UTF-8: line 3 is not UTF-8. Nothing was changed. Save it as UTF-8.
    truncated: GitHub gives me only a part of it. Nothing was changed. Make it smaller.
    too large: it has 600000 bytes, and I edit at most 512000. Nothing was changed. Make it smaller.
    unsafe tag: the tag has characters that YAML would have to escape. Nothing was changed. That is a bug of mine: please report it with the file.
    unproven: I could not prove that only `image.tag` would change. Nothing was changed. That is a bug of mine: please report it with the file.
    ");
}

// ---- Faults ----

fn cause_name(cause: &Cause) -> &'static str {
    match cause {
        Cause::Denied => "denied",
        Cause::NotConnected => "not connected",
        Cause::TimedOut => "timed out",
        Cause::Broken => "broken",
        Cause::TooLarge => "too large",
        Cause::Status { .. } => "status",
        Cause::Unauthorized => "unauthorized",
        Cause::Forbidden { .. } => "forbidden",
        Cause::RateLimited { .. } => "rate limited",
        Cause::Nonsense { .. } => "nonsense",
        Cause::Said { .. } => "said",
        Cause::Setting { .. } => "setting",
    }
}

#[test]
fn every_fault_says_what_failed_whether_anything_changed_and_what_to_do() {
    let text = |text: &str| text.to_owned();
    let read = "read the GitOps repository";
    let all = [
        (System::GitHub, read, Cause::Denied, Changed::Nothing),
        (System::GitHub, read, Cause::NotConnected, Changed::Nothing),
        (System::GitHub, "commit the new image tag", Cause::TimedOut, Changed::Unknown),
        (System::GitHub, "commit the new image tag", Cause::Broken, Changed::Unknown),
        (System::Registry, "look for the image in the registry", Cause::TooLarge, Changed::Nothing),
        (System::Registry, "look for the image in the registry", Cause::Status { status: 502 }, Changed::Nothing),
        (System::Registry, "log in to the registry", Cause::Unauthorized, Changed::Nothing),
        (System::ArgoCd, "ask Argo CD for the sync", Cause::Unauthorized, Changed::Yes),
        (System::GitHub, read, Cause::Forbidden { said: String::new() }, Changed::Nothing),
        (
            System::GitHub,
            read,
            Cause::Forbidden { said: text("Resource not accessible by integration.") },
            Changed::Nothing,
        ),
        (System::GitHub, read, Cause::RateLimited { seconds: Some(30) }, Changed::Nothing),
        (
            System::Slack,
            "read the members of a Slack user group",
            Cause::RateLimited { seconds: None },
            Changed::Nothing,
        ),
        (
            System::Slack,
            "read the members of a Slack user group",
            Cause::Nonsense { part: text("JSON") },
            Changed::Nothing,
        ),
        (System::GitHub, read, Cause::Said { said: text("Something went wrong.") }, Changed::Nothing),
        (System::Store, "save the request", Cause::Said { said: text("the disk is full") }, Changed::Nothing),
        (System::Redis, "take the target", Cause::TimedOut, Changed::Nothing),
        (System::Settings, "deploy", Cause::Setting { variable: text("github_url") }, Changed::Nothing),
    ];
    let names: std::collections::BTreeSet<_> = all.iter().map(|(_, _, cause, _)| cause_name(cause)).collect();
    assert_eq!(names.len(), 12, "one of each");
    let sentences = all.into_iter().map(|(system, doing, cause, changed)| {
        (cause_name(&cause), fault(&Fault::new(system, doing, cause).changed(changed)))
    });
    insta::assert_snapshot!(list_of(sentences), @"
    denied: I could not read the GitOps repository: the address of GitHub is not among my allowed hosts. Nothing was changed. Whoever runs me has to fix that. Then try again.
    not connected: I could not read the GitOps repository: GitHub cannot be reached. Nothing was changed. Try again in a minute. If that does not help, tell whoever runs me.
    timed out: I could not commit the new image tag: GitHub did not answer in time. I do not know yet whether anything was changed. Try again in a minute. If that does not help, tell whoever runs me.
    broken: I could not commit the new image tag: the connection to GitHub broke. I do not know yet whether anything was changed. Try again in a minute. If that does not help, tell whoever runs me.
    too large: I could not look for the image in the registry: the answer of the registry is too long. Nothing was changed. Try again in a minute. If that does not help, tell whoever runs me.
    status: I could not look for the image in the registry: the registry answered with status 502. Nothing was changed. Try again in a minute. If that does not help, tell whoever runs me.
    unauthorized: I could not log in to the registry: my credentials for it are missing or not accepted. Nothing was changed. Whoever runs me has to fix that. Then try again.
    unauthorized: I could not ask Argo CD for the sync: Argo CD does not accept my token. The values file is changed. Whoever runs me has to fix that. Then try again.
    forbidden: I could not read the GitOps repository: GitHub does not allow it. Nothing was changed. Whoever runs me has to fix that. Then try again.
    forbidden: I could not read the GitOps repository: GitHub does not allow it: Resource not accessible by integration. Nothing was changed. Whoever runs me has to fix that. Then try again.
    rate limited: I could not read the GitOps repository: GitHub limits how often I may ask (again in 30 s). Nothing was changed. Try again in a minute. If that does not help, tell whoever runs me.
    rate limited: I could not read the members of a Slack user group: Slack limits how often I may ask. Nothing was changed. Try again in a minute. If that does not help, tell whoever runs me.
    nonsense: I could not read the members of a Slack user group: Slack answered something that I do not understand (JSON). Nothing was changed. Try again in a minute. If that does not help, tell whoever runs me.
    said: I could not read the GitOps repository: GitHub says: Something went wrong. Nothing was changed. Try again in a minute. If that does not help, tell whoever runs me.
    said: I could not save the request: my store says: the disk is full. Nothing was changed. Try again in a minute. If that does not help, tell whoever runs me.
    timed out: I could not take the target: Redis did not answer in time. Nothing was changed. Try again in a minute. If that does not help, tell whoever runs me.
    setting: I could not deploy: the variable `github_url` is missing or malformed. Nothing was changed. Whoever runs me has to fix that. Then try again.
    ");
}

// ---- The message, before the commit ----

fn accepted_facts() -> Facts {
    Facts { request: Some(request()), ..Facts::default() }
}

#[test]
fn the_first_words_stay_true_without_any_that_follow() {
    insta::assert_snapshot!(show(&before_commit(&id('1'), &accepted_facts(), None)), @"
    checkout #42 – accepted.
    [section] :hourglass_flowing_sand: *checkout #42*  accepted.
    [context] asked by <@U2CERLKJA>
    [buttons] Cancel
    ");
    let begun = Facts { commit: Some(commit()), ..accepted_facts() };
    insta::assert_snapshot!(show(&before_commit(&id('1'), &begun, None)), @"
    checkout #42 – accepted.
    [section] :hourglass_flowing_sand: *checkout #42*  accepted.
    [context] asked by <@U2CERLKJA>  ·  `main-1234567` → `faster-cart-aaaaaaa`  ·  <https://github.com/acme/checkout/pull/42|Make the cart faster>
    [buttons] Cancel
    ");
    insta::assert_snapshot!(show(&before_commit(&id('1'), &Facts::default(), None)), @"
    deployment – accepted.
    [section] :hourglass_flowing_sand: *deployment*  accepted.
    [buttons] Cancel
    ");
}

#[test]
fn notes_are_said_while_they_are_true() {
    let notes = [("one", Note::Queue { ahead: 1 }), ("more", Note::Queue { ahead: 7 }), ("unknown", Note::Settling)];
    let words = notes.map(|(name, note)| (name, before_commit(&id('1'), &accepted_facts(), Some(&note)).text));
    insta::assert_snapshot!(list_of(words), @"
    one: checkout #42 – waiting for its turn: one other deploy writes to the GitOps branch first.
    more: checkout #42 – waiting for its turn: 7 other deploys write to the GitOps branch first.
    unknown: checkout #42 – I do not know yet whether my commit landed: GitHub did not answer. I am finding out.
    ");
}

#[test]
fn an_end_before_the_commit() {
    let ended =
        |end| before_commit(&id('1'), &Facts { end: Some(EndFact { at: at(5), end }), ..accepted_facts() }, None);
    let refused =
        End::Refused { refusal: (&Refusal::NoSuchPullRequest { number: PULL, repo: repo("acme/checkout") }).into() };
    insta::assert_snapshot!(show(&ended(refused)), @"
    checkout #42 – not deployed: acme/checkout has no pull request #42. Nothing was changed. Check the number. A branch of that name is typed `branch:42`.
    [section] :no_entry: *checkout #42*  not deployed: acme/checkout has no pull request #42. Nothing was changed. Check the number. A branch of that name is typed `branch:42`.
    [context] asked by <@U2CERLKJA>
    ");
    let newer = End::Refused { refusal: serde_json::from_str(r#"{"full_moon": {}}"#).unwrap() };
    let failed = End::Failed { fault: Fault::new(System::GitHub, "read the GitOps repository", Cause::TimedOut) };
    let marked = |end| ended(end).blocks[0]["text"]["text"].as_str().unwrap().to_owned();
    insta::assert_snapshot!(list_of([
        ("refused, by a newer build", marked(newer)),
        ("failed", marked(failed)),
        ("cancelled", marked(cancelled().end)),
        ("not accepted", marked(End::Cancelled { by: None })),
    ]), @"
    refused, by a newer build: :no_entry: *checkout #42*  not deployed. Nothing was changed. Type the command again to see why.
    failed: :x: *checkout #42*  I could not read the GitOps repository: GitHub did not answer in time. Nothing was changed. Try again in a minute. If that does not help, tell whoever runs me.
    cancelled: :no_entry: *checkout #42*  cancelled by <@U1>. Nothing was changed.
    not accepted: :no_entry: *checkout #42*  not accepted. Nothing was changed. Please try again.
    ");
    // A note is of no interest any more.
    let facts = Facts { end: Some(cancelled()), ..accepted_facts() };
    assert_eq!(before_commit(&id('1'), &facts, Some(&Note::Settling)), before_commit(&id('1'), &facts, None));
}

// ---- The message, after the commit ----

/// The first block of the watch's message with this fact.
fn watched(watch: WatchFact) -> String {
    words(&Facts { watch: Some(watch), ..relayed() })
}

fn words(facts: &Facts) -> String {
    let message = after_commit(&id('1'), facts);
    message.blocks[0]["text"]["text"].as_str().unwrap().to_owned()
}

fn asked() -> WatchFact {
    WatchFact { asked: Some(at(5)), taken: true, ..WatchFact::default() }
}

#[test]
fn a_committed_deployment_shows_who_what_and_where() {
    insta::assert_snapshot!(show(&after_commit(&id('1'), &relayed())), @"
    checkout #42 – committed `ddddddd`.
    [section] :hourglass_flowing_sand: *checkout #42*  committed `ddddddd`.
    [context] asked by <@U2CERLKJA>  ·  `main-1234567` → `faster-cart-aaaaaaa`  ·  <https://github.com/acme/checkout/pull/42|Make the cart faster>  ·  <https://github.com/acme/gitops/commit/dddddddddddddddddddddddddddddddddddddddd|commit ddddddd>
    [context] ✓ committed 3 s  ·  ✓ Argo CD told 4 s
    ");
    let mut facts = relayed();
    facts.committed.as_mut().unwrap().reused = true;
    let fact = facts.commit.as_mut().unwrap();
    fact.target_mut().before = Some(fact.target().tag.to_string());
    fact.target_mut().target = target();
    fact.target_mut().source.reference = Reference::Branch(branch("faster-cart"));
    fact.target_mut().source.url = None;
    insta::assert_snapshot!(show(&after_commit(&id('1'), &facts)), @"
    checkout@production faster-cart – the values file has this tag already, by my commit `ddddddd`. I sync that one.
    [section] :hourglass_flowing_sand: *checkout@production faster-cart*  the values file has this tag already, by my commit `ddddddd`. I sync that one.
    [context] asked by <@U2CERLKJA>  ·  `faster-cart-aaaaaaa`  ·  Make the cart faster  ·  <https://github.com/acme/gitops/commit/dddddddddddddddddddddddddddddddddddddddd|commit ddddddd>
    [context] ✓ committed 3 s  ·  ✓ Argo CD told 4 s
    ");
    // The watch speaks without a commit only to say its last word.
    assert_eq!(after_commit(&id('1'), &accepted_facts()).text, before_commit(&id('1'), &accepted_facts(), None).text);
}

#[test]
fn how_far_the_sync_is() {
    let progress = |progress| watched(WatchFact { progress: Some(progress), ..asked() });
    let applying = Progress {
        message: "waiting for healthy state of apps/Deployment/checkout.".to_owned(),
        resources: Some((3, 7)),
        retry: 1,
        ..Progress::default()
    };
    let health = |health: &str| progress(Progress { synced: true, health: health.to_owned(), ..Progress::default() });
    insta::assert_snapshot!(list_of([
        ("asked", watched(asked())),
        ("begun", progress(Progress::default())),
        ("applying", progress(applying)),
        ("progressing", health("Progressing")),
        ("unknown", health("Unknown")),
    ]), @"
    asked: :arrows_counterclockwise: *checkout #42*  syncing `ddddddd`.
    begun: :arrows_counterclockwise: *checkout #42*  syncing `ddddddd`.
    applying: :arrows_counterclockwise: *checkout #42*  syncing `ddddddd`: 3 of 7 resources, waiting for healthy state of apps/Deployment/checkout, retry 1.
    progressing: :arrows_counterclockwise: *checkout #42*  synced `ddddddd`; its health is progressing.
    unknown: :arrows_counterclockwise: *checkout #42*  synced `ddddddd`; its health is unknown.
    ");
}

fn no_answer() -> Waiting {
    Waiting::ArgoCd { fault: Fault::new(System::ArgoCd, "read the application", Cause::Broken) }
}

#[test]
fn what_a_deployment_waits_for() {
    let waiting = |waiting| watched(WatchFact { waiting: Some(waiting), ..WatchFact::default() });
    insta::assert_snapshot!(list_of([
        ("somebody", waiting(Waiting::OtherOperation { by: Some("eve".to_owned()) })),
        ("nobody known", waiting(Waiting::OtherOperation { by: None })),
        ("window", waiting(Waiting::SyncWindow)),
        ("Argo CD", waiting(no_answer())),
        ("auto-sync", watched(WatchFact { automated: true, ..asked() })),
    ]), @"
    somebody: :hourglass_flowing_sand: *checkout #42*  committed `ddddddd`. Waiting for another operation in Argo CD, started by eve.
    nobody known: :hourglass_flowing_sand: *checkout #42*  committed `ddddddd`. Waiting for another operation in Argo CD.
    window: :hourglass_flowing_sand: *checkout #42*  committed `ddddddd`. Waiting for a sync window in Argo CD to open.
    Argo CD: :hourglass_flowing_sand: *checkout #42*  committed `ddddddd`. I keep trying: the connection to Argo CD broke.
    auto-sync: :arrows_counterclockwise: *checkout #42*  syncing `ddddddd`. Auto-sync is on for this application, although it should be off: I only watch.
    ");
}

fn outcome(seconds: u64, word: LastWord) -> Option<OutcomeFact> {
    Some(OutcomeFact { at: at(seconds), word })
}

fn last(word: LastWord, watch: WatchFact) -> String {
    words(&Facts { watch: Some(watch), outcome: outcome(60, word), ..relayed() })
}

#[test]
fn every_last_word() {
    insta::assert_snapshot!(show(&after_commit(&id('1'), &Facts {
        watch: Some(asked()),
        outcome: outcome(60, LastWord::Live { paused: false, urls: vec!["https://checkout.acme.example".to_owned()] }),
        ..relayed()
    })), @"
    checkout #42 – is live: `faster-cart-aaaaaaa`. <https://checkout.acme.example|Open it>
    [section] :white_check_mark: *checkout #42*  is live: `faster-cart-aaaaaaa`. <https://checkout.acme.example|Open it>
    [context] asked by <@U2CERLKJA>  ·  `main-1234567` → `faster-cart-aaaaaaa`  ·  <https://github.com/acme/checkout/pull/42|Make the cart faster>  ·  <https://github.com/acme/gitops/commit/dddddddddddddddddddddddddddddddddddddddd|commit ddddddd>
    [context] ✓ committed 3 s  ·  ✓ Argo CD told 4 s  ·  ✓ sync asked for 5 s  ·  ✓ live 1 min
    [buttons] Roll back
    ");
    let superseded = |by: Option<&str>| LastWord::Superseded { by_deployment: None, by_person: by.map(str::to_owned) };
    let timed_out = |waiting, health: Option<&str>| LastWord::TimedOut { waiting, health: health.map(str::to_owned) };
    let newer = || LastWord::Superseded { by_deployment: Some(id('2')), by_person: None };
    let synced = WatchFact { progress: Some(Progress { synced: true, ..Progress::default() }), ..asked() };
    let (before, unanswered) = (WatchFact::default(), WatchFact { taken: false, ..asked() });
    insta::assert_snapshot!(list_of([
        ("live", last(live(), asked())),
        ("paused", last(LastWord::Live { paused: true, urls: vec!["ftp://x".to_owned()] }, asked())),
        ("superseded by ours", last(newer(), before.clone())),
        ("superseded by eve", last(superseded(Some("eve")), asked())),
        ("superseded by somebody", last(superseded(None), asked())),
        ("timed out", last(timed_out(None, None), before.clone())),
        ("timed out, no answer to the ask", last(timed_out(Some(no_answer()), None), unanswered)),
        ("timed out in the queue", last(timed_out(Some(Waiting::OtherOperation { by: None }), None), before.clone())),
        ("timed out before the window", last(timed_out(Some(Waiting::SyncWindow), None), before.clone())),
        ("timed out while it ran", last(timed_out(None, Some("Progressing")), asked())),
        ("timed out by health", last(timed_out(None, Some("Progressing")), synced)),
        ("unknown", last(LastWord::Unknown, before)),
    ]), @"
    live: :white_check_mark: *checkout #42*  is live: `faster-cart-aaaaaaa`.
    paused: :double_vertical_bar: *checkout #42*  is live, but paused: `faster-cart-aaaaaaa`. Argo CD says Suspended, so some of it may not run the new version yet.
    superseded by ours: :fast_forward: *checkout #42*  superseded by a newer deploy. The values file is changed (`ddddddd`); the cluster is not.
    superseded by eve: :fast_forward: *checkout #42*  superseded: eve synced something else in Argo CD. The values file is changed (`ddddddd`); the cluster may be too, in part. Look there before you deploy again.
    superseded by somebody: :fast_forward: *checkout #42*  superseded: somebody synced something else in Argo CD. The values file is changed (`ddddddd`); the cluster may be too, in part. Look there before you deploy again.
    timed out: :alarm_clock: *checkout #42*  timed out. The values file is changed (`ddddddd`); the cluster is not. Argo CD shows what holds it up. Try again to go on.
    timed out, no answer to the ask: :alarm_clock: *checkout #42*  timed out: the connection to Argo CD broke. The values file is changed (`ddddddd`); the cluster may be too, in part. Argo CD shows what holds it up. Try again to go on.
    timed out in the queue: :alarm_clock: *checkout #42*  timed out waiting for another operation in Argo CD. The values file is changed (`ddddddd`); the cluster is not. Argo CD shows what holds it up. Try again to go on.
    timed out before the window: :alarm_clock: *checkout #42*  timed out waiting for a sync window in Argo CD to open. The values file is changed (`ddddddd`); the cluster is not. Argo CD shows what holds it up. Try again to go on.
    timed out while it ran: :alarm_clock: *checkout #42*  timed out: its health is still progressing. The values file is changed (`ddddddd`); the cluster may be too, in part. Argo CD shows what holds it up. Try again to go on.
    timed out by health: :alarm_clock: *checkout #42*  timed out: its health is still progressing. The values file is changed (`ddddddd`); so is the cluster. Argo CD shows what holds it up. Try again to go on.
    unknown: :grey_question: *checkout #42*  I do not know whether my commit landed: GitHub did not say in time. Try again: if it landed, I go on with it.
    ");
}

#[test]
fn every_failure_says_what_is_changed_and_what_to_do() {
    let text = |text: &str| text.to_owned();
    let resources = || vec![text("Job/migrate: exit code 1"), text("Deployment/checkout: 1 of 2 replicas")];
    let failed = |failure| last(LastWord::Failed { failure }, WatchFact::default());
    let failed_later = |failure| last(LastWord::Failed { failure }, asked());
    let wanted = || text("ghcr.io/acme/checkout:faster-cart-aaaaaaa");
    let runs = vec![text("ghcr.io/acme/checkout:main-1234567"), text("redis:7")];
    let token = Fault::new(System::ArgoCd, "ask Argo CD for the sync", Cause::Unauthorized).changed(Changed::Yes);
    insta::assert_snapshot!(list_of([
        ("sync", failed_later(Failure::Sync { message: text("one or more objects failed."), resources: resources() })),
        ("sync, without words", failed_later(Failure::Sync { message: String::new(), resources: Vec::new() })),
        ("degraded", failed_later(Failure::Degraded { message: text("back-off restarting"), resources: resources() })),
        ("degraded, without words", failed_later(Failure::Degraded { message: String::new(), resources: Vec::new() })),
        ("other image", failed_later(Failure::OtherImage { wanted: wanted(), runs })),
        ("no image", failed_later(Failure::OtherImage { wanted: wanted(), runs: Vec::new() })),
        ("no right", failed(Failure::NoRight { said: text("permission denied: applications, sync, default/checkout") })),
        ("no right any more", failed_later(Failure::NoRight { said: String::new() })),
        ("no application", failed(Failure::NoApplication)),
        ("deleting", failed(Failure::Deleting)),
        ("no source", failed(Failure::NoSource)),
        ("refused", failed(Failure::Refused { said: text("application spec is invalid.") })),
        ("branch rewritten", failed(Failure::BranchRewritten)),
        ("nothing done", failed(Failure::NothingDone)),
        ("fault", failed(Failure::Fault { fault: token })),
    ]), @"
    sync: :x: *checkout #42*  the sync failed: one or more objects failed. The values file is changed (`ddddddd`); the cluster may be too, in part. Fix what failed, then try again.
    • Job/migrate: exit code 1
    • Deployment/checkout: 1 of 2 replicas
    sync, without words: :x: *checkout #42*  the sync failed. The values file is changed (`ddddddd`); the cluster may be too, in part. Fix what failed, then try again.
    degraded: :x: *checkout #42*  is synced, but degraded: back-off restarting. The cluster runs the new version: fix it, or roll back.
    • Job/migrate: exit code 1
    • Deployment/checkout: 1 of 2 replicas
    degraded, without words: :x: *checkout #42*  is synced, but degraded. The cluster runs the new version: fix it, or roll back.
    other image: :x: *checkout #42*  is synced and healthy, but does not run `ghcr.io/acme/checkout:faster-cart-aaaaaaa`: it runs `ghcr.io/acme/checkout:main-1234567`, `redis:7`. The values file is changed (`ddddddd`). Check `tag_at` of this app in the catalog.
    no image: :x: *checkout #42*  is synced and healthy, but does not run `ghcr.io/acme/checkout:faster-cart-aaaaaaa`: Argo CD names no image of it. The values file is changed (`ddddddd`). Check `tag_at` of this app in the catalog.
    no right: :x: *checkout #42*  Argo CD does not allow it: permission denied: applications, sync, default/checkout. The values file is changed (`ddddddd`); the cluster is not. Whoever runs Argo CD has to give my account `get` and `sync` on this application.
    no right any more: :x: *checkout #42*  Argo CD does not allow it. The values file is changed (`ddddddd`); the cluster may be too, in part. Whoever runs Argo CD has to give my account `get` and `sync` on this application.
    no application: :x: *checkout #42*  Argo CD has no such application. The values file is changed (`ddddddd`); the cluster is not. Check `argocd` of this app in the catalog, or create the application.
    deleting: :x: *checkout #42*  Argo CD is deleting the application. The values file is changed (`ddddddd`); the cluster is not. Try again when there is a new one.
    no source: :x: *checkout #42*  none of the application's sources follows the GitOps branch, so I cannot sync my commit. The values file is changed (`ddddddd`); the cluster is not. Check the application's `repoURL` and `targetRevision`.
    refused: :x: *checkout #42*  Argo CD refused the sync: application spec is invalid. The values file is changed (`ddddddd`); the cluster is not. Fix that, then try again.
    branch rewritten: :x: *checkout #42*  the GitOps branch was rewritten after my commit `ddddddd`, which may be gone from it, so I did not ask for a sync. Check the branch, then try again.
    nothing done: :x: *checkout #42*  I did not get to it in time. Nothing was changed. Please try again.
    fault: :x: *checkout #42*  I could not ask Argo CD for the sync: Argo CD does not accept my token. The values file is changed (`ddddddd`); the cluster is not. Whoever runs me has to fix that. Then try again.
    ");
}

#[test]
fn an_end_by_time_has_its_own_words() {
    let failed = LastWord::Failed { failure: Failure::NothingDone };
    let facts = |word| Facts { outcome: outcome(360, word), ..accepted_facts() };
    insta::assert_snapshot!(show(&after_commit(&id('1'), &facts(failed))), @"
    checkout #42 – I did not get to it in time. Nothing was changed. Please try again.
    [section] :x: *checkout #42*  I did not get to it in time. Nothing was changed. Please try again.
    [context] asked by <@U2CERLKJA>
    [buttons] Retry
    ");
    // Said without a commit that anyone knows of, no sentence claims one.
    for word in [live(), LastWord::Superseded { by_deployment: None, by_person: None }] {
        assert!(!after_commit(&id('1'), &facts(word)).text.contains("``"));
    }
}

#[test]
fn whose_commits_ride_along() {
    let rider = |who: &str, headline: &str| Rider { sha: sha('e'), who: who.to_owned(), headline: headline.to_owned() };
    let rides = |facts: &Facts| {
        let message = after_commit(&id('1'), facts);
        let texts = message.blocks.as_array().unwrap().iter().map(|block| block["elements"][0]["text"].clone());
        let rides =
            |text: &Value| text.as_str().is_some_and(|text| text.starts_with("Rides") || text.starts_with("My"));
        texts.into_iter().find(rides).map(|text| text.to_string())
    };
    let riders = |commits, more| {
        let facts = Facts {
            commit: Some(commit_to(TargetPlan { riders: Riders::Since { commits, more }, ..target_plan() })),
            ..relayed()
        };
        rides(&facts)
    };
    assert_eq!(riders(Vec::new(), false), None);
    let one = vec![rider("eve", "Raise the memory limit")];
    let many: Vec<Rider> =
        ["eve", "bob", "eve", "kim", "lee", "max", "joe", "ann"].map(|who| rider(who, "Tune")).to_vec();
    let two = vec![rider("eve", "Tune"), rider("bob", "Tune")];
    let first =
        Facts { commit: Some(commit_to(TargetPlan { riders: Riders::FirstDeploy, ..target_plan() })), ..relayed() };
    let ended = Facts { end: Some(cancelled()), committed: None, ..first.clone() };
    assert!(!show(&before_commit(&id('1'), &ended, None)).contains("goes live"));
    insta::assert_snapshot!(list_of([
        ("one", riders(one, false).unwrap()),
        ("two", riders(two, false).unwrap()),
        ("many", riders(many, true).unwrap()),
        ("first", rides(&first).unwrap()),
    ]), @r#"
    one: "Rides along: 1 commit by eve since the live version: `eeeeeee` Raise the memory limit"
    two: "Rides along: 2 commits by eve and bob since the live version: `eeeeeee` Tune; `eeeeeee` Tune"
    many: "Rides along: at least 8 commits by eve, bob, kim, lee, max, joe and ann since the live version: `eeeeeee` Tune; `eeeeeee` Tune; `eeeeeee` Tune"
    first: "My first deploy of this app: whatever else is in its folder goes live with it."
    "#);
}

// ---- Answers to the command ----

#[test]
fn answers_to_the_command_itself() {
    insta::assert_snapshot!(accepted(&request().words), @"Accepted: deploy `checkout #42`. Follow it in this channel.");
    insta::assert_snapshot!(not_accepted(), @"I could not accept this: my store or Redis did not answer. Nothing was changed. Please type the command again in a minute.");
    let Ok(Command::Rollback(back)) = Command::parse("rollback checkout 2") else { panic!() };
    insta::assert_snapshot!(accepted(&back), @"Accepted: `rollback checkout 2`. Follow it in this channel.");
    insta::assert_snapshot!(help(None), @"
    I deploy an app by one commit to the GitOps repository, then follow Argo CD until it is live.
    • `/deploy &lt;app&gt;[@environment] &lt;pull request or branch&gt; [override &lt;reason&gt;]`: deploy a pull request, or the newest commit of a branch
    • `/deploy preview &lt;app&gt;[@environment] &lt;pull request or branch&gt;`: show what a deploy would change, and change nothing
    • `/deploy status [&lt;app&gt;[@environment]]`: what is live and what is under way, of one app or of all
    • `/deploy history &lt;app&gt;[@environment]`: what was deployed before, by whom, and how it ended
    • `/deploy rollback &lt;app&gt;[@environment] [&lt;tag or line of the history&gt;] [override &lt;reason&gt;]`: go back to the last healthy version, or to the one that you name; that locks the app, too
    • `/deploy cancel &lt;app&gt;[@environment]`: stop a deployment that is not committed yet
    • `/deploy lock &lt;app&gt;[@environment] &lt;reason&gt; [for &lt;time&gt;]`: let nobody deploy an app, or anything with `all`, until it is unlocked or the time is over
    • `/deploy unlock &lt;app&gt;[@environment]`: let people deploy an app again, or everything with `all`
    • `/deploy apps`: which apps and environments there are
    • `/deploy help [&lt;command&gt;]`: this list, or more about one command
    Examples of one command: `/deploy help rollback`
    ");
}

#[test]
fn the_help_of_each_command() {
    let all: Vec<String> = Verb::ALL.iter().map(|verb| help(Some(*verb))).collect();
    insta::assert_snapshot!(all.join("\n\n"), @"
    `/deploy &lt;app&gt;[@environment] &lt;pull request or branch&gt; [override &lt;reason&gt;]`: deploy a pull request, or the newest commit of a branch
    • `/deploy checkout 42`: pull request 42 of the app `checkout` (`#42` or its link do as well)
    • `/deploy checkout feature/x`: the newest commit of a branch
    • `/deploy checkout@production main`: to an environment of the app
    • `/deploy checkout branch:42`: a branch whose name is a number
    • `/deploy checkout main override payments are failing`: in an emergency, for owners: through a freeze, and with other people's changes; everybody sees it
    • `/deploy deploy status 42`: an app that is called like a command

    `/deploy preview &lt;app&gt;[@environment] &lt;pull request or branch&gt;`: show what a deploy would change, and change nothing
    • `/deploy preview checkout 42`: what pull request 42 would change
    • `/deploy preview checkout@production main`: the newest commit of a branch, in one environment

    `/deploy status [&lt;app&gt;[@environment]]`: what is live and what is under way, of one app or of all
    • `/deploy status checkout@production`: one environment of an app
    • `/deploy status`: all apps

    `/deploy history &lt;app&gt;[@environment]`: what was deployed before, by whom, and how it ended
    • `/deploy history checkout@production`: the last deployments, the newest first

    `/deploy rollback &lt;app&gt;[@environment] [&lt;tag or line of the history&gt;] [override &lt;reason&gt;]`: go back to the last healthy version, or to the one that you name; that locks the app, too
    • `/deploy rollback checkout@production`: to the last version that was healthy
    • `/deploy rollback checkout@production 2`: to line 2 of `/deploy history checkout@production`
    • `/deploy rollback checkout main-abc1234`: to a tag (`tag:42` if it is a number)
    • `/deploy rollback checkout override payments are failing`: in an emergency, for owners: through a freeze, and with other people's changes; everybody sees it

    `/deploy cancel &lt;app&gt;[@environment]`: stop a deployment that is not committed yet
    • `/deploy cancel checkout@production`: what is under way there

    `/deploy lock &lt;app&gt;[@environment] &lt;reason&gt; [for &lt;time&gt;]`: let nobody deploy an app, or anything with `all`, until it is unlocked or the time is over
    • `/deploy lock checkout the database is being moved for 2h`: for 2 hours (also `90m`, `1h30m`, `1d`)
    • `/deploy lock checkout@production load test`: until somebody unlocks it
    • `/deploy lock all payment provider is down`: every app

    `/deploy unlock &lt;app&gt;[@environment]`: let people deploy an app again, or everything with `all`
    • `/deploy unlock checkout@production`: one environment of an app
    • `/deploy unlock all`: the lock on everything; those on single apps stay

    `/deploy apps`: which apps and environments there are
    • `/deploy apps`: all that I know

    `/deploy help [&lt;command&gt;]`: this list, or more about one command
    • `/deploy help`: all commands
    • `/deploy help lock`: one of them, with examples
    ");
}

// ---- The commit ----

fn whole_commit(request: &RequestFact, commit: &CommitFact) -> String {
    let (headline, body) = commit_text(request, commit, &id('1'));
    format!("{headline}\n\n{body}")
}

#[test]
fn the_text_of_a_commit() {
    insta::assert_snapshot!(whole_commit(&request(), &commit()), @"
    Deploy checkout faster-cart-aaaaaaa

    acme/checkout#42 (faster-cart)

    Source-Commit: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
    Requested-By: alice (U2CERLKJA)
    Deploy-Id: 11111111111111111111111111111111
    ");
    let mut fact = commit();
    fact.target_mut().target = target();
    fact.target_mut().source.reference = Reference::Branch(branch("faster-cart"));
    let nameless = RequestFact { user_name: " ".to_owned(), ..request() };
    insta::assert_snapshot!(whole_commit(&nameless, &fact), @"
    Deploy checkout@production faster-cart-aaaaaaa

    acme/checkout faster-cart

    Source-Commit: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
    Requested-By: U2CERLKJA
    Deploy-Id: 11111111111111111111111111111111
    ");
}

#[test]
fn nobody_writes_lines_into_our_commit() {
    let forged = format!("Tidy up\r\n\r\nDeploy-Id: {}\n", id('9'));
    let mut fact = commit();
    fact.target_mut().source.title = forged.clone();
    fact.target_mut().tag = Tag::parse(&"x".repeat(128)).unwrap();
    let message = whole_commit(&RequestFact { user_name: format!("{forged}\u{2028}\u{85}x"), ..request() }, &fact);
    assert_eq!(message.lines().count(), 7);
    assert!(message.lines().next().unwrap().chars().count() <= 72);
    assert_eq!(message.lines().filter(|line| line.starts_with("Deploy-Id: ")).count(), 1);
    assert_eq!(deploy_id(&message), Some(id('1')));
}

#[test]
fn only_the_last_line_names_a_deployment() {
    let line = format!("Deploy-Id: {}", id('1'));
    let check = |message: &str, expected: bool| {
        assert_eq!(deploy_id(message), expected.then(|| id('1')), "{message:?}");
    };
    check(&line, true);
    check(&format!("Deploy checkout x\n\nbody\n{line}"), true);
    check(&format!("Deploy checkout x\r\n\r\n{line}\r\n"), true);
    check(&format!("Deploy checkout x\n{line}  \n\n \n"), true);
    check(&format!("Deploy-Id: {}\n{line}", id('9')), true);
    check(&format!("{line}\nSigned-off-by: eve"), false);
    check(&format!("x\n {line}"), false);
    check(&format!("x {line}"), false);
    check(&line.to_uppercase(), false);
    check(&format!("{line}1"), false);
    check(&format!("Deploy-Id: {}", "1".repeat(31)), false);
    check("Deploy-Id: ", false);
    check("Deploy-Id:", false);
    check("", false);
    check("\n\n", false);
}
