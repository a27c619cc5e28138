//! `requires`: the version has to be live in another environment of the app first, and for how long. What counts is the image,
//! by its digest: the deploy that brought it there, and when that deploy was live. An owner may override it.

use super::{Case, Gate, Unmet};
use crate::catalog::CatalogError;
use crate::catalog::fields::{Entry, Fields, Value, error, is_none, name, read_duration};
use crate::deployment::Granted;
use crate::image::{Digest, Tag};
use crate::names::EnvironmentName;
use crate::refusal::Refusal;
use crate::time::Timestamp;
use std::time::Duration;

/// Where a version has to be live first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requires {
    pub live_on: EnvironmentName,
    /// At least so long.
    pub lasting: Duration,
}

/// What is live in the environment that `requires` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveThere {
    pub tag: Tag,
    pub digest: Option<Digest>,
    /// When it was seen to be live.
    pub since: Timestamp,
}

impl Gate for Option<Requires> {
    type Sees<'a> = Case<'a>;

    fn read(entry: &Entry) -> Result<Self, CatalogError> {
        if is_none(entry) {
            return Ok(None);
        }
        if let Value::Text(_) = entry.node.value {
            let problem = "`requires` is the word `none`, or a map like `{ live_on: staging, for: 30m }`";
            return Err(error(entry.line, problem));
        }
        let fields = Fields::of("`requires`", entry.line, &entry.node, &["live_on", "for"])?;
        let live_on = name(fields.required("live_on")?, EnvironmentName::parse)?;
        let lasting = fields.get("for").map(|entry| read_duration(entry, ("1m", "168h"))).transpose()?;
        Ok(Some(Requires { live_on, lasting: lasting.unwrap_or_default() }))
    }

    fn check(&self, case: &Case<'_>) -> Result<Granted, Unmet> {
        let Some(requires) = self else { return Ok(Granted::default()) };
        let (plan, asked) = (case.plan, &case.asked);
        let target = asked.target;
        let Some(digest) = &plan.digest else {
            return Err(Refusal::NoDigest { target: Box::new(target.clone()), image: plan.image_ref() }.into());
        };
        let there = case.live_there.filter(|there| there.digest.as_ref() == Some(digest));
        let until = there.map(|there| there.since.after(requires.lasting));
        if until.is_some_and(|until| until <= asked.now) {
            return Ok(Granted::default());
        }
        let refusal = Refusal::NotLiveFirst {
            target: Box::new(target.clone()),
            on: requires.live_on.clone(),
            tag: plan.tag.clone(),
            live: case.live_there.filter(|_| until.is_none()).map(|there| there.tag.clone()),
            until,
            overridable: !asked.owners.is_empty(),
        };
        asked.unless_overridden(format!("deploy to {target} what isn't live on {} yet", requires.live_on), refusal)
    }

    fn in_short(&self) -> Option<String> {
        self.as_ref().map(|requires| match requires.lasting.as_secs() / 60 {
            0 => format!("live on {} first", requires.live_on),
            minutes => format!("live on {} for {minutes} min first", requires.live_on),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::gates::tests::Example;
    use crate::deployment::samples::{at, user};

    #[test]
    fn the_same_image_has_to_be_live_there_long_enough() {
        let gate =
            Some(Requires { live_on: EnvironmentName::parse("staging").unwrap(), lasting: Duration::from_secs(1800) });
        let digest = |digit: &str| Digest::parse(&format!("sha256:{}", digit.repeat(64))).ok();
        // Now it is the second 3600.
        let check = |there: Option<(&str, u64)>, expected: &str| {
            let mut example = Example::new();
            example.live_there = there.map(|(digit, since)| LiveThere {
                tag: Tag::parse("main-1234567").unwrap(),
                digest: digest(digit),
                since: at(since),
            });
            let said = example.check(&gate);
            assert!(said.contains(expected), "{said}");
        };
        check(Some(("a", 1800)), "passes");
        check(Some(("a", 1801)), "isn't live on staging for long enough");
        check(Some(("b", 0)), "`main-1234567` runs there");
        check(None, "nothing that I deployed runs there");
        assert_eq!(Example::new().check(&None::<Requires>), "passes");
        let mut example = Example::new();
        example.plan.digest = None;
        assert!(example.check(&gate).contains("the registry names no digest"));
        // An owner may.
        let mut example = Example { override_reason: Some("hotfix"), ..Example::new() };
        assert!(example.check(&gate).contains("only an owner may"));
        example.owners.users = vec![user("U1")];
        assert!(example.check(&gate).starts_with("passes overridden (hotfix)"));
    }
}
