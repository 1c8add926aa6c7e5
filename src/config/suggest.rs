//! "Did you mean": the nearest of the words that would have been right.

/// The candidate nearest to `word`, when one is near enough to be a slip of the fingers.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = fold(word);
    candidates
        .into_iter()
        .map(|candidate| (distance(&wanted, &fold(candidate)), candidate))
        .min_by_key(|&(distance, _)| distance)
        // A third of the letters may be wrong: further away, a guess confuses more than it helps.
        .filter(|&(distance, _)| distance <= wanted.len().div_ceil(3))
        .map(|(_, candidate)| candidate)
}

/// " (did you mean `X`?)", or nothing, to be put into an error message behind the wrong word.
pub fn hint<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, candidates).map(|word| format!(" (did you mean `{word}`?)")).unwrap_or_default()
}

/// Case and separators are the commonest slips and count for nothing.
fn fold(word: &str) -> Vec<char> {
    word.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).flat_map(char::to_lowercase).collect()
}

/// Edit distance with insertion, deletion, substitution and swap of neighbours (Damerau; optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let substituted = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = substituted.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        let between = |a: &str, b: &str| distance(&fold(a), &fold(b));
        assert_eq!(between("kitten", "sitting"), 3);
        assert_eq!(between("hopper", "hoppre"), 1);
        assert_eq!(between("", "abc"), 3);
        assert_eq!(between("half_cheetah", "HalfCheetah"), 0);
    }

    #[test]
    fn only_near_words_are_suggested() {
        let words = ["Hopper", "Walker2d", "HalfCheetah"];
        assert_eq!(nearest("hoper", words), Some("Hopper"));
        assert_eq!(nearest("walker", words), Some("Walker2d"));
        assert_eq!(nearest("zebra", words), None);
        assert_eq!(hint("Hoppr", words), " (did you mean `Hopper`?)");
        assert_eq!(hint("", []), "");
    }
}
