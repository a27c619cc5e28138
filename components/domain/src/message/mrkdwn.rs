//! Text of people in Slack's mrkdwn: without escaping, a branch named `<!channel>` would call everybody.

/// Text of people in mrkdwn: what Slack would take for a mention or a link stays text.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
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
    let mut cut: String = text.trim().chars().take(limit).map(one_line).collect();
    if text.trim().chars().nth(limit).is_some() {
        cut.pop();
        cut.push('…');
    }
    escape(&cut)
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
