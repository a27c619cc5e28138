//! What may be deployed besides a pull request and a branch: a Git tag, a commit, a channel of the registry, a version of before.
//! A word that may mean two of them is never guessed, and GitHub shows commits of forks as if they were the repository's own.

use crate::conversation::{asks, catalog, deploys, hurry, says, whispers};
use crate::refusals::refused;
use anyhow::{Context, Result, ensure};
use e2e::{Room, room};
use fakes::github::{Checks, Head, NewCommit, PullRequest, ReviewState};
use fakes::registry::Kind;
use sandbox::world::{ALICE, BOB, DEPLOYS, GITOPS};

const REPO: &str = "acme/checkout";
const TAGS: &str = "    tags: ['v*']\n";

/// The newest commit of a branch.
fn head(room: &Room, branch: &str) -> Result<String> {
    room.github.lock().head(REPO, branch).context("a head")
}

/// Somebody pushes to a branch; the commit.
fn pushes(room: &Room, branch: &str, text: &str) -> String {
    room.github.lock().person_pushes(REPO, branch, "bob", &[("work.txt", text)], &format!("Write {text}"))
}

/// CI builds this tag of the image.
fn built(room: &Room, tag: &str) -> String {
    room.registry.lock().push(REPO, tag)
}

/// CI builds a commit of a branch; its tag.
fn built_of(room: &Room, branch: &str, commit: &str) -> String {
    let tag = format!("{}-{}", branch.replace('/', "-"), &commit[..7]);
    built(room, &tag);
    tag
}

/// What stands in the newest commit of ours.
fn written(room: &Room) -> Result<String> {
    let github = room.github.lock();
    let head = github.head(GITOPS, "main").context("a head")?;
    Ok(github.commit(GITOPS, &head).context("a commit")?.message.clone())
}

#[test]
fn a_git_tag_is_deployed_by_its_own_rule() {
    room(async |room| -> Result<()> {
        hurry(room);
        let light = pushes(room, "main", "1");
        let annotated = pushes(room, "main", "2");
        room.github.lock().tag(REPO, "v1.0.0", &light, false);
        room.github.lock().tag(REPO, "v1.1.0", &annotated, true);
        let none = refused(room, "checkout tag:v1.0.0").await?;
        ensure!(none.contains("checkout isn't deployed by Git tags. Ask"), "{none}");

        catalog(
            room,
            "",
            &format!("{TAGS}    tag_of_tags: 'r{{version}}'\n    checks: required\n    branches: [main]\n"),
        );
        built(room, "r1.0.0");
        built(room, "r1.1.0");
        let unchecked = refused(room, "checkout v1.0.0").await?;
        ensure!(unchecked.contains("needs the checks of commit `<sha>` to pass"), "{unchecked}");
        for commit in [&light, &annotated] {
            room.github.lock().checks(REPO, commit, Some(Checks::Success));
        }
        for (typed, tag, commit) in [("v1.0.0", "r1.0.0", &light), ("tag:v1.1.0", "r1.1.0", &annotated)] {
            let before = room.journal.mark(typed);
            let live = room.goes_live(&format!("checkout {typed}")).await?;
            ensure!(live.contains(&format!("is live: `{tag}`")), "{live}");
            ensure!(written(room)?.contains(&format!("Source-Commit: {commit}")), "{}", written(room)?);
            let queries = room.calls(before).into_iter().filter(|call| call == "github.graphql").count();
            ensure!(queries <= 2, "one query and one mutation: {:?}", room.calls(before));
            room.all_told().await?;
        }
        let history = asks(room, ALICE, "history checkout", "newest first").await?;
        ensure!(history.contains("`r1.1.0`") && history.contains("`r1.0.0`"), "{history}");
        let other = refused(room, "checkout tag:nightly").await?;
        ensure!(other.contains("only the Git tags `v*` of checkout can be deployed, and this is `nightly`"), "{other}");
        let unknown = refused(room, "checkout v9").await?;
        ensure!(unknown.contains("acme/checkout has no branch or tag `v9`"), "{unknown}");
        Ok(())
    });
}

#[test]
fn a_commit_is_deployed_if_a_branch_or_an_open_pull_request_has_it() {
    room(async |room| -> Result<()> {
        hurry(room);
        let old = pushes(room, "main", "1");
        let tag = built_of(room, "main", &old);
        pushes(room, "main", "2");
        let live = room.goes_live(&format!("checkout {}", &old[..9])).await?;
        ensure!(live.contains(&format!("is live: `{tag}`")) && live.contains(&old[..7]), "{live}");
        room.all_told().await?;

        // Of another branch only where that is named.
        let release = pushes(room, "release/1", "3");
        pushes(room, "release/1", "4");
        let tag = built_of(room, "release/1", &release);
        let elsewhere = refused(room, &format!("checkout {}", &release[..7])).await?;
        let words = format!("commit `{}` isn't in `main`, and no open pull request", &release[..7]);
        ensure!(elsewhere.contains(&words) && elsewhere.contains("of release/1"), "{elsewhere}");
        let wrong = refused(room, &format!("checkout {} of feature/totals", &release[..7])).await?;
        ensure!(wrong.contains("isn't in the branch `feature/totals`"), "{wrong}");
        let wrong = refused(room, &format!("checkout {} of nowhere", &release[..7])).await?;
        ensure!(wrong.contains("no branch `nowhere`"), "{wrong}");
        let live = room.goes_live(&format!("checkout {} of release/1", &release[..7])).await?;
        ensure!(live.contains(&format!("is live: `{tag}`")), "{live}");
        room.all_told().await?;

        // The head of an open pull request is that pull request.
        let of_pull_request = head(room, "feature/totals")?;
        let live = room.goes_live(&format!("checkout {of_pull_request}")).await?;
        ensure!(live.contains("#42") && live.contains(&of_pull_request[..7]), "{live}");
        room.all_told().await?;
        let none = refused(room, "checkout 1234abc").await?;
        ensure!(none.contains("acme/checkout has no branch or commit `1234abc`"), "{none}");
        Ok(())
    });
}

/// A word that fits more than one kind is not guessed.
#[test]
fn a_word_that_means_two_things_is_refused_with_both() {
    room(async |room| -> Result<()> {
        hurry(room);
        catalog(room, "", &format!("{TAGS}    channels: [main]\n"));
        let commit = head(room, "main")?;
        room.github.lock().tag(REPO, "v1.2.3", &commit, false);
        let branch = pushes(room, "v1.2.3", "1");
        let both = refused(room, "checkout v1.2.3").await?;
        ensure!(both.contains("`v1.2.3` is a branch and a tag, and I don't guess"), "{both}");
        ensure!(both.contains("Type `branch:v1.2.3` or `tag:v1.2.3`."), "{both}");
        built(room, "v1.2.3");
        deploys(room, "checkout tag:v1.2.3").await?;
        ensure!(written(room)?.contains(&format!("Source-Commit: {commit}")), "{}", written(room)?);
        built_of(room, "v1.2.3", &branch);
        deploys(room, "checkout branch:v1.2.3").await?;
        ensure!(written(room)?.contains(&format!("Source-Commit: {branch}")), "{}", written(room)?);
        let both = refused(room, "checkout main").await?;
        ensure!(both.contains("`main` is a branch and a channel"), "{both}");
        Ok(())
    });
}

#[test]
fn a_version_of_before_is_deployed_again_with_all_gates() {
    room(async |room| -> Result<()> {
        hurry(room);
        let first = room.builds("checkout", "main", "alice");
        let commit = head(room, "main")?;
        deploys(room, "checkout main").await?;
        room.builds("checkout", "main", "alice");
        deploys(room, "checkout main").await?;
        catalog(room, "", "    checks: required\n");
        for typed in [first.clone(), format!("version:{first}")] {
            let unchecked = refused(room, &format!("checkout {typed}")).await?;
            ensure!(unchecked.contains("needs the checks of commit `<sha>` to pass"), "{unchecked}");
        }
        room.github.lock().checks(REPO, &commit, Some(Checks::Success));
        let live = room.goes_live(&format!("checkout {first}")).await?;
        ensure!(live.contains(&format!("is live: `{first}`")), "{live}");
        // It locks nothing: it is no rollback.
        room.all_told().await?;
        let status = asks(room, ALICE, "status checkout", "*checkout* runs").await?;
        ensure!(!status.contains("locked"), "{status}");
        let unknown = refused(room, "checkout version:main-0000000").await?;
        ensure!(unknown.contains("main-<sha>"), "{unknown}");
        Ok(())
    });
}

#[test]
fn a_channel_is_deployed_by_digest_where_no_gate_needs_a_commit() {
    room(async |room| -> Result<()> {
        hurry(room);
        let unlisted = refused(room, "checkout channel:latest").await?;
        ensure!(unlisted.contains("checkout has no channel `latest`"), "{unlisted}");
        let old = built(room, "latest");
        catalog(room, "", "    channels: [latest]\n");
        let nowhere = refused(room, "checkout latest").await?;
        ensure!(nowhere.contains("`latest` moves, so I deploy it by its digest alone"), "{nowhere}");
        let file =
            String::from_utf8(room.file("checkout/values.yaml"))?.replace("image:\n", "image:\n  digest: \"\"\n");
        room.github.lock().person_pushes(GITOPS, "main", "carol", &[("checkout/values.yaml", &file)], "Use digests");
        for gate in ["checks: required", "branches: [main]", "reviews: 1", "approvals: { users: [U0BOB] }"] {
            catalog(room, "", &format!("    channels: [latest]\n    digest_at: image.digest\n    {gate}\n"));
            let gated = refused(room, "checkout latest").await?;
            ensure!(gated.contains("nobody knows which commit `latest` is of"), "{gate}: {gated}");
        }
        catalog(room, "", "    channels: [latest]\n    digest_at: image.digest\n");
        deploys(room, "checkout latest").await?;
        let is_pinned = |digest: &str| String::from_utf8_lossy(&room.file("checkout/values.yaml")).contains(digest);
        ensure!(is_pinned(&old), "{old}");
        // It moves, which is no surprise.
        let new = room.registry.lock().push_as(REPO, "latest", Kind::DockerManifest);
        deploys(room, "checkout latest").await?;
        ensure!(is_pinned(&new) && new != old, "{new}");
        // What it was before can be brought back, and what was rolled back does not come again by itself.
        room.alice("rollback checkout").await;
        says(room, "rollback").await?;
        room.says("locked").await?;
        room.all_told().await?;
        ensure!(is_pinned(&old), "{}", String::from_utf8_lossy(&room.file("checkout/values.yaml")));
        room.alice("unlock checkout").await;
        room.says("unlocked").await?;
        let again = refused(room, "checkout latest").await?;
        ensure!(again.contains("the image that `latest` is now was rolled back"), "{again}");
        Ok(())
    });
}

/// Attack: an outsider | a pull request from the fork, whose commit GitHub shows as the repository's own | refused by each of its names
#[test]
fn a_commit_of_a_fork_is_not_deployed() {
    room(async |room| -> Result<()> {
        hurry(room);
        catalog(room, "", TAGS);
        let fork = PullRequest { head: Head::Fork("mallory/checkout".to_owned()), ..PullRequest::new(66, "main") };
        room.github.lock().repo(REPO).pull_request(fork);
        let evil = room.github.lock().pull_request(REPO, 66).head_oid.clone();
        // Even with an image of it, and with a tag that somebody was talked into.
        built_of(room, "main", &evil);
        for typed in [evil[..7].to_owned(), evil.clone(), format!("commit:{evil}"), format!("{} of main", &evil[..12])]
        {
            let said = refused(room, &format!("checkout {typed}")).await?;
            let words = format!("commit `{}` isn't in", &evil[..7]);
            ensure!(said.contains(&words), "{typed}: {said}");
        }
        room.github.lock().tag(REPO, "v6.6.6", &evil, false);
        built(room, "v6.6.6");
        catalog(room, "", &format!("{TAGS}    branches: [main]\n"));
        let said = refused(room, "checkout v6.6.6").await?;
        ensure!(said.contains("only `main` can go to checkout, and this commit isn't in the default branch"), "{said}");
        Ok(())
    });
}

/// Attack: may push to the app repository | a branch and a tag with the name of a good commit, on a bad one | refused, and the good commit has its whole name
#[test]
fn a_branch_named_like_a_commit_stands_for_nothing() {
    room(async |room| -> Result<()> {
        hurry(room);
        let good = pushes(room, "main", "1");
        let tag = built_of(room, "main", &good);
        let digits = good[..7].to_owned();
        let bad = pushes(room, &digits, "bad");
        built_of(room, &digits, &bad);
        built_of(room, "main", &bad);
        let both = refused(room, &format!("checkout {digits}")).await?;
        ensure!(both.contains("is a branch and a commit"), "{both}");
        let said = refused(room, &format!("checkout commit:{digits}")).await?;
        ensure!(said.contains("has no commit"), "{said}");
        let live = room.goes_live(&format!("checkout {good}")).await?;
        ensure!(live.contains(&format!("is live: `{tag}`")), "{live}");
        room.all_told().await
    });
}

/// Attack: may push to the app repository | moves the tag between the request and the approval, or between the preview and the press | the approval and the press were for the commit that was shown
#[test]
fn a_tag_that_moves_is_not_what_was_asked_for() {
    room(async |room| -> Result<()> {
        hurry(room);
        catalog(room, "", &format!("{TAGS}    approvals: {{ users: [U0BOB] }}\n"));
        let (good, evil) = (pushes(room, "main", "good"), pushes(room, "main", "evil"));
        room.github.lock().tag(REPO, "v1.0.0", &good, true);
        built(room, "v1.0.0");
        room.command(ALICE, DEPLOYS, "checkout v1.0.0").await;
        let waits = says(room, "approval").await?;
        room.github.lock().tag(REPO, "v1.0.0", &evil, true);
        let before = room.commits();
        room.press(BOB, &waits, "approve").await;
        let moved = room.says(&evil[..7]).await?;
        ensure!(moved.contains(&good[..7]) && moved.contains("not deployed"), "{moved}");
        room.all_told().await?;
        ensure!(room.commits() == before, "{}", written(room)?);

        catalog(room, "", TAGS);
        room.github.lock().tag(REPO, "v1.0.0", &good, true);
        asks(room, ALICE, "preview checkout v1.0.0", "only a preview").await?;
        let preview = whispers(room, ALICE, "only a preview").await?;
        room.github.lock().tag(REPO, "v1.0.0", &evil, true);
        room.press(ALICE, &preview, "deploy").await;
        whispers(room, ALICE, &evil[..7]).await?;
        room.all_told().await?;
        ensure!(room.commits() == before + 1, "the catalog alone: {}", written(room)?);

        // Once it is deployed, the word means two versions.
        room.github.lock().tag(REPO, "v1.0.0", &good, true);
        deploys(room, "checkout v1.0.0").await?;
        room.github.lock().tag(REPO, "v1.0.0", &evil, true);
        let said = refused(room, "checkout v1.0.0").await?;
        ensure!(said.contains("`v1.0.0` is a tag and a version"), "{said}");
        Ok(())
    });
}

/// Attack: may deploy one app | a commit of a branch that `branches` does not allow, by its digits | judged by the branch that has it
#[test]
fn a_commit_of_a_branch_that_is_not_allowed_is_refused() {
    room(async |room| -> Result<()> {
        hurry(room);
        catalog(room, "", "    branches: [main]\n");
        let topic = pushes(room, "topic", "1");
        built_of(room, "topic", &topic);
        built_of(room, "main", &topic);
        let said = refused(room, &format!("checkout {} of topic", &topic[..7])).await?;
        ensure!(said.contains("only `main` can go to checkout, and this is `topic`"), "{said}");
        let said = refused(room, &format!("checkout {}", &topic[..7])).await?;
        ensure!(said.contains("isn't in `main`"), "{said}");
        let of_pull_request = head(room, "feature/totals")?;
        let said = refused(room, &format!("checkout {}", &of_pull_request[..7])).await?;
        ensure!(said.contains("only `main` can go to checkout, and this is `feature/totals`"), "{said}");
        Ok(())
    });
}

/// Reviews are those of the pull request that the commit is the merge of.
#[test]
fn a_commit_has_the_reviews_of_its_pull_request() {
    room(async |room| -> Result<()> {
        hurry(room);
        catalog(room, "", "    reviews: 1\n");
        let plain = pushes(room, "main", "1");
        built_of(room, "main", &plain);
        let said = refused(room, &format!("checkout {}", &plain[..7])).await?;
        ensure!(said.contains("takes only reviewed pull requests"), "{said}");
        let unreviewed = head(room, "feature/totals")?;
        let said = refused(room, &format!("checkout {}", &unreviewed[..7])).await?;
        ensure!(said.contains("review"), "{said}");
        room.github.lock().review(REPO, 42, "bob", ReviewState::Approved);
        let live = room.goes_live(&format!("checkout {}", &unreviewed[..7])).await?;
        ensure!(live.contains("#42"), "{live}");
        room.all_told().await?;
        let work = [NewCommit::new("More work", &[("more.txt", "1")])];
        let merged = room.github.lock().merge(REPO, 42, "bob", true);
        room.github.lock().push(REPO, "main", "bob", &work);
        let tag = built_of(room, "main", &merged);
        let live = room.goes_live(&format!("checkout {}", &merged[..7])).await?;
        ensure!(live.contains(&format!("is live: `{tag}`")), "{live}");
        room.all_told().await
    });
}
