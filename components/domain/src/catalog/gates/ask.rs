//! `ask`: a service of the company is asked, last of all but the approvals. The caller asks; here is what the answer comes to.

use super::{Case, Gate, Unmet};
use crate::catalog::CatalogError;
use crate::catalog::fields::{Entry, error, is_none, text_of};
use crate::deployment::Granted;
use crate::fault::Cause;
use crate::refusal::Refusal;
use crate::text::quoted;

/// The longest path, in characters.
const LONGEST_PATH: usize = 200;

/// The path at which the service is asked. `None`: nobody is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ask(pub Option<String>);

/// What came of the question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GateAnswer {
    Allows,
    /// With the service's own words.
    Refuses(String),
    /// No variable says where the service is.
    NotSet,
    /// There was no answer that counts.
    Silent(Cause),
}

impl Gate for Ask {
    type Sees<'a> = Case<'a>;

    fn read(entry: &Entry) -> Result<Self, CatalogError> {
        if is_none(entry) {
            return Ok(Self(None));
        }
        let path = text_of(entry)?;
        let fits = path.len() <= LONGEST_PATH && path.starts_with('/') && !path.contains("//") && !path.contains("..");
        // Nothing that could be a query, another host, or another path by the time that it arrives.
        let is_plain = path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte));
        if !fits || !is_plain {
            let problem =
                format!("`ask`: {} is not a path such as `/deploys` (letters, digits and `-_.~/`)", quoted(path));
            return Err(error(entry.line, problem));
        }
        Ok(Self(Some(path.to_owned())))
    }

    fn check(&self, case: &Case<'_>) -> Result<Granted, Unmet> {
        let Some(path) = self.0.clone() else { return Ok(Granted::default()) };
        let target = Box::new(case.asked.target.clone());
        Err(match case.answer {
            Some(GateAnswer::Allows) => return Ok(Granted::default()),
            Some(GateAnswer::Refuses(reason)) => Refusal::GateRefused { target, path, reason: reason.clone() },
            Some(GateAnswer::NotSet) => Refusal::GateNotSet { target, path },
            Some(GateAnswer::Silent(cause)) => Refusal::GateSilent { target, path, cause: cause.clone() },
            // Nobody asked.
            None => Refusal::GateSilent { target, path, cause: Cause::TimedOut },
        }
        .into())
    }

    fn in_short(&self) -> Option<String> {
        self.0.as_ref().map(|path| format!("the gate service is asked ({path})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::gates::tests::Example;

    #[test]
    fn only_an_answer_that_allows_passes() {
        let gate = Ask(Some("/deploys".to_owned()));
        let check = |answer: Option<GateAnswer>, expected: &str| {
            let said = Example { answer, ..Example::new() }.check(&gate);
            assert!(said.contains(expected), "{said}");
        };
        check(Some(GateAnswer::Allows), "passes");
        check(Some(GateAnswer::Refuses("No *budget* <!channel>.".to_owned())), "refuses checkout@production: No ");
        check(Some(GateAnswer::Refuses(String::new())), "refuses checkout@production.");
        check(Some(GateAnswer::NotSet), "`gate_url`");
        check(Some(GateAnswer::Silent(Cause::TooLarge)), "the answer from the gate service is too long");
        check(None, "didn't answer");
        assert_eq!(Example::new().check(&Ask(None)), "passes");
    }
}
