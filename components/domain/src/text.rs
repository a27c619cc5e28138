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
}
