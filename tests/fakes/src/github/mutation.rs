//! `createCommitOnBranch`: the one thing that can be changed through the API. It checks in GitHub's order: repository,
//! permission, branch, expected head, protection, content; a refusal is HTTP 200 with null data.

use serde_json::Value;

use super::git::{self, Person};
use super::schema::{Answer, Node, error, node};
use super::{Access, GitHub, Protection, StaleAnswer, decode_base64};

impl GitHub {
    /// The mutation: a commit by the token's owner, signed by GitHub, if the branch still is where it is expected.
    pub(super) fn create_commit(&mut self, input: &Value) -> Answer {
        let name = input["branch"]["repositoryNameWithOwner"].as_str().unwrap_or_default();
        let key = self.readable(name)?.to_owned();
        let repository = &self.repositories[&key];
        if repository.access != Access::Write {
            let who = if self.bot_login.ends_with("[bot]") { "integration" } else { "personal access token" };
            return Err(error("FORBIDDEN", format!("Resource not accessible by {who}")));
        }
        let branch = input["branch"]["branchName"].as_str().unwrap_or_default();
        let Some(head) = repository.branches.get(branch) else { return Err(error("NOT_FOUND", "Branch not found")) };
        let expected = input["expectedHeadOid"].as_str().unwrap_or_default();
        if head != expected {
            return Err(match self.stale_answer {
                StaleAnswer::Checked => {
                    let message =
                        format!("Expected branch to point to \"{expected}\" but it did not.  Pull and try again.");
                    error("STALE_DATA", message)
                }
                StaleAnswer::LostRace => {
                    error("UNPROCESSABLE", format!("Ref refs/heads/{branch} is at {head} but expected {expected}"))
                }
            });
        }
        match repository.protection.get(branch) {
            None => {}
            Some(Protection::Classic) => {
                let message =
                    format!("protected branch '{branch}' check failed:\nChanges must be made through a pull request.");
                return Err(error("BRANCH_PROTECTION_RULE_VIOLATION", message));
            }
            Some(Protection::Ruleset) => {
                return Err(error(
                    "UNPROCESSABLE",
                    "Repository rule violations found\n\nChanges must be made through a pull request.\n\n",
                ));
            }
        }
        let headline = input["message"]["headline"].as_str().unwrap_or_default();
        if headline.trim().is_empty() {
            return Err(error("UNPROCESSABLE", "A commit headline is required."));
        }
        let mut files = repository.objects.commits[head].files.clone();
        let list = |name: &str| input["fileChanges"][name].as_array().cloned().unwrap_or_default();
        for deletion in list("deletions") {
            let path = deletion["path"].as_str().unwrap_or_default();
            if files.remove(path).is_none() {
                let message =
                    format!("A path was requested for deletion which does not exist as of commit oid `{head}`");
                return Err(error("NOT_FOUND", message));
            }
        }
        for addition in list("additions") {
            let path = addition["path"].as_str().unwrap_or_default();
            if path.split('/').any(|part| matches!(part, "" | "." | ".." | ".git")) {
                return Err(error("UNPROCESSABLE", format!("The path `{path}` is not valid.")));
            }
            let bytes = addition["contents"].as_str().and_then(decode_base64).unwrap_or_default();
            // Whatever was there before: a plain file.
            files.insert(path.to_owned(), git::File::plain(bytes));
        }
        let message = match input["message"]["body"].as_str().unwrap_or_default() {
            "" => headline.to_owned(),
            body => format!("{headline}\n\n{body}"),
        };
        let (branch, head, login) = (branch.to_owned(), head.clone(), self.bot_login.clone());
        let draft = git::Draft {
            parents: vec![head.clone()],
            message,
            author: Person::account(&login),
            committer: Person::web_flow(),
            at: self.clock(),
            signed_by_github: true,
            files,
        };
        let sha = self.known_mut(&key).objects.commit(draft);
        self.move_branch(&key, &branch, Some(sha.clone()), &login);
        node(Node::Committed(key, branch, sha, input["clientMutationId"].clone()))
    }
}
