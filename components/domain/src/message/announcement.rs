//! What people read when somebody has pushed to a file of an app: who, what, and that it is not deployed.

use super::blocks::{Message, SUMMARY, context, section};
use super::button::{self, Button, PushedOffer};
use super::text::{SHORT, code, counted, cut, link, some, words};
use crate::push::{PushNote, Touched};
use serde_json::Value;

pub const NOT_DEPLOYED: &str = "Not deployed: I only deploy what people ask me to.";

/// At most this many targets are listed in one message: Slack takes 50 blocks.
pub(super) const LISTED: usize = 20;

/// The announcement of a push for those targets whose people read one channel, with a button for each.
pub fn pushed(note: &PushNote, touched: &[&Touched]) -> Message {
    let who = match words(&note.who, SHORT) {
        who if who.is_empty() => "Somebody".to_owned(),
        who => who,
    };
    let headline = match words(&note.headline, SHORT) {
        headline if headline.is_empty() => note.after.short().to_owned(),
        headline => headline,
    };
    let what = link(&format!("{}/commit/{}", note.url, note.after), &headline);
    let before = note.commits.saturating_sub(1);
    let all = match before {
        0 => String::new(),
        before => {
            let url = format!("{}/compare/{}...{}", note.url, note.before, note.after);
            format!(" and {}", link(&url, &counted(before, "more commit")))
        }
    };
    let mut blocks = vec![section(&format!(":pencil2: {who} pushed {what}{all}. {NOT_DEPLOYED}"))];
    for (n, touched) in touched.iter().take(LISTED).enumerate() {
        let files: Vec<String> = touched.files.iter().map(code).collect();
        let mut block = section(&format!("*{}*  {}", touched.managed.target, some(&files, "and")));
        let offer = PushedOffer { target: (&touched.managed.target).into(), wrote: touched.wrote.clone() };
        let button = button::numbered(&Button::DeployPushed(Box::new(offer)), n);
        if let Some((block, button)) = block.as_object_mut().zip(button) {
            block.insert("accessory".to_owned(), button);
        }
        blocks.push(block);
    }
    let more = touched.len().saturating_sub(LISTED).saturating_add(usize::try_from(note.more).unwrap_or(usize::MAX));
    if more > 0 {
        blocks.push(context(&format!("… and {more} more that are not listed.")));
    }
    let names: Vec<String> = touched.iter().map(|touched| touched.managed.target.to_string()).collect();
    let summary = format!("{who} pushed to {}: {headline}. {NOT_DEPLOYED}", some(&names, "and"));
    Message { text: cut(&summary, SUMMARY), blocks: Value::Array(blocks) }
}
