//! What is kept of a push while it streams in: all of it, or an outline where it is too large.

/// The most that is kept of a push. The bot's own has one commit and a few KiB. Of a larger push only the
/// outline is kept, so people do not read of it.
const KEEP: usize = 1 << 20;

/// The longest string in an outline. What is read of a push is much shorter.
const KEEP_OF_STRING: usize = 1024;

pub(super) enum Kept {
    /// Exactly the bytes, as Argo CD has to see them.
    Whole(Vec<u8>),
    /// Enough to recognise a rewritten branch; never relayed.
    Outline(Outline),
}

impl Kept {
    pub(super) fn take(self, piece: &[u8]) -> Self {
        match self {
            Self::Whole(mut bytes) if bytes.len().saturating_add(piece.len()) <= KEEP => {
                bytes.extend_from_slice(piece);
                Self::Whole(bytes)
            }
            Self::Whole(bytes) => Self::Outline(Outline::default().take(&bytes).take(piece)),
            Self::Outline(outline) => Self::Outline(outline.take(piece)),
        }
    }
}

/// A JSON text without the content of its arrays and long strings: commits, file names and messages make a
/// push large.
#[derive(Default)]
pub(super) struct Outline {
    pub(super) json: Vec<u8>,
    arrays: u32,
    in_string: bool,
    after_backslash: bool,
    /// Where in `json` the last string begins.
    string: usize,
    /// The last string is too long, and left out.
    left_out: bool,
}

impl Outline {
    pub(super) fn take(mut self, piece: &[u8]) -> Self {
        for byte in piece {
            let in_array = self.arrays > 0;
            match (self.in_string, *byte) {
                _ if self.after_backslash => self.after_backslash = false,
                (true, b'\\') => self.after_backslash = true,
                (_, b'"') => {
                    self.in_string = !self.in_string;
                    self.string = self.json.len().saturating_add(1);
                    self.left_out = false;
                }
                (false, b'[') => self.arrays = self.arrays.saturating_add(1),
                (false, b']') => self.arrays = self.arrays.saturating_sub(1),
                _ => {}
            }
            // An outline that is too long is cut off, and is no JSON any more.
            if (!in_array || self.arrays == 0) && !self.left_out && self.json.len() < KEEP {
                self.json.push(*byte);
            }
            if self.in_string && self.json.len().saturating_sub(self.string) > KEEP_OF_STRING {
                self.json.truncate(self.string);
                self.left_out = true;
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outline_has_everything_but_what_is_in_arrays() {
        let check = |json: &str, expected: &str| {
            let at_once = Outline::default().take(json.as_bytes());
            let in_pieces = json.as_bytes().chunks(1).fold(Outline::default(), Outline::take);
            assert_eq!(String::from_utf8_lossy(&at_once.json), expected, "{json}");
            assert_eq!(at_once.json, in_pieces.json, "{json}");
        };
        check(r#"{"forced":true,"commits":[{"id":"a"}]}"#, r#"{"forced":true,"commits":[]}"#);
        check(r#"{"commits":[[1],["]"],"\"]"],"forced":true}"#, r#"{"commits":[],"forced":true}"#);
        check(r#"{"ref":"a[b","x":"\\","commits":[1]}"#, r#"{"ref":"a[b","x":"\\","commits":[]}"#);
        check(
            r#"{"head_commit":{"added":["a","b"],"id":"c"},"after":"d"}"#,
            r#"{"head_commit":{"added":[],"id":"c"},"after":"d"}"#,
        );
        let kept = "é".repeat(KEEP_OF_STRING / 2);
        check(&format!(r#"{{"message":"{kept}"}}"#), &format!(r#"{{"message":"{kept}"}}"#));
        for long in ["x", r"\u00e9", r#"\""#, "]"] {
            check(&format!(r#"{{"message":"{kept}{long}","forced":true}}"#), r#"{"message":"","forced":true}"#);
            check(&format!(r#"{{"message":"{long}{kept}","a":["{kept}x"]}}"#), r#"{"message":"","a":[]}"#);
        }
    }

    #[test]
    fn a_large_push_becomes_an_outline_and_a_small_one_stays_whole() {
        let half = vec![b'x'; KEEP / 2];
        assert!(matches!(Kept::Whole(Vec::new()).take(&half).take(&half), Kept::Whole(bytes) if bytes.len() == KEEP));
        let Kept::Outline(outline) = Kept::Whole(half.clone()).take(&half).take(b"x").take(&half) else {
            panic!("more than {KEEP} bytes")
        };
        assert_eq!(outline.json.len(), KEEP, "never more is kept");
    }
}
