//! YAML as Helm and kubectl read it: events, and where each is in the text.
//!
//! Their parsers descend from libyaml, and so does this one: what a newer parser refuses or reads otherwise (a `]` at the
//! indentation of its key, a quoted text that goes on in column 0, NEL as the end of a line) is the same here as there.
//!
//! **Invariant:** the parser sees no text that makes it panic. It does so in three places: in a block scalar or an escape
//! that the text ends in, and at the comma right after a tag (`[!a, b]`). So every text ends with a line feed here, and
//! [`comma_after_tag`] looks first.

use libyaml_safer::{
    Encoding, Error, ErrorKind, EventData, MappingStyle, Mark, Parser, Scanner, SequenceStyle, Token, TokenData,
    VersionDirective,
};
use std::collections::BTreeSet;
use std::io::{BufRead, Read, Result as IoResult};
use std::ops::Range;

pub(crate) use libyaml_safer::{EventData as What, ScalarStyle};

const BOM: char = '\u{FEFF}';

/// Where a text is not YAML, or not YAML that is read here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// From 1 on.
    pub(crate) line: usize,
    pub(crate) problem: String,
}

pub(crate) struct Event {
    pub(crate) what: What,
    /// An anchor and a type before the value belong to it, what follows the value does not. An empty value has no bytes.
    pub(crate) bytes: Range<usize>,
    /// On which it begins, from 1 on.
    pub(crate) line: usize,
    /// Whether it is within `[]` or `{}`.
    pub(crate) in_brackets: bool,
}

/// The events of a text. After the first error there is nothing more to ask for.
pub(crate) struct Events<'t> {
    text: &'t str,
    /// Where what the parser sees begins.
    begin: usize,
    parser: Parser<Pieces<'t>>,
    /// Those of the document that were seen so far.
    anchors: BTreeSet<String>,
    /// How many lists and mappings are open, from the outermost in brackets on.
    in_brackets: usize,
}

impl<'t> Events<'t> {
    pub(crate) fn new(text: &'t str) -> Result<Self, Wrong> {
        let seen = text.strip_prefix(BOM).unwrap_or(text);
        readable(seen)?;
        comma_after_tag(seen)?;
        let mut parser = Parser::new();
        // Otherwise it looks for a byte order mark, and takes the first byte of other characters for one.
        parser.set_encoding(Encoding::Utf8);
        parser.set_input(Pieces::of(seen));
        Ok(Self {
            text,
            begin: text.len().saturating_sub(seen.len()),
            parser,
            anchors: BTreeSet::new(),
            in_brackets: 0,
        })
    }

    /// The next event; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Event>, Wrong> {
        let mut event = self.parser.parse().map_err(|error| self.wrong(&error))?;
        let line = line(event.start_mark.line);
        match &event.data {
            EventData::StreamEnd => return Ok(None),
            // libyaml reads YAML 1.2, too, but those of Helm and kubectl do not.
            EventData::DocumentStart { version_directive: Some(VersionDirective { minor, .. }), .. } if *minor != 1 => {
                return Err(Wrong { line, problem: "a version of YAML other than 1.1".to_owned() });
            }
            EventData::DocumentStart { .. } => self.anchors.clear(),
            EventData::Alias { anchor } if !self.anchors.contains(anchor) => {
                return Err(Wrong { line, problem: "an alias whose anchor is not above it".to_owned() });
            }
            EventData::Scalar { anchor: Some(anchor), .. }
            | EventData::SequenceStart { anchor: Some(anchor), .. }
            | EventData::MappingStart { anchor: Some(anchor), .. } => {
                self.anchors.insert(anchor.clone());
            }
            _ => {}
        }
        self.in_brackets = match &event.data {
            EventData::SequenceStart { style: SequenceStyle::Flow, .. }
            | EventData::MappingStart { style: MappingStyle::Flow, .. } => self.in_brackets.saturating_add(1),
            EventData::SequenceEnd | EventData::MappingEnd => self.in_brackets.saturating_sub(1),
            // To Go the text ends before the question mark.
            EventData::Scalar { style: ScalarStyle::Plain, value, .. }
                if self.in_brackets > 0 && value.contains('?') =>
            {
                return Err(Wrong { line, problem: "a ? in brackets and without quotes".to_owned() });
            }
            _ => self.in_brackets,
        };
        let bytes = self.place(event.start_mark.index)..self.place(event.end_mark.index);
        let in_quotes = matches!(event.data, EventData::Scalar { style: ScalarStyle::DoubleQuoted, .. });
        if in_quotes && self.text.get(bytes.clone()).is_some_and(escapes_slash) {
            return Err(Wrong { line, problem: "the escape \\/, which Helm does not know".to_owned() });
        }
        if let EventData::Scalar { style: ScalarStyle::Literal | ScalarStyle::Folded, value, .. } = &mut event.data
            && bytes.end >= self.text.len()
            && self.text.rsplit(is_break).next().is_some_and(|last| !last.trim_matches(' ').is_empty())
        {
            // That of `Pieces`.
            value.truncate(value.strip_suffix('\n').map_or(value.len(), str::len));
        }
        Ok(Some(Event { what: event.data, bytes, line, in_brackets: self.in_brackets > 0 }))
    }

    fn place(&self, index: u64) -> usize {
        usize::try_from(index).unwrap_or(usize::MAX).saturating_add(self.begin).min(self.text.len())
    }

    fn wrong(&self, error: &Error) -> Wrong {
        let mark = error.problem_mark().unwrap_or_default();
        // Of a quote that is open until the end, the line where the quote is.
        let begin = error.context_mark().filter(|_| error.kind() == ErrorKind::Scanner);
        let is_tab = self.text.get(self.place(mark.index)..).is_some_and(|rest| rest.starts_with('\t'));
        let problem = match error.problem() {
            "found character that cannot start any token" if is_tab => "a tab as indentation".to_owned(),
            problem => error.context().map_or_else(|| problem.to_owned(), |context| format!("{context}, {problem}")),
        };
        Wrong { line: line(begin.unwrap_or(mark).line), problem }
    }
}

fn line(mark: u64) -> usize {
    usize::try_from(mark).unwrap_or(usize::MAX).saturating_add(1)
}

fn wrong<T>(text: &str, at: usize, problem: &str) -> Result<T, Wrong> {
    let breaks = text.get(..at).unwrap_or_default().replace("\r\n", "\n").matches(is_break).count();
    Err(Wrong { line: breaks.saturating_add(1), problem: problem.to_owned() })
}

/// Refuses characters that are none of YAML, byte order marks within the text, which each parser takes for something else,
/// and directives: the parser copies the prefix of a `%TAG` into every tag that uses it (gigabytes of copies from a small
/// file).
fn readable(text: &str) -> Result<(), Wrong> {
    let is_control = |c: char| match c {
        '\t' | '\n' | '\r' | '\u{85}' => false,
        c => c < ' ' || ('\u{7F}'..'\u{A0}').contains(&c) || matches!(c, '\u{FFFE}' | '\u{FFFF}'),
    };
    if let Some(at) = text.find(is_control) {
        return wrong(text, at, "control characters are not allowed");
    }
    if let Some(at) = text.find(BOM) {
        return wrong(text, at, "a byte order mark within the text");
    }
    let breaks = text.match_indices(is_break).map(|(at, found)| at.saturating_add(found.len()));
    for at in std::iter::once(0).chain(breaks) {
        let line = text.get(at..).unwrap_or_default();
        if line.starts_with('%') && !line.starts_with("%YAML ") {
            return wrong(text, at, "a directive other than %YAML");
        }
    }
    Ok(())
}

fn escapes_slash(quoted: &str) -> bool {
    let mut rest = quoted.chars();
    while let Some(c) = rest.next() {
        if c == '\\' && rest.next() == Some('/') {
            return true;
        }
    }
    false
}

/// Whether a character ends a line.
pub(crate) fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// How many types in full (`!<tag:yaml.org,2002:str>`) may have a comma.
const MOST_FULL_TYPES: usize = 8;

/// How many lists and mappings in brackets may be open where a comma has to be looked at: the scanner goes through all of
/// them at each token.
const MOST_OPEN: usize = 256;

/// Refuses a type with a comma right after it. Whether a `!` begins a type, only the scanner knows: so the scanner reads the text
/// with a blank before each comma that follows a word with a `!`. Where the comma may be, a blank may be, too, but within a
/// type in full.
fn comma_after_tag(text: &str) -> Result<(), Wrong> {
    let (mut commas, mut has_mark) = (Vec::new(), false);
    for (at, c) in text.char_indices() {
        match c {
            '!' => has_mark = true,
            ',' if has_mark => commas.push(at),
            c if matches!(c, ' ' | '\t') || is_break(c) => has_mark = false,
            _ => {}
        }
    }
    for _ in 0..=MOST_FULL_TYPES {
        if commas.is_empty() {
            return Ok(());
        }
        let Some(full) = scan(text, &commas)? else { return Ok(()) };
        let inside = |at: &usize| full.contains(at);
        if !commas.iter().any(inside) {
            return wrong(text, full.start, "while scanning a tag, did not find the expected '>'");
        }
        commas.retain(|at| !inside(at));
    }
    wrong(text, 0, "too many types with a comma in them")
}

/// Scans a text with blanks before these commas. The bytes of a type in full that a blank has broken, if there is one.
fn scan(text: &str, commas: &[usize]) -> Result<Option<Range<usize>>, Wrong> {
    let (mut spaced, mut blanks, mut copied) = (String::with_capacity(text.len()), Vec::new(), 0);
    for at in commas {
        spaced.push_str(text.get(copied..*at).unwrap_or_default());
        // With a blank behind it, a colon would end a key. As a part of the word it ends nothing that has no error.
        if spaced.ends_with(':') {
            spaced.pop();
            spaced.push('_');
        }
        blanks.push(spaced.len());
        spaced.push(' ');
        copied = *at;
    }
    spaced.push_str(text.get(copied..).unwrap_or_default());
    let mut scanner = Scanner::new();
    scanner.set_encoding(Encoding::Utf8);
    scanner.set_input(Pieces::of(&spaced));
    let index = |mark: Mark| usize::try_from(mark.index).unwrap_or(usize::MAX);
    let mut open = 0_usize;
    for token in scanner {
        match token {
            Ok(Token { data: TokenData::Tag { .. }, end_mark, .. })
                if blanks.binary_search(&index(end_mark)).is_ok() =>
            {
                return Err(Wrong { line: line(end_mark.line), problem: "a comma right after a type".to_owned() });
            }
            Ok(Token { data: TokenData::FlowSequenceStart | TokenData::FlowMappingStart, start_mark, .. }) => {
                open = open.saturating_add(1);
                if open > MOST_OPEN {
                    return Err(Wrong {
                        line: line(start_mark.line),
                        problem: "too many brackets are open".to_owned(),
                    });
                }
            }
            Ok(Token { data: TokenData::FlowSequenceEnd | TokenData::FlowMappingEnd, .. }) => {
                open = open.saturating_sub(1);
            }
            Ok(_) => {}
            // The scanner repeats it forever.
            Err(error) => {
                let begin = error.context_mark().map(index);
                if let Some(begin) = begin.filter(|_| error.problem() == "did not find the expected '>'") {
                    let begin = begin.saturating_sub(blanks.partition_point(|blank| *blank < begin));
                    return Ok(Some(begin..full_type(text, begin)));
                }
                let mark = error.problem_mark().unwrap_or_default();
                return Err(Wrong { line: line(mark.line), problem: error.problem().to_owned() });
            }
        }
    }
    Ok(None)
}

/// Where a type in full ends that begins there.
fn full_type(text: &str, begin: usize) -> usize {
    let is_uri = |c: char| c.is_ascii_alphanumeric() || "-_;/?:@&=+$.!~*'()%,[]".contains(c);
    let inside = text.get(begin..).and_then(|rest| rest.strip_prefix("!<")).unwrap_or_default();
    let length = inside.find(|c| !is_uri(c)).unwrap_or(inside.len());
    begin.saturating_add(length).saturating_add(2)
}

/// A text line by line, so that the parser holds one of them at a time, with a line feed at its end.
struct Pieces<'t> {
    rest: &'t str,
    at_end: &'t str,
}

impl<'t> Pieces<'t> {
    fn of(text: &'t str) -> Self {
        Self { rest: text, at_end: if text.ends_with('\n') { "" } else { "\n" } }
    }
}

impl BufRead for Pieces<'_> {
    fn fill_buf(&mut self) -> IoResult<&[u8]> {
        if self.rest.is_empty() {
            self.rest = std::mem::take(&mut self.at_end);
        }
        Ok(self.rest.split_inclusive('\n').next().unwrap_or_default().as_bytes())
    }

    fn consume(&mut self, amount: usize) {
        self.rest = self.rest.get(amount..).unwrap_or_default();
    }
}

impl Read for Pieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> IoResult<usize> {
        let read = self.fill_buf()?.read(into)?;
        self.consume(read);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> Option<String> {
        let mut events = match Events::new(text) {
            Ok(events) => events,
            Err(Wrong { line, problem }) => return Some(format!("{line}: {problem}")),
        };
        loop {
            match events.next() {
                Ok(Some(event)) => assert!(text.get(event.bytes).is_some(), "{text:?}"),
                Ok(None) => return None,
                Err(Wrong { line, problem }) => return Some(format!("{line}: {problem}")),
            }
        }
    }

    #[test]
    fn no_text_reaches_what_makes_the_parser_panic() {
        for text in [
            "a: |\n  b",
            "a: >-\n  b\n ",
            "a: ''\nb: |1\n 0",
            "a: \"\\\n b\"",
            "a: [!b , c]",
            "a: [\"b !c, d\", e !f g, 'h!, i'] # !j, k",
            "a: |\n  b !c, d\ne: !f g, h",
            "a: 1\n[b, \"!c, d\"]: e",
            "# !a, !b, !c, d",
            "!<tag:yaml.org,2002:str> a: b",
            "a: [!<b,c> d, e!f, '!<', !<g,h> i]",
            "a b\n!c:,\n",
            "a:!:,]b: c\n1d \"e\"f:\n",
            "a: ['!b:,', !c d, e!f, g]",
            "a: |\n  b!:,c\nd: [!e f, g]",
            "a: {\"b!\":, c: d}",
            "a: |\n  {job!=\"x\",ns=\"y\"} {job!=\"x\",ns=\"y\"} {job!=\"x\",ns=\"y\"} {job!=\"x\",ns=\"y\"}\n  {job!=\"x\",a=\"y\",b!=\"z\",c!=\"d\",e!=\"f\",g}\n",
        ] {
            assert_eq!(problem(text), None, "{text:?}");
        }
        let after_type = |line: usize| Some(format!("{line}: a comma right after a type"));
        assert_eq!(problem("[!a, b]"), after_type(1));
        assert_eq!(problem("a: 1\r\nb: {c: !<d>, e: f}"), after_type(2));
        assert_eq!(problem("a: [!, b]"), after_type(1));
        for text in [
            "a: [!<b,c>, d]",
            "a: ['!<',!c, d]",
            "a: [b!c,!d, e]",
            "a: [x!y,z!,!c, d>]",
            "a: [!<b,c> d, !<e>, f]",
            "a: [!b:, c]",
            "a: [b!c,!d:,e]",
        ] {
            assert_eq!(problem(text), after_type(1), "{text}");
        }
        assert_eq!(problem("a: [!<b,c d"), Some("1: while scanning a tag, did not find the expected '>'".to_owned()));
        let many = format!("a: [{}]", "!<b,c> d, ".repeat(9));
        assert_eq!(problem(&many), Some("1: too many types with a comma in them".to_owned()));
        let colon = "1: while scanning a plain scalar, found unexpected ':'";
        assert_eq!(problem("a: [x!y:,z]"), Some(colon.to_owned()));
        let deep = format!("a: {}x!b, c", "[".repeat(1000));
        assert_eq!(problem(&deep), Some("1: too many brackets are open".to_owned()));
        assert_eq!(problem("a: 1\n[!b, c]: d"), after_type(2));
        assert_eq!(problem("a: [b, '!c, d', !!str, e]"), after_type(1));
        for open in ["a: \"\\", "a: \"b\\", "a: '", "a: \"\\u12", "a: !<b", "a: !%4"] {
            assert!(problem(open).is_some(), "{open:?}");
        }
        assert_eq!(problem(&"# !a, b\n".repeat(1000)), None);
    }

    #[test]
    fn a_block_text_at_the_end_has_no_line_feed_of_ours() {
        let value = |text: &str| {
            let mut events = Events::new(text).unwrap();
            let next = || events.next().unwrap();
            std::iter::from_fn(next).find_map(|event| match event.what {
                What::Scalar { value, style: ScalarStyle::Literal | ScalarStyle::Folded, .. } => Some(value),
                _ => None,
            })
        };
        for (text, expected) in [
            ("a: |\n  b", "b"),
            ("a: |+\n  b", "b"),
            ("a: |-\n  b", "b"),
            ("a: >\n  b\n  c", "b c"),
            ("a: |\n  b\n", "b\n"),
            ("a: |\n  b\n ", "b\n"),
            ("a: |+\n  b\n\n", "b\n\n"),
        ] {
            assert_eq!(value(text).as_deref(), Some(expected), "{text:?}");
        }
    }

    #[test]
    fn places_are_bytes_of_the_text() {
        let text = "\u{FEFF}ä: &b !!str 'ö' # c\n漢: d\n";
        let mut events = Events::new(text).unwrap();
        let mut found = Vec::new();
        while let Some(Event { what, bytes, line, .. }) = events.next().unwrap() {
            if let What::Scalar { value, .. } = what {
                found.push((line, value, text.get(bytes).unwrap()));
            }
        }
        let found: Vec<_> = found.iter().map(|(line, value, written)| (*line, value.as_str(), *written)).collect();
        assert_eq!(found, [(1, "ä", "ä"), (1, "ö", "&b !!str 'ö'"), (2, "漢", "漢"), (2, "d", "d")]);
    }
}
