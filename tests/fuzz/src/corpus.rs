//! A corpus as text: every input of a target in one file that people can read, review and edit.
//!
//! ```text
//! # name_of_the_entry
//! |The lines of the input, each behind a bar, with a line feed between two of them.
//! |`\x` and two hexadecimal digits are one byte, such as \x00; any other backslash is itself.
//! ```
//!
//! Every byte that is not printable ASCII is escaped, and so is a blank at the end of a line: no editor and
//! no checkout changes an input unseen. Entries are sorted by name, with an empty line between two. There is
//! one way to write an input, so [`write`] undoes [`read`].

/// One input, with a name that says what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Lower-case letters, digits and underscores: it is the name of a file, too.
    pub name: String,
    /// The bytes.
    pub input: Vec<u8>,
}

/// The entries of a corpus.
///
/// # Errors
///
/// What is wrong, with the number of the line.
pub fn read(text: &str) -> Result<Vec<Entry>, String> {
    let mut entries: Vec<(String, Vec<Vec<u8>>)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let wrong = |what: &str| format!("line {}: {what}: {line:?}", index + 1);
        if let Some(name) = line.strip_prefix("# ") {
            let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
            if name.is_empty() || !name.bytes().all(is_name) {
                return Err(wrong("a name has lower-case letters, digits and underscores"));
            }
            entries.push((name.to_owned(), Vec::new()));
        } else if let Some(escaped) = line.strip_prefix('|') {
            let (_, lines) = entries.last_mut().ok_or_else(|| wrong("no `# name` before it"))?;
            lines.push(unescape(escaped.as_bytes()));
        } else if !line.is_empty() {
            return Err(wrong("a line begins with `# ` or `|`"));
        }
    }
    if let Some((name, _)) = entries.iter().find(|(_, lines)| lines.is_empty()) {
        return Err(format!("{name:?} has no line; an empty input is one `|`"));
    }
    Ok(entries.into_iter().map(|(name, lines)| Entry { name, input: lines.join(&b'\n') }).collect())
}

/// The text of a corpus.
pub fn write(entries: &[Entry]) -> String {
    let mut sorted: Vec<&Entry> = entries.iter().collect();
    sorted.sort_by_key(|entry| &entry.name);
    let text = |entry: &Entry| {
        let lines: String =
            entry.input.split(|byte| *byte == b'\n').map(|line| format!("|{}\n", escape(line))).collect();
        format!("# {}\n{lines}", entry.name)
    };
    sorted.into_iter().map(text).collect::<Vec<_>>().join("\n")
}

/// The byte of the escape at the start.
fn escaped_byte(text: &[u8]) -> Option<u8> {
    let digits = text.strip_prefix(b"\\x")?.get(..2)?;
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(digits[0])? * 16 + digit(digits[1])?).ok()
}

fn unescape(mut text: &[u8]) -> Vec<u8> {
    let mut line = Vec::new();
    while let Some((first, rest)) = text.split_first() {
        match escaped_byte(text) {
            Some(byte) => {
                line.push(byte);
                text = &text[4..];
            }
            None => {
                line.push(*first);
                text = rest;
            }
        }
    }
    line
}

fn escape(line: &[u8]) -> String {
    let mut text = String::new();
    for (at, byte) in line.iter().enumerate() {
        let is_last = at + 1 == line.len();
        let is_itself = match byte {
            b'\\' => escaped_byte(&line[at..]).is_none(),
            b' ' => !is_last,
            byte => byte.is_ascii_graphic(),
        };
        match is_itself {
            true => text.push(char::from(*byte)),
            false => text.push_str(&format!("\\x{byte:02x}")),
        }
    }
    text
}
