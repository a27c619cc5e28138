//! How a registry asks for a login: `WWW-Authenticate`.

/// One way to log in that the registry offers (RFC 9110, section 11.6.1).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    pub(super) scheme: String,
    pub(super) parameters: Vec<(String, String)>,
}

impl Challenge {
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// Reads a `WWW-Authenticate` header. A comma separates parameters and challenges alike, and is text
/// inside quotes.
pub(super) fn challenges(header: &str) -> Vec<Challenge> {
    let mut challenges: Vec<Challenge> = Vec::new();
    for item in split_outside_quotes(header) {
        let (before, value) = item.split_once('=').unwrap_or((item, ""));
        let name = match before.trim().split_once(char::is_whitespace) {
            Some((scheme, name)) => {
                challenges.push(Challenge { scheme: scheme.to_owned(), parameters: Vec::new() });
                name.trim()
            }
            None if item.contains('=') => before.trim(),
            None => {
                challenges.push(Challenge { scheme: before.trim().to_owned(), parameters: Vec::new() });
                continue;
            }
        };
        if let Some(challenge) = challenges.last_mut() {
            challenge.parameters.push((name.to_owned(), unquoted(value.trim())));
        }
    }
    challenges
}

fn split_outside_quotes(text: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    let parts = text.split(move |c: char| {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        c == ',' && !quoted
    });
    parts.map(str::trim).filter(|part| !part.is_empty())
}

fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"') else { return value.to_owned() };
    let inner = inner.strip_suffix('"').unwrap_or(inner);
    let mut escaped = false;
    inner
        .chars()
        .filter(|c| {
            escaped = *c == '\\' && !escaped;
            !escaped
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_with_their_quotes() {
        let read = |header: &str| {
            let show = |Challenge { scheme, parameters }: Challenge| {
                parameters.into_iter().fold(scheme, |line, (key, value)| format!("{line} {key}=<{value}>"))
            };
            challenges(header).into_iter().map(show).collect::<Vec<_>>().join("; ")
        };
        for (header, expected) in [
            ("", ""),
            (",, ,", ""),
            ("Basic", "Basic"),
            ("Basic realm=x", "Basic realm=<x>"),
            (
                r#"Bearer realm="https://a/b?c=d",scope="r:x:pull,push""#,
                "Bearer realm=<https://a/b?c=d> scope=<r:x:pull,push>",
            ),
            (r#"Bearer realm = "a" , service = "b c""#, "Bearer realm=<a> service=<b c>"),
            (
                r#"Basic realm="a, b", Bearer realm="c",error="invalid_token""#,
                "Basic realm=<a, b>; Bearer realm=<c> error=<invalid_token>",
            ),
            ("Negotiate, Basic realm=x", "Negotiate; Basic realm=<x>"),
            (r#"Basic realm="say \"hi, there\" \\""#, r#"Basic realm=<say "hi, there" \>"#),
            (r#"Basic realm="never ends, Bearer realm=x"#, "Basic realm=<never ends, Bearer realm=x>"),
            ("realm=x", ""),
            (r#"Basic realm=""#, "Basic realm=<>"),
            (r#"Basic realm="é\"#, "Basic realm=<é>"),
        ] {
            assert_eq!(read(header), expected, "{header}");
        }
    }
}
