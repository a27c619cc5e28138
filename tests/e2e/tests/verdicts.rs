//! What Argo CD shows besides the rollout: what was so before, its conditions, what it would prune.

use e2e::{Room, room};
use fakes::argocd::{Health, Script};
use sandbox::world::GITOPS;

/// A sync that is quick, and the health after it. A reconciliation counts only from the next whole second on.
fn then(health: &[(u64, Health)]) -> Script {
    Script { begins: 20, compares: 20, ends: 50, reconciles: 1100, ..Script::then(health) }
}

fn follows(room: &Room, script: Script) {
    room.argocd.lock().app("checkout").script = script;
}

/// Beside the Deployment there is such a resource, whatever is deployed.
fn standing(room: &Room, kind: &str, health: Health, message: &str) {
    let mut argocd = room.argocd.lock();
    let all = &mut argocd.app("checkout").standing;
    all.retain(|(known, ..)| known != kind);
    all.push((kind.to_owned(), health, message.to_owned()));
    argocd.look(sandbox::now(), "checkout", None);
}

/// Without a controller an Ingress never gets an address. An autoscaler may lack its metrics.
#[test]
fn what_was_so_before_is_said_and_does_not_hold_up() {
    room(async |room| {
        follows(room, then(&[(0, Health::Progressing), (500, Health::Healthy)]));
        standing(room, "Ingress", Health::Progressing, "");
        room.alice("checkout 42").await;
        let message = room.says("is live").await?;
        let expected = "Argo CD calls the app Progressing as before, because of `Ingress/checkout`.";
        assert!(message.contains(expected), "{message}");
        standing(room, "HorizontalPodAutoscaler", Health::Degraded, "no metrics");
        room.alice("checkout main").await;
        room.says("Argo CD calls the app Degraded as before").await?;
        assert!(!room.told().iter().any(|text| text.contains("not healthy")), "{:#?}", room.told());
        Ok(())
    });
}

/// An Ingress that this version changed may be its fault.
#[test]
fn what_was_not_so_before_holds_up() {
    room(async |room| {
        follows(room, Script { reconciles: 60_000, ..then(&[(0, Health::Healthy)]) });
        standing(room, "Ingress", Health::Healthy, "");
        room.alice("checkout 42").await;
        room.says("rolled out").await?;
        standing(room, "Ingress", Health::Progressing, "");
        // Nothing is compared until the bot asks for it.
        room.says("Health: progressing. Ingress/checkout is progressing.").await?;
        standing(room, "Ingress", Health::Healthy, "");
        let message = room.says("is live").await?;
        assert!(!message.contains("as before"), "{message}");
        Ok(())
    });
}

fn condition(room: &Room, kind: &str, message: &str) {
    let mut argocd = room.argocd.lock();
    argocd.app("checkout").conditions = vec![(kind.to_owned(), message.to_owned())];
    argocd.look(sandbox::now(), "checkout", None);
}

/// A warning holds nothing up. Passwords of repositories are not told.
#[test]
fn conditions_are_told_while_they_hold_and_in_the_last_word() {
    room(async |room| {
        follows(room, then(&[(0, Health::Healthy)]));
        condition(
            room,
            "OrphanedResourceWarning",
            "Application has 3 orphaned resources: see https://bob:hunter2@git.example/x",
        );
        room.alice("checkout 42").await;
        let message = room.says("is live").await?;
        assert!(
            message.contains("Argo CD says: OrphanedResourceWarning: Application has 3 orphaned resources"),
            "{message}"
        );
        assert!(!room.told().iter().any(|text| text.contains("hunter2")), "{:#?}", room.told());
        // Somebody breaks the application while it rolls out: Argo CD compares nothing until that is mended.
        follows(room, Script { reconciles: 60_000, ..then(&[(0, Health::Healthy)]) });
        room.alice("checkout main").await;
        room.says("rolled out").await?;
        condition(room, "InvalidSpecError", "application destination has no such cluster");
        room.says("Argo CD says: InvalidSpecError: application destination has no such cluster").await?;
        {
            let mut argocd = room.argocd.lock();
            argocd.app("checkout").conditions = Vec::new();
            argocd.look(sandbox::now() + 1000, "checkout", Some(Health::Healthy));
        }
        let message = room.says(&format!("is live: `{}`", room.tag("checkout", "main"))).await?;
        assert!(!message.contains("InvalidSpecError"), "{message}");
        Ok(())
    });
}

/// The bot never prunes, so what is left over stays.
#[test]
fn what_would_be_pruned_is_said() {
    room(async |room| {
        follows(room, then(&[(0, Health::Healthy)]));
        room.argocd.lock().app("checkout").leftover = true;
        room.alice("checkout 42").await;
        let message = room.says("is live").await?;
        assert!(
            message.contains("1 resource would be pruned, because it is no longer in Git: `ConfigMap/old-config`."),
            "{message}"
        );
        Ok(())
    });
}

/// Carol adds a line to checkout's entry in the catalog.
fn in_the_catalog(room: &Room, line: &str) {
    let catalog = String::from_utf8_lossy(&room.file("deploy-bot.yaml")).into_owned();
    let catalog = catalog.replacen("allow: anyone\n", &format!("allow: anyone\n    {line}\n"), 1);
    room.github.lock().person_pushes(GITOPS, "main", "carol", &[("deploy-bot.yaml", &catalog)], "Change the catalog");
}

/// A mirror that does not even keep the last part of the name.
#[test]
fn a_mirror_of_the_catalog_is_our_image() {
    room(async |room| {
        follows(room, then(&[(0, Health::Healthy)]));
        in_the_catalog(room, "mirrors: [mirror.corp:5000/team/shop]");
        let mirrored = format!("mirror.corp:5000/team/shop:{}", room.tag("checkout", "feature/totals"));
        {
            let mut argocd = room.argocd.lock();
            let app = argocd.app("checkout");
            (app.images, app.applies) = (Some(vec![mirrored.clone()]), Some(vec![mirrored]));
        }
        room.goes_live("checkout 42").await?;
        Ok(())
    });
}

#[test]
fn without_verify_running_nothing_is_proven_and_that_is_said() {
    room(async |room| {
        follows(room, then(&[(0, Health::Healthy)]));
        in_the_catalog(room, "verify_running: off");
        {
            let mut argocd = room.argocd.lock();
            let other = Some(vec!["quay.io/else/thing:1".to_owned()]);
            let app = argocd.app("checkout");
            (app.images, app.applies) = (other.clone(), other);
        }
        room.alice("checkout 42").await;
        let message = room.says("is live").await?;
        assert!(message.contains("is not proven: `verify_running: off`"), "{message}");
        Ok(())
    });
}

/// The application tells Argo CD to look at its charts only, so the sync of our commit applies the old manifests.
#[test]
fn manifest_generate_paths_that_leave_the_values_file_out_are_named() {
    room(async |room| {
        follows(room, then(&[(0, Health::Healthy)]));
        let paths = ("argocd.argoproj.io/manifest-generate-paths".to_owned(), "/charts".to_owned());
        room.argocd.lock().app("checkout").annotations.extend([paths]);
        room.alice("checkout 42").await;
        let message = room.says("doesn't run").await?;
        let expected = "annotation `manifest-generate-paths` (`/charts`) leaves out `checkout/values.yaml`";
        assert!(message.contains(expected), "{message}");
        Ok(())
    });
}

/// Nothing ends a hook that hangs. What it is called and for how long it runs is in the message.
#[test]
fn a_hook_that_holds_the_sync_is_named() {
    room(async |room| {
        let steps = vec![(50, "waiting for completion of hook batch/Job/migrate".to_owned())];
        follows(room, Script { steps, ends: 2500, ..then(&[(0, Health::Healthy)]) });
        room.argocd.lock().app("checkout").hook = Some("PostSync".to_owned());
        room.alice("checkout 42").await;
        room.says("waiting for Job/migrate (PostSync hook)").await?;
        room.says("is live").await?;
        Ok(())
    });
}
