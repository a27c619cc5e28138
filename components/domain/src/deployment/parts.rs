//! Several targets that one request deploys. The deployment of all of them decides and commits once. Each target is a part, with
//! a deployment of its own, which goes on alone from the commit.

use super::attempts::CommitFact;
use super::facts::Facts;
use crate::names::{DeploymentId, Target};
use crate::values::blob_sha;

/// The deployment of one of the targets: always the same.
pub fn part_id(of: &DeploymentId, target: &Target) -> DeploymentId {
    let hash = blob_sha(format!("{of} {target}").as_bytes()).to_string();
    hash.get(..32).and_then(|hash| DeploymentId::parse(hash).ok()).unwrap_or_else(|| of.clone())
}

impl CommitFact {
    /// The parts of a commit with several targets. Empty: the commit is of one target.
    pub fn parts(&self, id: &DeploymentId) -> Vec<DeploymentId> {
        if self.plan.targets.rest().is_empty() {
            return Vec::new();
        }
        self.plan.targets.iter().map(|plan| part_id(id, &plan.target)).collect()
    }
}

impl Facts {
    /// Whether it is a deployment of several targets that has passed the gates.
    pub fn has_parts(&self) -> bool {
        self.commit.as_ref().is_some_and(|commit| !commit.plan.targets.rest().is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deployment::samples::{commit, commit_to, id, target_plan};
    use crate::deployment::{Plan, TargetPlan};
    use crate::names::AppName;
    use crate::nonempty::NonEmpty;

    #[test]
    fn each_target_has_a_deployment_of_its_own() {
        assert_eq!(commit().parts(&id('1')), []);
        let mut several = commit_to(target_plan());
        let search = Target { app: AppName::parse("search").unwrap(), ..target_plan().target };
        let other = TargetPlan { target: search.clone(), ..target_plan() };
        several.plan = Plan { targets: NonEmpty::new(target_plan(), vec![other]), ..several.plan };
        let [one, two] = several.parts(&id('1')).try_into().unwrap();
        assert_eq!((&one, &two), (&part_id(&id('1'), &target_plan().target), &part_id(&id('1'), &search)));
        assert!(one != two && one != id('1') && one != part_id(&id('2'), &target_plan().target));
    }
}
