//! An input taken apart: a target that needs more than one text reads the first lines, and the rest is the
//! body. So a person can read and write an input, and a fuzzer can splice it.

use std::borrow::Cow;

/// What is left of an input.
pub(crate) struct Parts<'a>(pub(crate) &'a [u8]);

impl<'a> Parts<'a> {
    /// The next line, without its end.
    pub(crate) fn line(&mut self) -> &'a [u8] {
        match self.0.iter().position(|byte| *byte == b'\n') {
            Some(end) => {
                let line = &self.0[..end];
                self.0 = &self.0[end + 1..];
                line
            }
            None => std::mem::take(&mut self.0),
        }
    }

    /// The next line as text; what is not UTF-8 is replaced.
    pub(crate) fn text(&mut self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.line())
    }

    /// The next line as a number, or the default.
    pub(crate) fn number(&mut self, otherwise: u64) -> u64 {
        self.text().trim().parse().unwrap_or(otherwise)
    }

    /// Everything that is left.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }

    /// Everything that is left, as text.
    pub(crate) fn rest_text(self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.0)
    }
}

/// A body as it may arrive: each byte of `cuts` is the length of a piece, and the last piece is what is left.
pub(crate) fn pieces(cuts: &[u8], mut body: &[u8]) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    for cut in cuts {
        let (piece, rest) = body.split_at(usize::from(*cut).min(body.len()));
        pieces.push(piece.to_vec());
        body = rest;
    }
    pieces.push(body.to_vec());
    pieces
}

/// The same bytes with one bit changed; which one, the bytes of `choice` say. `None`: there is none.
pub(crate) fn one_bit_changed(bytes: &[u8], choice: &[u8]) -> Option<Vec<u8>> {
    let choice = choice.iter().fold(7_usize, |all, byte| all.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    let mut changed = bytes.to_vec();
    let at = choice.checked_rem(bytes.len())?;
    changed[at] ^= 1 << (choice / 8 % 8);
    Some(changed)
}
