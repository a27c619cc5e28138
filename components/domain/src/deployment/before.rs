//! What was so before our sync, and has nothing to do with our version: an Ingress that never gets an address, a secret
//! that cannot be fetched. Such a resource is excused, and health is judged by what is left.
//!
//! Easy to miss: a workload, or what carries an image that our sync applied, is never excused. Its bad health may be our
//! version's, even if it looks as before. A Job that is gone each time when it is done is the exception. Only what runs the
//! image of another target in the same application is that target's, however it is.

use super::proof::Ours;
use crate::application::{Application, Health, Unwell};
use serde::{Deserialize, Serialize};

/// As many resources are remembered. An application with more of them has other worries.
const MOST: usize = 20;

/// What Argo CD calls the health of an application, as before our sync, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AsBefore {
    /// The health as Argo CD names it.
    pub health: String,
    /// `Kind/name` of each resource that was so before.
    pub because: Vec<String>,
    /// `Kind/name` of each resource that is another target's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub theirs: Vec<String>,
}

/// What is remembered at the last look before our sync.
pub(super) fn remembered(app: &Application) -> Vec<Unwell> {
    app.unwell.iter().filter(|one| !one.is_workload() || one.is_removed_job()).take(MOST).cloned().collect()
}

/// The health of an application without what was so before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Judged {
    pub(super) health: Health,
    /// What is worse, in Argo CD's eyes.
    pub(super) as_before: Option<AsBefore>,
    /// What is not excused.
    pub(super) left: Vec<Unwell>,
}

/// Judges by what is left. Only if what is excused explains the health that Argo CD names: else there is something that
/// is not shown to us.
pub(super) fn judge(app: &Application, before: &[Unwell], ours: &Ours) -> Judged {
    let applied = || app.last.iter().flat_map(|last| &last.resources);
    // Argo CD says images since 3.1.
    let images = |one: &Unwell| -> Vec<String> {
        let is_it = applied().filter(|resource| resource.kind == one.kind && resource.name == one.name);
        is_it.flat_map(|resource| resource.images.iter().flatten()).cloned().collect()
    };
    let (theirs, rest): (Vec<&Unwell>, Vec<&Unwell>) =
        app.unwell.iter().partition(|one| ours.is_anothers(&images(one)));
    let may_be = |one: &Unwell| one.is_removed_job() || (!one.is_workload() && images(one).is_empty());
    let is_excused = |one: &&Unwell| before.contains(one) && may_be(one);
    let (excused, left): (Vec<&Unwell>, Vec<&Unwell>) = rest.into_iter().partition(is_excused);
    let worst = |list: &[&Unwell]| list.iter().map(|one| one.health).max().unwrap_or(Health::Healthy);
    let explained = worst(&excused).max(worst(&theirs));
    let health = if explained >= app.health { app.health.min(worst(&left)) } else { app.health };
    let names =
        |list: &[&Unwell]| -> Vec<String> { list.iter().map(|one| format!("{}/{}", one.kind, one.name)).collect() };
    let as_before = (health < app.health).then(|| AsBefore {
        health: format!("{:?}", app.health),
        because: names(&excused),
        theirs: names(&theirs).into_iter().take(MOST).collect(),
    });
    Judged { health, as_before, left: left.into_iter().cloned().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::application::{OperationState, Resource};
    use crate::deployment::samples::target_plan;
    use crate::image::ImageName;
    use Health::{Degraded, Healthy, Missing, Progressing, Suspended, Unknown};
    use proptest::prelude::*;

    fn one(kind: &str, health: Health, message: &str) -> Unwell {
        Unwell { kind: kind.to_owned(), name: "checkout".to_owned(), health, message: message.to_owned() }
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    fn app(unwell: &[Unwell]) -> Application {
        let health = unwell.iter().map(|one| one.health).max().unwrap_or(Healthy);
        Application { health, unwell: unwell.to_vec(), ..Application::default() }
    }

    fn judge(app: &Application, before: &[Unwell]) -> Judged {
        super::judge(app, before, &target_plan().ours())
    }

    #[test]
    fn what_runs_the_image_of_another_target_is_that_targets() {
        let workload = |name: &str, health| Unwell {
            kind: "Deployment".to_owned(),
            name: name.to_owned(),
            health,
            message: String::new(),
        };
        let check = |images: &[&str], beside: &[&str], health, theirs: &[&str]| {
            let mut app = app(&[workload("search", Degraded)]);
            let search = Resource {
                kind: "Deployment".to_owned(),
                name: "search".to_owned(),
                images: (!images.is_empty()).then(|| texts(images)),
                ..Resource::default()
            };
            app.last = Some(OperationState { resources: vec![search], ..OperationState::default() });
            let beside = beside.iter().map(|name| ImageName::parse(name).unwrap()).collect();
            let judged = super::judge(&app, &[], &Ours { beside, ..target_plan().ours() });
            let found = judged.as_before.map(|as_before| as_before.theirs).unwrap_or_default();
            assert_eq!(
                (judged.health, found, judged.left.len()),
                (health, texts(theirs), 1 - theirs.len()),
                "{images:?}"
            );
        };
        let (search, checkout, proxy) = ("ghcr.io/acme/search:7", "ghcr.io/acme/checkout:new", "envoy:1.30");
        let beside = &["ghcr.io/acme/search"][..];
        check(&[search], beside, Healthy, &["Deployment/search"]);
        check(&[search, proxy], beside, Healthy, &["Deployment/search"]);
        // It runs ours, too, or nobody's, or it is not known what it runs.
        check(&[search, checkout], beside, Degraded, &[]);
        check(&[proxy], beside, Degraded, &[]);
        check(&[], beside, Degraded, &[]);
        check(&[search], &[], Degraded, &[]);
        // Another environment of the same app has the same image.
        check(&[checkout], &["ghcr.io/acme/checkout"], Degraded, &[]);
    }

    #[test]
    fn what_is_left_beside_another_targets_workload_decides() {
        let mut app = app(&[
            one("Deployment", Progressing, ""),
            Unwell { name: "search".to_owned(), ..one("Deployment", Degraded, "") },
        ]);
        let resource = |name: &str, image: &str| Resource {
            kind: "Deployment".to_owned(),
            name: name.to_owned(),
            images: Some(texts(&[image])),
            ..Resource::default()
        };
        let resources =
            vec![resource("checkout", "ghcr.io/acme/checkout:new"), resource("search", "ghcr.io/acme/search:7")];
        app.last = Some(OperationState { resources, ..OperationState::default() });
        let ours = Ours { beside: vec![ImageName::parse("ghcr.io/acme/search").unwrap()], ..target_plan().ours() };
        let judged = super::judge(&app, &[], &ours);
        assert_eq!((judged.health, judged.left), (Progressing, vec![one("Deployment", Progressing, "")]));
    }

    #[test]
    fn what_was_so_before_is_excused() {
        let check = |before: &[Unwell], now: &[Unwell], health: Health, because: &[&str]| {
            let judged = judge(&app(now), &remembered(&app(before)));
            let excused = judged.as_before.map(|as_before| as_before.because).unwrap_or_default();
            assert_eq!((judged.health, excused), (health, texts(because)), "{before:?} {now:?}");
        };
        let ingress = one("Ingress", Progressing, "");
        let hpa = one("HorizontalPodAutoscaler", Degraded, "no metrics");
        let gone = one("PersistentVolumeClaim", Missing, "");
        let deployment = |health| one("Deployment", health, "same words");
        for so in [&ingress, &hpa, &gone, &one("ExternalSecret", Unknown, ""), &one("ScaledObject", Suspended, "")] {
            let so = std::slice::from_ref(so);
            let name = format!("{}/checkout", so[0].kind);
            check(so, so, Healthy, &[&name]);
            // It is new, or it was healthy before.
            check(&[], so, so[0].health, &[]);
        }
        check(&[], &[], Healthy, &[]);
        // Health, message, kind: each has to be the same.
        check(&[one("Ingress", Degraded, "")], std::slice::from_ref(&ingress), Progressing, &[]);
        check(&[one("Ingress", Progressing, "x")], std::slice::from_ref(&ingress), Progressing, &[]);
        check(&[one("Service", Progressing, "")], std::slice::from_ref(&ingress), Progressing, &[]);
        // What is left decides.
        let (both, left) = ([ingress.clone(), hpa.clone()], [hpa.clone(), deployment(Progressing)]);
        check(&both, &both, Healthy, &["Ingress/checkout", "HorizontalPodAutoscaler/checkout"]);
        check(&both, &left, Progressing, &["HorizontalPodAutoscaler/checkout"]);
        check(&both, &[ingress.clone(), deployment(Degraded)], Degraded, &[]);
        // It is removed each time when it is done.
        let removed = [one("Job", Missing, "")];
        check(&removed, &removed, Healthy, &["Job/checkout"]);
        check(&[], &removed, Missing, &[]);
        // A workload is never excused.
        for kind in ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Pod", "Job", "Rollout"] {
            let so = [one(kind, Degraded, "as ever")];
            check(&so, &so, Degraded, &[]);
        }
    }

    #[test]
    fn what_carries_an_image_of_our_sync_is_never_excused() {
        let service = one("Service", Degraded, "revision is not ready");
        let mut app = app(std::slice::from_ref(&service));
        let before = remembered(&app);
        assert_eq!(judge(&app, &before).health, Healthy);
        let mut carrier = Resource { kind: service.kind, name: service.name, ..Resource::default() };
        let mut applied = |images: Option<Vec<String>>| {
            carrier.images = images;
            app.last = Some(OperationState { resources: vec![carrier.clone()], ..OperationState::default() });
            judge(&app, &before).health
        };
        assert_eq!(applied(None), Healthy);
        assert_eq!(applied(Some(vec!["ghcr.io/acme/checkout:new".to_owned()])), Degraded);
    }

    #[test]
    fn a_health_that_no_resource_explains_is_not_excused() {
        let so = app(&[one("Ingress", Progressing, "")]);
        for health in [Missing, Degraded, Unknown] {
            let worse = Application { health, ..so.clone() };
            assert_eq!(judge(&worse, &remembered(&so)), Judged { health, as_before: None, left: Vec::new() });
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let many: Vec<Unwell> = (0..100).map(|_| one("Ingress", Progressing, "")).collect();
        assert_eq!(remembered(&app(&many)).len(), MOST);
        assert_eq!(remembered(&app(&[one("Deployment", Degraded, "")])), []);
    }

    proptest! {
        /// Nothing is ever judged worse than Argo CD judges it.
        #[test]
        fn an_excuse_never_makes_it_worse(now in prop::collection::vec(0_usize..6, 0..5), before in 0_usize..5) {
            let healths = [Healthy, Suspended, Progressing, Missing, Degraded, Unknown];
            let all: Vec<Unwell> = now.iter().map(|&n| one("Ingress", healths[n], "")).collect();
            let app = app(&all);
            let known: Vec<Unwell> = all.iter().take(before).cloned().collect();
            prop_assert!(judge(&app, &known).health <= app.health);
            prop_assert_eq!(judge(&app, &[]).health, app.health);
        }
    }
}
