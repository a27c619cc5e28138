//! The gate `reviews`: who has approved what on GitHub, through the real components.

use crate::conversation::{asks, catalog, deploys, hurry, says};
use crate::refusals::refused;
use anyhow::{Context, Result, ensure};
use e2e::{PATIENCE, Room, room};
use fakes::github::ReviewState;
use fakes::github::ReviewState::{Approved, ChangesRequested, Commented, Dismissed};
use sandbox::Sandbox;
use sandbox::world::{self, ALICE, BOB, CAROL};

const REPO: &str = "acme/checkout";

fn review(room: &Room, by: &str, state: ReviewState) {
    room.github.lock().review(REPO, 42, by, state);
}

#[test]
fn a_pull_request_is_deployed_when_its_newest_commit_is_approved() {
    room(async |room| -> Result<()> {
        hurry(room);
        catalog(room, "", "    reviews: 1\n");
        let apps = asks(room, BOB, "apps", REPO).await?;
        ensure!(apps.contains("default (1 review)"), "{apps}");

        insta::assert_snapshot!(refused(room, "checkout 42").await?, @"
        :no_entry: *checkout #42*  not deployed: checkout needs 1 approving review of commit `<sha>`, and pull request #42 has none. Ask somebody who can write to the repository, but isn't an author, to approve it there. Then try again.
        asked by @alice
        [Retry]
        ");
        let branch = refused(room, "checkout feature/totals").await?;
        ensure!(
            branch.contains("checkout takes only reviewed pull requests, and `feature/totals` is a branch."),
            "{branch}"
        );
        let none = "has none. Ask somebody";

        // These do not count: the author, a comment, a dismissed review, a person who may only read.
        room.github.lock().reader(REPO, "mallory");
        for (by, state) in
            [("alice", Approved), ("bob", Commented), ("carol", Approved), ("carol", Dismissed), ("mallory", Approved)]
        {
            review(room, by, state);
        }
        ensure!(refused(room, "checkout 42").await?.contains(none));
        // Only the latest opinion of a person counts.
        review(room, "bob", Approved);
        review(room, "bob", ChangesRequested);
        let said = refused(room, "checkout 42").await?;
        ensure!(said.contains("has none. bob asked for changes."), "{said}");

        // Bob approves, then Carol pushes: her approval is of her own commit.
        review(room, "bob", Approved);
        let tag = room.builds("checkout", "feature/totals", "carol");
        review(room, "carol", Approved);
        let said = refused(room, "checkout 42").await?;
        ensure!(said.contains("has none. bob approved another commit."), "{said}");
        let shown = asks(room, BOB, "preview checkout 42", "reviews: 0 of 1").await?;
        ensure!(shown.contains("be deployed now: checkout needs 1 approving review"), "{shown}");

        review(room, "bob", Approved);
        let shown = asks(room, BOB, "preview checkout 42", "reviews: 1 of 1").await?;
        ensure!(!shown.contains("be deployed now"), "{shown}");
        let since = room.journal.mark("the deploy");
        room.alice("checkout 42").await;
        room.says("is live").await?;
        ensure!(String::from_utf8_lossy(&room.file("checkout/values.yaml")).contains(&tag));
        let calls = room.calls(since);
        let queries = calls.iter().take_while(|call| *call != "github.commit").filter(|call| *call == "github.query");
        ensure!(queries.count() == 1, "the reviews come with the one query: {calls:?}");
        Ok(())
    });
}

#[test]
fn a_rollback_needs_no_new_review() {
    room(async |room| -> Result<()> {
        hurry(room);
        let first = room.tag("checkout", "feature/totals");
        deploys(room, "checkout 42").await?;
        room.builds("checkout", "feature/totals", "alice");
        deploys(room, "checkout 42").await?;
        catalog(room, "", "    reviews: 2\n");
        room.bob("rollback checkout").await;
        room.says("is live").await?;
        let back = |room: &Sandbox| {
            let file = room.github.lock().file_at(world::GITOPS, "main", "checkout/values.yaml").unwrap_or_default();
            String::from_utf8_lossy(&file).contains(&first).then_some(())
        };
        room.until("the first version", PATIENCE, back).await
    });
}

/// Attack: may deploy one app | counts a review on GitHub as an approval, alone, twice, or of an older commit | one approval is given in Slack, each person counts once, and the review is of the newest commit
#[test]
fn a_review_on_github_counts_as_an_approval_beside_one_in_slack() {
    room(async |room| -> Result<()> {
        hurry(room);
        let people = format!("people: {{ {BOB}: bob, {CAROL}: carol }}");
        let approvals =
            format!("    approvals: {{ count: 2, users: [{BOB}, {CAROL}], github_reviews: true, {people} }}\n");
        catalog(room, "", &approvals);
        let apps = asks(room, BOB, "apps", REPO).await?;
        ensure!(apps.contains("2 approvals, reviews on GitHub count"), "{apps}");

        // An approval of what was there before counts for nothing.
        review(room, "bob", Approved);
        let tag = room.builds("checkout", "feature/totals", "alice");
        room.alice("checkout 42").await;
        let wanted = says(room, "needs 2 approvals").await?;
        ensure!(!room.slack.lock().render_edit(wanted.now()).contains("On GitHub"), "nobody reviewed this");
        room.all_told().await?;
        room.press(ALICE, &wanted, "reject").await;
        says(room, "rejected by").await?;

        // Both of them on GitHub, and nobody here.
        review(room, "bob", Approved);
        review(room, "carol", Approved);
        room.alice("checkout 42").await;
        says(room, "On GitHub approved by @bob and @carol; one approval has to be here.").await?;
        room.all_told().await?;
        review(room, "carol", Dismissed);
        room.alice("checkout 42").await;
        let wanted = says(room, "On GitHub approved by @bob; one approval has to be here.").await?;
        room.all_told().await?;

        // The same person twice is one.
        let before = room.commits();
        room.press(BOB, &wanted, "approve").await;
        says(room, "Approved by @bob so far").await?;
        ensure!(room.commits() == before, "one of two");
        room.press(CAROL, &wanted, "approve").await;
        let live = room.says("is live").await?;
        ensure!(live.contains(&tag), "{live}");
        room.all_told().await?;

        // One here and one there.
        room.builds("checkout", "feature/totals", "alice");
        review(room, "bob", Approved);
        room.alice("checkout 42").await;
        let wanted = says(room, "On GitHub approved by @bob; one approval has to be here.").await?;
        room.all_told().await?;
        room.press(CAROL, &wanted, "approve").await;
        room.says("is live").await?;
        room.all_told().await?;
        let commits = room.github.lock().commits(world::GITOPS, "main");
        let newest = commits.iter().find(|commit| commit.message.contains("Approved-By")).context("a commit")?;
        for user in [BOB, CAROL] {
            ensure!(newest.message.contains(&format!("Approved-By: {user}")), "{}", newest.message);
        }
        Ok(())
    });
}

/// Alice merges her reviewed pull request 50 in the browser, and CI builds the merge.
fn merges(room: &Room, squash: bool) -> String {
    room.github.lock().repo(REPO).pull_request(fakes::github::PullRequest::new(50, "topic"));
    room.github.lock().review(REPO, 50, "bob", Approved);
    let merge = room.github.lock().merge(REPO, 50, "alice", squash);
    let tag = room.tag("checkout", "main");
    room.registry.lock().push(REPO, &tag);
    merge
}

#[test]
fn a_branch_whose_newest_commit_is_the_merge_of_a_reviewed_pull_request_is_reviewed() {
    for squash in [true, false] {
        room(async |room| -> Result<()> {
            hurry(room);
            catalog(room, "", "    reviews: 1\n");
            merges(room, squash);
            let shown = asks(room, BOB, "preview checkout main", "only a preview").await?;
            ensure!(shown.contains("reviews: 1 of 1"), "{shown}");
            deploys(room, "checkout main").await?;
            let people = "github_reviews: true, people: { U0BOB: bob }";
            catalog(room, "", &format!("    approvals: {{ count: 2, users: [{BOB}, {CAROL}], {people} }}\n"));
            room.alice("checkout main").await;
            let wanted = says(room, "On GitHub approved by @bob; one approval has to be here.").await?;
            room.all_told().await?;
            room.press(ALICE, &wanted, "reject").await;
            says(room, "rejected by").await?;
            catalog(room, "", "    reviews: 1\n");
            // One commit later it is a branch like any other.
            room.builds("checkout", "main", "alice");
            let branch = refused(room, "checkout main").await?;
            ensure!(branch.contains("takes only reviewed pull requests, and `main` is a branch."), "{branch}");
            Ok(())
        });
    }
}

/// Attack: may push to the app repository | merges a reviewed pull request by hand, with more in it | not reviewed: the files are others than those that were reviewed
#[test]
fn a_merge_with_more_in_it_than_was_reviewed_is_not_reviewed() {
    room(async |room| -> Result<()> {
        hurry(room);
        let people = "people: { U0BOB: bob }";
        catalog(
            room,
            "",
            &format!(
                "    reviews: 1\n    approvals: {{ count: 2, users: [{BOB}, {CAROL}], github_reviews: true, {people} }}\n"
            ),
        );
        room.github.lock().repo(REPO).pull_request(fakes::github::PullRequest::new(50, "topic"));
        room.github.lock().review(REPO, 50, "bob", Approved);
        let reviewed = room.github.lock().pull_request(REPO, 50).head_oid.clone();
        let mut merge = fakes::github::NewCommit::new("Merge topic", &[("work.txt", "topic"), ("evil.txt", "1")]);
        merge.merges = Some(reviewed);
        room.github.lock().push(REPO, "main", "mallory", &[merge]);
        let state = room.github.lock().pull_request(REPO, 50).state;
        ensure!(state == fakes::github::PullRequestState::Merged, "GitHub takes it for the merge: {state:?}");
        let tag = room.tag("checkout", "main");
        room.registry.lock().push(REPO, &tag);
        let before = room.commits();
        let said = refused(room, "checkout main").await?;
        ensure!(said.contains("takes only reviewed pull requests, and `main` is a branch."), "{said}");

        // The same where reviews count as approvals.
        catalog(
            room,
            "",
            &format!("    approvals: {{ count: 2, users: [{BOB}, {CAROL}], github_reviews: true, {people} }}\n"),
        );
        room.alice("checkout main").await;
        let wanted = says(room, "needs 2 approvals").await?;
        ensure!(!room.slack.lock().render_edit(wanted.now()).contains("On GitHub"), "nobody reviewed this");
        room.all_told().await?;
        ensure!(room.commits() == before + 1, "only the catalog was changed");
        Ok(())
    });
}
