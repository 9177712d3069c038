use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Longest word that is compared; longer ones are no typing mistakes.
const WORD_LEN_MAX: usize = 40;

/// The candidate that `word` was probably meant to be: at most a third of its letters are wrong.
pub(super) fn nearest<'k>(word: &str, candidates: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let word: Vec<char> = word.chars().take(WORD_LEN_MAX + 1).collect();
    if word.len() > WORD_LEN_MAX {
        return None;
    }
    let allowed = word.len().div_ceil(3);
    candidates
        .map(|candidate| (distance(&word, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

pub(super) fn joined<'k>(names: impl Iterator<Item = &'k str>) -> String {
    let names: Vec<&str> = names.collect();
    names.join(", ")
}

pub(super) fn unknown_key_hint(key: &str, known: &[&str]) -> String {
    match nearest(key, known.iter().copied()) {
        Some(name) => format!("did you mean {name}?"),
        None => format!("known keys: {}", joined(known.iter().copied())),
    }
}

/// Levenshtein distance, ignoring the case of ASCII letters.
fn distance(word: &[char], candidate: &str) -> usize {
    let mut row: Vec<usize> = (0..=word.len()).collect();
    for (i, c) in candidate.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i.saturating_add(1);
        let mut cells = row.iter_mut();
        if let Some(first) = cells.next() {
            *first = left;
        }
        for (cell, w) in cells.zip(word) {
            let substitute = diagonal.saturating_add(usize::from(!w.eq_ignore_ascii_case(&c)));
            diagonal = *cell;
            left = substitute
                .min(left.saturating_add(1))
                .min(diagonal.saturating_add(1));
            *cell = left;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_a_few_letters_away() {
        let known = ["image", "command", "args", "expose"];
        assert_eq!(nearest("imagge", known.into_iter()), Some("image"));
        assert_eq!(nearest("comand", known.into_iter()), Some("command"));
        assert_eq!(nearest("volumes", known.into_iter()), None);
    }
}
