//! What a look at an application shows besides how far the rollout is: people read it while it holds, and with the
//! last word. Bounded, because it is stored at each look.

use super::before::{AsBefore, judge};
use super::paths::left_out;
use super::plan::Plan;
use crate::application::{Application, Condition, IN_WINDOW, OperationState, Phase, Unwell};
use serde::{Deserialize, Serialize};

/// As many conditions are told.
const CONDITIONS: usize = 5;
/// So many characters of each.
const CONDITION: usize = 300;
/// As many resources are named.
const NAMES: usize = 3;

/// Computed anew at each look.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remarks {
    /// Argo CD names a worse health than we do.
    pub as_before: Option<AsBefore>,
    /// Errors first.
    pub conditions: Vec<Condition>,
    /// The hook that our sync waits for, and for how many whole minutes.
    pub hook: Option<(String, u64)>,
    /// How many resources are no longer in Git but in the cluster.
    pub to_prune: u32,
    /// `Kind/name` of a few of them.
    pub pruned: Vec<String>,
    /// `manifest-generate-paths`, if it leaves out all that we changed: then Argo CD may have rendered nothing anew.
    pub left_out: Option<String>,
}

impl Remarks {
    pub(super) fn of(app: &Application, before: &[Unwell], plan: &Plan) -> Self {
        let (errors, warnings): (Vec<&Condition>, Vec<&Condition>) =
            app.conditions.iter().partition(|condition| condition.is_error());
        let short = |condition: &Condition| Condition {
            kind: condition.kind.clone(),
            message: condition.message.chars().take(CONDITION).collect(),
        };
        // Without manifests, Argo CD takes all for left over.
        let to_prune: &[String] = if app.comparison_failed() { &[] } else { &app.to_prune };
        Self {
            as_before: judge(app, before, &plan.targets.first().ours()).as_before,
            hook: None,
            conditions: errors.into_iter().chain(warnings).take(CONDITIONS).map(short).collect(),
            to_prune: u32::try_from(to_prune.len()).unwrap_or(u32::MAX),
            left_out: left_out(
                app.generate_paths.as_deref(),
                &app.sources,
                &plan.gitops.repo,
                plan.targets.first().files.iter(),
            )
            .map(|paths| paths.chars().take(CONDITION).collect()),
            pruned: to_prune.iter().take(NAMES).cloned().collect(),
        }
    }
}

/// The hook that an operation waits for: `Job/migrate (PostSync hook)`. While a sync window holds the operation, it waits for
/// no hook, although Argo CD shows the hooks as they were before.
pub(super) fn running_hook(last: &OperationState) -> Option<String> {
    let mut running = last.resources.iter().filter(|one| one.is_hook() && one.hook_phase == "Running");
    let waits = last.phase == Phase::Running && !last.message.contains(IN_WINDOW);
    let hook = running.next().filter(|_| waits)?;
    let more = match running.count() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!("{}/{} ({} hook){more}", hook.kind, hook.name, hook.hook_type))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::application::Resource;
    use crate::deployment::samples::commit;

    #[test]
    fn an_operation_that_a_window_holds_waits_for_no_hook() {
        let text = |text: &str| text.to_owned();
        let hook = Resource {
            kind: text("Job"),
            name: text("migrate"),
            hook_phase: text("Running"),
            hook_type: text("PreSync"),
            ..Resource::default()
        };
        let says = |message: &str| {
            let (resources, message) = (vec![hook.clone()], text(message));
            running_hook(&OperationState { phase: Phase::Running, resources, message, ..OperationState::default() })
        };
        let waits = says("waiting for completion of hook batch/Job/migrate");
        assert_eq!(waits.as_deref(), Some("Job/migrate (PreSync hook)"));
        assert_eq!(says("Sync operation blocked by sync window"), None);
    }

    #[test]
    fn errors_come_first_and_all_is_bounded() {
        let condition = |kind: &str| Condition { kind: kind.to_owned(), message: "x".repeat(1000) };
        let app = Application {
            conditions: ["OrphanedResourceWarning", "A", "B", "C", "D", "InvalidSpecError"].map(condition).to_vec(),
            to_prune: (0..9).map(|n| format!("ConfigMap/{n}")).collect(),
            ..Application::default()
        };
        let remarks = Remarks::of(&app, &[], &commit().plan);
        let kinds: Vec<&str> = remarks.conditions.iter().map(|condition| condition.kind.as_str()).collect();
        assert_eq!(kinds, ["InvalidSpecError", "OrphanedResourceWarning", "A", "B", "C"]);
        assert!(remarks.conditions.iter().all(|condition| condition.message.len() == CONDITION));
        assert_eq!((remarks.to_prune, remarks.pruned.len()), (9, NAMES));
    }
}
