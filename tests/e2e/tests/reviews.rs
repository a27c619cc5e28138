//! The gate `reviews`: who has approved what on GitHub, through the real components.

use crate::conversation::{asks, catalog, deploys, hurry};
use crate::refusals::refused;
use anyhow::{Result, ensure};
use e2e::{PATIENCE, Room, room};
use fakes::github::ReviewState;
use fakes::github::ReviewState::{Approved, ChangesRequested, Commented, Dismissed};
use sandbox::Sandbox;
use sandbox::world::{self, BOB};

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
        ensure!(said.contains("has none. bob approved an earlier commit."), "{said}");
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
