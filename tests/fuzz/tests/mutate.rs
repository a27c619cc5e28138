//! Inputs made of a corpus: bits flipped, pieces cut out, put in, doubled and exchanged between files, numbers and words replaced.
//! The same seed makes the same inputs.

/// SplitMix64: small, and the same everywhere.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 if that is 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % (end.max(1) as u64)) as usize
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// Longer inputs are cut: the cost of large ones is another test's.
const LONGEST: usize = 8192;

/// What breaks parsers whatever they parse.
const ODD: [&str; 56] = [
    "",
    "\0",
    "\n",
    "\r\n",
    "\n\n",
    "\t",
    " ",
    "\u{feff}",
    "\u{85}",
    "\u{2028}",
    "\u{200b}",
    "\u{7f}",
    "é",
    "漢",
    "\u{10ffff}",
    "\"",
    "'",
    "`",
    "\\",
    "\\u0000",
    "\\ud800",
    "%00",
    "%ff",
    "%",
    "+",
    "&",
    "=",
    ";",
    ",",
    ":",
    ": ",
    "- ",
    "? ",
    "#",
    " #",
    "{",
    "}",
    "[",
    "]",
    "{}",
    "[]",
    "null",
    "true",
    "-1",
    "0",
    "1e999",
    "18446744073709551616",
    "&a ",
    "*a",
    "<<: ",
    "!!str ",
    "|",
    "---\n",
    "@",
    "//",
    "..",
];

/// A corpus, with the words in it.
pub(crate) struct Corpus {
    pub(crate) files: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
}

impl Corpus {
    pub(crate) fn new(files: Vec<Vec<u8>>) -> Self {
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/');
        let mut words: Vec<Vec<u8>> = ODD.iter().map(|odd| odd.as_bytes().to_vec()).collect();
        for file in &files {
            words.extend(file.split(|byte| !is_word(byte)).filter(|word| !word.is_empty()).map(<[u8]>::to_vec));
            // Whole strings of JSON, with their quotes.
            words.extend(
                file.split(|byte| matches!(byte, b',' | b'{' | b'}'))
                    .filter(|piece| piece.len() < 80)
                    .map(<[u8]>::to_vec),
            );
        }
        words.sort();
        words.dedup();
        Self { files, words }
    }

    /// One input.
    pub(crate) fn input(&self, random: &mut Random) -> Vec<u8> {
        let mut input = random.one(&self.files).clone();
        for _ in 0..=random.below(5) {
            self.change(&mut input, random);
            input.truncate(LONGEST);
        }
        input
    }

    fn change(&self, input: &mut Vec<u8>, random: &mut Random) {
        let at = random.below(input.len() + 1);
        let near = random.below(16) + 1;
        match random.below(12) {
            0 if at < input.len() => input[at] ^= 1 << random.below(8),
            1 if at < input.len() => input[at] = random.next() as u8,
            2 => input.insert(at, random.next() as u8),
            3 => drop(input.drain(at..(at + near).min(input.len()))),
            4 => input.truncate(at),
            // A word in place of another one, or between two.
            5 | 6 => {
                let end = input[at..]
                    .iter()
                    .position(|byte| !byte.is_ascii_alphanumeric())
                    .map_or(input.len(), |end| at + end);
                input.splice(at..end, random.one(&self.words).iter().copied());
            }
            7 => drop(input.splice(at..at, random.one(&self.words).iter().copied())),
            // A piece of the same file or another one.
            8 | 9 => {
                let other = if random.below(2) == 0 { input.clone() } else { random.one(&self.files).clone() };
                let from = random.below(other.len() + 1);
                let to = (from + random.below(200)).min(other.len());
                let end = if random.below(2) == 0 { at } else { (at + to - from).min(input.len()) };
                input.splice(at..end, other[from..to].iter().copied());
            }
            // The start of this one, the end of another one.
            10 => {
                let other = random.one(&self.files);
                input.truncate(at);
                input.extend_from_slice(&other[random.below(other.len() + 1)..]);
            }
            // The same again and again.
            _ => {
                let piece = input[at..(at + near).min(input.len())].to_vec();
                let copies = piece.repeat(random.below(40));
                input.splice(at..at, copies);
            }
        }
    }
}
