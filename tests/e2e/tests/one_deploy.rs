//! One deploy, from Slack to Slack: read this first.

use anyhow::Result;
use e2e::{PATIENCE, changed_lines, quick, room, room_with};
use fakes::argocd::{Health, Script};
use sandbox::journal::{Entry, Outcome};
use sandbox::{Options, now, world};
use serde_json::Value;
use std::time::Duration;

/// Alice types `/deploy checkout 42`, and one message goes from "accepted" to "live".
#[test]
fn a_pull_request_goes_live() {
    room(async |room| -> Result<()> {
        let tag = room.tag("checkout", "feature/totals");
        let before = room.file("checkout/values.yaml");

        // She reads at once that it was accepted.
        let answer = room.alice("checkout 42").await;
        assert_eq!(answer.status, Some(200));
        assert!(answer.is_accepted(), "{}", answer.body);

        // One message in the channel tells the rest.
        let message = room.says("is live").await?;
        assert!(message.contains(&tag), "{message}");
        assert_eq!(room.messages().len(), 1);

        // Exactly one scalar of one file differs, in one commit by the bot that carries her name.
        let after = room.file("checkout/values.yaml");
        let changed = changed_lines(&before, &after);
        assert_eq!(changed.len(), 1, "{changed:?}");
        assert!(changed[0].1.contains(&format!("\"{tag}\"")), "{changed:?}");
        let commits = room.github.lock().commits(world::GITOPS, "main");
        assert_eq!(commits[0].changed(), ["checkout/values.yaml"]);
        assert!(commits[0].message.contains("Requested-By: alice"), "{}", commits[0].message);

        // Argo CD was asked once, for exactly that commit, and runs it.
        let argocd = room.argocd.lock();
        let revisions: Vec<_> = argocd.syncs().iter().map(|sync| sync.revision().map(str::to_owned)).collect();
        assert_eq!(revisions, [Some(commits[0].sha.clone())]);
        assert_eq!(argocd.live_tag("checkout"), Some(tag.as_str()));
        Ok(())
    });
}

/// A branch goes the same way. Whatever people's files look like, exactly the bytes of one scalar differ afterwards.
#[test]
fn only_the_tag_changes_however_the_file_is_written() {
    // `TAG` is the scalar, with its quotes: as it was, and as it must be (`NEW` is the new tag). `IMAGE` is checkout's.
    let files = [
        // Comments everywhere, an odd order, a second `tag`, text that looks like the old tag.
        (
            "# image.tag: old-0000000\nsidecar: { tag: old-0000000 }\n\n\nimage: # by hand?\n\n    # old-0000000\n    tag: TAG    # never by hand\n    repository: IMAGE\nz: 1\na: 'old-0000000'\n",
            "\"old-0000000\"",
            "\"NEW\"",
        ),
        // As an editor on Windows leaves it: CRLF, no line break at the end, single quotes.
        ("# Windows\r\nreplicas: 2\r\nimage:\r\n  repository: IMAGE\r\n  tag: TAG", "'old-0000000'", "'NEW'"),
        // A BOM, which GitHub's text does not show; both kinds of line breaks; blanks at the end of lines.
        ("\u{feff}image:   \r\n  tag: TAG  \n  pullPolicy: Always\r\n\r\n", "\"old-0000000\"", "\"NEW\""),
        // Flow style, on one line, without a line break at the end.
        ("{ image: { repository: IMAGE, tag: TAG, digest: null }, other: [1, 2] }", "'old-0000000'", "'NEW'"),
        // A plain scalar gets quotes, because a tag may read as a number.
        ("image:\n  tag: TAG\n", "old-0000000", "\"NEW\""),
    ];
    room(async |room| -> Result<()> {
        room.script("checkout", quick());
        let branch = room.builds("checkout", "release/2.x", "alice");
        let pull_request = room.tag("checkout", "feature/totals");
        let image = format!("{}/acme/checkout", room.registry.origin().trim_start_matches("http://"));
        for (n, (text, old, new)) in files.into_iter().enumerate() {
            let text = text.replace("IMAGE", &image);
            let (typed, tag) = if n % 2 == 0 { ("release/2.x", &branch) } else { ("42", &pull_request) };
            room.github.lock().repo(world::GITOPS).file("checkout/values.yaml", text.replace("TAG", old));

            room.goes_live(&format!("checkout {typed}")).await?;

            let expected = text.replace("TAG", &new.replace("NEW", tag));
            assert_eq!(String::from_utf8(room.file("checkout/values.yaml"))?, expected);
            let newest = room.github.lock().commits(world::GITOPS, "main").remove(0);
            assert_eq!(newest.changed(), ["checkout/values.yaml"]);
            assert_eq!(room.argocd.lock().live_tag("checkout"), Some(tag.as_str()));
        }
        Ok(())
    });
}

/// Slack has its answer before the bot's first call to another system, however slow these systems are.
#[test]
fn the_answer_comes_before_any_call_to_another_system() {
    room(async |room| -> Result<()> {
        room.latency(Duration::from_secs(1));
        for app in ["checkout", "payments"] {
            room.script(app, quick());
        }
        let mut took = Vec::new();
        for typed in ["checkout 42", "payments 7", "chekout 42"] {
            let answer = room.alice(typed).await;
            assert!(answer.is_accepted(), "{}", answer.body);
            took.push(answer.took);
            if took.len() == 1 {
                let entries = room.journal.entries();
                let order: Vec<&str> = entries.iter().map(|entry| entry.call.as_str()).take(2).collect();
                assert_eq!(order, ["bot.asked", "bot.answered"]);
            }
        }
        // The quickest of three: a busy machine may slow one of them down, but a call of a second would slow
        // down each.
        let quickest = took.iter().min().copied().unwrap_or_default();
        assert!(quickest < Duration::from_millis(300), "{took:?}");
        // Slow systems only make the deploy take longer.
        let ends = |text: &String| text.contains("is live") || text.contains("Did you mean `checkout`?");
        let all = |room: &sandbox::Sandbox| {
            let slack = room.slack.lock();
            let all = slack.messages(world::DEPLOYS).iter().chain(slack.all_ephemerals());
            let ended = all.map(|message| slack.render(message)).filter(ends);
            (ended.count() == 3).then_some(())
        };
        room.until("end of all three", PATIENCE * 3, all).await?;
        Ok(())
    });
}

/// From the answer to the commit there are three round trips, one after the other: one query, the HEADs for the tags that the
/// commit may have, one mutation. The message is posted at the same time.
#[test]
fn three_round_trips_lead_from_the_answer_to_the_commit() {
    room(async |room| -> Result<()> {
        room.script("checkout", quick());
        // Somebody's deploy a moment ago, even a refused one, has left the catalog in the cache.
        room.alice("chekout 42").await;
        room.says("Did you mean `checkout`?").await?;

        room.github.latency(Duration::from_millis(100));
        room.slack.latency(Duration::from_millis(1_500));
        let since = room.journal.mark("checkout");
        room.goes_live("checkout 42").await?;
        let entries = from_answer_to_commit(&room.journal.entries()[since..]);
        let path: Vec<&Entry> = entries.iter().filter(|entry| entry.system != "slack").collect();
        let rounds: Vec<&[&Entry]> = path.chunk_by(|one, next| one.call == next.call).collect();
        let shown: Vec<String> = rounds.iter().map(|round| format!("{} {}", round.len(), round[0].call)).collect();
        let login = ["5 registry.head", "1 registry.token"];
        assert_eq!(shown, ["1 github.query", login[0], login[1], "5 registry.head", "1 github.commit"]);
        for pair in rounds.windows(2) {
            let ended = pair[0].iter().map(|entry| entry.at + entry.took.unwrap_or_default()).max();
            assert!(ended <= Some(pair[1][0].at), "they are sequential, so each of them counts: {pair:?}");
        }
        // The registry's login is apart: its first answer only says where to log in, and a token comes from there.
        let is_login = |entry: &Entry| entry.outcome == Outcome::Status(401) || entry.call == "registry.token";
        let path: Vec<&Entry> = path.into_iter().filter(|entry| !is_login(entry)).collect();
        let heads = ["registry.head"; 5];
        assert_eq!(calls(&path), [&["github.query"], &heads[..], &["github.commit"]].concat());
        // The message is on its way beside the commit, and the commit does not wait for it.
        let all = &room.journal.entries()[since..];
        let post = all.iter().find(|entry| entry.call == "slack.post").expect("a post");
        let (commit, took) = (path[6].at, path[6].took.unwrap_or_default());
        assert!(post.at < commit + took, "{post}\n{}", path[6]);
        assert!(post.took.is_some_and(|took| commit < post.at + took), "{post}\n{}", path[6]);
        Ok(())
    });
}

/// A deploy makes one call of each kind that changes something, and no more other calls than it needs, at the
/// pace of production.
#[test]
fn a_deploy_makes_no_more_calls_than_it_needs() {
    room_with(Options::default(), async |room| -> Result<()> {
        room.script("checkout", quick());
        // After the first deploy the catalog is known, and where the registry wants a login.
        room.builds("checkout", "main", "alice");
        room.goes_live("checkout main").await?;
        room.nothing_left().await?;
        room.builds("checkout", "main", "alice");
        let begin = room.journal.mark("deploy");
        room.goes_live("checkout main").await?;
        room.all_told().await?;
        let calls = room.calls(begin);
        let of = |systems: &[&str]| -> Vec<&str> {
            let is_of = |call: &&str| systems.iter().any(|system| call.starts_with(system));
            calls.iter().map(String::as_str).filter(is_of).collect()
        };
        // The login is beside the query. The comparison comes after the commit, for the message.
        let mut to_commit = of(&["github", "registry"]);
        to_commit[..2].sort_unstable();
        let heads = ["registry.head"; 5];
        let expected = [&["github.query", "registry.token"], &heads[..], &["github.commit", "github.compare"]].concat();
        assert_eq!(to_commit, expected, "{calls:?}");
        assert_eq!(of(&["argocd.webhook", "argocd.sync"]), ["argocd.webhook", "argocd.sync"], "{calls:?}");
        assert!(of(&["argocd.get", "argocd.refresh"]).len() <= 1, "{calls:?}");
        assert_eq!(of(&["argocd.tree"]), ["argocd.tree"], "once, before it is called live: {calls:?}");
        assert_eq!(of(&["slack.post"]).len(), 1, "{calls:?}");
        assert!(of(&["slack"]).len() <= 6, "{calls:?}");
        Ok(())
    });
}

/// The calls to stand-ins after the answer to the command, up to the mutation.
fn from_answer_to_commit(entries: &[Entry]) -> Vec<Entry> {
    let to_stand_ins = entries.iter().filter(|entry| !matches!(entry.system, "bot" | "mark"));
    let mut path: Vec<Entry> = to_stand_ins.cloned().collect();
    let commit = path.iter().position(|entry| entry.call == "github.commit").expect("a mutation");
    path.truncate(commit + 1);
    path
}

fn calls(entries: &[&Entry]) -> Vec<String> {
    entries.iter().map(|entry| entry.call.clone()).collect()
}

/// Whatever changes in Argo CD is in the message within a second, at the pace of production: while the sync goes, two changes in quick
/// succession, and the health after it.
#[test]
fn a_change_in_argo_cd_is_in_the_message_within_a_second() {
    const SECOND: u64 = 1000;
    // Only the guardian's end is quicker than in production, which has nothing to do with this test.
    let options = Options { limits: Some(serde_json::json!({ "guardian": 400 })), ..Options::default() };
    room_with(options, async |room| -> Result<()> {
        let step = |after, what: &str| (after, format!("waiting for {what}"));
        room.script(
            "checkout",
            Script {
                begins: 800,
                steps: vec![
                    step(1500, "completion of hook batch/Job/migrate"),
                    step(150, "healthy state of apps/Deployment/cache"),
                    step(1500, "healthy state of apps/Deployment/checkout"),
                ],
                ends: 1500,
                reconciles: 1200,
                health: vec![(0, Health::Progressing)],
                ..Script::default()
            },
        );
        room.alice("checkout 42").await;

        // What Argo CD shows, and the words for it.
        let changes: [(&str, &str, &str); 5] = [
            ("/operation/initiatedBy/username", "deploy-bot", "rolling out"),
            (
                "/status/operationState/message",
                "waiting for completion of hook batch/Job/migrate",
                "hook batch/Job/migrate",
            ),
            (
                "/status/operationState/message",
                "waiting for healthy state of apps/Deployment/cache",
                "Deployment/cache",
            ),
            (
                "/status/operationState/message",
                "waiting for healthy state of apps/Deployment/checkout",
                "Deployment/checkout",
            ),
            ("/status/operationState/phase", "Succeeded", "rolled out"),
        ];
        for (pointer, value, words) in changes {
            let shows = |room: &sandbox::Sandbox| {
                let application: Value = room.argocd.lock().application("checkout");
                (application.pointer(pointer)? == value).then(now)
            };
            let changed = room.until(&format!("{value:?} at {pointer}"), PATIENCE, shows).await?;
            let told = first_said(room, words).await?;
            assert!(told <= changed + SECOND, "{words:?} after {} ms", told - changed);
        }

        // Then the health, which Argo CD may change at any time. Healthy only counts after a new comparison.
        let is_compared = |room: &sandbox::Sandbox| {
            let application = room.argocd.lock().application("checkout");
            let time = |pointer| application.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
            (time("/status/reconciledAt") > time("/status/operationState/finishedAt")).then_some(())
        };
        room.until("comparison after the sync", PATIENCE, is_compared).await?;
        room.argocd.lock().app("checkout").flaps = true;
        for (health, words) in [
            (Health::Degraded, "Health: degraded"),
            (Health::Progressing, "Health: progressing"),
            (Health::Healthy, "is live"),
        ] {
            let before = room.said().len();
            let changed = now();
            room.argocd.lock().look(changed, "checkout", Some(health));
            let told = room
                .until(words, PATIENCE, |_| {
                    room.said().into_iter().skip(before).find(|(.., text)| text.contains(words))
                })
                .await?
                .0;
            assert!(told <= changed + SECOND, "{words:?} after {} ms", told - changed);
        }
        Ok(())
    });
}

/// When a message first said this.
async fn first_said(room: &e2e::Room, words: &str) -> Result<u64> {
    let said = |_: &sandbox::Sandbox| room.said().into_iter().find(|(.., text)| text.contains(words));
    Ok(room.until(&format!("message that says {words:?}"), PATIENCE, said).await?.0)
}

/// A tag that is live already is not committed again: the bot finds its earlier commit and syncs that commit.
#[test]
fn deploying_again_what_is_live_syncs_the_same_commit() {
    room(async |room| -> Result<()> {
        room.script("checkout", quick());
        room.goes_live("checkout 42").await?;
        let (commits, file) = (room.commits(), room.file("checkout/values.yaml"));
        let sha = room.github.lock().commits(world::GITOPS, "main")[0].sha.clone();

        room.goes_live("checkout 42").await?;
        assert_eq!(room.commits(), commits);
        assert_eq!(room.file("checkout/values.yaml"), file);
        assert_eq!(room.github.lock().calls("github.commit"), 1);
        let argocd = room.argocd.lock();
        let revisions: Vec<_> = argocd.syncs().iter().map(|sync| sync.revision().unwrap_or_default()).collect();
        assert_eq!(revisions, [&sha, &sha]);
        let ids: Vec<_> = argocd.syncs().iter().map(|sync| sync.info("deploy-id").map(str::to_owned)).collect();
        assert_ne!(ids[0], ids[1], "each of the two asked for its own sync");
        drop(argocd);
        let reason = |(_, n, text): (u64, usize, String)| n == 1 && text.contains("is already in Git (my commit");
        assert!(room.said().into_iter().any(reason), "{:#?}", room.said());
        Ok(())
    });
}

/// What people pushed below the app's path since the live commit goes live too: the message says how many commits, whose and which.
#[test]
fn the_message_names_whose_commits_ride_along() {
    room(async |room| -> Result<()> {
        room.script("checkout", quick());
        // There is nothing to compare the first deploy with, and the message says so.
        let first = room.goes_live("checkout 42").await?;
        assert!(first.contains("First deploy of"), "{first}");

        let push = |user: &str, path: &str, message: &str| {
            room.github.lock().person_pushes(world::GITOPS, "main", user, &[(path, user)], message)
        };
        let carols = push("carol", "checkout/limits.yaml", "Double the memory\n\nIt was too little.");
        push("bob", "payments/limits.yaml", "Not below that path");
        let bobs = push("bob", "checkout/notes.md", "Say <!channel> why");
        room.builds("checkout", "feature/totals", "alice");
        let message = room.goes_live("checkout 42").await?;
        let expected = format!(
            "Also goes live: 2 commits by bob and carol: `{}` Say <!channel> why; `{}` Double the memory",
            &bobs[..7],
            &carols[..7]
        );
        assert!(message.contains(&expected), "{message}");

        // Now they are live: they ride along once.
        room.builds("checkout", "feature/totals", "alice");
        let message = room.goes_live("checkout 42").await?;
        assert!(!message.contains("Also goes live"), "{message}");
        Ok(())
    });
}
