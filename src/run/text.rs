//! Text for people. Names from files that may have come from elsewhere, made harmless for a terminal: an escape sequence in a task's name
//! could otherwise rewrite what is on the screen.

use std::fmt::Write;

/// The text with every control character written out, but for line ends and tabs.
pub fn harmless(text: &str) -> String {
    written_out(text, |c| is_command(c) && !matches!(c, '\n' | '\t'))
}

/// The text on one line, with every control character written out.
pub fn one_line(text: &str) -> String {
    written_out(text, is_command)
}

fn written_out(text: &str, is_out: impl Fn(char) -> bool) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if is_out(c) {
            write!(clean, "{}", c.escape_default()).expect("a string takes all");
        } else {
            clean.push(c);
        }
    }
    clean
}

/// Whether a character is no sign to be read but a command to what shows it: the control characters, the separators of
/// lines and paragraphs, those that turn the direction of writing, and those that cannot be seen at all.
pub fn is_command(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

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
            c if is_command(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    shown
}

/// A whole number with its thousands apart.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_written_out() {
        assert_eq!(one_line("a\u{1b}[31mb\nc\u{9b}2J"), "a\\u{1b}[31mb\\nc\\u{9b}2J");
        assert_eq!(harmless("a\tb\nc\r\u{202e}"), "a\tb\nc\\r\\u{202e}");
        assert_eq!(one_line("λ ≤ 1, größer, 中"), "λ ≤ 1, größer, 中");
    }

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
