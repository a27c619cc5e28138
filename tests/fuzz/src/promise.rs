//! What holds for every text of ours, with anybody's bytes in it.

use std::fmt::Debug;

/// Is in every secret of the targets, so that a leak can be seen.
pub(crate) const HUSH: &str = "hUsH7q";

/// Nothing that is printed or stored holds a secret. An input that has the mark in it proves nothing.
pub(crate) fn keeps_secrets(input: &[u8], printed: &impl Debug) {
    let printed = format!("{printed:?}");
    let known = input.windows(HUSH.len()).any(|window| window == HUSH.as_bytes());
    assert!(known || !printed.contains(HUSH), "a secret is printed: {printed}");
}

/// A text for Slack has no mention and no link but those that we write: a branch may be called `<!channel>`.
pub(crate) fn is_plain_to_slack(text: &str) {
    for (at, _) in text.match_indices('<') {
        let Some((inner, _)) = text[at + 1..].split_once('>') else {
            assert!(text.ends_with('…'), "an open `<` in {text:?}");
            continue;
        };
        let is_user = inner
            .strip_prefix('@')
            .is_some_and(|id| !id.is_empty() && id.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()));
        let is_link = (inner.starts_with("https://") || inner.starts_with("http://"))
            && !inner.contains(['<', '\n'])
            && inner.matches('|').count() >= 1;
        assert!(is_user || is_link, "Slack would read <{inner}> in {text:?}");
    }
}

/// A sentence of at most this many characters on one line.
pub(crate) fn is_short(text: &str, most: usize) {
    assert!(text.chars().count() <= most, "{} characters: {text:?}", text.chars().count());
    assert!(!text.contains(['\n', '\r']), "more than one line: {text:?}");
}
