//! What a repository has that can be deployed, for a moment: a hint in Redis, sealed all the same, because people choose by
//! these titles.

use crate::key::PREFIX;
use crate::seams::{KeyValue, Redis, StoreError};
use domain::deployment::Writer;
use domain::form::Choices;
use domain::names::RepoName;
use domain::time::millis;
use std::time::Duration;

/// For how long a list is good enough.
const AGE: Duration = Duration::from_secs(30);

fn key(repo: &RepoName) -> String {
    format!("{PREFIX}choices/{}", repo.as_str().to_lowercase())
}

/// What was listed a moment ago.
pub async fn known_choices(world: &(impl Redis + KeyValue), repo: &RepoName) -> Option<Choices> {
    let key = key(repo);
    let mut value = serde_json::from_str(&world.text("GET", &[&key]).await.ok()??).ok()?;
    if !world.seals().open(&key, Writer::SlackCommandAlone, &mut value) {
        world.forged(&key);
        return None;
    }
    serde_json::from_value(value).ok()
}

pub async fn remember_choices(
    world: &(impl Redis + KeyValue),
    repo: &RepoName,
    choices: &Choices,
) -> Result<(), StoreError> {
    let key = key(repo);
    let mut value = serde_json::to_value(choices).map_err(|_| StoreError::Failed("a value that is not JSON"))?;
    if !world.seals().seal(&key, Writer::SlackCommandAlone, &mut value) {
        return Err(StoreError::Failed("this component has no key for what it writes"));
    }
    world.run("SET", &[&key, &value.to_string(), "PX", &millis(AGE).to_string()]).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;
    use domain::names::BranchName;

    #[test]
    fn a_list_is_known_for_half_a_minute_and_believed_if_it_is_ours() {
        let memory = Memory::default();
        let repo = RepoName::parse("acme/Checkout").unwrap();
        let choices = Choices { branches: vec![BranchName::parse("main").unwrap()], ..Choices::default() };
        let known = || memory.run(known_choices(&memory, &repo));
        assert_eq!(known(), None);
        memory.run(remember_choices(&memory, &repo, &choices)).unwrap();
        assert_eq!(known(), Some(choices));
        memory.time.set(AGE);
        assert_eq!(known(), None);
        let forged = r#"{"pull_requests":[[7,"harmless"]],"branches":[]}"#;
        memory.run(Redis::run(&memory, "SET", &["deploy-bot/choices/acme/checkout", forged, "PX", "30000"])).unwrap();
        assert_eq!(known(), None);
        assert_eq!(memory.forged.borrow().len(), 1);
    }
}
