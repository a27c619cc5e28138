//! Every sentence, as people read it. A change of one shows here.

mod announcements;
mod answers;
mod limits;
mod states;

use super::*;
use crate::application::Condition;
use crate::command::{DeployWords, Verb, What};
use crate::deployment::samples::{
    at, cancelled, commit, commit_to, id, live, path, place, relayed, request, sha, target_plan, user,
};
use crate::deployment::{
    ApplicationWatch, AsBefore, ChangesFact, CommitFact, Doubt, End, EndFact, Facts, Failure, Granted, LastWord,
    OutcomeFact, Progress, Proof, Reference, Remarks, RequestFact, Rider, Riders, TargetPlan, Waiting,
};
use crate::fault::{Cause, Changed, Fault, System};
use crate::image::{ImageName, Tag};
use crate::names::{
    AppName, BranchName, DeploymentId, EnvironmentName, GitHubLogin, PullRequestNumber, RepoName, SlackGroup, Target,
};
use crate::refusal::samples::every_refusal;
use crate::refusal::{NotAllowed, Refusal, Right};
use crate::time::Timestamp;
use crate::values::{EditRefusal, OddFile};
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

/// The call to the end, as slack-command makes it.
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
#[expect(clippy::too_many_lines, reason = "a table")]
fn refusal_name(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Syntax { .. } => "syntax",
        Refusal::UnknownApp { .. } => "unknown app",
        Refusal::UnknownEnvironment { .. } => "unknown environment",
        Refusal::NotAllowed { .. } => "not allowed",
        Refusal::NotReader => "not a reader",
        Refusal::OtherWorkspace => "other workspace",
        Refusal::BrokenCatalog { .. } => "broken catalog",
        Refusal::BrokenApp { .. } => "out of service",
        Refusal::NoCatalog { .. } => "no catalog",
        Refusal::OtherRepository { .. } => "other repository",
        Refusal::NoSuchPullRequest { .. } => "no such pull request",
        Refusal::PullRequestNotOpen { .. } => "pull request not open",
        Refusal::FromFork { .. } => "from a fork",
        Refusal::NoSuchBranch { .. } => "no such branch",
        Refusal::NothingNamed { .. } => "nothing of that name",
        Refusal::SeveralNamed { .. } => "several of that name",
        Refusal::NotInBranch { .. } => "not in the branch",
        Refusal::TagNotListed { .. } => "tag not listed",
        Refusal::ChannelNotListed { .. } => "channel not listed",
        Refusal::ChannelNotHere { .. } => "channel not here",
        Refusal::TagMoved { .. } => "tag moved",
        Refusal::NoSuchRepository { .. } => "no such repository",
        Refusal::NoGitOpsBranch { .. } => "no GitOps branch",
        Refusal::NoValidTag { .. } => "no valid tag",
        Refusal::RegistryNotNamed { .. } => "registry not named",
        Refusal::NoImage { .. } => "no image",
        Refusal::NoValuesFile { .. } => "no values file",
        Refusal::ImagesDiffer { .. } => "images differ",
        Refusal::NoDigest { .. } => "no digest",
        Refusal::ImageMoved { .. } => "image moved",
        Refusal::Edit { .. } => "edit",
        Refusal::AlreadyWritten { .. } => "already written",
        Refusal::Busy { .. } => "busy",
        Refusal::TooManyWaits { .. } => "too many waits",
        Refusal::BeforeNotLive { .. } => "the one before is not live",
        Refusal::ButtonTaken { .. } => "button taken",
        Refusal::ApplicationBusy { .. } => "application busy",
        Refusal::Locked { .. } => "locked",
        Refusal::BranchNotAllowed { .. } => "branch not allowed",
        Refusal::ChecksNotPassed { .. } => "checks not passed",
        Refusal::NotReviewed { .. } => "not reviewed",
        Refusal::NotLiveFirst { .. } => "not live first",
        Refusal::NeedsPullRequest { .. } => "needs a pull request",
        Refusal::ForeignChanges { .. } => "foreign changes",
        Refusal::ForeignFiles { .. } => "foreign files",
        Refusal::UncountedChanges { .. } => "uncounted changes",
        Refusal::NeedsApproval { .. } => "needs approval",
        Refusal::NamedChecks { .. } => "named checks",
        Refusal::StatusNotPassed { .. } => "status not passed",
        Refusal::NoNewestThere { .. } => "no newest commit",
        Refusal::GateRefused { .. } => "gate refused",
        Refusal::GateSilent { .. } => "gate silent",
        Refusal::GateNotSet { .. } => "gate not set",
        Refusal::Frozen { .. } => "frozen",
        Refusal::Closed { .. } => "closed",
        Refusal::NotOwner { .. } => "not an owner",
        Refusal::HeadMoved { .. } => "head moved",
        Refusal::VersionMoved { .. } => "version moved",
        Refusal::NoEarlierVersion { .. } => "no earlier version",
        Refusal::AlreadyLive { .. } => "already live",
        Refusal::UnknownVersion { .. } => "unknown version",
        Refusal::UnknownWritten { .. } => "unknown written",
        Refusal::WasRolledBack { .. } => "was rolled back",
        Refusal::TooManyTargets { .. } => "too many targets",
        Refusal::SeveralRepositories { .. } => "several repositories",
        Refusal::SameApplication { .. } => "same application",
        Refusal::Several { .. } => "several",
        Refusal::NothingToRollBack => "nothing to roll back",
        Refusal::NotAsApproved { .. } => "not as approved",
        Refusal::NotByItself { .. } => "not by itself",
        Refusal::OtherRefused { .. } => "other refused",
        Refusal::NoPromotion { .. } => "no promotion",
        Refusal::NothingToPromote { .. } => "nothing to promote",
        Refusal::NewerThere { .. } => "newer there",
        Refusal::OtherLive { .. } => "other live",
        Refusal::KeepsMoving { .. } => "keeps moving",
        Refusal::TooLate { .. } => "too late",
        Refusal::CatalogChanged => "catalog changed",
        Refusal::Hydrated { .. } => "hydrated",
        Refusal::NotFollowed { .. } => "not followed",
        Refusal::AutoSyncIsOn { .. } => "auto-sync is on",
        Refusal::NotSelected { .. } => "not selected",
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn every_refusal_says_why_and_what_to_do() {
    let all = every_refusal();
    let names: std::collections::BTreeSet<_> = all.iter().map(refusal_name).collect();
    assert_eq!(names.len(), 82, "one of each");
    for one in &all {
        let (why, what_to_do) = (sentence::problem(one), sentence::remedy(one));
        assert!(why.ends_with(['.', '?']) && what_to_do.len() > 10, "{one:?}");
        let sentence = refusal(one);
        assert!(sentence.ends_with(&format!("{why} {what_to_do}")), "{sentence}");
        assert!(sentence.ends_with(['.', '?', '…']), "{sentence}");
    }
    insta::assert_snapshot!(list_of(all.iter().map(|one| (refusal_name(one), refusal(one)))), @"
    syntax: I didn't understand that: the pull request or branch is missing after `checkout`. Type it like `/deploy checkout 42`, or see `/deploy help`.
    syntax: I didn't understand that: `stauts` is not a command. Did you mean `/deploy status checkout`? If not, see `/deploy help status`.
    syntax: I didn't understand that: the reason is missing after `checkout`. Type it like `/deploy lock checkout load test`, or see `/deploy help lock`.
    unknown app: not deployed: there is no app `chekout`. Did you mean `checkout`?
    unknown app: not deployed: there is no app `x`. The apps are `checkout`, `search`.
    unknown app: not deployed: there is no app `x`. Check the name.
    unknown app: not deployed: there is no app `x`, unless it is in `teams/payments.yaml`, which has a mistake. Check the name.
    unknown app: not deployed: there is no app `x`. The apps are `a`, `b`, `c`, `d`, `e`, `f`, `g`, `h`, `i`, `j`, …
    unknown environment: not deployed: `checkout` has no environment `prod`. Did you mean `production`?
    unknown environment: not deployed: `checkout` has no environment `moon`. It has `production`, `staging`.
    unknown environment: not deployed: `checkout` has several environments. Say which one, like `checkout@production`. It has `production`, `staging`.
    not allowed: not deployed: nobody is set up to deploy checkout@production yet. Ask whoever looks after the catalog to add your team in `deploy-bot.yaml`.
    not allowed: not deployed: checkout@production can't be deployed from this channel. Use one of the channels that `deploy-bot.yaml` lists for it.
    not allowed: not deployed: you aren't allowed to deploy checkout@production. Ask whoever looks after the catalog to add you in `deploy-bot.yaml`.
    not allowed: not deployed: checkout@production is for full members of the workspace, and you are a guest. Ask whoever looks after the catalog to add you in `deploy-bot.yaml`, by your user id.
    not a reader: not deployed: you aren't allowed to ask that. Ask whoever looks after the catalog to add you to `readers` in `deploy-bot.yaml`.
    other workspace: I work for another Slack workspace. Ask your Slack admins which bot deploys here.
    broken catalog: not deployed: `deploy-bot.yaml` has a mistake on line 7: `repo` is missing. Fix it in Git, then try again.
    broken catalog: not deployed: `deploy-bot.yaml` has a mistake: it has no apps. Fix it in Git, then try again.
    out of service: not deployed: `checkout` is out of service: `deploy-bot.yaml` has a mistake on line 7: `checkout` has no `repo`. Fix it in Git, then try again.
    out of service: not deployed: `checkout` is out of service: `deploy-bot.yaml` has a mistake on line 7. Fix it in Git, then try again.
    no catalog: not deployed: there is no `deploy-bot.yaml` on `main` of acme/gitops. Add it there, then try again.
    other repository: not deployed: that link is to acme/payments#42, but `checkout` is built from acme/checkout. Check the app and the link.
    no such pull request: not deployed: acme/checkout has no pull request #42. Check the number. If you mean a branch of that name, type `branch:42`.
    pull request not open: not deployed: pull request #42 is already merged. Deploy `main` instead.
    pull request not open: not deployed: pull request #42 is closed. Reopen it, or deploy `main`.
    pull request not open: not deployed: pull request #42 is already merged. Deploy a branch instead.
    from a fork: not deployed: pull request #42 comes from a fork, and CI builds no images for forks. Push its branch to the app's own repository and deploy that.
    no such branch: not deployed: acme/checkout has no branch `faster-cart`. Check the name. For a pull request, type its number.
    nothing of that name: not deployed: acme/checkout has no branch or tag `v9`. Check the name.
    nothing of that name: not deployed: acme/checkout has no commit `9f3c2ab`. Check the name.
    several of that name: not deployed: `v1.2.3` is a branch and a tag, and I don't guess which one you mean. Type `branch:v1.2.3` or `tag:v1.2.3`.
    not in the branch: not deployed: commit `aaaaaaa` isn't in `main`, and no open pull request of the repository ends with it. If it is in another branch, name that branch: `aaaaaaa of release/1`.
    not in the branch: not deployed: commit `aaaaaaa` isn't in the branch `release/1`. Check the commit and the branch.
    tag not listed: not deployed: checkout isn't deployed by Git tags. Ask whoever looks after the catalog to add it to `tags` in `deploy-bot.yaml`.
    tag not listed: not deployed: only the Git tags `v*` of checkout can be deployed, and this is `x1`. Ask whoever looks after the catalog to add it to `tags` in `deploy-bot.yaml`.
    channel not listed: not deployed: checkout has no channel `latest`. Deploy a branch, or ask whoever looks after the catalog to add it to `channels` in `deploy-bot.yaml`.
    channel not listed: not deployed: checkout has no channel `edge`. There is `latest`.
    channel not here: not deployed: nobody knows which commit `latest` is of, and the gates of checkout@production judge a commit. Deploy a branch, a pull request or a commit.
    channel not here: not deployed: `latest` moves, so I deploy it by its digest alone, and checkout@production has no place for a digest. Deploy a branch, or ask whoever looks after the catalog to add `digest_at` in `deploy-bot.yaml`.
    channel not here: not deployed: the image that `latest` is now was rolled back on checkout@production. Push a newer image, then try again.
    tag moved: not deployed: the Git tag `v1.2.3` was moved while I deployed it: it was commit `aaaaaaa` and is `bbbbbbb` now. Find out who moved it and why, then try again.
    no such repository: not deployed: I can't find the repository acme/checkout on GitHub. Check its name in `deploy-bot.yaml` (or the setting `gitops_repo`), and that my GitHub token may read it.
    no GitOps branch: not deployed: acme/gitops has no branch `main`. Ask whoever runs me to check the setting `gitops_branch`.
    no valid tag: not deployed: branch and commit make `-x-aaaaaaa`, which isn't a valid image tag. Rename the branch (a tag has at most 128 characters and starts with a letter, digit or `_`).
    registry not named: not deployed: I may not ask the registry `acme.azurecr.io` for `acme.azurecr.io/checkout`. Ask whoever runs me to set `registry2_url` to `https://acme.azurecr.io`, then try again.
    registry not named: not deployed: I may not ask the registry `acme.azurecr.io` for `acme.azurecr.io/checkout`. Ask whoever runs me: all four variables that could name it name another registry.
    no image: not deployed: there is no image `faster-cart-aaaaaaa` in `ghcr.io/acme/checkout` yet (commit `aaaaaaa`, <https://github.com/acme/checkout/commit/aaaaaaa/checks|see its checks>). Wait until CI has built it, then try again.
    no image: not deployed: there is no image `faster-cart-aaaaaaa` in `ghcr.io/acme/checkout` yet, nor one with more digits of the commit (commit `aaaaaaa`). Wait until CI has built it, then try again.
    images differ: not deployed: `ghcr.io/acme/checkout` has several tags of this commit, and they are not the same image: `faster-cart-aaaaaaaaaaaa` is `sha256:111111111111`, `faster-cart-aaaaaaa` is `sha256:222222222222`, `faster-cart-aaaaaaaa` has no digest. Find out who pushed which, delete the wrong one, or name one length in the catalog: `tag: '{branch}-{sha:12}'`.
    no digest: not deployed: the registry names no digest of `ghcr.io/acme/checkout:faster-cart-aaaaaaa`, so nobody could say which image checkout@production gets. Ask whoever runs the registry. Without `approvals` and `immutable` I would deploy it.
    image moved: not deployed: the image behind `faster-cart-aaaaaaa` has changed: it was `sha256:aaaaaaaaaaaa` and is `sha256:bbbbbbbbbbbb` now. Somebody pushed that tag again. Press *Deploy anyway* if you do mean the new image.
    image moved: not deployed: the image behind `faster-cart-aaaaaaa` has changed: it was `sha256:aaaaaaaaaaaa` and is `sha256:bbbbbbbbbbbb` now. So this would not bring back what ran. An owner can go ahead by adding `override` and the reason to the command.
    image moved: not deployed: the image behind `faster-cart-aaaaaaa` has changed: it was `sha256:aaaaaaaaaaaa` and is `sha256:bbbbbbbbbbbb` now. So this would not bring back what ran. An owner could go ahead, but checkout@production has no `owners` in `deploy-bot.yaml`.
    image moved: not deployed: the image behind `faster-cart-aaaaaaa` has changed: it was `sha256:aaaaaaaaaaaa` and is `sha256:bbbbbbbbbbbb` now. Its tags may not move (`immutable`). Find out who pushed it again, and deploy a new commit.
    image moved: not deployed: the image behind `faster-cart-aaaaaaa` has changed: it was `sha256:aaaaaaaaaaaa` and is `sha256:bbbbbbbbbbbb` now. A promote brings the very image that runs there. Deploy the new one there first, or set `digest_at` here.
    no values file: not deployed: there is no `checkout/values.yaml` in acme/gitops. Add it, or set `values` of this app in `deploy-bot.yaml` to the right file.
    edit: not deployed: `checkout/values.yaml` is too large for me to edit. Move the tag to a smaller file, and set `values` of this app in `deploy-bot.yaml` to that file.
    already written: not deployed: eve put `faster-cart-aaaaaaa` into Git by hand (`eeeeeee`), but didn't deploy it through me. Press *Deploy it* to roll it out now.
    already written: not deployed: somebody put `faster-cart-aaaaaaa` into Git by hand (`eeeeeee`), but didn't deploy it through me. Press *Deploy it* to roll it out now.
    busy: not deployed: checkout@production is busy with a deploy by <@U1> (<https://acme.slack.com/archives/C1/p1|see it>). Try again when it's done.
    button taken: not deployed: <@U2> already pressed that button (<https://acme.slack.com/archives/C1/p1|see it>). Follow that deploy.
    button taken: not deployed: somebody already pressed that button. Follow that deploy.
    busy: not deployed: checkout@production is busy with another deploy. Try again when it's done.
    too many waits: not deployed: you wait for 5 deploys of checkout@production already. End one of them with *Cancel* below its message.
    the one before is not live: not deployed: the deploy of checkout@production by <@U7> (<https://acme.slack.com/archives/C1/p1|see it>) that it waited for didn't go live. Look at that one first, then try again.
    application busy: not deployed: the deploy of checkout@production by <@U1> (<https://acme.slack.com/archives/C1/p1|see it>) in the same Argo CD application isn't done after 3 minutes. Try again when it's done.
    application busy: not deployed: the deploy of checkout@production in the same Argo CD application isn't done after 3 minutes. Try again when it's done.
    locked: not deployed: checkout@production is locked by <@U1> since <!date^1787301763^{date_short_pretty} {time}|2026-08-21 08:42 UTC> until <!date^1787305363^{date_short_pretty} {time}|2026-08-21 09:42 UTC>: Load test until noon. They or an owner can unlock it: `/deploy unlock checkout@production`.
    locked: not deployed: everything is locked by <@U1> since <!date^1787301763^{date_short_pretty} {time}|2026-08-21 08:42 UTC>. They or an owner can unlock it: `/deploy unlock all`.
    locked: not deployed: checkout@production is locked by <@U1> since <!date^1787301763^{date_short_pretty} {time}|2026-08-21 08:42 UTC>: Load test until noon. Press *Deploy anyway* to roll back all the same: everybody reads whose lock that is.
    branch not allowed: not deployed: only `main`, `release/*` can go to checkout@production, and this is `faster-cart`. Merge it first, or deploy it to another environment.
    branch not allowed: not deployed: only `main`, `release/*` can go to checkout@production, and this commit isn't in the default branch. If it is in another branch, name that branch: `/deploy checkout@production v1.2.3 of release/1`.
    checks not passed: not deployed: checkout@production needs the checks of commit `aaaaaaa` to pass, but there are none. Check that CI reports on this commit, and that my GitHub token may read checks.
    checks not passed: not deployed: checkout@production needs the checks of commit `aaaaaaa` to pass, but they are still running. Wait for them, then try again.
    checks not passed: not deployed: checkout@production needs the <https://github.com/acme/checkout/commit/aaaaaaa/checks|checks> of commit `aaaaaaa` to pass, but they failed. Fix them, then deploy the new commit.
    not live first: not deployed: `faster-cart-aaaaaaa` isn't live on staging for long enough: checkout@production takes it from <!date^1787303563^{date_short_pretty} {time}|2026-08-21 09:12 UTC>. Try again then. In an emergency, an owner can go ahead by adding `override` and the reason to the command.
    not live first: not deployed: checkout@production takes only what was live on staging first, and `main-89abcde` runs there, not `faster-cart-aaaaaaa`. Deploy it to staging first, then type `/deploy promote checkout staging production`.
    not live first: not deployed: checkout@production takes only what was live on staging first, and nothing that I deployed runs there. Deploy it to staging first, then type `/deploy promote checkout staging production`.
    not reviewed: not deployed: checkout@production needs 1 approving review of commit `aaaaaaa`, and <https://github.com/acme/checkout/pull/42|pull request #42> has none. Ask somebody who can write to the repository, but isn't an author, to approve it there. Then try again.
    not reviewed: not deployed: checkout@production needs 2 approving reviews of commit `aaaaaaa`, and pull request #42 has 1. dave and erin approved another commit. frank asked for changes. Ask somebody who can write to the repository, but isn't an author, to approve it there. Then try again.
    needs a pull request: not deployed: checkout@production takes only reviewed pull requests, and `main` is a branch. Open a pull request, have it reviewed, and deploy it by its number, like `/deploy checkout@production 42`.
    needs a pull request: not deployed: checkout@production takes only reviewed pull requests, and this commit isn't the merge of one. Open a pull request, have it reviewed, and deploy it by its number, like `/deploy checkout@production 42`.
    foreign changes: not deployed: this would also ship 2 config changes by bob and carol that aren't live yet, and checkout@production doesn't allow that. Check with them. An owner can go ahead by adding `override` and the reason to the command.
    foreign changes: not deployed: this would also ship at least 1 config change by bob that isn't live yet, and checkout@production doesn't allow that. Check with them. An owner could go ahead, but checkout@production has no `owners` in `deploy-bot.yaml`.
    foreign files: not deployed: `charts` in Git isn't as it was at the live version, I can't tell whether checkout@production reads that, and checkout@production doesn't allow other changes. Say with `watch` in `deploy-bot.yaml` what it reads. An owner can go ahead by adding `override` and the reason to the command.
    foreign files: not deployed: `base` and `charts` in Git aren't as they were at the live version, I can't tell whether checkout@production reads that, and checkout@production doesn't allow other changes. Say with `watch` in `deploy-bot.yaml` what it reads. An owner could go ahead, but checkout@production has no `owners` in `deploy-bot.yaml`.
    uncounted changes: not deployed: I can't tell whether other people's changes would go live with it (the live version is older than the 100 newest commits there, and I read no more), and checkout@production doesn't allow that. Look at the commits. An owner can go ahead by adding `override` and the reason to the command.
    uncounted changes: not deployed: I can't tell whether other people's changes would go live with it (I know of no version of checkout@production that reached Git through me), and checkout@production doesn't allow that. Look at the commits. An owner can go ahead by adding `override` and the reason to the command.
    uncounted changes: not deployed: I can't tell whether other people's changes would go live with it (I know of no version of checkout@production that reached Git through me), and checkout@production doesn't allow that. Look at the commits. An owner could go ahead, but checkout@production has no `owners` in `deploy-bot.yaml`.
    needs approval: not deployed yet: `faster-cart-aaaaaaa` needs 2 approvals by <!subteam^S1> or <@U2>. On GitHub approved by <@U9>; one approval has to be here. They can approve it until <!date^1787305363^{date_short_pretty} {time}|2026-08-21 09:42 UTC>.
    needs approval: not deployed yet: `faster-cart-aaaaaaa` needs 1 approval by <@U2>. It was approved, but since then the image behind the tag has changed: it was `sha256:aaaaaaaaaaaa` and is `sha256:bbbbbbbbbbbb` now. They can approve it until <!date^1787305363^{date_short_pretty} {time}|2026-08-21 09:42 UTC>.
    needs approval: not deployed yet: `faster-cart-aaaaaaa` needs 1 approval by <@U2>. It was approved, but since then the image behind the tag has changed: it was unknown and is `sha256:bbbbbbbbbbbb` now. They can approve it until <!date^1787305363^{date_short_pretty} {time}|2026-08-21 09:42 UTC>.
    needs approval: not deployed yet: `faster-cart-aaaaaaa` needs 1 approval by <@U2>. It was approved, but since then one more commit would go live with it. They can approve it until <!date^1787305363^{date_short_pretty} {time}|2026-08-21 09:42 UTC>.
    needs approval: not deployed yet: `faster-cart-aaaaaaa` needs 1 approval by <@U2>. It was approved, but since then 2 more commits would go live with it. They can approve it until <!date^1787305363^{date_short_pretty} {time}|2026-08-21 09:42 UTC>.
    needs approval: not deployed yet: `faster-cart-aaaaaaa` needs 1 approval by <@U2>. It was approved, but since then I can't tell any more what would go live with it. They can approve it until <!date^1787305363^{date_short_pretty} {time}|2026-08-21 09:42 UTC>.
    needs approval: not deployed yet: `faster-cart-aaaaaaa` needs 1 approval by <@U2>. It was approved, but since then `charts` and `environments` changed in Git. They can approve it until <!date^1787305363^{date_short_pretty} {time}|2026-08-21 09:42 UTC>.
    needs approval: not deployed yet: `faster-cart-aaaaaaa` needs 1 approval by <@U2>. It was approved, but since then it would replace `main-89abcde`, and no more `main-1234567`. They can approve it until <!date^1787305363^{date_short_pretty} {time}|2026-08-21 09:42 UTC>.
    needs approval: not deployed yet: `faster-cart-aaaaaaa` needs 1 approval by <@U2>. It was approved, but since then it would replace nothing, and no more `main-1234567`. They can approve it until <!date^1787305363^{date_short_pretty} {time}|2026-08-21 09:42 UTC>.
    frozen: not deployed: checkout@production is frozen until <!date^1787305363^{date_short_pretty} {time}|2026-08-21 09:42 UTC>. Try again then. In an emergency, an owner, <!subteam^S1> or <@U5> can go ahead by adding `override` and the reason to the command.
    frozen: not deployed: checkout@production is frozen until <!date^1787305363^{date_short_pretty} {time}|2026-08-21 09:42 UTC>. Try again then. In an emergency, an owner can go ahead by adding `override` and the reason to the command.
    frozen: not deployed: checkout@production is frozen until <!date^1787305363^{date_short_pretty} {time}|2026-08-21 09:42 UTC>: ∗Holidays∗ &lt;!here&gt;. Try again then.
    named checks: not deployed: checkout@production needs certain <https://github.com/acme/checkout/commit/aaaaaaa/checks|checks> of commit `aaaaaaa` to pass, but `build` failed, `test ('linux', *arm*)` is still running, `lint` was skipped and `scan` isn't there. Run them again, or fix them and deploy the new commit.
    named checks: not deployed: checkout@production needs certain checks of commit `aaaaaaa` to pass, but there are more than I can read. I read at most 100 checks of a commit, and only those that my GitHub token may see. `checks: required` needs no more than what they come to.
    status not passed: not deployed: checkout@production needs certain checks of the GitOps repository to pass on its newest commit that isn't mine (<https://github.com/acme/gitops/commit/bbbbbbb|bbbbbbb>), but `promoter/healthy` failed and `*lint* &lt;!here&gt;` isn't there. Look at that commit with its author: once it is mended there, try again.
    status not passed: not deployed: checkout@production needs certain checks of the GitOps repository to pass on its newest commit that isn't mine (<https://github.com/acme/gitops/commit/bbbbbbb|bbbbbbb>), but `promoter/healthy` is still running. Wait, then try again.
    status not passed: not deployed: checkout@production needs certain checks of the GitOps repository to pass on its newest commit that isn't mine (<https://github.com/acme/gitops/commit/bbbbbbb|bbbbbbb>), but `promoter/healthy` isn't there. Wait until it is reported. If it doesn't come, check its name in `deploy-bot.yaml`, and that my GitHub token may read checks and statuses there.
    status not passed: not deployed: checkout@production needs certain checks of the GitOps repository to pass on its newest commit that isn't mine (<https://github.com/acme/gitops/commit/bbbbbbb|bbbbbbb>), but there are more than I can read. I read at most 100 checks of a commit, and only those that my GitHub token may see.
    gate refused: not deployed: the gate service refuses checkout@production. Ask whoever runs that service, or try again when its reason has passed.
    gate refused: not deployed: the gate service refuses checkout@production: No ∗budget∗ &lt;!channel&gt; &lt;https://evil.example|left&gt;. Ask whoever runs that service, or try again when its reason has passed.
    gate silent: not deployed: checkout@production needs the gate service to allow it, and the service didn't answer: the gate service didn't answer in time. Try again in a minute. If it keeps failing, tell whoever runs that service.
    gate silent: not deployed: checkout@production needs the gate service to allow it, and the service didn't answer: the gate service gave an answer that I don't understand (status 302). Try again in a minute. If it keeps failing, tell whoever runs that service.
    gate not set: not deployed: checkout@production needs the gate service to allow it (`/gate`), and I don't know where that is. Ask whoever runs me to set the variables `gate_url` and `gate_key`, or take `ask` out of `deploy-bot.yaml`.
    no newest commit: not deployed: checkout@production needs certain checks of the GitOps repository to pass on its newest commit that isn't mine, but all of the newest commits there are deploys of mine, and I read no further. Push a commit there that has those checks, then try again.
    closed: not deployed: checkout@production is deployed at certain times only, and not now. The next time begins Thu 02:00 Europe/Berlin (<!date^1787305363^{date_short_pretty} {time}|2026-08-21 09:42 UTC>). Try again then. In an emergency, an owner can go ahead by adding `override` and the reason to the command.
    closed: not deployed: checkout@production is deployed at certain times only, and not now. Try again then.
    closed: not deployed: checkout@production is deployed at certain times only, and not now. Try again then. In an emergency, <!subteam^S1> or <@U5> can go ahead by adding `override` and the reason to the command.
    not an owner: not deployed: only an owner may lock everything. Ask one of the `owners` in `deploy-bot.yaml`.
    not an owner: not deployed: only an owner may lock everything. There are none yet: ask whoever looks after the catalog to add `owners` in `deploy-bot.yaml`.
    not an owner: not deployed: only an owner, <!subteam^S1> or <@U5> may override the freeze of checkout@production. Ask one of them.
    head moved: not deployed: the branch has moved from `aaaaaaa` to `bbbbbbb` since you saw that button. Type the command again for the new commit.
    version moved: not deployed: this button would roll back `main-1234567`, but `main-89abcde` has been deployed since. To roll *that* back: `/deploy rollback checkout@production`.
    no earlier version: not deployed: I know of no earlier healthy version of checkout@production. `/deploy history checkout@production` shows what I know. You can deploy any branch by its name.
    already live: not deployed: checkout@production already runs `faster-cart-aaaaaaa`, so there is nothing to go back to. `/deploy history checkout@production` lists the earlier versions.
    unknown version: not deployed: I don't know a version `v9` of checkout@production. I know `main-1234567`. `/deploy history checkout@production` lists them all.
    unknown version: not deployed: I don't know a version `9` of checkout@production. `/deploy history checkout@production` lists them all.
    unknown written: not deployed: Git says `by-hand`, which I never deployed to checkout@production, so I can't tell where it comes from. Deploy its pull request or branch instead, like `/deploy checkout@production main`.
    unknown written: not deployed: checkout@production has several versions in Git: `main-1234567` and `by-hand`. Say what to deploy, like `/deploy checkout@production main`.
    was rolled back: not deployed: `faster-cart-aaaaaaa` was rolled back from checkout@production by <@U1> (<!date^1787301763^{date_short_pretty} {time}|2026-08-21 08:42 UTC>). Deploy a newer version, or press the button if you do mean this one.
    too many targets: not deployed: that is 26 apps, and one request deploys at most 25. Deploy them in two or more requests.
    several repositories: not deployed: #42 is of one repository, and these apps are of acme/checkout and acme/search. Name a branch that all of them have, or deploy them one by one.
    same application: not deployed: checkout@production and search@production run in the same Argo CD application, which takes one sync at a time. Deploy one after the other.
    several: not deployed: one of these apps can't be deployed, so none of them is: they go in one commit.
    • *search@production*: `deploy-bot.yaml` kept changing while I worked. Try again in a minute. 
    Nothing was changed. Deploy the others without it, or all of them again.
    several: not deployed yet: one of these apps needs approval, and all go in one commit.
    • *search*: `faster-cart-aaaaaaa` needs 1 approval by <@U2>. It was approved, but since then one more commit would go live with it. 
    They can approve it until <!date^1787305363^{date_short_pretty} {time}|2026-08-21 09:42 UTC>.
    nothing to roll back: not deployed: each of these apps has another version by now. Roll back one by one those that need it.
    not as approved: not deployed: It was approved, but since then one more commit would go live with it. Type the command again, for all of them to be seen as they are now.
    locked: not deployed: checkout@production is locked by me, after the deploy by <@U1>, since <!date^1787301763^{date_short_pretty} {time}|2026-08-21 08:42 UTC>: rolled back by itself from main-7654321 to main-1234567. Look why it failed. Whoever may deploy there can unlock it: `/deploy unlock checkout@production`.
    needs approval: not deployed yet: `main-1234567` would also ship 3 config changes by bob and eve and what changed in `charts` that are not live yet. Somebody else who may deploy there, or an owner, has to confirm that with *Approve*. It was approved, but since then 2 more commits would go live with it. They can approve it until <!date^1787305363^{date_short_pretty} {time}|2026-08-21 09:42 UTC>.
    not by itself: not deployed: I didn't roll checkout@production back by myself, because `auto_rollback` is off by now. Look at it: `/deploy rollback checkout@production` takes it back.
    not by itself: not deployed: I didn't roll checkout@production back by myself, because another deploy has begun since. Look at it: `/deploy rollback checkout@production` takes it back.
    not by itself: not deployed: I didn't roll checkout@production back by myself, because the version before it isn't one that I may bring back without being asked. Look at it: `/deploy rollback checkout@production` takes it back.
    not by itself: not deployed: I didn't roll checkout@production back by myself, because other people's changes would go live with it. Look at it: `/deploy rollback checkout@production` takes it back.
    not by itself: not deployed: I didn't roll checkout@production back by myself, because it was locked meanwhile. Look at it: `/deploy rollback checkout@production` takes it back.
    other refused: not deployed: search@production couldn't be deployed, and both were to go in one commit. Deploy it alone, or all of them again.
    no promotion: not deployed: the catalog doesn't say from where checkout is promoted. Name both environments, like `/deploy promote checkout staging production`, or add `promotes_from` in `deploy-bot.yaml`.
    no promotion: not deployed: the catalog doesn't say from where checkout@production is promoted. Name both environments, like `/deploy promote checkout staging production`, or add `promotes_from` in `deploy-bot.yaml`.
    nothing to promote: not deployed: I know of no live version of checkout@production. Deploy it there first.
    nothing to promote: not deployed: `faster-cart-aaaaaaa` is live on checkout@production, and the registry named no digest of it: a promote needs the digest. Ask whoever runs the registry, then deploy it there again.
    newer there: not deployed: the last deploy to checkout@production, of `main-89abcde`, isn't live. The last one that was is of `faster-cart-aaaaaaa`. Press *Deploy anyway* if you do mean the one that was live.
    other live: not deployed: by now `faster-cart-aaaaaaa` runs on checkout@production, another version than when you saw that button. Type the command again for that version.
    keeps moving: not deployed: other commits came first, each of the 5 times that I tried to commit. Try again in a minute.
    too late: not deployed: I was too busy and gave up after 3 minutes. Try again. If it keeps failing, tell whoever runs me.
    catalog changed: not deployed: `deploy-bot.yaml` kept changing while I worked. Try again in a minute.
    hydrated: not deployed: the Argo CD application of checkout@production has a source hydrator, so it doesn't follow the branch that I commit to. Give the application a plain source, without `sourceHydrator`, then try again.
    not followed: not deployed: the Argo CD application of checkout@production doesn't follow the branch that I commit to. Give it a source with acme/gitops as `repoURL` and `main` as `targetRevision`, then try again.
    auto-sync is on: not deployed: auto-sync is on in Argo CD for checkout@production. Add `sync: auto` to it in `deploy-bot.yaml`, or switch auto-sync off, then try again.
    not selected: not deployed: Argo CD shows no application of checkout@production that has `app=checkout`. Check `selector`, `project` and the labels of the applications, and that my account may `get` them.
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
        EditRefusal::SeveralItems { .. } => "several items",
        EditRefusal::ChoosesItem { .. } => "chooses an item",
        EditRefusal::OtherImage { .. } => "other image",
        EditRefusal::Digest { .. } => "digest",
        EditRefusal::NotADigest { .. } => "not a digest",
        EditRefusal::NotPlain { .. } => "no plain file",
        EditRefusal::OnlyMerged { .. } => "only merged",
        EditRefusal::MergedOver { .. } => "merged over",
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
#[expect(clippy::too_many_lines, reason = "a table")]
fn every_refusal_of_the_edit_says_where_and_what_to_do() {
    let path = || "image.tag".to_owned();
    let (found, image) = (|| "ghcr.io/eve/checkout".to_owned(), || ImageName::parse("ghcr.io/acme/checkout").unwrap());
    let line = 3;
    let all = [
        EditRefusal::PathMissing { path: path(), exists: "image".to_owned(), line: Some(line) },
        EditRefusal::PathMissing { path: path(), exists: String::new(), line: None },
        EditRefusal::NotAScalar { path: path(), line },
        EditRefusal::NoValue { path: path(), line },
        EditRefusal::NotAString { path: path(), line, tag: "!!int".to_owned() },
        EditRefusal::Alias { path: path(), line },
        EditRefusal::UsedElsewhere { path: path(), line },
        EditRefusal::SeveralItems {
            path: "images[name=app].tag".to_owned(),
            item: "images[name=app]".to_owned(),
            line,
        },
        EditRefusal::ChoosesItem { path: path(), by: "images[name=app].tag".to_owned(), line },
        EditRefusal::ChoosesItem { path: path(), by: path(), line },
        EditRefusal::OtherImage {
            path: path(),
            at: "image.repository".to_owned(),
            line,
            found: found(),
            expected: Box::new(image()),
        },
        EditRefusal::OtherImage { path: path(), at: path(), line, found: found(), expected: Box::new(image()) },
        EditRefusal::Digest { path: path(), at: "image.digest".to_owned(), line },
        EditRefusal::Digest { path: path(), at: path(), line },
        EditRefusal::NotADigest { path: path(), line },
        EditRefusal::NotPlain { file: OddFile::Executable },
        EditRefusal::NotPlain { file: OddFile::Symlink },
        EditRefusal::NotPlain { file: OddFile::Submodule },
        EditRefusal::NotPlain { file: OddFile::Mode(0o100_664) },
        EditRefusal::OnlyMerged { path: path(), line },
        EditRefusal::MergedOver { path: path(), key: path(), line },
        EditRefusal::MergedOver { path: path(), key: "image.repository".to_owned(), line },
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
    assert_eq!(names.len(), 23, "one of each");
    let sentences = all.into_iter().map(|why| {
        let name = edit_name(&why);
        let sentence = refusal(&Refusal::Edit { path: crate::deployment::samples::path("checkout/values.yaml"), why });
        (name, sentence.strip_prefix("not deployed: ").unwrap().to_owned())
    });
    insta::assert_snapshot!(list_of(sentences), @"
    path missing: I can't safely edit `checkout/values.yaml`: it has no `image.tag`, only `image` (line 3). Add it there, or set `tag_at` in `deploy-bot.yaml` to where the tag is.
    path missing: I can't safely edit `checkout/values.yaml`: it has no `image.tag`. Add it there, or set `tag_at` in `deploy-bot.yaml` to where the tag is.
    not a scalar: I can't safely edit `checkout/values.yaml`: `image.tag` (line 3) is not a single value. Fix the file, or set `tag_at` in `deploy-bot.yaml` to where the tag is.
    no value: I can't safely edit `checkout/values.yaml`: `image.tag` (line 3) is empty. Write any value in quotes there once.
    not a string: I can't safely edit `checkout/values.yaml`: `image.tag` (line 3) is marked as `!!int`, not as text. Fix the file, or set `tag_at` in `deploy-bot.yaml` to where the tag is.
    alias: I can't safely edit `checkout/values.yaml`: `image.tag` (line 3) only refers to a value elsewhere (a YAML alias). Write the value out there, or list all places that have it in `tag_at` in `deploy-bot.yaml`.
    used elsewhere: I can't safely edit `checkout/values.yaml`: line 3 uses the value of `image.tag` too (a YAML anchor), so an edit would change both. Write the value out there, or list all places that have it in `tag_at` in `deploy-bot.yaml`.
    several items: I can't safely edit `checkout/values.yaml`: several entries match `images[name=app]` (again on line 3). Fix the file, or set `tag_at` in `deploy-bot.yaml` to where the tag is.
    chooses an item: I can't safely edit `checkout/values.yaml`: `image.tag` (line 3) is what the path `images[name=app].tag` chooses an entry by, and the tag would be written over it. Choose the entry by another key in `tag_at` in `deploy-bot.yaml`, or by its number.
    chooses an item: I can't safely edit `checkout/values.yaml`: `image.tag` (line 3) is what the path itself chooses an entry by, and the tag would be written over it. Choose the entry by another key in `tag_at` in `deploy-bot.yaml`, or by its number.
    other image: I can't safely edit `checkout/values.yaml`: beside `image.tag`, `image.repository` (line 3) is `ghcr.io/eve/checkout`, and the image to deploy is `ghcr.io/acme/checkout`. Correct the file. If that is the same image by another name, list the name in `mirrors` in `deploy-bot.yaml`.
    other image: I can't safely edit `checkout/values.yaml`: `image.tag` (line 3) is `ghcr.io/eve/checkout`, and the image to deploy is `ghcr.io/acme/checkout`. Correct the file. If that is the same image by another name, list the name in `mirrors` in `deploy-bot.yaml`.
    digest: I can't safely edit `checkout/values.yaml`: `image.digest` (line 3) is a digest, which counts more than the tag at `image.tag`. Remove the digest, or set `digest_at` in `deploy-bot.yaml` to where it is, and I write it, too.
    digest: I can't safely edit `checkout/values.yaml`: `image.tag` (line 3) is a digest, and only a tag can be written. Remove the digest, or set `digest_at` in `deploy-bot.yaml` to where it is, and I write it, too.
    not a digest: I can't safely edit `checkout/values.yaml`: `image.tag` (line 3) is where the digest belongs, and something else is there. Leave it empty there, or set `digest_at` in `deploy-bot.yaml` to where the digest is.
    no plain file: I can't safely edit `checkout/values.yaml`: it is executable, and my commit would make a plain file of it. Make it a plain file: `git update-index --chmod=-x`.
    no plain file: I can't safely edit `checkout/values.yaml`: it is a symbolic link, and my commit would make a plain file of it. Put a plain file there, or set `values` in `deploy-bot.yaml` to the file itself.
    no plain file: I can't safely edit `checkout/values.yaml`: it is a submodule, and my commit would make a plain file of it. Put a plain file there, or set `values` in `deploy-bot.yaml` to the file itself.
    no plain file: I can't safely edit `checkout/values.yaml`: Git has it with the mode 100664, and my commit would make a plain file of it. Make it a plain file: `git update-index --chmod=-x`.
    only merged: I can't safely edit `checkout/values.yaml`: `image.tag` comes only from a merge key `&lt;&lt;` (line 3). Write the key itself into the file.
    merged over: I can't safely edit `checkout/values.yaml`: the key `image.tag` has another value by the merge key `&lt;&lt;` after it (line 3). Helm reads that value, and Kustomize the key's own. Move `&lt;&lt;` before all other keys there.
    merged over: I can't safely edit `checkout/values.yaml`: beside or on the way to `image.tag` the key `image.repository` has another value by the merge key `&lt;&lt;` after it (line 3). Helm reads that value, and Kustomize the key's own. Move `&lt;&lt;` before all other keys there.
    duplicate key: I can't safely edit `checkout/values.yaml`: on the way to `image.tag` the key `image` is there twice (again on line 3). Remove one of them.
    several documents: I can't safely edit `checkout/values.yaml`: several documents in it have `image.tag` (again on line 3). Fix the file, or set `tag_at` in `deploy-bot.yaml` to where the tag is.
    several lines: I can't safely edit `checkout/values.yaml`: `image.tag` (line 3) spans several lines. Write it on one line.
    syntax: I can't safely edit `checkout/values.yaml`: line 3 is not valid YAML (tabs are not allowed as indentation). Fix that line.
    not UTF-8: I can't safely edit `checkout/values.yaml`: line 3 is not UTF-8. Save the file as UTF-8.
    truncated: `checkout/values.yaml` is too large for me to edit. Move the tag to a smaller file, and set `values` of this app in `deploy-bot.yaml` to that file.
    too large: `checkout/values.yaml` is too large for me to edit. Move the tag to a smaller file, and set `values` of this app in `deploy-bot.yaml` to that file.
    unsafe tag: I can't safely edit `checkout/values.yaml`: the tag has characters that YAML would have to escape. That's a bug of mine: please report it with the file.
    unproven: I can't safely edit `checkout/values.yaml`: I couldn't prove that only `image.tag` would change. That's a bug of mine: please report it with the file.
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
        Cause::Unavailable { .. } => "unavailable",
        Cause::Unauthorized => "unauthorized",
        Cause::Forbidden { .. } => "forbidden",
        Cause::RateLimited { .. } => "rate limited",
        Cause::Nonsense { .. } => "nonsense",
        Cause::Said { .. } => "said",
        Cause::Failed { .. } => "failed",
        Cause::Setting { .. } => "setting",
    }
}

/// Every cause, with who failed and doing what.
fn every_fault() -> Vec<(System, &'static str, Cause, Changed)> {
    let text = |text: &str| text.to_owned();
    let read = "read the GitOps repository";
    vec![
        (System::GitHub, read, Cause::Denied, Changed::Nothing),
        (System::GitHub, read, Cause::NotConnected, Changed::Nothing),
        (System::GitHub, "commit the new image tag", Cause::TimedOut, Changed::Unknown),
        (System::GitHub, "commit the new image tag", Cause::Broken, Changed::Unknown),
        (System::Registry, "look for the image in the registry", Cause::TooLarge, Changed::Nothing),
        (System::Registry, "look for the image in the registry", Cause::Status { status: 502 }, Changed::Nothing),
        (
            System::Registry,
            "look for the image in the registry",
            Cause::Unavailable { status: 503, seconds: 30 },
            Changed::Nothing,
        ),
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
        (System::GitHub, read, Cause::Said { said: text("No such field.") }, Changed::Nothing),
        (System::GitHub, read, Cause::Failed { said: text("Something went wrong.") }, Changed::Nothing),
        (System::Store, "save the request", Cause::Said { said: text("the disk is full") }, Changed::Nothing),
        (System::Redis, "start the deploy", Cause::TimedOut, Changed::Nothing),
        (System::Settings, "deploy", Cause::Setting { variable: text("github_url") }, Changed::Nothing),
    ]
}

#[test]
fn every_fault_says_what_failed_whether_anything_changed_and_what_to_do() {
    let all = every_fault();
    let names: std::collections::BTreeSet<_> = all.iter().map(|(_, _, cause, _)| cause_name(cause)).collect();
    assert_eq!(names.len(), 14, "one of each");
    let sentences = all.into_iter().map(|(system, doing, cause, changed)| {
        (cause_name(&cause), fault(&Fault::new(system, doing, cause).changed(changed)))
    });
    insta::assert_snapshot!(list_of(sentences), @"
    denied: I couldn't read the GitOps repository: the address of GitHub is not in my list of allowed hosts. Nothing was changed. Ask whoever runs me to fix that, then try again.
    not connected: I couldn't read the GitOps repository: I can't reach GitHub. Nothing was changed. Try again in a minute. If it keeps failing, tell whoever runs me.
    timed out: I couldn't commit the new image tag: GitHub didn't answer in time. I don't know yet whether anything was changed. Try again in a minute. If it keeps failing, tell whoever runs me.
    broken: I couldn't commit the new image tag: the connection to GitHub broke. I don't know yet whether anything was changed. Try again in a minute. If it keeps failing, tell whoever runs me.
    too large: I couldn't look for the image in the registry: the answer from the registry is too long. Nothing was changed. Try again in a minute. If it keeps failing, tell whoever runs me.
    status: I couldn't look for the image in the registry: the registry answered with status 502. Nothing was changed. Try again in a minute. If it keeps failing, tell whoever runs me.
    unavailable: I couldn't look for the image in the registry: the registry answered with status 503 (again in 30 s). Nothing was changed. Try again in a minute. If it keeps failing, tell whoever runs me.
    unauthorized: I couldn't log in to the registry: my credentials for it are missing or not accepted. Nothing was changed. Ask whoever runs me to fix that, then try again.
    unauthorized: I couldn't ask Argo CD for the sync: Argo CD doesn't accept my token. The new version is in Git. Ask whoever runs me to fix that, then try again.
    forbidden: I couldn't read the GitOps repository: GitHub doesn't allow it. Nothing was changed. Ask whoever runs me to fix that, then try again.
    forbidden: I couldn't read the GitOps repository: GitHub doesn't allow it: Resource not accessible by integration. Nothing was changed. Ask whoever runs me to fix that, then try again.
    rate limited: I couldn't read the GitOps repository: GitHub limits how often I may ask (again in 30 s). Nothing was changed. Try again in a minute. If it keeps failing, tell whoever runs me.
    rate limited: I couldn't read the members of a Slack user group: Slack limits how often I may ask. Nothing was changed. Try again in a minute. If it keeps failing, tell whoever runs me.
    nonsense: I couldn't read the members of a Slack user group: Slack gave an answer that I don't understand (JSON). Nothing was changed. Try again in a minute. If it keeps failing, tell whoever runs me.
    said: I couldn't read the GitOps repository: GitHub says: No such field. Nothing was changed. Try again in a minute. If it keeps failing, tell whoever runs me.
    failed: I couldn't read the GitOps repository: GitHub says: Something went wrong. Nothing was changed. Try again in a minute. If it keeps failing, tell whoever runs me.
    said: I couldn't save the request: my database says: the disk is full. Nothing was changed. Try again in a minute. If it keeps failing, tell whoever runs me.
    timed out: I couldn't start the deploy: my database (Redis) didn't answer in time. Nothing was changed. Try again in a minute. If it keeps failing, tell whoever runs me.
    setting: I couldn't deploy: the setting `github_url` is missing or malformed. Nothing was changed. Ask whoever runs me to fix that, then try again.
    ");
}

// ---- The message, before the commit ----

fn accepted_facts() -> Facts {
    Facts { request: Some(request()), ..Facts::default() }
}

#[test]
fn the_first_words_stay_true_without_any_that_follow() {
    insta::assert_snapshot!(show(&before_commit(&id('1'), &accepted_facts(), None)), @"
    checkout #42 – checking whether it can be deployed. That takes longer than usual.
    [section] :hourglass_flowing_sand: *checkout #42*  checking whether it can be deployed. That takes longer than usual.
    [context] asked by <@U2CERLKJA>
    [context] id 11111111
    [buttons] Cancel
    ");
    let begun = Facts { commit: Some(commit()), ..accepted_facts() };
    insta::assert_snapshot!(show(&before_commit(&id('1'), &begun, None)), @"
    checkout #42 – starting.
    [section] :hourglass_flowing_sand: *checkout #42*  starting.
    [context] asked by <@U2CERLKJA>  ·  `main-1234567` → `faster-cart-aaaaaaa`  ·  <https://github.com/acme/checkout/pull/42|Make the cart faster>
    [context] id 11111111
    [buttons] Cancel
    ");
    insta::assert_snapshot!(show(&before_commit(&id('1'), &Facts::default(), None)), @"
    deployment – checking whether it can be deployed. That takes longer than usual.
    [section] :hourglass_flowing_sand: *deployment*  checking whether it can be deployed. That takes longer than usual.
    [context] id 11111111
    [buttons] Cancel
    ");
}

#[test]
fn notes_are_said_while_they_are_true() {
    let fault = Fault::new(System::GitHub, "read the catalog", Cause::RateLimited { seconds: Some(90) });
    let notes = [
        ("gates passed", Note::Committing),
        ("one", Note::Queue { ahead: 1 }),
        ("more", Note::Queue { ahead: 7 }),
        (
            "another target",
            Note::Application {
                other: target_plan().target,
                link: Some("https://acme.slack.com/archives/C1/p1".to_owned()),
            },
        ),
        (
            "its target",
            Note::Target { ahead: 0, by: Some(user("U7")), link: Some("https://acme.slack.com/x".to_owned()) },
        ),
        ("its target and one more", Note::Target { ahead: 1, by: None, link: None }),
        ("another one's message", Note::Application { other: target_plan().target, link: None }),
        ("unknown", Note::Settling),
        ("a pause", Note::Pause { fault, wait: Duration::from_secs(90) }),
    ];
    let words = notes.map(|(name, note)| (name, before_commit(&id('1'), &accepted_facts(), Some(&note)).text));
    insta::assert_snapshot!(list_of(words), @"
    gates passed: checkout #42 – starting.
    one: checkout #42 – waiting for its turn: one other deploy is ahead.
    more: checkout #42 – waiting for its turn: 7 other deploys are ahead.
    another target: checkout #42 – waiting for the deploy of checkout in the same Argo CD application (<https://acme.slack.com/archives/C1/p1|see it>).
    its target: checkout #42 – waiting for the deploy by <@U7> (<https://acme.slack.com/x|see it>). Then it goes on by itself, if that deploy goes live.
    its target and one more: checkout #42 – waiting for another deploy, and 1 more deploy after it. Then it goes on by itself, if that deploy goes live.
    another one's message: checkout #42 – waiting for the deploy of checkout in the same Argo CD application.
    unknown: checkout #42 – GitHub didn't confirm my commit. I'm finding out whether it went through.
    a pause: checkout #42 – I'm waiting 1 min 30 s before I try again to read the catalog: GitHub limits how often I may ask (again in 90 s).
    ");
}

#[test]
fn an_end_before_the_commit() {
    let ended = |end| {
        before_commit(
            &id('1'),
            &Facts { end: Some(EndFact { at: at(5), end, contact: None, catalog: None }), ..accepted_facts() },
            None,
        )
    };
    let refused = End::Refused {
        refusal: (&Refusal::NoSuchPullRequest { number: PULL, repo: repo("acme/checkout") }).into(),
        plans: Vec::new(),
    };
    insta::assert_snapshot!(show(&ended(refused)), @"
    checkout #42 – not deployed: acme/checkout has no pull request #42. Check the number. If you mean a branch of that name, type `branch:42`.
    [section] :no_entry: *checkout #42*  not deployed: acme/checkout has no pull request #42. Check the number. If you mean a branch of that name, type `branch:42`.
    [context] asked by <@U2CERLKJA>
    [context] id 11111111
    ");
    let newer = End::Refused { refusal: serde_json::from_str(r#"{"full_moon": {}}"#).unwrap(), plans: Vec::new() };
    let failed = End::Failed { fault: Fault::new(System::GitHub, "read the GitOps repository", Cause::TimedOut) };
    let marked = |end| ended(end).blocks[0]["text"]["text"].as_str().unwrap().to_owned();
    insta::assert_snapshot!(list_of([
        ("refused, by a newer build", marked(newer)),
        ("failed", marked(failed)),
        ("cancelled", marked(cancelled().end)),
        ("not accepted", marked(End::Cancelled { by: None })),
    ]), @"
    refused, by a newer build: :no_entry: *checkout #42*  not deployed. Type the command again to see why.
    failed: :x: *checkout #42*  I couldn't read the GitOps repository: GitHub didn't answer in time. Nothing was changed. Try again in a minute. If it keeps failing, tell whoever runs me.
    cancelled: :no_entry: *checkout #42*  cancelled by <@U1>. Nothing was changed.
    not accepted: :no_entry: *checkout #42*  not accepted. Nothing was changed. Please try again.
    ");
    // A note is of no interest any more.
    let facts = Facts { end: Some(cancelled()), ..accepted_facts() };
    assert_eq!(before_commit(&id('1'), &facts, Some(&Note::Settling)), before_commit(&id('1'), &facts, None));
}

// ---- The message, after the commit ----

/// The first block of the watch's message with this fact.
fn watched(watch: ApplicationWatch) -> String {
    words(&Facts { watch: Some(watch.into()), ..relayed() })
}

fn words(facts: &Facts) -> String {
    let message = after_commit(&id('1'), facts);
    message.blocks[0]["text"]["text"].as_str().unwrap().to_owned()
}

fn remarks() -> Remarks {
    let as_before =
        AsBefore { health: "Progressing".to_owned(), because: vec!["Ingress/checkout".to_owned()], theirs: Vec::new() };
    Remarks { as_before: Some(as_before), ..Remarks::default() }
}

fn beside(because: &[&str]) -> Remarks {
    let because = because.iter().map(|name| (*name).to_owned()).collect();
    let theirs = vec!["Deployment/search".to_owned()];
    Remarks { as_before: Some(AsBefore { health: "Degraded".to_owned(), because, theirs }), ..Remarks::default() }
}

fn asked() -> ApplicationWatch {
    ApplicationWatch { asked: Some(at(5)), taken: Some(at(6)), ..ApplicationWatch::default() }
}

#[test]
fn a_committed_deployment_shows_who_what_and_where() {
    insta::assert_snapshot!(show(&after_commit(&id('1'), &relayed())), @"
    checkout #42 – committed `ddddddd`.
    [section] :hourglass_flowing_sand: *checkout #42*  committed `ddddddd`.
    [context] asked by <@U2CERLKJA>  ·  `main-1234567` → `faster-cart-aaaaaaa`  ·  <https://github.com/acme/checkout/pull/42|Make the cart faster>  ·  <https://github.com/acme/gitops/commit/dddddddddddddddddddddddddddddddddddddddd|commit ddddddd>
    [context] ✓ committed 3 s  ·  ✓ Argo CD notified 4 s
    [context] id 11111111
    ");
    let mut facts = relayed();
    facts.committed.as_mut().unwrap().reused = true;
    let fact = facts.commit.as_mut().unwrap();
    fact.target_mut().before = Some(fact.target().tag.to_string());
    fact.target_mut().target = target();
    fact.target_mut().source.reference = Reference::Branch(branch("faster-cart"));
    fact.target_mut().source.url = None;
    insta::assert_snapshot!(show(&after_commit(&id('1'), &facts)), @"
    checkout@production faster-cart – this version is already in Git (my commit `ddddddd`), so I'm rolling that out.
    [section] :hourglass_flowing_sand: *checkout@production faster-cart*  this version is already in Git (my commit `ddddddd`), so I'm rolling that out.
    [context] asked by <@U2CERLKJA>  ·  `faster-cart-aaaaaaa`  ·  Make the cart faster  ·  <https://github.com/acme/gitops/commit/dddddddddddddddddddddddddddddddddddddddd|commit ddddddd>
    [context] ✓ committed 3 s  ·  ✓ Argo CD notified 4 s
    [context] id 11111111
    ");
    // The watch speaks without a commit only to say its last word.
    assert_eq!(after_commit(&id('1'), &accepted_facts()).text, before_commit(&id('1'), &accepted_facts(), None).text);
}

#[test]
fn how_far_the_sync_is() {
    let progress = |progress| watched(ApplicationWatch { progress: Some(progress), ..asked() });
    let applying = Progress {
        message: "waiting for healthy state of apps/Deployment/checkout.".to_owned(),
        resources: 3,
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
    asked: :arrows_counterclockwise: *checkout #42*  rolling out `ddddddd`.
    begun: :arrows_counterclockwise: *checkout #42*  rolling out `ddddddd`.
    applying: :arrows_counterclockwise: *checkout #42*  rolling out `ddddddd`: 3 resources, waiting for healthy state of apps/Deployment/checkout, retry 1.
    progressing: :arrows_counterclockwise: *checkout #42*  rolled out `ddddddd`. Health: progressing.
    unknown: :arrows_counterclockwise: *checkout #42*  rolled out `ddddddd`. Health: unknown.
    ");
}

fn no_answer() -> Waiting {
    Waiting::ArgoCd { fault: Fault::new(System::ArgoCd, "read the application", Cause::Broken) }
}

#[test]
fn what_a_deployment_waits_for() {
    let waiting = |waiting| watched(ApplicationWatch { waiting: Some(waiting), ..ApplicationWatch::default() });
    insta::assert_snapshot!(list_of([
        ("somebody", waiting(Waiting::OtherOperation { by: Some("eve".to_owned()), of: None, hook: None })),
        ("nobody known", waiting(Waiting::OtherOperation { by: None, of: None, hook: None })),
        (
            "an older deploy",
            waiting(Waiting::OtherOperation {
                by: Some("deploybot".to_owned()),
                of: Some(id('2')),
                hook: Some("Job/smoke (PostSync hook)".to_owned()),
            }),
        ),
        ("window", waiting(Waiting::SyncWindow)),
        ("Argo CD", waiting(no_answer())),
        ("auto-sync", watched(ApplicationWatch { automated: true, ..asked() })),
    ]), @"
    somebody: :hourglass_flowing_sand: *checkout #42*  committed `ddddddd`. Waiting for another operation in Argo CD, started by eve.
    nobody known: :hourglass_flowing_sand: *checkout #42*  committed `ddddddd`. Waiting for another operation in Argo CD.
    an older deploy: :hourglass_flowing_sand: *checkout #42*  committed `ddddddd`. Waiting for the sync of an older deploy, which waits for Job/smoke (PostSync hook).
    window: :hourglass_flowing_sand: *checkout #42*  committed `ddddddd`. Waiting for the next sync window in Argo CD.
    Argo CD: :hourglass_flowing_sand: *checkout #42*  committed `ddddddd`. I'm still trying: the connection to Argo CD broke.
    auto-sync: :arrows_counterclockwise: *checkout #42*  rolling out `ddddddd`. Auto-sync is on in Argo CD, so I only watch: add `sync: auto` to this app in `deploy-bot.yaml`, or switch auto-sync off.
    ");
}

fn outcome(seconds: u64, word: LastWord) -> Option<OutcomeFact> {
    Some(OutcomeFact { at: at(seconds), word, application: None })
}

fn last(word: LastWord, watch: ApplicationWatch) -> String {
    words(&Facts { watch: Some(watch.into()), outcome: outcome(903, word), ..relayed() })
}

#[test]
fn what_argocd_shows_besides_is_in_small_print() {
    let condition = |kind: &str, message: &str| Condition { kind: kind.to_owned(), message: message.to_owned() };
    let invalid = || condition("InvalidSpecError", "application destination has no <cluster>.");
    let orphans = || condition("OrphanedResourceWarning", "Application has 3 orphaned resources");
    let of = |remarks: Remarks, word: Option<LastWord>| {
        let outcome = word.map(|word| OutcomeFact { at: at(903), word, application: None });
        let facts = Facts { watch: Some(ApplicationWatch { remarks, ..asked() }.into()), outcome, ..relayed() };
        let shown = show(&after_commit(&id('1'), &facts));
        shown
            .lines()
            .filter(|line| line.contains("Argo CD says: ") || line.contains("prune"))
            .collect::<Vec<_>>()
            .join("\n")
    };
    let pruned = vec!["ConfigMap/old".to_owned()];
    let timed_out = LastWord::TimedOut { waiting: None, health: None };
    insta::assert_snapshot!(list_of([
        ("running", of(Remarks { conditions: vec![invalid(), orphans()], ..Remarks::default() }, None)),
        ("timed out", of(Remarks { conditions: vec![invalid()], ..Remarks::default() }, Some(timed_out))),
        ("live", of(Remarks { conditions: vec![orphans()], ..Remarks::default() }, Some(live()))),
        ("one to prune", of(Remarks { to_prune: 1, pruned: pruned.clone(), ..Remarks::default() }, None)),
        ("more to prune", of(Remarks { to_prune: 7, pruned: [&pruned[..]; 3].concat(), ..Remarks::default() }, Some(live()))),
        ("nothing", of(Remarks::default(), None)),
    ]), @"
    running: [context] :warning: Argo CD says: InvalidSpecError: application destination has no &lt;cluster&gt;; OrphanedResourceWarning: Application has 3 orphaned resources.
    timed out: [context] :warning: Argo CD says: InvalidSpecError: application destination has no &lt;cluster&gt;.
    live: [context] Argo CD says: OrphanedResourceWarning: Application has 3 orphaned resources.
    one to prune: [context] 1 resource would be pruned, because it is no longer in Git: `ConfigMap/old`. I leave it in the cluster.
    more to prune: [context] 7 resources would be pruned, because they are no longer in Git: `ConfigMap/old`, `ConfigMap/old`, `ConfigMap/old` and 4 more. I leave them in the cluster.
    nothing:
    ");
}

fn in_a_hook() -> ApplicationWatch {
    let message = "waiting for completion of hook batch/Job/migrate".to_owned();
    let hook = Some(("Job/migrate (PostSync hook)".to_owned(), 14));
    let remarks = Remarks { hook, ..Remarks::default() };
    ApplicationWatch { progress: Some(Progress { message, ..Progress::default() }), remarks, ..asked() }
}

#[test]
fn a_workload_of_another_service_is_named() {
    insta::assert_snapshot!(list_of([
        ("live beside another's", last(live(), ApplicationWatch { remarks: beside(&[]), ..asked() })),
        ("live beside both", last(live(), ApplicationWatch { remarks: beside(&["Ingress/checkout"]), ..asked() })),
    ]), @"
    live beside another's: :white_check_mark: *checkout #42*  is live: `faster-cart-aaaaaaa`. Argo CD calls the app Degraded, because of `Deployment/search` with another app's image.
    live beside both: :white_check_mark: *checkout #42*  is live: `faster-cart-aaaaaaa`. Argo CD calls the app Degraded as before, because of `Ingress/checkout`, and because of `Deployment/search` with another app's image.
    ");
}

#[test]
fn a_last_word_with_everything_below_it() {
    insta::assert_snapshot!(show(&after_commit(&id('1'), &Facts {
        watch: Some(asked().into()),
        outcome: outcome(60, LastWord::Live { proof: Proof::Runs, synced_by: None, urls: vec!["https://checkout.acme.example".to_owned()] }),
        ..relayed()
    })), @"
    checkout #42 – is live: `faster-cart-aaaaaaa`. <https://checkout.acme.example|Open it>
    [section] :white_check_mark: *checkout #42*  is live: `faster-cart-aaaaaaa`. <https://checkout.acme.example|Open it>
    [context] asked by <@U2CERLKJA>  ·  `main-1234567` → `faster-cart-aaaaaaa`  ·  <https://github.com/acme/checkout/pull/42|Make the cart faster>  ·  <https://github.com/acme/gitops/commit/dddddddddddddddddddddddddddddddddddddddd|commit ddddddd>
    [context] ✓ committed 3 s  ·  ✓ Argo CD notified 4 s  ·  ✓ sync requested 5 s  ·  ✓ live 1 min
    [context] id 11111111
    [buttons] Roll back
    ");
}

#[test]
fn every_last_word() {
    let superseded = |by: Option<&str>| LastWord::Superseded { by_deployment: None, by_person: by.map(str::to_owned) };
    let timed_out = |waiting, health: Option<&str>| LastWord::TimedOut { waiting, health: health.map(str::to_owned) };
    let newer = || LastWord::Superseded { by_deployment: Some(id('2')), by_person: None };
    let synced = ApplicationWatch { progress: Some(Progress { synced: true, ..Progress::default() }), ..asked() };
    let holds = "Pod checkout-1: ImagePullBackOff".to_owned();
    let held = ApplicationWatch { progress: Some(Progress { synced: true, holds, ..Progress::default() }), ..asked() };
    let (before, unanswered) = (ApplicationWatch::default(), ApplicationWatch { taken: None, ..asked() });
    insta::assert_snapshot!(list_of([
        ("live", last(live(), asked())),
        ("live without an image", last(LastWord::Live { proof: Proof::NoImage, synced_by: None, urls: vec!["ftp://x".to_owned()] }, asked())),
        ("live, not asked", last(LastWord::Live { proof: Proof::NotAsked, synced_by: None, urls: Vec::new() }, asked())),
        ("live as before", last(live(), ApplicationWatch { remarks: remarks(), ..asked() })),
        ("synced over", last(LastWord::Live { proof: Proof::Applied, synced_by: Some("eve".to_owned()), urls: Vec::new() }, asked())),
        ("superseded by ours", last(newer(), before.clone())),
        ("superseded by eve", last(superseded(Some("eve")), asked())),
        ("superseded by somebody", last(superseded(None), asked())),
        ("timed out", last(timed_out(None, None), before.clone())),
        ("timed out, no answer to the ask", last(timed_out(Some(no_answer()), None), unanswered)),
        ("timed out in the queue", last(timed_out(Some(Waiting::OtherOperation { by: None, of: None, hook: None }), None), before.clone())),
        ("timed out before the window", last(timed_out(Some(Waiting::SyncWindow), None), before.clone())),
        ("timed out while it ran", last(timed_out(None, Some("Progressing")), asked())),
        ("timed out by health", last(timed_out(None, Some("Progressing")), synced)),
        ("timed out, held by a Pod", last(timed_out(None, Some("Progressing")), held)),
        ("timed out in a hook", last(timed_out(None, None), in_a_hook())),
        ("timed out while paused", last(timed_out(None, Some("Suspended")), asked())),
        ("lost", last(LastWord::Lost { failure: Failure::NoApplication }, asked())),
        ("unknown", last(LastWord::Unknown, before)),
    ]), @"
    live: :white_check_mark: *checkout #42*  is live: `faster-cart-aaaaaaa`.
    live without an image: :white_check_mark: *checkout #42*  is live: `faster-cart-aaaaaaa`. Argo CD shows no Pod and no image of this app, so I can't prove that this version runs.
    live, not asked: :white_check_mark: *checkout #42*  is live: `faster-cart-aaaaaaa`. Whether this version runs is not proven: `verify_running: off`.
    live as before: :white_check_mark: *checkout #42*  is live: `faster-cart-aaaaaaa`. Argo CD calls the app Progressing as before, because of `Ingress/checkout`.
    synced over: :white_check_mark: *checkout #42*  is live: `faster-cart-aaaaaaa`. eve synced it once more in Argo CD.
    superseded by ours: :fast_forward: *checkout #42*  stopped: a newer deploy took over, and this one wasn't rolled out.
    superseded by eve: :fast_forward: *checkout #42*  stopped: eve started another sync in Argo CD while this was rolling out. Git has the new version (`ddddddd`); the cluster may have parts of it. Check Argo CD before you deploy again.
    superseded by somebody: :fast_forward: *checkout #42*  stopped: somebody started another sync in Argo CD while this was rolling out. Git has the new version (`ddddddd`); the cluster may have parts of it. Check Argo CD before you deploy again.
    timed out: :alarm_clock: *checkout #42*  timed out 15 min after the commit, because Argo CD didn't take the sync. Git has the new version (`ddddddd`); the cluster is unchanged. Argo CD shows what holds it up. *Retry* goes on from here.
    timed out, no answer to the ask: :alarm_clock: *checkout #42*  timed out 15 min after the commit, because Argo CD didn't confirm the sync: the connection to Argo CD broke. Git has the new version (`ddddddd`); the cluster may have parts of it. Argo CD shows what holds it up. *Retry* goes on from here, *Roll back* returns to the last healthy version.
    timed out in the queue: :alarm_clock: *checkout #42*  timed out 15 min after the commit, because Argo CD didn't take the sync. I was waiting for another operation in Argo CD. Git has the new version (`ddddddd`); the cluster is unchanged. Argo CD shows what holds it up. *Retry* goes on from here.
    timed out before the window: :alarm_clock: *checkout #42*  timed out 15 min after the commit, because Argo CD didn't take the sync. I was waiting for the next sync window in Argo CD. Git has the new version (`ddddddd`); the cluster is unchanged. Argo CD shows what holds it up. *Retry* goes on from here.
    timed out while it ran: :alarm_clock: *checkout #42*  timed out 14 min after Argo CD took the sync: it isn't healthy yet (Argo CD says progressing). Git has the new version (`ddddddd`); the cluster may have parts of it. Argo CD shows what holds it up. *Retry* goes on from here, *Roll back* returns to the last healthy version.
    timed out by health: :alarm_clock: *checkout #42*  timed out 14 min after Argo CD took the sync: it isn't healthy yet (Argo CD says progressing). Git has the new version (`ddddddd`), and so does the cluster. Argo CD shows what holds it up. *Retry* goes on from here, *Roll back* returns to the last healthy version.
    timed out, held by a Pod: :alarm_clock: *checkout #42*  timed out 14 min after Argo CD took the sync: it isn't healthy yet (Argo CD says progressing). Git has the new version (`ddddddd`), and so does the cluster. Pod checkout-1: ImagePullBackOff. Argo CD shows what holds it up. *Retry* goes on from here, *Roll back* returns to the last healthy version.
    timed out in a hook: :alarm_clock: *checkout #42*  timed out 14 min after Argo CD took the sync: it isn't rolled out yet: waiting for Job/migrate (PostSync hook), 14 min. Git has the new version (`ddddddd`); the cluster may have parts of it. Argo CD shows what holds it up. *Retry* goes on from here, *Roll back* returns to the last healthy version.
    timed out while paused: :alarm_clock: *checkout #42*  timed out 14 min after Argo CD took the sync: the rollout is still paused. Git has the new version (`ddddddd`); the cluster may have parts of it. Argo CD shows what holds it up. *Retry* goes on from here, *Roll back* returns to the last healthy version.
    lost: :grey_question: *checkout #42*  I can't see this app in Argo CD any more: Argo CD says that there is no such application. Git has the new version (`ddddddd`); the cluster may have parts of it. The rollout may go on: look at Argo CD.
    unknown: :grey_question: *checkout #42*  GitHub didn't confirm in time, so I'm not sure the commit went through. Press *Retry*: if it did, I'll go on with it. You won't get two.
    ");
}

#[test]
fn every_failure_says_what_is_changed_and_what_to_do() {
    let text = |text: &str| text.to_owned();
    let resources = || vec![text("Job/migrate: exit code 1"), text("Deployment/checkout: 1 of 2 replicas")];
    let failed = |failure| last(LastWord::Failed { failure }, ApplicationWatch::default());
    let failed_later = |failure| last(LastWord::Failed { failure }, asked());
    let wanted = || text("ghcr.io/acme/checkout:faster-cart-aaaaaaa");
    let found = vec![text("ghcr.io/acme/checkout:main-1234567"), text("redis:7")];
    let left_out = last(
        LastWord::Failed {
            failure: Failure::OtherImage { wanted: wanted(), found: found.clone(), why: Doubt::OtherTag },
        },
        ApplicationWatch {
            remarks: Remarks { left_out: Some(".;/charts".to_owned()), ..Remarks::default() },
            ..asked()
        },
    );
    let token = Fault::new(System::ArgoCd, "ask Argo CD for the sync", Cause::Unauthorized).changed(Changed::Yes);
    insta::assert_snapshot!(list_of([
        ("sync", failed_later(Failure::Sync { message: text("one or more objects failed."), resources: resources() })),
        ("sync, without words", failed_later(Failure::Sync { message: String::new(), resources: Vec::new() })),
        ("degraded", failed_later(Failure::Degraded { message: text("back-off restarting"), resources: resources() })),
        ("degraded, without words", failed_later(Failure::Degraded { message: String::new(), resources: Vec::new() })),
        ("old Pods", failed_later(Failure::OtherImage { wanted: wanted(), found: found.clone(), why: Doubt::OldPods })),
        ("other tag", failed_later(Failure::OtherImage { wanted: wanted(), found: found.clone(), why: Doubt::OtherTag })),
        ("left out", left_out),
        ("not used", failed_later(Failure::OtherImage { wanted: wanted(), found, why: Doubt::NotUsed })),
        ("no right", failed(Failure::NoRight { said: text("permission denied: applications, sync, default/checkout") })),
        ("no right any more", failed_later(Failure::NoRight { said: String::new() })),
        ("no application", failed(Failure::NoApplication)),
        ("deleting", failed(Failure::Deleting)),
        ("no source", failed(Failure::NoSource)),
        ("too old", failed(Failure::TooOld { version: "v2.10.18+2175939".to_owned() })),
        ("refused", failed(Failure::Refused { said: text("application spec is invalid.") })),
        ("branch rewritten", failed(Failure::BranchRewritten)),
        ("nothing done", failed(Failure::NothingDone)),
        ("fault", failed(Failure::Fault { fault: token })),
    ]), @"
    sync: :x: *checkout #42*  the rollout failed: one or more objects failed. Git has the new version (`ddddddd`); the cluster may have parts of it. Fix the cause, then press *Retry*.
    • Job/migrate: exit code 1
    • Deployment/checkout: 1 of 2 replicas
    sync, without words: :x: *checkout #42*  the rollout failed. Git has the new version (`ddddddd`); the cluster may have parts of it. Fix the cause, then press *Retry*.
    degraded: :x: *checkout #42*  is rolled out, but not healthy: back-off restarting. The cluster runs the new version: fix it, or roll back.
    • Job/migrate: exit code 1
    • Deployment/checkout: 1 of 2 replicas
    degraded, without words: :x: *checkout #42*  is rolled out, but not healthy. The cluster runs the new version: fix it, or roll back.
    old Pods: :x: *checkout #42*  is rolled out and healthy, but the Pods still run `ghcr.io/acme/checkout:main-1234567`, `redis:7`, not `ghcr.io/acme/checkout:faster-cart-aaaaaaa`. Git has the new version (`ddddddd`). Find out in Argo CD who replaces these Pods: an operator, or a person (`OnDelete`).
    other tag: :x: *checkout #42*  is rolled out and healthy, but doesn't run `ghcr.io/acme/checkout:faster-cart-aaaaaaa`: Argo CD shows `ghcr.io/acme/checkout:main-1234567`, `redis:7`. Git has the new version (`ddddddd`). Check that `tag_at` in `deploy-bot.yaml` is where this app takes its tag from.
    left out: :x: *checkout #42*  is rolled out and healthy, but doesn't run `ghcr.io/acme/checkout:faster-cart-aaaaaaa`: Argo CD shows `ghcr.io/acme/checkout:main-1234567`, `redis:7`. Git has the new version (`ddddddd`). Argo CD may have kept its old manifests: the application's annotation `manifest-generate-paths` (`.;/charts`) leaves out `checkout/values.yaml`. Add that file.
    not used: :x: *checkout #42*  is rolled out, but what was applied doesn't use `ghcr.io/acme/checkout:faster-cart-aaaaaaa`: Argo CD applied `ghcr.io/acme/checkout:main-1234567`, `redis:7`. Git has the new version (`ddddddd`). Check that `tag_at` in `deploy-bot.yaml` is where this app takes its tag from.
    no right: :x: *checkout #42*  Argo CD doesn't allow it: permission denied: applications, sync, default/checkout. Git has the new version (`ddddddd`); the cluster is unchanged. Ask whoever runs Argo CD to give my account `get` and `sync` on this application.
    no right any more: :x: *checkout #42*  Argo CD doesn't allow it. Git has the new version (`ddddddd`); the cluster may have parts of it. Ask whoever runs Argo CD to give my account `get` and `sync` on this application.
    no application: :x: *checkout #42*  Argo CD has no such application. Git has the new version (`ddddddd`); the cluster is unchanged. Create it, or check `argocd` of this app in `deploy-bot.yaml`.
    deleting: :x: *checkout #42*  Argo CD is deleting this application. Git has the new version (`ddddddd`); the cluster is unchanged. Try again when it's back.
    no source: :x: *checkout #42*  its Argo CD application doesn't follow the branch that I commit to, so I can't roll out my commit. Git has the new version (`ddddddd`); the cluster is unchanged. Check its `repoURL` and `targetRevision`.
    too old: :x: *checkout #42*  its Argo CD application has several sources, and Argo CD v2.10.18+2175939 can't sync them to a commit: it takes the newest of each. Git has the new version (`ddddddd`); the cluster is unchanged. Ask whoever runs Argo CD to update it to 2.11 or newer.
    refused: :x: *checkout #42*  Argo CD refused the sync: application spec is invalid. Git has the new version (`ddddddd`); the cluster is unchanged. Fix that, then press *Retry*.
    branch rewritten: :x: *checkout #42*  somebody rewrote the Git branch after my commit `ddddddd`, which may be gone, so I didn't roll it out. Check the branch, then press *Retry*.
    nothing done: :x: *checkout #42*  I was too busy and gave up. Nothing was changed. Please try again.
    fault: :x: *checkout #42*  I couldn't ask Argo CD for the sync: Argo CD doesn't accept my token. Git has the new version (`ddddddd`); the cluster is unchanged. Ask whoever runs me to fix that, then try again.
    ");
}

#[test]
fn an_end_by_time_has_its_own_words() {
    let failed = LastWord::Failed { failure: Failure::NothingDone };
    let facts = |word| Facts { outcome: outcome(360, word), ..accepted_facts() };
    insta::assert_snapshot!(show(&after_commit(&id('1'), &facts(failed))), @"
    checkout #42 – I was too busy and gave up. Nothing was changed. Please try again.
    [section] :x: *checkout #42*  I was too busy and gave up. Nothing was changed. Please try again.
    [context] asked by <@U2CERLKJA>
    [context] id 11111111
    [buttons] Retry
    ");
    // Where no commit is known, no sentence names one.
    for word in [live(), LastWord::Superseded { by_deployment: None, by_person: None }] {
        assert!(!after_commit(&id('1'), &facts(word)).text.contains("``"));
    }
}

#[test]
fn whose_commits_go_live_too() {
    let rider = |who: &str, headline: &str| Rider { sha: sha('e'), who: who.to_owned(), headline: headline.to_owned() };
    let rides = |facts: &Facts| {
        let message = after_commit(&id('1'), facts);
        let texts = message.blocks.as_array().unwrap().iter().map(|block| block["elements"][0]["text"].clone());
        let rides =
            |text: &Value| text.as_str().is_some_and(|text| text.starts_with("Also") || text.starts_with(":warning:"));
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
    one: "Also goes live: 1 commit by eve: `eeeeeee` Raise the memory limit"
    two: "Also goes live: 2 commits by eve and bob: `eeeeeee` Tune; `eeeeeee` Tune"
    many: "Also goes live: at least 8 commits by eve, bob, kim, lee, max, joe and ann: `eeeeeee` Tune; `eeeeeee` Tune; `eeeeeee` Tune"
    first: ":warning: First deploy of *checkout* through me. I can't tell what else changed since it was last deployed: everything in its folder in Git goes live too."
    "#);
}

#[test]
fn an_asker_who_has_looked_away_is_called_to_a_success() {
    let ended = |seconds: u64| {
        let outcome =
            OutcomeFact { at: request().at.after(Duration::from_secs(seconds)), word: live(), application: None };
        call(&Facts { outcome: Some(outcome), ..relayed() })
    };
    assert_eq!(ended(59), None);
    insta::assert_snapshot!(show(&ended(60).unwrap()), @"
    <@U2CERLKJA> checkout #42 is live: see above.
    [section] <@U2CERLKJA> checkout #42 is live: see above.
    ");
}

#[test]
fn the_asker_is_led_to_a_message_in_another_channel() {
    let elsewhere = |request: &RequestFact| {
        let place = place("1503435956.000247");
        show(&stands_elsewhere(request, &place, request.link(&place).as_deref()))
    };
    insta::assert_snapshot!(elsewhere(&request()), @"
    *checkout #42* is in <#C0G9QF9GW>. <https://acme.slack.com/archives/C0G9QF9GW/p1503435956000247|See it there.>
    [section] *checkout #42* is in <#C0G9QF9GW>. <https://acme.slack.com/archives/C0G9QF9GW/p1503435956000247|See it there.>
    ");
    insta::assert_snapshot!(elsewhere(&RequestFact { team_domain: String::new(), ..request() }), @"
    *checkout #42* is in <#C0G9QF9GW>.
    [section] *checkout #42* is in <#C0G9QF9GW>.
    ");
}

// ---- Answers to the command ----

#[test]
fn answers_to_the_command_itself() {
    insta::assert_snapshot!(not_accepted(), @"I can't take that right now: my database isn't answering. Nothing was changed. Please try again in a minute.");
    insta::assert_snapshot!(help(None), @"
    I deploy apps: one commit to Git, then I follow Argo CD until the new version is live.
    • `/deploy &lt;app&gt;[@environment] &lt;pull request, branch, tag or commit&gt; [override &lt;reason&gt;]`: deploy a pull request, the newest commit of a branch, a tag, or a commit
    • `/deploy preview &lt;app&gt;[@environment] &lt;pull request, branch, tag or commit&gt;`: show what a deploy would change, and change nothing
    • `/deploy status [&lt;app&gt;[@environment] or &lt;environment&gt; or @me]`: what is live and what is under way: of one app or all, of an environment, or of yours
    • `/deploy history &lt;app&gt;[@environment] [--since &lt;day&gt;] or &lt;commit&gt;`: what was deployed before, by whom, and how it ended; or which deploy made a commit
    • `/deploy why &lt;app&gt;[@environment] or &lt;id&gt;`: what holds an app up now, and who can help
    • `/deploy diff &lt;app&gt; &lt;environment&gt; &lt;environment&gt;`: what is live in one environment of an app and not in another one
    • `/deploy rollback &lt;app&gt;[@environment] [&lt;tag or line of the history&gt;] [override &lt;reason&gt;]`: go back to the last healthy version, or to the one you name; this also locks the app
    • `/deploy promote &lt;app&gt; [[from] to] [override &lt;reason&gt;]`: deploy what is live in one environment to another one: the same image
    • `/deploy cancel &lt;app&gt;[@environment]`: stop a deploy that is not committed yet
    • `/deploy lock &lt;app&gt;[@environment] &lt;reason&gt; [for &lt;time&gt;]`: stop all deploys of an app (or of everything: `all`), until somebody unlocks it or the time is up
    • `/deploy unlock &lt;app&gt;[@environment]`: allow deploys of an app again (or of everything: `all`)
    • `/deploy notify &lt;thread, dm or off&gt;`: how you are told when a deploy of yours is live, if it took more than a minute
    • `/deploy apps`: which apps and environments there are
    • `/deploy help [&lt;command&gt;]`: this list, or more about one command
    `/deploy` alone opens a form. Examples for one command: `/deploy help rollback`
    ");
}

#[test]
fn the_help_of_each_command() {
    let all: Vec<String> = Verb::ALL.iter().map(|verb| help(Some(*verb))).collect();
    insta::assert_snapshot!(all.join("\n\n"), @"
    `/deploy &lt;app&gt;[@environment] &lt;pull request, branch, tag or commit&gt; [override &lt;reason&gt;]`: deploy a pull request, the newest commit of a branch, a tag, or a commit
    • `/deploy checkout 42`: pull request 42 of the app `checkout` (`#42` or its link work too)
    • `/deploy checkout feature/x`: the newest commit of a branch
    • `/deploy checkout@production main`: to an environment of the app
    • `/deploy checkout v1.2.3`: a Git tag, if the catalog has `tags` for the app
    • `/deploy checkout 9f3c2ab`: a commit of the default branch, or the head of an open pull request
    • `/deploy checkout 9f3c2ab of release/1`: a commit of another branch
    • `/deploy checkout branch:42`: a branch called 42; also `tag:`, `commit:`, `channel:`, `version:`
    • `/deploy checkout,search main`: two apps in one commit; the catalog may have names for several
    • `/deploy checkout main override payments are failing`: owners only, in an emergency: despite a freeze or other people's changes; everybody sees it
    • `/deploy deploy status 42`: an app whose name is a command

    `/deploy preview &lt;app&gt;[@environment] &lt;pull request, branch, tag or commit&gt;`: show what a deploy would change, and change nothing
    • `/deploy preview checkout 42`: what pull request 42 would change
    • `/deploy preview checkout@production main`: the newest commit of a branch, in one environment

    `/deploy status [&lt;app&gt;[@environment] or &lt;environment&gt; or @me]`: what is live and what is under way: of one app or all, of an environment, or of yours
    • `/deploy status checkout@production`: one environment of an app
    • `/deploy status`: all apps
    • `/deploy status production`: all apps in an environment
    • `/deploy status @me`: what you deployed

    `/deploy history &lt;app&gt;[@environment] [--since &lt;day&gt;] or &lt;commit&gt;`: what was deployed before, by whom, and how it ended; or which deploy made a commit
    • `/deploy history checkout@production`: the last deploys, the newest first
    • `/deploy history checkout --since monday`: also `2026-11-20` or `3d`; days begin at midnight in UTC
    • `/deploy history 9f3c2ab`: which deploy made that commit of mine (a link to the commit works, too)

    `/deploy why &lt;app&gt;[@environment] or &lt;id&gt;`: what holds an app up now, and who can help
    • `/deploy why checkout@production`: a deploy, a lock, a freeze, or what waits for approval
    • `/deploy why 9f3c2ab1`: the deploy with that id, which is in small print below its message

    `/deploy diff &lt;app&gt; &lt;environment&gt; &lt;environment&gt;`: what is live in one environment of an app and not in another one
    • `/deploy diff checkout staging production`: the commits that are live in only one of the two

    `/deploy rollback &lt;app&gt;[@environment] [&lt;tag or line of the history&gt;] [override &lt;reason&gt;]`: go back to the last healthy version, or to the one you name; this also locks the app
    • `/deploy rollback checkout@production`: to the last version that was healthy
    • `/deploy rollback checkout@production 2`: to line 2 of `/deploy history checkout@production`
    • `/deploy rollback checkout main-abc1234`: to a tag (`tag:42` if it is a number)
    • `/deploy rollback checkout override payments are failing`: owners only, in an emergency: despite a freeze or other people's changes; everybody sees it

    `/deploy promote &lt;app&gt; [[from] to] [override &lt;reason&gt;]`: deploy what is live in one environment to another one: the same image
    • `/deploy promote checkout staging production`: what is live in staging goes to production
    • `/deploy promote checkout production`: from where `promotes_from` says in the catalog
    • `/deploy promote checkout`: if one environment alone has `promotes_from`

    `/deploy cancel &lt;app&gt;[@environment]`: stop a deploy that is not committed yet
    • `/deploy cancel checkout@production`: what is under way there

    `/deploy lock &lt;app&gt;[@environment] &lt;reason&gt; [for &lt;time&gt;]`: stop all deploys of an app (or of everything: `all`), until somebody unlocks it or the time is up
    • `/deploy lock checkout the database is being moved for 2h`: for 2 hours (also `90m`, `1h30m`, `1d`)
    • `/deploy lock checkout@production load test`: until somebody unlocks it
    • `/deploy lock all payment provider is down`: every app

    `/deploy unlock &lt;app&gt;[@environment]`: allow deploys of an app again (or of everything: `all`)
    • `/deploy unlock checkout@production`: one environment of an app
    • `/deploy unlock all`: the lock on everything; locks on single apps stay

    `/deploy notify &lt;thread, dm or off&gt;`: how you are told when a deploy of yours is live, if it took more than a minute
    • `/deploy notify dm`: by a direct message
    • `/deploy notify thread`: in the thread of the deploy's message; this is how it begins
    • `/deploy notify off`: not at all; when a deploy fails, you are told in its thread all the same

    `/deploy apps`: which apps and environments there are
    • `/deploy apps`: all of them

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
