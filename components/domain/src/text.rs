//! Words in sentences: how a typed word is quoted, and which known name was probably meant.

/// A word that somebody wrote, as part of a sentence: short, on one line, in backticks.
pub(crate) fn quoted(text: &str) -> String {
    const LONG: usize = 60;
    let shown: String =
        text.chars().filter(|c| !c.is_control()).take(LONG).map(|c| if c == '`' { '\'' } else { c }).collect();
    let dots = if text.chars().nth(LONG).is_some() { "…" } else { "" };
    format!("`{shown}{dots}`")
}

/// The name that was probably meant: one that differs by a slip or two, or is the beginning of what was
/// typed, or the other way round.
pub(crate) fn nearest<'a>(typed: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let length = typed.chars().count();
    if length == 0 || length > 64 {
        return None;
    }
    let score = |name: &'a str| match edit_distance(typed, name) {
        distance if distance <= 2 && distance < length => Some((distance, name)),
        _ if name.starts_with(typed) || (name.len() > 2 && typed.starts_with(name)) => Some((3, name)),
        _ => None,
    };
    known.filter_map(score).min().map(|(_, name)| name.to_owned())
}

/// How many characters must be put in, taken out or replaced (Levenshtein).
fn edit_distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (above, a) in from.chars().enumerate() {
        let (mut diagonal, mut left) = (above, above.saturating_add(1));
        for (cell, b) in row.iter_mut().skip(1).zip(to.chars()) {
            let replaced = diagonal.saturating_add(usize::from(a != b));
            diagonal = *cell;
            left = replaced.min(left.saturating_add(1)).min(cell.saturating_add(1));
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = above.saturating_add(1);
        }
    }
    row.last().copied().unwrap_or_default()
}

/// A hash of some words, to see whether they are the same as before. Not cryptographic: two texts may have one hash.
pub fn words_hash(words: &str) -> u64 {
    // FNV-1a: stable across builds, unlike the standard library's hasher, because it is stored.
    words.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_counted_in_edits() {
        for (from, to, distance) in [
            ("", "", 0),
            ("", "ab", 2),
            ("abc", "abc", 0),
            ("kitten", "sitting", 3),
            ("ü", "u", 1),
            ("ab", "ba", 2),
            ("flaw", "lawn", 2),
        ] {
            assert_eq!((edit_distance(from, to), edit_distance(to, from)), (distance, distance), "{from} {to}");
        }
    }

    #[test]
    fn the_hash_of_words_is_the_published_one_because_it_is_stored() {
        assert_eq!(words_hash(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(words_hash("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(words_hash("foobar"), 0x8594_4171_f739_67e8);
    }
}
