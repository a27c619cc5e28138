//! What an installation calls itself: the command as people type it, and whom they turn to.
//!
//! Sentences say [`DEPLOY`], [`RUNS`] and [`CATALOG`]; a finished message has the installation's own names instead. Easy to
//! miss: what people wrote stays as it is. [`guard`] puts a mark into such words in outside text, and the mark is taken out
//! here.

use super::blocks::Message;
use super::text::{SHORT, code, cut, length, link, words};
use crate::deployment::{CatalogPage, Facts};
use crate::names::{CommandName, Contact};
use serde_json::Value;

/// The command in our sentences: between backticks, alone or with more behind it.
const DEPLOY: &str = "/deploy";
/// Who runs the bot.
const RUNS: &str = "whoever runs me";
/// Who may change the catalog.
const CATALOG: &str = "whoever looks after the catalog";
/// The catalog, between backticks.
const FILE: &str = "`deploy-bot.yaml`";
/// Of no language: Unicode leaves its meaning to us. Outside text has none, because [`guard`] takes it out first.
const MARK: char = '\u{e000}';
/// A block's text may have 3,000 characters.
const LONGEST: usize = 2990;
/// A text in small print may have 2,000. A longer text has no link to the catalog.
const LINKED: usize = 1990;

/// The names that a message is put in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wording {
    pub command: CommandName,
    /// None: "whoever runs me".
    pub contact: Option<Contact>,
    /// None: the catalog is named, and not linked.
    pub catalog: Option<CatalogPage>,
}

impl From<&Facts> for Wording {
    fn from(facts: &Facts) -> Self {
        let command = facts.request.as_ref().map(|request| request.command.clone()).unwrap_or_default();
        let of_plan = || facts.plan().and_then(|plan| plan.contact.clone());
        let contact = facts.end.as_ref().and_then(|end| end.contact.clone()).or_else(of_plan);
        let of_plan = || facts.plan().and_then(|plan| plan.catalog.clone());
        let catalog = facts.end.as_ref().and_then(|end| end.catalog.clone()).or_else(of_plan);
        Self { command, contact, catalog }
    }
}

impl Wording {
    fn put_into(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for after in [' ', '`'] {
            text = text.replace(&format!("`{DEPLOY}{after}"), &format!("`{}{after}", self.command));
        }
        if let Some(contact) = &self.contact {
            let contact = words(contact.as_str(), SHORT);
            text = text.replace(RUNS, &contact).replace(CATALOG, &contact);
        }
        if let Some(CatalogPage { path, url }) = &self.catalog {
            let named = code(path);
            let page = format!("`{}`", link(url, named.trim_matches('`')));
            let linked = text.replace(FILE, &named).replace(&named, &page);
            if length(&linked) <= LINKED {
                text = linked;
            }
        }
        cut(&text.replace(MARK, ""), LONGEST)
    }

    fn put_into_all(&self, value: &mut Value) {
        match value {
            Value::Array(all) => all.iter_mut().for_each(|one| self.put_into_all(one)),
            // A button's value is no text, and its label has no links.
            Value::Object(all) if all.get("type").is_some_and(|kind| kind == "plain_text") => {
                let plain = Self { catalog: None, ..self.clone() };
                if let Some(Value::String(text)) = all.get_mut("text") {
                    *text = plain.put_into(text);
                }
            }
            Value::Object(all) => all.iter_mut().for_each(|(key, one)| match one {
                Value::String(text) if key == "text" => *text = self.put_into(text),
                _ => self.put_into_all(one),
            }),
            _ => {}
        }
    }
}

impl Message {
    /// With these names in it. Every message goes through here, once.
    #[must_use]
    pub fn worded(mut self, wording: &Wording) -> Self {
        self.text = wording.put_into(&self.text);
        wording.put_into_all(&mut self.blocks);
        self
    }

    /// Whether it says how a command is typed.
    pub fn names_command(&self) -> bool {
        [&self.text, &self.blocks.to_string()].iter().any(|text| text.contains(&format!("`{DEPLOY}")))
    }
}

/// A sentence with these names in it.
pub fn worded(text: &str, wording: &Wording) -> String {
    wording.put_into(text)
}

/// Outside text of which nothing is taken for our words. We may put a backtick before it.
pub(super) fn guard(text: &str) -> String {
    let marked = |ours: &str| {
        let mut letters = ours.chars();
        letters.next().into_iter().chain([MARK]).chain(letters).collect::<String>()
    };
    let mut text = text.replace(MARK, "");
    if let Some(rest) = text.strip_prefix(DEPLOY) {
        text = format!("{}{rest}", marked(DEPLOY));
    }
    text = text.replace(&format!("`{DEPLOY}"), &format!("`{}", marked(DEPLOY)));
    for ours in [RUNS, CATALOG] {
        if text.contains(ours) {
            text = text.replace(ours, &marked(ours));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::text::{code, escape, said};
    use super::*;
    use crate::message::{help, plain, refusal};
    use crate::refusal::samples::every_refusal;
    use crate::verb::Verb;

    fn ship() -> Wording {
        Wording {
            command: CommandName::sent("/ship-eu"),
            contact: Some(Contact::parse("#platform").unwrap()),
            catalog: None,
        }
    }

    #[test]
    fn what_cannot_be_a_command_is_deploy() {
        for name in ["/ship", "/deploy-eu", "/a", "/deploy_2", &format!("/{}", "a".repeat(31))] {
            assert_eq!(CommandName::sent(name).as_str(), name);
        }
        for odd in [
            "",
            "/",
            "deploy",
            "/Deploy",
            "/de ploy",
            "/`x`",
            "/<!here>",
            "/dé",
            "//a",
            &format!("/{}", "a".repeat(32)),
        ] {
            assert!(CommandName::sent(odd).is_default(), "{odd}");
        }
    }

    #[test]
    fn every_sentence_says_the_command_as_the_installation_calls_it() {
        let mut all: Vec<String> = every_refusal().iter().map(refusal).collect();
        all.push(help(None));
        all.extend(Verb::ALL.iter().map(|verb| help(Some(*verb))));
        let (mut commands, mut contacts) = (0, 0);
        for text in all {
            let shown = worded(&text, &ship());
            assert!(!shown.contains("/deploy") && !shown.contains(RUNS) && !shown.contains(CATALOG), "{shown}");
            commands += shown.matches("/ship-eu").count();
            contacts += shown.matches("#platform").count();
            assert_eq!(worded(&text, &Wording::default()), text);
        }
        assert!(commands > 50 && contacts > 5, "{commands} {contacts}");
    }

    #[test]
    fn what_people_wrote_stays_as_it_is() {
        for text in [
            "/deploy",
            "/deploy checkout main",
            "tell whoever runs me, or whoever looks after the catalog",
            "acme/deploy-bot /deploy\u{e000} x",
        ] {
            let plain_text = text.replace(MARK, "");
            for outside in [code(text), escape(&format!("no key `{text}` here")), said(text)] {
                let shown = worded(&format!("{outside} `/deploy help`"), &ship());
                assert!(shown.contains(&plain_text) && shown.ends_with("`/ship-eu help`"), "{shown}");
                assert!(!shown.contains(MARK) && !shown.contains("#platform"), "{shown}");
            }
        }
    }

    #[test]
    fn a_contact_calls_nobody_and_formats_nothing() {
        let contact = Some(Contact::parse("<!channel> *@alice* `/deploy` whoever runs me").unwrap());
        let shown = worded("Ask whoever runs me to fix that.", &Wording { contact, ..Wording::default() });
        assert_eq!(shown, "Ask &lt;!channel&gt; ∗@alice∗ '/deploy' whoever runs me to fix that.");
        for odd in ["", " x", "a\nb", &"x".repeat(81)] {
            assert!(Contact::parse(odd).is_err(), "{odd:?}");
        }
    }

    #[test]
    fn the_catalog_is_linked_where_it_is_named() {
        let page = |path: &str, url: &str| {
            let path = crate::names::FilePath::parse(path).unwrap();
            Wording { catalog: Some(CatalogPage { path, url: url.to_owned() }), ..Wording::default() }
        };
        let own = page("deploy-bot.yaml", "https://x.example/deploy-bot.yaml#L7");
        let shown = worded("Add your team in `deploy-bot.yaml`.", &own);
        assert_eq!(shown, "Add your team in `<https://x.example/deploy-bot.yaml#L7|deploy-bot.yaml>`.");
        let other = page("teams/shop.yaml", "https://x.example/teams/shop.yaml");
        let shown = worded("`teams/shop.yaml` has a mistake. See `deploy-bot.yaml`.", &other);
        let link = "`<https://x.example/teams/shop.yaml|teams/shop.yaml>`";
        assert_eq!(shown, format!("{link} has a mistake. See {link}."));
        let long = format!("{} `deploy-bot.yaml`", "x".repeat(1970));
        assert_eq!(worded(&long, &own), long, "small print has no room for the address");
        let mut message = plain("`deploy-bot.yaml`");
        let label =
            serde_json::json!({ "type": "button", "text": { "type": "plain_text", "text": "`deploy-bot.yaml`" } });
        message.blocks.as_array_mut().unwrap().push(label);
        assert_eq!(message.worded(&own).blocks[1]["text"]["text"], "`deploy-bot.yaml`");
    }

    #[test]
    fn a_button_keeps_its_value() {
        let mut message = plain("Type `/deploy help`.");
        let button = serde_json::json!({ "type": "button", "value": "`/deploy help`", "text": { "type": "plain_text", "text": "Go" } });
        message.blocks.as_array_mut().unwrap().push(button);
        assert!(message.names_command());
        let message = message.worded(&ship());
        assert_eq!(message.text, "Type `/ship-eu help`.");
        assert_eq!(message.blocks[0]["text"]["text"], "Type `/ship-eu help`.");
        assert_eq!(message.blocks[1]["value"], "`/deploy help`");
    }
}
