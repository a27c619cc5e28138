//! One deploy, from Slack to Slack: read this first.

use anyhow::Result;
use e2e::{changed_lines, room};
use sandbox::world;

/// Alice types `/deploy checkout 42`, and one message goes from "accepted" to "live".
#[test]
fn a_pull_request_goes_live() {
    room(async |room| -> Result<()> {
        let tag = room.tag("checkout", "feature/totals");
        let before = room.file("checkout/values.yaml");

        // She reads at once that it was accepted.
        let answer = room.alice("checkout 42").await;
        assert_eq!(answer.status, Some(200));
        assert!(answer.body.contains("Accepted: deploy `checkout #42`"), "{}", answer.body);

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
