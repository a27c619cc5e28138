//! What was so before our sync, and has nothing to do with our version: an Ingress that never gets an address, a secret
//! that cannot be fetched. Such a resource is excused, and health is judged by what is left.
//!
//! Easy to miss: a workload, or what carries an image that our sync applied, is never excused. Its bad health may be our
//! version's, even if it looks as before.

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
}

/// What is remembered at the last look before our sync.
pub(super) fn remembered(app: &Application) -> Vec<Unwell> {
    app.unwell.iter().filter(|one| !one.is_workload()).take(MOST).cloned().collect()
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
pub(super) fn judge(app: &Application, before: &[Unwell]) -> Judged {
    let applied = || app.last.iter().flat_map(|last| &last.resources);
    let carries_image = |one: &Unwell| {
        let is_it = applied().filter(|resource| resource.kind == one.kind && resource.name == one.name);
        is_it.flat_map(|resource| resource.images.iter().flatten()).next().is_some()
    };
    let is_excused = |one: &&Unwell| !one.is_workload() && before.contains(one) && !carries_image(one);
    let (excused, left): (Vec<&Unwell>, Vec<&Unwell>) = app.unwell.iter().partition(is_excused);
    let worst = |list: &[&Unwell]| list.iter().map(|one| one.health).max().unwrap_or(Health::Healthy);
    let health = if worst(&excused) >= app.health { app.health.min(worst(&left)) } else { app.health };
    let because = || excused.iter().map(|one| format!("{}/{}", one.kind, one.name)).collect();
    let as_before = (health < app.health).then(|| AsBefore { health: format!("{:?}", app.health), because: because() });
    Judged { health, as_before, left: left.into_iter().cloned().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::application::{OperationState, Resource};
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
