//! `sets`: a name for several apps, which one request deploys together.

use super::fields::{Entry, error, item_name, key_name, list_of, map_of};
use super::{Catalog, CatalogError};
use crate::command::DeployWords;
use crate::names::AppName;
use crate::refusal::Refusal;
use crate::text::quoted;
use std::collections::BTreeMap;

/// The apps of each set.
pub type Sets = BTreeMap<AppName, Vec<AppName>>;

/// How many targets one request deploys at most.
pub const MOST_TARGETS: usize = 25;

/// Whether each app exists is seen when the set is deployed: an app may be out of service.
pub(super) fn read(entry: &Entry) -> Result<Sets, CatalogError> {
    let mut sets = Sets::new();
    for entry in map_of(entry)? {
        let apps = list_of(entry)?.into_iter().map(|node| item_name(&entry.key, node, AppName::parse));
        let apps = apps.collect::<Result<Vec<_>, _>>()?;
        if apps.is_empty() || apps.len() > MOST_TARGETS {
            let problem = format!("a set has 1 to {MOST_TARGETS} apps: {} has {}", quoted(&entry.key), apps.len());
            return Err(error(entry.line, problem));
        }
        sets.insert(key_name(entry, AppName::parse)?, apps);
    }
    Ok(sets)
}

impl Catalog {
    /// The apps of a set; none if there is no set of that name.
    pub fn in_set(&self, name: &str) -> &[AppName] {
        AppName::parse(name).ok().and_then(|name| self.sets.get(&name)).map_or(&[], Vec::as_slice)
    }

    /// The same words with the app's own name, where a set of one app was named.
    pub fn one_meant(&self, words: &DeployWords) -> DeployWords {
        match self.in_set(&words.app) {
            [only] => DeployWords { app: only.to_string(), ..words.clone() },
            _ => words.clone(),
        }
    }

    /// The words for each app, where several are meant: apps with commas between them, or a set. Empty: one app is meant, or
    /// none that is known.
    pub fn several(&self, words: &DeployWords) -> Result<Vec<DeployWords>, Refusal> {
        let typed = words.apps();
        if typed.len() < 2 && typed.first().is_none_or(|name| self.in_set(name).is_empty()) {
            return Ok(Vec::new());
        }
        let mut apps: Vec<&str> = Vec::new();
        for name in typed {
            let set = self.in_set(name).iter().map(AppName::as_str);
            for app in if set.len() == 0 { vec![name] } else { set.collect() } {
                if !apps.contains(&app) {
                    apps.push(app);
                }
            }
        }
        if apps.len() > MOST_TARGETS {
            return Err(Refusal::TooManyTargets { count: apps.len(), most: MOST_TARGETS });
        }
        Ok(apps.into_iter().map(|app| DeployWords { app: app.to_owned(), ..words.clone() }).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Command;

    const APPS: &str = "apps:
  a: { repo: acme/a, image: ghcr.io/acme/a, values: a/values.yaml, allow: anyone }
  b: { repo: acme/b, image: ghcr.io/acme/b, values: b/values.yaml, allow: anyone }
";

    fn wrong(sets: &str) -> String {
        let error = Catalog::parse(&format!("{APPS}sets: {sets}\n")).unwrap_err();
        format!("{:?}: {}", error.line, error.problem)
    }

    #[test]
    fn a_set_names_one_to_25_apps() {
        assert_eq!(wrong("{ shop: [] }"), "Some(4): a set has 1 to 25 apps: `shop` has 0");
        let many: Vec<String> = (0..26).map(|n| format!("a{n}")).collect();
        assert_eq!(
            wrong(&format!("{{ shop: [{}] }}", many.join(", "))),
            "Some(4): a set has 1 to 25 apps: `shop` has 26"
        );
        assert!(wrong("{ shop: [A!] }").contains("`shop`: `A!` is"), "{}", wrong("{ shop: [A!] }"));
    }

    #[test]
    fn an_app_with_the_name_of_a_set_is_out_of_service() {
        let catalog = Catalog::parse(&format!("{APPS}sets: {{ a: [b] }}\n")).unwrap();
        assert_eq!(catalog.apps.keys().map(AppName::as_str).collect::<Vec<_>>(), ["b"]);
        let [broken] = catalog.out_of_service.as_slice() else { panic!("{:?}", catalog.out_of_service) };
        assert_eq!(broken.error.problem, "`a` is the name of a set in `sets`");
    }

    #[test]
    fn several_apps_are_meant_each_once() {
        let catalog = Catalog::parse(&format!("{APPS}sets: {{ shop: [b, a], one: [a] }}\n")).unwrap();
        let check = |typed: &str, expected: Option<&[&str]>| {
            let Ok(Command::Deploy(words)) = Command::parse(typed) else { panic!("{typed}") };
            let apps = catalog.several(&words).map(|all| all.into_iter().map(|words| words.app).collect::<Vec<_>>());
            match expected {
                Some(expected) => assert_eq!(apps.unwrap(), expected, "{typed}"),
                None => assert!(matches!(apps, Err(Refusal::TooManyTargets { count: 26, .. })), "{typed}"),
            }
        };
        check("a main", Some(&[]));
        check("unknown main", Some(&[]));
        check("a,b main", Some(&["a", "b"]));
        check("b,a,b main", Some(&["b", "a"]));
        check("shop main", Some(&["b", "a"]));
        check("a,shop main", Some(&["a", "b"]));
        check("one main", Some(&["a"]));
        check("a, b main", Some(&["a", "b"]));
        let many: Vec<String> = (0..26).map(|n| format!("a{n}")).collect();
        check(&format!("{} main", many.join(",")), None);
    }
}
