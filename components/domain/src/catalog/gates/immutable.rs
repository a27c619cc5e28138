//! `immutable`: whether the image behind a tag may change. Where it may, whoever deploys is asked first: a tag that
//! somebody pushed again is another version under an old name.

use super::{Case, Gate, Unmet};
use crate::catalog::CatalogError;
use crate::catalog::fields::{Entry, read_word};
use crate::deployment::Granted;
use crate::refusal::{Moved, MovedTag, Refusal};

/// Whether a tag means one image for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Immutable(pub bool);

impl Gate for Immutable {
    type Sees<'a> = Case<'a>;

    fn read(entry: &Entry) -> Result<Self, CatalogError> {
        read_word(entry, [("true", Self(true)), ("false", Self(false))])
    }

    fn check(&self, case: &Case<'_>) -> Result<Granted, Unmet> {
        let (plan, asked) = (case.plan, &case.asked);
        let target = || Box::new(asked.target.clone());
        let Some(is) = &plan.digest else {
            return match self {
                Self(true) => Err(Refusal::NoDigest { target: target(), image: plan.image_ref() }.into()),
                Self(false) => Ok(Granted::default()),
            };
        };
        let known = [case.origin.digest(), case.deployed];
        let Some(was) = known.into_iter().flatten().find(|was| *was != is) else { return Ok(Granted::default()) };
        let moved = |todo| Refusal::ImageMoved {
            target: target(),
            tag: plan.tag.clone(),
            head: plan.source.head.clone(),
            images: Box::new(Moved { was: was.clone(), is: is.clone() }),
            todo,
        };
        if self.0 {
            return Err(moved(MovedTag::Never).into());
        }
        if plan.rollback {
            let overridable = !asked.owners.is_empty();
            let doing = format!("roll {} back to another image than the one that ran", asked.target);
            return asked.unless_overridden(doing, moved(MovedTag::ByOwner { overridable }));
        }
        match case.origin.knows_image(is) {
            true => Ok(Granted::default()),
            false => Err(moved(MovedTag::AskedAgain).into()),
        }
    }

    fn in_short(&self) -> Option<String> {
        self.0.then(|| "tags that never move".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::gates::tests::Example;
    use crate::deployment::samples::{id, sha, user};
    use crate::deployment::{Origin, Warned};
    use crate::image::Digest;
    use crate::people::People;

    fn digest(digit: char) -> Option<Digest> {
        Some(Digest::parse(&format!("sha256:{}", digit.to_string().repeat(64))).unwrap())
    }

    #[test]
    fn a_tag_that_moved_is_another_version() {
        let says = |example: &Example, gate: bool| {
            let said = example.check(&Immutable(gate));
            said.split(" (").next().unwrap_or_default().chars().take(100).collect::<String>()
        };
        let mut example = Example::new();
        example.plan.digest = None;
        assert_eq!(says(&example, false), "passes");
        assert!(
            says(&example, true).starts_with("not deployed: the registry names no digest"),
            "{}",
            says(&example, true)
        );
        example.plan.digest = digest('a');
        assert_eq!([says(&example, false), says(&example, true)], ["passes", "passes"]);
        example.deployed = digest('a');
        assert_eq!([says(&example, false), says(&example, true)], ["passes", "passes"]);

        let moved = "not deployed: the image behind `faster-cart-aaaaaaa` has changed";
        example.deployed = digest('b');
        assert!(says(&example, false).starts_with(moved), "{}", says(&example, false));
        let anyway =
            |image| Origin::Anyway { of: id('2'), head: sha('a'), warned: Warned::Image(image), was: Box::default() };
        example.origin = anyway(digest('a').unwrap());
        assert_eq!(says(&example, false), "passes");
        assert!(says(&example, true).starts_with(moved), "nobody may");
        example.origin = anyway(digest('c').unwrap());
        assert!(says(&example, false).starts_with(moved), "a third image");
        // What a preview showed is what is meant.
        (example.deployed, example.origin) = (None, Origin::Shown { of: id('2'), head: None, digest: digest('b') });
        assert!(says(&example, false).starts_with(moved));
        example.origin = Origin::Shown { of: id('2'), head: None, digest: digest('a') };
        assert_eq!(says(&example, false), "passes");

        // What a rollback brings back is what ran.
        (example.deployed, example.origin, example.plan.rollback) = (digest('b'), Origin::Typed, true);
        assert!(says(&example, false).starts_with(moved));
        example.origin = anyway(digest('a').unwrap());
        assert!(says(&example, false).starts_with(moved), "only an owner may");
        example.override_reason = Some("CI built it again");
        assert!(says(&example, false).starts_with("not deployed: only an owner may roll"), "{}", says(&example, false));
        example.owners = People { users: vec![user("U1")], ..People::default() };
        assert_eq!(says(&example, false), "passes overridden");
        assert!(says(&example, true).starts_with(moved), "nobody may");
    }
}
