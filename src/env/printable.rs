//! Text from elsewhere, made fit to be printed: names in models and task files may hold escape sequences, or a megabyte.

/// Most characters of a text that are shown.
const LONGEST: usize = 4000;

/// The text on one line, control characters and marks that turn the direction of writing shown as `\u{1b}` and its like,
/// and cut where it is longer than a message may be.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len().min(4 * LONGEST));
    for (index, character) in text.chars().enumerate() {
        if index == LONGEST {
            shown.push('…');
            break;
        }
        match character {
            '\n' | '\r' | '\t' => shown.push(' '),
            c if is_harmless(c) => shown.push(c),
            c => shown.extend(c.escape_unicode()),
        }
    }
    shown
}

/// Whether a character can be printed without touching what stands around it.
pub(crate) fn is_harmless(character: char) -> bool {
    // Beside control characters: bidirectional marks, invisible separators, and the byte order mark.
    let invisible = matches!(character,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}');
    !character.is_control() && !invisible
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_and_turned_text_are_shown_not_obeyed() {
        assert_eq!(printable("a\u{1b}[31mb\u{7}"), "a\\u{1b}[31mb\\u{7}");
        assert_eq!(printable("x\u{202e}y\u{9b}z"), "x\\u{202e}y\\u{9b}z");
        assert_eq!(printable("two\nlines\r\n"), "two lines  ");
        assert_eq!(printable("größe 大"), "größe 大");
    }

    #[test]
    fn long_texts_are_cut() {
        assert_eq!(printable(&"ä".repeat(1_000_000)).chars().count(), LONGEST + 1);
    }
}
