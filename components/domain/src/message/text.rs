//! Words and how they are put together: what is escaped, cut, listed, linked, and how a moment and a duration
//! read. Without escaping, a branch named `<!channel>` would call everybody.

use super::wording::guard;
use crate::names::SlackUser;
use crate::time::Timestamp;
use std::fmt;
use std::time::Duration;

/// How long a piece of outside text may be.
pub(super) const SHORT: usize = 80;
pub(super) const LONG: usize = 300;
/// In backticks: an image tag is never cut.
pub(super) const CODE: usize = 128;

/// Without the characters that turn the direction of reading: with them, people read another text than there is.
pub(super) fn one_way(text: &str) -> String {
    let turns = ['\u{61c}', '\u{200e}', '\u{200f}'];
    let turns = |c: char| turns.contains(&c) || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.replace(turns, "")
}

/// Outside text whose characters format nothing: what Slack would take for bold, italics, a strike, code or an emoji's
/// name has look-alikes. Within a word they format nothing and stay, because people copy names.
fn inert(text: &str) -> String {
    let all: Vec<char> = text.chars().collect();
    let is_in_word = |at: Option<usize>| at.and_then(|at| all.get(at)).is_some_and(|c| c.is_alphanumeric());
    let of = |(at, c): (usize, &char)| {
        let within = is_in_word(at.checked_sub(1)) && is_in_word(at.checked_add(1));
        match c {
            '`' => '\'',
            '*' if !within => '∗',
            '_' if !within => 'ˍ',
            '~' if !within => '∼',
            ':' if begins_emoji(all.get(at.saturating_add(1)..).unwrap_or_default()) => '∶',
            c => *c,
        }
    };
    all.iter().enumerate().map(of).collect()
}

/// Whether a name and a colon follow, as in `:tada:`.
fn begins_emoji(after: &[char]) -> bool {
    let is_name = |c: &&char| c.is_alphanumeric() || matches!(c, '_' | '-' | '+' | '\'');
    let length = after.iter().take_while(is_name).count();
    length > 0 && after.get(length) == Some(&':')
}

/// Text of people in mrkdwn: what Slack would take for a mention or a link stays text, and what we would take for words of
/// ours.
pub fn escape(text: &str) -> String {
    guard(&one_way(text)).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Text of people between backticks: at most `limit` characters on one line. A backtick cannot be escaped
/// there, so it is replaced.
pub fn code_escape(text: &str, limit: usize) -> String {
    let one_line = |c: char| {
        if c == '`' {
            '\''
        } else if c.is_control() {
            ' '
        } else {
            c
        }
    };
    let text = &one_way(text);
    let mut cut: String = text.trim().chars().take(limit).map(one_line).collect();
    if text.trim().chars().nth(limit).is_some() {
        cut.pop();
        cut.push('…');
    }
    escape(&cut)
}

pub(super) fn code(text: impl fmt::Display) -> String {
    match code_escape(&text.to_string(), CODE).trim() {
        "" => "(nothing)".to_owned(),
        text => format!("`{text}`"),
    }
}

/// How a command is typed, of which `rest` may be outside text.
pub(super) fn typed(rest: &str) -> String {
    format!("`/deploy {}`", code_escape(rest, LONG))
}

/// All of them, with commas.
pub(super) fn codes(names: &[String]) -> String {
    names.iter().map(code).collect::<Vec<_>>().join(", ")
}

/// Outside text: escaped, cut, and without any format of its own. A backtick in it could swallow what we write
/// after it.
pub(super) fn words(text: &str, limit: usize) -> String {
    escape(&inert(&clip(text, limit)))
}

/// What somebody else said, as the end of a sentence: `: … ` without its full stop, or nothing.
pub(super) fn said(text: &str) -> String {
    let text = escape(&inert(&middle(text, LONG)));
    match text.trim_end_matches(['.', ' ']) {
        "" => String::new(),
        said => format!(": {said}"),
    }
}

/// At most that many characters, on one line, with `…` where something was cut.
pub(super) fn clip(text: &str, limit: usize) -> String {
    let text = one_way(text);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= limit {
        return line;
    }
    line.chars().take(limit.saturating_sub(1)).chain(['…']).collect()
}

/// The same, with `…` in the middle: where others say what failed, the cause is at the end.
pub fn middle(text: &str, limit: usize) -> String {
    let text = one_way(text);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let count = line.chars().count();
    if count <= limit {
        return line;
    }
    let begin = limit / 3;
    let end = count.saturating_sub(limit.saturating_sub(begin).saturating_sub(1));
    line.chars().take(begin).chain(['…']).chain(line.chars().skip(end)).collect()
}

/// Names as people list them, at most ten: `a`, `a and b`, `a, b or c`, `a, b and 3 more`.
pub(super) fn some(names: &[String], and: &str) -> String {
    let more = names.len().saturating_sub(10);
    let mut names: Vec<String> = names.iter().take(10).cloned().collect();
    if more > 0 {
        names.push(format!("{more} more"));
    }
    match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, names)) => format!("{} {and} {last}", names.join(", ")),
        None => String::new(),
    }
}

/// `1 commit`, `2 commits`.
pub(super) fn counted(count: u32, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// Who locked something: that person, or the bot after a deploy of theirs.
pub(super) fn holder(by: &SlackUser, itself: bool) -> String {
    if itself { format!("me, after the deploy by <@{by}>,") } else { format!("<@{by}>") }
}

/// People by name, as Slack shows them: `<@U1> and <@U2>`.
pub(super) fn people<'a>(users: impl Iterator<Item = &'a SlackUser>) -> String {
    let users: Vec<String> = users.map(|user| format!("<@{user}>")).collect();
    some(&users, "and")
}

/// How long Slack finds a text: it never counts more than these units.
pub(super) fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

/// The last resort against Slack's limits: pieces are cut where they come in, so this does not happen to
/// ordinary text. A mention or link is never cut in two.
pub(super) fn cut(text: &str, most: usize) -> String {
    if length(text) <= most {
        return text.to_owned();
    }
    let mut left = most.saturating_sub(1);
    let mut kept: String = text
        .chars()
        .take_while(|c| {
            let fits = c.len_utf16() <= left;
            left = left.saturating_sub(c.len_utf16());
            fits
        })
        .collect();
    if let Some(open) = kept.rfind('<')
        && !kept.get(open..).unwrap_or_default().contains('>')
    {
        kept.truncate(open);
    }
    kept.push('…');
    kept
}

/// A link, or the label alone where the address is none that a browser opens. The label is ours or escaped.
pub(super) fn link(url: &str, label: &str) -> String {
    // A link's address ends at `>` or `|`; a backtick in it could swallow what follows.
    let clean: String = url.chars().filter(|c| !c.is_whitespace() && !matches!(c, '<' | '>' | '|' | '`')).collect();
    let opens = clean.starts_with("https://") || clean.starts_with("http://");
    if opens && clean.len() <= LONGEST_URL { format!("<{}|{label}>", escape(&clean)) } else { label.to_owned() }
}

/// A longer address would push the rest of the message out of Slack's limits.
const LONGEST_URL: usize = 500;

/// A moment as the reader's own clock shows it; Slack does that.
pub(super) fn moment(at: Timestamp) -> String {
    let utc = at.to_rfc3339();
    let utc = utc.get(..16).unwrap_or_default().replace('T', " ");
    format!("<!date^{}^{{date_short_pretty}} {{time}}|{utc} UTC>", at.seconds())
}

/// `8 s`, `2 min 5 s`, `3 h 10 min`.
pub(super) fn lasted(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes, rest) {
        (0, 0, rest) => format!("{rest} s"),
        (0, minutes, 0) => format!("{minutes} min"),
        (0, minutes, rest) => format!("{minutes} min {rest} s"),
        (hours, 0, _) => format!("{hours} h"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn peoples_text_stays_text() {
        assert_eq!(escape("<!channel> & <@U1|x> &lt;"), "&lt;!channel&gt; &amp; &lt;@U1|x&gt; &amp;lt;");
        assert_eq!(code_escape("feature/`x`\n<!here>", 40), "feature/'x' &lt;!here&gt;");
        assert_eq!(code_escape("  abcdef ", 6), "abcdef");
        assert_eq!(code_escape("abcdefg", 6), "abcde…");
        assert_eq!(code_escape("<<<<", 3), "&lt;&lt;…");
        assert_eq!(code_escape("üüüü", 3), "üü…");
    }

    #[test]
    fn outside_text_formats_nothing() {
        let check = |text: &str, expected: &str| assert_eq!(words(text, SHORT), expected, "{text}");
        check("*live* _now_ ~not~ `x`", "∗live∗ ˍnowˍ ∼not∼ 'x'");
        check(":white_check_mark: :+1::a:b", "∶white_check_mark: ∶+1:∶a:b");
        check("at 12:30, see acme:prod: and ::", "at 12:30, see acme∶prod: and ::");
        check("snake_case HEAD~1 2*3", "snake_case HEAD~1 2*3");
        check("\u{202e}evil\u{2066} \u{200f}x\u{61c}", "evil x");
        assert_eq!(said("*no*\u{202e}."), ": ∗no∗");
        assert_eq!(code_escape("a\u{202e}b*c*", 40), "ab*c*");
    }

    proptest! {
        #[test]
        fn escaped_text_has_no_markup(text in "\\PC*", limit in 1_usize..50) {
            for escaped in [escape(&text), code_escape(&text, limit)] {
                prop_assert!(!escaped.contains(['<', '>']));
            }
            prop_assert!(!code_escape(&text, limit).contains(['`', '\n']));
        }
    }
}
