//! Every refusal says what is wrong, that nothing was changed, and what to do about it.
//!
//! These are the messages as people read them in #deploys, written by the real components.

use crate::conversation::{catalog, says};
use anyhow::{Result, ensure};
use e2e::{PATIENCE, Room, changed_lines, limits, room, room_with};
use fakes::github::{Access, Head, NewCommit, Person, PullRequest, PullRequestState};
use fakes::slack::{Bot, Kind};
use sandbox::{Options, world};
use serde_json::{Value, json};

const VALUES: &str = "checkout/values.yaml";
const CATALOG: &str = "deploy-bot.yaml";

/// A message with what differs from run to run replaced: the registry's port, and the ids of commits.
fn steady(room: &Room, text: &str) -> String {
    let mut text = text.replace(room.registry.origin().trim_start_matches("http://"), "registry.test");
    let github = room.github.lock();
    for (repo, branch) in [(world::GITOPS, "main"), ("acme/checkout", "main"), ("acme/checkout", "feature/totals")] {
        for commit in github.commits(repo, branch) {
            text = text.replace(&commit.sha[..7], "<sha>");
        }
    }
    text
}

/// Somebody types a command and is refused. Returns the last state of the bot's one message. Nothing is
/// changed anywhere.
async fn refused_to(room: &Room, user: &str, channel: &str, text: &str) -> Result<String> {
    // Many people in one room type faster than Slack lets a bot speak; here it is not about that.
    room.nobody_spoke().await?;
    let (commits, said) = (room.commits(), room.slack.lock().messages(channel).len());
    let whispered = room.whispers().len();
    let since = room.journal.mark(text);
    let answer = room.command(user, channel, text).await;
    assert!(answer.is_accepted(), "{text}: {answer:?}");
    let last_word = |room: &sandbox::Sandbox| {
        let slack = room.slack.lock();
        let news = slack.all_ephemerals().iter().skip(whispered);
        let news = news.map(|message| e2e::without_id(&slack.render_edit(message.now())));
        news.into_iter().find(|text| !text.contains("hourglass"))
    };
    let message = room.until(&format!("last word about {text:?}"), PATIENCE, last_word).await?;
    assert_eq!(room.slack.lock().messages(channel).len(), said, "{text}: nothing in the channel");
    assert_eq!(room.whispers().len(), whispered + 1, "{text}: one answer for one request");
    assert!(message.contains("not deployed: ") || message.contains("Nothing was changed."), "{message}");
    assert_eq!(room.commits(), commits, "{text}: no commit");
    let calls = room.calls(since);
    // Looks at the applications come with a new catalog, and change nothing.
    let looks = ["argocd.list", "argocd.can_i"];
    let forbidden =
        |call: &&String| *call == "github.commit" || (call.starts_with("argocd.") && !looks.contains(&call.as_str()));
    assert!(!calls.iter().any(|call| forbidden(&call)), "{text}: {calls:?}");
    Ok(steady(room, &message))
}

/// Alice is refused, in #deploys.
pub(crate) async fn refused(room: &Room, text: &str) -> Result<String> {
    refused_to(room, world::ALICE, world::DEPLOYS, text).await
}

/// Alice deploys checkout's pull request: no earlier refusal is in the way.
async fn deploys(room: &Room) -> Result<()> {
    let (tag, before, commits) = (room.tag("checkout", "feature/totals"), room.file(VALUES), room.commits());
    room.alice("checkout 42").await;
    room.says("is live").await?;
    assert_eq!(room.commits(), commits + 1);
    let changed = changed_lines(&before, &room.file(VALUES));
    assert_eq!(changed.len(), 1, "{changed:?}");
    assert!(changed[0].1.contains(&tag), "{changed:?}");
    Ok(())
}

/// The same of Slack's own limits.
fn without_limits(room: &Room) {
    room.slack.lock().limits = None;
}

/// Bob pushes this file to the GitOps branch.
fn bob_writes(room: &Room, path: &str, content: impl AsRef<[u8]>) {
    let mut commit = NewCommit::new(&format!("Write {path}"), &[]);
    commit.files.push((path.to_owned(), Some(content.as_ref().to_vec())));
    room.github.lock().push(world::GITOPS, "main", "bob", &[commit]);
}

/// A catalog whose only app is checkout, with these lines below it.
fn checkout(room: &Room, lines: &str) -> String {
    let host = room.registry.origin().trim_start_matches("http://").to_owned();
    format!("apps:\n  checkout:\n    repo: acme/checkout\n    image: {host}/acme/checkout\n{lines}")
}

/// Returns what the asker alone reads at once; nothing else happened.
async fn answered(room: &Room, text: &str) -> Result<String> {
    let since = room.journal.mark(text);
    let answer = room.alice(text).await;
    assert_eq!(answer.status, Some(200), "{text}");
    let body: Value = serde_json::from_str(&answer.body)?;
    assert_eq!(body["response_type"], "ephemeral", "{text}");
    assert_eq!(room.calls(since), Vec::<String>::new(), "{text}: nobody else was asked");
    assert_eq!(room.keys().await?, Vec::<String>::new(), "{text}: no record");
    assert_eq!(room.messages(), Vec::<String>::new(), "{text}: nothing in the channel");
    let slack = room.slack.lock();
    let whispered = slack.ephemerals(world::ALICE).last().map(|message| slack.render(message));
    Ok(whispered.unwrap_or_default())
}

#[test]
fn an_unknown_command_is_answered_at_once_and_to_the_asker_alone() {
    room(async |room| -> Result<()> {
        let mut said = Vec::new();
        for text in [
            "checkout",
            "checkout 42 now",
            "@production 42",
            "checkout@ 42",
            "checkout 0",
            "checkout #99999999999999999999",
            "checkout feature..totals",
            "checkout https://github.com/acme/checkout/issues/42",
            "https://github.com/acme/checkout/pull/42",
            "checkout <!channel>",
        ] {
            said.push(format!("{text}: {}", answered(room, text).await?));
        }
        said.push(format!("(very long): {}", answered(room, &"x".repeat(1001)).await?));
        insta::assert_snapshot!(said.join("\n"), @"
        checkout: I didn't understand that: the pull request or branch is missing after `checkout`. Type it like `/deploy checkout 42`, or see `/deploy help`.
        checkout 42 now: I didn't understand that: `now` after `42` is one word too many. Type it like `/deploy checkout 42`, or see `/deploy help`.
        @production 42: I didn't understand that: the app is missing before `@production`. Type it like `/deploy checkout 42`, or see `/deploy help`.
        checkout@ 42: I didn't understand that: the environment is missing after `checkout@`. Type it like `/deploy checkout 42`, or see `/deploy help`.
        checkout 0: I didn't understand that: `#0` is not the number of a pull request. Type it like `/deploy checkout 42`, or see `/deploy help`.
        checkout #99999999999999999999: I didn't understand that: `#99999999999999999999` is not the number of a pull request. Type it like `/deploy checkout 42`, or see `/deploy help`.
        checkout feature..totals: I didn't understand that: `feature..totals` is neither a pull request nor the name of a branch. Type it like `/deploy checkout 42`, or see `/deploy help`.
        checkout https://github.com/acme/checkout/issues/42: I didn't understand that: `https://github.com/acme/checkout/issues/42` is not a link to a pull request. Type it like `/deploy checkout 42`, or see `/deploy help`.
        https://github.com/acme/checkout/pull/42: I didn't understand that: the app is missing: it comes before the link. Type it like `/deploy checkout 42`, or see `/deploy help`.
        checkout <!channel>: I didn't understand that: `<!channel>` is not a link to a pull request. Type it like `/deploy checkout 42`, or see `/deploy help`.
        (very long): I didn't understand that: it is longer than 1000 characters. Type it like `/deploy checkout 42`, or see `/deploy help`.
        ");

        let help = answered(room, "help").await?;
        insta::assert_snapshot!(help, @"
        I deploy apps: one commit to Git, then I follow Argo CD until the new version is live.
        • `/deploy <app>[@environment] <pull request, branch, tag or commit> [override <reason>]`: deploy a pull request, the newest commit of a branch, a tag, or a commit
        • `/deploy preview <app>[@environment] <pull request, branch, tag or commit>`: show what a deploy would change, and change nothing
        • `/deploy status [<app>[@environment] or <environment> or @me]`: what is live and what is under way: of one app or all, of an environment, or of yours
        • `/deploy history <app>[@environment] [--since <day>] or <commit>`: what was deployed before, by whom, and how it ended; or which deploy made a commit
        • `/deploy why <app>[@environment] or <id>`: what holds an app up now, and who can help
        • `/deploy diff <app> <environment> <environment>`: what is live in one environment of an app and not in another one
        • `/deploy rollback <app>[@environment] [<tag or line of the history>] [override <reason>]`: go back to the last healthy version, or to the one you name; this also locks the app
        • `/deploy promote <app> [[from] to] [override <reason>]`: deploy what is live in one environment to another one: the same image
        • `/deploy cancel <app>[@environment]`: stop a deploy that is not committed yet
        • `/deploy lock <app>[@environment] <reason> [for <time>]`: stop all deploys of an app (or of everything: `all`), until somebody unlocks it or the time is up
        • `/deploy unlock <app>[@environment]`: allow deploys of an app again (or of everything: `all`)
        • `/deploy notify <thread, dm or off>`: how you are told when a deploy of yours is live, if it took more than a minute
        • `/deploy apps`: which apps and environments there are
        • `/deploy help [<command>]`: this list, or more about one command
        `/deploy` alone opens a form. Examples for one command: `/deploy help rollback`
        ");
        Ok(())
    });
}

#[test]
fn people_of_another_workspace_are_sent_away() {
    room(async |room| -> Result<()> {
        room.slack.lock().users.get_mut(world::ALICE).expect("alice").team = "T0OTHER".to_owned();
        insta::assert_snapshot!(answered(room, "checkout 42").await?, @"I work for another Slack workspace. Ask your Slack admins which bot deploys here.");
        Ok(())
    });
}

#[test]
fn a_name_that_the_catalog_does_not_have() {
    room(async |room| -> Result<()> {
        without_limits(room);
        insta::assert_snapshot!(refused(room, "chekout 42").await?, @"
        :no_entry: *chekout #42*  not deployed: there is no app `chekout`. Did you mean `checkout`?
        asked by @alice
        ");
        insta::assert_snapshot!(refused(room, "billing 42").await?, @"
        :no_entry: *billing #42*  not deployed: there is no app `billing`. The apps are `checkout`, `payments`.
        asked by @alice
        ");
        insta::assert_snapshot!(refused(room, "checkout@staging 42").await?, @"
        :no_entry: *checkout@staging #42*  not deployed: `checkout` has no environment `staging`. It has `default`.
        asked by @alice
        ");

        let environments = "    allow: anyone
    environments:
      staging: { values: staging/values.yaml, argocd: { application: checkout-staging } }
      production: { values: checkout/values.yaml }
";
        bob_writes(room, CATALOG, checkout(room, environments));
        insta::assert_snapshot!(refused(room, "checkout@prodution 42").await?, @"
        :no_entry: *checkout@prodution #42*  not deployed: `checkout` has no environment `prodution`. Did you mean `production`?
        asked by @alice
        ");
        insta::assert_snapshot!(refused(room, "checkout@qa 42").await?, @"
        :no_entry: *checkout@qa #42*  not deployed: `checkout` has no environment `qa`. It has `production`, `staging`.
        asked by @alice
        ");
        insta::assert_snapshot!(refused(room, "checkout 42").await?, @"
        :no_entry: *checkout #42*  not deployed: `checkout` has several environments. Say which one, like `checkout@production`. It has `production`, `staging`.
        asked by @alice
        ");
        insta::assert_snapshot!(refused(room, "payments 7").await?, @"
        :no_entry: *payments #7*  not deployed: there is no app `payments`. The apps are `checkout`.
        asked by @alice
        ");
        Ok(())
    });
}

#[test]
fn the_catalog_says_who_may_deploy() {
    room(async |room| -> Result<()> {
        without_limits(room);
        {
            let mut slack = room.slack.lock();
            slack.add_channel("C0RANDOM", "random", Kind::Public, Bot::Member);
            slack.groups.insert("S0BACKEND".to_owned(), vec![world::BOB.to_owned()]);
        }
        // An empty list means nobody, and so does none at all.
        bob_writes(room, CATALOG, checkout(room, "    allow: {}\n"));
        insta::assert_snapshot!(refused(room, "checkout 42").await?, @"
        :no_entry: *checkout #42*  not deployed: nobody is set up to deploy checkout yet. Ask whoever looks after the catalog to add your team in `deploy-bot.yaml`.
        asked by @alice
        ");
        bob_writes(room, CATALOG, checkout(room, ""));
        insta::assert_snapshot!(refused(room, "checkout 42").await?, @"
        :no_entry: *checkout #42*  not deployed: nobody is set up to deploy checkout yet. Ask whoever looks after the catalog to add your team in `deploy-bot.yaml`.
        asked by @alice
        ");

        bob_writes(room, CATALOG, checkout(room, "    allow: { users: [U0BOB] }\n"));
        insta::assert_snapshot!(refused(room, "checkout 42").await?, @"
        :no_entry: *checkout #42*  not deployed: you aren't allowed to deploy checkout. Ask whoever looks after the catalog to add you in `deploy-bot.yaml`.
        asked by @alice
        ");

        bob_writes(room, CATALOG, checkout(room, "    allow: { groups: [S0BACKEND] }\n"));
        insta::assert_snapshot!(refused(room, "checkout 42").await?, @"
        :no_entry: *checkout #42*  not deployed: you aren't allowed to deploy checkout. Ask whoever looks after the catalog to add you in `deploy-bot.yaml`.
        asked by @alice
        ");
        // A member of the group gets further, and so does a new member, at once.
        insta::assert_snapshot!(refused_to(room, world::BOB, world::DEPLOYS, "checkout 99").await?, @"
        :no_entry: *checkout #99*  not deployed: acme/checkout has no pull request #99. Check the number. If you mean a branch of that name, type `branch:99`.
        asked by @bob
        ");
        room.slack.lock().groups.insert("S0BACKEND".to_owned(), vec![world::ALICE.to_owned()]);
        insta::assert_snapshot!(refused(room, "checkout 99").await?, @"
        :no_entry: *checkout #99*  not deployed: acme/checkout has no pull request #99. Check the number. If you mean a branch of that name, type `branch:99`.
        asked by @alice
        ");
        insta::assert_snapshot!(refused_to(room, world::BOB, world::DEPLOYS, "checkout 99").await?, @"
        :no_entry: *checkout #99*  not deployed: you aren't allowed to deploy checkout. Ask whoever looks after the catalog to add you in `deploy-bot.yaml`.
        asked by @bob
        ");
        // A user whom the catalog names needs no group, and Slack is not asked.
        bob_writes(room, CATALOG, checkout(room, "    allow: { users: [U0BOB], groups: [S0BACKEND] }\n"));
        refused_to(room, world::BOB, world::DEPLOYS, "checkout 99").await?;
        let since = room.journal.mark("the catalog is remembered");
        assert!(refused_to(room, world::BOB, world::DEPLOYS, "checkout 99").await?.contains("no pull request"));
        assert!(!room.calls(since).contains(&"slack.group".to_owned()));
        // A group that Slack does not know has no members; the log names it.
        room.slack.lock().groups.clear();
        insta::assert_snapshot!(refused(room, "checkout 99").await?, @"
        :no_entry: *checkout #99*  not deployed: you aren't allowed to deploy checkout. Ask whoever looks after the catalog to add you in `deploy-bot.yaml`.
        asked by @alice
        ");
        assert!(room.log().contains("no_such_group"), "{}", room.log());

        bob_writes(room, CATALOG, checkout(room, "    allow: { users: [U0ALICE], channels: [C0DEPLOYS] }\n"));
        insta::assert_snapshot!(refused_to(room, world::ALICE, "C0RANDOM", "checkout 42").await?, @"
        :no_entry: *checkout #42*  not deployed: checkout can't be deployed from this channel. Use one of the channels that `deploy-bot.yaml` lists for it.
        asked by @alice
        ");
        insta::assert_snapshot!(refused_to(room, world::BOB, "C0RANDOM", "checkout 42").await?, @"
        :no_entry: *checkout #42*  not deployed: you aren't allowed to deploy checkout. Ask whoever looks after the catalog to add you in `deploy-bot.yaml`.
        asked by @bob
        ");
        insta::assert_snapshot!(refused(room, "checkout 99").await?, @"
        :no_entry: *checkout #99*  not deployed: acme/checkout has no pull request #99. Check the number. If you mean a branch of that name, type `branch:99`.
        asked by @alice
        ");

        bob_writes(room, CATALOG, checkout(room, "    allow: anyone\n"));
        insta::assert_snapshot!(refused_to(room, world::CAROL, "C0RANDOM", "checkout 99").await?, @"
        :no_entry: *checkout #99*  not deployed: acme/checkout has no pull request #99. Check the number. If you mean a branch of that name, type `branch:99`.
        asked by @carol
        ");
        Ok(())
    });
}

#[test]
fn a_pull_request_or_branch_that_cannot_be_deployed() {
    room(async |room| -> Result<()> {
        without_limits(room);
        {
            let mut github = room.github.lock();
            let with = |number, state, head| PullRequest {
                state,
                head,
                ..PullRequest::new(number, &format!("work-{number}"))
            };
            let fork = || Head::Fork("mallory/checkout".to_owned());
            github
                .repo("acme/checkout")
                .pull_request(with(43, PullRequestState::Closed, Head::SameRepository))
                .pull_request(with(44, PullRequestState::Merged, Head::SameRepository))
                .pull_request(with(45, PullRequestState::Open, fork()))
                .pull_request(with(46, PullRequestState::Open, Head::DeletedFork))
                .pull_request(with(47, PullRequestState::Closed, fork()));
        }
        insta::assert_snapshot!(refused(room, "checkout 99").await?, @"
        :no_entry: *checkout #99*  not deployed: acme/checkout has no pull request #99. Check the number. If you mean a branch of that name, type `branch:99`.
        asked by @alice
        ");
        insta::assert_snapshot!(refused(room, "checkout 43").await?, @"
        :no_entry: *checkout #43*  not deployed: pull request #43 is closed. Reopen it, or deploy `main`.
        asked by @alice
        ");
        insta::assert_snapshot!(refused(room, "checkout #44").await?, @"
        :no_entry: *checkout #44*  not deployed: pull request #44 is already merged. Deploy `main` instead.
        asked by @alice
        ");
        insta::assert_snapshot!(refused(room, "checkout 45").await?, @"
        :no_entry: *checkout #45*  not deployed: pull request #45 comes from a fork, and CI builds no images for forks. Push its branch to the app's own repository and deploy that.
        asked by @alice
        ");
        insta::assert_snapshot!(refused(room, "checkout 46").await?, @"
        :no_entry: *checkout #46*  not deployed: pull request #46 comes from a fork, and CI builds no images for forks. Push its branch to the app's own repository and deploy that.
        asked by @alice
        ");
        insta::assert_snapshot!(refused(room, "checkout 47").await?, @"
        :no_entry: *checkout #47*  not deployed: pull request #47 is closed. Reopen it, or deploy `main`.
        asked by @alice
        ");
        insta::assert_snapshot!(refused(room, "checkout https://github.com/acme/payments/pull/7").await?, @"
        :no_entry: *checkout acme/payments#7*  not deployed: that link is to acme/payments#7, but `checkout` is built from acme/checkout. Check the app and the link.
        asked by @alice
        ");
        insta::assert_snapshot!(refused(room, "checkout feature/nothing").await?, @"
        :no_entry: *checkout feature/nothing*  not deployed: acme/checkout has no branch `feature/nothing`. Check the name. For a pull request, type its number.
        asked by @alice
        ");
        insta::assert_snapshot!(refused(room, "checkout branch:42").await?, @"
        :no_entry: *checkout 42*  not deployed: acme/checkout has no branch `42`. Check the name. For a pull request, type its number.
        asked by @alice
        ");

        room.github.lock().repo("acme/checkout").access(Access::None);
        insta::assert_snapshot!(refused(room, "checkout 42").await?, @"
        :no_entry: *checkout #42*  not deployed: I can't find the repository acme/checkout on GitHub. Check its name in `deploy-bot.yaml` (or the setting `gitops_repo`), and that my GitHub token may read it.
        asked by @alice
        ");
        Ok(())
    });
}

#[test]
fn an_image_that_is_not_there() {
    room(async |room| -> Result<()> {
        without_limits(room);
        let tag = room.tag("checkout", "feature/totals");
        room.registry.lock().remove_tag("acme/checkout", &tag);
        insta::assert_snapshot!(refused(room, "checkout 42").await?, @"
        :no_entry: *checkout #42*  not deployed: there is no image `feature-totals-<sha>` in `registry.test/acme/checkout` yet, nor one with more digits of the commit (commit `<sha>`, see its checks). Wait until CI has built it, then try again.
        asked by @alice
        [Wait for it]  [Retry]
        ");

        // Another app's image with that tag does not count.
        room.registry.lock().push("acme/payments", &tag);
        assert!(refused(room, "checkout 42").await?.contains("there is no image `feature-totals-<sha>`"));

        let long = "x".repeat(140);
        room.github.lock().repo("acme/checkout").branch(&long).commit("Too long a name", &[("a.txt", "a")]);
        let message = refused(room, &format!("checkout {long}")).await?;
        insta::assert_snapshot!(message.replace(&"x".repeat(30), "x(30)"), @"
        :no_entry: *checkout x(30)x(30)xxxxxxxxxx…*  not deployed: branch and commit make `x(30)x(30)x(30)x(30)xxxxxxx…`, which isn't a valid image tag. Rename the branch (a tag has at most 128 characters and starts with a letter, digit or `_`).
        asked by @alice
        ");

        // As soon as the build has pushed it, the same command works.
        room.registry.lock().push("acme/checkout", &tag);
        deploys(room).await
    });
}

#[test]
fn a_values_file_that_cannot_be_edited_safely_is_left_as_it_is() {
    room(async |room| -> Result<()> {
        without_limits(room);
        let good = room.file(VALUES);
        let too_large = format!("image:\n  tag: \"1\"\n# {}\n", "x".repeat(1 << 20));
        let cases: [(&str, &[u8]); 19] = [
            ("path missing", b"image:\n  repository: acme/checkout\n"),
            ("nothing of the path", b"replicaCount: 1\n"),
            ("empty file", b""),
            ("a list", b"image:\n  tag: [main]\n"),
            ("a template", b"image:\n  tag: {{ .Values.tag }}\n"),
            ("no value", b"image: { tag }\n"),
            ("another type", b"image:\n  tag: !!int 5\n"),
            ("an alias", b"shared: &tag main\nimage:\n  tag: *tag\n"),
            ("an alias on the way", b"shared: &image { tag: main }\nimage: *image\n"),
            ("an anchor with aliases", b"image:\n  tag: &tag main\nsidecar:\n  tag: *tag\n"),
            ("from a merge key only", b"shared: &image { tag: main }\nimage:\n  <<: *image\n"),
            ("a duplicate key", b"image:\n  tag: one\n  tag: two\n"),
            ("a duplicate key on the way", b"image:\n  tag: one\nimage:\n  pullPolicy: Always\n"),
            ("several documents", b"image:\n  tag: one\n---\nimage:\n  tag: two\n"),
            ("a block", b"image:\n  tag: |\n    main\n"),
            ("several lines", b"image:\n  tag: main\n    and more\n"),
            ("a tab", b"image:\n\ttag: main\n"),
            ("not UTF-8", b"# gr\xf6\xdfe\nimage:\n  tag: main\n"),
            ("too large", too_large.as_bytes()),
        ];
        let mut said = Vec::new();
        for (name, file) in cases {
            bob_writes(room, VALUES, file);
            let message = refused(room, "checkout 42").await?;
            assert!(room.file(VALUES) == file, "{name}: the file is changed");
            said.push(format!("{name}: {message}"));
        }
        insta::assert_snapshot!(said.join("\n"), @"
        path missing: :no_entry: *checkout #42*  not deployed: I can't safely edit `checkout/values.yaml`: it has no `image.tag`, only `image` (line 1). Add it there, or set `tag_at` in `deploy-bot.yaml` to where the tag is.
        asked by @alice
        [Retry]
        nothing of the path: :no_entry: *checkout #42*  not deployed: I can't safely edit `checkout/values.yaml`: it has no `image.tag`. Add it there, or set `tag_at` in `deploy-bot.yaml` to where the tag is.
        asked by @alice
        [Retry]
        empty file: :no_entry: *checkout #42*  not deployed: I can't safely edit `checkout/values.yaml`: it has no `image.tag`. Add it there, or set `tag_at` in `deploy-bot.yaml` to where the tag is.
        asked by @alice
        [Retry]
        a list: :no_entry: *checkout #42*  not deployed: I can't safely edit `checkout/values.yaml`: `image.tag` (line 2) is not a single value. Fix the file, or set `tag_at` in `deploy-bot.yaml` to where the tag is.
        asked by @alice
        [Retry]
        a template: :no_entry: *checkout #42*  not deployed: I can't safely edit `checkout/values.yaml`: `image.tag` (line 2) is not a single value. Fix the file, or set `tag_at` in `deploy-bot.yaml` to where the tag is.
        asked by @alice
        [Retry]
        no value: :no_entry: *checkout #42*  not deployed: I can't safely edit `checkout/values.yaml`: `image.tag` (line 1) is empty. Write any value in quotes there once.
        asked by @alice
        [Retry]
        another type: :no_entry: *checkout #42*  not deployed: I can't safely edit `checkout/values.yaml`: `image.tag` (line 2) is marked as `!!int`, not as text. Fix the file, or set `tag_at` in `deploy-bot.yaml` to where the tag is.
        asked by @alice
        [Retry]
        an alias: :no_entry: *checkout #42*  not deployed: I can't safely edit `checkout/values.yaml`: `image.tag` (line 3) only refers to a value elsewhere (a YAML alias). Write the value out there, or list all places that have it in `tag_at` in `deploy-bot.yaml`.
        asked by @alice
        [Retry]
        an alias on the way: :no_entry: *checkout #42*  not deployed: I can't safely edit `checkout/values.yaml`: `image.tag` (line 2) only refers to a value elsewhere (a YAML alias). Write the value out there, or list all places that have it in `tag_at` in `deploy-bot.yaml`.
        asked by @alice
        [Retry]
        an anchor with aliases: :no_entry: *checkout #42*  not deployed: I can't safely edit `checkout/values.yaml`: line 4 uses the value of `image.tag` too (a YAML anchor), so an edit would change both. Write the value out there, or list all places that have it in `tag_at` in `deploy-bot.yaml`.
        asked by @alice
        [Retry]
        from a merge key only: :no_entry: *checkout #42*  not deployed: I can't safely edit `checkout/values.yaml`: `image.tag` comes only from a merge key `<<` (line 3). Write the key itself into the file.
        asked by @alice
        [Retry]
        a duplicate key: :no_entry: *checkout #42*  not deployed: I can't safely edit `checkout/values.yaml`: the key `image.tag` is there twice (again on line 3). Remove one of them.
        asked by @alice
        [Retry]
        a duplicate key on the way: :no_entry: *checkout #42*  not deployed: I can't safely edit `checkout/values.yaml`: on the way to `image.tag` the key `image` is there twice (again on line 3). Remove one of them.
        asked by @alice
        [Retry]
        several documents: :no_entry: *checkout #42*  not deployed: I can't safely edit `checkout/values.yaml`: several documents in it have `image.tag` (again on line 5). Fix the file, or set `tag_at` in `deploy-bot.yaml` to where the tag is.
        asked by @alice
        [Retry]
        a block: :no_entry: *checkout #42*  not deployed: I can't safely edit `checkout/values.yaml`: `image.tag` (line 2) spans several lines. Write it on one line.
        asked by @alice
        [Retry]
        several lines: :no_entry: *checkout #42*  not deployed: I can't safely edit `checkout/values.yaml`: `image.tag` (line 2) spans several lines. Write it on one line.
        asked by @alice
        [Retry]
        a tab: :no_entry: *checkout #42*  not deployed: I can't safely edit `checkout/values.yaml`: line 2 is not valid YAML (a tab as indentation). Fix that line.
        asked by @alice
        [Retry]
        not UTF-8: :no_entry: *checkout #42*  not deployed: I can't safely edit `checkout/values.yaml`: line 1 is not UTF-8. Save the file as UTF-8.
        asked by @alice
        [Retry]
        too large: :no_entry: *checkout #42*  not deployed: `checkout/values.yaml` is too large for me to edit. Move the tag to a smaller file, and set `values` of this app in `deploy-bot.yaml` to that file.
        asked by @alice
        [Retry]
        ");

        // Mended, it can be deployed at once.
        bob_writes(room, VALUES, good);
        deploys(room).await
    });
}

#[test]
fn a_values_file_that_is_missing() {
    room(async |room| -> Result<()> {
        without_limits(room);
        let mut gone = NewCommit::new("Move it", &[]);
        gone.files.push((VALUES.to_owned(), None));
        room.github.lock().push(world::GITOPS, "main", "bob", &[gone]);
        insta::assert_snapshot!(refused(room, "checkout 42").await?, @"
        :no_entry: *checkout #42*  not deployed: there is no `checkout/values.yaml` in acme/gitops. Add it, or set `values` of this app in `deploy-bot.yaml` to the right file.
        asked by @alice
        [Retry]
        ");
        // A folder is no file.
        bob_writes(room, "checkout/values.yaml/readme.md", "moved");
        insta::assert_snapshot!(refused(room, "checkout 42").await?, @"
        :no_entry: *checkout #42*  not deployed: there is no `checkout/values.yaml` in acme/gitops. Add it, or set `values` of this app in `deploy-bot.yaml` to the right file.
        asked by @alice
        [Retry]
        ");
        Ok(())
    });
}

#[test]
fn a_tag_written_by_hand_is_refused_and_not_synced() {
    room(async |room| -> Result<()> {
        without_limits(room);
        let tag = room.tag("checkout", "feature/totals");
        let by_hand = format!("image:\n  tag: \"{tag}\"\n");
        bob_writes(room, VALUES, &by_hand);
        insta::assert_snapshot!(refused(room, "checkout 42").await?, @"
        :no_entry: *checkout #42*  not deployed: bob put `feature-totals-<sha>` into Git by hand (`<sha>`), but didn't deploy it through me. Press *Deploy it* to roll it out now.
        asked by @alice
        [Deploy it]  [Retry]
        ");

        // A copied trailer proves nothing, and neither does the bot's own name.
        let copied = "Deploy checkout\n\nDeploy-Id: 0123456789abcdef0123456789abcdef";
        let written = format!("# again\n{by_hand}");
        room.github.lock().person_pushes(world::GITOPS, "main", world::BOT_LOGIN, &[(VALUES, &written)], copied);
        insta::assert_snapshot!(refused(room, "checkout 42").await?, @"
        :no_entry: *checkout #42*  not deployed: acme-deploy-bot[bot] put `feature-totals-<sha>` into Git by hand (`<sha>`), but didn't deploy it through me. Press *Deploy it* to roll it out now.
        asked by @alice
        [Deploy it]  [Retry]
        ");

        // An author whom GitHub does not know.
        let nobody = Person { name: "A script".to_owned(), email: "root@build.example".to_owned() };
        let commit = NewCommit { author: Some(nobody), ..NewCommit::new("Write the tag", &[(VALUES, &by_hand)]) };
        room.github.lock().push(world::GITOPS, "main", "bob", &[commit]);
        insta::assert_snapshot!(refused(room, "checkout 42").await?, @"
        :no_entry: *checkout #42*  not deployed: somebody put `feature-totals-<sha>` into Git by hand (`<sha>`), but didn't deploy it through me. Press *Deploy it* to roll it out now.
        asked by @alice
        [Deploy it]  [Retry]
        ");
        assert_eq!(room.file(VALUES), by_hand.as_bytes());
        Ok(())
    });
}

#[test]
fn a_catalog_that_cannot_be_used() {
    room(async |room| -> Result<()> {
        without_limits(room);
        let good = room.file(CATALOG);
        let host = room.registry.origin().trim_start_matches("http://").to_owned();
        let twice = format!("{}  checkout:\n    repo: acme/other\n    image: acme/other\n", checkout(room, ""));
        let below_basket = |more: &str| {
            let basket =
                format!("apps:\n  basket:\n    repo: acme/basket\n    image: {host}/acme/basket\n    {more}\n");
            checkout(room, "").replacen("apps:\n", &basket, 1)
        };
        let shared = below_basket("argocd: { application: checkout, project: shop }");
        let same_place = below_basket("values: checkout/values.yaml");
        let misspelt = checkout(room, "    alow: anyone\n");
        let not_utf8 = [b"# gr\xf6\xdfe\n".as_slice(), &good].concat();
        let cases: [(&str, &[u8]); 8] = [
            ("not YAML", b"apps:\n  checkout: [\n"),
            ("an unknown key", misspelt.as_bytes()),
            ("a wrong type", b"apps:\n  - checkout\n"),
            ("no apps", b"apps: {}\n"),
            ("an app twice", twice.as_bytes()),
            ("one application, two projects", shared.as_bytes()),
            ("two targets, one place", same_place.as_bytes()),
            ("not UTF-8", &not_utf8),
        ];
        let mut said = Vec::new();
        for (name, catalog) in cases {
            bob_writes(room, CATALOG, catalog);
            said.push(format!("{name}: {}", refused(room, "checkout 42").await?));
        }
        insta::assert_snapshot!(said.join("\n"), @"
        not YAML: :no_entry: *checkout #42*  not deployed: `deploy-bot.yaml` has a mistake on line 3: this is not YAML: while parsing a flow node, did not find expected node content. Fix it in Git, then try again.
        asked by @alice
        [Retry]
        an unknown key: :no_entry: *checkout #42*  not deployed: `checkout` is out of service: `deploy-bot.yaml` has a mistake on line 5: `checkout` cannot have `alow`: did you mean `allow`? Fix it in Git, then try again.
        asked by @alice
        [Retry]
        a wrong type: :no_entry: *checkout #42*  not deployed: `deploy-bot.yaml` has a mistake on line 1: `apps` must be a map, not a list. Fix it in Git, then try again.
        asked by @alice
        [Retry]
        no apps: :no_entry: *checkout #42*  not deployed: `deploy-bot.yaml` has a mistake on line 1: it has no apps. Fix it in Git, then try again.
        asked by @alice
        [Retry]
        an app twice: :no_entry: *checkout #42*  not deployed: `deploy-bot.yaml` has a mistake on line 5: `checkout` is given twice, first in line 2. Fix it in Git, then try again.
        asked by @alice
        [Retry]
        one application, two projects: :no_entry: *checkout #42*  not deployed: `checkout` is out of service: `deploy-bot.yaml` has a mistake on line 6: `basket` and `checkout` name the Argo CD application `checkout` in different projects, `shop` and `default`. Fix it in Git, then try again.
        asked by @alice
        [Retry]
        two targets, one place: :no_entry: *checkout #42*  not deployed: `checkout` is out of service: `deploy-bot.yaml` has a mistake on line 6: `basket` and `checkout` have their tag in the same place, `image.tag` in `checkout/values.yaml`. Fix it in Git, then try again.
        asked by @alice
        [Retry]
        not UTF-8: :no_entry: *checkout #42*  not deployed: `deploy-bot.yaml` has a mistake on line 1: it is not UTF-8. Fix it in Git, then try again.
        asked by @alice
        [Retry]
        ");

        let mut gone = NewCommit::new("Remove the catalog", &[]);
        gone.files.push((CATALOG.to_owned(), None));
        room.github.lock().push(world::GITOPS, "main", "bob", &[gone]);
        insta::assert_snapshot!(refused(room, "checkout 42").await?, @"
        :no_entry: *checkout #42*  not deployed: there is no `deploy-bot.yaml` on `main` of acme/gitops. Add it there, then try again.
        asked by @alice
        [Retry]
        ");

        // "Fix it, then try again" works at once, whatever catalog is in the cache.
        bob_writes(room, CATALOG, b"apps: {}\n");
        refused(room, "checkout 42").await?;
        bob_writes(room, CATALOG, good);
        deploys(room).await
    });
}

#[test]
fn a_catalog_that_changed_a_moment_ago_counts() {
    room(async |room| -> Result<()> {
        without_limits(room);
        bob_writes(room, CATALOG, checkout(room, "    allow: { users: [U0ALICE] }\n"));
        // From here on the catalog is in the cache.
        assert!(refused(room, "checkout 99").await?.contains("no pull request"));
        let remembered = room.key("deploy-bot/catalog").await?.unwrap_or_default();

        // Alice is taken out: the cached catalog would still let her deploy, but the commit step sees that it
        // is old.
        bob_writes(room, CATALOG, checkout(room, "    allow: { users: [U0BOB] }\n"));
        insta::assert_snapshot!(refused(room, "checkout 42").await?, @"
        :no_entry: *checkout #42*  not deployed: you aren't allowed to deploy checkout. Ask whoever looks after the catalog to add you in `deploy-bot.yaml`.
        asked by @alice
        ");
        let history = room.key("deploy-bot/target/checkout/default/history").await?.unwrap_or_default();
        assert_eq!(history["ids"].as_array().map(Vec::len), Some(2), "she got as far as the application's lease");
        let now = room.key("deploy-bot/catalog").await?.unwrap_or_default();
        assert_ne!(now["sources"]["blob"], remembered["sources"]["blob"]);

        // Alice is let in, but everything is frozen.
        let frozen = "    allow: { users: [U0ALICE] }\n    freeze:\n      - { from: 'Mon 00:00', until: 'Thu 00:00', zone: Europe/Berlin }\n      - { from: 'Thu 00:00', until: 'Mon 00:00', zone: Europe/Berlin }\n";
        bob_writes(room, CATALOG, checkout(room, frozen));
        assert!(refused(room, "checkout 42").await?.contains("frozen"));

        // The freeze is lifted: the cached catalog would refuse her, but a catalog is read again before
        // anybody is refused.
        bob_writes(room, CATALOG, checkout(room, "    allow: { users: [U0ALICE] }\n"));
        deploys(room).await
    });
}

#[test]
fn a_locked_target_says_who_locked_it_and_why() {
    room(async |room| -> Result<()> {
        without_limits(room);
        let lock = async |until: Option<u64>| -> Result<()> {
            let lock = json!({
                "version": 1, "by": world::CAROL, "reason": "Release freeze until Monday.", "until": until,
                "at": sandbox::now(), "rollback": false,
            });
            room.plants("deploy-bot/target/checkout/default/lock", lock).await
        };
        lock(None).await?;
        let locked = refused(room, "checkout 42").await?;
        assert!(locked.contains("not deployed: checkout is locked by @carol since 20"), "{locked}");
        assert!(
            locked.contains("Release freeze until Monday. They or an owner can unlock it: `/deploy unlock checkout`.")
        );
        assert!(locked.ends_with("[Retry]  [Unlock]"), "{locked}");
        lock(Some(sandbox::now() + 600_000)).await?;
        let until = refused(room, "checkout main").await?;
        assert!(until.contains("checkout is locked by @carol since 20") && until.contains(" until 20"), "{until}");
        // Another target is not locked, and a lock that has run out locks nothing.
        assert!(refused(room, "payments 99").await?.contains("no pull request"));
        lock(Some(sandbox::now() - 1)).await?;
        deploys(room).await
    });
}

#[test]
fn a_gitops_branch_or_repository_that_is_not_there() {
    let variables = [("gitops_branch".to_owned(), "release".to_owned())].into();
    room_with(Options { limits: Some(limits()), variables, ..Options::default() }, async |room| -> Result<()> {
        insta::assert_snapshot!(refused(room, "checkout 42").await?, @"
        :no_entry: *checkout #42*  not deployed: acme/gitops has no branch `release`. Ask whoever runs me to check the setting `gitops_branch`.
        asked by @alice
        ");
        room.github.lock().repo(world::GITOPS).access(Access::None);
        insta::assert_snapshot!(refused(room, "checkout 42").await?, @"
        :no_entry: *checkout #42*  not deployed: I can't find the repository acme/gitops on GitHub. Check its name in `deploy-bot.yaml` (or the setting `gitops_repo`), and that my GitHub token may read it.
        asked by @alice
        ");
        Ok(())
    });
}

#[test]
fn sixty_refusals_leave_fifty_records() {
    room(async |room| -> Result<()> {
        without_limits(room);
        for number in 0..60 {
            refused(room, &format!("app-{number} 42")).await?;
        }
        // Where the asker can be answered is deleted when the end is told.
        room.all_told().await?;
        let ids = |key: &str| key.strip_prefix("deploy-bot/deployment/")?.split_once('/').map(|(id, _)| id.to_owned());
        let keys = room.keys().await?;
        let mut remembered: Vec<String> = keys.iter().filter_map(|key| ids(key)).collect();
        remembered.sort();
        remembered.dedup();
        assert_eq!(remembered.len(), 50, "{keys:#?}");
        // Request, message and end of each, and the ring itself, the catalog, what people know of it, which files it manages,
        // and that Alice is no guest. The poller may have seen the two applications by now.
        let others = keys.iter().filter(|key| !key.starts_with("deploy-bot/seen/")).count();
        assert_eq!(others, 50 * 3 + 5, "{keys:#?}");
        Ok(())
    });
}

/// Whoever may deploy may type much that is refused: in the incident the rollback is still there.
///
/// Attack: may deploy one app | types sixty commands that are refused, to push the good version out of the history | the rollback finds it
#[test]
fn refused_commands_push_no_committed_version_out_of_the_history() {
    room(async |room| -> Result<()> {
        without_limits(room);
        room.script("checkout", e2e::quick());
        let first = room.builds("checkout", "main", "alice");
        room.goes_live("checkout main").await?;
        room.builds("checkout", "main", "alice");
        room.goes_live("checkout main").await?;
        for number in 0..60 {
            refused(room, &format!("checkout no-such-branch-{number}")).await?;
        }
        room.bob("rollback checkout").await;
        let back = room.says("is live").await?;
        ensure!(back.contains(&first), "{back}");
        Ok(())
    });
}

/// Attack: may deploy one app | types sixty commands that are refused, to push out a deploy that waits for its approval | it is approved and goes live
#[test]
fn refused_commands_push_no_deploy_out_that_waits_for_approval() {
    room(async |room| -> Result<()> {
        without_limits(room);
        room.script("checkout", e2e::quick());
        catalog(room, "", &format!("    approvals: {{ count: 1, users: [{}] }}\n", world::CAROL));
        room.alice("checkout 42").await;
        let asked = says(room, "needs 1 approval").await?;
        room.all_told().await?;
        for number in 0..60 {
            refused(room, &format!("checkout no-such-branch-{number}")).await?;
        }
        room.press(world::CAROL, &asked, "approve").await;
        room.says("is live").await?;
        room.all_told().await
    });
}

/// Slack answers few questions about groups. Somebody who may not deploy must not use them up for those who may.
///
/// Attack: a member | in no group, types so many commands that Slack answers no more questions about groups | Slack is asked once, and those in the group deploy
#[test]
fn whoever_is_in_no_group_uses_up_no_question_of_the_members() {
    let mut limits = limits();
    limits["group_age"] = 60_000.into();
    room_with(Options { limits: Some(limits), ..Options::default() }, async |room| -> Result<()> {
        without_limits(room);
        room.script("checkout", e2e::quick());
        room.slack.lock().groups.insert("S0BACKEND".to_owned(), vec![world::ALICE.to_owned()]);
        bob_writes(room, CATALOG, checkout(room, "    allow: { groups: [S0BACKEND] }\n"));
        let since = room.journal.mark("Bob, who is in no group");
        for number in 1..=10 {
            let told = refused_to(room, world::BOB, world::DEPLOYS, &format!("checkout {number}")).await?;
            ensure!(told.contains("you aren't allowed"), "{told}");
        }
        room.goes_live("checkout 42").await?;
        let asked = room.calls(since).into_iter().filter(|call| call == "slack.group").count();
        ensure!(asked == 1, "Slack was asked {asked} times");
        // What somebody writes into the store makes nobody a member.
        let known = json!({ "version": 1, "at": sandbox::now(), "members": [world::BOB] });
        room.forges("deploy-bot/group/S0BACKEND", &known).await?;
        let told = refused_to(room, world::BOB, world::DEPLOYS, "checkout 42").await?;
        ensure!(told.contains("you aren't allowed"), "{told}");
        Ok(())
    });
}
