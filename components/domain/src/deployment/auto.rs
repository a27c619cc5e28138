//! An application that Argo CD syncs by itself: the catalog says `sync: auto`. Nothing is asked for. What Argo CD did is
//! read, and what people did.
//!
//! Easy to miss: Argo CD may take a later commit than ours, so its operation has another revision. Where the cluster is as our
//! commit says already, there is no operation at all.

use super::proof::{Doubt, Proof, proof};
use super::verdict::{Step, View, before_sync, fail_after, forget_doubt, health, note_hooks, progress, sync_failed};
use super::{ApplicationWatch, CommittedFact, Failure, LastWord, Waiting};
use crate::application::{Application, OperationState, Phase, SyncStatus};
use crate::image::VerifyRunning;
use crate::limits;
use crate::time::Timestamp;

/// What one look means where Argo CD syncs by itself.
pub(super) fn auto(view: View<'_>, committed: &CommittedFact, watch: &mut ApplicationWatch) -> Step {
    let app = view.app;
    let on_ours = |revisions: &[String]| revisions.iter().any(|revision| revision == committed.sha.as_str());
    let (operation, last) = (app.operation.as_ref(), app.last.as_ref());
    if !watch.looked {
        watch.looked = true;
        let begun = operation.is_some_and(|operation| on_ours(&operation.revisions));
        // What is shown may be of after our commit already: then nothing is excused as having been so before.
        if !begun && !last.is_some_and(|last| on_ours(&last.revisions)) {
            before_sync(app, committed.commit.target(), watch);
        }
    }
    let ours = last.filter(|last| on_ours(&last.revisions));
    note_hooks(watch, ours, view.now);
    if let Some(operation) = operation {
        if on_ours(&operation.revisions) {
            watch.note_taken(view.now);
            return Step::Follow(progress(app, false));
        }
        let (by, of) = (operation.by.clone(), operation.deploy_id.clone());
        return Step::Wait(Some(Waiting::OtherOperation { by, of, hook: None }));
    }
    if let Some(last) = ours {
        watch.note_taken(view.now);
        return match last.phase {
            Phase::Running | Phase::Terminating | Phase::Other => Step::Follow(progress(app, false)),
            Phase::Failed | Phase::Error => sync_failed((app, last), watch, &committed.commit.target().ours()),
            Phase::Succeeded => health(view, committed, watch, last.finished.or(last.started)),
        };
    }
    if app.sync_status == SyncStatus::Synced && on_ours(&app.compared) {
        // There was nothing left to sync, or a later operation did it.
        watch.note_taken(view.now);
        let ended = last.and_then(|last| last.finished.or(last.started));
        return health(view, committed, watch, ended.or(Some(Timestamp::default())));
    }
    // Argo CD's times are compared with ours only where they are far apart.
    let began_after =
        |started: Option<Timestamp>| started > watch.last_before || started >= Some(committed.at.after(limits::CLOCKS));
    match last.filter(|last| began_after(last.started)) {
        Some(last) => later(view, committed, watch, last),
        None => wait_for_auto_sync(app),
    }
}

/// Argo CD syncs by itself, or somebody does.
pub(super) fn wait_for_auto_sync(app: &Application) -> Step {
    Step::Wait(Some(Waiting::AutoSync { is_on: app.automated }))
}

/// An operation on another commit has begun after ours was there. It counts if it applied our image.
fn later(view: View<'_>, committed: &CommittedFact, watch: &mut ApplicationWatch, last: &OperationState) -> Step {
    let (app, plan) = (view.app, committed.commit.target());
    let ended = last.finished.or(last.started);
    let applied = last.applied_images();
    let found = match plan.verify_running {
        VerifyRunning::Off => Ok(Proof::NotAsked),
        // Argo CD before 3.1 does not say what was applied.
        VerifyRunning::On if applied.is_empty() && last.phase == Phase::Succeeded => {
            let Some(pods) = view.pods else { return Step::LookAtPods };
            let running = pods.iter().filter(|pod| pod.runs).flat_map(|pod| pod.images.iter().cloned());
            proof(&[], &running.collect::<Vec<_>>(), &plan.ours())
        }
        VerifyRunning::On => proof(&applied, &[], &plan.ours()),
    };
    match (last.phase, found) {
        (Phase::Running | Phase::Terminating | Phase::Other, _) => {
            let (by, of) = (last.by.clone(), last.deploy_id.clone());
            Step::Wait(Some(Waiting::OtherOperation { by, of, hook: None }))
        }
        (Phase::Succeeded, Ok(Proof::Applied | Proof::Runs)) => {
            watch.note_taken(view.now);
            health(view, committed, watch, ended)
        }
        (Phase::Succeeded, Ok(Proof::NotAsked)) if app.sync_status == SyncStatus::Synced => {
            watch.note_taken(view.now);
            health(view, committed, watch, ended)
        }
        (Phase::Failed | Phase::Error, Ok(Proof::Applied)) => {
            sync_failed((app, last), watch, &committed.commit.target().ours())
        }
        (Phase::Succeeded, Err(Doubt::OtherTag)) if app.sync_status == SyncStatus::Synced && !applied.is_empty() => {
            replaced((view, committed), watch, last, applied)
        }
        _ => {
            forget_doubt(watch);
            wait_for_auto_sync(app)
        }
    }
}

/// Argo CD has nothing left to sync, and what it applied is another tag: somebody wrote it over ours. Or Argo CD has not seen
/// our commit yet, so it is told to look before that counts.
fn replaced(
    (view, committed): (View<'_>, &CommittedFact),
    watch: &mut ApplicationWatch,
    last: &OperationState,
    found: Vec<String>,
) -> Step {
    let wanted = committed.commit.target().image_ref().to_string();
    let is_new = watch.degraded_since.is_none();
    let failure = Failure::OtherImage { wanted, found, why: Doubt::OtherTag };
    match fail_after((view, committed), watch, view.limits.other_image, failure) {
        Step::Over(_) => Step::Over(LastWord::Superseded { by_deployment: None, by_person: last.by.clone() }),
        _ if is_new => Step::Refresh(progress(view.app, false)),
        step => step,
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "test code")]
mod tests {
    use super::*;
    use crate::application::{Health, Operation, Pod, Resource, SyncBy};
    use crate::deployment::samples::{at, commit, committed, id, relayed, sha};
    use crate::deployment::{CommitFact, Facts, step};
    use crate::limits::Limits;

    const NEW: &str = "ghcr.io/acme/checkout:faster-cart-aaaaaaa";
    const OLD: &str = "ghcr.io/acme/checkout:main-1234567";

    struct Scene {
        facts: Facts,
        watch: ApplicationWatch,
        app: Application,
        pods: &'static str,
    }

    /// An operation that auto-sync began, and what it applied.
    fn operation(revision: char, started: u64, phase: Phase, image: Option<&str>) -> OperationState {
        let applied = Resource {
            status: "Synced".to_owned(),
            images: image.map(|image| vec![image.to_owned()]),
            ..Resource::default()
        };
        OperationState {
            phase,
            started: Some(at(started)),
            finished: Some(at(started + 2)),
            revisions: vec![sha(revision).to_string()],
            by: Some("auto-sync".to_owned()),
            resources: vec![applied],
            ..OperationState::default()
        }
    }

    impl Scene {
        /// Our commit `d…` was made at 3 s. The application runs the version before.
        fn new() -> Self {
            let mut commit: CommitFact = commit();
            commit.target_mut().sync = SyncBy::Auto;
            let committed = CommittedFact { commit: Box::new(commit.clone()), ..committed() };
            let facts = Facts { commit: Some(commit), committed: Some(committed), ..relayed() };
            let app = Application {
                automated: true,
                health: Health::Healthy,
                sync_status: SyncStatus::Synced,
                compared: vec![sha('c').to_string()],
                reconciled: Some(at(1)),
                last: Some(operation('c', 0, Phase::Succeeded, Some(OLD))),
                ..Application::default()
            };
            Self { facts, watch: ApplicationWatch::default(), app, pods: OLD }
        }

        fn step(&mut self, seconds: u64) -> Step {
            let (id, limits) = (id('1'), Limits::default());
            let pods = [Pod { images: vec![self.pods.to_owned()], runs: true, ..Pod::default() }];
            let view =
                View { id: &id, facts: &self.facts, app: &self.app, pods: None, now: at(seconds), limits: &limits };
            match step(view, &mut self.watch) {
                Step::LookAtPods => step(View { pods: Some(&pods), ..view }, &mut self.watch),
                step => step,
            }
        }

        /// This operation ended well, Argo CD has compared with that commit since, and all is healthy.
        fn synced(&mut self, revision: char, started: u64, image: Option<&str>) {
            self.app.last = Some(operation(revision, started, Phase::Succeeded, image));
            self.app.reconciled = Some(at(started + 3));
            self.app.compared = vec![sha(revision).to_string()];
        }
    }

    fn waits(is_on: bool) -> Step {
        Step::Wait(Some(Waiting::AutoSync { is_on }))
    }

    fn is_live(step: &Step) -> bool {
        matches!(step, Step::Over(LastWord::Live { .. }))
    }

    #[test]
    fn it_is_never_asked_for_and_our_commit_counts() {
        let mut scene = Scene::new();
        assert_eq!(scene.step(5), waits(true));
        assert_eq!(scene.step(500), waits(true));
        scene.app.operation = Some(Operation { revisions: vec![sha('d').to_string()], ..Operation::default() });
        assert!(matches!(scene.step(501), Step::Follow(_)));
        assert_eq!((scene.watch.asked, scene.watch.taken, scene.watch.automated), (None, Some(at(501)), false));
        scene.app.operation = None;
        scene.app.last = Some(operation('d', 500, Phase::Running, Some(NEW)));
        assert!(matches!(scene.step(502), Step::Follow(_)));
        scene.synced('d', 500, Some(NEW));
        scene.pods = NEW;
        assert!(is_live(&scene.step(504)));
        scene.app.last = Some(operation('d', 500, Phase::Failed, Some(NEW)));
        assert!(matches!(scene.step(505), Step::Over(LastWord::Failed { failure: Failure::Sync { .. } })));
        scene.app = Application { automated: false, ..Scene::new().app };
        assert_eq!(scene.step(506), waits(false));
    }

    #[test]
    fn a_later_operation_counts_if_it_applied_our_image() {
        let mut scene = Scene::new();
        scene.step(5);
        scene.app.operation = Some(Operation { by: Some("auto-sync".to_owned()), ..Operation::default() });
        assert!(matches!(scene.step(6), Step::Wait(Some(Waiting::OtherOperation { .. }))));
        scene.app.operation = None;
        scene.synced('e', 7, Some(NEW));
        scene.pods = NEW;
        assert!(is_live(&scene.step(12)));
        // It began before our commit, as far as anybody can tell.
        let mut before = Scene::new();
        before.app.last = Some(operation('e', 4, Phase::Succeeded, Some(NEW)));
        assert_eq!(before.step(5), waits(true));
        // The bot was away: the first look comes long after.
        let mut late = Scene::new();
        late.synced('e', 60, Some(NEW));
        late.pods = NEW;
        assert!(is_live(&late.step(70)));
        // A failed one that applied it.
        late.app.last = Some(operation('e', 60, Phase::Failed, Some(NEW)));
        assert!(matches!(late.step(71), Step::Over(LastWord::Failed { .. })));
        late.app.last = Some(operation('e', 60, Phase::Failed, Some(OLD)));
        assert_eq!(late.step(72), waits(true));
    }

    #[test]
    fn before_argo_cd_3_1_pods_show_what_a_later_operation_applied() {
        let mut scene = Scene::new();
        scene.step(5);
        scene.synced('e', 7, None);
        assert_eq!(scene.step(12), waits(true));
        scene.pods = NEW;
        assert!(is_live(&scene.step(13)));
    }

    #[test]
    fn another_tag_over_ours_supersedes_it_after_argo_cd_was_told_to_look() {
        let mut scene = Scene::new();
        scene.step(5);
        scene.synced('e', 7, Some("ghcr.io/acme/checkout:by-hand"));
        assert!(matches!(scene.step(20), Step::Refresh(_)));
        assert_eq!(scene.step(21), Step::LookAgainAt(at(80)));
        // Argo CD finds our commit.
        scene.app.sync_status = SyncStatus::OutOfSync;
        assert_eq!(scene.step(79), waits(true));
        scene.app.sync_status = SyncStatus::Synced;
        assert!(matches!(scene.step(100), Step::Refresh(_)));
        let by_person = Some("auto-sync".to_owned());
        let superseded = LastWord::Superseded { by_deployment: None, by_person };
        assert_eq!(scene.step(160), Step::Over(superseded));
    }

    #[test]
    fn where_nothing_is_left_to_sync_there_is_no_operation() {
        let mut scene = Scene::new();
        scene.app.last = Some(operation('a', 0, Phase::Succeeded, Some(NEW)));
        (scene.app.compared, scene.pods) = (vec![sha('d').to_string()], NEW);
        assert!(matches!(scene.step(5), Step::Follow(_)), "compared before the operation ended");
        scene.app.reconciled = Some(at(4));
        assert!(is_live(&scene.step(6)));
        scene.app.last = None;
        assert!(is_live(&scene.step(7)));
    }

    /// What was so before our commit is excused, but nothing that may be of our version.
    #[test]
    fn the_first_look_is_what_was_so_before() {
        let unwell = crate::application::Unwell { kind: "Ingress".to_owned(), ..crate::application::Unwell::default() };
        let mut scene = Scene::new();
        scene.app.unwell = vec![unwell.clone()];
        scene.step(5);
        assert_eq!((scene.watch.before.len(), scene.watch.last_before), (1, Some(at(0))));
        let mut late = Scene::new();
        late.app.unwell = vec![unwell];
        late.app.last = Some(operation('d', 4, Phase::Running, Some(NEW)));
        late.step(5);
        assert_eq!((late.watch.before.len(), late.watch.looked), (0, true));
    }
}
